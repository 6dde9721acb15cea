"""What questions derive from one generation of an index, and want to have in the next ones without working it out again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from recollect.records import dataclass

if TYPE_CHECKING:
    from recollect.index.snapshot import FileInfo

_UNASKED: Final = 100  # generations that something is carried along though nobody asks for it


@dataclass(frozen=True, slots=True)
class Changes:
    """How the files of a generation differ from those of an earlier one: those that came or changed, and those that went."""

    files: Mapping[int, FileInfo]
    gone: frozenset[int]

    def then(self, later: Changes) -> Changes:
        """Both, one after the other."""
        stayed = {file_id: info for file_id, info in self.files.items() if file_id not in later.gone}
        return Changes({**stayed, **later.files}, self.gone | later.gone)


class Memo:
    """Values by key. Those of earlier generations are brought up to date when they are asked for; None stands for nothing.

    Usable from any thread: at worst, something is worked out twice.
    """

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}
        self._earlier: dict[Any, tuple[Any, Changes, int]] = {}  # value, what happened since, for how many generations

    def __setitem__(self, key: Any, value: Any) -> None:
        self._known[key] = value

    def get(self, key: Any, follow: Callable[[Any, Changes], Any] = lambda value, changes: value) -> Any:
        """What is known under `key`. `follow`: makes the value of this generation of an earlier one's."""
        found = self._known.get(key)
        if found is None and key in self._earlier:
            value, changes, _ = self._earlier[key]
            found = self._known[key] = follow(value, changes)
        return found

    def after(self, changes: Changes) -> Memo:
        """For the next generation, which differs by `changes`."""
        later = Memo()
        merged: dict[int, Changes] = {}  # most values are of the same generation
        for key, (value, before, age) in list(self._earlier.items()):
            if age < _UNASKED:
                if id(before) not in merged:
                    merged[id(before)] = before.then(changes)
                later._earlier[key] = value, merged[id(before)], age + 1
        later._earlier.update(
            (key, (value, changes, 1)) for key, value in list(self._known.items()) if value is not None
        )
        return later
