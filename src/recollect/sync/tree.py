"""A repository's contents as an immutable Merkle tree, like git's: equal root hashes mean equal contents.

Trees share what is equal: an unchanged directory of a new tree is the same object as in the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from blake3 import blake3

from recollect.records import dataclass

UNREAD: Final = b""  # hash of a file that was not read: over the size limit, or unreadable
LINKED: Final = b"linked"  # that of one that is not read because a hard link to it lies elsewhere
NOT_READ: Final = (UNREAD, LINKED)


class Kind(IntEnum):
    """What an entry of a directory is."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2  # recorded by its target, never followed
    NESTED = 3  # another repository inside this one: its own, not entered
    OTHER = 4  # device, socket, FIFO


class Stat(NamedTuple):
    """What tells, without reading, that an entry is unchanged. `mtime_ns` -1: must be looked at again (racy)."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    mode: int


class Row(NamedTuple):
    """One entry of a tree, by its path relative to the root (`""` is the root itself)."""

    path: str
    kind: Kind
    stat: Stat
    hash: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one path that was not as it should be: data, not an exception."""

    path: str
    kind: str  # unreadable | vanished | changed
    message: str


class Leaf(NamedTuple):
    kind: Kind
    stat: Stat
    hash: bytes

    def digest(self) -> bytes:
        """What stands for this entry in its directory's hash."""
        if self.hash:
            return self.hash
        return b"%d %d" % (self.stat.size, self.stat.mtime_ns)


class Directory:
    """Entries by name; `stat` is the directory's own. Never changed after it was made.

    `memo`: what others derive from it once and for all; unchanged directories are shared, so it lasts.
    """

    __slots__ = ("_files", "_hash", "_leaves", "entries", "memo", "stat")

    def __init__(self, entries: Mapping[str, Leaf | Directory], stat: Stat) -> None:
        self.entries = entries
        self.stat = stat
        self.memo: object = None
        self._hash: bytes | None = None
        self._files: int | None = None
        self._leaves: bool | None = None

    @property
    def hash(self) -> bytes:
        for directory in self.innermost_first(lambda item: item._hash is not None):
            directory._hash = directory._hashed()
        assert self._hash is not None
        return self._hash

    def _hashed(self) -> bytes:
        hasher = blake3()
        for name in sorted(self.entries):
            entry = self.entries[name]
            if isinstance(entry, Directory):
                if not entry.leaves:
                    continue  # as in git: a directory is what it holds
                head, digest = b"d", entry.hash
            else:
                executable = entry.kind is Kind.FILE and bool(entry.stat.mode & 0o100)
                head, digest = b"x" if executable else b"%d" % entry.kind, entry.digest()
            raw = name.encode("utf-8", "surrogateescape")
            hasher.update(b"%b %d %b %d %b" % (head, len(raw), raw, len(digest), digest))
        return hasher.digest(16)

    @property
    def files(self) -> int:
        """Number of regular files below."""
        for directory in self.innermost_first(lambda item: item._files is not None):
            directory._files = sum(
                entry.files if isinstance(entry, Directory) else entry.kind is Kind.FILE
                for entry in directory.entries.values()
            )
        assert self._files is not None
        return self._files

    @property
    def leaves(self) -> bool:
        """Whether anything but directories lies below."""
        for directory in self.innermost_first(lambda item: item._leaves is not None):
            directory._leaves = any(
                not isinstance(entry, Directory) or entry.leaves for entry in directory.entries.values()
            )
        assert self._leaves is not None
        return self._leaves

    def innermost_first(self, is_done: Callable[[Directory], bool]) -> Iterator[Directory]:
        """Those of this directory and the ones below that are not done yet, each after those that it holds.

        However deep they lie: functions that call themselves end at some hundred levels.
        """
        if is_done(self):
            return
        waiting = [self]
        while waiting:
            directory = waiting[-1]
            below = [entry for entry in directory.entries.values() if type(entry) is Directory and not is_done(entry)]
            if below:
                waiting += below
            else:
                waiting.pop()
                if not is_done(directory):
                    yield directory

    def walk(self, prefix: str) -> Iterator[tuple[str, Leaf | Directory]]:
        """(path, entry) of all below; a directory comes before what it holds."""
        levels = [(prefix, iter(self.entries.items()))]
        while levels:
            above, items = levels[-1]
            for name, entry in items:
                path = above + name
                yield path, entry
                if type(entry) is Directory:
                    levels.append((path + "/", iter(entry.entries.items())))
                    break
            else:
                levels.pop()


