"""What the rules about texts are made of: patterns that take linear time, and where they match."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple


class Secret(NamedTuple):
    """A stretch of a text, in bytes of its UTF-8, and what it is."""

    start: int
    end: int
    kind: str


NAME: Final = (
    r"[A-Za-z0-9_.$-]*(?i:pass|pwd|secret|token|key|credential|bearer|jwt|sid|session|totp|otp|mnemonic|phrase|dsn|psk|pin\b|"
    r"connection|pw)[A-Za-z0-9_-]*"
)
_QUOTED: Final = r'\\?"(?:[^"\\\r\n]|\\[^"\r\n])*|\'(?:[^\'\\\r\n]|\\.)*|`[^`\r\n]*'
VALUE: Final = rf"({_QUOTED}|[^\s\"'`]+)"
"""A name that may be one of a secret; a value as it is written."""


def matched(match: Any, group: int, kind: str) -> Secret:
    start, end = match.span(group)
    return Secret(start, end, kind)


@cache
def compiled(source: str) -> Any:
    import re2  # takes 20 ms, which a start does not wait for

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = 64 << 20
    options.log_errors = False
    return re2.compile(source.encode(), options)
