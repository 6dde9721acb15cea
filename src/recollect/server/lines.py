"""MCP over a connection of lines (stdio, passed on by the pump): whatever a client sends, each request gets one answer.

The SDK serves a connection in the era of its first request: with a handshake (up to 2025-11-25), or stateless (2026-07-28).
Here two of its loops share one connection, and each request goes to the one that understands it. Requests are numbered
anew for the loops, so that ids may be fractions, huge, or used twice at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import types
from mcp.shared.inbound import InboundLadderRejection, classify_inbound_request
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from pydantic import ValidationError

from recollect import jsonrpc, text
from recollect.home import LONGEST_LINE

Items = MemoryObjectReceiveStream[SessionMessage | Exception]
ServeLoop = Callable[[Items, "Connection"], Coroutine[Any, Any, None]]
_MOST_UNREAD = 64_000_000  # bytes of answers that a client did not read; beyond, its connection is closed
_NOT_BEFORE_INITIALIZE = frozenset({"tools/list", "tools/call"})


class _Batch:
    """The answers to one array of messages: written as one array when the last request has ended."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._answers: list[str] = []
        self._waiting = 1  # for the last message of the array to be handed over

    def expect(self) -> None:
        self._waiting += 1

    def settle(self, answer: str | None) -> None:
        """One of those that were expected has ended; without an answer if it was cancelled."""
        if answer is not None:
            self._answers.append(answer)
        self._waiting -= 1
        if not self._waiting and self._answers:
            self._write(f"[{','.join(self._answers)}]")


@dataclass(slots=True, eq=False)
class _Era:
    """One loop of the SDK: what it reads comes by `send`."""

    send: MemoryObjectSendStream[SessionMessage | Exception]
    receive: Items


@dataclass(slots=True)
class _Open:
    """A request without an answer. `key`: its id as the client wrote it."""

    key: str
    era: _Era
    batch: _Batch | None = field(default=None)


