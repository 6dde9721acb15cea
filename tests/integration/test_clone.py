"""Cloning by URL, against a real `git http-backend` on loopback: every way it ends, and that nothing is left of a failure."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import pytest

from recollect.errors import Cancelled, RecollectError, Refused, UserError
from recollect.store.catalog import Catalog
from recollect.sync import clone as making
from recollect.sync import worktree
from recollect.sync.address import Permissions, parse
from recollect.workspace import Caller, Workspace, clones
from recollect.workspace.clones import Clones
from tests.conftest import SHOP, MakeRepository, git, wait_until, write
from tests.git_server import GitServer, serving


@pytest.fixture(autouse=True)
def _permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_HTTP", "1")
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_LOCAL", "true")
    for name in (
        "GIT_TOKEN",
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with serving(tmp_path / "served") as made:
        yield made


@pytest.fixture
def shop(server: GitServer, make_repository: MakeRepository) -> str:
    return server.publish(make_repository(SHOP), "team/shop")


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as made:
        yield made


def left_over(home: Path) -> list[str]:
    """What clones left on the disk beside those that are whole."""
    return [str(path) for path in (home / "clones" / ".partial").glob("*")]


def texts_of(home: Path) -> bytes:
    """All that is written below a home, its clones' own objects left out."""
    return b"".join(
        path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and "objects" not in path.parts and not path.is_socket()
    )


def test_a_clone_is_searched_by_its_url(workspace: Workspace, shop: str, home: Path) -> None:
    seen = []
    answer = workspace.clone(shop, on_progress=seen.append)
    assert answer.status == "cloned"
    found = workspace.search("sign cookies", shop)
    assert found.hits[0].path == "shop/session.py"
    assert found.freshness.fresh
    status = workspace.status(shop)
    assert (status.clone_status.status, status.clone_status.percentage) == ("cloned", 100.0)
    assert status.clone_status.completed_at is not None
    assert status.tracked
    assert Path(answer.path).is_dir()
    assert {one.phase for one in seen} >= {"cloning"}
    assert workspace.clone_status(answer.path).status == workspace.clone_status(answer.repository).status == "cloned"
    assert left_over(home) == []
    assert (home / "clones").stat().st_mode & 0o077 == 0


def test_a_call_in_the_background_answers_at_once(workspace: Workspace, server: GitServer, shop: str) -> None:
    server.delay_s = 1.0
    started = time.monotonic()
    answer = workspace.clone(shop, background=True)
    assert time.monotonic() - started < 0.9
    assert answer.status == "accepted"
    report = workspace.clone_status(shop)
    assert (report.status, report.path) == ("cloning", answer.path)
    assert workspace.status(answer.repository).state == "cloning"
    assert [item.activity for item in workspace.repositories().repositories] == ["cloning"]
    assert [item.state for item in workspace.statuses()] == ["cloning"]
    assert workspace.clone(shop, wait_s=0.1).status == "accepted"
    wait_until(lambda: workspace.clone_status(shop).status == "cloned")
    wait_until(lambda: workspace.status(answer.repository).freshness.fresh)
    assert workspace.search("sign cookies", answer.path).hits


def test_ten_callers_and_all_spellings_get_one_clone(workspace: Workspace, server: GitServer, shop: str) -> None:
    server.delay_s = 0.3
    spellings = [
        shop,
        shop.removesuffix(".git"),
        shop + "/",
        shop.replace("http://", "http://user:secret@"),
        shop.upper().replace("TEAM/SHOP.GIT", "team/shop"),
    ]
    answers = []
    threads = [
        threading.Thread(target=lambda url=url: answers.append(workspace.clone(url)), daemon=True)  # type: ignore[misc]
        for url in spellings * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer.path for answer in answers}) == 1
    assert sum("service=git-upload-pack" in path for path in server.requests) == 1
    assert workspace.repositories().total == 1


