"""Background work as its users see it: found, synced, paused, configured, caught up with."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recollect.config import Settings
from recollect.errors import Refused, UserError
from recollect.jobs.schedule import Due
from recollect.server.indexer import _Indexes
from recollect.workspace import Caller, Workspace
from recollect.workspace.auto_sync import battery
from tests.conftest import MakeRepository, git, wait_until, write

PATIENT = Settings(recollect_fresh_budget_ms=20_000)  # however slow the machine is, a question waits for what changed


def repositories(folder: Path, count: int, files: int = 3) -> Path:
    for number in range(count):
        root = folder / f"r{number}"
        write(root, {f"m{item}.py": f"def of_{number}_{item}(): pass\n" for item in range(files)})
        git(root, "init", "-q")
    return folder


def fresh(workspace: Workspace, name: str) -> bool:
    return workspace.status(name).freshness.fresh


def test_eight_repositories_with_three_slots_are_all_found_and_synced(home: Path, tmp_path: Path) -> None:
    place = repositories(tmp_path / "src", 8)
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(place)]})
        wait_until(lambda: workspace.auto_sync.status().synced_repos == 8)
        wait_until(lambda: all(fresh(workspace, f"r{number}") for number in range(8)))
        status = workspace.auto_sync.status()
        assert (status.watched_repos, status.active_syncs, status.queued_repos) == (8, 0, 0)
        assert status.last_scan is not None
        assert status.next_scan is not None
        assert all(item.tracked for item in workspace.statuses())
        assert workspace.search("of_5_2", "*").hits[0].repository == "r5"


def test_nothing_is_scanned_unasked(home: Path, tmp_path: Path) -> None:
    repositories(tmp_path, 1)
    with Workspace(home) as workspace:
        result = workspace.auto_sync.scan(Caller(cwd=os.fspath(tmp_path)))
        assert (result.found, result.running) == (0, False)
        assert "no scan paths" in result.message
        here = workspace.auto_sync.scan(Caller(cwd=os.fspath(tmp_path / "r0"), agent=True), wait_s=10)
        assert here.found == 1


def test_pause_stops_background_work_and_resume_catches_up(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "def first(): pass\n"})
    with Workspace(home) as workspace:
        workspace.sync(root)
        wait_until(lambda: fresh(workspace, "project"))
        assert workspace.auto_sync.pause().paused
    with Workspace(home) as workspace:  # survives a restart
        assert workspace.auto_sync.status().paused
        assert workspace.status("project").paused
        generation = workspace.status("project").generation
        (root / "a.py").write_text("def second(): pass\n")
        time.sleep(1.0)
        assert workspace.status("project").generation == generation  # a status call never syncs
        assert workspace.search("second", "project").hits[0].path == "a.py"  # the barrier of a question still works
        (root / "a.py").write_text("def third(): pass\n")
        time.sleep(0.5)
        assert not workspace.auto_sync.resume().paused
        wait_until(lambda: workspace.status("project").generation == generation + 2)
        wait_until(lambda: fresh(workspace, "project"))  # its end is noted a moment after its commit


def test_a_pause_that_comes_while_it_is_looked_for_what_is_due_holds(
    home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository({"a.py": "def first(): pass\n"})
    with Workspace(home) as workspace:
        workspace.sync(root)
        wait_until(lambda: fresh(workspace, "project"))
        auto_sync, generation = workspace.auto_sync, workspace.status("project").generation
        start_some = auto_sync._start_some

        def paused_before(found: Sequence[Due]) -> None:
            if found:
                auto_sync.pause()
            start_some(found)

        monkeypatch.setattr(auto_sync, "_start_some", paused_before)
        (root / "a.py").write_text("def second(): pass\n")
        wait_until(lambda: auto_sync.paused)
        time.sleep(0.5)
        assert workspace.status("project").generation == generation
        auto_sync.resume()


def test_a_pause_halts_a_long_background_sync_and_resume_ends_it(home: Path, tmp_path: Path) -> None:
    files = {f"p{i % 13}/f{i}.py": f"def function_{i}(a, b):\n    return a * {i} + b\n\n\n" * 50 for i in range(1600)}
    write(tmp_path / "src/big", files)
    git(tmp_path / "src/big", "init", "-q")
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(tmp_path / "src")]})
        wait_until(lambda: workspace.auto_sync.status().active_syncs == 1)
        wait_until(lambda: workspace.sync_status("big").progress.files_done > 50)
        workspace.auto_sync.pause()
        wait_until(lambda: workspace.auto_sync.status().active_syncs == 0, 3.0)
        time.sleep(0.5)
        assert workspace.auto_sync.status().active_syncs == 0
        assert workspace.status("big").attempts == 0
        workspace.auto_sync.resume()
        wait_until(lambda: workspace.status("big").files == 1600)


def test_changing_one_setting_keeps_the_others_and_lasts(home: Path, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    with Workspace(home) as workspace:
        workspace.configure_auto_sync(
            {"scan_paths": [os.fspath(tmp_path / "src")], "exclude_patterns": ["vendor", "!env"], "max_concurrent": 5}
        )
        workspace.configure_auto_sync({"sync_interval": 60})
        with pytest.raises(UserError, match=r"AUTO_SYNC_INTERVAL"):
            workspace.configure_auto_sync({"sync_interval": 0, "max_concurrent": 9})
        with pytest.raises(UserError, match="unknown"):
            workspace.configure_auto_sync({"colour": "blue"})
    with Workspace(home) as workspace:
        config = workspace.auto_sync.status().config
        assert config.scan_paths == (os.fspath(tmp_path / "src"),)
        assert (config.exclude_patterns, config.sync_interval, config.max_concurrent) == (("vendor", "!env"), 60.0, 5)
        origins = {row["name"]: row["origin"] for row in workspace.configuration()}
        assert (origins["AUTO_SYNC_INTERVAL"], origins["AUTO_SYNC_MAX_DEPTH"]) == ("persisted", "default")


def test_agents_may_not_have_everything_scanned(home: Path, tmp_path: Path) -> None:
    with Workspace(home) as workspace:
        for path in ("/", os.path.expanduser("~"), "~/.ssh", "/usr"):
            with pytest.raises((Refused, UserError)):
                workspace.configure_auto_sync({"scan_paths": [path]}, caller=Caller(agent=True))
        assert workspace.auto_sync.status().config.scan_paths == ()


def test_an_untracked_repository_stays_untracked_and_answers(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "def first(): pass\n"})
    with Workspace(home) as workspace:
        workspace.sync(root)
        assert workspace.status("project").tracked
        workspace.untrack("project")
    with Workspace(home, settings=PATIENT) as workspace:
        status = workspace.status("project")
        assert (status.tracked, status.watching, status.next_sync_at) == (False, False, None)
        (root / "a.py").write_text("def second(): pass\n")
        result = workspace.search("second", "project")
        assert result.hits[0].path == "a.py"  # checked by stat, for nothing watches it
        assert not result.freshness.fresh
        assert "not watched" in (result.freshness.reason or "")
        workspace.sync(root)
        assert not workspace.status("project").tracked
        assert workspace.track("project").tracked
        wait_until(lambda: fresh(workspace, "project"))


def test_a_repository_may_have_an_interval_of_its_own(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "def first(): pass\n"})
    settings = Settings(auto_sync_auto_watch=False)
    with Workspace(home, settings=settings) as workspace:
        workspace.sync(root)
        wait_until(lambda: workspace.auto_sync.status().active_syncs == 0)
        later = workspace.status("project").next_sync_at
        assert later is not None
        assert later > time.time() + 100
        workspace.configure_auto_sync({"sync_interval": 1}, "project")
        (root / "a.py").write_text("def second(): pass\n")
        wait_until(lambda: workspace.status("project").generation == 2)  # found by the interval alone


def test_without_watching_a_question_checks_by_itself_and_says_so(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "def first(): pass\n"})
    settings = replace(PATIENT, auto_sync_auto_watch=False)
    with Workspace(home, settings=settings) as workspace:
        workspace.sync(root)
        for number in range(5):
            (root / "a.py").write_text(f"def number_{number}_x(): pass\n")
            result = workspace.search(f"number_{number}_x", "project")
            assert f"number_{number}_x" in result.hits[0].snippet
            assert not result.freshness.fresh


def test_a_failing_repository_backs_off_and_holds_up_nobody(home: Path, tmp_path: Path) -> None:
    place = repositories(tmp_path / "src", 3)
    limits = {"recollect_max_repository_files": 5, "auto_sync_max_concurrent": 1}
    settings = replace(PATIENT, auto_sync_paths=(os.fspath(place),), **limits)
    write(place / "r0", {f"more{number}.py": "x = 1\n" for number in range(10)})
    with Workspace(home, settings=settings) as workspace:
        wait_until(lambda: workspace.auto_sync.status().synced_repos == 2)
        wait_until(lambda: workspace.status("r0").state == "too_large")
        assert workspace.search("of_2_1", "*").hits[0].repository == "r2"
        time.sleep(0.5)
        assert workspace.sync_status("r0").status == "failed"
        assert workspace.sync(place / "r0").total_files == 13  # asked for: however large it is
        write(place / "r0", {"new.py": "def after_it(): pass\n"})
        assert workspace.search("after_it", "r0").hits[0].path == "new.py"


def test_a_vanished_repository_is_missing_and_comes_back_by_itself(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "def here_it_is(): pass\n"})
    with Workspace(home, settings=PATIENT) as workspace:
        workspace.sync(root)
        wait_until(lambda: fresh(workspace, "project"))
        root.rename(root.with_name("aside"))
        result = workspace.search("here_it_is", "project")
        assert result.hits[0].path == "a.py"
        assert "missing" in (result.freshness.reason or "")
        assert workspace.status("project").state == "missing"
        root.with_name("aside").rename(root)
        (root / "a.py").write_text("def after_the_journey(): pass\n")
        back = workspace.search("after_the_journey", "project")
        assert back.hits[0].path == "a.py"
        assert back.freshness.fresh


def test_a_moved_repository_is_known_again(home: Path, tmp_path: Path) -> None:
    place = repositories(tmp_path / "src", 2)
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(place)]})
        wait_until(lambda: workspace.auto_sync.status().synced_repos == 2)
        (place / "r0").rename(place / "renamed")
        workspace.auto_sync.scan(Caller(), wait_s=10)
        assert {item.name: Path(item.path).name for item in workspace.repositories().repositories} == {
            "r0": "renamed",
            "r1": "r1",
        }
        wait_until(lambda: fresh(workspace, "r0"))
        shutil.rmtree(place / "r1")
        write(place / "r1", {"other.py": "x = 1\n"})
        git(place / "r1", "init", "-q")
        workspace.auto_sync.scan(Caller(), wait_s=10)
        assert len(workspace.repositories().repositories) == 2


def test_two_of_one_name_and_two_forks_of_one_remote(home: Path, tmp_path: Path) -> None:
    for folder in ("x/same", "y/same", "fork-one", "fork-two"):
        write(tmp_path / folder, {"a.py": f"def in_{folder[0]}{folder[-1]}(): pass\n"})
        git(tmp_path / folder, "init", "-q")
    for folder in ("fork-one", "fork-two"):
        git(tmp_path / folder, "remote", "add", "origin", "https://example.org/them/library.git")
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(tmp_path)]})
        wait_until(lambda: workspace.auto_sync.status().synced_repos == 4)
        assert sorted(item.name for item in workspace.repositories().repositories) == [
            "library",
            "library-2",
            "same",
            "same-2",
        ]


def test_what_changed_while_nothing_ran_is_found_after_the_start(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "def first(): pass\n", "gone.py": "def vanished_one(): pass\n"})
    with Workspace(home) as workspace:
        workspace.sync(root)
        wait_until(lambda: fresh(workspace, "project"))
    (root / "a.py").write_text("def second(): pass\n")
    (root / "gone.py").unlink()
    with Workspace(home, settings=PATIENT) as workspace:
        result = workspace.search("second", "project")
        assert result.freshness.fresh
        assert result.hits[0].path == "a.py"
        assert not [hit for hit in workspace.search("vanished_one", "project").hits if hit.path == "gone.py"]


def test_a_question_during_a_cold_sync_says_what_is_missing(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(
        {f"p{i % 7}/f{i}.py": f"def function_{i}(a):\n    return a * {i}\n\n\n" * 40 for i in range(1200)}
    )
    with Workspace(home) as workspace:
        workspace.sync(root, background=True)
        result = workspace.search("function_1199", "project")
        if not result.freshness.fresh:
            assert "first sync" in (result.freshness.reason or "")
        wait_until(lambda: workspace.search("function_1199", "project").freshness.fresh)
        assert workspace.search("function_1199", "project").hits[0].path == "p2/f1199.py"


def test_a_branch_switch_of_a_thousand_files_is_never_answered_stale_as_fresh(
    home: Path, make_repository: MakeRepository
) -> None:
    root = make_repository({f"d{i % 10}/f{i}.py": f"def before_{i}(): pass\n" for i in range(1000)})
    git(root, "checkout", "-q", "-b", "side")
    for number in range(1000):
        (root / f"d{number % 10}/f{number}.py").write_text(f"def after_{number}(): pass\n")
    git(root, "commit", "-q", "-a", "-m", "two")
    with Workspace(home) as workspace:
        workspace.sync(root)
        wait_until(lambda: fresh(workspace, "project"))
        for branch, word, other in (("-", "before", "after"), ("-", "after", "before"), ("-", "before", "after")):
            git(root, "checkout", "-q", branch)
            for _ in range(50):
                result = workspace.search(f"{word}_77", "project", 3, snippet_lines=3)
                if result.freshness.fresh:
                    assert f"{word}_77(" in result.hits[0].snippet
                    assert all(f"{other}_" not in hit.snippet for hit in result.hits)
                    break
                assert result.freshness.reason
            wait_until(lambda: fresh(workspace, "project"))


def test_a_clock_that_jumps_neither_stops_nor_floods(
    home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository({"a.py": "def first(): pass\n"})
    with Workspace(home) as workspace:
        workspace.sync(root)
        wait_until(lambda: fresh(workspace, "project"))
        real = time.time
        for jump in (-10 * 86_400, 10 * 86_400):
            monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
            (root / "a.py").write_text(f"def at_{abs(jump)}_{jump > 0}(): pass\n")
            generation = workspace.status("project").generation
            wait_until(lambda before=generation: workspace.status("project").generation > before)
        assert workspace.status("project").generation == 3


def test_a_battery_is_read_only_where_it_discharges(tmp_path: Path) -> None:
    assert battery(tmp_path / "none") is None
    write(
        tmp_path, {"BAT0/type": "Battery\n", "BAT0/status": "Charging\n", "BAT0/capacity": "7\n", "AC/type": "Mains\n"}
    )
    assert battery(tmp_path) is None
    write(tmp_path, {"BAT0/status": "Discharging\n"})
    assert battery(tmp_path) == 7


def test_on_low_battery_background_work_waits_and_questions_do_not(
    home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recollect.workspace.auto_sync.battery", lambda: 5)
    root = make_repository({"a.py": "def first(): pass\n"})
    with Workspace(home, settings=PATIENT) as workspace:
        workspace.sync(root)
        wait_until(lambda: "battery" in (workspace.auto_sync.status().held_back or ""))
        (root / "a.py").write_text("def second(): pass\n")
        assert workspace.search("second", "project").hits[0].path == "a.py"


def test_the_history_keeps_what_did_something(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "def first(): pass\n"})
    with Workspace(home) as workspace:
        workspace.sync(root)
        (root / "b.py").write_text("def second(): pass\n")
        workspace.search("second", "project")
        assert [(run.new_files, run.status) for run in workspace.history("project")] == [
            (1, "completed"),
            (1, "completed"),
        ]


def test_a_second_work_tree_begins_as_a_copy_of_the_first(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({f"f{number}.py": f"def shared_{number}(): pass\n" for number in range(50)})
    git(root, "branch", "side")
    git(root, "worktree", "add", "-q", str(root.with_name("tree")), "side")
    other = root.with_name("tree")
    (other / "f7.py").write_text("def only_in_the_tree(): pass\n")
    (other / "f8.py").unlink()
    with Workspace(home, settings=PATIENT) as workspace:
        workspace.sync(root)
        result = workspace.sync(other)
        assert (result.total_files, result.processed_files, result.modified_files, result.deleted_files) == (
            49,
            1,
            1,
            1,
        )
        status = workspace.status("tree")
        assert (status.files, status.state) == (49, "ready")
        assert workspace.search("only_in_the_tree", "tree").hits[0].path == "f7.py"
        assert "f8.py" not in {hit.path for hit in workspace.search("shared_8", "tree").hits}
        both = workspace.search("shared_9", "*")
        assert [hit.path for hit in both.hits].count("f9.py") == 1
        assert both.hits[0].also_in
        (other / "f9.py").write_text("def changed_here(): pass\n")
        assert workspace.search("changed_here", "*").hits[0].repository == "tree"
        assert workspace.search("shared_9", "project").hits[0].path == "f9.py"


def test_the_index_of_a_sibling_is_waited_for(home: Path, make_repository: MakeRepository, tmp_path: Path) -> None:
    root = make_repository({"a.py": "def shared(): pass\n"})
    with Workspace(home, settings=PATIENT) as workspace:
        workspace.sync(root)
        (sibling,) = (home / "repositories").iterdir()
    indexes, cancelled = _Indexes(), threading.Event()
    with indexes.lock(str(sibling)), ThreadPoolExecutor(1) as pool:  # as if it were being tidied up
        copying = pool.submit(indexes.copy, str(sibling), str(tmp_path / "given-up"), cancelled)
        cancelled.set()
        copying.result()
        cancelled.clear()
        copying = pool.submit(indexes.copy, str(sibling), str(tmp_path / "copied"), cancelled)
        indexes.lock(str(sibling)).release()
        copying.result()
        indexes.lock(str(sibling)).acquire()
    assert (tmp_path / "copied" / "index.db").exists()
    assert not (tmp_path / "given-up").exists()


def test_memory_over_the_limit_is_given_back(home: Path, make_repository: MakeRepository) -> None:
    roots = [make_repository({"a.py": f"def in_{name}(): pass\n"}, name) for name in ("one", "two", "three", "four")]
    settings = replace(PATIENT, recollect_memory_limit=1)
    with Workspace(home, settings=settings) as workspace:
        for root in roots:
            workspace.sync(root)
            workspace.search("anything", root.name)
        assert workspace._upkeep.watch_memory() > 10_000_000
        assert len(workspace._library) <= 2
        for root in roots:
            assert workspace.search(f"in_{root.name}", root.name).hits[0].path == "a.py"
            (root / "a.py").write_text("def afterwards(): pass\n")
            assert workspace.search("afterwards", root.name).hits[0].path == "a.py"


def test_beyond_the_budget_the_answer_says_what_it_does_not_reflect(
    home: Path, make_repository: MakeRepository
) -> None:
    root = make_repository({"a.py": "def first(): pass\n"})
    with Workspace(home, settings=Settings(recollect_fresh_budget_ms=0)) as workspace:
        workspace.sync(root)
        wait_until(lambda: fresh(workspace, "project"))
        (root / "a.py").write_text("def second(): pass\n")
        hurried = workspace.search("first", "project").freshness
        assert (hurried.fresh, hurried.pending_files) == (False, 1)
        assert "1 changed files are being indexed" in (hurried.reason or "")
        wait_until(lambda: fresh(workspace, "project"))  # the rest follows in the background
        assert workspace.search("second", "project").hits[0].path == "a.py"


def test_what_a_question_about_many_has_no_time_to_have_checked_is_checked_after_it(home: Path, tmp_path: Path) -> None:
    place = repositories(tmp_path / "src", 8)
    with Workspace(home) as workspace:
        for number in range(8):
            workspace.sync(place / f"r{number}")
        workspace.auto_sync.pause()
    for number in range(8):
        (place / f"r{number}" / "late.py").write_text("def came_late(): pass\n")
    time.sleep(2.1)  # past the moment within which a question trusts the last check
    with Workspace(home, settings=Settings(recollect_fresh_budget_ms=0)) as workspace:
        before = [workspace.status(f"r{number}").generation for number in range(8)]
        assert not workspace.search("came_late", "*").freshness.fresh
        wait_until(
            lambda: (
                [workspace.status(f"r{number}").generation for number in range(8)]
                == [generation + 1 for generation in before]
            )
        )
        found = workspace.search("came_late", "*").hits[0]
        assert (found.path, len(found.also_in)) == ("late.py", 7)


def test_a_work_tree_that_equals_its_sibling_is_synced_once_in_the_background(home: Path, tmp_path: Path) -> None:
    first = tmp_path / "src" / "first"
    write(first, {"a.py": "def one(): pass\n", "b.py": "def two(): pass\n"})
    git(first, "init", "-q")
    git(first, "add", "-A")
    git(first, "commit", "-qm", "first")
    with Workspace(home) as workspace:
        workspace.sync(first)
        git(first, "worktree", "add", "-q", "../second", "-b", "second")
        workspace.configure_auto_sync({"scan_paths": [os.fspath(tmp_path / "src")]})
        wait_until(lambda: workspace.auto_sync.status().synced_repos == 2)
        wait_until(lambda: workspace.status("second").last_sync is not None)
        time.sleep(1.0)  # the rest of the cycle
        before = workspace.auto_sync.metrics["syncs_completed"]
        time.sleep(0.6)
        assert workspace.auto_sync.metrics["syncs_completed"] <= before + 1  # it was synced twenty times a second
        assert workspace.search("two", "second").hits[0].path == "b.py"


def test_a_sync_that_ends_after_the_snapshot_was_taken_does_not_vouch_for_it(
    home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Workspace(home, settings=Settings(recollect_fresh_budget_ms=1)) as workspace:
        root = make_repository({"a.py": "def before(): pass\n"})
        workspace.sync(root)
        wait_until(lambda: bool(workspace.search("before", "project").freshness.fresh))
        taken = workspace._upkeep.library.reading

        @contextmanager
        def reading(repository_id: str) -> Iterator[Any]:
            with taken(repository_id) as snapshot:
                wait_until(lambda: fresh(workspace, "project"))
                yield snapshot

        (root / "a.py").write_text("def after(): pass\n" * 3)
        with monkeypatch.context() as patched:
            patched.setattr(workspace._upkeep.library, "reading", reading)
            answer = workspace.search("after", "project")
        assert not answer.freshness.fresh or answer.hits[0].symbol == "after"
