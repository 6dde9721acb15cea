"""`recollect install` and `uninstall`: agents' configurations, instructions and hooks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recollect.cli.output import JSON, as_json, content, line, note, style, table
from recollect.errors import UserError
from recollect.home import home_directory

if TYPE_CHECKING:  # every command's start would pay for them
    from recollect.agents import install as setting_up
    from recollect.agents import listing
    from recollect.agents.known import Agent, Places

_All = Annotated[
    list[str] | None,
    typer.Option("--agent", "-a", help="This agent (repeatable), or all: every one that is found here."),
]
_Project = Annotated[
    bool,
    typer.Option("--project", help="The instructions for this repository: AGENTS.md, and CLAUDE.md if it has one."),
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, as a diff, and change nothing.")]
_NONE = (
    "no coding agent was found here; --agent NAME sets one up all the same, and any other client needs only: "
    '{"mcpServers": {"recollect": {"command": "recollect", "args": ["mcp"]}}}'
)
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def install(
    agent: _All = None,
    project: _Project = False,
    list_: Annotated[bool, typer.Option("--list", help="The agents that are known, and which are here.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a server of the same name that is not ours, too.")
    ] = False,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Ask the agents afterwards what their own lists of servers say.")
    ] = True,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Set coding agents up: the MCP server, instructions, and hooks where an agent has them.

    Configurations are merged, never overwritten: comments and formatting stay, and each file is copied first to
    `backups/agents` in the data directory. Without --agent, those found here are shown and asked about. The agents'
    own variables (CLAUDE_CONFIG_DIR, CODEX_HOME, …) say where their files lie.

    Examples:

      recollect install

      recollect install --agent claude-code --agent cursor --dry-run

      recollect install --agent all --yes

      recollect install --project
    """
    from recollect.agents import install as setting_up
    from recollect.agents import listing
    from recollect.agents.known import Places, agents

    places = Places.of()
    known = agents(places)
    if list_:
        _list(known, json_)
        return
    home = home_directory()
    wanted: list[Agent] = []
    if project and not agent:
        made = setting_up.plan_project(Path.cwd())
    else:
        wanted = _chosen(known, agent)
        command, environment = setting_up.command_line(), setting_up.environment()
        made = setting_up.plan(wanted, command, environment, home, force=force)
        if project:
            also = setting_up.plan_project(Path.cwd())
            problems = (*made.problems, *also.problems)
            made = setting_up.Plan((*made.changes, *also.changes), problems, made.unchanged)
    outcome = _carry_out(
        made, dry_run, yes or bool(agent) or project, json_, lambda: setting_up.apply(made, home), _NONE
    )
    failed = {name for names, _ in outcome.problems for name in names.split(", ")}
    asked = [one for one in wanted if one.name not in failed] if check and not dry_run and outcome.agreed else []
    sights = listing.ask(asked, places.home)
    if json_:
        outcome.print(sights)
    else:
        if not (project and not agent):
            _others(wanted)
        for one in wanted:
            _moved(one, places)
        for sight in sights:
            (line if sight.state in ("connected", "listed") else note)(sight.sentence())
        if outcome.done and made.changes:
            line("Start the agents anew; then ask one: where is … in this repository?")
            for found in known:
                if found.note and any(found.name in change.agent.split(", ") for change in made.changes):
                    note(found.note)
    if outcome.problems:
        raise typer.Exit(1)


