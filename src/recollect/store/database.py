"""How the SQLite files of a home are opened: WAL, bounded waiting, one schema version each."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recollect.errors import Corrupt, RecollectError, Unavailable, UserError
from recollect.home import make_folder
from recollect.store import pages

BUSY_S = 10.0  # how long a statement waits for another process's short transaction


class DamageAware(sqlite3.Connection):
    """Raises sqlite3.Error also where what SQLite says quotes damaged names that are no UTF-8.

    Python decodes the message while it makes the error, and raises UnicodeDecodeError in its place.
    """

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError as error:
            raise sqlite3.DatabaseError("what is wrong cannot be told: it holds damaged text") from error

    def executescript(self, sql: str, /) -> sqlite3.Cursor:
        try:
            return super().executescript(sql)
        except UnicodeDecodeError as error:
            raise sqlite3.DatabaseError("what is wrong cannot be told: it holds damaged text") from error


def open_database(path: Path, schema: str, version: int, steps: Mapping[int, str] = {}) -> sqlite3.Connection:
    """Open or create; usable from any thread, one at a time. `steps`: from each older version to the next one.

    Raises Corrupt: damaged, or of a newer version.
    """
    make_folder(path.parent)
    pages.check_kind(path)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=BUSY_S, factory=DamageAware
    )
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            connection.executescript(f"BEGIN IMMEDIATE;{schema}PRAGMA user_version={version};COMMIT;")
        while 0 < found < version and found in steps:
            connection.executescript(f"BEGIN IMMEDIATE;{steps[found]}PRAGMA user_version={found + 1};COMMIT;")
            found += 1
        if found not in (0, version):
            hint = "A newer Recollect made it: update this one, or set RECOLLECT_HOME." if found > version else ""
            said = f"{path.name} is of another version ({found}, not {version})"
            raise Corrupt(said, hint=hint, code="database_version")
    except sqlite3.Error as error:
        connection.close()
        raise translated(error, path.name) from error
    except Corrupt:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(
    connection: sqlite3.Connection | pages.Connection, name: str, *, durable: bool = False
) -> Iterator[None]:
    """All of the block's changes or none, committed at its end; the caller holds its lock. Raises what `translated` says.

    `durable`: what is committed survives a power cut, too, though the database is opened with `synchronous=NORMAL`.
    """
    try:
        if durable:
            connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite ends it by itself where the disk is full
                connection.execute("ROLLBACK")
            raise
        finally:
            if durable:
                connection.execute("PRAGMA synchronous=NORMAL")
    except (sqlite3.Error, pages.Error) as error:
        raise translated(error, name) from error


def translated(error: sqlite3.Error | pages.Error | OSError, name: str) -> RecollectError:
    """What a failure of SQLite or of the file system means to the caller."""
    if isinstance(error, pages.Error):
        return pages.translated(error, name)
    said = str(error)
    if (isinstance(error, OSError) and error.errno == 28) or "disk is full" in said:
        hint = "Free some space; nothing that was committed is lost, and the next sync goes on from it."
        return Unavailable(f"no space left for {name}", hint=hint, code="disk_full")
    if "disk I/O error" in said:
        hint = "The disk that holds it fails or is full; nothing that was committed is lost."
        return Unavailable(f"{name} cannot be read or written: {said}", hint=hint, code="storage")
    if isinstance(error, OSError):
        return Unavailable(
            f"{name}: {error.strerror}",
            hint="See whether the disk is full or may not be written: recollect doctor",
            code="storage",
        )
    if "readonly" in said or "unable to open" in said:
        return Unavailable(
            f"{name} cannot be {'opened' if 'open' in said else 'written'}: {said}",
            hint="See whether the disk is full or may not be written: recollect doctor",
            code="storage",
        )
    if "binding parameter" in said:
        return UserError(
            "an argument has a wrong type", hint="Give texts as text and numbers as numbers.", code="wrong_type"
        )  # and says nothing of the file
    if "locked" in said:
        return Unavailable(f"{name} is in use by another process", hint="Ask again in a moment.", code="locked")
    return Corrupt(f"{name} cannot be read: {said}")
