"""The parse cache: what a file's content came out as, so that a blob is parsed once, whatever its path, branch or clone.

Derived data: a failure here is never the caller's; a damaged cache is deleted and starts empty.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from recollect.errors import RecollectError
from recollect.store.database import open_database

LIMIT_BYTES: Final = 512_000_000
_SCHEMA: Final = """
-- Values in the order they come: with the random key as the table's own order, every batch would rewrite every page.
CREATE TABLE analyses (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL, bytes INTEGER NOT NULL, used_at INTEGER NOT NULL
);
CREATE INDEX analyses_used ON analyses (used_at, bytes);
CREATE TABLE quarantine (hash BLOB NOT NULL, grammar TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (hash, grammar));
"""
_VERSION: Final = 1


class ParseCache:
    """`get` in parse workers, which also store what an edit gave; the rest in the indexer. Thread-safe."""

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._held: int | None = None

    def get(self, key: bytes) -> bytes | None:
        """The value stored for `key`."""
        with self._lock:
            try:
                row = self._connection().execute("SELECT value FROM analyses WHERE key = ?", (key,)).fetchone()
            except (sqlite3.Error, RecollectError):
                return None
            return row[0] if row else None

    def is_empty(self) -> bool:
        """Whether there is nothing in it that `get` could find."""
        with self._lock:
            try:
                return self._connection().execute("SELECT 1 FROM analyses LIMIT 1").fetchone() is None
            except (sqlite3.Error, RecollectError):
                return False

    def put_many(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """Store values; the least recently stored go where the cache grew beyond its limit."""
        if not items:
            return
        now = int(time.time())
        with self._lock, suppress(RecollectError):
            try:
                db = self._connection()
                rows = [(key, value, len(value), now) for key, value in items]
                db.execute("BEGIN IMMEDIATE")
                db.executemany("INSERT OR REPLACE INTO analyses (key, value, bytes, used_at) VALUES (?, ?, ?, ?)", rows)
                self._trim(db, sum(len(value) for _, value in items))
                db.execute("COMMIT")
            except sqlite3.OperationalError:  # full disk, locked: the cache can wait
                self._roll_back()
            except sqlite3.DatabaseError:
                self._start_empty()

    def quarantine(self, content_hash: bytes, grammar: str, reason: str) -> None:
        """Never give this content to this grammar again."""
        with self._lock, suppress(sqlite3.Error, RecollectError):
            row = (content_hash, grammar, reason, time.time())
            self._connection().execute("INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?)", row)

    def quarantined(self) -> dict[tuple[bytes, str], str]:
        """(content hash, grammar) → reason."""
        with self._lock:
            try:
                rows = self._connection().execute("SELECT hash, grammar, reason FROM quarantine").fetchall()
            except (sqlite3.Error, RecollectError):
                return {}
        return {(content_hash, grammar): reason for content_hash, grammar, reason in rows}

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _trim(self, db: sqlite3.Connection, added: int) -> None:
        if self._held is None:
            self._held = int(db.execute("SELECT coalesce(sum(bytes), 0) FROM analyses").fetchone()[0])
        else:
            self._held += added
        if self._held <= self._limit:
            return
        goal, freed, until = self._held - self._limit * 3 // 4, 0, 0
        for used_at, size in db.execute("SELECT used_at, sum(bytes) FROM analyses GROUP BY used_at ORDER BY used_at"):
            freed, until = freed + size, used_at
            if freed >= goal:
                break
        db.execute("DELETE FROM analyses WHERE used_at <= ?", (until,))
        self._held -= freed

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            try:
                self._db = open_database(self._path, _SCHEMA, _VERSION)
            except RecollectError:
                self._start_empty()
                self._db = open_database(self._path, _SCHEMA, _VERSION)
        return self._db

    def _roll_back(self) -> None:
        self._held = None
        with suppress(sqlite3.Error):
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _start_empty(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        self._held = None
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                Path(f"{self._path}{suffix}").unlink()
