"""The MCP tools: name → parameters, what is called, how the answer reads. They translate; they decide nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field

from recollect import escape, model
from recollect.calls import NextCall, next_call
from recollect.model import RepositoryStatus, SyncResult
from recollect.server import memory_tools, render, schema
from recollect.server.arguments import field_of, understand
from recollect.server.tooling import Answer, Call, Tool, answered, within

_DEFAULT_TOKENS: Final = 4_500
_HEAD_TOKENS: Final = 60  # of an answer, beside its lines
_LARGER: Final = 3  # times, the budget that is offered where one did not do


def _search(call: Call, p: schema.SearchAnyForm) -> Answer:
    globs, content = p.path_glob, p.content
    if p.extension_filter and globs is None:
        globs, content = [f"*.{extension.lstrip('.')}" for extension in p.extension_filter], "all"
    result = call.workspace.search(
        p.query,
        p.repository,
        p.limit,
        caller=call.caller,
        language=p.language,
        path_glob=globs,
        content=content,
        mode=p.mode,
        changed_since=p.changed_since,
        snippet_lines=p.snippet_lines,
        max_tokens=p.max_tokens,
    )
    again = p.model_dump(exclude_defaults=True, exclude={"extension_filter"})
    if p.extension_filter:
        again |= {"path_glob": globs, "content": content}
    return answered(result, lambda shown: render.search(shown, _with_more(again, "search_code", p.max_tokens)))


def _with_more(arguments: Mapping[str, Any], tool: str, max_tokens: int | None) -> NextCall:
    """The call of the same question with a larger budget."""
    return next_call(tool, **{**arguments, "max_tokens": _LARGER * (max_tokens or _DEFAULT_TOKENS)})


def _symbol(call: Call, p: schema.FindSymbol) -> Answer:
    result = call.workspace.symbol(
        p.name, p.repository, caller=call.caller, kind=p.kind, references=p.references, limit=p.limit
    )
    return answered(result, render.symbols)


def _read(call: Call, p: schema.ReadCode) -> Answer:
    def lines(max_tokens: int) -> Answer:
        result = call.workspace.read(
            p.path,
            repository=p.repository,
            caller=call.caller,
            start_line=p.start_line,
            end_line=p.end_line,
            max_tokens=max(1, max_tokens),
        )
        return answered(result, render.code)

    answer = lines(p.max_tokens - _HEAD_TOKENS)
    too_long = len(answer[1]) // 4 - p.max_tokens
    return answer if too_long < 0 else lines(p.max_tokens - _HEAD_TOKENS - too_long - 1)


def _sync(call: Call, p: schema.SyncRepository) -> Answer:
    wait = call.patience_s(p.wait_s if call.workspace.settings.use_async_sync else None)
    full = p.force_full or not p.incremental
    if p.repository is None and p.name is None:
        return _all(call.workspace.sync_all(full=full, background=p.background, wait_s=wait, cancelled=call.cancelled))
    result = call.workspace.sync(
        p.repository,
        name=p.name,
        caller=call.caller,
        full=full,
        background=p.background,
        wait_s=wait,
        on_progress=call.on_progress,
        cancelled=call.cancelled,
    )
    also = escape.line(p.name) if p.name and p.repository and p.name != result.repository else None
    return answered(result, lambda shown: render.sync(shown, also))


def _all(results: Sequence[SyncResult]) -> Answer:
    states = {result.status for result in results}
    status = next((state for state in ("failed", "running", "queued", "cancelled") if state in states), "completed")
    answer = {"status": status, "repositories": [result.to_dict() for result in results]}
    return answer, render.syncs(escape.fields(results))


def _index_codebase(call: Call, p: schema.IndexCodebase) -> Answer:
    return _sync(call, schema.SyncRepository.model_validate({"repository": p.path, "force_full": p.force}))


def _sync_status(call: Call, p: schema.OneRepository) -> Answer:
    result = call.workspace.sync_status(p.repository, caller=call.caller)
    return answered(result, render.sync_status)


def _cancel(call: Call, p: schema.OneRepository) -> Answer:
    result = call.workspace.cancel(p.repository, caller=call.caller)
    return answered(result, render.sync_status)


def _related(call: Call, p: schema.FindRelated) -> Answer:
    result = call.workspace.related(
        p.path, p.line, repository=p.repository, caller=call.caller, limit=p.limit, max_tokens=p.max_tokens
    )
    again = p.model_dump(exclude_defaults=True)
    return answered(result, lambda shown: render.search(shown, _with_more(again, "find_related", p.max_tokens)))


def _map(call: Call, p: schema.GetRepoMap) -> Answer:
    def outline(max_tokens: int) -> Answer:
        tokens = max(max_tokens, schema.LEAST_TOKENS)
        return answered(call.workspace.map(p.repository, tokens, p.focus, caller=call.caller), render.repo_map)

    answer = outline(p.max_tokens - _HEAD_TOKENS)
    too_long = len(answer[1]) // 4 - p.max_tokens  # where the head says what was not found
    return answer if too_long < 0 else outline(p.max_tokens - 2 * _HEAD_TOKENS - too_long)


def _clone(call: Call, p: schema.CloneRepo) -> Answer:
    result = call.workspace.clone(
        p.url,
        p.branch,
        p.depth,
        caller=call.caller,
        background=p.background,
        wait_s=call.patience_s(p.wait_s),
        on_progress=call.on_progress,
        cancelled=call.cancelled,
    )
    return answered(result, render.clone)


def _clone_status(call: Call, p: schema.OneRepository) -> Answer:
    result = call.workspace.clone_status(p.repository, caller=call.caller)
    return answered(result, render.clone_report)


def _configure(call: Call, p: schema.ConfigureAutoSync) -> Answer:
    changes = p.model_dump(exclude={"repository"}, exclude_none=True)
    result = call.workspace.configure_auto_sync(changes, p.repository, caller=call.caller)
    if isinstance(result, RepositoryStatus):
        return answered(result, render.repository)
    return answered(result, render.auto_sync)


def _auto_sync_status(call: Call, p: schema.Nothing) -> Answer:
    result = call.workspace.auto_sync.status()
    return answered(result, render.auto_sync)


def _pause(call: Call, p: schema.Nothing) -> Answer:
    result = call.workspace.auto_sync.pause()
    return answered(result, render.auto_sync)


def _resume(call: Call, p: schema.Nothing) -> Answer:
    result = call.workspace.auto_sync.resume()
    return answered(result, render.auto_sync)


def _scan(call: Call, p: schema.Nothing) -> Answer:
    result = call.workspace.auto_sync.scan(call.caller)
    return answered(result, render.scan)


def _paths(call: Call, p: schema.Nothing) -> Answer:
    paths = [{"path": path, "origin": origin} for path, origin in call.workspace.auto_sync.scan_paths(call.caller)]
    return answered({"paths": paths}, render.paths)


def _list(call: Call, p: schema.ListRepositories) -> Answer:
    result = call.workspace.repositories(p.query, p.limit)
    return answered(result, lambda shown: render.repositories(shown, p.query))


def _status(call: Call, p: schema.OneRepository) -> Answer:
    result = call.workspace.status(p.repository, caller=call.caller)
    return answered(result, render.repository)


def _forget(call: Call, p: schema.OneRepository) -> Answer:
    result = call.workspace.forget(p.repository, caller=call.caller)
    return answered(result, render.forgotten)


TOOLS: tuple[Tool, ...] = (
    Tool(
        "search_code",
        "code",
        "Find code by meaning, words or symbol: ranked files with their best lines. Use before grep.",
        schema.SearchAnyForm,
        _search,
        model.SearchResult,
    ),
    Tool(
        "find_symbol",
        "code",
        "Definitions of a class, function or other name, and its uses.",
        schema.FindSymbol,
        _symbol,
        model.SymbolResult,
    ),
    Tool(
        "find_related",
        "code",
        "Code like that at a line: its tests, other implementations, copies.",
        schema.FindRelated,
        _related,
        model.SearchResult,
    ),
    Tool(
        "read_code",
        "code",
        "Lines of a file of any known repository.",
        schema.ReadCode,
        _read,
        model.CodeResult,
    ),
    Tool(
        "get_repo_map",
        "code",
        "A repository's most important definitions: start here in unknown code.",
        schema.GetRepoMap,
        _map,
        model.RepoMap,
        waits=True,
    ),
    Tool(
        "sync_repository",
        "repositories",
        "Index a new folder, or bring an index up to date now.",
        schema.SyncRepository,
        _sync,
        reads=False,
        waits=True,
    ),
    Tool(
        "get_sync_status",
        "repositories",
        "Progress of a sync, or how it ended.",
        schema.OneRepository,
        _sync_status,
        model.RepositorySyncStatus,
    ),
    Tool(
        "cancel_sync",
        "repositories",
        "Stop a sync; what is indexed stays.",
        schema.OneRepository,
        _cancel,
        model.RepositorySyncStatus,
        reads=False,
        waits=True,
    ),
    Tool(
        "clone_repo",
        "repositories",
        "Clone a repository by URL and index it.",
        schema.CloneRepo,
        _clone,
        model.CloneAnswer,
        reads=False,
        waits=True,
    ),
    Tool(
        "get_clone_status",
        "repositories",
        "How far a clone is.",
        schema.OneRepository,
        _clone_status,
        model.CloneReport,
    ),
    Tool(
        "list_repositories",
        "repositories",
        "Known repositories.",
        schema.ListRepositories,
        _list,
        model.RepositoryList,
    ),
    Tool(
        "get_repository_status",
        "repositories",
        "State, freshness, counts and last sync of one.",
        schema.OneRepository,
        _status,
        model.RepositoryStatus,
    ),
    Tool(
        "forget_repository",
        "repositories",
        "Delete a repository's index, not its files (a clone made here: all).",
        schema.OneRepository,
        _forget,
        reads=False,
        destroys=True,
        waits=True,
    ),
    Tool(
        "configure_auto_sync",
        "auto_sync",
        "Change how repositories are found and kept up to date.",
        schema.ConfigureAutoSync,
        _configure,
        reads=False,
    ),
    Tool(
        "get_auto_sync_status",
        "auto_sync",
        "Background work and its settings.",
        schema.Nothing,
        _auto_sync_status,
        model.AutoSyncStatus,
    ),
    Tool(
        "trigger_repository_scan",
        "auto_sync",
        "Look for new repositories now.",
        schema.Nothing,
        _scan,
        model.ScanResult,
        reads=False,
        waits=True,
    ),
    Tool(
        "pause_auto_sync",
        "auto_sync",
        "Stop background work.",
        schema.Nothing,
        _pause,
        model.AutoSyncStatus,
        reads=False,
    ),
    Tool(
        "resume_auto_sync", "auto_sync", "Start it again.", schema.Nothing, _resume, model.AutoSyncStatus, reads=False
    ),
    Tool("get_auto_sync_paths", "compat", "Folders that are searched.", schema.Nothing, _paths),
    Tool(
        "search",
        "compat",
        "Same as search_code (query/keyword, repo/directory, top_k).",
        schema.SearchAnyForm,
        _search,
        model.SearchResult,
    ),
    Tool(
        "get_similar_code",
        "compat",
        "Code similar to a piece of code (query, directory, limit).",
        schema.SearchAnyForm,
        _search,
        model.SearchResult,
    ),
    Tool(
        "index_codebase",
        "compat",
        "Same as sync_repository (path/directory, force/force_reindex).",
        schema.IndexCodebase,
        _index_codebase,
        model.SyncResult,
        reads=False,
        waits=True,
    ),
    Tool(
        "get_source_repo_map",
        "compat",
        "Same as get_repo_map (repo_path, max_tokens).",
        schema.GetRepoMap,
        _map,
        model.RepoMap,
        waits=True,
    ),
    Tool(
        "refresh_repo",
        "compat",
        "Same as sync_repository (repo_path).",
        schema.IndexCodebase,
        _index_codebase,
        model.SyncResult,
        reads=False,
        waits=True,
    ),
    Tool(
        "get_indexing_status",
        "compat",
        "Same as get_sync_status (path).",
        schema.OneRepository,
        _sync_status,
        model.RepositorySyncStatus,
    ),
    Tool(
        "clear_index",
        "compat",
        "Same as forget_repository (path).",
        schema.OneRepository,
        _forget,
        reads=False,
        destroys=True,
        waits=True,
    ),
)
TOOLS += memory_tools.TOOLS
BY_NAME: Final = {tool.name: tool for tool in TOOLS}
_DEFAULT: Final = frozenset({"code", "repositories", "auto_sync", "memory"})


class _Budget(schema.Parameters):
    """Of the tools that have no `max_tokens` of their own: accepted by all."""

    max_tokens: schema.Whole = Field(_DEFAULT_TOKENS, ge=schema.LEAST_TOKENS)


def listed(toolsets: Sequence[str] | None) -> list[Tool]:
    """Tools that a connection is shown; the others can be called all the same."""
    wanted = frozenset(toolsets) if toolsets else _DEFAULT
    return [tool for tool in TOOLS if tool.toolset in wanted]


def call(name: str, arguments: dict[str, Any] | None, call: Call) -> Answer:
    """Run a tool; its text keeps to the budget of the call. Raises RecollectError."""
    tool = BY_NAME[name]
    given = dict(arguments or {})
    budget = _DEFAULT_TOKENS
    notes: tuple[str, ...] = ()
    if "max_tokens" not in tool.parameters.model_fields:  # no tool returns more than it was allowed to
        asked = {key: given.pop(key) for key in list(given) if field_of(_Budget, key) == "max_tokens"}
        asked_for = understand(_Budget, asked)
        budget, notes = asked_for.parameters.max_tokens, asked_for.notes
    understood = understand(tool.parameters, given, reads=tool.reads, deletes=tool.destroys)
    budget = getattr(understood.parameters, "max_tokens", None) or budget
    answer, text = tool.run(call, understood.parameters)
    notes += understood.notes
    if notes:
        answer = {**answer, "notes": list(notes)}
    again = next_call(name, **understood.parameters.model_dump(exclude_defaults=True)) if tool.reads else None
    return answer, within(text, budget, notes, again)


def counted(name: str, arguments: dict[str, Any] | None, given: Call) -> Answer:
    """`call`, with what it took and what it spared the agent to read noted."""
    with given.workspace.meters.measured(name):
        answer, text = call(name, arguments, given)
        text = escape.block(text)  # whatever a renderer forgot, no control or hidden character goes out
        given.workspace.ledger.note(name, answer, text)
        return answer, text
