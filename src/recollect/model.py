"""The frozen types that every surface renders: what `Workspace` returns, the socket carries, CLI and MCP print.

Times are UTC epoch seconds (`_at`). Paths are relative to their repository, with `/`; a name that is not UTF-8 is
escaped as `\\xNN`. `to_dict()` gives the documented JSON shape of each.
"""

from __future__ import annotations

from dataclasses import field, fields
from enum import StrEnum
from functools import cache
from typing import Any, Final, cast

from recollect.errors import UserError
from recollect.records import dataclass


class RepositoryState(StrEnum):
    """What is true of a repository (see docs/states.md)."""

    KNOWN = "known"  # registered, nothing of it is indexed yet
    CLONING = "cloning"  # its managed clone is being made
    PARTIAL = "partial"  # some of it is indexed and answers: its first sync has not ended
    READY = "ready"  # its first sync has ended: the index is complete and answers
    MISSING = "missing"  # its root is gone or unreadable; the index is kept
    TOO_LARGE = "too_large"  # beyond the limits; synced only when asked for
    FAILED = "failed"  # the last sync failed as a whole and nothing is indexed


class Activity(StrEnum):
    """What is being done for a repository at this moment."""

    IDLE = "idle"
    QUEUED = "queued"
    SCANNING = "scanning"
    INDEXING = "indexing"
    CLONING = "cloning"
    MAPPING = "mapping"


class SyncStatus(StrEnum):
    """How a sync stands, or how it ended."""

    IDLE = "idle"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, StrEnum) else value


