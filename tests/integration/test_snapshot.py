"""Generations of an index, side by side: what they share, and what they read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from recollect.index import segment
from recollect.index.analyse import analyse
from recollect.index.snapshot import Snapshot
from recollect.index.writer import IndexWriter
from recollect.jobs.library import Library
from recollect.search.filters import Filters, allowed_files
from recollect.sync.tree import EMPTY
from tests.conftest import open_files


def write(folder: Path, content: bytes) -> None:
    writer = IndexWriter(folder)
    writer.commit(tree=EMPTY, analysed=[analyse(content, "a.py")], removed=[])
    writer.close()


def numbers(snapshot: Snapshot) -> list[str]:
    return [row[0] for row in snapshot.rows("SELECT name FROM symbols")]


def test_a_generation_keeps_its_rows_while_later_ones_are_read(tmp_path: Path) -> None:
    write(tmp_path, b"def one(): pass\n")
    first = Snapshot.open(tmp_path)
    write(tmp_path, b"def two(): pass\n")
    second = first.advance()
    write(tmp_path, b"def three(): pass\n")
    third = second.advance()
    assert [numbers(item) for item in (first, second, third)] == [["one"], ["two"], ["three"]]
    second.close()
    write(tmp_path, b"def four(): pass\n")
    fourth = third.advance()  # through the connection that the second one had
    assert [numbers(item) for item in (first, third, fourth)] == [["one"], ["three"], ["four"]]
    for item in (first, third, fourth):
        item.close()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks at the open files")
def test_connections_do_not_add_up_and_none_is_left(tmp_path: Path) -> None:
    write(tmp_path, b"def one(): pass\n")
    snapshot = Snapshot.open(tmp_path)
    for number in range(12):
        write(tmp_path, f"def more_{number}(): pass\n".encode())
        later = snapshot.advance()
        snapshot.close()
        snapshot = later
        assert snapshot.advance() is snapshot
    assert (
        open_files().count(str(tmp_path / "index.db")) <= 3
    )  # SQLite closes a file once no other connection has a lock on it
    snapshot.close()
    assert open_files().count(str(tmp_path / "index.db")) == 0


def test_an_index_that_was_made_anew_is_read_anew(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    write(folder, b"def old(): pass\n")
    first = Snapshot.open(folder)
    write(folder, b"def newer(): pass\n")
    second = first.advance()
    first.close()
    shutil.rmtree(folder)
    for number in range(4):  # beyond the generation that is open
        write(folder, f"def fresh_{number}(): pass\n".encode())
    third = second.advance()
    assert numbers(third) == ["fresh_3"]
    second.close()
    third.close()


@pytest.mark.parametrize(
    "content", [b"one\ntwo\nthree\n", b"one\n\nthree", "ä\nβ\n\nc".encode(), "ä\nβ\n\n".encode("utf-16")]
)
def test_lines_of_a_file_are_those_of_its_text(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, content)
    snapshot = Snapshot.open(tmp_path)
    (info,) = snapshot.files.values()
    lines = snapshot.text(info.id).split("\n")
    assert len(lines) > 2
    for first in range(1, len(lines) + 1):
        for last in range(first, len(lines) + 1):
            assert snapshot.lines(info.id, first, last) == lines[first - 1 : last]
    assert snapshot.lines(info.id, len(lines) + 1, len(lines) + 3) == []
    assert snapshot.lines(info.id + 1, 2, 3) == []
    snapshot.close()


def test_the_log_does_not_grow_with_every_edit_while_a_reader_stays(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path)
    snapshot = None
    sizes = []
    for number in range(60):
        content = "".join(f"def part_{number}_{i}(): return {i * number}\n" for i in range(500)).encode()
        writer.commit(tree=EMPTY, analysed=[analyse(content, "a.py")], removed=[])
        later = snapshot.advance() if snapshot is not None else Snapshot.open(tmp_path)
        if snapshot is not None:
            snapshot.close()
        snapshot = later
        if writer.compact():
            later = snapshot.advance()
            snapshot.close()
            snapshot = later
        if writer.settle_log():
            assert snapshot.advance() is snapshot
        assert f"part_{number}_7" in numbers(snapshot)
        sizes.append((tmp_path / "index.db-wal").stat().st_size)
    assert max(sizes) < 2_000_000, sizes
    writer.settle_log()
    assert snapshot.advance() is snapshot
    writer.cut_log()
    assert not (tmp_path / "index.db-wal").stat().st_size
    assert snapshot is not None
    snapshot.close()
    writer.close()


def test_what_was_derived_outlasts_generations_that_nobody_asked(tmp_path: Path) -> None:
    write(tmp_path, b"def one(): pass\n")
    snapshot = Snapshot.open(tmp_path)
    allowed = allowed_files(snapshot, Filters(), 0)
    snapshot.memo["other"] = marker = object()
    for number in range(3):
        write(tmp_path, f"def more_{number}(): pass\n".encode())
        later = snapshot.advance()
        snapshot.close()
        snapshot = later
    assert snapshot.memo.get("other") is marker
    assert allowed_files(snapshot, Filters(), 0) is allowed  # not made anew: the same files may be found
    writer = IndexWriter(tmp_path)
    writer.commit(tree=EMPTY, analysed=[analyse(b"text\n", "b.txt"), analyse(b"x = 1\n", "c.py")], removed=["a.py"])
    writer.close()
    later = snapshot.advance()
    snapshot.close()
    found = allowed_files(later, Filters(), 0)
    assert found is not None
    assert [info.path for info in later.files.values() if found[info.id]] == ["c.py"]
    later.close()


@pytest.mark.parametrize("few", [0, 20, 1000])
def test_an_index_that_only_grows_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(segment, "_PENDING", 10)
    monkeypatch.setattr(segment, "_FEW", few)
    direction = np.arange(-128, 128, dtype=np.int8)
    writer = IndexWriter(tmp_path)
    followed: list[Snapshot] = []
    for number in range(4):
        content = "".join(f"def f_{number}_{i}(a, b):\n    return a + b + {i}\n\n\n" * 9 for i in range(40))
        writer.commit(tree=EMPTY, analysed=[analyse(content.encode(), f"f{number}.py")], removed=[], complete=False)
        followed.append(followed[-1].advance() if followed else Snapshot.open(tmp_path))
        fresh = Snapshot.open(tmp_path)
        assert followed[-1].n_chunks == fresh.n_chunks > 10 * (number + 1)
        exact = sum(view.second_moment() for view in fresh.views).astype(np.int64) @ direction.astype(np.int64)
        said = {followed[-1].moment.along(direction), fresh.moment.along(direction)}
        assert said == {int(exact @ direction.astype(np.int64))}
        fresh.close()
    for snapshot in followed:
        snapshot.close()
    writer.close()


def test_a_snapshot_that_cannot_follow_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(lambda name: tmp_path / name, lambda name, error: None)
    write(tmp_path / "index", b"def before(): pass\n")
    with library.reading("index") as snapshot:
        assert snapshot is not None
        assert numbers(snapshot) == ["before"]
    write(tmp_path / "index", b"def after(): pass\n")

    def broken(self: Snapshot) -> Snapshot:
        raise ValueError("a bug")

    monkeypatch.setattr(Snapshot, "advance", broken)
    assert library.publish("index")
    with library.reading("index") as snapshot:
        assert snapshot is not None
        assert numbers(snapshot) == ["after"]
    library.close()


@pytest.mark.parametrize("meanwhile", ["committed", "begun anew"])
def test_what_is_committed_while_an_index_is_opened_is_not_missed(
    meanwhile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(lambda name: tmp_path / name, lambda name, error: None)
    write(tmp_path / "index", b"def before(): pass\n")
    opened = Snapshot.open

    def opening(folder: Path) -> Snapshot:
        snapshot = opened(folder)
        monkeypatch.setattr(Snapshot, "open", opened)
        if meanwhile == "begun anew":
            library.drop("index")
            shutil.rmtree(folder)
        write(folder, b"def after(): pass\n")
        assert library.publish("index")  # nobody has it open yet
        return snapshot

    monkeypatch.setattr(Snapshot, "open", opening)
    for _ in range(2):
        with library.reading("index") as snapshot:
            assert snapshot is not None
            assert numbers(snapshot) == ["after"]
    library.close()


def test_an_index_that_was_made_anew_is_not_taken_for_an_older_generation(tmp_path: Path) -> None:
    library = Library(lambda name: tmp_path / name, lambda name, error: None)
    for body in (b"def one(): pass\n", b"def two(): pass\n"):
        write(tmp_path / "index", body)
    with library.reading("index") as held:
        assert held is not None
        for name in ("three", "four"):  # of as many generations, and of fewer
            before = Snapshot.open(tmp_path / "index")
            shutil.rmtree(tmp_path / "index")
            write(tmp_path / "index", f"def {name}(): pass\n".encode())
            assert library.publish("index", 1)
            before.close()  # its connection is to what was removed
            for _ in range(2):
                with library.reading("index") as snapshot:
                    assert snapshot is not None
                    assert numbers(snapshot) == [name]
                assert library.publish("index")
        assert numbers(held) == ["two"]
    library.close()


def test_a_commit_that_was_begun_and_given_up_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path, b"def one(): pass\n")
    writer = IndexWriter(tmp_path)
    writer.begin(EMPTY, ["a.py"], retire=True)
    writer.abandon()
    snapshot = Snapshot.open(tmp_path)
    assert (numbers(snapshot), snapshot.n_chunks) == (["one"], 1)
    writer.begin(EMPTY, ["a.py"], retire=True)  # of one file, and the commit is of another
    writer.commit(tree=EMPTY, analysed=[analyse(b"def other(): pass\n", "b.py")], removed=[])
    later = snapshot.advance()
    assert (sorted(numbers(later)), later.n_chunks) == (["one", "other"], 2)
    writer.begin(EMPTY, ["a.py"], retire=True)
    assert writer.commit(tree=EMPTY, analysed=[], removed=["a.py"]).chunks_deleted == 1
    last = later.advance()
    assert (numbers(last), last.n_chunks, writer.counts()["chunks"]) == (["other"], 1, 1)
    for item in (snapshot, later, last):
        item.close()
    writer.close()
