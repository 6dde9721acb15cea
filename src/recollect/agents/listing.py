"""What an agent itself says of us: its own `mcp list`, run with a time limit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from recollect.agents.known import SERVER, Agent, program_on_path
from recollect.records import dataclass

LIMIT_S: Final = 30.0  # some start every server that they know, and wait for each
_MOST: Final = 200_000  # bytes of an answer that are looked at
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])|\[\d{1,3}m")
_OURS: Final = re.compile(rf"^[^\w/]*{SERVER}(?![\w/.-])(.*)$", re.MULTILINE)
_STATES: Final = (
    ("disabled", re.compile(r"\bdisabled\b|\buntrusted\b|\bpending\b|\bneeds approval\b", re.IGNORECASE)),
    ("failed", re.compile(r"disconnected|\bfail|\berror\b|not connected|[✗✘×]", re.IGNORECASE)),
    ("connected", re.compile(r"connected|\bready\b|[✓✔]", re.IGNORECASE)),
)


@dataclass(frozen=True, slots=True)
class Sight:
    """What one agent's list says. `state`: connected, listed, disabled, failed, unseen or silent (no answer)."""

    agent: str
    title: str
    command: str
    state: str
    said: str = ""

    def sentence(self) -> str:
        """For people."""
        told = f": {self.said}" if self.said else ""
        asked = f"`{self.command}`"
        return {
            "connected": f"{self.title} connects to it ({asked})",
            "listed": f"{self.title} lists it ({asked} does not say whether it connects)",
            "disabled": f"{self.title} lists it, but does not use it here ({asked}){told}",
            "failed": f"{self.title} lists it, but {asked} says that it does not connect{told}",
            "unseen": f"{self.title} does not list it ({asked}){told}",
            "silent": f"{self.title}: {asked} gave no answer{told}",
        }[self.state]


def ask(agents: Sequence[Agent], folder: Path, limit_s: float = LIMIT_S) -> list[Sight]:
    """What each of them says that has a list and is here; all are asked at once, in a folder without a project."""
    asked = [agent for agent in agents if agent.listing and program_on_path(agent.listing[0])]
    if not asked:
        return []
    with ThreadPoolExecutor(len(asked)) as threads:
        return list(threads.map(lambda agent: _ask(agent, folder, limit_s), asked))


def _ask(agent: Agent, folder: Path, limit_s: float) -> Sight:
    command = " ".join(agent.listing)
    program = program_on_path(agent.listing[0])
    try:
        with tempfile.TemporaryFile() as answer:
            process = subprocess.Popen(
                [str(program), *agent.listing[1:]],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "NO_COLOR": "1", "TERM": "dumb"},
            )
            in_time = True
            try:
                process.wait(limit_s)
            except subprocess.TimeoutExpired:
                in_time = False
            finally:
                with suppress(OSError):  # with all that it started
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            answer.seek(0)
            text = answer.read(_MOST).decode(errors="replace")
    except OSError as error:
        return Sight(agent.name, agent.title, command, "silent", str(error.strerror))
    state, said = state_in(text)
    if state == "unseen" and not in_time:
        return Sight(agent.name, agent.title, command, "silent", f"it was stopped after {limit_s:.0f} s")
    if state == "unseen" and process.returncode:
        return Sight(agent.name, agent.title, command, "silent", said or f"exit code {process.returncode}")
    return Sight(agent.name, agent.title, command, state, said if state not in ("connected", "listed") else "")


def state_in(text: str) -> tuple[str, str]:
    """(state, the words that say so) of our server in what a list printed."""
    plain = _ESCAPES.sub("", text)
    found = _OURS.search(plain)
    if found is None:
        lines = [line.strip() for line in plain.splitlines() if any(letter.isalnum() for letter in line)]
        return "unseen", lines[-1][:200] if lines else ""
    line = found.group().strip()
    for state, pattern in _STATES:
        if pattern.search(line):
            warning = re.search(r"^.*untrusted.*$", plain, re.MULTILINE)
            return state, (warning.group() if warning and state == "disabled" else line).strip()[:200]
    return "listed", line[:200]
