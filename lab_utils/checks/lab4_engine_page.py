"""What the check 4.4 makes up: histograms, the page of an engine at two moments, figures under two loads."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lab_utils.checks.lab4_pages import Page
from lab_utils.monitoring import Window
from lab_utils.progress.context import LabContext

Buckets = dict[float, float]
"""Upper bound in seconds → how many values were at most that. The last bound is infinite."""

Pair = Mapping[str, float]
"""The four figures by name, under one load."""

TTFT, ITL = "llama_time_to_first_token_seconds", "llama_inter_token_seconds"
OUTCOMES = ("stop", "length", "cancelled", "error", "refused")


def _counter(ctx: LabContext, before: tuple[int, int], more: tuple[int, int]) -> tuple[int, int]:
    """A counter at two moments: its value drawn between two numbers, and what was added."""
    first = int(ctx.rng.integers(*before))
    return first, first + int(ctx.rng.integers(*more))


def histograms(ctx: LabContext) -> list[tuple[Buckets, float]]:
    """Histograms whose quantile lies in the first, a middle, the last bucket, on a bound, or nowhere."""
    rng = ctx.rng
    bounds = [float(b) / 64 for b in sorted(rng.choice(range(1, 200), 5, replace=False))]

    def made(counts: list[int], backwards: bool = False) -> Buckets:
        order = [*bounds, math.inf]
        whole = {b: float(sum(counts[: i + 1])) for i, b in enumerate(order)}
        keys = order[::-1] if backwards else order
        return {b: whole[b] for b in keys}

    few = [int(n) for n in rng.integers(1, 9, 6)]
    return [
        (made([few[0], few[1], few[2] + 3, 40 + few[3], few[4], 0], backwards=True), 0.5),
        (made([64 + few[0], few[1], few[2], 1, 1, 0]), 0.25),  # in the first bucket
        (made([8, 8, 0, 8, 8, 0]), 0.5),  # on a bound, with an empty bucket behind it
        (made([few[0], few[1], few[2], few[3], few[4], 50]), 0.9),  # beyond the last bound
        (made([0, 0, 0, 0, 0, 0]), 0.95),  # nothing came
    ]


def engine_window(ctx: LabContext) -> Window:
    """Two readings of an engine's page."""
    rng, pages = ctx.rng, (Page(), Page())
    labels = {"model": "llama", "version": "1", "pid": "77"}
    for outcome in OUTCOMES:
        for page, value in zip(pages, _counter(ctx, (100, 900), (8, 60)), strict=True):
            page.add("llama_requests_total", "counter", value, **labels, outcome=outcome)
    for name in ("llama_generated_tokens_total", "llama_prompt_tokens_total"):
        for page, value in zip(pages, _counter(ctx, (10_000, 90_000), (500, 2000)), strict=True):
            page.add(name, "counter", value, **labels)
    for name, least in ((TTFT, 8), (ITL, 1)):
        bounds = [least * n / 64 for n in (1, 3, 8, 20)]
        before = [int(n) for n in rng.integers(1000, 2000, 5)]
        more = [int(n) for n in (*rng.integers(30, 60, 2), *rng.integers(2, 20, 2), 0)]
        seconds = float(rng.integers(5, 40))
        for page, counts, total in (
            (pages[0], before, 1000.0),
            (pages[1], [a + b for a, b in zip(before, more, strict=True)], 1000.0 + seconds),
        ):
            for place, bound in enumerate([*bounds, math.inf]):
                le = "+Inf" if bound == math.inf else f"{bound:g}"
                page.add(name, "histogram", sum(counts[: place + 1]), suffix="_bucket", **labels, le=le)
            page.add(name, "histogram", sum(counts), suffix="_count", **labels)
            page.add(name, "histogram", total, suffix="_sum", **labels)
    seconds = int(rng.integers(20, 80)) / 4
    return Window([pages[0].scrape(1.7e9), pages[1].scrape(1.7e9 + seconds)])


def pairs(ctx: LabContext) -> list[tuple[Pair, Pair]]:
    """Figures under a light and a heavy load, by how many times TTFT and ITL grew."""
    made: list[tuple[Pair, Pair]] = []
    for ttft, itl in ((8.0, 4.0), (2.5, 10.0), (2.0, 1.5), (1.25, 2.5), (4.0, 2.0), (0.25, 0.125)):
        light = {
            "rps": float(ctx.rng.integers(2, 9)), "tps": float(ctx.rng.integers(50, 90)),
            "ttft": int(ctx.rng.integers(30, 60)) / 64, "itl": int(ctx.rng.integers(2, 6)) / 256,
        }  # fmt: skip
        heavy = {"rps": 3 * light["rps"], "tps": 5 * light["tps"]}
        made.append((light, {**heavy, "ttft": ttft * light["ttft"], "itl": itl * light["itl"]}))
    # Here ITL grows by more seconds than TTFT, and by a smaller ratio.
    light = {"rps": 2.0, "tps": 64.0, "ttft": 1 / 256, "itl": 4 / 256}
    made.append((light, {"rps": 6.0, "tps": 320.0, "ttft": 4 / 256, "itl": 10 / 256}))
    return made
