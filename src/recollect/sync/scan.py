"""Look at a repository's files and say what its tree is now, reading only what may have changed.

An entry whose stat is the recorded one is unchanged; a directory whose stat is the recorded one has the same names.
As in git, a stat that is not clearly older than the moment of reading proves nothing ("racy"): it is recorded so that it
can never match, and the entry is looked at again next time.
"""

from __future__ import annotations

import errno
import os
import stat as stats
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from blake3 import blake3

from recollect.errors import Cancelled, Unavailable
from recollect.records import dataclass
from recollect.sync import beneath, disk, git, links
from recollect.sync.apply import apply
from recollect.sync.beneath import LONGEST_PATH, Root
from recollect.sync.deep import Steps, result_of
from recollect.sync.diff import Change
from recollect.sync.ignore import (
    DEFAULT_EXCLUDES,
    IGNORE_FILES,
    INDEX_CHANGED,
    NEVER,
    OWN_FILE,
    Excluded,
    GitNames,
    Rules,
    includes_below,
    same_names,
    signature,
    signature_with,
)
from recollect.sync.tree import EMPTY, LINKED, UNREAD, Directory, Kind, Leaf, Problem, Row, Stat, Tree, printable

MAX_FILE_BYTES: Final = 1_000_000
_RACY_NS: Final = 50_000_000  # file systems stamp with a clock that ticks every 1 to 10 ms
_RACY_COARSE_NS: Final = 2_000_000_000  # those without fractions of a second (FAT: two seconds)
_ASK_AT_MOST: Final = 200  # unknown names asked one by one; beyond, the whole listing is cheaper
_MORE_LEVELS: Final = 8
_MOST_EMPTY: Final = 2_000  # folders that git is asked about at once
_NESTED_STAT: Final = Stat(0, 0, 0, 0, 0)
_SOMETHING_ELSE: Final = (errno.ENOTDIR, errno.ELOOP)  # a link, or no folder, lies where there was one
_FILE: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW

_TOO_LONG: Final = f"its path is longer than the {LONGEST_PATH:,} bytes that the system takes: it is left out"

Listing = dict[str, "Listing | None"]  # name → what is listed below it, or None for a leaf


@dataclass(frozen=True, slots=True)
class Scan:
    """`nested`: repositories found inside (they are their own). `signature` goes into the next scan.

    `identity`: of the root. `partial`: only what was dirty was looked at; then `ignored` are the files among it that a rule leaves out.
    """

    tree: Tree
    problems: tuple[Problem, ...]
    signature: str
    nested: tuple[str, ...]
    partial: bool = False
    ignored: tuple[str, ...] = ()
    identity: tuple[int, int] | None = None


class _Relist(Exception):
    """An ignore file changed: all names must be asked again."""


def scan(
    root: Path,
    previous: Tree | None = None,
    *,
    signature: str = "",
    dirty: Collection[str] | None = None,
    max_file_bytes: int = MAX_FILE_BYTES,
    exclude: Sequence[str] = (),
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda files: None,
) -> Scan:
    """The tree below `root`. With `dirty`, only those relative paths are looked at (a directory: all below it).

    `exclude`: what else than the default names is left out where git does not decide (`Excluded`).

    Raises:
        Unavailable: the root is gone, or goes meanwhile ("missing"); it cannot be looked at ("unreadable"); we lack
            what it takes to look ("exhausted"). Nothing is concluded from a look that failed.
        Refused: it belongs to another user (code "dubious_ownership").
        Cancelled: `cancelled()` became true.
    """
    with _opened(root) as opened:
        disk.check_listable(root)
        try:
            result = _scan(root, opened, previous, signature, dirty, max_file_bytes, exclude, cancelled, progress)
            if opened.is_still_there():
                return result
        except OSError as error:
            if _is_still_there(opened):
                raise disk.unavailable(root, error) from error
    raise Unavailable(
        f"{root} vanished while it was looked at",
        hint="Bring the folder back and sync again; its index is kept.",
        code="missing",
    )


