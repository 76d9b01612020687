"""An ONNX file as ONNX Runtime, and so the server, will see it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_utils.repository.kinds import FileKind, kind_of
from lab_utils.repository.signature import TensorSpec, describe_kind, read_signature

# Above this size the file is read without opening a session, which would take its memory.
_LARGE = 400_000_000
_TYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16",
    "float": "FP32", "double": "FP64", "bfloat16": "BF16", "string": "STRING",
}  # fmt: skip


@dataclass(frozen=True)
class OnnxFile:
    """What an ONNX file takes and gives, or why it cannot be opened.

    Attributes:
        inputs: Inputs that a request must give, dims with the batch dimension.
        spare: Inputs that have a default value in the file.
        outputs: Outputs.
        error: Empty, or why ONNX Runtime does not open the file.
    """

    inputs: tuple[TensorSpec, ...] = ()
    spare: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    error: str = ""

    @property
    def batches(self) -> bool:
        """Whether the first dimension of every input and output varies."""
        return all((n.dims or ())[:1] == (-1,) for n in (*self.inputs, *self.outputs))


def read_onnx(path: Path) -> OnnxFile:
    """Open a file without running it.

    ONNX Runtime itself reads it: it infers shapes that the file leaves open, and refuses what it will
    refuse in the server (a newer opset, a graph with a fault).
    """
    kind = kind_of(path)
    if kind is not FileKind.ONNX:
        return OnnxFile(error=describe_kind(kind))
    missing = missing_data(path)
    if missing:
        return OnnxFile(error=f"its weights are in the file {missing}, and that is not there.")
    if path.stat().st_size > _LARGE:
        signature = read_signature(path)
        return OnnxFile(signature.inputs, (), signature.outputs)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a class of its own for each kind of fault
        return OnnxFile(error=f"ONNX Runtime does not open it: {_first_line(error)}")
    return OnnxFile(
        tuple(map(_spec, session.get_inputs())),
        tuple(map(_spec, session.get_overridable_initializers())),
        tuple(map(_spec, session.get_outputs())),
    )


def missing_data(path: Path) -> str | None:
    """The first file with external weights that is not beside the model; None when all are there."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        for entry in tensor.external_data:
            if entry.key == "location" and not (path.parent / entry.value).is_file():
                return str(entry.value)
    return None


def _spec(node: Any) -> TensorSpec:
    found = re.fullmatch(r"tensor\((\w+)\)", node.type)
    kind = _TYPES.get(found[1]) if found else None
    dims = tuple(d if isinstance(d, int) and d >= 0 else -1 for d in node.shape)
    return TensorSpec(node.name, f"TYPE_{kind}" if kind else None, dims)


def _first_line(error: Exception) -> str:
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    return text.strip().splitlines()[0][:200] if text.strip() else type(error).__name__
