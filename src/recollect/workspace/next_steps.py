"""What explains an answer that disappoints, and the call that goes on: at most two of them, looked for only then.

Every look is bounded: file records up to `nearest.MOST_FILES`, one more search, one look at the disk.
"""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from typing import Final

from recollect import languages
from recollect.calls import NextCall, next_call
from recollect.errors import RecollectError, UserError
from recollect.index.skip import REASONS
from recollect.index.snapshot import FileInfo, Snapshot
from recollect.model import Hit, NextStep
from recollect.records import dataclass
from recollect.search import nearest, symbols
from recollect.search.filters import Filters, glob_pattern
from recollect.search.hits import Source
from recollect.search.query import SEPARATOR, parse
from recollect.store.catalog import Repository
from recollect.sync.beneath import Root
from recollect.sync.ignore import GitNames
from recollect.sync.tree import printable
from recollect.text import nearest as nearest_words
from recollect.workspace.arguments import did_you_mean
from recollect.workspace.registry import Target

_MOST_STEPS: Final = 2
_NAMED: Final = 5  # languages, files of a folder and the like in one sentence
_MOST_MODULES: Final = 200  # submodules that are looked at
_MOST_BYTES: Final = 100_000  # of .gitmodules
_MOST_USERS: Final = 200  # files that are looked through for uses of a name
_LONGEST_ENDING: Final = 12  # letters of a file name's ending that is one
_WILDCARDS: Final = "*?[{"
Repositories = str | Sequence[str] | None
Search = Callable[[Filters, str], Sequence[Hit]]
"""Hits of the same question with other filters, or as another expression."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A search as its caller asked it."""

    query: str
    repositories: Repositories = None
    language: str | Sequence[str] | None = None
    path_glob: str | Sequence[str] | None = None
    content: str = "code"
    mode: str = "hybrid"
    changed_since: str | None = None

    def again(self, **changes: object) -> NextCall:
        """The call of the same search with these arguments changed; None leaves one out."""
        arguments: dict[str, object] = {
            "query": self.query,
            "repository": _plain(self.repositories),
            "language": _plain(self.language),
            "path_glob": _plain(self.path_glob),
            "content": self.content if self.content != "code" else None,
            "mode": self.mode if self.mode != "hybrid" else None,
            "changed_since": self.changed_since,
        }
        return next_call("search_code", **(arguments | changes))


def _plain(value: str | Sequence[str] | None) -> str | list[str] | None:
    if value is None or isinstance(value, str):
        return value or None
    return value[0] if len(value) == 1 else list(value) or None


# -- a search without hits ----------------------------------------------------------------------------------------------


def after_search(
    asked: Asked,
    filters: Filters,
    sources: Sequence[tuple[Target, Source]],
    search: Search,
    others: int,
) -> tuple[NextStep, ...]:
    """Of a search that found nothing. `others`: how many known repositories it did not look through."""
    step = _emptied(asked, filters, sources) or _found_otherwise(asked, filters, search)
    steps = [step] if step is not None else []
    if others and len(steps) < _MOST_STEPS:
        count = f"{others} other repositories are known" if others > 1 else "One other repository is known"
        steps.append(NextStep(count, asked.again(repository="*")))
    if step is None:
        steps += _left_out([target.repository for target, _ in sources])
    return tuple(steps[:_MOST_STEPS])


