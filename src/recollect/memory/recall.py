"""From a question to memories: words, time, filters, and a budget. Every part of a score has a name here."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from recollect.memory import when
from recollect.memory.store import Filter, MemoryStore
from recollect.memory.when import Range
from recollect.model import Memory, RecalledMemories

_RECENCY: Final = 0.05  # share of the best score that a memory of today has over one of long ago …
_RECENCY_DAYS: Final = 30.0  # … halved in so many days
_HERE: Final = 0.15  # share for a memory of the repository at hand
_SUPERSEDED: Final = 0.5  # factor
_MEANING: Final = 0.6  # of the cosine of the vectors, against the best BM25 score as one (measured: docs/benchmarks.md)
_POOL: Final = 4  # times as many are looked at as are wanted, for addends may change the order …
_POOL_LEAST: Final = 60  # … and no fewer than these
_CHARACTERS_PER_TOKEN: Final = 4


def recall(
    store: MemoryStore,
    query: str,
    wanted: Filter,
    limit: int,
    *,
    now: datetime,
    time_phrase: str | None = None,
    here: str | None = None,
    max_tokens: int | None = None,
) -> RecalledMemories:
    """The memories that answer a question, best first; without words in it, the newest that the filters leave.

    A time in the question ("last week") narrows the answer unless `time_phrase` or `wanted` says one.

    Raises:
        UserError: `time_phrase` is not understood.
    """
    asked, span = query, None
    if time_phrase:
        span = when.parse(time_phrase, now)
    elif wanted.after is None and wanted.before is None:
        span, asked = when.find(query, now)
    if span is not None:
        wanted = wanted.within(span)
    found = store.matches(asked, wanted, max(limit * _POOL, _POOL_LEAST)) if asked.strip() else []
    close = store.closeness(asked, [memory for _, memory in found]) if found else {}
    if not found and not asked.strip():
        memories, _ = store.page(wanted, 1, limit)
        found = [(1.0, memory) for memory in memories]
    ranked = _ranked(found, close, here)[:limit]
    return RecalledMemories(
        query=query,
        time_range=_shown(span) if span is not None else None,
        mode="hybrid" if close else "lexical",
        count=len(ranked),
        memories=tuple(_within(ranked, max_tokens)),
    )


def _ranked(found: Sequence[tuple[float, Memory]], close: Mapping[str, float], here: str | None) -> list[Memory]:
    best = max((score for score, _ in found), default=0.0) or 1.0
    now = time.time()
    scored = []
    for score, memory in found:
        days = max(0.0, now - memory.created_at) / 86_400
        total = score / best
        total += _MEANING * close.get(memory.id, 0.0)
        total += _RECENCY * math.exp2(-days / _RECENCY_DAYS)
        total += _HERE if here is not None and memory.repository == here else 0.0
        total *= _SUPERSEDED if memory.superseded_by else 1.0
        scored.append((total, memory))
    scored.sort(key=lambda item: (-item[0], -item[1].created_at, item[1].id))
    most = 1.0 + _MEANING + _RECENCY + _HERE
    return [replace(memory, similarity_score=round(max(0.0, min(total / most, 1.0)), 4)) for total, memory in scored]


def _within(memories: Sequence[Memory], max_tokens: int | None) -> list[Memory]:
    """As many as fit into the budget, the best first; the last one may be cut."""
    if max_tokens is None:
        return list(memories)
    left = max_tokens * _CHARACTERS_PER_TOKEN
    kept = []
    for memory in memories:
        if left <= 0:
            break
        cut = len(memory.content) > left
        kept.append(replace(memory, content=memory.content[:left], truncated=True) if cut else memory)
        left -= len(memory.content) + 80  # id, tags, age
    return kept


def _shown(span: Range) -> dict[str, str | None]:
    return {
        "after": span.after.isoformat(timespec="seconds") if span.after else None,
        "before": span.before.isoformat(timespec="seconds") if span.before else None,
    }
