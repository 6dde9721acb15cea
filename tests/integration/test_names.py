"""Names that people and agents give repositories beside the ones that these have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from recollect.config import Settings
from recollect.errors import UserError
from recollect.store import catalog as under_test
from recollect.store import pages
from recollect.store.catalog import Catalog
from recollect.workspace import Caller, Workspace
from tests.conftest import SHOP, MakeRepository, write

QUIET = Settings(auto_sync_enabled=False)
QUESTIONS: dict[str, Callable[[Workspace, str], object]] = {
    "search": lambda workspace, name: workspace.search("sign cookies", name).hits[0].repository,
    "search of several": lambda workspace, name: workspace.search("sign cookies", [name]).hits[0].repository,
    "symbol": lambda workspace, name: workspace.symbol("Session", name).definitions[0].repository,
    "read": lambda workspace, name: workspace.read("shop/session.py", repository=name).repository,
    "related": lambda workspace, name: workspace.related("shop/session.py", 1, repository=name).hits[0].repository,
    "map": lambda workspace, name: workspace.map(name).repository,
    "sync": lambda workspace, name: workspace.sync(name).repository,
    "sync by name": lambda workspace, name: workspace.sync(name=name).repository,
    "sync status": lambda workspace, name: workspace.sync_status(name).repository,
    "status": lambda workspace, name: workspace.status(name).name,
    "cancel": lambda workspace, name: workspace.cancel(name).repository,
    "clone status": lambda workspace, name: workspace.clone_status(name).repository,
    "track": lambda workspace, name: workspace.track(name).name,
    "configure": lambda workspace, name: workspace.configure_auto_sync({"enabled": True}, name).name,  # type: ignore[union-attr]
    "remember": lambda workspace, name: workspace.remember(f"for {name}", repository=name) and "project",
    "recall": lambda workspace, name: workspace.recall("for", repository=name).memories[0].repository,
    "memories": lambda workspace, name: workspace.memory.page(filters={"repository": name}).memories[0].repository,
    "list": lambda workspace, name: workspace.repositories(name).repositories[0].name,
}


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home, settings=QUIET) as made:
        yield made


def test_a_name_that_is_given_to_a_known_repository_works_everywhere(
    home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(SHOP)
    write(root, {"tests/test_session.py": SHOP["shop/session.py"]})
    with Workspace(home, settings=QUIET) as workspace:
        assert workspace.sync(root).repository == "project"
        assert workspace.sync(root, name="my-repo").repository == "project"
        monkeypatch.chdir(root.parent)
        assert workspace.add("project", "the shop").aliases == ("my-repo", "the shop")
        assert {name: ask(workspace, "my-repo") for name, ask in QUESTIONS.items()} == dict.fromkeys(
            QUESTIONS, "project"
        )
        assert workspace.sync(root, name="my-repo").repository == "project"  # once more: nothing happens
        assert workspace.sync(root, name="project").repository == "project"
        assert workspace.sync("my-repo", name=str(root)).repository == "project"
        assert workspace.status().aliases == ("my-repo", "the shop")
    with Workspace(home, settings=QUIET) as workspace:
        assert workspace.status("my-repo").aliases == ("my-repo", "the shop")
        assert workspace.search("sign cookies", "the shop").hits
        workspace.forget("my-repo")
        with pytest.raises(UserError) as caught:
            workspace.status("the shop")
        assert caught.value.code == "unknown_repository"
        assert workspace.sync(root, name="my-repo").repository == "my-repo"  # it is new again


def test_a_name_that_another_repository_has_is_refused_and_nothing_is_registered(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    one, two, three = (make_repository({"a.py": "x = 1\n"}, name) for name in ("one", "two", "three"))
    workspace.sync(one, name="first")
    workspace.sync(two)
    workspace.sync(two, name="second")
    for root in (one, three):
        for taken in {"first", "two", "second"} - ({"first"} if root == one else set()):
            with pytest.raises(UserError, match="is the name of another repository") as caught:
                workspace.sync(root, name=taken)
            assert caught.value.code == "name_taken"
            assert str(one if taken == "first" else two) in caught.value.message
    assert [item.name for item in workspace.repositories().repositories] == ["first", "two"]
    assert workspace.status("first").aliases == ()
    found = make_repository({"a.py": "x = 1\n"}, "elsewhere/second")
    assert workspace.sync(found).repository == "second-2"  # of those that nobody names, names are made unique


@pytest.mark.parametrize(
    "name", ["", " ", "a\nb", "*", "../x", "~x", "/x", "-x", "a:b", "a,b", "x" * 101, "a\u202eb", " a"]
)
def test_what_could_be_taken_for_something_else_is_no_name(
    workspace: Workspace, make_repository: MakeRepository, name: str
) -> None:
    root = make_repository({"a.py": "x = 1\n"})
    for _ in range(2):  # as its name, then as an alias
        with pytest.raises(UserError) as caught:
            workspace.add(str(root), name)
        assert (caught.value.code, bool(caught.value.hint)) == ("invalid_name", True)
        if not workspace.repositories().total:
            workspace.add(str(root))
    assert workspace.status(str(root)).aliases == ()


def test_a_repository_has_a_bounded_number_of_names(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "x = 1\n"})
    for number in range(21):
        workspace.add(str(root), f"name-{number}")
    with pytest.raises(UserError) as caught:
        workspace.add(str(root), "one-more")
    assert caught.value.code == "too_many_names"


def test_names_survive_damage_of_the_catalog(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "x = 1\n"})
    with Workspace(home, settings=QUIET) as workspace:
        workspace.sync(root, name="one")
        workspace.sync(root, name="two")
    (home / "catalog.db").write_bytes(b"damaged" * 1000)
    with Workspace(home, settings=QUIET) as workspace:
        assert workspace.status("two").aliases == ("two",)
        assert workspace._registry.known("two", Caller()).name == "one"


def test_a_catalog_of_the_version_before_aliases_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    pages.make(path, under_test._SCHEMA + under_test._ADMITTED + under_test._DISCOVERED, 7)
    with closing(pages.connect(path, 7, writing=True)) as older:
        sql = "INSERT INTO repositories (id, path, name, type, added_at) VALUES ('a', X'2F61', 'one', 'git', 1.0)"
        older.execute(sql)
        sql = (
            "INSERT INTO clones (key, branch, url, path, status, wanted) VALUES ('h/x', '', 'u', X'2F62', 'failed', 0)"
        )
        older.execute(sql)
    with closing(Catalog(path)) as catalog:
        assert catalog.repositories()[0].aliases == ()
        assert catalog.clones.all()[0].name is None
        changed = catalog.add_alias("a", "other")
        assert changed is not None
        assert changed.aliases == ("other",)
