"""Recollect: sight and memory for coding agents. `from recollect import Workspace` is the door for Python."""

from __future__ import annotations

TYPE_CHECKING = False  # so spelt, for `typing` takes a fifth of the time in which a client starts
if TYPE_CHECKING:
    from typing import Any

    from recollect.workspace import Caller, Workspace

__version__ = "0.1.0"
__all__ = ["Caller", "Workspace", "__version__"]


def __getattr__(name: str) -> Any:
    """`Workspace` and `Caller`, imported when they are first asked for: the pump and the command line need neither."""
    if name in ("Caller", "Workspace"):
        import importlib

        return getattr(importlib.import_module("recollect.workspace"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
