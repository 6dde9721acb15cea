"""One tokenisation for BM25 and the dense vectors: identifiers, split at case, underscore and digit boundaries.

The splitting is that of the embedding's training (docs/embedding.md): changing it means retraining the model.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, AnyStr, Final

_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_IDENTIFIER_UNICODE = re.compile(r"[^\W\d][\w$]*|\$[\w$]*")
_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_PARTS_UNICODE = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")
_PARTS_AND_ENDS = re.compile(_PARTS.pattern + r"|\n")
_HALVES = re.compile("[\ud800-\udfff]")
MAX_IDENTIFIER = 200  # longer runs of word characters are data (base64, hashes), not names
_SWAPPED: Final = 0.2  # closer by so much, if only the order of the letters differs
_LEAST_HELD: Final = 3  # letters of a word that says something where it is part of another
_AS_CLOSE: Final = 0.3  # what is further off than the best one by more is not meant
_LEAST_SHARE: Final = 0.4  # of the longer word that the shorter one is
_MOST_COMPARED: Final = 4_000  # candidates: some 50 ms

# Words that carry no meaning in a question about code.
STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "do",
        "does",
        "for",
        "from",
        "has",
        "have",
        "how",
        "if",
        "in",
        "is",
        "it",
        "its",
        "not",
        "of",
        "on",
        "or",
        "the",
        "to",
        "was",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "with",
        "into",
        "this",
        "that",
        "via",
        "used",
        "using",
        "use",
        "can",
        "each",
        "their",
        "them",
        "then",
        "than",
    ]
)


def mended(value: Any) -> Any:
    """A value of JSON in whose texts halves of characters, which cannot be stored, became U+FFFD.

    They come from programs that cut their text in UTF-16, and from arguments of the command line that are not UTF-8.
    """
    if isinstance(value, str):
        return _HALVES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {mended(key): mended(item) for key, item in value.items()}
    return [mended(item) for item in value] if isinstance(value, list | tuple) else value


def folded(value: Any) -> Any:
    """Return a text such that texts which differ in case, or in Unicode's ways of writing the same, are equal."""
    if not isinstance(value, str):
        return value
    if value.isascii():
        return value.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", value).casefold())


def to_json(value: Any, **options: Any) -> str:
    """`json.dumps` whose answer is JSON whatever the value: a number that is not finite becomes null."""
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        return json.dumps(finite(value, lambda _: None), allow_nan=False, **options)


