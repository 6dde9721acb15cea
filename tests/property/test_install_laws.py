"""Laws of setting agents up: whatever stands in a configuration, taking back gives it back, and twice is once."""

from __future__ import annotations

import json
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from recollect.agents import documents, hooks, ours
from recollect.agents.known import Agent
from tests.agents import COMMAND, chosen, set_up, take_back, tree

_NAMES = st.sampled_from(["a", "b c", "mcp", "recollect-other", "ü", "x.y"])
_WORDS = st.sampled_from(["x", "npx -y y", "recollect", "my-recollect hook", "# no comment", "{}", "é"])
_VALUES = st.recursive(
    st.booleans() | st.integers(-5, 5) | _WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=2),
    max_leaves=4,
)
_OTHERS = st.sampled_from(
    [
        "my-recollect-wrapper hook x",
        "echo recollect hook session-start",
        "recollect hook session-start && notify-send hi",
        "recollect hook session-start --agent claude-code; rm x",
        "recollect hook session-start --agent claude-code\nnotify",
        "sh -c 'recollect hook session-start'",
        "uvx recollect hook session-start",
        "recollect search hook",
        "cat $(recollect hook session-start)",
        "guard recollect hook session-start --agent claude-code",
        "",
    ]
)
_HOOK = st.builds(lambda line, more: {"type": "command", "command": line, **more}, _OTHERS, st.just({})) | st.just(
    {"type": "prompt", "prompt": "recollect hook session-start"}
)
_GROUP = st.builds(
    lambda inside, matcher: {**({"matcher": matcher} if matcher else {}), "hooks": inside},
    st.lists(_HOOK, max_size=3),
    st.sampled_from(["", "Bash", "startup"]),
)
_EVENTS = st.dictionaries(
    st.sampled_from(["SessionStart", "PreCompact", "SessionEnd", "Stop", "PreToolUse"]),
    st.lists(_GROUP | _VALUES, max_size=3),
    max_size=4,
)


def _json_text(value: Any, indent: int | None, tail: str, ends: str, mark: str) -> bytes:
    text = json.dumps(value, indent=indent, ensure_ascii=False) + tail
    return (mark + text.replace("\n", ends)).encode()


