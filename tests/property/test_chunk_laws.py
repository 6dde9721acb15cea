"""Law: chunks are disjoint, ascending, and hold every line that is not blank exactly once; whatever the source."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recollect.index.parse import parse
from tests.unit.test_symbols import SAMPLES

EXTRA = {
    "a.css": "a { color: red }\n",
    "a.html": "<p>x</p>\n",
    "a.json": '{"a": [1, 2]}\n',
    "a.yaml": "a:\n  - b\n",
    "a.nix": "{ a = 1; }\n",
}
SOURCES = (
    {name: sample[0] for name, sample in SAMPLES.items()}
    | EXTRA
    | {"a.r": "f <- function(x) x\n", "Dockerfile": "FROM x\n"}
)


def check(source: str, name: str) -> None:
    parsed = parse(source.encode("utf-8", "surrogatepass"), name)
    lines = parsed.text.split("\n")
    covered = [0] * (len(lines) + 2)
    last = 0
    for chunk in parsed.chunks:
        assert last < chunk.start_line <= chunk.end_line <= len(lines)
        last = chunk.end_line
        for number in range(chunk.start_line, chunk.end_line + 1):
            covered[number] += 1
    for number, line in enumerate(lines, 1):
        assert covered[number] == 1 or (not line.strip() and covered[number] == 0), (number, line)
    names = {(symbol.kind, symbol.qualified_name) for symbol in parsed.symbols}
    assert {(chunk.kind, chunk.symbol) for chunk in parsed.chunks} <= names | {("text", "")}
    for symbol in parsed.symbols:
        assert symbol.qualified_name.endswith(symbol.name)
        assert 1 <= symbol.start_line <= symbol.end_line <= len(lines)


def broken(name: str, rounds: int) -> Iterator[str]:
    """A sample, and after it what became of it by mistakes in typing."""
    choice = random.Random(name)
    source = SOURCES[name]
    for _ in range(rounds):
        yield source
        words = (source * choice.randint(1, 30)).split(" ")
        for _ in range(choice.randint(0, 6)):
            at = choice.randrange(len(words))
            words[at : at + choice.randint(0, 3)] = [
                choice.choice(["(", "}", "\n\n", "é", '"', "\t", "\r\n", "''' ", "/*", "\x0c"])
            ]
        source = " ".join(words)[:60_000]


@pytest.mark.parametrize("name", SOURCES)
def test_every_line_is_in_one_chunk_however_broken_the_source(name: str) -> None:
    for source in broken(name, rounds=1 if name == "a.pl" else 8):
        check(source, name)


# The Perl grammar can hang on what is no Perl, and that for Bash dies of `{` before a character beyond the basic plane: parse
# workers are there for that (tests/chaos), this process is not.
DEADLY = {"a.pl", "a.sh"}


@given(st.text(max_size=400), st.sampled_from(sorted(SOURCES.keys() - DEADLY)))
@settings(max_examples=150, deadline=None)
def test_every_line_of_any_text_is_in_one_chunk(source: str, name: str) -> None:
    check(source, name)