def _opened(root: Path) -> Root:
    try:
        return Root(root)
    except OSError as error:
        if error.errno in disk.ABSENT:
            raise Unavailable(
                beneath.problem_of(root) or f"{root} was replaced", hint="Sync again.", code="missing"
            ) from error
        raise disk.unavailable(root, error) from error


def _is_still_there(opened: Root) -> bool:
    try:
        return opened.is_still_there()
    except OSError as error:
        raise disk.unavailable(opened.path, error) from error


def _scan(
    root: Path,
    opened: Root,
    previous: Tree | None,
    signature: str,
    dirty: Collection[str] | None,
    max_file_bytes: int,
    exclude: Sequence[str],
    cancelled: Callable[[], bool],
    progress: Callable[[int], None],
) -> Scan:
    scanner = _Scanner(root, opened, previous or EMPTY, max_file_bytes, exclude, cancelled, progress)
    known = previous is not None and bool(signature) and not scanner.rules.negated
    names = {path for path in dirty if path != INDEX_CHANGED} if dirty is not None else {""}
    partial = known and not any(path.rpartition("/")[2] in IGNORE_FILES or not path for path in names)
    now = signature if partial and names == set(dirty or ()) else scanner.signature(signature)
    try:
        if known and same_names(now, signature):
            tree = scanner.look_at(names) if partial else scanner.check()
        else:
            tree, partial = scanner.list_all(), False
    except _Relist:
        scanner = _Scanner(root, opened, previous or EMPTY, max_file_bytes, exclude, cancelled, progress)
        now = scanner.signature(signature)
        tree, partial = scanner.list_all(), False
    if partial:
        nested, ignored = tuple(scanner.nested(tree)), tuple(scanner.ignored)
        return Scan(tree, tuple(scanner.problems), now, nested, True, ignored, opened.identity)
    same = previous is not None and tree.root is previous.root
    after = now if same else signature_with(now, root, _bare(tree))
    return Scan(tree, tuple(scanner.problems), after, tuple(scanner.nested(tree)), identity=opened.identity)


