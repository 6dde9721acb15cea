"""Ranked files → hits: which chunks of them are shown, and how much of each."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from recollect.index.snapshot import Definition, FileInfo, Snapshot
from recollect.index.stored import Stored
from recollect.model import Hit
from recollect.records import dataclass
from recollect.search import snippet
from recollect.search.score import Part
from recollect.sync.tree import printable

_GOOD: Final = 0.5  # of the score of a file's best chunk: others that reach it are named …
_NAMED: Final = 5  # … these many at most
_TOKENS_OF_A_LINE: Final = 10


@dataclass(frozen=True, slots=True)
class Source:
    """An index to search: its repository's name and root, and the snapshot to read."""

    name: str
    root: Path
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Shape:
    """How hits are given: how many, how many lines of each, and how many tokens they are to share."""

    limit: int = 10
    snippet_lines: int = 12
    max_tokens: int | None = None
    chunks: bool = False  # each chunk a hit of its own, rather than each file
    explain: bool = False

    def lines_of_each(self) -> int:
        """Lines that a snippet may have, so that the budget is enough for all."""
        if self.max_tokens is None:
            return self.snippet_lines
        fair = self.max_tokens // max(self.limit, 1) // _TOKENS_OF_A_LINE
        return min(self.snippet_lines, max(1, fair))


@dataclass(frozen=True, slots=True)
class RankedFile:
    """A file with all that made its score; `chunks`: (overall row, score), best first; `copies`: where else its content is.

    `of_each`: what made the score of each of the chunks by itself, if that is to be explained.
    """

    source: int
    info: FileInfo
    chunks: list[tuple[int, float]]
    score: float
    addends: dict[str, float]
    copies: tuple[str, ...] = ()
    of_each: tuple[dict[str, float], ...] = ()


class _Shown(NamedTuple):
    """A chunk that becomes a hit; `more`: others of its file that are good too (overall rows); `addends`: to its score."""

    file: RankedFile
    row: int
    score: float
    addends: Mapping[str, float]
    more: Sequence[int] = ()


class Hits:
    """Makes the hits of one question."""

    def __init__(
        self,
        sources: Sequence[Source],
        parts: Sequence[Part],
        terms: Sequence[str],
        defined: Mapping[int, Definition],
        lines: Mapping[int, int],
        shape: Shape,
    ) -> None:
        """By overall row `defined`: the definition in it that was asked for by name; `lines`: the line that was."""
        self._sources = sources
        self._parts = parts
        self._terms = terms
        self._defined = defined
        self._lines = lines
        self._shape = shape

    def of(self, files: Sequence[RankedFile]) -> tuple[Hit, ...]:
        """Hits of these files, best first."""
        shown = [item for file in files for item in self._shown(file)]
        if self._shape.chunks:
            shown.sort(key=lambda item: -item.score)
        shown = shown[: self._shape.limit]
        wanted: dict[int, list[_Shown]] = defaultdict(list)
        for item in shown:
            wanted[item.file.source].append(item)
        texts, names = {}, {}
        for source, items in wanted.items():
            snapshot = self._sources[source].snapshot
            texts[source] = snapshot.all_stored([item.file.info.id for item in items])
            unnamed = [item for item in items if item.row not in self._defined]
            names[source] = snapshot.chunk_names([(item.file.info.id, self._chunk_id(item.row)) for item in unnamed])
        return tuple(
            self._hit(item, texts[item.file.source].get(item.file.info.id), names[item.file.source]) for item in shown
        )

    def _shown(self, file: RankedFile) -> list[_Shown]:
        best = file.chunks[0][1]
        if self._shape.chunks:
            shown = [_Shown(file, row, file.score * score / best, file.addends) for row, score in file.chunks]
            for number, own in enumerate(file.of_each[1:], 1):  # what the file has makes the same share of each score
                of_file = shown[number].score - sum(own.values())
                shown[number] = shown[number]._replace(addends={**own, "file": of_file} if of_file else own)
            return shown
        good = [row for row, score in file.chunks[1:] if score >= _GOOD * best]
        return [_Shown(file, file.chunks[0][0], file.score, file.addends, good[:_NAMED])]

    def _hit(self, item: _Shown, text: Stored | None, names: Mapping[int, tuple[str, str]]) -> Hit:
        source, info = self._sources[item.file.source], item.file.info
        start, end = self._span(item.row)
        lines = text.lines(start, end) if text is not None else []
        size = self._shape.lines_of_each()
        defined = self._defined.get(item.row)
        if defined is None:
            kind, symbol = names.get(self._chunk_id(item.row), ("", ""))
        else:
            kind, symbol = defined.kind, defined.qualified_name
        if item.row in self._lines:  # a line that was asked for is shown in the middle …
            first, last = _from(self._lines[item.row] - start - size // 2, size, len(lines))
        elif defined is not None:  # … and what was asked for by name from its first line
            first, last = _from(defined.start_line - start, size, len(lines))
        else:
            first, last = snippet.window(lines, self._terms, size)
        explain = {name: round(value, 4) for name, value in item.addends.items()} if self._shape.explain else None
        return Hit(
            repository=source.name,
            path=printable(info.path),
            absolute_path=printable(os.path.join(source.root, info.path)),
            start_line=start,
            end_line=end,
            language=info.language,
            symbol=symbol or None,
            kind=kind or None,
            score=round(item.score, 4),
            snippet=snippet.shown(lines[first:last]),
            snippet_line=start + first,
            more=tuple(sorted(map(self._span, item.more))),
            also_in=item.file.copies,
            explain=explain,
        )

    def _part(self, row: int) -> Part:
        return next(part for part in reversed(self._parts) if part.offset <= row)

    def _chunk_id(self, row: int) -> int:
        part = self._part(row)
        return int(part.view.segment.chunk_id[row - part.offset])

    def _span(self, row: int) -> tuple[int, int]:
        part = self._part(row)
        at = row - part.offset
        return int(part.view.segment.start_line[at]), int(part.view.segment.end_line[at])


def _from(first: int, size: int, n: int) -> tuple[int, int]:
    """(first, end) of `size` of `n` lines, from the first on if there are as many."""
    first = max(0, min(first, n - size))
    return first, min(first + size, n)
