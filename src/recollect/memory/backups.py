"""Backups of the memories: written while the daemon runs, read back before they count, rotated by days.

A failing backup is reported and stops nothing. While something is missing or damaged, no older backup goes.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from recollect.errors import RecollectError, Unavailable, UserError
from recollect.home import make_folder
from recollect.memory import exchange
from recollect.memory.store import MemoryStore
from recollect.private import sync_folder

DAYS: Final = 7  # days with a good backup, of which the files stay
_EVERY_S: Final = 86_400.0
_FIRST_AFTER_S: Final = 5.0  # a change, in a home without a backup
_GROWN_AFTER_S: Final = 60.0  # there are twice as many memories as in the newest backup
_LOOK_EVERY_S: Final = 60.0
_RETRY_S: Final = 900.0
_NAME: Final = re.compile(r"memory-(\d{8})(?:-(\d{6}|partial))?\.jsonl", re.ASCII)
log = logging.getLogger("recollect.memory")


class Backups:
    """Thread-safe; owns the thread that makes them."""

    def __init__(self, folder: Path, store: Callable[[], MemoryStore], is_whole: Callable[[], bool]) -> None:
        """`store` raises Unavailable where there is none now; `is_whole`: nothing of it is missing or damaged."""
        self._folder = folder
        self._store = store
        self._is_whole = is_whole
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._changed = threading.Event()
        self._failed_at = 0.0
        self._counts: dict[Path, tuple[int, int | None]] = {}  # file → (mtime in ns, memories in it; None: damaged)
        self.error: str | None = None  # of the last try
        self._thread = threading.Thread(target=self._run, name="memory-backups", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread; a home that has no backup yet gets one."""
        self._closed.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()
        if not self.files():
            self._try()

    def changed(self) -> None:
        """A memory was stored."""
        self._changed.set()

    # -- files --------------------------------------------------------------------------------------------------------

    def files(self) -> list[Path]:
        """Backups of today and before, newest first; then those made while something was missing or damaged, then
        those whose name lies in the future.
        """
        try:
            named = [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name) and path.is_file()]
        except OSError:
            return []
        named.sort(key=_order, reverse=True)
        return sorted(named, key=lambda path: (_is_future(path), _is_partial(path)))

    def newest(self) -> Path | None:
        """The best to restore from: the first of `files` that can be read."""
        return next((path for path in self.files() if self._count(path)), None)

    def _count(self, path: Path) -> int | None:
        """How many memories a backup holds; None where it is damaged."""
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            return None
        known = self._counts.get(path)
        if known is None or known[0] != changed:
            known = self._counts[path] = (changed, count(path))
        return known[1]

    # -- making -------------------------------------------------------------------------------------------------------

    def make(self) -> dict[str, Any]:
        """Write one, read it back, and let go what is too old. Raises OSError, RecollectError."""
        with self._lock:
            try:
                made = self._make()
            except (OSError, RecollectError) as error:
                self._failed_at = time.time()
                self.error = error.strerror or str(error) if isinstance(error, OSError) else error.message
                raise
            self.error = None
            return made

    def _make(self) -> dict[str, Any]:
        make_folder(self._folder)
        store, is_whole = self._store(), self._is_whole()
        partial = "" if is_whole else "-partial"
        target = self._folder / f"memory-{time.strftime('%Y%m%d')}{partial}.jsonl"
        before = self._count(target) if target.exists() else 0
        written = exchange.export(store, spare := target.with_suffix(".new"), _verified, owners=True)
        if is_whole and target.exists() and (before is None or written < before):
            target.rename(self._folder / f"memory-{time.strftime('%Y%m%d-%H%M%S')}.jsonl")
        spare.replace(target)
        sync_folder(self._folder)  # else a power cut may leave it under the name that it was written under
        if is_whole and written:
            self._rotate()
        return {"path": str(target), "memories": written}

    def _rotate(self) -> None:
        readable = [path for path in self.files() if not _is_future(path) and self._count(path)]
        days = sorted({_day(path) for path in readable if not _is_partial(path)}, reverse=True)[:DAYS]
        for path in readable:
            if _day(path) not in days:
                path.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._closed.is_set():
            if self._is_due():
                self._try()
            if self._changed.wait(_LOOK_EVERY_S):
                self._closed.wait(_FIRST_AFTER_S)
                self._changed.clear()

    def _try(self) -> None:
        try:
            if self._store().count:
                self.make()
        except Unavailable:
            pass  # said elsewhere, where it is the memory itself
        except (OSError, RecollectError) as error:
            log.warning("no backup of the memories could be made: %s", error)
        except Exception:
            log.exception("no backup of the memories could be made")

    def _is_due(self) -> bool:
        try:
            memories = self._store().count
        except RecollectError:
            return False
        now = time.time()
        if not memories or (self.error is not None and now - self._failed_at < _RETRY_S):
            return False
        newest = next(
            (path for path in self.files() if _day(path) <= time.strftime("%Y%m%d") and self._count(path)), None
        )
        if newest is None:
            return True
        age = now - _made_at(newest, now)
        return age >= _EVERY_S or (age >= _GROWN_AFTER_S and memories >= 2 * (self._count(newest) or 0))


def count(path: Path) -> int | None:
    """How many memories a file of JSON Lines holds; None where a line is none."""
    number = 0
    try:
        with open(path, "rb") as file:
            for line in file:
                if not isinstance(json.loads(line)["content"], str):
                    return None
                number += 1
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return number


def _verified(path: Path, expected: int) -> None:
    if count(path) != expected:
        raise UserError("what was written cannot be read back", code="bad_backup")


def _day(path: Path) -> str:
    return path.name[7:15]


def _is_future(path: Path) -> bool:
    return _day(path) > time.strftime("%Y%m%d")


def _is_partial(path: Path) -> bool:
    return path.name.endswith("-partial.jsonl")


def _order(path: Path) -> tuple[str, str]:
    """Of a day, the plain name is the newest."""
    match = _NAME.fullmatch(path.name)
    return (match[1], match[2] or "999999") if match is not None else ("", "")


def _made_at(path: Path, now: float) -> float:
    """When a backup was made: by its file, or by its name where the file's time lies in the future."""
    changed = path.stat().st_mtime
    if changed <= now:
        return changed
    try:
        return time.mktime(time.strptime(_day(path), "%Y%m%d"))
    except (ValueError, OverflowError):
        return 0.0
