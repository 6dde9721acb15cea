"""`recollect web` and `recollect savings`."""

from __future__ import annotations

from typing import Annotated

import typer

from recollect.cli.output import JSON, as_json, line, note, style, table
from recollect.client import Connection
from recollect.home import home_directory


def web(
    no_open: Annotated[bool, typer.Option("--no-open", help="Only print the link.")] = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Open the page: repositories live, search, memories, maps, activity.

    It is served on 127.0.0.1 alone. The link lets one browser in, once, within two minutes; afterwards a cookie does. Programs use the
    API and MCP at the same address with the token in `run/token` of the data directory.

    Examples:

      recollect web

      recollect web --no-open      # on a remote machine: forward the port, open the link
    """
    with Connection() as daemon:
        found = daemon.call("web", {})
    token = home_directory() / "run" / "token"
    if json_:
        as_json({**found, "token_file": str(token)})
        return
    line(found["url"])
    note(f"API {found['address']}/api/v1, MCP {found['address']}/mcp; their token is in {token}")
    if not no_open:
        import webbrowser

        if not webbrowser.open(found["url"]):
            note("no browser could be opened: open the link yourself, within two minutes")


def savings(
    days: Annotated[int | None, typer.Option("--days", help="Only the last so many days.")] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """What agents did not have to read: their answers against the whole files. An estimate.

    Examples: recollect savings, recollect savings --days 7 --json
    """
    with Connection() as daemon:
        found = daemon.call("savings", {"days": days})
    if json_:
        as_json(found)
        return
    if not found["calls"]:
        note("agents have asked nothing yet")
        return
    rows = [
        (
            one["tool"],
            f"{one['calls']:,}",
            f"{one['returned_tokens']:,}",
            f"{one['whole_tokens']:,}",
            f"{one['saved_tokens']:,}",
        )
        for one in found["tools"]
    ]
    table(rows, ("tool", "answers", "tokens given", "in whole files", "not read"))
    share = found["saved_tokens"] / max(1, found["whole_tokens"])
    line(style(f"about {found['saved_tokens']:,} tokens not read ({share:.0%})", bold=True))
    note(found["basis"])
