"""Keeping indexes true to their files: who is watched, what a question waits for, how a sync's end is noted."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import field, replace
from functools import cache
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
from recollect.jobs.schedule import check_interval
from recollect.jobs.synchronise import Options
from recollect.jobs.syncs import Run, Syncs, Urgency, failed_result
from recollect.model import Freshness, Progress, SyncResult, SyncStatus
from recollect.records import dataclass
from recollect.search import find
from recollect.store.catalog import Catalog, Repository
from recollect.sync import beneath, disk, git
from recollect.sync.discover import exclusion
from recollect.sync.fan_out import FanOut, Looked
from recollect.sync.ignore import file_state
from recollect.sync.watch import Watcher
from recollect.testing import crash_point
from recollect.workspace import places, reports
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
_OUT_OF_REACH: Final = frozenset({"missing", "unreadable", "unresponsive"})  # kinds of failures that a look finds, too
_BACK_OFF_FIRST_S: Final = 60.0
_BACK_OFF_LONGEST_S: Final = 3600.0
log = logging.getLogger("recollect.upkeep")


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of repositories at one moment. `mark` None: events could not be read.

    `present`: those whose folder is there, by id; `failures`: those that cannot be looked at, and why.
    """

    mark: int | None
    present: Mapping[str, Repository] = field(default_factory=dict)
    failures: Mapping[str, RecollectError] = field(default_factory=dict)


