"""Keeping indexes true to their files: who is watched, what a question waits for, how a sync's end is noted."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from recollect.config import Settings
from recollect.errors import Corrupt, RecollectError, Unavailable
from recollect.home import run_folder
from recollect.index.snapshot import Snapshot
from recollect.index.summary import folders_of
from recollect.jobs.indexer import IndexerProcess
from recollect.jobs.library import Library
from recollect.jobs.pipe import Started
from recollect.jobs.resources import give_back_memory, resident_bytes
from recollect.jobs.synchronise import Options
from recollect.jobs.syncs import Run, Syncs, Urgency
from recollect.model import Freshness, Progress, SyncResult, SyncStatus
from recollect.records import dataclass
from recollect.search import find
from recollect.store.catalog import Catalog, Repository
from recollect.sync import git
from recollect.sync.watch import Watcher
from recollect.testing import crash_point
from recollect.workspace import reports
from recollect.workspace.maps import Maps
from recollect.workspace.meters import Meters
from recollect.workspace.vectors import Vectors

_FIRST_ANSWER_S: Final = 2.0  # how long a question waits for the first sync of what it is about
_CHECKS_AT_ONCE: Final = 4  # whole checks that a question starts beside all others; more of them wait for slots
_RECENTLY_S: Final = 2.0  # a question about many unwatched repositories does not check again what was just checked
_HEAD_S: Final = 2.0  # a question looks for new commits again
_HEADS_LOOKED_AT: Final = 8  # by a question; each costs two small reads
_KEPT_OPEN: Final = 4  # indexes, however long nobody asks for them
_UNUSED_S: Final = 900.0
_BACK_OFF_FIRST_S: Final = 60.0
_BACK_OFF_LONGEST_S: Final = 3600.0
log = logging.getLogger("recollect.upkeep")


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of all repositories at one moment. `mark` None: events could not be read."""

    mark: int | None


