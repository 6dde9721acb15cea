"""The static (token look-up) embedding: a text's vector is a weighted sum of its words' rows.

Method: docs/embedding.md. One table, int8 with a scale per row; a word outside the vocabulary is the sum of the pieces
that the most probable segmentation of it gives (unigram model, Viterbi). Vectors are unit length, stored as
`int8 = round(unit * VECTOR_SCALE)`, so that sums and products of stored vectors are exact integers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from recollect import text

DIMENSIONS: Final = 256
VECTOR_SCALE: Final = (
    256.0  # no component of a unit chunk vector was seen beyond 127/256; the rounding costs 0.001 of cosine
)
PATH_WEIGHT: Final = 4.0  # of the words of a path against those of the body; measured best of 0 to 8
FOLDER_WEIGHT: Final = 0.5  # of a folder's word against one of the file's stem
MODEL_NAME: Final = "recollect-16k-256-1"

_FOLDER = Path(__file__).parent / "model"
_UNKNOWN_LETTER = -25.0
_SHORT_PIECE = -4.0
_MAX_WORD = 40


class Vocabulary:
    """Words with their counts in the order of the model's rows; any other word in pieces of these."""

    def __init__(self, words: Sequence[str], counts: Sequence[int]) -> None:
        self._id = {word: number for number, word in enumerate(words)}
        total = sum(counts)
        self.log_probability = [math.log(count / total) for count in counts]
        self._longest = max(map(len, self._id))
        self._cache: dict[str, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self._id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._id)

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file of lines `word count`."""
        pairs = path.read_text("utf-8").split()
        return cls(pairs[::2], list(map(int, pairs[1::2])))

    def pieces(self, word: str) -> tuple[int, ...]:
        """Row numbers whose sum stands for `word`: one where it is in the vocabulary."""
        known = self._id.get(word)
        if known is not None:
            return (known,)
        found = self._cache.get(word)
        if found is None:
            found = self._segment(word[:_MAX_WORD]) if word.isascii() else ()
            if len(self._cache) < 500_000:
                self._cache[word] = found
        return found

    def _segment(self, word: str) -> tuple[int, ...]:
        n = len(word)
        best = [0.0] + [-1e9] * n
        back: list[tuple[int, int | None]] = [(0, None)] * (n + 1)
        for end in range(1, n + 1):
            for start in range(max(0, end - self._longest), end):
                piece = self._id.get(word[start:end])
                if piece is not None:
                    gain = self.log_probability[piece] + (_SHORT_PIECE if end - start < 3 else 0.0)
                elif end - start == 1:
                    gain = _UNKNOWN_LETTER
                else:
                    continue
                if best[start] + gain > best[end]:
                    best[end] = best[start] + gain
                    back[end] = (start, piece)
        pieces: list[int] = []
        end = n
        while end > 0:
            start, piece = back[end]
            if piece is not None and end - start > 1:
                pieces.append(piece)
            end = start
        return tuple(reversed(pieces))


class StaticModel:
    """A row for each word of the vocabulary: `quantised` (`int8[vocabulary, DIMENSIONS]`, mapped, so that all our processes
    share it) times `scale` (`float32[vocabulary]`).
    """

    def __init__(self, folder: Path = _FOLDER) -> None:
        self.quantised: NDArray[np.int8] = np.load(folder / "rows.npy", mmap_mode="r").view(np.ndarray)
        self.scale: NDArray[np.float32] = np.load(folder / "scale.npy").astype(np.float32)
        self.vocabulary = Vocabulary.read(folder / "vocabulary.txt")
        self.pieces = self.vocabulary.pieces

    def row(self, piece: int) -> NDArray[np.float32]:
        """The row of a word of the vocabulary, `float32[DIMENSIONS]`."""
        found: NDArray[np.float32] = self.quantised[piece] * self.scale[piece]
        return found

    def query(self, words: Mapping[str, float]) -> NDArray[np.float32]:
        """Unit vector `float32[DIMENSIONS]` of a question's words with their weights; zeros where none is known."""
        vector = np.zeros(DIMENSIONS, np.float32)
        for word, weight in words.items():
            for piece in self.pieces(word):
                vector += self.row(piece) * np.float32(weight)
        return unit(vector)

    def path(self, path: str) -> NDArray[np.float32]:
        """Sum `float32[DIMENSIONS]` of the rows of a path's words, folders weighing less."""
        folder, _, name = path.rpartition("/")
        vector = _folder(self, folder).copy()
        for word in text.stem_words(name):
            for piece in self.pieces(word):
                vector += self.row(piece)
        return vector


@functools.lru_cache(500)  # the same for all files in it
def _folder(model: StaticModel, folder: str) -> NDArray[np.float32]:
    vector = np.zeros(DIMENSIONS, np.float32)
    for word in text.folder_words(folder):
        for piece in model.pieces(word):
            vector += model.row(piece) * np.float32(FOLDER_WEIGHT)
    return vector


def weighed(question: str) -> dict[str, float]:
    """A question's words where nothing is known of how rare they are: √count."""
    return {word: math.sqrt(count) for word, count in text.words(question).items()}


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """`vectors` (last axis) scaled to length one; zero vectors stay zero."""
    norm = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True, dtype=np.float32))
    scaled: NDArray[np.float32] = (vectors / np.maximum(norm, np.float32(1e-9))).astype(np.float32, copy=False)
    return scaled


def quantise(unit_vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Unit vectors as stored: `int8 = round(unit * VECTOR_SCALE)`, clipped to ±127."""
    scaled = np.rint(unit_vectors * np.float32(VECTOR_SCALE))
    stored: NDArray[np.int8] = np.minimum(np.maximum(scaled, -127), 127).astype(np.int8)
    return stored


def chunk_vectors(body: NDArray[np.float16], path_vector: NDArray[np.float32]) -> NDArray[np.int8]:
    """Stored vectors `int8[n, DIMENSIONS]` of chunks from their body sums and the sum of their path's words."""
    return quantise(unit(body.astype(np.float32) + np.float32(PATH_WEIGHT) * path_vector))


@functools.cache
def model() -> StaticModel:
    """The bundled model, loaded once in a process."""
    return StaticModel()
