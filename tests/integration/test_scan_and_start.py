"""What background work does at a start, how often it checks, and what scans find, leave out and do not bring back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recollect.config import Settings
from recollect.errors import Refused, UserError
from recollect.workspace import Caller, Workspace
from tests.conftest import MakeRepository, git, wait_until, write

HERE = Caller()


def scanned(workspace: Workspace) -> None:
    workspace.auto_sync.scan(HERE, wait_s=20)


def names(workspace: Workspace) -> set[str]:
    return {item.name for item in workspace.repositories().repositories}


def make_git(root: Path, files: dict[str, str | bytes] | None = None) -> Path:
    write(root, files or {f"{root.name}.py": f"def of_{root.name}(): pass\n"})
    git(root, "init", "-q")
    return root


def settled(workspace: Workspace, name: str) -> bool:
    return workspace.status(name).freshness.fresh and workspace.auto_sync.status().active_syncs == 0


# -- at a start -------------------------------------------------------------------------------------------------------


def not_on_startup(**others: object) -> Settings:
    return Settings(auto_sync_on_startup=False, recollect_fresh_budget_ms=20_000, **others)  # type: ignore[arg-type]


@pytest.fixture
def changed_offline(home: Path, make_repository: MakeRepository) -> Path:
    root = make_repository({"a.py": "def first(): pass\n"})
    with Workspace(home) as workspace:
        workspace.sync(root)
        wait_until(lambda: settled(workspace, "project"))
    (root / "a.py").write_text("def second(): pass\n")
    return root


@pytest.mark.parametrize("watch", [True, False])
def test_with_on_startup_off_nothing_is_checked_until_somebody_asks(
    home: Path, changed_offline: Path, watch: bool
) -> None:
    with Workspace(home, settings=not_on_startup(auto_sync_auto_watch=watch)) as workspace:
        wait_until(lambda: workspace.status("project").watching is watch)
        time.sleep(1.0)
        status = workspace.status("project")
        assert (status.generation, workspace.auto_sync.metrics["cycles"]) == (1, 0)
        assert not status.freshness.fresh
        assert ("AUTO_SYNC_ON_STARTUP" in (status.freshness.reason or "")) is watch
        assert status.next_sync_at is not None
        assert 200 < status.next_sync_at - time.time() <= 300  # AUTO_SYNC_INTERVAL after the start
        assert workspace.search("second", "project").hits[0].path == "a.py"
        assert workspace.status("project").generation == 2


def test_with_on_startup_off_a_change_that_is_seen_is_synced_with_all_that_came_before(
    home: Path, changed_offline: Path
) -> None:
    with Workspace(home, settings=not_on_startup()) as workspace:
        wait_until(lambda: workspace.status("project").watching)
        (changed_offline / "b.py").write_text("def third(): pass\n")
        wait_until(lambda: settled(workspace, "project"))
        assert workspace.status("project").files == 2
        assert workspace.search("second", "project").hits[0].path == "a.py"


def test_with_on_startup_off_the_interval_brings_the_first_check(home: Path, changed_offline: Path) -> None:
    with Workspace(home, settings=not_on_startup(auto_sync_interval=1.0)) as workspace:
        wait_until(lambda: workspace.status("project").generation == 2)


@pytest.mark.parametrize(
    "rouse",
    [
        lambda workspace: workspace.track("project"),
        lambda workspace: workspace.configure_auto_sync({"sync_on_startup": True}),
    ],
    ids=["track", "on_startup"],
)
def test_with_on_startup_off_a_track_and_the_setting_itself_catch_up(
    home: Path, changed_offline: Path, rouse: Callable[[Workspace], object]
) -> None:
    with Workspace(home, settings=not_on_startup()) as workspace:
        wait_until(lambda: workspace.status("project").watching)
        rouse(workspace)
        wait_until(lambda: workspace.status("project").generation == 2)


def test_with_on_startup_off_a_resume_catches_up(home: Path, changed_offline: Path) -> None:
    with Workspace(home, settings=not_on_startup()) as workspace:
        workspace.auto_sync.pause()
    with Workspace(home, settings=not_on_startup()) as workspace:
        workspace.auto_sync.resume()
        wait_until(lambda: workspace.status("project").generation == 2)


def test_with_on_startup_on_everything_is_checked_at_the_start(home: Path, changed_offline: Path) -> None:
    with Workspace(home) as workspace:
        wait_until(lambda: workspace.status("project").generation == 2)


def test_with_on_startup_off_nothing_is_scanned_at_the_start_but_new_scan_paths_are(home: Path, tmp_path: Path) -> None:
    make_git(tmp_path / "src/one")
    make_git(tmp_path / "more/two")
    settings = not_on_startup(auto_sync_paths=(os.fspath(tmp_path / "src"),))
    with Workspace(home, settings=settings) as workspace:
        time.sleep(0.5)
        assert (names(workspace), workspace.auto_sync.status().last_scan) == (set(), None)
        assert workspace.auto_sync.status().next_scan is not None
        workspace.configure_auto_sync({"scan_paths": [os.fspath(tmp_path / "more")], "sync_on_startup": False})
        wait_until(lambda: names(workspace) == {"two"})


# -- how often --------------------------------------------------------------------------------------------------------


def test_the_interval_of_a_repository_is_obeyed_and_shown_whether_it_is_watched_or_not(
    home: Path, make_repository: MakeRepository
) -> None:
    root = make_repository({"a.py": "x = 1\n"})
    with Workspace(home) as workspace:
        workspace.sync(root)
        wait_until(lambda: settled(workspace, "project"))
        status = workspace.status("project")
        assert (status.sync_interval, status.own_sync_interval) == (3600.0, None)
        workspace.configure_auto_sync({"sync_interval": 120}, "project")
        status = workspace.status("project")
        assert status.watching
        assert (status.sync_interval, status.own_sync_interval) == (120.0, 120.0)
        assert status.next_sync_at is not None
        assert 60 < status.next_sync_at - time.time() <= 120
        workspace.configure_auto_sync({"sync_interval": 0}, "project")  # as all others
        assert workspace.status("project").own_sync_interval is None
        workspace.configure_auto_sync({"sync_interval": 600})
        status = workspace.status("project")
        assert status.sync_interval == 600.0
        assert status.next_sync_at is not None
        assert 400 < status.next_sync_at - time.time() <= 600
        workspace.untrack("project")
        assert (workspace.status("project").sync_interval, workspace.status("project").next_sync_at) == (None, None)


def test_a_short_interval_checks_a_watched_repository_too(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "x = 1\n"})
    with Workspace(home, settings=Settings(auto_sync_interval=1.0)) as workspace:
        workspace.sync(root)
        wait_until(lambda: settled(workspace, "project"))
        before = workspace._upkeep.checked_monotonic(workspace._catalog.repositories()[0].id) or 0.0
        wait_until(
            lambda: (workspace._upkeep.checked_monotonic(workspace._catalog.repositories()[0].id) or 0.0) > before + 2
        )


@pytest.mark.parametrize("wrong", [0.5, -1, float("nan"), float("inf"), 31_536_001, "often", [5]])
def test_an_interval_that_is_not_allowed_is_refused_for_all_and_for_one(
    home: Path, make_repository: MakeRepository, wrong: object
) -> None:
    root = make_repository({"a.py": "x = 1\n"})
    with Workspace(home) as workspace:
        workspace.add(os.fspath(root))
        for repository in (None, "project"):
            with pytest.raises(UserError, match="AUTO_SYNC_INTERVAL"):
                workspace.configure_auto_sync({"sync_interval": wrong}, repository)


# -- what is scanned --------------------------------------------------------------------------------------------------


def test_of_equal_priority_the_repository_modified_last_is_synced_first(home: Path, tmp_path: Path) -> None:
    ages = {"old": 3_000_000, "older": 4_000_000, "young": 1_000, "middle": 50_000}
    for name, age in ages.items():
        root = make_git(tmp_path / "src" / name)
        at = time.time() - age
        os.utime(root / f"{name}.py", (at, at))
    with Workspace(home, settings=Settings(auto_sync_max_concurrent=1)) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(tmp_path / "src")], "max_concurrent": 1})
        wait_until(lambda: workspace.auto_sync.status().synced_repos == 4)
        first = sorted(workspace.statuses(), key=lambda item: item.last_sync.started_at if item.last_sync else 0.0)
        assert [item.name for item in first] == ["young", "middle", "old", "older"]


def test_what_is_excluded_later_rests_says_so_and_comes_back(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "src"
    library = make_git(place / "vendor/library")
    make_git(place / "mine")
    with Workspace(home, settings=Settings(recollect_fresh_budget_ms=20_000)) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(place)]})
        wait_until(lambda: workspace.auto_sync.status().watched_repos == 2)
        wait_until(lambda: settled(workspace, "library"))
        excluded = workspace.configure_auto_sync({"exclude_patterns": ["vendor"]})
        assert excluded.excluded == ("library",)  # type: ignore[union-attr]
        generation = workspace.status("library").generation
        (library / "library.py").write_text("def changed(): pass\n")
        time.sleep(1.0)
        status = workspace.status("library")
        assert (status.excluded_by, status.tracked, status.watching) == ("vendor", False, False)
        assert (status.next_sync_at, status.generation, status.state) == (None, generation, "ready")
        assert "vendor" in (status.freshness.reason or "")
        assert {item.repository for item in workspace.sync_all()} == {"mine"}
        answer = workspace.search("changed", "library")  # a question checks by itself
        assert answer.hits[0].path == "library.py"
        assert not answer.freshness.fresh
        workspace.configure_auto_sync({"exclude_patterns": []})
        wait_until(lambda: workspace.status("library").watching)
        wait_until(lambda: settled(workspace, "library"))


@pytest.mark.parametrize("pattern", ["vendor", "library", "vendor/*", "**/lib*", "*endor"])
def test_each_form_of_a_pattern_excludes_later_what_it_would_have_excluded_before(
    home: Path, tmp_path: Path, pattern: str
) -> None:
    make_git(tmp_path / "src/vendor/library")
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(tmp_path / "src")]})
        wait_until(lambda: names(workspace) == {"library"})
        workspace.configure_auto_sync({"exclude_patterns": [pattern]})
        assert workspace.status("library").excluded_by == pattern
        assert workspace.discover([tmp_path / "src"]) == []


def test_who_tracks_what_is_excluded_has_it_kept_in_step(home: Path, tmp_path: Path) -> None:
    make_git(tmp_path / "src/vendor/library")
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(tmp_path / "src")]})
        wait_until(lambda: workspace.auto_sync.status().synced_repos == 1)
        workspace.configure_auto_sync({"exclude_patterns": ["vendor"]})
        assert not workspace.status("library").tracked
        assert workspace.track("library").tracked
        wait_until(lambda: settled(workspace, "library"))


def test_what_somebody_added_below_a_folder_that_is_excluded_by_default_stays_tracked(
    home: Path, tmp_path: Path
) -> None:
    root = make_git(tmp_path / "src/build/tool")
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(tmp_path / "src")]})
        workspace.sync(root)
        status = workspace.status("tool")
        assert (status.tracked, status.excluded_by) == (True, None)


def test_what_lies_below_no_scan_path_any_longer_stays_tracked_and_is_named(home: Path, tmp_path: Path) -> None:
    make_git(tmp_path / "src/one")
    make_git(tmp_path / "more/two")
    with Workspace(home) as workspace:
        paths = [os.fspath(tmp_path / "src"), os.fspath(tmp_path / "more")]
        workspace.configure_auto_sync({"scan_paths": paths})
        wait_until(lambda: workspace.auto_sync.status().synced_repos == 2)
        status = workspace.configure_auto_sync({"scan_paths": paths[:1]})
        assert status.outside == ("two",)  # type: ignore[union-attr]
        assert workspace.status("two").tracked


def test_a_forgotten_repository_does_not_come_back_by_a_scan_but_by_its_path(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "src"
    one, two = make_git(place / "one"), make_git(place / "two")
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(place)]})
        wait_until(lambda: workspace.auto_sync.status().synced_repos == 2)
        workspace.forget("one")
        workspace.forget("two")
        scanned(workspace)
        assert names(workspace) == set()
    with Workspace(home) as workspace:  # over a restart
        result = workspace.auto_sync.scan(HERE, wait_s=20)
        assert names(workspace) == set()
        assert "2 of them were forgotten" in result.message
        assert workspace.auto_sync.status().forgotten == (os.fspath(one), os.fspath(two))
        workspace.sync(one)
        workspace.search("of_two", os.fspath(two))
        assert names(workspace) == {"one", "two"}
        assert workspace.auto_sync.status().forgotten == ()
        workspace.auto_sync.scan(HERE, wait_s=20)
        assert names(workspace) == {"one", "two"}


def test_an_empty_folder_that_was_searched_is_not_tracked_until_it_holds_something(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with Workspace(home, settings=Settings(recollect_fresh_budget_ms=20_000)) as workspace:
        workspace.search("anything", os.fspath(tmp_path / "empty"))
        status = workspace.status("empty")
        assert (status.files, status.tracked, status.watching) == (0, False, False)
        write(tmp_path / "empty", {"a.py": "def anything(): pass\n"})
        assert workspace.search("anything", "empty").hits[0].path == "a.py"
        assert workspace.status("empty").tracked


def test_an_empty_folder_that_was_synced_is_tracked(home: Path, tmp_path: Path) -> None:
    (tmp_path / "begun").mkdir()
    with Workspace(home) as workspace:
        workspace.sync(tmp_path / "begun")
        assert workspace.status("begun").tracked


def test_a_restart_neither_forgets_the_last_scan_nor_scans_before_the_next(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "src"
    make_git(place / "one")
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(place)]})
        wait_until(lambda: workspace.auto_sync.status().synced_repos == 1)
        before = workspace.auto_sync.status()
    make_git(place / "two")
    with Workspace(home) as workspace:
        time.sleep(0.5)
        after = workspace.auto_sync.status()
        assert (after.last_scan, names(workspace)) == (before.last_scan, {"one"})
        assert workspace.auto_sync.metrics["scans"] == 0
        assert after.next_scan is not None
        workspace.configure_auto_sync({"exclude_patterns": ["nothing"]})  # what decides changed: due at once
        wait_until(lambda: workspace.auto_sync.metrics["scans"] == 1)
        assert names(workspace) == {"one", "two"}
        workspace._catalog.persist({"last_scan": [time.time() - 3700, workspace._catalog.persisted()["last_scan"][1]]})
    make_git(place / "three")
    with Workspace(home) as workspace:  # overdue
        wait_until(lambda: names(workspace) == {"one", "two", "three"})


@pytest.mark.parametrize("bad", ["soon", [1], [None, []], [1e400, []], {"at": 3}, 7])
def test_what_was_persisted_of_the_last_scan_may_be_anything(home: Path, tmp_path: Path, bad: object) -> None:
    make_git(tmp_path / "src/one")
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(tmp_path / "src")]})
        wait_until(lambda: workspace.auto_sync.metrics["scans"] == 1)
        workspace._catalog.persist({"last_scan": bad, "forgotten": bad})
    with Workspace(home) as workspace:
        wait_until(lambda: workspace.auto_sync.status().last_scan is not None)


def test_a_bad_persisted_setting_is_named_and_the_command_that_it_names_repairs_it(home: Path, tmp_path: Path) -> None:
    make_git(tmp_path / "one")
    with Workspace(home) as workspace:
        workspace._catalog.persist({"auto_sync_interval": "often", "auto_sync_max_concurrent": 2})
        workspace._catalog._file.write(
            lambda db: db.execute("INSERT INTO settings VALUES ('auto_sync_size_threshold', 'not json')")
        )
    with Workspace(home) as workspace:
        status = workspace.auto_sync.status()
        assert (status.config.sync_interval, status.config.max_concurrent) == (300.0, 2)
        assert "AUTO_SYNC_INTERVAL = 'often' (persisted)" in status.problems[0]
        assert "AUTO_SYNC_SIZE_THRESHOLD = 'not json'" in status.problems[1]
        said = [finding for finding in workspace.diagnose() if finding.subject == "settings"]
        assert [finding.level for finding in said] == ["problem", "problem"]
        assert "recollect auto-sync config --sync-interval" in said[0].message
        workspace.sync(tmp_path / "one")
        workspace.configure_auto_sync({"sync_interval": 60})
        assert len(workspace.auto_sync.status().problems) == 1
        workspace.configure_auto_sync({"size_threshold": 7})
        assert workspace.auto_sync.status().problems == ()
        assert not [finding for finding in workspace.diagnose() if finding.subject == "settings"]


def test_the_hint_for_scan_paths_outside_of_home_names_a_command_that_may(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, outside = tmp_path / "person/src", tmp_path / "srv/our code"
    make_git(inside / "one")
    make_git(outside / "two")
    monkeypatch.setenv("HOME", os.fspath(tmp_path / "person"))
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"scan_paths": [os.fspath(inside)]}, caller=Caller(agent=True))
        with pytest.raises(Refused) as refused:
            workspace.configure_auto_sync(
                {"scan_paths": [os.fspath(inside), os.fspath(outside)]}, caller=Caller(agent=True)
            )
        assert f"recollect auto-sync config --path {inside} --path '{outside}'" in refused.value.hint
        workspace.configure_auto_sync({"scan_paths": [os.fspath(inside), os.fspath(outside)]}, caller=HERE)
        wait_until(lambda: names(workspace) == {"one", "two"})
        with pytest.raises(Refused) as refused:  # no command may that
            workspace.configure_auto_sync({"scan_paths": ["/"]}, caller=Caller(agent=True))
        assert "auto-sync config" not in refused.value.hint
