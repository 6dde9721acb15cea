"""The JSON API under `/api/v1`: one table of operations, from which both the routes and the OpenAPI description are made.

An operation is a tool's parameters and a call of the workspace; like the tools it translates and decides nothing.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import AliasChoices, Field, TypeAdapter

from recollect import __version__, model, text
from recollect.errors import RecollectError, Refused, Unavailable, UserError
from recollect.records import dataclass
from recollect.server import schema
from recollect.server.arguments import field_of, validated
from recollect.server.schema import Flag, Number, Parameters, Text, Whole
from recollect.server.tooling import Call

PREFIX: Final = "/api/v1"
Run = Callable[[Call, Any], Any]


class Search(schema.SearchCode):
    max_tokens: Whole | None = Field(None, ge=50, description="of all snippets")
    chunks: Flag = Field(False, description="rank pieces of files rather than files")
    explain: Flag = Field(False, description="every addend of each score")


class Code(schema.ReadCode):
    max_tokens: Whole | None = Field(None, ge=100, description="of the text, which is cut after a line")  # type: ignore[assignment]


class Importance(Parameters):
    repository: Text
    limit: Whole = Field(1000, ge=1, le=10_000)


class Outline(Parameters):
    path: Text
    repository: Text | None = None


class Add(Parameters):
    path: Text = Field(description="folder of a repository")
    name: Text | None = None


class Sync(schema.OneRepository):
    full: Flag = Field(False, description="index everything anew")
    background: Flag = Field(False, description="do not wait")
    wait_s: Number = Field(20, ge=0, le=3600, description="then answers running")


class SyncAll(Parameters):
    full: Flag = False
    background: Flag = True
    wait_s: Number = Field(20, ge=0, le=3600)


class Configure(schema.OneRepository):
    enabled: Flag | None = Field(None, description="keep it in step")
    sync_interval: Number | None = Field(None, ge=0, le=31_536_000, description="seconds; 0: as all others")


class Global(Parameters):
    scan_paths: list[Text] | None = Field(None, description="folders to find repositories in")
    exclude_patterns: list[Text] | None = None
    scan_interval: Number | None = Field(None, ge=1, le=31_536_000)
    sync_interval: Number | None = Field(None, ge=1, le=31_536_000)
    max_concurrent: Whole | None = Field(None, ge=1, le=64)
    priority_languages: list[Text] | None = None
    size_threshold: Whole | None = Field(None, ge=0, le=2**50)
    max_depth: Whole | None = Field(None, ge=1, le=50)
    min_files: Whole | None = Field(None, ge=1, le=2**50)
    auto_watch: Flag | None = None
    sync_on_startup: Flag | None = None
    enabled: Flag | None = None


class OneMemory(Parameters):
    id: Text = Field(description="id or content hash")


class ChangeMemory(OneMemory):
    content: Text | None = None
    tags: schema.Tags | None = None
    type: Text | None = Field(None, validation_alias=AliasChoices("type", "memory_type"))
    metadata: dict[str, Any] | None = None
    restore: Flag = Field(False, description="undo a delete")


class RemoveMemory(OneMemory):
    hard: Flag = Field(False, description="cannot be undone")


class PageOfMemories(schema.ListMemories):
    repository: Text | None = None


class Days(Parameters):
    days: Whole | None = Field(None, ge=1, le=10_000)


class Latest(Parameters):
    limit: Whole = Field(100, ge=1, le=1000)


@dataclass(frozen=True, slots=True)
class Operation:
    """`returns`: types of the answer, of `model`; a plain object where there are none."""

    name: str
    verb: str
    path: str
    summary: str
    parameters: type[Parameters]
    run: Run
    returns: tuple[type, ...] = ()
    waits: Flag = False
    many: str | None = None  # the answer is `{many: [returns…]}`

    @property
    def has_body(self) -> bool:
        return self.verb in ("POST", "PATCH")


def _search(call: Call, p: Search) -> Any:
    given = p.model_dump(exclude={"query", "repository", "limit"})
    return call.workspace.search(p.query, p.repository, p.limit, caller=call.caller, **given)


def _symbols(call: Call, p: schema.FindSymbol) -> Any:
    given: dict[str, Any] = {"kind": p.kind, "references": p.references, "limit": p.limit}
    return call.workspace.symbol(p.name, p.repository, caller=call.caller, **given)


def _related(call: Call, p: schema.FindRelated) -> Any:
    return call.workspace.related(p.path, p.line, repository=p.repository, caller=call.caller, limit=p.limit)


def _code(call: Call, p: Code) -> Any:
    lines = {"start_line": p.start_line, "end_line": p.end_line, "max_tokens": p.max_tokens}
    return call.workspace.read(p.path, repository=p.repository, caller=call.caller, **lines)


def _outline(call: Call, p: Outline) -> Any:
    return call.workspace.outline(p.path, repository=p.repository, caller=call.caller)


def _map(call: Call, p: schema.GetRepoMap) -> Any:
    return call.workspace.map(p.repository, p.max_tokens, p.focus, caller=call.caller)


def _importance(call: Call, p: Importance) -> Any:
    return call.workspace.critical_files(p.repository, p.limit, caller=call.caller)


def _repositories(call: Call, p: schema.ListRepositories) -> Any:
    return call.workspace.repositories(p.query, p.limit)


def _add(call: Call, p: Add) -> Any:
    return call.workspace.add(p.path, p.name, caller=call.caller)


def _repository(call: Call, p: schema.OneRepository) -> Any:
    return call.workspace.status(p.repository, caller=call.caller)


def _forget(call: Call, p: schema.OneRepository) -> Any:
    return call.workspace.forget(p.repository, caller=call.caller)


def _sync(call: Call, p: Sync) -> Any:
    name = call.workspace.status(p.repository, caller=call.caller).name  # nothing is registered here
    how: dict[str, Any] = {"full": p.full, "background": p.background, "wait_s": p.wait_s}
    return call.workspace.sync(name=name, caller=call.caller, cancelled=call.cancelled, **how)


def _sync_all(call: Call, p: SyncAll) -> Any:
    return call.workspace.sync_all(full=p.full, background=p.background, wait_s=p.wait_s, cancelled=call.cancelled)


def _cancel(call: Call, p: schema.OneRepository) -> Any:
    return call.workspace.cancel(p.repository, caller=call.caller)


def _history(call: Call, p: schema.OneRepository) -> Any:
    return call.workspace.history(p.repository, caller=call.caller)


def _configure(call: Call, p: Configure) -> Any:
    changes = {"enabled": p.enabled, "sync_interval": p.sync_interval}
    return call.workspace.configure_auto_sync(changes, p.repository, caller=call.caller)


def _clone(call: Call, p: schema.CloneRepo) -> Any:
    how: dict[str, Any] = {"background": p.background, "wait_s": p.wait_s}
    return call.workspace.clone(p.url, p.branch, p.depth, caller=call.caller, cancelled=call.cancelled, **how)


def _clone_status(call: Call, p: schema.OneRepository) -> Any:
    return call.workspace.clone_status(p.repository, caller=call.caller)


def _memories(call: Call, p: PageOfMemories) -> Any:
    filters = {"tags": p.tags, "tag_match": p.tag_match, "memory_type": p.type, "repository": p.repository}
    how: dict[str, Any] = {"time_phrase": p.time, "offset": p.offset, "max_tokens": p.max_tokens}
    return call.workspace.memory.page(p.page, p.limit, filters, **how)


def _remember(call: Call, p: schema.StoreMemory) -> Any:
    return call.workspace.remember(p.content, caller=call.caller, **p.details)


def _recall(call: Call, p: schema.RetrieveMemory) -> Any:
    given = p.model_dump(exclude={"query", "limit", "repository", "time", "type", "end_date"})
    where: dict[str, Any] = {"repository": p.repository, "time_phrase": p.time, "memory_type": p.type}
    where |= {"until": p.end_date, "max_tokens": p.max_tokens or _RECALL_TOKENS}
    return call.workspace.recall(p.query, p.limit, caller=call.caller, **given | where)


def _memory(call: Call, p: OneMemory) -> Any:
    return call.workspace.memory.get(p.id)


def _change_memory(call: Call, p: ChangeMemory) -> Any:
    return call.workspace.memory.update(p.id, memory_type=p.type, **p.model_dump(exclude={"id", "type"}))


def _remove_memory(call: Call, p: RemoveMemory) -> Any:
    return call.workspace.memory.delete(p.id, hard=p.hard)


def _global(call: Call, p: Global) -> Any:
    return call.workspace.configure_auto_sync(p.model_dump(exclude_none=True), caller=call.caller)


_NAMED: Final = "/repositories/{repository}"
_RECALL_TOKENS: Final = 8_000  # of memories, unless a program asks for more
_STATUS, _SYNC = model.RepositoryStatus, model.SyncResult
OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("search", "GET", "/search", "Find code.", Search, _search, (model.SearchResult,)),
    Operation("symbols", "GET", "/symbols", "Where a name is defined, and used.", schema.FindSymbol, _symbols, (model.SymbolResult,)),
    Operation("related", "GET", "/related", "Code like that at a line.", schema.FindRelated, _related, (model.SearchResult,)),
    Operation("code", "GET", "/code", "Lines of a file.", Code, _code, (model.CodeResult,)),
    Operation("outline", "GET", "/outline", "The definitions of a file.", Outline, _outline, (model.SymbolResult,)),
    Operation("map", "GET", "/map", "The most important definitions of a repository.", schema.GetRepoMap, _map, (model.RepoMap,), waits=True),
    Operation("importance", "GET", "/importance", "Files of a repository by importance.", Importance, _importance, (model.CriticalFiles,), waits=True),
    Operation("list_repositories", "GET", "/repositories", "Known repositories.", schema.ListRepositories, _repositories, (model.RepositoryList,)),
    Operation("add_repository", "POST", "/repositories", "Register a folder.", Add, _add, (_STATUS,)),
    Operation("repository", "GET", _NAMED, "All about one.", schema.OneRepository, _repository, (_STATUS,)),
    Operation("configure_repository", "PATCH", _NAMED, "Keep it in step or not, and how often it is checked.", Configure, _configure, (_STATUS,)),
    Operation("forget_repository", "DELETE", _NAMED, "Delete its index; its files stay.", schema.OneRepository, _forget, waits=True),
    Operation("sync_repository", "POST", f"{_NAMED}/sync", "Make its index equal to its files.", Sync, _sync, (_SYNC,), waits=True),
    Operation("cancel_sync", "POST", f"{_NAMED}/cancel", "Stop its sync.", schema.OneRepository, _cancel, (model.RepositorySyncStatus,), waits=True),
    Operation("repository_history", "GET", f"{_NAMED}/history", "Its last syncs.", schema.OneRepository, _history, (_SYNC,), many="syncs"),
    Operation("sync_all", "POST", "/sync", "Sync all tracked repositories.", SyncAll, _sync_all, (_SYNC,), waits=True, many="repositories"),
    Operation("clone", "POST", "/clones", "Clone a repository by its URL.", schema.CloneRepo, _clone, (model.CloneAnswer,), waits=True),
    Operation("clone_status", "GET", "/clones", "How a clone stands.", schema.OneRepository, _clone_status, (model.CloneReport,)),
    Operation("list_memories", "GET", "/memories", "Memories, newest first.", PageOfMemories, _memories, (model.MemoryList,)),
    Operation("remember", "POST", "/memories", "Remember something.", schema.StoreMemory, _remember, (model.StoredMemory,)),
    Operation("recall", "GET", "/memories/search", "What was remembered.", schema.RetrieveMemory, _recall, (model.RecalledMemories,)),
    Operation("memory", "GET", "/memories/{id}", "One memory.", OneMemory, _memory, (model.Memory,)),
    Operation("change_memory", "PATCH", "/memories/{id}", "Change it, or undo its delete.", ChangeMemory, _change_memory, (model.Memory,)),
    Operation("delete_memory", "DELETE", "/memories/{id}", "Forget it; that can be undone.", RemoveMemory, _remove_memory, (model.DeletedMemories,)),
    Operation("auto_sync", "GET", "/auto-sync", "How background work stands.", schema.Nothing, lambda call, p: call.workspace.auto_sync.status(), (model.AutoSyncStatus,)),
    Operation("configure_auto_sync", "PATCH", "/auto-sync", "Change its settings.", Global, _global, (model.AutoSyncStatus,)),
    Operation("pause", "POST", "/auto-sync/pause", "Stop background work.", schema.Nothing, lambda call, p: call.workspace.auto_sync.pause(), (model.AutoSyncStatus,)),
    Operation("resume", "POST", "/auto-sync/resume", "Start it again.", schema.Nothing, lambda call, p: call.workspace.auto_sync.resume(), (model.AutoSyncStatus,)),
    Operation("scan", "POST", "/auto-sync/scan", "Look for new repositories.", schema.Nothing, lambda call, p: call.workspace.auto_sync.scan(call.caller), (model.ScanResult,), waits=True),
    Operation("activity", "GET", "/activity", "What was done lately.", Latest, lambda call, p: call.workspace.activity(p.limit), (model.RecentActivity,)),
    Operation("savings", "GET", "/savings", "What agents did not have to read, an estimate.", Days, lambda call, p: call.workspace.savings(p.days), (model.Savings,)),
    Operation("status", "GET", "/status", "This instance.", schema.Nothing, lambda call, p: call.workspace.about()),
    Operation("settings", "GET", "/settings", "Every setting with its origin.", schema.Nothing, lambda call, p: {"settings": call.workspace.configuration()}),
)  # fmt: skip
VERBS: Final = {one.path: [other.verb for other in OPERATIONS if other.path == one.path] for one in OPERATIONS}


def run(operation: Operation, call: Call, arguments: Mapping[str, Any]) -> Any:
    """The answer as JSON. Raises RecollectError."""
    result = operation.run(call, validated(operation.parameters, arguments))
    if isinstance(result, (list, tuple)):
        return {operation.many: [item.to_dict() for item in result]}
    return result.to_dict() if isinstance(result, model.Record) else result


# -- requests ---------------------------------------------------------------------------------------------------------


def arguments_of_query(operation: Operation, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Arguments of a query string: texts become what the parameter is; one that is given several times is a list."""
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(field_of(operation.parameters, name) or name, []).append(value)
    properties = _properties(operation.parameters)
    return {name: _read(values, properties.get(name, {})) for name, values in given.items()}


