"""Laws of the open indexes: whoever asks after a commit was published gets no older generation, however threads interleave.

The library runs as it is, over an index that is made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from recollect.jobs import library as under_test
from recollect.jobs.library import Library
from tests.made_up import Used
from tests.turns import Lock, Turns


@dataclass
class _Index:
    """What is committed: how often the index was made anew, and its generation since."""

    turns: Turns
    committed: tuple[int, int] = (0, 1)
    opened: list[_Snapshot] = field(default_factory=list)

    def open(self) -> _Snapshot:
        self.turns.switch()
        snapshot = _Snapshot(self, self.committed)
        self.opened.append(snapshot)
        self.turns.switch()
        return snapshot


@dataclass(eq=False)
class _Snapshot(Used):
    index: _Index
    version: tuple[int, int]

    @property
    def generation(self) -> int:
        return self.version[1]

    def of_this_index(self) -> bool:
        return self.version[0] == self.index.committed[0]

    def advance(self) -> _Snapshot:
        assert self.users > 0
        self.index.turns.switch()
        return self if self.version == self.index.committed else self.index.open()

    def check_files(self) -> None:
        self.index.turns.switch()


@contextmanager
def _library(turns: Turns) -> Iterator[tuple[Library, _Index]]:
    index = _Index(turns)
    locks = SimpleNamespace(Lock=lambda: Lock(turns))
    snapshots = SimpleNamespace(open=lambda folder: index.open())
    with mock.patch.object(under_test, "threading", locks), mock.patch.object(under_test, "Snapshot", snapshots):
        yield Library(lambda name: Path(name), lambda name, error: None), index


STEPS = st.lists(st.sampled_from(["commit", "commit", "anew"]), min_size=1, max_size=4)


@settings(max_examples=400, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    steps=STEPS,
    readers=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    drops=st.integers(0, 2),
    opened=st.booleans(),
)
def test_nobody_is_given_what_is_older_than_what_was_published(
    seed: int, steps: list[str], readers: list[int], drops: int, opened: bool
) -> None:
    turns = Turns(seed)
    published = (0, 1)
    readers = [min(after, len(steps)) for after in readers]  # each asks twice, for the first time after so many steps

    with _library(turns) as (library, index):
        begun = [Lock(turns, held=bool(number)) for number in range(len(steps) + 1)]

        def write() -> None:
            nonlocal published
            for number, step in enumerate(steps):
                times, generation = index.committed
                index.committed = (times, generation + 1) if step == "commit" else (times + 1, 1)
                turns.switch()
                assert library.publish("r", index.committed[1])
                published = index.committed
                begun[number + 1].held = False
                turns.switch()

        def read(after: int) -> None:
            turns.switch(begun[after])
            for _ in range(2):
                expected = published
                with library.reading("r") as snapshot:
                    assert isinstance(snapshot, _Snapshot)
                    assert snapshot.version >= expected
                    turns.switch()
                    assert snapshot.users > 0

        def drop() -> None:
            for _ in range(drops):
                library.drop("r")
                turns.switch()

        if opened:
            with library.reading("r"):
                pass
        turns.run([write, drop, *(partial(read, after) for after in readers)])
        assert turns.failures == []
        library.close()
        assert [snapshot.users for snapshot in index.opened] == [0] * len(index.opened)
