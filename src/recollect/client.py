"""The socket's client side: finds the daemon or starts it, asks it. Standard library only, for it must start fast.

Newline-delimited JSON. The first line each way is a hello; a call is `{"id", "method", "params"}`, its answer
`{"id", "result"}` or `{"id", "error"}`, with any number of `{"id", "progress"}` before; `{"cancel": id}` stops it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from recollect import __version__
from recollect.errors import RecollectError, Unavailable, UserError, from_dict
from recollect.home import (
    LONGEST_HELLO,
    LONGEST_LINE,
    PROTOCOL,
    START_LOCK,
    home_directory,
    run_folder,
    socket_path,
    was_stopped,
)
from recollect.private import check_peer, open_private, opener

TYPE_CHECKING = False  # as in `recollect`
if TYPE_CHECKING:
    from typing import Any

_START_S = 30.0  # a cold start takes well under a second; this is for machines on their knees
_HELLO_S = 10.0
# What a caller's own calls may use, beyond what the daemon has: credentials and permissions, never settings.
_HANDED_OVER = (  # what a clone that this client asks for may use
    "SSH_AUTH_SOCK",
    "GIT_ASKPASS",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "GITLAB_TOKEN",
    "BITBUCKET_TOKEN",
    "GITEA_TOKEN",
    "GIT_TOKEN",
    "GIT_TOKEN_HOST",
    "RECOLLECT_CLONE_ALLOW_HTTP",
    "RECOLLECT_CLONE_ALLOW_LOCAL",
)
# Settings whose values a client tells the daemon, which says where another one is in force. None of them can hold a secret.
SETTINGS = (
    "AUTO_SYNC_ENABLED",
    "AUTO_SYNC_PATHS",
    "AUTO_SYNC_EXCLUDE",
    "AUTO_SYNC_SCAN_INTERVAL",
    "AUTO_SYNC_INTERVAL",
    "AUTO_SYNC_MAX_CONCURRENT",
    "AUTO_SYNC_PRIORITY_LANGUAGES",
    "AUTO_SYNC_SIZE_THRESHOLD",
    "AUTO_SYNC_AUTO_WATCH",
    "AUTO_SYNC_ON_STARTUP",
    "AUTO_SYNC_MAX_DEPTH",
    "AUTO_SYNC_MIN_FILES",
    "USE_ASYNC_SYNC",
    "SYNC_BATCH_SIZE",
    "SYNC_QUEUE_SIZE",
    "RECOLLECT_BARRIER_MS",
    "RECOLLECT_CLONES_BUDGET",
    "RECOLLECT_CLONES_EVICT",
    "RECOLLECT_CLONE_MAX_BYTES",
    "RECOLLECT_CLONE_TIMEOUT",
    "RECOLLECT_EMBEDDER",
    "RECOLLECT_EMBEDDER_TIMEOUT",
    "RECOLLECT_FETCH_INTERVAL",
    "RECOLLECT_FRESH_BUDGET_MS",
    "RECOLLECT_HTTP_PORT",
    "RECOLLECT_IDLE_EXIT",
    "RECOLLECT_LOG_LEVEL",
    "RECOLLECT_MAX_FILE_BYTES",
    "RECOLLECT_MAX_REPOSITORY_BYTES",
    "RECOLLECT_MAX_REPOSITORY_FILES",
    "RECOLLECT_MEMORY_LIMIT",
    "RECOLLECT_REDACT_SECRETS",
    "RECOLLECT_WORKERS",
)
_SETTINGS_CHARACTERS = 20_000  # of all values together: a hello has a limit


class HandedOver(Exception):
    """The daemon was of an older version and made way."""


def handed_over(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment the clones of its owner may use."""
    return {name: environment[name] for name in _HANDED_OVER if name in environment}


