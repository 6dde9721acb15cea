"""Functions that follow folders as deep as they go, without the interpreter's stack, which ends at some hundred levels."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")
Steps = Generator["Steps[Any]", Any, T]
"""A recursive function as a generator: it yields the calls that it makes (`below = yield descend(…)`), and returns its result."""


def result_of(call: Steps[T]) -> T:
    """What a call returns. What it raises passes through its callers, as ever."""
    calls: list[Steps[Any]] = [call]
    value: Any = None
    error: BaseException | None = None
    while calls:
        try:
            inner = calls[-1].send(value) if error is None else calls[-1].throw(error)
        except StopIteration as end:
            calls.pop()
            value, error = end.value, None
        except BaseException as raised:
            calls.pop()
            value, error = None, raised
        else:
            calls.append(inner)
            value, error = None, None
    if error is not None:
        raise error
    result: T = value
    return result
