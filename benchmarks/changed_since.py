"""What changed since a commit, in a work tree of 10,000 files: by us, and by `git diff` and `git ls-files`.

`python -m benchmarks.changed_since [FILES]`; the ratio is of medians within one run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from recollect.sync.worktree import changed_since

_ROUNDS = 9


def _by_git(root: Path) -> set[str]:
    commands = (["diff", "--name-only", "--no-renames", "-z", "HEAD"], ["ls-files", "-z", "-o", "--exclude-standard"])
    outputs = [
        subprocess.run(["git", *command], cwd=root, capture_output=True, check=True).stdout for command in commands
    ]
    return {os.fsdecode(name) for output in outputs for name in output.split(b"\0") if name}


def _median_ms(function: Callable[[], object]) -> float:
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        function()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def main(files: int) -> None:
    """Print a line for each state of the work tree."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number in range(files):
            path = root / f"d{number % 300}" / f"f{number}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"def function_{number}(): return {number}\n" * 40)
        for command in (
            ["init", "-q"],
            ["add", "-A"],
            ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "x"],
        ):
            subprocess.run(["git", *command], cwd=root, check=True)
        os.utime(root / ".git/index")
        for state in ("nothing changed", "20 edited", "all touched"):
            for path in list(root.rglob("*.py"))[: 20 if state == "20 edited" else files]:
                if state == "20 edited":
                    path.write_text("changed\n")
                elif state == "all touched":
                    os.utime(path)
            assert changed_since(root, "HEAD") == _by_git(root)
            ours, theirs = _median_ms(lambda: changed_since(root, "HEAD")), _median_ms(lambda: _by_git(root))
            print(f"{state:<16} ours {ours:6.0f} ms   git {theirs:6.0f} ms   ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
