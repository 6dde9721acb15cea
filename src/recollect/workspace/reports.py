"""What is true of repositories and files now, put together from catalog, running syncs and snapshots. Nothing is stored."""

from __future__ import annotations

import os
import stat as stats
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from recollect.calls import next_call
from recollect.errors import RecollectError
from recollect.index.skip import INCLUDED, REASONS, skip, skip_by_name
from recollect.index.snapshot import FileInfo
from recollect.index.summary import Summary
from recollect.jobs.syncs import Run
from recollect.model import (
    Activity,
    CloneStatus,
    FileError,
    FileReport,
    Freshness,
    Progress,
    RepoMapStatus,
    RepositoryState,
    RepositoryStatus,
    RepositorySummary,
    SyncResult,
    SyncStatus,
)
from recollect.records import dataclass
from recollect.store.catalog import Repository
from recollect.store.clones import Clone
from recollect.sync import git
from recollect.sync.beneath import Root
from recollect.sync.ignore import DEFAULT_EXCLUDES, NEVER, GitNames
from recollect.sync.tree import printable

_FAILING_NAMED: Final = 5  # repositories in one answer


def sync_result(stored: dict[str, Any] | None, name: str) -> SyncResult | None:
    """The result that `to_dict` described when it was stored."""
    if stored is None:
        return None
    known = {item.name for item in fields(SyncResult)}
    values = {key: value for key, value in stored.items() if key in known}
    values["errors"] = tuple(FileError(**error) for error in values.get("errors", ()))
    values["nested_repositories"] = tuple(values.get("nested_repositories", ()))
    values["repository"] = name
    return SyncResult(**values)


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of a repository's files at the moment of a question.

    `settled`: all that changed before it is indexed. `reason`: why events do not tell all, if so.
    """

    settled: bool
    pending: int = 0
    reason: str | None = None
    checked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What an index holds. `complete`: its first sync has ended."""

    complete: bool = False
    files: int = 0


def freshness(repository: Repository, held: Held, run: Run | None, watch: Watch, now: float | None = None) -> Freshness:
    """What an answer reflects of what was written before it was asked for."""
    now = time.time() if now is None else now
    failure = failure_of(repository, now)
    progress = run.progress if run is not None and run.status is SyncStatus.RUNNING else None
    left = max(progress.files_total - progress.files_done, 0) if progress is not None else 0
    pending = max(left, watch.pending)
    seen = f": {how_far(progress)}" if progress and progress.files_total else ""
    if not held.complete:
        if run is not None:
            first = (
                "the first sync is in progress" if progress is not None else "the first sync waits for others to end"
            )
            what = "its index is being made again" if completed(repository.last_sync) else first
            damaged = "its index was damaged and is being made again"
            when = "then" if progress is not None and progress.eta_s is not None else "in a few seconds"
            reason = f"{damaged if run.verify else what}{seen}; ask again {when}"
            call = next_call("get_sync_status", repository=repository.name)
            return Freshness(False, pending, reason, partial=True, call=call)
        if is_too_large(repository):
            reason, call = "too large to be synced unasked", next_call("sync_repository", repository=repository.name)
            return Freshness(False, 0, reason, partial=True, call=call)
        return _incomplete(repository, held.files, failure)
    if repository.missing:
        return Freshness(False, 0, "its folder is missing: this is what was indexed before")
    if watch.settled:
        return Freshness(True)
    if progress is not None and run is not None and run.options.full:
        return Freshness(False, pending, f"all files are indexed anew{seen}; the index of before answers meanwhile")
    if failure is not None:
        return Freshness(False, pending, f"the last sync failed: {failure}")
    if run is None and (repository.last_sync or {}).get("status") == SyncStatus.CANCELLED:
        call = next_call("sync_repository", repository=repository.name)
        return Freshness(False, pending, _cancelled(repository.last_sync or {}), call=call)
    if pending:
        return Freshness(False, pending, f"{pending} changed files are being indexed")
    checked = (
        "not checked yet" if watch.checked_at is None else f"files were last checked {_ago(now - watch.checked_at)}"
    )
    if watch.reason is not None:
        return Freshness(False, 0, f"{watch.reason}: {checked}")
    return Freshness(False, 0, f"its files are being looked through ({checked})")


def completed(last_sync: Mapping[str, Any] | None) -> bool:
    """Whether the last sync came to its end, so that there is a complete index."""
    return (
        last_sync is not None and last_sync.get("status") == SyncStatus.COMPLETED and bool(last_sync.get("generation"))
    )


