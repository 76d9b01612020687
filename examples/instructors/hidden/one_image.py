"""A hidden check of exercise 1.5: a batch of one image. `np.squeeze` on the scores breaks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed


@checkpoint(
    "1.5.1",
    title="One image alone",
    points=2,
    minutes=1,
    difficulty=1,
    answers=("classify_http", "classify_grpc"),
)
def check_one_image(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """A batch of one is still a batch: one digit in an array, over both transports."""
    ends = ctx.need_server().endpoints
    wrong = []
    for name, target in (("classify_http", ends.http), ("classify_grpc", ends.grpc)):
        images, _ = ctx.digits(1)
        right = ctx.reference(images).argmax(axis=1)
        found = ctx.call(answers[name], target, images)
        if np.shape(found) != (1,) or not np.array_equal(found, right):
            wrong.append(f"`{name}` answered {found!r:.80} with shape {np.shape(found)}")
    if wrong:
        refuse(
            expected="an array of one digit for a batch of one image",
            found="; ".join(wrong),
            next_step="Take the largest score of each row (`axis=1`); do not squeeze the batch away.",
            credit=0.5 if len(wrong) == 1 else 0.0,
        )
    return passed("a batch of one is answered over both transports")
