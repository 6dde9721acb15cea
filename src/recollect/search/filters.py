"""What may be found: by language, content, path, or given paths only."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recollect.index.memo import Changes
from recollect.index.snapshot import FileInfo, Snapshot
from recollect.records import dataclass


@dataclass(frozen=True, slots=True)
class Filters:
    """What may be found. `paths`: for each source, the only paths (None: all); `globs` match whole relative paths."""

    languages: frozenset[str] = frozenset()
    globs: tuple[str, ...] = ()
    content: str = "code"  # code | docs | config | all
    paths: tuple[Collection[str] | None, ...] | None = None


def allowed_files(snapshot: Snapshot, filters: Filters, source: int) -> NDArray[np.bool_] | None:
    """By file id, whether a file may be found."""
    paths = filters.paths[source] if filters.paths is not None else None
    if filters.content == "all" and not filters.languages and not filters.globs and paths is None:
        return None
    key = ("allowed", filters.content, filters.languages, filters.globs)
    pattern = glob_pattern(*filters.globs) if filters.globs else None

    def fill(allowed: NDArray[np.bool_], files: Iterable[FileInfo]) -> NDArray[np.bool_]:
        for info in files:
            if info.id >= len(allowed):
                continue  # never indexed
            allowed[info.id] = (
                info.status == "indexed"
                and filters.content in ("all", info.content)
                and (not filters.languages or info.language in filters.languages)
                and (pattern is None or pattern.match(_encodable(info.path)) is not None)
                and (paths is None or info.path in paths)
            )
        return allowed

    def follow(before: NDArray[np.bool_], changes: Changes) -> NDArray[np.bool_]:
        now = fill(snapshot.by_file(before, changes.gone), changes.files.values())
        return before if np.array_equal(before, now) else now  # the very same: what is kept for it holds on

    known: NDArray[np.bool_] | None = snapshot.memo.get(key, follow) if paths is None else None
    if known is not None:
        return known
    found = fill(np.zeros(len(snapshot.paths.stem_length), np.bool_), snapshot.files.values())
    if paths is None:
        snapshot.memo[key] = found
    return found


@functools.lru_cache(maxsize=32)
def glob_pattern(*globs: str) -> Any:
    """One RE2 expression that matches what any of the globs does: its time is linear in a path, whatever the globs."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    either = "|".join(map(glob_expression, globs))
    try:
        return re2.compile(f"(?:{either})\\z", options)
    except re2.error:  # a broken bracket: taken by its letters
        return re2.compile(f"(?:{'|'.join(map(re2.escape, globs))})\\z", options)


def _encodable(path: str) -> str:
    return path if path.isascii() else path.encode("utf-8", "replace").decode()


def glob_expression(glob: str) -> str:
    """A path glob as in `.gitignore`: `**` any folders, `*` within a name; without `/` it matches a name at any depth."""
    given = glob.strip().removeprefix("./").lstrip("/")
    if given.endswith("/"):
        given += "**"
    if "/" not in given:
        given = "**/" + given
    out = ""
    at = 0
    while at < len(given):
        if given.startswith("**/", at):
            out, at = out + "(?:.*/)?", at + 3
        elif given.startswith("**", at):
            out, at = out + ".*", at + 2
        elif given[at] == "*":
            out, at = out + "[^/]*", at + 1
        elif given[at] == "?":
            out, at = out + "[^/]", at + 1
        elif given[at] == "[" and "]" in given[at + 1 :]:
            end = given.index("]", at + 1)
            out, at = out + fnmatch.translate(given[at : end + 1])[4:-3], end + 1
        elif given[at] == "{" and "}" in given[at:]:
            end = given.index("}", at)
            out += (
                "(?:"
                + "|".join(re.escape(part).replace(r"\*", "[^/]*") for part in given[at + 1 : end].split(","))
                + ")"
            )
            at = end + 1
        else:
            out, at = out + re.escape(given[at]), at + 1
    return out
