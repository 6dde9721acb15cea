import pytest

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


@pytest.mark.parametrize(
    ("said", "path", "line"),
    [
        ("shop/cart.py:12", "shop/cart.py", 12),
        ("shop/cart.py:12:5: error: no such name", "shop/cart.py", 12),
        ('  File "/usr/lib/shop/cart.py", line 12, in total', "usr/lib/shop/cart.py", 12),
        ("at total (./web/cart.ts:12:5)", "web/cart.ts", 12),
        ("at shop.Cart.total(Cart.java:12)", "Cart.java", 12),
        ("src/Cart.cs(12,5): error CS0103", "src/Cart.cs", 12),
        ("see shop/cart.py#L12-L20", "shop/cart.py", 12),
        ("Undefined index in /srv/shop/cart.php on line 12", "srv/shop/cart.php", 12),
        ("what happens in cart.py line 12?", "cart.py", 12),
        ("Cart.svelte:12:5", "Cart.svelte", 12),
        ("at Page (app/(shop)/[id]/page.tsx:12:5)", "app/(shop)/[id]/page.tsx", 12),
    ],
)
def test_lines_are_noticed_as_tools_write_them(said: str, path: str, line: int) -> None:
    query = parse(said)
    assert path in query.paths
    assert query.lines == ((path, line),)


def test_a_number_elsewhere_is_no_line() -> None:
    assert parse("cart.py has 12 lines").lines == ()
    assert parse("a line of 12 in shop/cart.py").lines == ()


def test_asking_for_tests_lifts_their_penalty() -> None:
    assert parse("unit tests of the cart").asked_for == {"tests"}
    assert parse("the cart").asked_for == frozenset()


def test_anything_parses() -> None:
    for odd in ("", "   ", "((((", "\x00", "🙂", "a" * 1_000_000, '"', "``", "::", "->"):
        parse(odd)
