"""The law of the barrier: where the watcher says that nothing waits, the index has every write that came before.

The watcher runs as it is, over files and events that are made up: they have the kernel's order and its gaps (what happens in
a folder before it is watched raises no event), and questions, syncs, writes and the beginning of a watch interleave as each
example decides.
"""

from __future__ import annotations

import errno
import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from recollect.sync import inotify
from recollect.sync import watch as under_test
from recollect.sync.inotify import Event
from recollect.sync.watch import Taken, Watcher
from tests.turns import Lock, RLock, Turns

ROOT = "/made/up"
NAMES = ("a", "b", "x")
BEGINNING = (("mkdir", "", "a", ""), ("mkdir", "a", "b", ""), ("write", "a/b", "x", ""), ("write", "a", "x", ""))


@dataclass(eq=False)
class _Folder:
    entries: dict[str, _Folder | int] = field(default_factory=dict)  # a file is the number of its last write
    watch: int | None = None


class _Files:
    """A tree of files, what has been said of its changes, and what each file has been."""

    def __init__(self) -> None:
        self.root = _Folder()
        self.events: list[Event] = []
        self.past: dict[str, list[int | None]] = {}
        self._writes = self._watches = 0

    def at(self, path: str) -> _Folder | int | None:
        found: _Folder | int | None = self.root
        for name in path.split("/") if path else ():
            found = found.entries.get(name) if isinstance(found, _Folder) else None
        return found

    def change(self, what: str, folder: str, name: str, other: str) -> None:
        """One system call; nothing where it would fail."""
        parent = self.at(folder)
        if not isinstance(parent, _Folder):
            return
        old = parent.entries.get(name)
        if what == "write" and not isinstance(old, _Folder):
            self._writes += 1
            parent.entries[name] = self._writes
            self._say(parent, inotify.CREATE if old is None else inotify.MODIFY, name)
        elif what == "mkdir" and old is None:
            parent.entries[name] = _Folder()
            self._say(parent, inotify.CREATE | inotify.ISDIR, name)
        elif what == "remove" and old is not None:
            self._remove(parent, name)
        elif what == "move" and old is not None and other != name:
            target = parent.entries.get(other)
            if target is not None and (isinstance(target, _Folder) or isinstance(old, _Folder)):
                return
            is_folder = inotify.ISDIR if isinstance(old, _Folder) else 0
            parent.entries[other] = parent.entries.pop(name)
            self._say(parent, inotify.MOVED_FROM | is_folder, name)
            self._say(parent, inotify.MOVED_TO | is_folder, other)
            if isinstance(old, _Folder):
                self._say(old, inotify.MOVE_SELF, "")
        self._note()

    def files(self) -> dict[str, int]:
        return dict(self._walk(self.root, ""))

    # -- inotify ------------------------------------------------------------------------------------------------------

    def add(self, path: bytes) -> int:
        found = self.at(path.decode()[len(ROOT) + 1 :])
        if not isinstance(found, _Folder):
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

    def _say(self, folder: _Folder, mask: int, name: str) -> None:
        if folder.watch is not None:
            self.events.append(Event(folder.watch, mask, name.encode()))

    def _remove(self, parent: _Folder, name: str) -> None:
        old = parent.entries[name]
        if isinstance(old, _Folder):
            for inner in list(old.entries):
                self._remove(old, inner)
            if old.watch is not None:
                self._say(old, inotify.DELETE_SELF, "")
                self.events.append(Event(old.watch, inotify.IGNORED, b""))
        del parent.entries[name]
        self._say(parent, inotify.DELETE | (inotify.ISDIR if isinstance(old, _Folder) else 0), name)

    def _note(self) -> None:
        now = self.files()
        for path in self.past.keys() | now.keys():
            past = self.past.setdefault(path, [None])
            if past[-1] != now.get(path):
                past.append(now.get(path))

    def _walk(self, folder: _Folder, prefix: str) -> Iterator[tuple[str, int]]:
        for name, entry in folder.entries.items():
            if isinstance(entry, _Folder):
                yield from self._walk(entry, f"{prefix}{name}/")
            else:
                yield prefix + name, entry

    def _folders(self, folder: _Folder) -> Iterator[_Folder]:
        yield folder
        for entry in folder.entries.values():
            if isinstance(entry, _Folder):
                yield from self._folders(entry)


