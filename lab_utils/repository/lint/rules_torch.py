"""Rules that compare a config with its TorchScript file.

TorchScript stores the arguments of forward() and no shapes or types, so only names and their number
can be compared. The naming rules are those of lab_utils/backends/pytorch/torch_names.py.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from lab_utils.repository.kinds import FileKind, kind_of
from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model
from lab_utils.repository.lint.registry import ERROR, Hit, Hits, rule
from lab_utils.repository.signature import describe_kind

GROUP = "Against the TorchScript file"
_SAVE = "Save it with `torch.jit.script(model).save(path)` or `torch.jit.trace(model, example).save(path)`."


def _paths(model: Model) -> Iterator[tuple[int, Path]]:
    if model.backend.name == "pytorch" and model.config.runtime in ("", "model.py", "libtriton_pytorch.so"):
        for version, path in model.files.items():
            if path.suffix != ".py":
                yield version, path


@rule(
    "not-torchscript",
    ERROR,
    "A model.pt that is no TorchScript: a state_dict, a pickle, another format.",
    group=GROUP,
    whole=False,
)
def not_torchscript(model: Model, facts: ServerFacts) -> Hits:
    """`torch.save` writes a state_dict or a pickle; neither holds the code of the model."""
    for version, path in _paths(model):
        kind = kind_of(path)
        if kind in (FileKind.TORCHSCRIPT, FileKind.EMPTY, FileKind.LFS_POINTER, FileKind.HTML):
            continue
        fix = _SAVE
        if kind is FileKind.ONNX:
            fix = 'Name it model.onnx and write `platform: "onnxruntime_onnx"`.'
        yield Hit(
            f"{path.name} of version {version} is no TorchScript: {describe_kind(kind)}",
            fix,
            file=str(path.relative_to(model.folder)),
        )


@rule("torch-no-tensors", ERROR, "A TorchScript model whose config names no input or no output.", group=GROUP)
def torch_no_tensors(model: Model, facts: ServerFacts) -> Hits:
    """There is nothing to complete them from."""
    if model.backend.name != "pytorch":
        return
    for side in ("input", "output"):
        if not getattr(model.config, side):
            yield Hit(
                f"The config names no {side}, and a TorchScript file does not tell it.",
                f"Add `{side} [ {{ name: ... data_type: ... dims: [ ... ] }} ]`.",
            )


@functools.lru_cache(maxsize=64)
def _arguments(path: Path, _stamp: tuple[int, int]) -> tuple[tuple[str, str], ...] | None:
    """Name and kind of each argument of forward(); None when PyTorch is not here or cannot open it."""
    try:
        import torch

        module = torch.jit.load(str(path), map_location="cpu")
        return tuple((str(a.name), str(a.type.kind())) for a in module.forward.schema.arguments[1:])
    except (ImportError, RuntimeError, AttributeError):
        return None


def arguments(path: Path) -> tuple[tuple[str, str], ...] | None:
    """The arguments of forward() in a TorchScript file; read once for each state of the file."""
    state = path.stat()
    return _arguments(path, (state.st_mtime_ns, state.st_size))


def index_of(name: str) -> int | None:
    """The index in `NAME__2`; None for other names."""
    _, mark, index = name.partition("__")
    return int(index or "0") if mark and (index.isdigit() or not index) else None


@rule("torch-inputs", ERROR, "Inputs of the config that do not fit the arguments of forward().", group=GROUP)
def torch_inputs(model: Model, facts: ServerFacts) -> Hits:
    """By argument name, else by the index in `NAME__INDEX`, else by their order; the number must agree."""
    for version, path in _paths(model):
        if kind_of(path) is not FileKind.TORCHSCRIPT or not model.config.input:
            continue
        found = arguments(path)
        if found is None or (len(found) == 1 and found[0][1] == "DictType"):
            continue
        names, controls = [t.name for t in model.inputs], model.controls()
        allowed = [name for name, _ in found]
        odd = [(n, k) for n, k in found if k not in ("TensorType", "ListType")]
        listed = f"forward({', '.join(allowed)})"
        if odd:
            yield Hit(
                f"The argument `{odd[0][0]}` of {listed} in version {version} is a {odd[0][1]}; "
                "Triton gives tensors only.",
                "Export a forward() that takes tensors.",
                file=str(path.relative_to(model.folder)),
            )
        elif len(names) + len(controls) != len(allowed):
            yield Hit(
                f"The config has {len(names) + len(controls)} inputs and {listed} of version {version} takes "
                f"{len(allowed)}.",
                f"Give one input for each of: {', '.join(allowed)}.",
                "input",
            )
        elif any(index_of(name) is None for name in controls):
            yield Hit(
                "A control input of a TorchScript model needs a name like `START__1`.",
                "Rename it.",
                "sequence_batching",
            )
        elif not set(names) <= set(allowed) and all(index_of(n) is not None for n in names):
            places = sorted(index_of(n) or 0 for n in (*names, *controls))
            if places != list(range(len(allowed))):
                yield Hit(
                    f"The indices {places} in the input names do not cover {listed} of version {version}.",
                    f"Number them from 0 to {len(allowed) - 1}.",
                    "input",
                )


@rule(
    "torch-strings", ERROR, "A TYPE_STRING tensor with more than one dimension for TorchScript.", group=GROUP
)
def torch_strings(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `only supports 1 dimensional List of String`."""
    if not (model.backend.name == "pytorch" and model.in_python):
        return
    for side, tensors in (("input", model.inputs), ("output", model.outputs)):
        for index, tensor in enumerate(tensors):
            if tensor.data_type == "TYPE_STRING" and len(tensor.model_dims) + (model.max_batch_size > 0) > 1:
                yield Hit(
                    f"`{tensor.name}` has more than one dimension; TorchScript takes a flat list of strings.",
                    "With batching: `dims: [ 1 ]` and `reshape { shape: [ ] }`.",
                    f"{side}[{index}].dims",
                )
