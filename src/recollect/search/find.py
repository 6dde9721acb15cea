"""The whole of a search over open indexes: candidates, fusion, ranking, hits. Pure but for reading the snapshots."""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recollect import text
from recollect.index import embed
from recollect.index.snapshot import Definition, FileInfo, Snapshot
from recollect.index.stored import Stored
from recollect.index.terms import term_key
from recollect.model import Hit
from recollect.search import rank, score, snippet
from recollect.search.filters import Filters, allowed_files
from recollect.search.query import Query
from recollect.search.score import Cosines, Part
from recollect.sync.tree import printable

_PHRASE_FILES = 300  # whose text is looked through for a quoted phrase
_BY_HISTORY = 20  # files that are candidates for what commits said of them
_STRONG = 2.0  # deviations above the mean of a chunk that counts in full: the best of what matches badly does not
_FOLDERS = 4  # above a repository and its own, by which a question may name it
_BREADTH = 3  # chunks
_LARGE = math.log1p(150)  # chunks of a file that counts as large as any
_CHUNKS_SHOWN = 50  # of one file
_AT_A_TIME = 64  # files
_LEAST = 0.001  # score of a chunk that matches but is below the average


@dataclass(frozen=True, slots=True)
class Source:
    """An index to search: its repository's name and root, and the snapshot to read."""

    name: str
    root: Path
    snapshot: Snapshot


class _Found(NamedTuple):
    """Candidate chunks, file by file; `total` is `value` (the fused score, 1 at most) with what single chunks get on top."""

    rows: NDArray[np.int64]
    source: NDArray[np.int64]
    file_id: NDArray[np.int64]
    value: NDArray[np.float64]
    lexical: NDArray[np.float64]
    total: NDArray[np.float64]


class _Files(NamedTuple):
    """Spans of `_Found` that belong to one file each."""

    first: NDArray[np.int64]
    end: NDArray[np.int64]
    total: NDArray[np.float64]  # of the best chunk and the addends
    addends: dict[str, NDArray[np.float64]]  # to the best chunk's score, by name


