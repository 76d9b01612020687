"""What a kernel may send: values come back as they went, and nothing else comes at all."""

from __future__ import annotations

import datetime
import math
import pickle
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from lab_utils.grading.judge.codec import MOST_KEYS, CodecError, Reader
from lab_utils.grading.judge.remote import RemoteObject, course_record, remote_object
from lab_utils.grading.judge.writer import Writer
from lab_utils.load import Latency, LoadResult


class Shelf:
    """Keeps objects, and makes what a reader cannot."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.ours: Any = object()

    def keep(self, value: Any) -> int:
        self.kept.append(value)
        return len(self.kept) - 1

    def number_of_given(self, value: Any) -> int | None:
        return 7 if value is self.ours else None

    def opaque(self, number: int, about: dict[str, Any]) -> Any:
        return remote_object(None, number, about)  # type: ignore[arg-type]

    def script(self, number: int, content: bytes) -> Any:
        raise CodecError("none here")

    def coroutine(self, number: int) -> Any:
        return ("coroutine", number)

    def given(self, number: int) -> Any:
        return self.ours

    def record(self, module: str, name: str, fields: dict[str, Any]) -> Any:
        return course_record(module, name, fields)


def sent(value: Any, shelf: Shelf | None = None) -> Any:
    """A value after its way through the codec."""
    shelf = shelf or Shelf()
    return Reader(Writer(shelf).write(value), shelf).read()


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.binary() | st.text("aäλ\n"),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text("ab") | st.integers(), inner)
    ),
    max_leaves=12,
)


@drawn(plain)
@settings(max_examples=150, deadline=None)
def test_plain_values_come_back_as_they_went(value: Any) -> None:
    found = sent(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        frozenset({"a"}),
        Path("/srv/models"),
        datetime.datetime(2024, 5, 1, 12, 30, tzinfo=datetime.UTC),
        2 + 3j,
        -(1 << 200),
        ...,
        np.float32(0.5),
        np.int64(-3),
        np.bool_(True),
        np.str_("word"),
    ],
    ids=repr,
)
def test_other_values_come_back_as_they_went(value: Any) -> None:
    found = sent(value)
    assert found == value
    assert type(found) is type(value)
    assert math.isnan(sent(math.nan))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.zeros((0, 4), np.float32),
        np.float16([[1.5]]),
        np.array(["one", "three"]),
        np.array(3, ">i4"),
        np.arange(12).reshape(3, 4)[:, ::2],
        np.array([b"x", None, "y"], object),
    ],
    ids=str,
)
def test_arrays_keep_shape_type_and_values(array: Any) -> None:
    found = sent(array)
    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.tolist() == array.tolist()
    if found.size:
        found[...] = found.copy()  # it can be written to


def test_tensors_come_back() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for tensor in (
        torch.rand(2, 3, requires_grad=True),
        torch.ones(2, dtype=torch.bfloat16),
        torch.tensor(4),
    ):
        found = sent(tensor)
        assert found.dtype == tensor.dtype
        assert torch.equal(found, tensor.detach())


def test_a_measurement_is_a_measurement_and_a_verdict_is_none() -> None:
    result = LoadResult("m", "grpc", latency=Latency(), batch_histogram={4: 2})
    assert sent(result) == result
    with pytest.raises(CodecError, match="no record"):
        course_record("lab_utils.progress.registry", "Verdict", {})
    with pytest.raises(CodecError, match="other fields"):
        course_record("lab_utils.load.result", "LoadResult", {"model": "m"})


def test_what_cannot_travel_is_described() -> None:
    class Answer:
        __module__ = "__main__"

        def __init__(self) -> None:
            self.arrivals = [(0.5, 2)]

        def __len__(self) -> int:
            return 3

        def __repr__(self) -> str:
            return "<an answer>"

        def as_numpy(self) -> None: ...

    found = sent([Answer(), len, iter([1])])
    answer, function, iterator = found
    assert isinstance(answer, RemoteObject)
    assert type(answer).__name__ == "Answer"
    assert (repr(answer), len(answer), answer.arrivals) == ("<an answer>", 3, [(0.5, 2)])
    assert hasattr(answer, "as_numpy")
    assert not hasattr(answer, "get_result")
    assert not callable(answer)
    assert callable(function)
    assert function.__name__ == "len"
    assert hasattr(iterator, "__iter__")
    assert not hasattr(iterator, "__len__")


def test_an_object_of_the_judges_comes_home() -> None:
    shelf = Shelf()
    assert sent([shelf.ours], shelf)[0] is shelf.ours


def test_what_is_too_deep_is_not_sent() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(CodecError, match="nested too deeply"):
        sent(endless)


def test_no_bytes_whatever_do_more_than_raise(tmp_path: Path) -> None:
    """Messages that were changed at random, and messages of another kind."""
    shelf, rng = Shelf(), random.Random(1)
    good = Writer(shelf).write([{"a": [1, 2.5, b"x", np.arange(4)], "b": Latency()}, sent, {1, 2}, "text"])
    for _ in range(4000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        data = data[: rng.choice([len(data), rng.randrange(len(data))])]
        try:
            Reader(bytes(data), shelf).read()
        except CodecError:
            continue

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "run",)

    with pytest.raises(CodecError):
        Reader(pickle.dumps(Trap()), shelf).read()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"l" + struct.pack(">I", 1 << 31), "larger than the message"),
        (b"l\0\0\0\x01" * 60 + b"N", "nested too deeply"),
        (b"i" + struct.pack(">I", 5000) + b"\x7f" * 5000, "too many digits"),
        (b"d" + struct.pack(">I", MOST_KEYS + 1) + b"N" * (MOST_KEYS + 1), "keys"),
        (b"s" + struct.pack(">I", 1_500_000) + b"a" * 1_500_000, "a text of"),
        (b"A\0\0\0\x06object\0" + struct.pack(">I", 0), "no type of numbers"),
        (b"A\0\0\0\x05int64\x01" + b"\xff" * 8 + struct.pack(">I", 8) + b"x" * 8, "no array of shape"),
        (b"d\0\0\0\x01l\0\0\0\0N", "unhashable"),
        (b"P\0\0\0\x01a!", "after the value"),
        (b"!", "no value begins with"),
        (b"", "cut off"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_bomb_is_named(data: bytes, words: str) -> None:
    with pytest.raises(CodecError, match=words):
        Reader(data, Shelf()).read()
