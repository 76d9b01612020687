"""What a real Triton sends, over HTTP and gRPC: spans, their nesting, their times, the client's trace id."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

from lab_utils.tracing import Trace, TraceError, draw_waterfall, new_traceparent, parse_traceparent
from tests.tracing.conftest import Traced, inputs

pytestmark = pytest.mark.live
MODULES = {"http": httpclient, "grpc": grpcclient}


def ask(traced: Traced, model: str, protocol: str = "http", **more: Any) -> tuple[Trace, str]:
    """One request with a `traceparent`: its whole trace, and that header.

    Over gRPC some headers are lost in Triton (see below), so that several requests may be needed.
    """
    for _ in range(8):
        header, trace_id = new_traceparent()
        name = f"{protocol} {trace_id}"
        client = getattr(traced, protocol)
        given = inputs(model, MODULES[protocol])
        client.infer(model, given, headers={"traceparent": header}, request_id=name, **more)
        trace = traced.receiver.wait_for_request(name)
        if trace.trace_id == trace_id:
            return trace, header
        assert protocol == "grpc", "over HTTP every traceparent is honoured"
    pytest.fail("eight requests over gRPC, and no traceparent was honoured")


def shape(trace: Trace) -> list[tuple[int, str]]:
    """Depth and name of each span."""
    return [(trace.depth(span), span.name) for span in trace]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_three_spans_a_request_one_inside_the_other(traced: Traced, protocol: str) -> None:
    before = time.time_ns()
    trace, header = ask(traced, "mnist_mlp", protocol)
    after = time.time_ns()
    assert shape(trace) == [(0, "InferRequest"), (1, "mnist_mlp"), (2, "compute")]
    request, model, compute = trace
    context = parse_traceparent(header)
    assert {span.trace_id for span in trace} == {context.trace_id}
    assert request.parent_id == context.span_id, "the client's span is the parent"
    assert (model.parent_id, compute.parent_id) == (request.span_id, model.span_id)
    # Times within the request, as the client saw it, and each span within its parent.
    assert before < request.start_ns < model.start_ns <= compute.start_ns
    assert compute.end_ns <= model.end_ns <= request.end_ns < after
    assert (model.model, trace.request_ids) == ("mnist_mlp", {f"{protocol} {context.trace_id}"})
    assert trace.roots == (request,)
    phases = trace.phases(model)
    assert list(phases) == ["queue", "compute_input", "compute_infer", "compute_output"]
    assert all(seconds >= 0 for seconds in phases.values())
    assert sum(phases.values()) <= model.seconds
    word = {"http": "HTTP_RECV_START", "grpc": "GRPC_WAITREAD_START"}[protocol]
    assert request.event(word) is not None


def test_over_http_every_traceparent_is_honoured_and_over_grpc_most(
    traced: Traced, record_property: pytest.RecordProperty
) -> None:
    sent: dict[str, list[str]] = {"http": [], "grpc": []}
    for protocol, ids in sent.items():
        for _ in range(60):
            header, trace_id = new_traceparent()
            given = inputs("mnist_mlp", MODULES[protocol])
            client = getattr(traced, protocol)
            client.infer("mnist_mlp", given, headers={"traceparent": header}, request_id=f"one of {trace_id}")
            ids.append(trace_id)
    traces = [traced.receiver.wait_for_request(f"one of {i}") for ids in sent.values() for i in ids]
    honoured = {p: sum(t.trace_id in ids for t in traces) for p, ids in sent.items()}
    record_property("honoured of 60", honoured)
    assert honoured["http"] == 60
    assert honoured["grpc"] >= 30
    # The others have a trace of their own: whole, but under an id that Triton made.
    lost = [trace for trace in traces if trace.trace_id not in (*sent["http"], *sent["grpc"])]
    assert len(lost) == 60 - honoured["grpc"]
    assert all(len(trace) == 3 and trace[0].parent_id == "" for trace in lost)


def test_an_ensemble_has_a_span_for_each_step(traced: Traced) -> None:
    trace, _ = ask(traced, "digits_pipeline")
    assert shape(trace) == [
        (0, "InferRequest"),
        (1, "digits_pipeline"),
        (2, "digits_preprocess"),
        (3, "compute"),
        (2, "mnist_mlp"),
        (3, "compute"),
    ]
    ensemble, first, second = (
        next(span for span in trace if span.model == name)
        for name in ("digits_pipeline", "digits_preprocess", "mnist_mlp")
    )
    assert ensemble.start_ns <= first.start_ns < first.end_ns <= ensemble.end_ns
    assert first.start_ns < second.start_ns < second.end_ns <= ensemble.end_ns
    assert trace.phases(ensemble) == {}, "its steps have phases, it has none"
    own = trace.own_seconds(ensemble)
    assert 0 <= own <= ensemble.seconds - max(first.seconds, second.seconds)


def test_a_bls_shows_its_inner_calls_only_when_it_hands_its_trace_on(traced: Traced) -> None:
    plain, _ = ask(traced, "digits_bls")
    assert shape(plain) == [(0, "InferRequest"), (1, "digits_bls"), (2, "compute")]
    inner = [(2, "digits_preprocess"), (3, "compute"), (2, "mnist_mlp"), (3, "compute")]
    told, _ = ask(traced, "bls_traced")
    assert sorted(shape(told)) == sorted([(0, "InferRequest"), (1, "bls_traced"), (2, "compute"), *inner])
    outer = next(span for span in told if span.model == "bls_traced")
    steps = [span for span in told if span.model in ("digits_preprocess", "mnist_mlp")]
    assert all(outer.start_ns < step.start_ns < step.end_ns < outer.end_ns for step in steps)


def test_the_phases_are_those_of_a_known_model(traced: Traced) -> None:
    # `timed` sleeps 10 ms + 1 ms a row, one request at a time: of six sent at once the last waits longest.
    names = [f"burst {number}" for number in range(6)]
    for name in names:
        given = inputs("timed", grpcclient)
        traced.grpc.async_infer("timed", given, lambda result, error: None, request_id=name)
    traces = [traced.receiver.wait_for_request(name) for name in names]
    phases = [trace.phases(trace[1]) for trace in traces]
    for found in phases:
        assert found["compute_infer"] > 0.009
        assert found["compute_input"] + found["compute_output"] < found["compute_infer"]
    assert max(found["queue"] for found in phases) > 0.011, "the last waits for one at least"
    assert min(found["queue"] for found in phases) < max(found["queue"] for found in phases) / 2


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_without_a_traceparent_triton_makes_an_id(traced: Traced, protocol: str) -> None:
    known = set(traced.receiver.traces)
    getattr(traced, protocol).infer("mnist_mlp", inputs("mnist_mlp", MODULES[protocol]))
    traced.receiver.wait_for_traces(len(known) + 1)
    (new,) = (trace for key, trace in traced.receiver.traces.items() if key not in known)
    assert new[0].parent_id == ""
    assert new[0].name == "InferRequest"


def test_a_broken_traceparent_is_left_out(traced: Traced) -> None:
    known = set(traced.receiver.traces)
    header, trace_id = new_traceparent()
    traced.http.infer("mnist_mlp", inputs("mnist_mlp"), headers={"traceparent": header[:-4]})
    traced.receiver.wait_for_traces(len(known) + 1)
    assert trace_id not in traced.receiver.traces


def test_a_trace_goes_on_through_a_program_between(traced: Traced) -> None:
    first, trace_id = new_traceparent()
    header, same = new_traceparent(first)
    assert same == trace_id
    traced.http.infer("mnist_mlp", inputs("mnist_mlp"), headers={"traceparent": header})
    request = traced.receiver.wait_for(trace_id)[0]
    assert request.parent_id == parse_traceparent(header).span_id != parse_traceparent(first).span_id


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_clients_own_span_lies_around_tritons(traced: Traced, protocol: str) -> None:
    client = getattr(traced, protocol)
    for _ in range(8):
        with traced.receiver.client_span("asks") as span:
            client.infer(
                "timed",
                inputs("timed", MODULES[protocol]),
                headers=span.headers,
                request_id=span.trace_id,
            )
        trace = traced.receiver.wait_for_request(span.trace_id)
        if trace.trace_id == span.trace_id:
            break
    assert shape(trace) == [(0, "asks"), (1, "InferRequest"), (2, "timed"), (3, "compute")]
    asks, request = trace[:2]
    assert asks.start_ns < request.start_ns
    assert asks.seconds > trace[2].seconds
    assert 0 < trace.own_seconds(asks) < asks.seconds


def test_two_requests_under_one_trace_id(traced: Traced) -> None:
    header, trace_id = new_traceparent()
    for _ in range(2):
        traced.http.infer("mnist_mlp", inputs("mnist_mlp"), headers={"traceparent": header})
    deadline = time.monotonic() + 10
    while len(traced.receiver.traces.get(trace_id, ())) < 6 and time.monotonic() < deadline:
        time.sleep(0.05)
    trace = traced.receiver.traces[trace_id]
    assert [span.name for span in trace.roots] == ["InferRequest"] * 2
    assert trace.whole


def test_a_failed_request_has_a_trace_that_looks_well(traced: Traced) -> None:
    header, trace_id = new_traceparent()
    with pytest.raises(InferenceServerException, match="always fails"):
        traced.http.infer("failing", inputs("failing"), headers={"traceparent": header})
    trace = traced.receiver.wait_for(trace_id)
    assert [span.name for span in trace] == ["InferRequest", "failing", "compute"]
    words = " ".join(f"{span.attributes} {span.events}" for span in trace).lower()
    assert "error" not in words
    assert "fail" not in words.replace("'failing'", "")


def test_a_refused_request_has_no_trace(traced: Traced) -> None:
    header, trace_id = new_traceparent()
    wrong = httpclient.InferInput("input", [1, 5], "FP32")
    wrong.set_data_from_numpy(np.zeros([1, 5], np.float32))
    with pytest.raises(InferenceServerException, match="unexpected shape"):
        traced.http.infer("mnist_mlp", [wrong], headers={"traceparent": header})
    ask(traced, "mnist_mlp")  # a later request's trace is here, so an earlier one would be, too
    with pytest.raises(TraceError, match="Refused requests"):
        traced.receiver.wait_for(trace_id, timeout=0.5)


def test_the_picture_shows_every_span(traced: Traced) -> None:
    trace, _ = ask(traced, "digits_pipeline")
    figure = draw_waterfall(reversed(list(trace)))
    (axes,) = figure.axes
    names = [label.get_text().strip() for label in axes.get_yticklabels()]
    assert names == [span.name for span in trace]
    depths = [len(t.get_text()) - len(t.get_text().lstrip()) for t in axes.get_yticklabels()]
    assert all(
        (b > a) == (trace.depth(t) > trace.depth(s))
        for (a, b), (s, t) in zip(pairwise(depths), pairwise(trace), strict=True)
    )
    lengths = [float(text.get_text()) for text in axes.texts]
    assert lengths == [pytest.approx(span.seconds * 1e3, abs=0.006) for span in trace]
    assert {text.get_text() for text in figure.legends[0].get_texts()} >= {"span", "compute_infer"}
    assert str(trace).count("\n") == len(trace)
