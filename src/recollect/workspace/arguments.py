"""What callers send, checked: each function raises UserError with what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from recollect import languages, text
from recollect.errors import UserError
from recollect.search.filters import Filters
from recollect.search.hits import Shape

MOST_HITS: Final = 200
LONGEST_QUERY: Final = 2_000_000  # characters; a pasted file is a question, too, of which the beginning is scored
_MOST_NAMES: Final = 100  # globs, languages, names of repositories in one question
_LONGEST_REVISION: Final = 1_000
_LONGEST_NAMES: Final = 10_000  # characters of all of them together
MODES: Final = ("hybrid", "regex")
_CONTENTS: Final = ("code", "docs", "config", "all")
_KINDS: Final = {  # other words for kinds of symbols
    "func": "function",
    "fn": "function",
    "def": "function",
    "functions": "function",
    "methods": "method",
    "cls": "class",
    "classes": "class",
    "iface": "interface",
    "var": "variable",
    "const": "constant",
    "ctor": "constructor",
    "prop": "property",
    "mod": "module",
    "typedef": "type",
    "alias": "type",
    "heading": "section",
}


def question(query: str) -> str:
    if not isinstance(query, str):
        raise UserError("the query must be a text", hint="Ask in words, or give a symbol's name.", code="wrong_type")
    if not query.strip():
        raise UserError("the query is empty", hint="Ask in words, or give a symbol's name.", code="empty_query")
    if len(query) > LONGEST_QUERY:
        raise UserError(
            f"the query is longer than {LONGEST_QUERY:,} characters",
            hint="Give the part that matters: a name, a message, a few lines.",
            code="out_of_range",
        )
    return str(text.mended(query))


def filters(
    language: str | Sequence[str] | None, path_glob: str | Sequence[str] | None, content: str, mode: str
) -> Filters:
    mode, content = one_of(mode, "mode", MODES), one_of(content, "content", _CONTENTS)
    names = names_of(language, "language")
    found = {name: languages.asked_for(name) for name in names}
    unknown = [name for name, item in found.items() if item is None]
    if unknown:
        close = list(dict.fromkeys(map(languages.usual_name, text.nearest(unknown[0], languages.all_names()))))
        hint = did_you_mean(close) or "Leave it out, or say which files are meant by path_glob (--glob), e.g. *.abc"
        raise UserError(f"unknown language: {', '.join(unknown)}", hint=hint, code="unknown_language")
    wanted = frozenset(item.name for item in found.values() if item is not None)
    if "typescript" in wanted:
        wanted |= {"tsx"}
    if wanted and content == "code" and all(languages.LANGUAGES[name].content != "code" for name in wanted):
        content = "all"  # whoever asks for markdown wants markdown
    return Filters(wanted, tuple(names_of(path_glob, "path_glob")), content)


def one_of(given: str, name: str, allowed: Sequence[str]) -> str:
    """A value that is one of few, whatever its case. Raises UserError."""
    if isinstance(given, str) and given.strip().lower() in allowed:
        return given.strip().lower()
    close = text.nearest(given, allowed, 1) if isinstance(given, str) else []
    hint = " ".join(filter(None, (did_you_mean(close), f"{name} is one of: {', '.join(allowed)}.")))
    raise UserError(f"{name} cannot be {str(given)[:100]!r}", hint=hint, code=f"unknown_{name}")


def did_you_mean(close: Sequence[str]) -> str:
    """The question in a hint; empty if nothing is close."""
    return f"Did you mean {' or '.join(close)}?" if close else ""


def kind(given: str | None) -> str | None:
    """A kind of symbols as the index calls it."""
    if given is None or not given.strip():
        return None
    wanted = given.strip().lower()
    return _KINDS.get(wanted, wanted)


def revision(given: str | None) -> str | None:
    if given is not None and len(given) > _LONGEST_REVISION:
        raise UserError(
            f"a revision has at most {_LONGEST_REVISION} characters",
            hint="A commit, branch or tag, for example HEAD~3 or main.",
            code="out_of_range",
        )
    return given


def names_of(said: str | Sequence[str] | None, name: str) -> list[str]:
    items = [said] if isinstance(said, str) else list(said or ())
    if not all(isinstance(item, str) for item in items):
        raise UserError(
            f"{name} must be a text or a list of texts",
            hint='For example "src/**" or ["src/**", "docs/**"].',
            code="wrong_type",
        )
    if any("\0" in item for item in items):
        raise UserError(f"{name} holds a NUL byte", hint="No file has one in its name.", code="out_of_range")
    if len(items) > _MOST_NAMES or sum(map(len, items)) > _LONGEST_NAMES:
        most = f"{_MOST_NAMES} entries of {_LONGEST_NAMES:,} characters together"
        raise UserError(f"{name} may have at most {most}", hint="Ask several times.", code="out_of_range")
    return [item.encode("utf-8", "replace").decode() for item in items if item.strip()]  # JSON has half characters


def shape(limit: int, snippet_lines: int, max_tokens: int | None, chunks: bool, explain: bool) -> Shape:
    for name, value in (("limit", limit), ("snippet_lines", snippet_lines), ("max_tokens", max_tokens)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise UserError(f"{name} must be a whole number", hint="For example 10.", code="wrong_type")
    if limit < 1:
        raise UserError("limit must be at least 1", hint="Leave it out for 10.", code="out_of_range")
    budget = max(50, max_tokens) if max_tokens is not None else None
    return Shape(min(limit, MOST_HITS), max(0, min(snippet_lines, 400)), budget, chunks, explain)
