"""Repository maps: what matters comes first, budgets hold, and a map brought up to date is one made from scratch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import pytest

from recollect.errors import Unavailable, UserError
from recollect.index import usage
from recollect.index.snapshot import Snapshot
from recollect.jobs.indexer import IndexerProcess
from recollect.search.repo_map import Focus, Graph, outline
from recollect.workspace import Workspace
from recollect.workspace.maps import Maps
from tests.conftest import SHOP, MakeRepository, git, wait_until, write

CODE: dict[str, str | bytes] = {
    **{
        f"users/user_{n}.py": f"from core.engine import start_engine\n\n\ndef run_{n}():\n    start_engine({n})\n"
        for n in range(12)
    },
    "core/engine.py": "class EngineState:\n    def reset_state(self):\n        pass\n\n\n"
    "def start_engine(n):\n    return EngineState()\n\n\ndef never_used_thing():\n    pass\n",
    "core/odd.py": "def quite_unimportant():\n    pass\n",
    "tests/test_engine.py": "def helper_for_tests():\n    pass\n\n\ndef test_engine():\n    helper_for_tests()\n",
    "web/start.ts": "export function start_engine(): void {}\nexport function renderPage(): void { start_engine(); }\n",
    "README.md": "# Engine\n\n## start_engine\n",
}


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as made:
        yield made


def test_what_many_use_comes_first_and_the_budget_holds(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository(CODE)
    workspace.sync(root)
    made = workspace.map(str(root), 300)
    assert made.freshness.fresh
    assert made.map.startswith("core/engine.py:")
    assert "def start_engine(n)" in made.map
    assert made.tokens <= 300
    for budget in (50, 80, 120, 1000):
        found = workspace.map(str(root), budget)
        assert len(found.map) <= budget * 4
    assert workspace.map(str(root), 4000).definitions == workspace.map(str(root), 100_000).definitions
    tiny = workspace.map(str(root), 50)
    assert "start_engine" in tiny.map
    assert "test_engine" not in tiny.map
    assert workspace.status(str(root)).repo_map_status.status == "ready"


def test_names_of_another_language_are_not_the_same(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository(CODE)
    workspace.sync(root)
    ranks = {item.path: item.importance for item in workspace.critical_files(str(root)).files}
    assert ranks["core/engine.py"] > 3 * ranks["web/start.ts"]
    assert ranks["core/odd.py"] > ranks["tests/test_engine.py"]
    first = workspace.critical_files(str(root), 1)
    assert [item.path for item in first.files] == ["core/engine.py"]
    assert first.files_total == 16


def test_a_focus_moves_the_centre(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({**CODE, **SHOP})
    workspace.sync(root)
    assert not workspace.map(str(root), 4000).map.startswith("shop/")
    for focus in ("shop/cart.py", "shop", "Cart.total_price", "total_price()"):
        found = workspace.map(str(root), 200, [focus])
        assert found.map.startswith("shop/"), focus
        assert found.not_found is None
    assert workspace.map(str(root), 200, ["tests/test_engine.py"]).map.find("helper_for_tests") >= 0
    assert workspace.map(str(root), 200, ["nothing_of_the_kind"]).not_found == ("nothing_of_the_kind",)


def test_edits_are_in_the_next_map(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository(CODE)
    workspace.sync(root)
    workspace.map(str(root))
    write(
        root,
        {
            "core/engine.py": "# moved\n\n\n" + str(CODE["core/engine.py"]),
            "new.py": "def added_definition():\n    pass\n",
        },
    )
    assert "    9 def start_engine(n)" in workspace.map(str(root)).map
    wait_until(lambda: "added_definition" in workspace.map(str(root)).map)
    (root / "core" / "engine.py").unlink()
    assert "core/engine.py" not in workspace.map(str(root)).map


def test_bad_input(workspace: Workspace, make_repository: MakeRepository) -> None:
    one, two = make_repository(CODE, "one"), make_repository({"a.txt": "no code"}, "two")
    workspace.sync(one)
    workspace.sync(two)
    assert workspace.map(str(two)).map == ""
    with pytest.raises(UserError, match="at least 50"):
        workspace.map(str(one), 10)
    with pytest.raises(UserError, match="one repository"):
        workspace.map("*")
    with pytest.raises(UserError):
        workspace.map("nothing-called-so")


@pytest.mark.parametrize("seed", range(3))
def test_a_collection_brought_up_to_date_is_one_from_scratch(
    workspace: Workspace, make_repository: MakeRepository, seed: int
) -> None:
    choice = random.Random(seed)
    names = [f"name_{n}" for n in range(30)]

    def text() -> str:
        defined = "".join(f"def {name}():\n    {choice.choice(names)}()\n\n\n" for name in choice.sample(names, 3))
        return defined + f"{choice.choice(names)}()\n"

    root = make_repository({f"m{n}.py": text() for n in range(20)})
    workspace.sync(root)
    identity = workspace._registry.by_name(str(root)).id  # type: ignore[union-attr]
    folder = workspace._upkeep.folder(identity)
    before = usage.collect(folder, None)
    for _ in range(6):
        for _ in range(choice.randint(1, 4)):
            path = root / f"m{choice.randrange(25)}.py"
            if path.exists() and choice.random() < 0.3:
                path.unlink()
            else:
                path.write_text(text())
        if choice.random() < 0.3:
            git(root, "stash", "-q", "-u")
        workspace.sync(root)
        before = usage.collect(folder, before)
        usage.save(folder, before)
        kept = usage.load(folder)
        assert kept is not None
        before = kept
        assert described(folder, before) == described(folder, usage.collect(folder, None))


def described(folder: Path, held: usage.Usage) -> tuple[object, ...]:
    files, names = held.file_id.tolist(), list(held.names)
    uses = sorted(
        (files[f], names[n], c)
        for f, n, c in zip(held.use_file.tolist(), held.use_name.tolist(), held.use_count.tolist(), strict=True)
    )
    definitions = sorted(
        (files[f], names[n]) for f, n in zip(held.def_file.tolist(), held.def_name.tolist(), strict=True)
    )
    snapshot = Snapshot.open(folder)
    try:
        text = outline(snapshot, Graph(held), Focus(), 300).text
    finally:
        snapshot.release()
    return held.generation, sorted(files), sorted(names), uses, definitions, sorted(text.split("\n"))


def test_a_map_that_the_end_interrupts_is_no_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Indexer:
        def map(self, folder: Path) -> Future[None]:
            return Future()

    maps = Maps(cast(IndexerProcess, Indexer()), lambda repository_id: tmp_path)
    for code, said in (("shutting_down", []), ("indexer_down", ["a map cannot be made: interrupted"])):
        maps.build("one").set_exception(Unavailable("interrupted", code=code))
        assert [record.getMessage() for record in caplog.records] == said
        assert maps.status("one").status == "failed"
