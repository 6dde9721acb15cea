"""MCP spoken by hand: what odd and hostile clients send over stdio and HTTP, and what each of them gets back."""

from __future__ import annotations

import http.client
import json
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from recollect.client import Connection
from tests.conftest import SHOP, MakeRepository, daemons_of, wait_until

_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def request(identity: Any, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "method": method, **({"params": params} if params else {})}


def call(identity: Any, tool: str, **arguments: Any) -> dict[str, Any]:
    return request(identity, "tools/call", name=tool, arguments=arguments)


def stateless(identity: Any, method: str, **params: Any) -> dict[str, Any]:
    return request(identity, method, **params, _meta=_META)


def initialize(identity: Any = 0, version: Any = "2025-06-18", **capabilities: Any) -> dict[str, Any]:
    client = {"name": "t", "version": "1"}
    return request(identity, "initialize", protocolVersion=version, capabilities=capabilities, clientInfo=client)


INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class Agent:
    """`recollect mcp`, spoken to line by line."""

    def __init__(self, cwd: Path) -> None:
        command = [sys.executable, "-m", "recollect", "mcp"]
        self.process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def send(self, *messages: Any) -> None:
        """Objects as JSON, bytes as they are."""
        assert self.process.stdin is not None
        for message in messages:
            self.process.stdin.write(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def receive(self, timeout_s: float = 30) -> Any:
        return json.loads(self._lines.get(timeout=timeout_s))

    def is_silent(self) -> bool:
        """Nothing else came before the answer to what is asked now."""
        self.send(request("silent?", "ping"))
        return bool(self.receive()["id"] == "silent?")

    def ask(self, message: Any) -> Any:
        self.send(message)
        return self.receive()

    def begin(self, version: str = "2025-06-18", **capabilities: Any) -> Any:
        result = self.ask(initialize(0, version, **capabilities))["result"]
        self.send(INITIALIZED)
        return result

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(OSError):
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def agent(home: Path, make_repository: MakeRepository) -> Iterator[Agent]:
    made = Agent(make_repository(SHOP, "shop"))
    yield made
    made.close()


# -- what is no message -----------------------------------------------------------------------------------------------


def test_what_is_no_message_is_answered_and_the_session_lives_on(agent: Agent) -> None:
    agent.send(b"\xef\xbb\xbf" + json.dumps(initialize()).encode() + b"\r\n")
    assert agent.receive()["result"]["serverInfo"]["name"] == "recollect"
    agent.send(INITIALIZED, b"\n", b"\r\n", b"   \n")
    for line, code, identity in (
        (b"garbage\n", -32700, None),
        (b'{"jsonrpc":"2.0","id":1,\n', -32700, None),
        (b"[" * 5000 + b"\n", -32700, None),
        (b"\xff\xfe\n", -32700, None),
        (b"17\n", -32600, None),
        (b"[]\n", -32600, None),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}\n', -32600, None),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}\n', -32600, None),
        (b'{"jsonrpc":"2.0","id":8,"method":"tools/call","params":[1]}\n', -32602, 8),
        (b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":5}}\n', -32602, 9),
        (b'{"jsonrpc":"2.0","id":"u","method":"no/such"}\n', -32601, "u"),
        (b'{"jsonrpc":"2.0","id":11,"method":"resources/list"}\n', -32601, 11),
        (b'{"jsonrpc":"2.0","id":12,"method":"prompts/list"}\n', -32601, 12),
        (b'{"jsonrpc":"2.0","id":13,"method":"logging/setLevel","params":{"level":"info"}}\n', -32601, 13),
    ):
        answer = agent.ask(line)
        assert (answer["id"], answer["error"]["code"]) == (identity, code), line
    for identity in (2**70, 1.5, "\ud800", ""):
        assert agent.ask(request(identity, "ping")) == {"jsonrpc": "2.0", "id": identity, "result": {}}
    assert agent.is_silent()