def test_a_question_about_a_new_url_starts_its_clone(workspace: Workspace, server: GitServer, shop: str) -> None:
    server.delay_s = 0.5
    codes = []
    for _ in range(2):
        with pytest.raises(RecollectError) as caught:
            workspace.search("cookies", shop)
        codes.append(caught.value.to_dict()["code"])
    assert codes == ["clone_started", "still_cloning"]
    wait_until(lambda: workspace.clone_status(shop).status == "cloned")
    assert workspace.search("sign cookies", shop).hits
    missing = f"{server.url}/team/none.git"
    with pytest.raises(RecollectError):
        workspace.search("x", missing)
    wait_until(lambda: workspace.clone_status(missing).status == "failed")
    with pytest.raises(RecollectError, match="no such repository") as caught:
        workspace.search("x", missing)
    assert caught.value.to_dict()["code"] == "clone_failed"


QUESTIONS: dict[str, Callable[[Workspace, str], object]] = {
    "search": lambda workspace, said: workspace.search("cookies", said),
    "search of several": lambda workspace, said: workspace.search("cookies", [said]),
    "symbol": lambda workspace, said: workspace.symbol("Session", said),
    "read": lambda workspace, said: workspace.read("shop/session.py", repository=said),
    "related": lambda workspace, said: workspace.related("shop/session.py", 1, repository=said),
    "outline": lambda workspace, said: workspace.outline("shop/session.py", repository=said),
    "map": lambda workspace, said: workspace.map(said),
    "sync": lambda workspace, said: workspace.sync(said),
    "sync by name": lambda workspace, said: workspace.sync(name=said),
}
OTHERS: dict[str, Callable[[Workspace, str], object]] = {
    "sync status": lambda workspace, said: workspace.sync_status(said),
    "remember": lambda workspace, said: workspace.remember("keep this", repository=said),
    "recall": lambda workspace, said: workspace.recall("keep", repository=said),
    "files": lambda workspace, said: workspace.files(said),
    "history": lambda workspace, said: workspace.history(said),
    "configure": lambda workspace, said: workspace.configure_auto_sync({"enabled": True}, said),
}


def codes_of(workspace: Workspace, asked: dict[str, Callable[[Workspace, str], object]], said: str) -> set[str]:
    """(code, whether it may be tried again) of what is said to each question."""
    codes = set()
    for name, ask in asked.items():
        with pytest.raises(RecollectError) as caught:
            ask(workspace, said)
        assert caught.value.retry, name
        assert caught.value.call, name
        codes.add(caught.value.code)
    return codes


@pytest.mark.parametrize("by", ["url", "path", "name"])
def test_a_clone_that_runs_or_failed_is_known_by_its_url_its_path_and_its_name(
    workspace: Workspace, server: GitServer, shop: str, by: str, home: Path
) -> None:
    server.silent = True
    answer = workspace.clone(shop, background=True)
    said = {"url": shop, "path": answer.path, "name": answer.repository}[by]
    assert codes_of(workspace, QUESTIONS, said) == {"still_cloning"}
    if by != "url":
        assert codes_of(workspace, OTHERS, said) == {"still_cloning"}
    if by == "path":
        assert codes_of(workspace, QUESTIONS, f"{said}/shop") == {"still_cloning"}
        with pytest.raises(RecollectError, match=r"still being cloned \(0 %") as caught:
            workspace.read(f"{said}/shop/session.py")
        assert caught.value.code == "still_cloning"
    assert workspace.clone_status(said).status == "cloning"
    assert workspace.status(said).state == "cloning"
    (row,) = workspace.repositories(answer.path).repositories
    assert (row.state, row.activity, "being cloned" in (row.notice or "")) == ("cloning", "cloning", True)
    assert workspace.cancel(said).status == "cancelled"
    assert workspace.clone_status(said).status == "cancelled"
    server.silent = False

    server.token = "needed"
    with pytest.raises(RecollectError):
        workspace.clone(said)  # again, by any of the three
    assert codes_of(workspace, QUESTIONS, said) == {"clone_failed"}
    assert codes_of(workspace, OTHERS, said) == {"clone_failed"}
    assert workspace.clone_status(said).status == "failed"
    assert workspace.status(said).state == "failed"
    (row,) = workspace.repositories().repositories
    assert "authentication" in (row.failure or "")
    server.token = None
    assert workspace.forget(said)["status"] == "forgotten"
    assert workspace.repositories().total == 0
    assert workspace.clone(shop).status == "cloned"
    assert workspace.search("sign cookies", said).hits


