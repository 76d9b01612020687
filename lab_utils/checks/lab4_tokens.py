"""Checkpoint 4.4: TTFT, ITL, requests and tokens per second from the engine's metrics, and who feels what."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

from lab_utils.checks.judging import Formula, judge_values, said
from lab_utils.checks.lab3_torch import missing_torch
from lab_utils.checks.lab4_engine_page import Buckets, Pair, histograms, pairs
from lab_utils.checks.lab4_figures import judge_figures, quantile
from lab_utils.monitoring import Window, scrape
from lab_utils.paths import project_root
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_TOLD_S = 0.7
"""The engine tells its numbers to Triton every quarter of a second."""


def worse_for_users(light: Mapping[str, float], heavy: Mapping[str, float]) -> list[str]:
    """Which of the figures that users feel more than doubled, worst first."""
    grown = {name: heavy[name] / light[name] for name in ("ttft", "itl")}
    return sorted((n for n in grown if grown[n] > 2), key=lambda n: grown[n], reverse=True)


def _single(buckets: Buckets) -> Buckets:
    """The counts of each bucket alone."""
    bounds = sorted(buckets)
    return {b: buckets[b] - (buckets[a] if a else 0.0) for a, b in zip([0.0, *bounds], bounds, strict=False)}


def _holder(buckets: Buckets, q: float) -> tuple[float, float]:
    """The bounds of the bucket that holds the quantile."""
    rank, below = q * max(buckets.values()), 0.0
    for bound in sorted(buckets):
        if buckets[bound] >= rank:
            return below, bound
        below = bound
    return below, math.inf


def _in_bucket(rule: Callable[[Buckets, float, float, float], float]) -> Formula:
    """Somebody who finds the bucket, and answers by another rule inside it."""

    def answer(buckets: Buckets, q: float) -> float:
        below, bound = _holder(buckets, q)
        plain = math.isfinite(bound) and max(buckets.values()) > 0
        return rule(buckets, q, below, bound) if plain else quantile(buckets, q)

    return answer


def _in_any_order(buckets: Buckets, q: float) -> float:
    rank, below, count = q * max(buckets.values()), 0.0, 0.0
    for bound, number in buckets.items():
        if number >= rank:
            return below if bound == math.inf else below + (bound - below) * (rank - count) / (number - count)
        below, count = bound, number
    return math.nan


def _mean(buckets: Buckets, q: float) -> float:
    single, below, total = _single(buckets), 0.0, 0.0
    for bound in sorted(single):
        if math.isfinite(bound):
            total += single[bound] * (below + bound) / 2
            below = bound
    return total / max(buckets.values())


def _as_single(buckets: Buckets, q: float) -> float:
    """As if each number were of its bucket alone."""
    together, sums = 0.0, {}
    for bound in sorted(buckets):
        together += buckets[bound]
        sums[bound] = together
    return quantile(sums, q)


_QUANTILE: dict[str, Formula] = {
    "That is the upper bound of its bucket. Go along a straight line inside the bucket.": _in_bucket(
        lambda b, q, below, bound: bound
    ),
    "That is the lower bound of its bucket. Go along a straight line inside the bucket.": _in_bucket(
        lambda b, q, below, bound: below
    ),
    "That is the middle of its bucket. Go along a straight line inside the bucket.": _in_bucket(
        lambda b, q, below, bound: (below + bound) / 2
    ),
    "The line must begin at the bucket's lower bound; yours begins at 0.": _in_bucket(
        lambda b, q, below, bound: bound * q * max(b.values()) / b[bound]
    ),
    "The buckets hold each other: `le` means at most. You added them up once more.": _as_single,
    "Without a last bound there is no line: for the bucket `inf` return where it begins.": lambda b, q: (
        math.inf if max(b.values()) and _holder(b, q)[1] == math.inf else quantile(b, q)
    ),
    "Where nothing came there is no quantile: return `math.nan`, not 0.": lambda b, q: (
        quantile(b, q) if max(b.values()) else 0.0
    ),
    "You counted from the top: q of the values are below the quantile.": lambda b, q: quantile(b, 1 - q),
    "A dictionary has the order in which it was filled: go through `sorted(buckets)`.": lambda b, q: (
        _in_any_order(b, q) if max(b.values()) else math.nan
    ),
    "That is the mean, which hides the slow ones.": lambda b, q: _mean(b, q) if max(b.values()) else math.nan,
}


def _chosen(names: tuple[str, ...], grown: Any, limit: Any) -> Any:
    def rule(light: Pair, heavy: Pair) -> list[str]:
        by = {name: grown(light[name], heavy[name]) for name in names}
        return sorted((n for n in by if limit(by[n])), key=lambda n: by[n], reverse=True)

    return rule


def _ratio(light: float, heavy: float) -> float:
    return heavy / light


_FELT = ("ttft", "itl")
_WORSE = {
    "RPS and TPS are the owner's figures: when they grow, the server does more. No user sees them.": _chosen(
        ("ttft", "itl", "rps", "tps"), _ratio, lambda r: r > 2
    ),
    "Exactly twice is not more than twice.": _chosen(_FELT, _ratio, lambda r: r >= 2),
    "Each figure has its own size: a growth by ratio, not by seconds, says which is worst.": (
        lambda light, heavy: sorted(
            worse_for_users(light, heavy), key=lambda n: heavy[n] - light[n], reverse=True
        )
    ),
    "Worst first.": lambda light, heavy: worse_for_users(light, heavy)[::-1],
    "That is unsorted, TTFT always first: sort, the largest ratio first.": lambda light, heavy: (
        [n for n in _FELT if n in worse_for_users(light, heavy)]
    ),
    "That is in the order of the alphabet. The one that grew most comes first.": lambda light, heavy: sorted(
        worse_for_users(light, heavy)
    ),
    "That is the worst alone. All that more than doubled are asked for.": lambda light, heavy: (
        worse_for_users(light, heavy)[:1]
    ),
    "More is worse here: divide the heavy load's figure by the light one's.": _chosen(
        _FELT, lambda light, heavy: light / heavy, lambda r: r > 2
    ),
    "Any growth is in your list. More than twice is asked for.": _chosen(_FELT, _ratio, lambda r: r > 1),
}


def _judge_records(ctx: LabContext, answers: Mapping[str, Any]) -> None:
    judge_values(
        ctx, answers["quantile"], histograms(ctx), quantile, _QUANTILE,
        show=lambda b, q: f"the {q:g} quantile of {said({f'{k:.4g}': v for k, v in sorted(b.items())})}",
        otherwise="The first bucket (in order) that holds q times the whole count; a straight line in it.",
        hints={"ZeroDivisionError": "When nothing came, the whole count is 0: return `math.nan` before."},
        nothing="Some histogram found no bucket in your loop: `at least` the rank, and go on otherwise.",
    )  # fmt: skip
    judge_figures(ctx, answers["figures"])
    judge_values(
        ctx, answers["worse_for_users"], pairs(ctx), worse_for_users, _WORSE,
        show=lambda light, heavy: f"light {said(light)}, heavy {said(heavy)}",
        otherwise="A list with the names of those among ttft and itl that more than doubled, worst first.",
    )  # fmt: skip


def _live(ctx: LabContext, answers: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """An engine of two slots with one reader, and with eight: six of them wait for a slot."""
    from lab_utils.llama import facts
    from lab_utils.load import run_generation
    from lab_utils.load.promise import load_engine

    repository = ctx.scratch()
    source = project_root() / "model_repository" / "llama"
    shutil.copytree(source, repository / "llama", ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=0"]
    server = ctx.fresh_server(repository, options=options)
    load_engine(server, {"slots": 2, "max_length": 128})
    prompts = [question for question, _ in facts()[:4]]
    found: dict[str, dict[str, float]] = {}
    for name, clients, requests in (("light", 1, 4), ("heavy", 8, 16)):
        before = scrape(server)
        result = run_generation(
            server, "llama", prompts, max_tokens=24, concurrency=clients, requests=requests, warmup=0.0,
            ignore_eos=True, progress=False,
        )  # fmt: skip
        time.sleep(_TOLD_S)
        window = Window([before, scrape(server)])
        found[name] = dict(ctx.call(answers["figures"], window))
        tokens = found[name]["tps"] * window.seconds
        if not math.isclose(tokens, result.tokens, rel_tol=0.01):
            refuse(
                expected=f"the clients got {result.tokens} tokens from the live engine",
                found=f"`figures` says {tokens:.0f} in its window",
                next_step="Check again; if it stays so, please report it.",
            )
    felt = ctx.call(answers["worse_for_users"], found["light"], found["heavy"])
    if not felt or felt[0] != "ttft":
        refuse(
            expected="six of eight readers wait for a slot: their time to the first token is worst",
            found=f"{felt!r:.80}; {said(found)}",
            next_step="Check again: the machine may be busy. If it stays so, please report it.",
        )
    return found


@checkpoint(
    "4.4", title="What a reader feels", points=4, minutes=8, difficulty=3,
    answers=("quantile", "figures", "worse_for_users"), needs_server=False,
)  # fmt: skip
def check_tokens(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Histograms and windows made up; then a live engine with one reader and with eight."""
    _judge_records(ctx, answers)
    missing = missing_torch()
    if missing is not None:
        return missing
    found = _live(ctx, answers)
    one, eight = (
        f"first token {1000 * found[load]['ttft']:.0f} ms, {found[load]['tps']:.0f} tokens/s"
        for load in ("light", "heavy")
    )
    return passed(f"one reader: {one}; eight readers, two slots: {eight}", **found)
