"""Open what lies below a folder, and nothing else: the folder is opened once, and no link is followed below it.

Whatever is exchanged for a link meanwhile, at whatever level, cannot lead outside: an open fails instead (ELOOP, ENOTDIR).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import stat as stats
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from recollect.errors import Refused
from recollect.sync import disk

LONGEST_PATH: Final = 4095  # bytes of an absolute path that the system still takes
MOST_BYTES: Final = 1_000_000  # of a small file that says something of a repository
_MOST_LINKS: Final = 40  # followed one after another, as by the kernel
_OPENAT2: Final = 437  # number of the system call, on all of Linux's architectures that we are built for
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_PATH_ONLY: Final = getattr(os, "O_PATH", os.O_RDONLY)
_FOLDER: Final = _PATH_ONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe is not waited for


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Root:
    """A folder, open. Relative paths are plain: no `..`, not absolute, `""` for the folder itself. Thread-safe."""

    def __init__(self, path: str | Path) -> None:
        """Raises OSError: not there, no folder, or a link leads to it (ELOOP, ENOTDIR)."""
        self.path = os.fspath(path)
        self.longest = LONGEST_PATH - len(os.fsencode(self.path)) - 1  # bytes of a path below
        self._descriptor = _open_without_links(self.path)
        found = os.fstat(self._descriptor)
        self.identity = found.st_dev, found.st_ino

    def is_still_there(self) -> bool:
        """Whether its path leads to this very folder. Raises OSError where that cannot be told."""
        try:
            descriptor = _open_without_links(self.path)
        except OSError as error:
            if error.errno in disk.ABSENT:
                return False
            raise
        try:
            return os.path.samestat(os.fstat(descriptor), os.fstat(self._descriptor))
        finally:
            os.close(descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def open(self, path: str, flags: int = _FILE) -> int:
        """A descriptor of `path`. Raises OSError."""
        name = os.fsencode(path or ".")
        if len(name) > self.longest:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        if name.startswith(b"/") or (b".." in name and b".." in name.split(b"/")):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        return _opener()(self._descriptor, name, flags)

    def open_folder(self, path: str) -> int:
        """A descriptor of a folder, for `dir_fd` and `names`. Raises OSError."""
        return self.open(path, _FOLDER)

    @contextmanager
    def folder(self, path: str) -> Iterator[int]:
        """Likewise, for a while."""
        descriptor = self.open(path, _FOLDER)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def lstat(self, path: str) -> os.stat_result | None:
        """The stat of `path` itself, be it a link; None where it is not there or cannot be reached."""
        try:
            return self.stat(path)
        except OSError:
            return None

    def stat(self, path: str) -> os.stat_result:
        """Likewise. Raises OSError."""
        folder, _, name = path.rpartition("/")
        with self.folder(folder) as descriptor:
            return os.stat(name or ".", dir_fd=descriptor, follow_symlinks=False)

    def is_folder(self, path: str) -> bool:
        found = self.lstat(path)
        return found is not None and stats.S_ISDIR(found.st_mode)

    def exists(self, path: str) -> bool:
        return self.lstat(path) is not None

    def open_file(self, path: str) -> tuple[int, os.stat_result]:
        """A descriptor of a regular file, and its stat. Raises OSError: gone, a link, a folder, a device …"""
        return _regular(self.open(path), path)

    def read(self, path: str) -> bytes:
        """The first bytes of a regular file. Raises OSError."""
        folder, _, name = path.rpartition("/")
        with self.folder(folder) as at:
            return read_at(at, name)

    def without_links(self, path: str) -> str:
        """The path that `path` leads to when the links on its way are followed, as far as they stay below the root.

        What is not there is taken as it is. Raises Refused: a link leads outside.
        """
        waiting = [name for name in reversed(path.split("/")) if name not in ("", ".")]
        walked: list[str] = []
        links = 0
        while waiting:
            name = waiting.pop()
            if name == "..":
                if not walked:
                    raise self._outside(path)
                walked.pop()
                continue
            target = self._target("/".join([*walked, name]))
            if target is None:
                walked.append(name)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise self._outside(path)
            if target.startswith("/"):
                inside = _relative(target, self.path)
                if inside is None:
                    raise self._outside(path)
                walked, target = [], inside
            waiting += [name for name in reversed(target.split("/")) if name not in ("", ".")]
        return "/".join(walked)

    def _target(self, path: str) -> str | None:
        """Where a link points to; None where it is none."""
        folder, _, name = path.rpartition("/")
        try:
            with self.folder(folder) as descriptor:
                return os.readlink(name, dir_fd=descriptor)
        except OSError:
            return None

    @staticmethod
    def _outside(path: str) -> Refused:
        hint = "Only files of the repository can be read."
        return Refused(f"{path} leads outside of its repository", hint=hint, code="outside")


def names(folder: int) -> list[os.DirEntry[str]]:
    """What a folder (a descriptor of it) holds; the entries can be asked for what they are while it is open."""
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        with os.scandir(readable) as listing:
            return list(listing)
    finally:
        os.close(readable)


def is_folder(entry: os.DirEntry[str], folder: int) -> bool:
    """Whether an entry of `names(folder)` is a folder, and no link to one."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # the file system does not say so in its listing, and that is closed
        try:
            return stats.S_ISDIR(os.stat(entry.name, dir_fd=folder, follow_symlinks=False).st_mode)
        except OSError:
            return False


