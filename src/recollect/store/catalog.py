"""The repositories that a home knows, and what its owner persisted. Written by the daemon alone."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from recollect.errors import Unavailable
from recollect.records import dataclass
from recollect.store import clones
from recollect.store.database import open_database, transaction

_USAGE: Final = """
CREATE TABLE usage (
    day TEXT NOT NULL, tool TEXT NOT NULL, calls INTEGER NOT NULL, returned INTEGER NOT NULL, whole INTEGER NOT NULL,
    PRIMARY KEY (day, tool)
) WITHOUT ROWID;
"""
_SCHEMA: Final = f"""
CREATE TABLE repositories (
    id TEXT PRIMARY KEY, path BLOB NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, url TEXT, type TEXT NOT NULL,
    added_at REAL NOT NULL, last_access REAL, tracked INTEGER NOT NULL DEFAULT 0 CHECK (tracked IN (0, 1)),
    missing INTEGER NOT NULL DEFAULT 0 CHECK (missing IN (0, 1)), wanted INTEGER NOT NULL DEFAULT 0 CHECK (wanted IN (0, 1)),
    attempts INTEGER NOT NULL DEFAULT 0, next_sync_at REAL, last_sync TEXT,
    untracked INTEGER NOT NULL DEFAULT 0 CHECK (untracked IN (0, 1)),
    asked_for INTEGER NOT NULL DEFAULT 0 CHECK (asked_for IN (0, 1)),
    sync_interval REAL, place TEXT, language TEXT, size_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE sync_runs (repository_id TEXT NOT NULL, started_at REAL NOT NULL, result TEXT NOT NULL);
CREATE INDEX sync_runs_repository ON sync_runs (repository_id, started_at);
{clones.SCHEMA}{_USAGE}"""
_STEPS: Final = {
    1: """
ALTER TABLE repositories DROP COLUMN checked_at;
ALTER TABLE repositories ADD COLUMN untracked INTEGER NOT NULL DEFAULT 0 CHECK (untracked IN (0, 1));
ALTER TABLE repositories ADD COLUMN asked_for INTEGER NOT NULL DEFAULT 0 CHECK (asked_for IN (0, 1));
ALTER TABLE repositories ADD COLUMN sync_interval REAL;
ALTER TABLE repositories ADD COLUMN place TEXT;
ALTER TABLE repositories ADD COLUMN language TEXT;
ALTER TABLE repositories ADD COLUMN size_bytes INTEGER NOT NULL DEFAULT 0;
CREATE TABLE sync_runs (repository_id TEXT NOT NULL, started_at REAL NOT NULL, result TEXT NOT NULL);
CREATE INDEX sync_runs_repository ON sync_runs (repository_id, started_at);
""",
    2: clones.SCHEMA,
    3: _USAGE,
}
_VERSION: Final = 4
_HISTORY: Final = 50  # syncs of a repository
_PRUNED_EVERY: Final = 16  # of them
_COLUMNS: Final = (
    "id, path, name, url, type, added_at, last_access, tracked, missing, wanted, "
    "attempts, next_sync_at, last_sync, untracked, asked_for, sync_interval, place, language, size_bytes"
)


_FIELDS: Final = tuple(_COLUMNS.split(", "))


@dataclass(frozen=True, slots=True)
class Repository:
    """`wanted`: a sync was asked for and has not ended: it is resumed at the next start.

    `untracked`: somebody said that it is not to be kept in step; `asked_for`: somebody had it synced, however large it
    is. `place`: what its `.git` is on the disk, by which it is known again where it was moved. `language` and
    `size_bytes`: what is known without its index.
    """

    id: str
    path: Path
    name: str
    url: str | None
    type: str
    added_at: float
    last_access: float | None
    tracked: bool
    missing: bool
    wanted: bool
    attempts: int
    next_sync_at: float | None
    last_sync: dict[str, Any] | None
    untracked: bool
    asked_for: bool
    sync_interval: float | None
    place: str | None
    language: str | None
    size_bytes: int


class Catalog:
    """Small, and read often: all of it is kept in memory; every change is committed before it is seen."""

    def __init__(self, path: Path) -> None:
        """Raises Corrupt, Unavailable."""
        self._db = open_database(path, _SCHEMA, _VERSION, _STEPS)
        self._lock = threading.RLock()
        with self._lock:
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM repositories")
            self._repositories = {row[0]: _repository(row) for row in rows}
            self._accessed: dict[str, float] = {}
            self._recorded: Counter[str] = Counter()  # syncs since this process began
        self.clones = clones.CloneTable(self._db, self._lock)

    def repositories(self) -> list[Repository]:
        """All of them, by name."""
        with self._lock:
            return sorted(self._repositories.values(), key=lambda item: item.name)

    def get(self, repository_id: str) -> Repository | None:
        return self._repositories.get(repository_id)

    def add(self, path: Path, name: str, url: str | None, kind: str) -> Repository:
        """Register a folder under `name`, or `name-2` and so on where that is taken. A known folder is returned as it is."""
        with self._lock, transaction(self._db, "catalog.db", durable=True):
            known = next((item for item in self._repositories.values() if item.path == path), None)
            if known is not None:
                return known
            taken = {item.name for item in self._repositories.values()}
            unique = name
            number = 2
            while unique in taken:
                unique, number = f"{name}-{number}", number + 1
            row = (os.urandom(8).hex(), os.fsencode(path), unique, url, kind, time.time())
            self._db.execute("INSERT INTO repositories (id, path, name, url, type, added_at) VALUES (?,?,?,?,?,?)", row)
            return self._reread(row[0])

    def update(self, repository_id: str, *, run: Mapping[str, Any] | None = None, **changes: Any) -> Repository | None:
        """Set columns of a repository; None where it was forgotten meanwhile.

        `run`: the result of a sync, for its history, of which the last ones are kept. A power cut may take that back (the
        next sync says it again); every other change survives it.
        """
        with self._lock:
            if repository_id not in self._repositories:
                return None
            values = [json.dumps(value) if isinstance(value, dict) else value for value in changes.values()]
            with transaction(self._db, "catalog.db", durable=run is None):
                if run is not None:
                    self._record(repository_id, run)
                assignments = ", ".join(f"{key} = ?" for key in changes)
                self._db.execute(f"UPDATE repositories SET {assignments} WHERE id = ?", (*values, repository_id))
                return self._reread(repository_id)

    def _record(self, repository_id: str, result: Mapping[str, Any]) -> None:
        row = (repository_id, result["started_at"], json.dumps(result))
        self._db.execute("INSERT INTO sync_runs VALUES (?, ?, ?)", row)
        self._recorded[repository_id] += 1
        if self._recorded[repository_id] % _PRUNED_EVERY != 1:
            return  # after each edit, that would take as long as all the rest
        oldest = "SELECT started_at FROM sync_runs WHERE repository_id = ? ORDER BY started_at DESC LIMIT 1 OFFSET ?"
        sql = f"DELETE FROM sync_runs WHERE repository_id = ? AND started_at <= ({oldest})"
        self._db.execute(sql, (repository_id, repository_id, _HISTORY))

    def history(self, repository_id: str) -> list[dict[str, Any]]:
        """The last syncs of a repository that did something, newest first."""
        sql = "SELECT result FROM sync_runs WHERE repository_id = ? ORDER BY started_at DESC LIMIT ?"
        with self._lock:
            return [json.loads(result) for (result,) in self._db.execute(sql, (repository_id, _HISTORY))]

    def last_runs(self, limit: int) -> list[tuple[str, dict[str, Any]]]:
        """(repository id, result) of the last syncs of all repositories that did something, newest first."""
        sql = "SELECT repository_id, result FROM sync_runs ORDER BY started_at DESC LIMIT ?"
        with self._lock:
            return [(identity, json.loads(result)) for identity, result in self._db.execute(sql, (limit,))]

    def add_usage(self, rows: Mapping[tuple[str, str], Mapping[str, int]], oldest: str) -> None:
        """Add counts to those of a day and a tool; days before `oldest` go."""
        sql = (
            "INSERT INTO usage VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "calls = calls + excluded.calls, returned = returned + excluded.returned, whole = whole + excluded.whole"
        )
        values = [(day, tool, one["calls"], one["returned"], one["whole"]) for (day, tool), one in rows.items()]
        with self._lock, transaction(self._db, "catalog.db"):
            self._db.executemany(sql, values)
            self._db.execute("DELETE FROM usage WHERE day < ?", (oldest,))

    def usage(self, since: str) -> list[tuple[str, str, int, int, int]]:
        """(day, tool, calls, returned, whole) from a day on."""
        with self._lock:
            return self._db.execute("SELECT * FROM usage WHERE day >= ? ORDER BY day, tool", (since,)).fetchall()

    def touch(self, repository_ids: Iterable[str]) -> None:
        """Note a use; at most once a minute, for it happens with every question, which must not fail for it."""
        now = time.time()
        used = [name for name in repository_ids if now - self._accessed.get(name, 0.0) > 60]
        if not used:
            return
        self._accessed.update(dict.fromkeys(used, now))
        with self._lock, suppress(Unavailable):
            known = [name for name in used if name in self._repositories]
            with transaction(self._db, "catalog.db"):
                sql = "UPDATE repositories SET last_access = ? WHERE id = ?"
                self._db.executemany(sql, [(now, name) for name in known])
            self._repositories |= {name: replace(self._repositories[name], last_access=now) for name in known}

    def remove(self, repository_id: str) -> None:
        with self._lock, transaction(self._db, "catalog.db", durable=True):
            self._db.execute("DELETE FROM repositories WHERE id = ?", (repository_id,))
            self._db.execute("DELETE FROM sync_runs WHERE repository_id = ?", (repository_id,))
            self._db.execute("DELETE FROM clones WHERE repository_id = ?", (repository_id,))
            self._repositories.pop(repository_id, None)

    def persisted(self) -> dict[str, Any]:
        """What was kept with `persist`."""
        with self._lock:
            return {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM settings")}

    def persist(self, values: Mapping[str, Any]) -> None:
        """Keep settings: all of them or none."""
        with self._lock, transaction(self._db, "catalog.db", durable=True):
            rows = [(key, json.dumps(value)) for key, value in values.items()]
            self._db.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", rows)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _reread(self, repository_id: str) -> Repository:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM repositories WHERE id = ?", (repository_id,)).fetchone()
        self._repositories[repository_id] = _repository(row)
        return self._repositories[repository_id]


def _repository(row: tuple[Any, ...]) -> Repository:
    values = dict(zip(_FIELDS, row, strict=True))
    values["path"] = Path(os.fsdecode(values["path"]))
    values["last_sync"] = json.loads(values["last_sync"]) if values["last_sync"] else None
    for flag in ("tracked", "missing", "wanted", "untracked", "asked_for"):
        values[flag] = bool(values[flag])
    return Repository(**values)
