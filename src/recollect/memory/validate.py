"""The door of the memory: every write passes here and becomes a checked record, or a reason why not.

Pure. Store, update, import, HTTP, MCP and the command line all come through `checked` or `checked_changes`. What is
read back from the database or from a backup is checked by the same functions.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from recollect import text
from recollect.errors import UserError
from recollect.memory.redact import redact_fields
from recollect.records import dataclass

MAX_CONTENT: Final = 1_000_000  # bytes of UTF-8
MAX_TAGS: Final = 200
MAX_NAME: Final = 200  # characters of a tag, a type, an identifier
MAX_METADATA: Final = 200_000  # bytes of JSON
MAX_DEPTH: Final = 32  # of metadata
MAX_REFERENCES: Final = 1_000
MAX_PATH: Final = 4_096
LATEST: Final = 4_102_444_800.0  # 2100-01-01: no memory is made later; the earliest is 1970-01-01
_UNITS: Final = (1.0, 1e3, 1e6, 1e9)  # seconds, milliseconds, microseconds, nanoseconds
_EARLIEST_IN_UNITS: Final = 1e8  # 1973: below, a number of milliseconds would pass for seconds of a far year
_NUMBER: Final = re.compile(r"\d{1,25}(?:\.\d{1,25})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_DAY: Final = re.compile(r"(?:19|20)\d{6}", re.ASCII)  # ISO's basic form, as 20240131
_ZONE: Final = re.compile(r"\s+(?=(?:Z|[+-]\d\d:?\d\d)$)")
_LONGEST_TIME: Final = 64


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """A memory that may be stored. `id` and `superseded_by` are as its source has them; None: the store decides.

    `owner`: what its repository is known by on the machine of its source, whatever its name.
    `redactions`: how many secrets of each kind were replaced.
    """

    content: str
    tags: tuple[str, ...]
    memory_type: str
    metadata: dict[str, Any]
    repository: str | None
    refers_to: tuple[dict[str, Any], ...]
    created_at: float | None
    updated_at: float | None
    deleted_at: float | None
    superseded_by: str | None
    id: str | None
    versions: tuple[dict[str, Any], ...]
    owner: str | None
    redactions: dict[str, int]

    @property
    def redacted(self) -> int:
        return sum(self.redactions.values())


def checked(raw: Mapping[str, Any], redacts: bool) -> MemoryRecord:
    """Turn raw fields into a record. `redacts`: secrets are replaced. Raises UserError with the reason."""
    fields: dict[str, Any] = {
        "content": content(raw.get("content")),
        "tags": tag_list(raw.get("tags")),
        "memory_type": memory_type(raw.get("memory_type")),
        "metadata": metadata(raw.get("metadata")),
    }
    fields, redactions = without_secrets(fields) if redacts else (fields, Counter())
    versions = []
    for number, version in enumerate(_list(raw.get("versions"), "versions")):
        clean, counts = _version(version, f"versions[{number}]", redacts)
        versions.append(clean)
        redactions += counts
    return MemoryRecord(
        content=fields["content"],
        tags=tuple(fields["tags"]),
        memory_type=fields["memory_type"],
        metadata=fields["metadata"],
        repository=_name(raw.get("repository"), "repository"),
        refers_to=_references(raw.get("refers_to")),
        created_at=_moment_or_none(raw.get("created_at"), "created_at"),
        updated_at=_moment_or_none(raw.get("updated_at"), "updated_at"),
        deleted_at=_moment_or_none(raw.get("deleted_at"), "deleted_at"),
        superseded_by=_name(raw.get("superseded_by"), "superseded_by"),
        id=_name(raw.get("id"), "id"),
        versions=tuple(versions),
        owner=_name(raw.get("owner"), "owner"),
        redactions=dict(redactions),
    )


def checked_changes(raw: Mapping[str, Any], redacts: bool) -> tuple[dict[str, Any], Counter[str]]:
    """(those of content, tags, memory_type and metadata that are given, checked; secrets that were replaced, by kind).

    Raises UserError.
    """
    checks: dict[str, Callable[[Any], Any]] = {
        "content": content,
        "tags": tag_list,
        "memory_type": memory_type,
        "metadata": metadata,
    }
    fields = {name: check(raw[name]) for name, check in checks.items() if raw.get(name) is not None}
    return without_secrets(fields) if redacts else (fields, Counter())


def without_secrets(fields: dict[str, Any]) -> tuple[dict[str, Any], Counter[str]]:
    """The one place where secrets are replaced: of checked content, tags, memory_type and metadata, those that are given.

    Returns the fields and how many secrets of each kind were replaced.
    """
    return redact_fields(fields)


# -- one field each ---------------------------------------------------------------------------------------------------


def content(value: Any) -> str:
    """Raises UserError: no text, empty, too long, or with a NUL byte."""
    if not isinstance(value, str):
        raise UserError("the content must be a text", code="wrong_type")
    clean = _text(value, "the content")
    if not clean.strip():
        raise UserError("the content is empty", code="empty_content")
    if len(clean) > MAX_CONTENT or len(clean.encode("utf-8", "surrogatepass")) > MAX_CONTENT:
        raise UserError(f"the content is longer than {MAX_CONTENT:,} bytes", hint="Store it in parts.", code="too_long")
    return clean


def memory_type(value: Any) -> str:
    """Raises UserError."""
    if value is None or value == "":
        return "note"
    if not isinstance(value, str):
        raise UserError("memory_type must be a text", code="wrong_type")
    return _short(value.strip() or "note", "memory_type")


def tag_list(value: Any) -> list[str]:
    """Tags as a list, from a list, a comma-separated text, or JSON of a list. Raises UserError."""
    wrong = UserError("tags must be a list of texts, or one text with commas", code="wrong_type")
    if value is None:
        return []
    if isinstance(value, str):
        if len(value) > MAX_TAGS * MAX_NAME:
            raise UserError(f"there are more than {MAX_TAGS} tags, or they are too long", code="too_long")
        return tag_list(_tags_of_text(value))
    if not isinstance(value, (list, tuple, set)):
        raise wrong
    tags: dict[str, None] = {}
    for tag in value:
        if tag is None:
            continue
        if not isinstance(tag, (str, int, float)) or (isinstance(tag, float) and not math.isfinite(tag)):
            raise wrong
        clean = _text(str(tag), "a tag").strip()
        if clean:
            tags[_short(clean, "a tag")] = None
    if len(tags) > MAX_TAGS:
        raise UserError(f"there are more than {MAX_TAGS} tags", code="too_long")
    return list(tags)


def _tags_of_text(value: str) -> list[Any]:
    """From `a, b`, or from JSON of a list or of such a text, which other programs have written."""
    if value.lstrip().startswith(("[", '"')):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, list):
            return parsed
        if isinstance(parsed, str):
            return [tag.strip() for tag in parsed.split(",")]
    return [tag.strip() for tag in value.split(",")]


def metadata(value: Any) -> dict[str, Any]:
    """A JSON object (or its text) of finite numbers and valid texts, of bounded depth and size. Raises UserError."""
    if value is None or value == "":
        return {}
    if isinstance(value, str) and len(value) <= MAX_METADATA:
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if not isinstance(value, Mapping):
        raise UserError("metadata must be an object, or the JSON text of one", code="wrong_type")
    clean: dict[str, Any] = json_value(value, "metadata")
    if len(json.dumps(clean, ensure_ascii=False, allow_nan=False).encode()) > MAX_METADATA:
        raise UserError(f"metadata is longer than {MAX_METADATA:,} bytes", code="too_long")
    return clean


def json_value(value: Any, where: str, depth: int = 0) -> Any:
    """A value that JSON can hold, with halves of characters mended. Raises UserError naming `where`."""
    if depth > MAX_DEPTH:
        raise UserError(f"{where} is nested more than {MAX_DEPTH} deep", code="too_deep")
    if isinstance(value, str):
        return _text(value, where)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _finite(value, where)
    if isinstance(value, Mapping):
        return {_text(str(key), where): json_value(item, where, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item, where, depth + 1) for item in value]
    raise UserError(f"{where} holds a {type(value).__name__}, which JSON cannot", code="wrong_type")


def moment(value: Any, name: str) -> float:
    """Epoch seconds between 1970 and 2100.

    From seconds, milliseconds, microseconds or nanoseconds, as a number or as its text; from an ISO date or time, of
    the machine's zone where it names none. Raises UserError.
    """
    at: float | None = None
    if isinstance(value, str):
        plain = value.strip()
        if len(plain) <= _LONGEST_TIME:
            is_number = _NUMBER.fullmatch(plain) and not _DAY.fullmatch(plain)
            at = _in_seconds(float(plain)) if is_number else _of_iso(plain)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        at = _in_seconds(value)
    if at is None:
        hint = "As 2024-01-31 or 2024-01-31T12:00, or seconds since 1970."
        raise UserError(f"{name}: not a date or time between 1970 and 2100: {value!r:.100}", hint=hint, code="bad_time")
    return at


def _in_seconds(value: float) -> float | None:
    for unit in _UNITS:
        if (0 if unit == 1.0 else _EARLIEST_IN_UNITS * unit) <= value < LATEST * unit:
            return value / unit
    return None


def _of_iso(value: str) -> float | None:
    try:
        at = datetime.fromisoformat(_ZONE.sub("", value))
        seconds = (at if at.tzinfo is not None else at.astimezone()).timestamp()
        return seconds if 0 <= seconds < LATEST else None
    except (ValueError, OverflowError, OSError):
        return None


def _moment_or_none(value: Any, name: str) -> float | None:
    return None if value is None or value == "" else moment(value, name)


def _finite(value: float, where: str) -> float:
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where} holds a number that is not finite, which JSON cannot", code="not_finite")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise UserError(f"{where} holds a whole number of more than 64 bits", code="out_of_range")
    return value


def _text(value: str, where: str) -> str:
    if "\0" in value:
        raise UserError(f"{where} holds a NUL byte", code="bad_text")
    return str(text.mended(value))


def _short(value: str, where: str, longest: int = MAX_NAME) -> str:
    clean = _text(value, where)
    if len(clean) > longest:
        raise UserError(f"{where} is longer than {longest:,} characters", code="too_long")
    return clean


def names(value: Any, where: str) -> list[str]:
    """A list of texts, with halves of characters mended. Raises UserError."""
    items = _list(value, where)
    if not all(isinstance(item, str) for item in items):
        raise UserError(f"{where} must be a list of texts", code="wrong_type")
    return [str(text.mended(item)) for item in items]


def check_text(value: Any, where: str) -> None:
    """Raises UserError: no text that the database could hold."""
    if not isinstance(value, str) or text.mended(value) != value:
        raise UserError(f"{where} must be a valid text", code="wrong_type")


def _name(value: Any, where: str) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise UserError(f"{where} must be a text", code="wrong_type")
    return _short(str(value), where)


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        raise UserError(f"{where} must be a list", code="wrong_type")
    return list(value)


def _references(value: Any) -> tuple[dict[str, Any], ...]:
    """Code that a memory names: `{repository, path, symbol, hash}` each."""
    items = _list(value, "refers_to")
    if len(items) > MAX_REFERENCES:
        raise UserError(f"refers_to names more than {MAX_REFERENCES:,} places", code="too_long")
    clean = []
    for item in items:
        if not isinstance(item, Mapping) or not isinstance(item.get("path"), str):
            raise UserError("refers_to must be a list of objects with a path", code="wrong_type")
        names = {key: _name(item.get(key), f"refers_to.{key}") for key in ("repository", "symbol", "hash")}
        path = _short(item["path"], "refers_to.path", MAX_PATH)
        clean.append(
            {"repository": names["repository"], "path": path, "symbol": names["symbol"], "hash": names["hash"]}
        )
    return tuple(clean)


def _version(value: Any, where: str, redacts: bool) -> tuple[dict[str, Any], Counter[str]]:
    if not isinstance(value, Mapping):
        raise UserError(f"{where} must be an object", code="wrong_type")
    try:
        fields = {
            "content": content(value.get("content")),
            "tags": tag_list(value.get("tags")),
            "memory_type": memory_type(value.get("memory_type")),
            "metadata": metadata(value.get("metadata")),
        }
        fields, counts = without_secrets(fields) if redacts else (fields, Counter())
        times = {name: _moment_or_none(value.get(name), name) for name in ("updated_at", "at")}
    except UserError as error:
        raise UserError(f"{where}: {error.message}", code=error.code) from error
    return {**fields, **{name: at for name, at in times.items() if at is not None}}, counts
