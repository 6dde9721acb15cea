"""Configuration files of agents as texts: an entry set or taken out, all else kept as it is written.

Each `Format` works on text alone; that what comes out holds what it should is checked by reading it again.
"""

from __future__ import annotations

import io
import re
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final, Protocol

from recollect.agents import jsonc
from recollect.errors import UserError

Path_ = tuple[str, ...]
BEGIN: Final = "<!-- recollect: begin -->"
END: Final = "<!-- recollect: end -->"
_BLOCK: Final = re.compile(rf"\n*{re.escape(BEGIN)}.*?{re.escape(END)}\n?", re.DOTALL)


class Format(Protocol):
    """How one kind of file is read and changed. Each raises ValueError where the text is not of its kind."""

    def read(self, text: str) -> Any: ...
    def set(self, text: str, path: Path_, value: Any) -> str: ...
    def remove(self, text: str, path: Path_) -> str: ...


class Json:
    def read(self, text: str) -> Any:
        return jsonc.parse(text).value

    def set(self, text: str, path: Path_, value: Any) -> str:
        return jsonc.with_member(text, path, value)

    def remove(self, text: str, path: Path_) -> str:
        return jsonc.without_member(text, path)


class Toml:
    def read(self, text: str) -> Any:
        return tomllib.loads(text)

    def set(self, text: str, path: Path_, value: Any) -> str:
        import tomlkit

        document = tomlkit.parse(text)
        table: Any = document
        for name in path[:-1]:
            if name not in table:
                table[name] = tomlkit.table(is_super_table=True)
            table = table[name]
        entry = tomlkit.table()
        for name, item in value.items():
            entry[name] = item
        known = path[-1] in table
        table[path[-1]] = entry
        written = tomlkit.dumps(document)
        return written if not text or known else _with_gaps(written, ".".join(path))

    def remove(self, text: str, path: Path_) -> str:
        import tomlkit

        document = tomlkit.parse(text)
        table: Any = document
        for name in path[:-1]:
            if name not in table:
                return text
            table = table[name]
        if path[-1] not in table:
            return text
        del table[path[-1]]
        return tomlkit.dumps(document)


class Yaml:
    def read(self, text: str) -> Any:
        import yaml

        try:
            return yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise ValueError(str(error).replace("\n", " ")) from error

    def set(self, text: str, path: Path_, value: Any) -> str:
        def change(document: Any) -> Any:
            inside = document
            for name in path[:-1]:
                if inside.get(name) is None:
                    inside[name] = {}
                inside = inside[name]
            inside[path[-1]] = value
            return document

        return _yaml(text, change)

    def remove(self, text: str, path: Path_) -> str:
        if path[-1] not in _at(self.read(text), path[:-1]):
            return text

        def change(document: Any) -> Any:
            del _at(document, path[:-1])[path[-1]]
            return document

        return _yaml(text, change)


class YamlList(Yaml):
    """The last part of the path is the `name` of an entry in a list, as Continue has it."""

    def set(self, text: str, path: Path_, value: Any) -> str:
        def change(document: Any) -> Any:
            entries = document.get(path[0])
            if entries is None:
                document[path[0]] = entries = []
            entries[:] = [item for item in entries if item.get("name") != path[1]]
            entries.append(value)
            return document

        return _yaml(text, change)

    def remove(self, text: str, path: Path_) -> str:
        def change(document: Any) -> Any:
            entries = document.get(path[0]) or []
            for number, item in reversed(list(enumerate(entries))):
                if item.get("name") == path[1]:
                    del entries[number]
            return document

        named = [item.get("name") for item in self.read(text).get(path[0]) or []]
        return _yaml(text, change) if path[1] in named else text


JSON, TOML, YAML, YAML_LIST = Json(), Toml(), Yaml(), YamlList()


def entry(kind: Format, text: str, path: Path_) -> Any:
    """What stands at `path`, or None. Raises UserError where the text cannot be read."""
    try:
        whole = kind.read(text)
    except ValueError as error:
        raise UserError(f"cannot be read: {error}", code="unreadable_configuration") from error
    if isinstance(kind, YamlList):
        found = (whole or {}).get(path[0]) or []
        return next((item for item in found if item.get("name") == path[1]), None)
    return _at(whole, path[:-1]).get(path[-1])


def servers(kind: Format, text: str, path: Path_) -> dict[str, Any]:
    """All that stands beside what is at `path`, by name. Raises UserError where the text cannot be read."""
    entry(kind, text, path)
    whole = kind.read(text) or {}
    if isinstance(kind, YamlList):
        return {str(item.get("name")): item for item in whole.get(path[0]) or []}
    return dict(_at(whole, path[:-1]))


def with_entry(kind: Format, text: str, path: Path_, value: Any) -> str:
    """`text` with `value` at `path`. Raises UserError where that cannot be done without harm."""
    return _checked(kind, text, path, value, lambda: kind.set(text, path, value))


