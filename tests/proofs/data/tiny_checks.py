"""The checks of a tiny lab that the proofs are tried on. They ask the real server, like any lab's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.labs import LABS, LabSpec
from lab_utils.progress.registry import Verdict, checkpoint, passed

LABS["90"] = LabSpec("90", "A tiny lab", "tiny_checks", ("mnist_mlp",), "90-Tiny_Lab")


@checkpoint(
    "90.1", title="Ask for the state of a model", points=1, minutes=3, difficulty=1, answers=("is_ready",)
)
def check_is_ready(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """True for a model that is ready, False for one that is not there, and the server was asked."""
    with ctx.recorder(ctx.need_server().endpoints.http) as recorder:
        url = f"http://{recorder.address}"
        good = ctx.call(answers["is_ready"], url, "mnist_mlp", timeout=5)
        bad = ctx.call(answers["is_ready"], url, f"absent_{ctx.rng.integers(1 << 30)}", timeout=5)
    if not recorder.requests:
        refuse(
            expected="the server is asked at the address that is given",
            found="no request arrived there",
            next_step="Use the argument `url`.",
        )
    if good is not True:
        refuse(
            expected="True for mnist_mlp, which is ready",
            found=f"{good!r}",
            next_step="Look at the status code of /v2/models/mnist_mlp/ready.",
        )
    if bad is not False:
        refuse(
            expected="False for a model that is not there",
            found=f"{bad!r}",
            next_step="The health of the server says nothing about one model: ask for the model.",
        )
    return passed("a ready model and an absent one are told apart", paths=recorder.paths)


@checkpoint("90.2", title="Classify digits", points=2, minutes=5, difficulty=2, answers=("classify",))
def check_classify(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """The labels are the served model's own, for digits that nobody has seen before."""
    images, _ = ctx.digits(12)
    with ctx.counting("mnist_mlp") as delta:
        found = ctx.call(answers["classify"], ctx.need_server().endpoints.http, images, timeout=5)
    if delta.inference_count != len(images):
        refuse(
            expected=f"{len(images)} inferences on the server",
            found=f"Triton counted {delta.inference_count}",
            next_step="Send all images to the server.",
        )
    if delta.success_count != 1:
        refuse(
            expected="one request for the whole batch",
            found=f"Triton counted {delta.success_count} requests",
            next_step="Send the images as one batch.",
        )
    right = ctx.reference(images).argmax(axis=1)
    if not isinstance(found, np.ndarray) or found.shape != right.shape:
        refuse(
            expected=f"an array of {len(images)} labels",
            found=f"{type(found).__name__} of shape {np.shape(found)}",
            next_step="Take the argmax along axis 1.",
        )
    if not (found == right).all():
        refuse(
            expected="the class with the largest logit, for each image",
            found=f"{int((found != right).sum())} of {len(images)} labels differ",
            next_step="Take the argmax along axis 1.",
        )
    return passed("the served model's labels", batch=len(images))
