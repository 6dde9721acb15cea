"""The check of what reaches a model, with a server and clients that are processes: nothing it starts outlives it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from benchmarks.agents import session, wire
from benchmarks.agents.clients import Client
from benchmarks.agents.model import Call, Conversation, serving
from benchmarks.agents.verdict import Form

from tests.conftest import wait_until

SEARCH = Call("search", "search_code", {"query": "sign the session cookie", "limit": 2})
UNKNOWN = Call("unknown", "search_code", {"query": "cookie", "repository": "nowhere"}, mistaken=True)
AGENT = """#!{python}
import json, os, subprocess, sys, urllib.request

program, url = sys.argv[1:3]
server = subprocess.Popen([program, "mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(number, method, **params):
    server.stdin.write(json.dumps({{"jsonrpc": "2.0", "id": number, "method": method, "params": params}}) + "\\n")
    server.stdin.flush()
    while True:
        message = json.loads(server.stdout.readline())
        if message.get("id") == number and "method" not in message:
            return message["result"]


info = {{"name": "test", "version": "1"}}
ask(1, "initialize", protocolVersion="2025-06-18", capabilities={{}}, clientInfo=info)
server.stdin.write('{{"jsonrpc": "2.0", "method": "notifications/initialized"}}\\n')
tools = [{{"type": "function", "function": {{"name": tool["name"]}}}} for tool in ask(2, "tools/list")["tools"]]
messages, number = [], 2
while True:
    body = json.dumps({{"messages": messages, "tools": tools}}).encode()
    message = json.loads(urllib.request.urlopen(url + "/v1/chat/completions", body).read())["choices"][0]["message"]
    if not message.get("tool_calls"):
        break
    number += 1
    call = message["tool_calls"][0]
    given = json.loads(call["function"]["arguments"])
    result = ask(number, "tools/call", name=call["function"]["name"], arguments=given)
    {told}
    messages.append({{"role": "tool", "tool_call_id": call["id"], "content": told}})
server.stdin.close()
server.wait()
"""
TEXT = 'told = result["content"][0]["text"]'
NONSENSE = 'told = "it went wrong"'
HANGS = """subprocess.Popen(["sleep", "600"], start_new_session=True)  # a process of its own group
    import time; time.sleep(600)"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    folder = tmp_path / "node_modules"
    (folder / "fake").mkdir(parents=True)
    (folder / ".bin").mkdir()
    (folder / "fake" / "package.json").write_text('{"version": "1.0"}')
    return folder


def client(modules: Path, told: str) -> Client:
    program = modules / ".bin" / "fake"
    program.write_text(AGENT.format(python=sys.executable, told=told))
    program.chmod(0o755)
    return Client("fake", "fake", "fake", None, lambda session: {}, ("{program}", "{url}"), tool=str)


def outcome(tmp_path: Path, modules: Path, told: str, limit_s: float = 60) -> session.Outcome:
    repository = session.make_repository(tmp_path / "shop")
    options = session.Options(limit_s=limit_s)
    return session.run(client(modules, told), (SEARCH, UNKNOWN), modules, tmp_path / "0", repository, options)


def processes(folder: Path) -> list[bytes]:
    """Command lines of the processes whose home lies in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"\0HOME={folder}".encode() in b"\0" + (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes())
    return [command for command in found if command]


def test_an_agent_that_passes_the_text_on_does_well(tmp_path: Path, modules: Path) -> None:
    made = outcome(tmp_path, modules, TEXT)
    assert (made.problem, made.version) == (None, "1.0")
    assert {label: got.form for label, got in made.verdicts.items()} == {"search": Form.TEXT, "unknown": Form.TEXT}
    assert made.verdicts["unknown"].is_error
    assert made.tools_offered == made.tools_listed > 10
    assert not made.is_bad
    assert processes(tmp_path) == []


def test_an_agent_that_loses_the_answers_does_badly(tmp_path: Path, modules: Path) -> None:
    made = outcome(tmp_path, modules, NONSENSE)
    assert str(made.verdicts["unknown"]) == "error unreadable"
    assert made.is_bad


def test_an_agent_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, modules: Path) -> None:
    made = outcome(tmp_path, modules, HANGS, limit_s=10)
    assert made.problem == "it did not end within 10 s"
    assert made.verdicts["search"].form is Form.MISSING
    assert made.is_bad
    assert processes(tmp_path) == []


def test_an_agent_that_does_not_start_is_told_with_its_own_words(tmp_path: Path, modules: Path) -> None:
    repository = session.make_repository(tmp_path / "shop")
    fake = client(modules, TEXT)
    (modules / ".bin" / "fake").write_text("#!/bin/sh\necho needs Node 99\n")
    made = session.run(fake, (SEARCH,), modules, tmp_path / "0", repository, session.Options(limit_s=30))
    assert made.problem is not None
    assert "needs Node 99" in made.problem


def test_the_repository_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = (session.make_repository(tmp_path / name / "shop") for name in "ab")
    texts = [{path.relative_to(root): path.read_bytes() for path in root.rglob("*.py")} for root in (first, second)]
    assert texts[0] == texts[1]
    assert len(texts[0]) > 40


def test_the_model_streams_to_a_client_that_asks_for_it() -> None:
    conversation = Conversation([SEARCH], str, lambda call, text: None)
    body: dict[str, Any] = {"stream": True, "tools": [{"name": "search_code"}], "messages": []}
    with serving(conversation) as port:
        url = f"http://127.0.0.1:{port}/v1/messages?beta=true"
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=10) as reply:
            assert reply.headers["content-type"] == "text/event-stream"
            events = reply.read().decode()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=10) as reply:
            assert json.load(reply)["data"]
    assert events.startswith("event: message_start\ndata: {")
    assert events.endswith('event: message_stop\ndata: {"type": "message_stop"}\n\n')
    assert '\\"limit\\": 2' in events


def test_what_was_said_is_read_with_batches_and_noise_between(tmp_path: Path) -> None:
    log = tmp_path / "wire.jsonl"
    said: list[tuple[str, Any]] = [
        ("client", {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "c", "version": "2"}}}),
        ("server", {"id": 1, "result": {"protocolVersion": "2025-06-18"}}),
        ("server", [{"method": "notifications/message"}]),
        ("client", {"id": 2, "method": "tools/call", "params": {"name": "read_code"}}),
        ("client", {"id": 3, "method": "tools/call", "params": {"name": "search_code"}}),
        ("server", {"id": 3, "error": {"code": 1, "message": "no"}}),
    ]
    lines = [json.dumps({"from": sender, "line": json.dumps(message)}) for sender, message in said]
    log.write_text("\n".join([*lines, json.dumps({"from": "server", "line": "no JSON"})]) + "\n")
    read = wire.read(log)
    assert (read.client, read.protocol) == ("c 2", "2025-06-18")
    assert [(call.tool, call.text, call.is_error) for call in read.calls] == [
        ("read_code", "", False),
        ("search_code", "no", True),
    ]
    assert wire.read(tmp_path / "not there").calls == []


def test_without_a_client_it_says_which_are_known(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.agents", str(tmp_path), "--no-isolation"]
    done = subprocess.run(
        command, cwd=wire.ROOT, env=os.environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "there is no client in" in done.stderr
    assert "gemini" in done.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_check_that_is_interrupted_ends_what_it_started(tmp_path: Path, modules: Path, sent: signal.Signals) -> None:
    shutil.copytree(modules / "fake", modules / "@google" / "gemini-cli")
    hanging = tmp_path / "it hangs"
    (modules / ".bin" / "gemini").write_text(f"#!/bin/sh\n: > '{hanging}'\nexec sleep 600\n")
    (modules / ".bin" / "gemini").chmod(0o755)
    command = [sys.executable, "-m", "benchmarks.agents", str(modules), "--clients", "gemini"]
    with subprocess.Popen(
        command,
        cwd=wire.ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as check:
        wait_until(hanging.exists, 60)
        assert processes(tmp_path)
        check.send_signal(sent)
        assert check.wait(60) == 128 + sent
    assert processes(tmp_path) == []
    assert list(tmp_path.glob("agents-*")) == []
