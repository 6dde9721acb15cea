"""The tools of memory, and the forms that users of mcp-memory-service send. They translate; they decide nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from recollect import model
from recollect.errors import UserError
from recollect.memory.recall import DEFAULT_TOKENS
from recollect.memory.validate import metadata as checked_metadata
from recollect.server import render, schema
from recollect.server.tooling import Answer, Call, Tool, answered


def _store(call: Call, p: schema.StoreMemory) -> Answer:
    return answered(call.workspace.remember(p.content, caller=call.caller, **p.details), render.stored)


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
        until=p.end_date,
        max_tokens=p.max_tokens or DEFAULT_TOKENS,
        offset=p.offset,
        mode=p.mode,
    )
    return answered(result, render.recalled)


def _list(call: Call, p: schema.ListMemories) -> Answer:
    filters = {"tags": p.tags, "tag_match": p.tag_match, "memory_type": p.type}
    how: dict[str, Any] = {"time_phrase": p.time, "offset": p.offset, "max_tokens": p.max_tokens or DEFAULT_TOKENS}
    return answered(call.workspace.memory.page(p.page, p.limit, filters, **how), render.memory_list)


def _update(call: Call, p: schema.UpdateMemory) -> Answer:
    changes = {name: getattr(p, name) for name in ("content", "tags", "metadata")}
    return _updated(call, p.id, {**changes, "memory_type": p.type}, p.restore)


def _updated(call: Call, key: str | None, changes: dict[str, Any], restore: bool) -> Answer:
    if key is None:
        hint = "retrieve_memory and list_memories show the id of each memory."
        raise UserError("id (or content_hash) is required", hint=hint, code="invalid_argument")
    result = call.workspace.memory.update(key, restore=restore, **changes)
    is_changed = restore or any(value is not None for value in changes.values())
    return answered(result, render.memory if is_changed else render.unchanged)


def _delete(call: Call, p: schema.DeleteMemory) -> Answer:
    filters = {"tags": p.tags, "tag_match": p.tag_match, "after": p.after, "before": p.before}
    result = call.workspace.memory.delete(p.id, filters, dry_run=p.dry_run, hard=p.hard)
    return answered(result, render.deleted)


# -- forms of mcp-memory-service --------------------------------------------------------------------------------------


def _recall_form(limit: int, *needs: str, exact: bool = False, one_day: bool = False) -> Callable[[Call, Any], Answer]:
    """A form of recall with its default limit. `one_day`: without an end, the day of the beginning is meant."""

    def run(call: Call, p: schema.RecallAnyForm) -> Answer:
        _check_given(p, needs)
        most = p.limit or limit
        result = call.workspace.recall(
            p.query,
            most,
            repository=p.repository,
            caller=call.caller,
            tags=p.tags,
            tag_match="all" if p.match_all else _MATCHES[p.tag_match],
            memory_type=p.type,
            time_phrase=p.time,
            after=p.after,
            before=p.before,
            until=p.end_date if p.end_date is not None or p.before is not None or not one_day else p.after,
            max_tokens=p.max_tokens or DEFAULT_TOKENS,
            offset=p.offset if p.offset is not None else (p.page - 1) * most,
            mode="exact" if exact or p.mode == "exact" else "hybrid",
        )
        return answered(result, render.recalled)

    return run


def _list_form(call: Call, p: schema.RecallAnyForm) -> Answer:
    """`memory_list`; a list that is asked for by words or by bounds of time is a question."""
    if p.query or p.repository or any(bound is not None for bound in (p.after, p.before, p.end_date)):
        return _recall_form(20)(call, p)
    filters = {
        "tags": p.tags,
        "tag_match": "all" if p.match_all else _MATCHES[p.tag_match],
        "memory_type": p.type,
    }
    how: dict[str, Any] = {"time_phrase": p.time, "offset": p.offset, "max_tokens": p.max_tokens or DEFAULT_TOKENS}
    return answered(call.workspace.memory.page(p.page, p.limit or 20, filters, **how), render.memory_list)


def _delete_form(*needs: str, match_all: bool = False, one_day: bool = False) -> Callable[[Call, Any], Answer]:
    """A form of delete, which is refused without the arguments that it `needs`."""

    def run(call: Call, p: schema.DeleteAnyForm) -> Answer:
        _check_given(p, needs)
        filters = {
            "tags": p.tags,
            "tag_match": "all" if match_all else _MATCHES[p.tag_match],
            "after": p.after,
            "before": p.before,
            "until": p.end_date if p.end_date is not None or p.before is not None or not one_day else p.after,
        }
        result = call.workspace.memory.delete(p.key, filters, dry_run=p.dry_run)
        return answered(result, render.deleted)

    return run


def _check_given(p: schema.RecallAnyForm | schema.DeleteAnyForm, needs: tuple[str, ...]) -> None:
    """Raises UserError where none of the arguments of a form is given that it cannot do without."""
    if needs and all(getattr(p, name) in (None, "") for name in needs):
        names = {"after": "start_date", "before": "before_date"}
        said = " or ".join(names.get(name, name) for name in needs)
        raise UserError(f"{said} is required", code="invalid_argument")


def _update_form(call: Call, p: schema.UpdateAnyForm) -> Answer:
    """`updates` as it is nested there; keys of it that mean nothing here are metadata."""
    updates = dict(p.updates or {})
    for name in _FIXED:
        updates.pop(name, None)
    changes = {
        "content": p.content if p.content is not None else updates.pop("content", None),
        "tags": p.tags if p.tags is not None else updates.pop("tags", None),
        "memory_type": p.type or updates.pop("memory_type", None) or updates.pop("type", None),
    }
    nested = checked_metadata(updates.pop("metadata", None))
    restore = p.restore or updates.pop("restore", None) is True
    others = {name: value for name, value in updates.items() if name not in ("content", "tags", "memory_type", "type")}
    metadata = {**others, **nested, **(p.metadata or {})}
    return _updated(call, p.key, {**changes, "metadata": metadata or None}, restore)


def _duplicates(call: Call, p: schema.Nothing) -> Answer:
    said = "Nothing to clean up: the same content is never kept twice."
    return {"success": True, "count": 0, "message": said}, said


def _health(call: Call, p: schema.Nothing) -> Answer:
    stats = call.workspace.memory.stats()
    status = "degraded" if stats["damaged"] or stats["losses"] else "healthy"
    return answered({"status": status, "validation": {"status": status}, **stats}, render.memory_stats)


_MATCHES: Final = {"any": "any", "or": "any", "all": "all", "and": "all"}
_FIXED: Final = ("content_hash", "id", "created_at", "created_at_iso", "updated_at", "updated_at_iso", "embedding")
_Form = tuple[str, str, str, Callable[[Call, Any], Answer]]
_RECALLS: Final[tuple[_Form, ...]] = (
    ("recall_memory", "retrieve_memory", "query, n_results", _recall_form(5)),
    ("memory_search", "retrieve_memory", "query, mode, time_expr, tags, limit", _recall_form(10)),
    ("search_by_tag", "retrieve_memory", "tags, match_all", _recall_form(100, "tags")),
    (
        "recall_by_timeframe",
        "retrieve_memory",
        "start_date, end_date, n_results",
        _recall_form(5, "after", "end_date", "time", one_day=True),
    ),
    ("exact_match_retrieve", "retrieve_memory", "content", _recall_form(100, "query", exact=True)),
    ("retrieve_with_quality_boost", "retrieve_memory", "query, n_results", _recall_form(10)),
    ("debug_retrieve", "retrieve_memory", "query, n_results", _recall_form(5)),
)
_DELETES: Final[tuple[_Form, ...]] = (
    ("memory_delete", "delete_memory", "content_hash, tags, before, after", _delete_form()),
    ("delete_by_tag", "delete_memory", "tag", _delete_form("tags")),
    ("delete_by_tags", "delete_memory", "tags", _delete_form("tags")),
    ("delete_by_all_tags", "delete_memory", "tags", _delete_form("tags", match_all=True)),
    (
        "delete_by_timeframe",
        "delete_memory",
        "start_date, end_date, tag",
        _delete_form("after", one_day=True),
    ),
    ("delete_before_date", "delete_memory", "before_date, tag", _delete_form("before")),
)
_UPDATES: Final = ("memory_update", "update_memory_metadata")
_COUNTS: Final = ("check_database_health", "memory_health", "memory_stats", "get_cache_stats")
_CLEANUPS: Final = ("cleanup_duplicates", "memory_cleanup")


def _form(
    name: str, of: str, form: str, run: Callable[[Call, Any], Answer], parameters: type[schema.Parameters], **kind: Any
) -> Tool:
    said = f"Same as {of} ({form})." if form else f"{of}."
    return Tool(name, "compat", said, parameters, run, **kind)


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
    _form(
        "memory_store",
        "store_memory",
        "content, conversation_id, metadata",
        _store,
        schema.StoreMemory,
        returns=model.StoredMemory,
        reads=False,
    ),
    *(_form(*form, schema.RecallAnyForm, returns=model.RecalledMemories) for form in _RECALLS),
    _form(
        "memory_list",
        "list_memories",
        "page, page_size, tags",
        _list_form,
        schema.RecallAnyForm,
    ),
    *(
        _form(
            name,
            "update_memory",
            "content_hash, updates",
            _update_form,
            schema.UpdateAnyForm,
            returns=model.Memory,
            reads=False,
        )
        for name in _UPDATES
    ),
    *(
        _form(*form, schema.DeleteAnyForm, returns=model.DeletedMemories, reads=False, destroys=True)
        for form in _DELETES
    ),
    *(
        _form(name, "Nothing to do: the same content is never kept twice", "", _duplicates, schema.Nothing)
        for name in _CLEANUPS
    ),
    *(_form(name, "Counts of memories, and whether all are well", "", _health, schema.Nothing) for name in _COUNTS),
)
