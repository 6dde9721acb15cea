"""Laws of the stored rows of terms."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recollect.index import postings

ROWS = st.sets(
    st.one_of(
        st.integers(0, 600), st.integers(0, 200_000), st.sampled_from([0, 254, 255, 256, 510, 65_534, 65_535, 65_536])
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ROWS, max_size=12), st.sampled_from([1, 7, 1_000_000]))
def test_what_was_stored_is_read(terms: list[set[int]], block: int) -> None:
    ordered = [sorted(term) for term in terms]
    rows = np.array([row for term in ordered for row in term], np.int64)
    indptr = np.cumsum([0, *map(len, ordered)])
    with patch.object(postings, "_BLOCK", block):
        made = postings.encode(rows, indptr)
        assert [postings.decode(made, i).tolist() for i in range(len(ordered))] == ordered
        assert postings.decode_all(made, indptr).tolist() == rows.tolist()
    assert len(made.gaps) == made.start[-1]


@given(st.integers(1, 3_000), st.integers(1, 90))
def test_a_common_term_takes_a_byte_for_each_row(count: int, gap: int) -> None:
    made = postings.encode(np.arange(count) * gap, np.array([0, count]))
    assert len(made.gaps) == count
