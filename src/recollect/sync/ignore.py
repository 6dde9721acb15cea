"""What is left out by rule. In a git work tree git itself is asked; elsewhere the same rules by library."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from pathspec import GitIgnoreSpec

from recollect.sync import git

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
NEVER: Final = frozenset({".git", ".hg", ".svn"})


class Rules:
    """Nested ignore files: the deepest that says anything about a path decides, as in git."""

    def __init__(self) -> None:
        self._specs: list[tuple[str, GitIgnoreSpec]] = []  # ("folder/", patterns), outer first
        self.negated = False

    def read(self, root: str, folder: str, name: str) -> bool:
        """Add the ignore file `folder/name` (relative to `root`, `folder` ends with `/` or is empty), if there is one."""
        try:
            with open(f"{root}/{folder}{name}", encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except OSError:
            return False
        self._specs.append((folder, GitIgnoreSpec.from_lines(lines)))
        self.negated |= any(line.startswith("!") for line in lines)
        return True

    def __bool__(self) -> bool:
        return bool(self._specs)

    def verdict(self, path: str, is_directory: bool) -> bool | None:
        """True: left out; False: taken back in by a `!` pattern; None: nothing said of it."""
        for folder, spec in reversed(self._specs):
            if path.startswith(folder):
                said = spec.check_file(path[len(folder) :] + ("/" if is_directory else "")).include
                if said is not None:
                    return said
        return None


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
    """Everything outside the tree that decides what belongs to it. Two equal ones: the names need not be asked again.

    `folders`: known directories without an ignore file in the tree (theirs may be ignored itself). `old`: the last
    signature; git is asked for its configuration only where a configuration file changed since.
    """
    if work_tree is None:
        return "own:" + _digest([",".join(excludes), *(_stat(root / folder / ".gitignore") for folder in folders)])
    folder = git.git_folder(work_tree) or work_tree / ".git"
    common = git.common_folder(folder)
    home = Path(os.path.expanduser("~"))
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "git"
    config = [common / "config", folder / "config.worktree", home / ".gitconfig", settings / "config"]
    config_state = _digest([*map(_stat, config), _stat(Path("/etc/gitconfig")), str(home)])
    parts = old.split("|", 2)
    if len(parts) == 3 and parts[0] == "git:" + config_state:
        excludes_file = parts[1]
    else:
        said = git.output(["config", "--type=path", "--get", "core.excludesFile"], work_tree) or b""
        excludes_file = os.fsdecode(said.strip()).replace("|", "") or str(settings / "ignore")
    above = [parent / ".gitignore" for parent in root.parents if parent == work_tree or work_tree in parent.parents]
    watched = [folder / "index", common / "info" / "exclude", Path(excludes_file), *above]
    names = (f"{root}/{name}/.gitignore" for name in folders)
    return f"git:{config_state}|{excludes_file}|{_digest([*map(_stat, watched), *map(_stat, names)])}"


def _stat(path: Path | str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(parts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
