"""Load on a server, and pictures of what it does to one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab_utils.load.crew import LoadError
    from lab_utils.load.generation import run_generation
    from lab_utils.load.generation_pictures import draw_generation, draw_timeline
    from lab_utils.load.generation_result import GenerationResult
    from lab_utils.load.generation_text import generation_table
    from lab_utils.load.lengths import heavy_tailed_lengths, uniform_lengths
    from lab_utils.load.locust_result import LocustResult
    from lab_utils.load.locust_run import run_locust
    from lab_utils.load.phases import draw_phases
    from lab_utils.load.pictures import draw_batches, draw_curve
    from lab_utils.load.result import Latency, LoadResult
    from lab_utils.load.run import run_load, run_sweep
    from lab_utils.load.text import table

__all__ = [
    "GenerationResult",
    "Latency",
    "LoadError",
    "LoadResult",
    "LocustResult",
    "draw_batches",
    "draw_curve",
    "draw_generation",
    "draw_phases",
    "draw_timeline",
    "generation_table",
    "heavy_tailed_lengths",
    "run_generation",
    "run_load",
    "run_locust",
    "run_sweep",
    "table",
    "uniform_lengths",
]

_PLACES = {
    "GenerationResult": "generation_result",
    "Latency": "result",
    "LoadError": "crew",
    "LoadResult": "result",
    "LocustResult": "locust_result",
    "draw_batches": "pictures",
    "draw_curve": "pictures",
    "draw_generation": "generation_pictures",
    "draw_phases": "phases",
    "draw_timeline": "generation_pictures",
    "generation_table": "generation_text",
    "heavy_tailed_lengths": "lengths",
    "run_generation": "generation",
    "run_load": "run",
    "run_locust": "locust_run",
    "run_sweep": "run",
    "table": "text",
    "uniform_lengths": "lengths",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a load process imports this package and needs little of it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lab_utils.load.{_PLACES[name]}"), name)
