"""Files and their events that are made up: they have the kernel's order and its gaps (what happens in a folder before it is
watched raises no event), and change when the example says so.
"""

from __future__ import annotations

import errno
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Self
from unittest import mock

from hypothesis import strategies as st

from recollect.sync import inotify, watch
from recollect.sync.inotify import Event
from recollect.sync.watch import Watcher
from tests.turns import Lock, RLock, Turns

ROOT = "/usr"  # is there; nothing in it is looked at
NAMES = ("a", "b", "x")
_BEGINNING = (("mkdir", "", "a", ""), ("mkdir", "a", "b", ""), ("write", "a/b", "x", ""), ("write", "a", "x", ""))


@dataclass(eq=False)
class Folder:
    entries: dict[str, Folder | int] = field(default_factory=dict)  # a file is the number of its last write
    watch: int | None = None


class Files:
    """A tree of files, what has been said of its changes, and what each file has been."""

    def __init__(self) -> None:
        self.root = Folder()
        self.events: list[Event] = []
        self.past: dict[str, list[int | None]] = {}
        self._writes = self._watches = 0
        for change in _BEGINNING:
            self.change(*change)

    def at(self, path: str) -> Folder | int | None:
        found: Folder | int | None = self.root
        for name in path.split("/") if path else ():
            found = found.entries.get(name) if isinstance(found, Folder) else None
        return found

    def change(self, what: str, folder: str, name: str, other: str) -> None:
        """One system call; nothing where it would fail."""
        parent = self.at(folder)
        if not isinstance(parent, Folder):
            return
        old = parent.entries.get(name)
        if what == "write" and not isinstance(old, Folder):
            self._writes += 1
            parent.entries[name] = self._writes
            self._say(parent, inotify.CREATE if old is None else inotify.MODIFY, name)
        elif what == "mkdir" and old is None:
            parent.entries[name] = Folder()
            self._say(parent, inotify.CREATE | inotify.ISDIR, name)
        elif what == "remove" and old is not None:
            self._remove(parent, name)
        elif what == "move" and old is not None and other != name:
            target = parent.entries.get(other)
            if target is not None and (isinstance(target, Folder) or isinstance(old, Folder)):
                return
            is_folder = inotify.ISDIR if isinstance(old, Folder) else 0
            parent.entries[other] = parent.entries.pop(name)
            self._say(parent, inotify.MOVED_FROM | is_folder, name)
            self._say(parent, inotify.MOVED_TO | is_folder, other)
            if isinstance(old, Folder):
                self._say(old, inotify.MOVE_SELF, "")
        self._note()

    def files(self) -> dict[str, int]:
        return dict(self._walk(self.root, ""))

    def moment(self) -> dict[str, int]:
        """How often each file had changed by now."""
        return {path: len(past) - 1 for path, past in self.past.items()}

    def older(self, indexed: Mapping[str, int], moment: Mapping[str, int]) -> list[str]:
        """Paths that are indexed as they were before a moment."""
        return [path for path, past in self.past.items() if indexed.get(path) not in past[moment.get(path, 0) :]]

    # -- inotify ------------------------------------------------------------------------------------------------------

    def add(self, path: bytes) -> int:
        found = self.at(path.decode()[len(ROOT) + 1 :])
        if not isinstance(found, Folder):
            raise OSError(errno.ENOENT, "gone")
        if found.watch is None:
            self._watches += 1
            found.watch = self._watches
        return found.watch

    def remove(self, watch: int) -> None:
        for folder in self._folders(self.root):
            if folder.watch == watch:
                folder.watch = None
                self.events.append(Event(watch, inotify.IGNORED, b""))

    def read(self) -> list[Event]:
        read, self.events = self.events, []
        return read

    def touch(self, cookie: Path) -> None:
        self.events.append(Event(0, inotify.MODIFY, cookie.name.encode()))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _say(self, folder: Folder, mask: int, name: str) -> None:
        if folder.watch is not None:
            self.events.append(Event(folder.watch, mask, name.encode()))

    def _remove(self, parent: Folder, name: str) -> None:
        old = parent.entries[name]
        if isinstance(old, Folder):
            for inner in list(old.entries):
                self._remove(old, inner)
            if old.watch is not None:
                self._say(old, inotify.DELETE_SELF, "")
                self.events.append(Event(old.watch, inotify.IGNORED, b""))
        del parent.entries[name]
        self._say(parent, inotify.DELETE | (inotify.ISDIR if isinstance(old, Folder) else 0), name)

    def _note(self) -> None:
        now = self.files()
        for path in self.past.keys() | now.keys():
            past = self.past.setdefault(path, [None])
            if past[-1] != now.get(path):
                past.append(now.get(path))

    def _walk(self, folder: Folder, prefix: str) -> Iterator[tuple[str, int]]:
        for name, entry in folder.entries.items():
            if isinstance(entry, Folder):
                yield from self._walk(entry, f"{prefix}{name}/")
            else:
                yield prefix + name, entry

    def _folders(self, folder: Folder) -> Iterator[Folder]:
        yield folder
        for entry in folder.entries.values():
            if isinstance(entry, Folder):
                yield from self._folders(entry)


