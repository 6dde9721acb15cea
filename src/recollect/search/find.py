"""The whole of a search over open indexes: candidates, fusion, ranking, hits. Pure but for reading the snapshots."""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recollect import text
from recollect.index.snapshot import Definition, FileInfo, Snapshot
from recollect.index.terms import term_key
from recollect.model import Hit
from recollect.search import rank, score, snippet
from recollect.search.query import Query
from recollect.search.score import Part, Scored
from recollect.sync.tree import printable

_PHRASE_FILES = 300  # whose text is looked through for a quoted phrase


@dataclass(frozen=True, slots=True)
class Source:
    """An index to search: its repository's name and root, and the snapshot to read."""

    name: str
    root: Path
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Filters:
    """What may be found. `paths`: for each source, the only paths (None: all); `globs` match whole relative paths."""

    languages: frozenset[str] = frozenset()
    globs: tuple[str, ...] = ()
    content: str = "code"  # code | docs | config | all
    paths: tuple[Collection[str] | None, ...] | None = None


@dataclass(slots=True)
class _Chunk:
    row: int
    score: float
    addends: dict[str, float]


@dataclass(slots=True)
class _File:
    source: int
    info: FileInfo
    chunks: list[_Chunk] = field(default_factory=list)  # best first
    score: float = 0.0
    addends: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shape:
    """How hits are given: how many, how many lines of each, and at most how many tokens in all."""

    limit: int = 10
    snippet_lines: int = 12
    max_tokens: int | None = None
    chunks: bool = False  # each chunk a hit of its own, rather than each file
    explain: bool = False


def find(query: Query, sources: Sequence[Source], filters: Filters, shape: Shape) -> tuple[Hit, ...]:
    """Hits, best first; ties in the order of repository, path, line."""
    snapshots = [source.snapshot for source in sources]
    allowed = [_allowed(source.snapshot, filters, i) for i, source in enumerate(sources)]
    parts = score.parts_of(snapshots, allowed)
    if not parts or not (query.terms or query.words):
        return ()
    search = _Search(query, sources, parts)
    return search.hits(search.ranked(shape.limit), shape)


def place_of(query: Query, sources: Sequence[Source], filters: Filters, path: str) -> tuple[int, Hit] | None:
    """(rank, hit with its addends) of one file among all candidates; None where it is none of them."""
    snapshots = [source.snapshot for source in sources]
    allowed = [_allowed(source.snapshot, filters, i) for i, source in enumerate(sources)]
    parts = score.parts_of(snapshots, allowed)
    if not parts or not query.terms:
        return None
    search = _Search(query, sources, parts)
    for number, file in enumerate(search.ranked(1_000_000), 1):
        if file.info.path == path:
            return number, search.hits([file], Shape(limit=1, explain=True))[0]
    return None


# -- filters ----------------------------------------------------------------------------------------------------------


def _allowed(snapshot: Snapshot, filters: Filters, source: int) -> NDArray[np.bool_] | None:
    """By file id, whether a file may be found."""
    paths = filters.paths[source] if filters.paths is not None else None
    if filters.content == "all" and not filters.languages and not filters.globs and paths is None:
        return None
    key = ("allowed", filters.content, filters.languages, filters.globs)
    known: NDArray[np.bool_] | None = snapshot.memo.get(key) if paths is None else None
    if known is not None:
        return known
    patterns = [glob_pattern(glob) for glob in filters.globs]
    allowed = np.zeros(len(snapshot.paths.stem_length), np.bool_)
    for info in snapshot.files.values():
        allowed[info.id] = (
            (
                info.status == "indexed"
                and (filters.content in ("all", info.content))
                and (not filters.languages or info.language in filters.languages)
                and (not patterns or any(pattern.match(info.path) for pattern in patterns))
                and (paths is None or info.path in paths)
            )
            if info.id < len(allowed)
            else False
        )
    if paths is None and len(snapshot.memo) < 200:
        snapshot.memo[key] = allowed
    return allowed


def glob_pattern(glob: str) -> re.Pattern[str]:
    """A path glob as in `.gitignore`: `**` any folders, `*` within a name; without `/` it matches a name at any depth."""
    given = glob.strip().removeprefix("./").lstrip("/")
    if given.endswith("/"):
        given += "**"
    if "/" not in given:
        given = "**/" + given
    out = ""
    at = 0
    while at < len(given):
        if given.startswith("**/", at):
            out, at = out + "(?:.*/)?", at + 3
        elif given.startswith("**", at):
            out, at = out + ".*", at + 2
        elif given[at] == "*":
            out, at = out + "[^/]*", at + 1
        elif given[at] == "?":
            out, at = out + "[^/]", at + 1
        elif given[at] == "[" and "]" in given[at + 1 :]:
            end = given.index("]", at + 1)
            out, at = out + fnmatch.translate(given[at : end + 1])[4:-3], end + 1
        elif given[at] == "{" and "}" in given[at:]:
            end = given.index("}", at)
            out += (
                "(?:"
                + "|".join(re.escape(part).replace(r"\*", "[^/]*") for part in given[at + 1 : end].split(","))
                + ")"
            )
            at = end + 1
        else:
            out, at = out + re.escape(given[at]), at + 1
    try:
        return re.compile(out + r"\Z", re.DOTALL)
    except re.error:
        return re.compile(re.escape(given) + r"\Z")


