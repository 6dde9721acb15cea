"""The life of a home's memories: opened, unavailable, mended, restored; and what has to be said of their losses."""

from __future__ import annotations

import functools
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, cast

from recollect.errors import Corrupt, RecollectError, Unavailable
from recollect.memory import exchange, imports, opening
from recollect.memory.exchange import LoadReport
from recollect.memory.opening import Expected
from recollect.memory.store import MemoryStore
from recollect.store import pages, rescue
from recollect.store.catalog import Catalog
from recollect.store.database import translated

_LEDGER: Final = "memory_ledger"  # in the catalog: what memory.db held after its last change
_RETRY_S: Final = 1.0
_SHOWN: Final = 5
_PASSING: Final = ("locked", "disk_full", "storage")
log = logging.getLogger("recollect.memory")
Method = TypeVar("Method", bound=Callable[..., Any])


class Vault:
    """Thread-safe. Nothing about memory.db keeps it from being made: then `store` raises Unavailable."""

    def __init__(
        self, home: Path, catalog: Catalog, redacts: Callable[[], bool], has_backups: Callable[[], bool]
    ) -> None:
        self._path = home / "memory.db"
        self._catalog = catalog
        self._redacts = redacts
        self._has_backups = has_backups
        self._lock = threading.RLock()
        self._opened: MemoryStore | None = None
        self._failure = Unavailable("the memories are closed", code="memory_unavailable")
        self._failed_at = 0.0
        self._signature: object = None
        self._notices: list[str] = []
        self._is_closed = False
        self._open()

    @property
    def store(self) -> MemoryStore:
        """Raises Unavailable, with the reason and what to do."""
        opened = self._opened
        if opened is not None:
            return opened
        with self._lock:
            if self._opened is None and not self._is_closed and self._may_have_changed():
                self._open()
            if self._opened is None:
                raise self._failure
            return self._opened

    @property
    def failure(self) -> Unavailable | None:
        """Why there are no memories now."""
        try:
            _ = self.store
        except Unavailable as error:
            return error
        return None

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            store, self._opened = self._opened, None
            if store is None:
                return
            store.close()
            if opening.is_closed(self._path):
                with suppress(OSError):
                    self._record(store.sequence, store.count, opening.file_hash(self._path))

    def mend(self, damaged: MemoryStore) -> None:
        """Open the database anew, looking at everything, for it cannot be read any longer. Raises Unavailable."""
        with self._lock:
            if self._opened is damaged and not self._is_closed:
                self._reopen()
        _ = self.store

    def _reopen(self) -> None:
        store, self._opened = self._opened, None
        if store is not None:
            self._record(store.sequence, store.count)
            with suppress(sqlite3.Error):
                store.close()
        self._open()

    def _open(self) -> None:
        self._signature, self._failed_at = _signature(self._path), time.monotonic()
        try:
            opened = opening.open_memories(self._path, self._make, self._expected(), self._has_backups())
        except RecollectError as error:
            code = error.code if isinstance(error, Unavailable) else "memory_unavailable"
            hint = error.hint or opening.RESTORE
            self._failure = Unavailable(f"memory is unavailable: {error.message}", hint=hint, code=code)
        except (OSError, sqlite3.Error) as error:
            said = translated(error, "memory.db")
            self._failure = Unavailable(f"memory is unavailable: {said.message}", hint=said.hint or opening.RESTORE)
        else:
            self._opened = opened.store
            self._notices += opened.notices
            self._record(opened.store.sequence, opened.store.count, self._expected().file_hash)
        for line in self.notices():
            log.warning("%s", line)

    def _make(self, path: Path) -> MemoryStore:
        return MemoryStore(path, self._redacts, self._record if path == self._path else lambda sequence, count: None)

    def _may_have_changed(self) -> bool:
        if _signature(self._path) != self._signature:
            return True
        return self._failure.code in _PASSING and time.monotonic() - self._failed_at > _RETRY_S

    # -- the ledger ---------------------------------------------------------------------------------------------------

    def _expected(self) -> Expected:
        try:
            ledger = self._catalog.persisted().get(_LEDGER)
            return (
                Expected(int(ledger["sequence"]), int(ledger["count"]), ledger.get("file_hash"))
                if ledger
                else Expected()
            )
        except (RecollectError, sqlite3.Error, pages.Error, ValueError, TypeError, KeyError):
            return Expected()

    def _record(self, sequence: int, count: int, file_hash: str | None = None) -> None:
        """Never ahead of memory.db, and as good as never behind: fewer memories than it says are a loss."""
        values: Mapping[str, Any] = {"sequence": sequence, "count": count, "file_hash": file_hash}
        with suppress(RecollectError, sqlite3.Error, pages.Error):
            self._catalog.persist({_LEDGER: values}, durable=False)

    # -- losses -------------------------------------------------------------------------------------------------------

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing or damaged that nobody has accepted."""
        store = self._opened
        return store is not None and not (store.losses() or store.damaged() or store.faults())

    def problems(self) -> list[tuple[str, str]]:
        """(what is wrong, what to do) of what is missing or damaged."""
        if (failure := self.failure) is not None:
            return [(failure.message, failure.hint)]
        store = self.store
        named = {**dict(store.damaged()), **store.faults()}
        found = [(message, opening.RESTORE) for message in store.losses()]
        if named:
            shown = ", ".join(f"{identity} ({reason})" for identity, reason in list(named.items())[:_SHOWN])
            more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
            found.append((f"{len(named)} damaged memories are left out: {shown}{more}", opening.RESTORE))
        return found

    def notices(self) -> list[str]:
        """`problems` as lines, and what else happened when the database was opened."""
        return [f"{said}. {mend}" for said, mend in self.problems()] + self._notices

    def notice(self) -> str | None:
        """One line for an answer; None where all is well."""
        with suppress(RecollectError, sqlite3.Error):
            problems = self.problems()
            return "; ".join(said for said, _ in problems) + f". {problems[0][1]}" if problems else None
        return None

    # -- a person decides -----------------------------------------------------------------------------------------------

    def restore(self, path: Path) -> LoadReport:
        """Bring back what a backup holds, also where the database cannot be opened: whatever is there is set aside.

        A backup is our own file: secrets that a person had kept come back as they were, and a memory goes to the
        repository that it was of, not to one that took its name since.

        Raises UserError: the backup cannot be read; nothing was changed.
        """
        items = list(imports.read(path))
        with self._lock:
            if self._opened is None:
                self._begin_anew()
            elif self._opened.faults():
                self._reopen()
            report = exchange.load_items(self.store, items, path, keep_secrets=True, owners=True)
            self._accept()
        return report

    def accept(self) -> str:
        """Go on without what is lost. A database that cannot be opened is set aside."""
        with self._lock:
            if self._opened is None:
                self._begin_anew()
            elif self._opened.faults():
                self._reopen()
            return f"accepted; {self._accept()} memories are here"

    def _begin_anew(self) -> None:
        expected = self._expected()
        if os.path.lexists(self._path):
            rescue.set_aside(self._path)
        self._opened = opening.open_memories(self._path, self._make, Expected(), False).store
        self._opened.note_losses([], None, expected.sequence)

    def _accept(self) -> int:
        store = self.store
        store.accept_losses()
        self._notices.clear()
        return store.count


class HasVault(Protocol):
    _vault: Vault


def guarded(method: Method) -> Method:
    """A method that is called once more where the database turned out to be damaged, and was mended."""

    @functools.wraps(method)
    def run(self: HasVault, *args: Any, **named: Any) -> Any:
        store = self._vault.store
        try:
            return method(self, *args, **named)
        except (Corrupt, sqlite3.Error) as error:
            failure = error if isinstance(error, RecollectError) else translated(error, "memory.db")
            if not isinstance(failure, Corrupt) or failure.code == "damaged_memory":
                raise failure from error
            log.warning("memory.db is damaged: %s", failure.message)
            self._vault.mend(store)
            return method(self, *args, **named)

    return cast(Method, run)


def _signature(path: Path) -> object:
    """What differs when somebody has put another file there, or made it readable."""
    try:
        info = os.stat(path)
    except OSError as error:
        return error.errno
    return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns
