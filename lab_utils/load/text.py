"""Results as text: one in full, or several as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lab_utils.load.result import Latency, LoadResult, describe_errors


def milliseconds(seconds: float) -> str:
    """Three significant digits, or a dash."""
    if math.isnan(seconds):
        return "-"
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(name: str, found: Latency) -> str:
    """One line of a result: a distribution of times."""
    parts = [
        f"{key} {milliseconds(getattr(found, key))}" for key in ("mean", "p50", "p90", "p95", "p99", "max")
    ]
    return f"  {name:<11}{'  '.join(parts)}  ms"


def one(result: LoadResult) -> str:
    """A result in full."""
    how = f"{result.protocol}, {result.label}, {result.seconds:.1f} s"
    if result.engine != "lab":
        how += f", measured by {result.engine}"
    lines = [
        f"{result.model}: {result.throughput:,.1f} inferences/s ({how})",
        f"  {'requests':<11}{result.requests} answered ({result.requests_per_second:,.1f}/s), "
        f"{result.failed} failed",
        times("latency", result.latency),
    ]
    if result.time_to_first is not None:
        lines.append(times("first", result.time_to_first))
    if result.between is not None:
        lines.append(times("between", result.between))
        lines.append(f"  {'responses':<11}{result.responses:.1f} per request")
    if result.server:
        lines.append(
            f"  {'server':<11}"
            + "  ".join(f"{k} {milliseconds(v)}" for k, v in result.server.items())
            + "  ms"
        )
    if result.batch_histogram:
        sizes = "  ".join(f"{size}: {count}" for size, count in result.batch_histogram.items())
        lines.append(f"  {'batches':<11}mean {result.mean_batch:.2f}; {sizes}")
    lines += [f"  {'failed':<11}{line}" for line in describe_errors(result.errors, result.messages)]
    lines += [f"  {'note':<11}{note}" for note in result.notes]
    return "\n".join(lines)


def table(results: Sequence[LoadResult]) -> str:
    """Several results, one line each; their notes and failures below."""
    head = (
        f"{'load':<18}{'inferences/s':>13}{'p50 ms':>9}{'p99 ms':>9}{'queue ms':>10}{'batch':>7}{'failed':>8}"
    )
    lines = [head]
    below: list[str] = []
    for result in results:
        batch = "-" if math.isnan(result.mean_batch) else f"{result.mean_batch:.1f}"
        lines.append(
            f"{result.label:<18}{result.throughput:>13,.1f}{milliseconds(result.latency.p50):>9}"
            f"{milliseconds(result.latency.p99):>9}{milliseconds(result.server.get('queue', math.nan)):>10}"
            f"{batch:>7}{result.failed:>8}"
        )
        below += [f"{result.label}: {line}" for line in describe_errors(result.errors, result.messages)]
        below += [f"{result.label}: {note}" for note in result.notes]
    return "\n".join(lines + below)
