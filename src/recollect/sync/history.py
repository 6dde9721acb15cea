"""The commits behind the checked out one: what was said when which files were changed. Reads no contents of files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from recollect.sync import git

COMMITS: Final = 20_000  # newest ones, without merges
MOST_FILES: Final = 8  # of a commit: what changes more says little about each
_SUBJECT: Final = 200  # characters
_ID: Final = 16  # hexadecimal digits, as ids are kept
_FORMAT: Final = "%x01%H%x00%s"


class Commit(NamedTuple):
    """`files`: paths (surrogate-escaped, below the synced folder) that it changed; `moved`: (old, new) of equal content."""

    subject: str
    files: tuple[str, ...]
    moved: tuple[tuple[str, str], ...] = ()


Log = dict[str, Commit]
"""Commit id → commit, newest first; ids stand for commits that say nothing about the synced folder too."""


def read(root: Path, known: Mapping[str, Commit]) -> Log | None:
    """The history of the folder `root`; only commits that are not `known` are looked at. None: there is none to be had.

    Raises:
        Unavailable: git is not installed, or takes too long.
    """
    prefix = git.output(("rev-parse", "--show-prefix"), root)
    listed = git.output(("rev-list", "--no-merges", f"-n{COMMITS}", "HEAD", "--"), root)
    if prefix is None or listed is None:
        return None
    ids = listed.decode().split()
    new = [name for name in ids if name[:_ID] not in known]
    found = _commits(root, new, prefix.rstrip(b"\n")) if new else {}
    if found is None:
        return None
    nothing = Commit("", ())
    return {name: known.get(name) or found.get(name, nothing) for name in (full[:_ID] for full in ids)}


def _commits(root: Path, ids: list[str], prefix: bytes) -> Log | None:
    asked = (
        "diff-tree",
        "--stdin",
        "-r",
        "--root",
        "--no-renames",
        "--raw",
        "--no-abbrev",
        "-z",
        f"--format={_FORMAT}",
    )
    said = git.run((*asked, "--no-relative"), root, input="\n".join(ids).encode() + b"\n")
    blocks = said.stdout.split(b"\x01")[1:]
    if said.returncode:
        if b"promisor remote" not in said.stderr:
            return None
        blocks = blocks[:-1]  # a partial clone: what it left out says nothing, and is not asked for again
    found: Log = {}
    for block in blocks:
        name, subject, *rest = block.split(b"\0")
        commit = _commit(subject, [part.lstrip(b"\n") for part in rest], prefix)
        if commit is not None:
            found[name[:_ID].decode()] = commit
    return found


def _commit(subject: bytes, entries: list[bytes], prefix: bytes) -> Commit | None:
    """From the raw lines `:mode mode old-id new-id status`, each followed by its path."""
    gone: dict[bytes, bytes] = {}  # content → path
    added: dict[bytes, bytes] = {}
    changed: list[bytes] = []
    for head, path in zip(entries[::2], entries[1::2], strict=False):
        fields = head.split()
        if len(fields) != 5:
            continue
        if fields[4] == b"D":
            gone[fields[2]] = path
        elif fields[4] == b"A":
            added[fields[3]] = path
        changed.append(path)
    same = gone.keys() & added.keys()
    moved = [(gone[content], added[content]) for content in sorted(same)]
    still = {path for pair in moved for path in pair}
    own = [path for path in changed if path not in still]
    here = [_below(path, prefix) for path in own if path.startswith(prefix)] if len(own) <= MOST_FILES else []
    within = [(_below(a, prefix), _below(b, prefix)) for a, b in moved if a.startswith(prefix) and b.startswith(prefix)]
    if not here and not within:
        return None
    words = subject.decode("utf-8", "replace")[:_SUBJECT] if here else ""
    return Commit(words, tuple(here), tuple(within))


def _below(path: bytes, prefix: bytes) -> str:
    return path[len(prefix) :].decode("utf-8", "surrogateescape")


def dump(log: Log) -> str:
    """As text, for keeping. `load` reads it."""
    rows = [(name, *commit) if commit.files or commit.moved else (name,) for name, commit in log.items()]
    return json.dumps(rows, separators=(",", ":"))


def load(kept: str) -> Log:
    """Raises ValueError, TypeError where it is not what `dump` made."""
    log: Log = {}
    for name, *rest in json.loads(kept):
        if rest:
            subject, files, moved = rest
            log[name] = Commit(subject, tuple(files), tuple((old, new) for old, new in moved))
        else:
            log[name] = Commit("", ())
    return log
