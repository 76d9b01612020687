"""How figures follow from metrics: each formula in words, in PromQL, and as a computation on a window."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from lab_utils.monitoring.window import Window

NAN = math.nan
_MODEL = '{model="$model"}'


class Formula(NamedTuple):
    """One formula in its three forms; `$model` and `$range` in the PromQL are to be filled in."""

    text: str
    promql: str
    compute: Callable[[Window, str], float]


def grown(window: Window, name: str, **labels: str) -> float:
    """The increase of a counter; NaN when no reading has it."""
    return window.increase(name, **labels) if window.has(name, **labels) else NAN


def divide(over: float, under: float) -> float:
    """A quotient; NaN over zero, as PromQL has it."""
    return over / under if under else NAN


def rate(metric: str) -> Formula:
    """The increase of a counter per second."""
    return Formula(
        f"Δ{metric} / seconds",
        f"sum(rate({metric}{_MODEL}[$range]))",
        lambda window, model: grown(window, metric, model=model) / window.seconds,
    )


def ratio(over: str, under: str, scale: float = 1) -> Formula:
    """The increase of one counter by that of another, divided by `scale`."""
    divisor = f" / {scale:g}" if scale != 1 else ""
    return Formula(
        f"Δ{over} / Δ{under}{divisor}",
        f"sum(rate({over}{_MODEL}[$range])) / sum(rate({under}{_MODEL}[$range])){divisor}",
        lambda window, model: (
            divide(grown(window, over, model=model), grown(window, under, model=model)) / scale
        ),
    )


def share(part: str, rest: str) -> Formula:
    """The increase of one counter as a share of its own and that of another."""

    def compute(window: Window, model: str) -> float:
        some, others = grown(window, part, model=model), grown(window, rest, model=model)
        return divide(some, some + others)

    a, b = f"sum(rate({part}{_MODEL}[$range]))", f"sum(rate({rest}{_MODEL}[$range]))"
    return Formula(f"Δ{part} / (Δ{part} + Δ{rest})", f"{a} / ({a} + {b})", compute)


def labelled_share(metric: str, label: str, value: str) -> Formula:
    """The increase of the series of a counter with one label, as a share of all its series."""

    def compute(window: Window, model: str) -> float:
        part = grown(window, metric, model=model, **{label: value})
        return divide(part, grown(window, metric, model=model))

    part = f'sum(rate({metric}{{model="$model",{label}="{value}"}}[$range]))'
    return Formula(
        f'Δ{metric}{{{label}="{value}"}} / Δ{metric}',
        f"{part} / sum(rate({metric}{_MODEL}[$range]))",
        compute,
    )


def model_gauge(metric: str) -> Formula:
    """The mean over time of a model's gauge, summed over its versions.

    In PromQL the sum is taken at each moment: a series that ended within the range must not be added to its
    successor.
    """
    return Formula(
        f"mean over time of sum({metric})",
        f"avg_over_time(sum({metric}{_MODEL})[$range:1s])",
        lambda window, model: window.gauge(metric, model=model) if window.has(metric, model=model) else NAN,
    )


def server_gauge(metric: str, over_series: Literal["sum", "avg"]) -> Formula:
    """The mean over time of a gauge of the server, `sum` or `avg` over its series (GPUs)."""

    def compute(window: Window, model: str) -> float:
        pages = [s for s in window.scrapes if s.has(metric)]
        counts = [len(s.series(metric)) if over_series == "avg" else 1 for s in pages]
        values = [s.value(metric) / count for s, count in zip(pages, counts, strict=True)]
        return statistics.fmean(values) if values else NAN

    return Formula(
        f"mean over time of {over_series}({metric})",
        f"avg_over_time({over_series}({metric})[$range:1s])",
        compute,
    )


def gauge_ratio(over: str, under: str) -> Formula:
    """The mean over time of one gauge of the server by that of another, each summed over its series."""

    def compute(window: Window, model: str) -> float:
        there = window.has(over) and window.has(under)
        return divide(window.gauge(over), window.gauge(under)) if there else NAN

    return Formula(
        f"mean over time of sum({over}) / mean over time of sum({under})",
        f"avg_over_time(sum({over})[$range:1s]) / avg_over_time(sum({under})[$range:1s])",
        compute,
    )


def summary_quantile(metric: str, quantile: str, scale: float) -> Formula:
    """A quantile that the server itself has computed; of several versions the largest."""

    def compute(window: Window, model: str) -> float:
        labels = {"model": model, "quantile": quantile}
        if not window.last.has(metric, **labels):
            return NAN
        values = window.last.series(metric, **labels).values()
        return max((v for v in values if not math.isnan(v)), default=NAN) / scale

    return Formula(
        f'{metric}{{quantile="{quantile}"}} / {scale:g}, now, largest of all versions',
        f'max({metric}{{model="$model",quantile="{quantile}"}}) / {scale:g}',
        compute,
    )


def histogram(metric: str, quantile: float) -> Formula:
    """A quantile of the values that came into a histogram within the window."""
    buckets = f"{metric}_bucket"

    def compute(window: Window, model: str) -> float:
        pages = [s for s in window.scrapes if s.has(buckets, model=model)]
        bounds = {labels["le"] for s in pages for labels in s.series(buckets, model=model)}
        counts = {float(b): window.increase(buckets, model=model, le=b) for b in bounds}
        return histogram_quantile(quantile, counts)

    return Formula(
        f"{quantile:.0%} of the new values of {metric} are not above it; evenly spread within a bucket",
        f"histogram_quantile({quantile:g}, sum by (le) (rate({buckets}{_MODEL}[$range])))",
        compute,
    )


def histogram_quantile(quantile: float, counts: Mapping[float, float]) -> float:
    """A quantile of a histogram, as Prometheus estimates it.

    Values are taken as evenly spread within their bucket. In the last bucket, which has no upper bound, the
    estimate is its lower bound. The first begins at 0.
    (https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)

    Args:
        quantile: 0 to 1.
        counts: For each upper bound (above 0; the largest is infinite) how many values are not above it.

    Returns:
        The estimate in the unit of the bounds; NaN without values.
    """
    bounds = sorted(counts)
    if len(bounds) < 2 or not counts[bounds[-1]]:
        return NAN
    rank = quantile * counts[bounds[-1]]
    low = below = 0.0
    for bound in bounds[:-1]:
        if counts[bound] >= rank and counts[bound] > below:
            return low + (bound - low) * (rank - below) / (counts[bound] - below)
        low, below = bound, counts[bound]
    return low
