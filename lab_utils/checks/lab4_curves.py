"""Load results on record, for 4.8 and 4.9: curves whose right reading is beyond doubt."""

from __future__ import annotations

from collections.abc import Sequence

from lab_utils.load.result import Latency, LoadResult

UNIT = 1 / 64
"""Seconds. Powers of two, so that milliseconds and seconds turn into each other without an error."""


def point(
    *,
    throughput: float,
    mean: float,
    p99: float,
    concurrency: int | None = None,
    rate: float | None = None,
    failed: int = 0,
) -> LoadResult:
    """One load on record.

    Args:
        throughput: Inferences per second.
        mean: Mean latency in units of 1/64 s.
        p99: Its 99th percentile, in the same unit.
        concurrency: Requests in flight, for a closed loop.
        rate: Requests per second that were due, for an open loop.
        failed: Failed requests.
    """
    seconds = 8.0
    return LoadResult(
        "timed",
        "grpc",
        concurrency=concurrency,
        rate=rate,
        arrival="poisson" if rate else "",
        seconds=seconds,
        requests=int(throughput * seconds),
        throughput=throughput,
        latency=Latency(
            count=int(throughput * seconds),
            mean=mean * UNIT,
            std=mean * UNIT / 4,
            min=min(0.5, mean) * UNIT,
            p50=mean * UNIT,
            p90=(mean + p99) / 2 * UNIT,
            p95=(mean + 3 * p99) / 4 * UNIT,
            p99=p99 * UNIT,
            max=1.25 * p99 * UNIT,
        ),
        errors={"queue_full": failed} if failed else {},
    )


def in_words(curve: Sequence[LoadResult]) -> str:
    """A curve in one line."""
    return "; ".join(
        f"{result.label}: {result.throughput:.0f}/s, mean {result.latency.mean * 1000:.0f} ms, "
        f"p99 {result.latency.p99 * 1000:.0f} ms" + (f", {result.failed} failed" if result.failed else "")
        for result in curve
    )
