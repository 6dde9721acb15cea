"""Questions to a workspace: what is found, how it is narrowed, and what is refused."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from recollect.errors import RecollectError, Refused, UserError
from recollect.search import rank
from recollect.workspace import Caller, Workspace
from tests.conftest import SHOP, MakeRepository, git, wait_until, write


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as made:
        yield made


@pytest.fixture
def shop(workspace: Workspace, make_repository: MakeRepository) -> Path:
    root = make_repository(SHOP, "shop")
    workspace.sync(root)
    return root


@pytest.mark.parametrize(
    ("question", "path"),
    [
        ("how is the total price of the cart computed", "shop/cart.py"),
        ("sign cookies of sessions", "shop/session.py"),
        ("price_of", "shop/prices.py"),
        ("Router.register", "web/router.ts"),
        ("SessionStore", "shop/session.py"),
        ('"nobody can forge it"', "shop/session.py"),
        ("tests of the cart", "tests/test_cart.py"),
        ("shop/prices.py", "shop/prices.py"),
    ],
)
def test_the_right_file_comes_first(workspace: Workspace, shop: Path, question: str, path: str) -> None:
    assert workspace.search(question, "shop").hits[0].path == path


def test_a_module_that_many_files_open_is_no_definition_of_its_own(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    opened = {
        f"lib/{name}.rb": f"module Shop\n  module Command\n    class {name.title()}\n      def run = true\n    end\n  end\nend\n"
        for name in ("build", "check", "serve")
    }
    core = "class Command:\n    def __init__(self, name):\n        self.name = name\n"
    root = make_repository({**opened, "core.py": core}, "commands")
    workspace.sync(root)
    assert workspace.search("Command", "commands").hits[0].path == "core.py"
    found = {hit.path: hit.explain or {} for hit in workspace.search("run a Command", "commands", explain=True).hits}
    assert "definition" in found.pop("core.py")
    assert not any("definition" in addends for addends in found.values())


def test_among_several_repositories_a_word_that_one_is_all_about_says_little_of_its_files(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    names = ("add", "drop", "find", "list", "match", "move", "name", "open")
    routes = {f"route_{name}.py": f"def {name}_route(route):\n    return route.{name}\n" for name in names}
    routes["failures.py"] = "def handle(failure):\n    return failure.message\n"
    things = "cart price order user page photo letter garden river stone table window paper music color number".split()
    shop = {f"{thing}.py": f"def total_{thing}({thing}):\n    return sum({thing})\n" for thing in things}
    for name, files in (("routes", routes), ("shop", shop)):
        workspace.sync(make_repository(files, name))
    assert workspace.search("message of a route that failed", "routes").hits[0].path == "failures.py"
    assert "failures.py" in [hit.path for hit in workspace.search("message of a route that failed", "*").hits[:2]]


def test_several_repositories_are_weighed_by_how_much_they_speak_of_what_is_asked(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    things = "cart price order user page photo letter garden river stone table window paper music color number".split()
    pages = {f"{thing}.py": f"def show_{thing}(request):\n    return render(request, {thing})\n" for thing in things}
    totals = {f"{thing}.py": f"def total_{thing}({thing}):\n    return sum({thing})\n" for thing in things}
    totals["request.py"] = "def send(request):\n    return request.url\n"
    for name, files in (("pages", pages), ("totals", totals)):
        workspace.sync(make_repository(files, name))
    hits = workspace.search("how a request is rendered", "*", explain=True).hits
    speaks = {hit.repository: (hit.explain or {}).get("repository", 0.0) for hit in hits}
    assert speaks["pages"] == pytest.approx(rank.WEIGHTS.repository)
    assert 0 < speaks["totals"] < speaks["pages"]


def test_the_best_of_several_repositories_has_its_files_in_the_order_that_it_has_alone(
    workspace: Workspace, shop: Path, make_repository: MakeRepository
) -> None:
    workspace.sync(make_repository({"stall.py": "def price_of_a_stall(cart):\n    return cart.price\n"}, "market"))
    for question in ("total price of the cart", "price of a cart in a session", "routes of the web", "cookies"):
        together = workspace.search(question, "*", limit=20, explain=True).hits
        best = together[0].repository
        alone = [hit.path for hit in workspace.search(question, best, limit=20).hits]
        assert [hit.path for hit in together if hit.repository == best] == alone
        assert [hit.score for hit in together] == sorted((hit.score for hit in together), reverse=True)
        for hit in together:
            assert sum((hit.explain or {}).values()) == pytest.approx(hit.score, abs=2e-3)
        few = workspace.search(question, "*", limit=2).hits
        assert [(hit.repository, hit.path) for hit in few] == [(hit.repository, hit.path) for hit in together[:2]]


def test_a_name_that_is_a_small_word_is_found(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository(
        {"convert.py": "class From:\n    value = 1\n", "other.py": "from convert import value\n"}, "small"
    )
    workspace.sync(root)
    assert workspace.search("From", "small").hits[0].path == "convert.py"


def test_a_file_is_credited_with_the_words_that_it_holds_in_any_form(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    files = {
        "web/table.py": "def registered(route):\n    return parse(route)\n",
        "other.py": "def nothing():\n    pass\n",
    }
    root = make_repository(files, "forms")
    workspace.sync(root)

    def credit(question: str) -> float:
        hits = workspace.search(question, "forms", explain=True).hits
        return next((hit.explain or {}).get("coverage", 0.0) for hit in hits if hit.path == "web/table.py")

    full = rank.WEIGHTS.coverage
    assert credit("routing tables of parsers register") == pytest.approx(full)  # one by its path
    assert credit("routing of giraffes") == pytest.approx(full / 2)
    write(root, {"web/table.py": "def registered(entry):\n    return parse(entry)\n"})
    workspace.sync(root)
    assert credit("routing tables of parsers register") == pytest.approx(full * 3 / 4)  # what was there does not count


def test_filters_work_inside_the_question(workspace: Workspace, shop: Path) -> None:
    def paths(**how: object) -> set[str]:
        return {hit.path for hit in workspace.search("cart route session", "shop", **how).hits}  # type: ignore[arg-type]

    assert paths(language="ts") == {"web/router.ts"}
    assert paths(path_glob="shop/**") <= {"shop/cart.py", "shop/prices.py", "shop/session.py"}
    assert paths(content="docs") == {"README.md"}
    assert "README.md" in paths(content="all")
    assert paths(path_glob="nothing/*") == set()


def test_only_what_changed_since_a_revision(workspace: Workspace, shop: Path) -> None:
    write(
        shop, {"shop/prices.py": "def price_of(item):\n    return item.price\n", "new.py": "def cart_of(user): pass\n"}
    )
    workspace.sync(shop)
    found = {hit.path for hit in workspace.search("cart price", "shop", changed_since="HEAD").hits}
    assert found == {"shop/prices.py", "new.py"}
    with pytest.raises(UserError, match="not a revision"):
        workspace.search("cart", "shop", changed_since="--output=/tmp/x")


def test_addends_of_a_score_add_up(workspace: Workspace, shop: Path) -> None:
    for question in ("total price of the cart", "SessionStore", "tests of the cart"):
        for hit in workspace.search(question, "shop", explain=True).hits:
            assert hit.explain is not None
            assert sum(hit.explain.values()) == pytest.approx(hit.score, abs=2e-3)


def test_an_answer_keeps_within_its_budget(workspace: Workspace, shop: Path) -> None:
    small = workspace.search("cart price session", "shop", max_tokens=100)
    large = workspace.search("cart price session", "shop")
    assert sum(len(hit.snippet) for hit in small.hits) <= 400 < sum(len(hit.snippet) for hit in large.hits)


def test_a_snippet_is_the_lines_it_says(workspace: Workspace, shop: Path) -> None:
    for hit in workspace.search("total price", "shop", snippet_lines=3).hits:
        lines = Path(hit.absolute_path).read_text().split("\n")
        shown = hit.snippet.split("\n")
        assert lines[hit.snippet_line - 1 : hit.snippet_line - 1 + len(shown)] == shown
        assert len(shown) <= 3


def test_chunks_are_hits_of_their_own_when_asked_for(workspace: Workspace, make_repository: MakeRepository) -> None:
    methods = "".join(f"    def cart_method_{i}(self):\n" + "        cart = cart + 1\n" * 40 + "\n" for i in range(6))
    root = make_repository({"big.py": f"class Cart:\n{methods}"}, "big")
    workspace.sync(root)
    hits = workspace.search("cart method", "big", chunks=True).hits
    assert len(hits) > 2
    assert {hit.path for hit in hits} == {"big.py"}


def test_a_phrase_that_very_many_hold_is_found_in_the_same_whatever_came_first(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    files = {f"p{i % 7}/f{i}.py": "# a needle in the hay\n" + f"x{i} = {i}\n" * (i % 40 + 1) for i in range(700)}
    late = {path: body for path, body in files.items() if path < "p4"}
    at_once = make_repository(files, "at_once")
    bit_by_bit = make_repository({path: body for path, body in files.items() if path not in late}, "bit_by_bit")
    for root in (at_once, bit_by_bit):
        workspace.sync(root)
    write(bit_by_bit, late)
    workspace.sync(bit_by_bit)
    asked = [
        workspace.search('where is "needle in the hay"', str(root), limit=200, explain=True).hits
        for root in (at_once, bit_by_bit)
    ]
    found = [[(hit.path, hit.score, hit.explain) for hit in hits] for hits in asked]
    assert found[0] == found[1]
    assert len(asked[0]) == 200
    assert all("phrase" in (hit.explain or {}) for hit in asked[0])


def test_among_chunks_one_that_is_named_for_what_is_asked_comes_first(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    body = "    parts = request.split(separator)\n    header = parts[0]\n    return header\n\n\n" * 12
    names = "split_request header_of first_part parse_header read_request".split()
    text = "".join(f"def {name}(request, separator):\n{body}" for name in names)
    workspace.sync(make_repository({"web.py": text}, "named"))
    hits = workspace.search("parse the header", "named", chunks=True, explain=True).hits
    assert hits[0].symbol == "parse_header"
    given = {hit.symbol: (hit.explain or {}).get("name", 0.0) for hit in hits}
    assert given["parse_header"] > given["header_of"] > given["first_part"] == 0
    for hit in hits:
        assert sum((hit.explain or {}).values()) == pytest.approx(hit.score, abs=2e-3)


def test_chunks_that_are_all_alike_are_found(workspace: Workspace, make_repository: MakeRepository) -> None:
    files = {f"p{i % 40}/same_{i}.py": f"def total(items):\n    return sum(items)  # {i}\n" for i in range(1_200)}
    workspace.sync(make_repository(files, "alike"))
    assert len(workspace.search("total of items", "alike", chunks=True, limit=50).hits) == 50


def test_equal_content_in_several_repositories_is_one_hit(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    for name in ("one", "two"):
        workspace.sync(make_repository(SHOP, name))
    hits = workspace.search("total_price", "*").hits
    assert [hit.path for hit in hits].count("shop/cart.py") == 1
    assert hits[0].also_in == ("two:shop/cart.py",)


def test_several_repositories_are_searched_at_once(workspace: Workspace, make_repository: MakeRepository) -> None:
    for name in ("alpha", "beta", "gamma"):
        workspace.sync(make_repository({f"{name}.py": f"def only_in_{name}(): pass\n"}, name))
    found = {hit.repository for hit in workspace.search("only in", ["alpha", "beta"]).hits}
    assert found == {"alpha", "beta"}
    assert workspace.search("only_in_gamma").hits[0].repository == "gamma"


def test_a_worktree_is_a_repository_of_its_own(workspace: Workspace, shop: Path) -> None:
    git(shop, "worktree", "add", "-q", "../tree", "-b", "other")
    write(shop.parent / "tree", {"only_here.py": "def only_in_the_worktree(): pass\n"})
    found = workspace.search("only_in_the_worktree", str(shop.parent / "tree")).hits
    assert found[0].path == "only_here.py"
    assert found[0].absolute_path == str(shop.parent / "tree" / "only_here.py")


def test_the_first_question_about_a_path_syncs_it(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "fresh")
    result = workspace.search("total_price", str(root))
    assert result.hits[0].path == "shop/cart.py"


def test_a_folder_inside_a_repository_narrows_the_question(workspace: Workspace, shop: Path) -> None:
    assert {hit.path for hit in workspace.search("cart", str(shop / "tests")).hits} == {"tests/test_cart.py"}


def test_the_repository_of_the_working_directory_is_meant(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    one, two = (make_repository({f"{n}.py": f"def shared_name(): return '{n}'\n"}, n) for n in ("one", "two"))
    for root in (one, two):
        workspace.sync(root)
    assert {hit.repository for hit in workspace.search("shared_name", caller=Caller(cwd=str(two))).hits} == {"two"}
    project = Caller(cwd=str(two), project_dir=str(one))
    assert {hit.repository for hit in workspace.search("shared_name", caller=project).hits} == {"one"}
    assert {hit.repository for hit in workspace.search("shared_name", caller=Caller(cwd="/")).hits} == {"one", "two"}


def test_an_edit_is_found_by_the_next_question(workspace: Workspace, shop: Path) -> None:
    write(shop, {"shop/late.py": "def written_later(): pass\n"})
    result = workspace.search("written_later", "shop")
    assert result.hits[0].path == "shop/late.py"
    assert result.freshness.fresh is True


def test_symbols_are_found_exactly_with_their_uses(workspace: Workspace, shop: Path) -> None:
    found = workspace.symbol("Cart.total_price", "shop")
    assert [(hit.path, hit.qualified_name, hit.kind) for hit in found.definitions] == [
        ("shop/cart.py", "Cart.total_price", "method")
    ]
    used = workspace.symbol("price_of", "shop", references=True)
    assert {hit.path for hit in used.references or ()} == {"shop/cart.py"}
    assert [hit.name for hit in workspace.symbol("Sess", "shop").definitions] == ["SessionStore"]
    assert workspace.symbol("cart", "shop", kind="class").definitions[0].name == "Cart"
    assert workspace.symbol("nothing_like_it", "shop").definitions == ()


@pytest.mark.parametrize(
    ("asked", "name"),
    [("totalPrice", "total_price"), ("Cart.totalPrice", "total_price"), ("session_store", "SessionStore")],
)
def test_a_name_is_found_that_is_spelled_as_in_another_language(
    workspace: Workspace, shop: Path, asked: str, name: str
) -> None:
    assert [hit.name for hit in workspace.symbol(asked, "shop").definitions] == [name]
    uses = workspace.symbol(asked, "shop", references=True).references
    assert uses == workspace.symbol(name, "shop", references=True).references
    for question in (asked, f"where is {asked} kept"):
        hit = workspace.search(question, "shop", explain=True).hits[0]
        assert hit.symbol.endswith(name)
        assert hit.explain is not None
        assert "definition" in hit.explain


def test_names_that_begin_so_come_after_those_that_are_spelled_otherwise(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    root = make_repository({"a.py": "def signCookie(): pass\n\n\ndef sign_cookie_twice(): pass\n"})
    names = [hit.name for hit in workspace.symbol("sign_cookie", str(root)).definitions]
    assert names == ["signCookie", "sign_cookie_twice"]


def test_a_type_is_not_taken_for_a_function_that_is_spelled_alike(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    root = make_repository({"a.py": "def sign_cookie(): pass\n"})
    for question, adds in (("signCookie", True), ("SignCookie", False)):
        explain = workspace.search(question, str(root), explain=True).hits[0].explain
        assert explain is not None
        assert ("definition" in explain) is adds


TRACE = """Traceback (most recent call last):
  File "/usr/lib/python3/site-packages/web/serve.py", line 8, in handle
    return total(cart)
