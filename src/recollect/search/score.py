"""All chunks of the searched indexes against a query: BM25 over body and path, and cosines of the static embedding.

Every number depends only on which chunks are live, never on how they are spread over segments or in which order they
came: sums are whole numbers, so that an incremental index answers exactly as one built from scratch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recollect import native
from recollect.errors import Corrupt
from recollect.index import embed
from recollect.index.embed import DIMENSIONS
from recollect.index.memo import Changes
from recollect.index.segment import Segment, View, sign_bits
from recollect.index.snapshot import FileInfo, Snapshot
from recollect.index.terms import term_key
from recollect.records import dataclass

K1: Final = 1.2
B: Final = 0.75
STEM_WEIGHT: Final = 20.0  # a word in the file's name counts as so many in the body (measured: shared study, row 2)
FOLDER_WEIGHT: Final = 5.0
PSEUDO_CHUNKS: Final = 300.0  # like the mean of all indexes, added to each: the words of a small one say little
RARITY: Final = 0.5  # how much more a word that few chunks hold weighs in the question's vector
LEAST_DEVIATION: Final = 0.08  # of cosines: where all chunks are nearly alike, what tells them apart is chance
CANDIDATES: Final = 1_500  # chunks by each of the two scores whose exact sum is computed
_FAR: Final = np.uint16(DIMENSIONS)  # no distance is larger
_SAMPLE: Final = 8_192  # rows from which it is guessed how far the nearest are
_FIXED: Final = 1 << 20  # BM25 scores are summed in fixed point

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Part:
    """One segment of one searched index. `allowed`: live rows that pass the filters. Rows count from `offset` overall."""

    source: int
    snapshot: Snapshot
    view: View
    offset: int
    allowed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """Candidate chunks, best known by `row` (overall). `lexical` and `dense` are z-scores over all searched chunks."""

    rows: NDArray[np.int64]
    lexical: Floats
    dense: Floats
    matching: NDArray[np.bool_]  # whether any word matches
    lexical_floor: float  # z-score of a chunk that matches nothing (of the median chunk, where most match)
    frequencies: Mapping[str, Sequence[int]]  # of each term: live chunks of each index that hold it, or whose path does


def parts_of(snapshots: Sequence[Snapshot], allowed_files: Sequence[NDArray[np.bool_] | None]) -> list[Part]:
    """The searched segments. `allowed_files`: by file id, for each snapshot; None: all."""
    parts = []
    offset = 0
    for source, (snapshot, files) in enumerate(zip(snapshots, allowed_files, strict=True)):
        for view in snapshot.views:
            if not len(view.segment):
                continue
            allowed = view.live if files is None else view.live & _rows_allowed(view.segment, files)
            parts.append(Part(source, snapshot, view, offset, allowed))
            offset += len(view.segment)
    return parts


def _rows_allowed(segment: Segment, files: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`files` by row; kept for the files that were asked for last."""
    known: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = segment.memo.get("rows_allowed")
    if known is None or known[0] is not files:
        known = segment.memo["rows_allowed"] = (files, files[segment.file_id])
    return known[1]


Cosines = Callable[[Sequence[Part]], Floats]
"""Cosines of all rows of some parts with a question by another model than the bundled one; NaN where there is no vector."""


