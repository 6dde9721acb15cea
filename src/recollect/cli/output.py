"""How results look in a terminal. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import typer

from recollect.text import to_json

_A_MOMENT_S: Final = 0.7
_CONTROL: Final = re.compile(r"(\x1b\[[\d;]*m)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PICTURES: Final = {chr(code): chr(0x2400 + code) for code in range(32)} | {"\x7f": "\u2421"}
JSON = typer.Option("--json", help="Print the answer as JSON.")


def as_json(value: Any) -> None:
    sys.stdout.write(to_json(value, ensure_ascii=sys.stdout.encoding.lower() != "utf-8", indent=2) + "\n")


def line(text: str = "") -> None:
    """One line of data; characters that the terminal's encoding lacks are escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(_harmless(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")


def note(text: str) -> None:
    sys.stderr.write(_harmless(text) + "\n")


def _harmless(text: str) -> str:
    """Control characters made visible, for names and contents are somebody else's, and a terminal obeys; but colours."""
    return _CONTROL.sub(lambda found: found[1] or _PICTURES.get(found[0], "\ufffd"), text)


def style(text: str, **how: Any) -> str:
    """`text` with colours, where stdout is a terminal that wants them."""
    import os

    return typer.style(text, **how) if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Something that turns on stderr, where that is a terminal and the block takes longer than a moment."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()

    def show() -> None:
        if not done.wait(_A_MOMENT_S):
            from rich.console import Console

            with Console(stderr=True).status(text):
                done.wait()

    thread = threading.Thread(target=show, name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def known_names(incomplete: str) -> list[str]:
    """For a shell that completes: names of repositories; none where no daemon runs."""
    from recollect.client import Connection
    from recollect.errors import RecollectError

    try:
        with Connection(start=False) as daemon:
            listed = daemon.call("repositories", {"query": incomplete or None, "limit": 200})
    except RecollectError:
        return []
    return [item["name"] for item in listed["repositories"] if item["name"].startswith(incomplete)]


def size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def ago(at: float | None) -> str:
    if at is None:
        return "never"
    seconds = max(0.0, time.time() - at)
    for limit, each, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / each:.0f} {unit} ago"
    return f"{seconds / 86_400:.0f} days ago"


def table(rows: Sequence[tuple[str, ...]], heads: tuple[str, ...]) -> None:
    """Columns as wide as their content; the head only in a terminal's eyes, not in what is piped on."""
    if not rows:
        return
    shown = [tuple(head.upper() for head in heads), *rows] if sys.stdout.isatty() else rows
    widths = [max(len(row[i]) for row in shown) for i in range(len(heads))]
    for number, row in enumerate(shown):
        text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        line(style(text, dim=True) if number == 0 and shown is not rows else text)
