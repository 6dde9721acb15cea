"""Background work from outside: the commands, the tools, twenty clients in a storm, and what is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mcp import Client

from recollect import client
from tests.conftest import MakeRepository, git, processes_of, wait_until, write
from tests.e2e.test_mcp import with_client


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "recollect", *arguments]
    return subprocess.run(
        command,
        cwd=cwd or os.environ["HOME"],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def repositories(folder: Path, count: int) -> Path:
    for number in range(count):
        write(folder / f"r{number}", {"a.py": f"def of_{number}(): pass\n"})
        git(folder / f"r{number}", "init", "-q")
    return folder


def test_the_commands_of_auto_sync(home: Path, tmp_path: Path) -> None:
    place = repositories(tmp_path / "src", 3)
    assert "none" in run("auto-sync", "status").stdout
    assert "proposes" in run("auto-sync", "scan").stderr
    (Path(os.environ["HOME"]) / "src").mkdir(exist_ok=True)
    assert "src" in run("auto-sync", "scan", "--suggest").stdout
    changed = run(
        "auto-sync",
        "config",
        "-p",
        str(place),
        "-e",
        "vendor",
        "--sync-interval",
        "60",
        "--max-concurrent",
        "2",
        "--json",
    )
    config = json.loads(changed.stdout)["config"]
    assert (config["scan_paths"], config["exclude_patterns"], config["sync_interval"]) == (
        [str(place)],
        ["vendor"],
        60.0,
    )
    assert json.loads(run("auto-sync-config", "--json").stdout)["config"]["max_concurrent"] == 2
    wait_until(lambda: json.loads(run("auto-sync", "status", "--json").stdout)["synced_repos"] == 3)
    assert str(place) in run("auto-sync-paths").stdout
    assert "3 repositories found" in run("auto-sync-scan").stdout
    assert run("auto-sync", "pause").stdout.strip() == "auto-sync is paused"
    assert "paused already" in run("auto-sync", "pause").stderr
    status = run("auto-sync", "status").stdout
    assert "of at most 2 run" in status
    assert "every 60 s, watched ones too" in status
    assert "every 3600 s, last 2" in status
    resumed = run("auto-sync", "resume")
    assert (resumed.stdout.strip(), resumed.stderr) == ("auto-sync is on", "")
    assert "not paused" in run("auto-sync", "resume").stderr
    assert "enabled" in run("auto-sync", "config", "--disabled").stdout
    assert json.loads(run("auto-sync", "config", "--json").stdout)["config"]["enabled"] is False
    resumed = run("auto-sync", "resume")
    assert resumed.stdout.strip() == "auto-sync is disabled"
    assert "recollect auto-sync config --enabled" in resumed.stderr
    run("auto-sync", "config", "--enabled")
    assert "left alone" in run("track", "r1", "off").stdout
    assert json.loads(run("status", "r1", "--json").stdout)["tracked"] is False
    assert "kept in step" in run("track", "r1").stdout
    assert "persisted" in run("config").stdout
    assert "1 new" in run("status", "r0", "--history").stdout
    bad = run("auto-sync", "config", "--sync-interval", "0")
    assert bad.returncode == 2
    assert "interval" in bad.stderr.lower()


def test_doctor_exits_with_what_it_found(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "x = 1\n"})
    run("sync", cwd=root)
    found = run("doctor", "--check", "project", "--json")
    levels = {item["subject"]: item["level"] for item in json.loads(found.stdout)}
    assert levels["project"] == "ok"
    assert found.returncode == int("problem" in levels.values())
    home.chmod(0o755)
    told = run("doctor")
    assert told.returncode == 1
    assert f"chmod 700 {home}" in told.stdout


def test_a_live_status_without_a_terminal_prints_lines(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "x = 1\n"})
    run("sync", cwd=root)
    command = [sys.executable, "-m", "recollect", "status", "--watch"]
    process = subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().split("\t")[:2] == ["project", "ready"]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130


def test_the_tools_of_auto_sync(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "def first(): pass\n"})

    async def use(session: Client) -> None:
        async def call(name: str, **arguments: Any) -> Any:
            result = await session.call_tool(name, arguments)
            assert not result.is_error, result.content
            assert result.content[0].text  # type: ignore[union-attr]
            return result.structured_content

        found = await call("trigger_repository_scan")
        assert (found["found"], found["running"]) == (1, False)
        assert (await call("get_auto_sync_paths"))["paths"] == [{"path": str(root), "origin": "working directory"}]
        status = await call("configure_auto_sync", sync_interval=120, priority_languages=["rust"])
        assert status["config"]["sync_interval"] == 120
        assert (await call("get_auto_sync_status"))["config"]["priority_languages"] == ["rust"]
        assert (await call("pause_auto_sync"))["paused"]
        assert not (await call("resume_auto_sync"))["paused"]
        await call("sync_repository", repository_path=".")
        one = await call("configure_auto_sync", repository="project", enabled=False)
        assert one["tracked"] is False
        started = time.monotonic()
        assert (await call("sync_repository", background=True, repository_name="project"))["status"] in (
            "running",
            "completed",
        )
        assert time.monotonic() - started < 5
        refused = await session.call_tool("configure_auto_sync", {"scan_paths": ["/"]})
        assert refused.is_error
        assert refused.content[0].text.startswith("refused: ")  # type: ignore[union-attr]
        wrong = await session.call_tool("configure_auto_sync", {"max_concurrent": 0})
        assert wrong.is_error

    with_client(root, use)


def test_twenty_clients_edit_and_ask_in_a_storm(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({f"f{number}.py": f"def function_{number}(): pass\n" for number in range(200)})
    wrong: list[str] = []
    fresh: list[bool] = []

    def word(number: int) -> str:
        return "zq" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:06}") + "kvx"

    def work(number: int) -> None:
        with client.Connection(home) as daemon:
            for turn in range(10):
                name = word(number * 100 + turn)
                (root / f"own_{number}.py").write_text(f"def {name}(): pass\n")
                answer = daemon.call("search", {"query": name, "repositories": "project", "limit": 3})
                held = any(hit["path"] == f"own_{number}.py" and name in hit["snippet"] for hit in answer["hits"])
                fresh.append(answer["freshness"]["fresh"])
                if answer["freshness"]["fresh"] and not held:
                    wrong.append(name)

    with client.Connection(home) as daemon:
        daemon.call("sync", {"path": str(root)})
    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(fresh) == 200
    with client.Connection(home) as daemon:
        daemon.call("stop", {})
    wait_until(lambda: not processes_of(home))
