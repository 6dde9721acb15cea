"""MCP over HTTP: who gets a session, batches, and which session makes room for a new one.

The SDK opens a session first and then looks at what the request says. Here a request is looked at before: what is refused
opens none, and ends no session of anybody else.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER, StreamableHTTPServerTransport, check_accept_headers
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from recollect import jsonrpc, text
from recollect.server.lines import wrong_in_initialize
from recollect.server.mcp import Roots

_MOST: Final = 256  # programs that open sessions and never end them are common
_IDLE_S: Final = 1800.0
_GUARDED: Final = TransportSecuritySettings(enable_dns_rebinding_protection=False)  # `Guard` has seen to that
_NO_SESSION: Final = (
    "There is no session: begin with initialize and send the Mcp-Session-Id of its answer, "
    "or send MCP-Protocol-Version: 2026-07-28 and the _meta of that protocol with each request"
)


@dataclass(slots=True)
class _Session:
    requests: int = 0  # in flight
    ids: set[str] = field(default_factory=set)  # of these, as the SDK compares them
    roots: Roots = field(default_factory=Roots)


class Sessions(StreamableHTTPSessionManager):
    """The SDK's manager refuses new sessions when there are too many; this one ends an idle one first."""

    def __init__(self, server: Server[Any]) -> None:
        super().__init__(server, security_settings=_GUARDED, max_sessions=_MOST, session_idle_timeout=_IDLE_S)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()  # last used ones last

    def roots_of(self, session: str | None) -> Roots:
        """What is known of the folders of a session's client."""
        known = self._sessions.get(session) if session is not None else None
        return known.roots if known is not None else Roots()

    async def handle_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body() if request.method == "POST" else b""
        version = request.headers.get(MCP_PROTOCOL_VERSION_HEADER)
        session = request.headers.get(MCP_SESSION_ID_HEADER)
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            # stateless, or a version that nobody knows
            await super().handle_request(scope, _replayed(_mended(body), receive), send)
            return
        if session is not None and session not in self._sessions:
            said = "Session not found: it ended. Begin again with initialize, without this Mcp-Session-Id"
            await _refusal(404, jsonrpc.INVALID_REQUEST, said)(scope, receive, send)
        elif request.method == "POST":
            await self._post(request, session, body, scope, receive, send)
        elif session is None:
            await _refusal(400, jsonrpc.INVALID_REQUEST, _NO_SESSION)(scope, receive, send)
        else:
            await self._pass_on(session, scope, receive, send)

    async def _post(
        self, request: Request, session: str | None, body: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        messages, is_batch = jsonrpc.parse(body)
        refusal = _refused(request, session, messages, is_batch)
        if refusal is not None:
            await refusal(scope, receive, send)
        elif is_batch:
            await self._batch(messages, session, scope, receive, send)
        else:
            await self._single(messages[0], session, scope, receive, send)

    async def _single(
        self, message: jsonrpc.Message, session: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Pass on one message, as the SDK takes it."""
        receive = _replayed(text.to_json(text.mended(message.body)).encode(), receive)
        known = self._sessions.get(session) if session is not None else None
        identity = str(message.body.get("id")) if message.kind == "request" else None
        if known is None or identity is None:
            await self._pass_on(session, scope, receive, send)
        elif identity in known.ids:
            said = "Invalid request: another request with this id is not answered yet"
            await _refusal(400, jsonrpc.INVALID_REQUEST, said, message.key)(scope, receive, send)
        else:
            known.ids.add(identity)
            try:
                await self._pass_on(session, scope, receive, send)
            finally:
                known.ids.discard(identity)

    async def _pass_on(self, session: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        """To the SDK. A session that is used, or begins, counts as the last one used."""
        if session is None:
            await self._make_room()

        async def noting(message: Message) -> None:
            nonlocal session
            if message["type"] == "http.response.start" and session is None and message["status"] < 400:
                headers = dict(message["headers"])
                opened = headers.get(MCP_SESSION_ID_HEADER.encode())
                if opened is not None:
                    session = opened.decode()
                    self._sessions[session] = _Session(requests=1)
            await send(message)

        known = self._sessions.get(session) if session is not None else None
        if session is not None and known is not None:
            known.requests += 1
            self._sessions.move_to_end(session)
        try:
            await super().handle_request(scope, receive, noting)
        finally:
            known = self._sessions.get(session) if session is not None else None
            if known is not None:
                known.requests -= 1

    async def _discard_session(self, session_id: str, transport: StreamableHTTPServerTransport) -> None:
        """However a session ends: by its client, unused for long, or to make room."""
        self._sessions.pop(session_id, None)
        await super()._discard_session(session_id, transport)

    async def _make_room(self) -> None:
        while len(self._sessions) >= _MOST:
            idle = next((name for name, session in self._sessions.items() if not session.requests), None)
            if idle is None:
                return  # the SDK refuses the new one
            del self._sessions[idle]
            headers = [(MCP_SESSION_ID_HEADER.encode(), idle.encode()), (b"accept", b"application/json")]
            scope: Scope = {"type": "http", "method": "DELETE", "path": "/mcp", "query_string": b"", "headers": headers}
            await super().handle_request(scope, _nothing, _unsent)

    # -- batches (protocol 2025-03-26) --------------------------------------------------------------------------------

    async def _batch(
        self, messages: Sequence[jsonrpc.Message], session: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Each message as a request of its own; the answers as one array."""
        tasks = [asyncio.create_task(self._one_of_batch(message, session, scope)) for message in messages]
        left = asyncio.create_task(_disconnected(receive))
        together = asyncio.ensure_future(asyncio.wait(tasks))
        try:
            await asyncio.wait([together, left], return_when=asyncio.FIRST_COMPLETED)
            if not together.done():
                return
            answers = [answer for answer in (task.result() for task in tasks) if answer is not None]
        finally:
            for task in (left, *tasks):
                task.cancel()
            await asyncio.gather(together, left, *tasks, return_exceptions=True)
        if answers:
            response = Response(f"[{','.join(answers)}]", media_type="application/json")
        else:
            response = Response(status_code=202)
        await response(scope, receive, send)

    async def _one_of_batch(self, message: jsonrpc.Message, session: str | None, scope: Scope) -> str | None:
        if message.error is not None:
            return jsonrpc.response(message.key or jsonrpc.NO_ID, error=message.error)
        if not message.body:
            return None
        received = bytearray()

        async def keep(part: Message) -> None:
            if part["type"] == "http.response.body":
                received.extend(part.get("body", b""))

        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        alone = {**scope, "headers": headers}
        await self._single(message, session, alone, _never, keep)
        if message.kind != "request" or message.key is None:
            return None
        return _answer_in(bytes(received), message.key)


def _refused(
    request: Request, session: str | None, messages: Sequence[jsonrpc.Message], is_batch: bool
) -> Response | None:
    """Why a POST of the protocols with a handshake cannot be served, if so."""
    accepts_json, accepts_events = check_accept_headers(request)
    if not (accepts_json and accepts_events):
        said = "Not acceptable: accept both application/json and text/event-stream"
        return _refusal(406, jsonrpc.INVALID_REQUEST, said)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _refusal(415, jsonrpc.INVALID_REQUEST, "Unsupported media type: send application/json")
    first = messages[0]
    if not is_batch and first.error is not None:
        return _refusal(400, first.error["code"], first.error["message"], first.key)
    if not is_batch and first.kind == "notification" and not first.body:
        return _refusal(400, jsonrpc.INVALID_REQUEST, "Invalid request: not a notification of JSON-RPC 2.0")
    if not is_batch and isinstance(first.body.get("id"), float):
        return _refusal(400, jsonrpc.INVALID_REQUEST, "Invalid request: its id is a fraction", first.key)
    if session is not None:
        return None
    if is_batch or first.kind != "request" or first.body["method"] != "initialize":
        key = first.key if not is_batch and first.kind == "request" else None
        meta = first.params.get("_meta")
        if isinstance(meta, dict) and types.PROTOCOL_VERSION_META_KEY in meta:
            said = "Header mismatch: the MCP-Protocol-Version header is missing"
            return _refusal(400, types.HEADER_MISMATCH, said, key)
        return _refusal(400, jsonrpc.INVALID_REQUEST, _NO_SESSION, key)
    wrong = wrong_in_initialize(first.params)
    return _refusal(400, jsonrpc.INVALID_PARAMS, wrong, first.key) if wrong is not None else None


def _refusal(status: int, code: int, message: str, key: str | None = None) -> Response:
    body = jsonrpc.response(key or jsonrpc.NO_ID, error={"code": code, "message": message})
    return Response(body, status_code=status, media_type="application/json")


def _mended(body: bytes) -> bytes:
    """A body in which halves of characters are replaced, for which the SDK would refuse it."""
    if b"\\ud" in body.lower():
        with suppress(ValueError, RecursionError):
            return json.dumps(text.mended(json.loads(body))).encode()
    return body


def _answer_in(received: bytes, key: str) -> str:
    """The answer in the body of a response: JSON, or a stream of events with other messages before it."""
    events = [line[5:] for line in received.splitlines() if line.startswith(b"data:")]
    for item in reversed(events or [received]):
        with suppress(ValueError):
            message = json.loads(item)
            if isinstance(message, dict) and "method" not in message:
                return text.to_json({**message, "id": json.loads(key)})
    return jsonrpc.response(key, error={"code": types.INTERNAL_ERROR, "message": "the session ended"})


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` of a request whose body was read already."""
    is_read = False

    async def again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _unsent(message: Message) -> None:
    pass
