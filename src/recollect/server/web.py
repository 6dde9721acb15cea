"""HTTP on 127.0.0.1: the page and what it is told live, the JSON API, MCP for programs that speak HTTP, metrics.

Served by the daemon's event loop; whatever takes time runs in the same threads as the calls of the socket.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final

import uvicorn
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from recollect import text
from recollect.errors import RecollectError, Unavailable, UserError, without_credentials
from recollect.server import api, metrics
from recollect.server.access import Guard, Keys
from recollect.server.http_connections import ACCEPTED_AT_ONCE, BACKLOG, Connections, protocol_of
from recollect.server.live import Live
from recollect.server.mcp import Client, Mcp, client_of_request
from recollect.server.sessions import Sessions
from recollect.server.tooling import Call
from recollect.workspace import Caller, Workspace

_FILES: Final = {
    "page.css": "text/css",
    "app.js": "text/javascript",
    "base.js": "text/javascript",
    "code.js": "text/javascript",
    "views.js": "text/javascript",
    "treemap.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_LOCKED_OUT: Final = (
    "<!doctype html><html lang=en><title>Recollect</title><meta name=viewport content='width=device-width'>"
    "<h1>Recollect</h1><p>This page opens with a link that holds once. In a terminal:</p><pre>recollect web</pre></html>"
)
_PERSON: Final = Caller()  # whoever has the token or the cookie is the owner
_MOST_PAGES: Final = 64
log = logging.getLogger("recollect.web")
logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # else strangers fill the log with what they send


class Web:
    """Started when it is first asked for, or with the daemon where a port is set."""

    def __init__(self, workspace: Workspace, mcp: Mcp, quick: Executor, waiting: Executor) -> None:
        self._workspace = workspace
        self._quick, self._waiting = quick, waiting
        self._keys = Keys(workspace.home)
        self._live = Live(workspace, waiting)
        self._sessions = Sessions(mcp.server)
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._last_used = time.monotonic()
        self.port = 0

    @property
    def busy_at(self) -> float:
        """When it was last used, on the monotonic clock; now, while a page is open."""
        return time.monotonic() if self._live.pages else self._last_used

    async def start(self, port: int) -> None:
        """Listen on a port of 127.0.0.1 (0: a free one). Raises Unavailable where it is taken."""
        async with self._starting:
            if self._server is not None:
                return
            listener = _listen(port)
            self.port = listener.getsockname()[1]
            config = uvicorn.Config(
                self._app(),
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
                loop="none",
                http=protocol_of(Connections()),
                ws="none",
                backlog=ACCEPTED_AT_ONCE,
            )
            self._server = _Server(config)
            self._serving = asyncio.create_task(self._serve(self._server, listener), name="http")
            log.info("http on 127.0.0.1:%d", self.port)

    async def _serve(self, server: _Server, listener: socket.socket) -> None:
        """In a task of its own: the manager has to be left by the task that entered it."""
        async with self._sessions.run():
            await server.serve(sockets=[listener])

    def link(self) -> dict[str, Any]:
        """`{url, address, port}`: a link that lets one browser in, once; and where programs find the API."""
        address = f"http://127.0.0.1:{self.port}"
        return {"url": f"{address}/login?once={self._keys.once()}", "address": address, "port": self.port}

    async def close(self) -> None:
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        await self._live.close()
        await asyncio.wait([self._serving], timeout=2)
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)

    # -- the application ----------------------------------------------------------------------------------------------

    def _app(self) -> ASGIApp:
        routes = [
            Route("/", self._page),
            Route("/login", self._login),
            Route("/events", self._events),
            Route("/assets/{name}", _asset),
            Route("/metrics", self._metrics),
            Route("/mcp", _Endpoint(self._mcp), methods=["GET", "POST", "DELETE"]),
            Route(f"{api.PREFIX}/openapi.json", self._openapi),
            Route(f"{api.PREFIX}/memories/export", self._export),
            *(Route(api.PREFIX + path, self._operations(path), methods=verbs) for path, verbs in api.VERBS.items()),
        ]
        app = Starlette(routes=routes, exception_handlers={404: _nothing_here, 405: _nothing_here, Exception: _broken})
        self._guard = Guard(app, self._keys, self.port, _failure)
        return self._guard

    async def _page(self, request: Request) -> Response:
        return Response(_file("index.html"), media_type="text/html; charset=utf-8")

    async def _login(self, request: Request) -> Response:
        if not self._keys.use(request.query_params.get("once", "")):
            return HTMLResponse(_LOCKED_OUT, status_code=401)
        answer = RedirectResponse("/", status_code=303)
        name, value = self._guard.cookie_name, self._keys.cookie
        answer.set_cookie(name, value, httponly=True, samesite="strict", path="/", max_age=30 * 86_400)
        return answer

    async def _events(self, request: Request) -> Response:
        if self._live.pages >= _MOST_PAGES:
            said = f"{_MOST_PAGES} pages are open already"
            return _error(Unavailable(said, hint="Close one.", code="too_many_pages"), 503)
        return StreamingResponse(self._live.stream(), media_type="text/event-stream")

    async def _metrics(self, request: Request) -> Response:
        loop = asyncio.get_running_loop()
        said = await loop.run_in_executor(self._waiting, metrics.text, self._workspace)
        return Response(said, media_type=metrics.CONTENT_TYPE)

    async def _openapi(self, request: Request) -> Response:
        return _json(api.openapi())

    async def _export(self, request: Request) -> Response:
        def export() -> bytes:
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder) / "memories.jsonl"
                self._workspace.memory.export(str(target))
                return target.read_bytes()

        data = await asyncio.get_running_loop().run_in_executor(self._waiting, export)
        named = {"content-disposition": 'attachment; filename="memories.jsonl"'}
        return Response(data, media_type="application/x-ndjson", headers=named)

    async def _mcp(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._last_used = time.monotonic()
        request = Request(scope)
        project, toolsets = request.headers.get("recollect-project"), request.query_params.get("toolsets")
        caller = Caller(project_dir=project, agent=True)
        roots = self._sessions.roots_of(request.headers.get(MCP_SESSION_ID_HEADER))
        client_of_request.set(Client(caller, tuple(toolsets.split(",")) if toolsets else None, roots=roots))
        try:
            await self._sessions.handle_request(scope, receive, send)
        except ClientDisconnect:
            answer = _error(UserError("the request broke off, or was too large", code="too_large"), 413)
            await answer(scope, receive, send)

    def _operations(self, path: str) -> Callable[[Request], Any]:
        by_verb = {one.verb: self._operation(one) for one in api.OPERATIONS if one.path == path}

        async def answer(request: Request) -> Response:
            said: Response = await by_verb[request.method if request.method != "HEAD" else "GET"](request)
            return said

        return answer

    def _operation(self, operation: api.Operation) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            self._last_used = time.monotonic()
            threads = self._waiting if operation.waits else self._quick
            loop = asyncio.get_running_loop()
            try:
                body = await request.body() if operation.has_body else b""
                with self._workspace.meters.measured(f"http:{operation.name}"):
                    if operation.has_body:
                        given = api.body_of(body)
                    else:
                        given = api.arguments_of_query(operation, request.query_params.multi_items())
                    call = Call(self._workspace, _PERSON, lambda progress: None, threading.Event())
                    arguments = {**given, **request.path_params}
                    return _json(await loop.run_in_executor(threads, api.run, operation, call, arguments))
            except RecollectError as error:
                return _error(error, api.status_of(error))
            except ClientDisconnect:
                return _error(UserError("the request broke off, or was too large", code="too_large"), 413)
            except Exception as error:
                log.exception("operation %s failed", operation.name)
                return _error(_bug(error), 500)

        return answer


class _Endpoint:
    """An ASGI application as a route: a class, for functions are taken for request handlers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The daemon has its own."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)  # whoever is told the address may come at once
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"port {port} of 127.0.0.1 cannot be used: {error.strerror}",
            hint="Set RECOLLECT_HTTP_PORT to another one, or to 0 for a free one.",
            code="port_taken",
        ) from error
    listener.set_inheritable(False)
    return listener


