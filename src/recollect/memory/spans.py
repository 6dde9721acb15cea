"""Spans within a message that are not its author's prose: tags and what they enclose, code, quotations. Pure.

One scanner that moves forward only: time in proportion to the text's length. What is not closed takes
its paragraph, or the rest of the text, with it.
"""

from __future__ import annotations

import re
from typing import Final

GONE: Final = "\0"  # stands for what was taken out; its sentence is no longer whole
SPOILT: Final = "\1"  # nobody knows where a quotation ends: the paragraph does not count
_SHORT: Final = 3  # words of a quotation that may be a mere name
_LONGEST_NAME: Final = 60
_MARK: Final = re.compile(r"[<`\"'“”„«»‹›‘‚「」『』《》❝❞〝〞＂‟]|\][(\[]")
_TAG: Final = re.compile(r"<(/?)([A-Za-z][\w.:-]{0,80})")
_VOID: Final = frozenset("br hr img input link meta source wbr".split())
_CLOSERS: Final = {
    '"': '"',
    "“": '”“"',
    "„": '“”"',
    "«": "»«",
    "»": "«»",
    "‹": "›‹",
    "›": "‹›",
    "「": "」",
    "『": "』",
    "《": "》",
    "❝": "❞",
    "〝": "〞〟",
    "＂": "＂",
    "‟": "”",
}
_QUOTED: Final = {opener: re.compile(f"[{closers}]") for opener, closers in _CLOSERS.items()}


def without_spans(text: str) -> str:
    """The text with tags, code and quotations of more than a name replaced by marks."""
    ends = _tag_ends(text)
    parts: list[str] = []
    at = limit = 0  # limit: the end of the paragraph
    while (mark := _MARK.search(text, at)) is not None:
        start = mark.start()
        parts.append(text[at:start])
        if start >= limit:
            limit = text.find("\n\n", start)
            limit = limit if limit >= 0 else len(text)
        instead: str | None
        if len(mark[0]) == 2:
            at, parts[-1], instead = _link(text, start, parts[-1], limit)
        else:
            at, instead = _span(text, start, mark[0], limit, ends)
        if instead is None:
            parts.clear()
        is_block = text[start - 1 : start] in ("", "\n") and text[at : at + 1] in ("", "\n")
        parts.append("\n\n" if instead == GONE and is_block else instead or GONE)
    return "".join(parts) + text[at:]


def _span(text: str, start: int, mark: str, limit: int, ends: dict[int, int]) -> tuple[int, str | None]:
    """(where to go on, what stands instead) of the span that a mark begins."""
    if mark == "<":
        return _tag(text, start, ends)
    if mark == "`":
        return _code(text, start, limit)
    if mark in "'‘‚":
        return _single(text, start, limit)
    if mark in _QUOTED:
        return _double(text, start)
    return start + len(mark), SPOILT  # an end without a beginning


def _link(text: str, start: int, before: str, limit: int) -> tuple[int, str, str]:
    """(where to go on, what stands before it, what stands instead): of a short name the name, else a mark."""
    begin = before.rfind("[")
    end = text.find(")" if text[start + 1] == "(" else "]", start + 2, min(limit, start + 2_000))
    if begin < 0 or end < 0 or "\n\n" in before[begin:]:
        return start + 2, before, SPOILT
    name = before[begin + 1 :]
    return end + 1, before[:begin].removesuffix("!"), _as_name(name, name)


def _tag_ends(text: str) -> dict[int, int]:
    """Where each tag's element ends, by where the tag begins; -1: an end without a beginning."""
    ends: dict[int, int] = {}
    begun: dict[str, list[int]] = {}
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if not tag[1]:
            begun.setdefault(name, []).append(tag.start())
        elif begun.get(name):
            ends[begun[name].pop()] = tag.end()
        else:
            ends[tag.start()] = -1
    return ends


def _tag(text: str, start: int, ends: dict[int, int]) -> tuple[int, str | None]:
    """(where to go on, what stands instead); None: what stands before it was inside."""
    if text.startswith(("<!", "<?"), start):
        return _up_to("-->" if text.startswith("<!--", start) else ">", text, start)
    tag = _TAG.match(text, start)
    if tag is None:
        return start + 1, "<"  # less than
    end = ends.get(start)
    if end == -1:
        return _up_to(">", text, start)[0], None
    if end is not None:
        return _up_to(">", text, end)
    after_word = start > 0 and (text[start - 1].isalnum() or text[start - 1] == "_")
    if after_word and not set(tag[2]) & set("-_:."):
        return start + 1, "<"  # Vec<u8>
    close = text.find(">", tag.end())
    if close >= 0 and (tag[2].lower() in _VOID or text[close - 1] == "/"):
        return close + 1, " "
    return len(text), SPOILT


def _up_to(close: str, text: str, start: int) -> tuple[int, str]:
    """After what closes it; without that it takes the rest."""
    at = text.find(close, start)
    return (at + len(close), GONE) if at >= 0 else (len(text), SPOILT)


def _code(text: str, start: int, limit: int) -> tuple[int, str]:
    """A code span; one without an end takes its paragraph."""
    ticks = start
    while text.startswith("`", ticks):
        ticks += 1
    at = ticks
    while (end := text.find("`", at, limit)) >= 0:
        at = end
        while text.startswith("`", at):
            at += 1
        if at - end == ticks - start:
            return at, _as_name(text[ticks:end], text[start:at])
    return limit, SPOILT


def _single(text: str, start: int, limit: int) -> tuple[int, str]:
    """A quotation in single marks, or an apostrophe."""
    before, after = text[start - 1 : start], text[start + 1 : start + 2]
    if text.startswith("'''", start):
        return _up_to("'''", text, start + 3)
    if (text[start] == "'" and before.isalnum()) or not after.strip():
        return start + 1, text[start]
    closers = {"'": "'", "‘": "’", "‚": "‘’"}[text[start]]
    for at in range(start + 1, limit):
        if text[at] in closers and not text[at - 1].isspace() and not text[at + 1 : at + 2].isalnum():
            return at + 1, _as_name(text[start + 1 : at], text[start : at + 1])
    return limit, SPOILT


def _double(text: str, start: int) -> tuple[int, str]:
    """A quotation in double marks of some language; one without an end takes the rest."""
    opener, before = text[start], text[start - 1 : start]
    if text.startswith('"""', start):
        return _up_to('"""', text, start + 3)
    if opener == '"' and before.isdigit():
        return start + 1, opener  # inches
    if opener == '"' and (before.isalnum() or not text[start + 1 : start + 2].strip()):
        return start + 1, SPOILT  # an end without a beginning
    close = _QUOTED[opener].search(text, start + 1)
    if close is None:
        return len(text), SPOILT
    return close.end(), _as_name(text[start + 1 : close.start()], text[start : close.end()])


def _as_name(inside: str, whole: str) -> str:
    """A quotation that is no more than a name stays; of others a mark."""
    is_name = len(inside) <= _LONGEST_NAME and len(inside.split()) <= _SHORT and "\n" not in inside
    return whole if is_name else GONE
