"""Checkpoint 4.11: an alert rule, its unit test, and the alert itself on its way to the one who is called."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lab_utils.checks.lab2_live import place_timed
from lab_utils.checks.lab4_promtool import missing_prometheus
from lab_utils.checks.lab4_rule import Limits, judge_rule, judge_test
from lab_utils.checks.lab4_rule_words import ALERT
from lab_utils.load import run_load
from lab_utils.monitoring import Monitoring, MonitoringError
from lab_utils.monitoring.tools import has_alertmanager, how_to_get
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed, skipped
from lab_utils.server.base import Server

_FIRE_S, _RESOLVE_S = 40.0, 60.0
_CROWD, _EXECUTION_MS = 8, 60


@contextmanager
def _crowd(server: Server, model: str) -> Iterator[None]:
    """Many ask a model all the time, for as long as the `with` block lasts."""
    end = threading.Event()

    def ask() -> None:
        while not end.is_set():
            run_load(server, model, concurrency=_CROWD, seconds=1.0, warmup=0.0, processes=1, progress=False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def _judge_live(ctx: LabContext, rule: str, limits: Limits) -> float:
    """A real queue, a real Prometheus, a real Alertmanager. Returns the seconds from the call to its end."""
    repository = ctx.scratch()
    place_timed(repository, "desk", execution_ms=_EXECUTION_MS)
    server = ctx.fresh_server(repository, options=["--disable-auto-complete-config"], wait_for=["desk"])
    monitoring = Monitoring({"triton": server.endpoints.metrics}, rules=rule, folder=ctx.scratch())
    ctx.later(monitoring.stop)
    monitoring.start()
    try:
        with _crowd(server, "desk"):
            fired = monitoring.receiver.wait(ALERT, "firing", _FIRE_S)
        resolved = monitoring.receiver.wait(ALERT, "resolved", _RESOLVE_S)
    except MonitoringError as error:
        refuse(
            expected=f"{_CROWD} clients wait about {(_CROWD - 1) * _EXECUTION_MS} ms each at a limit of "
            f"{limits.limit_ms} ms: the alert is fired, and resolved when they have gone",
            found=f"{error.what} {error.why}",
            next_step=error.fix or "Check again; the machine may be very busy.",
        )
    if "desk" not in fired.annotations.get("summary", ""):
        refuse(
            expected="the summary names the model: desk",
            found=f"{fired}",
            next_step="`{{ $labels.model }}` in the annotation `summary`.",
        )
    return resolved.at - fired.at


@checkpoint(
    "4.11", title="An alert rule, tested and seen", points=5, minutes=9, difficulty=3,
    answers=("queue_alert", "queue_test"), needs_server=False,
)  # fmt: skip
def check_alert(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """The rule by promtool, the test by changed rules, then an alert from a live queue to the receiver."""
    if skip := missing_prometheus():
        return skip
    if not has_alertmanager():
        return skipped("Alertmanager is not on this machine, so no alert can be seen", how_to_get())
    limits = Limits(int(ctx.rng.integers(110, 190)), int(ctx.rng.integers(6, 12)))
    rule = ctx.call(answers["queue_alert"], limits.limit_ms, limits.seconds)
    judge_rule(rule, limits)
    test = ctx.call(answers["queue_test"], limits.limit_ms, limits.seconds)
    caught = judge_test(ctx, rule, test, limits)
    live = Limits(int(ctx.rng.integers(110, 190)), 3)
    lasted = _judge_live(ctx, ctx.call(answers["queue_alert"], live.limit_ms, live.seconds), live)
    return passed(
        f"your test caught all {caught} changed rules; the alert came, and was over {lasted:.0f} s later",
        limit_ms=live.limit_ms,
        changed_rules=caught,
    )
