"""What finds memories by their meaning: the vectors of their passages, held in memory and scanned by sign bits.

SQLite has the vectors; what is here follows it: a change marks its memory, and the next question reads that again.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recollect.index import embed
from recollect.index.segment import sign_bits
from recollect.memory.words import NUMBER, passages

_RESCORED: Final = 400  # passages whose sign bits come nearest, of which the cosine is worked out
_BLOCK: Final = 500
_OWNER: Final = NUMBER.replace("rowid", "number")  # of a vector's memory, in SQL
SCHEMA: Final = """
-- Derived from the passages by the model of that name; `number` is the passage's.
CREATE TABLE vectors (number INTEGER PRIMARY KEY, model TEXT NOT NULL, vector BLOB NOT NULL);
"""


class Meaning:
    """Not thread-safe: its owner holds a lock."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        self._changed: set[int] | None = None  # memories to read again; None: all
        self._rows: dict[int, list[int]] = {}  # memory → its rows in the arrays
        self._free: list[int] = []
        self._numbers = np.zeros(0, np.int64)  # of memories; zero where a row is free
        self._passages = np.zeros(0, np.int64)
        self._vectors = np.zeros((0, embed.DIMENSIONS), np.int8)
        self._signs = np.zeros((embed.DIMENSIONS // 64, 0), np.uint64)

    def clear(self) -> None:
        """Forget the vectors of all memories."""
        self._db.execute("DELETE FROM vectors")
        self._changed = None
        self._rows.clear()
        self._free = list(range(len(self._numbers) - 1, -1, -1))
        self._numbers[:] = 0

    def add(self, number: int, content: str) -> None:
        rows = [
            (key, embed.MODEL_NAME, embed.quantise(embed.model().query(embed.weighed(said))).tobytes())
            for key, said in passages(number, content)
        ]
        self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
        self.touch(number)

    def of_other_models(self, limit: int) -> list[int]:
        """Some memories whose vectors another model made."""
        sql = f"SELECT DISTINCT {_OWNER} FROM vectors WHERE model <> ? LIMIT {limit}"
        return [row[0] for row in self._db.execute(sql, (embed.MODEL_NAME,)).fetchall()]

    def make_again(self, number: int, content: str | None) -> None:
        """Replace what another model made of a memory; None: it is gone."""
        self._db.execute(f"DELETE FROM vectors WHERE {_OWNER} = ? AND model <> ?", (number, embed.MODEL_NAME))
        if content is not None:
            self.add(number, content)

    def remove(self, number: int, content: str) -> None:
        """`content` as it was when it was added."""
        self._db.executemany("DELETE FROM vectors WHERE number = ?", [(key,) for key, _ in passages(number, content)])
        self.touch(number)

    def touch(self, number: int) -> None:
        """Something about a memory changes in this transaction, whatever becomes of that."""
        if self._changed is not None:
            self._changed.add(number)

    def nearest(self, asked: NDArray[np.float32], allowed: NDArray[np.int64] | None) -> dict[int, tuple[float, int]]:
        """Memory → (cosine, passage) of those nearest to the vector of a question, of the `allowed` ones; none where the
        model knows no word of it.
        """
        if not asked.any():
            return {}
        self._follow()
        meant = self._numbers != 0
        if allowed is not None:
            meant &= np.isin(self._numbers, allowed)
        rows = np.flatnonzero(meant)
        if len(rows) > _RESCORED:
            distance = np.zeros(len(rows), np.uint16)
            for column, word in zip(self._signs, sign_bits(asked), strict=True):
                distance += np.bitwise_count(column[rows] ^ word)
            rows = rows[np.argpartition(distance, _RESCORED)[:_RESCORED]]
        return self._best(asked, rows)

    def closeness(self, asked: NDArray[np.float32], numbers: Iterable[int]) -> dict[int, tuple[float, int]]:
        """Memory → (cosine, passage) of those named."""
        if not asked.any():
            return {}
        self._follow()
        return self._best(asked, np.array([row for number in numbers for row in self._rows.get(number, ())], np.int64))

    def _best(self, asked: NDArray[np.float32], rows: NDArray[np.int64]) -> dict[int, tuple[float, int]]:
        cosines = self._vectors[rows].astype(np.float32) @ (asked / np.float32(embed.VECTOR_SCALE))
        order = np.argsort(cosines, kind="stable")  # a later one, which is nearer, replaces an earlier one
        numbers, keys = self._numbers[rows[order]].tolist(), self._passages[rows[order]].tolist()
        return dict(zip(numbers, zip(cosines[order].tolist(), keys, strict=True), strict=True))

    # -- following the database -----------------------------------------------------------------------------------------

    def _follow(self) -> None:
        columns = f"SELECT {_OWNER} AS memory, number AS passage, vector FROM vectors"
        live = f"SELECT memory, passage, vector FROM ({columns} WHERE model = ?) JOIN memories m ON m.number = memory"
        sql = f"{live} WHERE m.deleted_at IS NULL"
        if self._changed is None:
            self._take(self._db.execute(sql, (embed.MODEL_NAME,)).fetchall())
        else:
            for number in self._changed:
                for row in self._rows.pop(number, ()):
                    self._numbers[row] = 0
                    self._free.append(row)
            wanted = list(self._changed)
            for start in range(0, len(wanted), _BLOCK):
                part = wanted[start : start + _BLOCK]
                self._take(self._of(part))
        self._changed = set()

    def _of(self, numbers: list[int]) -> list[Any]:
        marks = ",".join("?" * len(numbers))
        sql = f"SELECT number, content FROM memories WHERE number IN ({marks}) AND deleted_at IS NULL"
        keys = {
            key: number
            for number, content in self._db.execute(sql, numbers).fetchall()
            for key, _ in passages(number, content)
        }
        found = []
        wanted = list(keys)
        for start in range(0, len(wanted), _BLOCK):
            part = wanted[start : start + _BLOCK]
            sql = f"SELECT number, vector FROM vectors WHERE model = ? AND number IN ({','.join('?' * len(part))})"
            found += [(keys[key], key, block) for key, block in self._db.execute(sql, (embed.MODEL_NAME, *part))]
        return found

    def _take(self, found: list[Any]) -> None:
        found = [row for row in found if isinstance(row[2], bytes) and len(row[2]) == embed.DIMENSIONS]  # else damaged
        if len(self._free) < len(found):
            self._grow(2 * (len(self._numbers) + len(found)))
        rows = [self._free.pop() for _ in found]
        if not rows:
            return
        at = np.array(rows)
        owners = [owner for owner, _, _ in found]
        self._numbers[at] = owners
        self._passages[at] = [passage for _, passage, _ in found]
        vectors = np.frombuffer(b"".join(block for _, _, block in found), np.int8).reshape(len(found), -1)
        self._vectors[at] = vectors
        self._signs[:, at] = np.packbits(vectors > 0, axis=1, bitorder="little").view(np.uint64).T
        by_owner = defaultdict(list)
        for owner, row in zip(owners, rows, strict=True):
            by_owner[owner].append(row)
        self._rows |= by_owner

    def _grow(self, size: int) -> None:
        """Make room; rows keep their places."""
        have = len(self._numbers)
        more = size - have
        self._numbers = np.append(self._numbers, np.zeros(more, np.int64))
        self._passages = np.append(self._passages, np.zeros(more, np.int64))
        self._vectors = np.pad(self._vectors, ((0, more), (0, 0)))
        self._signs = np.pad(self._signs, ((0, 0), (0, more)))
        self._free += range(size - 1, have - 1, -1)
