"""`python -m training.ranker SOURCES QUESTIONS…`: search for the weights of the ranking, cross-validated over repositories.

Coordinate ascent on the mean NDCG@10 of the question sets: one weight at a time is tried at some values, the best is kept, until none
helps. What is printed for a fold of repositories was found without them. SOURCES and QUESTIONS as for `benchmarks.retrieval`. The
weights that ship stand in `recollect.search.rank.Weights`; without any of them the ranking is the fused score alone.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks.retrieval.scoring import OneHome, Place, Question, ask, load, ndcg

from recollect.search import rank
from recollect.workspace import Workspace

_VALUES: Final[Mapping[str, tuple[float, ...]]] = {
    "dense": (0.6, 0.7, 0.75, 0.8),  # the rest is lexical
    "path": (0.2, 0.3, 0.4, 0.5),
    "coherence": (0.1, 0.2, 0.3),
    "coverage": (0.0, 0.1, 0.2, 0.3),
    "breadth": (0.2, 0.3, 0.4, 0.5),
    "history": (0.1, 0.2, 0.25, 0.3, 0.4),
    "size": (0.0, 0.1, 0.15, 0.2, 0.3),
    "definition_in_its_file": (1.1, 1.25, 1.5),
    "definition_named": (0.3, 0.5, 0.6, 0.7),
    "symbol_path": (0.3, 0.5, 0.8),
}
_OF_SEVERAL: Final[Mapping[str, tuple[float, ...]]] = {  # they count where several repositories are searched
    "coverage_of_several": (0.3, 0.4, 0.5, 0.6),
    "project": (0.2, 0.4, 0.6),
    "repository": (0.0, 0.7, 0.85, 1.0, 1.15, 1.3),
    "first": (0.0, 0.15, 0.2, 0.25, 0.3),
}
_FOLDS: Final = 5
_LEAST: Final = 0.0003  # gain that is worth a change
Scores = dict[str, dict[str, float]]  # question set → repository → mean


class Trials:
    """Measured scores of weights, each measured once. `one_home`: all repositories of a set are searched at once."""

    def __init__(self, workspace: Workspace, sources: Path, folders: list[Path], *, one_home: bool) -> None:
        self._workspace = workspace
        self._sets = [(folder.name, *load(folder, sources)) for folder in folders]
        self._one_home = one_home
        self._known: dict[rank.Weights, Scores] = {}
        for _, places, _ in self._sets:
            for place in places:
                if place.root.is_dir():
                    workspace.sync(place.root)

    def of(self, weights: rank.Weights) -> Scores:
        found = self._known.get(weights)
        if found is None:
            rank.WEIGHTS = weights
            found = self._known[weights] = {}
            for name, places, questions in self._sets:
                ask = OneHome(self._workspace, places).ask if self._one_home else self._alone(places)
                by_repository: dict[str, list[float]] = defaultdict(list)
                for question in questions:
                    gain = ndcg(ask(question)[0], question.targets, lines=not self._one_home)
                    by_repository[question.repository].append(gain)
                found[name] = {repository: statistics.mean(values) for repository, values in by_repository.items()}
        return found

    def _alone(self, places: Sequence[Place]) -> Callable[[Question], tuple[list[dict[str, Any]], float]]:
        of = {place.name: place for place in places}
        return lambda question: ask(self._workspace, of[question.repository], question)

    def mean(self, weights: rank.Weights, repositories: Collection[str]) -> float:
        """Over the sets, of the means over some repositories."""
        means = []
        for of in self.of(weights).values():
            values = [value for name, value in of.items() if name in repositories]
            if values:
                means.append(statistics.mean(values))
        return statistics.mean(means)


def changed(weights: rank.Weights, name: str, value: float) -> rank.Weights:
    return (
        replace(weights, dense=value, lexical=round(1 - value, 3))
        if name == "dense"
        else replace(weights, **{name: value})
    )


def ascend(
    trials: Trials, values_of: Mapping[str, tuple[float, ...]], repositories: Collection[str], weights: rank.Weights
) -> rank.Weights:
    best = trials.mean(weights, repositories)
    better = True
    while better:
        better = False
        for name, values in values_of.items():
            for value in values:
                tried = changed(weights, name, value)
                score = trials.mean(tried, repositories)
                if score > best + _LEAST:
                    weights, best, better = tried, score, True
    return weights


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.ranker", description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("questions", type=Path, nargs="+")
    parser.add_argument(
        "--one-home",
        action="store_true",
        help="weigh what counts where several repositories are searched, and nothing else",
    )
    given = parser.parse_args()
    values = _OF_SEVERAL if given.one_home else _VALUES
    with tempfile.TemporaryDirectory() as home, Workspace(home) as workspace:
        trials = Trials(workspace, given.sources, given.questions, one_home=given.one_home)
        begun = rank.WEIGHTS
        everything = sorted({name for of in trials.of(begun).values() for name in of})
        found = ascend(trials, values, everything, begun)
        differing = {
            name: getattr(found, name)
            for name in rank.Weights.__slots__
            if getattr(found, name) != getattr(begun, name)
        }
        print(
            f"as they are {trials.mean(begun, everything):.4f}, found {trials.mean(found, everything):.4f}: {differing}",
            flush=True,
        )
        shuffled = random.Random(0).sample(everything, len(everything))
        unseen: dict[str, dict[str, float]] = defaultdict(dict)
        for number in range(_FOLDS):
            held = set(shuffled[number::_FOLDS])
            weights = ascend(trials, values, [name for name in everything if name not in held], begun)
            for name, of in trials.of(weights).items():
                unseen[name] |= {repository: value for repository, value in of.items() if repository in held}
        for name, of in unseen.items():
            before = statistics.mean(trials.of(begun)[name].values())
            print(f"{name}: {statistics.mean(of.values()):.4f} cross-validated; {before:.4f} as they are")
    return 0


if __name__ == "__main__":
    sys.exit(main())
