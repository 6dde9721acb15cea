"""Exact regular expressions over the indexed text: RE2, whose time is linear in the text whatever the expression.

Where the expression holds a whole word that each match must have, the index says which files can hold one at all.
"""

from __future__ import annotations

import bisect
import functools
import re
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import islice
from re import _constants as op  # type: ignore[attr-defined]  # the standard parser: its tree tells which words a match must have
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final

import numpy as np
import re2
from numpy.typing import NDArray

from recollect import text
from recollect.config import processors
from recollect.errors import UserError
from recollect.index.analyse import unzipped
from recollect.index.snapshot import FileInfo, Snapshot
from recollect.index.terms import term_key
from recollect.model import Hit
from recollect.records import dataclass
from recollect.search import rank, snippet
from recollect.search.filters import Filters, allowed_files
from recollect.search.hits import Shape, Source
from recollect.sync.tree import printable

TIME_LIMIT_S: Final = 5.0
_RESERVE: Final = 0.3  # of the time: nothing new is begun any longer, and what runs ends
_LONGEST: Final = 10_000  # characters of an expression
_SMALL: Final = 2 << 20  # bytes in which its program must fit: some 30,000 instructions
_MEMORY: Final = 64 << 20  # of the automaton
_STEPS: Final = 5_000_000  # instructions times letters in one go, which cannot be interrupted: at worst 0.2 s
_STEPS_ACROSS: Final = 20_000_000  # where a match may hold the end of a line: pieces are rarer, for they lose matches
_ACROSS_LINES: Final = re.compile(r"\\[^dwSbB.(){}|*+?^$/\\\[\]-]|\[\^|\(\?[A-Za-z]*s|\[:|\n")
_BATCH: Final = 64  # files
_AHEAD: Final = 4  # batches
_MATCHES: Final = 500  # of one file
_MORE: Final = 20  # lines shown beside the first
_LEAST_WORD: Final = 2
_LEAST_LITERAL: Final = 3
_NON_WORD: Final = frozenset({op.CATEGORY_NOT_WORD, op.CATEGORY_SPACE})


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. `words`: the parts of each whole word, `literals`: the letters that the text of a match holds."""

    of_bytes: Any  # for text of ASCII alone
    of_text: Any
    words: tuple[tuple[str, ...], ...]
    literals: tuple[bytes, ...]
    piece: int  # letters that are looked through in one go
    is_within_lines: bool  # whether no match can hold the end of a line


@dataclass(frozen=True, slots=True)
class Found:
    """Hits; `incomplete`: why not everything was looked through, for people."""

    hits: tuple[Hit, ...]
    incomplete: str | None


def compiled(expression: str) -> Expression:
    """Raises UserError: not a regular expression that RE2 knows."""
    if len(expression) > _LONGEST:
        raise UserError(
            f"an expression may have at most {_LONGEST:,} characters",
            hint="Look for a shorter part of it.",
            code="bad_regex",
        )
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _SMALL
    given = f"(?m){expression}"
    try:
        re2.compile(given, options)  # fails at once where it is too large, instead of after seconds
        options.max_mem = _MEMORY
        of_text = re2.compile(given, options)
        of_bytes = re2.compile(given.encode(), options) if expression.isascii() else None
    except re2.error as error:
        said = error.args[0] if error.args else error
        said = said.decode(errors="replace") if isinstance(said, bytes) else said
        hint = "The syntax is RE2's: no look-around, no back-references."
        raise UserError(f"not a regular expression: {said}", hint=hint, code="bad_regex") from error
    literals = tuple(run.encode() for run, _ in _required(expression) if len(run) >= _LEAST_LITERAL)
    is_within_lines = not _ACROSS_LINES.search(expression)
    piece = max((_STEPS if is_within_lines else _STEPS_ACROSS) // of_text.programsize, 256)
    return Expression(of_bytes, of_text, required_words(expression), literals, piece, is_within_lines)


def search(expression: Expression, sources: Sequence[Source], filters: Filters, shape: Shape) -> Found:
    """Files that match, in the order of repository and path, tests and the like last; each by its first match."""
    clock = Clock()
    candidates: list[tuple[float, str, str, int, FileInfo]] = []
    for number, source in enumerate(sources):
        allowed = allowed_files(source.snapshot, filters, number)
        for file_id in _files_with(source.snapshot, expression.words):
            info = source.snapshot.files.get(file_id)
            if info is not None and info.status == "indexed" and (allowed is None or allowed[file_id]):
                candidates.append((-rank.kept(info.path), source.name, info.path, number, info))
        if clock.is_over():
            break
    candidates.sort(key=lambda item: item[:3])
    hits: list[Hit] = []
    for number, info, spans, content in _matching(expression, candidates, sources, clock):
        hit = _hit(sources[number], info, spans, content, shape)
        hits.append(hit)
        if len(hits) >= shape.limit or clock.is_over():
            break
    return Found(tuple(hits), clock.incomplete if len(hits) < shape.limit else None)


class Clock:
    """The time that a question has, and what did not fit into it."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.incomplete: str | None = None

    @property
    def left_s(self) -> float:
        """Until an answer must be there."""
        return max(self._started + TIME_LIMIT_S - time.monotonic(), 0.0)

    def is_over(self) -> bool:
        """Whether nothing new may be begun; where that is so, the answer says it."""
        if self.left_s > TIME_LIMIT_S * _RESERVE:
            return False
        self.incomplete = (
            f"not everything was looked through within {TIME_LIMIT_S:.0f} s: narrow it by path or language"
        )
        return True


