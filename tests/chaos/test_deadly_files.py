"""A file that crashes or hangs its grammar costs that file its symbols, never the sync."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recollect.index.snapshot import Snapshot
from recollect.index.writer import IndexWriter
from recollect.jobs.pool import ParsePool
from recollect.jobs.synchronise import Control, Options, synchronise
from tests.conftest import write

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
