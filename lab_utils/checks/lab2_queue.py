"""Checkpoint 2.8: queue limits, time-outs and priorities."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from lab_utils.checks.asking import attempt, call_at, inference_requests, need_return, request_header, shorten
from lab_utils.checks.lab2_live import Crowd, place_timed, served_config, try_load
from lab_utils.checks.repositories import fresh_name
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_EXECUTION_MS = 200
_INSTANCES = 2  # one instance with a queue policy stalls about 500 ms in this release
_TOO_MANY = 6
_TRIES = 4  # a busy machine may be too late for a situation that lasts 0.2 s
_ADVICE = {
    'ModelDynamicBatching" has no field': "The limits stand one level deeper, in `default_queue_policy`.",
    'ModelQueuePolicy" has no field': "Levels stand in `dynamic_batching` itself, limits in its policy.",
    "Expected integer, got": "Write the number itself: an f-string with `{queue_size}`, or `%d`.",
    "default priority level": "Say `default_priority_level` too.",
}
"""Triton's words → what to do."""
_FULL, _LATE = "Exceeds maximum queue size", "Request timeout expired"


def _serve(ctx: LabContext, function: Any, settings: Mapping[str, tuple[int, int]]) -> None:
    """Load one model for each (queue size, time-out), with the block that the function writes."""
    for model, (size, timeout) in settings.items():
        block = ctx.call(function, size, timeout)
        need_return("queue_block", block)
        if not isinstance(block, str):
            refuse(
                expected="the text of a block of config.pbtxt",
                found=f"a {type(block).__name__}",
                next_step="Return the text, in one string.",
            )
        place_timed(
            ctx.repository,
            model,
            execution_ms=_EXECUTION_MS,
            count=_INSTANCES,
            batch=1,
            more=f"{block}\n",
        )
    with ThreadPoolExecutor(len(settings)) as pool:
        refusals = list(pool.map(lambda model: try_load(ctx, model), settings))
    if reason := next(filter(None, refusals), ""):
        refuse(
            expected="Triton loads the model with this block in its config",
            found=reason,
            next_step=next(
                (step for words, step in _ADVICE.items() if words in reason),
                "The check adds your text to a config: one `dynamic_batching { … }`, nothing else.",
            ),
        )


def _judge_config(config: Mapping[str, Any], size: int, timeout: int) -> None:
    """Levels and policies, as the server reports them."""
    batching = config.get("dynamic_batching") or {}
    levels = (int(batching.get("priority_levels", 0)), int(batching.get("default_priority_level", 0)))
    if levels != (2, 2):
        refuse(
            expected="priority_levels is 2, and default_priority_level is 2",
            found=f"they are {levels[0]} and {levels[1]}",
            next_step="1 is the most urgent level. A request that says nothing belongs to the other one.",
        )
    default = batching.get("default_queue_policy") or {}
    for level in ("1", "2"):
        policy = (batching.get("priority_queue_policy") or {}).get(level) or default
        _judge_policy(level, policy, size, timeout)


def _judge_policy(level: str, policy: Mapping[str, Any], size: int, timeout: int) -> None:
    advice = {
        "max_queue_size": "0 means no limit. It stands inside `default_queue_policy { … }`.",
        "default_timeout_microseconds": "`timeout_us` is in microseconds, as the field is; 0 means none.",
        "timeout_action": "DELAY computes a late request after all others; REJECT answers with an error.",
        "allow_timeout_override": "Without it a time-out that a request brings along is ignored.",
    }
    wanted = (size, timeout, "REJECT", True)
    for (field, step), right in zip(advice.items(), wanted, strict=True):
        found = policy.get(field, 0 if isinstance(right, int) else "")
        if found != right:
            refuse(
                expected=f"{field} of priority level {level} is {right}",
                found=f"the server reports {found}",
                next_step=step,
            )


def _judge_limits(ctx: LabContext, crowd: Crowd, limited: str, hasty: str, size: int) -> tuple[int, int]:
    """Two bursts at once: one model refuses what its queue cannot hold, the other what waits too long."""
    burst = crowd.send_rows(limited, _INSTANCES + size + _TOO_MANY)
    impatient = crowd.send_rows(hasty, 3 * _INSTANCES)
    full = sum(_FULL in one.result().error for one in burst)
    late = sum(_LATE in one.result().error for one in impatient)
    if not full:
        refuse(
            expected=f"of {len(burst)} requests at once {_TOO_MANY} are refused: the queue is full",
            found="none is refused",
            next_step="`max_queue_size` belongs to the policy that these requests get.",
        )
    if not late:
        refuse(
            expected="requests that wait longer than the time-out are refused",
            found="none is refused",
            next_step="`default_timeout_microseconds` and `timeout_action: REJECT` belong together.",
        )
    return full, late


