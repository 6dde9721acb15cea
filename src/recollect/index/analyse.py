"""One file → everything the index keeps of it: text, chunks, symbols, references, terms, vectors. Pure."""

from __future__ import annotations

import marshal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

import numpy as np
import zstandard
from blake3 import blake3
from numpy.typing import NDArray

from recollect import languages
from recollect.errors import Corrupt
from recollect.index import embed, parse, skip, terms
from recollect.index.symbols import SIGNATURE_LINES, is_signature, signature_of

PIPELINE: Final = f"{parse.PIPELINE}/{embed.MODEL_NAME}/5"
"""Version of everything that decides what the index holds for given bytes; a change re-indexes."""

_LEVEL: Final = 6  # of zstd: 7 % smaller than by 3, for 2 % of the time of a first sync


@dataclass(slots=True)
class Analysed:
    """What is kept of one file. `status`: indexed | skipped (by rule) | failed (tried again later)."""

    path: str
    hash: bytes
    size: int
    language: str
    content: str
    status: str
    reason: str | None = None
    lines: int = 0
    text: bytes = b""  # zstd of UTF-8
    chunks: list[tuple[int, int, str, str]] = field(default_factory=list)  # start line, end line, kind, symbol
    symbols: list[tuple[str, str, str, int, int, str]] = field(default_factory=list)
    """name, qualified name, kind, start line, end line, signature (empty where it is what the lines say)"""
    references: bytes = b""  # zstd of lines `name TAB line,line,…`
    counts: terms.TermCounts | None = None
    vectors: NDArray[np.int8] | None = None
    kept: tuple[int, int] | None = None  # (file id, id of its first chunk) of what lies in a segment already

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled with bytes in place of arrays, which takes a third of the time: an edit waits for it."""
        counts = self.counts and tuple(column.tobytes() for column in self.counts)
        return _restored, (_plain(self), counts, None if self.vectors is None else self.vectors.tobytes(), self.kept)


_plain = attrgetter(
    "path",
    "hash",
    "size",
    "language",
    "content",
    "status",
    "reason",
    "lines",
    "text",
    "chunks",
    "symbols",
    "references",
)
_COUNT_TYPES = (np.int64, np.uint64, np.uint16, np.uint32, np.float16)  # of the columns of `TermCounts`


def _restored(
    plain: tuple[Any, ...], counts: Sequence[bytes] | None, vectors: bytes | None, kept: tuple[int, int] | None
) -> Analysed:
    result = Analysed(*plain)
    result.kept = kept
    if counts is not None:
        indptr, keys, times, lengths, body = map(np.frombuffer, counts, _COUNT_TYPES)
        result.counts = terms.TermCounts(indptr, keys, times, lengths, body.reshape(-1, embed.DIMENSIONS))
    if vectors is not None:
        result.vectors = np.frombuffer(vectors, np.int8).reshape(-1, embed.DIMENSIONS)
    return result


class _Zstd(threading.local):
    """For each thread its own: neither is for several at once, and making them costs as much as a small text."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self.quick = zstandard.ZstdCompressor(level=1)
        self.decompressor = zstandard.ZstdDecompressor()


_zstd = _Zstd()


def compress(content: str) -> bytes:
    return zipped(content.encode("utf-8", "surrogatepass"))


def zipped(data: bytes, *, quick: bool = False) -> bytes:
    """`quick`: of numbers, of which more thorough levels make nothing smaller, and of what is kept for a while only."""
    return (_zstd.quick if quick else _zstd.compressor).compress(data)


def decompress(block: bytes) -> str:
    """Text of a block made by `compress`. Raises Corrupt where it is damaged."""
    return decoded(unzipped(block))


def decoded(stored: bytes) -> str:
    """Text of (whole lines of) a decompressed block. Raises Corrupt where it is damaged."""
    try:
        return stored.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise Corrupt("the stored text of a file is damaged") from error


def unzipped(block: bytes) -> bytes:
    """Bytes of a block made by `zipped`, or by `compress`: UTF-8, lone surrogates passed. Raises Corrupt where it is damaged."""
    try:
        return _zstd.decompressor.decompress(block) if block else b""
    except (zstandard.ZstdError, MemoryError) as error:  # a damaged size may ask for more memory than there is
        raise Corrupt("a stored block is damaged") from error


def cache_key(content_hash: bytes, path: str) -> bytes:
    """Key of a file's analysis in the parse cache: content, language (it depends on the name) and pipeline."""
    name = path.rsplit("/", 1)[-1]
    kind = name.rsplit(".", 1)[-1] if "." in name else name
    return blake3(b"\0".join((content_hash, kind.encode("utf-8", "surrogateescape"), PIPELINE.encode()))).digest(16)


