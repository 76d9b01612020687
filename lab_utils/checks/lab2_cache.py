"""Checkpoint 2.9: the response cache, and its hit rate by Triton's own statistics."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tritonclient.http as httpclient
from numpy.typing import NDArray

from lab_utils.checks.asking import shorten, with_hint
from lab_utils.checks.loading import load
from lab_utils.checks.repositories import CONFIG, fresh_name, place
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server


def _judge_option(option: Any, size: int) -> str:
    """The option as tritonserver reads it. Judged first: 2.51 with a wrong size hangs, and says nothing."""
    wanted = f"--cache-config=local,size={size}"
    if not isinstance(option, str):
        refuse(
            expected=f"`cache_option({size})` returns one option, a text",
            found=f"it returned {type(option).__name__}: {shorten(repr(option), 80)}",
            next_step='Return a text that begins with "--".',
        )
    if option.strip() == wanted:
        return wanted
    if "response-cache-byte-size" in option:
        step = "That option is deprecated: Triton itself names `--cache-config` in its place."
    elif "size" not in option:
        step = "The cache has no size unless you give it: `local,size=BYTES`."
    elif not re.search(r"size=\d+$", option.strip()):
        step = "The size is a plain number of bytes, at the end, without a unit."
    elif not option.strip().endswith(f"size={size}"):
        step = "Use the argument `size` as it is: it is in bytes already."
    else:
        step = "The option is named `--cache-config`; its value is the cache's name, a comma, and its size."
    refuse(expected=f"`cache_option({size})` returns `{wanted}`", found=f"`{option}`", next_step=step)


def _judge_text(text: Any) -> str:
    """What can be said before a server is asked."""
    if not isinstance(text, str):
        refuse(
            expected="`cached` returns the text of a config",
            found=f"it returned {type(text).__name__}",
            next_step="Return the text that you were given, with the field added.",
        )
    if "response_cache" not in text and "max_batch_size" in text:
        refuse(
            expected="a config with the field `response_cache`",
            found="a config without it: Triton keeps no answers of this model",
            next_step="Add the field to the text; texts are joined with `+`.",
        )
    return text


def _judge_config(ctx: LabContext, server: Server, model: str, text: str) -> None:
    (server.repository or ctx.repository).joinpath(model, "config.pbtxt").write_text(text)
    reason = load(server, model)
    if reason:
        refuse(
            expected="Triton accepts the config",
            found=reason,
            next_step="Mend the field; the text above has all that it may hold."
            if "max_batch_size" in text
            else "Return the whole text that you were given, and the field behind it.",
        )
    config = ctx.get(f"/v2/models/{model}/config", server).json()
    if config.get("response_cache", {}).get("enable") is not True:
        refuse(
            expected="the served config says `response_cache` with `enable: true`",
            found=f"`response_cache` is {config.get('response_cache', 'not in it')}: loaded, and off",
            next_step="Inside the braces of the field, say `enable: true`.",
        )
    if config["max_batch_size"] != 8192 or len(config["instance_group"]) != 1:
        refuse(
            expected="the rest of the config stays as it was",
            found="max_batch_size or the instance group is another one now",
            next_step="Add the field to the text that you were given, and change nothing else.",
        )


def _ask(server: Server, model: str, images: NDArray[np.float32], order: list[int]) -> None:
    """One request per number: the image of that number."""
    with httpclient.InferenceServerClient(server.endpoints.http, network_timeout=30) as client:
        for number in order:
            image = np.ascontiguousarray(images[number : number + 1])
            tensor = httpclient.InferInput("input", image.shape, "FP32").set_data_from_numpy(image)
            client.infer(model, [tensor])


def _lookups(stats: Mapping[str, Any]) -> tuple[int, int]:
    """Hits and misses of one model's statistics, as Triton gives them."""
    counts = stats["model_stats"][0]["inference_stats"]
    return int(counts["cache_hit"]["count"]), int(counts["cache_miss"]["count"])


