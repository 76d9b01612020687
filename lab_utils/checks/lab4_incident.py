"""Checkpoint 4.14: incidents on record, then some on a live server, each mended and proven by its metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab_utils.checks.asking import shorten, with_hint
from lab_utils.checks.lab4_records import HEALTHY, Record, record
from lab_utils.incidents import CAUSES, MENDS, Museum, Observation, still_wrong
from lab_utils.monitoring import quantity
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server

_LIVE = (
    ("not_ready", "error_responses", "execute_raises", "queue_timeout"),
    ("slow_step", "cache_off"),
    ("too_few_instances", "batch_delay"),
)
"""One of each is planted on the live server."""
_SECONDS = 1.5
_TRIES = 3
_SLOW = ("slow_step", "cache_off", "batch_delay", "too_few_instances")
"""The causes by which nobody fails: everybody is late."""

Answer = tuple[str, str, str]
_HINTS = {
    "MetricsError": "A model that is not loaded has no series: look at the index first, before and now.",
    "KeyError": "A row or column that is not in the table: print it for both observations.",
}

_ADVICE = {
    "not_ready": "It was READY before, and is not now: compare the two indexes, model by model.",
    "error_responses": "Its users fail, and no reason grew: Triton counts error responses as success.",
    "execute_raises": "The reason BACKEND grew: the model's code raised an exception.",
    "queue_timeout": "The reason REJECTED grew: the queue threw requests out.",
    "slow_step": "Its compute_infer grew more than its queue, its batches are as before: the work is slower.",
    "cache_off": "Its cache hits are gone: look at that before batches and queues.",
    "batch_delay": "Its mean batch grew while the load was the same: requests were made to wait for company.",
    "too_few_instances": "Its queue grew more than its compute_infer, and its batches are as before.",
}
"""How each cause is told from the others."""


def _judge(ctx: LabContext, function: Any, one: Record) -> None:
    found = _answer(ctx, function, one.before, one.now)
    if found != one.truth:
        _refuse(found, one)


def _answer(ctx: LabContext, function: Any, before: Observation, now: Observation) -> Answer:
    try:
        found = ctx.call(function, before, now)
    except Refusal as refusal:
        with_hint(refusal, _HINTS)
    if not isinstance(found, list | tuple) or len(found) != 3:
        refuse(
            expected="three words: cause, model, mend",
            found=f"`find_cause` returned {shorten(repr(found), 80)}",
            next_step="Every way through the function ends with `return cause, model, mend`.",
        )
    words = tuple(str(word) for word in found)
    for word, known, kind in ((words[0], CAUSES, "cause"), (words[2], MENDS, "mend")):
        if word not in known:
            refuse(
                expected=f"a {kind} out of {', '.join(known)}",
                found=shorten(repr(word), 60),
                next_step="Use the names of the catalogue, letter by letter.",
            )
    return words[0], words[1], words[2]


def _refuse(found: Answer, one: Record) -> None:
    cause, model, mend = one.truth
    clients = one.now.clients.get(model)
    seen = f"{clients.failed} of {clients.requests} requests fail" if clients else "a step of `guide`"
    if found[1] == "guide":
        step = "The ensemble's time is that of its steps: leave its row out, and blame a step."
    elif found[:2] == (cause, model):
        step = f"Cause and model are right; what ends it is {mend}: {MENDS[mend]}."
    elif found[0] == "not_ready":
        step = "A model is ready when *one* of its versions is: old versions are unloaded in every release."
    elif cause in _SLOW and found[0] in _SLOW and found[1] in HEALTHY and found[1] != model:
        step = (
            f"`request_ms` grew by {_grown(one, found[1]):.1f} ms in `{found[1]}`, by "
            f"{_grown(one, model):.1f} ms in `{model}`: the growth in milliseconds "
            "counts, a difference, not how many times."
        )
    elif found[:2] == ("batch_delay", model) and _grown(one, model, "mean_batch") <= 0.5:
        step = (
            f"`mean_batch` grew by {_grown(one, model, 'mean_batch'):.2f}: growth is a difference, now minus "
            "before."
        )
    elif found[0] == cause:
        step = (
            "The cause is right, the model is not: growth in milliseconds, not the largest value or quotient."
        )
    elif found[0] in ("execute_raises", "queue_timeout") and clients and clients.failed:
        step = "Growth within the window counts (`increase`), of this model and of this one reason."
    elif (
        found[0] in ("execute_raises", "queue_timeout", "error_responses") and clients and not clients.failed
    ):
        step = "No user of it fails: this is about time, not about failures."
    elif (found[0], cause) == ("slow_step", "cache_off"):
        step = "Where nothing was looked up the rate is NaN, and no comparison with NaN is true: `fillna(0)`."
    else:
        step = _ADVICE[cause]
    refuse(
        expected=f"a recorded incident ({model}: {seen}): {cause}, {model}, {mend}",
        found=f"`find_cause` said {', '.join(found)}",
        next_step=step,
    )


def _grown(one: Record, model: str, name: str = "request_ms") -> float:
    """By how much a figure of a model grew; what did not happen is 0."""
    before, now = (np.nan_to_num(quantity(name)(seen.window, model)) for seen in (one.before, one.now))
    return float(now - before)


def _museum(ctx: LabContext) -> Museum:
    def start(repository: Path, options: Sequence[str]) -> Server:
        return ctx.fresh_server(repository, options=options)

    museum = Museum(ctx.scratch(), start)
    ctx.later(museum.receiver.stop)
    return museum


def _judge_live(ctx: LabContext, function: Any) -> list[str]:
    """Three causes, one after the other. Returns what was diagnosed and mended, in words."""
    museum = _museum(ctx)
    told, before = [], museum.observe(_SECONDS)
    for causes in ctx.rng.permutation(len(_LIVE)):
        cause = str(ctx.rng.choice(_LIVE[causes]))
        model = str(ctx.rng.choice(CAUSES[cause].models))
        innocent = "audio" if model == "ticket" else "ticket"
        museum.strike(cause, model, innocent)
        truth = (cause, model, CAUSES[cause].mend)
        for _ in range(_TRIES):  # something else may have kept the machine busy while we looked
            now = museum.observe(_SECONDS)
            found = _answer(ctx, function, before, now)
            if found == truth:
                break
        if found != truth:
            _refuse(found, Record(cause, model, before, now))
        museum.mend(found[2], found[1])
        before = _prove(museum, before, now, found)
        told.append(f"{cause} in {model}")
    return told


def _prove(museum: Museum, before: Observation, worse: Observation, answer: Answer) -> Observation:
    """Look until all is well again, as the mend promises. Returns what was seen then."""
    for _ in range(_TRIES):
        now = museum.observe(_SECONDS)
        problems = still_wrong(before, worse, now)
        if not problems:
            return now
    refuse(
        expected=f"after `{answer[2]}` for `{answer[1]}` all is well again",
        found="; ".join(problems),
        next_step="Check again: your answer was right, and this machine is very busy now.",
    )


@checkpoint(
    "4.14", title="The closing incident", points=6, minutes=12, difficulty=3,
    answers=("find_cause",), needs_server=False,
)  # fmt: skip
def check_incident(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Every cause in every model on record, then three on a live server, mended as the student says."""
    function = answers["find_cause"]
    cases = [(cause.name, model) for cause in CAUSES.values() for model in cause.models]
    for cause, model in cases:
        _judge(ctx, function, record(ctx.rng, cause, model))
    told = _judge_live(ctx, function)
    return passed(
        f"{len(cases)} recorded incidents, and three live ones, found and mended: {', '.join(told)}",
        live=told,
    )