class Connection:
    """One connection, and the write stream of its loops. On the event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._handshake = _Era(*anyio.create_memory_object_stream[SessionMessage | Exception]())
        self._stateless = _Era(*anyio.create_memory_object_stream[SessionMessage | Exception]())
        self._numbers = itertools.count(1)
        self._open: dict[int, _Open] = {}
        self._has_begun = False

    async def run(self, serve: ServeLoop) -> None:
        """Serve until the client closes its side; what it still waits for is cancelled then."""
        async with anyio.create_task_group() as group:
            for era in (self._handshake, self._stateless):
                group.start_soon(serve, era.receive, self)
            try:
                await self._read()
            finally:
                self._handshake.send.close()
                self._stateless.send.close()

    # -- from the client ----------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
            while True:
                try:
                    line = await self._reader.readline()
                except ValueError:
                    said = f"Invalid request: longer than {LONGEST_LINE // 1_000_000} MB"
                    self._answer(jsonrpc.NO_ID, None, {"code": jsonrpc.INVALID_REQUEST, "message": said})
                    continue
                if not line:
                    return
                if not jsonrpc.is_blank(line):
                    await self._take(line)
                # Reading never waits for writing: the pump may be in the middle of sending, and not read meanwhile.
                if self._writer.transport.get_write_buffer_size() > _MOST_UNREAD:
                    self._writer.transport.abort()
                    return

    async def _take(self, line: bytes) -> None:
        messages, is_batch = jsonrpc.parse(line)
        halves = b"\\ud" in line.lower()  # of characters: a text that was cut in UTF-16
        batch = _Batch(self._write) if is_batch else None
        for message in messages:
            if batch is not None and message.key is not None and message.kind != "response":
                batch.expect()
            body = text.mended(message.body) if halves else message.body
            if message.error is not None:
                self._answer(message.key or jsonrpc.NO_ID, batch, message.error)
            elif message.kind == "request":
                await self._request(message.key or jsonrpc.NO_ID, body, batch)
            elif message.kind == "response":
                await self._response(body)
            elif body:
                await self._notification(body)
        if batch is not None:
            batch.settle(None)

    async def _request(self, key: str, body: dict[str, Any], batch: _Batch | None) -> None:
        method, params = body["method"], body.get("params")
        is_stateless = method != "initialize" and _has_envelope(params)
        error = None if is_stateless else self._refusal(method, params)
        if error is not None:
            self._answer(key, batch, error)
            return
        era = self._stateless if is_stateless else self._handshake
        self._has_begun |= method == "initialize"
        number = next(self._numbers)
        self._open[number] = _Open(key, era, batch)
        given = {} if params is None else {"params": params}
        request = types.JSONRPCRequest(jsonrpc="2.0", id=number, method=method, **given)
        metadata = ServerMessageMetadata(on_request_unanswered=partial(self._unanswered, number))
        await era.send.send(SessionMessage(request, metadata=metadata))

    def _refusal(self, method: str, params: Any) -> dict[str, Any] | None:
        """Why a request without the envelope of the stateless protocol cannot be served, if so."""
        if method == "initialize":
            wrong = wrong_in_initialize(params)
            return {"code": jsonrpc.INVALID_PARAMS, "message": wrong} if wrong else None
        if method == "server/discover":
            missing = classify_inbound_request({"method": method, "params": params})
            assert isinstance(missing, InboundLadderRejection)
            return {"code": missing.code, "message": missing.message}
        if method in _NOT_BEFORE_INITIALIZE and not self._has_begun:
            said = f"{method} came before initialize. Send initialize first, or the _meta of protocol 2026-07-28 with each request."
            return {"code": jsonrpc.INVALID_REQUEST, "message": said}
        return None

    async def _notification(self, body: dict[str, Any]) -> None:
        method, params = body["method"], body.get("params")
        if method == "notifications/cancelled":
            await self._cancel(params if isinstance(params, dict) else {})
            return
        self._has_begun |= method == "notifications/initialized"
        given = {} if params is None else {"params": params}
        await self._handshake.send.send(
            SessionMessage(types.JSONRPCNotification(jsonrpc="2.0", method=method, **given))
        )

    async def _cancel(self, params: dict[str, Any]) -> None:
        wanted = jsonrpc.key_of(params.get("requestId"))
        if wanted is None:
            return
        exact = [number for number, open_ in self._open.items() if open_.key == wanted]
        alike = [number for number, open_ in self._open.items() if open_.key.strip('"') == wanted.strip('"')]
        for number in exact or alike:
            notification = types.JSONRPCNotification(
                jsonrpc="2.0", method="notifications/cancelled", params={**params, "requestId": number}
            )
            open_ = self._open.get(number)
            if open_ is not None:
                await open_.era.send.send(SessionMessage(notification))

    async def _response(self, body: dict[str, Any]) -> None:
        """To a request of ours: only sessions with a handshake get any."""
        with suppress(ValueError):
            message = types.jsonrpc_message_adapter.validate_python(body, by_name=False)
            await self._handshake.send.send(SessionMessage(message))

    # -- to the client: the SDK's write stream ------------------------------------------------------------------------

    async def send(self, item: SessionMessage, /) -> None:
        message = item.message
        if isinstance(message, types.JSONRPCResponse):
            self._settle(message.id, result=message.result)
        elif isinstance(message, types.JSONRPCError):
            self._settle(message.id, error=message.error.model_dump(mode="json", exclude_none=True))
        else:
            self._write(message.model_dump_json(by_alias=True, exclude_unset=True))
        try:
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise anyio.BrokenResourceError from error

    async def _unanswered(self, number: int) -> None:
        """A request ended without an answer: it was cancelled."""
        open_ = self._open.pop(number, None)
        if open_ is not None and open_.batch is not None:
            open_.batch.settle(None)

    def _settle(
        self, number: Any, *, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None
    ) -> None:
        open_ = self._open.pop(number, None)
        if open_ is None:
            return
        said = None if result is None else text.to_json(result, ensure_ascii=False, separators=(",", ":"))
        self._answer(open_.key, open_.batch, error, said)

    def _answer(
        self, key: str, batch: _Batch | None, error: dict[str, Any] | None = None, result: str | None = None
    ) -> None:
        answer = jsonrpc.response(key, result=result, error=error)
        if batch is not None:
            batch.settle(answer)
        else:
            self._write(answer)

    def _write(self, line: str) -> None:
        if not self._writer.is_closing():
            self._writer.write(line.encode("utf-8", "replace") + b"\n")

    async def aclose(self) -> None:
        """Of one loop: the other one may still write."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> bool | None:
        return None


def wrong_in_initialize(params: Any) -> str | None:
    """What is missing or wrong in the parameters of initialize, which the SDK does not name."""
    try:
        types.InitializeRequestParams.model_validate(params or {}, by_name=False)
    except ValidationError as error:
        names = sorted({".".join(map(str, item["loc"])) for item in error.errors()[:5]})
        return f"Invalid params: initialize needs protocolVersion, capabilities and clientInfo; wrong or missing: {', '.join(names)}"
    return None


def _has_envelope(params: Any) -> bool:
    """Whether a request says itself which version of the protocol it is of, as requests do since 2026-07-28."""
    meta = params.get("_meta") if isinstance(params, dict) else None
    return isinstance(meta, dict) and types.PROTOCOL_VERSION_META_KEY in meta
