"""Which clones there are or are to be, and which lists of repositories are followed: tables of `catalog.db`."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any, Final

from recollect.records import dataclass
from recollect.store.database import transaction

SCHEMA: Final = """
CREATE TABLE clones (
    key TEXT NOT NULL, branch TEXT NOT NULL, url TEXT NOT NULL, path BLOB NOT NULL, depth INTEGER, status TEXT NOT NULL,
    wanted INTEGER NOT NULL CHECK (wanted IN (0, 1)), started_at REAL, completed_at REAL, error TEXT,
    received_bytes INTEGER NOT NULL DEFAULT 0, repository_id TEXT, fetched_at REAL, attempts INTEGER NOT NULL DEFAULT 0,
    notice TEXT, allows TEXT NOT NULL DEFAULT '', PRIMARY KEY (key, branch)
);
CREATE TABLE followed (source TEXT PRIMARY KEY, options TEXT NOT NULL, checked_at REAL, error TEXT, listed TEXT NOT NULL);
"""
_COLUMNS: Final = (
    "key, branch, url, path, depth, status, wanted, started_at, completed_at, error, received_bytes, repository_id, "
    "fetched_at, attempts, notice, allows"
)


@dataclass(frozen=True, slots=True)
class Clone:
    """A managed clone. `key` and `branch` ("": the remote's default) name it; `status` as in `CloneStatus`; `wanted`: it
    was asked for, and is begun again after a crash; `attempts`: failed looks at its remote in a row; `allows`: "http" and
    "local" of what its caller permitted.
    """

    key: str
    branch: str
    url: str
    path: Path
    depth: int | None
    status: str
    wanted: bool
    started_at: float | None
    completed_at: float | None
    error: str | None
    received_bytes: int
    repository_id: str | None
    fetched_at: float | None
    attempts: int
    notice: str | None
    allows: str


@dataclass(frozen=True, slots=True)
class Followed:
    """A list of repositories that is looked at again and again. `listed`: the URLs that it held last."""

    source: str
    options: dict[str, Any]
    checked_at: float | None
    error: str | None
    listed: tuple[str, ...]


class CloneTable:
    """Thread-safe; shares the catalog's connection and lock."""

    def __init__(self, database: sqlite3.Connection, lock: threading.RLock) -> None:
        self._db = database
        self._lock = lock

    def all(self) -> list[Clone]:
        with self._lock:
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM clones ORDER BY key, branch").fetchall()
        return [_clone(row) for row in rows]

    def get(self, key: str, branch: str) -> Clone | None:
        with self._lock:
            sql = f"SELECT {_COLUMNS} FROM clones WHERE key = ? AND branch = ?"
            row = self._db.execute(sql, (key, branch)).fetchone()
        return _clone(row) if row is not None else None

    def of(self, repository_id: str) -> Clone | None:
        """The clone that a repository is."""
        with self._lock:
            row = self._db.execute(
                f"SELECT {_COLUMNS} FROM clones WHERE repository_id = ?", (repository_id,)
            ).fetchone()
        return _clone(row) if row is not None else None

    def put(self, key: str, branch: str, **values: Any) -> Clone:
        """Set columns of a clone, which is made if it is new."""
        given = {"key": key, "branch": branch, **values}
        if isinstance(given.get("path"), Path):
            given["path"] = os.fsencode(given["path"])
        columns, marks = ", ".join(given), ",".join("?" * len(given))
        changes = ", ".join(f"{name} = excluded.{name}" for name in values)
        sql = f"INSERT INTO clones ({columns}) VALUES ({marks}) ON CONFLICT (key, branch) DO UPDATE SET {changes}"
        with self._lock, transaction(self._db, "catalog.db", durable=True):
            self._db.execute(sql, tuple(given.values()))
        found = self.get(key, branch)
        assert found is not None
        return found

    def change(self, clone: Clone, **values: Any) -> Clone | None:
        """Set columns of a clone; None where it was removed meanwhile."""
        with self._lock, transaction(self._db, "catalog.db", durable=True):
            sql = f"UPDATE clones SET {', '.join(f'{name} = ?' for name in values)} WHERE key = ? AND branch = ?"
            self._db.execute(sql, (*values.values(), clone.key, clone.branch))
        return self.get(clone.key, clone.branch)

    def remove(self, clone: Clone) -> None:
        with self._lock, transaction(self._db, "catalog.db", durable=True):
            self._db.execute("DELETE FROM clones WHERE key = ? AND branch = ?", (clone.key, clone.branch))

    def followed(self) -> list[Followed]:
        with self._lock:
            rows = self._db.execute("SELECT source, options, checked_at, error, listed FROM followed ORDER BY source")
            return [Followed(row[0], json.loads(row[1]), row[2], row[3], tuple(json.loads(row[4]))) for row in rows]

    def follow(self, item: Followed) -> None:
        row = (item.source, json.dumps(item.options), item.checked_at, item.error, json.dumps(item.listed))
        with self._lock, transaction(self._db, "catalog.db", durable=True):
            self._db.execute("INSERT OR REPLACE INTO followed VALUES (?, ?, ?, ?, ?)", row)

    def unfollow(self, source: str) -> bool:
        with self._lock, transaction(self._db, "catalog.db", durable=True):
            return self._db.execute("DELETE FROM followed WHERE source = ?", (source,)).rowcount > 0


def _clone(row: tuple[Any, ...]) -> Clone:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    values |= {"path": Path(os.fsdecode(values["path"])), "wanted": bool(values["wanted"])}
    return Clone(**values)
