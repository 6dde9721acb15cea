"""When each MCP client was last here, by the name by which it introduces itself; kept in a file across restarts."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_FILE: Final = "clients.json"
_EVERY_S: Final = 60.0
_MOST: Final = 100  # names; they are the clients' own words
_LONGEST: Final = 100  # characters of a name


class LastSeen:
    """Of one home. Writes at most once a minute for each name."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._noted: dict[str, float] = {}

    def is_news(self, name: str) -> bool:
        """Whether this name was not noted within the last minute."""
        return time.time() - self._noted.get(name[:_LONGEST], 0.0) >= _EVERY_S

    def note(self, name: str) -> None:
        """A client of this name is here now. What cannot be written is not kept."""
        with self._lock, suppress(OSError):
            times = {**seen(self._home), name[:_LONGEST]: time.time()}
            self._noted = dict(sorted(times.items(), key=lambda item: item[1])[-_MOST:])
            part = self._home / f"{_FILE}.part"
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(self._noted, file)
            part.replace(self._home / _FILE)


def seen(home: Path) -> dict[str, float]:
    """Name → when it was last here, in seconds of the clock."""
    try:
        stored = json.loads((home / _FILE).read_bytes())
        return {str(name): float(at_s) for name, at_s in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
