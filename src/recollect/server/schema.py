"""The parameters of every MCP tool: validated here, and told to agents in as few tokens as possible."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

from recollect.errors import UserError

Text = Annotated[str, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Names = Text | list[Text]
Given = TypeVar("Given", bound="Parameters")


class Parameters(BaseModel):
    """Base of all; arguments that no tool knows are an error, for they are mistakes that would be silently lost."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _whole_numbers(cls, value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            return int(value)  # some clients send every number as 10.0
        return value


class SearchCode(Parameters):
    query: Text = Field(description='question in words, symbol, path or "exact phrase"')
    repository: Names | None = Field(
        None, description='name, path, URL, list of these, or "*" for all; default: current project'
    )
    language: Names | None = Field(None, description="e.g. python")
    path_glob: Names | None = Field(None, description="e.g. src/**/*.ts")
    content: Literal["code", "docs", "config", "all"] = "code"
    mode: Literal["hybrid", "regex"] = "hybrid"
    changed_since: Text | None = Field(None, description="only files changed since this git revision")
    limit: Whole = Field(10, ge=1, le=100)
    snippet_lines: Whole = Field(12, ge=0, le=200)
    max_tokens: Whole | None = Field(None, ge=50, description="budget of the whole answer")


class FindSymbol(Parameters):
    name: Text = Field(description="name, Class.method or beginning of a name")
    kind: Text | None = Field(None, description="class, function, method …")
    repository: Names | None = None
    references: Flag = Field(False, description="also list uses")
    limit: Whole = Field(20, ge=1, le=200)


class FindRelated(Parameters):
    path: Text
    line: Whole = Field(ge=1)
    repository: Text | None = Field(None, description='where the file is; "*": look in all')
    limit: Whole = Field(10, ge=1, le=100)


class FindRelatedAnyForm(Parameters):
    path: Text = Field(validation_alias=AliasChoices("file_path", "path"))
    line: Whole = Field(ge=1)
    repository: Text | None = Field(None, validation_alias=AliasChoices("repo", "repository"))
    limit: Whole = Field(10, ge=1, le=100, validation_alias=AliasChoices("top_k", "limit"))


class ReadCode(Parameters):
    path: Text = Field(description="relative to the repository, or absolute")
    start_line: Whole | None = Field(None, ge=1)
    end_line: Whole | None = Field(None, ge=1)
    repository: Text | None = None


class GetRepoMap(Parameters):
    repository: Text | None = None
    max_tokens: Whole = Field(4000, ge=50)
    focus: list[Text] = Field([], description="paths or symbols")


class GetSourceRepoMap(Parameters):
    repository: Text | None = Field(None, validation_alias=AliasChoices("repo_path", "repository"))
    max_tokens: Whole = Field(4000, ge=50)
    focus: list[Text] = Field([], validation_alias=AliasChoices("files", "directories", "focus"))


class SyncRepository(Parameters):
    repository_path: Text | None = Field(None, description="folder; none: all tracked")
    repository_name: Text | None = Field(None, description="a known repository, or a name for a new one")
    background: Flag = False
    wait_s: Number = Field(20, ge=0, le=3600, description="then answers running")
    incremental: Flag = True
    force_full: Flag = Field(False, description="index everything anew")


class ByName(Parameters):
    repository_name: Text = Field(description="name or path")


class CloneRepo(Parameters):
    url: Text = Field(description="https://… or git@host:path")
    branch: Text | None = None
    depth: Whole | None = Field(None, ge=0, description="commits; 0 all")
    background: Flag = True
    wait_s: Number = Field(20, ge=0, le=3600)


class ByRepoPath(Parameters):
    repo_path: Text = Field(description="path, name or URL")


class ListRepositories(Parameters):
    query: Text | None = Field(None, description="part of name, path or URL")
    limit: Whole = Field(100, ge=1, le=1000)


