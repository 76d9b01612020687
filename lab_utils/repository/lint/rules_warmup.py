"""Rules about `model_warmup`: requests that Triton sends to a model before it is ready."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model, type_name
from lab_utils.repository.lint.registry import ERROR, WARNING, Hit, Hits, rule

GROUP = "Warm-up"
_BYTES = {
    "TYPE_BOOL": 1, "TYPE_UINT8": 1, "TYPE_INT8": 1, "TYPE_UINT16": 2, "TYPE_INT16": 2, "TYPE_FP16": 2,
    "TYPE_BF16": 2, "TYPE_UINT32": 4, "TYPE_INT32": 4, "TYPE_FP32": 4, "TYPE_UINT64": 8, "TYPE_INT64": 8,
    "TYPE_FP64": 8,
}  # fmt: skip


def _samples(model: Model) -> Iterator[tuple[str, Any]]:
    if model.ensemble:
        return  # an ensemble may have none at all, which is a rule of its own
    for index, sample in enumerate(model.config.model_warmup):
        yield f"model_warmup[{index}]", sample


@rule("warmup-skipped", WARNING, "A warm-up sample without `batch_size`: Triton skips it.", group=GROUP)
def warmup_skipped(model: Model, facts: ServerFacts) -> Hits:
    """Tried: READY, and the statistics show no execution."""
    for where, sample in _samples(model):
        if sample.batch_size == 0:
            yield Hit(
                f"The warm-up `{sample.name}` has no `batch_size`, so Triton skips it.",
                "Write `batch_size: 1`, also for a model that does not batch.",
                where,
            )


@rule("warmup-batch", ERROR, "A warm-up sample with a batch that the model does not take.", group=GROUP)
def warmup_batch(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `batch size 9 for 'x_0_0', max allowed is 8`. A failed warm-up can also end the server."""
    for where, sample in _samples(model):
        most = max(model.max_batch_size, 1)
        if sample.batch_size > most and model.tensors_known:
            yield Hit(
                f"The warm-up `{sample.name}` has batch size {sample.batch_size}, and the model "
                f"takes {most}.",
                "Lower it to `max_batch_size`; 1 for a model that does not batch.",
                f"{where}.batch_size",
            )


@rule("warmup-input", ERROR, "A warm-up input that does not fit the model's input.", group=GROUP)
def warmup_input(model: Model, facts: ServerFacts) -> Hits:
    """Name, type, dims and data are those of a request; dims without the batch dimension."""
    known = {t.name: t for t in model.inputs}
    for where, sample in _samples(model):
        if sample.batch_size == 0 or not known or not model.tensors_known:
            continue
        for name, tensor in known.items():
            if name not in sample.inputs and not tensor.optional:
                yield Hit(f"The warm-up `{sample.name}` has no input `{name}`.", "Add it.", where)
        for key, given in sample.inputs.items():
            tensor_ = known.get(key)
            if tensor_ is None:
                continue  # a rule of its own: Triton drops it
            path = f"{where}.inputs[{key}]"
            kind, dims = type_name(given.data_type), tuple(given.dims)
            if kind != tensor_.data_type:
                yield Hit(
                    f"The warm-up gives `{key}` as {kind}, and the model takes {tensor_.data_type}.",
                    f"Write `data_type: {tensor_.data_type}`.",
                    path,
                )
            elif -1 in dims:
                yield Hit(
                    f"The warm-up dims {list(dims)} of `{key}` leave a size open.", "Write numbers.", path
                )
            elif not _fits(dims, tensor_.dims):
                batch = (
                    " The batch dimension comes from `batch_size`."
                    if len(dims) == len(tensor_.dims) + 1
                    else ""
                )
                yield Hit(
                    f"The warm-up dims of `{key}` are {list(dims)}, and the model takes "
                    f"{list(tensor_.dims)}.{batch}",
                    f"Write `dims: {list(tensor_.dims)}` with numbers for -1.",
                    path,
                )
            elif given.WhichOneof("input_data_type") is None:
                yield Hit(
                    f"The warm-up says no data for `{key}`.",
                    "Add `zero_data: true` or `random_data: true`.",
                    path,
                )


def _fits(dims: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(dims) == len(wanted) and all(w in (-1, d) for d, w in zip(dims, wanted, strict=True))


@rule("warmup-file", ERROR, "A warm-up data file that is missing or too short.", group=GROUP)
def warmup_file(model: Model, facts: ServerFacts) -> Hits:
    """The files lie in `MODEL/warmup/`."""
    for where, sample in _samples(model):
        for key, given in sample.inputs.items():
            name = given.input_data_file
            if not name or sample.batch_size == 0:
                continue
            path = model.folder / "warmup" / name
            size = _BYTES.get(type_name(given.data_type), 0) * prod(d for d in given.dims if d > 0)
            if not path.is_file():
                lost = (model.folder / name).is_file()
                fix = f"Move it to {model.name}/warmup/{name}." if lost else "Add the file."
                yield Hit(f"The warm-up file warmup/{name} is not there.", fix, f"{where}.inputs[{key}]")
            elif path.stat().st_size < size:
                yield Hit(
                    f"warmup/{name} has {path.stat().st_size} bytes, and `{key}` needs {size}.",
                    "Write the data of one batch entry, row by row, without a header.",
                    f"{where}.inputs[{key}]",
                )


@rule(
    "warmup-unknown-input",
    WARNING,
    "A warm-up input that the model does not have; it is dropped.",
    group=GROUP,
)
def warmup_unknown_input(model: Model, facts: ServerFacts) -> Hits:
    """Tried: READY when the other inputs are there."""
    known = {t.name for t in model.inputs}
    for where, sample in _samples(model):
        for key in sample.inputs:
            if known and model.tensors_known and key not in known:
                yield Hit(
                    f"The warm-up `{sample.name}` gives `{key}`, which is no input of the model.",
                    f"Inputs are: {', '.join(sorted(known))}.",
                    f"{where}.inputs[{key}]",
                )
