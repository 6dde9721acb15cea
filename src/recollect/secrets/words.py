"""Whether a name is one of a secret, and whether a value can be one: what tells `DB_PASSWORD=hunter2` from prose and code."""

from __future__ import annotations

import re
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
    r"(?i)[xX*.•·?_#-]+|0+|n/?a|none|null|nil|true|false|yes|no|on|off|undefined|string|str|text|required|optional|"
    r"<.*|.*>|\[.*|\{.*|\$\{.*|\$\(.*|\$[a-z_]\w*|%\w*%?|%[({].*|@\w+@?|!\w+|&\w+|\\.*|#[\w-]*|:\w*|=.*|[|>][-+]?|"
    r".*\.\.\.+|…*|.*…|x{4,}.*|.*x{6,}|.*\*{4,}.*|(?:sk|pk)[-_].*[x.*]{4,}"
)
_PLACEHOLDER: Final = re.compile(
    r"(?i)(?:^|[^a-z])(?:your|placeholder|change|changeme|changeit|replace|replaceme|example|dummy|fake|redacted|removed|"
    r"todo|tbd|fixme|insert|enter|notreal|none|sample|foo|foobar|bar|baz)(?:[^a-z]|$)|^(?:my|the|some|a|an|this|any|test)[-_ ]?"
    r"(?:super[-_ ]?)?(?:secret|password|passwd|pass|token|api|key|access|auth|client)|^(?:changeme|yourpassword|secretpassword)"
)
_CODE: Final = re.compile(  # a call, an attribute, an index, a type, a path, an option
    r".*[({\[].*|[A-Za-z_$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*[!?]?)+|.*\[[\w'\":.-]*\].*|[A-Za-z_]\w*<.*|"
    r"(?:\.{0,2}/|~/|[A-Za-z]:\\).*|--?[a-z].*|https?://.*|file:.*|(?:env|vault|ssm|sops|op|secret|aws|arn|gcp|ref|keyring):.*"
)
_DATE_OR_NUMBER: Final = re.compile(
    r"v?[0-9]+(?:[.:/_-][0-9]+)+(?:[a-z]{1,3}[0-9]*|T[0-9:.]+Z?)?|[0-9]+(?:px|ms|s|m|h|d|kb|mb|gb|k|%|em|rem|min)|0x[0-9a-f]{1,8}"
)
_TECHNICAL: Final = re.compile(
    r"(?i)(?:hmac|sha|md|aes|rs|hs|es|ps|ed|utf|base|oauth|saml|x|h|http|ipv|s|k|log|argon|bcrypt|pbkdf|crc|int|uint|float|"
    r"u|i|f|char|varchar|str|vec|p|v|rsa|ecdsa|dsa|curve|rfc|iso|tls|ssl|win|ec|id|abc|arg|step|test|foo|bar|user|example|"
    r"key|token|secret|pass|pw|pwd|password|node|web|app|db|api|auth)?[0-9]{0,5}(?:[a-z]{0,2})"
)
_LETTERS: Final = re.compile(r"[^\W\d_]+")
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


def can_be_secret(value: str, kind: str, *, quoted: bool, strict: bool = False) -> bool:
    """Whether a value under a name of that kind is a secret: no placeholder, reference, code, prose or setting.

    `strict`: where the sentence around it proves little, it must not be made of words.
    """
    if not 5 <= len(value) <= 20_000:
        return len(value) > 20_000 and " " not in value
    head = value[:400]
    if _NOT_A_VALUE.fullmatch(head) or _PLACEHOLDER.search(head):
        return False
    if any(character.isspace() for character in head):
        return False
    if _CODE.fullmatch(head) and not (quoted and kind == PASSWORD and not head.startswith(_REFERENCES)):
        return False
    if quoted and head.startswith(_REFERENCES):
        return False
    if _DATE_OR_NUMBER.fullmatch(head.lower()):
        return False
    if head.isdigit():
        return len(head) >= (5 if kind == PASSWORD else 12) and not strict
    parts = [part for part in re.split(r"[-_./+:,\s]+", head) if part]
    worded = all(_WORDISH.fullmatch(part) or _TECHNICAL.fullmatch(part) for part in parts)
    symbols = sum(not (character.isalnum() or character in "-_./+:, '’") for character in head)
    if not worded:
        return kind == PASSWORD or not _NAME_AND_NUMBER.fullmatch(head) or _is_jumbled(head)
    if symbols:
        return any(character.isalpha() for character in head)
    if strict:
        return len(parts) == 1 and _is_jumbled(head)
    if len(parts) == 1:
        return quoted and _is_jumbled(head)
    return kind == PASSWORD and len(parts) >= 3 and all(_LETTERS.fullmatch(part) for part in parts) and "." not in head


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
