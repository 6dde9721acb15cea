"""Checksums of pages and of logs, against those that SQLite itself writes."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from recollect.errors import Corrupt
from recollect.store import log, pages, rescue


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """With a log that nobody moves into the database."""
    monkeypatch.setattr(log, "_PAUSE_S", 0.0)
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        for setting in ("page_size=1024", "journal_mode=WAL", "wal_autocheckpoint=0", "cache_size=1"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        yield connection


def fill(database: sqlite3.Connection, commits: int = 20) -> None:
    for _ in range(commits):
        database.execute("BEGIN")
        database.executemany("INSERT INTO t (b) VALUES (?)", ((os.urandom(300),) for _ in range(10)))
        database.execute("COMMIT")


def test_any_wrong_bit_in_a_log_is_noticed(database: sqlite3.Connection, tmp_path: Path) -> None:
    fill(database)
    path = tmp_path / "a.db-wal"
    content = path.read_bytes()
    assert not log.is_damaged(tmp_path / "a.db")
    chance = random.Random(1)
    places = [*range(32), *range(32, 56), *(chance.randrange(len(content)) for _ in range(60)), len(content) - 1]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        log._sound.clear()
        assert log.is_damaged(tmp_path / "a.db"), place


def test_what_a_log_holds_of_before_or_of_what_was_taken_back_is_no_damage(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    def is_sound() -> bool:
        log._sound.clear()
        return not log.is_damaged(tmp_path / "a.db")

    assert is_sound()
    fill(database)
    database.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    fill(database, 2)  # over the front of the old one
    assert is_sound()
    database.execute("BEGIN")
    database.executemany("INSERT INTO t (b) VALUES (?)", ((os.urandom(300),) for _ in range(300)))
    database.execute("ROLLBACK")  # it did not fit in memory: the log holds some of it
    fill(database, 1)
    assert is_sound()
    content = (tmp_path / "a.db-wal").read_bytes()
    (tmp_path / "a.db-wal").write_bytes(content[: len(content) // 1048 * 1048 - 500])  # a kill in the middle of a write
    assert is_sound()
    (tmp_path / "a.db-wal").write_bytes(b"")
    assert is_sound()


def test_a_wrong_bit_in_a_page_is_put_right_or_said_to_be_beyond_that(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    pages.make(path, "CREATE TABLE t (a INTEGER PRIMARY KEY, b);", 1)
    with closing(pages.connect(path, 1, writing=True)) as database:
        database.executemany("INSERT INTO t (b) VALUES (?)", [(os.urandom(300),) for _ in range(100)])
    content = path.read_bytes()
    chance = random.Random(2)
    mended = 0
    for _ in range(40):
        damaged = bytearray(content)
        damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        if rescue.mend(damaged):
            assert damaged == content
            mended += 1
    assert mended > 20
    twice = bytearray(content)
    twice[5000] ^= 1
    twice[5100] ^= 16
    assert not rescue.mend(twice)


def test_rows_are_had_from_both_ends_of_a_table_with_a_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, schema = tmp_path / "c.db", "CREATE TABLE t (a INTEGER PRIMARY KEY, b);"
    pages.make(path, schema, 1)
    with closing(pages.connect(path, 1, writing=True)) as database:
        database.executemany("INSERT INTO t (b) VALUES (?)", [(os.urandom(300),) for _ in range(200)])
    content = bytearray(path.read_bytes())
    content[7 * 4096 : 7 * 4096 + 3000] = os.urandom(3000)
    path.write_bytes(content)
    with pytest.raises(pages.Error) as caught, closing(pages.connect(path, 1, writing=False)) as database:
        database.execute("SELECT * FROM t").fetchall()
    assert isinstance(pages.translated(caught.value, "c.db"), Corrupt)
    monkeypatch.setattr(log, "_PAUSE_S", 0.0)
    aside = rescue.set_aside(path)
    assert not rescue.refill(aside, path, schema, 1, ("t",))
    with closing(pages.connect(path, 1, writing=False)) as database:
        rows = [row[0] for row in database.execute("SELECT a FROM t ORDER BY a").fetchall()]
    assert 170 < len(rows) < 200
    assert (rows[0], rows[-1]) == (1, 200)
    assert aside.read_bytes() == bytes(content)
