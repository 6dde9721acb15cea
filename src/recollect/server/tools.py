"""The MCP tools: name → parameters, what is called, how the answer reads. They translate; they decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from recollect import escape
from recollect.model import RepositoryStatus, SyncResult
from recollect.server import memory_tools, render, schema
from recollect.server.tooling import Answer, Call, Tool, answered


def _search(call: Call, p: schema.SearchCode) -> Answer:
    result = call.workspace.search(
        p.query,
        p.repository,
        p.limit,
        caller=call.caller,
        language=p.language,
        path_glob=p.path_glob,
        content=p.content,
        mode=p.mode,
        changed_since=p.changed_since,
        snippet_lines=p.snippet_lines,
        max_tokens=p.max_tokens,
    )
    return answered(result, render.search)


def _search_any_form(call: Call, p: schema.SearchAnyForm) -> Answer:
    globs = [f"*.{extension.lstrip('.')}" for extension in p.extension_filter or ()] or None
    content = "all" if globs else p.content
    result = call.workspace.search(p.query, p.repository, p.limit, caller=call.caller, path_glob=globs, content=content)
    return answered(result, render.search)


def _symbol(call: Call, p: schema.FindSymbol) -> Answer:
    result = call.workspace.symbol(
        p.name, p.repository, caller=call.caller, kind=p.kind, references=p.references, limit=p.limit
    )
    return answered(result, render.symbols)


def _read(call: Call, p: schema.ReadCode) -> Answer:
    result = call.workspace.read(
        p.path, repository=p.repository, caller=call.caller, start_line=p.start_line, end_line=p.end_line
    )
    return answered(result, render.code)


def _sync(call: Call, p: schema.SyncRepository) -> Answer:
    wait = p.wait_s if call.workspace.settings.use_async_sync else None
    full = p.force_full or not p.incremental
    if p.repository_path is None and p.repository_name is None:
        return _all(call.workspace.sync_all(full=full, background=p.background, wait_s=wait, cancelled=call.cancelled))
    result = call.workspace.sync(
        p.repository_path,
        name=p.repository_name,
        caller=call.caller,
        full=full,
        background=p.background,
        wait_s=wait,
        on_progress=call.on_progress,
        cancelled=call.cancelled,
    )
    return answered(result, render.sync)


def _all(results: Sequence[SyncResult]) -> Answer:
    states = {result.status for result in results}
    status = next((state for state in ("failed", "running", "queued", "cancelled") if state in states), "completed")
    answer = {"status": status, "repositories": [result.to_dict() for result in results]}
    return answer, render.syncs(escape.fields(results))


def _index_codebase(call: Call, p: schema.IndexCodebase) -> Answer:
    return _sync(call, schema.validated(schema.SyncRepository, {"repository_path": p.path, "force_full": p.force}))


def _sync_status(call: Call, p: schema.ByName | schema.ByPath) -> Answer:
    result = call.workspace.sync_status(p.repository_name, caller=call.caller)
    return answered(result, render.sync_status)


def _cancel(call: Call, p: schema.ByName) -> Answer:
    result = call.workspace.cancel(p.repository_name, caller=call.caller)
    return answered(result, render.sync_status)


def _related(call: Call, p: schema.FindRelated | schema.FindRelatedAnyForm) -> Answer:
    result = call.workspace.related(p.path, p.line, repository=p.repository, caller=call.caller, limit=p.limit)
    return answered(result, render.search)


def _map(call: Call, p: schema.GetRepoMap | schema.GetSourceRepoMap) -> Answer:
    result = call.workspace.map(p.repository, p.max_tokens, p.focus, caller=call.caller)
    return answered(result, render.repo_map)


def _clone(call: Call, p: schema.CloneRepo) -> Answer:
    result = call.workspace.clone(
        p.url,
        p.branch,
        p.depth,
        caller=call.caller,
        background=p.background,
        wait_s=p.wait_s,
        on_progress=call.on_progress,
        cancelled=call.cancelled,
    )
    return answered(result, render.clone)


def _clone_status(call: Call, p: schema.ByRepoPath) -> Answer:
    result = call.workspace.clone_status(p.repo_path, caller=call.caller)
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
    return answered(result, render.repositories)


def _status(call: Call, p: schema.ByName) -> Answer:
    result = call.workspace.status(p.repository_name, caller=call.caller)
    return answered(result, render.repository)


def _forget(call: Call, p: schema.ByName | schema.ByPath) -> Answer:
    result = call.workspace.forget(p.repository_name, caller=call.caller)
    return answered(result, render.forgotten)


_HITS = ("query", "took_ms", "freshness", "hits")
_SYNC = ("status",)
_AUTO_SYNC = ("enabled", "running", "paused", "queued_repos", "active_syncs", "synced_repos", "config")
_SYNC_STATUS = ("repository", "status", "progress", "last_sync")

TOOLS: tuple[Tool, ...] = (
    Tool(
        "search_code",
        "code",
        "Find code by meaning, words or symbol. Use before grep: ranked files with their best lines.",
        schema.SearchCode,
        _search,
        _HITS,
    ),
    Tool(
        "find_symbol",
        "code",
        "Where a class, function or other name is defined, and used.",
        schema.FindSymbol,
        _symbol,
        ("name", "took_ms", "freshness", "definitions"),
    ),
    Tool(
        "find_related",
        "code",
        "Code like that at a line: its tests, other implementations, copies.",
        schema.FindRelated,
        _related,
        _HITS,
    ),
    Tool(
        "read_code",
        "code",
        "Lines of a file of any known repository.",
        schema.ReadCode,
        _read,
        ("repository", "path", "start_line", "end_line", "total_lines", "text"),
    ),
    Tool(
        "get_repo_map",
        "code",
        "Outline of a repository's most important definitions: start here in unknown code.",
        schema.GetRepoMap,
        _map,
        ("repository", "map", "tokens"),
        waits=True,
    ),
    Tool(
        "sync_repository",
        "repositories",
        "Make a repository's index equal to its files now; registers new folders.",
        schema.SyncRepository,
        _sync,
        _SYNC,
        reads=False,
        waits=True,
    ),
    Tool(
        "get_sync_status",
        "repositories",
        "Progress of a sync and how the last one ended.",
        schema.ByName,
        _sync_status,
        _SYNC_STATUS,
    ),
    Tool(
        "cancel_sync",
        "repositories",
        "Stop a sync; what it committed stays.",
        schema.ByName,
        _cancel,
        _SYNC_STATUS,
        reads=False,
        waits=True,
    ),
    Tool(
        "clone_repo",
        "repositories",
        "Clone a repository by URL and index it; answers at once.",
        schema.CloneRepo,
        _clone,
        ("status", "path", "repository", "message"),
        reads=False,
        waits=True,
    ),
    Tool(
        "get_clone_status",
        "repositories",
        "How far a clone is.",
        schema.ByRepoPath,
        _clone_status,
        ("status", "percentage"),
    ),
    Tool(
        "list_repositories",
        "repositories",
        "Known repositories.",
        schema.ListRepositories,
        _list,
        ("repositories", "total"),
    ),
    Tool(
        "get_repository_status",
        "repositories",
        "All about one repository: state, freshness, counts, last sync.",
        schema.ByName,
        _status,
        ("name", "path", "state", "activity", "freshness"),
    ),
    Tool(
        "forget_repository",
        "repositories",
        "Delete a repository's index (not its files; a clone of ours goes whole).",
        schema.ByName,
        _forget,
        ("repository", "status"),
        reads=False,
        destroys=True,
        waits=True,
    ),
    Tool(
        "configure_auto_sync",
        "auto_sync",
        "Change how repositories are found and kept in step; what is not given stays.",
        schema.ConfigureAutoSync,
        _configure,
        reads=False,
    ),
    Tool(
        "get_auto_sync_status",
        "auto_sync",
        "How background work stands, and its settings.",
        schema.Nothing,
        _auto_sync_status,
        _AUTO_SYNC,
    ),
    Tool(
        "trigger_repository_scan",
        "auto_sync",
        "Look for new repositories now.",
        schema.Nothing,
        _scan,
        ("running", "queued", "active", "synced", "found"),
        reads=False,
        waits=True,
    ),
    Tool("pause_auto_sync", "auto_sync", "Stop background work.", schema.Nothing, _pause, _AUTO_SYNC, reads=False),
    Tool("resume_auto_sync", "auto_sync", "Start it again.", schema.Nothing, _resume, _AUTO_SYNC, reads=False),
    Tool("get_auto_sync_paths", "compat", "Folders that are searched.", schema.Nothing, _paths, ("paths",)),
    Tool(
        "search",
        "compat",
        "Same as search_code (query/keyword, repo/directory, top_k).",
        schema.SearchAnyForm,
        _search_any_form,
        _HITS,
    ),
    Tool(
        "get_similar_code",
        "compat",
        "Code similar to a piece of code (query, directory, limit).",
        schema.SearchAnyForm,
        _search_any_form,
        _HITS,
    ),
    Tool(
        "index_codebase",
        "compat",
        "Same as sync_repository (path/directory, force/force_reindex).",
        schema.IndexCodebase,
        _index_codebase,
        _SYNC,
        reads=False,
        waits=True,
    ),
    Tool(
        "get_source_repo_map",
        "compat",
        "Same as get_repo_map (repo_path, max_tokens).",
        schema.GetSourceRepoMap,
        _map,
        ("repository", "map", "tokens"),
        waits=True,
    ),
    Tool(
        "refresh_repo",
        "compat",
        "Same as sync_repository (repo_path).",
        schema.IndexCodebase,
        _index_codebase,
        _SYNC,
        reads=False,
        waits=True,
    ),
    Tool(
        "get_indexing_status",
        "compat",
        "Same as get_sync_status (path).",
        schema.ByPath,
        _sync_status,
        _SYNC_STATUS,
    ),
    Tool(
        "clear_index",
        "compat",
        "Same as forget_repository (path).",
        schema.ByPath,
        _forget,
        ("repository", "status"),
        reads=False,
        destroys=True,
        waits=True,
    ),
)
TOOLS += memory_tools.TOOLS
BY_NAME: Final = {tool.name: tool for tool in TOOLS}
_DEFAULT: Final = frozenset({"code", "repositories", "auto_sync", "memory"})


def listed(toolsets: Sequence[str] | None) -> list[Tool]:
    """Tools that a connection is shown; the others can be called all the same."""
    wanted = frozenset(toolsets) if toolsets else _DEFAULT
    return [tool for tool in TOOLS if tool.toolset in wanted]


def call(name: str, arguments: dict[str, Any] | None, call: Call) -> Answer:
    """Run a tool. Raises RecollectError."""
    tool = BY_NAME[name]
    given = dict(arguments or {})
    if name == "search_code" and given.keys() & {"path", "repo", "extensionFilter", "top_k"}:
        return _search_any_form(call, schema.validated(schema.SearchAnyForm, given))
    if name == "find_related" and given.keys() & {"file_path", "repo", "top_k"}:
        return _related(call, schema.validated(schema.FindRelatedAnyForm, given))
    return tool.run(call, schema.validated(tool.parameters, given))


def counted(name: str, arguments: dict[str, Any] | None, given: Call) -> Answer:
    """`call`, with what it took and what it spared the agent to read noted."""
    with given.workspace.meters.measured(name):
        answer, text = call(name, arguments, given)
        text = escape.block(text)  # whatever a renderer forgot, no control or hidden character goes out
        given.workspace.ledger.note(name, answer, text)
        return answer, text
