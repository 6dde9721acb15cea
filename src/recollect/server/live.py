"""What the page is told as it happens: one look at everything for all pages, and only what changed is sent."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from typing import Any, Final

from recollect import text
from recollect.workspace import Workspace

_BUSY_S, _IDLE_S = 0.1, 1.0  # between two looks: at running syncs, and at everything
_PING_S: Final = 15.0
_WAITING: Final = 256  # messages for a page that does not read; then it is sent everything anew
_ERRORS: Final = 5
_CHECKED: Final = re.compile(r"(: | \()files were last checked .* ago\)?")  # would change with every second
log = logging.getLogger("recollect.live")


class Live:
    """On the event loop; the looking is done in a thread, and only while a page is open."""

    def __init__(self, workspace: Workspace, threads: Executor) -> None:
        self._workspace = workspace
        self._threads = threads
        self._pages: set[asyncio.Queue[str | None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._known: dict[str, str] = {}
        self._background = ""

    @property
    def pages(self) -> int:
        return len(self._pages)

    async def stream(self) -> AsyncIterator[bytes]:
        """Server-sent events for one page, until it goes or the daemon ends."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(_WAITING)
        self._pages.add(queue)
        try:
            if self._known:
                queue.put_nowait(
                    _event(
                        "repositories",
                        {"changed": [json.loads(row) for row in self._known.values()], "gone": [], "all": True},
                    )
                )
                queue.put_nowait(f"event: background\ndata: {self._background}\n\n")
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look(), name="live")
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), _PING_S)
                except TimeoutError:
                    message = ": still here\n\n"
                if message is None:
                    return
                yield message.encode("utf-8", "replace")
        finally:
            self._pages.discard(queue)

    async def close(self) -> None:
        for queue in list(self._pages):
            self._put(queue, None)
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        next_all = 0.0
        running: set[str] = set()
        try:
            while self._pages:
                if loop.time() >= next_all:
                    rows, background = await loop.run_in_executor(self._threads, self._everything)
                    self._tell_changes(rows, background)
                    next_all = loop.time() + _IDLE_S
                progress = self._workspace.running()
                if running != (now := {one["name"] for one in progress}):
                    running, next_all = now, 0.0  # one began or ended: all about it is wanted at once
                if progress:
                    self._tell(_event("progress", progress))
                await asyncio.sleep(_BUSY_S if progress else _IDLE_S / 2)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("the page is not told any longer what happens")
            for queue in list(self._pages):
                self._put(queue, None)  # it comes back
        finally:
            self._known, self._background = {}, ""

    def _everything(self) -> tuple[dict[str, str], str]:
        rows = {}
        for status in self._workspace.statuses():
            row = status.to_dict()
            if row["last_sync"] is not None:
                row["last_sync"]["errors"] = row["last_sync"]["errors"][:_ERRORS]
            fresh = row["freshness"]
            fresh["checked_ms"], fresh["reason"] = 0.0, _CHECKED.sub("", fresh["reason"] or "") or None
            rows[row["name"]] = text.to_json(row)
        return rows, text.to_json(self._workspace.auto_sync.status().to_dict())

    def _tell_changes(self, rows: dict[str, str], background: str) -> None:
        changed = [json.loads(row) for name, row in rows.items() if self._known.get(name) != row]
        gone = [name for name in self._known if name not in rows]
        first = not self._known
        self._known = rows
        if changed or gone or first:
            self._tell(_event("repositories", {"changed": changed, "gone": gone, "all": first}))
        if background != self._background:
            self._background = background
            self._tell(f"event: background\ndata: {background}\n\n")

    def _tell(self, message: str) -> None:
        for queue in list(self._pages):
            self._put(queue, message)

    @staticmethod
    def _put(queue: asyncio.Queue[str | None], message: str | None) -> None:
        try:
            queue.put_nowait(message)
        except asyncio.QueueFull:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)  # the page asks again, and is told everything


def _event(name: str, value: Any) -> str:
    return f"event: {name}\ndata: {text.to_json(value)}\n\n"
