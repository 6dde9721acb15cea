"""Make an index equal to its repository, once: scan, diff, analyse what changed, commit.

An incremental sync is one commit. A first or forced one is a series of consistent batches, each a generation of "the
tree so far": answers come early, and what an interruption loses is at most a batch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from recollect.calls import next_call
from recollect.errors import Cancelled, Unavailable
from recollect.index import analyse
from recollect.index.analyse import Analysed
from recollect.index.skip import INCLUDED
from recollect.index.writer import HistoryRead, IndexWriter
from recollect.jobs.pool import NICE_ASKED, NICE_BACKGROUND, Answer, ParsePool, Task
from recollect.jobs.resources import give_way
from recollect.model import FileError, Progress, SyncResult, SyncStatus
from recollect.records import dataclass
from recollect.sync import disk, git, history
from recollect.sync.apply import apply
from recollect.sync.beneath import Root
from recollect.sync.diff import Change, diff
from recollect.sync.ignore import OWN_FILE
from recollect.sync.scan import MAX_FILE_BYTES, Scan, scan
from recollect.sync.tree import EMPTY, LINKED, NOT_READ, UNREAD, Kind, Problem, Row, Stat, Tree, printable
from recollect.testing import crash_point

_BATCH_S: Final = 2.0  # of a first sync; the first batch comes after half a second
_BATCH_FILES: Final = 200
_LAST_CHUNKS: Final = (
    2_000  # the last batch of a first sync is about as small: meanwhile the workers have nothing to do
)
_BATCH_CHUNKS: Final = 30_000  # bounds the memory of a batch (some 40 MB), also of an incremental sync
_FEW_FILES: Final = 50  # of an edit: whatever can be done before they are analysed, or after the answer, is
_MANY_GONE: Final = 50  # files: more, and a tenth of all, may be the first of a repository that is being deleted
_SAMPLE: Final = 500  # of the others, looked at again every _LOOK_S, _LOOKS times at most
_LOOK_S, _LOOKS = 0.05, 200
_QUIET_LOOKS: Final = 5  # without another file gone end a deletion that was seen: it too waits for disk and processor
_ERRORS_KEPT: Final = 100
_PROGRESS_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """What a sync is asked to do. `dirty`: look at these paths only. `reread`: trust no stat, read every file."""

    full: bool = False
    reread: bool = False
    dirty: tuple[str, ...] | None = None
    interactive: bool = False
    max_file_bytes: int = MAX_FILE_BYTES
    exclude: tuple[str, ...] = ()
    max_files: int | None = None  # refuse beyond (too_large), unless None
    max_bytes: int | None = None


def never() -> bool:
    return False


class CommittedFiles(NamedTuple):
    """What commits of a sync brought into its index. `failed`: of `processed`, those that could not be indexed."""

    processed: int = 0
    new: int = 0
    modified: int = 0
    deleted: int = 0
    failed: int = 0
    chunks_new: int = 0
    chunks_deleted: int = 0

    def plus(self, other: CommittedFiles) -> CommittedFiles:
        return CommittedFiles(*(mine + others for mine, others in zip(self, other, strict=True)))


@dataclass(slots=True)
class Control:
    """How a sync is watched and stopped. The callbacks come from the thread that syncs."""

    progress: Callable[[Progress], None] = lambda progress: None
    committed: Callable[[CommittedFiles], None] = lambda files: None
    cancelled: Callable[[], bool] = never


class Ended(NamedTuple):
    """A sync that came to its end.

    `folders`: the tree's directories, or of a `partial` sync those at and below what was dirty, and those that came
    with it; `ignored`: files among what was dirty that a rule leaves out; `head`: the commit that was checked out.
    """

    result: SyncResult
    folders: tuple[str, ...]
    partial: bool = False
    ignored: tuple[str, ...] = ()
    head: str | None = None

    def packed(self) -> tuple[Any, ...]:
        """As plain values, which take a third of the time to send."""
        return _values(self.result), *self[1:]

    @classmethod
    def unpacked(cls, packed: tuple[Any, ...]) -> Ended:
        result, *rest = packed
        return cls(SyncResult(*result), *rest)


_values = attrgetter(*(item.name for item in fields(SyncResult)))


def new_history(writer: IndexWriter, root: Path) -> HistoryRead | None:
    """The history up to the commit that is checked out; None where the index holds that, or git cannot tell it."""
    head = git.head_quickly(root)
    return _read_history(root, head, writer.history()) if head != writer.history_head else None


def _read_history(root: Path, head: str | None, known: history.Log) -> HistoryRead | None:
    try:
        log = history.read(root, known) if head is not None else {}
    except Unavailable:
        return None
    return HistoryRead(head, log) if log is not None else None


def synchronise(writer: IndexWriter, root: Path, pool: ParsePool, options: Options, control: Control) -> Ended:
    """Sync `root` into `writer`'s index. The result's `repository` is left empty for the caller to name.

    Raises:
        Unavailable: the root is gone ("missing"), beyond the limits ("too_large"), or the disk is full.
        Cancelled: what was committed stays.
    """
    try:
        return _Sync(writer, root, pool, options, control).run()
    except BaseException:
        writer.abandon()
        raise


@dataclass(slots=True)
class _Counts:
    new: int = 0
    modified: int = 0
    deleted: int = 0
    processed: int = 0
    chunks: int = 0
    bytes: int = 0
    chunks_new: int = 0
    chunks_deleted: int = 0


@dataclass(slots=True)
class _Batch:
    """Analysed files that are not committed yet, and how they change the tree."""

    analysed: list[Analysed] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    cache: list[tuple[bytes, bytes]] = field(default_factory=list)
    chunks: int = 0
    bytes: int = 0
    vanished: int = 0  # files that were there when the tree was scanned
    since: float = field(default_factory=time.monotonic)

    def committed(self, chunks_new: int, chunks_deleted: int) -> CommittedFiles:
        """What its commit brought."""
        return CommittedFiles(
            processed=len(self.analysed) + self.vanished,
            new=sum(change.old is None and change.new is not None for change in self.changes),
            modified=sum(None not in (change.old, change.new) and change.old != change.new for change in self.changes),
            deleted=len(self.removed) - self.vanished,
            failed=sum(item.status == "failed" for item in self.analysed),
            chunks_new=chunks_new,
            chunks_deleted=chunks_deleted,
        )


class _Sync:
    def __init__(self, writer: IndexWriter, root: Path, pool: ParsePool, options: Options, control: Control) -> None:
        self._writer = writer
        self._root = root
        self._pool = pool
        self._options = options
        self._control = control
        self._started_at, self._started = time.time(), time.monotonic()
        self._counts = _Counts()
        self._errors: list[FileError] = []
        self._progress = Progress(phase="scanning")
        self._reported = 0.0
        self._total = self._total_bytes = 0
        self._scanned_git = self._was_complete = False
        self._head: str | None = None
        self._identity: tuple[int, int] | None = None  # of the root that was scanned
        self._problems: tuple[Problem, ...] = ()
        self._corrections: list[Change] = []  # where a worker read something else than the scan had seen

    def run(self) -> Ended:
        old = self._writer.tree()
        found = self._scan(old)
        if self._may_be_going(old, found) and self._went_on(found.tree):
            found = self._scan(old)
        self._scanned_git = found.signature.startswith("git:")
        self._identity = found.identity
        self._check(old, found)
        self._problems = self._standing_problems(found)
        if self._writer.repaired:
            self._error("", "index_rebuilt", self._writer.repaired)
            self._writer.repaired = None
        crash_point("scanned")
        changes = diff(old, found.tree)
        again = self._again(found.tree, {change.path for change in changes})
        todo = [change for change in changes if change.new is not None] + again
        removed = [change for change in changes if change.new is None]
        self._counts.new = sum(change.old is None and change.new is not None for change in changes)
        self._counts.modified = sum(change.old is not None and change.new is not None for change in changes)
        self._counts.deleted = len(removed)
        self._was_complete = self._writer.complete
        in_batches = self._options.full or not self._was_complete
        self._index(found, todo, removed, in_batches)
        # A dirty name may have brought along directories above it that were no part of the old tree.
        below = {old.outermost_new(path) for path in self._options.dirty or ()} if found.partial else {""}
        folders = tuple(self._writer.tree().folders(below))
        return Ended(self._result(found), folders, found.partial, found.ignored, self._head)

    # -- scan ---------------------------------------------------------------------------------------------------------

    def _scan(self, old: Tree) -> Scan:
        self._report(Progress(phase="scanning"), force=True)

        def seen(files: int) -> None:
            self._report(Progress(phase="scanning", files_done=files))

        options = self._options
        return scan(
            self._root,
            old if old is not EMPTY and not options.reread else None,
            signature=self._writer.signature,
            dirty=options.dirty if self._writer.complete and not (options.full or options.reread) else None,
            max_file_bytes=options.max_file_bytes,
            exclude=options.exclude,
            cancelled=self._control.cancelled,
            progress=seen,
        )

    def _check(self, old: Tree, found: Scan) -> None:
        """Halt rather than empty an index, or index more than was wanted."""
        if len(old) and not len(found.tree) and not os.path.lexists(self._root / ".git") and self._was_git():
            raise Unavailable(
                f"{self._root} lost its files and its .git",
                hint="Bring the folder back, or forget the repository; its index is kept.",
                code="missing",
            )
        limit, files = self._options.max_files, len(found.tree)
        if limit is not None and files > limit:
            raise self._too_large(f"{files:,} files, more than {limit:,}")
        if self._options.max_bytes is not None:
            size = sum(row.stat.size for row in found.tree.files())
            if size > self._options.max_bytes:
                raise self._too_large(f"{size / 1e6:,.0f} MB, more than {self._options.max_bytes / 1e6:,.0f}")

    def _may_be_going(self, old: Tree, found: Scan) -> bool:
        """Whether so much is missing that the repository itself may be about to be deleted."""
        gone = len(old) - len(found.tree)
        lost_git = self._was_git() and not found.signature.startswith("git:")
        return lost_git or gone >= max(_MANY_GONE, len(old) // 10)

    def _went_on(self, tree: Tree) -> bool:
        """Whether files of `tree` vanished after it was scanned. Waits until no more do, for some seconds at most."""
        paths = [row.path for row in tree.files()]
        sample = left = paths[:: len(paths) // _SAMPLE + 1]
        quiet = 0
        for _ in range(_LOOKS):
            time.sleep(_LOOK_S)
            if self._control.cancelled():
                raise Cancelled("the sync was cancelled")
            still = self._still_there(left)
            quiet = quiet + 1 if len(still) == len(left) else 0
            left = still
            if len(left) == len(sample) or quiet == _QUIET_LOOKS:
                break
        return len(left) < len(sample)

    def _check_still_there(self) -> None:
        """Halt where files vanish because the whole repository does."""
        try:
            with Root(self._root) as root:
                is_same = root.identity == self._identity
        except OSError as error:
            if error.errno not in disk.ABSENT:
                raise disk.unavailable(self._root, error) from error
            is_same = False
        if not is_same or (self._scanned_git and git.work_tree_root(self._root) is None):
            raise Unavailable(
                f"{self._root} vanished while it was synced",
                hint="Bring the folder back and sync again; its index is kept.",
                code="missing",
            )

    def _still_there(self, paths: Sequence[str]) -> list[str]:
        try:
            with Root(self._root) as root:
                return [path for path in paths if root.exists(path)]
        except OSError:
            return []

    def _too_large(self, what: str) -> Unavailable:
        call = next_call("sync_repository", repository=os.fspath(self._root))
        return Unavailable(f"{self._root}: {what}", hint="Ask for it", code="too_large", call=call)

    def _was_git(self) -> bool:
        return self._writer.signature.startswith("git:")

    def _standing_problems(self, found: Scan) -> tuple[Problem, ...]:
        """What could not be looked at, and what earlier syncs could not and this one did not look at again.

        A file that could not be read is not among them: its own record says so.
        """
        unread = {printable(row.path) for row in found.tree.files() if row.hash == UNREAD} if found.problems else set()
        new = [problem for problem in found.problems if problem.path not in unread]
        if not found.partial:
            return tuple(dict.fromkeys(new))
        looked_at = tuple(printable(path) for path in self._options.dirty or ())
        old = [
            problem
            for problem in self._writer.problems()
            if not any(problem.path == path or problem.path.startswith(f"{path}/") for path in looked_at)
        ]
        return tuple(dict.fromkeys([*old, *new]))

    def _again(self, tree: Tree, changed: set[str]) -> list[Change]:
        """Unchanged files that are analysed all the same: all (`full`), of an older pipeline, or failed and now due."""
        now = time.time()
        if self._options.full:
            rows: Iterator[Row | None] = (row for row in tree.files())
        else:
            whole = self._options.dirty is None  # a full check tries again what could not be read
            failed = self._writer.failed_paths().items()
            due = [path for path, (why, _, at) in failed if at <= now or (whole and why == "unreadable")]
            paths = self._writer.stale_paths() + due if self._options.dirty is None else due
            if any(path.rpartition("/")[2] == OWN_FILE for path in changed):  # which may include secrets, or no longer
                paths += self._writer.paths_of_reasons(("secret", INCLUDED))
            rows = (tree.get(path) for path in dict.fromkeys(paths))
        return [
            Change(row.path, row, row)
            for row in rows
            if row is not None and row.kind is Kind.FILE and row.path not in changed
        ]

    # -- analyse and commit -------------------------------------------------------------------------------------------

    def _index(self, found: Scan, todo: list[Change], removed: list[Change], in_batches: bool) -> None:
        self._total = len(todo)
        rows = [change.new for change in todo if change.new is not None]
        self._total_bytes = sum(row.stat.size for row in rows)
        so_far = self._writer.tree()
        batch = _Batch(since=time.monotonic() - (_BATCH_S - 0.5), removed=[change.path for change in removed])
        batch.changes += removed
        before = {change.path: change.old for change in todo}
        seen = {row.path: row for row in rows}
        unread = [row for row in rows if row.hash in NOT_READ]
        for row in unread:
            self._take(batch, self._unread(row), before[row.path], row)
        hurry = self._options.dirty is not None and len(rows) + len(removed) <= _FEW_FILES
        # Of the very first sync nobody looks for what cannot be there.
        use_cache = not self._options.full and (self._writer.complete or not self._pool.cache.is_empty())
        nice = 0 if hurry else NICE_ASKED if self._options.interactive else NICE_BACKGROUND
        tasks = []
        for row in rows:
            may_be_back = self._writer.files and row.hash not in NOT_READ and not self._options.full
            back = self._writer.retired(row.path, row.hash) if may_be_back else None
            if back is not None and back.reason != INCLUDED:
                self._take(batch, back, before[row.path], row)
            elif row.hash not in NOT_READ:
                tasks.append(self._task(row, nice, use_cache))
        job = self._pool.submit(tasks, interactive=self._options.interactive)
        try:
            # While the workers are at it:
            head = self._head = git.head_quickly(self._root)
            said = self._history_ahead(head, nice)
            _ = found.tree.root_hash  # is kept
            if hurry and tasks:
                paths = [change.path for change in removed] + [row.path for row in rows]
                self._writer.begin(found.tree, paths, retire=not self._options.full)
            for answer in job.answers():
                if self._control.cancelled():
                    raise Cancelled("the sync was cancelled")
                if answer is not None:
                    self._answered(batch, answer, before[answer.path], seen[answer.path])
                self._report_indexing()
                if self._is_full(batch, in_batches) and job.left:
                    so_far = apply(so_far, batch.changes)
                    # Of a complete index, every batch leaves a complete one: what it has not come to is as before.
                    self._commit(so_far, batch, complete=self._was_complete)
                    batch = _Batch()
        except BaseException:
            job.cancel()
            raise
        self._report_indexing(force=True)
        tree = apply(found.tree, self._corrections)
        new_commits = said.result() if said is not None else None
        self._commit(
            tree,
            batch,
            complete=True,
            signature=found.signature,
            head=head,
            history=new_commits,
            last=True,
            problems=self._problems,
        )

    def _history_ahead(self, head: str | None, nice: int) -> Future[HistoryRead | None] | None:
        """New commits, read in a thread. What a question waits for does not wait for them: the indexer reads them afterwards."""
        if self._options.dirty is not None or head == self._writer.history_head:
            return None
        reader = ThreadPoolExecutor(1, "history", give_way, (nice,))
        said = reader.submit(_read_history, self._root, head, self._writer.history())
        reader.shutdown(wait=False)
        return said

    def _task(self, row: Row, nice: int, use_cache: bool) -> Task:
        return Task(
            root=os.fspath(self._root),
            path=row.path,
            hash=row.hash,
            size=row.stat.size,
            max_file_bytes=self._options.max_file_bytes,
            use_cache=use_cache,
            nice=nice,
            identity=self._identity,
            stat=row.stat,
        )

    def _unread(self, row: Row) -> Analysed:
        if row.stat.size > self._options.max_file_bytes:
            result = analyse.failed(row.path, row.hash, row.stat.size, "too_large")
            result.status = "skipped"
            return result
        if row.hash == LINKED:
            result = analyse.failed(row.path, row.hash, row.stat.size, "hard_link")
            result.status = "skipped"
            return result
        return analyse.failed(row.path, row.hash, row.stat.size, "unreadable")

    def _answered(self, batch: _Batch, answer: Answer, old: Row | None, row: Row) -> None:
        if answer.outcome == "vanished":
            self._correct(batch, row, old, None)
            self._counts.processed += 1
            return
        if answer.outcome == "changed":
            assert answer.stat is not None
            row = self._correct(batch, row, old, row._replace(stat=answer.stat, hash=UNREAD)) or row
            result = self._unread(row)
        elif answer.result is None:
            result = analyse.failed(row.path, row.hash, row.stat.size, answer.message or answer.outcome)
        else:
            result = answer.result
            stat = answer.stat or row.stat
            if result.hash != row.hash or stat.mtime_ns == -1:
                row = self._correct(batch, row, old, row._replace(stat=_racy(stat), hash=result.hash)) or row
        if answer.cache is not None:
            batch.cache.append(answer.cache)
        self._take(batch, result, old, row)

    def _correct(self, batch: _Batch, row: Row, old: Row | None, actual: Row | None) -> Row | None:
        """The file is not what the scan saw: record what was read instead, so that tree and index agree."""
        self._corrections.append(Change(row.path, row, actual))
        if actual is None:
            batch.changes.append(Change(row.path, old, None))
            batch.removed.append(row.path)
            batch.vanished += 1
        return actual

    def _take(self, batch: _Batch, result: Analysed, old: Row | None, row: Row) -> None:
        batch.analysed.append(result)
        batch.changes.append(Change(row.path, old, row))
        batch.chunks += len(result.chunks)
        batch.bytes += result.size
        self._counts.processed += 1
        self._counts.chunks += len(result.chunks)
        self._counts.bytes += result.size
        if result.status == "failed":
            self._error_of_file(row.path, result.reason)
        elif result.status == "indexed" and result.reason == "quarantined":
            self._error(printable(row.path), "quarantined", "its grammar hangs or crashes on it: indexed by lines")

    def _is_full(self, batch: _Batch, in_batches: bool) -> bool:
        left = self._total_bytes - self._counts.bytes
        if batch.chunks >= _BATCH_CHUNKS or (in_batches and batch.chunks >= _LAST_CHUNKS and batch.bytes > 2 * left):
            return True
        return in_batches and len(batch.analysed) >= _BATCH_FILES and time.monotonic() - batch.since >= _BATCH_S

    def _commit(
        self,
        tree: Tree,
        batch: _Batch,
        *,
        complete: bool,
        signature: str | None = None,
        head: str | None = None,
        history: HistoryRead | None = None,
        last: bool = False,
        problems: Sequence[Problem] | None = None,
    ) -> None:
        if batch.vanished:
            self._check_still_there()
        before = self._writer.generation
        done = self._writer.commit(
            tree=tree,
            analysed=batch.analysed,
            removed=batch.removed,
            signature=signature,
            complete=complete,
            head=head,
            retire=not self._options.full,
            history=history,
            problems=problems,
        )
        self._counts.chunks_new += done.chunks_new
        self._counts.chunks_deleted += done.chunks_deleted
        if done.generation != before and not (last and self._options.dirty is not None):  # then the end is told at once
            self._control.committed(batch.committed(done.chunks_new, done.chunks_deleted))
        self._pool.cache.put_many(batch.cache)

    # -- what is said about it ----------------------------------------------------------------------------------------

    def _report_indexing(self, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._reported < _PROGRESS_S:
            return
        counts, elapsed = self._counts, now - self._started
        share = counts.bytes / self._total_bytes if self._total_bytes else 1.0
        eta = elapsed / share - elapsed if 0.02 < share < 1 else None
        progress = Progress(
            phase="indexing",
            percentage=round(min(99.0, 99.0 * max(min(share, 1.0), self._progress.percentage / 99.0)), 1),
            total_known=True,
            files_done=counts.processed,
            files_total=self._total,
            chunks_done=counts.chunks,
            bytes_done=counts.bytes,
            eta_s=round(eta, 1) if eta is not None else None,
        )
        self._report(progress, force=force)

    def _report(self, progress: Progress, force: bool = False) -> None:
        now = time.monotonic()
        if self._options.dirty is not None and now - self._started < _PROGRESS_S:
            return  # an edit is indexed before anybody could look
        if force or now - self._reported >= _PROGRESS_S:
            self._reported, self._progress = now, progress
            self._control.progress(progress)

    def _error(self, path: str, kind: str, message: str) -> None:
        if len(self._errors) < _ERRORS_KEPT:
            self._errors.append(FileError(path, kind, message))

    def _add_standing_errors(self) -> int:
        """Name also what failed in earlier syncs and still stands; how many paths fail now."""
        failed = self._writer.failed_paths()
        named = {error.path for error in self._errors}
        for problem in self._problems:
            self._error(problem.path, problem.kind, problem.message)
        for path, (reason, _, _) in failed.items():
            if printable(path) not in named:
                self._error_of_file(path, reason)
        return len(failed) + len(self._problems)

    def _error_of_file(self, path: str, reason: str | None) -> None:
        message = _MESSAGES.get(reason or "", "it could not be indexed")
        self._error(printable(path), reason or "failed", message)

    def _result(self, found: Scan) -> SyncResult:
        counts, stored = self._counts, self._writer.counts()
        total = len(found.tree)
        failing = self._add_standing_errors()
        return SyncResult(
            repository="",
            status=str(SyncStatus.COMPLETED),
            total_files=total,
            processed_files=counts.processed,
            new_files=counts.new,
            modified_files=counts.modified,
            deleted_files=counts.deleted,
            unchanged_files=max(total - counts.new - counts.modified, 0),
            skipped_files=stored["skipped"],
            chunks_total=stored["chunks"],
            chunks_new=counts.chunks_new,
            chunks_deleted=counts.chunks_deleted,
            success_rate=success_rate(failing, total) if total or failing else 100.0,
            errors=tuple(self._errors),
            root_hash=self._writer.root_hash,
            generation=self._writer.generation,
            started_at=self._started_at,
            duration_s=round(time.monotonic() - self._started, 4),
            nested_repositories=tuple(printable(path) for path in found.nested),
        )


def success_rate(failing: int, total: int) -> float:
    """Percent of `total` files that did not fail: 100 only where none did, 0 where there are none yet."""
    if not total and not failing:
        return 0.0
    if not failing:
        return 100.0
    return max(0.0, min(99.99, round(100.0 * (1 - failing / max(total, failing)), 2)))


_MESSAGES: Final = {
    "unreadable": "it could not be read; tried again later",
    "parse_timeout": "it took too much processor time, by lines too; tried again later",
    "parser_crashed": "analysing it ended the process, by lines too; tried again later",
}


def _racy(stat: Stat) -> Stat:
    """The file changed while it was looked at: its stat must not vouch for it at the next scan."""
    return stat._replace(mtime_ns=-1)
