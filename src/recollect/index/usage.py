"""Which files use names that others define: collected from an index, kept beside it, brought up to date from it.

`usage.rcl` in a repository's folder is derived: it may be of an older generation than the index, and be made again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recollect.errors import Corrupt
from recollect.index import packing, schema
from recollect.index.analyse import decompress, unzipped, zipped
from recollect.records import dataclass
from recollect.store import pages

_NAME: Final = "usage.rcl"
_FAMILIES: Final[dict[str, str]] = {  # languages that use each other's names
    **dict.fromkeys(("javascript", "typescript", "tsx", "vue", "svelte", "astro"), "web"),
    **dict.fromkeys(("c", "cpp", "objectivec"), "c"),
    **dict.fromkeys(("java", "kotlin", "scala", "groovy"), "jvm"),
    **dict.fromkeys(("ocaml", "ocaml-interface"), "ocaml"),
}
_BRANCHES: Final = ("if ", "for ", "while ", "case ", "catch", "except", "&&", "||")
_BLOCK: Final = 500
Whole = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Usage:
    """Files by number (`file_id[number]`), names by number (`names`: `family TAB name`). `use_*`: a file uses a name so many
    times; `def_*`: a file defines a name. `branches`: how often the text of a file branches, about. `rank`: the
    importance of each file without any focus.
    """

    generation: int
    names: Sequence[str]
    file_id: NDArray[np.int64]
    branches: Whole
    rank: NDArray[np.float64]
    use_file: Whole
    use_name: Whole
    use_count: Whole
    def_file: Whole
    def_name: Whole


def load(folder: Path) -> Usage | None:
    """What is kept beside an index; None where nothing is, or it is damaged."""
    try:
        meta, arrays = packing.unpack(unzipped((folder / _NAME).read_bytes()))
        return Usage(meta["generation"], arrays.pop("names").tobytes().decode().split("\n"), **arrays)
    except (OSError, Corrupt, KeyError, TypeError, ValueError):
        return None


def made_at(folder: Path) -> float | None:
    """When what is kept beside an index was made."""
    try:
        return (folder / _NAME).stat().st_mtime
    except OSError:
        return None


def save(folder: Path, usage: Usage) -> None:
    """Keep it beside the index, whole or not at all. Raises OSError."""
    arrays: dict[str, NDArray[Any]] = {
        name: getattr(usage, name) for name in Usage.__slots__ if name not in ("generation", "names")
    }
    arrays["names"] = np.frombuffer("\n".join(usage.names).encode(), np.uint8)
    part = folder / f"{_NAME}.part"
    with open(part, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(zipped(packing.pack(arrays, {"generation": usage.generation})))
    part.replace(folder / _NAME)


def collect(folder: Path, before: Usage | None, between: Callable[[], None] = lambda: None) -> Usage:
    """Of the last committed generation; only files that changed since `before` are looked at. Ranks are not made.
    `between` is called after each file.

    Raises:
        Corrupt, Unavailable: the index cannot be read. FileNotFoundError: there is none.
    """
    if not (folder / "index.db").exists():
        raise FileNotFoundError(folder)
    with closing(schema.open_for_reading(folder)) as database:
        try:
            database.execute("BEGIN")
            return _collect(database, before, between)
        except pages.Error as error:
            raise schema.index_error(error) from error


def _collect(database: pages.Connection, before: Usage | None, between: Callable[[], None]) -> Usage:
    meta = dict(database.execute("SELECT key, value FROM meta WHERE key IN ('generation', 'removed_floor')"))
    generation = int(meta.get("generation", 0))
    if before is not None and (int(meta.get("removed_floor", 0)) > before.generation or before.generation > generation):
        before = None
    since = before.generation if before is not None else -1
    sql = "SELECT id, language FROM files WHERE generation > ? AND status = 'indexed' AND content = 'code'"
    changed: dict[int, str] = dict(database.execute(sql, (since,)).fetchall())
    touched = {row[0] for row in database.execute("SELECT id FROM files WHERE generation > ?", (since,))}
    touched |= {row[0] for row in database.execute("SELECT file_id FROM removed_files WHERE generation > ?", (since,))}
    numbers = {name: number for number, name in enumerate(before.names)} if before is not None else {}
    kept = _without(before, touched) if before is not None else None
    new = _Rows(numbers, len(kept.file_id) if kept is not None else 0)
    ids = list(changed)
    for start in range(0, len(ids), _BLOCK):
        part = ids[start : start + _BLOCK]
        marks = ",".join("?" * len(part))
        defined: dict[int, set[str]] = {file_id: set() for file_id in part}
        sql = f"SELECT file_id, name FROM symbols WHERE file_id IN ({marks}) AND kind <> 'section'"
        for file_id, name in database.execute(sql, part):
            defined[file_id].add(name)
        for file_id, text, uses in database.execute(
            f"SELECT file_id, text, uses FROM texts WHERE file_id IN ({marks})", part
        ):
            new.take(
                file_id,
                _FAMILIES.get(changed[file_id], changed[file_id]),
                defined[file_id],
                decompress(uses),
                decompress(text),
            )
            between()
    return new.joined(kept, generation)


def _without(usage: Usage, file_ids: Iterable[int]) -> Usage:
    """Without some files."""
    gone = np.isin(usage.file_id, np.fromiter(file_ids, np.int64))
    stay = ~gone
    number = (np.cumsum(stay) - 1).astype(np.int32)
    uses, defs = stay[usage.use_file], stay[usage.def_file]
    return Usage(
        usage.generation,
        usage.names,
        usage.file_id[stay],
        usage.branches[stay],
        usage.rank[stay],
        number[usage.use_file[uses]],
        usage.use_name[uses],
        usage.use_count[uses],
        number[usage.def_file[defs]],
        usage.def_name[defs],
    )


class _Rows:
    """What files bring, number by number."""

    def __init__(self, numbers: dict[str, int], first: int) -> None:
        self._numbers = numbers
        self._first = first
        self._ids: list[int] = []
        self._branches: list[int] = []
        self._uses: tuple[list[int], list[int], list[int]] = ([], [], [])
        self._defs: tuple[list[int], list[int]] = ([], [])

    def take(self, file_id: int, family: str, defined: Iterable[str], uses: str, text: str) -> None:
        file = self._first + len(self._ids)
        self._ids.append(file_id)
        self._branches.append(sum(text.count(mark) for mark in _BRANCHES))
        for name in sorted(defined):
            self._defs[0].append(file)
            self._defs[1].append(self._number(f"{family}\t{name}"))
        for line in uses.split("\n"):
            name, _, lines = line.partition("\t")
            if lines:
                self._uses[0].append(file)
                self._uses[1].append(self._number(f"{family}\t{name}"))
                self._uses[2].append(lines.count(",") + 1)

    def _number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    def joined(self, kept: Usage | None, generation: int) -> Usage:
        """With what is kept; names that nobody has any longer go."""
        made: list[NDArray[Any]] = [
            np.array(self._ids, np.int64),
            np.array(self._branches, np.int32),
            np.zeros(len(self._ids)),
        ]
        made += [np.array(column, np.int32) for column in (*self._uses, *self._defs)]
        if kept is not None:
            old: tuple[NDArray[Any], ...] = (
                kept.file_id,
                kept.branches,
                kept.rank,
                kept.use_file,
                kept.use_name,
                kept.use_count,
                kept.def_file,
                kept.def_name,
            )
            made = [np.concatenate(pair) for pair in zip(old, made, strict=True)]
        file_id, branches, rank, use_file, use_name, use_count, def_file, def_name = made
        names = list(self._numbers)
        wanted = np.zeros(len(names), np.bool_)
        wanted[use_name] = wanted[def_name] = True
        number = (np.cumsum(wanted) - 1).astype(np.int32)
        left = [name for name, here in zip(names, wanted.tolist(), strict=True) if here]
        return Usage(
            generation, left, file_id, branches, rank, use_file, number[use_name], use_count, def_file, number[def_name]
        )
