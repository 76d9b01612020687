"""Failed requests are told apart, over every protocol, and never counted as answered."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from lab_utils import server as triton
from lab_utils.load import LoadError, run_load
from lab_utils.load.faults import FAULTS, MEANING
from lab_utils.server.base import Server
from lab_utils.server.ports import free_ports
from tests.load import models
from tests.load.conftest import statistics

pytestmark = pytest.mark.live
PROTOCOLS = ("grpc", "http", "stream")
SHORT = {"seconds": 0.2, "warmup": 0, "processes": 1}
QUICK = {"seconds": 0.4, "warmup": 0, "processes": 1}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_full_queue(server: Server, protocol: str) -> None:
    before = statistics(server, "narrow")["requests"]
    result = run_load(server, "narrow", protocol=protocol, concurrency=12, requests=60, warmup=0, processes=1)
    assert set(result.errors) == {"queue_full"}, result.messages
    assert result.messages["queue_full"].removeprefix("HTTP 503: ") == "Exceeds maximum queue size"
    assert result.requests == 60 - result.errors["queue_full"], "a refused request is no answered one"
    assert result.requests == statistics(server, "narrow")["requests"] - before
    assert result.failed > 20


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_time_out_in_the_queue(server: Server, protocol: str) -> None:
    result = run_load(server, "hasty", protocol=protocol, requests=80, concurrency=8, warmup=0, processes=1)
    assert set(result.errors) == {"queue_timeout"}, result.messages
    assert result.requests > 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_request_that_does_not_fit(server: Server, protocol: str) -> None:
    inputs = {"x": np.zeros((1, 5), np.float32)}
    result = run_load(
        server, "cached", protocol=protocol, inputs=inputs, requests=20, warmup=0, processes=1, concurrency=2
    )
    assert result.errors == {"wrong_input": 20}, result.messages
    assert result.requests == 0
    assert np.isnan(result.latency.p50)
    assert "no request was answered well" in " ".join(result.notes)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_model_that_fails_now_and_then(server: Server, protocol: str) -> None:
    result = run_load(server, "failing", protocol=protocol, requests=80, concurrency=4, warmup=0, processes=1)
    assert result.errors == {"model_error": 20}, result.messages
    assert result.requests == 60
    assert "fails now and then" in result.messages["model_error"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_client_gives_up(server: Server, protocol: str) -> None:
    result = run_load(
        server,
        "sleepy",
        protocol=protocol,
        concurrency=6,
        client_timeout=0.05,
        seconds=0.5,
        warmup=0,
        processes=1,
    )
    assert set(result.errors) == {"client_timeout"}, result.messages


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_not_back_at_the_end_is_unfinished(server: Server, protocol: str) -> None:
    model = "chatty" if protocol == "stream" else "sleepy"
    result = run_load(server, model, protocol=protocol, concurrency=20, drain=0.05, **SHORT)  # type: ignore[arg-type]
    assert 10 <= result.errors["unfinished"] <= 20


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_answer_that_differs_from_the_one_alone(server: Server, protocol: str) -> None:
    good = run_load(server, "batching", protocol=protocol, requests=60, warmup=0, validate=True, processes=1)
    assert (good.requests, good.errors) == (60, {})


def test_a_model_that_lies_under_load_is_caught(server: Server) -> None:
    # Eight answers are the reference, 32 more are right, and then the model adds 1.
    result = run_load(server, "lying", requests=64, concurrency=4, warmup=0, validate=True, processes=1)
    assert (result.requests, result.errors) == (32, {"wrong_answer": 32})
    assert "output `y` has other values" in result.messages["wrong_answer"]


@pytest.mark.parametrize("protocol", ["grpc", "http", "stream"])
def test_a_server_that_goes_away(tmp_path: Path, protocol: str) -> None:
    models.add(tmp_path, "sleepy", execution_ms=5)
    options = ["--disable-auto-complete-config", "--exit-timeout-secs=0"]
    own = triton.start(tmp_path, name=f"load-gone-{protocol}", options=options, lifetime="kernel")
    stopper = threading.Timer(0.4, own.stop)
    stopper.start()
    before = own.endpoints
    target = before.http if protocol == "http" else before.grpc
    with pytest.raises(LoadError, match="No Triton answers"):
        # The figures of the server cannot be had any more, and that is said.
        run_load(target, "sleepy", protocol=protocol, seconds=1.6, warmup=0, processes=1, drain=0.2)
    stopper.join()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nobody_there_and_no_such_model(server: Server, protocol: str) -> None:
    with pytest.raises(LoadError, match="No Triton answers"):
        run_load(f"127.0.0.1:{free_ports(1)[0]}", "sleepy", protocol=protocol)
    with pytest.raises(LoadError, match="`nobody`") as caught:
        run_load(server, "nobody", protocol=protocol)
    assert "unknown model" in caught.value.why.lower()
    with pytest.raises(LoadError):
        run_load(server, "sleepy", version="7", protocol=protocol)


def test_every_class_has_a_meaning() -> None:
    assert set(MEANING) == set(FAULTS) - {"ok"}
