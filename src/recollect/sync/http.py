"""Asking the web. Imported by who is about to, for a daemon should not wait for it when it starts."""

from __future__ import annotations

import urllib.request
from urllib.error import HTTPError
from urllib.request import Request

__all__ = ["HTTPError", "Request", "opener"]


def opener() -> urllib.request.OpenerDirector:
    """Follows no redirect: where one leads to is looked at first."""
    return urllib.request.build_opener(_NoRedirect)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None
