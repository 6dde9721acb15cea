"""A file system that fails below one folder: the calls that ask it raise an error, or do not return."""

from __future__ import annotations

import builtins
import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

from recollect.sync.inotify import Inotify

_CALLS = ("stat", "lstat", "scandir", "open", "readlink", "listdir")
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _PR_CAPBSET_DROP = 1, 2, 24


class Faults:
    """Counts the calls that ask for something at or below a folder; from the `first`-th on, `count` of them fail."""

    def __init__(self, root: Path, number: int, first: int = 0, count: int = 1_000_000) -> None:
        self._root = os.fspath(root)
        self._number = number
        self._failing = range(first, first + count)
        self._lock = threading.Lock()
        self.calls = 0

    @property
    def came_to_fail(self) -> bool:
        return self.calls > self._failing.start

    def check(self, path: Any, dir_fd: int | None) -> None:
        place = _place(path, dir_fd)
        if place != self._root and not place.startswith(self._root + "/"):
            return
        with self._lock:
            self.calls += 1
            fails = self.calls - 1 in self._failing
        if fails:
            self.fail(place)

    def fail(self, place: str) -> None:
        raise OSError(self._number, os.strerror(self._number), place)


class Hanging(Faults):
    """The calls wait until `released` is set."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, 0)
        self.released = threading.Event()

    def fail(self, place: str) -> None:
        self.released.wait(120)


@contextmanager
def failing(faults: Faults) -> Iterator[Faults]:
    """Let the calls of this process fail as `faults` says."""
    patches = {name: _checked(getattr(os, name), faults) for name in _CALLS}
    add = Inotify.add

    def watched(self: Inotify, folder: bytes) -> int:
        faults.check(folder, None)
        return add(self, folder)

    with (
        mock.patch.multiple(os, **patches),
        mock.patch.object(builtins, "open", _checked(builtins.open, faults)),
        mock.patch.object(Inotify, "add", watched),
    ):
        yield faults


def without_privileges() -> None:
    """As `preexec_fn`: root obeys the modes of files like anybody else from here on."""
    with suppress(OSError, AttributeError):
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def _checked(call: Callable[..., Any], faults: Faults) -> Callable[..., Any]:
    def checked(path: Any = ".", *arguments: Any, **named: Any) -> Any:
        faults.check(path, named.get("dir_fd"))
        return call(path, *arguments, **named)

    return checked


def _place(path: Any, dir_fd: int | None) -> str:
    """The path that a call asks for, also where it is given relative to a descriptor."""
    try:
        if isinstance(path, int):
            return _READLINK(f"/proc/self/fd/{path}")
        text = os.fsdecode(path)
        return os.path.join(_READLINK(f"/proc/self/fd/{dir_fd}"), text) if dir_fd is not None else text
    except (OSError, TypeError):
        return ""


_READLINK = os.readlink
