"""Checkpoint 4.6: the step that is to blame, and why, from two windows of metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab_utils.checks.asking import need_return, shorten, with_hint
from lab_utils.checks.judging import judge_values
from lab_utils.checks.lab4_live import kiosk_server, load_model, under_load
from lab_utils.checks.lab4_pages import Served, window
from lab_utils.checks.repositories import fresh_name
from lab_utils.monitoring import Window
from lab_utils.planted import CAUSES
from lab_utils.planted.kiosks import CLIENTS
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_DONE = "nv_inference_request_success"
_FEW = 1.25
"""A mean batch below this is none."""

RESTARTED = {
    r"NameError: name '(report|watch|under_load|Window|seen)'": "After a restart of the kernel its names are "
    "gone: run the first cell of section 5 again."
}
"""Next step for an answer that misses a name of the section's show cell."""

_TRIES = 3
Answer = tuple[str, str]


def ms(w: Window, phase: str, model: str) -> float:
    """Mean milliseconds of a request in a phase."""
    return (
        w.increase(f"nv_inference_{phase}_duration_us", model=model) / w.increase(_DONE, model=model) / 1000
    )


def batch(w: Window, model: str) -> float:
    """Mean rows of an execution."""
    return w.increase("nv_inference_count", model=model) / w.increase("nv_inference_exec_count", model=model)


def diagnose(light: Window, heavy: Window, steps: Sequence[str]) -> Answer:
    """The step that takes most of a request's time, and what is wrong with it."""
    step = max(steps, key=lambda one: ms(heavy, "request", one))
    return step, _cause(light, heavy, step)


def _cause(light: Window, heavy: Window, step: str) -> str:
    if ms(heavy, "compute_infer", step) > 2 * ms(light, "compute_infer", step):
        return "too many instances"
    return "no batching" if batch(heavy, step) < _FEW else "slow step"


def _by(figure: Callable[[Window, Window, str], float]) -> Callable[..., Answer]:
    """The diagnosis of somebody who chooses the step by another figure."""

    def rule(light: Window, heavy: Window, steps: Sequence[str]) -> Answer:
        step = max(steps, key=lambda one: figure(light, heavy, one))
        return step, _cause(light, heavy, step)

    return rule


def _second(light: Window, heavy: Window, steps: Sequence[str]) -> Answer:
    """The diagnosis of somebody who takes the longest for the pipeline as a whole, and leaves it out."""
    step = sorted(steps, key=lambda one: ms(heavy, "request", one))[-2]
    return step, _cause(light, heavy, step)


def _because(rule: Callable[[Window, Window, str], str]) -> Callable[..., Answer]:
    """The diagnosis of somebody who finds the step and judges it by another rule."""

    def answer(light: Window, heavy: Window, steps: Sequence[str]) -> Answer:
        step, _ = diagnose(light, heavy, steps)
        return step, rule(light, heavy, step)

    return answer


def _rest(heavy: Window, step: str) -> str:
    return "no batching" if batch(heavy, step) < _FEW else "slow step"