class Used:
    """What counts its users, as a snapshot does: none comes after the last has gone."""

    users = 1

    def retain(self) -> Self:
        assert self.users > 0
        self.users += 1
        return self

    def release(self) -> None:
        assert self.users > 0
        self.users -= 1


class Look:
    """What a sync that begins with `indexed` and its `folders` sees: names of a folder at one moment, each of its entries at a later."""

    def __init__(self, turns: Turns, files: Files, indexed: Mapping[str, int], folders: Collection[str]) -> None:
        self._turns, self._files = turns, files
        self._indexed, self._known = indexed, folders
        self.files: dict[str, int] = {}
        self.folders: set[str] = set()
        self.told: list[str] = []  # directories at and below what was looked at

    def at(self, names: Collection[str] | None) -> Look:
        """`names` None: everything."""
        below = {self._outermost_new(name) for name in names} if names is not None else {""}
        for path, write in self._indexed.items():
            if not any(within(path, name) for name in below):
                self.files[path] = write
        self.folders |= {path for path in self._known if not any(within(path, name) for name in below)}
        for name in sorted(below):
            if not any(within(name, other) for other in below - {name}):
                self._visit(name)
        self.told = [item for item in self.folders if any(within(item, name) for name in below)]
        return self

    def _outermost_new(self, path: str) -> str:
        names = path.split("/")
        for depth in range(1, len(names)):
            if "/".join(names[:depth]) not in self._known:
                return "/".join(names[:depth])
        return path

    def _visit(self, path: str) -> None:
        found = self._files.at(path)
        if isinstance(found, int):
            self.files[path] = found
        if not isinstance(found, Folder):
            return
        self.folders.add(path)
        for name in list(found.entries):
            self._turns.switch()
            self._visit(f"{path}/{name}" if path else name)


def writing_and_asking(
    turns: Turns,
    files: Files,
    changes: Iterable[tuple[str, str, str, str]],
    ask: Callable[[], None],
    asks_too: Callable[[], bool],
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Two programs: one makes the changes, and asks after some of them; one asks three times."""

    def write() -> None:
        for change in changes:
            files.change(*change)
            turns.switch()
            if asks_too():
                ask()

    def ask_again() -> None:
        for _ in range(3):
            ask()

    return write, ask_again


def within(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(folder + "/")


@contextmanager
def made_up_watcher(turns: Turns, files: Files) -> Iterator[Watcher]:
    made = SimpleNamespace(
        add=lambda path: files.add(path) if path.startswith(ROOT.encode()) else 0,
        remove=files.remove,
        read=files.read,
        wait=lambda timeout_s: False,
        close=lambda: None,
    )
    nobody = SimpleNamespace(start=lambda: None, join=lambda timeout: None)
    threads = SimpleNamespace(
        RLock=lambda: RLock(turns),
        Lock=lambda: Lock(turns),
        Event=threading.Event,
        Thread=lambda **_: nobody,
    )
    instead = {
        "threading": threads,
        "Inotify": lambda: made,
        "filesystem_of": lambda path: "tmpfs",
        "deciding_files": lambda root: (),
        "_identity": lambda root: (1, 1),
        "_touch": files.touch,
    }
    with tempfile.TemporaryDirectory() as cookies, mock.patch.multiple(watch, **instead):
        yield Watcher(Path(cookies))


CHANGES = st.tuples(
    st.sampled_from(["write", "write", "mkdir", "remove", "move", "move"]),
    st.sampled_from(["", "a", "b", "a/b", "b/b"]),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
)
