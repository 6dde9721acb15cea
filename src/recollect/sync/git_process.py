"""The one module that starts `git`: within time limits, without prompts, and so that nothing a repository names runs.

A repository's settings name programs (file monitor, hooks, filters, transports, pagers). Three walls keep them from
running: the reading commands are a short list, none of which reads a file of the work tree (that is what filters are
for); what those commands would still start is set to nothing on the command line, which stands above every file; and
no transport is allowed. Whether a repository that belongs to somebody else is looked at at all is git's own decision.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from recollect.errors import Refused, Unavailable
from recollect.sync import disk

# Empty rather than "false", which older versions would run as a program. The last one keeps git from taking a folder
# that only looks like a bare repository, and its settings, for the repository (2.38 and newer).
_PINNED: Final = (
    "--no-pager",
    *("-c", "core.fsmonitor="),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "safe.bareRepository=explicit"),
)
# A partial clone must not fetch what it left out, from wherever and by whatever program it says. (Git 2.45 and newer
# know the second; the first stands above any configuration, in all versions.)
_OFFLINE: Final = {"GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1"}
_READING: Final = frozenset(
    "check-attr check-ignore config diff-index diff-tree ls-files remote rev-list rev-parse symbolic-ref version".split()
)
_NO_REPOSITORY: Final = {"GIT_DIR": os.devnull}  # nothing is looked for
_DUBIOUS: Final = re.compile(rb"detected dubious ownership|^fatal: unsafe repository", re.MULTILINE)
TIMEOUT_S: Final = 120.0
_SLOW: Final = (
    "Try `git status` there. A slow disk, or an ignore file with many stars in one pattern, takes git itself long."
)
_SSH_S: Final = 10.0
_STUCK_S: Final = 3.0  # asleep without having worked: on a pipe, that is, for no disk is waited for like that
_LOOK_S: Final = 0.5

_starting = threading.Lock()
_running: set[subprocess.Popen[bytes]] = set()
_ended = False


@functools.cache
def environment() -> dict[str, str]:
    """The environment that every git gets: of ours, nothing that speaks to git but where a person's settings lie."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    kept |= {name: os.environ[name] for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM") if name in os.environ}
    return kept | {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


def run(
    arguments: Sequence[str],
    folder: Path,
    work_tree: Path | None,
    *,
    timeout_s: float = TIMEOUT_S,
    input: bytes | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a reading command in `folder` of `work_tree` (None: of no repository); the caller looks at the return code.

    Raises:
        Refused: the repository belongs to another user, and nobody told git to trust it ("dubious_ownership").
        Unavailable: no git, or out of time.
    """
    if not _is_reading(arguments):
        raise ValueError(f"not a command that only reads: {' '.join(arguments[:3])}")
    command = ["git", *_PINNED, *arguments]
    where = _NO_REPOSITORY if work_tree is None else _only(work_tree)
    with _started(command, folder, environment() | _OFFLINE | where, input is not None) as git:
        try:
            output, messages = _communicate(git, input, timeout_s, _name(arguments))
        finally:
            git.kill()  # unless it has ended
            _running.discard(git)
    if git.returncode and work_tree is not None and _DUBIOUS.search(messages):
        raise dubious(work_tree)
    return subprocess.CompletedProcess(command, git.returncode, output, messages)


def _communicate(git: subprocess.Popen[bytes], input: bytes | None, timeout_s: float, name: str) -> tuple[bytes, bytes]:
    """What a process says. One that waits for what never comes is not waited for: git opens a pipe that a repository has
    in the place of an ignore file, or names as one. Raises Unavailable.
    """
    ended, stuck = threading.Event(), threading.Event()
    threading.Thread(target=_end_if_stuck, args=(git, ended, stuck), name="git", daemon=True).start()
    try:
        said = git.communicate(input, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{name} took longer than {timeout_s:.0f} s", hint=_SLOW, code="git_timeout") from error
    finally:
        ended.set()
    if stuck.is_set():
        hint = "Look for named pipes among .git/info, .gitignore, .gitattributes and what git's settings name."
        raise Unavailable(f"{name} waits for a file that does not end, probably a pipe", hint=hint, code="git_stuck")
    return said


def _end_if_stuck(git: subprocess.Popen[bytes], ended: threading.Event, stuck: threading.Event) -> None:
    looks, worked = 0, None  # counted, for after a pause of this process the time says nothing
    while not ended.wait(_LOOK_S):
        before, worked = worked, _worked_asleep(git.pid)
        looks = looks + 1 if worked is not None and worked == before else 0
        if looks * _LOOK_S >= _STUCK_S:
            stuck.set()
            git.kill()
            return


def _name(arguments: Sequence[str]) -> str:
    return f"git {next((word for word in arguments if not word.startswith('-')), '')}"


def _worked_asleep(pid: int) -> int | None:
    """The processor time of a process that sleeps; None where it does not, or that cannot be told (outside of Linux)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[11]) + int(fields[12]) if fields[0] == b"S" else None


def start(
    arguments: Sequence[str],
    folder: Path,
    work_tree: Path | None,
    *,
    settings: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command that may use the network, as leader of a process group; its messages come from its `stdout`.

    `work_tree`: the repository it works in (None: in none). `settings`: `name=value`, which stand above all files.
    """
    options = [part for setting in settings for part in ("-c", setting)]
    command = ["git", *_PINNED, *options, *arguments]
    where = _NO_REPOSITORY if work_tree is None else _only(work_tree)
    git = _started(command, folder, {**environment(), **(variables or {}), **where}, False, leader=True)
    _running.discard(git)  # whoever asked for it ends it, with all that it started
    return git


def create(folder: Path) -> None:
    """Make an empty repository of a folder. Raises Unavailable."""
    command = ["git", *_PINNED, "init", "-q", "--template="]
    with _started(command, folder, environment() | _OFFLINE, False) as git:
        messages = git.communicate(timeout=TIMEOUT_S)[1]
        _running.discard(git)
    if git.returncode:
        raise Unavailable(
            f"git init failed: {messages.decode(errors='replace').strip()[:200]}",
            hint="See whether the disk is full or may not be written: recollect doctor",
            code="git_failed",
        )


def ssh_settings(arguments: Sequence[str]) -> dict[str, str]:
    """What the person's ssh configuration says of a host, by names in lower case; nothing where ssh does not tell.

    It stands here because git would start the same program, and this is where programs are started.
    """
    try:
        with _started(["ssh", "-G", *arguments], Path("/"), environment(), False) as ssh:
            try:
                output = ssh.communicate(timeout=_SSH_S)[0] if ssh.stdout else b""
            except subprocess.TimeoutExpired:
                return {}
            finally:
                ssh.kill()
                _running.discard(ssh)
    except Unavailable:
        return {}
    pairs = (line.partition(" ")[::2] for line in output.decode(errors="replace").splitlines())
    return {name.lower(): value.strip() for name, value in pairs if value.strip()} if ssh.returncode == 0 else {}


def end() -> None:
    """Kill what still runs, and run nothing more: for a process that ends. A git hangs where its file system does."""
    global _ended
    with _starting:
        _ended = True
        for git in list(_running):
            git.kill()


def dubious(work_tree: Path) -> Refused:
    """The refusal of a repository that belongs to another user."""
    place = os.path.realpath(work_tree)
    message = f"{place} belongs to another user, so git does not open it: its settings could run programs as you"
    hint = f"If you trust its owner, run yourself: git config --global --add safe.directory {shlex.quote(place)}"
    return Refused(message, hint=hint, code="dubious_ownership")


def _is_reading(arguments: Sequence[str]) -> bool:
    """Whether a command changes nothing, and reads no file of a work tree but ignore files and attributes."""
    command, *rest = [word for word in arguments if word != "--literal-pathspecs"]
    if command == "diff-index":
        return "--cached" in rest
    if command == "ls-files":  # these compare contents
        return not {"-m", "--modified", "-d", "--deleted", "-k", "--killed", "--eol"}.intersection(rest)
    if command == "config":
        return not {"--get", "--get-regexp", "--list"}.isdisjoint(rest)
    if command == "remote":
        return rest[:1] in ([], ["get-url"])
    return command in _READING


def _only(work_tree: Path) -> dict[str, str]:
    """Variables that keep git to this work tree: it goes no further up, nor where the repository's settings point.

    That the repository is still to be found by git, and not named, is what makes git look at its owner.
    """
    place = os.path.realpath(work_tree)
    return {"GIT_WORK_TREE": place, "GIT_CEILING_DIRECTORIES": os.path.dirname(place)}


def _started(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], has_input: bool, *, leader: bool = False
) -> subprocess.Popen[bytes]:
    try:
        with _starting:
            if _ended:
                raise Unavailable("Recollect is ending", hint="Ask again: it starts by itself.", code="ending")
            git = subprocess.Popen(
                command,
                cwd=folder,
                env=variables,
                stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if leader else subprocess.PIPE,
                start_new_session=leader,
            )
            _running.add(git)
            return git
    except FileNotFoundError as error:
        if disk.exists(folder):
            raise Unavailable(
                "the program `git` is not installed",
                hint="Install git; folders without version control work without it.",
                code="no_git",
            ) from error
        raise Unavailable(
            f"{folder} is gone", hint="Bring the folder back, or forget the repository.", code="missing"
        ) from error
    except OSError as error:  # the folder cannot be entered, or no process or descriptor is left
        raise disk.unavailable(folder, error) from error
