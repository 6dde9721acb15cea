"""Background work: finds repositories, decides what is due, starts it, and can be told how."""

from __future__ import annotations

import logging
import math
import os
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from recollect.config import Settings, check_value, how_to_set, usable
from recollect.errors import Cancelled, RecollectError, Refused, UserError
from recollect.jobs.schedule import Cause, Condition, Due, check_interval, due, ordered
from recollect.jobs.syncs import Run, Urgency
from recollect.model import AutoSyncConfig, AutoSyncStatus, ScanResult, SyncResult, SyncStatus
from recollect.store.catalog import Catalog, Repository
from recollect.sync import git
from recollect.sync.clone import DISK_FREE
from recollect.sync.discover import Discovered, discover
from recollect.sync.tree import Problem, printable
from recollect.workspace import places, reports
from recollect.workspace.client_settings import ClientSettings
from recollect.workspace.places import Caller
from recollect.workspace.registry import Registry
from recollect.workspace.upkeep import Upkeep

_PAUSE_S: Final = 0.05  # between two looks at what is due, however much changes
_WEIGH_S: Final = 10.0  # between two looks at memory, at least
_LOOK_S: Final = 60.0  # at resources, and at what waits for them
_HANGS_LOOK_S: Final = 10.0  # between two looks at whether a sync that runs still can
_SETTLED: Final = (math.inf, math.inf)  # a change long ago: due at once
_JITTER: Final = 0.1  # of the general interval, by which some are checked earlier: not all repositories at once
_BATTERY_LOW: Final = 20  # percent, when discharging
_SCAN_ANSWER_S: Final = 2.0
_NO_SCAN_S: Final = 3600.0  # where no scan paths are configured: until something is asked for
_LAST_SCAN: Final = "last_scan"  # what is persisted of it
_MOST_NAMED: Final = 20  # repositories or folders in a status
_SCAN_SETTINGS: Final = ("auto_sync_paths", "auto_sync_exclude", "auto_sync_max_depth", "auto_sync_min_files")
NAMES: Final = {  # of configure_auto_sync → of the setting
    "scan_paths": "auto_sync_paths",
    "exclude_patterns": "auto_sync_exclude",
    "scan_interval": "auto_sync_scan_interval",
    "sync_interval": "auto_sync_interval",
    "max_concurrent": "auto_sync_max_concurrent",
    "priority_languages": "auto_sync_priority_languages",
    "size_threshold": "auto_sync_size_threshold",
    "auto_watch": "auto_sync_auto_watch",
    "sync_on_startup": "auto_sync_on_startup",
    "max_depth": "auto_sync_max_depth",
    "min_files": "auto_sync_min_files",
    "enabled": "auto_sync_enabled",
}
log = logging.getLogger("recollect.auto_sync")


