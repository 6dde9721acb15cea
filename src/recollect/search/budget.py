"""Keep hits within a number of tokens, as they are rendered: the best ones whole, the last one cut, the rest counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from recollect.model import Hit
from recollect.records import dataclass

CHARACTERS_PER_TOKEN: Final = 4
_LEAST_LINES: Final = 3  # of a snippet that is cut; with fewer the hit is left out
_OF_A_HEAD: Final = 24  # characters beside names and numbers: "12. ", " score 1.2345", "; also lines "
_COPIES: Final = 5  # that are named
_OF_A_RANGE: Final = 13
_RESERVED: Final = 50  # tokens for what is said beside the hits: freshness, what was left out
_MOST_RESERVED: Final = 0.1  # of the whole


@dataclass(frozen=True, slots=True)
class Fitted:
    """Hits within the budget. `left_out`: how many hits were not; `shortened`: whether a snippet lost lines to it."""

    hits: tuple[Hit, ...]
    left_out: int = 0
    shortened: bool = False


def fitted(hits: Sequence[Hit], max_tokens: int | None) -> Fitted:
    """As many hits, best first, as the budget holds; the first one at least, whose snippet may be cut."""
    if max_tokens is None:
        return Fitted(tuple(hits))
    left = int((max_tokens - min(_RESERVED, max_tokens * _MOST_RESERVED)) * CHARACTERS_PER_TOKEN)
    kept: list[Hit] = []
    for hit in hits:
        lines = hit.snippet.split("\n") if hit.snippet else []
        left -= _head(hit)
        count = _lines_within(lines, hit.snippet_line, left)
        if count == len(lines) and left >= 0:
            kept.append(hit)
            left -= _characters(lines, hit.snippet_line)
            continue
        is_worth_it = count >= _LEAST_LINES or not kept
        if is_worth_it:
            kept.append(replace(hit, snippet="\n".join(lines[: max(count, 1)])[: max(left, 0)]))
        return Fitted(tuple(kept), len(hits) - len(kept), is_worth_it)
    return Fitted(tuple(kept))


def _head(hit: Hit) -> int:
    names = (hit.repository, hit.path, hit.symbol or "", hit.kind or "", *hit.also_in[:_COPIES])
    return sum(len(name) + 2 for name in names) + _OF_A_HEAD + _OF_A_RANGE * (1 + len(hit.more))


def _characters(lines: Sequence[str], first: int) -> int:
    return sum(len(line) + len(str(first + number)) + 2 for number, line in enumerate(lines))


def _lines_within(lines: Sequence[str], first: int, most: int) -> int:
    """How many lines, each with its number and two marks, `most` characters hold."""
    for count, line in enumerate(lines):
        most -= len(line) + len(str(first + count)) + 2
        if most < 0:
            return count
    return len(lines)
