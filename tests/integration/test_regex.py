"""Regular expressions over the index, and code like other code."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from recollect.errors import UserError
from recollect.search import regex
from recollect.search.regex import required_words
from recollect.workspace import Workspace
from tests.conftest import SHOP, MakeRepository, write


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as made:
        yield made


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (r"\bSessionStore\b", (("session", "store"),)),
        (r"def \w+\(self\):", (("self",),)),
        (r"^import os$", (("import",), ("os",))),
        (r"\bsign_cookie\(", (("sign", "cookie"),)),
        (r"\bfoo\b.*\bbar\b", (("foo",), ("bar",))),
        (r"\s+return\s", (("return",),)),
        (r"(\bfoo\b)", (("foo",),)),
        (r"sign_cookie\(", ()),  # may be the end of a longer word
        (r"\bsign_", ()),
        (r"\bfoo\b|\bbar\b", ()),
        (r"(?:\bfoo\b)?x", ()),
        (r"(?i)\bfoo\b", ()),
        (r"\bx\d+\b", ()),
        (r"\b[fg]oo\b", ()),
        (r"[^a]foo\b", ()),
        (r"\bgrüße\b", ()),
        (r"(?P<name>\bfoo\b)(?i:bar)", ()),
        (r"\pL+", ()),
        (r"[[:alpha:]]foo\b", ()),
        (r"[a&&b]\bfoo\b", ()),
        ("(", ()),
    ],
)
def test_which_words_a_match_must_have(expression: str, words: tuple[tuple[str, ...], ...]) -> None:
    assert required_words(expression) == words


def test_lines_are_found_and_shown(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP)
    workspace.sync(root)
    found = workspace.search(r"def \w+_price\(", str(root), mode="regex")
    assert found.hits[0].path == "shop/cart.py"
    assert found.hits[0].start_line == 16
    assert "def total_price(self)" in found.hits[0].snippet
    assert found.hits[0].symbol == "Cart.total_price"
    assert found.freshness.fresh
    both = workspace.search(r"^class ", str(root), mode="regex", path_glob="shop/**")
    assert [hit.path for hit in both.hits] == ["shop/cart.py", "shop/session.py"]
    assert [hit.path for hit in workspace.search("^# Shop$", str(root), mode="regex", content="all").hits] == [
        "README.md"
    ]
    assert workspace.search("^# Shop$", str(root), mode="regex").hits == ()
    (root / "shop" / "new.py").write_text("def brand_new_price(x):\n    return x\n")
    assert any(
        hit.path == "shop/new.py" for hit in workspace.search(r"\bbrand_new_price\(", str(root), mode="regex").hits
    )
    assert len(workspace.search(".", "*", mode="regex", limit=2).hits) == 2


def test_bad_expressions_and_bad_ideas(
    workspace: Workspace, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository({"a.txt": "a" * 50_000 + "!\n", "b.py": "x = 'grüße'\n", "c.py": "y = '\\U0001f600'\n"})
    workspace.sync(root)
    for expression in ("(", "a(?=b)", r"(a)\1", "[z-a]", "a{5000}", "*"):
        with pytest.raises(UserError, match="not a regular expression"):
            workspace.search(expression, str(root), mode="regex")
    with pytest.raises(UserError, match="mode"):
        workspace.search("x", str(root), mode="glob")
    assert workspace.search("(a*)*b", str(root), mode="regex", content="all").hits == ()
    assert [hit.path for hit in workspace.search("gr..e'", str(root), mode="regex").hits] == ["b.py"]
    assert [hit.path for hit in workspace.search("[üö]ße", str(root), mode="regex").hits] == ["b.py"]
    monkeypatch.setattr(regex, "TIME_LIMIT_S", 0.0)
    late = workspace.search("nothing_of_the_kind", str(root), mode="regex")
    assert not late.freshness.fresh
    assert "not everything" in (late.freshness.reason or "")


@pytest.mark.parametrize("seed", range(4))
def test_the_index_leaves_no_match_out(workspace: Workspace, make_repository: MakeRepository, seed: int) -> None:
    choice = random.Random(seed)
    pieces = [
        "foo",
        "bar",
        "foo_bar",
        "fooBar",
        "FOO",
        "$foo",
        "foo$bar",
        "x1",
        "sha256",
        "été",
        "éfoo",
        "_foo",
        "foo_",
        "12",
        "12345",
        "a-foo",
    ]
    joins = [" ", "(", ")", ".", "\n", "$", "=", "-", "'", ", "]

    def text() -> str:
        return "".join(choice.choice(pieces) + choice.choice(joins) for _ in range(40))

    files = {f"f{n}.py": text() for n in range(30)}
    root = make_repository(files)
    workspace.sync(root)
    write(root, {"f1.py": text(), "f31.py": text()})
    texts = {path.name: path.read_text() for path in root.glob("*.py")}
    for word in ("foo", "foo_bar", "fooBar", "FOO", "bar", "x1", "sha256", "12345", "_foo", "foo_"):
        for expression in (
            rf"\b{word}\b",
            rf" {word}\(",
            rf"^{word}\b",
            rf"\b{word}\s+\b",
            rf"\b{word}\b.*\bbar\b",
            rf"{word[:3]}.+{word}",
        ):
            expected = {
                name for name, content in texts.items() if re.search(expression, content, re.MULTILINE | re.ASCII)
            }
            found = workspace.search(expression, str(root), mode="regex", limit=100)
            assert {hit.path for hit in found.hits} == expected, expression


def test_related_code_is_found(workspace: Workspace, make_repository: MakeRepository) -> None:
    one = make_repository(
        {**SHOP, "shop/basket.py": str(SHOP["shop/cart.py"]).replace("Cart", "Basket").replace("cart", "basket")}, "one"
    )
    two = make_repository({"other.py": str(SHOP["shop/cart.py"]).replace("shop.", "store.")}, "two")
    workspace.sync(one)
    workspace.sync(two)
    found = workspace.related("shop/cart.py", 10, repository=str(one))
    assert found.hits[0].path == "shop/basket.py"
    assert "tests/test_cart.py" in [hit.path for hit in found.hits[:3]]
    assert all(hit.path != "shop/cart.py" for hit in found.hits)
    everywhere = workspace.related(str(one / "shop" / "cart.py"), 10, repository="*")
    assert ("two", "other.py") in [(hit.repository, hit.path) for hit in everywhere.hits[:3]]
    with pytest.raises(UserError, match="no code at line"):
        workspace.related("shop/cart.py", 4000, repository=str(one))
    with pytest.raises(UserError):
        workspace.related("shop/none.py", 1, repository=str(one))


@pytest.mark.parametrize(
    "expression",
    [
        r"[ab]*a[ab]{60}[^ab]x",
        r"(?:[ab]{0,40}a){20}[xyz]",
        r"[ab]*a[ab]{900}z",
        r"(?s)([ab]*a.*){20}z",
        r"(a|ab|aba|b|ba){1,300}z",
    ],
)
def test_an_expression_that_is_slow_everywhere_ends_in_time_and_says_so(
    workspace: Workspace, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch, expression: str
) -> None:
    letters = random.Random(1)
    line = "".join(letters.choices("ab", k=150))
    files = {f"{n}.txt": "\n".join(line[n:] + line[:n] for _ in range(3000)) + "\né" * (n % 2) for n in range(8)}
    root = make_repository(files)
    workspace.sync(root)
    monkeypatch.setattr(regex, "TIME_LIMIT_S", 0.3)
    answer = workspace.search(expression, str(root), mode="regex", content="all")
    assert not answer.hits
    assert answer.freshness.reason is None or not answer.freshness.fresh
    monkeypatch.setattr(regex, "TIME_LIMIT_S", 0.0)
    assert not workspace.search(expression, str(root), mode="regex", content="all").freshness.fresh


def test_a_large_file_is_looked_through_in_pieces_and_nothing_is_missed_within_lines(
    workspace: Workspace, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository({"a.txt": "needle 1\n" + "hay stack\n" * 500 + "needle 2\n", "b.txt": "é needle 3\n" * 9})
    workspace.sync(root)
    whole = workspace.search(r"^.*needle \d$", str(root), mode="regex", content="all")
    monkeypatch.setattr(regex, "_STEPS", 1)
    pieces = workspace.search(r"^.*needle \d$", str(root), mode="regex", content="all")
    assert pieces.freshness.fresh
    assert [(hit.path, hit.start_line, hit.more) for hit in pieces.hits] == [
        (hit.path, hit.start_line, hit.more) for hit in whole.hits
    ]
    monkeypatch.setattr(regex, "_STEPS_ACROSS", 1)
    across = workspace.search(r"needle\s+hay", str(root), mode="regex", content="all")
    assert "pieces" in (across.freshness.reason or "")


@pytest.mark.parametrize("expression", [r"(\pL{1,30}){1,33}x", "x" * 10_001, r"(a{1000}){1000}", "(" * 5000])
def test_an_expression_that_is_too_large_is_refused(
    workspace: Workspace, make_repository: MakeRepository, expression: str
) -> None:
    with pytest.raises(UserError):
        workspace.search(expression, str(make_repository(SHOP)), mode="regex")
