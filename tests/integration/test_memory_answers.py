"""What answers about memories say: how many there are, what was left out and why, and how to get it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from recollect.calls import as_tool, told
from recollect.errors import Refused, UserError
from recollect.memory.recall import exact, recall
from recollect.memory.store import Filter, MemoryStore
from recollect.model import DeletedMemories, MemoryList, RecalledMemories
from recollect.workspace import Caller, Workspace
from tests.conftest import MakeRepository, git, wait_until

NOW = datetime.now().astimezone()
DAY = 86_400.0


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    made = MemoryStore(tmp_path / "memory.db")
    yield made
    made.close()


# -- tags and types ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["AUTH", "auth", "Auth", "STRASSE", "straße", "CAFÉ", "cafe\u0301", "ÉTÉ"])
def test_tags_match_whatever_their_case_and_stay_as_written(store: MemoryStore, asked: str) -> None:
    written = ("Auth", "Straße", "Café", "été")
    store.add("one", tags=written)
    store.add("other", tags=["authority", "strass"])
    memories, total = store.newest(Filter(tags=(asked,)), 10)
    assert ([memory.content for memory in memories], total) == (["one"], 1)
    assert set(memories[0].tags) == set(written)
    assert recall(store, "one", Filter(tags=(asked,)), 5, now=NOW).count == 1


def test_all_of_several_tags_match_whatever_their_case(store: MemoryStore) -> None:
    store.add("one", tags=["API", "Prod"])
    store.add("other", tags=["api", "dev"])
    assert store.total(Filter(tags=("api", "PROD"), tag_match="all")) == 1
    assert store.total(Filter(tags=("Api", "api"), tag_match="all")) == 2
    assert store.total(Filter(tags=("DEV", "prod"))) == 2


def test_types_match_whatever_their_case(store: MemoryStore) -> None:
    store.add("one", memory_type="Decision")
    assert store.total(Filter(memory_type="decision")) == 1
    assert store.total(Filter(memory_type="decisions")) == 0


def test_a_tag_that_differs_in_case_alone_is_not_added_again(store: MemoryStore) -> None:
    made = store.add("one", tags=["API"])
    store.add("one", tags=["api", "new"])
    assert store.get(made.id).tags == ("API", "new")


def test_memories_are_deleted_by_tags_of_another_case(workspace: Workspace) -> None:
    workspace.remember("one", tags=["Draft"])
    workspace.remember("two", tags=["draft"])
    workspace.remember("three", tags=["drafts"])
    assert workspace.memory.delete(filters={"tags": "DRAFT"}).deleted_count == 2


# -- contents that hold a text ----------------------------------------------------------------------------------------


def test_exact_finds_contents_that_hold_the_text_and_first_those_as_it_is_written(store: MemoryStore) -> None:
    store.add("run DEPLOY --all now", created_at=3 * DAY)
    store.add("then deploy --all", created_at=DAY)
    store.add("we deploy --all on Fridays", created_at=2 * DAY)
    store.add("deploy all", created_at=4 * DAY)
    found = exact(store, "deploy --all", Filter(), 10)
    assert [memory.content for memory in found.memories] == [
        "we deploy --all on Fridays",
        "then deploy --all",
        "run DEPLOY --all now",
    ]
    assert (found.total, found.mode, found.next_offset) == (3, "exact", None)
    assert exact(store, "100%_", Filter(), 10).total == 0
    assert [one.content for one in exact(store, "deploy --all", Filter(), 1, offset=1).memories] == [
        "then deploy --all"
    ]


def test_a_shortened_content_shows_where_the_exact_text_is(store: MemoryStore) -> None:
    store.add("filler " * 3_000 + "the needle Ünïted " + "filler " * 3_000)
    for text in ("needle Ünïted", "NEEDLE ÜNÏTED"):
        (memory,) = exact(store, text, Filter(), 10, max_tokens=300).memories
        assert "needle Ünïted" in memory.content
        assert memory.truncated


# -- how many, and how to go on ---------------------------------------------------------------------------------------


def test_pages_of_a_question_hold_every_memory_once(store: MemoryStore) -> None:
    for number in range(130):
        store.add(f"the gateway number {number} listens on port {8000 + number}")
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = recall(store, "gateway port", Filter(), 100, now=NOW, max_tokens=1_800, offset=offset)
        assert page.total == 130
        assert page.count < 100
        seen += [memory.id for memory in page.memories]
        offset = page.next_offset
    assert len(seen) == len(set(seen)) == 130


def test_a_question_says_whether_there_may_be_more_than_it_looked_at(store: MemoryStore) -> None:
    for number in range(130):
        store.add(f"the gateway number {number} listens")
    few = recall(store, "gateway", Filter(), 5, now=NOW)
    assert (few.count, few.total_is_exact, few.next_offset) == (5, False, 5)
    assert few.total >= 60


def test_pages_of_a_list_hold_every_memory_once(workspace: Workspace) -> None:
    for number in range(50):
        workspace.remember(f"fact number {number} " + "and more words " * (number % 7) * 20, tags=["fact"])
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = workspace.memory.page(page_size=20, filters={"tags": "FACT"}, offset=offset, max_tokens=1_000)
        assert (page.total, page.has_more) == (50, page.next_offset is not None)
        seen += [memory.id for memory in page.memories]
        offset = page.next_offset
    assert len(seen) == len(set(seen)) == 50


def test_long_contents_are_shortened_alike_and_short_ones_stay_whole(store: MemoryStore) -> None:
    store.add("short one about the gateway")
    for number in range(4):
        store.add(f"{number} gateway " + f"word{number} " * 2_000)
    answer = recall(store, "gateway", Filter(), 5, now=NOW, max_tokens=1_800)
    lengths = sorted(len(memory.content) for memory in answer.memories)
    assert lengths[0] == 27
    assert lengths[1] > 1_000
    assert lengths[4] - lengths[1] < 100
    assert {memory.content_length for memory in answer.memories if memory.truncated} != {None}


def test_a_shortened_content_begins_where_most_words_of_the_question_are(store: MemoryStore) -> None:
    filler = "Nothing of interest is said in this sentence. " * 20
    store.add(f"{filler} The turnstile rotates its credentials hourly. {filler * 5}")
    (memory,) = recall(store, "turnstile credentials", Filter(), 5, now=NOW, max_tokens=150).memories
    assert "turnstile rotates its credentials" in memory.content


def test_a_memory_is_read_whole_by_its_id(workspace: Workspace) -> None:
    text = "long " * 3_000
    made = workspace.remember(text)
    workspace.remember("another one that is long")
    assert workspace.recall("long", max_tokens=500).memories[0].truncated
    for key in (made.id, f" {made.content_hash} "):
        answer = workspace.recall(key, max_tokens=500)
        assert (answer.mode, answer.count, answer.memories[0].content) == ("id", 1, text)
    long = workspace.remember("longer " * 10_000)
    assert workspace.recall(long.id, max_tokens=500).memories[0].truncated
    assert not workspace.recall(long.id, max_tokens=20_000).memories[0].truncated


# -- time -------------------------------------------------------------------------------------------------------------


def test_a_time_in_a_question_that_leaves_nothing_is_ignored_and_that_is_said(store: MemoryStore) -> None:
    store.add("the gateway speaks http2", created_at=time.time() - 40 * DAY)
    answer = recall(store, "gateway yesterday", Filter(), 5, now=NOW)
    assert answer.count == 1
    assert answer.time_range is None
    yesterday = (NOW - timedelta(days=1)).date().isoformat()
    assert str((answer.ignored_time_range or {})["after"]).startswith(yesterday)
    assert recall(store, "gateway", Filter(), 5, now=NOW, time_phrase="yesterday").count == 0


@pytest.mark.parametrize("query", ["Friday scaling", "Q3 roadmap", "May 4 outage", "Patch Tuesday"])
def test_words_of_a_topic_are_no_time(store: MemoryStore, query: str) -> None:
    store.add(query, created_at=1_000_000_000.0)
    answer = recall(store, query, Filter(), 5, now=NOW)
    assert (answer.count, answer.time_range, answer.ignored_time_range) == (1, None, None)


MOMENT = 1_714_521_600.0  # 2024-05-01T00:00Z


@pytest.mark.parametrize(
    "bound",
    [
        MOMENT,
        int(MOMENT * 1e3),
        int(MOMENT * 1e6),
        str(int(MOMENT)),
        str(int(MOMENT * 1e3)),
        f" {MOMENT} ",
        "2024-05-01T00:00:00Z",
        "2024-05-01T02:00:00+02:00",
        "2024-05-01 00:00:00+00:00",
    ],
)
def test_bounds_are_understood_in_every_usual_form(workspace: Workspace, bound: str | float) -> None:
    store = workspace.memory._store
    store.add("before it", created_at=MOMENT - 1)
    store.add("after it", created_at=MOMENT + 1)
    assert [one.content for one in workspace.recall("", after=bound).memories] == ["after it"]
    assert [one.content for one in workspace.recall("", before=bound).memories] == ["before it"]


def test_bounds_may_be_days_and_phrases(workspace: Workspace) -> None:
    store = workspace.memory._store
    store.add("old", created_at=NOW.timestamp() - 30 * DAY)
    store.add("new")
    for bound in (
        "yesterday",
        "2 days ago",
        "last week",
        "since yesterday",
        (NOW - timedelta(days=3)).date().isoformat(),
    ):
        assert [one.content for one in workspace.recall("", after=bound).memories] == ["new"], bound
        assert [one.content for one in workspace.recall("", before=bound).memories] == ["old"], bound
    assert workspace.recall("", before="now").count == 2
    assert workspace.recall("", after=4e12, before="9999999999").count == 0
    assert workspace.recall("", before="9999999999").count == 2
    assert workspace.recall("", until=NOW.date().isoformat()).count == 2
    assert workspace.recall("", before=NOW.date().isoformat()).count == 1
    assert workspace.recall("", until="").count == 2


@pytest.mark.parametrize(
    "bound", ["soon", "2024-13-01", "inf", "nan", True, [], "12345678901234567890123", "x" * 1_000]
)
def test_a_bound_that_is_no_time_is_refused_with_the_forms_that_are(workspace: Workspace, bound: object) -> None:
    with pytest.raises(UserError) as caught:
        workspace.recall("", after=bound)
    assert caught.value.code == "bad_time"
    assert "2024-05-01" in caught.value.hint
    assert "milliseconds" in caught.value.hint


# -- answers that disappoint ------------------------------------------------------------------------------------------


def said(answer: RecalledMemories | MemoryList | DeletedMemories) -> str:
    return " ".join(told(step.reason, step.call, as_tool) for step in answer.next_steps or ())


def test_an_empty_answer_says_what_kept_it_empty_and_what_to_ask_instead(workspace: Workspace) -> None:
    assert said(workspace.recall("gateway")).startswith("Nothing is remembered yet")
    workspace.remember("the gateway speaks http2", tags=["network", "auth"], memory_type="decision")
    for answer, sentence in (
        (
            workspace.recall("gateway", tags="atuh"),
            'Did you mean auth? retrieve_memory(query="gateway", tags=["auth"])',
        ),
        (workspace.memory.page(filters={"tags": "zzz"}), "Tags that there are: auth, network."),
        (workspace.recall("gateway", memory_type="descision"), 'retrieve_memory(query="gateway", type="decision")'),
        (workspace.recall("gateway", time_phrase="last year"), 'leave 1 memory: retrieve_memory(query="gateway")'),
        (workspace.recall("gateway", before="2020-01-01"), 'leave 1 memory: retrieve_memory(query="gateway")'),
        (workspace.recall("elephants"), "1 memory is there, and none is about that. To see them: list_memories()"),
        (workspace.recall("gateways!", mode="exact"), 'By its words: retrieve_memory(query="gateways!")'),
        (workspace.memory.delete(filters={"tags": "atuh"}), 'delete_memory(tags=["auth"], dry_run=true)'),
    ):
        assert sentence in said(answer)
    workspace.remember("another", tags=["other"])
    assert '2 memories have one of them: list_memories(tags=["auth", "other"])' in said(
        workspace.memory.page(filters={"tags": "auth,other", "tag_match": "all"})
    )
    assert said(workspace.recall("gateway")) == ""


def test_an_answer_that_leaves_some_out_says_why_and_how_to_go_on(workspace: Workspace) -> None:
    for number in range(130):
        workspace.remember(f"the gateway number {number} listens on port {8000 + number}", tags=["net"])
    answer = workspace.recall("gateway", 100, tags="NET", max_tokens=1_800)
    assert (
        f"1,800 tokens (max_tokens) hold {answer.count} of the 100 asked for; the next ones: "
        f'retrieve_memory(query="gateway", limit=100, tags=["NET"], offset={answer.count})' in said(answer)
    )
    assert said(workspace.recall("gateway")) == 'The next ones: retrieve_memory(query="gateway", offset=5)'
    assert said(workspace.recall("", 5, tags="net")) == 'The next ones: list_memories(limit=5, tags=["net"], offset=5)'
    page = workspace.memory.page(page=3)
    assert said(page) == "The next ones: list_memories(offset=60)"
    assert said(workspace.memory.page(page=7)) == ""
    assert "From the first: list_memories()" in said(workspace.memory.page(page=8))
    today = NOW.date().isoformat()
    assert f'retrieve_memory(query="", after="{today}", offset=5)' in said(workspace.recall("", after=today))


# -- changes and deletes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, "", " , ", [""], [None]])
def test_tags_that_are_not_given_stay(workspace: Workspace, nothing: object) -> None:
    made = workspace.remember("one", tags=["a", "b"])
    assert workspace.memory.update(made.id, tags=nothing, memory_type="fact").tags == ("a", "b")
    assert workspace.memory.update(made.id, tags=nothing, content="").content == "one"


def test_an_empty_list_of_tags_takes_them_all_away(workspace: Workspace) -> None:
    made = workspace.remember("one", tags=["a", "b"])
    assert workspace.memory.update(made.id, tags=[]).tags == ()


def test_metadata_of_a_change_may_hold_tags_and_type(workspace: Workspace) -> None:
    made = workspace.remember("one", tags=["a"])
    changed = workspace.memory.update(made.id, metadata='{"tags": "x, y", "type": "fact", "priority": 2}')
    assert (changed.tags, changed.memory_type, changed.metadata) == (("x", "y"), "fact", {"priority": 2})
    assert workspace.memory.update(made.id, metadata={"tags": ""}).tags == ("x", "y")


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"tags": None},
        {"tags": ""},
        {"tags": []},
        {"tags": [""]},
        {"tags": " , "},
        {"tag_match": "all"},
        {"before": "", "after": None},
        {"tags": [], "before": "2099-01-01"},
        {"tags": [""], "before": "2099-01-01"},
        {"tags": ",", "after": "2000-01-01"},
    ],
)
def test_a_delete_whose_filter_names_nothing_deletes_nothing(workspace: Workspace, filters: dict[str, object]) -> None:
    workspace.remember("one", tags=["a"])
    with pytest.raises(UserError) as caught:
        workspace.memory.delete(filters=filters)
    assert caught.value.code == "empty_filter"
    assert workspace.memory.page().total == 1


# -- whose it is ------------------------------------------------------------------------------------------------------


def test_a_memory_in_a_git_folder_that_was_never_synced_belongs_to_it(
    workspace: Workspace, make_repository: MakeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    root = make_repository({"src/a.py": "x = 1\n"}, "fresh")
    for agent, place in ((True, root / "src"), (False, root)):
        made = workspace.remember(f"a fact for {agent}", caller=Caller(cwd=str(place), agent=agent))
        assert (made.repository, made.notice) == ("fresh", None)
    assert [item.name for item in workspace.repositories().repositories] == ["fresh"]
    assert workspace.recall("fact", repository="fresh").count == 2
    wait_until(lambda: workspace.status("fresh").files == 1)


def test_a_memory_of_a_path_that_was_never_synced_belongs_to_it(
    workspace: Workspace, make_repository: MakeRepository, tmp_path: Path
) -> None:
    root = make_repository({"a.py": "x = 1\n"}, "fresh")
    assert workspace.remember("a fact", repository=str(root), caller=Caller(cwd=str(tmp_path))).repository == "fresh"
    with pytest.raises(UserError, match="no repository is called"):
        workspace.remember("a fact", repository="unheard")


def test_a_linked_work_tree_has_its_own_memories(
    workspace: Workspace, make_repository: MakeRepository, tmp_path: Path
) -> None:
    root = make_repository({"a.py": "x = 1\n"}, "main")
    git(root, "worktree", "add", "-q", str(tmp_path / "linked"))
    made = workspace.remember("a fact", caller=Caller(cwd=str(tmp_path / "linked")))
    assert made.repository == "linked"
    assert workspace.recall("fact", caller=Caller(cwd=str(root))).count == 1


def test_a_memory_where_no_repository_may_be_registered_is_stored_and_says_so(
    workspace: Workspace, make_repository: MakeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository({"a.py": "x = 1\n"}, "userhome")
    monkeypatch.setenv("HOME", str(root))
    with pytest.raises(Refused):
        workspace.add(str(root), caller=Caller(cwd=str(root)))
    made = workspace.remember("a fact", caller=Caller(cwd=str(root)))
    assert made.repository is None
    assert "home folder" in str(made.notice)
    plain = tmp_path / "plain"
    plain.mkdir()
    made = workspace.remember("another fact", caller=Caller(cwd=str(plain)))
    assert (made.repository, made.notice) == (None, None)
    assert workspace.repositories().total == 0
