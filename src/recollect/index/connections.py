"""Connections of readers to the database of an index."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from recollect.index import schema
from recollect.store import pages


class Connections:
    """Connections to the database of one index: what a generation is done with serves a later one, which spares opening the
    file, reading its schema and preparing statements again. All are closed when no generation is open any longer.

    An index that is made anew is another file, and has connections of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = _identity(folder)
        self._free: list[pages.Connection] = []
        self._taken = 0
        self._lock = threading.Lock()

    def current(self) -> bool:
        """Whether the index is still the same file."""
        return _identity(self._folder) == self._file

    def take(self) -> pages.Connection:
        """One with a read transaction begun. Raises Corrupt, Unavailable, FileNotFoundError."""
        if self._file is None:
            raise FileNotFoundError(self._folder / "index.db")
        with self._lock:
            connection = self._free.pop() if self._free else None
            self._taken += 1
        try:
            connection = connection or schema.open_for_reading(self._folder)
            connection.execute("BEGIN")
            return connection
        except BaseException:
            self.give_back(connection, damaged=True)
            raise

    def give_back(self, connection: pages.Connection | None, *, damaged: bool = False) -> None:
        """End its transaction; `damaged`: it is not to be used again."""
        with self._lock:
            self._taken -= 1
            if connection is not None:
                with suppress(pages.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                if damaged or self._free:
                    connection.close()
                else:
                    self._free.append(connection)
            if not self._taken:
                self._close_free()

    def _close_free(self) -> None:
        for connection in self._free:
            connection.close()
        self._free.clear()


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(folder / "index.db")
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
