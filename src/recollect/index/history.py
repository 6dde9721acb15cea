"""Subjects of commits as a field of the files that they changed: one document a path, terms as in the body.

A function of the commits alone, whatever the tree holds now, so that it is the same however an index came about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recollect import text
from recollect.index import packing
from recollect.index.terms import term_at, term_key
from recollect.records import dataclass
from recollect.sync.history import Log


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Documents by number. `postings(key)` are the documents that hold a term."""

    paths: Mapping[str, int]
    keys: NDArray[np.uint64]  # [terms], ascending
    indptr: NDArray[np.int64]  # [terms + 1]
    documents: NDArray[np.int32]  # [postings]
    counts: NDArray[np.uint16]  # [postings]
    length: NDArray[np.uint32]  # [documents], terms
    file_id: NDArray[np.int64]  # [documents], 0 where the tree has no such file now

    @classmethod
    def empty(cls) -> Self:
        none = np.zeros(0, np.int64)
        return cls(
            {},
            none.astype(np.uint64),
            np.zeros(1, np.int64),
            none.astype(np.int32),
            none.astype(np.uint16),
            none.astype(np.uint32),
            none,
        )

    @property
    def total(self) -> int:
        """Terms of all documents."""
        return int(self.length.sum(dtype=np.int64))

    def __len__(self) -> int:
        return len(self.length)

    def postings(self, key: int) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
        """(documents, counts) of a term."""
        at = term_at(self.keys, key)
        span = slice(int(self.indptr[at]), int(self.indptr[at + 1])) if at is not None else slice(0, 0)
        return self.documents[span], self.counts[span]

    def placed(self, files: Iterable[tuple[str, int]], gone: Iterable[int]) -> History:
        """The same documents after files (path, id) came to the tree and others (id) went."""
        file_id = self.file_id
        lost = np.fromiter(gone, np.int64)
        if len(lost) and len(file_id):
            file_id = np.where(np.isin(file_id, lost), 0, file_id)
        found = [(number, identity) for path, identity in files if (number := self.paths.get(path)) is not None]
        if found:
            file_id = file_id.copy() if file_id is self.file_id else file_id
            for number, identity in found:
                file_id[number] = identity
        if file_id is self.file_id:
            return self
        return History(self.paths, self.keys, self.indptr, self.documents, self.counts, self.length, file_id)

    @classmethod
    def unpack(cls, block: bytes) -> Self:
        """From what `pack` made. Raises Corrupt."""
        _, arrays = packing.unpack(block)
        names = arrays.pop("paths").tobytes().decode("utf-8", "surrogateescape")
        paths = {path: number for number, path in enumerate(names.split("\0"))} if names else {}
        return cls(paths, **arrays, file_id=np.zeros(len(paths), np.int64))


def pack(log: Log) -> bytes:
    """The field of a history, ready to be kept."""
    moved: dict[str, str] = {}  # what a path is called now, as far as the commits from the newest on say
    documents: dict[str, Counter[str]] = {}
    for commit in log.values():
        for old, new in commit.moved:
            moved[old] = moved.get(new, new)
        terms = {term: n for term, n in text.terms(commit.subject).items() if term not in text.STOP_WORDS}
        for path in commit.files:
            documents.setdefault(moved.get(path, path), Counter()).update(terms)
    names = sorted(documents)
    of_term: dict[str, list[tuple[int, int]]] = {}
    for number, name in enumerate(names):
        for term, count in documents[name].items():
            of_term.setdefault(term, []).append((number, count))
    by_key = sorted((term_key(term), rows) for term, rows in of_term.items())
    arrays: dict[str, NDArray[Any]] = {
        "paths": np.frombuffer("\0".join(names).encode("utf-8", "surrogateescape"), np.uint8),
        "keys": np.array([key for key, _ in by_key], np.uint64),
        "indptr": np.cumsum([0, *(len(rows) for _, rows in by_key)]).astype(np.int64),
        "documents": np.array([number for _, rows in by_key for number, _ in rows], np.int32),
        "counts": np.minimum([count for _, rows in by_key for _, count in rows], 65535).astype(np.uint16),
        "length": np.array([sum(documents[name].values()) for name in names], np.uint32),
    }
    return packing.pack(arrays, {})
