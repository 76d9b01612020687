"""Tiny ONNX and TorchScript models for the tests of the two backends, built on the spot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper

# Triton's data types with ONNX's, NumPy's and the name tritonclient uses.
TYPES: dict[str, tuple[int, Any]] = {
    "BOOL": (TensorProto.BOOL, np.bool_),
    "UINT8": (TensorProto.UINT8, np.uint8),
    "UINT16": (TensorProto.UINT16, np.uint16),
    "UINT32": (TensorProto.UINT32, np.uint32),
    "UINT64": (TensorProto.UINT64, np.uint64),
    "INT8": (TensorProto.INT8, np.int8),
    "INT16": (TensorProto.INT16, np.int16),
    "INT32": (TensorProto.INT32, np.int32),
    "INT64": (TensorProto.INT64, np.int64),
    "FP16": (TensorProto.FLOAT16, np.float16),
    "FP32": (TensorProto.FLOAT, np.float32),
    "FP64": (TensorProto.DOUBLE, np.float64),
    "BF16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
    "BYTES": (TensorProto.STRING, np.object_),
}

Tensor = tuple[str, str, Sequence[Any]]  # name, Triton data type, dims


def onnx_model(
    path: Path,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    nodes: Sequence[onnx.NodeProto],
    initializers: Sequence[onnx.TensorProto] = (),
) -> Path:
    """Write an ONNX model; a dim may be a number or a name (a variable dimension)."""
    graph = helper.make_graph(
        list(nodes),
        "toy",
        [helper.make_tensor_value_info(n, TYPES[t][0], list(d)) for n, t, d in inputs],
        [helper.make_tensor_value_info(n, TYPES[t][0], list(d)) for n, t, d in outputs],
        initializer=list(initializers),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def affine(path: Path, scale: float, shift: float = 0.0, dims: Sequence[Any] = ("batch", 3)) -> Path:
    """`y = scale * x + shift`: an answer that tells which request, and which version, it belongs to."""
    return onnx_model(
        path,
        [("x", "FP32", dims)],
        [("y", "FP32", dims)],
        [helper.make_node("Mul", ["x", "scale"], ["s"]), helper.make_node("Add", ["s", "shift"], ["y"])],
        [
            helper.make_tensor("scale", TensorProto.FLOAT, [], [scale]),
            helper.make_tensor("shift", TensorProto.FLOAT, [], [shift]),
        ],
    )


def identities(path: Path, types: Sequence[str], dims: Sequence[Any]) -> Path:
    """One input `in_T` and one output `out_T` for each Triton data type T."""
    return onnx_model(
        path,
        [(f"in_{t}", t, dims) for t in types],
        [(f"out_{t}", t, dims) for t in types],
        [helper.make_node("Identity", [f"in_{t}"], [f"out_{t}"]) for t in types],
    )


def linear(path: Path, wide: int = 64) -> Path:
    """A small matrix product with random weights: rounding shows when anything is done differently."""
    weights = np.random.default_rng(7).normal(size=(wide, 10)).astype(np.float32)
    return onnx_model(
        path,
        [("x", "FP32", ["batch", wide])],
        [("y", "FP32", ["batch", 10])],
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Softmax", ["m"], ["y"])],
        [helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True)],
    )


def torchscript(path: Path, module: Any) -> Path:
    """Script a module and save it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    import torch

    torch.jit.script(module.eval()).save(str(path))
    return path


def config(
    *,
    platform: str = "onnxruntime_onnx",
    max_batch_size: int = 8,
    inputs: Sequence[Tensor] = (("x", "FP32", (3,)),),
    outputs: Sequence[Tensor] = (("y", "FP32", (3,)),),
    extra: str = "",
    count: int = 1,
) -> str:
    """Text of a config.pbtxt. `BYTES` is written `TYPE_STRING`, as Triton wants it."""

    def entry(key: str, tensor: Tensor) -> str:
        name, kind, dims = tensor
        kind = "STRING" if kind == "BYTES" else kind
        shape = f"dims: [{', '.join(map(str, dims))}]" if dims else "dims: [1] reshape: { shape: [] }"
        return f'{key} [ {{ name: "{name}" data_type: TYPE_{kind} {shape} }} ]'

    lines = [f'platform: "{platform}"' if platform else "", f"max_batch_size: {max_batch_size}"]
    lines += [entry("input", t) for t in inputs] + [entry("output", t) for t in outputs]
    lines += [f"instance_group [ {{ kind: KIND_CPU count: {count} }} ]", extra]
    return "\n".join(lines) + "\n"


def parameter(key: str, value: str) -> str:
    """One `parameters` entry of a config.pbtxt."""
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


def sample(kind: str, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Random data of a Triton type, with the awkward values of that type in it."""
    size = int(np.prod(shape))
    if kind == "BOOL":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if kind == "BYTES":
        words = ["", "a", "ünï", "null\0inside", "trailing\0", "日本語", "x" * 300]
        made = np.array([words[i % len(words)].encode() for i in range(size)], dtype=np.object_)
        return made.reshape(shape)
    dtype = np.dtype(TYPES[kind][1])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        data = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
        data.flat[:2] = [info.min, info.max][:size]
        return data
    data = rng.normal(size=shape).astype(dtype)
    data.flat[:3] = [np.inf, -0.0, np.nan][:size]
    return data


Build = Callable[[Path], Any]
