"""Which names of which repositories may have changed: the file system's events, and a barrier that is behind them all.

An event only marks a name dirty; a scan decides what became of it. Losing events therefore costs a full check, never a
wrong answer: where they are lost, or cannot be had, everything is marked dirty and `reason` says why.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Final

from recollect.records import dataclass
from recollect.sync import inotify
from recollect.sync.ignore import IGNORE_FILES, INDEX_CHANGED, NEVER, deciding_files, file_state
from recollect.sync.inotify import Event, Inotify

# Where every change made on this machine raises an event; elsewhere (network, FUSE) others write unseen.
WATCHABLE: Final = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "ramfs", "overlay", "bcachefs", "jfs", "reiserfs")
    + ("nilfs2", "vfat", "exfat", "ntfs3")
)
_MOST_DIRTY: Final = 10_000  # names of a repository; beyond, it is looked through as a whole
_MOST_IGNORED: Final = 1_000  # names remembered as no part of a repository
_COOKIES: Final = 8
_ADDED_AT_ONCE: Final = 256  # watches, before others get their turn
_FOLDERS_NAMED: Final = 100  # of new folders; with more, the whole repository is looked through
_STORM_PAUSE_S: Final = 0.02  # between two readings nobody waits for: many events are read at once
log = logging.getLogger("recollect.watch")


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """Dirty names handed to a sync: `names` None means that everything has to be looked at. Compared by identity."""

    names: tuple[str, ...] | None
    first: int  # the oldest mark among them
    marks: dict[str, int]
    rules: int  # which version of what is ignored the names were taken under


@dataclass(slots=True, eq=False)
class _Watched:
    key: str
    root: Path
    folders: dict[str, int] = field(default_factory=dict)  # "" or "a/b" → number of its watch
    dirty: dict[str, int] = field(default_factory=dict)  # name → mark when it was first seen; "" is everything
    taken: list[Taken] = field(default_factory=list)
    ignored: set[str] = field(default_factory=set)  # files that were looked at and are no part of the repository
    rules: int = 0  # counts the changes of what decides that
    identity: tuple[int, int] | None = None  # device and inode of the root
    outside: tuple[str, ...] = ()
    outside_states: tuple[str, ...] = ()
    reason: str | None = None  # why events do not tell all, if so
    dirty_since: float = 0.0  # monotonic
    changed_at: float = 0.0  # of the last mark, monotonic
    has_changed: bool = False  # since it is watched


class Watcher:
    """All repositories by one inotify descriptor. Thread-safe.

    Whoever asks the barrier reads the events itself; a thread of its own reads them when nobody asks.
    """

    def __init__(self, cookies: Path, on_dirty: Callable[[], None] = lambda: None) -> None:
        """`cookies`: a folder of ours, on a file system with events. `on_dirty` is called, under our lock, at each mark."""
        self._on_dirty = on_dirty
        self._lock = threading.RLock()
        self._reading = threading.Lock()
        self._repositories: dict[str, _Watched] = {}
        self._places: dict[int, set[tuple[str, str]]] = {}  # watch → (repository, folder) that it stands for
        self._mark = 0
        self._cookies_used = 0
        self._closed = threading.Event()
        self._inotify: Inotify | None = None
        self.unavailable: str | None = None
        self.overflows = 0
        try:
            cookies.mkdir(parents=True, exist_ok=True, mode=0o700)
            kind = filesystem_of(cookies)
            if kind not in WATCHABLE:
                raise OSError(errno.ENOTSUP, f"no reliable events on {kind}")
            self._inotify = Inotify()
            self._cookies = [cookies / f"cookie-{number}" for number in range(_COOKIES)]
            for cookie in self._cookies:
                cookie.touch(mode=0o600)
            self._cookie_watch = self._inotify.add(os.fsencode(cookies))
        except OSError as error:
            self.unavailable = _explained(error)
            log.warning("files are not watched: %s", self.unavailable)
            return
        self._thread = threading.Thread(target=self._read_unasked, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._inotify is not None:
            with suppress(OSError):
                _touch(self._cookies[0])  # wakes the thread
            self._thread.join(timeout=5)
            with self._reading, self._lock:
                self._inotify.close()
                self._inotify = None
                self.unavailable = "closed"

    # -- which repositories -------------------------------------------------------------------------------------------

    def watch(self, key: str, root: Path, folders: Collection[str]) -> None:
        """Watch a repository's `folders`, for now as one that nothing is known of: everything is dirty.

        Raises Unavailable where the repository cannot be looked at.
        """
        watched = _Watched(key, root, outside=deciding_files(root))
        watched.outside_states = tuple(map(file_state, watched.outside))
        watched.identity = _identity(root)
        kind = filesystem_of(root)
        if self.unavailable is not None:
            watched.reason = self.unavailable
        elif kind not in WATCHABLE:
            watched.reason = f"no reliable events on {kind}"
        with self._lock:
            self._forget(key)
            self._repositories[key] = watched
            self._mark_dirty(watched, "", 0)  # older than any question
            # Another thread's sync may look through a folder before it is watched here: what comes between the two is
            # found by one that begins when all are.
            before_all = Taken(None, 0, dict(watched.dirty), watched.rules)
            watched.taken.append(before_all)
        self._cover(watched, folders)
        self.finish(key, before_all, done=False)

    def unwatch(self, key: str) -> None:
        with self._lock:
            self._forget(key)

    def _cover(self, watched: _Watched, folders: Iterable[str]) -> list[str]:
        """Watch those of `folders` that are not watched yet; which these are. Lets others in between."""
        new = [folder for folder in folders if folder not in watched.folders]
        for start in range(0, len(new), _ADDED_AT_ONCE):
            with self._lock:
                for folder in new[start : start + _ADDED_AT_ONCE]:
                    if watched.reason is None and self._repositories.get(watched.key) is watched:
                        self._add(watched, folder)
        return new

    def root(self, key: str) -> Path | None:
        """Where a repository is watched; None: nowhere."""
        watched = self._repositories.get(key)
        return watched.root if watched is not None else None

    def reason(self, key: str) -> str | None:
        """Why events do not tell all about a repository; None where they do."""
        watched = self._repositories.get(key)
        return "not watched" if watched is None else watched.reason

    def vouches(self, key: str) -> bool:
        """Whether a repository is watched, as a whole, and was looked through since."""
        with self._lock:
            watched = self._repositories.get(key)
            return (
                watched is not None
                and watched.reason is None
                and "" not in watched.dirty
                and all(taken.names is not None for taken in watched.taken)
            )

    def has_changed(self, key: str) -> bool:
        """Whether an event came since a repository is watched; what is dirty otherwise may be unchanged."""
        watched = self._repositories.get(key)
        return watched is not None and watched.has_changed

    @property
    def watches(self) -> int:
        return len(self._places)

    # -- what changed -------------------------------------------------------------------------------------------------

    def barrier(self, keys: Iterable[str], timeout_s: float) -> int | None:
        """Read every event raised before this call. Returns the mark that all of them precede.

        None: the cookie did not come back in time; nothing can be said. Of the repositories `keys`, what decides from
        outside the tree what belongs to it is looked at, too (see `look_outside`).
        """
        with self._reading:
            if self._inotify is None:
                return None
            until = time.monotonic() + timeout_s
            self._cookies_used += 1
            cookie = self._cookies[self._cookies_used % _COOKIES]  # another one than before, which may have come late
            wanted, came = os.fsencode(cookie.name), False
            try:
                _touch(cookie)
                while not came:
                    events = self._inotify.read()
                    came = self._take_in(events, wanted)
                    if not events and not came and not self._inotify.wait(max(0.0, until - time.monotonic())):
                        return None
            except OSError:
                return None  # our own folder is gone, no descriptor is left, or the events cannot be read now
        state = cache(file_state)  # several files are the same for all repositories
        for key in keys:
            self.look_outside(key, state)
        with self._lock:
            return self._mark

    def settled(self, key: str, mark: int) -> bool:
        """Whether nothing marked up to `mark` waits to be synced, or is being synced."""
        with self._lock:
            watched = self._repositories.get(key)
            if watched is None or watched.reason is not None:
                return False
            waiting = min(watched.dirty.values(), default=mark + 1)
            return waiting > mark and all(taken.first > mark for taken in watched.taken)

    def pending(self, key: str) -> int:
        """Number of names known to be dirty; 0 also where everything is."""
        with self._lock:
            watched = self._repositories.get(key)
            if watched is None:
                return 0
            names = set(watched.dirty)
            for taken in watched.taken:
                names.update(taken.names or ())
            return len(names - {""})

    def waiting(self, key: str) -> tuple[float, float] | None:
        """Seconds since (the first, the last) mark of what is dirty in a repository; None where nothing is."""
        with self._lock:
            watched = self._repositories.get(key)
            if watched is None or not watched.dirty:
                return None
            now = time.monotonic()
            return now - watched.dirty_since, now - watched.changed_at

    def take(self, key: str, everything: bool = False) -> Taken | None:
        """Hand the dirty names to a sync that starts now; `finish` says what became of it. None: not watched."""
        with self._lock:
            watched = self._repositories.get(key)
            if watched is None:
                return None
            marks, watched.dirty = watched.dirty, {}
            if everything:
                marks.setdefault("", self._mark)
            whole = "" in marks or watched.reason is not None
            taken = Taken(
                None if whole else tuple(marks), min(marks.values(), default=self._mark + 1), marks, watched.rules
            )
            watched.taken.append(taken)
            return taken

    def finish(
        self,
        key: str,
        taken: Taken,
        *,
        done: bool,
        folders: Collection[str] = (),
        partial: bool = False,
        ignored: Collection[str] = (),
    ) -> None:
        """A sync of what was taken ended.

        `folders`: the tree's directories, or (`partial`) those at and below the names that were taken. Those not watched
        yet are from now on, and looked at once more, for something may have been written before; until then nobody is
        told that what he wrote meanwhile is known. `ignored`: files among the names that a rule leaves out.
        """
        watched = self._repositories.get(key)
        if watched is None or taken not in watched.taken:
            return
        new = self._cover(watched, folders) if done else []
        with self._lock:
            watched.taken.remove(taken)
            if not done:
                for name, mark in taken.marks.items():
                    watched.dirty[name] = min(mark, watched.dirty.get(name, mark))
                return
            if not partial:
                for folder in watched.folders.keys() - set(folders):
                    self._drop(watched, folder)
            if new and watched.reason is None:
                for folder in new if len(new) <= _FOLDERS_NAMED else [""]:
                    self._mark_dirty(watched, folder, taken.first)
            if taken.rules == watched.rules:
                if len(watched.ignored) + len(ignored) > _MOST_IGNORED:
                    watched.ignored.clear()
                watched.ignored.update(ignored)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _read_unasked(self) -> None:
        assert self._inotify is not None
        descriptor = self._inotify
        while not self._closed.is_set():
            descriptor.wait(3600.0)
            if self._closed.is_set():
                return
            try:
                with self._reading:
                    self._take_in(descriptor.read())
            except Exception:  # whoever asks hears of it; nobody else would see events any more
                log.exception("reading events failed")
            self._closed.wait(_STORM_PAUSE_S)

    def _take_in(self, events: list[Event], cookie: bytes = b"") -> bool:
        """Mark what events name; whether the cookie, or an overflow that may have swallowed it, was among them."""
        came = False
        with self._lock:
            for watch, mask, name in events:
                if watch == self._cookie_watch:
                    came |= name == cookie
                elif mask & inotify.OVERFLOW:
                    came = True
                    self.overflows += 1
                    log.warning("the queue of events overflowed: every repository is checked")
                    for watched in self._repositories.values():
                        self._mark_dirty(watched, "")
                elif mask & inotify.IGNORED:
                    for key, folder in self._places.pop(watch, ()):
                        self._lost(key, folder, watch)
                else:
                    for key, folder in tuple(self._places.get(watch, ())):
                        self._seen(self._repositories[key], folder, mask, os.fsdecode(name))
        return came

    def _seen(self, watched: _Watched, folder: str, mask: int, name: str) -> None:
        if not name:
            if not folder and mask & (inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.UNMOUNT):
                self._begin_anew(watched, None)  # what is there now, the next barrier sees
            return
        path = f"{folder}/{name}" if folder else name
        appeared = mask & (inotify.CREATE | inotify.MOVED_TO | inotify.DELETE | inotify.MOVED_FROM)
        if name in NEVER:
            if appeared:  # a repository began or ended to be one of its own
                self._mark_dirty(watched, "")
            return
        if mask & inotify.ISDIR:
            if mask & (inotify.MOVED_FROM | inotify.DELETE):
                self._drop_below(watched, path)
        elif path in watched.ignored:
            return
        if name in IGNORE_FILES:
            self._rules_changed(watched)
        self._mark_dirty(watched, path)

    def _begin_anew(self, watched: _Watched, identity: tuple[int, int] | None) -> None:
        """The root is another folder now, if any: no watch stands for what its path says."""
        for folder in list(watched.folders):
            self._drop(watched, folder)
        watched.identity = identity
        self._mark_dirty(watched, "")

    @staticmethod
    def _rules_changed(watched: _Watched) -> None:
        watched.ignored.clear()
        watched.rules += 1

    def _mark_dirty(self, watched: _Watched, name: str, mark: int | None = None) -> None:
        self._mark += 1
        watched.changed_at = time.monotonic()
        if not watched.dirty:
            watched.dirty_since = watched.changed_at
        if mark is None:
            mark, watched.has_changed = self._mark, True
        watched.dirty[name] = min(mark, watched.dirty.get(name, mark))
        if len(watched.dirty) > _MOST_DIRTY:
            watched.dirty = {"": min(watched.dirty.values())}
        self._on_dirty()

    def _add(self, watched: _Watched, folder: str) -> None:
        if self._inotify is None:
            watched.reason = self.unavailable
            return
        full = watched.root / folder if folder else watched.root
        try:
            watch = self._inotify.add(os.fsencode(full))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
                return  # gone again, or not to be read: an event of its parent says when that changes
            watched.reason = _explained(error)
            log.warning("%s is not watched as a whole: %s", watched.root, watched.reason)
            for other in list(watched.folders):
                self._drop(watched, other)
            return
        watched.folders[folder] = watch
        self._places.setdefault(watch, set()).add((watched.key, folder))

    def _drop(self, watched: _Watched, folder: str) -> None:
        watch = watched.folders.pop(folder, None)
        if watch is None:
            return
        places = self._places.get(watch)
        if places is not None:
            places.discard((watched.key, folder))
            if not places:
                del self._places[watch]
                if self._inotify is not None:
                    self._inotify.remove(watch)

    def _drop_below(self, watched: _Watched, path: str) -> None:
        """A folder went or was moved: the watches below it stand for other paths now, if for any."""
        below = path + "/"
        for folder in [item for item in watched.folders if item == path or item.startswith(below)]:
            self._drop(watched, folder)

    def _lost(self, key: str, folder: str, watch: int) -> None:
        watched = self._repositories.get(key)
        if watched is not None and watched.folders.get(folder) == watch:
            del watched.folders[folder]
            self._mark_dirty(watched, folder)

    def _forget(self, key: str) -> None:
        watched = self._repositories.pop(key, None)
        if watched is not None:
            for folder in list(watched.folders):
                self._drop(watched, folder)

    def look_outside(self, key: str, state: Callable[[str], str] = file_state) -> None:
        """Mark dirty what a change of the files outside the tree, which decide what belongs to it, may concern.

        The files are looked at while no lock is held, for that may take for ever; what was seen is noted, and marked,
        afterwards: a later change differs from it, and is marked at the next look.

        Raises Unavailable where the repository cannot be looked at.
        """
        watched = self._repositories.get(key)
        if watched is None:
            return
        # Empty: no work tree until now, or one that was just being copied here.
        outside = watched.outside or deciding_files(watched.root)
        identity, now = _identity(watched.root), tuple(map(state, outside))
        with self._lock:
            if identity != watched.identity:  # a folder above it was moved, which raises no event
                self._begin_anew(watched, identity)
            if not watched.outside:
                watched.outside = outside
            if watched.outside != outside or now == watched.outside_states:
                return  # nothing new; or another question looked at the same time, and saw that all is another
            if now[1:] == watched.outside_states[1:]:
                watched.outside_states = now
                self._rules_changed(watched)
                self._mark_dirty(watched, INDEX_CHANGED)
                return
        outside = deciding_files(watched.root)
        now = tuple(map(file_state, outside))
        with self._lock:
            watched.outside, watched.outside_states = outside, now
            self._rules_changed(watched)
            self._mark_dirty(watched, "")


def _touch(cookie: Path) -> None:
    """Raise an event, and write nothing to the disk."""
    os.close(os.open(cookie, os.O_WRONLY | os.O_CLOEXEC))


def _identity(root: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(root)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _explained(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the system's limit of watches is reached (fs.inotify.max_user_watches)"
    if error.errno == errno.EMFILE:
        return "the system's limit of inotify instances is reached (fs.inotify.max_user_instances)"
    return error.strerror or str(error)


def filesystem_of(path: Path, table: str = "/proc/self/mountinfo") -> str:
    """Type of the file system that holds `path`, as the kernel names it; "unknown" where it does not say."""
    real = os.path.realpath(path)
    best, kind = "", "unknown"
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                parts = line.split(" ")
                point = (
                    parts[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
                    if "\\" in parts[4]
                    else parts[4]
                )
                if len(point) >= len(best) and (real == point or real.startswith(point.rstrip("/") + "/")):
                    best, kind = point, parts[parts.index("-") + 1]
    except (OSError, ValueError, IndexError):
        return "unknown"
    return kind
