"""The law of an answer: what is said to be fresh has every write that came before the question.

Questions and the upkeep of a home run as they are, with its watcher, its syncs and its open indexes; files, events, the indexer and what it
commits are made up, and all threads interleave as each example decides.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from recollect.config import Settings
from recollect.errors import RecollectError
from recollect.jobs import library, syncs
from recollect.jobs.library import Library
from recollect.jobs.synchronise import CommittedFiles, Ended, Options
from recollect.jobs.syncs import Run, Syncs, Urgency
from recollect.model import SyncResult
from recollect.store.catalog import Repository
from recollect.sync.fan_out import FanOut, Looked
from recollect.sync.watch import Watcher
from recollect.workspace import upkeep as under_test
from recollect.workspace.questions import Questions
from recollect.workspace.registry import Target
from recollect.workspace.upkeep import Upkeep
from tests.made_up import CHANGES, ROOT, Files, Look, Used, made_up_watcher, writing_and_asking
from tests.turns import Lock, RLock, Turns

LAST_SYNC = {"status": "completed", "started_at": 0.0, "errors": []}
REPOSITORY = Repository(
    id="r",
    path=Path(ROOT),
    name="r",
    url=None,
    type="git",
    added_at=0.0,
    last_access=None,
    tracked=True,
    missing=False,
    wanted=False,
    attempts=0,
    next_sync_at=None,
    last_sync=LAST_SYNC,
    untracked=False,
    asked_for=True,
    sync_interval=None,
    place=None,
    language=None,
    size_bytes=0,
)


@dataclass(eq=False)
class _Snapshot(Used):
    """What is committed in one generation; usable until its last user has gone."""

    index: _Index
    generation: int
    files: dict[str, int]
    folders: set[str]
    complete: bool = True
    n_files: int = 0

    def of_this_index(self) -> bool:
        return True

    def check_files(self) -> None:
        """None of it is damaged."""

    def advance(self) -> _Snapshot:
        assert self.users > 0
        self.index.turns.switch()
        return self if self.generation == self.index.generation else self.index.open()


class _Index:
    """An indexer and its index."""

    def __init__(self, turns: Turns, files: Files, chance: random.Random) -> None:
        self.turns, self._world, self._chance = turns, files, chance
        self.generation, self.files, self.folders = 1, dict[str, int](), {""}
        self.going: list[tuple[Options, Callable[[CommittedFiles], None], Future[Ended]]] = []

    def open(self) -> _Snapshot:
        self.turns.switch()
        snapshot = _Snapshot(self, self.generation, self.files, self.folders)
        self.turns.switch()
        return snapshot

    def sync(
        self, folder: Path, root: Path, options: Options, *, on_commit: Callable[[CommittedFiles], None], **_: Any
    ) -> tuple[int, Future[Ended]]:
        self.going.append((options, on_commit, Future()))
        return 0, self.going[-1][2]

    def work(self) -> bool:
        """Do what was asked for first, well or badly, and commit it; whether there was anything."""
        if not self.going:
            return False
        options, on_commit, future = self.going.pop(0)
        seen = Look(self.turns, self._world, self.files, self.folders).at(options.dirty)
        if self._chance.random() < 0.2:
            future.set_exception(RecollectError("it failed"))
            return True
        if (seen.files, seen.folders) != (self.files, self.folders):
            self.generation, self.files, self.folders = self.generation + 1, seen.files, seen.folders
            self.turns.switch()
            if self._chance.random() < 0.5:
                on_commit(CommittedFiles())
        result = SyncResult("", "completed", generation=self.generation)
        future.set_result(Ended(result, tuple(seen.told), options.dirty is not None, ()))
        return True


class _Looks(FanOut[str]):
    """One after another in the thread that asks, which the example decides when to let go on."""

    def each(self, keys: Iterable[str], look: Callable[[str], Any]) -> Looked[str, Any]:
        return Looked({key: look(key) for key in keys}, {})


class _Future(Future[SyncResult]):
    """One that is waited for by letting others go on."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    def result(self, timeout: float | None = None) -> SyncResult:
        for _ in range(300 if timeout else 1):
            self._turns.switch()
            if self.done():
                return super().result(0)
        raise FutureTimeout


