"""What agents send to the tools of memory, ours and those of mcp-memory-service, and what the answers say."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from recollect.errors import UserError
from recollect.server import tools
from recollect.server.tooling import Call
from recollect.workspace import Caller, Workspace

DOCUMENT = Path(__file__).parents[2] / "docs/how-to/memory-import.md"
ROWS = [
    (name, arguments)
    for names, arguments in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| `(\{.*?\})` \|", DOCUMENT.read_text(), re.MULTILINE)
    for name in re.findall(r"`(\w+)`", names)
]


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as made:
        yield made


def call(workspace: Workspace, name: str, **arguments: Any) -> tuple[dict[str, Any], str]:
    return tools.call(name, arguments, Call(workspace, Caller(agent=True), lambda progress: None, threading.Event()))


def text(workspace: Workspace, name: str, **arguments: Any) -> str:
    return call(workspace, name, **arguments)[1]


def contents(workspace: Workspace, name: str, **arguments: Any) -> list[str]:
    return [memory["content"] for memory in call(workspace, name, **arguments)[0]["memories"]]


def at(day: str) -> float:
    return datetime.fromisoformat(day).timestamp()


# -- mcp-memory-service -----------------------------------------------------------------------------------------------


def test_the_table_of_forms_has_every_tool_of_the_kind() -> None:
    listed = {tool.name for tool in tools.listed(["compat"]) if "memor" in tool.name or "delete_" in tool.name}
    assert listed <= {name for name, _ in ROWS}


@pytest.mark.parametrize(("name", "arguments"), ROWS, ids=[f"{name} {arguments[:40]}" for name, arguments in ROWS])
def test_every_form_in_the_table_is_understood_whole(workspace: Workspace, name: str, arguments: str) -> None:
    made = workspace.remember("x", tags=["a", "b"])
    answer, _ = call(workspace, name, **json.loads(arguments.replace("HASH", made.content_hash)))
    assert "notes" not in answer


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("memory_store", {"conversation_id": "c-1", "metadata": {"tags": "a, b", "type": "decision"}}),
        ("store_memory", {"client_hostname": "laptop", "metadata": '{"tags": ["a", "b"], "type": "decision"}'}),
        ("memory_store", {"conversation_id": "c-1", "tags": '["a", "b"]', "memory_type": "decision"}),
    ],
)
def test_where_a_memory_comes_from_is_kept_and_shown(
    workspace: Workspace, name: str, arguments: dict[str, Any]
) -> None:
    stored, _ = call(workspace, name, content="cookies are signed", **arguments)
    memory = workspace.memory.get(stored["id"])
    source = {key: value for key, value in arguments.items() if key in ("conversation_id", "client_hostname")}
    assert (memory.metadata, memory.tags, memory.memory_type) == (source, ("a", "b"), "decision")
    ((key, value),) = source.items()
    assert f"metadata: {key}: {value}" in text(workspace, "retrieve_memory", query="cookies")


def test_an_argument_without_meaning_is_named(workspace: Workspace) -> None:
    workspace.remember("cookies are signed")
    shown = text(workspace, "memory_search", query="cookies", quality_boost=0.5, stale_days=3, include_debug=True)
    assert "there is no argument 'quality_boost': it was ignored" in shown
    assert "'stale_days'" in shown
    assert "include_debug" not in shown


def test_a_search_by_tag_says_how_many_there_are_and_how_to_go_on(workspace: Workspace) -> None:
    for number in range(110):
        workspace.remember(f"fact number {number} about the api and what it does in production", tags=["Api"])
    answer, shown = call(workspace, "search_by_tag", tags=["api"])
    assert answer["total"] == 110
    assert f"{answer['count']} of 110 memories" in shown
    following = re.search(r"list_memories\((.*)\)$", shown)
    assert following is not None
    assert f"offset={answer['count']}" in following[1]
    assert len(shown) <= 1_800 * 4
    assert call(workspace, "search_by_tag", tags=["api"], limit=3)[0]["count"] == 3


@pytest.mark.parametrize("match", [{"match_all": True}, {"operation": "AND"}, {"tag_match": "All"}])
def test_a_search_by_tag_may_want_all_tags(workspace: Workspace, match: dict[str, Any]) -> None:
    workspace.remember("both", tags=["a", "b"])
    workspace.remember("one", tags=["a"])
    assert contents(workspace, "search_by_tag", tags="A, B", **match) == ["both"]
    assert len(contents(workspace, "search_by_tag", tags="A, B")) == 2


def test_a_timeframe_includes_its_last_day_and_is_one_day_without_an_end(workspace: Workspace) -> None:
    for day in ("2024-05-01T10:00", "2024-05-02T10:00", "2024-05-03T10:00"):
        workspace.memory._store.add(f"of {day[:10]}", created_at=at(day))
    frame = "recall_by_timeframe"
    assert contents(workspace, frame, start_date="2024-05-01", end_date="2024-05-02") == [
        "of 2024-05-02",
        "of 2024-05-01",
    ]
    assert contents(workspace, frame, start_date="2024-05-02") == ["of 2024-05-02"]
    assert contents(workspace, "memory_search", after="2024-05-02", before="2024-05-03") == ["of 2024-05-02"]
    assert call(workspace, "delete_by_timeframe", start_date="2024-05-02", dry_run=True)[0]["deleted_count"] == 1
    assert call(workspace, "delete_by_timeframe", start_date="2024-05-02")[0]["deleted_count"] == 1
    assert call(workspace, "delete_before_date", before_date=int(at("2024-05-03") * 1000))[0]["deleted_count"] == 1
    assert contents(workspace, "memory_list") == ["of 2024-05-03"]


@pytest.mark.parametrize("name", ["exact_match_retrieve", "memory_search"])
def test_exact_modes_find_what_holds_the_text(workspace: Workspace, name: str) -> None:
    workspace.remember("We deploy --all on Fridays")
    workspace.remember("deploy everything")
    mode = {"mode": "exact"} if name == "memory_search" else {}
    key = "query" if name == "memory_search" else "content"
    answer, shown = call(workspace, name, **{key: "deploy --all"}, **mode)
    assert [memory["content"] for memory in answer["memories"]] == ["We deploy --all on Fridays"]
    assert (answer["mode"], answer["total"]) == ("exact", 1)
    assert "1 of 1 memories" in shown
    assert "retrieve_memory" in text(workspace, name, **{key: "undeployed"}, **mode)


def test_a_response_may_be_limited_in_characters(workspace: Workspace) -> None:
    for number in range(100):
        workspace.remember(f"fact number {number} about the gateway " + "and its many features " * 20)
    small = text(workspace, "memory_search", query="gateway", limit=100, max_response_chars=4_000)
    large = text(workspace, "memory_search", query="gateway", limit=100, max_response_chars=30_000)
    assert 2_000 < len(small) <= 4_000
    assert 20_000 < len(large) <= 30_000


def test_other_keys_of_updates_are_metadata(workspace: Workspace) -> None:
    made = workspace.remember("x", tags=["a"])
    updates = {"tags": "b,c", "priority": "urgent", "metadata": {"due": "May"}, "created_at": 5, "type": "reminder"}
    call(workspace, "memory_update", content_hash=made.content_hash, updates=json.dumps(updates))
    memory = workspace.memory.get(made.id)
    assert (memory.tags, memory.memory_type) == (("b", "c"), "reminder")
    assert memory.metadata == {"priority": "urgent", "due": "May"}
    call(workspace, "update_memory_metadata", content_hash=made.id, updates={"tags": "", "memory_type": None})
    assert workspace.memory.get(made.id).tags == ("b", "c")
    call(workspace, "memory_update", content_hash=made.id, updates={"tags": []})
    assert workspace.memory.get(made.id).tags == ()


# -- what could delete too much ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("delete_memory", {}),
        ("delete_memory", {"id": "", "tags": None, "before": "  "}),
        ("delete_memory", {"tags": []}),
        ("delete_memory", {"tags": "[]"}),
        ("delete_memory", {"tags": [], "before": "2099-01-01"}),
        ("delete_memory", {"tags": [""], "before": "2099-01-01"}),
        ("delete_memory", {"tags": ",", "before": "2099-01-01"}),
        ("delete_memory", {"tags": [None], "before": "2099-01-01"}),
        ("delete_memory", {"tag_match": "all"}),
        ("delete_memory", {"before": "2099-01-01", "tagz": ["a"]}),
        ("memory_delete", {"dry_run": "false"}),
        ("memory_delete", {"before": "2099-01-01", "memory_type": "note"}),
        ("memory_delete", {"tags": "a", "tag_match": "exactly"}),
        ("delete_by_tag", {"tag": ""}),
        ("delete_by_tag", {"before": "2099-01-01"}),
        ("delete_by_tags", {"tags": [""], "before": "2099-01-01"}),
        ("delete_by_all_tags", {"tags": None}),
        ("delete_by_timeframe", {"end_date": "2099-01-01"}),
        ("delete_by_timeframe", {"start_date": None, "end_date": "2099-01-01"}),
        ("delete_before_date", {"before_date": ""}),
        ("delete_before_date", {"before_date": "soon"}),
    ],
)
def test_a_delete_that_does_not_say_what_it_means_deletes_nothing(
    workspace: Workspace, name: str, arguments: dict[str, Any]
) -> None:
    workspace.remember("x", tags=["a"])
    with pytest.raises(UserError):
        call(workspace, name, **arguments)
    assert workspace.memory.page().total == 1


@pytest.mark.parametrize("tags", [None, "", " ", ",", [""], [None], '[""]'])
def test_an_update_without_tags_leaves_them(workspace: Workspace, tags: Any) -> None:
    made = workspace.remember("x", tags=["a"])
    assert "nothing was changed" in text(workspace, "update_memory", id=made.id, tags=tags)
    call(workspace, "update_memory", id=made.id, tags=tags, memory_type="fact")
    assert workspace.memory.get(made.id).tags == ("a",)


@pytest.mark.parametrize("tags", [[], "[]", " [ ] "])
def test_an_update_with_an_empty_list_takes_the_tags_away(workspace: Workspace, tags: Any) -> None:
    made = workspace.remember("x", tags=["a"])
    call(workspace, "update_memory", id=made.id, tags=tags)
    assert workspace.memory.get(made.id).tags == ()


# -- budgets ----------------------------------------------------------------------------------------------------------

HARD_TEXTS = [
    "plain words " * 400,
    "\n" * 3_000 + "end",
    "line\n" * 900,
    "\u202e\u200b\x1b[31m" * 1_500,
    "日本語の長い文章です。" * 500,
    "🏳️‍🌈" * 1_200,
    "\x00\x01".replace("\x00", "") * 4_000,
    "x" * 200_000,
]


@pytest.mark.parametrize("max_tokens", [None, 300, 1_000, 4_500, 12_000])
def test_no_answer_is_larger_than_its_budget(workspace: Workspace, max_tokens: int | None) -> None:
    for number, content in enumerate(HARD_TEXTS * 3):
        tags = [f"tag-{number}-{other}" for other in range(number % 5 * 8)]
        metadata = {"conversation_id": "c" * 100, "notes": "n" * 1_000 * (number % 3)}
        workspace.remember(f"gateway {number} {content}", tags=[*tags, "all"], metadata=metadata)
    budget = (max_tokens or 1_800) * 4
    given = {} if max_tokens is None else {"max_tokens": max_tokens}
    for name, arguments in (
        ("retrieve_memory", {"query": "gateway", "limit": 24}),
        ("retrieve_memory", {"query": "gateway"}),
        ("list_memories", {"limit": 1_000}),
        ("list_memories", {}),
        ("memory_list", {"page_size": 100}),
        ("search_by_tag", {"tags": "all"}),
        ("exact_match_retrieve", {"content": "gateway"}),
        ("memory_search", {"time_expr": "today", "limit": 100}),
    ):
        shown = text(workspace, name, **arguments, **given)
        assert len(shown) <= budget, name
        assert "… cut:" not in shown, name
        assert re.search(r"\d+ of 24 memories", shown), name
        assert re.search(r"\w+_memor\w+\(.*offset=\d+.*\)$", shown) or "24 of 24" in shown or "5 of 24" in shown, name


def test_small_memories_fill_the_budget_well(workspace: Workspace) -> None:
    for number in range(100):
        workspace.remember(f"the gateway number {number} listens on port {8000 + number}")
    shown = text(workspace, "retrieve_memory", query="gateway", limit=100)
    assert len(shown) > 0.8 * 1_800 * 4
    assert "1,800 tokens (max_tokens) hold" in shown
    assert "100 of 100 memories" in text(workspace, "retrieve_memory", query="gateway", limit=100, max_tokens=4_500)


def test_a_shortened_memory_names_the_call_that_shows_it_whole(workspace: Workspace) -> None:
    content = "".join(f"line {number} of the long story\n" for number in range(400))
    made = workspace.remember(content)
    workspace.remember("huge " * 40_000)
    shown = text(workspace, "list_memories")
    assert f'characters in all: retrieve_memory(query="{made.id}")' in shown
    whole = text(workspace, "retrieve_memory", query=made.id)
    assert "line 0 of" in whole
    assert "line 399 of" in whole
    assert "… cut" not in whole
    following = re.search(r'200,000 characters in all: retrieve_memory\(query="(\w+)", max_tokens=(\d+)\)', shown)
    assert following is not None
    shown = text(workspace, "retrieve_memory", query=following[1], max_tokens=int(following[2]))
    assert shown.count("huge") == 40_000
    assert "cut" not in shown


def test_every_call_that_an_answer_names_can_be_made(workspace: Workspace) -> None:
    for number in range(30):
        workspace.remember(f"gateway {number} says “hello”, 'hi' and \"hey\"", tags=['quo"ted', "b,c"])
    shown = text(workspace, "retrieve_memory", query='gateway "hey"', tags=['quo"ted'], limit=7)
    seen = set(re.findall(r"^\[(\w+)\]", shown, re.MULTILINE))
    for _ in range(10):
        following = re.search(r"^The next ones: (\w+)\((.*)\)$", shown, re.MULTILINE)
        if following is None:
            break
        arguments = eval(f"dict({following[2]})", {"true": True, "false": False})
        shown = text(workspace, following[1], **arguments)
        seen |= set(re.findall(r"^\[(\w+)\]", shown, re.MULTILINE))
    assert len(seen) == 30


def test_an_empty_answer_names_what_to_ask_instead(workspace: Workspace) -> None:
    workspace.remember("the gateway speaks http2", tags=["network"])
    shown = text(workspace, "retrieve_memory", query="gateway", tags=["netwrok"])
    assert shown == (
        "Nothing is remembered of that.\n"
        'No memory has the tag netwrok. Did you mean network? retrieve_memory(query="gateway", tags=["network"])'
    )
    shown = text(workspace, "retrieve_memory", query="gateway two years ago")
    assert re.match(r"\(nothing between \d{4}-01-01.* and \d{4}-01-01.*; without the time:\)\n1 of 1 memories", shown)
