"""Checkpoint 3.4: a test that tells a served model that is right from models that are nearly right.

One model is served, which can be told to be wrong in many ways. So the server starts once; and as the model
(`lab3_faulty`) is written in NumPy, it starts in a second.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as httpclient
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from lab_utils.checks.asking import need_return, shorten
from lab_utils.checks.lab3_torch import missing_torch
from lab_utils.checks.repositories import fresh_name
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server

_CONFIG = """name: "{name}"
backend: "python"
max_batch_size: 64
input [ {{ name: "INPUT__0" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] }} ]
output [ {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 10 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""

_NOTHING = 2e-5
"""What rounding may add: served and local numbers come from other threads and shapes."""
_ONE_ROW, _ALL_ROWS = 6, "Compare all rows of an answer."
_AS_THEY_ARE = "Compare the scores as they are, not rounded."
_ROUNDED = 0.002
"""Who says that the right model errs by less, but not by what it does, has rounded scores near a border."""
_CASES: tuple[tuple[str, str], ...] = (
    ("is right", "Give both the same images, and compare their scores."),
    (
        "gives scores that are all too high by 0.5",
        "Compare the scores, not the digits: they agree nearly always.",
    ),
    (
        "gives scores that are all too low by 0.5",
        "A difference has two signs: take `np.abs` of it before `max()`.",
    ),
    ("gives scores that are all too high by 0.00035", _AS_THEY_ARE),
    ("is wrong for the largest batch alone", "Ask for every size of the list, the last one too."),
    ("is wrong for batches of 2 alone", "Keep the largest error of all sizes, not the last one."),
    (
        "is wrong for the last image of a batch alone",
        "Take the largest difference: a mean hides one image among many.",
    ),
    ("has two classes in each other's place", "Compare each score with that of its own class."),
    ("was exported in training mode", "Compare the scores as they are."),
    ("computes in half precision", _AS_THEY_ARE),
    ("gives NaN for one image", "NaN is larger than nothing, so `max` drops it: turn it into `math.inf`."),
    ("refuses batches of 3", "A refusal is an error without limit: return `math.inf`."),
)
"""What the served model does, by its number in `lab3_faulty`, and the advice when a test does not see it."""


def _network(ctx: LabContext) -> Any:
    """A network with batch normalization, whose weights nobody has seen."""
    import torch

    from lab_utils.checks.lab3_modules import Convolution

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(ctx.rng.integers(1 << 31)))
        return Convolution().eval().requires_grad_(False)


def _serve(ctx: LabContext, network: Any, name: str) -> Server:
    repository: Path = ctx.scratch()
    version = repository / name / "1"
    version.mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(_CONFIG.format(name=name))
    shutil.copy(Path(__file__).with_name("lab3_faulty.py"), version / "model.py")
    weights = {key: tensor.numpy() for key, tensor in network.state_dict().items()}
    np.savez(version / "weights.npz", **weights)
    return ctx.fresh_server(repository, options=["--disable-auto-complete-config"], wait_for=[name])


def _ask(
    client: httpclient.InferenceServerClient, name: str, images: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """The served scores; None when Triton refuses."""
    tensor = httpclient.InferInput("INPUT__0", images.shape, "FP32").set_data_from_numpy(images)
    try:
        scores: NDArray[np.float32] = client.infer(name, [tensor]).as_numpy("OUTPUT__0")
    except InferenceServerException:
        return None
    return scores


def _truth(
    server: Server, name: str, network: Any, images: NDArray[np.float32], sizes: Sequence[int]
) -> float:
    """The largest absolute error over all sizes, by this check's own requests."""
    import torch

    worst = 0.0
    with httpclient.InferenceServerClient(server.endpoints.http, network_timeout=60) as client:
        for size in sizes:
            served = _ask(client, name, images[:size])
            if served is None:
                return math.inf
            with torch.no_grad():
                own = network(torch.from_numpy(images[:size])).numpy()
            error = float(np.abs(served - own).max())
            worst = max(worst, math.inf if math.isnan(error) else error)
    return worst


def _tell(server: Server, name: str, images: NDArray[np.float32], fault: int) -> None:
    """Let the served model be wrong in another way from now on."""
    order = images[:1].copy()
    order[0, 0, 0, 0] = -1000.0 - fault
    with httpclient.InferenceServerClient(server.endpoints.http, network_timeout=60) as client:
        _ask(client, name, order)


def _number(ctx: LabContext, function: Any, what: str, *args: Any) -> float:
    try:
        found = ctx.call(function, *args, timeout=60)
    except Refusal as refusal:
        if "InferenceServerException" in refusal.verdict.found and what == _CASES[-1][0]:
            refuse(
                expected=f"the served model {what}: `worst_error` returns inf",
                found=refusal.verdict.found,
                next_step="Triton's refusal is an `InferenceServerException`: catch it.",
            )
        raise
    need_return("worst_error", found)
    if not isinstance(found, int | float | np.floating) or isinstance(found, bool):
        refuse(
            expected="`worst_error` returns one number",
            found=f"it returned {shorten(repr(found), 80)}",
            next_step="`np.abs(…).max()` makes one number of an array.",
        )
    return float(found)


def _same(found: float, truth: float) -> bool:
    return found == truth or math.isclose(found, truth, rel_tol=5e-3, abs_tol=_NOTHING)


def _advice(fault: int, found: float) -> str:
    """A better one than the case's own, where the number itself tells what is wrong."""
    if fault == _ONE_ROW and found < _NOTHING:
        return _ALL_ROWS
    return _AS_THEY_ARE if fault == 0 and found < _ROUNDED else ""


@checkpoint(
    "3.4", title="Prove it before you deploy", points=4, minutes=7, difficulty=2,
    answers=("worst_error",), needs_server=False,
)  # fmt: skip
def check_equivalence(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """A live model, right at first, then wrong in eleven ways; the student's test must see each of them."""
    skip = missing_torch()
    if skip is not None:
        return skip
    function = answers["worst_error"]
    images, _ = ctx.digits(int(ctx.rng.integers(9, 14)))
    sizes = [1, 2, 3, 5, len(images)]
    network, name = _network(ctx), fresh_name(ctx, "served")
    server = _serve(ctx, network, name)
    measured = {}
    for fault, (what, advice) in enumerate(_CASES):
        _tell(server, name, images, fault)
        truth = _truth(server, name, network, images, sizes)
        args = (server.endpoints.http, name, network, images, list(sizes))
        if fault == 0:
            with ctx.counting(name, server) as delta:
                found = _number(ctx, function, what, *args)
            _judge_requests(delta.inference_count, delta.success_count, sizes)
        else:
            found = _number(ctx, function, what, *args)
        if not _same(found, truth):
            refuse(
                expected=f"the served model {what}; the largest error is {truth:.4g}",
                found=f"`worst_error` says {found:.4g}",
                next_step=_advice(fault, found) or advice,
            )
        measured[what] = f"{truth:.2g}"
    return passed(
        f"the right model differs by {measured[_CASES[0][0]]}, and all wrong ones are seen",
        errors=measured,
        address=server.endpoints.http,
    )


def _judge_requests(inferences: int, requests: int, sizes: Sequence[int]) -> None:
    if inferences == 0:
        refuse(
            expected="`worst_error` asks the served model",
            found="Triton counted no inference of it",
            next_step="Ask the model `model` at `url`: two calls of the module prove nothing.",
        )
    if (inferences, requests) != (sum(sizes), len(sizes)):
        refuse(
            expected=f"one request each with the first {', '.join(map(str, sizes))} images",
            found=f"Triton counted {requests} requests with {inferences} images",
            next_step="For each size one request: `images[:size]`.",
        )
