"""Read the arguments of a call as their sender meant them: clients and models differ in how they write the same thing.

`null` and blank text mean "not given" for optional parameters, numbers and booleans may be text, lists and objects may be
JSON text, a list may also be one value or text with commas. What cannot be understood is an error that names it.
Models also write `null` as a word, one value as a list of one, and quotes around a name.
"""

from __future__ import annotations

import ast
import functools
import json
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ValidationError

from recollect.errors import UserError
from recollect.records import dataclass
from recollect.text import nearest

Model = TypeVar("Model", bound=BaseModel)

_NOT_GIVEN: Final = object()
_MAY_HOLD_COMMAS: Final = frozenset({"repository"})  # a path may; the registry separates several
_FREE_TEXT: Final = frozenset({"query", "content"})  # means itself, whatever it looks like
_GLOBS: Final = frozenset({"path_glob", "exclude_patterns", "ignore_patterns"})  # "[0]" is one
_NOTHING: Final = frozenset({"null", "none", "undefined", "nil"})  # as models write that there is no value
_BROKEN_LIST: Final = re.compile(r"\[\s*(\"|'[^']*'\s*,)")  # begins like a list of texts
_DEEPEST: Final = 5  # lists of one list
_LONGEST_LIST_TEXT: Final = 100_000  # characters of a list written as text
_MOST_NOTES: Final = 5
_LONGEST_SHOWN: Final = 60  # characters of a wrong value that an error repeats
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Understood:
    """Checked arguments, and sentences that say what was not taken as it came."""

    parameters: Any
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Field:
    """What one parameter may be."""

    name: str
    kinds: frozenset[type]
    choices: tuple[Any, ...]
    is_required: bool

    @property
    def is_free_text(self) -> bool:
        return self.name in _FREE_TEXT and not self.choices


def understand(
    model: type[BaseModel], arguments: Mapping[str, Any] | None, *, reads: bool = True, deletes: bool = False
) -> Understood:
    """The arguments of a call as `model`. Unknown ones are ignored and named, or refused where the tool `deletes`; numbers
    out of range are taken as the nearest allowed one where it only `reads`.

    Raises UserError with one sentence for each wrong argument.
    """
    fields = _fields(model)
    given: dict[str, Any] = {}
    ignored: list[str] = []
    extra: dict[str, Any] = {}
    for name, value in sorted((arguments or {}).items(), key=lambda item: item[0] not in fields):
        field_name = field_of(model, name)
        if field_name is None:
            extra[name] = value
            continue
        read = _read(fields[field_name], value, deletes)
        if read is _NOT_GIVEN:
            if deletes and value is not None and not (isinstance(value, str) and not value.strip()):
                raise UserError(f"{_shown(name)} names nothing; nothing was deleted", code="invalid_argument")
            continue
        if field_name in given and given[field_name] != read:
            ignored.append(f"{_shown(name)} was ignored: {field_name} is given too")
            continue
        given[field_name] = read
    if model.model_config.get("extra") == "allow":
        given = {**extra, **given}
    else:
        ignored += [f"there is no argument {_shown(name)}{_nearest(name, fields)}: it was ignored" for name in extra]
        if extra and deletes:
            refused = "; ".join(f"there is no argument {_shown(name)}{_nearest(name, fields)}" for name in extra)
            raise UserError(
                f"{refused}; nothing was deleted", hint=f"Known: {', '.join(fields)}", code="invalid_argument"
            )
    bounded, notes = _bounded(model, given) if reads else (given, [])
    said = tuple([*notes, *ignored][:_MOST_NOTES])
    try:
        return Understood(validated(model, bounded), said)
    except UserError as error:  # a required one may be among those that were ignored, misspelt
        raise UserError(error.message, hint=error.hint or "; ".join(said), code=error.code) from None


