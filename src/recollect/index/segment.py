"""An immutable piece of an index: postings and vectors of some chunks, as arrays that can be memory-mapped.

As in a log-structured merge tree, each commit adds one segment and small ones are merged later. A deleted chunk stays in
its segment until then; `View` is a segment together with the mask of its live chunks and their exact sums.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import field, fields
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from recollect import native
from recollect.errors import Corrupt
from recollect.index import packing, postings
from recollect.index.analyse import Analysed, unzipped, zipped
from recollect.index.embed import DIMENSIONS
from recollect.index.postings import Postings
from recollect.index.terms import term_at
from recollect.records import dataclass

SIGN_WORDS = DIMENSIONS // 64
_NO_ROWS, _NO_COUNTS = np.zeros(0, np.int64), np.zeros(0, np.uint8)
_NO_VECTORS = np.zeros((0, DIMENSIONS), np.int8)
_BLOCK = 1024  # rows whose products add up exactly in float32: 1024 · 127² < 2²⁴


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Chunks in ascending order of `chunk_id`; a term's postings are rows of this segment, ascending."""

    chunk_id: NDArray[np.int64]  # [n]
    file_id: NDArray[np.int32]  # [n]
    start_line: NDArray[np.int32]  # [n]
    end_line: NDArray[np.int32]  # [n]
    length: NDArray[np.uint32]  # [n], terms in the body
    vectors: NDArray[np.int8]  # [n, DIMENSIONS]
    signs: NDArray[np.uint64]  # [SIGN_WORDS, n], bit set where the component is positive; not stored
    keys: NDArray[np.uint64]  # [terms], ascending
    indptr: NDArray[np.uint32]  # [terms + 1]
    gaps: NDArray[np.uint8]  # rows of the terms, with `start` and `wide` as in `Postings`
    start: NDArray[np.uint32]  # [terms + 1]
    wide: NDArray[np.bool_]  # [terms]
    counts: NDArray[np.uint8]  # [postings], 255 where it is more, which BM25 hardly tells apart
    moment: NDArray[np.float64] | None = None  # see `second_moment`; kept where making it again would take long
    memo: dict[Any, Any] = field(default_factory=dict)  # what others derive from these rows; not stored

    def __len__(self) -> int:
        return len(self.chunk_id)

    @property
    def last_file(self) -> int:
        """The largest file id; 0 where there is none."""
        if "last_file" not in self.memo:
            self.memo["last_file"] = int(self.file_id.max(initial=0))
        last: int = self.memo["last_file"]
        return last

    @property
    def span(self) -> tuple[int, int]:
        """(first, last) chunk id; (0, -1) where there is none."""
        if "span" not in self.memo:
            self.memo["span"] = (int(self.chunk_id[0]), int(self.chunk_id[-1])) if len(self) else (0, -1)
        span: tuple[int, int] = self.memo["span"]
        return span

    def postings(self, key: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """(rows, counts) of the chunks, dead ones included, that hold the term with this key."""
        at = term_at(self.keys, key)
        if at is None:
            return _NO_ROWS, _NO_COUNTS
        rows, counts = postings.decode(self._postings(), at), self.counts[self.indptr[at] : self.indptr[at + 1]]
        if len(rows) != len(counts):
            raise _damaged()
        return self._inside(rows), counts

    def _inside(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ascending rows, if they are rows of this segment. Raises Corrupt."""
        if len(rows) and rows[-1] >= len(self):
            raise _damaged()
        return rows

    def rows_of(self, keys: NDArray[np.uint64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """(place in `keys`, rows as in `postings`) of those of the terms that there are."""
        at = self.keys.searchsorted(keys)
        inside = np.flatnonzero(at < len(self.keys))
        for number in inside[self.keys[at[inside]] == keys[inside]].tolist():
            yield number, self._inside(postings.decode(self._postings(), int(at[number])))

    def all_rows(self) -> NDArray[np.int32]:
        """Rows of all terms, one after another, as `counts` has their counts."""
        return postings.decode_all(self._postings(), self.indptr)

    def _postings(self) -> Postings:
        return Postings(self.gaps, self.start, self.wide)

    def second_moment(self) -> NDArray[np.float64]:
        """Sum over all rows of v vᵀ, `[DIMENSIONS, DIMENSIONS]`, whole numbers: exact in whatever order it is summed."""
        return moment_of(self.vectors) if self.moment is None else self.moment

    def pack(self) -> bytes:
        """A large segment lies there as it is used, to be mapped into memory; a small one is zipped to little more than half."""
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _COLUMNS}
        if len(self) > _MOMENT_KEPT:
            arrays["moment"] = _half(self.second_moment())
        if not _AS_IT_IS < len(self) <= _ZIPPED:
            return packing.pack(arrays, {})
        arrays |= {name: np.diff(arrays[name], prepend=arrays[name].dtype.type(0)) for name in _STEADY}
        return zipped(packing.pack(arrays, {}), quick=True)

    @classmethod
    def unpack(cls, block: Any) -> Self:
        """Segment over a block made by `pack` (bytes or a memory map). Raises Corrupt."""
        steady: tuple[str, ...] = ()
        if not packing.is_packed(block):
            block, steady = unzipped(block), _STEADY
        arrays: dict[str, Any] = packing.unpack(block)[1]
        arrays |= {name: np.cumsum(arrays[name], dtype=arrays[name].dtype) for name in steady}
        _check(arrays)
        arrays["signs"] = _signs(arrays["vectors"])
        if "moment" in arrays:
            arrays["moment"] = _whole(arrays["moment"])
        return cls(**arrays)


def _damaged() -> Corrupt:
    return Corrupt("a segment of the index is damaged")


_BY_ROW: Final = {"chunk_id": "i8", "file_id": "i4", "start_line": "i4", "end_line": "i4", "length": "u4"}
_BY_TERM: Final = {
    "keys": ("u8", 0),
    "indptr": ("u4", 1),
    "start": ("u4", 1),
    "wide": ("?", 0),
}  # entries beyond the terms


def _check(arrays: dict[str, Any]) -> None:
    """Raise Corrupt unless the columns have the types and lengths that the C kernels read."""
    try:
        rows, terms = len(arrays["chunk_id"]), len(arrays["keys"])
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {name: (kind, (rows,)) for name, kind in _BY_ROW.items()}
        shapes |= {name: (kind, (terms + more,)) for name, (kind, more) in _BY_TERM.items()}
        shapes["vectors"] = "i1", (rows, DIMENSIONS)
        for name in ("gaps", "counts"):
            shapes[name] = "u1", (arrays[name].size,)
        good = all(arrays[name].dtype == kind and arrays[name].shape == shape for name, (kind, shape) in shapes.items())
        good = good and arrays.keys() <= {*shapes, "moment"} and arrays["start"][-1] <= len(arrays["gaps"])
        if not good or arrays["indptr"][-1] != len(arrays["counts"]):
            raise _damaged()
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise _damaged() from error


_AS_IT_IS: Final = DIMENSIONS  # chunks up to which a segment is of an edit, which waits for it
_ZIPPED: Final = 8_192  # up to which it costs nobody much to read one into memory
_MOMENT_KEPT: Final = 2_048  # from which on it takes as much room as a tenth of the others, and 10 ms to make again
_STEADY: Final = ("chunk_id", "file_id", "keys", "indptr", "start")  # ascend, or almost: zipped as differences
_HALF = np.triu_indices(DIMENSIONS)


def _half(moment: NDArray[np.float64]) -> NDArray[np.int64]:
    """The upper half of a symmetric matrix of whole numbers, as small as they are."""
    half = moment[_HALF]
    narrow: NDArray[Any] = half.astype(np.int32 if np.abs(half).max(initial=0) < 2**31 else np.int64)
    return narrow


def _whole(half: NDArray[Any]) -> NDArray[np.float64]:
    if half.shape != _HALF[0].shape or half.dtype.kind != "i":
        raise _damaged()
    moment = np.zeros((DIMENSIONS, DIMENSIONS), np.float64)
    moment[_HALF] = half
    return moment + np.triu(moment, 1).T


_FEW: Final = 2 * DIMENSIONS  # chunks
_PENDING: Final = 2_000  # chunks that came and went, from which a moment is worked out anew
_COLUMNS = [item.name for item in fields(Segment) if item.name not in ("moment", "signs", "memo")]


def moment_of(vectors: NDArray[np.int8]) -> NDArray[np.float64]:
    """Sum of v vᵀ over the rows of `vectors` (`[n, DIMENSIONS]`), exact."""
    total = np.zeros((DIMENSIONS, DIMENSIONS), np.float64)
    add_moment(total, vectors)
    return total


def add_moment(total: NDArray[np.float64], vectors: NDArray[np.int8], sign: int = 1) -> None:
    """Add to `total`, or (`sign` -1) take from it, the sum of v vᵀ over the rows of `vectors`."""
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK].astype(np.float32)
        product = block.T @ block
        if sign > 0:
            total += product
        else:
            total -= product


def _signs(vectors: NDArray[np.int8]) -> NDArray[np.uint64]:
    bits = np.packbits(vectors > 0, axis=1, bitorder="little")
    return np.ascontiguousarray(bits.view(np.uint64).T)


def sign_bits(vector: NDArray[Any]) -> NDArray[np.uint64]:
    """Sign bits `uint64[SIGN_WORDS]` of one vector, laid out as in `Segment.signs`."""
    return np.packbits(vector > 0, bitorder="little").view(np.uint64)


def build(files: Sequence[tuple[Analysed, int, int]]) -> Segment:
    """Segment of freshly analysed files: `(analysis, file id, id of its first chunk)`, chunk ids ascending."""
    kept = [(item, file_id, first) for item, file_id, first in files if item.counts is not None]
    sizes = [len(item.chunks) for item, _, _ in kept]
    counts = [item.counts for item, _, _ in kept if item.counts is not None]
    chunk_rows = np.arange(sum(sizes))
    per_chunk = [np.diff(part.indptr) for part in counts]
    spans = np.array([chunk[:2] for item, _, _ in kept for chunk in item.chunks], np.int32).reshape(-1, 2)
    columns = {
        "chunk_id": _join(
            [np.arange(first, first + n) for (_, _, first), n in zip(kept, sizes, strict=True)], np.int64
        ),
        "file_id": np.repeat(np.array([file_id for _, file_id, _ in kept], np.int32), sizes),
        "start_line": np.ascontiguousarray(spans[:, 0]),
        "end_line": np.ascontiguousarray(spans[:, 1]),
        "length": _join([part.lengths for part in counts], np.uint32),
        "vectors": _join([item.vectors for item, _, _ in kept if item.vectors is not None], np.int8, DIMENSIONS),
    }
    return _segment(
        columns,
        _terms(
            _join([part.keys for part in counts], np.uint64),
            np.repeat(chunk_rows, _join(per_chunk, np.int64)),
            _join([part.counts for part in counts], np.uint16),
        ),
    )


def merge(views: Sequence[View]) -> Segment:
    """One segment of all live chunks of several. Raises Corrupt: one of them is damaged."""

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(view.segment, name)[view.live] for view in views])

    columns = {name: column(name) for name in ("chunk_id", "file_id", "start_line", "end_line", "length", "vectors")}
    try:
        terms = _merged(views) if native.library is None else _merged_at_once(native.library, views)
    except (IndexError, ValueError) as error:
        raise _damaged() from error
    large = len(columns["chunk_id"]) > _MOMENT_KEPT  # then a sum of what is known is quicker than beginning anew
    return _segment(columns, terms, Moment.of(views).matrix if large else None)


class _Terms(NamedTuple):
    """The columns of a segment that are about terms."""

    keys: NDArray[np.uint64]
    indptr: NDArray[np.uint32]
    gaps: NDArray[np.uint8]
    start: NDArray[np.uint32]
    wide: NDArray[np.bool_]
    counts: NDArray[np.uint8]


def _segment(columns: dict[str, Any], terms: _Terms, moment: NDArray[np.float64] | None = None) -> Segment:
    return Segment(**columns, signs=_signs(columns["vectors"]), **terms._asdict(), moment=moment)


def _new_rows(views: Sequence[View]) -> Iterator[NDArray[np.int64]]:
    """By row of each view, which one it is in the segment that they are merged into, if it is live."""
    offset = 0
    for view in views:
        yield np.cumsum(view.live) - 1 + offset
        offset += int(np.count_nonzero(view.live))


def _merged(views: Sequence[View]) -> _Terms:
    keys, rows, counts = [], [], []
    for view, new_row in zip(views, _new_rows(views), strict=True):
        segment = view.segment
        old_rows = segment.all_rows()
        if len(old_rows) and not 0 <= old_rows.min() <= old_rows.max() < len(segment):
            raise _damaged()
        keep = view.live[old_rows]
        keys.append(np.repeat(segment.keys, np.diff(segment.indptr))[keep])
        rows.append(new_row[old_rows[keep]])
        counts.append(segment.counts[keep])
    return _terms(np.concatenate(keys), np.concatenate(rows), np.concatenate(counts))


def _merged_at_once(library: ctypes.CDLL, views: Sequence[View]) -> _Terms:
    """`_merged` term by term, without all their rows in memory."""
    segments = [view.segment for view in views]
    new_rows = [
        np.where(view.live, rows, -1).astype(np.int32) for view, rows in zip(views, _new_rows(views), strict=True)
    ]
    parts = np.array(
        [
            (
                *(getattr(segment, name).ctypes.data for name in _Terms._fields),
                rows.ctypes.data,
                len(segment.keys),
                len(rows),
                len(segment.gaps),
                len(segment.counts),
            )
            for segment, rows in zip(segments, new_rows, strict=True)
        ],
        np.int64,
    )
    n_rows, n_terms = sum(map(len, segments)), sum(len(segment.keys) for segment in segments)
    n_postings = sum(len(segment.counts) for segment in segments)
    rows, turn = np.empty(n_rows + 1, np.int64), np.empty(len(views), np.int64)
    made = _Terms(
        np.empty(n_terms, np.uint64),
        np.empty(n_terms + 1, np.uint32),
        np.empty(2 * (n_postings + n_terms * (n_rows // 65_535 + 1)), np.uint8),
        np.empty(n_terms + 1, np.uint32),
        np.empty(n_terms, np.bool_),
        np.empty(n_postings + 1, np.uint8),
    )
    places = (column.ctypes.data for column in (made.keys, made.indptr, made.start, made.wide, made.counts, made.gaps))
    n = library.postings_merge(parts.ctypes.data, len(views), turn.ctypes.data, rows.ctypes.data, *places)
    if n < 0:
        raise Corrupt("a segment is damaged")
    return _Terms(
        made.keys[:n].copy(),
        made.indptr[: n + 1].copy(),
        made.gaps[: int(made.start[n])].copy(),
        made.start[: n + 1].copy(),
        made.wide[:n].copy(),
        made.counts[: int(made.indptr[n])].copy(),
    )


def _join(parts: Sequence[NDArray[Any]], dtype: Any, width: int | None = None) -> NDArray[Any]:
    empty = np.zeros(0 if width is None else (0, width), dtype)
    return np.concatenate([empty, *parts]).astype(dtype, copy=False)


def _terms(keys: NDArray[np.uint64], rows: NDArray[np.int64], counts: NDArray[np.unsignedinteger[Any]]) -> _Terms:
    """Of postings in any order of keys; rows came ascending and stay so within a term."""
    order = _order(keys)
    sorted_keys = keys[order]
    first = np.flatnonzero(np.concatenate(([True], sorted_keys[1:] != sorted_keys[:-1]))[: len(sorted_keys)])
    indptr = np.append(first, len(sorted_keys))
    found = postings.encode(rows[order], indptr)
    narrow = np.minimum(counts[order], 255).astype(np.uint8)
    return _Terms(sorted_keys[first], indptr.astype(np.uint32), found.gaps, found.start, found.wide, narrow)


def _order(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """In which keys ascend, equal ones as they came."""
    if native.library is None:
        return np.argsort(keys, kind="stable")
    order = np.empty(len(keys), np.int64)
    if native.library.postings_order(keys.ctypes.data, len(keys), order.ctypes.data):
        raise MemoryError
    return order


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """Sum of v vᵀ over the live chunks of some views: of those of an earlier generation, and what came and went since.

    Of few chunks nothing but the chunks themselves: their vectors take less room than the sum, and less time to open.
    """

    matrix: NDArray[np.float64] | None  # [DIMENSIONS, DIMENSIONS], whole numbers
    came: tuple[NDArray[np.int8], ...] = ()
    went: tuple[NDArray[np.int8], ...] = ()

    @classmethod
    def of(cls, views: Sequence[View]) -> Self:
        if sum(view.n_live for view in views) <= _FEW:
            return cls(None, tuple(view.live_vectors() for view in views if view.n_live))
        return cls(sum((view.second_moment() for view in views), np.zeros((DIMENSIONS, DIMENSIONS), np.float64)))

    def following(self, before: Sequence[View], now: Sequence[View], switched: Sequence[int]) -> Moment:
        """The moment of `now`, where this is that of `before`; `switched`: ids of all chunks that died or came back since."""
        old = {id(view.segment): view for view in before}
        changed = sorted(set(switched))
        new: list[View] = []
        came, went = list(self.came), list(self.went)
        for view in now:
            previous = old.pop(id(view.segment), None)
            if previous is None:
                new.append(view)
            elif previous is not view:
                rows = view.rows_of(changed)
                rows = rows[previous.live[rows] != view.live[rows]]
                came.append(view.segment.vectors[rows[view.live[rows]]])
                went.append(view.segment.vectors[rows[previous.live[rows]]])
        here, gone = _live_rows(new), _live_rows(list(old.values()))
        if len(gone[0]):
            came.append(here[1][~np.isin(here[0], gone[0])])  # the others were merged into another segment
            went.append(gone[1][~np.isin(gone[0], here[0])])
        else:
            came.append(here[1])
        pending = sum(map(len, came)) + sum(map(len, went))
        if pending <= _PENDING:
            return Moment(self.matrix, tuple(filter(len, came)), tuple(filter(len, went)))
        if self.matrix is None or pending > sum(view.n_live for view in now):
            return Moment.of(now)
        matrix = self.matrix.copy()
        for sign, rows_of in ((1, came), (-1, went)):
            add_moment(matrix, np.concatenate([_NO_VECTORS, *rows_of]), sign)
        return Moment(matrix)

    def along(self, vector: NDArray[np.int8]) -> int:
        """Sum over the live chunks of the squares of their products with `vector`, exact."""
        total = 0
        if self.matrix is not None:
            # Whole numbers below 2⁵³ until the last product, which is made of integers.
            total = int(vector.astype(np.int64) @ (self.matrix @ vector.astype(np.float64)).astype(np.int64))
        for sign, parts in ((1, self.came), (-1, self.went)):
            if parts:
                products = np.concatenate(parts).astype(np.float32) @ vector.astype(np.float32)  # below 2²⁴
                total += sign * int(np.square(products.astype(np.int64)).sum())
        return total


def _live_rows(views: Sequence[View]) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """(chunk ids, vectors) of the live chunks."""
    if not views:
        return _NO_ROWS, _NO_VECTORS
    ids = [view.segment.chunk_id[view.live] for view in views]
    return np.concatenate(ids), np.concatenate([view.live_vectors() for view in views])


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A segment, which of its chunks are live, and exact sums over the live ones. Immutable."""

    segment: Segment
    live: NDArray[np.bool_]  # [n]
    n_live: int
    total_length: int
    vector_sum: NDArray[np.int64]  # [DIMENSIONS]

    @classmethod
    def whole(cls, segment: Segment) -> Self:
        """A view in which every chunk is live."""
        return cls(
            segment,
            np.ones(len(segment), np.bool_),
            len(segment),
            int(segment.length.sum(dtype=np.int64)),
            segment.vectors.sum(axis=0, dtype=np.int64),
        )

    def without(self, chunk_ids: Sequence[int]) -> View:
        """This view with some chunks (those of them that are here and live) dead. The ids ascend."""
        at = self.rows_of(chunk_ids)
        at = at[self.live[at]]
        return self._switched(at, False) if len(at) else self

    def with_live(self, chunk_ids: Sequence[int]) -> View:
        """This view with some chunks (those of them that are here and dead) live again. The ids ascend."""
        at = self.rows_of(chunk_ids)
        at = at[~self.live[at]]
        return self._switched(at, True) if len(at) else self

    def rows_of(self, chunk_ids: Sequence[int]) -> NDArray[np.int64]:
        """Rows of those of these chunks that are here. The ids ascend."""
        first, last = self.segment.span
        here = chunk_ids[bisect_left(chunk_ids, first) : bisect_right(chunk_ids, last)]
        if not here:  # as in most segments, whatever changed
            return _NO_ROWS
        wanted = np.array(here, np.int64)
        at: NDArray[np.int64] = np.searchsorted(self.segment.chunk_id, wanted)
        found: NDArray[np.int64] = at[self.segment.chunk_id[at] == wanted]
        return found

    def _switched(self, at: NDArray[np.int64], live: bool) -> View:
        mask, sign = self.live.copy(), 1 if live else -1
        mask[at] = live
        return View(
            self.segment,
            mask,
            self.n_live + sign * len(at),
            self.total_length + sign * int(self.segment.length[at].sum(dtype=np.int64)),
            self.vector_sum + sign * self.segment.vectors[at].sum(axis=0, dtype=np.int64),
        )

    def live_vectors(self) -> NDArray[np.int8]:
        """Of the live rows, `[n_live, DIMENSIONS]`."""
        return self.segment.vectors if self.n_live == len(self.segment) else self.segment.vectors[self.live]

    def second_moment(self) -> NDArray[np.float64]:
        """Sum of v vᵀ over the live rows, exact."""
        if self.n_live == len(self.segment):
            return self.segment.second_moment()
        return self.segment.second_moment() - moment_of(self.segment.vectors[~self.live])