@contextmanager
def _upkeep(turns: Turns, index: _Index, watcher: Watcher, patient: bool) -> Iterator[Upkeep]:
    locks = SimpleNamespace(Lock=lambda: Lock(turns), RLock=lambda: RLock(turns))
    opening = SimpleNamespace(open=lambda folder: index.open())
    made = Upkeep.__new__(Upkeep)
    with ExitStack() as stack:
        for module in (library, syncs):
            stack.enter_context(mock.patch.object(module, "threading", locks))
        stack.enter_context(mock.patch.object(library, "Snapshot", opening))
        made_runs = mock.MagicMock(side_effect=lambda *given, **named: Run(*given, future=_Future(turns), **named))
        stack.enter_context(mock.patch.object(under_test, "Run", made_runs))
        stack.enter_context(
            mock.patch.object(under_test, "folders_of", side_effect=lambda folder: sorted(index.folders))
        )
        catalog = mock.MagicMock(**{"get.return_value": REPOSITORY, "update.return_value": REPOSITORY})
        made.__dict__ |= {
            "_home": Path(ROOT),
            "settings": Settings(recollect_fresh_budget_ms=20_000 if patient else 0),
            "_catalog": catalog,
            "on_change": lambda: None,
            "_closed": False,
            "_watching": defaultdict(lambda: Lock(turns)),
            "looks": _Looks(),
            **{name: set() for name in ("_looked_at", "_recovered", "_moved")},
            **{name: {} for name in ("_checked", "_failed_looks", "_heads", "_waits")},
            **{name: mock.MagicMock() for name in ("meters", "maps", "vectors", "_note")},
            "notices": deque(),
            "watcher": watcher,
            "library": Library(lambda name: Path(name), lambda name, error: None),
        }
        made.syncs = Syncs(index, watcher, 1, made._committed, made._ended)  # type: ignore[arg-type]
        yield made


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    changes=st.lists(CHANGES, min_size=1, max_size=10),
    askers=st.integers(1, 4),
    background=st.booleans(),
    watched=st.booleans(),
    opened=st.booleans(),
    patient=st.booleans(),
)
def test_what_is_said_to_be_fresh_has_every_write_before_the_question(
    seed: int,
    changes: list[tuple[str, str, str, str]],
    askers: int,
    background: bool,
    watched: bool,
    opened: bool,
    patient: bool,
) -> None:
    turns, files, chance = Turns(seed), Files(), random.Random(seed)
    index = _Index(turns, files, chance)
    seen = Look(turns, files, {}, ()).at(None)
    index.files, index.folders = seen.files, seen.folders

    with made_up_watcher(turns, files) as watcher, _upkeep(turns, index, watcher, patient) as upkeep:
        questions = Questions.__new__(Questions)
        questions.__dict__ |= {"_upkeep": upkeep, "_catalog": upkeep._catalog, "_library": upkeep.library}
        if watched:
            upkeep.attend(REPOSITORY)
        if opened:
            with upkeep.library.reading("r"):
                pass

        def ask() -> None:
            then = files.moment()
            with questions._answering([Target(REPOSITORY)]) as (sources, freshness):
                snapshot: Any = sources[0][1].snapshot
                if freshness.fresh:
                    assert files.older(snapshot.files, then) == []
                    turns.switch()
                assert snapshot.users > 0

        write, asking = writing_and_asking(turns, files, changes, ask, lambda: chance.random() < 0.3)

        def in_background() -> None:
            for _ in range(2):
                upkeep.request(REPOSITORY, Urgency.BACKGROUND, everything=chance.random() < 0.5)
                upkeep.library.let_go()
                turns.switch()

        programs = [write, *[asking] * askers, *([in_background] if background else [])]
        turns.run(programs, index.work)
        assert turns.failures == []
        assert upkeep.syncs.runs() == []