ZeroDivisionError: division by zero"""


@pytest.mark.parametrize("said", ["serve.py:8", "src/web/serve.py#L8", "{root}/src/web/serve.py:8:5", TRACE])
def test_the_line_that_is_named_is_shown(workspace: Workspace, make_repository: MakeRepository, said: str) -> None:
    def code(name: str) -> str:
        functions = [f"def {name}_{n}(cart):\n    total = {n}\n    return total\n\n" for n in range(3)]
        return "\n".join(functions)

    files = {"src/web/serve.py": code("handle"), "src/serve.py": code("main"), "cart.py": "def total(cart): return 1\n"}
    root = make_repository(dict(files))
    for chunks in (False, True):
        hits = workspace.search(said.format(root=root), str(root), snippet_lines=1, chunks=chunks, explain=True).hits
        hit = next(hit for hit in hits if hit.path == "src/web/serve.py")
        assert hit == hits[0] or said == "serve.py:8"  # which both are
        assert (hit.snippet_line, hit.snippet) == (8, files[hit.path].splitlines()[7])
        assert hit.explain is not None
        assert hit.explain["line_given"] == 1.0
        assert abs(sum(hit.explain.values()) - hit.score) < 0.01


def test_a_file_is_meant_by_the_longest_end_of_a_path(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository(
        {path: f"def run(): return '{path}'\n" for path in ("a/web/run.py", "b/web/run.py", "run.py")}
    )

    def meant(said: str) -> set[str]:
        hits = workspace.search(f"look into {said}", str(root), explain=True).hits
        return {hit.path for hit in hits if hit.explain and "path_given" in hit.explain}

    assert meant("run.py") == {"a/web/run.py", "b/web/run.py", "run.py"}
    assert meant("web/run.py") == {"a/web/run.py", "b/web/run.py"}
    assert meant("/srv/elsewhere/b/web/run.py") == {"b/web/run.py"}
    assert meant("/srv/elsewhere/run.py") == set()  # the last part alone says too little
    assert meant(f"{root}/run.py") == {"run.py"}


def test_code_is_read_by_lines(workspace: Workspace, shop: Path) -> None:
    result = workspace.read("shop/prices.py", repository="shop", start_line=3, end_line=3)
    assert (result.text, result.start_line, result.end_line) == ("DISCOUNT = 0.1", 3, 3)
    assert workspace.read(str(shop / "shop/prices.py"), start_line=3, end_line=3).text == "DISCOUNT = 0.1"


def test_secrets_and_escapes_are_not_read(workspace: Workspace, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("secret")
    (shop / ".env").write_text("KEY=1")
    (shop / "link").symlink_to(tmp_path / "outside.txt")
    (shop / "alias").symlink_to(shop / ".env")
    for path in ("../outside.txt", str(tmp_path / "outside.txt"), "link", ".env", "alias", ".git/config"):
        with pytest.raises((Refused, UserError)):
            workspace.read(path, repository="shop")


BAD: list[dict[str, object]] = [
    {"query": ""},
    {"query": "  \n"},
    {"query": 5},
    {"query": "x", "repositories": "nobody"},
    {"query": "x", "repositories": "/nowhere/at/all"},
    {"query": "x", "language": "klingon"},
    {"query": "x", "content": "pictures"},
    {"query": "x", "mode": "glob"},
    {"query": "x", "limit": 0},
    {"query": "x", "limit": "10"},
]


@pytest.mark.parametrize("arguments", BAD, ids=str)
def test_bad_questions_are_answered_with_what_is_wrong(
    workspace: Workspace, shop: Path, arguments: dict[str, object]
) -> None:
    with pytest.raises(RecollectError) as caught:
        workspace.search(**arguments)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    assert caught.value.message


def test_a_very_long_question_is_answered(workspace: Workspace, shop: Path) -> None:
    assert workspace.search("total price of the cart " * 50_000, "shop").hits


@pytest.mark.parametrize("path", ["/", "~", "~/.ssh"])
def test_homes_and_the_whole_system_are_refused(workspace: Workspace, path: str) -> None:
    Path("~/.ssh").expanduser().mkdir(exist_ok=True)
    with pytest.raises(Refused):
        workspace.sync(path)


def test_a_file_is_no_repository(workspace: Workspace, shop: Path) -> None:
    with pytest.raises(UserError, match="a file, not a folder"):
        workspace.sync(shop / "README.md")


@pytest.mark.parametrize("layout", ["itself", "folder", "file"])
def test_a_bare_repository_has_nothing_to_index_but_its_work_trees_have(
    workspace: Workspace, shop: Path, tmp_path: Path, layout: str
) -> None:
    place = tmp_path / "place" / "kept"
    place.mkdir(parents=True)
    bare = place / {"itself": "", "folder": ".git", "file": ".bare"}[layout]
    git(shop, "clone", "-q", "--bare", ".", str(bare))
    if layout == "file":
        (place / ".git").write_text("gitdir: ./.bare\n")
    git(place, "worktree", "add", "-q", "--detach", "tree")
    with pytest.raises(UserError, match="bare repository") as caught:
        workspace.sync(place)
    assert caught.value.to_dict()["code"] == "bare_repository"
    workspace.configure_auto_sync({"scan_paths": [str(place.parent)]})
    wait_until(lambda: len(workspace.repositories().repositories) == 2)
    wait_until(lambda: workspace.auto_sync.status().last_scan is not None)
    assert {row.path for row in workspace.repositories().repositories} == {str(shop), str(place / "tree")}
    assert workspace.search("price_of", str(place / "tree")).hits[0].path == "shop/prices.py"


def test_a_forgotten_repository_is_gone_with_its_index(workspace: Workspace, shop: Path, home: Path) -> None:
    assert workspace.forget("shop")["status"] == "forgotten"
    assert list((home / "repositories").iterdir()) == []
    assert workspace.repositories().total == 0
    assert (shop / "README.md").exists()


def test_nothing_is_left_of_a_repository_that_is_forgotten_while_its_map_is_made(
    workspace: Workspace, shop: Path, home: Path
) -> None:
    (folder,) = (home / "repositories").iterdir()
    forgotten = threading.Event()

    def put() -> None:
        while not forgotten.is_set():
            with suppress(OSError):
                (folder / "usage.rcl.part").write_bytes(b"")

    writers = [threading.Thread(target=put) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        workspace.forget("shop")
    finally:
        forgotten.set()
        for writer in writers:
            writer.join()
    assert list((home / "repositories").iterdir()) == []


def test_a_name_that_is_nearly_right_is_suggested(workspace: Workspace, shop: Path) -> None:
    with pytest.raises(UserError) as caught:
        workspace.status("shpo")
    assert "shop" in caught.value.hint


def test_a_repository_is_known_by_its_folder_unless_the_word_means_something_nearer(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    workspace.sync(make_repository({"a.py": "def in_far(): pass\n"}, "far/lib"), name="named")
    near = make_repository({"lib/b.py": "def in_near(): pass\n"}, "near")
    assert workspace.search("in_far", "lib").hits[0].repository == "named"
    assert workspace.search("in_near", "lib", caller=Caller(cwd=str(near))).hits[0].path == "lib/b.py"


def test_a_url_that_is_known_means_its_repository(workspace: Workspace, shop: Path) -> None:
    shutil.rmtree(shop.parent / "clone", ignore_errors=True)
    git(shop, "clone", "-q", str(shop), "../clone")
    git(shop.parent / "clone", "remote", "set-url", "origin", "https://user:token@Example.org/me/thing.git")
    workspace.sync(shop.parent / "clone")
    status = workspace.status("thing")
    assert status.url == "https://Example.org/me/thing.git"
    assert workspace.search("cart", "git@example.org:me/thing").hits
    with pytest.raises(Refused, match="not a public host"):
        workspace.search("cart", "https://localhost/other.git")


def test_what_a_session_will_ask_about_is_opened_ahead(workspace: Workspace, shop: Path, tmp_path: Path) -> None:
    for elsewhere in (Caller(), Caller(cwd=str(tmp_path))):
        workspace.expect(elsewhere)
    assert not len(workspace._library)
    workspace.expect(Caller(cwd=str(shop / "web")))
    wait_until(lambda: len(workspace._library) == 1)
    assert len(workspace.repositories().repositories) == 1  # nothing was registered for it


def test_what_paths_say_is_worked_out_after_the_first_question_and_taken_over(workspace: Workspace, shop: Path) -> None:
    first = workspace.search("total price of the cart", str(shop), explain=True)
    identity = workspace._registry.known(str(shop), Caller()).id

    def prepared() -> bool:
        with workspace._library.reading(identity) as snapshot:
            return snapshot is not None and bool(snapshot.memo.get("prepared"))

    wait_until(prepared)
    again = workspace.search("total price of the cart", str(shop), explain=True)
    assert [hit.to_dict() for hit in again.hits] == [hit.to_dict() for hit in first.hits]
    write(shop, {"shop/refunds.py": "def refund_total(cart):\n    return -cart.total_price()\n"})
    assert workspace.search("refund_total", str(shop)).hits[0].path == "shop/refunds.py"
    assert prepared()  # of what is new, a question works it out itself
