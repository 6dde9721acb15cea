"""Setting agents up: what would change is worked out as whole texts, shown, backed up, written, and can be taken back.

What was written is recorded in `installed.json` of the home, with a copy of each file as it was before. A file that nobody
touched since gets exactly those bytes back; from one that was changed since, only what is ours is taken out.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from recollect.agents import backups, documents, files, hooks, ours
from recollect.agents.known import SERVER, Agent, Places
from recollect.errors import UserError
from recollect.home import home_directory
from recollect.records import dataclass

INSTRUCTIONS: Final = """\
## Recollect: code search and memory

- To find code, call `search_code` (words, a question, or a symbol) before grep or listing files; `find_symbol` for where a
  name is defined and used; `get_repo_map` first in a repository that you do not know. Results reflect the files as they are now.
- At the start of a task call `retrieve_memory` with what the task is about.
- When something was decided, learned or asked for that the next session needs, keep it with `store_memory` (one fact each,
  with its reason).
"""
_SUBAGENTS: Final = """\
- Some sub-agents cannot call these tools. When you start one, tell it to use the command line instead:
  `recollect search "words or a question"`, `recollect symbol NAME`, `recollect map`, `recollect recall "a topic"`
  (if there is no such command: `{0}`).
"""
_RECORD: Final = "installed.json"
_STARTS: Final = {"command", "cmd", "url", "uri", "httpUrl", "serverUrl"}  # without any of these an entry is no server


@dataclass(frozen=True, slots=True)
class Change:
    """A file that becomes another. `before` is None where it is not there, `after` None where it goes."""

    agent: str
    part: str  # server | instructions | hooks
    path: Path
    before: str | None
    after: str | None

    def diff(self) -> str:
        """As `diff -u` writes it."""
        name = str(self.path)
        lines = difflib.unified_diff(
            (self.before or "").splitlines(keepends=True),
            (self.after or "").splitlines(keepends=True),
            name if self.before is not None else "/dev/null",
            name if self.after is not None else "/dev/null",
        )
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Plan:
    """What setting up, or taking back, would change; `problems`: what it leaves alone, and why.

    `released`: (file, agent) of what one agent does not need any longer, and another does.
    """

    changes: tuple[Change, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    unchanged: tuple[str, ...] = ()
    released: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Record:
    """What was written to a file: the text's hash, and which copy is from before (None: there was no file).

    `exact`: nobody but us wrote to it between the copy and now, so that the copy is the state to come back to.
    `block`: the hash of our instructions in it, by which an edit of them is known. `folders`: made for it.
    """

    agents: list[str] = field(default_factory=list)
    digest: str = ""
    copy: str | None = None
    exact: bool = True
    block: str = ""
    folders: list[str] = field(default_factory=list)


def command_line(executable: str = sys.executable, argv0: str = sys.argv[0]) -> list[str]:
    """How an agent starts Recollect: by an absolute path, for agents with windows do not have a shell's PATH."""
    beside = Path(executable).with_name("recollect")
    for found in (argv0 if Path(argv0).name == "recollect" else None, os.fspath(beside), shutil.which("recollect")):
        if found and os.path.isabs(found) and os.access(found, os.X_OK):
            return [found]
    return [executable, "-m", "recollect"]


def environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Of the environment, what an agent's Recollect must have, too: a data directory of one's own."""
    return {"RECOLLECT_HOME": os.fspath(home_directory(given))} if given.get("RECOLLECT_HOME", "").strip() else {}


# -- plans ------------------------------------------------------------------------------------------------------------


def plan(agents: Iterable[Agent], command: list[str], env: Mapping[str, str], home: Path, *, force: bool) -> Plan:
    """What setting these agents up would change."""
    texts = _Texts(_records(home))
    problems: list[tuple[str, str]] = []
    unchanged: list[str] = []
    for agent in agents:
        before = len(texts.changes), len(problems)
        for part, path, change, by_hand in _parts(agent, command, env, texts, force=force):
            try:
                texts.edit(agent.name, part, path, change)
            except UserError as error:
                problems.append((agent.name, _left_alone(agent, path, error.message, by_hand)))
                if part == "server":
                    break  # the rest would tell the agent of tools that it does not have
        if (len(texts.changes), len(problems)) == before:
            unchanged.append(agent.name)
    return Plan(tuple(texts.merged()), tuple(problems), tuple(unchanged))


def _parts(
    agent: Agent, command: list[str], env: Mapping[str, str], texts: _Texts, *, force: bool
) -> list[tuple[str, Path, Callable[[str], str], str]]:
    """(part, file, what becomes of its text, what somebody would add to it by hand)."""
    entry = agent.entry([*command, ours.SERVE], env)
    said = INSTRUCTIONS
    if agent.subagents:
        said += _SUBAGENTS.format(ours.command_line(command, env))
    parts: list[tuple[str, Path, Callable[[str], str], str]] = [
        (
            "server",
            agent.file,
            partial(_with_server, agent, entry, force),
            agent.kind.dumped(agent.path, entry),
        )
    ]
    if agent.instructions is not None:
        edited = texts.record(agent.instructions)

        def instructions(text: str) -> str:
            there = documents.block(text)
            if there is not None and edited.block not in ("", _digest(there)) and not force:
                return text  # somebody wrote something else there, which stays
            return documents.with_block(text, said)

        parts.append(("instructions", agent.instructions, instructions, documents.with_block("", said)))
    if agent.hooks is not None:
        add = partial(hooks.with_hooks, hooks=agent.hooks, agent=agent.name, command=command, env=env)
        parts.append(("hooks", agent.hooks.file, add, add("")))
    return parts


def _left_alone(agent: Agent, path: Path, message: str, by_hand: str) -> str:
    moved = ", ".join(f"{name}={value}" for name, value in agent.moved)
    where = f"{path} ({moved})" if moved else f"{path}"
    return f"{where}: {message}. It is left as it is. By hand, what must be in it:\n{by_hand.rstrip()}"


def _with_server(agent: Agent, entry: dict[str, Any], force: bool, text: str) -> str:
    there = documents.entry(agent.kind, text, agent.path)
    if ours.is_server(there):
        members = _outdated(there, entry)
        return documents.with_members(agent.kind, text, agent.path, members) if members else text
    if isinstance(there, Mapping) and there and not _STARTS.intersection(there):  # approvals for it, say
        members = {(name,): value for name, value in entry.items()}
        return documents.with_members(agent.kind, text, agent.path, members)
    if there is None or force:
        return documents.with_entry(agent.kind, text, agent.path, entry)
    if ours.starts_indirectly(there):
        return text  # somebody starts it in their own way
    raise UserError(f"it has another server called {SERVER} already (--force replaces it)", code="taken")


def _outdated(there: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """The members of our entry that must change: what starts the program. All else is its owner's."""
    members: dict[tuple[str, ...], Any] = {}
    words, wanted = ours.arguments(there), ours.arguments(entry)
    length = ours.program_length(words)
    if words[: length + 1] != wanted:
        words = [*wanted, *words[length + 1 :]]
        name = "cmd" if "cmd" in entry else "command"
        whole = isinstance(entry[name], list)
        members[name,] = words if whole else words[0]
        if not whole and there.get("args") != words[1:]:
            members["args",] = words[1:]
    if "type" in entry and "type" not in there:
        members["type",] = entry["type"]
    for name in ("env", "environment", "envs"):
        given, known = entry.get(name) or {}, there.get(name)
        for variable, value in given.items():
            if not isinstance(known, Mapping) or known.get(variable) != value:
                members[name, variable] = value
    return members


def plan_project(folder: Path) -> Plan:
    """The instructions for one repository: into its AGENTS.md, and into CLAUDE.md where it has one."""
    texts = _Texts({})
    problems: list[tuple[str, str]] = []
    claude = folder / "CLAUDE.md"
    for path in (folder / "AGENTS.md", claude):
        try:
            there = texts.text(path)
            if path == claude and (there is None or claude.is_symlink() or "@AGENTS.md" in there):
                continue
            texts.edit("project", "instructions", path, lambda text: documents.with_block(text, INSTRUCTIONS))
        except UserError as error:
            problems.append(("project", f"{path}: {error.message}. It is left as it is"))
    return Plan(tuple(texts.merged()), tuple(problems))


