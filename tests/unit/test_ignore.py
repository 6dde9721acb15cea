"""A pattern of an ignore file costs itself at most, and is named where it is not heeded."""

from __future__ import annotations

from recollect.sync.ignore import Patterns


def test_patterns_too_many_to_be_compiled_as_one_are_all_heeded() -> None:
    long = ["a" * 200 + str(number) + "*/**/*b" * 20 for number in range(300)]
    patterns = Patterns([*long, *["*a" * 400] * 50, *[f"file{number}*.x" for number in range(2_000)], "*.log"])
    assert patterns.problems == []
    assert [patterns.verdict(path) for path in ("x.log", "file77.x", "a.py")] == [True, True, None]


def test_the_last_pattern_that_speaks_of_a_path_decides_wherever_it_was_compiled() -> None:
    names = [f"name{number}" for number in range(1_200)]
    patterns = Patterns(["keep.txt", *names, "!keep.txt", *names, "name3", "!name5"])
    assert [patterns.verdict(path) for path in ("keep.txt", "name3", "name5")] == [False, True, False]


def test_what_is_not_heeded_is_named_by_its_line_and_costs_nothing_else() -> None:
    patterns = Patterns(["*.log", "# note", "", "a\\", "x" * 1_001, "*.tmp"])
    assert sorted(number for number, _ in patterns.problems) == [4, 5]
    assert [patterns.verdict(path) for path in ("a.log", "a.tmp", "a.py")] == [True, True, None]
    many = Patterns([f"name{number}" for number in range(5_003)])
    assert [number for number, _ in many.problems] == [5_001]
