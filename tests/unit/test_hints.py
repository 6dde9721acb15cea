"""Every error that a question about code can end with says what to do next."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import recollect

_LAYERS = ("workspace", "search", "jobs", "index", "sync", "store", "secrets")
_ERRORS = {"UserError", "Refused", "Unavailable", "AlreadyRunning"}
_WITHOUT = {  # file → why its errors need no hint
    "workspace/memories.py": "of memories",
    "workspace/vault.py": "of memories",
}


def raised_without_a_hint(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ERRORS:
            hint = next((keyword.value for keyword in node.keywords if keyword.arg == "hint"), None)
            if hint is None or (isinstance(hint, ast.Constant) and not hint.value):
                yield f"{path.name}:{node.lineno} {ast.unparse(node)}"


def test_every_error_below_the_surfaces_says_what_to_do_next() -> None:
    package = Path(recollect.__file__).parent
    files = [path for layer in _LAYERS for path in (package / layer).rglob("*.py")]
    assert len(files) > 80
    names = {path.relative_to(package).as_posix(): path for path in files}
    assert names.keys() >= _WITHOUT.keys()
    assert [said for name, path in names.items() if name not in _WITHOUT for said in raised_without_a_hint(path)] == []


def test_no_hint_for_agents_is_a_command_line_that_a_tool_does_too() -> None:
    """Such a call is given as `call`, which each surface spells."""
    package = Path(recollect.__file__).parent
    commands = (
        "recollect sync",
        "recollect search",
        "recollect symbol",
        "recollect map",
        "recollect list",
        "recollect why",
    )
    found = []
    for path in (path for layer in _LAYERS for path in (package / layer).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                text = ast.unparse(node.value)
                found += [f"{path.name}: {text}" for command in commands if command in text]
    assert found == []