_NO_STAT: Final = Stat(0, -1, 0, 0, 0)


class Tree:
    """A whole tree."""

    __slots__ = ("root",)

    def __init__(self, root: Directory) -> None:
        self.root = root

    @property
    def root_hash(self) -> str:
        return self.root.hash.hex()

    def __len__(self) -> int:
        return self.root.files

    def find(self, path: str) -> Leaf | Directory | None:
        entry: Leaf | Directory | None = self.root
        for name in path.split("/") if path else ():
            if not isinstance(entry, Directory):
                return None
            entry = entry.entries.get(name)
        return entry

    def get(self, path: str) -> Row | None:
        entry = self.find(path)
        return None if entry is None else _row(path, entry)

    def folders(self, below: Iterable[str] = ("",)) -> Iterator[str]:
        """Directories at and below these paths; all of them, the root ("") included, where none are given."""
        for path in below:
            start = self.find(path)
            if isinstance(start, Directory):
                yield path
                prefix = f"{path}/" if path else ""
                yield from (name for name, entry in start.walk(prefix) if isinstance(entry, Directory))

    def outermost_new(self, path: str) -> str:
        """`path`, or the outermost of the directories that lead to it which is none here."""
        entry: Leaf | Directory | None = self.root
        names = path.split("/")
        for depth, name in enumerate(names):
            entry = entry.entries.get(name) if isinstance(entry, Directory) else None
            if not isinstance(entry, Directory):
                return "/".join(names[: depth + 1])
        return path

    def files(self) -> Iterator[Row]:
        """Regular files, in no particular order."""
        for path, entry in self.root.walk(""):
            if isinstance(entry, Leaf) and entry.kind is Kind.FILE:
                yield Row(path, *entry)

    def rows(self) -> Iterator[Row]:
        """Every entry, directories and the root included; a directory comes before what it holds."""
        yield _row("", self.root)
        for path, entry in self.root.walk(""):
            yield _row(path, entry)

    @staticmethod
    def from_rows(rows: Iterable[Row]) -> Tree:
        """The tree that `rows` describe. Directories that are not listed are made, to be looked at again."""
        return build({row.path: row for row in rows})


EMPTY: Final = Tree(Directory({}, _NO_STAT))


def build(rows: Mapping[str, Row]) -> Tree:
    """A tree from its rows by path."""
    entries: dict[str, dict[str, Leaf | Directory]] = {"": {}}
    stats: dict[str, Stat] = {}

    def parent_of(path: str) -> dict[str, Leaf | Directory]:
        folder = path.rpartition("/")[0]
        parent = above = entries.get(folder)
        if parent is None:
            parent = entries[folder] = {}
            below = parent
            while above is None:  # those that lead there
                outer, _, name = folder.rpartition("/")
                above = entries.get(outer)
                holder = above if above is not None else {}
                entries[outer] = holder
                holder[name] = Directory(below, _NO_STAT)
                folder, below = outer, holder
        return parent

    for path, row in rows.items():
        if row.kind is Kind.DIRECTORY:
            stats[path] = row.stat
            if path and path not in entries:
                entries[path] = {}
                parent_of(path)[path.rpartition("/")[2]] = Directory(entries[path], row.stat)
        else:
            parent_of(path)[path.rpartition("/")[2]] = Leaf(row.kind, row.stat, row.hash)
    root = Directory(entries[""], stats.get("", _NO_STAT))
    _restat(root, stats)
    return Tree(root)


def _restat(root: Directory, stats: Mapping[str, Stat]) -> None:
    """Give directories that were made before their own row was seen the stat of that row (only while building)."""
    for path, entry in root.walk(""):
        if isinstance(entry, Directory):
            entry.stat = stats.get(path, entry.stat)


def _row(path: str, entry: Leaf | Directory) -> Row:
    if isinstance(entry, Directory):
        return Row(path, Kind.DIRECTORY, entry.stat, b"")
    return Row(path, *entry)


def printable(path: str) -> str:
    """A path for people and JSON: bytes that are not UTF-8 are written `\\xNN`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
