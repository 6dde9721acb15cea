"""What was promised survives a power cut: a recorded run, cut at random moments (`benchmarks.power_cuts` does many)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.test_crash_points import from_scratch
from tests.power_cuts import recording, scenario, simulate
from tests.power_cuts.disk import Disk, Rest
from tests.power_cuts.recording import Kind, Record

_ROOT, _FILE = 1, 2


def _operations(*operations: tuple[Kind, int, int, int, bytes, bytes]) -> Disk:
    disk = Disk(_ROOT)
    for operation in operations:
        disk.record(Record(*operation))
    return disk


def _left(disk: Disk, target: Path, rest: Rest, seed: int = 0) -> dict[str, bytes]:
    target.mkdir()
    disk.cut(target, rest, random.Random(seed))
    return {path.name: path.read_bytes() for path in target.iterdir()}


def test_the_model_loses_what_was_not_synced(tmp_path: Path) -> None:
    made = (Kind.LINK, _ROOT, _FILE, 0, b"a", b"")
    first = (Kind.WRITE, _FILE, 0, 0, b"a", b"first")
    synced = (Kind.SYNC_BEGIN, _FILE, 0, 7, b"a", b""), (Kind.SYNC_END, _FILE, 0, 7, b"a", b"")
    folder = (Kind.SYNC_BEGIN, _ROOT, 0, 8, b"", b""), (Kind.SYNC_END, _ROOT, 0, 8, b"", b"")
    later = (Kind.WRITE, _FILE, 0, 0, b"a", b"later")
    assert _left(_operations(made, first, *synced), tmp_path / "1", Rest.LOST) == {}  # the name was not
    disk = _operations(made, first, *synced, *folder, later)
    assert _left(disk, tmp_path / "2", Rest.LOST) == {"a": b"first"}
    assert _left(disk, tmp_path / "3", Rest.KEPT) == {"a": b"later"}
    torn = {_left(disk, tmp_path / f"t{seed}", Rest.TORN, seed)["a"] for seed in range(20)}
    assert torn == {b"first", b"later"}


def test_the_model_tears_a_write_at_its_pages(tmp_path: Path) -> None:
    disk = _operations(
        (Kind.LINK, _ROOT, _FILE, 0, b"a", b""),
        (Kind.WRITE, _FILE, 0, 0, b"a", b"x" * 8192),
        (Kind.SYNC_BEGIN, _FILE, 0, 1, b"a", b""),
        (Kind.SYNC_END, _FILE, 0, 1, b"a", b""),
        (Kind.SYNC_BEGIN, _ROOT, 0, 2, b"", b""),
        (Kind.SYNC_END, _ROOT, 0, 2, b"", b""),
        (Kind.WRITE, _FILE, 0, 0, b"a", b"y" * 8192),
    )
    left = {_left(disk, tmp_path / str(seed), Rest.TORN, seed)["a"] for seed in range(40)}
    assert left == {a * 4096 + b * 4096 for a in (b"x", b"y") for b in (b"x", b"y")}


@pytest.mark.skipif(recording.compiler() is None, reason="the recorder is built by a C compiler")
def test_power_cuts_lose_no_promise_and_make_no_wrong_answer(tmp_path: Path) -> None:
    log, repository, inode = simulate.record(tmp_path)
    scratch = from_scratch(repository, tmp_path / "scratch")
    for cut in simulate.cuts(log, inode, 12, random.Random(5), tmp_path / "cut"):
        broken = scenario.check(tmp_path / "cut" / "home", repository, cut.promises, scratch)
        assert not broken, f"a cut after {cut.moment} operations, the rest {cut.rest}"
