"""Documentation → its own function: sources without their comments are indexed, and asked with what the comments said."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from training.pairs import documented

from benchmarks.retrieval.scoring import Place, Scores
from recollect import languages
from recollect.index import parse, skip
from recollect.search import rank
from recollect.workspace import Workspace

_QUESTIONS: Final = 60  # of a repository
_HITS: Final = 50


def _sources(place: Place) -> Iterator[tuple[str, bytes]]:
    for path in sorted(place.root.rglob("*")):
        name = path.relative_to(place.root).as_posix()
        if ".git" in path.parts or not path.is_file() or skip.skip_by_name(name) or path.stat().st_size > 500_000:
            continue
        data = path.read_bytes()
        if languages.detect(name).content == "code" and not skip.skip_by_content(name, data):
            yield name, data


def bare(place: Place, target: Path) -> list[tuple[str, str, int]]:
    """Write the sources without documentation to `target`; (question, path, line of what it documents)."""
    found = []
    for name, data in _sources(place):
        parsed = parse.parse(data, name)
        lines = parsed.text.split("\n")
        gone: set[int] = set()
        asked = []
        for symbol, query, said in documented(parsed, lines):
            gone |= set(said)
            asked.append((query, symbol.start_line - 1))
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(line for number, line in enumerate(lines) if number not in gone), "utf-8", "replace")
        found += [(query, name, line - sum(number < line for number in gone) + 1) for query, line in asked]
    unique = {query: (query, name, line) for query, name, line in found}
    chosen = sorted(unique.values())
    return random.Random(place.name).sample(chosen, min(_QUESTIONS, len(chosen)))


def measure(folder: Path, places: Sequence[Place]) -> None:
    """Mean reciprocal rank of the chunk that holds the function, among 50: complete, and by words alone."""
    complete = rank.WEIGHTS
    everything, words = Scores(), Scores()
    with Workspace(folder / "functions") as workspace:
        for place in places:
            target = folder / "bare" / place.name
            questions = bare(place, target) if place.root.is_dir() else []
            if not questions:
                continue
            workspace.sync(target)
            for scores, weights in ((everything, complete), (words, replace(complete, lexical=1.0, dense=0.0))):
                rank.WEIGHTS = weights
                for query, path, line in questions:
                    hits = workspace.search(query, str(target), limit=_HITS, chunks=True, content="all").hits
                    at = (
                        i
                        for i, hit in enumerate(hits, 1)
                        if hit.path == path and hit.start_line <= line <= hit.end_line
                    )
                    scores.add(place.name, ("all",), 1.0 / next(at, 1_000_000))
            rank.WEIGHTS = complete
            workspace.forget(str(target))
            shutil.rmtree(target)
    n = everything.count()
    print(
        f"Documentation → its own function ({n[1]} questions, {n[0]} repositories, documentation taken out of the sources):"
        f" MRR {everything.mean():.3f}; without vectors {words.mean():.3f}.\n"
    )
