"""What files of memories hold, record by record: JSON Lines, one JSON document, Markdown, SQLite.

A record that cannot be read is an `Item` with the reason. What is too large is refused before it is parsed. Whether a
record may be stored is decided at the door (`validate`).
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO, Final

from recollect.errors import UserError
from recollect.memory import validate, yaml_front
from recollect.model import Memory
from recollect.records import dataclass

MAX_FILE: Final = 512 << 20  # bytes; of a database: of the texts in it
MAX_DOCUMENT: Final = 64 << 20  # of one JSON text, which is in memory as a whole
MAX_RECORD: Final = 16 << 20  # a line, a note, a row
MAX_RECORDS: Final = 200_000
_MAX_VALUES: Final = 5_000_000  # of one JSON text
_FIELDS: Final = {field.name for field in fields(Memory)} | {"versions", "owner"}
_DERIVED: Final = {"content_hash", "similarity_score", "truncated", "embedding", "created_at_iso", "updated_at_iso"}
_TIMES: Final = {
    "created_at": ("created_at", "created_at_iso", "created", "date", "timestamp"),
    "updated_at": ("updated_at", "updated_at_iso", "updated", "modified"),
}
_HEAD: Final = re.compile(r"---\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Item:
    """One record of a source. `label`: where it stands there. `reason`: why there is no `raw` record."""

    label: str
    raw: dict[str, Any] | None
    reason: str | None = None


def read(path: Path) -> Iterator[Item]:
    """Every record of a file or of a folder of Markdown notes. Raises UserError: the whole of it cannot be read."""
    for number, item in enumerate(_items(path)):
        if number >= MAX_RECORDS:
            raise UserError(f"{path}: more than {MAX_RECORDS:,} records", hint="Import it in parts.", code="too_long")
        yield item


def _items(path: Path) -> Iterator[Item]:
    from recollect.memory import databases

    if path.is_dir():
        notes = (note for note in sorted(path.rglob("*.md")) if note.is_file())
        yield from (item for note in notes for item in _of_markdown(note, str(note.relative_to(path))))
    elif path.suffix.lower() in (".md", ".markdown"):
        yield from _of_markdown(path, path.name)
    else:
        try:
            with _opened(path) as file:
                is_database = file.read(16) == b"SQLite format 3\0"
                file.seek(0)
                if not is_database:
                    yield from _of_json(path, file)
                    return
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}", code="unreadable") from error
        yield from databases.read(path)


def _opened(path: Path) -> BinaryIO:
    """An ordinary file of bounded size. Raises OSError, UserError."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    info = os.fstat(file.fileno())
    if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_FILE:
        file.close()
        why = "no ordinary file" if not stat.S_ISREG(info.st_mode) else f"larger than {MAX_FILE >> 20} MiB"
        raise UserError(f"{path}: {why}", code="unreadable")
    return file


# -- JSON -------------------------------------------------------------------------------------------------------------


def _of_json(path: Path, file: BinaryIO) -> Iterator[Item]:
    """JSON Lines, or one JSON text: a list of memories, or an object with such a list."""
    size = os.fstat(file.fileno()).st_size
    first = file.readline(MAX_RECORD + 1)
    file.seek(0)
    opening = first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    records = None
    if opening == b"[" or not first.strip() or _list_in(_parsed(first)[0]) is not None or _parsed(first)[1] is not None:
        if size <= MAX_DOCUMENT:
            records = _list_in(_parsed(file.read())[0])
            file.seek(0)
        elif opening == b"[":
            raise UserError(f"{path}: one JSON text of more than {MAX_DOCUMENT >> 20} MiB", code="too_long")
    if records is not None:
        for number, record in enumerate(records, 1):
            yield from _of_record(record, f"record {number}")
        return
    for number, line in enumerate(_lines(file), 1):
        label = f"line {number}"
        if line is None:
            yield Item(label, None, f"longer than {MAX_RECORD >> 20} MiB")
        elif line.strip():
            record, reason = _parsed(line)
            yield from _of_record(record, label) if reason is None else iter([Item(label, None, reason)])


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Each line; None for one that is too long, which is not kept."""
    while line := file.readline(MAX_RECORD + 1):
        if len(line) <= MAX_RECORD:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_RECORD)
        yield None


def _parsed(data: bytes) -> tuple[Any, str | None]:
    """(value, None) or (None, why it is none)."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") > _MAX_VALUES:
        return None, "it has too many parts"
    try:
        return json.loads(data.decode("utf-8-sig")), None
    except ValueError as error:
        return None, f"not JSON: {error}"
    except RecursionError:
        return None, "not JSON: nested too deep"


