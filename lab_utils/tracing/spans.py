"""Spans, and the traces that they form.

A span is one piece of work with a begin and an end. A trace is all the work for one request: its spans
carry the same trace id, and each names its parent, the span that caused it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

from lab_utils.errors import LabError

Value = str | int | float | bool | list[object] | dict[str, object] | None
ROOT = "InferRequest"
"""Triton's outermost span of a request, from the first byte read to the last one sent."""
COMPUTE = "compute"
"""The span of one execution by a backend. The span above it bears the model's name."""
PHASES = ("queue", "compute_input", "compute_infer", "compute_output")
_NO_EVENT = 0


class TraceError(LabError):
    """A trace could not be received, found or drawn."""


@dataclass(frozen=True)
class SpanEvent:
    """A moment inside a span.

    Attributes:
        name: Triton's name of it, for example `QUEUE_START`.
        at_ns: Nanoseconds since 1970.
    """

    name: str
    at_ns: int


@dataclass(frozen=True)
class Span:
    """One piece of work.

    Attributes:
        name: `InferRequest`, a model's name, or `compute`.
        trace_id: 32 hex digits, the same in all spans of one request.
        span_id: 16 hex digits.
        parent_id: The span id of the parent; empty when nobody caused this span. The parent of
            `InferRequest` is the client's span when the client passed `traceparent` on; that span is
            not in what Triton sends.
        start_ns: Nanoseconds since 1970.
        end_ns: Nanoseconds since 1970.
        attributes: What else is known: of a model's span `triton.model_name`, `triton.model_version`,
            `triton.request_id` (when the client set one).
        events: Moments, in the order of time. `GRPC_WAITREAD_START` lies before its span: the server
            began to wait for some request then.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end_ns - self.start_ns) * 1e-9

    @property
    def model(self) -> str:
        """The model, for a span that stands for a request to a model; else empty."""
        return str(self.attributes.get("triton.model_name", ""))

    def event(self, name: str) -> int | None:
        """The moment of an event in nanoseconds since 1970; None when the span has no such event."""
        return next((event.at_ns for event in self.events if event.name == name), None)


@dataclass(frozen=True)
class Trace(Sequence[Span]):
    """The spans of one request, each after its parent, children in the order of time.

    It is a sequence of its spans: `len(trace)`, `trace[0]`, `for span in trace`.

    Attributes:
        trace_id: The id that all its spans carry.
        spans: The spans.
    """

    trace_id: str
    spans: tuple[Span, ...]

    @overload
    def __getitem__(self, index: int) -> Span: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Span, ...]: ...
    def __getitem__(self, index: int | slice) -> Span | tuple[Span, ...]:
        return self.spans[index]

    def __len__(self) -> int:
        return len(self.spans)

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)

    @property
    def roots(self) -> tuple[Span, ...]:
        """The spans whose parent is not in the trace. A whole trace of one request has one."""
        known = {span.span_id for span in self.spans}
        return tuple(span for span in self.spans if span.parent_id not in known)

    @property
    def whole(self) -> bool:
        """True when Triton's outermost span is here and every other span has its parent here.

        Triton sends `InferRequest` after the spans inside it, so that nothing more is to come then.
        A client that asks twice under one trace id gives one trace with two such requests.
        """
        asked = any(span.name == ROOT for span in self.spans)
        ours = {span.span_id for span in self.spans}
        return asked and all(s.parent_id in ours or _may_be_root(s) for s in self.spans)

    @property
    def request_ids(self) -> set[str]:
        """The `request_id`s that the client gave with its requests; empty when it gave none."""
        found = (span.attributes.get("triton.request_id") for span in self.spans)
        return {str(request_id) for request_id in found if request_id}

    @property
    def start_ns(self) -> int:
        """When its first span began, in nanoseconds since 1970."""
        return min(span.start_ns for span in self.spans)

    @property
    def seconds(self) -> float:
        """From the begin of its first span to the end of its last."""
        return (max(span.end_ns for span in self.spans) - self.start_ns) * 1e-9

    def children(self, span: Span) -> tuple[Span, ...]:
        """The spans that a span caused directly, in the order of time."""
        return tuple(other for other in self.spans if other.parent_id == span.span_id)

    def depth(self, span: Span) -> int:
        """How many of its ancestors are in the trace."""
        by_id = {other.span_id: other for other in self.spans}
        depth, above = 0, by_id.get(span.parent_id)
        while above is not None and depth < len(self.spans):
            depth, above = depth + 1, by_id.get(above.parent_id)
        return depth

    def own_seconds(self, span: Span) -> float:
        """Time of a span in which none of its children ran. Children that overlap count once."""
        covered, until = 0, span.start_ns
        for child in sorted(self.children(span), key=lambda s: s.start_ns):
            begin, end = max(child.start_ns, until), min(child.end_ns, span.end_ns)
            if end > begin:
                covered, until = covered + end - begin, end
        return (span.end_ns - span.start_ns - covered) * 1e-9

    def phases(self, span: Span) -> dict[str, float]:
        """Seconds of a model's span in Triton's four phases; empty for a span with no execution.

        queue is QUEUE_START to COMPUTE_START; compute_input, compute_infer and compute_output lie
        between COMPUTE_START, COMPUTE_INPUT_END, COMPUTE_OUTPUT_START and COMPUTE_END. The span of
        an ensemble has none: its steps have them.
        Source: Triton, docs/user_guide/trace.md, "JSON Trace Output".
        """
        ran = next((child for child in self.children(span) if child.name == COMPUTE), None)
        if ran is None:
            return {}
        moments = [span.event("QUEUE_START")]
        names = ("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END")
        moments += [ran.event(name) for name in names]
        if any(moment is None for moment in moments):
            return {}
        known = [moment or _NO_EVENT for moment in moments]
        return {
            name: (after - before) * 1e-9
            for name, before, after in zip(PHASES, known, known[1:], strict=False)
        }

    def __str__(self) -> str:
        lines = [f"trace {self.trace_id}: {len(self.spans)} spans, {self.seconds * 1e3:.2f} ms"]
        width = max(2 * self.depth(s) + len(s.name) for s in self.spans)
        for span in self.spans:
            name = "  " * self.depth(span) + span.name
            begin = (span.start_ns - self.start_ns) * 1e-6
            lines.append(f"  {name:<{width}}  at {begin:8.2f} ms  for {span.seconds * 1e3:8.2f} ms")
        return "\n".join(lines)


def _may_be_root(span: Span) -> bool:
    """Only a request's outermost span, or one that a client made, may have its parent elsewhere."""
    return span.name == ROOT or not (span.model or span.name == COMPUTE)


