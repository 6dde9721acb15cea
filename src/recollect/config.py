"""Settings: the daemon's environment over `config.toml` over the defaults, each with the place it came from."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from recollect.errors import UserError


class Settings(BaseModel):
    """Every setting by its name in the environment (upper case) and in `config.toml` (lower case)."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    recollect_log_level: str = Field("info", description="debug, info, warning or error: what run/daemon.log keeps")
    recollect_max_file_bytes: int = Field(1_000_000, ge=1, description="larger files are not indexed")
    recollect_max_repository_files: int = Field(
        200_000, ge=1, description="beyond: too_large, synced only when asked for"
    )
    recollect_max_repository_bytes: int = Field(10_000_000_000, ge=1, description="likewise, by bytes of its files")
    recollect_workers: int = Field(0, ge=0, le=64, description="parse workers; 0: one per core, eight at most")
    recollect_idle_exit: float = Field(
        28_800.0, gt=0, description="seconds without a client after which the daemon ends"
    )
    auto_sync_paths: tuple[str, ...] = Field(
        (), description="folders whose repositories agents may use, beyond the home"
    )
    auto_sync_exclude: tuple[str, ...] = Field(
        (), description="folder names left out where git does not decide, beyond the defaults"
    )
    auto_sync_max_concurrent: int = Field(3, ge=1, le=64, description="syncs that run at once")
    use_async_sync: bool = Field(True, description="false: sync_repository waits to the end whatever wait_s says")
    sync_queue_size: int = Field(10_000, ge=100, description="chunks that may wait between parse workers and writer")

    @field_validator("*", mode="before")
    @classmethod
    def _without_comment(cls, value: Any) -> Any:
        return value.split(" #", 1)[0].strip() if isinstance(value, str) else value

    @field_validator("auto_sync_paths", "auto_sync_exclude", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.replace(os.pathsep, ",").split(",") if part.strip())
        return value

    @field_validator("recollect_log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        if value.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("one of debug, info, warning, error")
        return value.lower()

    @classmethod
    def load(cls, home: Path, environment: Mapping[str, str] = os.environ) -> Self:
        """Settings of a home. Raises UserError that names the variable or the key."""
        values = {name: value for name, (value, _) in sources(home, environment).items()}
        try:
            return cls(**values)
        except ValidationError as error:
            raise UserError(
                "; ".join(_sentence(item, home, environment) for item in error.errors()), code="bad_setting"
            ) from error

    @property
    def workers(self) -> int:
        return self.recollect_workers or min(os.cpu_count() or 1, 8)


_DEFAULT: Final = "default"


def sources(home: Path, environment: Mapping[str, str] = os.environ) -> dict[str, tuple[Any, str]]:
    """name → (raw value, "environment" or "config.toml") of everything that is not the default. Raises UserError."""
    found: dict[str, tuple[Any, str]] = {}
    path = home / "config.toml"
    try:
        with open(path, "rb") as file:
            for name, value in tomllib.load(file).items():
                if name.lower() not in Settings.model_fields:
                    raise UserError(
                        f"config.toml: unknown setting {name}",
                        hint="recollect config lists them all.",
                        code="bad_setting",
                    )
                found[name.lower()] = (value, "config.toml")
    except FileNotFoundError:
        pass
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"config.toml: {error}", code="bad_setting") from error
    for name in Settings.model_fields:
        if name.upper() in environment:
            found[name] = (environment[name.upper()], "environment")
    return found


def table(home: Path, environment: Mapping[str, str] = os.environ) -> list[dict[str, Any]]:
    """Every setting as `{name, value, origin, description}`. Raises UserError."""
    settings, given = Settings.load(home, environment), sources(home, environment)
    return [
        {
            "name": name.upper(),
            "value": list(value) if isinstance(value := getattr(settings, name), tuple) else value,
            "origin": given[name][1] if name in given else _DEFAULT,
            "description": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]


def _sentence(error: Any, home: Path, environment: Mapping[str, str]) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    raw, origin = sources(home, environment).get(name, (error.get("input"), _DEFAULT))
    shown = name.upper() if origin == "environment" else f"{origin}: {name}"
    return f"{shown} = {raw!r}: {str(error['msg']).removeprefix('Value error, ')}"
