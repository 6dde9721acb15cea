"""Lines of a file of a registered repository: from the disk, or from the index where the file is gone."""

from __future__ import annotations

import os
from typing import Final

from recollect import languages
from recollect.calls import next_call
from recollect.errors import Refused, UserError
from recollect.index.parse import decode
from recollect.index.skip import is_withheld, skip_by_name
from recollect.index.snapshot import Snapshot
from recollect.model import CodeResult
from recollect.store.catalog import Repository
from recollect.sync import links
from recollect.sync.beneath import Root, read_up_to
from recollect.sync.ignore import includes_below
from recollect.sync.tree import printable
from recollect.workspace import next_steps

MOST_LINES: Final = 2_000
MOST_CHARACTERS: Final = 200_000
_CHARACTERS_PER_TOKEN: Final = 4
_LAST_LINES: Final = 100  # offered to someone who asks for lines beyond the last
_MOST_BYTES: Final = 20_000_000


def inside(repository: Repository, path: str) -> str:
    """`path` (relative to the root, or absolute) as a relative one. Raises Refused where it leads outside."""
    if "\0" in path:
        raise UserError("a path cannot hold a NUL byte", hint="Give the path as search prints it.")
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
    repository: Repository,
    snapshot: Snapshot | None,
    path: str,
    start_line: int | None,
    end_line: int | None,
    max_tokens: int | None = None,
) -> CodeResult:
    """Lines `start_line` to `end_line`, both included; at most `MOST_LINES`, and `max_tokens` with their numbers.

    Raises UserError, Refused.
    """
    relative = inside(repository, path)
    text, from_index = _text(repository, snapshot, relative, start_line, end_line)
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    first = max(1, start_line or 1)
    last = min(len(lines), end_line if end_line is not None else len(lines))
    if end_line is not None and start_line is not None and end_line < start_line:
        call = next_call(
            "read_code",
            path=printable(relative),
            start_line=end_line,
            end_line=start_line,
            repository=repository.name,
        )
        raise UserError(
            f"end_line {end_line} lies before start_line {start_line}", hint="The other way round", call=call
        )
    if lines and first > len(lines):
        start = max(1, len(lines) - _LAST_LINES + 1)
        raise UserError(
            f"{printable(relative)} has {len(lines)} lines; {first} is beyond",
            hint="Its last lines",
            code="no_such_line",
            call=next_call("read_code", path=printable(relative), start_line=start, repository=repository.name),
        )
    shown = lines[first - 1 : min(last, first - 1 + MOST_LINES)]
    if max_tokens is not None:
        shown = _within(shown, max_tokens * _CHARACTERS_PER_TOKEN, first)
    body = "\n".join(shown)
    while len(body) > MOST_CHARACTERS and len(shown) > 1:
        shown = shown[: max(1, int(len(shown) * MOST_CHARACTERS / len(body)))]
        body = "\n".join(shown)
    body = body[:MOST_CHARACTERS]
    end = first - 1 + len(shown)
    is_cut = end < last or (bool(shown) and len(body.rpartition("\n")[2]) < len(lines[end - 1]))
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
        truncated=is_cut,
    )


def _within(lines: list[str], most: int, first: int) -> list[str]:
    """As many of the lines, each with its number and two marks, as `most` characters hold; at least one, which may be cut."""
    left = most
    for count, line in enumerate(lines):
        left -= len(line) + len(str(first + count)) + 2
        if left < 0:
            return lines[:count] or [line[:most]]
    return lines


def _refused(path: str) -> Refused:
    return Refused(
        f"{path} holds keys or passwords by its name, folder or content, or is git's own",
        hint="Such files are neither indexed nor read out. The owner of the repository may include one by a line in "
        ".recollectignore, as in: !path/to/file",
        code="secret",
    )


def _text(
    repository: Repository,
    snapshot: Snapshot | None,
    relative: str,
    start_line: int | None = None,
    end_line: int | None = None,
) -> tuple[str, bool]:
    """The text of a file, and whether it is that of the index. Raises UserError, Refused."""
    _refuse_gits_own(relative, relative)
    info = snapshot.find(relative) if snapshot is not None else None
    if info is not None and info.language == "notebook" and snapshot is not None:
        return _checked(repository, snapshot.text(info.id), {relative}), True  # lines of hits are those of its cells
    try:
        data, real = _content(repository, snapshot, relative)
        return _checked(repository, decode(data), {relative, real}), False
    except OSError as error:
        if info is None and not isinstance(error, FileNotFoundError):
            hint = "Its owner or its permissions do not let Recollect read it."
            raise UserError(f"{relative}: {error.strerror}", hint=hint, code="unreadable") from error
    if info is not None and info.status == "indexed" and snapshot is not None:
        return _checked(repository, snapshot.text(info.id), {relative}), True
    if skip_by_name(relative) == "secret":
        raise _refused(relative)
    raise next_steps.no_such_file(repository, snapshot, relative, start_line=start_line, end_line=end_line)


def _checked(repository: Repository, text: str, names: set[str]) -> str:
    """`text`, unless a file of these names must not be read out. Raises Refused."""
    data = text.encode("utf-8", "surrogatepass")
    for name in names:
        if is_withheld(name, data, os.fspath(repository.path)):
            raise _refused(name)
    return text


def _content(repository: Repository, snapshot: Snapshot | None, relative: str) -> tuple[bytes, str]:
    """What a file of the repository holds, and its path without links. These are followed to files of the
    repository; what is exchanged for a link after that is not read.

    Raises:
        OSError, UserError, Refused.
    """
    with Root(repository.path) as root:
        real = root.without_links(relative)
        _refuse_gits_own(relative, real)
        try:
            descriptor, found = root.open_file(real)
        except IsADirectoryError as error:
            raise next_steps.is_a_folder(repository, snapshot, relative) from error
        try:
            _check_links(root, real, found)
        except BaseException:
            os.close(descriptor)
            raise
    try:
        data = read_up_to(descriptor, _MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    is_secret = "secret" in (skip_by_name(relative), skip_by_name(real))
    if len(data) > _MOST_BYTES:
        if is_secret:
            raise _refused(relative)
        hint = "Such files are neither indexed nor read; look at a part of it by other means."
        raise UserError(f"{relative} is larger than {_MOST_BYTES // 1_000_000} MB", hint=hint, code="too_large")
    if b"\0" in data[:8000] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        if is_secret:
            raise _refused(relative)
        raise UserError(f"{relative} is not text", hint="Only text is indexed and read.", code="binary")
    return data, real


def _check_links(root: Root, path: str, found: os.stat_result) -> None:
    """Raises Refused: a hard link to a file lies elsewhere."""
    if found.st_nlink < 2 or includes_below(root, path):
        return
    if (found.st_ino, found.st_ctime_ns) not in links.inside(root, {found.st_ino}):
        raise Refused(
            f"{path} has a hard link outside of its repository, so it may be a file of another place",
            hint="The owner of the repository may include it by a line in .recollectignore, as in: !path/to/file",
            code="hard_link",
        )


def _refuse_gits_own(path: str, real: str) -> None:
    if ".git" in real.lower().split("/"):
        raise _refused(path)
