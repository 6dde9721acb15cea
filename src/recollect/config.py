"""Settings: what was persisted over the daemon's environment, `config.toml`, the defaults; each with its origin."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, Final, Self, get_type_hints

from recollect.errors import UserError
from recollect.model import BUNDLED, EmbedderChoice

_NOTHING: Final[Mapping[str, Any]] = {}


_YEAR_S: Final = 31_536_000


def _setting(default: Any, description: str, *, option: str = "", **limits: float) -> Any:
    """`limits`: ge, gt, le, as pydantic has them. `option`: of `recollect auto-sync config`, which changes it at once."""
    return field(default=default, metadata={"description": description, "option": option, "limits": limits})


@dataclass(frozen=True)
class Settings:
    """Every setting by its name in the environment (upper case) and in `config.toml` (lower case)."""

    recollect_log_level: str = _setting("info", description="debug, info, warning or error: what run/daemon.log keeps")
    recollect_max_file_bytes: int = _setting(1_000_000, ge=1, description="larger files are not indexed")
    recollect_max_repository_files: int = _setting(
        200_000, ge=1, description="beyond: too_large, synced only when asked for"
    )
    recollect_max_repository_bytes: int = _setting(10_000_000_000, ge=1, description="likewise, by bytes of its files")
    recollect_workers: int = _setting(
        0, ge=0, le=64, description="parse workers; 0: one per core that we may use, eight at most"
    )
    recollect_idle_exit: float = _setting(
        28_800.0, gt=0, description="seconds without a client after which the daemon ends"
    )
    recollect_memory_limit: int = _setting(
        4_000_000_000,
        ge=200_000_000,
        description="bytes of daemon, indexer and workers (at most half of what there is); beyond, what is idle is let go",
    )
    recollect_embedder: str = _setting(
        BUNDLED,
        description="model of the vectors: bundled, sentence-transformers:MODEL, fastembed:MODEL or openai:MODEL",
    )
    recollect_embedder_url: str = _setting(
        "", description="of the service for openai:MODEL, such as http://localhost:11434/v1; else OPENAI_BASE_URL"
    )
    recollect_embedder_timeout: float = _setting(30.0, gt=0, le=600, description="seconds that the service may take")
    recollect_barrier_ms: float = _setting(50.0, ge=1, le=5000, description="how long a question waits for file events")
    recollect_fresh_budget_ms: float = _setting(
        200.0, ge=0, le=60_000, description="how long a question waits for what just changed to be indexed"
    )
    recollect_redact_secrets: bool = _setting(True, description="replace keys and tokens in what is to be remembered")
    recollect_clone_allow_http: bool = _setting(False, description="clone from http:// too, which is not encrypted")
    recollect_clone_allow_local: bool = _setting(False, description="clone from this machine and private networks too")
    recollect_clone_timeout: float = _setting(1800.0, ge=1, description="seconds that a clone or a fetch may take")
    recollect_clone_max_bytes: int = _setting(5_000_000_000, ge=1, description="a larger clone is given up")
    recollect_clones_budget: int = _setting(
        50_000_000_000, ge=0, description="bytes of all clones; beyond, those unused longest are proposed for removal"
    )
    recollect_clones_evict: bool = _setting(
        False, description="remove what is proposed, if it was unused for thirty days"
    )
    recollect_fetch_interval: float = _setting(
        3600.0, ge=1, description="seconds between two looks at a clone's remote"
    )
    auto_sync_enabled: bool = _setting(
        True, option="--enabled", description="find, watch and sync repositories in the background"
    )
    auto_sync_paths: tuple[str, ...] = _setting(
        (), option="--path", description="folders to find repositories in; agents may use these too"
    )
    recollect_http_port: int = _setting(
        0,
        ge=0,
        le=65535,
        description="port of 127.0.0.1 for page, API, MCP and metrics; 0: a free one, when recollect web is run",
    )
    auto_sync_exclude: tuple[str, ...] = _setting(
        (),
        option="--exclude",
        description="folder names or patterns left out, beyond the defaults; !NAME takes a default away",
    )
    auto_sync_scan_interval: float = _setting(
        3600.0, ge=1, le=_YEAR_S, option="--scan-interval", description="seconds between two searches for repositories"
    )
    auto_sync_interval: float = _setting(
        300.0,
        ge=1,
        le=_YEAR_S,
        option="--sync-interval",
        description="seconds between two checks of a repository that has no interval of its own; "
        "while it is not set, watched ones, whose changes are synced as they happen, are checked hourly",
    )
    auto_sync_max_concurrent: int = _setting(
        3, ge=1, le=64, option="--max-concurrent", description="syncs that run at once"
    )
    auto_sync_priority_languages: tuple[str, ...] = _setting(
        ("python", "javascript", "typescript"),
        option="--priority-language",
        description="repositories in these are synced first; of equals, the one modified last",
    )
    auto_sync_size_threshold: int = _setting(
        104_857_600, ge=0, le=2**50, option="--size-threshold", description="bytes; larger repositories are synced last"
    )
    auto_sync_auto_watch: bool = _setting(
        True, option="--auto-watch", description="let the system tell of changes of tracked repositories"
    )
    auto_sync_on_startup: bool = _setting(
        True,
        option="--on-startup",
        description="check all tracked repositories when the daemon starts; "
        "false: each when it is asked about, when a change of it is seen, or one sync interval after the start",
    )
    auto_sync_max_depth: int = _setting(
        5, ge=1, le=50, option="--max-depth", description="levels below a scan path that are searched"
    )
    auto_sync_min_files: int = _setting(
        3, ge=1, le=2**50, option="--min-files", description="code files that make a folder without git a repository"
    )
    use_async_sync: bool = _setting(True, description="false: sync_repository waits to the end whatever wait_s says")
    sync_batch_size: int = _setting(
        100, ge=1, le=10_000, description="chunks, about, handed to a parse worker at a time"
    )
    sync_queue_size: int = _setting(10_000, ge=100, description="chunks that may wait between parse workers and writer")
    explicit: frozenset[str] = frozenset()  # no setting: names of those that somebody has set

    def __post_init__(self) -> None:
        others = {item.name for item in _settings() if getattr(self, item.name) != item.default}
        object.__setattr__(self, "explicit", self.explicit | others)

    @property
    def embedder(self) -> EmbedderChoice:
        return EmbedderChoice(self.recollect_embedder, self.recollect_embedder_url, self.recollect_embedder_timeout)

    @classmethod
    def load(
        cls,
        home: Path,
        environment: Mapping[str, str] = os.environ,
        persisted: Mapping[str, Any] = _NOTHING,
        adopted: Mapping[str, tuple[Any, str]] = _NOTHING,
    ) -> Self:
        """Settings of a home. Raises UserError that names the variable or the key."""
        found = sources(home, environment, persisted, adopted)
        return cls(**_checked(found), explicit=frozenset(found)) if found else cls()

    @property
    def workers(self) -> int:
        return self.recollect_workers or min(processors(), 8)

    @property
    def memory_limit(self) -> int:
        return min(self.recollect_memory_limit, memory() // 2)


_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUPS: Final = Path("/proc/self/cgroup")


def processors(groups: Path = _GROUPS, own: Path = _OWN_GROUPS) -> int:
    """How many this process may use: those that there are, that it is bound to, and that a container pays for.

    Who uses more than its control group's share is stopped, answers and all, for the rest of each tenth of a second.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _control_groups("cpu", groups, own):
        numbers = _numbers(group / "cpu.max") or _numbers(group / "cpu.cfs_quota_us") + _numbers(
            group / "cpu.cfs_period_us"
        )
        if len(numbers) == 2 and numbers[0] > 0:
            bound = min(bound, max(numbers[0] // numbers[1], 1))
    return bound


def memory(groups: Path = _GROUPS, own: Path = _OWN_GROUPS) -> int:
    """Bytes that there are for this process, or for its container."""
    bytes_ = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for group in _control_groups("memory", groups, own):
        for limit in _numbers(group / "memory.max") or _numbers(group / "memory.limit_in_bytes"):
            bytes_ = min(bytes_, limit)
    return bytes_


def _control_groups(controller: str, groups: Path, own: Path) -> Iterator[Path]:
    """Where Linux says what limits a process, of either version of control groups."""
    with suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "" or controller in controllers.split(","):
                group = PurePosixPath(path.lstrip("/"))
                yield from (groups / controllers / part for part in (group, *group.parents))


def _numbers(path: Path) -> list[int]:
    """Of a file; none where it is missing, or says "max"."""
    with suppress(OSError, ValueError):
        return [int(word) for word in path.read_text().split()]
    return []


def _settings() -> tuple[Field[Any], ...]:
    return tuple(item for item in fields(Settings) if "limits" in item.metadata)


_DEFAULT: Final = "default"
_PERSISTED: Final = "persisted"
NAMES: Final = tuple(item.name for item in _settings())
# What a client's environment may give a running daemon, where nobody has set it otherwise.
ADOPTABLE: Final = frozenset(
    {"use_async_sync", *(item.name for item in _settings() if item.name.startswith("auto_sync_"))}
)
OPTIONS: Final = {item.name: item.metadata["option"] for item in _settings()}


def described() -> list[tuple[str, Any, str, str]]:
    """(name, default, description, which values are allowed) of every setting."""
    rows = []
    for item in _settings():
        limits, allowed = item.metadata["limits"], ""
        if "ge" in limits and "le" in limits:
            allowed = f"{limits['ge']:,} to {limits['le']:,}"
        elif "ge" in limits:
            allowed = f"{limits['ge']:,} or more"
        elif "gt" in limits:
            allowed = f"more than {limits['gt']:,}" + (f", at most {limits['le']:,}" if "le" in limits else "")
        rows.append((item.name, item.default, item.metadata["description"], allowed))
    return rows


def how_to_set(name: str, value: Any = None) -> str:
    """What gives a setting a value (without one: any) for good, whatever an environment says."""
    option = OPTIONS[name]
    if not option:
        shown = "…" if value is None else json.dumps(value)
        return f"put {name} = {shown} into config.toml of the data directory, then: recollect daemon restart"
    if isinstance(value, bool):
        return f"recollect auto-sync config {option if value else '--disabled' if option == '--enabled' else f'--no-{option[2:]}'}"
    if isinstance(value, (list, tuple)):
        return "recollect auto-sync config " + " ".join(f"{option} {shlex.quote(str(part))}" for part in value)
    shown = "VALUE" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return f"recollect auto-sync config {option} {shown}"


def usable(persisted: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """(what was persisted, but for settings with a value that is not allowed; what to say of each of those).

    Such a value comes from a newer version, or from an edit of the file. It harms its own setting alone.
    """
    known = {name: (value, _PERSISTED) for name, value in persisted.items() if name in NAMES}
    try:
        if known:
            _checked(known)
        return dict(persisted), []
    except UserError:
        pass
    good, problems = dict(persisted), []
    for name, given in known.items():
        try:
            _checked({name: given})
        except UserError as error:
            del good[name]
            problems.append(f"{error.message}. It is ignored. To repair it: {how_to_set(name)}")
    return good, problems


def check_value(name: str, value: Any) -> Any:
    """A value for one setting, in the setting's type. Raises UserError that names the setting."""
    return _checked({name: (value, "")})[name]


def sources(
    home: Path,
    environment: Mapping[str, str] = os.environ,
    persisted: Mapping[str, Any] = _NOTHING,
    adopted: Mapping[str, tuple[Any, str]] = _NOTHING,
) -> dict[str, tuple[Any, str]]:
    """name → (raw value, "persisted", "environment" or "config.toml") of all but the defaults. Raises UserError.

    `adopted`: (value, origin) of what was taken over from the environment of clients.
    """
    found: dict[str, tuple[Any, str]] = dict(adopted)
    path = home / "config.toml"
    try:
        with open(path, "rb") as file:
            import tomllib  # where there is something to read

            for name, value in tomllib.load(file).items():
                if name.lower() not in NAMES:
                    raise UserError(
                        f"config.toml: unknown setting {name}",
                        hint="recollect config lists them all.",
                        code="bad_setting",
                    )
                found[name.lower()] = (value, "config.toml")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:  # no TOML, or not UTF-8
        raise UserError(f"config.toml: {error}", code="bad_setting") from error
    for name in NAMES:
        if name.upper() in environment:
            found[name] = (environment[name.upper()], "environment")
        if name in persisted:
            found[name] = (persisted[name], _PERSISTED)
    return found


def table(
    home: Path,
    environment: Mapping[str, str] = os.environ,
    persisted: Mapping[str, Any] = _NOTHING,
    adopted: Mapping[str, tuple[Any, str]] = _NOTHING,
) -> list[dict[str, Any]]:
    """Every setting as `{name, value, origin, description, allowed}`. Raises UserError."""
    persisted = usable(persisted)[0]
    settings = Settings.load(home, environment, persisted, adopted)
    given = sources(home, environment, persisted, adopted)
    return [
        {
            "name": name.upper(),
            "value": list(value) if isinstance(value := getattr(settings, name), tuple) else value,
            "origin": given[name][1] if name in given else _DEFAULT,
            "description": description,
            "allowed": allowed,
        }
        for name, _, description, allowed in described()
    ]


def _checked(found: Mapping[str, tuple[Any, str]]) -> dict[str, Any]:
    """Values of the types that settings have. Raises UserError.

    Pydantic is loaded here: it would take a quarter of the time in which a daemon starts that has nothing set.
    """
    from pydantic import ConfigDict, ValidationError, create_model, field_validator
    from pydantic import Field as Limited

    types = get_type_hints(Settings)
    lists = [name for name in NAMES if types[name] == tuple[str, ...]]
    definitions: dict[str, Any] = {
        item.name: (types[item.name], Limited(item.default, **item.metadata["limits"])) for item in _settings()
    }
    made = create_model(
        "Settings",
        __config__=ConfigDict(extra="forbid", allow_inf_nan=False),
        __validators__={
            # From the last to the first: a comment is gone before a list is made.
            "list": field_validator(*lists, mode="before")(_listed),
            "bounds": field_validator(*lists)(_bounded),
            "comment": field_validator("*", mode="before")(_without_comment),
            "level": field_validator("recollect_log_level")(_level),
            "embedder": field_validator("recollect_embedder")(_embedder),
        },
        **definitions,
    )
    try:
        checked = made(**{name: value for name, (value, _) in found.items()})
    except ValidationError as error:
        sentences = (_sentence(item, found) for item in error.errors())
        raise UserError("; ".join(sentences), code="bad_setting") from error
    return {name: getattr(checked, name) for name in found}


_LONGEST_SHOWN: Final = 200  # characters of a value in a message
_MOST_ENTRIES: Final = 1_000  # of a list
_LONGEST_ENTRY: Final = 4_096  # characters: as long as a path may be


def _without_comment(value: Any) -> Any:
    return value.split(" #", 1)[0].strip() if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.replace(os.pathsep, ",").split(",") if part.strip())
    return value


def _bounded(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(value) > _MOST_ENTRIES or any(len(entry) > _LONGEST_ENTRY for entry in value):
        raise ValueError(f"at most {_MOST_ENTRIES:,} entries of {_LONGEST_ENTRY:,} characters each")
    return value


def _level(value: str) -> str:
    if value.lower() not in ("debug", "info", "warning", "error"):
        raise ValueError("one of debug, info, warning, error")
    return value.lower()


def _embedder(value: str) -> str:
    try:
        EmbedderChoice(value).check()
    except UserError as error:
        raise ValueError(error.message) from error
    return value


def _sentence(error: Any, found: Mapping[str, tuple[Any, str]]) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    raw, origin = found.get(name, (error.get("input"), _DEFAULT))
    value = repr(raw) if len(repr(raw)) <= _LONGEST_SHOWN else f"{repr(raw)[:_LONGEST_SHOWN]}…"
    where = f" ({origin})" if origin else ""
    return f"{name.upper()} = {value}{where}: {str(error['msg']).removeprefix('Value error, ')}"
