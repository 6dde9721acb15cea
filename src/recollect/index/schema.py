"""The tables of a repository's `index.db`, and how it is opened for writing and for reading."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from recollect.errors import Corrupt, RecollectError
from recollect.store import pages

SCHEMA_VERSION: Final = 6
LARGE_CACHE_KB: Final = 16_000  # of pages, while much is written
SMALL_CACHE_KB: Final = 1_000  # what the next edit will touch; dozens of indexes may be open

_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
-- The tree of the last commit, directories and links included: what the next scan compares with.
CREATE TABLE entries (
    path BLOB PRIMARY KEY, kind INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, mode INTEGER NOT NULL, hash BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE files (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, hash BLOB NOT NULL, size INTEGER NOT NULL,
    language TEXT NOT NULL, content TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('indexed', 'skipped', 'failed')),
    reason TEXT, lines INTEGER NOT NULL, chunks INTEGER NOT NULL, generation INTEGER NOT NULL, pipeline TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, retry_at REAL NOT NULL DEFAULT 0
);
CREATE INDEX files_generation ON files (generation);
CREATE INDEX files_failed ON files (path) WHERE status = 'failed';
CREATE TABLE removed_files (file_id INTEGER NOT NULL, generation INTEGER NOT NULL);
CREATE INDEX removed_files_generation ON removed_files (generation);
CREATE TABLE texts (file_id INTEGER PRIMARY KEY, text BLOB NOT NULL, uses BLOB NOT NULL);
-- `symbol`: the number of the one that a chunk is named for.
CREATE TABLE chunks (
    file_id INTEGER NOT NULL, id INTEGER NOT NULL, start_line INTEGER NOT NULL, end_line INTEGER NOT NULL, symbol INTEGER,
    PRIMARY KEY (file_id, id)
) WITHOUT ROWID;
-- In the order of the file. `folded`: the name in lower case, where that is another; `scope`: what stands before the name in the
-- qualified one; `signature`: empty where it is what the lines say (`symbols.signature_of`).
CREATE TABLE definitions (
    file_id INTEGER NOT NULL, number INTEGER NOT NULL, chunk_id INTEGER NOT NULL, name TEXT NOT NULL, folded TEXT,
    scope TEXT NOT NULL, kind INTEGER NOT NULL, start_line INTEGER NOT NULL, end_line INTEGER NOT NULL,
    signature TEXT NOT NULL, PRIMARY KEY (file_id, number)
) WITHOUT ROWID;
CREATE INDEX definitions_folded ON definitions (ifnull(folded, name));
CREATE TABLE kinds (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE VIEW symbols AS
    SELECT file_id, number, chunk_id, d.name AS name, folded, scope, k.name AS kind, start_line, end_line, signature
    FROM definitions d CROSS JOIN kinds k ON k.id = d.kind;
CREATE VIEW named_chunks AS
    SELECT c.file_id, c.id, c.start_line, c.end_line, ifnull(k.name, 'text') AS kind, ifnull(scope || d.name, '') AS symbol
    FROM chunks c LEFT JOIN definitions d ON d.file_id = c.file_id AND d.number = c.symbol
    LEFT JOIN kinds k ON k.id = d.kind;
-- A small segment lies here itself, a large one in the file `name`. Ids ascend with the ids of the chunks inside.
CREATE TABLE segments (id INTEGER PRIMARY KEY, name TEXT, block BLOB, chunks INTEGER NOT NULL, bytes INTEGER NOT NULL);
-- Chunks that are gone and still lie in a segment.
CREATE TABLE dead_chunks (chunk_id INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
CREATE INDEX dead_chunks_generation ON dead_chunks (generation);
-- Contents that a path had before, as long as their chunks lie dead in a segment: when one comes back, they are live again.
CREATE TABLE retired (
    path BLOB NOT NULL, hash BLOB NOT NULL, file_id INTEGER NOT NULL, first_chunk INTEGER NOT NULL, pipeline TEXT NOT NULL,
    record TEXT NOT NULL, text BLOB NOT NULL, uses BLOB NOT NULL, PRIMARY KEY (path, hash)
) WITHOUT ROWID;
CREATE INDEX retired_chunk ON retired (first_chunk);
CREATE TABLE revived (chunk_id INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
CREATE INDEX revived_generation ON revived (generation);
-- At most one row: the commits that were read (meta: history_head, of generation history_generation), and the field of them.
CREATE TABLE history (id INTEGER PRIMARY KEY CHECK (id = 1), log BLOB NOT NULL, field BLOB NOT NULL);
"""
_WRITING: Final = (
    "synchronous=NORMAL",
    f"cache_size=-{LARGE_CACHE_KB}",
    "wal_autocheckpoint=0",  # done in `compact`, off the path of an edit
    "journal_size_limit=1000000",  # of the log that a large sync leaves
)


def open_for_writing(folder: Path) -> pages.Connection:
    """The `index.db` of `folder`, made where it is not there. Raises Corrupt, Unavailable."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        if not (folder / "index.db").exists():
            _make(folder)
        return _opened(folder, writing=True)
    except pages.Error as error:
        raise index_error(error) from error


def open_for_reading(folder: Path) -> pages.Connection:
    """The `index.db` of `folder`, read only, usable from any thread (one at a time). Raises Corrupt, Unavailable."""
    try:
        return _opened(folder, writing=False)
    except pages.Error as error:
        raise index_error(error) from error


def index_error(error: pages.Error) -> RecollectError:
    """What a failure of SQLite means to who wants an index: Corrupt, or Unavailable."""
    return pages.translated(error, "the index")


def check_pages(connection: pages.Connection) -> None:
    """Read all that is in use. Raises Corrupt: something is damaged."""
    try:
        rows = connection.execute("PRAGMA integrity_check(1)").fetchall()
    except pages.Error as error:
        raise index_error(error) from error
    if rows != [("ok",)]:
        raise Corrupt(f"the index is damaged: {rows[0][0]}")


def _opened(folder: Path, *, writing: bool) -> pages.Connection:
    settings = _WRITING if writing else ()
    return pages.connect(folder / "index.db", SCHEMA_VERSION, writing=writing, settings=settings)


def _make(folder: Path) -> None:
    """Whole or not at all: a reader must never find a database without tables, or one whose maker was killed in the middle
    of its first transaction, which only a writer can undo.
    """
    for left in (*folder.glob("index.new*"), *folder.glob("index.db-*")):  # the log of one that was removed, too
        left.unlink()
    new = folder / "index.new"
    # An edit writes less to small pages, and less of a page is empty.
    pages.make(new, _SCHEMA, SCHEMA_VERSION, page_size=2048)
    new.rename(folder / "index.db")
