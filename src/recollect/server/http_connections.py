"""How long an HTTP connection may take, and how many there may be: uvicorn bounds neither.

Whoever reaches 127.0.0.1 may connect, also as another user. Until a request came with the token, a connection belongs to a
stranger: of these there are few, and the oldest makes room for the next, so that nobody who sends a request is kept out.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any, Final

import h11
from starlette.types import Scope
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

BACKLOG: Final = 512  # connections that the kernel keeps until they are accepted
ACCEPTED_AT_ONCE: Final = 64  # then it is the turn of whatever else waits
_STRANGERS, _MEMBERS = 256, 512
_LOOK_S: Final = 1.0
_LIMIT_S: Final = {
    "request line and headers": 10.0,
    "body": 30.0,
    "rest of a body that is answered already": 2.0,
    "reading the answer": 30.0,  # without any progress
    "closing": 5.0,
}


class Connections:
    """All connections of one HTTP server. On the event loop."""

    def __init__(self) -> None:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        files = 1 << 20 if files == resource.RLIM_INFINITY else files
        self._most_strangers = min(_STRANGERS, files // 8)
        self._most_members = min(_MEMBERS, files // 4)
        self._strangers: dict[Connection, None] = {}  # oldest first
        self._members: dict[Connection, None] = {}
        self._looking: asyncio.TimerHandle | None = None

    @property
    def open(self) -> int:
        return len(self._strangers) + len(self._members)

    def add(self, connection: Connection) -> None:
        self._strangers[connection] = None
        if len(self._strangers) > self._most_strangers:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.transport.abort()
        self._look_later()

    def admit(self, connection: Connection) -> bool:
        """Whether a connection that sent the token is served: not where too many are already."""
        if connection not in self._members:
            if len(self._members) >= self._most_members:
                return False
            self._strangers.pop(connection, None)
            self._members[connection] = None
        return True

    def remove(self, connection: Connection) -> None:
        self._strangers.pop(connection, None)
        self._members.pop(connection, None)

    def _look_later(self) -> None:
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        """End those that take too long."""
        self._looking = None
        for connection in [*self._strangers, *self._members]:
            if connection.is_overdue():
                connection.transport.abort()
        if self.open:
            self._look_later()


class Connection(H11Protocol):
    """One connection. Its phases are looked at once a second, so the limits are that exact."""

    bounds: Connections  # set by `protocol_of`: uvicorn makes the objects

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, "connection": self}, _loop)
        self._step: object = None
        self._since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.bounds.add(self)
        self.is_overdue()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.bounds.remove(self)

    def is_overdue(self) -> bool:
        """Whether what is waited for takes longer than it may."""
        phase = self._phase()
        progress = self.transport.get_write_buffer_size() if phase == "reading the answer" else 0
        step = (phase, self.cycle, progress)
        if step != self._step:
            self._step, self._since = step, self.loop.time()
        return phase is not None and self.loop.time() - self._since > _LIMIT_S[phase]

    def _phase(self) -> str | None:
        """What is waited for; None: for us."""
        is_answered = self.cycle is None or self.cycle.response_complete
        if self.transport.is_closing():
            return "closing"
        if self.flow.write_paused:
            return "reading the answer"
        if self.conn.their_state is h11.SEND_BODY:
            return "rest of a body that is answered already" if is_answered else "body"
        return "request line and headers" if is_answered else None


def protocol_of(connections: Connections) -> type[Connection]:
    """The protocol of a server whose connections these are."""

    class Bounded(Connection):
        bounds = connections

    return Bounded


def admit(scope: Scope) -> bool:
    """Whether there is room for the connection of a request that came with the token."""
    connection = scope.get("state", {}).get("connection")
    return connection is None or bool(connection.bounds.admit(connection))
