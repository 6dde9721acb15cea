"""The one module that runs `git`: safely in repositories that nobody vouches for, with a time limit, without prompts."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from recollect.errors import Unavailable, UserError, without_credentials

# A repository's own configuration must not be able to run programs when we merely look at it.
SAFE: Final = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*")
# Nor may it make us fetch what a partial clone left out: from wherever, by whatever program, it says. (Git 2.45 and newer
# know the second; the first stands above any configuration, in all versions.)
_OFFLINE: Final = {"GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1"}
TIMEOUT_S: Final = 120.0

_starting = threading.Lock()
_running: set[subprocess.Popen[bytes]] = set()
_ended = False


@functools.cache
def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    kept |= {name: os.environ[name] for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM") if name in os.environ}
    return kept | {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


def run(
    arguments: Sequence[str], folder: Path, *, timeout_s: float = TIMEOUT_S, input: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run git in `folder`, without network; the caller looks at the return code. Raises Unavailable: no git, or out of time."""
    command = ["git", *SAFE, *arguments]
    try:
        with _starting:
            if _ended:
                raise Unavailable("Recollect is ending", code="ending")
            git = subprocess.Popen(
                command,
                cwd=folder,
                env=environment() | _OFFLINE,
                stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            _running.add(git)
    except FileNotFoundError as error:
        if not folder.exists():
            raise Unavailable(f"{folder} is gone", code="missing") from error
        raise Unavailable("the program `git` is not installed", code="no_git") from error
    with git:
        try:
            said, complained = git.communicate(input, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"git {arguments[0]} took longer than {timeout_s:.0f} s", code="git_timeout") from error
        finally:
            git.kill()  # unless it has ended
            _running.discard(git)
    return subprocess.CompletedProcess(command, git.returncode, said, complained)


def end() -> None:
    """Kill what still runs, and run nothing more: for a process that ends. A git hangs where its file system does."""
    global _ended
    with _starting:
        _ended = True
        for git in list(_running):
            git.kill()


def output(arguments: Sequence[str], folder: Path, *, timeout_s: float = TIMEOUT_S) -> bytes | None:
    """What git printed, or None where it failed."""
    done = run(arguments, folder, timeout_s=timeout_s)
    return done.stdout if done.returncode == 0 else None


def read(path: str | Path) -> bytes:
    """A file that says something of a repository, without waiting for ever at a pipe by its name. Raises OSError."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        return file.read()


def _said(path: Path) -> str:
    return os.fsdecode(read(path)).strip()


_BARE: Final = re.compile(rb"^\s*bare\s*=\s*true\s*$", re.MULTILINE | re.IGNORECASE)


def is_bare(folder: Path) -> bool:
    """Whether a folder is a repository without files of its own, by itself or by its `.git`."""
    own = git_folder(folder)
    if own is None:
        inside = (folder / "objects").is_dir() and (folder / "refs").is_dir()
        return inside and (folder / "HEAD").is_file()
    if (own / "commondir").exists():
        return False  # of a linked work tree, whose repository may well be bare
    try:
        return _BARE.search(read(own / "config")) is not None
    except OSError:
        return False


def work_tree_root(folder: Path) -> Path | None:
    """Root of the git work tree that holds `folder`, without running git; None outside of one."""
    for candidate in (folder, *folder.parents):
        marker = candidate / ".git"
        if (marker / "HEAD").exists() or marker.is_file():
            return candidate
    return None


def git_folder(root: Path) -> Path | None:
    """The `.git` folder of a work tree root: its own for a linked work tree or a submodule."""
    marker = root / ".git"
    if marker.is_dir():
        return marker
    try:
        text = _said(marker)
    except OSError:
        return None
    return (root / text.removeprefix("gitdir:").strip()).resolve() if text.startswith("gitdir:") else None


def common_folder(git: Path) -> Path:
    """The folder that linked work trees share (configuration, excludes)."""
    try:
        return (git / _said(git / "commondir")).resolve()
    except OSError:
        return git


def shared_folder(root: Path) -> Path | None:
    """The folder that all work trees of the repository at `root` share; None where `root` is no root of one."""
    folder = git_folder(root)
    return common_folder(folder).resolve() if folder is not None else None


def head(folder: Path) -> str | None:
    """Id of the commit that is checked out; None before the first one."""
    found = output(["rev-parse", "--verify", "--quiet", "HEAD"], folder)
    return found.decode().strip() if found else None


def head_quickly(root: Path) -> str | None:
    """`head` of the work tree that holds `root`, from git's files where their form is the usual one."""
    work_tree = work_tree_root(root)
    folder = git_folder(work_tree) if work_tree is not None else None
    if folder is None:
        return None
    try:
        said = _said(folder / "HEAD")
        if not said.startswith("ref: "):
            return said or None
        wanted, common = said.removeprefix("ref: "), common_folder(folder)
        try:
            return _said(common / wanted)
        except FileNotFoundError:
            for line in _said(common / "packed-refs").splitlines():
                if line.endswith(" " + wanted):
                    return line.split(" ")[0]
    except OSError:
        pass
    return head(root)  # another form of storage, or nothing committed yet


def remote_url(folder: Path) -> str | None:
    """URL of the first remote, without credentials."""
    names = (output(["remote"], folder) or b"").decode(errors="replace").split()
    if not names:
        return None
    name = "origin" if "origin" in names else names[0]
    url = (output(["remote", "get-url", name], folder) or b"").decode(errors="replace").strip()
    if url == name:
        return None  # what git says where there is no URL
    return without_credentials(url) or None


def repository_name(folder: Path, url: str | None) -> str:
    """From the first remote, unless that is a place on this disk; else the folder."""
    url = None if url is not None and url.startswith(("/", ".", "~", "file:")) else url
    last = (url or "").rstrip("/").removesuffix(".git").replace(":", "/").rpartition("/")[2]
    chosen = last or folder.name or "root"
    return chosen.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def place(root: Path) -> str | None:
    """What stays the same of a work tree that is moved on its disk, and is another one's for no other."""
    marker = root / ".git"
    try:
        found = os.stat(marker)
        born = os.stat(marker / "description" if marker.is_dir() else marker)  # written once, when git made it
    except OSError:
        return None
    return f"{found.st_dev}:{found.st_ino}:{born.st_ino}:{born.st_mtime_ns}"


def repository_type(folder: Path) -> str:
    """git | svn | mercurial | unknown."""
    if work_tree_root(folder) is not None:
        return "git"
    for marker, kind in ((".hg", "mercurial"), (".svn", "svn")):
        if any((place / marker).is_dir() for place in (folder, *folder.parents)):
            return kind
    return "unknown"


def changed_since(folder: Path, revision: str) -> set[str]:
    """Paths below `folder`, relative to it, that differ from `revision`: committed, not committed, or untracked.

    Raises:
        UserError: no such revision, or not a git work tree.
    """
    if revision.startswith("-") or not revision.strip() or "\0" in revision:
        raise UserError(f"not a revision: {revision!r}", code="unknown_revision")
    if work_tree_root(folder) is None:
        raise UserError(f"{folder} is not a git repository: nothing to compare a revision with", code="no_history")
    commit = output(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"], folder)
    if commit is None:
        raise UserError(f"unknown revision: {revision}", hint="A commit, branch or tag.", code="unknown_revision")
    commands = (
        [
            "diff",
            "--name-only",
            "--relative",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "-z",
            commit.decode().strip(),
            "--",
            ".",
        ],
        ["ls-files", "-z", "-o", "--exclude-standard"],
    )
    return {os.fsdecode(name) for command in commands for name in (output(command, folder) or b"").split(b"\0") if name}
