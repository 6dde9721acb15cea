"""What differs between two trees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from recollect.sync.tree import Directory, Kind, Leaf, Row, Tree


class Change(NamedTuple):
    """A file whose content appeared (`old` None), went (`new` None) or changed."""

    path: str
    old: Row | None
    new: Row | None


def diff(old: Tree, new: Tree) -> list[Change]:
    """Changes of regular files' contents (and of their executable bit), by path. `apply(old, diff(old, new))` has them."""
    changes = [
        Change(path, _file(path, before), _file(path, after))
        for path, before, after in _differing(old.root, new.root, "")
    ]
    return sorted(
        (change for change in changes if _content(change.old) != _content(change.new)), key=lambda change: change.path
    )


def row_changes(old: Tree, new: Tree) -> tuple[list[Row], list[str]]:
    """Entries of any kind that must be written, and paths that must be dropped, to turn stored `old` into `new`."""
    upserts: list[Row] = []
    gone: list[str] = []
    if old.root is not new.root and (old.root.stat != new.root.stat or not old.root.entries):
        upserts.append(Row("", Kind.DIRECTORY, new.root.stat, b""))
    for path, before, after in _differing(old.root, new.root, ""):
        if after is None:
            gone.append(path)
        elif _stored(before) != _stored(after):
            upserts.append(
                Row(path, Kind.DIRECTORY, after.stat, b"") if isinstance(after, Directory) else Row(path, *after)
            )
    return upserts, gone


def _differing(
    old: Directory, new: Directory, prefix: str
) -> Iterator[tuple[str, Leaf | Directory | None, Leaf | Directory | None]]:
    """(path, before, after) of all entries below that are not the same object; a directory before what it holds."""
    waiting = [(old, new, prefix)]
    while waiting:
        old, new, prefix = waiting.pop()
        if old is new:
            continue
        for name in {**old.entries, **new.entries}:
            before, after = old.entries.get(name), new.entries.get(name)
            if before is after:
                continue
            path = prefix + name
            yield path, before, after
            below_old = before if isinstance(before, Directory) else _NOTHING
            below_new = after if isinstance(after, Directory) else _NOTHING
            waiting.append((below_old, below_new, path + "/"))


_NOTHING = Directory({}, (0, 0, 0, 0, 0))  # type: ignore[arg-type]


def _file(path: str, entry: Leaf | Directory | None) -> Row | None:
    return Row(path, *entry) if isinstance(entry, Leaf) and entry.kind is Kind.FILE else None


def _content(row: Row | None) -> tuple[bytes, int] | None:
    if row is None:
        return None
    return Leaf(row.kind, row.stat, row.hash).digest(), row.stat.mode & 0o100


def _stored(entry: Leaf | Directory | None) -> object:
    return (Kind.DIRECTORY, entry.stat) if isinstance(entry, Directory) else entry
