"""Law: an index brought up to date step by step equals one made from scratch: tree, chunks, symbols, order of hits."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recollect.index import overlay, segment
from recollect.index.snapshot import Snapshot
from recollect.index.writer import IndexWriter
from recollect.jobs.pool import ParsePool
from recollect.jobs.synchronise import Control, Options, synchronise
from recollect.search.filters import Filters
from recollect.search.find import find
from recollect.search.hits import Shape, Source
from recollect.search.query import parse

NAMES = [
    "app.py",
    "cart.py",
    "util.ts",
    "sub/model.py",
    "sub/deep/view.go",
    "docs/a.md",
    "tests/test_app.py",
    "x.log",
    "lib/b.rs",
    "big.py",
]
WORDS = ["cart", "price", "session", "render", "parse", "token", "user", "cache", "http", "queue", "retry", "sum"]
QUERIES = [
    "cart price",
    "session token",
    "renderUser",
    "parse http queue",
    "cache",
    "where is retry handled",
    '"user sum"',
    "Cart.price",
]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParsePool]:
    made = ParsePool(tmp_path_factory.mktemp("cache") / "cache.db", 1)
    yield made
    made.close()


def content(name: str, choice: random.Random) -> str:
    parts = []
    for _ in range(choice.randint(0, 14)):
        a, b, c = (choice.choice(WORDS) for _ in range(3))
        if name.endswith(".py"):
            parts.append(f"class {a.title()}{b.title()}:\n    def {c}(self, {a}):\n        return {b}_{c}({a})\n\n")
        elif name.endswith(".go"):
            parts.append(f"func {a.title()}{b.title()}() {{\n\t{c}()\n}}\n")
        else:
            parts.append(f"{a} {b} {c}\n\n")
    return "".join(parts)


def edit(root: Path, choice: random.Random) -> set[str]:
    """Change something; returns the names that a watcher would tell of."""
    path = root / choice.choice(NAMES)
    touched = {path}
    action = choice.random()
    if action < 0.15 and path.exists():
        path.unlink()
    elif action < 0.25:
        folder = root / choice.choice(["sub", "docs", "lib"])
        touched = {folder}
        if folder.exists():
            shutil.rmtree(folder)
    elif action < 0.4 and path.exists():
        target = root / choice.choice(NAMES)
        touched |= {target, target.parent} - {root}
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    else:
        touched |= {path.parent} - {root}
        path.parent.mkdir(parents=True, exist_ok=True)
        again = choice.random() < 0.5  # one of few, so that a file gets back what it held before
        path.write_text(content(path.name, random.Random(f"{path.name} {choice.randrange(3)}") if again else choice))
    return {str(one.relative_to(root)) for one in touched}


def edits(root: Path, choice: random.Random, most: int) -> Options:
    """Change something a few times; returns how to sync it: looking at everything, or as a watcher has it."""
    touched: set[str] = set()
    for _ in range(choice.randint(1, most)):
        touched |= edit(root, choice)
    return Options(dirty=tuple(sorted(touched))) if choice.random() < 0.5 else Options()


def state(folder: Path, root: Path) -> dict[str, Any]:
    snapshot = Snapshot.open(folder)
    try:
        paths = {info.id: info.path for info in snapshot.files.values()}
        chunks = "SELECT file_id, start_line, end_line, kind, symbol FROM named_chunks"
        symbols = "SELECT file_id, name, scope, kind, start_line, end_line, signature FROM symbols"
        source = Source("r", root, snapshot)
        shape = Shape(limit=20, explain=True)
        return {
            "root": snapshot.root_hash,
            "files": sorted((info.path, info.hash, info.status, info.reason) for info in snapshot.files.values()),
            "chunks": sorted((paths[row[0]], *row[1:]) for row in snapshot.rows(chunks)),
            "symbols": sorted((paths[row[0]], *row[1:]) for row in snapshot.rows(symbols)),
            "hits": [
                [hit.to_dict() for hit in find(parse(query), [source], Filters(content="all"), shape)]
                for query in QUERIES
            ],
        }
    finally:
        snapshot.close()


@pytest.mark.parametrize("seed", range(int(os.environ.get("LAW_SEEDS", "12"))))
def test_an_incremental_index_equals_one_from_scratch(seed: int, tmp_path: Path, pool: ParsePool) -> None:
    choice = random.Random(seed)
    root = tmp_path / "root"
    root.mkdir()
    if seed % 2:
        (root / ".gitignore").write_text("*.log\n")
    writer = IndexWriter(tmp_path / "incremental")
    for step in range(8):
        synchronise(writer, root, pool, edits(root, choice, 6), Control())
        if choice.random() < 0.4:
            writer.compact(force=choice.random() < 0.5)
        if choice.random() < 0.3:
            writer.close()
            writer = IndexWriter(tmp_path / "incremental")
        scratch = IndexWriter(tmp_path / f"scratch{step}")
        synchronise(scratch, root, pool, Options(full=bool(step % 2)), Control())
        assert state(tmp_path / "incremental", root) == state(tmp_path / f"scratch{step}", root)
        scratch.close()
    writer.close()


@pytest.mark.parametrize("seed", range(int(os.environ.get("LAW_SEEDS", "6"))))
def test_a_reader_that_follows_commits_sees_what_one_sees_that_opens_afresh(
    seed: int, tmp_path: Path, pool: ParsePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = random.Random(f"reader {seed}")
    monkeypatch.setattr(segment, "_PENDING", (0, 8, 2_000)[seed % 3])  # as in large indexes, and between
    monkeypatch.setattr(overlay, "_SHARED", (0, 4)[seed % 2])
    root = tmp_path / "root"
    root.mkdir()
    writer = IndexWriter(tmp_path / "index")
    edit(root, choice)
    synchronise(writer, root, pool, Options(), Control())
    snapshot = Snapshot.open(tmp_path / "index")
    for _ in range(12):
        synchronise(writer, root, pool, edits(root, choice, 4), Control())
        if choice.random() < 0.3:
            writer.compact(force=True)
        following, fresh = snapshot.advance(), Snapshot.open(tmp_path / "index")
        assert (following.generation, following.root_hash, following.n_chunks) == (
            fresh.generation,
            fresh.root_hash,
            fresh.n_chunks,
        )
        assert {i: info.path for i, info in following.files.items()} == {
            i: info.path for i, info in fresh.files.items()
        }
        assert (following.vector_sum == fresh.vector_sum).all()
        directions = np.random.default_rng(0).integers(-127, 128, (4, 256), np.int8)
        assert [following.moment.along(one) for one in directions] == [fresh.moment.along(one) for one in directions]
        asked = QUERIES if choice.random() < 0.5 else []  # some generations pass without a question
        for query, wanted in itertools.product(asked, ("code", "docs", "all")):
            one, other = (
                find(parse(query), [Source("r", root, each)], Filters(content=wanted), Shape())
                for each in (following, fresh)
            )
            assert one == other
        fresh.close()
        if following is not snapshot:
            snapshot.close()
            snapshot = following
    snapshot.close()
    writer.close()
