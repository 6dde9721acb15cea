"""Syncs that somebody asks for and may wait for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import replace

from recollect.errors import RecollectError, UserError
from recollect.jobs.synchronise import success_rate
from recollect.jobs.syncs import Run, Urgency
from recollect.model import Progress, SyncResult, SyncStatus
from recollect.store.catalog import Catalog, Repository
from recollect.sync import beneath
from recollect.sync.tree import printable
from recollect.workspace import reports
from recollect.workspace.clones import Clones
from recollect.workspace.places import Caller
from recollect.workspace.upkeep import Upkeep


class AskedSyncs:
    """Thread-safe."""

    def __init__(self, catalog: Catalog, upkeep: Upkeep, clones: Clones) -> None:
        self._catalog = catalog
        self._upkeep = upkeep
        self._clones = clones

    def start(self, repository: Repository, full: bool, listener: Callable[[Progress], None] | None = None) -> Run:
        """A sync that somebody asked for: it looks at everything, however large that is."""
        self._catalog.update(repository.id, wanted=1)
        return self._upkeep.request(
            repository, Urgency.ASKED, full=full, everything=True, limits=False, listener=listener
        )

    def wait(
        self, run: Run, repository: Repository, wait_s: float | None, cancelled: threading.Event | None
    ) -> SyncResult:
        """Its result, or how far it is after `wait_s`; with `cancelled` set, it is stopped."""
        until = None if wait_s is None else time.monotonic() + wait_s
        told = False
        while True:
            left = 0.05 if cancelled is not None else 3600.0
            left = left if until is None else min(left, until - time.monotonic())
            try:
                return replace(run.future.result(timeout=max(left, 0.0)), repository=repository.name)
            except FutureTimeout:
                if until is not None and time.monotonic() >= until:
                    return self.running(run, repository)
                if cancelled is not None and cancelled.is_set() and not told:
                    told = True
                    self._upkeep.cancel(repository)

    def running(self, run: Run, repository: Repository) -> SyncResult:
        """What can be said of a sync that is not at its end: "queued" or "running"."""
        if run.future.done():
            return replace(run.future.result(), repository=repository.name)
        index = self._upkeep.library.summary(repository.id)
        return SyncResult(
            repository=repository.name,
            status=str(SyncStatus.QUEUED if run.status is SyncStatus.QUEUED else SyncStatus.RUNNING),
            total_files=run.progress.files_total,
            processed_files=run.progress.files_done,
            chunks_total=index.chunks if index is not None else 0,
            root_hash=index.root_hash if index is not None else "",
            success_rate=success_rate(run.committed.failed, run.committed.processed),
            generation=index.generation if index is not None else 0,
            started_at=run.requested_at,
            duration_s=round(time.time() - run.requested_at, 4),
        )

    def fetch(
        self,
        repository: Repository,
        caller: Caller,
        background: bool,
        wait_s: float | None,
        cancelled: threading.Event | None,
    ) -> None:
        """Of a managed clone: what is new on its remote, before its files are looked at. What fails is noted there."""
        record = self._clones.of(repository)
        if record is None or record.status != "cloned":
            return

        def update() -> None:
            with suppress(RecollectError):
                stop = cancelled.is_set if cancelled is not None else threading.Event().is_set
                if self._clones.update(record, caller.environment, stop) and late.is_set():
                    self.start(repository, False)

        late = threading.Event()
        fetching = threading.Thread(target=update, name="fetch", daemon=True)
        fetching.start()
        fetching.join(0.0 if background else wait_s)
        if fetching.is_alive():
            late.set()  # what it brings is synced when it is there

    def see_missing(self, repository: Repository) -> None:
        """Note whether the folder is there. Raises UserError: it is not; Unavailable: its file system does not answer."""
        looked = self._upkeep.look_at_each([repository], self._upkeep.present)
        failure = looked.failures.get(repository.id)
        if failure is not None and failure.code == "unresponsive":
            raise failure
        if failure is None and looked.values[repository.id] is None:
            raise _missing(repository)

    def out_of_reach(self, repositories: Sequence[Repository]) -> dict[str, SyncResult]:
        """Of those whose sync cannot even begin: the failed result, by id."""
        looked = self._upkeep.look_at_each(repositories, self._upkeep.present)
        errors: dict[str, RecollectError] = {
            key: failure for key, failure in looked.failures.items() if failure.code == "unresponsive"
        }
        by_id = {item.id: item for item in repositories}
        errors |= {key: _missing(by_id[key]) for key, there in looked.values.items() if there is None}
        return {key: reports.failed_at_once(by_id[key].name, error) for key, error in errors.items()}


def _missing(repository: Repository) -> UserError:
    reason = beneath.problem_of(repository.path)
    return UserError(
        printable(reason) if reason is not None else f"{printable(os.fspath(repository.path))} is missing",
        hint="Its index is kept and still answers. recollect forget removes it.",
        code="missing",
    )


class Together:
    """The progress of several syncs as one: it never goes back, for none of them does. Thread-safe."""

    def __init__(self, count: int, on_progress: Callable[[Progress], None] | None) -> None:
        self._count = count
        self._on_progress = on_progress
        self._parts: dict[str, Progress] = {}
        self._done: set[str] = set()
        self._lock = threading.Lock()

    def listener(self, identity: str) -> Callable[[Progress], None]:
        return lambda progress: self._tell(identity, progress)

    def ended(self, identity: str) -> None:
        with self._lock:
            self._done.add(identity)
            known = self._parts.get(identity, Progress())
        self._tell(identity, known)

    def _tell(self, identity: str, progress: Progress) -> None:
        if self._on_progress is None:
            return
        with self._lock:
            self._parts[identity] = progress
            parts = self._parts.values()
            shares = [100.0 if name in self._done else part.percentage for name, part in self._parts.items()]
            whole = Progress(
                phase=f"{len(self._done)} of {self._count}",
                percentage=round(sum(shares) / max(1, self._count), 1),
                total_known=True,
                files_done=sum(part.files_done for part in parts),
                files_total=sum(part.files_total for part in parts),
                chunks_done=sum(part.chunks_done for part in parts),
                bytes_done=sum(part.bytes_done for part in parts),
            )
        self._on_progress(whole)
