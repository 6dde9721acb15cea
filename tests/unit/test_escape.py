"""Text that others wrote, shown so that it changes nothing around it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recollect import escape
from recollect.model import FileError

_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_ANY = st.text(
    st.one_of(
        st.characters(), st.sampled_from("\n\r\t\x1b\x85\u2028\u202e\u2066\u200b\u200d\ufe0f\udc80\ud800\U000e0041")
    )
)


def test_no_character_by_itself_breaks_a_line_or_goes_unseen() -> None:
    shown = escape.line("a".join(map(chr, (*range(0x20000), *range(0xE0000, 0xE2000)))))
    assert len(shown.splitlines()) == 1
    assert not {unicodedata.category(character) for character in set(shown)} & _UNSAFE


@given(_ANY)
def test_a_line_is_one_line_of_visible_characters(text: str) -> None:
    shown = escape.line(text)
    assert len(shown.splitlines()) <= 1
    assert not {c for c in shown if unicodedata.category(c) in _UNSAFE} - {"\u200c", "\u200d"}
    assert escape.line(shown) == shown
    shown.encode()  # no half of a character is left


@given(_ANY)
def test_a_block_keeps_its_lines_and_no_others(text: str) -> None:
    shown = escape.block(text)
    assert shown.count("\n") == text.count("\n")
    assert (
        shown.splitlines() == [line for line in shown.split("\n") if line or "\n" in shown][: len(shown.splitlines())]
    )
    assert escape.block(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "def total(self): ...",
        "naïve café",
        "日本語のファイル.md",
        "שלום.py",
        "ملف.txt",
        "می‌خواهم",
        "क्‍ष",
        "👨‍👩‍👧 ❤️‍🔥 1️⃣",
        "x\u00a0y\u3000z",
        "\ue0a0 main",
    ],
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert escape.line(text) == text
    assert escape.block(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a␊b"),
        ("\x1b[31mred\x7f", "␛[31mred␡"),
        ("\x9b2J\x85", "\\x9b2J\\x85"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u200bb\u200dc", "a\\u200bb\\u200dc"),
        ("\U000e0041", "\\U000e0041"),
        ("caf\udce9", "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("x\ufe0f\ufe01", "x\\ufe0f\\ufe01"),
    ],
)
def test_what_is_escaped_can_be_read(text: str, shown: str) -> None:
    assert escape.line(text) == shown


def test_a_block_takes_the_ends_of_lines_of_any_system() -> None:
    assert escape.block("a\r\nb\tc\rd\x1b") == "a\nb\tc␍d␛"


def test_a_result_is_escaped_whole() -> None:
    error = FileError("a\nb", "unreadable", "c\x1bd")
    shown = escape.fields({"errors": (error,), "text": "x\ny\r", "na\nme": ["p\nq"], "count": 3, "none": None})
    assert shown["errors"] == (FileError("a␊b", "unreadable", "c␛d"),)
    assert (shown["text"], shown["na␊me"], shown["count"], shown["none"]) == ("x\ny␍", ["p␊q"], 3, None)
