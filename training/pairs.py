"""Texts of a repository → training pairs: what somebody might ask, and the code that answers it.

Kinds: `doc` (documentation of a definition → its code without comments), `file` (what a file says of itself → its outline and
beginning), `md` (text before an example → the example), `section` (heading → paragraph), `name` (words of a definition's name → its
body without the name), `stem` (words of a file's name → a chunk of it), `commit` (subject → changed lines).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from recollect import languages, text
from recollect.index import parse
from recollect.index.parse import Parsed
from recollect.index.symbols import Symbol
from training.sources import TESTS, Source, commits

LONGEST: Final = 1_800  # characters of an answer
CAPS: Final = {
    "doc": 12_000,
    "name": 5_000,
    "stem": 2_000,
    "section": 2_000,
    "md": 1_500,
    "file": 2_000,
    "commit": 4_000,
}


class Pair(NamedTuple):
    kind: str
    path: str  # empty: its words must not be part of the answer
    query: str
    answer: str


_SLASHES: Final = (
    "javascript typescript tsx go rust java kotlin c cpp csharp php swift scala zig objectivec dart groovy"
).split()
_COMMENT: Final = {
    **dict.fromkeys(_SLASHES, "//"),
    **dict.fromkeys(("lua", "haskell", "sql"), "--"),
    **dict.fromkeys(
        ("python", "ruby", "bash", "elixir", "perl", "r", "julia", "nix", "powershell", "cmake", "make"), "#"
    ),
}
_NOT_PROSE: Final = re.compile(
    r"copyright|licen[sc]e|spdx|all rights reserved|@generated|eslint|prettier|noinspection|shellcheck|rubocop:|frozen_string|-\*-|vim:"
    r"|clang-format|nolint|pylint|go:build|go:generate|\+build|do not edit|todo|fixme",
    re.IGNORECASE,
)
_TAG: Final = re.compile(
    r"^\s*([@\\](param|return|returns|throws|exception|see|since|author|type|template|deprecated|example|default|tparam|group|version|brief)\b"
    r"|:param|:return|:raises|#+\s*(Parameters|Returns|Examples?|Errors|Panics|Safety)|(Args|Returns|Raises|Parameters|Examples?)\s*:?\s*$"
    r"|-\s+(Parameter|Returns|parameter)|<param|<returns|----|====|\.\.\s|>>>|iex>)"
)
_IDLE_SUBJECT: Final = re.compile(
    r"^(merge|revert|bump|release|version|update (dependen|changelog|readme)|\[?ci\b|wip|chore\(deps|build\(deps"
    r"|fix (typo|lint|format|test)|typo|style|prepare|format|clean ?up|lint)"
    r"|dependabot|renovate|changelog|backport|auto-?generated",
    re.IGNORECASE,
)
_BLOCKS: Final = {  # how a comment of several lines ends, and begins
    "": [("*/", "/*")],
    "haskell": [("-}", "{-")],
    "lua": [("]]", "--[[")],
    "elixir": [('"""', '"""')],
}
_DECORATION: Final = ("@", "#[", "[")


def prose(lines: Iterable[str]) -> str | None:
    """The first paragraph of a comment as a question, up to some sixty words; None where it is no prose."""
    joined = "\n".join(lines)
    for pattern, by in (
        (r"```.*?(```|$)", " "),
        (r"<[^>\n]{1,80}>", " "),
        (r"\{@(?:link|code|linkplain|inheritDoc)\s*([^}]*)\}", r"\1"),
        (r"\[([^\]]{1,80})\]\([^)]*\)", r"\1"),
        (r"https?://\S+", " "),
    ):
        joined = re.sub(pattern, by, joined, flags=re.DOTALL)
    said: list[str] = []
    words = 0
    for line in map(str.strip, joined.split("\n")):
        if _TAG.match(line) or (not line and words >= 4):
            break
        if line and _NOT_PROSE.search(line):
            if words < 4:
                return None
            break
        if line:
            said.append(line)
            words += len(line.split())
        if words > 60:
            break
    found = re.sub(r"\s+", " ", " ".join(said)).strip(" *-/#=|\"'")
    letters = sum(c.isalpha() or c == " " for c in found)
    plain = sum(c.isascii() for c in found)
    if len(re.findall(r"[A-Za-z]{2,}", found)) < 4 or letters < 0.75 * len(found) or plain < 0.9 * len(found):
        return None
    return found[:400]


def uncommented(code: str, language: str) -> str:
    """Code without its comments, by rule of thumb."""
    mark = _COMMENT.get(language, "//")
    if language == "python":
        code = re.sub(r'[rRbBuUfF]{0,2}("""|\'\'\')[\s\S]*?\1', " ", code)
    if mark == "//":
        code = re.sub(r"/\*.*?\*/", " ", code, flags=re.DOTALL)
    ends = r"[^\n{]*" if mark == "#" else r"[^\n]*"
    return re.sub(rf"(^|\s){re.escape(mark)}{ends}", "\n", code)


