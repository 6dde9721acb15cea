"""Files of memories from elsewhere: what is good is taken in, in one step; what is bad is listed, and runs nothing."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recollect.errors import UserError
from recollect.memory import exchange, imports, yaml_front
from recollect.memory.exchange import LoadReport
from recollect.memory.store import MemoryStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    made = MemoryStore(tmp_path / "home" / "memory.db")
    yield made
    made.close()


def load(store: MemoryStore, path: Path, strict: bool = False) -> LoadReport:
    return exchange.load(store, path, strict)


def records(store: MemoryStore) -> dict[str, dict[str, Any]]:
    return {record["content"]: record for record in store.everything()}


BAD = [
    '{"content": "bad time", "created_at": 1e300}',
    '{"content": "not finite", "metadata": {"a": 1e999}}',
    '{"content": 5}',
    "{broken",
    "[" * 100_000,
    '{"content": "deep", "metadata": ' + '{"a":' * 60 + "1" + "}" * 60 + "}",
    '{"content": ""}',
    '"text"',
    '{"content": "NUL \\u0000"}',
]


def test_bad_records_are_listed_by_number_and_skipped(store: MemoryStore, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text("\n".join(['{"content": "first"}', *BAD, '{"content": "last", "created_at": 1700000000123}']))
    report = load(store, path)
    assert (report.imported, report.known) == (2, 0)
    assert [bad["record"] for bad in report.skipped] == [f"line {n}" for n in range(2, 2 + len(BAD))]
    assert all(bad["reason"] for bad in report.skipped)
    assert records(store)["last"]["created_at"] == 1_700_000_000.123
    with pytest.raises(UserError, match="line 2"):
        load(store, path, strict=True)


def test_strict_takes_nothing_if_any_is_bad(store: MemoryStore, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text('{"content": "first"}\n{broken\n')
    with pytest.raises(UserError, match="line 2"):
        load(store, path, strict=True)
    assert records(store) == {}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("wrap", [list, lambda items: {"export_metadata": {"total": 2}, "memories": items}])
def test_one_json_document_with_a_list_is_read(
    store: MemoryStore, tmp_path: Path, indent: int | None, wrap: Any
) -> None:
    items = [{"content": "one", "tags": ["a"]}, {"content": "two", "created_at": "2024-05-06T10:00:00Z"}, {"x": 1}]
    (tmp_path / "all.json").write_text(json.dumps(wrap(items), indent=indent))
    report = load(store, tmp_path / "all.json")
    assert (report.imported, [bad["record"] for bad in report.skipped]) == (2, ["record 3"])
    assert records(store)["two"]["created_at"] == datetime(2024, 5, 6, 10, tzinfo=UTC).timestamp()


def test_references_between_records_hold_whatever_ids_they_get(store: MemoryStore, tmp_path: Path) -> None:
    rows = [
        {"id": "../odd id\n", "content": "old", "superseded_by": "b"},
        {"id": "b", "content": "new"},
        {"id": "b", "content": "twin", "superseded_by": "nobody"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = load(store, tmp_path / "a.jsonl")
    found = records(store)
    assert report.imported == 3
    assert found["old"]["superseded_by"] is not None
    assert found["twin"]["superseded_by"] is None
    assert "nobody" in report.notes[0]
    assert len({record["id"] for record in found.values()}) == 3


@pytest.mark.parametrize(
    "head",
    [
        "a: &a [x]\nb: *a",
        "a: &a [x,x,x,x]\n" + "\n".join(f"k{n}: &k{n} [*a,*a,*a,*a]" for n in range(30)),
        "a: !!python/object/apply:os.system [id]",
        "a: !custom x",
        "a: " + "[" * 2000,
        "a: " + "{x: " * 500,
        "? " * 3000,
        "- " * 3000 + "x",
        "[unclosed",
        "a: .inf",
        "a: " + "9" * 5000,
    ],
)
def test_front_matter_that_costs_more_than_itself_is_refused(store: MemoryStore, tmp_path: Path, head: str) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "bad.md").write_text(f"---\n{head}\n---\ntext")
    (tmp_path / "notes" / "good.md").write_text("---\ntags: a\n---\ngood")
    report = load(store, tmp_path / "notes")
    assert (report.imported, [bad["record"] for bad in report.skipped]) == (1, ["bad.md"])


def test_too_large_front_matter_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_front, "_check", lambda text: pytest.fail("parsed"))
    with pytest.raises(ValueError, match="longer"):
        yaml_front.load("a" * (yaml_front.MAX_BYTES + 1))


def test_too_large_lines_and_files_are_refused_before_they_are_parsed(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "MAX_RECORD", 1000)
    monkeypatch.setattr(imports, "MAX_FILE", 100_000)
    (tmp_path / "a.jsonl").write_text('{"content": "first"}\n{"content": "' + "x" * 5000 + '"}\n{"content": "last"}\n')
    report = load(store, tmp_path / "a.jsonl")
    assert (report.imported, [bad["record"] for bad in report.skipped]) == (2, ["line 2"])
    (tmp_path / "b.jsonl").write_bytes(b" " * 200_000)
    with pytest.raises(UserError, match="larger"):
        load(store, tmp_path / "b.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(UserError, match="ordinary"):
        load(store, tmp_path / "pipe.jsonl")


@pytest.mark.parametrize(
    ("head", "at"),
    [
        ("created: 2024-05-06T10:00:00+02:00", datetime(2024, 5, 6, 8, tzinfo=UTC).timestamp()),
        ("date: 2024-05-06 10:00:00 +02:00", datetime(2024, 5, 6, 8, tzinfo=UTC).timestamp()),
        ("date: 2024-05-06", datetime(2024, 5, 6).astimezone().timestamp()),
        ("created: 1700000000123", 1_700_000_000.123),
    ],
)
def test_dates_of_notes_become_times(store: MemoryStore, tmp_path: Path, head: str, at: float) -> None:
    (tmp_path / "note.md").write_text(f"---\n{head}\nupdated: 2025-01-01T00:00:00Z\n---\nnote")
    assert load(store, tmp_path / "note.md").imported == 1
    record = records(store)["note"]
    assert (record["created_at"], record["updated_at"]) == (at, datetime(2025, 1, 1, tzinfo=UTC).timestamp())


# -- SQLite -----------------------------------------------------------------------------------------------------------

SERVICE = (
    "CREATE TABLE memories (id INTEGER PRIMARY KEY AUTOINCREMENT, content_hash TEXT UNIQUE NOT NULL, content TEXT NOT NULL, "
    "tags TEXT, memory_type TEXT, metadata TEXT, created_at REAL, updated_at REAL, created_at_iso TEXT, "
    "updated_at_iso TEXT, deleted_at REAL DEFAULT NULL)"
)


def service(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A database of mcp-memory-service."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(SERVICE)
        database.execute("BEGIN")
        for number, row in enumerate(rows):
            values = {"content_hash": f"h{number}", **row}
            names = ", ".join(values)
            database.execute(
                f"INSERT INTO memories ({names}) VALUES ({', '.join('?' * len(values))})", list(values.values())
            )
        database.execute("COMMIT")
    return path


def test_a_database_of_mcp_memory_service_with_traces_of_its_past_is_taken_in_whole(
    store: MemoryStore, tmp_path: Path
) -> None:
    at, iso = 1_700_000_000.5, "2023-11-14T22:13:20.500000Z"
    rows: list[dict[str, Any]] = [
        {"content": "plain", "tags": "a, b", "memory_type": "decision", "metadata": '{"k": 1}', "created_at": at},
        {"content": "tags as JSON", "tags": '["a", "b"]', "metadata": "", "created_at": at},
        {"content": "tags as JSON of a text", "tags": '"a,b"', "metadata": None, "created_at": at},
        {"content": "metadata a list", "tags": "a,b", "metadata": "[1, 2]", "created_at": at},
        {"content": "metadata a text", "tags": "a,b", "metadata": '"text"', "created_at": at},
        {"content": "metadata broken", "tags": "a,b", "metadata": "{'k': 1}", "created_at": at},
        {"content": "metadata twice", "tags": "a,b", "metadata": json.dumps('{"k": 1}'), "created_at": at},
        {"content": "time as ISO", "tags": "a,b", "created_at": iso, "updated_at": iso},
        {"content": "only ISO", "tags": "a,b", "created_at_iso": iso},
        {"content": "milliseconds", "tags": "a,b", "created_at": at * 1000},
        {"content": "deleted", "tags": "a,b", "created_at": at, "deleted_at": at + 1},
        {"content": "", "created_at": at},
        {"content": "  ", "created_at": at},
        {"content": b"bytes \xff", "tags": "a,b", "created_at": at},
        {"content": "no type", "tags": "a,b", "memory_type": None, "created_at": at},
    ]
    report = load(store, service(tmp_path / "sqlite_vec.db", rows))
    assert {bad["record"]: bad["reason"] for bad in report.skipped} == {
        "row 12": "the content is empty",
        "row 13": "the content is empty",
    }
    found = records(store)
    assert len(found) == report.imported == 13
    assert {tuple(record["tags"]) for record in found.values()} == {("a", "b")}
    assert {record["created_at"] for record in found.values()} == {at}
    assert found["metadata twice"]["metadata"] == found["plain"]["metadata"] == {"k": 1}
    assert found["metadata a list"]["metadata"] == {"metadata": [1, 2]}
    assert found["deleted"]["deleted_at"] == at + 1


HOSTILE = [
    "CREATE VIEW memories AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS content FROM n",
    "CREATE VIRTUAL TABLE memories USING fts5(content)",
    "CREATE TABLE other (content TEXT)",
    "CREATE TABLE memories (other TEXT)",
    "CREATE TABLE memories (content TEXT PRIMARY KEY) WITHOUT ROWID",
]


@pytest.mark.parametrize("sql", HOSTILE)
def test_what_is_no_ordinary_table_of_memories_is_refused(store: MemoryStore, tmp_path: Path, sql: str) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        database.execute(sql)
        database.commit()
    with pytest.raises(UserError):
        load(store, tmp_path / "a.db")


def test_computed_columns_and_triggers_of_a_database_do_not_run(store: MemoryStore, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        database.execute(
            "CREATE TABLE memories (content TEXT, tags TEXT AS (hex(zeroblob(40000000))), "
            "metadata TEXT AS (CAST(zeroblob(40000000) AS TEXT)))"
        )
        database.execute("CREATE TRIGGER t AFTER INSERT ON memories BEGIN SELECT 1; END")
        database.execute("INSERT INTO memories (content) VALUES ('kept')")
        database.commit()
    before = (tmp_path / "a.db").read_bytes()
    assert load(store, tmp_path / "a.db").imported == 1
    assert records(store)["kept"]["metadata"] == {}
    assert (tmp_path / "a.db").read_bytes() == before


def test_a_statement_is_given_up_after_so_many_steps(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recollect.memory.databases._MAX_STEPS", 3)
    path = service(tmp_path / "a.db", [{"content": f"memory {number}"} for number in range(20_000)])
    with pytest.raises(UserError, match="cannot be read"):
        load(store, path)


def test_a_damaged_database_gives_what_can_be_read(store: MemoryStore, tmp_path: Path) -> None:
    path = service(tmp_path / "a.db", [{"content": f"memory {n} " + "x" * 3000} for n in range(50)])
    data = bytearray(path.read_bytes())
    at = data.index(b"memory 20")
    data[at - 50 : at + 50] = b"\xff" * 100
    path.write_bytes(data)
    report = load(store, path)
    assert report.imported + len(report.skipped) == 50
    assert report.skipped


def test_a_database_of_our_own_is_taken_in_with_tags_and_versions(store: MemoryStore, tmp_path: Path) -> None:
    other = MemoryStore(tmp_path / "other" / "memory.db")
    made = other.add("first", tags=["a", "b"], metadata={"k": 1})
    other.update(made.id, content="changed")
    expected = list(other.everything())
    other.close()
    assert load(store, tmp_path / "other" / "memory.db").imported == 1
    assert list(store.everything()) == expected
