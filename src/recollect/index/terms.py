"""Chunk texts → term counts by 64-bit key (BM25) and body vectors (dense), in one pass over the identifiers.

A term is stored as a hash of 64 bits, not as a string: no vocabulary has to be kept, merged or sent between processes.
With a million distinct terms the chance of any two colliding is below one in ten million (docs/adr/0003).
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recollect import text
from recollect.index import embed

_MAX_IDENTIFIERS = 400_000  # interned per process; beyond, the table starts afresh


def term_key(term: str) -> int:
    """Key of a term: the first 8 bytes of its BLAKE2b hash."""
    return int.from_bytes(hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class TermCounts(NamedTuple):
    """Counts of n chunks: chunk i has terms `keys[indptr[i]:indptr[i+1]]`; `body` are sums before the path is added."""

    indptr: NDArray[np.int64]  # [n + 1]
    keys: NDArray[np.uint64]  # [postings]
    counts: NDArray[np.uint16]  # [postings]
    lengths: NDArray[np.uint32]  # [n], sum of a chunk's counts
    body: NDArray[np.float16]  # [n, DIMENSIONS]


class _Lists:
    """A growing list of short integer lists, kept as one flat array with starts (NumPy needs it for `repeat`)."""

    def __init__(self) -> None:
        self.start = np.zeros(1024, np.int64)
        self.length = np.zeros(1024, np.int64)
        self.flat = np.zeros(4096, np.int64)
        self.n = self.used = 0

    def append(self, values: list[int]) -> None:
        if self.n == len(self.start):
            self.start, self.length = np.resize(self.start, 2 * self.n), np.resize(self.length, 2 * self.n)
        if self.used + len(values) > len(self.flat):
            self.flat = np.resize(self.flat, 2 * (self.used + len(values)))
        self.start[self.n], self.length[self.n] = self.used, len(values)
        self.flat[self.used : self.used + len(values)] = values
        self.n, self.used = self.n + 1, self.used + len(values)

    def expand(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All values of `items` in turn, and for each the position in `items` that it came from."""
        lengths = self.length[items]
        source = np.repeat(np.arange(len(items)), lengths)
        offset = np.arange(len(source)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self.flat[self.start[items][source] + offset], source


class _Interned(dict[str, int]):
    """identifier → small number; a new identifier is split once and its terms and vocabulary pieces are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.terms, self.pieces = _Lists(), _Lists()
        self._term_number: dict[str, int] = {}
        self.term_keys = np.zeros(4096, np.uint64)
        self._model = embed.model()

    def __missing__(self, identifier: str) -> int:
        parts = text.split_identifier(identifier)
        whole = text.whole_term(identifier, parts)
        self.terms.append([self._number(term) for term in (*parts, *((whole,) if whole is not None else ()))])
        self.pieces.append([piece for part in parts for piece in self._model.pieces(part)])
        number = self[identifier] = len(self)
        return number

    def _number(self, term: str) -> int:
        number = self._term_number.get(term)
        if number is None:
            number = self._term_number[term] = len(self._term_number)
            if number == len(self.term_keys):
                self.term_keys = np.resize(self.term_keys, 2 * number)
            self.term_keys[number] = term_key(term)
        return number


_interned: _Interned | None = None


def count_terms(chunks: list[str]) -> TermCounts:
    """Terms, lengths and body vectors of the texts of one file's chunks."""
    global _interned
    if _interned is None or len(_interned) > _MAX_IDENTIFIERS:
        _interned = _Interned()
    table = _interned
    found: list[int] = []
    sizes: list[int] = []
    for chunk in chunks:
        before = len(found)
        found.extend(map(table.__getitem__, text.identifiers(chunk)))
        sizes.append(len(found) - before)
    chunk_of = np.repeat(np.arange(len(chunks)), sizes)
    chunk_of, items, times = _sum(chunk_of, np.array(found, np.int64), None, len(table))
    term, source = table.terms.expand(items)
    rows, term, counts = _sum(chunk_of[source], term, times[source], len(table._term_number))
    piece, source = table.pieces.expand(items)
    body = _body(len(chunks), *_sum(chunk_of[source], piece, times[source], len(table._model.rows)))
    indptr = np.searchsorted(rows, np.arange(len(chunks) + 1)).astype(np.int64)
    lengths = np.bincount(rows, weights=counts, minlength=len(chunks)).astype(np.uint32)
    return TermCounts(indptr, table.term_keys[term], np.minimum(counts, 65535).astype(np.uint16), lengths, body)


def _sum(
    rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.int64] | None, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Add up `values` (ones where None) of equal (row, column); sorted by row, then column."""
    pair = rows * max(width, 1) + columns
    if not len(pair):
        return pair, pair, pair
    if values is None:
        pair = np.sort(pair)
    else:
        order = np.argsort(pair, kind="stable")
        pair, values = pair[order], values[order]
    first = np.flatnonzero(np.concatenate(([True], pair[1:] != pair[:-1])))
    totals = np.diff(np.append(first, len(pair))) if values is None else np.add.reduceat(values, first)
    pair = pair[first]
    return pair // width, pair % width, totals


def _body(n: int, rows: NDArray[np.int64], pieces: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float16]:
    """Sum over words of log(1 + count) times the word's row, as float16 so that a cached body equals a fresh one."""
    if not len(pieces):
        return np.zeros((n, embed.DIMENSIONS), np.float16)
    used, column = np.unique(pieces, return_inverse=True)
    weights = np.zeros((n, len(used)), np.float32)
    weights[rows, column] = np.log1p(counts.astype(np.float32))
    return (weights @ embed.model().rows[used]).astype(np.float16)
