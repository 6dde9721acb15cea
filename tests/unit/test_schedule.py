"""What is due, and in which order."""

from __future__ import annotations

import pytest

from recollect.jobs.schedule import (
    LONGEST_S,
    MISSING_CHECK_S,
    QUIET_S,
    WATCHED_CHECK_S,
    Cause,
    Condition,
    Due,
    check_interval,
    due,
    ordered,
)


def cause(condition: Condition, now: float = 1000.0) -> Cause | float | None:
    found = due(condition, now)
    return found.cause if isinstance(found, Due) else found


def test_what_is_being_synced_is_not_due() -> None:
    assert cause(Condition("a", indexed=False, busy=True)) is None


def test_what_was_never_indexed_is_due_at_once_unless_it_failed_lately() -> None:
    assert cause(Condition("a", indexed=False)) is Cause.NEVER
    assert cause(Condition("a", indexed=False, not_before=1060.0)) == 1060.0


def test_a_missing_one_is_only_looked_for() -> None:
    assert cause(Condition("a", indexed=True, missing=True)) == 1000.0 + MISSING_CHECK_S


def test_changes_wait_until_they_stop_but_not_for_ever() -> None:
    watched = {"indexed": True, "vouched": True, "checked_at": 990.0}
    assert cause(Condition("a", dirty=(QUIET_S, QUIET_S), **watched)) is Cause.CHANGED  # type: ignore[arg-type]
    assert cause(Condition("a", dirty=(LONGEST_S, 0.0), **watched)) is Cause.CHANGED  # type: ignore[arg-type]
    assert cause(Condition("a", dirty=(0.5, 0.1), **watched)) == pytest.approx(1000.0 + QUIET_S - 0.1)  # type: ignore[arg-type]


def test_what_is_watched_but_not_looked_through_yet_is_checked() -> None:
    assert cause(Condition("a", indexed=True, dirty=(5.0, 5.0), checked_at=999.0)) is Cause.CHECK


def test_the_interval_holds_where_nothing_is_watched() -> None:
    assert cause(Condition("a", indexed=True, checked_at=700.0, interval=300.0)) is Cause.CHECK
    assert cause(Condition("a", indexed=True, checked_at=701.0, interval=300.0)) == 1001.0
    assert cause(Condition("a", indexed=True)) is Cause.CHECK  # not since this process began


def test_watched_ones_are_checked_hourly_until_somebody_sets_the_interval() -> None:
    def interval(own: float | None = None, general: float = 300.0, is_set: bool = False, vouched: bool = True) -> float:
        return check_interval(own, general, is_set, vouched)

    assert interval() == WATCHED_CHECK_S
    assert interval(vouched=False) == 300.0
    assert interval(general=60.0, is_set=True) == interval(general=60.0, is_set=True, vouched=False) == 60.0
    assert interval(general=86_400.0, is_set=True) == 86_400.0
    assert interval(own=5.0) == interval(own=5.0, vouched=False) == interval(own=5.0, is_set=True) == 5.0
    quiet = Condition("a", indexed=True, vouched=True, checked_at=500.0, interval=900.0)
    assert cause(quiet) == 1400.0


def test_the_order_is_by_cause_then_size_class_then_language() -> None:
    def item(name: str, cause: Cause = Cause.NEVER, **known: object) -> Due:
        return Due(cause, Condition(name, indexed=False, **known))  # type: ignore[arg-type]

    found = [
        item("check", Cause.CHECK, language="python"),
        item("huge", language="python", size_bytes=200_000_000),
        item("go", language="go", size_bytes=1),
        item("script", language="JavaScript", size_bytes=9),
        item("python", language="python", size_bytes=50),
        item("changed", Cause.CHANGED),
    ]
    names = [it.condition.id for it in ordered(found, ["python", "javascript"], 100_000_000)]
    assert names == ["python", "script", "go", "huge", "changed", "check"]


def test_of_equal_priority_the_one_modified_last_comes_first_whatever_order_they_come_in() -> None:
    ages = {"newest": 300.0, "newer": 200.0, "small": 100.0, "smaller": 100.0, "unknown": 0.0}
    sizes = {"newest": 90_000_000, "newer": 5_000, "small": 20, "smaller": 10, "unknown": 1}
    found = [
        Due(cause, Condition(f"{cause.name} {name}", True, language=language, size_bytes=sizes[name], modified_at=at))
        for name, at in ages.items()
        for cause in Cause
        for language in ("go", "python")
    ]
    wanted = ["newest", "newer", "smaller", "small", "unknown"]
    for mixed in (found, found[::-1], sorted(found, key=lambda item: hash(item.condition))):
        order = [
            (it.cause, it.condition.language, it.condition.id.split()[1])
            for it in ordered(mixed, ["python"], 100_000_000)
        ]
        assert order == [(cause, language, name) for cause in Cause for language in ("python", "go") for name in wanted]
