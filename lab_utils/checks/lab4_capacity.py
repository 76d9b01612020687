"""Checkpoint 4.9: how many servers a promise needs, from the measured curve of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab_utils.checks.asking import shorten
from lab_utils.checks.lab2_live import place_timed
from lab_utils.checks.lab4_curves import in_words, point
from lab_utils.load import run_sweep
from lab_utils.load.result import LoadResult
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_KEPT_UP = 0.95


@dataclass(frozen=True)
class _Case:
    """One promise for one curve.

    Attributes:
        curve: What one server did at several rates.
        limit_ms: The promise: 99 of 100 requests take no longer.
        demand: Requests per second at the peak.
        headroom: Share of a server that stays free.
    """

    curve: Sequence[LoadResult]
    limit_ms: float
    demand: float
    headroom: float

    def within(self, result: LoadResult) -> bool:
        """Whether the promise is kept at this rate."""
        return (
            not result.failed
            and result.latency.p99 * 1000 <= self.limit_ms
            and result.throughput >= _KEPT_UP * (result.rate or 0)
        )

    @property
    def usable(self) -> float | None:
        """The largest rate at which the promise is kept."""
        return max((r.rate or 0 for r in self.curve if self.within(r)), default=None)

    def servers(self, *, usable: float | None = None, headroom: float | None = None) -> int | None:
        """The right number, or that of somebody who takes another rate or headroom."""
        rate = self.usable if usable is None else usable
        free = self.headroom if headroom is None else headroom
        return None if rate is None else math.ceil(self.demand / (rate * (1 - free))) + 1


def _curve(*rows: tuple[float, float, float, float, int]) -> list[LoadResult]:
    """Rate, throughput, mean and p99 in 1/64 s, failures."""
    return [
        point(rate=rate, throughput=throughput, mean=mean, p99=p99, failed=failed)
        for rate, throughput, mean, p99, failed in rows
    ]


def _cases(stretch: float, whole: int) -> list[_Case]:
    """Promises that a hasty reader gets wrong, one way each.

    Args:
        stretch: Multiplies the demand: the numbers are fresh each time.
        whole: So many servers are loaded exactly as they may be.
    """
    unit = 1000 / 64
    calm = _curve(
        (64, 64, 1, 1.5, 0),
        (128, 128, 1, 2, 0),
        (256, 254, 2, 5, 0),
        (320, 316, 6, 9, 0),
        (512, 300, 40, 99, 0),
    )
    # Full queues are refused at once: the answered ones are quick.
    refusing = _curve((64, 64, 1, 1.5, 0), (128, 127, 1, 2, 0), (256, 250, 1.5, 3, 40), (512, 300, 2, 4, 900))
    # A short run: the queue grew all the time, and had no time to grow long. 121.6 is 95 % of 128.
    short = _curve((64, 64, 1, 1.5, 0), (128, 121.6, 1, 2, 0), (256, 240, 1.5, 3, 0), (512, 310, 3, 4, 0))
    # Somebody else used the machine for a moment, while 64 was measured.
    hiccup = _curve((32, 32, 1, 1.5, 0), (64, 64, 1.5, 9, 0), (128, 128, 1, 2, 0), (256, 254, 2, 5, 0))
    # Measured in another order: neither the first nor the last nor the smallest rate is the one.
    mixed = _curve((512, 300, 40, 99, 0), (32, 32, 1, 1.5, 0), (128, 128, 1, 2, 0), (64, 64, 1, 1.5, 0))
    return [
        _Case(calm, 4 * unit, 96 * whole, 0.25),
        _Case(calm, 4 * unit, 1000 * stretch, 0.25),
        _Case(calm, 5 * unit, 1100 * stretch, 0.5),
        _Case(refusing, 4 * unit, 900 * stretch, 0.25),
        _Case(short, 4 * unit, 1700 * stretch, 0.25),
        _Case(hiccup, 4 * unit, 1300 * stretch, 0.25),
        _Case(mixed, 4 * unit, 1500 * stretch, 0.25),
        _Case(calm, 1.25 * unit, 1000 * stretch, 0.25),
    ]


def _advice(case: _Case, found: Any) -> str:
    """What may have led to this answer."""
    truth, usable = case.servers(), case.usable
    if truth is None:
        return "At no rate is the promise kept: return None. More of such servers do not help."
    if found is None:
        return "There are rates at which it is kept: p99 is in seconds, `limit_ms` in milliseconds."
    if isinstance(found, bool) or not isinstance(found, int):
        return "Servers are whole: `math.ceil` of the quotient, and one more."
    quotient = case.demand / (usable * (1 - case.headroom)) if usable else 0.0
    others = {
        "Round up: a part of a server is a whole one.": int(quotient) + 1,
        "One server more than are needed: one may fail, or be updated.": math.ceil(quotient),
        "An exact quotient needs no further server: round up with `math.ceil`.": int(quotient) + 2,
        "`headroom` stays free: load a server to `1 - headroom` of its usable rate.": case.servers(
            headroom=0
        ),
        "Headroom is a share of the server, not of the demand: divide by `1 - headroom`.": math.ceil(
            case.demand * (1 + case.headroom) / (usable or 1)
        )
        + 1,
        "The share in use is `1 - headroom`.": math.ceil(case.demand / ((usable or 1) * case.headroom)) + 1,
    }
    others |= {text: case.servers(usable=rate) for text, rate in _other_rates(case).items()}
    return next(
        (text for text, number in others.items() if number == found != truth),
        "The largest rate at which the promise is kept, times `1 - headroom`; then round up, and one more.",
    )


def _other_rates(case: _Case) -> dict[str, float]:
    """The rate that a hasty reader takes, by what to tell them."""
    limit = case.limit_ms / 1000

    def largest(kept: Any) -> float:
        return max((r.rate or 0 for r in case.curve if kept(r)), default=0.0) or 1.0

    first_late = next((i for i, r in enumerate(case.curve) if not case.within(r)), len(case.curve))
    rates = {
        "Look at `failed`: who was refused at once is not in the latency.": largest(
            lambda r: r.latency.p99 <= limit and r.throughput >= _KEPT_UP * r.rate
        ),
        "Throughput below 95 % of the rate: the queue grew, and p99 only says how long was measured.": (
            largest(lambda r: r.latency.p99 <= limit and not r.failed)
        ),
        "Judge by `latency.p99`: the mean hides the late ones.": largest(
            lambda r: r.latency.mean <= limit and not r.failed and r.throughput >= _KEPT_UP * r.rate
        ),
        "At most: a p99 of exactly the limit keeps the promise.": largest(
            lambda r: r.latency.p99 < limit and not r.failed and r.throughput >= _KEPT_UP * r.rate
        ),
        "At least: a throughput of exactly 95 % of the rate has kept up.": largest(
            lambda r: r.latency.p99 <= limit and not r.failed and r.throughput > _KEPT_UP * r.rate
        ),
        "All rates that keep it count, and the largest decides: one hiccup below it is no limit.": (
            case.curve[first_late - 1].rate or 1.0 if first_late else 1.0
        ),
        "All are fewer than `limit_ms` while they are seconds: multiply p99 by 1000 first.": largest(
            lambda r: not r.failed and r.throughput >= _KEPT_UP * r.rate
        ),
        "The largest usable rate, not the last one: the results may stand in any order.": next(
            (r.rate or 1.0 for r in reversed(case.curve) if case.within(r)), 1.0
        ),
        "Take the largest usable rate, not the smallest.": min(
            (r.rate or 0 for r in case.curve if case.within(r)), default=1.0
        ),
        "Use `rate`, what was asked of the server: that is what users will do.": max(
            (r.throughput for r in case.curve if case.within(r)), default=1.0
        ),
    }
    return {text: rate for text, rate in rates.items() if rate != case.usable}


def _judge(ctx: LabContext, function: Any, case: _Case) -> int | None:
    found = ctx.call(function, list(case.curve), case.limit_ms, case.demand, case.headroom)
    truth = case.servers()
    if found == truth and not isinstance(found, bool | float):
        return truth
    wanted = "None" if truth is None else f"{truth} servers"
    refuse(
        expected=f"limit {case.limit_ms:g} ms, demand {case.demand:g}/s, headroom {case.headroom:g}; "
        f"{in_words(case.curve)}: {wanted}",
        found=f"`servers_needed` returned {shorten(repr(found), 60)}",
        next_step=_advice(case, found),
    )


def _measure(ctx: LabContext) -> list[LoadResult]:
    """One server of 10 ms a request and a short queue, at three rates: idle, busy, overloaded."""
    repository = ctx.scratch()
    policy = "dynamic_batching { default_queue_policy { max_queue_size: 12 } }\n"
    place_timed(repository, "desk", execution_ms=10, count=2, batch=1, more=policy)
    server = ctx.fresh_server(repository, options=["--disable-auto-complete-config"], wait_for=["desk"])
    rates = (40.0, 90.0, 400.0)
    return run_sweep(server, "desk", rate=rates, arrival="constant", seconds=0.8, processes=1, progress=False)


@checkpoint(
    "4.9", title="Servers for a promise", points=3, minutes=7, difficulty=2,
    answers=("servers_needed",), needs_server=False,
)  # fmt: skip
def check_capacity(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Curves on record, then one that is measured now."""
    function = answers["servers_needed"]
    for case in _cases(float(ctx.rng.integers(64, 128)) / 64, int(ctx.rng.integers(33, 41))):
        _judge(ctx, function, case)
    curve = _measure(ctx)
    demand = float(ctx.rng.integers(500, 900))
    servers = {}
    for limit in (120.0, 1000 * curve[0].latency.min / 2):
        servers[round(limit, 1)] = _judge(ctx, function, _Case(curve, limit, demand, 0.25))
    return passed(
        f"{demand:.0f} requests/s: "
        + "; ".join(
            f"p99 within {limit:g} ms: " + (f"{count} servers" if count else "not with any number of servers")
            for limit, count in servers.items()
        ),
        servers={str(limit): count for limit, count in servers.items()},
        curve=in_words(curve),
    )
