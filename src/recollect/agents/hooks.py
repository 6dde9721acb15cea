"""Hooks in an agent's configuration: ours set, brought up to date and taken out, one by one, between other people's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from recollect.agents import documents, jsonc, ours
from recollect.agents.known import Hooks
from recollect.errors import UserError

_Place = tuple[str | int, ...]  # path of a hook: ("hooks", event, number of the group, "hooks", its number in it)


def with_hooks(text: str, hooks: Hooks, agent: str, command: Sequence[str], env: Mapping[str, str]) -> str:
    """`text` with our hook at each event; one that is there gets the command of now and keeps all else. Raises UserError."""

    def change(body: str) -> str:
        for name, value in (hooks.constants or {}).items():
            if name not in _read(body):
                body = jsonc.with_member(body, (name,), value)
        for event, name in hooks.events.items():
            body = _with_hook(body, hooks, event, ours.hook_line(command, env, name, agent), (command, env))
        return body

    return _changed(text, hooks, change)


def without_hooks(hooks: Hooks, text: str, was: str | None) -> str:
    """`text` without our hooks, and without what held only them, unless that was there before. Raises UserError."""
    before = _hooks_of(was)

    def change(body: str) -> str:
        for event in list(_events(_read(body))):
            places = _ours(_read(body), hooks, event)
            for place in reversed(places):
                body = _without_hook(body, place)
            if places and not _events(_read(body)).get(event) and event not in (before or {}):
                body = jsonc.without_member(body, ("hooks", event))
        if _read(body).get("hooks") == {} and before is None:
            body = jsonc.without_member(body, ("hooks",))
        return "" if was is None and hooks.constants and _read(body) == hooks.constants else body

    if not any(_ours(_read(documents.plain(text)), hooks, event) for event in _events(_read(documents.plain(text)))):
        return text
    return _changed(text, hooks, change)


def installed(hooks: Hooks, text: str) -> list[str]:
    """The events at which a hook of ours stands. Raises UserError where the text cannot be read."""
    whole = _read(documents.plain(text))
    return [event for event in hooks.events if _ours(whole, hooks, event)]


def _with_hook(body: str, hooks: Hooks, event: str, line: str, now: tuple[Sequence[str], Mapping[str, str]]) -> str:
    whole = _read(body)
    entries = _events(whole).get(event)
    if entries is not None and not isinstance(entries, list):
        raise UserError(f"its hooks of {event} are no list", code="unreadable_configuration")
    places = _ours(whole, hooks, event)
    if not places:
        entry: dict[str, Any] = {"command": line}
        if hooks.shape == "nested":
            entry = {"hooks": [{"type": "command", "command": line, "timeout": hooks.timeout}]}
        return jsonc.with_item(body, ("hooks", event), entry)
    seen: list[Any] = []
    second: list[_Place] = []
    for place in places:
        group = entries[place[2]] if isinstance(entries, list) and isinstance(place[2], int) else {}
        if group.get("matcher") in seen:
            second.append(place)  # it would run twice
            continue
        seen.append(group.get("matcher"))
        updated = _up_to_date(str(_value(whole, place)["command"]), *now)
        if updated is not None:
            body = jsonc.with_member(body, (*place, "command"), updated)
    for place in reversed(second):
        body = _without_hook(body, place)
    return body


def _up_to_date(line: str, command: Sequence[str], env: Mapping[str, str]) -> str | None:
    """A command line of ours with the program and the data directory of now; None if it has them."""
    said = ours.hook_command(line)
    assert said is not None
    assignments = dict(one.split("=", 1) for one in said.assignments)
    if list(said.program) == list(command) and assignments == {**assignments, **env}:
        return None
    options = "".join(f" {name} {value}" for name, value in said.options.items())
    return f"{ours.command_line(command, {**assignments, **env})} {ours.HOOK} {said.event}{options}"


def _without_hook(body: str, place: _Place) -> str:
    """`body` without one hook; without its group, where it is the last thing there."""
    if len(place) > 3 and len(_value(_read(body), place[:-1])) == 1:
        place = place[:3]
    number = place[-1]
    assert isinstance(number, int)
    return jsonc.without_item(body, place[:-1], number)


def _ours(whole: Any, hooks: Hooks, event: str) -> list[_Place]:
    places: list[_Place] = []
    entries = _events(whole).get(event)
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        place: _Place = ("hooks", event, number)
        if hooks.shape == "flat":
            places.extend([place] if _is_ours(entry) else [])
            continue
        inside = entry.get("hooks") if isinstance(entry, Mapping) else None
        for position, hook in enumerate(inside if isinstance(inside, list) else []):
            places.extend([(*place, "hooks", position)] if _is_ours(hook) else [])
    return places


def _is_ours(hook: Any) -> bool:
    return (
        isinstance(hook, Mapping)
        and hook.get("type", "command") == "command"
        and "args" not in hook
        and ours.hook_command(hook.get("command")) is not None
    )


def _changed(text: str, hooks: Hooks, change: Any) -> str:
    """`text` after a change, if everything that is not ours is as it was. Raises UserError."""

    def checked(body: str) -> str:
        before = _others(_read(body), hooks)
        try:
            changed = str(change(body))
        except (jsonc.BadJson, TypeError, KeyError, IndexError) as error:
            raise UserError(f"it cannot be changed: {error}", code="unreadable_configuration") from error
        if _others(_read(changed), hooks) != before:
            raise UserError("it cannot be changed without harm", code="unreadable_configuration")
        return changed

    return documents.edited(text, checked)


def _others(whole: Any, hooks: Hooks) -> Any:
    """All that is not ours; lists and groups that are empty without ours left out, as well as what must stand there."""
    left = deepcopy(whole)
    for event in list(_events(left)):
        for place in reversed(_ours(left, hooks, event)):
            del _value(left, place[:-1])[place[-1]]
            if len(place) > 3 and not _value(left, place[:-1]):
                del left["hooks"][event][place[2]]
        if not left["hooks"][event]:
            del left["hooks"][event]
    if not left.get("hooks"):
        left.pop("hooks", None)
    for name, value in (hooks.constants or {}).items():
        if left.get(name) == value:
            del left[name]
    return left


def _read(body: str) -> Any:
    whole = documents.read(documents.JSON, body)
    found = whole.get("hooks")
    if found is not None and not isinstance(found, dict):
        raise UserError("its hooks are no table of events", code="unreadable_configuration")
    return whole


def _events(whole: Any) -> dict[str, Any]:
    return whole.get("hooks") or {}


def _hooks_of(text: str | None) -> dict[str, Any] | None:
    """The hooks of a text; None where it has none, or cannot be read."""
    try:
        found = _read(documents.plain(text or "")).get("hooks")
    except UserError:
        return None
    return found if isinstance(found, dict) else None


def _value(whole: Any, place: _Place) -> Any:
    for name in place:
        whole = whole[name]
    return whole
