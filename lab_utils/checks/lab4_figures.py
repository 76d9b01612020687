"""The four figures of checkpoint 4.4, judged one by one, so that a verdict can name the one that is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from lab_utils.checks.asking import need_return, shorten, with_hint
from lab_utils.checks.judging import Formula, judge_values
from lab_utils.checks.lab4_engine_page import ITL, TTFT, Buckets, engine_window
from lab_utils.monitoring import Window
from lab_utils.progress.context import LabContext, Refusal, refuse

_ANSWERED = ("stop", "length")


def quantile(buckets: Buckets, q: float) -> float:
    """As PromQL's histogram_quantile, for buckets that begin at 0.

    Source: https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    """
    whole = max(buckets.values())
    if not whole:
        return math.nan
    rank, below, count = q * whole, 0.0, 0.0
    for bound in sorted(buckets):
        if buckets[bound] >= rank:
            if bound == math.inf:
                return below
            return below + (bound - below) * (rank - count) / (buckets[bound] - count)
        below, count = bound, buckets[bound]
    return math.nan


def read_buckets(window: Window, name: str) -> Buckets:
    """What a histogram gained in a window."""
    bounds = window.last.labels_of(f"{name}_bucket", "le")
    return {float(le): window.increase(f"{name}_bucket", le=le) for le in bounds}


def figures(window: Window) -> dict[str, float]:
    """The four figures."""
    return {
        "rps": sum(window.rate("llama_requests_total", outcome=one) for one in _ANSWERED),
        "tps": window.rate("llama_generated_tokens_total"),
        "ttft": quantile(read_buckets(window, TTFT), 0.95),
        "itl": quantile(read_buckets(window, ITL), 0.95),
    }


def _share_of(name: str, q: float = 0.95, factor: float = 1.0) -> Formula:
    return lambda w: factor * quantile(read_buckets(w, name), q)


def _felt(key: str, own: str, other: str) -> dict[str, Formula]:
    """What goes wrong with a figure that is a quantile of a histogram."""
    return {
        f"{key}: that is in milliseconds. The histogram is in seconds, and so is the answer.": _share_of(
            own, factor=1000
        ),
        f"{key}: that is the mean, which hides the slow ones: `quantile(…, 0.95)`.": lambda w: (
            w.increase(f"{own}_sum") / w.increase(f"{own}_count")
        ),
        f"{key}: that is the median, 0.5. A user of twenty feels the other end, 0.95.": _share_of(own, 0.5),
        f"{key}: that is the quantile 0.99. Asked for is 0.95.": _share_of(own, 0.99),
        f"{key}: that is the quantile 0.9. Asked for is 0.95.": _share_of(own, 0.9),
        f"{key}: TTFT and ITL are swapped: the first token, and between tokens.": _share_of(other),
        f"{key}: that is since the engine started: a histogram's buckets grow, take what the window added.": (
            lambda w: quantile(_since_the_start(w, own), 0.95)
        ),
    }


def _since_the_start(window: Window, name: str) -> Buckets:
    bounds = window.last.labels_of(f"{name}_bucket", "le")
    return {float(le): window.last.value(f"{name}_bucket", le=le) for le in bounds}


_FIGURES: dict[str, dict[str, Formula]] = {
    "rps": {
        "rps: refused requests, errors and cancelled ones are not answers: `stop` and `length` alone.": (
            lambda w: w.rate("llama_requests_total")
        ),
        "rps: an answer that reached its `max_tokens` is an answer, too: add the outcome `length`.": (
            lambda w: w.rate("llama_requests_total", outcome="stop")
        ),
        "rps: that is how many answers the whole window brought. Per second is `window.rate`.": (
            lambda w: sum(w.increase("llama_requests_total", outcome=one) for one in _ANSWERED)
        ),
        "rps: that is the mean of the two outcomes. Both are answers: add them up.": (
            lambda w: sum(w.rate("llama_requests_total", outcome=one) for one in _ANSWERED) / 2
        ),
    },
    "tps": {
        "tps: those are the tokens of the whole window. Per second is `window.rate`.": (
            lambda w: w.increase("llama_generated_tokens_total")
        ),
        "tps: tokens of prompts are read, not made: `llama_generated_tokens_total` alone.": (
            lambda w: w.rate("llama_generated_tokens_total") + w.rate("llama_prompt_tokens_total")
        ),
        "tps: those are the tokens of the prompts: `llama_generated_tokens_total`.": (
            lambda w: w.rate("llama_prompt_tokens_total")
        ),
    },
    "ttft": _felt("ttft", TTFT, ITL),
    "itl": {
        **_felt("itl", ITL, TTFT),
        "itl: the time between tokens is not one by tokens per second: those are the tokens of all users.": (
            lambda w: 1 / w.rate("llama_generated_tokens_total")
        ),
    },
}

_HINTS = {
    "MetricsError": "Copy the names from the text above; `window.last.names()` lists them.",
    "NameError: name 'histogram'": "After a restart of the kernel its names are gone: run the first cell of "
    "section 4 again.",
    "UnboundLocalError": "A name that is set anywhere in a function is the function's own everywhere in it: "
    "give the result another name than the function that you call.",
}


def judge_figures(ctx: LabContext, function: Any) -> None:
    """Ask for the figures of three windows that are made up, and refuse the first one that is wrong."""
    windows = [engine_window(ctx) for _ in range(3)]
    answers: list[Mapping[str, Any]] = []
    for window in windows:
        try:
            found = ctx.call(function, window)
        except Refusal as refusal:
            with_hint(refusal, _HINTS)
        need_return("figures", found)
        if not isinstance(found, Mapping) or set(found) != set(_FIGURES):
            what = sorted(map(str, found)) if isinstance(found, Mapping) else found
            refuse(
                expected=f"a dictionary with the keys {', '.join(_FIGURES)}",
                found=f"`figures` returned {shorten(repr(what), 120)}",
                next_step="These four keys, each with one number: two rates, two quantiles.",
            )
        answers.append(found)
    for key, mistakes in _FIGURES.items():
        judge_values(
            ctx, _told(answers, key), [(place,) for place in range(3)], _each(windows, key),
            {step: _at(windows, rule) for step, rule in mistakes.items()},
            show=lambda place, key=key: f"{key} in a window of {windows[place].seconds:g} s",
            otherwise=f"{key}: {_RIGHT[key]}",
        )  # fmt: skip


_RIGHT = {
    "rps": "the rates of `llama_requests_total` with the outcomes `stop` and `length`, added up.",
    "tps": "the rate of `llama_generated_tokens_total`.",
    "ttft": f'the 0.95 quantile of `histogram(window, "{TTFT}")`.',
    "itl": f'the 0.95 quantile of `histogram(window, "{ITL}")`.',
}


def _told(answers: list[Mapping[str, Any]], key: str) -> Callable[[int], Any]:
    """The student's function as it answered, for one key."""

    def answer(place: int) -> Any:
        return answers[place][key]

    answer.__name__ = "figures"
    return answer


def _each(windows: list[Window], key: str) -> Formula:
    return lambda place: figures(windows[place])[key]


def _at(windows: list[Window], rule: Formula) -> Formula:
    return lambda place: rule(windows[place])
