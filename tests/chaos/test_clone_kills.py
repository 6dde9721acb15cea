"""`kill -9` of the daemon while it clones: nothing half is left, and what was wanted is there in the end."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from recollect import client
from recollect.errors import RecollectError
from tests.chaos.test_kills import kill
from tests.conftest import SHOP, MakeRepository, processes_of, wait_until
from tests.git_server import serving


@pytest.fixture(autouse=True)
def _permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_HTTP", "1")
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_LOCAL", "1")


def cloned(daemon: client.Connection, url: str) -> bool:
    with suppress(RecollectError):
        return bool(daemon.call("clone_status", {"said": url})["status"] == "cloned")
    return False


@pytest.mark.parametrize("point", ["cloned", "moved"])
def test_a_crash_at_a_named_point(
    home: Path, tmp_path: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    armed = tmp_path / "armed"
    armed.touch()
    monkeypatch.setenv("RECOLLECT_CRASH", f"{point} {armed}")
    with serving(tmp_path / "served") as server:
        url = server.publish(make_repository(SHOP), "shop")
        with client.Connection(home) as daemon:
            with suppress(RecollectError):
                daemon.call("clone", {"url": url})
            wait_until(lambda: not armed.exists())
            wait_until(lambda: cloned(daemon, url))
            wait_until(lambda: daemon.call("status", {"repository": url})["freshness"]["fresh"])
            assert daemon.call("search", {"query": "sign cookies", "repositories": url})["hits"]
            assert daemon.call("repositories", {})["total"] == 1
            daemon.call("stop", {})
        wait_until(lambda: not processes_of(home))
    assert not list((home / "clones" / ".partial").glob("*"))


def test_kills_at_random_moments(home: Path, tmp_path: Path, make_repository: MakeRepository) -> None:
    with serving(tmp_path / "served") as server:
        server.delay_s = 0.2
        urls = [server.publish(make_repository(SHOP, f"shop{n}"), f"shop{n}") for n in range(4)]
        with client.Connection(home) as daemon:
            for number in range(4):
                for url in urls:
                    with suppress(RecollectError):
                        daemon.call("clone", {"url": url, "background": True})
                signal.sigtimedwait([], 0.1 + 0.13 * number)
                kill(home, b"server.daemon")
            for url in urls:
                wait_until(lambda url=url: cloned(daemon, url) or not _asked_again(daemon, url), 40)  # type: ignore[misc]
                wait_until(lambda url=url: daemon.call("status", {"repository": url})["freshness"]["fresh"])  # type: ignore[misc]
                assert daemon.call("search", {"query": "sign cookies", "repositories": url})["hits"]
            daemon.call("stop", {})
        wait_until(lambda: not processes_of(home))
    wait_until(lambda: not _git_processes(home))
    for path in (home / "clones").glob("*/shop*"):
        subprocess.run(["git", "fsck", "--no-progress"], cwd=path, check=True, capture_output=True)


def _asked_again(daemon: client.Connection, url: str) -> bool:
    """The daemon may have died before it noted the wish: nobody was told that it was heard."""
    with suppress(RecollectError):
        daemon.call("clone", {"url": url, "background": True})
    return True


def _git_processes(home: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command = entry.read_bytes()
            if command.startswith(b"git\0") and str(home).encode() in command:
                found.append(command.decode(errors="replace"))
    return found
