"""Whether a name is one of a secret, and whether a value can be one: what tells `DB_PASSWORD=hunter2` from prose and code."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise
from typing import Final

PASSWORD: Final = "password"
TOKEN: Final = "secret"

_PASSWORD_WORDS: Final = frozenset("password passwd passwort passphrase passcode pwd pass pw psk passw pin".split())
_TOKEN_WORDS: Final = frozenset(
    "secret secrets token apikey apitoken authtoken accesstoken accesskey secretkey credential credentials bearer jwt "
    "sessionid jsessionid phpsessid sid totp otp mnemonic keyfile dsn".split()
)
_BEFORE_KEY: Final = frozenset(  # `access key`, but not `primary key`
    "api access secret private auth authentication encryption encrypt signing sign account shared storage master service "
    "session license app application admin client deploy webhook hmac crypto cookie jwt ssh gpg pgp rsa wallet root db "
    "database cipher aes des host subscription function consumer integration ingest write read server sas preshared".split()
)
_AFTER: Final = frozenset(  # words that may follow without making it something else than the secret itself
    "prod production dev development stage staging test testing live sandbox local default old new current value val text "
    "base b64 base64 hex raw plain plaintext string str data primary secondary main backup ci admin root user db me".split()
)
_SPLIT: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_NOT_A_VALUE: Final = re.compile(
    r"(?i)[xX*.•·?_#-]+|\?.*|0+|n/?a|none|null|nil|true|false|yes|no|on|off|undefined|string|str|text|required|optional|"
    r"<.*|.*>|\[.*|\{.*|\$\{.*|\$\(.*|\$[a-z_]\w*|%\w*%?|%[({].*|@\w+@?|!\w+|&\w+|\\.*|#[\w-]*|:\w*|=.*|[|>][-+]?|"
    r".*\.\.\.+|…*|.*…|x{4,}.*|.*x{6,}|.*\*{4,}.*|(?:sk|pk)[-_].*[x.*]{4,}"
)
_PLACEHOLDER: Final = re.compile(
    r"(?i)(?:^|[^a-z])(?:your|placeholder|change|changeme|changeit|replace|replaceme|example|dummy|fake|redacted|removed|"
    r"todo|tbd|fixme|insert|enter|notreal|none|sample|foo|foobar|bar|baz)(?:[^a-z]|$)|^(?:my|the|some|a|an|this|any|test)[-_ ]?"
    r"(?:super[-_ ]?)?(?:secret|password|passwd|pass|token|api[-_]?key|key|access[-_]?token|auth|client[-_]?secret)"
    r"(?:[-_ ]?(?:here|key|value|goes[-_ ]here))?$|^(?:changeme|yourpassword|secretpassword)"
)
_CALL: Final = re.compile(  # a call, an index, a type, a path, an option
    r".*[({\[].*|[A-Za-z_]\w*<.*|(?:\.{0,2}/|~/|[A-Za-z]:\\).*|--?[a-z].*|https?://.*|file:.*|"
    r"(?:env|vault|ssm|sops|op|secret|aws|arn|gcp|ref|keyring):.*"
)
_ATTRIBUTE: Final = re.compile(r"[@A-Za-z_$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*[!?]?)+")
_DATE_OR_NUMBER: Final = re.compile(
    r"[~^<>=]{0,2}v?[0-9]+(?:[.:/_-][0-9]+)+(?:[a-z]{1,3}[0-9]*|T[0-9:.]+Z?)?|[0-9]+(?:px|ms|s|m|h|d|kb|mb|gb|k|%|em|rem|min)|0x[0-9a-f]{1,8}"
)
_TECHNICAL: Final = re.compile(
    r"(?i)(?:hmac|gpio|sha|md|aes|rs|hs|es|ps|ed|utf|base|oauth|saml|x|h|http|ipv|s|k|log|argon|bcrypt|pbkdf|crc|int|uint|float|"
    r"u|i|f|char|varchar|str|vec|p|v|rsa|ecdsa|dsa|curve|rfc|iso|tls|ssl|win|ec|id|abc|arg|step|test|foo|bar|user|example|"
    r"key|token|secret|pass|pw|pwd|password|node|web|app|db|api|auth)?[0-9]{0,5}(?:[a-z]{0,2})"
)
_PASS_PHRASE: Final = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+){2,}")
_WORDISH: Final = re.compile(r"[^\W\d_]+(?:['’][a-z]{1,2})?")


@lru_cache(4096)
def kind_of_name(name: str) -> str | None:
    """`PASSWORD` or `TOKEN` where a key, variable, option or column of this name holds the secret itself.

    The last word decides: `db_password` does, `password_length` and `token_url` do not.
    """
    parts = [part.lower() for part in _SPLIT.findall(name[-120:])]
    while len(parts) > 1 and (parts[-1] in _AFTER or parts[-1].isdigit()):
        if parts[-1] == "user" and parts[-2] not in _PASSWORD_WORDS:
            break
        parts.pop()
    if not parts:
        return None
    last = parts[-1]
    before = parts[-2] if len(parts) > 1 else ""
    if last in _PASSWORD_WORDS and not (last in ("pass", "pin", "pw") and before in _NOT_BEFORE_PASS):
        return PASSWORD
    if last.endswith(("password", "passwd", "passphrase")):
        return PASSWORD
    if last == "word" and before == "pass":
        return PASSWORD
    if last in _TOKEN_WORDS and before not in _NOT_BEFORE_TOKEN:
        return TOKEN
    if last.endswith(("secret", "apikey", "token")) and before not in _NOT_BEFORE_TOKEN:
        return TOKEN
    if last == "key" and before in _BEFORE_KEY:
        return TOKEN
    if last in ("secretkey", "privatekey", "accesskey", "authkey", "encryptionkey", "masterkey", "signingkey"):
        return TOKEN
    if (before, last) in (("connection", "string"), ("seed", "phrase"), ("recovery", "phrase"), ("session", "id")):
        return TOKEN
    return None


_NOT_BEFORE_PASS: Final = frozenset(
    "render first second one two multi single by low high band compiler gpio pass".split()
)
_NOT_BEFORE_TOKEN: Final = frozenset(
    "next page continuation max eos bos pad unk sep cls mask stop start end csrf xsrf num last first current type per "
    "cancellation design lookahead prev previous peek no expected unexpected special prompt completion input output".split()
)


class Evidence(IntEnum):
    """How much what stands around a value proves."""

    SENTENCE = 0  # prose: it must not be made of words
    NAME = 1  # a name beside it
    CERTAIN = 2  # nothing but a secret stands there: an environment variable, a URL's user part, an option


def can_be_secret(value: str, kind: str, *, quoted: bool, evidence: Evidence = Evidence.NAME) -> bool:
    """Whether a value under a name of that kind is a secret: no placeholder, reference, code, prose or setting."""
    if len(value) > 20_000:
        return " " not in value[:400]
    head = value[:400]
    if len(value) < (4 if evidence is Evidence.CERTAIN else 5) or any(map(str.isspace, head)):
        return False
    if _NOT_A_VALUE.fullmatch(head) or _PLACEHOLDER.search(head) or _DATE_OR_NUMBER.fullmatch(head.lower()):
        return False
    if head.startswith(_REFERENCES) or _NAME_OF_ONE.fullmatch(head):
        return False
    if _CALL.fullmatch(head) and not (quoted and kind == PASSWORD):
        return False
    if evidence is Evidence.CERTAIN:
        return head.lower() not in _GENERIC
    if _ATTRIBUTE.fullmatch(head) and not (quoted and (kind == PASSWORD or any(map(str.isdigit, head)))):
        return False
    if head.isdigit():
        return len(head) >= (5 if kind == PASSWORD else 12) and evidence is Evidence.NAME
    return _is_no_word(head, kind, quoted, evidence)


def _is_no_word(head: str, kind: str, quoted: bool, evidence: Evidence) -> bool:
    """Whether a value is more than names, words and technical terms (`sha256`, `user1`)."""
    parts = [part for part in re.split(r"[-_./+:,#=\s]+", head) if part]
    if not all(_WORDISH.fullmatch(part) or _TECHNICAL.fullmatch(part) for part in parts):
        return kind == PASSWORD or not _NAME_AND_NUMBER.fullmatch(head) or _is_jumbled(head)
    if any(not (character.isalnum() or character in "-_./+:,#= '’") for character in head):
        return any(map(str.isalpha, head))
    if len(parts) == 1 and _is_jumbled(head) and (quoted or evidence is Evidence.SENTENCE or len(head) >= 20):
        return True
    if evidence is Evidence.SENTENCE or kind != PASSWORD:
        return False
    if len(parts) == 1:
        return quoted and len(head) >= 12 and head.isascii() and head.islower() and kind_of_name(head) is None
    return bool(_PASS_PHRASE.fullmatch(head))


_GENERIC: Final = frozenset(
    "password passwd pass secret token string value user username postgres admin root login test required optional hidden "
    "generated random unset empty default public private enabled disabled file stdin prompt database example localhost".split()
)
_NAME_OF_ONE: Final = re.compile(
    r"(?i)(?:[a-z0-9]+[-_.])+(?:password|passwd|secret|token|key|pass|credentials?)|passw(?:or)?d|passwort"
)
_NAME_AND_NUMBER: Final = re.compile(r"[A-Za-z]+[0-9]{1,2}")
_REFERENCES: Final = (
    "http://", "https://", "/", "./", "../", "~/", "env:", "vault:", "ssm:", "arn:", "op:", "file:", "ref:", "secret:",
)  # fmt: skip


def _is_jumbled(word: str) -> bool:
    """Letters alone that no one writes as a word or a name: capitals here and there."""
    changes = sum(a.islower() != b.islower() for a, b in pairwise(word))
    return len(word) >= 12 and changes >= 0.45 * len(word)


def is_placeholder(value: str) -> bool:
    """Whether a value stands for another: a variable, a template, `<your key>`, `xxxx`."""
    head = value[:400]
    return bool(_NOT_A_VALUE.fullmatch(head) or _PLACEHOLDER.search(head) or _TEMPLATE.search(head))


_TEMPLATE: Final = re.compile(r"\{\{|\$\{|\$\(|<%|%\(|\{\w+\}")