_MISTAKES: dict[str, Callable[..., Answer]] = {
    "You chose by throughput. All steps of a pipeline answer equally often: only their times differ.": _by(
        lambda light, heavy, one: -heavy.rate(_DONE, model=one)
    ),
    "You chose by computing time. A request also waits: look at its whole duration in the step.": _by(
        lambda light, heavy, one: ms(heavy, "compute_infer", one)
    ),
    "You chose by the queue alone. Where instances are in each other's way nothing waits: look at the whole "
    "duration.": _by(lambda light, heavy, one: ms(heavy, "queue", one)),
    "You chose the step that is slowest with one client. The bottleneck shows under load.": _by(
        lambda light, heavy, one: ms(light, "request", one)
    ),
    "You chose the step that grew most. To blame is the one that takes most.": _by(
        lambda light, heavy, one: ms(heavy, "request", one) / ms(light, "request", one)
    ),
    "You chose the step that takes least of a request's time.": _by(
        lambda light, heavy, one: -ms(heavy, "request", one)
    ),
    "You left out the step with the longest request. The whole pipeline is not among `steps`: take the "
    "longest.": _second,
    "Those are sums since the server started. Look at what the window added.": _by(
        lambda light, heavy, one: (
            heavy.last.value("nv_inference_request_duration_us", model=one)
            / heavy.last.value(_DONE, model=one)
        )
    ),
    "You compared the whole duration: a longer queue makes that grow in all three. Crowding shows in "
    "`compute_infer`.": _because(
        lambda light, heavy, one: (
            "too many instances"
            if ms(heavy, "request", one) > 2 * ms(light, "request", one)
            else _rest(heavy, one)
        )
    ),
    "You compared the queues. Crowding shows in `compute_infer`: each execution takes longer.": _because(
        lambda light, heavy, one: (
            "too many instances"
            if ms(heavy, "queue", one) > 2 * ms(light, "queue", one)
            else _rest(heavy, one)
        )
    ),
    "You looked at the batch first. Crowded instances hardly batch either: compare `compute_infer` first.": (
        _because(
            lambda light, heavy, one: (
                "no batching"
                if batch(heavy, one) < _FEW
                else (
                    "too many instances" if _cause(light, heavy, one) == "too many instances" else "slow step"
                )
            )
        )
    ),
    "You never say `too many instances`. Compare `compute_infer` under both loads.": _because(
        lambda light, heavy, one: _rest(heavy, one)
    ),
    "Exactly twice is not more than twice.": _because(
        lambda light, heavy, one: (
            "too many instances"
            if ms(heavy, "compute_infer", one) >= 2 * ms(light, "compute_infer", one)
            else _rest(heavy, one)
        )
    ),
    "You compared the time of all executions together. Under load there are more: take one request's.": (
        _because(
            lambda light, heavy, one: (
                "too many instances"
                if heavy.increase("nv_inference_compute_infer_duration_us", model=one)
                > 2 * light.increase("nv_inference_compute_infer_duration_us", model=one)
                else _rest(heavy, one)
            )
        )
    ),
    "Executions by rows is upside down: the mean batch is rows by executions.": _because(
        lambda light, heavy, one: (
            "too many instances"
            if _cause(light, heavy, one) == "too many instances"
            else ("no batching" if 1 / batch(heavy, one) < _FEW else "slow step")
        )
    ),
    "`slow step` and `no batching` are swapped: without batching an execution holds one row.": _because(
        lambda light, heavy, one: {"no batching": "slow step", "slow step": "no batching"}.get(
            _cause(light, heavy, one), "too many instances"
        )
    ),
}

_Shape = tuple[float, float, float, float]
"""A step under heavy load: queue, compute alone, growth of compute, mean batch."""

# The first of each is to blame. Powers of two: no rounding where a limit is met exactly.
_SHAPES: tuple[tuple[_Shape, ...], ...] = (
    ((4, 16, 8, 1), (30, 24, 1, 2)),  # crowded; the other one has the longer queue, and is slower when alone
    ((4, 16, 2.5, 2), (2, 8, 1, 1)),  # just crowded, and it batches
    ((128, 16, 1, 1), (2, 8, 1, 4)),  # no batching
    ((128, 16, 1.5, 1), (1, 32, 1, 2), (1, 4, 1, 2), (1, 8, 1, 2)),  # no batching; another computes longer
    ((128, 16, 2, 1), (2, 8, 1, 2)),  # no batching; twice is not more than twice
    ((96, 32, 1, 1.25), (1, 8, 1, 8)),  # a slow step, just
    ((96, 32, 2, 2), (60, 8, 4, 1)),  # a slow step; the other one is crowded and grew more
    ((1, 64, 1, 2), (1, 8, 1, 2)),  # a slow step; only its queue grew
    ((0.5, 64, 1, 2), (0.25, 8, 1, 2)),  # a slow step; nothing grew but the number of requests
)


