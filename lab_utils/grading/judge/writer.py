"""The kernel's side of `codec`: any object as a message; what has no letter is kept and described."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import inspect
import io
import struct
import sys
import types
import warnings
from pathlib import PurePath
from typing import Any, Protocol

import numpy as np

from lab_utils.grading.judge.codec import RECORDS, CodecError, dtype_of, size

_DEEPEST = 36
_DESCRIBED = 4
"""How deep objects that are described may lie in each other."""

_MOST_BYTES = 30 << 20
_CONSTANTS = ((None, b"N"), (True, b"T"), (False, b"F"), (..., b"E"))
_REPR = 2000
_NAMES = 400


class Keeper(Protocol):
    """Keeps objects that cannot travel."""

    def keep(self, value: Any) -> int:
        """Keep an object; returns its number."""

    def number_of_given(self, value: Any) -> int | None:
        """The judge's number of an object that came from there; None for any other."""


class Writer:
    """Writes one message.

    Args:
        keeper: Where objects go that cannot travel.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._parts: list[bytes] = []
        self._length = 0
        self._keeper = keeper

    def write(self, value: Any) -> bytes:
        """The message of a value.

        Raises:
            CodecError: The value is nested too deeply, or too large.
        """
        self._write(value, 0, 0)
        return b"".join(self._parts)

    def _add(self, *parts: bytes) -> None:
        self._parts.extend(parts)
        self._length += sum(map(len, parts))
        if self._length > _MOST_BYTES:
            raise CodecError(f"the value has more than {_MOST_BYTES >> 20} MiB")

    def _blob(self, data: bytes) -> None:
        self._add(size(len(data)), data)

    def _text(self, text: str) -> None:
        self._blob(text.encode("utf-8", "replace"))

    def _integer(self, number: int) -> None:
        self._blob(number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))

    def _items(self, letter: bytes, values: Any, depth: int, described: int) -> None:
        items = list(values)
        self._add(letter, size(len(items)))
        for item in items:
            self._write(item, depth + 1, described)

    def _mapping(self, items: Any, depth: int, described: int) -> None:
        pairs = list(items)
        self._add(size(len(pairs)))
        for key, value in pairs:
            self._write(key, depth + 1, described)
            self._write(value, depth + 1, described)

    def _write(self, value: Any, depth: int, described: int) -> None:
        if depth > _DEEPEST:
            raise CodecError("the value is nested too deeply")
        number = self._keeper.number_of_given(value)
        if number is not None:
            self._add(b"R")
            self._integer(number)
        elif value is None or isinstance(value, bool) or value is ...:
            self._add(next(letter for one, letter in _CONSTANTS if value is one))
        elif isinstance(value, np.generic | np.ndarray):
            self._array(value, depth, described)
        elif isinstance(value, int):
            self._add(b"i")
            self._integer(int(value))
        elif isinstance(value, float):
            self._add(b"f", struct.pack(">d", value))
        elif isinstance(value, complex):
            self._add(b"c", struct.pack(">dd", value.real, value.imag))
        elif isinstance(value, str):
            self._add(b"s")
            self._text(value)
        elif isinstance(value, bytes | bytearray | memoryview):
            self._add(b"b")
            self._blob(bytes(value))
        elif isinstance(value, list | tuple | set | frozenset):
            kinds = ((list, b"l"), (tuple, b"t"), (frozenset, b"Z"), (set, b"S"))
            letter = next(letter for kind, letter in kinds if isinstance(value, kind))
            self._items(letter, value, depth, described)
        elif isinstance(value, PurePath):
            self._add(b"P")
            self._text(str(value))
        elif isinstance(value, datetime.datetime):
            self._add(b"D")
            self._text(value.isoformat())
        else:
            self._other(value, depth, described)

    def _other(self, value: Any, depth: int, described: int) -> None:
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor) and self._tensor(value, torch):
            return
        if torch is not None and isinstance(value, torch.jit.ScriptModule):
            content = script_bytes(value)
            if content is not None:
                self._add(b"J")
                self._integer(self._keeper.keep(value))
                self._blob(content)
                return
        if inspect.iscoroutine(value):
            self._add(b"Q")
            self._integer(self._keeper.keep(value))
        elif isinstance(value, collections.abc.Mapping):
            self._add(b"d")
            self._mapping(value.items(), depth, described)
        elif _is_course_record(value):
            self._add(b"C")
            self._text(type(value).__module__)
            self._text(type(value).__qualname__)
            fields = [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
            self._mapping(fields, depth, described)
        else:
            self._add(b"X")
            self._integer(self._keeper.keep(value))
            about = describe(value, fields=described < _DESCRIBED)
            self._mapping(about.items(), depth, described + 1)

    def _array(self, value: Any, depth: int, described: int) -> None:
        array = np.asarray(value)
        try:
            dtype_of(array.dtype.name if array.dtype.kind not in "SU" else array.dtype.str.lstrip("<>|="))
        except CodecError:
            self._add(b"O")
            self._write(array.shape, depth + 1, described)
            self._items(b"", array.reshape(-1).tolist(), depth, described)
            return
        self._add(b"G" if isinstance(value, np.generic) else b"A")
        self._numbers(array)

    def _numbers(self, array: Any) -> None:
        native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
        kind = array.dtype.kind
        self._text(native.dtype.name if kind not in "SU" else native.dtype.str.lstrip("<>|="))
        self._add(bytes([array.ndim]), *(length.to_bytes(8, "big") for length in array.shape))
        self._blob(native.tobytes())

    def _tensor(self, tensor: Any, torch: Any) -> bool:
        """Write a plain tensor; False for one of a form that has no letter."""
        try:
            plain = tensor.detach().cpu().contiguous()
            half = plain.dtype is torch.bfloat16
            array = (plain.view(torch.int16) if half else plain).numpy()
            dtype_of(array.dtype.name)
        except (TypeError, RuntimeError, CodecError):
            return False
        self._add(b"B", b"b" if half else b"n")
        self._numbers(array)
        return True


def script_bytes(module: Any) -> bytes | None:
    """A TorchScript module as its file; None when it cannot be saved."""
    import torch

    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(module, buffer)
    except Exception:
        return None
    return buffer.getvalue()


def _is_course_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and type(value).__module__.startswith(RECORDS)


def describe(value: Any, *, fields: bool = True) -> dict[str, Any]:
    """What a check may ask of an object that stays here: class, repr, name, length, what it can do.

    Args:
        value: The object.
        fields: Also its public attributes, if it is a plain record of the notebook's own.
    """
    kind = type(value)
    iterates = isinstance(value, collections.abc.Iterable)
    about: dict[str, Any] = {
        "type": str(kind.__name__),
        "repr": _safe(lambda: repr(value)[:_REPR], f"<{kind.__name__}>"),
        "names": _safe(lambda: [n for n in dir(value) if not n.startswith("_")][:_NAMES], []),
        "calls": callable(value),
        "iterates": iterates,
        "length": _safe(lambda: len(value), None) if hasattr(kind, "__len__") else None,
    }
    if callable(value):
        about["name"] = _safe(lambda: str(getattr(value, "__name__", ""))[:200], "")
        about["module"] = _safe(lambda: str(getattr(value, "__module__", ""))[:200], "")
        about["async"] = inspect.iscoroutinefunction(value)
    own = dataclasses.is_dataclass(value) or kind.__module__ == "__main__"
    if fields and own and not isinstance(value, type | types.FunctionType):
        about["fields"] = _fields(value, about["names"])
    return about


def _fields(value: Any, names: list[str]) -> dict[str, Any]:
    found = {}
    for name in names[:60]:
        with_value = _safe(lambda name=name: (getattr(value, name),), ())
        if with_value and not inspect.isroutine(with_value[0]):
            found[name] = with_value[0]
    return found


def _safe(ask: Any, otherwise: Any) -> Any:
    """What a student's object says of itself; the other value when it raises."""
    try:
        return ask()
    except Exception:
        return otherwise
