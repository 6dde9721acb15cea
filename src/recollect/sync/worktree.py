"""What differs between a work tree and a commit, found without having git read a file: that would run its filters.

Git tells what its index and its objects hold. Whether a file still is what the index says of it is decided here: by the
stat that the index keeps and, where that does not settle it, by the file's contents (`blob`).
"""

from __future__ import annotations

import os
import re
import stat as stats
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from recollect.errors import RecollectError, Unavailable, UserError, without_credentials
from recollect.sync import blob, git

_RACY_NS: Final = 50_000_000  # a file changed so shortly before the index was written may have changed again since
_ENTRY: Final = re.compile(
    rb"(\d{6}) ([0-9a-f]+) (\d)\t([^\0]*)\0  (ctime: \d+:\d+\n  mtime: \d+:\d+\n)  dev: \d+\t"
    rb"(ino: \d+\n  uid: \d+\tgid: \d+\n  size: \d+)\tflags: ([0-9a-f]+)\n"
)
_ENTRY_ONLY: Final = re.compile(rb"(\d{6}) ([0-9a-f]{40,64}) (\d)\t([^\0]*)\0")
_RAW: Final = re.compile(rb":(\d{6}) (\d{6}) ([0-9a-f]{40,64}) ([0-9a-f]{40,64}) [A-Z]\d*\0([^\0]*)\0")
_ASSUMED, _INTENT, _SKIPPED = 0x8000, 1 << 29, 1 << 30  # flags of an index entry (git's read-cache.h)
_LINK, _GITLINK = b"120000", b"160000"
_NOTHING: Final = b"000000"
_32: Final = 0xFFFF_FFFF  # what an index keeps of a number
_SECOND_NS: Final = 1_000_000_000
_TIMES: Final = b"ctime: %d:%d\n  mtime: %d:%d\n"  # as in _ENTRY
_NUMBERS: Final = b"ino: %d\n  uid: %d\tgid: %d\n  size: %d"

Blob = tuple[bytes, bytes]  # (mode, id), as git writes them


class _Entry(NamedTuple):
    mode: bytes
    id: bytes
    stage: bytes
    path: bytes
    times: bytes  # and the rest of what the index keeps of a stat, as git lists it; empty: not known
    numbers: bytes
    flags: int


class _Doubt(NamedTuple):
    """A file whose stat does not settle what it holds. `mode`: by its index entry; `wanted`: what it is compared with."""

    path: bytes
    stat: os.stat_result
    mode: bytes
    wanted: Blob


def changed_since(folder: Path, revision: str) -> set[str]:
    """Paths below `folder`, relative to it, that differ from `revision`: committed, not committed, or untracked.

    Raises:
        UserError: no such revision, or not a git work tree.
        Refused: the repository belongs to another user. Unavailable: git cannot tell.
    """
    if revision.startswith("-") or not revision.strip() or "\0" in revision:
        raise UserError(
            f"not a revision: {revision!r}",
            hint="A commit, branch or tag, for example HEAD~3 or main.",
            code="unknown_revision",
        )
    if git.work_tree_root(folder) is None:
        raise UserError(
            f"{folder} is not a git repository: nothing to compare a revision with",
            hint="Leave changed_since out for this one.",
            code="no_history",
        )
    commit = _commit(folder, revision)
    if commit is None:
        raise UserError(f"unknown revision: {revision}", hint="A commit, branch or tag.", code="unknown_revision")
    untracked = _output(["ls-files", "-z", "-o", "--exclude-standard"], folder).split(b"\0")
    changed = _differing(folder, _entries(folder), _staged(folder, commit))
    return {os.fsdecode(name) for name in (*changed, *untracked) if name}


def has_changes(folder: Path) -> bool:
    """Whether tracked files of a work tree, or its index, differ from its commit; so they do where git cannot tell."""
    try:
        commit = _commit(folder, "HEAD")
        entries = _entries(folder)
        if commit is None:
            return bool(entries)
        staged = _staged(folder, commit)
        return bool(staged) or next(_differing(folder, entries, staged), None) is not None
    except RecollectError:
        return True


