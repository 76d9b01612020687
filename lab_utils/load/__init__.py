"""Load on a server, and pictures of what it does to one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab_utils.load.crew import LoadError
    from lab_utils.load.phases import draw_phases
    from lab_utils.load.pictures import draw_batches, draw_curve
    from lab_utils.load.result import Latency, LoadResult
    from lab_utils.load.run import run_load, run_sweep
    from lab_utils.load.text import table

__all__ = [
    "Latency",
    "LoadError",
    "LoadResult",
    "draw_batches",
    "draw_curve",
    "draw_phases",
    "run_load",
    "run_sweep",
    "table",
]

_PLACES = {
    "Latency": "result",
    "LoadError": "crew",
    "LoadResult": "result",
    "draw_batches": "pictures",
    "draw_curve": "pictures",
    "draw_phases": "phases",
    "run_load": "run",
    "run_sweep": "run",
    "table": "text",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a load process imports this package and needs little of it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lab_utils.load.{_PLACES[name]}"), name)
