"""The daemon: one per data directory, reachable wherever that lies, gone when it is not needed."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from recollect import client
from recollect.errors import Unavailable
from recollect.home import socket_path
from tests.conftest import SHOP, MakeRepository, command_of, daemons_of, processes_of, wait_until


def test_many_starters_get_one_daemon(home: Path) -> None:
    command = [sys.executable, "-m", "recollect", "list", "--json"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(10)]
    assert [process.wait(timeout=60) for process in started] == [0] * 10
    assert len(daemons_of(home)) == 1


def test_a_stale_socket_is_no_obstacle(home: Path) -> None:
    socket_path(home).parent.mkdir(parents=True)
    socket_path(home).write_text("")
    with client.Connection(home) as connection:
        assert connection.call("about", {})["home"] == str(home)


def test_a_long_path_is_served_wherever_a_clients_environment_points(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="r" * 90) as folder:
        home = Path(folder) / ("deep" * 10)
        assert len(os.fsencode(socket_path(home))) <= 100
        pids = set()
        for name, value in (("XDG_RUNTIME_DIR", "/nowhere"), ("XDG_RUNTIME_DIR", folder), ("TMPDIR", "/nowhere")):
            monkeypatch.setenv(name, value)
            with client.Connection(home) as connection:
                about = connection.call("about", {})
                assert about["home"] == str(home)
                pids.add(about["pid"])
        assert len(pids) == 1
        with client.Connection(home) as connection:
            connection.call("stop", {})
        wait_until(lambda: not processes_of(home))


def test_a_newer_client_gets_a_newer_daemon(home: Path) -> None:
    with client.Connection(home) as connection:
        before = connection.call("about", {})["pid"]
    greeting = client.hello("client") | {"version": "99.0.0"}
    with pytest.raises(Unavailable):  # each daemon it starts is older than it says it is
        client.open_connection(greeting, home)
    with client.Connection(home) as connection:
        assert connection.call("about", {})["pid"] != before


def test_another_protocol_is_refused_with_what_helps(home: Path) -> None:
    with client.Connection(home):
        greeting = client.hello("client") | {"recollect": 99}
        with pytest.raises(client.RecollectError) as caught:
            client.open_connection(greeting, home)
        assert "restart" in caught.value.hint


def test_nonsense_on_the_socket_harms_nobody(home: Path) -> None:
    with client.Connection(home) as good:
        for nonsense in (b"\n", b"{}\n", b"\xff\xfe\n", b'{"role": 5}\n', b"x" * 100_000 + b"\n"):
            raw = client._try_connect(home)
            assert raw is not None
            raw.sendall(nonsense)
            raw.close()
        assert good.call("about", {})["pid"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="nobody can say what another process may open")
def test_a_daemon_may_open_more_files_than_its_starter(home: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(10_240, hard) if hard != resource.RLIM_INFINITY else 10_240
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        with client.Connection(home) as daemon:
            pid = daemon.call("about", {})["pid"]
            assert resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] == wanted
            daemon.call("stop", {})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_idle_daemon_ends_and_takes_its_children_along(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOLLECT_IDLE_EXIT", "1")
    with client.Connection(home) as connection:
        connection.call("about", {})
    wait_until(lambda: not processes_of(home))
    assert not socket_path(home).exists()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="nothing says what a process started")
def test_a_git_that_hangs_ends_with_the_daemon_and_keeps_nobody_else(
    home: Path, make_repository: MakeRepository
) -> None:
    good, bad = make_repository(SHOP, "good"), make_repository(SHOP, "bad")
    (bad / ".git" / "HEAD").unlink()
    os.mkfifo(bad / ".git" / "HEAD")  # who opens it waits for ever

    def hanging() -> list[int]:
        links = {pid: Path(f"/proc/{pid}/cwd") for pid in map(int, filter(str.isdigit, os.listdir("/proc")))}
        return [pid for pid, link in links.items() if b"git" in command_of(pid) and _leads_to(link, bad)]

    with client.Connection(home) as connection:
        connection.call("configure_auto_sync", {"changes": {"scan_paths": [str(bad.parent)]}})
        wait_until(hanging)
        answer = connection.call("search", {"query": "total price of the cart", "repositories": str(good)})
        assert answer["hits"][0]["path"] == "shop/cart.py"
        connection.call("stop", {})
    wait_until(lambda: not processes_of(home) and not hanging())


def _leads_to(link: Path, folder: Path) -> bool:
    try:
        return link.resolve(strict=True) == folder
    except OSError:
        return False


def test_a_daemon_whose_home_is_gone_ends_and_leaves_the_next_one_its_socket(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_IDLE_EXIT", "1")  # neither is idle, for both are connected; but it looks more often
    with client.Connection(home) as first:
        old = first.call("about", {})["pid"]
        gone = home.rename(home.with_name(f"{home.name}-gone"))
        with client.Connection(home) as second:
            assert second.call("about", {})["pid"] != old
            wait_until(lambda: not Path(f"/proc/{old}").exists() or b"daemon" not in command_of(old))
            with client.Connection(home, start=False) as third:
                assert third.call("about", {})["pid"] == second.call("about", {})["pid"]
    shutil.rmtree(gone)


def test_its_files_are_for_its_owner_alone(home: Path) -> None:
    with client.Connection(home) as connection:
        connection.call("repositories", {})
        for path in (home / "run", home / "run" / "daemon.sock", home / "catalog.db"):
            assert path.stat().st_mode & 0o077 == 0, path
