"""Memories in and out: JSON Lines of our own, of the reference memory server, and mcp-memory-service's database."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from recollect.errors import UserError
from recollect.memory.store import MemoryStore


def export(store: MemoryStore, path: Path) -> int:
    """Write everything as JSON Lines; whole or not at all. How many."""
    count = 0
    made = path.with_name(path.name + ".part")
    with open(made, "x", encoding="utf-8", opener=_private) as file:
        for record in store.everything():
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
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
    try:
        with open(path, "rb") as file:
            is_database = file.read(16) == b"SQLite format 3\0"
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", code="unreadable") from error
    yield from _of_database(path) if is_database else _of_lines(path)


def _of_lines(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
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
