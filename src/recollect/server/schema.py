"""The parameters of every MCP tool, and their description for agents in as few tokens as possible."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

Text = Annotated[str, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
# Of several types, the first one is published.
Names = Text | list[Text]
Tags = Annotated[list[Text], Field()] | Text  # annotated, or typing takes it for Names
Moment = Text | Number
LEAST_TOKENS: Final = 50  # of an answer
_LAST_LINE: Final = 2**31 - 1  # no file has more
HIDDEN: Final[dict[str, Any]] = {"hidden": True}
"""of a parameter that is accepted and not published"""
ASKED_FOR: Final[dict[str, Any]] = {"asked_for": True}
"""of one that is published as required: another may say the same"""


class Parameters(BaseModel):
    """Base of all. Unknown arguments are an error here; what agents send is read by `arguments.understand` before."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _whole_numbers(cls, value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            return int(value)  # some clients send every number as 10.0
        return value


def _also(name: str, *others: str) -> AliasChoices:
    """A parameter's name, and those that it had before or has elsewhere."""
    return AliasChoices(name, *others)


_REPOSITORY: Final = _also(
    "repository", "repository_name", "repository_path", "repo_path", "repo", "directory", "project", "codebase"
)
_ONE_REPOSITORY: Final = AliasChoices(*_REPOSITORY.choices, "path", "name", "url")
_PATH: Final = _also("path", "file_path", "file", "filename")
_LIMIT: Final = _also("limit", "top_k", "max_results", "n_results", "page_size")
_TYPE: Final = _also("type", "memory_type")
_IDENTITY: Final = _also("id", "content_hash")
_TAGS: Final = _also("tags", "tag")
_TIME: Final = _also("time", "time_expr", "timeframe")
_AFTER: Final = _also("after", "start_date")


class SearchCode(Parameters):
    query: Text = Field(
        validation_alias=_also("query", "keyword", "code"), description='words, symbol, path or "exact phrase"'
    )
    repository: Names | None = Field(
        None,
        validation_alias=AliasChoices(*_REPOSITORY.choices, "path", "repositories"),
        description='name, path or URL, several with commas; "*": all; default: this project',
    )
    language: Names | None = Field(None, validation_alias=_also("language", "languages"))
    path_glob: Names | None = Field(
        None, description="e.g. src/**/*.ts", validation_alias=_also("path_glob", "glob", "file_pattern")
    )
    content: Literal["code", "docs", "config", "all"] = Field("code", description="code (default), docs, config, all")
    mode: Literal["hybrid", "regex"] = Field("hybrid", description="hybrid (default), regex")
    changed_since: Text | None = Field(None, description="git revision")
    limit: Whole = Field(10, ge=1, le=100, validation_alias=_LIMIT)
    snippet_lines: Whole = Field(12, ge=0, le=200)
    max_tokens: Whole | None = Field(1800, ge=LEAST_TOKENS)


class SearchAnyForm(SearchCode):
    """Also claude-context `search_code(path, extensionFilter)`, semble `search(query, repo, top_k)`, rust-code-mcp
    `search(keyword, directory)`.
    """

    extension_filter: list[Text] | None = Field(
        None, validation_alias=_also("extension_filter", "extensionFilter"), json_schema_extra=HIDDEN
    )


class FindSymbol(Parameters):
    name: Text = Field(validation_alias=_also("name", "symbol", "query"), description="name, Class.method or prefix")
    kind: Text | None = Field(None, validation_alias=_also("kind", "type", "symbol_type"))
    repository: Names | None = Field(None, validation_alias=AliasChoices(*_REPOSITORY.choices, "repositories"))
    references: Flag = Field(False, validation_alias=_also("references", "include_references"))
    limit: Whole = Field(20, ge=1, le=200, validation_alias=_LIMIT)


class FindRelated(Parameters):
    path: Text = Field(validation_alias=_PATH)
    line: Whole | None = Field(
        None,
        ge=1,
        le=_LAST_LINE,
        validation_alias=_also("line", "line_number", "start_line"),
        json_schema_extra=ASKED_FOR,
    )
    repository: Text | None = Field(None, validation_alias=_REPOSITORY, description='"*": look in all')
    limit: Whole = Field(10, ge=1, le=100, validation_alias=_LIMIT)
    max_tokens: Whole | None = Field(1800, ge=LEAST_TOKENS, json_schema_extra=HIDDEN)


