"""The repository map: its most important definitions as an outline, within a budget of tokens.

Importance is a personalised PageRank on the graph of files that use names which other files define, and the rank of a
definition the share of it that flows over its name: the method of aider's repository map (https://aider.chat/docs/repomap.html),
its weights of names included. Here a name's flow is split evenly among the files that define it, names belong to a family of
languages, and a name that a file defines itself is no use of another's.
"""

from __future__ import annotations

import builtins
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recollect import escape
from recollect.index.snapshot import DEFINITION_COLUMNS, Definition, FileInfo, Snapshot
from recollect.index.usage import Usage
from recollect.records import dataclass
from recollect.search import rank
from recollect.search.signatures import Signatures

_DAMPING: Final = 0.85
_ITERATIONS: Final = 30
_ITERATIONS_FOCUSED: Final = 12  # somebody waits; by then a seventh of the flow is still on its way, far from the focus
_CLOSE: Final = 1e-4
_FOCUS: Final = 0.9  # of the personalisation
_LONG_NAME: Final = 8
_SHORT: Final = 7
_TELLING, _PLAIN, _PRIVATE, _COMMON, _ASKED = 10.0, 0.5, 0.1, 0.1, 10.0  # factors of a name's weight
_COMMON_FROM: Final = 5  # files that define it
_MANY: Final = 0.02  # share of all files, and …
_MANY_LEAST: Final = 20.0  # … their number, from which more users do not make a name weigh more
_BUILTIN: Final = {  # what every file may use, whoever else defines the like
    "python": frozenset(dir(builtins)),
    "web": frozenset(
        "Array Boolean Date Error Function JSON Map Math Number Object Promise Proxy RegExp Set String Symbol WeakMap "
        "console document window process require module exports undefined then catch map filter forEach push".split()
    ),
    "go": frozenset(
        "append cap close copy delete error len make new panic print println recover string int bool byte".split()
    ),
    "rust": frozenset(
        "Some None Ok Err Vec String Option Result Box clone unwrap into iter collect new default".split()
    ),
}
_OWN: Final = 0.05  # of a file's rank, spread over what it defines: so that what nobody uses is not left out
_LEAST_TOKENS: Final = 5  # of a definition's line
_SIGNATURE: Final = 160
_MISSES: Final = 30
_BLOCK: Final = 500
_CHARACTERS_PER_TOKEN: Final = 4
Ranks = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Focus:
    """What a map is centred on: files (numbers of `Usage`) and names."""

    files: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.files or self.names)


@dataclass(frozen=True, slots=True)
class Outline:
    text: str
    files: int
    definitions: int


