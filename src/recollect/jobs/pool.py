"""Parse workers: plain child processes, each driven by a thread, so that the death of one costs one file.

A file that ends a worker is tried once more, alone; if it does so again it is quarantined by (content hash, grammar) and
indexed by lines. `concurrent.futures.ProcessPoolExecutor` cannot serve: a dead worker breaks the whole pool and hides
the culprit.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from recollect import languages
from recollect.errors import Cancelled, Unavailable
from recollect.index.analyse import Analysed
from recollect.jobs import pipe
from recollect.records import dataclass
from recollect.store.cache import ParseCache
from recollect.sync.tree import Stat

DEADLINE_CPU_S: Final = 10.0  # processor time for one file; the slowest of 20,000 real files took 0.9 s
_HOSTILE: Final = 3  # files of one sync that ran out of it; each of those after them gets …
_DEADLINE_HOSTILE_S: Final = 2.0  # … for a repository may be full of such
_DEADLINE_S: Final = 120.0  # by the clock: a worker that answers nothing for so long (a hung mount) is ended
WORKER: Final = (sys.executable, "-m", "recollect.server.worker")
_MANY_FILES: Final = 500  # of a worker that holds 100 MB of what it has seen: it is renewed …
_IDLE_S: Final = 300.0  # … when there was nothing to do for so long
NICE_ASKED: Final = 10  # of what somebody asked for, and of all that the indexer does but edits
NICE_BACKGROUND: Final = 19
_STARTS: Final = 3  # of a worker that fail one after another before its sync does
_BATCH_FILES: Final = 16
_CHUNK_BYTES: Final = 2_000  # about, of a file that is to be cut
log = logging.getLogger("recollect.pool")


@pipe.quick_to_send
@dataclass(frozen=True, slots=True)
class Task:
    """A file to read and analyse. `hash`: its content when it was scanned; `identity`: of the root then. `nice`: how far the
    worker gives way to the rest of the machine. At 0 a question may be waiting: the worker fills the parse cache itself, once it
    has answered; else what belongs there comes with the answer, to be stored with that of others.
    """

    root: str
    path: str
    hash: bytes
    size: int
    max_file_bytes: int
    use_cache: bool = True
    grammar: bool = True
    nice: int = NICE_BACKGROUND
    attempt: int = 0
    identity: tuple[int, int] | None = None
    deadline_cpu_s: float = DEADLINE_CPU_S
    stat: Stat | None = None  # by which hard links to it were looked at


@pipe.quick_to_send
@dataclass(frozen=True, slots=True)
class Answer:
    """`outcome`: done | vanished | unreadable | changed | crashed (the worker died of it, again and again)."""

    path: str
    outcome: str
    message: str = ""
    stat: Stat | None = None
    result: Analysed | None = None
    cache: tuple[bytes, bytes] | None = None

    @property
    def chunks(self) -> int:
        return len(self.result.chunks) if self.result is not None else 0


class Job:
    """The files of one sync: answers are taken with `answers()` by the thread that submitted it."""

    def __init__(self, tasks: Sequence[Task], interactive: bool, max_waiting_chunks: int) -> None:
        self.tasks = deque(tasks)
        self.interactive = interactive
        self.left = len(tasks)
        self.cancelled = False
        self.timeouts = 0  # files that took too much processor time
        self._answers: deque[Answer] = deque()
        self._waiting = 0
        self._most = max_waiting_chunks
        self._changed = threading.Condition()
        self._failure: Exception | None = None

    def put(self, answer: Answer) -> None:
        """From a worker's thread; waits while the writer has too much to do."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting <= self._most or self.cancelled)
            self._answers.append(answer)
            self._waiting += answer.chunks
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def cancel(self) -> None:
        with self._changed:
            self.cancelled = True
            self._changed.notify_all()

    def answers(self) -> Iterator[Answer | None]:
        """All answers, in no particular order; None about ten times a second where none comes. Raises Cancelled."""
        while self.left:
            with self._changed:
                self._changed.wait_for(lambda: self._answers or self.cancelled or self._failure, timeout=0.1)
                if self.cancelled:
                    raise Cancelled("the sync was cancelled")
                if self._failure is not None:
                    raise self._failure
                answer = self._answers.popleft() if self._answers else None
                if answer is not None:
                    self._waiting -= answer.chunks
                    self.left -= 1
                    self._changed.notify_all()
            yield answer


