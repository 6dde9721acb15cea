"""Folders, files and sockets that belong to this user alone. Standard library only: the pump starts with it.

Tokens go through the socket in `run/`. Whoever could exchange a folder on the way to it could read them, so every folder on
the way must be out of other users' reach (as OpenSSH asks of a home folder). Then nobody else can change what was checked.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import sys
from contextlib import suppress
from pathlib import Path, PurePath

from recollect.errors import Refused

_MOST_LINKS = 40  # on the way to a folder; the kernel's own limit
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PEER_LINUX = struct.Struct("3i")  # struct ucred: pid, uid, gid
_PEER_BSD = struct.Struct("Ii68x")  # struct xucred: version, uid, groups
_LOCAL_PEERCRED = 1  # sys/un.h of macOS and the BSDs
_FIRST_PERSON = 1000  # numbers below are the system's services
_ACCESS_LIST = "system.posix_acl_access"
_ACCESS_VERSION = 4  # bytes before the entries
_ACCESS_ENTRY = struct.Struct("<HHI")  # tag, rights, number: linux/posix_acl_xattr.h
_NAMED_USER, _NAMED_GROUP, _WRITE = 0x02, 0x08, 0x02
_HINT = "Set RECOLLECT_HOME to a folder of your own that only you can write to."


def reachable_folder(path: Path) -> Path:
    """`path`, made if need be, of which no other user can exchange any part.

    Raises:
        Refused: it belongs to somebody else, or others can write to it or to a folder above it.
    """
    current, parts, links = "/", list(path.parts[1:]), 0
    _check_above(current, os.lstat(current))
    while parts:
        part = parts.pop(0)
        if part == "..":
            current = os.path.dirname(current)
            continue
        following = os.path.join(current, part)
        status = _made(following)
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if status.st_uid not in (0, os.geteuid()) or links > _MOST_LINKS:
                raise _refused(f"{following} is a link of another user")
            target = PurePath(os.readlink(following))
            parts[:0] = target.parts[1:] if target.is_absolute() else target.parts
            current = "/" if target.is_absolute() else current
            continue
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(20, "not a folder", following)
        current = following
        _check_above(current, status)
    status = os.lstat(current)
    if status.st_uid != os.geteuid():
        raise _refused(f"{path} belongs to another user (number {status.st_uid})")
    if status.st_mode & stat.S_IWOTH:
        raise _refused(f"other users can write to {path}", f"Look at what is in it, then: chmod go-w '{path}'")
    return path


def private_folder(path: Path) -> Path:
    """`path`, made if need be: no link, of this user, closed to all others. What is above it was checked. Raises Refused."""
    status = _made(os.fspath(path))
    if not stat.S_ISDIR(status.st_mode):
        raise _refused(f"{path} is no folder of its own", f"Remove it: rm '{path}'")
    if status.st_uid != os.geteuid():
        raise _refused(f"{path} belongs to another user (number {status.st_uid})")
    if status.st_mode & _OTHERS_WRITE:
        hint = f"Somebody may have put a socket there. Stop the daemon, then: rm -r '{path}'"
        raise _refused(f"other users can write to {path}", hint)
    if status.st_mode & _OTHERS:
        path.chmod(0o700)
    return path


def open_private(path: Path | str, flags: int) -> int:
    """Descriptor of a file that only this user reads and writes, whatever the umask; created with `os.O_CREAT`.

    Raises:
        Refused: a link, no regular file, or somebody else's.
        OSError: as `os.open`.
    """
    if os.path.islink(path):
        raise _refused(f"{path} is a link", f"Remove it: rm '{path}'")
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise _refused(f"{path} is no file of this user", f"Remove it: rm '{path}'")
        if status.st_mode & _OTHERS:
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def opener(path: str, flags: int) -> int:
    """For the builtin `open`: as `open_private`."""
    return open_private(path, flags)


def check_peer(connection: socket.socket) -> None:
    """Raise Refused unless the process at the other end of a unix socket belongs to this user."""
    uid = _peer_uid(connection)
    if uid is not None and uid != os.geteuid():
        raise _refused(f"the other end of the daemon's socket belongs to another user (number {uid})")


def _peer_uid(connection: socket.socket) -> int | None:
    """None where the system cannot tell."""
    if sys.platform == "linux":
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_LINUX.size)
        return int(_PEER_LINUX.unpack(data)[1])
    if sys.platform == "darwin":
        data = connection.getsockopt(0, _LOCAL_PEERCRED, _PEER_BSD.size)  # SOL_LOCAL
        return int(_PEER_BSD.unpack(data.ljust(_PEER_BSD.size, b"\0"))[1])
    return None


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut: those made, moved and removed until now."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without a notion of it
            raise
    finally:
        os.close(descriptor)


def _made(path: str) -> os.stat_result:
    """Status of a path, itself; a folder for this user alone is made where there is nothing."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        with suppress(FileExistsError):
            Path(path).mkdir(0o700)
            sync_folder(Path(path).parent)
        return os.lstat(path)


def _check_above(path: str, status: os.stat_result) -> None:
    """Raise Refused if another user can exchange what is in a folder."""
    if status.st_uid not in (0, os.geteuid()) and not _is_unmapped(status.st_uid):
        raise _refused(f"{path} belongs to another user (number {status.st_uid})")
    if status.st_mode & stat.S_ISVTX or not status.st_mode & _OTHERS_WRITE:
        return
    if status.st_mode & stat.S_IWOTH or not _is_own_group(status.st_gid) or _has_other_writers(path):
        raise _refused(f"other users can write to {path}", f"{_HINT} Or close it: chmod go-w '{path}'")


def _is_own_group(gid: int) -> bool:
    """Whether nobody else is in a group: the one that most systems make for each user, or root's own.

    Images for containers that run as any number (OpenShift) open home folders to root's group, and have no name for the number.
    """
    import grp
    import pwd

    try:
        group = grp.getgrgid(gid)
        name = _user_name()
    except KeyError:
        return False
    if not set(group.gr_mem) <= {name, "root"}:
        return False
    if gid == 0:  # some systems' services have it as their first group; a person may have it too
        firsts = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid and user.pw_uid >= _FIRST_PERSON}
        return firsts <= {os.geteuid()}
    return group.gr_name == name and pwd.getpwuid(os.geteuid()).pw_gid == gid


def _user_name() -> str:
    """Empty where the number of this user has no name."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def _has_other_writers(path: str) -> bool:
    """Whether a folder's access list lets another user or group write. Its mode shows that as the group's right."""
    if not hasattr(os, "getxattr"):
        return False
    try:
        entries = os.getxattr(path, _ACCESS_LIST, follow_symlinks=False)[_ACCESS_VERSION:]
    except OSError:  # none, or a file system without lists
        return False
    usable = len(entries) - len(entries) % _ACCESS_ENTRY.size
    return any(
        (tag == _NAMED_GROUP or (tag == _NAMED_USER and number not in (0, os.geteuid()))) and rights & _WRITE
        for tag, rights, number in _ACCESS_ENTRY.iter_unpack(entries[:usable])
    )


def _is_unmapped(uid: int) -> bool:
    """Whether a number stands for all users that this user namespace (a container, a sandbox) does not know, root among them."""
    try:
        with open("/proc/self/uid_map") as ranges, open("/proc/sys/kernel/overflowuid") as number:
            return uid == int(number.read()) and ranges.read().split() != ["0", "0", "4294967295"]
    except (OSError, ValueError):
        return False


def _refused(message: str, hint: str = _HINT) -> Refused:
    return Refused(message, hint=hint, code="unsafe_folder")
