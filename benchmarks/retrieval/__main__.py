"""`python -m benchmarks.retrieval SOURCES QUESTIONS [--out FILE]`: index, ask, score, print the table.

SOURCES holds a work tree per repository (`SOURCES/<name>`), QUESTIONS a folder with `manifest.json` (name, root, language)
and `queries.jsonl` (id, repo, query, category, targets with `files`). Everything goes through `Workspace`: the product's
sync, the product's search. NDCG@10 over files: each target has gain 1; averages are means over repositories.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recollect.workspace import Workspace

K = 10


def ndcg(ranked: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]], *, lines: bool) -> float:
    """Normalised discounted cumulative gain of a list of hits. `lines`: a target with lines must be overlapped by the hit's."""

    def reached(hit: dict[str, Any], target: dict[str, Any]) -> bool:
        if hit["path"] not in target["files"]:
            return False
        start, end = target.get("start_line"), target.get("end_line")
        return not lines or start is None or end is None or (hit["start_line"] <= end and hit["end_line"] >= start)

    ranks = {next((i for i, hit in enumerate(ranked[:K], 1) if reached(hit, target)), 0) for target in targets}
    gain = sum(1 / math.log2(rank + 1) for rank in ranks if rank)
    return gain / sum(1 / math.log2(i + 1) for i in range(1, min(K, len(targets)) + 1))


def ask(workspace: Workspace, root: Path, prefix: str, question: dict[str, Any]) -> tuple[list[dict[str, Any]], float]:
    """(ranked entries, seconds)."""
    started = time.perf_counter()
    hits = workspace.search(question["query"], str(root), limit=K).hits
    seconds = time.perf_counter() - started
    return [
        {"path": prefix + hit.path, "start_line": hit.start_line, "end_line": hit.end_line} for hit in hits
    ], seconds


def _mean(by_repository: dict[str, list[float]]) -> float:
    return statistics.mean(statistics.mean(values) for values in by_repository.values())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--out", type=Path, help="write the ranked lists here, one JSON object a line")
    given = parser.parse_args()
    manifest = {item["name"]: item for item in json.loads((given.questions / "manifest.json").read_text())}
    questions = [
        json.loads(line) for line in (given.questions / "queries.jsonl").read_text().splitlines() if line.strip()
    ]
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))  # group → repository → scores
    by_file: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    times: list[float] = []
    lines = []
    with tempfile.TemporaryDirectory(prefix="retrieval-") as home, Workspace(home) as workspace:
        for name, item in manifest.items():
            prefix = "" if item["root"] in (None, "", ".") else item["root"].strip("/") + "/"
            root = given.sources / name / prefix
            if not root.is_dir():
                print(f"no sources of {name}: its questions count as 0", file=sys.stderr)
            elif (result := workspace.sync(root)).status != "completed":
                print(f"{name}: {result.status} {result.errors[:2]}", file=sys.stderr)
            for question in (item for item in questions if item["repo"] == name):
                ranked, seconds = ask(workspace, root, prefix, question) if root.is_dir() else ([], 0.0)
                times.append(seconds)
                lines.append(json.dumps({"id": question["id"], "ranked": ranked}))
                for group in ("all", question.get("category", "-"), item.get("language", "-")):
                    scores[group][name].append(ndcg(ranked, question["targets"], lines=True))
                    by_file[group][name].append(ndcg(ranked, question["targets"], lines=False))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n")
    print("| | NDCG@10 | by file alone | repositories | questions |\n|---|---|---|---|---|")
    for group, of in scores.items():
        count = sum(map(len, of.values()))
        print(f"| {group} | {_mean(of):.3f} | {_mean(by_file[group]):.3f} | {len(of)} | {count} |")
    times.sort()
    print(
        f"\nA question took {times[len(times) // 2] * 1000:.1f} ms (median), {times[int(len(times) * 0.99)] * 1000:.1f} ms (p99)."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
