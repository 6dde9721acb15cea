"""`recollect mcp` with the official client over real stdio, in both eras of the protocol."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from tests.conftest import SHOP, MakeRepository, processes_of, wait_until
from tests.git_server import serving


def server(cwd: Path, *arguments: str) -> StdioServerParameters:
    command = ["-m", "recollect", "mcp", *arguments]
    return StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ), cwd=str(cwd))


def with_client(cwd: Path, use: Callable[[Client], Awaitable[None]], *arguments: str, mode: Any = "auto") -> None:
    async def main() -> None:
        async with Client(server(cwd, *arguments), mode=mode) as client:
            await use(client)

    asyncio.run(asyncio.wait_for(main(), 60))


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
            assert refused.structured_content is None or refused.structured_content["code"] == "refused_url"
            unknown = await client.call_tool("search_code", {"query": "x", "repository": f"{served.url}/none.git"})
            assert unknown.is_error
            assert "clone has been initiated" in unknown.content[0].text  # type: ignore[union-attr]

        with_client(here, use)


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
            assert result.structured_content["code"] == code
            assert result.structured_content["message"]

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


def test_a_session_survives_the_death_of_the_daemon(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")

    async def use(client: Client) -> None:
        assert (await client.call_tool("search_code", {"query": "cart"})).structured_content["hits"]
        for _ in range(3):
            for pid in processes_of(home):
                if b"server.daemon" in command_of(pid):
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
    daemons = [pid for pid in processes_of(home) if b"server.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(daemons) == 1


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def pump(cwd: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "recollect", "mcp"]
    return subprocess.Popen(command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def request(number: int, method: str, params: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"


INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


def test_nothing_but_json_rpc_is_written_and_a_last_question_is_answered(
    home: Path, make_repository: MakeRepository
) -> None:
    process = pump(make_repository(SHOP, "shop"))
    lines = request(1, "initialize", INITIALIZE) + b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
    lines += b"this is no json\n" + request(2, "tools/call", {"name": "search_code", "arguments": {"query": "cart"}})
    out, _ = process.communicate(lines, timeout=30)
    messages = [json.loads(line) for line in out.splitlines()]
    assert all(message["jsonrpc"] == "2.0" for message in messages)
    assert {message.get("id") for message in messages} >= {1, 2}
    assert process.returncode == 0


def test_the_pump_ends_with_its_input_and_with_its_parent(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")
    process = pump(root)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=20) == 0
    script = (
        "import subprocess, sys, time\n"
        "r, w = __import__('os').pipe()\n"
        f"p = subprocess.Popen([sys.executable, '-m', 'recollect', 'mcp'], cwd={str(root)!r}, stdin=r, stdout=subprocess.DEVNULL)\n"
        "print(p.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.kill()
    parent.wait()
    wait_until(
        lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split(")")[1][:3],
        20,
    )


def test_a_cancelled_call_is_stopped(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository({f"f{i}.py": f"def f_{i}(a):\n    return a + {i}\n\n" * 80 for i in range(1200)}, "large")
    process = pump(root)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(
        request(1, "initialize", INITIALIZE) + b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
    )
    process.stdin.flush()
    process.stdout.readline()
    process.stdin.write(
        request(2, "tools/call", {"name": "sync_repository", "arguments": {"repository_path": str(root)}})
    )
    process.stdin.flush()
    time.sleep(0.3)
    process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}\n')
    status = request(3, "tools/call", {"name": "get_sync_status", "arguments": {"repository_name": "large"}})

    def is_cancelled() -> bool:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(status)
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        return answer["id"] == 3 and answer["result"]["structuredContent"]["status"] in ("cancelled", "completed")

    wait_until(is_cancelled)
    process.stdin.close()
    process.wait(timeout=20)


def test_memories_by_our_tools_and_by_the_forms_of_others(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")

    async def use(client: Client) -> None:
        async def call(name: str, **arguments: Any) -> Any:
            result = await client.call_tool(name, arguments)
            assert not result.is_error, result.content
            assert result.content[0].text  # type: ignore[union-attr]
            return result.structured_content

        made = await call(
            "store_memory", content="Carts live in `shop/cart.py`", metadata={"tags": "cart, shop", "type": "fact"}
        )
        assert (made["success"], made["duplicate"]) == (True, False)
        again = await call("memory_store", content="Carts  live in `shop/cart.py`", tags=["more"])
        assert (again["duplicate"], again["id"]) == (True, made["id"])
        answer = await call("retrieve_memory", query="where do carts live", n_results=3)
        assert answer["memories"][0]["tags"] == ["cart", "more", "shop"]
        assert answer["memories"][0]["memory_type"] == "fact"
        assert (answer["time_range"], answer["mode"], answer["count"]) == (None, "hybrid", 1)
        assert (await call("recall_memory", query="carts from today", n_results=5))["time_range"] is not None
        assert (await call("search_by_tag", tags="shop"))["count"] == 1
        assert (await call("recall_by_timeframe", start_date="2020-01-01", end_date="2020-01-02"))["count"] == 0
        assert (await call("exact_match_retrieve", content="Carts live in `shop/cart.py`"))["count"] == 1
        assert (await call("memory_search", query="carts", mode="hybrid", limit=2))["count"] == 1
        assert (await call("memory_list", page=1, page_size=10))["total"] == 1
        assert (await call("list_memories", tags="cart"))["memories"][0]["id"] == made["id"]
        hash_ = made["content_hash"]
        assert (await call("update_memory_metadata", content_hash=hash_, updates={"tags": ["new"]}))["tags"] == ["new"]
        assert (await call("update_memory", id=made["id"], content="Carts live elsewhere"))[
            "content"
        ] == "Carts live elsewhere"
        assert (await call("check_database_health"))["memories"] == 1
        shown = await call("delete_memory", tags=["new"], dry_run=True)
        assert (shown["ids"], shown["dry_run"]) == ([made["id"]], True)
        assert (await call("delete_by_tag", tag="new"))["deleted_count"] == 1
        assert (await call("retrieve_memory", query="carts"))["count"] == 0
        assert (await call("update_memory", id=made["id"], restore=True))["id"] == made["id"]
        assert (await call("delete_memory", id=made["id"], hard=True))["deleted_count"] == 1
        for name, arguments, code in (
            ("delete_memory", {}, "empty_filter"),
            ("store_memory", {"content": " "}, "empty_content"),
            ("update_memory", {"content": "x"}, "invalid_argument"),
            ("retrieve_memory", {"query": "x", "time": "gibberish"}, "unknown_time"),
        ):
            failed = await client.call_tool(name, arguments)
            assert failed.is_error
            assert failed.structured_content is not None
            assert failed.structured_content["code"] == code

    with_client(root, use)
