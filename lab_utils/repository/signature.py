"""Inputs and outputs of a model file, in Triton's terms, read without running the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_utils.repository.errors import RepositoryError
from lab_utils.repository.kinds import FileKind, kind_of

# onnx.TensorProto.DataType -> Triton. Types that are not here have no Triton data type.
_ONNX_TYPES = {
    1: "TYPE_FP32",
    2: "TYPE_UINT8",
    3: "TYPE_INT8",
    4: "TYPE_UINT16",
    5: "TYPE_INT16",
    6: "TYPE_INT32",
    7: "TYPE_INT64",
    8: "TYPE_STRING",
    9: "TYPE_BOOL",
    10: "TYPE_FP16",
    11: "TYPE_FP64",
    12: "TYPE_UINT32",
    13: "TYPE_UINT64",
    16: "TYPE_BF16",
}


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model file.

    Attributes:
        name: Its name in the file.
        data_type: Triton's name, `TYPE_FP32`; None when the file does not say, or Triton has no such type.
        dims: The whole shape with the batch dimension, -1 for a dimension that varies; None when unknown.
    """

    name: str
    data_type: str | None
    dims: tuple[int, ...] | None


@dataclass(frozen=True)
class Signature:
    """What a model file takes and gives.

    Attributes:
        kind: What kind of file it is.
        inputs: Inputs a request must give. For TorchScript the arguments of `forward`.
        outputs: Outputs; empty when the file does not name them (TorchScript).
    """

    kind: FileKind
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def batches(self) -> bool | None:
        """True when the first dimension of every tensor varies, so the file can be batched.

        None when the shapes are not known.
        """
        shapes = [tensor.dims for tensor in (*self.inputs, *self.outputs)]
        if not shapes or any(dims is None for dims in shapes):
            return None
        return all(dims and dims[0] == -1 for dims in shapes)


def read_signature(model_file: Path) -> Signature:
    """The signature of an ONNX or TorchScript file. Nothing in the file is executed.

    Raises:
        RepositoryError: The file is neither, or it is broken; the message says what it is.
    """
    model_file = Path(model_file)
    kind = kind_of(model_file)
    if kind is FileKind.ONNX:
        return _onnx_signature(model_file)
    if kind is FileKind.TORCHSCRIPT:
        return _torch_signature(model_file)
    raise RepositoryError(
        f"{model_file.name} is no ONNX and no TorchScript file: {describe_kind(kind)}",
        fix="Use torch.onnx.export(...) or torch.jit.save(torch.jit.script(model), ...).",
    )


def describe_kind(kind: FileKind) -> str:
    """A sentence about what such a file is."""
    return {
        FileKind.MISSING: "there is no such file.",
        FileKind.FOLDER: "it is a folder.",
        FileKind.EMPTY: "it is empty.",
        FileKind.LFS_POINTER: "it is a Git LFS pointer of a few lines; `git lfs pull` fetches the real file.",
        FileKind.STATE_DICT: "it is a state_dict: the weights alone, without the model.",
        FileKind.PICKLE: "it is a pickle; it needs the Python class that it was saved from.",
        FileKind.TORCH_EXPORT: "it is a program of torch.export, not TorchScript.",
        FileKind.HTML: "it is a web page; the download went wrong.",
    }.get(kind, f"it looks like: {kind.value}.")


def _onnx_signature(file: Path) -> Signature:
    import onnx

    graph = onnx.load(str(file), load_external_data=False).graph
    # Before IR version 4 the weights stand among the inputs too; a request does not give them.
    weights = {w.name for w in graph.initializer} | {w.values.name for w in graph.sparse_initializer}
    inputs = tuple(_onnx_tensor(v) for v in graph.input if v.name not in weights)
    return Signature(FileKind.ONNX, inputs, tuple(_onnx_tensor(v) for v in graph.output))


def _onnx_tensor(value: Any) -> TensorSpec:
    tensor = value.type.tensor_type if value.type.HasField("tensor_type") else None
    if tensor is None:  # a sequence, a map, an optional value
        return TensorSpec(value.name, None, None)
    dims = None
    if tensor.HasField("shape"):
        dims = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
    return TensorSpec(value.name, _ONNX_TYPES.get(tensor.elem_type), dims)


def _torch_signature(file: Path) -> Signature:
    try:
        import torch
    except ImportError:
        raise RepositoryError(
            f"{file.name} is a TorchScript file; reading it needs PyTorch.",
            why="PyTorch is not installed in this environment.",
            fix='pip install "triton-labs[torch]"',
        ) from None
    try:
        # Loading builds the module from its own small language; its forward() is not called.
        module = torch.jit.load(str(file), map_location="cpu")
        arguments = module.forward.schema.arguments[1:]
    except (RuntimeError, AttributeError) as error:
        raise RepositoryError(
            f"{file.name} is a TorchScript file that PyTorch cannot load.",
            why=str(error).strip().splitlines()[0],
            fix="Save it again with torch.jit.save, with the PyTorch of this environment.",
        ) from None
    tensors = [a for a in arguments if not a.has_default_value()]
    return Signature(FileKind.TORCHSCRIPT, tuple(TensorSpec(a.name, None, None) for a in tensors), ())
