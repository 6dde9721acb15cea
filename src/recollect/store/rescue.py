"""What becomes of a database that is damaged: it is set aside, never deleted, and a new one made of what can be had of it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recollect.errors import Corrupt
from recollect.store import log, pages

BESIDE: Final = ("-wal", "-shm", "-journal")  # files of SQLite's own beside a database
_PAGE_BYTES: Final = 4096
_BITS: Final = 2 ** np.arange(32, dtype=np.uint64)


def aside_of(path: Path) -> Path:
    """Where a damaged database goes: `name.damaged-TIME.db` beside it, a name that nothing has."""
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1_000_000:06d}"
    return path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")


def set_aside(path: Path) -> Path:
    """Rename whatever is there, with its log, so that a new database can be begun; where it is now. Raises OSError.

    Nobody may have it open.
    """
    aside = aside_of(path)
    set_log_aside(path, aside)
    path.rename(aside)
    return aside


def set_log_aside(path: Path, aside: Path) -> None:
    """Rename what belongs to a database, before it: its log would be played into whatever is begun in its place."""
    for suffix in BESIDE:
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")


def refill(aside: Path, path: Path, schema: str, version: int, tables: Sequence[str]) -> bool:
    """Make a database anew from one that was set aside: from its pages, whose wrong bits are mended where one is wrong in a
    page, else row by row. Returns whether all of it could be had.
    """
    try:
        pages.check_kind(aside)
    except Corrupt:  # nothing can be had of a folder, and a pipe is never read to its end
        pages.make(path, schema, version)
        return False
    work = path.with_name(f"{path.name}.rescue")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{work}{suffix}").unlink(missing_ok=True)
    data = bytearray(aside.read_bytes())
    whole = mend(data) and not log.is_damaged(aside)
    with open(work, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
    with suppress(FileNotFoundError):
        shutil.copyfile(f"{aside}-wal", f"{work}-wal")
    pages.make(path, schema, version)
    with closing(pages.connect(path, version, writing=True)) as new:
        new.execute("BEGIN")
        for table in tables:
            whole &= _copy_rows(work, new, table)
        new.execute("COMMIT")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{work}{suffix}").unlink(missing_ok=True)
    return whole


def _copy_rows(work: Path, new: pages.Connection, table: str) -> bool:
    """Copy the rows that can be read, from either end; whether those were all."""
    names = [row[1] for row in new.execute(f"PRAGMA table_info({table})").fetchall()]
    order = "rowid" if table != "usage" else "day"  # which has no rowid
    whole = True
    for direction in ("ASC", "DESC"):
        try:
            with closing(pages.look(work)) as old:
                there = {row[1] for row in old.execute(f"PRAGMA table_info({table})").fetchall()}
                shared = [name for name in names if name in there]  # an older version has fewer
                columns, marks = ", ".join(shared), ", ".join("?" * len(shared))
                rows: Iterator[Any] = iter(old.execute(f"SELECT {columns} FROM {table} ORDER BY {order} {direction}"))
                for row in rows:
                    with suppress(pages.Error):  # a row that cannot be one
                        new.execute(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", row)
                return whole
        except (pages.Error, UnicodeDecodeError, MemoryError):
            whole = False
    return whole


def mend(data: bytearray) -> bool:
    """Correct one wrong bit in each page of a database, where a page has one; whether all pages are right then.

    The checksum of a page is linear in its words, so a wrong bit shifts it by a difference that says which bit it was.
    """
    table = np.frombuffer(data, np.uint8)[: len(data) // _PAGE_BYTES * _PAGE_BYTES].reshape(-1, _PAGE_BYTES)
    words = table.view("<u4")
    right = len(data) % _PAGE_BYTES == 0
    for number, state in enumerate(log.checksums(words[:, :-2].astype(np.uint32))):
        stored = (int(words[number, -2]), int(words[number, -1]))
        if state != stored:
            right &= _mend_page(words[number], state, stored)
    return right


def _mend_page(words: NDArray[np.uint32], state: tuple[int, int], stored: tuple[int, int]) -> bool:
    wrong = [(one ^ other).bit_count() for one, other in zip(state, stored, strict=True)]
    if sum(wrong) == 1:  # a bit of the checksum itself
        words[-2:] = state
        return True
    of_words = log.weights(len(words) // 2 - 1)[0].astype(np.uint64)
    shift = (np.array(stored, np.uint64) - np.array(state, np.uint64)) & np.uint64(0xFFFFFFFF)
    candidates = []
    for sign in (1, -1):
        target = (shift if sign > 0 else ~shift + np.uint64(1)) & np.uint64(0xFFFFFFFF)
        moved = (of_words[:, None, :] * _BITS[None, :, None]) & np.uint64(0xFFFFFFFF)
        for place, bit in np.argwhere((moved == target).all(axis=2)).tolist():
            is_set = bool(int(words[place]) >> bit & 1)
            if is_set == (sign < 0):  # it was set by mistake, or cleared
                candidates.append((place, bit))
    if len(candidates) != 1:  # of a word's highest bits, several shift the sums alike
        return False
    ((place, bit),) = candidates
    words[place] ^= np.uint32(1 << bit)
    return True
