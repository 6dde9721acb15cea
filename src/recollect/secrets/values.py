"""Secrets in a text: where they stand and what they are. Linear in the text's length: each rule is one pass of RE2.

Three kinds of evidence: a form of its own (`tokens.py`), a place that only a secret has (a URL's user part, a header, a
key file), and a name beside a value that can be one (`words.py`). ADR 0023 has the measurements.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from recollect.secrets import contexts, documents, words
from recollect.secrets.patterns import NAME, Secret, compiled, matched
from recollect.secrets.tokens import TOKENS
from recollect.secrets.trimmed import checked
from recollect.secrets.words import Evidence


def find(data: bytes) -> list[Secret]:
    """The secrets of a text (UTF-8), in order; none lies in another."""
    candidates: list[Secret] = []
    for look in (
        documents.blocks,
        _tokens,
        contexts.urls,
        contexts.headers,
        contexts.commands,
        _named,
        _sentences,
        documents.of_documents,
    ):
        candidates += look(data)
    candidates.sort(key=lambda one: (one.start, -one.end))
    secrets: list[Secret] = []
    for one in candidates:
        if not secrets or one.start >= secrets[-1].end:
            secrets.append(one)
        elif one.end > secrets[-1].end:
            secrets[-1] = secrets[-1]._replace(end=one.end)
    return secrets


def redact(text: str) -> tuple[str, Counter[str]]:
    """`text` with each secret replaced by a word that says what it was, and how many there were of each kind."""
    data = text.encode("utf-8", "surrogatepass")
    counts: Counter[str] = Counter()
    parts, at = [], 0
    for secret in find(data):
        parts += [data[at : secret.start], b"[%b removed]" % secret.kind.encode()]
        at = secret.end
        counts[secret.kind] += 1
    if not counts:
        return text, counts
    return b"".join([*parts, data[at:]]).decode("utf-8", "surrogatepass"), counts


@cache
def _rules() -> list[tuple[str, Any]]:
    rows = [(line[:19].strip(), line[19:].strip()) for line in TOKENS.strip().splitlines()]
    kinds: dict[str, list[str]] = {}
    for kind, source in rows:
        kinds.setdefault(kind, []).append(source)
    return [(kind, re.compile("|".join(sources).encode())) for kind, sources in kinds.items()]


def _tokens(data: bytes) -> Iterator[Secret]:
    everything = "|".join(f"(?:{line[19:].strip()})" for line in TOKENS.strip().splitlines())
    for match in compiled(everything).finditer(data):
        token = match.group()
        if re.search(rb"(?i)x{8}|\*{6}|your|[-_]here$|\.\.\.", token):
            continue
        kind = next((kind for kind, rule in _rules() if rule.match(token)), "token")
        if kind == "API key" and not re.search(rb"[0-9]", token):
            continue  # sk-learn-contrib-something
        yield matched(match, 0, kind)


# -- names beside values ----------------------------------------------------------------------------------------------

_MAY_QUOTE: Final = r"\\?[\"'`]?"
_ANY: Final = re.compile(rb"\\?\"(?:[^\"\\\r\n]|\\[^\"\r\n])*|'(?:[^'\\\r\n]|\\.)*|`[^`\r\n]*|[^\s\"'`]+")
_IN_QUOTES: Final = re.compile(rb"[\"'][^\"'\r\n]*")
_ELEMENT: Final = re.compile(rb"[^<\s][^<\r\n]*(?=<)")
_WORD: Final = re.compile(rb"\S+")
_BESIDE: Final = (  # what stands before a value, with its name as a group; the value
    (rf"({NAME}){_MAY_QUOTE}\]?[*_]{{0,2}}\s*(?:=>|:=|==?=?|\?=|\|\|=|->|→|:)[*_]{{0,2}}[ \t]*", _ANY),
    (rf"(?m)^[ \t]*(?:- )?[\"']?({NAME})[\"']?:[ \t]*[|>][+-]?[0-9]?[ \t]*\r?\n[ \t]+", _WORD),
    (rf"\"({NAME})\"\s*:\s*", _IN_QUOTES),
    (rf"\|\s*[*_`]{{0,2}}({NAME})[*_`]{{0,2}}\s*\|\s*", _ANY),
    (rf"({NAME})[\"']\s*,\s*", _IN_QUOTES),
    (rf"(?i:\b(?:env|set|setenv|setx|arg|set -\w+|set --\w+))\s+({NAME})\s+", _ANY),
    (rf"<(?:\w+:)?({NAME})(?:\s[^<>]*)?>", _ELEMENT),
    (
        rf"(?i:name|key|id|property)[\"']?\s*[:=]\s*[\"']?({NAME})[\"']?[\s,/]*[\"']?(?i:value|text)[\"']?\s*[:=]\s*",
        _ANY,
    ),
    (rf"(?i:name|key)=[\"']({NAME})[\"'][^<>]*>", _ELEMENT),
    (rf"(?:^|[\s\"'])--?({NAME})[\s\"',]+", _ANY),
)
_VARIABLE: Final = r"(?:^|[\s\"'`;,({])([A-Z][A-Z0-9_]*)="
_SEED: Final = r"(?i:\b(?:totp|otp|2fa|mfa)\b)[^\r\n]{0,20}?\b((?:[A-Z2-7]{4} ){3,15}[A-Z2-7]{2,4}|[A-Z2-7]{16,64})\b"
_PLACES: Final = (  # of passwords, whatever they are called
    (r"\b(?:machine\s+\S+|default)\s+login\s+\S+\s+password\s+", _WORD, Evidence.CERTAIN),
    (r"(?m)(?:^|\s)[\w.*-]+:(?:[0-9]{4,5}|\*):[\w*.-]+:[\w*.-]+:", _WORD, Evidence.CERTAIN),
    (r"(?i)\b(?:user(?:name)?|login|credentials?|log ?in (?:with|as))\b:?\s+[\w.@-]+\s+/\s+", _WORD, Evidence.SENTENCE),
    (
        r"(?i)\b(?:password|passwort|passphrase|passcode|pwd|(?:api|access|secret|private|license)[ -]key|secret|token|"
        r"credentials?)(?:\s+(?:for|of|on)\s+[^\r\n.;:=]{1,60}?)?\s+(?:is|was|are|will be|to)(?:\s+now)?:?\s+",
        _ANY,
        Evidence.SENTENCE,
    ),
    (r"(?i)\b(?:password|passwort|passphrase|passwd|(?:user|login)\s+\S+\s+pass)\s+", _ANY, Evidence.SENTENCE),
)
_PHRASE: Final = (
    r"(?i:\b(?:mnemonic|seed[ _-]?phrase|recovery[ _-]?phrase|seed)\b)[^\r\na-z]{1,5}(?:is )?[\"']?"
    r"((?:[a-z]{3,8}[ ,]+){11,23}[a-z]{3,8})\b"
)


def _named(data: bytes) -> Iterator[Secret]:
    for source, value in _BESIDE:
        yield from _beside(data, source, value, None, Evidence.NAME)
    yield from _beside(data, _VARIABLE, _ANY, None, Evidence.CERTAIN)


def _sentences(data: bytes) -> Iterator[Secret]:
    """`the password for staging is hunter2`: what follows must not be made of words."""
    for source, value, evidence in _PLACES:
        yield from _beside(data, source, value, words.PASSWORD, evidence)
    for match in compiled(_SEED).finditer(data):
        yield matched(match, 1, "one-time password seed")
    for match in compiled(_PHRASE).finditer(data):
        yield matched(match, 1, "recovery phrase")


def _beside(
    data: bytes, source: str, value: re.Pattern[bytes], kind: str | None, evidence: Evidence
) -> Iterator[Secret]:
    """Values after what `source` matches. Without `kind`, the name in its group says whether that is a secret.

    What is none may hold the next name itself (`A="B=c"`), so the search goes on within it.
    """
    pattern, at = compiled(source), 0
    while (match := pattern.search(data, at)) is not None:
        at = match.end()
        its_kind = kind or words.kind_of_name(match.group(1).decode("latin-1"))
        if its_kind is None:
            continue
        looked_at = value.match(data, at, at + _FIRST_LOOK)
        if looked_at is not None and looked_at.end() - at == _FIRST_LOOK:
            looked_at = value.match(data, at)
        if looked_at is None:
            continue
        for secret in checked(looked_at, 0, its_kind, evidence=evidence):
            at = secret.end
            yield secret


_FIRST_LOOK: Final = 2_000  # bytes of a value: most are shorter
