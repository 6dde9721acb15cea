"""`python -m training.embedding WORK OUT.npy`: train the rows of the static embedding on WORK/dataset.npz. Needs torch and scipy.

Symmetric InfoNCE (van den Oord et al., 2018) over batches of groups from one repository each, so that the wrong answers are near
ones. A text's vector is a weighted sum of its words' rows, as in `recollect.index.embed`; the length of a row is the word's weight.
Repositories of `HELD_BACK` are never trained on: what they say of a model is said of unseen code.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.sparse as sparse
import torch
import torch.nn.functional as F

from recollect.index.embed import DIMENSIONS, PATH_WEIGHT
from training.dataset import KINDS

HELD_BACK: Final = (
    "caddyserver+caddy actix+actix-web celery+celery onevcat+Kingfisher mockito+mockito libevent+libevent jekyll+jekyll square+okhttp"
).split()
_KIND_WEIGHT: Final = {"doc": 1.0, "file": 2.0, "md": 1.0, "section": 1.0, "name": 0.5, "stem": 0.5, "commit": 0.6}
_SMOOTH: Final = 1e-3  # of the weight that rare words begin with: s / (s + p)


class Sparse:
    """Rows of (id, count)."""

    def __init__(self, data: Any, name: str) -> None:
        self.start, self.id, self.count = (data[f"{name}_{part}"] for part in ("start", "id", "count"))

    def of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(position in `rows`, id, count) of all entries of some rows."""
        sizes = self.start[rows + 1] - self.start[rows]
        before = np.cumsum(sizes) - sizes
        at = np.repeat(self.start[rows] - before, sizes) + np.arange(sizes.sum())
        return np.repeat(np.arange(len(rows)), sizes), self.id[at], self.count[at]


class _Bag(torch.autograd.Function):
    """Weighted sums of rows; the gradient by a sparse product over the rows that occur, which is far quicker on a CPU."""

    @staticmethod
    def forward(context: Any, table: torch.Tensor, row: Any, column: Any, weight: Any, n: int) -> torch.Tensor:
        used, inverse = np.unique(column, return_inverse=True)
        matrix = sparse.csr_matrix((weight, (row, inverse)), shape=(n, len(used)), dtype=np.float32)
        context.kept = (matrix, used, table.shape)
        return torch.from_numpy(matrix @ table.detach().numpy()[used])

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        matrix, used, shape = context.kept
        out = torch.zeros(shape)
        out[torch.from_numpy(used)] = torch.from_numpy(matrix.T.tocsr() @ np.ascontiguousarray(gradient.numpy()))
        return out, None, None, None, None


