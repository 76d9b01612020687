"""Traces: receive what Triton tells about single requests, join it, draw it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab_utils.tracing.context import TraceContext, new_traceparent, parse_traceparent
    from lab_utils.tracing.options import trace_options
    from lab_utils.tracing.receiver import ClientSpan, TraceReceiver
    from lab_utils.tracing.spans import Span, SpanEvent, Trace, TraceError, join
    from lab_utils.tracing.waterfall import draw_waterfall

__all__ = [
    "ClientSpan",
    "Span",
    "SpanEvent",
    "Trace",
    "TraceContext",
    "TraceError",
    "TraceReceiver",
    "draw_waterfall",
    "join",
    "new_traceparent",
    "parse_traceparent",
    "trace_options",
]

_PLACES = {
    "ClientSpan": "receiver",
    "Span": "spans",
    "SpanEvent": "spans",
    "Trace": "spans",
    "TraceContext": "context",
    "TraceError": "spans",
    "TraceReceiver": "receiver",
    "draw_waterfall": "waterfall",
    "join": "spans",
    "new_traceparent": "context",
    "parse_traceparent": "context",
    "trace_options": "options",
}


def __getattr__(name: str) -> Any:
    """Import on first use: `import lab_utils.tracing` stays quick."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lab_utils.tracing.{_PLACES[name]}"), name)
