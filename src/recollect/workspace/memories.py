"""What agents learned: remember, recall, change, forget; and what of it refers to code that has changed since."""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from recollect.errors import Corrupt, RecollectError, Unavailable, UserError
from recollect.jobs.library import Library
from recollect.memory import brief, exchange, recall, validate, when
from recollect.memory.backups import Backups
from recollect.memory.exchange import LoadReport
from recollect.memory.redact import redact
from recollect.memory.store import Filter, MemoryStore, content_hash
from recollect.model import DeletedMemories, Finding, Memory, MemoryList, NextStep, RecalledMemories, StoredMemory
from recollect.store.catalog import Catalog, Repository
from recollect.workspace import memory_steps, reading
from recollect.workspace.memory_steps import Asked
from recollect.workspace.vault import Vault, guarded

_LISTED: Final = 200  # bad records of an import
_MOST: Final = 100
_MOST_PAGES: Final = 1_000_000
_LONGEST_TIME: Final = 64
_YEAR_OR_DAY: Final = re.compile(r"(?:19[7-9]|20\d)\d(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))?")
_BRIEFED: Final = 50  # memories that are looked at for the start of a session
_OFFERS: Final = 20
_NAMES: Final = 30  # names of code that are looked for in one memory
_TICKED: Final = re.compile(r"`([^`\n]{2,200})`")
_PATHLIKE: Final = re.compile(
    r"(?<![\w/])(?:[\w.-]+/)+[\w.-]+\.\w{1,8}\b"
    r"|\b[\w-]+\.(?:py|ts|tsx|js|go|rs|java|rb|c|h|cpp|cs|php|kt|swift|md|toml)\b"
)
log = logging.getLogger("recollect.memories")