def _stats(ctx: LabContext, server: Server, model: str, lookups: int) -> dict[str, Any]:
    """The statistics, once all lookups are counted: the last ones may lag behind the answer."""
    end = time.monotonic() + 2.0
    while True:
        stats: dict[str, Any] = ctx.get(f"/v2/models/{model}/stats", server).json()
        if sum(_lookups(stats)) >= lookups or time.monotonic() > end:
            return stats
        time.sleep(0.02)


def _judge_rate(
    ctx: LabContext, function: Any, before: dict[str, Any], after: dict[str, Any]
) -> tuple[int, int]:
    (old_hits, old_misses), (all_hits, all_misses) = _lookups(before), _lookups(after)
    hits, misses = all_hits - old_hits, all_misses - old_misses
    found = ctx.call(function, before, after)
    if isinstance(found, bool) or not isinstance(found, int | float | np.number):
        refuse(
            expected="`hit_rate` returns a number between 0 and 1",
            found=f"it returned {type(found).__name__}: {shorten(repr(found), 60)}",
            next_step="Return hits divided by lookups.",
        )
    rate = hits / (hits + misses)
    if abs(found - rate) > 1e-9:
        advice = {
            all_hits / (all_hits + all_misses): "That counts from the start of the model. Subtract `before`.",
            hits / max(misses, 1): "That is hits per miss. Divide by all lookups: hits and misses.",
            misses / (hits + misses): "That is the share of misses.",
            100 * rate: "That is in percent. Leave the 100 out.",
        }
        near = next((text for value, text in advice.items() if abs(found - value) < 1e-9), None)
        refuse(
            expected=f"{hits} hits and {misses} misses between the two: a hit rate of {rate:.4f}",
            found=f"`hit_rate` says {found:.4f}",
            next_step=near or 'Use the "count" of "cache_hit" and "cache_miss", after minus before.',
        )
    return hits, misses


@checkpoint(
    "2.9", title="A response cache and its hit rate", points=3, minutes=5, difficulty=2,
    answers=("cache_option", "cached", "hit_rate"), needs_server=False,
)  # fmt: skip
def check_cache(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """A server with the student's option and config answers repeated requests from its cache."""
    size = int(ctx.rng.integers(1 << 20, 1 << 22))
    option = _judge_option(ctx.call(answers["cache_option"], size), size)
    model = fresh_name(ctx, "cached")
    repository = ctx.scratch()
    place(ctx, repository, model)
    text = _judge_text(ctx.call(answers["cached"], CONFIG.format(name=model)))
    options = ["--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=0"]
    server = ctx.fresh_server(repository, options=[*options, option])
    _judge_config(ctx, server, model, text)

    distinct, repeats = int(ctx.rng.integers(4, 8)), int(ctx.rng.integers(9, 15))
    images, _ = ctx.digits(distinct + 2)
    _ask(server, model, images[distinct:], [0, 0, 0, 1])
    before = _stats(ctx, server, model, 4)
    order = [*range(distinct), *(int(n) for n in ctx.rng.integers(0, distinct, repeats))]
    _ask(server, model, images, order)
    after = _stats(ctx, server, model, 4 + len(order))
    hits, misses = _judge_rate(ctx, answers["hit_rate"], before, after)
    try:
        quiet = ctx.call(answers["hit_rate"], after, after)
    except Refusal as refusal:
        with_hint(
            refusal, {"ZeroDivisionError": "When nobody asked in between, there is nothing to divide by."}
        )
    if quiet != 0:
        refuse(
            expected="a hit rate of 0.0 when there was no lookup in between",
            found=f"`hit_rate` says {quiet}",
            next_step="Without a lookup, return 0.0.",
        )
    return passed(
        f"{hits} of {len(order)} requests were answered from the cache", hits=hits, misses=misses, size=size
    )
