"""Which clones there are or are to be, and which lists of repositories are followed: tables of `catalog.db`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

from recollect.records import dataclass
from recollect.store.healing import HealingDatabase

SCHEMA: Final = """
CREATE TABLE clones (
    key TEXT NOT NULL, branch TEXT NOT NULL, url TEXT NOT NULL, path BLOB NOT NULL, depth INTEGER, status TEXT NOT NULL,
    wanted INTEGER NOT NULL CHECK (wanted IN (0, 1)), started_at REAL, completed_at REAL, error TEXT,
    received_bytes INTEGER NOT NULL DEFAULT 0, repository_id TEXT, fetched_at REAL, attempts INTEGER NOT NULL DEFAULT 0,
    notice TEXT, allows TEXT NOT NULL DEFAULT '', PRIMARY KEY (key, branch)
);
CREATE TABLE followed (source TEXT PRIMARY KEY, options TEXT NOT NULL, checked_at REAL, error TEXT, listed TEXT NOT NULL);
"""
NAMES: Final = "ALTER TABLE clones ADD COLUMN name TEXT;"
_COLUMNS: Final = (
    "key, branch, url, path, depth, status, wanted, started_at, completed_at, error, received_bytes, repository_id, "
    "fetched_at, attempts, notice, allows, name"
)
COPIED: Final = frozenset(
    ("url", "path", "depth", "status", "wanted", "repository_id", "allows", "name")
)  # with key and branch


@dataclass(frozen=True, slots=True)
class Clone:
    """A managed clone. `key` and `branch` ("": the remote's default) name it; `status` as in `CloneStatus`; `wanted`: it
    was asked for, and is begun again after a crash; `attempts`: failed looks at its remote in a row; `allows`: "http" and
    "local" of what its caller permitted; `name`: what its repository is called, or will be (None in clones of older versions).
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
    name: str | None


@dataclass(frozen=True, slots=True)
class Followed:
    """A list of repositories that is looked at again and again. `listed`: the URLs that it held last."""

    source: str
    options: dict[str, Any]
    checked_at: float | None
    error: str | None
    listed: tuple[str, ...]


class CloneTable:
    """Thread-safe; shares the catalog's file. `changed` is called after what a copy should have changed."""

    def __init__(self, file: HealingDatabase, changed: Callable[[], None]) -> None:
        self._file = file
        self._changed = changed

    def all(self) -> list[Clone]:
        return [_clone(row) for row in self._file.rows(f"SELECT {_COLUMNS} FROM clones ORDER BY key, branch")]

    def get(self, key: str, branch: str) -> Clone | None:
        sql = f"SELECT {_COLUMNS} FROM clones WHERE key = ? AND branch = ?"
        rows = self._file.rows(sql, (key, branch))
        return _clone(rows[0]) if rows else None

    def of(self, repository_id: str) -> Clone | None:
        """The clone that a repository is."""
        rows = self._file.rows(f"SELECT {_COLUMNS} FROM clones WHERE repository_id = ?", (repository_id,))
        return _clone(rows[0]) if rows else None

    def put(self, key: str, branch: str, **values: Any) -> Clone:
        """Set columns of a clone, which is made if it is new."""
        given = {"key": key, "branch": branch, **values}
        if isinstance(given.get("path"), Path):
            given["path"] = os.fsencode(given["path"])
        columns, marks = ", ".join(given), ",".join("?" * len(given))
        changes = ", ".join(f"{name} = excluded.{name}" for name in values)
        sql = f"INSERT INTO clones ({columns}) VALUES ({marks}) ON CONFLICT (key, branch) DO UPDATE SET {changes}"
        self._file.write(lambda db: db.execute(sql, tuple(given.values())), durable=True)
        self._keep(values)
        found = self.get(key, branch)
        assert found is not None
        return found

    def change(self, clone: Clone, **values: Any) -> Clone | None:
        """Set columns of a clone; None where it was removed meanwhile."""
        sql = f"UPDATE clones SET {', '.join(f'{name} = ?' for name in values)} WHERE key = ? AND branch = ?"
        row = (*values.values(), clone.key, clone.branch)
        self._file.write(lambda db: db.execute(sql, row), durable=True)
        self._keep(values)
        return self.get(clone.key, clone.branch)

    def remove(self, clone: Clone) -> None:
        sql = "DELETE FROM clones WHERE key = ? AND branch = ?"
        self._file.write(lambda db: db.execute(sql, (clone.key, clone.branch)), durable=True)
        self._changed()

    def followed(self) -> list[Followed]:
        rows = self._file.rows("SELECT source, options, checked_at, error, listed FROM followed ORDER BY source")
        return [Followed(row[0], json.loads(row[1]), row[2], row[3], tuple(json.loads(row[4]))) for row in rows]

    def follow(self, item: Followed) -> None:
        row = (item.source, json.dumps(item.options), item.checked_at, item.error, json.dumps(item.listed))
        sql = "INSERT OR REPLACE INTO followed VALUES (?, ?, ?, ?, ?)"
        self._file.write(lambda db: db.execute(sql, row), durable=True)
        self._changed()

    def unfollow(self, source: str) -> bool:
        sql = "DELETE FROM followed WHERE source = ? RETURNING source"
        gone = self._file.write(lambda db: db.execute(sql, (source,)).fetchall(), durable=True)
        self._changed()
        return bool(gone)

    def _keep(self, changes: Collection[str]) -> None:
        if not COPIED.isdisjoint(changes):
            self._changed()


def _clone(row: tuple[Any, ...]) -> Clone:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    values |= {"path": Path(os.fsdecode(values["path"])), "wanted": bool(values["wanted"])}
    return Clone(**values)
