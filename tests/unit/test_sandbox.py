"""The tests know nothing of what the person who runs them has set, and reach none of their files."""

from __future__ import annotations

import inspect
import os
import re

from recollect.agents import known


def test_no_variable_that_moves_an_agents_folder_is_set() -> None:
    names = set(re.findall(r'"([A-Z][A-Z0-9]*_[A-Z0-9_]+)"', inspect.getsource(known))) - {"XDG_CONFIG_HOME"}
    assert {"CLAUDE_CONFIG_DIR", "CODEX_HOME"} <= names
    assert not names & os.environ.keys()
    assert known.Places.of().home == known.Path(os.environ["HOME"])
