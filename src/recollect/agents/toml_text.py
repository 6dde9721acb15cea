"""TOML as people write it: changed in place, every other character kept.

The libraries that edit TOML move comments of the next table, and know no positions. So this finds where each statement
lies, and cuts and pastes there. The text must have been read by `tomllib` before: what is no TOML is not looked for here.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from typing import Any, Final

Path_ = tuple[str, ...]
_BLANK: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACES: Final = re.compile(r"[ \t]*")
_KEY: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_STRING: Final = re.compile(
    r'"{3}(?:[^\\]|\\.)*?"{3,5}|' r"'{3}.*?'{3,5}|" r'"(?:[^"\\\n]|\\.)*"|' r"'[^'\n]*'", re.DOTALL
)
_PLAIN: Final = re.compile(r"[^\n,\]}#]+")


@dataclass(frozen=True, slots=True)
class Statement:
    """A line `[table]` or `key = value`: whole lines `text[start:end]`, and where its value lies, if it has one."""

    start: int
    end: int
    path: Path_
    table: Path_
    value: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Member:
    """`key = value` in an inline table; `start`: where the key begins."""

    start: int
    path: Path_
    value: tuple[int, int]


def with_value(text: str, path: Path_, value: Any) -> str:
    """`text` with the value at `path`; a table of its own, at the end, where there is no table that takes it."""
    found = _statements(text)
    for one in found:
        if one.value is None or path[: len(one.path)] != one.path:
            continue
        if path == one.path:
            return text[: one.value[0]] + _dumped(value) + text[one.value[1] :]
        return _set_inline(text, one.value, path[len(one.path) :], value)
    siblings = [one for one in found if one.path[:-1] == path[:-1] and one.value is not None]
    headers = [one for one in found if one.value is None and one.path == path[:-1]]
    if (siblings or headers) and not isinstance(value, dict):
        beside = siblings[-1] if siblings else headers[-1]
        table = beside.table if siblings else beside.path
        line = f"{_joined(path[len(table) :])} = {_dumped(value)}\n"
        head = text[: beside.end]
        return head + ("" if head.endswith("\n") else "\n") + line + text[beside.end :]
    if isinstance(value, dict) and not (siblings and len(path) > 2):
        body = "".join(f"{_joined((name,))} = {_dumped(item)}\n" for name, item in value.items())
        return text + ("\n" if text else "") + f"[{_joined(path)}]\n{body}"
    if isinstance(value, dict):
        beside = siblings[-1]
        head = text[: beside.end]
        line = f"{_joined(path[len(beside.table) :])} = {_dumped(value)}\n"
        return head + ("" if head.endswith("\n") else "\n") + line + text[beside.end :]
    return with_value(text, path[:-1], {path[-1]: value})


def without_value(text: str, path: Path_) -> str:
    """`text` without all that is said of `path`: its table, those inside it, dotted keys, a member of an inline table."""
    found = _statements(text)
    for one in found:
        if one.value is not None and path[: len(one.path)] == one.path and path != one.path:
            return _without_inline(text, one.value, path[len(one.path) :])
    parts, at, last = [], 0, -1
    for number, one in enumerate(found):
        if one.path[: len(path)] != path:
            continue
        begin = one.start
        if number and last == number - 1:
            begin = at  # comments between two lines of ours
        elif one.value is None and text[:begin].endswith("\n"):
            begin -= 2 if text[:begin].endswith("\r\n") else 1  # the blank line before it, or the end of that line
        parts.append(text[at : max(begin, at)])
        at, last = one.end, number
    head, tail = "".join(parts), text[at:]
    return head + ("\n" if head and tail and not head.endswith("\n") and not tail.startswith("\n") else "") + tail


def _statements(text: str) -> list[Statement]:
    found: list[Statement] = []
    table: Path_ = ()
    at = _after(_BLANK, text, 0)
    while at < len(text):
        start = text.rfind("\n", 0, at) + 1
        if text[at] == "[":
            brackets = 2 if text.startswith("[[", at) else 1
            table, at = _key(text, at + brackets)
            at = text.index("]", at) + brackets
            end = _end_of_line(text, at)
            found.append(Statement(start, end, table, table))
        else:
            key, at = _key(text, at)
            begin = _after(_SPACES, text, text.index("=", at) + 1)
            at = _value_end(text, begin)
            end = _end_of_line(text, at)
            found.append(Statement(start, end, table + key, table, (begin, at)))
        at = _after(_BLANK, text, end)
    return found


def _key(text: str, at: int) -> tuple[Path_, int]:
    parts: list[str] = []
    while True:
        match = _KEY.match(text, _after(_SPACES, text, at))
        if match is None:
            raise ValueError(f"no key at {text[at : at + 20]!r}")
        quoted = match.group()[0] in "\"'"
        parts.append(next(iter(tomllib.loads(f"{match.group()} = 0"))) if quoted else match.group())
        at = _after(_SPACES, text, match.end())
        if text[at : at + 1] != ".":
            return tuple(parts), at
        at += 1


def _value_end(text: str, at: int) -> int:
    if text[at] == "{":
        return _inline(text, at)[1]
    if text[at] == "[":
        at = _after(_BLANK, text, at + 1)
        while text[at] != "]":
            at = _after(_BLANK, text, _value_end(text, at))
            if text[at] == ",":
                at = _after(_BLANK, text, at + 1)
        return at + 1
    match = _STRING.match(text, at) or _PLAIN.match(text, at)
    if match is None:
        raise ValueError(f"no value at {text[at : at + 20]!r}")
    return at + len(match.group().rstrip())


def _inline(text: str, at: int) -> tuple[list[_Member], int]:
    members: list[_Member] = []
    at = _after(_BLANK, text, at + 1)
    while text[at] != "}":
        start = at
        path, at = _key(text, at)
        begin = _after(_BLANK, text, text.index("=", at) + 1)
        at = _value_end(text, begin)
        members.append(_Member(start, path, (begin, at)))
        at = _after(_BLANK, text, at)
        if text[at] == ",":
            at = _after(_BLANK, text, at + 1)
    return members, at + 1


def _set_inline(text: str, span: tuple[int, int], path: Path_, value: Any) -> str:
    if text[span[0]] != "{":
        raise ValueError("what should hold it is no table")
    members, end = _inline(text, span[0])
    for one in members:
        if path == one.path:
            return text[: one.value[0]] + _dumped(value) + text[one.value[1] :]
        if path[: len(one.path)] == one.path:
            return _set_inline(text, one.value, path[len(one.path) :], value)
    line = f"{_joined(path)} = {_dumped(value)}"
    if not members:
        return text[: span[0]] + "{ " + line + " }" + text[end:]
    last = members[-1].value[1]
    return f"{text[:last]}, {line}{text[last:]}"


def _without_inline(text: str, span: tuple[int, int], path: Path_) -> str:
    if text[span[0]] != "{":
        return text
    members, end = _inline(text, span[0])
    for number, one in enumerate(members):
        if one.path[: len(path)] == path:
            if len(members) == 1:
                cut = text[: span[0] + 1] + text[end - 1 :]
            elif number:
                cut = text[: members[number - 1].value[1]] + text[one.value[1] :]
            else:
                cut = text[: one.start] + text[members[1].start :]
            shorter = span[0], span[1] - (len(text) - len(cut))
            return _without_inline(cut, shorter, path)  # again: dotted keys say more than one thing of it
        if path[: len(one.path)] == one.path:
            return _without_inline(text, one.value, path[len(one.path) :])
    return text


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found is not None else at


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _joined(path: Path_) -> str:
    return ".".join(name if _BARE_KEY.fullmatch(name) else _dumped(name) for name in path)


def _dumped(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_joined((name,))} = {_dumped(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_dumped, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
