"""Candidates → ranked files: fusion by z-scores, then named addends and penalties, as frozen in docs/ranking.md."""

from __future__ import annotations

import functools
import operator
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recollect import text
from recollect.index import embed
from recollect.index.snapshot import FileInfo
from recollect.records import dataclass
from recollect.search.query import Query


@dataclass(frozen=True, slots=True)
class Weights:
    """What each feature adds, at most. The values are those that `training/ranker.py` found, rounded (docs/ranking.md)."""

    lexical: float = 0.2  # of the fused score of a chunk, whose best is 1
    dense: float = 0.8
    definition: float = 1.0  # a chunk that defines the symbol asked for
    definition_in_its_file: float = 1.25  # … in a file of that name, or as the qualified name asked for
    constructor: float = 0.4  # less for one that is named as what it makes, or for a module that several files add to
    definition_named: float = 0.6  # of a name within a sentence
    definition_named_qualified: float = 0.8  # … that the sentence gives with what it belongs to
    phrase: float = 1.0  # a chunk that holds a quoted phrase literally
    path_given: float = 1.0  # the question names the path
    line_given: float = 1.0  # … and a line of the chunk
    path: float = 0.5  # words of the question are those of the file's name
    name: float = 0.0  # words of the question are those of the name of what the chunk defines
    coherence: float = 0.2  # several good chunks in a file, against the file that has most
    coherent: float = 0.4  # a chunk above this share of the best is good
    coverage: float = 0.1  # share of the question's words that a file holds, in whatever form
    coverage_of_several: float = 0.4  # … where several repositories are searched: other projects' files lack some
    breadth: float = 0.3  # mean of a file's three best chunks
    history: float = 0.25  # subjects of commits that changed the file speak of what is asked
    project: float = 0.4  # of several repositories, one that the question names
    repository: float = 1.3  # … and the one whose chunks speak most of what is asked
    first: float = 0.3  # the best file of each: a question may leave open which repository is meant
    size: float = 0.15  # a file of many chunks: most goes through it
    symbol_coherence: float = 0.2  # factor of coherence, and …
    symbol_path: float = 0.5  # … of path, where the question is one symbol
    penalties: float = 1.0  # exponent: 0 leaves them out

    def of_chunks(self) -> Weights:
        """Where chunks are the hits, what a file has on top of its chunks does not count: it would put its others too high.
        Words say more of one chunk than of a whole file, and those of its name most; what is in the way of a file, less.
        """
        more = min(0.1, self.dense)
        features = dict.fromkeys(
            ("path", "coherence", "coverage", "coverage_of_several", "breadth", "history", "size", "first"), 0.0
        )
        return replace(
            self,
            lexical=self.lexical + more,
            dense=self.dense - more,
            name=0.4,
            definition_named=0.75 * self.definition_named,
            penalties=0.5 * self.penalties,
            **features,
        )


WEIGHTS = Weights()

_BEGINNING: Final = 3  # letters in which words that are alike begin alike
_ACRONYM: Final = range(3, 6)  # letters: `sse` for server-sent events

_PENALTIES: Final = {
    "tests": (
        0.3,
        re.compile(
            r"(^|/)(tests?|__tests__|spec|specs|testing|testdata|fixtures?|mocks?|benches|benchmarks?)(/|$)|(^|/)test_[^/]*$"
            r"|_tests?\.\w+$|\.(test|spec)\.[jt]sx?$|(Tests?|Spec|Suite|TestCase)\.(java|kt|cs|swift|scala|php|groovy)$|_spec\.\w+$",
            re.IGNORECASE,
        ),
    ),
    "examples": (0.4, re.compile(r"(^|/)(_?examples?|samples?|demos?|docs?|docs?_src)(/|$)")),
    "vendored": (
        0.4,
        re.compile(r"(^|/)(vendor|vendored|third_party|thirdparty|external|generated|node_modules|site-packages)(/|$)"),
    ),
    "compat": (0.5, re.compile(r"(^|/)(_?compat|legacy|deprecated)(/|$)")),
    "package": (0.5, re.compile(r"(^|/)(__init__\.py|package-info\.java)$")),
}
TYPES: Final = frozenset(  # kinds of definitions that a capitalised word in a sentence may name
    "class struct interface trait protocol actor enum union type opaque object module concept".split()
)
REOPENED: Final = frozenset({"module", "extension"})  # kinds that several files may add to
_FOR_ITS_FOLDER: Final = frozenset({"mod", "index", "init", "main", "lib"})
_ENDINGS: Final = [
    "ization",
    "isation",
    "ations",
    "ation",
    "izing",
    "ising",
    "ingly",
    "ments",
    "ment",
    "ings",
    "ing",
    "ers",
    "ies",
    "ors",
    "ion",
    "ions",
    "ed",
    "er",
    "or",
    "es",
    "s",
    "e",
]


