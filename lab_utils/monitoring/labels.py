"""The labels of a series, as a value that can be a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from weakref import WeakValueDictionary


class Labels(Mapping[str, str]):
    """The labels of one series: a mapping that cannot change, so that it can be a key."""

    __slots__ = ("__weakref__", "_hash", "_items")

    def __init__(self, labels: Mapping[str, str] | None = None, /, **more: str) -> None:
        self._items = {name: str(value) for name, value in sorted({**(labels or {}), **more}.items())}
        self._hash = hash(tuple(self._items.items()))

    def __getitem__(self, name: str) -> str:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Labels):
            return self._items == other._items
        return self._items == other

    def __repr__(self) -> str:
        return "{" + ", ".join(f'{name}="{value}"' for name, value in self._items.items()) + "}"

    def carries(self, wanted: Mapping[str, str]) -> bool:
        """True when each wanted label is here with that value."""
        return all(self._items.get(name) == value for name, value in wanted.items())


# Pages are read again and again, with the same labels: each set of labels is kept once.
_KNOWN: WeakValueDictionary[tuple[tuple[str, str], ...], Labels] = WeakValueDictionary()


def shared(labels: Mapping[str, str]) -> Labels:
    """These labels, as the same object whenever they are the same."""
    key = tuple(sorted(labels.items()))
    found = _KNOWN.get(key)
    if found is None:
        found = _KNOWN[key] = Labels(labels)
    return found
