"""Checkpoint 4.3: PromQL by the student, evaluated on series made up and then on a live server."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from lab_utils.checks.asking import need_return, shorten
from lab_utils.checks.lab2_live import load, place_timed
from lab_utils.checks.lab4_mistakes import MISTAKES, RIGHT, fill
from lab_utils.checks.lab4_promtool import Result, evaluate, missing_prometheus
from lab_utils.checks.repositories import fresh_name
from lab_utils.load import LoadResult, run_load
from lab_utils.monitoring import Monitoring
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_WINDOWS = ("20s", "80s")
_AT = 100
_FAST = 70
"""From this second on everything goes faster, so that the two windows differ."""

_RESTART = 95
_RANGE_S = 5
_CLIENTS, _BATCH = 6, 3


def _line(slow: int, fast: int, restarts: bool) -> str:
    """Samples of a counter, one per second, in promtool's notation; a restart begins with the next step."""
    start = 1000
    turn = start + slow * _FAST
    if not restarts:
        return f"{start}+{slow}x{_FAST} {turn + fast}+{fast}x40"
    return f"{start}+{slow}x{_FAST} {turn + fast}+{fast}x{_RESTART - _FAST - 2} {fast}+{fast}x20"


def series(ctx: LabContext, model: str) -> dict[str, str]:
    """Two servers with this model and another one; one server is started again shortly before the end."""
    rng, made = ctx.rng, {}
    for place, server in enumerate(("a:8002", "b:8002")):
        for name in (model, f"{model}_other"):
            requests = 2 * int(rng.integers(3, 9)) + 30 * place
            executions = requests // 2 + int(rng.integers(2, 9)) * (1 + 3 * place)
            rows = executions * int(rng.integers(3, 5)) + 97 * place
            request_us = 1000 * int(rng.integers(400, 700))
            counters = {
                "success": requests,
                "count": rows,
                "exec": executions,
                "queue": request_us // int(rng.integers(3, 5) + 4 * place),
                "request": request_us,
                "compute": request_us // int(rng.integers(9, 12)),
                # The phases leave a rest out: their sum is not the whole.
                "compute_input": request_us // (13 + 4 * place),
                "compute_output": request_us // (25 - 2 * place),
            }
            labels = f'instance="{server}",job="triton",model="{name}",version="1"'
            for key, step in counters.items():
                made[f"{NAMES[key]}{{{labels}}}"] = _line(step, 3 * step + place * step, server[0] == "a")
            for reason, step in {"OTHER": 0, "BACKEND": 2, "CANCELED": 0, "REJECTED": 3 + place}.items():
                values = _line(step, 3 * step + 1, server[0] == "a") if step else "0x120"
                made[f'{NAMES["failure"]}{{{labels},reason="{reason}"}}'] = values
            waiting = " ".join(str(int(v)) for v in rng.integers(300, 60_000, 120))
            made[f"{NAMES['pending']}{{{labels}}}"] = waiting
            for key, quantile in (("queue_summary", 0.31), ("request_summary", 0.57)):
                value = int(rng.integers(10, 20) * quantile * 1000)
                made[f'{NAMES[key]}{{{labels},quantile="0.5"}}'] = f"{value}x120"
    return made


NAMES = {
    "success": "nv_inference_request_success",
    "failure": "nv_inference_request_failure",
    "count": "nv_inference_count",
    "exec": "nv_inference_exec_count",
    "queue": "nv_inference_queue_duration_us",
    "request": "nv_inference_request_duration_us",
    "compute": "nv_inference_compute_infer_duration_us",
    "compute_input": "nv_inference_compute_input_duration_us",
    "compute_output": "nv_inference_compute_output_duration_us",
    "pending": "nv_inference_pending_request_count",
    "queue_summary": "nv_inference_queue_summary_us",
    "request_summary": "nv_inference_request_summary_us",
}


def _ask(ctx: LabContext, function: Any, model: str, window: str) -> dict[str, str]:
    """The student's expressions, which must be texts under the agreed keys."""
    found = ctx.call(function, model, window)
    need_return("queries", found)
    if not isinstance(found, Mapping) or set(found) != set(RIGHT):
        what = sorted(map(str, found)) if isinstance(found, Mapping) else found
        refuse(
            expected=f"a dictionary with the keys {', '.join(RIGHT)}",
            found=f"`queries` returned {shorten(what, 120)}",
            next_step="These five keys, each with one expression.",
        )
    for key, text in found.items():
        if not isinstance(text, str):
            refuse(
                expected=f'"{key}" is a text in PromQL',
                found=f"it is {type(text).__name__}",
                next_step="Return the expressions, not their values: Prometheus does the arithmetic.",
            )
        if key != "waiting" and window not in text:
            refuse(
                expected=f'"{key}" looks back over the given window, here {window}',
                found=shorten(text, 160),
                next_step="The window is an argument: write `[{window}]` in an f-string.",
            )
    return dict(found)


def _judge_record(made: Mapping[str, str], found: Mapping[str, str], model: str, window: str) -> None:
    """Compare each expression's value with the right one."""
    right = [fill(RIGHT[key], model, window) for key in found]
    results = evaluate(made, [*found.values(), *right], _AT)
    for (key, text), own, wanted in zip(found.items(), results, results[len(found) :], strict=False):
        value = own.value
        if value is None:
            _refuse_form(key, text, own)
        assert wanted.value is not None
        if not math.isclose(value, wanted.value, rel_tol=1e-6):
            when = " now" if key == "waiting" else f" over {window}"
            refuse(
                expected=f'"{key}"{when}: {wanted.value:.5g}',
                found=f"{value:.5g}, by `{text}`",
                next_step=_mistake(made, key, value, model, window),
            )


