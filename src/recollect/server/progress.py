"""Tells a client how far its call is: whenever that changes, and often enough that it does not give up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from recollect.model import Progress

EVERY_S: Final = 15.0  # clients that count the time since the last progress give up after 60 s
_TOTAL: Final = 100.0
_MOST: Final = 99.0  # reported before the answer; a call may have several parts, and each ends at 100 %

Report = Callable[[float, float | None, str], Awaitable[None]]
"""(progress, total, message)"""


class Reporter:
    """The progress of one call. Values rise with every report, as MCP demands; what is not sent in time is left out."""

    def __init__(self, name: str, report: Report, every_s: float = EVERY_S) -> None:
        self._name = name
        self._report = report
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._started = time.monotonic()
        self._news = asyncio.Event()
        self._latest: Progress | None = None
        self._reported = 0.0

    def tell(self, progress: Progress) -> None:
        """From any thread."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._note, progress)

    def _note(self, progress: Progress) -> None:
        self._latest = progress
        self._news.set()

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._every_s)
            self._news.clear()
            await self._report(*self._next())

    def _next(self) -> tuple[float, float | None, str]:
        elapsed_s = time.monotonic() - self._started
        if self._latest is None:
            self._reported = max(elapsed_s, self._reported + 0.001)
            return round(self._reported, 3), None, f"{self._name}: working for {elapsed_s:.0f} s"
        floor = self._reported + (_TOTAL - self._reported) / 10_000  # always below the total
        self._reported = max(min(self._latest.percentage, _MOST), floor)
        files = f"{self._latest.files_done} of {self._latest.files_total or '?'} files"
        return self._reported, _TOTAL, f"{self._latest.phase}: {files}"
