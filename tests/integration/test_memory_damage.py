"""Damaged, missing and unreadable memories: nothing is lost silently, and nothing else stops."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from recollect.errors import Unavailable, UserError
from recollect.jobs.library import Library
from recollect.memory.store import MemoryStore
from recollect.store.catalog import Catalog
from recollect.workspace import Workspace
from recollect.workspace.memories import Memories
from tests.conftest import MakeRepository, wait_until


@contextmanager
def memories(home: Path) -> Iterator[Memories]:
    """The memory of a home, without all else."""
    catalog = Catalog(home / "catalog.db")
    memory = Memories(
        home, catalog, Library(lambda name: home / "repositories" / name, lambda name, error: None), lambda: True
    )
    try:
        yield memory
    finally:
        memory.close()
        catalog.close()


def a_home(home: Path, count: int = 12) -> dict[str, str]:
    """A home with memories and a backup of them; id → content."""
    with memories(home) as memory:
        stored = {}
        for number in range(count):
            content = f"memory {number}: the gateway number {number} listens on port {8000 + number}"
            stored[memory.add(content, tags=["net", f"n{number}"], metadata={"n": number}).id] = content
        memory.backup()
    return stored


def listed(memory: Memories) -> dict[str, str]:
    return {item.id: item.content for item in memory.page(1, 1000).memories}


def edit(home: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(home / "memory.db", isolation_level=None)) as database:
        database.execute(sql, values)


def test_a_flipped_bit_never_gives_a_wrong_memory_and_no_loss_is_silent(home: Path, tmp_path: Path) -> None:
    stored = a_home(home)
    whole = tmp_path / "whole"
    shutil.copytree(home, whole)
    dice = random.Random(1)
    for _ in range(40):
        folder = tmp_path / "flipped"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        data = bytearray((folder / "memory.db").read_bytes())
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        (folder / "memory.db").write_bytes(data)
        with memories(folder) as memory:
            try:
                here = listed(memory)
            except Unavailable:
                assert "restore" in memory.notices()[0]
                continue
            assert here.items() <= stored.items()
            assert here == stored or memory.notices()
            assert {item.content for item in memory.recall("gateway number 7", 1).memories} <= set(stored.values())


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE memories SET created_at = 1700000000123 WHERE id = ?",
        "UPDATE memories SET created_at = 9e999, updated_at = 'never' WHERE id = ?",
        "UPDATE memories SET content = 'something else' WHERE id = ?",
        "UPDATE memories SET metadata = '{broken' WHERE id = ?",
        "UPDATE memories SET content = CAST(x'ff00ff' AS TEXT) WHERE id = ?",
        "UPDATE memories SET refers_to = x'00' WHERE id = ?",
        "UPDATE tags SET tag = 'other' WHERE tag = 'net' AND number = (SELECT number FROM memories WHERE id = ?)",
        "DELETE FROM memories WHERE id = ?",
    ],
)
def test_one_bad_row_is_left_out_and_named_and_stops_nothing(home: Path, tmp_path: Path, sql: str) -> None:
    stored = a_home(home)
    bad, *good = stored
    edit(home, sql, bad)
    for _ in range(2):  # also at the start after
        with memories(home) as memory:
            assert set(listed(memory)) == set(good)
            answer = memory.recall("gateway", 50)
            assert {item.id for item in answer.memories} == set(good)
            assert answer.notice is not None
            assert "restore" in answer.notice
            assert memory.page(1, 5).notice is not None
            assert memory.export(str(tmp_path / "all.jsonl"))["exported"] == len(good)
            stats = memory.stats()
            assert stats["damaged"] or stats["losses"]
            assert [item.level for item in memory.findings()] == ["problem"] * len(memory.findings())
            assert any("damage" in line for line in memory.notices())
            assert memory.backup()["memories"] == len(good)
    with memories(home) as memory:
        assert memory.restore()["skipped"] == 0
        assert set(listed(memory).values()) == set(stored.values())
        assert memory.page().notice is None
        assert memory.notices() == []


def test_a_row_that_is_damaged_while_it_runs_is_left_out_and_named(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "memory.db")
    for number in range(5):
        store.add(f"memory {number}")
    edit(tmp_path, "UPDATE memories SET content = 'changed' WHERE number = 3")
    assert [record["content"] for record in store.everything()] == [f"memory {n}" for n in (0, 1, 3, 4)]
    assert list(store.faults().values()) == ["it is not what was written: its checksum is another"]
    store.close()


def break_it(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.unlink()
    if how == "garbage":
        path.write_bytes(os.urandom(len(data)))
    elif how == "truncated":
        path.write_bytes(data[: len(data) // 7])
    elif how == "empty":
        path.touch()
    elif how == "a folder":
        path.mkdir()
        (path / "file").touch()
    elif how == "newer":
        path.write_bytes(data)
        edit(path.parent, "PRAGMA user_version = 99")


@pytest.mark.parametrize("how", ["garbage", "truncated", "empty", "a folder", "newer", "gone"])
def test_without_its_database_memory_is_unavailable_until_a_person_decides(
    home: Path, how: str, make_repository: MakeRepository
) -> None:
    stored = a_home(home)
    break_it(home / "memory.db", how)
    for _ in range(2):
        with memories(home) as memory:
            calls = (lambda: memory.recall("gateway"), lambda: memory.add("x"), memory.page, memory.stats)
            for call in calls:
                with pytest.raises(Unavailable) as caught:
                    call()
                assert "restore" in caught.value.hint
            assert [item.level for item in memory.findings()] == ["problem"]
            assert "unavailable" in memory.notices()[0]
            assert "unavailable" in memory.brief(None, 800)["text"]
            assert memory.offer(None, ["We decided to keep it"])["offers"] == 1
    aside = {path.name for path in home.glob("memory.damaged-*.db")}
    with memories(home) as memory:
        assert memory.restore()["imported"] == len(stored)
        assert {item.content for item in memory.recall("gateway", 50).memories} == set(stored.values())
        assert memory.add("goes on").success
        assert memory.notices() == []
    assert aside <= {path.name for path in home.glob("memory.damaged-*.db")}
    assert how in ("gone", "empty") or any(home.glob("memory.damaged-*.db"))
    with memories(home) as memory:
        assert len(listed(memory)) == len(stored) + 1


def test_without_memory_code_is_searched_all_the_same(home: Path, make_repository: MakeRepository) -> None:
    a_home(home)
    (home / "memory.db").write_bytes(b"garbage" * 1000)
    root = make_repository({"a.py": "def gateway(): pass\n"})
    with Workspace(home) as workspace:
        workspace.sync(root)
        assert workspace.search("gateway", "*").hits
        assert any("memory" in line for line in workspace.about()["notices"])
        assert any(item.level == "problem" and item.subject == "memory" for item in workspace.diagnose())
        with pytest.raises(Unavailable):
            workspace.remember("x")
        workspace.memory.restore()
        assert workspace.recall("gateway").count


def test_a_person_may_go_on_without_what_is_lost(home: Path) -> None:
    a_home(home)
    (home / "memory.db").unlink()
    with memories(home) as memory:
        with pytest.raises(Unavailable, match="12 memories were in it"):
            memory.stats()
        assert "0 memories" in memory.accept()["message"]
        assert (memory.stats()["memories"], memory.notices()) == (0, [])
    with memories(home) as memory:
        assert memory.stats()["memories"] == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_database_that_may_not_be_read_is_left_where_it_is(home: Path) -> None:
    stored = a_home(home)
    (home / "memory.db").chmod(0)
    with memories(home) as memory:
        with pytest.raises(Unavailable, match="Permission denied") as caught:
            memory.stats()
        assert "chmod" in caught.value.hint
        (home / "memory.db").chmod(0o600)
        assert listed(memory) == stored  # without a restart


def test_a_new_home_has_nothing_to_miss_and_an_unfinished_one_is_begun_again(home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "memory.db").touch()  # as a crash leaves it
    with memories(home) as memory:
        assert memory.stats()["memories"] == 0
        assert memory.notices() == []


def test_changes_that_were_acknowledged_and_are_gone_are_reported(home: Path, tmp_path: Path) -> None:
    a_home(home)
    shutil.copy(home / "memory.db", tmp_path / "older.db")
    with memories(home) as memory:
        memory.add("acknowledged and lost")
    shutil.copy(tmp_path / "older.db", home / "memory.db")
    for _ in range(2):
        with memories(home) as memory:
            (loss,) = memory.stats()["losses"]
            assert "last 1 changes" in loss
            assert "and 1 memories" in loss
            assert memory.recall("gateway").notice is not None
    with memories(home) as memory:
        memory.accept()
        assert memory.notices() == []


def test_an_older_version_s_bad_times_and_numbers_are_mended_or_named(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    store = MemoryStore(path)
    for number in range(4):
        store.add(f"memory {number}")
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as old:  # as version 2 left it
        for table in ("belongs", "checks", "state", "unsealed", "damaged", "losses"):
            old.execute(f"DROP TABLE {table}")
        old.execute("PRAGMA user_version = 2")
        old.execute("UPDATE memories SET created_at = 1700000000123 WHERE number = 1")
        old.execute('UPDATE memories SET metadata = \'{"a": Infinity, "b": 1e999}\' WHERE number = 2')
        old.execute("UPDATE memories SET created_at = 9e999 WHERE number = 3")
    for _ in range(2):
        store = MemoryStore(path)
        records = {record["content"]: record for record in store.everything()}
        assert set(records) == {"memory 0", "memory 1", "memory 3"}
        assert records["memory 0"]["created_at"] == 1_700_000_000.123
        assert records["memory 1"]["metadata"] == {"a": "Infinity", "b": "inf"}
        assert [reason.partition(":")[0] for _, reason in store.damaged()] == ["created_at"]
        assert store.verify() == []
        store.close()


# -- backups ----------------------------------------------------------------------------------------------------------


def test_a_backup_is_made_while_it_runs_soon_after_the_first_stores(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recollect.memory.backups._FIRST_AFTER_S", 0.05)
    with memories(home) as memory:
        memory.add("precious")
        wait_until(lambda: len(memory.backups()) == 1)


def test_dates_in_the_future_do_not_count(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "backups").mkdir(parents=True)
    (home / "backups" / "memory-20990101.jsonl").write_text('{"content": "from the future"}\n')
    monkeypatch.setattr("recollect.memory.backups._FIRST_AFTER_S", 0.05)
    with memories(home) as memory:
        memory.accept()
        memory.add("precious")
        wait_until(lambda: len(memory.backups()) == 2)
        assert "2099" not in memory.backups()[0]


def test_the_last_seven_days_stay_and_no_damaged_or_emptier_one_takes_the_place_of_a_good_one(home: Path) -> None:
    stored = a_home(home)
    folder = home / "backups"
    (today,) = folder.iterdir()
    for days in range(1, 10):
        name = time.strftime("memory-%Y%m%d.jsonl", time.localtime(time.time() - days * 86_400))
        shutil.copy(today, folder / name)
        if days in (2, 3):
            (folder / name).write_text("damaged")
    (home / "memory.db").unlink()
    with memories(home) as memory:
        memory.accept()
        for number in range(3):
            memory.add(f"new {number}")
            memory.backup()
        good = [path for path in folder.iterdir() if path.read_text() != "damaged"]
        assert max(path.read_text().count("\n") for path in good if path.name[7:15] == today.name[7:15]) == len(stored)
        assert len({path.name[7:15] for path in good}) == 7


def test_a_failing_backup_is_reported_and_stops_nothing(home: Path) -> None:
    with Workspace(home) as workspace:
        workspace.remember("kept")
        (home / "backups").write_text("a file")
        with pytest.raises((UserError, Unavailable)):
            workspace.memory.backup()
        assert workspace.remember("also kept").success
        assert any("backup" in line for line in workspace.about()["notices"])
        assert any("backup" in item.message for item in workspace.diagnose() if item.level == "problem")
        (home / "backups").unlink()
        workspace.memory.backup()
        assert workspace.memory.notices() == []


def test_a_restore_of_nothing_readable_changes_nothing(home: Path) -> None:
    stored = a_home(home)
    with memories(home) as memory:
        with pytest.raises(UserError):
            memory.restore(str(home / "nowhere.jsonl"))
        assert listed(memory) == stored


def test_damage_that_sqlite_cannot_tell_in_utf_8_keeps_nothing_from_starting(home: Path) -> None:
    expected = a_home(home)
    path = home / "memory.db"
    data = path.read_bytes()
    place = data.index(b"CREATE TABLE memories")
    path.write_bytes(data[:place] + b"CR\xefATE\xff" + data[place + 7 :])
    with memories(home) as memory:
        assert any(finding.level == "problem" for finding in memory.findings())
        memory.restore()
        assert listed(memory) == expected


@pytest.mark.parametrize(
    "call",
    [
        lambda memory: memory.get(["x"]),
        lambda memory: memory.get("\ud800"),
        lambda memory: memory.add("new", supersedes=True),
        lambda memory: memory.add("new", symbols=5),
        lambda memory: memory.recall("fact", memory_type=["note"]),
        lambda memory: memory.recall(["fact"]),
        lambda memory: memory.recall("fact", limit="many"),
        lambda memory: memory.page(filters={"memory_type": {}}),
    ],
)
def test_a_wrong_argument_is_no_damage(home: Path, call: Callable[[Any], object]) -> None:
    a_home(home)
    with memories(home) as memory:
        with pytest.raises(UserError):
            call(memory)
        assert memory.notices() == []
    assert not list(home.glob("memory.damaged-*"))


def test_a_backup_s_name_is_on_the_disk_before_it_is_said_to_be_made(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[set[str]] = []
    monkeypatch.setattr(
        "recollect.memory.backups.sync_folder", lambda folder: synced.append({item.name for item in folder.iterdir()})
    )
    with memories(home) as memory:
        memory.add("something to keep")
        made = Path(memory.backup()["path"]).name
        assert synced
        assert made in synced[-1]
