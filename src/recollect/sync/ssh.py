"""The ways by which git may reach a host by ssh: to addresses that were checked, whatever name leads there.

A person's ssh configuration counts: the name in a URL may be an alias there, with another host, port, user and key.
It is asked for (`ssh -G`), the host that it says is looked up and checked, and ssh is told to connect to that very
address (`HostName`), under the name by which the host's key is known (`HostKeyAlias`). A jump host or proxy command is
given the address too, for nobody could say what a name means there.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from recollect.errors import Refused, Unavailable
from recollect.sync import git_process
from recollect.sync.address import Address, Permissions, Resolve, checked_numbers, is_literal, resolve

_COMMAND: Final = ("ssh", "-oBatchMode=yes", "-oConnectTimeout=30")
_MOST_ADDRESSES: Final = 4


def commands(
    address: Address,
    allowed: Permissions,
    lookup: Resolve = resolve,
    settings_of: Callable[[Sequence[str]], Mapping[str, str]] | None = None,
) -> list[str]:
    """Values of GIT_SSH_COMMAND to be tried in turn, one for each address of the host.

    Raises:
        Refused: an address is not public, or only a proxy knows it. Unavailable: there is none.
    """
    if allowed.local:
        return [shlex.join(_COMMAND)]
    port = ["-p", str(address.port)] if address.port else []
    settings = (settings_of or git_process.ssh_settings)([*port, "--", address.host])
    host = settings.get("hostname", address.host).strip("[]").rstrip(".").lower()
    numbers = checked_numbers(replace(address, host=host), allowed, lookup)
    if not numbers and _has_proxy(settings):
        hint = "Set RECOLLECT_CLONE_ALLOW_LOCAL=1 to clone through it."
        raise Refused(
            f"{host} is only known behind the proxy of your ssh configuration", hint=hint, code="refused_host"
        )
    if not numbers:
        raise Unavailable(
            f"the host {host} is not known",
            hint="See whether the name is right and whether this machine has a network.",
            code="unknown_host",
        )
    known_as = settings.get("hostkeyalias") or _known_as(host, settings.get("port") or str(address.connects_to))
    options = [f"-oHostKeyAlias={known_as}"] if not (is_literal(host) and "hostkeyalias" not in settings) else []
    return [shlex.join([*_COMMAND, f"-oHostName={number}", *options]) for number in numbers[:_MOST_ADDRESSES]]


def _has_proxy(settings: Mapping[str, str]) -> bool:
    return any(settings.get(name, "none").lower() != "none" for name in ("proxyjump", "proxycommand"))


def _known_as(host: str, port: str) -> str:
    """The name of a host's key in known_hosts, where another port than ssh's own is part of it."""
    return host if port == "22" else f"[{host}]:{port}"
