"""A reader's view of one generation of a repository's index: rows, segments and masks that belong together.

A snapshot holds a SQLite read transaction, so its rows stay those of its generation while the writer goes on. `advance`
reads only what later commits changed; segments, file records and path words that did not change are shared.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from recollect.errors import Corrupt, RecollectError
from recollect.index import overlay, schema
from recollect.index.analyse import decompress, lines_using, unzipped
from recollect.index.connections import Connections
from recollect.index.embed import DIMENSIONS
from recollect.index.history import History
from recollect.index.mapped import MappedFile
from recollect.index.memo import Changes, Memo
from recollect.index.paths import PathIndex
from recollect.index.segment import Moment, Segment, View
from recollect.index.stored import Stored
from recollect.index.writer import load_segment
from recollect.records import dataclass
from recollect.store import pages


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One file of the tree, indexed or not."""

    id: int
    path: str  # surrogate-escaped, relative to the repository
    hash: bytes
    size: int
    language: str
    content: str  # code | docs | config
    status: str  # indexed | skipped | failed
    reason: str | None
    lines: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Definition:
    """`signature`: empty where it is what the lines say (`search.signatures.Signatures`)."""

    file_id: int
    chunk_id: int
    name: str
    qualified_name: str
    kind: str
    start_line: int
    end_line: int
    signature: str


_T = TypeVar("_T", bound=np.generic)
_AT_A_TIME = 200  # rows asked for by their keys: SQLite takes no expression deeper than 1,000
_FILE_COLUMNS = "id, path, hash, size, language, content, status, reason, lines, chunks"
DEFINITION_COLUMNS = "file_id, chunk_id, name, scope || name, kind, start_line, end_line, signature"


