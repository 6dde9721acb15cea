"""The whole of a search over open indexes: candidates, fusion, ranking, hits. Pure but for reading the snapshots."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recollect import text
from recollect.index.snapshot import Definition, FileInfo, Snapshot
from recollect.index.terms import term_key
from recollect.model import Hit
from recollect.search import given, rank, score
from recollect.search.filters import Filters, allowed_files
from recollect.search.hits import Hits, RankedFile, Shape, Source
from recollect.search.query import Query
from recollect.search.score import Cosines, Part
from recollect.sync.tree import printable

_PHRASE_CHUNKS = 300  # that hold all its words, whose text is looked through for a quoted phrase
_BY_HISTORY = 20  # files that are candidates for what commits said of them
_STRONG = 2.0  # deviations above the mean of a chunk that counts in full: the best of what matches badly does not
_FOLDERS = 4  # above a repository and its own, by which a question may name it
_BREADTH = 3  # chunks
_BY_NAME = 100  # best chunks whose names are looked at
_SPEAKS = 3.0  # a repository that speaks e³ times less often of something than another counts as not speaking of it
_SAID_ALONE = 4.0  # times that history counts more, where no code or path has a word of the question
_LARGE = math.log1p(150)  # chunks of a file that counts as large as any
_CHUNKS_SHOWN = 50  # of one file
_AT_A_TIME = 64  # files
_LEAST = 0.001  # score of a chunk that matches but is below the average


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


class _Ranked(NamedTuple):
    """A file with its score; `number`: which one of `_Files`."""

    score: float
    source: int
    info: FileInfo
    number: int


def warm() -> None:
    """Load the embedding model, and work out which of its words are forms of one."""
    rank.forms("")


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
    if search is None:
        return ()
    return search.hits(search.ranked(shape.limit) if shape.chunks else search.placed(shape.limit), shape)


def place_of(
    query: Query, sources: Sequence[Source], filters: Filters, path: str, cosines: Cosines | None = None
) -> tuple[int, Hit] | None:
    """(rank, hit with its addends) of one file among all candidates; None where it is none of them."""
    search = _searching(query, sources, filters, cosines, rank.WEIGHTS)
    if search is None:
        return None
    for place, file in enumerate(search.ranked(1_000_000), 1):
        if file.info.path == path:
            return place, search.hits([file], Shape(limit=1, explain=True))[0]
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
        self._allowed = allowed
        self._path_match = rank.PathMatch(query.words)
        self._weights = weights
        self._path_weight = weights.path * (weights.symbol_path if query.symbol else 1.0)
        self._addends: dict[int, dict[str, float]] = defaultdict(dict)  # overall row → addends beyond the fused score
        self._defines: dict[int, Definition] = {}  # overall row → the asked name's definition in it
        self._excused: set[tuple[int, int]] = set()  # (source, file id): no penalties
        self._given = {path: given.files(path, sources) for path in query.paths}
        self._given_files = {place for places in self._given.values() for place in places}
        self._given_lines: dict[int, int] = {}  # overall row → the line of it that the question names
        self._history, self._said = score.history(query.terms, [source.snapshot for source in sources], allowed)
        several = self._several = len(sources) > 1
        identities = [(source.name, source.root.parts[-_FOLDERS:]) for source in sources] if several else []
        self._named = rank.named(identities, query.text) if several else [False]
        self._coverage_weight = weights.coverage_of_several if several else weights.coverage
        self._coherence = 0.0 if several else weights.coherence * (weights.symbol_coherence if query.symbol else 1.0)
        self._add_definitions()
        self._add_phrases()
        self._add_lines()
        self._found = self._candidates()
        self._files = self._grouped()

    # definitions, phrases: what single chunks get on top

    def _add(self, row: int, name: str, value: float) -> None:
        self._addends[row][name] = max(value, self._addends[row].get(name, 0.0))

    def _add_definitions(self) -> None:
        query = self._query
        names = (query.symbol,) if query.symbol else (*query.names, *query.types)
        if not names:
            return
        spelled = {name: text.spellings(name) for name in names}
        wanted = [form for forms in spelled.values() for form in forms]
        found = [
            (i, item)
            for i, source in enumerate(self._sources)
            for item in source.snapshot.definitions(wanted, fold=True)
        ]
        for name in names:
            exact = [(i, item) for i, item in found if item.name == name]
            if name in query.types:
                exact = [(i, item) for i, item in exact if item.kind in rank.TYPES]
            else:
                exact = exact or [(i, item) for i, item in found if item.name.lower() == name.lower()]
                exact = exact or [(i, item) for i, item in found if _is_spelled_as(item, name, spelled[name])]
            self._boost(name, exact)
            if query.symbol:
                self._excuse({(i, item.file_id) for i, item in exact})

    def _excuse(self, files: set[tuple[int, int]]) -> None:
        """A symbol that is defined in tests and the like alone is looked for there: they are not penalised for what they are."""
        paths = (self._sources[source].snapshot.files[file_id].path for source, file_id in files)
        if all(rank.kept(path, self._query.asked_for) < 1.0 for path in paths):
            self._excused |= files

    def _boost(self, name: str, definitions: Sequence[tuple[int, Definition]]) -> None:
        by_source: dict[int, list[Definition]] = defaultdict(list)
        for source, item in definitions:
            by_source[source].append(item)
        for source, items in by_source.items():
            rows = score.rows_of_chunks(self._parts, source, [item.chunk_id for item in items])
            opened = {(item.qualified_name, item.file_id) for item in items if item.kind in rank.REOPENED}
            times = Counter(qualified_name for qualified_name, _ in opened)
            for item in items:
                value = self._worth(name, source, item, reopened=times[item.qualified_name] > 1)
                if value and item.chunk_id in rows:
                    self._add(rows[item.chunk_id], "definition", value)
                    self._defines.setdefault(rows[item.chunk_id], item)

    def _worth(self, name: str, source: int, item: Definition, reopened: bool) -> float:
        """What is added for a definition of `name`. `reopened`: several files add to what it names (Ruby's modules)."""
        query, weights = self._query, self._weights
        own_name = f".{item.qualified_name}"
        if any(own_name.endswith(f".{asked}") for asked in query.qualified_names):
            return weights.definition_named_qualified
        if not query.symbol:
            return 0.0 if reopened else weights.definition_named
        of_file = rank.is_named_for(self._sources[source].snapshot.files[item.file_id].path, name)
        asked_for = query.qualified is not None and own_name.endswith(f".{query.qualified}")
        value = weights.definition_in_its_file if of_file or asked_for else weights.definition
        return value - weights.constructor if item.kind == "constructor" or (reopened and not of_file) else value

    def _add_phrases(self) -> None:
        for phrase in self._query.phrases:
            for part, row in self._with_words_of(phrase):
                if phrase in self._chunk_text(part, row):
                    self._add(part.offset + row, "phrase", self._weights.phrase)

    def _with_words_of(self, phrase: str) -> Iterator[tuple[Part, int]]:
        """Chunks that hold all words of a phrase; of very many those that speak most of these."""
        terms = _phrase_terms(phrase)
        keys = [term_key(term) for term in terms]
        rows = np.concatenate([part.offset + _rows_with_all(part, keys) for part in self._parts])
        if len(rows) > _PHRASE_CHUNKS:
            scores, _ = score.bm25(terms, [source.snapshot for source in self._sources], self._parts)
            rows = rows[_greatest(scores[rows], _PHRASE_CHUNKS)]
        for part, span in score.split(self._parts, rows):
            yield from ((part, row) for row in (rows[span] - part.offset).tolist())

    def _add_lines(self) -> None:
        for (path, line), part in product(self._query.lines, self._parts):
            ids = [file_id for source, file_id in self._given[path] if source == part.source]
            if not ids:
                continue
            segment, rows = part.view.segment, score.rows_of_files(part, np.array(ids))
            holds = part.allowed[rows] & (segment.start_line[rows] <= line) & (line <= segment.end_line[rows])
            for row in (part.offset + rows[holds]).tolist():
                self._add(row, "line_given", self._weights.line_given)
                self._given_lines.setdefault(row, line)

    def _chunk_text(self, part: Part, row: int) -> str:
        segment = part.view.segment
        span = int(segment.start_line[row]), int(segment.end_line[row])
        return "\n".join(self._sources[part.source].snapshot.lines(int(segment.file_id[row]), *span))

    # chunks → files

    def placed(self, limit: int) -> list[_Ranked]:
        """Files, best first, as `ranked`; those of the first one's repository are in the order that a question about it alone gives.

        How they compare with files of other repositories says which places are theirs.
        """
        ranked = self.ranked(limit)
        if not (self._several and ranked):
            return ranked
        source = ranked[0].source
        places = [place for place, item in enumerate(ranked) if item.source == source]
        number_of = self._numbers(source)
        alone = (number_of.get(item.info.id) for item in self._alone(source).ranked(limit))
        own = dict.fromkeys(number for number in alone if number is not None)
        own |= dict.fromkeys(ranked[place].number for place in places)
        for place, number in zip(places, own, strict=False):
            ranked[place] = self._scored(number)._replace(score=ranked[place].score)
        return ranked

    def _alone(self, source: int) -> _Search:
        allowed, sources = [self._allowed[source]], [self._sources[source]]
        parts = score.parts_of([sources[0].snapshot], allowed)
        return _Search(self._query, sources, parts, allowed, self._weights, self._cosines)

    def _numbers(self, source: int) -> dict[int, int]:
        """file id → which one of `_Files`, for the candidates of a source."""
        first = self._files.first
        here = np.flatnonzero(self._found.source[first] == source)
        return dict(zip(self._found.file_id[first[here]].tolist(), here.tolist(), strict=True))

    def ranked(self, limit: int) -> list[_Ranked]:
        """Files, best first: at least `limit` of them, if there are so many."""
        bound = self._bounds()
        order = np.argsort(-bound, kind="stable").tolist()
        done: list[_Ranked] = []
        block = 2 * limit + 10
        for at in range(0, len(order), block):
            if len(done) >= 2 * limit and bound[order[at]] < self._scores(done)[2 * limit - 1]:
                break
            done += [self._scored(number) for number in order[at : at + block]]
        done.sort(key=self._in_order)
        if self._several:
            for place in self._firsts(done):
                done[place] = done[place]._replace(score=done[place].score + self._weights.first)
            done.sort(key=self._in_order)
        return done[: 2 * limit]

    def _scores(self, files: Sequence[_Ranked]) -> list[float]:
        """Falling; of several repositories the best file of each gets something on top."""
        scores = [item.score for item in files]
        if self._several:
            for place in self._firsts(files):
                scores[place] += self._weights.first
        return sorted(scores, reverse=True)

    def _firsts(self, files: Sequence[_Ranked]) -> list[int]:
        """Where the best file of each repository is, the first of equal ones."""
        best: dict[int, int] = {}
        for place, item in enumerate(files):
            if item.source not in best or item.score > files[best[item.source]].score:
                best[item.source] = place
        return list(best.values())

    def _in_order(self, item: _Ranked) -> tuple[float, str, str]:
        return -item.score, self._sources[item.source].name, item.info.path

    def _by_source(self, source: NDArray[np.int64]) -> Iterator[tuple[int, slice | NDArray[np.int64]]]:
        """(source, where in the array it is), of each that occurs."""
        if self._several:
            yield from ((number, np.flatnonzero(source == number)) for number in np.unique(source).tolist())
        else:
            yield 0, slice(None)

    def _bounds(self) -> NDArray[np.float64]:
        """What each file's score is at most, before its path is held against the question's words."""
        first = self._files.first
        source, file_id = self._found.source[first], self._found.file_id[first]
        bound = self._files.total.copy()
        wanted = np.uint64(self._path_match.beginnings)
        for number, here in self._by_source(source):
            snapshot, ids = self._sources[number].snapshot, file_id[here]
            table = _path_table(snapshot)
            table.fill(ids, snapshot.files)
            bound[here] += np.where(table.beginnings[ids] & wanted, self._path_weight, 0.0)
            if self._given_files:
                bound[here] += self._weights.path_given
            if not self._query.asked_for:
                kept = table.kept[ids]
                if self._excused:
                    kept[np.isin(ids, [file_id for of, file_id in self._excused if of == number])] = 1.0
                bound[here] *= kept**self._weights.penalties
        return bound + (self._weights.first if self._several else 0.0)

    def _scored(self, number: int) -> _Ranked:
        """A candidate file."""
        first = int(self._files.first[number])
        source = int(self._found.source[first])
        info = self._sources[source].snapshot.files[int(self._found.file_id[first])]
        total = float(self._files.total[number])
        if self._query.words:
            total += self._path_weight * self._path_match(info.path)
        if (source, info.id) in self._given_files:
            total += self._weights.path_given
        for factor in self._penalties(source, info).values():
            total *= factor
        return _Ranked(total, source, info, number)

    def _penalties(self, source: int, info: FileInfo) -> dict[str, float]:
        """Factors that apply to a file for this question, by name."""
        if (source, info.id) in self._excused:
            return {}
        return {name: factor**self._weights.penalties for name, factor in rank.penalty(info.path, self._query).items()}

    def _path_addends(self, source: int, info: FileInfo) -> dict[str, float]:
        addends = {}
        match = self._path_weight * self._path_match(info.path) if self._query.words else 0.0
        if match:
            addends["path"] = match
        if (source, info.id) in self._given_files:
            addends["path_given"] = self._weights.path_given
        return addends

    def _candidates(self) -> _Found:
        """Candidate chunks that have any score, in the order of source, file, falling score, line."""
        snapshots = [source.snapshot for source in self._sources]
        by_history = self._rows_by_history()
        extra_rows = [*self._addends, *by_history]
        scored = score.score(self._query.terms, self._query.counts, snapshots, self._parts, extra_rows, self._cosines)
        self._frequencies = scored.frequencies
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
        if weights.name:
            self._add_names(scored.rows, total)
        keep = np.flatnonzero(total > 0)
        lexical = weights.lexical * (scored.lexical.astype(np.float64) - scored.lexical_floor) * scale
        rows = scored.rows[keep]
        source, file_id = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        for part, span in score.split(self._parts, rows):
            at = rows[span] - part.offset
            source[span] = part.source
            file_id[span] = part.view.segment.file_id[at]
        # Complex numbers are sorted by their real part, then the imaginary one: at once, in half the time of `lexsort`.
        # The live rows of a file are neighbours in the order of their lines, which a stable sort leaves so.
        order = np.argsort(source * (1 << 32) + file_id - 1j * total[keep], kind="stable")
        keep = keep[order]
        return _Found(rows[order], source[order], file_id[order], value[keep], lexical[keep], total[keep])

    def _add_names(self, rows: NDArray[np.int64], total: NDArray[np.float64]) -> None:
        """Add to the totals of the best chunks what the names of what they define have of the question's words."""
        if not self._query.words:
            return
        best = _greatest(total, _BY_NAME)
        best = best[total[best] > 0]
        for part, span in score.split(self._parts, rows[best]):
            segment, at = part.view.segment, rows[best[span]] - part.offset
            ids = segment.chunk_id[at].tolist()
            names = part.snapshot.chunk_names(list(zip(segment.file_id[at].tolist(), ids, strict=True)))
            for place, chunk_id in zip(best[span].tolist(), ids, strict=True):
                value = self._weights.name * self._path_match.of_name(names.get(chunk_id, ("", ""))[1])
                if value:
                    self._add(int(rows[place]), "name", value)
                    total[place] += value

    def _rows_by_history(self) -> list[int]:
        """Chunks of the files whose history matches best: they are candidates whatever their text says."""
        found: list[int] = []
        best = [_best(value) for value in self._history]
        for part in self._parts:
            if len(best[part.source]):
                rows = score.rows_of_files(part, best[part.source])
                found += (rows[part.allowed[rows]] + part.offset).tolist()
        return found

    def _grouped(self) -> _Files:
        found, weights = self._found, self._weights
        key = found.source * (1 << 32) + found.file_id
        first = np.flatnonzero(np.diff(key, prepend=-1))
        best = found.total[first]
        good = np.where(found.total > weights.coherent * best.max(initial=0.0), found.total, 0.0)
        sums = np.add.reduceat(good, first)
        end = np.append(first[1:], len(key))
        leading = np.where(np.arange(len(key)) - np.repeat(first, end - first) < _BREADTH, found.total, 0.0)
        addends = {
            "coherence": self._coherence * sums / float(sums.max(initial=1e-9)),
            "breadth": weights.breadth * np.add.reduceat(leading, first) / _BREADTH,
        }
        history, size, coverage = (np.zeros(len(first)) for _ in range(3))
        covered = self._coverage()
        for number, here in self._by_source(found.source[first]):
            ids = found.file_id[first[here]]
            history[here] = self._history[number][ids]
            if covered:
                coverage[here] = covered[number][ids]
            if weights.size:
                chunks = score.chunks_of_files(self._sources[number].snapshot)[ids]
                size[here] = np.minimum(np.log1p(chunks) / _LARGE, 1.0)
        sizes = [source.snapshot.n_chunks for source in self._sources]
        said_alone = score.said_alone(self._frequencies, self._said, sum(sizes))
        addends |= {
            "coverage": self._coverage_weight * coverage,
            "history": weights.history * (1 + _SAID_ALONE * said_alone**3) * history,
            "size": weights.size * size,
        }
        if self._several:
            likelihood = score.likelihood(self._frequencies, sizes)
            speaks = np.maximum(1 + (likelihood - likelihood.max()) / _SPEAKS, 0)
            addends["repository"] = weights.repository * speaks[found.source[first]]
        if any(self._named):
            addends["project"] = weights.project * np.array(self._named, np.float64)[found.source[first]]
        return _Files(first, end, best + sum(addends.values()), addends)

    def _coverage(self) -> list[NDArray[np.float32]]:
        """Share of the question's words that each file holds, for each source; of none where it does not count."""
        if not self._coverage_weight:
            return []
        forms = [rank.forms(word) for word in self._query.counts]
        return score.coverage(forms, [source.snapshot for source in self._sources], self._parts)

    def _finished(self, ranked: _Ranked, copies: Sequence[str], each: bool = False) -> RankedFile:
        """A file with its chunks and all its addends by name; `each`: also with those of its chunks by themselves."""
        found, files, info = self._found, self._files, ranked.info
        first, end = int(files.first[ranked.number]), int(files.end[ranked.number])
        shown = range(first, min(end, first + _CHUNKS_SHOWN))
        chunks = [(int(found.rows[i]), float(found.total[i])) for i in shown]
        addends = self._of_chunk(first)
        also = ((name, float(values[ranked.number])) for name, values in files.addends.items())
        addends |= {name: value for name, value in also if value > 0}
        addends.update(self._path_addends(ranked.source, info))
        total = sum(addends.values())
        for name, factor in self._penalties(ranked.source, info).items():
            addends[f"penalty_{name}"] = total * (factor - 1.0)
            total *= factor
        if not math.isclose(ranked.score, total):
            addends["place"] = ranked.score - total
        by_chunk = tuple(map(self._of_chunk, shown)) if each else ()
        return RankedFile(ranked.source, info, chunks, ranked.score, addends, tuple(copies), by_chunk)

    def _of_chunk(self, number: int) -> dict[str, float]:
        """Addends of one of `_Found`, without what its file has."""
        lexical = float(self._found.lexical[number])
        dense = float(self._found.value[number]) - lexical
        return {"lexical": lexical, "dense": dense, **self._addends.get(int(self._found.rows[number]), {})}

    # hits

    def hits(self, ranked: Sequence[_Ranked], shape: Shape) -> tuple[Hit, ...]:
        """Hits of ranked files: equal contents once."""
        unique: dict[bytes, _Ranked] = {}
        copies: dict[bytes, list[str]] = defaultdict(list)
        for item in ranked:
            first = unique.setdefault(item.info.hash, item)
            if first is not item:
                copies[item.info.hash].append(f"{self._sources[item.source].name}:{printable(item.info.path)}")
        each = shape.chunks and shape.explain
        files = [self._finished(item, copies[item.info.hash], each) for item in list(unique.values())[: shape.limit]]
        return Hits(self._sources, self._parts, self._query.terms, self._defines, self._given_lines, shape).of(files)


def _greatest(values: NDArray[Any], n: int) -> NDArray[np.int64]:
    """Where the `n` greatest are, with all that equal the last; without these if they are many: which came first must not matter."""
    if len(values) <= n:
        return np.arange(len(values))
    edge = np.partition(values, -n)[-n]
    found = np.flatnonzero(values >= edge)
    return found if len(found) <= 2 * n else np.flatnonzero(values > edge)


def _best(by_history: NDArray[np.float32]) -> NDArray[np.int64]:
    """Ids of the files that come into question by their history, with all that are as good as the last of them."""
    found = np.flatnonzero(by_history)
    if len(found) > _BY_HISTORY:
        edge = np.partition(by_history[found], len(found) - _BY_HISTORY)[len(found) - _BY_HISTORY]
        found = found[by_history[found] >= edge]
    return found


def _is_spelled_as(item: Definition, name: str, forms: Collection[str]) -> bool:
    """Whether a definition may be what is asked for as another language spells it: `FromRequest` is no `from_request()`."""
    return item.name.lower() in forms and (item.kind in rank.TYPES or not name[0].isupper())


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
