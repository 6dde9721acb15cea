"""The tools of memory, and the forms that users of mcp-memory-service send. They translate; they decide nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from recollect import escape, model
from recollect.errors import UserError
from recollect.memory.store import content_hash
from recollect.model import Memory
from recollect.server import render, schema
from recollect.server.tooling import Answer, Call, Tool, answered


def _store(call: Call, p: schema.StoreMemory) -> Answer:
    result = call.workspace.remember(
        p.content,
        repository=p.repository,
        caller=call.caller,
        tags=p.tags,
        memory_type=p.type,
        metadata=p.metadata,
        files=p.files,
        symbols=p.symbols,
        supersedes=p.supersedes,
    )
    return answered(result, render.stored)


def _retrieve(call: Call, p: schema.RetrieveMemory) -> Answer:
    result = call.workspace.recall(
        p.query,
        p.limit,
        repository=p.repository,
        caller=call.caller,
        tags=p.tags,
        tag_match=p.tag_match,
        memory_type=p.type,
        time_phrase=p.time,
        after=p.after,
        before=p.before,
        max_tokens=p.max_tokens,
    )
    return answered(result, render.recalled)


def _list(call: Call, p: schema.ListMemories) -> Answer:
    filters = {"tags": p.tags, "tag_match": p.tag_match, "memory_type": p.type}
    result = call.workspace.memory.page(p.page, p.limit, filters, time_phrase=p.time)
    return answered(result, render.memory_list)


def _update(call: Call, p: schema.UpdateMemory) -> Answer:
    changes = {name: getattr(p, name) for name in ("content", "tags", "metadata", "restore")}
    result = call.workspace.memory.update(_key(p.id), memory_type=p.type, **changes)
    return answered(result, render.memory)


def _delete(call: Call, p: schema.DeleteMemory) -> Answer:
    filters = {"tags": p.tags, "tag_match": p.tag_match, "after": p.after, "before": p.before}
    result = call.workspace.memory.delete(p.id, filters, dry_run=p.dry_run, hard=p.hard)
    return answered(result, render.deleted)


def _key(identity: str | None) -> str:
    if identity is None:
        raise UserError("id (or content_hash) is required", code="invalid_argument")
    return identity


# -- forms of others --------------------------------------------------------------------------------------------------


def _any_or_all(said: str | None) -> str:
    return "all" if str(said).lower() in ("all", "and") else "any"


def _recall_any(call: Call, p: schema.RecallAnyForm) -> Answer:
    match = "all" if p.match_all else _any_or_all(p.tag_match)
    result = call.workspace.recall(
        p.query,
        p.limit,
        caller=call.caller,
        tags=p.tags,
        tag_match=match,
        memory_type=p.type,
        time_phrase=p.time,
        after=p.after,
        before=p.before,
    )
    return answered(result, render.recalled)


def _list_any(call: Call, p: schema.RecallAnyForm) -> Answer:
    filters = {"tags": p.tags, "memory_type": p.type}
    result = call.workspace.memory.page(p.page, max(p.limit, 10), filters, time_phrase=p.time)
    return answered(result, render.memory_list)


def _exact(call: Call, p: schema.RecallAnyForm) -> Answer:
    shown: list[Memory] = []
    with suppress(UserError):
        shown = [item for item in [call.workspace.memory.get(content_hash(p.query))] if item.deleted_at is None]
    answer = {"query": p.query, "time_range": None, "mode": "exact", "count": len(shown)}
    return {**answer, "memories": [item.to_dict() for item in shown]}, render.exactly(escape.fields(shown))


def _delete_any(call: Call, p: schema.DeleteAnyForm) -> Answer:
    filters = {"tags": p.tags, "tag_match": _any_or_all(p.tag_match), "after": p.after, "before": p.before}
    result = call.workspace.memory.delete(p.key, filters, dry_run=p.dry_run)
    return answered(result, render.deleted)


def _update_any(call: Call, p: schema.AnyKey) -> Answer:
    given = {**(p.updates or {}), **(p.model_extra or {})}
    changes = {name: given[name] for name in ("tags", "memory_type", "metadata", "restore") if name in given}
    result = call.workspace.memory.update(_key(p.key), content=p.content, **changes)
    return answered(result, render.memory)


def _duplicates(call: Call, p: schema.AnyKey) -> Answer:
    said = "Nothing to clean up: the same content is never kept twice."
    return {"success": True, "count": 0, "message": said}, said


def _health(call: Call, p: schema.AnyKey) -> Answer:
    stats = call.workspace.memory.stats()
    status = "degraded" if stats["damaged"] or stats["losses"] else "healthy"
    return answered({"status": status, "validation": {"status": status}, **stats}, render.memory_stats)


TOOLS: Final[tuple[Tool, ...]] = (
    Tool(
        "store_memory",
        "memory",
        "Keep a decision, fact or mistake for all agents and later sessions.",
        schema.StoreMemory,
        _store,
        model.StoredMemory,
        reads=False,
    ),
    Tool(
        "retrieve_memory",
        "memory",
        "What earlier sessions decided and learned, by words, time, tags.",
        schema.RetrieveMemory,
        _retrieve,
        model.RecalledMemories,
    ),
    Tool("list_memories", "memory", "Memories, newest first.", schema.ListMemories, _list, model.MemoryList),
    Tool(
        "update_memory",
        "memory",
        "Change a memory, or undo its delete.",
        schema.UpdateMemory,
        _update,
        model.Memory,
        reads=False,
    ),
    Tool(
        "delete_memory",
        "memory",
        "Forget one, or all by tags or time.",
        schema.DeleteMemory,
        _delete,
        model.DeletedMemories,
        reads=False,
        destroys=True,
    ),
    *(
        Tool(name, "compat", f"Same as {of} ({form}).", parameters, run, returns, reads=reads, destroys=destroys)
        for name, of, form, parameters, run, returns, reads, destroys in (
            (
                "memory_store",
                "store_memory",
                "content, tags",
                schema.StoreMemory,
                _store,
                model.StoredMemory,
                False,
                False,
            ),
            (
                "recall_memory",
                "retrieve_memory",
                "query, n_results",
                schema.RecallAnyForm,
                _recall_any,
                model.RecalledMemories,
                True,
                False,
            ),
            (
                "memory_search",
                "retrieve_memory",
                "query, limit, tags",
                schema.RecallAnyForm,
                _recall_any,
                model.RecalledMemories,
                True,
                False,
            ),
            (
                "search_by_tag",
                "retrieve_memory",
                "tags",
                schema.RecallAnyForm,
                _recall_any,
                model.RecalledMemories,
                True,
                False,
            ),
            (
                "recall_by_timeframe",
                "retrieve_memory",
                "start_date, end_date",
                schema.RecallAnyForm,
                _recall_any,
                model.RecalledMemories,
                True,
                False,
            ),
            (
                "exact_match_retrieve",
                "retrieve_memory",
                "content",
                schema.RecallAnyForm,
                _exact,
                model.RecalledMemories,
                True,
                False,
            ),
            (
                "memory_list",
                "list_memories",
                "page, page_size",
                schema.RecallAnyForm,
                _list_any,
                model.MemoryList,
                True,
                False,
            ),
            (
                "memory_update",
                "update_memory",
                "content_hash, updates",
                schema.AnyKey,
                _update_any,
                model.Memory,
                False,
                False,
            ),
            (
                "update_memory_metadata",
                "update_memory",
                "content_hash, updates",
                schema.AnyKey,
                _update_any,
                model.Memory,
                False,
                False,
            ),
            (
                "memory_delete",
                "delete_memory",
                "content_hash, tags",
                schema.DeleteAnyForm,
                _delete_any,
                model.DeletedMemories,
                False,
                True,
            ),
            (
                "delete_by_tag",
                "delete_memory",
                "tag",
                schema.DeleteAnyForm,
                _delete_any,
                model.DeletedMemories,
                False,
                True,
            ),
            (
                "delete_by_tags",
                "delete_memory",
                "tags",
                schema.DeleteAnyForm,
                _delete_any,
                model.DeletedMemories,
                False,
                True,
            ),
            (
                "delete_by_timeframe",
                "delete_memory",
                "start_date, end_date",
                schema.DeleteAnyForm,
                _delete_any,
                model.DeletedMemories,
                False,
                True,
            ),
            (
                "delete_before_date",
                "delete_memory",
                "before_date",
                schema.DeleteAnyForm,
                _delete_any,
                model.DeletedMemories,
                False,
                True,
            ),
            ("cleanup_duplicates", "nothing", "none are kept", schema.AnyKey, _duplicates, None, True, False),
            ("check_database_health", "memory stats", "", schema.AnyKey, _health, None, True, False),
            ("memory_health", "memory stats", "", schema.AnyKey, _health, None, True, False),
            ("memory_stats", "memory stats", "", schema.AnyKey, _health, None, True, False),
        )
    ),
)
