"""What git knows of a repository: by its reading commands (`git_process` runs them), or from its files where that does."""

from __future__ import annotations

import errno
import os
import re
import stat as stats
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from recollect.errors import RecollectError, Unavailable, without_credentials
from recollect.sync import disk, git_process
from recollect.sync.git_process import TIMEOUT_S, end, environment

__all__ = ["end", "environment"]

MAX_READ_BYTES: Final = 64_000_000  # of a file of git's own
_ID: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def run(
    arguments: Sequence[str], folder: Path, *, timeout_s: float = TIMEOUT_S, input: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a reading command in `folder`, without network; the caller looks at the return code.

    Raises:
        Refused: the repository belongs to another user ("dubious_ownership"). Unavailable: no git, or out of time.
    """
    return git_process.run(arguments, folder, work_tree_root(folder), timeout_s=timeout_s, input=input)


def output(arguments: Sequence[str], folder: Path, *, timeout_s: float = TIMEOUT_S) -> bytes | None:
    """What git printed, or None where it failed. Raises as `run` does."""
    done = run(arguments, folder, timeout_s=timeout_s)
    return done.stdout if done.returncode == 0 else None


def check_owner(work_tree: Path) -> None:
    """Raise Refused where a work tree belongs to another user and git does not open it; git is asked only then."""
    for path in (work_tree, work_tree / ".git"):
        try:
            if os.lstat(path).st_uid != os.geteuid():
                run(["rev-parse", "--git-dir"], work_tree)
                return
        except OSError:
            return


def read(path: str | Path) -> bytes:
    """A file that says something of a repository, never a pipe, a device or one without end. Raises OSError."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        found = os.fstat(file.fileno())
        if not stats.S_ISREG(found.st_mode) or found.st_size > MAX_READ_BYTES:
            raise OSError(errno.EFBIG, "no file of a usual size", os.fspath(path))
        return file.read(MAX_READ_BYTES)


def _said(path: Path) -> str:
    return os.fsdecode(read(path)).strip()


_BARE: Final = re.compile(rb"^\s*bare\s*=\s*true\s*$", re.MULTILINE | re.IGNORECASE)


def is_bare(folder: Path) -> bool:
    """Whether a folder is a repository without files of its own, by itself or by its `.git`."""
    own = git_folder(folder)
    if own is None:
        inside = os.path.isdir(folder / "objects") and os.path.isdir(folder / "refs")
        return inside and os.path.isfile(folder / "HEAD")
    if os.path.exists(own / "commondir"):
        return False  # of a linked work tree, whose repository may well be bare
    try:
        return _BARE.search(read(own / "config")) is not None
    except OSError:
        return False


def work_tree_root(folder: Path) -> Path | None:
    """Root of the git work tree that holds `folder`, without running git; None outside of one.

    Raises Unavailable where that cannot be told: a repository taken for a plain folder would lose its ignore rules.
    """
    for candidate in (folder, *folder.parents):
        marker = candidate / ".git"
        try:
            if disk.exists(marker / "HEAD") or disk.is_file(marker):
                return candidate
        except Unavailable:
            if candidate == folder or _is_ours(marker):
                raise  # a stranger's `.git` in a shared folder above, closed to us, holds no work tree of ours
    return None


def _is_ours(marker: Path) -> bool:
    try:
        return os.stat(marker).st_uid == os.geteuid()
    except OSError:
        return True


def git_folder(root: Path) -> Path | None:
    """The `.git` folder of a work tree root: its own for a linked work tree or a submodule."""
    marker = root / ".git"
    if os.path.isdir(marker):
        return marker
    try:
        text = _said(marker)
    except OSError:
        return None
    return _real(root / text.removeprefix("gitdir:").strip()) if text.startswith("gitdir:") else None


def common_folder(git: Path) -> Path:
    """The folder that linked work trees share (configuration, excludes)."""
    try:
        return _real(git / _said(git / "commondir"))
    except OSError:
        return git


def _real(path: Path) -> Path:
    """`path` without links: `Path.resolve` raises RuntimeError at a circle of them before Python 3.13."""
    return Path(os.path.realpath(path))


def shared_folder(root: Path) -> Path | None:
    """The folder that all work trees of the repository at `root` share; None where `root` is no root of one."""
    folder = git_folder(root)
    return _real(common_folder(folder)) if folder is not None else None


def head(folder: Path) -> str | None:
    """Id of the commit that is checked out; None before the first one."""
    found = output(["rev-parse", "--verify", "--quiet", "HEAD"], folder)
    return found.decode().strip() if found else None


def head_quickly(root: Path) -> str | None:
    """`head` of the work tree that holds `root`, from git's files where their form is the usual one.

    None also where git does not open the repository: whoever only wants to know whether it moved need not fail.
    Raises Unavailable where the folder cannot be looked at.
    """
    work_tree = work_tree_root(root)
    if work_tree is None:
        return None
    try:
        return head_in_files(work_tree) or head(root)  # another form of storage, or nothing committed yet
    except RecollectError:
        return None


def head_in_files(work_tree: Path) -> str | None:
    """The commit that is checked out at a work tree's root, from git's files alone; None where they do not tell.

    They say which file comes next, and are not believed: only refs are read, and only ids are returned.
    """
    folder = git_folder(work_tree)
    if folder is None:
        return None
    try:
        text = _said(folder / "HEAD")
        if not text.startswith("ref: "):
            return text if _ID.fullmatch(text) else None
        ref, common = text.removeprefix("ref: "), common_folder(folder)
        if not ref.startswith("refs/") or ".." in ref or "\0" in ref:
            return None
        try:
            text = _said(common / ref)
        except FileNotFoundError:
            lines = _said(common / "packed-refs").splitlines()
            text = next((line.split(" ")[0] for line in lines if line.endswith(" " + ref)), "")
    except OSError:
        return None
    return text if _ID.fullmatch(text) else None


def remote_url(folder: Path) -> str | None:
    """URL of the first remote, without credentials. Raises as `run` does."""
    if work_tree_root(folder) != folder:
        return _bare_remote_url(folder)
    names = (output(["remote"], folder) or b"").decode(errors="replace").split()
    if not names:
        return None
    name = "origin" if "origin" in names else names[0]
    url = (output(["remote", "get-url", name], folder) or b"").decode(errors="replace").strip()
    if url == name:
        return None  # what git says where there is no URL
    return without_credentials(url) or None


def _bare_remote_url(folder: Path) -> str | None:
    """The same of a bare repository: of its configuration file alone, for git need not open it."""
    arguments = ["config", "--file", f"{folder}/config", "--no-includes", "-z", "--get-regexp", r"^remote\..*\.url$"]
    said = git_process.run(arguments, folder, None).stdout.decode(errors="replace")
    urls = dict(part.partition("\n")[::2] for part in reversed(said.split("\0")) if part)
    url = urls.get("remote.origin.url") or next(reversed(urls.values()), None)
    return without_credentials(url) or None if url else None


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
        born = os.stat(marker / "description" if os.path.isdir(marker) else marker)  # written once, when git made it
    except OSError:
        return None
    return f"{found.st_dev}:{found.st_ino}:{born.st_ino}:{born.st_mtime_ns}"


def repository_type(folder: Path) -> str:
    """git | svn | mercurial | unknown."""
    if work_tree_root(folder) is not None:
        return "git"
    for marker, kind in ((".hg", "mercurial"), (".svn", "svn")):
        if any(os.path.isdir(place / marker) for place in (folder, *folder.parents)):
            return kind
    return "unknown"
