"""Show text that others wrote so that it cannot change the structure of the lines around it.

Names, paths, tags, symbols and contents come from repositories, imports and agents. Characters that
break lines, steer terminals, reverse the direction of text or cannot be seen are shown as pictures
(`␊`, `␛`) or escapes (`\\u202e`). Letters of every language and emoji stay. Both functions are
idempotent. What is meant for programs (JSON, files) is not escaped: it stays exact.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False  # as in `recollect`
if TYPE_CHECKING:
    from typing import Any

_UNUSUAL = re.compile(r"[^ -~]+")
_UNUSUAL_IN_BLOCKS = re.compile(r"[^ -~\n\t]+")
_JOINERS = "\u200c\u200d"  # of Persian and Indic words, and of emoji
_VARIATION_SELECTORS = "\ufe0e\ufe0f"  # text or emoji
_KEYCAP = "\u20e3"
# `str.isprintable` knows controls, format characters, separators and surrogates by Unicode's own
# tables. These have no glyph either, but belong to other categories.
_INVISIBLE = frozenset(
    map(
        chr,
        (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0)
        + (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),
    )
)
MULTI_LINE = frozenset({"content", "map", "snippet", "text"})
"""Names of the fields of answers that hold several lines; whoever shows one prefixes every line."""
CALL = "call"
"""The field that holds a call to make next: `calls` spells it, so that a copy of it means the same."""


def line(text: str) -> str:
    """Return the text as one line without anything that is invisible or steers what shows it."""
    if text.isascii() and text.isprintable():
        return text
    return _UNUSUAL.sub(_shown, text)


def block(text: str) -> str:
    """Return the text likewise, with its line feeds and tabs kept."""
    return _UNUSUAL_IN_BLOCKS.sub(_shown, text.replace("\r\n", "\n") if "\r\n" in text else text)


def fields(value: Any, name: str = "") -> Any:
    """Return a result (record, dict, list) whose texts are escaped: one line each, or a block.

    Functions that render results are given what this returns, so that none of them can forget it.
    """
    if name == CALL:
        return value
    if isinstance(value, str):
        return block(value) if name in MULTI_LINE else line(value)
    if isinstance(value, dict):
        return {line(key) if isinstance(key, str) else key: fields(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [fields(item, name) for item in value]
    if isinstance(value, tuple):
        items = [fields(item, name) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    names = getattr(value, "__dataclass_fields__", None)
    if names is None or isinstance(value, type):
        return value
    return type(value)(**{key: fields(getattr(value, key), key) for key in names})


def _shown(found: re.Match[str]) -> str:
    run = found[0]
    if run.isprintable() and _INVISIBLE.isdisjoint(run):
        return run
    after = found.string[found.end() : found.end() + 1]
    return "".join(
        character
        if _is_harmless(character, run[at - 1] if at else "", run[at + 1 : at + 2] or after)
        else _escape(character)
        for at, character in enumerate(run)
    )


def _is_harmless(character: str, before: str, after: str) -> bool:
    if character in _VARIATION_SELECTORS:
        return after == _KEYCAP or (before.isprintable() and before != "" and before not in _INVISIBLE)
    if character in _JOINERS:  # between two visible ones that are not ASCII
        visible = before != "" and before.isprintable() and after != "" and after.isprintable()
        return visible and not after.isascii() and after not in _INVISIBLE
    if character in _INVISIBLE:
        return False
    if character.isprintable() or "\ue000" <= character <= "\uf8ff":  # fonts of icons: of private use
        return True
    return character.isspace() and ord(character) not in _LINE_BREAKING


_LINE_BREAKING = frozenset((*range(0x20), 0x85, 0x2028, 0x2029))


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
