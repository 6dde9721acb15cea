"""Blocks are made and read by many threads of a process at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from recollect.index.analyse import unzipped, zipped


def test_threads_do_not_disturb_each_other() -> None:
    data = [os.urandom(200) * repeated for repeated in range(50, 2_000, 13)]

    def come_back(_: int) -> bool:
        return all(unzipped(zipped(item)) == item for item in data)

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(come_back, range(24)))
