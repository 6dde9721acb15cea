"""What is compiled finds what its twin in Python finds."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recollect import native
from recollect.index import embed, terms
from recollect.index.terms import TermCounts
from recollect.search import score

pytestmark = pytest.mark.skipif(native.library is None, reason="there was no C compiler when Recollect was installed")

NAMES = st.text("aAbBzZ_$019é中Ⅷ\u0301 .(\n\ud800", max_size=60) | st.from_regex(
    r"[A-Za-z_$]{1,40}[0-9]{0,5}", fullmatch=True
)
CHUNKS = st.lists(st.lists(NAMES, max_size=8).map(" ".join), max_size=6)


def postings(found: TermCounts) -> list[dict[int, int]]:
    spans = zip(found.indptr[:-1].tolist(), found.indptr[1:].tolist(), strict=True)
    pairs = [list(zip(found.keys[a:b].tolist(), found.counts[a:b].tolist(), strict=True)) for a, b in spans]
    assert all(len(dict(each)) == len(each) for each in pairs)
    return [dict(each) for each in pairs]


@settings(max_examples=300, deadline=None)
@given(CHUNKS)
@example(["x" * 200, "x" * 201, "é" * 150, "é" * 201, "a" * 129 + "B" * 71, "_ $ __", "zz9 " * 70_000])
@example(["HTTPServer HTTPSERVER httpServer aB Ab AB AbC ABc A1b2C3 sha256 sha512 x123y", ""])
def test_terms_and_vectors_are_the_same(chunks: list[str]) -> None:
    assert native.library is not None
    ours, theirs = terms._Compiled(native.library), terms._Interned()
    for _ in range(2):  # then all identifiers are known
        found, expected = ours.count(chunks), theirs.count(chunks)
        assert postings(found) == postings(expected)
        assert found.lengths.tolist() == expected.lengths.tolist()
        path = embed.model().path("src/some_file.py")
        vectors = [embed.chunk_vectors(each.body, path).astype(int) for each in (found, expected)]
        assert np.abs(vectors[0] - vectors[1]).max(initial=0) <= 1  # the order of their sums differs
    assert len(ours) <= len(theirs)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 40, 3_000, 17_000]), min_size=1, max_size=3),
    st.floats(0, 1),
    st.sampled_from([0, 3, 60, 64]),
    st.integers(0, 2**32 - 1),
)
def test_the_same_rows_are_nearest(sizes: list[int], share: float, spread: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**63, 4, np.uint64)
    # Few bits in which rows differ: many are equally far.
    signs = [
        bits[:, None] ^ (rng.integers(0, 2**63, (4, size), np.uint64) >> np.uint64(64 - spread or 63)) for size in sizes
    ]
    allowed = rng.random(sum(sizes)) < share
    expected = score._nearest(np.concatenate([score._distances(bits, each) for each in signs]), allowed)
    assert score._near(bits, signs, allowed).tolist() == expected.tolist()


@given(st.integers(0, 2**32 - 1))
def test_products_are_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-127, 128, (100, embed.DIMENSIONS)).astype(np.int8)
    vectors[:2] = -127
    rows = np.sort(rng.choice(100, rng.integers(0, 100), replace=False))
    for vector in vectors[:3]:
        assert (
            score._products(vector, vectors, rows).tolist() == (vectors[rows].astype(int) @ vector.astype(int)).tolist()
        )
