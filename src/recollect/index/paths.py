"""Words of the paths of a repository's files, inverted: which files have this word in their name, or in a folder's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recollect.records import dataclass
from recollect.text import path_words

Postings = tuple[NDArray[np.int32], NDArray[np.int32]]  # (file ids ascending, counts)
_NONE: Postings = (np.zeros(0, np.int32), np.zeros(0, np.int32))


@dataclass(frozen=True, slots=True, eq=False)
class PathIndex:
    """Immutable; `with_changes` makes a new one that shares what did not change."""

    words: Mapping[int, tuple[tuple[str, ...], tuple[str, ...]]]  # file id → (stem words, folder words)
    by_stem: Mapping[str, Postings]
    by_folder: Mapping[str, Postings]
    stem_length: NDArray[np.int32]  # by file id; 0 where there is no such file
    folder_length: NDArray[np.int32]

    @classmethod
    def empty(cls) -> Self:
        return cls({}, {}, {}, np.zeros(1, np.int32), np.zeros(1, np.int32))

    def with_changes(self, removed: Iterable[int], added: Mapping[int, str]) -> PathIndex:
        """The index without the files `removed` and with those `added` (id → path)."""
        gone = {file_id for file_id in removed if file_id in self.words}
        new = {file_id: path_words(path) for file_id, path in added.items()}
        if not gone and not new:
            return self
        words = {file_id: pair for file_id, pair in self.words.items() if file_id not in gone}
        words.update(new)
        size = max(len(self.stem_length), max(new, default=0) + 1)
        lengths = []
        for old, part in ((self.stem_length, 0), (self.folder_length, 1)):
            length = np.zeros(size, np.int32)
            length[: len(old)] = old
            for file_id in gone:
                length[file_id] = 0
            for file_id, pair in new.items():
                length[file_id] = len(pair[part])
            lengths.append(length)
        by_stem = _changed(self.by_stem, [(i, self.words[i][0]) for i in gone], [(i, p[0]) for i, p in new.items()])
        by_folder = _changed(self.by_folder, [(i, self.words[i][1]) for i in gone], [(i, p[1]) for i, p in new.items()])
        return PathIndex(words, by_stem, by_folder, lengths[0], lengths[1])

    def sized(self, size: int) -> PathIndex:
        """This index with room for file ids below `size`: dead rows of segments may name files that are gone."""
        more = size - len(self.stem_length)
        if more <= 0:
            return self
        lengths = (np.pad(length, (0, more)) for length in (self.stem_length, self.folder_length))
        return PathIndex(self.words, self.by_stem, self.by_folder, *lengths)


def _changed(
    postings: Mapping[str, Postings], gone: list[tuple[int, tuple[str, ...]]], new: list[tuple[int, tuple[str, ...]]]
) -> dict[str, Postings]:
    result = dict(postings)
    removed: dict[str, list[int]] = {}
    added: dict[str, dict[int, int]] = {}
    for file_id, words in gone:
        for word in words:
            removed.setdefault(word, []).append(file_id)
    for file_id, words in new:
        for word in words:
            counts = added.setdefault(word, {})
            counts[file_id] = counts.get(file_id, 0) + 1
    for word in removed.keys() | added.keys():
        ids, counts_ = result.pop(word, _NONE)
        if word in removed:
            keep = ~np.isin(ids, np.array(removed[word], np.int32))
            ids, counts_ = ids[keep], counts_[keep]
        if word in added:
            ids = np.concatenate((ids, np.fromiter(added[word].keys(), np.int32)))
            counts_ = np.concatenate((counts_, np.fromiter(added[word].values(), np.int32)))
            order = np.argsort(ids)
            ids, counts_ = ids[order], counts_[order]
        if len(ids):
            result[word] = (ids, counts_)
    return result
