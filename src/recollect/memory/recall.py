"""From a question to memories: words, time, filters, and a budget. Every part of a score has a name here."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from recollect import escape
from recollect.memory import when
from recollect.memory.store import Candidate, Filter, MemoryStore
from recollect.memory.when import Range
from recollect.memory.words import start_of
from recollect.model import Memory, RecalledMemories
from recollect.text import folded

_RECENCY: Final = 0.05  # share of the best score that a memory of today has over one of long ago …
_RECENCY_DAYS: Final = 30.0  # … halved in so many days
_HERE: Final = 0.15  # share for a memory of the repository at hand
_SUPERSEDED: Final = 0.5  # factor
_MEANING: Final = 1.0  # of the cosine of the vectors, against the best BM25 score as one (measured: docs/benchmarks.md)
_NEAR: Final = 0.25  # cosine from which a memory without any word of the question may answer it
_POOL: Final = 4  # times as many are looked at as are wanted, for addends may change the order …
_POOL_LEAST: Final = 60  # … and no fewer than these
_CHARACTERS_PER_TOKEN: Final = 4
_LEAST_SHOWN: Final = (
    240  # characters of a content; where the budget has no room for that many, fewer memories are shown
)
_METADATA_SHOWN: Final = 300  # characters
_NOTE: Final = 100  # characters that say how to see a shortened content whole
_LEAST_PART: Final = 40  # characters of a shortened content
_BEFORE_WORD: Final = 80  # characters shown before the first word of the question, where a content is shortened
_SEARCHED: Final = 4_000  # characters of a content among which the words of the question are looked for
_STEMS: Final = 50
DEFAULT_TOKENS: Final = 1_800  # of an answer to an agent
WHOLE_TOKENS: Final = 4_500  # of one memory that is asked for by its id


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
    offset: int = 0,
) -> RecalledMemories:
    """Return the memories that answer a question, best first; without words in it, the newest that the filters leave.

    A time in the question ("last week") narrows the answer unless `time_phrase` or `wanted` says one.
    Where that leaves nothing, it is ignored.

    Raises:
        UserError: `time_phrase` is not understood.
    """
    words, span = query, None
    if time_phrase:
        wanted = wanted.within(span := when.parse(time_phrase, now))
    elif wanted.after is None and wanted.before is None:
        span, words = when.find(query, now)
    narrowed = wanted.within(span) if span is not None else wanted
    answer = _answered(store, query, words, narrowed, limit, here=here, max_tokens=max_tokens, offset=offset)
    time_range = _shown(span) if span is not None else None
    if time_range is not None and not time_phrase and not answer.total:
        answer = _answered(store, query, query, wanted, limit, here=here, max_tokens=max_tokens, offset=offset)
        return replace(answer, ignored_time_range=time_range)
    return replace(answer, time_range=time_range)


def _answered(
    store: MemoryStore,
    query: str,
    words: str,
    wanted: Filter,
    limit: int,
    *,
    here: str | None,
    max_tokens: int | None,
    offset: int,
) -> RecalledMemories:
    if not words.strip():
        memories, total = store.newest(wanted, limit, offset)
        shown = fitted(memories, max_tokens, wanted)
        return _result(query, "lexical", shown, total, next_offset(offset, limit, total, len(memories) - len(shown)))
    pool = max((offset + limit) * _POOL, _POOL_LEAST)
    found = store.candidates(words, wanted, pool)
    best = ranked(found, here)
    page = best[offset : offset + limit]
    whole = {memory.id: memory for memory in store.memories([one.number for _, one in page])}  # if not gone meanwhile
    memories = [replace(whole[one.id], similarity_score=round(share, 4)) for share, one in page if one.id in whole]
    starts = {one.id: start_of(one.passage, whole[one.id].content) for _, one in page if one.id in whole}
    mode = "hybrid" if any(one.cosine is not None for one in found) else "lexical"
    shown = fitted(memories, max_tokens, wanted, words, starts)
    more = next_offset(offset, limit, len(best), len(memories) - len(shown))
    return replace(_result(query, mode, shown, len(best), more), total_is_exact=len(best) < pool)


def exact(
    store: MemoryStore, text: str, wanted: Filter, limit: int, *, max_tokens: int | None = None, offset: int = 0
) -> RecalledMemories:
    """Return the memories whose content holds a text: as it is written first, then whatever its case; newest first."""
    memories, total = store.newest(replace(wanted, contains=text), limit, offset)
    starts = {memory.id: max(0, _place(memory.content, text) - _BEFORE_WORD) for memory in memories}
    shown = fitted(memories, max_tokens, wanted, text, starts)
    return _result(text, "exact", shown, total, next_offset(offset, limit, total, len(memories) - len(shown)))


def by_id(query: str, memory: Memory, max_tokens: int | None = None) -> RecalledMemories:
    """Return the memory whose id the query is, whole where `max_tokens` or 4,500 tokens hold it."""
    budget = max(max_tokens, WHOLE_TOKENS) if max_tokens is not None else None
    return _result(query, "id", fitted([memory], budget, Filter()), 1, None)


def _place(content: str, text: str) -> int:
    at = content.find(text)
    return at if at >= 0 else folded(content).find(folded(text))


def next_offset(offset: int, limit: int, total: int, unfit: int) -> int | None:
    """Return where to go on after `limit` memories, of which the last `unfit` were not shown; None at the end."""
    after = min(offset + limit, total) - unfit
    return after if after < total else None


def _result(query: str, mode: str, shown: Sequence[Memory], total: int, after: int | None) -> RecalledMemories:
    return RecalledMemories(query, None, mode, len(shown), tuple(shown), total=total, next_offset=after)


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


# -- what fits --------------------------------------------------------------------------------------------------------


def fitted(
    memories: Sequence[Memory],
    max_tokens: int | None,
    wanted: Filter,
    query: str = "",
    starts: Mapping[str, int] = {},
) -> list[Memory]:
    """Return as many of the memories, from the first, as a text answer of `max_tokens` (four characters each) can hold.

    Long contents are shortened alike, to what follows their place in `starts` and has most words of `query`;
    one memory is shown at least. None: all, whole. `wanted` is the filter, which the answer may repeat.
    """
    if max_tokens is None:
        return list(memories)
    budget = max_tokens * _CHARACTERS_PER_TOKEN
    room = max(budget - _around(query, wanted), budget * 2 // 3)
    used, frames = 0, 0
    sizes: list[int] = []
    for memory in memories:
        frame = _frame(memory)
        size = _size(memory.content[:budget]) + max(0, len(memory.content) - budget)
        used += frame + min(size, _LEAST_SHOWN)
        if sizes and used > room:
            break
        sizes.append(size)
        frames += frame
    each = _share(sizes, room - frames)
    return [
        memory if size <= each else _shortened(memory, each, starts.get(memory.id, 0), query)
        for memory, size in zip(memories, sizes, strict=False)
    ]


def _share(sizes: Sequence[int], room: int) -> int:
    """Return the greatest size that all may have so that they fit together; smaller ones leave their rest to the others."""
    left, count = room, len(sizes)
    for size in sorted(sizes):
        if size * count > left:
            return left // count
        left, count = left - size, count - 1
    return max(sizes, default=0)


def _frame(memory: Memory) -> int:
    """Return how many characters a text answer takes at most for a memory besides its content."""
    names = (memory.id, memory.memory_type, *memory.tags, memory.repository or "")
    superseded = len(memory.superseded_by) + 20 if memory.superseded_by else 0
    places = [f"{one['path']}{one['symbol'] or ''}" for one in memory.refers_to]
    metadata = len(shown_metadata(memory.metadata)) + 14 if memory.metadata else 0
    lines = sum(len(escape.line(one)) + 3 for one in names) + sum(len(escape.line(one)) + 32 for one in places)
    return 20 + lines + superseded + metadata


def _around(query: str, wanted: Filter) -> int:
    """Return how many characters an answer has besides its memories: what it says of them all, and the next call."""
    tags = sum(len(escape.line(tag)) + 6 for tag in wanted.tags)
    return 330 + min(len(escape.line(query)), 300) + min(tags, 1_000)


def shown_metadata(metadata: Mapping[str, Any]) -> str:
    """Return metadata as one line of limited length; "" where there is none."""
    line = escape.line("; ".join(f"{key}: {value}" for key, value in metadata.items())[: 2 * _METADATA_SHOWN])
    return line if len(line) <= _METADATA_SHOWN else f"{line[:_METADATA_SHOWN]}…"


def _size(content: str) -> int:
    """Return how many characters a text answer takes for a content, each line of which it marks as data."""
    shown = escape.block(content)
    return len(shown) + 5 * (shown.count("\n") + 1)


def _shortened(memory: Memory, size: int, start: int, query: str) -> Memory:
    """Return the memory with the part of its content that answers best, of which an answer shows `size` characters."""
    length = max(size - _NOTE, size // 2, _LEAST_PART)
    start = max(0, min(_best_start(memory.content, start, query, length), len(memory.content) - length))
    part = memory.content[start : start + length]
    while (shown := _size(part)) > length + _NOTE // 2 and len(part) > _LEAST_PART:
        part = part[: max(_LEAST_PART, len(part) * length // shown)]
    content = ("… " if start else "") + part
    return replace(memory, content=content, truncated=True, content_length=len(memory.content))


def _best_start(content: str, start: int, query: str, length: int) -> int:
    """Return where the part of a content from `start` on begins that has the most different words of a question."""
    stems = {word[: max(4, len(word) - 2)] for word in re.findall(r"\w{3,}", query.lower())[:_STEMS]}
    text = content[start : start + _SEARCHED].lower()
    places = sorted((found.start(), stem) for stem in stems for found in re.finditer(re.escape(stem), text))
    window = max(length - _BEFORE_WORD, length // 2)
    best, most, first = 0, 0, 0
    for last, (at, _) in enumerate(places):
        while at - places[first][0] > window:
            first += 1
        distinct = len({stem for _, stem in places[first : last + 1]})
        if distinct > most:
            best, most = places[first][0], distinct
    return start + (max(0, best - min(_BEFORE_WORD, length // 2)) if best > window else 0)


def _shown(span: Range) -> dict[str, str | None]:
    return {
        "after": span.after.isoformat(timespec="seconds") if span.after else None,
        "before": span.before.isoformat(timespec="seconds") if span.before else None,
    }
