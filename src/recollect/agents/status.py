"""How each agent of this machine stands to us: set up or not, with which hooks, and when it was last here."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from recollect.agents import documents, files, hooks, ours
from recollect.agents.known import Agent
from recollect.errors import UserError
from recollect.model import Finding
from recollect.records import dataclass
from recollect.workspace.last_seen import seen

_OFF: Final = {"disabled": True, "enabled": False}


@dataclass(frozen=True, slots=True)
class Status:
    """`installed`: the agent is here. `connected`: its configuration has an entry of ours that starts a program that is there."""

    name: str
    title: str
    installed: bool
    connected: bool
    configuration: str
    command: str | None = None
    hooks: tuple[str, ...] = ()
    hooks_wanted: int = 0
    disabled: bool = False
    last_seen_at: float | None = None
    problem: str | None = None


def statuses(agents: list[Agent], home: Path) -> list[Status]:
    """Those that are here, or have an entry of ours."""
    clients = {"".join(name.lower().split()): at_s for name, at_s in seen(home).items()}
    found = [_status(agent, clients) for agent in agents]
    return [one for one in found if one.installed or one.command is not None]


def _status(agent: Agent, clients: Mapping[str, float]) -> Status:
    entry: Any = None
    problem = None
    at: tuple[str, ...] = ()
    try:
        entry = documents.entry(agent.kind, files.read(agent.file) or "", agent.path)
        if agent.hooks is not None:
            at = tuple(hooks.installed(agent.hooks, files.read(agent.hooks.file) or ""))
    except UserError as error:
        problem = error.message
    words = ours.arguments(entry) if ours.is_server(entry) or ours.starts_indirectly(entry) else []
    there = bool(words) and shutil.which(str(words[0])) is not None
    if words and not there:
        problem = f"{words[0]} is not there"
    times = [at_s for name, at_s in clients.items() if name.startswith(agent.clients)]
    return Status(
        agent.name,
        agent.title,
        agent.is_here(),
        there,
        os.fspath(agent.file),
        " ".join(map(str, words)) or None,
        at,
        len(agent.hooks.events) if agent.hooks is not None else 0,
        isinstance(entry, Mapping) and any(entry.get(name) is value for name, value in _OFF.items()),
        max(times, default=None),
        problem,
    )


def facts(status: Status) -> dict[str, Any]:
    """For programs."""
    return asdict(status)


def finding(status: Status) -> Finding:
    """One line of `recollect doctor`."""
    parts = []
    level, mend = "ok", ""
    if status.problem is not None:
        level, parts = "problem" if status.command else "note", [f"{status.configuration}: {status.problem}"]
        mend = f"recollect install --agent {status.name}"
    elif not status.connected:
        level, parts = "note", ["installed, but not connected"]
        mend = f"recollect install --agent {status.name}"
    else:
        parts.append(f"connected ({status.configuration})")
        if status.disabled:
            level, mend = "note", f"It is switched off in {status.configuration}."
            parts.append("switched off")
        if status.hooks_wanted:
            parts.append(f"{len(status.hooks)} of {status.hooks_wanted} hooks")
        if not status.installed:
            parts.append("the agent itself was not found")
    if status.connected:
        parts.append("last seen " + (_ago(status.last_seen_at) if status.last_seen_at else "never"))
    return Finding(level, status.title, ", ".join(parts), mend)


def _ago(at_s: float) -> str:
    past_s = max(0.0, time.time() - at_s)
    for name, unit_s in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if past_s >= unit_s:
            number = int(past_s // unit_s)
            return f"{number} {name}{'s' if number > 1 else ''} ago"
    return "just now"
