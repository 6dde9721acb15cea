"""What is left out by rule. In a git work tree git itself is asked; elsewhere the same rules by library."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from recollect.sync import disk, git
from recollect.sync.beneath import Root, read_at
from recollect.sync.tree import Problem, printable

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

OWN_FILE: Final = ".recollectignore"
IGNORE_FILES: Final = frozenset({".gitignore", OWN_FILE})
DEFAULT_EXCLUDES: Final = [
    "node_modules",
    ".git",
    "__pycache__",
    "venv",
    ".venv",
    "env",
    "build",
    "dist",
    "target",
    ".pytest_cache",
    ".tox",
]
# Limits of an ignore file, for it is others' text and compiled: git's own lists of thousands of names stay below them.
_MOST_PATTERNS: Final = 5_000
_LONGEST_PATTERN: Final = 1_000  # bytes; no name is longer than 255
_GROUP_PATTERNS, _GROUP_BYTES = 500, 16_000  # compiled as one
_PROBLEMS_NAMED: Final = 5  # of one file
_NO_FILE: Final = disk.ABSENT | {errno.EISDIR, errno.ENXIO, errno.EINVAL, errno.EFBIG}  # … that is to be read
NEVER: Final = frozenset({".git", ".hg", ".svn"})
_CLASS: Final = re.compile(r"\[:(\w+):\](?=.*\])")  # inside of brackets; the library does not know them
_CLASSES: Final = {
    "alnum": "A-Za-z0-9",
    "alpha": "A-Za-z",
    "digit": "0-9",
    "lower": "a-z",
    "upper": "A-Z",
    "space": " \t\r\n\v\f",
    "xdigit": "0-9A-Fa-f",
}
INDEX_CHANGED: Final = ".git/index"  # among dirty names: git's index is another one, so tracked names may be others


class Excluded:
    """Which folders are not entered: the default names and `patterns` (names, or as in an ignore file; relative to the
    folder that is searched). `!NAME` takes a default away.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        away = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
        self._names = {name for name in DEFAULT_EXCLUDES if name not in away}
        others = [pattern for pattern in patterns if not (pattern.startswith("!") and pattern[1:] in DEFAULT_EXCLUDES)]
        self._names.update(pattern for pattern in others if pattern.replace("-", "").replace("_", "").isalnum())
        rest = [pattern for pattern in others if pattern not in self._names]
        self._patterns = Patterns(rest) if rest else None

    def holds(self, path: str, is_directory: bool = True) -> bool:
        """Whether the last name of `path`, or the path as a whole, is left out."""
        if is_directory and path.rpartition("/")[2] in self._names:
            return True
        return self._patterns is not None and self._patterns.verdict(path, is_directory) is True


class Patterns:
    """The lines of an ignore file, compiled. What is too long, or cannot be understood, costs itself: see `problems`."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.problems: list[tuple[int, str]] = []  # number of a line, what is wrong with it
        self._groups: list[GitIgnoreSpec] = []
        patterns: list[tuple[int, str]] = []
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            if len(patterns) == _MOST_PATTERNS:
                self.problems.append(
                    (number, f"more than {_MOST_PATTERNS:,} patterns: those from here on are not heeded")
                )
                break
            pattern = _CLASS.sub(lambda named: _CLASSES.get(named[1], named[0]), _bytewise(line))
            if len(pattern) > _LONGEST_PATTERN:
                self.problems.append((number, f"a pattern of more than {_LONGEST_PATTERN:,} bytes: it is not heeded"))
            else:
                patterns.append((number, pattern))
        while patterns:
            held, size = 0, 0
            while held < min(len(patterns), _GROUP_PATTERNS) and (not held or size < _GROUP_BYTES):
                size += len(patterns[held][1])
                held += 1
            self._compile(patterns[:held])
            patterns = patterns[held:]

    def _compile(self, patterns: list[tuple[int, str]]) -> None:
        """As one automaton, which has a limit of memory; else in halves, and without what fails alone."""
        from pathspec import GitIgnoreSpec  # most work trees have no such rules, and every start would pay for it

        try:
            self._groups.append(GitIgnoreSpec.from_lines([pattern for _, pattern in patterns]))
        except Exception:  # of pathspec, re or RE2
            half = len(patterns) // 2
            if half:
                self._compile(patterns[:half])
                self._compile(patterns[half:])
            else:  # like git, we go on without what cannot be understood (a `\\` at the end, say)
                self.problems.append((patterns[0][0], "a pattern that cannot be understood: it is not heeded"))

    def verdict(self, path: str, is_directory: bool = False) -> bool | None:
        """True: left out; False: taken back in; None: nothing said. The last pattern that speaks of a path decides."""
        name = _bytewise(path) + ("/" if is_directory else "")
        for group in reversed(self._groups):
            said = group.check_file(name).include
            if said is not None:
                return said
        return None


def _bytewise(name: str) -> str:
    """A character for each byte: what git compares, and the library's RE2 takes no name that is not UTF-8 otherwise."""
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("latin-1")


