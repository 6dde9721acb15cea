"""A tree with some files changed. Law: `apply(a, diff(a, b))` holds b's files."""

from __future__ import annotations

from collections.abc import Iterable

from recollect.sync.deep import Steps, result_of
from recollect.sync.diff import Change
from recollect.sync.tree import Directory, Leaf, Row, Stat, Tree

_Wanted = dict[str, "_Wanted | Row | None"]  # name → what is to become of it, or of what lies below it

_MADE = Stat(0, -1, 0, 0, 0)  # of a directory that only the changes tell of: to be looked at again


def apply(old: Tree, changes: Iterable[Change]) -> Tree:
    """`old` with `changes` made: untouched directories are shared; directories left empty stay, and count for nothing."""
    wanted: _Wanted = {}
    for change in changes:
        _note(wanted, change)
    return Tree(result_of(_rebuilt(old.root, wanted)))


def _note(wanted: _Wanted, change: Change) -> None:
    """Put a change where it belongs; a file that takes a folder's place outweighs what was removed of that, and back."""
    *folders, name = change.path.split("/")
    for folder in folders:
        below = wanted.get(folder)
        if below is None:
            below = wanted[folder] = {}
        elif not isinstance(below, dict):
            if change.new is None:
                return
            below = wanted[folder] = {}
        wanted = below
    if change.new is not None or not isinstance(wanted.get(name), dict):
        wanted[name] = change.new


def _rebuilt(directory: Directory, wanted: _Wanted) -> Steps[Directory]:
    if not wanted:
        return directory
    entries = dict(directory.entries)
    for name, change in wanted.items():
        if isinstance(change, dict):
            child = entries.get(name)
            if not isinstance(child, Directory):
                if not _adds_something(change):
                    continue  # what was removed below is gone with the directory already
                child = Directory({}, _MADE)
            entries[name] = yield _rebuilt(child, change)
        elif change is not None:
            entries[name] = Leaf(change.kind, change.stat, change.hash)
        elif not isinstance(entries.get(name), Directory):
            entries.pop(name, None)
    return Directory(entries, directory.stat)


def _adds_something(wanted: _Wanted) -> bool:
    waiting = [wanted]
    while waiting:
        for change in waiting.pop().values():
            if isinstance(change, dict):
                waiting.append(change)
            elif change is not None:
                return True
    return False