def test_ids_that_are_used_twice_at_once_are_answered_twice(agent: Agent) -> None:
    agent.begin()
    agent.send(*[call(7, "search_code", query="cart")] * 3, request("7", "ping"), request(7, "ping"))
    answers = [agent.receive() for _ in range(5)]
    assert Counter(json.dumps(answer["id"]) for answer in answers) == {"7": 4, '"7"': 1}
    assert sum("content" in answer["result"] for answer in answers) == 3


def test_a_line_that_is_too_long_is_refused_and_the_session_lives_on(agent: Agent) -> None:
    agent.begin()
    assert agent.ask(call(1, "search_code", query="x" * 17_000_000))["error"]["data"]["code"] == "too_long"
    agent.send(b"x" * 70_000_000)
    assert agent.receive()["id"] is None
    agent.send(b"y" * 1_000_000 + b"\n")
    assert agent.is_silent()


def test_the_last_line_needs_no_end(home: Path, make_repository: MakeRepository) -> None:
    command = [sys.executable, "-m", "recollect", "mcp"]
    for said, expected in ((json.dumps(request(1, "ping")), 1), ("garbage", None)):
        done = subprocess.run(command, input=said.encode(), capture_output=True, timeout=60)
        assert json.loads(done.stdout)["id"] == expected


# -- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_is_answered_by_one_array(agent: Agent) -> None:
    agent.begin("2025-03-26")
    batch = [
        request(1, "ping"),
        {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
        call("two", "search_code", query="cart"),
        5,
        request(1, "no/such"),
        {"jsonrpc": "2.0", "id": 4, "method": "ping", "params": [1]},
    ]
    answers = agent.ask(batch)
    assert isinstance(answers, list)
    assert sorted(json.dumps(answer["id"]) for answer in answers) == ['"two"', "1", "1", "4", "null"]
    assert sorted(answer["error"]["code"] for answer in answers if "error" in answer) == [-32602, -32601, -32600]
    agent.send([INITIALIZED, {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}])
    assert agent.is_silent()
    assert agent.ask([1])[0]["error"]["code"] == -32600
    assert agent.ask([request(5, "ping")])[0]["id"] == 5


def test_a_batch_survives_the_death_of_the_daemon(home: Path, agent: Agent) -> None:
    agent.begin("2025-03-26")
    kill_daemons(home)
    answers = agent.ask([call(1, "search_code", query="cart"), request(2, "ping")])
    assert {answer["id"] for answer in answers} == {1, 2}
    assert all("result" in answer for answer in answers)


def test_what_is_in_flight_when_the_daemon_dies_is_answered_once(home: Path, agent: Agent) -> None:
    agent.begin("2025-03-26")
    (daemon,) = daemons_of(home)
    os.kill(daemon, signal.SIGSTOP)
    search, store = call(7, "search_code", query="cart"), call(8, "store_memory", content="kept or not")
    agent.send(search, search, store, b"garbage\n", [call(9, "search_code", query="cart"), store], [search, 5])
    os.kill(daemon, signal.SIGKILL)
    received = [agent.receive() for _ in range(6)]
    batches = [answer for answer in received if isinstance(answer, list)]
    single = [answer for answer in received if not isinstance(answer, list)]
    assert sorted(str(answer["id"]) for answer in single) == ["7", "7", "8", "None"]
    assert {answer["id"]: "result" in answer for answer in single} == {7: True, 8: False, None: False}
    assert sorted(sorted(str(answer["id"]) for answer in batch) for batch in batches) == [["7", "None"], ["8", "9"]]
    assert all("error" in answer for batch in batches for answer in batch if answer["id"] in (8, 9))  # it writes, too
    assert agent.is_silent()


def kill_daemons(home: Path) -> None:
    for pid in daemons_of(home):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not daemons_of(home))


# -- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        *((version, version) for version in ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")),
        *((version, "2025-11-25") for version in ("1999-01-01", "2026-07-28", "2099-01-01", "", "\u0000")),
    ],
)
def test_a_version_is_agreed_on(agent: Agent, asked: str, answered: str) -> None:
    assert agent.begin(asked)["protocolVersion"] == answered
    assert agent.ask(request(1, "tools/list"))["result"]["tools"]


