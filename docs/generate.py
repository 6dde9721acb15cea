"""Writes docs/reference from the code: `python docs/generate.py` (part of `make docs`; a test holds the files against it)."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

os.environ |= {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}

REFERENCE = Path(__file__).parent / "reference"
_HEAD = "<!-- made by docs/generate.py from the code -->\n"


def commands() -> str:
    import typer

    from recollect.cli.app import app

    def walk(command: Any, path: str) -> Iterator[str]:
        context = command.make_context(path, [], resilient_parsing=True)
        context.info_name = path
        text = command.get_help(context).strip()
        text = re.sub(r"(?m)^Usage: (?:recollect )?.*?(?= \[|$)", f"Usage: {path}", text, count=1)
        text = re.sub(r"(?m)^ +(?:--install-completion|--show-completion)(?:.*\n?)(?: {20,}.*\n?)*", "", text)
        yield f"## {path}\n\n```text\n{text}\n```\n" if path.count(" ") < 2 else f"### {path}\n\n```text\n{text}\n```\n"
        for name, inner in getattr(command, "commands", {}).items():
            if not inner.hidden:
                yield from walk(inner, f"{path} {name}")

    root = typer.main.get_command(app)
    intro = "# Commands\n\nEvery command takes `--json` where it prints data. Data goes to stdout, everything else to stderr.\n\n"
    return intro + "\n".join(walk(root, "recollect"))


def tools() -> str:
    from recollect.server import schema
    from recollect.server.mcp import tools_list_tokens
    from recollect.server.tools import TOOLS

    parts = [
        "# Tools\n\nWhat agents are offered over MCP. Every answer is one text within a budget of tokens (`max_tokens`, which every "
        "tool accepts; four characters count as one token) that says how to have more. A failure is a tool error of one or two lines: "
        "code and message, then what to do next. Programs get the data as well (`structuredContent`, and output schemas) with "
        f"`recollect mcp --structured`. `tools/list` costs about {tools_list_tokens()} tokens. Tools of *compat* are always understood "
        "and listed only with `recollect mcp --toolsets compat`.\n\n"
        'Arguments are read liberally: `null` and blank text mean "not given" for every optional one; numbers and booleans may be text; '
        "lists and objects may be JSON text; a list may also be one value, or text with commas, and one value a list of one; "
        "the words `null`, `none` and `undefined` are nothing, too, except for tools that delete, `query` and `content`; "
        "older names of parameters are "
        "understood. An argument that no tool knows is ignored and named in the answer, but refused by tools that delete.\n"
    ]
    for tool in TOOLS:
        marks = [tool.toolset, "reads" if tool.reads else "destroys" if tool.destroys else "changes"]
        parts.append(f"## {tool.name}\n\n{tool.description} *({', '.join(marks)})*\n")
        described = schema.input_schema(tool.parameters)
        rows = [
            f"| `{name}` | {_type(part)} | {_default(name, part, described)} | {_cell(part.get('description', ''))} |"
            for name, part in described["properties"].items()
        ]
        if rows:
            parts.append("\n".join(["| parameter | type | default | meaning |", "|---|---|---|---|", *rows]) + "\n")
        others = sorted(_other_names(tool.parameters))
        if others:
            parts.append(f"Also understood: {', '.join(others)}.\n")
        if tool.returns is not None:
            parts.append(
                f"With `--structured`: [{tool.returns.__name__}](shapes.md#{tool.returns.__name__.lower()}).\n"
            )
    return "\n".join(parts)


def _other_names(parameters: Any) -> Iterator[str]:
    """Each other name of a parameter, with the parameter that it means."""
    for name, field in parameters.model_fields.items():
        choices = getattr(field.validation_alias, "choices", [])
        others = [f"`{other}`" for other in choices if other != name]
        if others:
            yield f"{', '.join(others)} for `{name}`"


def settings() -> str:
    from recollect.config import described

    rows = []
    for name, default, description, allowed in described():
        shown = ", ".join(map(str, default)) if isinstance(default, tuple) else default
        cell = f"`{shown}`" if shown != "" else ""
        rows.append(f"| `{name.upper()}` | {cell} | {allowed} | {_cell(description)} |")
    intro = (
        "# Settings\n\nFrom strongest to weakest: flags of a command, what was persisted (by `recollect auto-sync config`, "
        "`configure_auto_sync` or the page), the daemon's environment, `config.toml` in the data directory, the environment of "
        "a client that comes later, the default. "
        "`recollect config` shows each with its origin. `RECOLLECT_HOME` says where the data directory is. A value that is not "
        "allowed is an error that names the setting, from whichever of these it comes; one that was persisted (by a newer version, "
        "say) is ignored, and `recollect doctor` says how to repair it.\n\n"
        "The daemon's environment is that of whatever started it. A client (`recollect mcp`, a command) that comes while it runs "
        "and has other values in its environment tells it so. Values of `AUTO_SYNC_…` and `USE_ASYNC_SYNC` that nobody has set "
        "otherwise hold from then on, as if that client had started the daemon, until the daemon ends. Everything else stays as "
        "it is: `recollect mcp` says so on stderr, and `recollect doctor` and `recollect auto-sync status` "
        "name the client, both values, where the one in force comes from, and "
        "the command that changes it. Scan paths of an agent's environment are checked like those that an agent gives. "
        "`RECOLLECT_CLONE_ALLOW_HTTP` and `…_LOCAL` hold for the clones that a client asks for, whatever the daemon has. "
        "Addresses and passwords "
        "(`RECOLLECT_EMBEDDER_URL` and the like) are never told.\n\n"
        "| name | default | allowed | meaning |\n|---|---|---|---|\n"
    )
    return intro + "\n".join(rows) + "\n"


def shapes() -> str:
    from recollect import model

    parts = [
        "# Shapes\n\nWhat the Python interface returns, what commands print with `--json`, and what tools and API answer. Times are "
        "UTC epoch seconds (`_at`); paths are relative to their repository, with `/`.\n"
    ]
    for name, kind in vars(model).items():
        if not inspect.isclass(kind) or kind.__module__ != model.__name__:
            continue
        if issubclass(kind, StrEnum):
            parts.append(f"## {name}\n\n{_doc(kind)}\n\nOne of {', '.join(f'`{one.value}`' for one in kind)}.\n")
        elif dataclasses.is_dataclass(kind) and issubclass(kind, model.Record):
            said = f"{_doc(kind)}\n\n" if kind.__doc__ else ""
            rows = [
                f"| `{field.name}` | `{_cell(str(field.type))}` | {'may be left out' if field.metadata.get('optional') else ''} |"
                for field in dataclasses.fields(kind)
            ]
            parts.append(f"## {name}\n\n{said}| field | type | |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def api() -> str:
    from recollect.server.api import OPERATIONS, PREFIX

    parts = [
        "# API\n\nHow to reach it: [HTTP for programs](../how-to/http.md). `GET` and `DELETE` take their parameters from the path "
        "and the query, `POST` and `PATCH` from the path and a JSON "
        f"body. `{PREFIX}/openapi.json` describes it all for machines. Answers are [shapes](shapes.md).\n"
    ]
    for one in OPERATIONS:
        returns = (
            ", ".join(f"[{kind.__name__}](shapes.md#{kind.__name__.lower()})" for kind in one.returns) or "an object"
        )
        several = f"`{{{one.many}: […]}}` of " if one.many else ""
        parts.append(f"## {one.verb} {one.path}\n\n{one.summary} Answers {several}{returns}.\n")
        described = one.parameters.model_json_schema()
        rows = [
            f"| `{name}` | {_type(_whole(part))} | {_default(name, part, described)} | {_cell(part.get('description', ''))} |"
            for name, part in described.get("properties", {}).items()
        ]
        if rows:
            parts.append("\n".join(["| parameter | type | default | meaning |", "|---|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def exit_codes() -> str:
    from recollect import errors

    found: dict[int, list[str]] = {}
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, errors.RecollectError) and kind is not errors.RecollectError:
            found.setdefault(kind.exit_code, []).append(f"{(kind.__doc__ or '').strip().splitlines()[0]}")
    said = {
        0: ["Done."],
        1: [
            "Done with problems: some files failed, one of several agents could not be set up, the doctor found something."
        ],
        3: ["A bug of ours; the path of the details is printed."],
        130: ["Interrupted. What was committed stays."],
        **found,
    }
    rows = [f"| {code} | {_cell(' '.join(dict.fromkeys(sentences)))} |" for code, sentences in sorted(said.items())]
    return "# Exit codes\n\n| code | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"


PAGES = {
    "commands.md": commands,
    "tools.md": tools,
    "settings.md": settings,
    "shapes.md": shapes,
    "api.md": api,
    "exit-codes.md": exit_codes,
}


def _doc(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "")  # newer Pythons have done so already


def _whole(part: dict[str, Any]) -> dict[str, Any]:
    options = [option for option in part.get("anyOf", []) if option.get("type") != "null"]
    return {**part, "type": [option.get("type") for option in options]} if options else part


def _type(part: dict[str, Any]) -> str:
    if "enum" in part:
        return ", ".join(f"`{one}`" for one in part["enum"])
    kind = part.get("type", "any")
    return kind[0] if isinstance(kind, list) else str(kind)  # beside it stands null: not given


def _default(name: str, part: dict[str, Any], described: dict[str, Any]) -> str:
    if name in described.get("required", ()):
        return "required"
    value = part.get("default")
    return "" if value is None else f"`{json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    REFERENCE.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(_HEAD + make())
    return 0


if __name__ == "__main__":
    sys.exit(main())