class Record:
    """Base of the result types: `to_dict()` for every dataclass below; fields marked `optional` vanish when None."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        made, kind = {}, cast(Any, type(self))
        for name, optional in _shape(kind):
            value = getattr(self, name)
            if value is None and optional:
                continue
            made[name] = value if type(value) in _SIMPLE else _plain(value)
        return made


_SIMPLE: Final = frozenset({str, int, float, bool, type(None)})


@cache
def _shape(record: Any) -> tuple[tuple[str, bool], ...]:
    """(name, whether it vanishes when None) of the fields of a dataclass."""
    return tuple((item.name, bool(item.metadata.get("optional"))) for item in fields(record))


def _optional() -> Any:
    return field(default=None, metadata={"optional": True})


@dataclass(frozen=True, slots=True)
class Freshness(Record):
    """What an answer reflects: everything written before the question (`fresh`), or what it does not, and why."""

    fresh: bool
    pending_files: int = 0
    reason: str | None = None
    checked_ms: float = 0.0
    partial: bool | None = _optional()  # True: the first sync has not ended, so that a part of the files answers
    call: dict[str, Any] | None = _optional()  # that goes on, or tells how far it is


@dataclass(frozen=True, slots=True)
class NextStep(Record):
    """Why an answer disappoints, in a sentence, and the call that goes on (`recollect.calls`), which each surface spells."""

    reason: str
    call: dict[str, Any] | None = _optional()


@dataclass(frozen=True, slots=True)
class Hit(Record):
    """A file that answers a query, by its best chunk; `more` are the line ranges of its other good ones."""

    repository: str
    path: str
    absolute_path: str
    start_line: int
    end_line: int
    language: str
    symbol: str | None
    kind: str | None
    score: float
    snippet: str
    snippet_line: int  # number of the snippet's first line
    more: tuple[tuple[int, int], ...] = ()
    also_in: tuple[str, ...] = ()
    explain: dict[str, float] | None = _optional()


@dataclass(frozen=True, slots=True)
class SearchResult(Record):
    """Hits, best first. `left_out`: how many more there are beyond the budget of tokens; `shortened`: a snippet lost lines to it."""

    query: str
    took_ms: float
    freshness: Freshness
    hits: tuple[Hit, ...]
    vectors: str | None = _optional()  # why not those of the model that is set: "embedding" still, or "unavailable"
    next_steps: tuple[NextStep, ...] | None = _optional()
    left_out: int = 0
    shortened: bool = False


@dataclass(frozen=True, slots=True)
class SymbolHit(Record):
    """A definition (`role` "definition") or a use (`role` "reference") of a name."""

    repository: str
    path: str
    absolute_path: str
    start_line: int
    end_line: int
    language: str
    name: str
    qualified_name: str
    kind: str
    role: str = "definition"
    signature: str = ""


@dataclass(frozen=True, slots=True)
class SymbolResult(Record):
    name: str
    took_ms: float
    freshness: Freshness
    definitions: tuple[SymbolHit, ...]
    references: tuple[SymbolHit, ...] | None = _optional()
    next_steps: tuple[NextStep, ...] | None = _optional()


@dataclass(frozen=True, slots=True)
class CodeResult(Record):
    """Lines of a file of a repository, `start_line` to `end_line`, 1-based and inclusive."""

    repository: str
    path: str
    absolute_path: str
    language: str
    start_line: int
    end_line: int
    total_lines: int
    text: str
    from_index: bool = False  # the file is gone or unreadable: the text is that of the last generation
    truncated: bool = False
    freshness: Freshness | None = _optional()  # of its repository, while the first sync of that goes on


@dataclass(frozen=True, slots=True)
class FileError(Record):
    path: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class SyncResult(Record):
    """What a sync did. Of one that was cancelled or failed: what it had committed until then.

    `total_files`: of the repository; of a sync that is not completed, the files that it has to process. `success_rate`:
    percent of files without an error; 0.0 before any was processed.
    """

    repository: str
    status: str
    total_files: int = 0
    processed_files: int = 0
    new_files: int = 0
    modified_files: int = 0
    deleted_files: int = 0
    unchanged_files: int = 0
    skipped_files: int = 0
    chunks_total: int = 0
    chunks_new: int = 0
    chunks_deleted: int = 0
    success_rate: float = 0.0
    errors: tuple[FileError, ...] = ()
    root_hash: str = ""
    generation: int = 0
    started_at: float = 0.0
    duration_s: float = 0.0
    nested_repositories: tuple[str, ...] = ()  # found inside, each a repository of its own


@dataclass(frozen=True, slots=True)
class Progress(Record):
    """`percentage` never goes back within a sync and is 100 once that is completed, not before its last commit; it is 0.0
    until the total is known. `phase` of what has ended: completed, cancelled or failed; the percentage is where it stopped.
    """

    phase: str = "idle"
    percentage: float = 0.0
    total_known: bool = False
    files_done: int = 0
    files_total: int = 0
    chunks_done: int = 0
    bytes_done: int = 0
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class CloneStatus(Record):
    status: str = "not_started"
    started_at: float | None = None
    completed_at: float | None = None
    error: str | None = None
    received_bytes: int = 0
    percentage: float = 0.0


@dataclass(frozen=True, slots=True)
class CloneAnswer(Record):
    """A clone that was asked for. `status`: accepted (it is being made) or cloned; `path`: where it is or will be."""

    status: str
    path: str
    repository: str
    message: str


@dataclass(frozen=True, slots=True)
class CloneReport(Record):
    """How a clone stands, and what was said of it last (`notice`)."""

    repository: str
    path: str
    url: str | None
    branch: str | None
    status: str
    started_at: float | None
    completed_at: float | None
    error: str | None
    received_bytes: int
    percentage: float
    notice: str | None = None


@dataclass(frozen=True, slots=True)
class ListedClone(Record):
    """`status`: accepted, cloned, refused (with the reason in `error`), or (dry run) what would be."""

    url: str
    status: str
    error: str | None


@dataclass(frozen=True, slots=True)
class CloneList(Record):
    """What became of the repositories of a list."""

    source: str
    repositories: tuple[ListedClone, ...]
    total: int
    accepted: int
    followed: bool


@dataclass(frozen=True, slots=True)
class RepoMapStatus(Record):
    status: str = "not_started"
    started_at: float | None = None
    completed_at: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RepoMap(Record):
    """An outline of the most important definitions of a repository; `tokens` of `map`, about."""

    repository: str
    map: str
    tokens: int
    files: int
    files_total: int
    definitions: int
    definitions_total: int
    freshness: Freshness
    took_ms: float
    repo_map_status: RepoMapStatus
    not_found: tuple[str, ...] | None = _optional()  # of the focus
    next_steps: tuple[NextStep, ...] | None = _optional()


@dataclass(frozen=True, slots=True)
class FileImportance(Record):
    """`importance`: 1.0 is the average file. `complexity`: branches in its code, about."""

    path: str
    language: str
    importance: float
    size_bytes: int
    lines: int
    complexity: int


@dataclass(frozen=True, slots=True)
class CriticalFiles(Record):
    """The files of a repository, most important first."""

    repository: str
    files: tuple[FileImportance, ...]
    files_total: int
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class RepositoryStatus(Record):
    """`sync_interval`: seconds between two checks as things stand; None where it is left alone. `own_sync_interval`: what was
    set for it alone. `excluded_by`: the pattern of `AUTO_SYNC_EXCLUDE` for which it is left alone.
    """

    name: str
    path: str
    url: str | None
    type: str
    language: str | None
    size_bytes: int
    state: RepositoryState
    activity: Activity
    tracked: bool
    watching: bool
    freshness: Freshness
    files: int
    chunks: int
    root_hash: str
    generation: int
    last_access: float | None
    last_sync: SyncResult | None
    attempts: int
    next_sync_at: float | None
    paused: bool
    progress: Progress
    clone_status: CloneStatus = CloneStatus()
    repo_map_status: RepoMapStatus = RepoMapStatus()
    failing_since: float | None = None  # when the first of the syncs began that failed in a row
    sync_interval: float | None = None
    own_sync_interval: float | None = None
    excluded_by: str | None = None
    aliases: tuple[str, ...] = ()  # other names that work everywhere


@dataclass(frozen=True, slots=True)
class RepositorySyncStatus(Record):
    repository: str
    status: SyncStatus
    progress: Progress
    last_sync: SyncResult | None


@dataclass(frozen=True, slots=True)
class RepositorySummary(Record):
    name: str
    path: str
    url: str | None
    language: str | None
    files: int
    chunks: int
    state: RepositoryState
    activity: Activity
    fresh: bool
    last_sync_at: float | None
    failure: str | None = None  # why its syncs fail, and when it is tried again
    notice: str | None = None  # what of it is not indexed yet, and what to do about it


@dataclass(frozen=True, slots=True)
class RepositoryList(Record):
    repositories: tuple[RepositorySummary, ...]
    total: int
    next_steps: tuple[NextStep, ...] | None = _optional()


@dataclass(frozen=True, slots=True)
class RepositoryInfo(Record):
    """A repository that was found on the disk; `size` in bytes, `indicators` are the names that show what it is."""

    path: str
    name: str
    type: str  # git | svn | mercurial | unknown
    language: str | None
    size: int
    last_modified: float
    indicators: tuple[str, ...]
    url: str | None = None


@dataclass(frozen=True, slots=True)
class AutoSyncConfig(Record):
    """Lists are empty where only the defaults hold; intervals in seconds, the threshold in bytes."""

    enabled: bool
    scan_paths: tuple[str, ...]
    exclude_patterns: tuple[str, ...]
    scan_interval: float
    sync_interval: float
    max_concurrent: int
    priority_languages: tuple[str, ...]
    size_threshold: int
    auto_watch: bool
    sync_on_startup: bool
    max_depth: int
    min_files: int


@dataclass(frozen=True, slots=True)
class ClientSetting(Record):
    """A setting in the environment of a client that is connected, and that does not hold. `in_force`: the value that does,
    and `origin` where it comes from; `change`: the command that makes the client's value hold; `message`: all of that.
    """

    name: str
    client: str
    wanted: str
    in_force: str
    origin: str
    change: str
    message: str


@dataclass(frozen=True, slots=True)
class AutoSyncStatus(Record):
    """`last_scan` and `next_scan` are ISO times in UTC. `held_back`: why background work waits, if it does.

    `excluded`: repositories that a scan found and `AUTO_SYNC_EXCLUDE` now leaves out; `outside`: those that lie below no scan
    path any longer, and are kept in step all the same; `forgotten`: folders that scans leave alone. `watched_interval`: seconds
    between two checks of a watched repository that has no interval of its own. `message`: what a pause or a resume has to say.
    """

    enabled: bool
    running: bool
    paused: bool
    last_scan: str | None
    next_scan: str | None
    queued_repos: int
    active_syncs: int
    synced_repos: int
    config: AutoSyncConfig
    held_back: str | None = None
    watched_repos: int = 0
    watches: int = 0
    failing: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()  # over the size threshold: after all others
    problems: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    watched_interval: float = 3600.0
    forgotten: tuple[str, ...] = ()
    client_settings: tuple[ClientSetting, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class ScanResult(Record):
    """A search for repositories; `running`: it goes on. Counts so far."""

    running: bool
    queued: int
    active: int
    synced: int
    found: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Memory(Record):
    """Something to be remembered. `refers_to`: code that it names; `similarity_score`: 0 to 1, in answers to a question."""

    id: str
    content: str
    content_hash: str
    tags: tuple[str, ...]
    memory_type: str
    metadata: dict[str, Any]
    repository: str | None
    refers_to: tuple[dict[str, Any], ...]
    superseded_by: str | None
    created_at: float
    updated_at: float
    created_at_iso: str
    updated_at_iso: str
    similarity_score: float | None = None
    deleted_at: float | None = _optional()
    truncated: bool | None = _optional()
    content_length: int | None = _optional()  # characters of the whole content, where it is truncated
    redactions: dict[str, int] | None = _optional()  # of an update: kind of secret → how many were replaced


@dataclass(frozen=True, slots=True)
class StoredMemory(Record):
    success: bool
    id: str
    content_hash: str
    duplicate: bool
    similar: tuple[dict[str, Any], ...]
    redacted: int
    message: str
    redactions: dict[str, int] = field(default_factory=dict)  # kind of secret → how many were replaced
    repository: str | None = _optional()  # to which it belongs
    notice: str | None = _optional()  # why it belongs to none


@dataclass(frozen=True, slots=True)
class RecalledMemories(Record):
    """`mode`: hybrid or lexical, or exact (contents that hold the query), or id (the memory that the query names).

    `time_range`: what was understood of a time in the question, ISO, in the user's zone.
    `ignored_time_range`: the same, of a phrase that left nothing and was ignored.
    `total`: how many match, or (not `total_is_exact`) at least that many. `next_offset`: where the rest begins.
    """

    query: str
    time_range: dict[str, str | None] | None
    mode: str
    count: int
    memories: tuple[Memory, ...]
    notice: str | None = _optional()  # what is missing or damaged
    total: int = 0
    total_is_exact: bool = True
    next_offset: int | None = _optional()
    ignored_time_range: dict[str, str | None] | None = _optional()
    next_steps: tuple[NextStep, ...] | None = _optional()


@dataclass(frozen=True, slots=True)
class MemoryList(Record):
    memories: tuple[Memory, ...]
    page: int
    page_size: int
    total: int
    has_more: bool
    notice: str | None = _optional()
    next_offset: int | None = _optional()  # where the rest begins
    next_steps: tuple[NextStep, ...] | None = _optional()


@dataclass(frozen=True, slots=True)
class DeletedMemories(Record):
    """`ids` went, or (`dry_run`) would go; soft deletes can be undone for thirty days."""

    success: bool
    deleted_count: int
    ids: tuple[str, ...]
    dry_run: bool
    message: str
    next_steps: tuple[NextStep, ...] | None = _optional()


@dataclass(frozen=True, slots=True)
class ToolSavings(Record):
    tool: str
    calls: int
    returned_tokens: int
    whole_tokens: int
    saved_tokens: int


@dataclass(frozen=True, slots=True)
class Savings(Record):
    """Tokens that agents were given, against those of the whole files; `basis` says how that is estimated."""

    calls: int
    returned_tokens: int
    whole_tokens: int
    saved_tokens: int
    tools: tuple[ToolSavings, ...]
    days: tuple[dict[str, Any], ...]
    basis: str


@dataclass(frozen=True, slots=True)
class RecentActivity(Record):
    """What was done lately: syncs of all repositories (newest first), latencies by tool, what agents did not have to read.

    `processes`: `{name, pid, rss_bytes, cpu_s}` of daemon, indexer and parse workers.
    """

    syncs: tuple[SyncResult, ...]
    latencies: tuple[dict[str, Any], ...]
    savings: Savings
    processes: tuple[dict[str, Any], ...]
    uptime_s: float


@dataclass(frozen=True, slots=True)
class Finding(Record):
    """One thing that `recollect doctor` looked at. `level`: ok | note | problem; `mend`: what to do about it."""

    level: str
    subject: str
    message: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class FileReport(Record):
    """One file of a repository as `recollect status --files` and `recollect why` show it."""

    path: str
    status: str  # indexed | skipped | failed | ignored | missing
    reason: str | None
    language: str | None
    size_bytes: int
    chunks: int


BUNDLED: Final = "bundled"
_EMBEDDERS: Final = ("sentence-transformers", "fastembed", "openai")


@dataclass(frozen=True, slots=True)
class EmbedderChoice:
    """Which model: `name` as in the setting; `url` of the service (openai), `timeout_s` of one of its answers."""

    name: str = BUNDLED
    url: str = ""
    timeout_s: float = 30.0

    @property
    def bundled(self) -> bool:
        return self.name == BUNDLED

    def check(self) -> None:
        """Raises UserError where the name has no form that is known."""
        kind, _, model = self.name.partition(":")
        if not self.bundled and (kind not in _EMBEDDERS or not model):
            known = ", ".join([BUNDLED, *(f"{kind}:MODEL" for kind in _EMBEDDERS)])
            raise UserError(f"RECOLLECT_EMBEDDER = {self.name!r} is none of {known}", code="bad_setting")
