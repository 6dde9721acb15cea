"""Record a run, and lay out what power cuts may leave of it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.conftest import git, processes_of, write
from tests.power_cuts import recording, scenario
from tests.power_cuts.disk import Disk, Rest
from tests.power_cuts.recording import Kind


class Cut(NamedTuple):
    """A power cut after `moment` operations. `promises`: the calls made until then, the last perhaps without an answer."""

    moment: int
    rest: Rest
    promises: list[scenario.Promise]


def record(folder: Path) -> tuple[Path, Path, int]:
    """Do the run below `folder`: (what was recorded, its repository, inode of the recorded root)."""
    root, log, repository = folder / "disk", folder / "log", folder / "project"
    root.mkdir()
    repository.mkdir()

    def make(files: dict[str, str]) -> None:
        write(repository, files)
        git(repository, "init", "-q")
        git(repository, "add", "-A")
        git(repository, "commit", "-qm", "first")

    scenario.prepare(repository, make)
    library = recording.build_recorder(folder)
    command = [sys.executable, "-m", "tests.power_cuts.scenario", str(root / "home"), str(repository)]
    project = os.fspath(Path(__file__).parents[2])
    variables = {**os.environ, **recording.environment(library, root, log), "PYTHONPATH": project}
    try:  # outside the project, whose repository the memories would register
        subprocess.run([*command, str(root / "promises")], check=True, env=variables, cwd=folder)
    finally:
        for pid in processes_of(root / "home"):  # of a run that failed
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return log, repository, root.stat().st_ino


def cuts(log: Path, root_inode: int, count: int, choice: random.Random, target: Path) -> Iterator[Cut]:
    """Lay out in `target`, one after the other, what so many cuts may leave."""
    records = list(recording.read(log))
    begin = next(n for n, item in enumerate(records) if item.kind is Kind.LINK and item.name == b"promises")
    moments = sorted(choice.choices(range(begin + 1, len(records) + 1), k=count))
    disk, promises = Disk(root_inode), []
    done = 0
    for moment in moments:
        for item in records[done:moment]:
            disk.record(item)
            if item.kind is Kind.WRITE and item.name == b"promises":
                promises = _noted(promises, json.loads(item.data))
        done = moment
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        rest = choice.choice([Rest.LOST, Rest.FIRST, Rest.TORN, Rest.TORN, Rest.KEPT])
        disk.cut(target, rest, choice)
        (target / "home").mkdir(exist_ok=True)
        yield Cut(moment, rest, list(promises))


def _noted(promises: list[scenario.Promise], line: scenario.Promise) -> list[scenario.Promise]:
    """`promises` with one more line; an answer takes the place of its call."""
    return [*promises[:-1], line] if "result" in line else [*promises, line]
