"""The one writer of a repository's index: a commit is one SQLite transaction; everything else is derived from it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from recollect.errors import Corrupt
from recollect.index import history as history_field
from recollect.index import rebuild, schema
from recollect.index.analyse import PIPELINE, Analysed, compress, decompress
from recollect.index.mapped import MappedFile
from recollect.index.segment import Segment, View, build, merge
from recollect.store import pages
from recollect.store.database import translated
from recollect.sync import history as history_log
from recollect.sync.diff import row_changes
from recollect.sync.history import Log
from recollect.sync.tree import Kind, Problem, Row, Stat, Tree
from recollect.testing import crash_point

ABOUT: Final = "about.json"  # of the repository, by the catalog
INLINE_BYTES: Final = 512_000  # a larger segment is a file of its own
LOG_KEPT: Final = 1_000_000  # bytes
_READERS_MS: Final = 2
MERGE_AT: Final = 6  # segments; each costs a query some 20 µs a term
DEAD_SHARE: Final = 0.3  # of a segment's chunks: beyond, it is written anew at the next merge
_MANY_FILES: Final = 50  # of one commit
_REMOVALS_KEPT: Final = 1000  # generations
_RETRY_FIRST_S: Final = 60.0
_RETRY_LONGEST_S: Final = 86_400.0


class Committed(NamedTuple):
    generation: int
    chunks_new: int
    chunks_deleted: int
    chunks_total: int


class HistoryRead(NamedTuple):
    """The commits up to `head`; None: nothing is committed."""

    head: str | None
    log: Log


class _Begun(NamedTuple):
    """A commit of which nothing is written yet but that what these files held is gone."""

    tree: Tree
    rows: tuple[list[Row], list[str]]  # see `row_changes`
    paths: set[str]
    before: list[tuple[str, int]]  # (status, chunks) of each that had rows
    deleted: int  # chunks


def segments_folder(folder: Path) -> Path:
    return folder / "segments"


def load_segment(folder: Path, name: str | None, block: bytes | None) -> Segment:
    """A stored segment, from its row. Raises Corrupt where it is missing or damaged, Unavailable where it cannot be opened now."""
    if name is None:
        return Segment.unpack(block)
    try:
        source = MappedFile(segments_folder(folder) / name)
        segment = Segment.unpack(source.contents)
        segment.memo[MappedFile] = source
        return segment
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise translated(error, "the index") from error
        raise Corrupt(f"segment {name} cannot be read: {error}") from error


def remove_index(folder: Path) -> None:
    """Remove an index, but for what says whose it is."""
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != ABOUT:
                path.unlink(missing_ok=True)


def copy_index(source: Path, target: Path) -> None:
    """Make the index at `target` a copy of the one at `source`, as of a first sync that has still to be made.

    Nobody may write to either. Whole or not at all. Raises Corrupt, pages.Error, OSError.
    """
    made = target.with_name(target.name + ".copying")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True, mode=0o700)
    try:
        with closing(schema.open_for_reading(source)) as old:
            pages.copy(old, made / "index.db")
        with closing(schema.open_for_writing(made)) as new:
            new.execute("BEGIN; DELETE FROM meta WHERE key IN ('signature', 'head')")  # names are asked for anew
            new.execute("INSERT OR REPLACE INTO meta VALUES ('complete', 0); COMMIT")
        shutil.copytree(segments_folder(source), segments_folder(made))
        with suppress(FileNotFoundError):
            shutil.copy2(target / ABOUT, made / ABOUT)
        shutil.rmtree(target, ignore_errors=True)
        crash_point("before-copy")
        made.rename(target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


class IndexWriter:
    """Writes one repository folder; only one may exist for it at a time, and not be used by two threads at once."""

    def __init__(self, folder: Path, *, check: bool = False) -> None:
        """Open or create. A damaged segment is made again from the rows (`repaired`). `check`: read everything first.

        Raises Corrupt, Unavailable.
        """
        self._folder = folder
        self._db = schema.open_for_writing(folder)
        segments_folder(folder).mkdir(exist_ok=True, mode=0o700)
        self.repaired: str | None = None
        self._counts: dict[str, int] | None = None
        self._begun: _Begun | None = None
        try:
            if check:
                schema.check_pages(self._db)
            self._meta: dict[str, Any] = dict(self._db.execute("SELECT key, value FROM meta"))
            self._tree: Tree | None = None
            self._file_ids: dict[bytes, int] = dict(self._db.execute("SELECT path, id FROM files"))
            last = self._db.execute("SELECT coalesce(max(file_id), 0) FROM retired").fetchone()[0]
            self._next_file = max(*self._file_ids.values(), last, 0) + 1
            self._check_segments()
        except BaseException as error:
            self._db.close()
            if isinstance(error, pages.Error):
                raise schema.index_error(error) from error
            raise

    @property
    def generation(self) -> int:
        return int(self._meta.get("generation", 0))

    @property
    def root_hash(self) -> str:
        return str(self._meta.get("root_hash", ""))

    @property
    def signature(self) -> str:
        return str(self._meta.get("signature", ""))

    @property
    def complete(self) -> bool:
        """False until a first (or forced) sync has committed its last batch."""
        return bool(self._meta.get("complete", 0))

    @property
    def history_head(self) -> str | None:
        """The commit whose history the index holds."""
        return self._meta.get("history_head")

    @property
    def files(self) -> int:
        """How many files the index knows."""
        return len(self._file_ids)

    def tree(self) -> Tree:
        """The tree of the last commit."""
        if self._tree is None:
            columns = "path, kind, size, mtime_ns, ctime_ns, inode, mode, hash"
            self._tree = Tree.from_rows(
                Row(os.fsdecode(path), Kind(kind), Stat(*stat), content_hash)
                for path, kind, *stat, content_hash in self._db.execute(f"SELECT {columns} FROM entries")
            )
        return self._tree

    def commit(
        self,
        *,
        tree: Tree,
        analysed: Sequence[Analysed],
        removed: Sequence[str],
        signature: str | None = None,
        complete: bool = True,
        head: str | None = None,
        retire: bool = False,
        history: HistoryRead | None = None,
        problems: Sequence[Problem] | None = None,
    ) -> Committed:
        """Make `tree` the committed tree, with `analysed` in place of those files' rows and `removed` gone.

        Where only stats differ, no new generation is made. On any error nothing is changed. `retire`: what is replaced
        or removed may come back (`retired`). `history`: what commits say, where that is new. `problems`: what of the
        tree, beside its files, could not be looked at.
        """
        replaced = [*removed, *(item.path for item in analysed)]
        begun = self._begun if self._begun is not None and self._begun.paths == set(replaced) else None
        if begun is None:
            self.abandon()
        if begun is not None and begun.tree.root is tree.root:
            upserts, gone = begun.rows
        else:  # nothing was begun, or a worker read something else than the scan had seen
            upserts, gone = row_changes(self.tree(), tree)
        meta: dict[str, Any] = {"root_hash": tree.root_hash, "complete": int(complete), "pipeline": PIPELINE}
        meta.update({key: value for key, value in (("signature", signature), ("head", head)) if value is not None})
        if problems is not None and tuple(problems) != self.problems():
            meta["problems"] = json.dumps([[item.path, item.kind, item.message] for item in problems])
        changed = bool(analysed or removed or meta["root_hash"] != self.root_hash or bool(complete) != self.complete)
        changed |= history is not None
        if not (changed or upserts or gone or any(self._meta.get(key) != value for key, value in meta.items())):
            return Committed(self.generation, 0, 0, self.counts()["chunks"])
        meta["generation"] = self.generation + 1 if changed else self.generation
        known = {path: self._file_ids.get(path) for path in map(os.fsencode, replaced)}
        next_file = self._next_file
        if len(replaced) >= _MANY_FILES:
            self._db.execute(f"PRAGMA cache_size=-{schema.LARGE_CACHE_KB}")
        written: Path | None = None
        try:
            if begun is None:
                begun = self._begin(tree, (upserts, gone), replaced, retire)
            self._forget_files(removed, meta["generation"])
            added, written = self._insert(analysed, meta)
            self._write_rows(upserts, gone)
            if history is not None:
                self._write_history(history, meta)
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
            crash_point("before-commit")
            self._db.execute("COMMIT")
            crash_point("after-commit")
        except BaseException:
            self.abandon()
            for path, file_id in known.items():
                self._file_ids.pop(path, None)
                if file_id is not None:
                    self._file_ids[path] = file_id
            self._next_file = next_file
            if written is not None:
                written.unlink(missing_ok=True)
            raise
        self._begun = None
        self._meta.update(meta)
        self._tree = tree
        self._count(begun.before, [(item.status, len(item.chunks)) for item in analysed])
        return Committed(self.generation, added, begun.deleted, self.counts()["chunks"])

    def begin(self, tree: Tree, paths: Sequence[str], *, retire: bool) -> None:
        """Do of the next commit what can be done before the files at `paths` are analysed.

        `commit` goes on from there if it is of these files, and begins anew if not; `abandon` takes it back.
        """
        self.abandon()
        try:
            self._begun = self._begin(tree, row_changes(self.tree(), tree), paths, retire)
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Take back what was begun, if anything was."""
        self._begun = None
        if self._db.in_transaction:
            with suppress(pages.Error):
                self._db.execute("ROLLBACK")

    def _begin(self, tree: Tree, rows: tuple[list[Row], list[str]], paths: Sequence[str], retire: bool) -> _Begun:
        self._db.execute("BEGIN IMMEDIATE")
        pages.verify(self._db)
        before = self._stored(paths)
        if retire:
            self._retire(paths)
        return _Begun(tree, rows, set(paths), before, self._delete(paths, self.generation + 1))

    def history(self) -> Log:
        """The commits that the index holds; none where that cannot be read, to be read from git anew."""
        row = self._db.execute("SELECT log FROM history").fetchone()
        try:
            return history_log.load(decompress(row[0])) if row is not None else {}
        except (Corrupt, ValueError, TypeError):
            return {}

    def commit_history(self, read: HistoryRead) -> None:
        """Make `read` the history: a generation of its own, in which nothing else changes."""
        meta: dict[str, Any] = {"generation": self.generation + 1}
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._write_history(read, meta)
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
            crash_point("before-history")
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(pages.Error):
                self._db.execute("ROLLBACK")
            raise
        self._meta.update(meta)

    def _write_history(self, read: HistoryRead, meta: dict[str, Any]) -> None:
        meta |= {"history_head": read.head, "history_generation": meta["generation"]}
        self._db.execute("DELETE FROM history")
        if any(commit.files for commit in read.log.values()):
            row = compress(history_log.dump(read.log)), history_field.pack(read.log)
            self._db.execute("INSERT INTO history VALUES (1, ?, ?)", row)

    def _stored(self, paths: Sequence[str]) -> list[tuple[str, int]]:
        """(status, chunks) of those of these files that have rows."""
        found = (self._file_ids.get(os.fsencode(path)) for path in paths)
        sql = "SELECT status, chunks FROM files WHERE id = ?"
        return [self._db.execute(sql, (file_id,)).fetchone() for file_id in found if file_id is not None]

    def _count(self, before: Sequence[tuple[str, int]], after: Sequence[tuple[str, int]]) -> None:
        """Keep the counts true, which asking the database costs a look at every row."""
        if self._counts is not None:
            for sign, rows in ((-1, before), (1, after)):
                for status, chunks in rows:
                    self._counts[status] += sign
                    self._counts["chunks"] += sign * chunks

    def _delete(self, paths: Sequence[str], generation: int) -> int:
        ids = [(found,) for path in paths if (found := self._file_ids.get(os.fsencode(path))) is not None]
        dead = f"SELECT id, {generation} FROM chunks WHERE file_id = ?"
        before = self._db.total_changes()
        self._db.executemany(f"INSERT INTO dead_chunks {dead}", ids)
        deleted = self._db.total_changes() - before
        revived = "DELETE FROM revived WHERE chunk_id IN (SELECT id FROM chunks WHERE file_id = ?)"
        self._db.executemany(revived, ids)
        for table in ("chunks", "definitions", "texts"):
            self._db.executemany(f"DELETE FROM {table} WHERE file_id = ?", ids)
        return deleted

    # -- contents that come back --------------------------------------------------------------------------------------

    def retired(self, path: str, content_hash: bytes) -> Analysed | None:
        """The analysis of a content that this path had before, if its chunks still lie in a segment."""
        columns = "file_id, first_chunk, pipeline, record, text, uses"
        key = (os.fsencode(path), content_hash)
        row = self._db.execute(f"SELECT {columns} FROM retired WHERE path = ? AND hash = ?", key).fetchone()
        if row is None or row[2] != PIPELINE or self._file_ids.get(key[0], row[0]) != row[0]:
            return None
        size, language, content, reason, lines, chunks, symbols = json.loads(row[3])
        item = Analysed(path, content_hash, size, language, content, "indexed", reason, lines, row[4])
        item.chunks = [(start, end, kind, symbol) for start, end, kind, symbol in chunks]
        item.symbols = [(a, b, c, d, e, f) for a, b, c, d, e, f in symbols]
        item.references, item.kept = row[5], (row[0], row[1])
        return item

    def _retire(self, paths: Sequence[str]) -> None:
        """Keep what these files hold, whose chunks are about to be dead."""
        rows = []
        for path in paths:
            file_id = self._file_ids.get(os.fsencode(path))
            columns = "hash, pipeline, status, chunks, size, language, content, reason, lines"
            found = self._db.execute(f"SELECT {columns} FROM files WHERE id = ?", (file_id,)).fetchone()
            if found is None or found[2] != "indexed" or not found[3]:
                continue
            sql = "SELECT id, start_line, end_line, kind, symbol FROM named_chunks WHERE file_id = ? ORDER BY id"
            chunks = self._db.execute(sql, (file_id,)).fetchall()
            columns = "name, scope || name, kind, start_line, end_line, signature"
            sql = f"SELECT {columns} FROM symbols WHERE file_id = ? ORDER BY number"
            symbols = self._db.execute(sql, (file_id,)).fetchall()
            text, uses = self._db.execute("SELECT text, uses FROM texts WHERE file_id = ?", (file_id,)).fetchone()
            record = json.dumps([*found[4:], [chunk[1:] for chunk in chunks], symbols])
            rows.append((os.fsencode(path), found[0], file_id, chunks[0][0], found[1], record, text, uses))
        self._db.executemany("INSERT OR REPLACE INTO retired VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def _revive(self, items: Sequence[Analysed], generation: int) -> None:
        """Make the chunks of retired contents live again."""
        spans = [(item.kept[1], item.kept[1] + len(item.chunks)) for item in items if item.kept is not None]
        self._db.executemany("DELETE FROM dead_chunks WHERE chunk_id >= ? AND chunk_id < ?", spans)
        ids = ((chunk_id, generation) for first, end in spans for chunk_id in range(first, end))
        self._db.executemany("INSERT OR REPLACE INTO revived VALUES (?, ?)", ids)
        keys = [(os.fsencode(item.path), item.hash) for item in items]
        self._db.executemany("DELETE FROM retired WHERE path = ? AND hash = ?", keys)

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _forget_files(self, paths: Sequence[str], generation: int) -> None:
        for path in paths:
            found = self._file_ids.pop(os.fsencode(path), None)
            if found is not None:
                self._db.execute("DELETE FROM files WHERE id = ?", (found,))
                self._db.execute("INSERT INTO removed_files VALUES (?, ?)", (found, generation))

    def _insert(self, analysed: Sequence[Analysed], meta: dict[str, Any]) -> tuple[int, Path | None]:
        next_chunk = int(self._meta.get("next_chunk", 1))
        placed: list[tuple[Analysed, int, int]] = []
        for item in analysed:
            file_id = self._write_file(item, meta["generation"])
            if item.kept is not None:
                placed.append((item, file_id, item.kept[1]))
                continue
            placed.append((item, file_id, next_chunk))
            next_chunk += len(item.chunks)
        self._write_contents(placed)
        meta["next_chunk"] = next_chunk
        back = [item for item in analysed if item.kept is not None]
        if back:
            self._revive(back, meta["generation"])
        added = sum(len(item.chunks) for item in analysed)
        fresh = [place for place in placed if place[0].kept is None]
        written = self._write_segment(build(fresh)) if any(item.chunks for item, _, _ in fresh) else None
        return added, written

    def _write_file(self, item: Analysed, generation: int) -> int:
        path = os.fsencode(item.path)
        file_id = self._file_ids.get(path)
        attempts, retry_at = 0, 0.0
        if item.status == "failed":
            row = self._db.execute("SELECT attempts FROM files WHERE id = ?", (file_id,)).fetchone()
            attempts = (row[0] if row else 0) + 1
            retry_at = time.time() + min(_RETRY_FIRST_S * 2 ** min(attempts - 1, 20), _RETRY_LONGEST_S)
        if file_id is None and item.kept is not None:
            file_id = self._file_ids[path] = item.kept[0]
        elif file_id is None:
            file_id = self._file_ids[path] = self._next_file
            self._next_file += 1
        self._db.execute(
            "INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (file_id, path, item.hash, item.size, item.language, item.content, item.status, item.reason, item.lines)
            + (len(item.chunks), generation, PIPELINE, attempts, retry_at),
        )
        return file_id

    def _write_contents(self, placed: Sequence[tuple[Analysed, int, int]]) -> None:
        kinds = self._kinds(item for item, _, _ in placed)
        self._db.executemany(
            "INSERT INTO texts VALUES (?, ?, ?)",
            ((file_id, item.text, item.references) for item, file_id, _ in placed if item.status == "indexed"),
        )
        self._db.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?)",
            (row for item, file_id, first in placed for row in rebuild.chunk_rows(item, file_id, first)),
        )
        self._db.executemany(
            "INSERT INTO definitions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (row for item, file_id, first in placed for row in rebuild.symbol_rows(item, file_id, first, kinds)),
        )

    def _kinds(self, items: Iterable[Analysed]) -> dict[str, int]:
        """Numbers of the kinds of symbols that there are, those of `items` among them."""
        known: dict[str, int] = dict(self._db.execute("SELECT name, id FROM kinds"))
        for name in sorted({symbol[2] for item in items for symbol in item.symbols}.difference(known)):
            known[name] = len(known) + 1
            self._db.execute("INSERT INTO kinds VALUES (?, ?)", (known[name], name))
        return known

    def _write_rows(self, upserts: Sequence[Row], gone: Sequence[str]) -> None:
        self._db.executemany("DELETE FROM entries WHERE path = ?", ((os.fsencode(path),) for path in gone))
        self._db.executemany(
            "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (os.fsencode(row.path), int(row.kind), row.stat.size, row.stat.mtime_ns, row.stat.ctime_ns)
                + (row.stat.inode, row.stat.mode, row.hash)
                for row in upserts
            ),
        )

    def _write_segment(self, segment: Segment, *, identity: int | None = None, durable: bool = False) -> Path | None:
        """Insert a segment's row; returns the file that holds it, if it is too large for the row."""
        block = segment.pack()
        if identity is None:
            identity = int(self._meta.get("next_segment", 1))
        self._meta["next_segment"] = identity + 1
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('next_segment', ?)", (identity + 1,))
        if len(block) <= INLINE_BYTES:
            self._db.execute(
                "INSERT INTO segments VALUES (?, NULL, ?, ?, ?)", (identity, block, len(segment), len(block))
            )
            return None
        path = segments_folder(self._folder) / f"{identity}-{os.urandom(4).hex()}.seg"
        with open(path, "xb") as file:
            file.write(block)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        row = (identity, path.name, None, len(segment), len(block))
        self._db.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?)", row)
        return path

    def compact(self, force: bool = False) -> bool:
        """Merge small segments into a larger one and move the log into the database; True where segments changed."""
        sizes = self._db.execute("SELECT id, chunks FROM segments ORDER BY id").fetchall()
        start = self._first_to_merge([chunks for _, chunks in sizes], force)
        if start is not None:
            sql = "SELECT id, name, block FROM segments WHERE id >= ? ORDER BY id"
            self._merge(self._db.execute(sql, sizes[start][:1]).fetchall())
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._db.execute(f"PRAGMA cache_size=-{schema.SMALL_CACHE_KB}")  # the others are let go at once
        self._remove_unused()
        return start is not None

    def settle_log(self) -> bool:
        """Move the log into the database; whether more was written to it than may be kept. Readers then have to begin anew:
        until then they need it, and it would grow with every commit.
        """
        _, pages, _ = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        size: int = self._db.execute("PRAGMA page_size").fetchone()[0]
        return bool(pages * size > LOG_KEPT)

    def log_bytes(self) -> int:
        """How long the log's file is: what was written to it may since have begun anew at its front."""
        try:
            return (self._folder / "index.db-wal").stat().st_size
        except OSError:
            return 0

    def cut_log(self) -> None:
        """Give back what a large sync took for the log, unless somebody reads it."""
        self._db.execute(f"PRAGMA busy_timeout={_READERS_MS}")
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            self._db.execute("PRAGMA busy_timeout=10000")

    def _first_to_merge(self, sizes: Sequence[int], force: bool) -> int | None:
        """From which of the segments on, given by their numbers of chunks, they are to be merged; None: none."""
        if not sizes:
            return None
        dead = self._db.execute("SELECT count(*) FROM dead_chunks").fetchone()[0]
        if dead > DEAD_SHARE * sum(sizes) or (force and (len(sizes) > 1 or dead)):
            return 0
        if len(sizes) < MERGE_AT:
            return None
        newer = 0
        for at in range(len(sizes) - 1, -1, -1):  # keep them falling geometrically from old to new
            if sizes[at] > 2 * newer and len(sizes) - at - 1 >= MERGE_AT // 2:
                return at + 1
            newer += sizes[at]
        return 0

    def _merge(self, rows: Sequence[tuple[int, str | None, bytes | None]]) -> None:
        dead = [row[0] for row in self._db.execute("SELECT chunk_id FROM dead_chunks ORDER BY chunk_id")]
        views = [View.whole(load_segment(self._folder, name, block)).without(dead) for _, name, block in rows]
        segment = merge([view for view in views if view.n_live]) if any(view.n_live for view in views) else None
        lowest = min((int(view.segment.chunk_id[0]) for view in views if len(view.segment)), default=0)
        written: Path | None = None
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany("DELETE FROM segments WHERE id = ?", ((row[0],) for row in rows))
            if segment is not None:
                written = self._write_segment(segment, durable=True)
            for table, column in (("dead_chunks", "chunk_id"), ("revived", "chunk_id"), ("retired", "first_chunk")):
                self._db.execute(f"DELETE FROM {table} WHERE {column} >= ?", (lowest,))
            self._forget_removals()
            crash_point("before-merge")
            self._db.execute("COMMIT")
            crash_point("after-merge")
        except BaseException:
            with suppress(pages.Error):
                self._db.execute("ROLLBACK")
            if written is not None:
                written.unlink(missing_ok=True)
            raise

    def _forget_removals(self) -> None:
        """Drop old rows of `removed_files`; a reader that is further behind than that reads everything afresh."""
        floor = self.generation - _REMOVALS_KEPT
        if floor > 0:
            self._db.execute("DELETE FROM removed_files WHERE generation <= ?", (floor,))
            self._db.execute("DELETE FROM revived WHERE generation <= ?", (floor,))
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('removed_floor', ?)", (floor,))

    def _remove_unused(self) -> None:
        """Segment files that no row names: leftovers of merges and crashes. Readers that map them keep them."""
        used = {row[0] for row in self._db.execute("SELECT name FROM segments WHERE name IS NOT NULL")}
        for path in segments_folder(self._folder).iterdir():
            if path.name not in used:
                path.unlink(missing_ok=True)

    def _check_segments(self) -> None:
        try:
            for name, block in self._db.execute("SELECT name, block FROM segments"):
                load_segment(self._folder, name, block)
        except Corrupt:
            self.rebuild_segments()

    def rebuild_segments(self) -> None:
        """Make all segments again from the stored texts and chunk rows."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute("DELETE FROM segments")
            for table in ("dead_chunks", "revived", "retired"):
                self._db.execute(f"DELETE FROM {table}")
            for batch in rebuild.batches(self._db):
                self._write_segment(build(batch), durable=True)
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(pages.Error):
                self._db.execute("ROLLBACK")
            raise
        self.repaired = "segments were damaged and have been made again"

    def problems(self) -> tuple[Problem, ...]:
        """What of the last commit's tree, beside its files, could not be looked at."""
        return tuple(Problem(*item) for item in json.loads(self._meta.get("problems", "[]")))

    def failed_paths(self) -> dict[str, tuple[str, int, float]]:
        """Files that failed: path → (reason, attempts, when to try again)."""
        rows = self._db.execute(
            "SELECT path, reason, attempts, retry_at FROM files WHERE status = 'failed' ORDER BY path"
        )
        return {os.fsdecode(path): (reason or "", attempts, retry_at) for path, reason, attempts, retry_at in rows}

    def stale_paths(self) -> list[str]:
        """Files that an older pipeline analysed."""
        rows = self._db.execute("SELECT path FROM files WHERE pipeline <> ? ORDER BY path", (PIPELINE,))
        return [os.fsdecode(row[0]) for row in rows]

    def paths_of_reasons(self, reasons: Sequence[str]) -> list[str]:
        """Files of which the index says one of these."""
        marks = ",".join("?" * len(reasons))
        rows = self._db.execute(f"SELECT path FROM files WHERE reason IN ({marks}) ORDER BY path", reasons)
        return [os.fsdecode(row[0]) for row in rows]

    def counts(self) -> dict[str, int]:
        """Number of files by status, and of chunks."""
        if self._counts is None:
            found = dict(self._db.execute("SELECT status, count(*) FROM files GROUP BY status"))
            chunks = int(self._db.execute("SELECT coalesce(sum(chunks), 0) FROM files").fetchone()[0])
            self._counts = {"indexed": 0, "skipped": 0, "failed": 0, **found, "chunks": chunks}
        return dict(self._counts)

    def close(self) -> None:
        self._db.close()