def _emptied(asked: Asked, filters: Filters, sources: Sequence[tuple[Target, Source]]) -> NextStep | None:
    """The first filter that leaves no file to look through, and what there is instead."""
    files = list(islice(_files(sources), nearest.MOST_FILES))
    left = [(number, info) for number, info in files if info.status == "indexed"]
    if not left:
        return NextStep(f"No file of {_names(sources)} is indexed{_by_reason(info for _, info in files)}")
    inside = [(number, info) for number, info in left if _is_below(info.path, sources[number][0].below)]
    if not inside:
        return _nothing_below(asked, next(target for target, _ in sources if target.below), files, sources)
    if asked.changed_since is not None and filters.paths is not None:
        left = [(number, info) for number, info in inside if info.path in (filters.paths[number] or ())]
        if not left:
            text = f"No indexed file differs from {asked.changed_since}"
            return NextStep(text, asked.again(changed_since=None))
        inside = left
    if filters.globs:
        pattern = glob_pattern(*filters.globs)
        left = [(number, info) for number, info in inside if pattern.match(_encodable(info.path))]
        if not left:
            return _nothing_matches(asked, filters.globs, files, sources)
        inside = left
    if filters.languages:
        left = [(number, info) for number, info in inside if info.language in filters.languages]
        if not left:
            known = _most(info.language for _, info in inside)
            text = f"No {' or '.join(sorted(filters.languages))} file is there; there are: {known}"
            return NextStep(text, asked.again(language=None))
        inside = left
    if filters.content != "all" and not any(info.content == filters.content for _, info in inside):
        known = _most(info.content for _, info in inside)
        return NextStep(f"No file there is {filters.content}; there are: {known}", asked.again(content="all"))
    return None


def _found_otherwise(asked: Asked, filters: Filters, search: Search) -> NextStep | None:
    """The same question with a change that finds something."""
    if asked.mode == "regex":
        with suppress(UserError):
            expression = f"(?i){asked.query}"
            hits = search(filters, expression)
            if hits:
                return NextStep(f"{_count(len(hits), 'file')} match in another case", asked.again(query=expression))
    elif not parse(asked.query).terms:
        call = asked.again(query=re.escape(asked.query).replace("\\ ", " "), mode="regex")
        return NextStep("The query has no word to look for; an expression finds exact characters", call)
    if filters.content != "all":
        hits = search(replace(filters, content="all"), asked.query)
        if hits:
            kinds = _most(languages.LANGUAGES.get(hit.language, languages.UNKNOWN).content for hit in hits)
            return NextStep(f"{_count(len(hits), 'file')} in {kinds}", asked.again(content="all"))
    if asked.mode == "regex" and not filters.globs and not filters.languages:
        return NextStep("As words rather than as an expression", asked.again(mode=None))
    return None


def _nothing_below(
    asked: Asked,
    target: Target,
    files: Sequence[tuple[int, FileInfo]],
    sources: Sequence[tuple[Target, Source]],
) -> NextStep:
    skipped = [
        info for number, info in files if sources[number][0].below and _is_below(info.path, sources[number][0].below)
    ]
    if skipped:
        return NextStep(f"No file below {printable(target.below)} is indexed{_by_reason(skipped)}")
    found = _left_out_at(target.repository, target.below, asked)
    return found or NextStep(
        f"No file below {printable(target.below)} is indexed", asked.again(repository=target.repository.name)
    )


def _nothing_matches(
    asked: Asked,
    globs: Sequence[str],
    files: Sequence[tuple[int, FileInfo]],
    sources: Sequence[tuple[Target, Source]],
) -> NextStep:
    """Of path globs that match no indexed file: why, or the one that was meant."""
    shown = ", ".join(globs[:3])
    pattern = glob_pattern(*globs)
    skipped = [info for _, info in files if info.status != "indexed" and pattern.match(_encodable(info.path))]
    if skipped:
        return NextStep(f"{shown} matches only files that are not indexed{_by_reason(skipped)}")
    paths = [info.path for _, info in files if info.status == "indexed"]
    for glob in globs:
        for target, source in sources:
            relative = glob.strip().removeprefix(os.fspath(source.root) + "/")
            if relative != glob.strip():
                return NextStep("Globs are relative to the repository", asked.again(path_glob=relative))
            left_out = _left_out_at(target.repository, _fixed(glob), asked) if _fixed(glob) else None
            if left_out is not None:
                return left_out
        meant = _glob_meant(glob, paths)
        if meant is not None:
            return NextStep(f"{glob} matches no file. {did_you_mean([meant])}", asked.again(path_glob=meant))
    fixed = _fixed(globs[0])
    below = [path for path in paths if _is_below(path, fixed)]
    place = f"below {printable(fixed)}" if fixed and below else "there"
    text = f"{shown} matches no file; {place} are: {_most(_endings(below or paths))}"
    return NextStep(text, asked.again(path_glob=None))