def _file(name: str) -> bytes:
    return resources.files("recollect.server").joinpath("page", name).read_bytes()


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _FILES:
        return _error(UserError("there is no such file", code="no_such_file"), 404)
    return Response(_file(name), media_type=_FILES[name])


def _json(value: Any, status: int = 200) -> Response:
    data = text.to_json(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(data, status_code=status, media_type="application/json")


def _error(error: RecollectError, status: int) -> Response:
    headers = {"retry-after": "1"} if status == 503 else {"www-authenticate": "Bearer"} if status == 401 else {}
    answer = _json({"error": error.to_dict()}, status)
    answer.headers.update(headers)
    return answer


def _failure(error: RecollectError, status: int, scope: Scope) -> Response:
    if status == 401 and scope["path"] == "/":
        return HTMLResponse(_LOCKED_OUT, status_code=401)
    return _error(error, status)


def _bug(error: Exception) -> RecollectError:
    return RecollectError(without_credentials(type(error).__name__), hint="The log has more: recollect daemon logs")


async def _nothing_here(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    said = "there is nothing here" if status == 404 else f"{request.method} is not possible here"
    answer = _error(UserError(said, hint=f"{api.PREFIX}/openapi.json lists what there is", code="no_such_path"), status)
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer


async def _broken(request: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return _error(_bug(error), 500)
