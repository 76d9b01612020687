"""Checkpoint 3.14: the engine's settings for a promise, on record and then under load."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from lab_utils.checks.asking import attempt, shorten
from lab_utils.checks.lab3_memory import NO_TORCH, has_torch
from lab_utils.checks.lab3_promise import (
    Bench,
    Case,
    cases,
    fitting_slots,
    judge_settings,
    judge_size,
    longest,
)
from lab_utils.load.generation import run_generation
from lab_utils.load.generation_result import GenerationResult
from lab_utils.load.promise import Slo, load_engine, prompts_for, try_engine
from lab_utils.paths import project_root
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_EXACT = "At most: a gap of exactly the limit keeps the promise."
_TRIES = 3
_KEYS = ("max_length", "slots", "prefill_tokens", "max_queue")


def _judge_case(ctx: LabContext, function: Any, case: Case) -> None:
    bench = Bench(case.slo, case.gaps, case.rate)
    found, error = attempt(ctx, function, case.slo, bench.measure)
    if isinstance(error, Refusal):
        raise error
    if error is not None:
        ctx.call(function, case.slo, Bench(case.slo, case.gaps, case.rate).measure)  # names the line
    _judge_measurements(bench, case)
    if case.chosen is None:
        if found is not None:
            _refuse_not_none(found, case)
        return
    if found is None:
        refuse(
            expected=f"{case.label}: prefill_tokens {case.chosen}; {_shown(case)}",
            found="`choose_settings` returned None",
            next_step=_EXACT
            if case.gaps[case.chosen] == case.slo.gap
            else "Judge each candidate by itself; None is for the case that none keeps the promise.",
        )
    _judge_choice(found, case)


def _shown(case: Case) -> str:
    gaps = ", ".join(f"{tokens}: {case.gaps[tokens]:.3f} s" for tokens in case.slo.candidates)
    return f"p99 of the gaps, limit {case.slo.gap:.3f} s: {gaps}"


def _refuse_not_none(found: Any, case: Case) -> NoReturn:
    refuse(
        expected=f"{case.label}: None",
        found=f"`choose_settings` returned {shorten(found, 120)}",
        next_step="Memory for not even one slot besides the one for reading: no engine can be had."
        if fitting_slots(case.slo) < 1
        else "No candidate keeps the promise: return None, do not break it.",
    )


def _judge_measurements(bench: Bench, case: Case) -> None:
    if bench.asked and fitting_slots(case.slo) < 1:
        refuse(
            expected=f"{case.label}: nothing is measured",
            found=f"{len(bench.asked)} measurements",
            next_step="When no slot fits, the engine cannot be loaded: return None before you measure.",
        )
    if not bench.asked and fitting_slots(case.slo) >= 1:
        refuse(
            expected=f"{case.label}: the candidates are measured",
            found="`measure` was not called",
            next_step="One slot is enough to serve."
            if fitting_slots(case.slo) == 1
            else "`result = measure(settings)` for a candidate of prefill_tokens.",
        )
    if len(set(bench.asked)) < len(bench.asked):
        refuse(
            expected="each candidate is measured once",
            found=f"measured: {bench.asked}",
            next_step="A measurement loads a model, and differs each time: keep its result in a variable.",
        )
    needless = [tokens for tokens in bench.asked if case.chosen is not None and tokens < case.chosen]
    if needless and case.chosen in bench.asked and case.gaps[case.chosen] == case.slo.gap:
        refuse(
            expected=f"{case.label}: prefill_tokens {case.chosen}; {_shown(case)}",
            found=f"measured: {bench.asked}, as if {case.chosen} broke the promise",
            next_step=_EXACT,
        )
    if needless:
        refuse(
            expected=f"{case.chosen} is the largest that keeps the promise: nothing smaller is measured",
            found=f"measured: {bench.asked}",
            next_step="Go from the largest candidate down, `sorted(…, reverse=True)`, and stop at the first "
            "that keeps the promise.",
        )


def _judge_choice(found: Any, case: Case) -> None:
    """Settings for a promise that can be kept."""
    slo = case.slo
    if not isinstance(found, Mapping) or set(found) != set(_KEYS):
        refuse(
            expected=f"a dictionary with {', '.join(_KEYS)}",
            found=shorten(found, 120),
            next_step="These four names, as in the engine's config.",
        )
    judge_size(found, slo)
    tokens = found["prefill_tokens"]
    if tokens != case.chosen:
        refuse(
            expected=f"{case.label}: prefill_tokens {case.chosen}; {_shown(case)}",
            found=f"prefill_tokens is {tokens!r:.40}",
            next_step=_about_choice(tokens, case),
        )
    wanted, queue = int(slo.ttft * case.rate), found["max_queue"]
    if queue == wanted and isinstance(queue, int):
        return
    rate = f"{case.rate:g} requests/s"
    if queue == slo.ttft * case.rate:
        step = "Requests are whole: round down with `int`."
    elif queue == wanted + 1:
        step = "Round down: the last one would wait too long."
    elif queue == int(case.rate):
        step = "That is one second's worth. The promise is `ttft` seconds."
    elif queue == int(slo.ttft * case.rate * 24):
        step = "Those are tokens. A request waits for whole requests before it: `requests_per_second`."
    elif queue == wanted - fitting_slots(slo):
        step = "Requests in the slots do not wait: max_queue counts those that wait."
    elif queue == wanted + fitting_slots(slo):
        step = "max_queue counts those that wait, without those in the slots."
    else:
        step = "`int(slo.ttft * result.requests_per_second)`, of the result that you chose by."
    refuse(
        expected=f"max_queue: what {rate} answer in {slo.ttft:g} s: {wanted}",
        found=f"max_queue is {queue!r:.40}",
        next_step=step,
    )


def _about_choice(tokens: Any, case: Case) -> str:
    if tokens not in case.slo.candidates:
        return "Choose one of `slo.candidates`."
    if case.gaps[tokens] > case.slo.gap:
        # What the recorded results say by other figures, see `recorded`.
        chosen = {
            part: max((t for t in case.slo.candidates if case.gaps[t] * part <= case.slo.gap), default=None)
            for part in (0.5, 0.25)
        }
        if tokens == chosen[0.5]:
            return "`itl` counts tokens that came together with a gap of 0. A reader sees `between`."
        if tokens == chosen[0.25]:
            return "Judge by `result.between.p99`: a median, a mean or p95 hides the stops."
        return "Its p99 is above the limit: it breaks the promise."
    if tokens == min(case.slo.candidates):
        return "It keeps the promise, and a larger one does too: prompts are then read sooner."
    return "A larger one keeps the promise, too: do not stop at the first that fails."


class _Live:
    """A server of the check's own whose engine is loaded anew for each setting.

    Args:
        ctx: The check's context.
        slo: The promise.
    """

    def __init__(self, ctx: LabContext, slo: Slo) -> None:
        self.slo = slo
        source = project_root() / "model_repository" / "llama"
        repository = ctx.scratch()
        shutil.copytree(source, repository / "llama", ignore=shutil.ignore_patterns("__pycache__"))
        options = ["--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=0"]
        self.server = ctx.fresh_server(repository, options=options)
        self.results: dict[int, GenerationResult] = {}

    def measure(self, settings: Any) -> GenerationResult:
        """What a student's function gets."""
        tokens = judge_settings(settings, self.slo)
        if tokens not in self.results:
            self.results[tokens] = try_engine(self.server, settings, self.slo)
        return self.results[tokens]

    def crowd(self, requests: int) -> GenerationResult:
        """So many requests at once."""
        return run_generation(
            self.server, "llama", prompts_for(self.slo)[:3], max_tokens=self.slo.answer,
            concurrency=requests, requests=requests, warmup=0.0, ignore_eos=True, progress=False,
        )  # fmt: skip


