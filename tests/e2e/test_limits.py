"""Strangers that hold connections open, and programs that went wrong: everybody else is answered meanwhile, and afterwards."""

from __future__ import annotations

import http.client
import json
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from recollect.client import Connection, hello, open_connection
from recollect.errors import Unavailable
from recollect.home import socket_path
from tests.conftest import open_files, wait_until

_INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
_ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


class Daemon:
    """One with its HTTP side open."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with Connection() as daemon:
            self.pid = daemon.call("about", {})["pid"]
            self.port = daemon.call("web", {})["port"]
        self.token = (home / "run" / "token").read_text().strip()

    def connections(self) -> int:
        return sum(name.startswith("socket:") for name in open_files(self.pid))

    def http(
        self, verb: str = "GET", path: str = "/api/v1/status", body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"authorization": f"Bearer {self.token}", **headers}
        connection.request(verb, path, None if body is None else json.dumps(body), sent)
        answer = connection.getresponse()
        read = answer.read()
        connection.close()
        return answer.status, answer.headers if path == "/mcp" else read

    def answers_everybody(self) -> None:
        """The command line, an agent over the socket, programs over HTTP."""
        with Connection(start=False) as daemon:
            assert daemon.call("about", {})["pid"] == self.pid
        agent, rest = open_connection(hello("mcp"), self.home, start=False)
        with agent:
            agent.settimeout(30)
            agent.sendall(json.dumps(_INITIALIZE).encode() + b"\n")
            while b"\n" not in rest:
                rest += agent.recv(65536)
        assert b"serverInfo" in rest
        assert self.http()[0] == 200
        assert self.http("POST", "/mcp", _INITIALIZE, **_ACCEPT)[0] == 200


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    import tempfile

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="rh-") as folder:
        patch.setenv("RECOLLECT_HOME", folder)
        yield Daemon(Path(folder))
        with Connection(start=False) as connection:
            connection.call("stop", {})


def _tcp(daemon: Daemon, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", daemon.port), timeout=10)
    connection.sendall(sent.replace(b"PORT", str(daemon.port).encode()))
    return connection


def _unix(daemon: Daemon, sent: bytes) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(os.fspath(socket_path(daemon.home)))
    connection.settimeout(10)
    with suppress(OSError):  # who sends too much is cut off
        connection.sendall(sent)
    return connection


_HEAD = b"Host: 127.0.0.1:PORT\r\n"
_ATTACKS: dict[str, tuple[Callable[[Daemon, bytes], socket.socket], bytes]] = {
    "http, silent": (_tcp, b""),
    "http, half a header": (_tcp, b"GET / HTTP/1.1\r\n" + _HEAD),
    "http, half a body": (_tcp, b"POST /login HTTP/1.1\r\n" + _HEAD + b"Content-Length: 1000\r\n\r\n{"),
    "http, a body in pieces": (_tcp, b"POST / HTTP/1.1\r\n" + _HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"),
    "http, many requests at once": (_tcp, (b"GET / HTTP/1.1\r\n" + _HEAD + b"\r\n") * 50),
    "socket, silent": (_unix, b""),
    "socket, half a hello": (_unix, b'{"recollect": 1, "role"'),
    "socket, a line without end": (_unix, b"x" * 300_000),
}


@pytest.mark.parametrize("attack", _ATTACKS)
def test_connections_that_say_nothing_keep_nobody_out(daemon: Daemon, attack: str) -> None:
    connect, sent = _ATTACKS[attack]
    before = daemon.connections()
    with ExitStack() as open_ones:
        for _ in range(600):
            open_ones.enter_context(connect(daemon, sent))
        daemon.answers_everybody()
        assert daemon.connections() < before + 300
    wait_until(lambda: daemon.connections() <= before + 2)
    daemon.answers_everybody()


def test_sessions_of_mcp_that_nobody_ends_make_room_for_new_ones(daemon: Daemon) -> None:
    first = daemon.http("POST", "/mcp", _INITIALIZE, **_ACCEPT)[1]["mcp-session-id"]
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    for _ in range(255):
        assert daemon.http("POST", "/mcp", _INITIALIZE, **_ACCEPT)[0] == 200
    for number in range(20):
        status, headers = daemon.http("POST", "/mcp", _INITIALIZE, **_ACCEPT)
        assert status == 200, number
    latest = {**_ACCEPT, "mcp-session-id": headers["mcp-session-id"]}
    assert daemon.http("POST", "/mcp", ping, **latest)[0] == 200
    assert daemon.http("POST", "/mcp", ping, **{**_ACCEPT, "mcp-session-id": first})[0] == 404


def test_agents_that_never_go_away_do_not_keep_the_command_line_out(daemon: Daemon) -> None:
    with ExitStack() as open_ones:
        for _ in range(512):
            open_ones.enter_context(open_connection(hello("mcp"), daemon.home, start=False)[0])
        with pytest.raises(Unavailable) as caught:
            open_connection(hello("mcp"), daemon.home, start=False)
        assert caught.value.code == "too_many_connections"
        with Connection(start=False) as connection:
            assert connection.call("about", {})["pid"] == daemon.pid
    wait_until(lambda: _agents(daemon))


def _agents(daemon: Daemon) -> bool:
    with suppress(Unavailable):
        open_connection(hello("mcp"), daemon.home, start=False)[0].close()
        return True
    return False


def test_pages_beyond_a_bound_are_told_so(daemon: Daemon) -> None:
    with ExitStack() as open_ones:
        for _ in range(64):
            head = (
                f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\nAuthorization: Bearer {daemon.token}\r\n\r\n"
            )
            page = open_ones.enter_context(_tcp(daemon, head.encode()))
            assert page.recv(4096).startswith(b"HTTP/1.1 200")
        assert daemon.http("GET", "/events")[0] == 503
        assert daemon.http()[0] == 200


def test_nonsense_in_calls_ends_no_more_than_its_own_connection(daemon: Daemon) -> None:
    for line in (b"[" * 100_000, b"[]", b'{"id": [1], "method": {}, "params": 5}', b'{"cancel": []}', b"1e999"):
        connection, _ = open_connection(hello("client"), daemon.home, start=False)
        with connection:
            connection.sendall(line + b"\n" + b'{"id": 7, "method": "about", "params": {}}\n')
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while connection.recv(65536):
                    pass
    for greeting in (b'{"role":"client","version":"1","recollect":1e999}', b"[" * 50_000, b"null"):
        with _unix(daemon, greeting + b"\n") as connection, suppress(ConnectionError):
            assert connection.recv(65536) == b""
    daemon.answers_everybody()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="nobody can say what another process may open")
def test_the_command_line_is_answered_when_no_descriptor_is_left(home: Path) -> None:
    with Connection() as first:
        pid = first.call("about", {})["pid"]
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        numbers = [int(name) for name in os.listdir(f"/proc/{pid}/fd")]
        free = max(numbers) + 1 - len(numbers)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(numbers) + 1, before[1]))
        with ExitStack() as open_ones:
            for _ in range(free + 5):
                second = open_ones.enter_context(Connection(start=False))
                assert second.call("about", {})["pid"] == pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_the_log_of_the_indexer_does_not_grow_for_ever(home: Path) -> None:
    (home / "run").mkdir(mode=0o700)
    log = home / "run" / "indexer.log"
    log.write_bytes(b"x" * 2_000_001)
    with Connection() as connection:
        connection.call("about", {})
        assert log.stat().st_size < 2_000_000
