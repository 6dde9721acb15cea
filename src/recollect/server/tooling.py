"""What a tool is, and what it is called with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from recollect import escape
from recollect.calls import as_tool, next_call
from recollect.model import Progress, Record
from recollect.records import dataclass
from recollect.server.schema import Parameters
from recollect.workspace import Caller, Workspace

_CHARACTERS_PER_TOKEN: Final = 4
_SHARE_OF_NOTES: Final = 3  # of a budget that does not hold all: at most a third


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who asks, where progress goes, and whether it was cancelled."""

    workspace: Workspace
    caller: Caller
    on_progress: Callable[[Progress], None]
    cancelled: threading.Event
    deadline: float | None = None
    """until when it may wait for work that goes on by itself (monotonic); None: as long as that takes"""

    def patience_s(self, asked_s: float | None) -> float | None:
        """How long to wait where `asked_s` was asked for (None: to the end)."""
        if self.deadline is None:
            return asked_s
        left_s = max(self.deadline - time.monotonic(), 0.0)
        return left_s if asked_s is None else min(asked_s, left_s)


Answer = tuple[dict[str, Any], str]
"""(structured content, text)"""


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    toolset: str
    description: str
    parameters: type[Parameters]
    run: Callable[[Call, Any], Answer]
    returns: type[Record] | None = None
    """what the structured content is, where it always is the same"""
    reads: bool = True
    destroys: bool = False
    waits: bool = False
    """may take longer than a moment: runs beside the others"""


def answered(result: Record | dict[str, Any], show: Callable[[Any], str]) -> Answer:
    """The answer that a result is: as data, exact, and as text, of which others' words change no line.

    `show` renders; it is given the result with every text escaped, so that no function can forget it.
    """
    return (result.to_dict() if isinstance(result, Record) else result), show(escape.fields(result))


def within(text: str, max_tokens: int | None, notes: Sequence[str] = (), again: Mapping[str, Any] | None = None) -> str:
    """`text` and the notes, cut where they are longer than a budget: `text` after a line, with how to have more.

    `again`: the call of the same question, offered with a larger budget; None where asking again would do more than that.
    """
    most = max_tokens * _CHARACTERS_PER_TOKEN if max_tokens is not None else len(text) + sum(map(len, notes)) * 2 + 100
    noted = "".join(f"\n({sentence})" for sentence in notes)
    if len(noted) > most // _SHARE_OF_NOTES and len(noted) + len(text) > most:
        noted = f"{noted[: most // _SHARE_OF_NOTES - 2]}…)"
    if len(text) + len(noted) <= most:
        return text + noted
    most -= len(noted)
    whole = -(-(len(text) + len(noted)) // _CHARACTERS_PER_TOKEN)
    more = f"… cut: {max_tokens} of {whole} tokens."
    if again is not None:
        call = as_tool(next_call(again["tool"], **{**again["arguments"], "max_tokens": whole}))
        more += _fitting(f" Narrow the question, or ask: {call}", f" More: max_tokens={whole}", most - len(more))
    room = max(0, most - len(more) - 1)
    end = text.rfind("\n", 0, room + 1)
    return f"{text[: end if end > room // 2 else room]}\n{more}{noted}"


def _fitting(long: str, short: str, most: int) -> str:
    """The longer of two sentences where it takes a small part of the room, else the shorter one."""
    return long if len(long) <= most // 3 else short