def _incomplete(repository: Repository, files: int, failure: str | None) -> Freshness:
    """Of an index whose first sync did not end, and is not going on."""
    last = repository.last_sync or {}
    left = max(last.get("total_files", 0) - last.get("processed_files", 0), 0)
    what = f"partly indexed: {files} files" if files else "nothing is indexed yet"
    if failure is not None:
        return Freshness(False, left, f"{what}; it cannot be indexed: {failure}", partial=True)
    call = next_call("sync_repository", repository=repository.name)
    if not files and not last:
        return Freshness(False, 0, f"{what}; sync it", partial=True, call=call)
    why = "was cancelled" if last.get("status") == SyncStatus.CANCELLED else "has not ended"
    return Freshness(False, left, f"{what}; its first sync {why}; sync it to finish", partial=True, call=call)


def how_far(progress: Progress) -> str:
    """`340 of 1,000 files, 34 %, about 12 s left`."""
    share = f", {progress.percentage:.0f} %" if progress.total_known else ""
    left = f", about {max(progress.eta_s, 1):.0f} s left" if progress.eta_s is not None else ""
    return f"{progress.files_done:,} of {progress.files_total:,} files{share}{left}"


def _cancelled(last: Mapping[str, Any]) -> str:
    """What is true of a complete index whose last sync was cancelled."""
    done, total = last.get("processed_files", 0), last.get("total_files", 0)
    if last.get("full"):
        part = f"after {done} of {total} files" if done else "before a file was indexed anew"
        return f"a full sync was cancelled {part}; the index of before is complete and answers for the other files"
    part = f"after {done} of {total} changed files" if done else "before a changed file was indexed"
    return f"the last sync was cancelled {part}; the next one goes on from there"


def progress(repository: Repository, run: Run | None) -> Progress:
    """How far a sync is, or where the last one stopped: what was analysed until then, and the files that were committed."""
    last = repository.last_sync
    if run is not None:
        return run.progress
    if last is None:
        return Progress()
    percentage = 100.0 if last["status"] == SyncStatus.COMPLETED else float(last.get("percentage", 0.0))
    done = last.get("processed_files", 0)
    total = done if last["status"] == SyncStatus.COMPLETED else last.get("total_files", 0)
    return Progress(last["status"], percentage, percentage > 0, done, total, last.get("chunks_new", 0))


def failure_of(repository: Repository, now: float | None = None) -> str | None:
    """Why the last syncs of a repository failed, and when it is tried again; None where they did not."""
    if not repository.attempts:
        return None
    errors = (repository.last_sync or {}).get("errors") or ()
    said = errors[0]["message"] if errors else "no reason is known"
    wait = (repository.next_sync_at or 0.0) - (time.time() if now is None else now)
    if not repository.tracked or wait <= 0:
        return str(said)
    return f"{said} (tried again in {wait:.0f} s)" if wait < 120 else f"{said} (tried again in {wait / 60:.0f} min)"


def failing_since(repository: Repository) -> float | None:
    """When the first of the syncs began that have failed in a row; None where the last one did not fail."""
    last = repository.last_sync or {}
    return last.get("failing_since", last.get("started_at")) if repository.attempts else None


def says_the_same(last: dict[str, Any] | None, result: SyncResult) -> bool:
    """Whether a sync that changed nothing ended as the last one that is on record did."""
    if last is None or last.get("status") != result.status:
        return False
    known = [error for error in last.get("errors", ()) if error["kind"] != "index_rebuilt"]  # which happened once
    return known == [error.to_dict() for error in result.errors]


def failed_at_once(name: str, error: RecollectError) -> SyncResult:
    """What is said of a repository that is not even begun to be synced."""
    errors = (FileError("", error.code, error.message),)
    return SyncResult(name, str(SyncStatus.FAILED), success_rate=0.0, errors=errors, started_at=time.time())


def is_too_large(repository: Repository) -> bool:
    """Whether the last sync stopped because the repository is beyond the limits, and nobody asked for it all the same."""
    last = repository.last_sync
    if repository.asked_for or last is None or last.get("status") != str(SyncStatus.FAILED):
        return False
    return any(error.get("kind") == "too_large" for error in last.get("errors", ()))


