"""Questions with known answers, and how good a list of hits is."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recollect.model import Hit
from recollect.workspace import Workspace

K = 10


@dataclass(frozen=True, slots=True)
class Place:
    """Where the sources of a repository lie: its work tree's benchmark root, and what stands before its paths."""

    name: str
    language: str
    root: Path
    prefix: str

    def entries(self, hits: Iterable[Hit]) -> list[dict[str, Any]]:
        """Hits as entries of a ranked list."""
        return [
            {
                "path": self.prefix + hit.path,
                "start_line": hit.start_line,
                "end_line": hit.end_line,
                "text": hit.snippet,
            }
            for hit in hits
        ]


@dataclass(frozen=True, slots=True)
class Question:
    id: str
    repository: str
    category: str
    text: str
    targets: list[dict[str, Any]]


def load(folder: Path, sources: Path) -> tuple[list[Place], list[Question]]:
    """Read `manifest.json` (name, root, language) and `queries.jsonl` (id, repo, query, category, targets)."""
    places = []
    for item in json.loads((folder / "manifest.json").read_text()):
        prefix = "" if item["root"] in (None, "", ".") else item["root"].strip("/") + "/"
        places.append(Place(item["name"], item.get("language", "-"), sources / item["name"] / prefix, prefix))
    rows = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines() if line.strip()]
    return places, [
        Question(row["id"], row["repo"], row.get("category", "-"), row["query"], row["targets"])
        for row in rows
        if not row.get("dropped")
    ]


def _reached(hit: dict[str, Any], target: dict[str, Any], lines: bool) -> bool:
    if hit["path"] not in target["files"]:
        return False
    start, end = target.get("start_line"), target.get("end_line")
    return not lines or start is None or end is None or (hit["start_line"] <= end and hit["end_line"] >= start)


def ranks(ranked: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]], *, lines: bool) -> list[int]:
    """Place of the first hit of each target, from 1; 0: not among them."""
    return [next((i for i, hit in enumerate(ranked, 1) if _reached(hit, target, lines)), 0) for target in targets]


def ndcg(ranked: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]], *, lines: bool) -> float:
    """Normalised discounted cumulative gain of the first ten; each target has gain 1. `lines`: a target with lines must be
    overlapped by the hit's."""
    gain = sum(1 / math.log2(rank + 1) for rank in set(ranks(ranked[:K], targets, lines=lines)) if rank)
    return gain / sum(1 / math.log2(i + 1) for i in range(1, min(K, len(targets)) + 1))


def ask(workspace: Workspace, place: Place, question: Question, limit: int = K) -> tuple[list[dict[str, Any]], float]:
    """(ranked entries of a question about its repository alone, seconds)."""
    if not place.root.is_dir():
        return [], 0.0
    started = time.perf_counter()
    hits = workspace.search(question.text, str(place.root), limit=limit).hits
    seconds = time.perf_counter() - started
    return place.entries(hits), seconds


class OneHome:
    """Questions asked about all repositories at once, none named: is the right one's file found?"""

    def __init__(self, workspace: Workspace, places: Sequence[Place]) -> None:
        self._workspace = workspace
        self._of = {place.name: place for place in places}
        names = {str(place.root): place.name for place in places}
        self._names = {row.name: names.get(row.path) for row in workspace.repositories(limit=1000).repositories}
        self.repositories = len(self._names)

    def ask(self, question: Question) -> tuple[list[dict[str, Any]], float]:
        """(ranked entries, those of other repositories without a path; seconds)."""
        started = time.perf_counter()
        hits = self._workspace.search(question.text, "*", limit=K).hits
        seconds = time.perf_counter() - started
        entries = self._of[question.repository].entries(hits)
        right = [self._names[hit.repository] == question.repository for hit in hits]
        return [entry if of else {**entry, "path": ""} for of, entry in zip(right, entries, strict=True)], seconds


@dataclass
class Scores:
    """Numbers by group and repository; a group's figure is the mean of its repositories' means."""

    of: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, repository: str, groups: Iterable[str], value: float) -> None:
        for group in groups:
            self.of[group][repository].append(value)

    def mean(self, group: str = "all") -> float:
        return statistics.mean(statistics.mean(values) for values in self.of[group].values())

    def count(self, group: str = "all") -> tuple[int, int]:
        """(repositories, questions)."""
        return len(self.of[group]), sum(map(len, self.of[group].values()))


def quantiles(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    return (
        f"{ordered[len(ordered) // 2] * 1000:.1f} ms (median), {ordered[int(len(ordered) * 0.99)] * 1000:.1f} ms (p99)"
    )
