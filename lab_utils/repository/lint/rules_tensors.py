"""Rules about inputs and outputs: names, types, dims, reshape, and max_batch_size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model, type_name
from lab_utils.repository.lint.registry import ERROR, WARNING, Hit, Hits, rule

GROUP = "Inputs and outputs"
# C++ backends that fill in what an entry leaves out, when auto-complete is on.
_COMPLETED = ("onnxruntime", "tensorrt", "tensorflow", "openvino")


def entries(model: Model) -> Iterator[tuple[str, str, Any]]:
    """Side, path and entry of every input and output."""
    for side in ("input", "output"):
        for index, entry in enumerate(getattr(model.config, side)):
            yield side, f"{side}[{index}]", entry


def _filled_in(model: Model, facts: ServerFacts) -> bool:
    """Whether a gap in an entry may be filled in by the backend."""
    if not facts.auto_complete:
        return False
    return (model.backend.name in _COMPLETED and not model.in_python) or not model.tensors_known


def _called(side: str, entry: Any) -> str:
    return f"The {side} `{entry.name}`" if entry.name else f"An {side}"


@rule("no-tensor-name", ERROR, "An input or output without `name`.", group=GROUP)
def no_tensor_name(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `model input must specify 'name'`."""
    for side, path, entry in entries(model):
        if not entry.name:
            yield Hit(f"An {side} has no `name`.", 'Add `name: "..."`.', path)


