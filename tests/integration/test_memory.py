"""Memories: kept, found, changed, forgotten, moved in and out."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from recollect.config import Settings
from recollect.errors import UserError
from recollect.memory import words
from recollect.memory.recall import recall
from recollect.memory.redact import redact
from recollect.memory.store import Filter, MemoryStore
from recollect.memory.validate import MAX_CONTENT, tag_list
from recollect.workspace import Workspace
from tests.conftest import MakeRepository, wait_until


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    made = MemoryStore(tmp_path / "memory.db")
    yield made
    made.close()


def found(store: MemoryStore, query: str, wanted: Filter = Filter()) -> list[str]:  # noqa: B008
    return [memory.content for memory in recall(store, query, wanted, 10, now=datetime.now().astimezone()).memories]


def test_words_identifiers_and_file_names_are_found(store: MemoryStore) -> None:
    store.add("We deployed the billing service to Frankfurt")
    store.add("SessionStore.save_all writes cookies in one transaction")
    store.add("The flaky test lives in tests/e2e/test_login.py")
    store.add("Über-Schrift: naïve café")
    assert found(store, "deploying billing")[0].startswith("We deployed")
    assert found(store, "save_all")[0].startswith("SessionStore")
    assert found(store, "session store")[0].startswith("SessionStore")
    assert found(store, "test_login.py")[0].startswith("The flaky")
    assert found(store, "uber naive")[0].startswith("Über")
    assert found(store, "kubernetes") == []
    assert found(store, '"; DROP TABLE memories; -- AND OR NOT NEAR(') == []


def test_the_same_content_is_one_memory(store: MemoryStore) -> None:
    first = store.add("Use  UTC\neverywhere", tags=["time"], metadata={"a": 1})
    again = store.add("Use UTC everywhere ", tags=["rule"], metadata={"b": 2})
    assert (again.duplicate, again.id, first.duplicate) == (True, first.id, False)
    memory = store.get(first.id)
    assert (memory.tags, memory.metadata) == (("rule", "time"), {"a": 1, "b": 2})
    assert store.add("caf\u00e9 rules").id == store.add("cafe\u0301 rules").id


def test_near_duplicates_are_told_and_both_are_kept(store: MemoryStore) -> None:
    first = store.add("The nightly build of the payment service fails on ARM machines")
    second = store.add("The nightly build of the payment service fails on ARM boxes")
    assert [item["id"] for item in second.similar] == [first.id]
    assert len(found(store, "nightly build")) == 2


def test_filters_hold_inside_the_query(store: MemoryStore) -> None:
    for number in range(200):
        store.add(f"cache entry number {number}", tags=["noise"], created_at=1_000.0 + number)
    store.add("a cache that matters", tags=["a", "b"], memory_type="decision", created_at=5_000.0, repository="api")
    assert found(store, "cache", Filter(tags=("a",))) == ["a cache that matters"]
    assert found(store, "cache", Filter(tags=("a", "b"), tag_match="all")) == ["a cache that matters"]
    assert found(store, "cache", Filter(tags=("a", "noise"), tag_match="all")) == []
    assert found(store, "cache", Filter(memory_type="decision")) == ["a cache that matters"]
    assert found(store, "cache", Filter(after=4_999.0, before=5_001.0)) == ["a cache that matters"]
    assert found(store, "cache", Filter(repository="api")) == ["a cache that matters"]
    assert found(store, "cache", Filter(after=1_010.0, before=1_012.0)) == [
        "cache entry number 11",
        "cache entry number 10",
    ]


def test_an_update_keeps_the_version_before(store: MemoryStore) -> None:
    made = store.add("The port is 8080", tags=["net"])
    changed = store.update(made.id, content="The port is 9090", tags=["net", "prod"])
    assert (changed.id, changed.content, changed.tags) == (made.id, "The port is 9090", ("net", "prod"))
    assert found(store, "8080") == []
    assert found(store, "9090") == ["The port is 9090"]
    (record,) = store.everything()
    assert record["versions"][0]["content"] == "The port is 8080"
    store.add("Another")
    with pytest.raises(UserError, match="has this content already"):
        store.update(made.id, content="Another")


def test_deletes_can_be_undone_for_thirty_days(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = store.add("to be forgotten")
    store.delete([store.number_of(made.id)[0]])
    assert found(store, "forgotten") == []
    assert store.restore(made.id).content == "to be forgotten"
    assert found(store, "forgotten") == ["to be forgotten"]
    store.delete([store.number_of(made.id)[0]])
    assert store.sweep() == 0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 31 * 86_400)
    assert store.sweep() == 1
    with pytest.raises(UserError, match="no memory"):
        store.restore(made.id)
    hard = store.add("gone at once")
    store.delete([store.number_of(hard.id)[0]], hard=True)
    assert list(store.everything()) == []


def test_one_memory_may_supersede_another(workspace: Workspace) -> None:
    old = workspace.remember("Sessions are stored in Redis")
    new = workspace.remember("Sessions are stored in Postgres", supersedes=old.id)
    result = workspace.recall("where are sessions stored")
    assert [memory.id for memory in result.memories] == [new.id, old.id]
    assert result.memories[1].superseded_by == new.id


def test_secrets_are_replaced_and_nothing_else_is() -> None:
    for text in (
        "token ghp_" + "a" * 36,
        "AKIAIOSFODNN7EXAMPLE is the key",
        "password = correct-horse-battery",
        "https://user:hunter22@example.org/x",
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
    ):
        cleaned, count = redact(text)
        assert count == 1, text
        assert "removed]" in cleaned
    plain = "the password policy asks for tokens; sk-learn and task-runner are libraries; secret: none"
    assert redact(plain) == (plain, 0)


def test_bad_input_is_refused_clearly(workspace: Workspace) -> None:
    for content, code in (("  ", "empty_content"), ("x" * (MAX_CONTENT + 1), "too_long")):
        with pytest.raises(UserError) as caught:
            workspace.remember(content)
        assert caught.value.to_dict()["code"] == code
    with pytest.raises(UserError, match="everything"):
        workspace.memory.delete()
    with pytest.raises(UserError, match="no memory"):
        workspace.memory.delete("nothing")
    with pytest.raises(UserError, match="tags"):
        workspace.remember("x", tags={"a": 1})
    assert tag_list("a, b,,c ") == ["a", "b", "c"]
    assert tag_list('["a", "b"]') == ["a", "b"]


def test_long_content_is_remembered_whole_and_fits_a_budget(workspace: Workspace) -> None:
    text = "needle in the hay. " + "hay and straw. " * 20_000
    made = workspace.remember(text)
    assert workspace.memory.get(made.id).content == text
    answer = workspace.recall("needle", max_tokens=100)
    assert len(answer.memories[0].content) <= 400
    assert answer.memories[0].truncated


def test_a_passage_of_a_long_memory_is_found_as_if_it_stood_alone(store: MemoryStore) -> None:
    filler = "\n\n".join(f"Paragraph {n} about nothing in particular, and the weather." for n in range(400))
    long = store.add(f"{filler}\n\nThe turnstile rotates its credentials hourly.\n\n{filler}")
    for n in range(40):
        store.add(f"credentials are mentioned here too, in note {n}, next to many other words about other things")
    answer = recall(store, "turnstile credentials", Filter(), 3, now=datetime.now().astimezone(), max_tokens=200)
    assert answer.memories[0].id == long.id
    assert "rotates its credentials" in answer.memories[0].content
    store.update(long.id, content=f"{filler}\n\nNothing of the kind.")
    assert found(store, "turnstile") == []
    store.delete([store.number_of(long.id)[0]], hard=True)
    assert found(store, "weather") == []


def test_a_memory_without_a_word_of_the_question_is_found_by_its_meaning(store: MemoryStore) -> None:
    made = store.add("Login goes through OAuth with PKCE", tags=["auth"])
    store.add("We deploy with blue-green on Fridays")
    assert found(store, "authentication") == ["Login goes through OAuth with PKCE"]
    assert found(store, "authentication", Filter(tags=("other",))) == []
    assert found(store, "elephants in a zoo") == []
    store.delete([store.number_of(made.id)[0]])
    assert found(store, "authentication") == []
    store.restore(made.id)
    store.update(made.id, content="Invoices are sent monthly")
    assert found(store, "authentication") == []
    for n in range(1000):  # more than are looked at one by one
        store.add(f"The parser number {n} reads tokens {n}")
    store.update(made.id, content="Login goes through OAuth with PKCE")
    assert found(store, "authentication")[0] == "Login goes through OAuth with PKCE"


def test_a_database_of_the_version_before_is_carried_on(tmp_path: Path) -> None:
    text = "The turnstile rotates. " + "\n\n".join(f"Paragraph {n}." for n in range(500))
    store = MemoryStore(tmp_path / "memory.db")
    made = store.add(text)
    store.close()
    with closing(sqlite3.connect(tmp_path / "memory.db", isolation_level=None)) as old:  # as version 1 left it
        old.execute("DELETE FROM vectors WHERE number < 0")
        for index in ("memories_type", "memories_repository", "memories_deleted"):
            old.execute(f"DROP INDEX {index}")
        old.executescript("DROP TABLE words; DROP TABLE whole; PRAGMA user_version = 1;")
        old.executescript(words.SCHEMA)
        old.execute("INSERT INTO words (rowid, body) VALUES (1, ?)", (text,))
    for _ in range(2):
        store = MemoryStore(tmp_path / "memory.db")
        assert found(store, "turnstile") == found(store, "499") == [text]
        store.close()
    store = MemoryStore(tmp_path / "memory.db")
    store.delete([store.number_of(made.id)[0]], hard=True)
    assert found(store, "turnstile") == []
    store.close()


def test_a_time_in_the_question_narrows_and_is_shown(workspace: Workspace) -> None:
    workspace.remember("the gateway uses http2")
    assert workspace.recall("gateway today").time_range is not None
    assert workspace.recall("gateway today").count == 1
    assert workspace.recall("gateway", time_phrase="last year").count == 0
    assert workspace.recall("gateway", before="2020-01-01").count == 0
    assert workspace.recall("today").memories[0].content == "the gateway uses http2"
    with pytest.raises(UserError, match="not understood"):
        workspace.recall("gateway", time_phrase="when pigs fly")


def test_code_that_a_memory_names_is_watched_for_changes(workspace: Workspace, make_repository: MakeRepository) -> None:
    root = make_repository({"app/session.py": "class SessionStore:\n    def save(self): pass\n", "other.py": "x = 1\n"})
    workspace.sync(root)
    made = workspace.remember(
        "`SessionStore.save` must stay cheap, see app/session.py and `no/such.py`; not other.py yet",
        repository="project",
    )
    memory = workspace.memory.get(made.id)
    assert memory.repository == "project"
    assert {(one["path"], one["symbol"], one["changed"]) for one in memory.refers_to} == {
        ("app/session.py", "SessionStore.save", False),
        ("app/session.py", None, False),
        ("other.py", None, False),
    }
    (root / "app/session.py").write_text("class SessionStore:\n    def save(self): return 1\n")
    workspace.search("SessionStore", "project")
    wait_until(lambda: workspace.recall("cheap").memories[0].refers_to[0]["changed"])
    assert {one["path"]: one["changed"] for one in workspace.recall("cheap").memories[0].refers_to}["other.py"] is False


def test_memories_of_the_repository_at_hand_come_first(workspace: Workspace, make_repository: MakeRepository) -> None:
    for name in ("one", "two"):
        workspace.sync(make_repository({"a.py": f"x = '{name}'\n"}, name))
        workspace.remember(f"builds of {name} take long", repository=name)
    assert workspace.memory.recall("builds take long", here="two").memories[0].repository == "two"
    assert workspace.memory.recall("builds take long", here="one").memories[0].repository == "one"
    assert [item.repository for item in workspace.recall("builds", repository="one").memories] == ["one"]


@pytest.mark.parametrize("name", ["all.jsonl", "notes/"])
def test_an_import_of_an_export_is_the_identity(home: Path, tmp_path: Path, name: str) -> None:
    given = f"{tmp_path}/{name}"
    with Workspace(home) as workspace:
        kept = workspace.remember(
            "first", tags=["a", "2024-01-01", "yes"], metadata={"k": [1, {"ü": None}], "when": "2024-01-01"}
        )
        gone = workspace.remember("second: ---\r\n---\n# heading\n\n  `code`\n", memory_type="fact")
        workspace.memory.update(kept.id, content="---\nfirst, changed\n---\n")
        workspace.memory.delete(gone.id)
        workspace.remember("third\t/../ é", supersedes=kept.id)
        assert workspace.memory.export(given)["exported"] == 3
        workspace.memory.export(str(tmp_path / "before.jsonl"))
    with Workspace(tmp_path / "other") as other:
        for new in (3, 0):
            assert other.memory.load(given)["imported"] == new
            other.memory.export(str(tmp_path / "after.jsonl"))
            assert (tmp_path / "after.jsonl").read_text() == (tmp_path / "before.jsonl").read_text()
    written = list(Path(given).iterdir()) if name.endswith("/") else [Path(given)]
    assert len(written) == (3 if name.endswith("/") else 1)
    assert not any(path.stat().st_mode & 0o077 for path in written)


def test_texts_that_were_cut_in_the_middle_of_a_character_are_kept(workspace: Workspace, tmp_path: Path) -> None:
    others = tmp_path / "others.jsonl"
    others.write_text(r'{"content": "cut \ud83d", "tags": ["\ud83d"], "metadata": {"k": "\ud83d"}}' + "\n")
    assert workspace.memory.load(str(others))["imported"] == 1
    made = workspace.remember("also cut \ud83d", tags="\ud83d", metadata={"k": "\udcff"})
    workspace.memory.update(made.id, content="cut again \ud83d")
    found = workspace.recall("cut \ud83d").memories
    assert {(item.content, item.tags, item.metadata["k"]) for item in found} == {
        ("cut \ufffd", ("\ufffd",), "\ufffd"),
        ("cut again \ufffd", ("\ufffd",), "\ufffd"),
    }


def test_a_folder_of_markdown_follows_the_memories_and_other_notes_are_taken_in(
    workspace: Workspace, tmp_path: Path
) -> None:
    made = workspace.remember("to go")
    workspace.memory.export(f"{tmp_path}/notes/")
    (tmp_path / "notes" / "mine.md").write_text("kept as it is")
    workspace.memory.delete(made.id, hard=True)
    workspace.remember("to stay")
    workspace.memory.export(str(tmp_path / "notes"))
    assert sorted(path.name.split("-")[3] for path in (tmp_path / "notes").glob("*-*.md")) == ["to"]
    assert "to stay" in next((tmp_path / "notes").glob("*-to-stay-*.md")).read_text()
    vault = tmp_path / "vault" / "deep"
    vault.mkdir(parents=True)
    (vault / "plain.md").write_text("Plain notes are memories too")
    (vault / "front.md").write_text(
        '---\ntags: [auth, "#cookies"]\ntype: decision\ndate: 2024-05-06\n---\nSigned cookies\n'
    )
    (vault / "empty.md").write_text("---\ntags: x\n---\n")
    assert workspace.memory.load(str(tmp_path / "vault"))["imported"] == 2
    front = workspace.recall("signed cookies").memories[0]
    assert (front.memory_type, front.metadata) == ("decision", {"date": "2024-05-06"})
    (vault / "bad.md").write_text("---\ntags: [unclosed\n---\ntext")
    with pytest.raises(UserError, match="no YAML"):
        workspace.memory.load(str(tmp_path / "vault"), strict=True)


def test_memories_of_other_tools_are_taken_in(workspace: Workspace, tmp_path: Path) -> None:
    graph = [
        {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["likes tea", "writes Rust"]},
        {"type": "relation", "from": "Ada", "to": "Engine", "relationType": "works on"},
    ]
    (tmp_path / "memory.jsonl").write_text("\n".join(map(json.dumps, graph)))
    assert workspace.memory.load(str(tmp_path / "memory.jsonl"))["imported"] == 3
    assert workspace.recall("who likes tea").memories[0].content == "Ada: likes tea"
    with closing(sqlite3.connect(tmp_path / "sqlite_vec.db")) as other:
        other.execute(
            "CREATE TABLE memories (id INTEGER PRIMARY KEY, content_hash TEXT, content TEXT, tags TEXT, memory_type TEXT, "
            "metadata TEXT, created_at REAL, updated_at REAL, created_at_iso TEXT, updated_at_iso TEXT)"
        )
        row = ("h", "Deploy on Tuesdays", "ops, rule", "decision", '{"source": "x"}', 1_700_000_000.0, 1_700_000_000.0)
        other.execute(
            "INSERT INTO memories (content_hash, content, tags, memory_type, metadata, created_at, updated_at) VALUES (?,?,?,?,?,?,?)",
            row,
        )
        other.commit()
    assert workspace.memory.load(str(tmp_path / "sqlite_vec.db"))["imported"] == 1
    memory = workspace.recall("deploy tuesdays").memories[0]
    assert (memory.tags, memory.memory_type, memory.created_at) == (("ops", "rule"), "decision", 1_700_000_000.0)
    (tmp_path / "broken.jsonl").write_text('{"content": "fine"}\n{broken\n')
    with pytest.raises(UserError, match="line 2"):
        workspace.memory.load(str(tmp_path / "broken.jsonl"), strict=True)
    assert workspace.recall("fine").count == 0  # nothing of it was taken


def test_a_backup_is_made_once_a_day_and_brings_back_what_is_gone(home: Path) -> None:
    with Workspace(home) as workspace:
        made = workspace.remember("precious")
        assert workspace.memory.backups() == []
    with Workspace(home) as workspace:
        (backup,) = workspace.memory.backups()
        workspace.memory.delete(made.id, hard=True)
        assert workspace.memory.load(backup)["imported"] == 1
        assert workspace.recall("precious").count == 1
    assert (home / "memory.db").stat().st_mode & 0o077 == 0


def test_secrets_are_kept_only_where_a_setting_says_so(home: Path) -> None:
    secret = "the token is ghp_" + "b" * 36
    with Workspace(home) as workspace:
        made = workspace.remember(secret)
        assert made.redacted == 1
        assert secret not in workspace.memory.get(made.id).content
    with Workspace(home, settings=Settings(recollect_redact_secrets=False)) as workspace:
        made = workspace.remember(secret)
        assert (made.redacted, workspace.memory.get(made.id).content) == (0, secret)


def test_vectors_of_another_model_are_made_again_in_the_background(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    store = MemoryStore(path)
    for number in range(120):
        store.add(f"remark {number} about the invoice")
    store.add("We picked PostgreSQL as our database")
    store.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE vectors SET model = 'older', vector = zeroblob(256)")
    store = MemoryStore(path)
    assert found(store, "PostgreSQL") == ["We picked PostgreSQL as our database"]  # by its words, meanwhile
    wait_until(lambda: not _other_models(path))
    assert "We picked PostgreSQL as our database" in found(store, "which storage engine for SQL queries")
    store.close()
    assert store._remaking is not None


def _other_models(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM vectors WHERE model = 'older'").fetchone()[0])


def test_memories_belong_to_a_repository_and_not_to_its_name(
    workspace: Workspace, make_repository: MakeRepository, tmp_path: Path
) -> None:
    first = make_repository({"a.py": "secret_gateway = 1\n"}, "first")
    workspace.sync(first, name="api")
    workspace.remember("`secret_gateway` is in a.py", repository="api", tags=["api"])
    assert "secret_gateway" in workspace.memory.brief(workspace._registry.by_name("api"), 800)["text"]
    workspace.forget("api")
    second = make_repository({"a.py": "other = 1\n"}, "second")
    workspace.sync(second, name="api")
    assert workspace.recall("secret_gateway", repository="api").count == 0
    assert workspace.memory.page(filters={"repository": "api"}).total == 0
    assert "secret_gateway" not in workspace.memory.brief(workspace._registry.by_name("api"), 800)["text"]
    assert workspace.recall("secret_gateway").count == 1
    backup = workspace.memory.backup()["path"]
    workspace.memory.delete(filters={"tags": ["api"]}, hard=True)
    assert workspace.memory.restore(backup)["imported"] == 1
    assert workspace.recall("secret_gateway", repository="api").count == 0
    workspace.forget("api")
    moved = first.rename(tmp_path / "moved")
    workspace.sync(moved, name="again")
    assert workspace.recall("secret_gateway", repository="again").count == 1