def _ask(ctx: LabContext, function: Any, model: str, priority: int, timeout: int) -> Any:
    """Let the student's function ask, and judge what it sent. Returns what it made of the answer."""
    row = ctx.rng.random(4, np.float32)
    hints = {
        "StatusCode|grpc": "`url` is the HTTP address: use `httpclient`.",
        _LATE: "Catch `InferenceServerException` and look for the words of the table in its text.",
        _FULL: "Catch `InferenceServerException`, and look for its words in `str(error)`.",
    }
    with ctx.recorder(ctx.need_server().endpoints.http) as recorder:
        found = call_at(ctx, function, recorder, model, row, priority, timeout, hints=hints)
    sent = inference_requests(recorder, model)
    if len(sent) != 1:
        refuse(
            expected=f"one request to `{model}`",
            found=f"{len(sent)} requests",
            next_step="Ask the given model, once.",
        )
    parameters = request_header(sent[0]).get("parameters", {})
    for name, right in (("priority", priority), ("timeout", timeout)):
        if parameters.get(name) != right:
            refuse(
                expected=f"the request carries {name} {right}",
                found=f"it carries {parameters.get(name, 'none')}",
                next_step=f"`client.infer(…, {name}=…)`"
                + (": in microseconds. `network_timeout` is the client's own." if name == "timeout" else "."),
            )
    return found


def _judge_word(found: Any, expected: str) -> None:
    if found != expected:
        refuse(
            expected=f'`ask` returns "{expected}"',
            found=f"it returned {found!r:.60}",
            next_step='"ok" for an answer, "full" and "late" for the two refusals.',
        )


def _judge_order(ctx: LabContext, crowd: Crowd, ask: Any, model: str) -> None:
    """All instances are busy; urgent requests come last and leave first; one gives up waiting."""
    for _ in range(_TRIES):
        crowd.send_rows(model, _INSTANCES)
        time.sleep(0.05)
        normal = crowd.send_rows(model, 2)
        urgent = crowd.send_rows(model, 2, priority=1)
        found = _ask(ctx, ask, model, 1, int(ctx.rng.integers(40_000, 60_000)))
        last = [max(one.result().end for one in group) for group in (urgent, normal)]
        errors = [one.result().error for one in (*urgent, *normal) if one.result().error]
        if found != "ok" and (errors or last[0] <= last[1]):
            break
    _judge_word(found, "late")
    if errors:
        refuse(
            expected="four waiting requests are answered",
            found=shorten(errors[0]),
            next_step="Give the queue the size and the time-out of the arguments.",
        )
    if last[0] > last[1]:
        refuse(
            expected="urgent requests overtake those that wait already",
            found="the urgent ones were answered last",
            next_step="Two levels; 1 is the most urgent, and 2 the default.",
        )


def _judge_full(ctx: LabContext, crowd: Crowd, ask: Any, model: str, size: int) -> None:
    """A full queue, as the student's function sees it."""
    for _ in range(_TRIES):
        waiting = crowd.send_rows(model, _INSTANCES + size + 2)
        time.sleep(0.03)
        found = _ask(ctx, ask, model, 2, 9_000_000)
        for one in waiting:
            one.result()
        if found != "ok":
            break
    _judge_word(found, "full")


def _judge_other_errors(ctx: LabContext, ask: Any) -> None:
    address = ctx.need_server().endpoints.http
    absent = fresh_name(ctx, "absent")
    found, error = attempt(ctx, ask, address, absent, np.zeros(4, np.float32), 1, 1_000_000)
    if error is None:
        refuse(
            expected="any other error reaches the caller",
            found=f"asked for a model that is not there, `ask` returned {found!r:.60}",
            next_step="Look at the error's text; `raise` when it is neither of the two.",
        )


@checkpoint(
    "2.8", title="Queues that say no", points=4, minutes=7, difficulty=3, answers=("queue_block", "ask")
)
def check_queue(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Too many are refused, the impatient give up, the urgent overtake; the client knows which is which."""
    ask = answers["ask"]
    size = int(ctx.rng.integers(3, 6))
    hurry = int(ctx.rng.integers(100_000, 140_000))
    limited, hasty = fresh_name(ctx, "limited"), fresh_name(ctx, "hasty")
    settings = {limited: (size, 10_000_000), hasty: (50, hurry)}
    _judge_other_errors(ctx, ask)
    _serve(ctx, answers["queue_block"], settings)
    for model, (queue_size, timeout) in settings.items():
        _judge_config(served_config(ctx, model), queue_size, timeout)
    with Crowd(ctx.need_server().endpoints.grpc) as crowd:
        _judge_word(_ask(ctx, ask, limited, 1, 9_000_000), "ok")
        full, late = _judge_limits(ctx, crowd, limited, hasty, size)
        _judge_order(ctx, crowd, ask, limited)
        _judge_full(ctx, crowd, ask, limited, size)
    return passed(
        f"{full} requests found the queue full, {late} waited too long, and urgent ones overtook",
        full=full,
        late=late,
    )
