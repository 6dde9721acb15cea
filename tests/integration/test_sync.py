"""Syncs of a repository through the workspace and its real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from recollect.errors import Unavailable
from recollect.index import analyse
from recollect.index.writer import IndexWriter
from recollect.jobs.pool import NICE_ASKED, NICE_BACKGROUND, ParsePool, Task
from recollect.jobs.synchronise import _LOOK_S as LOOK_S
from recollect.jobs.synchronise import Control, Options, synchronise
from recollect.model import Progress, RepositoryState
from recollect.store import pages
from recollect.store.database import translated
from recollect.sync.ignore import INDEX_CHANGED, GitNames, Rules
from recollect.sync.scan import _RACY_NS, scan
from recollect.workspace import Caller, Workspace
from tests.conftest import SHOP, MakeRepository, command_of, git, processes_of, wait_until, write


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as made:
        yield made


def test_a_sync_says_what_it_did(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP)
    first = workspace.sync(root)
    assert (first.status, first.total_files, first.new_files, first.success_rate) == ("completed", 7, 7, 100.0)
    again = workspace.sync(root)
    assert (again.processed_files, again.unchanged_files, again.generation) == (0, 7, first.generation)
    write(root, {"shop/cart.py": "def changed(): pass\n", "new.py": "x = 1\n"})
    (root / "shop/session.py").unlink()
    third = workspace.sync(root)
    assert (third.new_files, third.modified_files, third.deleted_files, third.unchanged_files) == (1, 1, 1, 5)
    assert third.generation == first.generation + 1
    assert third.root_hash != first.root_hash


def test_a_deleted_file_leaves_at_once(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP)
    workspace.sync(root)
    assert workspace.search("sign_cookie", str(root)).hits[0].path == "shop/session.py"
    (root / "shop/session.py").unlink()
    workspace.sync(root)
    assert "shop/session.py" not in [hit.path for hit in workspace.search("sign_cookie", str(root)).hits]


def test_a_renamed_file_is_found_by_its_new_path(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP)
    workspace.sync(root)
    (root / "shop/session.py").rename(root / "shop/cookies.py")
    workspace.sync(root)
    assert workspace.search("sign_cookie", str(root)).hits[0].path == "shop/cookies.py"


def test_a_file_that_was_renamed_or_copied_is_not_parsed_again(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, {"a.py": "def parsed_once(): pass\n"})
    pool = ParsePool(tmp_path / "cache.db", 1)
    writer = IndexWriter(tmp_path / "index")
    synchronise(writer, root, pool, Options(), Control())
    (root / "a.py").rename(root / "b.py")
    key = analyse.cache_key(blake3(b"def parsed_once(): pass\n").digest(16), "b.py")
    assert pool.cache.get(key) is not None
    marked = analyse.to_cache(analyse.analyse(b"def from_the_cache(): pass\n", "b.py"))
    pool.cache.put_many([(key, marked)])
    synchronise(writer, root, pool, Options(), Control())
    names = {row[0] for row in writer._db.execute("SELECT name FROM symbols")}
    assert names == {"from_the_cache"}
    synchronise(writer, root, pool, Options(full=True), Control())
    assert {row[0] for row in writer._db.execute("SELECT name FROM symbols")} == {"parsed_once"}
    writer.close()
    pool.close()


def test_a_worker_that_did_much_is_renewed_once_it_is_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recollect.jobs.pool._IDLE_S", 0.3)
    monkeypatch.setattr("recollect.jobs.pool._MANY_FILES", 2)
    root = tmp_path / "root"
    write(root, {f"f{i}.py": f"def f_{i}(): pass\n" for i in range(3)})
    pool = ParsePool(tmp_path / "cache.db", 1)
    writer = IndexWriter(tmp_path / "index")
    synchronise(writer, root, pool, Options(), Control())
    first = pool._processes[0]
    wait_until(lambda: pool._processes[0] is not first)
    assert first.poll() is not None
    second = pool._processes[0]
    write(root, {"new.py": "def by_the_new_one(): pass\n"})
    result = synchronise(writer, root, pool, Options(), Control()).result
    assert (result.new_files, result.errors) == (1, ())
    assert "by_the_new_one" in [row[0] for row in writer._db.execute("SELECT name FROM symbols")]
    time.sleep(0.7)
    assert pool._processes[0] is second  # it did little
    writer.close()
    pool.close()


def test_odd_names_and_encodings_are_indexed(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({"a b/ü.py": "def umlaut_function(): pass\n"})
    Path(os.fsdecode(os.fsencode(root) + b"/bad\xff.py")).write_text("def in_a_file_with_a_bad_name(): pass\n")
    write(
        root,
        {"latin.py": "größe_latin = 1\n".encode("latin-1"), "wide.py": "def wide_function(): pass\n".encode("utf-16")},
    )
    assert workspace.sync(root).errors == ()
    for name, path in (
        ("umlaut_function", "a b/ü.py"),
        ("in_a_file_with_a_bad_name", "bad\\xff.py"),
        ("größe_latin", "latin.py"),
        ("wide_function", "wide.py"),
    ):
        assert workspace.search(name, str(root)).hits[0].path == path


def test_what_is_left_out_is_explained(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository(
        {**SHOP, ".env": "KEY=1\n", "logo.bin": b"\0\1\2", "package-lock.json": "{}\n", "huge.py": "x = 1\n" * 300_000}
    )
    write(root, {"build/out.py": "x = 1\n"})
    git(root, "init", "-q", "inner")
    write(root, {"inner/own.py": "x = 1\n"})
    (root / "link.py").symlink_to("shop/cart.py")
    os.mkfifo(root / "pipe")
    workspace.sync(root)
    reports = {report.path: (report.status, report.reason) for report in workspace.files("project")}
    assert reports[".env"] == ("skipped", "secret")
    assert reports["package-lock.json"] == ("skipped", "lock_file")
    assert reports["huge.py"] == ("skipped", "too_large")
    assert reports["logo.bin"] == ("skipped", "binary")
    caller = Caller(cwd=str(root))
    reasons = {
        name: workspace.why(name, caller=caller)["reason"] for name in ("build/out.py", "link.py", "pipe", "nothing.py")
    }
    assert reasons == {"build/out.py": "ignored", "link.py": "symlink", "pipe": "special", "nothing.py": "absent"}
    assert workspace.why("shop/cart.py", "total price of the cart", caller=caller)["rank"] == 1


def test_a_nested_repository_is_its_own(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({"outer.py": "def outer_function(): pass\n"})
    git(root, "init", "-q", "inner")
    write(root, {"inner/own.py": "def inner_function(): pass\n"})
    assert workspace.sync(root).nested_repositories == ("inner",)
    assert [hit.path for hit in workspace.search("inner_function", str(root)).hits if "own.py" in hit.path] == []
    assert workspace.search("inner_function", str(root / "inner")).hits[0].path == "own.py"
    assert {item.name for item in workspace.repositories().repositories} == {"project", "inner"}


def test_a_folder_without_git_works_too(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({**SHOP, "node_modules/x.js": "x\n", "build/y.py": "y\n"}, use_git=False)
    assert workspace.sync(root).total_files == 7


def test_an_empty_repository_is_no_failure(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({})
    result = workspace.sync(root)
    assert (result.status, result.total_files, result.chunks_total) == ("completed", 0, 0)
    assert workspace.search("anything", str(root)).hits == ()


def test_progress_never_goes_back_and_never_reads_100_before_the_end(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    root = make_repository({f"f{i}.py": f"def f_{i}():\n    return {i}\n" * 30 for i in range(400)})
    seen: list[Progress] = []
    workspace.sync(root, on_progress=seen.append)
    shares = [progress.percentage for progress in seen]
    assert shares == sorted(shares)
    assert max(shares) < 100
    assert all(progress.percentage == 0 for progress in seen if not progress.total_known)


def test_a_cancelled_sync_stops_and_the_next_goes_on(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository(
        {f"d{i % 9}/f{i}.py": f"def f_{i}(a, b):\n    return a + b + {i}\n\n\n" * 60 for i in range(1500)}
    )
    cancelled = threading.Event()

    def on_progress(progress: Progress) -> None:
        if progress.files_done > 100:
            cancelled.set()

    result = workspace.sync(root, on_progress=on_progress, cancelled=cancelled)
    assert result.status == "cancelled"
    assert workspace.sync_status("project").status == "cancelled"
    resumed = workspace.sync(root)
    assert (resumed.status, resumed.total_files) == ("completed", 1500)
    assert workspace.status("project").files == 1500


def test_waiting_for_a_sync_may_end_before_it(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({f"f{i}.py": f"def f_{i}():\n    return {i}\n" * 50 for i in range(800)})
    assert workspace.sync(root, wait_s=0.0).status == "running"
    assert workspace.sync(root).status == "completed"


def test_a_repository_that_vanished_is_missing_and_keeps_its_index(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    root = make_repository(SHOP)
    workspace.sync(root)
    moved = root.with_name("elsewhere")
    root.rename(moved)
    assert workspace.status("project").state is RepositoryState.MISSING
    hits = workspace.search("total_price", "project").hits
    assert hits[0].path == "shop/cart.py"
    assert workspace.read("shop/cart.py", repository="project").from_index
    moved.rename(root)
    assert workspace.sync("project").status == "completed"
    assert workspace.status("project").state is RepositoryState.READY


def test_a_repository_deleted_during_its_sync_is_missing_and_nothing_is_emptied(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    root = make_repository({f"f{i}.py": f"def f_{i}():\n    return {i}\n" * 20 for i in range(900)})
    workspace.sync(root)
    files = workspace.status("project").files
    shutil.rmtree(root)
    time.sleep(2.1)  # past the moment within which a question trusts the last check
    assert workspace.search("f_12", "project").hits
    status = workspace.status("project")
    assert (status.state, status.files) == (RepositoryState.MISSING, files)


def test_a_check_in_the_middle_of_a_deletion_waits_for_its_end(
    tmp_path: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository({f"{i % 9}/f{i}.py": f"def f_{i}():\n    return {i}\n" for i in range(900)})
    pool = ParsePool(tmp_path / "cache.db", 1)
    writer = IndexWriter(tmp_path / "index")
    synchronise(writer, root, pool, Options(), Control())
    before = (writer.generation, writer.root_hash)
    left = sorted(root.rglob("*.py"))
    looks = 0

    def delete(files: int) -> None:
        for path in left[:files]:
            path.unlink()
        del left[:files]

    def look_again(seconds: float) -> None:
        """A deletion that also pauses: between looks it goes on only now and then."""
        nonlocal looks
        if threading.current_thread() is not syncing or seconds != LOOK_S:
            sleep(seconds)  # what earlier tests left behind sleeps, too, and so does who waits for the end of git
            return
        looks += 1
        if looks % 4 == 1 and left:
            delete(200)
            if not left:
                shutil.rmtree(root)

    delete(400)
    syncing, sleep = threading.current_thread(), time.sleep
    monkeypatch.setattr(time, "sleep", look_again)
    with pytest.raises(Unavailable) as caught:
        synchronise(writer, root, pool, Options(), Control())
    assert (caught.value.to_dict()["code"], looks > 4, root.exists()) == ("missing", True, False)
    assert (writer.generation, writer.root_hash) == before
    writer.close()
    pool.close()


@pytest.mark.parametrize("by_git", [True, False])
def test_a_repository_that_goes_while_its_names_are_asked_for_is_missing(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch, by_git: bool
) -> None:
    root = make_repository(SHOP)
    if not by_git:
        shutil.rmtree(root / ".git")
    listed, seen = GitNames.listed, Rules.read

    def asked(names: GitNames) -> list[str] | None:
        found = listed(names)
        shutil.rmtree(root)
        return found

    def read(rules: Rules, base: str, folder: str, name: str) -> None:
        seen(rules, base, folder, name)
        shutil.rmtree(root, ignore_errors=True)

    if by_git:
        monkeypatch.setattr(GitNames, "listed", asked)
    else:
        monkeypatch.setattr(Rules, "read", read)
    with pytest.raises(Unavailable) as caught:
        scan(root)
    assert caught.value.to_dict()["code"] == "missing"


def test_many_deleted_files_leave_at_once(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({f"f{i}.py": f"def f_{i}():\n    return {i}\n" for i in range(200)})
    workspace.sync(root)
    for i in range(1, 200):
        (root / f"f{i}.py").unlink()
    answer = workspace.search("f_150", "project")
    assert (answer.freshness.fresh, [hit.path for hit in answer.hits]) == (True, ["f0.py"])


def test_a_repository_that_goes_while_it_is_synced_is_missing_and_keeps_its_index(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    root = make_repository({f"f{i}.py": f"def f_{i}(a):\n    return a + {i}\n\n" * 60 for i in range(1200)})
    workspace.sync(root)

    def on_progress(progress: Progress) -> None:
        if progress.files_done > 20 and root.exists():
            root.rename(root.with_name("gone"))

    result = workspace.sync(root, full=True, on_progress=on_progress)
    assert (result.status, result.errors[0].kind) == ("failed", "missing")
    status = workspace.status("project")
    assert (status.state, status.files) == (RepositoryState.MISSING, 1200)
    assert workspace.search("f_77", "project").hits[0].path == "f77.py"


def test_own_ignore_files_add_rules_and_take_back_in(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "a = 1\n", "b.gen.py": "b = 1\n", ".gitignore": "out/\n"})
    write(root, {"out/kept.py": "k = 1\n", "out/other.py": "o = 1\n", ".recollectignore": "*.gen.py\n!out/kept.py\n"})
    workspace.sync(root)
    paths = {report.path for report in workspace.files("project")}
    assert {"a.py", "out/kept.py"} <= paths
    assert not {"b.gen.py", "out/other.py"} & paths


def test_a_tree_that_lost_its_files_and_its_git_is_not_emptied(
    workspace: Workspace, make_repository: MakeRepository
) -> None:
    root = make_repository(SHOP)
    workspace.sync(root)
    shutil.rmtree(root)
    root.mkdir()
    result = workspace.sync(root)
    assert (result.status, result.errors[0].kind) == ("failed", "missing")
    assert workspace.status("project").files > 0


def test_an_unreadable_file_is_reported_and_tried_again(tmp_path: Path) -> None:
    pool = ParsePool(tmp_path / "cache.db", 1)
    writer = IndexWriter(tmp_path / "index")
    with tempfile.TemporaryDirectory() as folder:  # outside `tmp_path`, which is closed to everybody else
        root = Path(folder)
        root.chmod(0o755)
        write(root, {"a.py": "a = 1\n"})
        synchronise(writer, root, pool, Options(), Control())  # starts the worker while that is allowed
        write(root, {"b.py": "b = 1\n"})
        (root / "b.py").chmod(0)
        with as_nobody():
            result = synchronise(writer, root, pool, Options(), Control()).result
        assert [(error.path, error.kind) for error in result.errors] == [("b.py", "unreadable")]
        assert list(writer.failed_paths()) == ["b.py"]
    writer.close()
    pool.close()


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root reads everything: be somebody else for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, {"a.py": "def first(): pass\n"})
    pool = ParsePool(tmp_path / "cache.db", 1)
    writer = IndexWriter(tmp_path / "index")
    synchronise(writer, root, pool, Options(), Control())
    before = (writer.generation, writer.root_hash)
    count = writer._db.execute("PRAGMA page_count").fetchone()[0]
    writer._db.execute(f"PRAGMA max_page_count = {count}")
    write(root, {f"more{i}.py": f"def more_{i}(): pass\n" * 50 for i in range(50)})
    with pytest.raises(pages.Error) as caught:
        synchronise(writer, root, pool, Options(), Control())
    error = translated(caught.value, "the index")
    assert isinstance(error, Unavailable)
    assert error.to_dict()["code"] == "disk_full"
    assert (writer.generation, writer.root_hash) == before
    writer._db.execute("PRAGMA max_page_count = 1000000")
    assert synchronise(writer, root, pool, Options(), Control()).result.total_files == 51
    writer.close()
    pool.close()


def test_a_repository_beyond_the_limits_is_synced_only_when_asked_for(
    home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_MAX_REPOSITORY_FILES", "3")
    root = make_repository(SHOP)
    with Workspace(home) as workspace:
        assert workspace.search("cart", str(root)).hits == ()
        assert workspace.status("project").state is RepositoryState.TOO_LARGE
        assert workspace.sync(root).status == "completed"
        assert workspace.status("project").state is RepositoryState.READY


def test_a_file_that_appears_while_git_lists_is_found_by_the_next_scan(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository({"a/one.py": "1"})
    real = GitNames.listed

    def slow(self: GitNames, paths: Sequence[str] | None = None) -> list[str] | None:
        names = real(self, paths)
        write(root, {"a/late.py": "2"})
        time.sleep(0.1)  # longer than a stat counts as racy
        return names

    monkeypatch.setattr(GitNames, "listed", slow)
    first = scan(root)
    monkeypatch.setattr(GitNames, "listed", real)
    assert first.tree.get("a/late.py") is None
    assert scan(root, first.tree, signature=first.signature).tree.get("a/late.py") is not None
    assert scan(root, first.tree, signature=first.signature, dirty=["a"]).tree.get("a/late.py") is not None


def test_an_index_that_changes_while_git_lists_is_noticed_by_the_next_scan(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository({"a.py": "1"})
    write(root, {".gitignore": "b.py\n", "b.py": "2"})
    first = scan(root)
    real = GitNames.listed

    def slow(self: GitNames, paths: Sequence[str] | None = None) -> list[str] | None:
        names = real(self, paths)
        git(root, "add", "-f", "b.py")
        return names

    monkeypatch.setattr(GitNames, "listed", slow)
    write(root, {".gitignore": "b.py\n# touched\n"})
    second = scan(root, first.tree, signature=first.signature)
    monkeypatch.setattr(GitNames, "listed", real)
    assert second.tree.get("b.py") is None
    third = scan(root, second.tree, signature=second.signature, dirty=[INDEX_CHANGED])
    assert third.tree.get("b.py") is not None


def test_folders_that_come_with_a_dirty_name_are_told(tmp_path: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"top.py": "1"})
    writer, pool = IndexWriter(tmp_path / "index"), ParsePool(tmp_path / "cache.db", 1)
    synchronise(writer, root, pool, Options(), Control())
    write(root, {"a/b/one.py": "1", "a/c/two.py": "2"})
    ended = synchronise(writer, root, pool, Options(dirty=("a/b/one.py", "top.py")), Control())
    assert ended.partial
    assert set(ended.folders) == {"a", "a/b", "a/c"}
    writer.close()
    pool.close()


@pytest.mark.parametrize("use_git", [True, False])
def test_rules_that_change_while_names_are_listed_are_noticed_by_the_next_scan(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch, use_git: bool
) -> None:
    root = make_repository({"a/one.py": "1"}, use_git=use_git)
    write(root, {".gitignore": "b.py\n", "b.py": "2"})
    first = scan(root)
    write(root, {".gitignore": "b.py\nc.py\n"})
    real_names, real_read = GitNames.listed, Rules.read

    def then_change() -> None:
        write(root, {".gitignore": "c.py\n"})
        time.sleep(0.1)

    def listed(self: GitNames, paths: Sequence[str] | None = None) -> list[str] | None:
        names = real_names(self, paths)
        then_change()
        return names

    def read(self: Rules, base: str, folder: str, name: str) -> bool:
        found = real_read(self, base, folder, name)
        if found and not use_git:
            then_change()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(GitNames, "listed", listed)
        patched.setattr(Rules, "read", read)
        second = scan(root, first.tree, signature=first.signature)
    assert second.tree.get("b.py") is None
    third = scan(root, second.tree, signature=second.signature, dirty=[".gitignore"])
    assert third.tree.get("b.py") is not None


def test_a_content_that_comes_back_is_not_analysed_again(tmp_path: Path, make_repository: MakeRepository) -> None:
    root = make_repository({f"f{number}.py": f"def before_{number}(): pass\n" for number in range(20)})
    git(root, "checkout", "-q", "-b", "side")
    for number in range(10):
        (root / f"f{number}.py").write_text(f"def after_{number}(): pass\n")
    (root / "f11.py").unlink()
    git(root, "commit", "-q", "-a", "-m", "side")
    writer, pool = IndexWriter(tmp_path / "index"), ParsePool(tmp_path / "cache.db", 1)
    git(root, "checkout", "-q", "-")
    synchronise(writer, root, pool, Options(), Control())
    git(root, "checkout", "-q", "-")
    there = synchronise(writer, root, pool, Options(), Control()).result
    assert (there.modified_files, there.deleted_files, there.chunks_new) == (10, 1, 10)
    git(root, "checkout", "-q", "-")
    pool.close()  # whatever needs a worker from here on fails
    back = synchronise(writer, root, pool, Options(), Control()).result
    assert (back.modified_files, back.new_files, back.chunks_new) == (10, 1, 11)
    git(root, "checkout", "-q", "-")
    writer.close()
    writer = IndexWriter(tmp_path / "index")
    assert synchronise(writer, root, pool, Options(), Control()).result.modified_files == 10
    segments = writer._db.execute("SELECT count(*) FROM segments").fetchone()[0]
    assert segments == 2  # of the first sync, and of what the branch changed
    writer.close()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads have priorities of their own on Linux only")
def test_what_was_edited_is_analysed_ahead_of_the_rest_of_the_machine(tmp_path: Path) -> None:
    def threads() -> dict[int, tuple[int, int]]:
        """Of the worker, by id: (how nice it is, nanoseconds on a processor)."""
        found = {}
        for folder in Path(f"/proc/{process.pid}/task").iterdir():
            nice = int((folder / "stat").read_text().rpartition(")")[2].split()[16])
            found[int(folder.name)] = nice, int((folder / "schedstat").read_text().split()[0])
        return found

    pool = ParsePool(tmp_path / "cache.db", 1)
    pool.warm()
    wait_until(pool._ready)
    (process,) = pool._processes.values()
    at_first = os.nice(0)
    write(tmp_path, {"a.py": "def f():\n    return [1, 2, 3]\n\n\n" * 1_000})
    for nice in (0, NICE_BACKGROUND, NICE_ASKED, 0, NICE_BACKGROUND):
        before = threads()
        job = pool.submit([Task(str(tmp_path), "a.py", b"", 1, 1_000_000, use_cache=False, nice=nice)])
        assert [answer.outcome for answer in job.answers() if answer is not None] == ["done"]
        after = threads()
        spent: Counter[int] = Counter()  # by level: several threads share one where the tests run under `nice`
        for thread, (level, ran) in after.items():
            spent[level] += ran - before.get(thread, (0, 0))[1]
        assert max(spent, key=lambda level: spent[level]) == max(nice, at_first)
    assert after[process.pid][0] == at_first
    pool.close()


def test_the_indexer_is_in_the_session_of_its_daemon(
    home: Path, workspace: Workspace, make_repository: MakeRepository
) -> None:
    """Linux shares a processor out to sessions first: the indexer in one of its own would come before answers."""
    workspace.sync(make_repository(SHOP))
    found = {pid: command_of(pid) for pid in processes_of(home)}
    assert len(found) >= 2
    assert {os.getsid(pid) for pid in found} == {os.getsid(0)}
    indexer = next(pid for pid, command in found.items() if b"server.indexer" in command)
    assert {os.getpgid(pid) for pid in found} == {indexer}  # so that they can be ended together


def test_looking_at_a_repository_runs_nothing_that_it_names(
    workspace: Workspace, make_repository: MakeRepository, tmp_path: Path
) -> None:
    root = make_repository({**SHOP, ".gitattributes": "* filter=f diff=d merge=m\n"})
    ran = tmp_path / "ran"
    ran.mkdir()
    options = (
        "core.fsmonitor core.sshCommand core.gitProxy core.pager core.askPass core.alternateRefsCommand pager.ls-files "
        "pager.diff-tree credential.helper diff.external diff.d.command diff.d.textconv filter.f.clean filter.f.smudge "
        "filter.f.process gpg.program remote.origin.uploadpack uploadpack.packObjectsHook trailer.t.command"
    ).split()
    commands = "ls-files check-ignore diff-tree rev-list rev-parse config symbolic-ref status log remote".split()
    for option in (*options, *(f"alias.{command}" for command in commands)):
        shell = "!" if option.startswith("alias.") else ""
        git(root, "config", option, f"{shell}touch {ran / option}; false")
    git(root, "config", "log.showSignature", "true")
    for hook in ("post-index-change", "reference-transaction", "post-checkout", "fsmonitor-watchman"):
        path = root / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {ran / hook}\n")
        path.chmod(0o755)
    assert workspace.sync(root).total_files == len(SHOP) + 1
    write(root, {"new.py": "def added(): pass\n", "shop/cart.py": "def changed(): pass\n"})
    assert workspace.search("added", str(root)).hits[0].path == "new.py"
    workspace.map(str(root))
    workspace.sync(root, full=True)
    assert list(ran.iterdir()) == []
    subprocess.run(["git", "status"], cwd=root, capture_output=True)
    assert list(ran.iterdir())  # of what was set, git by itself runs some


@pytest.mark.timeout(20)
def test_a_file_that_becomes_a_pipe_while_it_is_looked_at_holds_nothing_up(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository({"a.py": "A = 1\n", "b.py": "B = 1\n"})
    real, victim = os.open, root / "a.py"
    written_ns = max(path.stat().st_ctime_ns for path in (victim, root / "b.py"))
    wait_until(lambda: time.time_ns() - written_ns > 2 * _RACY_NS)  # the stat of a racy file is not recorded

    def open_late(path: str, *args: Any, **kwargs: Any) -> int:
        if path == victim.name and victim.is_file():
            (root / "a.py").unlink()
            os.mkfifo(victim)
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", open_late)
        found = scan(root)
    assert (root / "a.py").is_fifo()
    again = scan(root, found.tree, signature=found.signature).tree
    assert again.get("b.py") == found.tree.get("b.py")
    assert again.get("a.py") != found.tree.get("a.py")
