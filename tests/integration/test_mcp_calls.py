"""Calls of MCP that take long: they are answered in time, tell how far they are, and end when nobody wants them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from recollect import jsonrpc
from recollect.home import LONGEST_LINE
from recollect.model import Progress
from recollect.server import schema, tools
from recollect.server.mcp import Client, Mcp
from recollect.server.tooling import Answer, Call, Tool
from recollect.workspace import Caller, Workspace
from tests.conftest import SHOP, MakeRepository, wait_until

_LIMIT_S = 0.5
Use = Callable[["Agent"], Awaitable[None]]


class Agent:
    """The other side of an MCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, method: str, identity: Any = None, **params: Any) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self.writer.write(json.dumps(message if identity is None else {**message, "id": identity}).encode() + b"\n")

    def call(self, identity: Any, tool: str, token: Any = None, **arguments: Any) -> None:
        meta = {} if token is None else {"_meta": {"progressToken": token}}
        self.send("tools/call", identity, name=tool, arguments=arguments, **meta)

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await asyncio.wait_for(self._reader.readline(), 30))
        return message

    async def result(self, identity: Any) -> str:
        """The text of an answer, which is the next message."""
        answer = await self.receive()
        assert answer["id"] == identity
        return str(answer["result"]["content"][0]["text"])


@asynccontextmanager
async def _agent(mcp: Mcp, cwd: Path | None) -> AsyncIterator[Agent]:
    ours, theirs = socket.socketpair()
    server = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
    reader, writer = await asyncio.open_connection(sock=theirs)
    serving = asyncio.create_task(mcp.serve(*server, Client(Caller(cwd=str(cwd) if cwd else None, agent=True), None)))
    agent = Agent(reader, writer)
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    agent.send("initialize", 0, **client)
    await agent.receive()
    agent.send("notifications/initialized")
    try:
        yield agent
    finally:
        writer.close()
        await asyncio.wait_for(serving, 30)
        server[1].close()


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as opened:
        yield opened


def served(
    workspace: Workspace, use: Use, limit_s: float = _LIMIT_S, every_s: float = 30.0, cwd: Path | None = None
) -> None:
    async def main() -> None:
        with ThreadPoolExecutor() as quick, ThreadPoolExecutor() as waiting:
            mcp = Mcp(workspace, quick, waiting, answer_within_s=limit_s, progress_every_s=every_s)
            async with _agent(mcp, cwd) as agent:
                await use(agent)

    asyncio.run(main())


class Slow:
    """A tool that ends when it is let, or when its call is cancelled."""

    def __init__(self, name: str = "slow", **options: Any) -> None:
        self.go_on, self.running, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.was_cancelled = False
        self.report: Callable[[Progress], None] = lambda progress: None
        self.tool = Tool(name, "code", "Slow.", schema.Nothing, self._run, waits=True, **options)

    def _run(self, call: Call, parameters: Any) -> Answer:
        self.report = call.on_progress
        self.running.set()
        while not self.go_on.wait(0.01) and not call.cancelled.is_set():
            pass
        self.was_cancelled = call.cancelled.is_set()
        self.ended.set()
        return {}, "done"


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    made = Slow()
    monkeypatch.setitem(tools.BY_NAME, "slow", made.tool)
    yield made
    made.go_on.set()


def test_a_question_that_takes_too_long_is_stopped_and_says_so(workspace: Workspace, slow: Slow) -> None:
    async def use(agent: Agent) -> None:
        agent.call(1, "slow")
        said = await agent.result(1)
        assert "timeout" in said
        assert "was stopped" in said
        await asyncio.to_thread(slow.ended.wait, 30)
        assert slow.was_cancelled
        agent.call(2, "list_repositories")
        assert "repository" in await agent.result(2)

    served(workspace, use)


