"""Files that are read where they lie, in memory, and may be written to while they are."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from recollect.errors import Corrupt
from recollect.index import packing


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe in its place is never waited for


class MappedFile:
    """A file of one packed block, mapped into memory; what is written to it by others shows there at once."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, ValueError (it is empty)."""
        with open(path, "rb", opener=_without_waiting) as file:
            self._path = path
            self._version = _version(os.fstat(file.fileno()))
            self.contents = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)

    def check(self) -> None:
        """Verify the checksum again if the file was written to since. Raises Corrupt. Costs a look at its stat."""
        try:
            version = _version(os.stat(self._path))
        except FileNotFoundError:
            return  # merged into another; this one is there as long as it is mapped
        if version != self._version:
            if version[:2] != self._version[:2] or version[2] < len(self.contents):
                raise Corrupt(f"segment {self._path.name} is another file now")
            packing.unpack(self.contents)
            self._version = version


def _version(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