class ReadCode(Parameters):
    path: Text = Field(validation_alias=_PATH, description="also as hits print it: repo:path:12-40")
    start_line: Whole | None = Field(
        None, ge=1, le=_LAST_LINE, validation_alias=_also("start_line", "start", "line", "from_line")
    )
    end_line: Whole | None = Field(None, ge=1, le=_LAST_LINE, validation_alias=_also("end_line", "end", "to_line"))
    repository: Text | None = Field(None, validation_alias=_REPOSITORY)
    max_tokens: Whole = Field(4400, ge=LEAST_TOKENS, json_schema_extra=HIDDEN)


class GetRepoMap(Parameters):
    repository: Text | None = Field(None, validation_alias=AliasChoices(*_REPOSITORY.choices, "path"))
    max_tokens: Whole = Field(4000, ge=LEAST_TOKENS)
    focus: list[Text] = Field([], validation_alias=_also("focus", "files", "directories"))


class SyncRepository(Parameters):
    repository: Text | None = Field(
        None,
        validation_alias=AliasChoices("repository", "repository_path", "repo_path", "repo", "path", "directory"),
        description="folder, name or URL; none: all",
    )
    name: Text | None = Field(None, validation_alias=_also("name", "repository_name"), description="an alias")
    background: Flag = Field(False)
    wait_s: Number = Field(20, ge=0, le=3600)
    incremental: Flag = Field(True, json_schema_extra=HIDDEN)
    force_full: Flag = Field(False, validation_alias=_also("force_full", "force", "full"))


class OneRepository(Parameters):
    repository: Text = Field(validation_alias=_ONE_REPOSITORY)


class CloneRepo(Parameters):
    url: Text = Field(validation_alias=_also("url", "repository", "repo"))
    branch: Text | None = None
    depth: Whole | None = Field(None, ge=0)
    background: Flag = True
    wait_s: Number = Field(20, ge=0, le=3600, json_schema_extra=HIDDEN)


class ListRepositories(Parameters):
    query: Text | None = Field(
        None,
        validation_alias=_also("query", "name", "repository", "filter"),
    )
    limit: Whole = Field(100, ge=1, le=1000, validation_alias=_LIMIT)


class ConfigureAutoSync(Parameters):
    repository: Text | None = Field(None, validation_alias=_REPOSITORY, description="only this one")
    scan_paths: list[Text] | None = None
    exclude_patterns: list[Text] | None = None
    scan_interval: Number | None = Field(None, ge=1)
    sync_interval: Number | None = Field(None, ge=0, description="0 with repository: as all others")
    max_concurrent: Whole | None = Field(None, ge=1, le=64)
    priority_languages: list[Text] | None = None
    size_threshold: Whole | None = Field(None, ge=0)
    auto_watch: Flag | None = None
    sync_on_startup: Flag | None = None
    enabled: Flag | None = None


class Nothing(Parameters):
    pass


class StoreMemory(Parameters):
    """Also mcp-memory-service `store_memory(…, client_hostname)` and `memory_store(…, conversation_id)`."""

    content: Text = Field(description="complete in itself")
    tags: Tags | None = Field(None, validation_alias=_TAGS)
    type: Text | None = Field(None, validation_alias=_TYPE, description="decision, fact, mistake, note (default) …")
    metadata: dict[str, Any] | None = None
    repository: Text | None = Field(None, validation_alias=_REPOSITORY)
    files: list[Text] = []
    symbols: list[Text] = []
    supersedes: Text | None = Field(None, description="id it replaces")
    conversation_id: Text | None = Field(None, json_schema_extra=HIDDEN)
    client_hostname: Text | None = Field(None, json_schema_extra=HIDDEN)

    @property
    def details(self) -> dict[str, Any]:
        """The arguments of `Workspace.remember` besides the content; where the memory comes from is metadata."""
        sources = {"conversation_id": self.conversation_id, "client_hostname": self.client_hostname}
        metadata = {**(self.metadata or {}), **{name: value for name, value in sources.items() if value is not None}}
        given = self.model_dump(exclude={"content", "type", *sources})
        return {**given, "memory_type": self.type, "metadata": metadata}


