"""Checkpoint 4.5: Little's law: requests inside, requests that wait, and the time outside the server."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lab_utils.checks.judging import judge_values
from lab_utils.checks.lab2_live import load, place_timed
from lab_utils.checks.lab4_live import under_load
from lab_utils.checks.lab4_pages import PHASES, Served, window
from lab_utils.checks.repositories import fresh_name
from lab_utils.monitoring import Window
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_DONE = "nv_inference_request_success"
_CLIENTS = 6
_TRIES = 3


def _rate(w: Window, phase: str, model: str = "") -> float:
    labels = {"model": model} if model else {}
    return w.rate(f"nv_inference_{phase}_duration_us", **labels)


def inside(w: Window, model: str) -> float:
    """Mean number of requests inside Triton: requests per second, times seconds per request."""
    return _rate(w, "request", model) / 1e6


def waiting(w: Window, model: str) -> float:
    """Mean number of requests in the queue, by the same law."""
    return _rate(w, "queue", model) / 1e6


def _server_ms(w: Window, model: str) -> float:
    return _rate(w, "request", model) / w.rate(_DONE, model=model) / 1000


def _client_ms(w: Window, model: str, clients: int) -> float:
    return 1000 * clients / w.rate(_DONE, model=model)


def outside_ms(w: Window, model: str, clients: int) -> float:
    """Milliseconds of a request that it is not in Triton, when so many clients ask without a pause."""
    return _client_ms(w, model, clients) - _server_ms(w, model)


_INSIDE = {
    "The counter is in microseconds: a million of them are a second.": lambda w, m: 1e6 * inside(w, m),
    "Microseconds, not milliseconds: a million of them are a second.": lambda w, m: 1e3 * inside(w, m),
    "That is 1000 times too few: microseconds by a million.": lambda w, m: 1e-3 * inside(w, m),
    "Those are the requests that wait. Inside are also those that are computed.": waiting,
    "Those are the requests of all models: `model=model`.": lambda w, m: _rate(w, "request") / 1e6,
    "That is the time of a request, W. Little's law is rate times time.": lambda w, m: (
        _server_ms(w, m) / 1000
    ),
    "That is the time of a request in milliseconds, W. Little's law is rate times time.": _server_ms,
    "That is the rate alone.": lambda w, m: w.rate(_DONE, model=m),
    "That is the rate by the time. Little's law is rate *times* time.": lambda w, m: (
        w.rate(_DONE, model=m) / (_server_ms(w, m) / 1000)
    ),
    "Those are seconds of requests in the whole window. Take them per second.": lambda w, m: (
        inside(w, m) * w.seconds
    ),
    "That is since the server started, by this window's seconds: take the increase, or the rate.": (
        lambda w, m: w.last.value("nv_inference_request_duration_us", model=m) / 1e6 / w.seconds
    ),
    "Those are the requests that are computed: without those that wait.": lambda w, m: (
        _rate(w, "compute_infer", m) / 1e6
    ),
}

_WAITING = {
    "Those are all that are inside. `nv_inference_queue_duration_us` is the time in the queue.": inside,
    "Those are the readings' looks at the gauge. Use the durations: they hold every request.": lambda w, m: (
        w.gauge("nv_inference_pending_request_count", model=m)
    ),
    "The queue's counter is in microseconds, too.": lambda w, m: 1e6 * waiting(w, m),
    "The queue's time is not in milliseconds: a million microseconds are a second.": lambda w, m: (
        1e3 * waiting(w, m)
    ),
    "That is the share of its time that a request waits, not how many wait.": lambda w, m: (
        waiting(w, m) / inside(w, m)
    ),
    "The queues of all models are in it: `model=model`.": lambda w, m: _rate(w, "queue") / 1e6,
    "That is how long one request waits. Times the rate, it is how many wait.": lambda w, m: (
        waiting(w, m) / w.rate(_DONE, model=m)
    ),
    "Inside less those that are computed leaves out input and output: take the queue's own counter.": (
        lambda w, m: (_rate(w, "request", m) - _rate(w, "compute_infer", m)) / 1e6
    ),
}

_OUTSIDE = {
    "That is the client's latency, by Little's law. Part of it the request is in Triton.": _client_ms,
    "That is the time in Triton. Asked for is the rest of the client's latency.": lambda w, m, c: _server_ms(
        w, m
    ),
    "That is in seconds: times 1000.": lambda w, m, c: outside_ms(w, m, c) / 1000,
    "The other way round: the client's latency is the longer one.": lambda w, m, c: -outside_ms(w, m, c),
    "Not everything in Triton is the queue: subtract the duration of the request.": lambda w, m, c: (
        _client_ms(w, m, c) - _rate(w, "queue", m) / w.rate(_DONE, model=m) / 1000
    ),
    "The counter is in microseconds: by 1000 it is milliseconds.": lambda w, m, c: (
        _client_ms(w, m, c) - 1000 * _server_ms(w, m)
    ),
    "One client's time is one by *its* rate. All clients together reach this rate: clients by rate.": (
        lambda w, m, c: 1000 / w.rate(_DONE, model=m) - _server_ms(w, m)
    ),
    "Executions are not requests: a batch holds several.": lambda w, m, c: (
        1000 * c / w.rate("nv_inference_exec_count", model=m) - _server_ms(w, m)
    ),
    "Rows are not requests: a client waits for its whole request.": lambda w, m, c: (
        1000 * c / w.rate("nv_inference_count", model=m) - _server_ms(w, m)
    ),
}


def _window(ctx: LabContext) -> tuple[Window, str, int]:
    """A window with two models, the one that is asked about, and its clients."""
    rng, names = ctx.rng, ("timed", "other")
    before: dict[str, Served] = {}
    gained: dict[str, Served] = {}
    for name in names:
        requests = int(rng.integers(200, 400))
        ms = dict(zip(PHASES, (0.0, *map(float, rng.integers(2, 40, 4))), strict=True))
        each = {**ms, "request": sum(ms.values()) + 1}
        total = {phase: requests * value for phase, value in each.items()}
        rows, runs = requests * int(rng.integers(2, 4)), requests // 2
        gained[name] = Served(requests, rows, runs, total, pending=float(rng.integers(3, 9)))
        before[name] = Served(requests * 3, rows * 3, runs * 3, total)
    seconds = int(rng.integers(10, 40)) / 4
    needed = inside(made := window(before, gained, seconds), names[0])
    return made, names[0], math.ceil(needed) + int(rng.integers(2, 9))


_HINTS = {"MetricsError": "Copy the metric's name from the table above."}


def _refuse_a_gauge(ctx: LabContext, function: Any, case: tuple[Window, str]) -> None:
    """Refuse the rate of a gauge in words of this exercise: the reader's own advice leads away from it."""
    try:
        ctx.call(function, *case)
    except Refusal as refusal:
        if "is a gauge" in refusal.verdict.found:
            name = getattr(function, "__name__", "the function")
            phase = "queue" if name == "waiting" else "request"
            refuse(
                expected="the rate of a counter",
                found=f"`{name}` takes the rate of a gauge, which goes up and down",
                next_step=f"Take the counter of durations, `nv_inference_{phase}_duration_us`.",
            )