def set_by(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of an environment that may be told, as many as have room in a hello."""
    told, room = {}, _SETTINGS_CHARACTERS
    for name in SETTINGS:
        if name in environment and len(environment[name]) <= room:
            told[name] = environment[name]
            room -= len(environment[name])
    return told


def hello(
    role: str,
    *,
    toolsets: list[str] | None = None,
    structured: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """First line of a connection. `role`: "client" (calls as above) or "mcp" (MCP's own lines follow)."""
    return {
        "recollect": PROTOCOL,
        "role": role,
        "version": __version__,
        "cwd": _working_directory(),
        "project_dir": environment.get("CLAUDE_PROJECT_DIR") or None,
        "toolsets": toolsets,
        "structured": structured,
        "env": handed_over(environment),
        "settings": set_by(environment),
        "pid": os.getpid(),
    }


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None  # it was deleted


def open_connection(
    greeting: dict[str, Any],
    home: Path | None = None,
    *,
    start: bool = True,
    on_note: Callable[[str], None] = lambda note: None,
) -> tuple[socket.socket, bytes]:
    """A connection past its hello, and what came after that already. `on_note`: is told what the daemon has to say of it.

    Raises:
        Unavailable: no daemon and none wanted ("not_running"), or it cannot start.
        UserError: a setting is wrong.
    """
    home = home if home is not None else home_directory()
    for _ in range(3):
        connection = _connected(home, start)
        try:
            return connection, _greet(connection, greeting, on_note)
        except HandedOver:
            connection.close()
            continue
        except (OSError, ValueError):
            connection.close()
            time.sleep(0.05)  # it was ending: start another
        except BaseException:
            connection.close()
            raise
    raise Unavailable("the daemon does not answer", hint=f"See {home / 'run' / 'daemon.log'}", code="no_daemon")


def _connected(home: Path, start: bool) -> socket.socket:
    connection = _try_connect(home)
    if connection is not None:
        return connection
    if not start:
        raise Unavailable("no daemon is running", hint="recollect daemon start", code="not_running")
    try:
        lock = open_private(run_folder(home) / START_LOCK, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise Unavailable(
            f"{home} cannot be used: {error.strerror}", hint="Set RECOLLECT_HOME.", code="no_home"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one starter at a time; the others find what it started
        connection = _try_connect(home)
        if connection is None:
            start_daemon(home)
            connection = _try_connect(home)
    finally:
        os.close(lock)
    if connection is None:
        raise Unavailable("the daemon started and ended", hint=f"See {home / 'run' / 'daemon.log'}", code="no_daemon")
    return connection


def _try_connect(home: Path) -> socket.socket | None:
    """A connection whose other end belongs to this user, in a folder that is this user's alone; nothing was sent yet."""
    try:
        path = socket_path(home)
        if not os.path.lexists(path):
            return None
        run_folder(home)  # refuses one that others could have put there
    except OSError:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(os.fspath(path))
        check_peer(connection)
    except OSError:
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return connection


def start_ahead() -> None:
    """Begin to start a daemon that is about to be asked. Whoever asks waits for it, or hears why it cannot start."""

    def begin() -> None:
        with suppress(OSError, RecollectError):
            _connected(home_directory(), start=True).close()

    threading.Thread(target=begin, daemon=True).start()


def start_daemon(home: Path) -> None:
    """Start a daemon that outlives this process; returns when it listens. Raises what it said, if it does not."""
    import subprocess

    reading, writing = os.pipe()
    try:
        with open(run_folder(home) / "daemon.log", "ab", opener=opener) as log:
            subprocess.Popen(
                [sys.executable, "-m", "recollect.server.daemon", os.fspath(home), str(writing)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"MALLOC_ARENA_MAX": "1", **os.environ},  # as in `jobs/pipe.py`
                pass_fds=[writing],
                start_new_session=True,
                cwd="/",
            )
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = _read_until_closed(pipe.fileno())
    if said == b"listening\n":
        return
    if said:
        raise from_dict(json.loads(said))
    raise Unavailable("the daemon could not start", hint=f"See {home / 'run' / 'daemon.log'}", code="no_daemon")


def process_table() -> list[bytes]:
    """This user's processes where there is no /proc: number, parent's number, state, start, command, a line each."""
    import subprocess

    command = ["ps", "-ww", "-U", str(os.geteuid()), "-o", "pid=,ppid=,state=,lstart=,command="]
    return subprocess.run(command, capture_output=True, check=False).stdout.splitlines()


def _read_until_closed(descriptor: int) -> bytes:
    import select

    said = b""
    until = time.monotonic() + _START_S
    while not said.endswith(b"\n") and select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
        part = os.read(descriptor, 65536)
        if not part:
            break
        said += part
    return said


def _greet(connection: socket.socket, greeting: dict[str, Any], on_note: Callable[[str], None]) -> bytes:
    connection.settimeout(_HELLO_S)
    connection.sendall(json.dumps(greeting).encode() + b"\n")
    said = b""
    while b"\n" not in said:
        part = connection.recv(65536)
        if not part or len(said) > LONGEST_HELLO:
            raise ConnectionError("the daemon closed the connection")
        said += part
    connection.settimeout(None)
    line, _, rest = said.partition(b"\n")
    answer = json.loads(line)
    if answer.get("handover"):
        raise HandedOver
    if "error" in answer:
        raise from_dict(answer["error"])
    for note in answer.get("notes", ()):
        on_note(str(note))
    return rest


class Connection:
    """Calls to the daemon, one at a time. Use as a context manager."""

    def __init__(self, home: Path | None = None, *, start: bool = True) -> None:
        self._home, self._start = home, start
        self._number = 0
        self._open()

    def _open(self) -> None:
        self._socket, rest = open_connection(hello("client"), self._home, start=self._start)
        self._buffer = bytearray(rest)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def call(
        self, method: str, params: dict[str, Any], on_progress: Callable[[dict[str, Any]], None] | None = None
    ) -> Any:
        """The result of a call; raises the daemon's error. Interrupted (Ctrl-C), it cancels the call and waits for its end.

        Where the daemon ends meanwhile it is started again and asked once more: each method may be asked twice.
        """
        try:
            return self._call(method, params, on_progress)
        except Unavailable as error:
            if error.code != "connection_lost" or method == "stop" or not self._start:
                raise
            if was_stopped(self._home or home_directory()):
                hint = "Asking again starts it."
                raise Unavailable("the daemon was stopped during this call", hint=hint, code="stopped") from error
            self.close()
            self._open()
            return self._call(method, params, on_progress)

    def _call(self, method: str, params: dict[str, Any], on_progress: Callable[[dict[str, Any]], None] | None) -> Any:
        self._number += 1
        number = self._number
        self._send({"id": number, "method": method, "params": params})
        interrupted = False
        while True:
            try:
                message = self._receive()
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                self._send({"cancel": number})
                continue
            if message.get("id") != number:
                continue
            if "progress" in message:
                if on_progress is not None:
                    on_progress(message["progress"])
            elif "error" in message:
                if interrupted:
                    raise KeyboardInterrupt
                raise from_dict(message["error"])
            else:
                return message["result"]

    def _send(self, message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        if len(line) > LONGEST_LINE:
            raise UserError(f"that is longer than {LONGEST_LINE // 1_000_000} MB", code="too_long")
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise _gone() from error

    def _receive(self) -> dict[str, Any]:
        while (at := self._buffer.find(b"\n")) < 0:
            try:
                part = self._socket.recv(1 << 18)
            except OSError as error:
                raise _gone() from error
            if not part:
                raise _gone()
            self._buffer += part
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        message: dict[str, Any] = json.loads(line)
        return message


def _gone() -> RecollectError:
    return Unavailable("the daemon ended while it was asked", hint="Ask again.", code="connection_lost")
