"""`kill -9` at named points of a sync: afterwards the index equals one built from scratch."""

from __future__ import annotations

import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from recollect import client
from recollect.errors import Unavailable
from recollect.workspace import Workspace
from tests.chaos.test_kills import kill
from tests.conftest import MakeRepository, git, processes_of, wait_until

QUERIES = ("function number", "changed", "function_7", "added later", "return value", "CONSTANT_3")


def sources(count: int = 150) -> dict[str, str]:
    return {
        f"p{i % 7}/f{i}.py": f"CONSTANT_{i} = {i}\n\n\ndef function_{i}(a):\n    return a * {i}\n" for i in range(count)
    }


def edit(root: Path, seed: int) -> None:
    """Some files change, some go, some come, some move; now and then it is committed."""
    choice = random.Random(seed)
    files = sorted(root.rglob("*.py"))
    for path in choice.sample(files, 12):
        action = choice.randrange(4)
        if action == 0:
            path.unlink()
        elif action == 1:
            path.write_text(path.read_text() + f"\n\ndef changed_{seed}_{path.stem}(): pass\n")
        elif action == 2:
            path.rename(path.with_name(f"moved_{seed}_{path.name}"))
        else:
            path.with_name(f"added_{seed}_{path.name}").write_text(f"def added_later_{seed}(): pass\n")
    if seed % 2:
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", f"Make the return value of function {seed} right")


def answers(call: Any) -> dict[str, Any]:
    """All that an index says: its files, and the order and scores of hits."""
    files = [(item["path"], item["status"], item["chunks"]) for item in call("files", {"name": "project"})]
    hits = {
        query: [
            (hit["path"], hit["start_line"], round(hit["score"], 6))
            for hit in call("search", {"query": query, "repositories": "project"})["hits"]
        ]
        for query in QUERIES
    }
    return {"files": files, "hits": hits}


def from_scratch(root: Path, home: Path) -> dict[str, Any]:
    with Workspace(home) as workspace:
        workspace.sync(root)

        def call(method: str, params: dict[str, Any]) -> Any:
            result = getattr(workspace, method)(**params)
            return [item.to_dict() for item in result] if isinstance(result, tuple) else result.to_dict()

        return answers(call)


@pytest.mark.parametrize(
    "point", ["scanned", "before-commit", "after-commit", "before-merge", "after-merge", "before-note", "after-note"]
)
def test_a_crash_at_a_named_point_loses_nothing(
    home: Path, tmp_path: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    root = make_repository(dict(sources()))
    armed = tmp_path / "armed"
    monkeypatch.setenv("RECOLLECT_CRASH", f"{point} {armed}")
    with client.Connection(home) as daemon:
        daemon.call("sync", {"path": str(root)})
        for seed in range(8):  # enough small commits that segments are merged
            edit(root, seed)
            if seed == 7:
                armed.touch()
            with suppress(Unavailable):  # the daemon itself may be what dies
                daemon.call("sync", {"path": str(root)})
        wait_until(lambda: not armed.exists() or _nudge(daemon, root))
        assert daemon.call("sync", {"path": str(root)})["status"] == "completed"
        found = answers(daemon.call)
        daemon.call("stop", {})
    monkeypatch.delenv("RECOLLECT_CRASH")
    assert found == from_scratch(root, tmp_path / "scratch")
    wait_until(lambda: not processes_of(home))


def _nudge(daemon: client.Connection, root: Path) -> bool:
    """The point was not passed yet (a merge comes later): do something more."""
    edit(root, random.randrange(1_000, 1_000_000))
    daemon.call("sync", {"path": str(root)})
    return False


def test_kills_at_random_moments_lose_nothing(home: Path, tmp_path: Path, make_repository: MakeRepository) -> None:
    root = make_repository(dict(sources(400)))
    choice = random.Random(7)
    with client.Connection(home) as daemon:
        daemon.call("sync", {"path": str(root), "background": True})
        for seed in range(12):
            edit(root, seed)
            with suppress(Unavailable):
                daemon.call("sync", {"path": str(root), "background": True})
            signal.sigtimedwait([], choice.random() * 0.3)
            kill(home, choice.choice([b"server.indexer", b"server.daemon", b"server.worker"]))
        wait_until(lambda: _synced(daemon, root))
        found = answers(daemon.call)
        daemon.call("stop", {})
    assert found == from_scratch(root, tmp_path / "scratch")
    wait_until(lambda: not processes_of(home))


def _synced(daemon: client.Connection, root: Path) -> bool:
    try:
        return bool(daemon.call("sync", {"path": str(root)})["status"] == "completed")
    except Unavailable:
        return False


def test_a_crash_while_a_work_tree_s_index_is_copied(
    home: Path, tmp_path: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(dict(sources(60)))
    git(root, "worktree", "add", "-q", "--detach", str(root.with_name("tree")))
    armed = tmp_path / "armed"
    armed.touch()
    monkeypatch.setenv("RECOLLECT_CRASH", f"before-copy {armed}")
    with Workspace(home) as workspace:
        workspace.sync(root)
        assert workspace.sync(root.with_name("tree")).total_files == 60
        assert not armed.exists()
        assert workspace.search("function_7", "tree").hits[0].path == "p0/f7.py"
    assert not list((home / "repositories").glob("*.copying"))


def test_a_crash_while_new_commits_are_read(
    home: Path, tmp_path: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(dict(sources(20)))
    armed = tmp_path / "armed"
    monkeypatch.setenv("RECOLLECT_CRASH", f"before-history {armed}")
    with Workspace(home) as workspace:
        workspace.sync(root)
        (root / "p0" / "f7.py").write_text("def changed(): pass\n")
        assert workspace.search("changed", "project").freshness.fresh
        armed.touch()
        git(root, "commit", "-q", "-a", "-m", "Untie the Gordian knot")

        def told() -> bool:
            hits = workspace.search("Gordian knot", "project", explain=True).hits
            return [hit.path for hit in hits if "history" in (hit.explain or {})] == ["p0/f7.py"]

        wait_until(told)
        assert not armed.exists()
        assert workspace.sync(root).status == "completed"
