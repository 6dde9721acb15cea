"""`python -m benchmarks.retrieval SOURCES QUESTIONS…`: index, ask, score, print tables. Everything goes through `Workspace`.

SOURCES holds a work tree with its history per repository (`SOURCES/<name>`), each QUESTIONS a folder with `manifest.json` (name,
root, language) and `queries.jsonl` (id, repo, query, category, targets with `files`). NDCG@10: each target has gain 1; averages are
means over repositories.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.retrieval import functions
from benchmarks.retrieval.scoring import OneHome, Place, Question, Scores, ask, load, ndcg, quantiles, ranks
from recollect.search import rank, score
from recollect.workspace import Workspace

_DEFINITIONS: Final = (
    "definition",
    "definition_in_its_file",
    "constructor",
    "definition_named",
    "definition_named_qualified",
)
_RANKING: Final = (
    "path",
    "coherence",
    "coverage",
    "breadth",
    "size",
    "penalties",
    "phrase",
    "path_given",
    "line_given",
)
_NOTHING: Final = replace(
    rank.WEIGHTS, lexical=1.0, **dict.fromkeys(("dense", *_DEFINITIONS, *_RANKING, "history"), 0.0)
)
_STEPS: Final = (  # each adds to the one above
    ("body", ()),
    ("+ path", ("in path",)),
    ("+ symbol", _DEFINITIONS),
    ("+ ranking", _RANKING),
    ("+ history", ("history",)),
    ("+ vectors = all", ("dense", "lexical")),
)


@contextmanager
def _weighing(weights: rank.Weights, *, in_path: bool) -> Iterator[None]:
    before = rank.WEIGHTS, score.STEM_WEIGHT, score.FOLDER_WEIGHT
    rank.WEIGHTS = weights
    if not in_path:
        score.STEM_WEIGHT = score.FOLDER_WEIGHT = 0.0  # type: ignore[misc]
    try:
        yield
    finally:
        rank.WEIGHTS, score.STEM_WEIGHT, score.FOLDER_WEIGHT = before  # type: ignore[misc]


def _sync(workspace: Workspace, places: Sequence[Place]) -> None:
    for place in places:
        if not place.root.is_dir():
            print(f"no sources of {place.name}: its questions count as 0", file=sys.stderr)
        elif (result := workspace.sync(place.root)).status != "completed":
            print(f"{place.name}: {result.status} {result.errors[:2]}", file=sys.stderr)


def table(workspace: Workspace, places: Sequence[Place], questions: Sequence[Question], out: Path | None) -> None:
    """By category and language."""
    scores, by_file = Scores(), Scores()
    times: list[float] = []
    of = {place.name: place for place in places}
    lines = []
    for question in questions:
        place = of[question.repository]
        ranked, seconds = ask(workspace, place, question)
        times.append(seconds)
        lines.append(json.dumps({"id": question.id, "ranked": [{**entry, "text": None} for entry in ranked]}))
        groups = ("all", question.category, place.language)
        scores.add(place.name, groups, ndcg(ranked, question.targets, lines=True))
        by_file.add(place.name, groups, ndcg(ranked, question.targets, lines=False))
    if out is not None:
        out.write_text("\n".join(lines) + "\n")
    print("| | NDCG@10 | by file alone | repositories | questions |\n|---|---|---|---|---|")
    for group in scores.of:
        print(
            f"| {group} | {scores.mean(group):.3f} | {by_file.mean(group):.3f} | {' | '.join(map(str, scores.count(group)))} |"
        )
    print(f"\nA question took {quantiles(times)}.\n")


def ablation(home: Path, places: Sequence[Place], questions: Sequence[Question]) -> None:
    """What each part brings, added one after the other; and what is lost where one is left out."""
    of = {place.name: place for place in places}

    def measured(weights: rank.Weights, *, in_path: bool = True) -> str:
        with _weighing(weights, in_path=in_path), Workspace(home) as workspace:
            scores = Scores()
            for question in questions:
                place = of[question.repository]
                ranked, _ = ask(workspace, place, question)
                scores.add(place.name, ("all", question.category), ndcg(ranked, question.targets, lines=True))
        return " | ".join(f"{scores.mean(group):.3f}" for group in ("all", *sorted(set(scores.of) - {"all"})))

    groups = sorted({question.category for question in questions})
    print(f"| | all | {' | '.join(groups)} |\n|---|---|{'---|' * len(groups)}")
    weights, in_path = _NOTHING, False
    for name, added in _STEPS:
        in_path |= "in path" in added
        weights = replace(weights, **{part: getattr(rank.WEIGHTS, part) for part in added if part != "in path"})
        print(f"| {name} | {measured(weights, in_path=in_path)} |", flush=True)
    for name, parts in (
        ("all but the body", ("lexical",)),
        ("all but definitions", _DEFINITIONS),
        *(
            (f"all but {part}", (part,))
            for part in ("path", "coherence", "coverage", "breadth", "history", "size", "penalties")
        ),
    ):
        print(f"| {name} | {measured(replace(rank.WEIGHTS, **dict.fromkeys(parts, 0.0)))} |", flush=True)
    print()


def in_one_home(
    workspace: Workspace, places: Sequence[Place], questions: Sequence[Question]
) -> tuple[Scores, Scores, list[float], int]:
    """All repositories searched at once: (NDCG, whether the first hit is in the right one, seconds, repositories)."""
    home = OneHome(workspace, places)
    scores, first = Scores(), Scores()
    times: list[float] = []
    for question in questions:
        ranked, seconds = home.ask(question)
        times.append(seconds)
        scores.add(question.repository, ("all",), ndcg(ranked, question.targets, lines=False))
        first.add(question.repository, ("all",), float(bool(ranked and ranked[0]["path"])))
    return scores, first, times, home.repositories


def one_home(workspace: Workspace, places: Sequence[Place], questions: Sequence[Question]) -> None:
    scores, first, times, many = in_one_home(workspace, places, questions)
    print(
        f"All {many} repositories at once, none named: NDCG@10 {scores.mean():.3f}, the first hit in the right one for"
        f" {first.mean():.0%}; {quantiles(times)}.\n"
    )


def ablation_in_one_home(home: Path, places: Sequence[Place], questions: Sequence[Question]) -> None:
    """What each part that counts among several repositories brings: what is lost without it."""
    print("| in one home | NDCG@10 | first hit in the right repository |\n|---|---|---|")
    for name, left_out in (
        ("all", {}),
        ("all but how much a repository speaks of what is asked", {"repository": 0.0}),
        ("all but more for the best file of each", {"first": 0.0}),
        ("all but the higher weight of coverage", {"coverage_of_several": rank.WEIGHTS.coverage}),
        ("all but the project that the question names", {"project": 0.0}),
    ):
        with _weighing(replace(rank.WEIGHTS, **left_out), in_path=True), Workspace(home) as workspace:
            scores, first, *_ = in_one_home(workspace, places, questions)
        print(f"| {name} | {scores.mean():.3f} | {first.mean():.1%} |", flush=True)
    print()


def tokens(workspace: Workspace, places: Sequence[Place], questions: Sequence[Question]) -> None:
    """What an agent reads before it has a file that answers: snippets as printed, and whole chunks for comparison."""
    try:
        import tiktoken

        encoding = tiktoken.get_encoding("cl100k_base")
        count = lambda said: len(encoding.encode(said, disallowed_special=()))  # noqa: E731
    except Exception as error:
        print(f"(tokens counted as a quarter of the characters: {error})")
        count = lambda said: -(-len(said) // 4)  # noqa: E731
    of = {place.name: place for place in places}
    first: list[int] = []
    within: list[float] = []
    never = 0
    for question in questions:
        ranked, _ = ask(workspace, of[question.repository], question, limit=50)
        costs = [count(f"{entry['path']}:{entry['start_line']}\n{entry['text']}") for entry in ranked]
        found = ranks(ranked, question.targets, lines=True)
        best = min((place for place in found if place), default=0)
        first.append(sum(costs[:best]) if best else 32_000)
        never += not best
        within.append(sum(bool(place) and sum(costs[:place]) <= 2_000 for place in found) / len(found))
    mean = sum(first) / len(first)
    print(
        f"Tokens until the first relevant file: {mean:.0f} expected (median {sorted(first)[len(first) // 2]}; {never} questions"
        f" never, 32,000 each); recall within 2,000 tokens {sum(within) / len(within):.3f}.\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("questions", type=Path, nargs="+")
    parser.add_argument(
        "--out", type=Path, help="write the ranked lists of the first questions here, one JSON object a line"
    )
    parser.add_argument("--ablation", action="store_true", help="what each part brings")
    parser.add_argument("--one-home", action="store_true", help="also with all repositories searched at once")
    parser.add_argument("--tokens", action="store_true", help="also what an agent reads until it has what it needs")
    parser.add_argument(
        "--functions", action="store_true", help="also documentation → its own function, in sources without it"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="retrieval-") as folder:
        home = Path(folder) / "home"
        for number, path in enumerate(given.questions):
            places, questions = load(path, given.sources)
            with Workspace(home) as workspace:
                _sync(workspace, places)
                print(f"## {path.name}\n")
                table(workspace, places, questions, given.out if number == 0 else None)
                if given.one_home:
                    one_home(workspace, places, questions)
                if given.tokens:
                    tokens(workspace, places, questions)
            if given.ablation:
                ablation(home, places, questions)
                if given.one_home:
                    ablation_in_one_home(home, places, questions)
        if given.functions:
            functions.measure(Path(folder), load(given.questions[0], given.sources)[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
