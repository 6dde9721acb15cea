"""Hits are kept within a budget of tokens, as they are rendered."""

from __future__ import annotations

import pytest

from recollect.model import Freshness, Hit, SearchResult
from recollect.search.budget import fitted
from recollect.server import render


def hit(number: int, lines: int) -> Hit:
    snippet = "\n".join(f"    line {at} of the file with some words in it" for at in range(lines))
    return Hit(
        "shop",
        f"src/folder_{number}/file.py",
        f"/x/{number}",
        100,
        99 + lines,
        "python",
        "Cart.total",
        "method",
        1.5,
        snippet,
        100,
    )


HITS = [hit(number, 12) for number in range(20)]


def test_without_a_budget_all_hits_stay_as_they_are() -> None:
    assert fitted(HITS, None).hits == tuple(HITS)
    assert fitted(HITS, 100_000).hits == tuple(HITS)


@pytest.mark.parametrize("budget", [50, 100, 333, 500, 1000, 1800, 2500])
def test_what_is_rendered_keeps_to_the_budget_and_says_what_it_left_out(budget: int) -> None:
    within = fitted(HITS, budget)
    assert len(within.hits) + within.left_out == len(HITS)
    assert [found.path for found in within.hits] == [found.path for found in HITS[: len(within.hits)]]
    text = render.search(
        SearchResult("x", 1.0, Freshness(True), within.hits, left_out=within.left_out, shortened=within.shortened)
    )
    assert len(text) <= budget * 4
    assert len(text) > budget * 2 or budget < 333
    assert f"{within.left_out} more hits" in text


def test_the_first_hit_is_shown_however_small_the_budget_is() -> None:
    assert len(fitted([hit(1, 200)], 50).hits) == 1


def test_a_single_line_without_end_is_cut() -> None:
    long = Hit("shop", "a.min.js", "/x", 1, 1, "javascript", None, None, 1.0, "x" * 100_000, 1)
    assert sum(len(found.snippet) for found in fitted([long], 100).hits) <= 400
