"""Making and updating clones with the `git` program: watched while it runs, ended when it takes too much."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urljoin

from recollect.errors import Cancelled, RecollectError, Refused, Unavailable, UserError, without_credentials
from recollect.records import dataclass
from recollect.sync import git, git_process, ssh, worktree
from recollect.sync.address import Address, Permissions, checked_numbers, is_literal, parse
from recollect.sync.tree import printable
from recollect.testing import crash_point

Result = TypeVar("Result")

DISK_FREE: Final = 200_000_000  # bytes that stay free
DEEPENED: Final = 1_000  # commits of history that a shallow clone gets in the background, without contents
_LOOK_S: Final = 0.1
_WEIGH_S: Final = 0.5
_REDIRECTS: Final = 5
_PROBE_S: Final = 20.0
_KEPT_LINES: Final = 1_000
_ASKPASS: Final = """#!/bin/sh
# Gives git a token that is in its environment alone.
case "$1" in Username*) echo "${RECOLLECT_TOKEN_USER}";; *) echo "${RECOLLECT_TOKEN}";; esac
"""
_IN_THE_CLONE: Final = ("fetch", "checkout")  # the others work in no repository
_OWN_SETTINGS: Final = re.compile(  # what git writes into a clone, and what a person may add without harm
    r"core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks)"
    r"|remote\.origin\.(url|fetch|tagopt|promisor|partialclonefilter)|extensions\.(partialclone|objectformat)"
    r"|branch\..*\.(remote|merge|description)|user\.(name|email)",
    re.IGNORECASE | re.DOTALL,
)
_TOKENS: Final = {  # variable → (host that may see it, user name that goes with it)
    "GH_TOKEN": ("github.com", "x-access-token"),
    "GITHUB_TOKEN": ("github.com", "x-access-token"),
    "GITLAB_TOKEN": ("gitlab.com", "oauth2"),
    "BITBUCKET_TOKEN": ("bitbucket.org", "x-token-auth"),
}
# git says how it gets on as "Receiving objects:  45% (450/1000), 12.30 MiB | 1.20 MiB/s".
_STEP: Final = re.compile(r"(?P<phase>Receiving objects|Resolving deltas|Updating files):\s+(?P<percent>\d+)%")
_BYTES: Final = re.compile(r"([\d.]+) (bytes|KiB|MiB|GiB)(?: \||,|$)")
_UNITS: Final = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SHARES: Final = {"Receiving objects": (0.0, 80.0), "Resolving deltas": (80.0, 10.0), "Updating files": (90.0, 9.0)}


class Received(NamedTuple):
    """How far a clone has come; `percentage` of the whole of it, 100 only when it is in its place."""

    bytes: int
    percentage: float


@dataclass(frozen=True, slots=True)
class Limits:
    """`scratch`: a folder of ours on the same file system as the clones."""

    scratch: Path
    timeout_s: float
    max_bytes: int
    permissions: Permissions = Permissions()


@dataclass(frozen=True, slots=True)
class Update:
    """What became of a clone when its remote was asked. `notice`: what people should hear of it."""

    changed: bool
    branch: str | None
    notice: str | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """`environment`: the caller's credentials, by their variables."""

    environment: Mapping[str, str]
    cancelled: Callable[[], bool] = lambda: False
    progress: Callable[[Received], None] = lambda received: None


