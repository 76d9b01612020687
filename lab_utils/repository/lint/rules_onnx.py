"""Rules that compare a config with its ONNX file.

The comparisons are those of the C++ backend (triton-inference-server/onnxruntime_backend), which the
course's own backend follows: lab_utils/backends/onnxruntime/model.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from lab_utils.repository.kinds import FileKind, kind_of
from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model, Tensor
from lab_utils.repository.lint.onnx_file import OnnxFile
from lab_utils.repository.lint.registry import ERROR, Hit, Hits, rule
from lab_utils.repository.signature import TensorSpec

GROUP = "Against the ONNX file"


def _files(model: Model) -> Iterator[tuple[int, OnnxFile]]:
    for version, file in model.onnx.items():
        if not file.error:
            yield version, file


def shape_text(dims: Sequence[int]) -> str:
    """`[-1, 28, 28]`."""
    return "[" + ", ".join(map(str, dims)) + "]"


def _nearest(name: str, names: Sequence[str]) -> str:
    folded = {n.lower(): n for n in names}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return folded[near[0]] if near else (names[0] if len(names) == 1 else "")


@rule("onnx-broken", ERROR, "A model.onnx that ONNX Runtime does not open.", group=GROUP, whole=False)
def onnx_broken(model: Model, facts: ServerFacts) -> Hits:
    """Another kind of file, a damaged one, a newer opset, or weights in a file that is not there."""
    for version, file in model.onnx.items():
        path = model.files[version]
        if file.error and kind_of(path) not in (FileKind.EMPTY, FileKind.LFS_POINTER, FileKind.HTML):
            torch = kind_of(path) in (FileKind.TORCHSCRIPT, FileKind.STATE_DICT, FileKind.PICKLE)
            fix = (
                "Export the model with torch.onnx.export."
                if torch
                else "Export the model again, with all its files."
            )
            yield Hit(
                f"{path.name} of version {version} cannot be opened: {file.error}",
                fix,
                file=str(path.relative_to(model.folder)),
            )


@rule(
    "onnx-batch",
    ERROR,
    "`max_batch_size` above 0 with an ONNX file whose first dimension is fixed.",
    group=GROUP,
)
def onnx_batch(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `for the model to support batching ... the first dimension must be -1`."""
    if model.config.max_batch_size <= 0:
        return
    for version, file in _files(model):
        wrong = [n for n in (*file.inputs, *file.outputs) if (n.dims or ())[:1] != (-1,)]
        named = {t.name for t in (*model.inputs, *model.outputs)}
        wrong = [n for n in wrong if n.name in named]
        if wrong:
            node = wrong[0]
            yield Hit(
                f"`max_batch_size` is {model.config.max_batch_size}, and `{node.name}` in the ONNX "
                "file of version "
                f"{version} has the shape {shape_text(node.dims or ())}: no variable first "
                "dimension to batch along.",
                "Write `max_batch_size: 0` with the whole shape in `dims`, or export again with a "
                "dynamic batch "
                "dimension (`dynamic_axes`).",
                "max_batch_size",
            )


@rule("onnx-inputs", ERROR, "Inputs of the config that are not those of the ONNX file.", group=GROUP)
def onnx_inputs(model: Model, facts: ServerFacts) -> Hits:
    """Missing ones, extra ones, and names that are not quite right."""
    controls = model.controls()
    for version, file in _files(model):
        theirs = [n.name for n in file.inputs]
        allowed = theirs + [n.name for n in file.spare]
        mine = [t.name for t in model.inputs]
        for index, name in enumerate(mine):
            if name not in allowed:
                near = _nearest(name, [n for n in allowed if n not in mine])
                fix = f"Write `{near}`." if near else f"Its inputs are: {', '.join(allowed)}."
                yield Hit(
                    f"The ONNX file of version {version} has no input `{name}`.", fix, f"input[{index}].name"
                )
        for index, name in enumerate(controls):
            if name not in allowed:
                yield Hit(
                    f"The ONNX file of version {version} has no input `{name}` for this sequence control.",
                    f"Its inputs are: {', '.join(allowed)}.",
                    f"sequence_batching.control_input[{index}]",
                )
        for name in theirs:
            if name not in mine + controls and not _mistaken(name, mine, allowed):
                yield Hit(
                    f"The ONNX file of version {version} needs the input `{name}`, and the config "
                    "does not have it.",
                    "Add it to `input`.",
                    "input",
                )
        required = [t.name for t in model.inputs if not t.optional] + controls
        if model.in_python and len(required) != len(theirs) and set(mine + controls) == set(theirs):
            why = "one of them is `optional`" if len(required) < len(theirs) else "one of them stands twice"
            yield Hit(
                f"The ONNX file needs {len(theirs)} inputs: {why}.", "Correct the list of inputs.", "input"
            )