# -- ranking ----------------------------------------------------------------------------------------------------------


class _Search:
    def __init__(self, query: Query, sources: Sequence[Source], parts: Sequence[Part]) -> None:
        self._query = query
        self._sources = sources
        self._parts = parts
        self._addends: dict[int, dict[str, float]] = defaultdict(dict)  # overall row → addends beyond the fused score
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
        query = self._query
        by_source: dict[int, list[Definition]] = defaultdict(list)
        for source, item in definitions:
            by_source[source].append(item)
        for source, items in by_source.items():
            rows = score.rows_of_chunks(self._parts, source, [item.chunk_id for item in items])
            for item in items:
                if item.chunk_id in rows:
                    value = rank.DEFINITION_NAMED
                    if query.symbol:
                        path = self._sources[source].snapshot.files[item.file_id].path
                        own = rank.path_parts(path)[2] == rank.fold(name)
                        asked = query.qualified is not None and f".{item.qualified_name}".endswith(
                            f".{query.qualified}"
                        )
                        value = rank.DEFINITION_IN_ITS_FILE if own or asked else rank.DEFINITION
                    self._add(rows[item.chunk_id], "definition", value)

    def _add_phrases(self) -> None:
        for phrase in self._query.phrases:
            keys = [term_key(part) for part in _phrase_terms(phrase)]
            looked = 0
            for part in self._parts:
                rows = _rows_with_all(part, keys)
                for row in rows[: max(_PHRASE_FILES - looked, 0)]:
                    looked += 1
                    if phrase in self._chunk_text(part, int(row)):
                        self._add(part.offset + int(row), "phrase", rank.PHRASE)

    def _chunk_text(self, part: Part, row: int) -> str:
        segment = part.view.segment
        lines = self._lines(part.source, int(segment.file_id[row]))
        return "\n".join(lines[int(segment.start_line[row]) - 1 : int(segment.end_line[row])])

    def _lines(self, source: int, file_id: int) -> list[str]:
        return self._sources[source].snapshot.text(file_id).split("\n")

    # chunks → files

    def ranked(self, limit: int) -> list[_File]:
        """Files, best first; all of them where `limit` is large, else at least that many."""
        snapshots = [source.snapshot for source in self._sources]
        scored = score.score(self._query.terms, self._query.text, snapshots, self._parts, list(self._addends))
        files = self._files(scored)
        best = max((file.chunks[0].score for file in files), default=0.0)
        coherences = {id(file): sum(c.score for c in file.chunks if c.score > rank.COHERENT * best) for file in files}
        most = max(coherences.values(), default=0.0)
        factor = rank.COHERENCE * (rank.SYMBOL_COHERENCE if self._query.symbol else 1.0)
        for file in files:
            file.addends = dict(file.chunks[0].addends)
            if most > 0 and coherences[id(file)] > 0:
                file.addends["coherence"] = factor * coherences[id(file)] / most
            file.score = sum(file.addends.values())
        return self._finished(files, limit)

    def _files(self, scored: Scored) -> list[_File]:
        """Candidate files with their chunks' scores, normalised so that the best fused one is 1."""
        fused = rank.LEXICAL * (scored.lexical - scored.lexical_floor) + rank.DENSE * scored.dense
        fused = np.maximum(fused, 0)
        top = float(fused.max()) if len(fused) else 0.0
        scale = 1.0 / top if top > 0 else 0.0
        kept = np.flatnonzero(fused > 0) if not self._addends else np.arange(len(fused))
        files: dict[tuple[int, int], _File] = {}
        for part, span in score.split(self._parts, scored.rows[kept]):
            rows = scored.rows[kept][span]
            owners = part.view.segment.file_id[rows - part.offset].tolist()
            infos = self._sources[part.source].snapshot.files
            for at, row, owner in zip(kept[span].tolist(), rows.tolist(), owners, strict=True):
                extra = self._addends.get(row)
                value = float(fused[at]) * scale
                if value <= 0 and not extra:
                    continue
                file = files.get((part.source, owner))
                if file is None:
                    file = files[part.source, owner] = _File(part.source, infos[owner])
                lexical = rank.LEXICAL * (float(scored.lexical[at]) - scored.lexical_floor) * scale
                addends = {"lexical": lexical, "dense": value - lexical, **(extra or {})}
                file.chunks.append(_Chunk(row, value + sum((extra or {}).values()), addends))
        for file in files.values():
            file.chunks.sort(key=lambda chunk: (-chunk.score, *self._span(chunk.row)))
        return list(files.values())

    def _finished(self, files: list[_File], limit: int) -> list[_File]:
        """With path addend and penalties; paths are compared only for files that these could still bring to the top."""
        query = self._query
        factor = rank.PATH * (rank.SYMBOL_PATH if query.symbol else 1.0)
        bounds = []
        for file in files:
            kept = 1.0
            for value in rank.penalty(file.info.path, query).values():
                kept *= value
            reach = factor + (rank.PATH_GIVEN if query.paths else 0.0)
            bounds.append(((file.score + reach) * kept, kept))
        order = sorted(range(len(files)), key=lambda i: -bounds[i][0])
        done: list[_File] = []
        best: list[float] = []
        for at in order:
            if len(best) >= 2 * limit and bounds[at][0] < sorted(best, reverse=True)[2 * limit - 1]:
                break
            file = files[at]
            self._add_path(file, factor, bounds[at][1])
            done.append(file)
            best.append(file.score)
        return sorted(done, key=lambda file: (-file.score, self._sources[file.source].name, file.info.path))

    def _add_path(self, file: _File, factor: float, kept: float) -> None:
        query, path = self._query, file.info.path
        match = factor * rank.path_match(path, query.words)
        if match:
            file.addends["path"] = match
        if any(f"/{path}".endswith(f"/{given}") for given in query.paths):
            file.addends["path_given"] = rank.PATH_GIVEN
        total = sum(file.addends.values())
        for name, value in rank.penalty(path, query).items():
            file.addends[f"penalty_{name}"] = total * (value - 1.0)
            total *= value
        file.score = total

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
        for file in list(unique.values())[: shape.limit]:
            for chunk, more in self._shown(file, shape):
                hit = self._hit(file, chunk, more, copies[file.info.hash], shape)
                if left is not None:
                    cost = snippet.tokens(hit.snippet) + snippet.tokens(hit.path) + 20
                    if made and cost > left:
                        return tuple(made)
                    left -= cost
                made.append(hit)
                if len(made) >= shape.limit:
                    return tuple(made)
        return tuple(made)

    def _shown(self, file: _File, shape: Shape) -> list[tuple[_Chunk, list[_Chunk]]]:
        good = [chunk for chunk in file.chunks if chunk.score >= 0.5 * file.chunks[0].score]
        if shape.chunks:
            return [(chunk, []) for chunk in good]
        return [(file.chunks[0], good[1:6])]

    def _hit(self, file: _File, chunk: _Chunk, more: Sequence[_Chunk], copies: Sequence[str], shape: Shape) -> Hit:
        source = self._sources[file.source]
        part = self._part(chunk.row)
        chunk_id = int(part.view.segment.chunk_id[chunk.row - part.offset])
        kind, symbol = source.snapshot.chunk_rows([chunk_id]).get(chunk_id, ("", ""))
        start, end = self._span(chunk.row)
        lines = source.snapshot.text(file.info.id).split("\n")[start - 1 : end]
        first, last = snippet.window(lines, self._query.terms, self._lines_wanted(shape))
        return Hit(
            repository=source.name,
            path=printable(file.info.path),
            absolute_path=printable(str(source.root / file.info.path)),
            start_line=start,
            end_line=end,
            language=file.info.language,
            symbol=symbol or None,
            kind=kind or None,
            score=round(file.score - file.chunks[0].score + chunk.score if shape.chunks else file.score, 4),
            snippet=snippet.shown(lines[first:last]),
            snippet_line=start + first,
            more=tuple(sorted(self._span(other.row) for other in more)),
            also_in=tuple(copies),
            explain={name: round(value, 4) for name, value in file.addends.items()} if shape.explain else None,
        )

    @staticmethod
    def _lines_wanted(shape: Shape) -> int:
        if shape.max_tokens is None:
            return max(shape.snippet_lines, 1)
        fair = shape.max_tokens // max(shape.limit, 1) // 10  # some ten tokens a line
        return max(1, min(shape.snippet_lines, fair))


def _phrase_terms(phrase: str) -> list[str]:
    return list(dict.fromkeys(part for name in text.identifiers(phrase) for part in text.split_identifier(name)))


def _rows_with_all(part: Part, keys: Sequence[int]) -> NDArray[np.int64]:
    rows: NDArray[np.int64] | None = None
    for key in keys:
        found = part.view.segment.postings(key)[0].astype(np.int64)
        rows = found if rows is None else rows[np.isin(rows, found)]
    return rows[part.allowed[rows]] if rows is not None else np.zeros(0, np.int64)
