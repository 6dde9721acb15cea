"""The parse cache: what a file's content came out as, so that a blob is parsed once, whatever its path, branch or clone.

Derived data: a failure here is never the caller's. Each row is verified when it is read, by a checksum over key and value; a
damaged one counts as missing and is stored again, and a cache that SQLite cannot read starts empty.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from recollect.errors import Corrupt, RecollectError
from recollect.store.database import open_database, translated

LIMIT_BYTES: Final = 512_000_000
_SCHEMA: Final = """
-- Values in the order they come: with the random key as the table's own order, every batch would rewrite every page.
-- `value`: a checksum, then what was stored.
CREATE TABLE analyses (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL, bytes INTEGER NOT NULL, used_at INTEGER NOT NULL
);
CREATE INDEX analyses_used ON analyses (used_at, bytes);
CREATE TABLE quarantine (
    hash BLOB NOT NULL, grammar TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
    checksum BLOB NOT NULL, PRIMARY KEY (hash, grammar)
);
"""
_VERSION: Final = 2
_CHECKSUM_BYTES: Final = 8
log = logging.getLogger("recollect.cache")


class ParseCache:
    """`get` in parse workers, which also store what an edit gave; the rest in the indexer. Thread-safe."""

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._held: int | None = None

    def get(self, key: bytes) -> bytes | None:
        """The value stored for `key`, if it is as it was stored."""
        with self._lock:
            row = self._first("SELECT value FROM analyses WHERE key = ?", (key,))
        if row is None:
            return None
        stored = row[0] if isinstance(row[0], bytes) else b""  # a wrong bit may make it a text
        value = stored[_CHECKSUM_BYTES:]
        if stored[:_CHECKSUM_BYTES] != _checksum(key, value):
            log.warning("a value in %s is damaged: its file is parsed again", self._path.name)
            return None
        return value

    def is_empty(self) -> bool:
        """Whether there is nothing in it that `get` could find."""
        with self._lock:
            return self._first("SELECT 1 FROM analyses LIMIT 1") is None

    def put_many(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """Store values; the least recently stored go where the cache grew beyond its limit."""
        if not items:
            return
        now = int(time.time())
        with self._lock, suppress(RecollectError):
            try:
                db = self._connection()
                rows = [(key, _checksum(key, value) + value, len(value), now) for key, value in items]
                db.execute("BEGIN IMMEDIATE")
                db.executemany("INSERT OR REPLACE INTO analyses (key, value, bytes, used_at) VALUES (?, ?, ?, ?)", rows)
                self._trim(db, sum(len(value) for _, value in items))
                db.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back()
                self._failed(error)

    def quarantine(self, content_hash: bytes, grammar: str, reason: str) -> None:
        """Never give this content to this grammar again."""
        with self._lock, suppress(sqlite3.Error, RecollectError):
            row = (content_hash, grammar, reason, time.time(), _checksum(content_hash, f"{grammar}\0{reason}".encode()))
            self._connection().execute("INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?)", row)

    def quarantined(self) -> dict[tuple[bytes, str], str]:
        """(content hash, grammar) → reason."""
        with self._lock:
            try:
                rows = self._connection().execute("SELECT hash, grammar, reason, checksum FROM quarantine").fetchall()
            except (sqlite3.Error, RecollectError):
                return {}
        return {
            (content_hash, grammar): reason
            for content_hash, grammar, reason, checksum in rows
            if isinstance(content_hash, bytes) and _checksum(content_hash, f"{grammar}\0{reason}".encode()) == checksum
        }

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _trim(self, db: sqlite3.Connection, added: int) -> None:
        if self._held is None:
            self._held = int(db.execute("SELECT total(bytes) FROM analyses").fetchone()[0])
        else:
            self._held += added
        if self._held <= self._limit:
            return
        goal, freed, until = self._held - self._limit * 3 // 4, 0, 0
        for used_at, size in db.execute("SELECT used_at, total(bytes) FROM analyses GROUP BY used_at ORDER BY used_at"):
            freed, until = freed + int(size), used_at
            if freed >= goal:
                break
        db.execute("DELETE FROM analyses WHERE used_at <= ?", (until,))
        self._held -= freed

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            try:
                self._db = open_database(self._path, _SCHEMA, _VERSION)
            except Corrupt as error:
                self._start_empty(error)
                self._db = open_database(self._path, _SCHEMA, _VERSION)
        return self._db

    def _roll_back(self) -> None:
        self._held = None
        with suppress(sqlite3.Error):
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _first(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first row; None where there is none, or none can be read now."""
        try:
            return self._connection().execute(sql, values).fetchone()
        except sqlite3.Error as error:
            self._failed(error)
            return None
        except RecollectError:
            return None

    def _failed(self, error: sqlite3.Error) -> None:
        if isinstance(translated(error, self._path.name), Corrupt):  # else it is full or locked, and can wait
            self._start_empty(error)

    def _start_empty(self, damage: Exception) -> None:
        log.warning("%s cannot be used (%s): it starts empty", self._path.name, damage)
        if self._db is not None:
            self._db.close()
            self._db = None
        self._held = None
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                Path(f"{self._path}{suffix}").unlink()


def _checksum(key: bytes, value: bytes) -> bytes:
    return blake3(key + value).digest(_CHECKSUM_BYTES)