def _judge_live(ctx: LabContext, function: Any) -> tuple[dict[str, int], GenerationResult, str]:
    """The settings are found on this machine, loaded, and put under more load than they allow."""
    slo = Slo(prompt=int(ctx.rng.integers(200, 260)), answer=16, ttft=0.4, candidates=(64, 256))
    slo = replace(slo, memory=int(ctx.rng.uniform(5.1, 5.9) * longest(slo) * slo.token_bytes))
    live, slots, largest = _Live(ctx, slo), fitting_slots(slo), max(slo.candidates)
    # Measured before the function is called: loading takes as long as the machine needs, and no time limit
    # for the function may depend on that.
    result = live.measure({"max_length": longest(slo), "slots": slots, "prefill_tokens": largest})
    # A second, or what a machine gives that is busy with something else.
    slo = replace(slo, gap=max(1.0, 2 * result.between.p99))
    found = ctx.call(function, slo, live.measure)
    gaps = dict.fromkeys(slo.candidates, 0.0)
    _judge_choice(found, Case("on this machine", slo, gaps, result.requests_per_second))
    load_engine(live.server, found)
    return dict(found), *_overload(live, slots, found["max_queue"])


def _overload(live: _Live, slots: int, queue: int) -> tuple[GenerationResult, str]:
    """More requests at once than run and wait: others are refused, and nobody waits longer than promised.

    Returns:
        What was measured, and what was promised, in words.
    """
    promised, more = live.slo.ttft, 12
    for _ in range(_TRIES):
        crowd = slots + queue + more
        result = live.crowd(crowd)
        full = any("queue is full" in text for text in result.messages.values())
        if full and result.ttft.p95 <= promised:
            return result, f"promised {promised * 1000:.0f} ms"
        if not full:
            more *= 4  # a slow client: the first requests were answered before the last were sent
    if not full or result.requests < slots:
        refuse(
            expected=f"of {crowd} requests at once, {slots} run, {queue} wait, and others are refused",
            found=f"{result.requests} answered, {result.failed} failed: {shorten(result.messages)}",
            next_step="Check again; if it stays so, this is a fault of the course: please report it.",
        )
    # A machine that is busier now than a moment ago is no fault of the settings: its own pace counts.
    pace = result.requests / result.latency.max
    limit = 1.5 * max(promised, (queue + slots) / pace)
    if result.ttft.p95 > limit:
        refuse(
            expected=f"p95 of the time to the first token is at most {limit:.2f} s",
            found=f"{result.ttft.p95:.2f} s",
            next_step="Too many requests wait: see `max_queue`.",
        )
    slower = f"the machine is slower now, {pace:.0f} requests/s, than while you measured"
    return result, f"promised {promised * 1000:.0f} ms, but {slower}"


@checkpoint(
    "3.14", title="Choose for a promise", points=5, minutes=9, difficulty=3, answers=("choose_settings",),
    needs_server=False,
)  # fmt: skip
def check_slo(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Promises with measurements on record; then a live engine with the chosen settings under overload."""
    if not has_torch():
        return NO_TORCH
    function = answers["choose_settings"]
    for case in cases(ctx):
        _judge_case(ctx, function, case)
    found, result, promise = _judge_live(ctx, function)
    return passed(
        f"{found}: under overload {result.requests} were answered, first token after "
        f"{result.ttft.p95 * 1000:.0f} ms (p95; {promise}), and {result.failed} refused at once",
        settings=found,
        refused=result.failed,
    )
