"""Repository maps: who uses whose names is collected by the indexer after syncs; an outline is made of it when asked for."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recollect.errors import RecollectError
from recollect.index import usage as usages
from recollect.jobs.indexer import IndexerProcess
from recollect.model import RepoMapStatus
from recollect.search.repo_map import Graph

_AGAIN_S: Final = 30.0  # between two collections after background syncs of one repository
_KEPT: Final = 4
log = logging.getLogger("recollect.maps")


@dataclass(slots=True)
class _Building:
    future: Future[None]
    started_at: float


class Maps:
    """Thread-safe."""

    def __init__(self, indexer: IndexerProcess, folder_of: Callable[[str], Path]) -> None:
        self._indexer = indexer
        self._folder_of = folder_of
        self._lock = threading.Lock()
        self._building: dict[str, _Building] = {}
        self._last: dict[str, RepoMapStatus] = {}
        self._loaded: OrderedDict[str, tuple[float, Graph]] = OrderedDict()

    def status(self, repository_id: str) -> RepoMapStatus:
        with self._lock:
            building, last = self._building.get(repository_id), self._last.get(repository_id)
        if building is not None:
            return RepoMapStatus("building", building.started_at)
        if last is not None:
            return last
        at = usages.made_at(self._folder_of(repository_id))
        return RepoMapStatus("ready", None, at) if at is not None else RepoMapStatus()

    def build(self, repository_id: str) -> Future[None]:
        """Collect anew what changed since the last time; one collection per repository at a time."""
        with self._lock:
            known = self._building.get(repository_id)
            if known is not None:
                return known.future
            building = self._building[repository_id] = _Building(
                self._indexer.map(self._folder_of(repository_id)), time.time()
            )
        building.future.add_done_callback(lambda done: self._built(repository_id, building, done))
        return building.future

    def after_sync(self, repository_id: str, changed: bool) -> None:
        """A sync has ended that no question waits for."""
        last = self._last.get(repository_id)
        recent = last is not None and last.completed_at is not None and time.time() - last.completed_at < _AGAIN_S
        if not usages.made_at(self._folder_of(repository_id)) or (changed and not recent):
            self.build(repository_id)

    def graph(self, repository_id: str, generation: int, wait_s: float) -> Graph | None:
        """What is collected; of an older generation while the newer one is collected. None: nothing is after `wait_s`.

        Raises:
            RecollectError: it cannot be collected.
        """
        found = self._load(repository_id)
        if found is not None and found.usage.generation >= generation:
            return found
        building = self.build(repository_id)
        try:
            building.result(timeout=wait_s if found is None else 0.0)
        except FutureTimeout:
            return found
        return self._load(repository_id)

    def drop(self, repository_id: str) -> None:
        with self._lock:
            self._loaded.pop(repository_id, None)
            self._last.pop(repository_id, None)

    def _load(self, repository_id: str) -> Graph | None:
        folder = self._folder_of(repository_id)
        at = usages.made_at(folder)
        with self._lock:
            known = self._loaded.get(repository_id)
            if known is not None and known[0] == at:
                self._loaded.move_to_end(repository_id)
                return known[1]
        usage = usages.load(folder) if at is not None else None
        if usage is None or at is None:
            return None
        graph = Graph(usage)
        with self._lock:
            self._loaded[repository_id] = (at, graph)
            while len(self._loaded) > _KEPT:
                self._loaded.popitem(last=False)
        return graph

    def _built(self, repository_id: str, building: _Building, done: Future[None]) -> None:
        error = done.exception()
        said = error.message if isinstance(error, RecollectError) else str(error) if error is not None else None
        status = "failed" if said is not None else "ready"
        if said is not None and not (isinstance(error, RecollectError) and error.code == "shutting_down"):
            log.warning("a map cannot be made: %s", said)
        with self._lock:
            self._building.pop(repository_id, None)
            self._last[repository_id] = RepoMapStatus(status, building.started_at, time.time(), said)
