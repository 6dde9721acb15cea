"""A file that crashes or hangs its grammar costs that file its symbols, never the sync."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from blake3 import blake3

from recollect.errors import Unavailable
from recollect.index.snapshot import Snapshot
from recollect.index.writer import IndexWriter
from recollect.jobs.pool import Job, ParsePool, Task, _Worker
from recollect.jobs.synchronise import Control, Options, synchronise
from tests.conftest import wait_until, write

DEADLY = (sys.executable, str(Path(__file__).with_name("deadly_worker.py")))


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[ParsePool]:
    made = ParsePool(tmp_path / "cache.db", 2, command=DEADLY)
    yield made
    made.close()


def test_crashing_and_hanging_files_are_quarantined_and_indexed_by_lines(tmp_path: Path, pool: ParsePool) -> None:
    files = {f"good{i}.py": f"def good_{i}():\n    return {i}\n" for i in range(40)}
    write(
        tmp_path / "root", {**files, "bad.py": "DEADLY = 1\n", "slow.py": "ENDLESS = 2\n", "worst.py": "CURSED = 3\n"}
    )
    writer = IndexWriter(tmp_path / "index")
    result = synchronise(writer, tmp_path / "root", pool, Options(), Control()).result
    assert result.total_files == 43
    assert {(error.path, error.kind) for error in result.errors} == {
        ("bad.py", "quarantined"),
        ("slow.py", "quarantined"),
        ("worst.py", "parser_crashed"),
    }
    snapshot = Snapshot.open(tmp_path / "index")
    by_path = {info.path: info for info in snapshot.files.values()}
    assert by_path["bad.py"].status == "indexed"
    assert by_path["bad.py"].reason == "quarantined"
    assert by_path["worst.py"].status == "failed"
    assert all(by_path[name].status == "indexed" and by_path[name].reason is None for name in files)
    assert len(snapshot.definitions([f"good_{i}" for i in range(40)])) == 40
    snapshot.close()
    assert sorted(pool.cache.quarantined().values()) == ["parse_timeout", "parser_crashed", "parser_crashed"]
    writer.close()


def test_workers_that_cannot_start_fail_the_sync_and_blame_no_file(tmp_path: Path) -> None:
    write(tmp_path / "root", {f"f{number}.py": "x = 1\n" for number in range(300)})
    broken = tmp_path / "broken"
    broken.touch()
    start = f"import sys, pathlib\nif pathlib.Path({str(broken)!r}).exists(): sys.exit(1)\nfrom recollect.server.worker import main; main()"
    pool = ParsePool(tmp_path / "cache.db", 2, command=(sys.executable, "-c", start))
    writer = IndexWriter(tmp_path / "index")
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            synchronise(writer, tmp_path / "root", pool, Options(), Control())
        assert caught.value.to_dict()["code"] == "no_worker"
    assert not pool.cache.quarantined()
    broken.unlink()
    result = synchronise(writer, tmp_path / "root", pool, Options(), Control()).result
    assert (result.total_files, result.errors) == (300, ())
    writer.close()
    pool.close()


def test_quarantined_content_is_not_tried_again_and_new_content_is(tmp_path: Path, pool: ParsePool) -> None:
    root = tmp_path / "root"
    write(root, {"bad.py": "DEADLY = 1\n"})
    writer = IndexWriter(tmp_path / "index")
    synchronise(writer, root, pool, Options(), Control())
    write(root, {"copy.py": "DEADLY = 1\n"})
    again = synchronise(writer, root, pool, Options(), Control()).result
    assert [(error.path, error.kind) for error in again.errors] == [("copy.py", "quarantined")]
    write(root, {"bad.py": "def mended(): pass\n"})
    mended = synchronise(writer, root, pool, Options(), Control()).result
    assert mended.errors == ()
    snapshot = Snapshot.open(tmp_path / "index")
    assert [item.name for item in snapshot.definitions(["mended"])] == ["mended"]
    snapshot.close()
    writer.close()


def test_a_file_that_was_begun_ahead_comes_out_as_it_is_when_it_is_asked_for(tmp_path: Path) -> None:
    pool = ParsePool(tmp_path / "cache.db", 2)
    pool.warm()
    write(tmp_path, {"a.py": "def before(): pass\n", "b.py": "def other(): pass\n"})
    for ahead, then, wanted in (
        (["a.py"], "def before(): pass\n", "before"),  # as it was foreseen
        (["a.py"], "def after(): pass\n", "after"),  # changed meanwhile
        (["gone.py", "b.py"], "def third(): pass\n", "third"),  # another one was foreseen
    ):
        pool.foresee(str(tmp_path), ahead, 1_000_000)
        write(tmp_path, {"a.py": then})
        content = blake3(then.encode()).digest(16)
        task = Task(str(tmp_path), "a.py", content, len(then), 1_000_000, nice=0)
        (answer,) = [answer for answer in pool.submit([task]).answers() if answer is not None]
        assert answer.result is not None
        assert (answer.result.hash, [symbol[0] for symbol in answer.result.symbols]) == (content, [wanted])
        assert answer.result.vectors is not None
    pool.close()


def test_a_file_begun_ahead_for_a_repository_around_has_its_own_path_in_the_inner_one(tmp_path: Path) -> None:
    pool = ParsePool(tmp_path / "cache.db", 1)
    pool.warm()
    wait_until(pool._ready)
    content = "def shared(): pass\n"
    write(tmp_path, {"inner/a.py": content})
    pool.foresee(str(tmp_path), ["inner/a.py"], 1_000_000)
    digest = blake3(content.encode()).digest(16)
    task = Task(str(tmp_path / "inner"), "a.py", digest, len(content), 1_000_000, nice=0)
    (answer,) = [answer for answer in pool.submit([task]).answers() if answer is not None]
    assert answer.result is not None
    assert answer.result.path == "a.py"
    pool.close()


def test_what_dies_of_a_file_begun_ahead_is_no_fault_of_another(tmp_path: Path, pool: ParsePool) -> None:
    root = tmp_path / "root"
    write(root, {"bad.py": "DEADLY = 1\n", "good.py": "def good(): pass\n"})
    pool.warm()
    wait_until(pool._ready)
    pool.foresee(str(root), ["bad.py"], 1_000_000)
    writer = IndexWriter(tmp_path / "index")
    result = synchronise(writer, root, pool, Options(dirty=("good.py",), interactive=True), Control()).result
    assert {(error.path, error.kind) for error in result.errors} <= {("bad.py", "quarantined")}
    assert "good" in [row[0] for row in writer._db.execute("SELECT name FROM symbols")]
    writer.close()


def test_guesses_do_not_pile_up(tmp_path: Path) -> None:
    pool = ParsePool(tmp_path / "cache.db", 1)
    write(tmp_path, {f"f{number}.py": f"def f_{number}(): pass\n" for number in range(3)})
    pool.warm()
    wait_until(pool._ready)
    for number in range(3):
        pool.foresee(str(tmp_path), [f"f{number}.py"], 1_000_000)
    assert pool._ahead == {0: {(str(tmp_path), "f0.py")}}
    tasks = [Task(str(tmp_path), f"f{number}.py", b"", 1, 1_000_000, nice=0) for number in range(3)]
    answers = [answer for task in tasks for answer in pool.submit([task]).answers() if answer is not None]
    assert [answer.result.symbols[0][0] for answer in answers if answer.result] == ["f_0", "f_1", "f_2"]
    wait_until(lambda: pool._ready() and not pool._ahead)
    pool.close()


def test_many_files_that_take_too_long_cost_one_try_each_and_no_other_file_anything(
    tmp_path: Path, pool: ParsePool
) -> None:
    root = tmp_path / "root"
    write(root, {f"slow{number}.py": f"ENDLESS = {number}\n" for number in range(8)})
    write(root, {f"good{number}.py": f"def good_{number}(): pass\n" for number in range(20)})
    deaths = 0
    lost = ParsePool._lost

    def count(self: ParsePool, job: Job, unanswered: Sequence[Task], worker: _Worker) -> None:
        nonlocal deaths
        deaths += 1
        lost(self, job, unanswered, worker)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ParsePool, "_lost", count)
        writer = IndexWriter(tmp_path / "index")
        result = synchronise(writer, root, pool, Options(), Control()).result
    assert {error.kind for error in result.errors} == {"quarantined"}
    assert (len(result.errors), result.total_files, deaths) == (8, 28, 8)
    assert set(pool.cache.quarantined().values()) == {"parse_timeout"}
    writer.close()