@functools.cache
def _properties(parameters: type[Parameters]) -> dict[str, Any]:
    """JSON schema of each parameter: worked out once, for a page asks with every letter that is typed."""
    found: dict[str, Any] = parameters.model_json_schema().get("properties", {})
    return found


def _read(values: list[str], described: dict[str, Any]) -> Any:
    kinds = {option.get("type") for option in described.get("anyOf", [described])}
    if "array" in kinds and ("string" not in kinds or len(values) > 1):
        return values
    value = values[-1]
    if kinds & {"integer", "number"} and "string" not in kinds:
        try:
            return int(value) if "integer" in kinds else float(value)
        except ValueError:
            return value  # the validation says what is wrong with it
    if "boolean" in kinds:
        return {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)
    if "number" in kinds:  # or a text: a time
        try:
            return float(value)
        except ValueError:
            return value
    return value


def status_of(error: RecollectError) -> int:
    """The HTTP status that says the same as an error."""
    code = error.code
    if isinstance(error, UserError):
        return 404 if code in _NOT_FOUND else 409 if code == "duplicate" else 400
    if isinstance(error, Refused):
        return 403
    if isinstance(error, Unavailable):
        return 503
    return 500


_NOT_FOUND: Final = frozenset({"unknown_repository", "no_such_file", "unknown_memory", "no_repository", "missing"})


