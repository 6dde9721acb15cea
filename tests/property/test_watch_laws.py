"""The law of the barrier: where the watcher says that nothing waits, the index has every write that came before.

The watcher runs as it is, over files and events that are made up; questions, syncs, writes and the beginning of a watch
interleave as each example decides.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from recollect.sync.watch import Watcher
from tests.made_up import CHANGES, ROOT, Files, Look, made_up_watcher, writing_and_asking
from tests.turns import Lock, Turns


class _Syncs:
    """One after another."""

    def __init__(self, turns: Turns, files: Files, watcher: Watcher) -> None:
        self._turns, self._files, self._watcher = turns, files, watcher
        self._one_at_a_time = Lock(turns)
        self.indexed: dict[str, int] = {}  # what was committed, and is what answers come from
        self.folders: set[str] = {""}

    def sync(self, fails: bool = False) -> None:
        with self._one_at_a_time:
            taken = self._watcher.take("r")
            names = taken.names if taken is not None else None
            seen = Look(self._turns, self._files, self.indexed, self.folders).at(names)
            self._turns.switch()
            if fails:
                if taken is not None:
                    self._watcher.finish("r", taken, done=False)
                return
            self.indexed, self.folders = seen.files, seen.folders
            self._turns.switch()
            if taken is not None:
                self._watcher.finish("r", taken, done=True, folders=seen.told, partial=names is not None)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    changes=st.lists(CHANGES, min_size=1, max_size=12),
    questions=st.integers(0, 3),
    backgrounds=st.integers(0, 2),
    known=st.booleans(),
)
def test_what_is_settled_is_indexed(
    seed: int,
    changes: list[tuple[str, str, str, str]],
    questions: int,
    backgrounds: int,
    known: bool,
) -> None:
    turns, files, chance = Turns(seed), Files(), random.Random(seed)
    with made_up_watcher(turns, files) as watcher:
        syncs = _Syncs(turns, files, watcher)
        syncs.sync()
        if known:
            watcher.watch("r", Path(ROOT), sorted(syncs.folders))

        def begin() -> None:
            for _ in range(chance.randint(0, 2)):
                watcher.watch("r", Path(ROOT), sorted(syncs.folders))

        def read_unasked() -> None:
            for _ in range(2):
                with watcher._reading:
                    watcher._take_in(files.read())

        def ask() -> None:
            then = files.moment()
            mark = watcher.barrier(["r"], 1.0)
            assert mark is not None
            if not watcher.settled("r", mark):
                syncs.sync()
            if watcher.settled("r", mark):
                assert files.older(syncs.indexed, then) == []

        write, asking = writing_and_asking(turns, files, changes, ask, lambda: chance.random() < 0.5)
        background = [partial(syncs.sync, chance.random() < 0.3) for _ in range(backgrounds)]
        turns.run([write, begin, read_unasked, *background, *[asking] * questions])
        assert turns.failures == []
        for _ in range(4):  # and all of it is found in the end, where somebody watches
            syncs.sync()
        if watcher.root("r") is not None:
            mark = watcher.barrier(["r"], 1.0)
            assert mark is not None
            for _ in range(5):
                syncs.sync()
            assert watcher.settled("r", mark)
            assert syncs.indexed == files.files()