# -- which files ------------------------------------------------------------------------------------------------------


def _files_with(snapshot: Snapshot, words: Sequence[Sequence[str]]) -> list[int]:
    """Files in which each word occurs, its parts in one chunk; all where there is none to look for."""
    found: set[int] | None = None
    for word in words:
        holding: set[int] = set()
        for view in snapshot.views:
            postings = sorted((view.segment.postings(term_key(part))[0] for part in word), key=len)
            rows = functools.reduce(_common, postings)
            if len(rows):
                holding.update(view.segment.file_id[rows[view.live[rows]]].tolist())
        found = holding if found is None else found & holding
    return list(snapshot.files) if found is None else sorted(found)


def _common(few: NDArray[Any], many: NDArray[Any]) -> NDArray[Any]:
    """What is in both of two ascending arrays."""
    if not len(few) or not len(many):
        return few[:0]
    at = np.searchsorted(many, few)
    common: NDArray[Any] = few[many[np.minimum(at, len(many) - 1)] == few]
    return common


def required_words(expression: str) -> tuple[tuple[str, ...], ...]:
    """The whole words that the text of each match holds, each as the parts that the index has of it. (The whole it has only
    where no `$` joins it to another word.)
    """
    found = (text.split_identifier(run) for run, whole in _required(expression) if whole and len(run) >= _LEAST_WORD)
    return tuple(dict.fromkeys(word for word in found if word))


