"""A place in a file as people, hits and tools write it.

`path`, `path:12-40`, `repository:path:12`, `path#L12-L40`, `path(12,5)`, `path, line 12`, `File "path", line 12`,
`at f (path:12:5)`, a URL (`file:///…`), in quotes, with backslashes, percent signs, or in the other form of Unicode.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import unquote

from recollect.records import dataclass

_RANGE: Final = r"(?:\s?(?:-|–|\.\.)\s?L?(?P<{0}_end>\d+))?"
_LINES: Final = re.compile(
    r"(?::L?(?P<colon>\d+)(?:" + _RANGE.format("colon") + r"|:\d+)"
    r"|#L(?P<hash>\d+)(?:C\d+)?(?:-L?(?P<hash_end>\d+)(?:C\d+)?)?"
    r"|\((?P<round>\d+)(?:[,:]\s*\d+)?\)"
    r"|,?\s?[(:]?\s?\blines?\s(?P<word>\d+)" + _RANGE.format("word") + r"\)?)"
    r"(?:[:,\s].*)?$",
    re.DOTALL | re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"\d+\.\s+")  # of a hit in a list
_TRACE: Final = re.compile(r'File "([^"]+)"(.*)', re.DOTALL)  # of Python
_FRAME: Final = re.compile(r"at\s.*\(([^()]+:\d+)\)\s*$", re.DOTALL)  # of JavaScript and Java
_ARROW: Final = re.compile(r"(?:-->|at)\s+(?=\S)")  # of rustc, and of a frame without a name
_URL: Final = re.compile(r"(?:file://(?:localhost)?|[a-z][a-z-]*://file)(?=/)", re.IGNORECASE)
_ENCLOSED: Final = {'"': '"', "'": "'", "`": "`", "(": ")", "<": ">", "[": "]", "“": "”", "‘": "’", "«": "»"}
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
    known = {Location(text)}
    for plain in _plain(text.strip()):
        for location in _read(plain):
            if location.path and location not in known:
                known.add(location)
                yield location


def _plain(text: str) -> Iterator[str]:
    """The text, then without what tools write around a place, then as other systems spell it."""
    yield text
    if match := _NUMBER.match(text):
        text = text[match.end() :]
        yield text
    bare = _without_frame(text)
    if bare != text:
        yield bare
    if url := _URL.match(bare):
        bare = bare[url.end() :]
        yield bare
    if "%" in bare:
        yield (bare := unquote(bare))
    if not bare.isascii():
        yield from (unicodedata.normalize(form, bare) for form in ("NFC", "NFD"))


def _without_frame(text: str) -> str:
    """Without the words of a stack trace or compiler, and the quotes or brackets around all of it."""
    if match := _TRACE.match(text):
        return match[1] + match[2]
    if match := _FRAME.match(text):
        return match[1]
    text = _ARROW.sub("", text, count=1) if _ARROW.match(text) else text
    while len(text) > 2 and _ENCLOSED.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    closing = _ENCLOSED.get(text[:1])
    end = text.find(closing, 1) if closing else -1
    if closing and end > 1 and _LINES.match(text, end + 1):  # quotes around the path alone
        return text[1:end] + text[end + 1 :]
    return text


def _read(plain: str) -> Iterator[Location]:
    lines = _LINES.search(plain)
    first, last = _range(lines) if lines is not None else (None, None)
    spellings: tuple[Callable[[str], str], ...] = (str, _with_slashes)
    for spelled in spellings:
        whole, cut = spelled(plain), spelled(plain[: lines.start()]) if lines is not None else None
        yield Location(whole)
        if cut:
            yield Location(cut, None, first, last)
        for path, numbers in ((whole, (None, None)), (cut, (first, last))):
            yield from (Location(rest, name, *numbers) for name, rest in _prefixed(path or ""))


def _range(lines: re.Match[str]) -> tuple[int | None, int | None]:
    kind = next(name for name in ("colon", "hash", "round", "word") if lines[name])
    last = lines[f"{kind}_end"] if kind != "round" else None
    first = int(lines[kind][:9])
    return first or None, int(last[:9]) if last else None  # line 0 is how some tools name all of a file


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
