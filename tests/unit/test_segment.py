"""What is stored of a segment is what is read again, however large it is."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from recollect.errors import Corrupt
from recollect.index import postings
from recollect.index.embed import DIMENSIONS
from recollect.index.segment import Segment, _signs, moment_of


def made(chunks: int) -> Segment:
    choice = np.random.default_rng(chunks)
    terms = chunks // 3 + 2
    held = [np.flatnonzero(choice.random(chunks) < 0.02) for _ in range(terms)]
    held = [rows if len(rows) else np.zeros(1, np.int64) for rows in held]
    indptr = np.cumsum([0, *map(len, held)]).astype(np.uint32)
    vectors = choice.normal(0, 16, (chunks, DIMENSIONS)).astype(np.int8)
    return Segment(
        chunk_id=np.cumsum(choice.integers(1, 3, chunks)) + 2**40,
        file_id=choice.integers(1, 2**31 - 1, chunks).astype(np.int32),
        start_line=choice.integers(0, 900, chunks).astype(np.int32),
        end_line=choice.integers(0, 900, chunks).astype(np.int32),
        length=choice.integers(0, 900, chunks).astype(np.uint32),
        vectors=vectors,
        signs=_signs(vectors),
        keys=np.sort(choice.integers(0, 2**64 - 1, terms, np.uint64)),
        indptr=indptr,
        **postings.encode(np.concatenate(held), indptr)._asdict(),
        counts=choice.integers(1, 255, int(indptr[-1])).astype(np.uint8),
    )


@pytest.mark.parametrize("chunks", [0, 1, DIMENSIONS, 1_000, 3_000, 9_000])
def test_a_segment_is_read_as_it_was_written(chunks: int) -> None:
    segment = made(chunks)
    block = segment.pack()
    again = Segment.unpack(memoryview(block))
    for name in (item.name for item in fields(Segment) if item.name not in ("moment", "memo")):
        one, other = getattr(segment, name), getattr(again, name)
        assert one.dtype == other.dtype, name
        assert np.array_equal(one, other), name
    assert np.array_equal(again.second_moment(), moment_of(segment.vectors))


@pytest.mark.parametrize("chunks", [10, 1_000, 9_000])
@pytest.mark.parametrize("damage", ["cut", "changed", "huge", "empty"])
def test_a_damaged_segment_is_found_out(chunks: int, damage: str) -> None:
    block = made(chunks).pack()
    middle = len(block) // 2
    flipped = block[:middle] + bytes([block[middle] ^ 1]) + block[middle + 1 :]
    huge = block[:4] + bytes([block[4] ^ 64]) + block[5:]  # the size of what is zipped is another
    with pytest.raises(Corrupt):
        Segment.unpack({"cut": block[:-9], "changed": flipped, "huge": huge, "empty": b""}[damage])
