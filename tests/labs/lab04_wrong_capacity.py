"""Plausible wrong answers to 4.9."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _plan(
    *,
    failed: str = "not r.failed",
    p99: str = "r.latency.p99 * 1000 <= limit_ms",
    kept: str = "r.throughput >= 0.95 * r.rate",
    value: str = "r.rate",
    none: str = "None",
    best: str = "max(usable)",
    number: str = "math.ceil(demand / (best * (1 - headroom))) + 1",
) -> str:
    return f"""
def servers_needed(curve, limit_ms, demand, headroom):
    usable = [{value} for r in curve if {failed} and {p99} and {kept}]
    if not usable:
        return {none}
    best = {best}
    return {number}
"""


_STOPS = """
def servers_needed(curve, limit_ms, demand, headroom):
    best = None
    for r in curve:
        if r.failed or r.latency.p99 * 1000 > limit_ms or r.throughput < 0.95 * r.rate:
            break
        best = r.rate
    return None if best is None else math.ceil(demand / (best * (1 - headroom))) + 1
"""

CAPACITY: list[WrongAnswer] = [
    WrongAnswer("refused are fine", _plan(failed="True"), "who was refused at once"),
    WrongAnswer("mean", _plan(p99="r.latency.mean * 1000 <= limit_ms"), "the mean hides the late ones"),
    WrongAnswer("below", _plan(p99="r.latency.p99 * 1000 < limit_ms"), "exactly the limit keeps"),
    WrongAnswer(
        "limit in seconds", _plan(p99="r.latency.p99 * 1000 <= limit_ms / 1000"), "There are rates at"
    ),
    WrongAnswer("growing queue", _plan(kept="True"), "only says how long was measured"),
    WrongAnswer("more than 95 %", _plan(kept="r.throughput > 0.95 * r.rate"), "has kept up"),
    WrongAnswer("throughput", _plan(value="r.throughput"), "what was asked of the server"),
    WrongAnswer("smallest", _plan(best="min(usable)"), "not the smallest"),
    WrongAnswer("stops at the first", _STOPS, "one hiccup below it"),
    WrongAnswer("no spare", _plan(number="math.ceil(demand / (best * (1 - headroom)))"), "one may fail"),
    WrongAnswer(
        "rounded down", _plan(number="int(demand / (best * (1 - headroom))) + 1"), "Round up: a part"
    ),
    WrongAnswer(
        "one too many", _plan(number="int(demand / (best * (1 - headroom))) + 2"), "An exact quotient"
    ),
    WrongAnswer("no headroom", _plan(number="math.ceil(demand / best) + 1"), "`headroom` stays free"),
    WrongAnswer(
        "more demand",
        _plan(number="math.ceil(demand * (1 + headroom) / best) + 1"),
        "not of the demand",
    ),
    WrongAnswer(
        "headroom in use", _plan(number="math.ceil(demand / (best * headroom)) + 1"), "The share in use"
    ),
    WrongAnswer("not whole", _plan(number="demand / (best * (1 - headroom)) + 1"), "Servers are whole"),
    WrongAnswer(
        "seconds and milliseconds", _plan(p99="r.latency.p99 <= limit_ms"), "multiply p99 by 1000 first"
    ),
    WrongAnswer("the last", _plan(best="usable[-1]"), "not the last one"),
    WrongAnswer("no servers", _plan(none="0"), "More of such servers do not help"),
]
