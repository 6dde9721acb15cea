"""Clones, maps, expressions: `python -m benchmarks.clones [--work FOLDER] [--sources FOLDER]`. Prints Markdown tables.

A clone comes from a `git http-backend` on loopback. `--sources`: a folder of work trees, over which an expression is looked
for by Recollect and by ripgrep, where that is installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.git_server import serving

from benchmarks import trees
from benchmarks.speed import home, percentile
from recollect.client import Connection

_ROUNDS = 5
_EXPRESSIONS = (  # (what, expression, whether it holds a rare whole word)
    ("a rare whole word", r"\bserialize_with\(", True),
    ("one of a single part", r"\bepoll\b", True),
    ("two whole words", r"^class HTTPAdapter\b", True),
    ("part of a word", r"parse[A-Z]\w+Header", False),
    ("nothing but classes", r"\d{4}-\d{2}-\d{2}T\d{2}", False),
    ("an alternative", r"(TODO|FIXME|XXX)\(\w+\)", False),
    ("no match", r"zq[0-9a-f]{32}kvx", False),
)


def first_hit(work: Path) -> list[tuple[str, ...]]:
    """From `clone_repo` to the first hit, against a shallow clone and a cold sync of the same tree one after the other."""
    rows = []
    for size in ("small", "middle", "large"):
        source = work / f"{size}-git"
        if not source.exists():
            shutil.copytree(trees.make(size, work), source)
            for command in (
                ["init", "-q"],
                ["add", "-A"],
                ["-c", "user.name=b", "-c", "user.email=b@x", "commit", "-qm", "x", "--allow-empty"],
            ):
                subprocess.run(["git", *command], cwd=source, check=True)
        together, apart = [], []
        with serving(work / "served") as server:
            url = server.publish(source, size)
            for _ in range(_ROUNDS):
                together.append(_cloned(work, url))
                apart.append(_apart(work, url))
        ratio = statistics.median(together) / statistics.median(apart)
        rows.append(
            (size, f"{statistics.median(together):.2f} s", f"{statistics.median(apart):.2f} s", f"{ratio:.2f} ×")
        )
        print(rows[-1], file=sys.stderr)
    return rows


def _with_daemon(work: Path, use: Callable[[Connection], float]) -> float:
    os.environ.update(RECOLLECT_CLONE_ALLOW_HTTP="1", RECOLLECT_CLONE_ALLOW_LOCAL="1")
    with home(work) as environment:
        os.environ["RECOLLECT_HOME"] = environment["RECOLLECT_HOME"]
        with Connection() as daemon:
            daemon.call("repositories", {})
            time.sleep(1.0)  # its workers have started
            return use(daemon)


def _cloned(work: Path, url: str) -> float:
    def use(daemon: Connection) -> float:
        started = time.perf_counter()
        daemon.call("clone", {"url": url})
        answer = daemon.call("search", {"query": "function", "repositories": url})
        assert answer["hits"]
        return time.perf_counter() - started

    return _with_daemon(work, use)


def _apart(work: Path, url: str) -> float:
    target = work / "apart"
    shutil.rmtree(target, ignore_errors=True)

    def use(daemon: Connection) -> float:
        started = time.perf_counter()
        subprocess.run(["git", "clone", "-q", "--depth", "1", url, str(target)], check=True)
        daemon.call("sync", {"path": str(target)})
        answer = daemon.call("search", {"query": "function", "repositories": str(target)})
        assert answer["hits"]
        return time.perf_counter() - started

    return _with_daemon(work, use)


def maps(work: Path) -> list[tuple[str, ...]]:
    """The first map of a large repository, right after its sync; and those after it."""
    root = trees.make("large", work)

    def use(daemon: Connection) -> float:
        daemon.call("sync", {"path": str(root)})
        started = time.perf_counter()
        daemon.call("map", {"repository": str(root)})
        first = time.perf_counter() - started
        later, focused = [], []
        for number in range(20):
            started = time.perf_counter()
            daemon.call("map", {"repository": str(root), "max_tokens": 1000 + number})
            later.append(time.perf_counter() - started)
            started = time.perf_counter()
            daemon.call("map", {"repository": str(root), "focus": ["argparse.py"]})
            focused.append(time.perf_counter() - started)
        rows.append(("first map, asked for when the sync has ended", f"{first:.2f} s", "5 s"))
        rows.append(("later maps: p50", f"{statistics.median(later) * 1000:.0f} ms", "100 ms"))
        rows.append(("p99", f"{percentile(later, 0.99) * 1000:.0f} ms", ""))
        rows.append(("with a focus: p50", f"{statistics.median(focused) * 1000:.0f} ms", "100 ms"))
        return first

    rows: list[tuple[str, ...]] = []
    _with_daemon(work, use)
    return rows


def expressions(work: Path, sources: Path) -> list[tuple[str, ...]]:
    """Expressions over all repositories at once: all files that match, and ripgrep over the same work trees."""
    folders = sorted(path for path in sources.iterdir() if (path / ".git").exists())
    rows: list[tuple[str, ...]] = []

    def use(daemon: Connection) -> float:
        for folder in folders:
            daemon.call("sync", {"path": str(folder)})
        daemon.call("search", {"query": "warm", "repositories": "*"})
        for what, expression, rare in _EXPRESSIONS:
            ours, theirs, found = [], [], 0
            for _ in range(_ROUNDS):
                started = time.perf_counter()
                params: dict[str, Any] = {
                    "query": expression,
                    "repositories": "*",
                    "mode": "regex",
                    "content": "all",
                    "limit": 200,
                }
                answer = daemon.call("search", {**params, "snippet_lines": 3})
                ours.append(time.perf_counter() - started)
                found = len(answer["hits"])
                started = time.perf_counter()
                subprocess.run(["rg", "-n", expression, *map(str, folders)], stdout=subprocess.PIPE, check=False)
                theirs.append(time.perf_counter() - started)
            mine, other = statistics.median(ours), statistics.median(theirs)
            goal = "at least 3 × faster" if rare else "at most 3 × slower"
            ratio = f"{other / mine:.1f} × faster" if mine < other else f"{mine / other:.1f} × slower"
            rows.append(
                (
                    what,
                    f"`{expression}`".replace("|", "\\|"),
                    str(found),
                    f"{mine * 1000:.0f} ms",
                    f"{other * 1000:.0f} ms",
                    ratio,
                    goal,
                )
            )
            print(rows[-1], file=sys.stderr)
        return 0.0

    _with_daemon(work, use)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clones", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "recollect-bench", help="folder for trees and homes"
    )
    parser.add_argument(
        "--only", nargs="*", choices=["clones", "maps", "expressions"], default=["clones", "maps", "expressions"]
    )
    parser.add_argument("--sources", type=Path, help="folder of work trees")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    tables = []
    if "clones" in given.only:
        heads: tuple[str, ...] = ("tree", "clone_repo … hit", "clone --depth 1, sync, hit", "ratio (goal 1.1 ×)")
        tables.append(("From a URL to the first hit", heads, first_hit(given.work)))
    if "maps" in given.only:
        tables.append(("Map of 10,500 files", ("", "measured", "goal"), maps(given.work)))
    if "expressions" in given.only and given.sources is not None and shutil.which("rg"):
        heads = ("expression with", "", "files shown", "recollect", "ripgrep", "", "goal")
        tables.append(("Expressions", heads, expressions(given.work, given.sources)))
    for title, heads, rows in tables:
        print(f"### {title}\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for row in rows:
            print("| " + " | ".join(row) + " |")
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
