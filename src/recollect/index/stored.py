"""The text of a file as an index stores it."""

from __future__ import annotations

import numpy as np

from recollect.index.analyse import decoded

_NEWLINE = 10


class Stored:
    """The text of a file, of which only the lines that are asked for are made into strings."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)

    def lines(self, first: int, last: int) -> list[str]:
        """Lines `first` to `last`, 1-based and inclusive; none beyond the last. Raises Corrupt."""
        if first > len(self._ends) + 1:
            return []
        begin = int(self._ends[first - 2]) + 1 if first > 1 else 0
        end = int(self._ends[last - 1]) if last <= len(self._ends) else len(self._data)
        return decoded(self._data[begin:end]).split("\n")