@rule("no-data-type", ERROR, "An input or output without `data_type`.", group=GROUP)
def no_data_type(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `model input 'x' must specify 'data_type'`."""
    for side, path, entry in entries(model):
        if entry.data_type == 0 and not _filled_in(model, facts):
            yield Hit(
                f"{_called(side, entry)} has no `data_type`.",
                "Add `data_type: TYPE_FP32` (or its type).",
                path,
            )


@rule("no-dims", ERROR, "An input or output without `dims`.", group=GROUP)
def no_dims(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `model input 'x' must specify 'dims'`."""
    for side, path, entry in entries(model):
        if not entry.dims and not _filled_in(model, facts):
            scalar = " For one number per request: `dims: [ 1 ]` with `reshape { shape: [ ] }`."
            yield Hit(
                f"{_called(side, entry)} has no `dims`.",
                "Add `dims: [ ... ]`, without the batch dimension." + scalar,
                path,
            )


@rule("bad-dim", ERROR, "A dimension that is 0 or less than -1.", group=GROUP, whole=False)
def bad_dim(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `dimension must be integer >= 1, or -1 to indicate a variable-size dimension`."""
    for side, path, entry in entries(model):
        for name, values in (("dims", entry.dims), ("reshape.shape", entry.reshape.shape)):
            wrong = [d for d in values if d < 1 and d != -1]
            if wrong:
                yield Hit(
                    f"{_called(side, entry)} has the dimension {wrong[0]}.",
                    "A dimension is 1 or more, or -1 for one that varies.",
                    f"{path}.{name}",
                )


def _blocks(dims: Sequence[int]) -> list[int]:
    """Number of elements between the variable dimensions."""
    blocks = [1]
    for dim in dims:
        if dim == -1:
            blocks.append(1)
        else:
            blocks[-1] *= dim
    return blocks


@rule("reshape-size", ERROR, "A `reshape` with another number of elements than `dims`.", group=GROUP)
def reshape_size(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `has different size for dims and reshape`; each part between -1 is compared."""
    for side, path, entry in entries(model):
        if not entry.HasField("reshape") or not entry.dims:
            continue
        dims, shape = list(entry.dims), list(entry.reshape.shape)
        if any(d < 1 and d != -1 for d in (*dims, *shape)):
            continue
        if not shape and model.config.max_batch_size == 0:
            yield Hit(
                f"{_called(side, entry)} is reshaped to nothing, and without a batch dimension "
                "there are no scalars.",
                "Leave `reshape` out, or set `max_batch_size` above 0.",
                f"{path}.reshape",
            )
        elif _blocks(dims) != _blocks(shape):
            yield Hit(
                f"{_called(side, entry)} has dims {dims} and is reshaped to {shape}: that is another size.",
                "Both must have the same number of elements "
                f"({prod(dims) if -1 not in dims else 'and of -1'}).",
                f"{path}.reshape",
            )


@rule(
    "tensorrt-only", ERROR, "`is_shape_tensor` or `is_non_linear_format_io` away from TensorRT.", group=GROUP
)
def tensorrt_only(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `shape tensors are only supported for TensorRT platform`."""
    if model.backend.name in ("tensorrt", ""):
        return
    for side, path, entry in entries(model):
        for flag in ("is_shape_tensor", "is_non_linear_format_io"):
            if getattr(entry, flag):
                yield Hit(
                    f"`{flag}` of {side} `{entry.name}` is for TensorRT models alone.",
                    "Leave it out.",
                    f"{path}.{flag}",
                )


@rule(
    "format-dims",
    ERROR,
    "`format: FORMAT_NCHW` or `FORMAT_NHWC` with other than three dims.",
    group=GROUP,
    whole=False,
)
def format_dims(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `model input NHWC/NCHW require 3 dims`."""
    for index, entry in enumerate(model.config.input):
        if entry.format != 0 and len(entry.dims) != 3:
            batch = " The batch dimension is not one of them." if len(entry.dims) == 4 else ""
            yield Hit(
                f"An image format needs three dims, and input `{entry.name}` has {len(entry.dims)}.{batch}",
                "Correct the dims, or leave `format` out.",
                f"input[{index}].format",
            )


@rule("duplicate-tensor", WARNING, "Two inputs, or two outputs, of one name.", group=GROUP, whole=False)
def duplicate_tensor(model: Model, facts: ServerFacts) -> Hits:
    """Tried: it loads, and every request is refused with `expected 2 inputs but got 1`."""
    for side in ("input", "output"):
        names = [e.name for e in getattr(model.config, side)]
        for name, count in Counter(names).items():
            if name and count > 1:
                again = names.index(name, names.index(name) + 1)
                yield Hit(
                    f"The {side} `{name}` stands {count} times"
                    + (": every request will be refused." if side == "input" else "."),
                    "Remove it, or give it its own name.",
                    f"{side}[{again}]",
                )


@rule("no-tensors", WARNING, "A Python model without inputs and outputs in its config.", group=GROUP)
def no_tensors(model: Model, facts: ServerFacts) -> Hits:
    """It loads: nothing completes it. A request with an input is refused, and no output comes back."""
    if model.backend.name != "python" or not model.tensors_known or not model.files:
        return
    for side in ("input", "output"):
        if not getattr(model.config, side):
            yield Hit(
                f"The config names no {side}, and the model has no `auto_complete_config` that "
                "would add one: "
                + (
                    "every request with an input is refused."
                    if side == "input"
                    else "answers come back empty."
                ),
                f"Add `{side} [ {{ name: ... data_type: ... dims: [ ... ] }} ]`.",
            )


@rule("negative-batch", ERROR, "A negative `max_batch_size`.", group=GROUP, whole=False)
def negative_batch(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `'max_batch_size' must be non-negative value`."""
    if model.config.max_batch_size < 0:
        yield Hit(
            f"`max_batch_size` is {model.config.max_batch_size}.",
            "Write 0 for a model that does not batch, else the largest batch.",
            "max_batch_size",
        )


@rule("huge-batch", WARNING, "A `max_batch_size` of more than a million.", group=GROUP, whole=False)
def huge_batch(model: Model, facts: ServerFacts) -> Hits:
    """It is accepted, and then bounds nothing: neither memory nor time of a request."""
    if model.config.max_batch_size > 1_000_000:
        yield Hit(
            f"`max_batch_size` {model.config.max_batch_size} bounds nothing: one request may fill "
            "the memory.",
            "Write the largest batch that the model serves well.",
            "max_batch_size",
        )


@rule("batch-input", ERROR, "A `batch_input` or `batch_output` that does not fit the tensors.", group=GROUP)
def batch_input(model: Model, facts: ServerFacts) -> Hits:
    """They are made from named inputs, one each; the course's own backends do not have them."""
    config = model.config
    inputs, outputs = {i.name for i in config.input}, {o.name for o in config.output}
    for side, group in (("batch_input", config.batch_input), ("batch_output", config.batch_output)):
        for index, entry in enumerate(group):
            problem = ""
            if model.in_python:
                problem = (
                    f"the {model.backend.name} backend of this server does not have it (the C++ one has)"
                )
            elif len(entry.source_input) != 1:
                problem = f"it needs one `source_input` and has {len(entry.source_input)}"
            elif side == "batch_input" and type_name(entry.data_type) not in ("TYPE_FP32", "TYPE_INT32"):
                problem = "its data type must be TYPE_INT32 or TYPE_FP32"
            elif inputs and entry.source_input[0] not in inputs:
                problem = f"there is no input `{entry.source_input[0]}`"
            elif side == "batch_output" and outputs and set(entry.target_name) - outputs:
                problem = f"there is no output `{min(set(entry.target_name) - outputs)}`"
            if problem:
                yield Hit(
                    f"`{side}` cannot be served: {problem}.",
                    "Correct it, or take it out.",
                    f"{side}[{index}]",
                )
