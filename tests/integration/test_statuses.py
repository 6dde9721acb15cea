"""What is said of a sync while it waits, runs and after it ended in each way, also after a restart."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from recollect.calls import as_command
from recollect.config import Settings
from recollect.jobs.syncs import Urgency
from recollect.model import Progress, RepositoryStatus, SyncResult
from recollect.workspace import Workspace, upkeep
from tests.conftest import SHOP, MakeRepository, wait_until

QUIET = Settings(auto_sync_enabled=False)


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home, settings=QUIET) as made:
        yield made


def many(make_repository: MakeRepository, name: str = "project", files: int = 1500) -> Path:
    """A repository whose first sync takes several batches."""
    return make_repository(
        {f"p{i % 7}/f{i}.py": f"def function_{i}(a):\n    return a * {i}\n\n\n" * 40 for i in range(files)}, name
    )


def cancelled_sync(workspace: Workspace, root: Path, *, full: bool = False) -> SyncResult:
    """A sync that is cancelled after its first batch was committed."""
    before = workspace.status(str(root)).generation if full else 0
    cancelled = threading.Event()

    def on_progress(progress: Progress) -> None:
        summary = workspace._library.summary(workspace._registry.by_name(str(root)).id)  # type: ignore[union-attr]
        if summary is not None and summary.generation > before:
            cancelled.set()

    result = workspace.sync(root, full=full, on_progress=on_progress, cancelled=cancelled)
    assert result.status == "cancelled"
    return result


def row(workspace: Workspace, name: str = "project") -> tuple[str, str | None]:
    """(state, what a list says of it)."""
    (found,) = [item for item in workspace.repositories().repositories if item.name == name]
    return str(found.state), found.notice


def test_the_percentage_never_goes_back_and_is_100_once_a_sync_is_completed(
    home: Path, make_repository: MakeRepository
) -> None:
    root = many(make_repository)
    seen: list[Progress] = []
    with Workspace(home, settings=QUIET) as workspace:
        workspace.sync(root, background=True)
        while (status := workspace.sync_status("project")).status in ("queued", "running"):
            seen.append(status.progress)
            now = workspace.status("project").progress
            assert now.percentage < 100 or now.phase == "completed"
            time.sleep(0.01)
        assert (status.status, status.progress.percentage) == ("completed", 100.0)
        percentages = [one.percentage for one in seen]
        assert percentages == sorted(percentages)
        assert max(percentages) < 100
        assert all(one.total_known for one in seen if one.percentage)
        assert (status.progress.files_done, status.progress.files_total) == (1500, 1500)
        assert workspace.status("project").progress.percentage == 100.0
        assert [one.progress.percentage for one in workspace.statuses()] == [100.0]
        assert workspace.sync(root).status == "completed"  # nothing to do
        assert workspace.sync_status("project").progress.percentage == 100.0
    with Workspace(home, settings=QUIET) as workspace:
        status = workspace.sync_status("project")
        assert (status.status, status.progress.percentage) == ("completed", 100.0)
        assert workspace.status("project").progress.percentage == 100.0


def test_a_sync_that_begins_again_because_the_indexer_died_does_not_go_back(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    root, seen = many(make_repository), []
    killed = threading.Event()

    def on_progress(progress: Progress) -> None:
        seen.append(progress.percentage)
        if progress.percentage > 30 and not killed.is_set():
            killed.set()
            os.kill(workspace._upkeep.indexer.pid or 0, signal.SIGKILL)

    assert workspace.sync(root, on_progress=on_progress).status == "completed"
    assert killed.is_set()
    assert seen == sorted(seen)
    assert workspace.status("project").files == 1500


def test_a_cancelled_first_sync_says_what_it_did_and_that_the_rest_is_missing(
    home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_FIRST_ANSWER_S", 0.0)  # a question waits for nothing
    root = many(make_repository)

    def check(workspace: Workspace) -> RepositoryStatus:
        status = workspace.status("project")
        last = status.last_sync
        assert last is not None
        assert (status.state, last.status) == ("partial", "cancelled")
        assert 0 < last.processed_files == status.files < last.total_files == 1500
        assert last.chunks_new == last.chunks_total == status.chunks > 0
        assert (last.new_files, last.generation) == (status.files, status.generation)
        assert last.success_rate == 100.0
        assert f"partly indexed: {status.files} files" in (status.freshness.reason or "")
        assert as_command(status.freshness.call or {}) == "recollect sync project"
        assert (status.freshness.fresh, status.freshness.pending_files) == (False, 1500 - status.files)
        assert row(workspace) == ("partial", status.freshness.reason)
        sync_status = workspace.sync_status("project")
        assert sync_status.status == "cancelled"
        assert 0 < sync_status.progress.percentage < 100
        return status

    with Workspace(home, settings=QUIET) as workspace:
        result = cancelled_sync(workspace, root)
        before = check(workspace)
        assert result == before.last_sync
    with Workspace(home, settings=replace(QUIET, recollect_fresh_budget_ms=0)) as workspace:
        assert check(workspace) == before
        hits = workspace.search("function_1499 f1499", "project")  # which starts the rest
        assert not hits.freshness.fresh
        assert "first sync" in (hits.freshness.reason or "")
        wait_until(lambda: workspace.sync_status("project").status == "completed")
        assert workspace.search("function_1499", "project").hits[0].path == "p1/f1499.py"
        last = workspace.status("project").last_sync
        assert last is not None
        assert last.processed_files == 1500 - before.files  # it went on where it was
        assert row(workspace) == ("ready", None)


def test_a_cancelled_full_sync_leaves_a_complete_index_and_says_so(home: Path, make_repository: MakeRepository) -> None:
    root = many(make_repository)
    with Workspace(home, settings=QUIET) as workspace:
        workspace.sync(root)
        result = cancelled_sync(workspace, root, full=True)
        assert 0 < result.processed_files < result.total_files == 1500
    with Workspace(home, settings=QUIET) as workspace:
        status = workspace.status("project")
        assert (status.state, status.files, row(workspace)[0]) == ("ready", 1500, "ready")
        reason = status.freshness.reason or ""
        assert f"{result.processed_files} of 1500 files" in reason
        assert "complete" in reason
        assert "partly" not in reason
        assert workspace.search("function_1499", "project").hits[0].path == "p1/f1499.py"
        assert workspace.sync(root).status == "completed"


def test_what_is_said_during_a_full_sync_is_that_the_index_of_before_answers(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    root = many(make_repository)
    workspace.sync(root)
    workspace.sync(root, full=True, background=True)
    states, reasons = set(), set()
    while workspace.sync_status("project").status in ("queued", "running"):
        status = workspace.status("project")
        states.add(str(status.state))
        if status.activity == "indexing":
            reasons.add("anew" in (status.freshness.reason or "") or status.freshness.fresh)
    assert states == {"ready"}
    assert reasons <= {True}


def test_a_sync_whose_indexer_dies_again_and_again_says_what_was_committed(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    root = many(make_repository)

    def on_progress(progress: Progress) -> None:
        if workspace.status("project").files:
            os.kill(workspace._upkeep.indexer.pid or 0, signal.SIGKILL)

    result = workspace.sync(root, on_progress=on_progress)
    assert (result.status, result.errors[0].kind) == ("failed", "indexer_died")
    status = workspace.status("project")
    assert (status.state, status.last_sync) == ("failed", result)
    assert 0 < status.files < 1500
    assert (result.processed_files, result.chunks_total) == (status.files, status.chunks)
    assert f"partly indexed: {status.files} files" in (status.freshness.reason or "")
    assert workspace.sync(root).status == "completed"
    assert workspace.status("project").files == 1500


def test_a_first_sync_that_was_cut_short_without_a_word_is_partial_too(
    home: Path, make_repository: MakeRepository
) -> None:
    root = many(make_repository)
    with Workspace(home, settings=QUIET) as workspace:
        workspace.add(str(root))
        repository = workspace._registry.by_name("project")
        assert repository is not None
        run = workspace._upkeep.request(repository, Urgency.BACKGROUND, everything=True)
        wait_until(lambda: workspace.status("project").files)
        assert not run.future.done()
        workspace.close()
    with Workspace(home, settings=QUIET) as workspace:
        status = workspace.status("project")
        assert (status.state, status.last_sync) == ("partial", None)
        assert f"partly indexed: {status.files} files" in (status.freshness.reason or "")
        assert workspace.sync(root).processed_files == 1500 - status.files


def test_a_sync_that_waits_for_others_is_queued_and_claims_no_success(
    home: Path, make_repository: MakeRepository
) -> None:
    one, two = many(make_repository, "one"), make_repository(SHOP, "two")
    with Workspace(home, settings=replace(QUIET, auto_sync_max_concurrent=1)) as workspace:
        first = workspace.sync(one, background=True)
        second = workspace.sync(two, background=True)
        assert (first.status, second.status) == ("running", "queued")
        assert (second.success_rate, second.processed_files) == (0.0, 0)
        assert workspace.sync(two, wait_s=0.0).status == "queued"
        status = workspace.sync_status("two")
        assert (status.status, status.progress.percentage) == ("queued", 0.0)
        assert workspace.status("two").activity == "queued"
        assert [item.status for item in workspace.sync_all(background=True)] == []  # neither is tracked yet
        assert workspace.cancel("two").status == "cancelled"
        cancelled = workspace.status("two")
        assert (str(cancelled.state), cancelled.last_sync and cancelled.last_sync.status) == ("known", "cancelled")
        assert "nothing is indexed" in (cancelled.freshness.reason or "")
        assert workspace.sync(one).status == "completed"
        assert workspace.sync(two).success_rate == 100.0
