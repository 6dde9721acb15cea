"""Measure, write `ranks.json`, say what changed: `python -m tests.golden`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from recollect.workspace import Workspace
from tests.conftest import git, write
from tests.golden.repositories import COMMITS, QUESTIONS, REPOSITORIES

KEPT: Final = Path(__file__).with_name("ranks.json")


def measured(folder: Path) -> dict[str, Any]:
    """question → rank of the expected file (0: not found) and, where it is first, how far ahead it is; and the means."""
    with Workspace(folder / "home") as workspace:
        for name, files in REPOSITORIES.items():
            root = folder / name
            write(root, files)
            git(root, "init", "-q")
            git(root, "add", "-A")
            git(root, "commit", "-q", "-m", "first")
            for subject, changed in COMMITS[name]:
                for path in changed:
                    with open(root / path, "a", encoding="utf-8") as file:
                        file.write("\n")
                git(root, "commit", "-q", "-a", "-m", subject)
            workspace.sync(root)
        ranks = {}
        for name, question, path in QUESTIONS:
            hits = workspace.search(question, str(folder / name), limit=50).hits
            ranks[f"{name}: {question}"] = next((i for i, hit in enumerate(hits, 1) if hit.path == path), 0)
    found = list(ranks.values())
    return {
        "first": round(sum(rank == 1 for rank in found) / len(found), 3),
        "mean reciprocal rank": round(sum(1 / rank for rank in found if rank) / len(found), 3),
        "ranks": ranks,
    }


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        now = measured(Path(folder))
    before = json.loads(KEPT.read_text()) if KEPT.exists() else {"ranks": {}}
    for question, rank in now["ranks"].items():
        if before["ranks"].get(question) != rank:
            print(f"{before['ranks'].get(question, '-')} → {rank}  {question}")
    KEPT.write_text(json.dumps(now, indent=1) + "\n")
    print({name: value for name, value in now.items() if name != "ranks"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
