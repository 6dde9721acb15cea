"""Bounds of time in filters are understood as their callers mean them: what deletes by them must not take too much."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from recollect.workspace.memories import moment


def at(year: int, month: int = 1, day: int = 1) -> float:
    return datetime(year, month, day).astimezone().timestamp()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (2024, at(2024)),
        (2024.0, at(2024)),
        ("2024", at(2024)),
        (" 2024 ", at(2024)),
        (20240131, at(2024, 1, 31)),
        ("20240131", at(2024, 1, 31)),
        (1_706_659_200, 1_706_659_200.0),
        ("1706659200", 1_706_659_200.0),
        (1_706_659_200_000, 1_706_659_200.0),
    ],
)
def test_a_year_or_a_day_is_no_number_of_seconds(given: Any, meant: float) -> None:
    assert moment(given, "after") == meant
    assert moment(given, "before") == meant


def test_the_end_of_a_year_is_its_last_moment() -> None:
    assert moment(2024, "before", at_end=True) == moment("2024", "before", at_end=True)
    assert moment(2024, "before", at_end=True) == pytest.approx(at(2025), abs=1)
