"""How true: `python -m benchmarks.freshness [--work FOLDER] [--only WHAT…]`. Prints Markdown tables.

Everything goes through the daemon's socket, as the command line does. Each answer that says it is fresh is checked to
hold what was written just before; a wrong one ends the run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import trees
from benchmarks.speed import home, percentile, recollect, timed
from recollect.client import Connection

_EDITS = 300
_BUSY_EDITS = 100
_ENDLESS = "while True: sum(range(10_000))"
_REPOSITORIES = 100
_IDLE_S = 60.0
_SNIPPETS = {  # one function of about ten lines each; fifty of them make the file
    "python": ("py", "def name_{n}(a, b):\n    total = 0\n    for item in a:\n        if item > b:\n            total += item\n"
               "        else:\n            total -= b\n    print(total)\n    return total\n\n"),
    "typescript": ("ts", "export function name{n}(a: number[], b: number): number {{\n  let total = 0;\n  for (const item of a) {{\n"
                   "    if (item > b) {{\n      total += item;\n    }} else {{\n      total -= b;\n    }}\n  }}\n  return total;\n}}\n"),
    "go": ("go", "func Name{n}(a []int, b int) int {{\n\ttotal := 0\n\tfor _, item := range a {{\n\t\tif item > b {{\n"
           "\t\t\ttotal += item\n\t\t}} else {{\n\t\t\ttotal -= b\n\t\t}}\n\t}}\n\treturn total\n}}\n"),
    "rust": ("rs", "pub fn name_{n}(a: &[i64], b: i64) -> i64 {{\n    let mut total = 0;\n    for item in a {{\n"
             "        if *item > b {{\n            total += item;\n        }} else {{\n            total -= b;\n        }}\n    }}\n"
             "    total\n}}\n"),
    "java": ("java", "class Name{n} {{\n  int sum(int[] a, int b) {{\n    int total = 0;\n    for (int item : a) {{\n"
             "      if (item > b) total += item;\n      else total -= b;\n    }}\n    return total;\n  }}\n}}\n"),
    "c": ("c", "int name_{n}(int *a, int n, int b) {{\n  int total = 0;\n  for (int i = 0; i < n; i++) {{\n    if (a[i] > b) {{\n"
          "      total += a[i];\n    }} else {{\n      total -= b;\n    }}\n  }}\n  return total;\n}}\n"),
    "cpp": ("cpp", "template <class T> T name_{n}(const std::vector<T> &a, T b) {{\n  T total{{}};\n  for (auto &item : a) {{\n"
            "    if (item > b)\n      total += item;\n    else\n      total -= b;\n  }}\n  return total;\n}}\n"),
    "csharp": ("cs", "public class Name{n} {{\n  public int Sum(int[] a, int b) {{\n    var total = 0;\n    foreach (var item in a) {{\n"
               "      if (item > b) total += item;\n      else total -= b;\n    }}\n    return total;\n  }}\n}}\n"),
    "ruby": ("rb", "def name_{n}(a, b)\n  total = 0\n  a.each do |item|\n    if item > b\n      total += item\n    else\n"
             "      total -= b\n    end\n  end\n  total\nend\n"),
    "sql": ("sql", "CREATE TABLE name_{n} (\n  id INTEGER PRIMARY KEY,\n  label TEXT NOT NULL,\n  total NUMERIC,\n  made DATE\n);\n"
            "SELECT id,\n  label\nFROM name_{n}\nWHERE total > 5;\n"),
}  # fmt: skip
_HEADS = ("", "measured", "goal")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"


def word(number: int) -> str:
    """A name that occurs nowhere else, and shares no part with others."""
    return "zq" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:06}") + "kvx"


def _search(daemon: Connection, query: str, where: Any = None, **options: Any) -> Any:
    return daemon.call("search", {"query": query, "repositories": where, **options})


def _until_fresh(daemon: Connection, names: Sequence[str]) -> None:
    while not all(daemon.call("status", {"repository": name})["freshness"]["fresh"] for name in names):
        time.sleep(0.05)


def _repository(root: Path) -> None:
    for command in (["init", "-q"], ["add", "-A"], _commit("all")):
        subprocess.run(["git", *command], cwd=root, check=True)


def _commit(message: str) -> list[str]:
    return ["-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-q", "-a", "-m", message]


def _daemon_pids(daemon: Connection) -> dict[str, int]:
    about = daemon.call("about", {})
    return {"daemon": about["pid"], "indexer": about["indexer_pid"]}


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def edits(work: Path) -> list[tuple[str, ...]]:
    """Edit one file of a large repository, ask at once; and what a question costs where nothing changed."""
    root = copied(trees.make("large", work), work / "edited")
    rows = []
    with home(work) as environment:
        recollect(["sync", str(root)], environment)
        os.environ["RECOLLECT_HOME"] = environment["RECOLLECT_HOME"]
        with Connection() as daemon:
            name = daemon.call("repositories", {})["repositories"][0]["name"]
            _until_fresh(daemon, [name])
            _search(daemon, "warm up", name)
            took, quiet, barrier, not_fresh = _edit_and_ask(daemon, name, root, _EDITS)
            checks = []
            for _ in range(100):
                started = time.perf_counter()
                daemon.call("status", {"repository": name})
                checks.append(time.perf_counter() - started)
        rows.append(("edit a file, ask at once: p50", _ms(statistics.median(took)), "15 ms"))
        rows.append(("p99", _ms(percentile(took, 0.99)), "60 ms"))
        rows.append((f"of {len(took)} answers not fresh within the budget", str(not_fresh), ""))
        rows.append(("the same question where nothing changed: p50", _ms(statistics.median(quiet)), ""))
        rows.append(("of that the barrier: p50", f"{statistics.median(barrier) * 1000:.2f} ms", "1 ms"))
        rows.append(("the barrier: p99", f"{percentile(barrier, 0.99) * 1000:.2f} ms", ""))
        rows.append(("check of the unchanged, watched repository: p50", _ms(statistics.median(checks)), "10 ms"))
    return rows


def _edit_and_ask(
    daemon: Connection, name: str, root: Path, edits: int, first: int = 0
) -> tuple[list[float], list[float], list[float], int]:
    """Edit files here and there, asking after each: seconds until the answer, of the same question again, and of that the
    barrier; how many answers were not fresh.
    """
    files = sorted(root.rglob("*.py"))
    files = [path for path in files if path.stat().st_size < 60_000][:: max(1, len(files) // edits)][:edits]
    took, quiet, barrier, not_fresh = [], [], [], 0
    for number, path in enumerate(files, first):
        marker = word(number)
        with open(path, "a") as file:
            file.write(f"\n\ndef {marker}():\n    return {number}\n")
        started = time.perf_counter()
        answer = _search(daemon, marker, name, limit=3)
        took.append(time.perf_counter() - started)
        held = any(hit["absolute_path"] == str(path) and marker in hit["snippet"] for hit in answer["hits"])
        not_fresh += not answer["freshness"]["fresh"]
        if answer["freshness"]["fresh"] and not held:
            raise SystemExit(f"a stale answer was said to be fresh: {path}")
        started = time.perf_counter()
        answer = _search(daemon, marker, name, limit=3)
        quiet.append(time.perf_counter() - started)
        barrier.append(answer["freshness"]["checked_ms"] / 1000)
    return took, quiet, barrier, not_fresh


def busy(work: Path) -> list[tuple[str, ...]]:
    """The same while other programs keep every processor busy: of the daemon's own session, as in a container or a
    terminal's control group, where priorities count between all; and of another one, which Linux may set against ours as a whole.
    """
    root = copied(trees.make("middle", work), work / "busy")
    rows, first = [], 0
    for whose in ("same", "other"):
        with home(work) as environment, ExitStack() as stack:
            os.environ["RECOLLECT_HOME"] = environment["RECOLLECT_HOME"]
            if whose == "same":
                command = [sys.executable, "-m", "recollect", "daemon", "run"]
                daemon_process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
                stack.callback(daemon_process.wait)
                stack.callback(recollect, ["daemon", "stop"], environment)
            recollect(["sync", str(root)], environment)
            small = ["sync", str(trees.make("small", work)), "--full"]
            recollect(small, environment)
            alone = timed(lambda: recollect(small, environment))  # noqa: B023
            daemon = stack.enter_context(Connection())
            _until_fresh(daemon, ["busy"])
            _search(daemon, "warm up", "busy")
            idle = _edit_and_ask(daemon, "busy", root, _BUSY_EDITS, first)[0]
            for _ in range(os.cpu_count() or 1):
                other = subprocess.Popen([sys.executable, "-c", _ENDLESS], start_new_session=whose == "other")
                stack.callback(other.kill)
            time.sleep(1)
            took, quiet, _, not_fresh = _edit_and_ask(daemon, "busy", root, _BUSY_EDITS, first + _BUSY_EDITS)
            first += 2 * _BUSY_EDITS
            meanwhile = timed(lambda: recollect(small, environment))  # noqa: B023
        rows += [
            (f"programs of the {whose} session: edit → answer, p50", _ms(statistics.median(took)), ""),
            ("p99", _ms(percentile(took, 0.99)), ""),
            ("p50 / p50 when idle", f"{statistics.median(took) / statistics.median(idle):.1f} ×", ""),
            (f"of {len(took)} answers not fresh within the budget", str(not_fresh), "0"),
            ("the same question where nothing changed: p99", _ms(percentile(quiet, 0.99)), ""),
            ("a sync of 100 files that was asked for / when idle", f"{meanwhile / alone:.1f} ×", ""),
        ]
    return rows


def languages(work: Path) -> list[tuple[str, ...]]:
    """A file of 500 lines in each of ten languages, written and asked for."""
    root = _empty(work / "languages")
    (root / "readme.md").write_text("# many languages\n")
    _repository(root)
    rows = []
    with home(work) as environment:
        recollect(["sync", str(root)], environment)
        os.environ["RECOLLECT_HOME"] = environment["RECOLLECT_HOME"]
        with Connection() as daemon:
            _until_fresh(daemon, ["languages"])
            worst: list[float] = []
            for language, (extension, snippet) in _SNIPPETS.items():
                took = []
                for number in range(7):
                    text = "".join(snippet.format(n=f"{number}_{part}") for part in range(50))
                    (root / f"made_{number}.{extension}").write_text(text)
                    started = time.perf_counter()
                    answer = _search(daemon, f"name_{number}_7", "languages", limit=3)
                    while not answer["freshness"]["fresh"]:
                        answer = _search(daemon, f"name_{number}_7", "languages", limit=3)
                    took.append(time.perf_counter() - started)
                worst.append(max(took))
                rows.append((f"500 new lines of {language}: median of 7", _ms(statistics.median(took)), "500 ms"))
            rows.append(("the slowest of all", _ms(max(worst)), "500 ms"))
    return rows


def branches(work: Path) -> list[tuple[str, ...]]:
    """Switch to a branch that changes a thousand files, and back."""
    root = copied(trees.make("large", work), work / "branches")
    subprocess.run(["git", "checkout", "-q", "-b", "other"], cwd=root, check=True)
    for number, path in enumerate(sorted(root.rglob("*.py"))[::10][:1000]):
        with open(path, "a") as file:
            file.write(f"\n\ndef on_the_branch_{number}():\n    return {number}\n")
    subprocess.run(["git", *_commit("branch")], cwd=root, check=True)
    subprocess.run(["git", "checkout", "-q", "-"], cwd=root, check=True)
    with home(work) as environment:
        recollect(["sync", str(root)], environment)
        os.environ["RECOLLECT_HOME"] = environment["RECOLLECT_HOME"]
        with Connection() as daemon:
            _until_fresh(daemon, ["branches"])
            there, back = [], []
            for number in range(3):
                for times in (there, back):
                    subprocess.run(["git", "checkout", "-q", "-"], cwd=root, check=True)
                    started = time.perf_counter()
                    while not _search(daemon, "on_the_branch_7", "branches", limit=3)["freshness"]["fresh"]:
                        time.sleep(0.02)
                    times.append(time.perf_counter() - started)
                if number == 0:
                    first = there[0], back[0]
    return [
        ("switch of a thousand files, until an answer is fresh: there", _ms(first[0]), ""),
        ("back", _ms(first[1]), ""),
        ("there / back, the first time", f"{first[0] / first[1]:.1f} ×", "3 ×"),
        ("later switches: median", _ms(statistics.median(there[1:] + back[1:])), ""),
    ]


def worktrees(work: Path) -> list[tuple[str, ...]]:
    """A second work tree of a large repository."""
    root = copied(trees.make("large", work), work / "first-tree")
    second = work / "second-tree"
    shutil.rmtree(second, ignore_errors=True)
    subprocess.run(["git", "worktree", "prune"], cwd=root, check=True)
    subprocess.run(["git", "worktree", "add", "-q", "--detach", str(second)], cwd=root, check=True)
    with home(work) as environment:
        os.environ["RECOLLECT_HOME"] = environment["RECOLLECT_HOME"]
        with Connection() as daemon:
            times = []
            for path in (root, second):
                started = time.perf_counter()
                daemon.call("sync", {"path": str(path)})
                times.append(time.perf_counter() - started)
    return [("first sync of a large repository / of its second work tree", f"{times[0] / times[1]:.1f} ×", "3 ×")]


def many(work: Path) -> list[tuple[str, ...]]:
    """A hundred repositories watched: what they cost where nothing happens, and a question about all of them."""
    place = _empty(work / "many")
    source = sorted(trees.make("middle", work).rglob("*.py"))
    for number in range(_REPOSITORIES):
        root = place / f"r{number}"
        for path in source[number * 10 : number * 10 + 10]:
            target = root / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        _repository(root)
    with home(work) as environment:
        os.environ["RECOLLECT_HOME"] = environment["RECOLLECT_HOME"]
        recollect(["auto-sync", "config", "--path", str(place)], environment)
        with Connection() as daemon:
            while daemon.call("auto_sync_status", {})["synced_repos"] < _REPOSITORIES:
                time.sleep(0.2)
            _until_fresh(daemon, [f"r{number}" for number in range(_REPOSITORIES)])
            asked, barrier = [], []
            for _ in range(50):
                started = time.perf_counter()
                answer = _search(daemon, "parse arguments", "*")
                asked.append(time.perf_counter() - started)
                barrier.append(answer["freshness"]["checked_ms"])
            pids = _daemon_pids(daemon)
            before = {name: _used(pid) for name, pid in pids.items()}
            time.sleep(_IDLE_S)
            after = {name: _used(pid) for name, pid in pids.items()}
    processor = sum(after[name][0] - before[name][0] for name in pids) / _IDLE_S
    written = sum(after[name][1] - before[name][1] for name in pids) / (_IDLE_S / 60)
    return [
        (f"a question about {_REPOSITORIES} repositories: p50", _ms(statistics.median(asked)), ""),
        ("of that barrier and opening: p50", f"{statistics.median(barrier):.1f} ms", ""),
        (f"processor time of daemon and indexer, idle for {_IDLE_S:.0f} s", f"{processor:.2%}", "1 %"),
        ("bytes written per minute meanwhile", f"{written:.0f}", ""),
    ]


def memory(work: Path) -> list[tuple[str, ...]]:
    """What each further watched repository of 10,000 files costs the two processes that stay."""
    source = trees.make("large", work)
    sizes = []
    with home(work) as environment:
        os.environ["RECOLLECT_HOME"] = environment["RECOLLECT_HOME"]
        with Connection() as daemon:
            for number in range(4):
                root = copied(source, work / f"watched-{number}")
                daemon.call("sync", {"path": str(root)})
                _until_fresh(daemon, [root.name])
                time.sleep(3)
                pids = _daemon_pids(daemon)
                sizes.append({name: _resident(pid) for name, pid in pids.items()})
    for number in range(4):
        shutil.rmtree(work / f"watched-{number}")
    grown = {name: (sizes[-1][name] - sizes[0][name]) / 3 / 1e6 for name in sizes[0]}
    return [
        ("memory for each further watched repository of 10,500 files: daemon", f"{grown['daemon']:.1f} MB", "10 MB"),
        ("indexer, which keeps the trees of the sixteen last used", f"{grown['indexer']:.1f} MB", ""),
    ]


def storm(work: Path) -> list[tuple[str, ...]]:
    """Twenty clients edit and ask at once."""
    root = copied(trees.make("middle", work), work / "storm")
    took: list[float] = []
    wrong: list[str] = []
    not_fresh = [0]
    with home(work) as environment:
        recollect(["sync", str(root)], environment)
        os.environ["RECOLLECT_HOME"] = environment["RECOLLECT_HOME"]
        with Connection() as daemon:
            _until_fresh(daemon, ["storm"])
            _search(daemon, "warm up", "storm")

        def client(number: int) -> None:
            with Connection() as daemon:
                for turn in range(20):
                    marker = word(number * 1000 + turn)
                    path = root / f"stdlib/storm_{number}.py"
                    path.parent.mkdir(exist_ok=True)
                    path.write_text(f"def {marker}():\n    return {turn}\n")
                    started = time.perf_counter()
                    answer = _search(daemon, marker, "storm", limit=3)
                    took.append(time.perf_counter() - started)
                    not_fresh[0] += not answer["freshness"]["fresh"]
                    held = any(hit["absolute_path"] == str(path) and marker in hit["snippet"] for hit in answer["hits"])
                    if answer["freshness"]["fresh"] and not held:
                        wrong.append(marker)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if wrong:
        raise SystemExit(f"stale answers were said to be fresh: {wrong}")
    return [
        ("twenty clients edit and ask without pause: p50", _ms(statistics.median(took)), ""),
        ("p99", _ms(percentile(took, 0.99)), ""),
        (f"of {len(took)} answers not fresh within the budget", str(not_fresh[0]), ""),
    ]


def _empty(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def copied(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-r", source, target], check=True)
    subprocess.run(["git", "checkout", "-q", "-f", "--", "."], cwd=target, check=True)
    return target


def _used(pid: int) -> tuple[float, int]:
    """(processor seconds, bytes written) of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    written = next(
        int(line.split()[1])
        for line in Path(f"/proc/{pid}/io").read_text().splitlines()
        if line.startswith("write_bytes")
    )
    return ticks / os.sysconf("SC_CLK_TCK"), written


_PARTS: dict[str, tuple[str, Callable[[Path], list[tuple[str, ...]]]]] = {
    "edits": ("Edit, then ask: 10,500 files", edits),
    "busy": ("Edit, then ask, while every processor is busy: 1,000 files", busy),
    "languages": ("A changed file of 500 lines", languages),
    "storm": ("Many clients at once", storm),
    "branches": ("Branch switches: 10,500 files", branches),
    "worktrees": ("Work trees: 10,500 files", worktrees),
    "many": ("Many repositories, idle", many),
    "memory": ("Memory", memory),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.freshness", description=__doc__)
    default = Path(tempfile.gettempdir()) / "recollect-bench"
    parser.add_argument("--work", type=Path, default=default, help="folder for trees and homes")
    parser.add_argument("--only", nargs="*", choices=list(_PARTS), default=list(_PARTS))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        title, run = _PARTS[name]
        rows = run(given.work)
        lines = [f"### {title}", "", "| " + " | ".join(_HEADS) + " |", "|" + "---|" * len(_HEADS)]
        print("\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
