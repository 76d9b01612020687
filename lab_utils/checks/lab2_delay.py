"""The first half of checkpoint 2.7: a batching delay, chosen by measurement under a latency limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab_utils.checks.lab2_live import place_timed
from lab_utils.load import Latency, LoadResult, run_load
from lab_utils.progress.context import LabContext, refuse

_RATE = 100.0
"""Requests per second of the live load: few enough for any machine."""

# Delay in microseconds → mean batch, throughput, and mean and p99 of the latency in units of 1/64 s.
# Measured once at 100 Poisson requests per second with 5 ms per execution, with a largest batch of 64
# and of 8, then rounded so that milliseconds and seconds turn into each other without an error.
_Record = Mapping[int, tuple[float, float, float, float]]
_ROOMY: _Record = {
    0: (1.5, 91.0, 0.5, 1.0),
    20_000: (2.5, 90.0, 1.5, 2.0),
    80_000: (8.5, 92.0, 3.5, 6.0),
    320_000: (28.5, 95.0, 11.0, 21.0),
}
_FULL: _Record = {
    0: (1.5, 91.0, 0.5, 1.0),
    20_000: (2.5, 90.0, 1.5, 2.0),
    120_000: (8.0, 91.0, 3.5, 6.0),
    480_000: (8.0, 92.0, 3.5, 6.0),  # batches are full before it ends
}
# As `_ROOMY`; something else kept the machine busy while the first delay was measured.
_DISTURBED: _Record = {**_ROOMY, 0: (2.0, 91.0, 5.0, 21.0)}

Measure = Callable[[int], LoadResult]


class Bench:
    """Measurements that are counted: what a student's function gets as `measure`.

    Args:
        source: Measures one value of the knob: a delay here, a number of instances in `lab2_instances`.
    """

    def __init__(self, source: Measure) -> None:
        self._source = source
        self.asked: list[int] = []
        self.results: dict[int, LoadResult] = {}

    def measure(self, delay_us: int) -> LoadResult:
        """Measure once more, and remember it."""
        self.asked.append(delay_us)
        result = self.results[delay_us] = self._source(delay_us)
        return result


def _recorded(record: _Record, stretch: int) -> Measure:
    """Results on record, with all times stretched."""

    def measure(delay_us: int) -> LoadResult:
        batch, throughput, mean, p99 = record[delay_us]
        latency = Latency(
            count=900,
            mean=mean * stretch / 64,
            std=mean * stretch / 256,
            min=0.25 * stretch / 64,
            p50=mean * stretch / 64,
            p90=(mean + p99) / 2 * stretch / 64,
            p95=(mean + 3 * p99) / 4 * stretch / 64,
            p99=p99 * stretch / 64,
            max=1.25 * p99 * stretch / 64,
        )
        return LoadResult(
            "timed",
            "grpc",
            rate=_RATE,
            arrival="poisson",
            seconds=10.0,
            requests=int(throughput * 10),
            throughput=throughput,
            latency=latency,
            batch_histogram={int(batch): 5, math.ceil(batch): 5} if batch % 1 else {int(batch): 10},
            executions=10,
        )

    return measure


def _truth(results: Mapping[int, LoadResult], limit_ms: float) -> int | None:
    """The delay with the largest mean batch among those whose p99 is within the limit; the smallest such."""
    fitting = {d: r.mean_batch for d, r in sorted(results.items()) if r.latency.p99 * 1000 <= limit_ms}
    return max(fitting, key=lambda delay: fitting[delay], default=None)


def shown(results: Mapping[int, LoadResult]) -> str:
    """What was measured for each delay, in words."""
    return "; ".join(
        f"{delay / 1000:g} ms: batch {r.mean_batch:.1f}, p99 {r.latency.p99 * 1000:.0f} ms"
        for delay, r in sorted(results.items())
    )


def _judge(ctx: LabContext, function: Any, source: Measure, delays: Sequence[int], limit_ms: float) -> Bench:
    """Call the function with a counted `measure`, and compare its choice with the rule."""
    bench = Bench(source)
    found = ctx.call(function, bench.measure, list(delays), limit_ms, timeout=60)
    if not bench.asked:
        refuse(
            expected="`choose_delay` measures",
            found=f"it answered {found!r:.40} without one call of `measure`",
            next_step="Call `measure(delay_us)` for the delays of the list.",
        )
    twice = sorted({delay for delay in bench.asked if bench.asked.count(delay) > 1})
    if twice:
        refuse(
            expected="each delay is measured once",
            found=f"{len(bench.asked)} measurements for {len(delays)} delays",
            next_step="A measurement takes seconds, and differs each time: keep its result in a variable.",
        )
    results = {delay: bench.results.get(delay) or source(delay) for delay in delays}
    truth = _truth(results, limit_ms)
    if found != truth:
        _refuse(found, truth, results, limit_ms)
    return bench


def _refuse(found: Any, truth: int | None, results: Mapping[int, LoadResult], limit_ms: float) -> None:
    """Say what is wrong with a choice."""
    by_mean = {d: r.mean_batch for d, r in results.items() if r.latency.mean * 1000 <= limit_ms}
    fastest = min(results, key=lambda delay: results[delay].latency.p99)
    if truth is None:
        advice = "When no delay is within the limit, return None: the answer is another design."
    elif found is None and results[min(results)].latency.p99 * 1000 > limit_ms:
        advice = "Judge each delay by itself: that the first is too late says nothing about the next."
    elif results[truth].latency.p99 * 1000 == limit_ms and found == fastest:
        advice = "At most: a p99 of exactly the limit keeps the promise."
    elif found is None:
        advice = (
            "Some are within the limit: `p99` is in seconds, `limit_ms` in milliseconds; equal is within."
        )
    elif found in results and results[found].mean_batch == results[truth].mean_batch:
        advice = (
            "Both make the same batches: the smaller delay does it too, so go through `sorted(delays_us)`."
        )
    elif by_mean and found == max(by_mean, key=lambda delay: by_mean[delay]):
        advice = (
            "Judge by `result.latency.p99`. The mean hides that the oldest request waits the whole delay."
        )
    elif found in results and results[found].latency.p99 * 1000 > limit_ms:
        advice = "Its p99 is above the limit: `p99` is in seconds, `limit_ms` in milliseconds."
    elif found == fastest:
        advice = (
            "Within the limit the largest `mean_batch` wins. Throughput is no help: it is the rate you send."
        )
    else:
        advice = "Among the delays with p99 <= limit, return the one with the largest `mean_batch`."
    wanted = "None" if truth is None else f"{truth} microseconds"
    refuse(
        expected=f"limit {limit_ms:g} ms, {shown(results)}: {wanted}",
        found=f"`choose_delay` returned {found!r:.60}",
        next_step=advice,
    )


def judge_delay_on_record(ctx: LabContext, function: Any) -> None:
    """Results on record, where the right choice is beyond doubt: no server is needed for a mistake."""
    stretch = int(ctx.rng.choice([1, 2, 4]))
    unit = 1000 * stretch / 64
    # Mean and p99 disagree; exactly the limit; none fits; all fit; the first does not; two batches are equal.
    limits = ((_ROOMY, 4.0), (_ROOMY, 2.0), (_ROOMY, 0.75), (_ROOMY, 40.0), (_DISTURBED, 7.0), (_FULL, 40.0))
    for record, limit in limits:
        delays = [int(delay) for delay in ctx.rng.permutation(list(record))]
        if record is _FULL:
            delays.sort(reverse=True)
        _judge(ctx, function, _recorded(record, stretch), delays, limit * unit)


def judge_delay_live(ctx: LabContext, function: Any) -> dict[int, LoadResult]:
    """Three delays far apart, measured on a live server while the function asks for them."""
    longest = int(ctx.rng.integers(280, 340)) * 1000
    delays = [longest // 4, longest, longest // 16]
    repository = ctx.scratch()
    for delay in delays:
        more = f"dynamic_batching {{ max_queue_delay_microseconds: {delay} }}\n"
        place_timed(repository, f"delay_{delay}", execution_ms=5, batch=64, more=more)
    names = [f"delay_{delay}" for delay in delays]
    server = ctx.fresh_server(repository, options=["--disable-auto-complete-config"], wait_for=names)

    def measure(delay_us: int) -> LoadResult:
        return run_load(
            server,
            f"delay_{delay_us}",
            rate=_RATE,
            arrival="constant",
            seconds=0.9,
            warmup=0.4,
            processes=1,
            progress=False,
        )

    return _judge(ctx, function, measure, delays, 0.78 * longest / 1000).results
