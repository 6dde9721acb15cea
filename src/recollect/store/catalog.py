"""The repositories that a home knows, and what its owner persisted. Written by the daemon alone.

What a person would miss is kept a second time: of each repository in `about.json` in the folder of its index, of settings,
clones and lists in `catalog.json`. A catalog that is damaged is made anew from what can be read of it and from these.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from recollect.errors import Corrupt, Unavailable, UserError
from recollect.records import dataclass
from recollect.store import clones, copies, pages
from recollect.store.healing import HealingDatabase, Tables, begin_anew

_USAGE: Final = """
CREATE TABLE usage (
    day TEXT NOT NULL, tool TEXT NOT NULL, calls INTEGER NOT NULL, returned INTEGER NOT NULL, whole INTEGER NOT NULL,
    PRIMARY KEY (day, tool)
) WITHOUT ROWID;
"""
_SCHEMA: Final = f"""
CREATE TABLE repositories (
    id TEXT PRIMARY KEY, path BLOB NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, url TEXT, type TEXT NOT NULL,
    added_at REAL NOT NULL, last_access REAL, tracked INTEGER NOT NULL DEFAULT 0 CHECK (tracked IN (0, 1)),
    missing INTEGER NOT NULL DEFAULT 0 CHECK (missing IN (0, 1)), wanted INTEGER NOT NULL DEFAULT 0 CHECK (wanted IN (0, 1)),
    attempts INTEGER NOT NULL DEFAULT 0, next_sync_at REAL, last_sync TEXT,
    untracked INTEGER NOT NULL DEFAULT 0 CHECK (untracked IN (0, 1)),
    asked_for INTEGER NOT NULL DEFAULT 0 CHECK (asked_for IN (0, 1)),
    sync_interval REAL, place TEXT, language TEXT, size_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE sync_runs (repository_id TEXT NOT NULL, started_at REAL NOT NULL, result TEXT NOT NULL);
CREATE INDEX sync_runs_repository ON sync_runs (repository_id, started_at);
{clones.SCHEMA}{_USAGE}"""
_ADMITTED: Final = "ALTER TABLE repositories ADD COLUMN admitted_by TEXT;"
_DISCOVERED: Final = """
ALTER TABLE repositories ADD COLUMN discovered INTEGER NOT NULL DEFAULT 0 CHECK (discovered IN (0, 1));
ALTER TABLE repositories ADD COLUMN modified_at REAL;
"""
_ALIASES: Final = f"ALTER TABLE repositories ADD COLUMN aliases TEXT; {clones.NAMES}"
_STEPS: Final = {
    1: """
ALTER TABLE repositories DROP COLUMN checked_at;
ALTER TABLE repositories ADD COLUMN untracked INTEGER NOT NULL DEFAULT 0 CHECK (untracked IN (0, 1));
ALTER TABLE repositories ADD COLUMN asked_for INTEGER NOT NULL DEFAULT 0 CHECK (asked_for IN (0, 1));
ALTER TABLE repositories ADD COLUMN sync_interval REAL;
ALTER TABLE repositories ADD COLUMN place TEXT;
ALTER TABLE repositories ADD COLUMN language TEXT;
ALTER TABLE repositories ADD COLUMN size_bytes INTEGER NOT NULL DEFAULT 0;
CREATE TABLE sync_runs (repository_id TEXT NOT NULL, started_at REAL NOT NULL, result TEXT NOT NULL);
CREATE INDEX sync_runs_repository ON sync_runs (repository_id, started_at);
""",
    2: clones.SCHEMA,
    3: _USAGE,
    4: "",  # checksums
    5: _ADMITTED,
    6: _DISCOVERED,
    7: _ALIASES,
}
_TABLES: Final = Tables(
    _SCHEMA + _ADMITTED + _DISCOVERED + _ALIASES,
    8,
    ("repositories", "settings", "sync_runs", "clones", "followed", "usage"),
    _STEPS,
    5,
)
_HISTORY: Final = 50  # syncs of a repository
_PRUNED_EVERY: Final = 16  # of them
_MOST_ALIASES: Final = 20  # of a repository
_COLUMNS: Final = (
    "id, path, name, url, type, added_at, last_access, tracked, missing, wanted, "
    "attempts, next_sync_at, last_sync, untracked, asked_for, sync_interval, place, language, size_bytes, admitted_by, "
    "discovered, modified_at, aliases"
)


_FIELDS: Final = tuple(_COLUMNS.split(", "))
_COPIED: Final = (
    "path",
    "name",
    "url",
    "type",
    "added_at",
    "tracked",
    "untracked",
    "asked_for",
    "sync_interval",
    "place",
    "admitted_by",
    "discovered",
    "aliases",
)


@dataclass(frozen=True, slots=True)
class Repository:
    """`wanted`: a sync was asked for and has not ended: it is resumed at the next start.

    `untracked`: somebody said that it is not to be kept in step; `asked_for`: somebody had it synced, however large it
    is. `place`: what its `.git` is on the disk, by which it is known again where it was moved. `language` and
    `size_bytes`: what is known without its index. `admitted_by`: what allowed an agent to register it (`places`); None: it
    is a person's. `discovered`: a scan found it, and nobody named its folder since. `modified_at`: the last change of its
    files when a scan found it. `aliases`: other names that people and agents gave it.
    """

    id: str
    path: Path
    name: str
    url: str | None
    type: str
    added_at: float
    last_access: float | None
    tracked: bool
    missing: bool
    wanted: bool
    attempts: int
    next_sync_at: float | None
    last_sync: dict[str, Any] | None
    untracked: bool
    asked_for: bool
    sync_interval: float | None
    place: str | None
    language: str | None
    size_bytes: int
    admitted_by: str | None = None
    discovered: bool = False
    modified_at: float | None = None
    aliases: tuple[str, ...] = ()


class Catalog:
    """Small, and read often: all of it is kept in memory; every change is committed before it is seen."""

    def __init__(self, path: Path) -> None:
        """Raises Corrupt, Unavailable."""
        self._home = path.parent
        self._repositories: dict[str, Repository] = {}
        self._file = HealingDatabase(path, _TABLES, self._restore)
        self._lock = self._file.lock
        self._accessed: dict[str, float] = {}
        self._recorded: Counter[str] = Counter()  # syncs since this process began
        self.notices = self._file.notices
        self.clones = clones.CloneTable(self._file, self._keep_rest)
        for row in self._read(f"SELECT {_COLUMNS} FROM repositories"):
            self._repositories[row[0]] = _repository(row)
        self._keep_missing()

    def _read(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query, before anything of this object can be restored from. Raises Corrupt."""
        try:
            return self._file.read(sql)
        except BaseException:
            self._file.close()
            raise

    def repositories(self) -> list[Repository]:
        """All of them, by name."""
        with self._lock:
            return sorted(self._repositories.values(), key=lambda item: item.name)

    def get(self, repository_id: str) -> Repository | None:
        return self._repositories.get(repository_id)

    def add(
        self,
        path: Path,
        name: str,
        url: str | None,
        kind: str,
        admitted_by: str | None = None,
        *,
        exact: bool = False,
    ) -> Repository:
        """Register a folder under `name`, or `name-2` and so on where that is taken. A known folder is returned as it is.

        Raises UserError: (`exact`) the name is taken.
        """
        with self._lock:
            known = next((item for item in self._repositories.values() if item.path == path), None)
            if known is not None:
                return known
            if exact:
                self._check_free(name, path)
            unique = self.free_name(name, path)
            row = (os.urandom(8).hex(), os.fsencode(path), unique, url, kind, time.time(), admitted_by)
            sql = "INSERT OR REPLACE INTO repositories (id, path, name, url, type, added_at, admitted_by) VALUES (?,?,?,?,?,?,?)"
            self._file.write(lambda db: db.execute(sql, row), durable=True)
            return self._reread(row[0])

    def free_name(self, name: str, path: Path) -> str:
        """`name`, or `name-2` and so on where another folder than `path` has it."""
        taken = {known for known, place in self._names().items() if place != path}
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}-{number}", number + 1
        return unique

    def add_alias(self, repository_id: str, alias: str) -> Repository | None:
        """Let a repository be called `alias`, too; None where it was forgotten meanwhile.

        Raises UserError: another one is called so, or it has too many names.
        """
        with self._lock:
            known = self._repositories.get(repository_id)
            if known is None or alias in (known.name, *known.aliases):
                return known
            self._check_free(alias, known.path)
            if len(known.aliases) >= _MOST_ALIASES:
                message = f"{known.name} has {_MOST_ALIASES} other names already, and cannot be called {alias!r}, too"
                raise UserError(message, hint=f"Use one of: {', '.join(known.aliases)}", code="too_many_names")
            return self.update(repository_id, aliases=_joined((*known.aliases, alias)))

    def _check_free(self, name: str, path: Path) -> None:
        place = self._names().get(name)
        if place is not None and place != path:
            message = (
                f"{name!r} is the name of another repository: {os.fsencode(place).decode(errors='backslashreplace')}"
            )
            raise UserError(message, hint="Choose another name.", code="name_taken")

    def _names(self) -> dict[str, Path]:
        """Every name that a repository has or a clone will have, and the folder that it means."""
        named = {
            item.name: Path(os.path.realpath(item.path))
            for item in self.clones.all()
            if item.name is not None and item.repository_id not in self._repositories
        }
        for item in self._repositories.values():
            named |= dict.fromkeys((item.name, *item.aliases), item.path)
        return named

    def update(self, repository_id: str, *, run: Mapping[str, Any] | None = None, **changes: Any) -> Repository | None:
        """Set columns of a repository; None where it was forgotten meanwhile.

        `run`: the result of a sync, for its history, of which the last ones are kept. A power cut may take that back (the
        next sync says it again); every other change survives it.
        """
        with self._lock:
            if repository_id not in self._repositories:
                return None
            values = [json.dumps(value) if isinstance(value, dict) else value for value in changes.values()]
            assignments = ", ".join(f"{key} = ?" for key in changes)

            def change(db: pages.Connection) -> None:
                if run is not None:
                    self._record(db, repository_id, run)
                db.execute(f"UPDATE repositories SET {assignments} WHERE id = ?", (*values, repository_id))

            self._file.write(change, durable=run is None)
            return self._reread(repository_id)

    def _record(self, db: pages.Connection, repository_id: str, result: Mapping[str, Any]) -> None:
        row = (repository_id, result["started_at"], json.dumps(result))
        db.execute("INSERT INTO sync_runs VALUES (?, ?, ?)", row)
        self._recorded[repository_id] += 1
        if self._recorded[repository_id] % _PRUNED_EVERY != 1:
            return  # after each edit, that would take as long as all the rest
        oldest = "SELECT started_at FROM sync_runs WHERE repository_id = ? ORDER BY started_at DESC LIMIT 1 OFFSET ?"
        sql = f"DELETE FROM sync_runs WHERE repository_id = ? AND started_at <= ({oldest})"
        db.execute(sql, (repository_id, repository_id, _HISTORY))

    def history(self, repository_id: str) -> list[dict[str, Any]]:
        """The last syncs of a repository that did something, newest first."""
        sql = "SELECT result FROM sync_runs WHERE repository_id = ? ORDER BY started_at DESC LIMIT ?"
        return [json.loads(result) for (result,) in self._file.rows(sql, (repository_id, _HISTORY))]

    def last_runs(self, limit: int) -> list[tuple[str, dict[str, Any]]]:
        """(repository id, result) of the last syncs of all repositories that did something, newest first."""
        sql = "SELECT repository_id, result FROM sync_runs ORDER BY started_at DESC LIMIT ?"
        return [(identity, json.loads(result)) for identity, result in self._file.rows(sql, (limit,))]

    def add_usage(self, rows: Mapping[tuple[str, str], Mapping[str, int]], oldest: str) -> None:
        """Add counts to those of a day and a tool; days before `oldest` go."""
        sql = (
            "INSERT INTO usage VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "calls = calls + excluded.calls, returned = returned + excluded.returned, whole = whole + excluded.whole"
        )
        values = [(day, tool, one["calls"], one["returned"], one["whole"]) for (day, tool), one in rows.items()]

        def add(db: pages.Connection) -> None:
            db.executemany(sql, values)
            db.execute("DELETE FROM usage WHERE day < ?", (oldest,))

        self._file.write(add)

    def usage(self, since: str) -> list[tuple[str, str, int, int, int]]:
        """(day, tool, calls, returned, whole) from a day on."""
        return self._file.rows("SELECT * FROM usage WHERE day >= ? ORDER BY day, tool", (since,))

    def touch(self, repository_ids: Iterable[str]) -> None:
        """Note a use; at most once a minute, for it happens with every question, which must not fail for it."""
        now = time.time()
        used = [name for name in repository_ids if now - self._accessed.get(name, 0.0) > 60]
        if not used:
            return
        self._accessed.update(dict.fromkeys(used, now))
        with self._lock, suppress(Unavailable):
            known = [name for name in used if name in self._repositories]
            sql = "UPDATE repositories SET last_access = ? WHERE id = ?"
            self._file.write(lambda db: db.executemany(sql, [(now, name) for name in known]))
            self._repositories |= {name: replace(self._repositories[name], last_access=now) for name in known}

    def remove(self, repository_id: str) -> None:

        def forget(db: pages.Connection) -> None:
            db.execute("DELETE FROM repositories WHERE id = ?", (repository_id,))
            db.execute("DELETE FROM sync_runs WHERE repository_id = ?", (repository_id,))
            db.execute("DELETE FROM clones WHERE repository_id = ?", (repository_id,))

        with self._lock:
            self._repositories.pop(repository_id, None)
            self._about(repository_id).unlink(missing_ok=True)
            self._file.write(forget, durable=True)
            self._keep_rest()

    def persisted(self) -> dict[str, Any]:
        """What was kept with `persist`. A value that is not JSON (somebody edited the file) is returned as its text."""
        return {key: _parsed(value) for key, value in self._file.rows("SELECT key, value FROM settings")}

    def persist(self, values: Mapping[str, Any], *, durable: bool = True) -> None:
        """Keep settings: all of them or none. Not `durable`: a power cut may bring the values before back."""
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        sql = "INSERT OR REPLACE INTO settings VALUES (?, ?)"
        self._file.write(lambda db: db.executemany(sql, rows), durable=durable)
        if durable:
            self._keep_rest()

    def close(self) -> None:
        self._file.close()

    def _reread(self, repository_id: str) -> Repository:
        (row,) = self._file.rows(f"SELECT {_COLUMNS} FROM repositories WHERE id = ?", (repository_id,))
        before, now = self._repositories.get(repository_id), _repository(row)
        self._repositories[repository_id] = now
        if before is None or any(getattr(before, name) != getattr(now, name) for name in _COPIED):
            self._keep(now)
        return now

    # -- copies -------------------------------------------------------------------------------------------------------

    @classmethod
    def rescued(cls, path: Path, damage: Corrupt) -> Catalog:
        """Set a damaged file aside and open a new one of what can be had (`notices` says so). Raises Corrupt, Unavailable."""
        said = begin_anew(path, _TABLES, lambda new, whole: _restore_copies(new, path.parent), damage)
        catalog = cls(path)
        catalog.notices.append(said)
        return catalog

    def _restore(self, new: pages.Connection, whole: bool) -> None:
        """While it is open, the catalog itself knows best."""
        _restore_copies(new, self._home)
        marks = ",".join("?" * len(_FIELDS))
        for item in self._repositories.values():
            new.execute(f"INSERT OR REPLACE INTO repositories ({_COLUMNS}) VALUES ({marks})", _row(item))

    def _about(self, repository_id: str) -> Path:
        return self._home / "repositories" / repository_id / "about.json"

    def _keep(self, repository: Repository) -> None:
        values = {name: getattr(repository, name) for name in _COPIED} | {"aliases": _joined(repository.aliases)}
        copies.write_copy(self._about(repository.id), values | {"path": os.fspath(repository.path)})

    def _keep_missing(self) -> None:
        for repository in self._repositories.values():
            if not self._about(repository.id).exists():
                self._keep(repository)
        if not (self._home / "catalog.json").exists():
            self._keep_rest()

    def _keep_rest(self) -> None:
        with self._lock:
            names = ("key", "branch", *sorted(clones.COPIED))
            rows = [[_text(getattr(item, name)) for name in names] for item in self.clones.all()]
            followed = self._file.rows("SELECT * FROM followed")
            rest = {"settings": self.persisted(), "clones": [dict(zip(names, row, strict=True)) for row in rows]}
            copies.write_copy(self._home / "catalog.json", rest | {"followed": [list(row) for row in followed]})


