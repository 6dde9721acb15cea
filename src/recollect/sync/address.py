"""Where a repository may be cloned from: URLs told apart, made plain, and refused where they lead to forbidden places."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from recollect.errors import Refused, Unavailable, UserError
from recollect.records import dataclass

_SCP: Final = re.compile(r"(?P<user>[\w.-]+)@(?P<host>\[[^\]]+\]|[^:/@\s]+):(?P<path>[^\s]+)")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80, "ssh": 22}
_LONGEST: Final = 2_000
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# IANA's registries of special addresses, and what older networks use; Python's own lists differ between versions.
_NOT_PUBLIC_4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24"
        " 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4".split(),
    )
)
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")  # all that is assigned for use on the Internet
_NOT_PUBLIC_6: Final = (
    tuple(  # of it: protocols and tunnels (Teredo, 6to4), which lead to IPv4 addresses inside; examples
        map(ipaddress.IPv6Network, "2001::/23 2001:db8::/32 2002::/16 3fff::/20".split())
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
Resolve = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Permissions:
    """What beyond `https` and `ssh` to public hosts a caller may clone."""

    http: bool = False
    local: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """A clone URL. `url`: as git gets it, without credentials; `key`: the same for every spelling of one repository."""

    url: str
    key: str
    scheme: str
    host: str
    port: int | None
    had_credentials: bool = False

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.key.rpartition("/")[2]

    @property
    def connects_to(self) -> int:
        """The port, also where the URL names none."""
        return self.port or _DEFAULT_PORTS[self.scheme]

    def folder(self, branch: str | None) -> PurePosixPath:
        """Where its clone lies below `clones/`, safe whatever the URL holds."""
        *parents, last = self.key.split("/")
        plain = [quote(part, safe="~-_.+@ ")[:120] for part in parents]
        suffix = "@" + quote(branch, safe="~-_.+ ")[:120] if branch is not None else ""
        return PurePosixPath(*plain, quote(last, safe="~-_.+@ ")[:120] + suffix)


def parse(said: str, allowed: Permissions) -> Address:
    """A clone URL made plain; credentials in it are cut out. Nothing is looked up.

    Raises:
        UserError: no URL. Refused: a form or a host (by its own numbers) that is not cloned.
    """
    text = said.strip()
    if not text or len(text) > _LONGEST or any(ord(letter) < 33 or ord(letter) == 127 for letter in text):
        raise UserError("not a clone URL", hint="As https://host/owner/name or git@host:owner/name.", code="bad_url")
    if text.startswith("-"):
        raise Refused(
            "a URL cannot begin with a dash",
            hint="Give an address such as https://host/owner/name or git@host:owner/name.",
            code="refused_url",
        )
    scp = _SCP.fullmatch(text) if "://" not in text else None
    if scp is not None:
        scheme, user, host, port, path = "ssh", scp["user"], scp["host"], None, scp["path"]
        secret = False
        if not (_is_ipv6(host[1:-1]) if host.startswith("[") else _HOST.fullmatch(host.lower())):
            raise UserError(
                "a clone URL needs a host",
                hint="Give an address such as https://host/owner/name or git@host:owner/name.",
                code="bad_url",
            )
    else:
        scheme, user, secret, host, port, path = _split(text)
    if scheme == "http" and not allowed.http:
        hint = "Use https, or set RECOLLECT_CLONE_ALLOW_HTTP=1."
        raise Refused("http:// is not encrypted and not cloned", hint=hint, code="refused_url")
    host = _one_spelling(host.strip("[]").rstrip(".").lower())
    plain = _plain_path(path)
    if not allowed.local:
        check_numbers(host)
    shown = f"[{host}]" if ":" in host else host
    port = None if port == _DEFAULT_PORTS[scheme] else port
    place = f"{shown}:{port}" if port else shown
    sep = "" if path.startswith(("/", "~")) else "/"
    url = f"ssh://{user or 'git'}@{place}{sep}{path}" if scheme == "ssh" else f"{scheme}://{place}/{path.strip('/')}"
    if scp is not None:
        url = f"{user}@{shown}:{path}"  # relative to the home there, which no ssh:// URL says
    key = (
        f"{place if scheme != 'ssh' else shown}/{plain}"  # one host's ssh port and web port serve the same repositories
    )
    return Address(url, key, scheme, host, port, had_credentials=secret)


def _split(text: str) -> tuple[str, str | None, bool, str, int | None, str]:
    """(scheme, user of ssh, whether there were credentials, host, port, path)."""
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme not in _DEFAULT_PORTS:
        said = f"{scheme}://" if scheme else text.partition(":")[0][:40]
        hint = "Only https:// and ssh (git@host:path) are cloned."
        raise Refused(f"not cloned from: {said}", hint=hint, code="refused_url")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UserError(
            f"not a clone URL: {error}",
            hint="Give an address such as https://host/owner/name or git@host:owner/name.",
            code="bad_url",
        ) from error
    if parts.query or parts.fragment:
        raise UserError(
            "a clone URL has neither ? nor #",
            hint="Give an address such as https://host/owner/name or git@host:owner/name.",
            code="bad_url",
        )
    if not (_is_ipv6(host) if ":" in host else _HOST.fullmatch(host.rstrip("."))):
        raise UserError(
            "a clone URL needs a host",
            hint="Give an address such as https://host/owner/name or git@host:owner/name.",
            code="bad_url",
        )
    user = parts.username if scheme == "ssh" else None
    if user is not None and not re.fullmatch(r"[\w.-]+", user):
        raise UserError(
            "not a user name",
            hint="Give an address such as https://host/owner/name or git@host:owner/name.",
            code="bad_url",
        )
    secret = parts.password is not None or (scheme != "ssh" and parts.username is not None)
    return scheme, user, secret, host, port, parts.path


def _is_ipv6(text: str) -> bool:
    """Whether it is an IPv6 address, without the zone that only means something on one machine."""
    try:
        return ipaddress.IPv6Address(text).scope_id is None
    except ValueError:
        return False


def _one_spelling(host: str) -> str:
    """A number as everybody reads it: 0x7f.1 and 2130706433 mean what they mean to a resolver."""
    if ":" in host:
        return ipaddress.IPv6Address(host).compressed
    if host.partition(".")[0][:1].isdigit():
        try:
            return socket.inet_ntoa(socket.inet_aton(host))
        except OSError:
            return host
    return host


def is_literal(host: str) -> bool:
    """Whether a host is given by its number."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _plain_path(path: str) -> str:
    """The path of a repository without what its spellings differ in. Raises UserError, Refused."""
    plain = unquote(path).strip("/").removesuffix(".git").strip("/")
    parts = [part for part in plain.split("/") if part]
    if not parts:
        raise UserError("a clone URL needs a path", hint="As https://host/owner/name.", code="bad_url")
    if any(part in (".", "..") or part.startswith("-") or "\0" in part or "\\" in part for part in parts):
        raise Refused(
            "such a path is not cloned",
            hint="Give an address such as https://host/owner/name or git@host:owner/name.",
            code="refused_url",
        )
    return "/".join(parts)


