"""Configuration files of agents as texts: an entry set, changed or taken out, all else kept as it is written.

Each `Format` works on text alone; that what comes out holds what it should is checked by reading it again.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from recollect.agents import jsonc, toml_text
from recollect.errors import UserError

Path_ = tuple[str, ...]
BEGIN: Final = "<!-- recollect: begin -->"
END: Final = "<!-- recollect: end -->"
_BLOCK: Final = re.compile(
    rf"(\n?)(?<![^\n]){re.escape(BEGIN)}[ \t]*\n((?:(?!{re.escape(BEGIN)}).)*?){re.escape(END)}[ \t]*(?:\n|\Z)",
    re.DOTALL,
)
_DEEPEST: Final = "nested too deeply"


class Format(Protocol):
    """How one kind of file is read and changed. Each raises ValueError where the text is not of its kind."""

    name: str

    def read(self, text: str) -> Any: ...
    def set(self, text: str, path: Path_, value: Any) -> str: ...
    def remove(self, text: str, path: Path_) -> str: ...
    def dumped(self, path: Path_, value: Any) -> str: ...


class Json:
    name = "JSON"

    def read(self, text: str) -> Any:
        try:
            return json.loads(text, strict=False)  # in C, where there are no comments
        except ValueError:
            return jsonc.parse(text).value

    def set(self, text: str, path: Path_, value: Any) -> str:
        return jsonc.with_member(text, path, value)

    def remove(self, text: str, path: Path_) -> str:
        return jsonc.without_member(text, path)

    def dumped(self, path: Path_, value: Any) -> str:
        return jsonc.with_member("", path, value)


class Toml:
    name = "TOML"

    def read(self, text: str) -> Any:
        try:
            return tomllib.loads(text)
        except RecursionError as error:
            raise ValueError(_DEEPEST) from error

    def set(self, text: str, path: Path_, value: Any) -> str:
        return toml_text.with_value(text, path, value)

    def remove(self, text: str, path: Path_) -> str:
        return toml_text.without_value(text, path)

    def dumped(self, path: Path_, value: Any) -> str:
        return toml_text.with_value("", path, value)


class Yaml:
    name = "YAML"

    def read(self, text: str) -> Any:
        from recollect.agents import yaml_text

        return yaml_text.read(text)

    def set(self, text: str, path: Path_, value: Any) -> str:
        from recollect.agents import yaml_text

        return yaml_text.with_value(text, path, value)

    def remove(self, text: str, path: Path_) -> str:
        from recollect.agents import yaml_text

        return yaml_text.without_value(text, path)

    def dumped(self, path: Path_, value: Any) -> str:
        from recollect.agents import yaml_text

        return yaml_text.dumped(path, value)


class YamlList(Yaml):
    """The second part of the path is the `name` of an entry in a list, as Continue has it."""

    def set(self, text: str, path: Path_, value: Any) -> str:
        from recollect.agents import yaml_text

        numbers = self._numbers(text, path)
        if len(path) > 2:
            return yaml_text.with_item_value(text, path[:1], numbers[-1], path[2:], value)
        for number in reversed(numbers):
            text = yaml_text.without_item(text, path[:1], number)
        return yaml_text.with_item(text, path[:1], value)

    def remove(self, text: str, path: Path_) -> str:
        from recollect.agents import yaml_text

        if len(path) == 1:
            return yaml_text.without_value(text, path)
        for number in reversed(self._numbers(text, path)):
            text = yaml_text.without_item(text, path[:1], number)
        return text

    def dumped(self, path: Path_, value: Any) -> str:
        from recollect.agents import yaml_text

        return yaml_text.dumped(path[:1], [value])

    def _numbers(self, text: str, path: Path_) -> list[int]:
        return [number for number, item in enumerate(_items(self.read(text), path)) if _is_named(item, path[1])]


JSON, TOML, YAML, YAML_LIST = Json(), Toml(), Yaml(), YamlList()


def entry(kind: Format, text: str, path: Path_) -> Any:
    """What stands at `path`, or None. Raises UserError where the text cannot be read."""
    whole = read(kind, _opened(text)[0])
    if isinstance(kind, YamlList):
        return next((item for item in _items(whole, path) if _is_named(item, path[1])), None)
    return _at(whole, path[:-1]).get(path[-1])


def servers(kind: Format, text: str, path: Path_) -> dict[str, Any]:
    """All that stands beside what is at `path`, by name. Raises UserError where the text cannot be read."""
    whole = read(kind, _opened(text)[0])
    if isinstance(kind, YamlList):
        return {str(item.get("name")): item for item in _items(whole, path) if isinstance(item, Mapping)}
    return {str(name): item for name, item in _at(whole, path[:-1]).items()}


def with_entry(kind: Format, text: str, path: Path_, value: Any) -> str:
    """`text` with `value` at `path`. Raises UserError where that cannot be done without harm."""

    def change(body: str) -> str:
        if entry(kind, body, path) is not None:
            body = kind.remove(body, path)
        return kind.set(body, path, value)

    return _changed(kind, text, path, value, change)


def with_members(kind: Format, text: str, path: Path_, members: Mapping[Path_, Any]) -> str:
    """`text` with these members of the entry at `path` set, the others left as they are. Raises UserError."""
    expected = dict(entry(kind, text, path))
    for rest, value in members.items():
        holder = expected
        for name in rest[:-1]:
            holder[name] = dict(holder.get(name) or {})
            holder = holder[name]
        holder[rest[-1]] = value

    def change(body: str) -> str:
        for rest, value in members.items():
            body = kind.set(body, path + rest, value)
        return body

    return _changed(kind, text, path, expected, change)


def without_entry(kind: Format, text: str, path: Path_, before: str | None = None) -> str:
    """`text` without what is at `path`; what held only that goes too, unless it was in `before`."""
    known = _known(kind, before)

    def change(body: str) -> str:
        body = kind.remove(body, path)
        for depth in range(len(path) - 1, 0, -1):
            holder = path[:depth]
            inside = _at(kind.read(body), holder[:-1])
            if holder[-1] not in inside or inside[holder[-1]] not in ({}, [], None):
                break
            if holder[-1] in _at(known, holder[:-1]):
                break
            body = kind.remove(body, holder)
        return body

    return _changed(kind, text, path, None, change)


def _known(kind: Format, before: str | None) -> Any:
    try:
        return kind.read(_opened(before)[0]) if before else {}
    except ValueError:
        return {}


def _changed(kind: Format, text: str, path: Path_, value: Any, change: Callable[[str], str]) -> str:
    """`text` after a change, if that says all it said before and `value` at `path`. Raises UserError."""
    body, closed = _opened(text)
    others = _without(kind, body, path)
    try:
        changed = change(body)
        kept = _without(kind, changed, path) == others and entry(kind, changed, path) == value
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise UserError(f"it cannot be changed: {error}", code="unreadable_configuration") from error
    if not kept:
        raise UserError("it is written in a way that cannot be changed without harm", code="unreadable_configuration")
    return closed(changed)


def plain(text: str) -> str:
    """A text without a byte order mark, with plain line ends."""
    return _opened(text)[0]


def edited(text: str, change: Callable[[str], str]) -> str:
    """`text` after a change of its plain form; its byte order mark and its line ends stay."""
    body, closed = _opened(text)
    return closed(change(body))


def _opened(text: str) -> tuple[str, Callable[[str], str]]:
    """A text without a byte order mark and with plain line ends; and what puts them back."""
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    body = text.removeprefix(mark)
    ends = "\r\n" if "\r\n" in body and body.count("\n") == body.count("\r\n") == body.count("\r") else "\n"
    return body.replace(ends, "\n"), lambda changed: mark + changed.replace("\n", ends)


def read(kind: Format, body: str) -> Any:
    """What a plain text holds: a table of settings. Raises UserError."""
    try:
        whole = kind.read(body)
    except (ValueError, RecursionError) as error:
        said = _DEEPEST if isinstance(error, RecursionError) else error
        raise UserError(f"it is not {kind.name}: {said}", code="unreadable_configuration") from error
    if not isinstance(whole, dict):
        raise UserError(
            f"it holds {_described(whole)} where a table of settings should be", code="unreadable_configuration"
        )
    return whole


def _described(value: Any) -> str:
    words = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a table" if isinstance(value, Mapping) else "a number")


def _without(kind: Format, body: str, path: Path_) -> Any:
    """All that a text holds beside the entry, empty holders of it left out: what a change must keep."""
    whole = dict(read(kind, body))
    if isinstance(kind, YamlList):
        left = [item for item in _items(whole, path) if not _is_named(item, path[1])]
        whole.pop(path[0], None)
        return {**whole, **({path[0]: left} if left else {})}
    holders = [whole]
    for name in path[:-1]:
        inside = holders[-1].get(name)
        if inside is None:
            holders[-1].pop(name, None)
            break
        if not isinstance(inside, dict):
            raise UserError(
                f"{name} holds {_described(inside)} where a table should be", code="unreadable_configuration"
            )
        holders[-1][name] = dict(inside)
        holders.append(holders[-1][name])
    else:
        holders[-1].pop(path[-1], None)
    for depth in range(len(holders) - 1, 0, -1):
        if not holders[depth]:
            del holders[depth - 1][path[depth - 1]]
    return whole


def _items(whole: Any, path: Path_) -> list[Any]:
    found = whole.get(path[0]) if isinstance(whole, Mapping) else None
    if found is None:
        return []
    if not isinstance(found, list):
        raise UserError(f"{path[0]} holds {_described(found)} where a list should be", code="unreadable_configuration")
    return found


def _is_named(item: Any, name: str) -> bool:
    return isinstance(item, Mapping) and item.get("name") == name


def _at(whole: Any, path: Path_) -> Any:
    for name in path:
        whole = whole.get(name) if isinstance(whole, Mapping) else None
    return whole if isinstance(whole, Mapping) else {}


# -- instructions -----------------------------------------------------------------------------------------------------


def block(text: str) -> str | None:
    """What stands between our markers, or None."""
    found = _BLOCK.search(_opened(text)[0])
    return found.group(2) if found is not None else None


def with_block(text: str, said: str) -> str:
    """`text` with our block, marked, at its end or where it was. Raises UserError where a marker is missing."""
    body, closed = _opened(text)
    _check_markers(body)
    marked = f"{BEGIN}\n{said.strip()}\n{END}\n"
    found = _BLOCK.search(body)
    if found is not None:
        return closed(body[: found.start()] + found.group(1) + marked + body[found.end() :])
    return closed(body + ("\n" if body else "") + marked)


def without_block(text: str) -> str:
    """`text` as it was before the block. Raises UserError where a marker is missing."""
    body, closed = _opened(text)
    _check_markers(body)
    found = _BLOCK.search(body)
    if found is None:
        return text
    head, tail = body[: found.start()], body[found.end() :]
    joined = head + ("\n" if head and tail and not head.endswith("\n") and not tail.startswith("\n") else "") + tail
    return without_block(closed(joined))  # again, if it stands there twice


def _check_markers(body: str) -> None:
    """A marker alone would make what somebody else wrote look like ours."""
    begins = len(re.findall(rf"^{re.escape(BEGIN)}[ \t]*$", body, re.MULTILINE))
    ends = len(re.findall(rf"^{re.escape(END)}[ \t]*$", body, re.MULTILINE))
    if begins == ends == len(_BLOCK.findall(body)):
        return
    raise UserError(
        f"of the markers {BEGIN} and {END} one is missing or stands alone: remove it, or put the other one back",
        code="unreadable_configuration",
    )


def in_json(value: Any) -> str:
    """A value as people read it."""
    return json.dumps(value, indent=2, ensure_ascii=False)