def _bounded(model: type[BaseModel], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The arguments with numbers out of range replaced by the nearest that is allowed, and what was replaced."""
    bounded, notes = dict(given), []
    try:
        model.model_validate(bounded)
    except ValidationError as error:
        for item in error.errors():
            for bound, which in (("ge", "least"), ("le", "most")):
                if bound in (context := item.get("ctx") or {}) and item["loc"]:
                    name = field_of(model, str(item["loc"][0])) or ""
                    bounded[name] = context[bound]
                    notes.append(f"{name} was taken as {context[bound]}, the {which}")
    return bounded, notes


def validated(model: type[Model], arguments: Mapping[str, Any]) -> Model:
    """Exactly these arguments, none unknown. Raises UserError with one sentence for each wrong one."""
    try:
        return model.model_validate(dict(arguments))
    except ValidationError as error:
        raise UserError("; ".join(_sentences(error, model)), code="invalid_argument") from None


def field_of(model: type[BaseModel], name: str) -> str | None:
    """The parameter that a name means: its own, an older one, or one written in another style (`maxTokens`)."""
    names = _names(model)
    return names.get(name) or names.get(_WORDS.sub("_", name).replace("-", "_").lower())


@functools.cache
def _names(model: type[BaseModel]) -> dict[str, str]:
    """Every accepted name → the parameter's own."""
    names = {name: name for name in model.model_fields}
    for name, field in model.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices):
            for alias in field.validation_alias.choices:
                names.setdefault(str(alias), name)
    return names


@functools.cache
def _fields(model: type[BaseModel]) -> dict[str, _Field]:
    found = {}
    for name, field in model.model_fields.items():
        parts = list(_parts(field.annotation))
        kinds = frozenset(part for part in parts if isinstance(part, type))
        choices = tuple(choice for part in parts if isinstance(part, tuple) for choice in part)
        found[name] = _Field(name, kinds, choices, field.is_required())
    return found


def _parts(annotation: Any) -> Iterator[Any]:
    """The plain types of an annotation, and the values of its literals as a tuple."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for option in get_args(annotation):
            yield from _parts(option)
    elif origin is Literal:
        yield get_args(annotation)
    elif origin in (list, dict):
        yield origin
    elif isinstance(annotation, type) and annotation is not type(None):
        yield annotation


# -- values -----------------------------------------------------------------------------------------------------------


def _read(field: _Field, value: Any, deletes: bool) -> Any:
    """The value as its parameter takes it; what cannot be read so stays as it is, for the validation to name."""
    if not field.is_free_text:
        value = _without_quotes(value)
        value = value if list in field.kinds or dict in field.kinds else _decoded(value, list)
    value = _alone(value)
    if isinstance(value, list) and len(value) == 1 and list not in field.kinds and dict not in field.kinds:
        value = value[0]
    if value is None or (isinstance(value, str) and not field.is_required and _is_nothing(field, value, deletes)):
        return _NOT_GIVEN
    if list in field.kinds:
        return _read_list(field, value)
    if dict in field.kinds:
        return _decoded(value, dict)
    if field.choices:
        folded = {str(choice).casefold(): choice for choice in field.choices}
        return folded.get(value.strip().casefold(), value) if isinstance(value, str) else value
    if bool in field.kinds:
        return _BOOLEANS.get(_text(value).strip().lower(), value)
    if str in field.kinds:
        return value if isinstance(value, str | list | dict) or float in field.kinds else _text(value)
    if int in field.kinds or float in field.kinds:
        return _read_number(value, whole=int in field.kinds)
    return value


def _is_nothing(field: _Field, text: str, deletes: bool) -> bool:
    """Whether text says that there is no value. Where something is deleted, a word is never taken for that."""
    word = text.strip().lower()
    return not word or (word in _NOTHING and not deletes and not field.is_free_text)


def _without_quotes(value: Any) -> Any:
    """Text that came as JSON text of itself: `"shop"` with its quotes."""
    if isinstance(value, str) and len(value) <= _LONGEST_LIST_TEXT and value.strip()[:1] == '"' == value.strip()[-1:]:
        with suppress(ValueError):
            inner = json.loads(value)
            return inner if isinstance(inner, str) else value
    return value


def _alone(value: Any) -> Any:
    """What a list holds that has one item, where that is a list again, null, or text of a list."""
    for _ in range(_DEEPEST):
        if not isinstance(value, list) or len(value) != 1:
            break
        inner = value[0]
        decoded = _decoded(inner, list) if isinstance(inner, str) and _BROKEN_LIST.match(inner.lstrip()) else inner
        if decoded is not None and not isinstance(decoded, list):
            break
        value = decoded or None  # a list of an empty one says nothing
    return value


def _read_list(field: _Field, value: Any) -> Any:
    decoded: Any = _decoded(value, list, numbers=field.name not in _GLOBS)
    if isinstance(decoded, str):
        if _BROKEN_LIST.match(decoded.lstrip()):
            return {"not a list": decoded}  # refused with its beginning: taken as it stands, it would match nothing
        if field.name in _MAY_HOLD_COMMAS:
            return decoded if str in field.kinds else [decoded]
        decoded = _separated(decoded)
        if len(decoded) == 1 and str in field.kinds:
            return decoded[0]
        if not decoded:
            return _NOT_GIVEN
    if isinstance(decoded, bool | int | float):
        decoded = [decoded]
    if not isinstance(decoded, list):
        return decoded
    items = [_text(item) if isinstance(item, bool | int | float) else item for item in decoded]
    named = [item for item in items if item is not None and not (isinstance(item, str) and not item.strip())]
    return named if named or not items else _NOT_GIVEN  # [null] and [""] name nothing; [] is an empty list


def _read_number(value: Any, whole: bool) -> Any:
    if isinstance(value, str):
        try:
            number = float(value.strip())
        except ValueError:
            return value
        if not math.isfinite(number):
            return value
        value = int(value) if value.strip().isdecimal() else number
    if whole and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _decoded(value: Any, kind: type, numbers: bool = True) -> Any:
    """A list or an object that was written as text, in JSON or as Python does; anything else as it is.

    `numbers`: whether a list may hold nothing but numbers. A glob may look like that: "[0]" holds no text.
    """
    opening = "[" if kind is list else "{"
    if not isinstance(value, str) or not value.lstrip().startswith(opening) or len(value) > _LONGEST_LIST_TEXT:
        return value
    decoders: tuple[Callable[[str], Any], ...] = (json.loads, ast.literal_eval)
    for decode in decoders:
        try:
            decoded = decode(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(decoded, dict) and kind is dict:
            return decoded
        if isinstance(decoded, list) and kind is list and _is_plain(decoded, numbers):
            return decoded
    return value


def _is_plain(items: list[Any], numbers: bool) -> bool:
    """Whether these are texts, or numbers where a list may hold these alone."""
    if not all(item is None or isinstance(item, str | int | float) for item in items):
        return False
    return numbers or not items or any(item is None or isinstance(item, str) for item in items)


def _separated(value: str) -> list[str]:
    """Text with commas as a list; a comma within brackets ("*.{js,ts}") separates nothing."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(value):
        if character in "{[(":
            depth += 1
        elif character in "}])":
            depth = max(0, depth - 1)
        elif character == "," and not depth:
            parts.append(value[start:at])
            start = at + 1
    return [part.strip() for part in [*parts, value[start:]] if part.strip()]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


