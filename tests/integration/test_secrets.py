"""Files that hold keys or passwords: left out of the index and of every answer, unless their owner includes them."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from recollect.errors import Refused, UserError
from recollect.server import methods
from recollect.workspace import Caller, Workspace
from tests.conftest import MakeRepository, git, write
from tests.secret_texts import block, opaque

WORD = "zanzibarcanary"
SECRETS = {
    ".env": f"TOKEN={WORD}1x\n",
    "id_ed25519_work.bak": f"{WORD}\n",
    "deploy/prod.env": f"A={WORD}\n",
    "kubeconfig": f"users: {WORD}\n",
    ".docker/config.json": f'{{"{WORD}": 1}}\n',
    "infra/terraform.tfstate": f'{{"{WORD}": 1}}\n',
    "notes/old.txt": block("RSA PRIVATE KEY") + f"\n{WORD}\n",
    "ID_RSA": f"{WORD}\n",
}
CODE = {"app.py": "def main() -> None:\n    print('hello')\n", "secrets.py": "def read_secret(): ...\n"}


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as opened:
        yield opened


@pytest.fixture
def root(make_repository: MakeRepository) -> Path:
    return make_repository({**CODE, **SECRETS}, "shop")


def answers(workspace: Workspace, root: Path) -> list[str]:
    """Everything that questions give of the word that only secrets hold."""
    found = []
    for mode in ("hybrid", "regex"):
        hits = workspace.search(WORD, "shop", mode=mode, content="all").hits
        found += [hit.path for hit in hits if hit.path in SECRETS or WORD in hit.snippet]
    for path in SECRETS:
        with pytest.raises(Refused, match="keys or passwords") as refused:
            workspace.read(path, repository="shop")
        assert ".recollectignore" in (refused.value.hint or "")
    return found


def test_secrets_are_in_no_answer_and_the_reason_is_told(workspace: Workspace, root: Path) -> None:
    workspace.sync(root)
    reports = {report.path: report.reason for report in workspace.files("shop")}
    assert {path for path, reason in reports.items() if reason == "secret"} == set(SECRETS)
    assert answers(workspace, root) == []
    assert WORD not in str(workspace.map("shop"))
    for path in SECRETS:
        said = workspace.why(path, caller=Caller(cwd=str(root)))
        assert (said["reason"], "keys or passwords" in said["message"]) == ("secret", True)
        with pytest.raises(UserError):
            workspace.related(path, 1, repository="shop")
    for spelling in ("./.env", ".env/", "deploy/../.env", str(root / ".env"), ".ENV", "id_rsa.", "．env"):
        with pytest.raises((Refused, UserError)):
            workspace.read(spelling, repository="shop")


def test_a_file_that_becomes_a_secret_after_it_was_indexed_is_not_read_out(workspace: Workspace, root: Path) -> None:
    (root / "plain.txt").write_text("nothing in particular\n")
    workspace.sync(root)
    assert workspace.read("plain.txt", repository="shop").text.startswith("nothing")
    (root / "plain.txt").write_text(block("OPENSSH PRIVATE KEY"))
    with pytest.raises(Refused, match="keys or passwords"):
        workspace.read("plain.txt", repository="shop")


@pytest.mark.parametrize("version_control", [True, False])
def test_the_owner_includes_a_file_by_name_and_may_take_that_back(
    workspace: Workspace, root: Path, version_control: bool
) -> None:
    if not version_control:
        shutil.rmtree(root / ".git")
    workspace.sync(root)
    (root / ".recollectignore").write_text("!.env\n!notes/old.txt\n!deploy/\n!infra/**\n")
    workspace.sync(root)
    reports = {report.path: (report.status, report.reason) for report in workspace.files("shop")}
    assert reports[".env"] == reports["notes/old.txt"] == ("indexed", "included")
    assert reports["deploy/prod.env"] == reports["infra/terraform.tfstate"] == ("skipped", "secret")
    assert {hit.path for hit in workspace.search(WORD, "shop", content="all", mode="regex").hits} == {
        ".env",
        "notes/old.txt",
    }
    assert WORD in workspace.read(".env", repository="shop").text
    (root / ".recollectignore").unlink()
    workspace.sync(root)
    assert answers(workspace, root) == []
    before = SECRETS[".env"]
    for content in ("CHANGED=1\n", before):  # what was indexed once does not come back with its content
        (root / ".env").write_text(content)
        workspace.sync(root)
    assert answers(workspace, root) == []


def test_gitignore_includes_no_secret(workspace: Workspace, root: Path) -> None:
    write(root, {".gitignore": ".env*\n!.env\n"})
    workspace.sync(root)
    assert answers(workspace, root) == []
    shutil.rmtree(root / ".git")
    workspace.sync(root)
    assert answers(workspace, root) == []


def test_an_ignored_secret_is_called_a_secret(workspace: Workspace, root: Path) -> None:
    write(root, {".gitignore": "*.local\n", ".env.local": "A=1\n"})
    git(root, "add", ".gitignore")
    workspace.sync(root)
    assert workspace.why(".env.local", caller=Caller(cwd=str(root)))["reason"] == "secret"


TOKEN = "ghp_" + opaque(36)


def test_what_was_replaced_in_a_memory_is_told_and_a_person_may_keep_it(workspace: Workspace) -> None:
    text = f"deploy with {TOKEN} and DB_PASSWORD=Tr0ub4dor3z"
    stored = workspace.remember(text, tags=[TOKEN], metadata={"password": "letmein"})
    assert stored.redactions == {"GitHub token": 2, "password": 2}
    assert stored.redacted == 4
    assert "2 × GitHub token" in stored.message
    assert "--keep-secrets" in stored.message
    memory = workspace.memory.get(stored.id)
    assert not [secret for secret in ("Tr0ub4dor3z", TOKEN, "letmein") if secret in repr(memory)]
    updated = workspace.memory.update(stored.id, content=f"now with {TOKEN}x")
    assert updated.redactions == {"GitHub token": 1}
    with pytest.raises(Refused, match="only a person"):
        workspace.remember(text, keep_secrets=True, caller=Caller(agent=True))
    kept = workspace.remember(text, keep_secrets=True, caller=Caller(cwd="/"))
    assert workspace.memory.get(kept.id).content == text
    assert kept.redactions == {}


def test_secrets_in_an_import_are_replaced(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "memories.jsonl"
    version = {"content": f"before: {TOKEN}", "at": 1_700_000_000}
    record = {"content": f"now: {TOKEN}", "tags": [TOKEN], "metadata": {"token": TOKEN}, "versions": [version]}
    file.write_text(json.dumps(record))
    report = workspace.memory.load(str(file))
    assert report["redactions"] == {"GitHub token": 3, "secret": 1}
    assert TOKEN not in "".join(json.dumps(record) for record in workspace.memory._store.everything())
    assert workspace.memory.load(str(file), keep_secrets=True)["redactions"] == {}
    assert TOKEN in workspace.memory.page().memories[0].content
    run, _ = methods.find("memory_import")
    with pytest.raises(Refused, match="only a person"):
        run(workspace, {"path": str(file), "keep_secrets": True}, Caller(agent=True), print, threading.Event())


def test_a_backup_brings_back_what_a_person_had_kept(workspace: Workspace) -> None:
    kept = workspace.remember(f"deploy with {TOKEN}", keep_secrets=True)
    made = workspace.memory.backup()
    workspace.memory.delete(kept.id, hard=True)
    report = workspace.memory.restore(made["path"])
    assert (report["imported"], report["redactions"]) == (1, {})
    assert workspace.memory.get(kept.id).content == f"deploy with {TOKEN}"
