"""Pictures of loads: latency over throughput, and the batches that the server made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lab_utils.load.result import LoadResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKS = "osD^v<>P"
_COLOURS = ("#3182bd", "#e6550d", "#31a354", "#756bb1", "#636363")


def draw_curve(results: Sequence[LoadResult] | Mapping[str, Sequence[LoadResult]]) -> Figure:
    """Draw latency over throughput: p50 as a line, p99 dashed, each point labelled with its load.

    Read it from left to right: while the server has room, throughput grows and latency stays; at
    the knee only latency grows.

    Args:
        results: Results of one series, or several series by name.
    """
    from lab_utils.models.picture import Picture

    series = results if isinstance(results, Mapping) else {"": results}
    figure = Picture(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for number, (name, points) in enumerate(series.items()):
        colour, mark = _COLOURS[number % len(_COLOURS)], _MARKS[number % len(_MARKS)]
        x = [point.throughput for point in points]
        p50 = [point.latency.p50 * 1e3 for point in points]
        p99 = [point.latency.p99 * 1e3 for point in points]
        axes.plot(x, p50, color=colour, marker=mark, label=f"{name} p50".strip())
        axes.plot(
            x, p99, color=colour, marker=mark, linestyle="--", fillstyle="none", label=f"{name} p99".strip()
        )
        for point, across, up in zip(points, x, p50, strict=True):
            load = point.concurrency if point.concurrency is not None else f"{point.rate:g}/s"
            axes.annotate(str(load), (across, up), textcoords="offset points", xytext=(5, -11), fontsize=9)
    axes.set_xlabel("inferences per second")
    axes.set_ylabel("latency, milliseconds")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def draw_batches(results: LoadResult | Mapping[str, LoadResult]) -> Figure:
    """Draw how many executions ran with each batch size, one row per result; the mean is marked.

    Args:
        results: One result, or several by name.
    """
    from lab_utils.models.picture import Picture

    named = results if isinstance(results, Mapping) else {results.label: results}
    figure = Picture(figsize=(7, 0.8 + 1.5 * len(named)), layout="constrained")
    rows = figure.subplots(len(named), 1, sharex=True, squeeze=False)[:, 0]
    largest = max((max(r.batch_histogram, default=1) for r in named.values()), default=1)
    for axes, (name, result) in zip(rows, named.items(), strict=True):
        sizes, counts = list(result.batch_histogram), list(result.batch_histogram.values())
        axes.bar(sizes, counts, color="#3182bd", width=0.8 if largest <= 64 else largest / 80)
        title = f"{name}: {sum(counts)} executions"
        if counts:
            axes.axvline(result.mean_batch, color="#e6550d", linestyle="--")
            title += f", mean batch {result.mean_batch:.1f} (dashed)"
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_ylabel("executions")
        axes.spines[["top", "right"]].set_visible(False)
    rows[-1].set_xlim(0, largest + 1)
    rows[-1].xaxis.get_major_locator().set_params(integer=True)
    rows[-1].set_xlabel("batch size of an execution")
    return figure
