"""Find repositories below folders: by version control's marks, else by a project's files. Reads names, runs nothing.

Method: breadth first and in parallel, never into what is excluded; what is found is then surveyed (sizes, languages).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

from recollect import languages
from recollect.errors import Cancelled, RecollectError, Refused
from recollect.model import RepositoryInfo
from recollect.records import dataclass
from recollect.sync import git
from recollect.sync.ignore import Excluded, Patterns
from recollect.sync.tree import Problem, printable

_BARE_OWN: Final = frozenset(
    {"branches", "hooks", "info", "lfs", "logs", "modules", "objects", "refs", "worktrees"}
)  # git's folders
_VERSION_CONTROL: Final = {".git": "git", ".hg": "mercurial", ".svn": "svn"}
_PROJECT_FILES: Final = frozenset(
    """package.json pom.xml build.gradle build.gradle.kts cargo.toml go.mod requirements.txt pyproject.toml setup.py gemfile
    composer.json makefile cmakelists.txt .project .vscode .idea readme.md readme.rst readme.txt""".split()
)
_THREADS: Final = 8
_HANGS_S: Final = 20.0  # a listing, or the survey of one repository, that takes longer is no longer waited for
_Item = TypeVar("_Item")
_Seen = TypeVar("_Seen")
_SURVEYED: Final = 50_000  # entries of a repository that are looked at for its size and language
_USUAL: Final = (
    "src code projects Projects dev Developer work repos git github workspace go/src Documents/GitHub source/repos "
    "IdeaProjects PycharmProjects"
).split()


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds, as far as it tells what the folder is."""

    path: str
    folders: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Discovered:
    """`repositories`: largest first. `excluded`: folders that were not entered."""

    repositories: tuple[RepositoryInfo, ...]
    problems: tuple[Problem, ...]
    excluded: int = 0


@dataclass(slots=True)
class _Found:
    path: str
    kind: str
    indicators: tuple[str, ...]
    depth: int = 0


@dataclass(slots=True)
class _Candidates:
    version_controlled: list[_Found] = field(default_factory=list)
    projects: list[_Found] = field(default_factory=list)
    code_files: Counter[str] = field(default_factory=Counter)  # at and below each folder
    excluded: int = 0


def classify(listing: Listing) -> tuple[str, tuple[str, ...]] | None:
    """(type, what shows it) of the repository that a folder is; None where it is none. Type "unknown": a mere project."""
    for mark, kind in _VERSION_CONTROL.items():
        if mark in listing.folders or (mark == ".git" and mark in listing.files):
            return kind, (mark,)
    if "HEAD" in listing.files and {"objects", "refs"} <= set(listing.folders):
        return "git", ("bare",)
    names = (*listing.files, *listing.folders)
    shown = sorted(name for name in names if name.lower() in _PROJECT_FILES or name.endswith(".sln"))
    return ("unknown", tuple(shown)) if shown else None


def discover(
    roots: Sequence[Path],
    *,
    exclude: Sequence[str] = (),
    max_depth: int = 5,
    min_files: int = 3,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda found: None,
) -> Discovered:
    """The repositories at and below `roots`, `max_depth` levels deep. What cannot be read is a problem, no failure.

    Raises:
        Cancelled: `cancelled()` became true.
    """
    problems: list[Problem] = []
    candidates = _Candidates()
    spec = Excluded(exclude)
    starts = list(dict.fromkeys(os.path.realpath(os.path.expanduser(root)) for root in roots))
    inner = {start for start in starts if any(above in starts for above in _above(start))}
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="discover")
    try:
        for start in starts:
            if start not in inner:
                _walk(start, spec, max_depth, pool, candidates, problems, cancelled, progress)
        found = [*candidates.version_controlled, *_projects(candidates, min_files)]
        surveyed = list(_apart(pool, lambda item: _survey(item, spec), found, lambda item: item.path))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # a look at a dead mount may never return
    if cancelled():
        raise Cancelled("the scan was cancelled")
    infos = [item for item in surveyed if isinstance(item, RepositoryInfo)]
    problems += [item for item in surveyed if isinstance(item, Problem)]
    infos.sort(key=lambda info: (-info.size, info.path))
    return Discovered(tuple(infos), tuple(problems), candidates.excluded)


@lru_cache(maxsize=10_000)
def exclusion(path: str, roots: tuple[str, ...], exclude: tuple[str, ...]) -> str | None:
    """The pattern for which a search below `roots` does not enter a folder that holds `path`, or `path` itself.

    None: such a search gets there, or it does not lie below them.
    """
    holding = [root.rstrip("/") for root in roots if path.startswith(root.rstrip("/") + "/")]
    if not holding:
        return None
    start, spec, inside = min(holding, key=len), Excluded(exclude), ""
    for name in path[len(start) + 1 :].split("/"):
        inside = f"{inside}/{name}" if inside else name
        if spec.holds(inside):
            return next((pattern for pattern in exclude if _matches(pattern, inside)), name)
    return None


def _matches(pattern: str, path: str) -> bool:
    return pattern == path.rpartition("/")[2] or Patterns([pattern]).verdict(path, True) is True


