"""The HTTP side as programs and strangers meet it: who is let in, what the API answers, MCP, metrics."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from recollect.client import Connection
from tests.conftest import SHOP, MakeRepository


@dataclass
class Served:
    """A daemon whose HTTP side is open, with one repository."""

    port: int
    token: str
    url: str
    root: Path

    def ask(
        self, verb: str, path: str, body: Any = None, headers: dict[str, str] | None = None, token: bool = True
    ) -> tuple[int, dict[str, str], Any]:
        """(status, headers, JSON or bytes)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"authorization": f"Bearer {self.token}"} if token else {}
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        connection.request(verb, path, data, {**sent, **(headers or {})})
        answer = connection.getresponse()
        read = answer.read()
        said = {name.lower(): value for name, value in answer.getheaders()}
        connection.close()
        is_json = read and said.get("content-type") == "application/json"
        return answer.status, said, json.loads(read) if is_json else read

    def get(self, operation: str, **query: Any) -> Any:
        status, _, answer = self.ask("GET", f"/api/v1{operation}?{urlencode(query, doseq=True)}")
        assert status == 200, answer
        return answer


@pytest.fixture
def served(home: Path, make_repository: MakeRepository) -> Served:
    root = make_repository(SHOP, "shop")
    with Connection() as daemon:
        daemon.call("sync", {"path": str(root)})
        link = daemon.call("web", {})
    return Served(link["port"], (home / "run" / "token").read_text().strip(), link["url"], root)


# -- who is let in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/events", "/metrics", "/mcp", "/api/v1/status", "/assets/app.js", "/nothing"])
def test_nobody_comes_in_without_a_token(served: Served, path: str) -> None:
    assert served.ask("GET", path, token=False)[0] == 401
    assert served.ask("GET", path, token=False, headers={"authorization": "Bearer wrong"})[0] == 401
    assert served.ask("GET", path, token=False, headers={"cookie": f"recollect_{served.port}=wrong"})[0] == 401


def test_a_link_lets_one_browser_in_once(served: Served) -> None:
    path = served.url.partition(str(served.port))[2]
    status, headers, _ = served.ask("GET", path, token=False)
    assert (status, headers["location"]) == (303, "/")
    assert "httponly" in headers["set-cookie"].lower()
    assert "samesite=strict" in headers["set-cookie"].lower()
    cookie = {"cookie": headers["set-cookie"].partition(";")[0]}
    assert served.ask("GET", "/", token=False, headers=cookie)[0] == 200
    assert served.ask("GET", path, token=False)[0] == 401  # used
    assert served.ask("GET", "/login?once=", token=False)[0] == 401
    # a change must come from the page itself; MCP is no business of a browser
    pause = ("POST", "/api/v1/auto-sync/pause", {})
    assert served.ask(*pause, token=False, headers=cookie)[0] == 403
    own = {**cookie, "origin": f"http://127.0.0.1:{served.port}"}
    assert served.ask(*pause, token=False, headers=own)[0] == 200
    assert served.ask("POST", "/mcp", {}, token=False, headers=own)[0] == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "localhost.evil:1"])
def test_other_hosts_are_not_served(served: Served, host: str) -> None:
    assert served.ask("GET", "/api/v1/status", headers={"host": host})[0] == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_other_origins_are_refused(served: Served, origin: str) -> None:
    assert served.ask("POST", "/api/v1/auto-sync/pause", {}, headers={"origin": origin})[0] == 403
    assert served.ask("POST", "/mcp", {}, headers={"origin": origin})[0] == 403


def test_every_answer_has_the_headers_that_keep_a_browser_safe(served: Served) -> None:
    for path, token in (("/", True), ("/api/v1/status", True), ("/", False), ("/nothing", True)):
        headers = served.ask("GET", path, token=token)[1]
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_the_token_is_for_the_owner_alone_and_stays(home: Path, served: Served) -> None:
    path = home / "run" / "token"
    assert path.stat().st_mode & 0o077 == 0
    with Connection() as daemon:
        daemon.call("stop", {})
    time.sleep(0.2)
    with Connection() as daemon:
        daemon.call("web", {})
    assert path.read_text().strip() == served.token