def test_a_change_that_takes_too_long_goes_on_and_says_where_to_look(
    workspace: Workspace, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tools.BY_NAME, "slow", replace(slow.tool, reads=False, toolset="memory"))

    async def use(agent: Agent) -> None:
        agent.call(1, "slow")
        said = await agent.result(1)
        assert "still_running" in said
        assert "list_memories" in said
        assert not slow.ended.is_set()
        slow.go_on.set()
        await asyncio.to_thread(slow.ended.wait, 30)
        assert not slow.was_cancelled

    served(workspace, use)


@pytest.mark.parametrize("use_async_sync", ["true", "false"])
def test_a_sync_that_takes_too_long_goes_on_and_is_followed_by_its_status(
    home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch, use_async_sync: str
) -> None:
    monkeypatch.setenv("USE_ASYNC_SYNC", use_async_sync)
    root = make_repository(SHOP, "shop")

    async def use(agent: Agent) -> None:
        agent.call(1, "sync_repository", repository_path=str(root), wait_s=3600)
        said = await agent.result(1)
        assert said.startswith("shop:")
        assert "running" in said
        assert "get_sync_status" in said

    with Workspace(home) as workspace:
        indexer = workspace.about()["indexer_pid"]
        os.kill(indexer, signal.SIGSTOP)
        try:
            served(workspace, use, limit_s=5.0, cwd=root)
        finally:
            os.kill(indexer, signal.SIGCONT)
        wait_until(lambda: workspace.sync_status("shop").status == "completed")


def test_every_call_with_a_token_tells_that_it_goes_on_with_rising_values(workspace: Workspace, slow: Slow) -> None:
    async def use(agent: Agent) -> None:
        agent.call(1, "slow", token="t")
        values = []
        while len(values) < 5:
            message = await agent.receive()
            assert message["method"] == "notifications/progress"
            assert message["params"]["progressToken"] == "t"
            assert "slow" in message["params"]["message"]
            values.append(message["params"]["progress"])
        for percentage in (40.0, 100.0, 0.0, 50.0):
            slow.report(Progress("parsing", percentage, True, files_done=1))
            while (message := await agent.receive())["params"]["message"] != "parsing: 1 of ? files":
                values.append(message["params"]["progress"])
            values.append(message["params"]["progress"])
        slow.go_on.set()
        while "method" in (message := await agent.receive()):
            values.append(message["params"]["progress"])
        assert message["id"] == 1
        assert values == sorted(set(values))
        assert max(values) < 100

    served(workspace, use, limit_s=60, every_s=0.02)


def test_a_call_without_a_token_is_told_nothing(workspace: Workspace, slow: Slow) -> None:
    async def use(agent: Agent) -> None:
        agent.call(1, "slow")
        await asyncio.to_thread(slow.running.wait, 30)
        await asyncio.sleep(0.1)
        slow.go_on.set()
        assert await agent.result(1) == "done"

    served(workspace, use, limit_s=60, every_s=0.02)


def test_a_call_that_is_cancelled_ends_and_is_not_answered(workspace: Workspace, slow: Slow) -> None:
    async def use(agent: Agent) -> None:
        agent.call(1, "slow", token=1)
        await asyncio.to_thread(slow.running.wait, 30)
        agent.send("notifications/cancelled", requestId=1, reason="no longer wanted")
        await asyncio.to_thread(slow.ended.wait, 30)
        assert slow.was_cancelled
        agent.send("ping", 2)
        assert (await agent.receive())["id"] == 2

    served(workspace, use, limit_s=60, every_s=30)


def test_a_call_of_a_batch_that_is_cancelled_does_not_hold_up_the_others(workspace: Workspace, slow: Slow) -> None:
    async def use(agent: Agent) -> None:
        def call(identity: int) -> dict[str, Any]:
            params = {"name": "slow", "arguments": {}}
            return {"jsonrpc": "2.0", "id": identity, "method": "tools/call", "params": params}

        batch = [call(1), {"jsonrpc": "2.0", "id": 2, "method": "ping"}]
        agent.writer.write(json.dumps(batch).encode() + b"\n")
        await asyncio.to_thread(slow.running.wait, 30)
        agent.send("notifications/cancelled", requestId=1)
        answers: Any = await agent.receive()
        assert [answer["id"] for answer in answers] == [2]

    served(workspace, use, limit_s=60)


