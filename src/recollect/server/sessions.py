"""MCP over HTTP: sessions, of which the one that was longest without a request makes room for a new one."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from mcp.server.lowlevel import Server
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

_MOST: Final = 256  # programs that open sessions and never end them are common
_IDLE_S: Final = 1800.0
_GUARDED: Final = TransportSecuritySettings(enable_dns_rebinding_protection=False)  # `Guard` has seen to that


class Sessions(StreamableHTTPSessionManager):
    """The SDK's manager refuses new sessions when there are too many; this one ends an idle one first."""

    def __init__(self, server: Server[Any]) -> None:
        super().__init__(server, security_settings=_GUARDED, max_sessions=_MOST, session_idle_timeout=_IDLE_S)
        self._requests: OrderedDict[str, int] = OrderedDict()  # session → requests in flight, last used ones last

    async def handle_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = Headers(scope=scope).get(MCP_SESSION_ID_HEADER)
        if session is None:
            await self._make_room()

        async def noting(message: Message) -> None:
            nonlocal session
            if message["type"] == "http.response.start" and session is None:
                session = Headers(raw=message["headers"]).get(MCP_SESSION_ID_HEADER)
                self._begin(session)
            await send(message)

        if session in self._requests:
            self._begin(session)
        try:
            await super().handle_request(scope, receive, noting)
        finally:
            if session is not None and session in self._requests:
                self._requests[session] -= 1

    def _begin(self, session: str | None) -> None:
        if session is not None:
            self._requests[session] = self._requests.get(session, 0) + 1
            self._requests.move_to_end(session)

    async def _make_room(self) -> None:
        while len(self._requests) >= _MOST:
            idle = next((session for session, requests in self._requests.items() if not requests), None)
            if idle is None:
                return  # the SDK refuses the new one
            del self._requests[idle]
            headers = [(MCP_SESSION_ID_HEADER.encode(), idle.encode()), (b"accept", b"application/json")]
            scope: Scope = {"type": "http", "method": "DELETE", "path": "/mcp", "query_string": b"", "headers": headers}
            await super().handle_request(scope, _nothing, _unsent)


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _unsent(message: Message) -> None:
    pass