def test_a_client_without_a_handshake_is_served(home: Path, agent: Agent) -> None:
    found = agent.ask(stateless("d", "server/discover"))["result"]
    assert "2026-07-28" in found["supportedVersions"]
    assert "tools" in found["capabilities"]
    assert agent.ask(stateless(1, "tools/list"))["result"]["tools"]
    search = stateless(2, "tools/call", name="search_code", arguments={"query": "total price of the cart"})
    assert not agent.ask(search)["result"].get("isError")
    kill_daemons(home)  # there is no handshake to replay
    assert not agent.ask(search)["result"].get("isError")


def test_both_eras_are_served_on_one_connection(agent: Agent) -> None:
    assert agent.ask(request(1, "ping"))["result"] == {}
    unknown = {**_META, "io.modelcontextprotocol/protocolVersion": "2031-01-01"}
    refused = agent.ask(request(2, "server/discover", _meta=unknown))["error"]
    assert refused["code"] == -32022
    assert refused["data"]["requested"] == "2031-01-01"
    assert "2026-07-28" in refused["data"]["supported"]
    assert agent.ask(request(3, "server/discover"))["error"]["code"] == -32602
    early = agent.ask(request(4, "tools/list"))["error"]
    assert "initialize" in early["message"]
    assert agent.begin()["protocolVersion"] == "2025-06-18"
    assert agent.ask(stateless(5, "tools/list"))["result"]["tools"]
    assert agent.ask(request(6, "tools/list"))["result"]["tools"]
    assert agent.ask(initialize(7, "2024-11-05"))["result"]["protocolVersion"] == "2024-11-05"
    for garbage in (None, 5, {}):
        assert agent.ask(initialize(8, garbage))["error"]["code"] == -32602
    assert agent.is_silent()


def test_where_no_daemon_can_be_had_odd_lines_are_answered_too(home: Path) -> None:
    with closing(sqlite3.connect(home / "catalog.db")) as newer:
        newer.execute("PRAGMA user_version=99")
    batch = [request(2, "ping"), INITIALIZED, 5]
    lines = [b"\xef\xbb\xbf", b"garbage", b"[]", json.dumps(batch).encode(), json.dumps([INITIALIZED]).encode()]
    lines += [json.dumps(request(1.5, "tools/list")).encode() + b"\r", json.dumps(request(True, "ping")).encode()]
    command = [sys.executable, "-m", "recollect", "mcp"]
    done = subprocess.run(command, input=b"\n".join(lines), capture_output=True, timeout=60)
    garbage, empty, answers, fraction, boolean = map(json.loads, done.stdout.splitlines())
    assert (garbage["error"]["code"], empty["error"]["code"], boolean["error"]["code"]) == (-32700, -32600, -32600)
    assert [answer["id"] for answer in answers] == [2, None]
    assert (fraction["id"], fraction["error"]["data"]["code"]) == (1.5, "database_version")


# -- roots ------------------------------------------------------------------------------------------------------------


