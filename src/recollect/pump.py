"""`recollect mcp`: a thin pump between an agent's stdio and the daemon's socket. Standard library only.

It passes lines on as they are. After the daemon went (it was stopped, crashed, made way for a newer one) it connects
again, replays the handshake if there was one, asks again what only reads and was not answered, and answers the rest with
an error: whether a write was done cannot be known.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time

from recollect import client, jsonrpc
from recollect.errors import RecollectError
from recollect.home import LONGEST_LINE, home_directory, was_stopped

TYPE_CHECKING = False  # as in `recollect`
if TYPE_CHECKING:
    from typing import Any

READ_ONLY = frozenset(  # as in the table of tools, which is slow to load
    [
        "search_code",
        "find_symbol",
        "find_related",
        "read_code",
        "get_repo_map",
        "get_sync_status",
        "get_clone_status",
        "list_repositories",
        "get_repository_status",
        "get_auto_sync_status",
        "retrieve_memory",
        "list_memories",
        "search",
        "get_similar_code",
        "get_source_repo_map",
        "get_indexing_status",
        "get_auto_sync_paths",
        "recall_memory",
        "recall_by_timeframe",
        "search_by_tag",
        "exact_match_retrieve",
        "retrieve_with_quality_boost",
        "debug_retrieve",
        "get_cache_stats",
        "memory_cleanup",
        "check_database_health",
        "cleanup_duplicates",
        "memory_search",
        "memory_list",
        "memory_health",
        "memory_stats",
    ]
)
_CHUNK = 1 << 16
_MOST_OPEN = 1000  # unanswered requests; beyond, stdin waits
_RECONNECTS = 5
_PARENT_CHECK_S = 5.0
_LAST_ANSWERS_S = 5.0  # after stdin was closed, for what was asked before
_LONGEST_READ = 4 * LONGEST_LINE  # bytes; of a line that is longer not even the ids are looked for
_REPLAY = "recollect-handshake"  # id of the replayed initialize, whose answer the agent has had


class _Line:
    """A line of the agent, and the ids (JSON text) of the answers that it still waits for."""

    __slots__ = ("data", "is_batch", "only_reads", "replayed", "waiting")

    def __init__(self, data: bytes, messages: list[jsonrpc.Message], is_batch: bool) -> None:
        self.data = data
        self.is_batch = is_batch
        self.waiting = jsonrpc.owed(messages)
        # What is no call is a list, a ping or the handshake.
        calls = [message for message in messages if message.body.get("method") == "tools/call"]
        self.only_reads = all(call.params.get("name") in READ_ONLY for call in calls)
        self.replayed = False


class Pump:
    def __init__(self, toolsets: list[str] | None, structured: bool = False) -> None:
        """`structured`: answers carry the data as well, for programs."""
        self._hello = client.hello("mcp", toolsets=toolsets, structured=structured)
        self._parent = os.getppid()
        self._socket: socket.socket | None = None
        self._from_agent = bytearray()
        self._from_daemon = bytearray()
        self._open: list[_Line] = []  # those that wait for answers
        self._skipping = False  # the rest of a line that is far too long
        self._initialize: dict[str, Any] | None = None
        self._initialized: dict[str, Any] | None = None
        self._noted: set[str] = set()  # what the daemon had to say that stderr was told
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
            if self._from_agent and not self._skipping:
                self._from_agent += b"\n"  # the last line needs no end
                self._take_lines()
            self._until = time.monotonic() + _LAST_ANSWERS_S
            return
        self._from_agent += data
        self._take_lines()

    def _take_lines(self) -> None:
        start = 0
        while (end := self._from_agent.find(b"\n", start)) >= 0:
            line = bytes(self._from_agent[start : end + 1])
            start = end + 1
            if self._skipping:
                self._skipping = False
            elif not jsonrpc.is_blank(line):
                self._take_line(line)
        del self._from_agent[:start]
        if len(self._from_agent) > _LONGEST_READ:
            if not self._skipping:
                _write(_too_long(jsonrpc.NO_ID))
            self._skipping = True
            self._from_agent.clear()

    def _take_line(self, data: bytes) -> None:
        messages, is_batch = jsonrpc.parse(data)
        line = _Line(data, messages, is_batch)
        if len(data) > LONGEST_LINE:
            for identity in line.waiting:
                _write(_too_long(identity))
            return
        if self._socket is None:
            self._reconnect(line)
        self._note(messages)
        if line.waiting:
            self._open.append(line)
        self._pass_on(data)

    def _note(self, messages: list[jsonrpc.Message]) -> None:
        """Remember what a reconnection needs: the handshake; and which requests are not waited for any longer."""
        for message in messages:
            method = message.body.get("method")
            if method == "initialize" and message.kind == "request":
                self._initialize = message.body
            elif method == "notifications/initialized":
                self._initialized = message.body
            elif method == "notifications/cancelled":
                self._answered(jsonrpc.key_of(message.params.get("requestId")))

    def _answered(self, identity: str | None) -> None:
        """One answer less to wait for, of the oldest line that waits for it."""
        for line in self._open:
            if identity in line.waiting:
                line.waiting.remove(identity)
                if not line.waiting:
                    self._open.remove(line)
                return

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
            identities = _answers(line)
            if identities == [json.dumps(_REPLAY)]:
                continue
            for identity in identities:
                self._answered(identity)
            _write(line)

    # -- connections ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._socket, rest = client.open_connection(self._hello, on_note=self._note_once)
        self._from_daemon.clear()
        if rest:
            self._take(rest)

    def _note_once(self, note: str) -> None:
        """Tell whoever reads stderr, once, also where the daemon is another one later."""
        if note not in self._noted:
            self._noted.add(note)
            sys.stderr.write(f"recollect: {note}\n")
            sys.stderr.flush()

    def _lost(self) -> None:
        """The daemon went. One that somebody stopped is started again by the next request alone."""
        if not was_stopped(home_directory()):
            self._reconnect()
            return
        assert self._socket is not None
        self._socket.close()
        self._socket = None
        unanswered, self._open = self._open, []
        for line in unanswered:
            _answer_with_errors(line, "Recollect's daemon was stopped during this call. Asking again starts it.")

    def _reconnect(self, next_line: _Line | None = None) -> None:
        """`next_line` waits for the connection, and is passed on by the caller."""
        unanswered, self._open = self._open, []
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
                unanswered, self._open = [*self._open, *unanswered], []
                time.sleep(min(0.1 * 2**attempt, 1.0))
        for line in unanswered if next_line is None else [*unanswered, next_line]:
            _answer_with_errors(line, f"Recollect's daemon is not available: {failure}")
        raise SystemExit(4)

    def _replay(self, unanswered: list[_Line]) -> None:
        assert self._socket is not None
        if self._initialize is not None:
            identity = jsonrpc.key_of(self._initialize["id"])
            if not any(identity in line.waiting for line in unanswered):
                self._socket.sendall(_encoded({**self._initialize, "id": _REPLAY}))
            if self._initialized is not None:
                self._socket.sendall(_encoded(self._initialized))
        while unanswered:
            line = unanswered.pop(0)
            if line.only_reads and not line.replayed:
                line.replayed = True
                self._open.append(line)
                self._socket.sendall(line.data)
            else:
                _answer_with_errors(
                    line, "the daemon ended during this call; whether it was done is not known. Try again."
                )

    def _only_errors(self, error: RecollectError) -> int:
        """No daemon can be had: say so to every request rather than vanish."""
        said = f"{error.message}. {error.hint}" if error.hint else error.message
        sys.stderr.write(f"recollect: {said}\n")
        told = error.to_dict()
        while data := sys.stdin.buffer.readline(_LONGEST_READ):
            if jsonrpc.is_blank(data):
                continue
            messages, is_batch = jsonrpc.parse(data)
            answers = []
            for message in messages:
                if message.error is not None:
                    answers.append(jsonrpc.response(message.key or jsonrpc.NO_ID, error=message.error))
                elif message.kind == "request" and message.key is not None:
                    answers.append(_error(message.key, said, told["code"], told["retry"]))
            _write_answers(answers, is_batch)
        return error.exit_code


def _encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _answers(line: bytes) -> list[str]:
    """Ids of the requests that a line of the daemon answers; none for notifications and its own requests."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return []
    items = said if isinstance(said, list) else [said]
    return [json.dumps(item.get("id")) for item in items if isinstance(item, dict) and "method" not in item]


def _answer_with_errors(line: _Line, message: str) -> None:
    _write_answers([_error(identity, message) for identity in line.waiting], line.is_batch)


def _write_answers(answers: list[str], is_batch: bool) -> None:
    if is_batch and answers:
        _write(f"[{','.join(answers)}]\n".encode())
    elif answers:
        _write("".join(f"{answer}\n" for answer in answers).encode())


def _error(key: str, message: str, code: str = "connection_lost", retry: bool = True) -> str:
    return jsonrpc.response(key, error={"code": -32000, "message": message, "data": {"code": code, "retry": retry}})


def _too_long(key: str) -> bytes:
    said = f"longer than {LONGEST_LINE // 1_000_000} MB"
    return f"{_error(key, said, 'too_long', retry=False)}\n".encode()


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
