"""Many repositories at once: those of a list or of an organisation, once or followed as the list changes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from recollect.errors import RecollectError, UserError
from recollect.model import CloneList, ListedClone
from recollect.records import dataclass
from recollect.store.catalog import Catalog
from recollect.store.clones import Followed
from recollect.sync.address import parse
from recollect.workspace.clones import Clones
from recollect.workspace.places import Caller

if TYPE_CHECKING:  # it speaks HTTP, which takes long to load
    from recollect.sync import hosting

_LONGEST: Final = 1_000_000  # bytes of a list
log = logging.getLogger("recollect.lists")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which repositories of a list are wanted: globs of names; forks and archived ones only when asked for."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    forks: bool = False
    archived: bool = False
    limit: int | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """From JSON. Raises UserError: an option that there is not."""
        unknown = options.keys() - cls.__slots__
        if unknown:
            raise UserError(
                f"unknown option: {', '.join(sorted(unknown))}",
                hint="Known: include, exclude, forks, archived, limit.",
                code="invalid_argument",
            )
        globs = {name: tuple(options.get(name) or ()) for name in ("include", "exclude")}
        forks, archived = bool(options.get("forks")), bool(options.get("archived"))
        return cls(globs["include"], globs["exclude"], forks, archived, options.get("limit"))

    def wants(self, item: hosting.Listed) -> bool:
        if (item.fork and not self.forks) or (item.archived and not self.archived):
            return False
        if self.include and not any(fnmatchcase(item.name, glob) for glob in self.include):
            return False
        return not any(fnmatchcase(item.name, glob) for glob in self.exclude)


class Lists:
    """Thread-safe. A source is `file:PATH`, `repository:URL#PATH` (a file in a repository) or `organisation:KIND:NAME`."""

    def __init__(self, catalog: Catalog, clones: Clones) -> None:
        self._table = catalog.clones
        self._clones = clones

    def clone(
        self, source: str, options: Mapping[str, Any], *, dry_run: bool, follow: bool, caller: Caller
    ) -> CloneList:
        """Have everything that a source lists cloned; `follow`: from now on also what it lists later.

        Raises:
            UserError, Unavailable: the list cannot be read; nothing is cloned then.
        """
        selection = Selection.of(options)
        urls = self._urls(source, selection, caller)
        rows = [self._one(url, dry_run, caller) for url in urls]
        if follow and not dry_run:
            self._table.follow(Followed(source, dict(options), time.time(), None, tuple(urls)))
        return CloneList(
            source, tuple(rows), len(rows), sum(row.status == "accepted" for row in rows), follow and not dry_run
        )

    def followed(self) -> list[dict[str, Any]]:
        """What is followed: `{source, checked_at, error, repositories}` each."""
        return [
            {
                "source": item.source,
                "checked_at": item.checked_at,
                "error": item.error,
                "repositories": list(item.listed),
            }
            for item in self._table.followed()
        ]

    def unfollow(self, source: str) -> dict[str, Any]:
        """Raises UserError: it is not followed."""
        if not self._table.unfollow(source):
            raise UserError(f"{source} is not followed", hint="recollect clone --following", code="not_followed")
        return {"source": source, "status": "no longer followed"}

    def look(self, interval: float, environment: Mapping[str, str]) -> tuple[float, list[str]]:
        """Look at the followed lists that are due; (when the next one is, epoch seconds; what happened)."""
        following, said = time.time() + interval, list[str]()
        for item in self._table.followed():
            at = (item.checked_at or 0.0) + interval
            if at > time.time() and (item.checked_at or 0.0) <= time.time():
                following = min(following, at)
                continue
            said += self._again(item, Caller(environment=environment))
        return following, said

    def _again(self, item: Followed, caller: Caller) -> list[str]:
        selection = Selection.of(item.options)
        try:
            urls = self._urls(item.source, selection, caller)
        except RecollectError as error:
            self._table.follow(Followed(item.source, item.options, time.time(), error.message, item.listed))
            return [] if item.error else [f"{item.source} cannot be read: {error.message}"]
        new, gone = [url for url in urls if url not in item.listed], [url for url in item.listed if url not in urls]
        for url in new:
            row = self._one(url, False, caller)
            log.info("%s lists %s: %s", item.source, url, row.status)
        self._table.follow(Followed(item.source, item.options, time.time(), None, tuple(urls)))
        said = [f"{item.source} lists {len(new)} new repositories: they are being cloned"] if new else []
        return said + [f"{item.source} no longer lists {url}; its clone is kept" for url in gone]

    def _one(self, url: str, dry_run: bool, caller: Caller) -> ListedClone:
        try:
            if dry_run:
                known = self._clones.find(url)
                status = known.status if known is not None else "would be cloned"
                return ListedClone(parse(url, self._clones.permissions(caller.environment)).url, status, None)
            record = self._clones.request(url, None, None, caller)
            return ListedClone(record.url, "accepted" if record.status == "cloning" else record.status, None)
        except RecollectError as error:
            return ListedClone(url, "refused", error.message)

    def _urls(self, source: str, selection: Selection, caller: Caller) -> list[str]:
        from recollect.sync import hosting

        kind, _, rest = source.partition(":")
        if kind == "organisation":
            where = hosting.organisation(rest)
            found = hosting.listing(where, caller.environment, self._clones.permissions(caller.environment))
        elif kind == "file":
            found = _lines(Path(rest))
        elif kind == "repository":
            url, _, path = rest.partition("#")
            found = _lines(self._cloned(url, caller), path)
        else:
            raise UserError(
                f"not a list: {source}",
                hint="Give a file with an address on each line, or an organisation such as https://github.com/owner.",
                code="bad_list",
            )
        urls = list(dict.fromkeys(item.url for item in found if selection.wants(item)))
        return urls[: selection.limit] if selection.limit is not None else urls

    def _cloned(self, url: str, caller: Caller) -> Path:
        record = self._clones.request(url, None, None, caller)
        if record.status != "cloned":
            self._clones.wait(record, None, None)
        else:
            self._clones.update(record, caller.environment)
        return record.path


def _lines(folder: Path, inside: str | None = None) -> list[hosting.Listed]:
    """The URLs of a list: one on each line; # begins a comment. Raises UserError."""
    from recollect.sync import hosting

    path = folder / inside if inside is not None else folder
    real = Path(os.path.realpath(path))
    if inside is not None and Path(os.path.realpath(folder)) not in real.parents:
        raise UserError(
            f"{inside} does not lie in that repository",
            hint="Give the path of a file of that repository.",
            code="bad_list",
        )
    try:
        if real.stat().st_size > _LONGEST:
            raise UserError(f"{path} is too long for a list", hint="Split it.", code="bad_list")
        said = real.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: it cannot be read ({getattr(error, 'strerror', None) or error})",
            hint="Give a text file with an address on each line.",
            code="bad_list",
        ) from error
    urls: Sequence[str] = [
        line.split(" #")[0].strip() for line in said.splitlines() if not line.lstrip().startswith("#")
    ]
    return [hosting.Listed(url, url.rstrip("/").removesuffix(".git").rpartition("/")[2]) for url in urls if url]
