"""Places in a text where only a secret stands: a URL's user part and query, headers, options of commands."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from recollect.secrets import words
from recollect.secrets.patterns import VALUE, Secret, compiled, matched
from recollect.secrets.trimmed import checked
from recollect.secrets.words import Evidence

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


def urls(data: bytes) -> Iterator[Secret]:
    for match in compiled(r"[A-Za-z][A-Za-z0-9+.-]*://([^/\s:@\"'`<>?#]*):([^/\s@\"'`<>]+)@").finditer(data):
        user, password = (match.group(number).decode("utf-8", "replace").lower() for number in (1, 2))
        if password in _URL_PLACEHOLDERS or password == user or words.is_placeholder(password):
            continue
        yield matched(match, 2, "password in a URL")
    for match in compiled(r"[A-Za-z][A-Za-z0-9+.-]*://([A-Za-z0-9_.-]{20,})@").finditer(data):
        if re.search(rb"[0-9]", match.group(1)) and re.search(rb"[A-Za-z]", match.group(1)):
            yield matched(match, 1, "token in a URL")
    for match in compiled(
        r"(?i)\bSharedAccessSignature[ =:]+[\"']?([^\s\"']{20,})|\bX-(?:Amz|Goog)-Signature[=:]\s*([0-9a-f]{40,})"
    ).finditer(data):
        yield matched(match, 1 if match.group(1) else 2, "token in a URL")
    for match in compiled(r":_(?:authToken|auth|password)\s*=\s*[\"']?([A-Za-z0-9+/=_.-]{8,})").finditer(data):
        yield from checked(match, 1, words.TOKEN, evidence=Evidence.CERTAIN)
    for match in compiled(rf"[?&#;](?i:{_QUERY_NAMES})=([^\s&\"'`<>#;)\]]+)").finditer(data):
        value = match.group(1).decode("utf-8", "replace")
        plain = value.replace("%", "").replace(".", "")
        if len(value) >= 6 and words.can_be_secret(plain, words.TOKEN, quoted=False, evidence=Evidence.SENTENCE):
            yield matched(match, 1, "token in a URL")


def headers(data: bytes) -> Iterator[Secret]:
    source = (
        r"(?i)\b(?:proxy-)?authorization[\"'`]*\]?\s*(?:[:=,]|=>)\s*[\"'`]*(?:(?:bearer|basic|token|apikey|api-key|key|digest|"
        r"negotiate|ntlm|bot|ssws|oauth|aws4-hmac-sha256|hmac)\s+)?([^\s\"'`,;]+)"
    )
    for match in compiled(source).finditer(data):
        value = match.group(1)
        if _is_opaque(value) or (len(value) >= 16 and value.isalpha() and value.islower()):
            yield matched(match, 1, "authorization")
    for match in compiled(r"(?i)\bbasic\s+([A-Za-z0-9+/]{8,}={0,2})").finditer(data):
        if _is_login(match.group(1)):
            yield matched(match, 1, "authorization")
    for match in compiled(r"\b(?i:bearer)\s+[\"'`]?([A-Za-z0-9_.~+/=-]{16,})").finditer(data):
        if _is_opaque(match.group(1)):
            yield matched(match, 1, "authorization")
    for match in compiled(r"(?i)\b(?:set-)?cookie[\"'`]*\s*[:=]\s*[\"'`]?([^\r\n\"`]+)").finditer(data):
        for pair in compiled(r"([A-Za-z0-9_.$-]+)=([^;\s,\"']+)").finditer(match.group(1)):
            name, value = pair.group(1).decode("latin-1"), pair.group(2)
            if name.lower() not in _ATTRIBUTES and len(value) >= 8 and _is_opaque(value):
                yield Secret(match.start(1) + pair.start(2), match.start(1) + pair.end(2), "cookie")


_PROGRAMS: Final = (
    r"sshpass|docker\s+login|podman\s+login|mongo\w*|smbclient|az\s+login|"
    r"oc\s+login|htpasswd|7z|mosquitto_\w+"
)
_OPTIONS: Final = (  # short options in which programs take passwords
    rf"\b(?:mysql|mariadb)\w*\b[^\r\n|;]*?\s-p{VALUE}",
    rf"\b(?:{_PROGRAMS})\b[^\r\n|;]*?\s-p\s?{VALUE}",
    rf"\bredis-cli\b[^\r\n|;]*?\s-a\s+{VALUE}",
    rf"\b(?:unzip|zip|mosquitto_\w+)\b[^\r\n|;]*?\s-P\s?{VALUE}",
    rf"\bldap\w+\b[^\r\n|;]*?\s-w\s+{VALUE}",
    rf"\bssh-keygen\b[^\r\n|;]*?\s-[NP]\s+{VALUE}",
    r"\bcurl\b[^\r\n|;]*?\s(?:-u|--user|-U|--proxy-user)[\s=]*[\"']?[^\s:\"']+:([^\s\"']+)",
)


def commands(data: bytes) -> Iterator[Secret]:
    for source in _OPTIONS:
        for match in compiled(source).finditer(data):
            yield from checked(match, 1, words.PASSWORD, evidence=Evidence.CERTAIN)


def _is_login(value: bytes) -> bool:
    """Whether a value is `user:password` in base 64."""
    try:
        plain = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return b":" in plain and plain.isascii() and plain.decode("ascii").isprintable()


def _is_opaque(value: bytes) -> bool:
    """Whether a header's value is a credential itself: long, not of words, no placeholder or variable."""
    text = value.decode("utf-8", "replace").rstrip(")}]>.;,")
    return len(text) >= 8 and words.can_be_secret(text, words.TOKEN, quoted=False, evidence=Evidence.SENTENCE)