def failed(path: str, content_hash: bytes, size: int, reason: str) -> Analysed:
    """The record of a file that could not be read or analysed."""
    language = languages.detect(path)
    return Analysed(path, content_hash, size, language.name, language.content, "failed", reason)


def analyse(
    data: bytes,
    path: str,
    *,
    cached: bytes | None = None,
    grammar: bool = True,
    content_hash: bytes | None = None,
    root: str | None = None,
) -> Analysed:
    """Analyse the bytes of one file; `cached` is what `to_cache` gave for the same key (only the path's words differ),
    `content_hash` their hash, if it is known; `root` the repository's folder, whose `.recollectignore` counts.
    """
    content_hash = content_hash or blake3(data).digest(16)
    reason = skip.skip(path, data, root)
    is_included = reason == skip.INCLUDED
    if reason is not None and not is_included:
        language = languages.detect(path, data[:256])
        return Analysed(path, content_hash, len(data), language.name, language.content, "skipped", reason)
    parsed = _from_cache(cached) if cached is not None else None
    language = languages.detect(path, data[:4096])
    if parsed is not None and language.grammar != "notebook":
        reason, chunks, symbols, references = parsed
        text = parse.decode(data)
        lines = text.split("\n")
    else:
        found = parse.parse(data, path, grammar=grammar)
        reason, text, lines = found.problem, found.text, found.lines
        references = zipped(found.references) if found.references else b""
        chunks, symbols = list(map(tuple, found.chunks)), found.symbols  # tuples: they are quicker to send
    if is_included and reason is None:
        reason = skip.INCLUDED  # so that it is looked at again when `.recollectignore` changes
    result = Analysed(path, content_hash, len(data), language.name, language.content, "indexed", reason)
    result.lines = len(lines) - (not lines[-1])
    result.text, result.chunks, result.references = compress(text), chunks, references
    result.symbols = [_brief(symbol, lines) for symbol in symbols]
    if chunks:
        result.counts = terms.count_terms(terms.chunk_texts(lines, chunks))
        result.vectors = embed.chunk_vectors(result.counts.body, embed.model().path(path))
        result.counts = result.counts._replace(body=result.counts.body[:0])  # it is in the vectors, and large
    return result


def _brief(symbol: tuple[str, str, str, int, int, str], lines: list[str]) -> tuple[str, str, str, int, int, str]:
    """A symbol without its signature, where that is what its lines say."""
    name, qualified_name, kind, start, end, signature = symbol
    of_its_line = signature == lines[start - 1].strip() and is_signature(signature)
    if of_its_line or (signature and signature == signature_of(lines[start - 1 : min(end, start + SIGNATURE_LINES)])):
        signature = ""
    return name, qualified_name, kind, start, end, signature


def _from_cache(block: bytes) -> tuple[str | None, list[Any], list[Any], bytes] | None:
    """What `to_cache` was given; None where it is damaged, so that the file is analysed afresh."""
    if len(block) < 2 * _WORD or blake3(block[_WORD:]).digest(_WORD) != block[:_WORD]:
        return None
    size = int.from_bytes(block[_WORD : 2 * _WORD], "little")
    found, references = block[2 * _WORD : 2 * _WORD + size], block[2 * _WORD + size :]
    try:
        reason, chunks, symbols = marshal.loads(unzipped(found))
    except (Corrupt, ValueError, TypeError, EOFError):  # of another Python's making
        return None
    return reason, chunks, symbols, references


def lines_using(references: bytes, name: str) -> list[int]:
    """Line numbers on which a file uses `name`."""
    uses = decompress(references)
    at = uses.find(f"\n{name}\t")
    if at < 0:
        return []
    start = at + len(name) + 2
    return [int(line) for line in uses[start : uses.index("\n", start)].split(",")]


_WORD: Final = 8  # bytes: a hash of the rest, and how much of that comes before the references


def to_cache(result: Analysed) -> bytes:
    """What parsing found. Terms and vectors are made again from the text: that takes a fifth of the time of parsing it,
    and would take ten times the space (docs/adr/0006)."""
    reason = result.reason if result.reason != skip.INCLUDED else None  # a matter of the path, not of the content
    found = zipped(marshal.dumps((reason, result.chunks, result.symbols)), quick=True)
    rest = len(found).to_bytes(_WORD, "little") + found + result.references
    return blake3(rest).digest(_WORD) + rest
