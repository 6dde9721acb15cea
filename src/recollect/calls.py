"""The call that goes on from an answer or an error, spelled as each surface writes it.

What decides on a call names the MCP tool and its arguments; surfaces spell it. A value of None is left out.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final

from recollect import escape

NextCall = dict[str, Any]
"""`{tool, arguments}`: the name of an MCP tool, and the arguments it is to be called with."""

_LONGEST: Final = 300  # characters of an argument; a longer one is the caller's own, and is not repeated
_LEFT_OUT: Final = "…"

# tool → (command, arguments given by their place, arguments given by an option)
_COMMANDS: Final[dict[str, tuple[str, tuple[str, ...], dict[str, str]]]] = {
    "search_code": (
        "search",
        ("query", "repository"),
        {
            "language": "--language",
            "path_glob": "--glob",
            "content": "--content",
            "mode": "--mode",
            "changed_since": "--changed-since",
            "limit": "--limit",
            "snippet_lines": "--snippet-lines",
        },
    ),
    "find_symbol": ("symbol", ("name", "repository"), {"kind": "--kind", "references": "--references"}),
    "get_repo_map": ("map", ("repository",), {"max_tokens": "--max-tokens", "focus": "--focus"}),
    "sync_repository": ("sync", ("repository",), {"force_full": "--full"}),
    "get_sync_status": ("status", ("repository",), {}),
    "get_repository_status": ("status", ("repository",), {}),
    "list_repositories": ("list", ("query",), {}),
    "clone_repo": ("clone", ("url",), {"branch": "--branch"}),
    "get_clone_status": ("status", ("repository",), {}),
    "forget_repository": ("forget", ("repository",), {}),
    "store_memory": ("remember", ("content",), {"tags": "--tag", "type": "--type"}),
    "retrieve_memory": (
        "recall",
        ("query",),
        {"limit": "--limit", "offset": "--offset", "tags": "--tag", "time": "--when", "mode": "--mode"},
    ),
    "list_memories": (
        "memory list",
        (),
        {"limit": "--limit", "offset": "--offset", "tags": "--tag", "type": "--type", "time": "--when"},
    ),
    "delete_memory": (
        "memory delete",
        ("id",),
        {"tags": "--tag", "before": "--before", "after": "--after", "dry_run": "--dry-run"},
    ),
}


def next_call(tool: str, **arguments: Any) -> NextCall:
    """A call of an MCP tool, without the arguments that are None."""
    return {"tool": tool, "arguments": {name: value for name, value in arguments.items() if value is not None}}


def as_tool(call: NextCall) -> str:
    """As an agent writes it: `search_code(query="cookie", content="all")`."""
    arguments = ", ".join(f"{name}={_as_json(value)}" for name, value in call["arguments"].items())
    return f"{call['tool']}({arguments})"


def as_command(call: NextCall) -> str:
    """As a person types it: `recollect search cookie --content all`; empty if no command does this."""
    if call["tool"] not in _COMMANDS:
        return ""
    command, places, options = _COMMANDS[call["tool"]]
    arguments = dict(call["arguments"])
    given: list[str] = []
    if arguments.get("repository") == "*":
        del arguments["repository"]
        given.append("--all")
    for name, option in options.items():
        value = arguments.get(name)
        if value is True:
            given.append(option)
        elif value not in (None, False):
            given += (part for item in _many(value) for part in (option, _as_word(item)))
    placed = [_as_word(item) for name in places for item in _many(arguments.get(name)) if item is not None]
    separator = ["--"] if any(word.startswith("-") for word in placed) else []
    return " ".join(["recollect", command, *given, *separator, *placed])


def told(text: str, call: Mapping[str, Any] | None, spell: Callable[[NextCall], str]) -> str:
    """A sentence, followed by the call where the surface knows one."""
    spelled = spell(dict(call)) if call else ""
    ended = text.endswith((".", "?", "!", ":"))
    if not spelled:
        return text if ended or not text else f"{text}."
    return f"{text}{'' if ended or not text else ':'} {spelled}".strip()


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _as_json(value: Any) -> str:
    if isinstance(value, str) and len(value) > _LONGEST:
        return _LEFT_OUT
    text = json.dumps(value, ensure_ascii=False)
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if escape.line(letter) == letter else json.dumps(letter)[1:-1] for letter in text)


def _as_word(value: Any) -> str:
    word = escape.line(str(value))
    return _LEFT_OUT if len(word) > _LONGEST else shlex.quote(word)
