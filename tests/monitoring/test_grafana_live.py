"""Every query of the Grafana dashboard on a real Prometheus that reads a real Triton under load."""

from __future__ import annotations

import itertools
import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tritonclient.utils import InferenceServerException

from lab_utils import server as triton
from lab_utils.monitoring import (
    QUANTITIES,
    ClientMetrics,
    Monitoring,
    ReadinessExporter,
    grafana,
    grafana_build,
    has_prometheus,
)
from lab_utils.monitoring.expressions import metric_names
from lab_utils.monitoring.queries import GPU_METRICS, unknown_metrics
from lab_utils.monitoring.tools import how_to_get
from lab_utils.paths import project_root
from lab_utils.server.base import Server
from tests.monitoring import asking

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not has_prometheus(), reason=f"no Prometheus here. {how_to_get()}"),
]
RANGE = "15s"
DASHBOARD = json.loads(grafana_build.FILE.read_text())
QUERIES = grafana_build.panel_queries(DASHBOARD)
LLAMA_QUERIES = [one for one in QUERIES if any(n.startswith("llama_") for n in metric_names(one[1]).exact)]
PAGE = project_root() / "docs" / "dashboards.md"


def filled_in(promql: str, models: str = ".*") -> str:
    """The query as Grafana sends it."""
    sent = promql.replace("$__rate_interval", RANGE).replace("$model", models)
    assert "$" not in sent, sent
    return sent


@contextmanager
def repeated(action: Callable[[], None]) -> Iterator[None]:
    """Repeat something in a thread until the block ends."""
    closing = threading.Event()

    def run() -> None:
        while not closing.is_set():
            action()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()


@contextmanager
def load(server: Server, metrics: ClientMetrics) -> Iterator[None]:
    """Every model is asked, not too often; one in three requests to `fussy` fails."""
    with ExitStack() as stack:
        for model in ("quick", "slow", "fours", "cached", "fussy"):
            values = itertools.cycle((0.0, 0.0, -2.0) if model == "fussy" else (0.0,))

            def ask(model: str = model, values: Iterator[float] = values) -> None:
                with asking.client(server) as one:
                    for _ in range(5):
                        with suppress(InferenceServerException), metrics.request(model):
                            asking.ask(one, model, next(values))
                        time.sleep(0.05)

            stack.enter_context(repeated(ask))
        yield


