"""What stands in the judge for an object that stayed in a student's kernel.

It can do what a check does with an answer: be called, be asked for its class's name, repr, length and public
names, and be gone through. Everything it says of itself is the kernel's word, and plain values.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from lab_utils.grading.judge.codec import RECORDS, CodecError
from lab_utils.grading.judge.packing import Kept

if TYPE_CHECKING:
    from lab_utils.grading.judge.peer import Peer

_PIECE = 500
_MOST_ITEMS = 200_000


class RemoteObject(Kept):
    """An object in the kernel. Its class bears the name of the object's own class.

    Args:
        peer: The connection to the kernel.
        number: The kernel's number of it.
        about: What the kernel says of it.
    """

    def __init__(self, peer: Peer, number: int, about: Mapping[str, Any]) -> None:
        self.triton_lab_number = number
        self._peer = peer
        self._repr = _text(about, "repr", 2000)
        names = about.get("names")
        self._names = (
            frozenset(n for n in names if isinstance(n, str)) if isinstance(names, list) else frozenset()
        )
        own = about.get("fields")
        self._fields = dict(own) if isinstance(own, Mapping) else {}
        self._length = about.get("length")

    def __repr__(self) -> str:
        return self._repr

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._fields:
            return self._fields[name]
        if name in self._names:
            return _Unread(f"<{name} of {self._repr[:60]}>")
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")


class _Unread:
    """An attribute that is there, and that no check reads."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _call(self: RemoteObject, *args: Any, **kwargs: Any) -> Any:
    return self._peer.call(self.triton_lab_number, args, kwargs)


def _length(self: RemoteObject) -> int:
    return int(self._length or 0)


def _iterate(self: RemoteObject) -> Iterator[Any]:
    """Its items, fetched piece by piece."""
    iterator = self._peer.do("iterate", self.triton_lab_number)
    if not isinstance(iterator, RemoteObject):
        raise CodecError("an iterator was promised")
    for _ in range(_MOST_ITEMS // _PIECE):
        items = self._peer.do("pull", iterator.triton_lab_number, _PIECE)
        if not isinstance(items, list):
            raise CodecError("a list of items was promised")
        yield from items
        if len(items) < _PIECE:
            return
    raise ValueError(f"more than {_MOST_ITEMS} items")


def remote_object(peer: Peer, number: int, about: Mapping[str, Any]) -> RemoteObject:
    """Make what stands for an object, with just the abilities that the kernel names."""
    abilities: dict[str, Any] = {"__module__": "notebook"}
    if about.get("calls") is True:
        abilities["__call__"] = _call
    length = about.get("length")
    if type(length) is int and 0 <= length < sys.maxsize:
        abilities["__len__"] = _length
    if about.get("iterates") is True:
        abilities["__iter__"] = _iterate
    name = _text(about, "type", 100)
    made: RemoteObject = type(name if name.isidentifier() else "object", (RemoteObject,), abilities)(
        peer, number, about
    )
    if "__call__" in abilities and _text(about, "name", 200):
        made.__name__ = _text(about, "name", 200)  # type: ignore[attr-defined]
        made.__module__ = _text(about, "module", 200)
    return made


def _text(about: Mapping[str, Any], key: str, most: int) -> str:
    value = about.get(key)
    return value[:most] if isinstance(value, str) else ""


def course_record(module: str, name: str, values: Mapping[Any, Any]) -> Any:
    """A dataclass of the course with these values; its own code is not run to make it.

    Raises:
        CodecError: There is no such dataclass here, or these are not its fields.
    """
    kind = getattr(sys.modules.get(module), name, None) if module.startswith(RECORDS) else None
    if not isinstance(kind, type) or not is_dataclass(kind) or kind.__module__ != module:
        raise CodecError(f"the course has no record {module[:80]}.{name[:80]}")
    if set(values) != {field.name for field in fields(kind)}:
        raise CodecError(f"{name} has other fields")
    made = object.__new__(kind)
    for field, value in values.items():
        object.__setattr__(made, field, value)
    return made


def each(function: RemoteObject, cases: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call a function in the kernel once for each case, in one message."""
    found = function._peer.do("each", function.triton_lab_number, list(cases))
    if not isinstance(found, list) or len(found) != len(cases):
        raise CodecError(f"{len(cases)} answers were promised")
    return found