def check_numbers(host: str) -> None:
    """Raise Refused where a host is a number, or a name of this machine, that is not public."""
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".localdomain")):
        raise _not_public(host)
    if is_literal(_one_spelling(host)):
        check_public(host, [ipaddress.ip_address(_one_spelling(host))])


def check_public(host: str, numbers: Sequence[IPAddress]) -> None:
    """Raise Refused where one of the addresses is not public.

    A name server for networks without IPv4 adds to an address its translation (DNS64); that leads to the same place.
    """
    for number in numbers:
        translated = isinstance(number, ipaddress.IPv6Address) and number in _NAT64
        if translated and ipaddress.IPv4Address(int(number) & 0xFFFF_FFFF) in numbers:
            continue
        if not is_public(number):
            raise _not_public(host)


def is_public(number: IPAddress) -> bool:
    """Whether an address is one host's on the Internet: no private network, this machine, group, tunnel or translation."""
    if isinstance(number, ipaddress.IPv6Address):
        if number.ipv4_mapped is not None:
            return is_public(number.ipv4_mapped)
        plain = number.scope_id is None and number in _GLOBAL_6
        return plain and not any(number in network for network in _NOT_PUBLIC_6)
    return not any(number in network for network in _NOT_PUBLIC_4)


def resolve(host: str) -> list[str]:
    """The addresses of a host. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]).partition("%")[0] for item in found))


def checked_numbers(address: Address, allowed: Permissions, lookup: Resolve = resolve) -> Sequence[str]:
    """The addresses to connect to, all of them public; none where somebody else (a proxy, ssh's configuration) knows.

    Raises:
        Refused: one is not public. Unavailable: there is none.
    """
    if allowed.local:
        return []
    try:
        found = lookup(address.host)
    except (OSError, UnicodeError) as error:
        if address.scheme == "ssh":
            return []  # a name of ssh's own configuration
        raise Unavailable(
            f"the host {address.host} is not known",
            hint="See whether the name is right and whether this machine has a network.",
            code="unknown_host",
        ) from error
    check_public(address.host, [ipaddress.ip_address(number) for number in found])
    return found


def _not_public(host: str) -> Refused:
    hint = "Set RECOLLECT_CLONE_ALLOW_LOCAL=1 to clone from this network."
    return Refused(f"{host} is not a public host", hint=hint, code="refused_host")
