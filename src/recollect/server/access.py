"""Who may speak to the page and the API: hosts, origins, the token, the cookie that a one-time link gives. See docs/security.md."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recollect.errors import RecollectError, Refused, Unavailable
from recollect.home import run_folder
from recollect.private import opener
from recollect.server.http_connections import admit

_ONCE_S: Final = 120.0  # how long a one-time link holds
_LONGEST_TOKEN: Final = 1000
_MOST_BODY: Final = 4_000_000  # bytes
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_ONLY: Final = ("/mcp",)  # a browser has no business there
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}


class Unauthorized(RecollectError):
    """No token, or a wrong one."""

    code = "unauthorized"
    exit_code = 5


class Keys:
    """The token of a home, for programs; and one-time keys that become a browser's cookie."""

    def __init__(self, home: Path) -> None:
        self.token = _token(run_folder(home) / "token")
        self.cookie = hmac.new(self.token.encode(), b"cookie", hashlib.sha256).hexdigest()
        self._once: dict[str, float] = {}

    def once(self) -> str:
        """A key for one login."""
        now = time.monotonic()
        self._once = {key: until for key, until in self._once.items() if until > now}
        key = secrets.token_urlsafe(24)
        self._once[key] = now + _ONCE_S
        return key

    def use(self, key: str) -> bool:
        """Whether a key is one of ours, not used and not too old; it is used now."""
        return self._once.pop(key, 0.0) > time.monotonic()


def _token(path: Path) -> str:
    """The token in a file that only its owner may read; made where there is none."""
    with suppress(FileNotFoundError):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077 == 0:
            with open(path, opener=opener) as file:
                token = file.read(_LONGEST_TOKEN).strip()
            if len(token) >= 32:
                return token
        path.unlink()  # a link, or one that others could read
    token = secrets.token_urlsafe(32)
    with open(path, "x", opener=opener) as file:
        file.write(token + "\n")
    return token


class Guard:
    """Lets in who may come, and adds the headers that every answer has."""

    def __init__(
        self, app: ASGIApp, keys: Keys, port: int, failure: Callable[[RecollectError, int, Scope], ASGIApp]
    ) -> None:
        self._app = app
        self._keys = keys
        self._hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))
        self._origins = frozenset(f"http://{host}" for host in self._hosts)
        self._cookie = f"recollect_{port}"  # cookies of one host are shared by its ports
        self._failure = failure

    @property
    def cookie_name(self) -> str:
        return self._cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if refused is not None and scope["method"] in _SAFE:  # else its body has to be read first
                    headers["connection"] = "close"  # a stranger gets one answer for each connection
            await send(message)

        refused = self._refused(scope, Headers(scope=scope))
        if refused is None and scope["path"] != "/login" and not admit(scope):
            too_many = "too many HTTP connections are open"
            refused = Unavailable(too_many, hint="Close some of them.", code="too_many_connections"), 503
        if refused is not None:
            error, status = refused
            await self._failure(error, status, scope)(scope, receive, with_headers)
            return
        await self._app(scope, _limited(receive), with_headers)

    def _refused(self, scope: Scope, headers: Headers) -> tuple[RecollectError, int] | None:
        """Why a request may not come in, if so, and the HTTP status that says it."""
        if headers.get("host", "").lower() not in self._hosts:
            return Refused("this host is not served here", hint="Use 127.0.0.1.", code="bad_host"), 421
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self._origins:
            return Refused("requests from other pages are not answered", code="bad_origin"), 403
        if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > _MOST_BODY:
            return Refused("the request is too large", code="too_large"), 413
        path = scope["path"]
        if path == "/login":
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _same(given.strip(), self._keys.token):
            return None
        hint = "Programs send the token of run/token; a browser is let in by: recollect web"
        if path.startswith(_TOKEN_ONLY) or not _same(
            cookie_parser(headers.get("cookie", "")).get(self._cookie, ""), self._keys.cookie
        ):
            return Unauthorized(hint=hint), 401
        if scope["method"] not in _SAFE and origin is None and headers.get("sec-fetch-site") != "same-origin":
            return Refused("a change must come from the page itself", code="bad_origin"), 403
        return None


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _limited(receive: Receive) -> Receive:
    """`receive`, that breaks off where a body without a length grows too large."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > _MOST_BODY:
            return {"type": "http.disconnect"}
        return message

    return limited
