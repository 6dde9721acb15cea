"""What the daemon does once it is started: it listens, and answers whoever asks.

It listens before it imports what is slow. It never parses, hashes or embeds a file: that is the indexer's.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import logging.handlers
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import recollect
from recollect import __version__, escape, processes, text
from recollect.errors import RecollectError, Unavailable, UserError
from recollect.home import PROTOCOL, mark_stopped, run_folder, socket_path, still_owned
from recollect.private import opener
from recollect.server import logs
from recollect.server.listener import Listener, Stream

if TYPE_CHECKING:
    from recollect.jobs.pipe import Started
    from recollect.server.mcp import Mcp
    from recollect.server.web import Web
    from recollect.workspace import Caller, Workspace

_QUICK_THREADS: Final = 16
_WAITING_THREADS: Final = 256
_IDLE_CHECK_S: Final = 5.0
_END_S: Final = 8.0  # from the wish to end on
_MCP_AFTER_S: Final = 2.0  # its code is loaded, whatever is going on
_SETTINGS_S: Final = 2.0  # a client waits for what its settings are worth
_MOST_CALLS: Final = 64  # of one connection at once; beyond, what it sends waits
_MOST_UNSENT: Final = 1_000_000  # bytes that a client has not read; beyond, progress is not sent
_REPLACED_S: Final = 2.0  # since the last file of another version was written: all of them are there
log = logging.getLogger("recollect.daemon")


class _Program(NamedTuple):
    """The files that this program is made of, and when the last of them was put there."""

    files: tuple[tuple[str, int, int, int], ...]
    written_at: float


def _program() -> _Program | None:
    """As it is on the disk now; None where it is gone. An update in place, or a `git pull`, changes it under a daemon."""
    files, written, todo = [], 0.0, [os.path.dirname(recollect.__file__)]
    try:
        while todo:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if not entry.is_dir():
                        stat = entry.stat()
                        files.append((entry.path, stat.st_mtime_ns, stat.st_size, stat.st_ino))
                        written = max(written, stat.st_ctime)
                    elif entry.name != "__pycache__":
                        todo.append(entry.path)
    except OSError:
        return None  # in the middle of being replaced
    return _Program(tuple(sorted(files)), written) if os.path.exists(__file__) else None


class Daemon:
    def __init__(self, home: Path, lock: int, listener: socket.socket, program: _Program) -> None:
        self._home = home
        self._lock = lock
        self._listening = listener
        self._listener = Listener(listener, self._connected)
        self._program = program
        self._workspace: Workspace
        self._mcp: Mcp
        self._mcp_wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self._web: Web | None = None
        self._quick = ThreadPoolExecutor(_QUICK_THREADS, thread_name_prefix="quick")
        self._waiting = ThreadPoolExecutor(_WAITING_THREADS, thread_name_prefix="waiting")
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._last_used = time.monotonic()
        self._stopping = asyncio.Event()

    async def run(self, workspace: Workspace) -> None:
        """Serve until told to stop."""
        self._workspace = workspace
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        accepting = asyncio.create_task(self._listener.run(), name="accept")
        accepting.add_done_callback(lambda task: self._stopping.set())  # nobody could reach it any longer
        importing = asyncio.create_task(self._import_mcp(), name="import-mcp")
        idle = asyncio.create_task(self._end_when_idle(), name="idle")
        await self._stopping.wait()
        _end_by_force_after(_END_S)
        for task in (accepting, idle, importing):
            task.cancel()
        self._listening.close()
        for task, writer in list(self._connections.items()):
            task.cancel()
            writer.close()
        await asyncio.gather(accepting, idle, importing, *self._connections, return_exceptions=True)
        if self._web is not None:
            await self._web.close()

    def _stop(self) -> None:
        """Somebody wants it to end: sessions of agents do not start another one until they need it."""
        mark_stopped(self._home)
        self._stopping.set()

    async def _import_mcp(self) -> None:
        """In a thread, once an agent comes, or whoever the daemon was started for has been served: not while a first
        sync needs the processor most.
        """
        if not self._workspace.settings.recollect_http_port:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._mcp_wanted.wait(), _MCP_AFTER_S)

        def load() -> Mcp:
            from recollect.server.mcp import Mcp

            served = Mcp(self._workspace, self._quick, self._waiting)
            self._workspace.warm()
            gc.freeze()  # what was imported stays: looking through it for garbage took 50 to 100 ms of some question each time
            return served

        try:
            self._mcp = await asyncio.get_running_loop().run_in_executor(self._quick, load)
            self._ready.set()
            port = self._workspace.settings.recollect_http_port
            if port:
                await self._open_web(port)
        except RecollectError as error:
            log.error("no page and no API: %s", error.message)
        except Exception:
            log.exception("the MCP server cannot be loaded")
            self._stopping.set()

    async def _open_web(self, port: int) -> Web:
        """The HTTP side, listening. Raises Unavailable."""
        self._mcp_wanted.set()
        await self._ready.wait()
        from recollect.server.web import Web

        if self._web is None:
            self._web = Web(self._workspace, self._mcp, self._quick, self._waiting)
        await self._web.start(port)
        return self._web

    async def _end_when_idle(self) -> None:
        limit = self._workspace.settings.recollect_idle_exit
        while True:
            await asyncio.sleep(min(_IDLE_CHECK_S, limit))
            if not still_owned(self._home, self._lock):
                log.warning("%s was removed: ending", self._home)
                self._stopping.set()
            elif not self._workspace.syncing and self._replaced():
                log.info("the program was replaced: making way")
                self._stopping.set()
            elif self._connections or self._workspace.syncing:
                self._last_used = time.monotonic()
            elif self._web is not None and self._web.busy_at > self._last_used:
                self._last_used = self._web.busy_at
            elif time.monotonic() - self._last_used > limit:
                log.info("idle for %.0f s: ending", limit)
                self._stopping.set()

    def _replaced(self) -> bool:
        """Whether another version of this program lies where it came from, and nothing goes on that would be broken off."""
        if self._workspace.meters.running:
            return False
        found = _program()
        if found is None or found.files == self._program.files:
            return False
        return time.time() - found.written_at > _REPLACED_S

    # -- connections --------------------------------------------------------------------------------------------------

    async def _connected(self, reader: Stream, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        self._last_used = time.monotonic()
        try:
            await self._serve(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass
        except Exception:
            log.exception("a connection failed")
        finally:
            self._connections.pop(task, None)
            self._last_used = time.monotonic()
            with suppress(Exception):
                writer.close()

    async def _serve(self, reader: Stream, writer: asyncio.StreamWriter) -> None:
        try:
            hello = json.loads(await self._listener.hello(reader))
            role, version, protocol = str(hello["role"]), str(hello["version"]), int(hello["recollect"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return  # not one of ours
        newer = _number(version) > _number(__version__)
        if newer or self._replaced():
            log.info("%s: making way", f"a client of version {version} came" if newer else "the program was replaced")
            writer.write(b'{"handover": true}\n')
            await writer.drain()
            self._stopping.set()
            return
        if protocol != PROTOCOL:
            error = UserError(
                f"the daemon is of version {__version__}, this client of {version}",
                hint="recollect daemon restart",
                code="version",
            )
            writer.write(json.dumps({"error": error.to_dict()}).encode() + b"\n")
            return
        role = "mcp" if role == "mcp" else "client"
        try:
            self._listener.enter(role)
        except Unavailable as unavailable:
            writer.write(json.dumps({"error": unavailable.to_dict()}).encode() + b"\n")
            return
        try:
            await self._serve_role(role, hello, reader, writer)
        finally:
            self._listener.leave(role)

    async def _serve_role(self, role: str, hello: dict[str, Any], reader: Stream, writer: asyncio.StreamWriter) -> None:
        caller = _caller(hello, agent=role == "mcp")
        greeting: dict[str, Any] = {"recollect": PROTOCOL, "version": __version__, "pid": os.getpid()}
        notes = await self._settings_notes(role, hello, caller)
        writer.write(json.dumps(greeting | ({"notes": notes} if notes else {})).encode() + b"\n")
        if role == "mcp":
            self._mcp_wanted.set()
            await self._ready.wait()
            from recollect.server.mcp import Client

            toolsets = hello.get("toolsets")
            names = tuple(map(str, toolsets)) if isinstance(toolsets, list) and toolsets else None
            await self._mcp.serve(reader, writer, Client(caller, names, structured=hello.get("structured") is True))
        else:
            await _Calls(self, reader, writer, caller).run()
            self._mcp_wanted.set()

    async def _settings_notes(self, role: str, hello: dict[str, Any], caller: Caller) -> list[str]:
        """What to say of settings in a client's environment with which this daemon was not started."""
        settings, pid = hello.get("settings"), hello.get("pid")
        if not isinstance(settings, dict) or all(os.environ.get(str(name)) == raw for name, raw in settings.items()):
            return []
        client = f"{'recollect mcp' if role == 'mcp' else 'recollect'} (process {pid if isinstance(pid, int) else '?'})"
        connection = asyncio.current_task()
        assert connection is not None
        clients = self._workspace.auto_sync.clients
        connection.add_done_callback(clients.leave)
        try:
            entering = asyncio.get_running_loop().run_in_executor(
                self._quick, clients.enter, connection, client, settings, caller
            )
            entering.add_done_callback(lambda _: clients.leave(connection) if connection.done() else None)
            return [escape.line(note) for note in await asyncio.wait_for(asyncio.shield(entering), _SETTINGS_S)]
        except TimeoutError:  # a scan path on a file system that does not answer
            return []
        except RecollectError as error:
            log.warning("settings of %s cannot be looked at: %s", client, error.message)
            return []

    # -- calls --------------------------------------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        params: dict[str, Any],
        caller: Caller,
        report: Callable[[Any], None],
        cancelled: threading.Event,
    ) -> Any:
        """One call of the command line. Raises RecollectError."""
        if method == "stop":
            asyncio.get_running_loop().call_later(0.05, self._stop)
            return {"pid": os.getpid(), "status": "stopping"}
        if method == "web":
            return (await self._open_web(self._workspace.settings.recollect_http_port)).link()
        from recollect.server import methods

        run, waits = methods.find(method)
        executor = self._waiting if waits else self._quick
        loop = asyncio.get_running_loop()
        with self._workspace.meters.measured(f"cli:{method}"):
            return await loop.run_in_executor(executor, run, self._workspace, params, caller, report, cancelled)

    def close(self) -> None:
        """After `run`: end what still works in threads, and the indexer."""
        from recollect.sync import git

        git.end()  # one that hangs is waited for by a thread
        self._workspace.close()
        self._quick.shutdown(wait=False, cancel_futures=True)
        self._waiting.shutdown(wait=False, cancel_futures=True)


