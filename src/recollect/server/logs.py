"""How log lines look: one line a message, whatever names are in it; a traceback is indented below."""

from __future__ import annotations

import logging

from recollect import escape


class Formatter(logging.Formatter):
    """The standard one, of which names of files, branches and repositories make no lines of their own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return escape.line(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        text = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join(f"  {part}" for part in escape.block(text).split("\n"))
