"""Every tool keeps to the budget that it was given, and the call that a cut answer offers works as it stands."""

from __future__ import annotations

import ast
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recollect.errors import RecollectError, UserError
from recollect.server import tools
from recollect.server.tooling import Call
from recollect.workspace import Caller, Workspace
from tests.conftest import SHOP, MakeRepository

LONG = "\n".join(
    f"def needle_{number}(argument, other): return shared_target({number}, argument)" for number in range(900)
)
FILES = {
    **SHOP,
    "gen/long.py": LONG,
    "gen/one line.txt": "needle " * 30_000,
    **{f"a-folder-with-a-long-name/{'x' * 60}_{number}.py": LONG[:3000] for number in range(20)},
}
QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("search_code", {"query": "needle shared_target", "limit": 100, "snippet_lines": 200}),
    ("search_code", {"query": "needle", "mode": "regex", "content": "all"}),
    ("search", {"query": "needle", "repo": "shop", "top_k": 50, "extensionFilter": [".py"]}),
    ("find_symbol", {"name": "needle", "repository": "shop", "limit": 200}),
    ("find_symbol", {"name": "shared_target", "references": True, "limit": 200}),
    ("find_related", {"path": "gen/long.py", "line": 3}),
    ("read_code", {"path": "gen/long.py"}),
    ("read_code", {"path": "shop:gen/one line.txt"}),
    ("get_repo_map", {"focus": ["nothing-like-this"] * 50}),
    ("list_repositories", {}),
    ("get_repository_status", {"repository": "shop"}),
    ("get_auto_sync_status", {}),
]


@pytest.fixture
def root(make_repository: MakeRepository) -> Path:
    return make_repository(FILES, "shop")


@pytest.fixture
def workspace(home: Path, root: Path) -> Iterator[Workspace]:
    with Workspace(home) as opened:
        opened.sync(root)
        yield opened


def ask(workspace: Workspace, root: Path, tool: str, arguments: dict[str, Any]) -> str:
    call = Call(workspace, Caller(cwd=str(root), agent=True), lambda progress: None, threading.Event())
    return tools.counted(tool, arguments, call)[1]


def offered(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The calls in an answer, read as a program would."""
    calls = []
    for start in (found.start() for found in re.finditer(r"\b[a-z_]+\((?=[a-z_]+=)", text)):
        for end in (found.end() for found in re.finditer(r"\)", text[start : start + 2000])):
            try:
                parsed = ast.parse(text[start : start + end], mode="eval").body
            except SyntaxError:
                continue
            if isinstance(parsed, ast.Call) and isinstance(parsed.func, ast.Name) and parsed.func.id in tools.BY_NAME:
                values = {word.arg: _value(word.value) for word in parsed.keywords if word.arg}
                calls.append((parsed.func.id, values))
            break
    return calls


def _value(node: ast.expr) -> Any:
    return {"true": True, "false": False}[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)


@pytest.mark.parametrize("max_tokens", [50, 60, 100, 300, 1000, 4000])
def test_the_text_of_every_answer_keeps_to_the_budget(workspace: Workspace, root: Path, max_tokens: int) -> None:
    for tool, arguments in QUESTIONS:
        unknown = {f"an_argument_that_nobody_knows_{number}": 1 for number in range(6)}
        for extra in ({}, unknown):
            text = ask(workspace, root, tool, {**arguments, **extra, "max_tokens": max_tokens})
            assert len(text) <= max_tokens * 4, (tool, arguments, text[-300:])


def test_what_a_cut_answer_offers_works_as_it_stands_and_shows_more(workspace: Workspace, root: Path) -> None:
    for tool, arguments in QUESTIONS[:8]:
        text = ask(workspace, root, tool, arguments)
        assert len(text) <= 18_000
        if "… " not in text[-600:]:
            continue  # all of it is there
        calls = offered(text[-600:])
        assert calls, (tool, arguments, text[-300:])
        for name, again in calls:
            answer = ask(workspace, root, name, again)
            assert "ignored" not in answer
            assert len(answer) > len(text) or "start_line" in again


def test_no_call_that_changes_something_is_offered_again_because_its_answer_was_cut(
    workspace: Workspace, root: Path
) -> None:
    text = ask(
        workspace, root, "sync_repository", {"repository": "shop", "max_tokens": 50, "name": "x" * 90, "unknown": 1}
    )
    assert "cut" in text
    assert "sync_repository(" not in text


def test_a_cut_line_is_not_passed_over(workspace: Workspace, root: Path) -> None:
    (root / "gen/long line.txt").write_text("a" * 50_000 + "\nlast\n")
    text = ask(workspace, root, "read_code", {"path": "gen/long line.txt"})
    assert [call[1]["start_line"] for call in offered(text[-400:])] == [1, 2]


@pytest.mark.parametrize("line", [2**31, 10**30, "1e20", "9" * 30])
def test_a_line_that_no_file_has_is_answered(workspace: Workspace, root: Path, line: Any) -> None:
    for tool, name in (("find_related", "line"), ("read_code", "start_line")):
        with pytest.raises(UserError):
            ask(workspace, root, tool, {"path": "gen/long.py", name: line})
    assert "of 900 lines" in ask(workspace, root, "read_code", {"path": "gen/long.py", "end_line": line})


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("read_code", {"path": "x" * 1_000_000}),
        ("find_related", {"path": "x" * 1_000_000, "line": 1}),
        ("search_code", {"query": "x", "repository": "y" * 1_000_000}),
        ("search_code", {"query": "x", "path_glob": "a\0b"}),
        ("list_memories", {"time": "x" * 1_000_000}),
        ("configure_auto_sync", {"scan_paths": ["/" + "x" * 1_000_000]}),
    ],
)
def test_an_error_is_short_whatever_it_repeats(
    workspace: Workspace, root: Path, tool: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(RecollectError) as caught:
        ask(workspace, root, tool, arguments)
    assert caught.value.code != "internal"
    assert len(caught.value.message) + len(caught.value.hint) < 3_200


def test_a_map_whose_head_is_long_is_made_smaller_and_not_cut(workspace: Workspace, root: Path) -> None:
    text = ask(workspace, root, "get_repo_map", {"focus": [f"nothing_like_number_{number}" for number in range(40)]})
    assert "… cut" not in text
    assert len(text) <= 16_000


def test_the_rest_of_a_list_is_one_call_away(workspace: Workspace, root: Path, make_repository: MakeRepository) -> None:
    for number in range(3):
        workspace.add(str(make_repository(SHOP, f"shop-{number}")))
    ((tool, arguments),) = offered(ask(workspace, root, "list_repositories", {"limit": 1, "query": "shop"}))
    assert (tool, arguments) == ("list_repositories", {"query": "shop", "limit": 4})
