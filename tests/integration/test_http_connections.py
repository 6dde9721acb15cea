"""How long an HTTP connection may wait for its client: each phase has a limit of its own, and work of ours has none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from recollect.server import http_connections
from recollect.server.http_connections import Connections, admit, protocol_of
from recollect.server.web import _listen, _Server

_CLOSED_S = 20.0
_LARGE = b"x" * 20_000_000


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] != "/stranger":
        assert admit(scope)
    if scope["path"] == "/body":
        while (await receive()).get("more_body"):
            pass
    if scope["path"] == "/slow":
        await asyncio.sleep(1.0)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": _LARGE if scope["path"] == "/large" else b"ok"})


@asynccontextmanager
async def _served() -> AsyncIterator[tuple[int, Connections]]:
    listener, connections = _listen(0), Connections()
    config = uvicorn.Config(
        _app, lifespan="off", log_config=None, ws="none", loop="none", http=protocol_of(connections)
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1], connections
    finally:
        server.should_exit = True
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def _head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: here", *lines, "", ""]).encode()


@pytest.fixture(autouse=True)
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connections, "_LOOK_S", 0.05)
    monkeypatch.setattr(http_connections, "_LIMIT_S", dict.fromkeys(http_connections._LIMIT_S, 0.3))


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"", b""),
        (b"GET / HT", b""),
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n"),
        (_head("/body", "Content-Length: 1000000"), b"x"),
        (_head("/body", "Transfer-Encoding: chunked"), b"1\r\na\r\n"),
        (_head("/stranger", "Content-Length: 1000000"), b"x"),
        (_head("/stranger", "Content-Length: 0"), b"GET"),
        (_head("/large", "Content-Length: 0"), b""),
    ],
    ids=["silent", "line", "headers", "body", "chunks", "rest of a body", "next request", "answer"],
)
def test_who_keeps_us_waiting_is_cut_off(first: bytes, piece: bytes) -> None:
    async def scenario() -> None:
        async with _served() as (port, connections):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(0.1)
            assert connections.open
            transport = writer.transport
            transport.pause_reading()  # type: ignore[attr-defined]
            transport.write(first)
            async with asyncio.timeout(_CLOSED_S):
                with suppress(ConnectionError):
                    while connections.open:
                        writer.write(piece)
                        await asyncio.sleep(0.05)
            writer.close()

    asyncio.run(scenario())


def test_work_of_ours_has_no_limit_here() -> None:
    async def scenario() -> bytes:
        async with _served() as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_head("/slow", "Content-Length: 0", "Connection: close"))
            answer = await reader.read()
            writer.close()
            return answer

    assert b"ok" in asyncio.run(scenario())


def test_the_oldest_stranger_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connections, "_STRANGERS", 3)
    monkeypatch.setattr(http_connections, "_LIMIT_S", dict.fromkeys(http_connections._LIMIT_S, 60.0))

    async def scenario() -> None:
        async with _served() as (port, _):
            member = await asyncio.open_connection("127.0.0.1", port)
            member[1].write(_head("/body", "Content-Length: 5"))
            await asyncio.sleep(0.2)
            strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
            for reader, _ in strangers[:2]:
                with suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), _CLOSED_S) == b""
            strangers[-1][1].write(_head("/stranger", "Content-Length: 0"))
            assert (await strangers[-1][0].readline()).startswith(b"HTTP/1.1 200")
            member[1].write(b"12345")
            assert (await member[0].readline()).startswith(b"HTTP/1.1 200")
            for _, writer in [member, *strangers]:
                writer.close()

    asyncio.run(scenario())


def test_a_member_too_many_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections()
    monkeypatch.setattr(connections, "_most_members", 1)
    first, second = object(), object()
    assert connections.admit(first)  # type: ignore[arg-type]
    assert connections.admit(first)  # type: ignore[arg-type]
    assert not connections.admit(second)  # type: ignore[arg-type]
    connections.remove(first)  # type: ignore[arg-type]
    assert connections.admit(second)  # type: ignore[arg-type]
