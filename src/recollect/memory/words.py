"""What finds memories by their words: full-text search over passages, with the filters inside the query.

A long content is several passages. The first is known by the number of its memory, the others by negative numbers.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from recollect import text

_PASSAGE: Final = 1_600  # characters; some four hundred tokens …
_MOST_PASSAGES: Final = 1_000  # … or more, that a memory has no more than these
_STRIDE: Final = 1_024
_BREAKS: Final = ("\n\n", "\n", ". ", " ")
_QUERY_TERMS: Final = 200
_RECALL_ROWS: Final = 8_000  # matches that a question looks at, about
_COUNTED: Final = 8_001
_TERMS_KNOWN: Final = 50_000
NUMBER: Final = f"CASE WHEN rowid > 0 THEN rowid ELSE -rowid / {_STRIDE} END"  # of a passage's memory, in SQL
SCHEMA: Final = """
CREATE VIRTUAL TABLE words USING fts5(body, content='', tokenize="porter unicode61 remove_diacritics 2 tokenchars '_$'");
"""


Numbers = tuple[str, tuple[Any, ...]]  # SQL that gives numbers of memories, with its parameters


class Match(NamedTuple):
    """A memory by its best passage; `score` is BM25, more is better."""

    number: int
    passage: int
    score: float


class Words:
    """Not thread-safe: its owner holds a lock."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        self._frequencies: dict[str, tuple[int, int]] = {}  # term → (passages that hold it, how many there were then)
        self._added = int(self._db.execute("SELECT count(*) FROM memories").fetchone()[0])

    def clear(self) -> None:
        """Forget all words of all memories."""
        self._db.execute("DROP TABLE words")
        self._db.execute(SCHEMA)
        self._frequencies.clear()

    def add(self, number: int, content: str) -> None:
        rows = [(key, _words(said)) for key, said in passages(number, content)]
        self._db.executemany("INSERT INTO words (rowid, body) VALUES (?, ?)", rows)
        self._added += len(rows)

    def remove(self, number: int, content: str) -> None:
        """`content` as it was when it was added."""
        for key, said in passages(number, content):
            self.remove_whole(key, said)

    def remove_whole(self, key: int, said: str) -> None:
        """Take out what was indexed as one passage."""
        self._db.execute("INSERT INTO words (words, rowid, body) VALUES ('delete', ?, ?)", (key, _words(said)))

    def best(self, query: str, limit: int, sets: Sequence[Numbers], few: bool) -> list[Match]:
        """The best memories that are in all `sets` and not deleted. `few`: these hold few.

        Words that most memories hold tell them apart least and cost most: they are looked for only where the others leave
        the answer short, or among few.
        """
        terms = _terms(query)
        if few:
            return self._ranked(terms, limit, sets) if terms else []
        found: list[Match] = []
        done: list[str] = []
        for rows in (_RECALL_ROWS, 4 * _RECALL_ROWS):
            chosen = self._rarest(terms, rows)
            if len(chosen) > len(done) and len(found) < limit:
                done, found = chosen, self._ranked(chosen, limit, sets)
        return found

    def sharing(self, content: str, rows: int, limit: int) -> list[int]:
        """Numbers of memories that hold the rarest words of a text, of which some `rows` are looked at."""
        rare = self._rarest(_terms(content), rows)
        if not rare:
            return []
        sql = f"SELECT DISTINCT {NUMBER} FROM (SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?)"
        return [number for (number,) in self._db.execute(sql, (_match(rare), limit))]

    def _ranked(self, terms: Sequence[str], limit: int, sets: Sequence[Numbers]) -> list[Match]:
        asked = _match(terms)
        if sets:  # only what is in them is scored; the limit keeps it a query of its own, as bm25 wants it
            inside = "".join(f" AND {NUMBER} IN ({sql})" for sql, _ in sets)
            found = f"SELECT rowid, bm25(words) AS score FROM words WHERE words MATCH ?{inside} LIMIT -1"
            return self._matches(found, (asked, *(value for _, values in sets for value in values)), limit)
        found = "SELECT rowid, rank AS score FROM words WHERE words MATCH ?"
        best = f"{found} ORDER BY rank LIMIT ?"  # only deleted ones have to be left out: the best are enough
        if all(self._frequency(term) == _COUNTED for term in terms):  # they tell nothing apart: of the newest, the best
            newest = f"{found.replace('rank', 'bm25(words)')} ORDER BY rowid DESC LIMIT {_COUNTED}"
            best = f"SELECT rowid, score FROM ({newest}) ORDER BY score LIMIT ?"
        rows = self._matches(best, (asked, 2 * limit + 50), limit)
        return rows if len(rows) >= limit else self._matches(found, (asked,), limit)

    def _matches(self, found: str, asked: tuple[Any, ...], limit: int) -> list[Match]:
        memories = f"SELECT {NUMBER} AS number, rowid AS passage, min(score) AS score FROM ({found}) GROUP BY 1"
        sql = (
            f"SELECT number, passage, -score FROM ({memories}) JOIN memories m USING (number) WHERE m.deleted_at IS NULL "
            "ORDER BY 3 DESC, m.created_at DESC LIMIT ?"
        )
        return [Match(*row) for row in self._db.execute(sql, (*asked, limit))]

    def _rarest(self, terms: Sequence[str], rows: int) -> list[str]:
        """Those of `terms` that the fewest passages hold, as many as match some `rows` together; one at least."""
        counted = sorted((self._frequency(term), at, term) for at, term in enumerate(terms))
        chosen: list[str] = []
        held = 0
        for frequency, _, term in counted:
            if not frequency:
                continue
            if chosen and held + frequency > rows:
                break
            chosen.append(term)
            held += frequency
        return chosen

    def _frequency(self, term: str) -> int:
        """How many passages hold a term, about, and counted no further than `_COUNTED`."""
        known = self._frequencies.get(term)
        if known is None or known[1] * 2 < self._added:
            sql = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
            count = int(self._db.execute(sql, (_match([term]), _COUNTED)).fetchone()[0])
            if len(self._frequencies) > _TERMS_KNOWN:
                self._frequencies.clear()
            known = self._frequencies[term] = (count, self._added)
        return known[0]


