"""Messages between our own processes: pickles with a length in front, over a pair of sockets.

Both ends are this program, started by it; nothing else can reach the sockets, so unpickling is safe.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar, cast

from recollect.home import run_folder
from recollect.private import opener

_T = TypeVar("_T")
_LONGEST_LOG = 2_000_000  # bytes; a longer one begins anew with the next indexer


def quick_to_send(message: type[_T]) -> type[_T]:
    """Decorator of a dataclass of several fields: pickled by their values alone, in two thirds of the time."""
    values = attrgetter(*cast(Any, message).__dataclass_fields__)

    def reduced(self: _T) -> tuple[type[_T], tuple[Any, ...]]:
        return message, values(self)

    setattr(message, "__reduce__", reduced)  # noqa: B010
    return message


class Pipe:
    """One end. `send` from any thread, `receive` from one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = connection.makefile("rb", buffering=1 << 18)
        self._sending = threading.Lock()

    def send(self, message: Any) -> None:
        """Raises OSError where the other end is gone."""
        block = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        with self._sending:
            self._connection.sendall(len(block).to_bytes(8, "little") + block)

    def receive(self) -> Any:
        """The next message. Raises EOFError where the other end is gone."""
        try:
            header = self._reader.read(8)
            size = int.from_bytes(header, "little")
            block = self._reader.read(size) if len(header) == 8 else b""
        except OSError as error:
            raise EOFError from error
        if len(header) < 8 or len(block) < size:
            raise EOFError
        return pickle.loads(block)

    def limit(self, seconds: float) -> None:
        """From now on the other end counts as gone where it says nothing for so long."""
        self._connection.settimeout(seconds)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


class Forked:
    """A child that was forked, with what is asked of a `subprocess.Popen` here. Thread-safe."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Its exit status, or the negative of the signal that it died of; None while it lives."""
        with self._lock:
            if self._status is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self._status = os.waitstatus_to_exitcode(status) if pid else None
            return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        until = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired("", timeout or 0.0)
            time.sleep(0.001)
        return status

    def kill(self) -> None:
        with self._lock:
            if self._status is None:
                with contextlib.suppress(OSError):
                    os.kill(self.pid, signal.SIGKILL)


Started = tuple[subprocess.Popen[bytes], Pipe]
StartedOrForked = tuple[subprocess.Popen[bytes] | Forked, Pipe]


def start(
    command: Sequence[str], arguments: Sequence[str], *, output: Any = subprocess.DEVNULL, leader: bool = False
) -> Started:
    """A child `command FD arguments…` and our end of the pipe whose other end is its descriptor FD.

    `leader`: of a process group of its own, so that it can be ended together with what it starts. Raises OSError.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [*command, str(theirs.fileno()), *arguments],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output if leader else None,
            # One arena: with one for each thread, what threads that come and go freed would stay with the process.
            env={"MALLOC_ARENA_MAX": "1", **os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            # No session of its own: Linux would give it as much of a processor as all of ours that answer (autogroup).
            process_group=0 if leader else None,
        )
    return process, Pipe(ours)


def fork(run: Callable[[socket.socket], None], name: tuple[bytes, bytes]) -> tuple[Forked, Pipe]:
    """A child that goes on from here with `run` and its end of a pipe: it need not import what this process has imported.

    For a process of one thread that has opened nothing but what it was given: of open files the child keeps the first three
    alone. `name`: a part of the command line, and what the child has in its place. Raises OSError.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return Forked(pid), Pipe(ours)
    try:
        for descriptor in map(int, os.listdir("/dev/fd")):
            if descriptor > 2 and descriptor != theirs.fileno():
                with contextlib.suppress(OSError):  # that of the list itself
                    os.close(descriptor)
        _rename(*name)
        run(theirs)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _rename(old: bytes, new: bytes) -> None:
    """Replace a part of the command line by which the system knows this process. Linux shows what lies in its memory."""
    import ctypes

    with contextlib.suppress(OSError, ValueError, IndexError):
        start, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
        line = ctypes.string_at(start, end - start) if start else b""
        ctypes.memmove(start, line.replace(old, new.ljust(len(old), b"\0"), 1), len(line))


def start_indexer(home: Path) -> Started:
    """The indexer of a home: it imports what it needs, then waits for its sizes. Raises OSError.

    Here, where little else is imported, so that a daemon can start it first of all.
    """
    command = (sys.executable, "-m", "recollect.server.indexer")
    with open(run_folder(home) / "indexer.log", "ab", opener=opener) as log_file:
        if log_file.tell() > _LONGEST_LOG:
            log_file.truncate(0)
        return start(command, [os.fspath(home)], output=log_file, leader=True)
