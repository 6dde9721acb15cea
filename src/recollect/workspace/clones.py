"""Managed clones: made when asked for, kept where their remotes are, proposed for removal when nobody uses them."""

from __future__ import annotations

import logging
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from recollect.calls import next_call
from recollect.client import handed_over
from recollect.errors import Cancelled, RecollectError, Refused, Unavailable, UserError
from recollect.jobs.syncs import Run, Urgency
from recollect.model import CloneStatus, Progress
from recollect.store.catalog import Catalog, Repository
from recollect.store.clones import Clone
from recollect.sync import clone as making
from recollect.sync import disk, git, worktree
from recollect.sync.address import Address, Permissions, parse
from recollect.sync.clone import Control, Limits, Received
from recollect.testing import crash_point
from recollect.workspace import places
from recollect.workspace.places import Caller
from recollect.workspace.upkeep import Upkeep

_EVERYTHING: Final = Permissions(True, True)  # to read a URL that was allowed before
_AT_ONCE: Final = 4
_LOOK_S: Final = 0.05
_IDLE_S: Final = 60.0
_JITTER: Final = 0.1
_BACK_OFF_MOST: Final = 24  # fetch intervals
_RETRY_S: Final = 60.0  # a question about a URL that could not be cloned tries again after this
_UNUSED_S: Final = 30 * 86_400.0
log = logging.getLogger("recollect.clones")


@dataclass(slots=True, eq=False)
class _Job:
    """A clone that is being made."""

    record: Clone
    address: Address
    environment: Mapping[str, str]
    permissions: Permissions
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    received: Received = Received(0, 0.0)
    error: RecollectError | None = None
    first_sync: Run | None = None


