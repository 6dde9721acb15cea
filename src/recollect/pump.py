"""`recollect mcp`: a thin pump between an agent's stdio and the daemon's socket. Standard library only.

It passes lines on as they are. After the daemon went (it was stopped, crashed, made way for a newer one) it connects
again, replays the handshake, asks again what only reads and was not answered, and answers the rest with an error: whether
a write was done cannot be known.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time

from recollect import client
from recollect.errors import RecollectError
from recollect.home import LONGEST_LINE, home_directory, was_stopped

TYPE_CHECKING = False  # as in `recollect`
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_READ_ONLY = frozenset(
    [
        "search_code",
        "find_symbol",
        "read_code",
        "get_sync_status",
        "list_repositories",
        "get_repository_status",
        "search",
        "get_similar_code",
        "get_indexing_status",
    ]
)
_CHUNK = 1 << 16
_MOST_OPEN = 1000  # unanswered requests; beyond, stdin waits
_RECONNECTS = 5
_PARENT_CHECK_S = 5.0
_LAST_ANSWERS_S = 5.0  # after stdin was closed, for what was asked before


class Pump:
    def __init__(self, toolsets: list[str] | None, structured: bool = False) -> None:
        """`structured`: answers carry the data as well, for programs."""
        self._hello = client.hello("mcp", toolsets=toolsets, structured=structured)
        self._parent = os.getppid()
        self._socket: socket.socket | None = None
        self._from_agent = bytearray()
        self._from_daemon = bytearray()
        self._open: dict[str, tuple[bytes, bool]] = {}  # id of a request without answer → (its line, replayed already)
        self._initialize: bytes | None = None
        self._initialized: bytes | None = None
        self._swallow: str | None = None  # id of the replayed handshake, whose answer the agent has had
        self._until: float | None = None  # the agent closed its side

    def run(self) -> int:
        try:
            self._connect()
        except RecollectError as error:
            return self._only_errors(error)
        while True:
            waiting: list[Any] = [self._socket] if self._socket is not None else []
            if self._until is None and len(self._open) < _MOST_OPEN:
                waiting.append(0)
            left = self._until - time.monotonic() if self._until is not None else _PARENT_CHECK_S
            ready, _, _ = select.select(waiting, [], [], max(left, 0.0))
            if os.getppid() != self._parent:
                return 0
            if 0 in ready:
                self._read_agent()
            if self._socket in ready and not self._read_daemon():
                if self._until is not None:
                    return 0
                self._lost()
            if self._until is not None and (not self._open or time.monotonic() >= self._until):
                return 0

    # -- agent → daemon ---------------------------------------------------------------------------------------------

    def _read_agent(self) -> None:
        data = os.read(0, _CHUNK)
        if not data:
            self._until = time.monotonic() + _LAST_ANSWERS_S
            return
        self._from_agent += data
        while (at := self._from_agent.find(b"\n")) >= 0:
            line = bytes(self._from_agent[: at + 1])
            del self._from_agent[: at + 1]
            if self._socket is None and line.strip():
                self._reconnect(_asked(_messages(line)))
            if len(line) > LONGEST_LINE:
                for identity in _asked(_messages(line)):
                    _write(_error(identity, f"longer than {LONGEST_LINE // 1_000_000} MB", "too_long", retry=False))
            elif line.strip():
                self._note(line)
                self._pass_on(line)

    def _note(self, line: bytes) -> None:
        """Remember what a reconnection needs: the handshake, and requests until they are answered."""
        messages = _messages(line)
        for item in messages:
            method = item.get("method")
            if method == "initialize":
                self._initialize = line
            elif method == "notifications/initialized":
                self._initialized = line
            elif method == "notifications/cancelled":
                self._open.pop(_key(_params(item).get("requestId")), None)
        for identity in _asked(messages):
            self._open[identity] = (line, False)

    def _pass_on(self, line: bytes) -> None:
        assert self._socket is not None
        try:
            self._socket.sendall(line)
        except OSError:
            self._lost()  # sends it, for it is among the unanswered, or answers it

    # -- daemon → agent ---------------------------------------------------------------------------------------------

    def _read_daemon(self) -> bool:
        """Pass on what the daemon said; False where it went."""
        assert self._socket is not None
        try:
            data = self._socket.recv(_CHUNK)
        except OSError:
            data = b""
        self._take(data)
        return bool(data)

    def _take(self, data: bytes) -> None:
        self._from_daemon += data
        while (at := self._from_daemon.find(b"\n")) >= 0:
            line = bytes(self._from_daemon[: at + 1])
            del self._from_daemon[: at + 1]
            identity = _answered(line)
            if identity is not None and identity == self._swallow:
                self._swallow = None
                continue
            if identity is not None:
                self._open.pop(identity, None)
            _write(line)

    # -- connections ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._socket, rest = client.open_connection(self._hello)
        self._from_daemon.clear()
        if rest:
            self._take(rest)

    def _lost(self) -> None:
        """The daemon went. One that somebody stopped is started again by the next request alone."""
        if not was_stopped(home_directory()):
            self._reconnect()
            return
        assert self._socket is not None
        self._socket.close()
        self._socket = None
        unanswered, self._open = self._open, {}
        for identity in unanswered:
            _write(_error(identity, "Recollect's daemon was stopped during this call. Asking again starts it."))

    def _reconnect(self, asked: Iterable[str] = ()) -> None:
        """`asked`: ids of requests that wait for the connection, and are passed on then."""
        unanswered, self._open = self._open, {}
        for attempt in range(_RECONNECTS):
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            try:
                self._connect()
                self._replay(unanswered)
                return
            except (RecollectError, OSError) as error:
                failure = error
                time.sleep(min(0.1 * 2**attempt, 1.0))
        for identity in (*unanswered, *asked):
            _write(_error(identity, f"Recollect's daemon is not available: {failure}"))
        raise SystemExit(4)

    def _replay(self, unanswered: dict[str, tuple[bytes, bool]]) -> None:
        assert self._socket is not None
        if self._initialize is not None:
            identity = _key(json.loads(self._initialize)["id"])
            if identity not in unanswered:
                self._swallow = identity
                self._socket.sendall(self._initialize)
            if self._initialized is not None:
                self._socket.sendall(self._initialized)
        for identity, (line, again) in unanswered.items():
            if not again and _only_reads(line):
                self._open[identity] = (line, True)
                self._socket.sendall(line)
            else:
                _write(
                    _error(identity, "the daemon ended during this call; whether it was done is not known. Try again.")
                )

    def _only_errors(self, error: RecollectError) -> int:
        """No daemon can be had: say so to every request rather than vanish."""
        said = f"{error.message}. {error.hint}" if error.hint else error.message
        sys.stderr.write(f"recollect: {said}\n")
        told = error.to_dict()
        for line in sys.stdin.buffer:
            for identity in _asked(_messages(line)):
                _write(_error(identity, said, told["code"], told["retry"]))
        return error.exit_code


def _key(identity: Any) -> str:
    return json.dumps(identity)


def _messages(line: bytes) -> list[dict[str, Any]]:
    """What a line holds; nothing where it cannot be understood."""
    try:
        message = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return []
    return [item for item in (message if isinstance(message, list) else [message]) if isinstance(item, dict)]


def _params(message: dict[str, Any]) -> dict[str, Any]:
    params = message.get("params")
    return params if isinstance(params, dict) else {}


def _asked(messages: list[dict[str, Any]]) -> list[str]:
    """Ids of the requests among them."""
    return [_key(item["id"]) for item in messages if "method" in item and item.get("id") is not None]


def _answered(line: bytes) -> str | None:
    """Id of the request that a line answers; None for notifications and the server's own requests."""
    for item in _messages(line):
        if item.get("id") is not None and "method" not in item:
            return _key(item["id"])
    return None


