"""Stored data that is damaged is made again, and that is said."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from string import ascii_lowercase

import pytest

from recollect.errors import AlreadyRunning, Corrupt, Unavailable
from recollect.index import writer
from recollect.index.snapshot import Snapshot
from recollect.index.summary import summary_of
from recollect.index.writer import IndexWriter, load_segment
from recollect.workspace import Workspace, upkeep
from tests.conftest import SHOP, MakeRepository, wait_until


def index_folder(home: Path) -> Path:
    return next((home / "repositories").iterdir())


@pytest.mark.parametrize("damage", ["garbage", "cut", "deleted"])
def test_a_damaged_index_is_made_again(home: Path, make_repository: MakeRepository, damage: str) -> None:
    root = make_repository(SHOP)
    with Workspace(home) as workspace:
        workspace.sync(root)
    database = index_folder(home) / "index.db"
    for name in ("index.db-wal", "index.db-shm"):
        (index_folder(home) / name).unlink(missing_ok=True)
    if damage == "garbage":
        database.write_bytes(b"this is no database" * 1000)
    elif damage == "cut":
        database.write_bytes(database.read_bytes()[:5000])
    else:
        database.unlink()
    with Workspace(home) as workspace:
        result = workspace.sync(root)
        assert result.status == "completed"
        if damage != "deleted":  # by this sync, or by the check of the start that came before it
            assert any("made again from the files" in said for said in workspace.about()["notices"])
        assert workspace.search("total_price", "project").hits[0].path == "shop/cart.py"


@pytest.mark.parametrize("damage", ["garbage", "another version"])
def test_an_index_that_a_question_finds_useless_is_made_again_and_waited_for(
    home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(upkeep, "_FIRST_ANSWER_S", 60.0)
    root = make_repository(SHOP)
    with Workspace(home) as workspace:
        workspace.sync(root)
    if damage == "garbage":
        for name in ("index.db-wal", "index.db-shm"):
            (index_folder(home) / name).unlink(missing_ok=True)
        (index_folder(home) / "index.db").write_bytes(b"garbage" * 3000)
    else:
        with closing(sqlite3.connect(index_folder(home) / "index.db")) as database:
            database.execute("PRAGMA user_version=4")
    with Workspace(home) as workspace:
        assert workspace.search("total_price", "project").hits
        last = workspace.status("project").last_sync
        assert last is not None
        assert "index_rebuilt" in {error.kind for error in last.errors}


def test_no_reader_ever_finds_an_index_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stop)
        with pytest.raises(InterruptedError):
            IndexWriter(tmp_path)
    assert summary_of(tmp_path) is None
    with pytest.raises(FileNotFoundError):
        Snapshot.open(tmp_path)
    IndexWriter(tmp_path).close()
    assert summary_of(tmp_path) is not None
    assert not list(tmp_path.glob("index.new*"))


def test_the_log_of_an_index_that_was_removed_is_not_taken_for_a_new_one_s(tmp_path: Path) -> None:
    index = IndexWriter(tmp_path)
    with closing(sqlite3.connect(tmp_path / "index.db")) as database:
        database.execute("INSERT INTO meta VALUES ('generation', 7)")
        database.commit()
        shutil.copy(tmp_path / "index.db-wal", tmp_path / "kept")
    index.close()
    (tmp_path / "index.db").unlink()
    (tmp_path / "kept").rename(tmp_path / "index.db-wal")
    index = IndexWriter(tmp_path)
    assert index.generation == 0
    index.close()


def test_an_index_that_a_kill_left_with_a_journal_is_made_again(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP)
    with Workspace(home) as workspace:
        workspace.sync(root)
    folder = index_folder(home)
    left = folder / "left"
    with closing(sqlite3.connect(left, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size=1")  # what is written goes to the file before it is committed
        database.execute("CREATE TABLE t (x)")
        database.execute("BEGIN")
        database.executemany("INSERT INTO t VALUES (?)", ((b"x" * 500,) for _ in range(3000)))
        for name in folder.glob("index.db*"):
            name.unlink()
        shutil.copy(left, folder / "index.db")
        shutil.copy(f"{left}-journal", folder / "index.db-journal")
    with Workspace(home) as workspace:
        workspace.search("total_price", "project")
        wait_until(lambda: workspace.search("total_price", "project").hits)


def test_a_segment_that_cannot_be_opened_now_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with pytest.raises(Corrupt):
        load_segment(tmp_path, "missing", None)
    monkeypatch.setattr(writer, "open", none_left, raising=False)
    with pytest.raises(Unavailable):
        load_segment(tmp_path, "missing", None)


def test_a_damaged_segment_is_made_again_from_the_rows(home: Path, make_repository: MakeRepository) -> None:
    letters = random.Random(3)

    def names() -> str:  # of their own: what is alike would be zipped to less than has a file of its own
        return "".join(f"    {''.join(letters.choices(ascii_lowercase, k=9))} = 1\n" for _ in range(60))

    root = make_repository({f"f{i}.py": f"def func_{i}():\n{names()}" for i in range(1200)})
    with Workspace(home) as workspace:
        workspace.sync(root, full=True)
    index = IndexWriter(index_folder(home))
    index.compact(force=True)  # in how many pieces it came depends on how fast the machine is
    index.close()
    (segment,) = (index_folder(home) / "segments").iterdir()
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)
    with Workspace(home) as workspace:
        workspace.search("func_17", "project")
        wait_until(lambda: workspace.search("func_17", "project").hits)
        assert workspace.search("func_17", "project").hits[0].path == "f17.py"


def test_a_damaged_catalog_is_put_aside_and_its_repositories_come_back(
    home: Path, make_repository: MakeRepository
) -> None:
    root = make_repository(SHOP)
    with Workspace(home) as workspace:
        workspace.sync(root)
    (home / "catalog.db").write_bytes(b"garbage" * 2000)
    with Workspace(home) as workspace:
        assert "put aside" in workspace.about()["notices"][0]
        assert list(home.glob("catalog.damaged-*.db"))
        assert workspace.search("total_price", str(root)).hits[0].path == "shop/cart.py"


def test_the_index_of_a_repository_that_is_not_known_any_more_is_removed(home: Path) -> None:
    (home / "repositories" / "0123456789abcdef").mkdir(parents=True)
    with Workspace(home):
        assert not (home / "repositories" / "0123456789abcdef").exists()


def test_a_home_has_one_owner(home: Path) -> None:
    with Workspace(home), pytest.raises(AlreadyRunning):
        Workspace(home)
    Workspace(home).close()
