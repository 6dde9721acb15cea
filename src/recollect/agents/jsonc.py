"""JSON with comments and trailing commas, as editors write it: changed in place, every other character kept.

No library on PyPI edits such a text without writing it anew, so this finds where values lie and cuts and pastes there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

_BLANK: Final = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_COMMENTS: Final = re.compile(r"[ \t]*(?:/\*(?:(?!\*/)[^\n])*\*/[ \t]*)*(?://[^\n]*)?(?=\n|\Z)")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_PLAIN: Final = re.compile(r"[-+.\w]+")
_SHORT_LIST: Final = re.compile(r"\[\n[^][{}]{,70}\]")  # of texts and numbers: on one line, as people write it
_DEEPEST: Final = 200
_QUICK: Final = json.JSONDecoder(strict=False)  # in C: for values of which only the end is needed
Path_ = tuple[str | int, ...]  # names of members, numbers of items
Along = dict[str | int, Any]
"""What is looked into, and into what inside it; None: everything. The rest is stepped over: `{"a": {0: {}}}`."""


class BadJson(ValueError):
    """The text is not JSON with comments; the message names the line."""


@dataclass(slots=True)
class Node:
    """A value at `text[start:end]`. Of a name that stands there twice the last one counts, as for every reader of JSON.

    `inner`: (where it begins with its name, value) of everything inside, in order; `names`: theirs, for an object.
    """

    start: int
    end: int = 0
    value: Any = None
    members: dict[str, Node] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    inner: list[tuple[int, Node]] = field(default_factory=list)


def parse(text: str, along: Along | None = None) -> Node:
    """Raises BadJson. An empty text, or one of comments only, is an empty object without a place (`end` 0)."""
    at = _skip(text, 0)
    if at == len(text):
        return Node(0, 0, {})
    try:
        node = _value(text, at, 0, along)
    except RecursionError as error:
        raise BadJson("nested too deeply") from error
    rest = _skip(text, node.end)
    if rest != len(text):
        raise _bad(text, rest)
    return node


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None
    return found.end()


def _bad(text: str, at: int) -> BadJson:
    line = text.count("\n", 0, at) + 1
    return BadJson(
        f"line {line}: not JSON at {text[at : at + 20].splitlines()[0] if text[at:].strip() else 'the end'!r}"
    )


def along(path: Path_) -> Along:
    """Look into what is at a path, and into nothing else."""
    return {path[0]: along(path[1:])} if path else {}


def _child(text: str, at: int, depth: int, along: Along | None, name: str | int) -> Node:
    """A value inside another; one that is not to be looked into has no members here."""
    if along is None:
        return _value(text, at, depth, None)
    if name in along:
        return _value(text, at, depth, along[name])
    try:
        value, end = _QUICK.raw_decode(text, at)
    except ValueError:  # comments
        return _value(text, at, depth, None)
    return Node(at, end, value)


def _value(text: str, at: int, depth: int, along: Along | None) -> Node:
    if depth > _DEEPEST:
        raise BadJson("nested too deeply")
    head = text[at : at + 1]
    if head == "{":
        return _object(text, at, depth, along)
    if head == "[":
        return _list(text, at, depth, along)
    found = (_STRING if head == '"' else _PLAIN).match(text, at)
    if found is None:
        raise _bad(text, at)
    try:
        return Node(at, found.end(), json.loads(found.group(), strict=False))
    except ValueError as error:
        raise _bad(text, at) from error


def _object(text: str, at: int, depth: int, along: Along | None) -> Node:
    node = Node(at, value={})
    at = _skip(text, at + 1)
    while text[at : at + 1] != "}":
        found = _STRING.match(text, at)
        if found is None:
            raise _bad(text, at)
        name = json.loads(found.group(), strict=False)
        after = _skip(text, found.end())
        if text[after : after + 1] != ":":
            raise _bad(text, after)
        child = _child(text, _skip(text, after + 1), depth + 1, along, name)
        node.names.append(name)
        node.inner.append((at, child))
        node.members[name], node.value[name] = child, child.value
        at = _comma(text, child.end, "}")
    node.end = at + 1
    return node


def _list(text: str, at: int, depth: int, along: Along | None) -> Node:
    node = Node(at, value=[])
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]":
        child = _child(text, at, depth + 1, along, len(node.inner))
        node.inner.append((child.start, child))
        node.value.append(child.value)
        at = _comma(text, child.end, "]")
    node.end = at + 1
    return node


def _comma(text: str, at: int, close: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] == ",":
        return _skip(text, at + 1)
    if text[at : at + 1] != close:
        raise _bad(text, at)
    return at


# -- changes ----------------------------------------------------------------------------------------------------------


def with_member(text: str, path: Path_, value: Any) -> str:
    """`text` with the member at `path` set; objects on the way are made where there is none, or null. Raises BadJson."""
    root = parse(text, along(path))
    if not root.end:
        made: Any = value
        for name in reversed(path):
            made = {name: made}
        head = text if not text or text.endswith("\n") else text + "\n"
        return head + _dumped("", made, "") + "\n"
    node = root
    for depth, name in enumerate(path):
        if node.value is None:
            for rest in reversed(path[depth:]):
                value = {rest: value}
            break
        if not isinstance(node.value, list if isinstance(name, int) else dict):
            raise BadJson(f"{'.'.join(map(str, path[:depth])) or 'the whole'} is not an object")
        inside = _inside(node, name)
        if inside is None:
            for rest in reversed(path[depth + 1 :]):
                value = {rest: value}
            return _inserted(text, node, f"{json.dumps(name, ensure_ascii=False)}: ", value)
        node = inside
    return text[: node.start] + _dumped(text, value, _indent_at(text, node.start)) + text[node.end :]


def with_item(text: str, path: Path_, value: Any) -> str:
    """`text` with a value added to the list at `path`. Raises BadJson."""
    node: Node | None = parse(text, along(path))
    for name in path:
        node = _inside(node, name) if node is not None else None
    if node is None or node.value is None:
        return with_member(text, path, [value])
    if not isinstance(node.value, list):
        raise BadJson(f"{'.'.join(map(str, path))} is not a list")
    return _inserted(text, node, "", value)


def without_member(text: str, path: Path_) -> str:
    """`text` without the member at `path`, if it is there. Raises BadJson."""
    node = parse(text, along(path[:-1]))
    for name in path[:-1]:
        inside = _inside(node, name)
        if inside is None:
            return text
        node = inside
    if path[-1] not in node.names:
        return text
    return without_member(_cut(text, node, node.names.index(str(path[-1]))), path)  # again, if it stands there twice


def without_item(text: str, path: Path_, number: int) -> str:
    """`text` without an item of the list at `path`."""
    node = parse(text, along(path))
    for name in path:
        inside = _inside(node, name)
        assert inside is not None
        node = inside
    return _cut(text, node, number)


def _inside(node: Node, name: str | int) -> Node | None:
    if isinstance(name, str):
        return node.members.get(name)
    return node.inner[name][1] if isinstance(node.value, list) and name < len(node.inner) else None


def _inserted(text: str, node: Node, head: str, value: Any) -> str:
    """`text` with `head` and `value` as the last thing inside `node`, on a line of its own if the others are."""
    base = _indent_at(text, node.start)
    inner = node.inner
    if not inner:
        indent = base + _unit(text)
        kept = text[node.start + 1 : node.end - 1].rstrip()
        close = text[node.end - 1 : node.end]
        body = f"{kept}\n{indent}{head}{_dumped(text, value, indent)}\n{base}"
        return text[: node.start + 1] + body + close + text[node.end :]
    first, last = inner[0][0], inner[-1][1].end
    if "\n" not in text[node.start : first]:
        comma = "," if not _has_comma(text, last) else ""
        at = last if comma else text.index(",", last) + 1
        return text[:at] + f"{comma} {head}{json.dumps(value, ensure_ascii=False)}" + text[at:]
    indent = _indent_at(text, first)
    made = f"\n{indent}{head}{_dumped(text, value, indent)}"
    if _has_comma(text, last):  # the style of this file: a comma after the last one, too
        at = _end_of_line(text, text.index(",", _skip(text, last)) + 1)
        return text[:at] + made + "," + text[at:]
    at = _end_of_line(text, last)
    return text[:last] + "," + text[last:at] + made + text[at:]


def _cut(text: str, node: Node, number: int) -> str:
    """`text` without the `number`th thing inside `node`, its line, and one comma. Comments stay, and so do their line ends."""
    inner = node.inner
    begin, child = inner[number]
    after = _skip(text, child.end)
    head, tail = text[:begin], text[child.end :]
    if text[after] == ",":
        tail = text[child.end : after].rstrip(" ") + text[after + 1 :]
    elif number:
        comma = _skip(text, inner[number - 1][1].end)
        head = text[:comma] + text[comma + 1 : begin]
    line = head.rstrip(" \t")
    if line.endswith("\n") and (tail.lstrip(" \t\r")[:1] == "\n"):
        head = line[:-1].removesuffix("\r")  # it had a line of its own
        tail = tail.lstrip(" \t")
    elif not line.endswith("\n"):
        head, tail = line, tail.lstrip(" ") if not number else tail
    cut = head + tail
    close = _skip(cut, node.start + 1)
    if len(inner) == 1 and not cut[node.start + 1 : close].strip():
        cut = cut[: node.start + 1] + cut[close:]  # as `{}` was written before
    return cut


def _has_comma(text: str, at: int) -> bool:
    at = _skip(text, at)
    return text[at : at + 1] == ","


def _end_of_line(text: str, at: int) -> int:
    """The end of the line, if nothing but comments stands between here and there."""
    found = _COMMENTS.match(text, at)
    return found.end() if found is not None else at


def _indent_at(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip())]


def _unit(text: str) -> str:
    found = re.search(r"\n([ \t]+)\S", text)
    return found.group(1) if found is not None else "  "


def _dumped(text: str, value: Any, indent: str) -> str:
    made = json.dumps(value, indent=_unit(text), ensure_ascii=False)
    return _SHORT_LIST.sub(
        lambda found: re.sub(r"\n\s*", " ", found.group()).replace("[ ", "[").replace(" ]", "]"), made
    ).replace("\n", "\n" + indent)
