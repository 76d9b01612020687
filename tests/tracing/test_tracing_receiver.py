"""The receiver by itself: what it refuses, what it keeps, what it forgets. Spoken to over real HTTP."""

from __future__ import annotations

import functools
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lab_utils.tracing import (
    Span,
    TraceError,
    TraceReceiver,
    draw_waterfall,
    join,
    new_traceparent,
    parse_traceparent,
    trace_options,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def receiver() -> Iterator[TraceReceiver]:
    with TraceReceiver() as found:
        yield found


def entry(**changes: Any) -> dict[str, Any]:
    """One good span of OTLP/JSON, with changes."""
    good = {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "InferRequest",
        "startTimeUnixNano": "1000",
        "endTimeUnixNano": "3000",
    }
    return good | changes


def body(*spans: Any) -> dict[str, Any]:
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": list(spans)}]}]}


@functools.cache
def client() -> httpx.Client:
    return httpx.Client(trust_env=False)


def post(receiver: TraceReceiver, content: bytes | dict[str, Any]) -> httpx.Response:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return client().post(receiver.url, content=data, headers={"Content-Type": "application/json"})


def test_a_span_is_read_with_all_it_says(receiver: TraceReceiver) -> None:
    attributes = [
        {"key": "text", "value": {"stringValue": "a"}},
        {"key": "whole", "value": {"intValue": "7"}},
        {"key": "part", "value": {"doubleValue": 0.5}},
        {"key": "yes", "value": {"boolValue": True}},
        {"key": "many", "value": {"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "b"}]}}},
        {"key": "inner", "value": {"kvlistValue": {"values": [{"key": "x", "value": {"intValue": "2"}}]}}},
        {"key": "none", "value": {}},
    ]
    events = [{"name": "LATE", "timeUnixNano": "2500"}, {"name": "EARLY", "timeUnixNano": 500}]
    answer = post(
        receiver,
        body(entry(attributes=attributes, events=events, parentSpanId="00f067aa0ba902b7", unknown=1)),
    )
    assert (answer.status_code, answer.json()) == (200, {})
    (span,) = receiver.spans
    assert (span.name, span.trace_id, span.span_id) == ("InferRequest", TRACE, SPAN)
    assert (span.parent_id, span.start_ns, span.end_ns) == ("00f067aa0ba902b7", 1000, 3000)
    assert span.attributes == {
        "text": "a",
        "whole": 7,
        "part": 0.5,
        "yes": True,
        "many": [1, "b"],
        "inner": {"x": 2},
        "none": None,
    }
    assert [event.name for event in span.events] == ["EARLY", "LATE"]
    assert (span.event("LATE"), span.event("NEVER"), span.seconds) == (2500, None, pytest.approx(2e-6))


deep: dict[str, Any] = {"stringValue": "x"}
for _ in range(30):
    deep = {"arrayValue": {"values": [deep]}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "resourceSpans"),
        (b"{}", "resourceSpans"),
        ({"resourceSpans": {}}, None),
        ({"resourceSpans": {"a": 1}}, "not a list"),
        ({"resourceSpans": [1]}, "an object was expected"),
        (body(1), "a span is not an object"),
        (body(entry(name=None)), "no name"),
        (body(entry(traceId="0" * 32)), "traceId"),
        (body(entry(traceId="CvdlGRbNQ92ESOshHIAxnA==")), "traceId"),
        (body(entry(spanId="b7ad")), "spanId"),
        (body(entry(parentSpanId=7)), "parentSpanId"),
        (body(entry(startTimeUnixNano="soon")), "startTimeUnixNano"),
        (body(entry(endTimeUnixNano=None)), "endTimeUnixNano"),
        (body(entry(endTimeUnixNano="999")), "ends before it begins"),
        (body(entry(events=[{"timeUnixNano": "1"}])), "an event has no name"),
        (body(entry(attributes=[{"value": {}}])), "no key"),
        (body(entry(attributes=[{"key": "a", "value": {"intValue": "x"}}])), "value is wrong"),
        (body(entry(attributes=[{"key": "a", "value": {"colour": "red"}}])), "known type"),
        (body(entry(attributes=[{"key": "a", "value": {"intValue": 1, "boolValue": True}}])), "two values"),
        (body(entry(attributes=[{"key": "a", "value": deep}])), "known type"),
        (body(entry(), entry(spanId="")), "spanId"),
    ],
)
def test_a_malformed_body_is_refused_whole_and_kept_as_an_error(
    receiver: TraceReceiver, content: bytes | dict[str, Any], reason: str | None
) -> None:
    answer = post(receiver, content)
    assert receiver.spans == []
    if reason is None:
        assert (answer.status_code, receiver.errors) == (200, [])
        return
    assert answer.status_code == 400
    assert reason in answer.json()["message"]
    (error,) = receiver.errors
    assert (error.status, error.message) == (400, answer.json()["message"])
    assert post(receiver, body(entry())).status_code == 200, "it goes on"


def test_other_requests_are_refused_with_the_reason(receiver: TraceReceiver) -> None:
    good = json.dumps(body(entry())).encode()
    base = receiver.url.removesuffix("/v1/traces")
    as_json = {"Content-Type": "application/json"}
    asked = [
        client().get(receiver.url),
        client().post(base + "/v1/metrics", content=good, headers=as_json),
        client().post(receiver.url, content=good, headers={"Content-Type": "application/x-protobuf"}),
        client().post(receiver.url, content=good, headers=as_json | {"Content-Encoding": "gzip"}),
        client().post(receiver.url, content=iter([good]), headers=as_json),
        client().post(receiver.url + "?a=b", content=good, headers=as_json),
    ]
    assert [answer.status_code for answer in asked] == [405, 404, 415, 415, 411, 200]
    assert [error.status for error in receiver.errors] == [405, 404, 415, 415, 411]
    assert len(receiver.spans) == 1


def test_a_body_that_is_too_large_is_not_read(receiver: TraceReceiver) -> None:
    for length in ("99999999999", "9" * 5000, "-1", "x"):
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as connection:
            head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
            connection.sendall(head.encode())
            answer = connection.makefile("rb").read()
        assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 411 ")), "and the connection is closed"
    assert [error.status for error in receiver.errors] == [413, 411, 411, 411]


def test_memory_is_bounded() -> None:
    with TraceReceiver(max_spans=50) as receiver:
        for number in range(4):
            spans = [entry(spanId=f"{number * 20 + k + 1:016x}") for k in range(20)]
            assert post(receiver, body(*spans)).status_code == 200
        assert (len(receiver.spans), receiver.dropped) == (50, 30)
        assert receiver.spans[-1].span_id == f"{80:016x}", "the newest stay"
        for _ in range(130):
            post(receiver, b"?")
        assert len(receiver.errors) == 100
        receiver.clear()
        assert (receiver.spans, receiver.errors, receiver.dropped) == ([], [], 0)


def test_many_senders_at_once(receiver: TraceReceiver) -> None:
    def send(sender: int) -> None:
        for number in range(10):
            post(receiver, body(entry(spanId=f"{sender * 100 + number + 1:016x}")))

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({span.span_id for span in receiver.spans}) == 80


def test_stop_closes_what_is_open_and_start_keeps_the_port(receiver: TraceReceiver) -> None:
    assert post(receiver, body(entry())).status_code == 200
    port = receiver.port
    receiver.stop()
    receiver.stop()
    with pytest.raises(httpx.TransportError):
        post(receiver, body(entry()))
    assert receiver.start() is receiver.start()
    assert post(receiver, body(entry())).status_code == 200
    assert receiver.port == port
    assert len(receiver.spans) == 2, "what it had is still there"


def test_a_taken_port_is_named() -> None:
    with TraceReceiver() as first, pytest.raises(TraceError, match=f"port {first.port}"):
        TraceReceiver(first.port).start()


def test_before_the_start_there_is_no_address() -> None:
    with pytest.raises(TraceError, match="start"):
        trace_options(TraceReceiver())


def test_options(receiver: TraceReceiver) -> None:
    options = trace_options(receiver, rate=5, count=7)
    assert all(option.startswith("--trace-config=") for option in options)
    assert {"--trace-config=rate=5", "--trace-config=count=7", "--trace-config=level=TIMESTAMPS"} < set(
        options
    )
    assert f"--trace-config=opentelemetry,url={receiver.url}" in options
    assert f"url={receiver.url}" in trace_options(receiver.url)[1]
    for wrong in ({"rate": -1}, {"count": -2}, {"delay_ms": 0}):
        with pytest.raises(TraceError, match=next(iter(wrong))):
            trace_options(receiver, **wrong)


def test_waiting_says_what_is_missing(receiver: TraceReceiver) -> None:
    with pytest.raises(TraceError, match="Nothing came at all"):
        receiver.wait_for(TRACE, timeout=0.05)
    post(receiver, b"?")
    with pytest.raises(TraceError, match="refused what came: not JSON"):
        receiver.wait_for(TRACE, timeout=0.05)
    receiver.clear()
    post(receiver, body(entry(name="compute", parentSpanId="00f067aa0ba902b7")))
    with pytest.raises(TraceError, match="Only these spans of it are here: compute"):
        receiver.wait_for(TRACE, timeout=0.05)
    with pytest.raises(TraceError, match="Other traces did come"):
        receiver.wait_for("1" * 32, timeout=0.05)
    with pytest.raises(TraceError, match="No whole trace of the request `mine`"):
        receiver.wait_for_request("mine", timeout=0.05)
    with pytest.raises(TraceError, match="0 of 1 traces"):
        receiver.wait_for_traces(1, timeout=0.05)
    post(receiver, body(entry(spanId="00f067aa0ba902b7")))
    assert [span.name for span in receiver.wait_for(TRACE)] == ["InferRequest", "compute"]


def span(name: str, number: int, parent: int, start: int, end: int, trace: str = TRACE) -> Span:
    return Span(name, trace, f"{number:016x}", f"{parent:016x}" if parent else "", start, end)


def test_traces_are_joined_in_the_order_of_time() -> None:
    spans = [
        span("late child", 4, 2, 60, 90),
        span("grandchild", 5, 3, 20, 30),
        span("early child", 3, 2, 10, 50),
        span("root", 2, 9, 0, 100),
        span("other", 7, 0, -5, 1, trace="1" * 32),
        span("root", 2, 9, 0, 100),
    ]
    traces = join(spans)
    assert list(traces) == ["1" * 32, TRACE]
    trace = traces[TRACE]
    assert [s.name for s in trace] == ["root", "early child", "grandchild", "late child"]
    assert [trace.depth(s) for s in trace] == [0, 1, 2, 1]
    assert trace.seconds == pytest.approx(100e-9)
    assert trace.own_seconds(trace[0]) == pytest.approx(30e-9)
    assert (len(trace), trace[-1].name, trace[1:2][0].name) == (4, "late child", "early child")


def test_own_time_with_children_that_overlap_and_stand_out() -> None:
    spans = [
        span("root", 2, 0, 100, 200),
        span("a", 3, 2, 110, 150),
        span("b", 4, 2, 140, 160),
        span("c", 5, 2, 190, 250),
    ]
    trace = join(spans)[TRACE]
    assert trace.own_seconds(trace[0]) == pytest.approx(40e-9)


def test_a_circle_of_parents_does_not_hang() -> None:
    trace = join([span("a", 2, 3, 0, 1), span("b", 3, 2, 0, 1)])[TRACE]
    assert sorted(s.name for s in trace) == ["a", "b"]
    assert not trace.whole
    assert draw_waterfall(trace).axes


def test_a_picture_of_none_or_of_two_is_refused() -> None:
    with pytest.raises(TraceError, match="no span to draw"):
        draw_waterfall([])
    with pytest.raises(TraceError, match="2 traces"):
        draw_waterfall([span("a", 1, 0, 0, 1), span("b", 2, 0, 0, 1, trace="1" * 32)])


def test_a_traceparent_there_and_back() -> None:
    header, trace_id = new_traceparent()
    context = parse_traceparent(header)
    assert str(context) == header
    assert (context.trace_id, context.sampled) == (trace_id, True)
    assert new_traceparent()[1] != trace_id
    quiet = header[:-2] + "00"
    assert not parse_traceparent(quiet).sampled
    assert new_traceparent(quiet)[0].endswith("-00"), "the one who began decides about sampling"
    assert parse_traceparent("01" + header[2:] + "-more").trace_id == trace_id


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "four parts"),
        (f"00-{TRACE}-{SPAN}", "four parts"),
        (f"00-{TRACE.upper()}-{SPAN}-01", "four parts"),
        (f"ff-{TRACE}-{SPAN}-01", "version ff"),
        (f"00-{TRACE}-{SPAN}-01-more", "version 00"),
        (f"00-{'0' * 32}-{SPAN}-01", "zeros"),
        (f"00-{TRACE}-{'0' * 16}-01", "zeros"),
    ],
)
def test_a_wrong_traceparent_is_refused(header: str, reason: str) -> None:
    with pytest.raises(TraceError, match="not a traceparent") as caught:
        parse_traceparent(header)
    assert reason in caught.value.why
