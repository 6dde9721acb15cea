"""What a client and the server said to each other: a `recollect` that writes it down, and how that is read."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
_PROGRAM = """#!{python}
import sys
sys.path.insert(0, {root!r})
from benchmarks.agents.wire import recollect
sys.exit(recollect({log!r}, {delay_s!r}))
"""


@dataclass
class Exchange:
    """A tool call as the server got it, and its answer; neither result nor error: it was not answered."""

    tool: str
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """What the server says in text."""
        if self.error is not None:
            return str(self.error.get("message", ""))
        blocks = (self.result or {}).get("content", [])
        return "\n".join(block["text"] for block in blocks if block.get("type") == "text")

    @property
    def structured(self) -> Any:
        return (self.result or {}).get("structuredContent")

    @property
    def is_error(self) -> bool:
        return self.error is not None or bool((self.result or {}).get("isError"))


@dataclass
class Wire:
    """All that was said in one session."""

    calls: list[Exchange] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    client: str = ""
    protocol: str = ""


def make_program(path: Path, log: Path, delay_s: float = 0.0) -> Path:
    """Write a `recollect` that also writes down what its `mcp` hears and says, and holds answers back for a while."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"python": sys.executable, "root": str(ROOT), "log": str(log), "delay_s": delay_s}
    path.write_text(_PROGRAM.format(**values))
    path.chmod(0o755)
    return path


def recollect(log: str, delay_s: float) -> int:
    """Be `recollect`; its `mcp` with a log, and with answers of tools that are held back for a while."""
    if sys.argv[1:2] == ["mcp"]:
        return _tapped([sys.executable, "-m", "recollect", *sys.argv[1:]], Path(log), delay_s)
    from recollect.__main__ import main

    return main() or 0


def _tapped(command: Sequence[str], log: Path, delay_s: float) -> int:
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    lock, calls = threading.Lock(), set()

    def pass_on(sender: str, source: IO[bytes], target: IO[bytes]) -> None:
        try:
            for line in iter(source.readline, b""):
                kind, number = _kind(line)
                if sender == "client" and kind == "tools/call":
                    calls.add(number)
                elif sender == "server" and kind is None and number in calls:
                    time.sleep(delay_s)
                with lock, log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"from": sender, "line": line.decode("utf-8", "replace")}) + "\n")
                target.write(line)
                target.flush()
        except (OSError, ValueError):
            pass  # the other side went
        finally:
            if sender == "client":
                target.close()

    arguments = ("client", sys.stdin.buffer, server.stdin)
    threading.Thread(target=pass_on, args=arguments, daemon=True).start()
    pass_on("server", server.stdout, sys.stdout.buffer)
    return server.wait()


def _kind(line: bytes) -> tuple[str | None, str]:
    """The method of a message, None for an answer, and its id."""
    try:
        message = json.loads(line)
        return message.get("method"), str(message.get("id"))
    except (ValueError, AttributeError):
        return "", ""


def read(log: Path) -> Wire:
    """Return what a log says so far."""
    wire, pending = Wire(), {}
    for note in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        entry = json.loads(note)
        try:
            message = json.loads(entry["line"])
        except ValueError:
            continue
        if not isinstance(message, dict):
            continue
        if entry["from"] == "client" and "method" in message:
            params = message.get("params") or {}
            pending[message.get("id")] = message["method"], len(wire.calls)
            stateless = (params.get("_meta") or {}).get("io.modelcontextprotocol/protocolVersion")
            wire.protocol = stateless or wire.protocol
            if message["method"] == "tools/call":
                wire.calls.append(Exchange(params.get("name", "")))
            elif message["method"] == "initialize":
                info = params.get("clientInfo", {})
                wire.client = f"{info.get('name')} {info.get('version')}"
        elif entry["from"] == "server" and message.get("id") in pending and "method" not in message:
            method, number = pending.pop(message["id"])
            if method == "tools/call":
                wire.calls[number].result, wire.calls[number].error = message.get("result"), message.get("error")
            elif method == "tools/list":
                wire.tools = message.get("result", {}).get("tools", [])
            elif method == "initialize":
                wire.protocol = message.get("result", {}).get("protocolVersion", "")
    return wire
