"""Which lines of a chunk to show."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate

_LONGEST_LINE = 400


def window(lines: Sequence[str], terms: Collection[str], size: int) -> tuple[int, int]:
    """(first, end) of the at most `size` consecutive lines that match most; the earliest of equals, not cut in the head.

    A chunk's first line (the signature) wins where it matches as well as any other.
    """
    if len(lines) <= size:
        return 0, len(lines)
    joined = "\n".join(lines).lower()
    folded = joined.split("\n")
    counts = [0] * len(folded)
    for term in terms:
        if term in joined:
            counts = [count + (term in line) for count, line in zip(counts, folded, strict=True)]
    before = [0, *accumulate(counts)]
    best, best_at = -1, 0
    for start in range(len(lines) - size + 1):
        found = before[start + size] - before[start]
        if found > best:
            best, best_at = found, start
    while best_at < len(lines) - size and not lines[best_at].strip():
        best_at += 1
    return best_at, best_at + size


def shown(lines: Sequence[str]) -> str:
    """Lines as text; a very long one is cut."""
    return "\n".join(line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + " …" for line in lines)
