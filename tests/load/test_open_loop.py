"""An open loop: requests come when they are due, and waiting counts from then (no coordinated omission)."""

from __future__ import annotations

import asyncio
import itertools
import time

import numpy as np
import pytest

from lab_utils.load import run_load, session
from lab_utils.load.arrivals import Timer, arrival_times
from lab_utils.server.base import Server

pytestmark = pytest.mark.alone

live = pytest.mark.live


@live
@pytest.mark.parametrize("protocol", ["grpc", "http", "stream"])
def test_below_capacity_the_rate_is_kept(server: Server, protocol: str) -> None:
    result = run_load(server, "steady", protocol=protocol, rate=40, arrival="constant", seconds=1, warmup=0.1)
    assert result.requests_per_second == pytest.approx(40, abs=3)
    assert 0.008 <= result.latency.p50 < 0.016
    assert result.late is not None
    assert result.late.p50 < 0.003
    assert not result.errors


@live
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_above_capacity_the_latency_grows_with_time(server: Server, protocol: str) -> None:
    # 100 due and 50 served each second: after one second the queue is 50 long, so that the last
    # request waits a second. A generator that waits for answers would report 20 ms.
    result = run_load(
        server, "sleepy", protocol=protocol, rate=100, arrival="constant", seconds=1, warmup=0, processes=1
    )
    assert 25 <= result.requests_per_second <= 52
    assert result.latency.count == pytest.approx(100, abs=2), "also those that ended after the window count"
    # Bounds from below: on a busy machine the queue grows faster still.
    assert result.latency.mean > 0.4
    assert result.latency.max > 0.8
    assert any("the queue grew" in note for note in result.notes)


@live
def test_what_the_client_holds_back_counts_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # With two connections the requests wait in the client instead of Triton's queue. It is the same wait.
    monkeypatch.setattr(session, "_OPEN_LOOP_MOST", 2)
    result = run_load(
        server,
        "sleepy",
        protocol="http",
        rate=100,
        arrival="constant",
        seconds=0.6,
        warmup=0,
        processes=1,
        drain=2,
    )
    assert result.server["queue"] < 0.030, "the queue of the server stayed short"
    assert result.late is not None
    assert result.late.max > 0.1
    assert result.latency.max > 0.15
    assert any("after they were due" in note for note in result.notes)


@live
def test_what_was_never_sent_is_said(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_OPEN_LOOP_MOST", 1)
    result = run_load(server, "sleepy", rate=200, seconds=0.4, warmup=0, processes=1, arrival="constant")
    assert result.errors["not_sent"] == pytest.approx(80 - result.latency.count, abs=3)


def test_poisson_gaps_are_exponential() -> None:
    times = np.array(list(itertools.islice(arrival_times(200, "poisson", 10.0, seed=3), 20_000)))
    gaps = np.diff(times)
    assert times[0] > 10
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.03), "an exponential's deviation is its mean"
    assert (gaps > 1 / 200).mean() == pytest.approx(np.exp(-1), abs=0.015)
    counts = np.bincount(((times - times[0]) // 0.1).astype(int))[:-1]
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.15), "counts per tenth are Poisson"
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.03, "one gap says nothing of the next"


def test_schedules_repeat_and_differ_by_seed() -> None:
    first, again, other = (
        list(itertools.islice(arrival_times(10, "poisson", 0.0, seed=seed), 50)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_constant_gaps_are_equal_and_do_not_drift() -> None:
    times = list(itertools.islice(arrival_times(1000, "constant", 5.0, offset=0.25), 5001))
    assert times[0] == 5.25
    assert times[-1] == pytest.approx(10.25, abs=1e-9)


def test_the_timer_is_finer_than_a_millisecond() -> None:
    async def lateness() -> list[float]:
        timer = Timer()
        found = []
        for _ in range(60):
            moment = time.perf_counter() + 0.0014
            await timer.until(moment)
            found.append(time.perf_counter() - moment)
        timer.close()
        return found

    late = asyncio.run(lateness())
    assert min(late) >= 0, "never early"
    # asyncio's own sleep ends 0.6 ms late here in the best case: it rounds 1.4 up to 2 ms.
    assert sorted(late)[len(late) // 4] < 0.0005
