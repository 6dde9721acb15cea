"""What can be asked of repositories: every answer comes from snapshots, and says what it reflects."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from recollect.calls import next_call
from recollect.errors import Corrupt, RecollectError, Refused, Unavailable, UserError
from recollect.index.snapshot import Snapshot
from recollect.jobs.library import Library
from recollect.model import (
    CodeResult,
    CriticalFiles,
    FileImportance,
    Freshness,
    Hit,
    NextStep,
    RepoMap,
    SearchResult,
    SymbolResult,
)
from recollect.search import find, nearest, regex, repo_map
from recollect.search.budget import fitted
from recollect.search.filters import Filters
from recollect.search.hits import Shape, Source
from recollect.search.query import parse
from recollect.search.related import related
from recollect.search.symbols import outline, symbol_hits
from recollect.store.catalog import Catalog, Repository
from recollect.store.database import translated
from recollect.sync import worktree
from recollect.sync.tree import printable
from recollect.workspace import arguments, next_steps, reading, reports
from recollect.workspace.locations import Location, readings
from recollect.workspace.places import Caller
from recollect.workspace.registry import Registry, Target
from recollect.workspace.upkeep import Upkeep

_FIRST_MAP_S: Final = 10.0
_LONGEST_REPEATED: Final = 2000  # characters of a question that its answer repeats
_LOOKED_INTO: Final = 20  # repositories, for a path like one that none of them holds
_WITHHELD: Final = frozenset({"secret", "hard_link", "never", "special", "binary", "folder"})  # not read out either
_DAMAGES: Final = 2  # that one question gets over
_MOST_MAP_TOKENS: Final = 200_000  # more than any model reads at once
Repositories = str | Sequence[str] | None
Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def _patient(question: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """Ask again where an index turns out to be damaged: it is being made again then, which the answer says."""

    @wraps(question)
    def ask(*arguments: Asked.args, **options: Asked.kwargs) -> Answer:
        for _ in range(_DAMAGES):
            with suppress(Corrupt):
                return question(*arguments, **options)
        return question(*arguments, **options)

    return ask


class Questions:
    """The asking half of a `Workspace`, which makes these parts."""

    _catalog: Catalog
    _registry: Registry
    _upkeep: Upkeep
    _library: Library

    @_patient
    def search(
        self,
        query: str,
        repositories: Repositories = None,
        limit: int = 10,
        *,
        caller: Caller = Caller(),
        language: str | Sequence[str] | None = None,
        path_glob: str | Sequence[str] | None = None,
        content: str = "code",
        mode: str = "hybrid",
        changed_since: str | None = None,
        snippet_lines: int = 12,
        max_tokens: int | None = None,
        chunks: bool = False,
        explain: bool = False,
    ) -> SearchResult:
        """Find code. Hits are files by their best chunk, or (`chunks`) chunks; best first. `mode` "regex": files that
        match the expression, by their first match.

        Raises:
            UserError: an empty question, an unknown repository, language, content or revision.
            Refused: a path that may not be read.
        """
        started = time.perf_counter()
        asked = arguments.question(query)
        filters = arguments.filters(language, path_glob, content, mode)
        changed_since = arguments.revision(changed_since)
        shape = arguments.shape(limit, snippet_lines, max_tokens, chunks, explain)
        expression = regex.compiled(asked) if mode == "regex" else None
        targets = self._registry.targets(repositories, caller)
        if not targets:
            raise _nothing_known()
        with self._answering(targets, caller) as (sources, freshness):
            chosen, failures = self._narrowed(filters, targets, sources, changed_since)
            if failures:
                more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
                freshness = replace(freshness, fresh=False, reason=f"not looked through: {failures[0]}{more}")
            if expression is not None:
                matched = regex.search(expression, [source for _, source in sources], chosen, shape)
                if matched.incomplete:
                    freshness = replace(freshness, fresh=False, reason=matched.incomplete)
                hits, vectors = matched.hits, None
            else:
                shown = [source for _, source in sources]
                cosines, vectors = self._upkeep.vectors.asked(asked, [source.snapshot for source in shown])
                hits = find.find(parse(asked), shown, chosen, shape, cosines)
                for target, source in sources:
                    self._upkeep.prepare(target.repository.id, source.snapshot)
            steps: tuple[NextStep, ...] = ()
            if not hits and not freshness.partial and (expression is None or matched.incomplete is None):
                as_asked = next_steps.Asked(asked, repositories, language, path_glob, content, mode, changed_since)
                steps = self._after_search(as_asked, chosen, sources, targets)
        result = _result(asked, started, freshness, hits, shape)
        return replace(result, vectors=vectors, next_steps=steps or None)

    @_patient
    def symbol(
        self,
        name: str,
        repositories: Repositories = None,
        *,
        caller: Caller = Caller(),
        kind: str | None = None,
        references: bool = False,
        limit: int = 20,
    ) -> SymbolResult:
        """Where a name is defined, and (`references`) where it is used. `Class.method` and prefixes work too."""
        started = time.perf_counter()
        asked = arguments.question(name).strip()
        targets = self._registry.targets(repositories, caller)
        if not targets:
            raise _nothing_known()
        with self._answering(targets, caller) as (sources, freshness):
            found = symbol_hits(
                asked,
                [source for _, source in sources],
                arguments.kind(kind),
                references,
                max(1, min(limit, arguments.MOST_HITS)),
            )
            steps: tuple[NextStep, ...] = ()
            if not any(found) and not freshness.partial:
                shown = [source for _, source in sources]
                steps = next_steps.after_symbol(
                    asked, arguments.kind(kind), shown, repositories, self._others(targets), references
                )
        return SymbolResult(asked[:500], _since(started), freshness, *found, steps or None)

    @_patient
    def outline(self, path: str, *, repository: str | None = None, caller: Caller | None = None) -> SymbolResult:
        """The definitions of one file, in its order. Raises UserError: it is not indexed."""
        caller = caller if caller is not None else Caller(cwd=os.getcwd())
        started = time.perf_counter()
        found, place = self._located(path, repository, caller)
        inside = reading.inside(found, place.path)
        with self._answering([Target(found)], caller) as (sources, freshness):
            if not sources:
                raise _nothing_indexed(freshness)
            info = sources[0][1].snapshot.find(inside)
            if info is None or info.status != "indexed":
                raise self._not_indexed(found, sources[0][1].snapshot, inside)
            definitions = outline(sources[0][1], info.id)
        return SymbolResult(printable(inside), _since(started), freshness, definitions)

    @_patient
    def related(
        self,
        path: str,
        line: int | None = None,
        *,
        repository: str | None = None,
        caller: Caller | None = None,
        limit: int = 10,
        snippet_lines: int = 12,
        max_tokens: int | None = None,
    ) -> SearchResult:
        """Code elsewhere that is like the code at a line: tests of it, other implementations, copies.

        Without `repository` in the file's own; with "*" in all. `path` may name the line: `path:12`.
        Raises UserError: no such file or line.
        """
        caller = caller if caller is not None else Caller(cwd=os.getcwd())
        started = time.perf_counter()
        everywhere = repository == "*"
        found, place = self._located(path, None if everywhere else repository, caller)
        line = line if line is not None else place.first_line
        if line is None:
            raise UserError("line is required", hint=f'Or give it with the path: "{path}:12"', code="invalid_argument")
        inside = reading.inside(found, place.path)
        targets = self._registry.targets("*", caller) if everywhere else [Target(found)]
        with self._answering(targets, caller) as (sources, freshness):
            own = next((source for target, source in sources if target.repository.id == found.id), None)
            if own is None:
                raise _nothing_indexed(freshness)
            info = own.snapshot.find(inside)
            if info is None or info.status != "indexed":
                raise self._not_indexed(found, own.snapshot, inside, tool="find_related", line=line)
            shown = [source for _, source in sources]
            shape = arguments.shape(limit, snippet_lines, max_tokens, chunks=False, explain=False)
            hits = related(own, info, line, shown, shape.limit, shape.lines_of_each())
        return _result(f"like {printable(inside)}:{line}", started, freshness, hits, shape)

    @_patient
    def map(
        self,
        repository: str | None = None,
        max_tokens: int = 4000,
        focus: Sequence[str] = (),
        *,
        caller: Caller | None = None,
    ) -> RepoMap:
        """The most important definitions as an outline of files. `focus`: paths, folders or symbols to centre it on.

        Raises:
            UserError: not one repository. Unavailable: it is being made for the first time.
        """
        started = time.perf_counter()
        if not isinstance(max_tokens, int) or max_tokens < 50:
            raise UserError("max_tokens must be at least 50", hint="Leave it out for 4000.", code="out_of_range")
        focus, max_tokens = arguments.names_of(focus, "focus"), min(max_tokens, _MOST_MAP_TOKENS)
        with self._mapped(repository, caller) as (target, source, graph, freshness):
            focus = [_path_meant(item, source) for item in focus]
            centre, unknown = repo_map.focus_of(source.snapshot, graph, focus)
            made = repo_map.outline(source.snapshot, graph, centre, max_tokens)
            return RepoMap(
                repository=source.name,
                map=made.text,
                tokens=(len(made.text) + 3) // 4,
                files=made.files,
                files_total=len(graph.usage.file_id),
                definitions=made.definitions,
                definitions_total=len(graph.usage.def_file),
                freshness=freshness,
                took_ms=_since(started),
                repo_map_status=self._upkeep.maps.status(target.repository.id),
                not_found=tuple(unknown) or None,
                next_steps=next_steps.of_focus(unknown, focus, source, repository, max_tokens) or None,
            )

    @_patient
    def critical_files(
        self, repository: str | None = None, limit: int = 50, *, caller: Caller | None = None
    ) -> CriticalFiles:
        """Files by importance, with size and complexity."""
        with self._mapped(repository, caller) as (_, source, graph, freshness):
            ranked = repo_map.importance(source.snapshot, graph.usage, graph.usage.rank)
            rows = (
                FileImportance(printable(info.path), info.language, round(value, 3), info.size, info.lines, branches)
                for info, value, branches in ranked[: max(0, limit)]
            )
            return CriticalFiles(source.name, tuple(rows), len(ranked), freshness)

    def expect(self, caller: Caller) -> None:
        """A session has begun: open in the background what it will ask about first, so that it need not wait for that."""
        place = caller.project_dir or caller.cwd
        repository = self._registry.holding(place) if place else None
        if repository is not None:
            self._upkeep.prepare(repository.id)

    @_patient
    def read(
        self,
        path: str,
        *,
        repository: str | None = None,
        caller: Caller = Caller(),
        start_line: int | None = None,
        end_line: int | None = None,
        max_tokens: int | None = None,
    ) -> CodeResult:
        """Lines of a file: as it is now, or as it was indexed where it is gone. `path` may be as hits print it
        (`repository:path:12-40`); `max_tokens`: the text is cut after a line, and `truncated`.
        """
        found, place = self._located(path, repository, caller)
        if start_line is None and end_line is None:
            start_line, end_line = place.first_line, place.last_line or place.first_line
        self._registry.check_admission(found, caller)
        self._catalog.touch([found.id])
        with self._library.reading(found.id) as snapshot:
            result = self._upkeep.looks.one(
                found.id, lambda: reading.read(found, snapshot, place.path, start_line, end_line, max_tokens)
            )
            if self._upkeep.syncs.current(found.id) is None or (snapshot is not None and snapshot.complete):
                return result
            held = reports.Held() if snapshot is None else reports.Held(snapshot.complete, snapshot.n_files)
            return replace(result, freshness=self._upkeep.freshness(found, held, reports.Watch(False)))

    @_patient
    def why(self, path: str, query: str | None = None, *, caller: Caller = Caller()) -> dict[str, Any]:
        """Why a file is not found: `{repository, path, status, reason, message, …}`, with `query` also where it ranks."""
        repository, place = self._located(path, None, caller)
        self._registry.check_admission(repository, caller)
        relative = reading.inside(repository, place.path)
        with self._library.reading(repository.id) as snapshot:
            info = snapshot.find(relative) if snapshot is not None else None
            said: dict[str, Any] = {"repository": repository.name, "path": printable(relative)}
            if snapshot is None and self._library.is_damaged(repository.id):
                hint = "Ask again in a moment."
                raise Unavailable("its index was damaged and is being made again", hint=hint, code="not_indexed")
            if info is None:
                looks, root = self._upkeep.looks, repository.path
                word, sentence = looks.one(repository.id, lambda: reports.why_absent(root, relative))
                if word == "absent" and snapshot is not None:
                    close = [printable(item) for item in nearest.paths(snapshot, relative)]
                    sentence = f"{sentence}. {arguments.did_you_mean(close)}" if close else sentence
                if word == "not_synced":
                    sentence += "; run: recollect sync"
                return {**said, "status": "not indexed", "reason": word, "message": sentence}
            said |= {"status": info.status, "reason": info.reason, "language": info.language, "content": info.content}
            said |= {"chunks": info.chunks, "message": reports.reason_sentence(info.reason) or "it is indexed"}
            if query and info.status == "indexed" and snapshot is not None:
                source = Source(repository.name, repository.path, snapshot)
                cosines, _ = self._upkeep.vectors.asked(query, [snapshot])
                ranked = find.place_of(
                    parse(arguments.question(query)), [source], Filters(content=info.content), info.path, cosines
                )
                said |= {
                    "query": query,
                    "rank": ranked[0] if ranked else None,
                    "hit": ranked[1].to_dict() if ranked else None,
                }
                if ranked is None:
                    said["message"] = "it is indexed, but nothing in it comes near this question"
            return said

    def _after_search(
        self,
        asked: next_steps.Asked,
        filters: Filters,
        sources: Sequence[tuple[Target, Source]],
        targets: Sequence[Target],
    ) -> tuple[NextStep, ...]:
        """What explains that nothing was found, and the call that goes on."""
        shown = [source for _, source in sources]

        def search(others: Filters, query: str) -> Sequence[Hit]:
            if asked.mode == "regex":
                return regex.search(regex.compiled(query), shown, others, Shape(snippet_lines=0)).hits
            return find.find(parse(query), shown, others, Shape(snippet_lines=0))

        return next_steps.after_search(asked, filters, sources, search, self._others(targets))

    def _others(self, targets: Sequence[Target]) -> int:
        """How many known repositories are none of these."""
        return len({item.id for item in self._catalog.repositories()} - {target.repository.id for target in targets})

    @contextmanager
    def _mapped(
        self, repository: str | None, caller: Caller | None
    ) -> Iterator[tuple[Target, Source, repo_map.Graph, Freshness]]:
        caller = caller if caller is not None else Caller(cwd=os.getcwd())
        targets = self._registry.targets(repository, caller)
        if len(targets) != 1:
            call = next_call("list_repositories")
            raise UserError(
                "a map is of one repository", hint="Name it; all are listed by", code="no_repository", call=call
            )
        with self._answering(targets, caller) as (sources, freshness):
            if not sources or not sources[0][1].snapshot.generation:
                raise _nothing_indexed(freshness)
            target, source = sources[0]
            wanted = source.snapshot.generation if freshness.fresh else 0  # during a first sync, of what there is
            graph = self._upkeep.maps.graph(target.repository.id, wanted, _FIRST_MAP_S)
            if graph is None:
                raise Unavailable("the first map is being made", hint="Ask again in a moment.", code="map_building")
            yield target, source, graph, freshness

    @contextmanager
    def _answering(
        self, targets: Sequence[Target], caller: Caller = Caller()
    ) -> Iterator[tuple[list[tuple[Target, Source]], Freshness]]:
        """The snapshots of what a question is about, kept whole while it is answered, and what they reflect."""
        started = time.perf_counter()
        seen = self._upkeep.freshen([target.repository for target in targets])
        with ExitStack() as stack:
            sources: list[tuple[Target, Source]] = []
            parts = []
            failing: list[str] = []
            for target in targets:
                repository = self._catalog.get(target.repository.id) or target.repository
                watch = self._upkeep.watch(repository, seen)
                try:
                    if caller.agent:
                        self._registry.check_admission(repository, caller)
                    snapshot = stack.enter_context(self._library.reading(repository.id))
                    if snapshot is None and self._library.is_damaged(
                        repository.id
                    ):  # found only now: wait for the new one
                        watch = self._upkeep.watch(repository, self._upkeep.freshen([repository]))
                        snapshot = stack.enter_context(self._library.reading(repository.id))
                except (RecollectError, OSError) as error:
                    failure = error if isinstance(error, RecollectError) else translated(error, "the index")
                    if len(targets) == 1:
                        raise failure from error
                    parts.append((repository.name, Freshness(False, 0, failure.message, 0.0)))
                    failing.append(repository.name)
                    continue
                if repository.attempts or repository.missing or repository.id in seen.failures:
                    failing.append(repository.name)
                held = reports.Held(snapshot.complete, snapshot.n_files) if snapshot is not None else reports.Held()
                parts.append((repository.name, self._upkeep.freshness(repository, held, watch)))
                if snapshot is not None:
                    sources.append((target, Source(repository.name, repository.path, snapshot)))
            self._catalog.touch(target.repository.id for target in targets)
            reflected = reports.together(parts, _since(started), failing)
            self._upkeep.meters.answered(reflected)
            yield sources, reflected

    def _narrowed(
        self,
        filters: Filters,
        targets: Sequence[Target],
        sources: Sequence[tuple[Target, Source]],
        revision: str | None,
    ) -> tuple[Filters, list[str]]:
        """`filters` with what only some paths of some sources pass: folders that were named, files changed since.

        And what kept repositories from being compared, named; where none can be, that is raised.
        """
        if revision is None and not any(target.below for target in targets):
            return filters, []
        paths: list[set[str] | None] = []
        failures: list[str] = []
        for target, source in sources:
            chosen: set[str] | None = None
            if revision is not None:
                try:
                    chosen = worktree.changed_since(source.root, revision)
                except RecollectError as error:
                    if len(failures) + 1 == len(sources):
                        raise
                    failures.append(f"{source.name}: {error.message}")
                    chosen = set()
            if target.below:
                below = target.below + "/"
                known = (info.path for info in source.snapshot.files.values())
                inside = {path for path in known if path == target.below or path.startswith(below)}
                chosen = inside if chosen is None else chosen & inside
            paths.append(chosen)
        return replace(filters, paths=tuple(paths)), failures

    def _located(self, path: str, repository: str | None, caller: Caller) -> tuple[Repository, Location]:
        """The file that a caller means, however it is written; where none is there, the most exact reading of it."""
        if not isinstance(path, str) or not path.strip():
            raise UserError("no path was given", hint="Give the path of a file, as search prints it.")
        failure: UserError | None = None
        refusal: Refused | None = None
        best: tuple[Repository, Location] | None = None
        for location in readings(path):
            named = location.repository
            if named is not None and not self._may_mean(named, repository):
                continue
            try:
                found, inner = self._place_of_file(location.path, named or repository, caller)
            except UserError as error:
                failure = failure or error
                continue
            except Refused as error:
                refusal = refusal or error
                continue
            placed = found, replace(location, path=inner)
            if self._is_there(found, inner):
                return placed
            if best is None or _says_more(location, best[1]):
                best = placed
        if refusal is not None:
            raise refusal
        if best is None:
            raise failure or self._nowhere(path, self._registry.targets(None, caller))
        return best

    def _may_mean(self, name: str, repository: str | None) -> bool:
        """Whether the beginning of a path names a repository, and no other one than was given beside it."""
        found = self._registry.by_name(name)
        return found is not None and (repository is None or self._registry.by_name(repository) == found)

    def _is_there(self, repository: Repository, path: str) -> bool:
        full = repository.path / path
        with suppress(RecollectError, ValueError):
            if self._upkeep.looks.one(repository.id, lambda: os.path.lexists(full)):
                return True
        return self._has(repository, path)

    def _place_of_file(self, path: str, repository: str | None, caller: Caller) -> tuple[Repository, str]:
        """(repository, path in it or absolute) that a caller means by a file's path."""
        if repository is not None:
            path = os.path.expanduser(path) if path.startswith("~/") else path
            return self._registry.target(repository, caller).repository, path
        if os.path.isabs(os.path.expanduser(path)) or (
            caller.cwd is not None and os.path.lexists(os.path.join(caller.cwd, path))
        ):
            given = os.path.join(caller.cwd or "/", os.path.expanduser(path))
            folder = self._registry.absolute(os.path.dirname(os.path.normpath(given)), caller)  # a link is meant itself
            target = self._registry.targets(os.fspath(folder), caller)[0]
            return target.repository, os.path.join(folder, os.path.basename(os.path.normpath(given)))
        targets = self._registry.targets(None, caller)
        paths = {target.repository.id: target.repository.path / path for target in targets}
        there = self._upkeep.looks.each(paths, lambda key: os.path.lexists(paths[key])).values
        for target in targets:
            if there.get(target.repository.id) or self._has(target.repository, path):
                return target.repository, path
        if len(targets) == 1:
            return targets[0].repository, path
        raise self._nowhere(path, targets)

    def _nowhere(self, path: str, targets: Sequence[Target]) -> UserError:
        """What is said of a path that none of several repositories holds."""
        for target in targets[:_LOOKED_INTO]:
            with suppress(RecollectError), self._library.reading(target.repository.id) as snapshot:
                close = nearest.paths(snapshot, path, 1) if snapshot is not None else []
                if close:
                    return next_steps.no_such_file(target.repository, snapshot, path)
        name = path.rstrip("/\\ ").replace("\\", "/").rpartition("/")[2] or path
        call = next_call("search_code", query=name, repository="*", content="all")
        return UserError(
            f"no repository here holds {path[:200]}", hint="Name its repository", code="no_such_file", call=call
        )

    def _not_indexed(self, repository: Repository, snapshot: Snapshot, path: str, **call: Any) -> UserError:
        """What is said of a file whose place in the index is asked for, and that has none."""
        info, shown = snapshot.find(path), printable(path)
        if info is not None:
            word, sentence = str(info.reason), reports.reason_sentence(info.reason) or info.status
        else:
            root = repository.path
            word, sentence = self._upkeep.looks.one(repository.id, lambda: reports.why_absent(root, path))
        if word == "absent":
            return next_steps.no_such_file(repository, snapshot, path, **call)
        hint, then = "", None
        if word == "not_synced":
            hint, then = "Sync it", next_call("sync_repository", repository=repository.name)
        elif word not in _WITHHELD:
            hint, then = "It can be read", next_call("read_code", path=shown, repository=repository.name)
        return UserError(
            f"{shown} is not indexed: {sentence}",
            hint=hint or "Such files are left out.",
            code="no_such_file",
            call=then,
        )

    def _has(self, repository: Repository, path: str) -> bool:
        try:
            with self._library.reading(repository.id) as snapshot:
                return snapshot is not None and snapshot.find(path) is not None
        except RecollectError:  # another repository may hold it
            return False


