"""What differs between a work tree and a commit is what `git diff` says, although git reads none of its files."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from recollect.errors import Refused, Unavailable, UserError
from recollect.sync import git_process, worktree
from recollect.sync.ignore import deciding_files
from recollect.sync.worktree import changed_since, has_changes
from recollect.workspace import Workspace
from tests.conftest import MakeRepository, git, write

FILES: dict[str, str | bytes] = {
    f"{folder}{name}.txt": f"{folder}{name}\n" * 3 for folder in ("", "a/", "a/b/", "c d/") for name in "xyz"
}


def says(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def by_git(root: Path, revision: str) -> set[str]:
    """The same by git itself, filters and all."""
    diff = says(
        root,
        "diff",
        "--name-only",
        "--relative",
        "--no-renames",
        "--ignore-submodules=dirty",
        "-z",
        revision,
        "--",
        ".",
    )
    untracked = says(root, "ls-files", "-z", "-o", "--exclude-standard")
    return {name for name in (diff + untracked).split("\0") if name}


def same_as_git(root: Path, *revisions: str) -> None:
    for revision in revisions:
        assert changed_since(root, revision) == by_git(root, revision), revision


def change(root: Path, turn: random.Random) -> str:
    """One thing that people or programs do in a work tree."""
    paths = sorted(path for path in root.rglob("*") if ".git" not in path.parts and not path.is_dir())
    path = turn.choice(paths) if paths else root / "new.txt"
    name = path.relative_to(root).as_posix()
    act = turn.choice(
        "edit swap touch mode delete link folder add add-all remove-cached intent assume skip trust rename new commit back"
        " above".split()
    )
    tracked = says(root, "ls-files", "-z").split("\0")[:-1]
    if act in ("edit", "swap") and not path.is_symlink() and path.exists():
        data = path.read_bytes()
        path.write_bytes(data + b"more\n" if act == "edit" else bytes(reversed(data)))
    elif act == "touch" and not path.is_symlink() and path.exists():
        os.utime(path, ns=(turn.randrange(10**18), turn.randrange(10**18)))
    elif act == "mode" and not path.is_symlink() and path.exists():
        path.chmod(path.stat().st_mode ^ 0o111)
    elif act in ("delete", "link", "folder") and paths:
        path.unlink()
        if act == "link":
            path.symlink_to(turn.choice(["x.txt", "nowhere", "/etc/hostname"]))
        elif act == "folder":
            write(path, {"inner.txt": "inside\n"})
    elif act == "above" and path.parent != root:
        moved = root.parent / f"aside-{turn.random()}"
        path.parent.rename(moved)
        path.parent.symlink_to(moved)
    elif act == "rename" and paths:
        path.rename(path.with_name(f"moved-{turn.randrange(3)}.txt"))
    elif act == "new":
        with suppress(OSError):
            write(root, {f"new-{turn.randrange(3)}.txt": "new\n", f"d{turn.randrange(2)}/n.txt": "new\n"})
    else:
        chosen = turn.choice(tracked) if tracked else name
        for command in {
            "add": [["add", "-A", "--", name]],
            "add-all": [["add", "-A"]],
            "remove-cached": [["rm", "-q", "-r", "--cached", "--", chosen]],
            "intent": [["add", "-N", "--", name]],
            "assume": [["update-index", "--assume-unchanged", "--", chosen]],
            "skip": [["update-index", "--skip-worktree", "--", chosen]],
            "trust": [["update-index", "--no-assume-unchanged", "--no-skip-worktree", "--", chosen]],
            "commit": [["commit", "-q", "-m", "more", "--allow-empty"]],
            "back": [["reset", "-q", turn.choice(["--mixed", "--soft"]), "first"]],
        }.get(act, []):
            identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
            subprocess.run(["git", *identity, *command], cwd=root, capture_output=True, check=False)
    return f"{act} {name}"


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_done_in_a_work_tree_the_answer_is_that_of_git(make_repository: MakeRepository, seed: int) -> None:
    root = make_repository(FILES)
    git(root, "tag", "first")
    turn = random.Random(seed)
    done = []
    for _ in range(25):
        done.append(change(root, turn))
        for revision in ("first", "HEAD"):
            assert changed_since(root, revision) == by_git(root, revision), (revision, done)


def test_a_folder_of_a_work_tree_and_a_linked_one(make_repository: MakeRepository, tmp_path: Path) -> None:
    root = make_repository(FILES)
    write(root, {"a/x.txt": "changed\n", "x.txt": "changed\n", "a/b/new.txt": "new\n"})
    assert changed_since(root / "a", "HEAD") == by_git(root / "a", "HEAD") == {"x.txt", "b/new.txt"}
    git(root, "worktree", "add", "-q", str(tmp_path / "linked"))
    write(tmp_path / "linked", {"y.txt": "changed\n"})
    same_as_git(tmp_path / "linked", "HEAD")


def test_submodules_and_files_in_their_place(make_repository: MakeRepository, tmp_path: Path) -> None:
    inner, root = make_repository({"i.txt": "i\n"}, "inner"), make_repository(FILES, "outer")
    git(root, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub")
    git(root, "commit", "-q", "-m", "a submodule")
    same_as_git(root, "HEAD", "HEAD~1")
    write(root / "sub", {"i.txt": "edited\n"})
    same_as_git(root, "HEAD")
    git(root / "sub", "commit", "-q", "-a", "-m", "inside")
    assert changed_since(root, "HEAD") == {"sub"}
    same_as_git(root, "HEAD", "HEAD~1")
    shutil.rmtree(root / "sub")
    same_as_git(root, "HEAD")
    (root / "sub").mkdir()
    same_as_git(root, "HEAD")
    (root / "sub").rmdir()
    (root / "sub").write_text("a file\n")
    same_as_git(root, "HEAD")


def test_conflicts_sparse_checkouts_and_strange_names(make_repository: MakeRepository) -> None:
    root = make_repository(
        FILES | {"new\nline  ctime: 1:1\n  mtime": "x\n", 'quo"te\\': "x\n", os.fsdecode(b"\xff.txt"): "x\n"}
    )
    git(root, "checkout", "-q", "-b", "side")
    write(root, {"x.txt": "side\n"})
    git(root, "commit", "-q", "-a", "-m", "side")
    git(root, "checkout", "-q", "-b", "other", "HEAD~1")
    write(root, {"x.txt": "other\n"})
    git(root, "commit", "-q", "-a", "-m", "other")
    subprocess.run(["git", "merge", "-q", "side"], cwd=root, capture_output=True, check=False)
    same_as_git(root, "HEAD", "side")
    git(root, "reset", "-q", "--hard")
    git(root, "sparse-checkout", "set", "a")
    assert not (root / "c d").exists()
    same_as_git(root, "HEAD", "side")


def test_line_ends_are_turned_back_as_git_does(make_repository: MakeRepository) -> None:
    rules = "*.auto text=auto\n*.crlf text eol=crlf\n*.id ident\n*.bin -text\n"
    files: dict[str, str | bytes] = dict.fromkeys(("a.auto", "b.crlf", "c.txt", "d.bin"), b"one\ntwo\n")
    root = make_repository({"mixed.auto": b"a\r\nb\n"})
    write(root, {".gitattributes": rules, **files, "e.id": "$Id$\n"})
    git(root, "add", ".gitattributes", *files, "e.id")
    git(root, "commit", "-q", "-m", "with rules")
    for name in files:
        (root / name).write_bytes(b"one\r\ntwo\r\n")
    (root / "e.id").write_bytes(b"$Id: 1234 $\n")
    (root / "mixed.auto").write_bytes(b"a\nb\n")
    same_as_git(root, "HEAD")
    assert changed_since(root, "HEAD") == {"c.txt", "d.bin", "mixed.auto"}
    git(root, "config", "core.autocrlf", "true")
    same_as_git(root, "HEAD")
    git(root, "config", "core.fileMode", "false")
    (root / "a.auto").chmod(0o755)
    same_as_git(root, "HEAD")


def test_a_file_of_lfs_is_compared_with_its_pointer(make_repository: MakeRepository) -> None:
    data = os.urandom(2_000)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(data).hexdigest()}\nsize 2000\n"
    root = make_repository(
        {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "a.bin": pointer, "b.bin": pointer}
    )
    assert changed_since(root, "HEAD") == set()
    (root / "a.bin").write_bytes(data)
    assert changed_since(root, "HEAD") == set()
    (root / "b.bin").write_bytes(data[:-1] + b"!")
    assert changed_since(root, "HEAD") == {"b.bin"}


def test_a_file_behind_a_filter_is_unchanged_as_long_as_its_stat_says_so(
    make_repository: MakeRepository, tmp_path: Path
) -> None:
    root = make_repository({"plain.txt": "x\n"})
    ran = tmp_path / "ran"
    git(root, "config", "filter.up.clean", f"touch {ran}; tr a-z A-Z")
    write(root, {".gitattributes": "*.up filter=up\n", "a.up": "lower\n"})
    old = 1_600_000_000
    os.utime(root / "a.up", (old, old))
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "filtered")
    ran.unlink()
    assert changed_since(root, "HEAD") == set()
    os.utime(root / "a.up")
    assert changed_since(root, "HEAD") == {"a.up"}  # only the filter could tell, and it is not run
    assert not ran.exists()


def test_ids_of_64_digits_and_a_repository_without_commits(tmp_path: Path) -> None:
    root = tmp_path / "project"
    write(root, FILES)
    git(root, "init", "-q", "--object-format=sha256")
    with pytest.raises(UserError):
        changed_since(root, "HEAD")
    assert not has_changes(root)
    git(root, "add", "-A")
    assert has_changes(root)
    git(root, "commit", "-q", "-m", "first")
    assert not has_changes(root)
    write(root, {"x.txt": "changed\n"})
    os.utime(root / "y.txt")
    assert changed_since(root, "HEAD") == {"x.txt"}
    assert has_changes(root)


def test_a_listing_in_a_form_that_is_not_known_is_not_believed(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(FILES)
    write(root, {"x.txt": "changed\n"})
    monkeypatch.setattr(worktree, "_ENTRY", worktree.re.compile(rb"another form"))
    same_as_git(root, "HEAD")


def test_what_is_staged_alone_is_a_change_of_a_clone(make_repository: MakeRepository) -> None:
    root = make_repository(FILES)
    before = (root / "x.txt").read_bytes()
    write(root, {"x.txt": "changed\n"})
    git(root, "add", "-A")
    (root / "x.txt").write_bytes(before)
    assert changed_since(root, "HEAD") == by_git(root, "HEAD") == set()
    assert has_changes(root)


def test_only_commands_that_read_no_file_are_run(tmp_path: Path) -> None:
    for command in (
        "diff HEAD",
        "status",
        "diff-index HEAD",
        "ls-files -m",
        "checkout x",
        "add x",
        "diff-files",
        "grep x",
    ):
        with pytest.raises(ValueError, match="only reads"):
            git_process.run(command.split(), tmp_path, None)


def test_a_repository_of_another_user_is_refused_until_a_person_allows_it(
    home: Path, make_repository: MakeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, own = (
        make_repository({"a.py": "def theirs(): pass\n"}, "th'eirs"),
        make_repository({"b.py": "def own(): pass\n"}, "own"),
    )
    with Workspace(home) as workspace:
        assert workspace.sync(own).status == workspace.sync(theirs).status == "completed"
        if os.geteuid() == 0:
            for path in (theirs, *theirs.rglob("*")):
                os.chown(path, 65534, 65534, follow_symlinks=False)
        else:  # what git's own tests use
            monkeypatch.setattr(
                git_process, "_OFFLINE", {**git_process._OFFLINE, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
            )
        with pytest.raises(Refused, match="another user") as caught:
            changed_since(theirs, "HEAD")
        assert caught.value.code == "dubious_ownership"
        assert "git config --global --add safe.directory" in caught.value.hint
        if os.geteuid() == 0:
            for full in (False, True):
                failed = workspace.sync(theirs, full=full)
                assert (failed.status, failed.errors[0].kind) == ("failed", "dubious_ownership")
            assert [info.name for info in workspace.discover([tmp_path])] == ["own"]
        with pytest.raises(Refused):
            workspace.search("theirs", str(theirs), changed_since="HEAD")
        if os.geteuid() == 0:
            write(own, {"b.py": "def own(): return 1\n"})
            answer = workspace.search("own", "*", changed_since="HEAD")
            assert [hit.path for hit in answer.hits] == ["b.py"]
            assert "another user" in (answer.freshness.reason or "")
        assert workspace.search("own", "own").hits
        with open(theirs / ".git/config", "a") as settings:
            settings.write("[core]\n\texcludesFile = /nowhere\n")
        assert deciding_files(theirs)  # the watcher goes on
        config = tmp_path / "gitconfig"
        config.write_text(f'[safe]\n\tdirectory = "{theirs}"\n')
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
        git_process.environment.cache_clear()
        assert changed_since(theirs, "HEAD") == set()
    git_process.environment.cache_clear()


def test_what_cannot_be_compared_is_said(make_repository: MakeRepository, tmp_path: Path) -> None:
    source = make_repository(FILES)
    write(source, {"a/x.txt": "changed\n"})
    git(source, "commit", "-q", "-a", "-m", "second")
    git(source, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=tree:0", source.as_uri(), "partial")
    with pytest.raises(Unavailable):
        changed_since(tmp_path / "partial", "HEAD~1")


def _configured(root: Path) -> Path:
    git(root, "config", "core.excludesFile", os.fspath(root / "pipe"))
    return root / "pipe"


PIPES = {
    "excludes of the repository": lambda root: root / ".git" / "info" / "exclude",
    "its settings": lambda root: root / ".git" / "config",
    "an ignore file below": lambda root: root / "shop" / ".gitignore",
    "what its settings name": _configured,
}


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="a process that waits is told by /proc")
@pytest.mark.parametrize("place", PIPES)
def test_a_pipe_that_git_opens_holds_nothing_up_for_long(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    root = make_repository({"shop/cart.py": "a = 1\n"})
    pipe = PIPES[place](root)
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    monkeypatch.setattr(git_process, "_STUCK_S", 0.3)
    monkeypatch.setattr(git_process, "_LOOK_S", 0.1)
    with pytest.raises(Unavailable, match=r"git [a-z-]+ waits for a file") as failure:
        changed_since(root, "HEAD")
    assert failure.value.code == "git_stuck"


def test_a_git_that_works_or_reads_is_waited_for(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository({f"f{number}.py": "a = 1\n" for number in range(300)})
    monkeypatch.setattr(git_process, "_LOOK_S", 0.0001)
    assert len(git_process.run(["ls-files", "-z"], root, root).stdout.split(b"\0")) == 301
    asked = b"\0".join(b"f%d.py" % number for number in range(300))
    said = git_process.run(["check-attr", "-z", "--stdin", "text"], root, root, input=asked)
    assert said.stdout.count(b"unspecified") == 300
