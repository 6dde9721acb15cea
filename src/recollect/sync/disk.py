"""What a path is, with defined behaviour where the file system refuses to say.

`pathlib` lets some errors of a look through as exceptions and swallows others, differently in each Python version.
"""

from __future__ import annotations

import errno
import os
import stat as stats
from typing import Final

from recollect.errors import Unavailable

# There is nothing of that name. Any other error says nothing about whether something is there.
ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
# Of this process or machine, whatever path was asked for: no fault of a repository.
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM})

Path = str | os.PathLike[str]


def exists(path: Path) -> bool:
    """Whether something is there, links followed. Raises Unavailable where that cannot be told."""
    return _mode(path) is not None


def is_folder(path: Path) -> bool:
    """Whether a directory is there, links followed. Raises Unavailable where that cannot be told."""
    mode = _mode(path)
    return mode is not None and stats.S_ISDIR(mode)


def is_file(path: Path) -> bool:
    """Whether a regular file is there, links followed. Raises Unavailable where that cannot be told."""
    mode = _mode(path)
    return mode is not None and stats.S_ISREG(mode)


def check_listable(folder: Path) -> None:
    """Raise Unavailable where the names in a folder cannot be read ("missing": it is not there)."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise unavailable(folder, error) from error


def unavailable(path: Path, error: OSError) -> Unavailable:
    """What a failed look at `path` means: "missing", "unreadable", or "exhausted" (our own fault)."""
    said = f"{os.fspath(path)}: {error.strerror or error}".encode("utf-8", "backslashreplace").decode()
    if error.errno in EXHAUSTED:
        hint = "Recollect or the machine has no descriptor or no memory left: recollect daemon restart"
        return Unavailable(said, hint=hint, code="exhausted")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Unavailable(said, hint="Bring the folder back, or name another one.", code="missing")
    denied = error.errno in _DENIED
    hint = "Make it readable for this user." if denied else "See whether the file system it lies on is in order."
    return Unavailable(said, hint=hint, code="unreadable")


def _mode(path: Path) -> int | None:
    try:
        return os.stat(path).st_mode
    except ValueError:  # a NUL byte
        return None
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise unavailable(path, error) from error