def _glob_meant(glob: str, paths: Sequence[str]) -> str | None:
    """A similar glob that matches a path."""
    plain = glob.strip().removeprefix("./").strip("/")
    fixed = _fixed(plain)
    rest = plain[len(fixed) :].lstrip("/")
    if not rest:  # no wildcard: a folder, or a file that lies elsewhere
        name = plain.rpartition("/")[2]
        names = dict.fromkeys(path.rpartition("/")[2] for path in paths)
        tried = [f"{plain}/**", f"**/{plain}", f"**/{name}"]
        tried += [f"**/{close}" for close in nearest_words(name, names, 1, 0.75)]
        tried += [f"{folder}/**" for folder in nearest.folders(paths, plain)]
    else:
        tried = [f"{fixed}/**/{rest}" if fixed else f"**/{rest}", f"**/{plain}"]
        tried += [f"{folder}/{rest}" for folder in (nearest.folders(paths, fixed) if fixed else ())]
    for candidate in tried:
        pattern = glob_pattern(candidate)
        if any(pattern.match(_encodable(path)) for path in paths):
            return printable(candidate)
    return None


def _fixed(glob: str) -> str:
    """The folders at the beginning of a glob that hold no wildcard, or all of a glob without any."""
    plain = glob.strip().removeprefix("./").strip("/")
    at = min((plain.index(mark) for mark in _WILDCARDS if mark in plain), default=-1)
    return plain if at < 0 else plain[:at].rpartition("/")[0]


# -- what is left out -------------------------------------------------------------------------------------------------


def _left_out_at(repository: Repository, path: str, asked: Asked) -> NextStep | None:
    """Why a folder or file of a repository is in no index, where another repository or git is the reason."""
    with suppress(OSError, RecollectError):
        for inside in _nested(repository):
            if _is_below(path, inside):
                place = os.fspath(repository.path / inside)
                text = f"{printable(inside)} is a repository of its own"
                return NextStep(text, asked.again(repository=printable(place), path_glob=None))
        for module in _absent_submodules(repository):
            if _is_below(path, module):
                command = f"git submodule update --init -- {shlex.quote(printable(module))}"
                return NextStep(f"{printable(module)} is a submodule that is not checked out: {command}")
        with Root(repository.path) as root:
            is_there = root.exists(path)
        if is_there and repository.type == "git" and GitNames(repository.path).ignored([path]):
            return NextStep(f"Git ignores {printable(path)}; a `!` pattern in .recollectignore takes it back in")
    return None


def _left_out(repositories: Iterable[Repository]) -> list[NextStep]:
    """What lies in the folders of repositories and is no part of them."""
    steps = []
    for repository in islice(repositories, 1):
        nested, absent = _nested(repository), _absent_submodules(repository)
        if nested:
            names = ", ".join(map(printable, nested[:_NAMED]))
            call = next_call("sync_repository", repository=printable(os.fspath(repository.path / nested[0])))
            steps.append(NextStep(f"Repositories inside are searched by themselves: {names}", call))
        if absent:
            names = ", ".join(map(printable, absent[:_NAMED]))
            steps.append(NextStep(f"Submodules that are not checked out: {names} (git submodule update --init)"))
    return steps


def _nested(repository: Repository) -> list[str]:
    return [str(path) for path in (repository.last_sync or {}).get("nested_repositories", ())]


def _absent_submodules(repository: Repository) -> list[str]:
    """Paths of the submodules that the repository names and that are not checked out."""
    with suppress(OSError, RecollectError), Root(repository.path) as root:
        if not root.exists(".gitmodules"):
            return []
        lines = root.read(".gitmodules")[:_MOST_BYTES].decode("utf-8", "surrogateescape").splitlines()
        named = (line.partition("=") for line in lines)
        paths = [value.strip().strip('"') for key, _, value in named if key.strip() == "path"]
        return [path for path in paths[:_MOST_MODULES] if path and not root.exists(f"{path}/.git")]
    return []


