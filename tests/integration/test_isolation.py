"""One repository never harms another: whatever its file system does, all questions answer for the others."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recollect.errors import Unavailable
from recollect.index.mapped import MappedFile
from recollect.index.writer import IndexWriter
from recollect.jobs.pool import ParsePool
from recollect.jobs.synchronise import Control, Options, synchronise
from recollect.model import Finding
from recollect.sync.scan import scan
from recollect.workspace import Caller, Workspace
from tests.conftest import MakeRepository, git, wait_until, write
from tests.faults import Faults, Hanging, failing, without_privileges
from tests.integration.test_sync import as_nobody

ERRNOS = [
    *(errno.EACCES, errno.EPERM, errno.ESTALE, errno.ENOTCONN, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG),
    *(errno.ENOENT, errno.ENOTDIR, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT, errno.EHOSTDOWN),
]
_names = [errno.errorcode[number] for number in ERRNOS]
HEALTHY = ("healthy", "other")


@pytest.fixture
def roots(make_repository: MakeRepository) -> dict[str, Path]:
    """Three repositories, of which one is to fail."""
    names = (*HEALTHY, "broken")
    return {
        name: make_repository({f"{name}.py": f"def cart_of_{name}():\n    return 'shopping cart'\n"}, name)
        for name in names
    }


@pytest.fixture
def workspace(home: Path, roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("RECOLLECT_FRESH_BUDGET_MS", "500")
    with Workspace(home) as opened:
        for root in roots.values():
            opened.sync(root)
        yield opened


def _rows(workspace: Workspace) -> dict[str, Any]:
    return {row.name: row for row in workspace.repositories().repositories}


def _sync_all(workspace: Workspace) -> None:
    results = {result.repository: result.status for result in workspace.sync_all()}
    assert {name: results[name] for name in HEALTHY} == dict.fromkeys(HEALTHY, "completed")
    assert "broken" in results


def _search(workspace: Workspace) -> None:
    found = {hit.repository for hit in workspace.search("shopping cart", "*").hits}
    assert set(HEALTHY) <= found


def _one(workspace: Workspace) -> None:
    assert workspace.search("shopping cart", "healthy").freshness.fresh


def _list(workspace: Workspace) -> None:
    rows = _rows(workspace)
    assert all(rows[name].state == "ready" for name in HEALTHY)
    assert "broken" in rows


def _statuses(workspace: Workspace) -> None:
    assert {status.name for status in workspace.statuses()} == {*HEALTHY, "broken"}


def _diagnose(workspace: Workspace) -> None:
    findings: list[Finding] = workspace.diagnose()
    assert not [item for item in findings if item.subject in HEALTHY]


def _pass(workspace: Workspace) -> None:
    assert workspace.auto_sync._tick() >= 0.0


def _status(workspace: Workspace) -> None:
    assert workspace.auto_sync.status().enabled


def _map_and_read(workspace: Workspace) -> None:
    assert "cart_of_other" in workspace.read("other.py", repository="other").text
    assert workspace.symbol("cart_of_other", "*").definitions


OPERATIONS: list[Callable[[Workspace], None]] = [
    *(_search, _one, _list, _statuses, _diagnose, _pass, _status, _map_and_read, _sync_all)
]


@pytest.mark.parametrize("number", ERRNOS, ids=_names)
def test_whatever_error_one_repository_gives_all_questions_answer_for_the_others(
    workspace: Workspace, roots: dict[str, Path], number: int
) -> None:
    with failing(Faults(roots["broken"], number)) as faults:
        for operation in OPERATIONS:
            operation(workspace)
    assert faults.came_to_fail
    workspace.sync("broken")
    assert _rows(workspace)["broken"].state == "ready"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_error_at_any_call_leaves_the_others_their_answers(
    workspace: Workspace, roots: dict[str, Path], operation: Callable[[Workspace], None]
) -> None:
    for first in range(200):
        with failing(Faults(roots["broken"], errno.EIO, first)) as faults:
            operation(workspace)
        if not faults.came_to_fail:
            return
        workspace._upkeep._recovered.add("broken")  # what is not tried again for a minute is not looked at, either
    raise AssertionError("it never came to an end")


def test_a_failing_repository_is_named_with_its_reason_and_when_it_is_tried_again(
    workspace: Workspace, roots: dict[str, Path]
) -> None:
    with failing(Faults(roots["broken"], errno.ESTALE)):
        answer = workspace.search("shopping cart", "*")
        row, status = _rows(workspace)["broken"], workspace.status("broken")
        findings = [item for item in workspace.diagnose() if item.subject == "broken"]
        [result] = [result for result in workspace.sync_all() if result.repository == "broken"]
    said = "Stale file handle"
    reason = answer.freshness.reason or ""
    assert (reason[:8], said in reason, "tried again in" in reason) == ("broken: ", True, True)
    assert (row.state, said in (row.failure or "")) == ("failed", True)
    assert (status.state, status.attempts) == ("failed", 1)
    assert None not in (status.next_sync_at, status.failing_since)
    assert said in (status.last_sync.errors[0].message if status.last_sync is not None else "")
    assert [(item.level, said in item.message) for item in findings] == [("problem", True)]
    assert result.status in ("failed", "completed")  # another process syncs, for which nothing fails here
    assert workspace.auto_sync.status().failing in (("broken",), ())


def test_what_can_be_looked_at_again_is_brought_up_to_date_by_the_next_question(
    workspace: Workspace, roots: dict[str, Path]
) -> None:
    with failing(Faults(roots["broken"], errno.EIO)):
        assert not workspace.search("shopping cart", "*").freshness.fresh
    write(roots["broken"], {"late.py": "def came_later(): pass\n"})
    wait_until(lambda: workspace.search("came later", "*").freshness.fresh)
    assert workspace.status("broken").attempts == 0


def test_our_own_lack_of_descriptors_is_no_fault_of_a_repository(workspace: Workspace, roots: dict[str, Path]) -> None:
    with failing(Faults(roots["broken"], errno.EMFILE)):
        workspace.search("shopping cart", "*")
        assert workspace.status("broken").attempts == 0


def test_nobody_waits_for_a_repository_whose_file_system_hangs(workspace: Workspace, roots: dict[str, Path]) -> None:
    faults = Hanging(roots["broken"])
    with failing(faults):
        try:
            answer = workspace.search("shopping cart", "*")
            for operation in OPERATIONS:
                operation(workspace)
            row = _rows(workspace)["broken"]
            inside = Caller(cwd=str(roots["broken"]))
            with pytest.raises(Unavailable, match="has not answered"):
                workspace.read("broken.py", repository="broken", caller=inside)
            assert workspace.search("shopping cart", caller=inside).hits  # of all others
        finally:
            faults.released.set()
    assert "has not answered" in (answer.freshness.reason or "")
    assert (row.state, "has not answered" in (row.failure or "")) == ("failed", True)
    wait_until(lambda: _rows(workspace)["broken"].state == "ready")


def test_a_repository_that_fails_at_the_start_lets_the_others_begin(home: Path, roots: dict[str, Path]) -> None:
    with Workspace(home) as opened:
        for root in roots.values():
            opened.sync(root)
        for item in opened._catalog.repositories():
            opened._catalog.update(item.id, wanted=1)
    with failing(Faults(roots["broken"], errno.EACCES)), Workspace(home) as opened:
        for operation in OPERATIONS:
            operation(opened)


@pytest.mark.parametrize("use_git", [True, False], ids=["git", "plain"])
@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE], ids=lambda n: errno.errorcode[n]
)
def test_a_scan_that_fails_at_any_call_invents_nothing_and_hides_nothing(
    make_repository: MakeRepository, number: int, use_git: bool
) -> None:
    files = {"a.py": "a = 1\n", "b/c.py": "c = 1\n", "b/d/e.py": "e = 1\n", ".gitignore": "*.log\n", "b/x.log": "x"}
    root = make_repository(files, use_git=use_git)
    (root / "link").symlink_to("a.py")
    whole = scan(root)
    names = {path for path, _ in whole.tree.root.walk("")}
    for first in range(1000):
        with failing(Faults(root, number, first, 1)) as faults:
            try:
                found = scan(root)
            except Unavailable:
                continue
        if not faults.came_to_fail:
            break
        missing = names - {path for path, _ in found.tree.root.walk("")}
        lost = [path for path in missing if not any(_holds(problem.path, path) for problem in found.problems)]
        assert lost == []
        again = scan(root, found.tree, signature=found.signature)
        assert (again.tree.root_hash, again.problems) == (whole.tree.root_hash, ())
    assert first > 10


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def test_a_closed_repository_leaves_the_command_line_whole(home: Path, tmp_path: Path) -> None:
    """As an ordinary user, with real modes."""
    command = shutil.which("recollect", path=os.path.dirname(os.path.abspath(sys.executable)))
    assert command is not None

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [command, *arguments], capture_output=True, text=True, cwd=tmp_path, preexec_fn=without_privileges
        )
        return done.returncode, done.stdout + done.stderr

    for name in ("healthy", "broken", "plain"):
        write(tmp_path / name, {f"{name}.py": f"def cart_of_{name}(): pass\n"})
        if name != "plain":
            git(tmp_path / name, "init", "-q")
    assert run("sync", *(str(tmp_path / name) for name in ("healthy", "broken", "plain")))[0] == 0
    closed = tmp_path / "broken" / ".git", tmp_path / "plain"
    try:
        for folder in closed:
            folder.chmod(0)
        code, said = run("search", "--all", "cart")
        assert (code, "healthy.py" in said, "Permission denied" in said) == (0, True, True)
        code, said = run("sync", "--all")
        assert (code, "healthy: completed" in said, said.count("Permission denied")) == (1, True, 2)
        code, said = run("list")
        assert (code, "failed" in said, "Permission denied" in said) == (0, True, True)
        assert run("doctor")[0] == 1
        assert run("search", "cart", "healthy")[0] == 0
    finally:
        for folder in closed:
            folder.chmod(0o755)
    code, said = run("sync", "--all")
    assert (code, said.count("completed")) == (0, 3)
    assert run("daemon", "stop")[0] == 0


def test_what_could_not_be_read_is_an_error_of_every_sync_until_it_can_be(tmp_path: Path) -> None:
    pool = ParsePool(tmp_path / "cache.db", 1)
    with tempfile.TemporaryDirectory() as folder:  # outside `tmp_path`, which is closed to everybody else
        root = Path(folder)
        root.chmod(0o755)
        write(root, {"a.py": "a = 1\n", "closed.py": "c = 1\n", "inner/b.py": "b = 1\n"})
        writer = IndexWriter(tmp_path / "index")
        synchronise(writer, root, pool, Options(), Control())  # starts the worker while that is allowed

        def errors(*dirty: str) -> list[tuple[str, str]]:
            options = Options(dirty=dirty) if dirty else Options()
            with as_nobody():
                result = synchronise(writer, root, pool, options, Control()).result
            assert (result.status, result.success_rate < 100) == ("completed", bool(result.errors))
            return sorted((error.path, error.kind) for error in result.errors)

        closed = [("closed.py", "unreadable"), ("inner", "unreadable")]
        (root / "closed.py").chmod(0)
        (root / "inner").chmod(0)
        assert errors() == closed
        write(root, {"a.py": "a = 2\n"})
        assert errors("a.py") == closed  # an edit of another file
        writer.close()
        writer = IndexWriter(tmp_path / "index")  # a start later
        assert errors("a.py") == closed
        assert errors() == closed
        (root / "inner").chmod(0o755)
        assert errors("inner") == [("closed.py", "unreadable")]
        (root / "closed.py").chmod(0o644)
        assert errors() == []
        assert writer.counts()["failed"] == 0
        writer.close()
    pool.close()


def test_a_file_that_can_be_read_again_is_indexed_though_its_stat_did_not_change(
    make_repository: MakeRepository,
) -> None:
    root = make_repository({"a.py": "a = 1\n"}, use_git=False)
    with failing(Faults(root / "a.py", errno.EIO, 1)):
        found = scan(root)
    assert [(problem.path, problem.kind) for problem in found.problems] == [("a.py", "unreadable")]
    again = scan(root, found.tree, signature=found.signature)
    assert (again.problems, again.tree.root_hash) == ((), scan(root).tree.root_hash)


@pytest.mark.parametrize("kind", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
@pytest.mark.parametrize("name", ["index.db", "index.db-wal"])
def test_what_is_no_file_in_the_place_of_an_index_is_made_again_and_waited_for_by_nobody(
    home: Path, roots: dict[str, Path], name: str, kind: Callable[[Path], None]
) -> None:
    with Workspace(home) as opened:
        for root in roots.values():
            opened.sync(root)
        broken = next(item.id for item in opened._catalog.repositories() if item.name == "broken")
        folder = home / "repositories" / broken
    for path in folder.glob(f"{name}*"):
        path.unlink()
    kind(folder / name)
    with Workspace(home) as opened:
        for operation in OPERATIONS:
            operation(opened)
        opened.sync("broken")
        assert {hit.repository for hit in opened.search("shopping cart", "*").hits} == {*HEALTHY, "broken"}


def test_a_pipe_in_the_place_of_a_segment_is_waited_for_by_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "segment")
    with pytest.raises((OSError, ValueError)):
        MappedFile(tmp_path / "segment")
