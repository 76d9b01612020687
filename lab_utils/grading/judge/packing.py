"""What the judge sends to a kernel: pickled values, and numbers in place of objects that stay with the judge.

A function of the check, a bench, a probe or a counter stays: the kernel gets something that calls it back.
A PyTorch module travels as a twin, whose state is kept equal (`twins`): students copy, script and trace it.
"""

from __future__ import annotations

import inspect
import io
import pickle
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

from lab_utils.grading.judge.codec import CodecError
from lab_utils.grading.judge.twins import Originals
from lab_utils.grading.judge.writer import script_bytes

Persistent = tuple[Any, ...]

# Modules whose functions and callable objects are the check's own, to be run where the check runs.
_OWN = ("lab_utils.checks", "hidden_", "tests.")


class Kept:
    """Stands in the judge for an object that stayed in a kernel.

    Attributes:
        triton_lab_number: The kernel's number of it.
    """

    triton_lab_number: int


class Given:
    """The judge's objects that a kernel may use, by number, and nothing else of the judge's.

    Attributes:
        twins: The PyTorch modules among them.
    """

    def __init__(self) -> None:
        self._objects: list[tuple[Any, frozenset[str]]] = []
        self._numbers: dict[int, int] = {}
        self.twins = Originals()
        self._lock = threading.Lock()

    def add(self, value: Any, methods: frozenset[str] = frozenset()) -> int:
        """Let a kernel use an object.

        Args:
            value: The object.
            methods: The methods that may be called; empty: it is called itself.
        """
        # A bound method is a new object each time; the table holds every object, so no id comes twice.
        with self._lock:
            number = self._numbers.get(id(value))
            if number is None:
                number = self._numbers[id(value)] = len(self._objects)
                self._objects.append((value, methods))
            return number

    def get(self, number: int) -> Any:
        """An object by number.

        Raises:
            CodecError: There is none.
        """
        if not 0 <= number < len(self._objects):
            raise CodecError(f"the judge gave no object {number}")
        return self._objects[number][0]

    def use(self, number: int, method: str) -> Any:
        """What a kernel may call: the object itself, or one of its methods that are allowed.

        Raises:
            CodecError: It may not.
        """
        value = self.get(number)
        methods = self._objects[number][1]
        if method in methods:
            return getattr(value, method)
        if method == "__next__" and isinstance(value, Iterator):
            return lambda: next(value)
        if method or methods or not callable(value):
            raise CodecError(f"{type(value).__name__} has no {method or 'call'} for a kernel")
        return value


class Packer(pickle.Pickler):
    """Pickles for the kernel.

    Args:
        file: Where the bytes go.
        given: Where objects go that stay.
    """

    def __init__(self, file: io.BytesIO, given: Given) -> None:
        super().__init__(file, protocol=5)
        self._given = given

    def persistent_id(self, value: Any) -> Persistent | None:
        """A number for what stays, None for what travels."""
        if isinstance(value, Kept):
            return ("own", value.triton_lab_number)
        if isinstance(value, types.FunctionType | types.MethodType):
            return self._function(value)
        if isinstance(value, types.BuiltinMethodType) and not isinstance(
            value.__self__, type | types.ModuleType | None
        ):
            return ("function", self._given.add(value), value.__name__, False)  # such as a list's `append`
        if inspect.iscoroutine(value):
            return ("coroutine", self._given.add(value))
        if isinstance(value, types.GeneratorType):
            return ("iterator", self._given.add(value))
        return self._instance(value)

    def _function(self, value: Any) -> Persistent | None:
        name, module = getattr(value, "__qualname__", ""), getattr(value, "__module__", "") or ""
        bound = isinstance(value, types.MethodType) and not isinstance(value.__self__, type)
        if not bound and "<" not in name and not module.startswith(_OWN):
            return None  # a function of a library: the kernel has it too
        return ("function", self._given.add(value), value.__name__, inspect.iscoroutinefunction(value))

    def _instance(self, value: Any) -> Persistent | None:
        kind = type(value)
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.nn.Module):
            if isinstance(value, torch.jit.ScriptModule):
                return ("script", self._given.add(value), script_bytes(value))
            return ("module", *self._given.twins.send(value))
        metrics = sys.modules.get("prometheus_client")
        if metrics is not None and isinstance(value, metrics.Counter):
            return (
                "object",
                self._given.add(value, frozenset({"labels", "inc"})),
                kind.__name__,
                ("labels", "inc"),
            )
        if kind.__module__.startswith(_OWN) and callable(value) and not isinstance(value, type):
            return ("function", self._given.add(value), kind.__name__, False)
        return None


def pack(value: Any, given: Given) -> bytes:
    """A value for the kernel."""
    file = io.BytesIO()
    Packer(file, given).dump(value)
    return file.getvalue()
