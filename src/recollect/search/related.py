"""Code like a given piece of code: its own words and symbol are the question, tests and the like are welcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from recollect import text
from recollect.calls import next_call
from recollect.errors import UserError
from recollect.index.snapshot import FileInfo, Snapshot
from recollect.index.terms import term_key
from recollect.model import Hit
from recollect.search.filters import Filters
from recollect.search.find import find
from recollect.search.hits import Shape, Source
from recollect.search.query import MAX_QUERY, Query
from recollect.sync.tree import printable

_TERMS: Final = 24  # the rarest of the piece
_EVERY_KIND: Final = frozenset({"tests", "examples", "vendored", "compat", "package"})


def related(
    source: Source, info: FileInfo, line: int, sources: Sequence[Source], limit: int, lines: int
) -> tuple[Hit, ...]:
    """Files with code like the chunk at a line, that chunk's own file left out; best first.

    Raises:
        UserError: nothing is indexed at that line.
    """
    snapshot, line = source.snapshot, min(line, 2**31)  # SQLite holds no larger numbers than 64 bits
    holding = "file_id = ? AND start_line <= ? AND end_line >= ?"
    sql = f"SELECT start_line, end_line, symbol FROM named_chunks WHERE {holding} ORDER BY start_line DESC LIMIT 1"
    rows = snapshot.rows(sql, (info.id, line, line))
    if not rows:
        call = next_call(
            "find_related", path=printable(info.path), line=max(1, info.lines // 2), repository=source.name
        )
        hint = f"It has {info.lines} lines; give one that holds code"
        raise UserError(f"there is no code at line {line} of {info.path}", hint=hint, code="no_such_line", call=call)
    start, end, symbol = rows[0]
    piece = "\n".join(snapshot.lines(info.id, start, end))
    hits = find(_query(piece, symbol, sources), sources, Filters(content="all"), Shape(limit + 1, lines))
    return tuple(hit for hit in hits if (hit.repository, hit.path) != (source.name, info.path))[:limit]


def _query(piece: str, symbol: str, sources: Sequence[Source]) -> Query:
    counts = text.terms(piece)
    told = [(_holders(term, sources), term) for term in counts if term not in text.STOP_WORDS and len(term) > 1]
    terms = [term for holders, term in sorted(told) if holders > 1][:_TERMS]
    name = symbol.rpartition(".")[2]
    words = [part for found in text.identifiers(symbol) for part in text.split_identifier(found)]
    return Query(
        text=piece[:MAX_QUERY],
        terms=tuple(terms),
        counts={word: n for word, n in text.words(piece).items() if word in terms},
        words=tuple(dict.fromkeys(word for word in words if word not in text.STOP_WORDS and len(word) > 1)),
        symbol=None,
        qualified=None,
        names=(name,) if name else (),
        types=(),
        qualified_names=frozenset(),
        phrases=(),
        paths=(),
        lines=(),
        asked_for=_EVERY_KIND,
    )


def _holders(term: str, sources: Sequence[Source]) -> int:
    return sum(_live(term, source.snapshot) for source in sources)


def _live(term: str, snapshot: Snapshot) -> int:
    key = term_key(term)
    return sum(int(np.count_nonzero(view.live[view.segment.postings(key)[0]])) for view in snapshot.views)