def score(
    terms: Sequence[str],
    words: Mapping[str, int],
    snapshots: Sequence[Snapshot],
    parts: Sequence[Part],
    extra: Sequence[int],
    cosines: Cosines | None = None,
) -> Scored:
    """Candidates: the best by BM25, the nearest by sign bits, and `extra` rows; each with both scores.

    `terms` are what BM25 scores, `words` (those of them that are parts of identifiers, with their counts) make the vector.
    """
    lexical, frequencies = bm25(terms, snapshots, parts)
    allowed = np.concatenate([part.allowed for part in parts])
    matching = np.flatnonzero(allowed & (lexical > 0))
    mean, deviation, floor = _lexical_statistics(lexical[matching], int(np.count_nonzero(allowed)))
    if cosines is not None:
        rows, z_dense = _by_cosines(cosines(parts), _best(lexical, matching), parts, allowed, extra)
    else:
        vector, of_each = _asked(words, frequencies, snapshots)
        rows = _candidates(_best(lexical, matching), vector, parts, allowed, extra)
        z_dense = _dense(vector, of_each, snapshots, parts, rows)
    z_lexical = ((lexical[rows] - np.float32(mean)) / np.float32(deviation)).astype(np.float32)
    return Scored(rows, z_lexical, z_dense, lexical[rows] > 0, (floor - mean) / deviation, frequencies)


def _asked(
    words: Mapping[str, int], frequencies: Mapping[str, Sequence[int]], snapshots: Sequence[Snapshot]
) -> tuple[NDArray[np.int8], Callable[[int], NDArray[np.int8]]]:
    """The question's vector by the bundled model, as stored ones are; and that for each of several indexes, by its number.

    There a word weighs what is the mean of its rarity in that one and in all: a name that all of one project is about
    tells nothing of its files apart, however rare it is elsewhere.
    """
    n = sum(snapshot.n_chunks for snapshot in snapshots)
    counts = {word: math.sqrt(count) for word, count in words.items()}
    rarity = {word: _rarity(sum(frequencies[word]), n) for word in words}
    vector = embed.quantise(embed.model().query({word: count * rarity[word] for word, count in counts.items()}))

    @functools.cache
    def of(source: int) -> NDArray[np.int8]:
        own = {word: _rarity(frequencies[word][source], snapshots[source].n_chunks) for word in words}
        weights = {word: count * (rarity[word] + own[word]) / 2 for word, count in counts.items()}
        return embed.quantise(embed.model().query(weights))

    return vector, of if len(snapshots) > 1 else lambda source: vector


# -- lexical ----------------------------------------------------------------------------------------------------------


def _rarity(frequency: int, n: int) -> float:
    """What a word weighs in the vector: what most chunks hold (a project's own name) says little, whatever it says elsewhere."""
    share: float = math.log(1 + (n - frequency + 0.5) / (frequency + 0.5)) / math.log(n + 2)
    return float(max(share, 0.0) ** RARITY)


def bm25(
    terms: Sequence[str], snapshots: Sequence[Snapshot], parts: Sequence[Part]
) -> tuple[Floats, dict[str, list[int]]]:
    """BM25 (Robertson et al.) of every row of `parts`, dead and filtered ones included; `float32[rows]`; and in how many
    live chunks or their paths of each index every term occurs.

    Path words count as `STEM_WEIGHT` and `FOLDER_WEIGHT` occurrences in each chunk of their file. Document frequencies
    and mean length are those of all live chunks of all searched indexes.
    """
    total = sum(len(part.view.segment) for part in parts)
    n = sum(snapshot.n_chunks for snapshot in snapshots)
    scores = np.zeros(total, np.float32)
    frequencies = {term: [0] * len(snapshots) for term in terms}
    if not n or not terms:
        return scores, frequencies
    lengths = [_row_lengths(part.snapshot, part.view.segment) for part in parts]
    mean_length = max(sum(_total_length(snapshot) for snapshot in snapshots) / n, 1.0)
    norm, by_length = np.float32(K1 * (1 - B)), np.float32(K1 * B / mean_length)
    for term in terms:
        key = term_key(term)
        tried = ((part, length, _matches(term, key, part)) for part, length in zip(parts, lengths, strict=True))
        matches = [found for found in tried if found[2] is not _NO_MATCH]  # of many small indexes most lack a term
        for part, _, match in matches:
            frequencies[term][part.source] += _live_count(part, match)
        frequency = sum(frequencies[term])
        if not frequency:
            continue
        weight = np.float32(np.log(1 + (n - frequency + 0.5) / (frequency + 0.5)) * (K1 + 1))
        for part, length, match in matches:
            path = match.path_weight
            if len(match.path_rows):
                here = path[part.view.segment.file_id[match.path_rows]]
                scores[part.offset + match.path_rows] += (
                    weight * here / (here + (norm + length[match.path_rows] * by_length))
                )
            if len(match.rows):
                here, both = norm + length[match.rows] * by_length, match.counts + match.also
                # What its path gave such a chunk already is taken off again: 0 / (0 + norm) where that was nothing.
                scores[part.offset + match.rows] += weight * (both / (both + here) - match.also / (match.also + here))
    return scores, frequencies


