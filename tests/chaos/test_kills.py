"""`kill -9` of the indexer, of workers and of the daemon, in the middle of things: nothing is lost, nothing is left over."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

from recollect import client
from recollect.workspace import Workspace
from tests.conftest import MakeRepository, command_of, processes_of, wait_until

FILES = {f"p{i % 13}/f{i}.py": f"def function_{i}(a, b):\n    return a * {i} + b\n\n\n" * 50 for i in range(1600)}


def kill(home: Path, what: bytes, but: Collection[int] = ()) -> set[int]:
    """Kill the processes whose command holds `what`, except those in `but`; the pids of those that were hit."""
    killed = set()
    for pid in set(processes_of(home)) - set(but):
        try:
            if what in command_of(pid):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        except (OSError, ProcessLookupError):
            continue
    return killed


def test_a_killed_indexer_starts_again_and_the_sync_goes_on(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(FILES)
    with Workspace(home) as workspace:
        run = workspace.sync(root, background=True)
        assert run.status == "running"
        killed: set[int] = set()
        for count in (1, 2):
            wait_until(lambda: workspace.sync_status("project").progress.files_done > 50)
            wait_until(lambda: killed.update(kill(home, b"server.indexer", killed)) or len(killed) == count)  # noqa: B023
        result = workspace.sync(root)
        assert (result.status, result.total_files) == ("completed", 1600)
        assert workspace.search("function_1234", "project").hits[0].path == "p12/f1234.py"
        pids = processes_of(home)
        assert sum(b"server.indexer" in command_of(pid) for pid in pids) == 1
    wait_until(lambda: not processes_of(home))


def test_killed_workers_cost_nothing(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(FILES)
    with Workspace(home) as workspace:
        workspace.sync(root, background=True)
        wait_until(lambda: workspace.sync_status("project").progress.files_done > 50)
        for _ in range(3):
            kill(home, b"server.worker")
            time.sleep(0.2)
        result = workspace.sync(root)
        assert (result.status, result.total_files) == ("completed", 1600)
        assert workspace.status("project").files == 1600


def test_a_killed_daemon_leaves_no_process_and_its_sync_is_resumed(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(FILES)
    with client.Connection(home) as connection:
        connection.call("sync", {"path": str(root), "background": True})
        wait_until(lambda: connection.call("sync_status", {"name": "project"})["progress"]["files_done"] > 50)
        kill(home, b"server.daemon")
    wait_until(lambda: not processes_of(home))
    with client.Connection(home) as connection:
        wait_until(lambda: connection.call("sync_status", {"name": "project"})["status"] == "completed")
        assert connection.call("status", {"repository": "project"})["files"] == 1600
        hits = connection.call("search", {"query": "function_77", "repositories": "project"})["hits"]
        assert hits[0]["path"] == "p12/f77.py"


def test_answers_come_whole_while_batches_are_committed(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(FILES)
    with Workspace(home) as workspace:
        workspace.sync(root, background=True)
        generations = set()
        while workspace.sync_status("project").status == "running":
            result = workspace.search("function_5", "project")
            for hit in result.hits:
                assert "function_" in hit.snippet
            generations.add(workspace.status("project").generation)
        assert workspace.search("function_5", "project").hits[0].path == "p5/f5.py"
        assert sorted(generations) == list(range(min(generations), max(generations) + 1)) or len(generations) < 3
