"""Chunk texts → term counts by 64-bit key (BM25) and body vectors (dense), in one pass over the identifiers.

A term is stored as a hash of 64 bits, not as a string: no vocabulary has to be kept, merged or sent between processes.
With a million distinct terms the chance of any two colliding is below one in ten million (docs/adr/0003).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recollect import native, text
from recollect.index import embed
from recollect.index.embed import DIMENSIONS

_MAX_IDENTIFIERS = 400_000  # interned per process; beyond, the table starts afresh


def term_key(term: str) -> int:
    """Key of a term: the first 8 bytes of its BLAKE2b hash."""
    return int.from_bytes(hashlib.blake2b(_utf8(term), digest_size=8).digest(), "little")


def _utf8(term: str) -> bytes:
    return term.encode("utf-8", "surrogatepass")


def term_at(keys: NDArray[np.uint64], key: int) -> int | None:
    """Place of a term among `keys`, which ascend; None where it is none of them."""
    at = int(keys.searchsorted(np.uint64(key)))  # the method: the function takes three times as long
    return at if at < len(keys) and int(keys[at]) == key else None


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
        self._start = array("q")
        self._length = array("q")
        self._flat = array("q")

    def append(self, values: list[int]) -> None:
        self._start.append(len(self._flat))
        self._length.append(len(values))
        self._flat.extend(values)

    def expand(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All values of `items` in turn, and for each the position in `items` that it came from."""
        # Views of the arrays' own memory: they must be gone before the next `append`.
        lengths = np.frombuffer(self._length, np.int64)[items]
        starts = np.frombuffer(self._start, np.int64)[items]
        source = np.repeat(np.arange(len(items)), lengths)
        offset = np.arange(len(source)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.frombuffer(self._flat, np.int64)[starts[source] + offset], source


class _Interned(dict[str, int]):
    """identifier → small number; a new identifier is split once and its terms and vocabulary pieces are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.terms, self.pieces = _Lists(), _Lists()
        self._term_number: dict[str, int] = {}
        self._term_keys = array("Q")
        self._pieces_of = embed.model().pieces
        self._new: list[str] = []  # numbered, but not split yet

    def __missing__(self, identifier: str) -> int:
        number = self[identifier] = len(self)
        self._new.append(identifier)
        return number

    def split_new(self) -> None:
        """Note terms and pieces of the identifiers that were new to look-ups: of many at once, which is quicker."""
        new, self._new = self._new, []
        known, pieces_of = self._term_number, self._pieces_of
        split = {identifier: (parts, whole) for identifier, parts, whole in text.split_all(new)}
        for parts, whole in map(split.__getitem__, new):
            terms = parts if whole is None else (*parts, whole)
            self.terms.append([known[term] if term in known else self._new_term(term) for term in terms])
            self.pieces.append([piece for part in parts for piece in pieces_of(part)])

    def _new_term(self, term: str) -> int:
        number = self._term_number[term] = len(self._term_number)
        self._term_keys.append(term_key(term))
        return number

    def count(self, chunks: Sequence[str]) -> TermCounts:
        return _count(self, chunks)

    @property
    def n_terms(self) -> int:
        return len(self._term_number)

    def keys_of(self, terms: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Keys of terms by their numbers."""
        keys: NDArray[np.uint64] = np.frombuffer(self._term_keys, np.uint64)[terms]
        return keys


class _Compiled:
    """The same table, kept by the compiled twin of this module. What is not ASCII is told apart and split here."""

    def __init__(self, library: ctypes.CDLL) -> None:
        model = embed.model()
        self._library = library
        # Named by the table, so they must live as long as it does.
        self._words = "".join(model.vocabulary).encode()
        self._ends = np.cumsum([len(word) for word in model.vocabulary], dtype=np.uint32)
        self._log_probability = np.array(model.vocabulary.log_probability, np.float64)
        self._rows, self._scale = np.ascontiguousarray(model.quantised), np.ascontiguousarray(model.scale)
        self._handle = library.terms_new(
            self._words,
            self._ends.ctypes.data,
            len(self._ends),
            self._log_probability.ctypes.data,
            self._rows.ctypes.data,
            self._scale.ctypes.data,
            DIMENSIONS,
            int.from_bytes(os.urandom(8)),
        )
        if not self._handle:
            raise MemoryError
        self._defined: set[str] = set()

    def __del__(self) -> None:
        self._library.terms_free(self._handle)

    def __len__(self) -> int:
        size: int = self._library.terms_size(self._handle)
        return size

    def count(self, chunks: Sequence[str]) -> TermCounts:
        n = len(chunks)
        texts = [chunk.encode() if chunk.isascii() else self._plain(chunk) for chunk in chunks]
        ends = np.fromiter(accumulate(map(len, texts)), np.int64, n)
        indptr, lengths = np.zeros(n + 1, np.int64), np.zeros(n, np.uint32)
        body = np.zeros((n, DIMENSIONS), np.float32)
        found = self._library.terms_count(
            self._handle,
            b"".join(texts),
            ends.ctypes.data,
            n,
            indptr.ctypes.data,
            lengths.ctypes.data,
            body.ctypes.data,
        )
        if found < 0:
            raise MemoryError
        keys, counts = np.zeros(found, np.uint64), np.zeros(found, np.uint16)
        self._library.terms_take(self._handle, keys.ctypes.data, counts.ctypes.data)
        return TermCounts(indptr, keys, counts, lengths, body.astype(np.float16))

    def _plain(self, chunk: str) -> bytes:
        """A text that is not ASCII: of such lines their identifiers alone, of which the table knows those that are not."""
        lines, names = chunk.split("\n"), set[str]()
        for at, line in enumerate(lines):
            if not line.isascii():
                here = text.identifiers(line)
                lines[at] = " ".join(here)
                names.update(here)
        for name in {name for name in names if not name.isascii()} - self._defined:
            parts = text.split_identifier(name)
            whole = text.whole_term(name, parts)
            terms = [_utf8(term) for term in (parts if whole is None else (*parts, whole))]
            ends = np.cumsum([len(term) for term in terms], dtype=np.int64)
            own = _utf8(name)
            if self._library.terms_define(
                self._handle, own, len(own), b"".join(terms), ends.ctypes.data, len(terms), whole is not None
            ):
                raise MemoryError
            self._defined.add(name)
        return _utf8("\n".join(lines))


_table: _Interned | _Compiled | None = None
_counting = threading.Lock()  # a table is not for several threads at once, and an indexer may rebuild several indexes


def chunk_texts(lines: Sequence[str], chunks: Sequence[tuple[int, int, str, str]]) -> list[str]:
    """What is counted of chunks (start line, end line, kind, symbol): their lines, and the names around them."""
    return ["\n".join((*lines[start - 1 : end], symbol)) for start, end, _, symbol in chunks]


def count_terms(chunks: Sequence[str]) -> TermCounts:
    """Terms, lengths and body vectors of the texts of one file's chunks."""
    global _table
    with _counting:
        table, _table = _table, None  # what fails leaves none behind that is half counted
        if table is None or len(table) > _MAX_IDENTIFIERS:
            table = _Interned() if native.library is None else _Compiled(native.library)
        counts = table.count(chunks)
        _table = table
    return counts


def _count(table: _Interned, chunks: Sequence[str]) -> TermCounts:
    names: list[str] = []
    sizes: list[int] = []
    for chunk in chunks:
        here = text.identifiers(chunk)
        names += here
        sizes.append(len(here))
    found = list(map(table.__getitem__, names))
    table.split_new()
    if not found:
        none = np.zeros(0, np.int64)
        empty = np.zeros(len(chunks) + 1, np.int64), none.astype(np.uint64), none.astype(np.uint16)
        return TermCounts(*empty, np.zeros(len(chunks), np.uint32), _body(len(chunks), none, none, none))
    chunk_of = np.repeat(np.arange(len(chunks)), sizes)
    chunk_of, items, times = _sum(chunk_of, np.array(found, np.int64), None, len(table))
    term, source = table.terms.expand(items)
    rows, term, counts = _sum(chunk_of[source], term, times[source], table.n_terms)
    piece, source = table.pieces.expand(items)
    body = _body(len(chunks), *_sum(chunk_of[source], piece, times[source], len(embed.model().scale)))
    indptr = np.searchsorted(rows, np.arange(len(chunks) + 1)).astype(np.int64)
    lengths = np.bincount(rows, weights=counts, minlength=len(chunks)).astype(np.uint32)
    return TermCounts(indptr, table.keys_of(term), np.minimum(counts, 65535).astype(np.uint16), lengths, body)


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
        bits = int(
            values.max()
        ).bit_length()  # with them in one array: that sorts several times as fast as an order is found
        packed = np.sort(pair << bits | values)
        pair, values = packed >> bits, packed & ((1 << bits) - 1)
    first = np.flatnonzero(np.concatenate(([True], pair[1:] != pair[:-1])))
    totals = np.diff(np.append(first, len(pair))) if values is None else np.add.reduceat(values, first)
    pair = pair[first]
    return pair // width, pair % width, totals


def _body(n: int, rows: NDArray[np.int64], pieces: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float16]:
    """Sum over words of log(1 + count) times the word's row, as float16 so that a cached body equals a fresh one."""
    if not len(pieces):
        return np.zeros((n, DIMENSIONS), np.float16)
    used, column = np.unique(pieces, return_inverse=True)
    model = embed.model()
    weights = np.zeros((n, len(used)), np.float32)
    weights[rows, column] = np.log1p(counts.astype(np.float32)) * model.scale[pieces]
    return (weights @ model.quantised[used].astype(np.float32)).astype(np.float16)