class _Match(NamedTuple):
    """Where a term occurs in one part."""

    rows: NDArray[np.int64]  # chunks with it in the body
    counts: Floats
    also: Floats  # for each of these, what the path counts for
    path_rows: NDArray[np.int64]  # chunks with it in the path
    path_weight: Floats  # by file id


_NO_ROWS: Final = np.zeros(0, np.int64)
_NO_WEIGHT: Final = np.zeros(0, np.float32)
_NO_MATCH: Final = _Match(_NO_ROWS, _NO_WEIGHT, _NO_WEIGHT, _NO_ROWS, _NO_WEIGHT)


def _matches(term: str, key: int, part: Part) -> _Match:
    segment = part.view.segment
    found, counts = segment.postings(key)
    weight = _path_weight(term, part.snapshot)
    if weight is None:
        if not len(found):
            return _NO_MATCH
        return _Match(found, counts.astype(np.float32), np.zeros(len(found), np.float32), _NO_ROWS, _NO_WEIGHT)
    also = weight[segment.file_id[found]]
    return _Match(found, counts.astype(np.float32), also, rows_of_files(part, np.flatnonzero(weight)), weight)


def likelihood(frequencies: Mapping[str, Sequence[int]], sizes: Sequence[int]) -> NDArray[np.float64]:
    """By how much likelier than the mean each of several indexes is the one that the words are about, as a logarithm.

    Mean over the words, by rarity, of how many times as often as in all indexes together they are in the chunks of this one
    (language models for resource selection, Si et al., 2002, smoothed as by Dirichlet).
    """
    counts = np.array([found for found in frequencies.values() if any(found)], np.float64).reshape(-1, len(sizes))
    chunks = np.array(sizes, np.float64)
    share = counts.sum(axis=1, keepdims=True) / max(float(chunks.sum()), 1.0)
    weight = np.log(np.e / share)  # of a word in every chunk 1
    times = (counts + PSEUDO_CHUNKS * share) / (chunks + PSEUDO_CHUNKS) / share
    found: NDArray[np.float64] = (weight * np.log(times)).sum(axis=0) / max(float(weight.sum()), 1.0)
    return found


def history(
    terms: Sequence[str], snapshots: Sequence[Snapshot], allowed_files: Sequence[NDArray[np.bool_] | None]
) -> tuple[list[Floats], frozenset[str]]:
    """(BM25 of what commits said when they changed a file, by file id for each snapshot, of which the best allowed is 1; the
    terms that any of them said).
    """
    fields = [snapshot.history for snapshot in snapshots]
    scores = [np.zeros(len(field), np.float32) for field in fields]
    n = sum(map(len, fields))
    total = sum(field.total for field in fields)
    said = set()
    for term in terms if n else ():
        key = term_key(term)
        found = [field.postings(key) for field in fields]
        frequency = sum(len(documents) for documents, _ in found)
        if not frequency:
            continue
        said.add(term)
        weight = np.log(1 + (n - frequency + 0.5) / (frequency + 0.5)) * (K1 + 1)
        for field, score, (documents, counts) in zip(fields, scores, found, strict=True):
            norm = K1 * (1 - B + B * field.length[documents] * (n / total))
            score[documents] += (weight * counts / (counts + norm)).astype(np.float32)
    by_file = [np.zeros(len(snapshot.paths.stem_length), np.float32) for snapshot in snapshots]
    for field, score, placed, allowed in zip(fields, scores, by_file, allowed_files, strict=True):
        placed[field.file_id] = score
        placed[0] = 0.0  # documents of files that the tree does not have
        if allowed is not None:
            placed[~allowed] = 0.0
    best = max((float(placed.max(initial=0.0)) for placed in by_file), default=0.0)
    return [placed / np.float32(best) if best > 0 else placed for placed in by_file], frozenset(said)


