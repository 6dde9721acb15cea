"""What a client made of an answer: the text that its model got, held against what the server said."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from benchmarks.agents.model import Call
from benchmarks.agents.wire import Exchange

_NOTHING, _BEGINNING, _WHOLE = range(3)
_HEAD = 60  # squeezed characters that are enough to recognise a text by
_ASIDE = re.compile(r"\s*<system-reminder>.*?</system-reminder>", re.DOTALL)  # Claude Code's own words to its model


class Form(StrEnum):
    """In which form an answer reached the model."""

    TEXT = "text"  # as it is; the client may have put a line before or after
    QUOTED = "text in JSON"  # within a JSON string that the client made
    JSON = "JSON"  # structuredContent in place of the text
    BOTH = "text and JSON"
    REFUSED = "refused"  # the client did not send the call to the server
    GIVEN_UP = "given up"  # the client sent it and did not wait for the answer
    LOST = "lost"  # neither the text nor its beginning is there
    MISSING = "no answer"  # the client never came back with a result


@dataclass(frozen=True)
class Verdict:
    """`tokens` of what the model got and `own_tokens` of the server's text, four characters each; `says`: what the model got.

    Bad is JSON in place of the text or besides, an error that cannot be read, and an error where there should be none.
    """

    form: Form
    cut: bool = False
    is_error: bool = False
    tokens: int = 0
    own_tokens: int = 0
    says: str = ""
    is_bad: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times the server's text the model pays for."""
        return round(self.tokens / self.own_tokens, 2) if self.own_tokens else None

    def __str__(self) -> str:
        if self.form is Form.LOST:
            return "error unreadable" if self.is_error else "cut to nothing" if self.cut else "lost"
        return f"{self.form}, cut" if self.cut else str(self.form)


def judge(call: Call, told: str | None, exchange: Exchange | None) -> Verdict:
    """Compare what the model was told with what the server said; None: nothing came, or the server was not asked."""
    if told is None:
        return Verdict(Form.MISSING, is_bad=True)
    told = _ASIDE.sub("", told)
    if exchange is None:
        return Verdict(Form.REFUSED, tokens=tokens(told), says=told, is_bad=not (call.mistaken or call.loose))
    if exchange.result is None and exchange.error is None:
        return Verdict(Form.GIVEN_UP, tokens=tokens(told), says=told, is_bad=True)
    form, cut = _form(_squeeze(told), exchange)
    if form is Form.LOST:
        cut = not exchange.is_error and tokens(told) < tokens(exchange.text) / 2
    is_bad = form in (Form.JSON, Form.BOTH) or (form is Form.LOST and not cut) or exchange.is_error > call.mistaken
    return Verdict(form, cut, exchange.is_error, tokens(told), tokens(exchange.text), told, is_bad)


def _form(seen: str, exchange: Exchange) -> tuple[Form, bool]:
    """The form, and whether a part is left out."""
    plain = _share(_squeeze(exchange.text), seen)
    quoted = _share(_squeeze(_as_json(exchange.text)), seen)
    structured = 0
    if exchange.structured is not None:
        shapes = [_squeeze(_as_json(exchange.structured, in_order=order)) for order in (False, True)]
        if not any(_share(shape, _squeeze(exchange.text)) for shape in shapes):
            structured = max(_share(shape, seen) for shape in shapes)
    text = max(plain, quoted)
    if structured:
        return Form.BOTH if text else Form.JSON, structured < _WHOLE or text == _BEGINNING
    if text:
        return Form.QUOTED if quoted else Form.TEXT, text < _WHOLE
    return Form.LOST, False


def _share(text: str, seen: str) -> int:
    """How much of a text is to be seen: nothing, its beginning, or all."""
    if not text:
        return _NOTHING
    if text in seen:
        return _WHOLE
    return _BEGINNING if len(text) > _HEAD and text[:_HEAD] in seen else _NOTHING


def _as_json(value: Any, *, in_order: bool = False) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=in_order)


def _squeeze(text: str) -> str:
    """Drop white space, backslashes and the fraction of 1.0: indentation, how often JSON was quoted, and by which language."""
    return re.sub(r"[\s\\]+|(?<=\d)\.0(?=[,}\]])", "", text)


def tokens(text: str) -> int:
    return len(text) // 4
