"""How fast: `python -m benchmarks.speed [--work FOLDER] [--semble PYTHON] [--only WHAT…]`. Prints Markdown tables.

Every row compares two things measured in this run, alternately, on this machine. `semble` is installed from the package
index into a folder of its own where none is given; without network its rows are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks import trees
from recollect.client import Connection

_HERE = Path(__file__).resolve().parent
_QUESTIONS = [
    "parse command line arguments",
    "http server request handler",
    "OrderedDict",
    "how are sockets closed",
    "json decoder error",
    "tokenize source code",
    "TestCase.assertEqual",
    "thread pool executor shutdown",
    "compress file with gzip",
    "logging handler rotation",
    "url_quote",
    "email header encoding",
    "async event loop run forever",
    "csv dialect sniffer",
    "temporary directory cleanup",
    "datetime timezone conversion",
]


@contextmanager
def home(folder: Path) -> Iterator[dict[str, str]]:
    """Environment with a data directory of its own; its daemon is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="home-", dir=folder) as path:
        environment = {**os.environ, "RECOLLECT_HOME": path}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its byte code
        try:
            yield environment
        finally:
            recollect(["daemon", "stop"], environment)


def recollect(arguments: Sequence[str], environment: dict[str, str], cwd: Path | None = None) -> str:
    command = [sys.executable, "-m", "recollect", *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False).stdout