class Memories:
    """Thread-safe."""

    def __init__(self, home: Path, catalog: Catalog, library: Library, redacts: Callable[[], bool]) -> None:
        self._home = home
        self._catalog = catalog
        self._library = library
        self._redacts = redacts
        self._backups = Backups(home / "backups", lambda: self._vault.store, lambda: self._vault.is_whole)
        self._vault = Vault(home, catalog, redacts, lambda: bool(self._backups.files()))
        self._assign_owners()
        self._sweep()
        self._backups.start()

    def close(self) -> None:
        self._backups.close()
        self._vault.close()

    @property
    def _store(self) -> MemoryStore:
        """Raises Unavailable."""
        return self._vault.store

    def _assign_owners(self) -> None:
        """Of memories of older versions and of imports, which have a name alone: the repository that has it now."""
        try:
            self._store.assign_owners({item.name: _owner(item) for item in self._catalog.repositories()})
        except (RecollectError, sqlite3.Error) as error:
            log.warning("some memories belong to no repository yet: %s", error)

    def _owner_named(self, name: str) -> str:
        """What the repository of that name is known by; of none now, one that had it."""
        return next(
            (_owner(item) for item in self._catalog.repositories() if name in (item.name, *item.aliases)),
            f"name:{name}",
        )

    def _sweep(self) -> None:
        try:
            self._store.sweep()
        except (RecollectError, sqlite3.Error) as error:
            log.warning("what was deleted is not removed for good: %s", error)

    @guarded
    def add(
        self,
        content: str,
        *,
        tags: Any = (),
        memory_type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        repository: Repository | None = None,
        files: Sequence[str] = (),
        symbols: Sequence[str] = (),
        supersedes: str | None = None,
        keep_secrets: bool = False,
    ) -> StoredMemory:
        """Remember. `metadata` may hold `tags` and `type`, as other tools' users send them.

        `keep_secrets`: a person wants it stored as it is.
        """
        given = validate.metadata(metadata)
        named = [*validate.tag_list(tags), *validate.tag_list(given.pop("tags", ()))]
        kind = memory_type or given.pop("type", None) or "note"
        content = validate.content(content)
        files, symbols = validate.names(files, "files"), validate.names(symbols, "symbols")
        refers = self._references(content, repository, files, symbols)
        stored = self._store.add(
            content,
            tags=named,
            memory_type=kind,
            metadata=given,
            repository=repository.name if repository is not None else None,
            owner=_owner(repository) if repository is not None else None,
            refers_to=refers,
            supersedes=supersedes,
            keep_secrets=keep_secrets,
        )
        self._backups.changed()
        return replace(stored, repository=self._store.get(stored.id).repository)

    @guarded
    def recall(
        self,
        query: str,
        limit: int = 5,
        *,
        tags: Any = (),
        tag_match: str = "any",
        memory_type: str | None = None,
        time_phrase: str | None = None,
        after: str | float | None = None,
        before: str | float | None = None,
        until: str | float | None = None,
        repository: str | None = None,
        here: str | None = None,
        max_tokens: int | None = None,
        offset: int = 0,
        mode: str = "hybrid",
    ) -> RecalledMemories:
        """What answers a question; see `memory.recall`. `repository` narrows to one, `here` prefers one.

        A query that is the id of a memory means that one. `mode` "exact": contents that hold the query.
        """
        (query,) = validate.names([query], "query")
        if not all(isinstance(one, int) for one in (limit, max_tokens or 0, offset)) or offset < 0:
            raise UserError("limit, offset and max_tokens must be whole numbers", code="wrong_type")
        if mode not in ("hybrid", "semantic", "exact"):
            raise UserError(f"mode is hybrid or exact, not {mode!r:.60}", code="invalid_argument")
        wanted = self.filter(tags, tag_match, memory_type, after, before, repository, until)
        now = datetime.now().astimezone()
        most = max(1, min(limit, _MOST))
        timed = wanted.within(when.parse(time_phrase, now)) if time_phrase else wanted
        if mode == "exact" and query.strip():
            found = recall.exact(self._store, query, timed, most, max_tokens=max_tokens, offset=offset)
        elif (named := self._named_by(query)) is not None:
            found = recall.by_id(query, named, max_tokens)
        else:
            known = self._owner_named(here) if here is not None else None
            how: dict[str, Any] = {"here": known, "max_tokens": max_tokens, "offset": offset}
            found = recall.recall(self._store, query, wanted, most, now=now, time_phrase=time_phrase, **how)
        end = _shown_time(wanted.before) if until else before
        bounds = {"time": time_phrase, "after": after, "before": end}
        asked = _asked(query, most, wanted, repository, max_tokens, mode, bounds)
        steps = memory_steps.more(asked, found.count, min(most, found.total - offset), found.next_offset)
        if not found.total:
            steps = memory_steps.after_nothing(self._store, asked, timed)
        shown = tuple(self._with_changes(memory) for memory in found.memories)
        return replace(found, memories=shown, notice=self._vault.notice(), next_steps=steps)

    def _named_by(self, query: str) -> Memory | None:
        """The memory whose id or content hash the query is, where that cannot be an ordinary word."""
        key = query.strip()
        if not (re.fullmatch(r"[\w-]{4,64}", key, re.ASCII) and re.search(r"\d", key)):
            return None
        with suppress(UserError):
            return self._store.get(key) if self._store.number_of(key) else None
        return None

    @guarded
    def page(
        self,
        page: int = 1,
        page_size: int = 20,
        filters: Mapping[str, Any] | None = None,
        *,
        time_phrase: str | None = None,
        offset: int | None = None,
        max_tokens: int | None = None,
    ) -> MemoryList:
        """Memories by time, newest first. `offset`: how many to leave out, instead of a page."""
        if not 1 <= page <= _MOST_PAGES or not 1 <= page_size <= 1000:
            said = f"page must be between 1 and {_MOST_PAGES:,}, page_size between 1 and 1,000"
            raise UserError(said, code="out_of_range")
        start = (page - 1) * page_size if offset is None else max(0, offset)
        wanted = self._filter(time_phrase, filters or {})
        memories, total = self._store.newest(wanted, page_size, start)
        fitting = recall.fitted(memories, max_tokens, wanted)
        after = recall.next_offset(start, page_size, total, len(memories) - len(fitting))
        shown = tuple(self._with_changes(memory) for memory in fitting)
        asked = _asked("", page_size, wanted, None, max_tokens, "", {"time": time_phrase})
        steps = memory_steps.more(asked, len(shown), min(page_size, total - start), after)
        if not total:
            steps = memory_steps.after_nothing(self._store, asked, wanted)
        elif start >= total:
            steps = (
                NextStep(f"There are {total}, and this begins after the first {start}. From the first", asked.again()),
            )
        return MemoryList(shown, page, page_size, total, after is not None, self._vault.notice(), after, steps)

    @guarded
    def get(self, key: str) -> Memory:
        return self._with_changes(self._store.get(key))

    @guarded
    def update(self, key: str, *, keep_secrets: bool = False, **changes: Any) -> Memory:
        """Change content, tags, memory_type, metadata; or undo a delete (`restore`). `keep_secrets`: as of `add`.

        None and "" change nothing; an empty list of tags takes all tags away. `metadata` may hold `tags` and `type`.
        """
        if changes.pop("restore", False):
            self._store.restore(key)
        given = {name: value for name, value in changes.items() if value is not None and value != ""}
        if "metadata" in given:
            given["metadata"] = metadata = validate.metadata(given["metadata"])
            for inside, name in (("tags", "tags"), ("type", "memory_type")):
                if (value := metadata.pop(inside, None)) not in (None, ""):
                    given.setdefault(name, value)
        if not validate.tag_list(given.get("tags")) and given.get("tags") != []:
            given.pop("tags", None)  # "," or [""] names none and takes none away
        return self._with_changes(
            self._store.update(key, keep_secrets=keep_secrets, **given) if given else self._store.get(key)
        )

    @guarded
    def delete(
        self,
        key: str | None = None,
        filters: Mapping[str, Any] | None = None,
        *,
        dry_run: bool = False,
        hard: bool = False,
    ) -> DeletedMemories:
        """Delete one by id or content hash, or all that a filter means. A filter without conditions is refused."""
        wanted: Filter | None = None
        if key is not None:
            found = [self._store.number_of(key)]
        else:
            wanted = self._filter(None, filters or {})
            tags = (filters or {}).get("tags")
            if tags not in (None, "") and tags != () and not wanted.tags:
                raise UserError(
                    "tags names no tag, so nothing was deleted",
                    hint="Name the tags, or leave tags out to delete by time alone.",
                    code="empty_filter",
                )
            if not wanted:
                raise UserError(
                    "a filter without conditions would delete everything",
                    hint="Give an id, tags, before or after.",
                    code="empty_filter",
                )
            found = self._store.numbers(wanted)
        if not dry_run:
            self._store.delete([number for number, _ in found], hard)
        verb = (
            "would be deleted"
            if dry_run
            else "deleted for good"
            if hard
            else "deleted; update_memory(restore=true) undoes it"
        )
        ids = tuple(identity for _, identity in found)
        steps: tuple[NextStep, ...] | None = None
        if wanted is not None and not found:
            given = {name: value for name, value in (filters or {}).items() if value and value != "any"}
            asked = Asked("delete_memory", {**given, "dry_run": True})
            steps = memory_steps.after_nothing(self._store, asked, wanted)
        return DeletedMemories(True, len(found), ids, dry_run, f"{len(found)} memories {verb}", steps)

    @guarded
    def export(self, path: str) -> dict[str, Any]:
        """To a file as JSON Lines; to a folder (there already, or named with a slash at its end) as Markdown files."""
        target = Path(path).expanduser()
        try:
            write = exchange.export_folder if path.endswith(("/", os.sep)) or target.is_dir() else exchange.export
            return {"path": str(target), "exported": write(self._store, target)}
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}", code="unwritable") from error

    def load(self, path: str, strict: bool = False, keep_secrets: bool = False) -> dict[str, Any]:
        """Take in a file; bad records are skipped and listed. `strict`: nothing where any is bad. `keep_secrets`: as
        of `add`.
        """
        return self._loaded(path, lambda source: exchange.load(self._store, source, strict, keep_secrets))

    def restore(self, path: str | None = None) -> dict[str, Any]:
        """Bring back what a backup holds (default: the newest good one), also where memory is unavailable."""
        chosen = Path(path) if path is not None else self._backups.newest()
        if chosen is None:
            hint = "recollect memory accept goes on without what is lost."
            raise UserError("there is no backup that can be read", hint=hint, code="no_backup")
        return self._loaded(os.fspath(chosen), self._vault.restore)

    def _loaded(self, path: str, load: Callable[[Path], LoadReport]) -> dict[str, Any]:
        try:
            report = load(Path(path).expanduser())
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}", code="unreadable") from error
        self._assign_owners()
        self._backups.changed()
        counts = {"imported": report.imported, "known": report.known, "skipped": len(report.skipped)}
        said = {"bad": report.skipped[:_LISTED], "notes": report.notes[:_LISTED]}
        return {"path": path, **counts, **said, "redactions": report.redactions}

    def accept(self) -> dict[str, Any]:
        """Go on without what is lost: for a person to decide."""
        return {"message": self._vault.accept()}

    @guarded
    def stats(self) -> dict[str, Any]:
        """Counts, types and tags; what is damaged or lost."""
        damaged = {**dict(self._store.damaged()), **self._store.faults()}
        return {
            **self._store.stats(),
            "damaged": [{"id": identity, "reason": reason} for identity, reason in damaged.items()],
            "losses": self._store.losses(),
            "notices": self.notices(),
        }

    def notices(self) -> list[str]:
        """What has to be said of memory and its backups."""
        failing = [f"no backup of the memories could be made: {self._backups.error}"] if self._backups.error else []
        return self._vault.notices() + failing

    def findings(self) -> list[Finding]:
        """What `doctor` says of memory."""
        found = [Finding("problem", "memory", said, mend) for said, mend in self._vault.problems()]
        if self._backups.error:
            said = f"no backup of the memories could be made: {self._backups.error}"
            mend = f"Make {self._home / 'backups'} a folder that can be written, then: recollect memory backup"
            found.append(Finding("problem", "memory", said, mend))
        if not found:
            found = [Finding("note", "memory", said) for said in self._vault.notices()]
            found.append(Finding("ok", "memory", f"{self._store.count} memories, each as it was written"))
        return found

    def filter(
        self,
        tags: Any = (),
        tag_match: str = "any",
        memory_type: str | None = None,
        after: str | float | None = None,
        before: str | float | None = None,
        repository: str | None = None,
        until: str | float | None = None,
    ) -> Filter:
        """`before` ends where its day or time begins, `until` where it ends."""
        if tag_match not in ("any", "all"):
            raise UserError('tag_match is "any" or "all"', code="invalid_argument")
        if memory_type is not None:
            validate.check_text(memory_type, "memory_type")
        ends = [end for end in (moment(before, "before"), moment(until, "end_date", at_end=True)) if end is not None]
        return Filter(
            tuple(validate.tag_list(tags)),
            tag_match,
            memory_type or None,
            moment(after, "after"),
            min(ends, default=None),
            owner=self._owner_named(repository) if repository is not None else None,
        )

    def _filter(self, time_phrase: str | None, filters: Mapping[str, Any]) -> Filter:
        wanted = self.filter(**filters)
        if time_phrase:
            wanted = wanted.within(when.parse(time_phrase, datetime.now().astimezone()))
        return wanted

    # -- code that memories name --------------------------------------------------------------------------------------

    def _references(
        self, content: str, repository: Repository | None, files: Sequence[str], symbols: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Files and symbols that were given, or that the text names and the repository's index knows; each with the
        hash that its file has now.
        """
        if repository is None:
            return []
        ticked = _TICKED.findall(content)
        paths = dict.fromkeys(
            [*files, *(name for name in ticked if "/" in name or "." in name), *_PATHLIKE.findall(content)]
        )
        names = dict.fromkeys(
            [*symbols, *(name.removesuffix("()") for name in ticked if " " not in name and "/" not in name)]
        )
        refers: dict[tuple[str, str | None], dict[str, Any]] = {}
        # An index that is damaged or cannot be opened now keeps no memory from being stored.
        with suppress(Corrupt, Unavailable), self._library.reading(repository.id) as snapshot:
            if snapshot is None:
                return []
            for path in list(paths)[:_NAMES]:
                try:
                    info = snapshot.find(reading.inside(repository, path))
                except UserError:
                    continue
                if info is not None:
                    made = {"repository": repository.name, "path": info.path, "symbol": None, "hash": info.hash.hex()}
                    refers.setdefault((info.path, None), made)
            for name in list(names)[:_NAMES]:
                last = name.rpartition(".")[2]
                found = [
                    item
                    for item in snapshot.definitions([last])
                    if name in (item.name, item.qualified_name) or item.qualified_name.endswith(f".{name}")
                ]
                if len({item.file_id for item in found}) == 1:  # one that is defined in many files says nothing
                    info = snapshot.files[found[0].file_id]
                    made = {"repository": repository.name, "path": info.path, "symbol": name, "hash": info.hash.hex()}
                    refers.setdefault((info.path, name), made)
        return list(refers.values())

    def _with_changes(self, memory: Memory) -> Memory:
        """The memory with, for each file it refers to, whether that has changed since it was remembered."""
        if not memory.refers_to:
            return memory
        shown = []
        owner = self._store.owner_of(memory.id)
        by_name = {item.name: item for item in self._catalog.repositories() if _owner(item) == owner}
        for one in memory.refers_to:
            changed = True
            repository = by_name.get(one["repository"])
            if repository is not None:
                # An index that cannot be opened now says nothing of the file; the memory is told all the same.
                with suppress(RecollectError), self._library.reading(repository.id) as snapshot:
                    info = snapshot.find(one["path"]) if snapshot is not None else None
                    changed = info is None or info.hash.hex() != one.get("hash")
            shown.append({key: one[key] for key in ("repository", "path", "symbol")} | {"changed": changed})
        return replace(memory, refers_to=tuple(shown))

    # -- sessions of agents -------------------------------------------------------------------------------------------

    def brief(self, repository: Repository | None, max_tokens: int) -> dict[str, Any]:
        """What a session that starts there is told: `{text, memories, offers}`. What is offered is offered once."""
        try:
            return self._brief(repository, max_tokens)
        except (Unavailable, Corrupt) as error:
            return {"text": f"Recollect: {error.message}. {error.hint}", "memories": 0, "offers": 0}

    @guarded
    def _brief(self, repository: Repository | None, max_tokens: int) -> dict[str, Any]:
        name = repository.name if repository is not None else None
        found: list[Memory] = []
        for wanted in () if name is None else (self.filter(repository=name), self.filter(tags=[name])):
            found += self._store.newest(wanted, _BRIEFED)[0]  # those from elsewhere are told by their tags alone
        if repository is not None:  # … but not those of another repository that had this name
            own = _owner(repository)
            found = [one for one in found if one.repository != name or self._store.owner_of(one.id) == own]
        for kind in brief.EVERYWHERE:
            general = self._store.newest(self.filter(memory_type=kind), _BRIEFED)[0]
            found += [memory for memory in general if memory.repository is None]
        known = {memory.id: memory for memory in found}.values()
        best = [self._with_changes(memory) for memory in brief.ranked(known, time.time())[:_BRIEFED]]
        offers = self._take_offers(repository)
        told = brief.text(name, best, offers, max_tokens)
        if (notice := self._vault.notice()) is not None:
            told = "\n".join(filter(None, [told, f"Recollect: {notice}"]))
        return {"text": told, "memories": len(best), "offers": len(offers)}

    def offer(self, repository: Repository | None, sentences: Sequence[str]) -> dict[str, Any]:
        """Keep sentences for the next session's start to offer; those that are remembered already are left out."""
        path = self._offers(repository)
        kept = self._read_offers(path)
        for sentence in sentences:
            plain = redact(sentence)[0] if self._redacts() else sentence
            with suppress(UserError, Unavailable, Corrupt):
                if self._store.get(content_hash(plain)).deleted_at is None:
                    continue
            kept = [*(one for one in kept if one != plain), plain]
        path.parent.mkdir(exist_ok=True, mode=0o700)
        exchange.write(path, [json.dumps(kept[-_OFFERS:])])
        return {"offers": len(kept[-_OFFERS:])}

    def _offers(self, repository: Repository | None) -> Path:
        return self._home / "offers" / f"{repository.id if repository is not None else 'elsewhere'}.json"

    @staticmethod
    def _read_offers(path: Path) -> list[str]:
        try:
            return [str(one) for one in json.loads(path.read_bytes())]
        except (OSError, ValueError, TypeError):
            return []

    def _take_offers(self, repository: Repository | None) -> list[str]:
        path = self._offers(repository)
        taken = self._read_offers(path)
        path.unlink(missing_ok=True)
        return taken

    # -- backups ------------------------------------------------------------------------------------------------------

    @guarded
    def backup(self) -> dict[str, Any]:
        """Copy the memories into `backups/`, of which the last seven days are kept."""
        try:
            return self._backups.make()
        except OSError as error:
            raise Unavailable(f"no backup could be made: {error.strerror}", code="storage") from error

    def backups(self) -> list[str]:
        return [str(path) for path in self._backups.files()]


def _asked(
    query: str,
    limit: int,
    wanted: Filter,
    repository: str | None,
    max_tokens: int | None,
    mode: str,
    bounds: Mapping[str, Any],
) -> Asked:
    """The call that asked for memories: of those that ask in words, or by what `list_memories` does not take."""
    filters: dict[str, Any] = {
        "tags": list(wanted.tags),
        "tag_match": wanted.tag_match if wanted.tag_match != "any" else None,
        "type": wanted.memory_type,
        **bounds,
    }
    rest = {"repository": repository, "mode": "exact" if mode == "exact" else None, "max_tokens": max_tokens}
    is_list = not query.strip() and not any((repository, bounds.get("after"), bounds.get("before")))
    default = 20 if is_list else 5
    call = {"limit": limit if limit != default else None, **filters, **rest}
    return Asked("list_memories", call) if is_list else Asked("retrieve_memory", {"query": query, **call})


def _shown_time(at: float | None) -> str | None:
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds") if at is not None else None


def _owner(repository: Repository) -> str:
    """What a repository is known by whatever its name: its `.git` on the disk, else its entry in the catalog."""
    return f"place:{repository.place}" if repository.place is not None else f"entry:{repository.id}"


def moment(value: Any, name: str, *, at_end: bool = False) -> float | None:
    """Epoch seconds of a bound in a filter; None and "" are no bound. Raises UserError ("bad_time").

    As `validate.moment` reads it, or a phrase of `memory.when`, of which the beginning is meant (`at_end`: the end).
    Other finite numbers are far away.
    """
    if value is None or value == "":
        return None
    value = _as_date(value)
    readings: list[Callable[[Any], float | None]] = [lambda given: validate.moment(given, name)]
    if isinstance(value, str) and len(value) <= _LONGEST_TIME:
        is_date = _YEAR_OR_DAY.fullmatch(value) is not None
        readings.insert(0 if at_end or is_date else 1, lambda phrase: _of_phrase(phrase, at_end))
        with suppress(ValueError):
            value = value if _YEAR_OR_DAY.fullmatch(value) else float(value)
    for read in readings:
        with suppress(UserError):
            return read(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15:
        return float(value)
    with suppress(TypeError, ValueError, OverflowError):  # a date beyond all memories: "2999-01-01"
        return datetime.fromisoformat(value).astimezone().timestamp()
    hint = 'As 2024-05-01, 2024-05-01T12:00+02:00, "yesterday", "last week", or seconds or milliseconds since 1970.'
    raise UserError(f"{name}: not understood as a time: {value!r:.100}", hint=hint, code="bad_time")


def _as_date(value: Any) -> Any:
    """A number that is a year or a day, as text: 2024 and 20240131 are seconds of 1970 to nobody who filters by them."""
    text = str(value).strip().removesuffix(".0") if isinstance(value, str | int | float) else ""
    is_date = _YEAR_OR_DAY.fullmatch(text) is not None
    return text if is_date and not isinstance(value, bool) else value


def _of_phrase(phrase: Any, at_end: bool) -> float:
    """The beginning or end of what a phrase means; of "since march" the one that it has. Raises UserError."""
    span = when.parse(str(phrase), datetime.now().astimezone())
    ends = (span.before, span.after) if at_end else (span.after, span.before)
    return next(end for end in ends if end is not None).timestamp()
