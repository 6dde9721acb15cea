"""`recollect remember`, `recall`, `memory …`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import typer

from recollect.cli.output import JSON, ago, as_json, block, line, next_steps, note, style, waiting
from recollect.client import Connection

app = typer.Typer(help="What agents and people remembered.", no_args_is_help=True)
Tags = Annotated[list[str] | None, typer.Option("--tag", "-t", help="Tag (repeatable).")]
Type = Annotated[str | None, typer.Option("--type", help="decision, fact, preference, mistake, note …")]
KeepSecrets = Annotated[
    bool, typer.Option("--keep-secrets", help="Store keys and passwords as they are, instead of replacing them.")
]
Offset = Annotated[int | None, typer.Option(min=0, help="How many to leave out, from the first.")]
When = Annotated[str | None, typer.Option(help='A time: "last week", "since 2024-01-01".')]


def remember(
    text: Annotated[str, typer.Argument(help="What to remember; - reads it from stdin.")],
    tag: Tags = None,
    type_: Type = None,
    file: Annotated[
        list[str] | None, typer.Option("--file", "-f", help="A file that it is about (repeatable).")
    ] = None,
    keep_secrets: KeepSecrets = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Keep something for all agents and sessions; it belongs to the repository here.

    Example: recollect remember "We sign cookies with Ed25519 since the audit" -t auth --type decision
    """
    content = sys.stdin.read() if text == "-" else text
    params = {"content": content, "tags": tag or [], "memory_type": type_, "files": file or []}
    params |= {"keep_secrets": True} if keep_secrets else {}
    with Connection() as daemon:
        found = daemon.call("remember", params)
    if json_:
        as_json(found)
        return
    where = f"  {found['repository']}" if found.get("repository") else ""
    line(f"{found['id']}  {found['message']}{where}")
    _warn(found)
    for other in found["similar"]:
        note(f"  similar: {other['id']} ({other['similarity']:.2f})")


def recall(
    query: Annotated[str, typer.Argument(help="Words; a time in them narrows.")],
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many.")] = 5,
    offset: Offset = None,
    tag: Tags = None,
    when: When = None,
    mode: Annotated[str, typer.Option(help="hybrid, or exact: contents that hold the text.")] = "hybrid",
    json_: Annotated[bool, JSON] = False,
) -> None:
    """What was remembered about something, the repository here preferred; or one memory, by its id.

    Examples: recollect recall "how do we sign cookies", recollect recall "decisions last month" -t auth
    """
    params = {"query": query, "limit": limit, "offset": offset or 0, "tags": tag, "time_phrase": when, "mode": mode}
    with Connection() as daemon:
        found = daemon.call("recall", params)
    if json_:
        as_json(found)
        return
    span, ignored = found["time_range"], found.get("ignored_time_range")
    if span:
        note(f"({span['after'] or 'ever'} to {span['before'] or 'now'})")
    if ignored:
        note(f"nothing of {ignored['after'] or 'ever'} to {ignored['before'] or 'now'}; without the time:")
    for memory in found["memories"]:
        _show(memory)
    if not found["memories"]:
        note("nothing is remembered of that")
    if found.get("next_offset") is not None:
        note(f"{found['count']} of {'' if found['total_is_exact'] else 'at least '}{found['total']}")
    _warn(found)


