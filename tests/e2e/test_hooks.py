"""The hooks that agents run: what they say, and that whatever they meet they end at once and quietly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recollect.client import Connection
from tests.conftest import SHOP, MakeRepository


def hook(*arguments: str, given: Any = None, env: dict[str, str] | None = None) -> Any:
    text = given if isinstance(given, str) else json.dumps(given or {})
    done = subprocess.run(
        [sys.executable, "-m", "recollect", "hook", *arguments],
        input=text,
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, **(env or {})},
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_a_session_is_told_what_is_remembered_of_its_repository(home: Path, make_repository: MakeRepository) -> None:
    root = make_repository(SHOP, "shop")
    with Connection() as daemon:
        daemon.call("sync", {"path": str(root)})
        daemon.call("remember", {"content": "Prices are in cents.", "repository": "shop", "memory_type": "decision"})
        daemon.call("remember", {"content": "Answer in short sentences.", "memory_type": "preference"})
        daemon.call("remember", {"content": "It rained."})
        daemon.call("remember", {"content": "Carts expire after a day.", "tags": ["shop"]})
    given = {"cwd": str(root / "shop"), "hook_event_name": "SessionStart", "source": "startup"}
    told = hook("session-start", "--agent", "claude-code", given=given)["hookSpecificOutput"]
    assert told["hookEventName"] == "SessionStart"
    assert "decision: Prices are in cents." in told["additionalContext"]
    assert "Answer in short sentences." in told["additionalContext"]
    assert "Carts expire" in told["additionalContext"]
    assert "It rained" not in told["additionalContext"]
    roots = {"workspace_roots": [str(root)]}
    assert "Prices" in hook("session-start", "--agent", "cursor", given=roots)["additional_context"]
    short = hook("session-start", "--agent", "cursor", "--max-tokens", "5", given=roots)
    assert short == {}


def test_what_a_session_decided_is_offered_to_the_next_once(
    home: Path, make_repository: MakeRepository, tmp_path: Path
) -> None:
    root = make_repository(SHOP, "shop")
    with Connection() as daemon:
        daemon.call("sync", {"path": str(root)})
        daemon.call("remember", {"content": "From now on use tabs everywhere.", "repository": "shop"})
    transcript = tmp_path / "transcript.jsonl"
    said = [
        "We decided to keep carts in SQLite. The token: ghp_" + "a" * 36,
        "From now on use tabs everywhere.",
        "Decision: the token is ghp_" + "a" * 36,
    ]
    lines = [{"type": "user", "message": {"role": "user", "content": one}} for one in said]
    transcript.write_text("\n".join(map(json.dumps, lines)))
    given = {"cwd": str(root), "transcript_path": str(transcript)}
    assert hook("before-compaction", "--agent", "claude-code", given=given) == {}
    assert hook("session-end", "--agent", "claude-code", given=given) == {}  # the same again: kept once
    told = hook("session-start", "--agent", "cursor", given=given)["additional_context"]
    assert told.count("We decided to keep carts in SQLite.") == 1
    assert "ghp_" not in told
    assert told.count("use tabs everywhere") == 1  # it is remembered already
    again = hook("session-start", "--agent", "cursor", given=given)["additional_context"]
    assert "not kept yet" not in again


@pytest.mark.parametrize(
    "given", ["", "no json", "[]", '{"cwd": 7, "transcript_path": "/nowhere"}', '{"cwd": "/nowhere"}']
)
@pytest.mark.parametrize("event", ["session-start", "before-compaction", "session-end"])
def test_a_hook_never_fails_a_session(home: Path, event: str, given: str) -> None:
    assert hook(event, "--agent", "claude-code", given=given) in (None, {})


def test_a_hook_gives_up_in_time_where_no_daemon_answers(home: Path) -> None:
    import socket

    from recollect.home import run_folder, socket_path

    run_folder(home)
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(socket_path(home)))
    silent.listen(5)
    assert hook("session-start", given={"cwd": "/tmp"}) is None  # or it would not end at all
    silent.close()


def test_an_unknown_event_is_said_and_harms_nothing(home: Path) -> None:
    assert hook("no-such-event") is None