class ConfigureAutoSync(Parameters):
    repository: Text | None = Field(None, description="only enabled and sync_interval of this one")
    scan_paths: list[Text] | None = Field(None, description="folders to find repositories in")
    exclude_patterns: list[Text] | None = Field(None, description="folders not entered; !NAME takes a default away")
    scan_interval: Number | None = Field(None, ge=1)
    sync_interval: Number | None = Field(None, ge=1, description="seconds")
    max_concurrent: Whole | None = Field(None, ge=1, le=64)
    priority_languages: list[Text] | None = None
    size_threshold: Whole | None = Field(None, ge=0, description="bytes; larger ones last")
    auto_watch: Flag | None = None
    sync_on_startup: Flag | None = None
    enabled: Flag | None = None


class Nothing(Parameters):
    pass


Tags = list[Text] | Text
Moment = Text | Number


class StoreMemory(Parameters):
    content: Text = Field(description="what to remember, complete in itself")
    tags: Tags | None = Field(None, description="list, or text with commas")
    memory_type: Text | None = Field(None, description="decision, fact, preference, mistake, note …")
    metadata: dict[str, Any] | None = None
    repository: Text | None = Field(None, description="default: the one at hand")
    files: list[Text] = Field([], description="it refers to")
    symbols: list[Text] = []
    supersedes: Text | None = Field(None, description="id of the memory it replaces")


class RetrieveMemory(Parameters):
    query: Text = Field(description='words; a time in it ("last week") narrows')
    n_results: Whole = Field(5, ge=1, le=100)
    tags: Tags | None = None
    tag_match: Literal["any", "all"] = "any"
    memory_type: Text | None = None
    time: Text | None = Field(None, description='"yesterday", "since 2024-01-01"')
    after: Moment | None = None
    before: Moment | None = None
    repository: Text | None = Field(None, description="only of this one")
    max_tokens: Whole = Field(8000, ge=20)


class ListMemories(Parameters):
    page: Whole = Field(1, ge=1)
    page_size: Whole = Field(20, ge=1, le=1000)
    tags: Tags | None = None
    tag_match: Literal["any", "all"] = "any"
    memory_type: Text | None = None
    time: Text | None = None


class UpdateMemory(Parameters):
    id: Text | None = None
    content_hash: Text | None = None
    content: Text | None = None
    tags: Tags | None = None
    memory_type: Text | None = None
    metadata: dict[str, Any] | None = None
    restore: Flag = Field(False, description="undo a delete")


class DeleteMemory(Parameters):
    id: Text | None = None
    content_hash: Text | None = None
    tags: Tags | None = None
    tag_match: Literal["any", "all"] = "any"
    before: Moment | None = None
    after: Moment | None = None
    dry_run: Flag = Field(False, description="only show what would go")
    hard: Flag = Field(False, description="cannot be undone")


# -- forms that users of other tools send -----------------------------------------------------------------------------


class SearchAnyForm(Parameters):
    """claude-context `search_code(path=…)`, semble `search(query, repo, top_k)`, rust-code-mcp `search(keyword, directory)`."""

    query: Text = Field(validation_alias=AliasChoices("query", "keyword", "code"), description="what to find")
    repository: Names | None = Field(None, validation_alias=AliasChoices("repository", "repo", "path", "directory"))
    limit: Whole = Field(10, ge=1, le=100, validation_alias=AliasChoices("limit", "top_k", "max_results"))
    extension_filter: list[Text] | None = Field(
        None, validation_alias=AliasChoices("extension_filter", "extensionFilter")
    )
    content: Literal["code", "docs", "config", "all"] = "code"
    mode: Text | None = None


class IndexCodebase(Parameters):
    """claude-context `index_codebase(path, force, …)`, rust-code-mcp `index_codebase(directory, force_reindex)`."""

    path: Text = Field(validation_alias=AliasChoices("path", "directory", "repo_path", "repository_path"))
    force: Flag = Field(False, validation_alias=AliasChoices("force", "force_reindex"))
    splitter: Text | None = Field(None, description="ignored: chunks follow the syntax")
    custom_extensions: list[Text] | None = Field(
        None,
        validation_alias=AliasChoices("custom_extensions", "customExtensions"),
        description="ignored: all text is indexed",
    )
    ignore_patterns: list[Text] | None = Field(
        None,
        validation_alias=AliasChoices("ignore_patterns", "ignorePatterns"),
        description="ignored: use .recollectignore",
    )