def _commit(folder: Path, revision: str) -> str | None:
    found = git.output(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"], folder)
    return found.decode().strip() if found else None


def _output(arguments: list[str], folder: Path) -> bytes:
    done = git.run(arguments, folder)
    if done.returncode:
        last = without_credentials(done.stderr.decode(errors="replace")).strip().rpartition("\n")[2]
        raise Unavailable(
            f"git cannot tell what changed in {folder}: {last[:200]}",
            hint="Leave changed_since out, or run git status there to see what ails it.",
            code="git_failed",
        )
    return done.stdout


def _staged(folder: Path, commit: str) -> dict[bytes, tuple[Blob, Blob]]:
    """path → (blob in the commit, blob in the index), where they differ; the mode of one that is not there is zero."""
    arguments = ["diff-index", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--ignore-submodules=none"]
    output = _output([*arguments, "--relative", commit, "--", "."], folder)
    found = (match.groups() for match in _RAW.finditer(output))
    return {path: ((old_mode, old), (new_mode, new)) for old_mode, new_mode, old, new, path in found}


def _entries(folder: Path) -> list[_Entry]:
    """The entries of the index below a folder, with the stat that it keeps of each."""
    output = _output(["ls-files", "--stage", "--debug", "-z"], folder)
    entries: list[_Entry] = []
    end = 0
    for match in _ENTRY.finditer(output):
        if match.start() != end:
            break
        end = match.end()
        mode, id_, stage, path, times, numbers, flags = match.groups()
        entries.append(_Entry(mode, id_, stage, path, times, numbers, int(flags, 16)))
    if end == len(output):
        return entries
    # Git promises no form of that listing: of another one nothing is believed, and all files are read.
    output = _output(["ls-files", "--stage", "-z"], folder)
    found = (match.groups() for match in _ENTRY_ONLY.finditer(output))
    return [_Entry(mode, id_, stage, path, b"", b"", 0) for mode, id_, stage, path in found]


def _differing(folder: Path, entries: list[_Entry], staged: dict[bytes, tuple[Blob, Blob]]) -> Iterator[bytes]:
    """Tracked paths whose files differ from the commit."""
    base = os.fsencode(folder).rstrip(b"/") + b"/"
    written_ns = _index_written_ns(folder)
    folders: dict[bytes, bool] = {b"": True}
    doubts: list[_Doubt] = []
    for entry in entries:
        path = entry.path
        pair = staged.get(path)
        if entry.stage != b"0":
            yield path  # not merged
            continue
        if entry.flags & (_ASSUMED | _SKIPPED):  # somebody told git to believe the index
            if pair is not None:
                yield path
            continue
        wanted = pair[0] if pair is not None else (entry.mode, entry.id)
        if entry.flags & _INTENT and pair is None:
            wanted = (_NOTHING, b"")
        found = _lstat(base, path, folders)
        if found is not None and stats.S_ISDIR(found.st_mode) and entry.mode != _GITLINK:
            found = found if os.path.lexists(base + path + b"/.git") else None  # a folder has taken its place
        if entry.mode == _GITLINK:
            if _gitlink(base + path, found, entry) != wanted:
                yield path
        elif found is None:
            if wanted[0] != _NOTHING:
                yield path
        elif not entry.flags & _INTENT and _is_settled(entry, found, written_ns):
            if pair is not None:
                yield path
        elif wanted[0] == _NOTHING:
            yield path
        else:
            doubts.append(_Doubt(path, found, entry.mode, wanted))
    yield from (path for path, (_, now) in staged.items() if now[0] == _NOTHING)
    if doubts:
        yield from _decided(folder, base, doubts)


def _index_written_ns(folder: Path) -> int:
    root = git.work_tree_root(folder)
    own = git.git_folder(root) if root is not None else None
    try:
        return os.stat(own / "index").st_mtime_ns if own is not None else 0
    except OSError:
        return 0


def _lstat(base: bytes, path: bytes, folders: dict[bytes, bool]) -> os.stat_result | None:
    """A tracked file's stat; None where it is gone, also where a folder above it is no folder but a link."""
    above = path.rpartition(b"/")[0]
    if not _is_folder(base, above, folders):
        return None
    try:
        return os.lstat(base + path)
    except OSError:
        return None


def _is_folder(base: bytes, path: bytes, folders: dict[bytes, bool]) -> bool:
    known = folders.get(path)
    if known is None:
        known = _is_folder(base, path.rpartition(b"/")[0], folders)
        try:
            known = known and stats.S_ISDIR(os.lstat(base + path).st_mode)
        except OSError:
            known = False
        folders[path] = known
    return known


def _is_settled(entry: _Entry, found: os.stat_result, written_ns: int) -> bool:
    """Whether a file is what its index entry says, by its stat alone."""
    modified_ns, changed_ns = found.st_mtime_ns, found.st_ctime_ns
    if modified_ns >= written_ns - _RACY_NS:
        return False
    times = (
        changed_ns // _SECOND_NS & _32,
        changed_ns % _SECOND_NS,
        modified_ns // _SECOND_NS & _32,
        modified_ns % _SECOND_NS,
    )
    numbers = found.st_ino & _32, found.st_uid & _32, found.st_gid & _32, found.st_size & _32
    return entry.times == _TIMES % times and entry.numbers == _NUMBERS % numbers


def _gitlink(path: bytes, found: os.stat_result | None, entry: _Entry) -> Blob:
    """What a submodule is: the commit that it has checked out; what its entry says where it is not there."""
    if found is None:
        return _NOTHING, b""
    if not stats.S_ISDIR(found.st_mode):
        return (b"", b"")  # a file or a link has taken its place
    root = Path(os.fsdecode(path))
    head = git.head_in_files(root) if git.git_folder(root) is not None else None
    return (entry.mode, head.encode()) if head is not None else (entry.mode, entry.id)


def _decided(folder: Path, base: bytes, doubts: list[_Doubt]) -> Iterator[bytes]:
    """Those of the doubtful files that differ, by what they hold."""
    settings = _settings(folder)
    trusts_modes, has_links = settings.get("core.filemode") != "false", settings.get("core.symlinks") != "false"
    unlike: list[_Doubt] = []
    for doubt in doubts:
        mode = _mode(doubt, trusts_modes, has_links)
        if mode != doubt.wanted[0]:
            yield doubt.path
            continue
        data = blob.contents(base + doubt.path)
        if data is None or blob.blob_id(data, len(doubt.wanted[1])).encode() != doubt.wanted[1]:
            if data is None or mode == _LINK:
                yield doubt.path
            else:
                unlike.append(doubt)
    attributes = _attributes(folder, [doubt.path for doubt in unlike])
    autocrlf = settings.get("core.autocrlf", "false") in ("true", "input", "yes", "on", "1", "")
    for doubt in unlike:
        data = blob.contents(base + doubt.path)
        if data is None or not blob.could_be(data, doubt.wanted[1].decode(), attributes.get(doubt.path, {}), autocrlf):
            yield doubt.path


def _mode(doubt: _Doubt, trusts_modes: bool, has_links: bool) -> bytes:
    """The mode that git would record of a file."""
    found = doubt.stat.st_mode
    if stats.S_ISLNK(found):
        return _LINK
    if not stats.S_ISREG(found):
        return b""
    if not has_links and doubt.mode == _LINK:
        return _LINK
    if not trusts_modes and doubt.mode in (b"100644", b"100755"):
        return doubt.mode
    return b"100755" if found & stats.S_IXUSR else b"100644"


def _settings(folder: Path) -> dict[str, str]:
    output = git.output(["config", "-z", "--get-regexp", r"^core\.(filemode|symlinks|autocrlf)$"], folder) or b""
    pairs = (part.decode(errors="replace").partition("\n") for part in output.split(b"\0") if part)
    return {name.lower(): value.lower() for name, _, value in pairs}


def _attributes(folder: Path, paths: Iterable[bytes]) -> dict[bytes, dict[str, str]]:
    wanted = b"\0".join(paths)
    if not wanted:
        return {}
    done = git.run(["check-attr", "-z", "--stdin", *blob.ATTRIBUTES], folder, input=wanted + b"\0")
    parts = done.stdout.split(b"\0") if done.returncode == 0 else []
    found: dict[bytes, dict[str, str]] = {}
    for path, name, value in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        found.setdefault(path, {})[name.decode()] = value.decode(errors="replace")
    return found
