"""Laws of the open indexes: whoever asks after a commit was published gets no older generation, however threads interleave.

The library runs as it is, over an index that is made up; its locks hand the processor to the thread that the example
says is next, so that what happens does not depend on the machine and can be repeated.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
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

_LEFT_BEHIND = 0.3


class _Turns:
    """Threads of which one runs at a time: the first in a random order that can, which now and then is sent to the end.

    That finds what needs one thread to be slow, which a choice at each step hardly does (Burckhardt et al., A Randomized
    Scheduler with Probabilistic Guarantees of Finding Bugs, 2010).
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._runnable: list[_Thread] = []
        self._over = threading.Event()
        self.running: _Thread | None = None
        self.failures: list[BaseException] = []

    def run(self, programs: Sequence[Callable[[], None]]) -> None:
        threads = [_Thread(self, program) for program in programs]
        self._runnable = self._chance.sample(threads, len(threads))
        for thread in threads:
            thread.start()
        self._pass_on()
        assert self._over.wait(60), "the threads wait for each other"
        for thread in threads:
            thread.join()

    def switch(self, wanted: _Lock | None = None) -> None:
        """Let another one go on, or the same; with `wanted` only once that lock is free."""
        me = self.running
        if me is None:
            return  # before or after the threads' run
        me.wants = wanted
        if self._chance.random() < _LEFT_BEHIND:
            self._runnable.remove(me)
            self._runnable.append(me)
        self._pass_on()
        me.turn.acquire()

    def leave(self, thread: _Thread) -> None:
        self._runnable.remove(thread)
        self._pass_on()

    def _pass_on(self) -> None:
        free = (thread for thread in self._runnable if thread.wants is None or not thread.wants.held)
        self.running = next(free, None)
        if self.running is not None:
            self.running.turn.release()
        elif not self._runnable:
            self._over.set()


class _Thread(threading.Thread):
    def __init__(self, turns: _Turns, program: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._turns, self._program = turns, program
        self.turn = threading.Semaphore(0)
        self.wants: _Lock | None = None

    def run(self) -> None:
        self.turn.acquire()
        try:
            self._program()
        except BaseException as error:
            self._turns.failures.append(error)
        self._turns.leave(self)


class _Lock:
    def __init__(self, turns: _Turns, held: bool = False) -> None:
        self._turns = turns
        self.held = held

    def __enter__(self) -> None:
        self._turns.switch(self)
        assert not self.held
        self.held = True

    def __exit__(self, *_: object) -> None:
        self.held = False


@dataclass
class _Index:
    """What is committed: how often the index was made anew, and its generation since."""

    turns: _Turns
    committed: tuple[int, int] = (0, 1)
    opened: list[_Snapshot] = field(default_factory=list)

    def open(self) -> _Snapshot:
        self.turns.switch()
        snapshot = _Snapshot(self, self.committed)
        self.opened.append(snapshot)
        self.turns.switch()
        return snapshot


@dataclass(eq=False)
class _Snapshot:
    index: _Index
    version: tuple[int, int]
    users: int = 1

    @property
    def generation(self) -> int:
        return self.version[1]

    def of_this_index(self) -> bool:
        return self.version[0] == self.index.committed[0]

    def advance(self) -> _Snapshot:
        assert self.users > 0
        self.index.turns.switch()
        return self if self.version == self.index.committed else self.index.open()

    def retain(self) -> _Snapshot:
        assert self.users > 0
        self.users += 1
        return self

    def release(self) -> None:
        assert self.users > 0
        self.users -= 1


@contextmanager
def _library(turns: _Turns) -> Iterator[tuple[Library, _Index]]:
    index = _Index(turns)
    locks = SimpleNamespace(Lock=lambda: _Lock(turns))
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
    turns = _Turns(seed)
    published = (0, 1)
    readers = [min(after, len(steps)) for after in readers]  # each asks twice, for the first time after so many steps

    with _library(turns) as (library, index):
        begun = [_Lock(turns, held=bool(number)) for number in range(len(steps) + 1)]

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