def _mistake(made: Mapping[str, str], key: str, value: float, model: str, window: str) -> str:
    """The advice of the formula that gives this value."""
    formulas = [fill(formula, model, window) for formula in MISTAKES[key].values()]
    for advice, one in zip(MISTAKES[key], evaluate(made, formulas, _AT), strict=True):
        if one.value is not None and math.isclose(value, one.value, rel_tol=1e-6):
            return advice
    return "Ask Prometheus for the parts of the expression, from the inside out, and compare."


def _refuse_form(key: str, text: str, result: Result) -> NoReturn:
    """An expression that Prometheus refuses, or that gives no series, or several."""
    expected = f'"{key}" gives one number'
    if "ranges only allowed for vector selectors" in result.error:
        step = (
            "`[…]` belongs to a metric, not to a sum. The order matters too: a sum hides the reset of one "
            "series. First `rate(metric[…])`, then `sum(…)`."
        )
    elif "expected type range vector" in result.error:
        step = f"`rate` needs a stretch of time, in {key}: `[window]` behind the labels of the metric."
    elif result.error:
        step = "These are Prometheus' words: line and column of the text, then what it expects there."
    elif not result.series:
        step = _empty_advice(text)
    else:
        step = f"One series for each server (and reason) in {key}: put them together with `sum(…)`."
    found = result.error or f"{len(result.series)} series"
    refuse(expected=expected, found=f"{found}, by `{text}`", next_step=step)


def _empty_advice(text: str) -> str:
    known = set(NAMES.values())
    names = re.findall(r"\bnv_\w+", text)
    unknown = [name for name in names if name not in known]
    if unknown:
        return f"There is no metric `{unknown[0]}`. Copy the name from the page."
    if "/" in text:
        return (
            "PromQL divides series whose labels are all equal. Failures carry a `reason`, so nothing fits: "
            "sum both sides before you divide."
        )
    return 'No series carries these labels. Compare them with the page: `model="…"`, in double quotes.'


def _live(ctx: LabContext, function: Any) -> tuple[dict[str, float], LoadResult]:
    """The expressions' values on the lab's server while a load of known size runs, and the load's own."""
    server = ctx.need_server()
    model = fresh_name(ctx, "queried")
    place_timed(ctx.repository, model, execution_ms=40, batch=_BATCH, more="dynamic_batching { }\n")
    load(ctx, model)
    found = _ask(ctx, function, model, f"{_RANGE_S}s")
    watching = Monitoring(
        {"triton": server.endpoints.metrics}, rules="", folder=ctx.scratch(), every=0.5, alerts=False
    )
    with watching as monitoring:
        monitoring.wait_for(2)
        result = run_load(
            server,
            model,
            concurrency=_CLIENTS,
            seconds=_RANGE_S + 1.5,
            warmup=0.5,
            processes=1,
            progress=False,
        )
        monitoring.wait_for(1)
        frames = {key: monitoring.frame(text, seconds=60, step=0.5) for key, text in found.items()}
    # When the load began and ended is not known to the moment: the busiest look back lies inside it.
    busiest = frames["requests"].iloc[:, 0].idxmax()
    return {key: float(frame.iloc[:, 0][busiest]) for key, frame in frames.items()}, result


def _judge_live(values: Mapping[str, float], result: LoadResult) -> None:
    """Agreement with what the load generator counted, but for what differs in the seconds at the edges."""
    phases = result.server
    wanted = {
        "requests": result.requests_per_second,
        "batch": result.mean_batch,
        "queue": phases.get("queue", 0.0) / sum(phases.values()) if phases else math.nan,
    }
    for key, value in wanted.items():
        if not math.isclose(values[key], value, rel_tol=0.3):
            refuse(
                expected=f'"{key}" on the live server: about {value:.3g}, as the load generator counted',
                found=f"{values[key]:.3g}",
                next_step="Check again: the machine may be busy. If it stays so, please report it.",
            )
    if values["failures"] != 0 or not 0 <= values["waiting"] <= _CLIENTS:
        refuse(
            expected=f"no failures, and at most {_CLIENTS} requests that wait",
            found=f"failures {values['failures']:.3g}, waiting {values['waiting']:.3g}",
            next_step="Check again; if it stays so, please report it.",
        )


@checkpoint(
    "4.3", title="Write PromQL", points=5, minutes=9, difficulty=2, answers=("queries",),
)  # fmt: skip
def check_promql(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """First on series where every mistake gives another number, then against a load of known size."""
    function = answers["queries"]
    model = str(ctx.rng.choice(["timed", "digits", "vote"]))
    asked: Sequence[tuple[str, dict[str, str]]] = [(w, _ask(ctx, function, model, w)) for w in _WINDOWS]
    missing = missing_prometheus()
    if missing is not None:
        return missing
    made = series(ctx, model)
    for window, found in asked:
        _judge_record(made, found, model, window)
    values, result = _live(ctx, function)
    _judge_live(values, result)
    shown = ", ".join(f"{key} {value:.3g}" for key, value in values.items())
    return passed(
        f"right on series with a restart, and on the live server under {_CLIENTS} clients: {shown}", **values
    )
