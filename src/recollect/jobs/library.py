"""Open indexes: one published snapshot per repository, swapped whole when its index has a newer generation."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recollect.errors import Corrupt, Unavailable
from recollect.index.snapshot import Snapshot
from recollect.index.summary import Summary, summary_of

log = logging.getLogger("recollect.library")


class Library:
    """Snapshots by repository id. Readers never wait for the indexer; they keep what they hold until they are done."""

    def __init__(self, folder_of: Callable[[str], Path], on_corrupt: Callable[[str, Corrupt], None]) -> None:
        self._folder_of = folder_of
        self._on_corrupt = on_corrupt
        self._open: dict[str, Snapshot] = {}
        self._opening: dict[str, threading.Lock] = {}
        self._used: dict[str, float] = {}
        self._summaries: dict[str, Summary] = {}
        self._damaged: set[str] = set()  # being made again: nothing is read of it until the first commit
        self._versions: Counter[str] = Counter()  # of what was published
        self._drops: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def reading(self, repository_id: str) -> Iterator[Snapshot | None]:
        """The published snapshot, kept whole while the block runs; None where nothing of it can be read yet.

        Where the block finds it damaged (raises Corrupt), it is read no more, and made again.
        """
        self._used[repository_id] = time.monotonic()
        version = self._versions[repository_id]
        snapshot = self._sound(repository_id, version)
        try:
            yield snapshot
        except Corrupt as error:
            if snapshot is not None and error.folder in (None, snapshot.folder):
                self._found_damaged(repository_id, error, version)
            raise
        finally:
            if snapshot is not None:
                snapshot.release()

    def is_damaged(self, repository_id: str) -> bool:
        """Whether its index was found to be damaged, and nothing of a new one is there yet."""
        return repository_id in self._damaged

    def _sound(self, repository_id: str, version: int) -> Snapshot | None:
        """The published snapshot, retained, if what it maps into memory is as it was written."""
        snapshot = self._retained(repository_id) or self._publish_and_retain(repository_id)
        if snapshot is None:
            return None
        try:
            snapshot.check_files()
        except Corrupt as error:
            snapshot.release()
            self._found_damaged(repository_id, error, version)
            return None
        return snapshot

    def _found_damaged(self, repository_id: str, error: Corrupt, version: int) -> None:
        """`version`: of what was published when it was read; what was published since may be sound."""
        with self._lock:
            if self._versions[repository_id] != version:
                return
            self._damaged.add(repository_id)
        self._on_corrupt(repository_id, error)

    def publish(self, repository_id: str, generation: int | None = None) -> bool:
        """Make the last committed generation (if it is newer than `generation`, where that is given) the one that
        readers get from now on; whether that could be done. What nobody has asked for is left to be opened by the
        first who does.
        """
        with self._lock:
            self._damaged.discard(repository_id)
            self._summaries.pop(repository_id, None)
            self._versions[repository_id] += 1
            known = self._open.get(repository_id)
            if known is None:
                return True
            if generation is not None and known.generation >= generation and known.of_this_index():
                return True
        snapshot = self._publish_and_retain(repository_id)
        if snapshot is not None:
            snapshot.release()
        return snapshot is not None

    def summary(self, repository_id: str) -> Summary | None:
        """Counts of the last committed generation, without opening the index as a whole; None where there is none."""
        with self._lock:
            known, version = self._summaries.get(repository_id), self._versions[repository_id]
        if known is None and not self.is_damaged(repository_id):
            try:
                known = summary_of(self._folder_of(repository_id))
            except Corrupt as error:
                self._found_damaged(repository_id, error, version)
            if known is not None:
                with self._lock:
                    if self._versions[repository_id] == version:  # else a commit came meanwhile
                        self._summaries[repository_id] = known
        return known

    def complete(self, repository_id: str) -> bool:
        """Whether its index has a first sync behind it; also said of one that cannot be looked at now."""
        with self._lock:
            snapshot = self._open.get(repository_id)
        if snapshot is not None:
            return snapshot.complete
        try:
            summary = self.summary(repository_id)
        except Unavailable:
            return True
        return summary is not None and summary.complete

    def drop(self, repository_id: str) -> None:
        """Forget the open snapshot of a repository (its folder was removed or is rebuilt)."""
        with self._lock:
            self._summaries.pop(repository_id, None)
            self._drops[repository_id] += 1
            old = self._open.pop(repository_id, None)
        if old is not None:
            old.release()

    def let_go(self, keep: int = 0, unused_s: float = 0.0) -> int:
        """Drop what was not used for so long, but for the `keep` that were used last; how many went.

        They are opened again when asked for.
        """
        before = time.monotonic() - unused_s
        with self._lock:
            by_use = sorted(self._open, key=lambda name: -self._used.get(name, 0.0))
        gone = [name for name in by_use[keep:] if self._used.get(name, 0.0) <= before]
        for repository_id in gone:
            self.drop(repository_id)
        return len(gone)

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        for repository_id in list(self._open):
            self.drop(repository_id)

    def _retained(self, repository_id: str) -> Snapshot | None:
        with self._lock:
            snapshot = self._open.get(repository_id)
            return snapshot.retain() if snapshot is not None else None

    def _publish_and_retain(self, repository_id: str) -> Snapshot | None:
        if self.is_damaged(repository_id):
            return None
        with self._lock:
            opening = self._opening.setdefault(repository_id, threading.Lock())
        with opening:  # one at a time per repository; readers of the old one are not held up
            old = self._retained(repository_id)
            while True:
                with self._lock:
                    version, drops = self._versions[repository_id], self._drops[repository_id]
                new: Snapshot | None = None
                try:
                    new = self._read(repository_id, old, version)
                finally:
                    if old is not None and new is not old:
                        old.release()
                if new is None:
                    if self._versions[repository_id] == version or self.is_damaged(repository_id):
                        return None
                    old = None  # what was published meanwhile may be there, and sound
                    continue
                with self._lock:
                    dropped = self._drops[repository_id] != drops  # its folder may be another by now
                    # After a commit meanwhile, which may have found nobody to be published to, nobody must be shown
                    # what was read before it.
                    current = not dropped and self._versions[repository_id] == version
                    replaced = self._open.get(repository_id) if current else None
                    if current and replaced is not new:
                        self._open[repository_id] = new.retain()
                if replaced is not None and replaced is not new:
                    replaced.release()
                if current:
                    return new
                if dropped:
                    new.release()
                old = None if dropped else new

    def _read(self, repository_id: str, old: Snapshot | None, version: int) -> Snapshot | None:
        try:
            return old.advance() if old is not None else Snapshot.open(self._folder_of(repository_id))
        except FileNotFoundError:
            return None
        except Corrupt as error:
            self._found_damaged(repository_id, error, version)
            return None
        except Unavailable:
            raise
        except Exception:  # a bug of ours must not leave the old generation in place
            if old is None:
                raise
            log.exception("an open index could not follow a commit: it is opened anew")
            return self._read(repository_id, None, version)