class _Calls:
    """One connection of the command line: any number of calls at once; closing it cancels those that wait."""

    def __init__(
        self, daemon: Daemon, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        self._daemon = daemon
        self._reader = reader
        self._writer = writer
        self._caller = caller
        self._loop = asyncio.get_running_loop()
        self._running: dict[Any, threading.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            while line := await self._line():
                message = json.loads(line)
                if not isinstance(message, dict):
                    raise ValueError("a call is an object")
                if "cancel" in message:
                    event = self._running.get(str(message["cancel"]))
                    if event is not None:
                        event.set()
                    continue
                if len(self._tasks) >= _MOST_CALLS:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                task = asyncio.create_task(self._call(message), name=f"call-{message.get('method')}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except (ValueError, RecursionError) as error:
            self._send({"id": None, "error": UserError(f"not understood: {error}", code="protocol").to_dict()})
        finally:
            for event in self._running.values():
                event.set()

    async def _line(self) -> bytes:
        try:
            return await self._reader.readline()
        except ConnectionError:
            return b""

    async def _call(self, message: dict[str, Any]) -> None:
        number, method, params = message.get("id"), str(message.get("method")), message.get("params")
        cancelled = self._running[str(number)] = threading.Event()

        def report(progress: Any) -> None:
            self._loop.call_soon_threadsafe(self._send_progress, {"id": number, "progress": progress})

        try:
            given = params if isinstance(params, dict) else {}
            result = await self._daemon.call(method, given, self._caller, report, cancelled)
            self._send({"id": number, "result": result})
        except RecollectError as error:
            self._send({"id": number, "error": error.to_dict()})
        except Exception as error:
            log.exception("call %s failed", method)
            failure = RecollectError(f"{type(error).__name__}: {error}", hint="The log has more: recollect daemon logs")
            self._send({"id": number, "error": failure.to_dict()})
        finally:
            self._running.pop(str(number), None)
        with suppress(ConnectionError):
            await self._writer.drain()  # who does not read its answers gets no further ones

    def _send_progress(self, message: dict[str, Any]) -> None:
        if self._writer.transport.get_write_buffer_size() < _MOST_UNSENT:
            self._send(message)

    def _send(self, message: dict[str, Any]) -> None:
        if not self._writer.is_closing():
            self._writer.write(text.to_json(message).encode() + b"\n")


def _caller(hello: dict[str, Any], agent: bool) -> Caller:
    from recollect.workspace import Caller

    cwd, project = hello.get("cwd"), hello.get("project_dir")
    given = hello.get("env")
    environment = {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
    return Caller(
        cwd=str(cwd) if cwd else None,
        project_dir=str(project) if project else None,
        agent=agent,
        environment=environment,
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split(".")[:3])


def _end_by_force_after(seconds: float) -> None:
    """Whatever hangs at the end (a mount, a lock), this process and what it started do not outlive it by much."""

    def end() -> None:
        log.error("the end took longer than %.0f s: ended by force", seconds)
        for process in processes.below(os.getpid()):
            with suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


# -- start ------------------------------------------------------------------------------------------------------------


def _listen(home: Path) -> socket.socket:
    """The listening socket; a stale file of a dead daemon is removed (the lock is held)."""
    path = socket_path(home)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(os.fspath(path))
    listener.listen(512)
    return listener


def _stop_listening(home: Path, lock: int) -> None:
    if still_owned(home, lock):  # else the socket of that name is another daemon's
        socket_path(home).unlink(missing_ok=True)


class _Log(logging.handlers.RotatingFileHandler):
    """For its owner alone, and never another file that a link leads to."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", errors="backslashreplace", opener=opener)


def _set_up_log(home: Path, level: str) -> None:
    handler = _Log(run_folder(home) / "daemon.log", maxBytes=2_000_000, backupCount=2)
    handler.setFormatter(logs.Formatter("%(asctime)s %(process)d %(name)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _open_workspace(home: Path, indexer: Started) -> Workspace:
    try:
        from recollect.config import Settings
        from recollect.workspace import Workspace

        settings = Settings.load(home)
        _set_up_log(home, settings.recollect_log_level)
        return Workspace(home, locked=True, indexer=indexer)
    except BaseException:
        indexer[0].kill()
        indexer[0].wait()
        raise


def serve(home: Path, lock: int, indexer: Started, tell: Callable[[bytes], None]) -> None:
    """Listen, serve, and leave nothing behind. Raises RecollectError where it cannot start."""
    program = _program() or _Program((), 0.0)
    listener = _listen(home)
    try:
        workspace = _open_workspace(home, indexer)
        gc.freeze()  # else the first thing it did would be to look through all of that for garbage
        gc.enable()
        log.info("version %s, home %s", __version__, home)
        tell(b"listening\n")

        async def run() -> None:
            daemon = Daemon(home, lock, listener, program)
            try:
                await daemon.run(workspace)
            finally:
                _stop_listening(home, lock)
                daemon.close()

        asyncio.run(run())
        log.info("ended")
    finally:
        _stop_listening(home, lock)
        os.close(lock)
