"""The processes that work for a data directory, and how all of them are ended. Standard library only."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from recollect import client
from recollect.errors import Unavailable
from recollect.home import START_LOCK, mark_stopped, run_folder, socket_path
from recollect.private import open_private

_MODULES = frozenset(f"recollect.server.{name}" for name in ("daemon", "indexer", "worker"))
_GRACE_S = 10.0  # for a daemon that is asked to end; it takes well under a second
_START_S = 10.0  # for a start that has begun
_KILLED_S = 10.0  # for processes that were killed; only a dead mount keeps one longer
_LOOK_S = 0.05


class Process(NamedTuple):
    """`started`: what differs where another process has got the same number since."""

    pid: int
    started: str
    parent: int
    arguments: tuple[str, ...] = ()


def of_home(home: Path) -> list[Process]:
    """Our processes that work for a data directory, and all that they have started; zombies and others' left out."""
    everything = list(_processes())
    place = os.path.realpath(home)
    found = {item.pid: item for item in everything if _works_for(item.arguments, place)}
    grew = True
    while grew:
        below = [item for item in everything if item.parent in found and item.pid not in found]
        found |= {item.pid: item for item in below}
        grew = bool(below)
    found.pop(os.getpid(), None)
    return list(found.values())


def below(pid: int) -> list[Process]:
    """All that a process has started, and what that has."""
    found = [item for item in _processes() if item.parent == pid]
    return [*found, *(inner for item in found for inner in below(item.pid))]


def stop(home: Path) -> bool:
    """End every process of a data directory: asked first, killed where that does not help. Whether there was any.

    Returns when all of them have gone and the lock is free. Raises Unavailable: some process cannot be ended.
    """
    if not any(item.arguments for item in of_home(home)):
        return False
    with _starts_wait(home):
        left = _end(home)
    if left:
        numbers = ", ".join(str(item.pid) for item in left)
        hint = "They wait for a file system that does not answer: see `mount`, then try again."
        raise Unavailable(f"these processes cannot be ended: {numbers}", hint=hint, code="not_stopped")
    with suppress(OSError):
        if not is_locked(home):
            socket_path(home).unlink(missing_ok=True)
    return True


def _end(home: Path) -> list[Process]:
    """Those that are left after they were asked, then killed."""
    mark_stopped(home)  # so that no agent's session that only waits starts another one
    ours = {item.pid: item for item in of_home(home)}
    daemons = [item for item in ours.values() if "recollect.server.daemon" in item.arguments]
    for item in daemons or list(ours.values()):
        _send(item, signal.SIGTERM)
        _send(item, signal.SIGCONT)  # a suspended one does not end
    left = _wait(home, ours, _GRACE_S)
    if left:
        for item in left:
            _send(item, signal.SIGKILL)
        left = _wait(home, ours, _KILLED_S)
    return left


@contextmanager
def _starts_wait(home: Path) -> Iterator[None]:
    """Have whoever asks meanwhile wait before a daemon is started: it would be one more to end, and its calls lost.

    A start that has begun is waited for; one that hangs is not.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # a full disk, a folder that was removed: all must end all the same
            lock = open_private(run_folder(home) / START_LOCK, os.O_RDWR | os.O_CREAT)
            stack.callback(os.close, lock)
            until = time.monotonic() + _START_S
            while not _is_taken(lock) and time.monotonic() < until:
                time.sleep(_LOOK_S)
        yield


def _is_taken(lock: int) -> bool:
    """Whether we have a lock now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(home: Path) -> bool:
    """Whether a process holds the lock of a data directory."""
    try:
        descriptor = os.open(home / "run" / "daemon.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _is_taken(descriptor)
    finally:
        os.close(descriptor)


def _wait(home: Path, ours: dict[int, Process], limit_s: float) -> list[Process]:
    """Wait until all have gone, those too that come meanwhile (they are added to `ours`); which of them are left."""
    until = time.monotonic() + limit_s
    while True:
        ours |= {item.pid: item for item in of_home(home)}
        alive = {(item.pid, item.started) for item in _processes(ours)}
        left = [item for item in ours.values() if (item.pid, item.started) in alive]
        if not left or time.monotonic() >= until:
            return left
        time.sleep(_LOOK_S)


def _send(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process, if that is still the one it was."""
    with suppress(OSError):
        if any(item.started == process.started for item in _processes([process.pid])):
            os.kill(process.pid, number)


def _works_for(arguments: Collection[str], home: str) -> bool:
    if _MODULES.isdisjoint(arguments):
        return False
    places = (os.path.realpath(item) for item in arguments if item.startswith("/"))
    return any(place == home or place.startswith(home + "/") for place in places)


def _processes(numbers: Collection[int] | None = None) -> Iterator[Process]:
    """The running processes of this user; with `numbers`, those of them alone."""
    if sys.platform.startswith("linux"):
        names = map(str, numbers) if numbers is not None else (name for name in os.listdir("/proc") if name.isdigit())
        for name in names:
            with suppress(OSError, ValueError, IndexError):
                if os.stat(f"/proc/{name}").st_uid != os.geteuid():
                    continue
                fields = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
                if fields[0] in (b"Z", b"X"):
                    continue
                words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
                yield Process(int(name), fields[19].decode(), int(fields[1]), tuple(map(os.fsdecode, words)))
        return
    for line in client.process_table():
        words = os.fsdecode(line).split()
        if len(words) > 8 and words[2][0] != "Z" and (numbers is None or int(words[0]) in numbers):
            yield Process(int(words[0]), " ".join(words[3:8]), int(words[1]), tuple(words[8:]))
