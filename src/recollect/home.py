"""Where things lie: the data directory, its lock, its socket. Standard library only: the pump starts with it."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from recollect.errors import AlreadyRunning
from recollect.private import open_private, private_folder, reachable_folder, sync_folder

PROTOCOL = 1  # of the socket; client and daemon must agree on it
START_LOCK = "start.lock"  # in `run/`: of whoever starts a daemon, or ends one
LONGEST_HELLO = 65_536  # bytes of the first line each way
LONGEST_LINE = 16_000_000  # bytes of one request
_LONGEST_SOCKET = 100  # bytes; the kernel's limit is 104 (macOS) or 108 (Linux), the terminating zero included


def home_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """`RECOLLECT_HOME`, else the platform's data directory."""
    given = environment.get("RECOLLECT_HOME", "").strip()
    if given:
        return Path(given).expanduser().absolute()
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/recollect").expanduser()
    base = environment.get("LOCALAPPDATA" if os.name == "nt" else "XDG_DATA_HOME", "").strip()
    return Path(base or "~/.local/share").expanduser() / "recollect"


def run_folder(home: Path) -> Path:
    """Lock, socket, log of the daemon; made if need be, for this user alone. Raises Refused where others could get at it."""
    return private_folder(reachable_folder(home) / "run")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, for this user alone, so that they survive a power cut."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def own(home: Path, wait_s: float = 0.0) -> int:
    """Hold the home's lock while the returned descriptor is open; waits for one that is ending. Raises AlreadyRunning."""
    descriptor = open_private(run_folder(home) / "daemon.lock", os.O_RDWR | os.O_CREAT)
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= until:
                break
            time.sleep(0.05)
    os.close(descriptor)
    raise AlreadyRunning(
        f"{home} is in use by a running daemon or another Workspace", hint="Stop it: recollect daemon stop"
    )


def still_owned(home: Path, lock: int) -> bool:
    """Whether the lock that is held is still the home's: not where somebody removed the folder."""
    try:
        return os.path.samestat(os.stat(home / "run" / "daemon.lock"), os.fstat(lock))
    except FileNotFoundError:
        return False


def mark_stopped(home: Path) -> None:
    """Note that somebody wanted the daemon to end: who only kept a connection open does not start another one."""
    with suppress(OSError):
        os.close(os.open(run_folder(home) / "stopped", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def unmark_stopped(home: Path) -> None:
    """A daemon runs again."""
    with suppress(OSError):
        (run_folder(home) / "stopped").unlink()


def was_stopped(home: Path) -> bool:
    """Whether the last daemon of a data directory ended because somebody wanted it to."""
    return os.path.exists(home / "run" / "stopped")


def socket_path(home: Path) -> Path:
    """`run/daemon.sock`; where that is too long for a socket, a name made from it in /tmp.

    Not in a directory that the environment names: agents and terminals of one user differ in theirs, and all must meet here.
    Raises Refused where that folder is not this user's alone.
    """
    path = home / "run" / "daemon.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        return path
    folder = private_folder(Path("/tmp") / f"recollect-{os.getuid()}")
    import hashlib  # seldom needed

    return folder / (hashlib.blake2b(os.fsencode(home), digest_size=12).hexdigest() + ".sock")
