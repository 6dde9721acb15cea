"""tree-sitter's C interface, as it lies within its Python binding: the addresses of its functions.

The binding is linked with them and exports none, but its table of symbols names them all. They are the documented interface
(`tree_sitter/api.h`), called as it says; nothing is read that only tree-sitter itself knows the shape of.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import tree_sitter._binding

TESTED: Final = ((0, 26),)
"""Versions of the binding whose interface is the one that `trees.c` was written for."""

_HEADER: Final = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_TABLE, _FUNCTION, _VARIABLE = 2, 2, 1  # kinds of sections and symbols in ELF


def version() -> tuple[int, ...]:
    """Of the binding that is imported, by the record that its installation left; () where there is none."""
    folder = Path(tree_sitter.__file__ or "").parent.parent
    found = next(folder.glob("tree_sitter-*.dist-info"), None)
    return tuple(int(part) for part in found.name.split("-")[1].split(".")[:2] if part.isdigit()) if found else ()


def addresses(names: Sequence[str]) -> list[int] | None:
    """Where these functions and variables lie in memory; None if one is not to be found, or the version was never tried."""
    if version() not in TESTED:
        return None
    path = str(tree_sitter._binding.__file__)
    try:
        offsets = _symbols(Path(path).read_bytes(), {"PyInit__binding", *names})
        exported = ctypes.cast(ctypes.CDLL(path).PyInit__binding, ctypes.c_void_p).value
    except (OSError, AttributeError, ValueError, struct.error):
        return None
    if exported is None or len(offsets) <= len(set(names)):
        return None
    base = exported - offsets["PyInit__binding"]
    return [base + offsets[name] for name in names]


def _symbols(data: bytes, wanted: set[str]) -> dict[str, int]:
    """Offsets of functions and variables in an ELF library, by name (System V ABI, chapter 4)."""
    if not data.startswith(_HEADER):
        return {}
    (sections_at,), (count,) = struct.unpack_from("<Q", data, 40), struct.unpack_from("<H", data, 60)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, sections_at + 64 * number) for number in range(count)]
    found: dict[str, int] = {}
    for _, kind, _, _, at, size, link, *_ in sections:
        if kind != _TABLE:
            continue
        names_at = sections[link][4]
        for name, info, _, section, value, _ in struct.iter_unpack("<IBBHQQ", data[at : at + size]):
            if section and info & 15 in (_FUNCTION, _VARIABLE):
                text = data[names_at + name : data.index(b"\0", names_at + name)].decode("ascii", "replace")
                if text in wanted:
                    found[text] = value
    return found