class Rules:
    """Nested ignore files: the deepest that says anything about a path decides, as in git."""

    def __init__(self) -> None:
        self._files: dict[str, list[Patterns]] = {}  # "folder/" or "" → its ignore files, the strongest last
        self.problems: list[Problem] = []
        self.negated = False

    def read(self, at: int, folder: str, name: str) -> bool:
        """Add the ignore file `name` of a folder (`at`: a descriptor of it; it ends with `/`, or is empty), if there is one.

        No link is followed, as by git. Raises OSError where there may be one: without its rules, what it leaves out would
        be indexed.
        """
        try:
            data = read_at(at, name).removeprefix(b"\xef\xbb\xbf")
        except OSError as error:
            if error.errno in _NO_FILE:
                return False
            raise
        lines = [line.removesuffix("\r") for line in data.decode("utf-8", "surrogateescape").split("\n")]
        patterns = Patterns(lines)
        self._files.setdefault(folder, []).append(patterns)
        for number, message in patterns.problems[:_PROBLEMS_NAMED]:
            self.problems.append(Problem(printable(folder + name), "ignore_pattern", f"line {number}: {message}"))
        self.negated |= any(line.startswith("!") for line in lines)
        return True

    def __bool__(self) -> bool:
        return bool(self._files)

    def verdict(self, path: str, is_directory: bool) -> bool | None:
        """True: left out; False: taken back in by a `!` pattern; None: nothing said of it."""
        if not self._files:
            return None
        folder = path
        while folder:
            folder = folder[: folder.rfind("/", 0, len(folder) - 1) + 1]
            for patterns in reversed(self._files.get(folder, ())):
                said = patterns.verdict(path[len(folder) :], is_directory)
                if said is not None:
                    return said
        return None


def includes(root: str, path: str) -> bool:
    """Whether a `!` pattern of `.recollectignore` names a file that would be left out as a secret.

    It has to name it (`!.env`, `!certs/*.pem`): one that takes in all that a folder holds (`!config/`, `!*`) does not
    mean keys. `.gitignore` has no say in this.
    """
    try:
        with Root(root) as opened:
            return includes_below(opened, path)
    except OSError:
        return False


def includes_below(root: Root, path: str) -> bool:
    """Likewise, of a root that is open."""
    folder = path.rpartition("/")[0]
    above = ["", *(folder[:at] + "/" for at in range(1, len(folder) + 1) if folder[at : at + 1] in ("/", ""))]
    for base in reversed(above if folder else [""]):
        try:
            data = root.read(base + OWN_FILE).removeprefix(b"\xef\xbb\xbf")
        except OSError:
            continue
        lines = [line.strip() for line in data.decode("utf-8", "surrogateescape").splitlines()]
        verdict = Patterns([line for line in lines if _names_a_file(line)]).verdict(path[len(base) :])
        if verdict is not None:
            return verdict is False
    return False


def _names_a_file(pattern: str) -> bool:
    """Whether it leaves out, or takes in by a name rather than by a place."""
    return not pattern.startswith("!") or bool(re.search(r"[^*?/\[\]!^.-]", pattern.rpartition("/")[2]))


