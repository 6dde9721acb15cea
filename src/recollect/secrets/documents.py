"""Documents that are made to hold secrets: keys in armour, Kubernetes' Secrets, web keys, Docker's logins."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final

from recollect.secrets import words
from recollect.secrets.patterns import Secret, compiled, matched

_BEGIN: Final = r"-----? ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-----?"
_END: Final = r"-----? ?END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-----?"


def key_blocks(data: bytes) -> Iterator[Secret]:
    """Private keys in armour, with their armour; also one that is cut off."""
    if b"PRIVATE KEY" not in data:
        return
    for match in compiled(rf"(?s){_BEGIN}(.*?){_END}").finditer(data):
        if _is_key(match.group(1)[:8_000]):
            yield matched(match, 0, "private key")
    for match in compiled(rf"{_BEGIN}(?:\s|\\n|\\r|[A-Za-z0-9+/=:,-]){{64,}}").finditer(data):
        if re.search(rb"[A-Za-z0-9+/=]{40}", match.group()[:8_000]):
            yield matched(match, 0, "private key")


def _is_key(body: bytes) -> bool:
    """Whether the lines between BEGIN and END are those of a key: no prose, no code."""
    plain = re.sub(rb"(?m)^[ \t]*[A-Za-z-]+: [^\n]*$|\\[nr]|[\"'+,>|\\]", b" ", body)
    if len(plain.strip()) < 3 or re.search(rb"[^A-Za-z0-9+/=\s-]", plain):
        return False
    return bool(re.search(rb"[A-Za-z0-9/=]{24}", plain)) or not re.search(rb"\S[ \t]+\S", plain)


def blocks(data: bytes) -> Iterator[Secret]:
    yield from key_blocks(data)
    for match in compiled(r"(?s)-----BEGIN PGP MESSAGE-----.*?-----END PGP MESSAGE-----").finditer(data):
        yield matched(match, 0, "PGP message")
    if b"PuTTY-User-Key-File" in data:
        for match in compiled(r"(?s)Private-Lines: \d+\s+(.*?)(?:Private-MAC|\z)").finditer(data):
            yield matched(match, 1, "private key")


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
    for match in compiled(r'"(?:d|p|q|dp|dq|qi|k)"\s*:\s*"([A-Za-z0-9_=-]{16,})"').finditer(data):
        yield matched(match, 1, "private key")


def _of_docker(data: bytes) -> Iterator[Secret]:
    for match in compiled(r'"auth"\s*:\s*"([A-Za-z0-9+/=]{8,})"').finditer(data):
        try:
            if b":" in base64.b64decode(match.group(1), validate=True):
                yield matched(match, 1, "password")
        except (binascii.Error, ValueError):
            continue


def _of_kubernetes(data: bytes) -> Iterator[Secret]:
    """Values below `data` and `stringData` of documents whose kind is Secret."""
    at = 0
    for document in re.split(rb"(?m)(?=^---)", data):
        if re.search(rb"(?m)^[ \t]*[\"']?kind[\"']?:\s*[\"']?Secret\b", document):
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
