"""Which files hold keys by their content, and which only look so by their name. ADR 0024 has what was measured.

A file that *is* a key, or that keeps one among its settings, holds secrets. Source code and documentation that merely
quote one do not, unless the key is most of what there is.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from recollect import languages
from recollect.secrets import documents, names, values

_MOST: Final = 0.5  # share of a source file's bytes that keys have to be
_HEAD: Final = 200_000  # bytes that are looked at where a name alone would have left the file out
_MARKS: Final = (
    "PRIVATE KEY-----",
    "PRIVATE KEY ----",
    "PRIVATE KEY BLOCK-----",
    "PuTTY-User-Key-File",
    "AGE-SECRET-KEY-1",
    '"kty"',
    "(?i)aws_secret_access_key",
    "client-key-data",
    "kind: Config",
    '"auths"',
    '"auth"',
    "_auth",
    "_password",
    "npmAuthToken",
    r"\bmachine\s",
    '"terraform_version"',
    "kind: Secret",
    '"Secret"',
    "ClearTextPassword",
    "<server>",
    r"PrivateKey\s*=",
    r"(?m)^(?:export )?[A-Z][A-Z0-9_]+=",
    r'"private_key"',
)
_SHOWN: Final = (  # what is none of a template, a variable or a placeholder stands after these
    rb"(?i)aws_secret_access_key[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9/+=]{40}(?![A-Za-z0-9/+=])",
    rb"client-key-data:\s*[\"']?[A-Za-z0-9+/=]{40,}",
    rb"(?m)(?:^|:)_auth(?:Token)?\s*=\s*[\"']?[A-Za-z0-9+/=_.-]{8,}",
    rb"(?m)(?:^|:)_password\s*=\s*[\"']?[A-Za-z0-9+/=]{6,}",
    rb"npmAuth(?:Token|Ident):\s*[\"']?[A-Za-z0-9+/=_.:-]{8,}",
    rb"\bmachine\s+\S+\s+login\s+\S+\s+password\s+(?![<$\[{])\S+",
    rb"\"terraform_version\"\s*:[\s\S]{0,200}?\"(?:serial|lineage)\"\s*:",
    rb"ClearTextPassword\"\s+value=\"(?![%$<{])[^\"]+\"",
    rb"<(?:password|passphrase|privateKey)>(?!\s*[\$<{])[^<\s][^<]*</",
    rb"(?m)^[ \t]*PrivateKey[ \t]*=[ \t]*[A-Za-z0-9+/]{43}=",
    rb"AGE-SECRET-KEY-1[0-9A-Z]{50,}",
    rb"(?m)^Private-Lines: [0-9]",
    rb"\"private_key\"\s*:\s*\"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\\+[nr])*[A-Za-z0-9+/=]",
)
_PUBLIC_BLOCK: Final = re.compile(
    rb"-----BEGIN (?:PGP (?:PUBLIC KEY BLOCK|SIGNATURE|SIGNED MESSAGE|ARMORED FILE)|"
    rb"(?:TRUSTED |X509 |NEW )?CERTIFICATE(?: REQUEST)?|PKCS7|CMS|X509 CRL|"
    rb"(?:RSA |EC |DSA )?PUBLIC KEY|DH PARAMETERS|EC PARAMETERS|SSH2 PUBLIC KEY)-----"
)
_ANY_BLOCK: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]+-----")
_ASCIIDOC: Final = re.compile(
    rb"(?m)^(?:={1,6} \S|\[\[[\w.-]+\]\]$|include::\S+\[|image::?\S+\[|:[\w-]+:(?: |$)|"
    rb"\[(?:source|NOTE|TIP|WARNING|quote)[,\]]|={4,}$|-{4,}$|\.\w.+\n-{4}$)"
)
_MANIFEST: Final = re.compile(  # documents that speak of secrets by name
    rb"(?m)\{\{|<%|\{%|^[ \t]*[\"']?apiVersion[\"']?:|"
    rb"^[ \t]*[\"']?(?:jobs|openapi|swagger|\$schema|operationId|parameters|services|tasks|hosts)[\"']?:|"
    rb"\"\$schema\"|\"(?:properties|definitions|paths|abi|contractName)\"\s*:|ENC\[AES256_GCM|^\$ANSIBLE_VAULT|^- (?:name|hosts): |"
    rb"<%|secretKeyRef|valueFrom|external: true|file: [./]|\$\{\{ |!Ref |Fn::|AWSTemplateFormatVersion|^(?:on|name): "
)
_SETTINGS: Final = frozenset(  # of programs that keep logins among other settings
    "pip.conf pip.ini .condarc nuget.config .yarnrc.yml gradle.properties hosts.yml hub database.yml my.cnf .flaskenv "
    ".aider.conf.yml settings.xml tokens.json".split()
)
_STRUCTURED: Final = frozenset("json json5 yaml yml toml ini cfg conf properties xml plist php exs config".split())


def secret(path: str, data: bytes) -> bool:
    """Whether a file holds keys or passwords, by its name, its place and its content: the one decision for all uses."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16", "replace").encode()
    if names.is_secret(path):
        return not _is_harmless(path, data[:_HEAD])
    return _holds_keys(path, data)