@pytest.fixture(scope="module")
def watched(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    """A Prometheus that has read a server under load for some seconds; the load goes on."""
    models = ["quick", "slow", "fours", "cached", "fussy"]
    with (
        ReadinessExporter(server, models) as readiness,
        ClientMetrics(models=models) as client,
        load(server, client),
        Monitoring(
            {"triton": server, "readiness": readiness.address, "client": client.address},
            rules="",
            folder=tmp_path_factory.mktemp("grafana"),
            every=0.5,
            alerts=False,
        ) as monitoring,
    ):
        monitoring.wait_for(8)
        yield monitoring


def test_there_are_queries_of_each_kind() -> None:
    assert len(QUERIES) >= len(QUANTITIES)
    assert len(LLAMA_QUERIES) == 5


@pytest.mark.parametrize(
    ("title", "promql"),
    [one for one in QUERIES if one not in LLAMA_QUERIES],
    ids=lambda text: re.sub(r"\W+", "-", text)[:40],
)
def test_every_panel_shows_something(watched: Monitoring, title: str, promql: str) -> None:
    sent = filled_in(promql)
    assert unknown_metrics(sent, watched.url) == []
    found = watched.vector(sent)
    if not found and metric_names(sent).exact <= GPU_METRICS:
        return  # a server without a GPU has none of these; their names have been compared with Triton's list
    assert found, f"{title}: {sent} gives nothing"
    assert not all(math.isnan(value) for value in found.values()), f"{title}: {sent} gives no numbers"


def test_only_gpu_panels_are_excused() -> None:
    excused = [title for title, promql in QUERIES if metric_names(promql).exact <= GPU_METRICS]
    assert excused == ["CPU and GPU in use", "GPU memory in use", "GPU power"]


def test_an_unknown_name_and_an_empty_answer_would_be_found(watched: Monitoring) -> None:
    assert unknown_metrics("sum(rate(nv_inference_requests[15s]))", watched.url) == ["nv_inference_requests"]
    assert watched.vector(filled_in(QUERIES[6][1], models="nowhere")) == {}


def at_once(url: str, promql: str, at: float) -> dict[str, float]:
    """The answer for a given time, by model."""
    answer = httpx.get(
        f"{url}/api/v1/query", params={"query": promql, "time": at}, trust_env=False, timeout=20
    )
    answer.raise_for_status()
    return {
        series["metric"].get("model", ""): float(series["value"][1])
        for series in answer.json()["data"]["result"]
    }


@pytest.mark.parametrize("name", [n for n, q in QUANTITIES.items() if q.per == "model"])
def test_a_query_for_all_models_gives_what_each_model_gives_alone(watched: Monitoring, name: str) -> None:
    at = time.time() - 1
    several = at_once(watched.url, filled_in(grafana.by_model(QUANTITIES[name].promql)), at)
    if QUANTITIES[name].source.startswith("docs/llama"):
        assert several == {}, "no Llama runs here"
        return
    assert several
    for model, value in several.items():
        alone = at_once(watched.url, QUANTITIES[name].query(model, RANGE), at)
        assert alone[""] == pytest.approx(value, nan_ok=True), model


def test_the_list_of_models_is_there(watched: Monitoring) -> None:
    (variable,) = [v for v in DASHBOARD["templating"]["list"] if v["name"] == "model"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()
    found = {labels[label] for labels in watched.vector(f"count by ({label}) ({metric})")}
    assert {"quick", "slow", "fours", "cached", "fussy"} <= found


def test_the_page_about_public_dashboards_is_right(watched: Monitoring) -> None:
    """Those that it calls dead ask for names that Triton does not have; the others only mislead."""
    rows = re.findall(r"^\| `([^`]+)` \| (dead|misleads)", PAGE.read_text(), re.MULTILINE)
    assert len(rows) >= 6
    for promql, verdict in rows:
        unknown = unknown_metrics(promql, watched.url)
        assert bool(unknown) == (verdict == "dead"), (promql, unknown)
        assert verdict == "dead" or watched.vector(promql), promql


def test_the_biased_queue_time_is_as_wrong_as_the_page_says(watched: Monitoring) -> None:
    """queue / (1 + rate) is the true mean times rate / (1 + rate), whatever the load."""
    at = time.time() - 1
    biased = "rate(nv_inference_queue_duration_us[15s]) / (1 + rate(nv_inference_request_success[15s]))"
    true = "rate(nv_inference_queue_duration_us[15s]) / rate(nv_inference_request_success[15s])"
    rate = at_once(watched.url, 'rate(nv_inference_request_success{model="fours"}[15s])', at)["fours"]
    assert rate < 5, "a request waits up to two seconds for three others, which do not come"
    share = at_once(watched.url, biased, at)["fours"] / at_once(watched.url, true, at)["fours"]
    assert share == pytest.approx(rate / (1 + rate), rel=0.01)
    assert share < 0.85


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The model `llama` with random weights: nothing is trained for it."""
    pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
    pytest.importorskip("tokenizers", reason="tokenizers is not installed: make test EXTRAS=torch")
    import shutil

    from lab_utils.llama import random_llama
    from lab_utils.llama.small import SHAPE

    folder = tmp_path_factory.mktemp("llama")
    weights = random_llama(folder / "weights", SHAPE)
    repository = folder / "repository"
    shutil.copytree(project_root() / "model_repository" / "llama", repository / "llama")
    _set_parameter(repository / "llama" / "config.pbtxt", "model", str(weights))
    server = triton.start(
        repository,
        name="grafana-llama",
        options=["--exit-timeout-secs=1"],
        lifetime="kernel",
        wait_for=["llama"],
    )
    try:
        yield server
    finally:
        server.stop()


def _set_parameter(config: Path, key: str, value: str) -> None:
    pattern = rf'(key: "{key}"\s*value: {{ string_value: )"[^"]*"'
    changed, count = re.subn(pattern, rf'\1"{value}"', config.read_text())
    assert count == 1
    config.write_text(changed)


def test_every_llama_panel_shows_something(llama: Server, tmp_path: Path) -> None:
    def ask() -> None:
        question: dict[str, Any] = {"text_input": "What?", "max_tokens": 20, "stream": False}
        url = f"{llama.endpoints.http_url}/v2/models/llama/generate"
        httpx.post(url, json=question, trust_env=False, timeout=60).raise_for_status()

    targets = {"triton": llama}
    ask()  # the first one is slow
    with (
        repeated(ask),
        Monitoring(targets, rules="", folder=tmp_path, every=0.5, alerts=False) as monitoring,
    ):
        monitoring.wait_for(8)
        for title, promql in LLAMA_QUERIES:
            sent = filled_in(promql)
            assert unknown_metrics(sent, monitoring.url) == [], title
            found = monitoring.vector(sent)
            assert [labels["model"] for labels in found] == ["llama"], f"{title}: {sent}"
            assert not any(math.isnan(value) for value in found.values()), f"{title}: {sent}"
