"""Checksums of memories: a bit that changed on the disk is noticed when a row is read, and so is a row that is gone.

A seal covers every column of a memory and its tags; the versions are a chain of hashes; the number of memories and of
changes is kept in the same transaction as the change itself.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from recollect import text
from recollect.errors import UserError
from recollect.memory import validate
from recollect.memory.schema import COLUMNS, FIELDS, PLACES

_SIZE: Final = 16
NO_VERSIONS: Final = b""
Row = tuple[Any, ...]


def checksum(row: Sequence[Any], tags: Sequence[Any]) -> bytes:
    """Of a memory's columns, in the order of `FIELDS`, and its sorted tags. Raises TypeError: what is no value of ours."""
    return hashlib.blake2b(json.dumps([*row, *tags]).encode(), digest_size=_SIZE).digest()


def chained(before: bytes, at: Any, record: Any) -> bytes:
    """The hash of a chain of versions with one more at its end."""
    return hashlib.blake2b(before + json.dumps([at, record]).encode(), digest_size=_SIZE).digest()


def mended(row: Row, content_hash: str) -> Row:
    """A row of a version without seals as this one stores it: times in seconds, metadata of finite numbers.

    `content_hash`: what its content has. Raises UserError: it cannot be trusted, with the reason.
    """
    values = dict(zip(FIELDS, row, strict=True))
    if not all(isinstance(values[name], str) and values[name] for name in ("id", "content", "memory_type")):
        raise UserError("a text is missing")
    if values["content_hash"] != content_hash:
        raise UserError("the content is not what its hash says")
    for name in ("created_at", "updated_at", "deleted_at"):
        if name != "deleted_at" or values[name] is not None:
            values[name] = validate.moment(values[name], name)
    try:
        metadata = json.loads(values["metadata"], parse_constant=str)
        references = json.loads(values["refers_to"])
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError("its metadata or references are not JSON") from error
    if not isinstance(metadata, dict) or not isinstance(references, list):
        raise UserError("its metadata or references are not what they should be")
    metadata = text.finite(metadata, str)  # older versions stored numbers that are not finite
    values["metadata"] = json.dumps(metadata, ensure_ascii=False, allow_nan=False)
    return tuple(values.values())


class Reader:
    """Holds rows against their seals; of any database that has them. Not thread-safe."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    def tags(self, number: int) -> list[Any]:
        return [tag for (tag,) in self._db.execute("SELECT tag FROM tags WHERE number = ? ORDER BY tag", (number,))]

    def versions(self, number: int) -> list[tuple[Any, Any]]:
        sql = "SELECT at, record FROM versions WHERE number = ? ORDER BY rowid"
        return self._db.execute(sql, (number,)).fetchall()

    def problem(self, row: Row, tags: Sequence[Any]) -> str | None:
        """Why a row cannot be trusted; None where it is what was written."""
        found = self._db.execute("SELECT checksum FROM checks WHERE number = ?", (row[0],)).fetchone()
        if found is None:
            return None if self.is_unsealed(row[0]) else "it has no checksum"
        try:
            return None if found[0] == checksum(row, tags) else "it is not what was written: its checksum is another"
        except TypeError:
            return "it holds a value that was never written"

    def is_unsealed(self, number: int) -> bool:
        return self._db.execute("SELECT 1 FROM unsealed WHERE number = ?", (number,)).fetchone() is not None

    def versions_problem(self, number: int, versions: Sequence[tuple[Any, Any]]) -> str | None:
        """Why the versions of a memory cannot be trusted."""
        found = self._db.execute("SELECT versions FROM checks WHERE number = ?", (number,)).fetchone()
        chain = NO_VERSIONS
        try:
            for at, record in versions:
                chain = chained(chain, at, record)
        except TypeError:
            chain = b"damaged"
        expected = found[0] if found is not None else NO_VERSIONS
        return None if chain == expected else "its versions are not what was written"


class Seals(Reader):
    """Not thread-safe: its owner holds a lock."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Raises sqlite3.Error, ValueError: the state is damaged."""
        super().__init__(database)
        row = database.execute("SELECT sequence, count, checksum FROM state").fetchone()
        if row is None:
            row = (0, int(database.execute("SELECT count(*) FROM memories").fetchone()[0]), b"")
            self.is_new = True
        elif row[2] != checksum(row[:2], ()):
            raise ValueError("the number of memories is not what its checksum says")
        else:
            self.is_new = False
        self.sequence, self.count = int(row[0]), int(row[1])  # as they are committed
        self.added = 0  # memories, in the transaction that runs

    # -- changes ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A transaction begins."""
        self.added = 0

    def add(self, memories: int) -> None:
        """So many memories more, or fewer, in this transaction."""
        self.added += memories

    def write(self) -> None:
        """Put the state into the transaction, at its end."""
        values = (self.sequence + 1, self.count + self.added)
        self._db.execute("INSERT OR REPLACE INTO state VALUES (1, ?, ?, ?)", (*values, checksum(values, ())))

    def committed(self) -> None:
        self.sequence, self.count = self.sequence + 1, self.count + self.added

    def seal(self, number: int) -> None:
        """After every change of a memory or its tags."""
        row = self._db.execute(f"SELECT {COLUMNS} FROM memories m WHERE number = ?", (number,)).fetchone()
        if row is not None:
            sql = "INSERT INTO checks VALUES (?, ?, ?) ON CONFLICT (number) DO UPDATE SET checksum = excluded.checksum"
            self._db.execute(sql, (number, checksum(row, self.tags(number)), NO_VERSIONS))

    def add_version(self, number: int, at: float, record: str) -> None:
        """Keep what a memory was; it is sealed already."""
        found = self._db.execute("SELECT versions FROM checks WHERE number = ?", (number,)).fetchone()
        chain = chained(found[0] if found is not None else NO_VERSIONS, at, record)
        self._db.execute("INSERT INTO versions VALUES (?, ?, ?)", (number, at, record))
        self._db.execute("UPDATE checks SET versions = ? WHERE number = ?", (chain, number))

    def seal_versions(self, number: int) -> None:
        """Of a memory whose versions have no chain yet."""
        chain = NO_VERSIONS
        for at, record in self.versions(number):
            chain = chained(chain, at, record)
        self._db.execute("UPDATE checks SET versions = ? WHERE number = ?", (chain, number))


def identity(row: Row) -> str:
    """The id of a row that may be damaged, to name it by."""
    value = row[PLACES["id"]]
    return value if isinstance(value, str) else f"number {row[0]}"


def unreadable(error: Exception) -> str:
    """Why a row cannot be read, without what SQLite quotes of it."""
    return f"it cannot be read: {str(error).split(' with text')[0][:200]}"
