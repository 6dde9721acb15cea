"""`recollect status --watch`: what every repository is doing, drawn again twice a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from recollect import escape
from recollect.cli.output import ago, content, note
from recollect.client import Connection

if TYPE_CHECKING:
    from rich.console import Group

_EVERY_S: Final = 0.5


def watch(name: str | None) -> None:
    """Draw until Ctrl-C; where stdout is no terminal, print one line whenever a repository changes what it does."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Connection() as daemon:
        if not console.is_terminal:
            _lines(daemon, name)
            return
        with Live(console=console, auto_refresh=False, screen=False) as shown:
            try:
                while True:
                    most = max(1, console.size.height - 3)  # the head, the foot, and the line that the cursor needs
                    drawn = _drawn(_statuses(daemon, name), daemon.call("auto_sync_status", {}), most)
                    shown.update(drawn, refresh=True)
                    time.sleep(_EVERY_S)
            except KeyboardInterrupt:
                pass
        _summary(_statuses(daemon, name))


def _statuses(daemon: Connection, name: str | None) -> list[dict[str, Any]]:
    if name is not None:
        return [daemon.call("status", {"repository": name})]
    found: list[dict[str, Any]] = daemon.call("statuses", {})
    return sorted(found, key=lambda item: (item["activity"] == "idle", item["name"]))


def _lines(daemon: Connection, name: str | None) -> None:
    said: dict[str, str] = {}
    while True:
        for item in _statuses(daemon, name):
            now = "\t".join((escape.line(item["name"]), item["state"], item["activity"], _progress(item)))
            if said.get(item["name"]) != now:
                said[item["name"]] = now
                content(now)
                sys.stdout.flush()
        time.sleep(_EVERY_S)


def _drawn(statuses: Sequence[dict[str, Any]], auto_sync: dict[str, Any], most: int) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("repository", "state", "doing", "progress", "files", "fresh", "last sync"):
        table.add_column(head, no_wrap=True, justify="right" if head == "files" else "left")
    for item in statuses[:most]:
        fresh = item["freshness"]["fresh"]
        busy = item["activity"] != "idle"
        state = Text(item["state"], style="" if item["state"] == "ready" else "yellow")
        last = item["last_sync"]
        table.add_row(
            Text(escape.line(item["name"]), style="bold"),
            state,
            Text(item["activity"], style="cyan" if busy else "dim"),
            _progress(item),
            f"{item['files']:,}",
            Text("yes" if fresh else "no", style="green" if fresh else "yellow"),
            ago(last["started_at"] + last["duration_s"]) if last else "never",
        )
    rest = len(statuses) - most
    doing = "paused" if auto_sync["paused"] else "on" if auto_sync["running"] else "off"
    counts = f"{auto_sync['active_syncs']} syncs run, {auto_sync['queued_repos']} wait"
    foot = f"auto-sync {doing}; {counts}; {len(statuses)} repositories" + (f", {rest} not shown" if rest > 0 else "")
    return Group(table, Text(foot, style="dim"))


def _progress(item: dict[str, Any]) -> str:
    progress = item["progress"]
    if item["activity"] == "idle":
        return f"{progress['percentage']:.0f} %" if progress["total_known"] else ""
    if not progress["total_known"]:
        return f"{progress['files_done']} files" if progress["files_done"] else ""
    filled = int(progress["percentage"] / 10)
    eta = f", {progress['eta_s']:.0f} s left" if progress["eta_s"] is not None else ""
    return f"{'█' * filled}{'░' * (10 - filled)} {progress['percentage']:.0f} %{eta}"


def _summary(statuses: Sequence[dict[str, Any]]) -> None:
    fresh = sum(item["freshness"]["fresh"] for item in statuses)
    files = sum(item["files"] for item in statuses)
    note(f"{len(statuses)} repositories, {files:,} files, {fresh} up to date")
