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

import apsw
import pytest

from recollect.errors import AlreadyRunning, Corrupt, Unavailable
from recollect.index import mapped, schema
from recollect.index.snapshot import Snapshot
from recollect.index.summary import summary_of
from recollect.index.writer import IndexWriter, load_segment
from recollect.store import catalog, pages
from recollect.store.catalog import Catalog
from recollect.store.database import open_database
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
        with closing(schema.open_for_writing(index_folder(home))) as database:
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
    with closing(schema.open_for_writing(tmp_path)) as database:
        database.execute("INSERT INTO meta VALUES ('generation', 7)")
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
    def none_left(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with pytest.raises(Corrupt):
        load_segment(tmp_path, "missing", None)
    monkeypatch.setattr(mapped, "open", none_left, raising=False)
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


@pytest.mark.parametrize("damage", ["a bit", "garbage", "cut", "gone", "a page"])
def test_a_damaged_catalog_is_put_aside_and_what_it_listed_comes_back(
    home: Path, make_repository: MakeRepository, damage: str
) -> None:
    root = make_repository(SHOP)
    with Workspace(home) as workspace:
        workspace.sync(root, name="my shop")
        workspace.configure_auto_sync({"sync_interval": 1234})
        before = workspace.status("my shop")
    folder = index_folder(home)
    path = home / "catalog.db"
    content = path.read_bytes()
    damaged = {
        "a bit": content[:100] + bytes([content[100] ^ 8]) + content[101:],
        "garbage": b"garbage" * 2000,
        "cut": content[:5000],
        "gone": b"",
        "a page": content[:4096] + bytes(4096) + content[8192:],
    }[damage]
    path.write_bytes(damaged)
    if damage == "gone":
        path.unlink()
    with Workspace(home) as workspace:
        assert "put aside" in workspace.about()["notices"][0]
        (aside,) = home.glob("catalog.damaged-*.db")
        assert aside.read_bytes() == damaged
        after = workspace.status("my shop")
        assert (after.path, after.tracked) == (before.path, before.tracked)
        assert index_folder(home) == folder  # the same index
        assert workspace.settings.auto_sync_interval == 1234
        assert any("put aside" in finding.message for finding in workspace.diagnose())
        assert workspace.search("total_price", str(root)).hits[0].path == "shop/cart.py"
    with Workspace(home) as workspace:
        assert workspace.about()["notices"] == []
        assert [item.name for item in workspace.statuses()] == ["my shop"]


def test_a_catalog_that_is_damaged_while_it_is_open_goes_on(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP)
    with Workspace(home) as workspace:
        workspace.sync(root)
        before = workspace.statuses()[0].last_sync
    with Workspace(home) as workspace:
        content = bytearray((home / "catalog.db").read_bytes())
        for page in range(4096, len(content), 4096):
            content[page + 2000] ^= 255
        (home / "catalog.db").write_bytes(content)
        assert workspace.sync(root).status == "completed"
        assert workspace.configure_auto_sync({"sync_interval": 1234}) is not None
        assert workspace.activity(10) is not None
        assert workspace.statuses()[0].last_sync is not None
        assert before is not None
    with Workspace(home) as workspace:
        assert workspace.settings.auto_sync_interval == 1234
        assert [item.name for item in workspace.statuses()] == ["project"]


def test_a_catalog_without_checksums_gets_them_and_keeps_everything(home: Path) -> None:
    home.mkdir(exist_ok=True)
    older = open_database(home / "catalog.db", catalog._SCHEMA, 4)
    older.execute("INSERT INTO settings VALUES ('auto_sync_interval', '777')")
    older.execute("INSERT INTO repositories (id, path, name, type, added_at) VALUES ('a', '/nowhere', 'old', 'git', 1)")
    older.close()
    for _ in range(2):
        again = Catalog(home / "catalog.db")
        assert again.persisted() == {"auto_sync_interval": 777}
        assert [item.name for item in again.repositories()] == ["old"]
        again.close()
    assert (home / "catalog.db").read_bytes()[20] == 8


@pytest.mark.parametrize("version", [4, 5])  # one of version 4 was cut short when it got its checksums
def test_a_catalog_with_checksums_of_an_older_version_keeps_everything(home: Path, version: int) -> None:
    home.mkdir(exist_ok=True)
    pages.make(home / "catalog.db", catalog._SCHEMA, version)
    with closing(pages.connect(home / "catalog.db", version, writing=True)) as older:
        older.execute(
            "INSERT INTO repositories (id, path, name, type, added_at) VALUES ('a', '/nowhere', 'old', 'git', 1)"
        )
    for _ in range(2):
        again = Catalog(home / "catalog.db")
        assert [(item.name, item.admitted_by) for item in again.repositories()] == [("old", None)]
        again.update("a", admitted_by=None)
        again.close()
    assert (home / "catalog.db").read_bytes()[20] == 8


def test_a_catalog_whose_making_was_cut_short_is_made(home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "catalog.db").touch()
    for _ in range(2):
        again = Catalog(home / "catalog.db")
        assert again.repositories() == []
        again.close()


def test_the_index_of_a_repository_that_is_not_known_any_more_is_removed(home: Path) -> None:
    (home / "repositories" / "0123456789abcdef").mkdir(parents=True)
    with Workspace(home):
        assert not (home / "repositories" / "0123456789abcdef").exists()


def test_a_home_has_one_owner(home: Path) -> None:
    with Workspace(home), pytest.raises(AlreadyRunning):
        Workspace(home)
    Workspace(home).close()


def flip(path: Path, place: int) -> None:
    """One bit of a file, where it lies."""
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 4]))