def spans(content: str) -> Iterator[tuple[int, int]]:
    """(start, end) of the passages of a content, which they cover whole: broken at paragraphs where that can be."""
    size = max(_PASSAGE, len(content) // (_MOST_PASSAGES // 2) + 1)
    start = 0
    while len(content) - start > size:
        half = start + size // 2
        at, mark = next(
            ((at, mark) for mark in _BREAKS if (at := content.rfind(mark, half, start + size)) >= 0), (start + size, "")
        )
        yield start, at + len(mark)
        start = at + len(mark)
    yield start, len(content)


def passages(number: int, content: str) -> Iterator[tuple[int, str]]:
    """(key, text) of each passage of a memory."""
    for at, (start, end) in enumerate(spans(content)):
        yield -(number * _STRIDE + at) if at else number, content[start:end]


def start_of(passage: int, content: str) -> int:
    """Where a passage of a content begins."""
    at = -passage % _STRIDE if passage < 0 else 0
    return next((start for place, (start, _) in enumerate(spans(content)) if place == at), 0)


def _words(content: str) -> str:
    """What full-text search sees: the text, and the parts of the identifiers in it."""
    parts = [part for name in text.identifiers(content) for part in text.split_identifier(name) if part != name.lower()]
    return f"{content} {' '.join(parts)}"


def _terms(query: str) -> list[str]:
    """The words of a query; those without meaning only where there is nothing else."""
    found = list(dict.fromkeys([*text.terms(query), *re.findall(r"\w+", query.lower())]))
    return ([term for term in found if term not in text.STOP_WORDS] or found)[:_QUERY_TERMS]


def _match(terms: Sequence[str]) -> str:
    """The terms as alternatives, as full-text search wants them."""
    return " OR ".join('"' + term.replace('"', '""') + '"' for term in terms)