def test_a_question_by_name_begins_a_clone_again_that_failed_a_while_ago(
    workspace: Workspace, server: GitServer, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "needed"
    with pytest.raises(RecollectError):
        workspace.clone(shop, "side")
    server.token = None
    git(server.root / "team" / "shop.git", "branch", "side")
    monkeypatch.setattr(clones, "_RETRY_S", 0.0)
    with pytest.raises(RecollectError) as caught:
        workspace.search("cookies", "shop@side")
    assert caught.value.code == "clone_started"
    wait_until(lambda: workspace.clone_status("shop@side").status == "cloned")
    wait_until(lambda: workspace.search("sign cookies", "shop@side").hits)


def test_two_clones_of_one_name_are_told_apart_before_they_are_there(
    workspace: Workspace, server: GitServer, make_repository: MakeRepository, tmp_path: Path
) -> None:
    mine = make_repository({"a.py": "def mine(): pass\n"}, "shop")
    workspace.sync(mine)
    first = server.publish(make_repository({"b.py": "def first(): pass\n"}, "x"), "one/shop")
    second = server.publish(make_repository({"c.py": "def second(): pass\n"}, "y"), "two/shop")
    server.silent = True
    names = [workspace.clone(url, background=True).repository for url in (first, second)]
    assert names == ["shop-2", "shop-3"]
    assert workspace.status("shop").path == str(mine)
    for name in names:
        assert workspace.cancel(name).status == "cancelled"
    server.silent = False
    assert workspace.clone(second).repository == "shop-3"
    other = make_repository({"d.py": "def other(): pass\n"}, "elsewhere/shop-2")
    assert workspace.sync(other).repository == "shop-2-2"  # the name is promised
    assert workspace.clone("shop-2").repository == "shop-2"
    assert workspace.search("first", "shop-2").hits[0].path == "b.py"
    assert workspace.search("second", "shop-3").hits[0].path == "c.py"


def test_an_unknown_url_is_not_a_clone_that_was_not_started(workspace: Workspace) -> None:
    url = "https://someone:s3cr3t@example.org/team/none.git"
    for ask in (workspace.clone_status, workspace.status, workspace.sync_status, workspace.forget, workspace.cancel):
        with pytest.raises(UserError) as caught:
            ask(url)
        assert caught.value.code == "unknown_repository"
        assert caught.value.call == {
            "tool": "clone_repo",
            "arguments": {"url": "https://example.org/team/none.git"},
        }
        assert "s3cr3t" not in str(caught.value.to_dict())


def test_what_goes_wrong_is_said_and_leaves_nothing(
    workspace: Workspace, server: GitServer, shop: str, home: Path
) -> None:
    cases = {}
    with pytest.raises(RecollectError) as caught:
        workspace.clone(f"{server.url}/team/none")
    cases["404"] = caught.value.to_dict()["code"]
    with pytest.raises(RecollectError) as caught:
        workspace.clone(shop, branch="none")
    cases["branch"] = caught.value.to_dict()["code"]
    server.cut_after = 300
    with pytest.raises(RecollectError) as caught:
        workspace.clone(shop)
    cases["cut"] = caught.value.to_dict()["code"]
    server.cut_after = None
    server.token = "s3cr3t-t0ken"
    with pytest.raises(RecollectError) as caught:
        workspace.clone(shop)
    cases["auth"] = caught.value.to_dict()["code"]
    assert cases == {"404": "not_found", "branch": "no_branch", "cut": "connection_cut", "auth": "auth_required"}
    assert left_over(home) == []
    assert workspace.clone_status(shop).status == "failed"
    assert workspace.clone_status(shop).error
    server.token = None
    assert workspace.clone(shop).status == "cloned"  # once more, and it works


def test_a_token_of_the_callers_environment_is_used_and_written_nowhere(
    workspace: Workspace, server: GitServer, shop: str, home: Path, tmp_path: Path
) -> None:
    server.token = "s3cr3t-t0ken"
    caller = Caller(cwd=str(tmp_path), environment={"GIT_TOKEN": server.token, "GIT_TOKEN_HOST": "127.0.0.1"})
    seen: list[bytes] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(entry.read_bytes())
                except OSError:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    answer = workspace.clone(shop.replace("http://", f"http://me:{server.token}@"), caller=caller)
    stop.set()
    thread.join()
    assert answer.status == "cloned"
    assert "cut out" in answer.message
    assert not any(b"s3cr3t" in line for line in seen)
    assert b"s3cr3t" not in texts_of(home)
    other = Caller(cwd=str(tmp_path), environment={"GIT_TOKEN": server.token, "GIT_TOKEN_HOST": "elsewhere.example"})
    with pytest.raises(RecollectError, match="authentication"):
        workspace.clone(shop, "main", caller=other)


def test_git_s_own_credential_helper_is_asked(
    workspace: Workspace, server: GitServer, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "from-the-helper"
    config = tmp_path / "gitconfig"
    config.write_text('[credential]\n\thelper = "!f() { echo username=me; echo password=from-the-helper; }; f"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    making.git.environment.cache_clear()
    answer = workspace.clone(shop)
    making.git.environment.cache_clear()
    assert answer.status == "cloned"


def test_limits_of_time_and_size_and_disk(
    workspace: Workspace,
    server: GitServer,
    make_repository: MakeRepository,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = server.publish(make_repository({"blob.bin": os.urandom(3_000_000), "a.py": "x = 1\n"}, "large"), "large")
    monkeypatch.setattr(making, "_WEIGH_S", 0.0)
    for limits, code in (
        ({"recollect_clone_max_bytes": 1_000_000}, "clone_too_large"),
        ({"recollect_clone_timeout": 1.0}, "clone_timeout"),
    ):
        kept = workspace._upkeep.settings
        workspace._upkeep.settings = replace(kept, **limits)
        server.silent = code == "clone_timeout"
        server.delay_s = 0.0
        with pytest.raises(RecollectError) as caught:
            workspace.clone(large)
        server.silent = False
        workspace._upkeep.settings = kept
        assert caught.value.to_dict()["code"] == code
        assert left_over(home) == []
    monkeypatch.setattr(making, "DISK_FREE", 1 << 60)
    with pytest.raises(RecollectError, match="no space left"):
        workspace.clone(large)
    assert left_over(home) == []


def test_a_clone_that_is_too_large_when_unpacked_is_given_up(
    workspace: Workspace, server: GitServer, make_repository: MakeRepository, home: Path
) -> None:
    url = server.publish(make_repository({f"f{n}.txt": "0" * 400_000 for n in range(40)}, "zeros"), "zeros")
    workspace._upkeep.settings = replace(workspace.settings, recollect_clone_max_bytes=2_000_000)
    with pytest.raises(RecollectError) as caught:
        workspace.clone(url)
    assert caught.value.to_dict()["code"] == "clone_too_large"
    assert left_over(home) == []


def test_a_clone_is_cancelled_within_a_second(workspace: Workspace, server: GitServer, shop: str, home: Path) -> None:
    server.silent = True
    name = workspace.clone(shop, background=True).repository
    wait_until(lambda: server.requests)
    started = time.monotonic()
    assert workspace.cancel(name).status == "cancelled"
    assert time.monotonic() - started < 2
    assert workspace.clone_status(shop).status == "cancelled"
    event = threading.Event()
    threading.Timer(0.3, event.set).start()
    with pytest.raises(Cancelled):
        workspace.clone(shop, cancelled=event)
    assert left_over(home) == []


def test_a_redirect_is_followed_where_that_is_allowed(
    workspace: Workspace, server: GitServer, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path / "old") as old:
        old.redirect = server.url
        assert workspace.clone(f"{old.url}/team/shop.git").status == "cloned"
        for forbidden in ("file:///etc", "ftp://x"):
            old.redirect = forbidden
            with pytest.raises(RecollectError) as caught:
                workspace.clone(f"{old.url}/team/{forbidden[:3]}.git")
            assert caught.value.to_dict()["code"] in ("refused_url", "bad_url")
        first = parse(f"{old.url}/team/other", Permissions(http=True, local=True))
        for forbidden in ("http://169.254.169.254", "http://localhost:1", "http://10.0.0.1", "http://[::1]"):
            old.redirect = forbidden
            with pytest.raises(Refused, match="not a public host"):
                making._redirected(first, Permissions(http=True))


def test_an_empty_repository_and_another_default_branch(
    workspace: Workspace, server: GitServer, make_repository: MakeRepository, tmp_path: Path
) -> None:
    empty = server.root / "empty.git"
    subprocess.run(["git", "init", "-q", "--bare", str(empty)], check=True)
    assert workspace.clone(f"{server.url}/empty.git").status == "cloned"
    assert workspace.status(f"{server.url}/empty.git").files == 0
    work = make_repository(SHOP, "trunked")
    git(work, "checkout", "-qb", "trunk")
    git(work, "branch", "-q", "-D", "master") if "master" in branches(work) else git(work, "branch", "-q", "-D", "main")
    answer = workspace.clone(server.publish(work, "trunked"))
    assert current(Path(answer.path)) == "trunk"


def test_a_branch_is_a_clone_of_its_own(
    workspace: Workspace, server: GitServer, make_repository: MakeRepository
) -> None:
    work = make_repository(SHOP)
    git(work, "checkout", "-qb", "next/one")
    write(work, {"next.py": "def only_on_the_branch():\n    pass\n"})
    git(work, "add", "-A")
    git(work, "commit", "-qm", "next")
    git(work, "checkout", "-q", "-")
    url = server.publish(work, "shop")
    main, other = workspace.clone(url), workspace.clone(url, "next/one")
    assert main.path != other.path
    assert other.repository == "shop@next/one"
    assert [hit.repository for hit in workspace.search("only_on_the_branch", "*").hits if hit.path == "next.py"] == [
        "shop@next/one"
    ]
    with pytest.raises(RecollectError):
        workspace.clone(url, "--upload-pack=x")


def test_hostile_contents_stay_inside(
    workspace: Workspace, server: GitServer, make_repository: MakeRepository, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text("def outside_secret():\n    pass\n")
    work = make_repository(
        {
            "a.py": "def inside():\n    pass\n",
            "Case.py": "def upper_case_name():\n    pass\n",
            "case.py": "def lower_case_name():\n    pass\n",
        }
    )
    (work / "link.py").symlink_to(secret)
    (work / "folder").symlink_to(tmp_path)
    write(work, {".gitattributes": "*.py filter=lfs\n"})
    git(work, "add", "-A")
    git(work, "commit", "-qm", "links")
    answer = workspace.clone(server.publish(work, "links"))
    assert workspace.search("outside_secret", answer.repository).hits == () or all(
        "outside" not in hit.snippet for hit in workspace.search("outside_secret", answer.repository).hits
    )
    with pytest.raises(RecollectError):
        workspace.read("link.py", repository=answer.repository)
    for name in ("upper_case_name", "lower_case_name"):
        assert workspace.search(name, answer.repository).hits[0].path.lower() == "case.py"
    # A tree that git itself would never write: an entry called `..`, and one inside `.git`.
    blob = (
        subprocess.run(
            ["git", "hash-object", "-w", "--stdin"], cwd=work, input=b"pwned\n", capture_output=True, check=True
        )
        .stdout.strip()
        .decode()
    )
    for name in ("..", ".git"):
        inner = subprocess.run(
            ["git", "mktree"], cwd=work, input=f"100755 blob {blob}\tevil\n".encode(), capture_output=True, check=True
        ).stdout.strip()
        tree_bytes = b"40000 " + name.encode() + b"\0" + bytes.fromhex(inner.decode())
        command = ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"]
        tree = (
            subprocess.run(command, cwd=work, input=tree_bytes, capture_output=True, check=True).stdout.strip().decode()
        )
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        commit = (
            subprocess.run(
                ["git", *identity, "commit-tree", tree, "-m", "x"], cwd=work, capture_output=True, check=True
            )
            .stdout.strip()
            .decode()
        )
        git(work, "update-ref", "refs/heads/evil", commit)
        url = server.publish(work, f"evil{len(name)}")
        with pytest.raises(RecollectError):
            workspace.clone(url, "evil")
        assert not list(workspace.home.rglob("evil"))


def branches(work: Path) -> list[str]:
    said = subprocess.run(
        ["git", "branch", "--format=%(refname:short)"], cwd=work, capture_output=True, text=True, check=True
    )
    return said.stdout.split()


def current(work: Path) -> str:
    said = subprocess.run(["git", "branch", "--show-current"], cwd=work, capture_output=True, text=True, check=True)
    return said.stdout.strip()


# -- kept where the remote is -----------------------------------------------------------------------------------------


def advance(work: Path, server: GitServer, name: str, files: dict[str, str | bytes]) -> None:
    write(work, files)
    git(work, "add", "-A")
    git(work, "commit", "-qm", "more")
    git(work, "push", "-q", "--force", str(server.root / f"{name}.git"), "HEAD")


def test_a_sync_fetches_what_is_new(workspace: Workspace, server: GitServer, make_repository: MakeRepository) -> None:
    work = make_repository(SHOP)
    answer = workspace.clone(server.publish(work, "shop"))
    advance(work, server, "shop", {"new.py": "def just_pushed():\n    pass\n"})
    workspace.sync(answer.path)
    assert workspace.search("just_pushed", answer.repository).hits[0].path == "new.py"
    assert workspace.clone_status(answer.path).notice is None
    git(work, "reset", "-q", "--hard", "HEAD~1")
    advance(work, server, "shop", {"other.py": "def rewritten_history():\n    pass\n"})
    workspace.sync(answer.path)
    assert workspace.search("rewritten_history", answer.repository).hits[0].path == "other.py"
    assert all(hit.path != "new.py" for hit in workspace.search("just_pushed", answer.repository).hits)
    assert "rewritten" in (workspace.clone_status(answer.path).notice or "")


def test_remotes_are_looked_at_in_the_background(
    home: Path, server: GitServer, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_FETCH_INTERVAL", "1")
    work = make_repository(SHOP)
    url = server.publish(work, "shop")
    with Workspace(home) as workspace:
        name = workspace.clone(url).repository
        advance(work, server, "shop", {"new.py": "def came_by_itself():\n    pass\n"})
        wait_until(lambda: any(hit.path == "new.py" for hit in workspace.search("came_by_itself", name).hits))
        # a renamed default branch
        git(work, "checkout", "-qb", "fresh")
        advance(work, server, "shop", {"newer.py": "def on_the_new_default():\n    pass\n"})
        git(server.root / "shop.git", "symbolic-ref", "HEAD", "refs/heads/fresh")
        wait_until(lambda: "default branch is now fresh" in (workspace.clone_status(name).notice or ""))
        wait_until(lambda: any(hit.path == "newer.py" for hit in workspace.search("on_the_new_default", name).hits))
        # the remote goes; what is here stays, and the next looks come later and later
        (server.root / "shop.git").rename(server.root / "gone.git")
        wait_until(lambda: "no such repository" in (workspace.clone_status(name).notice or ""))
        assert workspace.search("on_the_new_default", name).hits
        assert any("cannot be asked" in notice for notice in workspace.about()["notices"])
        (server.root / "gone.git").rename(server.root / "shop.git")
        wait_until(lambda: workspace.clone_status(name).notice is None, 30)


def test_changes_that_somebody_made_in_a_clone_are_left_alone(
    workspace: Workspace, server: GitServer, make_repository: MakeRepository
) -> None:
    work = make_repository(SHOP)
    answer = workspace.clone(server.publish(work, "shop"))
    advance(work, server, "shop", {"new.py": "x = 1\n"})
    mine = Path(answer.path) / "shop" / "cart.py"
    mine.write_text("# mine\n")
    workspace.sync(answer.path)
    assert mine.read_text() == "# mine\n"
    assert "changes of its own" in (workspace.clone_status(answer.path).notice or "")
    git(Path(answer.path), "checkout", "-q", ".")
    assert not worktree.has_changes(Path(answer.path))
    mine.write_text("# mine\n")
    index = Path(answer.path) / ".git" / "index"
    index.write_bytes(b"broken" + index.read_bytes())
    assert worktree.has_changes(Path(answer.path))  # for git cannot tell
    said = workspace.forget(answer.repository)
    assert "stays" in said["message"]
    assert mine.exists()


def test_a_forgotten_clone_is_gone_and_can_be_had_again(workspace: Workspace, shop: str) -> None:
    answer = workspace.clone(shop)
    assert "removed" in workspace.forget(answer.repository)["message"]
    assert not Path(answer.path).exists()
    with pytest.raises(UserError) as unknown:
        workspace.clone_status(shop)
    assert unknown.value.to_dict()["code"] == "unknown_repository"
    assert unknown.value.call == {"tool": "clone_repo", "arguments": {"url": shop}}
    assert workspace.clone(shop).status == "cloned"


def test_history_follows_in_the_background(
    workspace: Workspace, server: GitServer, make_repository: MakeRepository
) -> None:
    work = make_repository(SHOP)
    for number in range(5):
        write(work, {"n.py": f"x = {number}\n"})
        git(work, "add", "-A")
        git(work, "commit", "-qm", f"number {number}")
    path = Path(workspace.clone(server.publish(work, "shop")).path)

    def commits() -> int:
        said = subprocess.run(
            ["git", "rev-list", "--count", "HEAD"], cwd=path, capture_output=True, text=True, check=False
        )
        return int(said.stdout or 0)

    wait_until(lambda: commits() == 6)
    advance(work, server, "shop", {"n.py": "x = 1\n"})  # contents that came back, which were never fetched
    server.token = "needed-now"
    caller = Caller(environment={"GIT_TOKEN": "needed-now"})
    workspace.sync(path, caller=caller)
    server.token = None
    assert (path / "n.py").read_text() == "x = 1\n"
    shallow = Path(workspace.clone(server.publish(work, "two"), depth=2).path)
    said = subprocess.run(
        ["git", "rev-list", "--count", "HEAD"], cwd=shallow, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "2"


def test_clones_over_the_budget_are_proposed_and_removed_only_where_that_is_allowed(
    workspace: Workspace, server: GitServer, make_repository: MakeRepository
) -> None:
    one = workspace.clone(server.publish(make_repository(SHOP, "one"), "one"))
    two = workspace.clone(server.publish(make_repository(SHOP, "two"), "two"))
    workspace.search("cart", two.repository)
    clones: Clones = workspace.clones
    assert clones.proposals() == []
    workspace._upkeep.settings = replace(workspace.settings, recollect_clones_budget=1)
    assert [repository.name for _, repository, _ in clones.proposals()] == [one.repository, two.repository]
    assert any("over the budget" in finding.message for finding in workspace.diagnose())
    workspace._upkeep.settings = replace(workspace.settings, recollect_clones_evict=True)
    clones._evict()
    assert Path(one.path).exists()  # it was used not long ago
    long_ago = time.time() - 40 * 86_400
    repository = workspace._registry.known(one.repository, Caller())
    workspace._catalog.update(repository.id, last_access=long_ago)
    clones._evict()
    assert not Path(one.path).exists()
    assert Path(two.path).exists()


def test_a_clone_that_a_crash_cut_short_is_begun_again(home: Path, server: GitServer, shop: str) -> None:
    server.silent = True
    with Workspace(home) as workspace:
        workspace.clone(shop, background=True)
        wait_until(lambda: server.requests)
    half = home / "clones" / ".partial" / "half"
    half.mkdir(parents=True, exist_ok=True)
    server.silent = False
    with Workspace(home) as workspace:
        wait_until(lambda: workspace.clone_status(shop).status == "cloned")
        wait_until(lambda: workspace.status(shop).freshness.fresh)
        assert not half.exists()


def test_what_became_of_a_clone_is_clear_after_a_restart(
    home: Path, server: GitServer, shop: str, make_repository: MakeRepository
) -> None:
    other = server.publish(make_repository(SHOP, "other"), "team/other")
    server.silent = True
    with Workspace(home) as workspace:
        names = [workspace.clone(url, background=True).repository for url in (shop, other)]
        wait_until(lambda: len(server.requests) > 1)
        (record,) = [item for item in workspace.clones.unregistered() if item.url == other]
    with closing(Catalog(home / "catalog.db")) as catalog:  # as if it had been killed while one was cancelled
        catalog.clones.change(record, wanted=0)
    with Workspace(home) as workspace:
        assert [workspace.clone_status(name).status for name in names] == ["cloning", "cancelled"]
        with pytest.raises(RecollectError) as caught:
            workspace.search("cookies", names[0])
        assert caught.value.code == "still_cloning"
        assert {item.name: str(item.state) for item in workspace.repositories().repositories} == {
            "shop": "cloning",
            "other": "failed",
        }
        workspace.cancel("shop")
    with Workspace(home) as workspace:
        assert workspace.clone_status("shop").status == "cancelled"
        server.silent = False
        assert workspace.clone("shop").status == "cloned"


def test_a_repository_that_is_here_already_is_not_cloned(
    workspace: Workspace, server: GitServer, shop: str, tmp_path: Path
) -> None:
    subprocess.run(["git", "clone", "-q", shop, str(tmp_path / "mine")], check=True)
    workspace.sync(tmp_path / "mine")
    answer = workspace.clone(shop.removesuffix(".git"))
    assert (answer.status, answer.path) == ("cloned", str(tmp_path / "mine"))
    assert "already" in answer.message


def test_hooks_of_templates_and_submodules_are_not_run(
    workspace: Workspace,
    server: GitServer,
    make_repository: MakeRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    hook = hooks / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    config = tmp_path / "gitconfig"
    config.write_text(f"[init]\n\ttemplateDir = {tmp_path}/template\n[core]\n\thooksPath = {hooks}\n")
    inner = server.publish(make_repository({"inner.py": "x = 1\n"}, "inner"), "inner")
    work = make_repository(SHOP, "outer")
    git(work, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(server.root / "inner.git"), "sub")
    (work / ".gitmodules").write_text((work / ".gitmodules").read_text().replace(str(server.root / "inner.git"), inner))
    git(work, "commit", "-qam", "submodule")
    url = server.publish(work, "outer")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    making.git.environment.cache_clear()
    answer = workspace.clone(url)
    making.git.environment.cache_clear()
    assert not (tmp_path / "ran").exists()
    assert not list((Path(answer.path) / "sub").glob("*"))


def test_ssh_and_the_web_connect_to_the_address_that_was_checked(
    workspace: Workspace, make_repository: MakeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RECOLLECT_CLONE_ALLOW_HTTP", "RECOLLECT_CLONE_ALLOW_LOCAL"):
        monkeypatch.setenv(name, "")
    workspace._upkeep.settings = replace(
        workspace.settings, recollect_clone_allow_http=False, recollect_clone_allow_local=False
    )
    work, log = make_repository(SHOP), tmp_path / "asked"
    program = tmp_path / "bin" / "ssh"
    write(
        program.parent,
        {
            "ssh": f"""#!/bin/sh
echo "$@" >> {log}
case " $* " in *" -G "*) echo "hostname $SSH_HOSTNAME"; exit 0;; esac
case " $* " in *HostName=140.82.112.9*) echo "ssh: connect to host: Connection refused" >&2; exit 255;; esac
case "$*" in *upload-pack*) exec git-upload-pack {work};; esac
"""
        },
    )
    program.chmod(0o755)
    inner = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}:{inner}")
    monkeypatch.setenv("SSH_HOSTNAME", "code.example")
    making.git.environment.cache_clear()
    asked: list[str] = []

    def resolved(host: str) -> list[str]:
        asked.append(host)
        return ["140.82.112.9", "140.82.112.3"] if len(asked) == 1 else ["127.0.0.1"]  # another answer later

    monkeypatch.setattr("recollect.sync.ssh.checked_numbers.__defaults__", (resolved,))
    monkeypatch.setattr("recollect.sync.ssh.commands.__defaults__", (resolved, None))
    answer = workspace.clone("git@alias:team/shop.git")
    making.git.environment.cache_clear()
    assert answer.status == "cloned"
    assert asked[0] == "code.example"
    lines = [line for line in log.read_text().splitlines() if "upload-pack" in line]
    assert [next(word for word in line.split() if "HostName" in word) for line in lines][:2] == [
        "-oHostName=140.82.112.9",
        "-oHostName=140.82.112.3",
    ]
    assert all("-oHostKeyAlias=code.example" in line for line in lines)
    with pytest.raises(RecollectError, match="not a public host"):
        workspace.clone("git@alias:team/other.git")


def test_what_the_probe_of_a_redirect_connects_to(server: GitServer) -> None:
    from recollect.sync import http

    server.redirect = "http://elsewhere.example"
    host, port = "name.invalid", server.server_address[1]
    with pytest.raises(http.HTTPError) as caught:
        http.opener(host, ["127.0.0.1"]).open(f"http://{host}:{port}/x", timeout=10)
    assert caught.value.code == 301
    with pytest.raises(URLError):
        http.opener(host, []).open(f"http://{host}:{port}/x", timeout=10)
