"""Which path a caller means, and whether it may be read: INTERFACE's rules as functions of their arguments."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Final

from recollect.errors import Refused, UserError
from recollect.records import dataclass
from recollect.secrets import folders

OWN_FOLDER: Final = "own folder"
HOME: Final = "home"
SCAN_PATH: Final = "scan path"
_LONGEST_NAME: Final = 100  # characters
_NAME: Final = re.compile(rf"[^\s.~/\-,:*\\][^,:*\\]{{0,{_LONGEST_NAME - 1}}}(?<!\s)")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: its working directory, project and MCP roots. `agent`: not a person at a terminal or in Python.

    `environment`: what its clones may use, credentials among it.
    """

    cwd: str | None = None
    project_dir: str | None = None
    roots: tuple[str, ...] = ()
    agent: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


def absolute(path: str, caller: Caller) -> Path:
    """`path` with `~` expanded, relative to the caller's working directory, symbolic links resolved."""
    if "\0" in path:
        raise UserError("a path cannot hold a NUL byte", hint="Give the path as search prints it.")
    expanded = os.path.expanduser(path)
    if not os.path.isabs(expanded):
        if caller.cwd is None:
            raise UserError(
                f"{path}: a relative path, and the caller's working directory is not known",
                hint="Give the path from the root, or begin it with ~.",
            )
        expanded = os.path.join(caller.cwd, expanded)
    return Path(os.path.realpath(expanded))


def check_allowed(path: Path, caller: Caller, scan_paths: Sequence[str] = (), home: Path | None = None) -> str | None:
    """Raise Refused where `path` may not be indexed or read for this caller; else what allows it to an agent."""
    home = Path(os.path.realpath(home if home is not None else Path.home()))
    if path == Path(path.anchor):
        raise Refused(f"{path} is the whole file system", hint="Name the folder of a repository.")
    if path == home or path in home.parents:
        raise Refused(f"{path} is a home folder or holds one", hint="Name the folder of a repository inside it.")
    if folders.keeps_credentials(path, home):
        raise Refused(
            f"{path} is a folder of credentials or lies in one",
            hint="Such folders are never indexed or read, for people and agents alike.",
        )
    if folders.holds_credentials(path, home) and not (path / ".git").exists():  # of a repository they are left out
        raise Refused(
            f"{path} holds folders of credentials",
            hint="Name the folder inside it that is meant; a git repository is indexed without them.",
        )
    if not caller.agent:
        return None
    places = (caller.cwd, caller.project_dir, *caller.roots)
    own = [place for place in places if place]
    for reason, allowed in ((OWN_FOLDER, own), (HOME, [str(home)]), (SCAN_PATH, scan_paths)):
        if any(_within(path, Path(os.path.realpath(os.path.expanduser(place)))) for place in allowed):
            return reason
    raise Refused(
        f"{path} lies outside the user's home, the scan paths and the client's folders",
        hint="A person can add it once with: recollect add PATH",
    )


def check_admission(path: Path, admitted_by: str | None, caller: Caller, scan_paths: Sequence[str]) -> str | None:
    """Raise Refused where an agent registered `path`, and nothing allows it to agents now; else what does.

    A folder of a client stays allowed: a person started that client there.
    """
    if admitted_by is None or admitted_by == OWN_FOLDER:
        return admitted_by
    try:
        return check_allowed(path, caller, scan_paths)
    except Refused as error:
        said = f"an agent added it when its {admitted_by} allowed that, and now {error.message}"
        hint = f"To keep it, make it yours: recollect add {shlex.quote(str(path))}"
        raise Refused(f"{said}; a person who adds or syncs it makes it theirs", hint=hint, code="withdrawn") from error


def check_may_keep_secrets(keep_secrets: bool, caller: Caller | None) -> None:
    """Raises Refused: an agent asks for what only a person may."""
    if keep_secrets and caller is not None and caller.agent:
        raise Refused("only a person may have secrets kept", hint="In a terminal: recollect remember --keep-secrets")


def _within(path: Path, folder: Path) -> bool:
    return folder != Path(folder.anchor) and (path == folder or folder in path.parents)


def existing_folder(path: Path, given: str) -> Path:
    """`path`, checked to be a folder that can be listed. Raises UserError with what it is instead."""
    try:
        os.scandir(path).close()
    except (FileNotFoundError, NotADirectoryError) as error:
        kind = "a file, not a folder" if os.path.lexists(path) else "not there"
        hint = "Give the folder of a repository."
        raise UserError(f"{given}: {kind}", hint=hint, code="not_a_folder") from error
    except PermissionError as error:
        raise UserError(
            f"{given}: permission denied",
            hint="Its owner or its permissions do not let Recollect read it.",
            code="unreadable",
        ) from error
    except OSError as error:
        raise UserError(
            f"{given}: {error.strerror}",
            hint="See whether the file system that it lies on is in order.",
            code="unreadable",
        ) from error
    return path


def check_name(name: str) -> None:
    """Raise UserError where `name`, which somebody gives a repository, could be taken for something else."""
    if not _NAME.fullmatch(name) or not name.isprintable() or looks_like_url(name):
        raise UserError(
            f"{name[:_LONGEST_NAME]!r} cannot be the name of a repository",
            hint=f"A name has at most {_LONGEST_NAME} characters, none of , : * or a backslash, and begins with none of . ~ / -",
            code="invalid_name",
        )


def looks_like_path(text: str) -> bool:
    return text.startswith((".", "~", os.sep)) or os.sep in text


def looks_like_url(text: str) -> bool:
    return "://" in text or (text.startswith("git@") and ":" in text)
