import pytest

from recollect.search.filters import glob_pattern
from recollect.search.query import parse
from recollect.search.rank import PathMatch, beginnings, is_named_for, path_parts, penalty
from recollect.search.score import likelihood, said_alone


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


def test_a_name_that_is_the_question_matches_best() -> None:
    match = PathMatch(("parse", "url"))
    assert match.of_name("Url.parse_url") > match.of_name("Url.parse") > match.of_name("Url.read") == 0
    assert match.of_name("parseURL") == match.of_name("parse_url") == 1
    assert match.of_name("") == 0


@pytest.mark.parametrize(
    ("path", "name", "named"),
    [
        ("web/router.py", "Router", True),
        ("web/routing.py", "Router", True),
        ("http/requests.py", "Request", True),
        ("http/message_pack.rs", "MessagePack", True),
        ("routing/mod.rs", "Router", True),
        ("web/route_table.py", "Router", False),
        ("web/cookies.py", "Router", False),
    ],
)
def test_a_file_is_named_for_what_it_defines_in_whatever_form(path: str, name: str, named: bool) -> None:
    assert is_named_for(path, name) is named


def test_an_index_is_likelier_to_be_asked_about_the_more_of_it_speaks_of_what_is_asked() -> None:
    sizes = [1000, 1000, 100_000]
    often, seldom, large = likelihood({"route": [500, 10, 1000]}, sizes)
    assert often > seldom
    assert often > large  # as many times in all, but a hundredth of it
    rare = likelihood({"route": [50, 100, 1000], "zookeeper": [5, 0, 0]}, sizes)
    assert rare[0] > rare[1]
    small = likelihood({"route": [1, 100]}, [2, 1000])
    assert small[0] - small[1] < 0.5  # half of its two chunks say little
    assert likelihood({"route": [0, 0]}, [10, 20]).tolist() == [0.0, 0.0]
    assert likelihood({}, [10, 20]).tolist() == [0.0, 0.0]


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


def test_what_commits_alone_said_is_counted_by_how_much_is_asked_for_besides() -> None:
    def share(frequencies: dict[str, list[int]], *said: str) -> float:
        return said_alone(frequencies, said, 1000)

    assert share({"wombat": [0, 0]}, "wombat") == 1.0
    assert share({"wombat": [0, 0]}) == 0.0
    assert share({"wombat": [0, 1]}, "wombat") == 0.0
    assert 0.9 < share({"wombat": [0, 0], "return": [600, 300]}, "wombat", "return") < 1.0
    assert share({"wombat": [0, 0], "quokka": [0, 0]}, "wombat") == 0.5
    assert share({}) == 0.0