def without_entry(kind: Format, text: str, path: Path_, before: str | None = None) -> str:
    """`text` without what is at `path`; what held only that goes too, unless it was in `before`."""
    changed = _checked(kind, text, path, None, lambda: kind.remove(text, path))
    known = kind.read(before or "") or {}
    for depth in range(len(path) - 1, 0, -1):
        holder = path[:depth]
        was, left = _at(known, holder[:-1]).get(holder[-1]), _at(kind.read(changed), holder[:-1]).get(holder[-1])
        if was is not None or left not in ({}, []):
            break
        changed = YAML.remove(changed, holder) if isinstance(kind, YamlList) else kind.remove(changed, holder)
    return changed


def _checked(kind: Format, text: str, path: Path_, value: Any, change: Any) -> str:
    others = _without(kind, text, path)
    try:
        changed: str = change()
        kept = _without(kind, changed, path) == others and entry(kind, changed, path) == value
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"cannot be changed: {error}", code="unreadable_configuration") from error
    if not kept:
        raise UserError("cannot be changed without harm", code="unreadable_configuration")
    return changed


def _without(kind: Format, text: str, path: Path_) -> Any:
    """All that a text holds beside the entry, empty holders of it left out: what a change must keep."""
    entry(kind, text, path)  # says where it cannot be read
    whole = deepcopy(kind.read(text) or {})
    if not isinstance(whole, dict):
        raise UserError("it is no table of settings", code="unreadable_configuration")
    if isinstance(kind, YamlList):
        left = [item for item in whole.get(path[0]) or [] if item.get("name") != path[1]]
        whole.pop(path[0], None)
        return {**whole, **({path[0]: left} if left else {})}
    holders = [whole]
    for name in path[:-1]:
        inside = holders[-1].get(name)
        if not isinstance(inside, dict):
            if inside is not None:
                raise UserError(f"{name} is no table of entries", code="unreadable_configuration")
            break
        holders.append(inside)
    else:
        holders[-1].pop(path[-1], None)
    for depth in range(len(holders) - 1, 0, -1):
        if not holders[depth]:
            del holders[depth - 1][path[depth - 1]]
    return whole


def _at(whole: Any, path: Path_) -> Any:
    for name in path:
        whole = whole.get(name) if isinstance(whole, Mapping) else None
    return whole if isinstance(whole, Mapping) else {}


def _with_gaps(written: str, table: str) -> str:
    """A blank line before and after a new table, as between the others."""
    lines = written.splitlines(keepends=True)
    begin = next((number for number, line in enumerate(lines) if line.strip() == f"[{table}]"), None)
    if begin is None:
        return written  # somewhere inline
    end = next((number for number in range(begin + 1, len(lines)) if lines[number].lstrip().startswith("[")), None)
    if end is not None and lines[end - 1].strip():
        lines.insert(end, "\n")
    if begin and lines[begin - 1].strip():
        lines.insert(begin, "\n")
    return "".join(lines)


def _yaml(text: str, change: Any) -> str:
    from ruamel.yaml import YAML as RoundTrip
    from ruamel.yaml.error import YAMLError

    tool = RoundTrip()
    tool.preserve_quotes = True
    tool.width = 10_000
    found = re.search(r"^( *)(?:- .*|[^\s#].*:)\n( +)- ", text, re.MULTILINE)
    offset = len(found.group(2)) - len(found.group(1)) if found is not None else 0
    deeper = re.search(r"^[^\s#-][^\n]*:[ \t]*\n( +)[^\s#-]", text, re.MULTILINE)
    mapping = len(deeper.group(1)) if deeper is not None else 2
    tool.indent(mapping=mapping, sequence=offset + 2, offset=offset)
    try:
        document = tool.load(text)
    except YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from error
    out = io.StringIO()
    tool.dump(change(document if document is not None else {}), out)
    return out.getvalue()


# -- instructions -----------------------------------------------------------------------------------------------------


def with_block(text: str, block: str) -> str:
    """`text` with our block, marked, at its end or where it was."""
    marked = f"{BEGIN}\n{block.strip()}\n{END}\n"
    if BEGIN in text and END in text:
        return _BLOCK.sub(lambda found: found.group()[: found.group().index(BEGIN)] + marked, text, count=1)
    if not text:
        return marked
    return text + ("\n" if text.endswith("\n") else "\n\n") + marked


def without_block(text: str) -> str:
    """`text` as it was before the block."""
    found = _BLOCK.search(text)
    if found is None:
        return text
    head, tail = text[: found.start()], text[found.end() :]
    gap = len(found.group()) - len(found.group().lstrip("\n"))
    return head + ("\n" * max(1, gap - 1) if head else "") + tail
