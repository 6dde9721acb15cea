"""Open memory.db, or say why not: what is damaged is set aside, never deleted, and what can be trusted is carried over."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from recollect.errors import Corrupt, RecollectError, Unavailable, UserError
from recollect.memory import schema, seals
from recollect.memory.store import MemoryStore, content_hash
from recollect.records import dataclass
from recollect.store import rescue
from recollect.store.database import DamageAware

RESTORE: Final = "recollect memory restore brings back the newest backup; recollect memory accept goes on without it."
log = logging.getLogger("recollect.memory")


@dataclass(frozen=True, slots=True)
class Expected:
    """What was recorded elsewhere of memory.db: changes, memories, and the hash of the file if it was closed cleanly."""

    sequence: int = 0
    count: int = 0
    file_hash: str | None = None


class Opened(NamedTuple):
    store: MemoryStore
    notices: list[str]


Open = Callable[[Path], MemoryStore]


def open_memories(path: Path, make: Open, expected: Expected, has_backups: bool) -> Opened:
    """The memories of a home. `expected` and `has_backups` tell a new home from one that lost its database.

    Raises Unavailable with the reason and what to do.
    """
    if not _is_there(path):
        if expected.count or has_backups:
            raise _missing(path, expected)
        rescue.set_log_aside(path, rescue.aside_of(path))
        return Opened(make(path), [])
    clean = is_closed(path)
    changed = clean and expected.file_hash is not None and file_hash(path) != expected.file_hash
    try:
        store = make(path)
    except Corrupt as error:
        if error.code == "database_version":
            said = f"the memories cannot be read: {error.message}"
            raise Unavailable(said, hint=f"{error.hint} Or set it aside: {RESTORE}", code=error.code) from error
        return _carried_over(path, make, expected, error.message)
    changed = changed and store.sequence == expected.sequence  # else what is recorded is older, as after a power cut
    is_known = clean and expected.file_hash is not None and store.sequence == expected.sequence and not changed
    problems = [] if is_known else store.verify()
    if changed or problems:
        store.close()
        reason = problems[0] if problems else "the file was changed while it was closed"
        return _carried_over(path, make, expected, reason)
    if not clean:
        store.index_again()
    if store.sequence < expected.sequence:
        lost = expected.sequence - store.sequence
        gone = max(0, expected.count - store.count)
        kept = _copied_aside(path)
        message = f"the last {lost} changes of the memories are lost, and {gone} memories with them (see {kept})"
        store.note_losses([], message, expected.sequence)
    return Opened(store, [])


def file_hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_closed(path: Path) -> bool:
    """Whether nothing waits in the write-ahead log: the file is all there is."""
    with suppress(OSError):
        return os.stat(f"{path}-wal").st_size == 0
    return True


def _copied_aside(path: Path) -> str:
    """A copy of the database and its log as they are, before anything is written over them: their name."""
    aside = rescue.aside_of(path)
    try:
        for name in ("", "-wal"):
            if os.path.exists(f"{path}{name}"):
                with open(os.open(f"{aside}{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                    target.write(Path(f"{path}{name}").read_bytes())
    except OSError as error:
        log.warning("no copy of the damaged memories could be made: %s", error)
    return aside.name


def _is_there(path: Path) -> bool:
    """Whether there is a database to open. Raises Unavailable where something else is there, or it may not be read."""
    try:
        info = os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unreadable(path, error) from error
    if not os.path.isfile(path):
        aside = rescue.set_aside(path)
        raise Unavailable(f"{path.name} was no file; it is {aside.name} now", hint=RESTORE, code="memory_unavailable")
    try:
        with open(path, "r+b"):
            pass
    except OSError as error:
        raise _unreadable(path, error) from error
    return info.st_size > 0


def _unreadable(path: Path, error: OSError) -> Unavailable:
    said = f"the memories cannot be read: {path.name}: {error.strerror}"
    return Unavailable(said, hint=f"Make it readable and writable for you: chmod 600 {path}", code="memory_unavailable")


def _missing(path: Path, expected: Expected) -> Unavailable:
    count = f"{expected.count} memories were in it" if expected.count else "there are backups of it"
    aside = max((item.name for item in path.parent.glob("memory.damaged-*.db")), default=None)
    where = f"; what was damaged is kept as {aside}" if aside else ""
    return Unavailable(f"{path.name} is gone: {count}{where}", hint=RESTORE, code="memory_unavailable")


# -- carrying over what can be trusted ----------------------------------------------------------------------------------


def _carried_over(path: Path, make: Open, expected: Expected, reason: str) -> Opened:
    """Set a damaged database aside and begin a new one with those of its memories whose checksums are right."""
    log.warning("memory.db is damaged: %s", reason)
    try:
        aside = rescue.set_aside(path)
    except OSError as error:
        raise Unavailable(f"memory.db is damaged ({reason}) and cannot be renamed: {error.strerror}") from error
    fresh = path.with_name("memory.db.rebuilding")
    for name in ("", *rescue.BESIDE):
        Path(f"{fresh}{name}").unlink(missing_ok=True)  # of a crash
    store = make(fresh)
    try:
        with store.bulk():
            damaged, sequence, recorded = _copy(aside, store)
        if store.count == 0 and (damaged or expected.count or recorded != 0):
            raise _beyond_repair(aside, reason)
        gone = max(0, max(expected.count, recorded or 0) - store.count - len(damaged))
        message = None
        if gone or damaged:
            said = [f"{gone} memories cannot be read any longer"] if gone else []
            said += [f"{len(damaged)} memories are damaged"] if damaged else []
            message = f"memory.db was damaged: {' and '.join(said)}; the damaged file is kept as {aside.name}"
        store.note_losses(damaged, message, max(expected.sequence, sequence))
    except BaseException:
        store.close()
        for name in ("", *rescue.BESIDE):
            Path(f"{fresh}{name}").unlink(missing_ok=True)
        raise
    store.close()
    fresh.replace(path)
    whole = f"memory.db was damaged ({reason}) and was built anew from its rows; the old file is kept as {aside.name}"
    return Opened(make(path), [] if message else [whole])


def _beyond_repair(aside: Path, reason: str) -> Unavailable:
    said = f"memory.db is damaged ({reason}); it was set aside as {aside.name}"
    return Unavailable(said, hint=RESTORE, code="memory_unavailable")


def _copy(aside: Path, store: MemoryStore) -> tuple[list[tuple[Any, str]], int, int | None]:
    """Copy what can be trusted; (damaged rows with the reason, changes and memories that were recorded there)."""
    damaged: list[tuple[Any, str]] = []
    sequence, recorded = 0, None
    with closing(sqlite3.connect(f"{aside.absolute().as_uri()}?mode=ro", uri=True, factory=DamageAware)) as old:
        with suppress(sqlite3.Error, TypeError):
            values = old.execute("SELECT sequence, count, checksum FROM state").fetchone()
            if values[2] == seals.checksum(values[:2], ()):
                sequence, recorded = values[:2]
        names = _columns(old)
        for number in _numbers(old):
            row: tuple[Any, ...] = (number, *(None for _ in schema.FIELDS[1:]))
            try:
                row = old.execute(f"SELECT {names} FROM memories m WHERE number = ?", (number,)).fetchone() or row
                _take(old, store, row)
            except UserError as error:
                damaged.append((row, error.message))
            except (RecollectError, sqlite3.Error, ValueError, TypeError) as error:
                damaged.append((row, seals.unreadable(error)))
        for table in ("losses", "damaged"):
            with suppress(sqlite3.Error):
                store.take_table(table, old.execute(f"SELECT * FROM {table}").fetchall())
    return damaged, sequence, recorded


def _columns(old: sqlite3.Connection) -> str:
    with suppress(sqlite3.Error):
        old.execute("SELECT 1 FROM belongs")
        return schema.COLUMNS
    return schema.COLUMNS.rpartition(", (SELECT")[0] + ", NULL"  # of a version before 3


def _numbers(old: sqlite3.Connection) -> list[int]:
    """Of all memories that a table or an index still knows."""
    found: set[int] = set()
    for source in (
        "SELECT number FROM memories ORDER BY number",
        "SELECT number FROM memories ORDER BY number DESC",
        "SELECT number FROM memories INDEXED BY memories_created ORDER BY created_at",
        "SELECT number FROM checks ORDER BY number",
        "SELECT number FROM checks ORDER BY number DESC",
    ):
        found.update(_until_damage(old, source))
    return sorted(found)


def _until_damage(old: sqlite3.Connection, sql: str) -> Iterator[int]:
    with suppress(sqlite3.Error):
        for (number,) in old.execute(sql):
            if isinstance(number, int):
                yield number


def _take(old: sqlite3.Connection, store: MemoryStore, row: tuple[Any, ...]) -> None:
    """Raises UserError: it is not what was written."""
    number = row[0]
    tags = [tag for (tag,) in old.execute("SELECT tag FROM tags WHERE number = ? ORDER BY tag", (number,))]
    versions = old.execute("SELECT at, record FROM versions WHERE number = ? ORDER BY rowid", (number,)).fetchall()
    if row[1] is None:
        raise UserError("its row is gone")
    try:
        reader = seals.Reader(old)
        problem = reader.problem(row, tags) or reader.versions_problem(number, versions)
        is_sealed = not reader.is_unsealed(number)
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        problem, is_sealed = None, False
    if not is_sealed:
        row = seals.mended(row, content_hash(row[2]) if isinstance(row[2], str) else "")
    elif problem is not None:
        raise UserError(problem)
    store.adopt(row, tags, versions)
