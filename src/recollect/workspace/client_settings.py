"""Settings in the environment of a client, whose daemon runs already and was started with another environment.

What nobody has set otherwise is taken over, as if that client had started the daemon, as long as this daemon runs: only
settings of background work, which change nothing that cannot be changed back. Of everything else it is said what holds
instead, and how to change that.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from recollect.config import ADOPTABLE, NAMES, Settings, check_value, how_to_set, sources
from recollect.errors import RecollectError
from recollect.model import ClientSetting
from recollect.records import dataclass
from recollect.workspace.places import Caller

_MOST_CONNECTED: Final = 200  # clients whose differing settings are kept
log = logging.getLogger("recollect.client_settings")


@dataclass(frozen=True, slots=True)
class _Wish:
    """One setting of one client. `problem`: why its value cannot be used."""

    client: str
    name: str
    raw: str
    value: Any = None
    problem: str = ""


class ClientSettings:
    """Thread-safe."""

    def __init__(
        self,
        home: Path,
        persisted: Callable[[], Mapping[str, Any]],
        settings: Callable[[], Settings],
        adopt: Callable[[dict[str, tuple[Any, str]]], None],
        check_paths: Callable[[list[str], Caller], list[str]],
    ) -> None:
        """`adopt`: is told of all settings that clients have given, by name, each with where it comes from."""
        self._home = home
        self._persisted = persisted
        self._settings = settings
        self._adopt = adopt
        self._check_paths = check_paths
        self._lock = threading.Lock()
        self._wishes: dict[object, list[_Wish]] = {}  # by connection, as long as that lasts
        self.adopted: dict[str, tuple[Any, str]] = {}  # setting → its value, whose environment it comes from

    def enter(self, connection: object, client: str, values: Mapping[str, Any], caller: Caller) -> list[str]:
        """Take over what a client has set and nobody else has; what to say of the rest."""
        wishes = [
            self._wish(client, name.lower(), raw, caller)
            for name, raw in values.items()
            if name.lower() in NAMES and isinstance(raw, str) and os.environ.get(name) != raw
        ]
        if not wishes:
            return []
        with self._lock:
            if len(self._wishes) < _MOST_CONNECTED:
                self._wishes[connection] = wishes
            given = sources(self._home, persisted=self._persisted(), adopted=self.adopted)
            new = {
                wish.name: (wish.value, f"environment of {client}")
                for wish in wishes
                if not wish.problem and wish.name in ADOPTABLE and wish.name not in given
            }
            if new:
                self.adopted = self.adopted | new
                self._adopt(self.adopted)
                for name, (value, origin) in new.items():
                    log.info("%s = %s, from the %s", name.upper(), value, origin)
        return [item.message for item in self._differences(wishes)]

    def leave(self, connection: object) -> None:
        """A client has gone. What was taken over from it stays."""
        with self._lock:
            self._wishes.pop(connection, None)

    def differences(self) -> list[ClientSetting]:
        """What clients that are connected have set, and does not hold."""
        with self._lock:
            wishes = [wish for some in self._wishes.values() for wish in some]
        return self._differences(wishes) if wishes else []

    def _wish(self, client: str, name: str, raw: str, caller: Caller) -> _Wish:
        try:
            value = check_value(name, raw)
            if name == "auto_sync_paths":
                value = tuple(self._check_paths(list(value), caller))
            return _Wish(client, name, raw, value)
        except RecollectError as error:
            return _Wish(client, name, raw, None, f"{error.message}. {error.hint}".rstrip(" "))

    def _differences(self, wishes: list[_Wish]) -> list[ClientSetting]:
        settings, found = self._settings(), []
        given = sources(self._home, persisted=self._persisted(), adopted=self.adopted)
        for wish in wishes:
            in_force = getattr(settings, wish.name)
            origin = given[wish.name][1] if wish.name in given else "default"
            if not wish.problem and _same(wish.name, wish.value, in_force):
                continue
            shown = _shown(in_force)
            change = "" if wish.problem else how_to_set(wish.name, _plain(wish.value))
            why = f" ({wish.problem})" if wish.problem else ""
            message = (
                f"{wish.name.upper()}={wish.raw} in the environment of {wish.client} is not in force{why}: "
                f"the running daemon has {shown} ({_origin(origin)})"
                + (f". To change that: {change}" if change else "")
            )
            found.append(ClientSetting(wish.name.upper(), wish.client, wish.raw, shown, origin, change, message))
        return found


def _origin(origin: str) -> str:
    return {"environment": "from the environment that it was started with"}.get(origin, origin)


def _same(name: str, wanted: Any, in_force: Any) -> bool:
    if name == "auto_sync_paths":
        return {_real(path) for path in wanted} == {_real(path) for path in in_force}
    return bool(wanted == in_force)


def _real(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
