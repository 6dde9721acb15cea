"""Setting agents up on machines as people have them: moved folders, odd files, edits of their own."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from recollect.agents import documents, install, listing, status
from recollect.agents.known import Agent, Places, agents
from tests.agents import COMMAND, chosen, set_up, take_back, tree

NEWER = ["/opt/newer/bin/recollect"]


def moved(home: Path, name: str, **variables: str) -> Agent:
    places = Places.of({"HOME": str(home), **variables}, "linux")
    return next(agent for agent in agents(places) if agent.name == name)


def put(home: Path, name: str, content: str | bytes) -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# -- their edits of our own entry --------------------------------------------------------------------------------------


def test_what_somebody_changed_in_our_entry_survives_an_update(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    set_up(home, data, ["claude-code", "codex", "goose", "opencode", "continue"])
    claude, codex = home / ".claude.json", home / ".codex" / "config.toml"
    goose, opencode = home / ".config" / "goose" / "config.yaml", home / ".config" / "opencode" / "opencode.json"
    whole = json.loads(claude.read_text())
    whole["mcpServers"]["recollect"].update(alwaysAllow=["search_code"], disabled=True, env={"MINE": "1"})
    whole["mcpServers"]["recollect"]["args"] = ["mcp", "--toolsets", "code"]
    claude.write_text(json.dumps(whole, indent=2))
    with codex.open("a") as file:
        file.write(
            'startup_timeout_sec = 90 # mine\n\n[mcp_servers.recollect.tools.search_code]\napproval_mode = "approve"\n'
        )
    goose.write_text(goose.read_text().replace("timeout: 300", "timeout: 7  # mine"))
    opencode.write_text(opencode.read_text().replace("true", "false"))
    made = install.plan(chosen(home, None), NEWER, {"RECOLLECT_HOME": "/d"}, data, force=False)
    install.apply(made, data)
    assert json.loads(claude.read_text())["mcpServers"]["recollect"] == {
        "type": "stdio",
        "command": NEWER[0],
        "args": ["mcp", "--toolsets", "code"],
        "env": {"MINE": "1", "RECOLLECT_HOME": "/d"},
        "alwaysAllow": ["search_code"],
        "disabled": True,
    }
    assert tomllib.loads(codex.read_text())["mcp_servers"]["recollect"] == {
        "command": NEWER[0],
        "args": ["mcp"],
        "env": {"RECOLLECT_HOME": "/d"},
        "startup_timeout_sec": 90,
        "tools": {"search_code": {"approval_mode": "approve"}},
    }
    assert "# mine" in codex.read_text()
    assert "timeout: 7  # mine" in goose.read_text()
    assert json.loads(opencode.read_text())["mcp"]["recollect"]["enabled"] is False
    take_back(home, data)
    left = tree(home)
    assert not any(b"recollect" in content for content in left.values()), left


def test_instructions_that_somebody_rewrote_stay_until_they_are_forced(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    set_up(home, data, ["codex"])
    path = home / ".codex" / "AGENTS.md"
    path.write_text(path.read_text().replace("At the start of a task", "At the start of each hard task"))
    assert not set_up(home, data, ["codex"]).changes
    made = install.plan(chosen(home, ["codex"]), COMMAND, {}, data, force=True)
    install.apply(made, data)
    assert "each hard task" not in path.read_text()


def test_a_marker_that_stands_alone_swallows_nothing(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    text = f"# Mine\n{documents.BEGIN}\nold\n\n# Also mine\n"
    path = put(home, ".codex/AGENTS.md", text)
    made = set_up(home, data, ["codex"])
    assert "marker" in made.problems[0][1]
    assert path.read_text() == text
    path.write_text(text.replace(documents.BEGIN, "") + f"\n{documents.BEGIN}\nx\n{documents.END}\n{documents.BEGIN}\n")
    assert "marker" in take_back(home, data, ["codex"]).problems[0][1]


def test_approvals_without_a_server_are_completed(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    path = put(home, ".codex/config.toml", '[mcp_servers.recollect.tools.search_code]\napproval_mode = "approve"\n')
    assert not set_up(home, data, ["codex"]).problems
    assert tomllib.loads(path.read_text())["mcp_servers"]["recollect"] == {
        "command": COMMAND[0],
        "args": ["mcp"],
        "tools": {"search_code": {"approval_mode": "approve"}},
    }
    take_back(home, data, ["codex"])
    assert "command" not in path.read_text()


def test_an_entry_that_starts_it_through_another_program_is_its_owners(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    text = '{"mcpServers": {"recollect": {"command": "uvx", "args": ["recollect", "mcp"]}}}'
    path = put(home, ".cursor/mcp.json", text)
    assert not set_up(home, data, ["cursor"]).problems
    assert path.read_text() == text
    take_back(home, data, ["cursor"])
    assert path.read_text() == text


def test_a_server_that_was_replaced_by_force_comes_back(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    path = put(home, ".cursor/mcp.json", '{"mcpServers": {"recollect": {"command": "another"}}}\n')
    install.apply(install.plan(chosen(home, ["cursor"]), COMMAND, {}, data, force=True), data)
    assert json.loads(path.read_text())["mcpServers"]["recollect"]["command"] == COMMAND[0]
    path.write_text(path.read_text() + "\n")  # an edit, so that the copy is not put back as it is
    take_back(home, data, ["cursor"])
    assert json.loads(path.read_text()) == {"mcpServers": {"recollect": {"command": "another"}}}


def test_what_an_older_version_wrote_is_brought_up_to_date_and_goes_with_the_rest(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    old = "RECOLLECT_HOME='/d a' /old/bin/python3.12 -m recollect hook session-start --agent claude-code"
    hook = {"type": "command", "command": old, "timeout": 33}
    whole: dict[str, Any] = {"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "x"}, hook]}]}}
    path = put(home, ".claude/settings.json", json.dumps(whole, indent=1))
    set_up(home, data, ["claude-code"])
    found = json.loads(path.read_text())["hooks"]["SessionStart"]
    assert found == [
        {
            "hooks": [
                {"type": "command", "command": "x"},
                {
                    "type": "command",
                    "command": f"RECOLLECT_HOME='/d a' {COMMAND[0]} hook session-start --agent claude-code",
                    "timeout": 33,
                },
            ]
        }
    ]
    take_back(home, data, ["claude-code"])
    assert json.loads(path.read_text()) == {
        "hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "x"}]}]}
    }


# -- copies ------------------------------------------------------------------------------------------------------------


def test_a_copy_is_made_before_each_change_and_their_number_is_bounded(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    path = put(home, ".cursor/mcp.json", '{"first": 1}\n')
    set_up(home, data, ["cursor"])
    for number in range(15):
        path.write_text(json.dumps({**json.loads(path.read_text()), "number": number}))
        command = [f"/opt/{number}/recollect"]
        install.apply(install.plan(chosen(home, ["cursor"]), command, {}, data, force=False), data)
    copies = [copy.read_text() for copy in (data / "backups" / "agents").glob("*mcp.json")]
    assert len(copies) == 11
    assert '{"first": 1}\n' in copies
    assert any('"number": 14' in text for text in copies)
    before = path.read_text()
    take_back(home, data, ["cursor"])
    assert before in [copy.read_text() for copy in (data / "backups" / "agents").glob("*mcp.json")]


# -- moved folders -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variable", "file"),
    [
        ("claude-code", "CLAUDE_CONFIG_DIR", ".claude.json"),
        ("codex", "CODEX_HOME", "config.toml"),
        ("gemini-cli", "GEMINI_CLI_HOME", ".gemini/settings.json"),
        ("qwen-code", "QWEN_HOME", "settings.json"),
        ("copilot-cli", "COPILOT_HOME", "mcp-config.json"),
        ("opencode", "OPENCODE_CONFIG_DIR", "opencode.json"),
        ("opencode", "OPENCODE_CONFIG", ""),
        ("opencode", "XDG_CONFIG_HOME", "opencode/opencode.json"),
        ("cline-cli", "CLINE_DIR", "data/settings/cline_mcp_settings.json"),
        ("cline-cli", "CLINE_DATA_DIR", "settings/cline_mcp_settings.json"),
        ("goose", "GOOSE_PATH_ROOT", "config/config.yaml"),
        ("continue", "CONTINUE_GLOBAL_DIR", "config.yaml"),
        ("kiro", "KIRO_HOME", "settings/mcp.json"),
        ("crush", "CRUSH_GLOBAL_CONFIG", "crush.json"),
        ("amp", "AMP_SETTINGS_FILE", ""),
        ("vscode", "VSCODE_PORTABLE", "user-data/User/mcp.json"),
        ("vscode", "VSCODE_APPDATA", "Code/User/mcp.json"),
    ],
)
def test_an_agents_own_variable_says_where_its_files_lie(tmp_path: Path, name: str, variable: str, file: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    assert moved(tmp_path, name, **{variable: str(elsewhere)}).file == elsewhere / file
    assert moved(tmp_path, name, **{variable: " "}).file == moved(tmp_path, name).file
    assert moved(tmp_path, name, **{variable: "~/x"}).file in (tmp_path / "x" / file, moved(tmp_path, name).file)


def test_all_files_of_an_agent_move_with_its_folder(tmp_path: Path) -> None:
    agent = moved(tmp_path, "claude-code", CLAUDE_CONFIG_DIR=str(tmp_path / "c"))
    install.apply(install.plan([agent], COMMAND, {}, tmp_path / "data", force=False), tmp_path / "data")
    assert sorted(tree(tmp_path / "c")) == [".claude.json", "CLAUDE.md", "settings.json"]
    assert not (tmp_path / ".claude").exists()


def test_what_was_written_elsewhere_is_not_forgotten(tmp_path: Path) -> None:
    data = tmp_path / "data"
    there = moved(tmp_path, "codex", CODEX_HOME=str(tmp_path / "c"))
    install.apply(install.plan([there], COMMAND, {}, data, force=False), data)
    made = install.plan_removal([moved(tmp_path, "codex")], data)
    assert str(tmp_path / "c" / "config.toml") in made.problems[-1][1] + made.problems[1][1]
    install.apply_removal(made, data)
    made = install.plan_removal([there], data)
    assert not made.problems
    install.apply_removal(made, data)
    assert not tree(tmp_path / "c")


def test_a_relative_folder_is_the_one_below_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert moved(Path("/h"), "codex", CODEX_HOME="rel/c").file == tmp_path / "rel" / "c" / "config.toml"


def test_a_variable_that_names_a_file_is_refused_by_name(tmp_path: Path) -> None:
    file = put(tmp_path, "file", "x")
    agent = moved(tmp_path, "codex", CODEX_HOME=str(file))
    made = install.plan([agent], COMMAND, {}, tmp_path / "data", force=False)
    assert f"CODEX_HOME={file}" in made.problems[0][1]
    assert "is a file where a folder should be" in made.problems[0][1]
    assert "[mcp_servers.recollect]" in made.problems[0][1]  # the way out, in that file's own format


def test_programs_are_looked_for_on_the_path_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = put(tmp_path, "codex", "#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{os.curdir}:")
    assert not moved(tmp_path / "home", "codex").is_here()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert moved(tmp_path / "home", "codex").is_here()


# -- odd files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file", "content", "said"),
    [
        ("claude-code", ".claude/settings.json", "[]", "holds a list"),
        ("claude-code", ".claude/settings.json", '{"hooks": []}', "its hooks are no table"),
        ("claude-code", ".claude/settings.json", '{"hooks": {"SessionStart": {}}}', "SessionStart are no list"),
        ("claude-code", ".claude/settings.json", "null", "holds null"),
        ("cursor", ".cursor/mcp.json", '{"mcpServers": []}', "mcpServers holds a list"),
        ("cursor", ".cursor/mcp.json", '"text"', "holds a text"),
        ("cursor", ".cursor/mcp.json", '{"mcpServers": {', "is not JSON"),
        ("cursor", ".cursor/mcp.json", "[" * 100_000, "nested too deeply"),
        ("cursor", ".cursor/mcp.json", '{"mcpServers": {}}'.encode("utf-16"), "UTF-16"),
        ("cursor", ".cursor/mcp.json", b'{"a": "\xff"}', "is not UTF-8"),
        ("cursor", ".cursor/mcp.json", b" " * 50_000_000, "50 MB"),
        ("codex", ".codex/config.toml", "mcp_servers = []", "mcp_servers holds a list"),
        ("codex", ".codex/config.toml", "a = 1\na = 2\n", "is not TOML"),
        ("codex", ".codex/config.toml", "x = " + "[" * 20_000, "is not TOML"),
        ("goose", ".config/goose/config.yaml", "extensions:\n- a\n", "extensions holds a list"),
        ("goose", ".config/goose/config.yaml", "- a\n", "holds a list"),
        ("goose", ".config/goose/config.yaml", "a: [", "is not YAML"),
        ("goose", ".config/goose/config.yaml", "extensions: {}\nextensions: {}\n", "twice"),
        ("continue", ".continue/config.yaml", "mcpServers: {}\n", "mcpServers holds a table"),
    ],
)
def test_what_cannot_be_changed_is_named_and_others_are_set_up(
    tmp_path: Path, name: str, file: str, content: str | bytes, said: str
) -> None:
    home = tmp_path / "home"
    path = put(home, file, content)
    before = path.read_bytes()
    made = set_up(home, tmp_path / "data", [name, "zed"])
    assert [problem[0] for problem in made.problems] == [name]
    assert said in made.problems[0][1]
    assert str(path) in made.problems[0][1]
    assert path.read_bytes() == before
    assert "recollect" in (home / ".config" / "zed" / "settings.json").read_text()
    take_back(home, tmp_path / "data")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (".claude/settings.json", '{"hooks": null}'),
        (".claude/settings.json", '{"hooks": {"SessionStart": null}}'),
        (".claude/settings.json", '{"hooks": {"SessionStart": ["odd", {"hooks": "odd"}, {"hooks": []}, null]}}'),
        (".claude/settings.json", ""),
        (".claude/settings.json", "// nothing yet"),
        (".claude.json", '\ufeff{"mcpServers": null}'),
        (".claude.json", '{"mcpServers": {}, "a": 1, "mcpServers": {"x": {}}}'),
        (".claude.json", '{"mcpServers": {"x": {}, /* mine */}, } // end'),
    ],
)
def test_odd_but_clear_files_are_changed_and_come_back(tmp_path: Path, file: str, content: str) -> None:
    home = tmp_path / "home"
    path = put(home, file, content)
    assert not set_up(home, tmp_path / "data", ["claude-code"]).problems
    assert "recollect" in path.read_text()
    assert not set_up(home, tmp_path / "data", ["claude-code"]).changes
    take_back(home, tmp_path / "data", ["claude-code"])
    assert tree(home) == {file: content.encode()}


def test_what_is_no_file_or_protected_is_named(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    (home / ".cursor" / "mcp.json").mkdir(parents=True)
    (home / ".codex").mkdir()
    os.mkfifo(home / ".codex" / "config.toml")
    put(home, ".qwen/settings.json", "{}").chmod(0o444)
    (home / ".kiro" / "settings").mkdir(parents=True)
    (home / ".kiro" / "settings").chmod(0o555)
    (home / ".gemini").mkdir()
    (home / ".gemini" / "settings.json").symlink_to(tmp_path / "not-mounted" / "settings.json")
    made = set_up(home, data, ["cursor", "codex", "qwen-code", "kiro", "gemini-cli", "zed"])
    said = dict(made.problems)
    (home / ".kiro" / "settings").chmod(0o755)
    assert "there is a folder of this name" in said["cursor"]
    assert "a device or a pipe" in said["codex"]
    assert "read-only" in said["qwen-code"]
    assert "read-only" in said["kiro"]
    assert "whose folder is not there" in said["gemini-cli"]
    assert {change.agent for change in made.changes} == {"zed"}


def test_links_hard_links_and_links_to_what_is_not_there_yet_are_written_through(tmp_path: Path) -> None:
    home, data, dotfiles = tmp_path / "home", tmp_path / "data", tmp_path / "dotfiles"
    put(dotfiles, "agents.md", "# All agents\n")
    put(dotfiles, "hooks.json", "{}")
    (home / ".cursor").mkdir(parents=True)
    (home / ".claude").mkdir()
    (home / ".codex").mkdir()
    (home / ".cursor" / "mcp.json").symlink_to(dotfiles / "mcp.json")
    os.link(dotfiles / "hooks.json", home / ".cursor" / "hooks.json")
    for folder, name in ((".claude", "CLAUDE.md"), (".codex", "AGENTS.md")):
        (home / folder / name).symlink_to(dotfiles / "agents.md")
    made = set_up(home, data, ["cursor", "claude-code", "codex"])
    assert not made.problems
    assert "recollect" in (dotfiles / "mcp.json").read_text()
    assert "recollect" in (dotfiles / "hooks.json").read_text()
    assert (dotfiles / "agents.md").read_text().count(documents.BEGIN) == 1
    take_back(home, data, ["codex"])
    assert documents.BEGIN in (dotfiles / "agents.md").read_text()  # Claude Code reads it, too
    take_back(home, data, ["claude-code", "cursor"])
    assert tree(dotfiles) == {"agents.md": b"# All agents\n", "hooks.json": b"{}"}
    assert all(path.is_symlink() for path in (home / ".claude" / "CLAUDE.md", home / ".cursor" / "mcp.json"))


def test_folders_that_were_made_go_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    set_up(home, tmp_path / "data", ["claude-code", "cline"])
    take_back(home, tmp_path / "data", ["claude-code", "cline"])
    assert list(home.rglob("*")) == []


# -- what the agents say -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "state"),
    [
        ("recollect: /opt/recollect mcp - \x1b[32m✔ Connected\x1b[0m\n", "connected"),
        ("●  ✓ recollect \x1b[90mconnected\n│      /opt/recollect mcp\n", "connected"),
        ("\x1b[31m✗\x1b[0m recollect: /opt/recollect mcp (stdio) - Disconnected\n", "failed"),
        ("recollect: /opt/recollect mcp - ✘ Failed to connect\n", "failed"),
        ("Name  Command\nrecollect  /opt/recollect  mcp  enabled\n", "listed"),
        ("User servers:\n  recollect (local)\n", "listed"),
        ("folder is untrusted.\n○ recollect: /opt/recollect mcp (stdio) - Disabled\n", "disabled"),
        ("other: /opt/recollect mcp - ✔ Connected\n", "unseen"),
        ("recollect-old: x - ✔ Connected\n", "unseen"),
        ("No MCP servers configured\n", "unseen"),
    ],
)
def test_an_agents_list_is_understood(printed: str, state: str) -> None:
    assert listing.state_in(printed)[0] == state


def test_agents_are_asked_with_a_time_limit_and_whatever_they_do_it_is_only_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = {
        "claude": '#!/bin/sh\n[ "$1 $2" = "mcp list" ] && echo "recollect: $RECOLLECT_HOME - ✔ Connected"\n',
        "codex": "#!/bin/sh\necho broken >&2\nexit 3\n",
        "gemini": "#!/bin/sh\nsleep 600 & wait\n",
        "qwen": "#!/bin/sh\nprintf 'No servers'\n",
        "copilot": "no program",
    }
    for name, text in programs.items():
        put(tmp_path / "bin", name, text).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("RECOLLECT_HOME", "/d")
    sights = listing.ask(chosen(tmp_path), tmp_path, limit_s=2)
    assert {sight.agent: sight.state for sight in sights} == {
        "claude-code": "connected",
        "codex": "silent",
        "gemini-cli": "silent",
        "qwen-code": "unseen",
        "copilot-cli": "silent",
    }
    assert all(sight.title in sight.sentence() for sight in sights)


def test_doctor_knows_how_each_agent_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    home, data = tmp_path / "home", tmp_path / "data"
    program = put(tmp_path, "bin/recollect", "#!/bin/sh\n")
    program.chmod(0o755)
    for folder in (".claude", ".codex", ".cursor", ".qwen"):
        (home / folder).mkdir(parents=True)
    install.apply(install.plan(chosen(home, ["claude-code"]), [str(program)], {}, data, force=False), data)
    set_up(home, data, ["codex"])
    put(home, ".qwen/settings.json", "[")
    put(data, "clients.json", json.dumps({"claude-code": 5.0, "claude-code-beta": 7.0}))
    found = {one.name: one for one in status.statuses(chosen(home), data)}
    assert sorted(found) == ["claude-code", "codex", "cursor", "qwen-code"]
    assert (found["claude-code"].installed, found["claude-code"].connected) == (True, True)
    assert found["claude-code"].last_seen_at == 7.0
    assert found["claude-code"].hooks == ("SessionStart", "PreCompact", "SessionEnd")
    assert not found["codex"].connected
    levels = {name: status.finding(one).level for name, one in found.items()}
    assert levels == {"claude-code": "ok", "codex": "problem", "cursor": "note", "qwen-code": "note"}
    assert COMMAND[0] in status.finding(found["codex"]).message
