"""The repositories of an organisation or a user, by the public interfaces of GitHub, GitLab, Bitbucket and Gitea."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

from recollect.errors import Refused, Unavailable, UserError
from recollect.records import dataclass
from recollect.sync import http
from recollect.sync.address import Permissions, checked_numbers, parse

_TIMEOUT_S: Final = 30.0
_PAGES: Final = 200
_WAIT_S: Final = 60.0  # for a rate limit to end; a longer one is said
_KINDS: Final = ("github", "gitlab", "bitbucket", "gitea")
_OWN_HOST: Final = {"github": "github.com", "gitlab": "gitlab.com", "bitbucket": "bitbucket.org", "gitea": ""}
_TOKENS: Final = {
    "github": ("GITHUB_TOKEN", "GH_TOKEN"),
    "gitlab": ("GITLAB_TOKEN",),
    "bitbucket": ("BITBUCKET_TOKEN",),
    "gitea": ("GITEA_TOKEN",),
}
_NEXT: Final = re.compile(r'<([^>]+)>;\s*rel="next"')


@dataclass(frozen=True, slots=True)
class Organisation:
    """`kind:NAME` or `kind:HOST/NAME` (HOST also with http:// where that is permitted)."""

    kind: str
    scheme: str
    host: str
    name: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A repository of an organisation; `private` ones only where a token shows them."""

    url: str
    name: str
    fork: bool = False
    archived: bool = False
    private: bool = False


def organisation(said: str) -> Organisation:
    """Raises UserError: not understood."""
    kind, _, rest = said.partition(":")
    scheme, rest = ("http", rest[7:]) if rest.startswith("http://") else ("https", rest.removeprefix("https://"))
    rest = rest.strip("/")
    first, _, name = rest.partition("/")
    host = first.lower() if name and re.search(r"[.:]", first) else ""
    name = name if host else rest
    wrong = bool(host) and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d+)?", host)
    if wrong or kind not in _KINDS or not re.fullmatch(r"[\w.~-]+(/[\w.~-]+)*", name) or ".." in name:
        hint = "As github:NAME, gitlab:GROUP, bitbucket:NAME, gitea:HOST/NAME, or with a host of one's own: gitlab:HOST/GROUP."
        raise UserError(f"not an organisation: {said[:200]}", hint=hint, code="bad_organisation")
    host = host or _OWN_HOST[kind]
    if not host:
        raise UserError("gitea needs a host", hint="As gitea:HOST/NAME.", code="bad_organisation")
    return Organisation(kind, scheme, host, name)


def listing(
    where: Organisation,
    environment: Mapping[str, str],
    allowed: Permissions,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Listed]:
    """All repositories that can be seen, in the order of their names. `environment`: tokens of the caller.

    Raises:
        UserError: no such organisation. Refused: a host that may not be asked. Unavailable: not now, and why.
    """
    address = parse(f"{where.scheme}://{where.host}/x", allowed)
    asking = _Asking(where, environment, sleep, http.opener(address.host, checked_numbers(address, allowed)))
    found = None
    for start in _starts(where):
        found = asking.all(start)
        if found is not None:
            break
    if found is None:
        raise UserError(
            f"{where.host} knows no organisation or user {where.name}",
            hint="See how it is spelled in the address of its page.",
            code="unknown_organisation",
        )
    return sorted((item for item in map(_READ[where.kind], found) if item.url), key=lambda item: item.name.lower())


def _starts(where: Organisation) -> Iterator[str]:
    base = f"{where.scheme}://{where.host}"
    name = quote(where.name, safe="")
    if where.kind == "github":
        api = "https://api.github.com" if where.host == "github.com" else f"{base}/api/v3"
        yield from (f"{api}/{what}/{name}/repos?per_page=100&type=all" for what in ("orgs", "users"))
    elif where.kind == "gitlab":
        yield f"{base}/api/v4/groups/{name}/projects?include_subgroups=true&per_page=100"
        yield f"{base}/api/v4/users/{name}/projects?per_page=100"
    elif where.kind == "bitbucket":
        api = "https://api.bitbucket.org" if where.host == "bitbucket.org" else base
        yield f"{api}/2.0/repositories/{name}?pagelen=100"
    else:
        yield from (f"{base}/api/v1/{what}/{name}/repos?limit=50" for what in ("orgs", "users"))


class _Asking:
    def __init__(
        self,
        where: Organisation,
        environment: Mapping[str, str],
        sleep: Callable[[float], None],
        opener: http.OpenerDirector,
    ) -> None:
        self._sleep = sleep
        self._headers = {"Accept": "application/json", "User-Agent": "recollect"}
        own = where.host == _OWN_HOST[where.kind]
        hosts = [host.strip().lower() for host in environment.get("GIT_TOKEN_HOST", "").split(",")]
        names = _TOKENS[where.kind] if own or where.kind == "gitea" else ()
        token = next((environment[name] for name in names if environment.get(name)), None)
        if token is None and where.host.partition(":")[0] in hosts:
            token = environment.get("GIT_TOKEN")
        if token:
            self._headers["Authorization"] = f"{'token' if where.kind == 'gitea' else 'Bearer'} {token}"
        self._opener = opener

    def all(self, start: str) -> list[dict[str, Any]] | None:
        """All items, page by page; None where there is nothing of that name."""
        found: list[dict[str, Any]] = []
        place: str | None = start
        for _ in range(_PAGES):
            if place is None:
                return found
            answered = self._page(place)
            if answered is None:
                return None
            items, following = answered
            found += items
            if following is not None and urlsplit(following).netloc != urlsplit(start).netloc:
                raise Refused(
                    "the list goes on at another host",
                    hint="Give the addresses of the repositories themselves.",
                    code="refused_host",
                )
            place = following
        return found

    def _page(self, place: str) -> tuple[list[dict[str, Any]], str | None] | None:
        for _ in range(3):
            try:
                with self._opener.open(http.Request(place, headers=self._headers), timeout=_TIMEOUT_S) as answer:
                    body = json.loads(answer.read())
                    following = _NEXT.search(answer.headers.get("Link") or "")
                    if isinstance(body, dict) and "values" in body:  # Bitbucket
                        return body["values"], body.get("next")
                    if not isinstance(body, list):
                        raise Unavailable(
                            f"{urlsplit(place).netloc} answers what is no list",
                            hint="Give the addresses of the repositories themselves.",
                            code="bad_answer",
                        )
                    return body, urljoin(place, following[1]) if following else None
            except http.HTTPError as error:
                with error:
                    if error.code == 404:
                        return None
                    self._wait_or_raise(error, urlsplit(place).netloc)
            except (OSError, ValueError) as error:
                raise Unavailable(
                    f"{urlsplit(place).netloc} cannot be asked: {error}",
                    hint="See whether the address is right and whether this machine has a network.",
                    code="unreachable",
                ) from error
        raise Unavailable(
            f"{urlsplit(place).netloc} limits how often it may be asked",
            hint="Ask again in an hour, or with a token in the client's environment.",
            code="rate_limited",
        )

    def _wait_or_raise(self, error: http.HTTPError, host: str) -> None:
        headers = error.headers
        seconds = None
        if headers.get("Retry-After", "").isdigit():
            seconds = float(headers["Retry-After"])
        elif error.code in (403, 429):
            left = headers.get("X-RateLimit-Remaining") or headers.get("RateLimit-Remaining")
            reset = headers.get("X-RateLimit-Reset") or headers.get("RateLimit-Reset")
            if left == "0" and reset is not None and reset.isdigit():
                seconds = max(0.0, float(reset) - time.time()) + 1.0
        if seconds is not None and seconds <= _WAIT_S:
            self._sleep(seconds)
            return
        if seconds is not None or error.code == 429:
            when = f"; try again in {seconds / 60:.0f} min" if seconds is not None else ""
            hint = "A token in the environment (GITHUB_TOKEN, …) raises the limit."
            raise Unavailable(f"{host} limits how often it may be asked{when}", hint=hint, code="rate_limited")
        if error.code in (401, 403):
            raise Refused(
                f"{host} refuses: {error.reason}", hint="Is a token in the environment?", code="auth_required"
            )
        if error.code in (301, 302, 307, 308):
            raise Unavailable(f"{host} sends elsewhere", hint="Give the address that it leads to.", code="moved")
        raise Unavailable(f"{host}: {error.code} {error.reason}", hint="Ask again later.", code="unreachable")


def _of_github(item: dict[str, Any]) -> Listed:  # Gitea's are alike
    return Listed(
        str(item.get("clone_url") or ""),
        str(item.get("name")),
        bool(item.get("fork")),
        bool(item.get("archived")),
        bool(item.get("private")),
    )


def _of_gitlab(item: dict[str, Any]) -> Listed:
    fork, private = bool(item.get("forked_from_project")), item.get("visibility") not in (None, "public")
    return Listed(
        str(item.get("http_url_to_repo") or ""), str(item.get("path")), fork, bool(item.get("archived")), private
    )


def _of_bitbucket(item: dict[str, Any]) -> Listed:
    links = item.get("links", {}).get("clone", [])
    url = next((str(link["href"]) for link in links if link.get("name") == "https"), "")
    url = re.sub(r"//[^/@]+@", "//", url)
    return Listed(
        url, str(item.get("slug") or item.get("name")), bool(item.get("parent")), False, bool(item.get("is_private"))
    )


_READ: Final = {"github": _of_github, "gitlab": _of_gitlab, "bitbucket": _of_bitbucket, "gitea": _of_github}