def _mistaken(name: str, mine: Sequence[str], allowed: Sequence[str]) -> bool:
    """Whether a wrong name in the config stands for this input: then one finding is enough."""
    return any(
        _nearest(wrong, [n for n in allowed if n not in mine]) == name
        for wrong in mine
        if wrong not in allowed
    )


@rule("onnx-optional", ERROR, "An optional input of an ONNX model that batches.", group=GROUP)
def onnx_optional(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `optional input 'x' is not supported for models that support batching`."""
    for index, tensor in enumerate(model.config.input):
        if tensor.optional and model.max_batch_size > 0 and model.backend.name == "onnxruntime":
            yield Hit(
                f"`{tensor.name}` is optional, and an ONNX model that batches cannot have optional inputs.",
                "Take `optional: true` out.",
                f"input[{index}].optional",
            )


@rule("onnx-outputs", ERROR, "An output of the config that the ONNX file does not have.", group=GROUP)
def onnx_outputs(model: Model, facts: ServerFacts) -> Hits:
    """A config may leave outputs out, and may not add any."""
    for version, file in _files(model):
        theirs = [n.name for n in file.outputs]
        for index, tensor in enumerate(model.outputs):
            if tensor.name not in theirs:
                near = _nearest(tensor.name, [n for n in theirs if n not in {t.name for t in model.outputs}])
                fix = f"Write `{near}`." if near else f"Its outputs are: {', '.join(theirs)}."
                yield Hit(
                    f"The ONNX file of version {version} has no output `{tensor.name}`.",
                    fix,
                    f"output[{index}].name",
                )


def _pairs(model: Model, file: OnnxFile) -> Iterator[tuple[str, Tensor, TensorSpec, bool]]:
    nodes = {n.name: n for n in (*file.inputs, *file.spare)}
    for index, tensor in enumerate(model.inputs):
        if tensor.name in nodes:
            yield f"input[{index}]", tensor, nodes[tensor.name], False
    nodes = {n.name: n for n in file.outputs}
    for index, tensor in enumerate(model.outputs):
        if tensor.name in nodes:
            yield f"output[{index}]", tensor, nodes[tensor.name], True


@rule("onnx-data-type", ERROR, "A data type that differs from the ONNX file's.", group=GROUP)
def onnx_data_type(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `configuration expects datatype TYPE_FP64 for input 'x', model provides TYPE_FP32`."""
    for version, file in _files(model):
        for where, tensor, node, _ in _pairs(model, file):
            if node.data_type is None:
                yield Hit(
                    f"`{node.name}` of version {version} is of a type that Triton cannot carry.",
                    "Change the export.",
                    where,
                )
            elif tensor.data_type not in (node.data_type, "TYPE_INVALID"):
                yield Hit(
                    f"`{tensor.name}` is {tensor.data_type} in the config and {node.data_type} in "
                    "the ONNX file "
                    f"of version {version}.",
                    f"Write `data_type: {node.data_type}`.",
                    f"{where}.data_type",
                )


@rule("onnx-dims", ERROR, "Dims that do not fit the shape in the ONNX file.", group=GROUP)
def onnx_dims(model: Model, facts: ServerFacts) -> Hits:
    """With `max_batch_size` above 0 the file has one dimension more than `dims`: the batch."""
    batching = model.max_batch_size > 0
    for version, file in _files(model):
        for where, tensor, node, exact in _pairs(model, file):
            shape = node.dims
            if shape is None or (batching and shape[:1] != (-1,)) or not tensor.dims:
                continue  # the first is not known, the second a rule of its own
            full = (-1, *tensor.model_dims) if batching else tensor.model_dims
            if not shape and not batching:
                fits = all(d == 1 for d in tensor.model_dims)
            else:
                fits = len(full) == len(shape) and all(
                    m == c or (m == -1 and not exact) for m, c in zip(shape, full, strict=True)
                )
            if fits:
                continue
            right = shape[1:] if batching else shape
            note = ""
            if batching and full[1:] == shape:
                note = " The batch dimension must not stand in `dims`."
            elif not batching and shape[1:] == full and shape[0] == -1:
                note = " Without batching `dims` is the whole shape; or set `max_batch_size` above 0."
            yield Hit(
                f"`{tensor.name}` has dims {shape_text(tensor.dims)} in the config"
                f"{', with the batch ' + shape_text(full) if batching else ''}, and the shape "
                f"{shape_text(shape)} "
                f"in the ONNX file of version {version}.{note}",
                f"Write `dims: {shape_text(right or (1,))}`"
                + (" with `reshape { shape: [ ] }`." if not right else "."),
                f"{where}.dims",
            )
