"""Which commands in somebody's configuration are ours: exactly what `recollect install` writes, wherever the program lay."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

from recollect.records import dataclass

PROGRAM: Final = "recollect"
SERVE: Final = "mcp"
HOOK: Final = "hook"
_PYTHON: Final = re.compile(r"python[0-9.]*")
_ASSIGNMENT: Final = re.compile(r"RECOLLECT_[A-Z_]+=")
_WORD: Final = re.compile(r"[a-z][a-z-]*")
_OPTIONS: Final = {"--agent": re.compile(r"[\w.-]+"), "--max-tokens": re.compile(r"\d+")}


@dataclass(frozen=True, slots=True)
class HookCommand:
    """A hook of ours, taken apart: `RECOLLECT_HOME=… recollect hook EVENT --agent NAME --max-tokens N`."""

    assignments: tuple[str, ...]
    program: tuple[str, ...]
    event: str
    options: Mapping[str, str]


def program_length(words: Sequence[Any]) -> int:
    """How many of the first words start this program: `recollect`, or `python -m recollect`; 0 if they do not."""
    if not all(isinstance(word, str) for word in words[:3]) or not words:
        return 0
    name = PurePath(words[0]).name
    if name == PROGRAM:
        return 1
    return 3 if _PYTHON.fullmatch(name) and list(words[1:3]) == ["-m", PROGRAM] else 0


def arguments(entry: Any) -> list[Any]:
    """The command line of a server's entry, in any agent's way to write it; empty where there is none."""
    if not isinstance(entry, Mapping):
        return []
    command, rest = entry.get("command", entry.get("cmd")), entry.get("args")
    words = [command] if isinstance(command, str) else list(command) if isinstance(command, list) else []
    return [*words, *(rest if isinstance(rest, list) else [])]


def is_server(entry: Any) -> bool:
    """Whether a server's entry starts this program, and nothing around it."""
    words = arguments(entry)
    length = program_length(words)
    return length > 0 and words[length : length + 1] == [SERVE]


def starts_indirectly(entry: Any) -> bool:
    """Whether a server's entry starts this program through another one: `uvx recollect mcp`, say."""
    words = arguments(entry)
    if len(words) == 1 and isinstance(words[0], str):
        words = words[0].split()
    return any(
        (length := program_length(words[at:])) and words[at + length : at + length + 1] == [SERVE]
        for at in range(len(words))
    )


def hook_command(line: Any) -> HookCommand | None:
    """A hook's command line, if it is one that `recollect install` writes and nothing more; else None."""
    if not isinstance(line, str) or "\n" in line:
        return None
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split, reader.commenters = True, ""
    try:
        words = list(reader)
    except ValueError:
        return None
    at = 0
    while at < len(words) and _ASSIGNMENT.match(words[at]):
        at += 1
    assignments, rest = tuple(words[:at]), words[at:]
    length = program_length(rest)
    program, rest = tuple(rest[:length]), rest[length:]
    if not length or len(rest) < 2 or rest[0] != HOOK or not _WORD.fullmatch(rest[1]):
        return None
    options = dict(zip(rest[2::2], rest[3::2], strict=False))
    if len(rest) % 2 or not all(name in _OPTIONS and _OPTIONS[name].fullmatch(said) for name, said in options.items()):
        return None
    return HookCommand(assignments, program, rest[1], options)


def hook_line(command: Sequence[str], env: Mapping[str, str], event: str, agent: str) -> str:
    """What an agent is told to run at an event."""
    return f"{command_line(command, env)} {HOOK} {event} --agent {agent}"


def command_line(command: Sequence[str], env: Mapping[str, str]) -> str:
    """A command with its environment, as a shell reads it."""
    return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in env.items()), shlex.join(command)])