class RetrieveMemory(Parameters):
    query: Text = Field(
        validation_alias=_also("query", "q", "id", "content_hash"),
        description='words ("last week" narrows), or an id: that one whole',
    )
    limit: Whole = Field(5, ge=1, le=100, validation_alias=_LIMIT)
    offset: Whole = Field(0, ge=0, le=1_000_000)
    tags: Tags | None = Field(None, validation_alias=_TAGS)
    tag_match: Literal["any", "all"] = Field("any", description="any (default), all")
    type: Text | None = Field(None, validation_alias=_TYPE)
    time: Text | None = Field(None, validation_alias=_TIME)
    after: Moment | None = Field(None, validation_alias=_AFTER)
    before: Moment | None = None
    repository: Text | None = Field(None, validation_alias=_REPOSITORY, description="only this one")
    max_tokens: Whole | None = Field(None, ge=LEAST_TOKENS, description="default 1800")
    mode: Literal["hybrid", "semantic", "exact"] = Field("hybrid", json_schema_extra=HIDDEN)
    end_date: Moment | None = Field(None, json_schema_extra=HIDDEN)


class ListMemories(Parameters):
    page: Whole = Field(1, ge=1, le=1_000_000)
    limit: Whole = Field(20, ge=1, le=1000, validation_alias=_LIMIT)
    offset: Whole | None = Field(None, ge=0, le=1_000_000, json_schema_extra=HIDDEN)
    tags: Tags | None = Field(None, validation_alias=_TAGS)
    tag_match: Literal["any", "all"] = Field("any", description="any (default), all")
    type: Text | None = Field(None, validation_alias=_TYPE)
    time: Text | None = Field(None, validation_alias=_TIME)
    max_tokens: Whole | None = Field(None, ge=LEAST_TOKENS, json_schema_extra=HIDDEN)


class UpdateMemory(Parameters):
    id: Text | None = Field(None, validation_alias=_IDENTITY)
    content: Text | None = None
    tags: Tags | None = Field(None, validation_alias=_TAGS, description="[] removes all")
    type: Text | None = Field(None, validation_alias=_TYPE)
    metadata: dict[str, Any] | None = None
    restore: Flag = False


class DeleteMemory(Parameters):
    id: Text | None = Field(None, validation_alias=_IDENTITY)
    tags: Tags | None = Field(None, validation_alias=_TAGS)
    tag_match: Literal["any", "all"] = Field("any", description="any (default), all")
    before: Moment | None = None
    after: Moment | None = Field(None, validation_alias=_AFTER)
    dry_run: Flag = False
    hard: Flag = False


# -- forms that users of other tools send -----------------------------------------------------------------------------


class IndexCodebase(Parameters):
    """claude-context `index_codebase(path, force, …)`, rust-code-mcp `index_codebase(directory, force_reindex)`."""

    path: Text = Field(validation_alias=AliasChoices("path", *_REPOSITORY.choices))
    force: Flag = Field(False, validation_alias=_also("force", "force_reindex", "force_full"))
    splitter: Text | None = Field(None, description="ignored: chunks follow the syntax")
    custom_extensions: list[Text] | None = Field(
        None,
        validation_alias=_also("custom_extensions", "customExtensions"),
        description="ignored: all text is indexed",
    )
    ignore_patterns: list[Text] | None = Field(
        None,
        validation_alias=_also("ignore_patterns", "ignorePatterns"),
        description="ignored: use .recollectignore",
    )


