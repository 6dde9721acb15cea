"""An estimate of what agents did not have to read: what they were answered against the files that the answers are from."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from recollect.errors import RecollectError
from recollect.jobs.library import Library
from recollect.model import Savings, ToolSavings
from recollect.store.catalog import Catalog

_CHARACTERS: Final = 4  # of a token, about
_KEPT_DAYS: Final = 400
_WRITE_EVERY_S: Final = 30.0
ESTIMATED: Final = (
    "an estimate: tokens of the answers (four characters each) against those of the whole files that they came from, each file "
    "counted once an answer"
)


class Ledger:
    """Counts by day and tool, kept in the catalog. Thread-safe."""

    def __init__(self, catalog: Catalog, library: Library) -> None:
        self._catalog = catalog
        self._library = library
        self._lock = threading.Lock()
        self._new: Counter[tuple[str, str, str]] = Counter()
        self._written = time.monotonic()

    def note(self, tool: str, answer: Mapping[str, Any], text: str) -> None:
        """An agent was given `text`; `answer` says which files it is from. Tools that stand for no files are left out."""
        files = _files(answer)
        if not files:
            return
        by_name = {item.name: item.id for item in self._catalog.repositories()}
        whole = sum(self._size(by_name.get(repository), path) for repository, path in files)
        returned, day = len(text) // _CHARACTERS, time.strftime("%Y-%m-%d")
        with self._lock:
            self._new[day, tool, "calls"] += 1
            self._new[day, tool, "returned"] += returned
            self._new[day, tool, "whole"] += max(whole, returned)
            due = time.monotonic() - self._written > _WRITE_EVERY_S
        if due:
            self.write()

    def write(self) -> None:
        """Keep what was counted."""
        with self._lock:
            new, self._new, self._written = self._new, Counter(), time.monotonic()
        rows = {
            (day, tool): {name: new[day, tool, name] for name in ("calls", "returned", "whole")} for day, tool, _ in new
        }
        if rows:
            with suppress(RecollectError):  # an estimate is not worth a failed answer
                self._catalog.add_usage(
                    rows, time.strftime("%Y-%m-%d", time.localtime(time.time() - _KEPT_DAYS * 86_400))
                )

    def totals(self, days: int | None = None) -> Savings:
        """Of the last `days`, today among them; None: of all that are kept."""
        self.write()
        days = min(days, _KEPT_DAYS) if days is not None else None
        since = "" if days is None else time.strftime("%Y-%m-%d", time.localtime(time.time() - (days - 1) * 86_400))
        by_tool: dict[str, Counter[str]] = {}
        by_day: Counter[str] = Counter()
        for day, tool, calls, returned, whole in self._catalog.usage(since):
            by_tool.setdefault(tool, Counter()).update({"calls": calls, "returned": returned, "whole": whole})
            by_day[day] += whole - returned
        tools = tuple(
            ToolSavings(tool, one["calls"], one["returned"], one["whole"], one["whole"] - one["returned"])
            for tool, one in sorted(by_tool.items(), key=lambda item: item[1]["returned"] - item[1]["whole"])
        )
        returned, whole = sum(one.returned_tokens for one in tools), sum(one.whole_tokens for one in tools)
        days_shown = tuple({"day": day, "saved_tokens": saved} for day, saved in sorted(by_day.items())[-30:])
        return Savings(sum(one.calls for one in tools), returned, whole, whole - returned, tools, days_shown, ESTIMATED)

    def _size(self, repository_id: str | None, path: str) -> int:
        """Tokens of a file; 0 where it is gone."""
        if repository_id is None:
            return 0
        with suppress(RecollectError), self._library.reading(repository_id) as snapshot:
            info = snapshot.find(path) if snapshot is not None else None
            return info.size // _CHARACTERS if info is not None else 0
        return 0


def _files(answer: Mapping[str, Any]) -> set[tuple[str, str]]:
    if "total_lines" in answer:
        rows: list[Any] = [answer]
    else:
        named = [answer.get("hits"), answer.get("definitions")]
        rows = [row for one in named if isinstance(one, list) for row in one]
    return {(row["repository"], row["path"]) for row in rows}