def _only_reads(line: bytes) -> bool:
    # What is no call is a list, a ping or the handshake.
    calls = [item for item in _messages(line) if item.get("method") == "tools/call"]
    return all(_params(item).get("name") in _READ_ONLY for item in calls)


def _error(key: str, message: str, code: str = "connection_lost", retry: bool = True) -> bytes:
    error = {"code": -32000, "message": message, "data": {"code": code, "retry": retry}}
    return f'{{"jsonrpc":"2.0","id":{key},"error":{json.dumps(error)}}}\n'.encode()


def _write(line: bytes) -> None:
    view = memoryview(line)
    try:
        while view:
            view = view[os.write(1, view) :]
    except BrokenPipeError:
        raise SystemExit(0) from None


def main(arguments: list[str]) -> int:
    """`recollect mcp [--toolsets a,b] [--structured]`."""
    toolsets, structured = None, False
    rest = list(arguments)
    while rest:
        given = rest.pop(0)
        name, _, value = given.partition("=")
        if name == "--toolsets" and (value or rest):
            toolsets = [part.strip() for part in (value or rest.pop(0)).split(",") if part.strip()]
        elif given == "--structured":
            structured = True
        elif name in ("-h", "--help"):
            sys.stdout.write(_HELP)
            return 0
        else:
            sys.stderr.write(f"recollect mcp: unknown argument {given}\n{_HELP}")
            return 2
    try:
        return Pump(toolsets, structured).run()
    except KeyboardInterrupt:
        return 130


_HELP = """usage: recollect mcp [--toolsets code,repositories,auto_sync,memory[,compat]] [--structured]

Serve MCP on stdin and stdout, for coding agents. Answers are text for a model to read;
with --structured they carry the data as well (structuredContent), for programs. For example:
  claude mcp add recollect -- recollect mcp
"""