class RecallAnyForm(Parameters):
    """mcp-memory-service, old and new: `recall_memory(query)`, `search_by_tag(tags)`, `memory_search(query, mode, limit)`, …

    A day or time in `end_date` belongs to what is meant, one in `before` does not. What only says how its server works is
    accepted and hidden; what would change the answer, and cannot here, is unknown.
    """

    query: Text = Field("", validation_alias=_also("query", "content", "q"))
    mode: Literal["semantic", "hybrid", "exact"] = Field("semantic", description="semantic (default), hybrid, exact")
    limit: Whole | None = Field(None, ge=1, le=1000, validation_alias=_LIMIT)
    page: Whole = Field(1, ge=1, le=1_000_000)
    offset: Whole | None = Field(None, ge=0, le=1_000_000)
    tags: Tags | None = Field(None, validation_alias=_TAGS)
    match_all: Flag = False
    tag_match: Literal["any", "all", "or", "and"] = Field(
        "any", validation_alias=_also("tag_match", "operation", "match"), description="any (default), all"
    )
    type: Text | None = Field(None, validation_alias=_TYPE)
    time: Text | None = Field(None, validation_alias=_TIME)
    after: Moment | None = Field(None, validation_alias=_AFTER)
    before: Moment | None = None
    end_date: Moment | None = None
    repository: Text | None = Field(None, validation_alias=_REPOSITORY)
    max_tokens: Whole | None = Field(None, ge=LEAST_TOKENS)
    max_response_chars: Whole | None = Field(None, ge=0)
    include_debug: Flag = Field(False, json_schema_extra=HIDDEN)
    include_superseded: Flag = Field(False, json_schema_extra=HIDDEN)
    fallback: Flag = Field(False, json_schema_extra=HIDDEN)

    @model_validator(mode="after")
    def _characters_are_tokens(self) -> Self:
        if self.max_tokens is None and self.max_response_chars:
            self.max_tokens = max(LEAST_TOKENS, self.max_response_chars // 4)
        return self


class DeleteAnyForm(Parameters):
    """mcp-memory-service: `delete_by_tag(tag)`, `delete_by_tags(tags)`, `delete_by_timeframe(start_date, end_date)`, …"""

    key: Text | None = Field(None, validation_alias=_also("key", "content_hash", "id"))
    tags: Tags | None = Field(None, validation_alias=_TAGS)
    tag_match: Literal["any", "all", "or", "and"] = Field(
        "any", validation_alias=_also("tag_match", "operation", "match"), description="any (default), all"
    )
    after: Moment | None = Field(None, validation_alias=_AFTER)
    before: Moment | None = Field(None, validation_alias=_also("before", "before_date"))
    end_date: Moment | None = None
    dry_run: Flag = False


class UpdateAnyForm(Parameters):
    """mcp-memory-service `memory_update(content_hash, updates)`; other keys of `updates` are metadata."""

    key: Text | None = Field(None, validation_alias=_also("key", "content_hash", "id"))
    updates: dict[str, Any] | None = None
    content: Text | None = None
    tags: Tags | None = Field(None, validation_alias=_TAGS)
    type: Text | None = Field(None, validation_alias=_TYPE)
    metadata: dict[str, Any] | None = None
    restore: Flag = False
    preserve_timestamps: Flag = Field(True, json_schema_extra=HIDDEN)
    versioned: Flag = Field(False, json_schema_extra=HIDDEN)


# -- as agents are told -----------------------------------------------------------------------------------------------

_QUIET: Final = frozenset({"limit", "wait_s"})  # answers say how many more there are, and what still runs
_DROPPED: Final = ("title", "minimum", "maximum", "enum", "anyOf", "hidden", "asked_for")


def input_schema(model: type[Parameters]) -> dict[str, Any]:
    """JSON schema with one type for each parameter, and null beside it where it is optional.

    Allowed values stand in the descriptions alone: clients that hold arguments against an `enum` refuse null, or a value in
    other case, before we could answer.
    """
    schema = model.model_json_schema(by_alias=False)
    parts = {name: part for name, part in schema["properties"].items() if not part.get("hidden")}
    required = [name for name, part in parts.items() if name in schema.get("required", ()) or part.get("asked_for")]
    slim: dict[str, Any] = {
        "type": "object",
        "properties": {name: _slim(name, part, name not in required) for name, part in parts.items()},
    }
    return slim | ({"required": required} if required else {})


def _slim(name: str, part: dict[str, Any], is_optional: bool) -> dict[str, Any]:
    first = part["anyOf"][0] if "anyOf" in part else part
    slim = {"type": [first["type"], "null"] if is_optional else first["type"]}
    if first["type"] == "array":
        slim["items"] = first["items"]
    slim |= {
        key: value for key, value in part.items() if key not in (*_DROPPED, "type", "items", "additionalProperties")
    }
    goes_without_saying = name in _QUIET or slim.get("default", 0) in (None, False, 0, 1, [])
    if goes_without_saying or "default" in slim.get("description", ""):
        slim.pop("default", None)
    return slim
