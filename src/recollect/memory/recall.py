"""From a question to memories: words, time, filters, and a budget. Every part of a score has a name here."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from recollect.memory import when
from recollect.memory.store import Candidate, Filter, MemoryStore
from recollect.memory.when import Range
from recollect.memory.words import start_of
from recollect.model import Memory, RecalledMemories

_RECENCY: Final = 0.05  # share of the best score that a memory of today has over one of long ago …
_RECENCY_DAYS: Final = 30.0  # … halved in so many days
_HERE: Final = 0.15  # share for a memory of the repository at hand
_SUPERSEDED: Final = 0.5  # factor
_MEANING: Final = 1.0  # of the cosine of the vectors, against the best BM25 score as one (measured: docs/benchmarks.md)
_NEAR: Final = 0.25  # cosine from which a memory without any word of the question may answer it
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
    found = store.candidates(asked, wanted, max(limit * _POOL, _POOL_LEAST)) if asked.strip() else []
    best = ranked(found, here)[:limit]
    whole = {memory.id: memory for memory in store.memories([one.number for _, one in best])}  # if not gone meanwhile
    memories = [replace(whole[one.id], similarity_score=round(share, 4)) for share, one in best if one.id in whole]
    if not asked.strip():
        memories, _ = store.page(wanted, 1, limit)
    passages = {one.id: one.passage for _, one in best}
    shown = tuple(_within(memories, passages, max_tokens))
    return RecalledMemories(
        query=query,
        time_range=_shown(span) if span is not None else None,
        mode="hybrid" if any(one.cosine is not None for one in found) else "lexical",
        count=len(shown),
        memories=shown,
    )


def ranked(found: Sequence[Candidate], here: str | None) -> list[tuple[float, Candidate]]:
    """(score as a share of the best there can be, candidate), best first."""
    best = max((one.score for one in found), default=0.0) or 1.0
    most = 1.0 + _MEANING + _RECENCY + _HERE
    now = time.time()
    scored = []
    for one in found:
        if not one.score and (one.cosine or 0.0) < _NEAR:
            continue
        days = max(0.0, now - one.created_at) / 86_400
        total = one.score / best
        total += _MEANING * (one.cosine or 0.0)
        total += _RECENCY * math.exp2(-days / _RECENCY_DAYS)
        total += _HERE if here is not None and one.owner == here else 0.0
        total *= _SUPERSEDED if one.superseded_by else 1.0
        scored.append((max(0.0, min(total / most, 1.0)), one))
    return sorted(scored, key=lambda item: (-item[0], -item[1].created_at, item[1].id))


def _within(memories: Sequence[Memory], passages: Mapping[str, int], max_tokens: int | None) -> list[Memory]:
    """As many as fit into the budget, the best first; the last one may be cut, to begin with what answers."""
    if max_tokens is None:
        return list(memories)
    left = max_tokens * _CHARACTERS_PER_TOKEN
    kept = []
    for memory in memories:
        if left <= 0:
            break
        if len(memory.content) > left:
            start = min(start_of(passages.get(memory.id, 0), memory.content), len(memory.content) - left)
            shown = ("… " if start else "") + memory.content[start : start + left]
            kept.append(replace(memory, content=shown, truncated=True))
        else:
            kept.append(memory)
        left -= len(memory.content) + 80  # id, tags, age
    return kept


def _shown(span: Range) -> dict[str, str | None]:
    return {
        "after": span.after.isoformat(timespec="seconds") if span.after else None,
        "before": span.before.isoformat(timespec="seconds") if span.before else None,
    }
