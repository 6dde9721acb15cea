from __future__ import annotations

import random

from recollect.index import analyse

SOURCE = b'''class Store:
    """Keeps \xc3\xa9v\xc3\xa9nements \xe2\x80\x94 all of them."""

    def put(self, key: str,
            value: bytes) -> None:
        self.rows[key] = encode(value)  # \xe2\x80\x9cencoded\xe2\x80\x9d


LIMIT = 3
'''


def test_what_is_cached_stands_for_what_was_parsed() -> None:
    fresh = analyse.analyse(SOURCE, "shop/store.py")
    elsewhere = analyse.analyse(SOURCE, "other/names.py")
    cached = analyse.analyse(SOURCE, "other/names.py", cached=analyse.to_cache(fresh))
    for name in ("text", "chunks", "symbols", "references", "reason", "lines"):
        assert getattr(cached, name) == getattr(elsewhere, name), name
    assert cached.vectors is not None
    assert elsewhere.vectors is not None
    assert (cached.vectors == elsewhere.vectors).all()
    assert [symbol[1] for symbol in cached.symbols] == ["Store", "Store.put", "LIMIT"]
    assert analyse.lines_using(cached.references, "encode") == [6]


def test_a_damaged_cache_is_as_good_as_none() -> None:
    fresh = analyse.analyse(SOURCE, "store.py")
    block = analyse.to_cache(fresh)
    chance = random.Random(7)
    damaged = [block[:length] for length in range(0, len(block), 7)]
    for _ in range(200):
        at = chance.randrange(len(block))
        damaged.append(block[:at] + bytes([chance.randrange(256)]) + block[at + 1 :])
    for one in damaged:
        found = analyse.analyse(SOURCE, "store.py", cached=one)
        assert (found.chunks, found.symbols, found.references) == (fresh.chunks, fresh.symbols, fresh.references)
