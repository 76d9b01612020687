"""Figures of `benchmarks/llama.py`: medians of ratios, goals, tables, JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.servers import median
from lab_utils.load import GenerationResult

ENGINE, ONE_BY_ONE, BATCHED, IN_PROCESS = "engine", "one by one", "batched", "engine in-process"
OURS, GENERATE, FORWARD = "ours", "generate", "transformers forward"


@dataclass(frozen=True)
class Goal:
    """One goal: what it asks for, what was found, whether it is reached; None: not to be judged here."""

    text: str
    found: str
    reached: bool | None

    @property
    def verdict(self) -> str:
        """In words."""
        if self.reached is None:
            return "not judged"
        return "reached" if self.reached else "not reached"


@dataclass
class Side:
    """All that was measured of one Llama.

    Attributes:
        label: Its size in words.
        results: One result per round, by design.
        steps: Seconds per token at batch 1, one per round, by loop.
        bare: Tokens per second of the bare decode loop at the batch size of the load, one per round.
    """

    label: str
    results: dict[str, list[GenerationResult]] = field(default_factory=dict)
    steps: dict[str, list[float]] = field(default_factory=dict)
    bare: list[float] = field(default_factory=list)

    def add(self, name: str, result: GenerationResult) -> None:
        """One round of one design."""
        self.results.setdefault(name, []).append(result)

    def throughput(self, one: str, other: str) -> float:
        """Median over the rounds of the ratio of tokens per second."""
        pairs = zip(self.results[one], self.results[other], strict=True)
        return median([a.tokens_per_second / b.tokens_per_second for a, b in pairs])

    def first_token(self, one: str, other: str) -> float:
        """Median over the rounds of the ratio of the median times to the first token."""
        pairs = zip(self.results[one], self.results[other], strict=True)
        return median([a.ttft.p50 / b.ttft.p50 for a, b in pairs])

    def to_bare(self, one: str) -> float:
        """Median over the rounds of tokens per second to those of the bare loop."""
        pairs = zip(self.results[one], self.bare, strict=True)
        return median([a.tokens_per_second / b for a, b in pairs])

    def step(self, other: str) -> float:
        """Median over the rounds of how many times as long the other loop takes for a token."""
        pairs = zip(self.steps[OURS], self.steps[other], strict=True)
        return median([theirs / ours for ours, theirs in pairs])

    @property
    def answers(self) -> tuple[int, int]:
        """Answers that came, and those that were wrong or failed."""
        every = [result for results in self.results.values() for result in results]
        return sum(r.requests + r.failed for r in every), sum(r.failed for r in every)


def goals(small: Side, large: Side) -> list[Goal]:
    """Every goal against what was measured."""
    found = []

    def at_least(text: str, value: float, limit: float, form: str = "{:.2f} x") -> None:
        found.append(Goal(text, form.format(value), value >= limit))

    def at_most(text: str, value: float, parts: int) -> None:
        found.append(Goal(text, f"1/{1 / value:.0f}", value <= 1 / parts))

    at_least("tokens/s >= 7 x Hugging Face one by one", small.throughput(ENGINE, ONE_BY_ONE), 7)
    at_least("tokens/s >= 2 x Hugging Face, dynamic batching", small.throughput(ENGINE, BATCHED), 2)
    at_most("TTFT p50 <= 1/50 of one by one", small.first_token(ENGINE, ONE_BY_ONE), 50)
    at_most("TTFT p50 <= 1/10 of dynamic batching", small.first_token(ENGINE, BATCHED), 10)
    at_least("tokens/s >= 60 % of in-process", 100 * small.throughput(ENGINE, IN_PROCESS), 60, "{:.0f} %")
    size = large.label
    at_least(
        f"{size}: tokens/s >= 90 % of in-process", 100 * large.throughput(ENGINE, IN_PROCESS), 90, "{:.0f} %"
    )
    at_least(f"{size}: tokens/s >= 75 % of the bare decode loop", 100 * large.to_bare(ENGINE), 75, "{:.0f} %")
    at_least("batch-1 step >= 2.5 x as fast as transformers", small.step(GENERATE), 2.5)
    at_least(f"{size}: batch-1 step not slower than transformers", large.step(GENERATE), 1)
    for side in (small, large):
        answers, wrong = side.answers
        text = f"{side.label}: every answer equals the one of the request alone"
        found.append(Goal(text, f"{answers - wrong} of {answers}", wrong == 0))
    return found


def goal_table(every: list[Goal]) -> Table:
    """Goals, what was found, and the verdicts."""
    table = Table("goal", "found", "", title="Goals")
    for goal in every:
        table.add_row(goal.text, goal.found, goal.verdict)
    return table


def show(about: dict[str, str], sides: list[Side], every: list[Goal], console: Console) -> None:
    """All tables."""
    for name, value in about.items():
        console.print(f"{name}: {value}")
    for side in sides:
        console.print(_designs(side))
        console.print(_steps(side))
        for name, results in side.results.items():
            for kind, message in results[-1].messages.items():
                console.print(f"{side.label}, {name}: {kind}: {message}", markup=False)
    console.print(goal_table(every))


def _designs(side: Side) -> Table:
    columns = ("design", "tokens/s", "requests/s", "TTFT p50 ms", "p95", "ITL p50 ms", "between p95",
               "latency p50 ms", "tokens/response", "wrong or failed")  # fmt: skip
    table = Table(*columns, title=f"{side.label}: medians of the rounds")
    for name, results in side.results.items():
        times = [
            median([1e3 * value for value in values])
            for values in (
                [r.ttft.p50 for r in results],
                [r.ttft.p95 for r in results],
                [r.itl.p50 for r in results],
                [r.between.p95 for r in results],
                [r.latency.p50 for r in results],
            )
        ]
        table.add_row(
            name,
            f"{median([r.tokens_per_second for r in results]):,.0f}",
            f"{median([r.requests_per_second for r in results]):,.1f}",
            *(f"{time:,.1f}" if time == time else "-" for time in times),
            f"{median([r.tokens_per_response for r in results]):.1f}",
            str(sum(r.failed for r in results)),
        )
    if side.bare:
        table.add_row("bare decode loop", f"{median(side.bare):,.0f}", *["-"] * 8)
    return table


def _steps(side: Side) -> Table:
    table = Table("loop", "ms per token", "x ours", title=f"{side.label}: one token at batch 1")
    for name, seconds in side.steps.items():
        table.add_row(name, f"{1e3 * median(seconds):.2f}", f"{side.step(name):.2f}")
    return table


def as_json(about: dict[str, str], sides: list[Side], every: list[Goal]) -> dict[str, Any]:
    """Everything, with all rounds; without the moments of single tokens."""
    return {
        "about": about,
        "sides": {
            side.label: {
                "results": {name: [plain(r) for r in results] for name, results in side.results.items()},
                "seconds_per_token": side.steps,
                "bare_tokens_per_second": side.bare,
            }
            for side in sides
        },
        "goals": [asdict(goal) | {"verdict": goal.verdict} for goal in every],
    }


def plain(result: GenerationResult) -> dict[str, Any]:
    """A result for JSON, without its timelines."""
    found: dict[str, Any] = json.loads(result.to_json())
    del found["timelines"]
    return found