def test_roots_are_asked_for_only_where_a_client_has_some(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "no repository"
    folder.mkdir()
    for capabilities in ({}, {"sampling": {}}):
        agent = Agent(folder)
        agent.begin(**capabilities)
        assert agent.ask(call(1, "list_repositories"))["id"] == 1
        agent.close()


def test_roots_that_change_are_asked_for_again(home: Path, tmp_path: Path, make_repository: MakeRepository) -> None:
    folder = tmp_path / "no repository"
    folder.mkdir()
    shop = make_repository(SHOP, "my shop")
    other = make_repository({"a.py": "def other_thing(): pass\n"}, "other")
    with Connection() as daemon:
        for root in (shop, other):
            daemon.call("sync", {"path": str(root)})
    agent = Agent(folder)
    try:
        agent.begin(roots={"listChanged": True})

        def status(*roots: Path) -> str:
            """Of the repository at hand; `roots`: what is answered where they are asked for."""
            agent.send(call("s", "search_code", query="def"))
            answer = agent.receive()
            if roots:
                assert answer["method"] == "roots/list"
                listed = [{"uri": root.as_uri()} for root in roots]
                agent.send({"jsonrpc": "2.0", "id": answer["id"], "result": {"roots": listed}})
                answer = agent.receive()
            assert answer["id"] == "s"
            return str(answer["result"]["content"][0]["text"])

        assert "cart.py" in status(shop)
        assert "a.py" not in status()
        agent.send({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})
        assert "a.py" in status(other)
        assert "cart.py" not in status()
    finally:
        agent.close()


# -- HTTP -------------------------------------------------------------------------------------------------------------

_JSON_AND_EVENTS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


class Web:
    """The HTTP side of a daemon."""

    def __init__(self, home: Path) -> None:
        with Connection(home) as daemon:
            self.port = daemon.call("web", {})["port"]
        self.token = (home / "run" / "token").read_text().strip()

    def ask(self, body: Any, verb: str = "POST", **headers: str | None) -> tuple[int, Any, str | None]:
        """(status, message of the answer, session that it names). A header that is None is not sent."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"authorization": f"Bearer {self.token}", **_JSON_AND_EVENTS, **named}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(verb, "/mcp", data, {name: value for name, value in sent.items() if value is not None})
            answer = connection.getresponse()
            read = answer.read()
        if answer.headers["content-type"] == "text/event-stream":
            read = [line[5:] for line in read.splitlines() if line.startswith(b"data:")][-1]
        return answer.status, json.loads(read) if read else None, answer.headers["mcp-session-id"]

    def begin(self, version: str = "2025-06-18") -> str:
        status, _, session = self.ask(initialize(0, version))
        assert status == 200
        assert session is not None
        assert self.ask(INITIALIZED, mcp_session_id=session)[0] == 202
        return session


@pytest.fixture
def web(home: Path, make_repository: MakeRepository) -> Web:
    root = make_repository(SHOP, "shop")
    with Connection(home) as daemon:
        daemon.call("sync", {"path": str(root)})
    return Web(home)


def test_what_is_refused_over_http_opens_no_session_and_ends_none(web: Web) -> None:
    session = web.begin()
    missing = {**initialize(), "params": {"protocolVersion": "2025-06-18"}}
    refused: list[tuple[Any, str, dict[str, Any]]] = [
        (initialize(), "POST", {"authorization": None}),
        (initialize(), "POST", {"authorization": "Bearer wrong"}),
        (initialize(), "POST", {"origin": "http://evil.example"}),
        (initialize(), "POST", {"host": "evil.example"}),
        (initialize(), "POST", {"accept": "application/json"}),
        (initialize(), "POST", {"accept": None}),
        (initialize(), "POST", {"content_type": "text/plain"}),
        (initialize(), "POST", {"mcp_session_id": "unknown"}),
        (initialize(), "POST", {"mcp_protocol_version": "1999-01-01"}),
        (initialize(0, 5), "POST", {}),
        (missing, "POST", {}),
        ({key: value for key, value in initialize().items() if key != "id"}, "POST", {}),
        ([initialize()], "POST", {}),
        (b"garbage", "POST", {}),
        (b"", "POST", {}),
        (b"[" * 5000, "POST", {}),
        ([], "POST", {}),
        (5, "POST", {}),
        (request(1, "tools/list"), "POST", {}),
        (INITIALIZED, "POST", {}),
        (b"", "GET", {}),
        (b"", "DELETE", {}),
        (b"", "PUT", {}),
        (b"", "GET", {"mcp_session_id": "unknown"}),
        (stateless(1, "tools/list"), "POST", {}),
    ]
    for round_ in range(40):
        for body, verb, headers in refused:
            status, answer, opened = web.ask(body, verb, **headers)
            assert status in range(400, 500), (body, verb, headers)
            assert opened is None
            if round_ == 0 and status in (400, 404, 406, 415):
                assert "error" in answer, (body, verb, headers)
    assert web.ask(request(1, "ping"), mcp_session_id=session)[1] == {"jsonrpc": "2.0", "id": 1, "result": {}}
    sessions = {web.begin() for _ in range(255)}  # as many as there may be, with the first one
    for known in (session, *sessions):
        assert web.ask(request(2, "ping"), mcp_session_id=known)[0] == 200


def test_a_session_that_its_client_ended_is_gone(web: Web) -> None:
    session = web.begin()
    assert web.ask(b"", "DELETE", mcp_session_id=session)[0] == 200
    status, answer, _ = web.ask(request(1, "ping"), mcp_session_id=session)
    assert status == 404
    assert "initialize" in answer["error"]["message"]


def test_a_batch_over_http_is_answered_by_one_array(web: Web) -> None:
    session = web.begin("2025-03-26")
    search = call("two", "search_code", query="cart \ud83d", repository="shop")
    batch = [request(1, "ping"), INITIALIZED, search, 5, request(4, "no/such"), request(None, "ping")]
    status, answers, _ = web.ask(batch, mcp_session_id=session)
    assert status == 200
    assert [answer["id"] for answer in answers] == [1, "two", None, 4, None]
    assert "content" in answers[1]["result"]
    assert answers[3]["error"]["code"] == -32601
    assert web.ask([INITIALIZED], mcp_session_id=session)[:2] == (202, None)
    status, answer, _ = web.ask([], mcp_session_id=session)
    assert (status, answer["error"]["code"]) == (400, -32600)
    same = [call(7, "search_code", query="cart", repository="shop"), call(7, "search_code", query="price")]
    assert [answer["id"] for answer in web.ask(same, mcp_session_id=session)[1]] == [7, 7]


def test_a_client_without_a_handshake_is_served_over_http(web: Web) -> None:
    def ask(message: dict[str, Any], **headers: str) -> tuple[int, Any, str | None]:
        sent = {"mcp_protocol_version": "2026-07-28", "mcp_method": message["method"], **headers}
        return web.ask(message, **sent)

    status, found, session = ask(stateless(1, "server/discover"))
    assert (status, session) == (200, None)
    assert "2026-07-28" in found["result"]["supportedVersions"]
    search = stateless(2, "tools/call", name="search_code", arguments={"query": "cart", "repository": "shop"})
    assert "content" in ask(search, mcp_name="search_code")[1]["result"]
    status, mismatch, _ = web.ask(stateless(3, "tools/list"))
    assert (status, mismatch["id"], mismatch["error"]["code"]) == (400, 3, -32020)
    later = {**_META, "io.modelcontextprotocol/protocolVersion": "2031-01-01"}
    unknown = request(4, "tools/list", _meta=later)
    status, refused, _ = ask(unknown, mcp_protocol_version="2031-01-01")
    assert (status, refused["error"]["code"], refused["error"]["data"]["supported"]) == (400, -32022, ["2026-07-28"])
    status, missing, _ = ask(stateless(5, "no/such"))
    assert (status, missing["error"]["code"]) == (404, -32601)


def test_a_request_whose_id_is_in_use_is_refused_over_http(web: Web) -> None:
    session = web.begin()
    search = call(7, "search_code", query="cart", repository="shop")
    answers = [web.ask([search, search], mcp_session_id=session)[1] for _ in range(3)]
    for both in answers:
        assert sorted("result" in answer for answer in both) == [False, True]
    assert "content" in web.ask(search, mcp_session_id=session)[1]["result"]


@pytest.mark.parametrize("over", ["stdio", "http"])
def test_empty_objects_that_are_written_as_arrays_are_understood(agent: Agent, home: Path, over: str) -> None:
    if over == "stdio":
        agent.begin()
        ask = agent.ask
    else:
        web = Web(home)
        session = web.begin()

        def ask(message: Any) -> Any:
            return web.ask(message, mcp_session_id=session)[1]

    for arguments in ([], {}, "", "{}", '{"limit": 5}', None):
        answer = ask(request(1, "tools/call", name="list_repositories", arguments=arguments))
        assert "result" in answer, arguments
    assert ask({**request(2, "tools/list"), "params": []})["result"]["tools"]
    assert ask(request(3, "tools/call", name="list_repositories", arguments=[1]))["error"]["code"] == -32602


def test_what_is_missing_in_initialize_is_named(agent: Agent) -> None:
    answer = agent.ask(request(1, "initialize", protocolVersion="2025-06-18"))
    assert answer["error"]["code"] == -32602
    assert "clientInfo" in answer["error"]["message"]
