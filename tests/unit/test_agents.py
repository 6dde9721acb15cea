"""Setting agents up changes what it must and nothing else, and can be taken back exactly."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from recollect.agents import documents, files, install, jsonc
from recollect.errors import UserError
from tests.agents import AFTER, BEFORE, COMMAND, chosen, copied, places, set_up, take_back, tree


def test_all_agents_are_set_up_as_the_golden_files_say(tmp_path: Path) -> None:
    home = copied(tmp_path / "home")
    made = set_up(home, tmp_path / "data")
    assert not made.problems
    assert tree(home) == tree(AFTER)


def test_setting_up_twice_changes_nothing(tmp_path: Path) -> None:
    home = copied(tmp_path / "home")
    set_up(home, tmp_path / "data")
    assert not set_up(home, tmp_path / "data").changes
    assert tree(home) == tree(AFTER)


def test_taking_back_restores_every_byte(tmp_path: Path) -> None:
    home = copied(tmp_path / "home")
    set_up(home, tmp_path / "data")
    take_back(home, tmp_path / "data")
    assert tree(home) == tree(BEFORE)
    assert not take_back(home, tmp_path / "data").changes


@pytest.mark.parametrize("name", [agent.name for agent in chosen(Path("/nowhere"))])
def test_one_agent_alone_is_set_up_and_taken_back(tmp_path: Path, name: str) -> None:
    home, data = copied(tmp_path / "home"), tmp_path / "data"
    made = set_up(home, data, [name])
    assert {change.agent for change in made.changes} == {name}
    agent = chosen(home, [name])[0]
    entry = documents.entry(agent.kind, agent.file.read_text(), agent.path)
    assert "recollect" in json.dumps(entry)
    take_back(home, data, [name])
    assert tree(home) == tree(BEFORE)


@pytest.mark.parametrize("name", [agent.name for agent in chosen(Path("/nowhere"))])
def test_an_empty_machine_is_left_empty(tmp_path: Path, name: str) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    home.mkdir()
    assert set_up(home, data, [name]).changes
    take_back(home, data, [name])
    assert tree(home) == {}


def test_what_was_changed_since_stays_when_it_is_taken_back(tmp_path: Path) -> None:
    home, data = copied(tmp_path / "home"), tmp_path / "data"
    set_up(home, data)
    edits = {
        ".claude.json": ('"numStartups": 3', '"numStartups": 4'),
        ".codex/config.toml": ('theme = "dark"', 'theme = "light"'),
        ".config/goose/config.yaml": ("GOOSE_MODEL: ", "GOOSE_NAME: "),
        ".config/zed/settings.json": ("One Dark", "One Light"),
        ".codex/AGENTS.md": ("- be brief", "- be very brief"),
        ".claude/settings.json": ("good morning", "good evening"),
        ".config/opencode/opencode.jsonc": ("that I use", "that we use"),
        ".config/Code/User/mcp.json": ("mcp-server-fetch", "mcp-server-get"),
        ".continue/config.yaml": ("provider: b", "provider: c"),
        ".cursor/mcp.json": ('"mcpServers": {', '"mcpServers": {\n    "mine": {"command": "m"},'),
        ".gemini/settings.json": ("echo hi", "echo ho"),
        ".config/amp/settings.json": ("true", "false"),
    }
    for path, (old, new) in edits.items():
        text = (home / path).read_text()
        assert old in text
        (home / path).write_text(text.replace(old, new))
    take_back(home, data)
    expected = tree(BEFORE)
    for path, (old, new) in edits.items():
        expected[path] = expected[path].replace(old.encode(), new.encode())
    expected[".cursor/mcp.json"] = b'{\n  "mcpServers": {\n    "mine": {"command": "m"}\n  }\n}\n'
    assert tree(home) == expected


def test_setting_up_again_after_an_edit_does_not_lose_the_edit_later(tmp_path: Path) -> None:
    home, data = copied(tmp_path / "home"), tmp_path / "data"
    set_up(home, data)
    path = home / ".claude.json"
    path.write_text(path.read_text().replace("opt/recollect", "opt/older").replace(": 3", ": 9"))
    assert set_up(home, data).changes
    take_back(home, data)
    assert json.loads(path.read_text())["numStartups"] == 9
    assert "recollect" not in path.read_text()


def test_a_server_of_that_name_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    home = copied(tmp_path / "home")
    path = home / ".cursor" / "mcp.json"
    path.write_text('{"mcpServers": {"recollect": {"command": "another"}}}')
    made = set_up(home, tmp_path / "data", ["cursor"])
    assert made.problems[0][0] == "cursor"
    assert "--force" in made.problems[0][1]
    assert path.read_text() == '{"mcpServers": {"recollect": {"command": "another"}}}'
    assert not (home / ".cursor" / "hooks.json").exists()  # all of an agent, or nothing


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cursor", '{"mcpServers": {'),
        ("cursor", '{"mcpServers": []}'),
        ("cursor", "[1, 2]"),
        ("codex", "[mcp_servers\n"),
        ("codex", 'mcp_servers = "none"\n'),
        ("goose", "extensions: [\n"),
        ("goose", "extensions: none\n"),
    ],
)
def test_a_file_that_cannot_be_understood_is_not_touched(tmp_path: Path, name: str, text: str) -> None:
    home = tmp_path / "home"
    agent = chosen(home, [name])[0]
    agent.file.parent.mkdir(parents=True)
    agent.file.write_text(text)
    made = set_up(home, tmp_path / "data", [name])
    assert [problem[0] for problem in made.problems] == [name]
    assert "By hand" in made.problems[0][1]
    assert tree(home) == {str(agent.file.relative_to(home)): text.encode()}


def test_a_linked_file_stays_a_link_and_keeps_its_mode(tmp_path: Path) -> None:
    home, dotfiles = tmp_path / "home", tmp_path / "dotfiles"
    shutil.copytree(BEFORE / ".cursor", dotfiles)
    (dotfiles / "mcp.json").chmod(0o640)
    home.mkdir()
    (home / ".cursor").mkdir()
    (home / ".cursor" / "mcp.json").symlink_to(dotfiles / "mcp.json")
    set_up(home, tmp_path / "data", ["cursor"])
    assert (home / ".cursor" / "mcp.json").is_symlink()
    assert "recollect" in (dotfiles / "mcp.json").read_text()
    assert (dotfiles / "mcp.json").stat().st_mode & 0o777 == 0o640


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(UserError, match="not a file"):
        files.write(tmp_path / "link", "{}")
    assert (tmp_path / "pipe").is_fifo()


def test_a_file_that_changed_between_plan_and_writing_is_not_overwritten(tmp_path: Path) -> None:
    home = copied(tmp_path / "home")
    made = install.plan(chosen(home, ["cursor"]), COMMAND, {}, tmp_path / "data", force=False)
    (home / ".cursor" / "mcp.json").write_text("{}")
    failed = install.apply(made, tmp_path / "data")
    assert [(agent, "changed meanwhile" in said) for agent, said in failed] == [("cursor", True)]
    assert (home / ".cursor" / "mcp.json").read_text() == "{}"


def test_copies_are_for_the_owner_alone(tmp_path: Path) -> None:
    home = copied(tmp_path / "home")
    set_up(home, tmp_path / "data")
    copies = list((tmp_path / "data" / "backups" / "agents").iterdir())
    assert copies
    assert all(path.stat().st_mode & 0o077 == 0 for path in copies)


def test_a_data_directory_of_ones_own_is_handed_on(tmp_path: Path) -> None:
    made = install.plan(chosen(tmp_path, ["cursor"]), COMMAND, {"RECOLLECT_HOME": "/d a"}, tmp_path / "x", force=False)
    texts = {change.path.name: change.after or "" for change in made.changes}
    assert json.loads(texts["mcp.json"])["mcpServers"]["recollect"]["env"] == {"RECOLLECT_HOME": "/d a"}
    assert "RECOLLECT_HOME='/d a' /opt" in texts["hooks.json"]


def test_the_instructions_of_a_project_go_to_agents_md_and_back(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "CLAUDE.md").write_text("# Project\n")
    install.apply(install.plan_project(folder), tmp_path / "data")
    assert documents.BEGIN in (folder / "AGENTS.md").read_text()
    assert (folder / "CLAUDE.md").read_text().startswith("# Project\n\n<!-- recollect")
    assert not install.plan_project(folder).changes
    install.apply_removal(install.plan_removal([], tmp_path / "data", project=folder), tmp_path / "data")
    assert tree(folder) == {"CLAUDE.md": b"# Project\n"}


def test_the_places_of_macos_are_its_own() -> None:
    found = places(Path("/Users/me"))
    assert str(found.applications) == "/Users/me/.config"
    mac = documents and type(found).of({"HOME": "/Users/me"}, "darwin")
    assert str(mac.applications) == "/Users/me/Library/Application Support"


@pytest.mark.parametrize("text", ['{"a": }', '{"a" 1}', "{", '{"a": 1} x', '{"a": nul}', "{'a': 1}"])
def test_what_is_no_json_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(jsonc.BadJson):
        jsonc.parse(text)