def _above(lines: Sequence[str], first: int, language: str) -> range:
    """Numbers of the lines of the comment that ends right above line `first` (0-based)."""
    mark = _COMMENT.get(language, "//")
    at = first - 1
    while at >= 0 and first - at < 10 and lines[at].strip().startswith(_DECORATION) and '"""' not in lines[at]:
        at -= 1
    if at < 0:
        return range(0)
    said = lines[at].strip()
    start = at
    opening = next((opens for closes, opens in _BLOCKS.get(language, _BLOCKS[""]) if said.endswith(closes)), None)
    if opening is not None:
        start = at - (said == opening)
        while start >= 0 and at - start < 200 and opening not in lines[start]:
            start -= 1
        return range(max(start, 0), at + 1)
    while start >= 0 and lines[start].strip().startswith(mark):
        start -= 1
    return range(start + 1, at + 1)


def _said(line: str) -> str:
    """A line of a comment without its marks."""
    line = re.sub(
        r"^\s*(@(module|type)?doc\s+~?[sS]?)?(\"\"\"|/\*+!?|\*+/?|///?!?|#+|--\[\[|--+|\{-+)[-!/|^]*\s?(\|)?", "", line
    )
    return re.sub(r"\s*(\*/|-\}|\]\]|\"\"\")\s*$", "", line)


def documented(parsed: Parsed, lines: Sequence[str]) -> Iterator[tuple[Symbol, str, range]]:
    """(definition, what is said of it, numbers of the lines that say it) of those that are documented."""
    for symbol in parsed.symbols:
        said = _docstring(lines, symbol) if parsed.language == "python" else None
        said = said if said is not None else _above(lines, symbol.start_line - 1, parsed.language)
        query = prose(map(_said, lines[said.start : said.stop]))
        if query:
            yield symbol, query, said


def _docstring(lines: Sequence[str], symbol: Symbol) -> range | None:
    """Numbers of the lines of a Python docstring within a definition."""
    for at in range(symbol.start_line, min(symbol.end_line, symbol.start_line + 15)):
        match = re.match(r"\s*[rRuU]?(\"\"\"|''')", lines[at])
        if match:
            for end in range(at, min(symbol.end_line, at + 200)):
                if match[1] in (lines[end] if end > at else lines[end][match.end() :]):
                    return range(at, end + 1)
            return None
        if at > symbol.start_line and lines[at].strip() and not lines[at - 1].strip().endswith((",", "(", "[")):
            break
    return None


def of_file(path: str, data: bytes, chance: random.Random) -> Iterator[Pair]:
    """Pairs of one file. `chance` decides what is taken of much."""
    if languages.detect(path).name in ("markdown", "rst"):
        yield from _of_markdown(path, parse.decode(data), chance)
        return
    try:
        parsed = parse.parse(data, path)
    except (ValueError, RecursionError):
        return
    lines = parsed.text.split("\n")
    test = bool(TESTS.search(path))
    said = {id(symbol): (query, numbers) for symbol, query, numbers in documented(parsed, lines)}
    for symbol in parsed.symbols:
        yield from _of_symbol(path, parsed, lines, symbol, said.get(id(symbol)), chance, test)
    yield from _of_whole(path, parsed, lines)
    words = [part for part in text.path_words(path)[0] if len(part) > 1]
    if len(words) >= 2 and not test:
        for chunk in chance.sample(parsed.chunks, min(2, len(parsed.chunks))):
            yield Pair("stem", "", " ".join(words), "\n".join(lines[chunk.start_line - 1 : chunk.end_line])[:LONGEST])


def _of_symbol(
    path: str,
    parsed: Parsed,
    lines: Sequence[str],
    symbol: Symbol,
    said: tuple[str, range] | None,
    chance: random.Random,
    test: bool,
) -> Iterator[Pair]:
    query, numbers = said if said is not None else ("", range(0))
    span = range(symbol.start_line - 1, min(symbol.end_line, symbol.start_line + 69))
    code = uncommented("\n".join(lines[at] for at in span if at not in numbers), parsed.language).strip()
    if query and len(code) >= 40:
        yield Pair("doc", path, query, code[:LONGEST])
    parts = [part for part in text.split_identifier(symbol.name) if len(part) > 1]
    if len(parts) >= 2 and len(code) >= 120 and (not test or chance.random() < 0.2):
        yield Pair("name", path, " ".join(parts), re.sub(rf"\b{re.escape(symbol.name)}\b", "", code)[:LONGEST])


