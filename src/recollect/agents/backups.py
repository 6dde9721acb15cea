"""Copies of configuration files, one before each change, in `backups/agents` of the home."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Final

from recollect.errors import UserError

_MOST: Final = 10  # of one file, beside the one from before the first change


def keep(home: Path, path: str, text: str | None, pinned: str | None) -> str | None:
    """Keep a file as it is, unless a copy says the same already; the copy's name. Raises UserError where it cannot be.

    The oldest copies of the file go when there are too many, but for the `pinned` one.
    """
    if text is None:
        return None
    try:
        folder = _folder(home)
        prefix = f"{_digest(path)[:8]}-"
        suffix = f"-{_digest(text)[:12]}-{os.path.basename(path)}"
        copies = sorted(folder.glob(f"{prefix}*"), key=lambda copy: copy.stat().st_mtime_ns)
        same = [copy for copy in copies if copy.name.endswith(suffix) and copy.read_bytes() == text.encode()]
        if same:
            return same[0].name
        name = f"{prefix}{time.strftime('%Y%m%d-%H%M%S')}{suffix}"
        with open(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode())
        old = [copy for copy in copies if copy.name != pinned]
        for copy in old[: max(0, len(old) + 1 - _MOST)]:
            copy.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"no copy of it can be kept in {home}: {error.strerror}", code="no_backup") from error
    return name


def read(home: Path, name: str) -> str | None:
    """A copy's text; None where it is not there any longer."""
    try:
        return (home / "backups" / "agents" / name).read_bytes().decode()
    except OSError:
        return None


def _folder(home: Path) -> Path:
    folder = home / "backups" / "agents"
    for made in (home, home / "backups", folder):
        made.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
