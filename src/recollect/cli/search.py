"""`recollect search`, `symbol`, `why`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from recollect.cli.output import (
    JSON,
    as_json,
    block,
    known_names,
    line,
    next_steps,
    note,
    numbered,
    of_freshness,
    size,
    style,
    table,
    waiting,
)
from recollect.client import Connection

Where = Annotated[
    list[str] | None,
    typer.Argument(help="Paths, names or URLs; default: the repository here, else all.", autocompletion=known_names),
]


def _repositories(where: list[str] | None, all_: bool) -> Any:
    return "*" if all_ else (where or None)


def search(
    query: Annotated[str, typer.Argument(help='A question in words, a symbol, or a "quoted phrase".')],
    where: Where = None,
    all_: Annotated[bool, typer.Option("--all", help="Search all repositories.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Number of hits.")] = 10,
    language: Annotated[
        list[str] | None, typer.Option("--language", "-l", help="Only this language (repeatable).")
    ] = None,
    glob: Annotated[
        list[str] | None, typer.Option("--glob", "-g", help="Only paths like this, e.g. 'src/**/*.ts' (repeatable).")
    ] = None,
    content: Annotated[str, typer.Option(help="code, docs, config or all.")] = "code",
    mode: Annotated[str, typer.Option(help="hybrid, or regex (RE2) for an exact expression.")] = "hybrid",
    changed_since: Annotated[str | None, typer.Option(help="Only files changed since this git revision.")] = None,
    snippet_lines: Annotated[int, typer.Option(help="Lines shown of each hit; 0: none.")] = 12,
    chunks: Annotated[bool, typer.Option("--chunks", help="Rank pieces of files rather than files.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each score is made of.")] = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Find code by meaning, words or symbol.

    Examples:

      recollect search "where is the session cookie signed"

      recollect search SessionInterface --all --limit 3

      recollect search "retry with backoff" ~/src/api ~/src/worker -l python -g 'src/**'
    """
    params = {
        "query": query,
        "repositories": _repositories(where, all_),
        "limit": limit,
        "language": language or None,
        "path_glob": glob or None,
        "content": content,
        "mode": mode,
        "changed_since": changed_since,
        "snippet_lines": snippet_lines,
        "chunks": chunks,
        "explain": explain,
    }
    with Connection() as daemon:
        result = daemon.call("search", params)
    if json_:
        as_json(result)
        return
    several = len({hit["repository"] for hit in result["hits"]}) > 1 or all_ or not where
    for hit in result["hits"]:
        _hit(hit, several, snippet_lines > 0)
    if not result["hits"]:
        note("no hits")
        next_steps(result)
    if result.get("vectors"):
        note(f"(vectors: {result['vectors']}; the bundled ones serve)")
    _freshness(result["freshness"])


def _hit(hit: dict[str, Any], several: bool, with_snippet: bool) -> None:
    place = f"{hit['repository']}:" if several else ""
    head = style(f"{place}{hit['path']}", fg="cyan", bold=True) + f":{hit['start_line']}-{hit['end_line']}"
    symbol = f"  {style(hit['symbol'], bold=True)} ({hit['kind']})" if hit["symbol"] else ""
    more = f"  also {', '.join(f'{a}-{b}' for a, b in hit['more'])}" if hit["more"] else ""
    line(f"{head}{symbol}  {style(format(hit['score'], '.2f'), dim=True)}{style(more, dim=True)}")
    if hit["also_in"]:
        line(style(f"  same content in {', '.join(hit['also_in'])}", dim=True))
    if hit.get("explain"):
        line("  " + "  ".join(f"{name} {value:+.3f}" for name, value in hit["explain"].items()))
    if with_snippet:
        numbered(hit["snippet"], hit["snippet_line"])
        line()


def _freshness(freshness: dict[str, Any]) -> None:
    if not freshness["fresh"]:
        note(f"({of_freshness(freshness)})")


def symbol(
    name: Annotated[str, typer.Argument(help="A name, Class.method, or the beginning of a name.")],
    where: Where = None,
    all_: Annotated[bool, typer.Option("--all", help="Search all repositories.")] = False,
    kind: Annotated[str | None, typer.Option(help="class, function, method, …")] = None,
    references: Annotated[bool, typer.Option("--references", "-r", help="Also list uses.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n")] = 20,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Where a name is defined, and used.

    Example: recollect symbol Session.save --references
    """
    params = {
        "name": name,
        "repositories": _repositories(where, all_),
        "kind": kind,
        "references": references,
        "limit": limit,
    }
    with Connection() as daemon:
        result = daemon.call("symbol", params)
    if json_:
        as_json(result)
        return
    for hit in result["definitions"]:
        place = style(f"{hit['repository']}:{hit['path']}", fg="cyan", bold=True)
        line(f"{place}:{hit['start_line']}-{hit['end_line']}  {hit['kind']} {style(hit['qualified_name'], bold=True)}")
        line(f"        {hit['signature']}")
    if not result["definitions"]:
        note(f"no definition of {name}")
        next_steps(result)
    for hit in result.get("references") or ():
        line(f"{hit['repository']}:{hit['path']}:{hit['start_line']}  {hit['signature']}")
    _freshness(result["freshness"])


def why(
    path: Annotated[str, typer.Argument(help="A file, relative to here or to its repository.")],
    query: Annotated[str | None, typer.Argument(help="A question: where does the file rank for it, and why?")] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Why a file is not indexed, or where it ranks for a question.

    Examples: recollect why build/out.js, recollect why src/app.py "session cookie"
    """
    with Connection() as daemon:
        said = daemon.call("why", {"path": path, "query": query})
    if json_:
        as_json(said)
        return
    reason = f" ({said['reason']})" if said["reason"] else ""
    line(f"{said['repository']}:{said['path']}: {said['status']}{reason}: {said['message']}")
    if said.get("hit"):
        line(f"rank {said['rank']} for {query!r}, score {said['hit']['score']:.3f}:")
        for name, value in said["hit"]["explain"].items():
            line(f"  {name:<20} {value:+.4f}")


def map_(
    where: Annotated[str | None, typer.Argument(help="A repository: name, path or URL; default: the one here.")] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", help="How long it may be.")] = 4000,
    focus: Annotated[
        list[str] | None, typer.Option("--focus", help="A path or symbol to centre it on (repeatable).")
    ] = None,
    files: Annotated[bool, typer.Option("--files", help="Files by importance, size and complexity instead.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", help="With --files, how many.")] = 50,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """The most important definitions of a repository as an outline.

    Examples:

      recollect map

      recollect map api --max-tokens 1000 --focus src/auth --focus SessionStore

      recollect map --files
    """
    with Connection() as daemon, waiting("making the map"):
        if files:
            found = daemon.call("critical_files", {"repository": where, "limit": limit})
        else:
            found = daemon.call("map", {"repository": where, "max_tokens": max_tokens, "focus": focus or []})
    if json_:
        as_json(found)
        return
    if not found["freshness"]["fresh"]:
        note(f"({of_freshness(found['freshness'])})")
    if files:
        rows = [
            (
                f"{one['importance']:.2f}",
                size(one["size_bytes"]),
                str(one["lines"]),
                str(one["complexity"]),
                one["path"],
            )
            for one in found["files"]
        ]
        table(rows, ("importance", "size", "lines", "branches", "file"))
        return
    for name in found.get("not_found") or ():
        note(f"nothing here is called {name}")
    next_steps(found)
    block(found["map"], "")
    note(f"{found['definitions']} of {found['definitions_total']} definitions, about {found['tokens']} tokens")
