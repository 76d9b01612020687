"""The second half of checkpoint 2.7: how many instances, chosen by measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab_utils.checks.asking import need_return
from lab_utils.checks.lab2_delay import Bench
from lab_utils.checks.lab2_live import place_timed
from lab_utils.load import LoadResult, run_load
from lab_utils.progress.context import LabContext, refuse

_COUNTS = (1, 2, 3)
_CLIENTS = 2
_ENOUGH = 0.95

# What was measured elsewhere: instances → inferences per second, and what these numbers show.
_RECORDS: tuple[tuple[str, Mapping[int, float]], ...] = (
    ("a model that computes, 2 cores", {1: 25_339.0, 2: 30_460.0, 4: 8_895.0, 8: 11_004.0}),
    ("a model that waits, 4 clients", {1: 46.0, 2: 91.0, 4: 178.0, 8: 181.0}),
    ("a model whose second instance brings little", {1: 100.0, 2: 101.0, 4: 180.0, 8: 184.0}),
    ("a model at exactly 95 % of the best", {1: 190.0, 2: 196.0, 4: 200.0}),
)


def _recorded(throughputs: Mapping[int, float]) -> Callable[[int], LoadResult]:
    def measure(count: int) -> LoadResult:
        throughput = throughputs[count]
        return LoadResult(
            "timed",
            "grpc",
            concurrency=4,
            seconds=10.0,
            requests=round(10 * throughput),
            throughput=throughput,
        )

    return measure


def _truth(results: Mapping[int, LoadResult]) -> int:
    """The smallest count with at least 95 % of the best throughput."""
    best = max(result.throughput for result in results.values())
    return min(count for count, result in results.items() if result.throughput >= _ENOUGH * best)


def _judge_choice(
    ctx: LabContext, function: Any, what: str, source: Callable[[int], LoadResult], counts: Sequence[int]
) -> dict[int, LoadResult]:
    bench = Bench(source)
    found = ctx.call(function, bench.measure, list(counts), timeout=60)
    if sorted(bench.asked) != sorted(counts):
        repeated = len(bench.asked) > len(set(bench.asked))
        refuse(
            expected=f"each of {sorted(counts)} is measured once",
            found=f"measured: {bench.asked}",
            next_step="Keep a result in a variable: each measurement takes seconds, and differs."
            if repeated
            else "Measure all counts before you decide: throughput may rise again later.",
        )
    need_return("choose_count", found)
    truth = _truth(bench.results)
    if found != truth:
        seen = {count: round(bench.results[count].throughput) for count in sorted(bench.results)}
        refuse(
            expected=f"{what}, inferences per second {seen}: {truth} instances",
            found=f"`choose_count` returned {found!r:.60}",
            next_step=_advice(found, truth, bench.results),
        )
    return bench.results


def _advice(found: Any, truth: int, results: Mapping[int, LoadResult]) -> str:
    if found not in results:
        return "Return one of the counts, not a throughput."
    best = max(results, key=lambda count: results[count].throughput)
    if found == best:
        return "A few per cent are not worth a further instance's memory: the smallest with 95 % of the best."
    if found > truth and found == max(results):
        return "More is not better once all clients, or all cores, are busy."
    if found > truth:
        return "A smaller one also has at least 95 % of the best; exactly 95 % is enough."
    return "Compare with the best of all counts, not with the one before."


def judge_count_on_record(ctx: LabContext, choose: Any) -> None:
    """Results on record, where the right choice is beyond doubt: no server is needed for a mistake."""
    for what, throughputs in _RECORDS:
        order = [int(count) for count in ctx.rng.permutation(list(throughputs))]
        _judge_choice(ctx, choose, what, _recorded(throughputs), order)


def judge_count_live(ctx: LabContext, choose: Any) -> dict[int, LoadResult]:
    """A live model that waits, with more instances than clients."""
    execution_ms = int(ctx.rng.integers(30, 45))
    repository = ctx.scratch()
    for count in _COUNTS:
        place_timed(repository, f"count_{count}", execution_ms=execution_ms, count=count, batch=1)
    names = [f"count_{count}" for count in _COUNTS]
    server = ctx.fresh_server(repository, options=["--disable-auto-complete-config"], wait_for=names)

    def measure(count: int) -> LoadResult:
        return run_load(
            server,
            f"count_{count}",
            concurrency=_CLIENTS,
            seconds=0.8,
            warmup=0.2,
            processes=1,
            progress=False,
        )

    what = f"{execution_ms} ms, {_CLIENTS} clients, measured now"
    order = [int(count) for count in ctx.rng.permutation(_COUNTS)]
    return _judge_choice(ctx, choose, what, measure, order)
