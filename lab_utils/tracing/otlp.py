"""OTLP, the OpenTelemetry protocol, in its JSON form: a request body to spans.

Own code and not protobuf's JSON reader: OTLP writes ids as hex digits, where protobuf's mapping expects
base64, and that reader takes the one for the other without a word.
Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import json
import re
from typing import Any

from lab_utils.tracing.spans import Span, SpanEvent, Value

_TRACE_ID, _SPAN_ID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")
_DEEPEST = 8
"""Attributes inside attributes; more is not a trace but an attack on the stack."""


class MalformedError(ValueError):
    """The body is not an OTLP trace request; the text says where."""


def read_spans(body: bytes) -> list[Span]:
    """The spans of one export request.

    Args:
        body: An `ExportTraceServiceRequest` as JSON. Unknown fields are left out.

    Raises:
        MalformedError: It is not one. Then nothing of it is used.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not JSON: {error}") from None
    if not isinstance(content, dict) or "resourceSpans" not in content:
        raise MalformedError("no `resourceSpans` in it")
    found = []
    for resource in _list(content, "resourceSpans"):
        for scope in _list(resource, "scopeSpans"):
            found += [_span(entry) for entry in _list(scope, "spans")]
    return found


def _list(holder: Any, name: str) -> list[Any]:
    if not isinstance(holder, dict):
        raise MalformedError(f"an object was expected around `{name}`")
    entries = holder.get(name) or []
    if not isinstance(entries, list):
        raise MalformedError(f"`{name}` is not a list")
    return entries


def _span(entry: Any) -> Span:
    if not isinstance(entry, dict):
        raise MalformedError("a span is not an object")
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise MalformedError("a span has no name")
    start, end = _moment(entry, "startTimeUnixNano"), _moment(entry, "endTimeUnixNano")
    if end < start:
        raise MalformedError(f"the span `{name}` ends before it begins")
    events = [_event(event) for event in _list(entry, "events")]
    return Span(
        name,
        trace_id=_id(entry, "traceId", _TRACE_ID),
        span_id=_id(entry, "spanId", _SPAN_ID),
        parent_id=_id(entry, "parentSpanId", _SPAN_ID) if entry.get("parentSpanId") else "",
        start_ns=start,
        end_ns=end,
        attributes=_attributes(entry, 0),
        events=tuple(sorted(events, key=lambda event: event.at_ns)),
    )


def _event(entry: Any) -> SpanEvent:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise MalformedError("an event has no name")
    return SpanEvent(entry["name"], _moment(entry, "timeUnixNano"))


def _id(entry: dict[str, Any], name: str, form: re.Pattern[str]) -> str:
    text = entry.get(name)
    lower = text.lower() if isinstance(text, str) else ""
    if not form.fullmatch(lower) or not int(lower, 16):
        raise MalformedError(f"`{name}` is not an id in hex digits")
    return lower


def _moment(entry: dict[str, Any], name: str) -> int:
    """Nanoseconds. JSON has no 64-bit integers, so that they come as text."""
    value = entry.get(name)
    if isinstance(value, str) and value.isdecimal() and len(value) <= 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise MalformedError(f"`{name}` is not a time in nanoseconds")


def _attributes(holder: dict[str, Any], depth: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for entry in _list(holder, "attributes" if depth == 0 else "values"):
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
            raise MalformedError("an attribute has no key")
        found[entry["key"]] = _value(entry.get("value"), depth + 1)
    return found


def _value(value: Any, depth: int) -> Value:
    """OTLP's AnyValue: an object with one entry that names its type."""
    if value is None or value == {}:
        return None
    if not isinstance(value, dict) or depth > _DEEPEST:
        raise MalformedError("an attribute's value is not of a known type")
    (kind, inner), *more = value.items()
    if more:
        raise MalformedError("an attribute has two values")
    try:
        if kind == "intValue":
            return int(inner)
        if kind == "doubleValue":
            return float(inner)
        if kind == "boolValue":
            return bool(inner)
        if kind in ("stringValue", "bytesValue"):
            return str(inner)
        if kind == "arrayValue":
            return [_value(item, depth + 1) for item in _list(inner, "values")]
        if kind == "kvlistValue":
            return dict(_attributes(inner, depth + 1))
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedError(f"an attribute's value is wrong: {error}") from None
    raise MalformedError(f"an attribute's value is not of a known type: {kind}")