@functools.lru_cache(maxsize=100_000)
def penalties(path: str) -> tuple[tuple[str, float], ...]:
    """Kinds of less wanted files that a path shows, with the factor of each."""
    return tuple((name, factor) for name, (factor, pattern) in _PENALTIES.items() if pattern.search(path))


def kept(path: str, asked_for: Collection[str] = ()) -> float:
    """What penalties leave of a score, as a factor; `asked_for`: kinds of files that are not penalised."""
    factor = 1.0
    for name, value in penalties(path):
        if name not in asked_for:
            factor *= value
    return factor


def penalty(path: str, query: Query) -> dict[str, float]:
    """Factors that apply to a file for this question."""
    return {name: factor for name, factor in penalties(path) if name not in query.asked_for}


@functools.lru_cache(maxsize=100_000)
def path_parts(path: str) -> tuple[frozenset[str], frozenset[str], str]:
    """(words of the stem, words of the parent folder, the stem folded to compare with a symbol).

    A file that stands for its folder (`mod.rs`, `index.ts`) goes by the folder's name.
    """
    folder, _, name = path.rpartition("/")
    stem = name.rsplit(".", 1)[0] if "." in name[1:] else name
    if folder and fold(stem) in _FOR_ITS_FOLDER:
        folder, _, stem = folder.rpartition("/")
    return _parts(stem), _parts(folder.rpartition("/")[2]), fold(stem)


@functools.lru_cache(maxsize=100_000)
def _parts(name: str) -> frozenset[str]:
    return frozenset(part for found in text.identifiers(name) for part in text.split_identifier(found))


def fold(name: str) -> str:
    """A name without what writing styles differ in."""
    return name.lower().replace("_", "").replace("-", "")


def is_named_for(path: str, name: str) -> bool:
    """Whether a file bears a definition's name, in whatever form: `Router` in `routing.py`, `Request` in `requests.py`."""
    stem, folded = path_parts(path)[2], fold(name)
    return stem == folded or _root(stem) == _root(folded)


class PathTable:
    """What paths say whatever the question, by file id; worked out when first needed, and kept from generation to generation.

    `kept`: the factor of all penalties; `beginnings`: a bit for each beginning of the words that `PathMatch` looks at.
    """

    def __init__(self, size: int, before: PathTable | None = None) -> None:
        self.kept = np.full(size, np.nan)
        self.beginnings = np.zeros(size, np.uint64)
        if before is not None:
            have = min(size, len(before.kept))
            self.kept[:have], self.beginnings[:have] = before.kept[:have], before.beginnings[:have]

    def fill(self, file_ids: NDArray[np.int64], files: Mapping[int, FileInfo]) -> None:
        """Work out what is not known yet of these files."""
        for file_id in file_ids[np.isnan(self.kept[file_ids])].tolist():
            path = files[file_id].path
            stem, parent, _ = path_parts(path)
            self.beginnings[file_id] = beginnings(stem | parent)
            self.kept[file_id] = kept(path)  # last: others take it for the sign that all is known


