"""A tree with some files changed. Law: `apply(a, diff(a, b))` holds b's files."""

from __future__ import annotations

from collections.abc import Iterable

from recollect.sync.diff import Change
from recollect.sync.tree import Directory, Leaf, Row, Stat, Tree

_MADE = Stat(0, -1, 0, 0, 0)  # of a directory that only the changes tell of: to be looked at again


def apply(old: Tree, changes: Iterable[Change]) -> Tree:
    """`old` with `changes` made: untouched directories are shared; directories left empty stay, and count for nothing."""
    wanted: dict[str, Row | None] = {change.path: change.new for change in changes}
    return Tree(_rebuilt(old.root, {tuple(path.split("/")): row for path, row in wanted.items()}))


def _rebuilt(directory: Directory, wanted: dict[tuple[str, ...], Row | None]) -> Directory:
    if not wanted:
        return directory
    entries = dict(directory.entries)
    below: dict[str, dict[tuple[str, ...], Row | None]] = {}
    for (name, *rest), row in wanted.items():
        if rest:
            below.setdefault(name, {})[tuple(rest)] = row
        elif row is not None:
            entries[name] = Leaf(row.kind, row.stat, row.hash)
        elif not isinstance(entries.get(name), Directory):
            entries.pop(name, None)
    for name, part in below.items():
        child = entries.get(name)
        if not isinstance(child, Directory):
            if all(row is None for row in part.values()):
                continue  # what was removed below is gone with the directory already
            child = Directory({}, _MADE)
        entries[name] = _rebuilt(child, part)
    return Directory(entries, directory.stat)
