"""What `recollect doctor` looks at: the machine, this home, each repository."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from recollect import __version__, native
from recollect.errors import Corrupt, RecollectError, Unavailable
from recollect.index import syntax
from recollect.index.summary import folders_of
from recollect.model import Finding, SyncResult, SyncStatus
from recollect.store.catalog import Repository
from recollect.sync import git
from recollect.sync.watch import WATCHABLE, filesystem_of
from recollect.workspace import reports
from recollect.workspace.upkeep import Seen, Upkeep

_FREE_BYTES: Final = 1_000_000_000
_FILES_OF_OUR_OWN: Final = 200
_FILES_PER_INDEX: Final = 3  # while it is asked
_OLDEST_GIT: Final = (2, 25)
_LIMITS: Final = Path("/proc/sys/fs/inotify")


def findings(home: Path, known: Sequence[Repository], upkeep: Upkeep, notices: Sequence[str]) -> list[Finding]:
    """Everything that was looked at, the machine first."""
    seen = upkeep.look(known, attends=lambda: True)
    return [
        *_programs(),
        *_home(home),
        *_open_files(len(known)),
        *_watching(upkeep, known),
        *(finding for item in known for finding in _apart(item, upkeep, seen)),
        *(Finding("note", "notice", said) for said in notices),
    ]


def verdict(name: str, before: SyncResult, after: SyncResult) -> Finding:
    """What reading every file of a repository, just after a sync of it, says of its index."""
    if after.status != SyncStatus.COMPLETED:
        return Finding(
            "problem", name, f"the check ended as {after.status}", "Try again; recollect daemon logs has more."
        )
    wrong = after.new_files + after.modified_files + after.deleted_files
    rebuilt = [error.message for error in (*before.errors, *after.errors) if error.kind == "index_rebuilt"]
    if rebuilt:
        return Finding("problem", name, f"its index was damaged: {rebuilt[0]}", "It has been mended.")
    if wrong:
        said = f"{after.new_files} files were missing, {after.modified_files} out of date, {after.deleted_files} gone"
        return Finding(
            "problem", name, f"its index was wrong: {said}", "It has been mended; if it comes back, tell us."
        )
    return Finding("ok", name, f"its index holds exactly its {after.total_files} files")


def _programs() -> Iterator[Finding]:
    versions = f"Recollect {__version__}, Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
    yield Finding("ok", "versions", versions)
    try:
        said = (git.output(["version"], Path.home()) or b"").decode(errors="replace").strip()
    except Unavailable as error:
        yield Finding("problem", "git", error.message, "Install git: without it no ignore rules are known.")
        return
    digits = [int(part) for part in said.rpartition(" ")[2].split(".")[:2] if part.isdigit()]
    old = tuple(digits) < _OLDEST_GIT
    yield Finding("problem" if old else "ok", "git", said, "Install git 2.25 or newer." if old else "")
    if native.library is None:
        mend = "Install a C compiler and then Recollect again, if first syncs take you too long."
        yield Finding("note", "compiled parts", "there was no C compiler when Recollect was installed", mend)
    elif not syntax.is_compiled():
        yield Finding(
            "note", "compiled parts", "in use, but for syntax trees: they do not know this build of tree-sitter"
        )
    else:
        yield Finding("ok", "compiled parts", "in use")


def _home(home: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(home).free
    if free < _FREE_BYTES:
        yield Finding(
            "problem",
            "disk",
            f"only {free / 1e6:.0f} MB are free below {home}",
            "Free some space, or set RECOLLECT_HOME.",
        )
    else:
        yield Finding("ok", "disk", f"{free / 1e9:.0f} GB are free below {home}")
    mode = home.stat().st_mode & 0o777
    if mode & 0o077:
        yield Finding("problem", "permissions", f"others may look into {home}", f"chmod 700 {home}")
    for aside in sorted(home.glob("*.damaged-*.db")):
        said = f"{aside.name} was damaged and put aside; a new one was made of what could be had of it"
        yield Finding("note", "damage", said, f"If nothing is missing, delete it: {aside}")
    kind = filesystem_of(home)
    if kind not in WATCHABLE:
        mend = "Put the data directory on a local disk: RECOLLECT_HOME."
        yield Finding(
            "problem", "data directory", f"it lies on {kind}, where neither events nor locks can be relied on", mend
        )


def _open_files(repositories: int) -> Iterator[Finding]:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most != resource.RLIM_INFINITY and most < _FILES_OF_OUR_OWN + _FILES_PER_INDEX * repositories:
        said = f"{most} may be open, too few for a question about all {repositories} repositories at once"
        yield Finding("problem", "open files", said, "Raise the hard limit (ulimit -n), then: recollect daemon restart")


def _watching(upkeep: Upkeep, known: Sequence[Repository]) -> Iterator[Finding]:
    watcher = upkeep.watcher
    if watcher.unavailable is not None:
        yield Finding("problem", "watching", watcher.unavailable, _mend(watcher.unavailable))
        return
    most = _limit("max_user_watches")
    counts = f"{watcher.watches} watches" + (f" of {most} that a user may have" if most else "")
    tight = bool(most) and watcher.watches > 0.8 * most
    yield Finding("note" if tight else "ok", "watching", counts, _mend("max_user_watches") if tight else "")
    if watcher.overflows:
        said = (
            f"events came faster than they were read {watcher.overflows} times; everything was looked through each time"
        )
        yield Finding("note", "watching", said, "sudo sysctl fs.inotify.max_queued_events=65536")


def _apart(given: Repository, upkeep: Upkeep, seen: Seen) -> list[Finding]:
    """What there is to say of one repository, whatever ails it."""
    item = upkeep.current(given)
    try:
        return list(_repository(item, upkeep, seen))
    except (RecollectError, OSError) as error:
        return [Finding("problem", item.name, str(error), f"recollect sync {item.name}")]


def _repository(item: Repository, upkeep: Upkeep, seen: Seen) -> Iterator[Finding]:
    if item.missing:
        yield Finding("note", item.name, f"{item.path} is missing; its index is kept", f"recollect forget {item.name}")
        return
    if reports.is_too_large(item):
        yield Finding("note", item.name, "too large to be synced unasked", f"recollect sync {item.name}")
        return
    errors = (item.last_sync or {}).get("errors", [])
    if item.attempts:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(reports.failing_since(item)))
        syncs = "last sync" if item.attempts == 1 else f"last {item.attempts} syncs"
        said = f"its {syncs} failed, since {since}: {reports.failure_of(item)}"
        yield Finding("problem", item.name, said, f"recollect sync {item.name}")
    elif item.id in seen.failures:
        failure = seen.failures[item.id]
        yield Finding("problem", item.name, f"it cannot be looked at: {failure.message}", failure.hint)
    for error in errors[:5] if not item.attempts else ():
        unreadable = error["kind"] == "unreadable"
        mend = (
            f"Make it readable for {os.environ.get('USER', 'you')}, or leave it out in .recollectignore."
            if unreadable
            else ""
        )
        yield Finding("note", f"{item.name}/{error['path']}", f"{error['kind']}: {error['message']}", mend)
    reason = upkeep.watcher.reason(item.id)
    if item.id in seen.failures:
        return
    if item.tracked and upkeep.settings.auto_sync_auto_watch and reason is not None and item.last_sync is not None:
        yield Finding(
            "problem", item.name, f"not watched: {reason}; its files are checked at each question", _mend(reason)
        )
    try:
        folders_of(upkeep.folder(item.id))
    except (Corrupt, Unavailable) as error:
        yield Finding("problem", item.name, error.message, f"recollect sync {item.name}")


def _limit(name: str) -> int:
    try:
        return int((_LIMITS / name).read_text())
    except (OSError, ValueError):
        return 0


def _mend(reason: str) -> str:
    for name, value in (("max_user_watches", 1_048_576), ("max_user_instances", 512)):
        if name in reason:
            setting = f"fs.inotify.{name}={value}"
            return f"sudo sysctl {setting}; to keep it, put the line {setting} in /etc/sysctl.d/60-inotify.conf"
    return ""
