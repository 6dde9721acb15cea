"""The language of time: "yesterday afternoon", "last week", "since 2024-01-01", "between may and june" as ranges.

A phrase is looked up in the user's time zone. Ranges are half open: `after` belongs to it, `before` does not.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Final

from recollect.errors import UserError
from recollect.records import dataclass

_NUMBERS: Final = {
    word: number
    for number, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
} | {"a": 1, "an": 1, "couple": 2, "a couple": 2, "a couple of": 2, "couple of": 2, "few": 3, "a few": 3, "several": 5}
_MONTHS: Final = "january february march april may june july august september october november december".split()
_DAYS: Final = "monday tuesday wednesday thursday friday saturday sunday".split()
_SEASONS: Final = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_PARTS: Final = {"morning": (5, 12), "afternoon": (12, 18), "evening": (18, 22), "night": (22, 29), "noon": (11, 14)}
_ORDINALS: Final = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4}

_NUMBER = r"(?P<n>\d{1,4}|(?:a )?(?:couple|few)(?: of)?|an?|several|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_UNIT = r"(?P<unit>second|sec|minute|min|hour|hr|day|week|fortnight|month|quarter|year)s?"
_MONTH = r"(?P<month>" + "|".join(f"{name}|{name[:3]}" for name in _MONTHS) + r"|sept)\.?"
_DAY = r"(?P<day>" + "|".join(f"{name}|{name[:3]}" for name in _DAYS) + r"|tues|thurs|weds)"
_SEASON = r"(?P<season>" + "|".join(_SEASONS) + ")"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_PART = r"(?P<part>morning|afternoon|evening|night|noon)"
_LAST = r"(?P<which>last|previous|past|this|current)"


@dataclass(frozen=True, slots=True)
class Range:
    """From `after` until before `before`; None: open at that end."""

    after: datetime | None
    before: datetime | None


def _day(at: date, now: datetime) -> datetime:
    """Midnight of a day in the zone of `now`; the zone knows its own daylight saving."""
    return datetime.combine(at, time.min, tzinfo=now.tzinfo)


def _span(first: date, end: date, now: datetime) -> Range:
    return Range(_day(first, now), _day(end, now))


def _months_on(at: date, months: int) -> date:
    """First day of the month that lies so many months from that of `at`."""
    index = at.year * 12 + at.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def _back(now: datetime, count: int, unit: str) -> datetime:
    """`now` so many units ago; a day that its month does not have becomes the last one that it has."""
    if unit in ("month", "quarter", "year"):
        months = count * {"month": 1, "quarter": 3, "year": 12}[unit]
        first = _months_on(now.date(), -months)
        last = (_months_on(first, 1) - timedelta(days=1)).day
        return now.replace(year=first.year, month=first.month, day=min(now.day, last))
    if unit in ("day", "week", "fortnight"):
        days = count * {"day": 1, "week": 7, "fortnight": 14}[unit]
        return datetime.combine(now.date() - timedelta(days=days), now.time(), tzinfo=now.tzinfo)
    seconds = count * {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600}[unit]
    return datetime.fromtimestamp(now.timestamp() - seconds, now.tzinfo)


def _calendar(unit: str, offset: int, now: datetime) -> Range:
    """The calendar week, month, … so many before (negative `offset`) the present one."""
    today = now.date()
    if unit == "day":
        return _span(today + timedelta(days=offset), today + timedelta(days=offset + 1), now)
    if unit in ("week", "fortnight"):
        weeks = offset * (2 if unit == "fortnight" else 1)
        monday = today - timedelta(days=today.weekday()) + timedelta(weeks=weeks)
        return _span(monday, monday + timedelta(weeks=2 if unit == "fortnight" else 1), now)
    months = {"month": 1, "quarter": 3, "year": 12}[unit]
    start = date(today.year, (today.month - 1) // months * months + 1, 1)
    start = _months_on(start, offset * months)
    return _span(start, _months_on(start, months), now)


def _count(said: str) -> int:
    if not said:
        return 1  # "the past hour"
    return int(said) if said.isdigit() else _NUMBERS[said.strip()]


def _part_of(day: date, part: str, now: datetime) -> Range:
    first, last = _PARTS[part]
    midnight = datetime.combine(day, time.min, tzinfo=now.tzinfo)
    start = midnight.replace(hour=first)
    end = _day(day + timedelta(days=1), now).replace(hour=last - 24) if last >= 24 else midnight.replace(hour=last)
    return Range(start, end)


def _month_number(said: str) -> int:
    return next(number for number, name in enumerate(_MONTHS, 1) if name.startswith(said[:3]))


def _recent_month(number: int, now: datetime, before_this: bool) -> date:
    """First day of the last month of that number, the present one included unless `before_this`."""
    this = now.month == number and not before_this
    year = now.year if number < now.month or this else now.year - 1
    return date(year, number, 1)


def _ago(m: re.Match[str], now: datetime) -> Range:
    count, unit = _count(m["n"]), m["unit"]
    if unit in ("day", "week", "month", "quarter", "year", "fortnight"):
        return _calendar(unit, -count, now)
    at = _back(now, count, unit)
    width = {"hour": 1800, "hr": 1800, "minute": 300, "min": 300}.get(unit, 30)
    first, last = at.timestamp() - width, min(at.timestamp() + width, now.timestamp())
    return Range(datetime.fromtimestamp(first, now.tzinfo), datetime.fromtimestamp(last, now.tzinfo))


def _rolling(m: re.Match[str], now: datetime) -> Range:
    return Range(_back(now, _count(m["n"]), m["unit"]), now)


def _weekday(m: re.Match[str], now: datetime) -> Range:
    wanted = next(number for number, name in enumerate(_DAYS) if name.startswith(m["day"][:3]))
    distance = (now.weekday() - wanted) % 7
    groups = m.groupdict()
    if distance == 0 and groups.get("which") in ("last", "previous", "past"):
        distance = 7
    day = now.date() - timedelta(days=distance)
    part = groups.get("part")
    return _part_of(day, part, now) if part else _span(day, day + timedelta(days=1), now)


def _named_day(m: re.Match[str], now: datetime) -> Range:
    days = {"tomorrow": -1, "today": 0, "yesterday": 1, "the day before yesterday": 2, "day before yesterday": 2}[
        m["named"]
    ]
    day = now.date() - timedelta(days=days)
    part = m["part"]
    return _part_of(day, part, now) if part else _span(day, day + timedelta(days=1), now)


def _this_part(m: re.Match[str], now: datetime) -> Range:
    return _part_of(now.date(), m["part"], now)


def _tonight(m: re.Match[str], now: datetime) -> Range:
    return Range(_part_of(now.date(), "evening", now).after, _part_of(now.date(), "night", now).before)


def _last_part(m: re.Match[str], now: datetime) -> Range:
    return _part_of(now.date() - timedelta(days=1), m["part"], now)


def _period(m: re.Match[str], now: datetime) -> Range:
    return _calendar(m["unit"], 0 if m["which"] in ("this", "current") else -1, now)


def _weekend(m: re.Match[str], now: datetime) -> Range:
    saturday = now.date() - timedelta(days=(now.weekday() - 5) % 7)
    if m["which"] in ("last", "previous", "past") and now.weekday() >= 5:
        saturday -= timedelta(days=7)
    return _span(saturday, saturday + timedelta(days=2), now)


def _month(m: re.Match[str], now: datetime) -> Range:
    number, groups = _month_number(m["month"]), m.groupdict()
    if groups.get("year"):
        first = date(int(m["year"]), number, 1)
    else:
        first = _recent_month(number, now, groups.get("which") in ("last", "previous", "past"))
    return _span(first, _months_on(first, 1), now)


def _date(m: re.Match[str], now: datetime) -> Range:
    groups = m.groupdict()
    number = _month_number(m["month"]) if groups.get("month") else int(m["mm"])
    year = int(groups["year"]) if groups.get("year") else now.year
    day = date(year, number, int(m["dd"]))
    if not groups.get("year") and day > now.date():
        day = date(year - 1, number, int(m["dd"]))
    return _span(day, day + timedelta(days=1), now)


def _iso_month(m: re.Match[str], now: datetime) -> Range:
    first = date(int(m["year"]), int(m["mm"]), 1)
    return _span(first, _months_on(first, 1), now)


def _year(m: re.Match[str], now: datetime) -> Range:
    return _span(date(int(m["year"]), 1, 1), date(int(m["year"]) + 1, 1, 1), now)


def _quarter(m: re.Match[str], now: datetime) -> Range:
    said = m["q"]
    number = int(said) if said.isdigit() else _ORDINALS[said]
    year = int(m["year"]) if m["year"] else now.year
    first = date(year, number * 3 - 2, 1)
    if not m["year"] and first > now.date():
        first = date(year - 1, number * 3 - 2, 1)
    return _span(first, _months_on(first, 3), now)


def _season(m: re.Match[str], now: datetime) -> Range:
    month, groups = _SEASONS[m["season"]], m.groupdict()
    if groups.get("year"):
        first = date(int(m["year"]), month, 1)
    else:
        first = date(now.year, month, 1)
        ended = _months_on(first, 3) <= now.date()
        if first > now.date() or (groups.get("which") in ("last", "previous", "past") and not ended):
            first = date(now.year - 1, month, 1)
    return _span(first, _months_on(first, 3), now)


def _edge(m: re.Match[str], now: datetime) -> Range:
    """The first or last third of a period."""
    whole = _calendar(m["unit"], 0 if m["which"] in ("this", "current") else -1, now)
    assert whole.after is not None
    assert whole.before is not None
    third = (whole.before - whole.after) / 3
    if m["edge"] == "end":
        return Range(whole.before - third, whole.before)
    return Range(whole.after, whole.after + third)


def _recently(m: re.Match[str], now: datetime) -> Range:
    return Range(_back(now, 7, "day"), now)


_VAGUE: Final = r"recently|lately|the other day"
Handler = Callable[[re.Match[str], datetime], Range]
_RULES: Final[tuple[tuple[str, Handler], ...]] = (
    (rf"(?:(?:in|over|within|during) )?(?:the )?(?:last|past|previous) {_NUMBER} {_UNIT}", _rolling),
    (rf"(?:(?:about|around|some|roughly) )?{_NUMBER} {_UNIT} ago", _ago),
    (rf"(?P<named>today|yesterday|tomorrow|(?:the )?day before yesterday)(?:(?: in the| at)? {_PART})?", _named_day),
    (rf"(?:earlier )?(?:this|in the) {_PART}", _this_part),
    (r"tonight", _tonight),
    (rf"last {_PART}", _last_part),
    (rf"(?:(?:on|during|over) )?{_LAST} weekend|(?P<_w>the weekend)", _weekend),
    (
        rf"(?:(?:at|in) )?(?:the )?(?P<edge>beginning|start|end) of (?:the )?{_LAST} (?P<unit>week|month|quarter|year)",
        _edge,
    ),
    (rf"(?:(?:in|during|earlier) )?(?:the )?{_LAST} (?P<unit>week|fortnight|month|quarter|year)", _period),
    (r"(?:(?:in|over|within|during) )?(?:the )?(?:last|past) (?P<n>)(?P<unit>hour|day)", _rolling),
    (rf"(?:on )?{_LAST} {_DAY}(?: {_PART})?", _weekday),
    (rf"(?:on )?{_DAY}(?: {_PART})?", _weekday),
    (rf"(?:on )?{_YEAR}[-/.](?P<mm>1[0-2]|0?[1-9])[-/.](?P<dd>[12]\d|3[01]|0?[1-9])", _date),
    (rf"(?:on )?(?:the )?(?P<dd>[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?(?: of)? {_MONTH}(?:,? {_YEAR})?", _date),
    (rf"(?:on )?{_MONTH} (?P<dd>[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?(?:,? {_YEAR})?(?!\d)", _date),
    (rf"(?:in )?{_YEAR}[-/](?P<mm>0[1-9]|1[0-2])", _iso_month),
    (rf"(?:in |during )?q(?P<q>[1-4])(?:[ /]?(?:of )?{_YEAR})?", _quarter),
    (rf"(?:in )?(?:the )?(?P<q>first|second|third|fourth|1st|2nd|3rd|4th) quarter(?: of)?(?: {_YEAR})?", _quarter),
    (rf"(?:in |during )?(?:the )?{_LAST} {_SEASON}", _season),
    (rf"(?:in |during )?(?:the )?{_SEASON}(?: of)? {_YEAR}", _season),
    (rf"(?:in |during )?{_LAST} {_MONTH}", _month),
    (rf"(?:in |during )?{_MONTH}(?: of)?,? {_YEAR}", _month),
    (rf"(?:in|during) {_MONTH}", _month),
    (rf"(?:in|during) {_YEAR}", _year),
    (_VAGUE, _recently),
)
_BARE: Final[tuple[tuple[str, Handler], ...]] = (
    (r"now", lambda m, now: Range(now, now)),
    (_MONTH, _month),
    (_YEAR, _year),
    (_SEASON, _season),
)  # only where a time is expected
_SINCE: Final = re.compile(r"(?:since|after|from|starting) (?:the )?")
_BEFORE: Final = re.compile(r"(?:before|until|till|prior to|up to) (?:the )?")
_BETWEEN: Final = re.compile(r"between (?:the )?")
_JOIN: Final = re.compile(r" (?:and|to|until|till|-|–) (?:the )?")
_WORD: Final = re.compile(r"\w")
_POSSESSIVE: Final = re.compile(r"\A(?:['’]s\b)?[ ,]*")  # "last week's decisions"


@functools.cache  # when the first question is asked: a daemon's start should not wait for it
def _compiled(bare: bool) -> list[tuple[re.Pattern[str], Handler]]:
    return [(re.compile(pattern), handler) for pattern, handler in (*_RULES, *(_BARE if bare else ()))]


def _simple(text: str, at: int, now: datetime, bare: bool) -> tuple[Range, int] | None:
    """(range, end) of the longest phrase that begins at `at`."""
    found: tuple[Range, int] | None = None
    for pattern, handler in _compiled(bare):
        match = pattern.match(text, at)
        if match is None or (match.end() < len(text) and _WORD.match(text, match.end())):
            continue
        if found is None or match.end() > found[1]:
            try:
                found = handler(match, now), match.end()
            except ValueError:
                continue  # the 31st of February
    return found


def _phrase(text: str, at: int, now: datetime, bare: bool) -> tuple[Range, int] | None:
    between = _BETWEEN.match(text, at)
    since = _SINCE.match(text, at)
    if between or since:
        start = (between or since).end()  # type: ignore[union-attr]
        first = _simple(text, start, now, True)
        if first is not None:
            join = _JOIN.match(text, first[1])
            second = _simple(text, join.end(), now, True) if join else None
            if second is not None:
                return _ordered(first[0], second[0]), second[1]
            if since:
                after_it = text[at : at + 5] == "after"
                return Range(first[0].before if after_it else first[0].after, None), first[1]
        return None
    before = _BEFORE.match(text, at)
    if before:
        end = _simple(text, before.end(), now, True)
        if end is None:
            return None
        inclusive = not before.group().startswith(("before", "prior"))
        return Range(None, end[0].before if inclusive else end[0].after), end[1]
    return _simple(text, at, now, bare)


def _ordered(one: Range, other: Range) -> Range:
    """From the first to the end of the second; a first one that would come later was the year before."""
    assert one.after is not None
    assert other.after is not None
    if one.after > other.after:
        one = Range(one.after.replace(year=one.after.year - 1), one.before)
    return Range(one.after, other.before)


def parse(phrase: str, now: datetime) -> Range:
    """The range that a phrase means at `now` (with a time zone).

    Raises:
        UserError: the phrase is not understood ("unknown_time").
    """
    text = re.sub(r"\s+", " ", phrase.strip().lower())
    found = _phrase(text, 0, now, True)
    if found is None or found[1] != len(text):
        hint = 'For example "yesterday afternoon", "last week", "since 2024-01-01", "between may and june".'
        raise UserError(f"not understood as a time: {phrase!r}", hint=hint, code="unknown_time")
    return found[0]


_LONE: Final = re.compile(r"(?:on )?(?:mon|tue|tues|wed|weds|thu|thurs|fri|sat|sun)|(?:in )?(?:mar|may|sept?)")
_EXPLICIT: Final = re.compile(
    r"(?:on|in|during|over|at|since|after|from|starting|before|until|till|prior to|up to|between|within|earlier|about|around) "
    r"|(?:the )?(?:last|past|previous|this|current|day before yesterday)\b|today|yesterday|tonight|.* ago$"
)
_TOPIC: Final = re.compile(  # "after the friday deploy", "in the morning", "the weekend"
    rf"(?:\w+ |prior to |up to )the (?:{_DAY}|{_MONTH})(?!\w)|(?:in the {_PART}|the weekend)$"
)


def find(query: str, now: datetime) -> tuple[Range | None, str]:
    """Return the range of the first phrase in a query that says a time, and the query without it.

    Words that name a topic as well ("Friday", "Q3", "May 4", "recently") say a time only after a
    preposition ("on Friday", "since May 4") or where nothing else is asked.
    """
    text = "".join(" " if letter.isspace() else _lower(letter) for letter in query)
    for start in re.finditer(r"(?<!\w)\w", text):
        found = _phrase(text, start.start(), now, False)
        if found is None:
            continue
        span, end = found
        rest = f"{query[: start.start()].rstrip()} {_POSSESSIVE.sub('', query[end:])}".strip()
        if not _WORD.search(rest):
            return span, ""
        if _is_explicit(text[start.start() : end], text[end:]):
            return span, rest
    return None, query


def _lower(letter: str) -> str:
    """Return the letter in lower case, as long as it was: "İ" would become two."""
    lower = letter.lower()
    return lower if len(lower) == 1 else letter


def _is_explicit(phrase: str, after: str) -> bool:
    """Return whether a phrase amid other words says a time, and is no part of a name or topic."""
    if _LONE.fullmatch(phrase) or re.fullmatch(_VAGUE, phrase) or _TOPIC.match(phrase):
        return False
    if after.startswith(" of "):
        return False  # "last month of the fiscal year"
    return _EXPLICIT.match(phrase) is not None
