"""What `recollect.records.dataclass` makes is told from what the standard library makes by the time it takes alone."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from recollect import records


class _Base:
    __slots__ = ()

    def area(self: Any) -> int:
        return int(self.x * self.y)


class _Plain(_Base):
    """A place."""

    x: int
    y: int = 2
    tags: list[str] = dataclasses.field(default_factory=list)
    kind: str = dataclasses.field(default="dot", metadata={"optional": True})


Standard = dataclasses.dataclass(frozen=True, slots=True)(type("Place", (_Base,), dict(vars(_Plain))))
Ours = records.dataclass(frozen=True, slots=True)(type("Place", (_Base,), dict(vars(_Plain))))


@records.dataclass(frozen=True, slots=True)
class Kept:
    name: str
    size: int = 1

    def __repr__(self) -> str:
        return f"<{self.name}>"


@records.dataclass(frozen=True, slots=True, eq=False)
class Single:
    values: list[int]


@pytest.mark.parametrize("given", [((1,), {}), ((1, 5), {"kind": "line"}), ((), {"x": 3, "tags": ["a"]})])
def test_records_are_as_the_standard_ones(given: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    ours, standard = Ours(*given[0], **given[1]), Standard(*given[0], **given[1])
    assert repr(ours) == repr(standard)
    assert dataclasses.asdict(ours) == dataclasses.asdict(standard)
    assert [item.name for item in dataclasses.fields(ours)] == ["x", "y", "tags", "kind"]
    assert dataclasses.fields(Ours)[3].metadata == {"optional": True}
    assert ours == Ours(*given[0], **given[1]) == copy.copy(ours)
    assert ours != Ours(-1)
    assert ours != standard  # of another class
    changed = dataclasses.replace(ours, x=7)
    assert (changed.x, changed.y, changed.area()) == (7, ours.y, 7 * ours.y)
    assert not hasattr(ours, "__dict__")
    assert Ours(1).tags is not Ours(1).tags


@pytest.mark.parametrize("kind", [Standard, Ours])
def test_what_is_wrong_is_refused(kind: Any) -> None:
    one = kind(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="'x'"):
        one.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.x
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError, AttributeError)):
        one.other = 2
    with pytest.raises(TypeError, match=r"__init__\(\) missing 1 required positional argument: 'x'"):
        kind()
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        kind(1, z=2)
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)  # of a list


def test_records_are_hashed_pickled_and_keep_what_they_define() -> None:
    one = Kept("a")
    assert {one: 1}[Kept("a", 1)] == 1
    assert pickle.loads(pickle.dumps(one)) == one
    assert (repr(one), Kept.__doc__, Ours.__doc__) == ("<a>", None, "A place.")
    single = Single([1])
    assert single != Single([1])
    assert single == single
    assert len({single, Single([1])}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        single.values = []  # type: ignore[misc]
