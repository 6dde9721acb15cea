"""Laws of changing JSON with comments in place."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recollect.agents import jsonc

_KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=6)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | _KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """An object as somebody may have written it: (text, value)."""
    value = draw(st.dictionaries(_KEYS, _VALUES, max_size=4))
    blank = st.sampled_from(["", " ", "\n", "\n  ", " // a { comment\n", "/* one, [ more */"])
    trailing = draw(st.booleans())

    def written(item: Any) -> str:
        if isinstance(item, dict):
            parts = [
                f"{draw(blank)}{json.dumps(key)}{draw(blank)}:{draw(blank)}{written(one)}" for key, one in item.items()
            ]
            return "{" + (draw(blank) + ",").join(parts) + ("," if trailing and parts else "") + draw(blank) + "}"
        if isinstance(item, list):
            parts = [draw(blank) + written(one) for one in item]
            return "[" + ",".join(parts) + ("," if trailing and parts else "") + draw(blank) + "]"
        return json.dumps(item)

    return draw(blank) + written(value) + draw(blank), value


@given(documents())
def test_a_text_is_read_as_what_it_says(document: tuple[str, dict[str, Any]]) -> None:
    text, value = document
    assert jsonc.parse(text).value == value


@given(documents(), st.lists(st.sampled_from(["a", "b", "mcp"]), min_size=1, max_size=2), _VALUES)
def test_setting_a_member_changes_that_alone(document: tuple[str, dict[str, Any]], path: list[str], new: Any) -> None:
    text, value = document
    if len(path) == 2 and not isinstance(value.get(path[0], {}), dict):
        return
    changed = jsonc.with_member(text, tuple(path), new)
    expected = json.loads(json.dumps(value))
    if len(path) == 1:
        expected[path[0]] = new
    else:
        expected.setdefault(path[0], {})[path[1]] = new
    assert jsonc.parse(changed).value == expected
    for comment in ("// a { comment", "/* one, [ more */"):
        if path[0] not in value:
            assert changed.count(comment) == text.count(comment)


@given(documents(), _VALUES)
def test_what_was_set_can_be_taken_out_again(document: tuple[str, dict[str, Any]], new: Any) -> None:
    text, value = document
    if "a new one" in value:
        return
    there_and_gone = jsonc.without_member(jsonc.with_member(text, ("a new one",), new), ("a new one",))
    assert jsonc.parse(there_and_gone).value == value


@given(documents(), st.data())
def test_any_member_and_any_item_can_be_taken_out(document: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
    text, value = document
    if not value:
        return
    name = data.draw(st.sampled_from(sorted(value)))
    inside = value[name]
    if isinstance(inside, list) and inside:
        number = data.draw(st.integers(0, len(inside) - 1))
        changed = jsonc.without_item(text, (name,), number)
        assert jsonc.parse(changed).value == {**value, name: inside[:number] + inside[number + 1 :]}
        added = jsonc.with_item(text, (name,), 7)
        assert jsonc.parse(added).value == {**value, name: [*inside, 7]}
    assert jsonc.parse(jsonc.without_member(text, (name,))).value == {k: v for k, v in value.items() if k != name}