class Graph:
    """A `Usage` made ready for ranking."""

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        files, names = len(usage.file_id), len(usage.names)
        self.definers = np.bincount(usage.def_name, minlength=names)
        own = usage.def_file.astype(np.int64) * names + usage.def_name
        used = usage.use_file.astype(np.int64) * names + usage.use_name
        matters = (self.definers[usage.use_name] > 0) & ~np.isin(used, own)
        self.use_file, self.use_name = usage.use_file[matters], usage.use_name[matters]
        self.times = np.sqrt(usage.use_count[matters])
        users = np.bincount(self.use_name, minlength=names)
        many = max(_MANY_LEAST, _MANY * files)
        self.weights = _weights(usage.names) * np.minimum(1.0, many / np.maximum(users, 1))
        self.weights *= np.where(self.definers > _COMMON_FROM, _COMMON, 1.0)
        self.number = {int(file_id): at for at, file_id in enumerate(usage.file_id)}
        self._kept: Ranks | None = None
        self._unfocused: tuple[Ranks, Ranks] | None = None

    def kept(self, snapshot: Snapshot) -> Ranks:
        """By file, what is left of its importance: less of tests, examples and the like; nothing of what is gone."""
        if self._kept is None:
            infos = (snapshot.files.get(file_id) for file_id in self.usage.file_id.tolist())
            self._kept = np.array([rank.kept(info.path) if info is not None else 0.0 for info in infos])
        return self._kept

    def ranked(self, focus: Focus = Focus()) -> tuple[Ranks, Ranks]:
        """(rank of each file, rank of each `def_*` row); file ranks sum up to one."""
        if focus:
            return self._ranked(focus)
        if self._unfocused is None:
            self._unfocused = self._ranked(focus)
        return self._unfocused

    def _ranked(self, focus: Focus) -> tuple[Ranks, Ranks]:
        usage = self.usage
        files, names = len(usage.file_id), len(usage.names)
        if not files:
            return np.zeros(0), np.zeros(0)
        weights = self.weights
        if focus.names:
            weights = weights.copy()
            weights[[at for at, full in enumerate(usage.names) if full.partition("\t")[2] in focus.names]] *= _ASKED
        weight = weights[self.use_name] * self.times
        out = np.bincount(self.use_file, weight, files)
        share = weight / np.maximum(out[self.use_file], 1e-12)  # a file may use nothing but what counts for nothing
        start = np.full(files, 1.0 / files)
        if focus.files:
            chosen = np.fromiter(focus.files, np.int64)
            start *= 1.0 - _FOCUS
            start[chosen] += _FOCUS / len(chosen)
        ranks, flow = start.copy(), np.zeros(names)
        for _ in range(_ITERATIONS_FOCUSED if focus else _ITERATIONS):
            flow = np.bincount(self.use_name, ranks[self.use_file] * share, names) / np.maximum(self.definers, 1)
            moved = np.bincount(usage.def_file, flow[usage.def_name], files)
            lost = 1.0 - float(moved.sum())  # of files that use nothing of others
            following = _DAMPING * (moved + lost * start) + (1.0 - _DAMPING) * start
            change = float(np.abs(following - ranks).sum())
            ranks = following
            if change < _CLOSE:
                break
        counts = np.bincount(usage.def_file, minlength=files)
        of_own = _OWN * ranks[usage.def_file] / np.maximum(counts[usage.def_file], 1)
        return ranks, flow[usage.def_name] + of_own


def _weights(names: Sequence[str]) -> Ranks:
    """What a use of a name tells, by how the name is written."""
    weights = np.ones(len(names))
    for number, full in enumerate(names):
        family, _, name = full.partition("\t")
        if name in _BUILTIN.get(family, ()):
            weights[number] = 0.0
        elif name.startswith("_"):
            weights[number] = _PRIVATE
        elif len(name) >= _LONG_NAME and ("_" in name or (name != name.lower() and name != name.upper())):
            weights[number] = _TELLING
        elif len(name) < _SHORT and name.isalpha() and name.islower():  # get, append, split: methods of many things
            weights[number] = _PLAIN
    return weights


def focus_of(snapshot: Snapshot, graph: Graph, said: Iterable[str]) -> tuple[Focus, list[str]]:
    """(what a map is centred on, what of it is nothing here) by paths, folders and names of symbols."""
    number = graph.number
    files: set[int] = set()
    names: set[str] = set()
    unknown = []
    for item in said:
        wanted = item.strip().strip("/")
        ends = f"/{wanted}"
        paths = [
            info.id
            for info in snapshot.files.values()
            if f"/{info.path}".endswith(ends) or info.path.startswith(f"{wanted}/")
        ]
        name = wanted.removesuffix("()").rpartition(".")[2]
        definitions = snapshot.definitions([name]) if not paths else []
        definitions = [
            one for one in definitions if f".{one.qualified_name}".endswith(f".{wanted.removesuffix('()')}")
        ] or definitions
        found = {number[file_id] for file_id in (*paths, *(one.file_id for one in definitions)) if file_id in number}
        files |= found
        names |= {name} if definitions else set()
        if not found:
            unknown.append(item)
    return Focus(frozenset(files), frozenset(names)), unknown


def importance(snapshot: Snapshot, usage: Usage, ranks: Ranks) -> list[tuple[FileInfo, float, int]]:
    """(file, importance against the average file, branches), most important first; tests, examples and the like count less."""
    found = []
    for at, file_id in enumerate(usage.file_id.tolist()):
        info = snapshot.files.get(file_id)
        if info is not None:
            found.append((info, float(ranks[at]) * len(ranks) * rank.kept(info.path), int(usage.branches[at])))
    return sorted(found, key=lambda item: (-item[1], item[0].path))


