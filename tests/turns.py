"""Threads that run one at a time, in an order that an example decides: what happens does not depend on the machine."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

_LEFT_BEHIND = 0.3


class Turns:
    """The first thread in a random order that can goes on, and at each `switch` is now and then sent to the end.

    That finds what needs one thread to be slow, which a choice at each step hardly does (Burckhardt et al., A Randomized
    Scheduler with Probabilistic Guarantees of Finding Bugs, 2010). Code under test switches where it takes a `Lock`, so
    that is what to put in place of its locks.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._runnable: list[_Thread] = []
        self._over = threading.Event()
        self.running: _Thread | None = None
        self.failures: list[BaseException] = []

    def run(self, programs: Sequence[Callable[[], None]], serve: Callable[[], bool] | None = None) -> None:
        """Run all to their end; what they raised is in `failures`. Fails where they wait for each other.

        `serve` does in a thread of its own, a piece at a time, what they ask of others, and says whether there is more.
        """
        threads = [_Thread(self, program) for program in programs]

        def serving() -> None:
            assert serve is not None
            while serve() or any(thread in self._runnable for thread in threads[: len(programs)]):
                self.switch()

        threads += [_Thread(self, serving)] if serve is not None else []
        self._runnable = self._chance.sample(threads, len(threads))
        for thread in threads:
            thread.start()
        self._pass_on()
        assert self._over.wait(60), "a thread waits for something that is no lock of ours"
        assert not self._runnable, "the threads wait for each other"

    def switch(self, wanted: Lock | None = None) -> None:
        """Let another one go on, or the same; with `wanted` only once that is free."""
        me = self.running
        if me is None:
            return  # before or after the threads' run
        me.wants = wanted
        if self._chance.random() < _LEFT_BEHIND:
            self._runnable.remove(me)
            self._runnable.append(me)
        self._pass_on()
        me.turn.acquire()

    def _leave(self, thread: _Thread) -> None:
        self._runnable.remove(thread)
        self._pass_on()

    def _pass_on(self) -> None:
        free = (thread for thread in self._runnable if thread.wants is None or thread.wants.free(thread))
        self.running = next(free, None)
        if self.running is not None:
            self.running.turn.release()
        else:
            self._over.set()


class _Thread(threading.Thread):
    def __init__(self, turns: Turns, program: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._turns, self._program = turns, program
        self.turn = threading.Semaphore(0)
        self.wants: Lock | None = None

    def run(self) -> None:
        self.turn.acquire()
        try:
            self._program()
        except BaseException as error:
            self._turns.failures.append(error)
        self._turns._leave(self)


class Lock:
    """In place of `threading.Lock`; also a gate that another thread opens, where it begins `held`."""

    def __init__(self, turns: Turns, held: bool = False) -> None:
        self._turns = turns
        self.held = held

    def free(self, thread: threading.Thread) -> bool:
        return not self.held

    def __enter__(self) -> None:
        self._turns.switch(self)
        assert not self.held
        self.held = True

    def __exit__(self, *_: object) -> None:
        self.held = False


class RLock(Lock):
    """In place of `threading.RLock`."""

    def __init__(self, turns: Turns) -> None:
        super().__init__(turns)
        self._owner: threading.Thread | None = None
        self._depth = 0

    def free(self, thread: threading.Thread) -> bool:
        return self._depth == 0 or self._owner is thread

    def __enter__(self) -> None:
        if not self._depth or self._owner is not self._turns.running:
            self._turns.switch(self)
        self._owner = self._turns.running
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
