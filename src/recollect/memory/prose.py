"""What of a message is its author's own prose: without quotations, code, markup and what is put around. Pure.

Everything here takes time in proportion to the text's length: scanners move forward only. What is not
closed (a fence, a tag, a quotation) takes the rest of the message with it: where it ends is unknown.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

from recollect.memory.spans import SPOILT, without_spans

_ITEM: Final = re.compile(r"(?:[-*+•]|\d{1,3}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?")
_FENCE: Final = re.compile(r"(`{3,}|~{3,})[ \t]*(.*)")
_FRAMED: Final = (">", "|", "│", "┃", "▌", "▎", "▏", "¦", "＞", "❯", "[", "$ ", "% ", "@@", "+++", "---", "diff --git")
_LAZY: Final = (">", "＞", "[", "▌", "▎", "▏", "@@", "+++", "diff --git", "$ ")  # go on to the next blank line
_NUMBERED: Final = re.compile(r"\d+(?:→|\t|[ \t]*\|)")  # as tools show files
_DELIMITER: Final = re.compile(r"([-=~+])\1{2,}.*\w")  # --- README.md ---
_HEADED: Final = re.compile(  # a heading that says whose text follows: `## Contents of README.md`, `**README.md**`
    r"(?:#{1,6}[ \t]|\*\*|__)[ \t]*(?:contents? of\b.*|`?[\w./-]{1,100}\.(?:md|txt|rst|adoc|html?)`?:?[*_#:\s]*\Z)",
    re.IGNORECASE,
)
_SPEAKER: Final = re.compile(
    r"(?:from|subject|reported by|posted by)[ \t]*:|[*_#\s]*(?:user|human|system|tool|developer|assistant|function|observation)[*_]*[ \t]*:"
    r"|\[(?:tool|system|user|file|result|output|function)\b",
    re.IGNORECASE,
)
_CONTINUED: Final = re.compile(
    r"session is being continued|(?:conversation|session)(?: so far)? summary"
    r"|summary of (?:the|our|this) (?:previous |earlier )?(?:conversation|session)",
    re.IGNORECASE,
)
_NOUNS: Final = (
    r"\b(?:readme|changelog|contributing|docs?|documentation|issue|comment|file|log|output|stdout|stderr|page|guide|thread"
    r"|ticket|e?mail|commit|message|(?:sub-?)?agent|tool|website|spec|rfc|quote|quoting|verbatim|excerpt|contents?"
    r"|[\w-]{1,60}\.(?:md|txt|rst|adoc|html?|py|jsx?|tsx?|json|ya?ml|toml|go|rs|rb|java|sh|c|h|cpp))\b"
)
_SOURCE: Final = re.compile(_NOUNS + r"[^:]{0,40}[:：—–→][*_\s]*\Z", re.IGNORECASE)
_CREDITED: Final = re.compile(
    r"(?:(?:[—–]|--)\s*(?:from |the ){0,2}[\w./-]{0,40}?|\((?:from|source:?|per|via|quoted from) [^()]{0,60}?)"
    + _NOUNS
    + r"\W*\Z",
    re.IGNORECASE,
)
_REPORTED: Final = re.compile(
    r"\baccording to\b|\bas per\b"
    r"|(?<!\bwe )(?<!\bi )(?<!\byou )(?<!\bthat )\b(?:says|said|stated|claimed|instructs|instructed|recommends"
    r"|recommended|suggests|suggested|mentioned|warned|announced)\b"
    r"|(?<!\bwe )(?<!\bi )(?<!\byou )\b(?:states|claims|reads|writes|wrote|quotes?|quoted|mentions|warns|tells|told|notes"
    r"|noted|reports|reported|replied|replies|answered|answers|asks|asked|found|returned|concluded)"
    r"(?:\*\*)?(?:[ \t]+(?:that|us|me|you|to)\b|[ \t]*[:,])"
    r"|\byou (?:said|wrote|asked|told|stated|mentioned)\b[^.:]{0,30}:"
    r"|\b(?:docs|documentation|files|pages|notes|comments|guides|maintainers|authors)[ \t]+(?:\w{1,20}[ \t]+)?"
    r"(?:state|say|claim|recommend|suggest|demand|tell|instruct|ask)\b"
    r"|\bfound (?:an?|this|the|some) (?:\w+ )?(?:notes?|comments?|lines?|messages?|instructions?|texts?|sentences?)\b"
    r"|^[*_]*(?!decision|decided|convention|agreed|lesson|gotcha|root cause|rule)[^:.!?]{0,60}"
    + _NOUNS
    + r"[^:.!?]{0,30}:",
    re.IGNORECASE,
)

_FIELD: Final = re.compile(r"[\"']?(?:description|body|title|text|content|message|readme|stdout|output)[\"']?: ")


def paragraphs(message: str) -> list[str]:
    """The paragraphs and list items of a message that are its author's own; spans that are not are `\\0`."""
    if _CONTINUED.search(message[:400]):
        return []  # what a compaction kept, of anybody
    message = html.unescape(message) if "&" in message else message
    text = without_spans("\n".join(_own_lines(message.replace("\r\n", "\n").replace("\r", "\n"))))
    found = []
    for paragraph in text.split("\n\n"):
        words = " ".join(paragraph.split())
        if words and SPOILT not in words and not _CREDITED.search(words[-120:]):
            found.append(words)
    return found


