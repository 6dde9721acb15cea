"""`recollect sync`, `status`, `list`, `add`, `cancel`, `forget`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from recollect.cli import live
from recollect.cli.output import (
    JSON,
    ago,
    as_json,
    known_names,
    line,
    next_steps,
    note,
    of_freshness,
    size,
    style,
    table,
)
from recollect.client import Connection
from recollect.errors import RecollectError, UserError

_DEGRADED = frozenset({"index_rebuilt"})  # said, but nothing the user has to mend


def sync(
    where: Annotated[
        list[str] | None,
        typer.Argument(help="Folders or known repositories; default: the repository here.", autocompletion=known_names),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All tracked repositories.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Index everything anew, not only what changed.")] = False,
    background: Annotated[bool, typer.Option("--background", help="Do not wait.")] = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Make the index equal to the files now. Ctrl-C stops it; what was committed stays.

    Examples:

      recollect sync

      recollect sync ~/src/api ~/src/worker

      recollect sync --all --background
    """
    results: list[dict[str, Any]] = []
    failure: RecollectError | None = None
    with Connection() as daemon:
        if all_:
            with _bar("sync") as on_progress:
                results = daemon.call("sync_all", {"full": full, "background": background}, on_progress)
        named: list[str | None] = [] if all_ else [*(where or ())] or [None]
        for path in named:
            params = {"path": path, "full": full, "background": background}
            try:
                with _bar(path or "sync") as on_progress:
                    results.append(daemon.call("sync", params, on_progress))
            except RecollectError as error:
                if len(named) == 1:
                    raise
                failure = error  # the others are synced all the same
                note(f"{path}: {error.message}")
                continue
            if not json_:
                _result(results[-1])
    if json_:
        as_json(results[0] if len(results) == 1 and not all_ else results)
    elif all_:
        for result in results:
            _result(result)
    codes = [_exit_code(result) for result in results]
    if failure is not None:
        codes.append(failure.exit_code)
    code = max(codes, default=0)
    if len(codes) > 1 and code != 130 and any(result["status"] == "completed" for result in results):
        code = min(code, 1)  # done, with problems
    if code:
        raise typer.Exit(code)


