"""Files and folders are exchanged for links while they are read: nothing from outside of the repository comes out."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from recollect.errors import RecollectError
from recollect.jobs.pool import Task
from recollect.server import worker
from recollect.store.cache import ParseCache
from recollect.store.catalog import Catalog
from recollect.sync.scan import scan
from recollect.sync.tree import UNREAD
from recollect.workspace import reading
from tests.conftest import write

TRIES = 700
CANARY = "CANARY = 'from outside'\n"
OWN = "own = 'of the repository'\n"
EXCHANGER = Path(__file__).with_name("exchanger.py")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="two names are exchanged by renameat2")

# What is exchanged, and for a link to what.
ATTACKS = {
    "file": ("home/code/project/folder/file.py", "outside/code/project/folder/file.py"),
    "folder": ("home/code/project/folder", "outside/code/project/folder"),
    "root": ("home/code/project", "outside/code/project"),
    "parent": ("home/code", "outside/code"),
}


@contextmanager
def exchanged(base: Path, attack: str) -> Iterator[Path]:
    """The root of a repository of which something is exchanged for a link to the outside, again and again."""
    name, target = ATTACKS[attack]
    write(base / "home/code/project", {"folder/file.py": OWN, "other.py": OWN})
    write(base / "outside/code/project", {"folder/file.py": CANARY, "folder/canary.py": CANARY, "other.py": CANARY})
    link = base / "link"
    link.symlink_to(base / target)
    command = [sys.executable, str(EXCHANGER), str(base / name), str(link)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield base / "home/code/project"
        finally:
            process.kill()


def read_again_and_again(base: Path, attack: str, tries: int) -> dict[str, int]:
    """How often `read_code` gave what it may give, what it may not, and nothing."""
    counts = {"own": 0, "leaked": 0, "refused": 0}
    catalog = Catalog(base / "catalog.db")
    repository = catalog.add(base / "home/code/project", "project", None, "unknown")
    with exchanged(base, attack):
        for _ in range(tries):
            try:
                text = reading.read(repository, None, "folder/file.py", None, None).text
                counts["leaked" if "CANARY" in text else "own"] += 1
            except (RecollectError, OSError):
                counts["refused"] += 1
    catalog.close()
    return counts


def scan_again_and_again(base: Path, attack: str, tries: int) -> dict[str, int]:
    """Likewise of scans, and of the workers that read what these named."""
    counts = {"own": 0, "leaked": 0, "refused": 0}
    canary = blake3(CANARY.encode()).digest(16)
    cache = ParseCache(base / "cache.db")
    with exchanged(base, attack) as root:
        for _ in range(tries):
            try:
                rows = list(scan(root).tree.files())
            except (RecollectError, OSError):
                counts["refused"] += 1
                rows = []
            leaked = any(row.hash == canary or row.path == "folder/canary.py" for row in rows)
            task = Task(str(root), "folder/file.py", UNREAD, len(OWN), 1_000_000)
            answer, _ = worker.work(task, cache, None)
            leaked |= answer.result is not None and answer.result.hash == canary
            counts["leaked" if leaked else "own"] += 1 if leaked or rows else 0
    cache.close()
    return counts


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_exchanged_for_a_link_while_it_is_read_gives_nothing_from_outside(tmp_path: Path, attack: str) -> None:
    counts = read_again_and_again(tmp_path, attack, TRIES)
    assert counts["leaked"] == 0
    assert counts["own"]  # it was there, and was read, part of the time


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_exchanged_for_a_link_while_it_is_synced_gives_nothing_from_outside(
    tmp_path: Path, attack: str
) -> None:
    counts = scan_again_and_again(tmp_path, attack, TRIES)
    assert counts["leaked"] == 0
    assert counts["own"]


if __name__ == "__main__":  # python -m tests.chaos.test_exchanges 20000
    import tempfile

    for attack in ATTACKS:
        for again_and_again in (read_again_and_again, scan_again_and_again):
            with tempfile.TemporaryDirectory() as folder:
                begun = time.monotonic()
                counts = again_and_again(Path(folder).resolve(), attack, int(sys.argv[1]))
                print(f"{attack:8}{again_and_again.__name__:24}{counts}  {time.monotonic() - begun:.0f} s", flush=True)
