"""Checkpoint 1.8: several requests under way at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab_utils.checks.asking import call_at, inference_requests, judge_digits
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_DELAY = 0.4
"""Seconds each answer is held back when the requests do not come together."""


@checkpoint(
    "1.8", title="Many requests at once", points=3, minutes=7, difficulty=2, answers=("classify_async",)
)
def check_async(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """All batches are under way at the same time, and the answers come back in order."""
    count = int(ctx.rng.integers(5, 8))
    sizes = [int(n) for n in ctx.rng.permutation([n for n in range(2, 20) if n != 10])[:count]]
    batches = [ctx.digits(n)[0] for n in sizes]
    target = ctx.need_server().endpoints.http
    with ctx.counting("mnist_mlp") as delta, ctx.recorder(target, delay=_DELAY, gather=count) as recorder:
        found = call_at(ctx, answers["classify_async"], recorder, batches, timeout=20)
    sent = len(inference_requests(recorder))
    if delta.inference_count == 0:
        refuse(
            expected=f"{count} requests to mnist_mlp",
            found="Triton counted no inference",
            next_step="Send the batches to the model `mnist_mlp`.",
        )
    if sent != count:
        refuse(
            expected=f"one request for each of the {count} batches",
            found=f"{sent} requests arrived",
            next_step="One `async_infer` per batch: do not join the batches, and do not send one twice.",
        )
    if recorder.max_concurrent == 1:
        refuse(
            expected=f"{count} requests under way at once",
            found="never more than one was under way",
            next_step="Two usual causes: `get_result()` in the loop that sends, or a client with the "
            "default `concurrency=1`.",
        )
    if recorder.max_concurrent < count:
        refuse(
            expected=f"{count} requests under way at once",
            found=f"at most {recorder.max_concurrent} were under way",
            next_step="A connection carries one request at a time: `concurrency=len(batches)`.",
        )
    if not isinstance(found, list | tuple) or len(found) != count:
        refuse(
            expected=f"a list of {count} arrays",
            found=f"{type(found).__name__}"
            + (f" of length {len(found)}" if hasattr(found, "__len__") else ""),
            next_step="Collect one result per handle, and return the list.",
        )
    if any(hasattr(part, "get_result") for part in found):
        refuse(
            expected="a list of arrays",
            found="a list of handles: promises, not answers",
            next_step="Call `get_result()` on each handle, then `as_numpy`.",
        )
    if any(hasattr(part, "as_numpy") for part in found):
        refuse(
            expected="a list of arrays",
            found=f"a list of {type(found[0]).__name__}: whole answers, not yet arrays",
            next_step='Take the tensor out of each: `result.as_numpy("output")`, then `.argmax(axis=1)`.',
        )
    if [len(part) if hasattr(part, "__len__") else -1 for part in found] != sizes:
        got = [len(part) if hasattr(part, "__len__") else -1 for part in found]
        if sorted(got) == sorted(sizes):
            refuse(
                expected=f"answers in the order of the batches: sizes {sizes}",
                found=f"sizes {got}: the answers are there, in another order",
                next_step="Ask the handles in the order in which you made them.",
            )
    for batch, part in zip(batches, found, strict=True):
        judge_digits("classify_async", part, ctx.reference(batch))
    return passed(
        f"{count} requests were under way at once", sizes=sizes, max_concurrent=recorder.max_concurrent
    )
