from recollect.search.query import parse


def test_a_bare_name_is_a_symbol() -> None:
    assert parse("SessionStore").symbol == "SessionStore"
    assert parse("  `sign_cookie()` ").symbol == "sign_cookie"


def test_a_qualified_name_is_its_last_part_with_what_stands_before() -> None:
    query = parse("std::vec::Vec")
    assert (query.symbol, query.qualified) == ("Vec", "std.vec.Vec")


def test_words_that_say_little_are_asked_for_where_there_are_no_others() -> None:
    assert parse("From").terms == ("from",)
    assert parse("what is it for").terms == ("what", "is", "it", "for")
    assert parse("what is a cart for").terms == ("cart",)


def test_words_are_no_symbol_but_names_among_them_are_noticed() -> None:
    query = parse("where does SessionStore call sign_cookie")
    assert query.symbol is None
    assert query.names == ("SessionStore", "sign_cookie")
    assert "where" not in query.terms


def test_a_call_in_quotes_names_what_is_called() -> None:
    assert parse("the hosts of `build()` and `Url.parse()`").names == ("parse", "build")


def test_capitalised_words_may_name_types() -> None:
    assert parse("how Key is used by the Parser of JSON").types == ("Key", "Parser")
    assert parse("Rack::Request in Session.swift").types == ()  # names and paths
    assert parse("How The Cart Is Priced").types == ()  # a title
    assert parse("Parser").types == ()  # a symbol


def test_phrases_and_paths_are_noticed() -> None:
    query = parse('error "no such table" in src/db/models.py')
    assert query.phrases == ("no such table",)
    assert query.paths == ("src/db/models.py",)


def test_asking_for_tests_lifts_their_penalty() -> None:
    assert parse("unit tests of the cart").asked_for == {"tests"}
    assert parse("the cart").asked_for == frozenset()


def test_anything_parses() -> None:
    for odd in ("", "   ", "((((", "\x00", "🙂", "a" * 1_000_000, '"', "``", "::", "->"):
        parse(odd)
