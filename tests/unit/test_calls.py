"""The call that goes on, as agents write it and as people type it."""

from __future__ import annotations

import json
import shlex

import pytest

from recollect import escape
from recollect.calls import as_command, as_tool, next_call, told
from recollect.errors import Unavailable, UserError, from_dict
from recollect.model import NextStep


def test_a_call_is_spelled_for_each_surface() -> None:
    call = next_call("search_code", query="session cookie", content="all", repository="shop", language=None)
    assert as_tool(call) == 'search_code(query="session cookie", content="all", repository="shop")'
    assert as_command(call) == "recollect search --content all 'session cookie' shop"


def test_all_repositories_and_lists_have_their_own_spelling_on_the_command_line() -> None:
    assert as_command(next_call("search_code", query="x", repository="*")) == "recollect search --all x"
    call = next_call("search_code", query="x", language=["go", "rust"], repository=["a", "b"])
    assert as_command(call) == "recollect search --language go --language rust x a b"
    assert as_command(next_call("find_symbol", name="x", references=True)) == "recollect symbol --references x"
    assert as_command(next_call("find_symbol", name="x", references=False)) == "recollect symbol x"


def test_what_no_command_does_has_no_spelling() -> None:
    assert as_command(next_call("read_code", path="a.py", start_line=201)) == ""


@pytest.mark.parametrize("word", ["-rf", "$(reboot)", "a'b", 'a"b', "`x`", "a;b", "--all", "ü ö"])
def test_words_of_others_stay_words(word: str) -> None:
    words = shlex.split(as_command(next_call("search_code", query=word)))
    assert words[-1] == word
    assert not word.startswith("-") or words[-2] == "--"
    assert json.loads(as_tool(next_call("search_code", query=word)).partition("=")[2][:-1]) == word


def test_a_long_argument_is_not_repeated() -> None:
    assert as_tool(next_call("search_code", query="x" * 1_000)) == "search_code(query=…)"
    assert as_command(next_call("search_code", query="x" * 1_000)) == "recollect search …"


def test_a_sentence_and_its_call_make_one_line() -> None:
    call = next_call("list_repositories")
    assert told("Other repositories are known", call, as_tool) == "Other repositories are known: list_repositories()"
    assert told("Did you mean shop?", call, as_command) == "Did you mean shop? recollect list"
    assert told("Nothing is there", None, as_tool) == "Nothing is there."
    assert told("", call, as_tool) == "list_repositories()"
    assert told("", None, as_tool) == ""
    assert told("Read on", next_call("read_code", path="a.py"), as_command) == "Read on."


def test_an_error_takes_its_call_across_the_socket() -> None:
    error = UserError("no such thing", hint="Look", call=next_call("list_repositories", query="x"))
    assert from_dict(error.to_dict()).call == {"tool": "list_repositories", "arguments": {"query": "x"}}
    assert "call" not in Unavailable("not now").to_dict()


@pytest.mark.parametrize(
    "word", ["two\nlines", "tab\t", "\x07", "\x85", "\u202eright", "a\u200db", "\udcff.py", "\u2028", "ü ö 漢"]
)
def test_a_call_is_one_visible_line_and_means_the_same_when_it_is_copied(word: str) -> None:
    call = next_call("search_code", query=word)
    spelled = as_tool(escape.fields(NextStep("x", call)).call)
    assert spelled == escape.line(spelled)
    assert json.loads(spelled.partition("=")[2][:-1]) == word
    assert as_command(call) == escape.line(as_command(call))
