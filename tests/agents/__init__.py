"""Golden files of `recollect install`: `before/` is a home with every agent in it, `after/` the same home set up.

`python -m tests.agents` writes `after/` anew; look at the difference before you commit it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from recollect.agents import install
from recollect.agents.known import Agent, Places, agents

HERE = Path(__file__).parent
BEFORE, AFTER = HERE / "before", HERE / "after"
COMMAND = ["/opt/recollect/bin/recollect"]


def places(home: Path) -> Places:
    return Places.of({"HOME": str(home)}, "linux")


def set_up(home: Path, data: Path, names: list[str] | None = None) -> install.Plan:
    """Set up all agents of a home (or those named), as the command does."""
    made = install.plan(chosen(home, names), COMMAND, {}, data, force=False)
    install.apply(made, data)
    return made


def take_back(home: Path, data: Path, names: list[str] | None = None) -> install.Plan:
    made = install.plan_removal(chosen(home, names), data)
    install.apply_removal(made, data)
    return made


def chosen(home: Path, names: list[str] | None = None) -> list[Agent]:
    return [agent for agent in agents(places(home)) if names is None or agent.name in names]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def copied(target: Path, source: Path = BEFORE) -> Path:
    shutil.copytree(source, target)
    return target
