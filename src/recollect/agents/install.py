"""Setting agents up: what would change is worked out as whole texts, shown, backed up, written, and can be taken back.

What was written is recorded in `installed.json` of the home, with a copy of each file as it was before. A file that nobody
touched since gets exactly those bytes back; from one that was changed since, only what is ours is taken out.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from recollect.agents import documents, jsonc
from recollect.agents.known import SERVER, Agent, Hooks, Places
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
_RECORD: Final = "installed.json"
HOOK: Final = "hook"  # the command that hooks run; by this an entry is known as ours


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
    """What setting up, or taking back, would change; `problems`: what it leaves alone, and why."""

    changes: tuple[Change, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    unchanged: tuple[str, ...] = ()


@dataclass(slots=True)
class Record:
    """What was written to a file: the text's hash, and which copy is from before (None: there was no file).

    `exact`: nobody but us wrote to it between the copy and now, so that the copy is the state to come back to.
    """

    agents: list[str] = field(default_factory=list)
    digest: str = ""
    copy: str | None = None
    exact: bool = True


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
    records = _records(home)
    texts = _Texts()
    problems: list[tuple[str, str]] = []
    unchanged: list[str] = []
    for agent in agents:
        try:
            before = len(texts.changes)
            _plan_agent(agent, command, env, texts, ours=str(agent.file) in records or force)
            if len(texts.changes) == before:
                unchanged.append(agent.name)
        except UserError as error:
            entry = json.dumps({SERVER: agent.entry([*command, "mcp"], env)}, indent=2)
            problems.append((agent.name, f"{agent.file}: {error.message}; left as it is. By hand: {entry}"))
    return Plan(tuple(texts.merged()), tuple(problems), tuple(unchanged))


def _plan_agent(agent: Agent, command: list[str], env: Mapping[str, str], texts: _Texts, *, ours: bool) -> None:
    entry = agent.entry([*command, "mcp"], env)

    def server(text: str) -> str:
        found = documents.entry(agent.kind, text, agent.path)
        if found is not None and not ours and not _same_program(found, entry):
            raise UserError(f"it has another server called {SERVER} already (--force replaces it)", code="taken")
        return text if found == entry else documents.with_entry(agent.kind, text, agent.path, entry)

    edits: list[tuple[str, Path, Callable[[str], str]]] = [("server", agent.file, server)]
    if agent.instructions is not None:
        edits.append(("instructions", agent.instructions, lambda text: documents.with_block(text, INSTRUCTIONS)))
    if agent.hooks is not None:
        hooks = agent.hooks
        edits.append(("hooks", hooks.file, lambda text: with_hooks(text, hooks, agent.name, command, env)))
    made = [(part, path, *texts.edited(path, change)) for part, path, change in edits]
    for part, path, before, after in made:  # all or nothing of an agent
        texts.put(agent.name, part, path, before, after)


def _same_program(found: Any, entry: Mapping[str, Any]) -> bool:
    """Whether an entry, however old, starts this program: then it may be brought up to date."""
    said = json.dumps(found)
    return isinstance(found, Mapping) and '"mcp"' in said and "recollect" in said


def plan_project(folder: Path) -> Plan:
    """The instructions for one repository: into its AGENTS.md, and into CLAUDE.md where it has one."""
    texts = _Texts()
    claude = folder / "CLAUDE.md"
    linked = claude.is_symlink() or (claude.exists() and "@AGENTS.md" in claude.read_text(errors="replace"))
    for path in (folder / "AGENTS.md", *([claude] if claude.exists() and not linked else [])):
        before, after = texts.edited(path, lambda text: documents.with_block(text, INSTRUCTIONS))
        texts.put("project", "instructions", path, before, after)
    return Plan(tuple(texts.merged()))


def plan_removal(agents: Iterable[Agent], home: Path, *, project: Path | None = None) -> Plan:
    """What taking it back would change: of these agents, and of a project."""
    records, texts = _records(home), _Texts()
    problems: list[tuple[str, str]] = []
    wanted = list(agents)
    names = {agent.name for agent in wanted}
    for agent in wanted:
        edits: list[tuple[str, Path, Callable[[str, str | None], str]]] = [
            ("server", agent.file, partial(_without_server, agent))
        ]
        if agent.instructions is not None:
            edits.append(("instructions", agent.instructions, _without_block))
        if agent.hooks is not None:
            edits.append(("hooks", agent.hooks.file, partial(without_hooks, agent.hooks)))
        for part, path, change in edits:
            if not path.exists():
                continue
            record = records.get(str(path))
            shared = record is not None and set(record.agents) - names
            try:
                texts.remove(agent.name, part, path, change, None if shared else record, home)
            except UserError as error:
                problems.append((agent.name, f"{path}: {error.message}; left as it is"))
    if project is not None:
        for path in (project / "AGENTS.md", project / "CLAUDE.md"):
            if path.is_file() and not path.is_symlink():
                record = records.get(str(path))
                texts.remove("project", "instructions", path, _without_block, record, home)
    return Plan(tuple(texts.merged()), tuple(problems))


def _without_server(agent: Agent, text: str, was: str | None) -> str:
    found = documents.entry(agent.kind, text, agent.path)
    if found is None or (was is None and not _same_program(found, {})):
        return text
    return documents.without_entry(agent.kind, text, agent.path, was)


def _without_block(text: str, was: str | None) -> str:
    return documents.without_block(text)


class _Texts:
    """Files as they are and as they are to be; one file may be changed for several parts or agents."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._now: dict[Path, str | None] = {}

    def text(self, path: Path) -> str | None:
        if path not in self._now:
            try:
                self._now[path] = path.read_bytes().decode()
            except FileNotFoundError:
                self._now[path] = None
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"cannot be read: {error}", code="unreadable_configuration") from error
        return self._now[path]

    def edited(self, path: Path, change: Callable[[str], str]) -> tuple[str | None, str]:
        before = self.text(path)
        self._now[path] = after = change(before or "")
        return before, after

    def put(self, agent: str, part: str, path: Path, before: str | None, after: str | None) -> None:
        self._now[path] = after
        if before != after:
            self.changes.append(Change(agent, part, path, before, after))

    def remove(
        self,
        agent: str,
        part: str,
        path: Path,
        change: Callable[[str, str | None], str],
        record: Record | None,
        home: Path,
    ) -> None:
        """Take one part out of a file; where nobody touched it since, put the bytes of before back."""
        text = self.text(path)
        if text is None:
            return
        was = _copy(home, record)
        if record is not None and record.exact and _digest(text) == record.digest:
            self.put(agent, part, path, text, was)
            return
        changed = change(text, was)
        gone = not changed.strip() and record is not None and record.copy is None
        self.put(agent, part, path, text, None if gone else changed)

    def merged(self) -> list[Change]:
        """One change a file, from what it is to what it shall be."""
        found: dict[Path, Change] = {}
        for change in self.changes:
            known = found.get(change.path)
            found[change.path] = (
                change
                if known is None
                else Change(
                    known.agent if change.agent in known.agent.split(", ") else f"{known.agent}, {change.agent}",
                    known.part if change.part in known.part.split(", ") else f"{known.part}, {change.part}",
                    change.path,
                    known.before,
                    change.after,
                )
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


# -- hooks ------------------------------------------------------------------------------------------------------------


def with_hooks(text: str, hooks: Hooks, agent: str, command: list[str], env: Mapping[str, str]) -> str:
    """`text` with our hook at each event; one of ours that is there already is brought up to date."""
    try:
        text = _constants(text, hooks)
        for event, ours in hooks.events.items():
            words = [*(f"{name}={shlex.quote(value)}" for name, value in env.items()), shlex.join(command)]
            line = " ".join([*words, HOOK, ours, "--agent", agent])
            entry: dict[str, Any] = {"command": line}
            if hooks.shape == "nested":
                entry = {"hooks": [{"type": "command", "command": line, "timeout": hooks.timeout}]}
            there = _ours(text, event)
            if len(there) == 1 and there[0][1] == entry:
                continue
            for number, _ in reversed(there):
                text = jsonc.without_item(text, ("hooks", event), number)
            text = jsonc.with_item(text, ("hooks", event), entry)
    except jsonc.BadJson as error:
        raise UserError(f"cannot be read: {error}", code="unreadable_configuration") from error
    return text


def without_hooks(hooks: Hooks, text: str, was: str | None) -> str:
    """`text` without our hooks, and without the lists that held only them, unless they were there before."""
    try:
        before = jsonc.parse(was or "").value
        for event in hooks.events:
            for number, _ in reversed(_ours(text, event)):
                text = jsonc.without_item(text, ("hooks", event), number)
            left = jsonc.parse(text).value.get("hooks", {})
            if left.get(event) == [] and event not in before.get("hooks", {}):
                text = jsonc.without_member(text, ("hooks", event))
        if jsonc.parse(text).value.get("hooks") == {} and "hooks" not in before:
            text = jsonc.without_member(text, ("hooks",))
    except jsonc.BadJson as error:
        raise UserError(f"cannot be read: {error}", code="unreadable_configuration") from error
    return text


def _constants(text: str, hooks: Hooks) -> str:
    for name, value in (hooks.constants or {}).items():
        if name not in jsonc.parse(text).value:
            text = jsonc.with_member(text, (name,), value)
    return text


def _ours(text: str, event: str) -> list[tuple[int, Any]]:
    """(number, entry) of our hooks at an event."""
    found = jsonc.parse(text).value.get("hooks")
    entries = found.get(event) if isinstance(found, dict) else None
    if found is not None and not isinstance(found, dict):
        raise UserError("its hooks are no object", code="unreadable_configuration")
    return [
        (number, entry)
        for number, entry in enumerate(entries if isinstance(entries, list) else [])
        if "recollect" in json.dumps(entry) and f" {HOOK} " in json.dumps(entry)
    ]


# -- writing ----------------------------------------------------------------------------------------------------------


def apply(made: Plan, home: Path) -> None:
    """Write what a plan says, with a copy of each file as it was first. Raises UserError where a file changed meanwhile."""
    records = _records(home)
    for change in made.changes:
        _unchanged(change)
        record = records.setdefault(str(change.path), Record())
        if not record.digest:
            record.copy = _keep(change, home)
        elif _digest(change.before or "") != record.digest:
            record.exact = False
        record.agents = sorted({*record.agents, *change.agent.split(", ")})
        record.digest = _digest(change.after or "")
        _save_records(home, records)  # before the file: whatever happens, it can be taken back
        write(change.path, change.after)


def apply_removal(made: Plan, home: Path) -> None:
    """Write what a plan of `plan_removal` says, and forget what was recorded of these files."""
    records = _records(home)
    for change in made.changes:
        _unchanged(change)
        write(change.path, change.after)
        record = records.get(str(change.path))
        if record is None:
            continue
        record.agents = [name for name in record.agents if name not in change.agent.split(", ")]
        record.digest = _digest(change.after or "")
        if not record.agents:
            del records[str(change.path)]
    _save_records(home, records)


def _unchanged(change: Change) -> None:
    now = change.path.read_bytes().decode() if change.path.exists() else None
    if now != change.before:
        raise UserError(f"{change.path} was changed meanwhile", hint="Run it again.", code="changed_meanwhile")


def write(path: Path, text: str | None) -> None:
    """Replace a file whole, or remove it; where it is a link, what that leads to; its mode stays."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():  # a link to /dev/null, say
        raise UserError(f"{path} is not a file", code="unwritable")
    try:
        if text is None:
            target.unlink(missing_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode())
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}", code="unwritable") from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _folder(home: Path) -> Path:
    folder = home / "backups" / "agents"
    for made in (home, home / "backups", folder):
        made.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _keep(change: Change, home: Path) -> str | None:
    """Keep the file as it is; the name of the copy."""
    if change.before is None:
        return None
    name = f"{_digest(str(change.path))[:8]}-{_digest(change.before)[:12]}-{change.path.name}"
    copy = _folder(home) / name
    copy.write_text(change.before, encoding="utf-8", newline="")
    copy.chmod(0o600)
    return name


def _copy(home: Path, record: Record | None) -> str | None:
    if record is None or record.copy is None:
        return None
    try:
        return (home / "backups" / "agents" / record.copy).read_bytes().decode()
    except OSError:
        return None


def _records(home: Path) -> dict[str, Record]:
    try:
        stored = json.loads((home / _RECORD).read_bytes())
        return {path: Record(**record) for path, record in stored["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _save_records(home: Path, records: Mapping[str, Record]) -> None:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    said = {"files": {path: asdict(record) for path, record in sorted(records.items())}}
    write(home / _RECORD, json.dumps(said, indent=2) + "\n")
