import pytest
from hypothesis import given
from hypothesis import strategies as st

from recollect import text


def test_identifiers_are_split_at_case_underscores_and_digits() -> None:
    assert text.split_identifier("parseHTTPHeader_v2") == ("parse", "http", "header", "v", "2")
    assert text.split_identifier("__init__") == ("init",)
    assert text.split_identifier("x" * 300) == ()


def test_long_numbers_are_no_words() -> None:
    assert text.split_identifier("sha256_sum12") == ("sha", "sum", "12")


def test_whole_identifiers_are_terms_too() -> None:
    assert text.terms("getUserName get") == {"get": 2, "user": 1, "name": 1, "getusername": 1}


def test_other_alphabets_are_words() -> None:
    assert "größe" in text.terms("def größe(): pass")


def test_halves_of_characters_are_replaced_wherever_they_are() -> None:
    given = {"a\ud83d": ["\udc80", 1, None, {"b": ("ü😀", "\ud83dx")}]}
    assert text.mended(given) == {"a\ufffd": ["\ufffd", 1, None, {"b": ["ü😀", "\ufffdx"]}]}


@given(st.lists(st.text(alphabet="aBcDeF01_$é日x", min_size=1, max_size=12), max_size=30))
def test_splitting_many_at_once_gives_the_same(names: list[str]) -> None:
    unique = list(dict.fromkeys(name for name in names if "\n" not in name))
    found = {name: (parts, whole) for name, parts, whole in text.split_all(unique)}
    expected = {
        name: (text.split_identifier(name), text.whole_term(name, text.split_identifier(name))) for name in unique
    }
    assert found == expected


def test_a_path_gives_words_of_its_stem_and_its_last_three_folders() -> None:
    stem, folders = text.path_words("one/two/three/fourFive/http_server.py")
    assert stem == ("http", "server")
    assert folders == ("two", "three", "four", "five")


def test_a_name_is_spelled_in_other_ways() -> None:
    assert text.spellings("getUserV2") == ("getuserv2", "get_user_v2")
    assert text.spellings("get_user") == ("get_user", "getuser")
    assert text.spellings("HTTPServer") == ("httpserver", "http_server")
    assert text.spellings("cart") == ("cart",)
    assert text.spellings("__init__") == ("__init__", "init")
    assert text.spellings("_") == ("_",)


def test_an_answer_is_json_whatever_numbers_it_holds() -> None:
    import json

    assert json.loads(text.to_json({"a": [1.5, float("inf")], "b": float("nan")})) == {"a": [1.5, None], "b": None}


@pytest.mark.parametrize(
    ("word", "candidates", "meant"),
    [
        ("querry", ["query", "limit", "repository"], ["query"]),
        ("repositry", ["query", "limit", "repository"], ["repository"]),
        ("searchcode", ["find_symbol", "search_code"], ["search_code"]),
        ("SignCookie", ["sign_cookie", "cookie"], ["sign_cookie"]),
        ("zzz", ["query", "limit"], []),
        ("", ["query"], []),
        ("query", [], []),
    ],
)
def test_the_nearest_words_are_those_that_were_meant(word: str, candidates: list[str], meant: list[str]) -> None:
    assert text.nearest(word, candidates) == meant


def test_the_nearest_of_very_many_and_very_long_words_are_found_within_a_bound() -> None:
    assert len(text.nearest("name", (f"name{n}" for n in range(10_000_000)))) == 3
    assert text.nearest("x" * 10_000_000, ["x" * 10_000_000]) == ["x" * 10_000_000]