# -- the description --------------------------------------------------------------------------------------------------


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 description of all operations."""
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(PREFIX + operation.path, {})[operation.verb.lower()] = _described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Recollect",
            "version": __version__,
            "description": "Code search and memory on this machine. The token lies in run/token of the data directory.",
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    }


_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint", "retry"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "hint": {"type": "string"},
                "retry": {"type": "boolean"},
                "exit_code": {"type": "integer"},
            },
        }
    },
}


def _described(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    parameters = operation.parameters.model_json_schema(ref_template="#/components/schemas/{model}")
    properties = {name: _untitled(part) for name, part in parameters.get("properties", {}).items()}
    required = set(parameters.get("required", ()))
    in_path = [name for name in properties if "{" + name + "}" in operation.path]
    said: dict[str, Any] = {"operationId": operation.name, "summary": operation.summary}
    said["parameters"] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in in_path
    ]
    rest = {name: part for name, part in properties.items() if name not in in_path}
    if operation.has_body:
        body = {"type": "object", "properties": rest, "additionalProperties": False}
        needed = sorted(required & rest.keys())
        body |= {"required": needed} if needed else {}
        said["requestBody"] = {"required": bool(needed), "content": {"application/json": {"schema": body}}}
    else:
        said["parameters"] += [
            {"name": name, "in": "query", "required": name in required, "schema": _of_query(part)}
            for name, part in rest.items()
        ]
    failure = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    answers = {
        "200": {"description": "The answer.", "content": {"application/json": {"schema": _answer(operation, schemas)}}}
    }
    for status, why in _STATUSES.items():
        answers[status] = {"description": why, **failure}
    said["responses"] = answers
    return said


_STATUSES: Final = {
    "400": "The request cannot be understood.",
    "401": "No token, or a wrong one.",
    "403": "Not allowed.",
    "404": "It names something that is not there.",
    "409": "There is another one already.",
    "413": "The request is too large.",
    "503": "Not possible now; again later.",
}


def _answer(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    if not operation.returns:
        return {"type": "object"}
    references = []
    for kind in operation.returns:
        made = TypeAdapter(kind).json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        for name, part in made.pop("$defs", {}).items():
            schemas.setdefault(name, part)
        schemas.setdefault(kind.__name__, made)
        references.append({"$ref": f"#/components/schemas/{kind.__name__}"})
    one = references[0] if len(references) == 1 else {"anyOf": references}
    if operation.many is None:
        return one
    return {
        "type": "object",
        "required": [operation.many],
        "properties": {operation.many: {"type": "array", "items": one}},
    }


def _untitled(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != "title"}


def _of_query(part: dict[str, Any]) -> dict[str, Any]:
    """A parameter of a query string cannot be null: it is left out."""
    options = [option for option in part.get("anyOf", []) if option.get("type") != "null"]
    rest = {key: value for key, value in part.items() if key != "anyOf" and not (key == "default" and value is None)}
    if len(options) == 1:
        return {**options[0], **rest}
    return {**rest, "anyOf": options} if options else rest


def body_of(data: bytes) -> dict[str, Any]:
    """Raises UserError where the body is no JSON object."""
    try:
        value = text.mended(json.loads(data)) if data.strip() else {}
    except (ValueError, RecursionError) as error:
        raise UserError(f"the body is not JSON: {error}", code="invalid_argument") from error
    if not isinstance(value, dict):
        raise UserError("the body must be a JSON object", code="invalid_argument")
    return value
