"""Questions that ask for more than any answer needs are refused, or cut to what is possible."""

from __future__ import annotations

import pytest

from recollect.errors import UserError
from recollect.search.filters import glob_pattern
from recollect.workspace import arguments


@pytest.mark.parametrize("globs", [["*"] * 100_000, ["x" * 10_001], ["*/" * 40] * 200])
def test_more_globs_than_anybody_needs_are_refused(globs: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        arguments.filters(None, globs, "code", "hybrid")
    assert caught.value.code == "out_of_range"


def test_a_query_beyond_the_longest_is_refused() -> None:
    assert arguments.question("x" * arguments.LONGEST_QUERY)
    with pytest.raises(UserError):
        arguments.question("x" * (arguments.LONGEST_QUERY + 1))


@pytest.mark.parametrize("most", [10**9, 2**70])
def test_absurd_sizes_are_cut_to_what_is_possible(most: int) -> None:
    shape = arguments.shape(most, most, most, chunks=False, explain=False)
    assert (shape.limit, shape.snippet_lines) == (200, 400)


@pytest.mark.parametrize("glob", ["**/a" * 30 + "/z", "*a" * 60 + "z", "**/*" * 40 + "z", "{a,*a}" * 30 + "z"])
def test_a_glob_costs_no_more_than_the_path_is_long(glob: str) -> None:
    pattern = glob_pattern(glob)
    assert pattern.match("a/" * 100 + "a" * 200) is None


def test_several_globs_match_what_any_of_them_does() -> None:
    pattern = glob_pattern("src/**/*.py", "*.md")
    assert [path for path in ("src/a/b.py", "x/y.md", "a.py", "src/a.pyc") if pattern.match(path)] == [
        "src/a/b.py",
        "x/y.md",
    ]


def test_lists_and_revisions_without_end_are_refused() -> None:
    with pytest.raises(UserError):
        arguments.names_of(["name"] * 100_000, "focus")
    with pytest.raises(UserError):
        arguments.revision("x" * 1_000_000)
    assert arguments.revision("HEAD~2") == "HEAD~2"


def test_half_a_character_in_a_name_is_replaced() -> None:
    assert arguments.names_of(["a\udcff", "\ud800"], "focus") == ["a?", "?"]


@pytest.mark.parametrize(
    ("asked", "name"),
    [("C++", "cpp"), ("js", "javascript"), ("golang", "go"), ("C#", "csharp"), ("NodeJS", "javascript"), ("py", "python"),
     (".kt", "kotlin"), ("*.hpp", "cpp"), ("TypeScriptReact", "tsx"), ("shell", "bash"), ("objective-c", "objectivec"),
     ("yml", "yaml"), (" Python3 ", "python")],
)  # fmt: skip
def test_a_language_goes_by_many_names(asked: str, name: str) -> None:
    assert name in arguments.filters(asked, None, "all", "hybrid").languages


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("pyhton", "python"),
        ("jvascript", "javascript"),
        ("typscript", "typescript"),
        ("Kotlni", "kotlin"),
        ("rsut", "rust"),
    ],
)
def test_a_misspelt_language_is_answered_with_the_one_that_is_meant(asked: str, meant: str) -> None:
    with pytest.raises(UserError) as caught:
        arguments.filters(asked, None, "code", "hybrid")
    assert caught.value.hint.startswith(f"Did you mean {meant}")


def test_a_misspelt_content_or_mode_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(UserError) as caught:
        arguments.filters(None, None, "doc", "hybrid")
    assert caught.value.hint == "Did you mean docs? content is one of: code, docs, config, all."
    with pytest.raises(UserError) as caught:
        arguments.filters(None, None, "code", "regexp")
    assert caught.value.hint.startswith("Did you mean regex?")
    assert arguments.filters(None, None, " Docs", "REGEX").content == "docs"


def test_a_kind_of_symbols_goes_by_other_words_too() -> None:
    assert [arguments.kind(word) for word in ("def", " Func", "cls", "Trait", "", None)] == [
        "function",
        "function",
        "class",
        "trait",
        None,
        None,
    ]
