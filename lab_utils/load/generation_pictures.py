"""Pictures of text generation: when each token came, and several designs side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lab_utils.load.generation_result import GenerationResult, named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WAIT, _RUN, _TOKEN = "#d9d9d9", "#c6dbef", "#08519c"
_BARS = (
    ("tokens per second", "#3182bd", ""),
    ("TTFT p50, ms", "#e6550d", "//"),
    ("ITL p95, ms", "#31a354", ".."),
    ("latency p50, ms", "#756bb1", "\\\\"),
)


def draw_timeline(
    results: GenerationResult | Mapping[str, GenerationResult],
    requests: int = 8,
    seconds: float | None = None,
) -> Figure:
    """Draw several requests, one line each: waiting (grey), generating (blue), and a tick for each token.

    Args:
        results: One result, or several by name; they share the axis of time.
        requests: The most requests of a result.
        seconds: Show only so much of the time. Default: all of these requests.
    """
    from lab_utils.models.picture import Picture

    several = named(results) if isinstance(results, GenerationResult) else dict(results)
    rows = [max(1, len(result.timelines[:requests])) for result in several.values()]
    figure = Picture(figsize=(9, 0.7 * len(rows) + 0.28 * sum(rows) + 0.4), layout="constrained")
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)[:, 0]
    for axes, (name, result) in zip(panels, several.items(), strict=True):
        shown = result.timelines[:requests]
        begin = min((line.due for line in shown), default=0.0)
        for place, line in enumerate(shown):
            first = line.tokens[0] if line.tokens else line.done
            axes.barh(place, first - line.due, left=line.due - begin, height=0.6, color=_WAIT)
            axes.barh(place, line.done - first, left=first - begin, height=0.6, color=_RUN)
            axes.vlines(
                [t - begin for t in line.tokens], place - 0.3, place + 0.3, color=_TOKEN, linewidth=0.8
            )
        axes.set_title(
            f"{name}: {result.tokens_per_second:,.0f} tokens/s, TTFT p50 {result.ttft.p50 * 1e3:,.0f} ms",
            loc="left",
            fontsize=10,
        )
        axes.set_yticks(
            range(len(shown)), [f"request {place + 1}" for place in range(len(shown))], fontsize=8
        )
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlim(0, seconds)
    panels[-1].set_xlabel("seconds (grey: waiting for the first token; each tick: one token)")
    return figure


def draw_generation(results: Mapping[str, GenerationResult] | list[GenerationResult]) -> Figure:
    """Draw bars that compare designs: throughput, TTFT, ITL and latency, each with its number.

    The axes of TTFT and latency are logarithmic when the designs differ by more than ten times.

    Args:
        results: By name, or a list.
    """
    from lab_utils.models.picture import Picture

    several = named(results)
    figure = Picture(figsize=(11, 1.2 + 0.45 * len(several)), layout="constrained")
    panels = figure.subplots(1, len(_BARS), sharey=True)
    places = range(len(several))
    for axes, (title, colour, hatch) in zip(panels, _BARS, strict=True):
        values = [_value(result, title) for result in several.values()]
        known = [value for value in values if value > 0]
        axes.barh(places, [0.0 if math.isnan(v) else v for v in values], color=colour, hatch=hatch, alpha=0.8)
        if title != "tokens per second" and known and max(known) > 10 * min(known):
            axes.set_xscale("log")
            axes.set_xlim(min(known) / 2, max(known) * 6)
        else:
            axes.set_xlim(0, max(known, default=1) * 1.35)
        for place, value in zip(places, values, strict=True):
            text = "-" if math.isnan(value) else f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
            axes.annotate(
                text,
                (value if value > 0 else axes.get_xlim()[0], place),
                textcoords="offset points",
                xytext=(4, 0),
                va="center",
                fontsize=9,
            )
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(places, list(several))
    panels[0].invert_yaxis()
    return figure


def _value(result: GenerationResult, title: str) -> float:
    return {
        "tokens per second": result.tokens_per_second,
        "TTFT p50, ms": result.ttft.p50 * 1e3,
        "ITL p95, ms": result.itl.p95 * 1e3,
        "latency p50, ms": result.latency.p50 * 1e3,
    }[title]
