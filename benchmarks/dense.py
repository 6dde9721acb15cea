"""`python -m benchmarks.dense SOURCES QUESTIONS`: is what the sign bits and int8 vectors find what a brute-force search would?

For each question all chunks' vectors are made again in floating point, never rounded, and multiplied with the question's; the ten best are
compared with the ten best of the product's way (candidates by sign bits, rescored in int8). On the way it prints how fast terms are counted
and vectors made.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.scoring import load
from recollect import native, text
from recollect.index import embed, terms
from recollect.index.snapshot import Snapshot
from recollect.search import score
from recollect.workspace import Workspace

K = 10


def exact(snapshot: Snapshot) -> tuple[dict[int, NDArray[np.float32]], int, float]:
    """(chunk id → unit vector in floating point, bytes of the files, CPU seconds to count and embed them)."""
    found: dict[int, NDArray[np.float32]] = {}
    size, seconds = 0, 0.0
    for info in snapshot.files.values():
        rows = snapshot.rows(
            "SELECT id, start_line, end_line, kind, symbol FROM named_chunks WHERE file_id = ? ORDER BY id", (info.id,)
        )
        if rows:
            content = snapshot.text(info.id)
            lines, chunks = content.split("\n"), [row[1:] for row in rows]
            began = time.thread_time()
            body = terms.count_terms(terms.chunk_texts(lines, chunks)).body
            embed.chunk_vectors(body, embed.model().path(info.path))
            seconds += time.thread_time() - began
            size += info.size
            path = np.float32(embed.PATH_WEIGHT) * embed.model().path(info.path)
            unit = embed.unit(body.astype(np.float32) + path)
            found |= {row[0]: vector for row, vector in zip(rows, unit, strict=True)}
    return found, size, seconds


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dense", description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("questions", type=Path)
    given = parser.parse_args()
    places, questions = load(given.questions, given.sources)
    shares, same, ours, theirs, chunks = [], [], [], [], []
    size, seconds = 0, 0.0
    embed.model()
    with tempfile.TemporaryDirectory() as home:
        with Workspace(home) as workspace:
            for place in places:
                workspace.sync(place.root)
            ids = {row.path: row.id for row in workspace._catalog.repositories()}
        for place in places:
            snapshot = Snapshot.open(Path(home) / "repositories" / ids[place.root.resolve()])
            vectors, more, took = exact(snapshot)
            size, seconds = size + more, seconds + took
            known = np.array(sorted(vectors))
            matrix = np.stack([vectors[i] for i in known.tolist()])
            parts = score.parts_of([snapshot], [None])
            chunk_of = np.concatenate([part.view.segment.chunk_id for part in parts])
            allowed = np.concatenate([part.allowed for part in parts])
            chunks.append(len(known))
            for question in (item for item in questions if item.repository == place.name):
                words = {word: math.sqrt(n) for word, n in text.words(question.text).items()}
                asked = embed.model().query(words)
                began = time.perf_counter()
                best = known[np.argsort(-(matrix @ asked), kind="stable")[:K]]
                middle = time.perf_counter()
                stored = embed.quantise(asked)
                rows = score._candidates(np.zeros(0, np.int64), stored, parts, allowed, ())
                products = score.products_of(stored, parts, rows)
                found = chunk_of[rows[np.argsort(-products, kind="stable")[:K]]]
                ours.append(time.perf_counter() - middle)
                theirs.append(middle - began)
                shares.append(len(set(best.tolist()) & set(found.tolist())) / len(best))
                same.append(float(best[0] == found[0]))
            snapshot.close()
    print(f"{len(shares)} questions, {sum(chunks):,} chunks (largest repository {max(chunks):,}):")
    print(f"{statistics.mean(shares):.4f} of the {K} best are the same; the best one in {statistics.mean(same):.4f}")
    print(
        f"median {statistics.median(ours) * 1e3:.2f} ms, brute force in floating point {statistics.median(theirs) * 1e3:.2f} ms"
    )
    compiled = "compiled" if native.library else "without the compiled parts"
    print(f"terms and vectors of {size / 1e6:.0f} MB: {size / 1e6 / seconds:.0f} MB/s on one core, {compiled}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
