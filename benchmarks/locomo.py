"""Memory, how good: `python -m benchmarks.locomo FOLDER`, with `locomo10.json` and `errors.json` of dial481/locomo-audit in it.

Retrieval of the turns that answer a question of the LoCoMo conversations (CC BY-NC: nothing of them is kept here), at two
granularities: the turns themselves, and the data set's own observations. recall@k is the share of a question's evidence
among the first k; MRR the mean reciprocal rank of the first piece. "original" and "corrected" are the answer keys.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from recollect import text
from recollect.memory.recall import ranked, recall
from recollect.memory.store import Candidate, Filter, MemoryStore

_CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open domain", 4: "single hop", 5: "adversarial"}
_DEEP = 50
Items = list[tuple[str, str, float]]  # (turn that it stands for, content, when it was said)


def turns(conversation: dict[str, Any]) -> Items:
    found = []
    for number, at in _sessions(conversation):
        for turn in conversation[f"session_{number}"]:
            caption = f" [shows {turn['blip_caption']}]" if turn.get("blip_caption") else ""
            found.append((turn["dia_id"], f"{turn['speaker']}: {turn['text']}{caption}", at))
    return found


def observations(sample: dict[str, Any]) -> Items:
    when = dict(_sessions(sample["conversation"]))
    found = []
    for name, speakers in sample["observation"].items():
        at = when[int(re.findall(r"\d+", name)[0])]
        for facts in speakers.values():
            found += [(str(source), fact, at) for fact, source in facts if not isinstance(source, list)]
            found += [(str(one), fact, at) for fact, source in facts if isinstance(source, list) for one in source]
    return found


def _sessions(conversation: dict[str, Any]) -> Iterator[tuple[int, float]]:
    for key, said in conversation.items():
        match = re.fullmatch(r"session_(\d+)_date_time", key)
        if match and conversation.get(f"session_{match[1]}"):
            at = datetime.strptime(said, "%I:%M %p on %d %B, %Y").astimezone()
            yield int(match[1]), at.timestamp()


def by_recall(items: Items) -> dict[str, Callable[[str], list[str]]]:
    """The product's own recall, phrases of time included: a question is asked on the day after the last session. Next to
    it what its two halves find alone.
    """
    folder = tempfile.TemporaryDirectory()
    store = MemoryStore(Path(folder.name) / "memory.db")
    sources: dict[str, list[str]] = defaultdict(list)
    for source, content, at in items:
        sources[store.add(content, created_at=at).id].append(source)
    now = datetime.fromtimestamp(max(at for _, _, at in items) + 86_400).astimezone()

    def ask(question: str) -> list[str]:
        _ = folder  # lives as long as the questions
        found = recall(store, question, Filter(), _DEEP, now=now).memories
        return [source for memory in found for source in sources[memory.id]]

    def ranked_by(rank: Callable[[Candidate], float | None]) -> Callable[[str], list[str]]:
        def ask(question: str) -> list[str]:
            found = [one for one in store.candidates(question, Filter(), _DEEP) if rank(one)]
            best = sorted(found, key=lambda one: (-(rank(one) or 0.0), -one.created_at, one.id))
            return [source for one in best[:_DEEP] for source in sources[one.id]]

        return ask

    def without_times(question: str) -> list[str]:
        best = ranked(store.candidates(question, Filter(), _DEEP), None)
        return [source for _, one in best[:_DEEP] for source in sources[one.id]]

    return {
        "recollect": ask,
        "without phrases of time": without_times,
        "BM25 alone": ranked_by(lambda one: one.score),
        "vectors alone": ranked_by(lambda one: one.cosine),
    }


def by_grep(items: Items) -> Callable[[str], list[str]]:
    """What counts the question's words in each item, as a person with grep would."""
    held = [(source, set(re.findall(r"\w+", content.lower()))) for source, content, _ in items]

    def ask(question: str) -> list[str]:
        wanted = set(re.findall(r"\w+", question.lower())) - text.STOP_WORDS
        scored = sorted(((len(wanted & words), -at) for at, (_, words) in enumerate(held)), reverse=True)
        return [held[-at][0] for count, at in scored[:_DEEP] if count]

    return ask


def score(ranked: Sequence[str], evidence: Sequence[str]) -> tuple[float, float, float]:
    """(recall@5, recall@10, reciprocal rank)."""
    wanted = set(evidence)
    order = list(dict.fromkeys(ranked))
    first = next((rank for rank, source in enumerate(order, 1) if source in wanted), None)
    found = [len(wanted & set(order[:k])) / len(wanted) for k in (5, 10)]
    return found[0], found[1], 1.0 / first if first else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.locomo", description=__doc__)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    samples = json.loads((given.folder / "locomo10.json").read_text())
    errors = {item["question_id"]: item for item in json.loads((given.folder / "errors.json").read_text())}
    for granularity in ("turns", "observations"):
        scores: dict[tuple[str, str, str], list[tuple[float, float, float]]] = defaultdict(list)
        for number, sample in enumerate(samples):
            items = turns(sample["conversation"]) if granularity == "turns" else observations(sample)
            present = {source for source, _, _ in items}
            ways = {**by_recall(items), "grep": by_grep(items)}
            for asked, question in enumerate(sample["qa"]):
                original = _evidence(question.get("evidence", []))
                mended = errors.get(f"locomo_{number}_qa{asked}", {}).get("correct_evidence")
                for key, evidence in (("original", original), ("corrected", _evidence(mended) if mended else original)):
                    if not evidence or (granularity == "observations" and not present & set(evidence)):
                        continue
                    for way, ask in ways.items():
                        one = score(ask(question["question"]), evidence)
                        for category in (_CATEGORIES[question["category"]], "all"):
                            scores[key, way, category].append(one)
        _print(granularity, scores)
    return 0


def _evidence(said: Sequence[str]) -> list[str]:
    return [f"D{a}:{int(b)}" for one in said for a, b in re.findall(r"D(\d+):(\d+)", str(one))]


def _print(granularity: str, scores: dict[tuple[str, str, str], list[tuple[float, float, float]]]) -> None:
    print(
        f"### By {granularity}\n\n| key | way | questions | n | recall@5 | recall@10 | MRR |\n|---|---|---|---|---|---|---|"
    )
    for key in ("original", "corrected"):
        for way in dict.fromkeys(way for _, way, _ in scores):
            for category in (*_CATEGORIES.values(), "all"):
                found = scores.get((key, way, category), [])
                if found and (category == "all" or key == "original"):
                    means = (sum(one[part] for one in found) / len(found) for part in range(3))
                    print(
                        f"| {key} | {way} | {category} | {len(found)} | "
                        + " | ".join(f"{mean:.3f}" for mean in means)
                        + " |"
                    )
    print()


if __name__ == "__main__":
    sys.exit(main())
