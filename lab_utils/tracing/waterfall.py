"""A trace as a picture: one bar per span, where the time of one request went."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lab_utils.tracing.spans import COMPUTE, PHASES, ROOT, Span, Trace, TraceError, join

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours differ in lightness too, and each phase has a hatch: readable without colour.
_PHASE = {
    "queue": ("#fdd0a2", ".."),
    "compute_input": ("#9ecae1", "\\\\"),
    "compute_infer": ("#3182bd", ""),
    "compute_output": ("#a1d99b", "xx"),
}
_SPAN = ("#d9d9d9", "//")
_EDGE = ("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END")


def draw_waterfall(spans: Iterable[Span] | Trace) -> Figure:
    """Draw the spans of one trace from top to bottom, each under its parent.

    Grey is a span; in a model's span the time in its queue is marked, and in `compute` the three
    phases of an execution. The number behind a bar is its length in milliseconds.

    Args:
        spans: A trace, or its spans in any order.

    Raises:
        TraceError: No span, or spans of several traces.
    """
    from lab_utils.models.picture import Picture

    trace = _one(spans)
    figure = Picture(figsize=(8, 1.2 + 0.34 * len(trace)), layout="constrained")
    axes = figure.subplots()
    for row, span in enumerate(trace):
        left = (span.start_ns - trace.start_ns) * 1e-6
        _bar(axes, row, left, span.seconds * 1e3, _SPAN, "span")
        for phase, begin, end in _parts(trace, span):
            _bar(axes, row, (begin - trace.start_ns) * 1e-6, (end - begin) * 1e-6, _PHASE[phase], phase)
        axes.text(left + span.seconds * 1e3, row, f" {span.seconds * 1e3:.2f}", va="center", fontsize=9)
    names = ["   " * trace.depth(span) + span.name for span in trace]
    width = max(len(name) for name in names)
    axes.set_yticks(range(len(trace)), [name.ljust(width) for name in names], family="monospace", fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, trace.seconds * 1e3 * 1.1 or 1)
    axes.set_xlabel(f"milliseconds since the begin of trace {trace.trace_id[:8]}…")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=5, frameon=False)
    return figure


def _bar(axes: Axes, row: int, left: float, length: float, look: tuple[str, str], label: str) -> None:
    colour, hatch = look
    axes.barh(row, length, left=left, color=colour, hatch=hatch, edgecolor="white", height=0.7, label=label)


def _parts(trace: Trace, span: Span) -> list[tuple[str, int, int]]:
    """(phase, begin, end) in nanoseconds: the queue of a model's span, the phases of an execution."""
    if span.name == COMPUTE:
        moments = [span.event(name) for name in _EDGE]
        pairs = zip(PHASES[1:], moments, moments[1:], strict=False)
        return [(phase, begin, end) for phase, begin, end in pairs if begin is not None and end is not None]
    queued = span.event("QUEUE_START")
    ran = next((child for child in trace.children(span) if child.name == COMPUTE), None)
    if span.name == ROOT or queued is None or ran is None or ran.start_ns < queued:
        return []
    return [("queue", queued, ran.start_ns)]


def _one(spans: Iterable[Span] | Trace) -> Trace:
    traces = join(spans)
    if not traces:
        raise TraceError(
            "There is no span to draw.",
            why="Spans come some time after the request, or the server does not trace.",
            fix="Wait for them: `receiver.wait_for(trace_id)`.",
        )
    if len(traces) > 1:
        raise TraceError(
            f"These are spans of {len(traces)} traces; a waterfall shows one.",
            fix="Draw one of them: `receiver.traces[trace_id]`.",
        )
    return next(iter(traces.values()))
