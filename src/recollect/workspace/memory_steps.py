"""What to do next after an answer about memories that shows only some of them, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from recollect.calls import NextCall, next_call
from recollect.memory.recall import DEFAULT_TOKENS
from recollect.memory.store import Filter, MemoryStore
from recollect.model import NextStep
from recollect.records import dataclass
from recollect.text import folded, nearest

_NAMED: Final = 10  # tags or types that an answer names


@dataclass(frozen=True, slots=True)
class Asked:
    """A call of a tool with the arguments that it was given."""

    tool: str
    arguments: Mapping[str, Any]

    def again(self, **changes: Any) -> NextCall:
        """Return the same call with other arguments; None takes one away, and so does a default."""
        arguments = {**self.arguments, **changes}
        if arguments.get("max_tokens") == DEFAULT_TOKENS:
            arguments["max_tokens"] = None
        return next_call(self.tool, **{name: value for name, value in arguments.items() if value not in ([], ())})


def more(asked: Asked, shown: int, wanted: int, after: int | None) -> tuple[NextStep, ...] | None:
    """Return how to go on where `shown` of the `wanted` memories are shown and more follow; None at the end."""
    if after is None:
        return None
    reason = "The next ones"
    if shown < wanted and asked.arguments.get("max_tokens") is not None:
        reason = f"{asked.arguments['max_tokens']:,} tokens (max_tokens) hold {shown} of the {wanted} asked for; the next ones"
    return (NextStep(reason, asked.again(offset=after, page=None)),)


def after_nothing(store: MemoryStore, asked: Asked, wanted: Filter) -> tuple[NextStep, ...] | None:
    """Return why a filter means no memory, or none that answers a question, and what to ask instead."""
    everything = store.total(Filter())
    if not everything:
        return (NextStep("Nothing is remembered yet. To keep something", next_call("store_memory", content="…")),)
    unknown = tuple(_unknown_names(store, asked, wanted))
    if unknown:
        return unknown
    left = store.total(wanted)
    timeless = replace(wanted, after=None, before=None)
    if not left and timeless != wanted and (count := store.total(timeless)):
        call = asked.again(time=None, after=None, before=None)
        return (NextStep(f"None is of that time. Without it, the filters leave {_memories(count)}", call),)
    any_tag = replace(wanted, tag_match="any")
    if not left and any_tag != wanted and (count := store.total(any_tag)):
        return (
            NextStep(
                f"None has all these tags; {_memories(count)} {_has(count)} one of them", asked.again(tag_match=None)
            ),
        )
    if asked.arguments.get("mode") == "exact":
        return (NextStep("No content holds that text. By its words", asked.again(mode=None)),)
    if left and asked.arguments.get("query"):
        names = ("tags", "tag_match", "type", "time")
        filters = {name: value for name, value in asked.arguments.items() if name in names}
        call = Asked("list_memories", filters).again()
        return (
            NextStep(f"{_memories(left).capitalize()} {_is(left)} there, and none is about that. To see them", call),
        )
    return None


def _unknown_names(store: MemoryStore, asked: Asked, wanted: Filter) -> Iterator[NextStep]:
    """A step for each tag or type that no memory has, with the one that is meant perhaps."""
    types = (wanted.memory_type,) if wanted.memory_type else ()
    for kind, column, argument, given in (("tag", "tag", "tags", wanted.tags), ("type", "memory_type", "type", types)):
        names = store.values(column) if given else {}
        known = {folded(name) for name in names}
        unknown = [name for name in given if folded(name) not in known]
        for name in unknown if wanted.tag_match == "all" or len(unknown) == len(given) else ():
            close = nearest(name, names, 1)
            if close:
                meant: Any = [close[0] if tag == name else tag for tag in given] if kind == "tag" else close[0]
                yield NextStep(
                    f"No memory has the {kind} {name}. Did you mean {close[0]}?", asked.again(**{argument: meant})
                )
            else:
                there = ", ".join(list(names)[:_NAMED]) or "none"
                yield NextStep(f"No memory has the {kind} {name}. {kind.capitalize()}s that there are: {there}.")


def _memories(count: int) -> str:
    return "1 memory" if count == 1 else f"{count:,} memories"


def _has(count: int) -> str:
    return "has" if count == 1 else "have"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
