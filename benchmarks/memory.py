"""Memory, how fast: `python -m benchmarks.memory [--work FOLDER] [--sizes N…]`. Prints a Markdown table.

Memories are made of the words of the interpreter's own documentation strings; calls go through the daemon's socket.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import statistics
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

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


def measure(work: Path, size: int) -> tuple[str, ...]:
    choice, known = random.Random(size), sentences()
    with home(work) as environment:
        os.environ["RECOLLECT_HOME"] = environment["RECOLLECT_HOME"]
        make(work / "memories.jsonl", size, choice, known)
        with Connection() as daemon:
            daemon.call("memory_import", {"path": str(work / "memories.jsonl")})
            daemon.call("recall", {"query": "warm up"})
            asked, stored = [], []
            for query in questions(choice, known):
                started = time.perf_counter()
                daemon.call("recall", {"query": query})
                asked.append(time.perf_counter() - started)
            for number in range(_STORED):
                started = time.perf_counter()
                daemon.call("remember", {"content": f"New {number}: {choice.choice(known)}"})
                stored.append(time.perf_counter() - started)
        writers = {count: _writers(count, choice, known) for count in (4, 16)}
    (work / "memories.jsonl").unlink()
    return (
        f"{size:,}",
        *(f"{value * 1000:.1f} ms" for value in (statistics.median(asked), percentile(asked, 0.99))),
        *(f"{value * 1000:.1f} ms" for value in (statistics.median(stored), percentile(stored, 0.99))),
        *(
            f"{statistics.median(times) * 1000:.1f} / {percentile(times, 0.99) * 1000:.1f} ms"
            for times in writers.values()
        ),
    )


def _writers(count: int, choice: random.Random, known: Sequence[str]) -> list[float]:
    times: list[float] = []
    texts = [[choice.choice(known) for _ in range(20)] for _ in range(count)]

    def write(number: int) -> None:
        with Connection() as daemon:
            for turn, text in enumerate(texts[number]):
                started = time.perf_counter()
                daemon.call("remember", {"content": f"Writer {count} {number} {turn}: {text}"})
                times.append(time.perf_counter() - started)

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
    heads = ("memories", "recall p50", "p99", "store p50", "p99", "4 writers p50 / p99", "16 writers p50 / p99")
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for size in given.sizes:
        print("| " + " | ".join(measure(given.work, size)) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
