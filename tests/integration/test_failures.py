"""Failures of our own parts: nobody waits forever, and nobody is told that what he has not got is fresh."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from recollect.errors import Unavailable
from recollect.index import schema
from recollect.jobs import indexer
from recollect.store import pages
from recollect.workspace import Workspace
from tests.conftest import SHOP, MakeRepository, wait_until


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as made:
        yield made


def fails(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a bug")


def test_what_cannot_be_published_is_not_said_to_be_fresh(
    workspace: Workspace, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(SHOP)
    workspace.sync(root)
    assert workspace.search("settle", "project").freshness.fresh
    (root / "new.py").write_text("def zebra_crossing(): pass\n")
    with monkeypatch.context() as patch:
        patch.setattr(workspace._upkeep.library, "publish", fails)
        answer = workspace.search("zebra_crossing", "project")
        assert not answer.freshness.fresh
    answer = workspace.search("zebra_crossing", "project")
    assert (answer.freshness.fresh, answer.hits[0].path) == (True, "new.py")


def test_an_index_that_cannot_be_opened_now_keeps_no_other_from_answering(
    workspace: Workspace, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other"):
        workspace.sync(make_repository(SHOP, name))
    workspace._upkeep.library.close()
    one = next(item for item in workspace._catalog.repositories() if item.name == "one")
    opened, broken = schema.open_for_reading, workspace._upkeep.folder(one.id)

    def open_for_reading(folder: Path) -> pages.Connection:
        if folder == broken:
            raise schema.index_error(apsw.CantOpenError("unable to open database file"))
        return opened(folder)

    with monkeypatch.context() as patch:
        patch.setattr(schema, "open_for_reading", open_for_reading)
        answer = workspace.search("settle", ["one", "other"])
        assert {hit.repository for hit in answer.hits} == {"other"}
        assert not answer.freshness.fresh
        assert "one" in str(answer.freshness.reason)
        with pytest.raises(Unavailable, match="unable to open"):
            workspace.search("settle", "one")
    assert workspace.search("settle", ["one", "other"]).freshness.fresh


def test_a_sync_whose_end_cannot_be_noted_ends_all_the_same(
    workspace: Workspace, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(SHOP)
    monkeypatch.setattr(workspace._upkeep, "_note", fails)
    assert workspace.sync(root).status == "completed"
    assert workspace.sync(root).status == "completed"  # and the next one is not held up


def test_an_indexer_that_cannot_be_started_is_said_and_started_when_it_can_be(
    workspace: Workspace, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(SHOP)
    process = workspace._upkeep.indexer

    def full(home: Path) -> Any:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    with monkeypatch.context() as patch:
        patch.setattr(indexer, "start_indexer", full)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: process._pipe is None)
        result = workspace.sync(root)
        assert (result.status, result.errors[0].kind) == ("failed", "no_indexer")
    assert workspace.sync(root).status == "completed"
    assert workspace.search("settle", "project").freshness.fresh


def test_an_end_that_cannot_be_understood_ends_the_request(
    workspace: Workspace, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(SHOP)
    with monkeypatch.context() as patch:
        patch.setattr(indexer.Ended, "unpacked", fails)
        assert workspace.sync(root).status == "failed"
    assert workspace.sync(root).status == "completed"
