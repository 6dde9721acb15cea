"""Read agents' transcripts: which text the assistant wrote itself, and which is anybody else's. Pure.

Formats (Claude Code, Codex, Cursor, Gemini CLI, Qwen Code, Copilot CLI, Cline and their like) differ,
change and are not documented. Hence a list of what is admitted, not of what is refused: text counts
as the assistant's own only where every level around it names the assistant and nothing marks it as a
sub-agent's, a tool's, a summary's or the client's. Everything else is somebody else's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple


class Message(NamedTuple):
    """A piece of text of a transcript, and whose it is."""

    source: str  # OWN: the assistant's, as a message of the main session; USER: what the user said; OTHER
    text: str


OWN: Final = "own"
USER: Final = "user"
OTHER: Final = "other"


_ASSISTANT: Final = frozenset({"assistant", "gemini", "model", "agent", "assistant.message"})
_USER: Final = frozenset({"user", "human", "user.message"})
_NEUTRAL: Final = frozenset({"message", "response_item", "text", "output_text", "input_text"})
_ENVELOPES: Final = ("message", "payload", "data")
_LISTS: Final = ("messages", "history", "conversation", "turns", "items", "contents")
_TEXT_BLOCKS: Final = frozenset({"", "text", "output_text", "input_text"})
_MARKS: Final = frozenset(  # names in lower case without `_`: who has one that is set does not speak for the session
    (
        "issidechain sidechain ismeta iscompactsummary iscompaction compaction compact issummary summary subagent "
        "isvisibleintranscriptonly isapierrormessage isreplay issynthetic synthetic parenttooluseid parenttoolcallid "
        "agentid agenttype agentname subagentid subagentname issubagent subagenttype "
        "toolcallid tooluseid istoolresult tooluseresult functionresponse "
        "forwarded isforwarded injected isinjected citations thought iserror error"
    ).split()
)
_OWN_WORK: Final = frozenset(  # of a message of the assistant: what it asked of tools, and its thoughts
    "input args arguments thinking thought thoughts reasoning signature functioncall toolrequests model id".split()
)
_REPEATED: Final = frozenset({"lastagentmessage", "lastassistantmessage"})  # of events that name what was said before
_OWN_EVENTS: Final = frozenset({"agent_message", "agent_reasoning"})  # of Codex, which keeps each message twice
_DEEPEST: Final = 40
_LINES: Final = 20_000  # that are understood, from the end; nobody is known to have said what comes before


def messages(transcript: str) -> Iterator[Message]:
    """Yield the texts of a transcript of JSON lines, or of one JSON text, in their order."""
    try:
        value = json.loads(transcript)
    except (ValueError, RecursionError):
        lines = transcript.rsplit("\n", _LINES)
        for number, line in enumerate(lines):
            if number == 0 and len(lines) > _LINES:
                yield Message(OTHER, line)  # all that comes before
            elif line.strip():
                yield from _of_line(line)
    else:
        yield from _of_value(value)


def _of_line(line: str) -> Iterator[Message]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        yield Message(OTHER, line)  # the first may be cut, the last half written: nobody is known to have said it
    else:
        yield from _of_value(value)


def _of_value(value: Any) -> Iterator[Message]:
    """A record, a list of records, or an object with such a list."""
    if isinstance(value, list):
        for item in value:
            yield from _of_record(item)
    elif isinstance(value, dict) and not _labels(value) and not _is_marked(value):
        for name, item in value.items():
            if name in _LISTS and isinstance(item, list):
                yield from _of_value(item)
            else:
                yield from _others(item)
    else:
        yield from _of_record(value)


def _of_record(record: Any) -> Iterator[Message]:
    levels = list(_levels(record))
    if levels and any(_labels(level) & _OWN_EVENTS for level in levels):
        return
    source = _source(levels)
    if source == OTHER:
        yield from _others(record)
        return
    left_out = _OWN_WORK if source == OWN else frozenset()
    inner = levels[-1]
    content = next((inner[name] for name in ("content", "parts", "text", "message") if inner.get(name)), None)
    for part in content if isinstance(content, list) else [content]:
        text = _plain_text(part)
        if text is not None:
            yield Message(source, text)
        else:
            yield from _others(part, left_out)
    for level, within in zip(levels, [*levels[1:], None], strict=True):  # results beside it, as Gemini keeps them
        rest = {name: item for name, item in level.items() if item is not content and item is not within}
        yield from _others(rest, left_out)


def _levels(record: Any) -> Iterator[dict[str, Any]]:
    """The record and the envelopes in it, from the outside inwards."""
    for _ in range(4):
        if not isinstance(record, dict):
            return
        yield record
        record = next((record[name] for name in _ENVELOPES if isinstance(record.get(name), dict)), None)


def _labels(level: dict[str, Any]) -> set[str]:
    """What a level says that it is: its type, role, sender and author."""
    found = set()
    for name in ("type", "role", "sender", "author"):
        label = level.get(name)
        if label is not None:
            found.add(label.lower() if isinstance(label, str) else "?")
    return found


def _source(levels: list[dict[str, Any]]) -> str:
    """Whose the record is, if every level says the same and none is marked."""
    labels = set().union(*map(_labels, levels))
    if any(map(_is_marked, levels)) or any(level.get("model") == "<synthetic>" for level in levels):
        return OTHER
    for names, source in ((_ASSISTANT, OWN), (_USER, USER)):
        if labels & names and labels <= names | _NEUTRAL:
            return source
    return OTHER


def _is_marked(level: dict[str, Any]) -> bool:
    is_agents = "agent" in str(level.get("kind") or "").lower()
    return is_agents or any(value and _plain(name) in _MARKS for name, value in level.items())


def _plain(name: Any) -> str:
    return str(name).replace("_", "").lower()


def _plain_text(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or _is_marked(part) or str(part.get("type") or "") not in _TEXT_BLOCKS:
        return None
    return part["text"] if isinstance(part.get("text"), str) else None


def _others(value: Any, left_out: frozenset[str] = frozenset()) -> Iterator[Message]:
    """All texts below a value, as somebody else's."""
    rest: list[tuple[Any, int]] = [(value, 0)]
    while rest:
        item, depth = rest.pop()
        if isinstance(item, str):
            if len(item) > 1:
                yield Message(OTHER, item)
        elif depth < _DEEPEST and isinstance(item, list):
            rest += [(one, depth + 1) for one in item]
        elif depth < _DEEPEST and isinstance(item, dict):
            kept = (one for name, one in item.items() if _plain(name) not in left_out and name not in _REPEATED)
            rest += [(one, depth + 1) for one in kept if not isinstance(one, (int, float))]
