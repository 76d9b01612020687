"""Checkpoint 3.7: the frontier of a sweep, and the choice for a promised latency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab_utils.checks.asking import need_return, shorten, with_hint
from lab_utils.checks.lab2_live import place_timed
from lab_utils.load import Latency, LoadResult, run_load
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_Results = Mapping[str, LoadResult]

# Name → inferences per second, p99 and mean of the latency in units of 1/64 s, failed requests. Taken from
# sweeps of digits_cnn, then rounded so that milliseconds and seconds turn into each other without an error,
# and moved a little so that there are equals.
_SWEEP: Mapping[str, tuple[float, float, float, int]] = {
    "no batching, 4 clients": (900.0, 0.5, 0.25, 0),
    "no batching, 16 clients": (930.0, 1.5, 1.0, 0),
    "no delay, 4 clients": (1250.0, 0.5, 0.25, 0),
    "no delay, 16 clients": (2100.0, 0.75, 0.5, 0),
    "delay 5 ms, 4 clients": (480.0, 1.0, 0.5, 0),
    "delay 5 ms, 16 clients": (1900.0, 1.0, 0.625, 0),
    "preferred 8, 16 clients": (2100.0, 0.875, 0.5, 0),
    "2 instances, 16 clients": (2600.0, 1.25, 0.5, 0),
    "2 instances, 64 clients": (2900.0, 4.0, 2.0, 0),
    "4 instances, 64 clients": (2700.0, 6.0, 1.75, 0),
    "a short queue, 64 clients": (4000.0, 0.25, 0.125, 312),
}
_FAILING = "a short queue, 64 clients"
_NOTHING_FITS = (
    "When nothing keeps the promise, return None (`max` takes `default=None`): another design is needed."
)


def _result(name: str, stretch: int, figures: tuple[float, float, float, int]) -> LoadResult:
    throughput, p99, mean, failed = figures
    unit = stretch / 64
    latency = Latency(
        count=900, mean=mean * unit, std=mean * unit / 4, min=mean * unit / 2, p50=mean * unit,
        p90=(mean + p99) / 2 * unit, p95=(mean + 3 * p99) / 4 * unit, p99=p99 * unit, max=1.25 * p99 * unit,
    )  # fmt: skip
    return LoadResult(
        name, "grpc", concurrency=16, seconds=10.0, requests=round(10 * throughput), throughput=throughput,
        latency=latency, errors={"refused": failed} if failed else {},
    )  # fmt: skip


def _sound(results: _Results) -> dict[str, LoadResult]:
    return {name: result for name, result in results.items() if not result.failed}


def _beats(one: LoadResult, other: LoadResult) -> bool:
    """Whether `one` is at least as good in both, and better in one."""
    better = (one.throughput > other.throughput, one.latency.p99 < other.latency.p99)
    as_good = (one.throughput >= other.throughput, one.latency.p99 <= other.latency.p99)
    return all(as_good) and any(better)


def _frontier(results: _Results) -> list[str]:
    sound = _sound(results)
    best = [name for name, one in sound.items() if not any(_beats(other, one) for other in sound.values())]
    return sorted(best, key=lambda name: sound[name].throughput)


def _choice(results: _Results, slo_ms: float) -> str | None:
    """The most throughput within the limit; of equals, the lower p99."""
    fitting = {n: r for n, r in _sound(results).items() if r.latency.p99 * 1000 <= slo_ms}
    return max(fitting, key=lambda n: (fitting[n].throughput, -fitting[n].latency.p99), default=None)


def _shown(results: _Results, names: list[str]) -> str:
    return "; ".join(
        f"{name}: {results[name].throughput:.0f}/s, p99 {results[name].latency.p99 * 1000:.3g} ms"
        + (f", {results[name].failed} failed" if results[name].failed else "")
        for name in names
        if name in results
    )


def _judge_frontier(ctx: LabContext, function: Any, results: _Results) -> None:
    found = ctx.call(function, dict(results))
    need_return("frontier", found)
    truth = _frontier(results)
    if not isinstance(found, list | tuple) or not all(isinstance(n, str) and n in results for n in found):
        refuse(
            expected="`frontier` returns a list of names of the results",
            found=f"it returned {shorten(repr(found), 120)}",
            next_step="Return names, the keys of `results`.",
        )
    names = list(found)
    if names == truth:
        return
    failing = [name for name in names if results[name].failed]
    too_many = [name for name in names if name not in truth and name not in failing]
    missing = [name for name in truth if name not in names]
    if failing:
        refuse(
            expected="a setting that refused requests is left out",
            found=f"the frontier holds {_shown(results, failing)}",
            next_step="Its figures are those of the requests that came through: ask `result.failed` first.",
        )
    if too_many:
        _refuse_beaten(results, names, too_many)
    if missing:
        alone = len(_sound(results)) == 1
        refuse(
            expected=f"on the frontier, as nothing is better in both: {_shown(results, missing)}",
            found=f"`frontier` names {', '.join(names) or 'nothing'}",
            next_step="Nobody beats itself: compare with the others, and leave out those that failed before."
            if alone
            else "Beaten means: by one setting, at least as good in one figure *and* in the other.",
        )
    refuse(
        expected="the names in the order of their throughput, the smallest first",
        found=f"they come as {', '.join(names)}",
        next_step="`sorted(names, key=lambda name: results[name].throughput)`.",
    )


def _refuse_beaten(results: _Results, names: list[str], too_many: list[str]) -> None:
    """A name that another beats: one that is worse in both if there is one: its reason is seen at once."""
    for one in too_many:
        for by, other in _sound(results).items():
            worse = results[one].throughput < other.throughput and (
                results[one].latency.p99 > other.latency.p99
            )
            if worse:
                _refuse_one(
                    results, names, one, by, "It is beaten in both by one other: compare with all others."
                )
    one = too_many[0]
    by = next(name for name, other in _sound(results).items() if _beats(other, results[one]))
    same = "throughput" if results[one].throughput == results[by].throughput else "p99"
    _refuse_one(results, names, one, by, f"Equal in {same} and worse in the other is beaten, too.")


def _refuse_one(results: _Results, names: list[str], one: str, by: str, advice: str) -> None:
    refuse(
        expected=f"`{one}` is not on the frontier: {_shown(results, [one, by])}",
        found=f"`frontier` names it, with {len(names) - 1} others",
        next_step=advice,
    )


def _judge_choice(ctx: LabContext, function: Any, results: _Results, slo_ms: float) -> None:
    try:
        found = ctx.call(function, dict(results), slo_ms)
    except Refusal as refusal:
        with_hint(refusal, {r"max\(\) .*empty": _NOTHING_FITS})
    truth = _choice(results, slo_ms)
    if found == truth:
        return
    if found is not None and not (isinstance(found, str) and found in results):
        refuse(
            expected="`choose` returns a name of the results, or None",
            found=f"it returned {shorten(repr(found), 80)}",
            next_step="Return the name, a key of `results`.",
        )
    both = [name for name in (truth, found) if name is not None]
    refuse(
        expected=f"promised {slo_ms:g} ms: {truth or 'None'}. {_shown(results, both)}",
        found=f"`choose` returned {found!r}",
        next_step=_advice(found, truth, results, slo_ms),
    )


def _advice(found: str | None, truth: str | None, results: _Results, slo_ms: float) -> str:
    if found is not None and results[found].failed:
        return "It refused requests: look at `result.failed` before its figures."
    if truth is None:
        return _NOTHING_FITS
    exact = results[truth].latency.p99 * 1000 == slo_ms
    if exact and (found is None or results[found].throughput < results[truth].throughput):
        return "At most: a p99 of exactly the promise keeps it."
    if found is None:
        return "Some keep the promise: `p99` is in seconds, `slo_ms` in milliseconds."
    late = results[found].latency.p99 * 1000 > slo_ms
    by_mean = {n: r for n, r in _sound(results).items() if r.latency.mean * 1000 <= slo_ms}
    if late and found == max(by_mean, key=lambda n: by_mean[n].throughput, default=None):
        return "Its mean is within the promise and its p99 is not: judge by `latency.p99`."
    if late:
        return "Its p99 is beyond the promise: `p99` is in seconds, `slo_ms` in milliseconds."
    if results[found].throughput == results[truth].throughput:
        return "Of two with the same throughput take the one with the lower p99."
    return "Within the promise the most throughput wins: latency that nobody asked for is worth nothing."


def _on_record(ctx: LabContext, frontier: Any, choose: Any) -> None:
    """Results on record, in any order, where the right answer is beyond doubt."""
    stretch = int(ctx.rng.choice([1, 2, 4]))
    unit = 1000 * stretch / 64
    names = list(_SWEEP)
    backwards = {name: _result(name, stretch, _SWEEP[name]) for name in reversed(names)}
    refusing = {_FAILING: backwards[_FAILING]}
    _judge_frontier(ctx, frontier, {**refusing, names[0]: backwards[names[0]]})
    for _ in range(3):
        order = [names[int(place)] for place in ctx.rng.permutation(len(names))]
        results = {name: _result(name, stretch, _SWEEP[name]) for name in order}
        _judge_frontier(ctx, frontier, results)
    # Mean and p99 disagree; exactly the promise; equals; everything fits; nothing does.
    for results in (backwards, dict(reversed(backwards.items()))):
        for limit in (1.75, 1.25, 0.95, 9.0, 0.3):
            _judge_choice(ctx, choose, results, limit * unit)
    _judge_choice(ctx, choose, refusing, 9.0 * unit)


def _live(ctx: LabContext, frontier: Any, choose: Any) -> dict[str, LoadResult]:
    """Three settings of a model of known service time, measured now."""
    execution_ms, repository = int(ctx.rng.integers(15, 25)), ctx.scratch()
    late = "dynamic_batching { max_queue_delay_microseconds: 250000 }\n"
    place_timed(repository, "prompt", execution_ms=execution_ms, batch=4, more="dynamic_batching { }\n")
    place_timed(repository, "late", execution_ms=execution_ms, batch=16, more=late)
    options = ["--disable-auto-complete-config"]
    server = ctx.fresh_server(repository, options=options, wait_for=["prompt", "late"])
    results = {}
    for model, clients in (("late", 8), ("prompt", 8), ("prompt", 1)):
        name = f"{model}, {clients} at once"
        results[name] = run_load(
            server, model, concurrency=clients, seconds=0.7, warmup=0.3, processes=1, progress=False
        )
    _judge_frontier(ctx, frontier, results)
    for limit in (5.0 * execution_ms, 1.5 * execution_ms, 0.5 * execution_ms):
        _judge_choice(ctx, choose, results, limit)
    return results


@checkpoint(
    "3.7", title="The frontier, and the choice", points=4, minutes=7, difficulty=2,
    answers=("frontier", "choose"), needs_server=False,
)  # fmt: skip
def check_tuning(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Both follow from the measurements: on record first, then on a live server."""
    frontier, choose = answers["frontier"], answers["choose"]
    _on_record(ctx, frontier, choose)
    results = _live(ctx, frontier, choose)
    return passed(
        f"both follow from what was measured: {_shown(results, list(results))}",
        frontier=_frontier(results),
        throughput={name: round(result.throughput, 1) for name, result in results.items()},
    )
