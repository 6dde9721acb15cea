"""For tests of crashes: die at a named point, once."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

_ARMED = os.environ.get("RECOLLECT_CRASH", "")  # "NAME FILE": where FILE is there, which is removed first


def crash_point(name: str) -> None:
    """A place at which the process may be killed; nothing happens unless a test asked for it."""
    if _ARMED:
        wanted, _, file = _ARMED.partition(" ")
        if wanted == name:
            with suppress(OSError):
                Path(file).unlink()
                os.kill(os.getpid(), signal.SIGKILL)
