"""Every write of a memory passes one door; what it refuses, and what it makes of the rest."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from recollect.errors import UserError
from recollect.memory.validate import LATEST, MAX_CONTENT, MAX_DEPTH, checked, checked_changes, moment

AT = 1_700_000_000.123


def record(**fields: Any) -> Any:
    return checked({"content": "x", **fields}, True)


@pytest.mark.parametrize(
    "value",
    [
        AT,
        1_700_000_000_123,
        1_700_000_000_123_000,
        1_700_000_000_123_000_000,
        "1700000000.123",
        " 1700000000123 ",
        "1.700000000123e12",
        "2023-11-14T22:13:20.123Z",
        "2023-11-14T22:13:20.123000000+00:00",
        "2023-11-14 23:13:20.123 +01:00",
        datetime.fromtimestamp(AT).isoformat(),  # of the machine's zone
    ],
)
def test_a_time_is_understood_in_every_usual_form(value: Any) -> None:
    assert moment(value, "created_at") == pytest.approx(AT, abs=0.001)


def test_a_date_without_a_time_is_the_beginning_of_that_day_here() -> None:
    here = datetime(2024, 1, 31).astimezone().timestamp()
    assert moment("2024-01-31", "x") == moment("20240131", "x") == here
    assert moment(0, "x") == 0.0
    assert datetime.fromtimestamp(LATEST, UTC).year == 2100


@pytest.mark.parametrize(
    "value",
    [
        True, math.nan, math.inf, -math.inf, "nan", "inf", "1e999", "Infinity", -1, LATEST, 5e9, 1e300, 10**400, "9" * 30,
        "0001-01-01", "9999-12-31", "2200-01-01T00:00:00Z", "yesterday", "0x10", "١٢", [], {}, b"2024-01-01", "2" * 10_000,
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_is_refused_with_its_name(value: Any) -> None:
    with pytest.raises(UserError, match="created_at") as caught:
        record(created_at=value)
    assert caught.value.code == "bad_time"
    assert len(caught.value.message) < 300


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    "fields",
    [
        {"content": None}, {"content": 5}, {"content": " \n"}, {"content": "é" * MAX_CONTENT}, {"content": "a\0b"},
        {"tags": {"a": 1}}, {"tags": [["a"]]}, {"tags": ["x" * 1000]}, {"tags": [str(n) for n in range(1000)]},
        {"tags": [math.inf]}, {"tags": "x," * 100_000}, {"tags": ["a\0"]}, {"tags": 5},
        {"memory_type": 5}, {"memory_type": "x" * 1000}, {"memory_type": ["a"]},
        {"metadata": []}, {"metadata": "text"}, {"metadata": {"a": math.nan}}, {"metadata": {"a": [{"b": math.inf}]}},
        {"metadata": json.loads('{"a": 1e999}')}, {"metadata": {"a": 10**400}}, {"metadata": nested(MAX_DEPTH + 1)},
        {"metadata": {"a": "x" * 1_000_000}}, {"metadata": {"a": b"bytes"}}, {"metadata": {"a\0": 1}},
        {"metadata": nested(900)},
        {"repository": ["a"]}, {"id": {"a": 1}}, {"superseded_by": 1.5}, {"superseded_by": True},
        {"refers_to": "a.py"}, {"refers_to": [{"symbol": "x"}]}, {"refers_to": [1]},
        {"versions": {}}, {"versions": ["a"]}, {"versions": [{"content": ""}]},
        {"versions": [{"content": "x", "at": math.nan}]}, {"versions": [{"content": "x", "metadata": {"a": math.inf}}]},
    ],
)  # fmt: skip
def test_what_cannot_be_stored_is_refused_with_a_reason(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        record(**fields)
    assert caught.value.message
    assert len(caught.value.message) < 300


def test_halves_of_characters_are_mended_everywhere() -> None:
    made = record(content="cut \ud83d", tags=["\ud83d"], memory_type="\ud83d", metadata={"\ud83d": ["\udcff"]})
    texts = [made.content, *made.tags, made.memory_type, json.dumps(made.metadata, ensure_ascii=False)]
    assert "".join(texts).encode().count("\ufffd".encode()) == 5


def test_tags_come_as_a_list_a_text_or_json() -> None:
    for value in (["a", " b ", "", None, "a"], "a, b,,", '["a", "b"]', '"a, b"', ("a", "b")):
        assert record(tags=value).tags == ("a", "b")
    assert record(tags=[1, "[x"]).tags == ("1", "[x")


def test_changes_pass_the_same_door_and_only_what_is_given_is_changed() -> None:
    assert checked_changes({"tags": "a, b", "content": None}, True) == ({"tags": ["a", "b"]}, {})
    for changes in ({"metadata": {"a": math.inf}}, {"content": ""}, {"tags": 5}, {"memory_type": 5}):
        with pytest.raises(UserError):
            checked_changes(changes, True)


def test_secrets_are_replaced_in_the_record_and_in_its_versions() -> None:
    secret = "token ghp_" + "a" * 36
    made = record(content=secret, versions=[{"content": secret}])
    assert made.redacted == 2
    assert "ghp_" not in made.content + made.versions[0]["content"]
    assert checked({"content": secret}, False).content == secret
