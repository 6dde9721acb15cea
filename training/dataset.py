"""`python -m training.dataset WORK [--words N]`: WORK/pairs → WORK/vocabulary.txt and WORK/dataset.npz.

The vocabulary: parts of identifiers that at least two repositories have, those of most repositories first. The dataset: for each
pair the rows and counts of its question, its answer and its path, as three compressed sparse arrays.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from recollect import text
from recollect.index.embed import FOLDER_WEIGHT, Vocabulary
from training.pairs import CAPS, Pair

KINDS: Final = tuple(CAPS)
WORDS: Final = 16_384
_LONGEST_WORD: Final = 20


def read(path: Path) -> Iterator[Pair]:
    """The pairs of a repository."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield Pair(*json.loads(line))


def _count(path: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for pair in read(path):
        counts.update(text.words(f"{pair.query}\n{pair.answer}").keys())
    return counts


def choose(counted: list[Counter[str]], size: int) -> list[tuple[str, int]]:
    """(word, number of texts that have it) of the vocabulary."""
    repositories: Counter[str] = Counter()
    texts: Counter[str] = Counter()
    for counts in counted:
        repositories.update(counts.keys())
        texts.update(counts)
    words = [word for word, n in repositories.items() if n >= 2 and len(word) <= _LONGEST_WORD and word.isascii()]
    words.sort(key=lambda word: (-repositories[word], -texts[word], word))
    return [(word, texts[word]) for word in words[:size]]


Row = tuple[list[int], list[float]]


def _rows(vocabulary: Vocabulary, counts: dict[str, int]) -> Row:
    found: dict[int, float] = {}
    for word, count in counts.items():
        for piece in vocabulary.pieces(word):
            found[piece] = found.get(piece, 0.0) + count
    return list(found), list(found.values())


def _path_rows(vocabulary: Vocabulary, path: str) -> Row:
    found: dict[int, float] = {}
    stem, folders = text.path_words(path) if path else ((), ())
    for words, weight in ((stem, 1.0), (folders, FOLDER_WEIGHT)):
        for word in words:
            for piece in vocabulary.pieces(word):
                found[piece] = found.get(piece, 0.0) + weight
    return list(found), list(found.values())


def _encode(
    vocabulary: Vocabulary, path: Path
) -> tuple[list[Row], list[Row], list[Row], list[int], list[str], list[bool]]:
    queries, answers, paths, kinds, files, kept = [], [], [], [], [], []
    for pair in read(path):
        query, answer = (_rows(vocabulary, text.words(said)) for said in (pair.query, pair.answer))
        kept.append(len(query[0]) >= 2 and len(answer[0]) >= 4)
        if kept[-1]:
            queries.append(query)
            answers.append(answer)
            paths.append(_path_rows(vocabulary, pair.path))
            kinds.append(KINDS.index(pair.kind))
            files.append(pair.path)
    return queries, answers, paths, kinds, files, kept


def _sparse(name: str, rows: list[Row]) -> dict[str, Any]:
    sizes = [len(ids) for ids, _ in rows]
    return {
        f"{name}_start": np.concatenate(([0], np.cumsum(sizes))),
        f"{name}_id": np.concatenate([np.array(ids, np.int32) for ids, _ in rows]),
        f"{name}_count": np.concatenate([np.array(counts, np.float32) for _, counts in rows]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.dataset", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--words", type=int, default=WORDS)
    given = parser.parse_args()
    files = sorted((given.work / "pairs").glob("*.jsonl"))
    with multiprocessing.Pool(2) as pool:
        chosen = choose(pool.map(_count, files, chunksize=1), given.words)
    lines = "".join(f"{word} {count}\n" for word, count in chosen)
    (given.work / "vocabulary.txt").write_text(lines, "utf-8")
    print(f"{len(chosen)} words from {len(files)} repositories", flush=True)
    vocabulary = Vocabulary([word for word, _ in chosen], [count for _, count in chosen])
    queries: list[Row] = []
    answers: list[Row] = []
    paths: list[Row] = []
    kinds: list[int] = []
    repository: list[int] = []
    file: list[int] = []
    kept: list[bool] = []
    numbers: dict[tuple[int, str], int] = {}
    with multiprocessing.Pool(2) as pool:
        encoded = pool.imap(functools.partial(_encode, vocabulary), files, chunksize=1)
        for number, (q, a, p, k, names, flags) in enumerate(encoded):
            queries += q
            answers += a
            paths += p
            kinds += k
            kept += flags
            repository += [number] * len(k)
            # Pairs without a path have no neighbours: each is a file of its own.
            file += [
                numbers.setdefault((number, name or f"\0{len(file) + i}"), len(numbers)) for i, name in enumerate(names)
            ]
    np.savez(
        given.work / "dataset.npz",
        **_sparse("query", queries),
        **_sparse("answer", answers),
        **_sparse("path", paths),
        kind=np.array(kinds, np.int8),
        repository=np.array(repository, np.int32),
        kept=np.array(kept),
        origin=np.array(file, np.int64),
        names=np.array([path.stem for path in files]),
    )
    print(f"{len(kinds)} pairs: {dict(Counter(KINDS[kind] for kind in kinds))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