def clone(
    url: Annotated[str | None, typer.Argument(help="https://… or git@host:path.")] = None,
    branch: Annotated[str | None, typer.Option("--branch", "-b", help="Of this branch, a clone of its own.")] = None,
    depth: Annotated[
        int | None, typer.Option(help="Commits of history; 0 for all. Default: one, some more later.")
    ] = None,
    background: Annotated[bool, typer.Option("--background", help="Do not wait.")] = False,
    file: Annotated[
        str | None, typer.Option("--file", help="A list, one URL a line: a path, or URL#PATH in a repository.")
    ] = None,
    org: Annotated[
        str | None, typer.Option("--org", help="github:NAME, gitlab:GROUP, bitbucket:NAME, gitea:HOST/NAME.")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option("--include", help="Of a list, only names like this (repeatable).")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", help="… but not like this (repeatable).")] = None,
    forks: Annotated[bool, typer.Option("--forks", help="Forks too.")] = False,
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones too.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many of a list.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be cloned.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Look at the list again and again.")] = False,
    following: Annotated[bool, typer.Option("--following", help="Show which lists are followed.")] = False,
    unfollow: Annotated[str | None, typer.Option("--unfollow", help="Follow that source no longer.")] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Clone repositories by URL, index them and keep them where their remotes are.

    Ctrl-C stops the clone of a single one, and nothing is left of it. Those of a list are cloned in the background.

    Examples:

      recollect clone https://github.com/pallets/click

      recollect clone --org github:pallets --exclude '*-website' --follow

      recollect clone --file team.txt --dry-run
    """
    if following or unfollow is not None:
        with Connection() as daemon:
            told = daemon.call("followed", {}) if following else daemon.call("unfollow", {"source": unfollow})
        if json_:
            as_json(told)
        elif following:
            for item in told:
                failed = f", {item['error']}" if item["error"] else ""
                line(
                    f"{item['source']}: {len(item['repositories'])} repositories, looked at {ago(item['checked_at'])}{failed}"
                )
        else:
            line(f"{told['source']} is no longer followed; what was cloned stays")
        return
    if sum(given is not None for given in (url, file, org)) != 1:
        raise UserError("give one of: a URL, --file, --org", hint="recollect clone --help shows examples.")
    if url is None:
        options = {
            "include": include or [],
            "exclude": exclude or [],
            "forks": forks,
            "archived": archived,
            "limit": limit,
        }
        with Connection() as daemon:
            params = {"source": _source(file, org), "options": options, "dry_run": dry_run, "follow": follow}
            found = daemon.call("clone_list", params)
        if json_:
            as_json(found)
            return
        for row in found["repositories"]:
            line(f"{row['url']}: {row['status']}" + (f" ({row['error']})" if row["error"] else ""))
        note(f"{found['total']} repositories, {found['accepted']} are being cloned (recollect list shows how far)")
        return
    params = {"url": url, "branch": branch, "depth": depth, "background": background}
    with Connection() as daemon, _bar(url.rstrip("/").rpartition("/")[2]) as on_progress:
        found = daemon.call("clone", params, on_progress)
    if json_:
        as_json(found)
    else:
        line(f"{style(found['repository'], bold=True)}: {found['message']}, at {found['path']}")


def _source(file: str | None, org: str | None) -> str:
    if org is not None:
        return f"organisation:{org}"
    assert file is not None
    if "#" in file and ("://" in file or file.startswith("git@")):
        return f"repository:{file}"
    return f"file:{Path(file).expanduser().absolute()}"


def _exit_code(result: dict[str, Any]) -> int:
    if result["status"] == "failed":
        return 4
    if result["status"] == "cancelled":
        return 130
    return int(any(error["kind"] not in _DEGRADED for error in result["errors"]))


def _result(result: dict[str, Any]) -> None:
    name = style(result["repository"], bold=True)
    if result["status"] in ("queued", "running"):
        does = "runs" if result["status"] == "running" else "waits for others to end,"
        line(f"{name}: sync {does} in the background (recollect status {result['repository']})")
        return
    if result["status"] == "failed":
        line(f"{name}: failed after {result['duration_s']:.2f} s; what was committed before stays")
        for error in result["errors"]:
            note(f"  {error['kind']}: {error['path']} {error['message']}".rstrip())
        return
    changes = f"{result['new_files']} new, {result['modified_files']} changed, {result['deleted_files']} deleted"
    of = f"{result['processed_files']} of " if result["status"] != "completed" else ""
    counts = f"{of}{result['total_files']} files ({changes}, {result['skipped_files']} skipped), {result['chunks_total']} chunks"
    line(f"{name}: {result['status']}, {counts}, {result['duration_s']:.2f} s")
    if result["nested_repositories"]:
        note(f"  repositories inside, each its own: {', '.join(result['nested_repositories'][:10])}")
    for error in result["errors"][:20]:
        note(f"  {error['kind']}: {error['path']} {error['message']}".rstrip())


@contextmanager
def _bar(label: str) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """A progress bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[phase]:<9}"),
        BarColumn(30),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[files]}  {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=100.0, phase="starting", files="", rate="")
        started = bar.get_time()

        def show(progress: dict[str, Any]) -> None:
            seconds = max(bar.get_time() - started, 0.01)
            of = f" of {progress['files_total']}" if progress["files_total"] else ""
            rate = f"{progress['chunks_done']} chunks, {progress['bytes_done'] / 1e6 / seconds:.1f} MB/s"
            bar.update(
                task,
                completed=progress["percentage"],
                phase=progress["phase"],
                files=f"{progress['files_done']}{of} files",
                rate=rate if progress["chunks_done"] else "",
            )

        yield show


