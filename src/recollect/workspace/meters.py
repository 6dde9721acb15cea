"""What happened since the start, counted: questions, what their answers reflected, syncs, searches for repositories.

Plain numbers under one lock, cheap enough for every question; `server.metrics` writes them as Prometheus wants them.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from recollect.errors import RecollectError
from recollect.model import Freshness, SyncResult

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_RECENT: Final = 2_000


@dataclass(slots=True)
class Histogram:
    """Counts by upper bound (the last one: beyond all), and the sum, in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total_s: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total_s += seconds


class Meters:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.questions: dict[str, Histogram] = {}  # by tool
        self.failures: Counter[tuple[str, str]] = Counter()  # by tool and code
        self.barrier = Histogram()
        self.freshness: Counter[str] = Counter()  # fresh | stale
        self.syncs: dict[str, Histogram] = {}  # by how they ended
        self.synced: Counter[str] = Counter()  # files, chunks, bytes
        self.sync_failures: Counter[str] = Counter()  # by kind
        self.discovery: Counter[str] = Counter()  # new, excluded, scans; found: at the last scan
        self.running = 0  # calls that go on
        self._recent: deque[tuple[float, str, float]] = deque(maxlen=_RECENT)

    @contextmanager
    def measured(self, tool: str) -> Iterator[None]:
        """Note a call: how long the block took, and the code of what it raised, if it did."""
        started, code = time.perf_counter(), None
        with self._lock:
            self.running += 1
        try:
            yield
        except Exception as error:
            code = error.code if isinstance(error, RecollectError) else "internal"
            raise
        finally:
            self._asked(tool, time.perf_counter() - started, code)

    def _asked(self, tool: str, seconds: float, code: str | None) -> None:
        with self._lock:
            self.running -= 1
            self.questions.setdefault(tool, Histogram()).add(seconds)
            self._recent.append((time.time(), tool, seconds))
            if code is not None:
                self.failures[tool, code] += 1

    def answered(self, freshness: Freshness) -> None:
        """An answer was put together: what it reflects, and how long making sure took."""
        with self._lock:
            self.freshness["fresh" if freshness.fresh else "stale"] += 1
            self.barrier.add(freshness.checked_ms / 1000)

    def ended(self, result: SyncResult, bytes_done: int) -> None:
        """A sync ended that looked at files."""
        with self._lock:
            self.syncs.setdefault(result.status, Histogram()).add(result.duration_s)
            self.synced["files"] += result.new_files + result.modified_files
            self.synced["chunks"] += result.chunks_new
            self.synced["bytes"] += bytes_done
            for error in result.errors:
                self.sync_failures[error.kind] += 1

    def scanned(self, found: int, new: int, excluded: int) -> None:
        """The scan paths were searched."""
        with self._lock:
            self.discovery["found"] = found
            self.discovery["new"] += new
            self.discovery["excluded"] = excluded
            self.discovery["scans"] += 1

    def latencies(self) -> list[dict[str, Any]]:
        """Of the last calls, by tool: `{tool, count, p50_ms, p99_ms, recent_ms}`, most used first."""
        with self._lock:
            recent = list(self._recent)
        by_tool: dict[str, list[float]] = {}
        for _, tool, seconds in recent:
            by_tool.setdefault(tool, []).append(round(seconds * 1000, 2))
        rows = []
        for tool, values in sorted(by_tool.items(), key=lambda item: -len(item[1])):
            ordered = sorted(values)
            p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
            rows.append({"tool": tool, "count": len(values), "p50_ms": p50, "p99_ms": p99, "recent_ms": values[-60:]})
        return rows

    def snapshot(self) -> dict[str, Any]:
        """Everything, as it is at one moment."""
        with self._lock:
            return {
                "questions": {tool: (list(one.counts), one.total_s) for tool, one in self.questions.items()},
                "failures": dict(self.failures),
                "barrier": (list(self.barrier.counts), self.barrier.total_s),
                "freshness": dict(self.freshness),
                "syncs": {status: (list(one.counts), one.total_s) for status, one in self.syncs.items()},
                "synced": dict(self.synced),
                "sync_failures": dict(self.sync_failures),
                "discovery": dict(self.discovery),
            }
