"""Git for the making of training data: in copies of chosen repositories, with all of its commands."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from recollect.sync.git import environment as environment

SAFE = ("-c", "core.fsmonitor=", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*")


def run(
    arguments: Sequence[str], folder: Path, *, timeout_s: float = 120.0, input: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder; the caller looks at the return code."""
    return subprocess.run(
        ["git", *SAFE, *arguments],
        cwd=folder,
        env=environment() | {"GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1"},
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
