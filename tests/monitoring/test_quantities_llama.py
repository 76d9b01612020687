"""The figures of the Llama engine: against what a client measures, and in PromQL on a real Prometheus."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab_utils import server as triton
from lab_utils.load import GenerationResult, run_generation
from lab_utils.monitoring import QUANTITIES, Monitoring, Window, has_prometheus, quantity, watch
from lab_utils.monitoring.tools import how_to_get
from lab_utils.progress.repository import copy_models
from lab_utils.server.base import Server
from tests.llama.training import trained
from tests.monitoring.asking import wait_for

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("tokenizers", reason="tokenizers is not installed: make test EXTRAS=torch")
pytestmark = [pytest.mark.live, pytest.mark.alone]
IN_FLIGHT = 4
SECONDS = 4.0
NAMES = [q.name for q in QUANTITIES.values() if "llama_" in q.promql]
Watched = tuple[Window, GenerationResult, dict[str, float]]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    trained()
    repository: Path = tmp_path_factory.mktemp("llama") / "models"
    copy_models(["llama"], repository)
    options = ["--exit-timeout-secs=1"]
    with ExitStack() as ending:
        server = triton.start(
            repository,
            name="monitoring-llama",
            options=options,
            lifetime="kernel",
            wait_for=["llama"],
            timeout=120,
        )
        ending.callback(server.stop)
        yield server


@pytest.fixture(scope="module")
def watched(llama: Server, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Four answers of 60 tokens at any time, seen by the client, by us, and by Prometheus if there is one."""
    results: list[GenerationResult] = []

    def load() -> None:
        settings = {"max_tokens": 60, "ignore_eos": True, "warmup": 0.5, "progress": False}
        results.append(
            run_generation(
                llama,
                "llama",
                ["What is Triton?"],
                concurrency=IN_FLIGHT,
                seconds=SECONDS + 2.5,
                **settings,  # type: ignore[arg-type]
            )
        )

    promql: dict[str, float] = {}
    with ExitStack() as running:
        prometheus = None
        if has_prometheus():
            folder = tmp_path_factory.mktemp("prometheus")
            targets = {"triton": llama.endpoints.metrics}
            prometheus = running.enter_context(
                Monitoring(targets, rules="", folder=folder, every=0.5, alerts=False)
            )
            prometheus.wait_for(
                f"min(sum_over_time(up[{SECONDS:.0f}s])) >= {2 * SECONDS - 1:.0f}", timeout=60
            )
        thread = threading.Thread(target=load)
        thread.start()
        running.callback(thread.join)
        wait_for(llama, "llama_generated_tokens_total", model="llama")
        time.sleep(1)  # Prometheus looks twice per second: its window must not reach back to the empty slots
        window = watch(llama, SECONDS, every=0.25)
        if prometheus:
            queries = {name: QUANTITIES[name].query("llama", f"{SECONDS:.0f}s") for name in NAMES}
            promql = {name: prometheus.value(query) for name, query in queries.items()}
    return window, results[0], promql


def test_tokens_per_second(watched: Watched) -> None:
    """The engine tells its numbers four times per second: both ends may be a quarter of a second off."""
    window, load, _ = watched
    assert quantity("tokens_per_second")(window, "llama") == pytest.approx(load.tokens_per_second, rel=0.15)


def test_slots_and_queue(watched: Watched) -> None:
    window, _, _ = watched
    assert quantity("active_slots")(window, "llama") == pytest.approx(IN_FLIGHT, rel=0.15)
    assert quantity("queue_length")(window, "llama") < 1


def test_times(watched: Watched) -> None:
    """A quantile from buckets lies in the right bucket; theirs are up to 2.5 times as wide as they begin."""
    window, load, _ = watched
    ttft = quantity("ttft_p95")(window, "llama")
    assert 0 < ttft < 2.5 * load.ttft.p95
    # Each of the running answers gets one token per step.
    step = IN_FLIGHT / quantity("tokens_per_second")(window, "llama")
    assert step / 2.5 < quantity("itl_p95")(window, "llama") < 20 * step


@pytest.mark.parametrize("name", NAMES)
def test_promql_and_computation_agree(watched: Watched, name: str) -> None:
    window, _, promql = watched
    if not promql:
        pytest.skip(f"no Prometheus on this machine. {how_to_get()}")
    computed = quantity(name)(window, "llama")
    within = {"ttft_p95": 1.5, "itl_p95": 0.5}.get(name, 0.15)
    assert promql[name] == pytest.approx(computed, rel=within, abs=0.5 if name == "queue_length" else None)
