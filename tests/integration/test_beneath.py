"""What lies below a folder is opened, and nothing else; folders may be as deep as they like."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from recollect.errors import Refused, Unavailable
from recollect.index.writer import IndexWriter
from recollect.jobs.pool import ParsePool
from recollect.jobs.synchronise import Control, Options, synchronise
from recollect.sync import beneath
from recollect.sync.apply import apply
from recollect.sync.beneath import Root, is_itself, problem_of
from recollect.sync.diff import diff, row_changes
from recollect.sync.scan import scan
from recollect.sync.tree import EMPTY, Kind, Row, Stat, Tree
from tests.conftest import write


@pytest.fixture(params=["as the system has it", "by components"])
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways: where the system call is missing, names are opened one after another."""
    if request.param == "by components":
        monkeypatch.setattr(beneath, "_opener", lambda: beneath._by_components)


@pytest.mark.usefixtures("opener")
def test_no_link_is_followed_at_any_level_and_nothing_above_is_reached(tmp_path: Path) -> None:
    write(tmp_path, {"root/a/b.py": "inside", "root/c.py": "c", "outside/b.py": "secret"})
    (tmp_path / "root/link.py").symlink_to("a/b.py")
    (tmp_path / "root/folder").symlink_to(tmp_path / "outside")
    os.mkfifo(tmp_path / "root/pipe")
    with Root(tmp_path / "root") as root:
        assert root.read("a/b.py") == b"inside"
        assert root.read("c.py") == b"c"
        for path in (
            "link.py",
            "folder/b.py",
            "../outside/b.py",
            "a/../c.py",
            str(tmp_path / "outside/b.py"),
            "pipe",
            "a",
        ):
            with pytest.raises(OSError, match="Errno"):
                root.read(path)
        assert [root.exists(path) for path in ("a", "link.py", "folder", "folder/b.py", "none")] == [True] * 3 + [
            False
        ] * 2
        assert [root.is_folder(path) for path in ("a", "folder", "c.py", "")] == [True, False, False, True]


@pytest.mark.usefixtures("opener")
def test_links_are_resolved_as_far_as_they_stay_inside(tmp_path: Path) -> None:
    write(tmp_path, {"root/a/b.py": "inside", "outside/b.py": "secret"})
    links = {
        "one": "a",
        "two": "one/b.py",
        "up": "a/../a/b.py",
        "absolute": str(tmp_path / "root/a/b.py"),
        "out": "../outside/b.py",
        "gone": str(tmp_path / "outside"),
        "round": "round",
    }
    for name, target in links.items():
        (tmp_path / "root" / name).symlink_to(target)
    with Root(tmp_path / "root") as root:
        for path in ("a/b.py", "one/b.py", "two", "up", "absolute", "one/../a/b.py"):
            assert root.without_links(path) == "a/b.py"
        for path in ("out", "gone/b.py", "round", "../outside/b.py"):
            with pytest.raises(Refused):
                root.without_links(path)


@pytest.mark.usefixtures("opener")
def test_a_root_that_a_link_leads_to_is_not_opened_and_the_reason_names_the_link(tmp_path: Path) -> None:
    write(tmp_path, {"outside/project/a.py": "secret"})
    (tmp_path / "link").symlink_to("outside/project")
    (tmp_path / "parent").symlink_to("outside")
    for path in (tmp_path / "link", tmp_path / "parent/project"):
        assert not is_itself(path)
        assert "a link leads to" in str(problem_of(path))
        with pytest.raises(Unavailable) as caught:
            scan(path)
        assert (caught.value.code, "a link leads to" in caught.value.message) == ("missing", True)
    assert is_itself(tmp_path / "outside/project")
    assert problem_of(tmp_path / "outside/project") is None


def test_a_path_that_is_longer_than_the_system_takes_is_no_crash(tmp_path: Path) -> None:
    with Root(tmp_path) as root:
        with pytest.raises(OSError, match="Errno") as caught:
            root.read("a/" * 3000 + "b.py")
        assert caught.value.errno == errno.ENAMETOOLONG
        assert not root.exists("a/" * 3000 + "b.py")


def make_deep(root: Path, name: str, depth: int) -> None:
    """A file at the bottom of so many folders: deeper than a path can name."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("bottom.py", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)


@pytest.mark.parametrize("in_git", [True, False])
def test_folders_too_deep_for_a_path_cost_themselves_and_nothing_else(tmp_path: Path, in_git: bool) -> None:
    root = tmp_path / "root"
    write(root, {"top.py": "def top(): pass\n", "/".join(["d"] * 480) + "/middle.py": "def middle(): pass\n"})
    make_deep(root / "/".join(["d"] * 480), "long" * 60, 30)
    if in_git:
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    try:
        pool, writer = ParsePool(tmp_path / "cache.db", 1), IndexWriter(tmp_path / "index")
        result = synchronise(writer, root, pool, Options(), Control()).result
        assert (result.status, result.total_files) == ("completed", 2)
        assert [(error.kind, "longer than" in error.message) for error in result.errors] == [("unreadable", True)]
        write(root, {"top.py": "def other(): pass\n"})
        again = synchronise(writer, root, pool, Options(), Control()).result
        assert (again.total_files, again.modified_files) == (2, 1)
        writer.close()
        pool.close()
    finally:
        subprocess.run(["rm", "-rf", root], check=True)  # which takes them as deep as they are


def test_the_algebra_of_trees_knows_no_depth() -> None:
    path = "d/" * 3000 + "file.py"
    row = Row(path, Kind.FILE, Stat(1, 1, 1, 1, 0o100644), b"h" * 16)
    deep = Tree.from_rows([row])
    assert (len(deep), len(deep.root_hash), sum(1 for _ in deep.rows())) == (1, 32, 3002)
    changes = diff(EMPTY, deep)
    assert [change.path for change in changes] == [path]
    assert apply(EMPTY, changes).root_hash == deep.root_hash
    assert len(apply(deep, diff(deep, EMPTY))) == 0
    upserts, gone = row_changes(deep, EMPTY)
    assert (len(gone), upserts) == (3001, [])
    assert Tree.from_rows(deep.rows()).root_hash == deep.root_hash