def outline(snapshot: Snapshot, graph: Graph, focus: Focus, max_tokens: int) -> Outline:
    """The best definitions that fit, file by file, the most important file first."""
    usage = graph.usage
    kept = graph.kept(snapshot)
    if focus.files:
        kept = kept.copy()
        kept[list(focus.files)] = 1.0
    scores = graph.ranked(focus)[1] * kept[usage.def_file]
    best = np.argsort(-scores, kind="stable")[: max_tokens // _LEAST_TOKENS + _MISSES]
    score_of = {
        (int(usage.file_id[usage.def_file[row]]), usage.names[usage.def_name[row]].partition("\t")[2]): float(
            scores[row]
        )
        for row in best.tolist()
        if scores[row] > 0
    }
    file_ids = list(dict.fromkeys(file_id for file_id, _ in score_of))
    by_file = _definitions(snapshot, file_ids, {name for _, name in score_of})
    qualified = {item.qualified_name for definitions in by_file.values() for item in definitions}
    around = {outer for name in qualified for outer in name.split(".")[:-1]}
    enclosing = _definitions(snapshot, file_ids, around)
    candidates = []
    for file_id, definitions in by_file.items():
        same = Counter(item.name for item in definitions)
        for item in definitions:
            score = score_of.get((file_id, item.name))
            if score is not None:
                candidates.append((-score / same[item.name], snapshot.files[file_id].path, item.start_line, item))
    candidates.sort(key=lambda candidate: candidate[:3])
    return _fitted(snapshot, [item for *_, item in candidates], enclosing, max_tokens * _CHARACTERS_PER_TOKEN)


def _definitions(snapshot: Snapshot, file_ids: Sequence[int], names: Iterable[str]) -> dict[int, list[Definition]]:
    """By file, the definitions of these names in it."""
    found: dict[int, list[Definition]] = {file_id: [] for file_id in file_ids if file_id in snapshot.files}
    meant = "name IN (SELECT value FROM json_each(?)) AND kind <> 'section'"
    wanted, asked = list(found), json.dumps(list(names))
    for start in range(0, len(wanted), _BLOCK):
        part = wanted[start : start + _BLOCK]
        marks = ",".join("?" * len(part))
        sql = f"SELECT {DEFINITION_COLUMNS} FROM symbols WHERE file_id IN ({marks}) AND {meant} ORDER BY start_line"
        for row in snapshot.rows(sql, (*part, asked)):
            found[row[0]].append(Definition(*row))
    return found


def _fitted(
    snapshot: Snapshot, candidates: Sequence[Definition], enclosing: dict[int, list[Definition]], room: int
) -> Outline:
    chosen: dict[int, dict[int, Definition]] = {}  # file → line → definition; files in order of their best
    misses = 0
    signatures = Signatures(snapshot)
    for item in candidates:
        more = [item, *_enclosing(item, enclosing[item.file_id])]
        have = chosen.get(item.file_id)
        cost = sum(len(_line(one, signatures)) + 1 for one in more if have is None or one.start_line not in have)
        cost += len(escape.line(snapshot.files[item.file_id].path)) + 3 if have is None else 0
        if cost > room:
            misses += 1
            if misses > _MISSES:
                break
            continue
        room -= cost
        chosen.setdefault(item.file_id, {}).update({one.start_line: one for one in more})
    lines = []
    for file_id, definitions in chosen.items():
        lines.append(f"{escape.line(snapshot.files[file_id].path)}:")
        lines += [_line(definitions[at], signatures) for at in sorted(definitions)]
        lines.append("")
    return Outline("\n".join(lines).rstrip(), len(chosen), sum(map(len, chosen.values())))


def _enclosing(item: Definition, all_: Sequence[Definition]) -> list[Definition]:
    """The classes and the like that a definition lies in, without which its line says little."""
    outer = item.qualified_name.rpartition(".")[0]
    found = []
    while outer:
        holding = next(
            (one for one in all_ if one.qualified_name == outer and one.start_line <= item.start_line <= one.end_line),
            None,
        )
        if holding is not None:
            found.append(holding)
        outer = outer.rpartition(".")[0]
    return found


def _line(item: Definition, signatures: Signatures) -> str:
    said = " ".join((signatures(item) or f"{item.kind} {item.name}").split())
    depth = item.qualified_name.count(".")
    return f"{item.start_line:>5} {'  ' * depth}{escape.line(said[:_SIGNATURE])}"
