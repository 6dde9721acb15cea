"""What clients send as arguments is read as it was meant, whatever form it has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from recollect.errors import UserError
from recollect.server import schema, tools
from recollect.server.arguments import understand
from recollect.server.tooling import Tool

EVERY_TOOL = tools.listed(["code", "repositories", "auto_sync", "memory", "compat"])
SAMPLES: dict[str, Any] = {
    "string": "x",
    "integer": 60,
    "number": 60.5,
    "boolean": True,
    "array": ["a"],
    "object": {"a": "b"},
}


def required(tool: Tool) -> dict[str, Any]:
    published = schema.input_schema(tool.parameters)
    return {name: SAMPLES[published["properties"][name]["type"]] for name in published.get("required", ())}


def optional(tool: Tool) -> dict[str, str]:
    """Names of the optional parameters, with the first type of each."""
    properties = schema.input_schema(tool.parameters)["properties"]
    return {name: part["type"][0] for name, part in properties.items() if isinstance(part["type"], list)}


@pytest.mark.parametrize("tool", EVERY_TOOL, ids=lambda tool: tool.name)
@pytest.mark.parametrize("nothing", [None, "", "  "], ids=repr)
def test_null_and_blank_text_mean_not_given(tool: Tool, nothing: str | None) -> None:
    given = {**required(tool), **dict.fromkeys(optional(tool), nothing)}
    assert understand(tool.parameters, given) == understand(tool.parameters, required(tool))


@pytest.mark.parametrize("tool", EVERY_TOOL, ids=lambda tool: tool.name)
def test_text_and_json_text_mean_what_they_say(tool: Tool) -> None:
    for name, kind in optional(tool).items():
        if kind != "string":
            plain = understand(tool.parameters, {**required(tool), name: SAMPLES[kind]})
            for written in (json.dumps(SAMPLES[kind]), str(SAMPLES[kind])):
                assert understand(tool.parameters, {**required(tool), name: written}) == plain, name


@pytest.mark.parametrize(
    ("given", "limit"), [("5", 5), (" 5 ", 5), (5.0, 5), ("5.0", 5), ([5], 5), (None, 10), ("", 10)]
)
def test_a_number_may_be_written_in_any_way(given: Any, limit: int) -> None:
    assert understand(schema.SearchCode, {"query": "x", "limit": given}).parameters.limit == limit


@pytest.mark.parametrize(
    ("given", "meant"),
    [("true", True), ("False", False), ("1", True), (0, False), (1.0, True), ("yes", True), (None, False)],
)
def test_a_boolean_may_be_written_in_any_way(given: Any, meant: bool) -> None:
    assert understand(schema.FindSymbol, {"name": "x", "references": given}).parameters.references is meant


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ('["*.py"]', ["*.py"]),
        ("['*.py', '*.js']", ["*.py", "*.js"]),
        ("*.py, *.js", ["*.py", "*.js"]),
        ("src/*.{js,ts}", "src/*.{js,ts}"),
        ("[a-z]*.py", "[a-z]*.py"),
        ("[0]", "[0]"),
        (["*.py", None, ""], ["*.py"]),
        ("*.py", "*.py"),
    ],
)
def test_a_list_may_be_written_in_any_way(given: Any, meant: Any) -> None:
    assert understand(schema.SearchCode, {"query": "x", "path_glob": given}).parameters.path_glob == meant


@pytest.mark.parametrize("word", ["null", "None", "undefined", '"null"', [None], "[null]", [""], '[""]', ",", [[]]])
def test_a_word_or_a_list_that_names_nothing_is_not_given(word: Any) -> None:
    given = {"query": "x", "limit": word, "path_glob": word, "repository": word, "content": word, "max_tokens": word}
    emptied = [name for name in given if word in (",", [[]]) and name != "path_glob"]
    given = {name: value for name, value in given.items() if name not in emptied} | {"query": "x"}
    assert understand(schema.SearchCode, given).parameters == understand(schema.SearchCode, {"query": "x"}).parameters


@pytest.mark.parametrize("nothing", ["null", "none", [None], [""], '[""]', "[null]", ",", " , "])
def test_what_names_no_tag_erases_none(nothing: Any) -> None:
    assert understand(schema.UpdateMemory, {"id": "a", "tags": nothing}).parameters.tags is None


def test_a_word_is_no_missing_filter_where_something_is_deleted() -> None:
    understood = understand(schema.DeleteMemory, {"tags": "null", "before": "none"}, reads=False, deletes=True)
    assert (understood.parameters.tags, understood.parameters.before) == ("null", "none")


def test_a_question_may_be_one_of_the_words_for_nothing() -> None:
    assert understand(schema.ListRepositories, {"query": "null"}).parameters.query == "null"
    assert understand(schema.FindSymbol, {"name": "None"}).parameters.name == "None"
    assert understand(schema.UpdateMemory, {"id": "a", "content": "none"}).parameters.content == "none"


@pytest.mark.parametrize("given", ['"shop"', ["shop"], '["shop"]', "['shop']", [["shop"]], ['["shop"]']])
def test_one_text_may_come_in_quotes_or_in_a_list(given: Any) -> None:
    assert understand(schema.OneRepository, {"repository": given}).parameters.repository == "shop"
    assert understand(schema.StoreMemory, {"content": "x", "tags": given}).parameters.tags in ("shop", ["shop"])
    assert understand(schema.SearchCode, {"query": "x", "repository": given}).parameters.repository in (
        "shop",
        ["shop"],
    )


@pytest.mark.parametrize("given", ['"7"', "[7]", '["7"]', ["7"]])
def test_one_number_may_come_in_quotes_or_in_a_list(given: Any) -> None:
    assert understand(schema.SearchCode, {"query": "x", "limit": given}).parameters.limit == 7


def test_a_list_of_numbers_as_text_is_a_list_except_for_globs() -> None:
    assert understand(schema.StoreMemory, {"content": "x", "tags": "[2024, 7]"}).parameters.tags == ["2024", "7"]
    assert understand(schema.StoreMemory, {"content": "x", "tags": '[2024, "a"]'}).parameters.tags == ["2024", "a"]


@pytest.mark.parametrize("broken", ['["*.py"', '["*.py", "*.js"', "['*.py', '*.js'"])
def test_a_broken_list_is_refused_rather_than_taken_for_a_name(broken: str) -> None:
    with pytest.raises(UserError, match="path_glob must be text or a list of texts"):
        understand(schema.SearchCode, {"query": "x", "path_glob": broken})


def test_an_object_may_be_json_text() -> None:
    stored = understand(schema.StoreMemory, {"content": "x", "metadata": '{"ticket": 7}', "files": "a.py", "tags": 3})
    assert stored.parameters.metadata == {"ticket": 7}
    assert (stored.parameters.files, stored.parameters.tags) == (["a.py"], ["3"])


def test_numbers_are_taken_for_text_where_text_is_meant() -> None:
    assert understand(schema.SearchCode, {"query": 404}).parameters.query == "404"


def test_a_text_with_brackets_stays_a_question() -> None:
    for query in ('["a"]', '"exact phrase"', "{}", "true"):
        assert understand(schema.SearchCode, {"query": query}).parameters.query == query


def test_values_are_understood_in_any_case() -> None:
    assert understand(schema.SearchCode, {"query": "x", "content": " Docs"}).parameters.content == "docs"


def test_names_are_understood_in_other_styles() -> None:
    understood = understand(schema.SearchCode, {"query": "x", "maxTokens": 100, "path-glob": "a", "top_k": 3})
    assert understood.notes == ()
    assert (understood.parameters.max_tokens, understood.parameters.path_glob, understood.parameters.limit) == (
        100,
        "a",
        3,
    )


def test_an_unknown_argument_is_ignored_and_named() -> None:
    understood = understand(schema.SearchCode, {"query": "x", "colour": "red", "limitt": 3})
    assert understood.notes == (
        "there is no argument 'colour': it was ignored",
        "there is no argument 'limitt' (did you mean limit?): it was ignored",
    )


def test_a_parameter_that_is_given_twice_counts_by_its_own_name() -> None:
    understood = understand(schema.SearchCode, {"repo": "b", "repository": "a", "query": "x"})
    assert understood.parameters.repository == "a"
    assert understood.notes == ("'repo' was ignored: repository is given too",)


def test_tools_that_delete_refuse_what_they_do_not_know() -> None:
    with pytest.raises(UserError, match=r"no argument 'tagz' \(did you mean tags\?\); nothing was deleted"):
        understand(schema.DeleteMemory, {"tagz": "x", "before": "2024-01-01"}, deletes=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "query is required"),
        ({"query": None}, "query is required"),
        ({"query": "x", "limit": "ten"}, "limit must be a whole number, not 'ten'"),
        ({"query": "x", "limit": True}, "limit must be a whole number, not True"),
        ({"query": "x", "limit": "9" * 5000}, "limit must be a whole number, not '999"),
        ({"query": "x", "limit": "1e999"}, "limit must be a whole number, not '1e999'"),
        ({"query": {}}, "query must be text, not {}"),
        ({"query": "x", "path_glob": {"a": 1}}, "path_glob must be text or a list of texts"),
        ({"query": "x", "mode": "regexp"}, "mode must be one of hybrid, regex, not 'regexp'. Did you mean regex?"),
    ],
)
def test_what_cannot_be_understood_is_named_with_what_would_be(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        understand(schema.SearchCode, arguments)
    assert caught.value.message.startswith(sentence)
    assert len(caught.value.message) < 300


def test_blank_tags_do_not_erase_the_tags_of_a_memory_and_an_empty_list_does() -> None:
    assert understand(schema.UpdateMemory, {"id": "a", "tags": ""}).parameters.tags is None
    assert understand(schema.UpdateMemory, {"id": "a", "tags": []}).parameters.tags == []


@pytest.mark.parametrize(
    ("given", "taken", "note"),
    [
        (0, 1, "limit was taken as 1, the least"),
        (-5, 1, "limit was taken as 1, the least"),
        ("500", 100, "limit was taken as 100, the most"),
    ],
)
def test_a_number_out_of_range_is_taken_as_the_nearest_one(given: Any, taken: int, note: str) -> None:
    understood = understand(schema.SearchCode, {"query": "x", "limit": given})
    assert (understood.parameters.limit, understood.notes) == (taken, (note,))


def test_a_required_argument_that_is_misspelt_is_named_beside_the_one_that_is_missing() -> None:
    with pytest.raises(UserError, match="query is required") as caught:
        understand(schema.SearchCode, {"querry": "cookie"})
    assert "did you mean query?" in caught.value.hint
