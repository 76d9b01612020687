"""Checkpoint 2.6: requests share executions, proven by Triton's own counts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tritonclient.http as httpclient
from numpy.typing import NDArray

from lab_utils.checks.asking import need_return, shorten, with_hint
from lab_utils.checks.lab2_live import Crowd, served_config, served_statistics, try_load
from lab_utils.checks.repositories import fresh_name, place
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_BURST = 32

# Triton's words → the next step. The first that fits is taken.
_STEPS = {
    "ModelDynamicBatching": "The field is `max_queue_delay_microseconds`, as in the section above.",
    "max_queue_delay_microseconds": "The delay stands inside the braces of `dynamic_batching`.",
    "unable to find backend library": 'Write `platform: "onnxruntime_onnx"`, or `backend: "onnxruntime"`.',
    "directory name must equal": "`name` is the model's name: write the argument.",
    "Expected ": "In an f-string a brace of the config is written twice; an argument stands in one.",
}


def _serve(ctx: LabContext, function: Any, max_batch: int, delay: int) -> str:
    """Load the digits model with the config text that the function writes; returns its name."""
    model = fresh_name(ctx, "batched")
    text = ctx.call(function, model, max_batch, delay)
    need_return("batched_config", text)
    if not isinstance(text, str):
        refuse(
            expected="the text of a config.pbtxt",
            found=f"a {type(text).__name__}",
            next_step="Return the text, in one string; the check writes the file.",
        )
    place(ctx, ctx.repository, model, edit=lambda _: text)
    refusal = try_load(ctx, model)
    if refusal:
        fitting = (step for words, step in _STEPS.items() if words in refusal)
        refuse(
            expected="Triton loads the model with this config",
            found=refusal,
            next_step=next(fitting, "Compare the config with yours of 2.2."),
        )
    return model


def _judge_config(config: Mapping[str, Any], max_batch: int, delay: int) -> None:
    """The two numbers, as the server reports them."""
    batching = config.get("dynamic_batching")
    if config["max_batch_size"] == 0:
        refuse(
            expected=f"max_batch_size is {max_batch}",
            found="max_batch_size is 0: the model is READY"
            + (", and its dynamic_batching never batches" if batching else ""),
            next_step="Without a batch dimension Triton has nothing to join: set `max_batch_size`, and "
            "leave the batch out of `dims`.",
        )
    if batching is None:
        refuse(
            expected="dynamic batching",
            found="the server reports no `dynamic_batching`: each request is executed alone",
            next_step="`max_batch_size` allows batches; the block `dynamic_batching { … }` makes them.",
        )
    if config["max_batch_size"] != max_batch:
        refuse(
            expected=f"max_batch_size is {max_batch}",
            found=f"max_batch_size is {config['max_batch_size']}",
            next_step="Use the argument `max_batch`.",
        )
    preferred = [int(size) for size in batching.get("preferred_batch_size", [])]
    if preferred and 2 * max(preferred) < max_batch:
        refuse(
            expected=f"batches up to {max_batch} are waited for",
            found=f"preferred_batch_size is {preferred}: as soon as {max(preferred)} are there, nobody waits",
            next_step="Only `max_batch_size` and `dynamic_batching` with its delay: take out the rest.",
        )
    found = int(batching.get("max_queue_delay_microseconds", 0))
    if found != delay:
        refuse(
            expected=f"max_queue_delay_microseconds is {delay}",
            found=f"the delay is {found}",
            next_step="`delay_us` is in microseconds, as the field is: write it as it comes.",
        )


def _judge_burst(ctx: LabContext, model: str, max_batch: int) -> int:
    """Many requests at once share executions. Returns how many executions there were."""
    images, _ = ctx.digits(_BURST)
    with ctx.counting(model) as delta, Crowd(ctx.need_server().endpoints.grpc) as crowd:
        rows = [images[i : i + 1] for i in range(_BURST)]
        answers = [one.result() for one in crowd.send(model, "input", "output", rows)]
    errors = [one.error for one in answers if one.error]
    if errors:
        refuse(
            expected=f"{_BURST} requests with one image each are answered",
            found=f"{len(errors)} are refused: {shorten(errors[0])}",
            next_step="Input `input` FP32 [ 1, 28, 28 ], output `output` FP32 [ 10 ].",
        )
    # A busy machine may send late: half full is still far from one by one.
    if delta.execution_count > 2 * _BURST // max_batch:
        refuse(
            expected=f"{_BURST} requests at once need about {_BURST // max_batch} executions",
            found=f"{delta.execution_count} executions",
            next_step="Only `max_batch_size` and `dynamic_batching` with its delay: take out the rest.",
        )
    return delta.execution_count


def _ask(address: str, model: str, batch: NDArray[np.float32], times: int) -> None:
    with httpclient.InferenceServerClient(address, network_timeout=30) as client:
        value = httpclient.InferInput("input", batch.shape, "FP32").set_data_from_numpy(batch)
        for _ in range(times):
            client.infer(model, [value])


def _settled(ctx: LabContext, model: str) -> dict[str, Any]:
    """Statistics that stood still: they are counted a moment after the answer."""
    seen = served_statistics(ctx, model)
    for _ in range(40):
        time.sleep(0.05)
        again = served_statistics(ctx, model)
        if again == seen:
            break
        seen = again
    return seen


def _judge_counts(ctx: LabContext, answers: Mapping[str, Any], model: str, max_batch: int) -> dict[int, int]:
    """Known batches, one after the other, between two looks at the statistics."""
    address = ctx.need_server().endpoints.http
    images, _ = ctx.digits(max_batch)
    small = int(ctx.rng.integers(2, max_batch))
    _ask(address, model, images[:1], 1)
    before = _settled(ctx, model)
    _ask(address, model, images[:small], 2)
    _ask(address, model, images, 3)
    after = _settled(ctx, model)
    truth = {small: 2, max_batch: 3}
    sent = f"between the two looks the model ran batches of {small}, {small}, and three of {max_batch}"
    _judge_mean(ctx, answers["mean_batch"], before, after, (2 * small + 3 * max_batch) / 5, sent)
    _judge_histogram(ctx, answers["batch_histogram"], before, after, truth, sent)
    return truth


def _judge_mean(
    ctx: LabContext, function: Any, before: dict[str, Any], after: dict[str, Any], truth: float, sent: str
) -> None:
    found = ctx.call(function, before, after)
    need_return("mean_batch", found)
    if not isinstance(found, int | float) or abs(found - truth) > 1e-6:
        whole = after["inference_count"] / after["execution_count"]
        requests = (
            after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"]
        )
        runs = after["execution_count"] - before["execution_count"]
        advice = "Images that were computed, divided by runs of the model, both as differences."
        if isinstance(found, int | float) and found:
            if abs(found - whole) < 1e-6:
                advice = "This is the mean since the model was loaded: subtract `before`."
            elif abs(found - requests / runs) < 1e-6:
                advice = "`success` counts requests; `inference_count` counts images."
            elif abs(1 / found - truth) < 1e-6:
                advice = "Upside down: inferences divided by executions."
        refuse(
            expected=f"{sent}: mean {truth:.3f}", found=f"mean_batch gives {found!r:.60}", next_step=advice
        )
    try:
        idle = ctx.call(function, after, after)
    except Refusal as refusal:
        with_hint(refusal, {"ZeroDivisionError": "Nothing ran: look at the executions before you divide."})
    if idle != 0:
        refuse(
            expected="0.0 when nothing ran",
            found=f"mean_batch gives {idle!r:.60} for an idle model",
            next_step="Look at the number of executions before you divide.",
        )


def _judge_histogram(
    ctx: LabContext,
    function: Any,
    before: dict[str, Any],
    after: dict[str, Any],
    truth: dict[int, int],
    sent: str,
) -> None:
    try:
        found = ctx.call(function, before, after)
    except Refusal as refusal:
        with_hint(refusal, {"KeyError": "A size of `after` may be missing in `before`: `old.get(size, 0)`."})
    need_return("batch_histogram", found)
    if found != truth:
        total = {one["batch_size"]: one["compute_infer"]["count"] for one in after["batch_stats"]}
        advice = "Batch size → number of executions of this size between the two looks."
        if found == total:
            advice = "These are all executions since the load: subtract those of `before`."
        elif isinstance(found, dict) and {k: v for k, v in found.items() if v} == truth:
            advice = "Leave out the sizes that did not run: their difference is 0."
        elif isinstance(found, dict) and found == {k: k * v for k, v in truth.items()}:
            advice = "These are images; count executions."
        elif isinstance(found, dict) and any(v > 1000 for v in found.values() if isinstance(v, int)):
            advice = "These are nanoseconds: `count` stands beside `ns`."
        refuse(expected=f"{sent}: {truth}", found=f"batch_histogram gives {found!r:.120}", next_step=advice)


@checkpoint(
    "2.6", title="Batches, configured and counted", points=4, minutes=6, difficulty=2,
    answers=("batched_config", "mean_batch", "batch_histogram"),
)  # fmt: skip
def check_batching(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """The student's config batches a burst, and both functions count known batches rightly."""
    max_batch = int(ctx.rng.choice([4, 8, 16]))
    delay = int(ctx.rng.integers(100_000, 200_000))
    model = _serve(ctx, answers["batched_config"], max_batch, delay)
    _judge_config(served_config(ctx, model), max_batch, delay)
    executions = _judge_burst(ctx, model, max_batch)
    histogram = _judge_counts(ctx, answers, model, max_batch)
    return passed(
        f"{_BURST} requests at once took {executions} executions, and the batches are counted rightly",
        executions=executions,
        histogram={str(size): count for size, count in histogram.items()},
    )
