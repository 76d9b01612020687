"""Checkpoint 3.2: the config.pbtxt of a TorchScript module, derived from its signature and one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from lab_utils.checks.asking import need_return, shorten, with_hint
from lab_utils.checks.lab3_torch import missing_torch, quiet, run
from lab_utils.checks.loading import load
from lab_utils.checks.repositories import fresh_name
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.repository import ConfigError, parse_config

_TYPES = {
    "float16": "TYPE_FP16", "float32": "TYPE_FP32", "float64": "TYPE_FP64",
    "uint8": "TYPE_UINT8", "int32": "TYPE_INT32", "int64": "TYPE_INT64", "bool": "TYPE_BOOL",
}  # fmt: skip
_Tensor = tuple[str, str, list[int]]


@dataclass(frozen=True)
class _Case:
    """A scripted module, and one call of it."""

    name: str
    module: Any
    examples: tuple[Any, ...]
    largest: int

    def wanted(self, side: str) -> list[_Tensor]:
        """Name, type and dims of each input or output, as a config must say them."""
        if side == "input":
            names = [argument.name for argument in self.module.forward.schema.arguments[1:]]
            tensors: tuple[Any, ...] = self.examples
        else:
            answer = run(self.module, *self.examples)
            tensors = answer if isinstance(answer, tuple) else (answer,)
            names = [f"OUTPUT__{place}" for place in range(len(tensors))]
        return [
            (name, _TYPES[str(tensor.dtype).removeprefix("torch.")], list(tensor.shape[1:]))
            for name, tensor in zip(names, tensors, strict=True)
        ]


def _cases(ctx: LabContext) -> list[_Case]:
    """Three modules; the last one is also served."""
    import torch

    from lab_utils.checks import lab3_modules as modules

    high, wide, width, many, rows = (int(n) for n in ctx.rng.choice(np.arange(11, 30), 5, replace=False))
    generator = torch.Generator().manual_seed(int(ctx.rng.integers(1 << 31)))
    picture = torch.randint(0, 256, (3, 1, high, wide), generator=generator, dtype=torch.uint8)
    ids = torch.randint(0, rows, (4, many), generator=generator)
    weights = torch.rand(4, many, generator=generator, dtype=torch.float64)
    mask = torch.rand(4, many, generator=generator) > 0.5
    pair = (torch.randn(2, width, generator=generator), torch.randn(2, width, generator=generator))
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(ctx.rng.integers(1 << 31)))
        scripted = [
            torch.jit.script(module.eval().requires_grad_(False))
            for module in (modules.Only(), modules.Look(rows), modules.Late(width))
        ]
    words = ("picture", "look", "late")
    examples = ((picture,), (weights, ids, mask), pair)
    return [
        _Case(fresh_name(ctx, word), module, given, int(ctx.rng.integers(31, 200)))
        for word, module, given in zip(words, scripted, examples, strict=True)
    ]


def _parsed(ctx: LabContext, function: Any, case: _Case) -> Any:
    """The config that a function writes, parsed as Triton parses it."""
    try:
        with quiet():
            text = ctx.call(function, case.name, case.module, case.examples, case.largest)
    except Refusal as refusal:
        with_hint(
            refusal, {"'tuple' object has no attribute": "forward() returns a tuple here: take each of it."}
        )
    need_return("torch_config", text)
    if not isinstance(text, str):
        refuse(
            expected="`torch_config` returns text",
            found=f"it returned {shorten(repr(text), 80)}",
            next_step='Return one string: `return f"""…"""`.',
        )
    try:
        return text, parse_config(text)
    except ConfigError as error:
        refuse(
            expected="the text is a config.pbtxt",
            found=shorten(f"{error}", 300),
            next_step="Look at the line that it names. In an f-string a brace is written twice.",
        )


def _judge_text(case: _Case, config: Any) -> None:
    for what, found, wanted, advice in (
        ("the name", config.name, case.name, "Use the argument `name`."),
        (
            "the platform", config.platform or f"backend {config.backend!r}", "pytorch_libtorch",
            "The platform of TorchScript is `pytorch_libtorch`.",
        ),
        ("max_batch_size", config.max_batch_size, case.largest, "Use the argument `max_batch_size`."),
    ):  # fmt: skip
        if found != wanted:
            refuse(expected=f"{what} is {wanted}", found=f"{what} is {found}", next_step=advice)
    for side in ("input", "output"):
        tensors: list[_Tensor] = [
            (tensor.name, _type_name(tensor), [int(size) for size in tensor.dims])
            for tensor in getattr(config, side)
        ]
        due = case.wanted(side)
        # By name, so the order of inputs means nothing.
        if tensors != due and not (side == "input" and sorted(tensors) == sorted(due)):
            refuse(
                expected=f"the {side}s of forward({_signature(case)}) are {_shown(due)}",
                found=_shown(tensors) or "none",
                next_step=_advice(case, side, tensors, due),
            )


def _type_name(tensor: Any) -> str:
    """The data type of a config's tensor, by name."""
    field = tensor.DESCRIPTOR.fields_by_name["data_type"]
    return str(field.enum_type.values_by_number[tensor.data_type].name)


