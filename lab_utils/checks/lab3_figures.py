"""Checkpoint 3.13: TTFT, time per token, longest gap and throughput, from when tokens came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from lab_utils.checks.judging import judge_values, number
from lab_utils.progress.context import LabContext
from lab_utils.progress.registry import Verdict, checkpoint, passed


@dataclass
class Recorded:
    """One request as the notebook's `Answer` keeps it.

    Attributes:
        sent: When it was sent, in seconds on the clock of all records.
        arrivals: Moment and number of tokens of each response.
    """

    sent: float
    arrivals: list[tuple[float, int]] = field(default_factory=list)

    def __str__(self) -> str:
        came = ", ".join(f"{count} at {moment:g} s" for moment, count in self.arrivals)
        return f"sent at {self.sent:g} s, tokens: {came}"


def _tokens(one: Recorded) -> int:
    return sum(count for _, count in one.arrivals)


def _first(one: Recorded) -> float:
    return one.arrivals[0][0]


def _last(one: Recorded) -> float:
    return one.arrivals[-1][0]


def _gaps(one: Recorded) -> list[float]:
    moments = [moment for moment, _ in one.arrivals]
    return [later - earlier for earlier, later in pairwise(moments)]


def ttft(one: Recorded) -> float:
    """Time to first token, in seconds."""
    return _first(one) - one.sent


def tpot(one: Recorded) -> float:
    """Time per output token after the first, in seconds; 0 for an answer of one token.

    (last token - first token) / (n - 1), as in vLLM's benchmark and in GenAI-Perf.
    """
    return (_last(one) - _first(one)) / (_tokens(one) - 1) if _tokens(one) > 1 else 0.0


def longest_gap(one: Recorded) -> float:
    """Longest time between two responses, in seconds; 0 when there is one response only."""
    return max(_gaps(one), default=0.0)


def throughput(records: Sequence[Recorded]) -> float:
    """All tokens by the time from the first request sent to the last token, in tokens per second."""
    begin, end = min(one.sent for one in records), max(_last(one) for one in records)
    return sum(_tokens(one) for one in records) / (end - begin)


def _ratio(above: float, below: float) -> float:
    return above / below if below else 0.0


_TTFT = {
    "That is when the *last* token came. The first one counts.": lambda one: _last(one) - one.sent,
    "That is a moment on the clock, not a time to wait: subtract `sent`.": _first,
    "That is from the first token on: begin at `sent`.": lambda one: _last(one) - _first(one),
    "The time is in seconds already.": lambda one: 1000 * ttft(one),
}

_TPOT = {
    "n tokens have n - 1 gaps between them.": lambda one: (
        _ratio(_last(one) - _first(one), _tokens(one)) if _tokens(one) > 1 else 0.0
    ),
    "Count tokens, not responses: a response may carry several.": lambda one: _ratio(
        _last(one) - _first(one), len(one.arrivals) - 1
    ),
    "The wait for the first token is TTFT, a figure of its own: begin at the first token.": lambda one: (
        _ratio(_last(one) - one.sent, _tokens(one) - 1)
    ),
    "That also holds the wait for the first token, and n tokens have n - 1 gaps.": lambda one: _ratio(
        _last(one) - one.sent, _tokens(one)
    ),
    "That is tokens per second, the inverse.": lambda one: _ratio(_tokens(one) - 1, _last(one) - _first(one)),
    "That leaves out the other tokens of the first response. Take all tokens but one.": lambda one: _ratio(
        _last(one) - _first(one), _tokens(one) - one.arrivals[0][1]
    ),
}

_GAP = {
    "The wait for the first token is no gap between tokens.": lambda one: max(ttft(one), *_gaps(one), 0.0),
    "That is the mean of the gaps; a reader remembers the longest.": lambda one: (
        float(np.mean(_gaps(one))) if _gaps(one) else 0.0
    ),
    "That is the median of the gaps; a reader remembers the longest.": lambda one: (
        float(np.median(_gaps(one))) if _gaps(one) else 0.0
    ),
    "That is the whole time from the first token to the last.": lambda one: _last(one) - _first(one),
    "That is the shortest gap.": lambda one: min(_gaps(one), default=0.0),
}

_THROUGHPUT = {
    "That adds up the speeds of the requests. They run at different times: all tokens by the whole time.": (
        lambda records: sum(_ratio(_tokens(one), _last(one) - one.sent) for one in records)
    ),
    "The mean speed of one request is what a reader sees. Throughput is what the server gives to all.": (
        lambda records: float(np.mean([_ratio(_tokens(one), _last(one) - one.sent) for one in records]))
    ),
    "Requests overlap: adding up their times counts a second many times.": lambda records: (
        sum(map(_tokens, records)) / sum(_last(one) - one.sent for one in records)
    ),
    "The time begins when the first request is *sent*, not at its first token.": lambda records: (
        sum(map(_tokens, records)) / (max(map(_last, records)) - min(map(_first, records)))
    ),
    "That counts responses. A response may carry several tokens.": lambda records: (
        sum(len(one.arrivals) for one in records)
        / (max(map(_last, records)) - min(one.sent for one in records))
    ),
    "That is requests per second.": lambda records: (
        len(records) / (max(map(_last, records)) - min(one.sent for one in records))
    ),
    "Not every list is in order: the first request sent is `min`, the last token `max` of all.": (
        lambda records: sum(map(_tokens, records)) / (_last(records[-1]) - records[0].sent)
    ),
}


def record(ctx: LabContext, responses: int, begin: float, *, most: int = 4) -> Recorded:
    """A request whose tokens came at moments of 1/64 s, so that sums have no rounding."""
    moment = begin + int(ctx.rng.integers(20, 60)) / 64
    arrivals = []
    for gap in ctx.rng.integers(1, 30, responses):
        arrivals.append((moment, int(ctx.rng.integers(1, most + 1))))
        moment += int(gap) / 64
    return Recorded(begin, arrivals)


def _singles(ctx: LabContext) -> list[tuple[Recorded]]:
    """Requests alone: with coalesced tokens, a slow first token, one response, one token."""
    begins = [int(n) / 64 for n in ctx.rng.integers(640, 6400, 6)]
    slow = record(ctx, 5, begins[0])
    slow.sent -= 4.0  # longer than any gap
    joined = record(ctx, 6, begins[1])
    joined.arrivals[0] = (joined.arrivals[0][0], 3)
    one_response = Recorded(begins[2], [(begins[2] + 0.5, 4)])
    one_token = Recorded(begins[3], [(begins[3] + 0.25, 1)])
    plain, two = record(ctx, 7, begins[4], most=1), record(ctx, 2, begins[5], most=1)
    return [(one,) for one in (joined, slow, plain, two, one_response, one_token)]


def _loads(ctx: LabContext) -> list[tuple[list[Recorded]]]:
    """Several requests at once, not in order of their times."""
    return [(_load(ctx, size),) for size in (4, 5)]


def _load(ctx: LabContext, size: int) -> list[Recorded]:
    begins = sorted(int(n) / 64 for n in ctx.rng.integers(640, 900, size))
    records = [record(ctx, int(ctx.rng.integers(3, 9)), begin) for begin in begins]
    longest = max(records, key=_last)
    rest = [one for one in records if one is not longest]
    drawn = [*rest[1:], longest, rest[0]]
    # Who takes the list's first and last for those of the times must get a wrong number, not a division by 0.
    return drawn if _last(drawn[-1]) != drawn[0].sent else _load(ctx, size)


def _show_load(records: Sequence[Recorded]) -> str:
    return "; ".join(map(str, records))


@checkpoint(
    "3.13", title="Figures of a stream", points=4, minutes=7, difficulty=2,
    answers=("ttft", "tpot", "longest_gap", "throughput"), needs_server=False,
)  # fmt: skip
def check_figures(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Fresh records with moments that are exact, so that each figure is known beyond doubt."""
    singles = _singles(ctx)
    empty = {
        "ZeroDivisionError": "An answer of one token has no gap: return 0.0.",
        r"max\(\).*empty|empty sequence|iterable argument is empty": "One response has no gap: return 0.0.",
    }
    for name, truth, mistakes, otherwise in (
        ("ttft", ttft, _TTFT, "From `sent` to the first response, in seconds."),
        ("tpot", tpot, _TPOT, "From the first response to the last, by all tokens but one."),
        ("longest_gap", longest_gap, _GAP, "The largest difference of two moments that follow each other."),
    ):
        judge_values(
            ctx, answers[name], singles, truth, mistakes, read=number,
            show=lambda one, name=name: f"`{name}` of a request {one}", otherwise=otherwise, hints=empty,
        )  # fmt: skip
    judge_values(
        ctx, answers["throughput"], _loads(ctx), throughput, _THROUGHPUT, read=number,
        show=_show_load, otherwise="All tokens, by the time from the first `sent` to the last moment.",
    )  # fmt: skip
    return passed("four figures of fresh records are right, coalesced tokens among them")
