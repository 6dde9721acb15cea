"""Memories in and out. In Markdown a memory is a file: its content below a YAML front matter with all else."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from recollect.errors import UserError
from recollect.home import make_folder
from recollect.memory import imports, yaml_front
from recollect.memory.imports import Item
from recollect.memory.store import MemoryStore
from recollect.memory.validate import MemoryRecord
from recollect.private import sync_folder
from recollect.records import dataclass

_NAME: Final = re.compile(r".*-(?P<id>[0-9a-f]{16})\.md")
_FENCE: Final = "---\n"
_TITLE: Final = 40  # characters of the content in a file's name


@dataclass(frozen=True, slots=True)
class LoadReport:
    """How many were new and how many known; the records that were skipped, with the reason; what else is worth saying;
    how many secrets of each kind were replaced in what was taken in.
    """

    imported: int
    known: int
    skipped: list[dict[str, str]]
    notes: list[str]
    redactions: dict[str, int]


def export(
    store: MemoryStore, path: Path, verify: Callable[[Path, int], None] | None = None, owners: bool = False
) -> int:
    """Write everything as JSON Lines; whole or not at all. How many."""
    lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in store.everything(owners))
    count = write(path, lines, verify)
    sync_folder(path.resolve().parent)
    return count


def export_folder(store: MemoryStore, folder: Path) -> int:
    """Write each memory as a Markdown file; of an earlier export, what is no memory any longer goes. How many."""
    make_folder(folder)
    written = set()
    for record in store.everything():
        content = record.pop("content")
        head = yaml_front.dump(record)
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


def write(path: Path, texts: Iterable[str], verify: Callable[[Path, int], None] | None = None) -> int:
    """Write a file whole or not at all, where it is a link what that leads to; how many texts it is made of.

    `verify(file, count)` looks at it before it gets its name, and raises where something is wrong with it.
    """
    path, count = path.resolve(), 0
    if path.exists() and not path.is_file():  # it would be replaced
        raise UserError(f"{path} is not a file", code="unwritable")
    made = path.with_name(path.name + ".part")
    made.unlink(missing_ok=True)  # of a crash
    try:
        with open(made, "x", encoding="utf-8", newline="", opener=_private) as file:
            for text in texts:
                file.write(text)
                count += 1
            file.flush()
            os.fsync(file.fileno())  # before the name is there: after a power cut it would name an empty file
        if verify is not None:
            verify(made, count)
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    return count


def load(store: MemoryStore, path: Path, strict: bool = False, keep_secrets: bool = False) -> LoadReport:
    """Take in what a file holds, in one transaction. `strict`: nothing where any record is bad.

    Raises UserError: the file cannot be read, or (`strict`) a record is bad.
    """
    return load_items(store, imports.read(path), path, strict, keep_secrets)


def load_items(
    store: MemoryStore,
    items: Iterable[Item],
    path: Path,
    strict: bool = False,
    keep_secrets: bool = False,
    owners: bool = False,
) -> LoadReport:
    """`load` of what was read already."""
    records: list[tuple[str, MemoryRecord]] = []
    skipped: list[dict[str, str]] = []
    for item in items:
        try:
            if item.raw is None:
                raise UserError(item.reason)
            record = store.checked(item.raw, keep_secrets)
            records.append((item.label, record if owners else replace(record, owner=None)))
        except UserError as error:
            skipped.append({"record": item.label, "reason": error.message})
        if strict and skipped:
            bad = skipped[0]
            said = f"{path}: {bad['record']}: {bad['reason']}; nothing was taken in"
            raise UserError(said, hint="Without --strict, bad records are skipped and listed.", code="bad_import")
    done = store.load_all(records, strict)
    skipped += [{"record": label, "reason": reason} for label, reason in done.failed]
    failed = {label for label, _ in done.failed}
    redactions: Counter[str] = Counter()
    for label, record in records:
        if label not in failed:
            redactions.update(record.redactions)
    known = len(records) - done.new - len(done.failed)
    return LoadReport(done.new, known, skipped, done.notes, dict(redactions))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
