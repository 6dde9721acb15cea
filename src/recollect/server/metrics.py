"""What `/metrics` says, in Prometheus' format: counters of the meters, and gauges of what is true at this moment."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from recollect import __version__
from recollect.jobs import resources
from recollect.workspace import Workspace
from recollect.workspace.meters import BUCKETS_S

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_EDGES: Final = [*(f"{edge:g}" for edge in BUCKETS_S), "+Inf"]
Metric = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
Counted = tuple[list[int], float]


def text(workspace: Workspace) -> bytes:
    """All metrics. Every name begins with `recollect_`."""
    registry = CollectorRegistry()
    registry.register(_All(workspace))
    return generate_latest(registry)


class _All(Collector):
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def collect(self) -> Iterator[Metric]:
        yield from _counted(self._workspace.meters.snapshot())
        yield from _now(self._workspace)
        yield from _processes()


def _counted(seen: dict[str, Any]) -> Iterator[Metric]:
    yield _histograms(
        "recollect_query_seconds",
        "Calls of tools and of the command line.",
        ["tool"],
        {(k,): v for k, v in seen["questions"].items()},
    )
    failures = CounterMetricFamily("recollect_query_failures", "Calls that failed.", labels=["tool", "code"])
    for labels, count in seen["failures"].items():
        failures.add_metric(list(labels), count)
    yield failures
    yield _histograms(
        "recollect_barrier_seconds", "Making sure, before an answer, of what it reflects.", [], {(): seen["barrier"]}
    )
    outcomes = {"fresh": 0, "stale": 0} | seen["freshness"]
    yield _counter("recollect_answers", "Answers by what they reflect.", "freshness", outcomes)
    yield _histograms(
        "recollect_sync_seconds", "Syncs that ended, by how.", ["status"], {(k,): v for k, v in seen["syncs"].items()}
    )
    for name, said in (("files", "Files indexed."), ("chunks", "Chunks made."), ("bytes", "Bytes read to be indexed.")):
        yield _counter(f"recollect_sync_{name}", said, None, {"": seen["synced"].get(name, 0)})
    yield _counter("recollect_sync_failures", "Errors of syncs, by kind.", "kind", seen["sync_failures"])
    found = seen["discovery"]
    yield _gauge("recollect_discovery_found", "Repositories found by the last scan.", None, {"": found.get("found", 0)})
    yield _gauge(
        "recollect_discovery_excluded", "Folders the last scan left out.", None, {"": found.get("excluded", 0)}
    )
    yield _counter("recollect_discovery_new", "Repositories that scans added.", None, {"": found.get("new", 0)})
    yield _counter("recollect_discovery_scans", "Scans that ended.", None, {"": found.get("scans", 0)})


def _now(workspace: Workspace) -> Iterator[Metric]:
    listed = workspace.repositories(limit=100_000).repositories
    background, about = workspace.auto_sync.status(), workspace.about()
    yield _gauge("recollect_info", "The version that runs.", "version", {__version__: 1})
    yield _gauge("recollect_uptime_seconds", "Since the daemon's start.", None, {"": about["uptime_s"]})
    states = Counter(str(item.state) for item in listed)
    yield _gauge("recollect_repositories", "Repositories by state.", "state", states)
    yield _gauge(
        "recollect_repositories_fresh",
        "Repositories whose index reflects their files.",
        None,
        {"": sum(item.fresh for item in listed)},
    )
    yield _gauge(
        "recollect_files", "Files in the tree of all repositories.", None, {"": sum(item.files for item in listed)}
    )
    yield _gauge("recollect_chunks", "Chunks of all repositories.", None, {"": sum(item.chunks for item in listed)})
    yield _gauge("recollect_syncs_active", "Syncs that run.", None, {"": background.active_syncs})
    yield _gauge("recollect_syncs_queued", "Repositories that wait for a sync.", None, {"": background.queued_repos})
    yield _gauge(
        "recollect_repositories_watched", "Repositories with file events.", None, {"": background.watched_repos}
    )
    yield _gauge("recollect_watches", "Directories watched.", None, {"": background.watches})
    yield _gauge("recollect_auto_sync_paused", "1 while background work is paused.", None, {"": int(background.paused)})
    yield _counter(
        "recollect_watch_overflows",
        "Times the system lost file events.",
        None,
        {"": about["background"].get("overflows", 0)},
    )
    memories = workspace.memory.stats()
    yield _gauge("recollect_memories", "Memories that are kept.", None, {"": memories["memories"]})
    yield _gauge("recollect_memories_deleted", "Deleted ones that can be restored.", None, {"": memories["deleted"]})


def _processes() -> Iterator[Metric]:
    rows = resources.processes(os.getpid())
    resident, used, number = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        resident[row["name"]] += row["rss_bytes"]
        used[row["name"]] += row["cpu_s"]
        number[row["name"]] += 1
    yield _gauge("recollect_process_resident_bytes", "Memory by kind of process.", "process", resident)
    yield _counter(
        "recollect_process_cpu_seconds", "Time on processors by kind of process, of those that live.", "process", used
    )
    yield _gauge("recollect_processes", "Processes by kind.", "process", number)


def _gauge(name: str, said: str, label: str | None, values: Any) -> GaugeMetricFamily:
    metric = GaugeMetricFamily(name, said, labels=[label] if label else [])
    for value, count in values.items():
        metric.add_metric([value] if label else [], count)
    return metric


def _counter(name: str, said: str, label: str | None, values: Any) -> CounterMetricFamily:
    metric = CounterMetricFamily(name, said, labels=[label] if label else [])
    for value, count in values.items():
        metric.add_metric([value] if label else [], count)
    return metric


def _histograms(
    name: str, said: str, labels: Sequence[str], values: dict[tuple[str, ...], Counted]
) -> HistogramMetricFamily:
    metric = HistogramMetricFamily(name, said, labels=list(labels))
    for key, (counts, total) in values.items():
        sums = [sum(counts[: number + 1]) for number in range(len(counts))]
        metric.add_metric(list(key), [(edge, count) for edge, count in zip(_EDGES, sums, strict=True)], total)
    return metric
