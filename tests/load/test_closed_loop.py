"""A closed loop against theory: one instance that takes 20 ms gives 50 answers a second."""

from __future__ import annotations

import pytest

from lab_utils.load import run_load
from lab_utils.server.base import Server
from tests.load.conftest import statistics

pytestmark = [pytest.mark.live, pytest.mark.alone]
SERVICE = 0.020
PROTOCOLS = ("grpc", "http", "stream")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_in_flight_takes_the_service_time(server: Server, protocol: str) -> None:
    result = run_load(
        server, "sleepy", protocol=protocol, concurrency=1, seconds=0.7, warmup=0.1, processes=1
    )
    assert 30 <= result.throughput <= 1 / SERVICE + 2
    assert SERVICE <= result.latency.p50 <= SERVICE + 0.012
    assert result.latency.min >= SERVICE * 0.99
    assert SERVICE <= result.server["compute_infer"] < 1.5 * SERVICE
    assert result.server["queue"] < 0.005
    assert sum(result.server.values()) <= result.latency.mean
    assert not result.errors


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_more_in_flight_wait_in_the_queue(server: Server, protocol: str) -> None:
    result = run_load(
        server, "sleepy", protocol=protocol, concurrency=4, seconds=0.8, warmup=0.2, processes=1
    )
    assert 30 <= result.throughput <= 1 / SERVICE + 2, "one instance does not become faster"
    # Little's law: requests in flight = rate x latency.
    assert result.latency.mean * result.requests_per_second == pytest.approx(4, rel=0.15)
    assert 2.4 * SERVICE < result.server["queue"] < 5 * SERVICE
    assert result.in_server == pytest.approx(4, rel=0.15)


def test_a_count_is_exact_and_the_statistics_are_of_these_requests(server: Server) -> None:
    before = statistics(server, "batching")
    result = run_load(server, "batching", concurrency=8, requests=203, warmup=0, processes=1)
    after = statistics(server, "batching")
    gained = {key: value - before.get(key, 0) for key, value in after.items()}
    assert result.requests == gained["requests"] == gained["inferences"] == 203
    assert result.executions == gained["executions"] < 203
    counted = {f"batch {size}": count for size, count in result.batch_histogram.items()}
    assert counted == {key: n for key, n in gained.items() if key.startswith("batch") and n}
    assert result.mean_batch == pytest.approx(203 / gained["executions"])


def test_a_warm_up_is_not_counted(server: Server) -> None:
    before = statistics(server, "batching")
    result = run_load(server, "batching", concurrency=4, requests=50, warmup=0.2, processes=1)
    gained = statistics(server, "batching")["requests"] - before["requests"]
    assert result.requests == sum(n * size for size, n in result.batch_histogram.items()) == 50
    assert gained > 60, "the warm-up did reach the server"


def test_several_processes_share_one_load(server: Server) -> None:
    before = statistics(server, "batching")["requests"]
    result = run_load(server, "batching", concurrency=7, requests=100, warmup=0, processes=3)
    assert result.processes == 3
    assert result.requests == 100 == statistics(server, "batching")["requests"] - before
    # Seven are in flight, at most three from one process: a larger batch holds requests of several.
    assert 4 <= max(result.batch_histogram) <= 7


def test_a_batch_counts_its_rows(server: Server) -> None:
    result = run_load(server, "sleepy", batch=4, concurrency=1, requests=5, warmup=0, protocol="http")
    assert result.batch_histogram == {4: 5}
    assert result.throughput == pytest.approx(4 * result.requests_per_second)


def test_stable_windows(server: Server) -> None:
    # On a busy machine the first three windows may differ; ten are tried.
    result = run_load(server, "sleepy", concurrency=2, seconds=0.3, warmup=0.1, stable=True, processes=1)
    assert 0.8 < result.seconds < 1.4, "the last three windows are one measurement"
    assert 30 <= result.throughput <= 52
    assert result.stable or "not stable" in " ".join(result.notes)
