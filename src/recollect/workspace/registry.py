"""From what a caller says (a name, a path, a URL, nothing) to registered repositories."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from recollect import text
from recollect.calls import next_call
from recollect.errors import RecollectError, Refused, Unavailable, UserError, without_credentials
from recollect.model import NextStep, RepositoryInfo
from recollect.records import dataclass
from recollect.store.catalog import Catalog, Repository
from recollect.sync import disk, git
from recollect.sync.fan_out import FanOut
from recollect.sync.ignore import GitNames
from recollect.sync.tree import printable
from recollect.workspace import arguments, places
from recollect.workspace.places import Caller

_NAMED: Final = 8  # known repositories named to someone who asks for another
_MEANT: Final = 3  # repositories that a word may mean
_LEAST_PART: Final = 3  # letters of a part of a path
_FORGOTTEN: Final = "forgotten"
_MOST_FORGOTTEN: Final = 10_000  # paths; the oldest go first
_LONGEST_URL: Final = 200  # characters of one that is repeated to its caller
log = logging.getLogger("recollect.registry")


@dataclass(frozen=True, slots=True)
class Target:
    """A repository, and the folder or file inside it that is meant (`below`, "" for all of it)."""

    repository: Repository
    below: str = ""


class Registry:
    """Finds repositories, and registers those that are asked for by path for the first time."""

    def __init__(
        self,
        catalog: Catalog,
        scan_paths: Callable[[], Sequence[str]],
        private: Path,
        unknown_url: Callable[[str, Caller], Exception],
        no_clone_yet: Callable[[str, Caller, bool], Exception | None],
    ) -> None:
        """`unknown_url`: what to say to a URL that is not known, and do about it.

        `no_clone_yet`: the same of a name or path, if it means a clone that is no repository yet; told whether one that
        failed may be begun again.
        """
        self._unknown_url = unknown_url
        self._no_clone_yet = no_clone_yet
        self._catalog = catalog
        self._scan_paths = scan_paths
        self._private = Path(os.path.realpath(private))
        forgotten = catalog.persisted().get(_FORGOTTEN)
        self._forgotten = [str(path) for path in forgotten] if isinstance(forgotten, list) else []
        self._looks: FanOut[str] = FanOut()  # at places that callers name: one that hangs holds up no thread of ours

    def targets(self, said: str | Sequence[str] | None, caller: Caller) -> list[Target]:
        """The repositories that a question is about; those of paths not known yet are registered.

        Raises:
            UserError: unknown name, no such path; Refused: not allowed.
        """
        if said is None or said == "" or said == []:
            return self._of_place(caller)
        wanted = self._separated(said, caller) if isinstance(said, str) else list(said)
        if "*" in wanted:
            return self._all()
        found = {
            (target.repository.id, target.below): target for item in wanted for target in [self.target(item, caller)]
        }
        return list(found.values())

    def _separated(self, said: str, caller: Caller) -> list[str]:
        """Several repositories that one text names with commas; a path may hold commas itself."""
        if "," not in said or self.by_name(said) is not None or self._is_folder(said, caller):
            return [said]
        return [part for part in map(str.strip, said.split(",")) if part]

    def target(self, said: str, caller: Caller) -> Target:
        """The one repository that a name, path or URL means."""
        if not isinstance(said, str) or not said.strip():
            raise UserError("no repository was named", hint="Give its name, path or URL.", code="no_repository")
        known = self.by_name(said)
        if known is not None:
            return Target(known)
        if places.looks_like_url(said):
            raise self._unknown_url(said, caller)
        self._check_cloned(said, caller)
        if places.looks_like_path(said) or self._is_folder(said, caller):
            return self._of_path(said, caller)
        return Target(self.known(said, caller))

    def by_name(self, said: str) -> Repository | None:
        """A registered repository by one of its names, remote URL, id or exact path."""
        wanted = _plain_url(said) if places.looks_like_url(said) else None
        for item in self._catalog.repositories():
            if said in (item.name, item.id, os.fspath(item.path), *item.aliases):
                return item
            if wanted is not None and item.url is not None and _plain_url(item.url) == wanted:
                return item
        return None

    def by_folder(self, said: str) -> Repository | None:
        """The one registered repository whose folder is called so: the last thing that a word may mean."""
        found = [item for item in self._catalog.repositories() if item.path.name == said]
        return found[0] if len(found) == 1 else None

    def known(self, said: str, caller: Caller) -> Repository:
        """A registered repository by name, path or URL; nothing is registered. Raises UserError."""
        if not isinstance(said, str) or not said.strip():
            raise UserError("no repository was named", hint="Give its name, path or URL.", code="no_repository")
        found = self.by_name(said)
        if found is None:
            self._check_cloned(said, caller, begins=False)
        if found is None and places.looks_like_path(said) and not places.looks_like_url(said):
            path = self.absolute(said, caller)
            target = self._holding(path)
            found = target.repository if target is not None else None
            if found is None:
                self._check_cloned(os.fspath(path), caller, begins=False)
        found = found or self.by_folder(said)
        if found is None:
            raise self._unknown(said)
        return found

    def to_sync(self, path: str | None, name: str | None, caller: Caller) -> Repository:
        """The repository to sync: a known one, or exactly the folder that was given. From now on it is called `name`, too.

        Raises UserError: another repository is called so.
        """
        return self.admit(self._to_sync(path, name, caller), caller)

    def _to_sync(self, path: str | None, name: str | None, caller: Caller) -> Repository:
        if path is None:
            return self.target(name, caller).repository if name is not None else self.here(caller)
        known = self.by_name(path)
        if known is not None:
            self.check_admission(known, caller)
            known = self._also_called(known, name)
            return self._named(known) if os.path.isabs(path) else known
        if places.looks_like_url(path):
            raise self._unknown_url(path, caller)
        self._check_cloned(path, caller)
        if (
            name is None
            and not places.looks_like_path(path)
            and not (caller.cwd and os.path.lexists(os.path.join(caller.cwd, path)))
        ):
            return self.known(path, caller)
        return self.register(path, caller, name)

    def here(self, caller: Caller) -> Repository:
        """The one repository of the caller's place. Raises UserError: there is none, or there are several."""
        targets = self.targets(None, caller)
        if len(targets) != 1:
            raise UserError(
                "this is no repository that is known here",
                hint="Name one; all are listed by",
                code="no_repository",
                call=next_call("list_repositories"),
            )
        return targets[0].repository

    def register(self, said: str, caller: Caller, name: str | None = None) -> Repository:
        """Register exactly this folder; one that is known is called `name`, too. Raises UserError, Refused."""
        path = self.absolute(said, caller)
        self._check_cloned(os.fspath(path), caller)
        admitted_by = self._check(path, caller)
        places.existing_folder(path, said)
        if git.is_bare(path):
            hint = "Name a work tree of it, or clone it."
            raise UserError(
                f"{said}: a bare repository, which has no files of its own", hint=hint, code="bare_repository"
            )
        known = self._also_called(self._known_again(path) or self._added(path, name, admitted_by), name)
        return self.admit(self._named(known), caller)

    def _named(self, repository: Repository) -> Repository:
        """Somebody named its folder: it is not merely what a scan found any longer, nor forgotten."""
        path = os.fspath(repository.path)
        if path in self._forgotten:
            self._forgotten = [known for known in self._forgotten if known != path]
            self._catalog.persist({_FORGOTTEN: self._forgotten})
        if not repository.discovered:
            return repository
        return self._catalog.update(repository.id, discovered=0) or repository

    def note_forgotten(self, repository: Repository) -> None:
        """Have scans leave its folder alone until somebody names it."""
        path = os.fspath(repository.path)
        others = [known for known in self._forgotten if known != path]
        self._forgotten = [*others, path][-_MOST_FORGOTTEN:]
        self._catalog.persist({_FORGOTTEN: self._forgotten})

    @property
    def forgotten(self) -> frozenset[str]:
        """Folders of repositories that were forgotten, and not named since."""
        return frozenset(self._forgotten)

    def _also_called(self, repository: Repository, name: str | None) -> Repository:
        """Keep `name` as one more name of a repository. Raises UserError: it is no name, or another one's."""
        if name is None or name in (repository.name, *repository.aliases):
            return repository
        meant = self.by_name(name)
        if meant is not None and meant.id == repository.id:  # its path, URL or id
            return repository
        places.check_name(name)
        return self._catalog.add_alias(repository.id, name) or repository

    def _check_cloned(self, said: str, caller: Caller, begins: bool = True) -> None:
        """Raise what is to be said of a clone that is no repository yet, if a name or path means one."""
        error = self._no_clone_yet(said, caller, begins)
        if error is not None:
            raise error

    def admit(self, repository: Repository, caller: Caller) -> Repository:
        """Make what an agent registered a person's, or note what allows it to this agent now. Raises Refused: nothing."""
        admitted_by: str | None = None
        if caller.agent:
            admitted_by = self.check_admission(repository, caller)
        if admitted_by == repository.admitted_by:
            return repository
        return self._catalog.update(repository.id, admitted_by=admitted_by) or repository

    def check_admission(self, repository: Repository, caller: Caller) -> str | None:
        """Raise Refused where an agent asks about what an agent registered, and may not any longer; else what allows it."""
        if not caller.agent:
            return repository.admitted_by
        return places.check_admission(repository.path, repository.admitted_by, caller, self._scan_paths())

    def adopt(self, info: RepositoryInfo, asked: bool = False) -> Repository | None:
        """Register what a search found; None where it may not be, cannot be indexed, or was forgotten.

        `asked`: of a folder that somebody named for this search, not of the scan paths.
        """
        path = Path(info.path)
        known = next((item for item in self._catalog.repositories() if item.path == path), None)
        known = known or self._known_again(path)
        is_new = known is None
        if known is None:
            if info.path in self._forgotten:
                return None
            try:
                self._check(path, Caller())
            except Refused:
                return None
            if git.is_bare(path):
                return None
            known = self._catalog.add(path, info.name, info.url, info.type)
        changes: dict[str, Any] = {"place": git.place(path), "language": info.language}
        if known.last_sync is None:  # afterwards, a matter of each edit, and not asked for any longer
            changes |= {"size_bytes": info.size, "modified_at": info.last_modified}
        if is_new and not asked:
            changes["discovered"] = True
        changes = {key: value for key, value in changes.items() if value != getattr(known, key)}
        return self._catalog.update(known.id, **changes) if changes else known

    def _added(self, path: Path, name: str | None, admitted_by: str | None) -> Repository:
        url = git.remote_url(path) if git.work_tree_root(path) == path else None
        if name is not None:
            places.check_name(name)
        called, kind = name or git.repository_name(path, url), git.repository_type(path)
        added = self._catalog.add(path, called, url, kind, admitted_by, exact=name is not None)
        return self._catalog.update(added.id, place=git.place(path)) or added

    def _known_again(self, path: Path) -> Repository | None:
        """The repository that was moved to `path`: its old place is empty, and its `.git` is the same."""
        place = git.place(path)
        if place is None or any(item.path == path for item in self._catalog.repositories()):
            return None
        for item in self._catalog.repositories():
            if item.place == place and not _may_be_there(item.path):
                log.info("%s has moved to %s", item.name, printable(os.fspath(path)))
                return self._catalog.update(item.id, path=os.fsencode(path), missing=0)
        return None

    def _check(self, path: Path, caller: Caller) -> str | None:
        admitted_by = places.check_allowed(path, caller, self._scan_paths())
        inside = path == self._private or self._private in path.parents
        if inside or (path in self._private.parents and not self._is_ignored(path)):
            raise Refused(f"{path} holds Recollect's own data or lies in it", hint="Name the folder of a repository.")
        return admitted_by

    def _is_ignored(self, root: Path) -> bool:
        """Whether our own data directory, which lies below `root`, is left out of it by git."""
        if git.work_tree_root(root) is None:
            return False
        return bool(GitNames(root).ignored([self._private.relative_to(root).as_posix()]))

    def absolute(self, said: str, caller: Caller) -> Path:
        """`places.absolute`, and that the file system there answers.

        Raises:
            UserError, Unavailable ("unresponsive"). Refused: a link in a repository leads an agent out of it.
        """

        def look() -> Path:
            path = places.absolute(said, caller)
            os.path.lexists(path / ".git")
            return path

        path = self._looks.one(os.path.join(caller.cwd or "", said), look)
        if caller.agent:
            self._refuse_links_out(os.path.normpath(os.path.join(caller.cwd or "/", os.path.expanduser(said))), path)
        return path

    def _refuse_links_out(self, named: str, path: Path) -> None:
        """Whoever wrote a repository does not choose what else an agent reads: what a link leads to is named itself."""
        if named == os.fspath(path):
            return
        for item in self._catalog.repositories():
            root = os.fspath(item.path)
            if named.startswith(f"{root}/") and path != item.path and item.path not in path.parents:
                hint = "Give the path that the link leads to, if that is meant."
                raise Refused(f"{named} is a link out of {item.name}", hint=hint, code="outside")

    def _of_path(self, said: str, caller: Caller) -> Target:
        path = self.absolute(said, caller)
        target = self._holding(path)
        if target is not None:
            return target
        self._check_cloned(os.fspath(path), caller)
        self._check(path, caller)
        if disk.is_file(path):
            raise UserError(
                f"{said}: a file, not a folder", hint="Give the folder of a repository.", code="not_a_folder"
            )
        places.existing_folder(path, said)
        return self._enclosing(path, caller)

    def _enclosing(self, path: Path, caller: Caller) -> Target:
        """Register the work tree that holds a folder, or the folder itself where that is not allowed or there is none."""
        root = git.work_tree_root(path) or path
        try:
            repository = self.register(os.fspath(root), caller)
        except Refused:
            repository, root = self.register(os.fspath(path), caller), path
        return Target(repository, "" if path == root else path.relative_to(root).as_posix())

    def _holding(self, path: Path) -> Target | None:
        """The registered repository that a path lies in: the deepest; not one inside whose nested repository it lies."""
        holding = [item for item in self._catalog.repositories() if path == item.path or item.path in path.parents]
        if not holding:
            return None
        deepest = max(holding, key=lambda item: len(item.path.parts))
        try:
            own = git.work_tree_root(path)
        except Unavailable:  # whether another one begins in between cannot be told now
            own = None
        if own is not None and deepest.path in own.parents:
            return None  # a repository of its own, inside
        return Target(deepest, "" if path == deepest.path else path.relative_to(deepest.path).as_posix())

    def holding(self, place: str) -> Repository | None:
        """The registered repository that a folder lies in."""
        path, _ = self._place(place)
        target = self._holding(path) if path is not None else None
        return target.repository if target is not None else None

    def _place(self, place: str) -> tuple[Path | None, bool]:
        """(a place without links, whether it is a folder); (None, False) where its file system does not answer."""

        def look() -> tuple[Path | None, bool]:
            path = Path(os.path.realpath(place))
            os.path.lexists(path / ".git")
            return path, os.path.isdir(path)

        try:
            return self._looks.one(place, look)
        except RecollectError:
            return None, False

    def _of_place(self, caller: Caller) -> list[Target]:
        """Where nothing is said: the caller's project, its working directory, its roots; else all."""
        for place in (caller.project_dir, caller.cwd, *caller.roots):
            path, is_folder = self._place(place) if place else (None, False)
            if path is None or not is_folder:
                continue
            try:
                repository = self._of_folder(path, caller)
            except (Refused, UserError, Unavailable):
                continue
            if repository is not None:
                return [Target(repository)]
        return self._all()

    def _of_folder(self, path: Path, caller: Caller) -> Repository | None:
        """The repository that a folder lies in; a git work tree that is not known yet is registered.

        Raises Refused, UserError, Unavailable: it may not be registered, or cannot be.
        """
        target = self._holding(path)
        if target is None and git.work_tree_root(path) is not None:
            target = self._enclosing(path, caller)
        return target.repository if target is not None else None

    def at_hand(self, caller: Caller) -> tuple[Repository | None, str | None]:
        """The repository of the caller's place, as a first question would register it; or why there is none."""
        refusal: str | None = None
        for place in (caller.project_dir, caller.cwd, *caller.roots):
            path, is_folder = self._place(place) if place else (None, False)
            if path is None or not is_folder:
                continue
            try:
                repository = self._of_folder(path, caller)
            except (Refused, UserError, Unavailable) as error:
                refusal = refusal or error.message
                continue
            if repository is not None:
                return repository, None
        return None, refusal

    def _all(self) -> list[Target]:
        return [Target(item) for item in self._catalog.repositories()]

    def _is_folder(self, said: str, caller: Caller) -> bool:
        if caller.cwd is None or "\0" in said:
            return False
        return self._place(os.path.join(caller.cwd, said))[1]

    def _unknown(self, said: str) -> UserError:
        if places.looks_like_url(said):
            url = without_credentials(said)[:_LONGEST_URL]
            call = next_call("clone_repo", url=url)
            return UserError(
                f"{url} is not known here, and not cloned", hint="Clone it", code="unknown_repository", call=call
            )
        step = self.nothing_like(said)
        message = f"no repository is called {said[:200]!r}"
        return UserError(message, hint=step.reason, code="unknown_repository", call=step.call)

    def nothing_like(self, said: str | None) -> NextStep:
        """What is said where no known repository is meant: the nearest names, and how one is added."""
        known = self._catalog.repositories()
        call = next_call("sync_repository", repository="/path/to/folder")
        if not known:
            return NextStep("No repository is known yet. Add a folder", call)
        close = _nearest(said or "", known)
        listed = ", ".join(item.name for item in known[:_NAMED])
        more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
        hint = arguments.did_you_mean(close) or f"Known: {listed}{more}."
        return NextStep(f"{hint} A folder that is not known yet is added by its path", call)


def _nearest(said: str, known: Sequence[Repository]) -> list[str]:
    """Names of the repositories that a word may mean: by name, by the end of the path, or by a part of path or URL."""
    by_word: dict[str, str] = {}
    for item in known:
        words = (item.name, *item.aliases, item.path.name, "/".join(item.path.parts[-2:]))
        by_word |= {printable(word): item.name for word in words}
    close = [by_word[word] for word in text.nearest(said, by_word)]
    wanted = said.strip().lower()
    if not close and len(wanted) >= _LEAST_PART:
        places = ((item.name, f"{printable(os.fspath(item.path))} {item.url or ''}".lower()) for item in known)
        close = [name for name, place in places if wanted in place]
    return list(dict.fromkeys(close))[:_MEANT]


def _may_be_there(path: Path) -> bool:
    try:
        return disk.exists(path)
    except Unavailable:
        return True


def _plain_url(url: str) -> str:
    """A URL without what its spellings differ in."""
    plain = url.strip().rstrip("/").removesuffix(".git")
    plain = plain.split("://", 1)[-1].rpartition("@")[2]
    host, _, rest = plain.replace(":", "/", 1).partition("/")
    return f"{host.lower()}/{rest}"
