"""Everything at once, for as long as wanted: `python -m benchmarks.soak [--work FOLDER] [--seconds N]`.

Four repositories, and a folder of each as a repository of its own, are edited, renamed, deleted from, stashed and switched to
other branches, each change followed by a question; others ask about all of them; agents store and recall memories and search
over stdio; workers, the indexer and the daemon are killed. No answer that says it is fresh may be stale, no memory that was
stored may be missing, no process may end by itself, the log may hold no traceback, and at the end each index must hold exactly
its repository's files.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import trees
from benchmarks.freshness import copied, word
from benchmarks.memory import Session, sentences
from benchmarks.speed import home, percentile, recollect
from recollect.client import Connection
from recollect.errors import RecollectError

_TREES = ("middle", "middle", "small", "large")
_GIT = ("git", "-c", "gc.auto=0", "-c", "user.name=soak", "-c", "user.email=soak@example.org")
_QUESTIONS = (
    "parse configuration file",
    "open connection",
    "how is the cache invalidated",
    "Session.close",
    "error retry",
)
_KINDS = ("edit",) * 5 + ("new", "rename", "delete", "stash", "branch", "atomic", "many", "later")
_PATIENCE_S = 20.0  # for a daemon that was killed


class _Client:
    """A connection that is made again when its daemon goes."""

    def __init__(self) -> None:
        self._connection: Connection | None = None

    def call(self, method: str, **params: Any) -> Any:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                if self._connection is None:
                    self._connection = Connection()
                return self._connection.call(method, params)
            except (RecollectError, OSError, EOFError):
                self._connection = None
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)


class _Soak:
    def __init__(self, roots: list[Path], inner: list[Path], environment: dict[str, str], seconds: float) -> None:
        self._roots, self._inner, self._environment = roots, inner, environment
        self._until = time.monotonic() + seconds
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.took: dict[str, list[float]] = defaultdict(list)
        self.stored: list[str] = []  # ids of memories

    def run(self) -> None:
        jobs: list[Callable[[], None]] = [partial(self._edit, n) for n in range(len(self._roots))]
        jobs += [self._ask, self._ask, partial(self._agent, 1), partial(self._agent, 2), self._kill]
        threads = [threading.Thread(target=self._guarded, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            self.wrong.append(f"{type(error).__name__}: {error}")

    def _over(self, before_s: float = 0.0) -> bool:
        return bool(self.wrong) or time.monotonic() > self._until - before_s

    # -- edits --------------------------------------------------------------------------------------------------------

    def _edit(self, number: int) -> None:
        root, choice, client = self._roots[number], random.Random(number), _Client()
        count, files = number * 1_000_000, list[Path]()
        while not self._over():
            if count % 20 == 0:
                files = [path for path in root.rglob("*.py") if path.stat().st_size < 40_000]
            count += 1
            path = choice.choice(files)
            if not path.exists() or b"generated" in path.read_bytes()[:3000].lower():
                continue
            name = word(count)
            kind = choice.choice(_KINDS)
            expected = self._change(kind, name, path, root, files, choice, client)
            self.done[kind] += 1
            around = [one for one in (root, self._inner[number]) if (expected or path).is_relative_to(one)]
            for one in choice.sample(around, len(around)):
                started = time.monotonic()
                answer = client.call("search", query=name, repositories=str(one), limit=5)
                self.took[kind].append(time.monotonic() - started)
                self._hold(answer, name, expected, f"{kind} in {one.name}")

    def _change(
        self, kind: str, name: str, path: Path, root: Path, files: list[Path], choice: random.Random, client: _Client
    ) -> Path | None:
        """Make a change with the definition `name` in it; the file where it is to be found, None where nowhere."""
        definition = f"\n\ndef {name}():\n    return 1\n"
        if kind == "new":
            path = root / f"made_{choice.randrange(7)}" / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
        elif kind == "many":
            for other in choice.sample(files, min(60, len(files))):
                if other.exists():
                    _append(other, f"\n# touched for {name}\n")
        if kind == "atomic":
            beside = path.with_name(f".{name}")
            beside.write_bytes(path.read_bytes() + definition.encode())
            beside.replace(path)
        else:
            _append(path, definition)
        if kind in ("delete", "stash", "branch") and choice.random() < 0.5:
            client.call("search", query=name, repositories=root.name)
        if kind == "rename":
            path = path.replace(path.with_name(f"renamed_{name}.py"))
        elif kind == "delete":
            path.unlink()
            return None
        elif kind == "stash":
            subprocess.run([*_GIT, "stash", "-q", "-u"], cwd=root, check=True)
            if choice.random() < 0.5:
                subprocess.run([*_GIT, "stash", "drop", "-q"], cwd=root, check=True)
                return None
            subprocess.run([*_GIT, "stash", "pop", "-q"], cwd=root, check=True)
        elif kind == "branch":
            main = subprocess.check_output(["git", "branch", "--show-current"], cwd=root, text=True).strip()
            subprocess.run([*_GIT, "checkout", "-q", "-b", name], cwd=root, check=True)
            subprocess.run([*_GIT, "add", "-A"], cwd=root, check=True)
            subprocess.run([*_GIT, "commit", "-q", "-m", f"Add {name}"], cwd=root, check=True)
            if choice.random() < 0.5:
                client.call("search", query=name, repositories=root.name)
            subprocess.run([*_GIT, "checkout", "-q", main], cwd=root, check=True)
            return None
        elif kind == "later":
            time.sleep(choice.choice((0.03, 0.06, 0.2, 1.0)))
        return path

    def _hold(self, answer: dict[str, Any], name: str, expected: Path | None, kind: str) -> None:
        """Hold an answer that says it is fresh against the files."""
        fresh = answer["freshness"]["fresh"]
        self.done["fresh" if fresh else "not fresh"] += 1
        if not fresh:
            return
        for hit in answer["hits"]:
            path, first = Path(hit["absolute_path"]), hit["snippet"].split("\n")[0].strip()
            if not path.exists():
                self.wrong.append(f"{kind}: {path} is gone")
            elif first[:30] not in path.read_text("utf-8", "replace"):
                self.wrong.append(f"{kind}: {path} has no {first!r}")
        found = [hit for hit in answer["hits"] if hit["symbol"] == name]
        if bool(found) != (expected is not None):
            self.wrong.append(f"{kind}: {name} in {expected}: {[hit['path'] for hit in answer['hits']]}")

    # -- questions and kills ------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        choice, client = random.Random(), _Client()
        while not self._over():
            started = time.monotonic()
            client.call("search", query=choice.choice(_QUESTIONS), repositories=[root.name for root in self._roots])
            self.took["about all"].append(time.monotonic() - started)
            time.sleep(choice.random() * 0.2)

    def _agent(self, number: int) -> None:
        choice, known = random.Random(number), sentences()
        with Session(self._environment) as session:
            while not self._over():
                self._remember(number, choice, known, session)

    def _remember(self, number: int, choice: random.Random, known: list[str], session: Session) -> None:
        name = word(10_000_000 * number + len(self.stored))
        content = f"{name}: {choice.choice(known)}"
        kept = self._said(session, "store_memory", {"content": content})["id"]
        self.stored.append(kept)
        found = self._said(session, "retrieve_memory", {"query": name})["memories"]
        if kept not in [memory["id"] for memory in found]:
            self.wrong.append(f"{name} was stored and is not found: {found}")
        root = choice.choice(self._roots)
        self._said(session, "search_code", {"query": choice.choice(_QUESTIONS), "repository": str(root)})
        time.sleep(choice.random() * 0.2)

    def _said(self, session: Session, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE_S
        while True:
            started = time.monotonic()
            try:
                answer = session.answer(tool, arguments)
            except RuntimeError:  # the daemon was killed while it answered
                if time.monotonic() > until:
                    raise
                self.done["asked again"] += 1
                time.sleep(0.1)
            else:
                self.done["agents' calls"] += 1
                self.took[tool].append(time.monotonic() - started)
                return answer

    def _kill(self) -> None:
        choice = random.Random(9)
        while not self._over(15.0):
            time.sleep(choice.uniform(4.0, 10.0))
            what = choice.choice(("worker", "worker", "indexer", "daemon"))
            if running := _processes(what):
                os.kill(choice.choice(running), signal.SIGKILL)
                self.done[f"killed: {what}"] += 1


def _append(path: Path, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


def _processes(what: str) -> list[int]:
    """Those of this home."""
    found = []
    mine = f"RECOLLECT_HOME={os.environ['RECOLLECT_HOME']}\0".encode()
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and f"recollect.server.{what}\0".encode() in (folder / "cmdline").read_bytes():
                found += [int(folder.name)] if mine in (folder / "environ").read_bytes() else []
        except OSError:
            continue
    return found


def _afterwards(roots: list[Path], stored: list[str]) -> list[str]:
    """What is wrong with the indexes and the memories, and what the logs tell."""
    client, wrong = _Client(), []
    for kept in stored:
        try:
            client.call("memory_get", key=kept)
        except RecollectError as error:
            wrong.append(f"a memory is gone: {error}")
    for root in roots:
        finding = client.call("check", name=str(root))
        if finding["level"] != "ok":
            wrong.append(f"{finding['subject']}: {finding['message']}")
    said = "".join(
        path.read_text("utf-8", "replace") for path in Path(os.environ["RECOLLECT_HOME"], "run").glob("*.log")
    )
    wrong += [line for line in said.split("\n") if re.search(r"the indexer ended \((?!-9\))", line)]
    return wrong + re.findall(r"Traceback(?:.|\n)*?\n\w.*", said)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "recollect-benchmarks")
    parser.add_argument("--seconds", type=float, default=300.0)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    with home(given.work) as environment, tempfile.TemporaryDirectory(prefix="soak-", dir=given.work) as folder:
        os.environ["RECOLLECT_HOME"] = environment["RECOLLECT_HOME"]
        roots, inner = [], []
        for number, tree in enumerate(_TREES):
            root = copied(trees.make(tree, given.work), Path(folder, f"soak{number}"))
            roots.append(root)
            counts = Counter(path.parent for path in root.rglob("*.py") if path.parent != root)
            inner.append(counts.most_common(1)[0][0])
            recollect(["sync", str(roots[-1])], environment)
            recollect(["sync", str(inner[-1])], environment)
        soak = _Soak(roots, inner, environment, given.seconds)
        soak.run()
        wrong = soak.wrong + _afterwards([*roots, *inner], soak.stored)
    print(", ".join(f"{name}: {count}" for name, count in sorted(soak.done.items())))
    for kind, took in sorted(soak.took.items()):
        print(f"{kind}: p50 {percentile(took, 0.5) * 1000:.0f} ms, p99 {percentile(took, 0.99) * 1000:.0f} ms")
    print("\n".join(["WRONG:", *wrong]) if wrong else "nothing wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
