"""Asking the web. Imported by who is about to, for a daemon should not wait for it when it starts."""

from __future__ import annotations

import http.client
import socket
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.error import HTTPError
from urllib.request import OpenerDirector, Request

__all__ = ["HTTPError", "OpenerDirector", "Request", "opener"]


def opener(host: str, numbers: Sequence[str]) -> OpenerDirector:
    """Follows no redirect: where one leads to is looked at first. `numbers`: the addresses of `host` that were checked,
    which it connects to; none: whatever a resolver says.
    """
    pinned = _Pinned(host, numbers)
    return urllib.request.build_opener(_NoRedirect, _Http(pinned), _Https(pinned))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class _Pinned:
    """Connects like `socket.create_connection`, to the addresses of one host that were checked."""

    def __init__(self, host: str, numbers: Sequence[str]) -> None:
        self._host, self._numbers = host, numbers

    def connect(self, place: tuple[str, int], *arguments: Any, **options: Any) -> socket.socket:
        host, port = place
        numbers = self._numbers if host.strip("[]").rstrip(".").lower() == self._host and self._numbers else [host]
        failure: OSError | None = None
        for number in numbers:
            try:
                return socket.create_connection((number, port), *arguments, **options)
            except OSError as error:
                failure = error
        assert failure is not None
        raise failure


class _Http(urllib.request.HTTPHandler):
    def __init__(self, pinned: _Pinned) -> None:
        super().__init__()
        self._pinned = pinned

    def http_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(_made(http.client.HTTPConnection, self._pinned), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, pinned: _Pinned) -> None:
        super().__init__()
        self._pinned = pinned

    def https_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(_made(http.client.HTTPSConnection, self._pinned), req)


def _made(kind: type[http.client.HTTPConnection], pinned: _Pinned) -> Any:
    def connection(host: str, **options: Any) -> http.client.HTTPConnection:
        made = kind(host, **options)
        made._create_connection = pinned.connect  # type: ignore[attr-defined]
        return made

    return connection