def _of_whole(path: str, parsed: Parsed, lines: Sequence[str]) -> Iterator[Pair]:
    """What a file says of itself at its beginning, unless that is said of its first definition."""
    start = 0
    while start < min(len(lines), 5) and (
        not lines[start].strip() or lines[start].startswith(("#!", "<?php", "package "))
    ):
        start += 1
    if start >= len(lines):
        return
    begun = lines[start].strip()
    end = start
    if begun.startswith(('"""', "'''", "/*", "{-", "--[[")):
        closing = {"{-": "-}", "--[[": "]]", "/*": "*/"}.get(
            next((m for m in ("{-", "--[[", "/*") if begun.startswith(m)), ""), begun[:3]
        )
        while end < min(len(lines), 200) and closing not in (lines[end] if end > start else lines[end].lstrip()[3:]):
            end += 1
    else:
        mark = _COMMENT.get(parsed.language, "//")
        while end < len(lines) and lines[end].strip().startswith(mark):
            end += 1
        end -= 1
    if end < start or any(symbol.start_line - 1 == end + 1 for symbol in parsed.symbols):
        return
    query = prose(
        re.sub(r"^\s*([/#*!\-|{]|\"\"\"|''')+\s?|(\*/|-\}|\]\]|\"\"\"|''')\s*$", "", line)
        for line in lines[start : end + 1]
    )
    rest = "\n".join(lines[end + 1 :])
    if query and len(rest) > 200:
        outline = " ".join(dict.fromkeys(symbol.name for symbol in parsed.symbols[:60]))
        yield Pair("file", path, query, f"{outline}\n{uncommented(rest[:6_000], parsed.language)[:1_200]}")


def _of_markdown(path: str, content: str, chance: random.Random) -> Iterator[Pair]:
    heading = ""
    before = ""
    for part in re.split(r"(^```[^\n]*\n.*?^```)", content, flags=re.DOTALL | re.MULTILINE):
        if part.startswith("```"):
            query = prose([f"{heading}. {before}".strip(". ")])
            code = re.sub(r"^```[^\n]*\n|```$", "", part).strip()
            if query and len(code) >= 40:
                yield Pair("md", path, query, code[:LONGEST])
            continue
        headings = re.findall(r"^#{1,5}\s+(.+)$", part, flags=re.MULTILINE)
        heading = headings[-1] if headings else heading
        paragraphs = [x.strip() for x in re.split(r"\n\s*\n", part) if x.strip() and not x.strip().startswith("#")]
        before = re.sub(r"[`*_\[\]]", "", paragraphs[-1]).replace("\n", " ")[-300:] if paragraphs else ""
    for match in re.finditer(r"^#{1,5}\s+(.{8,90})\n+((?:(?!#|```).+\n?){1,12})", content, flags=re.MULTILINE):
        query = re.sub(r"[`*_\[\]]", "", match[1])
        answer = re.sub(r"\]\([^)]*\)|https?://\S+", "", match[2])
        if len(re.findall(r"[A-Za-z]{2,}", query)) >= 3 and len(answer) > 80 and chance.random() < 0.7:
            yield Pair("section", path, query, answer[:1_200])


def of_commits(source: Source) -> Iterator[Pair]:
    for subject, changed in commits(source):
        query = question_of(subject)
        for path, code in changed[:2] if query else ():
            if len(code) >= 150:
                yield Pair("commit", path, query, code[:LONGEST])


def question_of(subject: str) -> str:
    """What the subject of a commit says of the code, without numbers and prefixes; empty where that is too little."""
    if _IDLE_SUBJECT.search(subject):
        return ""
    said = re.sub(
        r"\(#\d+\)|#\d+|\[[^\]]{1,25}\]|^[a-z]+(\([^)]*\))?!?:\s*|^[A-Z]+-\d+[:;]?\s*|(close[sd]?|fix(es)?) #?\d+|`",
        "",
        subject,
    ).strip()
    return said if 4 <= len(re.findall(r"[A-Za-z]{2,}", said)) <= 25 else ""


def capped(pairs: Iterable[Pair], seed: str) -> list[Pair]:
    """Each question once, and at most `CAPS` of a kind."""
    unique = {(pair.kind, pair.query.lower()): pair for pair in reversed(list(pairs))}
    found = list(unique.values())
    random.Random(seed).shuffle(found)
    left = dict(CAPS)
    kept = []
    for pair in found:
        left[pair.kind] -= 1
        if left[pair.kind] >= 0:
            kept.append(pair)
    return kept
