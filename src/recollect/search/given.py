"""Files and lines that a question names: as a person writes them, and as compilers and stack traces do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from recollect import text
from recollect.index.snapshot import FileInfo, Snapshot
from recollect.search.hits import Source

_ENOUGH = 2  # last parts of a path that name a file; what stands before may be another machine's


def files(path: str, sources: Sequence[Source]) -> Collection[tuple[int, int]]:
    """(source, file id) of the files that a path means: relative, absolute, or of another machine, where the same was checked
    out or installed elsewhere.
    """
    parts = path.split("/")
    found: dict[tuple[int, int], int] = {}
    for number, source in enumerate(sources):
        for info in _of_that_name(parts[-1], source.snapshot):
            found[number, info.id] = _common([*source.root.parts[1:], *info.path.split("/")], parts)
    most = max(found.values(), default=0)
    return [place for place, common in found.items() if common == most] if most >= min(_ENOUGH, len(parts)) else ()


def _of_that_name(name: str, snapshot: Snapshot) -> Iterable[FileInfo]:
    with_words = [snapshot.paths.by_stem.get(word) for word in text.stem_words(name)]
    if None in with_words:
        return ()
    few = min((found[0] for found in with_words if found is not None), key=len, default=None)
    infos = snapshot.files.values() if few is None else map(snapshot.files.get, few.tolist())
    return (info for info in infos if info is not None and info.path.rpartition("/")[2] == name)


def _common(path: Sequence[str], given: Sequence[str]) -> int:
    """How many last parts are the same."""
    common = 0
    for own, asked in zip(reversed(path), reversed(given), strict=False):
        if own != asked:
            break
        common += 1
    return common
