"""Exact truths on a real server: so many requests with such an outcome. No clock is involved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import psutil
import pytest

from lab_utils.monitoring import QUANTITIES, Watcher, Window, quantity
from lab_utils.monitoring.expressions import metric_names
from lab_utils.monitoring.queries import GPU_METRICS
from lab_utils.monitoring.samples import scrape
from lab_utils.paths import project_root
from lab_utils.server.base import Server
from tests.monitoring.asking import ask, client

pytestmark = pytest.mark.live


def around(server: Server, work: Callable[[], None]) -> Window:
    with Watcher(server, every=60) as watcher:
        work()
    return watcher.window()


def test_batches_of_the_client_are_rows(server: Server) -> None:
    def work() -> None:
        with client(server) as one:
            for rows in (1, 2, 6):
                ask(one, "quick", rows=rows)

    window = around(server, work)
    assert quantity("mean_batch")(window, "quick") == 3
    per_request = quantity("requests_per_second")(window, "quick")
    assert quantity("inferences_per_second")(window, "quick") == pytest.approx(3 * per_request)
    assert per_request == pytest.approx(3 / window.seconds)


def test_cache_hits(server: Server) -> None:
    def work() -> None:
        with client(server) as one:
            for _ in range(5):
                for value in range(10):
                    ask(one, "cached", 2_000_000 + value)  # which no other test asks: the server is shared

    window = around(server, work)
    assert quantity("cache_hit_rate")(window, "cached") == 0.8
    assert window.increase("nv_inference_count", model="cached") == 10, "hits are no inferences"
    assert window.increase("nv_inference_request_success", model="cached") == 50, "but they are answers"
    assert math.isnan(quantity("cache_hit_rate")(window, "quick")), "it has no cache"


def test_the_counts_of_the_whole_cache_are_gauges_and_late(server: Server) -> None:
    """Triton declares them as gauges and brings them up to date once per metrics interval."""
    with client(server) as one:
        for _ in range(3):
            ask(one, "cached", 77)
    per_model = scrape(server).value("nv_cache_num_hits_per_model")
    end = time.monotonic() + 10
    while (page := scrape(server)).value("nv_cache_num_hits") != per_model:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert page.kind("nv_cache_num_hits") == "gauge"
    assert page.kind("nv_cache_num_hits_per_model") == "counter"


def test_a_model_with_a_cache_has_no_summary_of_its_requests(server: Server) -> None:
    with client(server) as one:
        ask(one, "cached", 78)
        ask(one, "quick")
    page = scrape(server)
    assert page.value("nv_inference_request_summary_us", model="quick", quantile="0.99") > 0
    assert not page.has("nv_inference_request_summary_us", model="cached")
    assert page.has("nv_inference_queue_summary_us", model="cached")


def test_this_release_has_no_histograms(server: Server) -> None:
    page = scrape(server)
    assert {family.kind for family in page.families.values()} == {"counter", "gauge", "summary"}


def test_memory_and_processor_of_the_machine(server: Server) -> None:
    """Both count the whole machine, not the server alone. psutil reads the same files of the kernel."""
    psutil.cpu_percent()
    with Watcher(server, every=0.2) as watcher:
        sum(i * i for i in range(12_000_000))  # work for one core
        used = psutil.cpu_percent() / 100
        memory = psutil.virtual_memory()
    window = watcher.window()
    # Triton reads every 0.2 s here (2 s by default), so its window is a little older than ours.
    assert quantity("cpu_utilization")(window) == pytest.approx(used, abs=0.2)
    truth = memory.total - memory.available
    assert abs(quantity("cpu_memory_used_bytes")(window) - truth) < 0.05 * memory.total


def test_every_query_names_metrics_that_exist(server: Server) -> None:
    """On Triton's page, in the Llama engine, in our exporters; those of a GPU are the only excused ones."""
    with client(server) as one:
        ask(one, "quick")
        ask(one, "cached")
    known = set(scrape(server).names()) | GPU_METRICS | {"triton_lab_client_requests_total"}
    engine = (project_root() / "lab_utils" / "llama" / "engine" / "metrics.py").read_text()
    for q in QUANTITIES.values():
        for metric in metric_names(q.query("m")).exact:
            assert metric in known or f'"{metric.removesuffix("_bucket")}"' in engine, metric
