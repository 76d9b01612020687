"""Reading one page: values, labels, kinds, and clear words about what is not there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest

from lab_utils import monitoring
from lab_utils.monitoring import Labels, MetricsError, parse

PAGE = """\
# HELP nv_inference_request_success Number of successful inference requests
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="a",version="1"} 3
nv_inference_request_success{model="a",version="2"} 4
nv_inference_request_success{model="b",version="1"} 5
# HELP nv_inference_request_failure Number of failed inference requests
# TYPE nv_inference_request_failure counter
# HELP nv_cpu_utilization CPU utilization rate [0.0 - 1.0]
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization 0.25
# HELP llama_generated_tokens_total Tokens made.
# TYPE llama_generated_tokens_total counter
llama_generated_tokens_total{model="llama"} 1e3
# TYPE nv_inference_request_summary_us summary
nv_inference_request_summary_us_count{model="a"} 7
nv_inference_request_summary_us_sum{model="a"} 700
nv_inference_request_summary_us{model="a",quantile="0.5"} 90
nv_inference_request_summary_us{model="a",quantile="0.99"} NaN
# TYPE llama_inter_token_seconds histogram
llama_inter_token_seconds_bucket{le="0.1"} 2
llama_inter_token_seconds_bucket{le="+Inf"} 3
llama_inter_token_seconds_count 3
llama_inter_token_seconds_sum 0.5
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="a"} 2
# TYPE odd_count summary
odd_count{quantile="0.5"} 1
bare_number 17
"""


def test_values_are_summed_over_the_series_that_carry_the_labels() -> None:
    page = parse(PAGE, at=5.0)
    name = "nv_inference_request_success"
    assert (page.at, page.value(name), page.value(name, model="a")) == (5.0, 12, 7)
    assert page.value(name, model="a", version="2") == 4
    assert page.series(name, version="1") == {
        Labels(model="a", version="1"): 3,
        Labels(model="b", version="1"): 5,
    }
    assert page.labels_of(name, "model") == ["a", "b"]


def test_a_counter_keeps_the_name_that_stands_on_the_page() -> None:
    """prometheus_client lets every counter end in `_total`; Triton's do not, the Llama engine's do."""
    page = parse(PAGE)
    assert page.value("llama_generated_tokens_total") == 1000
    assert "nv_inference_request_success_total" not in page.names()
    assert page.kind("llama_generated_tokens_total") == page.kind("nv_inference_request_success") == "counter"


@pytest.mark.parametrize(
    ("name", "kind", "cumulative"),
    [
        ("nv_inference_request_success", "counter", True),
        ("nv_cpu_utilization", "gauge", False),
        ("nv_inference_request_summary_us", "summary", False),
        ("nv_inference_request_summary_us_sum", "summary", True),
        ("nv_inference_request_summary_us_count", "summary", True),
        ("llama_inter_token_seconds_bucket", "histogram", True),
        ("llama_inter_token_seconds_count", "histogram", True),
        ("llama_inter_token_seconds", "histogram", False),
        ("nv_inference_pending_request_count", "gauge", False),
        ("odd_count", "summary", False),
        ("bare_number", "untyped", False),
    ],
)
def test_kinds(name: str, kind: str, cumulative: bool) -> None:
    page = parse(PAGE)
    assert page.kind(name) == kind
    assert page.cumulative(name) == cumulative


def test_what_prometheus_client_writes_is_read_as_it_is() -> None:
    registry = CollectorRegistry()
    Counter("asked", "help", ["who"], registry=registry).labels('a"b\\c\nd').inc(2)
    Gauge("level", "two\nlines", registry=registry).set(-1.5)
    Histogram("took", "help", buckets=[1, 2], registry=registry).observe(1.5)
    Summary("size", "help", registry=registry).observe(3)
    page = parse(generate_latest(registry).decode())
    assert page.value("asked_total", who='a"b\\c\nd') == 2
    assert page.value("level") == -1.5
    assert page.families["level"].help == "two\nlines"
    assert page.series("took_bucket") == {Labels(le="1.0"): 0, Labels(le="2.0"): 1, Labels(le="+Inf"): 1}
    assert (page.value("size_sum"), page.kind("size_sum")) == (3, "summary")


@pytest.mark.parametrize(
    ("name", "labels", "words"),
    [
        ("nv_inference_request_sucess", {}, "Did you mean `nv_inference_request_success`"),
        ("utilization", {}, "Did you mean `nv_cpu_utilization`"),
        ("up", {}, "names()"),
        ("nv_inference_request_failure", {}, "has no series at the moment"),
        ("llama_inter_token_seconds", {}, "Its values stand under `llama_inter_token_seconds_bucket`"),
        ("nv_inference_request_success", {"model": "c"}, "There are: a, b."),
        ("nv_inference_request_success", {"modle": "a"}, "Its labels are: model, version."),
        ("nv_cpu_utilization", {"model": "a"}, "It has no labels at all."),
        ("nv_inference_request_success", {"model": "b", "version": "2"}, "but in different series"),
    ],
)
def test_what_is_not_there_is_said(name: str, labels: dict[str, str], words: str) -> None:
    page = parse(PAGE)
    with pytest.raises(MetricsError, match=re.escape(words)) as caught:
        page.value(name, **labels)
    assert name in caught.value.what
    assert caught.value.fix
    assert page.find(name, **labels) == {}
    assert not page.has(name, **labels)


def test_a_label_that_no_series_has() -> None:
    with pytest.raises(MetricsError, match="has no label `gpu_uuid`"):
        parse(PAGE).labels_of("nv_inference_request_success", "gpu_uuid")
    with pytest.raises(MetricsError, match="no metric `nv_nothing`"):
        parse(PAGE).kind("nv_nothing")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html><body>Welcome</body></html>", "Line 1"),
        ('{"name": "triton"}', "Line 1"),
        ("# TYPE a counter\na 1\nb{c=1} 2\n", "Line 3"),
        ('# TYPE a counter\na 1\na{b="c"', "Line 3"),
        ("a 1\nb one\n", "Line 2"),
        ("a 1\n\nb\n", "Line 3"),
        ('# TYPE a gauge\na{b="1"} 1\na{b="1"} 2\n', "two values for a"),
        ("", "The page holds no metrics"),
        ("# just a comment\n", "The page holds no metrics"),
    ],
)
def test_a_page_that_is_no_page_is_refused(text: str, words: str) -> None:
    with pytest.raises(MetricsError) as caught:
        parse(text)
    assert words in str(caught.value)
    assert "/metrics" in caught.value.fix or "8002" in caught.value.fix


def test_labels_are_a_mapping_that_can_be_a_key() -> None:
    labels = Labels({"model": "a"}, version="1")
    assert labels == {"version": "1", "model": "a"} == dict(labels)
    assert labels == Labels(version="1", model="a")
    assert hash(labels) == hash(Labels(version="1", model="a"))
    assert labels != Labels(model="a")
    assert labels["model"] == "a"
    assert str(labels) == '{model="a", version="1"}'


def test_pages_share_their_labels() -> None:
    """Hundreds of pages are kept by a watcher: equal labels must not be stored for each."""
    first, second = (next(iter(parse(PAGE).series("nv_inference_request_success", model="b"))) for _ in "12")
    assert first is second


def test_everything_that_the_package_offers_is_there() -> None:
    for name in monitoring.__all__:
        assert getattr(monitoring, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = monitoring.nothing


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = "import sys, lab_utils.monitoring as m; m.scrape; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pandas", "matplotlib", "ipywidgets", "prometheus_api_client", "torch", "tritonclient"}
    assert not heavy & set(done.stdout.split())
