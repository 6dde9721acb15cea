import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recollect import native, text
from recollect.errors import Corrupt
from recollect.index import embed, packing, terms
from recollect.index.terms import count_terms, term_key

CHUNKS = ["def parse_header(line): return HTTPHeader(line)", "x = 1", "", "größe parse parse"]


@pytest.fixture(params=["compiled", "python"])
def table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting by both twins, each from an empty table."""
    if request.param == "python":
        monkeypatch.setattr(native, "library", None)
    elif native.library is None:
        pytest.skip("there was no C compiler when Recollect was installed")
    monkeypatch.setattr(terms, "_table", None)


@pytest.mark.usefixtures("table")
def test_a_full_table_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "_MAX_IDENTIFIERS", 3)
    for chunk in ("one two three four", "größe five six", "größe seven"):
        assert set(count_terms([chunk]).keys.tolist()) == {term_key(term) for term in text.terms(chunk)}


@pytest.mark.usefixtures("table")
def test_several_threads_may_count() -> None:
    chunks = [" ".join(f"name_{number}_{i} größe{i}" for i in range(number % 40)) for number in range(400)]
    expected = [sorted(term_key(term) for term in text.terms(chunk)) for chunk in chunks]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(count_terms, [[chunk] for chunk in chunks]))
    finally:
        sys.setswitchinterval(interval)
    assert [sorted(counts.keys.tolist()) for counts in found] == expected


@pytest.mark.usefixtures("table")
def test_counts_are_those_of_the_plain_tokenisation() -> None:
    counted = count_terms(CHUNKS)
    for number, chunk in enumerate(CHUNKS):
        span = slice(int(counted.indptr[number]), int(counted.indptr[number + 1]))
        found = dict(zip(counted.keys[span].tolist(), counted.counts[span].tolist(), strict=True))
        assert found == {term_key(term): count for term, count in text.terms(chunk).items()}
        assert int(counted.lengths[number]) == sum(text.terms(chunk).values())


@pytest.mark.usefixtures("table")
def test_body_vectors_are_sums_of_weighted_rows() -> None:
    counted = count_terms(CHUNKS)
    expected = np.zeros(embed.DIMENSIONS)
    for word, count in text.words(CHUNKS[0]).items():
        for piece in embed.model().pieces(word):
            expected += embed.model().row(piece) * np.log1p(count)
    assert np.allclose(counted.body[0], expected, atol=0.02 * np.abs(expected).max() + 1e-3)


@pytest.mark.usefixtures("table")
def test_chunks_without_words_have_no_terms() -> None:
    counted = count_terms(["", "!!"])
    assert counted.indptr.tolist() == [0, 0, 0]
    assert not counted.body.any()


def test_an_unknown_word_is_the_sum_of_its_pieces() -> None:
    assert len(embed.model().pieces("serializerfactory")) > 1
    assert embed.model().query({"zzzzqqqq": 1.0}).shape == (embed.DIMENSIONS,)


def test_a_packed_block_is_checked() -> None:
    block = packing.pack({"a": np.arange(5)}, {"b": 1})
    meta, arrays = packing.unpack(block)
    assert meta == {"b": 1}
    assert arrays["a"].tolist() == [0, 1, 2, 3, 4]
    for damaged in (block[:-1], block[:50] + b"x" + block[51:], b"", b"RCL1"):
        with pytest.raises(Corrupt):
            packing.unpack(damaged)
