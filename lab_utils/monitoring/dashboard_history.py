"""What the live dashboard remembers: the last readings, and the values of the last minutes. Bounded."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab_utils.monitoring.quantities import QUANTITIES
from lab_utils.monitoring.samples import Scrape
from lab_utils.monitoring.window import Window

SHOWN_SECONDS = 120.0
"""Width of the plots."""
SPAN_SECONDS = 5.0
"""A value is taken over so much time: shorter is nervous, longer hides what happens."""
MOST_MODELS = 5
"""Models with lines of their own; a plot with more cannot be read."""
PER_MODEL = (
    "requests_per_second",
    "request_ms",
    "request_p99_ms",
    "queue_ms",
    "compute_input_ms",
    "compute_infer_ms",
    "compute_output_ms",
    "mean_batch",
    "failure_ratio",
    "pending",
)
PER_LLAMA = ("tokens_per_second", "active_slots", "queue_length", "ttft_p95", "itl_p95")
PER_SERVER = ("cpu_utilization", "gpu_utilization", "gpu_memory_share")
_REQUESTS = "nv_inference_request_success"
_TOKENS = "llama_generated_tokens_total"


@dataclass(frozen=True)
class Moment:
    """The values at one moment.

    Attributes:
        at: Seconds since 1970.
        values: By (name of the quantity, model); the model is empty for what concerns the whole server.
    """

    at: float
    values: dict[tuple[str, str], float] = field(default_factory=dict)


class History:
    """The readings of the last seconds, and what was computed from them in the last minutes.

    Args:
        every: Seconds between two readings.
        models: The models to follow. None: those that were asked lately, at most `MOST_MODELS`.
    """

    def __init__(self, every: float, models: Sequence[str] | None = None) -> None:
        self._wanted = None if models is None else list(models)
        self._scrapes: deque[Scrape] = deque(maxlen=max(2, math.ceil(SPAN_SECONDS / every) + 1))
        self._moments: deque[Moment] = deque(maxlen=max(2, math.ceil(SHOWN_SECONDS / every) + 1))

    @property
    def last(self) -> Scrape | None:
        """The newest reading."""
        return self._scrapes[-1] if self._scrapes else None

    @property
    def latest(self) -> Moment | None:
        """The newest values."""
        return self._moments[-1] if self._moments else None

    def add(self, page: Scrape) -> bool:
        """Take a reading, and compute the values of this moment.

        Returns:
            True when a counter began at 0 again since the reading before: something was started anew.
        """
        before = self.last
        if before is not None and page.at <= before.at:  # a clock that was set back
            self._scrapes.clear()
            self._moments.clear()
            before = None
        restarted = before is not None and bool(Window([before, page]).resets)
        self._scrapes.append(page)
        # After a silence the readings from before it would stretch the window far beyond its span.
        while len(self._scrapes) > 2 and self._scrapes[0].at < page.at - 2 * SPAN_SECONDS:
            self._scrapes.popleft()
        if len(self._scrapes) > 1:
            self._moments.append(self._measure(Window(list(self._scrapes))))
        return restarted

    def hole(self, at: float) -> None:
        """Note that there was no reading: the lines break here."""
        if self.latest is None or self.latest.at < at:
            self._moments.append(Moment(at))

    def models(self) -> list[str]:
        """The models with lines, by name: the wanted ones, else the busiest of the last minutes."""
        if self._wanted is not None:
            return self._wanted
        total: dict[str, float] = {}
        for moment in self._moments:
            for (name, model), value in moment.values.items():
                if name == "requests_per_second" and value > 0:
                    total[model] = total.get(model, 0.0) + value
        return sorted(sorted(total, key=lambda model: -total[model])[:MOST_MODELS])

    def llamas(self) -> list[str]:
        """The models that run a Llama engine, among all that the server has."""
        last = self.last
        return last.labels_of(_TOKENS, "model") if last is not None and last.has(_TOKENS) else []

    def points(self, name: str, model: str, now: float) -> list[tuple[float, float]]:
        """A line: pairs (seconds from `now`, value), with nan where there was nothing."""
        return [(moment.at - now, moment.values.get((name, model), math.nan)) for moment in self._moments]

    def value(self, name: str, model: str = "") -> float:
        """The newest value; nan when there is none."""
        return self.latest.values.get((name, model), math.nan) if self.latest else math.nan

    def _measure(self, window: Window) -> Moment:
        values: dict[tuple[str, str], float] = {}
        for model in self._candidates(window):
            for name in PER_MODEL:
                values[name, model] = QUANTITIES[name].compute(window, model)
            compute = [values[f"compute_{phase}_ms", model] for phase in ("input", "infer", "output")]
            values["compute_ms", model] = sum(compute)
        for model in self.llamas():
            for name in PER_LLAMA:
                values[name, model] = QUANTITIES[name].compute(window, model)
        for name in PER_SERVER:
            values[name, ""] = QUANTITIES[name].compute(window, "")
        values["memory_share", ""] = _memory_share(window.last)
        return Moment(window.last.at, values)

    def _candidates(self, window: Window) -> list[str]:
        """Models to measure now: the wanted ones, or those asked in this window or shown before."""
        if not window.last.has(_REQUESTS):
            return []
        there = window.last.labels_of(_REQUESTS, "model")
        if self._wanted is not None:
            return [model for model in self._wanted if model in there]
        shown = set(self.models())
        return [m for m in there if m in shown or window.increase(_REQUESTS, model=m) > 0]


def _memory_share(page: Scrape) -> float:
    used, total = "nv_cpu_memory_used_bytes", "nv_cpu_memory_total_bytes"
    if not (page.has(used) and page.has(total)) or not page.value(total):
        return math.nan  # a server that has just started reports 0 of 0
    return page.value(used) / page.value(total)
