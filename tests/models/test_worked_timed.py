"""The worked example `timed`: a model of known service time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from lab_utils.server.base import Server
from tests.models.worked import ask, counts, override, tensors

pytestmark = [pytest.mark.live, pytest.mark.alone]


def test_timed_takes_the_time_that_its_config_says(client: Any, server: Server) -> None:
    data = np.arange(32, dtype=np.float32).reshape(8, 4)
    client.load_model("timed")
    for rows in (1, 8):
        start = time.perf_counter()
        np.testing.assert_array_equal(ask(client, "timed", "echo", data=data[:rows]), data[:rows])
        assert time.perf_counter() - start >= (10 + rows) / 1000
    with pytest.raises(InferenceServerException, match="batch-size must be <= 8"):
        client.infer("timed", tensors(data=np.zeros((9, 4), np.float32)))


def test_timed_with_dynamic_batching_shares_the_cost_of_an_execution(client: Any, server: Server) -> None:
    costs = {"execution_ms": {"string_value": "40"}, "row_ms": {"string_value": "0"}}
    took = {}
    for name, changes in {
        "alone": {},
        "batched": {"dynamic_batching": {"max_queue_delay_microseconds": 100_000}},
    }.items():
        override(client, "timed", parameters=costs, **changes)
        before = counts(server, "timed")
        start = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            rows = list(
                pool.map(
                    lambda i: ask(client, "timed", "echo", data=np.full((1, 4), i, np.float32)), range(8)
                )
            )
        took[name] = time.perf_counter() - start
        assert [row[0, 0] for row in rows] == list(range(8))
        inferences, executions = np.subtract(counts(server, "timed"), before)
        assert inferences == 8
        assert executions == 8 if name == "alone" else executions <= 2
    client.load_model("timed")
    assert took["alone"] >= 8 * 0.04
    assert took["batched"] < took["alone"]


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan"])
def test_timed_refuses_a_cost_that_is_no_time(client: Any, text: str) -> None:
    words = "'row_ms' must be a number of ms >= 0, not '" + text
    try:
        with pytest.raises(InferenceServerException, match=words):
            override(client, "timed", parameters={"row_ms": {"string_value": text}})
    finally:
        client.unload_model("timed")
        client.load_model("timed")
