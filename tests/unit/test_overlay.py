"""A mapping that shares what did not change equals the one that is copied each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recollect.index import overlay

KEYS = st.integers(0, 30)
STEPS = st.lists(st.tuples(st.dictionaries(KEYS, st.text(max_size=2), max_size=3), st.sets(KEYS, max_size=3)))


@given(st.integers(0, 400), STEPS, st.sets(st.integers(0, 20)))
def test_changed_equals_a_copy(
    size: int, steps: list[tuple[dict[int, str], set[int]]], looked_through: set[int]
) -> None:
    expected = {key: str(key) for key in range(size)}
    found = overlay.changed({}, expected)
    for number, (entries, gone) in enumerate(steps):
        before, copied = found, dict(expected)
        for key in gone:
            expected.pop(key, None)
        expected.update(entries)
        found = overlay.changed(found, entries, gone)
        if number in looked_through:
            assert list(found.values()) == [found[key] for key in found]
        for key in range(35):
            assert found.get(key) == expected.get(key)
            assert (key in found) == (key in expected)
            assert before.get(key) == copied.get(key)
    assert dict(found) == expected
    assert len(found) == len(expected)


def test_few_changes_of_much_are_not_copied() -> None:
    base = {key: key for key in range(10_000)}
    found = overlay.changed(overlay.changed(base, {1: -1}), {2: -2}, gone=[3])
    assert isinstance(found, overlay.Overlay)
    assert found.base is base
    assert (found[1], found[2], found.get(3), found[4]) == (-1, -2, None, 4)