def _signature(case: _Case) -> str:
    return ", ".join(argument.name for argument in case.module.forward.schema.arguments[1:])


def _shown(tensors: list[_Tensor]) -> str:
    return "; ".join(f"{name} {kind} {dims}" for name, kind, dims in tensors)


def _advice(case: _Case, side: str, found: list[_Tensor], wanted: list[_Tensor]) -> str:
    """Which of name, type, dims and number is wrong."""
    if len(found) != len(wanted):
        if side == "output":
            return "forward() returns a tuple here: each of its tensors is an output."
        return "Each argument of forward() is an input; `self`, the first of the schema, is none."
    batch = len(case.examples[0])
    pairs = list(zip(found, wanted, strict=True))
    if any(f[2] == [batch, *w[2]] for f, w in pairs):
        return "Triton adds the batch dimension itself: leave it out of the dims."
    if any(f[0] != w[0] for f, w in pairs) and side == "input":
        if all(f[0].startswith("INPUT__") for f, _ in pairs):
            return "`INPUT__0` works as well, and hides what the input is: use the argument's name."
        return "The names stand in `module.forward.schema.arguments`, after `self`."
    if any(f[0] != w[0] for f, w in pairs):
        return "A result has no name in TorchScript: its place is the number, `OUTPUT__0` first."
    if any(f[1] != w[1] for f, w in pairs):
        return f"Look the type up by `tensor.dtype`, for each {side} on its own."
    return f"The dims are those of this {side}'s own tensor, without the batch."


def _judge_served(ctx: LabContext, case: _Case, text: str) -> str:
    """Serve the module with this config, and ask it by the names of its arguments."""
    import torch

    repository = ctx.scratch()
    folder = repository / case.name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(text)
    _save(case.module, folder / "1" / "model.pt")
    options = ["--model-control-mode=explicit", "--disable-auto-complete-config"]
    server = ctx.fresh_server(repository, options=options)
    if reason := load(server, case.name):
        refuse(
            expected="Triton loads the model with this config",
            found=f"it refuses: {shorten(reason, 300)}",
            next_step="Change what Triton names.",
        )
    generator = torch.Generator().manual_seed(int(ctx.rng.integers(1 << 31)))
    size = int(ctx.rng.integers(3, case.largest + 1))
    fresh = [torch.randn(size, *one.shape[1:], generator=generator) for one in case.examples]
    names = [argument.name for argument in case.module.forward.schema.arguments[1:]]
    inputs = []
    for name, value in reversed(list(zip(names, fresh, strict=True))):  # a client may name them in any order
        array = value.numpy()
        tensor = httpclient.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        inputs.append(tensor.set_data_from_numpy(array))
    with httpclient.InferenceServerClient(server.endpoints.http, network_timeout=60) as client:
        try:
            answer = client.infer(case.name, inputs)
        except InferenceServerException as error:
            refuse(
                expected=f"the served model answers a batch of {size}",
                found=f"Triton says: {shorten(error.message(), 200)}",
                next_step="Compare the config with forward(), input by input.",
            )
    for place, wanted in enumerate(run(case.module, *fresh)):
        found = answer.as_numpy(f"OUTPUT__{place}")
        if not np.allclose(found, wanted.numpy(), atol=1e-4):
            refuse(
                expected="the served model answers like the module",
                found=f"OUTPUT__{place} has other numbers",
                next_step="See that each input has the name of its own argument.",
            )
    return server.endpoints.http


def _save(module: Any, file: Path) -> None:
    import torch

    with quiet():
        torch.jit.save(module, str(file))


@checkpoint(
    "3.2", title="The config from the signature", points=3, minutes=6, difficulty=2,
    answers=("torch_config",), needs_server=False,
)  # fmt: skip
def check_names(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """The configs of three fresh modules say what forward() takes and gives; one is served with it."""
    skip = missing_torch()
    if skip is not None:
        return skip
    cases = _cases(ctx)
    texts = []
    for case in cases:
        text, config = _parsed(ctx, answers["torch_config"], case)
        _judge_text(case, config)
        texts.append(text)
    address = _judge_served(ctx, cases[-1], texts[-1])
    return passed(
        "three configs fit their modules, and a served one answers like its module",
        models=[case.name for case in cases],
        address=address,
    )