def join(spans: Iterable[Span]) -> dict[str, Trace]:
    """Put spans together to traces.

    Args:
        spans: Spans of any number of requests, in any order. The same span twice counts once.

    Returns:
        Each trace by its id, in the order in which they began.
    """
    found: dict[str, dict[str, Span]] = {}
    for span in spans:
        found.setdefault(span.trace_id, {})[span.span_id] = span
    traces = (Trace(trace_id, tuple(_in_order(list(group.values())))) for trace_id, group in found.items())
    return {trace.trace_id: trace for trace in sorted(traces, key=lambda trace: trace.start_ns)}


def _in_order(spans: list[Span]) -> Iterator[Span]:
    """Each span after its parent, children by their begin; spans in a circle of parents last."""
    by_parent: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda s: (s.start_ns, -s.end_ns)):
        by_parent.setdefault(span.parent_id, []).append(span)
    known = {span.span_id for span in spans}
    waiting = [s for parent, group in by_parent.items() if parent not in known for s in group]
    waiting.sort(key=lambda s: s.start_ns, reverse=True)
    done: set[str] = set()
    while waiting:
        span = waiting.pop()
        done.add(span.span_id)
        yield span
        waiting += reversed(by_parent.get(span.span_id, []))
    yield from (span for span in spans if span.span_id not in done)
