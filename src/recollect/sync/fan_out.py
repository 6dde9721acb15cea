"""Look at many places, each apart from the others: one that fails or hangs costs the others neither answer nor time."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

from recollect.errors import RecollectError, Unavailable
from recollect.records import dataclass
from recollect.sync import disk

HANGS_S: Final = 2.0  # a look that takes longer is no longer waited for: a dead mount may never answer
_AT_ONCE: Final = 64  # threads, once one look hangs: those after it may lie on the same mount
_IDLE: Final = 4  # threads that wait for the next look
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
log = logging.getLogger("recollect.fan_out")


@dataclass(frozen=True, slots=True)
class Looked(Generic[K, T]):
    """What each look returned, or why it did not."""

    values: dict[K, T]
    failures: dict[K, RecollectError]


class _Batch(Generic[K, T]):
    """The places of one call that are still to be looked at, and what came of the others."""

    def __init__(self, keys: Iterable[K], look: Callable[[K], T]) -> None:
        self.todo = list(reversed(list(keys)))
        self.look = look
        self.begun: dict[K, float] = {}  # looks that go on → since when
        self.values: dict[K, T] = {}
        self.failures: dict[K, RecollectError] = {}
        self.changed = threading.Condition()


class FanOut(Generic[K]):
    """Looks from threads of its own. A key whose look hangs is skipped until that look has returned. Thread-safe."""

    def __init__(self, hangs_s: float = HANGS_S) -> None:
        self._hangs_s = hangs_s
        self._lock = threading.Lock()
        self._hanging: dict[K, float] = {}  # key → since when (epoch)
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = 0

    def each(self, keys: Iterable[K], look: Callable[[K], T]) -> Looked[K, T]:
        """`look(key)` of every key. Returns after about twice `hangs_s` at the latest, whatever the looks do."""
        batch: _Batch[K, T] = _Batch(dict.fromkeys(keys), look)
        for key in [key for key in batch.todo if key in self._hanging]:
            batch.todo.remove(key)
            batch.failures[key] = self._no_answer(self._hanging[key])
        if batch.todo:
            self._run(batch)
        return Looked(batch.values, batch.failures)

    def one(self, key: K, look: Callable[[], T]) -> T:
        """`look()`, apart like the others. Raises RecollectError: what it raised, or that it hangs."""
        looked = self.each([key], lambda _: look())
        if key in looked.failures:
            raise looked.failures[key]
        return looked.values[key]

    def _run(self, batch: _Batch[K, T]) -> None:
        self._start(lambda: self._drain(batch))
        until = None  # when nothing is waited for any longer: set by the first look that hangs
        with batch.changed:
            while batch.todo or batch.begun:
                oldest = min(batch.begun.values(), default=time.monotonic())
                wait = (oldest + self._hangs_s if until is None else until) - time.monotonic()
                if wait > 0:
                    batch.changed.wait(wait)
                elif until is None:
                    until = time.monotonic() + self._hangs_s
                    self._give_up(batch)
                    for _ in range(min(len(batch.todo), _AT_ONCE)):
                        self._start(lambda: self._drain(batch))
                else:
                    self._give_up(batch)
                    for key in batch.todo:
                        batch.failures[key] = self._no_answer(None)
                    batch.todo.clear()

    def _give_up(self, batch: _Batch[K, T]) -> None:
        """Wait no longer for the looks that go on; they are remembered as hanging until they return."""
        since = time.time() - self._hangs_s
        with self._lock:
            self._hanging |= dict.fromkeys(batch.begun, since)
        for key in batch.begun:
            batch.failures[key] = self._no_answer(since)
        batch.begun.clear()

    def _drain(self, batch: _Batch[K, T]) -> None:
        while True:
            with batch.changed:
                if not batch.todo:
                    return
                key = batch.todo.pop()
                batch.begun[key] = time.monotonic()
            value, failure = self._looked(batch.look, key)
            with batch.changed:
                if key not in batch.begun:  # it was given up
                    with self._lock:
                        self._hanging.pop(key, None)
                    return
                del batch.begun[key]
                if failure is None:
                    batch.values[key] = value  # type: ignore[assignment]
                else:
                    batch.failures[key] = failure
                if not (batch.todo or batch.begun):
                    batch.changed.notify()

    @staticmethod
    def _looked(look: Callable[[K], T], key: K) -> tuple[T | None, RecollectError | None]:
        try:
            return look(key), None
        except RecollectError as error:
            return None, error
        except OSError as error:
            return None, disk.unavailable(os.fsdecode(error.filename or "its folder"), error)
        except Exception as error:  # a bug of ours: the others have their answers all the same
            log.exception("a look at %s failed", key)
            return None, RecollectError(f"{type(error).__name__}: {error}")

    def _no_answer(self, since: float | None) -> Unavailable:
        waited = f"for {time.time() - since:.0f} s" if since is not None else "in time"
        hint = "See whether the file system it lies on is in order (a mount whose server is gone?)."
        return Unavailable(f"its file system has not answered {waited}", hint=hint, code="unresponsive")

    def _start(self, work: Callable[[], None]) -> None:
        with self._lock:
            spare = self._idle > 0
            self._idle -= spare
        if not spare:
            threading.Thread(target=self._serve, name="look", daemon=True).start()
        self._work.put(work)

    def _serve(self) -> None:
        while True:
            self._work.get()()
            with self._lock:
                if self._idle >= _IDLE:
                    return
                self._idle += 1