class Upkeep:
    """Thread-safe. Owns the indexer process, the watcher and the open snapshots of a home."""

    def __init__(self, home: Path, settings: Settings, catalog: Catalog, indexer: Started | None = None) -> None:
        self._home = home
        self.settings = settings
        self._catalog = catalog
        self.on_change: Callable[[], None] = lambda: None  # something may have become due; must return at once
        self._closed = False
        self._watching = threading.Lock()
        self._checked: dict[str, tuple[float, float]] = {}  # id → (epoch, monotonic) when all its files were looked at
        self._heads: dict[
            str, tuple[str | None, float]
        ] = {}  # id → (commit of the last sync, monotonic of the last look)
        self._waits: dict[str, float] = {}  # id → not before this does a background sync start (cancelled)
        self.meters = Meters()
        self._preparing = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._being_prepared: set[str] = set()
        self.notices: deque[str] = deque(maxlen=20)  # what people should hear of that happened unasked
        self.library = Library(self.folder, self._damaged)
        sizes = settings.workers, settings.sync_queue_size, settings.sync_batch_size
        self.indexer = IndexerProcess(home, *sizes, indexer)
        self.indexer.warm()
        self.watcher = Watcher(run_folder(home) / "cookies", lambda: self.on_change())
        most = settings.auto_sync_max_concurrent
        self.maps = Maps(self.indexer, self.folder)
        self.vectors = Vectors(self.indexer, lambda: self.settings.embedder)
        self.syncs = Syncs(self.indexer, self.watcher, most, self._committed, self._ended)

    def prepare(self, repository_id: str, snapshot: Snapshot | None = None) -> None:
        """Have an index opened in the background, and worked out what questions need of it whatever they ask."""
        known = snapshot is not None and snapshot.memo.get("prepared")
        if known or repository_id in self._being_prepared or self._closed:
            return
        self._being_prepared.add(repository_id)
        self._preparing.submit(self._prepare, repository_id)

    def _prepare(self, repository_id: str) -> None:
        try:
            with self.library.reading(repository_id) as snapshot:
                if snapshot is not None:
                    find.prepare(snapshot, lambda: self._closed)
        except RecollectError as error:
            log.warning("an index could not be prepared for questions: %s", error.message)
        finally:
            self._being_prepared.discard(repository_id)

    def close(self) -> None:
        self._closed = True
        self._preparing.shutdown(cancel_futures=True)
        self.indexer.close()
        self.watcher.close()
        self.library.close()

    def folder(self, repository_id: str) -> Path:
        """Where the index of a repository lies."""
        return self._home / "repositories" / repository_id

    # -- what is watched ----------------------------------------------------------------------------------------------

    def attend(self, repository: Repository, folders: Iterable[str] | None = None) -> None:
        """Watch a tracked repository, or stop watching one that is not to be. `folders`: its directories, if known."""
        wanted = repository.tracked and self.settings.auto_sync_auto_watch and not repository.missing
        damage: Corrupt | None = None
        with self._watching:
            known = self.watcher.root(repository.id)
            if known == (repository.path if wanted else None):
                return
            if not wanted:
                self.watcher.unwatch(repository.id)
                return
            if folders is None:
                try:
                    folders = folders_of(self.folder(repository.id))
                except Unavailable:
                    folders = ()
                except Corrupt as error:
                    folders, damage = (), error
            self.watcher.watch(repository.id, repository.path, list(folders))
        if damage is not None:  # the folders come with the sync that makes the index again
            self._damaged(repository.id, damage)

    def checked_at(self, repository: Repository) -> float | None:
        """When all files of a repository were last looked at, as far as is known."""
        known = self._checked.get(repository.id)
        if known is not None:
            return known[0]
        return float(repository.last_sync["started_at"]) if repository.last_sync is not None else None

    def checked_monotonic(self, repository_id: str) -> float | None:
        """Likewise by the monotonic clock; None where it was not since this process began."""
        known = self._checked.get(repository_id)
        return known[1] if known is not None else None

    # -- what a question waits for ------------------------------------------------------------------------------------

    def freshen(self, repositories: Sequence[Repository]) -> Seen:
        """Read all events so far, index what they name, for as long as the budget allows."""
        started = time.monotonic()
        until = started + self.settings.recollect_fresh_budget_ms / 1000
        known = [item for given in repositories if (item := self.present(given)) is not None]
        for repository in known:
            if repository.last_sync is not None and time.monotonic() < until:
                self.attend(repository)  # at a start there may be hundreds: the others in the background
        seen = self.look(known)
        damaged = {item.id for item in known if self.library.is_damaged(item.id)}
        unsettled = [item for item in known if item.id in damaged or not self._settled(item, seen)]
        unsettled = [item for item in unsettled if not self._hopeless(item)]
        unchecked = {item.id for item in unsettled if not self.watcher.vouches(item.id)}
        runs: dict[str, Run] = {}
        later: list[Repository] = []
        for repository in unsettled:
            at_once = repository.id not in unchecked or len(unchecked) <= _CHECKS_AT_ONCE
            if not at_once and time.monotonic() >= until:
                later.append(repository)
            elif at_once or not self._just_checked(repository):
                runs[repository.id] = self._help(repository, at_once)
        if later:
            with suppress(RuntimeError):  # closed meanwhile
                self._preparing.submit(self._help_later, later)
        for repository in unsettled:
            if repository.id in runs:
                run, limit = runs[repository.id], until
                # Its first sync, or one that makes its index again: of all that ask, each waits until a moment after the first.
                if repository.last_sync is None or not self.library.complete(repository.id):
                    limit = max(until, started + _FIRST_ANSWER_S - (time.time() - run.requested_at))
                self._settle(repository, run, seen, limit)
        for repository in known[:_HEADS_LOOKED_AT]:
            if repository.id not in runs and self.head_moved(repository, _HEAD_S):
                self.request(repository, Urgency.BACKGROUND)  # the answer does not wait for it
        return seen

    def look(self, repositories: Iterable[Repository]) -> Seen:
        """Read all events so far; nothing is synced."""
        keys = [item.id for item in repositories]
        return Seen(self.watcher.barrier(keys, self.settings.recollect_barrier_ms / 1000))

    def watch(self, repository: Repository, seen: Seen) -> reports.Watch:
        """How a repository stands to the writes before `seen`. To be asked before its snapshot is taken: what is settled now,
        is published; a sync that ends between the two must not vouch for the snapshot before it.
        """
        return reports.Watch(
            self._settled(repository, seen),
            self.watcher.pending(repository.id),
            self.watcher.reason(repository.id) if self.watcher.unavailable is None else self.watcher.unavailable,
            self.checked_at(repository),
        )

    def freshness(self, repository: Repository, complete: bool, watch: reports.Watch) -> Freshness:
        """What an answer from an index (`complete`: that has its first sync behind it) reflects of the writes before."""
        return reports.freshness(repository, complete, self.syncs.current(repository.id), watch)

    def _settled(self, repository: Repository, seen: Seen) -> bool:
        return seen.mark is not None and self.watcher.settled(repository.id, seen.mark)

    def _hopeless(self, repository: Repository) -> bool:
        """Whether a question has no reason to start a sync: the last ones failed, or it is too large unless asked for."""
        if reports.is_too_large(repository):
            return True
        return bool(repository.attempts) and (repository.next_sync_at or 0.0) > time.time()

    def _just_checked(self, repository: Repository) -> bool:
        unwatched = self.watcher.reason(repository.id) is not None
        return unwatched and time.time() - (self.checked_at(repository) or 0.0) < _RECENTLY_S

    def _help(self, repository: Repository, at_once: bool) -> Run:
        first = repository.last_sync is None
        urgency = Urgency.QUESTION if at_once and not first else Urgency.ASKED
        damaged = self.library.is_damaged(repository.id)
        return self.request(repository, urgency, join=first or damaged, everything=damaged, verify=damaged)

    def _help_later(self, repositories: Sequence[Repository]) -> None:
        """What a question about hundreds of repositories had no time to ask for."""
        for repository in repositories:
            if self._closed:
                return
            if self.syncs.current(repository.id) is None and not self._just_checked(repository):
                with suppress(RecollectError):
                    self._help(repository, False)

    def _settle(self, repository: Repository, run: Run, seen: Seen, until: float) -> None:
        """Wait for a run, and for what it turns out to need after it (folders that were not watched before)."""
        while not self._closed:
            try:
                result = run.future.result(timeout=max(0.0, until - time.monotonic()))
            except FutureTimeout:
                return
            now = self._catalog.get(repository.id)
            unwatched = self.watcher.reason(repository.id) is not None
            if result.status != SyncStatus.COMPLETED or now is None or unwatched or self._settled(now, seen):
                return
            if time.monotonic() >= until:
                return
            run = self._help(now, True)

    def present(self, given: Repository) -> Repository | None:
        """The record as it is now, with `missing` as the disk says; None where the repository or its folder is gone."""
        repository = self._catalog.get(given.id)
        if repository is None:
            return None
        there = repository.path.is_dir()
        if there == repository.missing:
            repository = self._catalog.update(repository.id, missing=int(not there)) or repository
            self.attend(repository)
            log.info("%s is %s", repository.name, "there again" if there else "missing; its index is kept")
        return repository if there else None

    # -- syncing ------------------------------------------------------------------------------------------------------

    def request(
        self,
        repository: Repository,
        urgency: Urgency,
        *,
        full: bool = False,
        reread: bool = False,
        everything: bool = False,
        limits: bool = True,
        verify: bool = False,
        join: bool = False,
        listener: Callable[[Progress], None] | None = None,
    ) -> Run:
        """Have a repository synced. `limits`: refuse one that is too large, unless it was once asked for all the same."""
        settings = self.settings
        limits = limits and not repository.asked_for
        options = Options(
            full=full,
            reread=reread,
            interactive=urgency is not Urgency.BACKGROUND,
            max_file_bytes=settings.recollect_max_file_bytes,
            exclude=settings.auto_sync_exclude,
            max_files=settings.recollect_max_repository_files if limits else None,
            max_bytes=settings.recollect_max_repository_bytes if limits else None,
        )
        if urgency is Urgency.ASKED and not repository.wanted:
            self._catalog.update(repository.id, wanted=1)
        folder = self.folder(repository.id)
        if urgency is not Urgency.QUESTION:
            self._heads[repository.id] = git.head_quickly(repository.path), time.monotonic()
        run = Run(repository.id, folder, repository.path, options, urgency, everything=everything, verify=verify)
        if repository.last_sync is None and not full and not (folder / "index.db").exists():
            run.sibling = self._sibling(repository)
        return self.syncs.request(run, join=join, listener=listener)

    def head_moved(self, repository: Repository, every_s: float) -> bool:
        """Whether another commit is checked out than when the last sync began, looked at once in `every_s` at most.

        A commit changes no file that is watched, but what the history says of files.
        """
        known, looked = self._heads.get(repository.id, (None, -every_s))
        if repository.id not in self._heads or time.monotonic() - looked < every_s:
            return False
        self._heads[repository.id] = known, time.monotonic()
        return git.head_quickly(repository.path) != known

    def _sibling(self, repository: Repository) -> Path | None:
        """The index of another work tree of the same repository, if one is whole."""
        common = git.shared_folder(repository.path)
        if common is None:
            return None
        for other in self._catalog.repositories():
            whole = other.last_sync is not None and other.last_sync.get("status") == SyncStatus.COMPLETED
            if other.id != repository.id and whole and git.shared_folder(other.path) == common:
                return self.folder(other.id)
        return None

    def watch_memory(self) -> int:
        """Bytes that all our processes take; beyond the limit, what only makes the next question quicker is let go."""
        self.library.let_go(keep=_KEPT_OPEN, unused_s=_UNUSED_S)
        taken = resident_bytes(os.getpid())  # the indexer and its workers are children
        if taken > self.settings.memory_limit:
            dropped = self.library.let_go(keep=len(self.library) // 2)
            self.indexer.let_go()
            give_back_memory()
            log.warning("%d MB are in use, over the limit: %d open indexes let go", taken // 1_000_000, dropped)
        return taken

    def cancel(self, repository: Repository) -> None:
        """Stop its sync; what changed waits for the next interval, or for a question."""
        self._waits[repository.id] = time.time() + self.interval(repository)
        self._catalog.update(repository.id, wanted=0)
        self._stop(repository)

    def _stop(self, repository: Repository) -> None:
        run = self.syncs.current(repository.id)
        if self.syncs.cancel(repository.id) and run is not None:
            with suppress(FutureTimeout):
                run.future.result(timeout=2)

    def interval(self, repository: Repository) -> float:
        return repository.sync_interval or self.settings.auto_sync_interval

    def not_before(self, repository: Repository) -> float:
        """Until when background work leaves a repository alone: it failed, or was cancelled."""
        failed = repository.next_sync_at or 0.0 if repository.attempts else 0.0
        return max(failed, self._waits.get(repository.id, 0.0))

    def forget(self, repository: Repository) -> None:
        self.watcher.unwatch(repository.id)
        self._catalog.remove(repository.id)  # from here on nothing begins
        self._stop(repository)
        self.library.drop(repository.id)
        self.maps.drop(repository.id)
        self.vectors.forget(self.folder(repository.id))
        self.indexer.forget(self.folder(repository.id)).result(timeout=30)
        self.library.drop(repository.id)

    def _committed(self, repository_id: str) -> None:
        self.library.publish(repository_id)

    def _ended(self, run: Run, result: SyncResult) -> None:
        """Publish what a sync committed, note how it ended, and tell the watcher what became of what it took."""
        self.meters.ended(result, run.progress.bytes_done)
        crash_point("before-note")
        done = False  # unless what was committed is what readers get from now on
        try:
            if not self._closed and self._catalog.get(run.repository_id) is not None:
                published = self.library.publish(run.repository_id, result.generation)
                done = published and result.status == SyncStatus.COMPLETED
                self._note(run, result)
                crash_point("after-note")
                if done:
                    self.vectors.build(run.folder)
                if done and run.urgency is not Urgency.QUESTION:
                    changed = bool(result.chunks_new or result.chunks_deleted)
                    self.maps.after_sync(run.repository_id, changed)
        finally:
            ended = run.ended
            if run.taken is not None:
                told = {"folders": ended.folders, "partial": ended.partial, "ignored": ended.ignored} if ended else {}
                self.watcher.finish(run.repository_id, run.taken, done=done, **told)  # type: ignore[arg-type]
            repository = self._catalog.get(run.repository_id) if not self._closed else None
            if repository is not None and done:
                self.attend(repository, ended.folders if ended is not None and not ended.partial else None)
            self.on_change()

    def _note(self, run: Run, result: SyncResult) -> None:
        repository = self._catalog.get(run.repository_id)
        if repository is None:  # forgotten meanwhile
            return
        for error in result.errors:
            if error.kind == "index_rebuilt":
                self.notices.append(f"{repository.name}: {error.message}")
        done = result.status == SyncStatus.COMPLETED
        failed = result.status == SyncStatus.FAILED
        if done and run.ended is not None and not run.ended.partial:
            self._checked[repository.id] = (result.started_at, time.monotonic() - result.duration_s)
        idle = not (result.chunks_new or result.chunks_deleted or result.new_files or result.modified_files)
        idle = idle and repository.last_sync is not None  # the first one of a copied index finds nothing either
        if run.urgency is not Urgency.ASKED and done and idle and not result.deleted_files and not result.errors:
            if repository.attempts or repository.missing:
                self._catalog.update(repository.id, attempts=0, next_sync_at=None, missing=0)
            return  # nothing happened: not worth a write
        missing = failed and any(error.kind == "missing" for error in result.errors)
        code = run.error.code if run.error is not None else None
        changes: dict[str, Any] = {"missing": int(missing)}
        told: dict[str, Any] | None = None
        if not (run.halted or code == "shutting_down"):
            told = changes["last_sync"] = replace(result, repository=repository.name).to_dict()
            if run.urgency is Urgency.ASKED or code is not None:
                changes["wanted"] = 0
        if missing and repository.last_sync is not None:
            changes.pop("last_sync", None)  # what the kept index came from
        if failed and code != "shutting_down":
            attempts = repository.attempts + 1
            pause = min(_BACK_OFF_FIRST_S * 2 ** min(attempts - 1, 10), _BACK_OFF_LONGEST_S)
            changes |= {"attempts": attempts, "next_sync_at": time.time() + pause}
        if done:
            self._waits.pop(repository.id, None)
            changes |= {"attempts": 0, "next_sync_at": None}
            if not repository.untracked:
                changes["tracked"] = 1
            if run.options.max_files is None:
                changes["asked_for"] = 1
        self._catalog.update(repository.id, run=told, **changes)

    def _damaged(self, repository_id: str, error: Corrupt) -> None:
        """A reader found an index that cannot be read: have it repaired or made again."""
        repository = self._catalog.get(repository_id)
        if repository is None or self._closed:
            return
        log.warning("the index of %s is damaged (%s): it is made again", repository.name, error.message)
        self.library.drop(repository_id)
        if self.syncs.current(repository_id) is None:
            self.request(repository, Urgency.ASKED, everything=True, verify=True)
