"""The tables of a repository's `index.db`, and how it is opened for writing and for reading."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from recollect.errors import Corrupt, RecollectError
from recollect.store.database import translated

SCHEMA_VERSION: Final = 5
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


def open_for_writing(folder: Path) -> sqlite3.Connection:
    """The `index.db` of `folder`, made where it is not there. Raises Corrupt, Unavailable."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        if not (folder / "index.db").exists():
            _make(folder)
        return _opened(str(folder / "index.db"), _WRITING)
    except sqlite3.Error as error:
        raise index_error(error) from error


def open_for_reading(folder: Path) -> sqlite3.Connection:
    """The `index.db` of `folder`, read only, usable from any thread (one at a time). Raises Corrupt, Unavailable."""
    try:
        return _opened(f"{(folder / 'index.db').absolute().as_uri()}?mode=ro")
    except sqlite3.Error as error:
        raise index_error(error) from error


def index_error(error: sqlite3.Error) -> RecollectError:
    """What a failure of SQLite means to who wants an index: Corrupt, or Unavailable."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_ROLLBACK:
        return Corrupt("the index was left half made")  # nothing but the making of one ever has a journal to undo
    return translated(error, "the index")


def _opened(name: str, settings: Sequence[str] = ()) -> sqlite3.Connection:
    connection = sqlite3.connect(
        name, uri=name.startswith("file:"), isolation_level=None, check_same_thread=False, timeout=10
    )
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise Corrupt(f"the index is of another version ({version})", code="index_version")
        for setting in settings:
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection


def _make(folder: Path) -> None:
    """Whole or not at all: a reader must never find a database without tables, or one whose maker was killed in the middle
    of its first transaction, which only a writer can undo.
    """
    for left in (*folder.glob("index.new*"), *folder.glob("index.db-*")):  # the log of one that was removed, too
        left.unlink()
    new = folder / "index.new"
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size=2048")  # an edit writes less, and less of a page is empty
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
    new.rename(folder / "index.db")
