"""Plausible wrong answers to 3.7."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _frontier(
    sound: str = "{name: result for name, result in results.items() if not result.failed}",
    beats: str = "other.throughput >= one.throughput and other.latency.p99 <= one.latency.p99",
    others: str = "if other is not one",
    end: str = "sorted(best, key=lambda name: sound[name].throughput)",
) -> str:
    return f"""
def frontier(results):
    sound = {sound}

    def beaten(one):
        return any({beats} for other in sound.values() {others})

    best = [name for name, one in sound.items() if not beaten(one)]
    return {end}
"""


def _choose(
    fits: str = "not r.failed and r.latency.p99 * 1000 <= slo_ms",
    key: str = "(fitting[n].throughput, -fitting[n].latency.p99)",
    default: str = ", default=None",
    which: str = "max",
) -> str:
    return f"""
def choose(results, slo_ms):
    fitting = {{n: r for n, r in results.items() if {fits}}}
    return {which}(fitting, key=lambda n: {key}{default})
"""


TUNING: dict[str, list[WrongAnswer]] = {
    "3.7": [
        WrongAnswer(
            "failures on the frontier",
            _frontier(sound="dict(results)"),
            "ask `result.failed` first",
        ),
        WrongAnswer("beats itself", _frontier(others=""), "Nobody beats itself"),
        WrongAnswer(
            "strictly in both",
            _frontier(beats="other.throughput > one.throughput and other.latency.p99 < one.latency.p99"),
            "worse in the other is beaten, too",
        ),
        WrongAnswer(
            "beaten in one",
            _frontier(beats="other.throughput > one.throughput or other.latency.p99 < one.latency.p99"),
            "in one figure *and* in the other",
        ),
        WrongAnswer(
            "all of them",
            _frontier(end="sorted(sound, key=lambda name: sound[name].throughput)"),
            "It is beaten in both by one other",
        ),
        WrongAnswer("no order", _frontier(end="best"), "the smallest first"),
        WrongAnswer(
            "results, not names", _frontier(end="[sound[name] for name in best]"), "Return names, the keys"
        ),
        WrongAnswer(
            "the mean", _choose("not r.failed and r.latency.mean * 1000 <= slo_ms"), "Its mean is within"
        ),
        WrongAnswer(
            "seconds as milliseconds",
            _choose("not r.failed and r.latency.p99 <= slo_ms"),
            "Its p99 is beyond",
        ),
        WrongAnswer(
            "below the promise",
            _choose("not r.failed and r.latency.p99 * 1000 < slo_ms"),
            "exactly the promise",
        ),
        WrongAnswer("failures chosen", _choose("r.latency.p99 * 1000 <= slo_ms"), "It refused requests"),
        WrongAnswer("nothing fits", _choose(default=""), "`max` takes `default=None`"),
        WrongAnswer("the quickest", _choose(key="-fitting[n].latency.p99"), "latency that nobody asked for"),
        WrongAnswer(
            "the first of equals", _choose(key="fitting[n].throughput"), "take the one with the lower p99"
        ),
        WrongAnswer(
            "a result, not a name",
            _choose()
            .replace("return max(", "return fitting[max(")
            .replace("default=None)", "default=None)]"),
            "a name of the results",
        ),
    ],
}
