"""The values that may come from a student's kernel: a closed set, read without running anything.

Each value is a letter and its content. The writer works in the kernel, the reader in the judge. What has no
letter of its own is kept in the kernel and travels as a description (`X`): its class, repr, and abilities.
The reader believes no length and no name: it looks at both before it makes anything.
"""

from __future__ import annotations

import datetime
import re
import struct
from typing import Any, Protocol

import numpy as np

DEEPEST = 40
MOST_VALUES = 1_000_000
MOST_TEXT = 1_000_000
MOST_KEYS = 20_000
"""Keys of one dict or set: more could be chosen so that they all meet in one place of its table."""

RECORDS = ("lab_utils.load.", "lab_utils.checks.")
"""Modules whose dataclasses travel as what they are: measurements, and records that checks make up.

Not all of the course's: what says of itself that it is a server, or a verdict, is not to be taken for one.
"""

_INT_BYTES = 512
_SIZE = struct.Struct(">I")
_FLOAT = struct.Struct(">d")
_COMPLEX = struct.Struct(">dd")
_DTYPE = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|complex(64|128)|[SU]\d{1,4}")


class CodecError(Exception):
    """A message that is no value: cut off, too deep, too large, or of an unknown form."""


class Builder(Protocol):
    """Makes what a reader cannot make by itself."""

    def opaque(self, number: int, about: dict[str, Any]) -> Any:
        """What stands for an object that stayed in the kernel."""

    def script(self, number: int, content: bytes) -> Any:
        """What stands for a TorchScript module that stayed in the kernel."""

    def coroutine(self, number: int) -> Any:
        """What stands for a coroutine that stayed in the kernel."""

    def given(self, number: int) -> Any:
        """An object of the judge's own that comes back."""

    def record(self, module: str, name: str, fields: dict[str, Any]) -> Any:
        """A dataclass of the course."""


def dtype_of(name: str) -> np.dtype[Any]:
    """A NumPy type by name.

    Raises:
        CodecError: It is none of the plain ones.
    """
    if not _DTYPE.fullmatch(name):
        raise CodecError(f"no type of numbers: {name[:40]!r}")
    return np.dtype(name)


def size(count: int) -> bytes:
    """A length as it is written."""
    return _SIZE.pack(count)


