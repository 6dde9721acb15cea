"""One developer's instance: its repositories, their indexes, and what can be asked of them."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recollect import __version__
from recollect.client import handed_over
from recollect.config import Settings, table, usable
from recollect.errors import Corrupt, RecollectError, UserError
from recollect.home import home_directory, make_folder, own
from recollect.index.summary import Summary
from recollect.jobs import resources
from recollect.jobs.pipe import Started
from recollect.jobs.syncs import Run, Urgency
from recollect.model import (
    AutoSyncStatus,
    CloneAnswer,
    CloneReport,
    CloneStatus,
    FileReport,
    Finding,
    Freshness,
    Progress,
    RecalledMemories,
    RecentActivity,
    RepositoryInfo,
    RepositoryList,
    RepositoryStatus,
    RepositorySyncStatus,
    Savings,
    StoredMemory,
    SyncResult,
    SyncStatus,
)
from recollect.search import find
from recollect.store.catalog import Catalog, Repository
from recollect.store.clones import Clone
from recollect.sync.discover import usual_folders
from recollect.sync.tree import printable
from recollect.workspace import diagnosis, places, reports
from recollect.workspace.asked import AskedSyncs, Together
from recollect.workspace.auto_sync import AutoSync
from recollect.workspace.clones import Clones, name_of
from recollect.workspace.lists import Lists
from recollect.workspace.memories import Memories
from recollect.workspace.meters import Meters
from recollect.workspace.places import Caller, check_may_keep_secrets
from recollect.workspace.questions import Questions
from recollect.workspace.registry import Registry
from recollect.workspace.savings import Ledger
from recollect.workspace.upkeep import Seen, Upkeep

log = logging.getLogger("recollect.workspace")


class Workspace(Questions):
    """Thread-safe. Use as a context manager, or `close()` it: it owns a process.

    `repositories` and `name` accept a registered name, a path, a clone URL known here, a list of these, or "*" for all;
    None means the caller's project, else its working directory, else all.
    """

    def __init__(
        self,
        home: Path | str | None = None,
        *,
        settings: Settings | None = None,
        locked: bool = False,
        indexer: Started | None = None,
    ) -> None:
        """Open a data directory (default: `RECOLLECT_HOME`, else the platform's). `locked`: the caller holds its lock;
        `indexer`: and has started that process.

        Raises:
            AlreadyRunning: a daemon or another Workspace has it open.
            UserError: a setting is wrong.
        """
        self.home = Path(home).expanduser().absolute() if home is not None else home_directory()
        Settings.load(self.home)  # nothing starts where a setting is wrong
        make_folder(self.home)
        self._lock_file = None if locked else own(self.home)
        self._started = time.time()
        self._closed = False
        self._catalog = self._open_catalog()
        self._remove_orphans()
        self._registry = Registry(
            self._catalog,
            lambda: self.settings.auto_sync_paths,
            self.home,
            lambda url, who: self.clones.answer_for(url, who),
            lambda said, who, begins: self.clones.answer_about(said, who, begins),
        )
        persisted, problems = usable(self._catalog.persisted())
        checked = settings or Settings.load(self.home, persisted=persisted)
        for problem in problems:
            log.warning(problem)
        self._upkeep = Upkeep(self.home, checked, self._catalog, indexer)
        self._library, self._syncs = self._upkeep.library, self._upkeep.syncs
        self.memory = Memories(self.home, self._catalog, self._library, lambda: self.settings.recollect_redact_secrets)
        self.auto_sync = AutoSync(self._catalog, self._registry, self._upkeep, self.home)
        self.auto_sync.bad_settings = problems
        self._upkeep.on_change = self.auto_sync.wake
        self.clones = Clones(self.home, self._catalog, self._upkeep, lambda: self.auto_sync.active)
        self._asked = AskedSyncs(self._catalog, self._upkeep, self.clones)
        self.lists = Lists(self._catalog, self.clones)
        self.clones.look_at_lists = self.lists.look
        self.ledger = Ledger(self._catalog, self._library)
        self.auto_sync.start()
        self.clones.start()

    @property
    def settings(self) -> Settings:
        """As they are now: `configure_auto_sync` changes them."""
        return self._upkeep.settings

    def _open_catalog(self) -> Catalog:
        """The catalog; one that is damaged or gone is made anew from what can be had of it."""
        path = self.home / "catalog.db"
        try:
            if path.exists() or not any((self.home / "repositories").glob("*/about.json")):
                return Catalog(path)
            path.touch(mode=0o600)
            raise Corrupt("catalog.db was gone")
        except Corrupt as error:
            if error.code == "database_version":
                raise  # of a newer Recollect: not ours to touch
            return Catalog.rescued(path, error)

    def _remove_orphans(self) -> None:
        """Index folders that no repository has: of one that was forgotten while a crash came."""
        for folder in (self.home / "repositories").glob("*"):
            if self._catalog.get(folder.name) is None and not self._catalog.notices:
                shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the indexer, close everything. What was committed stays; what was being synced goes on next time."""
        if self._closed:
            return
        self._closed = True
        self.clones.close()
        self.auto_sync.close()
        self._upkeep.close()
        self.memory.close()
        self.ledger.write()
        self._catalog.close()
        if self._lock_file is not None:
            os.close(self._lock_file)

    @staticmethod
    def warm() -> None:
        """Load what the first question would have to wait for."""
        find.warm()

    # -- syncs --------------------------------------------------------------------------------------------------------

    def sync(
        self,
        path: str | Path | None = None,
        *,
        name: str | None = None,
        caller: Caller | None = None,
        full: bool = False,
        background: bool = False,
        wait_s: float | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> SyncResult:
        """Make the index of a folder or of a known repository equal to its files. It is called `name` from now on: as its
        name if it is new, else as an alias.

        Waits to the end, or `wait_s`, or (`background`) not at all; then `status` is "queued" or "running", and the sync
        goes on.
        With `cancelled` set, the sync is stopped.
        """
        caller = caller if caller is not None else Caller(cwd=os.getcwd())
        repository = self._registry.to_sync(os.fspath(path) if path is not None else None, name, caller)
        until = None if wait_s is None else time.monotonic() + wait_s
        self._asked.see_missing(repository)
        self._asked.fetch(repository, caller, background, wait_s, cancelled)
        run = self._asked.start(repository, full, on_progress)
        if background:
            return self._asked.running(run, repository)
        left = None if until is None else max(0.0, until - time.monotonic())
        return self._asked.wait(run, repository, left, cancelled)

    def sync_now(self, path: str | Path | None = None, full: bool = False) -> SyncResult | list[SyncResult]:
        """`sync` of one folder, or without a path of every tracked repository."""
        return self.sync(path, full=full) if path is not None else self.sync_all(full=full)

    def sync_all(
        self,
        *,
        full: bool = False,
        background: bool = False,
        wait_s: float | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> list[SyncResult]:
        """Sync every tracked repository; those that are missing or cannot be synced are among the results, as failed.

        `on_progress` is told of all together.
        """
        self.clones.look_now()
        tracked = [item for item in self._catalog.repositories() if self._upkeep.is_followed(item)]
        failed = self._asked.out_of_reach(tracked)
        together = Together(len(tracked) - len(failed), on_progress)
        runs: dict[str, Run] = {}
        for item in tracked:
            if item.id not in failed:
                try:
                    runs[item.id] = self._asked.start(item, full, together.listener(item.id))
                except RecollectError as error:
                    failed[item.id] = reports.failed_at_once(item.name, error)
        until = None if wait_s is None else time.monotonic() + wait_s
        for key, run in runs.items():
            run.future.add_done_callback(lambda done, identity=key: together.ended(identity))  # type: ignore[misc]

        def result_of(item: Repository) -> SyncResult:
            if item.id in failed:
                return failed[item.id]
            if background:
                return self._asked.running(runs[item.id], item)
            left = None if until is None else max(0.0, until - time.monotonic())
            return self._asked.wait(runs[item.id], item, left, cancelled)

        return [result_of(item) for item in tracked]

    def sync_status(self, name: str, *, caller: Caller = Caller()) -> RepositorySyncStatus:
        """How the sync of a repository stands, and how the last one ended."""
        repository = self._registry.known(name, caller)
        run = self._syncs.current(repository.id)  # before the record, which says how it ended
        repository = self._catalog.get(repository.id) or repository
        last = reports.sync_result(repository.last_sync, repository.name)
        if run is not None:
            return RepositorySyncStatus(repository.name, run.status, run.progress, last)
        status = SyncStatus(last.status) if last is not None else SyncStatus.IDLE
        return RepositorySyncStatus(repository.name, status, reports.progress(repository, None), last)

    def cancel(self, name: str, *, caller: Caller = Caller()) -> RepositorySyncStatus:
        """Stop the sync of a repository, within about a second; what it committed stays."""
        record = self._unfinished(name, caller) or self.clones.find(name)
        if record is not None and self.clones.cancel(record):
            known = self._catalog.get(record.repository_id or "")
            if known is None:
                return RepositorySyncStatus(name_of(record), SyncStatus.CANCELLED, Progress(), None)
        repository = self._registry.known(name, caller)
        self._upkeep.cancel(repository)
        return self.sync_status(repository.name)

    def track(self, path: str | Path, *, caller: Caller | None = None) -> RepositoryStatus:
        """Keep a folder or a known repository in step with its files from now on, also over restarts."""
        caller = caller if caller is not None else Caller(cwd=os.getcwd())
        found = self._registry.to_sync(os.fspath(path), None, caller)
        self.auto_sync.configure_repository(found, True, None)
        return self.status(found.id)

    def untrack(self, path: str | Path, *, caller: Caller | None = None) -> RepositoryStatus:
        """Leave a repository alone: its index stays and answers, checked by the questions about it."""
        caller = caller if caller is not None else Caller(cwd=os.getcwd())
        found = self._registry.known(os.fspath(path), caller)
        self.auto_sync.configure_repository(found, False, None)
        return self.status(found.id)

    def configure_auto_sync(
        self,
        changes: Mapping[str, Any],
        repository: str | None = None,
        *,
        caller: Caller | None = None,
    ) -> AutoSyncStatus | RepositoryStatus:
        """Change settings of background work; with `repository`, `enabled` and `sync_interval` of that one.

        Raises:
            UserError: an unknown name or a bad value; nothing is changed then.
        """
        caller = caller if caller is not None else Caller(cwd=os.getcwd())
        if repository is None:
            return self.auto_sync.configure(changes, caller)
        given = {name: value for name, value in changes.items() if value is not None}
        if given.keys() - {"enabled", "sync_interval"}:
            raise UserError(
                "of one repository, only enabled and sync_interval can be set",
                hint="Set the others without repository: they hold for all.",
            )
        found = self._registry.known(repository, caller)
        self.auto_sync.configure_repository(found, given.get("enabled"), given.get("sync_interval"))
        return self.status(found.id)

    def discover(self, scan_paths: Sequence[str | Path]) -> list[RepositoryInfo]:
        """The repositories below folders, largest first. Nothing is registered."""
        return list(self.auto_sync.find([os.fspath(path) for path in scan_paths]).repositories)

    def suggested_scan_paths(self) -> list[dict[str, Any]]:
        """Folders in which people usually keep repositories: `{path, repositories, size}` of those that are here."""
        suggested = []
        for folder in usual_folders(Path.home()):
            found = self.discover([folder])
            held = {"repositories": len(found), "size": sum(info.size for info in found)}
            suggested.append({"path": printable(os.fspath(folder)), **held})
        return suggested

    # -- clones -------------------------------------------------------------------------------------------------------

    def clone(
        self,
        url: str,
        branch: str | None = None,
        depth: int | None = None,
        *,
        caller: Caller | None = None,
        background: bool = False,
        wait_s: float | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> CloneAnswer:
        """Clone a repository by its URL, once for all who ask, and sync it. `depth`: commits of history; 0: all of it.

        Waits until it can be searched, or `wait_s`, or (`background`) not at all; the rest goes on.

        A clone that failed can also be had again by its name or path.

        Raises:
            UserError, Refused, Unavailable: no such repository, not allowed, not now.
        """
        caller = caller if caller is not None else Caller(cwd=os.getcwd(), environment=handed_over(os.environ))
        record = self._unfinished(url, caller) if not places.looks_like_url(url) else None
        if record is not None:
            url, branch = record.url, branch or record.branch or None
        if branch is None and depth is None:
            here = self.clones.local(url, caller)
            if here is not None:
                return CloneAnswer(
                    "cloned", printable(os.fspath(here.path)), here.name, "it is here already, not cloned by us"
                )
        until = None if wait_s is None else time.monotonic() + wait_s
        record = self.clones.request(url, branch, depth, caller)
        if not background:
            run = self.clones.wait(record, until, cancelled, on_progress)
            if run is not None:
                if on_progress is not None:
                    run.listeners.append(on_progress)
                repository = self._catalog.get(run.repository_id)
                left = None if until is None else max(0.0, until - time.monotonic())
                if repository is not None:
                    self._asked.wait(run, repository, left, cancelled)
        known = self._catalog.clones.get(record.key, record.branch) or record
        repository = self._catalog.get(known.repository_id or "")
        name = repository.name if repository is not None else name_of(known)
        done = known.status == "cloned"
        credentials = " (credentials in the URL were cut out)" if "@" in url and record.url.startswith("http") else ""
        message = f"{record.url} is {'cloned' if done else 'being cloned'}{credentials}"
        return CloneAnswer("cloned" if done else "accepted", printable(os.fspath(record.path)), name, message)

    def clone_status(self, said: str, *, caller: Caller = Caller()) -> CloneReport:
        """How a clone stands, by its path, name or URL. Raises UserError: nothing here is called so."""
        record = self._unfinished(said, caller) or self.clones.find(said)
        if record is None:
            found = self._registry.known(said, caller)
            record = self.clones.of(found)
        if record is None:
            return CloneReport(found.name, printable(os.fspath(found.path)), found.url, None, **CloneStatus().to_dict())
        repository = self._catalog.get(record.repository_id or "")
        name = repository.name if repository is not None else name_of(record)
        place = printable(os.fspath(record.path))
        status = self.clones.status(record).to_dict()
        return CloneReport(name, place, record.url, record.branch or None, **status, notice=record.notice)

    def _unfinished(self, said: str, caller: Caller) -> Clone | None:
        """The clone that is no repository yet, if a name, path or URL means one."""
        if not places.looks_like_url(said):
            if self._registry.by_name(said) is not None:
                return None
            if places.looks_like_path(said):
                said = os.path.join(caller.cwd or "/", os.path.expanduser(said))
        return self.clones.unfinished(said)

    # -- memories -----------------------------------------------------------------------------------------------------

    def remember(
        self, content: str, *, repository: str | None = None, caller: Caller | None = None, **details: Any
    ) -> StoredMemory:
        """Keep something for all agents and sessions; by default it belongs to the repository at hand. See `Memories.add`.

        A git work tree that is not known yet is registered, and synced in the background.
        """
        check_may_keep_secrets(bool(details.get("keep_secrets")), caller)
        caller = caller if caller is not None else Caller(cwd=os.getcwd())
        started, refusal = time.time(), None
        if repository is None:
            owner, refusal = self._registry.at_hand(caller)
        elif places.looks_like_path(repository):
            owner = self._registry.target(repository, caller).repository
        else:
            owner = self._registry.known(repository, caller)
        stored = self.memory.add(content, repository=owner, **details)
        if owner is not None and owner.added_at >= started:
            with suppress(RecollectError):
                self._upkeep.request(owner, Urgency.BACKGROUND)
        if refusal is not None and stored.repository is None:
            stored = replace(stored, notice=f"it belongs to no repository: {refusal}")
        return stored

    def recall(
        self, query: str, limit: int = 5, *, repository: str | None = None, caller: Caller | None = None, **details: Any
    ) -> RecalledMemories:
        """What was remembered about something. With `repository` only of that one; else that at hand is preferred."""
        known = self._at_hand(repository, caller)
        name = known.name if known is not None else None
        where = {"repository": name} if repository is not None else {"here": name}
        return self.memory.recall(query, limit, **where, **details)  # type: ignore[arg-type]

    def brief(self, max_tokens: int = 800, *, caller: Caller | None = None) -> dict[str, Any]:
        """What an agent is told at the start of a session in the caller's place: `{text, memories, offers}`."""
        return self.memory.brief(self._at_hand(None, caller), max_tokens)

    def offer(self, sentences: Sequence[str], *, caller: Caller | None = None) -> dict[str, Any]:
        """Sentences of a session that may be worth remembering, for the next start in the same place to offer."""
        return self.memory.offer(self._at_hand(None, caller), [str(one) for one in sentences])

    def _at_hand(self, repository: str | None, caller: Caller | None) -> Repository | None:
        """A known repository by name, or the one of the caller's place; nothing is registered."""
        caller = caller if caller is not None else Caller(cwd=os.getcwd())
        if repository is not None:
            return self._registry.known(repository, caller)
        for place in (caller.project_dir, caller.cwd, *caller.roots):
            held = self._registry.holding(place) if place else None
            if held is not None:
                return held
        return None

    # -- what is known ------------------------------------------------------------------------------------------------

    def repositories(self, query: str | None = None, limit: int = 100) -> RepositoryList:
        """The known repositories whose name, path or URL holds `query`."""
        wanted = (query or "").lower()
        found = [
            item
            for item in self._catalog.repositories()
            if any(wanted in name.lower() for name in (item.name, *item.aliases))
            or wanted in printable(os.fspath(item.path)).lower()
            or wanted in (item.url or "").lower()
        ]
        rows = []
        shown = found[: max(0, limit)]
        seen = self._upkeep.look(shown)
        for item in shown:
            run = self._syncs.current(item.id)
            item = self._catalog.get(item.id) or item  # what the look found out, or how the run ended, is noted there
            index, fresh, failure = self._index_of(item, seen)
            rows.append(reports.summary(item, index, run, fresh, failure))
        for record in self.clones.unregistered():
            texts = (name_of(record), record.url, printable(os.fspath(record.path)))
            if any(wanted in text.lower() for text in texts):
                rows.append(reports.being_cloned_row(name_of(record), record, self.clones.status(record)))
        steps = None if rows or limit < 1 else (self._registry.nothing_like(query),)
        return RepositoryList(tuple(rows[: max(0, limit)]), len(found) + len(rows) - len(shown), steps)

    def status(self, repository: str | None = None, *, caller: Caller | None = None) -> RepositoryStatus:
        """Everything about one repository; without a name, the one of the caller's place."""
        caller = caller if caller is not None else Caller(cwd=os.getcwd())
        record = self._unfinished(repository, caller) if repository is not None else None
        if record is not None:
            return reports.being_cloned(name_of(record), record, self.clones.status(record))
        return self._status(
            self._registry.known(repository, caller) if repository is not None else self._registry.here(caller)
        )

    def _index_of(self, found: Repository, seen: Seen) -> tuple[Summary | None, Freshness, str | None]:
        """(counts of its index, what that reflects, why it cannot be opened): of one repository, whatever ails it."""
        watch = self._upkeep.watch(found, seen)
        try:
            index = self._library.summary(found.id)
        except RecollectError as error:
            return None, Freshness(False, 0, error.message), error.message
        held = reports.Held(index.complete, index.files) if index is not None else reports.Held()
        return index, self._upkeep.freshness(found, held, watch), None

    def _status(self, found: Repository, seen: Seen | None = None) -> RepositoryStatus:
        """`seen`: a look at this one among others, if there was one just now."""
        seen = seen if seen is not None else self._upkeep.look([found])
        run = self._syncs.current(found.id)  # before the record, which says how it ended
        found = self._catalog.get(found.id) or found
        index, freshness, _ = self._index_of(found, seen)
        upkept = reports.Upkept(
            freshness,
            self._upkeep.watcher.reason(found.id) is None,
            self.auto_sync.next_sync_at(found),
            self.auto_sync.paused,
            self.clones.status(self.clones.of(found)),
            self._upkeep.maps.status(found.id),
            self._upkeep.interval(found) if self._upkeep.is_followed(found) else None,
            self._upkeep.excluded_by(found),
        )
        return reports.status(found, index, run, upkept)

    def history(self, name: str, *, caller: Caller = Caller()) -> list[SyncResult]:
        """The last syncs of a repository that changed something or failed, newest first."""
        found = self._registry.known(name, caller)
        results = (reports.sync_result(stored, found.name) for stored in self._catalog.history(found.id))
        return [result for result in results if result is not None]

    def activity(self, limit: int = 100) -> RecentActivity:
        """What was done lately, and at what cost."""
        names = {item.id: item.name for item in self._catalog.repositories()}
        runs = [
            reports.sync_result(stored, names[identity])
            for identity, stored in self._catalog.last_runs(max(1, min(limit, 1000)))
            if identity in names
        ]
        return RecentActivity(
            syncs=tuple(run for run in runs if run is not None),
            latencies=tuple(self.meters.latencies()),
            savings=self.savings(),
            processes=tuple(resources.processes(os.getpid())),
            uptime_s=round(time.time() - self._started, 1),
        )

    def savings(self, days: int | None = None) -> Savings:
        """What agents did not have to read, an estimate; of the last `days`, or of all that are kept."""
        if days is not None and days < 1:
            raise UserError("days must be at least 1", hint="Leave it out for all that is kept.", code="out_of_range")
        return self.ledger.totals(days)

    @property
    def meters(self) -> Meters:
        """What happened since the start, counted."""
        return self._upkeep.meters

    def statuses(self) -> list[RepositoryStatus]:
        """All about every repository, and about clones that are none yet."""
        repositories = self._catalog.repositories()
        seen = self._upkeep.look(repositories)
        known = [self._status(item, seen) for item in repositories]
        clones = self.clones.unregistered()
        return known + [reports.being_cloned(name_of(item), item, self.clones.status(item)) for item in clones]

    def files(self, name: str, *, caller: Caller = Caller()) -> tuple[FileReport, ...]:
        """Every file of the tree with what became of it."""
        found = self._registry.known(name, caller)
        self._registry.check_admission(found, caller)
        with self._library.reading(found.id) as snapshot:
            infos = snapshot.files.values() if snapshot is not None else ()
            rows = [reports.file_report(info) for info in sorted(infos, key=lambda info: info.path)]
        last = reports.sync_result(found.last_sync, found.name)
        known = {row.path for row in rows}
        odd = [error for error in (last.errors if last is not None else ()) if error.path and error.path not in known]
        return (*rows, *(FileReport(error.path, "failed", error.kind, None, 0, 0) for error in odd))

    def add(self, path: str, name: str | None = None, *, caller: Caller | None = None) -> RepositoryStatus:
        """Register a folder without syncing it."""
        caller = caller if caller is not None else Caller(cwd=os.getcwd())
        return self.status(self._registry.register(path, caller, name).id)

    def forget(self, repository: str, *, caller: Caller = Caller()) -> dict[str, Any]:
        """Stop knowing a repository: its index is deleted, its files are not touched."""
        record = self._unfinished(repository, caller)
        if record is not None:
            said = self.clones.forget(record)
            place = printable(os.fspath(record.path))
            return {"repository": name_of(record), "path": place, "status": "forgotten", "message": said}
        found = self._registry.known(repository, caller)
        record = self.clones.of(found)
        if record is None:  # the files of a clone go with it
            self._registry.note_forgotten(found)
        self._upkeep.forget(found)
        said = self.clones.forget(record) if record is not None else "its files are untouched"
        return {
            "repository": found.name,
            "path": printable(os.fspath(found.path)),
            "status": "forgotten",
            "message": said,
        }

    def configuration(self) -> list[dict[str, Any]]:
        """Every setting as `{name, value, origin, description}`."""
        return table(self.home, persisted=self._catalog.persisted(), adopted=self.auto_sync.clients.adopted)

    def diagnose(self) -> list[Finding]:
        """What is wrong with this installation and its repositories, and how to mend it."""
        notices = [*self._catalog.notices, *self._upkeep.notices]
        found = diagnosis.findings(self.home, self._catalog.repositories(), self._upkeep, notices)
        found += [Finding("problem", "settings", problem) for problem in self.auto_sync.bad_settings]
        found += [Finding("note", "settings", item.message) for item in self.auto_sync.clients.differences()]
        found += self.memory.findings()
        proposed = self.clones.proposals()
        if proposed:
            names = ", ".join(f"{repository.name} ({size / 1e6:.0f} MB)" for _, repository, size in proposed)
            message = f"the clones are over the budget; unused longest: {names}"
            found.append(Finding("note", "clones", message, f"recollect forget {proposed[0][1].name}"))
        return found

    def check(self, name: str, *, caller: Caller = Caller(), cancelled: threading.Event | None = None) -> Finding:
        """Hold an index against its files, reading every one of them; what was wrong is right afterwards."""
        found = self._registry.known(name, caller)
        if self._upkeep.looks.one(found.id, lambda: self._upkeep.present(found)) is None:
            return Finding("note", found.name, "its folder is missing: there is nothing to hold its index against")
        before = self._asked.wait(
            self._asked.start(found, False), found, None, cancelled
        )  # what merely waits to be synced is no fault
        run = self._upkeep.request(found, Urgency.ASKED, reread=True, everything=True, limits=False, verify=True)
        return diagnosis.verdict(found.name, before, self._asked.wait(run, found, None, cancelled))

    def running(self) -> list[dict[str, Any]]:
        """`{name, activity, progress}` of every repository whose sync runs: what changes many times a second."""
        rows = []
        for run in self._syncs.runs():
            repository = self._catalog.get(run.repository_id)
            if repository is not None and run.status is SyncStatus.RUNNING:
                rows.append(
                    {"name": repository.name, "activity": run.progress.phase, "progress": run.progress.to_dict()}
                )
        return rows

    @property
    def syncing(self) -> int:
        """How many syncs run or wait."""
        return len(self._syncs.runs())

    def about(self) -> dict[str, Any]:
        """This instance: version, processes, place, counts."""
        known = self._catalog.repositories()
        return {
            "version": __version__,
            "pid": os.getpid(),
            "indexer_pid": self._upkeep.indexer.pid,
            "home": printable(os.fspath(self.home)),
            "uptime_s": round(time.time() - self._started, 1),
            "repositories": len(known),
            "syncing": self.syncing,
            "background": {**self.auto_sync.metrics, "overflows": self._upkeep.watcher.overflows},
            "memory_bytes": self._upkeep.watch_memory(),
            "notices": [*self._catalog.notices, *self.memory.notices(), *self._upkeep.notices],
        }
