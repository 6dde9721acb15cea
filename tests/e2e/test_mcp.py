"""`recollect mcp` with the official client over real stdio, in both eras of the protocol."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

import recollect
from recollect.client import Connection
from recollect.workspace.last_seen import seen
from tests.conftest import SHOP, MakeRepository, daemons_of, open_files, wait_until
from tests.git_server import serving


def server(cwd: Path, *arguments: str, structured: bool = True) -> StdioServerParameters:
    command = ["-m", "recollect", "mcp", *(["--structured"] if structured else []), *arguments]
    return StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ), cwd=str(cwd))


def with_client(
    cwd: Path, use: Callable[[Client], Awaitable[None]], *arguments: str, mode: Any = "auto", structured: bool = True
) -> None:
    async def main() -> None:
        async with Client(server(cwd, *arguments, structured=structured), mode=mode) as client:
            await use(client)

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_who_was_here_is_kept_across_restarts(home: Path, tmp_path: Path, mode: str) -> None:
    async def use(client: Client) -> None:
        await client.list_tools()
        for _ in range(3):
            await client.call_tool("list_repositories", {})

    with_client(tmp_path, use, mode=mode)
    wait_until(lambda: len(seen(home)) == 1)
    with Connection() as daemon:
        daemon.call("stop", {})
    (at_s,) = seen(home).values()
    assert abs(at_s - time.time()) < 3600


def test_an_agent_clones_maps_and_looks_for_expressions(
    home: Path, tmp_path: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_HTTP", "1")
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_LOCAL", "1")
    here = make_repository({"a.py": "x = 1\n"}, "here")
    with serving(tmp_path / "served") as served:
        url = served.publish(make_repository(SHOP, "shop"), "team/shop")

        async def use(client: Client) -> None:
            started = time.monotonic()
            answer = await client.call_tool("clone_repo", {"url": url})
            assert time.monotonic() - started < 5
            assert answer.structured_content["status"] in ("accepted", "cloned")
            waited = await client.call_tool("clone_repo", {"url": url, "background": False})
            assert waited.structured_content["status"] == "cloned"
            status = await client.call_tool("get_clone_status", {"repo_path": url})
            assert (status.structured_content["status"], status.structured_content["percentage"]) == ("cloned", 100.0)
            found = await client.call_tool("search_code", {"query": "total price of the cart", "repository": url})
            assert found.structured_content["hits"][0]["path"] == "shop/cart.py"
            made = await client.call_tool("get_repo_map", {"repository": "shop", "max_tokens": 500})
            assert "class Cart" in made.structured_content["map"]
            assert "class Cart" in made.content[0].text  # type: ignore[union-attr]
            same = await client.call_tool("get_source_repo_map", {"repo_path": answer.structured_content["path"]})
            assert not same.is_error
            exact = await client.call_tool(
                "search_code", {"query": r"def \w+_cookie\(", "mode": "regex", "repository": "shop"}
            )
            assert [hit["path"] for hit in exact.structured_content["hits"]] == ["shop/session.py"]
            like = await client.call_tool("find_related", {"file_path": "shop/cart.py", "line": 8, "repo": "shop"})
            assert "tests/test_cart.py" in [hit["path"] for hit in like.structured_content["hits"]]
            refused = await client.call_tool("clone_repo", {"url": "file:///etc"})
            assert refused.is_error
            assert refused.content[0].text.startswith("refused_url: ")  # type: ignore[union-attr]
            unknown = await client.call_tool("search_code", {"query": "x", "repository": f"{served.url}/none.git"})
            assert unknown.is_error
            assert "clone has been initiated" in unknown.content[0].text  # type: ignore[union-attr]

        with_client(here, use)


def test_an_agent_is_told_of_a_clone_by_whatever_it_names_it_by(
    home: Path, tmp_path: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_HTTP", "1")
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_LOCAL", "1")
    here = make_repository({"a.py": "x = 1\n"}, "here")
    with serving(tmp_path / "served") as served:
        url = served.publish(make_repository(SHOP, "shop"), "team/shop")

        async def use(client: Client) -> None:
            async def said(tool: str, **arguments: Any) -> str:
                answer = await client.call_tool(tool, arguments)
                return f"{answer.is_error}: {answer.content[0].text}"  # type: ignore[union-attr]

            async def refusals(name: str) -> list[str]:
                return [
                    await said("search_code", query="cart", repository=name),
                    await said("find_symbol", name="Cart", repository=name),
                    await said("read_code", path="shop/cart.py", repository=name),
                    await said("find_related", path="shop/cart.py", line=1, repository=name),
                    await said("get_repo_map", repository=name),
                    await said("sync_repository", repository=name),
                    await said("get_sync_status", repository=name),
                    await said("store_memory", content="carts are emptied at night", repository=name),
                    await said("retrieve_memory", query="carts", repository=name),
                ]

            served.silent = True
            place = (await said("clone_repo", url=url)).partition(" at ")[2].partition(" (")[0]
            assert place.startswith(str(home))
            for name in ("shop", place):
                for text in await refusals(name):
                    assert text.startswith("True: still_cloning: ")
                    assert "(0 %" in text
                    assert 'get_clone_status(repository="shop")' in text
                assert (await said("get_clone_status", repository=name)).startswith("False: shop cloning, 0 %")
                assert "cloning, cloning" in await said("get_repository_status", repository=name)
                assert "being cloned (0 %)" in await said("list_repositories")
            assert "cancelled" in await said("cancel_sync", repository="shop")
            served.silent = False
            served.token = "needed"
            assert "authentication" in await said("clone_repo", url="shop", background=False)
            for name in ("shop", place):
                for text in await refusals(name):
                    assert text.startswith("True: clone_failed: ")
                    assert f'clone_repo(url="{url}")' in text
                assert (await said("get_clone_status", repository=name)).startswith("False: shop failed")
                assert "authentication" in await said("list_repositories")
            served.token = None
            assert "forgotten" in await said("forget_repository", repository=place)
            unknown = await said("get_clone_status", repository=url)
            assert unknown.startswith("True: unknown_repository: ")
            assert f'clone_repo(url="{url}")' in unknown
            assert (await said("clone_repo", url=url, background=False)).startswith("False: cloned: shop")
            named = await said("sync_repository", repository=place, name="my-shop")
            assert "It can be called my-shop, too." in named
            assert "shop/cart.py" in await said("search_code", query="cart", repository="my-shop")
            assert "also called: my-shop" in await said("get_repository_status", repository="my-shop")
            taken = await said("sync_repository", repository=str(here), name="my-shop")
            assert taken.startswith("True: name_taken: ")
            assert place in taken

        with_client(here, use, structured=False)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_agent_finds_reads_and_syncs(home: Path, make_repository: MakeRepository, mode: str) -> None:
    root = make_repository(SHOP, "shop")

    async def use(client: Client) -> None:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"search_code", "find_symbol", "read_code", "sync_repository", "forget_repository"} <= names
        found = await client.call_tool("search_code", {"query": "total price of the cart"})
        assert not found.is_error
        assert found.structured_content["hits"][0]["path"] == "shop/cart.py"
        assert "shop/cart.py" in found.content[0].text  # type: ignore[union-attr]
        symbol = await client.call_tool("find_symbol", {"name": "price_of", "references": True})
        assert symbol.structured_content["references"][0]["path"] == "shop/cart.py"
        code = await client.call_tool("read_code", {"path": "shop/prices.py", "start_line": 3, "end_line": 3})
        assert "DISCOUNT = 0.1" in code.content[0].text  # type: ignore[union-attr]
        (root / "late.py").write_text("def written_late(): pass\n")
        seen: list[float] = []

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            seen.append(progress)

        synced = await client.call_tool("sync_repository", {"repository_path": "."}, progress_callback=on_progress)
        assert synced.structured_content["status"] == "completed"
        assert seen == sorted(seen)
        status = await client.call_tool("get_sync_status", {"repository_name": "shop"})
        assert status.structured_content["status"] == "completed"
        again = await client.call_tool("search_code", {"query": "written_late"})
        assert again.structured_content["hits"][0]["path"] == "late.py"
        listed = await client.call_tool("list_repositories", {})
        assert listed.structured_content["total"] == 1
        state = await client.call_tool("get_repository_status", {"repository_name": "shop"})
        assert state.structured_content["state"] == "ready"
        everything = await client.call_tool("sync_repository", {})
        assert everything.structured_content["repositories"][0]["repository"] == "shop"
        gone = await client.call_tool("forget_repository", {"repository_name": "shop"})
        assert gone.structured_content["status"] == "forgotten"

    with_client(root, use, mode=mode)


EVERY_CALL: tuple[tuple[str, dict[str, Any]], ...] = (
    ("search_code", {"query": "cart"}),
    ("find_symbol", {"name": "Cart", "references": True}),
    ("find_related", {"path": "shop/cart.py", "line": 5}),
    ("read_code", {"path": "shop/cart.py"}),
    ("get_repo_map", {}),
    ("sync_repository", {}),
    ("sync_repository", {"repository": "shop"}),
    ("get_sync_status", {"repository": "shop"}),
    ("cancel_sync", {"repository": "shop"}),
    ("list_repositories", {}),
    ("get_repository_status", {"repository": "shop"}),
    ("configure_auto_sync", {"sync_interval": 300}),
    ("get_auto_sync_status", {}),
    ("pause_auto_sync", {}),
    ("resume_auto_sync", {}),
    ("store_memory", {"content": "carts are signed", "tags": ["auth"], "metadata": {"ticket": 7}}),
    ("retrieve_memory", {"query": "carts"}),
    ("list_memories", {}),
    ("delete_memory", {"tags": "auth"}),
    ("forget_repository", {"repository": "shop"}),
)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_answer_is_one_text_and_nothing_else(home: Path, make_repository: MakeRepository, mode: str) -> None:
    root = make_repository(SHOP, "shop")

    async def use(client: Client) -> None:
        assert all(tool.output_schema is None for tool in (await client.list_tools()).tools)
        for name, arguments in (*EVERY_CALL, ("read_code", {"path": "/etc/passwd"}), ("no_such_tool", {})):
            answer = await client.call_tool(name, arguments)
            sent = answer.model_dump(by_alias=True, exclude_none=True)
            assert [block["type"] for block in sent["content"]] == ["text"], name
            assert "structuredContent" not in sent, name
            assert sent.get("_meta", {}).keys() <= {"io.modelcontextprotocol/serverInfo"}, name  # the protocol's own
            assert len(sent["content"][0]["text"]) <= 18_000, name

    with_client(root, use, mode=mode, structured=False)


def test_programs_get_the_data_by_its_schema(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")

    async def use(client: Client) -> None:
        assert all(tool.output_schema is not None for tool in (await client.list_tools()).tools)
        for name, arguments in EVERY_CALL:
            answer = await client.call_tool(name, arguments)  # the client holds the data against the schema
            assert answer.structured_content, name
        failed = await client.call_tool("search_code", {"query": "x", "repository": "nobody"})
        assert (failed.is_error, failed.structured_content) == (True, None)

    with_client(root, use)


def test_an_argument_that_no_tool_knows_is_named_in_the_answer(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")

    async def use(client: Client) -> None:
        answer = await client.call_tool("search_code", {"query": "cart", "colour": "red"})
        assert answer.content[0].text.endswith("(there is no argument 'colour': it was ignored)")  # type: ignore[union-attr]
        refused = await client.call_tool("forget_repository", {"repository": "shop", "colour": "red"})
        assert refused.is_error

    with_client(root, use, structured=False)


def test_code_is_read_by_what_hits_print(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")

    async def use(client: Client) -> None:
        await client.call_tool("sync_repository", {"repository": "."})
        for path in ("shop:shop/prices.py:3-3", "shop/prices.py:3", "shop\\prices.py:3:1", "shop/prices.py#L3-L3",
                     f"{root}/shop/prices.py:3-3", "2. shop:shop/prices.py:3-3 DISCOUNT (constant) score 1.2"):  # fmt: skip
            answer = await client.call_tool("read_code", {"path": path})
            assert answer.content[0].text.endswith("3\tDISCOUNT = 0.1"), path  # type: ignore[union-attr]
        like = await client.call_tool("find_related", {"path": "shop:shop/cart.py:8"})
        assert not like.is_error
        both = await client.call_tool("search_code", {"query": "cart", "repository": f"shop, {root}"})
        assert not both.is_error

    with_client(root, use, structured=False)


def test_failures_are_tool_errors_with_code_message_and_hint(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")

    async def use(client: Client) -> None:
        for name, arguments, code in (
            ("search_code", {"query": ""}, "empty_query"),
            ("search_code", {}, "invalid_argument"),
            ("search_code", {"query": "x", "limit": "ten"}, "invalid_argument"),
            ("search_code", {"query": "x", "repository": "nobody"}, "unknown_repository"),
            ("search_code", {"query": "x", "repository": "/etc"}, "refused"),
            ("read_code", {"path": "/etc/passwd"}, "refused"),
            ("read_code", {"path": "../../../etc/passwd", "repository": str(root)}, "outside"),
            ("sync_repository", {"repository_path": "/"}, "refused"),
            ("get_repository_status", {"repository_name": "nobody"}, "unknown_repository"),
            ("no_such_tool", {}, "unknown_tool"),
        ):
            result = await client.call_tool(name, arguments)
            assert result.is_error, name
            assert result.content[0].text.startswith(f"{code}: ")  # type: ignore[union-attr]
            assert result.structured_content is None

    with_client(root, use)


def test_tools_of_others_are_understood(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")

    async def use(client: Client) -> None:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert "index_codebase" in names
        assert (await client.call_tool("index_codebase", {"path": str(root), "force": False})).structured_content[
            "status"
        ] == "completed"
        for name, arguments in (
            ("search_code", {"path": str(root), "query": "cart", "limit": 5}),
            ("search", {"query": "cart", "repo": str(root), "top_k": 3}),
            ("search", {"keyword": "cart", "directory": str(root)}),
        ):
            assert (await client.call_tool(name, arguments)).structured_content["hits"]
        assert (await client.call_tool("get_indexing_status", {"path": str(root)})).structured_content[
            "status"
        ] == "completed"
        assert (await client.call_tool("clear_index", {"path": str(root)})).structured_content["status"] == "forgotten"

    with_client(root, use, "--toolsets", "code,compat")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="nobody can say what another process has open")
def test_a_session_s_project_is_opened_before_its_first_question(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP)

    def opened(pid: int) -> bool:
        return any(name.endswith("/index.db") for name in open_files(pid))

    with Connection(home) as daemon:
        daemon.call("sync", {"path": str(root)})
        pid = daemon.call("about", {})["pid"]

        async def use(client: Client) -> None:
            for _ in range(5):  # it stays so: a look in passing is no opening
                await asyncio.to_thread(wait_until, lambda: opened(pid))
                await asyncio.sleep(0.02)

        wait_until(lambda: not opened(pid))
        with_client(root, use)


def test_where_no_daemon_can_be_had_every_request_is_told_why(home: Path) -> None:
    with closing(sqlite3.connect(home / "catalog.db")) as newer:
        newer.execute("PRAGMA user_version=99")
    requests = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ]
    asked = "".join(
        json.dumps(item) + "\n" for item in [*requests, {"jsonrpc": "2.0", "id": "b", "method": "tools/list"}]
    )
    done = subprocess.run(
        [sys.executable, "-m", "recollect", "mcp"], input=asked, capture_output=True, text=True, timeout=60
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [1, "b"]
    assert {answer["error"]["data"]["code"] for answer in answers} == {"database_version"}
    assert "A newer Recollect made it" in answers[0]["error"]["message"]
    assert done.stderr == f"recollect: {answers[0]['error']['message']}\n"


def test_every_request_is_answered_even_what_is_none(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")

    def call(identity: Any, tool: str, **arguments: Any) -> bytes:
        params = {"name": tool, "arguments": arguments}
        return json.dumps({"jsonrpc": "2.0", "id": identity, "method": "tools/call", "params": params}).encode()

    who = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "it", "version": "1"}}
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": who}).encode(),
        b'{"jsonrpc": "2.0", "method": "notifications/initialized"}',
        call(1, "store_memory", content="half \ud83d of an emoji", tags=["\udc80"]),  # a text that was cut in UTF-16
        call("two", "search_code", query="cart \ud83d"),
        call(3, "search_code", query="cart_price\\(|\ud83d", mode="regex"),
        call(4, "find_symbol", name="cart_price\ud83d"),
        b'{"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "search_code", "arguments": {"query": "caf\xe9"}}}',
        b'{"id": 6, "method": "tools/list"}',
        b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": ["search_code"]}',
        b'[{"jsonrpc": "2.0", "id": 8, "method": "ping"}, {"jsonrpc": "2.0", "id": 9, "method": "ping"}]',
        b"no JSON",
        b"[" * 100_000,
        b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": [1]}',
        call(10, "search_code", query="x" * 17_000_000),
        call(11, "search_code", query="total price of the cart"),
    ]
    command = [sys.executable, "-m", "recollect", "mcp"]
    done = subprocess.run(command, input=b"\n".join(lines) + b"\n", capture_output=True, cwd=root, timeout=60)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    batches = [item for item in said if isinstance(item, list)]
    assert [sorted(answer["id"] for answer in batch) for batch in batches] == [[8, 9]]
    unreadable = [item["error"]["code"] for item in said if isinstance(item, dict) and item["id"] is None]
    assert unreadable == [-32700, -32700]
    answers = {item["id"]: item for item in said if isinstance(item, dict) and item["id"] is not None}
    assert set(answers) == {*range(12), "two"} - {2, 8, 9}
    results = {identity for identity, answer in answers.items() if "result" in answer}
    assert results == {0, 1, "two", 3, 4, 5, 11}
    assert not any(answers[identity]["result"].get("isError") for identity in results)
    assert answers[10]["error"]["data"] == {"code": "too_long", "retry": False}
    assert answers[6]["error"]["code"] == -32600
    with Connection(home) as connection:
        (memory,) = connection.call("memory_page", {})["memories"]
        assert (memory["content"], memory["tags"]) == ("half \ufffd of an emoji", ["\ufffd"])
    assert done.stderr == b""


def test_a_session_and_a_new_client_get_the_version_that_was_put_in_place(
    home: Path, tmp_path: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(SHOP, "shop")
    package = shutil.copytree(Path(recollect.__file__).parent, tmp_path / "lib" / "recollect")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("RECOLLECT_IDLE_EXIT", "1")  # so that it looks once a second; it is never idle here

    def update(number: int) -> None:
        with open(package / "workspace" / "reports.py", "a") as file:
            file.write(f"\nUPDATE = {number}\n")

    async def use(client: Client) -> None:
        question = {"query": "total price of the cart"}
        assert (await client.call_tool("search_code", question)).structured_content["hits"]
        (first,) = daemons_of(home)
        update(1)
        await asyncio.to_thread(wait_until, lambda: first not in daemons_of(home))
        assert (await client.call_tool("search_code", question)).structured_content["hits"]
        (second,) = daemons_of(home)
        update(2)
        await asyncio.sleep(2.5)  # it may have looked meanwhile, or not
        with Connection(home) as connection:
            assert connection.call("about", {})["pid"] not in (first, second)
        assert (await client.call_tool("search_code", question)).structured_content["hits"]
        stay = daemons_of(home)
        shutil.rmtree(package)  # where nothing can follow it, it stays
        await asyncio.sleep(3.5)
        assert daemons_of(home) == stay
        assert (await client.call_tool("search_code", question)).structured_content["hits"]

    with_client(root, use)


def test_a_session_survives_the_death_of_the_daemon(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")

    async def use(client: Client) -> None:
        assert (await client.call_tool("search_code", {"query": "cart"})).structured_content["hits"]
        for _ in range(3):
            for pid in daemons_of(home):
                os.kill(pid, signal.SIGKILL)
            result = await client.call_tool("search_code", {"query": "cart"})
            assert result.structured_content["hits"][0]["path"] == "shop/cart.py"

    for mode in ("auto", "legacy"):
        with_client(root, use, mode=mode)


def test_many_sessions_at_once_share_one_daemon(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")

    async def one(number: int) -> int:
        async with Client(server(root)) as client:
            hits = 0
            for _ in range(10):
                hits += len(
                    (await client.call_tool("search_code", {"query": f"cart {number}"})).structured_content["hits"]
                )
            return hits

    async def main() -> list[int]:
        return await asyncio.gather(*(one(number) for number in range(8)))

    assert all(asyncio.run(asyncio.wait_for(main(), 60)))
    daemons = daemons_of(home)
    assert len(daemons) == 1