class _Syncs:
    """Syncs one after another, as `scan` sees the files: names of a folder at one moment, each of its entries at a later."""

    def __init__(self, turns: Turns, files: _Files, watcher: Watcher) -> None:
        self._turns, self._files, self._watcher = turns, files, watcher
        self._one_at_a_time = Lock(turns)
        self.indexed: dict[str, int] = {}  # what was committed, and is what answers come from
        self.folders: set[str] = {""}

    def sync(self, fails: bool = False) -> None:
        with self._one_at_a_time:
            taken = self._watcher.take("r")
            seen, folders, below = self._look(taken)
            self._turns.switch()
            if fails:
                if taken is not None:
                    self._watcher.finish("r", taken, done=False)
                return
            self.indexed, self.folders = seen, folders
            self._turns.switch()
            if taken is not None:
                told = [item for item in folders if any(_within(item, name) for name in below)]
                self._watcher.finish("r", taken, done=True, folders=told, partial=taken.names is not None)

    def _look(self, taken: Taken | None) -> tuple[dict[str, int], set[str], set[str]]:
        if taken is None or taken.names is None:
            seen: dict[str, int] = {}
            folders: set[str] = set()
            self._visit("", seen, folders)
            return seen, folders, {""}
        below = {self._outermost_new(name) for name in taken.names}
        seen = {path: write for path, write in self.indexed.items() if not any(_within(path, name) for name in below)}
        folders = {path for path in self.folders if not any(_within(path, name) for name in below)}
        for name in sorted(below):
            if not any(_within(name, other) for other in below - {name}):
                self._visit(name, seen, folders)
        return seen, folders, below

    def _outermost_new(self, path: str) -> str:
        names = path.split("/")
        for depth in range(1, len(names)):
            if "/".join(names[:depth]) not in self.folders:
                return "/".join(names[:depth])
        return path

    def _visit(self, path: str, seen: dict[str, int], folders: set[str]) -> None:
        found = self._files.at(path)
        if isinstance(found, int):
            seen[path] = found
        if not isinstance(found, _Folder):
            return
        folders.add(path)
        names = list(found.entries)
        for name in names:
            self._turns.switch()
            self._visit(f"{path}/{name}" if path else name, seen, folders)


def _within(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(folder + "/")


@contextmanager
def _watcher(turns: Turns, files: _Files) -> Iterator[Watcher]:
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
    with tempfile.TemporaryDirectory() as cookies, mock.patch.multiple(under_test, **instead):
        yield Watcher(Path(cookies))


CHANGES = st.tuples(
    st.sampled_from(["write", "write", "mkdir", "remove", "move", "move"]),
    st.sampled_from(["", "a", "b", "a/b", "b/b"]),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    changes=st.lists(CHANGES, min_size=1, max_size=12),
    questions=st.integers(0, 3),
    backgrounds=st.integers(0, 2),
    known=st.booleans(),
)
def test_what_is_settled_is_indexed(
    seed: int,
    changes: list[tuple[str, str, str, str]],
    questions: int,
    backgrounds: int,
    known: bool,
) -> None:
    turns, files, chance = Turns(seed), _Files(), random.Random(seed)
    for change in BEGINNING:
        files.change(*change)
    with _watcher(turns, files) as watcher:
        syncs = _Syncs(turns, files, watcher)
        syncs.sync()
        if known:
            watcher.watch("r", Path(ROOT), sorted(syncs.folders))

        def begin() -> None:
            for _ in range(chance.randint(0, 2)):
                watcher.watch("r", Path(ROOT), sorted(syncs.folders))

        def read_unasked() -> None:
            for _ in range(2):
                with watcher._reading:
                    watcher._take_in(files.read())

        def ask() -> None:
            then = {path: len(past) - 1 for path, past in files.past.items()}
            mark = watcher.barrier(["r"], 1.0)
            assert mark is not None
            if not watcher.settled("r", mark):
                syncs.sync()
            if watcher.settled("r", mark):
                indexed = syncs.indexed
                for path, past in files.past.items():
                    assert indexed.get(path) in past[then.get(path, 0) :], path

        def ask_again() -> None:
            for _ in range(3):
                ask()

        def write() -> None:
            for change in changes:
                files.change(*change)
                turns.switch()
                if chance.random() < 0.5:
                    ask()

        background = [partial(syncs.sync, chance.random() < 0.3) for _ in range(backgrounds)]
        turns.run([write, begin, read_unasked, *background, *[ask_again] * questions])
        assert turns.failures == []
        for _ in range(4):  # and all of it is found in the end, where somebody watches
            syncs.sync()
        if watcher.root("r") is not None:
            mark = watcher.barrier(["r"], 1.0)
            assert mark is not None
            for _ in range(5):
                syncs.sync()
            assert watcher.settled("r", mark)
            assert syncs.indexed == files.files()