def finite(value: Any, replacement: Callable[[float], Any]) -> Any:
    """A value of JSON in which `replacement` was called for each number that is not finite, which JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else replacement(value)
    if isinstance(value, dict):
        return {finite(key, replacement): finite(item, replacement) for key, item in value.items()}
    return [finite(item, replacement) for item in value] if isinstance(value, list | tuple) else value


def nearest(word: str, candidates: Iterable[str], limit: int = 3, least: float = 0.6) -> list[str]:
    """The candidates that a misspelt `word` may mean, best first; none if none is close. At most some thousands are compared.

    `least`: share of letters that both have in common. Case, underscores and hyphens do not count. A candidate that holds
    the word, or is held by it, is close.
    """
    from difflib import SequenceMatcher

    asked = _folded(word)
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(asked)
    ranked = []
    for candidate in islice(dict.fromkeys(candidates), _MOST_COMPARED):
        other = _folded(candidate)
        shorter, longer = sorted((asked, other), key=len)
        share = len(shorter) / max(len(longer), 1)
        if asked == other:
            closeness = 2.0
        elif len(shorter) >= _LEAST_HELD and share >= _LEAST_SHARE and shorter in longer:
            closeness = (1.0 if longer.startswith(shorter) else 0.7) + share / 2
        else:
            matcher.set_seq1(other)
            if matcher.real_quick_ratio() < least or matcher.quick_ratio() < least:
                continue
            closeness = matcher.ratio()
            if sorted(asked) == sorted(other):
                closeness += _SWAPPED
        if closeness >= least:
            ranked.append((-closeness, candidate))
    ranked.sort()
    return [candidate for closeness, candidate in ranked[:limit] if closeness <= ranked[0][0] + _AS_CLOSE]


def _folded(word: str) -> str:
    return word[:MAX_IDENTIFIER].lower().replace("_", "").replace("-", "")


def has_longer_line(text: AnyStr, newline: AnyStr, longest: int) -> bool:
    """Whether a line has more than so many characters; only every so many are looked at."""
    start = 0
    while len(text) - start > longest:
        end = text.rfind(newline, start, start + longest + 1)
        if end < 0:
            return True
        start = end + 1
    return False


def identifiers(text: str) -> list[str]:
    """All identifiers of `text` in order, with repetitions."""
    return (_IDENTIFIER if text.isascii() else _IDENTIFIER_UNICODE).findall(text)


def split_identifier(identifier: str) -> tuple[str, ...]:
    """Lower-cased parts: `parseHTTPHeader_v2` -> parse, http, header, v, 2. Numbers of three digits or more are dropped."""
    if len(identifier) > MAX_IDENTIFIER:
        return ()
    pattern = _PARTS if identifier.isascii() else _PARTS_UNICODE
    return tuple(part.lower() for part in pattern.findall(identifier) if not part.isdigit() or len(part) <= 2)


def whole_term(identifier: str, parts: tuple[str, ...]) -> str | None:
    """The compound identifier as one term (lower case, `_` and `$` left out), or None where that is its only part.

    It is also what tells `sha256` from `sha512`, whose numbers are no parts.
    """
    if not parts:
        return None
    whole = identifier.lower().replace("_", "").replace("$", "")
    return whole if whole != parts[0] else None


def spellings(name: str) -> tuple[str, ...]:
    """A name in lower case, then as one word and with underscores: what it may be called where names are written otherwise.

    `getUserV2` -> getuserv2, get_user_v2.
    """
    lowered = name.lower()
    parts = (_PARTS if name.isascii() else _PARTS_UNICODE).findall(name)
    with_underscores = "".join(part if part.isdigit() else f"_{part}" for part in parts).lower().strip("_")
    one_word = lowered.replace("_", "")
    return tuple(dict.fromkeys((lowered, one_word or lowered, with_underscores or lowered)))


def split_all(names: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...], str | None]]:
    """(identifier, `split_identifier` of it, `whole_term` of it) for many: the same, in a fraction of the time."""
    plain = [name for name in names if name.isascii() and len(name) <= MAX_IDENTIFIER]
    yield from (
        (name, parts := split_identifier(name), whole_term(name, parts))
        for name in names
        if len(name) > MAX_IDENTIFIER or not name.isascii()
    )
    if not plain:
        return
    joined = "\n".join(plain)
    found_parts = _PARTS_AND_ENDS.findall(joined)
    parts_and_ends = "\0".join(found_parts).lower().split("\0") if found_parts else []
    wholes = joined.lower().replace("_", "").replace("$", "").split("\n")
    at = 0
    for name, whole in zip(plain, wholes, strict=True):
        found = []
        while at < len(parts_and_ends) and (part := parts_and_ends[at]) != "\n":
            if len(part) <= 2 or not part.isdigit():
                found.append(part)
            at += 1
        at += 1
        yield name, tuple(found), whole if found and whole != found[0] else None


def words(text: str) -> dict[str, int]:
    """Identifier parts of `text` with their counts: what the dense vector is made of."""
    counts: dict[str, int] = {}
    for identifier, n in Counter(identifiers(text)).items():
        for part in split_identifier(identifier):
            counts[part] = counts.get(part, 0) + n
    return counts


def terms(text: str) -> dict[str, int]:
    """Parts and whole compound identifiers of `text` with their counts: what BM25 counts."""
    counts: dict[str, int] = {}
    for identifier, n in Counter(identifiers(text)).items():
        parts = split_identifier(identifier)
        for part in parts:
            counts[part] = counts.get(part, 0) + n
        whole = whole_term(identifier, parts)
        if whole is not None:
            counts[whole] = counts.get(whole, 0) + n
    return counts


def path_words(path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words of a path: (those of the file's stem, those of its last three folders)."""
    folder, _, name = path.rpartition("/")
    return stem_words(name), folder_words(folder)


def stem_words(name: str) -> tuple[str, ...]:
    """Words of a file's name but for what comes after the last dot."""
    stem = name.rsplit(".", 1)[0] if "." in name[1:] else name
    return tuple(part for found in identifiers(stem) for part in split_identifier(found))


def folder_words(folder: str) -> tuple[str, ...]:
    """Words of the last three folders of a path to one."""
    names = folder.split("/")[-3:]
    return tuple(part for name in names for found in identifiers(name) for part in split_identifier(found))
