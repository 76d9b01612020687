"""Plausible wrong answers to 4.12."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _budget(value: str, nobody: str = "1.0") -> str:
    return f"""
def budget_left(slo, requests, failed):
    return {value} if requests else {nobody}
"""


def _burn(
    *,
    bad: str = 'sum by (model) (rate({name}{{outcome="error"}}[{window}]))',
    every: str = "sum by (model) (rate({name}[{window}]))",
    allowed: str = "/ {1 - slo}",
) -> str:
    return f"""
def burn_query(slo, window):
    name = "triton_lab_client_requests_total"
    return f'{bad} / {every} {allowed}'
"""


def _page(text: str) -> str:
    return f"""
def page_query(slo, factor, long, short):
    return f"{text}"
"""


_FAILED, _RIGHT = "failed / ((1 - slo) * requests)", "1 - failed / ((1 - slo) * requests)"
_OK = 'sum by (model) (rate({name}{{outcome="ok"}}[{window}]))'

BUDGET: list[WrongAnswer] = [
    WrongAnswer("what is spent", _budget(_FAILED), "1 minus it is left"),
    WrongAnswer("the promise is the budget", _budget("1 - failed / (slo * requests)"), "is what may fail"),
    WrongAnswer("good requests", _budget("1 - failed / requests"), "the share of good requests"),
    WrongAnswer("in requests", _budget("(1 - slo) * requests - failed"), "Those are requests"),
    WrongAnswer("percent", _budget(f"100 * ({_RIGHT})"), "A share, not percent"),
    WrongAnswer("never below 0", _budget(f"max(0.0, {_RIGHT})"), "An overspent budget is negative"),
    WrongAnswer("no requests", f"def budget_left(slo, requests, failed):\n    return {_RIGHT}", "asked yet"),
    WrongAnswer("nothing left", _budget(_RIGHT, "0.0"), "nothing is spent"),
    WrongAnswer("share of failures", _burn(allowed=""), "Divide it by what may fail"),
    WrongAnswer("by the promise", _burn(allowed="/ {slo}"), "not by the promise"),
    WrongAnswer("times the budget", _burn(allowed="* {1 - slo}"), "do not multiply"),
    WrongAnswer("by the good ones", _burn(every=_OK), "by *all* requests"),
    WrongAnswer("the good ones", _burn(bad=_OK), "Those are the good ones"),
    WrongAnswer(
        "a fixed window",
        _burn(
            bad='sum by (model) (rate({name}{{outcome="error"}}[20s]))',
            every="sum by (model) (rate({name}[20s]))",
        ),
        "Use the argument",
    ),
    WrongAnswer(
        "each client",
        _burn(
            bad='rate({name}{{outcome="error"}}[{window}])',
            every="ignoring(outcome) group_left sum without (outcome) (rate({name}[{window}]))",
        ),
        "each client is a series of its own",
    ),
    WrongAnswer(
        "mean of ratios",
        _burn(
            bad='avg by (model) (rate({name}{{outcome="error"}}[{window}])',
            every="ignoring(outcome) group_left sum without (outcome) (rate({name}[{window}])))",
        ),
        "A mean of ratios",
    ),
    WrongAnswer("single braces", _burn(bad="sum by (model) (rate({name}[{window}])))"), "Print the text"),
    WrongAnswer("long alone", _page("{burn_query(slo, long)} > {factor}"), "is mended already"),
    WrongAnswer("short alone", _page("{burn_query(slo, short)} > {factor}"), "has not lasted"),
    WrongAnswer(
        "or",
        _page("{burn_query(slo, long)} > {factor} or {burn_query(slo, short)} > {factor}"),
        "join the two comparisons",
    ),
]
