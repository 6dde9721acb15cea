"""`recollect hook EVENT --agent NAME`: what agents run by themselves. It ends within two seconds and never fails a session.

At a session's start it prints what is remembered of the repository; before a compaction and at the end
it keeps sentences of the assistant that read like decisions, so that the next start can offer them.
Whatever goes wrong is silent: the exit code is always 0.

The work is done by a child, of which this process waits for the answer: it ends in time although the
child hangs in a file system, or in code that lets no other thread and no signal handler run.
"""

from __future__ import annotations

import json
import os
import select
import signal
import stat
import sys
import time
from contextlib import suppress
from typing import Any, Final

_LIMIT_S: Final = 1.5  # beside what the interpreter takes to start
_CHILD_LIMIT_S: Final = 2.0  # if nobody is left to end it
_STDIN_S: Final = 1.0  # to wait for the agent's JSON
_STDIN_AT_START_S: Final = 0.5  # for its first byte at a session's start, which can be told something without it
_MOST_STDIN: Final = 2_000_000  # bytes
_TAIL: Final = 2_000_000  # bytes of a transcript that are read, from its end
_MOST_ANSWER: Final = 1_000_000  # bytes
_TOKENS: Final = 800
EVENTS: Final = ("session-start", "before-compaction", "session-end")


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in EVENTS:
        sys.stderr.write(
            f"usage: recollect hook {'|'.join(EVENTS)} [--agent NAME] [--max-tokens N] < the agent's JSON\n"
        )
        return 0  # an exit code may stop a session
    with suppress(Exception):
        _print(_answer_of_child(arguments))
    os._exit(0)


def _answer_of_child(arguments: list[str]) -> bytes:
    """What a child that runs the hook answers in time; nothing where it does not."""
    until = time.monotonic() + _LIMIT_S
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(arguments, writing)
    os.close(writing)
    answer = b""
    while len(answer) <= _MOST_ANSWER and (left := until - time.monotonic()) > 0:
        if not select.select([reading], [], [], left)[0]:
            break
        part = os.read(reading, 65536)
        if not part:
            return answer  # the child has ended
        answer += part
    os.kill(child, signal.SIGKILL)
    return b""


def _print(answer: bytes) -> None:
    """Write it as far as somebody reads it; an agent that does not read is not waited for."""
    until = time.monotonic() + 0.2
    os.set_blocking(1, False)
    while answer and select.select([], [1], [], max(0.0, until - time.monotonic()))[1]:
        answer = answer[os.write(1, answer) :]


def _work(arguments: list[str], writing: int) -> None:
    """In the child: run the hook, write its answer whole or not at all, and end."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process whatever it is doing
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.setitimer(signal.ITIMER_REAL, _CHILD_LIMIT_S)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)  # the agent waits until nobody has its pipes open
        os.dup2(null, 2)
        max_tokens = int(_option(arguments, "--max-tokens") or _TOKENS)
        told = _run(arguments[0], _option(arguments, "--agent"), max_tokens)
        answer = json.dumps(told).encode() + b"\n"
        while answer:
            answer = answer[os.write(writing, answer) :]
    except BaseException:  # nobody is to hear of it
        pass
    finally:
        os._exit(0)


def _option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1] if name in arguments[:-1] else ""


def _run(event: str, agent: str, max_tokens: int) -> dict[str, Any]:
    given = _input(_STDIN_AT_START_S if event == "session-start" else _STDIN_S)
    folder = _folder(given)
    if folder:
        with suppress(OSError, ValueError):
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
    from recollect.memory import offers

    path = None if given.get("agent_id") else given.get("transcript_path")  # a sub-agent's is nobody's to remember
    found = offers.of_transcript(_tail(path)) if isinstance(path, str) else []
    if found:
        with Connection() as daemon:
            daemon.call("offer", {"sentences": found})
    return {}


def _input(first_byte_s: float) -> dict[str, Any]:
    """The agent's JSON: complete as soon as it can be read, for an agent may leave the pipe open, and say nothing on it."""
    if sys.stdin is None or os.isatty(0):
        return {}
    text = b""
    began = time.monotonic()
    until = began + first_byte_s
    with suppress(OSError):
        while len(text) < _MOST_STDIN and select.select([0], [], [], max(0.0, until - time.monotonic()))[0]:
            part = os.read(0, 65536)
            text += part
            until = began + _STDIN_S
            if not part or b"}\n" in part or text.rstrip().endswith(b"}"):
                value = _first_object(text)
                if value is not None or not part:
                    return value or {}
    return {}


def _first_object(text: bytes) -> dict[str, Any] | None:
    """The JSON object that the text begins with; None if it is not complete, or is none."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text.decode("utf-8-sig", "replace").lstrip())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _folder(given: dict[str, Any]) -> str | None:
    roots = given.get("workspace_roots")
    first = roots[0] if isinstance(roots, list) and roots else None
    folder = os.environ.get("CLAUDE_PROJECT_DIR") or given.get("cwd") or first
    return folder if isinstance(folder, str) else None


def _tail(path: str) -> str:
    """The end of a transcript; of what is no regular file nothing."""
    file = os.open(os.path.expanduser(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        return ""
    parts, at = [], max(0, status.st_size - _TAIL)
    while at < status.st_size and (part := os.pread(file, min(1 << 20, status.st_size - at), at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts).decode(errors="replace")
