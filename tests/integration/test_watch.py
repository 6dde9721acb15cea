"""The watcher against a real file system: what events say, what they cannot, and what is done about it."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recollect.sync import inotify, watch
from recollect.sync.ignore import INDEX_CHANGED
from recollect.sync.watch import Watcher, filesystem_of
from tests.conftest import MakeRepository, git, wait_until


@pytest.fixture
def watcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watcher]:
    made = Watcher(tmp_path_factory.mktemp("home") / "cookies")
    yield made
    made.close()


@pytest.fixture
def root(make_repository: MakeRepository) -> Path:
    return make_repository({"a/one.py": "1", "a/b/two.py": "2", "top.py": "3"})


def begin(watcher: Watcher, root: Path, *folders: str) -> None:
    watcher.watch("r", root, ["", *folders])
    looked_through(watcher, "", *folders)


def looked_through(watcher: Watcher, *folders: str) -> None:
    taken = watcher.take("r", True)
    assert taken is not None
    watcher.finish("r", taken, done=True, folders=folders)


def dirty(watcher: Watcher) -> set[str] | None:
    """The names that are dirty now; None where everything is. Taken, and put back as done."""
    mark = watcher.barrier(["r"], 1.0)
    assert mark is not None
    taken = watcher.take("r")
    assert taken is not None
    watcher.finish("r", taken, done=True, partial=True)
    return set(taken.names) if taken.names is not None else None


def test_nothing_is_vouched_for_before_it_was_looked_through(watcher: Watcher, root: Path) -> None:
    watcher.watch("r", root, ["", "a", "a/b"])
    mark = watcher.barrier(["r"], 1.0)
    assert mark is not None
    assert not watcher.settled("r", mark)
    assert not watcher.vouches("r")
    looked_through(watcher, "", "a", "a/b")
    assert watcher.settled("r", mark)
    assert watcher.vouches("r")


def test_a_sync_that_looks_before_a_folder_is_watched_does_not_vouch_for_it(
    watcher: Watcher, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = Watcher._add
    seen: set[str] = set()

    def add(watcher: Watcher, watched: watch._Watched, folder: str) -> None:
        if folder == "a":  # as if another thread's sync looked through it just before
            taken = watcher.take("r")
            assert taken is not None
            seen.update(path.name for path in (root / "a").iterdir())
            (root / "a/three.py").write_text("3")
            added(watcher, watched, folder)
            watcher.finish("r", taken, done=True, folders=["", "a"])
            mark = watcher.barrier(["r"], 1.0)
            assert mark is not None
            assert not watcher.settled("r", mark)
        added(watcher, watched, folder)

    monkeypatch.setattr(Watcher, "_add", add)
    watcher.watch("r", root, ["", "a"])
    assert "three.py" not in seen
    assert dirty(watcher) is None  # everything is to be looked at again


def test_each_kind_of_change_marks_its_name(watcher: Watcher, root: Path) -> None:
    begin(watcher, root, "a", "a/b")
    assert dirty(watcher) == set()
    (root / "a/one.py").write_text("11")
    assert dirty(watcher) == {"a/one.py"}
    (root / "a/new.py").write_text("")
    assert dirty(watcher) == {"a/new.py"}
    (root / "a/new.py").rename(root / "a/b/moved.py")
    assert dirty(watcher) == {"a/new.py", "a/b/moved.py"}
    (root / "draft").write_text("22")
    (root / "draft").replace(root / "a/b/two.py")
    assert dirty(watcher) == {"draft", "a/b/two.py"}
    (root / "top.py").unlink()
    assert dirty(watcher) == {"top.py"}
    (root / "a/one.py").chmod(0o755)
    assert dirty(watcher) == {"a/one.py"}
    with open(root / "a/one.py", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0:1] = b"9"
        dirty(watcher)
        mapped[0:1] = b"8"
    assert dirty(watcher) == {"a/one.py"}  # when the mapping ends, for it raises no event before


def test_folders_that_come_go_and_move(watcher: Watcher, root: Path) -> None:
    begin(watcher, root, "a", "a/b")
    shutil.move(root / "a/b", root / "c")
    assert dirty(watcher) == {"a/b", "c"}
    (root / "c/two.py").write_text("not watched under its new name yet")
    assert dirty(watcher) == set()
    taken = watcher.take("r")
    assert taken is not None
    watcher.finish("r", taken, done=True, partial=True, folders=["c"])  # what a scan of "c" would have found
    assert dirty(watcher) == {"c"}  # once more, for what was written before it was watched
    (root / "c/two.py").write_text("now it is")
    assert dirty(watcher) == {"c/two.py"}
    shutil.rmtree(root / "c")
    assert "c" in (dirty(watcher) or set())
    (root / "c").mkdir()
    assert dirty(watcher) == {"c"}


def test_what_was_written_before_a_new_folder_was_watched_counts_for_every_question_since(
    watcher: Watcher, root: Path
) -> None:
    begin(watcher, root)
    (root / "new").mkdir()
    assert watcher.barrier(["r"], 1.0) is not None
    taken = watcher.take("r")  # a sync begins, and lists the folder …
    assert taken is not None
    (root / "new/late.py").write_text("")  # … before this is written
    question = watcher.barrier(["r"], 1.0)
    assert question is not None
    watcher.finish("r", taken, done=True, partial=True, folders=["new"])
    assert not watcher.settled("r", question)
    assert dirty(watcher) == {"new"}
    assert watcher.settled("r", question)


def test_a_sync_that_failed_gives_back_what_it_took(watcher: Watcher, root: Path) -> None:
    begin(watcher, root)
    (root / "top.py").write_text("x")
    mark = watcher.barrier(["r"], 1.0)
    taken = watcher.take("r")
    assert mark is not None
    assert taken is not None
    assert not watcher.settled("r", mark)
    watcher.finish("r", taken, done=False)
    assert not watcher.settled("r", mark)
    assert watcher.pending("r") == 1
    assert dirty(watcher) == {"top.py"}
    assert watcher.settled("r", mark)


def test_what_git_ignores_is_asked_for_once(watcher: Watcher, root: Path) -> None:
    begin(watcher, root)
    (root / "server.log").write_text("1")
    assert watcher.barrier(["r"], 1.0) is not None
    taken = watcher.take("r")
    assert taken is not None
    watcher.finish("r", taken, done=True, partial=True, ignored=["server.log"])
    (root / "server.log").write_text("2")
    assert dirty(watcher) == set()
    (root / ".gitignore").write_text("")
    (root / "server.log").write_text("3")
    assert dirty(watcher) == {".gitignore", "server.log"}


def test_rules_that_changed_while_a_sync_ran_make_its_word_on_what_is_ignored_worthless(
    watcher: Watcher, root: Path
) -> None:
    begin(watcher, root)
    (root / "server.log").write_text("1")
    assert watcher.barrier(["r"], 1.0) is not None
    taken = watcher.take("r")
    assert taken is not None
    (root / ".gitignore").write_text("")
    assert dirty(watcher) == {".gitignore"}
    watcher.finish("r", taken, done=True, partial=True, ignored=["server.log"])
    (root / "server.log").write_text("2")
    assert dirty(watcher) == {"server.log"}


def test_git_s_index_and_rules_outside_the_tree(watcher: Watcher, root: Path) -> None:
    begin(watcher, root)
    git(root, "rm", "-q", "--cached", "top.py")
    assert dirty(watcher) == {INDEX_CHANGED}
    (root / ".git/info/exclude").write_text("*.txt\n")
    assert dirty(watcher) is None
    git(root, "config", "core.excludesFile", "other")
    assert dirty(watcher) is None


def test_a_root_that_is_replaced_or_whose_parent_moves(watcher: Watcher, root: Path) -> None:
    begin(watcher, root, "a", "a/b")
    aside = root.parent.with_name(root.parent.name + "-aside")
    root.parent.rename(aside)
    assert dirty(watcher) is None
    aside.rename(root.parent)
    assert dirty(watcher) is None
    looked_through(watcher, "", "a", "a/b")
    looked_through(watcher, "", "a", "a/b")
    (root / "a/one.py").write_text("seen")
    assert dirty(watcher) == {"a/one.py"}


def test_an_overflow_makes_everything_dirty(watcher: Watcher, root: Path) -> None:
    begin(watcher, root)
    with watcher._reading:  # nobody reads
        most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        names = [root / "x", root / "y"]
        for number in range(most + 100):
            os.close(os.open(names[number % 2], os.O_WRONLY | os.O_CREAT))
    assert dirty(watcher) is None
    assert watcher.overflows >= 1


def test_a_limit_of_watches_is_said_and_nothing_is_vouched_for(
    watcher: Watcher, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = watcher._inotify.add, [1]  # type: ignore[union-attr]

    def limited(folder: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(folder)

    monkeypatch.setattr(watcher._inotify, "add", limited)
    begin(watcher, root, "a", "a/b")
    assert "fs.inotify.max_user_watches" in (watcher.reason("r") or "")
    mark = watcher.barrier(["r"], 1.0)
    assert mark is not None
    assert not watcher.settled("r", mark)
    assert watcher.watches == 0


def test_without_inotify_nothing_is_vouched_for(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(self: inotify.Inotify) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(inotify.Inotify, "__init__", none_left)
    watcher = Watcher(tmp_path / "cookies")
    watcher.watch("r", root, [""])
    assert "fs.inotify.max_user_instances" in (watcher.reason("r") or "")
    assert watcher.barrier(["r"], 0.1) is None
    watcher.close()


def test_a_file_system_without_reliable_events_is_known_by_its_type(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 0:5 / /net/my\\040share rw,relatime shared:1 - nfs4 server:/x rw\n"
        "3 1 0:6 / /net rw - autofs x rw\n"
    )
    assert filesystem_of(Path("/net/my share/repo"), os.fspath(table)) == "nfs4"
    assert filesystem_of(Path("/netto"), os.fspath(table)) == "ext4"
    assert filesystem_of(Path("/"), os.fspath(tmp_path / "none")) == "unknown"
    watcher = Watcher(tmp_path / "cookies")
    monkeypatch.setattr(watch, "filesystem_of", lambda path: "nfs4")
    watcher.watch("r", root, [""])
    assert watcher.reason("r") == "no reliable events on nfs4"
    looked_through(watcher, "")
    mark = watcher.barrier(["r"], 1.0)
    assert mark is not None
    assert not watcher.settled("r", mark)
    watcher.close()


def test_without_our_own_folder_nothing_is_vouched_for(tmp_path: Path, root: Path) -> None:
    watcher = Watcher(tmp_path / "cookies")
    begin(watcher, root)
    shutil.rmtree(tmp_path / "cookies")
    assert watcher.barrier(["r"], 0.2) is None
    watcher.close()


def test_two_repositories_may_share_folders(watcher: Watcher, root: Path) -> None:
    watcher.watch("outer", root, ["", "a", "a/b"])
    begin(watcher, root / "a", "b")
    for key in ("outer",):
        taken = watcher.take(key, True)
        assert taken is not None
        watcher.finish(key, taken, done=True, folders=["", "a", "a/b"])
    (root / "a/b/two.py").write_text("both")
    assert dirty(watcher) == {"b/two.py"}
    assert watcher.pending("outer") == 1
    watcher.unwatch("r")
    (root / "a/b/two.py").write_text("one")
    assert watcher.barrier(["outer"], 1.0) is not None
    assert watcher.watches == 3


def test_every_write_before_the_barrier_is_behind_it_also_in_a_storm(watcher: Watcher, root: Path) -> None:
    begin(watcher, root, "a", "a/b")
    stop = threading.Event()

    def storm() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            (root / f"a/b/storm{number % 50}").write_text("x")

    threads = [threading.Thread(target=storm) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(200):
            (root / f"a/own{number}.py").write_text("x")
            names = dirty(watcher)
            assert names is None or f"a/own{number}.py" in names
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_events_are_read_also_when_nobody_asks(tmp_path: Path, root: Path) -> None:
    told = threading.Event()
    watcher = Watcher(tmp_path / "cookies", told.set)
    begin(watcher, root)
    told.clear()
    (root / "top.py").write_text("y")
    wait_until(lambda: told.is_set() and watcher.pending("r") == 1)
    since, quiet = watcher.waiting("r") or (-1.0, -1.0)
    assert since >= quiet >= 0
    time.sleep(0.05)
    assert (watcher.waiting("r") or (0.0, 0.0))[0] > since
    watcher.close()


def test_a_folder_that_becomes_a_work_tree_has_its_index_looked_at(watcher: Watcher, tmp_path: Path) -> None:
    root = tmp_path / "plain"
    root.mkdir()
    (root / "a.py").write_text("1")
    begin(watcher, root)
    git(root, "init", "-q")
    assert dirty(watcher) is None
    git(root, "add", "a.py")
    assert dirty(watcher) == {INDEX_CHANGED}


def test_several_threads_may_wait_for_events_at_once(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from recollect.sync.inotify import Inotify

    watching = Inotify()
    watching.add(os.fsencode(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(watching.wait, 20.0) for _ in range(8)]
        time.sleep(0.2)
        (tmp_path / "a").touch()
        assert all(one.result() for one in waits)
    watching.close()
