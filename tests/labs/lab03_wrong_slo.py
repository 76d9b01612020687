"""Plausible wrong answers to 3.14."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _choose(
    *,
    length: str = "slo.prompt + slo.answer",
    slots: str = "slo.memory // (max_length * slo.token_bytes) - 1",
    none: str = "if slots < 1:\n        return None",
    order: str = "sorted(slo.candidates, reverse=True)",
    kept: str = "result.between.p99 <= slo.gap",
    queue: str = "int(slo.ttft * result.requests_per_second)",
    otherwise: str = "None",
) -> str:
    return f"""
def choose_settings(slo, measure):
    max_length = {length}
    slots = {slots}
    {none}
    for prefill_tokens in {order}:
        settings = {{"max_length": max_length, "slots": slots, "prefill_tokens": prefill_tokens}}
        result = measure(settings)
        if {kept}:
            return settings | {{"max_queue": {queue}}}
    return {otherwise}
"""


SLO: dict[str, list[WrongAnswer]] = {
    "3.14": [
        WrongAnswer("prompt alone", _choose(length="slo.prompt"), "A slot holds prompt *and* answer"),
        WrongAnswer(
            "no slot for reading",
            _choose(slots="slo.memory // (max_length * slo.token_bytes)"),
            "One slot more is taken",
        ),
        WrongAnswer(
            "not whole", _choose(slots="slo.memory / (max_length * slo.token_bytes) - 1"), "Slots are whole"
        ),
        WrongAnswer("tokens", _choose(slots="slo.memory // slo.token_bytes - 1"), "how many *tokens* fit"),
        WrongAnswer("no None", _choose(none=""), "the engine cannot be loaded: return"),
        WrongAnswer(
            "one slot refused", _choose(none="if slots < 2:\n        return None"), "One slot is enough"
        ),
        WrongAnswer("upwards", _choose(order="sorted(slo.candidates)"), "Go from the largest candidate down"),
        WrongAnswer("p95", _choose(kept="result.between.p95 <= slo.gap"), "hides the stops"),
        WrongAnswer(
            "ITL", _choose(kept="result.itl.p99 <= slo.gap"), "`itl` counts tokens that came together"
        ),
        WrongAnswer(
            "below", _choose(kept="result.between.p99 < slo.gap"), "exactly the limit keeps the promise"
        ),
        WrongAnswer(
            "first or none",
            _choose(order="[max(slo.candidates)]"),
            "Judge each candidate by itself",
        ),
        WrongAnswer("breaks it", _choose(otherwise='settings | {"max_queue": 1}'), "do not break it"),
        WrongAnswer(
            "measures twice",
            _choose(queue="int(slo.ttft * measure(settings).requests_per_second)"),
            "keep its result in a variable",
        ),
        WrongAnswer(
            "a second's worth", _choose(queue="int(result.requests_per_second)"), "That is one second's worth"
        ),
        WrongAnswer(
            "in tokens", _choose(queue="int(slo.ttft * result.tokens_per_second)"), "Those are tokens"
        ),
        WrongAnswer(
            "rounded up",
            _choose(queue="math.ceil(slo.ttft * result.requests_per_second)"),
            "the last one would wait",
        ),
        WrongAnswer(
            "not rounded", _choose(queue="slo.ttft * result.requests_per_second"), "round down with `int`"
        ),
        WrongAnswer(
            "without the slots",
            _choose(queue="int(slo.ttft * result.requests_per_second) - slots"),
            "Requests in the slots do not wait",
        ),
    ],
}

_SAME = "that line says None already"
EQUIVALENT_SLO = {
    "3.14 return: return None -> return None in choose_settings": _SAME,
    "3.14 return: return None -> return None in choose_settings #2": _SAME,
}
