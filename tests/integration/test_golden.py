"""Ranks on the golden repositories are those that were last looked at: see tests/golden."""

import json
from pathlib import Path

from tests.golden.__main__ import KEPT, measured


def test_the_ranks_are_those_that_were_last_looked_at(home: Path, tmp_path: Path) -> None:
    now, kept = measured(tmp_path), json.loads(KEPT.read_text())
    differ = {
        name: (kept["ranks"].get(name), rank) for name, rank in now["ranks"].items() if kept["ranks"].get(name) != rank
    }
    assert differ == {}, "look at these; if they are right: python -m tests.golden"
    assert now == kept
    assert now["mean reciprocal rank"] > 0.8