def named(projects: Sequence[tuple[str, Sequence[str]]], question: str) -> list[bool]:
    """Which projects, each given by its name and the folders that it lies in, a question names, by words few others share."""
    asked = _project_words([question])
    known = [_identity((name, *folders)) for name, folders in projects]
    shared = Counter(word for words in known for word in words)
    few = max(1, len(projects) // 8)
    return [any(shared[word] <= few for word in words & asked) for words in known]


@functools.lru_cache(maxsize=10_000)
def _identity(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_project_words(names))


def _project_words(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for name in (identifier for given in names for identifier in text.identifiers(given)):
        parts = text.split_identifier(name)
        found |= {part for part in parts if len(part) > 1 and part not in text.STOP_WORDS} | {
            text.whole_term(name, parts) or ""
        }
    return found - {""}


def beginnings(words: Iterable[str]) -> int:
    """A bit of 64 for each beginning of the words; alike words share one."""
    return functools.reduce(operator.or_, (1 << hash(word[:_BEGINNING]) % 64 for word in words), 0)


class PathMatch:
    """How well paths' words are those of one question."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._alike: dict[str, int] = {}  # word of a path → bits of the question's words that are like it
        self._by_beginning: dict[str, list[tuple[int, str]]] = {}  # words that are alike begin alike
        for number, word in enumerate(words):
            self._by_beginning.setdefault(word[:_BEGINNING], []).append((1 << number, word))
        self._short: dict[str, int] = {}  # first letters of words in a row → their bits
        for letters in _ACRONYM:
            for start in range(len(words) - letters + 1):
                short = "".join(word[0] for word in words[start : start + letters])
                self._short.setdefault(short, ((1 << letters) - 1) << start)
        self.beginnings = beginnings((*words, *self._short))  # what a path that matches has one of, as in `PathTable`

    def __call__(self, path: str) -> float:
        """0 to 1: shares of the question and of the file's name that the other explains."""
        stem, parent, _ = path_parts(path)
        return self._shares(stem, parent)

    def of_name(self, name: str) -> float:
        """The same for a symbol's name, without what it belongs to."""
        return self._shares(_parts(name.rpartition(".")[2]), frozenset())

    def _shares(self, stem: frozenset[str], parent: frozenset[str]) -> float:
        in_stem = in_parent = covered = 0
        for word in stem:
            bits = self._bits(word)
            in_stem |= bits
            covered += bits != 0
        for word in parent:
            in_parent |= self._bits(word)
        found = in_stem.bit_count() + 0.5 * (in_parent & ~in_stem).bit_count()
        return 0.6 * found / len(self._words) + 0.4 * covered / max(len(stem), 1) if found else 0.0

    def _bits(self, word: str) -> int:
        bits = self._alike.get(word)
        if bits is None:
            begun = self._by_beginning.get(word[:_BEGINNING], ())
            bits = self._short.get(word, 0)
            for bit, other in begun:
                bits |= bit if _alike(other, word) else 0
            self._alike[word] = bits
        return bits


@functools.cache
def _families() -> dict[str, list[str]]:
    """Words that the model knows, by their root."""
    found: dict[str, list[str]] = {}
    for word in embed.model().vocabulary:
        found.setdefault(_root(word), []).append(word)
    return found


def forms(word: str) -> list[str]:
    """A word with those that share its root: `routes`, `route`, `routing`, `router` …"""
    family = _families().get(_root(word), [])
    return family if word in family else [word, *family]


def _alike(a: str, b: str) -> bool:
    """Equal, one the beginning of the other, or of one root."""
    if a == b:
        return True
    shorter, longer = (a, b) if len(a) <= len(b) else (b, a)
    singular = shorter[:-1] if len(shorter) >= 4 and shorter[-1] == "s" else shorter  # `impls` hold implementations
    if len(singular) >= 3 and longer.startswith(singular):
        return True
    return len(shorter) >= 5 and _root(a) == _root(b)


@functools.lru_cache(maxsize=100_000)
def _root(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return _root(word[: -len(ending)])
    return word
