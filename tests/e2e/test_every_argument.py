"""Every tool is called with every optional parameter as null, as blank text, as text and as JSON text, and answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from recollect.server import schema, tools
from tests.conftest import SHOP, MakeRepository
from tests.e2e.test_mcp import with_client
from tests.git_server import serving

# What each parameter may be in a call that succeeds; of one tool alone: "tool.parameter".
VALUES: dict[str, Any] = {
    "repository": "shop", "language": "python", "path_glob": "*.py", "content": "code", "mode": "hybrid", "changed_since": "HEAD",
    "limit": 3, "snippet_lines": 3, "max_tokens": 300, "kind": "class", "references": True, "line": 8, "start_line": 2,
    "end_line": 3, "focus": ["shop/cart.py"], "background": False, "wait_s": 5.5, "force_full": False, "force": False,
    "query": "cart", "scan_interval": 3600.5, "sync_interval": 300.5, "max_concurrent": 3, "priority_languages": ["python"],
    "size_threshold": 1000, "auto_watch": True, "sync_on_startup": True, "enabled": True, "exclude_patterns": ["vendored"],
    "tags": ["auth"], "type": "decision", "memory_type": "decision", "metadata": {"ticket": 7}, "files": ["shop/cart.py"],
    "symbols": ["Cart"], "page": 1, "tag_match": "any", "time": "last year", "after": "2020-01-01", "before": "2999-01-01",
    "restore": False, "dry_run": True, "hard": False, "branch": None, "depth": 0, "name": "shop", "scan_paths": None,
    "configure_auto_sync.repository": None, "store_memory.content": "carts are signed", "read_code.path": "shop/cart.py",
    "find_related.path": "shop/cart.py", "find_symbol.name": "Cart", "find_related.repository": "shop", "supersedes": None,
    "splitter": "ast", "custom_extensions": [".py"], "ignore_patterns": ["x"], "path": None,
}  # fmt: skip
LAST = ("forget_repository", "clear_index", "pause_auto_sync")


def value_of(tool: str, name: str) -> Any:
    return VALUES.get(f"{tool}.{name}", VALUES.get(name))


def written(value: Any) -> list[Any]:
    """Nothing in two ways, then the value in all the ways that clients write it."""
    forms: list[Any] = [None, ""]
    if value is not None:
        forms += [value, json.dumps(value) if not isinstance(value, str) else value]
        forms += [str(value).lower()] if isinstance(value, bool) else []
        forms += [", ".join(value), value[0]] if isinstance(value, list) else []
        forms += [float(value)] if type(value) is int else []
    return forms


@pytest.mark.timeout(300)
def test_every_tool_understands_every_way_to_write_its_arguments(
    home: Path, tmp_path: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_HTTP", "1")
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_LOCAL", "1")
    root = make_repository(SHOP, "shop")
    failures: list[str] = []

    async def use(client: Client) -> None:
        await client.call_tool("sync_repository", {"repository": str(root)})
        await client.call_tool("store_memory", {"content": "carts are signed", "tags": ["auth"]})
        listed = await client.call_tool("list_memories", {})
        memory = listed.content[0].text.split("[", 1)[1].split("]", 1)[0]  # type: ignore[union-attr]
        required = {"url": url, "id": memory, "key": memory, "content_hash": memory, "path": str(root)}
        order = sorted(
            tools.listed(["code", "repositories", "auto_sync", "memory"]), key=lambda tool: tool.name in LAST
        )
        for tool in order:
            published = schema.input_schema(tool.parameters)
            needed = [
                *published.get("required", ()),
                *(["id"] if tool.name in ("update_memory", "delete_memory") else []),
            ]
            base = {name: value_of(tool.name, name) or required.get(name) for name in needed}
            base |= {"dry_run": True} if tool.name == "delete_memory" else {}
            calls = [base]
            for name in set(published["properties"]) - set(needed):
                calls += [{**base, name: form} for form in written(value_of(tool.name, name))]
            if tool.name in LAST:
                calls = [base]
            if tool.name == "delete_memory":
                calls = [call for call in calls if call["dry_run"]]
            for arguments in calls:
                answer = await client.call_tool(tool.name, arguments)
                text = answer.content[0].text  # type: ignore[union-attr]
                if answer.is_error or "ignored" in text or len(text) > 18_000:
                    failures.append(f"{tool.name} {arguments}: {text[:300]}")

    with serving(tmp_path / "served") as served:
        url = served.publish(make_repository(SHOP, "elsewhere"), "team/elsewhere")
        with_client(root, use, structured=False)
    assert not failures, "\n".join(failures)


def test_nothing_is_deleted_where_no_filter_is_given(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")

    async def use(client: Client) -> None:
        await client.call_tool("store_memory", {"content": "carts are signed", "tags": ["auth"]})
        for nothing in ({}, {"tags": ""}, {"tags": None, "id": ""}, {"tags": []}, {"before": "", "after": None}):
            assert (await client.call_tool("delete_memory", nothing)).is_error, nothing
        listed = await client.call_tool("list_memories", {})
        assert "1 of 1" in listed.content[0].text  # type: ignore[union-attr]

    with_client(root, use, structured=False)


def test_blank_tags_leave_the_tags_of_a_memory(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")

    async def use(client: Client) -> None:
        stored = await client.call_tool("store_memory", {"content": "carts are signed", "tags": '["auth", "cart"]'})
        identity = stored.structured_content["id"]
        for nothing in ("", None, "  "):
            changed = await client.call_tool("update_memory", {"id": identity, "type": "fact", "tags": nothing})
            assert changed.structured_content["tags"] == ["auth", "cart"]
        emptied = await client.call_tool("update_memory", {"id": identity, "tags": []})
        assert emptied.structured_content["tags"] == []

    with_client(root, use)
