"""Run programs so that all they write below one folder is recorded in order, and read that record."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

_SOURCE = Path(__file__).with_name("record.c")
_HEAD = struct.Struct("=IIQQqII")  # `struct record`


class Kind(IntEnum):
    """What a record is of; the numbers are those of `record.c`."""

    WRITE = 1
    TRUNCATE = 2
    SYNC_BEGIN = 3
    SYNC_END = 4
    LINK = 5
    UNLINK = 6
    RENAME = 7
    UNSUPPORTED = 8


class Record(NamedTuple):
    """One operation. `inode`: of the file, or of the folder for LINK, UNLINK and RENAME.

    `other`: inode of what was linked, or of the folder a name moved to. `offset` in bytes for WRITE, the new size
    for TRUNCATE, a number that pairs SYNC_BEGIN with SYNC_END, 1 for a LINK of a folder. `name`: path below the
    root, or the name within the folder. `data`: what was written; the new name for RENAME.
    """

    kind: Kind
    inode: int
    other: int
    offset: int
    name: bytes
    data: bytes


def compiler() -> str | None:
    """The C compiler that builds the recorder; None where there is none."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build_recorder(folder: Path) -> Path:
    """Compile `record.c` into `folder`. Raises subprocess.CalledProcessError."""
    library = folder / "record.so"
    command = [compiler() or "cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


def environment(library: Path, root: Path, log: Path) -> dict[str, str]:
    """Variables that have a process and its children record what they write below `root`."""
    return {"LD_PRELOAD": str(library), "POWER_CUT_ROOT": os.path.realpath(root), "POWER_CUT_LOG": str(log)}


def read(log: Path) -> Iterator[Record]:
    """All records in order. Raises ValueError: the recorder met what it cannot record."""
    with open(log, "rb") as file:
        while head := file.read(_HEAD.size):
            length, kind, inode, other, offset, name_length, data_length = _HEAD.unpack(head)
            body = file.read(length - _HEAD.size)
            record = Record(Kind(kind), inode, other, offset, body[:name_length], body[name_length:])
            if len(record.data) != data_length:
                raise ValueError("the record ends in the middle")
            if record.kind is Kind.UNSUPPORTED:
                raise ValueError(f"not recorded: a shared mapping or a rename out of the folder: {record.name!r}")
            if not record.name.endswith(b"-shm"):  # of SQLite's readers: made anew after a restart
                yield record
