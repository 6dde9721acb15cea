"""Linux's inotify, as much of it as watching needs: one descriptor, watches by number, events in order."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import sys
from typing import Final, NamedTuple

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
UNMOUNT: Final = 0x2000
OVERFLOW: Final = 0x4000
IGNORED: Final = 0x8000
ISDIR: Final = 0x40000000
_ONLYDIR: Final = 0x1000000
_DONT_FOLLOW: Final = 0x2000000
_EXCL_UNLINK: Final = 0x4000000
# Writes through a mapping raise no MODIFY; the CLOSE_WRITE of their file comes when it is unmapped.
_CHANGES: Final = (
    MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
) | (_ONLYDIR | _DONT_FOLLOW | _EXCL_UNLINK)
_HEAD: Final = struct.Struct("iIII")
_READ_BYTES: Final = 1 << 18


class Event(NamedTuple):
    watch: int  # -1: the queue overflowed
    mask: int
    name: bytes  # of the entry in the watched directory; empty for the directory itself


class Inotify:
    """Raises OSError where the system has no inotify, or no instance left."""

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError(errno.ENOSYS, "no inotify on this system")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def add(self, folder: bytes) -> int:
        """Watch a directory; the number of its watch, the same as before where it is watched already.

        Raises OSError: ENOSPC is the system's limit, ENOENT and ENOTDIR that it is gone.
        """
        return self._checked(self._libc.inotify_add_watch(self.descriptor, folder, _CHANGES))

    def remove(self, watch: int) -> None:
        """End a watch; one that ended by itself is no error."""
        self._libc.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> list[Event]:
        """Events that wait, oldest first; none where none does."""
        try:
            block = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            return []
        events, at = [], 0
        while at < len(block):
            watch, mask, _, length = _HEAD.unpack_from(block, at)
            at += _HEAD.size
            events.append(Event(watch, mask, block[at : at + length].rstrip(b"\0")))
            at += length
        return events

    def wait(self, timeout_s: float) -> bool:
        """Whether events came within the time. Any number of threads may wait, which one poll object does not allow."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def close(self) -> None:
        os.close(self.descriptor)

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