def _judge_records(ctx: LabContext, answers: Mapping[str, Any]) -> None:
    cases = [_window(ctx) for _ in range(3)]
    short = [(w, model) for w, model, _ in cases]
    for name, truth, mistakes in (("inside", inside, _INSIDE), ("waiting", waiting, _WAITING)):
        _refuse_a_gauge(ctx, answers[name], short[0])
        judge_values(
            ctx, answers[name], short, truth, mistakes,
            show=lambda w, model: f"{model} in a window of {w.seconds:g} s",
            otherwise="The rate of a counter of durations: microseconds per second, by a million.",
            hints=_HINTS,
        )  # fmt: skip
    judge_values(
        ctx, answers["outside_ms"], cases, outside_ms, _OUTSIDE,
        show=lambda w, model, clients: f"{model}, {clients} clients, a window of {w.seconds:g} s",
        otherwise="The client's latency is clients by rate; less the mean duration of a request in Triton.",
        hints=_HINTS,
    )  # fmt: skip


def _judge_live(ctx: LabContext, answers: Mapping[str, Any]) -> dict[str, float]:
    """A model with one instance and a known number of clients: the law's numbers are known beforehand."""
    server, model = ctx.need_server(), fresh_name(ctx, "counted")
    execution_ms = int(ctx.rng.integers(30, 45))
    place_timed(ctx.repository, model, execution_ms=execution_ms, batch=1)
    load(ctx, model)
    found: dict[str, float] = {}
    for _ in range(_TRIES):
        seen = under_load(server, model, _CLIENTS, 1.2)
        found = {name: float(ctx.call(answers[name], seen, model)) for name in ("inside", "waiting")}
        found["outside_ms"] = float(ctx.call(answers["outside_ms"], seen, model, _CLIENTS))
        found["gauge"] = seen.gauge("nv_inference_pending_request_count", model=model)
        near = abs(found["inside"] - _CLIENTS) < 1.2 and abs(found["waiting"] - found["gauge"]) < 1.2
        if near and found["outside_ms"] < _CLIENTS * execution_ms / 2:
            return found
    refuse(
        expected=f"{_CLIENTS} clients, one instance: nearly {_CLIENTS} inside, and as many waiting as the "
        "gauge says",
        found=", ".join(f"{name} {value:.2f}" for name, value in found.items()),
        next_step="Check again: the machine may be busy. If it stays so, please report it.",
    )


@checkpoint(
    "4.5", title="Little's law", points=3, minutes=6, difficulty=2,
    answers=("inside", "waiting", "outside_ms"),
)  # fmt: skip
def check_little(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Windows made up; then a live model with six clients, where the law must give six."""
    _judge_records(ctx, answers)
    found = _judge_live(ctx, answers)
    return passed(
        f"{_CLIENTS} clients on a live model: {found['inside']:.2f} inside, {found['waiting']:.2f} of them "
        f"waiting (the gauge: {found['gauge']:.2f}), {found['outside_ms']:.1f} ms outside",
        **found,
    )