def together(
    parts: Sequence[tuple[str, Freshness]], checked_ms: float, failing: Collection[str] = frozenset()
) -> Freshness:
    """Freshness of an answer from several repositories: that of the worst, named where there are several.

    `failing`: names of those that cannot be brought up to date; each of them is named.
    """
    stale = [(name, part) for name, part in parts if not part.fresh]
    if not stale:
        return Freshness(True, 0, None, checked_ms)
    pending = sum(part.pending_files for _, part in stale)
    if len(parts) == 1:
        return replace(stale[0][1], checked_ms=checked_ms)
    worst = max(stale, key=lambda item: (item[1].pending_files, bool(item[1].partial)))
    shown = [item for item in stale if item[0] in failing][:_FAILING_NAMED] or [worst]
    reason = "; ".join(f"{name}: {part.reason}" for name, part in shown)
    if len(stale) > len(shown):
        reason = f"{reason} (and {len(stale) - len(shown)} more)"
    partial = any(part.partial for _, part in stale) or None
    return Freshness(False, pending, reason, checked_ms, partial, shown[0][1].call if len(shown) == 1 else None)


def _ago(seconds: float) -> str:
    if seconds < 1.5:
        return "a second ago"
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:.0f} h ago"


def state(repository: Repository, index: Summary | None, run: Run | None) -> RepositoryState:
    """A repository whose syncs fail is "failed" also where an older index of it still answers."""
    if repository.missing:
        return RepositoryState.MISSING
    if is_too_large(repository):
        ready = index is not None and index.generation
        return RepositoryState.READY if ready else RepositoryState.KNOWN if run else RepositoryState.TOO_LARGE
    if repository.attempts and run is None:
        return RepositoryState.FAILED
    if index is not None and index.generation:
        return RepositoryState.READY if index.complete else RepositoryState.PARTIAL
    return RepositoryState.KNOWN


def activity(run: Run | None) -> Activity:
    if run is None:
        return Activity.IDLE
    if run.status is SyncStatus.QUEUED:
        return Activity.QUEUED
    return Activity.SCANNING if run.progress.phase == "scanning" else Activity.INDEXING


@dataclass(frozen=True, slots=True)
class Upkept:
    """What only the process that keeps a repository true knows of it."""

    freshness: Freshness
    watching: bool = False
    next_sync_at: float | None = None
    paused: bool = False
    clone: CloneStatus = CloneStatus()
    repo_map: RepoMapStatus = RepoMapStatus()
    interval: float | None = None
    excluded_by: str | None = None


def status(repository: Repository, index: Summary | None, run: Run | None, upkept: Upkept) -> RepositoryStatus:
    """All that is known of one repository."""
    return RepositoryStatus(
        name=repository.name,
        path=printable(os.fspath(repository.path)),
        url=repository.url,
        type=repository.type,
        language=(index.language if index is not None else None) or repository.language,
        size_bytes=index.size_bytes if index is not None else repository.size_bytes,
        state=state(repository, index, run),
        activity=Activity.MAPPING if run is None and upkept.repo_map.status == "building" else activity(run),
        tracked=repository.tracked and upkept.excluded_by is None,
        watching=upkept.watching,
        freshness=upkept.freshness,
        files=index.files if index is not None else 0,
        chunks=index.chunks if index is not None else 0,
        root_hash=index.root_hash if index is not None else "",
        generation=index.generation if index is not None else 0,
        last_access=repository.last_access,
        last_sync=sync_result(repository.last_sync, repository.name),
        attempts=repository.attempts,
        next_sync_at=upkept.next_sync_at,
        failing_since=failing_since(repository),
        aliases=repository.aliases,
        paused=upkept.paused,
        progress=progress(repository, run),
        clone_status=upkept.clone,
        repo_map_status=upkept.repo_map,
        sync_interval=upkept.interval,
        own_sync_interval=repository.sync_interval,
        excluded_by=upkept.excluded_by,
    )


