"""Laws of scanning: an incremental scan equals one from scratch, and in a git work tree git says what belongs."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from recollect.sync.apply import apply
from recollect.sync.diff import diff, row_changes
from recollect.sync.git import is_bare
from recollect.sync.scan import scan
from recollect.sync.tree import EMPTY, Kind, Tree

NAMES = ["a", "b", "c.py", "d.txt", "e.log", "build", "keep.log", "ü.py", "sp ace", "[x]*.py"]
RULES = ["*.log", "build/", "/a", "!keep.log", "b/*", "!b/c.py", "**/d.txt", "sp ace", "# note", "\\[x\\]*.py", "a/b/"]


def git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True).stdout


def listed_by_git(root: Path) -> set[str]:
    names = git(root, "ls-files", "-z", "-co", "--exclude-standard").split(b"\0")
    return {
        os.fsdecode(name)
        for name in names
        if name
        and not name.endswith(b"/")
        and os.path.isfile(root / os.fsdecode(name))
        and not os.path.islink(root / os.fsdecode(name))
    }


def random_edit(root: Path, choice: random.Random) -> None:
    folders = [root] + [p for p in root.rglob("*") if p.is_dir() and not p.is_symlink() and ".git" not in p.parts]
    folder = choice.choice(folders)
    target = folder / choice.choice(NAMES)
    action = choice.random()
    if action < 0.45:
        if not target.is_dir():
            target.write_text(str(choice.random()))
    elif action < 0.6:
        if not target.exists():
            target.mkdir()
    elif action < 0.72:
        (folder / ".gitignore").write_text("\n".join(choice.sample(RULES, 3)) + "\n")
    elif action < 0.8:
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
    elif action < 0.86:
        if target.is_file():
            git(root, "add", "-f", "--", str(target))
    elif action < 0.9:
        (root / ".git" / "info" / "exclude").write_text(choice.choice(RULES) + "\n")
    elif action < 0.95:
        if not target.exists() and target.parent != root:
            shutil.move(str(folder), str(root / f"moved{choice.randrange(1000)}"))
    elif not target.exists():
        target.symlink_to("c.py")


@pytest.mark.parametrize("seed", range(12))
def test_scans_agree_with_git_and_with_each_other_after_any_edits(tmp_path: Path, seed: int) -> None:
    choice = random.Random(seed)
    root = tmp_path / "work"
    root.mkdir()
    git(root, "init", "-q")
    tree, signature = EMPTY, ""
    for _ in range(12):
        for _ in range(choice.randrange(1, 5)):
            random_edit(root, choice)
        result = scan(root, tree, signature=signature)
        fresh = scan(root)
        assert {row.path for row in result.tree.files()} == listed_by_git(root)
        assert {row.path: row.hash for row in result.tree.files()} == {row.path: row.hash for row in fresh.tree.files()}
        assert result.tree.root_hash == fresh.tree.root_hash
        changes = diff(tree, result.tree)
        applied = apply(tree, changes)
        assert {row.path: row.hash for row in applied.files()} == {row.path: row.hash for row in result.tree.files()}
        stored = {row.path: row for row in tree.rows()}
        upserts, gone = row_changes(tree, result.tree)
        for path in gone:
            del stored[path]
        stored.update((row.path, row) for row in upserts)
        again = Tree.from_rows(stored.values())
        assert again.root_hash == result.tree.root_hash
        assert sorted(again.rows()) == sorted(result.tree.rows())
        tree, signature = again, result.signature


@pytest.mark.parametrize("seed", range(4))
def test_without_git_an_incremental_scan_equals_one_from_scratch(tmp_path: Path, seed: int) -> None:
    choice = random.Random(seed)
    root = tmp_path / "plain"
    (root / ".git" / "info").mkdir(parents=True)  # not a repository: it has no HEAD
    tree, signature = EMPTY, ""
    for _ in range(10):
        for _ in range(3):
            try:
                random_edit(root, choice)
            except (subprocess.CalledProcessError, FileExistsError):
                continue
        result = scan(root, tree, signature=signature)
        fresh = scan(root)
        assert sorted(row.path for row in result.tree.files()) == sorted(row.path for row in fresh.tree.files())
        assert result.tree.root_hash == fresh.tree.root_hash
        tree, signature = result.tree, result.signature


def test_an_unchanged_tree_is_the_same_object(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "one.py").write_text("x = 1\n")
    old = 1_600_000_000_123_456_789
    for path in (tmp_path / "src" / "one.py", tmp_path / "src", tmp_path):
        os.utime(path, ns=(old, old))
    first = scan(tmp_path)
    assert [row.path for row in first.tree.files()] == ["src/one.py"]
    # ctime cannot be set: wait it out by scanning until the records are no longer racy
    second = first
    while True:
        again = scan(tmp_path, second.tree, signature=second.signature)
        if again.tree.root is second.tree.root:
            break
        second = again
    assert again.signature == second.signature


def test_links_nested_repositories_and_odd_names_are_recorded_and_not_entered(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "x.py").write_text("1")
    (tmp_path / "link").symlink_to(inner)
    os.mkfifo(tmp_path / "pipe")
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.py"), "w") as file:
        file.write("x")
    tree = scan(tmp_path).tree
    kinds = {row.path: row.kind for row in tree.rows()}
    assert kinds["inner"] is Kind.NESTED
    assert kinds["link"] is Kind.SYMLINK
    assert "inner/x.py" not in kinds
    assert [row.path for row in tree.files()] == [os.fsdecode(b"caf\xe9.py")]


@pytest.mark.parametrize(
    "rules",
    [
        *(rule.encode() for rule in RULES),
        b"caf\xe9*",
        b"caf?.py",
        b"?.py",  # a byte, not a character
        b"[[:digit:]]*.py\n[[:upper:]]*",
        b"\xef\xbb\xbf*.py\r\n!c.py\r\n",
        b"a\x85b\n*.log",
        b"out\\\n*.log",  # a line that means nothing leaves the others as they are
        b"!\n[z-a]\nout/b",
    ],
)
def test_rules_mean_outside_of_git_what_they_mean_inside(tmp_path: Path, rules: bytes) -> None:
    odd = ["1.py", "A", "ab", os.fsdecode(b"caf\xe9.py"), os.fsdecode(b"a\x85b")]
    for name in (*NAMES, *odd, "out/a/b/c.py", "out/b/d.txt", "out/b/c.py", "out/e.log", "a-folder/b/keep.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".gitignore").write_bytes(rules)
    found = {row.path for row in scan(tmp_path).tree.files()}
    git(tmp_path, "init", "-q")
    assert found == listed_by_git(tmp_path)
    (tmp_path / ".gitignore").rename(tmp_path / ".recollectignore")
    assert found - {".gitignore"} == {row.path for row in scan(tmp_path).tree.files()} - {".recollectignore"}


def test_pipes_by_the_names_of_what_is_read_hold_nothing_up(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x")
    for name in (".gitignore", ".recollectignore", ".git"):
        os.mkfifo(tmp_path / name)
    assert not is_bare(tmp_path)
    assert [row.path for row in scan(tmp_path).tree.files()] == ["a.py"]


def test_recollectignore_adds_rules_and_takes_back_in_what_git_ignores(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("generated/\n*.log\n")
    (tmp_path / "generated").mkdir()
    (tmp_path / "generated" / "api.py").write_text("x")
    (tmp_path / "secret.py").write_text("x")
    (tmp_path / "run.log").write_text("x")
    (tmp_path / ".recollectignore").write_text("secret.py\n!generated/\n")
    assert {row.path for row in scan(tmp_path).tree.files()} == {".gitignore", ".recollectignore", "generated/api.py"}


def test_a_dirty_path_alone_is_looked_at(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("1")
    first = scan(tmp_path)
    for name in ("one.py", "two.py", "new.py", "other.py"):
        (tmp_path / name).write_text("22")
    second = scan(tmp_path, first.tree, signature=first.signature, dirty={"one.py", "new.py"})
    assert [change.path for change in diff(first.tree, second.tree)] == ["new.py", "one.py"]
    third = scan(tmp_path, second.tree, signature=second.signature)
    assert [change.path for change in diff(second.tree, third.tree)] == ["other.py", "two.py"]