def _required(expression: str) -> list[tuple[str, bool]]:
    """(letters, whether they are a whole word) of what the expression has outside all alternatives, ASCII alone.

    None where letters of any case match, or the standard parser does not know the syntax.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what it warns of ([[:alpha:]]) it reads otherwise than RE2
            tree = _parser.parse(expression)
    except (re.error, OverflowError, RecursionError, Warning):
        return []
    items: list[tuple[Any, Any]] = []
    if tree.state.flags & re.IGNORECASE or not _flattened(tree, items):
        return []
    found: list[tuple[str, bool]] = []
    run, begins = "", False
    for kind, value in [*items, (op.ANY, None)]:
        if kind is op.LITERAL and _is_word(chr(value)):
            run += chr(value)
            continue
        ends = _is_boundary(kind, value)
        if run and run.isascii():
            found.append((run, begins and ends))
        run, begins = "", ends
    return found


def _flattened(tree: Any, items: list[tuple[Any, Any]]) -> bool:
    """The sequence that a match must go through; False where flags change on the way."""
    for kind, value in tree:
        if kind is op.SUBPATTERN:
            _, on, off, inner = value
            if on or off or not _flattened(inner, items):
                return False
        else:
            items.append((kind, value))
    return True


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def _is_boundary(kind: Any, value: Any) -> bool:
    """Whether an item of an expression leaves no letter of a word next to it."""
    if kind is op.AT:
        return value in (op.AT_BOUNDARY, op.AT_BEGINNING, op.AT_END, op.AT_BEGINNING_STRING, op.AT_END_STRING)
    if kind is op.LITERAL:
        return not _is_word(chr(value))
    if kind is op.IN:
        return all(
            (inner is op.LITERAL and not _is_word(chr(what))) or (inner is op.CATEGORY and what in _NON_WORD)
            for inner, what in value
        )
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        least, _, inner = value
        return least >= 1 and len(inner) == 1 and _is_boundary(*inner[0]) and inner[0][0] is not op.AT
    return False


# -- matching ---------------------------------------------------------------------------------------------------------


_Matched = tuple[int, FileInfo, list[tuple[int, int]], str]


def _matching(
    expression: Expression, candidates: Sequence[tuple[Any, ...]], sources: Sequence[Source], clock: Clock
) -> Iterator[_Matched]:
    """(source, file, spans of characters, text) of the files that match, in the order of the candidates."""

    def look(batch: Sequence[tuple[Any, ...]]) -> list[_Matched]:
        if clock.is_over():
            return []
        texts: dict[tuple[int, int], bytes] = {}
        for number in {item[3] for item in batch}:
            ids = [item[4].id for item in batch if item[3] == number]
            sql = f"SELECT file_id, text FROM texts WHERE file_id IN ({','.join('?' * len(ids))})"
            texts.update(((number, file_id), block) for file_id, block in sources[number].snapshot.rows(sql, ids))
        matched: list[_Matched] = []
        for *_, number, info in batch:
            if clock.is_over():
                break
            data = unzipped(texts.get((number, info.id), b""))
            if not all(literal in data for literal in expression.literals):
                continue
            if expression.of_bytes is not None and data.isascii():
                spans = _spans(expression, expression.of_bytes, data, b"\n", clock)
                content = data.decode("ascii") if spans else ""
            else:
                content = data.decode("utf-8", "surrogatepass").encode("utf-8", "replace").decode("utf-8")
                spans = _spans(expression, expression.of_text, content, "\n", clock)
            if spans:
                matched.append((number, info, spans, content))
        return matched

    batches = (candidates[at : at + _BATCH] for at in range(0, len(candidates), _BATCH))
    pool = _pool()
    waiting = [pool.submit(look, batch) for batch in islice(batches, _AHEAD)]
    try:
        while waiting:
            done = waiting.pop(0).result(timeout=clock.left_s)
            if not clock.is_over():
                waiting += [pool.submit(look, batch) for batch in islice(batches, 1)]
            yield from done
    except FutureTimeoutError:
        clock.is_over()
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting, timeout=clock.left_s)  # they read from the snapshots


def _spans(expression: Expression, compiled: Any, text: Any, newline: Any, clock: Clock) -> list[tuple[int, int]]:
    """Spans of the matches in a text, in pieces that end with a line where possible."""
    if len(text) <= expression.piece:
        return [match.span() for match in islice(compiled.finditer(text), _MATCHES)]
    spans: list[tuple[int, int]] = []
    begin = 0
    while begin < len(text) and len(spans) < _MATCHES and not clock.is_over():
        end = min(begin + expression.piece, len(text))
        line_end = text.rfind(newline, begin, end) + 1 if end < len(text) else end
        if end < len(text) and not (line_end and expression.is_within_lines):
            clock.incomplete = "matches over several pieces of a large file may be missing: simplify the expression"
        end = line_end or end
        part = compiled.finditer(text[begin:end])
        spans += ((begin + match.start(), begin + match.end()) for match in islice(part, _MATCHES - len(spans)))
        begin = end
    return spans


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """RE2 and zstd run without the interpreter's lock."""
    return ThreadPoolExecutor(min(processors(), 8), thread_name_prefix="regex")


def _hit(source: Source, info: FileInfo, spans: Sequence[tuple[int, int]], content: str, shape: Shape) -> Hit:
    ends = [match.start() for match in re.finditer("\n", content)]
    lines_of = list(
        dict.fromkeys((bisect.bisect_left(ends, a) + 1, bisect.bisect_left(ends, max(a, b - 1)) + 1) for a, b in spans)
    )
    first, last = lines_of[0]
    lines = content.split("\n")
    size = max(shape.snippet_lines, 0)
    begin = max(1, first - max(0, (size - (last - first + 1)) // 3))
    inside = "WHERE file_id = ? AND start_line <= ? AND end_line >= ? ORDER BY start_line DESC LIMIT 1"
    sql = f"SELECT kind, scope || name FROM symbols {inside}"
    kind, symbol = next(iter(source.snapshot.rows(sql, (info.id, first, first))), ("", ""))
    return Hit(
        repository=source.name,
        path=printable(info.path),
        absolute_path=printable(str(source.root / info.path)),
        start_line=first,
        end_line=last,
        language=info.language,
        symbol=symbol or None,
        kind=kind or None,
        score=float(len(lines_of)),
        snippet=snippet.shown(lines[begin - 1 : begin - 1 + size]),
        snippet_line=begin,
        more=tuple(lines_of[1 : _MORE + 1]),
        also_in=(),
        explain={"lines": float(len(lines_of))} if shape.explain else None,
    )