class Reader:
    """Reads one message.

    Args:
        data: The message.
        builder: Makes references and records.
    """

    def __init__(self, data: bytes, builder: Builder) -> None:
        self._data, self._at, self._builder = data, 0, builder
        self._values = 0

    def read(self) -> Any:
        """The one value of the message.

        Raises:
            CodecError: It holds something else.
        """
        try:
            value = self._value(0)
        except CodecError:
            raise
        except (ValueError, TypeError, OverflowError, RecursionError, MemoryError, struct.error) as error:
            raise CodecError(f"{type(error).__name__}: {error}") from error
        if self._at != len(self._data):
            raise CodecError("there is more after the value")
        return value

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise CodecError("the message is cut off")
        part = self._data[self._at : end]
        self._at = end
        return part

    def _count(self) -> int:
        (count,) = _SIZE.unpack(self._take(4))
        if count > len(self._data) - self._at:
            raise CodecError("a length is larger than the message")
        return int(count)

    def _bytes(self) -> bytes:
        return self._take(self._count())

    def _text(self) -> str:
        data = self._bytes()
        if len(data) > MOST_TEXT:
            raise CodecError(f"a text of {len(data):,d} bytes; {MOST_TEXT:,d} are allowed")
        return data.decode("utf-8", "replace")

    def _integer(self) -> int:
        data = self._bytes()
        if len(data) > _INT_BYTES:
            raise CodecError("a whole number of too many digits")
        return int.from_bytes(data, "big", signed=True)

    def _items(self, depth: int) -> list[Any]:
        return [self._value(depth + 1) for _ in range(self._count())]

    def _value(self, depth: int) -> Any:
        self._values += 1
        if depth > DEEPEST or self._values > MOST_VALUES:
            raise CodecError("the value is nested too deeply, or has too many parts")
        letter = chr(self._take(1)[0])
        read = _READERS.get(letter)
        if read is None:
            raise CodecError(f"no value begins with {letter!r}")
        return read(self, depth)

    def _mapping(self, depth: int) -> dict[Any, Any]:
        count = self._count()
        if count > MOST_KEYS:
            raise CodecError(f"a dictionary of {count:,d} keys; {MOST_KEYS:,d} are allowed")
        found = {}
        for _ in range(count):
            key = self._value(depth + 1)
            found[key] = self._value(depth + 1)
        return found

    def _keys(self, depth: int) -> list[Any]:
        keys = self._items(depth)
        if len(keys) > MOST_KEYS:
            raise CodecError(f"a set of {len(keys):,d} values; {MOST_KEYS:,d} are allowed")
        return keys

    def _array(self) -> np.ndarray[Any, Any]:
        dtype = dtype_of(self._text())
        shape = tuple(int.from_bytes(self._take(8), "big") for _ in range(self._take(1)[0]))
        data = self._bytes()
        count = 1
        for length in shape:
            count *= length
        if len(shape) > 32 or count * dtype.itemsize != len(data):
            raise CodecError(f"{len(data)} bytes are no array of shape {shape}")
        if not data:
            return np.empty(shape, dtype)
        # A copy: the bytes of a message cannot be written to.
        return np.frombuffer(data, dtype).reshape(shape).copy()

    def _objects(self, depth: int) -> np.ndarray[Any, Any]:
        shape = self._value(depth + 1)
        items = self._items(depth)
        if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n <= len(items) for n in shape):
            raise CodecError("an array without a shape")
        array = np.empty(len(items), object)
        for place, item in enumerate(items):
            array[place] = item
        return array.reshape(shape)

    def _tensor(self) -> Any:
        import torch

        half = self._take(1) == b"b"  # bfloat16, which NumPy does not have, travels as int16
        tensor = torch.from_numpy(self._array())
        return tensor.view(torch.bfloat16) if half else tensor

    def _record(self, depth: int) -> Any:
        module, name, fields = self._text(), self._text(), self._mapping(depth)
        return self._builder.record(module, name, fields)

    def _opaque(self, depth: int) -> Any:
        number, about = self._integer(), self._mapping(depth)
        return self._builder.opaque(number, about)


_READERS: dict[str, Any] = {
    "N": lambda reader, depth: None,
    "T": lambda reader, depth: True,
    "F": lambda reader, depth: False,
    "E": lambda reader, depth: ...,
    "i": lambda reader, depth: reader._integer(),
    "f": lambda reader, depth: _FLOAT.unpack(reader._take(8))[0],
    "c": lambda reader, depth: complex(*_COMPLEX.unpack(reader._take(16))),
    "s": lambda reader, depth: reader._text(),
    "b": lambda reader, depth: reader._bytes(),
    "l": lambda reader, depth: reader._items(depth),
    "t": lambda reader, depth: tuple(reader._items(depth)),
    "d": lambda reader, depth: reader._mapping(depth),
    "S": lambda reader, depth: set(reader._keys(depth)),
    "Z": lambda reader, depth: frozenset(reader._keys(depth)),
    "P": lambda reader, depth: _path(reader._text()),
    "D": lambda reader, depth: datetime.datetime.fromisoformat(reader._text()),
    "A": lambda reader, depth: reader._array(),
    "G": lambda reader, depth: reader._array()[()],
    "O": lambda reader, depth: reader._objects(depth),
    "B": lambda reader, depth: reader._tensor(),
    "C": lambda reader, depth: reader._record(depth),
    "X": lambda reader, depth: reader._opaque(depth),
    "J": lambda reader, depth: reader._builder.script(reader._integer(), reader._bytes()),
    "Q": lambda reader, depth: reader._builder.coroutine(reader._integer()),
    "R": lambda reader, depth: reader._builder.given(reader._integer()),
}


def _path(text: str) -> Any:
    from pathlib import Path

    return Path(text)
