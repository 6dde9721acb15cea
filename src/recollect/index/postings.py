"""Ascending rows of many terms as bytes: gaps between neighbours, for each term in digits of one byte or of two.

A gap is as many full digits as fit into it (each adds one less than the base) and one that is not full, which ends it. So a
term's rows are a cumulative sum over its digits, taken where a digit is not full: NumPy does that at once, and there is no
such loop as variable-length integers need. Of code, a row takes 1.4 bytes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recollect import native
from recollect.errors import Corrupt

_FULL: Final = (255, 65_535)  # the full digit of one byte, of two
_BLOCK: Final = 1_000_000  # rows that are worked on at once


class Postings(NamedTuple):
    """Rows of terms. Term i has `indptr[i + 1] - indptr[i]` of them, in the bytes `gaps[start[i]:start[i + 1]]`."""

    gaps: NDArray[np.uint8]
    start: NDArray[np.uint32]  # [terms + 1]
    wide: NDArray[np.bool_]  # [terms], whether its digits are of two bytes (low one first)


def encode(rows: NDArray[np.integer[Any]], indptr: NDArray[np.integer[Any]]) -> Postings:
    """Of `rows`, which ascend within each term; those of term i are `rows[indptr[i]:indptr[i + 1]]`, at least one."""
    if native.library is not None:
        return _encode(native.library, np.ascontiguousarray(rows, np.int64), np.ascontiguousarray(indptr, np.int64))
    parts = [_encoded(rows[indptr[a] : indptr[b]], indptr[a : b + 1] - indptr[a]) for a, b in _blocks(indptr)]
    sizes = np.concatenate([np.zeros(1, np.int64), *(part[1] for part in parts)])
    gaps = np.concatenate([np.zeros(0, np.uint8), *(part[0] for part in parts)])
    wide = np.concatenate([np.zeros(0, np.bool_), *(part[2] for part in parts)])
    return Postings(gaps, np.cumsum(sizes).astype(np.uint32), wide)


def _encode(library: ctypes.CDLL, rows: NDArray[np.int64], indptr: NDArray[np.int64]) -> Postings:
    terms = len(indptr) - 1
    start, wide = np.empty(terms + 1, np.uint32), np.empty(terms, np.bool_)
    given = rows.ctypes.data, indptr.ctypes.data, terms, start.ctypes.data, wide.ctypes.data
    size = library.postings_encode(*given, None)
    if size < 0:
        raise Corrupt("rows of a segment are missing")
    gaps = np.empty(size, np.uint8)
    library.postings_encode(*given, gaps.ctypes.data)
    return Postings(gaps, start, wide)


def decode(found: Postings, term: int) -> NDArray[np.int64]:
    """Rows of one term. Raises Corrupt."""
    first, end = int(found.start[term]), int(found.start[term + 1])
    wide = bool(found.wide[term])
    if not first <= end <= len(found.gaps) or (wide and (end - first) % 2):
        raise Corrupt("a segment of the index is damaged")
    part = found.gaps[first:end]
    digits = part.view(np.dtype("<u2")) if wide else part
    ends = digits != _FULL[wide]
    rows: NDArray[np.int64] = (digits + ends.astype(np.int64)).cumsum()[ends] - 1
    return rows


def decode_all(found: Postings, indptr: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Rows of all terms, one after another. Raises Corrupt."""
    if len(indptr) and not (np.all(indptr[:-1] <= indptr[1:]) and np.all(found.start[:-1] <= found.start[1:])):
        raise Corrupt("a segment of the index is damaged")
    rows = np.zeros(int(indptr[-1]), np.int32)
    for a, b in _blocks(indptr):
        start = found.start[a : b + 1].astype(np.int64)
        part, sizes = found.gaps[start[0] : start[-1]], np.diff(start)
        wide = np.repeat(found.wide[a:b], sizes)
        offset = np.arange(len(part)) - np.repeat(start[:-1] - start[0], sizes)
        low = np.flatnonzero(~wide | (offset % 2 == 0))
        digits, wide = part[low].astype(np.int64), wide[low]
        digits[wide] += part[low[wide] + 1].astype(np.int64) << 8
        ends = digits != np.where(wide, _FULL[1], _FULL[0])
        total = np.cumsum(digits + ends)[ends]
        here = indptr[a : b + 1].astype(np.int64) - int(indptr[a])
        term_of = np.repeat(np.arange(b - a), sizes)[low][ends]
        if not np.array_equal(np.bincount(term_of, minlength=b - a), np.diff(here)):
            raise Corrupt("a segment of the index is damaged")
        before = np.concatenate(([0], total))[here[:-1]]  # where the sum stood as a term began
        rows[indptr[a] : indptr[b]] = total - 1 - np.repeat(before, np.diff(here))
    return rows


def _blocks(indptr: NDArray[np.integer[Any]]) -> Iterator[tuple[int, int]]:
    """Ranges of terms with about so many rows as are worked on at once."""
    a, terms = 0, len(indptr) - 1
    while a < terms:
        b = max(a + 1, int(np.searchsorted(indptr, int(indptr[a]) + _BLOCK, side="right")) - 1)
        yield a, min(b, terms)
        a = min(b, terms)


def _encoded(
    rows: NDArray[np.integer[Any]], indptr: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """(bytes, how many of them each term has, whether its digits are wide)."""
    first = indptr[:-1]
    gaps = np.diff(rows.astype(np.int64), prepend=-1) - 1
    gaps[first] = rows[first]
    narrow_size = np.add.reduceat(1 + gaps // _FULL[0], first)
    wide_size = 2 * np.add.reduceat(1 + gaps // _FULL[1], first)
    wide = wide_size < narrow_size
    wide_row = np.repeat(wide, np.diff(indptr))
    full = np.where(wide_row, _FULL[1], _FULL[0])
    n_digits = 1 + gaps // full
    last = np.cumsum(n_digits) - 1
    wide_digit = np.repeat(wide_row, n_digits)
    digits = np.where(wide_digit, _FULL[1], _FULL[0])
    digits[last] = gaps % full
    at = np.cumsum(1 + wide_digit) - 1 - wide_digit
    made = np.zeros(int(at[-1]) + 1 + int(wide_digit[-1]), np.uint8)
    made[at] = digits & 255
    made[at[wide_digit] + 1] = digits[wide_digit] >> 8
    return made, np.where(wide, wide_size, narrow_size), wide
