"""Source trees of three sizes, made from the Python files of an interpreter's library: the same on every run here."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

SIZES = {"small": 100, "middle": 1_000, "large": 10_500}
_LARGEST_FILE = 900_000  # bytes: both tools leave larger files out


def _library_files() -> Iterator[tuple[str, Path]]:
    """(relative name, file) of the standard library, then of site-packages, sorted; the base interpreter's come last."""
    roots = [Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))]
    base = Path(sysconfig.get_path("stdlib")) / "site-packages"
    for number, root in enumerate(dict.fromkeys([*roots, base])):
        for path in sorted(root.rglob("*.py")):
            relative = path.relative_to(root)
            if number == 0 and "site-packages" in relative.parts:
                continue
            if 0 < path.stat().st_size < _LARGEST_FILE:
                yield f"{('stdlib', 'packages', 'more')[number]}/{relative}", path


def make(size: str, folder: Path) -> Path:
    """A committed git repository at `folder/size` with that many files (fewer where the interpreter has fewer)."""
    root = folder / size
    if (root / ".git").exists():
        return root
    chosen = list(_library_files())
    if size != "large":
        step = max(1, 1400 // SIZES[size])  # spread over the standard library
        chosen = chosen[::step]
    for name, source in chosen[: SIZES[size]]:
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", "all"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def measure(root: Path) -> tuple[int, int]:
    """(files, bytes)."""
    sizes = [path.stat().st_size for path in root.rglob("*.py")]
    return len(sizes), sum(sizes)
