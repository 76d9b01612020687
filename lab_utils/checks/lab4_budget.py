"""Checkpoint 4.12: an error budget, and the speed at which it burns, in two windows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab_utils.checks.asking import need_return, shorten, with_hint
from lab_utils.checks.lab4_promtool import Result, evaluate, missing_prometheus
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

METRIC = "triton_lab_client_requests_total"
_DIVISION = {"ZeroDivisionError": "Nobody has asked yet: then the whole budget is left, 1.0."}
_LONG, _SHORT = 120, 20
_NOW = 300


def _judge_budget(ctx: LabContext, function: Any) -> None:
    """Fresh numbers, a spent budget, an overspent one, and a day on which nobody asked."""
    slo = float(ctx.rng.choice([0.5, 0.75, 0.875]))
    requests = 64 * int(ctx.rng.integers(20, 90))
    allowed = (1 - slo) * requests
    cases = [(slo, requests, failed) for failed in (allowed / 4, 0, allowed, 1.5 * allowed)]
    cases += [(0.999, 1_000_000, 250), (slo, 0, 0)]
    for objective, total, failed in cases:
        try:
            found = ctx.call(function, objective, total, int(failed))
        except Refusal as refusal:
            with_hint(refusal, _DIVISION)
        need_return("budget_left", found)
        left = 1 - failed / ((1 - objective) * total) if total else 1.0
        if isinstance(found, int | float) and math.isclose(found, left, rel_tol=1e-6, abs_tol=1e-9):
            continue
        refuse(
            expected=f"{objective:.1%} of {total} requests promised, {int(failed)} failed: {left:.3f} of the "
            "budget is left",
            found=f"`budget_left` says {shorten(repr(found), 40)}",
            next_step=_budget_advice(objective, total, failed, found, left),
        )


def _budget_advice(slo: float, total: int, failed: float, found: Any, left: float) -> str:
    if not isinstance(found, int | float):
        return "Return one number."
    if not total:
        return "Nobody has asked: nothing is spent, 1.0 is left."
    allowed = (1 - slo) * total
    advice = {
        1 - left: "That is what is spent. 1 minus it is left.",
        allowed - failed: "Those are requests. Divide by the budget: a share can be compared.",
        100 * left: "A share, not percent.",
        1 - failed / (slo * total): "The budget is what may fail: `(1 - slo) * requests`.",
        1 - failed / total: "That is the share of good requests. Compare with the budget, not with all.",
        0.0: "An overspent budget is negative: that it is, and by how much, must be seen.",
        max(0.0, left): "An overspent budget is negative: that it is, and by how much, must be seen.",
    }
    near = next((text for value, text in advice.items() if math.isclose(found, value, abs_tol=1e-9)), None)
    return near or "The budget is `(1 - slo) * requests`; what is left is 1 minus failed divided by it."


_ASKED = {"a": 15, "b": 5}
"""Requests per second of each client: 20 together."""


@dataclass(frozen=True)
class _Story:
    """What one model's users lived through.

    Attributes:
        model: The model.
        before: Failed requests of ten, until the short window begins.
        lately: The same, within the short window.
    """

    model: str
    before: float
    lately: float

    def series(self) -> dict[str, str]:
        """Two clients' counters, with a sample each second.

        One asks three times as often as the other, and sees all the failures.
        """
        turn = _NOW - _SHORT
        made = {}
        for client, asked in _ASKED.items():
            bad = (2 * self.before, 2 * self.lately) if client == "a" else (0, 0)
            for outcome, steps in (("error", bad), ("ok", (asked - bad[0], asked - bad[1]))):
                first, then = steps
                labels = f'instance="{client}:1",job="client",model="{self.model}",outcome="{outcome}"'
                made[f"{METRIC}{{{labels}}}"] = f"0+{first:g}x{turn} {first * turn + then:g}+{then:g}x30"
        return made

    def ratio(self, window: int) -> float:
        """Share of failed requests in a window that ends now."""
        lately = min(window, _SHORT)
        return (lately * self.lately + (window - lately) * self.before) / (10 * window)


_STORIES = (
    _Story("steady", 2, 2),
    _Story("over", 4, 0),
    _Story("sudden", 0, 1),
    _Story("fine", 0.1, 0.1),
)


def _query(ctx: LabContext, function: Any, *args: Any) -> str:
    found = ctx.call(function, *args)
    name = getattr(function, "__name__", "the function")
    need_return(name, found)
    if not isinstance(found, str):
        refuse(
            expected=f"`{name}` returns PromQL, a text",
            found=f"it returned {type(found).__name__}",
            next_step="An f-string, with each brace of PromQL written twice.",
        )
    return found


def _run(name: str, query: str) -> Result:
    series = {key: values for story in _STORIES for key, values in story.series().items()}
    (result,) = evaluate(series, [query], _NOW)
    if result.error:
        refuse(
            expected=f"Prometheus understands what `{name}` returns",
            found=shorten(result.error, 300),
            next_step="Print the text, and read it as Prometheus would; in an f-string braces are doubled.",
        )
    return result


def _by_model(name: str, result: Result) -> dict[str, float]:
    found = {}
    for labels, value in result.series.items():
        known = [story.model for story in _STORIES if labels == f'{{model="{story.model}"}}']
        if not known:
            refuse(
                expected='one series for each model, with the label model alone: {model="fine"}',
                found=shorten(f"`{name}` gives {', '.join(result.series)}", 200),
                next_step="`sum by (model)` above and below the line: each client is a series of its own.",
            )
        found[known[0]] = value
    return found


def _judge_burn(ctx: LabContext, function: Any, slo: float, window: int) -> None:
    query = _query(ctx, function, slo, f"{window}s")
    found = _by_model("burn_query", _run("burn_query", query))
    for story in _STORIES:
        burn = story.ratio(window) / (1 - slo)
        value = found.get(story.model, math.nan)
        if math.isclose(value, burn, rel_tol=0.02, abs_tol=1e-6):
            continue
        refuse(
            expected=f"window {window} s: {story.ratio(window):.2%} failed, {1 - slo:.1%} may: "
            f"burn rate {burn:.3g}",
            found=f"`burn_query` gives {'no series' if math.isnan(value) else format(value, '.3g')} for "
            f"`{story.model}`",
            next_step=_burn_advice(story, slo, window, value, query),
        )


def _burn_advice(story: _Story, slo: float, window: int, value: float, query: str) -> str:
    ratio = story.ratio(window)
    advice = {
        ratio: "That is the share of failures. Divide it by what may fail, `1 - slo`.",
        ratio / slo: "Divide by `1 - slo`, the share that may fail, not by the promise.",
        ratio / (1 - ratio) / (1 - slo): "Failures by *all* requests, not by the good ones.",
        (1 - ratio) / (1 - slo): 'Those are the good ones: `outcome="error"`.',
        ratio * (1 - slo): "Divide by `1 - slo`; do not multiply.",
        ratio * sum(_ASKED.values()) / (2 * _ASKED["a"]) / (1 - slo): "A mean of ratios: a client with few "
        "requests weighs as much as one with many. Add up first, then divide.",
    }
    for other in (_SHORT, _LONG):
        if other != window:
            advice[story.ratio(other) / (1 - slo)] = "Use the argument `window` as it is, in both ranges."
    near = next((text for key, text in advice.items() if math.isclose(value, key, rel_tol=0.02)), None)
    return near or "Failed requests per second by all requests per second, divided by `1 - slo`."


def _judge_page(ctx: LabContext, function: Any) -> str:
    """Who is called: not for what is over, not for what has only just begun."""
    slo, tries = 0.99, ((6.0, "steady"), (1.2, "steady, sudden"), (25.0, "nobody"))
    query = ""
    for factor, wanted in tries:
        query = _query(ctx, function, slo, factor, f"{_LONG}s", f"{_SHORT}s")
        found = ", ".join(sorted(_by_model("page_query", _run("page_query", query)), key=_place)) or "nobody"
        if found != wanted:
            refuse(
                expected=f"burn rate in {_LONG} and {_SHORT} s: {_burns(slo)}. Factor {factor:g}: {wanted}",
                found=f"`page_query` calls for {found}",
                next_step=_page_advice(set(found.split(", ")), set(wanted.split(", "))),
            )
    return query


def _place(model: str) -> int:
    return [story.model for story in _STORIES].index(model)


def _burns(slo: float) -> str:
    return "; ".join(
        f"{s.model} {s.ratio(_LONG) / (1 - slo):.3g} and {s.ratio(_SHORT) / (1 - slo):.3g}" for s in _STORIES
    )


def _page_advice(found: Sequence[str] | set[str], wanted: set[str]) -> str:
    if "over" in found and "sudden" in found:
        return "Both windows must burn: join the two comparisons with `and`, not with `or`."
    if "over" in found:
        return "`over` is mended already: the short window must burn, too."
    if "sudden" in found and "sudden" not in wanted:
        return "`sudden` has not lasted: the long window must burn, too."
    if found == {"nobody"}:
        return "Compare with `factor`: the burn rate of each window `> factor`."
    return "Each comparison is `burn rate > factor`, and both must hold: `and`."


@checkpoint(
    "4.12", title="Error budget and burn rate", points=4, minutes=8, difficulty=2,
    answers=("budget_left", "burn_query", "page_query"), needs_server=False,
)  # fmt: skip
def check_budget(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """The budget by numbers, the queries by their values on series that the check makes up."""
    _judge_budget(ctx, answers["budget_left"])
    if skip := missing_prometheus():
        return skip
    for window in (_LONG, _SHORT):
        _judge_burn(ctx, answers["burn_query"], float(ctx.rng.choice([0.8, 0.9, 0.95])), window)
    query = _judge_page(ctx, answers["page_query"])
    return passed("the budget is right, and the call comes for what burns now and has lasted", query=query)
