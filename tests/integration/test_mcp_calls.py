"""Calls of MCP that take long: they are answered in time, tell how far they are, and end when nobody wants them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

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
    server = await asyncio.open_connection(sock=ours)
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
