"""A place in a file as people, hits and tools write it: `path`, `path:12-40`, `repository:path:12`, `path#L12-L40`, `a\\b`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from recollect.records import dataclass

_LINES: Final = re.compile(
    r"(?::(?P<colon>\d+)(?:-(?P<colon_end>\d+)|:\d+)?|#L(?P<hash>\d+)(?:-L?(?P<hash_end>\d+))?|\((?P<round>\d+)(?:,\s*\d+)?\))"
    r"(?:[:,\s].*)?$",
    re.DOTALL,
)
_NUMBER: Final = re.compile(r"\d+\.\s+")  # of a hit in a list
_MOST_COLONS: Final = 3  # after which a repository's name may end
_LONGEST: Final = 4096  # characters; a longer text is a path as it stands


@dataclass(frozen=True, slots=True)
class Location:
    """What a text may mean; lines are 1-based and inclusive, None where it names none."""

    path: str
    repository: str | None = None
    first_line: int | None = None
    last_line: int | None = None


def readings(text: str) -> Iterator[Location]:
    """Everything that `text` may mean, the most literal first: whoever asks takes the first that is there."""
    yield Location(text)
    if len(text) > _LONGEST:
        return
    plain = _NUMBER.sub("", text.strip(), count=1) if _NUMBER.match(text.strip()) else text.strip()
    lines = _LINES.search(plain)
    first, last = _range(lines) if lines is not None else (None, None)
    for separators in (str, _with_slashes):
        whole, cut = separators(plain), separators(plain[: lines.start()]) if lines is not None else None
        if whole != text:
            yield Location(whole)
        if cut:
            yield Location(cut, None, first, last)
        for path, numbers in ((whole, (None, None)), (cut, (first, last))):
            yield from (Location(rest, name, *numbers) for name, rest in _prefixed(path or ""))


def _range(lines: re.Match[str]) -> tuple[int | None, int | None]:
    first = next(int(lines[name][:9]) for name in ("colon", "hash", "round") if lines[name])
    last = next((int(lines[name][:9]) for name in ("colon_end", "hash_end") if lines[name]), None)
    return first, last


def _prefixed(text: str) -> Iterator[tuple[str, str]]:
    """(name of a repository, path in it) for each colon that may stand between them."""
    at = -1
    for _ in range(_MOST_COLONS):
        at = text.find(":", at + 1)
        if at < 0:
            return
        if at > 0 and text[at + 1 :]:
            yield text[:at], text[at + 1 :]


def _with_slashes(text: str) -> str:
    return text.replace("\\", "/")