@dataclass(eq=False)
class Snapshot:
    """One generation, whole. Usable from any thread; `retain`/`release` count its users."""

    folder: Path
    generation: int
    root_hash: str
    complete: bool
    head: str | None
    files: Mapping[int, FileInfo]
    paths: PathIndex
    views: tuple[View, ...]
    segment_ids: tuple[int, ...]
    moment: Moment
    history: History
    history_generation: int  # in which the history last changed
    _db: pages.Connection
    _connections: Connections
    revived: int = 0  # generation in which contents last came back
    memo: Memo = field(default_factory=Memo)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _users: int = 1

    def __post_init__(self) -> None:
        self.segments: tuple[Segment, ...] = tuple(view.segment for view in self.views)
        self.live: tuple[NDArray[np.bool_], ...] = tuple(view.live for view in self.views)
        self.n_chunks = sum(view.n_live for view in self.views)
        self.total_length = sum(view.total_length for view in self.views)
        self.vector_sum: NDArray[np.int64] = sum(
            (view.vector_sum for view in self.views), np.zeros(DIMENSIONS, np.int64)
        )
        self.n_files = len(self.paths.words)

    def by_file(self, before: NDArray[_T], gone: Iterable[int]) -> NDArray[_T]:
        """A copy, of the size that this generation needs, of an array by file id of an earlier one; 0 for what is gone."""
        now = np.zeros(len(self.paths.stem_length), before.dtype)
        now[: len(before)] = before[: len(now)]
        now[[file_id for file_id in gone if file_id < len(now)]] = 0
        return now

    @classmethod
    def open(cls, folder: Path) -> Snapshot:
        """The last committed generation. Raises Corrupt, Unavailable; FileNotFoundError where nothing was ever committed."""
        if not (folder / "index.db").exists():
            raise FileNotFoundError(folder / "index.db")
        return _read(folder, None)

    def advance(self) -> Snapshot:
        """The last committed generation, sharing what is unchanged with this one; this one where there is none newer."""
        return _read(self.folder, self)

    def of_this_index(self) -> bool:
        """Whether the index was not made anew since."""
        return self._connections.current()

    # -- look-ups -----------------------------------------------------------------------------------------------------

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query in this generation. Raises Corrupt, Unavailable."""
        with self._lock:
            try:
                return self._db.execute(sql, parameters).fetchall()
            except pages.Error as error:
                raise self._failure(error) from error

    def _failure(self, error: pages.Error) -> RecollectError:
        failure = schema.index_error(error)
        if isinstance(failure, Corrupt):
            failure.folder = self.folder
        return failure

    def check_files(self) -> None:
        """Look again at the files of segments that were written to since they were opened. Raises Corrupt."""
        for segment in self.segments:
            if MappedFile in segment.memo:
                segment.memo[MappedFile].check()

    def definitions(self, names: Iterable[str], fold: bool = False) -> list[Definition]:
        """Definitions of these unqualified names; `fold`: whatever their case."""
        wanted = list(dict.fromkeys(names))
        found: list[Definition] = []
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ",".join("?" * len(part))
            sql = f"SELECT {DEFINITION_COLUMNS} FROM symbols WHERE ifnull(folded, name) IN ({marks})"
            found += (Definition(*row) for row in self.rows(sql, [name.lower() for name in part]))
        return found if fold else [item for item in found if item.name in set(wanted)]

    def symbols_with_prefix(self, prefix: str, limit: int = 200) -> list[Definition]:
        """Definitions whose name begins with `prefix`, whatever the case."""
        folded = prefix.lower()
        begins = "ifnull(folded, name) >= ? AND ifnull(folded, name) < ?"
        sql = f"SELECT {DEFINITION_COLUMNS} FROM symbols WHERE {begins} ORDER BY ifnull(folded, name) LIMIT ?"
        return [Definition(*row) for row in self.rows(sql, (folded, folded + "\U0010ffff", limit))]

    def definitions_in(self, file_id: int) -> list[Definition]:
        """Definitions of a file, in its order; an outer one before those inside."""
        sql = f"SELECT {DEFINITION_COLUMNS} FROM symbols WHERE file_id = ? ORDER BY start_line, end_line DESC"
        return [Definition(*row) for row in self.rows(sql, (file_id,))]

    def chunk_names(self, chunks: Sequence[tuple[int, int]]) -> dict[int, tuple[str, str]]:
        """(kind, symbol) of chunks, given by file and their own id, by the latter."""
        found: dict[int, tuple[str, str]] = {}
        for start in range(0, len(chunks), _AT_A_TIME):
            few = chunks[start : start + _AT_A_TIME]
            either = " OR ".join(["file_id = ? AND id = ?"] * len(few))
            rows = self.rows(f"SELECT id, kind, symbol FROM named_chunks WHERE {either}", [*chain.from_iterable(few)])
            found.update((chunk_id, (kind, symbol)) for chunk_id, kind, symbol in rows)
        return found

    def text(self, file_id: int) -> str:
        """The file's text in this generation; empty where it is not indexed."""
        return decompress(self._block(file_id))

    def stored(self, file_id: int) -> Stored:
        """The file's text as it is stored; of nothing where it is not indexed."""
        return Stored(unzipped(self._block(file_id)))

    def all_stored(self, file_ids: Sequence[int]) -> dict[int, Stored]:
        """Those of these texts that are indexed, by file, in one look."""
        marks = ",".join("?" * len(file_ids))
        rows = self.rows(f"SELECT file_id, text FROM texts WHERE file_id IN ({marks})", file_ids)
        return {file_id: Stored(unzipped(block)) for file_id, block in rows}

    def _block(self, file_id: int) -> bytes:
        rows = self.rows("SELECT text FROM texts WHERE file_id = ?", (file_id,))
        return bytes(rows[0][0]) if rows else b""

    def lines(self, file_id: int, first: int, last: int) -> list[str]:
        """Lines `first` to `last` (1-based, inclusive) of a file's text."""
        return self.stored(file_id).lines(first, last)

    def references(self, name: str, file_ids: Iterable[int]) -> list[tuple[int, int]]:
        """Uses of `name` in these files: (file id, line)."""
        found: list[tuple[int, int]] = []
        for file_id in file_ids:
            for (block,) in self.rows("SELECT uses FROM texts WHERE file_id = ?", (file_id,)):
                found += ((file_id, line) for line in lines_using(block, name))
        return found

    def find(self, path: str) -> FileInfo | None:
        """The record of a path, indexed or not."""
        rows = self.rows(f"SELECT {_FILE_COLUMNS} FROM files WHERE path = ?", (os.fsencode(path),))
        return _file(rows[0]) if rows else None

    def renew(self, connection: pages.Connection) -> None:
        """Read this generation through a transaction that began later: the log before it may be written over."""
        with self._lock:
            self._db, connection = connection, self._db
        self._connections.give_back(connection)

    # -- life ---------------------------------------------------------------------------------------------------------

    def retain(self) -> Snapshot:
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        """Give up one use; the last one ends the read transaction."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._connections.give_back(self._db)

    close = release


def _file(row: tuple[Any, ...]) -> FileInfo:
    return FileInfo(row[0], os.fsdecode(row[1]), *row[2:])


def _connected(folder: Path, old: Snapshot | None) -> tuple[Connections, pages.Connection, Snapshot | None]:
    """A connection to the index, and `old` where that is of the same one: what was made anew counts its generations anew."""
    while True:
        if old is not None and not old.of_this_index():
            old = None
        connections = old._connections if old is not None else Connections(folder)
        connection = connections.take()
        if connections.current():
            return connections, connection, old
        connections.give_back(connection, damaged=True)


def _read(folder: Path, old: Snapshot | None) -> Snapshot:
    connections, connection, old = _connected(folder, old)
    try:
        meta = dict(connection.execute("SELECT key, value FROM meta"))
        pages.verify(connection)
        segment_ids = tuple(row[0] for row in connection.execute("SELECT id FROM segments ORDER BY id"))
        generation = int(meta.get("generation", 0))
        if old is not None and old.generation == generation and old.segment_ids == segment_ids:
            old.renew(connection)
            return old
        if old is not None and int(meta.get("removed_floor", 0)) > old.generation:
            old = None  # it is too old for the list of removed files: read everything
        dead, revived = _switched(connection, old) if old is not None else ([], [])
        views = _views(connection, folder, old, segment_ids, dead, revived)
        files, paths, changes = _files(connection, old)
        return Snapshot(
            folder=folder,
            generation=generation,
            root_hash=str(meta.get("root_hash", "")),
            complete=bool(meta.get("complete", 0)),
            head=meta.get("head"),
            files=files,
            paths=paths.sized(1 + max((view.segment.last_file for view in views), default=0)),
            views=views,
            segment_ids=segment_ids,
            moment=old.moment.following(old.views, views, dead + revived) if old is not None else Moment.of(views),
            history=_history(connection, meta, old, files, changes),
            history_generation=int(meta.get("history_generation", 0)),
            _db=connection,
            _connections=connections,
            revived=generation if revived else old.revived if old is not None else 0,
            memo=old.memo.after(changes) if old is not None else Memo(),
        )
    except pages.Error as error:
        connections.give_back(connection, damaged=True)
        raise schema.index_error(error) from error
    except BaseException:
        connections.give_back(connection, damaged=True)
        raise


def _history(
    connection: pages.Connection,
    meta: Mapping[str, Any],
    old: Snapshot | None,
    files: Mapping[int, FileInfo],
    changes: Changes,
) -> History:
    if old is not None and old.history_generation == int(meta.get("history_generation", 0)):
        gone = {*changes.gone, *(info.id for info in changes.files.values() if info.status != "indexed")}
        return old.history.placed(_indexed(changes.files.values()), gone)
    row = connection.execute("SELECT field FROM history").fetchone()
    if row is None:
        return History.empty()
    return History.unpack(row[0]).placed(_indexed(files.values()), ())


def _indexed(files: Iterable[FileInfo]) -> Iterator[tuple[str, int]]:
    return ((info.path, info.id) for info in files if info.status == "indexed")


def _switched(connection: pages.Connection, old: Snapshot) -> tuple[list[int], list[int]]:
    """Ids, ascending, of the chunks that (died, came back) since `old`."""
    sql = "SELECT chunk_id FROM {} WHERE generation > ? ORDER BY chunk_id"
    dead, revived = (
        [row[0] for row in connection.execute(sql.format(table), (old.generation,))]
        for table in ("dead_chunks", "revived")
    )
    return dead, revived


def _views(
    connection: pages.Connection,
    folder: Path,
    old: Snapshot | None,
    segment_ids: tuple[int, ...],
    dead: Sequence[int],
    revived: Sequence[int],
) -> tuple[View, ...]:
    """`dead`, `revived`: ids of the chunks that died or came back since `old`."""
    known = dict(zip(old.segment_ids, old.views, strict=True)) if old is not None else {}
    views = []
    for identity in segment_ids:
        if identity in known:
            views.append(known[identity].without(dead).with_live(revived))
            continue
        name, block = connection.execute("SELECT name, block FROM segments WHERE id = ?", (identity,)).fetchone()
        segment = load_segment(folder, name, block)
        sql = "SELECT chunk_id FROM dead_chunks WHERE chunk_id BETWEEN ? AND ? ORDER BY chunk_id"
        views.append(View.whole(segment).without([row[0] for row in connection.execute(sql, segment.span)]))
    return tuple(views)


def _files(connection: pages.Connection, old: Snapshot | None) -> tuple[Mapping[int, FileInfo], PathIndex, Changes]:
    since = old.generation if old is not None else -1
    sql = f"SELECT {_FILE_COLUMNS} FROM files WHERE generation > ?"
    changed = {row[0]: _file(row) for row in connection.execute(sql, (since,))}
    sql = "SELECT file_id FROM removed_files WHERE generation > ?"
    gone = frozenset(row[0] for row in connection.execute(sql, (since,)))
    changes = Changes(changed, gone)
    if old is not None and not changed and not gone:
        return old.files, old.paths, changes
    old_files: Mapping[int, FileInfo] = old.files if old is not None else {}
    paths = old.paths if old is not None else PathIndex.empty()
    removed = [file_id for file_id in gone if file_id in old_files]
    indexed = {info.id: info.path for info in changed.values() if info.status == "indexed"}
    removed += [info.id for info in changed.values() if info.status != "indexed"]
    added = {file_id: path for file_id, path in indexed.items() if file_id not in paths.words or file_id in gone}
    return overlay.changed(old_files, changed, gone), paths.with_changes(removed, added), changes
