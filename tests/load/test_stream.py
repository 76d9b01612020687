"""Streams: time to the first response, gaps between responses, and decoupled models of any kind."""

from __future__ import annotations

import pytest

from lab_utils.load import LoadError, run_load
from lab_utils.server.base import Server

pytestmark = [pytest.mark.live, pytest.mark.alone]


def test_first_response_and_gaps_of_a_decoupled_model(server: Server) -> None:
    # 30 ms to the first of five responses, 10 ms between them: 70 ms in all.
    result = run_load(
        server, "chatty", protocol="stream", concurrency=1, seconds=0.8, warmup=0.1, processes=1
    )
    assert result.responses == 5
    assert result.time_to_first is not None
    assert result.between is not None
    assert 0.030 <= result.time_to_first.p50 < 0.042
    assert 0.008 < result.between.p50 < 0.016
    assert result.between.count == pytest.approx(4 * result.requests, abs=5)
    assert 0.070 <= result.latency.p50 < 0.095
    assert result.latency.p50 == pytest.approx(result.time_to_first.p50 + 4 * result.between.mean, rel=0.15)


def test_a_waiting_request_has_a_late_first_response(server: Server) -> None:
    alone = run_load(server, "chatty", protocol="stream", concurrency=1, requests=4, warmup=0, processes=1)
    queued = run_load(server, "chatty", protocol="stream", concurrency=3, requests=9, warmup=0, processes=1)
    assert alone.time_to_first is not None
    assert queued.time_to_first is not None
    # One instance works on one request at a time: the third waits for two of 70 ms.
    assert queued.time_to_first.p50 > alone.time_to_first.p50 + 0.1
    assert queued.between is not None
    assert 0.008 < queued.between.p50 < 0.016, "once begun, the responses come as before"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_decoupled_model_needs_the_stream(server: Server, protocol: str) -> None:
    with pytest.raises(LoadError, match="decoupled") as caught:
        run_load(server, "chatty", protocol=protocol)
    assert "stream" in caught.value.fix


def test_streams_of_a_model_with_one_response(server: Server) -> None:
    result = run_load(
        server, "batching", protocol="stream", concurrency=4, requests=40, warmup=0, processes=2
    )
    assert (result.requests, result.responses, result.errors) == (40, 1, {})
    assert result.between is not None
    assert result.between.count == 0
    assert max(result.batch_histogram) > 1, "several streams are in flight at the same time"


def test_an_open_loop_of_streams_counts_from_the_schedule(server: Server) -> None:
    result = run_load(
        server, "chatty", protocol="stream", rate=30, arrival="constant", seconds=0.6, warmup=0, processes=1
    )
    # 14 a second is all that one instance does: the first response of the last waits for the others.
    assert result.time_to_first is not None
    assert result.time_to_first.max > 0.4
    assert result.latency.count == pytest.approx(18, abs=1)