class AutoSync:
    """Two threads of its own: one starts what is due, one searches for repositories. Thread-safe."""

    def __init__(self, catalog: Catalog, registry: Registry, upkeep: Upkeep, home: Path) -> None:
        self._catalog = catalog
        self._registry = registry
        self._upkeep = upkeep
        self._home = home
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._paused = bool(catalog.persisted().get("paused", False))
        self._started = time.monotonic()
        self._settings_at_start = _scan_settings(upkeep.settings)
        self.bad_settings: Sequence[str] = ()  # what to say of persisted ones that are ignored
        self._held_back: str | None = None
        self._weighed = 0.0
        self._cycle: tuple[float, list[Run]] | None = None
        self._background: dict[str, tuple[Run, Cause]] = {}
        self.metrics: Counter[str] = Counter()  # what was done since the start
        self._configuring = threading.Lock()
        self._scan = _Scan(catalog.persisted().get(_LAST_SCAN))
        self.clients = ClientSettings(
            home, self._usable, lambda: upkeep.settings, self._adopt, self._checked_scan_paths
        )
        self._threads = [
            threading.Thread(target=self._run, name="auto-sync", daemon=True),
            threading.Thread(target=self._scan_again_and_again, name="scan", daemon=True),
        ]

    def start(self) -> None:
        """Resume what was asked for and cut short; begin to watch and to look."""
        self._upkeep.resolve_scan_paths()
        for repository in self._catalog.repositories():
            if repository.wanted and not repository.missing:
                with suppress(RecollectError):  # the others are resumed all the same
                    self._upkeep.request(repository, Urgency.ASKED, everything=True, limits=False)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._closed.set()
        self.wake()
        self._scan.wanted.set()
        for thread in self._threads:
            thread.join(timeout=5)

    def wake(self) -> None:
        """Something may have become due."""
        self._woken.set()

    # -- controls -----------------------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        return self._paused

    def pause(self) -> AutoSyncStatus:
        """Stop background work at its next batch, until `resume`, also over restarts. What is asked for goes on."""
        message = "it was paused already" if self._paused else ""
        self._catalog.persist({"paused": True})
        self._paused = True
        self._upkeep.syncs.halt_background()
        log.info("paused")
        return replace(self.status(), message=message)

    def resume(self) -> AutoSyncStatus:
        """End a pause, and catch up with what changed meanwhile; `message` says what stands in the way."""
        message = "" if self._paused else "it was not paused"
        if not self._upkeep.settings.auto_sync_enabled:
            ended = "the pause has ended, but" if self._paused else "it is not paused, but"
            way = f"{how_to_set('auto_sync_enabled', True)}, or configure_auto_sync(enabled=true)"
            message = f"{ended} auto-sync is disabled. To enable it: {way}"
        if self._paused:
            self._upkeep.rouse()
        self._catalog.persist({"paused": False})
        self._paused = False
        log.info("resumed")
        self.wake()
        self._scan.wanted.set()
        return replace(self.status(), message=message)

    def configure(self, changes: Mapping[str, Any], caller: Caller) -> AutoSyncStatus:
        """Change settings by the names of `configure_auto_sync`, all or none; the others stay as they are.

        Raises:
            UserError: an unknown name or a bad value. Refused: a scan path that the caller may not use.
        """
        unknown = changes.keys() - NAMES.keys()
        if unknown:
            raise UserError(f"unknown setting: {', '.join(sorted(unknown))}", hint=f"Known: {', '.join(NAMES)}")
        given = {NAMES[name]: value for name, value in changes.items() if value is not None}
        given = {name: _plain(check_value(name, value)) for name, value in given.items()}  # before anything is changed
        if "auto_sync_paths" in given:
            given["auto_sync_paths"] = self._checked_scan_paths(given["auto_sync_paths"], caller)
        with self._configuring:
            before = self._upkeep.settings
            persisted, self.bad_settings = usable(self._catalog.persisted() | given)
            after = Settings.load(self._home, persisted=persisted, adopted=self.clients.adopted)
            self._catalog.persist(given)
            self._upkeep.settings = after
        self._apply(before, after)
        if given:
            log.info("configured: %s", ", ".join(f"{name} = {value}" for name, value in given.items()))
        return self.status()

    def _adopt(self, adopted: dict[str, tuple[Any, str]]) -> None:
        """Have what clients have set take effect, where nobody has set it otherwise."""
        with self._configuring:
            before = self._upkeep.settings
            after = self._upkeep.settings = Settings.load(self._home, persisted=self._usable(), adopted=adopted)
        self._apply(before, after)

    def _usable(self) -> dict[str, Any]:
        return usable(self._catalog.persisted())[0]

    def _apply(self, before: Settings, after: Settings) -> None:
        """Have changed settings take effect on what is going on."""
        self._upkeep.syncs.allow(after.auto_sync_max_concurrent)
        self._upkeep.resolve_scan_paths()
        if before != after:
            self._upkeep.look_at_each(self._catalog.repositories(), self._attended)
            for identity, (run, _) in list(self._background.items()):
                repository = self._catalog.get(identity)
                if repository is not None and not self._upkeep.is_followed(repository):
                    run.halted = True
                    self._upkeep.syncs.cancel(identity)
        if before.auto_sync_enabled and not after.auto_sync_enabled:
            self._upkeep.syncs.halt_background()
        self.wake()
        self._scan.wanted.set()

    def configure_repository(self, repository: Repository, enabled: bool | None, interval: float | None) -> None:
        """Have one repository kept in step or not, or give it an interval of its own (0: as all others). Its index stays."""
        changes: dict[str, Any] = {}
        if interval is not None:
            changes["sync_interval"] = check_value("auto_sync_interval", interval) if interval else None
        if enabled is not None:
            changes |= {"tracked": int(enabled), "untracked": int(not enabled)}
        if enabled:  # also where it was excluded
            changes["discovered"] = 0
            self._upkeep.rouse(repository.id)
        updated = self._catalog.update(repository.id, **changes) if changes else repository
        if updated is None:
            return
        run = self._background.get(repository.id)
        if enabled is False and run is not None:
            run[0].halted = True
            self._upkeep.syncs.cancel(repository.id)
        self._upkeep.look_at_each([updated], self._attended)
        self.wake()

    def _attended(self, repository: Repository) -> Repository:
        self._upkeep.attend(repository)
        return repository

    def status(self) -> AutoSyncStatus:
        """How background work stands. Nothing is started by asking."""
        settings, now = self._upkeep.settings, time.monotonic()
        known = self._catalog.repositories()
        tracked = [item for item in known if self._upkeep.is_followed(item)]
        running = [run for run in self._upkeep.syncs.runs() if run.status is SyncStatus.RUNNING]
        waiting = [run for run in self._upkeep.syncs.runs() if run.status is SyncStatus.QUEUED]
        queued = {run.repository_id for run in waiting}
        queued |= {item.id for item in tracked if isinstance(self._due(item, now), Due)}
        next_scan = time.time() + self._until_next_scan() if settings.auto_sync_paths and self.active else None
        outside = [item.name for item in tracked if item.discovered and not self._upkeep.is_below_scan_path(item)]
        return AutoSyncStatus(
            enabled=settings.auto_sync_enabled,
            running=self.active,
            paused=self._paused,
            last_scan=_iso(self._scan.ended_at),
            next_scan=_iso(next_scan),
            queued_repos=len(queued),
            active_syncs=len(running),
            synced_repos=sum((item.last_sync or {}).get("status") == "completed" for item in known),
            config=AutoSyncConfig(**{name: getattr(settings, NAMES[name]) for name in NAMES}),
            held_back=self._held_back,
            watched_repos=sum(self._upkeep.watcher.reason(item.id) is None for item in tracked),
            watches=self._upkeep.watcher.watches,
            failing=tuple(item.name for item in tracked if item.attempts),
            deferred=tuple(item.name for item in tracked if item.size_bytes > settings.auto_sync_size_threshold),
            problems=(*self.bad_settings, *(f"{item.path}: {item.message}" for item in self._scan.found.problems[:20])),
            excluded=tuple(item.name for item in known if item.tracked and self._upkeep.excluded_by(item)),
            outside=tuple(outside),
            client_settings=tuple(self.clients.differences()),
            watched_interval=check_interval(
                None, settings.auto_sync_interval, "auto_sync_interval" in settings.explicit, True
            ),
            forgotten=tuple(sorted(map(printable, self._registry.forgotten))),
        )

    @property
    def active(self) -> bool:
        """Whether background work is done at all."""
        return self._upkeep.settings.auto_sync_enabled and not self._paused and not self._closed.is_set()

    def next_sync_at(self, repository: Repository) -> float | None:
        """When a repository is looked at next by itself (UTC epoch seconds); None: not before something happens."""
        if not self._upkeep.is_followed(repository) or not self.active or reports.is_too_large(repository):
            return None
        now = time.monotonic()
        found = self._due(repository, now)
        return time.time() + (max(0.0, found - now) if isinstance(found, float) else 0.0) if found is not None else None

    # -- what is due --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closed.is_set():
            self._woken.clear()
            try:
                wait = self._tick()
            except Exception:
                if self._closed.is_set():
                    return
                log.exception("looking for what is due failed")
                wait = _LOOK_S
            self._woken.wait(wait)
            self._closed.wait(_PAUSE_S)

    def _tick(self) -> float:
        """Start what is due, as far as there are slots; how long there is nothing to do unless something happens."""
        if time.monotonic() - self._weighed > _WEIGH_S:
            self._weighed = time.monotonic()
            self._upkeep.watch_memory()
        self._end_cycle()
        hurry = self._abandon_hanging()
        if not self.active:
            return _LOOK_S
        self._held_back = self._reason_to_wait()
        if self._held_back is not None:
            return _LOOK_S
        known = [item for item in self._catalog.repositories() if item.id not in self._scan.being_added]
        tracked = [item for item in known if self._upkeep.is_followed(item) and not reports.is_too_large(item)]
        failures = self._upkeep.look_at_each(tracked, self._looked_over).failures
        now, waits, found = time.monotonic(), [_HANGS_LOOK_S if hurry else _LOOK_S], []
        for given in tracked:
            repository = self._catalog.get(given.id)
            if repository is None:
                continue
            what = self._due(repository, now)
            if isinstance(what, Due) and repository.id not in failures:
                found.append(what)
            elif isinstance(what, float):
                waits.append(max(0.0, what - now))
        self._start_some(found)
        if not self.active:  # … and may have come just before the last of them was asked for
            self._upkeep.syncs.halt_background()
        return min(waits)

    def _looked_over(self, repository: Repository) -> Repository | None:
        """What a look at a tracked repository does, in the background. Raises Unavailable."""
        upkeep = self._upkeep
        if repository.missing or upkeep.is_failing(repository):
            return upkeep.reach(repository)
        if repository.last_sync is not None:
            upkeep.attend(repository)
        upkeep.look_at_head(repository, _LOOK_S)
        return repository

    def _abandon_hanging(self) -> bool:
        """Give up syncs whose files do not answer, so that their slots serve others; whether any sync runs."""
        runs = [run for run in self._upkeep.syncs.runs() if run.status is SyncStatus.RUNNING]
        roots = {run.repository_id: run.root for run in runs}
        looked = self._upkeep.looks.each(roots, lambda key: os.path.lexists(roots[key]))
        for key, failure in looked.failures.items():
            self._upkeep.syncs.abandon(key, failure)
        return bool(runs)

    def _start_some(self, found: Sequence[Due]) -> None:
        settings = self._upkeep.settings
        free = settings.auto_sync_max_concurrent - sum(run.urgency > 0 for run in self._upkeep.syncs.runs())
        checking = any(cause is Cause.CHECK for _, cause in list(self._background.values()))
        languages, threshold = settings.auto_sync_priority_languages, settings.auto_sync_size_threshold
        for item in ordered(found, languages, threshold):
            if free <= 0 or (item.cause is Cause.CHECK and checking):
                continue
            repository = self._catalog.get(item.condition.id)
            if repository is None:
                continue
            if not self.active:  # a pause came since this look began
                return
            whole = item.cause is Cause.CHECK
            run = self._upkeep.request(repository, Urgency.BACKGROUND, everything=whole)
            self._background[repository.id] = (run, item.cause)
            if self._cycle is None:
                log.info("cycle starts: %d due", len(found))
                self._cycle = (time.monotonic(), [])
                self.metrics["cycles"] += 1
            self._cycle[1].append(run)
            run.future.add_done_callback(lambda done, it=repository: self._one_ended(it, done.result()))  # type: ignore[misc]
            free -= 1
            checking |= whole

    def _one_ended(self, repository: Repository, result: SyncResult) -> None:
        _, cause = self._background.pop(repository.id, (None, Cause.CHECK))
        changes = f"{result.new_files} new, {result.modified_files} changed, {result.deleted_files} deleted"
        errors = f": {result.errors[0].message}" if result.errors else ""
        self.metrics[f"syncs_{result.status}"] += 1
        self.metrics["files_indexed"] += result.processed_files
        interrupted = self._closed.is_set()  # it goes on next time
        failed = result.status == SyncStatus.FAILED and not interrupted
        level = logging.WARNING if failed else logging.INFO
        what = (repository.name, cause.name.lower(), result.status, changes, result.duration_s, errors)
        log.log(level, "%s (%s): %s, %s, %.2f s%s", *what)
        self.wake()

    def _end_cycle(self) -> None:
        if self._cycle is None or self._background:
            return
        started, runs = self._cycle
        self._cycle = None
        states = [run.status for run in runs]
        completed, failed = states.count(SyncStatus.COMPLETED), states.count(SyncStatus.FAILED)
        log.info("cycle ends: %d completed, %d failed, %.1f s", completed, failed, time.monotonic() - started)

    def _due(self, repository: Repository, now: float) -> Due | float | None:
        return due(self._condition(repository, now), now)

    def _condition(self, repository: Repository, now: float) -> Condition:
        upkeep = self._upkeep
        last = repository.last_sync
        interval = upkeep.interval(repository)
        if repository.sync_interval is None:
            interval *= 1 - _JITTER * random.Random(repository.id).random()
        wait = upkeep.not_before(repository) - time.time()
        not_before = now + wait if 0 < wait <= 2 * max(interval, 3600.0) else 0.0  # the clock may have been set
        if upkeep.rests(repository):
            not_before = max(not_before, self._started + interval)
        return Condition(
            id=repository.id,
            indexed=last is not None and (reports.completed(last) or upkeep.library.complete(repository.id)),
            busy=upkeep.syncs.current(repository.id) is not None,
            missing=repository.missing,
            not_before=not_before,
            dirty=upkeep.watcher.waiting(repository.id)
            or (_SETTLED if upkeep.head_moved(repository) or upkeep.is_failing(repository) else None),
            vouched=upkeep.watcher.vouches(repository.id),
            checked_at=upkeep.checked_monotonic(repository.id),
            interval=interval,
            language=repository.language,
            size_bytes=repository.size_bytes,
            modified_at=self._modified_at(repository),
        )

    def _modified_at(self, repository: Repository) -> float:
        """When its files were last changed, as far as is known."""
        waiting, last = self._upkeep.watcher.waiting(repository.id), repository.last_sync
        if waiting is not None and self._upkeep.watcher.has_changed(repository.id):
            return time.time() - waiting[1]
        return max(repository.modified_at or 0.0, float(last["started_at"]) if last is not None else 0.0)

    def _reason_to_wait(self) -> str | None:
        free = shutil.disk_usage(self._home).free
        if free < DISK_FREE:
            return f"only {free / 1e6:.0f} MB are free on the disk"
        charge = battery()
        if charge is not None and charge <= _BATTERY_LOW:
            return f"the battery is at {charge} %"
        return None

    # -- finding repositories -----------------------------------------------------------------------------------------

    def scan_paths(self, caller: Caller) -> list[tuple[str, str]]:
        """(folder, where it comes from) of the folders that are searched; without a setting, the caller's repository."""
        configured = [(path, "configured") for path in self._upkeep.settings.auto_sync_paths]
        if configured:
            return configured
        given = [(root, "roots") for root in caller.roots]
        given += [(caller.project_dir, "CLAUDE_PROJECT_DIR")] if caller.project_dir else []
        for path, origin in given:
            if _may_be_searched(path, caller):
                return [(item, name) for item, name in given if name == origin]
        here = None
        with suppress(RecollectError):
            here = git.work_tree_root(Path(caller.cwd)) if caller.cwd else None
        return [(os.fspath(here), "working directory")] if here and _may_be_searched(os.fspath(here), caller) else []

    def scan(self, caller: Caller, wait_s: float = _SCAN_ANSWER_S) -> ScanResult:
        """Search for repositories now; answers after `wait_s` at the latest, the search goes on."""
        paths = [path for path, _ in self.scan_paths(caller)]
        if paths:
            self._scan.asked_paths = tuple(paths)
            self._scan.ended.clear()
            self._scan.wanted.set()
            self._scan.ended.wait(wait_s)
        status = self.status()
        message = "" if paths else "no scan paths are configured and there is no repository here"
        left_out = sum(info.path in self._registry.forgotten for info in self._scan.found.repositories) if paths else 0
        if left_out:
            message = f"{left_out} of them were forgotten and stay so; recollect add PATH brings one back"
        running = bool(paths) and not self._scan.ended.is_set()
        found = self._scan.so_far if running else len(self._scan.found.repositories) if paths else 0
        return ScanResult(running, status.queued_repos, status.active_syncs, status.synced_repos, found, message)

    def find(self, paths: Sequence[str], progress: Callable[[int], None] = lambda found: None) -> Discovered:
        """Search below `paths`; nothing is registered."""
        settings = self._upkeep.settings
        return discover(
            [Path(path) for path in paths],
            exclude=settings.auto_sync_exclude,
            max_depth=settings.auto_sync_max_depth,
            min_files=settings.auto_sync_min_files,
            cancelled=self._closed.is_set,
            progress=progress,
        )

    def _scan_again_and_again(self) -> None:
        while True:
            asked = self._scan.wanted.wait(self._until_next_scan() if self.active else _LOOK_S)
            if self._closed.is_set():
                return
            self._scan.wanted.clear()
            paths, self._scan.asked_paths = self._scan.asked_paths, ()
            named = bool(paths)
            if not paths and self.active and (not asked or self._until_next_scan() == 0):
                paths = self._upkeep.settings.auto_sync_paths
            if paths:
                try:
                    self._scan_once(paths, named and tuple(paths) != self._upkeep.settings.auto_sync_paths)
                except Cancelled:
                    return
                except Exception:  # the next one may do
                    log.exception("the search for repositories failed")
                    self._scan.ended_at, self._scan.settings = time.time(), _scan_settings(self._upkeep.settings)
            self._scan.ended.set()

    def _scan_once(self, paths: Sequence[str], named: bool = False) -> None:
        """`named`: by a caller for this search, where no scan paths are configured."""
        started = time.monotonic()
        settings = self._upkeep.settings
        self._scan.so_far = 0
        found = self.find(paths, self._scan.count)
        new = 0
        problems: list[Problem] = []
        try:
            for info in found.repositories:
                if self._closed.is_set():
                    return
                before = {item.id for item in self._catalog.repositories()}
                try:
                    repository = self._registry.adopt(info, asked=named)
                    if repository is not None:
                        if repository.id not in before:
                            new += 1
                            self._scan.being_added.add(repository.id)  # the first of them waits for the others
                        if not repository.tracked and not repository.untracked:
                            self._catalog.update(repository.id, tracked=1)
                except (RecollectError, OSError) as error:  # the others are registered all the same
                    problems.append(Problem(info.path, "unreadable", str(error)))
        finally:
            self._scan.being_added.clear()
        found = replace(found, problems=(*found.problems, *problems))
        self._upkeep.look_at_each(self._catalog.repositories(), self._upkeep.present)
        self._scan.found = found
        if not named:
            self._scan.ended_at, self._scan.settings = time.time(), _scan_settings(settings)
            self._catalog.persist({_LAST_SCAN: [self._scan.ended_at, self._scan.settings]}, durable=False)
        spent = time.monotonic() - started
        self._upkeep.meters.scanned(len(found.repositories), new, found.excluded)
        self.metrics["scans"] += 1
        log.info(
            "scan: %d repositories, %d new, %d problems, %.1f s",
            len(found.repositories),
            new,
            len(found.problems),
            spent,
        )
        self.wake()

    def _until_next_scan(self) -> float:
        """Seconds until the scan paths are to be searched; 0 where they were not yet, or not with the settings of now."""
        settings = self._upkeep.settings
        if not settings.auto_sync_paths:
            return _NO_SCAN_S
        now = _scan_settings(settings)
        if not settings.auto_sync_on_startup and not self.metrics["scans"] and now == self._settings_at_start:
            return max(0.0, self._started + settings.auto_sync_scan_interval - time.monotonic())
        if self._scan.ended_at is None or self._scan.settings != now:
            return 0.0
        rest = self._scan.ended_at + settings.auto_sync_scan_interval - time.time()
        return min(max(0.0, rest), settings.auto_sync_scan_interval)  # the clock may have been set back

    def _checked_scan_paths(self, paths: Sequence[str], caller: Caller) -> list[str]:
        """Raises UserError, Refused: one of them is no folder, or may not be searched for this caller."""
        full = [places.absolute(path, caller) for path in paths]
        for path, folder in zip(paths, full, strict=True):
            if not path.strip():
                raise UserError(
                    "a scan path must be the path of a folder", hint="For example ~/src.", code="wrong_type"
                )
            if folder == Path(folder.anchor):
                raise Refused("the whole file system is not searched", hint="Name the folders that hold repositories.")
            if caller.agent:
                self._check_for_agent(folder, full, caller)
            places.existing_folder(folder, path)
        return [os.fspath(folder) for folder in full]

    @staticmethod
    def _check_for_agent(folder: Path, all_: Sequence[Path], caller: Caller) -> None:
        try:
            places.check_allowed(folder, caller)
        except Refused as refused:
            places.check_allowed(folder, replace(caller, agent=False))  # where nobody may, it says so
            command = how_to_set("auto_sync_paths", [os.fspath(one) for one in all_])
            raise Refused(refused.message, hint=f"A person can allow it in a terminal: {command}") from refused


