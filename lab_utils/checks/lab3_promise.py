"""Measurements on record for checkpoint 3.14: what each setting of the engine gives is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab_utils.load.generation_result import GenerationResult
from lab_utils.load.promise import Slo
from lab_utils.load.result import Latency, LoadResult
from lab_utils.progress.context import LabContext, refuse

Settings = Mapping[str, int]


def longest(slo: Slo) -> int:
    """Tokens of the longest request."""
    return slo.prompt + slo.answer


def fitting_slots(slo: Slo) -> int:
    """Slots that fit, besides the one in which long prompts are read."""
    return slo.memory // (longest(slo) * slo.token_bytes) - 1


@dataclass
class Bench:
    """What a student's function gets as `measure`: counts calls, and refuses settings that make no sense.

    Attributes:
        slo: The promise.
        gaps: `prefill_tokens` → p99 of the gaps between responses, in seconds.
        rate: Requests per second.
        asked: Values of `prefill_tokens`, in the order of the calls.
    """

    slo: Slo
    gaps: Mapping[int, float]
    rate: float
    asked: list[int] = field(default_factory=list)

    def measure(self, settings: Any) -> GenerationResult:
        """The recorded result of these settings."""
        self.asked.append(judge_settings(settings, self.slo))
        return recorded(self.gaps[self.asked[-1]], self.rate)


def judge_settings(settings: Any, slo: Slo) -> int:
    """Refuse settings that cannot be loaded or that are not those of the promise.

    Returns:
        Their `prefill_tokens`.
    """
    if not isinstance(settings, Mapping) or not {"max_length", "slots", "prefill_tokens"} <= set(settings):
        refuse(
            expected="`measure` gets a dictionary with max_length, slots and prefill_tokens",
            found=f"it got {settings!r:.100}",
            next_step="Measure with the settings so far: all but `max_queue`.",
        )
    judge_size(settings, slo)
    tokens = settings["prefill_tokens"]
    if tokens not in slo.candidates:
        refuse(
            expected=f"`prefill_tokens` is one of {slo.candidates}",
            found=f"it is {tokens!r:.40}",
            next_step="Try the values of `slo.candidates`.",
        )
    return int(tokens)


def judge_size(settings: Settings, slo: Slo) -> None:
    """Refuse another `max_length` or other `slots` than those that follow from the promise."""
    length, slots = settings["max_length"], settings["slots"]
    if length != longest(slo):
        refuse(
            expected=f"max_length: a prompt of {slo.prompt} and an answer of {slo.answer} fit",
            found=f"max_length is {length!r:.40}",
            next_step="A slot holds prompt *and* answer: add them, and nothing more.",
        )
    if slots == fitting_slots(slo):
        return
    taken = longest(slo) * slo.token_bytes
    step = "(slots + 1) * max_length * token_bytes is at most `memory`: round down."
    if slots == fitting_slots(slo) + 1:
        step = "One slot more is taken, for reading long prompts: it needs memory as well."
    elif isinstance(slots, float):
        step = "Slots are whole: divide with `//`."
    elif slots == slo.memory // slo.token_bytes - 1:
        step = "That is how many *tokens* fit. A slot holds max_length of them."
    refuse(
        expected=f"{slo.memory} bytes, {taken} per slot: {fitting_slots(slo)} slots and the one for reading",
        found=f"slots is {slots!r:.40}",
        next_step=step,
    )


def recorded(gap: float, rate: float) -> GenerationResult:
    """A result whose figures all differ, so that it shows which one was used."""
    load = LoadResult(
        "llama", "stream", concurrency=8, seconds=16.0, requests=int(16 * rate), throughput=rate,
        latency=_latency(gap * 40),
    )  # fmt: skip
    return GenerationResult(
        load,
        tokens=int(16 * rate * 24),
        tokens_per_second=rate * 24,
        ttft=_latency(gap * 3),
        itl=_latency(gap / 2),
        between=_latency(gap),
        tpot=_latency(gap / 3),
        tokens_per_request=24.0,
        tokens_per_response=1.5,
    )


def _latency(p99: float) -> Latency:
    return Latency(
        count=900,
        mean=p99 / 8,
        std=p99 / 8,
        min=p99 / 32,
        p50=p99 / 16,
        p90=p99 / 6,
        p95=p99 / 4,
        p99=p99,
        max=p99 * 2,
    )


@dataclass(frozen=True)
class Case:
    """A promise with the measurements that belong to it.

    Attributes:
        label: What is special in it.
        slo: The promise.
        gaps: `prefill_tokens` → p99 of the gaps, in seconds.
        rate: Requests per second.
    """

    label: str
    slo: Slo
    gaps: Mapping[int, float]
    rate: float

    @property
    def chosen(self) -> int | None:
        """The right `prefill_tokens`."""
        fitting = [tokens for tokens in self.slo.candidates if self.gaps[tokens] <= self.slo.gap]
        return max(fitting, default=None) if fitting_slots(self.slo) > 0 else None


def cases(ctx: LabContext) -> list[Case]:
    """Promises with fresh numbers; times are multiples of 1/64 s, so that limits are exact."""
    gaps = {32: 2 / 64, 64: 3 / 64, 128: 7 / 64, 256: 12 / 64}

    def promise(limit: float, spare: float = 0.5, slots: int | None = None, ttft: float = 3.5) -> Slo:
        prompt, answer = int(ctx.rng.integers(100, 400)), int(ctx.rng.integers(20, 90))
        token_bytes = 256 * int(ctx.rng.integers(2, 9))
        if slots is None:
            slots = int(ctx.rng.integers(5, 15))
        memory = int((slots + 1 + spare) * (prompt + answer) * token_bytes)
        order = tuple(int(tokens) for tokens in ctx.rng.permutation(list(gaps)))
        return Slo(prompt, answer, memory, token_bytes, limit, ttft, order)

    rate = float(ctx.rng.integers(9, 30)) + 0.5
    return [
        Case("some candidates keep it", promise(5 / 64), gaps, rate),
        Case("a gap of just the limit, memory full to the last byte", promise(7 / 64, spare=0.0), gaps, rate),
        Case("the largest candidate keeps it", promise(40 / 64, ttft=0.5), gaps, rate),
        # Something else kept the machine busy while the largest one but one was measured.
        Case("one measurement is out of line", promise(6 / 64), {**gaps, 64: 8 / 64, 128: 5 / 64}, rate),
        Case("no candidate keeps it", promise(1 / 64), gaps, rate),
        Case("one slot fits", promise(5 / 64, slots=1), gaps, rate),
        Case("only the slot for reading fits", promise(5 / 64, slots=0), gaps, rate),
        Case("not one slot fits", promise(5 / 64, slots=-1), gaps, rate),
    ]
