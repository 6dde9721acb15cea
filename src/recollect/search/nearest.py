"""What a misspelt symbol or path may mean, of what an index holds. Looked for only after nothing was found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from recollect import text
from recollect.index.snapshot import Definition, Snapshot
from recollect.search.hits import Source

_MOST_NAMES: Final = 3_000  # candidates of one index
MOST_FILES: Final = 200_000  # paths that are looked through
_LEAST: Final = 0.72  # share of letters: an index has many names, and some are always a little similar
_SHORT: Final = 6  # letters of a word that is compared with every candidate
_LONGEST: Final = 100  # characters of a name that may be misspelt


def symbols(
    sources: Sequence[Source], name: str, limit: int = 3, outer: Sequence[str] = ()
) -> list[tuple[Source, Definition]]:
    """A definition of each of the names that are nearest to an unqualified `name`, best first; those in `outer` before."""
    if not 2 < len(name) <= _LONGEST:
        return []
    holders: dict[str, Source] = {}
    for source in sources:
        for folded in _names_like(source.snapshot, name.lower()):
            holders.setdefault(folded, source)
    found = []
    for folded in text.nearest(name, holders, limit, _LEAST):
        definitions = holders[folded].snapshot.definitions([folded], fold=True)
        definitions.sort(key=lambda item: not _is_in(item, outer))
        found += [(holders[folded], item) for item in definitions[:1]]
    return sorted(found, key=lambda one: not _is_in(one[1], outer))


def _is_in(item: Definition, outer: Sequence[str]) -> bool:
    return bool(outer) and f".{item.qualified_name}".endswith("." + ".".join((*outer, item.name)))


def _names_like(snapshot: Snapshot, folded: str) -> list[str]:
    """Names, in lower case, that hold a third of this one unchanged: with a slip or two, one third is as it should be."""
    size = len(folded)
    step = max(1, size // 3)
    pieces = [folded[:step], folded[step : size - step], folded[size - step :]]
    either = " OR ".join(["instr(name, ?)"] * len(pieces))
    sql = (
        "SELECT DISTINCT name FROM (SELECT ifnull(folded, name) AS name FROM definitions) "
        f"WHERE length(name) BETWEEN ? AND ? AND ({either}) LIMIT ?"
    )
    slack = 2 + size // 3
    return [row[0] for row in snapshot.rows(sql, (size - slack, size + slack, *pieces, _MOST_NAMES))]


def paths(snapshot: Snapshot, asked: str, limit: int = 3) -> list[str]:
    """The indexed paths that are nearest to `asked`: of the same name elsewhere, else with the most similar name."""
    folder, _, name = asked.strip("/").rpartition("/")
    by_name = defaultdict(list)
    for path in indexed_paths(snapshot):
        by_name[path.rpartition("/")[2]].append(path)
    names = [known for known in by_name if known.lower() == name.lower()] or text.nearest(name, _like(name, by_name))
    candidates = [path for known in names for path in by_name[known]]
    place = {known: number for number, known in enumerate(names)}
    parts = folder.lower().split("/")
    candidates.sort(
        key=lambda path: (place[path.rpartition("/")[2]], -_shared(path.lower().split("/")[:-1], parts), path)
    )
    return candidates[:limit]


def folders(paths: Iterable[str], asked: str, limit: int = 3) -> list[str]:
    """The folders of `paths` that are nearest to `asked`: of the same name elsewhere, else with a similar name or path."""
    known = {folder for path in islice(paths, MOST_FILES) for folder in _above(path)}
    name = asked.rpartition("/")[2].lower()
    same = sorted((folder for folder in known if folder.rpartition("/")[2].lower() == name), key=len)
    return same[:limit] or text.nearest(asked, _like(asked, known), limit)


def indexed_paths(snapshot: Snapshot) -> Iterator[str]:
    """Paths of the indexed files, as many as are looked through."""
    return (info.path for info in islice(snapshot.files.values(), MOST_FILES) if info.status == "indexed")


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _like(word: str, candidates: Iterable[str]) -> Iterator[str]:
    """Those that share a pair of letters with the word: a quick look before the exact one."""
    folded = word.lower()
    if len(folded) < _SHORT:
        return iter(candidates)
    pairs = {folded[at : at + 2] for at in range(len(folded) - 1)}
    return (candidate for candidate in candidates if any(pair in candidate.lower() for pair in pairs))


def _shared(left: Sequence[str], right: Sequence[str]) -> int:
    """Number of folders that both have."""
    return len(set(left) & set(right))
