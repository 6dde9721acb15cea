"""The daemon's side of the indexer process: starts it, asks it, starts it again when it dies."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recollect.errors import RecollectError, Unavailable, from_dict
from recollect.jobs.pipe import Pipe, Started, start_indexer
from recollect.jobs.synchronise import CommittedFiles, Ended, Options
from recollect.model import EmbedderChoice, Progress
from recollect.records import dataclass
from recollect.sync.ignore import INDEX_CHANGED

_FEW_NAMES: Final = 4  # of an edit: a file, and what an editor wrote beside it
_ATTEMPTS: Final = 3  # times that a sync is started again because the indexer died
log = logging.getLogger("recollect.indexer")


@dataclass(frozen=True, slots=True)
class Request:
    """A sync of `root` into the index at `folder`. `verify`: check what is stored first. `sibling`: folder of the index
    of another work tree of the same repository, to begin from a copy of, where there is none yet.
    """

    id: int
    folder: str
    root: str
    options: Options = Options()
    verify: bool = False
    sibling: str | None = None


@dataclass(slots=True)
class _Running:
    message: tuple[str, Any]
    future: Future[Any]
    on_progress: Callable[[Progress], None]
    on_commit: Callable[[CommittedFiles], None]
    attempts: int = 1


class IndexerProcess:
    """Thread-safe. Callbacks come from the thread that reads the socket: they must be short."""

    def __init__(
        self,
        home: Path,
        workers: int = 2,
        queue_size: int = 10_000,
        batch_size: int = 100,
        started: Started | None = None,
    ) -> None:
        """`queue_size`: chunks that may wait between parse workers and writer; `batch_size`: handed over at a time;
        `started`: by `start_indexer`, already.
        """
        self._home = home
        self._sizes = workers, queue_size, batch_size
        self._ahead = started
        self._lock = threading.RLock()
        self._ids = itertools.count(1)
        self._running: dict[int, _Running] = {}
        self._commits: dict[
            int, Callable[[CommittedFiles], None]
        ] = {}  # also after a sync's end: segments are merged then
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Pipe | None = None
        self._reader: threading.Thread | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the running indexer."""
        return self._process.pid if self._process is not None else None

    def warm(self) -> None:
        """Start the process before it is needed."""
        with self._lock:
            if self._pipe is None and not self._closed:
                try:
                    self._launch()
                except OSError as error:  # answers from what is indexed do not need it
                    log.warning("the indexer cannot be started: %s", error.strerror)

    def sync(
        self,
        folder: Path,
        root: Path,
        options: Options,
        *,
        verify: bool = False,
        sibling: Path | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_commit: Callable[[CommittedFiles], None] = lambda files: None,
    ) -> tuple[int, Future[Ended]]:
        """Start a sync: (number to cancel it by, its future)."""
        self._foresee(root, options)
        with self._lock:
            copied = os.fspath(sibling) if sibling is not None else None
            request = Request(next(self._ids), os.fspath(folder), os.fspath(root), options, verify, copied)
            running = _Running(("sync", request), Future(), on_progress, on_commit)
            self._commits[request.id] = on_commit
            for old in list(self._commits)[:-200]:
                if old not in self._running:
                    del self._commits[old]
            self._start(request.id, running)
        return request.id, running.future

    def _foresee(self, root: Path, options: Options) -> None:
        """Of an edit that a question waits for, the file is analysed while it is found out what changed."""
        names = options.dirty if options.interactive and options.dirty is not None else ()
        pipe = self._pipe  # it may go at any moment
        if pipe is not None and 0 < len(names) <= _FEW_NAMES:
            files = tuple(name for name in names if name and name != INDEX_CHANGED)
            with suppress(OSError):
                pipe.send(("foresee", (os.fspath(root), files, options.max_file_bytes)))

    def forget(self, folder: Path) -> Future[None]:
        """Remove an index folder, after the sync that uses it."""
        return self._ask("forget", folder)

    def map(self, folder: Path) -> Future[None]:
        """Bring what is collected of uses of names up to date with an index."""
        return self._ask("map", folder)

    def embed(self, folder: Path, choice: EmbedderChoice) -> Future[int]:
        """Make the vectors of another model that an index lacks; how many were made."""
        return self._ask("embed", folder, choice)

    def question(self, said: str, choice: EmbedderChoice) -> Future[NDArray[np.float32]]:
        """The unit vector `float32[1, dimensions]` of a question by another model."""
        return self._ask("question", said, choice)

    def _ask(self, verb: str, *arguments: Any) -> Future[Any]:
        with self._lock:
            number = next(self._ids)
            given = tuple(os.fspath(value) if isinstance(value, Path) else value for value in arguments)
            message = (verb, (number, *given))
            running = _Running(message, Future(), lambda progress: None, lambda files: None)
            self._start(number, running)
        return running.future

    def cancel(self, number: int) -> None:
        with self._lock, suppress(OSError):
            if self._pipe is not None and number in self._running:
                self._pipe.send(("cancel", number))

    def let_go(self) -> None:
        """Have the process give back memory that it only keeps to be quicker next time."""
        with self._lock, suppress(OSError):
            if self._pipe is not None:
                self._pipe.send(("let_go", None))

    def close(self) -> None:
        """End the process and everything that it started."""
        with self._lock:
            self._closed = True
            process, pipe, self._pipe = self._process, self._pipe, None
            failed, self._running = list(self._running.values()), {}
        if pipe is not None:
            pipe.close()
        if process is not None:
            _end(process)
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(timeout=5)
        for running in failed:
            running.future.set_exception(
                Unavailable("Recollect is shutting down", hint="Ask again: it starts by itself.", code="shutting_down")
            )

    def _start(self, number: int, running: _Running) -> None:
        if self._closed:
            raise Unavailable(
                "Recollect is shutting down", hint="Ask again: it starts by itself.", code="shutting_down"
            )
        try:
            if self._pipe is None:
                self._launch()
        except OSError as error:  # no memory, no descriptor left
            message = f"the indexer cannot be started: {error.strerror}"
            raise Unavailable(message, hint="recollect doctor", code="no_indexer") from error
        assert self._pipe is not None
        self._running[number] = running
        with suppress(OSError):  # it died this moment: the reading thread notices, and starts everything again
            self._pipe.send(running.message)

    def _launch(self) -> None:
        started, self._ahead = self._ahead, None
        self._process, self._pipe = started or start_indexer(self._home)
        with suppress(OSError):  # where it is gone already, the reading thread notices
            self._pipe.send(self._sizes)
        arguments = (self._pipe, self._process)
        self._reader = threading.Thread(target=self._read, args=arguments, name="indexer-events", daemon=True)
        self._reader.start()

    def _read(self, pipe: Pipe, process: subprocess.Popen[bytes]) -> None:
        while True:
            try:
                event, number, value = pipe.receive()
            except EOFError:
                break
            except Exception:  # what it sends is not to be understood: it is beyond help
                log.exception("the indexer is ended")
                break
            try:
                self._handle(event, number, value)
            except Exception:  # all the others wait for this thread
                log.exception("%s of request %s", event, number)
        _end(process)
        self._died(pipe, process)

    def _handle(self, event: str, number: int, value: Any) -> None:
        if event == "committed":
            commit = self._commits.get(number)
            if commit is not None:
                commit(value)
            return
        with self._lock:
            running = self._running.get(number) if event == "progress" else self._running.pop(number, None)
        if running is None:
            return
        if event == "progress":
            running.on_progress(value)
            return
        try:
            found = Ended.unpacked(value) if event == "synced" else value
            error = from_dict(value) if event == "failed" else None
        except Exception as bug:  # whoever waits must not wait forever
            log.exception("the end of request %s cannot be understood", number)
            found, error = None, RecollectError(f"{type(bug).__name__}: {bug}")
        if error is not None:
            running.future.set_exception(error)
        else:
            running.future.set_result(found)

    def _died(self, pipe: Pipe, process: subprocess.Popen[bytes]) -> None:
        lost: list[tuple[_Running, Unavailable]] = []
        with self._lock:
            if self._closed or self._pipe is not pipe:
                return
            pipe.close()
            self._pipe = None
            log.warning("the indexer ended (%s); %d requests start again", process.returncode, len(self._running))
            again, self._running = self._running, {}
            for number, running in again.items():
                running.attempts += 1
                if running.attempts > _ATTEMPTS:
                    message = f"the indexer died {_ATTEMPTS} times during this"
                    lost.append(
                        (
                            running,
                            Unavailable(
                                message,
                                hint="Ask again; the end of run/indexer.log says why. If it goes on: recollect doctor",
                                code="indexer_died",
                            ),
                        )
                    )
                    continue
                try:
                    self._start(number, running)
                except Unavailable as error:
                    lost.append((running, error))
        for running, reason in lost:
            running.future.set_exception(reason)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group; its workers may hang in a grammar."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=1.0)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