def being_cloned(name: str, record: Clone, clone: CloneStatus) -> RepositoryStatus:
    """Of a clone that is no repository yet."""
    running = record.status == "cloning"
    why = (
        f"it is being cloned ({clone.percentage:.0f} %)"
        if running
        else f"it was not cloned: {record.error or record.status}; clone it again or forget it"
    )
    again = next_call("clone_repo", url=record.url, branch=record.branch or None)
    call = next_call("get_clone_status", repository=name) if running else again
    return RepositoryStatus(
        name=name,
        path=printable(os.fspath(record.path)),
        url=record.url,
        type="git",
        language=None,
        size_bytes=0,
        state=RepositoryState.CLONING if running else RepositoryState.FAILED,
        activity=Activity.CLONING if running else Activity.IDLE,
        tracked=False,
        watching=False,
        freshness=Freshness(False, 0, why, partial=True, call=call),
        files=0,
        chunks=0,
        root_hash="",
        generation=0,
        last_access=None,
        last_sync=None,
        attempts=0,
        next_sync_at=None,
        paused=False,
        progress=Progress("cloning", clone.percentage, clone.percentage > 0, bytes_done=clone.received_bytes)
        if running
        else Progress(),
        clone_status=clone,
    )


def being_cloned_row(name: str, record: Clone, clone: CloneStatus) -> RepositorySummary:
    whole = being_cloned(name, record, clone)
    failed = whole.state is RepositoryState.FAILED
    return RepositorySummary(
        name=name,
        path=whole.path,
        url=whole.url,
        language=None,
        files=0,
        chunks=0,
        state=whole.state,
        activity=whole.activity,
        fresh=False,
        last_sync_at=None,
        failure=whole.freshness.reason if failed else None,
        notice=whole.freshness.reason if not failed else None,
    )


def summary(
    repository: Repository, index: Summary | None, run: Run | None, fresh: Freshness, failure: str | None = None
) -> RepositorySummary:
    """One row of a list. `failure`: why nothing can be said of its index, if so."""
    last, now = repository.last_sync, state(repository, index, run)
    return RepositorySummary(
        name=repository.name,
        path=printable(os.fspath(repository.path)),
        url=repository.url,
        language=(index.language if index is not None else None) or repository.language,
        files=index.files if index is not None else 0,
        chunks=index.chunks if index is not None else 0,
        state=now,
        activity=activity(run),
        fresh=fresh.fresh,
        last_sync_at=last["started_at"] + last["duration_s"] if last else None,
        failure=failure or failure_of(repository),
        notice=fresh.reason if fresh.partial and (run is not None or now is RepositoryState.PARTIAL) else None,
    )


def file_report(info: FileInfo) -> FileReport:
    return FileReport(printable(info.path), info.status, info.reason, info.language, info.size, info.chunks)


def reason_sentence(reason: str | None) -> str | None:
    return REASONS.get(reason or "", reason)


def why_absent(root: Path, path: str) -> tuple[str, str]:
    """(word, sentence): why a path of a repository is in no index, as far as its place and name tell."""
    try:
        with Root(root) as opened:
            return _why_absent(root, opened, path)
    except OSError as error:
        return "unreadable", f"it cannot be read: {error.strerror}"


def _why_absent(root: Path, opened: Root, path: str) -> tuple[str, str]:
    found = opened.lstat(path)
    if found is None:
        return "absent", "there is no such file"
    folder = path.rpartition("/")[0]
    while folder:
        if opened.exists(f"{folder}/.git"):
            return "nested", f"it lies in a repository of its own: {root / folder}"
        folder = folder.rpartition("/")[0]
    if stats.S_ISLNK(found.st_mode):
        return "symlink", "a symbolic link: recorded, not followed"
    if stats.S_ISDIR(found.st_mode):
        return "folder", "a folder"
    if not stats.S_ISREG(found.st_mode):
        return "special", "a device, socket or FIFO"
    if any(part in NEVER for part in Path(path).parts):
        return "never", "version control's own data"
    named = skip_by_name(path)
    if named is not None and (named != "secret" or _skipped(root, opened, path) == "secret"):
        return named, REASONS[named]
    if git.work_tree_root(root) is not None and GitNames(root).ignored([path]):
        return "ignored", "git ignores it (a `!` pattern in .recollectignore takes it back in)"
    if git.work_tree_root(root) is None and any(part in DEFAULT_EXCLUDES for part in Path(path).parts):
        return "excluded", "it lies in a folder that is left out by default where git does not decide"
    reason = _skipped(root, opened, path)
    if reason is not None and reason != INCLUDED:
        return reason, REASONS[reason]
    return "not_synced", "not seen by a sync yet, or left out by .recollectignore"


def _skipped(root: Path, opened: Root, path: str) -> str | None:
    """Reason that name, place and content give to leave a file out. Raises OSError."""
    return skip(path, opened.read(path), os.fspath(root))
