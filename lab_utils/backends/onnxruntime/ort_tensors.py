"""Tensors between Triton and NumPy.

With NumPy 1 they go through the stub's own NumPy bridge. That bridge is compiled for NumPy 1: with
NumPy 2 it gives empty arrays without an error. There, and for BF16, which NumPy has no type for,
they go through DLPack: BF16 bits travel as UINT16 and only the type code in the capsule is changed.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from lab_backend import RequestError

_BRIDGE = np.__version__.startswith("1.")

# Type codes of dlpack.h.
_UINT, _BFLOAT = 1, 4


class _DLTensor(ctypes.Structure):
    """Start of `DLManagedTensor` in dlpack.h, as far as the type code."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
    )


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.restype = ctypes.c_int
_rename.argtypes = (ctypes.py_object, ctypes.c_char_p)
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
# A capsule keeps the pointer to its name, so the names must stay where they are.
_FRESH = ctypes.c_char_p(b"dltensor")
_USED = ctypes.c_char_p(b"used_dltensor")


def _header(capsule: Any) -> _DLTensor:
    return _DLTensor.from_address(_pointer(capsule, b"dltensor"))


class _Capsule:
    """What `numpy.from_dlpack` asks of a producer."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # kDLCPU


def read_numbers(tensor: Any, data_type: str) -> np.ndarray:
    """A view of Triton's memory; BF16 comes as UINT16 with the same bits."""
    if _BRIDGE and data_type != "TYPE_BF16":
        numbers: np.ndarray = tensor.as_numpy()
        return numbers
    capsule = tensor.to_dlpack()
    header = _header(capsule)
    if header.code == _BFLOAT:
        header.code = _UINT
    return np.from_dlpack(_Capsule(capsule))


def read_text(name: str, tensor: Any) -> np.ndarray:
    """BYTES as an array of str, which is the only text ONNX Runtime's Python interface takes."""
    raw = tensor.as_numpy()
    text = np.empty(raw.size, dtype=object)
    for i, element in enumerate(raw.flat):
        try:
            text[i] = element.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RequestError(
                f"input '{name}', element {i} is not UTF-8 ({error.reason} at byte {error.start}): the "
                "Python "
                "interface of ONNX Runtime carries text only"
            ) from None
    return text.reshape(raw.shape)


def write(name: str, value: np.ndarray, data_type: str) -> Any:
    """A `pb_utils.Tensor` of one output."""
    if data_type == "TYPE_STRING":
        encoded = np.empty(value.size, dtype=object)
        encoded[:] = [element.encode("utf-8") for element in value.flat]
        return pb_utils.Tensor(name, encoded.reshape(value.shape))
    value = np.ascontiguousarray(value)
    if _BRIDGE and data_type != "TYPE_BF16":
        return pb_utils.Tensor(name, value)
    capsule = value.__dlpack__()
    if data_type == "TYPE_BF16":
        _header(capsule).code = _BFLOAT
    # The stub renames a capsule to "used_dlpack" where the standard says "used_dltensor". NumPy's
    # capsule destructor fails on that and the stub dies. So the tensor moves into a capsule without
    # a destructor; the stub frees it through the tensor's own deleter.
    pointer = _pointer(capsule, b"dltensor")
    _rename(capsule, _USED)
    return pb_utils.Tensor.from_dlpack(name, _new_capsule(pointer, _FRESH, None))


def bfloat16(value: np.ndarray) -> Any:
    """An `onnxruntime.OrtValue` of BF16, out of its bits as UINT16."""
    from onnxruntime import OrtValue

    return OrtValue.ortvalue_from_numpy_with_onnx_type(
        np.ascontiguousarray(value), 16
    )  # TensorProto.BFLOAT16


def run_values(session: Any, options: Any, inputs: dict[str, Any], wanted: list[str]) -> list[Any]:
    """Run a session with BF16 outputs: ONNX Runtime gives these only as values of its own type."""
    from onnxruntime import OrtValue

    feeds = {n: v if isinstance(v, OrtValue) else OrtValue.ortvalue_from_numpy(v) for n, v in inputs.items()}
    results = []
    for value in session.run_with_ort_values(wanted, feeds, options):
        if value.data_type() != "tensor(bfloat16)":
            results.append(value.numpy())
            continue
        size = int(np.prod(value.shape(), dtype=np.int64))
        bits: Any = (ctypes.c_uint16 * size).from_address(value.data_ptr()) if size else []
        results.append(np.array(bits, dtype=np.uint16).reshape(value.shape()))
    return results
