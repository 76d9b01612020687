"""Checkpoint 2.3: which shapes Triton accepts, predicted and then asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from lab_utils import web
from lab_utils.checks.asking import need_return, shorten, with_hint
from lab_utils.checks.repositories import fresh_name
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server

_CONFIG = """name: "{name}"
backend: "python"
max_batch_size: {largest}
input [ {{ name: "data" data_type: TYPE_FP32 dims: {dims} }} ]
output [ {{ name: "same" data_type: TYPE_FP32 dims: {dims} }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""

_SAME = '''"""Gives back what it gets."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        tensors = [pb_utils.get_input_tensor_by_name(request, "data").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("same", tensor)]) for tensor in tensors]
'''


@dataclass(frozen=True)
class _Case:
    """One shape for one config, and what a wrong prediction of it means."""

    model: str
    shape: list[int]
    lesson: str


@dataclass(frozen=True)
class _Model:
    name: str
    largest: int
    dims: list[int]


def _models(ctx: LabContext) -> dict[str, _Model]:
    """Four kinds of config with sizes that nobody can know beforehand."""
    a, b, c = (int(n) for n in ctx.rng.choice(np.arange(2, 10), 3, replace=False))
    batch = int(ctx.rng.integers(12, 20))
    return {
        "fixed": _Model(fresh_name(ctx, "fixed"), batch, [a, b]),
        "single": _Model(fresh_name(ctx, "single"), 1, [c]),
        "free": _Model(fresh_name(ctx, "free"), batch + 3, [-1, c]),
        "whole": _Model(fresh_name(ctx, "whole"), 0, [b, c, -1]),
    }


def _cases(models: Mapping[str, _Model]) -> list[_Case]:
    """What to ask, in the order in which a beginner meets it."""
    fixed, single, free, whole = (models[kind] for kind in ("fixed", "single", "free", "whole"))
    (a, b), most = fixed.dims, fixed.largest
    _, c, _ = whole.dims
    asked = [
        (fixed, [1, a, b], "Triton puts the batch in front of `dims`."),
        (fixed, [a, b], "Without its batch a request has a dimension too few, also if it is one item."),
        (fixed, [most + 1, a, b], "The batch has a limit: `max_batch_size`."),
        (fixed, [most, a, b], "A batch of exactly `max_batch_size` fits."),
        (fixed, [2, a], "Count the dimensions: `zip` stops at the shorter list."),
        (fixed, [2, a * b], "Triton counts dimensions, not numbers: it never reshapes."),
        (fixed, [1, b, a], "Each size has its own place."),
        (fixed, [2, a, b, 1], "A dimension of 1 at the end is a dimension too many."),
        (fixed, [0, a, b], "A batch of 0 is refused."),
        (fixed, [], "A shape may be empty: then it has no batch."),
        (single, [1, c], "With `max_batch_size: 1` the dimension of the batch is there as well."),
        (free, [2, 5, c], "-1 in `dims` stands for any size."),
        (free, [2, c], "-1 stands for one dimension, not for none: count them."),
        (free, [2, 5, 5, c], "-1 stands for one dimension, not for several."),
        (free, [2, 5, c + 1], "-1 frees its own place alone."),
        (free, [2, 0, c], "Any size means 0 as well: -1 takes it."),
        (free, [free.largest + 1, 1, c], "-1 in `dims` does not free the batch."),
        (whole, [b, c, 1], "With `max_batch_size: 0` the shape is `dims`, and nothing in front."),
        (whole, [1, b, c, 7], "With `max_batch_size: 0` nothing is put in front of `dims`."),
        (whole, [b, c, 7], "-1 stands for any size, with and without batching."),
        (whole, [b, c + 1, 7], "The other places keep their size, with and without batching."),
        (whole, [b, c], "-1 stands for one dimension, with and without batching."),
    ]
    return [_Case(model.name, shape, lesson) for model, shape, lesson in asked]


def _place(repository: Path, model: _Model) -> None:
    folder = repository / model.name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(_SAME)
    config = _CONFIG.format(name=model.name, largest=model.largest, dims=model.dims)
    (repository / model.name / "config.pbtxt").write_text(config)


def _predict(ctx: LabContext, function: Any, case: _Case, model: _Model) -> bool:
    try:
        found = ctx.call(function, list(case.shape), model.largest, list(model.dims))
    except Refusal as refusal:
        asked = f"accepts({case.shape}, {model.largest}, {model.dims})"
        with_hint(refusal, {"IndexError": f"Call `{asked}`. {case.lesson}"})
    need_return("accepts", found)
    if not isinstance(found, bool | np.bool_):
        refuse(
            expected="`accepts` returns True or False",
            found=f"it returned {shorten(repr(found), 80)}",
            next_step="Return the comparison itself, or put `bool(…)` around it.",
        )
    return bool(found)


def _ask(client: httpx.Client, case: _Case) -> tuple[bool, str]:
    """Whether Triton takes a request of this shape, and its words if not."""
    data = [0.5] * int(np.prod(case.shape))
    tensor = {"name": "data", "shape": case.shape, "datatype": "FP32", "data": data}
    response = client.post(f"/v2/models/{case.model}/infer", json={"inputs": [tensor]})
    if response.status_code == 200:
        return True, ""
    return False, str(json.loads(response.text)["error"]).removeprefix("[request id: <id_unknown>] ")


def _answers(server: Server, cases: list[_Case]) -> list[tuple[bool, str]]:
    address = server.endpoints.http_url
    with httpx.Client(base_url=address, trust_env=False, timeout=30, verify=web.tls()) as client:
        return [_ask(client, case) for case in cases]


@checkpoint(
    "2.3", title="Predict which shapes are accepted", points=3, minutes=5, difficulty=2,
    answers=("accepts",), needs_server=False,
)  # fmt: skip
def check_shapes(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Every prediction is compared with the answer of a live server to that very shape."""
    models = _models(ctx)
    by_name = {model.name: model for model in models.values()}
    cases = _cases(models)
    predictions = [_predict(ctx, answers["accepts"], case, by_name[case.model]) for case in cases]
    repository = ctx.scratch()
    for model in by_name.values():
        _place(repository, model)
    server = ctx.fresh_server(repository, options=["--disable-auto-complete-config"], wait_for=list(by_name))
    for case, predicted, (accepted, words) in zip(cases, predictions, _answers(server, cases), strict=True):
        if predicted == accepted:
            continue
        model = by_name[case.model]
        refuse(
            expected=f"accepts({case.shape}, {model.largest}, {model.dims}) is {accepted}: Triton "
            + ("accepts it" if accepted else f"says: {shorten(words, 160)}"),
            found=f"it is {predicted}",
            next_step=case.lesson,
        )
    return passed(
        f"all {len(cases)} predictions agree with the server",
        configs={model.name: [model.largest, model.dims] for model in by_name.values()},
        accepted=sum(predictions),
        address=server.endpoints.http,
    )
