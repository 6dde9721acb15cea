"""YAML as people write it: changed in place, every other character kept.

Libraries that write a whole document anew change its quotes, widths and comments. PyYAML says where each node lies, so
this cuts and pastes there.
"""

from __future__ import annotations

import json
from typing import Any

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

Path_ = tuple[str, ...]


def read(text: str) -> Any:
    """What a text holds; an empty one an empty mapping. Raises ValueError."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error).replace("\n", " ") or "nested too deeply") from error
    return {} if value is None else value


def with_value(text: str, path: Path_, value: Any) -> str:
    """`text` with the value at `path`; mappings on the way are made. Raises ValueError."""
    root = _compose(text)
    if root is None:
        return text + ("" if not text or text.endswith("\n") else "\n") + _block(_nested(path, value), 0)
    node: Node = root
    for depth, name in enumerate(path):
        if _is_null(node):
            return _fill(text, node, _nested(path[depth:], value))
        if not isinstance(node, MappingNode):
            raise ValueError(f"{'.'.join(path[:depth]) or 'the whole'} is no mapping")
        inside = _member(node, name)
        if inside is None:
            return _inserted(text, node, {name: _nested(path[depth + 1 :], value)})
        node = inside
    return _replaced(text, node, value)


def with_item(text: str, path: Path_, value: Any) -> str:
    """`text` with a value at the end of the list at `path`. Raises ValueError."""
    node = _at(_compose(text), path)
    if node is None or _is_null(node):
        return with_value(text, path, [value])
    if not isinstance(node, SequenceNode):
        raise ValueError(f"{'.'.join(path)} is no list")
    if node.flow_style:
        return _into_flow(text, node, json.dumps(value, ensure_ascii=False))
    return _lines_after(text, node, _item(value, node.start_mark.column))


def with_item_value(text: str, path: Path_, number: int, rest: Path_, value: Any) -> str:
    """`text` with the value at `rest` of an item of the list at `path`. Raises ValueError."""
    node: Any = _at(_compose(text), path).value[number]  # type: ignore[union-attr]
    for depth, name in enumerate(rest):
        inside = _member(node, name) if isinstance(node, MappingNode) else None
        if inside is None:
            return _inserted(text, node, {name: _nested(rest[depth + 1 :], value)})
        node = inside
    return _replaced(text, node, value)


def without_value(text: str, path: Path_) -> str:
    """`text` without what is at `path`."""
    holder = _at(_compose(text), path[:-1])
    if not isinstance(holder, MappingNode):
        return text
    for number, (key, value) in enumerate(holder.value):
        if key.value == path[-1]:
            spans = [(one.start_mark.index, _end(text, other, one)) for one, other in holder.value]
            return _cut(text, holder, spans, number, _end(text, value, key))
    return text


def without_item(text: str, path: Path_, number: int) -> str:
    """`text` without an item of the list at `path`."""
    holder = _at(_compose(text), path)
    assert isinstance(holder, SequenceNode)
    spans = [(one.start_mark.index, _end(text, one)) for one in holder.value]
    return _cut(text, holder, spans, number, spans[number][1])


def dumped(path: Path_, value: Any) -> str:
    """A document that holds the value at `path` and nothing else."""
    return _block(_nested(path, value), 0)


def _compose(text: str) -> Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error).replace("\n", " ") or "nested too deeply") from error


def _at(node: Node | None, path: Path_) -> Node | None:
    for name in path:
        node = _member(node, name) if isinstance(node, MappingNode) else None
    return node


def _member(node: MappingNode, name: str) -> Node | None:
    found = [value for key, value in node.value if isinstance(key, ScalarNode) and key.value == name]
    if len(found) > 1:
        raise ValueError(f"line {found[1].start_mark.line + 1}: {name} stands there twice")
    return found[0] if found else None


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and str(node.tag) == "tag:yaml.org,2002:null"


def _end(text: str, node: Node, key: Node | None = None) -> int:
    """Where a node's last character is: a block's end mark is at the next thing, past comments and blank lines."""
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last[1], last[0]) if isinstance(last, tuple) else _end(text, last)
    end: int = node.end_mark.index
    if isinstance(node, ScalarNode) and node.start_mark.index == end and key is not None:
        return text.index(":", key.end_mark.index) + 1  # nothing but the key
    return len(text[:end].rstrip()) if isinstance(node, ScalarNode) and node.style in ("|", ">") else end


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _nested(path: Path_, value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value


def _inserted(text: str, node: MappingNode, member: dict[str, Any]) -> str:
    if node.flow_style:
        return _into_flow(text, node, json.dumps(member, ensure_ascii=False)[1:-1])
    return _lines_after(text, node, _block(member, node.start_mark.column))


def _into_flow(text: str, node: MappingNode | SequenceNode, said: str) -> str:
    if not node.value:
        at = node.start_mark.index + 1
        return text[:at] + said + text[at:]
    last = node.value[-1]
    at = _end(text, last[1], last[0]) if isinstance(last, tuple) else _end(text, last)
    return f"{text[:at]}, {said}{text[at:]}"


def _lines_after(text: str, node: Node, lines: str) -> str:
    at = _end_of_line(text, _end(text, node))
    if at == len(text):
        return text + ("" if text.endswith("\n") else "\n") + lines
    return f"{text[:at]}\n{lines.removesuffix(chr(10))}{text[at:]}"


def _fill(text: str, node: Node, value: Any) -> str:
    """`text` with a value where there is nothing, or null."""
    start, end = node.start_mark.index, node.end_mark.index
    head = text[:start].rstrip(" ")
    line = head[head.rfind("\n") + 1 :]
    column = len(line) - len(line.lstrip(" "))
    if not line.strip():  # the whole document is `null`
        return head + _block(value, column) + text[end:]
    at = _end_of_line(text, end)
    return f"{head}{text[end:at]}\n{_block(value, column + 2).removesuffix(chr(10))}{text[at:] or chr(10)}"


def _replaced(text: str, node: Node, value: Any) -> str:
    start, end = node.start_mark.index, _end(text, node)
    said = json.dumps(value, ensure_ascii=False) if getattr(node, "style", None) == '"' else _scalar(value)
    head = text[:start].rstrip(" \n")
    if isinstance(node, SequenceNode | MappingNode) and not node.flow_style:
        return f"{head} {said}{text[end:]}"
    return text[:start] + (" " if text[start - 1 : start] == ":" else "") + said + text[end:]


def _cut(text: str, holder: Node, spans: list[tuple[int, int]], number: int, end: int) -> str:
    begin = spans[number][0]
    if getattr(holder, "flow_style", False):
        if number:
            return text[: spans[number - 1][1]] + text[end:]
        if len(spans) > 1:
            return text[:begin] + text[spans[1][0] :]
        return text[: holder.start_mark.index + 1] + text[holder.end_mark.index - 1 :]
    line = text.rfind("\n", 0, begin) + 1
    after = min(_end_of_line(text, end) + 1, len(text))
    said = text[line:begin]
    if said.strip() and (isinstance(holder, MappingNode) or said.strip() != "-"):
        raise ValueError("it shares a line with something else")
    if after == len(text) and not text.endswith("\n"):
        return text[: max(line - 1, 0)]
    return text[:line] + text[after:]


def _block(value: Any, indent: int) -> str:
    """Members as lines; lists of scalars and empty things in one."""
    lines = []
    for name, item in value.items():
        head = f"{' ' * indent}{_scalar(name)}:"
        if isinstance(item, dict) and item:
            lines.append(f"{head}\n{_block(item, indent + 2)}")
        elif isinstance(item, list) and any(isinstance(one, dict) for one in item):
            lines.append(f"{head}\n{''.join(_item(one, indent + 2) for one in item)}")
        else:
            lines.append(f"{head} {_scalar(item)}\n")
    return "".join(lines)


def _item(value: Any, indent: int) -> str:
    lines = _block(value, indent + 2)
    return f"{' ' * indent}- {lines[indent + 2 :]}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        plain = yaml.safe_dump(value, allow_unicode=True, width=1_000_000).removesuffix("\n").removesuffix("\n...")
        return plain if "\n" not in plain else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)
