"""Whatever is in a segment's columns, reading it ends in an answer or in Corrupt: compiled and in Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recollect import native
from recollect.errors import Corrupt
from recollect.index import packing, postings, segment
from recollect.index.embed import DIMENSIONS
from recollect.index.segment import Segment, View, sign_bits
from recollect.search import score

_COLUMNS = ("keys", "indptr", "gaps", "start", "wide", "counts", "file_id")
_FILES = 8


def _segment(seed: int, size: int = 300) -> Segment:
    rng = np.random.default_rng(seed)
    keys = np.sort(rng.integers(0, 60, 4 * size)).astype(np.uint64)
    rows = np.concatenate([np.sort(rng.choice(size, n, replace=False)) for n in np.unique(keys, return_counts=True)[1]])
    columns = {
        "chunk_id": np.arange(size, dtype=np.int64),
        "file_id": np.sort(rng.integers(0, _FILES, size)).astype(np.int32),
        "start_line": np.ones(size, np.int32),
        "end_line": np.ones(size, np.int32),
        "length": np.ones(size, np.uint32),
        "vectors": rng.integers(-50, 50, (size, DIMENSIONS)).astype(np.int8),
    }
    return segment._segment(columns, segment._terms(keys, rows, np.ones(len(keys), np.uint16)))


def _uses(made: Segment) -> Iterator[Callable[[], Any]]:
    """Everything that reads the columns, each as far as it gets."""
    view = View.whole(made)
    keys = np.unique(np.array([*range(60), *made.keys[:60].tolist()], np.uint64))
    yield lambda: segment.merge([view, View.whole(_segment(7))])
    yield lambda: score._cover(view, keys, keys, np.zeros(_FILES, np.uint64))
    yield lambda: [made.postings(int(key)) for key in keys]
    yield lambda: list(made.rows_of(keys))


def _ends(use: Callable[[], Any]) -> bool:
    """Whether there was an answer; False: damage was noticed. Anything else is raised."""
    try:
        use()
    except Corrupt:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(_COLUMNS),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=5),
    st.integers(0, 5),
)
def test_damage_in_a_column_is_an_answer_or_corrupt(column: str, damage: list[tuple[int, int]], seed: int) -> None:
    made = _segment(seed)
    array = getattr(made, column)
    bytes_of = array.view(np.uint8).reshape(-1)
    for at, value in damage:
        bytes_of[at % len(bytes_of)] = value & 1 if column == "wide" else value
    with np.errstate(all="ignore"):
        for use in _uses(made):
            _ends(use)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "library", None)
            for use in _uses(made):
                _ends(use)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("column", "value"),
    [("start", 2**32 - 1), ("start", 0), ("indptr", 2**32 - 1), ("indptr", 0), ("gaps", 254), ("file_id", 10**9)],
)
def test_lengths_that_lead_out_of_a_segment_are_noticed(
    monkeypatch: pytest.MonkeyPatch, column: str, value: int, compiled: bool
) -> None:
    if not compiled:
        monkeypatch.setattr(native, "library", None)
    made = _segment(1)
    getattr(made, column)[1:-1] = value
    merged, covered, *_ = [_ends(use) for use in _uses(made)]
    if column != "file_id":
        assert not merged
    if column in ("file_id", "gaps"):
        assert not covered


@pytest.mark.parametrize("name", ["chunk_id", "vectors", "start", "indptr", "wide", "keys", "counts", "gaps"])
@pytest.mark.parametrize("change", ["shorter", "other type", "missing", "flat"])
def test_columns_of_other_lengths_and_types_are_refused(name: str, change: str) -> None:
    made = _segment(2)
    arrays = packing.unpack(made.pack())[1] if packing.is_packed(made.pack()) else {}
    arrays = arrays or {each: getattr(made, each) for each in segment._COLUMNS}
    if change == "missing":
        del arrays[name]
    elif change == "flat":
        arrays[name] = arrays[name].reshape(1, -1)
    else:
        arrays[name] = arrays[name][:-1] if change == "shorter" else arrays[name].astype(np.float16)
    with pytest.raises(Corrupt):
        Segment.unpack(packing.pack(arrays, {}))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_a_header_that_means_nothing_is_corrupt(header: bytes) -> None:
    from blake3 import blake3

    rest = len(header).to_bytes(4, "little") + header
    with pytest.raises(Corrupt):
        packing.unpack(b"RCL1" + blake3(rest).digest(16) + rest)


def test_rows_beyond_the_vectors_are_not_multiplied() -> None:
    vectors = np.ones((5, DIMENSIONS), np.int8)
    for rows in ([5], [-1, 2], [0, 10**12]):
        with pytest.raises(Corrupt):
            score._products(vectors[0], vectors, np.array(rows, np.int64))


@pytest.mark.skipif(native.library is None, reason="there was no C compiler when Recollect was installed")
def test_masks_of_another_length_are_not_searched() -> None:
    made = _segment(3)
    with pytest.raises(Corrupt):
        score._near(sign_bits(made.vectors[0]), [made.signs], np.ones(200, np.bool_))


@pytest.mark.skipif(native.library is None, reason="there was no C compiler when Recollect was installed")
def test_missing_rows_are_not_encoded() -> None:
    with pytest.raises(Corrupt):
        postings.encode(np.arange(4), np.array([0, 3, 1]))


@pytest.mark.skipif("RECOLLECT_SANITIZED" not in os.environ, reason="only within make sanitize")
def test_the_library_under_test_is_the_sanitized_one() -> None:
    assert native.library is not None
    assert Path(native.__file__).parent == Path(os.environ["RECOLLECT_SANITIZED"])