def plan_removal(agents: Iterable[Agent], home: Path, *, project: Path | None = None) -> Plan:
    """What taking it back would change: of these agents, and of a project."""
    records = _records(home)
    texts = _Texts(records)
    problems: list[tuple[str, str]] = []
    released: list[tuple[str, str]] = []
    handled: set[str] = set()
    wanted = list(agents)
    names = {agent.name for agent in wanted}
    for agent in wanted:
        edits: list[tuple[str, Path, Callable[[str, str | None], str]]] = [
            ("server", agent.file, partial(_without_server, agent, texts))
        ]
        if agent.instructions is not None:
            edits.append(("instructions", agent.instructions, _without_block))
        if agent.hooks is not None:
            edits.append(("hooks", agent.hooks.file, partial(hooks.without_hooks, agent.hooks)))
        for part, path, change in edits:
            shared = set(texts.record(path).agents) - names
            handled.update((os.path.realpath(path), str(path)))
            try:
                if part != "instructions" or not shared:
                    texts.remove(agent.name, part, path, change, home, exactly=not shared)
                released.extend([(os.path.realpath(path), agent.name), (str(path), agent.name)])
            except UserError as error:
                problem = agent.name, f"{path}: {error.message}. It is left as it is"
                if problem not in problems and texts.may_hold_ours(path):
                    problems.append(problem)
    for name, record in sorted(records.items()):
        if name not in handled and names & set(record.agents) and texts.may_hold_ours(Path(name)):
            said = (
                "it was written while the agent's folder lay there; set its variable (CODEX_HOME or the like) as then"
            )
            problems.append((", ".join(sorted(names & set(record.agents))), f"{name}: {said}, and run this again"))
    if project is not None:
        for path in (project / "AGENTS.md", project / "CLAUDE.md"):
            if path.is_symlink():
                continue
            try:
                texts.remove("project", "instructions", path, _without_block, home)
                released.append((os.path.realpath(path), "project"))
            except UserError as error:
                problems.append(("project", f"{path}: {error.message}. It is left as it is"))
    return Plan(tuple(texts.merged()), tuple(problems), released=tuple(released))


def _without_server(agent: Agent, texts: _Texts, text: str, was: str | None) -> str:
    there = documents.entry(agent.kind, text, agent.path)
    written = bool(texts.record(agent.file).digest)  # by us; somebody may have put another program around ours since
    if not ours.is_server(there) and not (written and ours.starts_indirectly(there)):
        return text
    try:
        before = documents.entry(agent.kind, was or "", agent.path)
    except UserError:
        before = None
    if before is not None and not ours.is_server(before):  # what --force replaced
        return documents.with_entry(agent.kind, text, agent.path, before)
    return documents.without_entry(agent.kind, text, agent.path, was)


def _without_block(text: str, was: str | None) -> str:
    return documents.without_block(text)


