"""Requests for any model: random data from the metadata, the caller's own inputs, parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lab_utils.load import LoadError, run_load
from lab_utils.load.payload import build_payload, random_array
from lab_utils.load.view import ServerView
from lab_utils.server.base import Server
from tests.load.models import TYPES

live = pytest.mark.live
PROTOCOLS = ("grpc", "http", "stream")


@live
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_data_type_and_a_variable_dimension(server: Server, protocol: str) -> None:
    # The model hands its inputs back, and every answer is compared with that of the request alone.
    result = run_load(
        server, "typed", protocol=protocol, requests=16, warmup=0, validate=True, shapes={"in_FP32": [5, 3]}
    )
    assert (result.requests, result.errors) == (16, {}), result.messages


@live
def test_random_data_has_the_model_s_shapes(server: Server) -> None:
    view = ServerView(server, "http", "typed")
    payload = build_payload(view, shapes={"in_FP32": [5, 3]})
    shapes = {name: array.shape for name, array in payload.inputs[0].items()}
    assert shapes.pop("in_FP32") == (5, 3)
    assert set(shapes.values()) == {(1, 3)}
    assert len(shapes) == len(TYPES) - 1
    first, second = payload.messages[:2]
    assert first != second, "a pool of different requests: a response cache must not answer them all"
    again = build_payload(view, shapes={"in_FP32": [5, 3]})
    assert again.messages == payload.messages, "the same seed, the same data"


@pytest.mark.parametrize(
    ("datatype", "low", "high"),
    [("FP16", 0, 1), ("FP32", 0, 1), ("BF16", 0, 1), ("UINT8", 0, 255), ("INT64", 0, 9), ("BOOL", 0, 1)],
)
def test_random_values_are_harmless(datatype: str, low: float, high: float) -> None:
    values = random_array(datatype, [1000], np.random.default_rng(1)).astype(float)
    assert low <= values.min() < values.max() <= high
    assert values.max() - values.min() > 0.9 * (high - low)


def test_an_unknown_data_type_is_said() -> None:
    with pytest.raises(LoadError, match="COMPLEX64"):
        random_array("COMPLEX64", [1], np.random.default_rng(1))


@live
def test_the_caller_s_requests_are_sent_in_turn(server: Server) -> None:
    pool = [{"x": np.full((rows, 4), rows, np.float32)} for rows in (1, 2, 3)]
    result = run_load(server, "sleepy", inputs=pool, requests=9, concurrency=1, warmup=0, protocol="http")
    assert result.batch_histogram == {1: 3, 2: 3, 3: 3}
    assert result.rows == 2


@live
@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"inputs": {"z": np.zeros((1, 4), np.float32)}}, "`z` is not an input"),
        ({"inputs": {"x": np.zeros((1, 4))}}, "input `x` does not fit"),
        ({"inputs": []}, "pool of inputs is empty"),
        ({"batch": 9}, "does not take 9 rows"),
        ({"protocol": "udp"}, "`udp` is not a protocol"),
        ({"rate": 0}, "rate is 0"),
        ({"concurrency": -1}, "concurrency is -1"),
        ({"processes": 0}, "processes is 0"),
        ({"arrival": "uniform"}, "`uniform` is not a arrival"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_the_load(
    server: Server, arguments: dict[str, Any], what: str
) -> None:
    with pytest.raises(LoadError, match=what):
        run_load(server, "sleepy", **arguments)


@live
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_parameters_reach_the_server(server: Server, protocol: str) -> None:
    # One microsecond of time in the queue is too little for a request that has to wait. (Triton looks
    # at a request's own time-out only where the model's policy allows that, as it does by default.)
    result = run_load(
        server, "hasty", protocol=protocol, parameters={"timeout": 1, "priority": 0}, concurrency=4,
        requests=40, warmup=0, processes=1,
    )  # fmt: skip
    assert result.errors.get("queue_timeout", 0) > 10, result.errors


@live
def test_a_version_can_be_asked(server: Server) -> None:
    for protocol in PROTOCOLS:
        result = run_load(server, "cached", version="1", protocol=protocol, requests=5, warmup=0)
        assert (result.requests, result.version) == (5, "1")
