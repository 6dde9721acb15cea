"""How results look in a terminal. Data goes to stdout, everything else to stderr.

What is printed holds names and contents that others chose, and a terminal obeys. `line` and `note` print
one line each, whatever is in it; `block` prints contents, with something before each line.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

import typer

from recollect import escape
from recollect.calls import as_command, told

_A_MOMENT_S: Final = 0.7
_MARK: Final = f"<{os.urandom(8).hex()}:"
_MARK_END: Final = ">"
_OUR_COLOURS: Final = re.compile(f"{_MARK}([0-9;]*){_MARK_END}")
_UNSAFE_IN_JSON: Final = re.compile(
    "[\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
JSON = typer.Option("--json", help="Print the answer as JSON.")


def as_json(value: Any) -> None:
    """Print data as it is; what a terminal would obey or hide is written as JSON's own escapes."""
    text = json.dumps(value, ensure_ascii=sys.stdout.encoding.lower() != "utf-8", indent=2)
    sys.stdout.write(_UNSAFE_IN_JSON.sub(lambda found: json.dumps(found[0])[1:-1], text) + "\n")


def line(text: str = "") -> None:
    """One line of data."""
    _write(sys.stdout, escape.line(text))


def note(text: str) -> None:
    """One line about the data."""
    _write(sys.stderr, escape.line(text))


def next_steps(result: dict[str, Any]) -> None:
    """Why there is no better answer, and the commands that go on."""
    for step in result.get("next_steps") or ():
        note(told(step["reason"], step.get("call"), as_command))


def of_freshness(freshness: dict[str, Any]) -> str:
    """Why an answer is not fresh, and the command that goes on."""
    call = freshness.get("call")
    return told(freshness["reason"], call, as_command) if call else str(freshness["reason"])


def content(text: str) -> None:
    """One line of contents: tabs stay."""
    _write(sys.stdout, escape.block(text).replace("\n", "\u240a"))


def block(text: str, prefix: str) -> None:
    """Contents of several lines, each behind a prefix that tells it from the lines around."""
    for part in escape.block(text).split("\n"):
        content(f"{prefix}{part}")


def numbered(text: str, first: int) -> None:
    """Lines of a file behind their numbers."""
    for number, part in enumerate(escape.block(text).split("\n"), first):
        content(f"{style(f'{number:6d}', dim=True)}  {part}")


def _write(stream: TextIO, text: str) -> None:
    """With our colours; characters that the terminal's encoding lacks are escaped."""
    encoding = stream.encoding or "utf-8"
    shown = _OUR_COLOURS.sub("\x1b[\\1m", text) if _MARK in text else text
    stream.write(shown.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def style(text: str, **how: Any) -> str:
    """`text` with colours for `line`, where stdout is a terminal that wants them."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    begin, _, end = typer.style("\0", **how).partition("\0")
    return f"{_coloured(begin)}{text}{_coloured(end)}"


def _coloured(sequence: str) -> str:
    """A sequence as `line` knows it: nobody else can write one, for the mark is made anew for each process."""
    return "".join(f"{_MARK}{part[:-1]}{_MARK_END}" for part in sequence.split("\x1b[") if part)


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
            from rich.text import Text

            with Console(stderr=True).status(Text(escape.line(text))):
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
    names = [item["name"] for item in listed["repositories"]]
    return [name for name in names if name.startswith(incomplete) and name == escape.line(name)]


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
    shown = [tuple(escape.line(cell) for cell in row) for row in rows]
    if sys.stdout.isatty():
        shown.insert(0, tuple(head.upper() for head in heads))
    widths = [max(len(row[i]) for row in shown) for i in range(len(heads))]
    for number, row in enumerate(shown):
        text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        line(style(text, dim=True) if number == 0 and len(shown) > len(rows) else text)
