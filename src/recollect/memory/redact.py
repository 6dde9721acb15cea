"""Secrets in what is to be remembered: replaced before anything is stored, in every field that a caller can fill."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from recollect.secrets import values, words

_VALUES: Final = frozenset({"value", "values", "text", "current", "default", "plain", "raw"})
"""Names in metadata that say nothing of what they hold: the name beside or above does."""
_SHORTEST: Final = 4  # characters of a password under its own name


def redact(text: str) -> tuple[str, int]:
    """`text` with each secret replaced by a word that says what it was; and how many were."""
    clean, counts = values.redact(text)
    return clean, counts.total()


def redact_fields(fields: dict[str, Any]) -> tuple[dict[str, Any], Counter[str]]:
    """Content, tags, type and metadata without secrets, as far as they are given, and how many there were of each kind."""
    counts: Counter[str] = Counter()
    return {name: _clean(value, None, counts) for name, value in fields.items()}, counts


def _clean(value: Any, name: str | None, counts: Counter[str]) -> Any:
    """A JSON value without secrets. `name`: of the metadata whose value it is."""
    if isinstance(value, dict):
        named = next((value[key] for key in ("name", "key") if isinstance(value.get(key), str)), name)
        own = {key: named if str(key).lower() in _VALUES else str(key) for key in value}
        return {_text(str(key), counts): _clean(item, own[key], counts) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item, name, counts) for item in value]
    kind = words.kind_of_name(name) if name is not None else None
    if kind is not None and _is_secret(value, kind):
        counts[kind] += 1
        return f"[{kind} removed]"
    return _text(value, counts) if isinstance(value, str) else value


def _text(value: str, counts: Counter[str]) -> str:
    clean, found = values.redact(value)
    counts += found
    return clean


def _is_secret(value: Any, kind: str) -> bool:
    """Whether the value of metadata is a secret, whose name says that it is one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return kind == words.PASSWORD and abs(value) >= 1_000
    if not isinstance(value, str):
        return False
    if words.can_be_secret(value, kind, quoted=True):
        return True
    plain = value.strip()
    is_word = len(plain) >= _SHORTEST and not any(character.isspace() for character in plain)
    return kind == words.PASSWORD and is_word and not words.is_placeholder(plain) and words.kind_of_name(plain) is None


def summary(counts: Counter[str] | dict[str, int], command: str = "remember") -> str:
    """What was replaced, and by what command a person has it kept, in a sentence; empty where nothing was."""
    if not counts:
        return ""
    kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(counts.items()))
    return (
        f"secrets were replaced ({kinds}); if that is wrong, a person can store the text as it is: "
        f"recollect {command} --keep-secrets"
    )
