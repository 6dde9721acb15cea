"""Vectors of another model than the bundled one: kept beside an index, made in the background, read as a whole.

`vectors-….db` in a repository's folder is derived: it follows the index, chunk by chunk, and may be behind it or be made again.
Equal texts are embedded once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from recollect.errors import Corrupt
from recollect.index import schema
from recollect.index.analyse import decompress
from recollect.index.embedders import BATCH, Embedder
from recollect.records import dataclass
from recollect.store import pages

SCALE: Final = 127.0  # of a unit vector's components as int8, which are far below one
_LONGEST: Final = 8_000  # characters of a chunk that are embedded
_SCHEMA: Final = """
CREATE TABLE vectors (chunk_id INTEGER PRIMARY KEY, key BLOB NOT NULL, vector BLOB NOT NULL);
CREATE INDEX vectors_key ON vectors (key);
"""
_VERSION: Final = 1


def path_of(folder: Path, model: str) -> Path:
    return folder / f"vectors-{hashlib.sha256(model.encode()).hexdigest()[:16]}.db"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Chunk ids, ascending, and their vectors: `int8 = round(127 × unit)`. `version` changes with the files."""

    version: tuple[tuple[int, int], ...]
    chunk_id: NDArray[np.int64]  # [n]
    vectors: NDArray[np.int8]  # [n, dimensions]

    def of(self, chunk_id: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(place in `vectors`, whether there is one) of some chunks."""
        at = np.minimum(np.searchsorted(self.chunk_id, chunk_id), max(len(self.chunk_id) - 1, 0))
        known = self.chunk_id[at] == chunk_id if len(self.chunk_id) else np.zeros(len(chunk_id), np.bool_)
        return at, known


def load(folder: Path, model: str, before: Loaded | None = None) -> Loaded | None:
    """What is kept of a model; None where nothing is, or it cannot be read (it is made again)."""
    path = path_of(folder, model)
    version = _version(path)
    if not version or (before is not None and before.version == version):
        return before if version else None
    try:
        with closing(pages.connect(path, _VERSION, writing=False)) as database:
            rows = database.execute("SELECT chunk_id, vector FROM vectors ORDER BY chunk_id").fetchall()
    except (Corrupt, pages.Error):
        return None
    if len({len(vector) for _, vector in rows}) != 1:
        return None
    ids = np.array([chunk_id for chunk_id, _ in rows], np.int64)
    return Loaded(version, ids, np.frombuffer(b"".join(v for _, v in rows), np.int8).reshape(len(rows), -1))


def _version(path: Path) -> tuple[tuple[int, int], ...]:
    """Of the database and its log, as far as they hold anything: each question asks, so nothing is opened for it."""
    found = []
    for name in (path, path.with_name(f"{path.name}-wal")):
        with suppress(FileNotFoundError):
            stat = name.stat()
            if stat.st_size:
                found.append((stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def bring(folder: Path, model: str, embedder: Callable[[], Embedder]) -> int:
    """Make the vectors that the last committed generation lacks, drop those of chunks that are gone; how many were made.

    Committed batch by batch: what was made stays, whatever happens. `embedder` is only called for if there is work.

    Raises:
        Unavailable: the model cannot be had. FileNotFoundError: there is no index. pages.Error, OSError.
    """
    if not (folder / "index.db").exists():
        raise FileNotFoundError(folder)
    made = 0
    with closing(_opened(path_of(folder, model))) as database, closing(schema.open_for_reading(folder)) as index:
        index.execute("BEGIN")
        if len(database.execute("SELECT DISTINCT length(vector) FROM vectors LIMIT 2").fetchall()) > 1:
            with database:  # the service has another model under this name now
                database.execute("DELETE FROM vectors")
        live = dict(index.execute("SELECT id, file_id FROM chunks"))
        have = {row[0] for row in database.execute("SELECT chunk_id FROM vectors")}
        missing = live.keys() - have
        for ids, texts in _texts(index, missing, sorted({live[chunk_id] for chunk_id in missing})):
            made += _add(database, ids, texts, embedder)
        gone = list(have - live.keys())
        with database:
            database.executemany("DELETE FROM vectors WHERE chunk_id = ?", ((chunk_id,) for chunk_id in gone))
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    for other in folder.glob("vectors-*.db*"):  # another model's, which nobody asks for any longer
        if not other.name.startswith(path_of(folder, model).name):
            other.unlink(missing_ok=True)
    return made


def _opened(path: Path) -> pages.Connection:
    if path.exists():
        try:
            return pages.connect(path, _VERSION, writing=True)
        except (Corrupt, pages.Error):
            pass
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink(missing_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    pages.make(path, _SCHEMA, _VERSION)
    return pages.connect(path, _VERSION, writing=True)


def _texts(
    index: pages.Connection, wanted: Collection[int], file_ids: Sequence[int]
) -> Iterator[tuple[list[int], list[str]]]:
    """(chunk ids, texts) of the `wanted` chunks of files, in batches; a text begins with the chunk's path and symbol."""
    ids: list[int] = []
    texts: list[str] = []
    for file_id in file_ids:
        sql = "SELECT path, text FROM files JOIN texts ON file_id = id WHERE id = ?"
        path, block = index.execute(sql, (file_id,)).fetchone()
        lines = decompress(block).split("\n")
        sql = "SELECT id, start_line, end_line, symbol FROM named_chunks WHERE file_id = ? ORDER BY id"
        for chunk_id, first, last, symbol in index.execute(sql, (file_id,)).fetchall():
            if chunk_id not in wanted:
                continue
            ids.append(chunk_id)
            said = "\n".join((f"{os.fsdecode(path)} {symbol}".rstrip(), *lines[first - 1 : last]))[:_LONGEST]
            texts.append(said.encode("utf-8", "replace").decode())
            if len(ids) == BATCH:
                yield ids, texts
                ids, texts = [], []
    if ids:
        yield ids, texts


def _add(database: pages.Connection, ids: Sequence[int], texts: Sequence[str], embedder: Callable[[], Embedder]) -> int:
    keys = [blake3(text.encode()).digest(16) for text in texts]
    found: dict[bytes, bytes] = {}
    for key in dict.fromkeys(keys):
        row = database.execute("SELECT vector FROM vectors WHERE key = ? LIMIT 1", (key,)).fetchone()
        if row is not None:
            found[key] = row[0]
    new = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
    if new:
        vectors = embedder().documents(list(new.values()))
        stored = np.clip(np.rint(vectors * SCALE), -127, 127).astype(np.int8)
        found.update((key, row.tobytes()) for key, row in zip(new, stored, strict=True))
    with database:
        rows = ((chunk_id, key, found[key]) for chunk_id, key in zip(ids, keys, strict=True))
        database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
    return len(new)
