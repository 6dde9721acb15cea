"""Settings in the environment of a client, while a daemon runs that was started with another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from recollect import client
from recollect.config import ADOPTABLE, Settings
from recollect.workspace import Caller, Workspace
from tests.conftest import MakeRepository, git, wait_until, write

AGENT = Caller(agent=True)


def enter(workspace: Workspace, values: Mapping[str, str], name: str = "recollect mcp (process 1)") -> list[str]:
    return workspace.auto_sync.clients.enter(name, name, values, AGENT)


def in_force(workspace: Workspace) -> dict[str, tuple[object, str]]:
    return {row["name"]: (row["value"], row["origin"]) for row in workspace.configuration()}


def test_what_a_client_tells_are_all_settings_but_those_that_may_hold_a_secret_or_go_with_its_calls() -> None:
    settings = {item.name.upper() for item in fields(Settings) if "limits" in item.metadata}
    with_its_calls = {name for name in settings if name in client.handed_over(dict.fromkeys(settings, "1"))}
    assert set(client.SETTINGS) == settings - with_its_calls - {"RECOLLECT_EMBEDDER_URL"}
    environment = dict.fromkeys((*settings, "RECOLLECT_TEAM_DB", "OPENAI_API_KEY", "RECOLLECT_HOME"), "s3cret")
    told = client.hello("mcp", environment=environment)["settings"]
    assert told.keys() == set(client.SETTINGS)
    assert all(name in ADOPTABLE for name in (item.lower() for item in told) if name.startswith("auto_sync"))


def test_a_hello_stays_within_its_limit_however_long_the_values_are() -> None:
    told = client.set_by({"AUTO_SYNC_PATHS": "x" * 50_000, "AUTO_SYNC_INTERVAL": "60"})
    assert told == {"AUTO_SYNC_INTERVAL": "60"}


def test_what_nobody_has_set_is_taken_over_and_stays_when_the_client_goes(home: Path, tmp_path: Path) -> None:
    with Workspace(home) as workspace:
        assert enter(workspace, {"AUTO_SYNC_INTERVAL": "60  # often", "USE_ASYNC_SYNC": "false"}) == []
        origin = "environment of recollect mcp (process 1)"
        assert in_force(workspace)["AUTO_SYNC_INTERVAL"] == (60.0, origin)
        assert in_force(workspace)["USE_ASYNC_SYNC"] == (False, origin)
        workspace.auto_sync.clients.leave("recollect mcp (process 1)")
        assert workspace.settings.auto_sync_interval == 60.0
        workspace.configure_auto_sync({"max_concurrent": 2})
        assert workspace.settings.auto_sync_interval == 60.0
        assert workspace.configure_auto_sync({"sync_interval": 90}).config.sync_interval == 90.0  # type: ignore[union-attr]
    with Workspace(home) as workspace:
        assert workspace.settings.use_async_sync  # as long as that daemon ran


def test_scan_paths_of_a_client_are_searched_at_once(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    write(tmp_path / "src/one", {"a.py": "x = 1\n"})
    git(tmp_path / "src/one", "init", "-q")
    with Workspace(home) as workspace:
        assert enter(workspace, {"AUTO_SYNC_PATHS": "~/src"}) == []
        wait_until(lambda: workspace.auto_sync.status().synced_repos == 1)


@pytest.mark.parametrize("where", ["persisted", "environment", "config.toml", "another client"])
def test_what_is_set_elsewhere_stays_and_the_client_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "environment":
        monkeypatch.setenv("AUTO_SYNC_INTERVAL", "300")
    if where == "config.toml":
        (home / "config.toml").write_text("auto_sync_interval = 300\n")
    with Workspace(home) as workspace:
        if where == "persisted":
            workspace.configure_auto_sync({"sync_interval": 300})
        if where == "another client":
            assert enter(workspace, {"AUTO_SYNC_INTERVAL": "300"}, "recollect (process 7)") == []
        (note,) = enter(workspace, {"AUTO_SYNC_INTERVAL": "60"})
        assert "AUTO_SYNC_INTERVAL=60 in the environment of recollect mcp (process 1) is not in force" in note
        assert "the running daemon has 300" in note
        assert ("process 7" if where == "another client" else where) in note
        assert "recollect auto-sync config --sync-interval 60" in note
        assert workspace.settings.auto_sync_interval == 300.0
        (told,) = workspace.auto_sync.status().client_settings
        assert (told.name, told.wanted, told.in_force) == ("AUTO_SYNC_INTERVAL", "60", "300")
        assert note in [finding.message for finding in workspace.diagnose()]
        workspace.configure_auto_sync({"sync_interval": 60})  # as it said
        assert "process 1" not in str(workspace.auto_sync.status().client_settings)


def test_a_difference_is_told_as_long_as_its_client_is_there(home: Path) -> None:
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"max_concurrent": 5})
        enter(workspace, {"AUTO_SYNC_MAX_CONCURRENT": "2"})
        enter(workspace, {"AUTO_SYNC_MAX_CONCURRENT": "5"}, "the same (process 2)")
        assert len(workspace.auto_sync.status().client_settings) == 1
        workspace.auto_sync.clients.leave("recollect mcp (process 1)")
        assert workspace.auto_sync.status().client_settings == ()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"AUTO_SYNC_INTERVAL": "often"}, "AUTO_SYNC_INTERVAL = 'often'"),
        ({"AUTO_SYNC_MAX_CONCURRENT": "1000"}, "less than or equal to 64"),
        ({"AUTO_SYNC_PATHS": "/"}, "the whole file system is not searched"),
        ({"AUTO_SYNC_PATHS": "/usr"}, "recollect auto-sync config --path /usr"),
        ({"RECOLLECT_REDACT_SECRETS": "false"}, "put recollect_redact_secrets = false into config.toml"),
        ({"RECOLLECT_MEMORY_LIMIT": "300000000"}, "recollect daemon restart"),
    ],
)
def test_what_may_not_be_taken_over_is_told_and_changes_nothing(
    home: Path, values: Mapping[str, str], said: str
) -> None:
    with Workspace(home) as workspace:
        before = workspace.settings
        (note,) = enter(workspace, values)
        assert said in note
        assert workspace.settings == before


@pytest.mark.parametrize(
    "values",
    [
        {"NO_SETTING": "1", "PATH": "/bin", "auto_sync_colour": "x"},
        {"AUTO_SYNC_INTERVAL": 60, "AUTO_SYNC_PATHS": ["/"]},
        {},
    ],
)
def test_what_is_no_setting_or_no_text_is_ignored(home: Path, values: Mapping[str, str]) -> None:
    with Workspace(home) as workspace:
        assert enter(workspace, values) == []
        assert workspace.auto_sync.clients.adopted == {}


def test_no_client_switches_off_what_an_agent_has_configured(home: Path, make_repository: MakeRepository) -> None:
    with Workspace(home) as workspace:
        workspace.configure_auto_sync({"enabled": True})
        (note,) = enter(workspace, {"AUTO_SYNC_ENABLED": "false"})
        assert "recollect auto-sync config --disabled" in note
        assert workspace.auto_sync.status().running
