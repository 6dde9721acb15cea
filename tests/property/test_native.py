"""What is compiled finds what its twin in Python finds."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recollect import native
from recollect.errors import Corrupt
from recollect.index import embed, grammars, segment, syntax, terms
from recollect.index.parse import Parsed, parse
from recollect.index.segment import Segment, View
from recollect.index.terms import TermCounts
from recollect.native import binding
from recollect.search import score
from tests.property.test_chunk_laws import DEADLY, SOURCES, broken

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


def random_segment(rng: np.random.Generator, size: int, first: int) -> Segment:
    """With terms that many rows hold and terms that few do; keys that differ in their highest bits alone, too."""
    keys = np.unique(np.concatenate([np.arange(5), np.arange(5) << 60, rng.integers(0, 2**62, 20)])).astype(np.uint64)
    held = [(key, rng.random(size) < share) for key, share in zip(keys, rng.random(len(keys)) ** 6, strict=True)]
    posting_keys = np.concatenate([np.full(int(rows.sum()), key, np.uint64) for key, rows in held])
    rows = np.concatenate([np.flatnonzero(rows) for _, rows in held])
    by_row = np.argsort(rows, kind="stable")
    counts = rng.integers(1, 400, len(rows)).astype(np.uint16)
    columns: dict[str, np.ndarray] = {
        "chunk_id": np.arange(first, first + size),
        "file_id": np.zeros(size, np.int32),
        "start_line": np.ones(size, np.int32),
        "end_line": np.ones(size, np.int32),
        "length": np.ones(size, np.uint32),
        "vectors": rng.integers(-50, 50, (size, embed.DIMENSIONS)).astype(np.int8),
    }
    found = segment._terms(posting_keys[by_row], rows[by_row], counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "library", None)
        expected = segment._terms(posting_keys[by_row], rows[by_row], counts)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.tolist() == theirs.tolist()
    return segment._segment(columns, found)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 300, 3_000, 70_000]), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_segments_are_built_and_merged_alike(sizes: list[int], seed: int) -> None:
    assert native.library is not None
    rng = np.random.default_rng(seed)
    views = []
    for number, size in enumerate(sizes):
        whole = View.whole(random_segment(rng, size, number * 100_000))
        views.append(whole.without(whole.segment.chunk_id[rng.random(size) < rng.random() ** 3].tolist()))
    for ours, theirs in zip(segment._merged_at_once(native.library, views), segment._merged(views), strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.tolist() == theirs.tolist()
    made = segment.merge(views)
    assert np.array_equal(made.second_moment(), segment.moment_of(made.vectors))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 2, 300, 3_000, 70_000]), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_same_files_hold_the_same_words(size: int, files: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = random_segment(rng, size, 0)
    made.file_id[:] = np.sort(rng.integers(0, files, size))
    view = View.whole(made).without(made.chunk_id[rng.random(size) < rng.random() ** 3].tolist())
    wanted = rng.permutation(np.concatenate([made.keys, rng.integers(0, 2**63, 5, np.uint64)]))
    bits = np.uint64(1) << (np.arange(len(wanted)) % 64).astype(np.uint64)
    ours, theirs = np.zeros((2, files), np.uint64)
    score._cover(view, wanted, bits, ours)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "library", None)
        score._cover(view, wanted, bits, theirs)
    assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize(
    ("column", "value"), [("gaps", 254), ("start", 2**32 - 1), ("indptr", 2**32 - 1), ("indptr", 0)]
)
def test_a_damaged_segment_is_not_merged(column: str, value: int) -> None:
    made = random_segment(np.random.default_rng(1), 300, 0)
    getattr(made, column)[1:-1] = value
    with pytest.raises(Corrupt):
        segment.merge([View.whole(made)])
    if column != "indptr":
        with pytest.raises(Corrupt):
            score._cover(View.whole(made), made.keys, made.keys, np.zeros(1, np.uint64))


def by_binding(data: bytes, name: str) -> Parsed:
    """What parsing finds by tree-sitter's Python binding alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(syntax, "_reader", lambda grammar: None)
        return parse(data, name)


def test_trees_are_read_by_what_is_compiled() -> None:
    if not sys.platform.startswith("linux") or binding.version() not in binding.TESTED:
        pytest.skip("no binding whose functions are known")
    python = grammars.load("python")
    assert python is not None
    assert isinstance(syntax.read(python, b"x = 1").root, syntax.Node)


@pytest.mark.parametrize("name", SOURCES)
def test_the_same_is_found_in_trees(name: str) -> None:
    """In broken ones, too: some nodes there have no rule, some no text, and the fields of some are another's."""
    for source in broken(name, rounds=2 if name == "a.pl" else 12):
        data = source.encode("utf-8", "surrogatepass")
        assert parse(data, name) == by_binding(data, name)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=400), st.sampled_from(sorted(SOURCES.keys() - DEADLY)))
@example("", "a.py")
@example("(" * 6_000, "a.py")
@example("f(" * 3_000, "a.js")
@example("x: 1\n" * 6_000, "a.yaml")
def test_the_same_is_found_in_any_text(source: str, name: str) -> None:
    data = source.encode("utf-8", "surrogatepass")
    assert parse(data, name) == by_binding(data, name)


def test_trees_are_read_by_several_threads() -> None:
    """Each has memory of its own for them; one that uses the binding meanwhile has that of before."""
    names = sorted(SOURCES.keys() - DEADLY) * 4
    sources = [(SOURCES[name] * 20).encode() for name in names]
    expected = list(map(parse, sources, names))
    python = grammars.load("python")
    assert python is not None
    with ThreadPoolExecutor(4) as pool:
        bound = pool.submit(lambda: [syntax.by_binding(python, sources[0]).root.child_count for _ in range(200)])
        assert list(pool.map(parse, sources, names)) == expected
        assert len(set(bound.result())) == 1


def test_another_binding_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert binding.addresses(["ts_parser_new", "ts_no_such_function"]) is None
    monkeypatch.setattr(binding, "TESTED", ())
    assert binding.addresses(["ts_parser_new"]) is None
