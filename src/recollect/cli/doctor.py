"""`recollect doctor`."""

from __future__ import annotations

import os
import shutil
import statistics
import sysconfig
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from recollect.cli.output import JSON, as_json, line, note, style, waiting
from recollect.client import Connection
from recollect.errors import RecollectError
from recollect.home import home_directory

_MARKS: Final = {"ok": ("ok     ", "green"), "note": ("note   ", "yellow"), "problem": ("problem", "red")}
Times = dict[str, list[float]]
_FILES: Final = 3_000
_QUESTIONS: Final = ("parse command line arguments", "OrderedDict", "how are sockets closed", "json decoder error")


def doctor(
    check: Annotated[
        list[str] | None,
        typer.Option("--check", help="Hold the index of this repository against its files (repeatable)."),
    ] = None,
    all_: Annotated[bool, typer.Option("--check-all", help="Likewise of every repository.")] = False,
    concurrency: Annotated[
        bool, typer.Option("--concurrency", help="Measure calls while a sync runs, in a data directory of its own.")
    ] = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """What is wrong, and how to mend it; which agents are connected, and when each was last here. Exit code 1 for a problem.

    Examples: recollect doctor, recollect doctor --check api, recollect doctor --concurrency
    """
    if concurrency:
        _show_latencies(_latencies(), json_)
        return
    with Connection() as daemon:
        found: list[dict[str, Any]] = daemon.call("diagnose", {})
        names = (
            [item["name"] for item in daemon.call("repositories", {"limit": 100_000})["repositories"]]
            if all_
            else check
        )
        for name in names or ():
            note(f"reading every file of {name}")
            try:
                with waiting(f"holding the index of {name} against its files"):
                    found.append(daemon.call("check", {"name": name}))
            except RecollectError as error:
                if not all_:
                    raise
                found.append({"level": "problem", "subject": name, "message": error.message, "mend": error.hint})
    found.extend(_agents())
    if json_:
        as_json(found)
    else:
        for item in found:
            mark, colour = _MARKS[item["level"]]
            line(f"{style(mark, fg=colour)}  {style(item['subject'], bold=True)}: {item['message']}")
            if item["mend"]:
                line(f"         {item['mend']}")
    if any(item["level"] == "problem" for item in found):
        raise typer.Exit(1)


def _agents() -> list[dict[str, Any]]:
    """One finding for each agent that is here or set up, with the facts as `agent`."""
    from recollect.agents import status
    from recollect.agents.known import Places, agents

    return [
        {**status.finding(one).to_dict(), "agent": status.facts(one)}
        for one in status.statuses(agents(Places.of()), home_directory())
    ]


def _latencies() -> dict[str, Any]:
    """Calls alone, and while a repository of some thousand files is being indexed, by the same client."""
    with tempfile.TemporaryDirectory(prefix="recollect-doctor-") as folder:
        home = Path(folder) / "home"
        small, large = _sources(Path(folder))
        before = os.environ.get("RECOLLECT_HOME")
        os.environ["RECOLLECT_HOME"] = os.fspath(home)
        try:
            with Connection(home_directory()) as daemon:
                note("indexing a small repository")
                daemon.call("sync", {"path": os.fspath(small)})
                idle = _ask(daemon, small, threading.Event(), 400)
                note("asking while a larger one is indexed")
                ended = threading.Event()
                thread = threading.Thread(target=_index, args=(home, large, ended))
                thread.start()
                busy = _ask(daemon, small, ended, 100_000)
                thread.join()
                daemon.call("stop", {})
        finally:
            if before is None:
                del os.environ["RECOLLECT_HOME"]
            else:
                os.environ["RECOLLECT_HOME"] = before
    return {
        name: {what: _figures(found) for what, found in times.items()}
        for name, times in (("idle", idle), ("while_syncing", busy))
    }


def _index(home: Path, root: Path, ended: threading.Event) -> None:
    try:
        with Connection(home) as daemon:
            daemon.call("sync", {"path": os.fspath(root)})
    finally:
        ended.set()


def _sources(folder: Path) -> tuple[Path, Path]:
    """Two repositories made of the interpreter's own library."""
    from recollect.sync import git_process

    files = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))[:_FILES]
    roots = folder / "small", folder / "large"
    for root, chosen in zip(roots, (files[:200], files), strict=True):
        for number, path in enumerate(chosen):
            target = root / f"{number % 40}" / f"{number}_{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        git_process.create(root)
    return roots


def _ask(daemon: Connection, root: Path, stop: threading.Event, most: int) -> Times:
    """Searches, stores and recalls in turn, until told to stop."""
    times: Times = {"search": [], "store": [], "recall": []}
    for turn in range(most):
        if stop.is_set():
            break
        query = _QUESTIONS[turn % len(_QUESTIONS)]
        calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("search", "search", {"query": query, "repositories": os.fspath(root)}),
            ("store", "remember", {"content": f"measured {turn}: {query} {time.time_ns()}"}),
            ("recall", "recall", {"query": query}),
        )
        for name, method, params in calls:
            started = time.perf_counter()
            daemon.call(method, params)
            times[name].append(time.perf_counter() - started)
    return times


def _figures(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)
    worst = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {
        "calls": len(times),
        "p50_ms": round(statistics.median(ordered) * 1000, 2),
        "p99_ms": round(worst * 1000, 2),
    }


def _show_latencies(found: dict[str, Any], json_: bool) -> None:
    if json_:
        as_json(found)
        return
    for name, kinds in found.items():
        for what, figures in kinds.items():
            label = f"{name.replace('_', ' ')}, {what}"
            line(
                f"{label:<22} p50 {figures['p50_ms']:6.1f} ms   p99 {figures['p99_ms']:6.1f} ms   {figures['calls']} calls"
            )
