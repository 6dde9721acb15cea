"""What git would store of a file: the id of its contents as a blob, computed here, for git would run its filters.

Line ends, `$Id$` and pointers of LFS are turned back as git does it; every other filter is a program, and is not known.
Source: gitattributes(5), convert.c of git 2.39, the LFS specification (docs/spec.md of git-lfs).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat as stats
from collections.abc import Iterator, Mapping
from typing import Final

ATTRIBUTES: Final = ("text", "eol", "crlf", "ident", "filter", "working-tree-encoding")
MAX_BYTES: Final = 100_000_000  # larger files are not read to find out whether they changed
_IDENT: Final = re.compile(rb"\$Id:[^$\n]*\$")
_OFF: Final = ("unset", "unspecified")


def blob_id(data: bytes, digits: int) -> str:
    """The id of contents, in as many hexadecimal digits as the repository's ids have (40: SHA-1, 64: SHA-256)."""
    digest = hashlib.sha256() if digits == 64 else hashlib.sha1(usedforsecurity=False)
    digest.update(b"blob %d\0" % len(data))
    digest.update(data)
    return digest.hexdigest()


def contents(path: bytes, limit: int = MAX_BYTES) -> bytes | None:
    """What a blob of a file or link would be made of; None where it is something else, unreadable or too large."""
    try:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            return os.readlink(path)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stats.S_ISREG(found.st_mode) or found.st_size > limit:
                return None
            data = file.read(limit + 1)
            return data if len(data) <= limit else None
    except OSError:
        return None


def could_be(data: bytes, wanted: str, attributes: Mapping[str, str], autocrlf: bool) -> bool:
    """Whether git would store a file with these attributes as the blob `wanted`. Unknown filters: it would not."""
    return any(blob_id(form, len(wanted)) == wanted for form in _stored_forms(data, attributes, autocrlf))


def _stored_forms(data: bytes, attributes: Mapping[str, str], autocrlf: bool) -> Iterator[bytes]:
    filter_ = attributes.get("filter", "unspecified")
    if filter_ == "lfs":
        if data:
            yield lfs_pointer(data)
        return
    if filter_ not in (*_OFF, "set") or attributes.get("working-tree-encoding", "unspecified") not in _OFF:
        return
    collapsed = _IDENT.sub(b"$Id$", data) if attributes.get("ident") == "set" else data
    if collapsed is not data:
        yield collapsed
    if b"\r\n" in collapsed and _turns_line_ends(collapsed, attributes, autocrlf):
        yield collapsed.replace(b"\r\n", b"\n")


def _turns_line_ends(data: bytes, attributes: Mapping[str, str], autocrlf: bool) -> bool:
    text = attributes.get("text", "unspecified")
    if text == "unspecified":
        text = {"set": "set", "unset": "unset", "input": "set"}.get(attributes.get("crlf", ""), "unspecified")
    if text == "unspecified":
        text = "set" if attributes.get("eol") in ("lf", "crlf") else "auto" if autocrlf else "unset"
    return text == "set" or (text in ("auto", "input") and b"\0" not in data)


def lfs_pointer(data: bytes) -> bytes:
    """The pointer that Git LFS stores in the place of contents."""
    digest = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(data)}\n".encode()