def said_alone(frequencies: Mapping[str, Sequence[int]], said: Collection[str], n: int) -> float:
    """Share of the words asked for, by rarity among `n` chunks, that commits said and no chunk or its path holds."""
    found = {term: sum(counts) for term, counts in frequencies.items()}
    rarity = {term: math.log(1 + (n - frequency + 0.5) / (frequency + 0.5)) for term, frequency in found.items()}
    alone = sum(weight for term, weight in rarity.items() if term in said and not found[term])
    return alone / sum(rarity.values()) if alone else 0.0


def coverage(forms: Sequence[Sequence[str]], snapshots: Sequence[Snapshot], parts: Sequence[Part]) -> list[Floats]:
    """Share of the words asked for, at most 64, that a file or its path holds in one of their `forms`; by file id for each snapshot."""
    found = [np.zeros(len(snapshot.paths.stem_length), np.uint64) for snapshot in snapshots]
    bits = [np.uint64(1 << number) for number in range(len(forms))]
    for snapshot, held in zip(snapshots, found, strict=True):
        for bit, words in zip(bits, forms, strict=True):
            for word in words:
                for places in (snapshot.paths.by_stem.get(word), snapshot.paths.by_folder.get(word)):
                    if places is not None:
                        held[places[0]] |= bit
    terms = np.array([term_key(word) for words in forms for word in words], np.uint64)
    bit_of = np.repeat(np.array(bits, np.uint64), [len(words) for words in forms])
    for part in parts if len(terms) else ():
        _cover(part.view, terms, bit_of, found[part.source])
    return [(np.bitwise_count(held) / max(len(forms), 1)).astype(np.float32) for held in found]


def _cover(view: View, terms: NDArray[np.uint64], bits: NDArray[np.uint64], held: NDArray[np.uint64]) -> None:
    """Add the bits of the terms, given by their keys, to those of the files in whose live chunks they occur."""
    segment = view.segment
    if native.library is None:
        for number, rows in segment.rows_of(terms):
            files = segment.file_id[rows[view.live[rows]]]
            if len(files) and not 0 <= files.min() <= files.max() < len(held):
                raise Corrupt("a segment of the index is damaged")
            held[files] |= bits[number]
        return
    place = segment.memo.get("place")
    if place is None:
        columns = segment.keys, segment.gaps, segment.start, segment.wide, segment.file_id
        sizes = len(segment.keys), len(segment.gaps), len(segment)
        place = segment.memo["place"] = np.array([*(column.ctypes.data for column in columns), *sizes], np.int64)
    given = place.ctypes.data, view.live.ctypes.data, terms.ctypes.data, bits.ctypes.data, len(terms)
    if native.library.search_cover(*given, held.ctypes.data, len(held)) < 0:
        raise Corrupt("a segment of the index is damaged")


def _live_count(part: Part, match: _Match) -> int:
    """Live chunks that hold the term, in body or path."""
    only_body = match.rows[match.also == 0] if len(match.path_rows) else match.rows
    if part.view.n_live == len(part.view.segment):
        return len(only_body) + len(match.path_rows)
    return int(np.count_nonzero(part.view.live[only_body]) + np.count_nonzero(part.view.live[match.path_rows]))


