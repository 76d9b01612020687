"""Which metrics an expression asks for, and questions to a real Prometheus that reads a real Triton.

Every expression of the course's rules is executed, and one unknown name fails.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from lab_utils.monitoring import rules
from lab_utils.monitoring.client import ClientMetrics
from lab_utils.monitoring.expressions import metric_names
from lab_utils.monitoring.pictures import draw_frame
from lab_utils.monitoring.queries import GPU_METRICS, Queries, known_metrics, unknown_metrics
from lab_utils.monitoring.readiness import ReadinessExporter
from lab_utils.monitoring.stack import Monitoring
from lab_utils.monitoring.tools import MonitoringError, has_prometheus, how_to_get
from lab_utils.server.base import Server
from tests.monitoring.asking import ask, client

needs_prometheus = pytest.mark.skipif(not has_prometheus(), reason=f"no Prometheus here. {how_to_get()}")
REQUESTS = 40


@pytest.mark.parametrize(
    ("promql", "names"),
    [
        ("up", "up"),
        ("up == 0", "up"),
        ('up{job="triton", instance=~"a.*"} == bool 0', "up"),
        ("rate(nv_inference_count[15s])", "nv_inference_count"),
        ("sum by (model, job) (rate(a[5m])) / sum(rate(b[5m])) by (model)", "a b"),
        ("sum without(model) (a) * on (model) group_left (job, x) b", "a b"),
        ("SUM BY (model) (a) AND ON(model) b OR c UNLESS IGNORING(x) d", "a b c d"),
        ("a offset 5m > 14.4 * 0.01 and b @ start() <= 1e6 - 1.5e-3 + 0x1F", "a b"),
        ("1e6 * inf + NaN + 5m", ""),
        ("model:triton_queue_seconds:mean15s > 0.05", "model:triton_queue_seconds:mean15s"),
        ("avg_over_time(sum(a{model='x'})[1m:1s])", "a"),
        ('histogram_quantile(0.95, sum by (le) (rate(llama_ttft_bucket[$__range])))', "llama_ttft_bucket"),
        ('sum(rate(a{model="$model"}[$range])) * $factor', "a"),
        ('label_replace(a, "to", "$1", "from", "(b.*)")', "a"),
        ('{__name__="a", job="b"}', "a"),
        ('{job="b", __name__=~"nv_.*"}', "~nv_.*"),
        ('{__name__!="a", job="b"}', ""),
        ("a # b\n+ c", "a c"),
        ('count_values("b", a)', "a"),
        ("topk(3, a) - quantile by (model) (0.9, b)", "a b"),
        ("vector(1) + time() + scalar(a)", "a"),
        ('a{x="by (b) {c}", y=`d`} + e', "a e"),
    ],
)  # fmt: skip
def test_the_names_of_metrics_are_read_from_an_expression(promql: str, names: str) -> None:
    found = metric_names(promql)
    assert {*found.exact, *(f"~{p}" for p in found.patterns)} == set(names.split())


@pytest.fixture(scope="module")
def watched(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A Prometheus that has seen 40 requests to `quick`, one execution each, and two errors of a client."""
    if not has_prometheus():
        pytest.skip(f"no Prometheus here. {how_to_get()}")
    folder = tmp_path_factory.mktemp("watched")
    readiness = ReadinessExporter(server, expected=("quick", "absent"))
    metrics = ClientMetrics(models=["quick"])
    with readiness, metrics:
        targets = {"triton": server, "readiness": readiness, "client": metrics}
        with Monitoring(targets, folder=folder, every=0.5, alerts=False) as monitoring:
            monitoring.wait_for(3, timeout=40)
            with client(server) as one:
                for number in range(REQUESTS):
                    with metrics.request("quick"):
                        ask(one, "quick")
                    if number < 2:
                        with pytest.raises(Exception, match="shape"), metrics.request("quick"):
                            ask(one, "quick", width=3)
            monitoring.wait_for(3, timeout=40)
            yield SimpleNamespace(monitoring=monitoring, server=server)


@needs_prometheus
def test_values_agree_with_what_was_asked(watched: SimpleNamespace) -> None:
    monitoring = watched.monitoring
    assert monitoring.value('triton_lab_client_requests_total{outcome="ok"}') == REQUESTS
    assert monitoring.value('triton_lab_client_requests_total{outcome="error"}') == 2
    # The page was read before and after the requests, so the increase over all is exact.
    counter = 'nv_inference_count{model="quick"}[5m]'
    assert monitoring.value(f"max_over_time({counter}) - min_over_time({counter})") == REQUESTS
    assert monitoring.value("1 + 1") == 2
    assert math.isnan(monitoring.value("vector(0) / 0"))
    ready = monitoring.vector("triton_lab_model_ready")
    assert {labels["model"]: value for labels, value in ready.items()} == {"quick": 1, "absent": 0}
    assert "__name__" not in next(iter(ready))
    both = monitoring.vector('{__name__=~"nv_inference_(count|exec_count)", model="quick"}')
    assert {labels["__name__"] for labels in both} == {"nv_inference_count", "nv_inference_exec_count"}
    assert monitoring.vector("up == 7") == {}


