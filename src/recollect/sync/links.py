"""Whether all hard links to a file lie below a root: one that lies elsewhere may be a key that was linked to be read."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

from recollect.sync import beneath
from recollect.sync.beneath import Root

MOST_NAMES: Final = 200_000  # looked through for the other links to a file; beyond, they count as lying elsewhere


def inside(root: Root, inodes: Collection[int]) -> set[tuple[int, int]]:
    """(inode, change time in ns) of those of these files all of whose links lie below the root, ignored folders included.

    A name that is moved about meanwhile may be met twice; so all are looked at again, there and back.
    """
    names = _names(root, frozenset(inodes))
    whole: set[tuple[int, int]] = set()
    for inode, paths in names.items():
        stats = [root.lstat(path) for path in (*paths, *reversed(paths))]
        first = stats[0]
        if first is not None and first.st_nlink <= len(paths):
            same = (first.st_dev, first.st_ino, first.st_nlink, first.st_ctime_ns)
            if all(one and (one.st_dev, one.st_ino, one.st_nlink, one.st_ctime_ns) == same for one in stats):
                whole.add((inode, first.st_ctime_ns))
    return whole


def _names(root: Root, inodes: frozenset[int]) -> dict[int, list[str]]:
    """The names below the root of files with these inodes."""
    found: dict[int, list[str]] = {}
    waiting, seen = [""], 0
    while waiting and seen < MOST_NAMES:
        prefix = waiting.pop()
        try:
            with root.folder(prefix) as at:
                if os.fstat(at).st_dev != root.identity[0]:
                    continue  # another file system, where the same number is another file's
                for item in beneath.names(at):
                    seen += 1
                    if beneath.is_folder(item, at):
                        waiting.append(f"{prefix}{item.name}/")
                    elif item.inode() in inodes:
                        found.setdefault(item.inode(), []).append(prefix + item.name)
        except OSError:
            continue
    return found