def rows_of_files(part: Part, file_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of a part that belong to these files; the chunks of a file are neighbours in a segment."""
    segment = part.view.segment
    spans: tuple[NDArray[np.int64], NDArray[np.int64]] | None = segment.memo.get("spans")
    if spans is None:
        owner = segment.file_id
        first = np.flatnonzero(np.concatenate(([True], owner[1:] != owner[:-1])))
        start, count = (np.zeros(int(owner.max()) + 1, np.int64) for _ in range(2))
        start[owner[first]], count[owner[first]] = first, np.diff(np.append(first, len(owner)))
        spans = segment.memo["spans"] = (start, count)
    here = file_ids[file_ids < len(spans[0])]
    count = spans[1][here]
    before = np.cumsum(count) - count
    return np.repeat(spans[0][here] - before, count) + np.arange(int(count.sum()))


def chunks_of_files(snapshot: Snapshot) -> NDArray[np.int64]:
    """How many live chunks each file has, by file id."""

    def fill(counts: NDArray[np.int64], files: Iterable[FileInfo]) -> NDArray[np.int64]:
        for info in files:
            if info.id < len(counts):
                counts[info.id] = info.chunks if info.status == "indexed" else 0
        return counts

    def follow(before: NDArray[np.int64], changes: Changes) -> NDArray[np.int64]:
        return fill(snapshot.by_file(before, changes.gone), changes.files.values())

    found: NDArray[np.int64] | None = snapshot.memo.get("chunks_of_files", follow)
    if found is None:
        found = fill(np.zeros(len(snapshot.paths.stem_length), np.int64), snapshot.files.values())
        snapshot.memo["chunks_of_files"] = found
    return found


def _path_weight(term: str, snapshot: Snapshot) -> Floats | None:
    """By file id, what the term counts for in a file's path; None where no path has it."""
    paths = snapshot.paths
    in_stem, in_folder = paths.by_stem.get(term), paths.by_folder.get(term)
    if in_stem is None and in_folder is None:
        return None
    weight = np.zeros(len(paths.stem_length), np.float32)
    for found, each in ((in_stem, STEM_WEIGHT), (in_folder, FOLDER_WEIGHT)):
        if found is not None:
            weight[found[0]] += np.float32(each) * found[1].astype(np.float32)
    return weight


def _path_length(snapshot: Snapshot) -> NDArray[np.int32]:
    return (int(STEM_WEIGHT) * snapshot.paths.stem_length + int(FOLDER_WEIGHT) * snapshot.paths.folder_length).astype(
        np.int32
    )


def _row_lengths(snapshot: Snapshot, segment: Segment) -> Floats:
    """Terms of each row, path included. A commit changes only those of chunks that it leaves dead; these may come back."""
    known: tuple[int, Floats] | None = segment.memo.get("length")
    if known is None or known[0] != snapshot.revived:
        length = (segment.length + _path_length(snapshot)[segment.file_id]).astype(np.float32)
        known = segment.memo["length"] = (snapshot.revived, length)
    return known[1]


def _total_length(snapshot: Snapshot) -> int:
    """Sum over live chunks of their length, path included."""
    found: int | None = snapshot.memo.get("total_length", lambda before, changes: None)
    if found is None:
        paths = int(np.dot(chunks_of_files(snapshot), _path_length(snapshot).astype(np.int64)))
        found = snapshot.memo["total_length"] = snapshot.total_length + paths
    return found


def _lexical_statistics(scores: Floats, n: int) -> tuple[float, float, float]:
    """(mean, standard deviation, median) over `n` rows, of which those with a score have these."""
    if not n:
        return 0.0, 1.0, 0.0
    matching = scores.astype(np.float64)
    fixed = np.rint(matching * _FIXED).astype(np.int64)
    mean = int(fixed.sum()) / _FIXED / n
    square = int(np.rint(np.square(matching) * _FIXED).astype(np.int64).sum()) / _FIXED / n
    deviation = max(square - mean * mean, 1e-12) ** 0.5
    median = (
        float(np.partition(matching, n // 2 - (n - len(matching)))[n // 2 - (n - len(matching))])
        if 2 * len(matching) > n
        else 0.0
    )
    return mean, max(deviation, 1e-6), median


# -- dense ------------------------------------------------------------------------------------------------------------


def _dense(
    vector: NDArray[np.int8],
    of_each: Callable[[int], NDArray[np.int8]],
    snapshots: Sequence[Snapshot],
    parts: Sequence[Part],
    rows: NDArray[np.int64],
) -> Floats:
    """z-scores of the cosines of some rows with their index's vector, against the mean and deviation over all live chunks."""
    products = np.zeros(len(rows), np.float64)
    for part, span in split(parts, rows):
        products[span] = _products(of_each(part.source), part.view.segment.vectors, rows[span] - part.offset)
    n = sum(snapshot.n_chunks for snapshot in snapshots)
    wide = vector.astype(np.int64)
    total = sum(int(wide @ snapshot.vector_sum) for snapshot in snapshots)
    square = sum(snapshot.moment.along(vector) for snapshot in snapshots)
    mean = total / n if n else 0.0
    deviation = max(square / n - mean * mean, 0.0) ** 0.5 if n else 0.0
    return ((products - mean) / max(deviation, LEAST_DEVIATION * embed.VECTOR_SCALE**2)).astype(np.float32)


def _best(values: Floats, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The `CANDIDATES` of these rows that have the largest values, and those that are as good as the last of them."""
    if len(rows) <= CANDIDATES:
        return rows
    own = values[rows]
    best: NDArray[np.int64] = rows[own >= np.partition(own, len(own) - CANDIDATES)[len(own) - CANDIDATES]]
    return best


def _by_cosines(
    found: Floats, matching: NDArray[np.int64], parts: Sequence[Part], allowed: NDArray[np.bool_], extra: Sequence[int]
) -> tuple[NDArray[np.int64], Floats]:
    """(candidate rows, z-scores of their cosines among the live chunks that have a vector; 0 for those without)."""
    live = np.concatenate([part.view.live for part in parts]) & ~np.isnan(found)
    mean, deviation = (float(found[live].mean()), float(found[live].std())) if live.any() else (0.0, 1.0)
    z = np.nan_to_num((found - np.float32(mean)) / np.float32(max(deviation, 1e-6)), nan=0.0).astype(np.float32)
    rows = _chosen(allowed, matching, _best(z, np.flatnonzero(allowed & ~np.isnan(found))), extra)
    return rows, z[rows]


def _chosen(
    allowed: NDArray[np.bool_], matching: NDArray[np.int64], near: NDArray[np.int64], extra: Sequence[int]
) -> NDArray[np.int64]:
    """All of these that are allowed, ascending."""
    chosen = np.zeros(len(allowed), np.bool_)
    for rows in (matching, near, np.fromiter(extra, np.int64)):
        chosen[rows[allowed[rows]]] = True
    return np.flatnonzero(chosen)


def products_of(vector: NDArray[np.int8], parts: Sequence[Part], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Exact products of the stored vectors of `rows` (ascending) with a stored-form vector."""
    found = np.zeros(len(rows), np.float64)
    for part, span in split(parts, rows):
        found[span] = _products(vector, part.view.segment.vectors, rows[span] - part.offset)
    return found


def _products(
    vector: NDArray[np.int8], vectors: NDArray[np.int8], rows: NDArray[np.int64]
) -> NDArray[np.float32] | NDArray[np.int32]:
    """Exact: 256 products of at most 127² add up to less than 2²⁴. The rows ascend. Raises Corrupt."""
    if len(rows) and not 0 <= rows[0] <= rows[-1] < len(vectors):
        raise Corrupt("a segment of the index is damaged")
    if native.library is None:
        floats: Floats = np.take(vectors, rows, axis=0).astype(np.float32) @ vector.astype(np.float32)
        return floats
    found = np.empty(len(rows), np.int32)
    native.library.search_products(
        vector.ctypes.data, vectors.ctypes.data, rows.ctypes.data, len(rows), found.ctypes.data
    )
    return found


def split(parts: Sequence[Part], rows: NDArray[np.int64]) -> list[tuple[Part, slice]]:
    """Ascending overall rows by the part that they lie in."""
    starts = np.searchsorted(rows, [part.offset for part in parts])
    ends = [*starts[1:], len(rows)]
    return [(part, slice(int(a), int(b))) for part, a, b in zip(parts, starts, ends, strict=True) if a < b]


def _candidates(
    matching: NDArray[np.int64],
    vector: NDArray[np.int8],
    parts: Sequence[Part],
    allowed: NDArray[np.bool_],
    extra: Sequence[int],
) -> NDArray[np.int64]:
    """Ascending rows; ties at the edges are all in, for which of them came first must not matter."""
    if len(allowed) <= CANDIDATES:
        return np.flatnonzero(allowed)
    near = np.zeros(0, np.int64)
    if vector.any():
        near = _near(sign_bits(vector), [part.view.segment.signs for part in parts], allowed)
    return _chosen(allowed, matching, near, extra)


def _near(
    bits: NDArray[np.uint64], signs: Sequence[NDArray[np.uint64]], allowed: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The `CANDIDATES` allowed rows with the smallest distances, and those as near as the last of these. `signs`: of each part."""
    if native.library is None:
        return _nearest(np.concatenate([_distances(bits, each) for each in signs]), allowed)
    pointers = np.array([each.ctypes.data for each in signs], np.uintp)
    sizes = np.array([each.shape[1] for each in signs], np.int64)
    if sizes.sum() != len(allowed):
        raise Corrupt("a segment of the index is damaged")
    distance, rows = np.empty(len(allowed), np.uint16), np.empty(len(allowed), np.int64)
    found = native.library.search_nearest(
        bits.ctypes.data,
        pointers.ctypes.data,
        sizes.ctypes.data,
        len(signs),
        allowed.ctypes.data,
        CANDIDATES,
        distance.ctypes.data,
        rows.ctypes.data,
    )
    return rows[:found]


def _nearest(distance: NDArray[np.uint16], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """`_near` of distances that were all worked out."""
    step = max(1, len(distance) // _SAMPLE)
    sample = distance[::step][allowed[::step]]
    enough = 2 * CANDIDATES // step + 8
    edge = np.partition(sample, enough)[enough] if enough < len(sample) else _FAR
    rows = np.flatnonzero((distance <= edge) & allowed)  # most probably holds them
    if len(rows) < CANDIDATES:
        rows = np.flatnonzero(allowed)
    if len(rows) <= CANDIDATES:
        return rows
    few = distance[rows]
    near: NDArray[np.int64] = rows[few <= np.partition(few, CANDIDATES - 1)[CANDIDATES - 1]]
    return near


def _distances(bits: NDArray[np.uint64], signs: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Hamming distances `uint16[n]` between a vector's sign bits and those of a segment, column by column."""
    distance = np.zeros(signs.shape[1], np.uint16)
    for column, word in zip(signs, bits, strict=True):
        distance += np.bitwise_count(column ^ word)
    return distance


def rows_of_chunks(parts: Sequence[Part], source: int, chunk_ids: Sequence[int]) -> dict[int, int]:
    """chunk id → overall row, for the live chunks of one source."""
    found: dict[int, int] = {}
    wanted: NDArray[Any] = np.unique(np.fromiter(chunk_ids, np.int64))
    for part in parts:
        if part.source == source:
            ids = part.view.segment.chunk_id
            at = np.searchsorted(ids, wanted)
            inside = at < len(ids)
            at, here = at[inside], wanted[inside]
            hit = ids[at] == here
            found.update(
                (int(chunk), part.offset + int(row))
                for chunk, row in zip(here[hit], at[hit], strict=True)
                if part.allowed[row]
            )
    return found
