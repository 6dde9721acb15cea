"""Definitions and uses of a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from recollect import text
from recollect.index.snapshot import Definition, Snapshot
from recollect.index.terms import term_key
from recollect.model import SymbolHit
from recollect.search import rank
from recollect.search.find import Source
from recollect.search.query import Query
from recollect.sync.tree import printable

_SEPARATOR = re.compile(r"::|\\|->|\.|#")
_NO_QUERY = Query("", (), (), None, None, (), (), (), frozenset())


def symbol_hits(
    asked: str, sources: Sequence[Source], kind: str | None, references: bool, limit: int
) -> tuple[tuple[SymbolHit, ...], tuple[SymbolHit, ...] | None]:
    """(definitions, references or None) of a name, `Outer.name` or the beginning of a name; at most `limit` of each.

    Exact names come before those of another case, and these before names that only begin so; within each, code before
    tests and the like.
    """
    parts = [part for part in _SEPARATOR.split(asked.removesuffix("()")) if part]
    if not parts:
        return (), (() if references else None)
    name, qualified = parts[-1], ".".join(parts)
    ranked: list[tuple[tuple[int, bool, float, int, str, str, int], SymbolHit]] = []
    for source in sources:
        for item in _definitions(source.snapshot, name):
            if kind is not None and item.kind != kind.lower():
                continue
            if len(parts) > 1 and not f".{item.qualified_name}".endswith(f".{qualified}"):
                continue
            hit = _definition(source, item)
            distance = 0 if item.name == name else 1 if item.name.lower() == name.lower() else 2
            factor = 1.0
            for value in rank.penalty(hit.path, _NO_QUERY).values():
                factor *= value
            ranked.append(
                (
                    (
                        distance,
                        hit.kind == "section",
                        -factor,
                        len(item.name),
                        hit.repository,
                        hit.path,
                        hit.start_line,
                    ),
                    hit,
                )
            )
    ranked.sort(key=lambda pair: pair[0])
    definitions = [hit for _, hit in ranked]
    if any(order[0] < 2 for order, _ in ranked):
        definitions = [hit for order, hit in ranked if order[0] < 2]
    uses = _references(sources, name, definitions, limit) if references else None
    return tuple(definitions[:limit]), uses


def _definitions(snapshot: Snapshot, name: str) -> list[Definition]:
    return snapshot.definitions([name], fold=True) or snapshot.symbols_with_prefix(name)


def _definition(source: Source, item: Definition) -> SymbolHit:
    info = source.snapshot.files[item.file_id]
    return SymbolHit(
        repository=source.name,
        path=printable(info.path),
        absolute_path=printable(str(source.root / info.path)),
        start_line=item.start_line,
        end_line=item.end_line,
        language=info.language,
        name=item.name,
        qualified_name=item.qualified_name,
        kind=item.kind,
        signature=item.signature,
    )


def _references(
    sources: Sequence[Source], name: str, definitions: Sequence[SymbolHit], limit: int
) -> tuple[SymbolHit, ...]:
    """Uses of exactly this name, files that are no tests first; where a definition begins is no use of it."""
    own = {(hit.repository, hit.path, hit.start_line) for hit in definitions}
    found: list[tuple[float, SymbolHit]] = []
    for source in sources:
        for file_id, line in source.snapshot.references(name, _files_with(source.snapshot, name)):
            info = source.snapshot.files[file_id]
            path = printable(info.path)
            if (source.name, path, line) in own:
                continue
            factor = 1.0
            for value in rank.penalty(path, _NO_QUERY).values():
                factor *= value
            hit = SymbolHit(
                repository=source.name,
                path=path,
                absolute_path=printable(str(Path(source.root) / info.path)),
                start_line=line,
                end_line=line,
                language=info.language,
                name=name,
                qualified_name=name,
                kind="reference",
                role="reference",
            )
            found.append((-factor, hit))
    found.sort(key=lambda pair: (pair[0], pair[1].repository, pair[1].path, pair[1].start_line))
    kept = [hit for _, hit in found[:limit]]
    return tuple(_with_lines(kept, sources))


def _with_lines(hits: Sequence[SymbolHit], sources: Sequence[Source]) -> list[SymbolHit]:
    """References with the line of code itself as their signature."""
    by_name = {source.name: source for source in sources}
    texts: dict[tuple[str, str], list[str]] = {}
    shown = []
    for hit in hits:
        key = (hit.repository, hit.absolute_path)
        if key not in texts:
            snapshot = by_name[hit.repository].snapshot
            info = snapshot.find(str(Path(hit.absolute_path).relative_to(by_name[hit.repository].root)))
            texts[key] = snapshot.text(info.id).split("\n") if info is not None else []
        lines = texts[key]
        line = lines[hit.start_line - 1].strip()[:200] if hit.start_line <= len(lines) else ""
        shown.append(replace(hit, signature=line))
    return shown


def _files_with(snapshot: Snapshot, name: str) -> list[int]:
    """Files in whose chunks the name's term occurs: the only ones that can use it."""
    parts = text.split_identifier(name)
    term = text.whole_term(name, parts) or (parts[0] if parts else None)
    if term is None:
        return [info.id for info in snapshot.files.values() if info.status == "indexed"]
    found: set[int] = set()
    for view in snapshot.views:
        rows, _ = view.segment.postings(term_key(term))
        found.update(view.segment.file_id[rows[view.live[rows]]].tolist())
    return sorted(found & snapshot.files.keys())
