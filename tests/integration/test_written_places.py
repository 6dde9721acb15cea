"""A place may be written in many ways, and in none of them does it lead to what may not be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recollect.errors import RecollectError, Refused, UserError
from recollect.workspace import Caller, Workspace
from tests.conftest import MakeRepository

LINES = "".join(f"line {number}\n" for number in range(1, 41))
SECRET = "TOKEN=hunter2hunter2hunter2\n"
PRIVATE = "nobody else's business\n"


@pytest.fixture
def root(make_repository: MakeRepository, tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "private.txt").write_text(PRIVATE)
    files = {
        "a.py": LINES,
        "src/my file.py": LINES,
        "[slug]/page.tsx": LINES,
        "caf\u00e9.py": LINES,
        "b.py:12": "itself\n",
    }
    root = make_repository({**files, ".env": SECRET}, "shop")
    (root / "linked").symlink_to("../outside")
    (root / "linked.txt").symlink_to("../outside/private.txt")
    (root / "innocent.txt").symlink_to(".env")
    return root


@pytest.fixture
def workspace(home: Path, root: Path) -> Iterator[Workspace]:
    with Workspace(home) as opened:
        opened.sync(root)
        yield opened


def agent(root: Path) -> Caller:
    return Caller(cwd=str(root), agent=True)


@pytest.mark.parametrize("repository", [None, "shop"])
@pytest.mark.parametrize(
    "text",
    [
        "a.py:3", 'File "{root}/a.py", line 3, in f', "file://{root}/src/my%20file.py#L3", "at f (file://{root}/a.py:3:5)",
        "src\\my file.py:3", "`shop:a.py:3`", "cafe\u0301.py:3", "[slug]/page.tsx:3", "a.py, line 3", "a.py#L3C1-L3C9",
    ],
)  # fmt: skip
def test_a_place_is_read_however_it_is_written(
    workspace: Workspace, root: Path, text: str, repository: str | None
) -> None:
    found = workspace.read(text.format(root=root), repository=repository, caller=agent(root))
    assert (found.text, found.start_line, found.end_line) == ("line 3", 3, 3)


WRITTEN = [
    "{}", "{}:1", "{}:1-3", "shop:{}:1", "{}#L1", "{}(1,1)", "./{}:1", "src/../{}", "{root}/{}", "{root}/{}:1", "file://{root}/{}#L1",
    'File "{}", line 1', 'File "{root}/{}", line 1', "`{}:1`", "at f ({}:1:1)", "vscode://file{root}/{}:1", "{}, line 1", "1. shop:{}:1-2",
]  # fmt: skip
HIDDEN = [".env", ".env\\", "%2eenv", "%2Eenv", "innocent.txt", "linked/private.txt", "linked\\private.txt", "linked.txt",
          ".git/config",
          ".git\\config", "../outside/private.txt", "..\\outside\\private.txt", "%2e%2e/outside/private.txt",
          "src/../../outside/private.txt",
          "linked/../outside/private.txt", "a.py\0", ".env\0", "..%2foutside%2fprivate.txt"]  # fmt: skip


@pytest.mark.parametrize("repository", [None, "shop"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_no_way_to_write_a_place_leads_an_agent_out_of_a_repository_or_to_its_secrets(
    workspace: Workspace, root: Path, hidden: str, repository: str | None
) -> None:
    for written in WRITTEN:
        text = written.replace("{root}", str(root)).replace("{}", hidden)
        if repository is None and "outside" in hidden.replace("linked", ""):
            continue  # a folder that the agent may ask for by its own path
        with pytest.raises(RecollectError) as caught:
            workspace.read(text, repository=repository, caller=agent(root))
        assert caught.value.code != "internal"
        told = f"{caught.value.message} {caught.value.hint} {caught.value.call}"
        assert "hunter2" not in told
        assert "nobody else" not in told
    assert [item.name for item in workspace.repositories().repositories] == ["shop"]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/etc/passwd:1", "file:///etc/passwd", 'File "/etc/passwd", line 1', "~/.ssh/id_rsa:1"]
)
def test_files_outside_of_what_an_agent_may_read_are_refused(workspace: Workspace, root: Path, path: str) -> None:
    for repository in (None, "shop"):
        with pytest.raises(RecollectError) as caught:
            workspace.read(path, repository=repository, caller=agent(root))
        assert caught.value.code in ("refused", "outside", "secret", "no_such_file")


def test_an_agent_is_led_nowhere_by_a_link_in_a_repository_and_a_person_is(workspace: Workspace, root: Path) -> None:
    for ask in (
        lambda who: workspace.search("business", "linked", caller=who),
        lambda who: workspace.sync("linked", caller=who),
    ):
        with pytest.raises(Refused, match="is a link out of shop"):
            ask(agent(root))
    assert workspace.search("business", "linked", content="all", caller=Caller(cwd=str(root))) is not None


def test_what_is_not_there_is_named_without_its_lines_and_the_call_offered_keeps_them(
    workspace: Workspace, root: Path
) -> None:
    with pytest.raises(UserError, match=r"there is no aa\.py in shop") as caught:
        workspace.read("shop:aa.py:3-5", caller=agent(root))
    assert caught.value.call == {
        "tool": "read_code",
        "arguments": {"path": "a.py", "repository": "shop", "start_line": 3, "end_line": 5},
    }


@pytest.mark.parametrize("path", ["nowhere/", "nowhere\\", "/", ":", "x/:3"])
def test_the_search_that_is_offered_for_a_path_has_a_query(workspace: Workspace, root: Path, path: str) -> None:
    with pytest.raises(RecollectError) as caught:
        workspace.read(path, caller=agent(root))
    if caught.value.call is not None and caught.value.call["tool"] == "search_code":
        assert caught.value.call["arguments"]["query"].strip("/\\ ")
