"""Loads of known truth: rates, batches, queue share and Little's law within 5 %."""

from __future__ import annotations

import pytest

from lab_utils.load import LoadResult
from lab_utils.monitoring import Window, quantity
from lab_utils.server.base import Server
from tests.monitoring.asking import watch_load

pytestmark = [pytest.mark.live, pytest.mark.alone]
IN_FLIGHT = 5
SERVICE_MS = 50


def five_percent(value: float) -> object:
    return pytest.approx(value, rel=0.05)


@pytest.fixture(scope="module")
def queued(server: Server) -> tuple[Window, LoadResult]:
    """One instance that takes 50 ms, and five requests in flight: one is executed, four wait."""

    def calm(load: LoadResult) -> bool:
        return load.server["compute_infer"] * 1000 < 1.1 * SERVICE_MS and load.client_waiting < 0.1

    return watch_load(server, "slow", 3.0, calm, concurrency=IN_FLIGHT)


def test_the_queue_share_of_theory(queued: tuple[Window, LoadResult]) -> None:
    window, _ = queued
    assert quantity("queue_share")(window, "slow") == five_percent((IN_FLIGHT - 1) / IN_FLIGHT)


def test_littles_law(queued: tuple[Window, LoadResult]) -> None:
    """In flight = requests per second x time. The client's time: all of them; the server's: those there."""
    window, load = queued
    rate = quantity("requests_per_second")(window, "slow")
    seconds = quantity("request_ms")(window, "slow") / 1000
    assert rate == five_percent(load.requests_per_second)
    assert rate * load.latency.mean == five_percent(IN_FLIGHT)
    assert rate * seconds == five_percent(load.in_server)
    assert seconds < 1.05 * load.latency.mean


def test_the_phases(queued: tuple[Window, LoadResult]) -> None:
    window, load = queued
    of = {
        name: quantity(f"{name}_ms")(window, "slow")
        for name in ("queue", "compute_input", "compute_infer", "compute_output", "request")
    }
    assert SERVICE_MS <= of["compute_infer"] == five_percent(load.server["compute_infer"] * 1000)
    assert of["queue"] == five_percent((IN_FLIGHT - 1) * of["request"] / IN_FLIGHT)
    assert of["compute_input"] + of["compute_output"] < 0.1 * of["compute_infer"]
    phases = of["queue"] + of["compute_input"] + of["compute_infer"] + of["compute_output"]
    assert phases == five_percent(of["request"])
    assert of["request"] <= quantity("request_p99_ms")(window, "slow") < 3 * of["request"]


def test_pending_are_those_that_wait(queued: tuple[Window, LoadResult]) -> None:
    """A gauge is known at the moments of the readings only, so it is less sure than a counter."""
    window, _ = queued
    assert quantity("pending")(window, "slow") == pytest.approx(IN_FLIGHT - 1, rel=0.15)


def test_rate_and_rows_of_an_open_loop(server: Server) -> None:
    def calm(load: LoadResult) -> bool:
        return load.late is not None and load.late.max < 0.05 and not load.failed

    window, _ = watch_load(server, "quick", 3.0, calm, rate=50, arrival="constant", batch=4)
    assert quantity("requests_per_second")(window, "quick") == five_percent(50)
    assert quantity("inferences_per_second")(window, "quick") == five_percent(200)
    assert quantity("mean_batch")(window, "quick") == five_percent(4)


def test_batches_of_the_batcher(server: Server) -> None:
    """The batcher waits until four are there, and eight are in flight: every execution has four rows."""
    window, load = watch_load(server, "fours", 2.0, lambda load: load.client_waiting < 0.1, concurrency=8)
    assert quantity("mean_batch")(window, "fours") == five_percent(4)
    assert quantity("mean_batch")(window, "fours") == five_percent(load.mean_batch)
    # Two batches: one is executed, one waits. So half of the time is the queue.
    assert quantity("queue_share")(window, "fours") == pytest.approx(0.5, abs=0.08)
