"""A hard link to a file of another place is neither indexed nor read out; one within the repository is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from recollect.errors import Refused, UserError
from recollect.workspace.workspace import Workspace
from tests.conftest import MakeRepository, write


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as opened:
        yield opened


@pytest.fixture
def key(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    write(folder, {"notes.txt": "the hidden canary of another place\n"})
    return folder / "notes.txt"


def reason(workspace: Workspace, root: Path, path: str) -> str | None:
    said = workspace.why(str(root / path))
    return said["reason"] if said["status"] != "indexed" else "indexed"


def test_a_hard_link_to_another_place_is_skipped_with_a_reason_until_that_is_gone(
    workspace: Workspace, make_repository: MakeRepository, key: Path
) -> None:
    root = make_repository({"a.py": "def a(): pass\n"})
    os.link(key, root / "linked.txt")
    assert workspace.sync(root).status == "completed"
    assert reason(workspace, root, "linked.txt") == "hard_link"
    assert not workspace.search("hidden canary", str(root)).hits
    with pytest.raises(Refused, match="hard link"):
        workspace.read("linked.txt", repository=str(root))
    os.link(key, root / "added.txt")  # seen by an incremental sync
    workspace.sync(root)
    assert reason(workspace, root, "added.txt") == "hard_link"
    assert workspace.sync(root, full=True).errors == ()
    assert reason(workspace, root, "linked.txt") == "hard_link"
    key.unlink()
    workspace.sync(root)
    assert reason(workspace, root, "linked.txt") == "indexed"
    assert "canary" in workspace.read("added.txt", repository=str(root)).text


def test_a_file_that_gets_a_link_elsewhere_later_is_no_longer_read(
    workspace: Workspace, make_repository: MakeRepository, tmp_path: Path
) -> None:
    root = make_repository({"a.py": "def a(): pass\n"})
    workspace.sync(root)
    os.link(root / "a.py", tmp_path / "outside.py")
    with pytest.raises(Refused, match="hard link"):
        workspace.read("a.py", repository=str(root))
    workspace.sync(root)
    assert reason(workspace, root, "a.py") == "hard_link"


def test_links_among_files_of_the_repository_are_indexed_ignored_ones_included(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    root = make_repository({"a.py": "def a(): pass\n", "b.py": "def b(): pass\n", ".gitignore": "build/\n"})
    (root / "build").mkdir()
    os.link(root / "a.py", root / "build/a.py")
    os.link(root / "b.py", root / "again.py")
    for full in (False, True):
        assert workspace.sync(root, full=full).errors == ()
        assert [reason(workspace, root, name) for name in ("a.py", "b.py", "again.py")] == ["indexed"] * 3
    assert "def b" in workspace.read("again.py", repository=str(root)).text


def test_the_owner_may_include_such_a_file_by_naming_it(
    workspace: Workspace, make_repository: MakeRepository, key: Path
) -> None:
    root = make_repository({"a.py": "def a(): pass\n"})
    os.link(key, root / "linked.txt")
    workspace.sync(root)
    (root / ".recollectignore").write_text("!linked.txt\n")
    workspace.sync(root)
    assert reason(workspace, root, "linked.txt") == "indexed"
    assert "canary" in workspace.read("linked.txt", repository=str(root)).text


def test_a_root_that_became_a_link_is_missing_and_nothing_behind_it_is_seen(
    workspace: Workspace, make_repository: MakeRepository, tmp_path: Path
) -> None:
    root = make_repository({"a.py": "def the_first(): pass\n"})
    workspace.sync(root)
    write(tmp_path / "private", {"a.py": "def canary(): pass\n", "id.txt": "canary\n"})
    root.rename(tmp_path / "aside")
    root.symlink_to(tmp_path / "private")
    with pytest.raises(UserError, match="a link leads to"):
        workspace.sync("project")
    found = workspace.search("canary", "project")
    assert not found.hits
    assert not found.freshness.fresh
    assert workspace.search("the_first", "project").hits  # what was indexed before
    with pytest.raises((Refused, UserError)):
        workspace.read("id.txt", repository="project")
    root.unlink()
    write(root, {"a.py": "def the_second(): pass\n"})  # made anew: it is the repository again
    assert workspace.sync("project").status == "completed"
    assert [hit.path for hit in workspace.search("the_second", "project").hits] == ["a.py"]