def timed(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def peak_memory(marker: str) -> int:
    """Sum of what each process of a data directory held at most, in bytes (shared pages counted in each): as much as all of
    them together ever did, or more.
    """
    total = 0
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and marker.encode() in (process / "environ").read_bytes():
                status = (process / "status").read_text()
                total += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return total


# -- rows -------------------------------------------------------------------------------------------------------------


def cold(work: Path, semble: Path | None) -> list[tuple[str, ...]]:
    """Empty data directories, alternately: whole commands from nothing, and the indexing alone in running processes."""
    if semble is None:
        return []
    model = work / "model"
    if not model.exists():
        subprocess.run([semble, _HERE / "peer_semble.py", "model", model], check=True)
    rows = []
    for size in trees.SIZES:
        root = trees.make(size, work)
        files, held = trees.measure(root)
        runs = [_cold_once(work, root, semble, model) for _ in range({"small": 5, "middle": 5, "large": 2}[size])]
        ours, ours_running, our_peak, theirs, theirs_running, their_peak = (
            statistics.median(column) for column in zip(*runs, strict=True)
        )
        rows.append(
            (
                size,
                f"{files:,}",
                f"{held / 1e6:.1f}",
                f"{theirs / ours:.1f} ×",
                f"{theirs_running / ours_running:.1f} ×",
                f"{our_peak / their_peak:.2f}",
            )
        )
        print(size, [[round(value, 2) for value in run] for run in runs], file=sys.stderr)
    return rows


def _cold_once(work: Path, root: Path, semble: Path, model: Path) -> tuple[float, ...]:
    """(ours whole, ours with a running daemon, our peak memory, semble's whole, its indexing alone, its peak)."""
    with home(work) as environment:
        whole = timed(lambda: recollect(["sync", str(root)], environment))
        peak = peak_memory(environment["RECOLLECT_HOME"])
    with home(work) as environment:
        recollect(["daemon", "start"], environment)
        time.sleep(1.5)
        with Connection(Path(environment["RECOLLECT_HOME"])) as daemon:
            running = timed(lambda: daemon.call("sync", {"path": str(root)}))
    command = [str(semble), str(_HERE / "peer_semble.py"), "index", str(root), str(model)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    theirs = time.perf_counter() - started
    said = json.loads(done.stdout.splitlines()[-1])
    return whole, running, peak, theirs, said["index_s"], said["peak_bytes"]


def unchanged(work: Path) -> list[tuple[str, ...]]:
    """A sync that finds nothing, and one of a single changed file, against `git status`."""
    rows = []
    for size in trees.SIZES:
        root = trees.make(size, work)
        with home(work) as environment:
            recollect(["sync", str(root)], environment)
            time.sleep(2.5)  # the racy rule: what was just written proves nothing
            with Connection(Path(environment["RECOLLECT_HOME"])) as daemon:

                def sync(at: Path = root, to: Connection = daemon) -> dict[str, Any]:
                    result: dict[str, Any] = to.call("sync", {"path": str(at)})
                    return result

                sync()
                ours, git, one = [], [], []
                for _ in range(20):
                    git.append(
                        timed(
                            lambda at=root: subprocess.run(
                                ["git", "status", "--porcelain"], cwd=at, capture_output=True, check=True
                            )
                        )
                    )  # type: ignore[misc]
                    ours.append(timed(sync))
                changed = root / "stdlib" / "bench_changed.py"
                for number in range(20):
                    changed.write_text(f"def changed_{number}(value):\n    return value + {number}\n")
                    one.append(timed(sync))
                changed.unlink()
                sync()
        base, with_one, status = (statistics.median(values) for values in (ours, one, git))
        extra = (with_one - base) * 1000
        rows.append((size, f"{base / status:.2f} ×", f"{extra:+.1f} ms", f"{status * 1000:.0f} ms"))
        print(size, "sync", base, "git status", status, "one file", with_one, file=sys.stderr)
    return rows


def _session(environment: dict[str, str], root: Path) -> Any:
    """A real stdio session in a folder: a context manager that gives the client."""
    from mcp import Client, StdioServerParameters

    command = ["-m", "recollect", "mcp"]
    return Client(StdioServerParameters(command=sys.executable, args=command, env=environment, cwd=str(root)))


async def _ask(environment: dict[str, str], root: Path, count: int, stop: threading.Event | None = None) -> list[float]:
    """Latencies of `search_code` through a real stdio session."""
    times: list[float] = []
    async with _session(environment, root) as client:
        for warm in _QUESTIONS[:8]:
            await client.call_tool("search_code", {"query": warm, "repository": str(root)})
        number = 0
        while len(times) < count and not (stop is not None and stop.is_set()):
            arguments = {"query": _QUESTIONS[number % len(_QUESTIONS)], "repository": str(root)}
            started = time.perf_counter()
            result = await client.call_tool("search_code", arguments)
            times.append(time.perf_counter() - started)
            assert not result.is_error, result.content
            number += 1
    return times


async def _first_asked(environment: dict[str, str], root: Path) -> float:
    """Latency of the first question of a session, a second after it began."""
    async with _session(environment, root) as client:
        await client.list_tools()
        await asyncio.sleep(1.0)
        started = time.perf_counter()
        result = await client.call_tool("search_code", {"query": _QUESTIONS[0]})
        took = time.perf_counter() - started
        assert not result.is_error, result.content
        return took


def latency(work: Path) -> list[tuple[str, ...]]:
    """Warm questions on the large tree: idle, and while another large tree is indexed."""
    root = trees.make("large", work)
    with home(work) as environment:
        recollect(["sync", str(root)], environment)
        idle = asyncio.run(_ask(environment, root, 1000))
        command = [timed(lambda: recollect(["search", _QUESTIONS[0], str(root)], environment)) for _ in range(20)]
        first = []
        for _ in range(5):
            recollect(["daemon", "stop"], environment)
            first.append(asyncio.run(_first_asked(environment, root)))
        stop = threading.Event()

        def index() -> None:
            large_again = work / "large-again"
            if not large_again.exists():
                subprocess.run(["cp", "-r", root, large_again], check=True)
            recollect(["sync", str(large_again), "--full"], environment)
            stop.set()

        thread = threading.Thread(target=index)
        thread.start()
        time.sleep(1.5)  # past the start
        busy = asyncio.run(_ask(environment, root, 100_000, stop))
        thread.join()
    rows = [
        ("handshake of a new session, daemon running", *_handshakes(work, False)),
        ("handshake of a new session, daemon to be started", *_handshakes(work, True)),
        (
            "first question, a second after the session began and the daemon was started for it",
            f"{statistics.median(first) * 1000:.0f} ms",
            f"{max(first) * 1000:.0f} ms (max)",
            f"{len(first)}",
        ),
        ("idle", f"{percentile(idle, 0.5) * 1000:.1f} ms", f"{percentile(idle, 0.99) * 1000:.1f} ms", f"{len(idle)}"),
        (
            "while a large sync runs",
            f"{percentile(busy, 0.5) * 1000:.1f} ms",
            f"{percentile(busy, 0.99) * 1000:.1f} ms",
            f"{len(busy)}",
        ),
        (
            "ratio",
            f"{percentile(busy, 0.5) / percentile(idle, 0.5):.2f} ×",
            f"{percentile(busy, 0.99) / percentile(idle, 0.99):.2f} ×",
            "",
        ),
        (
            "`recollect search`, whole process",
            f"{percentile(command, 0.5) * 1000:.0f} ms",
            f"{max(command) * 1000:.0f} ms (max)",
            f"{len(command)}",
        ),
    ]
    print(rows, file=sys.stderr)
    return rows


def _handshakes(work: Path, from_nothing: bool) -> tuple[str, str, str]:
    """Process start to the answer of `initialize`: (p50, worst, how many)."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}).encode() + b"\n"
    times = []
    with home(work) as environment:
        for _ in range(10):
            recollect(["daemon", "stop" if from_nothing else "start"], environment)
            time.sleep(0.0 if from_nothing else 0.5)
            started = time.perf_counter()
            command = [sys.executable, "-m", "recollect", "mcp"]
            process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(line)
            process.stdin.flush()
            process.stdout.readline()
            times.append(time.perf_counter() - started)
            process.stdin.close()
            process.wait()
    return f"{statistics.median(times) * 1000:.0f} ms", f"{max(times) * 1000:.0f} ms (max)", f"{len(times)}"


def disk(work: Path) -> list[tuple[str, ...]]:
    """What a first sync leaves in the index's folder, against the bytes of the files that are in it."""
    rows = []
    for size in trees.SIZES:
        root = trees.make(size, work)
        with home(work) as environment:
            recollect(["sync", str(root)], environment)
            folder = next((Path(environment["RECOLLECT_HOME"]) / "repositories").iterdir())
            held, before = _held(folder), {"": 0}
            while held != before:  # segments are merged and the map is made after the sync
                time.sleep(10.0)
                held, before = _held(folder), held
        _, source = trees.measure(root)
        log = sum(held.pop(name, 0) for name in ("index.db-wal", "index.db-shm"))
        parts = (held.pop("index.db"), held.pop("segments", 0), sum(held.values()), log)
        rows.append((size, f"{sum(parts) / source:.2f} ×", *(f"{part / source:.2f}" for part in parts)))
    return rows


def _held(folder: Path) -> dict[str, int]:
    """Bytes below `folder`, by what lies right in it."""
    held: Counter[str] = Counter()
    for path in folder.rglob("*"):
        with suppress(OSError):
            held[path.relative_to(folder).parts[0]] += path.stat().st_size if path.is_file() else 0
    return held


# -- tables -----------------------------------------------------------------------------------------------------------

_TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "cold": (
        "Cold sync against semble, same files",
        ("tree", "files", "MB", "from nothing", "processes running", "peak memory, ours / semble"),
    ),
    "unchanged": ("Sync of an unchanged tree", ("tree", "sync / git status", "one changed file costs", "git status")),
    "disk": (
        "Size on disk, against the source",
        ("tree", "all", "rows and texts", "postings and vectors", "the map", "a log that is written over"),
    ),
    "latency": ("`search_code` over stdio, large tree", ("", "p50", "p99", "questions")),
}


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"### {title}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])


def _semble(work: Path, given: str | None) -> Path | None:
    if given:
        return Path(given)
    python = work / "semble" / "bin" / "python"
    if not python.exists():
        venv.create(work / "semble", with_pip=True)
        done = subprocess.run([python, "-m", "pip", "install", "-q", "semble==0.7.*"], capture_output=True, check=False)
        if done.returncode:
            print("semble cannot be installed: its rows are left out", file=sys.stderr)
            return None
    return python


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "recollect-bench", help="folder for trees and homes"
    )
    parser.add_argument("--semble", help="python that has semble installed")
    parser.add_argument("--only", nargs="*", choices=list(_TABLES), default=list(_TABLES))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    runs: dict[str, Callable[[], list[tuple[str, ...]]]] = {
        "cold": lambda: cold(given.work, _semble(given.work, given.semble)),
        "unchanged": lambda: unchanged(given.work),
        "disk": lambda: disk(given.work),
        "latency": lambda: latency(given.work),
    }
    for name in given.only:
        rows = runs[name]()
        if rows:
            print(_table(*_TABLES[name], rows), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
