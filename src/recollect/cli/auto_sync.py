"""`recollect auto-sync …` and `recollect track`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from recollect.cli.output import JSON, as_json, line, note, size, table
from recollect.client import Connection

app = typer.Typer(help="How repositories are found and kept in step, by themselves.", no_args_is_help=True)


class Switch(StrEnum):
    ON = "on"
    OFF = "off"


def config(
    path: Annotated[
        list[str] | None, typer.Option("--path", "-p", help="Folder to find repositories in (repeatable; replaces).")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            "-e",
            help="Folder name or pattern not to enter (repeatable; replaces); !NAME takes a default away. What a scan found "
            "there before rests.",
        ),
    ] = None,
    scan_interval: Annotated[
        float | None, typer.Option(help="Seconds between two searches for repositories, 1 to 31,536,000.")
    ] = None,
    sync_interval: Annotated[
        float | None,
        typer.Option(
            help="Seconds between two checks of a repository, 1 to 31,536,000; with --repository 0: as all others."
        ),
    ] = None,
    max_concurrent: Annotated[int | None, typer.Option(help="Syncs that run at once, 1 to 64.")] = None,
    priority_language: Annotated[
        list[str] | None, typer.Option(help="Repositories in this language first (repeatable; replaces).")
    ] = None,
    size_threshold: Annotated[
        int | None, typer.Option(help="Bytes, 0 or more; larger repositories are synced last.")
    ] = None,
    auto_watch: Annotated[bool | None, typer.Option("--auto-watch/--no-auto-watch", help="Watch for changes.")] = None,
    on_startup: Annotated[
        bool | None, typer.Option("--on-startup/--no-on-startup", help="Check all when the daemon starts.")
    ] = None,
    max_depth: Annotated[int | None, typer.Option(help="Levels below a scan path that are searched, 1 to 50.")] = None,
    min_files: Annotated[
        int | None, typer.Option(help="Code files that make a folder without git a repository, 1 or more.")
    ] = None,
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", help="Do background work at all.")] = None,
    repository: Annotated[
        str | None, typer.Option("--repository", "-r", help="Set --sync-interval and --enabled of this one only.")
    ] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Change settings, at once and for good; without options, show them. What is not given stays as it is.

    Examples:

      recollect auto-sync config --path ~/src --path ~/work --exclude vendor

      recollect auto-sync config --sync-interval 60

      recollect auto-sync config --repository api --sync-interval 3600
    """
    changes = {
        "scan_paths": [str(Path(item).expanduser()) for item in path] if path else None,
        "exclude_patterns": exclude or None,
        "scan_interval": scan_interval,
        "sync_interval": sync_interval,
        "max_concurrent": max_concurrent,
        "priority_languages": priority_language or None,
        "size_threshold": size_threshold,
        "auto_watch": auto_watch,
        "sync_on_startup": on_startup,
        "max_depth": max_depth,
        "min_files": min_files,
        "enabled": enabled,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    with Connection() as daemon:
        found = daemon.call("configure_auto_sync", {"changes": given, "repository": repository})
    if json_:
        as_json(found)
    elif repository is not None:
        _tracked(found)
    else:
        table([(name, _shown(value)) for name, value in found["config"].items()], ("setting", "value"))


def status(json_: Annotated[bool, JSON] = False) -> None:
    """What is watched, what waits, what fails, when the next scan is."""
    with Connection() as daemon:
        found = daemon.call("auto_sync_status", {})
    if json_:
        as_json(found)
    else:
        _status(found)


def scan(
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Look in the usual folders, and propose; nothing is changed.")
    ] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the end of the scan.")] = 60.0,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Look for repositories below the scan paths now; new ones are synced in the background.

    Examples: recollect auto-sync scan, recollect auto-sync scan --suggest
    """
    if suggest:
        _suggest(json_)
        return
    with Connection() as daemon:
        found = daemon.call("scan", {"wait_s": wait})
    if json_:
        as_json(found)
    else:
        state = "the scan goes on" if found["running"] else "scanned"
        counts = f"{found['found']} repositories found, {found['queued']} wait, {found['active']} being synced"
        line(f"{state}: {counts}, {found['synced']} synced")
    if found["message"]:
        note(f"{found['message']}; recollect auto-sync scan --suggest proposes some")


def _suggest(json_: bool) -> None:
    with Connection() as daemon:
        found = daemon.call("suggest", {})
    if json_:
        as_json(found)
        return
    rows = [(item["path"], f"{item['repositories']} repositories", size(item["size"])) for item in found]
    table(rows, ("folder", "holds", "size"))
    worth = [item["path"] for item in found if item["repositories"]]
    if worth:
        note("to keep them all in step: recollect auto-sync config " + " ".join(f"--path {path}" for path in worth))
    else:
        note("no repositories in the usual folders; name yours: recollect auto-sync config --path FOLDER")


def pause(json_: Annotated[bool, JSON] = False) -> None:
    """Stop background work until it is resumed, over restarts too. What you ask for still works."""
    _switch("pause_auto_sync", json_)


def resume(json_: Annotated[bool, JSON] = False) -> None:
    """Start background work again; what changed meanwhile is caught up with."""
    _switch("resume_auto_sync", json_)


def _switch(method: str, json_: bool) -> None:
    with Connection() as daemon:
        found = daemon.call(method, {})
    if json_:
        as_json(found)
    else:
        line("auto-sync is " + _doing(found))
    if found["message"]:
        note(found["message"])


def paths(json_: Annotated[bool, JSON] = False) -> None:
    """The folders that are searched, and why these."""
    with Connection() as daemon:
        found = daemon.call("auto_sync_paths", {})
    if json_:
        as_json(found)
    else:
        table([(item["path"], item["origin"]) for item in found], ("folder", "from"))
    if not found:
        note("none; recollect auto-sync scan --suggest proposes some")


def track(
    name: Annotated[str, typer.Argument(help="A repository, or a folder.")],
    switch: Annotated[
        Switch, typer.Argument(help="on: keep it in step; off: leave it alone, its index stays.")
    ] = Switch.ON,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Keep a repository in step with its files by itself, or not.

    Example: recollect track legacy off
    """
    with Connection() as daemon:
        found = daemon.call("track" if switch is Switch.ON else "untrack", {"path": name})
    if json_:
        as_json(found)
    else:
        _tracked(found)


def _tracked(found: dict[str, Any]) -> None:
    state = "kept in step" if found["tracked"] else "left alone"
    line(f"{found['name']}: {state}" + (", watched" if found["watching"] else ""))


def _doing(found: dict[str, Any]) -> str:
    if found["enabled"] and not found["paused"]:
        return "on" if found["running"] else "off"
    return " and ".join(["disabled"] * (not found["enabled"]) + ["paused"] * found["paused"])


def _status(found: dict[str, Any]) -> None:
    config = found["config"]
    line(f"auto-sync   {_doing(found)}" + (f", waiting: {found['held_back']}" if found["held_back"] else ""))
    line(
        f"syncs       {found['active_syncs']} of at most {config['max_concurrent']} run, {found['queued_repos']} wait, "
        f"{found['synced_repos']} repositories synced"
    )
    startup = "all at a start" if config["sync_on_startup"] else "none at a start"
    line(f"checks      every {config['sync_interval']:g} s, {_watched(found['watched_interval'], config)}; {startup}")
    line(f"watched     {found['watched_repos']} repositories by {found['watches']} watches")
    line(
        f"scan        every {config['scan_interval']:g} s, last {found['last_scan'] or 'never'}, "
        f"next {found['next_scan'] or 'none'}"
    )
    line(f"scan paths  {', '.join(found['config']['scan_paths']) or 'none'}")
    left_out = f"{len(found['forgotten'])} forgotten folders (recollect add PATH brings one back)"
    if found["forgotten"]:
        line(f"left out    {left_out}")
    for name, label in _LISTS:
        for item in found[name]:
            line(f"{label:<11} {item}")
    for item in found["client_settings"]:
        note(item["message"])
    if not found["enabled"]:
        note("to enable it: recollect auto-sync config --enabled")
    elif found["paused"]:
        note("to go on: recollect auto-sync resume")


_LISTS: Final = (
    ("failing", "failing"),
    ("deferred", "large"),
    ("excluded", "excluded"),
    ("outside", "outside"),
    ("problems", "problem"),
)


def _watched(interval: float, config: dict[str, Any]) -> str:
    return "watched ones too" if interval == config["sync_interval"] else f"watched ones every {interval:g} s"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "config": config,
    "status": status,
    "scan": scan,
    "pause": pause,
    "resume": resume,
    "paths": paths,
}
for _name, _function in COMMANDS.items():
    app.command(_name)(_function)