def test_too_much_is_refused(served: Served) -> None:
    status, _, answer = served.ask("POST", "/api/v1/memories", {"content": "x" * 4_100_000})
    assert (status, answer["error"]["code"]) == (413, "too_large")


# -- the API ----------------------------------------------------------------------------------------------------------


def test_a_program_searches_reads_and_remembers(served: Served) -> None:
    found = served.get("/search", query="total price of the cart", explain="true", limit=3)
    assert found["hits"][0]["path"] == "shop/cart.py"
    assert found["hits"][0]["explain"]
    assert found["freshness"]["fresh"]
    python = served.get("/search", query="cart", language=["python", "go"])
    assert {hit["language"] for hit in python["hits"]} == {"python"}
    assert served.get("/symbols", name="Cart")["definitions"][0]["kind"] == "class"
    assert "class Cart" in served.get("/code", repository="shop", path="shop/cart.py")["text"]
    outline = served.get("/outline", repository="shop", path="shop/cart.py")["definitions"]
    assert [one["qualified_name"] for one in outline][:2] == ["Cart", "Cart.__init__"]
    assert "shop/cart.py" in [one["path"] for one in served.get("/importance", repository="shop")["files"]]
    stored = served.ask("POST", "/api/v1/memories", {"content": "Prices are in cents.", "tags": ["money"]})[2]
    assert served.get("/memories/search", query="cents")["memories"][0]["id"] == stored["id"]
    changed = served.ask("PATCH", f"/api/v1/memories/{stored['id']}", {"tags": "money,shop"})[2]
    assert changed["tags"] == ["money", "shop"]
    assert served.ask("DELETE", f"/api/v1/memories/{stored['id']}")[2]["deleted_count"] == 1
    assert served.get("/memories")["total"] == 0
    back = served.ask("PATCH", f"/api/v1/memories/{stored['id']}", {"restore": True})[2]
    assert back["content"] == "Prices are in cents."
    lines = served.ask("GET", "/api/v1/memories/export")[2].decode().splitlines()
    assert json.loads(lines[0])["content"] == "Prices are in cents."


