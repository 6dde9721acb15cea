"""Settings in the environment of the installed commands, while a daemon runs that was started with others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from recollect.store.catalog import Catalog
from tests.conftest import MakeRepository, wait_until

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "recollect", *arguments],
        cwd=os.environ["HOME"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def agent(**environment: str) -> subprocess.Popen[str]:
    """`recollect mcp` past its handshake."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-m", "recollect", "mcp"]
    process = subprocess.Popen(
        command, cwd=os.environ["HOME"], env={**os.environ, **environment}, text=True, bufsize=1, **pipes
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(INITIALIZE) + "\n")
    assert "result" in json.loads(process.stdout.readline())
    return process


def end(process: subprocess.Popen[str]) -> str:
    """What it said on stderr."""
    return process.communicate(timeout=30)[1]


def test_an_agent_whose_values_do_not_hold_says_so_and_the_doctor_and_the_status_do(home: Path) -> None:
    run("auto-sync", "config", "--sync-interval", "120")
    process = agent(AUTO_SYNC_INTERVAL="45", RECOLLECT_WORKERS="7", RECOLLECT_TEAM_DB="postgresql://me:s3cret@db/team")
    for command in (("doctor",), ("auto-sync", "status"), ("auto-sync", "status", "--json")):
        told = run(*command)
        said = told.stdout + told.stderr
        assert f"AUTO_SYNC_INTERVAL=45 in the environment of recollect mcp (process {process.pid})" in said
        assert "the running daemon has 120 (persisted)" in said
        assert "recollect auto-sync config --sync-interval 45" in said
        assert "RECOLLECT_WORKERS=7" in said
        assert "s3cret" not in said
    said = end(process)
    assert "recollect: AUTO_SYNC_INTERVAL=45" in said
    assert "put recollect_workers = 7 into config.toml" in said
    assert "s3cret" not in said
    wait_until(lambda: "AUTO_SYNC_INTERVAL=45" not in run("doctor").stdout)


def test_an_agent_has_a_running_daemon_take_over_what_nobody_set(home: Path, make_repository: MakeRepository) -> None:
    run("daemon", "start")
    process = agent(AUTO_SYNC_INTERVAL="45", AUTO_SYNC_MAX_CONCURRENT="2")
    rows = {row["name"]: row for row in json.loads(run("config", "--json").stdout)}
    assert rows["AUTO_SYNC_INTERVAL"]["value"] == 45
    assert rows["AUTO_SYNC_INTERVAL"]["origin"] == f"environment of recollect mcp (process {process.pid})"
    assert "of at most 2 run" in run("auto-sync", "status").stdout
    assert end(process) == ""
    assert json.loads(run("auto-sync", "config", "--json").stdout)["config"]["sync_interval"] == 45


def test_a_command_is_heard_like_an_agent_and_does_not_say_so_each_time(home: Path) -> None:
    run("auto-sync", "config", "--max-concurrent", "4")
    assert run("list", AUTO_SYNC_MAX_CONCURRENT="9").stderr.count("AUTO_SYNC") == 0
    assert "AUTO_SYNC_MAX_CONCURRENT=9" in run("auto-sync", "status", AUTO_SYNC_MAX_CONCURRENT="9").stderr
    bad = run("auto-sync", "status", AUTO_SYNC_MAX_CONCURRENT="many")
    assert bad.returncode == 0
    assert "AUTO_SYNC_MAX_CONCURRENT = 'many'" in bad.stderr


def test_a_daemon_starts_with_a_persisted_value_of_a_newer_version_and_names_it(home: Path) -> None:
    run("auto-sync", "config", "--sync-interval", "120")
    run("daemon", "stop")
    catalog = Catalog(home / "catalog.db")
    catalog.persist({"auto_sync_interval": "adaptive"})
    catalog.close()
    status = run("auto-sync", "status")
    assert status.returncode == 0
    assert "AUTO_SYNC_INTERVAL = 'adaptive' (persisted)" in status.stdout
    assert run("doctor").returncode == 1
    assert run("auto-sync", "config", "--sync-interval", "60").returncode == 0
    assert "adaptive" not in run("auto-sync", "status").stdout


def test_with_on_startup_off_a_new_daemon_leaves_what_changed_meanwhile_until_it_is_asked(
    home: Path, make_repository: MakeRepository
) -> None:
    root = make_repository({"a.py": "def first(): pass\n"})
    run("sync", os.fspath(root))
    run("auto-sync", "config", "--no-on-startup")
    run("daemon", "stop")
    (root / "a.py").write_text("def second(): pass\n")
    status = json.loads(run("status", "project", "--json").stdout)
    wait_until(lambda: json.loads(run("status", "project", "--json").stdout)["watching"])
    time.sleep(1.0)
    status = json.loads(run("status", "project", "--json").stdout)
    assert (status["generation"], status["freshness"]["fresh"]) == (1, False)
    assert "AUTO_SYNC_ON_STARTUP" in run("status", "project").stdout
    assert "second" in run("search", "second", os.fspath(root)).stdout