@dataclass(frozen=True, slots=True)
class _File:
    """A ranked file; `chunks`: (overall row, score), best first."""

    source: int
    info: FileInfo
    chunks: list[tuple[int, float]]
    score: float
    addends: dict[str, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """How hits are given: how many, how many lines of each, and at most how many tokens in all."""

    limit: int = 10
    snippet_lines: int = 12
    max_tokens: int | None = None
    chunks: bool = False  # each chunk a hit of its own, rather than each file
    explain: bool = False


def warm() -> None:
    """Load the embedding model."""
    embed.model()


def prepare(snapshot: Snapshot, cancelled: Callable[[], bool]) -> None:
    """Work out what questions need of all paths, a little at a time; later generations take it over."""
    if snapshot.memo.get("prepared"):
        return
    table = _path_table(snapshot)
    ids = np.fromiter((info.id for info in snapshot.files.values() if info.status == "indexed"), np.int64)
    for start in range(0, len(ids), _AT_A_TIME):
        if cancelled():
            return
        table.fill(ids[start : start + _AT_A_TIME], snapshot.files)
        time.sleep(0.002)  # a question goes first
    snapshot.memo["prepared"] = True


def find(
    query: Query, sources: Sequence[Source], filters: Filters, shape: Shape, cosines: Cosines | None = None
) -> tuple[Hit, ...]:
    """Hits, best first; ties in the order of repository, path, line. `cosines`: by another model than the bundled one."""
    weights = rank.WEIGHTS.of_chunks() if shape.chunks else rank.WEIGHTS
    search = _searching(query, sources, filters, cosines, weights)
    return search.hits(search.ranked(shape.limit), shape) if search is not None else ()


def place_of(
    query: Query, sources: Sequence[Source], filters: Filters, path: str, cosines: Cosines | None = None
) -> tuple[int, Hit] | None:
    """(rank, hit with its addends) of one file among all candidates; None where it is none of them."""
    search = _searching(query, sources, filters, cosines, rank.WEIGHTS)
    if search is None:
        return None
    for number, file in enumerate(search.ranked(1_000_000), 1):
        if file.info.path == path:
            return number, search.hits([file], Shape(limit=1, explain=True))[0]
    return None


def _searching(
    query: Query, sources: Sequence[Source], filters: Filters, cosines: Cosines | None, weights: rank.Weights
) -> _Search | None:
    """None where nothing is asked (words are terms too), or there is nothing to search."""
    allowed = [allowed_files(source.snapshot, filters, i) for i, source in enumerate(sources)]
    parts = score.parts_of([source.snapshot for source in sources], allowed)
    return _Search(query, sources, parts, allowed, weights, cosines) if parts and query.terms else None


# -- ranking ----------------------------------------------------------------------------------------------------------


class _Search:
    def __init__(
        self,
        query: Query,
        sources: Sequence[Source],
        parts: Sequence[Part],
        allowed: Sequence[NDArray[np.bool_] | None],
        weights: rank.Weights,
        cosines: Cosines | None = None,
    ) -> None:
        self._cosines = cosines
        self._query = query
        self._sources = sources
        self._parts = parts
        self._path_match = rank.PathMatch(query.words)
        self._weights = weights
        self._path_weight = weights.path * (weights.symbol_path if query.symbol else 1.0)
        self._addends: dict[int, dict[str, float]] = defaultdict(dict)  # overall row → addends beyond the fused score
        self._defines: dict[int, Definition] = {}  # overall row → the asked name's definition in it
        self._history = score.history(query.terms, [source.snapshot for source in sources], allowed)
        several = len(sources) > 1
        identities = [(source.name, source.root.parts[-_FOLDERS:]) for source in sources] if several else []
        self._named = rank.named(identities, query.text) if several else [False]
        self._coherence = 0.0 if several else weights.coherence * (weights.symbol_coherence if query.symbol else 1.0)
        self._add_definitions()
        self._add_phrases()

    # definitions, phrases: what single chunks get on top

    def _add(self, row: int, name: str, value: float) -> None:
        self._addends[row][name] = max(value, self._addends[row].get(name, 0.0))

    def _add_definitions(self) -> None:
        query = self._query
        names = (query.symbol,) if query.symbol else query.names
        if not names:
            return
        found = [
            (i, item)
            for i, source in enumerate(self._sources)
            for item in source.snapshot.definitions(names, fold=True)
        ]
        for name in names:
            exact = [(i, item) for i, item in found if item.name == name]
            self._boost(name, exact or [(i, item) for i, item in found if item.name.lower() == name.lower()])

    def _boost(self, name: str, definitions: Sequence[tuple[int, Definition]]) -> None:
        query, weights = self._query, self._weights
        by_source: dict[int, list[Definition]] = defaultdict(list)
        for source, item in definitions:
            by_source[source].append(item)
        for source, items in by_source.items():
            rows = score.rows_of_chunks(self._parts, source, [item.chunk_id for item in items])
            for item in items:
                if item.chunk_id in rows:
                    own_name = f".{item.qualified_name}"
                    value = weights.definition_named
                    if any(own_name.endswith(f".{name}") for name in query.qualified_names):
                        value = weights.definition_named_qualified
                    elif query.symbol:
                        path = self._sources[source].snapshot.files[item.file_id].path
                        own = rank.path_parts(path)[2] == rank.fold(name)
                        asked = query.qualified is not None and own_name.endswith(f".{query.qualified}")
                        value = weights.definition_in_its_file if own or asked else weights.definition
                        if item.kind == "constructor":
                            value -= weights.constructor
                    self._add(rows[item.chunk_id], "definition", value)
                    self._defines.setdefault(rows[item.chunk_id], item)

    def _add_phrases(self) -> None:
        for phrase in self._query.phrases:
            keys = [term_key(part) for part in _phrase_terms(phrase)]
            looked = 0
            for part in self._parts:
                rows = _rows_with_all(part, keys)
                for row in rows[: max(_PHRASE_FILES - looked, 0)]:
                    looked += 1
                    if phrase in self._chunk_text(part, int(row)):
                        self._add(part.offset + int(row), "phrase", self._weights.phrase)

    def _chunk_text(self, part: Part, row: int) -> str:
        segment = part.view.segment
        span = int(segment.start_line[row]), int(segment.end_line[row])
        return "\n".join(self._sources[part.source].snapshot.lines(int(segment.file_id[row]), *span))

    # chunks → files

    def ranked(self, limit: int) -> list[_File]:
        """Files, best first: at least `limit` of them, if there are so many."""
        found = self._candidates()
        if not len(found.rows):
            return []
        files = self._grouped(found)
        bound = self._bounds(found, files)
        order = np.argsort(-bound, kind="stable").tolist()
        done: list[tuple[float, int, FileInfo, int]] = []
        block = 2 * limit + 10
        for at in range(0, len(order), block):
            if len(done) >= 2 * limit:
                threshold = sorted((total for total, *_ in done), reverse=True)[2 * limit - 1]
                if bound[order[at]] < threshold:
                    break
            done += [self._scored(found, files, number) for number in order[at : at + block]]
        best = sorted(done, key=lambda item: (-item[0], self._sources[item[1]].name, item[2].path))
        return [self._finished(found, files, at, total, info) for total, _, info, at in best[: 2 * limit]]

    def _bounds(self, found: _Found, files: _Files) -> NDArray[np.float64]:
        """What each file's score is at most, before its path is held against the question's words."""
        source, file_id = found.source[files.first], found.file_id[files.first]
        bound = files.total.copy()
        wanted = np.uint64(rank.beginnings(self._query.words))
        for number in np.unique(source).tolist():
            here = np.flatnonzero(source == number)
            snapshot, ids = self._sources[number].snapshot, file_id[here]
            table = _path_table(snapshot)
            table.fill(ids, snapshot.files)
            bound[here] += np.where(table.beginnings[ids] & wanted, self._path_weight, 0.0)
            if self._query.paths:
                bound[here] += self._weights.path_given
            if not self._query.asked_for:
                bound[here] *= table.kept[ids] ** self._weights.penalties
        return bound

    def _scored(self, found: _Found, files: _Files, at: int) -> tuple[float, int, FileInfo, int]:
        """(score, source, file, number) of a candidate file."""
        first = int(files.first[at])
        source = int(found.source[first])
        info = self._sources[source].snapshot.files[int(found.file_id[first])]
        total = float(files.total[at])
        if self._query.words:
            total += self._path_weight * self._path_match(info.path)
        if self._query.paths and self._is_given(info.path):
            total += self._weights.path_given
        return total * rank.kept(info.path, self._query.asked_for) ** self._weights.penalties, source, info, at

    def _is_given(self, path: str) -> bool:
        return any(f"/{path}".endswith(f"/{given}") for given in self._query.paths)

    def _path_addends(self, path: str) -> dict[str, float]:
        addends = {}
        match = self._path_weight * self._path_match(path) if self._query.words else 0.0
        if match:
            addends["path"] = match
        if self._is_given(path):
            addends["path_given"] = self._weights.path_given
        return addends

    def _candidates(self) -> _Found:
        """Candidate chunks that have any score, in the order of source, file, falling score, line."""
        snapshots = [source.snapshot for source in self._sources]
        by_history = self._rows_by_history()
        extra_rows = [*self._addends, *by_history]
        scored = score.score(self._query.terms, self._query.counts, snapshots, self._parts, extra_rows, self._cosines)
        weights = self._weights
        fused = weights.lexical * (scored.lexical - scored.lexical_floor) + weights.dense * scored.dense
        top = float(fused.max()) if len(fused) else 0.0
        scale = 1.0 / max(top, _STRONG)
        # What matches words, but less than the average chunk does, comes last rather than not at all.
        found = scored.matching.copy()
        found[np.searchsorted(scored.rows, by_history)] = True  # they are all among them
        least = np.where(found, _LEAST / (1.0 - np.minimum(fused, 0)), 0.0)
        fused = np.where(fused > 0, fused, least / scale).astype(np.float64)
        extra = np.zeros(len(scored.rows))
        for row, addends in self._addends.items():
            place = int(np.searchsorted(scored.rows, row))
            if place < len(extra) and int(scored.rows[place]) == row:
                extra[place] = sum(addends.values())
        value = fused * scale
        total = value + extra
        keep = np.flatnonzero(total > 0)
        lexical = weights.lexical * (scored.lexical.astype(np.float64) - scored.lexical_floor) * scale
        rows = scored.rows[keep]
        source, file_id = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        for part, span in score.split(self._parts, rows):
            at = rows[span] - part.offset
            source[span] = part.source
            file_id[span] = part.view.segment.file_id[at]
        # The live rows of a file are neighbours in the order of their lines, which a stable sort leaves so.
        order = np.lexsort((-total[keep], source * (1 << 32) + file_id))
        keep = keep[order]
        return _Found(rows[order], source[order], file_id[order], value[keep], lexical[keep], total[keep])

    def _rows_by_history(self) -> list[int]:
        """Chunks of the files whose history matches best: they are candidates whatever their text says."""
        found: list[int] = []
        best = [_best(value) for value in self._history]
        for part in self._parts:
            if len(best[part.source]):
                rows = score.rows_of_files(part, best[part.source])
                found += (rows[part.allowed[rows]] + part.offset).tolist()
        return found

    def _grouped(self, found: _Found) -> _Files:
        key = found.source * (1 << 32) + found.file_id
        first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
        best = found.total[first]
        weights = self._weights
        good = np.where(found.total > weights.coherent * best.max(), found.total, 0.0)
        sums = np.add.reduceat(good, first)
        end = np.append(first[1:], len(key))
        leading = np.where(np.arange(len(key)) - np.repeat(first, end - first) < _BREADTH, found.total, 0.0)
        addends = {
            "coherence": self._coherence * sums / max(float(sums.max()), 1e-9),
            "breadth": weights.breadth * np.add.reduceat(leading, first) / _BREADTH,
        }
        history, size = np.zeros(len(first)), np.zeros(len(first))
        for number in np.unique(found.source[first]).tolist():
            here = np.flatnonzero(found.source[first] == number)
            ids = found.file_id[first[here]]
            history[here] = self._history[number][ids]
            if weights.size:
                chunks = score.chunks_of_files(self._sources[number].snapshot)[ids]
                size[here] = np.minimum(np.log1p(chunks) / _LARGE, 1.0)
        addends |= {"history": weights.history * history, "size": weights.size * size}
        if any(self._named):
            addends["project"] = weights.project * np.array(self._named, np.float64)[found.source[first]]
        return _Files(first, end, best + sum(addends.values()), addends)

    def _finished(self, found: _Found, files: _Files, at: int, score_: float, info: FileInfo) -> _File:
        """One file with its chunks and all its addends by name."""
        first, end = int(files.first[at]), int(files.end[at])
        chunks = [(int(found.rows[i]), float(found.total[i])) for i in range(first, min(end, first + _CHUNKS_SHOWN))]
        lexical = float(found.lexical[first])
        addends = {
            "lexical": lexical,
            "dense": float(found.value[first]) - lexical,
            **self._addends.get(chunks[0][0], {}),
        }
        addends |= {name: float(values[at]) for name, values in files.addends.items() if values[at] > 0}
        addends.update(self._path_addends(info.path))
        total = sum(addends.values())
        for name, factor in rank.penalty(info.path, self._query).items():
            factor **= self._weights.penalties
            addends[f"penalty_{name}"] = total * (factor - 1.0)
            total *= factor
        return _File(int(found.source[first]), info, chunks, score_, addends)

    # hits

    def _part(self, row: int) -> Part:
        return next(part for part in reversed(self._parts) if part.offset <= row)

    def _span(self, row: int) -> tuple[int, int]:
        part = self._part(row)
        at = row - part.offset
        return int(part.view.segment.start_line[at]), int(part.view.segment.end_line[at])

    def hits(self, files: Sequence[_File], shape: Shape) -> tuple[Hit, ...]:
        """Hits of ranked files: equal contents once, within the budget of tokens."""
        unique: dict[bytes, _File] = {}
        copies: dict[bytes, list[str]] = defaultdict(list)
        for file in files:
            first = unique.setdefault(file.info.hash, file)
            if first is not file:
                copies[file.info.hash].append(f"{self._sources[file.source].name}:{printable(file.info.path)}")
        made: list[Hit] = []
        left = shape.max_tokens
        shown = [
            (file, chunk, more)
            for file in list(unique.values())[: shape.limit]
            for chunk, more in self._shown(file, shape)
        ]
        if shape.chunks:
            shown.sort(key=lambda item: -item[0].score * item[1][1] / item[0].chunks[0][1])
        shown = shown[: shape.limit]
        wanted: dict[int, list[int]] = defaultdict(list)
        for file, _, _ in shown:
            wanted[file.source].append(file.info.id)
        texts = {source: self._sources[source].snapshot.all_stored(ids) for source, ids in wanted.items()}
        for file, chunk, more in shown:
            text = texts[file.source].get(file.info.id)
            hit = self._hit(file, chunk, more, copies[file.info.hash], shape, text)
            if left is not None:
                cost = snippet.tokens(hit.snippet) + snippet.tokens(hit.path) + 20
                if made and cost > left:
                    break
                left -= cost
            made.append(hit)
        return tuple(made)

    def _shown(self, file: _File, shape: Shape) -> list[tuple[tuple[int, float], list[int]]]:
        if shape.chunks:
            return [(chunk, []) for chunk in file.chunks]
        good = [chunk for chunk in file.chunks if chunk[1] >= 0.5 * file.chunks[0][1]]
        return [(file.chunks[0], [row for row, _ in good[1:6]])]

    def _hit(
        self,
        file: _File,
        chunk: tuple[int, float],
        more: Sequence[int],
        copies: Sequence[str],
        shape: Shape,
        text: Stored | None,
    ) -> Hit:
        source = self._sources[file.source]
        part = self._part(chunk[0])
        chunk_id = int(part.view.segment.chunk_id[chunk[0] - part.offset])
        kind, symbol = source.snapshot.chunk_row(file.info.id, chunk_id)
        start, end = self._span(chunk[0])
        lines = text.lines(start, end) if text is not None else []
        size = self._lines_wanted(shape)
        defined = self._defines.get(chunk[0])
        if defined is None:
            first, last = snippet.window(lines, self._query.terms, size)
        else:  # what was asked for by name is shown from its first line
            kind, symbol = defined.kind, defined.qualified_name
            first = max(0, min(defined.start_line - start, len(lines) - size))
            last = min(first + size, len(lines))
        return Hit(
            repository=source.name,
            path=printable(file.info.path),
            absolute_path=printable(os.path.join(source.root, file.info.path)),
            start_line=start,
            end_line=end,
            language=file.info.language,
            symbol=symbol or None,
            kind=kind or None,
            score=round(file.score * (chunk[1] / file.chunks[0][1]) if shape.chunks else file.score, 4),
            snippet=snippet.shown(lines[first:last]),
            snippet_line=start + first,
            more=tuple(sorted(self._span(other) for other in more)),
            also_in=tuple(copies),
            explain={name: round(value, 4) for name, value in file.addends.items()} if shape.explain else None,
        )

    @staticmethod
    def _lines_wanted(shape: Shape) -> int:
        if shape.max_tokens is None:
            return shape.snippet_lines
        fair = shape.max_tokens // max(shape.limit, 1) // 10  # some ten tokens a line
        return min(shape.snippet_lines, max(1, fair))


def _best(by_history: NDArray[np.float32]) -> NDArray[np.int64]:
    """Ids of the files that come into question by their history, with all that are as good as the last of them."""
    found = np.flatnonzero(by_history)
    if len(found) > _BY_HISTORY:
        edge = np.partition(by_history[found], len(found) - _BY_HISTORY)[len(found) - _BY_HISTORY]
        found = found[by_history[found] >= edge]
    return found


def _path_table(snapshot: Snapshot) -> rank.PathTable:
    size = len(snapshot.paths.stem_length)
    table: rank.PathTable | None = snapshot.memo.get("path_table")
    if table is None or len(table.kept) < size:
        table = snapshot.memo["path_table"] = rank.PathTable(size, table)
    return table


def _phrase_terms(phrase: str) -> list[str]:
    return list(dict.fromkeys(part for name in text.identifiers(phrase) for part in text.split_identifier(name)))


def _rows_with_all(part: Part, keys: Sequence[int]) -> NDArray[np.int64]:
    rows: NDArray[np.int64] | None = None
    for key in keys:
        found = part.view.segment.postings(key)[0]
        rows = found if rows is None else rows[np.isin(rows, found)]
    return rows[part.allowed[rows]] if rows is not None else np.zeros(0, np.int64)