# -- a symbol that is not defined --------------------------------------------------------------------------------------


def after_symbol(
    asked: str, kind: str | None, sources: Sequence[Source], repositories: Repositories, others: int, references: bool
) -> tuple[NextStep, ...]:
    """Of a name without a definition. `others`: how many known repositories were not looked through."""
    repository = _plain(repositories)
    *outer, name = [part for part in SEPARATOR.split(asked.removesuffix("()")) if part] or [asked]
    step = _of_another_kind(asked, kind, sources, repository) if kind is not None else None
    if step is None and outer:
        definitions, _ = symbols.symbol_hits(name, sources, kind, False, _NAMED)
        names = list(dict.fromkeys(hit.qualified_name for hit in definitions if hit.name.lower() == name.lower()))
        names.sort(key=lambda found: nearest_words(asked, [found]) == [])  # the similar ones first
        if names:
            call = next_call("find_symbol", name=names[0], repository=repository)
            step = NextStep(f"{name} is defined as {' and '.join(names[:3])}", call)
    if step is None and not references and symbols.is_used(sources, name, _MOST_USERS):
        call = next_call("find_symbol", name=name, references=True, repository=repository)
        step = NextStep(f"{name} is used here and defined elsewhere", call)
    step = step or _misspelt(name, outer, sources, repository)
    step = step or NextStep("By its words", next_call("search_code", query=asked, repository=repository))
    if not others:
        return (step,)
    call = next_call("find_symbol", name=asked, repository="*")
    return (step, NextStep("Other repositories are known", call))


def _of_another_kind(
    asked: str, kind: str, sources: Sequence[Source], repository: str | list[str] | None
) -> NextStep | None:
    known = [str(row[0]) for source in sources for row in source.snapshot.rows("SELECT name FROM kinds")]
    close = nearest_words(kind, known) if kind not in known else []
    if close:
        call = next_call("find_symbol", name=asked, kind=close[0], repository=repository)
        return NextStep(f"No symbol here is a {kind}. {did_you_mean(close)}", call)
    definitions, _ = symbols.symbol_hits(asked, sources, None, False, _NAMED)
    if not definitions:
        return None
    kinds = " and ".join(dict.fromkeys(f"{hit.qualified_name} ({hit.kind})" for hit in definitions[:3]))
    call = next_call("find_symbol", name=asked, repository=repository)
    return NextStep(f"Of another kind than {kind}: {kinds}", call)


def _misspelt(
    name: str, outer: Sequence[str], sources: Sequence[Source], repository: str | list[str] | None
) -> NextStep | None:
    found = nearest.symbols(sources, name, outer=outer)
    if not found:
        return None
    places = [
        f"{item.qualified_name} ({printable(source.snapshot.files[item.file_id].path)}:{item.start_line})"
        for source, item in found
        if item.file_id in source.snapshot.files
    ]
    best = found[0][1]
    call = next_call("find_symbol", name=best.qualified_name if outer else best.name, repository=repository)
    return NextStep(did_you_mean(places), call)


# -- paths ------------------------------------------------------------------------------------------------------------


def of_focus(
    unknown: Sequence[str], focus: Sequence[str], source: Source, repository: str | None, max_tokens: int
) -> tuple[NextStep, ...]:
    """Of what a map was to be centred on and is nothing here."""
    meant = {}
    for item in unknown[:_NAMED]:
        known = list(nearest.indexed_paths(source.snapshot))
        close = nearest.paths(source.snapshot, item, 1) or nearest.folders(known, item, 1)
        close = close if "." in item or "/" in item else []
        close = (
            close or [found.name for _, found in nearest.symbols([source], item, 1)] or nearest.folders(known, item, 1)
        )
        if close:
            meant[item] = printable(close[0])
    if not meant:
        return ()
    call = next_call(
        "get_repo_map",
        repository=repository,
        max_tokens=max_tokens if max_tokens != 4000 else None,
        focus=[meant.get(item, item) for item in focus],
    )
    return (NextStep(did_you_mean(list(meant.values())), call),)


