"""Lists of repositories and organisations: read from a local server that speaks the hosts' interfaces, cloned, followed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from recollect.errors import RecollectError, Unavailable, UserError
from recollect.sync.address import Permissions
from recollect.sync.hosting import listing, organisation
from recollect.workspace import Caller, Workspace
from tests.conftest import SHOP, MakeRepository, git, wait_until, write
from tests.git_server import GitServer, serving

ALL = Permissions(http=True, local=True)


class Api(ThreadingHTTPServer):
    """What a host answers: `pages[path]` is a list of pages; each page one answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, list[Any]] = {}
        self.seen: list[tuple[str, str | None]] = []
        self.limited: list[tuple[int, dict[str, str]]] = []  # answers to give first

    @property
    def place(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        if self.server.limited:
            code, headers = self.server.limited.pop(0)
            self._answer(code, headers, {"message": "slow down"})
            return
        pages = self.server.pages.get(path)
        if pages is None:
            self._answer(404, {}, {"message": "Not Found"})
            return
        number = int(dict(part.split("=", 1) for part in query.split("&") if "=" in part).get("page", 1))
        link = (
            f'<{self.server.place}{path}?page={number + 1}>; rel="next", <x>; rel="last"' if number < len(pages) else ""
        )
        self._answer(200, {"Link": link} if link else {}, pages[number - 1])

    def _answer(self, code: int, headers: dict[str, str], body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def git_server(tmp_path: Path) -> Iterator[GitServer]:
    with serving(tmp_path / "served") as made:
        yield made


@pytest.fixture(autouse=True)
def _permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_HTTP", "1")
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_LOCAL", "1")
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "GIT_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def is_cloned(workspace: Workspace, url: str) -> bool:
    record = workspace.clones.find(url)
    return record is not None and record.status == "cloned"


def test_each_host_is_understood(api: Api) -> None:
    host = api.place
    api.pages["/api/v3/orgs/team/repos"] = [
        [{"name": "b", "clone_url": f"{host}/b.git"}],
        [{"name": "a", "clone_url": f"{host}/a.git", "fork": True}],
    ]
    api.pages["/api/v4/groups/team%2Fsub/projects"] = [
        [{"path": "c", "http_url_to_repo": f"{host}/c.git", "archived": True, "visibility": "private"}]
    ]
    api.pages["/2.0/repositories/team"] = [
        {
            "values": [
                {"slug": "d", "links": {"clone": [{"name": "https", "href": "https://me@bitbucket.org/team/d.git"}]}}
            ],
            "next": f"{host}/2.0/repositories/team?page=2",
        },
        {"values": [{"slug": "e", "parent": {}, "links": {"clone": [{"name": "ssh", "href": "git@x:y"}]}}]},
    ]
    api.pages["/api/v1/users/ann/repos"] = [[{"name": "f", "clone_url": f"{host}/f.git"}]]
    found = {
        said: [
            (item.url, item.fork, item.archived, item.private)
            for item in listing(organisation(said.format(host)), {}, ALL)
        ]
        for said in ("github:{}/team", "gitlab:{}/team/sub", "bitbucket:{}/team", "gitea:{}/ann")
    }
    assert list(found.values()) == [
        [(f"{host}/a.git", True, False, False), (f"{host}/b.git", False, False, False)],
        [(f"{host}/c.git", False, True, True)],
        [("https://bitbucket.org/team/d.git", False, False, False)],
        [(f"{host}/f.git", False, False, False)],
    ]


def test_what_goes_wrong_is_said(api: Api) -> None:
    where = organisation(f"gitea:{api.place}/none")
    with pytest.raises(UserError, match="knows no organisation"):
        listing(where, {}, ALL)
    with pytest.raises(RecollectError):
        listing(where, {}, Permissions())  # not encrypted, not public
    for said in ("nothing", "github:", "github:../x", "gitea:team", "svn:x", "github:-x y"):
        with pytest.raises(UserError, match=r"organisation|host"):
            organisation(said)
    api.pages["/api/v1/orgs/team/repos"] = [{"message": "no list"}]
    with pytest.raises(Unavailable, match="no list"):
        listing(organisation(f"gitea:{api.place}/team"), {}, ALL)


def test_rate_limits_are_respected(api: Api) -> None:
    api.pages["/api/v3/orgs/team/repos"] = [[{"name": "a", "clone_url": "https://github.com/team/a"}]]
    where = organisation(f"github:{api.place}/team")
    waited: list[float] = []
    soon = str(int(time.time()) + 5)
    api.limited = [(429, {"Retry-After": "7"}), (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": soon})]
    assert len(listing(where, {}, ALL, waited.append)) == 1
    assert waited[0] == 7
    assert 3 <= waited[1] <= 6
    api.limited = [(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1800)})]
    with pytest.raises(Unavailable, match="try again in 30 min"):
        listing(where, {}, ALL, waited.append)
    api.limited = [(403, {})]
    with pytest.raises(RecollectError, match="refuses"):
        listing(where, {}, ALL, waited.append)
    assert len(waited) == 2


def test_tokens_go_only_where_they_belong(api: Api) -> None:
    api.pages["/api/v3/orgs/team/repos"] = [[]]
    where = organisation(f"github:{api.place}/team")
    listing(where, {"GITHUB_TOKEN": "for-github-alone"}, ALL)
    assert api.seen[-1][1] is None
    listing(where, {"GIT_TOKEN": "mine", "GIT_TOKEN_HOST": "127.0.0.1"}, ALL)
    assert api.seen[-1][1] == "Bearer mine"


def test_an_organisation_is_cloned_with_filters_and_followed(
    home: Path, api: Api, git_server: GitServer, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_FETCH_INTERVAL", "1")
    urls = {
        name: git_server.publish(make_repository({**SHOP, f"{name}.py": "x = 1\n"}, name), name)
        for name in ("one", "two", "site", "old", "late")
    }

    def items(*names: str) -> list[dict[str, Any]]:
        return [{"name": name, "clone_url": urls[name], "archived": name == "old"} for name in names]

    api.pages["/api/v1/orgs/team/repos"] = [items("one", "two", "site", "old")]
    source = f"organisation:gitea:{api.place}/team"
    options = {"exclude": ["si*"]}
    with Workspace(home) as workspace:
        dry = workspace.lists.clone(source, options, dry_run=True, follow=True, caller=Caller())
        assert {(row.url, row.status) for row in dry.repositories} == {
            (urls["one"], "would be cloned"),
            (urls["two"], "would be cloned"),
        }
        assert workspace.repositories().total == 0
        assert workspace.lists.followed() == []
        done = workspace.lists.clone(source, options, dry_run=False, follow=True, caller=Caller())
        assert (done.total, done.accepted, done.followed) == (2, 2, True)
        wait_until(lambda: all(is_cloned(workspace, urls[name]) for name in ("one", "two")))
        api.pages["/api/v1/orgs/team/repos"] = [items("one", "late")]
        wait_until(lambda: is_cloned(workspace, urls["late"]))
        notices = workspace.about()["notices"]
        assert any("no longer lists" in notice and "two" in notice for notice in notices)
        assert is_cloned(workspace, urls["two"])  # kept
        del api.pages["/api/v1/orgs/team/repos"]
        wait_until(lambda: workspace.lists.followed()[0]["error"] is not None)
    with Workspace(home) as workspace:
        assert [item["source"] for item in workspace.lists.followed()] == [source]
        workspace.lists.unfollow(source)
        with pytest.raises(UserError, match="not followed"):
            workspace.lists.unfollow(source)


def test_a_list_in_a_file_and_in_a_repository_that_a_team_shares(
    home: Path, git_server: GitServer, make_repository: MakeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_FETCH_INTERVAL", "1")
    one = git_server.publish(make_repository(SHOP, "one"), "one")
    two = git_server.publish(make_repository(SHOP, "two"), "two")
    listed = tmp_path / "list.txt"
    listed.write_text(f"# ours\n{one}   # the first\n\n{one.removesuffix('.git')}/\nfile:///etc\nnonsense\n")
    with Workspace(home) as workspace:
        found = workspace.lists.clone(f"file:{listed}", {}, dry_run=False, follow=False, caller=Caller())
        assert [row.status for row in found.repositories] in (
            ["accepted", "accepted", "refused", "refused"],
            ["accepted", "cloned", "refused", "refused"],
        )
        wait_until(lambda: is_cloned(workspace, one))
        work = make_repository({"repositories.txt": f"{one}\n"}, "shared")
        shared = git_server.publish(work, "shared")
        source = f"repository:{shared}#repositories.txt"
        workspace.lists.clone(source, {}, dry_run=False, follow=True, caller=Caller())
        write(work, {"repositories.txt": f"{one}\n{two}\n"})
        git(work, "commit", "-qam", "two too")
        git(work, "push", "-q", str(git_server.root / "shared.git"), "HEAD")
        wait_until(lambda: is_cloned(workspace, two))
        for bad in (f"repository:{shared}#../../../etc/passwd", f"file:{tmp_path}/none", "what:x", f"file:{tmp_path}"):
            with pytest.raises(UserError):
                workspace.lists.clone(bad, {}, dry_run=True, follow=False, caller=Caller())
        with pytest.raises(UserError, match="unknown option"):
            workspace.lists.clone(f"file:{listed}", {"nonsense": 1}, dry_run=True, follow=False, caller=Caller())