class Upkeep:
    """Thread-safe. Owns the indexer process, the watcher and the open snapshots of a home."""

    def __init__(self, home: Path, settings: Settings, catalog: Catalog, indexer: Started | None = None) -> None:
        self._home = home
        self.settings = settings
        self._catalog = catalog
        self.on_change: Callable[[], None] = lambda: None  # something may have become due; must return at once
        self._closed = False
        self.looks: FanOut[str] = FanOut()  # at repositories' folders: whoever loops over several goes through it
        self._failed_looks: dict[str, RecollectError] = {}  # id → why the last look failed
        self._looked_at: set[str] = set()  # since this process began
        self._recovered: set[str] = set()  # can be looked at again, and was not synced since
        self._unchecked: set[str] = {item.id for item in catalog.repositories()}  # see `rests`
        self._real_scan_paths: dict[str, str] = {}
        self._moved: set[str] = set()  # another commit is checked out than when the last sync began
        self._watching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)  # by id
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
        self.syncs = Syncs(self.indexer, self.watcher, most, self._committed, self._ended, self._check_allowed)

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
        """Watch a tracked repository, or stop watching one that is not to be. `folders`: its directories, if known.

        Raises Unavailable where it cannot be looked at.
        """
        wanted = self.is_followed(repository) and self.settings.auto_sync_auto_watch and not repository.missing
        damage: Corrupt | None = None
        with self._watching[repository.id]:
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

    def is_followed(self, repository: Repository) -> bool:
        """Whether background work is to keep a repository in step."""
        return repository.tracked and self.excluded_by(repository) is None

    def excluded_by(self, repository: Repository) -> str | None:
        """The pattern of `AUTO_SYNC_EXCLUDE` for which a repository that a scan found would not be found now."""
        if not repository.discovered:
            return None
        roots = tuple(self._real_scan_paths.get(path, path) for path in self.settings.auto_sync_paths)
        return exclusion(os.fspath(repository.path), roots, self.settings.auto_sync_exclude)

    def is_below_scan_path(self, repository: Repository) -> bool:
        """Whether a scan may come by a repository."""
        roots = [Path(self._real_scan_paths.get(path, path)) for path in self.settings.auto_sync_paths]
        return any(root == repository.path or root in repository.path.parents for root in roots)

    def resolve_scan_paths(self) -> None:
        """Find out where the scan paths lead, as the paths of repositories hold no links."""
        paths = {path: os.path.abspath(os.path.expanduser(path)) for path in self.settings.auto_sync_paths}
        real = self.looks.each(paths, lambda path: os.path.realpath(paths[path])).values
        self._real_scan_paths = paths | real

    def rests(self, repository: Repository) -> bool:
        """Whether background work leaves a repository alone as long as nothing is known to have changed since the daemon
        started: `AUTO_SYNC_ON_STARTUP` is false.
        """
        return (
            not self.settings.auto_sync_on_startup
            and repository.id in self._unchecked
            and repository.id not in self._checked
            and repository.id not in self._moved
            and not self.watcher.has_changed(repository.id)
        )

    def rouse(self, repository_id: str | None = None) -> None:
        """Have a repository, or all of them, checked although the daemon's start is no reason to."""
        if repository_id is None:
            self._unchecked.clear()
        else:
            self._unchecked.discard(repository_id)

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
        # At a start there may be hundreds to watch: those that there is no time for, in the background.
        seen = self.look(repositories, attends=lambda: time.monotonic() < until)
        known = [seen.present.get(item.id, item) for item in repositories if item.id in {*seen.present, *seen.failures}]
        damaged = {item.id for item in known if self.library.is_damaged(item.id)}
        unsettled = [item for item in known if item.id in damaged or not self._settled(item, seen)]
        unsettled = [item for item in unsettled if not self._hopeless(item, seen)]
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
            if repository.id not in runs and repository.id in self._moved and not self._hopeless(repository, seen):
                self.request(repository, Urgency.BACKGROUND)  # the answer does not wait for it
        return seen

    def look(self, repositories: Sequence[Repository], attends: Callable[[], bool] = lambda: False) -> Seen:
        """Look at repositories, each apart from the others, and read all events so far; nothing is synced.

        `attends`: whether there is time to begin to watch another one that is not watched yet.
        """
        state = cache(file_state)  # several files are the same for all repositories
        heads = {item.id for item in repositories[:_HEADS_LOOKED_AT]}

        def look(repository: Repository) -> Repository | None:
            there = self.reach(repository)
            if there is None:
                return None
            if there.last_sync is not None and attends():
                self.attend(there)
            self.watcher.look_outside(there.id, state)
            if there.id in heads:
                self.look_at_head(there, _HEAD_S)
            return there

        looked = self.look_at_each(repositories, look)
        present = {key: there for key, there in looked.values.items() if there is not None}
        return Seen(self.watcher.barrier((), self.settings.recollect_barrier_ms / 1000), present, looked.failures)

    def look_at_each(
        self, repositories: Iterable[Repository], look: Callable[[Repository], Repository | None]
    ) -> Looked[str, Repository | None]:
        """`look` at every repository, each apart from the others; one that fails is noted as failing."""
        by_id = {item.id: item for item in repositories}
        looked = self.looks.each(by_id, lambda key: look(by_id[key]))
        for key in looked.values:
            first = key not in self._looked_at and self._was_out_of_reach(by_id[key])
            if self._failed_looks.pop(key, None) is not None or first:
                self._recovered.add(key)
                self.on_change()  # it is due
        self._looked_at |= by_id.keys()
        for key, failure in looked.failures.items():
            self._recovered.discard(key)
            self._failed_looks[key] = failure
            self._note_failed_look(by_id[key], failure)
        return looked

    def current(self, repository: Repository) -> Repository:
        """The record as it is now; as it was where it was forgotten meanwhile."""
        return self._catalog.get(repository.id) or repository

    def is_failing(self, repository: Repository) -> bool:
        """Whether its last sync failed, and another one is to be tried."""
        return bool(repository.attempts) and not reports.is_too_large(repository)

    def reach(self, repository: Repository) -> Repository | None:
        """`present`, and that the folder can be listed; what failed is looked at more closely. Raises Unavailable,
        and Refused where an agent registered it that may not any longer.
        """
        there = self.present(repository)
        if there is None:
            return None
        self._check_admission(there)
        if self.is_failing(there) or not os.access(there.path, os.R_OK | os.X_OK):
            disk.check_listable(there.path)
            git.work_tree_root(there.path)
        return there

    def _was_out_of_reach(self, repository: Repository) -> bool:
        """Whether its last sync failed because its files could not be looked at."""
        errors = (repository.last_sync or {}).get("errors") or ()
        return bool(repository.attempts) and any(error["kind"] in _OUT_OF_REACH for error in errors)

    def _note_failed_look(self, repository: Repository, failure: RecollectError) -> None:
        """A look failed as a sync would have: note it as one that did, unless that was done and is to be tried later."""
        known = self._catalog.get(repository.id)
        if known is None or failure.code == "exhausted" or (known.attempts and self.not_before(known) > time.time()):
            return
        if self.syncs.current(repository.id) is not None:
            return  # it says so itself
        run = Run(known.id, self.folder(known.id), known.path, Options(), Urgency.BACKGROUND, error=failure)
        log.warning("%s cannot be looked at: %s", known.name, failure.message)
        with suppress(RecollectError):  # the catalog cannot be written now
            self._note(run, self._with_index(known.id, failed_result(run, failure)))

    def watch(self, repository: Repository, seen: Seen) -> reports.Watch:
        """How a repository stands to the writes before `seen`. To be asked before its snapshot is taken: what is settled now,
        is published; a sync that ends between the two must not vouch for the snapshot before it.
        """
        return reports.Watch(
            self._settled(repository, seen),
            self.watcher.pending(repository.id),
            self._unwatched_reason(repository, seen),
            self.checked_at(repository),
        )

    def freshness(self, repository: Repository, held: reports.Held, watch: reports.Watch) -> Freshness:
        """What an answer from an index that holds `held` reflects of the writes before."""
        return reports.freshness(repository, held, self.syncs.current(repository.id), watch)

    def _unwatched_reason(self, repository: Repository, seen: Seen) -> str | None:
        if repository.id in seen.failures:
            return seen.failures[repository.id].message
        reason = self.watcher.unavailable or self.watcher.reason(repository.id)
        if reason is None and self.rests(repository) and self.syncs.current(repository.id) is None:
            return "not checked since the daemon started (AUTO_SYNC_ON_STARTUP is false)"
        pattern = self.excluded_by(repository) if reason == "not watched" else None
        return f"not watched, excluded by {pattern!r}" if pattern is not None else reason

    def _settled(self, repository: Repository, seen: Seen) -> bool:
        if seen.mark is None or repository.id in seen.failures:
            return False
        return self.watcher.settled(repository.id, seen.mark)

    def _hopeless(self, repository: Repository, seen: Seen) -> bool:
        """Whether a question has no reason to start a sync: it cannot be looked at, the last ones failed, or it is too
        large unless asked for.
        """
        if reports.is_too_large(repository) or repository.id in seen.failures:
            return True
        return bool(repository.attempts) and self.failed_until(repository) > time.time()

    def _just_checked(self, repository: Repository) -> bool:
        unwatched = self.watcher.reason(repository.id) is not None
        return unwatched and time.time() - (self.checked_at(repository) or 0.0) < _RECENTLY_S

    def _help(self, repository: Repository, at_once: bool) -> Run:
        first = repository.last_sync is None or not self.library.complete(repository.id)
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
        """The record as it is now, with `missing` as the disk says; None where the repository or its folder is gone.

        Raises Unavailable where that cannot be told.
        """
        repository = self._catalog.get(given.id)
        if repository is None:
            return None
        there = beneath.is_itself(repository.path)  # what a link leads to is another folder than what was registered
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
        run = Run(repository.id, folder, repository.path, options, urgency, everything=everything, verify=verify)
        if repository.last_sync is None and not full and not (folder / "index.db").exists():
            run.sibling = self._sibling(repository)
        return self.syncs.request(run, join=join, listener=listener)

    def look_at_head(self, repository: Repository, every_s: float) -> None:
        """See whether another commit is checked out than when the last sync began, once in `every_s` at most.

        A commit changes no file that is watched, but what the history says of files. Raises Unavailable.
        """
        known, looked = self._heads.get(repository.id, (None, -every_s))
        if repository.id not in self._heads or time.monotonic() - looked < every_s:
            return
        self._heads[repository.id] = known, time.monotonic()
        if git.head_quickly(repository.path) != known:
            self._moved.add(repository.id)

    def head_moved(self, repository: Repository) -> bool:
        """Whether the last look found another commit than the last sync did."""
        return repository.id in self._moved

    def _sibling(self, repository: Repository) -> Path | None:
        """The index of another work tree of the same repository, if one is whole."""
        others = {
            other.id: other.path
            for other in self._catalog.repositories()
            if other.last_sync is not None and other.last_sync.get("status") == SyncStatus.COMPLETED
        }
        paths = {**others, repository.id: repository.path}
        common = self.looks.each([repository.id], lambda key: git.shared_folder(paths[key])).values.get(repository.id)
        if common is None:
            return None
        shared = self.looks.each(others, lambda key: git.shared_folder(paths[key])).values
        return next((self.folder(key) for key, folder in shared.items() if folder == common), None)

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
        """Seconds between two checks of a repository, as things stand."""
        is_set = "auto_sync_interval" in self.settings.explicit
        vouched = self.watcher.vouches(repository.id)
        return check_interval(repository.sync_interval, self.settings.auto_sync_interval, is_set, vouched)

    def not_before(self, repository: Repository) -> float:
        """Until when background work leaves a repository alone: it failed, or was cancelled."""
        return max(self.failed_until(repository), self._waits.get(repository.id, 0.0))

    def failed_until(self, repository: Repository) -> float:
        """Until when it is left alone because its last syncs failed; what can be looked at again, need not wait."""
        if not repository.attempts or repository.id in self._recovered:
            return 0.0
        return repository.next_sync_at or 0.0

    def forget(self, repository: Repository) -> None:
        self.watcher.unwatch(repository.id)
        self._catalog.remove(repository.id)  # from here on nothing begins
        self._stop(repository)
        self.library.drop(repository.id)
        self.maps.drop(repository.id)
        self.vectors.forget(self.folder(repository.id))
        try:
            self.indexer.forget(self.folder(repository.id)).result(timeout=30)
        except FutureTimeout:  # a sync of it hangs: its folder, which no repository has, goes at the next start
            log.warning("the index of %s is still in use; it is removed at the next start", repository.name)
        self.library.drop(repository.id)

    def _check_allowed(self, run: Run) -> None:
        """What holds when a folder is registered, again at each sync: rules are added, and folders become other ones.

        Raises Refused.
        """
        managed = self._catalog.clones.of(run.repository_id)
        if managed is None:
            places.check_allowed(run.root, places.Caller())
        repository = self._catalog.get(run.repository_id)
        if repository is not None:
            self._check_admission(repository)

    def _check_admission(self, repository: Repository) -> None:
        agent, scan_paths = places.Caller(agent=True), self.settings.auto_sync_paths
        places.check_admission(repository.path, repository.admitted_by, agent, scan_paths)

    def _committed(self, repository_id: str) -> None:
        self.library.publish(repository_id)

    def _ended(self, run: Run, result: SyncResult) -> SyncResult:
        """Publish what a sync committed, note how it ended, and tell the watcher what became of what it took."""
        self.meters.ended(result, run.progress.bytes_done)
        self._recovered.discard(run.repository_id)
        crash_point("before-note")
        done = False  # unless what was committed is what readers get from now on
        try:
            if not self._closed and self._catalog.get(run.repository_id) is not None:
                published = self.library.publish(run.repository_id, result.generation)
                done = published and result.status == SyncStatus.COMPLETED
                result = self._with_index(run.repository_id, result)
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
                folders = ended.folders if ended is not None and not ended.partial else None
                with suppress(RecollectError):  # it cannot be looked at any longer, as the next look finds
                    self.looks.one(run.repository_id, lambda: self.attend(repository, folders))
            self.on_change()
        return result

    def _with_index(self, repository_id: str, result: SyncResult) -> SyncResult:
        """A result with what the index holds now, where the sync did not come to its end and could not tell."""
        if result.status == SyncStatus.COMPLETED:
            return result
        try:
            index = self.library.summary(repository_id)
        except RecollectError:
            index = None
        if index is None:
            return result
        return replace(result, chunks_total=index.chunks, root_hash=index.root_hash, generation=index.generation)

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
        if done and run.ended is not None and run.urgency is not Urgency.QUESTION:
            self._heads[repository.id] = run.ended.head, time.monotonic()
            self._moved.discard(repository.id)
        idle = not (result.chunks_new or result.chunks_deleted or result.new_files or result.modified_files)
        idle = idle and not result.deleted_files and not repository.attempts
        # After damage, several may have asked for the same; the last ones find nothing left to be done, and say nothing.
        asked = run.urgency is Urgency.ASKED and not (run.verify and not run.options.reread)
        if not asked and done and idle and reports.says_the_same(repository.last_sync, result):
            if run.urgency is Urgency.ASKED and repository.wanted:
                self._catalog.update(repository.id, wanted=0)
            if repository.missing:
                self._catalog.update(repository.id, missing=0)
            return  # nothing happened: not worth a write
        missing = failed and any(error.kind == "missing" for error in result.errors)
        code = run.error.code if run.error is not None else None
        if code == "exhausted":  # our fault, not the repository's
            self._waits[repository.id] = time.time() + _BACK_OFF_FIRST_S
            self._catalog.update(repository.id, wanted=0)
            return
        changes: dict[str, Any] = {"missing": int(missing)}
        told: dict[str, Any] | None = None
        if not (run.halted or code == "shutting_down"):
            told = changes["last_sync"] = replace(result, repository=repository.name).to_dict()
            if failed:
                told["failing_since"] = reports.failing_since(repository) or result.started_at
            if not done:  # how far it came, and what it was to do
                told |= {"percentage": run.progress.percentage, "full": run.options.full}
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
            # A folder without files that a question named by mistake is not kept in step until there are some.
            has_content = bool(result.total_files) or repository.type != "unknown"
            if not repository.untracked and (has_content or run.options.max_files is None):
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