class _Scan:
    """The search for repositories as it stands."""

    def __init__(self, last: Any) -> None:
        """`last`: what was persisted of the last search of the scan paths: when it ended, with which settings."""
        self.wanted = threading.Event()
        self.ended = threading.Event()
        self.asked_paths: tuple[str, ...] = ()
        self.found = Discovered((), ())
        self.ended_at: float | None = None
        self.settings: list[Any] | None = None  # that the scan paths were last searched with
        self.so_far = 0
        self.being_added: set[str] = set()  # ids of repositories that this search adds
        if isinstance(last, list) and len(last) == 2 and isinstance(last[0], float) and math.isfinite(last[0]):
            self.ended_at, self.settings = last

    def count(self, found: int) -> None:
        self.so_far = max(self.so_far, found)


def _scan_settings(settings: Settings) -> list[Any]:
    """What decides which repositories a search finds, as it is persisted."""
    return [_plain(getattr(settings, name)) for name in _SCAN_SETTINGS]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def battery(folder: Path = Path("/sys/class/power_supply")) -> int | None:
    """Charge in percent of a battery that discharges; None where there is none, or the system does not tell."""
    try:
        for supply in sorted(folder.iterdir()):
            if (supply / "type").read_text().strip() != "Battery" or (supply / "scope").exists():
                continue  # a mouse has its own
            if (supply / "status").read_text().strip() == "Discharging":
                return int((supply / "capacity").read_text())
    except (OSError, ValueError):
        pass
    return None


def _may_be_searched(path: str, caller: Caller) -> bool:
    try:
        places.check_allowed(places.absolute(path, caller), caller)
    except RecollectError:
        return False
    return os.path.isdir(path)


def _iso(at: float | None) -> str | None:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at is not None else None
