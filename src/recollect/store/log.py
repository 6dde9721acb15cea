"""Whether SQLite would take a write-ahead log for shorter than it is.

Each frame of a log carries a checksum over all frames before it; whoever opens the database first reads as many as are right
and ignores the others without a word. That is what a power cut asks for, for what was not yet safe on the disk. But where
one of them is damaged later, commits vanish, and pages that were already moved into the database are read as the log's older
copies beside newer ones: a mixture that no checksum of a page can tell. (https://sqlite.org/fileformat2.html#walformat)
"""

from __future__ import annotations

import os
import struct
import threading
import time
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

_HEADER: Final = struct.Struct(">8I")  # magic, version, page size, sequence, two salts, two checksums
_MAGIC: Final = 0x377F0682  # its last bit: checksums are of big-endian words
_FRAME_HEADER: Final = 24  # bytes: page, size of the database after a commit, two salts, two checksums
_AT_ONCE: Final = 1000  # frames
_LOOKS: Final = 5  # at a log that somebody may be writing to
_LOOKS_AT_END: Final = (
    100  # where the last frame alone is wrong: its writer may be held up between its head and its page
)
_PAUSE_S: Final = 0.02
_MASK: Final = 0xFFFFFFFF
Words = NDArray[np.uint32]

_sound: dict[str, tuple[int, int, int]] = {}  # log → (inode, size, mtime) of when it was found whole
_lock = threading.Lock()


def is_damaged(database: Path) -> bool:
    """Whether commits stand in the log of a database behind a frame that is not as it was written."""
    path = f"{database}-wal"
    looks = 0
    while True:
        try:
            with open(path, "rb") as file:
                found = os.fstat(file.fileno())
                version = (found.st_ino, found.st_size, found.st_mtime_ns)
                with _lock:
                    if _sound.get(path) == version:
                        return False
                log = np.fromfile(file, np.uint8)
        except FileNotFoundError:
            return False
        behind = _commits_behind_damage(log)
        if not behind:
            with _lock:
                _sound[path] = version
            return False
        looks += 1
        if looks >= (_LOOKS_AT_END if behind == 1 else _LOOKS):
            return True
        time.sleep(_PAUSE_S)


def _commits_behind_damage(log: NDArray[np.uint8]) -> int:
    """How many commits cannot be reached, the one that is itself damaged included."""
    if len(log) < _HEADER.size:
        return 0  # nothing was ever written to it
    magic, _, page_size, _, *salts, first, second = _HEADER.unpack(log[: _HEADER.size].tobytes())
    order = ">" if magic & 1 else "<"
    state = _chained(log[:24].view(f"{order}u4").reshape(1, -1).astype(np.uint32), (0, 0))[0]
    if magic & ~1 != _MAGIC or state != (first, second):
        return 2
    size = _FRAME_HEADER + page_size
    frames = log[_HEADER.size :][: (len(log) - _HEADER.size) // size * size].reshape(-1, size)
    heads = frames[:, :_FRAME_HEADER].copy().view(">u4").astype(np.uint32)
    differing = np.bitwise_count(heads[:, 2:4] ^ np.array(salts, np.uint32)).sum(axis=1)
    later = np.flatnonzero((differing <= 1) & (heads[:, 1] != 0))  # commits of this log, even if a bit of that is wrong
    if not len(later):
        return 0
    for start in range(0, int(later[-1]) + 1, _AT_ONCE):
        some = slice(start, min(start + _AT_ONCE, int(later[-1]) + 1))
        payload = np.concatenate((frames[some, :8], frames[some, _FRAME_HEADER:]), axis=1)
        found = _chained(payload.view(f"{order}u4").astype(np.uint32), state)
        right = (heads[some, 4:6] == np.array(found, np.uint32)).all(axis=1) & (differing[some] == 0)
        if not right.all():
            return int((later >= start + int(right.argmin())).sum())
        state = found[-1]
    return 0


def _chained(words: Words, state: tuple[int, int]) -> list[tuple[int, int]]:
    """SQLite's checksum after each row of `words` (an even number in each), from `state` on.

    A step takes two words: `s0 += x + s1; s1 += y + s0`. It is linear, so all rows are summed at once and only their
    sums are chained.
    """
    of_words, (a, b, c, d) = weights(words.shape[1] // 2)
    sums = (words @ of_words).tolist()
    found = []
    s0, s1 = state
    for plus0, plus1 in sums:
        s0, s1 = (a * s0 + b * s1 + plus0) & _MASK, (c * s0 + d * s1 + plus1) & _MASK
        found.append((s0, s1))
    return found


def checksums(words: Words) -> list[tuple[int, int]]:
    """SQLite's checksum of each row of `words` alone."""
    return [(first, second) for first, second in (words @ weights(words.shape[1] // 2)[0]).tolist()]


@cache
def weights(steps: int) -> tuple[Words, tuple[int, int, int, int]]:
    """What each word adds to the two sums, `uint32[2 * steps, 2]`, and the matrix that `steps` steps multiply a state by."""
    of_words = np.zeros((2 * steps, 2), np.uint32)
    a, b, c, d = 1, 0, 0, 1
    for step in range(steps - 1, -1, -1):
        of_words[2 * step] = (a + b) & _MASK, (c + d) & _MASK  # of x, which is in both sums
        of_words[2 * step + 1] = b, d
        a, b, c, d = (a + b) & _MASK, (a + 2 * b) & _MASK, (c + d) & _MASK, (c + 2 * d) & _MASK
    return of_words, (a, b, c, d)
