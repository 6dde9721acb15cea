import pytest

from recollect.search.filters import glob_pattern
from recollect.search.query import parse
from recollect.search.rank import PathMatch, beginnings, path_parts, penalty


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("tests/test_app.py", "tests"),
        ("src/app.spec.ts", "tests"),
        ("src/main/UserTest.java", "tests"),
        ("examples/hello.py", "examples"),
        ("vendor/lib/x.go", "vendored"),
        ("pkg/_compat/x.py", "compat"),
        ("pkg/__init__.py", "package"),
    ],
)
def test_less_wanted_files_are_known_by_their_path(path: str, kind: str) -> None:
    assert kind in penalty(path, parse("the thing"))


def test_no_penalty_for_what_was_asked_for() -> None:
    assert penalty("tests/test_app.py", parse("tests of the app")) == {}
    assert penalty("src/contest.py", parse("the thing")) == {}


def test_a_path_that_is_the_question_matches_best() -> None:
    match = PathMatch(("session", "cookie"))
    assert match("a/session_cookie.py") > match("a/session.py") > match("session/other.py") > match("a/b.py") == 0


@pytest.mark.parametrize(
    ("question", "path"),
    [
        ("trait implementations", "src/impls.rs"),  # a plural of what begins the word
        ("server-sent events", "http/sse.py"),
        ("how cross origin resource sharing is set up", "web/cors.go"),
    ],
)
def test_a_path_matches_what_it_is_short_for(question: str, path: str) -> None:
    match = PathMatch(parse(question).words)
    assert match(path) > 0.3
    assert match.beginnings & beginnings(path_parts(path)[0])
    assert not PathMatch(("something", "else", "entirely"))(path)


@pytest.mark.parametrize(
    ("glob", "matching", "others"),
    [
        ("*.py", ["a.py", "a/b/c.py"], ["a.pyc", "py"]),
        ("src/**/*.ts", ["src/a.ts", "src/x/y/a.ts"], ["a.ts", "lib/src/a.ts"]),
        ("docs/", ["docs/a.md", "docs/x/b.md"], ["a/docs.md"]),
        ("src/{a,b}.c", ["src/a.c", "src/b.c"], ["src/c.c"]),
        ("file[0-9].txt", ["file1.txt", "x/file2.txt"], ["filex.txt"]),
        ("a?c", ["abc"], ["a/c", "abbc"]),
    ],
)
def test_globs_match_as_in_gitignore(glob: str, matching: list[str], others: list[str]) -> None:
    pattern = glob_pattern(glob)
    assert all(pattern.match(path) for path in matching)
    assert not any(pattern.match(path) for path in others)


def test_a_broken_glob_matches_itself() -> None:
    assert glob_pattern("a[b").match("a[b") or glob_pattern("a[b").match("x/a[b")