def no_such_file(
    repository: Repository, snapshot: Snapshot | None, path: str, tool: str = "read_code", **arguments: object
) -> UserError:
    """What is said of a path that is no file of a repository, with the nearest that there is. `arguments`: of the call."""
    named, shown = repository.name, printable(path)
    message = f"there is no {shown} in {named}"
    close = nearest.paths(snapshot, path) if snapshot is not None else []
    if close:
        return UserError(
            message,
            hint=did_you_mean([printable(item) for item in close]),
            code="no_such_file",
            call=next_call(tool, path=printable(close[0]), repository=named, **arguments),
        )
    hint, call = "", next_call("search_code", query=path.rpartition("/")[2], repository=named, content="all")
    folder = path.rpartition("/")[0]
    if snapshot is not None and folder and (files := files_below(snapshot, folder)):
        hint = f"{printable(folder)} holds {_listed([file[len(folder) + 1 :] for file in files])}"
        call = next_call("get_repo_map", repository=named, focus=[printable(folder)])
    return UserError(message, hint=hint or "Look for it by its name", code="no_such_file", call=call)


def is_a_folder(repository: Repository, snapshot: Snapshot | None, path: str) -> UserError:
    """What is said to someone who wants to read a folder."""
    files = files_below(snapshot, path) if snapshot is not None else []
    call = next_call("get_repo_map", repository=repository.name, focus=[printable(path)]) if files else None
    hint = f"It holds {_listed([file[len(path) + 1 :] for file in files])}" if files else "Give the path of a file."
    return UserError(f"{printable(path)} is a folder", hint=hint, code="is_a_folder", call=call)


def files_below(snapshot: Snapshot, folder: str) -> list[str]:
    """Indexed files of a folder, its own before those of folders inside. `folder`: without a slash at its ends."""
    inside = (path for path in nearest.indexed_paths(snapshot) if path.startswith(f"{folder}/"))
    return [printable(path) for path in sorted(inside, key=lambda path: (path.count("/"), path))]


def _endings(paths: Iterable[str]) -> Iterator[str]:
    """What names of files end with, as globs."""
    ends = (path.rpartition("/")[2].rpartition(".") for path in paths)
    return (f"*.{end}" for name, _, end in ends if name and end.isalnum() and len(end) <= _LONGEST_ENDING)


# -- words ------------------------------------------------------------------------------------------------------------


def _files(sources: Sequence[tuple[Target, Source]]) -> Iterator[tuple[int, FileInfo]]:
    each = (((number, info) for info in source.snapshot.files.values()) for number, (_, source) in enumerate(sources))
    return chain.from_iterable(each)


def _names(sources: Sequence[tuple[Target, Source]]) -> str:
    return ", ".join(source.name for _, source in sources[:_NAMED]) or "what was asked about"


def _by_reason(files: Iterable[FileInfo]) -> str:
    """` (2 binary, 1 too large: …)`: how many files are skipped for which reason; empty if there are none."""
    reasons = Counter(info.reason or info.status for info in files if info.status != "indexed")
    if not reasons:
        return ""
    if len(reasons) == 1:
        (reason,) = reasons
        return f" ({reason}: {REASONS.get(reason, reason)})"
    return f" ({', '.join(f'{count} {reason}' for reason, count in reasons.most_common(_NAMED))})"


def _most(words: Iterable[str]) -> str:
    """The most frequent words with their counts."""
    return ", ".join(f"{word} ({count})" for word, count in Counter(words).most_common(_NAMED))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def _is_below(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _encodable(path: str) -> str:
    return path if path.isascii() else path.encode("utf-8", "replace").decode()