def test_a_call_of_a_client_that_went_away_ends(workspace: Workspace, slow: Slow) -> None:
    async def use(agent: Agent) -> None:
        agent.call(1, "slow")
        await asyncio.to_thread(slow.running.wait, 30)
        agent.writer.close()
        await asyncio.to_thread(wait_until, slow.ended.is_set)
        assert slow.was_cancelled

    served(workspace, use, limit_s=60)


# -- the law: each request gets one answer ----------------------------------------------------------------------------

_IDS: list[Any] = [0, 1, 1, "1", "", 2.5, 2**80, None, True, [1], "\ud800"]
_METHODS: list[Any] = ["ping", "tools/list", "tools/call", "server/discover", "resources/list", "no/such", "", 5, None]
_META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
_PARAMS: list[Any] = [
    None,
    {},
    [],
    [1],
    "x",
    {"name": "list_repositories", "arguments": {}},
    {"name": "list_repositories", "arguments": '{"limit": 3}', "_meta": _META},
    {"name": "no_such", "arguments": [], "_meta": {"progressToken": 1.5}},
    {"_meta": _META},
    {"_meta": {**_META, "io.modelcontextprotocol/protocolVersion": 7}},
    {"_meta": "garbage"},
    {"requestId": 1},
]
_LINES = [b"", b"\r", b"garbage", b"\xef\xbb\xbf", b"\xff\xfe", b"[]", b"1", b"null", b"[" * 300, b"[1, []]", b"{}"]


def _random_message(random: Random) -> Any:
    message: dict[str, Any] = {}
    if random.random() < 0.95:
        message["jsonrpc"] = random.choice(["2.0", "2.0", "2.0", "1.0"])
    if random.random() < 0.8:
        message["id"] = random.choice(_IDS)
    if random.random() < 0.95:
        message["method"] = random.choice(_METHODS)
    if random.random() < 0.8:
        message["params"] = random.choice(_PARAMS)
    return message


def _random_line(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.2:
        return random.choice(_LINES)
    if kind < 0.4:
        batch = [_random_message(random) for _ in range(random.randrange(4))]
        return json.dumps(batch).encode()
    return json.dumps(_random_message(random)).encode()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_client_sends_each_request_gets_one_answer(workspace: Workspace, seed: int) -> None:
    random = Random(seed)
    lines = [_random_line(random) for _ in range(200)]
    owed: Counter[str] = Counter()
    arrays = 0
    for line in lines:
        if not jsonrpc.is_blank(line):
            messages, is_batch = jsonrpc.parse(line)
            owed.update(jsonrpc.owed(messages))
            arrays += is_batch and bool(jsonrpc.owed(messages))

    async def use(agent: Agent) -> None:
        for line in lines:
            agent.writer.write(line + b"\n")
        received: Counter[str] = Counter()
        arrays_received = 0
        while received.total() < owed.total():
            answer: Any = await agent.receive()
            arrays_received += isinstance(answer, list)
            items = answer if isinstance(answer, list) else [answer]
            received.update(json.dumps(item["id"]) for item in items)
            assert all(("result" in item) != ("error" in item) for item in items)
        assert received == owed
        assert arrays_received == arrays
        agent.send("ping", "last")
        assert (await agent.receive())["id"] == "last"

    served(workspace, use, limit_s=60)


def test_a_client_that_does_not_read_is_read_all_the_same(workspace: Workspace) -> None:
    async def use(agent: Agent) -> None:
        padding = "x" * 10_000_000
        for number in range(2_000):
            agent.send("tools/list", number)
        agent.call("last", "search_code", query=padding)
        await asyncio.wait_for(agent.writer.drain(), 30)  # all of it was taken, though nothing was read
        received = {(await agent.receive())["id"] for _ in range(2_001)}
        assert received == {*range(2_000), "last"}

    served(workspace, use, limit_s=60)


# -- HTTP -------------------------------------------------------------------------------------------------------------


def served_over_http(workspace: Workspace, use: Callable[[Any], Awaitable[None]], limit_s: float = 60.0) -> None:
    """`use` is given an HTTP client of the MCP endpoint."""
    import httpx2

    from recollect.server.web import Web

    async def main() -> None:
        with ThreadPoolExecutor() as quick, ThreadPoolExecutor() as waiting:
            web = Web(workspace, Mcp(workspace, quick, waiting, answer_within_s=limit_s), quick, waiting)
            await web.start(0)
            headers = {
                "authorization": f"Bearer {(workspace.home / 'run' / 'token').read_text().strip()}",
                "accept": "application/json, text/event-stream",
            }
            address = f"http://127.0.0.1:{web.port}"
            async with httpx2.AsyncClient(base_url=address, headers=headers, timeout=30) as client:
                await use(client)
            await web.close()

    asyncio.run(main())


def _message(method: str, identity: Any = None, **params: Any) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    return message if identity is None else {**message, "id": identity}


async def _session(client: Any) -> dict[str, str]:
    """The header of a new session."""
    who = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    begun = await client.post("/mcp", json=_message("initialize", 0, **who))
    return {"mcp-session-id": begun.headers["mcp-session-id"]}


_STATELESS = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "slow"}