def test_a_program_looks_after_repositories(served: Served, make_repository: MakeRepository) -> None:
    other = make_repository({"a.py": "def first(): pass\n"}, "other")
    added = served.ask("POST", "/api/v1/repositories", {"path": str(other)})[2]
    assert (added["name"], added["state"]) == ("other", "known")
    synced = served.ask("POST", "/api/v1/repositories/other/sync", {})[2]
    assert (synced["status"], synced["new_files"]) == ("completed", 1)
    assert [one["name"] for one in served.get("/repositories")["repositories"]] == ["other", "shop"]
    left = served.ask("PATCH", "/api/v1/repositories/other", {"enabled": False})[2]
    assert left["tracked"] is False
    assert served.get("/repositories/other/history")["syncs"][0]["new_files"] == 1
    assert served.ask("POST", "/api/v1/repositories/other/cancel", {})[2]["repository"] == "other"
    assert served.ask("DELETE", "/api/v1/repositories/other")[2]["status"] == "forgotten"
    assert served.ask("GET", "/api/v1/repositories/other")[0] == 404
    paused = served.ask("POST", "/api/v1/auto-sync/pause", {})[2]
    assert paused["paused"]
    changed = served.ask("PATCH", "/api/v1/auto-sync", {"sync_interval": 60})[2]
    assert changed["config"]["sync_interval"] == 60
    activity = served.get("/activity")
    assert activity["syncs"][0]["repository"] == "shop"
    assert {"daemon", "indexer"} <= {one["name"] for one in activity["processes"]}
    assert any(one["tool"] == "http:auto_sync" for one in activity["latencies"]) is False
    assert any(one["tool"] == "http:pause" for one in activity["latencies"])


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "code"),
    [
        ("GET", "/search", None, 400, "invalid_argument"),
        ("GET", "/search?query=x&limit=many", None, 400, "invalid_argument"),
        ("GET", "/search?query=x&limit=0", None, 400, "invalid_argument"),
        ("GET", "/search?query=x&colour=red", None, 400, "invalid_argument"),
        ("GET", "/search?query=x&repository=nowhere", None, 404, "unknown_repository"),
        ("GET", "/code?path=.env&repository=shop", None, 403, "secret"),
        ("GET", "/code?path=../../etc/passwd&repository=shop", None, 403, "outside"),
        ("GET", "/code?path=none.py&repository=shop", None, 404, "no_such_file"),
        ("GET", "/clones?repo_path=a%00b", None, 404, "unknown_repository"),
        ("GET", "/memories/none", None, 404, "unknown_memory"),
        ("POST", "/memories", b"no json", 400, "invalid_argument"),
        ("POST", "/memories", [1], 400, "invalid_argument"),
        ("POST", "/repositories", {"path": "/"}, 403, "refused"),
        ("POST", "/clones", {"url": "file:///etc"}, 403, "refused_url"),
        ("PATCH", "/auto-sync", {"max_concurrent": 0}, 400, "invalid_argument"),
        ("GET", "/nowhere", None, 404, "no_such_path"),
        ("POST", "/search", {}, 405, "no_such_path"),
    ],
)
def test_mistakes_are_said(served: Served, verb: str, path: str, body: Any, status: int, code: str) -> None:
    answered, _, said = served.ask(verb, f"/api/v1{path}", body)
    assert (answered, said["error"]["code"]) == (status, code)
    assert said["error"]["message"]


