"""The installed command, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SHOP, MakeRepository, processes_of, wait_until, write

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(home: Path) -> Run:
    def recollect(
        *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "recollect", *arguments]
        return subprocess.run(
            command,
            cwd=cwd or home,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return recollect


def test_memories_go_through_pipes_and_replace_no_device(run: Run, tmp_path: Path) -> None:
    run("remember", "sessions are kept for thirty days – é")
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "target")
    to_pipe = [sys.executable, "-m", "recollect", "memory", "export", str(pipe)]
    with subprocess.Popen(to_pipe, stdout=subprocess.DEVNULL) as writing:
        received = pipe.read_text()
    assert writing.returncode == 0
    assert run("memory", "export", "-").stdout == run("memory", "export", "/dev/stdout").stdout == received
    assert json.loads(received)["content"] == "sessions are kept for thirty days – é"
    assert run("memory", "export", str(link)).returncode == 0
    assert (link.is_symlink(), pipe.is_fifo(), (tmp_path / "target").read_text()) == (True, True, received)
    changed = received.replace("thirty", "forty").encode()
    command = [sys.executable, "-m", "recollect", "memory", "import"]
    for source in ("-", "/dev/stdin"):
        done = subprocess.run([*command, source, "--json"], input=changed, capture_output=True, check=True, timeout=60)
        assert json.loads(done.stdout)["imported"] == (1 if source == "-" else 0)
    bad = subprocess.run([*command, "-"], input=b'{"content": "\xff"}', capture_output=True, check=False, timeout=60)
    assert (bad.returncode, b"line 1: not JSON" in bad.stderr) == (2, True)


def as_json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_repository_is_synced_searched_explained_and_forgotten(run: Run, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")
    synced = run("sync", cwd=root)
    assert synced.returncode == 0
    assert "7 files (7 new" in synced.stdout
    found = as_json(run("search", "total price of the cart", "--json", cwd=root))
    assert found["hits"][0]["path"] == "shop/cart.py"
    shown = run("search", "total price of the cart", "--explain", cwd=root / "shop")
    assert "shop/cart.py" in shown.stdout
    assert "lexical" in shown.stdout
    assert as_json(run("symbol", "Cart", "--json", cwd=root))["definitions"][0]["kind"] == "class"
    assert as_json(run("status", "--json", cwd=root))["state"] == "ready"
    assert "build" in run("why", "build/x.py", cwd=root).stdout
    assert [item["name"] for item in as_json(run("list", "--json"))["repositories"]] == ["shop"]
    assert as_json(run("cancel", "shop", "--json"))["status"] == "completed"
    assert as_json(run("forget", "shop", "--json"))["status"] == "forgotten"
    assert as_json(run("list", "--json"))["total"] == 0


def test_files_that_are_left_out_are_listed_with_the_reason(run: Run, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "a = 1\n", ".env": "KEY=1\n"})
    run("sync", cwd=root)
    lines = run("status", "--files", cwd=root).stdout
    assert "secret" in lines
    assert "a.py" in lines


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["search", ""], 2, "empty"),
        (["search"], 2, "query"),
        (["serch", "x"], 2, "search"),
        (["sync", "/"], 5, "whole file system"),
        (["sync", "/nowhere/at/all"], 2, "not there"),
        (["status", "nobody"], 2, "nobody"),
        (["forget", "nobody"], 2, "nobody"),
        (["search", "x", "--limit", "many"], 2, "--limit"),
        (["search", "x", "--all"], 2, "no repository is known"),
        (["daemon", "status"], 4, "no daemon"),
    ],
)
def test_mistakes_have_a_clear_message_and_their_exit_code(
    run: Run, arguments: list[str], code: int, said: str
) -> None:
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_are_json_too_where_json_was_asked_for(run: Run) -> None:
    done = run("search", "", "--json")
    assert json.loads(done.stdout)["error"]["code"] == "empty_query"


def test_a_bad_setting_is_named_and_nothing_starts(run: Run, home: Path) -> None:
    done = run("list", env={"RECOLLECT_WORKERS": "many"})
    assert done.returncode == 2
    assert "RECOLLECT_WORKERS" in done.stderr
    assert processes_of(home) == []


def test_settings_are_shown_with_their_origin(run: Run) -> None:
    rows = {row["name"]: row for row in as_json(run("config", "--json", env={"RECOLLECT_WORKERS": "3"}))}
    assert (rows["RECOLLECT_WORKERS"]["value"], rows["RECOLLECT_WORKERS"]["origin"]) == (3, "environment")


def test_the_daemon_starts_when_needed_and_stops_when_told(run: Run, home: Path) -> None:
    assert run("list").returncode == 0
    about = as_json(run("daemon", "status", "--json"))
    assert about["pid"] in processes_of(home)
    assert run("daemon", "stop").stdout == "stopped\n"
    wait_until(lambda: not processes_of(home))
    assert run("daemon", "stop").stdout == "not running\n"


def test_output_that_nobody_reads_is_no_failure(run: Run, make_repository: MakeRepository, home: Path) -> None:
    root = make_repository({f"f{i}.py": f"def shared_{i}(): pass\n" for i in range(50)})
    run("sync", cwd=root)
    command = f"{sys.executable} -m recollect search shared --limit 50 | head -n 1"
    done = subprocess.run(command, shell=True, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr


def test_an_interrupted_sync_exits_with_130_and_the_next_goes_on(run: Run, make_repository: MakeRepository) -> None:
    import signal

    root = make_repository({f"f{i}.py": f"def f_{i}(a):\n    return a + {i}\n\n" * 60 for i in range(1500)})
    run("daemon", "start")
    process = subprocess.Popen(
        [sys.executable, "-m", "recollect", "sync"], cwd=root, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    wait_until(lambda: json.loads(run("list", "--json").stdout)["total"])
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) in (130, 0)  # 0: it was faster
    write(root, {"last.py": "def written_at_last(): pass\n"})
    assert as_json(run("sync", "--json", cwd=root))["total_files"] == 1501
    assert as_json(run("search", "written_at_last", "--json", cwd=root))["hits"][0]["path"] == "last.py"


def test_the_shell_completes_names_of_repositories(run: Run, make_repository: MakeRepository) -> None:
    run("sync", cwd=make_repository(SHOP, "shop"))
    asked = {"_RECOLLECT_COMPLETE": "complete_bash", "COMP_WORDS": "recollect forget sh", "COMP_CWORD": "2"}
    assert run(env=asked).stdout.split() == ["shop"]


@pytest.mark.parametrize("command", [("search", "cart"), ("mcp", "--toolsets", "code"), ("hook", "session-start")])
def test_what_is_run_often_imports_nothing_heavy(
    run: Run, make_repository: MakeRepository, command: tuple[str, ...]
) -> None:
    root = make_repository(SHOP, "shop")
    run("sync", cwd=root)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "recollect", *command],
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "recollect" in imported
    assert not imported & {"numpy", "mcp", "starlette", "uvicorn", "tree_sitter", "rich", "tomlkit", "ruamel"}


def test_a_mistyped_word_is_answered_with_the_nearest(run: Run, make_repository: MakeRepository) -> None:
    run("sync", cwd=make_repository(SHOP, "shop"))
    for words, meant in ((("serch", "x"), "search"), (("memory", "lst"), "list"), (("status", "shp"), "shop")):
        done = run(*words)
        assert done.returncode == 2
        assert "Did you mean" in done.stderr
        assert meant in done.stderr
    done = run("search", "x", "--limt", "3")
    assert (done.returncode, "--limit" in done.stderr) == (2, True)
    assert "cursor" in run("install", "--agent", "curser").stderr


def test_what_agents_did_not_read_is_said_as_an_estimate(run: Run) -> None:
    assert "nothing yet" in run("savings").stderr
    assert as_json(run("savings", "--json"))["saved_tokens"] == 0


def test_agents_are_set_up_and_taken_back_from_the_command_line(run: Run, tmp_path: Path) -> None:
    user = tmp_path / "user"
    (user / ".cursor").mkdir(parents=True)
    env = {"HOME": str(user), "XDG_CONFIG_HOME": str(user / ".config"), "PATH": "/usr/bin:/bin"}
    assert "--yes" in run("install", env=env).stderr  # nobody can be asked
    shown = run("install", "--agent", "cursor", "--dry-run", env=env)
    assert '+    "recollect": {' in shown.stdout
    assert not (user / ".cursor" / "mcp.json").exists()
    done = as_json(run("install", "--yes", "--json", env=env))
    assert done["done"]
    assert {change["agent"] for change in done["changes"]} == {"cursor"}
    entry = json.loads((user / ".cursor" / "mcp.json").read_text())["mcpServers"]["recollect"]
    assert entry["env"]["RECOLLECT_HOME"]
    ready = subprocess.run(
        [entry["command"], *entry["args"]], input="", capture_output=True, text=True, timeout=60, check=False
    )
    assert ready.returncode == 0
    assert "set up already: cursor" in run("install", "--yes", env=env).stdout
    assert run("uninstall", "--yes", env=env).returncode == 0
    assert list((user / ".cursor").iterdir()) == []
    for said in ("claude", "VS Code", "gemini,qwen", "roo-code", "Claude Desktop", "copilot"):
        done = as_json(run("install", "--agent", said, "--dry-run", "--json", env=env))
        assert len({change["agent"] for change in done["changes"]}) == said.count(",") + 1
    listed = {one["name"]: one["here"] for one in as_json(run("install", "--list", "--json", env=env))}
    assert len(listed) >= 12
    assert listed["cursor"]


def test_agents_are_asked_what_they_see_and_a_bad_file_stops_no_other_agent(run: Run, tmp_path: Path) -> None:
    user, programs = tmp_path / "user", tmp_path / "programs"
    (user / ".gemini").mkdir(parents=True)
    (user / ".gemini" / "settings.json").write_text("[]")
    programs.mkdir()
    (programs / "claude").write_text(
        '#!/bin/sh\ngrep -q recollect "$CLAUDE_CONFIG_DIR/.claude.json" && echo "recollect: x - ✔ Connected"\n'
    )
    (programs / "claude").chmod(0o755)
    env = {
        "HOME": str(user),
        "CLAUDE_CONFIG_DIR": str(tmp_path / "moved"),
        "XDG_CONFIG_HOME": "",
        "PATH": f"{programs}:/usr/bin:/bin",
    }
    done = run("install", "--agent", "all", env=env)
    assert done.returncode == 1
    assert "Claude Code connects to it" in done.stdout
    assert "settings.json: it holds a list" in done.stderr
    assert '"mcpServers": {' in done.stderr  # what to write by hand
    again = run("install", "--agent", "claude-code", "--json", env=env)
    assert as_json(again)["checks"][0]["state"] == "connected"
    assert as_json(run("install", "--agent", "claude-code", "--no-check", "--json", env=env))["checks"] == []
    assert as_json(run("install", "--agent", "claude-code", "--dry-run", "--json", env=env))["checks"] == []


def test_status_outside_a_repository_is_that_of_all(run: Run, make_repository: MakeRepository, tmp_path: Path) -> None:
    assert "0 repositories" in run("status").stdout
    for name in ("one", "two"):
        run("sync", cwd=make_repository({**SHOP, "name.py": f"NAME = '{name}'\n"}, name))
    outside = tmp_path / "outside"
    outside.mkdir()
    assert "2 repositories, 16 files" in run("status", cwd=outside).stdout
    assert as_json(run("status", "--json", cwd=outside))["auto_sync"]["enabled"]
    history = run("status", "--history", cwd=outside).stdout
    assert "one: completed, 8 new" in history
    assert "two: completed, 8 new" in history


def test_windows_is_told_plainly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from recollect.__main__ import main

    monkeypatch.setattr(sys, "platform", "win32")
    assert main() == 5
    assert "WSL" in capsys.readouterr().err


def test_what_did_the_same_before_is_named_and_memories_can_be_brought_along(run: Run, tmp_path: Path) -> None:
    user = tmp_path / "user"
    (user / ".local/share/mcp-memory").mkdir(parents=True)
    (user / ".local/share/mcp-memory/sqlite_vec.db").write_bytes(b"")
    servers = {
        "claude-context": {"command": "npx", "args": ["@zilliz/claude-context-mcp"]},
        "memory": {"command": "mcp-memory-service"},
    }
    (user / ".claude.json").write_text(json.dumps({"mcpServers": servers}))
    env = {"HOME": str(user), "XDG_CONFIG_HOME": str(user / ".config"), "PATH": "/usr/bin:/bin"}
    said = run("install", "--yes", env=env).stderr
    assert "Claude Code has claude-context" in said
    assert "Claude Code has memory" in said
    assert "recollect memory import" in said
    assert set(json.loads((user / ".claude.json").read_text())["mcpServers"]) == {*servers, "recollect"}
    nothing = {**env, "HOME": str(tmp_path / "nobody"), "XDG_CONFIG_HOME": str(tmp_path / "nobody")}
    assert "no coding agent was found" in run("install", "--yes", env=nothing).stdout


def in_a_terminal(home: Path, *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What a command prints where stdout and stderr are a terminal."""
    import pty

    main, side = pty.openpty()
    given = (
        {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        | {"TERM": "xterm-256color"}
        | (env or {})
    )
    started = subprocess.Popen(
        [sys.executable, "-m", "recollect", *arguments],
        cwd=cwd or home,
        env=given,
        stdin=side,
        stdout=side,
        stderr=side,
    )
    os.close(side)
    said = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(main)
    assert started.wait(timeout=60) == 0, said
    return said.decode(errors="replace")


def test_colours_and_bars_are_for_terminals_that_want_them(
    home: Path, run: Run, make_repository: MakeRepository, tmp_path: Path
) -> None:
    for number in range(3):
        files = {f"m{i}.py": f"def f{number}_{i}(): pass\n" for i in range(60)}
        run("sync", cwd=make_repository(files, f"r{number}"))
    coloured = in_a_terminal(home, "sync", "--all", "--full")
    assert "\x1b[" in coloured
    assert "%" in coloured  # the bar
    plain = in_a_terminal(home, "list", env={"NO_COLOR": "1"})
    assert "r2" in plain
    assert "\x1b[" not in plain
    piped = run("sync", "--all", "--full", env={"NO_COLOR": ""})
    assert piped.stderr == ""
    assert "\x1b[" not in piped.stdout
    assert piped.stdout.count("completed") == 3


def test_what_others_wrote_gives_a_terminal_no_orders(run: Run, make_repository: MakeRepository) -> None:
    hostile = "\x1b]0;title\x07 \x9b2J \x1bc \x7f"
    root = make_repository({f"a{chr(27)}]52;c;eA==.py": f'def zebra():\n    """{hostile}"""\n', "b.py": "x = 1\n"})
    shown = [
        run("search", "zebra", str(root)),
        run("symbol", "zebra", str(root)),
        run("map", str(root)),
        run("remember", f"zebra {hostile}", cwd=root),
        run("recall", "zebra", cwd=root),
        run("symbol", f"zebra{hostile}", str(root)),  # not found: it says so
    ]
    assert all("zebra" in done.stdout + done.stderr or done.returncode == 0 for done in shown)
    text = "".join(done.stdout + done.stderr for done in shown)
    assert "\u241b]0;title\u2407" in text
    assert not set(text) & {chr(code) for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
    found = as_json(run("search", "zebra", str(root), "--json"))["hits"][0]
    assert hostile in found["snippet"]  # data stays what it is