def _restore_copies(new: pages.Connection, home: Path) -> None:
    """Write into a new catalog what is kept a second time, which is never older than what was read of the old one."""
    marks = ",".join("?" * (len(_COPIED) + 1))
    changes = ", ".join(f"{name} = excluded.{name}" for name in _COPIED)
    sql = (
        f"INSERT INTO repositories (id, {', '.join(_COPIED)}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {changes}"
    )
    for path in sorted((home / "repositories").glob("*/about.json")):
        values = copies.read_copy(path)
        if isinstance(values, dict):
            values["path"] = os.fsencode(str(values.get("path")))
            values.setdefault("discovered", False)  # a copy of an older version does not say
            row = [values.get(name) for name in _COPIED]
            with suppress(pages.Error):  # two for one folder or name: the one that is there stays
                new.execute(sql, (path.parent.name, *row))
    rest = copies.read_copy(home / "catalog.json")
    if not isinstance(rest, dict):
        return
    rows = [(key, json.dumps(value)) for key, value in rest["settings"].items()]
    new.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", rows)
    new.executemany("INSERT OR IGNORE INTO followed VALUES (?, ?, ?, ?, ?)", rest["followed"])
    for item in rest["clones"]:
        item["path"] = os.fsencode(item["path"])
        marks = ",".join("?" * len(item))
        new.execute(f"INSERT OR IGNORE INTO clones ({', '.join(item)}) VALUES ({marks})", tuple(item.values()))


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, Path) else value


def _row(repository: Repository) -> tuple[Any, ...]:
    values = {name: getattr(repository, name) for name in _FIELDS}
    values |= {"path": os.fsencode(repository.path), "aliases": _joined(repository.aliases)}
    values["last_sync"] = json.dumps(repository.last_sync) if repository.last_sync is not None else None
    return tuple(values.values())


def _joined(aliases: Iterable[str]) -> str | None:
    """As the column holds them: no name has a line feed."""
    return "\n".join(aliases) or None


def _repository(row: tuple[Any, ...]) -> Repository:
    values = dict(zip(_FIELDS, row, strict=True))
    values["path"] = Path(os.fsdecode(values["path"]))
    values["last_sync"] = json.loads(values["last_sync"]) if values["last_sync"] else None
    values["aliases"] = tuple(values["aliases"].split("\n")) if values["aliases"] else ()
    for flag in ("tracked", "missing", "wanted", "untracked", "asked_for", "discovered"):
        values[flag] = bool(values[flag])
    return Repository(**values)