class _Texts:
    """Files as they are and as they are to be; one file may be changed for several parts or agents, by several names."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self.changes: list[Change] = []
        self._now: dict[str, str | None] = {}
        self._records = records

    def record(self, path: Path) -> Record:
        """What was written to it, by whichever of its names; an empty one where nothing was."""
        return self._records.get(os.path.realpath(path)) or self._records.get(str(path)) or Record()

    def text(self, path: Path) -> str | None:
        name = os.path.realpath(path)
        if name not in self._now:
            self._now[name] = files.read(path)
        return self._now[name]

    def may_hold_ours(self, path: Path) -> bool:
        """Whether there can be anything of ours in a file that is not understood."""
        try:
            return SERVER in (self.text(path) or "")
        except UserError:
            return bool(self.record(path).digest)

    def edit(self, agent: str, part: str, path: Path, change: Callable[[str], str]) -> None:
        before = self.text(path)
        after = change(before or "")
        self._put(agent, part, path, before, after if before is not None or after else None)

    def remove(
        self,
        agent: str,
        part: str,
        path: Path,
        change: Callable[[str, str | None], str],
        home: Path,
        *,
        exactly: bool = True,
    ) -> None:
        """Take one part out of a file; where nobody touched it since, put the bytes of before back."""
        text = self.text(path)
        if text is None:
            return
        record = self.record(path)
        was = backups.read(home, record.copy) if record.copy is not None else None
        untouched = exactly and record.digest and record.exact and _digest(text) == record.digest
        if untouched and record.copy is None:
            self._put(agent, part, path, text, None)
            return
        # what we wrote at another time may be in the copy, too
        changed = change(was, was) if untouched and was is not None else change(text, was)
        if was and not was.endswith("\n") and changed != text and text.startswith(changed):
            changed = changed.removesuffix("\n").removesuffix("\r")  # the end of line that ours began with
        gone = not changed.strip() and record.digest and record.copy is None
        self._put(agent, part, path, text, None if gone else changed)

    def _put(self, agent: str, part: str, path: Path, before: str | None, after: str | None) -> None:
        if before != after:
            files.check_writable(path)
            self._now[os.path.realpath(path)] = after
            self.changes.append(Change(agent, part, path, before, after))

    def merged(self) -> list[Change]:
        """One change a file, from what it is to what it shall be."""
        found: dict[str, Change] = {}
        for change in self.changes:
            known = found.get(os.path.realpath(change.path), change)
            found[os.path.realpath(change.path)] = Change(
                known.agent if change.agent in known.agent.split(", ") else f"{known.agent}, {change.agent}",
                known.part if change.part in known.part.split(", ") else f"{known.part}, {change.part}",
                known.path,
                known.before,
                change.after,
            )
        return [change for change in found.values() if change.before != change.after]


# -- those that did the same before -----------------------------------------------------------------------------------

_BEFORE: Final = {  # what a server's name or command holds → what may be said of it
    "claude-context": "its tools' names are understood here too; its index is not needed any longer",
    "codebase-memory": "Recollect does the same from one index for all agents",
    "semble": "its tools' names are understood here too",
    "mcp-code-understanding": "its tools' names are understood here too",
    "rust-code-mcp": "its tools' names are understood here too",
    "mcp-memory-service": "its tools' names are understood here too",
    "memory_service": "its tools' names are understood here too",
    "server-memory": "recollect memory import reads its JSON Lines",
}


def predecessors(agents: Iterable[Agent]) -> list[tuple[str, str, str]]:
    """(agent, server, what to know) of servers that are configured and do what Recollect does."""
    found = []
    for agent in agents:
        try:
            text = agent.file.read_bytes().decode()
            servers = documents.servers(agent.kind, text, agent.path)
        except (OSError, UnicodeDecodeError, UserError):
            continue
        for name, entry in servers.items():
            said = f"{name} {json.dumps(entry, default=str)}".lower()
            known = next((word for word in _BEFORE if word in said), None)
            if known is not None and name != SERVER:
                found.append((agent.title, str(name), _BEFORE[known]))
    return found


def old_memories(places: Places) -> list[Path]:
    """Databases of mcp-memory-service where it keeps them by default."""
    folders = (places.home / ".local" / "share" / "mcp-memory", places.applications / "mcp-memory")
    return [path for folder in folders if (path := folder / "sqlite_vec.db").is_file()]


# -- writing ----------------------------------------------------------------------------------------------------------


def apply(made: Plan, home: Path) -> list[tuple[str, str]]:
    """Write what a plan says, each file copied before; (agent, why) of those that could not be written."""
    records = _records(home)
    problems = []
    for change in made.changes:
        name = os.path.realpath(change.path)
        try:
            files.check_unchanged(change.path, change.before)
            record = records.get(name) or records.pop(str(change.path), None) or Record()
            copy = backups.keep(home, name, change.before, pinned=record.copy)
            if not record.digest:
                record.copy = copy
            elif _digest(change.before or "") != record.digest:
                record.exact = False
            record.agents = sorted({*record.agents, *change.agent.split(", ")})
            record.digest = _digest(change.after or "")
            block = documents.block(change.after or "")
            if block is not None and block != documents.block(change.before or ""):
                record.block = _digest(block)
            record.folders = record.folders or files.missing_folders(change.path)
            records[name] = record
            _save_records(home, records)  # before the file: whatever happens, it can be taken back
            files.write(change.path, change.after)
        except UserError as error:
            problems.append((change.agent, f"{change.path}: {error.message}. It is left as it is"))
    return problems


def apply_removal(made: Plan, home: Path) -> list[tuple[str, str]]:
    """Write what a plan of `plan_removal` says, and forget what was recorded of these files; as `apply` otherwise."""
    records = _records(home)
    problems = []
    failed: set[str] = set()
    folders: set[str] = set()
    for change in made.changes:
        name = os.path.realpath(change.path)
        record = records.get(name) or records.get(str(change.path)) or Record()
        try:
            files.check_unchanged(change.path, change.before)
            backups.keep(home, name, change.before, pinned=record.copy)
            files.write(change.path, change.after)
        except UserError as error:
            problems.append((change.agent, f"{change.path}: {error.message}. It is left as it is"))
            failed.update((name, str(change.path)))
            continue
        folders.update(record.folders)
        record.digest = _digest(change.after or "")
    files.remove_folders(sorted(folders))
    for key, agent in made.released:
        if key in records and key not in failed:
            records[key].agents = [name for name in records[key].agents if name != agent]
            if not records[key].agents:
                del records[key]
    _save_records(home, records)
    return problems


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _records(home: Path) -> dict[str, Record]:
    try:
        stored = json.loads((home / _RECORD).read_bytes())
        return {path: Record(**record) for path, record in stored["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _save_records(home: Path, records: Mapping[str, Record]) -> None:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    said = {"files": {path: asdict(record) for path, record in sorted(records.items())}}
    files.write(home / _RECORD, json.dumps(said, indent=2) + "\n")