def usual_folders(home: Path) -> list[Path]:
    """Folders in which people keep their repositories, as far as they are there."""
    return [home / name for name in _USUAL if os.path.isdir(home / name)]


def _walk(
    start: str,
    spec: Excluded,
    max_depth: int,
    pool: ThreadPoolExecutor,
    candidates: _Candidates,
    problems: list[Problem],
    cancelled: Callable[[], bool],
    progress: Callable[[int], None],
) -> None:
    level = [start]
    for depth in range(max_depth + 1):
        below: list[str] = []
        for listing in _apart(pool, _list, level, str):
            if cancelled():
                raise Cancelled("the scan was cancelled")
            if isinstance(listing, Problem):
                problems.append(listing)
                continue
            kind = classify(listing)
            bare = kind is not None and kind[1] == ("bare",)
            hidden = listing.path != start and os.path.basename(listing.path).startswith(".")
            if hidden and (kind is None or kind[0] == "unknown"):
                continue  # settings, caches: entered only where it is a repository itself
            if kind is not None:
                found = _Found(listing.path, *kind, depth)
                (candidates.projects if kind[0] == "unknown" else candidates.version_controlled).append(found)
                progress(len(candidates.version_controlled))
            code = sum(languages.detect(name).content == "code" for name in listing.files)
            for folder in (listing.path, *_above(listing.path)) if code else ():
                candidates.code_files[folder] += code
            # Some keep their work trees inside the bare repository that they are of.
            own = _BARE_OWN if bare else _VERSION_CONTROL
            below += (f"{listing.path.rstrip('/')}/{name}" for name in listing.folders if name not in own)
        prefix = len(start.rstrip("/")) + 1
        level = [path for path in below if not spec.holds(path[prefix:])]
        candidates.excluded += len(below) - len(level)


def _apart(
    pool: ThreadPoolExecutor, look: Callable[[_Item], _Seen], items: Sequence[_Item], path_of: Callable[[_Item], str]
) -> Iterator[_Seen | Problem]:
    """What each look returned; a problem for each that fails, or hangs: it keeps its thread, the others go on."""
    for item, future in [(item, pool.submit(look, item)) for item in items]:
        try:
            yield future.result(timeout=_HANGS_S)
        except FutureTimeout:
            message = f"its file system has not answered for {_HANGS_S:.0f} s"
            yield Problem(printable(path_of(item)), "unresponsive", message)
        except (RecollectError, OSError) as error:
            yield Problem(printable(path_of(item)), "unreadable", str(error))


def _list(path: str) -> Listing | Problem:
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(path) as listing:
            for item in listing:
                try:
                    (folders if item.is_dir(follow_symlinks=False) else files).append(item.name)
                except OSError:
                    continue
    except OSError as error:
        return Problem(printable(path), "unreadable", error.strerror or str(error))
    return Listing(path, tuple(folders), tuple(files))


def _projects(candidates: _Candidates, min_files: int) -> Iterator[_Found]:
    """Folders that are a project without version control, hold enough code, and hold no other repository.

    Deepest first, so that of nested ones the inner ones count; not those inside a repository under version control.
    """
    owned = {item.path for item in candidates.version_controlled}
    holding = {above for path in owned for above in _above(path)}
    for item in sorted(candidates.projects, key=lambda item: -item.depth):
        if item.path in holding or any(above in owned for above in _above(item.path)):
            continue
        if candidates.code_files[item.path] >= min_files:
            holding.update(_above(item.path))
            yield item


def _above(path: str) -> Iterator[str]:
    """The folders that hold a path, nearest first."""
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _survey(found: _Found, spec: Excluded) -> RepositoryInfo | Problem:
    """Size, main language and last change of a repository, from its first so many entries.

    A repository that git does not open, and so is not looked at, is a problem.
    """
    path, url = Path(found.path), None
    try:
        url = git.remote_url(path) if found.kind == "git" else None
    except Refused as error:
        return Problem(printable(found.path), error.code, f"{error.message}. {error.hint}")
    except RecollectError:  # git cannot look now: it is found all the same
        pass
    sizes: Counter[str] = Counter()
    total, newest, seen = 0, 0.0, 0
    waiting = [found.path]
    while waiting and seen < _SURVEYED:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                for item in listing:
                    seen += 1
                    if item.is_dir(follow_symlinks=False):
                        inner = f"{folder}/{item.name}"
                        if item.name not in _VERSION_CONTROL and not spec.holds(inner[len(found.path) + 1 :]):
                            waiting.append(inner)
                    elif item.is_file(follow_symlinks=False):
                        stat = item.stat(follow_symlinks=False)
                        total, newest = total + stat.st_size, max(newest, stat.st_mtime)
                        language = languages.detect(item.name)
                        if language.content == "code":
                            sizes[language.name] += stat.st_size
        except OSError:
            continue
    return RepositoryInfo(
        path=found.path,
        name=git.repository_name(path, url),
        type=found.kind,
        language=max(sizes, key=lambda name: (sizes[name], name)) if sizes else None,
        size=total,
        last_modified=newest or time.time(),
        indicators=found.indicators,
        url=url,
    )
