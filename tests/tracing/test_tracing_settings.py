"""What the rate, the count and the level do, and what happens while the receiver is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

from lab_utils import server as triton
from lab_utils.tracing import TraceError, TraceReceiver, new_traceparent, trace_options
from tests.tracing.conftest import Traced, inputs

pytestmark = pytest.mark.live


@pytest.fixture
def settings(traced: Traced) -> Iterator[Any]:
    """The client of the shared server; its trace settings are as before in the end."""
    for model in ("", "timed"):
        traced.http.update_trace_settings(model or None, {})
    yield traced.http
    plain = {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "-1"}
    traced.http.update_trace_settings(None, plain)
    traced.http.update_trace_settings("timed", dict.fromkeys(plain))


def traces_of(traced: Traced, requests: int, model: str = "mnist_mlp") -> int:
    """How many of some requests without `traceparent` are traced; one with it marks their end."""
    before = len(traced.receiver.traces)
    for _ in range(requests):
        traced.http.infer(model, inputs(model))
    header, trace_id = new_traceparent()
    traced.http.infer("mnist_mlp", inputs("mnist_mlp"), headers={"traceparent": header})
    traced.receiver.wait_for(trace_id)
    return len(traced.receiver.traces) - before - 1


def test_a_rate_of_n_traces_every_nth_request(traced: Traced, settings: Any) -> None:
    settings.update_trace_settings(None, {"trace_rate": "3"})
    assert traces_of(traced, 9) == 3
    # Its own documentation has a rate of 0, and the option takes it: only with a traceparent. But not here.
    with pytest.raises(InferenceServerException, match="sample rate must be non-zero"):
        settings.update_trace_settings(None, {"trace_rate": "0"})


def test_one_model_may_have_a_rate_of_its_own(traced: Traced, settings: Any) -> None:
    settings.update_trace_settings("timed", {"trace_rate": "4"})
    assert traces_of(traced, 4, "timed") == 1
    assert traces_of(traced, 4, "mnist_mlp") == 4


def test_a_count_ends_and_a_traceparent_is_still_honoured(traced: Traced, settings: Any) -> None:
    settings.update_trace_settings(None, {"trace_count": "2"})
    assert traces_of(traced, 5) == 2


def test_the_level_off_stops_even_a_traceparent(traced: Traced, settings: Any) -> None:
    settings.update_trace_settings(None, {"trace_level": ["OFF"]})
    header, trace_id = new_traceparent()
    settings.infer("mnist_mlp", inputs("mnist_mlp"), headers={"traceparent": header})
    settings.update_trace_settings(None, {"trace_level": ["TIMESTAMPS"]})
    assert traces_of(traced, 1) == 1
    assert trace_id not in traced.receiver.traces


def test_the_level_tensors_does_not_exist_here(traced: Traced, settings: Any) -> None:
    settings.update_trace_settings(None, {"trace_level": ["TENSORS"]})
    header, trace_id = new_traceparent()
    settings.infer("mnist_mlp", inputs("mnist_mlp"), headers={"traceparent": header})
    trace = traced.receiver.wait_for(trace_id)
    assert [(span.name, span.events) for span in trace] == [("InferRequest", ())]
    assert "Tensor level tracing is not supported by the mode: opentelemetry" in traced.server.logs()


def test_a_server_goes_on_without_its_receiver_and_finds_it_again(traced: Traced) -> None:
    receiver, port = traced.receiver, traced.receiver.port
    # Triton has sent all there was, and keeps its connection open.
    traced.receiver.wait_for(_asked(traced))
    receiver.stop()
    try:
        lost = [_asked(traced) for _ in range(5)]
        time.sleep(1.0)  # several times the delay after which Triton sends: it tried, and gave up
        with pytest.raises(TraceError, match="stopped"):
            receiver.wait_for(lost[0], timeout=0.1)
        with pytest.raises(httpx.ConnectError):
            httpx.get(receiver.url, trust_env=False)
    finally:
        receiver.start()
    assert receiver.port == port
    assert [span.name for span in receiver.wait_for(_asked(traced))] == [
        "InferRequest",
        "mnist_mlp",
        "compute",
    ]
    assert not set(lost) & set(receiver.traces), "what was sent meanwhile is lost"
    assert traced.server.alive()


def _asked(traced: Traced) -> str:
    header, trace_id = new_traceparent()
    traced.http.infer("mnist_mlp", inputs("mnist_mlp"), headers={"traceparent": header})
    return trace_id


def test_a_server_starts_without_its_receiver_and_a_rate_of_0_waits_for_traceparents(
    repository: Path,
) -> None:
    receiver = TraceReceiver().start()
    options = trace_options(receiver, rate=0, count=100, delay_ms=100)
    receiver.stop()
    only = ["--model-control-mode=explicit", "--load-model=mnist_mlp"]
    server = triton.start(
        repository, name="untraced", options=[*only, "--exit-timeout-secs=1", *options], lifetime="kernel"
    )
    client = httpclient.InferenceServerClient(server.endpoints.http)
    try:
        found = client.get_trace_settings()
        assert (found["trace_rate"], found["trace_count"], found["url"]) == ("0", "100", receiver.url)
        assert found["bsp_schedule_delay"] == "100"
        header, lost = new_traceparent()
        client.infer("mnist_mlp", inputs("mnist_mlp"), headers={"traceparent": header})
        time.sleep(0.5)
        with receiver:
            for _ in range(4):
                client.infer("mnist_mlp", inputs("mnist_mlp"))
            header, trace_id = new_traceparent()
            client.infer("mnist_mlp", inputs("mnist_mlp"), headers={"traceparent": header})
            assert len(receiver.wait_for(trace_id)) == 3
            assert list(receiver.traces) == [trace_id]
            assert lost not in receiver.traces
    finally:
        client.close()
        server.stop()
