"""What is due, and in which order: computed from what is true now. There is no queue that a crash could lose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final

from recollect.records import dataclass

QUIET_S: Final = 0.3  # a repository in which things change is synced once they stop for so long …
LONGEST_S: Final = 2.0  # … or have gone on for so long
WATCHED_CHECK_S: Final = 3600.0  # what the watcher vouches for is looked through all the same, this seldom
MISSING_CHECK_S: Final = 10.0


class Cause(IntEnum):
    """Why a repository is due; smaller ones first."""

    NEVER = 0  # nothing of it is indexed
    CHANGED = 1  # files are known to have changed
    CHECK = 2  # it may have changed: its files are looked through


@dataclass(frozen=True, slots=True)
class Condition:
    """What is true of a tracked repository. Times by the monotonic clock; `busy`: it is being synced, or is about to."""

    id: str
    indexed: bool
    busy: bool = False
    missing: bool = False
    not_before: float = 0.0
    dirty: tuple[float, float] | None = None  # seconds since the first and since the last change that is not indexed
    vouched: bool = False  # the watcher tells of every change by name
    checked_at: float | None = None  # when it was last looked through
    interval: float = 300.0  # seconds between two checks, as `check_interval` says
    language: str | None = None
    size_bytes: int = 0
    modified_at: float = 0.0  # when its files were last changed, as far as is known (UTC epoch seconds)


@dataclass(frozen=True, slots=True)
class Due:
    cause: Cause
    condition: Condition


def check_interval(own: float | None, general: float, is_set: bool, vouched: bool) -> float:
    """Seconds between two checks of a repository: its own interval, else the general one.

    While nobody has set the general one (`is_set`), a repository whose changes the watcher reports is checked hourly.
    """
    if own is not None:
        return own
    return general if is_set or not vouched else max(WATCHED_CHECK_S, general)


def due(condition: Condition, now: float) -> Due | float | None:
    """What has to be done for a repository now; or when to look again; None: not before something happens."""
    if condition.busy:
        return None
    if condition.missing:
        return now + MISSING_CHECK_S
    if condition.not_before > now:
        return condition.not_before
    if not condition.indexed:
        return Due(Cause.NEVER, condition)
    if condition.dirty is not None:
        since, quiet = condition.dirty
        if quiet >= QUIET_S or since >= LONGEST_S:
            return Due(Cause.CHANGED if condition.vouched else Cause.CHECK, condition)
        return now + min(QUIET_S - quiet, LONGEST_S - since)
    checked = condition.checked_at
    if checked is None or checked + condition.interval <= now:
        return Due(Cause.CHECK, condition)
    return checked + condition.interval


def ordered(found: Iterable[Due], languages: Sequence[str], size_threshold: int) -> list[Due]:
    """The most urgent first: by cause; within one large ones last, then by language. Of equals, the one that was modified
    last comes first, then the smaller one.
    """
    ranks = {name.lower(): rank for rank, name in enumerate(languages)}

    def key(item: Due) -> tuple[int, bool, int, float, int, str]:
        it = item.condition
        rank = ranks.get((it.language or "").lower(), len(ranks))
        return (item.cause, it.size_bytes > size_threshold, rank, -it.modified_at, it.size_bytes, it.id)

    return sorted(found, key=key)
