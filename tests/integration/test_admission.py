"""What an agent registered is looked at again, by the settings of now, at each sync and before each answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recollect.errors import RecollectError, Refused
from recollect.workspace import Caller, Workspace
from tests.conftest import MakeRepository

PERSON, AGENT = Caller(), Caller(agent=True)
FILES = {"cart.py": "def cart_total():\n    return 'shopping cart'\n"}
QUESTIONS: dict[str, Callable[[Workspace, Caller], Any]] = {
    "search": lambda workspace, who: workspace.search("cart", "outside", caller=who),
    "regex": lambda workspace, who: workspace.search("cart_.", "outside", mode="regex", caller=who),
    "symbol": lambda workspace, who: workspace.symbol("cart_total", "outside", caller=who),
    "outline": lambda workspace, who: workspace.outline("cart.py", repository="outside", caller=who),
    "related": lambda workspace, who: workspace.related("cart.py", 1, repository="outside", caller=who),
    "map": lambda workspace, who: workspace.map("outside", caller=who),
    "critical files": lambda workspace, who: workspace.critical_files("outside", caller=who),
    "read": lambda workspace, who: workspace.read("cart.py", repository="outside", caller=who),
    "why": lambda workspace, who: workspace.why(_path(workspace), caller=who),
    "files": lambda workspace, who: workspace.files("outside", caller=who),
}


def _path(workspace: Workspace) -> str:
    return next(item.path for item in workspace.statuses() if item.name == "outside") + "/cart.py"


@pytest.fixture
def outside(make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A repository that does not lie in the home of whoever asks."""
    (tmp_path / "person").mkdir()
    monkeypatch.setenv("HOME", os.fspath(tmp_path / "person"))
    return make_repository(FILES, "outside")


def _withdrawn(workspace: Workspace, outside: Path) -> None:
    workspace.configure_auto_sync({"scan_paths": [os.fspath(outside.parent)], "enabled": False}, caller=PERSON)
    assert workspace.sync(outside, caller=AGENT).status == "completed"
    for ask in QUESTIONS.values():
        ask(workspace, AGENT)
    workspace.configure_auto_sync({"scan_paths": []}, caller=PERSON)


def test_what_an_agent_added_below_a_scan_path_is_withdrawn_with_it(
    home: Path, outside: Path, make_repository: MakeRepository
) -> None:
    other = make_repository(FILES, "other")
    with Workspace(home) as workspace:
        workspace.sync(other, caller=PERSON)
        _withdrawn(workspace, outside)
        for name, ask in QUESTIONS.items():
            with pytest.raises(Refused, match="an agent added it when its scan path allowed that"):
                pytest.fail(f"{name}: {ask(workspace, AGENT)}")
        assert ("outside", "failed") in [(item.repository, item.status) for item in workspace.sync_all()]
        everywhere = workspace.search("cart", "*", caller=AGENT)
        assert {hit.repository for hit in everywhere.hits} == {"other"}
        assert "outside: " in (everywhere.freshness.reason or "")
        row = next(item for item in workspace.repositories().repositories if item.name == "outside")
        assert row.state == "failed"
        assert any(
            finding.subject == "outside" and "scan path" in finding.message and "recollect" in finding.mend
            for finding in workspace.diagnose()
        )
        assert QUESTIONS["search"](workspace, PERSON).hits  # what is indexed is not kept from its owner


@pytest.mark.parametrize("how", ["add", "sync", "sync by name"])
def test_a_person_who_adds_or_syncs_it_makes_it_theirs(home: Path, outside: Path, how: str) -> None:
    with Workspace(home) as workspace:
        _withdrawn(workspace, outside)
        with pytest.raises(RecollectError):
            workspace.sync(outside, caller=AGENT)
        if how == "add":
            workspace.add(os.fspath(outside), caller=PERSON)
        else:
            workspace.sync("outside" if how == "sync by name" else outside, caller=PERSON)
        assert workspace.sync(outside, caller=AGENT).status == "completed"
        for ask in QUESTIONS.values():
            ask(workspace, AGENT)


def test_an_agent_never_takes_over_what_a_person_added(home: Path, outside: Path) -> None:
    with Workspace(home) as workspace:
        workspace.add(os.fspath(outside), caller=PERSON)
        _withdrawn(workspace, outside)
        assert QUESTIONS["search"](workspace, AGENT).hits


def test_the_folder_that_a_client_was_started_in_stays_allowed(home: Path, outside: Path) -> None:
    here = Caller(cwd=os.fspath(outside), agent=True)
    for name in ("first", "again"):
        with Workspace(home) as workspace:
            assert workspace.sync(outside, caller=here).status == "completed", name
            assert workspace.search("cart", caller=here).hits


def test_a_client_that_is_started_in_a_withdrawn_folder_may_use_it_again(home: Path, outside: Path) -> None:
    here = Caller(cwd=os.fspath(outside), agent=True)
    with Workspace(home) as workspace:
        _withdrawn(workspace, outside)
        assert QUESTIONS["search"](workspace, here).hits
        assert workspace.sync(outside, caller=here).status == "completed"