def clone(
    address: Address, branch: str | None, depth: int | None, target: Path, limits: Limits, control: Control
) -> None:
    """Clone into a folder of `limits.scratch` and move that to `target` when it is whole.

    `depth`: commits of history; None: one; 0: all of it.

    Raises:
        RecollectError: what went wrong, without credentials; nothing is left of it then.
    """
    scratch = limits.scratch
    prepare(scratch)
    made = scratch / os.urandom(8).hex()
    if shutil.disk_usage(scratch).free < DISK_FREE:
        raise Unavailable("no space left for a clone", hint="Free some space.", code="disk_full")
    arguments = ["clone", "--progress", "--no-recurse-submodules", "--template=", "--origin=origin", *_depth(depth)]
    arguments += [f"--branch={branch}", "--single-branch"] if branch is not None else []

    def attempt(place: Address) -> None:
        shutil.rmtree(made, ignore_errors=True)
        _run(arguments, place, scratch, limits, control, made, [place.url, os.fspath(made)])

    try:
        _where_it_leads(address, limits, attempt)
        if weight(made) > limits.max_bytes:  # what came fast, or is large only when it is unpacked
            raise _too_large(limits)
        crash_point("cloned")
        if control.cancelled():
            raise Cancelled("the clone was cancelled")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.exists():  # of a crash: nothing knows it
            aside = scratch / os.urandom(8).hex()
            target.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
        made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _where_it_leads(address: Address, limits: Limits, attempt: Callable[[Address], Result]) -> Result:
    """Run something with an address, or where that redirects to; each is checked."""
    for _ in range(_REDIRECTS):
        try:
            return attempt(address)
        except _Redirected:
            address = _redirected(address, limits.permissions)
    raise Unavailable("it redirects again and again", hint="Give the address that it leads to.", code="clone_failed")


def _depth(depth: int | None) -> list[str]:
    return ["--no-single-branch", "--no-tags"] if depth == 0 else [f"--depth={depth or 1}", "--no-tags"]


def update(folder: Path, address: Address, branch: str | None, limits: Limits, control: Control) -> Update:
    """Bring a clone to where its remote is: that branch, or whatever the remote's default is now. Files that somebody
    changed here are left alone.

    Raises:
        RecollectError: the remote is gone, or cannot be reached.
    """
    return _where_it_leads(address, limits, lambda place: _update(folder, place, branch, limits, control))


def _update(folder: Path, address: Address, branch: str | None, limits: Limits, control: Control) -> Update:
    wanted, commit = _remote_head(folder, address, branch, limits, control)
    if commit is None:
        return Update(False, None, "the remote repository is empty")
    here = git.head(folder)
    on = (git.output(["symbolic-ref", "--short", "-q", "HEAD"], folder) or b"").decode().strip() or None
    if here == commit and (wanted is None or wanted == on):
        return Update(False, on)
    if worktree.has_changes(folder):
        return Update(False, on, "it has changes of its own and was left as it is")
    foreign = _foreign_setting(folder, address)
    if foreign is not None:
        return Update(False, on, f"somebody changed its configuration ({foreign}), and it was left as it was")
    name = wanted or on or "main"
    arguments = ["fetch", "--progress", "--no-tags", "--no-recurse-submodules"]
    ref = f"+refs/heads/{name}:refs/remotes/origin/{name}"
    said = _run(arguments, address, folder, limits, control, folder, [address.url, ref])
    # Contents that history left out are fetched now, if the new state brings them back: with all that a fetch may use.
    checkout = ["checkout", "--quiet", "--force", "-B", name, f"refs/remotes/origin/{name}"]
    _run(checkout, address, folder, limits, control, folder, [])
    notice = None
    if on is not None and name != on:
        notice = f"its default branch is now {name}, no longer {on}"
    elif "forced update" in said:
        notice = "its history was rewritten on the remote"
    return Update(True, name, notice)


def _foreign_setting(folder: Path, address: Address) -> str | None:
    """What in a clone's configuration is not ours; None where all is. Files are written, and remotes asked, by it."""
    own = folder / ".git"
    if own.is_symlink() or not own.is_dir() or (own / "commondir").exists():
        return ".git"
    arguments = ["config", "--no-includes", "-z", "--list", "--file", os.fspath(own / "config")]
    done = git_process.run(arguments, folder, None)
    if done.returncode:
        return "unreadable"
    for item in done.stdout.decode(errors="replace").split("\0")[:-1]:
        name, _, value = item.partition("\n")
        if not _OWN_SETTINGS.fullmatch(name):
            return printable(name)[:100]
        if name == "remote.origin.url" and value != address.url and not _leads_to(value, address):
            return name
    return None


def _leads_to(url: str, address: Address) -> bool:
    try:
        return parse(url, Permissions(http=True, local=True)).key == address.key
    except RecollectError:
        return False


