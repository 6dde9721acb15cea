"""One wrong bit anywhere: the same answers, or the damage is noticed. `python -m benchmarks.damage` does it by the thousand."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.damage import ask_catalog, ask_writer, bits, flip, trials

from recollect.errors import Corrupt
from recollect.index.snapshot import Snapshot
from recollect.index.summary import summary_of
from recollect.store import log
from recollect.store.catalog import Catalog
from recollect.workspace import Workspace
from tests.conftest import SHOP, MakeRepository

_FLIPS = 40


@pytest.fixture
def folder(home: Path, make_repository: MakeRepository) -> Path:
    root = make_repository({**SHOP, **{f"m{i}.py": f"def name_{i}():\n    return {i}\n" for i in range(60)}})
    with Workspace(home) as workspace:
        workspace.sync(root)
        (root / "m1.py").write_text("def other():\n    return 1\n")
        workspace.sync(root)
    return next((home / "repositories").iterdir())


def everything(folder: Path) -> dict[str, object]:
    """All rows that a reader can ask for. Raises Corrupt."""
    snapshot = Snapshot.open(folder)
    try:
        answers: dict[str, object] = {"files": dict(snapshot.files), "summary": summary_of(folder)}
        for info in snapshot.files.values():
            answers[info.path] = snapshot.text(info.id), snapshot.definitions_in(info.id), snapshot.find(info.path)
        answers["names"] = [snapshot.definitions([f"name_{i}"]) for i in range(60)]
        answers["prefix"] = snapshot.symbols_with_prefix("name_")
        return answers
    finally:
        snapshot.release()


@pytest.mark.parametrize("name", ["index.db", "index.db-wal"])
def test_a_reader_gives_no_wrong_answer_and_no_raw_error(
    folder: Path, home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_PAUSE_S", 0.0)  # nobody writes to it
    if not (folder / name).exists():
        pytest.skip("the last process that had it open moved all of it into the database")
    found = trials(home, folder / name, _FLIPS, lambda: everything(folder))
    assert not found.keys() - {"same", "detected"}
    assert found["detected"]


def test_a_sync_compares_the_files_with_no_wrong_tree(folder: Path, home: Path) -> None:
    found = trials(home, folder / "index.db", _FLIPS // 2, lambda: ask_writer(folder))
    assert not found.keys() - {"same", "detected"}


def test_a_catalog_loses_no_repository_and_no_setting(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    first = Catalog(path)
    for number in range(8):
        known = first.add(Path(f"/some/where/{number}"), f"repository {number}", None, "git")
        run = {"started_at": float(number), "errors": ["x" * 200]}
        first.update(known.id, run=run, last_sync={"status": "completed"}, tracked=1)
    first.persist({"auto_sync_interval": 450})
    first.close()
    before, content = ask_catalog(path), path.read_bytes()
    for bit in bits(path, _FLIPS, 3):
        flip(path, bit)
        try:
            catalog = Catalog(path)
        except Corrupt as damage:
            catalog = Catalog.rescued(path, damage)
        try:
            listed = [(item.id, item.path, item.name, item.tracked) for item in catalog.repositories()]
            assert listed == [(item.id, item.path, item.name, item.tracked) for item in before["repositories"]]
            assert catalog.persisted() == before["settings"]
            assert [name for name, _ in catalog.last_runs(100)] == [
                name for name, _ in before["runs"]
            ] or catalog.notices
        finally:
            catalog.close()
        for left in tmp_path.glob("catalog.d*"):
            left.unlink()
        path.write_bytes(content)
