"""PromQL on a real Prometheus against the computation on scraped pages: two ways to one figure."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tritonclient.utils import InferenceServerException

from lab_utils.monitoring import QUANTITIES, ClientMetrics, Monitoring, Watcher, has_prometheus
from lab_utils.monitoring.tools import how_to_get
from lab_utils.server.base import Server
from tests.monitoring.asking import ask, client

pytestmark = [pytest.mark.live, pytest.mark.alone]
RANGE_S = 6
MODEL = {
    "cache_hit_rate": "cached",
    "mean_batch": "fours",
    "failure_ratio": "fussy",
    "client_failure_ratio": "fussy",
}
"""The model that shows a quantity best; else `slow`, with five requests in flight."""
TOLERANCE = {
    # The ends of the two windows lie up to half a second apart: that matters where few events count.
    "requests_per_second": 0.1,
    "inferences_per_second": 0.1,
    "failure_ratio": 0.2,
    "client_failure_ratio": 0.2,
    "compute_input_ms": 0.3,
    "compute_output_ms": 0.3,
    # Each way has looked at other moments.
    "pending": 0.2,
    "cpu_utilization": 0.5,
    "request_p99_ms": 0.5,
}
HERE = [q.name for q in QUANTITIES.values() if "nv_gpu_" not in q.promql and "llama_" not in q.promql]


@dataclass(frozen=True)
class Both:
    """One figure, found in two ways at the same moment."""

    promql: float
    computed: float


@contextlib.contextmanager
def traffic(server: Server, metrics: ClientMetrics) -> Iterator[None]:
    """Closed loops on `slow` (5 in flight) and `fours` (8), and a caller of `cached` and `fussy`."""
    stop = threading.Event()
    count = iter(range(1000, 10**6))

    def loop(turn: Callable[[object], None]) -> None:
        with client(server) as one:
            while not stop.is_set():
                turn(one)

    def mixed(one: object) -> None:
        number = next(count)
        for _ in range(3):  # two of three are hits
            ask(one, "cached", number)
        with contextlib.suppress(InferenceServerException), metrics.request("fussy"):
            ask(one, "fussy", -2 if number % 4 == 0 else 1)
        time.sleep(0.05)

    turns: list[Callable[[object], None]] = [lambda one: ask(one, "slow")] * 5
    turns += [lambda one: ask(one, "fours")] * 8 + [mixed]
    threads = [threading.Thread(target=loop, args=(turn,)) for turn in turns]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def figures(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    if not has_prometheus():
        pytest.skip(f"no Prometheus on this machine. {how_to_get()}")
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with ClientMetrics(models=["fussy"]) as metrics, traffic(server, metrics):
        targets = {"triton": server.endpoints.metrics, "client": metrics.address}
        with (
            Monitoring(targets, rules="", folder=folder, every=0.5, alerts=False) as prometheus,
            Watcher(server, every=0.5) as at_server,
            Watcher(metrics.address, every=0.5) as at_client,
        ):
            # A rate is by the whole range, also while readings fill only a part of it: then it is too low.
            prometheus.wait_for(f"min(sum_over_time(up[{RANGE_S + 2}s])) >= {2 * RANGE_S + 3}", timeout=60)
            found = {}
            for name in HERE:
                q, model = QUANTITIES[name], MODEL.get(name, "slow")
                watcher = at_client if name == "client_failure_ratio" else at_server
                series = prometheus.vector(q.query(model, f"{RANGE_S}s"))
                assert len(series) == 1, name
                found[name] = Both(next(iter(series.values())), q(watcher.window(RANGE_S), model))
            return found


@pytest.mark.parametrize("name", HERE)
def test_promql_and_computation_agree(figures: dict[str, Both], name: str) -> None:
    both = figures[name]
    assert both.computed > 0, "there must be something to compare"
    if QUANTITIES[name].unit == "share":
        assert both.computed <= 1
    assert both.promql == pytest.approx(both.computed, rel=TOLERANCE.get(name, 0.05))


def test_the_figures_are_those_of_the_load(figures: dict[str, Both]) -> None:
    """Else both could be wrong in the same way."""
    promql = {name: both.promql for name, both in figures.items()}
    assert promql["queue_share"] == pytest.approx(0.8, rel=0.05)
    assert promql["mean_batch"] == pytest.approx(4, rel=0.05)
    assert promql["cache_hit_rate"] == pytest.approx(2 / 3, rel=0.05)
    assert promql["failure_ratio"] == pytest.approx(0.25, rel=0.2)
    assert promql["client_failure_ratio"] == pytest.approx(0.25, rel=0.2)
    # Little's law, with two figures of two moments.
    assert promql["requests_per_second"] * promql["request_ms"] / 1000 == pytest.approx(5, rel=0.15)
