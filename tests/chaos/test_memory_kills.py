"""An acknowledged memory survives `kill -9`; many writers lose nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from recollect import client
from recollect.errors import RecollectError
from tests.chaos.test_kills import kill

WRITER = """
import sys
from recollect.client import Connection
with Connection() as daemon:
    for number in range(50):
        assert daemon.call("remember", {"content": f"writer {sys.argv[1]} says {number}"})["success"]
"""


def test_fifty_stores_each_from_four_processes_are_all_kept(home: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(number)], env=dict(os.environ)) for number in range(4)
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0, 0]
    with client.Connection(home) as daemon:
        assert daemon.call("memory_stats", {})["memories"] == 200


def test_what_was_acknowledged_survives_kills_of_the_daemon(home: Path) -> None:
    acknowledged: list[str] = []
    stop = threading.Event()

    def store() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                with client.Connection(home) as daemon:
                    acknowledged.append(daemon.call("remember", {"content": f"memory number {number}"})["id"])
            except (RecollectError, OSError):
                continue

    thread = threading.Thread(target=store)
    thread.start()
    for _ in range(4):
        while not acknowledged:
            stop.wait(0.01)
        before = len(acknowledged)
        while len(acknowledged) < before + 20:
            stop.wait(0.01)
        kill(home, b"server.daemon")
    stop.set()
    thread.join()
    with client.Connection(home) as daemon:
        for identity in acknowledged:
            assert daemon.call("memory_get", {"key": identity})["id"] == identity
