"""Embedding models by name, beside the bundled one: optional packages, or any service that speaks OpenAI's form.

`bundled`; `sentence-transformers:MODEL`, `fastembed:MODEL` (a name that the package knows, or a folder), `openai:MODEL` (any
compatible endpoint, Ollama's too). Slow to load and to run: only the indexer process does either.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from recollect.errors import Unavailable, UserError
from recollect.model import EmbedderChoice

BATCH: Final = 64
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 0.5  # doubled before each further attempt
_AGAIN: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})  # answers after which another attempt makes sense
_OPENAI: Final = "https://api.openai.com/v1"
_LARGEST_ANSWER: Final = 64_000_000
Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Texts → unit vectors `float32[n, dimensions]`; questions and documents may be told apart. Raises Unavailable."""

    def documents(self, texts: Sequence[str]) -> Vectors: ...

    def question(self, text: str) -> Vectors: ...


def load(choice: EmbedderChoice) -> Embedder:
    """The model of that name, ready. Raises UserError, Unavailable (code `no_embedder`)."""
    choice.check()
    kind, _, model = choice.name.partition(":")
    if kind == "sentence-transformers":
        return _SentenceTransformers(model)
    if kind == "fastembed":
        return _FastEmbed(model)
    return _OpenAI(model, choice)


def _package(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        hint = f"pip install 'recollect[{extra}]', into the environment that Recollect runs in."
        raise Unavailable(f"the package {extra} is not installed ({error})", hint=hint, code="no_embedder") from error


def _made(what: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:  # whatever a package throws, it is the reason that has to be told
        hint = "Name a folder that holds the model, or one that is on this machine already."
        raise Unavailable(f"{what} cannot be loaded: {_first_line(error)}", hint=hint, code="no_embedder") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _unit(vectors: Any) -> Vectors:
    found = np.asarray(vectors, np.float32)
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise Unavailable(
            "the embedding model answered with something else than vectors",
            hint="See which model serves there; the bundled one answers meanwhile.",
            code="no_embedder",
        )
    scaled: Vectors = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
    return scaled


class _SentenceTransformers:
    def __init__(self, model: str) -> None:
        package = _package("sentence_transformers", "sentence-transformers")
        # What the user named may run no code of its own, and is not looked for on the network where it lies on the disk.
        local = Path(model).expanduser()
        where = os.fspath(local) if local.is_dir() else model
        self._model = _made(
            model, lambda: package.SentenceTransformer(where, trust_remote_code=False, local_files_only=local.is_dir())
        )

    def documents(self, texts: Sequence[str]) -> Vectors:
        return _unit(self._model.encode(list(texts), batch_size=BATCH, show_progress_bar=False))

    def question(self, text: str) -> Vectors:
        named = "query" if "query" in (getattr(self._model, "prompts", None) or {}) else None
        return _unit(self._model.encode([text], prompt_name=named, show_progress_bar=False))


class _FastEmbed:
    def __init__(self, model: str) -> None:
        package = _package("fastembed", "fastembed")
        self._model = _made(model, lambda: package.TextEmbedding(model))

    def documents(self, texts: Sequence[str]) -> Vectors:
        return _unit(list(self._model.embed(list(texts), batch_size=BATCH)))

    def question(self, text: str) -> Vectors:
        return _unit(list(self._model.query_embed([text])))


class _OpenAI:
    """`POST URL/embeddings {model, input}`. The key comes from OPENAI_API_KEY and is never kept or told."""

    def __init__(self, model: str, choice: EmbedderChoice) -> None:
        base = (choice.url or os.environ.get("OPENAI_BASE_URL") or _OPENAI).rstrip("/")
        if not base.startswith(("https://", "http://")):
            raise UserError(
                "RECOLLECT_EMBEDDER_URL must begin with https:// or http://",
                hint="Set it to the address of the API, for example https://api.example.org/v1.",
                code="bad_setting",
            )
        self._url = f"{base}/embeddings"
        self._model = model
        self._timeout_s = choice.timeout_s

    def documents(self, texts: Sequence[str]) -> Vectors:
        parts = [self._asked(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        if len({part.shape[1] for part in parts}) != 1:
            raise Unavailable(
                f"{self._url} answered with vectors of several sizes",
                hint="See which model serves there; the bundled one answers meanwhile.",
                code="no_embedder",
            )
        return np.concatenate(parts)

    def question(self, text: str) -> Vectors:
        return self._asked([text])

    def _asked(self, texts: Sequence[str]) -> Vectors:
        import urllib.request  # here, for it is slow to import

        body = json.dumps({"model": self._model, "input": [text or " " for text in texts]}).encode()
        headers = {"Content-Type": "application/json"}
        key = os.environ.get("OPENAI_API_KEY")
        if key:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self._url, body, headers)
        for attempt in range(_ATTEMPTS):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                    rows = json.loads(response.read(_LARGEST_ANSWER))["data"]
                ordered = sorted(rows, key=lambda row: int(row.get("index", 0)))
                if len(ordered) != len(texts):
                    raise ValueError(f"{len(ordered)} vectors for {len(texts)} texts")
                return _unit([row["embedding"] for row in ordered])
            except urllib.error.HTTPError as error:
                said = f"{error.code} {error.reason}"
                if error.code not in _AGAIN:
                    break
            except (OSError, TimeoutError) as error:
                said = _first_line(error)
            except (ValueError, KeyError, TypeError) as error:
                said = f"no embeddings in its answer ({_first_line(error)})"
                break
            if attempt + 1 < _ATTEMPTS:
                time.sleep(_PAUSE_S * 2**attempt)
        raise Unavailable(
            f"{self._url}: {said}", hint="Is the service running, and the model there?", code="no_embedder"
        )
