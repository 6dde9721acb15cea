"""Secrets in a text: where they stand and what they are. Linear in the text's length: each rule is one pass of RE2.

Three kinds of evidence: a form of its own (`tokens.py`), a place that only a secret has (a URL's user part, a header, a
key file), and a name beside a value that can be one (`words.py`). ADR 0027 has the measurements.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from recollect.secrets import words
from recollect.secrets.tokens import TOKENS


class Secret(NamedTuple):
    """A stretch of a text, in bytes of its UTF-8, and what it is."""

    start: int
    end: int
    kind: str


_NAME: Final = (
    r"[A-Za-z0-9_.$-]*(?i:pass|pwd|secret|token|key|credential|bearer|jwt|sid|session|totp|otp|mnemonic|phrase|dsn|psk|pin\b|"
    r"connection|pw)[A-Za-z0-9_-]*"
)
_QUOTED: Final = r'\\?"(?:[^"\\\r\n]|\\[^"\r\n])*|\'(?:[^\'\\\r\n]|\\.)*|`[^`\r\n]*'
_VALUE: Final = rf"({_QUOTED}|[^\s\"'`]+)"
_BEGIN: Final = r"-----? ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-----?"
_END: Final = r"-----? ?END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-----?"
_ATTRIBUTES: Final = frozenset(
    "path domain expires max-age samesite secure httponly priority partitioned version".split()
)
_URL_PLACEHOLDERS: Final = frozenset(
    "pass passwd password pwd pw secret token key apikey api_key xxx xxxx pat yourpassword mypassword my-password".split()
)
_QUERY_NAMES: Final = (
    r"access_token|id_token|refresh_token|auth_token|token|api[_-]?key|apikey|key|sig|signature|auth|password|passwd|pwd|"
    r"secret|client_secret|code|x-amz-signature|x-amz-security-token|x-goog-signature|access_key|private_token|sas|jwt|"
    r"session|sessionid|assertion|otp"
)


def find(data: bytes) -> list[Secret]:
    """The secrets of a text (UTF-8), in order; none lies in another."""
    candidates: list[Secret] = []
    for look in (_blocks, _tokens, _urls, _headers, _commands, _named, _sentences, of_documents):
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


def _secret(match: Any, group: int, kind: str) -> Secret:
    start, end = match.span(group)
    return Secret(start, end, kind)


@cache
def _pattern(source: str) -> Any:
    import re2  # takes 20 ms, which a start does not wait for

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = 64 << 20
    options.log_errors = False
    return re2.compile(source.encode(), options)


# -- forms of their own -----------------------------------------------------------------------------------------------


def key_blocks(data: bytes) -> Iterator[Secret]:
    """Private keys in armour, with their armour; also one that is cut off."""
    if b"PRIVATE KEY" not in data:
        return
    for match in _pattern(rf"(?s){_BEGIN}(.*?){_END}").finditer(data):
        if _is_key(match.group(1)[:8_000]):
            yield _secret(match, 0, "private key")
    for match in _pattern(rf"{_BEGIN}(?:\s|\\n|\\r|[A-Za-z0-9+/=:,-]){{64,}}").finditer(data):
        if re.search(rb"[A-Za-z0-9+/=]{40}", match.group()[:8_000]):
            yield _secret(match, 0, "private key")


def _is_key(body: bytes) -> bool:
    """Whether the lines between BEGIN and END are those of a key: no prose, no code."""
    plain = re.sub(rb"(?m)^\s*[A-Za-z-]+: [^\n]*$|\\[nr]|[\"'+,>|\\]", b" ", body)
    if len(plain.strip()) < 3 or re.search(rb"[^A-Za-z0-9+/=\s-]", plain):
        return False
    return bool(re.search(rb"[A-Za-z0-9/=]{24}", plain)) or not re.search(rb"\S[ \t]+\S", plain)


def _blocks(data: bytes) -> Iterator[Secret]:
    yield from key_blocks(data)
    if b"PuTTY-User-Key-File" in data:
        for match in _pattern(r"(?s)Private-Lines: \d+\s+(.*?)(?:Private-MAC|\z)").finditer(data):
            yield _secret(match, 1, "private key")


@cache
def _rules() -> list[tuple[str, Any]]:
    rows = [(line[:19].strip(), line[19:].strip()) for line in TOKENS.strip().splitlines()]
    kinds: dict[str, list[str]] = {}
    for kind, source in rows:
        kinds.setdefault(kind, []).append(source)
    return [(kind, re.compile("|".join(sources).encode())) for kind, sources in kinds.items()]


def _tokens(data: bytes) -> Iterator[Secret]:
    everything = "|".join(f"(?:{line[19:].strip()})" for line in TOKENS.strip().splitlines())
    for match in _pattern(everything).finditer(data):
        token = match.group()
        if re.search(rb"(?i)x{8}|\*{6}|your|[-_]here$|\.\.\.", token):
            continue
        kind = next((kind for kind, rule in _rules() if rule.match(token)), "token")
        if kind == "API key" and not re.search(rb"[0-9]", token):
            continue  # sk-learn-contrib-something
        yield _secret(match, 0, kind)


# -- places that only a secret has ------------------------------------------------------------------------------------


def _urls(data: bytes) -> Iterator[Secret]:
    if b"://" not in data:
        return
    for match in _pattern(r"[A-Za-z][A-Za-z0-9+.-]*://([^/\s:@\"'`<>?#]*):([^/\s@\"'`<>]+)@").finditer(data):
        user, password = (match.group(number).decode("utf-8", "replace").lower() for number in (1, 2))
        if password in _URL_PLACEHOLDERS or password == user or words.is_placeholder(password):
            continue
        yield _secret(match, 2, "password in a URL")
    for match in _pattern(r"[A-Za-z][A-Za-z0-9+.-]*://([A-Za-z0-9_.-]{20,})@").finditer(data):
        if re.search(rb"[0-9]", match.group(1)) and re.search(rb"[A-Za-z]", match.group(1)):
            yield _secret(match, 1, "token in a URL")
    for match in _pattern(rf"[?&#;](?i:{_QUERY_NAMES})=([^\s&\"'`<>#;)\]]+)").finditer(data):
        value = match.group(1).decode("utf-8", "replace")
        if len(value) >= 6 and words.can_be_secret(value, words.TOKEN, quoted=False, strict=True):
            yield _secret(match, 1, "token in a URL")


def _headers(data: bytes) -> Iterator[Secret]:
    source = (
        r"(?i)\b(?:proxy-)?authorization[\"'`]*\]?\s*(?:[:=,]|=>)\s*[\"'`]*(?:(?:bearer|basic|token|apikey|api-key|key|digest|"
        r"negotiate|ntlm|bot|ssws|oauth|aws4-hmac-sha256|hmac)\s+)?([^\s\"'`,;]+)"
    )
    for match in _pattern(source).finditer(data):
        if _is_opaque(match.group(1)):
            yield _secret(match, 1, "authorization")
    for match in _pattern(r"\b(?i:bearer)\s+[\"'`]?([A-Za-z0-9_.~+/=-]{16,})").finditer(data):
        if _is_opaque(match.group(1)):
            yield _secret(match, 1, "authorization")
    for match in _pattern(r"(?i)\b(?:set-)?cookie[\"'`]*\s*[:=]\s*[\"'`]?([^\r\n\"`]+)").finditer(data):
        for pair in _pattern(r"([A-Za-z0-9_.$-]+)=([^;\s,\"']+)").finditer(match.group(1)):
            name, value = pair.group(1).decode("latin-1"), pair.group(2)
            if name.lower() not in _ATTRIBUTES and len(value) >= 8 and _is_opaque(value):
                yield Secret(match.start(1) + pair.start(2), match.start(1) + pair.end(2), "cookie")


_PROGRAMS: Final = (
    r"mysql\w*|mariadb\w*|sshpass|docker\s+login|podman\s+login|mongo\w*|smbclient|az\s+login|"
    r"oc\s+login|htpasswd|7z|mosquitto_\w+"
)
_OPTIONS: Final = (  # short options in which programs take passwords
    rf"\b(?:{_PROGRAMS})\b[^\r\n|;]*?\s-p\s?{_VALUE}",
    rf"\bredis-cli\b[^\r\n|;]*?\s-a\s+{_VALUE}",
    rf"\b(?:unzip|zip|mosquitto_\w+)\b[^\r\n|;]*?\s-P\s?{_VALUE}",
    rf"\bldap\w+\b[^\r\n|;]*?\s-w\s+{_VALUE}",
    r"\bcurl\b[^\r\n|;]*?\s(?:-u|--user|-U|--proxy-user)[\s=]*[\"']?[^\s:\"']+:([^\s\"']+)",
)


def _commands(data: bytes) -> Iterator[Secret]:
    for source in _OPTIONS:
        for match in _pattern(source).finditer(data):
            yield from _checked(match, 1, words.PASSWORD)


# -- names beside values ----------------------------------------------------------------------------------------------

_MAY_QUOTE: Final = r"\\?[\"'`]?"
_ANY: Final = re.compile(rb"\\?\"(?:[^\"\\\r\n]|\\[^\"\r\n])*|'(?:[^'\\\r\n]|\\.)*|`[^`\r\n]*|[^\s\"'`]+")
_IN_QUOTES: Final = re.compile(rb"[\"'][^\"'\r\n]*")
_ELEMENT: Final = re.compile(rb"[^<\s][^<\r\n]*(?=<)")
_WORD: Final = re.compile(rb"\S+")
_BESIDE: Final = (  # what stands before a value, with its name as a group; the value
    (rf"({_NAME}){_MAY_QUOTE}\]?[*_]{{0,2}}\s*(?:=>|:=|==?=?|\?=|\|\|=|->|→|:)[*_]{{0,2}}[ \t]*", _ANY),
    (rf"\|\s*[*_`]{{0,2}}({_NAME})[*_`]{{0,2}}\s*\|\s*", _ANY),
    (rf"({_NAME})[\"']\s*,\s*", _IN_QUOTES),
    (rf"(?i:\b(?:env|set|setenv|setx|arg|set -\w+|set --\w+))\s+({_NAME})\s+", _ANY),
    (rf"<(?:\w+:)?({_NAME})(?:\s[^<>]*)?>", _ELEMENT),
    (
        rf"(?i:name|key|id|property)[\"']?\s*[:=]\s*[\"']?({_NAME})[\"']?[\s,/]*[\"']?(?i:value|text)[\"']?\s*[:=]\s*",
        _ANY,
    ),
    (rf"(?i:name|key)=[\"']({_NAME})[\"'][^<>]*>", _ELEMENT),
    (rf"(?:^|[\s\"'])--?({_NAME})[\s\"',]+", _ANY),
)
_PLACES: Final = (  # of passwords, whatever they are called
    (r"\b(?:machine\s+\S+|default)\s+login\s+\S+\s+password\s+", _WORD, False),
    (r"(?m)(?:^|\s)[\w.*-]+:(?:[0-9]{2,5}|\*):[^:\s/]+:[^:\s/]+:", _WORD, False),
    (r"(?i)\b(?:user(?:name)?|login|credentials?|log ?in (?:with|as))\b[: ]+[\w.@-]+\s*/\s*", _WORD, True),
    (
        r"(?i)\b(?:password|passwort|passphrase|passcode|pwd|pin|(?:api|access|secret|private|license)[ -]key|secret|token|"
        r"credentials?)(?:\s+(?:for|of|on)\s+[^\r\n.;:=]{1,60}?)?\s+(?:is|was|are|will be|to)(?:\s+now)?:?\s+",
        _ANY,
        True,
    ),
)
_PHRASE: Final = (
    r"(?i:\b(?:mnemonic|seed[ _-]?phrase|recovery[ _-]?phrase|seed)\b)[^\r\na-z]{1,5}(?:is )?[\"']?"
    r"((?:[a-z]{3,8}[ ,]+){11,23}[a-z]{3,8})\b"
)


def _named(data: bytes) -> Iterator[Secret]:
    for source, value in _BESIDE:
        yield from _beside(data, source, value, None, strict=False)


def _sentences(data: bytes) -> Iterator[Secret]:
    """`the password for staging is hunter2`: what follows must not be made of words."""
    for source, value, strict in _PLACES:
        yield from _beside(data, source, value, words.PASSWORD, strict=strict)
    for match in _pattern(_PHRASE).finditer(data):
        yield _secret(match, 1, "recovery phrase")


def _beside(data: bytes, source: str, value: re.Pattern[bytes], kind: str | None, *, strict: bool) -> Iterator[Secret]:
    """Values after what `source` matches. Without `kind`, the name in its group says whether that is a secret.

    What is none may hold the next name itself (`A="B=c"`), so the search goes on within it.
    """
    pattern, at = _pattern(source), 0
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
        for secret in _checked(looked_at, 0, its_kind, strict=strict):
            at = secret.end
            yield secret


_FIRST_LOOK: Final = 2_000  # bytes of a value: most are shorter


def _checked(match: Any, group: int, kind: str, *, strict: bool = False) -> Iterator[Secret]:
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
    if words.can_be_secret(raw.decode("utf-8", "replace"), kind, quoted=quoted, strict=strict):
        yield Secret(start, start + len(raw), "password" if kind == words.PASSWORD else "secret")


# -- documents --------------------------------------------------------------------------------------------------------


def of_documents(data: bytes) -> Iterator[Secret]:
    """Those of documents that are made to hold them: Kubernetes' Secrets, web keys, Docker's logins."""
    looks: tuple[tuple[bytes, Callable[[bytes], Iterator[Secret]]], ...] = (
        (b"Secret", _of_kubernetes),
        (b'"kty"', _of_web_key),
        (b'"auth"', _of_docker),
    )
    for mark, look in looks:
        if mark in data:
            yield from look(data)


def _of_web_key(data: bytes) -> Iterator[Secret]:
    for match in _pattern(r'"(?:d|p|q|dp|dq|qi|k)"\s*:\s*"([A-Za-z0-9_=-]{16,})"').finditer(data):
        yield _secret(match, 1, "private key")


def _of_docker(data: bytes) -> Iterator[Secret]:
    for match in _pattern(r'"auth"\s*:\s*"([A-Za-z0-9+/=]{8,})"').finditer(data):
        try:
            if b":" in base64.b64decode(match.group(1), validate=True):
                yield _secret(match, 1, "password")
        except (binascii.Error, ValueError):
            continue


def _of_kubernetes(data: bytes) -> Iterator[Secret]:
    """Values below `data` and `stringData` of documents whose kind is Secret."""
    at = 0
    for document in re.split(rb"(?m)(?=^---)", data):
        if re.search(rb"(?m)^\s*[\"']?kind[\"']?:\s*[\"']?Secret\b", document):
            inside = -1
            offset = at
            for line in document.splitlines(keepends=True):
                indent = len(line) - len(line.lstrip(b" "))
                if re.match(rb"\s*(?:string)?[dD]ata:\s*$", line):
                    inside = indent
                elif line.strip() and indent <= inside:
                    inside = -1
                elif inside >= 0:
                    pair = re.match(rb"\s*[\"']?[\w.-]+[\"']?:\s*[\"']?([^\s\"'#{]{4,})", line)
                    if pair is not None and not words.is_placeholder(pair[1].decode("utf-8", "replace")):
                        yield Secret(offset + pair.start(1), offset + pair.end(1), "secret")
                offset += len(line)
        at += len(document)


def _is_opaque(value: bytes) -> bool:
    """Whether a header's value is a credential itself: long, not of words, no placeholder or variable."""
    text = value.decode("utf-8", "replace")
    return len(text) >= 8 and words.can_be_secret(text, words.TOKEN, quoted=False, strict=True)