def test_a_call_over_http_is_answered_in_time_in_both_eras(workspace: Workspace, slow: Slow) -> None:
    async def use(client: Any) -> None:
        session = await _session(client)
        said = await client.post("/mcp", json=_message("tools/call", 1, name="slow"), headers=session)
        assert "timeout" in said.text
        stateless = _message("tools/call", 1, name="slow", _meta=_META)
        said = await client.post("/mcp", json=stateless, headers=_STATELESS)
        assert "timeout" in said.text

    served_over_http(workspace, use, limit_s=_LIMIT_S)


@pytest.mark.parametrize("how", ["cancelled", "deleted"])
def test_a_call_over_http_ends_with_its_session_or_when_it_is_cancelled(
    workspace: Workspace, slow: Slow, how: str
) -> None:
    async def use(client: Any) -> None:
        session = await _session(client)
        asked = client.post("/mcp", json=_message("tools/call", 1, name="slow"), headers=session)
        asking = asyncio.create_task(asked)
        await asyncio.to_thread(slow.running.wait, 30)
        if how == "deleted":
            await client.delete("/mcp", headers=session)
        else:
            await client.post("/mcp", json=_message("notifications/cancelled", requestId=1), headers=session)
        await asyncio.to_thread(wait_until, slow.ended.is_set)
        assert slow.was_cancelled
        with suppress(Exception):  # the server may close the connection of a session that ended
            assert "content" not in (await asking).text

    served_over_http(workspace, use)


def test_a_stateless_call_ends_when_its_client_goes_away(workspace: Workspace, slow: Slow) -> None:
    async def use(client: Any) -> None:
        stateless = _message("tools/call", 1, name="slow", _meta=_META)
        asking = asyncio.create_task(client.post("/mcp", json=stateless, headers=_STATELESS))
        await asyncio.to_thread(slow.running.wait, 30)
        asking.cancel()
        await asyncio.to_thread(wait_until, slow.ended.is_set)
        assert slow.was_cancelled

    served_over_http(workspace, use)


def test_calls_of_a_batch_end_when_their_client_goes_away_with_its_session(workspace: Workspace, slow: Slow) -> None:
    async def use(client: Any) -> None:
        session = await _session(client)
        batch = [_message("ping", 1), _message("tools/call", 2, name="slow")]
        asking = asyncio.create_task(client.post("/mcp", json=batch, headers=session))
        await asyncio.to_thread(slow.running.wait, 30)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await client.delete("/mcp", headers=session)
        await asyncio.to_thread(wait_until, slow.ended.is_set)
        assert slow.was_cancelled

    served_over_http(workspace, use)