def deepen(folder: Path, address: Address, limits: Limits, control: Control) -> bool:
    """Fetch some history of a shallow clone, without the contents of files; whether that was done."""
    if not (folder / ".git" / "shallow").exists() or _foreign_setting(folder, address) is not None:
        return False
    arguments = ["fetch", "--no-tags", "--no-recurse-submodules", f"--depth={DEEPENED}", "--filter=blob:none"]
    _run(arguments, address, folder, limits, control, folder, ["origin", "HEAD"])
    return True


def _remote_head(
    folder: Path, address: Address, branch: str | None, limits: Limits, control: Control
) -> tuple[str | None, str | None]:
    """(branch, commit) that the remote is at."""
    ref = f"refs/heads/{branch}" if branch is not None else "HEAD"
    said = _run(["ls-remote", "--symref"], address, folder, limits, control, None, [address.url, ref])
    head = re.search(r"^ref: refs/heads/(\S+)\s+HEAD$", said, re.MULTILINE)
    commit = re.search(rf"^([0-9a-f]{{40,64}})\s+{re.escape(ref)}$", said, re.MULTILINE)
    if branch is not None and commit is None:
        raise Unavailable(
            f"the remote has no branch {branch} any longer",
            hint="Clone it again with a branch that it has.",
            code="branch_gone",
        )
    return branch or (head[1] if head else None), commit[1] if commit else None


# -- the child --------------------------------------------------------------------------------------------------------


class _Redirected(Exception):
    pass


def _run(
    arguments: Sequence[str],
    address: Address,
    folder: Path,
    limits: Limits,
    control: Control,
    growing: Path | None,
    places: Sequence[str],
) -> str:
    """Run git; what it said. It is ended, with all that it started, when it takes too long or too much."""
    if address.scheme != "ssh":
        numbers = checked_numbers(address, limits.permissions)
        return _run_once(arguments, address, folder, limits, control, growing, places, numbers, "false")
    *others, last = ssh.commands(address, limits.permissions)
    for command in others:
        try:
            return _run_once(arguments, address, folder, limits, control, growing, places, (), command)
        except Unavailable as error:
            if error.code != "unreachable":
                raise
    return _run_once(arguments, address, folder, limits, control, growing, places, (), last)


def _run_once(
    arguments: Sequence[str],
    address: Address,
    folder: Path,
    limits: Limits,
    control: Control,
    growing: Path | None,
    places: Sequence[str],
    numbers: Sequence[str],
    ssh_command: str,
) -> str:
    settings = [*_protocols(address, numbers), *_without_filters()]
    environment = _environment(address, limits, control.environment) | {"GIT_SSH_COMMAND": ssh_command}
    before = weight(growing) if growing is not None else 0
    work_tree = folder if arguments[0] in _IN_THE_CLONE else None
    child = git_process.start([*arguments, "--", *places], folder, work_tree, settings=settings, variables=environment)
    listener = _Listener(child, control.progress)
    try:
        _watch(child, listener, folder, growing, before, limits, control)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # also what it started: a transport outlives its git
        child.wait()
        listener.join()
    if child.returncode:
        raise _failure(listener.text, address)
    return listener.text


def _watch(
    child: subprocess.Popen[bytes],
    listener: _Listener,
    folder: Path,
    growing: Path | None,
    before: int,
    limits: Limits,
    control: Control,
) -> None:
    until = time.monotonic() + limits.timeout_s
    weighed = 0.0
    while True:
        listener.join(_LOOK_S)  # it ends with what git says
        if child.poll() is not None or not listener.is_alive():
            child.wait()
            return
        if control.cancelled():
            raise Cancelled("the clone was cancelled")
        now = time.monotonic()
        if now > until:
            raise Unavailable(
                f"it took longer than {limits.timeout_s:.0f} s",
                hint="Clone with depth=1, or raise RECOLLECT_CLONE_TIMEOUT.",
                code="clone_timeout",
            )
        if growing is not None and now - weighed > _WEIGH_S:
            taken = max(weight(growing) - before, listener.received)
            weighed = time.monotonic()
            if taken > limits.max_bytes:
                raise _too_large(limits)
            if shutil.disk_usage(folder).free < DISK_FREE:
                raise Unavailable("no space left for a clone", hint="Free some space.", code="disk_full")


def _too_large(limits: Limits) -> Unavailable:
    message = f"it is larger than {limits.max_bytes / 1e6:,.0f} MB"
    return Unavailable(message, hint="RECOLLECT_CLONE_MAX_BYTES says how large a clone may be.", code="clone_too_large")