def status(
    name: Annotated[
        str | None, typer.Argument(help="A repository; default: the one here.", autocompletion=known_names)
    ] = None,
    files: Annotated[bool, typer.Option("--files", help="Each file, and why it is not indexed if it is not.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="A live table of all repositories, until Ctrl-C.")] = False,
    history: Annotated[
        bool, typer.Option("--history", help="The last syncs that changed something or failed.")
    ] = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """State, freshness and counts of a repository; outside of one, of all together.

    Examples: recollect status, recollect status api --files, recollect status --watch, recollect status --history
    """
    if watch:
        live.watch(name)
        return
    with Connection() as daemon:
        try:
            found = daemon.call("status", {"repository": name})
        except UserError as unknown:
            if name is not None or files or unknown.code != "no_repository":
                raise
            _together(daemon, history, json_)
            return
        reports = daemon.call("files", {"name": found["name"]}) if files else None
        runs = daemon.call("history", {"name": found["name"]}) if history else None
    if json_:
        extra = {"file_reports": reports} if files else {}
        as_json({**found, **extra, **({"history": runs} if history else {})})
    elif runs is not None:
        _past(runs)
        if not runs:
            note("no sync of it has done anything yet")
    elif reports is not None:
        rows = [
            (item["status"], item["reason"] or "", item["language"] or "", size(item["size_bytes"]), item["path"])
            for item in reports
        ]
        table(rows, ("status", "reason", "language", "size", "path"))
    else:
        _status(found)


def _together(daemon: Connection, history: bool, json_: bool) -> None:
    """All repositories at once."""
    listed, background = daemon.call("repositories", {"limit": 100_000}), daemon.call("auto_sync_status", {})
    runs = daemon.call("activity", {})["syncs"] if history else []
    if json_:
        as_json({**listed, "auto_sync": background, **({"history": runs} if history else {})})
        return
    _past(runs, named=True)
    rows = listed["repositories"]
    if history and runs:
        return
    files, chunks = sum(item["files"] for item in rows), sum(item["chunks"] for item in rows)
    fresh = sum(item["fresh"] for item in rows)
    line(f"{listed['total']} repositories, {files:,} files, {chunks:,} chunks; {fresh} up to date")
    odd = [
        f"{item['name']} is {item['state']}"
        + (f": {said}" if (said := item.get("failure") or item.get("notice")) else "")
        for item in rows
        if item["state"] != "ready"
    ]
    for said in odd[:20]:
        line(f"  {said}")
    doing = "paused" if background["paused"] else "on" if background["running"] else "off"
    line(f"auto-sync is {doing}; {background['active_syncs']} syncs run, {background['queued_repos']} wait")
    for problem in background["problems"]:
        note(f"  {problem}")
    if not rows:
        note("no repository is known yet; recollect sync PATH adds one")


def _past(runs: list[dict[str, Any]], named: bool = False) -> None:
    """Syncs that ended, with their first errors."""
    for run in runs:
        whose = f"{run['repository']}: " if named else ""
        line(f"{ago(run['started_at']):>12}  {whose}{_counts(run)}")
        for error in run["errors"][:3]:
            line(f"              {error['kind']}: {error['path']} {error['message']}".rstrip())


def _counts(run: dict[str, Any]) -> str:
    changes = f"{run['new_files']} new, {run['modified_files']} changed, {run['deleted_files']} deleted"
    return f"{run['status']}, {changes}, {run['duration_s']:.2f} s"


def _status(found: dict[str, Any]) -> None:
    line(f"{style(found['name'], bold=True)}  {found['path']}" + (f"  {found['url']}" if found["url"] else ""))
    if found["aliases"]:
        line(f"  names     also {', '.join(found['aliases'])}")
    line(f"  state     {found['state']}, {found['activity']}")
    progress = found["progress"]
    if found["activity"] != "idle":
        of = progress["files_total"] or "?"
        line(f"  progress  {progress['phase']} {progress['percentage']:.0f} %, {progress['files_done']} of {of} files")
    elif progress["phase"] in ("cancelled", "failed"):
        kept = f"{progress['files_done']} of {progress['files_total']} files committed"
        line(f"  progress  {progress['phase']} at {progress['percentage']:.0f} %, {kept}")
    counts = f"{found['files']} files, {found['chunks']} chunks, {size(found['size_bytes'])}"
    line(f"  holds     {counts}, mostly {found['language'] or 'no code'}; generation {found['generation']}")
    freshness = found["freshness"]
    line(f"  fresh     {'yes' if freshness['fresh'] else of_freshness(freshness)}")
    kept = "watched" if found["watching"] else "not watched" if found["tracked"] else "left alone"
    if found["excluded_by"]:
        kept += (
            f", excluded by {found['excluded_by']} (recollect track {found['name']} on keeps it in step all the same)"
        )
    if found["sync_interval"]:
        kept += f", checked every {found['sync_interval']:g} s" + (" (its own)" if found["own_sync_interval"] else "")
    when = f", next look {_until(found['next_sync_at'])}" if found["next_sync_at"] else ""
    line(f"  kept      {kept}{when}{', auto-sync is paused' if found['paused'] else ''}")
    if found["failing_since"]:
        attempts = "1 attempt" if found["attempts"] == 1 else f"{found['attempts']} attempts"
        line(f"  failing   since {ago(found['failing_since'])}, {attempts}")
    last = found["last_sync"]
    if last is None:
        line("  last sync never")
        return
    line(
        f"  last sync {last['status']} {ago(last['started_at'] + last['duration_s'])}, took {last['duration_s']:.2f} s"
    )
    for error in last["errors"][:10]:
        line(f"            {error['kind']}: {error['path']} {error['message']}".rstrip())


def _until(at: float) -> str:
    seconds = max(0.0, at - time.time())
    return f"in {seconds:.0f} s" if seconds < 120 else f"in {seconds / 60:.0f} min"


def list_(
    query: Annotated[str | None, typer.Argument(help="Part of a name, path or URL.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n")] = 1000,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """The known repositories."""
    with Connection() as daemon:
        result = daemon.call("repositories", {"query": query, "limit": limit})
    if json_:
        as_json(result)
        return
    rows = [
        (
            item["name"],
            item["state"] + (f" ({item['activity']})" if item["activity"] != "idle" else ""),
            item["language"] or "-",
            f"{item['files']} files",
            ago(item["last_sync_at"]),
            item["path"],
        )
        for item in result["repositories"]
    ]
    table(rows, ("name", "state", "language", "files", "synced", "path"))
    for item in result["repositories"]:
        said = item.get("failure") or item.get("notice")
        if said:
            note(f"{item['name']}: {said}")
    if not rows:
        if query is not None:
            note(f"none matches {query!r}")
        next_steps(result)


def add(
    path: Annotated[str, typer.Argument(help="Folder of a repository.")],
    name: Annotated[
        str | None,
        typer.Option(help="What to call it, also beside the name it has; default: from its remote, else its folder."),
    ] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Register a folder without syncing it yet: the first search, or `recollect sync`, does that."""
    with Connection() as daemon:
        found = daemon.call("add", {"path": path, "name": name})
    if json_:
        as_json(found)
    else:
        also = f"  (also called {', '.join(found['aliases'])})" if found["aliases"] else ""
        line(f"{found['name']}  {found['path']}  {found['state']}{also}")


def cancel(
    name: Annotated[str, typer.Argument(help="A repository.", autocompletion=known_names)],
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Stop the sync of a repository; what it committed stays."""
    with Connection() as daemon:
        found = daemon.call("cancel", {"name": name})
    if json_:
        as_json(found)
    else:
        line(f"{found['repository']}: {found['status']}")


def forget(
    name: Annotated[str, typer.Argument(help="A repository.", autocompletion=known_names)],
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Delete the index of a repository and stop knowing it. Its files are not touched."""
    with Connection() as daemon:
        found = daemon.call("forget", {"repository": name})
    if json_:
        as_json(found)
    else:
        line(f"{found['repository']} is forgotten; {found['message']}")