def uninstall(
    agent: _All = None,
    project: _Project = False,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Take back what `recollect install` wrote. The index and the memories stay.

    A file that nobody changed since gets back exactly what it was; from another only what is ours goes.

    Examples:

      recollect uninstall

      recollect uninstall --agent cursor --dry-run
    """
    from recollect.agents import install as setting_up
    from recollect.agents.known import Places, agents

    known, home = agents(Places.of()), home_directory()
    wanted = _chosen(known, agent, here=False) if agent or not project else []
    made = setting_up.plan_removal(wanted, home, project=Path.cwd() if project else None)
    agreed = yes or bool(agent) or project
    outcome = _carry_out(made, dry_run, agreed, json_, lambda: setting_up.apply_removal(made, home))
    if json_:
        outcome.print()
    if outcome.problems:
        raise typer.Exit(1)


def _chosen(known: list[Agent], names: list[str] | None, *, here: bool = True) -> list[Agent]:
    if not names or "all" in names:
        return [agent for agent in known if agent.is_here() or not here]
    by_name: dict[str, list[Agent]] = {}
    for agent in known:  # by its name, its program's, or its title, however written
        for name in {_plain(name) for name in (agent.name, agent.program, agent.title, *agent.aliases) if name}:
            by_name.setdefault(name, []).append(agent)
    chosen: dict[str, Agent] = {}
    for said in (part for name in names for part in name.split(",") if part.strip()):
        found = by_name.get(_plain(said), [])
        if not found:
            close = get_close_matches(_plain(said), by_name, 1, 0.5)
            listed = ", ".join(agent.name for agent in known)
            hint = f"Did you mean {by_name[close[0]][0].name}?" if close else f"Known: {listed}"
            raise UserError(f"no agent is called {said!r}", hint=hint, code="unknown_agent")
        # one name may be that of an editor's extension and of a program: those that are here, else the first
        chosen.update({one.name: one for one in [one for one in found if one.is_here()] or found[:1]})
    return list(chosen.values())


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _list(known: list[Agent], json_: bool) -> None:
    here = {one.name: one.is_here() for one in known}
    if json_:
        as_json(
            [{"name": one.name, "title": one.title, "here": here[one.name], "file": str(one.file)} for one in known]
        )
    else:
        table(
            [(one.name, one.title, "here" if here[one.name] else "-", str(one.file)) for one in known],
            ("name", "agent", "found", "configuration"),
        )


def _others(wanted: list[Agent]) -> None:
    """Say what was found that did the same before, and what to do with it."""
    from recollect.agents import install as setting_up
    from recollect.agents.known import Places

    for agent, server, said in setting_up.predecessors(wanted):
        note(f"{agent} has {server}, too: {said}. Two servers for one thing confuse an agent: take one out.")
    for path in setting_up.old_memories(Places.of()):
        note(f"memories of mcp-memory-service were found; to bring them along: recollect memory import {path}")


def _moved(agent: Agent, places: Places) -> None:
    """Say where a variable's value depends on who reads it."""
    for name, value in agent.moved:
        if not value.startswith("/"):
            note(
                f"{name} is {value}; here that is {places.named(name)}. {agent.title} may read it otherwise where it is "
                "started: write the whole path."
            )


@dataclass
class _Outcome:
    """What came of a plan. `agreed`: nobody refused it."""

    plan: setting_up.Plan
    problems: list[tuple[str, str]]
    agreed: bool = False
    done: bool = False

    def print(self, sights: Sequence[listing.Sight] = ()) -> None:
        changes = [
            {"agent": one.agent, "part": one.part, "path": str(one.path), "diff": one.diff()}
            for one in self.plan.changes
        ]
        as_json(
            {
                "changes": changes,
                "done": self.done,
                "problems": [{"agent": name, "message": said} for name, said in self.problems],
                "unchanged": list(self.plan.unchanged),
                "checks": [
                    {"agent": one.agent, "command": one.command, "state": one.state, "said": one.said} for one in sights
                ],
            }
        )


def _carry_out(
    made: setting_up.Plan, dry_run: bool, agreed: bool, json_: bool, apply: Any, empty: str = "nothing to take back"
) -> _Outcome:
    """Show a plan, ask if need be, do it."""
    outcome = _Outcome(made, list(made.problems), agreed=agreed or not made.changes)
    _show_problems(made.problems)
    if not json_:
        for change in made.changes:
            if dry_run:
                _show_diff(change.diff())
            else:
                verb = "remove" if change.after is None else "write" if change.before is None else "change"
                line(f"{style(change.agent, bold=True)}: {verb} {change.path} ({change.part})")
        if not made.changes and not made.problems:
            what = f"set up already: {', '.join(made.unchanged)}" if made.unchanged else empty
            line(f"{what} (recollect install --list shows which agents are known)")
    if made.changes and not dry_run:
        if not agreed:
            if json_ or not sys.stdin.isatty():
                raise UserError(
                    "nobody can be asked here", hint="Add --yes, or name them: --agent NAME", code="no_terminal"
                )
            outcome.agreed = typer.confirm("Go on?", err=True)
        if outcome.agreed:
            failed = apply()
            _show_problems(failed)
            outcome.problems += failed
            outcome.done = len(failed) < len(made.changes)
    return outcome


def _show_problems(problems: Sequence[tuple[str, str]]) -> None:
    for name, said in problems:
        first, *rest = said.split("\n")
        note(f"{name}: {first}")
        for one in rest:
            note(f"    {one}")


def _show_diff(diff: str) -> None:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for one in diff.removesuffix("\n").split("\n"):
        content(style(one, fg=colours[one[0]]) if one[:1] in colours else one)
