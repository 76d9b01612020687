"""Checkpoint 4.10: what the server's failure counter counts, and a count at the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tritonclient.http as httpclient
from prometheus_client import CollectorRegistry, Counter

from lab_utils.checks.asking import attempt, shorten
from lab_utils.checks.lab4_eight import COUNTED, FAILURES, MODEL, Desk, serve_desk
from lab_utils.checks.lab4_moody import FINE, RAISE, REFUSE, WORDS
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server
from lab_utils.server.ports import free_ports

_WORDS = ("success", "BACKEND", "REJECTED", "CANCELED", "nothing")
_KNOWN = dict(
    zip(
        FAILURES,
        ("BACKEND", "success", "nothing", "nothing", "nothing", "nothing", "REJECTED", "CANCELED"),
        strict=True,
    )
)
"""What 24.10 does. Only the order of looking follows from it: the verdict follows from the live server."""
_WHY = {
    "exception": "The backend failed: that is what the reason BACKEND means.",
    "error response": "The model answered in good order; what the answer says, Triton does not look at.",
    "wrong shape": "Triton refuses it before it is a request to the model: shapes are compared first.",
    "wrong input name": "An input that the config does not have: refused before the model is asked.",
    "unknown model": "There is no model that could have a counter.",
    "full queue": "Refused at the door: only what was let into the queue is counted.",
    "queue time-out": "It was in the queue, and the scheduler threw it out: that is its own reason.",
    "client cancels": "The client gave up, and the server was told: a reason of its own.",
}


def _judge_form(found: Any) -> dict[str, str]:
    if not isinstance(found, Mapping) or set(found) != set(FAILURES):
        missing = [name for name in FAILURES if not isinstance(found, Mapping) or name not in found]
        refuse(
            expected=f"a dictionary with the eight keys {', '.join(FAILURES)}",
            found=shorten(f"{type(found).__name__}; missing: {', '.join(missing) or 'none'}", 160),
            next_step="Return one dictionary; the keys are those of the exercise, letter by letter.",
        )
    strange = [word for word in found.values() if word not in _WORDS]
    if strange:
        refuse(
            expected=f"each value is one of {', '.join(_WORDS)}",
            found=shorten(repr(strange[0]), 60),
            next_step="OTHER is a reason, too, but none of these eight failures has it."
            if strange[0] == "OTHER"
            else 'The words of the label `reason`, or "success", or "nothing".',
        )
    return dict(found)


def _judge_prediction(desk: Desk, predicted: Mapping[str, str]) -> dict[str, str]:
    """Let each failure happen, first those that are doubtful, and look at the counters."""
    counted = {}
    for failure in sorted(FAILURES, key=lambda name: predicted[name] == _KNOWN[name]):
        counted[failure] = desk.count(failure)
        if counted[failure] != predicted[failure]:
            counted[failure] = desk.count(failure)  # a busy machine may have been too slow the first time
        if counted[failure] != predicted[failure]:
            refuse(
                expected=f"{failure}: the server counts {counted[failure]}",
                found=f"predicted: {predicted[failure]}",
                next_step=_WHY[failure],
            )
    return counted


def _input(wish: int, *, name: str = "data", width: int = 4) -> httpclient.InferInput:
    row = np.zeros((1, width), np.float32)
    row[0, 0] = wish
    return httpclient.InferInput(name, row.shape, "FP32").set_data_from_numpy(row)


class _Count:
    """A counter of requests at the client, and what it says."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.counter = Counter("requests", "By outcome", ["model", "outcome"], registry=self._registry)

    def read(self) -> dict[tuple[str, str], int]:
        """Counts by model and outcome, without zeros."""
        return {
            (sample.labels["model"], sample.labels["outcome"]): int(sample.value)
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == "requests_total" and sample.value
        }