def _list_in(value: Any) -> list[Any] | None:
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and "content" not in value and isinstance(value.get("memories"), list):
        return list(value["memories"])
    return None


def _of_record(record: Any, label: str) -> Iterator[Item]:
    if not isinstance(record, dict):
        yield Item(label, None, "no object")
    elif record.get("type") == "entity" and isinstance(record.get("observations"), list):
        name, kind = str(record.get("name")), str(record.get("entityType") or "entity")
        for place, observation in enumerate(record["observations"], 1):
            fields = {"memory_type": kind, "tags": [name], "metadata": {"entity": name}}
            yield Item(f"{label}, observation {place}", {"content": f"{name}: {observation}", **fields})
    elif record.get("type") == "relation" and "from" in record:
        said = f"{record['from']} {record.get('relationType', 'relates to')} {record.get('to')}"
        tags = [str(record["from"]), str(record.get("to"))]
        yield Item(label, {"content": said, "memory_type": "relation", "tags": tags})
    else:
        yield Item(label, normal(record))


def normal(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of any tool in our fields: its times by whatever name, its metadata as an object, the rest in metadata."""
    raw = {name: value for name, value in record.items() if name in _FIELDS and name not in _DERIVED}
    for name, others in _TIMES.items():
        raw[name] = _first_moment(record, others)
    if raw.get("memory_type") is None and isinstance(record.get("type"), str):
        raw["memory_type"] = record["type"]
    metadata = foreign_metadata(raw.get("metadata"))
    known = _FIELDS | _DERIVED | {other for others in _TIMES.values() for other in others} | {"type"}
    rest = {name: value for name, value in record.items() if name not in known}
    raw["metadata"] = {**rest, **metadata}
    return raw


def _first_moment(record: Mapping[str, Any], names: Iterable[str]) -> Any:
    """The first of some fields that is a time; if none is, the first that is there, for the door to refuse."""
    there = [record[name] for name in names if record.get(name) not in (None, "")]
    for value in there:
        try:
            return validate.moment(value, "time")
        except UserError:
            continue
    return there[0] if there else None


def foreign_metadata(value: Any) -> dict[str, Any]:
    """An object, whatever another program wrote: JSON, JSON of JSON, a list or a text."""
    for _ in range(3):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value) if value.strip() else {}
        except (ValueError, RecursionError):
            break
    if value is None:
        return {}
    return dict(value) if isinstance(value, Mapping) else {"metadata": value}


# -- Markdown ---------------------------------------------------------------------------------------------------------


def _of_markdown(path: Path, label: str) -> Iterator[Item]:
    """One memory; a file without front matter is all content, made when the file was last changed."""
    try:
        with _opened(path) as file:
            changed_at = os.fstat(file.fileno()).st_mtime
            data = file.read(MAX_RECORD + 1)
        if len(data) > MAX_RECORD:
            yield Item(label, None, f"larger than {MAX_RECORD >> 20} MiB")
            return
        content = data.decode("utf-8")
        match = _HEAD.match(content)
        head = (yaml_front.load(match[1]) or {}) if match is not None else {}
    except OSError as error:
        yield Item(label, None, f"it cannot be read: {error.strerror}")
    except UserError as error:
        yield Item(label, None, error.message)
    except UnicodeDecodeError:
        yield Item(label, None, "not UTF-8")
    except ValueError as error:
        yield Item(label, None, f"front matter: {error}")
    else:
        if not isinstance(head, dict):
            yield Item(label, None, "front matter: no mapping")
            return
        content = content[match.end() :] if match is not None else content
        if content.strip():  # a note without a text holds nothing to remember
            yield Item(label, {**_of_head(head, changed_at), "content": content})


def _of_head(head: Mapping[Any, Any], changed_at: float) -> dict[str, Any]:
    head = {str(name): value for name, value in head.items()}
    raw = {name: value for name, value in head.items() if name in _FIELDS and name not in _DERIVED}
    rest = {name: value for name, value in head.items() if name not in _FIELDS and name not in ("type",)}
    if isinstance(raw.get("tags"), str):
        raw["tags"] = [tag.strip().lstrip("#") for tag in raw["tags"].split(",")]
    raw["memory_type"] = raw.get("memory_type") or (head["type"] if isinstance(head.get("type"), str) else None)
    for name, others in _TIMES.items():
        others = (name,) if name in head else others
        raw[name] = _first_moment(head, others)
        if name not in head and not isinstance(raw[name], float):
            raw[name] = None  # a `date` of another meaning stays in the metadata
    if raw["created_at"] is None:
        raw["created_at"] = changed_at if 0 <= changed_at < validate.LATEST else None
    raw["metadata"] = {**rest, **foreign_metadata(raw.get("metadata"))}
    return raw
