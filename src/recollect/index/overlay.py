"""A mapping that differs in a few entries from another one, which it shares rather than copies."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Final, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")
_SHARED: Final = 50  # entries for each that may differ; beyond, a copy is made
_GONE: Final = object()


class Overlay(Mapping[_K, _V]):
    """Immutable. Whoever looks through all of it has it copied, once."""

    def __init__(self, base: Mapping[_K, _V], own: Mapping[_K, Any]) -> None:
        """`own`: what differs from `base`; `_GONE` where there is nothing. See `changed`."""
        self.base = base
        self.own = own
        self.copy: dict[_K, _V] | None = None

    def __getitem__(self, key: _K) -> _V:
        if key not in self.own:
            return self.base[key]
        value: _V = self.own[key]
        if value is _GONE:
            raise KeyError(key)
        return value

    def __len__(self) -> int:
        return len(self.whole())

    def __iter__(self) -> Iterator[_K]:
        return iter(self.whole())

    def keys(self) -> KeysView[_K]:
        return self.whole().keys()

    def values(self) -> ValuesView[_V]:
        return self.whole().values()

    def items(self) -> ItemsView[_K, _V]:
        return self.whole().items()

    def whole(self) -> dict[_K, _V]:
        """All of it as a dictionary (not to be changed)."""
        if self.copy is None:
            made = {**self.base, **self.own}
            self.copy = {key: value for key, value in made.items() if value is not _GONE}
        return self.copy


def changed(base: Mapping[_K, _V], entries: Mapping[_K, _V], gone: Iterable[_K] = ()) -> Mapping[_K, _V]:
    """`base` with `entries`, and without what is gone and none of these. `base` must not change any more."""
    before: Mapping[_K, Any] = {}
    if isinstance(base, Overlay):
        base, before = (base.base, base.own) if base.copy is None else (base.copy, before)
    made = Overlay(base, {**before, **dict.fromkeys(gone, _GONE), **entries})
    return made if len(made.own) * _SHARED <= len(base) else made.whole()
