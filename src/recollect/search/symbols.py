"""Definitions and uses of a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from recollect import text
from recollect.index.snapshot import Definition, Snapshot
from recollect.index.stored import Stored
from recollect.index.terms import term_key
from recollect.model import SymbolHit
from recollect.search import rank
from recollect.search.hits import Source
from recollect.search.query import SEPARATOR
from recollect.search.signatures import Signatures
from recollect.sync.tree import printable

_OF_ANOTHER_CASE, _SPELLED_OTHERWISE, _BEGINS_SO = 1, 2, 3  # distances of a name from the one asked for


def symbol_hits(
    asked: str, sources: Sequence[Source], kind: str | None, references: bool, limit: int
) -> tuple[tuple[SymbolHit, ...], tuple[SymbolHit, ...] | None]:
    """(definitions, references or None) of a name, `Outer.name` or the beginning of a name; at most `limit` of each.

    Exact names come before those of another case; only where there is neither, what is spelled as other languages would
    (`getUser`, `get_user`), and then names that begin so. Within each, code before tests and the like.
    """
    parts = [part for part in SEPARATOR.split(asked.removesuffix("()")) if part]
    if not parts:
        return (), (() if references else None)
    *outer, name = parts
    forms = text.spellings(name)
    ranked: list[tuple[tuple[int, bool, float, int, str, str, int], SymbolHit, Definition, Signatures]] = []
    for source in sources:
        signatures = Signatures(source.snapshot)
        for item in _definitions(source.snapshot, name, forms):
            if kind is not None and item.kind != kind.lower():
                continue
            if outer and not f".{item.qualified_name}".endswith("." + ".".join((*outer, item.name))):
                continue
            hit = _definition(source, item)
            distance = _distance(item.name, name, forms)
            place = (hit.repository, hit.path, hit.start_line)
            order = (distance, hit.kind == "section", -rank.kept(hit.path), len(item.name), *place)
            ranked.append((order, hit, item, signatures))
    ranked.sort(key=lambda one: one[0])
    nearest = ranked[0][0][0] if ranked else _BEGINS_SO
    if nearest <= _OF_ANOTHER_CASE:
        ranked = [one for one in ranked if one[0][0] <= _OF_ANOTHER_CASE]
    definitions = tuple(replace(hit, signature=signatures(item)) for _, hit, item, signatures in ranked[:limit])
    if not references:
        return definitions, None
    names = {hit.name for order, hit, *_ in ranked if order[0] == nearest} if nearest < _BEGINS_SO else {name}
    return definitions, _references(sources, sorted(names), [one[1] for one in ranked], limit)


def _definitions(snapshot: Snapshot, name: str, forms: Sequence[str]) -> list[Definition]:
    found = snapshot.definitions(forms, fold=True)
    if any(item.name.lower() == name.lower() for item in found):
        return found
    return found + snapshot.symbols_with_prefix(name)


def _distance(name: str, asked: str, forms: Sequence[str]) -> int:
    """How far a name is from the one asked for, which may be spelled in these forms; 0: it is that."""
    if name == asked:
        return 0
    if name.lower() == asked.lower():
        return _OF_ANOTHER_CASE
    return _SPELLED_OTHERWISE if name.lower() in forms else _BEGINS_SO


def _definition(source: Source, item: Definition) -> SymbolHit:
    lines = (item.start_line, item.end_line)
    return _hit(source, item.file_id, lines, item.name, item.qualified_name, item.kind, "definition", "")


def _hit(
    source: Source,
    file_id: int,
    lines: tuple[int, int],
    name: str,
    qualified_name: str,
    kind: str,
    role: str,
    signature: str,
) -> SymbolHit:
    info = source.snapshot.files[file_id]
    return SymbolHit(
        repository=source.name,
        path=printable(info.path),
        absolute_path=printable(str(source.root / info.path)),
        start_line=lines[0],
        end_line=lines[1],
        language=info.language,
        name=name,
        qualified_name=qualified_name,
        kind=kind,
        role=role,
        signature=signature,
    )


def outline(source: Source, file_id: int) -> tuple[SymbolHit, ...]:
    """The definitions of one file, in its order."""
    signatures = Signatures(source.snapshot)
    return tuple(
        _hit(
            source,
            file_id,
            (one.start_line, one.end_line),
            one.name,
            one.qualified_name,
            one.kind,
            "definition",
            signatures(one),
        )
        for one in source.snapshot.definitions_in(file_id)
    )


def _references(
    sources: Sequence[Source], names: Sequence[str], definitions: Sequence[SymbolHit], limit: int
) -> tuple[SymbolHit, ...]:
    """Uses of exactly these names, files that are no tests first; where a definition begins is no use of it."""
    own = {(hit.repository, hit.path, hit.start_line) for hit in definitions}
    found: list[tuple[float, str, str, int, str, int, Source]] = []
    for name, source in product(names, sources):
        for file_id, line in source.snapshot.references(name, _files_with(source.snapshot, name)):
            path = printable(source.snapshot.files[file_id].path)
            if (source.name, path, line) not in own:
                found.append((-rank.kept(path), source.name, path, line, name, file_id, source))
    found.sort(key=lambda use: use[:5])
    texts: dict[tuple[str, int], Stored] = {}
    shown = []
    for _, repository, _, line, name, file_id, source in found[:limit]:
        if (repository, file_id) not in texts:
            texts[repository, file_id] = source.snapshot.stored(file_id)
        code = texts[repository, file_id].lines(line, line)[0].strip()[:200]  # the line itself stands for a signature
        shown.append(_hit(source, file_id, (line, line), name, name, "reference", "reference", code))
    return tuple(shown)


def is_used(sources: Sequence[Source], name: str, most_files: int) -> bool:
    """Whether one of the first files that may hold this name uses it."""
    return any(source.snapshot.references(name, _files_with(source.snapshot, name)[:most_files]) for source in sources)


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