class _Scanner:
    def __init__(
        self,
        root: Path,
        opened: Root,
        previous: Tree,
        max_file_bytes: int,
        exclude: Sequence[str],
        cancelled: Callable[[], bool],
        progress: Callable[[int], None],
    ) -> None:
        self._root = root
        self._opened = opened
        self._previous = previous
        self._limit = max_file_bytes
        self._exclude = tuple(exclude)
        self._excluded = Excluded(exclude)
        self._cancelled = cancelled
        self._progress = progress
        self._work_tree = git.work_tree_root(root)
        if self._work_tree is not None:
            git.check_owner(self._work_tree)
        self._names = GitNames(root)
        self._seen = 0
        self._listed_at = 0
        self._unknown: list[str] = []
        self._linked: dict[str, Stat] = {}  # files with several hard links
        self._unseen: list[str] = []  # could not be looked at
        self._unlisted: list[str] = []  # folders that git lists nothing of
        self._folder_verdicts: dict[str, bool] = {}
        self.problems: list[Problem] = []
        self.ignored: list[str] = []
        self.rules = Rules()
        if self._work_tree is not None:
            self._read_own_rules(previous)

    def signature(self, old: str) -> str:
        return signature(self._root, self._work_tree, _bare(self._previous), self._exclude, old)

    def nested(self, tree: Tree) -> list[str]:
        return list(_noted(tree.root).nested)

    def _read_own_rules(self, tree: Tree) -> None:
        """`.recollectignore` files, outer ones first: that of the root, and those that the tree names."""
        for folder in sorted({"", *_noted(tree.root).own}):
            self._read_rules(folder)

    def _read_rules(self, folder: str) -> None:
        try:
            with self._opened.folder(folder) as at:
                self.rules.read(at, folder, OWN_FILE)
        except OSError as error:
            if error.errno not in disk.ABSENT:
                raise

    # -- the three ways ---------------------------------------------------------------------------------------------

    def check(self) -> Tree:
        """Everything by stat, names only where a directory changed."""
        root = self._looked_at(None)
        return self.tree(self._with_unknown(root))

    def look_at(self, dirty: Collection[str]) -> Tree:
        """Only the dirty paths."""
        wanted: Listing = {}
        for path in dirty:
            level = wanted
            *folders, name = path.strip("/").split("/")
            for folder in folders:
                below = level.setdefault(folder, {})
                if below is None:
                    break  # the folder as a whole is dirty already
                level = below
            else:
                level[name] = None
        root = self._looked_at(wanted)
        return self.tree(self._with_unknown(root))

    def list_all(self) -> Tree:
        """Ask for all names."""
        self._listed_at = time.time_ns()
        if self._work_tree is not None:
            names = self._names.listed()
            if names is not None:
                return self.tree(self._listed_root(names))
            self.problems.append(Problem("", "git", "git could not list the files; .gitignore is read without it"))
        self.rules = Rules()
        return self.tree(result_of(self._walk("", self._previous.root)))

    # -- known directories ------------------------------------------------------------------------------------------

    def _looked_at(self, wanted: Listing | None) -> Directory:
        return result_of(self._known(self._previous.root, "", wanted))

    def _known(self, old: Directory, prefix: str, wanted: Listing | None) -> Steps[Directory]:
        """A directory of the previous tree as it is now. `wanted`: only these names of it, else all. Raises OSError."""
        if self._cancelled():
            raise Cancelled("the sync was cancelled")
        own, gone = old.stat, set[str]()
        changed: dict[str, Leaf | Directory | None] = {}
        folders: list[tuple[str, Directory]] = []
        at = self._opened.open_folder(prefix)
        try:
            if wanted is None:
                own, gone = self._names_now(old, prefix, at)
            else:
                for name in wanted.keys() - old.entries.keys():
                    self._ask(prefix + name)
            leaf = self._leaf
            for name, entry in old.entries.items():
                if wanted is not None and name not in wanted:
                    continue
                if name in gone:
                    changed[name] = None
                elif type(entry) is Directory:
                    folders.append((name, entry))
                else:
                    new = leaf(at, prefix, name, entry)  # type: ignore[arg-type]
                    if new is not entry:
                        changed[name] = new
        finally:
            os.close(at)
        for name, directory in folders:
            below = wanted[name] if wanted is not None else None
            now: Directory | Leaf | None = yield self._known_directory(directory, prefix + name, below)
            if now is not directory:
                changed[name] = now
        if any(name in IGNORE_FILES for name in changed):
            raise _Relist
        if not changed and own == old.stat:
            return old
        merged = {name: changed.get(name, entry) for name, entry in old.entries.items()}
        made = Directory({name: entry for name, entry in merged.items() if entry is not None}, own)
        if all(_noted_alike(old.entries[name], entry) for name, entry in changed.items()):
            made.memo = old.memo
        return made

    def _names_now(self, old: Directory, prefix: str, at: int) -> tuple[Stat, set[str]]:
        """(stat to record, names that are gone); names that are new are noted to be asked for."""
        now = time.time_ns()
        own = _stat_of(os.fstat(at))
        if own == old.stat:
            return own, set()
        present = {item.name for item in beneath.names(at)}
        for name in present - old.entries.keys():
            if name in IGNORE_FILES:
                raise _Relist
            if name not in NEVER:
                self._ask(prefix + name)
            elif prefix and name == ".git":
                raise _Relist  # it became a repository of its own
        return _unless_racy(own, now), set(old.entries) - present

    def _known_directory(self, old: Directory, path: str, wanted: Listing | None) -> Steps[Directory | Leaf | None]:
        try:
            now: Directory = yield self._known(old, path + "/", wanted)
            return now
        except OSError as error:
            if error.errno in _SOMETHING_ELSE:
                self._ask(path)
                return None
            return self._instead(path, error, old)

    def _instead(self, path: str, error: OSError, old: Leaf | Directory | None) -> Leaf | Directory | None:
        """What is recorded of what cannot be looked at: what was there before, unless it is gone."""
        if isinstance(error, FileNotFoundError) or error.errno in _SOMETHING_ELSE:
            return None
        self._unreadable(path, error)
        return old

    def _leaf(
        self, at: int, prefix: str, name: str, old: Leaf | None, found: os.stat_result | None = None
    ) -> Leaf | Directory | None:
        """A file, link or the like of the folder `at` as it is now (`found`, if that is known); the very `old` where its stat
        did not change.
        """
        try:
            found = found or os.stat(name, dir_fd=at, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # it may well be there
            self._unreadable(prefix + name, error)
            return old
        self._seen += 1
        if not self._seen & 1023:
            self._progress(self._seen)
            if self._cancelled():
                raise Cancelled("the sync was cancelled")
        if old is not None:
            size, mtime_ns, ctime_ns, inode, mode = old.stat
            if (
                found.st_mtime_ns == mtime_ns
                and found.st_ctime_ns == ctime_ns
                and found.st_size == size
                and found.st_ino == inode
                and found.st_mode == mode
                and (old.hash or size > self._limit)  # what could not be read is tried again
                and old.hash != LINKED
            ):
                return old
        new = self._read(at, prefix + name, name, found, old)
        return old if new == old and new is not None and not new.hash else new

    def _read(self, at: int, path: str, name: str, found: os.stat_result, old: Leaf | None) -> Leaf | Directory | None:
        stat = _stat_of(found)
        if stats.S_ISREG(found.st_mode):
            if len(path) * 3 > self._opened.longest and len(os.fsencode(path)) > self._opened.longest:
                self._unreadable(path, OSError(errno.ENAMETOOLONG, ""))
                return None
            if found.st_nlink > 1:
                self._linked[path] = stat
                if old is not None and old.hash == LINKED and old.stat == stat:
                    return old  # read if it may be: when all links are known
            if found.st_size > self._limit:
                return Leaf(Kind.FILE, stat, UNREAD)
            return self._hashed(at, path, name, stat)
        if stats.S_ISLNK(found.st_mode):
            try:
                target = os.readlink(name, dir_fd=at)
            except FileNotFoundError:
                return None
            except OSError as error:
                self._unreadable(path, error)
                return old
            return Leaf(Kind.SYMLINK, stat, blake3(os.fsencode(target)).digest(16))
        if stats.S_ISDIR(found.st_mode):
            if _holds_git(at, name):
                return Leaf(Kind.NESTED, _NESTED_STAT, b"nested")
            if old is not None:
                self._ask(path)  # a leaf became a directory, or a nested repository an ordinary one
            return None
        return Leaf(Kind.OTHER, Stat(0, 0, 0, stat.inode, stat.mode), b"other")

    def _hashed(self, at: int, path: str, name: str, stat: Stat) -> Leaf | None:
        now = time.time_ns()
        try:
            # A third of what `open` takes; nor does it wait, should the file have become a pipe meanwhile.
            descriptor = os.open(name, _FILE, dir_fd=at)
            try:
                opened = os.fstat(descriptor)
                if not stats.S_ISREG(opened.st_mode):
                    return Leaf(Kind.OTHER, Stat(0, -1, 0, opened.st_ino, opened.st_mode), b"other")
                if opened.st_ino != stat.inode:  # another file took its place: to be looked at again
                    stat = _stat_of(opened)._replace(mtime_ns=-1)
                # With one byte more than it had: a file that grew is noticed by its stat next time.
                content = os.read(descriptor, min(self._limit, stat.size) + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            if isinstance(error, FileNotFoundError) or error.errno in _SOMETHING_ELSE:
                return None
            self._unreadable(path, error)
            return Leaf(Kind.FILE, stat, UNREAD)
        if name in IGNORE_FILES:
            now = min(now, self._listed_at)  # the names were listed by what it said then
        return Leaf(Kind.FILE, _unless_racy(stat, now), blake3(content).digest(16))

    def _unreadable(self, path: str, error: OSError) -> None:
        """Note what could not be looked at; where the fault is our own, all the rest would fail alike: end the scan."""
        if error.errno in disk.EXHAUSTED:
            raise disk.unavailable(self._root / path, error) from error
        message = _TOO_LONG if error.errno == errno.ENAMETOOLONG else error.strerror or str(error)
        self._unseen.append(path)
        self.problems.append(Problem(printable(path), "unreadable", message))

    def tree(self, root: Directory) -> Tree:
        """The tree to record. A folder that lacks an entry because that could not be looked at is listed anew next time."""
        self.problems += self.rules.problems
        root = self._without_linked(root)
        for path in self._unseen:
            root = _without_vouching(root, path)
        return Tree(root)

    def _without_linked(self, root: Directory) -> Directory:
        """`root` without the contents of files that have hard links elsewhere, unless `.recollectignore` names them."""
        if not self._linked:
            return root
        inside = links.inside(self._opened, {stat.inode for stat in self._linked.values()})
        kept, changes = Tree(root), list[Change]()
        for path, stat in self._linked.items():
            leaf = kept.find(path)
            if not isinstance(leaf, Leaf) or leaf.kind is not Kind.FILE:
                continue
            if (stat.inode, stat.ctime_ns) not in inside and not includes_below(self._opened, path):
                changes.append(Change(path, None, Row(path, Kind.FILE, stat, LINKED)))
            elif leaf.hash == LINKED:
                changes.append(Change(path, None, self._read_now(path, stat)))
        return apply(kept, changes).root

    def _read_now(self, path: str, stat: Stat) -> Row | None:
        folder, _, name = path.rpartition("/")
        with suppress(OSError), self._opened.folder(folder) as at:
            leaf = self._hashed(at, path, name, stat)
            return Row(path, *leaf) if leaf is not None else None
        return None

    # -- names that were not known ----------------------------------------------------------------------------------

    def _ask(self, path: str) -> None:
        self._unknown.append(path)

    def _with_unknown(self, root: Directory) -> Directory:
        """`root` with the new names that belong to it."""
        unknown, self._unknown = self._unknown, []
        if not unknown:
            return root
        if self._work_tree is None or len(unknown) > _ASK_AT_MOST:
            raise _Relist
        self._listed_at = time.time_ns()
        existing = [path for path in unknown if self._is_there(path)]
        names = self._names.listed(existing) if existing else []
        if names is None:
            raise _Relist
        if any(name.rpartition("/")[2] in IGNORE_FILES for name in names):
            raise _Relist
        allowed = self._allowed(names)
        folders = [path for path in existing if self._is_plain_folder(path)]
        self._note_ignored(set(existing) - {name.rstrip("/") for name in allowed} - set(folders), set(names))
        self._unlisted += folders
        return self._with_empty_folders(result_of(self._graft(root, _nested_listing(allowed), "")))

    def _is_there(self, path: str) -> bool:
        try:
            self._opened.stat(path)
        except OSError as error:
            self._instead(path, error, None)
            return False
        return True

    def _note_ignored(self, unlisted: set[str], names: set[str]) -> None:
        """Files that a rule leaves out; one that merely went away meanwhile is none of them."""
        files = {path for path in unlisted if not self._opened.is_folder(path)}
        ours = files & names
        self.ignored = [*ours, *self._names.ignored(files - ours)]

    def _graft(self, directory: Directory, listing: Listing, prefix: str) -> Steps[Directory]:
        entries: dict[str, Leaf | Directory | None] = dict(directory.entries)
        grafts: list[tuple[str, Directory, Listing]] = []
        with self._opened.folder(prefix) as at:
            folders: list[str] = []
            for name, below in listing.items():
                existing, found = entries.get(name), _lstat(at, name)
                if isinstance(existing, Directory) and below is not None:
                    grafts.append((name, existing, below))
                elif _is_to_be_entered(at, name, found):
                    folders.append(name)
                else:
                    entries[name] = self._leaf(at, prefix, name, None, found) if found is not None else None
        for name in folders:
            entries[name] = yield self._entered(prefix + name, listing[name] or {}, None)
        for name, existing, below in grafts:
            entries[name] = yield self._graft_below(existing, below, prefix + name)
        return Directory({name: entry for name, entry in entries.items() if entry is not None}, directory.stat)

    def _graft_below(self, directory: Directory, listing: Listing, path: str) -> Steps[Directory]:
        try:
            grafted: Directory = yield self._graft(directory, listing, path + "/")
            return grafted
        except OSError as error:
            self._unreadable(path, error)
            return directory

    # -- whole listings by git --------------------------------------------------------------------------------------

    def _listed_root(self, names: list[str]) -> Directory:
        found = {name for name in names if name.rpartition("/")[2] == OWN_FILE}
        self.rules = Rules()
        for folder in sorted({name[: -len(OWN_FILE)] for name in found} | {""}):
            self._read_rules(folder)
        self._folder_verdicts.clear()
        listing = _nested_listing(self._allowed(names))
        if self.rules.negated:
            self._add_taken_back(listing)
        return self._with_empty_folders(result_of(self._directory("", listing, self._previous.root)))

    def _allowed(self, names: list[str]) -> list[str]:
        if not self.rules:
            return names
        return [name for name in names if not self._left_out(name.rstrip("/"), name.endswith("/"))]

    def _left_out(self, path: str, is_directory: bool) -> bool:
        """Whether `.recollectignore` leaves a path out: by itself, or by a folder above it."""
        verdict = self.rules.verdict(path, is_directory)
        if verdict is not None:
            return verdict
        undecided: list[str] = []
        folder, is_left_out = path.rpartition("/")[0], False
        while folder:
            known = self._folder_verdicts.get(folder)
            if known is None:
                known = self.rules.verdict(folder, True)
            if known is not None:
                is_left_out = known
                break
            undecided.append(folder)
            folder = folder.rpartition("/")[0]
        self._folder_verdicts.update(dict.fromkeys(undecided, is_left_out))
        return is_left_out

    def _add_taken_back(self, listing: Listing) -> None:
        """Add what `!` patterns of `.recollectignore` take back in of what git ignores."""
        waiting: list[tuple[str, Listing, bool]] = [("", listing, False)]
        added: list[tuple[Listing, str, Listing, bool]] = []
        while waiting:
            prefix, level, everything = waiting.pop()
            for name, is_directory in self._present(prefix):
                path = prefix + name
                if name in NEVER:
                    continue
                verdict = self.rules.verdict(path, is_directory)
                if not is_directory:
                    if name not in level and (verdict is False or (everything and verdict is None)):
                        level[name] = None
                    continue
                below = level.get(name)
                passed = below is None and verdict is None and not everything and name in DEFAULT_EXCLUDES
                if verdict is True or passed:
                    continue
                below = {} if below is None else below
                added.append((level, name, below, everything))
                waiting.append((path + "/", below, everything or verdict is False))
        for level, name, below, is_taken in reversed(added):  # what lies below first
            if below or is_taken:
                level[name] = below

    def _present(self, prefix: str) -> list[tuple[str, bool]]:
        """Names of a folder, and whether each is a folder that is entered; repositories inside are not named."""
        try:
            with self._opened.folder(prefix) as at:
                found = [(item.name, beneath.is_folder(item, at)) for item in beneath.names(at)]
                return [
                    (name, is_directory) for name, is_directory in found if not (is_directory and _holds_git(at, name))
                ]
        except OSError:
            return []

    def _directory(self, prefix: str, listing: Listing, old: Directory | None) -> Steps[Directory]:
        if self._cancelled():
            raise Cancelled("the sync was cancelled")
        known = old.entries if old is not None else {}
        entries: dict[str, Leaf | Directory | None] = {}
        folders: list[str] = []
        with self._opened.folder(prefix) as at:
            # Its names are those of the listing: what was added since must not be vouched for by the directory's stat.
            own = _unless_racy(_stat_of(os.fstat(at)), self._listed_at)
            self._unlisted += (prefix + name for name in _plain_folders(at) if name not in listing)
            for name in listing:
                before = known.get(name)
                entries[name] = None  # in the order of the listing
                try:
                    found = os.stat(name, dir_fd=at, follow_symlinks=False)
                except OSError as error:
                    entries[name] = self._instead(prefix + name, error, before)
                    continue
                if _is_to_be_entered(at, name, found):
                    folders.append(name)
                else:
                    entries[name] = self._leaf(at, prefix, name, before if isinstance(before, Leaf) else None, found)
        for name in folders:
            entries[name] = yield self._entered(prefix + name, listing[name] or {}, known.get(name))
        there = {name: entry for name, entry in entries.items() if entry is not None}
        if old is not None and own == old.stat and _same(there, old.entries):
            return old
        return Directory(there, own)

    def _entered(self, path: str, below: Listing, old: Leaf | Directory | None) -> Steps[Leaf | Directory | None]:
        try:
            made: Directory = yield self._directory(path + "/", below, old if isinstance(old, Directory) else None)
            return made
        except OSError as error:
            return self._instead(path, error, old)

    def _is_plain_folder(self, path: str) -> bool:
        """A directory that is neither a link, nor version control's own, nor a repository of its own."""
        if path.rpartition("/")[2] in NEVER or not self._opened.is_folder(path):
            return False
        return not self._opened.exists(path + "/.git")

    def _with_empty_folders(self, root: Directory) -> Directory:
        """`root` with the folders that git lists nothing of, and does not ignore.

        A file made in one of them later changes no directory but that one: it has to be known. Git is asked about those in
        each other by levels, each time more: not once for each of a thousand, nor about all that an ignored one holds.
        """
        found, levels = set(self._unlisted), 1
        unknown = found
        listing: Listing = {}
        while found:
            ignored = self._names.ignored(sorted(found))
            empty = [path for path in found if path not in ignored and not self._left_out(path, True)]
            for path in sorted(empty):  # a folder before what it holds
                level = listing
                for name in path.split("/"):
                    below = level.setdefault(name, {})
                    assert below is not None
                    level = below
            found, unknown = self._folders_below([path for path in empty if path in unknown], levels)
            levels *= _MORE_LEVELS
        self._unlisted = []
        return result_of(self._graft(root, listing, "")) if listing else root

    def _folders_below(self, folders: list[str], levels: int) -> tuple[set[str], set[str]]:
        """(what lies so many levels below, those of it that were not looked into)"""
        found: set[str] = set()
        for _ in range(levels):
            below: list[str] = []
            for path in folders:
                with suppress(OSError), self._opened.folder(path) as at:
                    below += (f"{path}/{name}" for name in _plain_folders(at))
            found.update(below)
            folders = below
            if len(found) > _MOST_EMPTY:
                break
        return found, set(folders)

    # -- outside git --------------------------------------------------------------------------------------------------

    def _walk(self, prefix: str, old: Directory | None) -> Steps[Directory]:
        """A directory by our own reading of the ignore files below the root."""
        if self._cancelled():
            raise Cancelled("the sync was cancelled")
        now = time.time_ns()
        known = old.entries if old is not None else {}
        entries: dict[str, Leaf | Directory | None] = {}
        folders: list[str] = []
        with self._opened.folder(prefix) as at:
            own = _unless_racy(_stat_of(os.fstat(at)), now)
            items = sorted(beneath.names(at), key=lambda item: item.name)
            present = {item.name for item in items}
            for name in (".gitignore", OWN_FILE):
                if name in present:
                    self.rules.read(at, prefix, name)
            for item in items:
                path, is_directory = prefix + item.name, beneath.is_folder(item, at)
                verdict = self.rules.verdict(path, is_directory)
                if item.name in NEVER or verdict or (verdict is None and self._excluded.holds(path, is_directory)):
                    continue
                before = known.get(item.name)
                entries[item.name] = None  # in their order
                if is_directory and not _holds_git(at, item.name):
                    folders.append(item.name)
                else:
                    entries[item.name] = self._leaf(at, prefix, item.name, before if isinstance(before, Leaf) else None)
        for name in folders:
            before = known.get(name)
            entries[name] = yield self._walk_below(prefix + name, before if isinstance(before, Directory) else None)
        there = {name: entry for name, entry in entries.items() if entry is not None}
        if old is not None and own == old.stat and _same(there, old.entries):
            return old
        return Directory(there, own)

    def _walk_below(self, path: str, old: Directory | None) -> Steps[Leaf | Directory | None]:
        try:
            made: Directory = yield self._walk(path + "/", old)
            return made
        except OSError as error:
            return self._instead(path, error, old)


def _plain_folders(at: int) -> list[str]:
    """Folders in the folder `at`, without version control's own and repositories inside."""
    folders = [item.name for item in beneath.names(at) if item.name not in NEVER and beneath.is_folder(item, at)]
    return [name for name in folders if not _holds_git(at, name)]


def _lstat(at: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=at, follow_symlinks=False)
    except OSError:
        return None


def _is_to_be_entered(at: int, name: str, found: os.stat_result | None) -> bool:
    """Whether a name of the folder `at` is a folder, and no repository of its own."""
    return found is not None and stats.S_ISDIR(found.st_mode) and not _holds_git(at, name)


def _holds_git(at: int, name: str) -> bool:
    """Whether a folder in the folder `at` is a repository of its own."""
    return _lstat(at, f"{name}/.git") is not None


def _same(new: dict[str, Leaf | Directory], old: object) -> bool:
    return isinstance(old, dict) and new.keys() == old.keys() and all(new[name] is old[name] for name in new)


def _stat_of(found: os.stat_result) -> Stat:
    if stats.S_ISDIR(found.st_mode):  # a directory's size says nothing, and differs between file systems
        return Stat(0, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_mode)
    return Stat(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_mode)


def _unless_racy(stat: Stat, read_at_ns: int) -> Stat:
    newest = max(stat.mtime_ns, stat.ctime_ns)
    margin = _RACY_NS if stat.mtime_ns % 1_000_000_000 else _RACY_COARSE_NS
    return stat._replace(mtime_ns=-1) if newest > read_at_ns - margin else stat


def _without_vouching(root: Directory, path: str) -> Directory:
    """`root`, with the folder that should hold `path` and does not recorded so that its stat can never match."""
    above: list[tuple[Directory, str]] = []
    directory = root
    for name in path.split("/"):
        entry = directory.entries.get(name)
        if entry is None:
            break
        if not isinstance(entry, Directory):
            return root
        above.append((directory, name))
        directory = entry
    else:
        return root
    changed = Directory(directory.entries, directory.stat._replace(mtime_ns=-1))
    for parent, name in reversed(above):
        changed = Directory({**parent.entries, name: changed}, parent.stat)
    return changed


def _nested_listing(names: Sequence[str]) -> Listing:
    root: Listing = {}
    folders: dict[str, Listing] = {"": root}
    for path in names:
        folder, _, name = path.rstrip("/").rpartition("/")
        level = folders.get(folder)
        if level is None:
            level = root
            for part in folder.split("/"):
                below = level.setdefault(part, {})
                if below is None:
                    below = level[part] = {}
                level = below
            folders[folder] = level
        level.setdefault(name, None)
    return root


class _Noted(NamedTuple):
    """Paths below a directory, relative to it, that every scan asks for; few have any."""

    nested: tuple[str, ...]  # repositories inside
    own: tuple[str, ...]  # folders with a `.recollectignore` ("" or "a/b/")


def _noted(directory: Directory) -> _Noted:
    for inner in directory.innermost_first(lambda item: isinstance(item.memo, _Noted)):
        nested: list[str] = []
        own = [""] if OWN_FILE in inner.entries else []
        for name, entry in inner.entries.items():
            if isinstance(entry, Directory):
                below = entry.memo
                assert isinstance(below, _Noted)
                nested += (f"{name}/{path}" for path in below.nested)
                own += (f"{name}/{path}" for path in below.own)
            elif entry.kind is Kind.NESTED:
                nested.append(name)
        inner.memo = _Noted(tuple(nested), tuple(own))
    assert isinstance(directory.memo, _Noted)
    return directory.memo


def _noted_alike(old: Leaf | Directory, new: Leaf | Directory | None) -> bool:
    """Whether one in the other's place changes nothing of what is noted of the directory above."""
    if isinstance(old, Directory) and isinstance(new, Directory):
        return old.memo is not None and old.memo is new.memo
    return isinstance(old, Leaf) and isinstance(new, Leaf) and Kind.NESTED not in (old.kind, new.kind)


def _bare(tree: Tree) -> list[str]:
    """Directories without a `.gitignore` of their own."""
    root = [] if ".gitignore" in tree.root.entries else [""]
    folders = (item for item in tree.root.walk("") if isinstance(item[1], Directory))
    return root + [path for path, entry in folders if ".gitignore" not in entry.entries]  # type: ignore[union-attr]
