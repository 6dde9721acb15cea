"""Which folders are repositories, and which are found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recollect.errors import Cancelled
from recollect.sync.discover import Listing, classify, discover, usual_folders
from tests.conftest import git, write


def repository(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    write(folder, files or {"main.py": "print()\n"})
    return folder


def names(*roots: Path, **options: object) -> set[str]:
    return {Path(info.path).name for info in discover(roots, **options).repositories}  # type: ignore[arg-type]


def test_what_a_folder_is() -> None:
    assert classify(Listing("/x", (".git", "src"), ("a.py",))) == ("git", (".git",))
    assert classify(Listing("/x", (), (".git", "a.py"))) == ("git", (".git",))  # a worktree or submodule
    assert classify(Listing("/x", (".hg",), ())) == ("mercurial", (".hg",))
    assert classify(Listing("/x", (".svn",), ())) == ("svn", (".svn",))
    assert classify(Listing("/x", ("objects", "refs"), ("HEAD", "config"))) == ("git", ("bare",))
    assert classify(Listing("/x", (), ("Cargo.toml", "App.sln", "README.md"))) == (
        "unknown",
        ("App.sln", "Cargo.toml", "README.md"),
    )
    assert classify(Listing("/x", ("src",), ("a.py",))) is None


def test_names_like_excluded_ones_are_found(tmp_path: Path) -> None:
    for name in ("environment-service", "my-builder", "distances", "targets", "env", "build", "dist", "node_modules"):
        repository(tmp_path / name)
    assert names(tmp_path) == {"environment-service", "my-builder", "distances", "targets"}


def test_sixty_siblings_are_all_found(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"r{number}" / ".git").mkdir(parents=True)
    assert len(discover([tmp_path]).repositories) == 60


def test_a_readme_in_the_parent_does_not_swallow_what_lies_below(tmp_path: Path) -> None:
    write(tmp_path, {"README.md": "mine", "Makefile": "all:", "a.py": "1", "b.py": "1", "c.py": "1"})
    repository(tmp_path / "one")
    repository(tmp_path / "deep/er/two")
    assert names(tmp_path) == {"one", "two"}


def test_projects_without_version_control(tmp_path: Path) -> None:
    code = {"a.go": "package a", "b.go": "package a", "c.go": "package a"}
    write(tmp_path / "enough", {"go.mod": "module x", **code})
    write(tmp_path / "below", {"pom.xml": "<x/>", **{f"src/main/{name}": text for name, text in code.items()}})
    write(tmp_path / "few", {"package.json": "{}", "a.js": "1", "b.js": "1"})
    write(tmp_path / "none", dict(code))
    write(
        tmp_path / "outer",
        {"package.json": "{}", "x.js": "1", **{f"packages/inner/{name}": text for name, text in code.items()}},
    )
    write(tmp_path / "outer/packages/inner", {"go.mod": "module inner"})
    inside = repository(tmp_path / "versioned")
    write(inside / "part", {"setup.py": "x", "a.py": "1", "b.py": "2", "c.py": "3"})
    assert names(tmp_path) == {"enough", "below", "inner", "versioned"}
    assert names(tmp_path, min_files=2) == {"enough", "below", "inner", "versioned", "few"}


def test_exclusions_hold_below_the_scan_path_only(tmp_path: Path) -> None:
    place = tmp_path / "build/vendor"
    repository(place / "lib")
    repository(place / "keep/dist")
    repository(place / "keep/other")
    assert names(place) == {"lib", "other"}
    assert names(place, exclude=["!dist"]) == {"lib", "other", "dist"}
    assert names(place, exclude=["other", "li*"]) == set()


def test_nested_ones_worktrees_and_bare_ones(tmp_path: Path) -> None:
    outer = repository(tmp_path / "outer")
    repository(outer / "libs/inner")
    git(outer, "add", "main.py")
    git(outer, "commit", "-q", "-m", "x")
    git(outer, "worktree", "add", "-q", str(tmp_path / "tree"))
    git(tmp_path, "clone", "-q", "--bare", str(outer), str(tmp_path / "bare.git"))
    found = {Path(info.path).name: info for info in discover([tmp_path]).repositories}
    assert found.keys() == {"outer", "inner", "tree", "bare.git"}
    assert found["bare.git"].indicators == ("bare",)


def test_depth_links_hidden_folders_and_unreadable_ones(tmp_path: Path) -> None:
    repository(tmp_path / "1/2/3/4/five")
    repository(tmp_path / "1/2/3/4/5/six")
    repository(tmp_path / ".dotfiles")
    repository(tmp_path / ".cache/something")
    outside = repository(tmp_path.parent / f"{tmp_path.name}-outside")
    (tmp_path / "link").symlink_to(outside)
    assert names(tmp_path) == {"five", ".dotfiles"}
    assert names(tmp_path, max_depth=6) == {"five", "six", ".dotfiles"}
    result = discover([tmp_path / "none"])
    assert result.repositories == ()
    assert [problem.kind for problem in result.problems] == ["unreadable"]


def test_what_is_told_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = repository(tmp_path / "big", **{"a.rs": "fn main() {}\n" * 1000, "b.py": "1\n"})
    git(big, "remote", "add", "origin", "https://user:secret@example.org/team/Better-Name.git")
    git(repository(tmp_path / "small"), "config", "remote.origin.prune", "true")  # a remote without a URL
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    infos = discover([Path("~")]).repositories
    assert [info.name for info in infos] == ["Better-Name", "small"]
    said = infos[0].to_dict()
    assert (said["language"], said["type"], said["indicators"], said["path"]) == (
        "rust",
        "git",
        [".git"],
        os.fspath(big),
    )
    assert said["size"] == 13_002
    assert "secret" not in str(said)


def test_a_scan_can_be_cancelled(tmp_path: Path) -> None:
    repository(tmp_path / "one")
    with pytest.raises(Cancelled):
        discover([tmp_path], cancelled=lambda: True)


def test_usual_folders_are_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "Documents/GitHub").mkdir(parents=True)
    assert usual_folders(tmp_path) == [tmp_path / "src", tmp_path / "Documents/GitHub"]
