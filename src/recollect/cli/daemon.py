"""`recollect daemon …` and `recollect config`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from recollect import processes
from recollect.cli.output import JSON, as_json, line, note, size, table
from recollect.client import Connection
from recollect.errors import Unavailable
from recollect.home import home_directory, run_folder

app = typer.Typer(help="The process behind it all. It starts by itself when it is needed.", no_args_is_help=True)


@app.command()
def run() -> None:
    """Run the daemon in the foreground, as a service would."""
    os.execv(sys.executable, [sys.executable, "-m", "recollect.server.daemon", os.fspath(home_directory())])


@app.command()
def start(json_: Annotated[bool, JSON] = False) -> None:
    """Start it, if it does not run."""
    with Connection() as daemon:
        _about(daemon.call("about", {}), json_)


@app.command()
def stop(json_: Annotated[bool, JSON] = False) -> None:
    """Stop it, and wait until all its processes have gone. Syncs that run go on at its next start."""
    said = _stop()
    if json_:
        as_json(said)
    else:
        line(said["status"])


@app.command()
def restart(json_: Annotated[bool, JSON] = False) -> None:
    """Stop it and start it again."""
    _stop()
    start(json_)


@app.command()
def status(json_: Annotated[bool, JSON] = False) -> None:
    """Whether it runs, since when, and for which data directory."""
    with Connection(start=False) as daemon:
        _about(daemon.call("about", {}), json_)


@app.command()
def logs(lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.")] = 50) -> None:
    """The last lines of its log."""
    for name in ("daemon.log", "indexer.log"):
        path: Path = run_folder(home_directory()) / name
        if path.exists() and path.stat().st_size:
            note(f"== {path}")
            for text in path.read_text(errors="replace").splitlines()[-lines:]:
                line(text)


def _stop() -> dict[str, Any]:
    return {"status": "stopped" if processes.stop(home_directory()) else "not running"}


def _about(about: dict[str, Any], json_: bool) -> None:
    if json_:
        as_json(about)
        return
    line(f"running: version {about['version']}, process {about['pid']}, for {about['uptime_s']:.0f} s")
    for notice in about["notices"]:
        note(notice)
    line(f"{about['repositories']} repositories, {about['syncing']} syncing; data in {about['home']}")
    done = about["background"]
    counts = (
        f"{done.get('cycles', 0)} cycles, {done.get('syncs_completed', 0)} syncs, {done.get('syncs_failed', 0)} failed"
    )
    line(
        f"{size(about['memory_bytes'])} of memory; in the background: {counts}, {done.get('files_indexed', 0)} files indexed"
    )


def config(json_: Annotated[bool, JSON] = False) -> None:
    """Every setting, its value, and where that comes from: what was persisted, the daemon's environment, config.toml, the
    default.
    """
    try:
        with Connection(start=False) as daemon:
            rows = daemon.call("config", {})
    except Unavailable:
        from recollect.config import table as settings

        rows = settings(home_directory())
    if json_:
        as_json(rows)
        return
    table(
        [(row["name"], _shown(row["value"]), row["origin"], _described(row)) for row in rows],
        ("name", "value", "origin", ""),
    )


def _described(row: dict[str, Any]) -> str:
    return f"{row['description']} ({row['allowed']})" if row["allowed"] else str(row["description"])


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
