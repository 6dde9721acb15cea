"""Memories on disk: what was acknowledged is committed with full durability. Text is the truth, words are derived.

Every change is one transaction. The words of a memory lie in a full-text table whose filters are applied inside the query.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import re
import sqlite3
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recollect import text
from recollect.errors import Corrupt, UserError
from recollect.index import embed
from recollect.memory import schema, seals, validate
from recollect.memory.meaning import Meaning
from recollect.memory.redact import summary
from recollect.memory.schema import COLUMNS
from recollect.memory.seals import Seals
from recollect.memory.validate import MemoryRecord
from recollect.memory.when import Range
from recollect.memory.words import Numbers, Words
from recollect.model import Memory, StoredMemory
from recollect.records import dataclass
from recollect.store.database import open_database, transaction

_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
UNDO_S: Final = 30 * 86_400.0
_SIMILAR: Final = 0.7  # share of words in common
_SIMILAR_SHOWN: Final = 5
_SIMILAR_ROWS: Final = 1_500
_SIMILAR_LOOKED_AT: Final = 20
_REMADE: Final = 50  # memories whose vectors are made again in one transaction: nobody waits for long
_SEALED: Final = 500  # memories that are sealed in one transaction
_MOST_FAULTS: Final = 1_000
_MOST_INDEXED_AGAIN: Final = 1_000
_TAGS_COUNTED: Final = 50
DAMAGED_HINT: Final = "recollect memory restore brings it back from a backup."
_FEW: Final = 5_000  # memories, among which all words of a question are looked for


@dataclass(frozen=True, slots=True)
class Filter:
    """Which memories are meant. `tag_match`: "any" or "all" of `tags`; times in epoch seconds, `before` exclusive.

    Tags and types match whatever their case; so does `contains`, a text that the content holds.
    """

    tags: tuple[str, ...] = ()
    tag_match: str = "any"
    memory_type: str | None = None
    after: float | None = None
    before: float | None = None
    repository: str | None = None  # a name
    owner: str | None = None  # what a repository is known by, whatever its name
    contains: str | None = None

    def __bool__(self) -> bool:
        return bool(self.tags) or self.memory_type is not None or self.after is not None or self.before is not None

    def within(self, span: Range) -> Filter:
        """This filter for memories of that time; an end that the range leaves open stays as it is."""
        after = span.after.timestamp() if span.after else self.after
        return replace(self, after=after, before=span.before.timestamp() if span.before else self.before)

    def sets(self) -> list[Numbers]:
        """The memories that each condition means, deleted ones too: what is meant is in all of them."""
        found: list[Numbers] = []
        for tags in [(tag,) for tag in self.tags] if self.tag_match == "all" else [self.tags] if self.tags else []:
            found.append(
                (f"SELECT number FROM tags WHERE tag IN ({_spellings('tags', 'tag', len(tags))})", _folded(tags))
            )
        if self.memory_type is not None:
            sql = f"SELECT number FROM memories WHERE memory_type IN ({_spellings('memories', 'memory_type', 1)})"
            found.append((sql, _folded([self.memory_type])))
        if self.repository is not None:
            found.append(("SELECT number FROM memories WHERE repository = ?", (self.repository,)))
        if self.owner is not None:
            found.append(("SELECT number FROM belongs WHERE owner = ?", (self.owner,)))
        if self.after is not None or self.before is not None:
            span = (
                self.after if self.after is not None else -math.inf,
                self.before if self.before is not None else math.inf,
            )
            found.append(("SELECT number FROM memories WHERE created_at >= ? AND created_at < ?", span))
        if self.contains is not None:
            sql = "SELECT number FROM memories WHERE instr(folded(content), ?) OR content_hash = ?"
            found.append((sql, (text.folded(self.contains), content_hash(self.contains))))
        return found

    def where(self) -> tuple[str, list[Any]]:
        """SQL condition on `memories m` and its parameters; deleted ones are never meant."""
        sets = self.sets()
        condition = "m.deleted_at IS NULL" + "".join(f" AND m.number IN ({sql})" for sql, _ in sets)
        return condition, [value for _, values in sets for value in values]


def _spellings(table: str, column: str, count: int) -> str:
    """SQL for the values of an indexed column that equal one of `count` folded texts, whatever their case.

    It goes from one distinct value to the next by the index, which reads far less than all rows.
    """
    next_value = f"(SELECT min({column}) FROM {table} WHERE {column} > spelling.value)"
    return (
        f"WITH RECURSIVE spelling (value) AS (SELECT min({column}) FROM {table} UNION ALL SELECT {next_value} FROM spelling "
        f"WHERE spelling.value IS NOT NULL) SELECT value FROM spelling WHERE folded(value) IN ({','.join('?' * count)})"
    )


def _folded(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(text.folded(value) for value in values)


class Candidate(NamedTuple):
    """A memory that may answer a question, by its best `passage`: BM25 (0.0 where it holds no word of it) and cosine
    (None where the model knows no word of it).
    """

    number: int
    passage: int
    score: float
    cosine: float | None
    id: str
    created_at: float
    owner: str | None
    superseded_by: str | None


class Loaded(NamedTuple):
    """How many were new; (label, reason) of those that could not be taken in; what else is worth saying."""

    new: int
    failed: list[tuple[str, str]]
    notes: list[str]


class MemoryStore:
    """Thread-safe; one per home, for it is guarded by the home's lock."""

    def __init__(
        self,
        path: Path,
        redacts: Callable[[], bool] = lambda: True,
        record: Callable[[int, int], None] = lambda sequence, count: None,
    ) -> None:
        """`redacts`: whether secrets are replaced now. `record(sequence, count)` is told of every change that was
        committed, with how many changes and memories there are. Raises Corrupt, Unavailable.
        """
        self._redacts = redacts
        self._record = record
        self._db = open_database(path, schema.SCHEMA, schema.VERSION, schema.STEPS)
        self._lock = threading.RLock()
        self._faults: dict[str, str] = {}  # id → why that memory is skipped: seen since this was opened
        self._closed = threading.Event()
        self._remaking: threading.Thread | None = None
        try:
            self._db.execute("PRAGMA synchronous=FULL")  # an answer means that it is on the disk
            self._db.create_function("folded", 1, text.folded, deterministic=True)
            self._seals = Seals(self._db)
            self._words = Words(self._db)
            self._meaning = Meaning(self._db)
            if self._seals.is_new:
                with self._transaction():
                    pass  # the state is written
            self._seal_old()
            self._index_in_passages()
            if self._meaning.of_other_models(1):
                self._remaking = threading.Thread(target=self._make_vectors_again, name="memory-vectors", daemon=True)
                self._remaking.start()
        except (sqlite3.Error, ValueError, TypeError) as error:
            self._db.close()
            raise Corrupt(f"memory.db cannot be read: {error}") from error
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._closed.set()
        if self._remaking is not None:
            self._remaking.join()
        with self._lock:
            self._db.close()

    @property
    def sequence(self) -> int:
        """How many changes were committed."""
        return self._seals.sequence

    @property
    def count(self) -> int:
        """How many memories there should be, deleted ones that can be restored too."""
        return self._seals.count

    # -- change -------------------------------------------------------------------------------------------------------

    def add(
        self,
        content: str,
        *,
        tags: Sequence[str] = (),
        memory_type: str = "note",
        metadata: Mapping[str, Any] | None = None,
        repository: str | None = None,
        owner: str | None = None,
        refers_to: Sequence[Mapping[str, Any]] = (),
        supersedes: str | None = None,
        created_at: float | None = None,
        keep_secrets: bool = False,
    ) -> StoredMemory:
        """Remember. The same content again returns the memory that there is, with tags and metadata merged.

        `keep_secrets`: a person wants it as it is.

        Raises:
            UserError: something about it is not valid (see `validate`), or `supersedes` is unknown.
        """
        raw = {
            "content": content,
            "tags": list(tags),
            "memory_type": memory_type,
            "metadata": metadata,
            "repository": repository,
            "owner": owner,
            "refers_to": list(refers_to),
            "created_at": created_at,
        }
        record = validate.checked(raw, self._redacts() and not keep_secrets)
        digest, now = content_hash(record.content), time.time()
        with self._transaction():
            known = self._row("m.content_hash = ?", digest)
            if known is not None:
                self._check(known, self._seals.tags(known[0]))
            superseded = self._wanted(supersedes)[0] if supersedes is not None else None
            if known is not None:
                number, identity = known[0], known[1]
                self._merge(known, record.tags, record.metadata, now)
            else:
                identity = os.urandom(8).hex()
                number = self._insert(identity, digest, record, now)
            similar = [] if known is not None else self._similar(number, record.content)
            if superseded is not None and superseded != number:
                self._db.execute("UPDATE memories SET superseded_by = ? WHERE number = ?", (identity, superseded))
                self._seals.seal(superseded)
        said = "already known: tags and metadata were merged" if known is not None else "remembered"
        said += f"; {summary(record.redactions)}" if record.redactions else ""
        done = (identity, digest, known is not None, tuple(similar), record.redacted, said)
        return StoredMemory(True, *done, redactions=record.redactions)

    def assign_owners(self, owners: Mapping[str, str]) -> None:
        """Give memories that have the name of a repository alone its owner (name → owner); others, one that nobody is."""
        sql = (
            "SELECT number, repository FROM memories WHERE repository IS NOT NULL "
            "AND number NOT IN (SELECT number FROM belongs)"
        )
        with self._lock:
            rows = self._db.execute(sql).fetchall()
        if rows:
            with self._transaction():
                for number, name in rows:
                    if self._read(number) is not None:
                        owner = owners.get(name, f"name:{name}")
                        self._db.execute("INSERT INTO belongs VALUES (?, ?)", (number, owner))
                        self._seals.seal(number)

    def owner_of(self, identity: str) -> str | None:
        """What the repository of a memory is known by."""
        with self._lock:
            row = self._row("m.id = ?", identity)
            return row[-1] if row is not None else None

    def update(self, key: str, *, keep_secrets: bool = False, **given: Any) -> Memory:
        """Change content, tags, memory_type or metadata (merged) of a memory; what it was before is kept as a version.

        Raises:
            UserError: unknown; something is not valid; or another memory has that content.
        """
        changes, redactions = validate.checked_changes(given, self._redacts() and not keep_secrets)
        with self._transaction():
            row = self._wanted(key)
            self._keep_version(row)
            number, now = row[0], time.time()
            if "content" in changes:
                content = changes["content"]
                digest = content_hash(content)
                other = self._row("m.content_hash = ? AND m.number <> ?", digest, number)
                if other is not None:
                    raise UserError(f"memory {other[1]} has this content already", code="duplicate")
                self._unindex(number, row[2])
                self._db.execute(
                    "UPDATE memories SET content = ?, content_hash = ? WHERE number = ?", (content, digest, number)
                )
                self._index(number, content)
            if "tags" in changes:
                self._db.execute("DELETE FROM tags WHERE number = ?", (number,))
                self._tag(number, changes["tags"])
            if "memory_type" in changes:
                self._db.execute(
                    "UPDATE memories SET memory_type = ? WHERE number = ?", (changes["memory_type"], number)
                )
            if "metadata" in changes:
                merged = validate.metadata({**json.loads(row[5]), **changes["metadata"]})
                self._db.execute("UPDATE memories SET metadata = ? WHERE number = ?", (_json(merged), number))
            self._db.execute("UPDATE memories SET updated_at = ? WHERE number = ?", (now, number))
            self._seals.seal(number)
            changed = self._memory(self._wanted(row[1]))
        return replace(changed, redactions=dict(redactions)) if redactions else changed

    def delete(self, numbers: Sequence[int], hard: bool = False) -> None:
        """Delete memories by number: for good, or so that it can be undone."""
        with self._transaction():
            for number in numbers:
                if hard:
                    self._remove(number)
                else:
                    self._db.execute("UPDATE memories SET deleted_at = ? WHERE number = ?", (time.time(), number))
                    self._seals.seal(number)
                    self._meaning.touch(number)

    def _remove(self, number: int) -> None:
        """Of a transaction: take out a memory, for good."""
        row = self._row("m.number = ?", number)
        if row is None:
            return
        if isinstance(row[2], str):
            self._unindex(number, row[2])
        for table in ("memories", "tags", "versions", "links", "checks", "unsealed", "belongs"):
            self._db.execute(f"DELETE FROM {table} WHERE number = ?", (number,))
        self._db.execute("DELETE FROM links WHERE other = ?", (number,))
        self._seals.add(-1)

    def restore(self, key: str) -> Memory:
        """Undo a delete. Raises UserError: unknown."""
        with self._transaction():
            row = self._wanted(key, deleted_too=True)
            self._db.execute("UPDATE memories SET deleted_at = NULL WHERE number = ?", (row[0],))
            self._seals.seal(row[0])
            self._meaning.touch(row[0])
            return self._memory(self._wanted(row[1]))

    def sweep(self) -> int:
        """Remove for good what was deleted too long ago to be undone; how many."""
        with self._lock:
            limit = time.time() - UNDO_S
            numbers = [row[0] for row in self._db.execute("SELECT number FROM memories WHERE deleted_at < ?", (limit,))]
        if numbers:
            self.delete(numbers, hard=True)
        return len(numbers)

    # -- look ---------------------------------------------------------------------------------------------------------

    def get(self, key: str) -> Memory:
        """By id or content hash, deleted ones too. Raises UserError: unknown."""
        with self._lock:
            return self._memory(self._wanted(key, deleted_too=True))

    def numbers(self, wanted: Filter) -> list[tuple[int, str]]:
        """(number, id) of all that a filter means, newest first."""
        condition, values = wanted.where()
        with self._lock:
            sql = f"SELECT m.number, m.id FROM memories m WHERE {condition} ORDER BY m.created_at DESC, m.number DESC"
            return self._db.execute(sql, values).fetchall()

    def number_of(self, key: str) -> tuple[int, str]:
        with self._lock:
            row = self._wanted(key)
            return row[0], row[1]

    def newest(self, wanted: Filter, limit: int, offset: int = 0) -> tuple[list[Memory], int]:
        """Return some of the memories that a filter means, newest first, and how many there are in all.

        Those that hold `wanted.contains` as it is written come before those with another case.
        """
        condition, values = wanted.where()
        with self._lock:
            total = self.total(wanted)
            order = "m.created_at DESC, m.number DESC LIMIT ? OFFSET ?"
            if wanted.contains is not None:
                order, values = f"instr(m.content, ?) = 0, {order}", [*values, wanted.contains]
            sql = f"SELECT m.number FROM memories m WHERE {condition} ORDER BY {order}"
            numbers = self._db.execute(sql, (*values, limit, offset)).fetchall()
            return self.memories([number for (number,) in numbers]), total

    def total(self, wanted: Filter) -> int:
        """Return how many memories a filter means."""
        condition, values = wanted.where()
        with self._lock:
            return int(self._db.execute(f"SELECT count(*) FROM memories m WHERE {condition}", values).fetchone()[0])

    def values(self, name: str) -> dict[str, int]:
        """Return the tags ("tag") or types ("memory_type") of all memories, the most frequent first, and how many have each."""
        table = "tags JOIN memories m USING (number)" if name == "tag" else "memories m"
        sql = f"SELECT {name}, count(*) FROM {table} WHERE m.deleted_at IS NULL GROUP BY 1 ORDER BY 2 DESC, 1"
        with self._lock:
            return dict(self._db.execute(sql))

    def candidates(self, query: str, wanted: Filter, limit: int) -> list[Candidate]:
        """What may answer a question: the best by words and the nearest by meaning, `limit` of each; the filter holds
        inside both.
        """
        sets = wanted.sets()
        asked = embed.model().query(embed.weighed(query))
        with self._lock:
            allowed = self._allowed(sets) if sets else None
            few = allowed is not None and len(allowed) <= _FEW
            matches = self._words.best(query, limit, sets, few) if allowed is None or len(allowed) else []
            near = self._meaning.nearest(asked, allowed)
            close = self._meaning.closeness(asked, [match.number for match in matches])
            by_words = {match.number: match for match in matches}
            for number in sorted(near, key=lambda number: -near[number][0])[:limit]:
                close.setdefault(number, near[number])
            numbers = list(by_words | close)
            sql = (
                "SELECT id, created_at, (SELECT owner FROM belongs b WHERE b.number = m.number), superseded_by "
                "FROM memories m WHERE number = ?"
            )
            rows = [self._db.execute(sql, (number,)).fetchone() for number in numbers]
        found = []
        for number, row in zip(numbers, rows, strict=True):
            if row is None or not isinstance(row[1], float):
                continue  # damaged: `memories` would skip and name it
            match, (cosine, nearest) = by_words.get(number), close.get(number, (None, 0))
            passage, score = (match.passage, match.score) if match is not None else (nearest, 0.0)
            found.append(Candidate(number, passage, score, cosine, *row))
        return found

    def _allowed(self, sets: Sequence[Numbers]) -> NDArray[np.int64]:
        """Numbers of the memories that are in all sets, and not deleted."""
        gone = "SELECT number FROM memories WHERE deleted_at IS NOT NULL"
        *meant, deleted = (
            np.fromiter((row[0] for row in self._db.execute(sql, values)), np.int64)
            for sql, values in (*sets, (gone, ()))
        )
        return np.setdiff1d(functools.reduce(np.intersect1d, meant), deleted)

    def memories(self, numbers: Sequence[int]) -> list[Memory]:
        """Those memories, in that order; a damaged one is skipped and named in `faults`."""
        with self._lock:
            return [memory for number in numbers if (memory := self._read(number)) is not None]

    def faults(self) -> dict[str, str]:
        """id → why that memory is skipped, of those that were met since this was opened."""
        with self._lock:
            return dict(self._faults)

    def everything(self, owners: bool = False) -> Iterator[dict[str, Any]]:
        """Every memory with its versions, as `load` takes it, oldest first; deleted ones that can still be restored too.

        `owners`: with what their repositories are known by on this machine.
        """
        with self._lock:
            owner_of = "(SELECT owner FROM belongs b WHERE b.number = m.number)"
            sql = f"SELECT number, {owner_of} FROM memories m ORDER BY created_at, number"
            for number, owner in self._db.execute(sql).fetchall():
                memory = self._read(number)
                if memory is None:
                    continue
                rows = self._seals.versions(number)
                problem = self._seals.versions_problem(number, rows)
                if problem is not None:
                    self._note(memory.id, problem)
                versions = [{"at": at, **json.loads(record)} for at, record in rows] if problem is None else []
                owned = {"owner": owner} if owners else {}
                yield {**memory.to_dict(), "deleted_at": memory.deleted_at, "versions": versions, **owned}

    def checked(self, raw: Mapping[str, Any], keep_secrets: bool = False) -> MemoryRecord:
        """A record of `everything`, or of an import, as it may be stored; `keep_secrets` as of `add`. Raises UserError."""
        return validate.checked(raw, self._redacts() and not keep_secrets)

    def load(self, raw: Mapping[str, Any]) -> bool:
        """Take in one record; False where that content is known (tags and metadata are merged). Raises UserError."""
        return self.load_all([("", self.checked(raw))], strict=True).new == 1

    def load_all(self, records: Sequence[tuple[str, MemoryRecord]], strict: bool = False) -> Loaded:
        """Take in (label, record) of many, in one transaction. `strict`: raise UserError where one fails."""
        new, now = 0, time.time()
        failed: list[tuple[str, str]] = []
        notes: list[str] = []
        ids: dict[str, str] = {}  # as the source names them → as they are here
        with self._transaction():
            for label, record in records:
                try:
                    with self._transaction():
                        identity, is_new = self._load_one(record, now)
                except (UserError, Corrupt) as error:
                    if strict:
                        raise UserError(f"{label}: {error.message}", code=error.code) from error
                    failed.append((label, error.message))
                    continue
                new += is_new
                ids[record.id or identity] = identity
            for label, record in records:
                if record.superseded_by is not None and record.id in ids:
                    notes += self._set_superseded(ids[record.id], record.superseded_by, ids, label)
        return Loaded(new, failed, notes)

    def _load_one(self, record: MemoryRecord, now: float) -> tuple[str, bool]:
        """(id, whether it is new). Raises UserError, Corrupt."""
        digest = content_hash(record.content)
        known = self._row("m.content_hash = ?", digest)
        if known is not None:
            self._check(known, self._seals.tags(known[0]))
            self._merge(known, record.tags, record.metadata, now, revive=record.deleted_at is None)
            return known[1], False
        identity = record.id if record.id and _ID.fullmatch(record.id) else os.urandom(8).hex()
        if self._row("m.id = ?", identity) is not None:
            identity = os.urandom(8).hex()
        number = self._insert(identity, digest, replace(record, superseded_by=None), now)
        for version in record.versions:
            old = {key: value for key, value in version.items() if key != "at"}
            self._seals.add_version(number, float(version.get("at") or record.created_at or now), _json(old))
        return identity, True

    def _set_superseded(self, identity: str, by: str, ids: Mapping[str, str], label: str) -> list[str]:
        row, other = self._row("m.id = ?", identity), self._row("m.id = ?", ids.get(by, by))
        if row is None or other is None or other[0] == row[0]:
            return [f"{label}: superseded_by names no memory: {by}"]
        if row[11] is None:
            self._db.execute("UPDATE memories SET superseded_by = ? WHERE number = ?", (other[1], row[0]))
            self._seals.seal(row[0])
        return []

    def stats(self) -> dict[str, Any]:
        with self._lock:
            one = "SELECT count(*), min(created_at), max(created_at) FROM memories WHERE deleted_at IS NULL"
            total, first, last = self._db.execute(one).fetchone()
            deleted = self._db.execute("SELECT count(*) FROM memories WHERE deleted_at IS NOT NULL").fetchone()[0]
            return {
                "memories": total,
                "deleted": deleted,
                "first_at": first,
                "last_at": last,
                "types": self.values("memory_type"),
                "tags": dict(islice(self.values("tag").items(), _TAGS_COUNTED)),
            }

    # -- inside -------------------------------------------------------------------------------------------------------

    def _row(self, condition: str, *values: Any) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._db.execute(
            f"SELECT {COLUMNS} FROM memories m WHERE {condition}", values
        ).fetchone()
        return row

    def _wanted(self, key: str, deleted_too: bool = False) -> tuple[Any, ...]:
        """By id or content hash. Raises UserError: unknown."""
        validate.check_text(key, "the id of a memory")
        alive = "" if deleted_too else " AND m.deleted_at IS NULL"
        row = self._row(f"(m.id = ? OR m.content_hash = ?){alive}", key, key)
        if row is None:
            hint = "list_memories shows their ids; in a terminal: recollect memory list"
            raise UserError(f"there is no memory {key[:100]!r}", hint=hint, code="unknown_memory")
        self._check(row, self._seals.tags(row[0]))
        return row

    def _check(self, row: tuple[Any, ...], tags: list[Any]) -> None:
        """Raises Corrupt where a row is not what was written."""
        problem = self._seals.problem(row, tags)
        if problem is not None:
            self._note(seals.identity(row), problem)
            raise Corrupt(
                f"memory {seals.identity(row)} is damaged: {problem}", hint=DAMAGED_HINT, code="damaged_memory"
            )

    def _note(self, identity: str, problem: str) -> None:
        if len(self._faults) < _MOST_FAULTS:
            self._faults[identity] = problem

    def _read(self, number: int) -> Memory | None:
        """A memory; None where it is gone, or damaged, which is noted."""
        try:
            row = self._row("m.number = ?", number)
            return self._memory(row) if row is not None else None
        except Corrupt:
            return None
        except (sqlite3.Error, ValueError, TypeError) as error:
            if self._closed.is_set():
                raise
            self._note(f"number {number}", seals.unreadable(error))
            return None

    def _memory(self, row: tuple[Any, ...]) -> Memory:
        """Raises Corrupt."""
        tags = self._seals.tags(row[0])
        self._check(row, tags)
        return Memory(
            id=row[1],
            content=row[2],
            content_hash=row[3],
            tags=tuple(tags),
            memory_type=row[4],
            metadata=json.loads(row[5]),
            repository=row[6],
            refers_to=tuple(json.loads(row[7])),
            superseded_by=row[11],
            created_at=row[8],
            updated_at=row[9],
            created_at_iso=iso(row[8]),
            updated_at_iso=iso(row[9]),
            deleted_at=row[10],
        )

    def _insert(self, identity: str, digest: str, record: MemoryRecord, now: float) -> int:
        """Add a memory with its words, vector and tags; its number."""
        sql = (
            "INSERT INTO memories (id, content, content_hash, memory_type, metadata, repository, refers_to, created_at, "
            "updated_at, deleted_at, superseded_by) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
        )
        created_at = record.created_at if record.created_at is not None else now
        updated_at = record.updated_at if record.updated_at is not None else created_at
        row: tuple[Any, ...] = (
            identity,
            record.content,
            digest,
            record.memory_type,
            _json(record.metadata),
            record.repository,
        )
        row += (_json(list(record.refers_to)), created_at, updated_at, record.deleted_at, record.superseded_by)
        number = int(self._db.execute(sql, row).lastrowid or 0)
        self._index(number, record.content)
        self._tag(number, record.tags)
        if record.owner is not None:
            self._db.execute("INSERT INTO belongs VALUES (?, ?)", (number, record.owner))
        self._seals.seal(number)
        self._seals.add(1)
        return number

    def _merge(
        self,
        row: tuple[Any, ...],
        tags: Sequence[str],
        metadata: Mapping[str, Any],
        now: float,
        revive: bool = True,
    ) -> None:
        have = json.loads(row[5])
        merged = validate.metadata({**have, **metadata})
        if merged != have:
            self._db.execute(
                "UPDATE memories SET metadata = ?, updated_at = ? WHERE number = ?", (_json(merged), now, row[0])
            )
        if revive:
            self._db.execute("UPDATE memories SET deleted_at = NULL WHERE number = ?", (row[0],))
            self._meaning.touch(row[0])
        has = {text.folded(tag) for tag in self._seals.tags(row[0])}
        self._tag(row[0], [tag for tag in tags if text.folded(tag) not in has])
        self._seals.seal(row[0])

    def _tag(self, number: int, tags: Sequence[str]) -> None:
        rows = [(number, tag) for tag in dict.fromkeys(str(tag).strip() for tag in tags) if tag]
        self._db.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", rows)

    def _keep_version(self, row: tuple[Any, ...]) -> None:
        memory = self._memory(row)
        record = {
            "content": memory.content,
            "tags": memory.tags,
            "memory_type": memory.memory_type,
            "metadata": memory.metadata,
            "updated_at": memory.updated_at,
        }
        self._seals.add_version(row[0], time.time(), _json(record))

    def _index(self, number: int, content: str) -> None:
        self._words.add(number, content)
        self._meaning.add(number, content)

    def _unindex(self, number: int, content: str) -> None:
        self._words.remove(number, content)
        self._meaning.remove(number, content)

    def _index_in_passages(self) -> None:
        """Index again what version 1 took for one passage each."""
        for (number,) in self._db.execute("SELECT number FROM whole").fetchall():
            with self._transaction():
                row = self._row("m.number = ?", number)
                if row is not None:
                    self._words.remove_whole(number, row[2])
                    self._index(number, row[2])
                self._db.execute("DELETE FROM whole WHERE number = ?", (number,))

    def _seal_old(self) -> None:
        """Seal what a version without checksums left; what cannot be trusted is set aside and named."""
        numbers = [number for (number,) in self._db.execute("SELECT number FROM unsealed").fetchall()]
        for start in range(0, len(numbers), _SEALED):
            with self._transaction():
                for number in numbers[start : start + _SEALED]:
                    self._seal_one(number)
                    self._db.execute("DELETE FROM unsealed WHERE number = ?", (number,))

    def _seal_one(self, number: int) -> None:
        row = self._row("m.number = ?", number)
        if row is None:
            return
        try:
            mended = seals.mended(row, content_hash(row[2]) if isinstance(row[2], str) else "")
        except UserError as error:
            self.set_aside(row, error.message)
            self._remove(number)
            return
        assignments = ", ".join(f"{name} = ?" for name in schema.STORED)
        self._db.execute(f"UPDATE memories SET {assignments} WHERE number = ?", (*mended[:-1], number))
        self._seals.seal(number)
        self._seals.seal_versions(number)

    def _make_vectors_again(self) -> None:
        """In the background; what has no vectors yet is found by its words."""
        while not self._closed.is_set():
            with self._transaction():
                numbers = self._meaning.of_other_models(_REMADE)
                for number in numbers:
                    row = self._row("m.number = ?", number)
                    self._meaning.make_again(number, row[2] if row is not None else None)
            if not numbers:
                return

    def _similar(self, number: int, content: str) -> list[dict[str, Any]]:
        """Memories that have most words in common with a new one; linked to it."""
        own = set(text.terms(content))
        if not own:
            return []
        found = []
        for other in self._words.sharing(content, _SIMILAR_ROWS, _SIMILAR_LOOKED_AT):
            row = self._row("m.number = ? AND m.number <> ? AND m.deleted_at IS NULL", other, number)
            if row is None:
                continue
            identity, said = row[1], row[2]
            theirs = set(text.terms(said))
            share = len(own & theirs) / len(own | theirs)
            if share >= _SIMILAR:
                self._db.execute("INSERT OR REPLACE INTO links VALUES (?, ?, ?)", (number, other, share))
                found.append({"id": identity, "similarity": round(share, 3)})
        return sorted(found, key=lambda item: -float(str(item["similarity"])))[:_SIMILAR_SHOWN]

    # -- damage -------------------------------------------------------------------------------------------------------

    def verify(self) -> list[str]:
        """Everything that is wrong with the database; nothing is changed."""
        with self._lock:
            try:
                problems = [row[0] for row in self._db.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
                self._db.execute("INSERT INTO words (words) VALUES ('integrity-check')")
                numbers = [number for (number,) in self._db.execute("SELECT number FROM memories").fetchall()]
            except sqlite3.Error as error:
                return [str(error)]
            if len(numbers) != self.count:
                problems.append(f"there are {len(numbers)} memories, not {self.count}")
            for number in numbers:
                if self._read(number) is None:
                    problems.append(f"memory number {number} is damaged")
                elif problem := self._seals.versions_problem(number, self._seals.versions(number)):
                    problems.append(f"memory number {number}: {problem}")
            return problems

    def index_again(self) -> None:
        """Make words and vectors anew where the log was not written back: nothing else tells whether they are right.

        Of many memories that would take too long: there, only what `verify` finds is mended.
        """
        if self.count > _MOST_INDEXED_AGAIN:
            return
        with self._transaction():
            self._words.clear()
            self._meaning.clear()
            for (number,) in self._db.execute("SELECT number FROM memories").fetchall():
                self._index(
                    number, self._db.execute("SELECT content FROM memories WHERE number = ?", (number,)).fetchone()[0]
                )

    def adopt(self, row: tuple[Any, ...], tags: Sequence[str], versions: Sequence[tuple[float, str]]) -> None:
        """Take in a memory of another database as it is there, with its number."""
        with self._transaction():
            columns = schema.STORED
            sql = f"INSERT INTO memories ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            self._db.execute(sql, row[: len(columns)])
            if row[-1] is not None:
                self._db.execute("INSERT INTO belongs VALUES (?, ?)", (row[0], row[-1]))
            self._index(row[0], row[2])
            self._db.executemany("INSERT INTO tags VALUES (?, ?)", [(row[0], tag) for tag in tags])
            self._seals.seal(row[0])
            for at, record in versions:
                self._seals.add_version(row[0], at, record)
            self._seals.add(1)

    def set_aside(self, row: Sequence[Any], reason: str) -> None:
        """Of a transaction: keep what cannot be trusted as it was read, to be named until it is accepted."""
        raw = json.dumps(list(row), default=repr)
        values = (seals.identity(tuple(row)), reason, time.time(), raw)
        self._db.execute("INSERT INTO damaged VALUES (?, ?, ?, ?)", values)

    def note_losses(self, damaged: Sequence[tuple[Sequence[Any], str]], message: str | None, sequence: int) -> None:
        """Keep damaged rows and a message until somebody accepts them. `sequence`: no fewer changes were counted before."""
        with self._transaction():
            for row, reason in damaged:
                self.set_aside(row, reason)
            if message is not None:
                self._db.execute("INSERT INTO losses VALUES (?, ?, NULL)", (time.time(), message))
            self._seals.sequence = max(self._seals.sequence, sequence)

    def take_table(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        """Take in rows of a small table of another database; what is there already stays."""
        if rows:
            with self._transaction():
                marks = ", ".join("?" * len(rows[0]))
                self._db.executemany(f"INSERT OR IGNORE INTO {name} VALUES ({marks})", rows)

    def losses(self) -> list[str]:
        """What was lost and is not accepted yet, in words."""
        with self._lock:
            return [message for (message,) in self._db.execute("SELECT message FROM losses WHERE accepted_at IS NULL")]

    def damaged(self) -> list[tuple[str, str]]:
        """(id, reason) of memories that could not be trusted any longer and are not accepted or back yet."""
        with self._lock:
            return self._db.execute("SELECT id, reason FROM damaged WHERE at >= 0 ORDER BY at").fetchall()

    def accept_losses(self) -> int:
        """Name them no longer; what was kept of them stays. How many."""
        with self._transaction():
            count = self._db.execute(
                "UPDATE losses SET accepted_at = ? WHERE accepted_at IS NULL", (time.time(),)
            ).rowcount
            return count + self._db.execute("UPDATE damaged SET at = -at WHERE at > 0").rowcount

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """All changes of the block are one transaction."""
        with self._transaction():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One inside another is part of it, and undone alone where it fails."""
        with self._lock:
            if self._db.in_transaction:
                with self._savepoint():
                    yield
                return
            self._seals.begin()
            with transaction(self._db, "memory.db"):
                yield
                self._seals.write()
            self._seals.committed()
            self._record(self._seals.sequence, self._seals.count)

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        added = self._seals.added
        self._db.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self._seals.added = added
            if self._db.in_transaction:
                self._db.execute("ROLLBACK TO part")
                self._db.execute("RELEASE part")
            raise
        self._db.execute("RELEASE part")


def content_hash(content: str) -> str:
    """Equal for contents that differ in white space or in Unicode's ways of writing the same alone."""
    plain = re.sub(r"\s+", " ", unicodedata.normalize("NFC", content)).strip()
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
