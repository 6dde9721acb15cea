"""Memories in and out: JSON Lines and Markdown of our own, the reference memory server's file, mcp-memory-service's database.

In Markdown a memory is a file: its content below a YAML front matter with all else.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, Final

from recollect import text
from recollect.errors import UserError
from recollect.home import make_folder
from recollect.memory.store import MemoryStore
from recollect.model import Memory
from recollect.private import sync_folder

_NAME: Final = re.compile(r".*-(?P<id>[0-9a-f]{16})\.md")
_FIELDS: Final = {field.name for field in fields(Memory)} | {"versions"}
_FENCE: Final = "---\n"
_TITLE: Final = 40  # characters of the content in a file's name


def export(store: MemoryStore, path: Path) -> int:
    """Write everything as JSON Lines; whole or not at all. How many."""
    count = write(path, (json.dumps(record, ensure_ascii=False) + "\n" for record in store.everything()))
    sync_folder(path.resolve().parent)
    return count


def export_folder(store: MemoryStore, folder: Path) -> int:
    """Write each memory as a Markdown file; of an earlier export, what is no memory any longer goes. How many."""
    make_folder(folder)
    written = set()
    for record in store.everything():
        content = record.pop("content")
        head = _yaml_of(record)
        day = str(record["created_at_iso"])[:10]
        title = re.sub(r"\W+", "-", content[: 2 * _TITLE].lower())[:_TITLE].strip("-") or "memory"
        name = f"{day}-{title}-{record['id']}.md"
        write(folder / name, (_FENCE, head, _FENCE, content))
        written.add(name)
    for old in folder.iterdir():
        if _NAME.fullmatch(old.name) and old.name not in written:
            old.unlink()
    sync_folder(folder)
    return len(written)


def write(path: Path, texts: Iterable[str]) -> int:
    """Write a file whole or not at all, where it is a link what that leads to; how many texts it is made of."""
    path, count = path.resolve(), 0
    if path.exists() and not path.is_file():  # it would be replaced
        raise UserError(f"{path} is not a file", code="unwritable")
    made = path.with_name(path.name + ".part")
    made.unlink(missing_ok=True)  # of a crash
    with open(made, "x", encoding="utf-8", newline="", opener=_private) as file:
        for text in texts:
            file.write(text)
            count += 1
        file.flush()
        os.fsync(file.fileno())  # before the name is there: after a power cut it would name an empty file
    made.replace(path)
    return count


def load(store: MemoryStore, path: Path) -> tuple[int, int]:
    """(new, known already) of what a file holds. Raises UserError with the line that is not understood; nothing is half read."""
    records = list(_records(path))
    new = sum(store.load(record) for record in records)
    return new, len(records) - new


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_dir():
        for note in sorted(path.rglob("*.md")):
            if note.is_file():
                yield from _of_markdown(note)
        return
    if path.suffix.lower() in (".md", ".markdown"):
        yield from _of_markdown(path)
        return
    try:
        with open(path, "rb") as file:
            is_database = file.read(16) == b"SQLite format 3\0"
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", code="unreadable") from error
    yield from _of_database(path) if is_database else _of_lines(path)


def _of_markdown(path: Path) -> Iterator[dict[str, Any]]:
    """One memory; a file without front matter is all content, made when the file was last changed."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            said = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: it cannot be read ({error})", code="unreadable") from error
    head: Any = {}
    match = re.match(r"---\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", said, re.DOTALL | re.MULTILINE)
    if match is not None:
        try:
            head = _from_yaml(match[1]) or {}
        except ValueError as error:
            raise UserError(f"{path}: its front matter is no YAML ({error})", code="bad_import") from error
        said = said[match.end() :]
    if not isinstance(head, dict):
        raise UserError(f"{path}: its front matter is no mapping", code="bad_import")
    if said.strip():  # a note without a text holds nothing to remember
        tags = head.get("tags") or []
        if isinstance(tags, str):
            tags = [tag.strip().lstrip("#") for tag in tags.split(",")]
        kind = str(head.pop("memory_type", None) or head.pop("type", None) or "note")
        made = head.get("created_at")
        if not isinstance(made, (int, float)):
            made = path.stat().st_mtime
        others = {key: head.pop(key) for key in list(head) if key not in _FIELDS}
        metadata = {**others, **(head.get("metadata") or {})}
        told = {"tags": tags, "memory_type": kind, "metadata": metadata, "created_at": made}
        yield {**head, **told, "content": said}


def _of_lines(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = text.mended(json.loads(line))
            except ValueError as error:
                raise UserError(f"{path}, line {number}: not JSON ({error})", code="bad_import") from error
            if not isinstance(record, dict):
                raise UserError(f"{path}, line {number}: no object", code="bad_import")
            if record.get("type") == "entity" and "observations" in record:
                yield from _of_entity(record)
            elif record.get("type") == "relation" and "from" in record:
                said = f"{record['from']} {record.get('relationType', 'relates to')} {record.get('to')}"
                yield {"content": said, "memory_type": "relation", "tags": [str(record["from"]), str(record.get("to"))]}
            elif str(record.get("content") or "").strip():
                yield record
            else:
                raise UserError(f"{path}, line {number}: a record without content", code="bad_import")


def _of_entity(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An entity of the reference memory server's graph: each observation is a memory."""
    name, kind = str(record.get("name")), str(record.get("entityType") or "entity")
    for observation in record["observations"]:
        yield {"content": f"{name}: {observation}", "memory_type": kind, "tags": [name], "metadata": {"entity": name}}


def _of_database(path: Path) -> Iterator[dict[str, Any]]:
    """mcp-memory-service's SQLite store: content, comma-separated tags, type, metadata, times."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        try:
            rows = database.execute("SELECT * FROM memories").fetchall()
        except sqlite3.Error as error:
            raise UserError(f"{path}: no table of memories ({error})", code="bad_import") from error
        for row in rows:
            have = dict(row)
            metadata = have.get("metadata") or "{}"
            try:
                known = json.loads(metadata) if isinstance(metadata, str) else {}
            except ValueError:
                known = {"metadata": metadata}
            yield {
                "content": have.get("content"),
                "tags": [tag.strip() for tag in str(have.get("tags") or "").split(",") if tag.strip()],
                "memory_type": have.get("memory_type") or "note",
                "metadata": known,
                "created_at": have.get("created_at") or time.time(),
                "updated_at": have.get("updated_at") or have.get("created_at"),
                "deleted_at": have.get("deleted_at"),
            }


# -- YAML: imported where it is needed, for a start should not wait for it -------------------------------------------------


def _yaml_of(record: dict[str, Any]) -> str:
    import yaml

    return yaml.dump(record, Dumper=yaml.SafeDumper, allow_unicode=True, sort_keys=False, width=1000)


@cache
def _loader() -> Any:
    """A loader to which dates stay the texts that they are written as."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012
            first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return Loader


def _from_yaml(said: str) -> Any:
    """Raises ValueError."""
    import yaml

    try:
        return yaml.load(said, Loader=_loader())
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
