"""Plausible wrong answers to 3.13."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_ONE = """    first, last = answer.arrivals[0][0], answer.arrivals[-1][0]
    n = sum(count for _, count in answer.arrivals)
    moments = [moment for moment, _ in answer.arrivals]
    gaps = [b - a for a, b in zip(moments, moments[1:])]
"""


def _figure(name: str, text: str) -> str:
    return f"def {name}(answer):\n{_ONE}    return {text}\n"


def _load(text: str) -> str:
    return f"""
def throughput(answers):
    tokens = [sum(count for _, count in answer.arrivals) for answer in answers]
    seconds = [answer.arrivals[-1][0] - answer.sent for answer in answers]
    begin, end = min(a.sent for a in answers), max(a.arrivals[-1][0] for a in answers)
    return {text}
"""


FIGURES: dict[str, list[WrongAnswer]] = {
    "3.13": [
        WrongAnswer(
            "imported",
            "from lab_utils.checks.lab3_figures import longest_gap, throughput, tpot, ttft\n",
            "`ttft` of lab_utils.checks.lab3_figures",
        ),
        WrongAnswer("last token", _figure("ttft", "last - answer.sent"), "That is when the *last* token"),
        WrongAnswer("on the clock", _figure("ttft", "first"), "a moment on the clock"),
        WrongAnswer(
            "n gaps",
            _figure("tpot", "(last - first) / n if n > 1 else 0.0"),
            "n tokens have n - 1 gaps between",
        ),
        WrongAnswer(
            "responses",
            _figure("tpot", "(last - first) / (len(gaps) or 1)"),
            "Count tokens, not responses",
        ),
        WrongAnswer(
            "with the first wait",
            _figure("tpot", "(last - answer.sent) / (n - 1) if n > 1 else 0.0"),
            "a figure of its own",
        ),
        WrongAnswer("latency by tokens", _figure("tpot", "(last - answer.sent) / n"), "also holds the wait"),
        WrongAnswer(
            "divides by zero",
            _figure("tpot", "(last - first) / (n - 1)"),
            "An answer of one token has no gap",
        ),
        WrongAnswer(
            "with TTFT",
            _figure("longest_gap", "max([first - answer.sent, *gaps])"),
            "is no gap between tokens",
        ),
        WrongAnswer(
            "mean gap", _figure("longest_gap", "sum(gaps) / (len(gaps) or 1)"), "That is the mean of the gaps"
        ),
        WrongAnswer("no gap at all", _figure("longest_gap", "max(gaps)"), "One response has no gap"),
        WrongAnswer(
            "sum of speeds",
            _load("sum(n / s for n, s in zip(tokens, seconds))"),
            "adds up the speeds of the requests",
        ),
        WrongAnswer(
            "speed of one",
            _load("sum(n / s for n, s in zip(tokens, seconds)) / len(answers)"),
            "is what a reader sees",
        ),
        WrongAnswer("sum of times", _load("sum(tokens) / sum(seconds)"), "counts a second many times"),
        WrongAnswer(
            "responses per second",
            _load("sum(len(a.arrivals) for a in answers) / (end - begin)"),
            "That counts responses",
        ),
        WrongAnswer(
            "requests per second", _load("len(answers) / (end - begin)"), "That is requests per second"
        ),
        WrongAnswer(
            "in order",
            _load("sum(tokens) / (answers[-1].arrivals[-1][0] - answers[0].sent)"),
            "Not every list is in order",
        ),
    ],
}
