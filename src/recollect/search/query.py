"""What a question asks for: words, one symbol or several, quoted phrases, paths; and what it does not want left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from recollect import text
from recollect.records import dataclass

MAX_QUERY: Final = 2_000  # characters that are scored; a longer text (a stack trace, a file) is cut
MAX_TERMS: Final = 64

_SYMBOL: Final = re.compile(r"[^\W\d][\w$]*[!?=]?(?:(?:::|\\|->|\.|#)[^\W\d][\w$]*[!?=]?)*(?:\(\))?|[_$][\w$]*")
SEPARATOR: Final = re.compile(r"::|\\|->|\.|#")
_NAME_IN_SENTENCE: Final = re.compile(
    r"\b(?:[A-Za-z_]\w*(?:(?:\.|::)[A-Za-z_]\w+)+|[A-Z][a-z]\w*[A-Z]\w*|[a-z]\w*[A-Z]\w+|[a-z]+_[a-z_]+\w*|[A-Z]{2,}(?:_[A-Z0-9]+)+)\b"
)
_CAPITALISED: Final = re.compile(r"(?<![\w.:])[A-Z][a-z][a-z0-9]*(?![\w.:])")
_PHRASE: Final = re.compile(r'"([^"\n]{2,200})"|`([^`\n]{2,200})`')
_PATH: Final = re.compile(r"(?:(?:[\w.@+-]+|\[[\w.]+\]|\([\w.]+\))/)+[\w.@+-]*|\b[\w+-]+\.[a-z][a-z0-9]{0,6}\b")
_LINE: Final = re.compile(r"""["'`]?(?::|#L|\(|,? (?:on |at )?line )(\d{1,7})\b""")  # after a path
_MAX_PATHS: Final = 20  # as many as a stack trace may name
_UNLESS_ASKED: Final = {
    "tests": "test tests testing spec specs fixture fixtures mock mocks benchmark benchmarks unittest pytest testcase",
    "examples": "example examples sample samples demo demos doc docs documentation tutorial",
    "vendored": "vendor vendored third_party thirdparty external generated",
    "compat": "compat compatibility legacy deprecated",
}


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed question. `symbol`: the whole of it is one name (its last part); `names`: names within a sentence."""

    text: str
    terms: tuple[str, ...]  # for BM25
    counts: Mapping[str, int]  # for the dense vector: those of the terms that are parts of identifiers
    words: tuple[str, ...]  # for paths: parts of identifiers without stop words
    symbol: str | None
    qualified: str | None  # the symbol with what stands before it, joined by "."
    names: tuple[str, ...]
    types: tuple[str, ...]  # capitalised words within a sentence: each names a type if there is one of that very name
    qualified_names: frozenset[str]  # those of the names that stand in the sentence with what they belong to
    phrases: tuple[str, ...]
    paths: tuple[str, ...]
    lines: tuple[tuple[str, int], ...]  # (path, line) for those that are given with one
    asked_for: frozenset[str]  # kinds of files that are not to be penalised


def parse(question: str) -> Query:
    """Parse a question; never fails. An empty one has no terms."""
    asked = question.strip()[:MAX_QUERY]
    bare = asked.strip("\"'` ")
    symbol = qualified = None
    if " " not in bare and _SYMBOL.fullmatch(bare):
        parts = [part for part in SEPARATOR.split(bare.removesuffix("()")) if part]
        symbol = parts[-1] if parts else None
        qualified = ".".join(parts) if len(parts) > 1 else None
    phrases = tuple(dict.fromkeys((a or b).strip() for a, b in _PHRASE.findall(asked) if (a or b).strip()))
    names = () if symbol else tuple(dict.fromkeys(_NAME_IN_SENTENCE.findall(asked)))[:10]
    quoted = (
        tuple(phrase for phrase in phrases if _SYMBOL.fullmatch(phrase) and phrase not in names) if not symbol else ()
    )
    found = dict.fromkeys(part for name in text.identifiers(asked) for part in text.split_identifier(name))
    said = text.terms(asked)
    counted = {term: n for term, n in said.items() if term not in text.STOP_WORDS} or said  # `From` is a name, too
    terms = dict(list(counted.items())[:MAX_TERMS])
    given = _given(asked)
    lowered = set(found) | {name.lower() for name in text.identifiers(asked)}
    return Query(
        text=asked,
        terms=tuple(terms),
        counts={word: n for word, n in terms.items() if word in found},
        words=tuple(word for word in found if word not in text.STOP_WORDS and len(word) > 1)[:MAX_TERMS],
        symbol=symbol,
        qualified=qualified,
        names=tuple(dict.fromkeys(SEPARATOR.split(name.removesuffix("()"))[-1] for name in (*names, *quoted))),
        types=() if symbol else _types(asked),
        qualified_names=frozenset(".".join(SEPARATOR.split(name)) for name in names if SEPARATOR.search(name)),
        phrases=tuple(phrase for phrase in phrases if phrase != symbol),
        paths=tuple(dict.fromkeys(path for path, _ in given)),
        lines=tuple(dict.fromkeys((path, line) for path, line in given if line)),
        asked_for=frozenset(kind for kind, words in _UNLESS_ASKED.items() if lowered & set(words.split())),
    )


def _given(question: str) -> list[tuple[str, int]]:
    """(path, line or 0) of the places that are named."""
    found = []
    for match in _PATH.finditer(question):
        path, line = match[0].strip("./"), _LINE.match(question, match.end())
        if path:
            found.append((path, int(line[1]) if line else 0))
    return found[:_MAX_PATHS]


def _types(sentence: str) -> tuple[str, ...]:
    """Capitalised words; none where most words are, for then it is a title."""
    found = _CAPITALISED.findall(sentence)
    if 2 * len(found) > len(text.identifiers(sentence)):
        return ()
    return tuple(dict.fromkeys(word for word in found if word.lower() not in text.STOP_WORDS))[:10]
