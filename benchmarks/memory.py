"""Memory, how fast: `python -m benchmarks.memory [--work FOLDER] [--sizes N…]`. Prints a Markdown table.

Memories are made of the words of the interpreter's own documentation strings; every call goes through a stdio session of
its own process, as an agent's does.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import home, percentile
from recollect.client import Connection

_ASKED = 200
_STORED = 100


def sentences() -> list[str]:
    """Sentences of the library's docstrings, in a fixed order."""
    found: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
                text = ast.get_docstring(node) or ""
                found += [
                    part.strip() for part in re.split(r"(?<=[.!?])\s+|\n\n", text) if 30 < len(part.strip()) < 300
                ]
    return found


def make(path: Path, count: int, choice: random.Random, known: Sequence[str]) -> None:
    """An import file of so many memories, each of one to four sentences."""
    with open(path, "w", encoding="utf-8") as file:
        for number in range(count):
            content = f"Note {number}: " + " ".join(choice.choices(known, k=choice.randint(1, 4)))
            tags = choice.sample(["auth", "build", "cache", "db", "docs", "infra", "perf", "test", "ui"], 2)
            record = {"content": content, "tags": tags, "created_at": 1_700_000_000 + number * 60}
            file.write(json.dumps(record) + "\n")


def questions(choice: random.Random, known: Sequence[str]) -> list[str]:
    asked = []
    for _ in range(_ASKED):
        words = re.findall(r"\w+", choice.choice(known))
        asked.append(" ".join(choice.sample(words, min(len(words), choice.randint(2, 6)))))
    return asked


class Session:
    """An agent's side of `recollect mcp`, reduced to what costs no time of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "recollect", "mcp", "--structured"]
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._number = 0
        client = {"name": "benchmark", "version": "1"}
        self._ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client})
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, tool: str, arguments: dict[str, Any]) -> float:
        """Seconds that a call took."""
        started = time.perf_counter()
        self.answer(tool, arguments)
        return time.perf_counter() - started

    def answer(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = self._ask("tools/call", {"name": tool, "arguments": arguments})
        if "error" in answer or answer["result"].get("isError"):
            raise RuntimeError(f"{tool}: {answer}")
        return dict(answer["result"]["structuredContent"])

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        assert self._process.stdout is not None
        while True:
            answer = json.loads(self._process.stdout.readline())
            if answer.get("id") == self._number:
                return answer

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def measure(work: Path, size: int) -> tuple[str, ...]:
    choice, known = random.Random(size), sentences()
    with home(work) as environment:
        os.environ["RECOLLECT_HOME"] = environment["RECOLLECT_HOME"]
        make(work / "memories.jsonl", size, choice, known)
        with Connection() as daemon:
            daemon.call("memory_import", {"path": str(work / "memories.jsonl")})
        with Session(environment) as agent:
            agent.call("retrieve_memory", {"query": "warm up"})
            asked = [agent.call("retrieve_memory", {"query": query}) for query in questions(choice, known)]
            narrow = [
                agent.call("retrieve_memory", {"query": query, "tags": ["auth"]}) for query in questions(choice, known)
            ]
            stored = [
                agent.call("store_memory", {"content": f"New {number}: {choice.choice(known)}"})
                for number in range(_STORED)
            ]
        writers = {count: _writers(environment, count, choice, known) for count in (4, 16)}
    (work / "memories.jsonl").unlink()
    return (f"{size:,}", *(_shown(times) for times in (asked, narrow, stored, *writers.values())))


def _shown(times: Sequence[float]) -> str:
    return f"{statistics.median(times) * 1000:.1f} / {percentile(times, 0.99) * 1000:.1f} ms"


def _writers(environment: dict[str, str], count: int, choice: random.Random, known: Sequence[str]) -> list[float]:
    times: list[float] = []
    texts = [[choice.choice(known) for _ in range(20)] for _ in range(count)]
    ready = threading.Barrier(count)

    def write(number: int) -> None:
        with Session(environment) as agent:
            ready.wait()
            for turn, text in enumerate(texts[number]):
                times.append(agent.call("store_memory", {"content": f"Writer {count} {number} {turn}: {text}"}))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "recollect-bench", help="folder for homes"
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    heads = ("memories", "recall p50 / p99", "of one tag in nine", "store", "4 at once store", "16 at once store")
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for size in given.sizes:
        print("| " + " | ".join(measure(given.work, size)) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
