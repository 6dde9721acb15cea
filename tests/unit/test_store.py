from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from recollect.errors import Corrupt
from recollect.store import rescue
from recollect.store.cache import ParseCache
from recollect.store.catalog import Catalog
from recollect.store.database import translated


def test_repositories_survive_and_names_stay_unique(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db")
    first = catalog.add(Path("/a/api"), "api", None, "git")
    second = catalog.add(Path("/b/api"), "api", None, "git")
    assert (first.name, second.name) == ("api", "api-2")
    assert catalog.add(Path("/a/api"), "other", None, "git") == first
    catalog.update(first.id, last_sync={"status": "completed"}, tracked=1)
    catalog.close()
    again = Catalog(tmp_path / "catalog.db")
    found = again.get(first.id)
    assert found is not None
    assert found.tracked
    assert found.last_sync == {"status": "completed"}
    again.remove(first.id)
    assert [item.name for item in again.repositories()] == ["api-2"]
    again.close()


def test_a_damaged_catalog_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"not a database" * 100)
    with pytest.raises(Corrupt):
        Catalog(tmp_path / "catalog.db")


def test_the_cache_keeps_within_its_limit(tmp_path: Path) -> None:
    cache = ParseCache(tmp_path / "cache.db", limit_bytes=10_000)
    for number in range(30):
        cache.put_many([(b"%d" % number, b"x" * 1000)])
    assert (tmp_path / "cache.db").exists()
    held = sum(cache.get(b"%d" % number) is not None for number in range(30))
    assert held <= 10
    cache.close()


def test_a_damaged_cache_starts_empty(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"garbage" * 1000)
    cache = ParseCache(tmp_path / "cache.db")
    assert cache.get(b"a") is None
    cache.put_many([(b"a", b"b")])
    assert cache.get(b"a") == b"b"
    cache.quarantine(b"h", "python", "crash")
    assert cache.quarantined() == {(b"h", "python"): "crash"}
    cache.close()


def test_a_cached_value_is_given_for_its_own_key_alone_and_never_with_a_wrong_bit(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    cache = ParseCache(path)
    cache.put_many([(b"one" * 5, b"first value"), (b"two" * 5, b"other value")])
    cache.quarantine(b"hash", "python", "it hangs")
    cache.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE analyses SET value = (SELECT value FROM analyses WHERE id = 1) WHERE id = 2")
        database.execute("UPDATE analyses SET value = CAST(value AS TEXT) WHERE id = 1")
        database.execute("UPDATE quarantine SET reason = 'it hangt'")
    cache = ParseCache(path)
    assert cache.get(b"one" * 5) is None
    assert cache.get(b"two" * 5) is None
    assert cache.quarantined() == {}
    cache.put_many([(b"one" * 5, b"first value")])
    assert cache.get(b"one" * 5) == b"first value"
    cache.close()


def test_a_disk_that_fails_is_not_taken_for_a_full_one() -> None:
    for error in (apsw.IOError("disk I/O error"), sqlite3.OperationalError("disk I/O error")):
        failure = translated(error, "the index").to_dict()
        assert (failure["code"], "no space" in failure["message"]) == ("storage", False)
    for error in (apsw.FullError("full"), sqlite3.OperationalError("database or disk is full")):
        assert translated(error, "the index").to_dict()["code"] == "disk_full"


@pytest.mark.parametrize("kind", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_in_the_place_of_a_catalog_is_set_aside(tmp_path: Path, kind: Callable[[Path], None]) -> None:
    kind(tmp_path / "catalog.db")
    with pytest.raises(Corrupt, match="no ordinary file") as damage:
        Catalog(tmp_path / "catalog.db")
    opened = Catalog.rescued(tmp_path / "catalog.db", damage.value)
    assert opened.repositories() == []
    assert "no ordinary file" in " ".join(opened.notices)
    opened.close()
    assert (tmp_path / "catalog.db").is_file()


def test_a_log_is_set_aside_before_its_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in ("", "-wal"):
        (tmp_path / f"catalog.db{suffix}").write_text(suffix)
    renamed: list[str] = []
    rename = Path.rename

    def noting(self: Path, target: Path) -> Path:
        result = rename(self, target)
        renamed.append(self.name)
        return result

    monkeypatch.setattr(Path, "rename", noting)
    aside = rescue.set_aside(tmp_path / "catalog.db")
    # Whatever ends us between the two, no log is left that would be played into the database begun next.
    assert renamed == ["catalog.db-wal", "catalog.db"]
    assert (aside.read_text(), Path(f"{aside}-wal").read_text()) == ("", "-wal")
    assert not list(tmp_path.glob("catalog.db*"))
