"""Bytes of a file → text, chunks, symbols and uses of names. Pure; may be slow or die in a grammar: run it in a worker."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass, field
from typing import Any, Final

from recollect import languages
from recollect.index import chunk, grammars, symbols, syntax
from recollect.index.chunk import Chunk
from recollect.index.symbols import Symbol
from recollect.text import has_longer_line

PIPELINE: Final = "2"
"""Raised whenever the code here, in `chunk`, `symbols` or `grammars` changes what comes out."""

_LONG_LINE: Final = 10_000  # characters: a parser takes seconds and gigabytes for data on one line
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(slots=True)
class Parsed:
    """`references`: uses of names, as `symbols.packed` gives them. `problem`: why the grammar was not used, if it was not."""

    language: str
    content: str
    text: str
    lines: list[str]
    chunks: list[Chunk] = field(default_factory=list)
    symbols: list[Symbol] = field(default_factory=list)
    references: bytes = b""
    problem: str | None = None


def decode(data: bytes) -> str:
    """Text of a file in UTF-8, UTF-16, UTF-32 or, failing those, Latin-1; line ends become `\\n`."""
    text = ""
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def parse(data: bytes, path: str, *, grammar: bool = True) -> Parsed:
    """Parse one file; with `grammar=False` by lines alone (a file whose grammar hangs or crashes)."""
    language = languages.detect(path, data[:4096])
    text = decode(data)
    if language.grammar == "notebook":
        return _notebook(text, language, grammar)
    return _parse_text(text, language, grammar)


def _parse_text(text: str, language: languages.Language, grammar: bool) -> Parsed:
    lines = text.split("\n")
    result = Parsed(language.name, language.content, text, lines)
    loaded = None
    if not grammar:
        result.problem = "quarantined"
    elif grammars.has(language.grammar):
        if has_longer_line(text, "\n", _LONG_LINE):
            result.problem = "long_line"
        else:
            loaded = grammars.load(str(language.grammar))
            result.problem = None if loaded else "no_grammar"
    if loaded is None:
        result.chunks = chunk.by_lines(lines)
        return result
    source = text.encode("utf-8", "surrogatepass")
    found = syntax.read(loaded, source)
    result.symbols, result.references = symbols.find(loaded, found)
    result.chunks = chunk.by_syntax(found, lines, result.symbols)
    return result


def _notebook(text: str, language: languages.Language, grammar: bool) -> Parsed:
    """A Jupyter notebook as the text of its cells, one chunk or more each, under a line that numbers the cell."""
    try:
        notebook: dict[str, Any] = json.loads(text)
        cells = [cell for cell in notebook["cells"] if isinstance(cell, dict)]
        spoken = str(notebook.get("metadata", {}).get("kernelspec", {}).get("language", "python")).lower()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _parse_text(text, languages.LANGUAGES["json"], grammar)
    code = languages.lookup(spoken) or languages.LANGUAGES["python"]
    result = Parsed(language.name, language.content, "", [])
    shown: list[str] = []
    uses: list[tuple[str, int]] = []
    for number, cell in enumerate(cells, 1):
        source = cell.get("source", "")
        body = "".join(map(str, source)) if isinstance(source, list) else str(source)
        kind = code if cell.get("cell_type") == "code" else languages.LANGUAGES["markdown"]
        part = _parse_text(decode(body.encode("utf-8", "surrogatepass")), kind, grammar)
        offset = len(shown) + 1
        shown += [f"# cell {number} ({cell.get('cell_type', 'raw')})", *part.text.split("\n")]
        for i, item in enumerate(part.chunks):
            start = item.start_line + offset if i else offset
            result.chunks.append(Chunk(start, item.end_line + offset, item.kind, item.symbol))
        if not part.chunks:
            result.chunks.append(Chunk(offset, offset, "text", ""))
        result.symbols += [
            Symbol(s.name, s.qualified_name, s.kind, s.start_line + offset, s.end_line + offset, s.signature)
            for s in part.symbols
        ]
        uses += [(name, line + offset) for name, line in symbols.unpacked(part.references)]
    result.text, result.references = "\n".join(shown), symbols.packed(uses)
    result.lines = result.text.split("\n")
    return result
