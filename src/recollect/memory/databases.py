"""Memories in SQLite databases of others and of our own: ordinary tables alone, read without running anything of theirs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from recollect.errors import UserError
from recollect.memory.imports import MAX_FILE, MAX_RECORD, Item, foreign_metadata, normal
from recollect.store.database import DamageAware

_STEP: Final = 10_000  # instructions of SQLite's machine between two looks at …
_MAX_STEPS: Final = 20_000  # … how often a statement was looked at: a few seconds
_READS: Final = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_PRAGMA}
_PRAGMAS: Final = {"table_xinfo", "trusted_schema", "query_only"}
_OURS: Final = {"number", "id", "refers_to"}


def read(path: Path) -> Iterator[Item]:
    """Every row of the table `memories`. Raises UserError: there is none, or it is a view or a virtual table."""
    try:
        with closing(_connected(path)) as database:
            yield from _Source(database, path).items()
    except sqlite3.Error as error:
        raise UserError(f"{path}: it cannot be read as a database ({error})", code="bad_import") from error


def _connected(path: Path) -> sqlite3.Connection:
    address = path.absolute().as_uri()
    try:
        return _guarded(sqlite3.connect(f"{address}?mode=ro", uri=True, factory=DamageAware))
    except sqlite3.OperationalError:  # its log cannot be opened where the folder may not be written
        return _guarded(sqlite3.connect(f"{address}?immutable=1", uri=True, factory=DamageAware))


def _guarded(database: sqlite3.Connection) -> sqlite3.Connection:
    try:
        database.execute("PRAGMA trusted_schema=OFF")
        database.execute("PRAGMA query_only=ON")
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_RECORD)
        database.set_authorizer(_authorized)
        database.execute("SELECT type FROM sqlite_master LIMIT 1").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def _authorized(action: int, first: str | None, second: str | None, schema: str | None, inside: str | None) -> int:
    """Nothing but reading tables: no function, no view, no trigger."""
    allowed = action in _READS and inside is None
    if action == sqlite3.SQLITE_PRAGMA:
        allowed = allowed and str(first).lower() in _PRAGMAS
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


class _Source:
    """A database with a table of memories."""

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._db = database
        self._path = path
        database.text_factory = bytes

    def items(self) -> Iterator[Item]:
        columns = self._columns("memories")
        if "content" not in columns:
            raise UserError(f"{self._path}: its table memories has no column content", code="bad_import")
        self._columns_of_tags = self._columns("tags", optional=True) if columns >= _OURS else set()
        self._columns_of_versions = self._columns("versions", optional=True) if columns >= _OURS else set()
        names = sorted(columns)
        quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
        total = 0
        for place, key in enumerate(self._keys(), 1):
            label = f"row {place}"
            try:
                row = self._all(f"SELECT {quoted} FROM memories WHERE rowid = ?", key)
                values = {name: _plain(value) for name, value in zip(names, row[0], strict=True)} if row else {}
                total += sum(len(value) for value in values.values() if isinstance(value, str))
                item = Item(label, self._record(values))
            except (sqlite3.Error, ValueError) as error:
                item = Item(label, None, f"it cannot be read: {error}")
            if total > MAX_FILE:
                raise UserError(f"{self._path}: its texts are larger than {MAX_FILE >> 20} MiB", code="too_long")
            yield item

    def _keys(self) -> list[int]:
        try:
            return [key for (key,) in self._all("SELECT rowid FROM memories ORDER BY rowid")]
        except sqlite3.OperationalError as error:
            raise UserError(f"{self._path}: its table memories cannot be read ({error})", code="bad_import") from error

    def _columns(self, table: str, optional: bool = False) -> set[str]:
        """Names of the ordinary columns of an ordinary table. Raises UserError: there is none."""
        rows = self._all("SELECT type, rootpage, name FROM sqlite_master")
        kinds = {_lower(name): (_lower(kind), page) for kind, page, name in rows if _lower(kind) in ("table", "view")}
        kind, page = kinds.get(table, ("nothing", 0))
        if kind != "table" or not page:
            if optional:
                return set()
            why = {"nothing": "no table of memories", "view": "memories is a view"}.get(
                kind, "memories is a virtual table"
            )
            raise UserError(f"{self._path}: {why}, which is not read", code="bad_import")
        columns = self._all(f"PRAGMA table_xinfo({table})")
        return {str(_plain(row[1])) for row in columns if row[6] == 0}  # others are computed

    def _record(self, values: dict[str, Any]) -> dict[str, Any]:
        if "number" in values and "refers_to" in values:
            return self._own_record(values)
        values.pop("id", None)  # a number of theirs
        values["tags"] = values.get("tags")
        if values.get("memory_type") == "":
            values["memory_type"] = None
        rest = {name: value for name, value in values.items() if value is not None}
        return normal({**rest, "metadata": foreign_metadata(values.get("metadata"))})

    def _own_record(self, values: dict[str, Any]) -> dict[str, Any]:
        import json

        number = values.pop("number")
        values["metadata"], values["refers_to"] = json.loads(values["metadata"]), json.loads(values["refers_to"])
        if {"number", "tag"} <= self._columns_of_tags:
            values["tags"] = [_plain(tag) for (tag,) in self._all("SELECT tag FROM tags WHERE number = ?", number)]
        if {"number", "at", "record"} <= self._columns_of_versions:
            rows = self._all("SELECT at, record FROM versions WHERE number = ?", number)
            values["versions"] = [{"at": at, **json.loads(record)} for at, record in rows]
        return {name: value for name, value in values.items() if value is not None}

    def _all(self, sql: str, *values: Any) -> list[Any]:
        """All rows of a statement that may take only so long."""
        steps = 0

        def look() -> int:
            nonlocal steps
            steps += 1
            return int(steps > _MAX_STEPS)

        self._db.set_progress_handler(look, _STEP)
        return self._db.execute(sql, values).fetchall()


def _plain(value: Any) -> Any:
    """A value as Python has it; text that is not UTF-8 with U+FFFD in it."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _lower(value: Any) -> str:
    return str(_plain(value)).lower()
