"""What can be said of an index without opening it as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recollect.index import schema
from recollect.records import dataclass
from recollect.store import pages
from recollect.sync.tree import Kind


@dataclass(frozen=True, slots=True)
class Summary:
    """What can be said of an index without opening it as a whole."""

    generation: int
    root_hash: str
    complete: bool
    files: int
    chunks: int
    size_bytes: int
    language: str | None  # that most code is in, by bytes


def summary_of(folder: Path) -> Summary | None:
    """Of the last committed generation of the index at `folder`; None where nothing was committed. Raises Corrupt, Unavailable."""
    if not (folder / "index.db").exists():
        return None
    with _reading(folder) as connection:
        connection.execute("BEGIN")
        meta = dict(
            connection.execute("SELECT key, value FROM meta WHERE key IN ('generation', 'root_hash', 'complete')")
        )
        sql = "SELECT status, content, language, count(*), sum(size), sum(chunks) FROM files GROUP BY 1, 2, 3"
        rows = connection.execute(sql).fetchall()
    code = {row[2]: row[4] for row in rows if row[0] == "indexed" and row[1] == "code"}
    return Summary(
        generation=int(meta.get("generation", 0)),
        root_hash=str(meta.get("root_hash", "")),
        complete=bool(meta.get("complete", 0)),
        files=sum(row[3] for row in rows if row[0] == "indexed"),
        chunks=sum(row[5] for row in rows),
        size_bytes=sum(row[4] for row in rows),
        language=max(code, key=lambda name: (code[name], name)) if code else None,
    )


def folders_of(folder: Path) -> list[str]:
    """The directories of the last committed tree of the index at `folder`; none where there is none. Raises Corrupt, Unavailable."""
    if not (folder / "index.db").exists():
        return []
    with _reading(folder) as connection:
        rows = connection.execute("SELECT path FROM entries WHERE kind = ?", (int(Kind.DIRECTORY),))
        return [os.fsdecode(path) for (path,) in rows]


@contextmanager
def _reading(folder: Path) -> Iterator[pages.Connection]:
    """A connection for one look. Raises Corrupt, Unavailable."""
    connection = schema.open_for_reading(folder)
    try:
        yield connection
    except pages.Error as error:
        raise schema.index_error(error) from error
    finally:
        connection.close()
