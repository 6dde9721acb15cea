"""`recollect doctor`: says what is wrong, and what is right stays unmentioned as a problem."""

from __future__ import annotations

import os
import resource
from contextlib import closing
from pathlib import Path

import pytest

from recollect.index import schema
from recollect.workspace import Workspace
from tests.conftest import MakeRepository, write


def problems(workspace: Workspace) -> dict[str, str]:
    return {finding.subject: finding.message for finding in workspace.diagnose() if finding.level == "problem"}


def test_a_sound_installation_has_no_problems(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "x = 1\n"})
    with Workspace(home) as workspace:
        workspace.sync(root)
        assert {subject: said for subject, said in problems(workspace).items() if subject != "disk"} == {}
        home.chmod(0o755)
        assert "permissions" in problems(workspace)


def test_too_few_open_files_for_all_repositories_are_a_problem(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Workspace(home) as workspace:
        assert "open files" not in problems(workspace)
        monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
        assert problems(workspace)["open files"].startswith("100 may be open")


def test_a_check_finds_what_no_stat_shows(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "first = 1\n", "b.py": "x = 1\n"})
    with Workspace(home) as workspace:
        workspace.sync(root)
        assert workspace.check("project").level == "ok"
        folder = next((home / "repositories").iterdir())
        stat = (root / "a.py").stat()
    (root / "a.py").write_text("other = 2\n"[:10])
    os.utime(root / "a.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with closing(schema.open_for_writing(folder)) as database:  # as if the change had left no trace in the file's stat
        now = (root / "a.py").stat()
        sql = "UPDATE entries SET mtime_ns = ?, ctime_ns = ?, inode = ?, size = ? WHERE path = ?"
        database.execute(sql, (now.st_mtime_ns, now.st_ctime_ns, now.st_ino, now.st_size, b"a.py"))
    with Workspace(home) as workspace:
        found = workspace.check("project")
        assert found.level == "problem"
        assert "1 out of date" in found.message
        assert workspace.check("project").level == "ok"
        assert workspace.search("other", "project").hits[0].path == "a.py"


def test_what_fails_or_is_missing_is_told_with_its_mend(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({"a.py": "x = 1\n"})
    with Workspace(home) as workspace:
        workspace.sync(root)
        root.rename(root.with_name("gone"))
        workspace.status("project")
        told = {finding.subject: finding for finding in workspace.diagnose()}
        assert "recollect forget" in told["project"].mend
        assert workspace.check("project").level == "note"
        write(root.with_name("gone"), {"b.py": "y = 2\n"})
