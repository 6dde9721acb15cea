"""A place in a file is understood however people and tools write it."""

from __future__ import annotations

import pytest

from recollect.workspace.locations import Location, readings


def meant(text: str, *files: str, repositories: tuple[str, ...] = ("shop",)) -> Location | None:
    """What a text means where there are these files."""
    for location in readings(text):
        if location.path in files and (location.repository is None or location.repository in repositories):
            return location
    return None


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("a.py", None, None),
        ("a.py:12", 12, None),
        ("a.py:12:5", 12, None),
        ("a.py:12-40", 12, 40),
        ("a.py:12–40", 12, 40),
        ("a.py:12..40", 12, 40),
        ("a.py:L12-L40", 12, 40),
        ("a.py:0", None, None),
        ("a.py#L12", 12, None),
        ("a.py#L12-L40", 12, 40),
        ("a.py#L12-40", 12, 40),
        ("a.py#L12C5-L40C2", 12, 40),
        ("a.py(12)", 12, None),
        ("a.py(12,5)", 12, None),
        ("a.py(12,5): error TS2304", 12, None),
        ("a.py, line 12", 12, None),
        ("a.py line 12", 12, None),
        ("a.py:line 12", 12, None),
        ("a.py lines 12-40", 12, 40),
        ("a.py (lines 12-40)", 12, 40),
        ('File "a.py", line 12', 12, None),
        ('  File "a.py", line 12, in total', 12, None),
        ("at total (a.py:12:5)", 12, None),
        ("    at a.py:12:5", 12, None),
        ("--> a.py:12:5", 12, None),
        ("`a.py:12`", 12, None),
        ('"a.py:12"', 12, None),
        ('"a.py":12', 12, None),
        ("(a.py:12)", 12, None),
        ("<a.py:12>", 12, None),
        ("[a.py:12]", 12, None),
        ("a.py:12: error: no such name", 12, None),
        ("shop:a.py:12-40", 12, 40),
        ("3. shop:a.py:12-40 total (function) score 0.5", 12, 40),
        ("`shop:a.py:12`", 12, None),
    ],
)
def test_lines_are_understood_in_every_way_to_write_them(text: str, first: int | None, last: int | None) -> None:
    location = meant(text, "a.py")
    assert location is not None
    assert (location.first_line, location.last_line) == (first, last)


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("src\\my file.py:3", "src/my file.py"),
        ("shop:src\\my file.py:3", "src/my file.py"),
        ("src/my%20file.py:3", "src/my file.py"),
        ("file:///work/src/my%20file.py#L3", "/work/src/my file.py"),
        ("file://localhost/work/a.py:3", "/work/a.py"),
        ("vscode://file/work/a.py:3:1", "/work/a.py"),
        ("at f (file:///work/a.py:3:1)", "/work/a.py"),
        ("caf\u00e9.py:3", "cafe\u0301.py"),
        ("cafe\u0301.py:3", "caf\u00e9.py"),
        ("[slug]/page.tsx:3", "[slug]/page.tsx"),
        ("(group)/page.tsx:3", "(group)/page.tsx"),
        ("C:\\win.py:3", "C:/win.py"),
        ("shop:shop:b.py:3", "shop:b.py"),
        ("1. x.py:3", "1. x.py"),
    ],
)
def test_a_path_is_understood_in_every_spelling(text: str, file: str) -> None:
    location = meant(text, file)
    assert location is not None
    assert location.first_line == 3


@pytest.mark.parametrize(
    "name",
    [
        "a.py:12",
        "file#L3",
        "x(3,4)",
        "a.py, line 3",
        "1. x.py",
        "100%25.py",
        "`a`",
        "[a].py",
        "shop:b.py",
        "a\\b",
        "-->x",
        " a",
    ],
)
def test_a_file_that_is_called_like_a_place_is_meant_itself(name: str) -> None:
    assert meant(name, name, "a.py", "file", "x", "x.py", "b.py", "a/b", "a", "100%.py") == Location(name)


def test_a_long_text_has_few_readings() -> None:
    assert len(list(readings("x" * 5000 + ":12"))) == 1
    assert len(list(readings("a:b:" * 500 + "é%20\\x:12-40, line 3"))) < 120


@pytest.mark.parametrize("part", [" ", ":1", "at (", "(", '"', "line ", "1-", "#L1", ", ", "%20", "a:", "\\"])
def test_a_text_made_to_be_slow_to_read_is_read_in_linear_time(part: str) -> None:
    for text in (part * (4000 // len(part)), "at " + part * (3900 // len(part)), 'File "' + part * 900):
        assert len(list(readings(text))) < 120
