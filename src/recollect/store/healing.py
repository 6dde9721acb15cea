"""A database with checksums of pages that stays usable where it turns out to be damaged, also while it is open."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from recollect.errors import Corrupt
from recollect.store import pages, rescue
from recollect.store.database import open_database, transaction, translated

T = TypeVar("T")
log = logging.getLogger("recollect.store")
_SETTINGS: Final = ("synchronous=NORMAL",)


class Tables(NamedTuple):
    """What a database holds. `steps`: from each older version to the next one. `checksums_since`: that version."""

    schema: str
    version: int
    names: tuple[str, ...]
    steps: Mapping[int, str]
    checksums_since: int


class HealingDatabase:
    """Thread-safe. What is read or written is tried again once where it meets damage: by then the file was set aside, and a
    new one made of what could be had (`rescue.refill`, then `restore`, which is told whether that was all).
    """

    def __init__(self, path: Path, tables: Tables, restore: Callable[[pages.Connection, bool], None]) -> None:
        """Raises Corrupt, also where it is of a newer version; Unavailable."""
        self.lock = threading.RLock()
        self.notices: list[str] = []
        self._path, self._tables, self._restore = path, tables, restore
        self._connection = _opened(path, tables)

    def read(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query; where they cannot be read, that is said. Raises Corrupt, Unavailable."""
        with self.lock:
            return self._translating(lambda: self._connection.execute(sql).fetchall())

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""

        def fetch() -> list[tuple[Any, ...]]:
            found = self._connection.execute(sql, values).fetchall()
            pages.verify(
                self._connection
            )  # each read begins with the first page, which may say that there is nothing to verify
            return found

        return self._twice(fetch)

    def write(self, work: Callable[[pages.Connection], T], *, durable: bool = False) -> T:
        """Do what `work` does, all or nothing; it may be called twice. `durable`: as in `transaction`."""

        def run() -> T:
            with transaction(self._connection, self._path.name, durable=durable):
                done = work(self._connection)
                pages.verify(self._connection)
                return done

        return self._twice(run)

    def close(self) -> None:
        with self.lock:
            self._connection.close()

    def _twice(self, work: Callable[[], T]) -> T:
        with self.lock:
            try:
                return self._translating(work)
            except Corrupt as damage:
                self._connection.close()
                self._begin_anew(damage)
                return self._translating(work)

    def _translating(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except pages.Error as error:
            raise translated(error, self._path.name) from error

    def _begin_anew(self, damage: Corrupt) -> None:
        said = begin_anew(self._path, self._tables, self._restore, damage)
        self._connection = _opened(self._path, self._tables)
        self.notices.append(said)


def begin_anew(path: Path, tables: Tables, restore: Callable[[pages.Connection, bool], None], damage: Corrupt) -> str:
    """Set a damaged file aside and make a new one of what can be had; what to say of that."""
    aside = rescue.set_aside(path)
    whole = rescue.refill(aside, path, tables.schema, tables.version, tables.names)
    connection = _opened(path, tables)
    with closing(connection), transaction(connection, path.name):
        restore(connection, whole)
    kept = (
        "nothing of it was lost"
        if whole
        else "what could not be read of it was taken from copies, as far as there are any"
    )
    said = f"{damage.message}; it was put aside as {aside.name} and a new one begun: {kept}"
    log.warning(said)
    return said


def _opened(path: Path, tables: Tables) -> pages.Connection:
    try:
        if not path.exists():
            pages.make(path, tables.schema, tables.version)
        try:
            return pages.connect(path, tables.version, writing=True, settings=_SETTINGS)
        except Corrupt as error:
            if error.code != "database_version" or (pages.has_checksums(path) and error.hint):
                raise  # damaged, or of a newer Recollect
        if pages.is_empty(path):  # its making was cut short
            pages.make(path, tables.schema, tables.version)
        if not pages.has_checksums(path):
            open_database(path, "", tables.checksums_since - 1, tables.steps).close()
            pages.add_checksums(path, tables.checksums_since)
        pages.upgrade(path, tables.version, tables.steps)
        return pages.connect(path, tables.version, writing=True, settings=_SETTINGS)
    except pages.Error as error:
        raise translated(error, path.name) from error