class _Listener(threading.Thread):
    """Reads what git says, and makes progress of it."""

    def __init__(self, child: subprocess.Popen[bytes], progress: Callable[[Received], None]) -> None:
        super().__init__(name="git-output", daemon=True)
        self._child = child
        self._progress = progress
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.received = 0
        self._percentage = 0.0
        self.start()

    @property
    def text(self) -> str:
        return "\n".join(self._lines)

    def run(self) -> None:
        assert self._child.stdout is not None
        held = b""
        while True:
            data = os.read(self._child.stdout.fileno(), 1 << 16)
            if not data:
                break
            *lines, held = re.split(rb"[\r\n]", held + data)
            for line in lines:
                self._take(line.decode(errors="replace"))
        self._take(held.decode(errors="replace"))
        self._child.stdout.close()

    def _take(self, line: str) -> None:
        step = _STEP.search(line)
        if step is None:
            if line.strip():
                self._lines.append(line)
            return
        start, share = _SHARES[step["phase"]]
        size = _BYTES.search(line) if step["phase"] == "Receiving objects" else None
        if size is not None:
            self.received = max(self.received, int(float(size[1]) * _UNITS[size[2]]))
        self._percentage = max(self._percentage, start + share * int(step["percent"]) / 100)
        self._progress(Received(self.received, round(min(self._percentage, 99.0), 1)))


def _protocols(address: Address, numbers: Sequence[str]) -> list[str]:
    """Options that keep git to this URL's protocol and to the addresses that were looked at."""
    options = [
        "protocol.allow=never",
        f"protocol.{address.scheme}.allow=always",
        "http.followRedirects=false",
    ]
    options += ["http.lowSpeedLimit=1000", "http.lowSpeedTime=60", "submodule.recurse=false", "core.askPass="]
    options += ["gc.auto=0", "maintenance.auto=false", "transfer.bundleURI=false", "fetch.uriProtocols="]
    if numbers and not is_literal(address.host):
        options.append(f"http.curloptResolve={address.host}:{address.connects_to}:{','.join(numbers)}")
    return options


def _without_filters() -> list[str]:
    """Settings that turn off all filters of the person's own settings: files are what the repository stores of them."""
    arguments = ["config", "-z", "--name-only", "--get-regexp", r"^filter\..*\.(clean|smudge|process|required)$"]
    names = git_process.run(arguments, Path("/"), None).stdout.decode(errors="surrogateescape").split("\0")
    filters = {name.removeprefix("filter.").rpartition(".")[0] for name in names if name and "=" not in name}
    parts = [("clean", ""), ("smudge", ""), ("process", ""), ("required", "false")]
    return [f"filter.{name}.{part}={value}" for name in sorted(filters) for part, value in parts]


def prepare(scratch: Path) -> Path:
    """Make the folder that clones are made in, and the program that hands tokens over; where that is.

    It is written once, early: one that was written just now cannot be run while any thread of ours is starting a process.
    """
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    helper = scratch.with_name(".askpass")
    with suppress(FileExistsError), open(helper, "x", opener=lambda path, flags: os.open(path, flags, 0o700)) as file:
        file.write(_ASKPASS)
    return helper


def _environment(address: Address, limits: Limits, given: Mapping[str, str]) -> dict[str, str]:
    """What git runs with."""
    environment = {"GIT_LFS_SKIP_SMUDGE": "1", "SSH_ASKPASS": ""}
    if given.get("SSH_AUTH_SOCK"):
        environment["SSH_AUTH_SOCK"] = given["SSH_AUTH_SOCK"]
    token = _token(address, given, limits.permissions)
    if token is None:
        if given.get("GIT_ASKPASS"):
            environment["GIT_ASKPASS"] = given["GIT_ASKPASS"]
        return environment
    user, secret = token
    helper = os.fspath(prepare(limits.scratch))
    return environment | {"GIT_ASKPASS": helper, "RECOLLECT_TOKEN_USER": user, "RECOLLECT_TOKEN": secret}


