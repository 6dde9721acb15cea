"""Look at a repository's files and say what its tree is now, reading only what may have changed.

An entry whose stat is the recorded one is unchanged; a directory whose stat is the recorded one has the same names.
As in git, a stat that is not clearly older than the moment of reading proves nothing ("racy"): it is recorded so that it
can never match, and the entry is looked at again next time.
"""

from __future__ import annotations

import os
import stat as stats
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from blake3 import blake3

from recollect.errors import Cancelled, Unavailable
from recollect.records import dataclass
from recollect.sync import disk, git
from recollect.sync.ignore import (
    DEFAULT_EXCLUDES,
    IGNORE_FILES,
    INDEX_CHANGED,
    NEVER,
    OWN_FILE,
    Excluded,
    GitNames,
    Rules,
    same_names,
    signature,
    signature_with,
)
from recollect.sync.tree import EMPTY, UNREAD, Directory, Kind, Leaf, Problem, Stat, Tree, printable

MAX_FILE_BYTES: Final = 1_000_000
_RACY_NS: Final = 50_000_000  # file systems stamp with a clock that ticks every 1 to 10 ms
_RACY_COARSE_NS: Final = 2_000_000_000  # those without fractions of a second (FAT: two seconds)
_ASK_AT_MOST: Final = 200  # unknown names asked one by one; beyond, the whole listing is cheaper
_NESTED_STAT: Final = Stat(0, 0, 0, 0, 0)

Listing = dict[str, "Listing | None"]  # name → what is listed below it, or None for a leaf


@dataclass(frozen=True, slots=True)
class Scan:
    """`nested`: repositories found inside (they are their own). `signature` goes into the next scan.

    `partial`: only what was dirty was looked at; then `ignored` are the files among it that a rule leaves out.
    """

    tree: Tree
    problems: tuple[Problem, ...]
    signature: str
    nested: tuple[str, ...]
    partial: bool = False
    ignored: tuple[str, ...] = ()


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
    disk.check_listable(root)
    try:
        return _scan(root, previous, signature, dirty, max_file_bytes, exclude, cancelled, progress)
    except OSError as error:
        if not disk.is_folder(root):
            raise Unavailable(f"{root} vanished while it was looked at", code="missing") from error
        raise disk.unavailable(error.filename or root, error) from error


def _scan(
    root: Path,
    previous: Tree | None,
    signature: str,
    dirty: Collection[str] | None,
    max_file_bytes: int,
    exclude: Sequence[str],
    cancelled: Callable[[], bool],
    progress: Callable[[int], None],
) -> Scan:
    scanner = _Scanner(root, previous or EMPTY, max_file_bytes, exclude, cancelled, progress)
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
        scanner = _Scanner(root, previous or EMPTY, max_file_bytes, exclude, cancelled, progress)
        now = scanner.signature(signature)
        tree, partial = scanner.list_all(), False
    if partial:
        return Scan(tree, tuple(scanner.problems), now, tuple(scanner.nested(tree)), True, tuple(scanner.ignored))
    same = previous is not None and tree.root is previous.root
    after = now if same else signature_with(now, root, _bare(tree))
    return Scan(tree, tuple(scanner.problems), after, tuple(scanner.nested(tree)))