class Training:
    def __init__(self, work: Path, options: argparse.Namespace) -> None:
        data = np.load(work / "dataset.npz")
        self.options = options
        self.query, self.answer, self.path = (Sparse(data, name) for name in ("query", "answer", "path"))
        self.kind, self.repository, origin = data["kind"], data["repository"], data["origin"]
        self.size = len((work / "vocabulary.txt").read_text("utf-8").splitlines())
        names = data["names"].tolist()
        self.held = np.array([names.index(name) for name in HELD_BACK if name in names])
        self.random = np.random.default_rng(options.seed)
        torch.manual_seed(options.seed)
        self.table = torch.nn.Parameter(torch.from_numpy(self._beginning(work)))
        order = np.lexsort((np.arange(len(origin)), origin))
        same = origin[order][1:] == origin[order][:-1]
        self.beside = np.full((2, len(origin)), -1)  # another pair of the same file, before and after
        self.beside[0, order[:-1][same]] = order[1:][same]
        self.beside[1, order[1:][same]] = order[:-1][same]
        self.teacher = np.load(options.teacher) if options.teacher else None

    def _beginning(self, work: Path) -> np.ndarray:
        lines = (work / "vocabulary.txt").read_text("utf-8").splitlines()
        counts = np.array([int(line.split()[1]) for line in lines], np.float64)
        if self.options.begin:
            table = np.load(self.options.begin)["words"].astype(np.float32)
            table -= table.mean(0)
            _, _, axes = np.linalg.svd(table, full_matrices=False)
            table = table @ axes[:DIMENSIONS].T
        else:
            table = self.random.standard_normal((len(lines), DIMENSIONS)).astype(np.float32)
        table /= np.linalg.norm(table, axis=1, keepdims=True) + 1e-9
        share = counts / counts.sum()
        beginning: np.ndarray = (table * (_SMOOTH / (_SMOOTH + share))[:, None]).astype(np.float32)
        return beginning

    def bag(self, row: np.ndarray, column: np.ndarray, weight: np.ndarray, n: int) -> torch.Tensor:
        return _Bag.apply(self.table, row, column, weight.astype(np.float32), n)

    def _dropped(self, weight: np.ndarray) -> np.ndarray:
        return weight * (self.random.random(len(weight)) > self.options.drop) if torch.is_grad_enabled() else weight

    def queries(self, rows: np.ndarray) -> torch.Tensor:
        row, column, count = self.query.of(rows)
        return F.normalize(self.bag(row, column, self._dropped(np.sqrt(count)), len(rows)), dim=1)

    def answers(self, rows: np.ndarray, *, path: float | None = None) -> torch.Tensor:
        """`path`: the weight of path words in every answer; None: as in training, in some of them."""
        n = len(rows)
        parts = [self.answer.of(rows)]
        if path is None:
            for beside in self.beside:  # answers should look like chunks, which hold more than one definition
                chosen = np.flatnonzero((self.random.random(n) < self.options.beside) & (beside[rows] >= 0))
                for table in (self.answer, self.query) if len(chosen) else ():
                    row, column, count = table.of(beside[rows[chosen]])
                    parts.append((chosen[row], column, count))
        row, column, count = (np.concatenate(values) for values in zip(*parts, strict=True))
        key, inverse = np.unique(row.astype(np.int64) * self.size + column, return_inverse=True)
        weight = self._dropped(np.log1p(np.bincount(inverse, count)))
        vectors = self.bag(key // self.size, key % self.size, weight, n)
        with_path = (
            np.arange(n) if path is not None else np.flatnonzero(self.random.random(n) < self.options.path_chance)
        )
        row, column, count = self.path.of(rows[with_path])
        if len(row):
            vectors = vectors + self.bag(
                with_path[row], column, count * (self.options.path_weight if path is None else path), n
            )
        return F.normalize(vectors, dim=1)

    def batches(self) -> Iterator[np.ndarray]:
        weight = np.array([_KIND_WEIGHT[name] for name in KINDS])[self.kind]
        own = (
            np.flatnonzero(~np.isin(self.repository, self.held))
            if not self.options.everything
            else np.arange(len(self.kind))
        )
        while True:
            times = np.floor(weight[own] + self.random.random(len(own))).astype(np.int64)
            chosen = np.repeat(own, times)
            self.random.shuffle(chosen)
            chosen = chosen[np.argsort(self.repository[chosen], kind="stable")]
            groups = []
            for part in np.split(chosen, np.flatnonzero(np.diff(self.repository[chosen])) + 1):
                groups += [part[at : at + self.options.group] for at in range(0, len(part), self.options.group)]
            current: list[np.ndarray] = []
            for number in self.random.permutation(len(groups)):
                current.append(groups[number])
                if sum(map(len, current)) >= self.options.batch:
                    yield np.concatenate(current)
                    current = []

    def unseen(self) -> float:
        """Mean reciprocal rank of a definition among up to 2,500 of its repository, by its documentation, on unseen code."""
        found = []
        with torch.no_grad():
            for number in self.held:
                rows = np.flatnonzero((self.repository == number) & (self.kind == KINDS.index("doc")))
                rows = np.random.default_rng(0).permutation(rows)[:2500]
                if len(rows) > 50:
                    scores = self.queries(rows[:400]) @ self.answers(rows, path=1.0).T
                    own = scores.gather(1, torch.arange(len(scores))[:, None])
                    found.append(float((1.0 / (1 + (scores > own).sum(1))).mean()))
        return float(np.mean(found))

    def run(self) -> np.ndarray:
        options = self.options
        optimiser = torch.optim.Adam([self.table], lr=options.rate, betas=(0.9, 0.98), fused=True)
        batches, began, losses = self.batches(), time.monotonic(), []
        print(f"before: {self.unseen():.3f} on unseen code", flush=True)
        for step in range(1, options.steps + 1):
            decay = 0.5 * (1 + math.cos(math.pi * step / options.steps)) * 0.97 + 0.03
            for group in optimiser.param_groups:
                group["lr"] = options.rate * min(1.0, step / 100) * decay
            rows = next(batches)
            scores = self.queries(rows) @ self.answers(rows).T / options.temperature
            own = torch.arange(len(rows))
            loss = 0.5 * (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own))
            losses.append(loss.item())
            if self.teacher is not None:
                loss = loss + options.teach * self._lesson()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step % 200 == 0 or step == options.steps:
                said = f"loss {np.mean(losses[-200:]):.3f}, {self.unseen():.3f} on unseen code, {time.monotonic() - began:.0f} s"
                print(f"step {step}: {said}", flush=True)
        table: np.ndarray = self.table.detach().numpy()
        return table

    def _lesson(self) -> torch.Tensor:
        """How far cosines between questions are from the teacher's."""
        assert self.teacher is not None
        chosen = self.random.integers(0, len(self.teacher["rows"]), 512)
        mine = self.queries(self.teacher["rows"][chosen])
        theirs = torch.from_numpy(self.teacher["vectors"][chosen].astype(np.float32))
        return 100 * F.mse_loss(mine @ mine.T, theirs @ theirs.T)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.embedding", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--group", type=int, default=256, help="pairs of one repository in a batch")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--temperature", type=float, default=0.07)
    parser.add_argument("--drop", type=float, default=0.15, help="share of words left out of a text")
    parser.add_argument(
        "--beside", type=float, default=0.5, help="chance that a neighbour's text joins an answer, on each side"
    )
    parser.add_argument("--path-chance", type=float, default=0.4)
    parser.add_argument("--path-weight", type=float, default=PATH_WEIGHT - 1)
    parser.add_argument("--begin", type=Path, help="a teacher's vectors of the words, to begin from (training.teacher)")
    parser.add_argument("--teacher", type=Path, help="a teacher's vectors of questions (training.teacher)")
    parser.add_argument("--teach", type=float, default=1.0)
    parser.add_argument("--everything", action="store_true", help="train on the repositories held back, too")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(2)
    table = Training(given.work, given).run()
    np.save(given.out, table)
    given.out.with_suffix(".json").write_text(json.dumps({name: str(value) for name, value in vars(given).items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