def _token(address: Address, given: Mapping[str, str], allowed: Permissions) -> tuple[str, str] | None:
    """(user, token) of the caller's environment that this host may see."""
    if address.scheme == "ssh":
        return None
    for name, (host, user) in _TOKENS.items():
        if given.get(name) and address.host == host:
            return user, given[name]
    hosts = [host.strip().lower() for host in given.get("GIT_TOKEN_HOST", "").split(",") if host.strip()]
    if given.get("GIT_TOKEN") and (address.host in hosts if hosts else allowed.local):
        return "git", given["GIT_TOKEN"]
    return None


def _redirected(address: Address, allowed: Permissions) -> Address:
    """Where a web address leads to, checked as the first one was. Raises RecollectError."""
    from recollect.sync import http

    probe = f"{address.url}/info/refs?service=git-upload-pack"
    location = None
    try:
        numbers = checked_numbers(address, allowed)
        http.opener(address.host, numbers).open(probe, timeout=_PROBE_S).close()
    except http.HTTPError as error:
        location = error.headers.get("Location") if error.code in (301, 302, 303, 307, 308) else None
        error.close()
    except OSError as error:
        raise Unavailable(
            f"{address.host} cannot be reached",
            hint="See whether the address is right and whether this machine has a network.",
            code="clone_failed",
        ) from error
    if not location:
        raise Unavailable(
            "it redirects, and does not say where to", hint="Give the address that it leads to.", code="clone_failed"
        )
    there = urljoin(probe, location).partition("?")[0].removesuffix("/info/refs")
    if address.scheme == "https" and not there.lower().startswith("https://"):
        raise Refused(
            "it redirects to an address that is not encrypted",
            hint="Give the https address that it leads to.",
            code="refused_url",
        )
    found = parse(there, allowed)
    checked_numbers(found, allowed)
    return replace(found, key=address.key)


_REDIRECT: Final = re.compile(r"requested URL returned error: 30\d|update url base from redirection", re.IGNORECASE)
_FAILURES: Final[tuple[tuple[str, type[RecollectError], str, str, str], ...]] = (
    (r"Authentication failed|could not read (Username|Password)|terminal prompts disabled|error: 401", Refused,
     "authentication is required", "Have git's credential helper, an SSH agent or a token in the environment ready.", "auth_required"),
    (r"error: 403", Refused, "access is denied", "", "access_denied"),
    (r"Permission denied \(publickey|Host key verification failed", Refused,
     "ssh refuses: no key that the host accepts, or a host that is not known", "Try: ssh -T git@HOST", "auth_required"),
    (r"Remote branch .* not found|couldn't find remote ref", UserError, "there is no such branch", "", "no_branch"),
    (r"not found|error: 404|does not exist|does not appear to be a git repository|repository .* not exported", UserError,
     "there is no such repository, or it is not public", "", "not_found"),
    (r"No space left on device", Unavailable, "no space left for a clone", "Free some space.", "disk_full"),
    (r"Could not resolve host", Unavailable, "the host is not known", "", "unknown_host"),
    (r"early EOF|hung up|unexpected disconnect|RPC failed|Connection reset|transfer closed", Unavailable,
     "the connection was cut", "Try again.", "connection_cut"),
    (r"Connection refused|timed out|No route to host|Network is unreachable|too slow|Failed to connect|unable to access", Unavailable,
     "the host cannot be reached", "", "unreachable"),
)  # fmt: skip


def _failure(said: str, address: Address) -> Exception:
    if _REDIRECT.search(said):
        return _Redirected()
    for pattern, kind, message, hint, code in _FAILURES:
        if re.search(pattern, said, re.IGNORECASE):
            return kind(f"{address.url}: {message} ({_last(said)})", hint=hint, code=code)
    return Unavailable(
        f"{address.url}: git failed: {_last(said)}",
        hint="Try git clone with this address in a terminal.",
        code="clone_failed",
    )


def _last(said: str) -> str:
    """The line that tells most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = next(
        (line for line in lines if line.startswith(("fatal:", "error:", "ERROR:"))),
        lines[-1] if lines else "it said nothing",
    )
    return without_credentials(told)[:300]


def weight(folder: Path) -> int:
    """Bytes that a folder takes, about."""
    total = 0
    pending = [os.fspath(folder)]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total
