"""SQLite files of which every page carries a checksum, verified whenever a page is read from the disk (ADR 0021).

The checksums are SQLite's own (its `cksumvfs` extension, eight bytes at the end of each page); `apsw` brings them together
with a SQLite that can load them, which Python's own often cannot.

Open such a file in one process through this module alone: another SQLite that closes it would drop this one's locks.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Protocol

import apsw

from recollect.errors import Corrupt, RecollectError, Unavailable
from recollect.store.log import is_damaged

Error = apsw.Error
BUSY_MS: Final = 10_000  # how long a statement waits for another process's short transaction
_VFS: Final = "cksmvfs"
_CHECKSUM_BYTES: Final = 8  # of each page
_loading = threading.Lock()


class Rows(Protocol):
    """What a statement gives; to be iterated over, or fetched."""

    def __iter__(self) -> Iterator[Any]: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """What we use of apsw's, whose rows have no types."""

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Rows: ...
    def executemany(self, sql: str, values: Iterable[Sequence[Any]], /) -> Rows: ...
    def total_changes(self) -> int: ...
    def close(self) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *error: Any) -> bool | None: ...
    @property
    def in_transaction(self) -> bool: ...


def connect(path: Path, version: int, *, writing: bool, settings: Sequence[str] = ()) -> Connection:
    """Open a file that `make` made; usable from any thread, one at a time. Raises Corrupt, `Error`."""
    _load()
    check_kind(path)
    if is_damaged(path):
        raise Corrupt(f"the log of {path.name} is damaged")
    flags = apsw.SQLITE_OPEN_READWRITE if writing else apsw.SQLITE_OPEN_READONLY
    connection = apsw.Connection(str(path), flags=flags, vfs=_VFS)
    try:
        connection.set_busy_timeout(BUSY_MS)
        found: Any = connection.execute("PRAGMA user_version").fetchall()[0][0]
        if found != version:
            hint = "A newer Recollect made it: update this one, or set RECOLLECT_HOME." if found > version else ""
            said = f"{path.name} is of another version ({found}, not {version})"
            raise Corrupt(said, hint=hint, code="database_version")
        verify(connection)
        for setting in settings:
            connection.execute(f"PRAGMA {setting}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def check_kind(path: Path) -> None:
    """Raise Corrupt where a folder, pipe or device has taken the place of a database or its log: SQLite would wait at a pipe."""
    for suffix in ("", "-wal", "-shm"):
        try:
            mode = os.stat(f"{path}{suffix}").st_mode
        except OSError:
            continue  # what SQLite then says of it
        if not stat.S_ISREG(mode):
            raise Corrupt(f"{path.name}{suffix} is no ordinary file")


def make(path: Path, schema: str, version: int, *, page_size: int = 4096) -> None:
    """Create a file with a write-ahead log and these tables. Raises `Error`."""
    _load()
    for left in ("-wal", "-shm"):  # of one that was removed or set aside
        Path(f"{path}{left}").unlink(missing_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    with closing(apsw.Connection(str(path), vfs=_VFS)) as connection:
        connection.execute(f"PRAGMA page_size={page_size}")
        reserve(connection)
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute(f"BEGIN;{schema}PRAGMA user_version={version};COMMIT")


def is_empty(path: Path) -> bool:
    """Whether a file holds no table yet. Raises `Error`."""
    with closing(look(path)) as connection:
        return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def has_checksums(path: Path) -> bool:
    """Whether a file says that its pages carry checksums. Nobody may have it open."""
    with open(path, "rb") as file:
        return file.read(21)[20:] == bytes([_CHECKSUM_BYTES])


def add_checksums(path: Path, version: int) -> None:
    """Write every page of an older file anew, with its checksum, and make it one of this version. Raises `Error`."""
    _load()
    with closing(apsw.Connection(str(path), vfs=_VFS)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE").fetchall()
        reserve(connection)
        connection.execute("VACUUM").fetchall()
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute(f"PRAGMA user_version={version}")  # last: until then it is an older one


def upgrade(path: Path, version: int, steps: Mapping[int, str]) -> None:
    """Take a file with checksums from its version on to this one, as far as steps lead. Raises `Error`."""
    _load()
    with closing(apsw.Connection(str(path), vfs=_VFS)) as connection:
        found: Any = connection.execute("PRAGMA user_version").fetchall()[0][0]
        while found < version and found in steps:
            connection.execute(f"BEGIN IMMEDIATE;{steps[found]}PRAGMA user_version={found + 1};COMMIT")
            found += 1


def look(path: Path) -> Connection:
    """Read what can be read of a file, whatever is wrong with it. Raises `Error`; Corrupt where it is no file."""
    _load()
    check_kind(path)
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=_VFS)


def copy(source: Connection, target: Path) -> None:
    """Make a new file of what a connection reads, page by page. Raises `Error`."""
    assert isinstance(source, apsw.Connection)
    with closing(apsw.Connection(str(target), vfs=_VFS)) as new, new.backup("main", source, "main") as backup:
        while not backup.done:
            backup.step()


def reserve(connection: apsw.Connection) -> None:
    """Have room for checksums on pages that are written from now on: of a new file, or by `VACUUM`."""
    from ctypes import addressof, c_int  # here, for a file is made once

    connection.file_control("main", apsw.SQLITE_FCNTL_RESERVE_BYTES, addressof(c_int(_CHECKSUM_BYTES)))


def verify(connection: Connection) -> None:
    """Raise Corrupt where the first page, as it was last read, says that pages carry no checksums: a bit of it decides that."""
    if connection.execute("PRAGMA checksum_verification").fetchone() != ("1",):
        raise Corrupt("the database carries no checksums")


def translated(error: Error, name: str) -> RecollectError:
    """What a failure of SQLite means to the caller."""
    extended = getattr(error, "extendedresult", 0)
    if extended in (apsw.SQLITE_IOERR_DATA, apsw.SQLITE_IOERR_CORRUPTFS):
        return Corrupt(f"{name} is damaged: the checksum of a page is wrong")
    if isinstance(error, apsw.FullError) or extended == apsw.SQLITE_IOERR_SHMSIZE:
        hint = "Free some space; nothing that was committed is lost, and the next sync goes on from it."
        return Unavailable(f"no space left for {name}", hint=hint, code="disk_full")
    if isinstance(error, apsw.IOError):
        hint = "The disk that holds it fails or is full; nothing that was committed is lost."
        return Unavailable(f"{name} cannot be read or written: {error}", hint=hint, code="storage")
    if extended == apsw.SQLITE_READONLY_ROLLBACK:
        return Corrupt(f"{name} was left half made")  # nothing but the making of one ever has a journal to undo
    if isinstance(error, (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError, apsw.AuthError)):
        verb = "opened" if isinstance(error, apsw.CantOpenError) else "written"
        return Unavailable(
            f"{name} cannot be {verb}: {error}",
            hint="See whether the disk is full or may not be written: recollect doctor",
            code="storage",
        )
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return Unavailable(f"{name} is in use by another process", hint="Ask again in a moment.", code="locked")
    if getattr(error, "result", 0):
        return Corrupt(f"{name} cannot be read: {error}")
    return RecollectError(f"{type(error).__name__}: {error}")  # a misuse of ours says nothing of the file


def _load() -> None:
    if _VFS in apsw.vfs_names():
        return
    with _loading:
        if _VFS in apsw.vfs_names():
            return
        with closing(apsw.Connection(":memory:")) as connection:
            connection.enable_load_extension(True)
            connection.load_extension(str(Path(apsw.__file__).parent / "sqlite_extra_binaries" / "cksumvfs"))