def _says_more(location: Location, other: Location) -> bool:
    """Whether a reading finds a repository or lines in a text where another one takes them for a part of the path."""
    if (location.repository is None) != (other.repository is None):
        return location.repository is not None
    return location.first_line is not None and other.first_line is None


def _path_meant(text: str, source: Source) -> str:
    """A path as the index has it, of what may be written with lines or a repository; other texts as they are."""
    known = (place.path for place in readings(text) if place.repository in (None, source.name))
    return next((path for path in known if source.snapshot.find(path) is not None), text)


def _result(question: str, started: float, freshness: Freshness, hits: Sequence[Hit], shape: Shape) -> SearchResult:
    within = fitted(hits, shape.max_tokens)
    shortened = within.shortened or (bool(hits) and shape.lines_of_each() < shape.snippet_lines)
    return SearchResult(
        query=question[:_LONGEST_REPEATED],
        took_ms=_since(started),
        freshness=freshness,
        hits=within.hits,
        left_out=within.left_out,
        shortened=shortened,
    )


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)


def _nothing_indexed(freshness: Freshness) -> Unavailable:
    hint = "How far it is" if freshness.call and freshness.call["tool"] == "get_sync_status" else "Sync it"
    said = f"nothing is indexed yet ({freshness.reason})"
    return Unavailable(said, hint=hint if freshness.call else "Ask again.", code="not_indexed", call=freshness.call)


def _nothing_known() -> UserError:
    call = next_call("sync_repository", repository="/path/to/folder")
    return UserError("no repository is known yet", hint="Add a folder", code="no_repository", call=call)
