"""Other embedding models by name: a service on loopback, packages as far as they are installed, and what fails."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recollect.config import Settings
from recollect.errors import Unavailable, UserError
from recollect.index import embedders, vectors
from recollect.model import EmbedderChoice
from recollect.workspace import Workspace
from tests.conftest import wait_until
from tests.embedding_server import DIMENSIONS, Service, serving

MakeRepository = Callable[[dict[str, str]], Path]
FILES = {
    "one.py": "def add(left, right):\n    return left + right\n",
    "two.py": "def render(page):\n    return page.strip()\n",
    "three.py": "def parse(line):\n    return line.split()\n",
    "four.py": "def connect(host):\n    return host.open()\n",
}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(embedders, "_PAUSE_S", 0.01)
    with serving() as running:
        monkeypatch.setenv("RECOLLECT_EMBEDDER", "openai:words")
        monkeypatch.setenv("RECOLLECT_EMBEDDER_URL", running.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key")
        yield running


def settled(workspace: Workspace, query: str = "total") -> Any:
    wait_until(lambda: workspace.search(query, "project").vectors is None)
    return workspace.search(query, "project", explain=True)


def test_a_service_makes_the_vectors_and_the_question_s(
    home: Path, make_repository: MakeRepository, service: Service
) -> None:
    root = make_repository(FILES)
    with Workspace(home) as workspace:
        workspace.sync(root)
        result = settled(workspace)
        assert result.hits[0].path == "one.py"  # no word in common: only this model knows that total means add
        assert result.hits[0].explain["dense"] > 0
        assert service.keys[0] == "Bearer sk-test-key"
        assert {request["path"] for request in service.requests} == {"/v1/embeddings"}
        documents = [text for request in service.requests for text in request["input"] if "\n" in text]
        assert sorted(text.split("\n")[0] for text in documents) == [
            "four.py connect",
            "one.py add",
            "three.py parse",
            "two.py render",
        ]
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"sk-test-key" not in kept


def test_only_what_changes_is_embedded_again(home: Path, make_repository: MakeRepository, service: Service) -> None:
    root = make_repository(FILES)
    with Workspace(home) as workspace:
        workspace.sync(root)
        settled(workspace)
        service.requests.clear()
        (root / "two.py").write_text("def gather(items):\n    return items\n")
        (root / "three.py").unlink()
        workspace.sync(root)
        folder = next((home / "repositories").iterdir())
        wait_until(lambda: len(getattr(vectors.load(folder, "openai:words"), "chunk_id", ())) == 3)
        documents = [text for request in service.requests for text in request["input"] if "\n" in text]
        assert [text.split("\n")[0] for text in documents] == ["two.py gather"]
        assert {hit.path for hit in settled(workspace).hits[:2]} == {"one.py", "two.py"}


def test_until_the_vectors_are_there_the_bundled_ones_serve_and_the_answer_says_so(
    home: Path, make_repository: MakeRepository, service: Service
) -> None:
    root = make_repository(FILES)
    service.status = 401
    with Workspace(home) as workspace:
        workspace.sync(root)
        wait_until(lambda: workspace.search("render", "project").vectors == "unavailable")
        result = workspace.search("render a page", "project")
        assert result.hits[0].path == "two.py"
        assert "401" in (workspace._upkeep.vectors.error or "")
        assert len(service.requests) == 1  # it is not asked again and again


def test_an_answer_that_fails_for_a_moment_is_asked_for_again(
    home: Path, make_repository: MakeRepository, service: Service
) -> None:
    service.fails = 2
    model = embedders.load(EmbedderChoice("openai:words", service.url))
    assert model.question("total").shape == (1, DIMENSIONS)
    assert len(service.requests) == 3
    service.fails = 9
    with pytest.raises(Unavailable, match="503"):
        model.question("total")


def test_another_model_replaces_the_vectors_of_the_one_before(
    home: Path, make_repository: MakeRepository, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(FILES)
    with Workspace(home) as workspace:
        workspace.sync(root)
        settled(workspace)
    monkeypatch.setenv("RECOLLECT_EMBEDDER", "openai:other")
    with Workspace(home) as workspace:
        assert workspace.search("render", "project").hits[0].path == "two.py"  # at once
        settled(workspace)
        folder = next((home / "repositories").iterdir())
        wait_until(lambda: vectors.load(folder, "openai:words") is None)
        assert {request["model"] for request in service.requests} == {"words", "other"}


def test_vectors_of_several_sizes_under_one_name_are_made_anew(tmp_path: Path, service: Service, home: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "one.py").write_text(FILES["one.py"])
    with Workspace(home) as workspace:
        workspace.sync(root)
        settled(workspace)
        service.dimensions = 16
        (root / "two.py").write_text(FILES["two.py"])
        workspace.sync(root)
        (root / "three.py").write_text(FILES["three.py"])
        wait_until(lambda: workspace.sync(root) and len(service.requests) >= 3)
        folder = next((home / "repositories").iterdir())
        workspace.sync(root)

        def made_anew() -> bool:
            workspace._upkeep.vectors.build(folder)
            found = vectors.load(folder, "openai:words")
            return found is not None and found.vectors.shape == (3, 16)

        wait_until(made_anew)


@pytest.mark.parametrize("name", ["nothing", "openai:", "magic:model", ""])
def test_a_name_that_means_nothing_is_refused(name: str, home: Path) -> None:
    with pytest.raises(UserError, match="RECOLLECT_EMBEDDER"):
        Settings.load(home, {"RECOLLECT_EMBEDDER": name})


@pytest.mark.parametrize(
    ("kind", "module"), [("sentence-transformers", "sentence_transformers"), ("fastembed", "fastembed")]
)
def test_a_package_that_is_missing_is_named(kind: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unavailable, match="is not installed") as caught:
        embedders.load(EmbedderChoice(f"{kind}:small"))
    assert f"recollect[{kind}]" in (caught.value.hint or "")


def test_a_folder_goes_to_sentence_transformers_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    class SentenceTransformer:
        def __init__(self, where: str, **options: Any) -> None:
            self.prompts = {"query": "query: "}
            asked.update(where=where, **options)
            if not (Path(where) / "config.json").exists():
                raise OSError(f"no model in {where}\nand more")

        def encode(self, texts: list[str], **options: Any) -> Any:
            asked.update(options)
            return np.array([[len(text), 1.0] for text in texts])

    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = SentenceTransformer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    with pytest.raises(Unavailable, match="no model in"):
        embedders.load(EmbedderChoice(f"sentence-transformers:{tmp_path}"))
    (tmp_path / "config.json").write_text("{}")
    model = embedders.load(EmbedderChoice(f"sentence-transformers:{tmp_path}"))
    assert asked["where"] == str(tmp_path)
    assert asked["local_files_only"] is True
    assert asked["trust_remote_code"] is False
    assert np.allclose(np.linalg.norm(model.documents(["a", "bcd"]), axis=1), 1)
    assert model.question("a").shape == (1, 2)
    assert asked["prompt_name"] == "query"
