"""What commits said, as a field of the files that they changed: found, kept up to date, and only what git can tell."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from recollect.model import RepositoryStatus
from recollect.sync import history
from recollect.workspace import Workspace
from tests.conftest import MakeRepository, git, wait_until, write

CODE = "def run(a):\n    return a\n"


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as made:
        yield made


def change(root: Path, path: str, subject: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text((target.read_text() if target.exists() else CODE) + "# more\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", subject)


def told(workspace: Workspace, query: str, repository: str = "project") -> dict[str, float]:
    """path → what its history adds."""
    hits = workspace.search(query, repository, explain=True).hits
    return {hit.path: hit.explain["history"] for hit in hits if hit.explain and "history" in hit.explain}


def test_a_file_is_found_by_what_a_commit_said(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": CODE, "b.py": CODE, "c.py": CODE})
    change(root, "b.py", "Avoid the thundering herd at midnight")
    workspace.sync(root)
    assert next(iter(told(workspace, "thundering herd"))) == "b.py"
    hit = workspace.search("thundering herd", "project", explain=True).hits[0]
    assert hit.explain is not None
    assert abs(sum(hit.explain.values()) - hit.score) < 0.01


def test_what_commits_alone_say_counts_more_than_what_sounds_alike(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    code = "def {0}_run(x):\n    return x + 1\n\n\ndef {0}_load(path):\n    with open(path) as f:\n        return f.read()\n"
    root = make_repository({f"{name}.py": code.format(name) for name in "abcdefgh"})
    change(root, "e.py", "Handle zanzibar overflow of wombats")
    workspace.sync(root)
    for query in ("zanzibar", "zanzibar overflow", "why do wombats overflow", "read overflow"):
        assert workspace.search(query, "project").hits[0].path == "e.py", query


def test_a_new_commit_is_read_without_any_file_changing(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": CODE, "b.py": CODE})
    workspace.sync(root)
    (root / "b.py").write_text(CODE + "x = 1\n")
    wait_until(lambda: workspace.search("x", "project").freshness.fresh)
    git(root, "commit", "-q", "-a", "-m", "Throttle the quokka")
    wait_until(lambda: list(told(workspace, "throttle quokka")) == ["b.py"])


def test_only_new_commits_are_looked_at(make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_repository({"a.py": CODE})
    change(root, "a.py", "one")
    first = history.read(root, {})
    assert first is not None
    change(root, "a.py", "two")
    asked: list[int] = []
    real = history._commits
    monkeypatch.setattr(
        history, "_commits", lambda root, ids, prefix: asked.append(len(ids)) or real(root, ids, prefix)
    )
    second = history.read(root, first)
    assert asked == [1]
    assert second == history.read(root, {})
    assert [commit.subject for commit in (second or {}).values()][:2] == ["two", "one"]
    assert history.load(history.dump(second or {})) == second


def test_a_folder_of_a_work_tree_has_its_part_of_the_history(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    root = make_repository({"lib/a.py": CODE, "other/b.py": CODE})
    change(root, "lib/a.py", "Balance the gyroscope")
    change(root, "other/b.py", "Paint the bikeshed")
    workspace.sync(root / "lib")
    assert list(told(workspace, "gyroscope", str(root / "lib"))) == ["a.py"]
    assert told(workspace, "bikeshed", str(root / "lib")) == {}


def test_a_shallow_clone_has_what_it_has(workspace: Workspace, make_repository: MakeRepository, tmp_path: Path) -> None:
    root = make_repository({f"{i}.py": CODE + f"# {i}\n" for i in range(12)})
    change(root, "1.py", "Untangle the spaghetti")
    change(root, "2.py", "Calibrate the barometer")
    subprocess.run(["git", "clone", "-q", "--depth", "2", f"file://{root}", str(tmp_path / "shallow")], check=True)
    workspace.sync(tmp_path / "shallow")
    where = str(tmp_path / "shallow")
    assert list(told(workspace, "barometer", where)) == ["2.py"]
    assert told(workspace, "spaghetti", where) == {}  # where it begins, each file is new


def test_what_a_partial_clone_left_out_is_not_fetched_whatever_its_configuration_says(
    workspace: Workspace, make_repository: MakeRepository, tmp_path: Path
) -> None:
    source = make_repository({"a.py": CODE, "lib/b.py": CODE}, "source")
    change(source, "lib/b.py", "Avoid the thundering herd")
    change(source, "lib/b.py", "Wake them one by one")
    git(source, "config", "uploadpack.allowFilter", "true")
    clone, other, ran = tmp_path / "clone", tmp_path / "other", tmp_path / "ran"
    for made in (clone, other):
        git(tmp_path, "clone", "-q", "--filter=tree:0", source.as_uri(), str(made))
        git(made, "config", "remote.origin.uploadpack", f"touch {ran}; git-upload-pack")
        git(made, "config", "protocol.file.allow", "always")
    git(other, "log", "--oneline", "--raw")
    assert ran.exists()  # so it would have been
    ran.unlink()
    assert workspace.sync(clone).total_files == 2
    write(clone, {"lib/b.py": "def edited(): pass\n"})
    assert workspace.search("edited", str(clone)).hits[0].path == "lib/b.py"
    assert told(workspace, "wake one by one", str(clone)) == {}
    assert not ran.exists()
    generation = status(workspace, "clone").generation
    workspace.sync(clone)
    assert status(workspace, "clone").generation == generation  # what it cannot tell is not asked for again


def test_a_moved_file_keeps_its_history(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": CODE, "b.py": CODE + "# b\n"})
    change(root, "a.py", "Mend the leaking faucet")
    git(root, "mv", "a.py", "moved.py")
    git(root, "commit", "-q", "-m", "Move it")
    workspace.sync(root)
    assert list(told(workspace, "leaking faucet")) == ["moved.py"]


def test_another_branch_has_another_history(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": CODE, "b.py": CODE})
    change(root, "a.py", "Polish the sextant")
    workspace.sync(root)
    git(root, "checkout", "-q", "-b", "side", "HEAD~1")
    change(root, "b.py", "Sharpen the chisel")
    workspace.sync(root)
    assert list(told(workspace, "chisel")) == ["b.py"]
    assert told(workspace, "sextant") == {}
    git(root, "checkout", "-q", "-")
    workspace.sync(root)
    assert list(told(workspace, "sextant")) == ["a.py"]


def test_large_commits_and_merges_say_nothing(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({f"{i}.py": CODE for i in range(12)})
    for i in range(12):
        (root / f"{i}.py").write_text(CODE + "# reformatted\n")
    git(root, "commit", "-q", "-a", "-m", "Reformat with zebra")
    workspace.sync(root)
    assert told(workspace, "zebra") == {}


def test_no_history_is_no_error(workspace: Workspace, tmp_path: Path, make_repository: MakeRepository) -> None:
    plain = tmp_path / "plain"
    write(plain, {"a.py": CODE})
    assert workspace.sync(plain).status == "completed"
    empty = tmp_path / "empty"
    write(empty, {"a.py": CODE})
    git(empty, "init", "-q")
    assert workspace.sync(empty).status == "completed"
    assert workspace.search("run", "empty").hits
    git(empty, "add", "-A")
    git(empty, "commit", "-q", "-m", "Ignite the lantern")
    workspace.sync(empty)
    assert list(told(workspace, "lantern", "empty")) == ["a.py"]


def test_a_file_that_is_gone_is_not_found_by_its_history(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": CODE, "b.py": CODE + "# b\n"})
    change(root, "a.py", "Feed the axolotl")
    workspace.sync(root)
    (root / "a.py").unlink()
    assert workspace.sync(root).status == "completed"
    assert [hit.path for hit in workspace.search("axolotl", "project").hits] in ([], ["b.py"])
    assert told(workspace, "axolotl") == {}
    (root / "a.py").write_text(CODE)
    workspace.sync(root)
    assert list(told(workspace, "axolotl")) == ["a.py"]


def status(workspace: Workspace, name: str = "project") -> RepositoryStatus:
    return workspace.status(name)


def test_nothing_new_is_no_generation(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": CODE})
    workspace.sync(root)
    before = status(workspace).generation
    workspace.sync(root)
    assert status(workspace).generation == before == 1