def test_what_changes_is_told_as_it_happens(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request("GET", "/events", headers={"authorization": f"Bearer {served.token}"})
    stream = connection.getresponse()

    def told(event: str) -> Any:
        while True:
            line = stream.fp.readline().decode()
            assert line, "the stream ended"
            if line == f"event: {event}\n":
                return json.loads(stream.fp.readline().decode().removeprefix("data: "))

    first = told("repositories")
    assert first["all"]
    assert [row["name"] for row in first["changed"]] == ["shop"]
    assert told("background")["paused"] is False
    (served.root / "new.py").write_text("def fresh_thing(): pass\n")
    served.ask("POST", "/api/v1/repositories/shop/sync", {})
    while (row := told("repositories")["changed"][0])["files"] != first["changed"][0]["files"] + 1:
        pass
    assert row["name"] == "shop"
    served.ask("POST", "/api/v1/auto-sync/pause", {})
    while not told("background")["paused"]:
        pass
    connection.close()


def test_metrics_are_told_in_prometheus_format(served: Served) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    served.get("/search", query="cart")
    status, headers, text = served.ask("GET", "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    found = {family.name: family for family in text_string_to_metric_families(text.decode())}
    samples = {sample.name: sample.value for family in found.values() for sample in family.samples}
    assert found["recollect_query_seconds"].type == "histogram"
    assert samples["recollect_sync_files_total"] == 7
    assert samples["recollect_repositories"] == 1
    assert {
        "recollect_barrier_seconds",
        "recollect_answers",
        "recollect_watches",
        "recollect_discovery_found",
    } <= found.keys()
    used = {one.labels["process"] for one in found["recollect_process_cpu_seconds"].samples}
    assert {"daemon", "indexer"} <= used
    dashboard = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text())
    import re

    asked = set(re.findall(r"recollect_\w+", json.dumps(dashboard["panels"])))
    known = {sample.name for family in found.values() for sample in family.samples} | found.keys()
    assert asked <= known | {"recollect_query_failures_total", "recollect_sync_failures_total"}


# -- MCP over HTTP ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_agent_speaks_mcp_over_http(served: Served, mode: Any) -> None:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async def use() -> None:
        headers = {"authorization": f"Bearer {served.token}", "recollect-project": str(served.root)}
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http_client:
            transport = streamable_http_client(f"http://127.0.0.1:{served.port}/mcp", http_client=http_client)
            async with Client(transport, mode=mode) as client:
                assert len((await client.list_tools()).tools) >= 20
                found = await client.call_tool("search_code", {"query": "total price of the cart"})
                assert found.content[0].text.startswith("1. shop:shop/cart.py:")  # type: ignore[union-attr]
                assert found.structured_content is None
                failed = await client.call_tool("read_code", {"path": "none.py"})
                assert failed.is_error

    asyncio.run(asyncio.wait_for(use(), 60))


def test_the_roots_of_an_agent_over_http_are_asked_for_once_a_session(served: Served) -> None:
    import httpx2
    from mcp import Client, types
    from mcp.client.streamable_http import streamable_http_client

    asked = []

    async def roots(context: Any) -> types.ListRootsResult:
        asked.append(1)
        return types.ListRootsResult(roots=[types.Root(uri=served.root.as_uri())])  # type: ignore[arg-type]

    async def use() -> None:
        headers = {"authorization": f"Bearer {served.token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http_client:
            transport = streamable_http_client(f"http://127.0.0.1:{served.port}/mcp", http_client=http_client)
            async with Client(transport, mode="legacy", list_roots_callback=roots) as client:
                for _ in range(3):
                    shown = await client.call_tool("read_code", {"path": "shop/cart.py"})
                    assert not shown.is_error

    asyncio.run(asyncio.wait_for(use(), 60))
    assert asked == [1]


def test_a_text_that_was_cut_in_the_middle_of_a_character_is_kept(served: Served) -> None:
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    who = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "it", "version": "1"}}
    beginning = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": who}
    _, said, _ = served.ask("POST", "/mcp", beginning, headers)
    headers["mcp-session-id"] = said["mcp-session-id"]
    served.ask("POST", "/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"}, headers)
    params = {"name": "store_memory", "arguments": {"content": "half of \ud83d"}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    status, _, answer = served.ask("POST", "/mcp", call, headers)
    assert (status, b"remembered" in answer) == (200, True)
    assert served.ask("POST", "/api/v1/memories", {"content": "another \udc80"})[0] == 200
    assert {one["content"] for one in served.get("/memories")["memories"]} == {"half of \ufffd", "another \ufffd"}


def test_what_agents_did_not_have_to_read_is_kept_over_a_restart(served: Served) -> None:
    test_an_agent_speaks_mcp_over_http(served, "auto")
    with Connection() as daemon:
        before = daemon.call("savings", {})
        assert before["calls"] == 1
        assert 0 <= before["saved_tokens"] == before["whole_tokens"] - before["returned_tokens"]
        daemon.call("stop", {})
    time.sleep(0.2)
    with Connection() as daemon:
        assert daemon.call("savings", {}) == before
        assert daemon.call("savings", {"days": 1}) == before


def test_a_port_that_is_set_is_served_from_the_start(
    home: Path, monkeypatch: pytest.MonkeyPatch, make_repository: MakeRepository
) -> None:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    monkeypatch.setenv("RECOLLECT_HTTP_PORT", str(port))
    with Connection() as daemon:
        daemon.call("about", {})
        until = time.monotonic() + 20
        while True:
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=5).request("GET", "/")
                break
            except ConnectionRefusedError:
                assert time.monotonic() < until
                time.sleep(0.05)
        assert daemon.call("web", {})["port"] == port


def test_a_port_that_is_taken_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    from recollect.errors import Unavailable

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        monkeypatch.setenv("RECOLLECT_HTTP_PORT", str(one.getsockname()[1]))
        with Connection() as daemon:
            assert daemon.call("repositories", {})["total"] == 0  # all else works
            with pytest.raises(Unavailable, match="cannot be used"):
                daemon.call("web", {})
