"""Signatures of definitions, most of which an index leaves to the lines that say them."""

from __future__ import annotations

from recollect.index.snapshot import Definition, Snapshot
from recollect.index.stored import Stored
from recollect.index.symbols import SIGNATURE_LINES, signature_of


class Signatures:
    """The signatures of definitions, for which the text of each file is read once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._texts: dict[int, Stored] = {}

    def __call__(self, item: Definition) -> str:
        if item.signature:
            return item.signature
        text = self._texts.get(item.file_id)
        if text is None:
            text = self._texts[item.file_id] = self._snapshot.stored(item.file_id)
        return signature_of(text.lines(item.start_line, min(item.end_line, item.start_line + SIGNATURE_LINES)))
