"""Connections of the unix socket: who may connect, how many at once, how much each may send before it is served.

Everything here belongs to one user, so the bounds are against programs that went wrong, and keep the command line served.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from recollect.errors import RecollectError, Refused, Unavailable
from recollect.home import LONGEST_HELLO, LONGEST_LINE
from recollect.private import check_peer

_MOST_GREETING: Final = 256  # connections without a hello; beyond, the oldest is closed
_MOST_OF_ROLE: Final = {"mcp": 512, "client": 256}  # apart, so that agents never keep the command line out
_MOST_UNREAD: Final = 256_000_000  # bytes that wait in all connections; who goes beyond is closed
_HELLO_S: Final = 10.0
_SPARE: Final = 16  # descriptors kept for connections when all others are in use
_RETRY_S: Final = 0.1
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
log = logging.getLogger("recollect.daemon")


class Stream(asyncio.StreamReader):
    """What a connection sends. Before its hello was read it may send no more than one."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(limit=LONGEST_LINE)
        self._listener = listener
        self._unread = 0
        self.greeted = False
        self.close: Callable[[], None] = lambda: None

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # the transport has bytes only
        self.count(len(data))
        if (not self.greeted and self._unread > LONGEST_HELLO) or self._listener.unread > _MOST_UNREAD:
            self.close()
        else:
            super().feed_data(data)

    async def readline(self) -> bytes:
        """Raises ValueError for a line that is too long; what is there of it is dropped."""
        try:
            line = await super().readline()
        except ValueError:
            self.count(-self._unread)
            raise
        self.count(-len(line))
        return line

    def count(self, added: int) -> None:
        added = max(added, -self._unread)
        self._unread += added
        self._listener.unread += added

    def forget(self) -> None:
        """The connection is over."""
        self.count(-self._unread)


Serve = Callable[[Stream, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """Accepts connections and has each one served. On the event loop."""

    def __init__(self, listening: socket.socket, serve: Serve) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._serve = serve
        self._greeting: dict[Stream, None] = {}  # oldest first
        self._served: dict[str, int] = {}
        self._spare: list[int] = []
        self._fill_spare()
        self.unread = 0

    async def run(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    log.warning("a connection was lost before it was accepted: %s", error.strerror)
                if error.errno not in _EXHAUSTED or not self._use_spare():
                    await asyncio.sleep(_RETRY_S)
                continue
            try:
                check_peer(connection)
                await self._admit(loop, connection)
            except (OSError, Refused) as error:
                self._turn_away(connection, error)

    async def _admit(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        stream = Stream(self)
        protocol = asyncio.StreamReaderProtocol(stream, self._connected, loop=loop)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection)
        stream.close = transport.abort
        self._greeting[stream] = None
        if len(self._greeting) > _MOST_GREETING:
            oldest = next(iter(self._greeting))
            del self._greeting[oldest]
            oldest.close()

    @staticmethod
    def _turn_away(connection: socket.socket, error: Exception) -> None:
        log.warning("a connection was refused: %s", error)
        if isinstance(error, RecollectError):
            with suppress(OSError):
                connection.send(json.dumps({"error": error.to_dict()}).encode() + b"\n")
        connection.close()

    async def _connected(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(stream, Stream)
        try:
            await self._serve(stream, writer)
        finally:
            self._greeting.pop(stream, None)
            stream.forget()
            self._fill_spare()

    async def hello(self, stream: Stream) -> bytes:
        """The first line of a connection. Raises TimeoutError, ValueError."""
        async with asyncio.timeout(_HELLO_S):
            line = await stream.readline()
        self._greeting.pop(stream, None)
        stream.greeted = True
        return line

    def enter(self, role: str) -> None:
        """Count a connection ("mcp" or "client") that is served until `leave`. Raises Unavailable: there are too many."""
        most = _MOST_OF_ROLE[role]
        if self._served.get(role, 0) >= most:
            raise Unavailable(
                f"the daemon serves {most} connections of this kind already",
                hint="End programs that keep connections open, or: recollect daemon restart",
                code="too_many_connections",
            )
        self._served[role] = self._served.get(role, 0) + 1

    def leave(self, role: str) -> None:
        self._served[role] -= 1

    # -- descriptors --------------------------------------------------------------------------------------------------

    def _use_spare(self) -> bool:
        """Free a descriptor for the next connection; False where none is left."""
        if not self._spare:
            return False
        os.close(self._spare.pop())
        return True

    def _fill_spare(self) -> None:
        with suppress(OSError):
            while len(self._spare) < _SPARE:
                self._spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
