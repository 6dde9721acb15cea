"""A loop over repositories looks at none of them directly: one that fails or hangs would take the others with it."""

from __future__ import annotations

import ast
from pathlib import Path

import recollect

_LOOKS = frozenset(
    """is_dir is_file exists is_folder lexists isdir isfile stat lstat scandir listdir open read readlink realpath resolve
    access iterdir glob rglob check_listable work_tree_root git_folder shared_folder head_quickly head remote_url place
    is_bare run output present reach attend look_outside look_at_head deciding_files file_state discover""".split()
)


def looks_in_loops(tree: ast.AST) -> list[tuple[int, str]]:
    """(line, call) of every direct look at a repository in a loop over `….repositories()`."""
    found = []
    names = {  # variables that hold such a list
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _lists_repositories(node.value, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and _lists_repositories(node.iter, names):
            bodies: list[ast.AST] = list(node.body)
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)) and any(
            _lists_repositories(part.iter, names) for part in node.generators
        ):
            bodies = [node]
        else:
            continue
        for body in bodies:
            found += [(call.lineno, name) for call in ast.walk(body) if (name := _look(call))]  # type: ignore[attr-defined]
    return found


def _lists_repositories(node: ast.AST, names: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in names
    calls = (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))
    return any(isinstance(call.func, ast.Attribute) and call.func.attr == "repositories" for call in calls)


def _look(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name if name in _LOOKS else ""


def test_no_loop_over_repositories_looks_at_one_of_them_directly() -> None:
    source = Path(recollect.__file__).parent
    found = {
        f"{path.relative_to(source)}:{line}: {name}"
        for path in sorted(source.rglob("*.py"))
        for line, name in looks_in_loops(ast.parse(path.read_bytes()))
    }
    assert found == set()


def test_such_a_loop_is_found_in_every_form() -> None:
    for text in (
        "for item in catalog.repositories():\n    if item.path.is_dir():\n        pass",
        "known = [item for item in self._catalog.repositories() if item.path.exists()]",
        "known = self._catalog.repositories()\nfor item in known:\n    upkeep.attend(item)",
        "{item.id: git.shared_folder(item.path) for item in sorted(catalog.repositories())}",
    ):
        assert looks_in_loops(ast.parse(text)), text
    assert not looks_in_loops(ast.parse("looks.each([item.id for item in catalog.repositories()], look)"))
