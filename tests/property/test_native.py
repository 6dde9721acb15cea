"""What is compiled finds what its twin in Python finds."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recollect import native
from recollect.index import embed, terms
from recollect.index.terms import TermCounts

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
