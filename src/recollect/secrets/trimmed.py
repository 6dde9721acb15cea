"""A value cut down to what belongs to it, if it can be a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recollect.secrets import words
from recollect.secrets.patterns import Secret
from recollect.secrets.words import Evidence


def checked(match: Any, group: int, kind: str, *, evidence: Evidence = Evidence.NAME) -> Iterator[Secret]:
    """The value of a match, trimmed to what belongs to it, if it can be a secret."""
    start, raw = match.start(group), match.group(group)
    if raw.startswith(b'\\"'):
        start, raw = start + 2, raw[2:].removesuffix(b"\\")
    quoted = raw[:1] in (b'"', b"'", b"`")
    if quoted:
        start, raw = start + 1, raw[1:]
    elif raw.startswith(b"\\"):
        return
    else:
        for stop in (b"&", b";", b"</", b"\\n", b'\\"'):
            raw = raw.split(stop, 1)[0] if raw.find(stop) > 0 else raw
        raw = raw.rstrip(b".,;:)]}>*") if not raw.startswith(b"[") and b"[" not in raw and b"(" not in raw else raw
    if words.can_be_secret(raw.decode("utf-8", "replace"), kind, quoted=quoted, evidence=evidence):
        yield Secret(start, start + len(raw), "password" if kind == words.PASSWORD else "secret")