_SPELLED = st.tuples(
    st.sampled_from([None, 2, 4, "\t"]),
    st.sampled_from(["", "\n", " // end\n"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff"]),
)


@st.composite
def toml_texts(draw: st.DrawFn) -> str:
    parts = [
        'model = "x" # best',
        "list = [1, # one ]\n 2]",
        "mcp_servers.other.command = 'y'",
        "[tui]\ntheme = 'dark'\n# about the next one",
        "[[profile]]\nname = '''\n[mcp_servers.recollect]\n'''",
        '[mcp_servers."a b"]\ncommand = "z"\n\n[mcp_servers."a b".env]\nA = "1"',
        "mcp_servers = { o = { command = 'x' } }",
        "mcp_servers = {}",
    ]
    chosen_parts = draw(st.lists(st.sampled_from(parts), unique=True, max_size=4))
    text = "\n".join(chosen_parts) + draw(st.sampled_from(["", "\n", "\n\n", "\n# end"]))
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return draw(st.just("a = 1\n"))
    return text


@st.composite
def yaml_texts(draw: st.DrawFn) -> str:
    parts = [
        'GOOSE_MODEL: "gpt"   # model',
        "extensions:",
        "extensions: {}",
        "extensions: null",
        "extensions:\n    dev:\n        text: |\n            foo\n\n        on: true # x",
        "extensions: {dev: {a: [1, 2]}} # flow",
        "# alone",
        "text: >-\n  folded\n  lines\n\n",
        "list:\n- 1\n- b: 2\n  c: 3",
    ]
    chosen_parts = draw(st.lists(st.sampled_from(parts), unique_by=lambda part: part.split(":")[0], max_size=4))
    text = "\n".join(chosen_parts) + draw(st.sampled_from(["", "\n", "\n\n# end\n"]))
    yaml.safe_load(text)
    return text


def _check(agent_name: str, files: dict[str, bytes], edit: Any = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home, data = Path(folder) / "home", Path(folder) / "data"
        home.mkdir()
        for name, content in files.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_bytes(content)
        made = set_up(home, data, [agent_name])
        once = tree(home)
        assert not made.problems
        assert not set_up(home, data, [agent_name]).changes
        assert tree(home) == once
        take_back(home, data, [agent_name])
        assert tree(home) == files
        # and once more without what was recorded, as after an edit: the same but for what only held ours
        set_up(home, data, [agent_name])
        for path in data.glob("installed.json"):
            path.unlink()
        take_back(home, data, [agent_name])
        agent = chosen(home, [agent_name])[0]
        for name, content in files.items():
            _same_document(agent, name, (home / name).read_bytes(), content)


def _same_document(agent: Agent, name: str, now: bytes, before: bytes) -> None:
    kind = agent.kind if name == agent.file.name or name.endswith(agent.file.name) else documents.JSON

    def value(content: bytes) -> Any:
        whole = kind.read(documents.plain(content.decode())) or {}
        for holder in ("hooks", *agent.path[:1]):
            inside = whole.get(holder)
            if isinstance(inside, dict):
                whole[holder] = {key: item for key, item in inside.items() if item != []}
            if whole.get(holder, 0) in ({}, None, []):
                del whole[holder]
        return whole

    assert value(now) == value(before)


@settings(deadline=None)
@given(_EVENTS, st.dictionaries(_NAMES, _VALUES, max_size=3), _SPELLED, st.booleans())
def test_others_hooks_are_as_they_were(events: Any, more: Any, spelled: Any, null: bool) -> None:
    whole = {**more, "hooks": None if null else events}
    _check("claude-code", {".claude/settings.json": _json_text(whole, *spelled)})


@settings(deadline=None)
@given(st.dictionaries(_NAMES, _VALUES, max_size=3), st.none() | st.dictionaries(_NAMES, _VALUES, max_size=3), _SPELLED)
def test_others_servers_in_json_are_as_they_were(more: Any, servers: Any, spelled: Any) -> None:
    _check("cursor", {".cursor/mcp.json": _json_text({**more, "mcpServers": servers}, *spelled)})
    _check("opencode", {".config/opencode/opencode.json": _json_text({**more, "mcp": servers}, *spelled)})


@settings(deadline=None)
@given(toml_texts(), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\ufeff"]))
def test_toml_is_as_it_was(text: str, ends: str, mark: str) -> None:
    _check("codex", {".codex/config.toml": (mark + text.replace("\n", ends)).encode()})


@settings(deadline=None)
@given(yaml_texts(), st.sampled_from(["\n", "\r\n"]))
def test_yaml_is_as_it_was(text: str, ends: str) -> None:
    _check("goose", {".config/goose/config.yaml": text.replace("\n", ends).encode()})


@settings(deadline=None)
@given(st.text(alphabet="ab#\n <>!-", max_size=30))
def test_instructions_are_as_they_were(text: str) -> None:
    there = documents.with_block(text, "ours")
    assert documents.without_block(there) == text
    assert documents.with_block(there, "ours") == there
    assert documents.without_block(there + "theirs\n").endswith("theirs\n")


@settings(deadline=None)
@given(_EVENTS, st.integers(1, 99), st.sampled_from(["Bash", "resume"]))
def test_what_somebody_added_to_our_group_stays(events: Any, timeout: int, matcher: str) -> None:
    agent = chosen(Path("/h"), ["claude-code"])[0]
    assert agent.hooks is not None
    text = hooks.with_hooks(json.dumps({"hooks": events}), agent.hooks, agent.name, ["/old/recollect"], {})
    whole = json.loads(text)
    group = whole["hooks"]["SessionStart"][-1]
    group["matcher"] = matcher
    group["hooks"][0]["timeout"] = timeout
    group["hooks"].append({"type": "command", "command": "their-own"})
    again = json.loads(hooks.with_hooks(json.dumps(whole), agent.hooks, agent.name, COMMAND, {}))
    group["hooks"][0]["command"] = again["hooks"]["SessionStart"][-1]["hooks"][0]["command"]
    assert again["hooks"]["SessionStart"] == whole["hooks"]["SessionStart"]
    assert ours.hook_command(group["hooks"][0]["command"]).program == tuple(COMMAND)  # type: ignore[union-attr]
    left = json.loads(hooks.without_hooks(agent.hooks, json.dumps(again), json.dumps({"hooks": events})))
    assert left["hooks"]["SessionStart"][-1] == {
        "matcher": matcher,
        "hooks": [{"type": "command", "command": "their-own"}],
    }
