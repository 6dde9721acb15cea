"""The commands, put together."""

from __future__ import annotations

import typer

from recollect import __version__
from recollect.cli import auto_sync, daemon, doctor, install, memory, repositories, search, web

app = typer.Typer(
    name="recollect",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Code search for people and coding agents: fast, local, kept in step with your files.\n\n"
    "Start with `recollect sync` in a repository, then `recollect search 'where is the session stored'`.\n\n"
    "Exit codes: 0 done, 1 done with problems, 2 your mistake, 3 our bug, 4 not possible now, 5 refused, "
    "6 damaged data is being rebuilt, 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"recollect {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


app.command("search")(search.search)
app.command("symbol")(search.symbol)
app.command("map")(search.map_)
app.command("why")(search.why)
app.command("sync")(repositories.sync)
app.command("clone")(repositories.clone)
app.command("status")(repositories.status)
app.command("list")(repositories.list_)
app.command("add")(repositories.add)
app.command("cancel")(repositories.cancel)
app.command("forget")(repositories.forget)
app.command("track")(auto_sync.track)
app.add_typer(auto_sync.app, name="auto-sync")
for _name in ("config", "status", "scan", "paths"):
    app.command(f"auto-sync-{_name}", hidden=True)(auto_sync.COMMANDS[_name])
app.command("remember")(memory.remember)
app.command("recall")(memory.recall)
app.add_typer(memory.app, name="memory")
app.add_typer(daemon.app, name="daemon")
app.command("config")(daemon.config)
app.command("doctor")(doctor.doctor)
app.command("web")(web.web)
app.command("savings")(web.savings)
app.command("install")(install.install)
app.command("uninstall")(install.uninstall)


@app.command("mcp", help="Serve MCP on stdin and stdout, for coding agents: claude mcp add recollect -- recollect mcp")
def _mcp(
    toolsets: str = typer.Option("", help="Which tools to list: code,repositories[,compat]."),
) -> None:
    from recollect import pump

    raise typer.Exit(pump.main(["--toolsets", toolsets] if toolsets else []))
