"""Edit, then ask, in random ways: an answer that says it is fresh reflects everything that was written before it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from recollect.config import Settings
from recollect.workspace import Workspace
from tests.conftest import wait_until

FOLDERS = ("", "a", "a/b", "c", "build")  # git ignores the last one
NAMES = ("one.py", "two.py", "three.py")
ENVIRONMENT = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}


class EditThenAsk(RuleBasedStateMachine):
    """`marks`: what each file on the disk defines. After every edit it is asked for, and so is what it replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="rh-"))
        self.root = Path(tempfile.mkdtemp(prefix="rr-")) / "project"
        self.count = 0

    @initialize()
    def begin(self) -> None:
        self.root.mkdir()
        assert self.git("init", "-q", "-b", "main") == 0
        (self.root / ".gitignore").write_text("build/\n*.log\n")
        self.write(self.root / "one.py")
        self.commit()
        patient = Settings(recollect_fresh_budget_ms=20_000)  # however slow the machine is, an answer can be fresh
        self.workspace = Workspace(self.home, settings=patient)
        self.workspace.sync(self.root)
        wait_until(lambda: self.workspace.status("project").freshness.fresh)

    def teardown(self) -> None:
        if hasattr(self, "workspace"):
            self.workspace.close()
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.root.parent, ignore_errors=True)

    def git(self, *arguments: str) -> int:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
        return subprocess.run(command, cwd=self.root, check=False, capture_output=True, env=ENVIRONMENT).returncode

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "work")

    def write(self, path: Path) -> None:
        self.count += 1
        path.write_text(f"def marker_{self.count}_end():\n    return {self.count}\n")

    def ask(self) -> None:
        """The index holds exactly what the disk holds, if the answer says so."""
        disk = {}
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=self.root,
            capture_output=True,
            check=False,
            env=ENVIRONMENT,
        )
        assert listed.returncode == 0, listed.stderr
        for name in filter(None, listed.stdout.decode().split("\0")):
            if name.endswith(".py") and (self.root / name).is_file():
                disk[name] = (self.root / name).read_text()
        result = self.workspace.search("marker", "project", limit=100, snippet_lines=5)
        assert result.freshness.fresh, result.freshness.reason
        found = {}
        for hit in result.hits:  # files of equal content are one hit
            for path in (hit.path, *(other.removeprefix("project:") for other in hit.also_in)):
                found[path] = hit.snippet.strip()
        assert found == {name: text.strip() for name, text in disk.items()}

    folders, names = st.sampled_from(FOLDERS), st.sampled_from(NAMES)

    @rule(folder=folders, name=names)
    def edit(self, folder: str, name: str) -> None:
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        self.write(self.root / folder / name)
        self.ask()

    @rule(folder=folders, name=names)
    def replace_atomically(self, folder: str, name: str) -> None:
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        self.write(self.root / "draft.tmp")
        (self.root / "draft.tmp").replace(self.root / folder / name)
        self.ask()

    @rule(folder=folders, name=names)
    def delete(self, folder: str, name: str) -> None:
        (self.root / folder / name).unlink(missing_ok=True)
        self.ask()

    @rule(folder=st.sampled_from(FOLDERS[1:]))
    def delete_folder(self, folder: str) -> None:
        shutil.rmtree(self.root / folder, ignore_errors=True)
        self.ask()

    @rule(source=st.sampled_from(FOLDERS[1:]), to=st.sampled_from(("d", "a/e", "c/f")))
    def move_folder(self, source: str, to: str) -> None:
        inside = to.startswith(source + "/")
        if (
            not inside
            and (self.root / source).is_dir()
            and not (self.root / to).exists()
            and (self.root / to).parent.is_dir()
        ):
            (self.root / source).rename(self.root / to)
        self.ask()

    @rule(folder=folders, name=names, to=names)
    def rename(self, folder: str, name: str, to: str) -> None:
        if (self.root / folder / name).is_file():
            (self.root / folder / name).rename(self.root / folder / to)
        self.ask()

    @rule(branch=st.sampled_from(("main", "side")))
    def checkout(self, branch: str) -> None:
        self.commit()
        self.git("branch", branch)
        self.git("checkout", "-q", branch)
        self.ask()

    @rule()
    def stash(self) -> None:
        self.git("stash", "-u")
        self.ask()

    @rule()
    def unstash(self) -> None:
        if self.git("stash", "pop"):
            self.git("reset", "-q", "--hard")  # rather than files full of conflict marks
        self.ask()

    @rule(ignored=st.sampled_from(("build/\n*.log\n", "build/\na/\n", "two.py\n", "")))
    def ignore_otherwise(self, ignored: str) -> None:
        (self.root / ".gitignore").write_text(ignored)
        self.ask()

    @rule(name=names)
    def track_what_is_ignored(self, name: str) -> None:
        if (self.root / "build" / name).is_file():
            self.git("add", "-f", f"build/{name}")
        self.ask()

    @rule(name=names)
    def ignore_here_only(self, name: str) -> None:
        with open(self.root / ".git/info/exclude", "a") as file:
            file.write(f"c/{name}\n")
        self.ask()

    @rule(folder=folders)
    def touch_what_is_ignored(self, folder: str) -> None:
        if (self.root / folder).is_dir():
            (self.root / folder / "noise.log").write_text(str(self.count))
        self.ask()

    @rule()
    @precondition(lambda self: self.count > 10)
    def move_the_repository(self) -> None:
        """Away and back: the folder above it, which raises no event of its own."""
        parent = self.root.parent
        aside = parent.with_name(parent.name + "-aside")
        parent.rename(aside)
        gone = self.workspace.search("marker", "project")
        assert not gone.freshness.fresh
        shutil.copytree(aside, parent, symlinks=True)
        shutil.rmtree(aside)
        self.ask()


def test_no_answer_said_to_be_fresh_is_stale() -> None:
    steps = settings(
        max_examples=int(os.environ.get("STALE_EXAMPLES", "12")),
        stateful_step_count=int(os.environ.get("STALE_STEPS", "90")),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    run_state_machine_as_test(EditThenAsk, settings=steps)  # type: ignore[no-untyped-call]