def read_at(folder: int, name: str) -> bytes:
    """The first bytes of a regular file in a folder (a descriptor of it). Raises OSError."""
    descriptor, _ = _regular(os.open(name, _FILE, dir_fd=folder), name)
    try:
        return read_up_to(descriptor, MOST_BYTES)
    finally:
        os.close(descriptor)


def _regular(descriptor: int, path: str) -> tuple[int, os.stat_result]:
    found = os.fstat(descriptor)
    if stats.S_ISREG(found.st_mode):
        return descriptor, found
    os.close(descriptor)
    kind = errno.EISDIR if stats.S_ISDIR(found.st_mode) else errno.EINVAL
    raise OSError(kind, os.strerror(kind), path)


def read_up_to(descriptor: int, most: int) -> bytes:
    """At most so many bytes from where a descriptor is."""
    parts: list[bytes] = []
    left = most
    while left > 0:
        part = os.read(descriptor, min(left, 1 << 20))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def is_itself(path: str | Path) -> bool:
    """Whether a folder lies at `path`, and no link, there or above, leads to it. Raises Unavailable where that cannot be told."""
    try:
        os.close(_open_without_links(os.fspath(path)))
    except OSError as error:
        if error.errno in disk.ABSENT:
            return False
        raise disk.unavailable(path, error) from error
    return True


def problem_of(path: str | Path) -> str | None:
    """Why there is no folder at `path` to be read, as a sentence; None where there is one."""
    try:
        os.close(_open_without_links(os.fspath(path)))
    except OSError as error:
        real = os.path.realpath(path)
        if real != os.fspath(path):
            return f"{path} is no longer a folder of its own: a link leads to {real}"
        return f"{path}: {error.strerror}"
    return None


def _open_without_links(path: str) -> int:
    """A descriptor of the folder at an absolute path."""
    if sys.platform.startswith("linux") and _opener() is _by_openat2:
        return _by_openat2(-100, os.fsencode(path), _FOLDER, _NO_SYMLINKS | _NO_MAGICLINKS)  # -100: AT_FDCWD
    top = os.open("/", _FOLDER)
    try:
        return _by_components(top, os.fsencode(os.path.abspath(path)).strip(b"/") or b".", _FOLDER)
    finally:
        os.close(top)


def _relative(path: str, folder: str) -> str | None:
    """`path` relative to the folder that holds it; None where it does not."""
    if path == folder:
        return ""
    start = folder.rstrip("/") + "/"
    return path[len(start) :] if path.startswith(start) else None


@functools.cache
def _opener() -> Callable[[int, bytes, int], int]:
    """How files are opened here: the system call may be missing, or forbidden (seccomp in a container)."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            os.close(_by_openat2(-100, b"/", _FOLDER, _NO_SYMLINKS))
            return _by_openat2
    return _by_components


@functools.cache
def _syscall() -> Callable[..., int]:
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_How), ctypes.c_size_t]
    # A pointer that is made once serves all calls: making one takes as long as the call itself.
    return function


@functools.cache
def _how(flags: int, resolve: int) -> Any:
    """The system call's argument, which it only reads."""
    return ctypes.pointer(_How(flags, 0, resolve))


def _by_openat2(folder: int, path: bytes, flags: int, resolve: int = _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS) -> int:
    how, call = _how(flags, resolve), _syscall()
    for _ in range(16):
        descriptor = call(_OPENAT2, folder, path, how, 24)
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number not in (errno.EINTR, errno.EAGAIN):  # something was renamed meanwhile
            break
    raise OSError(number, os.strerror(number), os.fsdecode(path))


def _by_components(folder: int, path: bytes, flags: int) -> int:
    """The same, one name after another."""
    *above, last = path.rstrip(b"/").split(b"/")
    opened = folder
    try:
        for name in above:
            below = os.open(name, _FOLDER, dir_fd=opened)
            if opened != folder:
                os.close(opened)
            opened = below
        return os.open(last, flags | os.O_NOFOLLOW, dir_fd=opened)
    finally:
        if opened != folder:
            os.close(opened)