class _Scanner:
    def __init__(
        self,
        root: Path,
        previous: Tree,
        max_file_bytes: int,
        exclude: Sequence[str],
        cancelled: Callable[[], bool],
        progress: Callable[[int], None],
    ) -> None:
        self._root = root
        self._base = os.fspath(root).rstrip("/") + "/"
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
        self._unseen: list[str] = []  # could not be looked at
        self._lstat = os.lstat
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
            self.rules.read(self._base, folder, OWN_FILE)

    # -- the three ways ---------------------------------------------------------------------------------------------

    def check(self) -> Tree:
        """Everything by stat, names only where a directory changed."""
        root = self._known(self._previous.root, "", None, os.stat(self._base))
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
        root = self._known(self._previous.root, "", wanted, os.stat(self._base))
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
        return self.tree(self._walk("", self._previous.root))

    # -- known directories ------------------------------------------------------------------------------------------

    def _known(self, old: Directory, prefix: str, wanted: Listing | None, found: os.stat_result) -> Directory:
        """A directory of the previous tree as it is now (`found`). `wanted`: only these names of it, else all."""
        if self._cancelled():
            raise Cancelled("the sync was cancelled")
        names = old.entries.keys()
        own = old.stat
        if wanted is None:
            own, gone = self._names_now(old, prefix, _stat_of(found))
        else:
            gone = set()
            for name in wanted.keys() - names:
                self._ask(prefix + name)
        changed: dict[str, Leaf | Directory | None] = {}
        leaf = self._leaf
        for name, entry in old.entries.items():
            if wanted is not None and name not in wanted:
                continue
            if name in gone:
                new = None
            elif type(entry) is Directory:
                below = wanted[name] if wanted is not None else None
                new = self._known_directory(entry, prefix + name, below)
            else:
                new = leaf(prefix + name, entry)  # type: ignore[arg-type]
            if new is not entry:
                changed[name] = new
                if name in IGNORE_FILES:
                    raise _Relist
        if not changed and own == old.stat:
            return old
        merged = {name: changed.get(name, entry) for name, entry in old.entries.items()}
        made = Directory({name: entry for name, entry in merged.items() if entry is not None}, own)
        if all(_noted_alike(old.entries[name], entry) for name, entry in changed.items()):
            made.memo = old.memo
        return made

    def _names_now(self, old: Directory, prefix: str, own: Stat) -> tuple[Stat, set[str]]:
        """(stat to record, names that are gone); names that are new are noted to be asked for."""
        now = time.time_ns()
        if own == old.stat:
            return own, set()
        with os.scandir(self._base + prefix) as listing:
            present = {item.name for item in listing}
        for name in present - old.entries.keys():
            if name in IGNORE_FILES:
                raise _Relist
            if name not in NEVER:
                self._ask(prefix + name)
            elif prefix and name == ".git":
                raise _Relist  # it became a repository of its own
        return _unless_racy(own, now), set(old.entries) - present

    def _known_directory(self, old: Directory, path: str, wanted: Listing | None) -> Directory | Leaf | None:
        try:
            found = os.lstat(self._base + path)
            if stats.S_ISDIR(found.st_mode):
                return self._known(old, path + "/", wanted, found)
        except OSError as error:
            if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                self._unreadable(path, error)
                return old
            return None
        self._ask(path)  # it is something else now
        return None

    def _leaf(self, path: str, old: Leaf | None, found: os.stat_result | None = None) -> Leaf | Directory | None:
        """A file, link or the like as it is now (`found`, if that is known); the very `old` where its stat did not change."""
        try:
            found = found or self._lstat(self._base + path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # it may well be there
            self._unreadable(path, error)
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
            ):
                return old
        new = self._read(path, found, old)
        return old if new == old and new is not None and not new.hash else new

    def _read(self, path: str, found: os.stat_result, old: Leaf | None) -> Leaf | Directory | None:
        stat = _stat_of(found)
        if stats.S_ISREG(found.st_mode):
            if found.st_size > self._limit:
                return Leaf(Kind.FILE, stat, UNREAD)
            return self._hashed(path, stat)
        if stats.S_ISLNK(found.st_mode):
            try:
                target = os.readlink(self._base + path)
            except FileNotFoundError:
                return None
            except OSError as error:
                self._unreadable(path, error)
                return old
            return Leaf(Kind.SYMLINK, stat, blake3(os.fsencode(target)).digest(16))
        if stats.S_ISDIR(found.st_mode):
            if os.path.lexists(f"{self._base}{path}/.git"):
                return Leaf(Kind.NESTED, _NESTED_STAT, b"nested")
            if old is not None:
                self._ask(path)  # a leaf became a directory, or a nested repository an ordinary one
            return None
        return Leaf(Kind.OTHER, Stat(0, 0, 0, stat.inode, stat.mode), b"other")

    def _hashed(self, path: str, stat: Stat) -> Leaf | None:
        now = time.time_ns()
        try:
            # A third of what `open` takes; nor does it wait, should the file have become a pipe meanwhile.
            descriptor = os.open(self._base + path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                # With one byte more than it had: a file that grew is noticed by its stat next time.
                content = os.read(descriptor, min(self._limit, stat.size) + 1)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unreadable(path, error)
            return Leaf(Kind.FILE, stat, UNREAD)
        if path.rpartition("/")[2] in IGNORE_FILES:
            now = min(now, self._listed_at)  # the names were listed by what it said then
        return Leaf(Kind.FILE, _unless_racy(stat, now), blake3(content).digest(16))

    def _unreadable(self, path: str, error: OSError) -> None:
        """Note what could not be looked at; where the fault is our own, all the rest would fail alike: end the scan."""
        if error.errno in disk.EXHAUSTED:
            raise disk.unavailable(self._base + path, error) from error
        self._unseen.append(path)
        self.problems.append(Problem(printable(path), "unreadable", error.strerror or str(error)))

    def tree(self, root: Directory) -> Tree:
        """The tree to record. A folder that lacks an entry because that could not be looked at is listed anew next time."""
        for path in self._unseen:
            root = _without_vouching(root, path)
        return Tree(root)

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
        listing = _nested_listing(allowed)
        folders = [path for path in existing if self._is_plain_folder(path)]
        self._note_ignored(set(existing) - {name.rstrip("/") for name in allowed} - set(folders), set(names))
        self._add_empty_folders(listing, folders)
        return self._graft(root, listing, "")

    def _is_there(self, path: str) -> bool:
        try:
            os.lstat(self._base + path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            self._unreadable(path, error)
            return False
        return True

    def _note_ignored(self, unlisted: set[str], names: set[str]) -> None:
        """Files that a rule leaves out; one that merely went away meanwhile is none of them."""
        files = {path for path in unlisted if not os.path.isdir(self._base + path)}
        ours = files & names
        self.ignored = [*ours, *self._names.ignored(files - ours)]

    def _graft(self, directory: Directory, listing: Listing, prefix: str) -> Directory:
        entries = dict(directory.entries)
        for name, below in listing.items():
            existing = entries.get(name)
            if isinstance(existing, Directory) and below is not None:
                entries[name] = self._graft(existing, below, f"{prefix}{name}/")
                continue
            new = self._entry(prefix + name, below, None)
            if new is None:
                entries.pop(name, None)
            else:
                entries[name] = new
        return Directory(entries, directory.stat)

    # -- whole listings by git --------------------------------------------------------------------------------------

    def _listed_root(self, names: list[str]) -> Directory:
        found = {name for name in names if name.rpartition("/")[2] == OWN_FILE}
        self.rules = Rules()
        for folder in sorted({name[: -len(OWN_FILE)] for name in found} | {""}):
            self.rules.read(self._base, folder, OWN_FILE)
        listing = _nested_listing(self._allowed(names))
        if self.rules.negated:
            self._add_taken_back(listing, "")
        old = self._previous.root
        return self._directory("", listing, old)

    def _allowed(self, names: list[str]) -> list[str]:
        if not self.rules:
            return names
        return [name for name in names if not self._left_out(name.rstrip("/"), name.endswith("/"))]

    def _left_out(self, path: str, is_directory: bool) -> bool:
        """Whether `.recollectignore` leaves a path out: by itself, or by a folder above it."""
        verdict = self.rules.verdict(path, is_directory)
        if verdict is not None:
            return verdict
        folder = path.rpartition("/")[0]
        return bool(folder) and self._left_out(folder, True)

    def _add_taken_back(self, listing: Listing, prefix: str) -> None:
        """Add what `!` patterns of `.recollectignore` take back in of what git ignores."""
        for item in _scandir(self._base + prefix):
            path, is_directory = prefix + item.name, item.is_dir(follow_symlinks=False)
            if item.name in NEVER or (is_directory and os.path.lexists(f"{self._base}{path}/.git")):
                continue
            if not is_directory:
                if item.name not in listing and self.rules.verdict(path, False) is False:
                    listing[item.name] = None
                continue
            taken = self.rules.verdict(path, True)
            below = listing.get(item.name)
            if taken is True or (below is None and taken is None and item.name in DEFAULT_EXCLUDES):
                continue
            below = {} if below is None else below
            if taken is False:
                self._add_everything(below, path + "/")
            self._add_taken_back(below, path + "/")
            if below:
                listing[item.name] = below

    def _add_everything(self, listing: Listing, prefix: str) -> None:
        for item in _scandir(self._base + prefix):
            path, is_directory = prefix + item.name, item.is_dir(follow_symlinks=False)
            if item.name in NEVER or self.rules.verdict(path, is_directory) is True:
                continue
            if not is_directory:
                listing.setdefault(item.name, None)
            elif not os.path.lexists(f"{self._base}{path}/.git"):
                below = listing.setdefault(item.name, {})
                if below is not None:
                    self._add_everything(below, path + "/")

    def _directory(self, prefix: str, listing: Listing, old: Directory | None) -> Directory:
        if self._cancelled():
            raise Cancelled("the sync was cancelled")
        # Its names are those of the listing: what was added since must not be vouched for by the directory's stat.
        own = _unless_racy(_stat_of(os.stat(self._base + prefix)), self._listed_at)
        known = old.entries if old is not None else {}
        unlisted = [prefix + i.name for i in _scandir(self._base + prefix) if i.name not in listing and _is_folder(i)]
        self._add_empty_folders(listing, [path for path in unlisted if self._is_plain_folder(path)], prefix)
        entries: dict[str, Leaf | Directory] = {}
        for name, below in listing.items():
            entry = self._entry(prefix + name, below, known.get(name))
            if entry is not None:
                entries[name] = entry
        if old is not None and own == old.stat and _same(entries, old.entries):
            return old
        return Directory(entries, own)

    def _entry(self, path: str, below: Listing | None, old: Leaf | Directory | None) -> Leaf | Directory | None:
        try:
            found = os.lstat(self._base + path)
            if not stats.S_ISDIR(found.st_mode) or os.path.lexists(f"{self._base}{path}/.git"):
                return self._leaf(path, old if isinstance(old, Leaf) else None, found)
            if below is None:
                below = {}
            return self._directory(path + "/", below, old if isinstance(old, Directory) else None)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unreadable(path, error)
            return old

    def _is_plain_folder(self, path: str) -> bool:
        """A directory that is neither a link, nor version control's own, nor a repository of its own."""
        full = self._base + path
        if path.rpartition("/")[2] in NEVER or os.path.islink(full) or not os.path.isdir(full):
            return False
        return not os.path.lexists(full + "/.git")

    def _add_empty_folders(self, listing: Listing, folders: list[str], prefix: str = "") -> None:
        """Put folders that git lists nothing of, and does not ignore, into `listing` (whose root is `prefix`).

        A file made in one of them later changes no directory but that one: it has to be known.
        """
        ignored = self._names.ignored(folders) if folders else set()
        for path in folders:
            if path in ignored or self._left_out(path, True):
                continue
            level = listing
            for name in path[len(prefix) :].split("/"):
                below = level.setdefault(name, {})
                if below is None:
                    break
                level = below

    # -- outside git --------------------------------------------------------------------------------------------------

    def _walk(self, prefix: str, old: Directory | None) -> Directory:
        """A directory by our own reading of the ignore files below the root."""
        if self._cancelled():
            raise Cancelled("the sync was cancelled")
        now = time.time_ns()
        own = _unless_racy(_stat_of(os.stat(self._base + prefix)), now)
        for name in (".gitignore", OWN_FILE):
            self.rules.read(self._base, prefix, name)
        known = old.entries if old is not None else {}
        entries: dict[str, Leaf | Directory] = {}
        for item in sorted(_scandir(self._base + prefix), key=lambda item: item.name):
            path, is_directory = prefix + item.name, _is_folder(item)
            verdict = self.rules.verdict(path, is_directory)
            if item.name in NEVER or verdict or (verdict is None and self._excluded.holds(path, is_directory)):
                continue
            before = known.get(item.name)
            entry: Leaf | Directory | None
            if is_directory and not os.path.lexists(f"{self._base}{path}/.git"):
                entry = self._walk_below(path, before if isinstance(before, Directory) else None)
            else:
                entry = self._leaf(path, before if isinstance(before, Leaf) else None)
            if entry is not None:
                entries[item.name] = entry
        if old is not None and own == old.stat and _same(entries, old.entries):
            return old
        return Directory(entries, own)

    def _walk_below(self, path: str, old: Directory | None) -> Directory | None:
        try:
            return self._walk(path + "/", old)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unreadable(path, error)
            return old


def _scandir(path: str) -> list[os.DirEntry[str]]:
    with os.scandir(path) as listing:
        return list(listing)


def _is_folder(item: os.DirEntry[str]) -> bool:
    return item.is_dir(follow_symlinks=False)


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
    if isinstance(directory.memo, _Noted):
        return directory.memo
    nested: list[str] = []
    own = [""] if OWN_FILE in directory.entries else []
    for name, entry in directory.entries.items():
        if isinstance(entry, Directory):
            below = _noted(entry)
            nested += (f"{name}/{path}" for path in below.nested)
            own += (f"{name}/{path}" for path in below.own)
        elif entry.kind is Kind.NESTED:
            nested.append(name)
    directory.memo = found = _Noted(tuple(nested), tuple(own))
    return found


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
