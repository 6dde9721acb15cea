"""The tables of memory.db, and the steps from older versions. Text is the truth; words and vectors are derived."""

from __future__ import annotations

from typing import Final

from recollect.memory import meaning, words

VERSION: Final = 3
_INDEXES: Final = """
CREATE INDEX memories_type ON memories (memory_type);
CREATE INDEX memories_repository ON memories (repository);
CREATE INDEX memories_deleted ON memories (deleted_at) WHERE deleted_at IS NOT NULL;
"""
_THIRD: Final = """
CREATE TABLE IF NOT EXISTS belongs (number INTEGER PRIMARY KEY, owner TEXT NOT NULL); -- to which repository
CREATE INDEX IF NOT EXISTS belongs_owner ON belongs (owner);
-- Of each memory with its tags, and of the chain of its versions; see seals.py.
CREATE TABLE IF NOT EXISTS checks (number INTEGER PRIMARY KEY, checksum BLOB NOT NULL, versions BLOB NOT NULL);
-- One row: how many changes there were, how many memories there are.
CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, count INTEGER NOT NULL,
    checksum BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS unsealed (number INTEGER PRIMARY KEY); -- of a version before 3: without a checksum yet
-- What could not be trusted any longer, as it was read; and what was lost, until a person has accepted it.
CREATE TABLE IF NOT EXISTS damaged (id TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL, raw TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS losses (at REAL NOT NULL, message TEXT NOT NULL, accepted_at REAL);
"""
SCHEMA: Final = f"""
CREATE TABLE memories (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, content TEXT NOT NULL, content_hash TEXT NOT NULL UNIQUE,
    memory_type TEXT NOT NULL, metadata TEXT NOT NULL, repository TEXT, refers_to TEXT NOT NULL,
    created_at REAL NOT NULL, updated_at REAL NOT NULL, deleted_at REAL, superseded_by TEXT
);
CREATE INDEX memories_created ON memories (created_at);
{_INDEXES}CREATE TABLE tags (number INTEGER NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (number, tag)) WITHOUT ROWID;
CREATE INDEX tags_tag ON tags (tag);
CREATE TABLE versions (number INTEGER NOT NULL, at REAL NOT NULL, record TEXT NOT NULL);
CREATE INDEX versions_number ON versions (number);
CREATE TABLE links (number INTEGER NOT NULL, other INTEGER NOT NULL, similarity REAL NOT NULL, PRIMARY KEY (number, other)) WITHOUT ROWID;
CREATE TABLE whole (number INTEGER PRIMARY KEY); -- that version 1 indexed as one passage, however long
{_THIRD}{meaning.SCHEMA}{words.SCHEMA}"""
STEPS: Final = {
    1: f"""{_INDEXES}
CREATE TABLE whole (number INTEGER PRIMARY KEY);
INSERT INTO whole SELECT number FROM memories WHERE length(content) > 1600;
""",
    2: f"""{_THIRD}
INSERT OR IGNORE INTO unsealed SELECT number FROM memories;
""",
}
FIELDS: Final = (
    "number", "id", "content", "content_hash", "memory_type", "metadata", "repository", "refers_to", "created_at",
    "updated_at", "deleted_at", "superseded_by", "owner",
)  # fmt: skip
STORED: Final = FIELDS[:-1]  # in the table of memories
COLUMNS: Final = (
    ", ".join(f"m.{name}" for name in STORED) + ", (SELECT owner FROM belongs b WHERE b.number = m.number) AS owner"
)
PLACES: Final = {name: place for place, name in enumerate(FIELDS)}
