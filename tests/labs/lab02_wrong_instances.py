"""Plausible wrong answers to the second half of 2.7: how many instances."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _choose(choice: str, throughput: str = "{count: measure(count).throughput for count in counts}") -> str:
    return f"""
def choose_count(measure, counts):
    throughput = {throughput}
    best = max(throughput.values())
    return {choice}
"""


_STOPS_EARLY = """
def choose_count(measure, counts):
    chosen, before = None, 0
    for count in sorted(counts):
        now = measure(count).throughput
        if now < 1.05 * before:
            break
        chosen, before = count, now
    return chosen
"""

_MEASURES_TWICE = """
def choose_count(measure, counts):
    best = max(measure(count).throughput for count in counts)
    return min(count for count in counts if measure(count).throughput >= 0.95 * best)
"""

_STEP_BY_STEP = """
def choose_count(measure, counts):
    throughput = {count: measure(count).throughput for count in counts}
    chosen = min(counts)
    for count in sorted(counts):
        if throughput[count] < 1.05 * throughput[chosen]:
            continue
        if count > 2 * chosen:
            break
        chosen = count
    return chosen
"""

INSTANCES: list[WrongAnswer] = [
    WrongAnswer("the best", _choose("max(throughput, key=throughput.get)"), "not worth a further"),
    WrongAnswer("as many as possible", _choose("max(counts)"), "More is not better"),
    WrongAnswer("the throughput", _choose("best"), "not a throughput"),
    WrongAnswer(
        "more than 95 %",
        _choose("min(count for count in counts if throughput[count] > 0.95 * best)"),
        "exactly 95 %",
    ),
    WrongAnswer("stops at the first that does not help", _STOPS_EARLY, "throughput may rise again"),
    WrongAnswer("measures again", _MEASURES_TWICE, "Keep a result in a variable"),
    WrongAnswer("step by step", _STEP_BY_STEP, "not with the one before"),
]