@cache
def _marks() -> Any:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile("|".join(f"(?:{mark})" for mark in _MARKS).encode(), options)


def _holds_keys(path: str, data: bytes) -> bool:
    language = languages.detect(path, data[:256])
    quotes = language.content == "code" or (language.content == "docs" and language.name not in ("text", "unknown"))
    if quotes and language.grammar != "notebook":
        return b"PRIVATE KEY" in data and _keys_in(data) >= _MOST * len(data.strip())
    if path.rpartition("/")[2].lower() in _SETTINGS and values.find(data[:_HEAD]):
        return True
    if _marks().search(data) is None:
        return False
    if (
        any(True for _ in documents.key_blocks(data))
        or _is_login(data)
        or any(re.search(pattern, data) for pattern in _SHOWN)
    ):
        return True
    if any(True for _ in documents.of_documents(data)):
        return True
    return _is_environment(data) and bool(values.find(data[:_HEAD]))


def _keys_in(data: bytes) -> int:
    """Bytes of `data` that are private keys."""
    blocks = (secret for secret in documents.key_blocks(data) if _LONG.search(data, secret.start, secret.end))
    return sum(end - start for start, end, _ in blocks)


def _is_login(data: bytes) -> bool:
    """Whether a kubeconfig holds a token or a password."""
    return b"kind: Config" in data and _LOGIN.search(data) is not None


_LOGIN: Final = re.compile(rb"(?m)^[ \t]+(?:- )?(?:token|password):[ \t]*[\"']?[^\s\"'<>${}]{6,}")
_LONG: Final = re.compile(rb"[A-Za-z0-9+/=]{40}")


def _is_environment(data: bytes) -> bool:
    """Whether most lines assign variables, as in `.env`."""
    lines = [line for line in data[:_HEAD].splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    return bool(lines) and sum(map(bool, map(_ASSIGNMENT.match, lines))) >= 0.8 * len(lines)


_ASSIGNMENT: Final = re.compile(rb"(?:export )?[A-Z][A-Z0-9_]*=")


def _is_harmless(path: str, data: bytes) -> bool:
    """Whether a file of a telling name shows that it holds none: public keys, prose, references to secrets."""
    name = path.rsplit("/", 1)[-1].lower()
    extension = name.rpartition(".")[2] if "." in name else ""
    if extension == "asc" and (_ASCIIDOC.search(data) or _is_prose(data)):
        return _keys_in(data) < _MOST * len(data)
    if not data.strip() or b"PRIVATE KEY" in data:
        return False
    if data.startswith(b"#!") and not extension:
        return True  # a program that makes or shows one
    if extension in ("pem", "key", "asc", "sec", "gpg-key"):
        blocks = _ANY_BLOCK.findall(data)
        return bool(blocks) and all(map(_PUBLIC_BLOCK.match, blocks))
    if extension not in _STRUCTURED:
        return False
    if any(True for _ in documents.of_documents(data)):
        return False
    if extension in ("json", "yml", "yaml") and names.is_translation(path):
        return True
    return bool(_MANIFEST.search(data)) and not values.find(data)


def _is_prose(data: bytes) -> bool:
    """Whether there are sentences: a dozen words with a space between each and the next, and no armour."""
    return b"-----BEGIN" not in data and bool(re.search(rb"(?:[A-Za-z,.'()-]{2,15}[ \n]){12}", data))
