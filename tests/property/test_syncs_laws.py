"""Laws of the syncs that are asked for, under every order that threads can take: each ends, none serves a wish older than itself.

An indexer that is made up ends them when its thread's turn comes, in any order, well or badly.
"""

from __future__ import annotations

import random
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from recollect.errors import Cancelled, Unavailable
from recollect.jobs import syncs as under_test
from recollect.jobs.synchronise import Ended, Options
from recollect.jobs.syncs import Run, Syncs, Urgency
from recollect.model import SyncResult
from tests.turns import RLock, Turns

ENDED = Ended(SyncResult("", "completed"), (), False, ())


class _World:
    """An indexer and a watcher, and what was seen of them."""

    def __init__(self, turns: Turns, chance: random.Random, most: int) -> None:
        self._turns, self._chance = turns, chance
        self.now = 0  # counts requests and beginnings
        self.going: dict[int, tuple[str, Future[Ended]]] = {}
        self.began: dict[
            int, tuple[int, bool]
        ] = {}  # id of a run → (when it took what had changed, whether it reads all)
        self.cancelled: set[int] = set()
        self.wrong: list[str] = []
        self.most = most
        with mock.patch.object(under_test, "threading", SimpleNamespace(RLock=lambda: RLock(turns))):
            self.syncs = Syncs(self, self, most, lambda repository: None, self._ended)  # type: ignore[arg-type]

    # -- as the watcher

    def take(self, repository: str, everything: bool) -> None:
        self.now += 1
        run = self.syncs._running[repository]
        self.began[id(run)] = self.now, everything

    # -- as the indexer

    def sync(self, folder: Path, root: Path, options: Options, **_: Any) -> tuple[int, Future[Ended]]:
        if self._chance.random() < 0.1:
            raise Unavailable("no indexer")
        self.now += 1
        number = self.now
        future: Future[Ended] = Future()
        if any(repository == folder.name for repository, _ in self.going.values()):
            self.wrong.append(f"two syncs of {folder.name} at once")
        self.going[number] = folder.name, future
        slots = sum(run.urgency > Urgency.QUESTION for run in self.syncs._running.values())
        if slots > self.most:
            self.wrong.append(f"{slots} slots")
        return number, future

    def cancel(self, number: int) -> None:
        self.cancelled.add(number)

    def work(self) -> bool:
        """End one of the syncs that go on; whether there was one."""
        if not self.going:
            return False
        number = self._chance.choice(sorted(self.going))
        _, future = self.going.pop(number)
        if number in self.cancelled:
            future.set_exception(Cancelled("the sync was cancelled"))
        elif self._chance.random() < 0.2:
            future.set_exception(RuntimeError("a bug"))
        else:
            future.set_result(ENDED)
        return True

    def _ended(self, run: Run, result: SyncResult) -> SyncResult:
        self._turns.switch()
        if self._chance.random() < 0.1:
            raise RuntimeError("a bug")
        return result


REQUEST = st.tuples(st.sampled_from("ab"), st.sampled_from(Urgency), st.booleans(), st.booleans())  # join, full


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    most=st.integers(1, 2),
    wanted=st.lists(st.lists(REQUEST, min_size=1, max_size=4), min_size=1, max_size=4),
    cancels=st.lists(st.sampled_from("ab"), max_size=3),
)
def test_every_request_ends_and_is_served_by_a_sync_that_began_after_it(
    seed: int, most: int, wanted: list[list[tuple[str, Urgency, bool, bool]]], cancels: list[str]
) -> None:
    turns, chance = Turns(seed), random.Random(seed)
    world = _World(turns, chance, most)
    served: list[tuple[int, bool, bool, Run]] = []

    def ask(requests: list[tuple[str, Urgency, bool, bool]]) -> None:
        for repository, urgency, join, full in requests:
            world.now += 1
            asked = world.now
            run = Run(repository, Path(repository), Path("/"), Options(full=full), urgency)
            served.append((asked, join, full, world.syncs.request(run, join=join)))
            turns.switch()

    def cancel() -> None:
        for repository in cancels:
            world.syncs.cancel(repository)

    with mock.patch.object(under_test.log, "exception"):
        turns.run([*(partial(ask, requests) for requests in wanted), cancel], world.work)
    assert turns.failures == []
    assert world.wrong == []
    assert world.syncs.runs() == []
    for asked, join, full, run in served:
        assert run.future.done()
        with suppress(KeyError):  # cancelled before it began
            began, everything = world.began[id(run)]
            assert join or began > asked
            assert join or everything or not full