class GitNames:
    """What git says belongs to a work tree below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def listed(self, paths: Sequence[str] | None = None) -> list[str] | None:
        """Tracked and not ignored names (below `paths` only); a nested repository ends with `/`. None where git fails."""
        arguments = ["--literal-pathspecs", "ls-files", "-z", "-c", "-o", "--exclude-standard", "--deduplicate"]
        done = git.run([*arguments, "--", *(paths if paths is not None else ())], self._root)
        if done.returncode != 0:
            return None
        return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]

    def ignored(self, paths: Iterable[str]) -> set[str]:
        """Those of `paths` that git ignores."""
        wanted = b"\0".join(os.fsencode(path) for path in paths)
        if not wanted:
            return set()
        done = git.run(["check-ignore", "-z", "--stdin"], self._root, input=wanted)
        return {os.fsdecode(name) for name in done.stdout.split(b"\0") if name}


def signature(root: Path, work_tree: Path | None, folders: Iterable[str], excludes: Sequence[str], old: str) -> str:
    """Everything outside the tree that decides what belongs to it; `same_names` compares two of them.

    `folders`: known directories without an ignore file in the tree (theirs may be ignored itself). `old`: the last
    signature; git is asked for its configuration only where a configuration file changed since, and for what is
    tracked although it is ignored only where its index did.
    """
    bare = _bare(root, folders)
    if work_tree is None:
        return f"own:{_digest([','.join(excludes)])}|{bare}"
    index, exclude, configs = _git_files(work_tree)
    config_state = _digest([*map(file_state, configs), os.path.expanduser("~")])
    parts = old.split("|")
    known = len(parts) == 6 and parts[0] == "git:" + config_state
    excludes_file = parts[1] if known else _excludes_file(work_tree)
    watched: list[Path | str] = [exclude, excludes_file, *_above(root, work_tree)]
    rules = _digest(map(file_state, watched))
    index_state = file_state(index).replace("|", "")
    forced = parts[4] if known and parts[3] == index_state else ""
    if known and not forced:
        said = git.output(["ls-files", "-z", "-c", "-i", "--exclude-standard"], root)
        forced = _digest([os.fsdecode(said)]) if said is not None else ""
    return f"git:{config_state}|{excludes_file}|{rules}|{index_state}|{forced}|{bare}"


def signature_with(found: str, root: Path, folders: Iterable[str]) -> str:
    """A signature that was made before a listing, for the folders that this found. All else is as it was before, for
    what changed since is not in the listing.
    """
    return f"{found.rpartition('|')[0]}|{_bare(root, folders)}"


def same_names(now: str, old: str) -> bool:
    """Whether two signatures let the same names belong to a tree."""
    if now == old:
        return True
    new_parts, old_parts = now.split("|"), old.split("|")
    if len(new_parts) != 6 or len(old_parts) != 6 or not new_parts[4]:
        return False
    return (*new_parts[:3], *new_parts[4:]) == (*old_parts[:3], *old_parts[4:])


def deciding_files(root: Path) -> tuple[str, ...]:
    """Files outside the tree whose change may change which names belong to it; git's index first. None without git."""
    work_tree = git.work_tree_root(root)
    if work_tree is None:
        return ()
    index, exclude, configs = _git_files(work_tree)
    files = map(os.fspath, (index, exclude, *configs, *_above(root, work_tree)))
    return (*files, _excludes_file(work_tree))


def file_state(path: Path | str) -> str:
    """What tells whether a file is the same; empty where it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def _git_files(work_tree: Path) -> tuple[Path, Path, list[Path]]:
    """(index, info/exclude, configuration files) of a work tree."""
    folder = git.git_folder(work_tree) or work_tree / ".git"
    common = git.common_folder(folder)
    home = Path(os.path.expanduser("~"))
    configs = [common / "config", folder / "config.worktree", home / ".gitconfig", _settings() / "config"]
    return folder / "index", common / "info" / "exclude", [*configs, Path("/etc/gitconfig")]


def _bare(root: Path, folders: Iterable[str]) -> str:
    return _digest(file_state(f"{root}/{name}/.gitignore") for name in folders)


def _settings() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")) / "git"


def _excludes_file(work_tree: Path) -> str:
    configs = _git_files(work_tree)[2]
    if not any(word in text for text in map(_read_lower, configs) for word in (b"excludesfile", b"include")):
        return str(_settings() / "ignore")  # git's default; asking it costs more than reading its files
    said = git.output(["config", "--type=path", "--get", "core.excludesFile"], work_tree) or b""
    return os.fsdecode(said.strip()).replace("|", "") or str(_settings() / "ignore")


def _read_lower(path: Path) -> bytes:
    try:
        return git.read(path).lower()
    except OSError:
        return b""


def _above(root: Path, work_tree: Path) -> list[Path]:
    return [parent / ".gitignore" for parent in root.parents if parent == work_tree or work_tree in parent.parents]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(parts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