class Clones:
    """Thread-safe. A thread for each clone that is made, one for looking at remotes."""

    def __init__(self, home: Path, catalog: Catalog, upkeep: Upkeep, active: Callable[[], bool]) -> None:
        """`active`: whether background work is done at all."""
        self._folder = home / "clones"
        self._scratch = self._folder / ".partial"
        self._catalog = catalog
        self._table = catalog.clones
        self._upkeep = upkeep
        self._active = active
        self._lock = threading.RLock()
        self._jobs: dict[tuple[str, str], _Job] = {}
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._updating = threading.Lock()
        self._deepen: list[_Job] = []
        self.look_at_lists: Callable[[float, Mapping[str, str]], tuple[float, list[str]]] = _no_lists
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look_at_remotes, name="clones", daemon=True)

    def start(self) -> None:
        """Clean up after a crash, and begin again what it cut short."""
        self._folder.mkdir(exist_ok=True, mode=0o700)
        shutil.rmtree(self._scratch, ignore_errors=True)
        making.prepare(self._scratch)
        for record in self._table.all():
            known = self._catalog.get(record.repository_id or "")
            if record.status == "cloning" and not record.wanted:  # it was being cancelled when all ended
                self._table.change(record, status="cancelled", completed_at=time.time())
            real = os.path.realpath(record.path)
            if known is not None and known.path == record.path and real != os.fspath(known.path):
                self._catalog.update(known.id, path=os.fsencode(real))  # a link leads to our own folder
            if record.wanted and record.status == "cloning":
                try:
                    self._begin(record, parse(record.url, _EVERYTHING), _permitted(record), handed_over(os.environ))
                except RecollectError as error:
                    ended = {"status": "failed", "completed_at": time.time(), "error": error.message, "wanted": 0}
                    self._table.change(record, **ended)
        self._thread.start()

    def close(self) -> None:
        """End what runs; it begins again at the next start."""
        self._closed.set()
        self._woken.set()
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.cancelled.set()
        for job in jobs:
            job.ended.wait(5)
        if self._thread.ident is not None:
            self._thread.join(timeout=5)

    # -- asking -------------------------------------------------------------------------------------------------------

    def request(self, url: str, branch: str | None, depth: int | None, caller: Caller) -> Clone:
        """Have a URL cloned, unless it is or is being. Raises UserError, Refused."""
        if branch is not None and (
            not branch.strip() or branch.startswith("-") or any(ord(one) < 33 for one in branch)
        ):
            raise UserError(
                f"not a branch: {branch!r}",
                hint="Leave it out for the one that the remote has checked out.",
                code="no_branch",
            )
        if depth is not None and depth < 0:
            raise UserError(
                "depth is 1 or more; 0 for all of the history",
                hint="Leave it out for the usual depth.",
                code="out_of_range",
            )
        permissions = self.permissions(caller.environment)
        address = parse(url, permissions)
        with self._lock:
            known = self._table.get(address.key, branch or "")
            job = self._jobs.get((address.key, branch or ""))
            if job is not None:
                return job.record
            is_known = known is not None and self._catalog.get(known.repository_id or "") is not None
            if known is not None and known.status == "cloned" and is_known and (known.path / ".git").exists():
                return known
            path = self._folder / address.folder(branch)
            if any(
                item.path == path and (item.key, item.branch) != (address.key, branch or "")
                for item in self._table.all()
            ):
                raise Refused(
                    f"another clone lies at {path}",
                    hint="Forget the repository that lies there first.",
                    code="refused_url",
                )
            values: dict[str, Any] = {
                "url": address.url,
                "path": path,
                "depth": depth,
                "status": "cloning",
                "wanted": 1,
            }
            values["allows"] = " ".join(name for name in ("http", "local") if getattr(permissions, name))
            values |= {"started_at": time.time(), "completed_at": None, "error": None, "received_bytes": 0}
            if known is None or known.name is None:
                values["name"] = self._catalog.free_name(_usual_name(address.key, branch), Path(os.path.realpath(path)))
            record = self._table.put(address.key, branch or "", **values)
            self._begin(record, address, permissions, caller.environment)
            return record

    def local(self, url: str, caller: Caller) -> Repository | None:
        """A repository that somebody has here already, of the same remote."""
        key = parse(url, self.permissions(caller.environment)).key
        managed = {item.repository_id for item in self._table.all()}
        for item in self._catalog.repositories():
            if item.url is not None and item.id not in managed and not item.missing:
                with suppress(RecollectError):
                    if parse(item.url, _EVERYTHING).key == key:
                        return item
        return None

    def find(self, said: str) -> Clone | None:
        """The clone that a URL, a path or a name means."""
        found = self._table.all()
        if places.looks_like_url(said):
            try:
                key = parse(said, _EVERYTHING).key
            except RecollectError:
                return None
            return next((item for item in found if item.key == key and not item.branch), None) or next(
                (item for item in found if item.key == key), None
            )
        ways = (said,) if "\0" in said else (said, os.path.realpath(os.path.expanduser(said)))
        for item in found:
            if os.fspath(item.path) in ways or os.path.realpath(item.path) in ways:
                return item
            repository = self._catalog.get(item.repository_id) if item.repository_id else None
            if said == (repository.name if repository is not None else name_of(item)):
                return item
        return None

    def unfinished(self, said: str) -> Clone | None:
        """The clone that a URL, a name or a path (also of something in it) means, if it is no repository yet."""
        waiting = self.unregistered()
        if not waiting:
            return None
        found = self.find(said)
        if found is None and os.path.isabs(said) and "\0" not in said:
            inside = Path(os.path.realpath(said)).parents
            found = next((item for item in waiting if Path(os.path.realpath(item.path)) in inside), None)
        return found if found in waiting else None

    def of(self, repository: Repository) -> Clone | None:
        """The clone that a repository is."""
        return self._table.of(repository.id)

    def unregistered(self) -> list[Clone]:
        """Those that are no repository yet: being made, or failed."""
        return [
            item
            for item in self._table.all()
            if item.repository_id is None or self._catalog.get(item.repository_id) is None
        ]

    def status(self, record: Clone | None) -> CloneStatus:
        if record is None:
            return CloneStatus()
        job = self._jobs.get((record.key, record.branch))
        received = job.received if job is not None else Received(record.received_bytes, 0.0)
        percentage = 100.0 if record.status == "cloned" else received.percentage
        return CloneStatus(
            record.status, record.started_at, record.completed_at, record.error, received.bytes, percentage
        )

    def wait(
        self,
        record: Clone,
        until: float | None,
        cancelled: threading.Event | None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Run | None:
        """Wait for a clone (monotonic time, None: to its end); the sync that follows it, if it came to that.

        Raises:
            RecollectError: it failed.
        """
        job = self._jobs.get((record.key, record.branch))
        while job is not None and not job.ended.wait(_LOOK_S):
            if on_progress is not None:
                so_far = job.received
                on_progress(Progress("cloning", so_far.percentage, so_far.percentage > 0, bytes_done=so_far.bytes))
            if cancelled is not None and cancelled.is_set():
                self.cancel(record)
            if until is not None and time.monotonic() >= until:
                return None
        if job is not None and job.error is not None:
            raise job.error
        return job.first_sync if job is not None else None

    def cancel(self, record: Clone) -> bool:
        """Stop the making of a clone; nothing is left of it."""
        job = self._jobs.get((record.key, record.branch))
        if job is not None:
            self._table.change(record, wanted=0)
            job.cancelled.set()
            job.ended.wait(2)
        return job is not None

    def forget(self, record: Clone) -> str:
        """Remove a clone, its files too unless somebody changed them; what was done."""
        self.cancel(record)
        self._table.remove(record)
        if not os.path.lexists(record.path):
            return "it was not cloned"
        if worktree.has_changes(record.path):
            return f"its clone has changes of its own and stays at {record.path}"
        aside = self._scratch / os.urandom(8).hex()
        self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        record.path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
        return "its clone is removed"

    def answer_for(self, url: str, caller: Caller) -> RecollectError:
        """What to say to a question about a URL that is not known: its clone begins, goes on, or failed."""
        known = self._table.get(parse(url, self.permissions(caller.environment)).key, "")
        return self._answer(known, caller) if known is not None else self._begun(url, None, None, caller)

    def answer_about(self, said: str, caller: Caller, begins: bool) -> RecollectError | None:
        """The same of a name or path; None where it means no clone that is no repository yet.

        `begins`: a clone that failed a while ago, or was cancelled, begins again.
        """
        known = self.unfinished(said)
        return self._answer(known, caller, begins) if known is not None else None

    def _answer(self, known: Clone, caller: Caller, begins: bool = True) -> RecollectError:
        if known.status == "cloning" and (known.key, known.branch) in self._jobs:
            so_far = self.status(known)
            done = f"{so_far.percentage:.0f} %, {so_far.received_bytes / 1e6:.1f} MB"
            return _not_yet(f"{known.url} is still being cloned ({done})", known, "still_cloning")
        is_recent = known.status == "failed" and time.time() - (known.completed_at or 0.0) < _RETRY_S
        if begins and not is_recent:
            return self._begun(known.url, known.branch or None, known.depth, caller)
        reason = known.error or ("the clone was cancelled" if known.status == "cancelled" else "the clone did not end")
        return Unavailable(
            f"{known.url} could not be cloned: {reason}",
            hint=f"forget_repository gives {name_of(known)} up; this clones it again",
            code="clone_failed",
            call=next_call("clone_repo", url=known.url, branch=known.branch or None),
        )

    def _begun(self, url: str, branch: str | None, depth: int | None, caller: Caller) -> RecollectError:
        record = self.request(url, branch, depth, caller)
        if record.status == "cloned":
            return _not_yet(f"{record.url} is cloned; its first sync begins", record, "still_cloning")
        return _not_yet(f"Repository clone has been initiated: {record.url}", record, "clone_started")

    # -- making -------------------------------------------------------------------------------------------------------

    def _begin(self, record: Clone, address: Address, permissions: Permissions, environment: Mapping[str, str]) -> None:
        job = _Job(record, address, environment, permissions)
        self._jobs[record.key, record.branch] = job
        threading.Thread(target=self._make, args=(job,), name=f"clone-{address.name}", daemon=True).start()

    def _make(self, job: _Job) -> None:
        record = job.record
        try:
            with self._slots:
                control = Control(
                    job.environment, job.cancelled.is_set, lambda received: setattr(job, "received", received)
                )
                branch = record.branch or None
                making.clone(job.address, branch, record.depth, record.path, self._limits(job.permissions), control)
            crash_point("moved")
            self._made(job)
        except RecollectError as error:
            job.error = error
            self._failed(job)
        except OSError as error:
            job.error = RecollectError(f"{record.url}: {error.strerror}", code="clone_failed")
            self._failed(job)
        except Exception as error:
            log.exception("cloning %s failed", record.url)
            job.error = RecollectError(f"{record.url}: {type(error).__name__}", code="clone_failed")
            self._failed(job)
        finally:
            with self._lock:
                self._jobs.pop((record.key, record.branch), None)
            job.ended.set()

    def _made(self, job: _Job) -> None:
        record, now = job.record, time.time()
        repository = self._catalog.add(Path(os.path.realpath(record.path)), name_of(record), record.url, "git")
        place = git.place(record.path)
        repository = self._catalog.update(repository.id, url=record.url, place=place, missing=0, wanted=1) or repository
        values = {"status": "cloned", "completed_at": now, "fetched_at": now, "attempts": 0, "error": None}
        self._table.change(record, **values, received_bytes=job.received.bytes, repository_id=repository.id)
        log.info("%s is cloned (%.1f s)", record.url, now - (record.started_at or now))
        job.first_sync = self._upkeep.request(repository, Urgency.ASKED, everything=True, limits=False)
        if record.depth is None:
            job.first_sync.future.add_done_callback(lambda done: self._to_deepen(job))

    def _failed(self, job: _Job) -> None:
        assert job.error is not None
        if self._closed.is_set():
            return  # it begins again
        cancelled = isinstance(job.error, Cancelled)
        status = "cancelled" if cancelled else "failed"
        values = {
            "status": status,
            "completed_at": time.time(),
            "error": None if cancelled else job.error.message,
            "received_bytes": job.received.bytes,
            "wanted": 0,
        }
        with suppress(RecollectError):
            self._table.change(job.record, **values)
        log.warning("%s: the clone ended: %s", job.record.url, job.error.message)

    def permissions(self, given: Mapping[str, str]) -> Permissions:
        settings = self._upkeep.settings
        return Permissions(
            settings.recollect_clone_allow_http or _is_true(given.get("RECOLLECT_CLONE_ALLOW_HTTP")),
            settings.recollect_clone_allow_local or _is_true(given.get("RECOLLECT_CLONE_ALLOW_LOCAL")),
        )

    def _limits(self, permissions: Permissions) -> Limits:
        settings = self._upkeep.settings
        return Limits(self._scratch, settings.recollect_clone_timeout, settings.recollect_clone_max_bytes, permissions)

    # -- keeping ------------------------------------------------------------------------------------------------------

    def update(
        self, record: Clone, environment: Mapping[str, str], cancelled: Callable[[], bool] = lambda: False
    ) -> bool:
        """Bring a clone to where its remote is; whether it changed. Raises RecollectError, which is noted too."""
        permissions, address = _permitted(record), parse(record.url, _EVERYTHING)
        control = Control(environment, lambda: cancelled() or self._closed.is_set())
        with self._updating:
            try:
                done = making.update(record.path, address, record.branch or None, self._limits(permissions), control)
            except Cancelled:
                raise
            except (RecollectError, OSError) as failure:
                error = failure if isinstance(failure, RecollectError) else disk.unavailable(record.path, failure)
                self._table.change(record, attempts=record.attempts + 1, fetched_at=time.time(), notice=error.message)
                if not record.attempts:
                    self._upkeep.notices.append(f"{name_of(record)}: its remote cannot be asked: {error.message}")
                raise error from failure
            said = done.notice or (
                None if done.changed or record.attempts else record.notice
            )  # until something new comes
            self._table.change(record, attempts=0, fetched_at=time.time(), notice=said)
        if done.notice and done.notice != record.notice:
            self._upkeep.notices.append(f"{name_of(record)}: {done.notice}")
        return done.changed

    def look_now(self) -> None:
        """Have all remotes looked at, without waiting for that."""
        for record in self._table.all():
            if record.status == "cloned":
                self._table.change(record, fetched_at=None)
        self._woken.set()

    def _to_deepen(self, job: _Job) -> None:
        self._deepen.append(job)
        self._woken.set()

    def _look_at_remotes(self) -> None:
        while not self._closed.is_set():
            self._woken.clear()
            wait = _IDLE_S
            try:
                wait = self._keep_up() if self._active() else _IDLE_S
            except Exception:
                log.exception("looking at remotes failed")
            self._woken.wait(wait)

    def _keep_up(self) -> float:
        """Deepen what is new, look at what is due; seconds until the next is."""
        while self._deepen and not self._closed.is_set():
            job = self._deepen.pop(0)
            record = self._table.get(job.record.key, job.record.branch)
            if record is None or record.status != "cloned":
                continue
            control = Control(job.environment, self._closed.is_set)
            try:
                with self._updating:
                    making.deepen(record.path, job.address, self._limits(job.permissions), control)
                self._table.change(record, depth=making.DEEPENED)
            except (RecollectError, OSError) as error:
                log.info("%s: no history could be had: %s", record.url, error)
        waits = [_IDLE_S]
        for record in self._table.all():
            if record.status != "cloned" or self._closed.is_set():
                continue
            repository = self._catalog.get(record.repository_id or "")
            if repository is None or repository.untracked:
                continue
            if self._due_at(record) <= time.time():
                with suppress(RecollectError):
                    if self.update(record, handed_over(os.environ)):
                        self._upkeep.request(repository, Urgency.BACKGROUND, everything=True)
            now = self._table.get(record.key, record.branch) or record
            waits.append(self._due_at(now) - time.time())
        self._evict()
        due, said = self.look_at_lists(self._upkeep.settings.recollect_fetch_interval, handed_over(os.environ))
        self._upkeep.notices.extend(said)
        return max(0.05, min(*waits, due - time.time()))

    def _due_at(self, record: Clone) -> float:
        interval = self._upkeep.settings.recollect_fetch_interval
        interval *= min(2 ** min(record.attempts, 10), _BACK_OFF_MOST)
        jitter = 1 + _JITTER * random.Random(record.key + record.branch).uniform(-1, 1)
        at = record.fetched_at or 0.0
        return at + interval * jitter if at <= time.time() else 0.0  # the clock may have been set

    def proposals(self) -> list[tuple[Clone, Repository, int]]:
        """(clone, its repository, bytes) of those to remove so that the clones fit their budget: unused longest first."""
        known = []
        for record in self._table.all():
            repository = self._catalog.get(record.repository_id or "")
            if record.status == "cloned" and repository is not None:
                known.append((record, repository, making.weight(record.path)))
        over = sum(size for _, _, size in known) - self._upkeep.settings.recollect_clones_budget
        proposed = []
        for item in sorted(known, key=lambda item: item[1].last_access or item[0].completed_at or 0.0):
            if over <= 0:
                break
            proposed.append(item)
            over -= item[2]
        return proposed

    def _evict(self) -> None:
        if not self._upkeep.settings.recollect_clones_evict:
            return
        for record, repository, size in self.proposals():
            if time.time() - (repository.last_access or record.completed_at or time.time()) > _UNUSED_S:
                try:
                    said = self.forget(record)
                except (RecollectError, OSError) as error:  # the others may be removed all the same
                    log.warning("%s cannot be removed: %s", repository.name, error)
                    continue
                if os.path.lexists(record.path):
                    continue
                self._upkeep.forget(repository)
                self._upkeep.notices.append(f"{repository.name}: unused for thirty days, {size / 1e6:.0f} MB: {said}")
                log.info("%s was removed to keep within the budget", repository.name)


def _permitted(record: Clone) -> Permissions:
    return Permissions("http" in record.allows, "local" in record.allows)


def name_of(record: Clone) -> str:
    """What a clone is called before it is a repository."""
    return record.name or _usual_name(record.key, record.branch)


def _usual_name(key: str, branch: str | None) -> str:
    last = key.rpartition("/")[2]
    return f"{last}@{branch}" if branch else last


def _not_yet(message: str, record: Clone, code: str) -> Unavailable:
    call = next_call("get_clone_status", repository=name_of(record))
    return Unavailable(message, hint="Ask again in a moment; this tells how far it is", code=code, call=call)


def _no_lists(interval: float, environment: Mapping[str, str]) -> tuple[float, list[str]]:
    return time.time() + interval, []


def _is_true(said: str | None) -> bool:
    return (said or "").strip().lower() in ("1", "true", "yes", "on")
