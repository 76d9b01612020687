"""Where the time of a request goes: Triton's own phases, and transport as the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from lab_utils import web

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lab_utils.load.result import LoadResult

SERVER_PHASES = ("queue", "compute_input", "compute_infer", "compute_output")
"""The phases that Triton's statistics extension reports, in the order of a request's life."""

# Colours differ in lightness too, and each phase has a hatch: readable without colour.
_LOOK = {
    "transport": ("#d9d9d9", "//"),
    "queue": ("#fdd0a2", ".."),
    "compute_input": ("#9ecae1", "\\\\"),
    "compute_infer": ("#3182bd", ""),
    "compute_output": ("#a1d99b", "xx"),
}


@dataclass(frozen=True)
class Phases:
    """One way of asking, timed.

    Attributes:
        name: For example `"HTTP"`.
        total: Seconds per request, seen by the client.
        server: Seconds per request in each of `SERVER_PHASES`, by Triton's clock.
    """

    name: str
    total: float
    server: dict[str, float]

    @property
    def transport(self) -> float:
        """Seconds per request outside the server's phases: packing, sending, receiving."""
        return max(0.0, self.total - sum(self.server.values()))


def measure(
    name: str, ask: Callable[[], object], http: str, model: str = "mnist_mlp", repeat: int = 5
) -> Phases:
    """Time a request and divide its time into phases. Nothing else may use the model meanwhile.

    Args:
        name: What to call it.
        ask: Sends one request and waits for the answer. Called once more than `repeat`, to warm up.
        http: `host:port` of the server's HTTP endpoint, for the statistics.
        model: The model that `ask` uses.
        repeat: Requests to average over.
    """
    ask()
    before = _durations(http, model)
    start = perf_counter()
    for _ in range(repeat):
        ask()
    total = (perf_counter() - start) / repeat
    after = _durations(http, model)
    return Phases(name, total, {phase: (after[phase] - before[phase]) / repeat for phase in SERVER_PHASES})


def _durations(http: str, model: str) -> dict[str, float]:
    """Seconds that a model has spent in each phase since it was loaded."""
    answer = web.get(f"http://{http}/v2/models/{model}/stats", 10)
    answer.raise_for_status()
    entries = answer.json()["model_stats"]
    return {
        phase: sum(int(entry["inference_stats"][phase]["ns"]) for entry in entries) * 1e-9
        for phase in SERVER_PHASES
    }


def _as_phases(
    measured: Sequence[Phases | LoadResult] | Mapping[str, LoadResult] | LoadResult,
) -> list[Phases]:
    """A load's mean latency and its server phases, with transport (and waiting in the client) as the rest."""
    from lab_utils.load.result import LoadResult

    if isinstance(measured, LoadResult):
        measured = [measured]
    if isinstance(measured, Mapping):
        return [Phases(name, load.latency.mean, _four(load)) for name, load in measured.items()]
    return [
        way
        if isinstance(way, Phases)
        else Phases(f"{way.protocol}, {way.label}", way.latency.mean, _four(way))
        for way in measured
    ]


def _four(load: LoadResult) -> dict[str, float]:
    return {phase: load.server.get(phase, 0.0) for phase in SERVER_PHASES}


def draw_phases(
    measured: Sequence[Phases | LoadResult] | Mapping[str, LoadResult] | LoadResult,
) -> Figure:
    """Draw one bar per way of asking. Each is labelled with its time as a multiple of the shortest.

    Args:
        measured: Timed ways of asking, or loads: one, several, or several by name.

    Returns:
        The figure; a notebook shows it when it is the cell's last value.
    """
    from lab_utils.models.picture import Picture

    ways = _as_phases(measured)
    figure = Picture(figsize=(8, 0.9 + 0.55 * len(ways)), layout="constrained")
    axes = figure.subplots()
    best = min(way.total for way in ways)
    for row, way in enumerate(ways):
        left = 0.0
        for phase, seconds in {"transport": way.transport, **way.server}.items():
            colour, hatch = _LOOK[phase]
            label = phase if row == 0 else None
            axes.barh(
                row, seconds * 1e3, left=left * 1e3, color=colour, hatch=hatch, edgecolor="white", label=label
            )
            left += seconds
        axes.text(left * 1e3, row, f"  {way.total / best:.1f} x", va="center")
    axes.set_yticks(range(len(ways)), [way.name for way in ways])
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("milliseconds per request")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(_LOOK), frameon=False)
    return figure
