"""Lines of a file of a registered repository: from the disk, or from the index where the file is gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from recollect import languages
from recollect.errors import Refused, UserError
from recollect.index.parse import decode
from recollect.index.skip import is_withheld, skip_by_name
from recollect.index.snapshot import Snapshot
from recollect.model import CodeResult
from recollect.store.catalog import Repository
from recollect.sync.tree import printable

MOST_LINES: Final = 2_000
MOST_CHARACTERS: Final = 200_000
_MOST_BYTES: Final = 20_000_000


def inside(repository: Repository, path: str) -> str:
    """`path` (relative to the root, or absolute) as a relative one. Raises Refused where it leads outside."""
    if "\0" in path:
        raise UserError("a path cannot hold a NUL byte")
    root = os.fspath(repository.path)
    full = os.path.normpath(os.path.join(root, path))
    real = os.path.realpath(full)
    for place in (full, real):
        if place != root and not place.startswith(root.rstrip("/") + "/"):
            raise Refused(
                f"{path} leads outside {repository.name}",
                hint="Only files of the repository can be read.",
                code="outside",
            )
    return os.path.relpath(full, root)


def read(
    repository: Repository, snapshot: Snapshot | None, path: str, start_line: int | None, end_line: int | None
) -> CodeResult:
    """Lines `start_line` to `end_line`, both included; at most `MOST_LINES`. Raises UserError, Refused."""
    relative = inside(repository, path)
    names = {relative, os.path.relpath(os.path.realpath(repository.path / relative), repository.path)}
    if any(".git" in name.split("/") for name in names):
        raise _refused(path)
    try:
        text, from_index = _text(repository, snapshot, relative)
    except UserError:
        if any(skip_by_name(name) == "secret" for name in names):
            raise _refused(path) from None
        raise
    data = text.encode("utf-8", "surrogatepass")
    if any(is_withheld(name, data, os.fspath(repository.path)) for name in names):
        raise _refused(path)
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    first = max(1, start_line or 1)
    last = min(len(lines), end_line if end_line is not None else len(lines))
    if end_line is not None and start_line is not None and end_line < start_line:
        raise UserError(f"end_line {end_line} lies before start_line {start_line}")
    if lines and first > len(lines):
        raise UserError(f"{path} has {len(lines)} lines; {first} is beyond", code="no_such_line")
    shown = lines[first - 1 : min(last, first - 1 + MOST_LINES)]
    body = "\n".join(shown)
    while len(body) > MOST_CHARACTERS and len(shown) > 1:
        shown = shown[: max(1, int(len(shown) * MOST_CHARACTERS / len(body)))]
        body = "\n".join(shown)
    body = body[:MOST_CHARACTERS]
    end = first - 1 + len(shown)
    return CodeResult(
        repository=repository.name,
        path=printable(relative),
        absolute_path=printable(os.fspath(repository.path / relative)),
        language=languages.detect(relative, text[:200].encode("utf-8", "replace")).name,
        start_line=first,
        end_line=end,
        total_lines=len(lines),
        text=body,
        from_index=from_index,
        truncated=end < last,
    )


def _refused(path: str) -> Refused:
    return Refused(
        f"{path} holds keys or passwords by its name, folder or content, or is git's own",
        hint="Such files are neither indexed nor read out. The owner of the repository may include one by a line in "
        ".recollectignore, as in: !path/to/file",
        code="secret",
    )


def _text(repository: Repository, snapshot: Snapshot | None, relative: str) -> tuple[str, bool]:
    full: Path = repository.path / relative
    info = snapshot.find(relative) if snapshot is not None else None
    if info is not None and info.language == "notebook" and snapshot is not None:
        return snapshot.text(info.id), True  # line numbers of hits are those of its cells
    try:
        if full.is_file():
            with open(full, "rb") as file:
                data = file.read(_MOST_BYTES + 1)
            if len(data) > _MOST_BYTES:
                raise UserError(f"{relative} is larger than {_MOST_BYTES // 1_000_000} MB", code="too_large")
            if b"\0" in data[:8000] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise UserError(f"{relative} is not text", code="binary")
            return decode(data), False
        if full.is_dir():
            raise UserError(f"{relative} is a folder", code="is_a_folder")
    except OSError as error:
        if info is None:
            raise UserError(f"{relative}: {error.strerror}", code="unreadable") from error
    if info is not None and info.status == "indexed" and snapshot is not None:
        return snapshot.text(info.id), True
    raise UserError(f"there is no {relative} in {repository.name}", code="no_such_file")
