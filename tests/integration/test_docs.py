"""The documents are true: every block of code is run, the reference is what the code says, the site builds, links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import SHOP, MakeRepository, git, write
from tests.git_server import serving

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CLICK = "https://github.com/pallets/click"
_INSTEAD = [  # what cannot be run here as it stands, and what is run in its place
    (r"^make (demo|test)\b.*$", "true"),  # test_demo.py; this
    (r"^pip install \..*$", "true"),  # tests/e2e/test_package.py
    (r"^recollect status --watch.*$", "timeout -s INT 3 recollect status --watch > /dev/null || true"),  # it has no end
    (re.escape(_CLICK), "$CLICK"),  # the same repository, served on loopback
]
_PROGRAMS = {
    "recollect": f'#!/bin/sh\nexec {sys.executable} -m recollect "$@"\n',
    "claude": '#!/bin/sh\n[ "$*" = "mcp add recollect -- recollect mcp" ] && recollect mcp < /dev/null\n',
    "curl": f"""#!{sys.executable}
import sys, urllib.request
words, headers, method, data = sys.argv[1:], {{}}, None, None
while len(words) > 1:
    word = words.pop(0)
    if word == "-H":
        name, _, value = words.pop(0).partition(": ")
        headers[name] = value
    elif word == "-X":
        method = words.pop(0)
    elif word == "-d":
        data = words.pop(0).encode()
with urllib.request.urlopen(urllib.request.Request(words[0], data, headers, method=method)) as answer:
    print(answer.read().decode()[:2000])
""",
}


def test_every_law_names_tests_that_exist() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for page in ("security.md", "promises.md"):
        text = (ROOT / "docs" / page).read_text()
        rows = [line for line in text.splitlines() if line.startswith("| ")]
        laws = [line for line in rows if not line.startswith(("| law |", "| promise |"))]
        assert laws
        for line in laws:
            names = re.findall(r"`(test_\w+)(?:\.py)?`", line)
            folders = re.findall(r"`(tests/[\w/.]+)`", line)
            assert names or folders or "make" in line, line
            for name in names:
                assert f"def {name}(" in tests or list((ROOT / "tests").rglob(f"{name}.py")), name
            for folder in folders:
                assert (ROOT / folder).exists(), folder


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in _BLOCK.findall(page.read_text()) if language in languages]


@pytest.fixture
def user(
    home: Path, tmp_path: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A user's home: a repository in ~/src/shop, an agent, old memories, notes, and the commands on the PATH."""
    folder = tmp_path / "user"
    shop = folder / "src" / "shop"
    write(shop, SHOP)
    git(shop, "init", "-q")
    git(shop, "add", "-A")
    git(shop, "commit", "-qm", "first")
    write(folder / "path" / "to" / "repository", SHOP)
    (folder / ".cursor").mkdir()
    write(folder, {"notes/a.md": "---\ntags: [money]\n---\nPrices are in cents.\n", "old/memory.jsonl": _ENTITY})
    _old_memories(folder / "old" / "sqlite_vec.db")
    programs = folder / "bin"
    programs.mkdir()
    for name, text in _PROGRAMS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755 | stat.S_IEXEC)
    for name, value in {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "BROWSER": "true",
        "PYTHONPATH": str(ROOT / "src"),
        "RECOLLECT_CLONE_ALLOW_HTTP": "1",
        "RECOLLECT_CLONE_ALLOW_LOCAL": "1",
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@example.org",
    }.items():
        monkeypatch.setenv(name, value)
    with serving(tmp_path / "served") as served:
        url = served.publish(
            make_repository({"click/parser.py": "def parse_option(text):\n    return text\n"}, "c"), "click"
        )
        monkeypatch.setenv("CLICK", url)
        yield folder


_ENTITY = (
    json.dumps({"type": "entity", "name": "shop", "entityType": "project", "observations": ["sells carts"]}) + "\n"
)


def _old_memories(path: Path) -> None:
    import sqlite3

    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE memories (id INTEGER PRIMARY KEY, content_hash TEXT, content TEXT, tags TEXT, memory_type TEXT, metadata TEXT, "
            "created_at REAL, updated_at REAL, created_at_iso TEXT, updated_at_iso TEXT)"
        )
        row = ("h", "Answer briefly.", "style", "preference", "{}", 1.7e9, 1.7e9)
        sql = "INSERT INTO memories (content_hash, content, tags, memory_type, metadata, created_at, updated_at) VALUES (?,?,?,?,?,?,?)"
        database.execute(sql, row)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_does_what_it_should(user: Path, page: Path) -> None:
    script = "\n".join(blocks(page, "sh"))
    for pattern, instead in _INSTEAD:
        script = re.sub(pattern, instead, script, flags=re.MULTILINE)
    (user / "script.sh").write_text(f"set -eu\ncd ~\n{script}\necho page-ends\n")
    command = ["bash", "-x", str(user / "script.sh")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, stdin=subprocess.DEVNULL)
    subprocess.run(["recollect", "daemon", "stop"], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("page-ends\n")


def test_the_python_of_the_readme_runs(user: Path) -> None:
    for text in blocks(ROOT / "README.md", "python"):
        done = subprocess.run(
            [sys.executable, "-c", text], cwd=user, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "shop/session.py" in done.stdout


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs").rglob("*.md")) + [ROOT / "README.md"], ids=lambda page: page.stem
)
def test_every_block_is_of_a_kind_that_is_looked_at(page: Path) -> None:
    for language, text in _BLOCK.findall(page.read_text()):
        if language == "json":
            json.loads(text)
        elif language == "toml":
            tomllib.loads(text)
        elif language == "yaml":
            yaml.safe_load(text)
        elif language in ("sh", "python"):
            assert page in PAGES, f"{page.name} holds code that no test runs"
        else:
            assert language == "text", language


def test_the_reference_is_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import generate

    for name, make in generate.PAGES.items():
        text = (ROOT / "docs" / "reference" / name).read_text()
        assert text == generate._HEAD + make(), f"{name} is not what the code says: make docs"


def test_the_site_builds_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "tutorial.html").exists()


def test_links_of_the_readme_lead_somewhere() -> None:
    for path in re.findall(r"\]\((?!http|#)([^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / path).exists(), path


def test_every_agent_is_in_the_document() -> None:
    from recollect.agents.known import agents
    from tests.agents import places

    text = (ROOT / "docs" / "how-to" / "agents.md").read_text()
    for agent in agents(places(Path("/nowhere"))):
        assert agent.title.split()[0] in text, agent.title