class ByPath(Parameters):
    path: Text = Field(validation_alias=AliasChoices("path", "directory", "repo_path", "repository_name"))

    @property
    def repository_name(self) -> str:
        """As `ByName` calls it."""
        return self.path


class RecallAnyForm(Parameters):
    """mcp-memory-service, old and new: `recall_memory(query)`, `search_by_tag(tags)`, `memory_search(query, mode, limit)`, …"""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    query: Text = Field("", validation_alias=AliasChoices("query", "content", "q"))
    limit: Whole = Field(5, ge=1, le=100, validation_alias=AliasChoices("limit", "n_results", "page_size"))
    tags: Tags | None = Field(None, validation_alias=AliasChoices("tags", "tag"))
    match_all: Flag = False
    tag_match: Text | None = Field(None, validation_alias=AliasChoices("tag_match", "operation", "match"))
    memory_type: Text | None = None
    time: Text | None = Field(None, validation_alias=AliasChoices("time", "time_expr", "timeframe"))
    after: Moment | None = Field(None, validation_alias=AliasChoices("after", "start_date"))
    before: Moment | None = Field(None, validation_alias=AliasChoices("before", "end_date"))
    page: Whole = 1


class DeleteAnyForm(Parameters):
    """mcp-memory-service: `delete_by_tag(tag)`, `delete_by_tags(tags)`, `delete_by_timeframe(start_date, end_date)`, …"""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    key: Text | None = Field(None, validation_alias=AliasChoices("key", "content_hash", "id"))
    tags: Tags | None = Field(None, validation_alias=AliasChoices("tags", "tag"))
    tag_match: Text | None = Field(None, validation_alias=AliasChoices("tag_match", "match"))
    after: Moment | None = Field(None, validation_alias=AliasChoices("after", "start_date"))
    before: Moment | None = Field(None, validation_alias=AliasChoices("before", "end_date", "before_date"))
    dry_run: Flag = False


class AnyKey(Parameters):
    model_config = ConfigDict(extra="allow", populate_by_name=True)
    key: Text | None = Field(None, validation_alias=AliasChoices("key", "content_hash", "id"))
    content: Text | None = None
    updates: dict[str, Any] | None = None


def validated(model: type[Given], arguments: dict[str, Any] | None) -> Given:
    """Raises UserError with one sentence for each wrong argument."""
    try:
        return model.model_validate(arguments or {})
    except ValidationError as error:
        raise UserError(
            "; ".join(dict.fromkeys(_sentence(item, model) for item in error.errors())), code="invalid_argument"
        ) from None


def _sentence(error: Any, model: type[Parameters]) -> str:
    name = str(error["loc"][0]) if error["loc"] else "arguments"
    if error["type"] == "missing":
        return f"{name} is required"
    if error["type"] == "extra_forbidden":
        return f"there is no argument {name}; known: {', '.join(model.model_fields)}"
    return f"{name}: {str(error['msg'])[:200]}"


def input_schema(model: type[Parameters]) -> dict[str, Any]:
    """JSON schema without what agents do not need: titles, and null beside every optional type."""
    schema = model.model_json_schema(by_alias=False)
    properties = {name: _slim(part) for name, part in schema["properties"].items()}
    slim: dict[str, Any] = {"type": "object", "properties": properties}
    if schema.get("required"):
        slim["required"] = schema["required"]
    return slim


def _slim(part: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in part.items() if key not in ("title", "minimum", "maximum")}
    options = [option for option in kept.pop("anyOf", []) if option.get("type") != "null"]
    if len(options) == 1:
        kept = {**options[0], **kept}
        kept = {key: value for key, value in kept.items() if key not in ("title", "minimum", "maximum")}
    elif options:
        kept["type"] = [option["type"] for option in options]
        for option in options:
            if "items" in option:
                kept["items"] = option["items"]
    if kept.get("default", 0) is None:
        del kept["default"]
    if "const" in kept:
        kept["enum"] = [kept.pop("const")]
    return kept
