"""Which repositories are being synced now, which wait their turn, and how far each has come."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path

from recollect.errors import Cancelled, RecollectError
from recollect.jobs.indexer import IndexerProcess
from recollect.jobs.synchronise import CommittedFiles, Ended, Options, success_rate
from recollect.model import FileError, Progress, SyncResult, SyncStatus
from recollect.sync.watch import Taken, Watcher

log = logging.getLogger("recollect.syncs")


class Urgency(IntEnum):
    """Who waits for a sync."""

    QUESTION = 0  # a search, for a moment: starts beside those that fill the slots
    ASKED = 1  # a person or an agent
    BACKGROUND = 2  # nobody


@dataclass(slots=True, eq=False)
class Run:
    """One requested sync. `future` always ends with a result: a failure is one whose `status` says so.

    `everything`: look at all files, also where the watcher knows which ones changed.
    """

    repository_id: str
    folder: Path
    root: Path
    options: Options
    urgency: Urgency = Urgency.ASKED
    everything: bool = False
    verify: bool = False
    sibling: Path | None = None  # index folder of another work tree of the same repository
    status: SyncStatus = SyncStatus.QUEUED
    progress: Progress = Progress(phase="queued")
    committed: CommittedFiles = CommittedFiles()
    future: Future[SyncResult] = field(default_factory=Future)
    error: RecollectError | None = None
    requested_at: float = field(default_factory=time.time)
    listeners: list[Callable[[Progress], None]] = field(default_factory=list)
    number: int | None = None
    taken: Taken | None = None
    ended: Ended | None = None
    halted: bool = False  # by a pause: it goes on later
    finished: bool = False  # its end is noted, or is being noted


class Syncs:
    """At most `max_concurrent` run at once; those that somebody waits for first. Thread-safe."""

    def __init__(
        self,
        indexer: IndexerProcess,
        watcher: Watcher,
        max_concurrent: int,
        on_commit: Callable[[str], None],
        on_end: Callable[[Run, SyncResult], SyncResult],
        check: Callable[[Run], None] = lambda run: None,
    ) -> None:
        """`check` raises what forbids a run, and waits for no disk.

        `on_end` is called before the run's future ends; it hands what was taken back to the watcher, and returns what is
        said of the sync.
        """
        self._indexer = indexer
        self._watcher = watcher
        self._most = max_concurrent
        self._on_commit = on_commit
        self._on_end = on_end
        self._check = check
        self._lock = threading.RLock()
        self._waiting: list[tuple[int, int, Run]] = []
        self._order = itertools.count()
        self._running: dict[str, Run] = {}
        self._queued: dict[str, Run] = {}

    def request(self, run: Run, *, join: bool = False, listener: Callable[[Progress], None] | None = None) -> Run:
        """Ask for a sync; returns `run`, or the one that serves in its place.

        One that waits already is joined; one that runs may have looked past a recent change, so a new one follows it,
        unless `join` says that any will do.
        """
        with self._lock:
            queued = self._queued.get(run.repository_id)
            running = self._running.get(run.repository_id)
            if queued is not None:
                _merge(queued, run)
                run = queued
            elif join and running is not None:
                run = running
            else:
                self._queued[run.repository_id] = run
            if run.status is SyncStatus.QUEUED:
                heapq.heappush(self._waiting, (run.urgency, next(self._order), run))
            if listener is not None:
                run.listeners.append(listener)
                if running is not None and running is not run:
                    running.listeners.append(listener)  # shows how far the one before has come
            self._start_due()
            return run

    def current(self, repository_id: str) -> Run | None:
        """The run of a repository that is going on, else the one that waits."""
        with self._lock:
            return self._running.get(repository_id) or self._queued.get(repository_id)

    def runs(self) -> list[Run]:
        """Those that go on, then those that wait."""
        with self._lock:
            return [*self._running.values(), *self._queued.values()]

    @property
    def running(self) -> int:
        """How many run now."""
        return len(self._running)

    def allow(self, max_concurrent: int) -> None:
        """Change how many may run at once; those that run go on."""
        with self._lock:
            self._most = max_concurrent
            self._start_due()

    def cancel(self, repository_id: str) -> bool:
        """Stop what runs and what waits; whether there was anything."""
        with self._lock:
            queued = self._queued.pop(repository_id, None)
            running = self._running.get(repository_id)
            if running is not None and running.number is not None:
                self._indexer.cancel(running.number)
        if queued is not None:
            self._finish(queued, None, Cancelled("the sync was cancelled"))
        return queued is not None or running is not None

    def abandon(self, repository_id: str, error: RecollectError) -> None:
        """End a run that hangs as failed, so that its slot serves others. What it still does is stopped when it can be."""
        with self._lock:
            run = self._running.get(repository_id)
            if run is None:
                return
            if run.number is not None:
                self._indexer.cancel(run.number)
        self._finish(run, None, error)

    def halt_background(self) -> None:
        """Stop what nobody asked for, at its next batch; what it committed stays."""
        for run in self.runs():
            if run.urgency is Urgency.BACKGROUND:
                run.halted = True
                self.cancel(run.repository_id)

    def _start_due(self) -> None:
        skipped = []
        while self._waiting:
            entry = heapq.heappop(self._waiting)
            run = entry[2]
            if self._queued.get(run.repository_id) is not run or run.status is not SyncStatus.QUEUED:
                continue  # cancelled, started, or listed twice because it became more urgent
            if run.urgency > Urgency.QUESTION and self._slots_used() >= self._most:
                skipped.append(entry)
                break  # those that come after it are no more urgent
            if run.repository_id in self._running:
                skipped.append(entry)
                continue
            del self._queued[run.repository_id]
            self._running[run.repository_id] = run
            self._start(run)
        for entry in skipped:
            heapq.heappush(self._waiting, entry)

    def _slots_used(self) -> int:
        return sum(run.urgency > Urgency.QUESTION for run in self._running.values())

    def _start(self, run: Run) -> None:
        run.status, run.progress = SyncStatus.RUNNING, Progress(phase="scanning")
        run.taken = self._watcher.take(run.repository_id, run.everything or run.options.full)
        options = replace(run.options, dirty=run.taken.names) if run.taken is not None else run.options

        def progressed(progress: Progress) -> None:
            if progress.percentage < run.progress.percentage:  # it began again: the index was damaged, the indexer died
                progress = replace(progress, percentage=run.progress.percentage, total_known=True)
            run.progress = progress
            for listener in list(run.listeners):
                listener(progress)

        def committed(files: CommittedFiles) -> None:
            run.committed = run.committed.plus(files)
            self._on_commit(run.repository_id)

        try:
            self._check(run)
            run.number, future = self._indexer.sync(
                run.folder,
                run.root,
                options,
                verify=run.verify,
                sibling=run.sibling,
                on_progress=progressed,
                on_commit=committed,
            )
        except RecollectError as error:
            self._finish(run, None, error)
            return
        future.add_done_callback(lambda done: self._ended(run, done))

    def _ended(self, run: Run, done: Future[Ended]) -> None:
        error = done.exception()
        if error is None:
            run.ended = done.result()
            self._finish(run, run.ended.result, None)
        else:
            self._finish(run, None, error if isinstance(error, RecollectError) else RecollectError(str(error)))

    def _finish(self, run: Run, result: SyncResult | None, error: RecollectError | None) -> None:
        with self._lock:
            if run.finished:  # it was abandoned
                return
            run.finished = True
        if result is None:
            assert error is not None
            result = failed_result(run, error)
        run.error = error
        try:
            result = self._on_end(run, result)
        except RecollectError as failure:  # the catalog cannot be written: the sync itself ended as it ended
            log.warning("the end of a sync cannot be noted: %s", failure.message)
        except Exception:  # whoever waits must not wait forever for a bug of ours
            log.exception("the end of a sync cannot be noted")
        with self._lock:
            run.status = SyncStatus(result.status)
            if self._running.get(run.repository_id) is run:
                del self._running[run.repository_id]
        run.future.set_result(result)
        with self._lock:
            self._start_due()


def failed_result(run: Run, error: RecollectError) -> SyncResult:
    """What is said of a sync that ended by an error: what it committed is counted, what it only analysed is lost."""
    cancelled, done = isinstance(error, Cancelled), run.committed
    return SyncResult(
        "",
        str(SyncStatus.CANCELLED if cancelled else SyncStatus.FAILED),
        total_files=max(run.progress.files_total, done.processed),
        processed_files=done.processed,
        new_files=done.new,
        modified_files=done.modified,
        deleted_files=done.deleted,
        chunks_new=done.chunks_new,
        chunks_deleted=done.chunks_deleted,
        success_rate=success_rate(done.failed, done.processed),
        errors=() if cancelled else (FileError("", error.code, error.message),),
        started_at=run.requested_at,
        duration_s=round(time.time() - run.requested_at, 4),
    )


def _merge(queued: Run, other: Run) -> None:
    """Let a run that waits do what another one was to do."""
    full = queued.options.full or other.options.full
    interactive = queued.options.interactive or other.options.interactive
    limits = other.options if other.options.max_files is None else queued.options
    reread = queued.options.reread or other.options.reread
    queued.options = replace(limits, full=full, reread=reread, interactive=interactive)
    queued.everything |= other.everything
    queued.verify |= other.verify
    queued.urgency = min(queued.urgency, other.urgency)
