"""`stop` means stopped: it returns when every process of the data directory has gone, whatever they were doing."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from recollect import processes
from recollect.client import Connection
from recollect.errors import RecollectError
from recollect.home import START_LOCK, socket_path
from tests.conftest import SHOP, MakeRepository, daemons_of, processes_of, wait_until

RECOLLECT = (sys.executable, "-m", "recollect")


def _stop(home: Path) -> None:
    """Stop the daemon, and see that nothing of it is left the moment that the command has ended."""
    done = subprocess.run([*RECOLLECT, "daemon", "stop"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")
    assert processes_of(home) == []
    assert not processes.is_locked(home)
    assert not socket_path(home).exists()
    status = subprocess.run([*RECOLLECT, "daemon", "status"], capture_output=True, text=True, timeout=60)
    assert (status.returncode, "no daemon is running" in status.stderr) == (4, True)
    log = (home / "run" / "daemon.log").read_text()
    assert "Traceback" not in log
    assert "RuntimeError" not in log


@pytest.fixture
def page(home: Path) -> Iterator[http.client.HTTPResponse]:
    """What an open page is told, as it happens."""
    with Connection(home) as daemon:
        link = urlsplit(daemon.call("web", {})["url"])
    connection = http.client.HTTPConnection(str(link.hostname), link.port, timeout=30)
    connection.request("GET", f"{link.path}?{link.query}")
    answer = connection.getresponse()
    cookie = str(answer.getheader("set-cookie")).partition(";")[0]
    answer.read()
    connection.request("GET", "/events", headers={"cookie": cookie})
    events = connection.getresponse()
    assert events.status == 200
    yield events
    connection.close()


def test_nothing_is_left_once_the_page_was_open(home: Path, page: http.client.HTTPResponse) -> None:
    assert page.read(10)
    _stop(home)


def test_nothing_is_left_of_a_sync_that_runs(home: Path, make_repository: MakeRepository) -> None:
    many = {f"file_{number}.py": f"def function_{number}(): pass\n" * 50 for number in range(2000)}
    root = make_repository(many, use_git=False)
    with Connection(home) as daemon:
        daemon.call("sync", {"path": str(root), "background": True})
    _stop(home)


def test_nothing_is_left_of_a_git_that_hangs(
    home: Path, make_repository: MakeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(SHOP)
    hanging = tmp_path / "bin" / "git"
    hanging.parent.mkdir()
    hanging.write_text("#!/bin/sh\nexec sleep 1000\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", f"{hanging.parent}:{os.environ['PATH']}")
    with Connection(home) as daemon:
        asking = threading.Thread(target=_ignoring(lambda: daemon.call("sync", {"path": str(root)})))
        asking.start()
        wait_until(lambda: any("1000" in item.arguments for item in processes.of_home(home)))
        sleeping = [item.pid for item in processes.of_home(home) if "1000" in item.arguments]
        _stop(home)
        asking.join(timeout=20)
    assert [pid for pid in sleeping if Path(f"/proc/{pid}").exists() and not _is_zombie(pid)] == []


@pytest.mark.parametrize("module", ["server.indexer", "server.daemon", "server.worker"])
def test_nothing_is_left_of_a_process_that_is_suspended(
    home: Path, make_repository: MakeRepository, module: str
) -> None:
    with Connection(home) as daemon:
        daemon.call("sync", {"path": str(make_repository(SHOP))})
    chosen = [item.pid for item in processes.of_home(home) if f"recollect.{module}" in item.arguments]
    assert chosen
    for pid in chosen:
        os.kill(pid, signal.SIGSTOP)
    _stop(home)


def test_a_session_of_an_agent_starts_the_daemon_again_with_its_next_request_alone(home: Path) -> None:
    session = subprocess.Popen([*RECOLLECT, "mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert session.stdin is not None
    assert session.stdout is not None

    def ask(number: int, method: str, **params: object) -> dict[str, object]:
        assert session.stdin is not None
        assert session.stdout is not None
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        session.stdin.write(json.dumps(message).encode() + b"\n")
        session.stdin.flush()
        while True:
            answer: dict[str, object] = json.loads(session.stdout.readline())
            if answer.get("id") == number:
                return answer

    try:
        client = {"name": "test", "version": "1"}
        ask(1, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
        _stop(home)
        time.sleep(1)  # in which the session could start another one
        assert daemons_of(home) == []
        assert "result" in ask(2, "tools/call", name="list_repositories", arguments={})
        assert len(daemons_of(home)) == 1
    finally:
        session.kill()
        session.wait()
        session.stdin.close()
        session.stdout.close()


def test_no_other_process_is_taken_for_one_of_ours(home: Path) -> None:
    with Connection(home):
        pass
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)", str(home), "recollect"])
    other = subprocess.Popen(["sleep", "100"], start_new_session=True)
    try:
        _send_to_the_number_of_another(other.pid)
        subprocess.run([*RECOLLECT, "daemon", "stop"], check=True, capture_output=True, timeout=60)
        assert bystander.poll() is None
        assert other.poll() is None
    finally:
        for process in (bystander, other):
            process.kill()
            process.wait()


def test_a_restart_is_a_stop_and_a_start(home: Path) -> None:
    with Connection(home) as daemon:
        before = daemon.call("about", {})["pid"]
    done = subprocess.run([*RECOLLECT, "daemon", "restart"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    (after,) = daemons_of(home)
    assert after != before
    _stop(home)


def test_who_goes_on_asking_waits_for_the_end_and_no_daemon_is_killed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals: list[signal.Signals] = []
    send = processes._send

    def noted(process: processes.Process, number: signal.Signals) -> None:
        signals.append(number)
        send(process, number)

    monkeypatch.setattr(processes, "_send", noted)
    is_over = threading.Event()

    def go_on_asking() -> None:
        while not is_over.is_set():
            with suppress(RecollectError), Connection(home) as daemon:
                daemon.call("about", {})

    with Connection(home) as daemon:
        before = daemon.call("about", {})["pid"]
    agents = [threading.Thread(target=go_on_asking) for _ in range(2)]
    for agent in agents:
        agent.start()
    try:
        assert processes.stop(home)
        assert signal.SIGKILL not in signals
        with Connection(home) as daemon:  # whoever waited has been answered by the next one
            assert daemon.call("about", {})["pid"] != before
    finally:
        is_over.set()
        for agent in agents:
            agent.join(60)
    _stop(home)


def test_a_start_that_hangs_does_not_keep_a_daemon_from_being_stopped(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Connection(home).close()
    monkeypatch.setattr(processes, "_START_S", 0.2)
    with (home / "run" / START_LOCK).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert processes.stop(home)
    assert processes_of(home) == []


def _send_to_the_number_of_another(pid: int) -> None:
    """A signal that is meant for a process that had this number before."""
    processes._send(processes.Process(pid, "long ago", 1), signal.SIGKILL)


def _ignoring(work: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        except Exception:  # the daemon goes in the middle of it
            return

    return run


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True
