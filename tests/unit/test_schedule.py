"""What is due, and in which order."""

from __future__ import annotations

import pytest

from recollect.jobs.schedule import (
    LONGEST_S,
    MISSING_CHECK_S,
    QUIET_S,
    VOUCHED_CHECK_S,
    Cause,
    Condition,
    Due,
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


def test_the_watcher_spares_the_checks() -> None:
    quiet = Condition("a", indexed=True, vouched=True, checked_at=500.0, interval=300.0)
    assert cause(quiet) == 500.0 + VOUCHED_CHECK_S


def test_the_order_is_by_cause_then_size_class_language_size_and_use() -> None:
    def item(name: str, cause: Cause = Cause.NEVER, **known: object) -> Due:
        return Due(cause, Condition(name, indexed=False, **known))  # type: ignore[arg-type]

    found = [
        item("check", Cause.CHECK, language="python"),
        item("huge", language="python", size_bytes=200_000_000),
        item("go", language="go", size_bytes=1),
        item("script", language="JavaScript", size_bytes=9),
        item("python", language="python", size_bytes=50),
        item("small-python", language="python", size_bytes=5),
        item("used", language="go", size_bytes=1, last_access=7.0),
        item("changed", Cause.CHANGED),
    ]
    names = [it.condition.id for it in ordered(found, ["python", "javascript"], 100_000_000)]
    assert names == ["small-python", "python", "script", "used", "go", "huge", "changed", "check"]