def _judge_good(ctx: LabContext, function: Any, server: Server, count: _Count) -> int:
    """Some requests that are answered."""
    wanted = int(ctx.rng.integers(3, 7))
    for _ in range(wanted):
        answer = ctx.call(function, server.endpoints.http, MODEL, [_input(FINE)], count.counter)
        if not hasattr(answer, "as_numpy"):
            refuse(
                expected="`ask_counted` returns what `client.infer` returns",
                found=shorten(repr(answer), 60),
                next_step="Keep the answer in a variable, count, then return it.",
            )
    seen = count.read()
    if seen != {(MODEL, "ok"): wanted}:
        refuse(
            expected=f'{wanted} requests were answered: {{model="{MODEL}", outcome="ok"}} is {wanted}',
            found=_shown(seen),
            next_step='`counter.labels(model, "ok").inc()`, once, after `client.infer` has returned.',
        )
    return wanted


def _shown(seen: Mapping[tuple[str, str], int]) -> str:
    return "; ".join(f'{{model="{m}", outcome="{o}"}} is {n}' for (m, o), n in seen.items()) or "nothing"


def _judge_bad(ctx: LabContext, function: Any, server: Server, count: _Count, good: int) -> int:
    """Failures of each kind that one client can have, also at an address where nobody listens."""
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    cases = {
        "exception": (server.endpoints.http, MODEL, _input(RAISE)),
        "error response": (server.endpoints.http, MODEL, _input(REFUSE)),
        "wrong shape": (server.endpoints.http, MODEL, _input(FINE, width=5)),
        "unknown model": (server.endpoints.http, f"{MODEL}_2", _input(FINE)),
        "nobody listens": (dead, MODEL, _input(FINE)),
    }
    expected = {(MODEL, "ok"): good}
    for name, (address, model, tensor) in cases.items():
        answer, error = attempt(ctx, function, address, model, [tensor], count.counter)
        expected[(model, "error")] = expected.get((model, "error"), 0) + 1
        if error is None:
            refuse(
                expected=f"{name}: the error reaches the caller",
                found=f"`ask_counted` returned {shorten(repr(answer), 60)}",
                next_step="Count it, then `raise`: who asked must know that there is no answer.",
            )
        if name == "error response" and WORDS not in str(error):
            refuse(
                expected=f"the client's own error: {WORDS}",
                found=f"{type(error).__name__}: {shorten(error, 100)}",
                next_step="A bare `raise` hands on the error as it is.",
            )
        seen = count.read()
        if seen != expected:
            refuse(
                expected=f"after a failure ({name}): {_shown(expected)}",
                found=_shown(seen),
                next_step=_bad_advice(name, seen.get((MODEL, "ok"), 0) > good),
            )
    return len(cases)


def _bad_advice(name: str, more_ok: bool) -> str:
    if more_ok:
        return "A failed request is not ok: what stands in `finally` is done in any case."
    if name == "nobody listens":
        return "Not every failure is an InferenceServerException: `except Exception`."
    return 'Each failed request counts once, with the outcome "error".'


@checkpoint(
    "4.10", title="What the failure counter does not count", points=4, minutes=7, difficulty=2,
    answers=("predict", "ask_counted"), needs_server=False,
)  # fmt: skip
def check_failures(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Eight failures on a live server, by its own counters; then some of them, counted by the student."""
    predicted = _judge_form(ctx.call(answers["predict"]))
    server = serve_desk(ctx)
    count = _Count()
    good = _judge_good(ctx, answers["ask_counted"], server, count)
    bad = _judge_bad(ctx, answers["ask_counted"], server, count, good)
    with Desk(server) as desk:
        counted = _judge_prediction(desk, predicted)
    seen = sum(word not in ("success", "nothing") for word in counted.values())
    return passed(
        f"of the eight failures the server's failure counter has {seen}, as you said. Of the requests "
        f"sent with `ask_counted` {good} were answered and {bad} failed: your counter has them all",
        counted=counted,
        reasons=list(COUNTED),
    )