def many_files() -> dict[str, str]:
    chance = random.Random(5)
    lines = ("    " + "".join(chance.choices(ascii_lowercase, k=9)) + " = 1\n" for _ in range(100_000))
    return {f"f{i}.py": f"def func_{i}():\n" + "".join(next(lines) for _ in range(60)) for i in range(400)}


def pages_of(folder: Path, table: str) -> list[int]:
    with closing(sqlite3.connect(f"{(folder / 'index.db').as_uri()}?immutable=1", uri=True)) as database:
        root, size = (
            database.execute(sql).fetchone()[0]
            for sql in (f"SELECT rootpage FROM sqlite_master WHERE name = '{table}'", "PRAGMA page_size")
        )
    return [(root - 1) * size]


@pytest.mark.parametrize("table", ["definitions", "definitions_folded", "texts", "files", "chunks", "meta", "entries"])
def test_a_wrong_bit_in_any_table_is_noticed_and_never_makes_a_wrong_answer(
    home: Path, make_repository: MakeRepository, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_FIRST_ANSWER_S", 60.0)
    root = make_repository(SHOP)
    with Workspace(home) as workspace:
        workspace.sync(root)
        before = workspace.search("total_price", "project").hits, workspace.symbol("Cart", "project").definitions
    IndexWriter(index_folder(home)).close()  # the last to close it moves the log into the database
    flip(index_folder(home) / "index.db", pages_of(index_folder(home), table)[0] + 1500)
    with Workspace(home) as workspace:
        assert workspace.search("total_price", "project").hits == before[0]
        assert workspace.symbol("Cart", "project").definitions == before[1]
        wait_until(lambda: any("made again from the files" in said for said in workspace.about()["notices"]))
        assert workspace.search("total_price", "project").freshness.fresh
        assert any("made again" in finding.message for finding in workspace.diagnose())


def test_damage_under_an_open_index_is_noticed_by_the_question_that_meets_it(
    home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_FIRST_ANSWER_S", 60.0)
    root = make_repository(many_files())
    with Workspace(home) as workspace:
        workspace.sync(root)
        assert workspace.search("func_17", "project").hits[0].path == "f17.py"
        database = index_folder(home) / "index.db"
        for place in range(2048 + 1000, database.stat().st_size, 2048):
            flip(database, place)
        for path in (index_folder(home) / "segments").iterdir():
            flip(path, path.stat().st_size // 2)
        for number in (3, 71, 140, 333):
            assert workspace.search(f"func_{number}", "project").hits[0].path == f"f{number}.py"
            assert workspace.symbol(f"func_{number}", "project").definitions[0].path == f"f{number}.py"
        wait_until(lambda: workspace.about()["notices"])


def test_a_damaged_log_is_not_taken_for_a_shorter_one(tmp_path: Path) -> None:
    index = IndexWriter(tmp_path)
    for number in range(20):
        index._db.execute("INSERT OR REPLACE INTO meta VALUES ('generation', ?)", (number,))
    index._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    shutil.copytree(tmp_path, tmp_path / "killed")  # as a kill leaves it, with its log
    index.close()
    log = tmp_path / "killed" / "index.db-wal"
    Snapshot.open(tmp_path / "killed").release()
    flip(log, log.stat().st_size // 3)
    for opened in (IndexWriter, Snapshot.open):
        with pytest.raises(Corrupt, match="log"):
            opened(tmp_path / "killed")


def test_the_bit_that_says_there_are_checksums_is_checked_too(tmp_path: Path) -> None:
    IndexWriter(tmp_path).close()
    with open(tmp_path / "index.db", "r+b") as file:
        file.seek(20)
        file.write(b"\0")
    with pytest.raises(Corrupt):
        Snapshot.open(tmp_path)


@pytest.mark.parametrize("failure", [apsw.FullError, apsw.BusyError, apsw.ReadOnlyError, apsw.CantOpenError])
def test_a_full_disk_a_lock_and_a_read_only_file_are_no_damage(failure: type[apsw.Error]) -> None:
    assert isinstance(pages.translated(failure("as SQLite says it"), "the index"), Unavailable)


def test_a_damaged_index_keeps_no_memory_from_being_stored_and_no_other_repository_from_answering(
    home: Path, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_FIRST_ANSWER_S", 60.0)
    root, other = make_repository(SHOP), make_repository({"b.py": "def settle(): pass\n"}, "other")
    with Workspace(home) as workspace:
        workspace.sync(root)
        workspace.sync(other)
        known = next(item for item in workspace._catalog.repositories() if item.path == root)
    folder = workspace._upkeep.folder(known.id)
    IndexWriter(folder).close()
    for place in range(2048 + 1000, (folder / "index.db").stat().st_size, 2048):
        flip(folder / "index.db", place)
    with Workspace(home) as workspace:
        assert workspace.memory.add("`Cart` holds what `shop/cart.py` adds", repository=known)
        assert workspace.memory.recall("Cart").memories
        answer = workspace.search("settle total_price", [known.name, "other"])
        assert "b.py" in {hit.path for hit in answer.hits}
        assert not answer.freshness.fresh or "shop/cart.py" in {hit.path for hit in answer.hits}
