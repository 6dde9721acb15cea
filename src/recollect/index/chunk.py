"""A file's lines → chunks that follow its syntax tree: whole definitions where they fit, split at inner boundaries else.

Law: chunks are disjoint, ascending, and hold every line that is not blank exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Final, NamedTuple

from tree_sitter import Node

from recollect.index.symbols import Symbol
from recollect.index.syntax import MAX_CHILDREN, Syntax

TARGET: Final = 1_500  # characters; retrieval was tuned with windows of this size
LARGEST: Final = 2_000  # a definition up to this size stays whole
_HEAD: Final = 5  # lines: a signature over several, with its decorators
_DEEPEST: Final = 200  # levels of nesting followed; real code has some thirty
_BREAK: Final = 900  # from here on a chunk ends before the next definition


class Chunk(NamedTuple):
    """Lines `start_line` to `end_line`, 1-based and inclusive; `symbol`: the qualified name of what it defines."""

    start_line: int
    end_line: int
    kind: str
    symbol: str


Span = tuple[int, int]  # first and last line, 0-based, inclusive


def by_syntax(syntax: Syntax, lines: Sequence[str], symbols: Sequence[Symbol]) -> list[Chunk]:
    """Chunks along the syntax tree."""
    spans = syntax.chunks(len(lines), _leads, (TARGET, LARGEST, _HEAD, _DEEPEST, _BREAK, MAX_CHILDREN))
    if spans is None:
        assert isinstance(syntax.root, Node)
        measured = _Lines(lines)
        spans = _packed(_blocks(syntax.root, 0, len(lines) - 1, measured), measured)
    return _named(spans, lines, symbols)


def by_lines(lines: Sequence[str], symbols: Sequence[Symbol] = ()) -> list[Chunk]:
    """Chunks of lines, broken where a line begins at the margin."""
    lines = _Lines(lines)
    return _named(_packed(_windows(0, len(lines) - 1, lines), lines), lines, symbols)


class _Lines(list[str]):
    """Lines that know how many characters some of them have."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(lines)
        self._before = [end + at for at, end in enumerate(accumulate(map(len, lines), initial=0))]

    def size(self, first: int, last: int) -> int:
        return self._before[last + 1] - self._before[first]


def _blocks(node: Node, first: int, last: int, lines: _Lines, depth: int = 0) -> list[tuple[Span, bool]]:
    """Spans that cover lines `first` to `last`, each with whether it begins something (a definition, a section)."""
    if node.child_count > MAX_CHILDREN or node.child_count == 0 or depth > _DEEPEST:
        return _windows(first, last, lines)
    starts: list[int] = []
    carried: int | None = None  # comments and decorators belong to what follows
    for child in node.children:
        row = child.start_point[0]
        if row < first or row > last:
            continue
        if _leads(child.type):
            carried = row if carried is None else carried
            ends = child.end_point[0]
            if ends + 1 < len(lines) and not lines[ends + 1].strip():
                starts.append(carried)
                carried = None
            continue
        starts.append(row if carried is None else carried)
        carried = None
    if carried is not None:
        starts.append(carried)
    starts = sorted({first, *starts})
    if len(starts) < 2:
        inner = _largest_child(node, first, last)
        return _blocks(inner, first, last, lines, depth + 1) if inner is not None else _windows(first, last, lines)
    spans = [(start, end - 1) for start, end in zip(starts, [*starts[1:], last + 1], strict=True)]
    blocks: list[tuple[Span, bool]] = []
    for start, end in spans:
        if lines.size(start, end) <= LARGEST:
            blocks.append(((start, end), end > start))
            continue
        inner = _largest_child(node, start, end)
        split = _blocks(inner, start, end, lines, depth + 1) if inner is not None else _windows(start, end, lines)
        blocks += _with_head(split, lines)
    return blocks


def _with_head(blocks: list[tuple[Span, bool]], lines: _Lines) -> list[tuple[Span, bool]]:
    """The blocks of a definition that was split: its first lines stay with what follows them, and begin something."""
    (first, last), _ = blocks[0]
    if len(blocks) > 1 and lines.size(first, blocks[1][0][1]) <= LARGEST and last - first < _HEAD:
        return [((first, blocks[1][0][1]), True), *blocks[2:]]
    return [((first, last), True), *blocks[1:]]


@cache
def _leads(kind: str) -> bool:
    return "comment" in kind or kind in ("decorator", "attribute_item", "annotation", "attribute", "attribute_list")


def _largest_child(node: Node, first: int, last: int) -> Node | None:
    """The child that fills most of the lines `first` to `last`, if it has children of its own."""
    inside = [child for child in node.children if first <= child.start_point[0] <= last and child.child_count]
    found = max(inside, key=lambda child: child.end_byte - child.start_byte, default=None)
    return found if found is not None and found.end_point[0] > found.start_point[0] else None


def _windows(first: int, last: int, lines: Sequence[str]) -> list[tuple[Span, bool]]:
    """Lines one by one, as blocks; those at the margin begin something."""
    return [
        (
            (row, row),
            bool(lines[row][:1].strip()) and not lines[row].startswith((")", "]", "}", "end", "#else", "#end")),
        )
        for row in range(first, last + 1)
    ]


def _packed(blocks: Sequence[tuple[Span, bool]], lines: _Lines) -> list[Span]:
    """Neighbouring blocks put together up to the target size."""
    spans: list[Span] = []
    start, size = 0, 0
    end = -1
    for (first, last), begins in blocks:
        extra = lines.size(first, last)
        if size and (size + extra > TARGET or (begins and size > _BREAK)):
            spans.append((start, end))
            start, size = first, 0
        size += extra
        end = last
    if end >= start:
        spans.append((start, end))
    return spans


def _named(spans: Sequence[Span], lines: Sequence[str], symbols: Sequence[Symbol]) -> list[Chunk]:
    chunks: list[Chunk] = []
    waiting = 0
    around: list[Symbol] = []
    for first, last in spans:
        while first <= last and not lines[first].strip():
            first += 1
        while last >= first and not lines[last].strip():
            last -= 1
        if first > last:
            continue
        start, end = first + 1, last + 1
        begun: list[Symbol] = []
        while waiting < len(symbols) and symbols[waiting].start_line <= end:
            begun.append(symbols[waiting])
            waiting += 1
        around = [symbol for symbol in around if symbol.end_line >= start]
        best = begun[0] if begun else None
        if len(begun) > 1:
            best = max(begun, key=lambda symbol: (min(symbol.end_line, end) - symbol.start_line, -symbol.start_line))
        if best is None or (around and best.end_line - best.start_line < 2 and end - start > 20):
            best = min(around, key=lambda symbol: symbol.end_line - symbol.start_line, default=best)
        around += [symbol for symbol in begun if symbol.end_line > end]
        chunks.append(Chunk(start, end, best.kind if best else "text", best.qualified_name if best else ""))
    return chunks