def is_reported(sentence: str) -> bool:
    """Whether a sentence tells what somebody else said."""
    return _REPORTED.search(sentence) is not None or _FIELD.match(sentence) is not None


def _own_lines(text: str) -> Iterator[str]:
    """The lines that are in no frame: fence, block quotation, table, indented code, or what a source is quoted with."""
    frame = _Frame()
    for line in text.split("\n"):
        if len(line) > 100_000:
            yield ""  # no prose has such lines
            continue
        body, indent = _body(line)
        if not frame.is_open and _SPEAKER.match(body):
            return  # a conversation is quoted
        item = _ITEM.match(body)
        if frame.takes(body[item.end() :] if item else body, indent, item is not None):
            yield ""
            continue
        if item is not None or body.startswith("#"):
            yield ""  # a paragraph of its own
        yield body[item.end() :] if item else body.lstrip("#").lstrip()
        if body.startswith("#"):
            yield ""


def _body(line: str) -> tuple[str, int]:
    body = line.lstrip()
    return body, len(line[: len(line) - len(body)].expandtabs(4))


class _Frame:
    """Which lines of a message stand in a frame that is open."""

    def __init__(self) -> None:
        self._fence = ""
        self._indent = 0
        self._depth = 0
        self._lazy = False  # in a block quotation, which goes on to the next blank line
        self._delimiter = ""  # of what stands between lines like --- README.md ---
        self._in_list = False
        self._source = ""  # "announced": what follows is a source's; then "list" or "text" that does follow

    @property
    def is_open(self) -> bool:
        return self._depth > 0 or self._delimiter != ""

    def takes(self, body: str, indent: int, is_item: bool) -> bool:
        """Whether the line belongs to a frame; opens and closes frames. `body`: without its list marker."""
        if self._depth:
            self._go_on(body, indent, is_item)
            return True
        if self._delimiter:
            self._delimiter = "" if body.startswith(self._delimiter) else self._delimiter
            return True
        if _HEADED.match(body):
            self._source = "announced"
            return True
        delimiter = None if is_item else _DELIMITER.match(body)
        if delimiter is not None and not body.startswith("~~~"):
            self._delimiter, self._source = delimiter[1] * 3, ""
            return True
        fence = _FENCE.match(body)
        if fence is not None and not (fence[1][0] == "`" and "`" in fence[2]):
            self._fence, self._indent, self._depth, self._source = fence[1], indent, 1, ""
            return True
        if not body:
            self._lazy = False
            self._source = "" if self._source == "text" else self._source
            return True
        if self._lazy:
            return True
        framed = body.startswith(_FRAMED) or body.count("|") > 1 or _NUMBERED.match(body) is not None
        framed = framed or (body[0] in "+-" and not is_item)
        nested = is_item and self._in_list
        self._in_list = is_item or (self._in_list and indent > 0)
        if framed or (indent >= 4 and not nested):
            self._lazy = body.startswith(_LAZY)
            self._source = ""
            return True
        if self._is_sources(is_item, indent):
            return True
        if body.rstrip("*_ \t").endswith((":", "：", "—", "–", "→")) and (
            _SOURCE.search(body[-80:]) or _REPORTED.search(body[:1000])
        ):
            self._source = "announced"
            return True
        return False

    def _go_on(self, body: str, indent: int, is_item: bool) -> None:
        """In a fence: a line of its marks closes it, one with a language opens another within."""
        fence = None if is_item else _FENCE.match(body)
        if fence is None or fence[1][0] != self._fence[0] or len(fence[1]) < len(self._fence):
            return
        if fence[2].strip():
            self._depth += 1
        elif indent < self._indent + 4:
            self._depth -= 1

    def _is_sources(self, is_item: bool, indent: int) -> bool:
        if self._source == "announced":
            self._source = "list" if is_item else "text"
        elif self._source == "list" and not is_item and indent == 0:
            self._source = ""
        return self._source != ""
