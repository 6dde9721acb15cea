"""From rows back to analyses: what a damaged segment is made again from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from os import fsdecode
from typing import Any, Final

from recollect.index import embed, terms
from recollect.index.analyse import Analysed, decompress
from recollect.store.pages import Connection

_BATCH_CHUNKS: Final = 20_000  # bounds the memory that a rebuild takes


def symbol_rows(item: Analysed, file_id: int, first_chunk: int, kinds: Mapping[str, int]) -> Iterator[tuple[Any, ...]]:
    """Rows of a file's symbols, numbered, each with the id of the chunk that it starts in. `kinds`: their numbers."""
    starts = [chunk[0] for chunk in item.chunks[1:]]
    for number, (name, qualified_name, kind, start, end, signature) in enumerate(item.symbols):
        chunk_id = first_chunk + bisect_right(starts, start)
        folded = name.lower()
        scope = qualified_name.removesuffix(name)
        yield (
            file_id,
            number,
            chunk_id,
            name,
            folded if folded != name else None,
            scope,
            kinds[kind],
            start,
            end,
            signature,
        )


def chunk_rows(item: Analysed, file_id: int, first_chunk: int) -> Iterator[tuple[Any, ...]]:
    """Rows of a file's chunks, each with the number of the symbol that it is named for."""
    numbers: dict[tuple[str, str], int] = {}
    for number, (_, qualified_name, kind, *_) in enumerate(item.symbols):
        numbers.setdefault((kind, qualified_name), number)
    for chunk_id, (start, end, kind, symbol) in enumerate(item.chunks, first_chunk):
        yield file_id, chunk_id, start, end, numbers.get((kind, symbol))


def batches(connection: Connection) -> Iterator[list[tuple[Analysed, int, int]]]:
    """All indexed files as `(analysis, file id, first chunk id)`, by ascending chunk id, in bounded batches."""
    order = "SELECT file_id, min(id) FROM chunks GROUP BY file_id ORDER BY min(id)"
    batch: list[tuple[Analysed, int, int]] = []
    held = 0
    for file_id, first in connection.execute(order).fetchall():
        item = _analysis(connection, file_id)
        batch.append((item, file_id, first))
        held += len(item.chunks)
        if held >= _BATCH_CHUNKS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _analysis(connection: Connection, file_id: int) -> Analysed:
    columns = "path, hash, size, language, content, lines"
    row = connection.execute(f"SELECT {columns} FROM files WHERE id = ?", (file_id,)).fetchone()
    path, content_hash, size, language, content, lines = row
    name = fsdecode(path)
    chunks = "SELECT start_line, end_line, kind, symbol FROM named_chunks WHERE file_id = ? ORDER BY id"
    block = connection.execute("SELECT text FROM texts WHERE file_id = ?", (file_id,)).fetchone()[0]
    text = decompress(block).split("\n")
    item = Analysed(name, content_hash, size, language, content, "indexed", None, lines)
    item.chunks = connection.execute(chunks, (file_id,)).fetchall()
    item.counts = terms.count_terms(terms.chunk_texts(text, item.chunks))
    item.vectors = embed.chunk_vectors(item.counts.body, embed.model().path(name))
    return item
