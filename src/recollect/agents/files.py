"""Somebody's configuration files on disk: read whole, written whole, links and modes kept. What is odd is refused by name."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from recollect.errors import UserError

LONGEST: Final = 32_000_000  # bytes; an agent's settings have some thousand
_NOT_REPLACEABLE: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)  # EBUSY: it is a mount of its own


def read(path: Path) -> str | None:
    """The text of a file, None where there is none. Raises UserError, with what is wrong in a few words."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        _check_link(path)
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise _refused("there is a folder of this name")
        if not stat.S_ISREG(status.st_mode):
            raise _refused("it is not a file but a device or a pipe")
        if status.st_size > LONGEST:
            raise _refused(f"it has {status.st_size / 1e6:.0f} MB; files above {LONGEST / 1e6:.0f} MB are not changed")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        kind = "it is UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else f"byte {error.start} is not UTF-8"
        raise _refused(f"{kind}; save it as UTF-8") from error


def check_unchanged(path: Path, before: str | None) -> None:
    """Raises UserError where a file is not any longer what a plan was made for."""
    if read(path) != before:
        raise UserError(
            "it was changed meanwhile; run the command again", hint="Run it again.", code="changed_meanwhile"
        )


def check_writable(path: Path) -> None:
    """Raises UserError where a file is protected, or its folder, even from one who could overrule that."""
    target = Path(os.path.realpath(path))
    if target.exists():
        if not stat.S_IMODE(target.stat().st_mode) & 0o222 or not os.access(target, os.W_OK):
            raise _refused("it is read-only")
        return
    folder = target.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise _refused(f"{folder} is not a folder")
    if not stat.S_IMODE(folder.stat().st_mode) & 0o222 or not os.access(folder, os.W_OK | os.X_OK):
        raise _refused(f"the folder {folder} is read-only")


def write(path: Path, text: str | None) -> None:
    """Replace a file whole, or remove it; where it is a link, what that leads to; its mode and owner stay."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():  # a link to /dev/null, say
        raise _refused(f"{path} is not a file")
    try:
        if text is None:
            target.unlink(missing_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        status = target.stat() if target.exists() else None
        if status is not None and status.st_nlink > 1:
            _write_in_place(target, text)  # its other names keep what is written
            return
        try:
            _replace(target, text, status)
        except OSError as error:
            if status is None or error.errno not in _NOT_REPLACEABLE:
                raise
            _write_in_place(target, text)
    except OSError as error:
        raise _refused(f"it cannot be written: {error.strerror}") from error


def missing_folders(path: Path) -> list[str]:
    """The folders that writing a file would make, the outermost first."""
    missing = []
    folder = Path(os.path.realpath(path)).parent
    while not folder.exists():
        missing.append(str(folder))
        folder = folder.parent
    return missing[::-1]


def remove_folders(folders: Sequence[str]) -> None:
    """Remove those that are empty, the innermost first."""
    for folder in reversed(folders):
        with suppress(OSError):
            Path(folder).rmdir()


def _replace(target: Path, text: str, status: os.stat_result | None) -> None:
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            if status is not None and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode) if status is not None else 0o600)
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _write_in_place(target: Path, text: str) -> None:
    with open(target, "r+b") as file:
        file.write(text.encode())
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _check_link(path: Path) -> None:
    """A link to a file that is not there yet is written through; not one to a folder that is not there."""
    target = Path(os.path.realpath(path))
    if path.is_symlink() and not target.parent.is_dir():
        raise _refused(f"it is a link to {target}, whose folder is not there")


def _unreadable(path: Path, error: OSError) -> UserError:
    if error.errno == errno.ENOTDIR:
        file = next((str(folder) for folder in path.parents if folder.is_file()), str(path.parent))
        return _refused(f"{file} is a file where a folder should be")
    return _refused(f"it cannot be read: {error.strerror}")


def _refused(message: str) -> UserError:
    return UserError(message, code="unusable_configuration")
