"""`recollect hook EVENT --agent NAME`: what agents run by themselves. It ends within two seconds and never fails a session.

At a session's start it prints what is remembered of the repository; before a compaction and at the end it keeps the sentences that
read like decisions, so that the next start can offer them. Whatever goes wrong is silent: the exit code is always 0.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import suppress
from typing import Any, Final

_LIMIT_S: Final = 1.8
_TAIL: Final = 2_000_000  # bytes of a transcript that are read, from its end
_TOKENS: Final = 800
EVENTS: Final = ("session-start", "before-compaction", "session-end")


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in EVENTS:
        sys.stderr.write(
            f"usage: recollect hook {'|'.join(EVENTS)} [--agent NAME] [--max-tokens N] < the agent's JSON\n"
        )
        return 0  # an exit code may stop a session
    timer = threading.Timer(_LIMIT_S, os._exit, (0,))
    timer.daemon = True
    timer.start()
    with suppress(Exception):
        said = _run(arguments[0], _option(arguments, "--agent"), int(_option(arguments, "--max-tokens") or _TOKENS))
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
    os._exit(0)


def _option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1] if name in arguments[:-1] else ""


def _run(event: str, agent: str, max_tokens: int) -> dict[str, Any]:
    given = _given()
    folder = _folder(given)
    if folder:
        with suppress(OSError):
            os.chdir(folder)  # the connection says where its client is
    from recollect.client import Connection

    if event == "session-start":
        with Connection() as daemon:
            told = daemon.call("brief", {"max_tokens": max_tokens})["text"]
        if not told:
            return {}
        if agent == "cursor":
            return {"additional_context": told}
        return {"hookSpecificOutput": {"hookEventName": "SessionStart", "additionalContext": told}}
    from recollect.memory.brief import decisions, messages

    path = given.get("transcript_path")
    found = decisions(messages(_tail(path))) if isinstance(path, str) else []
    if found:
        with Connection() as daemon:
            daemon.call("offer", {"sentences": found})
    return {}


def _given() -> dict[str, Any]:
    if sys.stdin is None or sys.stdin.isatty():
        return {}
    value = json.loads(sys.stdin.read(_TAIL) or "{}")
    return value if isinstance(value, dict) else {}


def _folder(given: dict[str, Any]) -> str | None:
    roots = given.get("workspace_roots")
    first = roots[0] if isinstance(roots, list) and roots else None
    folder = os.environ.get("CLAUDE_PROJECT_DIR") or given.get("cwd") or first
    return folder if isinstance(folder, str) else None


def _tail(path: str) -> str:
    with open(os.path.expanduser(path), "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        return file.read().decode(errors="replace")
