"""The language of time: what each phrase means, and which words only look like time."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from recollect.errors import UserError
from recollect.memory.when import find, parse

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 21, 15, 30, tzinfo=BERLIN)  # a Saturday

PHRASES = """
today | 2026-11-21T00:00 | 2026-11-22T00:00
tomorrow | 2026-11-22T00:00 | 2026-11-23T00:00
yesterday | 2026-11-20T00:00 | 2026-11-21T00:00
yesterday morning | 2026-11-20T05:00 | 2026-11-20T12:00
yesterday afternoon | 2026-11-20T12:00 | 2026-11-20T18:00
yesterday evening | 2026-11-20T18:00 | 2026-11-20T22:00
yesterday night | 2026-11-20T22:00 | 2026-11-21T05:00
yesterday at noon | 2026-11-20T11:00 | 2026-11-20T14:00
the day before yesterday | 2026-11-19T00:00 | 2026-11-20T00:00
day before yesterday evening | 2026-11-19T18:00 | 2026-11-19T22:00
this morning | 2026-11-21T05:00 | 2026-11-21T12:00
earlier this afternoon | 2026-11-21T12:00 | 2026-11-21T18:00
this evening | 2026-11-21T18:00 | 2026-11-21T22:00
tonight | 2026-11-21T18:00 | 2026-11-22T05:00
last night | 2026-11-20T22:00 | 2026-11-21T05:00
30 minutes ago | 2026-11-21T14:55 | 2026-11-21T15:05
an hour ago | 2026-11-21T14:00 | 2026-11-21T15:00
about 3 hours ago | 2026-11-21T12:00 | 2026-11-21T13:00
a day ago | 2026-11-20T00:00 | 2026-11-21T00:00
two days ago | 2026-11-19T00:00 | 2026-11-20T00:00
3 weeks ago | 2026-10-26T00:00 | 2026-11-02T00:00
a couple of weeks ago | 2026-11-02T00:00 | 2026-11-09T00:00
a few days ago | 2026-11-18T00:00 | 2026-11-19T00:00
two months ago | 2026-09-01T00:00 | 2026-10-01T00:00
11 months ago | 2025-12-01T00:00 | 2026-01-01T00:00
a quarter ago | 2026-07-01T00:00 | 2026-10-01T00:00
two years ago | 2024-01-01T00:00 | 2025-01-01T00:00
in the past 2 hours | 2026-11-21T13:30 | 2026-11-21T15:30
over the last 30 minutes | 2026-11-21T15:00 | 2026-11-21T15:30
the last 3 days | 2026-11-18T15:30 | 2026-11-21T15:30
last 2 weeks | 2026-11-07T15:30 | 2026-11-21T15:30
within the last six months | 2026-05-21T15:30 | 2026-11-21T15:30
past couple of days | 2026-11-19T15:30 | 2026-11-21T15:30
recently | 2026-11-14T15:30 | 2026-11-21T15:30
this week | 2026-11-16T00:00 | 2026-11-23T00:00
last week | 2026-11-09T00:00 | 2026-11-16T00:00
previous week | 2026-11-09T00:00 | 2026-11-16T00:00
earlier this month | 2026-11-01T00:00 | 2026-12-01T00:00
last month | 2026-10-01T00:00 | 2026-11-01T00:00
this quarter | 2026-10-01T00:00 | 2027-01-01T00:00
last quarter | 2026-07-01T00:00 | 2026-10-01T00:00
the past hour | 2026-11-21T14:30 | 2026-11-21T15:30
last day | 2026-11-20T15:30 | 2026-11-21T15:30
this year | 2026-01-01T00:00 | 2027-01-01T00:00
last year | 2025-01-01T00:00 | 2026-01-01T00:00
the past year | 2025-01-01T00:00 | 2026-01-01T00:00
last weekend | 2026-11-14T00:00 | 2026-11-16T00:00
this weekend | 2026-11-21T00:00 | 2026-11-23T00:00
beginning of this year | 2026-01-01T00:00 | 2026-05-02T16:00
last monday | 2026-11-16T00:00 | 2026-11-17T00:00
on friday | 2026-11-20T00:00 | 2026-11-21T00:00
monday morning | 2026-11-16T05:00 | 2026-11-16T12:00
last saturday | 2026-11-14T00:00 | 2026-11-15T00:00
this saturday | 2026-11-21T00:00 | 2026-11-22T00:00
tuesday | 2026-11-17T00:00 | 2026-11-18T00:00
2024-01-01 | 2024-01-01T00:00 | 2024-01-02T00:00
on 2024-02-29 | 2024-02-29T00:00 | 2024-03-01T00:00
2024/12/31 | 2024-12-31T00:00 | 2025-01-01T00:00
2024-02 | 2024-02-01T00:00 | 2024-03-01T00:00
january 5 | 2026-01-05T00:00 | 2026-01-06T00:00
dec 24 | 2025-12-24T00:00 | 2025-12-25T00:00
5 january 2024 | 2024-01-05T00:00 | 2024-01-06T00:00
5th of march 2024 | 2024-03-05T00:00 | 2024-03-06T00:00
on march 5th, 2024 | 2024-03-05T00:00 | 2024-03-06T00:00
the 31st of october | 2026-10-31T00:00 | 2026-11-01T00:00
in may | 2026-05-01T00:00 | 2026-06-01T00:00
in december | 2025-12-01T00:00 | 2026-01-01T00:00
in november | 2026-11-01T00:00 | 2026-12-01T00:00
last november | 2025-11-01T00:00 | 2025-12-01T00:00
march 2025 | 2025-03-01T00:00 | 2025-04-01T00:00
in 2024 | 2024-01-01T00:00 | 2025-01-01T00:00
q3 2024 | 2024-07-01T00:00 | 2024-10-01T00:00
q1 | 2026-01-01T00:00 | 2026-04-01T00:00
the third quarter of 2025 | 2025-07-01T00:00 | 2025-10-01T00:00
summer 2024 | 2024-06-01T00:00 | 2024-09-01T00:00
last summer | 2026-06-01T00:00 | 2026-09-01T00:00
last winter | 2025-12-01T00:00 | 2026-03-01T00:00
last fall | 2025-09-01T00:00 | 2025-12-01T00:00
since 2024-01-01 | 2024-01-01T00:00 | -
since yesterday | 2026-11-20T00:00 | -
since march | 2026-03-01T00:00 | -
after 2024-05-01 | 2024-05-02T00:00 | -
before march | - | 2026-03-01T00:00
before last week | - | 2026-11-09T00:00
until friday | - | 2026-11-21T00:00
up to 2024-06 | - | 2024-07-01T00:00
between may and june | 2026-05-01T00:00 | 2026-07-01T00:00
between 2024-01-01 and 2024-02-01 | 2024-01-01T00:00 | 2024-02-02T00:00
from monday to wednesday | 2026-11-16T00:00 | 2026-11-19T00:00
between november and january | 2025-11-01T00:00 | 2026-02-01T00:00
from q1 2024 to q2 2024 | 2024-01-01T00:00 | 2024-07-01T00:00
"""
TABLE = [tuple(part.strip() for part in line.split("|")) for line in PHRASES.strip().splitlines()]


def shown(moment: datetime | None) -> str:
    return moment.isoformat()[:16] if moment else "-"


def test_there_are_at_least_eighty_phrases() -> None:
    assert len(TABLE) >= 80


@pytest.mark.parametrize(("phrase", "after", "before"), TABLE)
def test_a_phrase_means_a_range(phrase: str, after: str, before: str) -> None:
    found = parse(phrase, NOW)
    assert (shown(found.after), shown(found.before)) == (after, before)
    assert parse(f"  {phrase.upper()} ", NOW) == found


@pytest.mark.parametrize(
    ("phrase", "now", "after", "before"),
    [
        ("yesterday", "2026-03-30T09:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),  # 23 hours long
        ("yesterday", "2026-10-26T09:00", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),  # 25 hours long
        ("last night", "2026-03-29T09:00", "2026-03-28T22:00:00+01:00", "2026-03-29T05:00:00+02:00"),
        ("in the past 2 hours", "2026-03-29T03:30", "2026-03-29T00:30:00+01:00", "2026-03-29T03:30:00+02:00"),
        ("3 hours ago", "2026-10-25T04:00", "2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00"),
        ("last month", "2026-01-15T09:00", "2025-12-01T00:00:00+01:00", "2026-01-01T00:00:00+01:00"),
        ("last quarter", "2026-02-01T09:00", "2025-10-01T00:00:00+02:00", "2026-01-01T00:00:00+01:00"),
        ("last week", "2026-01-01T09:00", "2025-12-22T00:00:00+01:00", "2025-12-29T00:00:00+01:00"),
        ("the last month", "2026-03-31T09:00", "2026-02-01T00:00:00+01:00", "2026-03-01T00:00:00+01:00"),
        ("past 1 month", "2026-03-31T09:00", "2026-02-28T09:00:00+01:00", "2026-03-31T09:00:00+02:00"),
        ("yesterday", "2024-03-01T09:00", "2024-02-29T00:00:00+01:00", "2024-03-01T00:00:00+01:00"),
    ],
)
def test_the_edges_of_days_months_and_years(phrase: str, now: str, after: str, before: str) -> None:
    found = parse(phrase, datetime.fromisoformat(now).replace(tzinfo=BERLIN))
    assert found.after is not None
    assert found.before is not None
    moments = [datetime.fromisoformat(moment).timestamp() for moment in (after, before)]
    assert [found.after.timestamp(), found.before.timestamp()] == moments


@pytest.mark.parametrize(
    "phrase", ["blah", "", "31 february", "since never", "the future", "yesterdayish", "q5 2024", "last banana"]
)
def test_what_is_not_understood_is_said(phrase: str) -> None:
    with pytest.raises(UserError, match="not understood as a time"):
        parse(phrase, NOW)


@pytest.mark.parametrize(
    "query",
    [
        "what may we do",
        "the fall of the server",
        "march forward",
        "sun position",
        "before release",
        "after the fix",
        "spring framework configuration",
        "may the cache be shared",
        "second argument of the function",
        "the last element of the list",
        "mon alerts",
        "wed like to know",
        "from the client to the server",
        "2024 tokens",
        "day planner",
        "between the lines",
        "what was decided recently",
        "Black Friday scaling",
        "Q3 roadmap",
        "q3 2024 roadmap",
        "Patch Tuesday",
        "last month of the fiscal year",
        "the last day of the sprint",
        "Monday standup",
        "Monday morning standup",
        "May 4 outage",
        "the 2024-05-01 outage",
        "March 2024 release notes",
        "weekend deploys",
        "the weekend rota",
        "summer 2024 interns",
        "first quarter results",
        "runs in the morning",
        "after the Friday deploy",
        "before the May 4 outage",
        "no deploys on Fridays",
        "what is planned for tomorrow",
    ],
)
def test_words_that_only_look_like_time_filter_nothing(query: str) -> None:
    assert find(query, NOW) == (None, query)


@pytest.mark.parametrize(
    ("query", "phrase", "rest"),
    [
        ("what did we decide last week about auth", "last week", "what did we decide about auth"),
        ("notes from yesterday", "since yesterday", "notes"),
        ("decisions since march about caching", "since march", "decisions about caching"),
        ("2 days ago we broke it", "2 days ago", "we broke it"),
        ("errors in 2024", "in 2024", "errors"),
        ("yesterday afternoon", "yesterday afternoon", ""),
        ("what happened on Friday", "on friday", "what happened"),
        ("what broke since March 2024", "since march 2024", "what broke"),
        ("last week's decisions", "last week", "decisions"),
        ("outage on May 4", "on may 4", "outage"),
        ("roadmap during Q3 2024", "during q3 2024", "roadmap"),
        ("Black Friday plans, last year", "last year", "Black Friday plans,"),
        ("deploys in the past hour", "in the past hour", "deploys"),
        ("İİİ builds yesterday", "yesterday", "İİİ builds"),
        ("Friday", "friday", ""),
        ("Q3 2024?", "q3 2024", ""),
        ("what changed between may and june", "between may and june", "what changed"),
    ],
)
def test_a_time_in_a_question_is_taken_out_of_it(query: str, phrase: str, rest: str) -> None:
    assert find(query, NOW) == (parse(phrase, NOW), rest)