def _case(ctx: LabContext, shapes: Sequence[_Shape], backwards: bool) -> tuple[Window, Window, list[str]]:
    """Two windows in which the steps behave as described. Their names are drawn."""
    rng, names = ctx.rng, [fresh_name(ctx, "step") for _ in shapes]
    unit = float(rng.choice([1, 2, 4]))
    windows = []
    for heavy in (False, True):
        seconds, requests = (8.0, 512) if heavy else (2.0, 64)
        before: dict[str, Served] = {}
        gained: dict[str, Served] = {}
        for place, (name, (queue, compute, growth, rows)) in enumerate(zip(names, shapes, strict=True)):
            each = {"queue": queue if heavy else 0.25, "compute_infer": compute * (growth if heavy else 1)}
            each |= {"compute_input": 0.25, "compute_output": 0.25}
            each["request"] = sum(each.values())
            total = {phase: requests * unit * value for phase, value in each.items()}
            gained[name] = Served(requests, requests, requests / (rows if heavy else 1), total)
            old = dict.fromkeys(total, 1e6 * unit * (place or 0.01))
            before[name] = Served(4096, 4096, 512, old)  # another history: sums since the start mislead
        # A model of somebody else, asked by many only while the load is heavy.
        before["bystander"], gained["bystander"] = _idle(), _idle(16 * requests if heavy else 1)
        windows.append(window(before, gained, seconds))
    return windows[0], windows[1], names[::-1] if backwards else names


def _idle(requests: int = 0) -> Served:
    """A model that takes no time."""
    return Served(requests, requests, requests, {})


def judge_answer(found: Any) -> None:
    """Refuse an answer that is no pair of a step and a cause."""
    need_return("diagnose", found)
    if not isinstance(found, tuple) or len(found) != 2:
        refuse(
            expected="a pair: the name of the step, and the cause",
            found=f"`diagnose` returned {shorten(repr(found), 80)}",
            next_step='`return step, "…"`: two values behind one return.',
        )
    if found[1] not in CAUSES:
        refuse(
            expected=f"one of the causes {', '.join(map(repr, CAUSES))}",
            found=f"the cause is {found[1]!r:.60}",
            next_step="Copy the words of the exercise: the check compares them letter by letter.",
        )


def _judge_live(ctx: LabContext, function: Any) -> list[str]:
    server, kiosks = kiosk_server(ctx)
    told = []
    for which in ctx.rng.permutation(list(kiosks)):
        kiosk = kiosks[str(which)]
        load_model(server, kiosk.name)
        truth = (kiosk.culprit, kiosk.cause)
        for _ in range(_TRIES):
            light = under_load(server, kiosk.name, 1, 0.6)
            heavy = under_load(server, kiosk.name, CLIENTS, 1.2)
            if diagnose(light, heavy, kiosk.steps) == truth:
                break  # else the machine was too busy to show it
        order = [kiosk.steps[int(i)] for i in ctx.rng.permutation(2)]
        found = ctx.call(function, light, heavy, order)
        judge_answer(found)
        if found != truth:
            refuse(
                expected=f"on a live server: {truth[1]} in {truth[0]}",
                found=f"`diagnose` returned {found}",
                next_step="Check again: the machine may be busy. If it stays so, please report it.",
            )
        told.append(f"{truth[1]} ({batch(heavy, truth[0]):.1f} rows per execution)")
    return told


@checkpoint(
    "4.6", title="Where the time goes", points=4, minutes=8, difficulty=3, answers=("diagnose",),
    needs_server=False,
)  # fmt: skip
def check_bottleneck(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Windows made up, in which each wrong rule goes astray; then the three kiosks on a live server."""
    function = answers["diagnose"]
    # In both orders: whoever takes the first of equals agrees with no other rule in both of them.
    ordered = [_case(ctx, shapes, backwards) for shapes in _SHAPES for backwards in (False, True)]
    cases = [ordered[i] for i in ctx.rng.permutation(len(ordered))]
    for case in cases:
        try:
            judge_answer(ctx.call(function, *case))
        except Refusal as refusal:
            with_hint(refusal, RESTARTED)
    judge_values(
        ctx, function, cases, diagnose, _MISTAKES,
        show=_show,
        otherwise="First the step: the longest request under load. Then its cause, in the order of the list.",
    )  # fmt: skip
    told = _judge_live(ctx, function)
    return passed(f"found on a live server, by metrics alone: {'; '.join(told)}", causes=told)


def _show(light: Window, heavy: Window, steps: Sequence[str]) -> str:
    return " | ".join(
        f"{one}: request_ms light {ms(light, 'request', one):g}, heavy {ms(heavy, 'request', one):g}; "
        f"compute_infer_ms light {ms(light, 'compute_infer', one):g}, heavy "
        f"{ms(heavy, 'compute_infer', one):g}; mean batch heavy {batch(heavy, one):g}"
        for one in steps
    )