class ParsePool:
    """Workers are started with the first job and stay. Thread-safe."""

    def __init__(
        self,
        cache_path: Path,
        workers: int,
        max_waiting_chunks: int = 10_000,
        batch_chunks: int = 100,
        command: Sequence[str] = WORKER,
        started: Sequence[pipe.StartedOrForked] = (),
    ) -> None:
        """`command` starts a worker; descriptor and cache path are added to it. `started`: the first ones, already."""
        self._command = command
        self._started_ahead = deque(started)
        self._batch_bytes = batch_chunks * _CHUNK_BYTES
        self.cache = ParseCache(cache_path)
        self._cache_path = cache_path
        self._size = max(workers, 1)
        self._max_waiting = max_waiting_chunks
        self._jobs: list[tuple[int, int, Job]] = []  # a heap: interactive first, then in turn
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle: dict[int, _Worker | None] = {}  # those that wait for something to do
        self._given: dict[int, tuple[Job, list[Task]]] = {}  # what was sent to one of these
        self._ahead: dict[int, set[tuple[str, str]]] = {}  # (root, path) of what one of these begins with ahead
        self._processes: dict[int, subprocess.Popen[bytes] | pipe.Forked] = {}
        self._closed = False
        self._quarantine = self.cache.quarantined()

    def submit(self, tasks: Sequence[Task], *, interactive: bool = False) -> Job:
        """Start analysing; the caller takes `job.answers()`, or cancels the job."""
        job = Job([self._checked(task) for task in tasks], interactive, self._max_waiting)
        if tasks:
            self.warm()
        worker = None
        with self._changed:
            ready = self._ready() if len(job.tasks) == 1 else []
            if ready:
                file = job.tasks[0].root, job.tasks[0].path
                number = next((one for one in ready if file in self._ahead.get(one, ())), ready[0])
                worker = self._idle.pop(number)
                batch = [job.tasks.popleft()]
                self._given[number] = job, batch
            elif tasks:
                heapq.heappush(self._jobs, (0 if interactive else 1, next(self._order), job))
            self._changed.notify_all()
        if worker is not None:
            worker.send(batch)  # while the thread that waits for its answer is still waking up
        return job

    def foresee(self, root: str, paths: Sequence[str], max_file_bytes: int) -> None:
        """Have an idle worker begin with the first of these that is there: most probably it is submitted in a moment.

        At most once for each worker until it is given something, so that guesses never pile up before what is asked for.
        """
        grammars = {grammar for _, grammar in self._quarantine}
        files = tuple(path for path in paths if _grammar(path) not in grammars)
        with self._changed:
            free = [number for number in self._ready() if number not in self._ahead]
            worker = self._idle[free[0]] if free and files else None
            if worker is not None:
                self._ahead[free[0]] = {(root, path) for path in files}
        if worker is not None:
            worker.send((root, files, max_file_bytes))

    def _ready(self) -> list[int]:
        """Workers that could take a file now. The first has had most of the single ones: its caches are the warmest."""
        return sorted(number for number, worker in self._idle.items() if worker is not None) if not self._jobs else []

    def warm(self) -> None:
        """Start the workers before they are needed."""
        with self._changed:
            while len(self._threads) < self._size:
                number = len(self._threads)
                thread = threading.Thread(target=self._drive, args=(number,), name=f"parse-{number}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for process in list(self._processes.values()):
            with suppress(OSError):
                process.kill()
        for thread in self._threads:
            thread.join(timeout=5)
        self.cache.close()

    # -- one thread per worker ----------------------------------------------------------------------------------------

    def _drive(self, number: int) -> None:
        worker = self._started(number)
        failures = 0  # to start, one after another
        while True:
            taken = self._take(number, worker)
            if taken is None:
                if worker is not None:
                    worker.end()
                if self._closed:
                    return
                worker = self._started(number)
                continue
            job, batch, sent = taken
            worker = worker or self._started(number)
            if worker is None:
                self._not_started(job)
                continue
            if not sent:
                if job.timeouts >= _HOSTILE:
                    batch = [replace(task, deadline_cpu_s=_DEADLINE_HOSTILE_S) for task in batch]
                worker.send(batch)
            done = worker.pass_on(len(batch), job)
            failures = 0 if worker.began else failures + 1
            if done < len(batch):
                if worker.began:
                    self._lost(job, batch[done:], worker)
                else:  # not for what it was given, which it never saw
                    worker.end()
                    self._again(job, batch)
                    if failures >= _STARTS:
                        self._not_started(job)
                worker = None

    def _started(self, number: int) -> _Worker | None:
        try:
            ahead = self._started_ahead
            worker = _Worker(ahead.popleft() if ahead else pipe.start(self._command, [os.fspath(self._cache_path)]))
        except OSError:
            return None
        self._processes[number] = worker.process
        return worker

    def _take(self, number: int, worker: _Worker | None) -> tuple[Job, list[Task], bool] | None:
        """What `submit` gave to this worker already, else the next few files of the most urgent job (and whether they were
        sent to it); None at the end of the pool, or where the worker is to be renewed: it did much, and keeps what it has
        seen, which is of no use to who does nothing.
        """
        much, idle = worker is not None and worker.files > _MANY_FILES, False
        with self._changed:
            self._idle[number] = worker
            try:
                while not self._closed:
                    if number in self._given:
                        return (*self._given.pop(number), True)
                    while self._jobs and (self._jobs[0][2].cancelled or not self._jobs[0][2].tasks):
                        heapq.heappop(self._jobs)
                    if self._jobs:
                        job = self._jobs[0][2]
                        return job, _batch(job.tasks, len(self._threads), self._batch_bytes), False
                    if idle:
                        return None
                    idle = not self._changed.wait(_IDLE_S if much else None)  # then looked at once more
                return None
            finally:
                self._idle.pop(number, None)
                self._ahead.pop(number, None)

    def _lost(self, job: Job, unanswered: Sequence[Task], worker: _Worker) -> None:
        """A worker died at the first of these files: try that one again alone, the others as before."""
        signalled = worker.end()
        if self._closed:
            return
        culprit, *others = unanswered
        reason = "parse_timeout" if signalled in (signal.SIGPROF, signal.SIGKILL) else "parser_crashed"
        # Its own processor time ran out, whatever went before: another try would take as long. All else may have been chance.
        is_sure = signalled == signal.SIGPROF and not worker.guessing
        job.timeouts += is_sure
        if culprit.attempt >= 3 or (is_sure and not culprit.grammar):
            job.put(Answer(culprit.path, "crashed", reason))
            retry = None
        elif culprit.grammar and (culprit.attempt >= 1 or is_sure):
            grammar = _grammar(culprit.path)
            self.cache.quarantine(culprit.hash, grammar, reason)
            self._quarantine[culprit.hash, grammar] = reason
            retry = replace(culprit, grammar=False, attempt=culprit.attempt + 1)
        else:
            retry = replace(culprit, attempt=culprit.attempt + 1)
        self._again(job, [retry, *others] if retry is not None else others)

    def _again(self, job: Job, tasks: Sequence[Task]) -> None:
        """Have these files of a job done before its others."""
        with self._changed:
            job.tasks.extendleft(reversed(tasks))
            if job.tasks:
                heapq.heappush(self._jobs, (0 if job.interactive else 1, next(self._order), job))
                self._changed.notify_all()

    @staticmethod
    def _not_started(job: Job) -> None:
        hint = "Why, is at the end of run/indexer.log; a broken installation is mended by installing again."
        job.fail(Unavailable("a parse worker cannot be started", hint=hint, code="no_worker"))

    def _checked(self, task: Task) -> Task:
        if (task.hash, _grammar(task.path)) in self._quarantine:
            return replace(task, grammar=False)
        return task


class _Worker:
    def __init__(self, started: pipe.StartedOrForked) -> None:
        self.began = False  # to work: it has said so
        self.files = 0  # that it has answered for
        self.guessing = False  # it may be at a file that nobody has asked for yet
        self.process, self._pipe = started
        self._pipe.limit(_DEADLINE_S)

    def send(self, batch: list[Task] | tuple[str, Sequence[str], int]) -> None:
        """Hand over files; where it is dead, `pass_on` tells. A tuple (see `ParsePool.foresee`): it answers nothing."""
        self.guessing |= isinstance(batch, tuple)
        with suppress(OSError):
            self._pipe.send(batch)

    def pass_on(self, files: int, job: Job) -> int:
        """Pass the answers to so many files on; how many there were before the worker died, if it did."""
        done = 0
        try:
            while done < files:
                answer: Answer | None = self._pipe.receive()
                if answer is None:
                    self.began = True
                else:
                    job.put(answer)
                    done += 1
                    self.guessing = False
        except (EOFError, OSError):
            pass
        except Exception:  # a grammar has damaged its memory
            log.exception("the answer of a parse worker is not to be understood: it is ended")
        self.files += done
        return done

    def end(self) -> int:
        """Kill it; returns the signal that it died of."""
        self._pipe.close()
        if self.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.2)  # it may be about to be reaped after a crash of its own
        self.process.kill()
        return -self.process.wait()


def _batch(tasks: deque[Task], workers: int, most_bytes: int) -> list[Task]:
    """A few files at once, so that neither side waits for the other; a file under suspicion alone."""
    batch = [tasks.popleft()]
    held = batch[0].size
    most = min(_BATCH_FILES, max(1, len(tasks) // (2 * max(workers, 1))))
    while tasks and len(batch) < most and held < most_bytes and not batch[0].attempt and not tasks[0].attempt:
        batch.append(tasks.popleft())
        held += batch[-1].size
    return batch


def _grammar(path: str) -> str:
    return languages.detect(path).grammar or ""