@needs_prometheus
def test_a_frame_has_the_time_and_a_column_per_series(watched: SimpleNamespace) -> None:
    monitoring = watched.monitoring
    frame = monitoring.frame("triton_lab_model_ready", seconds=20, step=0.5)
    assert list(frame.columns) == ["absent", "quick"]
    assert str(frame.index.tz) == "UTC"
    assert frame.index.name == "time"
    assert frame.index.is_monotonic_increasing
    assert set(frame["quick"].dropna()) == {1.0}
    assert set(frame.index.to_series().diff().dropna().dt.total_seconds()) == {0.5}
    assert abs(frame.index[-1].timestamp() - time.time()) < 5
    single = monitoring.frame('nv_inference_count{model="quick"}', seconds=10)
    assert list(single.columns) == ["nv_inference_count"]
    assert single["nv_inference_count"].iloc[-1] >= REQUESTS
    assert list(monitoring.frame("1 + 1", seconds=3).columns) == ["value"]
    assert monitoring.frame("up == 7").empty
    picture = draw_frame(frame, title="ready", unit="1 or 0", threshold=0.5)
    assert picture._repr_png_().startswith(b"\x89PNG")
    (axes,) = picture.axes
    assert [line.get_label() for line in axes.lines] == ["absent", "quick", "limit 0.5"]


@needs_prometheus
@pytest.mark.parametrize(
    ("promql", "words"),
    [
        ("nv_inference_requst_success", "Did you mean `nv_inference_request_success`"),
        ("rate(nothing_like_it[5s])", "no metric `nothing_like_it`"),
        ("nv_inference_count", "series, not one value"),
        ('nv_inference_count{model="absent"}', "No series carries these labels"),
        ("sum(", "unclosed left parenthesis"),
        ("rat(up[5s])", "unknown function"),
        ("up[5s]", "a range, not a value"),
    ],
)
def test_what_gives_no_single_value_is_explained(watched: SimpleNamespace, promql: str, words: str) -> None:
    with pytest.raises(MonitoringError) as caught:
        watched.monitoring.value(promql)
    assert words in str(caught.value)


@needs_prometheus
@pytest.mark.parametrize("rule", rules.rules_of(), ids=lambda rule: rule.name)
def test_every_expression_of_the_rules_runs_and_knows_its_metrics(
    watched: SimpleNamespace, rule: rules.Rule
) -> None:
    monitoring = watched.monitoring
    assert unknown_metrics(rule.expr, monitoring.url) == []
    found = monitoring.vector(rule.expr)
    gpu = metric_names(rule.expr).exact & GPU_METRICS
    if not rule.alert and not gpu:
        assert found, "it gives no series although requests are there"


@needs_prometheus
def test_each_misspelt_name_of_the_rules_is_noticed(watched: SimpleNamespace) -> None:
    """One unknown metric name fails the build: also that of a metric without samples, or of a GPU."""
    url = watched.monitoring.url
    names = {name for rule in rules.rules_of() for name in metric_names(rule.expr).exact}
    assert len(names) > 15
    for name in names:
        assert unknown_metrics(f"rate({name}x[5s]) > 0", url) == [f"{name}x"]
    assert unknown_metrics('{__name__=~"nv_inference_.*"}', url) == []
    assert unknown_metrics('{__name__=~"nv_inferenz_.*"} + nv_load_ratio', url) == [
        "nv_load_ratio",
        "nv_inferenz_.*",
    ]


@needs_prometheus
def test_known_is_what_is_declared_recorded_or_has_samples(watched: SimpleNamespace) -> None:
    known = known_metrics(watched.monitoring.url)
    assert {
        "up",
        "ALERTS",
        "nv_inference_count",
        "nv_inference_request_summary_us_sum",
        "triton_lab_client_request_seconds_bucket",
        "model:client_error_ratio:mean6m",
    } <= known
    assert "triton_lab_client_request_seconds" not in known  # a histogram has no series of its own name
    assert not known & GPU_METRICS or watched.monitoring.vector("nv_gpu_utilization")


def test_no_prometheus_is_said_so() -> None:
    nobody = "http://127.0.0.1:9"
    with pytest.raises(MonitoringError, match="does not answer"):
        Queries(nobody).value("up")
    with pytest.raises(MonitoringError, match="No Prometheus answers"):
        unknown_metrics("up", nobody)
