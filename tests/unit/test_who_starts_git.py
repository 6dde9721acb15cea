"""Exactly one module of ours starts git; whoever else starts a process starts this program itself."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

import recollect
from recollect.errors import Unavailable
from recollect.sync import git_process

_SOURCE = Path(recollect.__file__).parent
_STARTS_GIT = "sync/git_process.py"
# Those that start a process, or know of its type: the interpreter with a module of ours, by a fork or a call.
_START_OURSELVES = {
    "cli/daemon.py",
    "client.py",
    "jobs/indexer.py",
    "jobs/pipe.py",
    "jobs/pool.py",
}
_START_AGENTS = {"agents/listing.py"}  # programs that our table of agents names, asked for their lists of servers
_KNOW_A_PROCESS = {"sync/clone.py", "sync/git.py"}  # names of types and of what a finished process left, alone
_MODULES = {
    "subprocess",
    "pty",
    "_posixsubprocess",
    "multiprocessing",
    "popen2",
    "commands",
    "pexpect",
    "sh",
    "plumbum",
}
_MODULES |= {"git", "pygit2", "dulwich", "asyncio.subprocess"}
_CALLS = {name for name in dir(os) if name.startswith(("exec", "spawn", "posix_spawn", "popen"))} | {"system"}
_CALLS |= {"create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"}
_ANY_OBJECT = {"getattr", "import_module", "__import__", "attrgetter", "methodcaller"}
_TYPES = {"Popen", "CompletedProcess", "TimeoutExpired"}


def starters(tree: ast.Module) -> set[str]:
    """What in a module can start a process, whatever the form of the call."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names if _starts(name.name)}
        elif isinstance(node, ast.ImportFrom):
            inside = f"{node.module or ''}."
            found |= {
                inside + name.name for name in node.names if _starts(node.module or "") or _starts(inside + name.name)
            }
            if node.module in ("os", "posix", "asyncio"):
                found |= {name.name for name in node.names if name.name in _CALLS}
        elif isinstance(node, ast.Attribute) and node.attr in _CALLS:
            found.add(node.attr)
        elif isinstance(node, ast.Call) and _name(node.func) in _ANY_OBJECT:
            words = {word.value for word in node.args if isinstance(word, ast.Constant)}
            found |= words & (_MODULES | _CALLS)
    return found


def _starts(module: str) -> bool:
    if module.startswith("recollect"):
        return False
    return any(module == name or module.startswith(name + ".") for name in _MODULES)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def names_git(tree: ast.Module) -> bool:
    """Whether a module holds the program's name as the beginning of a command."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.List, ast.Tuple)) and node.elts and _is_git(node.elts[0]):
            return True
        if isinstance(node, ast.Call) and node.args and _is_git(node.args[0]):
            return True
    return False


def _is_git(node: ast.expr) -> bool:
    word = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return word == "git" or word.startswith("git ") or word.endswith("/git")


def modules() -> list[tuple[str, ast.Module]]:
    paths = sorted(_SOURCE.rglob("*.py"))
    return [(path.relative_to(_SOURCE).as_posix(), ast.parse(path.read_bytes())) for path in paths]


def test_exactly_one_module_starts_git() -> None:
    starting = {name for name, tree in modules() if starters(tree)}
    assert starting == {_STARTS_GIT, *_START_OURSELVES, *_START_AGENTS, *_KNOW_A_PROCESS}
    by_name = {name for name, tree in modules() if name in starting - _KNOW_A_PROCESS and names_git(tree)}
    assert by_name == {_STARTS_GIT}
    for name, tree in modules():
        if name in _KNOW_A_PROCESS:
            used = {
                node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_subprocess(node.value)
            }
            assert used <= _TYPES, name
            assert not any(
                isinstance(node, ast.Call) and _is_subprocess(_owner(node.func)) for node in ast.walk(tree)
            ), name


def _is_subprocess(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Name) and node.id == "subprocess"


def _owner(node: ast.AST) -> ast.AST | None:
    return node.value if isinstance(node, ast.Attribute) else None


@pytest.mark.parametrize(
    "text",
    [
        "import subprocess as s\ns.run(['git'])",
        "from subprocess import check_output",
        "import os\nos.system('git status')",
        "from os import popen as p",
        "import os\nos.execvp('git', ['git'])",
        "import os as o\no.posix_spawnp('git', ['git'], {})",
        "import asyncio\nasyncio.create_subprocess_exec('git')",
        "import importlib\nimportlib.import_module('subprocess')",
        "__import__('subprocess')",
        "import os\ngetattr(os, 'system')('git')",
        "import pty\npty.spawn('git')",
        "loop.subprocess_shell(x, 'git')",
        "import pygit2",
        "from git import Repo",
    ],
)
def test_every_form_of_call_is_seen(text: str) -> None:
    assert starters(ast.parse(text))


def test_the_module_that_starts_git_keeps_its_reading_commands_from_the_files_of_a_work_tree() -> None:
    from recollect.sync import git_process

    assert not git_process._READING & {
        "diff",
        "diff-files",
        "status",
        "checkout",
        "add",
        "stash",
        "grep",
        "archive",
        "blame",
    }


def test_a_git_that_takes_too_long_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"git ls-files took longer than 0 s") as caught:
        git_process.run(["--literal-pathspecs", "ls-files", "-z"], tmp_path, None, timeout_s=0.0)
    assert "git status" in caught.value.hint
