"""Vectors of another model than the bundled one: made after syncs by the indexer, used once most chunks have theirs.

Until then, and where the model cannot be had, the bundled vectors serve, and the answer says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recollect.errors import RecollectError
from recollect.index import vectors
from recollect.index.segment import Segment
from recollect.index.snapshot import Snapshot
from recollect.index.vectors import Loaded
from recollect.jobs.indexer import IndexerProcess
from recollect.model import EmbedderChoice
from recollect.search.score import Cosines, Part

_ENOUGH: Final = 0.9  # share of the chunks that have a vector
_PATIENCE_S: Final = 2.0  # of a search, for the vector of its question
_AGAIN_S: Final = 30.0  # after the model could not be had
_QUESTIONS: Final = 1_000
_BLOCK: Final = 4_096  # rows whose cosines are worked out at a time
log = logging.getLogger("recollect.vectors")


class Vectors:
    """Thread-safe."""

    def __init__(self, indexer: IndexerProcess, choice: Callable[[], EmbedderChoice]) -> None:
        self._indexer = indexer
        self._choice = choice
        self._lock = threading.Lock()
        self._building: dict[Path, Future[int]] = {}
        self._stale: set[Path] = set()  # changed while their vectors were being made
        self._loaded: dict[Path, Loaded] = {}
        self._questions: OrderedDict[tuple[EmbedderChoice, str], NDArray[np.float32]] = OrderedDict()
        self._not_before = 0.0
        self.error: str | None = None  # why the model cannot be had

    @property
    def wanted(self) -> bool:
        """Whether another model than the bundled one is set."""
        return not self._choice().bundled

    def build(self, folder: Path) -> None:
        """Have the missing vectors of an index made in the background."""
        choice = self._choice()
        if choice.bundled or time.monotonic() < self._not_before:
            return
        with self._lock:
            if folder in self._building:
                self._stale.add(folder)
                return
            try:
                building = self._building[folder] = self._indexer.embed(folder, choice)
            except RecollectError as error:
                self._failed(error)
                return
        building.add_done_callback(lambda done: self._built(folder, done))

    def _built(self, folder: Path, done: Future[int]) -> None:
        error = done.exception()
        with self._lock:
            self._building.pop(folder, None)
            again = folder in self._stale and error is None
            self._stale.discard(folder)
        if error is None:
            self.error = None
        else:
            self._failed(error)
        if again:
            self.build(folder)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, RecollectError) and error.code == "shutting_down":
            return
        said = error.message if isinstance(error, RecollectError) else f"{type(error).__name__}: {error}"
        if said != self.error:
            log.warning("%s: %s; the bundled vectors serve", self._choice().name, said)
        self.error, self._not_before = said, time.monotonic() + _AGAIN_S

    def forget(self, folder: Path) -> None:
        with self._lock:
            self._loaded.pop(folder, None)

    def asked(self, question: str, snapshots: Sequence[Snapshot]) -> tuple[Cosines | None, str | None]:
        """(how to get cosines by the model that is set, None) or (None, why the bundled vectors serve in its place)."""
        choice = self._choice()
        if choice.bundled:
            return None, None
        loaded = {snapshot.folder: self._load(snapshot.folder, choice) for snapshot in snapshots}
        have = 0
        for snapshot in snapshots:
            known = loaded[snapshot.folder]
            for view in snapshot.views if known is not None else ():
                assert known is not None
                have += int(np.count_nonzero(_places(view.segment, known)[1] & view.live))
        total = sum(snapshot.n_chunks for snapshot in snapshots)
        if have < total:
            for snapshot in snapshots:
                self.build(snapshot.folder)
        if have < _ENOUGH * total:
            return None, "unavailable" if self.error else "embedding"
        vector = self._question(question, choice)
        if vector is None:
            return None, "unavailable"
        return lambda parts: _cosines(parts, loaded, vector), None

    def _load(self, folder: Path, choice: EmbedderChoice) -> Loaded | None:
        with self._lock:
            known = self._loaded.get(folder)
        found = vectors.load(folder, choice.name, known)
        with self._lock:
            if found is not None:
                self._loaded[folder] = found
            else:
                self._loaded.pop(folder, None)
        return found

    def _question(self, question: str, choice: EmbedderChoice) -> NDArray[np.float32] | None:
        key = (choice, question)
        with self._lock:
            known = self._questions.get(key)
        if known is not None:
            return known
        if time.monotonic() < self._not_before:
            return None
        try:
            vector: NDArray[np.float32] = self._indexer.question(question, choice).result(timeout=_PATIENCE_S)[0]
        except (RecollectError, FutureTimeout) as error:
            self._failed(error)
            return None
        with self._lock:
            self._questions[key] = vector
            while len(self._questions) > _QUESTIONS:
                self._questions.popitem(last=False)
        self.error = None
        return vector


def _places(segment: Segment, loaded: Loaded) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """`Loaded.of` the chunks of a segment, worked out once as long as neither changes."""
    found: tuple[Loaded, tuple[NDArray[np.int64], NDArray[np.bool_]]] | None = segment.memo.get("vectors")
    if found is None or found[0] is not loaded:
        found = segment.memo["vectors"] = (loaded, loaded.of(segment.chunk_id))
    return found[1]


def _cosines(
    parts: Sequence[Part], loaded: dict[Path, Loaded | None], vector: NDArray[np.float32]
) -> NDArray[np.float32]:
    found = []
    for part in parts:
        cosines = np.full(len(part.view.segment), np.nan, np.float32)
        known = loaded[part.snapshot.folder]
        if known is not None and known.vectors.shape[1] == len(vector):
            at, there = _places(part.view.segment, known)
            rows = np.flatnonzero(there)
            for start in range(0, len(rows), _BLOCK):
                some = rows[start : start + _BLOCK]
                cosines[some] = known.vectors[at[some]].astype(np.float32) @ (vector / np.float32(vectors.SCALE))
        found.append(cosines)
    return np.concatenate(found) if found else np.zeros(0, np.float32)