@app.command("list")
def list_(
    page: Annotated[int, typer.Option(help="Page.")] = 1,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many on a page.")] = 20,
    offset: Offset = None,
    tag: Tags = None,
    type_: Type = None,
    when: When = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Memories, newest first."""
    filters = {"tags": tag, "memory_type": type_}
    params = {"page": page, "page_size": limit, "offset": offset, "filters": filters, "time_phrase": when}
    with Connection() as daemon:
        found = daemon.call("memory_page", params)
    if json_:
        as_json(found)
        return
    for memory in found["memories"]:
        _show(memory)
    note(f"{len(found['memories'])} of {found['total']}")
    _warn(found)


@app.command()
def show(key: Annotated[str, typer.Argument(help="Id or content hash.")], json_: Annotated[bool, JSON] = False) -> None:
    """One memory, whole."""
    with Connection() as daemon:
        found = daemon.call("memory_get", {"key": key})
    as_json(found) if json_ else _show(found)


@app.command()
def update(
    key: Annotated[str, typer.Argument(help="Id or content hash.")],
    content: Annotated[str | None, typer.Option(help="The new text.")] = None,
    tag: Tags = None,
    clear_tags: Annotated[bool, typer.Option("--clear-tags", help="Take all its tags away.")] = False,
    type_: Type = None,
    keep_secrets: KeepSecrets = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Change a memory; what it was before is kept as a version. Tags that are given replace those that it has."""
    tag = [] if clear_tags else tag
    params = {"key": key, "content": content, "tags": tag, "memory_type": type_, "keep_secrets": keep_secrets}
    with Connection() as daemon:
        found = daemon.call("memory_update", params)
    as_json(found) if json_ else _show(found)
    _say_redactions(found, "memory update")


@app.command()
def delete(
    key: Annotated[str | None, typer.Argument(help="Id or content hash.")] = None,
    tag: Tags = None,
    before: Annotated[str | None, typer.Option(help="All made before this date, as 2024-01-31.")] = None,
    after: Annotated[str | None, typer.Option(help="All made since this date.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    hard: Annotated[bool, typer.Option("--hard", help="For good.")] = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Forget one memory, or all with a tag or of a time. Undone within thirty days by `memory undelete`."""
    filters = {"tags": tag, "before": before, "after": after}
    params = {"key": key, "filters": filters, "dry_run": dry_run, "hard": hard}
    with Connection() as daemon:
        found = daemon.call("memory_delete", params)
    if json_:
        as_json(found)
        return
    line(found["message"])
    _warn(found)
    for identity in found["ids"]:
        line(f"  {identity}")


@app.command()
def undelete(
    key: Annotated[str, typer.Argument(help="Id or content hash.")], json_: Annotated[bool, JSON] = False
) -> None:
    """Undo a delete."""
    with Connection() as daemon:
        found = daemon.call("memory_update", {"key": key, "restore": True})
    as_json(found) if json_ else _show(found)


@app.command()
def export(
    path: Annotated[
        str, typer.Argument(help="A file, for JSON Lines; a folder (NAME/), for Markdown files; - for standard output.")
    ],
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Write all memories with their versions: into one file, or as a folder of Markdown files with front matter.

    Examples: recollect memory export memories.jsonl, recollect memory export notes/, recollect memory export - | jq .content
    """
    if _is_stream(path):
        with Connection() as daemon, tempfile.TemporaryDirectory() as folder:
            written = Path(folder, "memories.jsonl")
            daemon.call("memory_export", {"path": str(written)})
            with _opened(path, "wb") as stream:
                stream.write(written.read_bytes())
        return
    with Connection() as daemon, waiting("writing the memories"):
        found = daemon.call("memory_export", {"path": _absolute(path)})
    as_json(found) if json_ else line(f"{found['exported']} memories in {found['path']}")


@app.command("import")
def import_(
    path: Annotated[
        str,
        typer.Argument(
            help="JSON Lines of ours or of the reference server, a JSON list, Markdown (a file or a folder), or "
            "mcp-memory-service's database; - for JSON Lines from standard input."
        ),
    ],
    strict: Annotated[bool, typer.Option("--strict", help="Take in nothing if any record is bad.")] = False,
    keep_secrets: KeepSecrets = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Take in memories, all in one step; those known already are merged, bad ones are listed and skipped.

    Exit status 1 where some were skipped, 2 where all were.
    """
    with Connection() as daemon, tempfile.TemporaryDirectory() as folder, waiting("taking memories in"):
        if _is_stream(path):
            with _opened(path, "rb") as stream:
                path = str(Path(folder, "memories.jsonl"))
                Path(path).write_bytes(stream.read())
        params = {"path": _absolute(path), "strict": strict, "keep_secrets": keep_secrets}
        found = daemon.call("memory_import", params)
    as_json(found) if json_ else _show_import(found, "new", "known already")
    if found["skipped"]:
        raise typer.Exit(1 if found["imported"] or found["known"] else 2)


@app.command()
def backup(json_: Annotated[bool, JSON] = False) -> None:
    """Back up now; that also happens by itself once a day, and the last seven are kept."""
    with Connection() as daemon, waiting("backing up"):
        found = daemon.call("memory_backup", {})
    as_json(found) if json_ else line(f"{found['memories']} memories in {found['path']}")


@app.command()
def restore(
    path: Annotated[str | None, typer.Argument(help="A backup; default: the newest.")] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Bring back what a backup holds and is not here any longer. Nothing that is here goes.

    Also where memory.db is damaged, gone or cannot be opened: whatever is there is set aside, not deleted.
    """
    with Connection() as daemon, waiting("bringing memories back"):
        found = daemon.call("memory_restore", {"path": _absolute(path) if path is not None else None})
    as_json(found) if json_ else _show_import(found, "brought back", "were here")


@app.command()
def accept(json_: Annotated[bool, JSON] = False) -> None:
    """Go on without what was lost or damaged: it is not named any longer. What was set aside stays where it is."""
    with Connection() as daemon:
        found = daemon.call("memory_accept", {})
    as_json(found) if json_ else line(found["message"])


@app.command()
def stats(json_: Annotated[bool, JSON] = False) -> None:
    """How many, of which types and tags."""
    with Connection() as daemon:
        found = daemon.call("memory_stats", {})
    if json_:
        as_json(found)
        return
    line(
        f"{found['memories']} memories, {found['deleted']} deleted that can be restored; the last {ago(found['last_at'])}"
    )
    for name in ("types", "tags"):
        if found[name]:
            line(f"{name}: " + ", ".join(f"{key} {count}" for key, count in found[name].items()))
    for said in found["notices"]:
        line(style(said, fg="yellow"))


def _warn(found: dict[str, Any]) -> None:
    next_steps(found)
    if found.get("notice"):
        note(style(found["notice"], fg="yellow"))


def _show_import(found: dict[str, Any], new: str, known: str) -> None:
    skipped = f", {found['skipped']} skipped" if found["skipped"] else ""
    line(f"{found['imported']} {new}, {found['known']} {known}{skipped}")
    for bad in found["bad"]:
        note(f"  {bad['record']}: {bad['reason']}")
    if found["skipped"] > len(found["bad"]):
        note(f"  and {found['skipped'] - len(found['bad'])} more")
    for said in found["notes"]:
        note(f"  {said}")
    _say_redactions(found, "memory import")


def _say_redactions(found: dict[str, Any], command: str) -> None:
    if found.get("redactions"):
        from recollect.memory.redact import summary  # of an answer that is rare

        note(summary(found["redactions"], command))


def _is_stream(path: str) -> bool:
    """Whether it means nothing to the daemon: no file, or one of this process alone."""
    known = Path(path)
    return (
        path == "-"
        or path.startswith(("/dev/", "/proc/"))
        or (known.exists() and not (known.is_file() or known.is_dir()))
    )


def _opened(path: str, mode: Literal["rb", "wb"]) -> BinaryIO:
    if path != "-":
        return open(path, mode)
    return open(1 if mode == "wb" else 0, mode, closefd=False)


def _absolute(path: str) -> str:
    """The daemon is elsewhere; a slash at the end says that a folder is meant."""
    return str(Path(path).expanduser().absolute()) + ("/" if path.endswith("/") else "")


def _show(memory: dict[str, Any]) -> None:
    tags = " ".join(f"#{tag}" for tag in memory["tags"])
    where = f"  {memory['repository']}" if memory["repository"] else ""
    score = f"  {memory['similarity_score']:.2f}" if memory["similarity_score"] is not None else ""
    gone = "  deleted" if memory.get("deleted_at") else ""
    head = f"{style(memory['id'], fg='cyan', bold=True)}  {memory['memory_type']}  {ago(memory['created_at'])}{where}  {tags}"
    line(f"{head.rstrip()}{style(score, dim=True)}{gone}")
    if memory["superseded_by"]:
        line(style(f"  superseded by {memory['superseded_by']}", fg="yellow"))
    block(memory["content"], "  | ")
    for one in memory["refers_to"]:
        symbol = f" ({one['symbol']})" if one["symbol"] else ""
        line(style(f"  refers to {one['path']}{symbol}{', changed since' if one['changed'] else ''}", dim=True))