# -- errors -----------------------------------------------------------------------------------------------------------

_EXPECTED: Final = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be text",
    "list": "must be a list of texts",
    "dict": "must be an object",
}


def _sentences(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One sentence for each argument that is wrong."""
    sentences: dict[str, str] = {}
    fields = _fields(model)
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else "arguments"
        sentences.setdefault(field_of(model, name) or name, _sentence(name, item, model, fields))
    return list(sentences.values())


def _sentence(name: str, error: Any, model: type[BaseModel], fields: Mapping[str, _Field]) -> str:
    kind, context, value = str(error["type"]), error.get("ctx") or {}, error.get("input")
    if kind == "missing":
        return f"{name} is required"
    if kind == "extra_forbidden":
        return f"there is no argument {_shown(name)}{_nearest(name, fields)}; known: {', '.join(fields)}"
    field = fields.get(field_of(model, name) or "")
    if kind == "literal_error" and field is not None:
        near = nearest(str(value)[:_LONGEST_SHOWN], map(str, field.choices), 1)
        suggestion = f". Did you mean {near[0]}?" if near else ""
        return f"{name} must be one of {', '.join(map(str, field.choices))}, not {_shown(value)}{suggestion}"
    for bound, words in (("ge", "at least"), ("le", "at most")):
        if bound in context:
            return f"{name} must be {words} {context[bound]}"
    expected = next((words for start, words in _EXPECTED.items() if kind.startswith(start)), None)
    if field is not None and list in field.kinds:
        expected = "must be text or a list of texts" if str in field.kinds else "must be a list of texts"
    return f"{name} {expected}, not {_shown(value)}" if expected else f"{name}: {str(error['msg'])[:200]}"


def _nearest(name: str, fields: Mapping[str, Any]) -> str:
    near = nearest(name[:_LONGEST_SHOWN], fields, 1)
    return f" (did you mean {near[0]}?)" if near else ""


def _shown(value: Any) -> str:
    """A value as an error repeats it; its beginning, where it is long."""
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        value = value[:_LONGEST_SHOWN] + "…"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN + 3 else text[:_LONGEST_SHOWN] + "…"
