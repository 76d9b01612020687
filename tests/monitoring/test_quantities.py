"""The formulas on pages written here: NaN where nothing happened, resets, GPUs, quantiles, queries."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from lab_utils.monitoring import QUANTITIES, MetricsError, Window, parse, quantity, report
from lab_utils.monitoring.expressions import metric_names
from lab_utils.monitoring.formulas import histogram_quantile
from lab_utils.paths import project_root

COUNTERS = (
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
    "nv_cache_num_hits_per_model",
    "nv_cache_num_misses_per_model",
    "llama_generated_tokens_total",
)
RATES = ("requests_per_second", "inferences_per_second", "tokens_per_second")


def window(*values: dict[str, float], every: float = 2.0, model: str = "m") -> Window:
    """A window from the values of counters, one dictionary per reading. Counters that are not named are 0."""
    pages = []
    for number, page in enumerate(values):
        lines = [
            f'# TYPE {name} counter\n{name}{{model="{model}",version="1"}} {page.get(name, 0)}\n'
            for name in COUNTERS
        ]
        pages.append(parse("".join(lines), at=number * every))
    return Window(pages)


def of_counters() -> list[str]:
    """The quantities that follow from counters of the server's page."""
    return [q.name for q in QUANTITIES.values() if metric_names(q.query("m")).exact <= set(COUNTERS)]


def test_nearly_all_follow_from_counters() -> None:
    assert set(of_counters()) >= {"queue_share", "mean_batch", "failure_ratio", "cache_hit_rate", *RATES}


@pytest.mark.parametrize("name", of_counters())
def test_where_nothing_happened_a_rate_is_zero_and_the_rest_nan(name: str) -> None:
    value = quantity(name)(window({}, {}), "m")
    assert value == 0 if name in RATES else math.isnan(value)


@pytest.mark.parametrize("name", list(QUANTITIES))
def test_of_a_model_that_is_not_there_there_is_nothing(name: str) -> None:
    assert math.isnan(quantity(name)(window({}, {}), "another"))


@pytest.mark.parametrize(
    ("name", "counted", "truth"),
    [
        ("requests_per_second", {"nv_inference_request_success": 30}, 15),
        ("inferences_per_second", {"nv_inference_count": 120}, 60),
        ("mean_batch", {"nv_inference_count": 120, "nv_inference_exec_count": 40}, 3),
        (
            "queue_share",
            {"nv_inference_queue_duration_us": 70, "nv_inference_request_duration_us": 80},
            0.875,
        ),
        ("queue_ms", {"nv_inference_queue_duration_us": 9e6, "nv_inference_request_success": 300}, 30),
        (
            "compute_infer_ms",
            {"nv_inference_compute_infer_duration_us": 5000, "nv_inference_request_success": 2},
            2.5,
        ),
        ("failure_ratio", {"nv_inference_request_failure": 1, "nv_inference_request_success": 3}, 0.25),
        ("failure_ratio", {"nv_inference_request_failure": 4}, 1),
        ("failure_ratio", {"nv_inference_request_success": 4}, 0),
        ("cache_hit_rate", {"nv_cache_num_hits_per_model": 40, "nv_cache_num_misses_per_model": 10}, 0.8),
        ("tokens_per_second", {"llama_generated_tokens_total": 50}, 25),
    ],
)
def test_formulas(name: str, counted: dict[str, float], truth: float) -> None:
    assert quantity(name)(window({}, counted), "m") == pytest.approx(truth)


@pytest.mark.parametrize("name", of_counters())
def test_a_restart_changes_no_ratio_and_makes_nothing_negative_or_huge(name: str) -> None:
    """The same work in each step, with a restart of the server after the third reading and without."""
    per_step = {counter: 10.0 * (number + 1) for number, counter in enumerate(COUNTERS)}
    steps = [{counter: n * gain for counter, gain in per_step.items()} for n in (7, 8, 9, 1, 2)]
    even = [{counter: n * gain for counter, gain in per_step.items()} for n in (7, 8, 9, 10, 11)]
    assert quantity(name)(window(*steps), "m") == pytest.approx(quantity(name)(window(*even), "m"))


GPUS = """\
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.9
nv_gpu_utilization{gpu_uuid="GPU-2"} 0.3
# TYPE nv_gpu_memory_total_bytes gauge
nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 8e9
nv_gpu_memory_total_bytes{gpu_uuid="GPU-2"} 24e9
# TYPE nv_gpu_memory_used_bytes gauge
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 8e9
nv_gpu_memory_used_bytes{gpu_uuid="GPU-2"} 0
# TYPE nv_gpu_power_usage gauge
nv_gpu_power_usage{gpu_uuid="GPU-1"} 250
nv_gpu_power_usage{gpu_uuid="GPU-2"} 50
"""


def test_gpus() -> None:
    """In the form of Triton's documentation: no machine with a GPU was at hand."""
    two = Window([parse(GPUS, at=0), parse(GPUS.replace("0.9", "0.7").replace(" 50\n", " 70\n"), at=1)])
    assert quantity("gpu_utilization")(two) == pytest.approx(0.55)
    assert quantity("gpu_memory_share")(two) == pytest.approx(0.25)
    assert quantity("gpu_power")(two) == pytest.approx(310)


def test_the_largest_p99_of_the_versions_counts() -> None:
    text = "# TYPE nv_inference_request_summary_us summary\n"
    series = 'nv_inference_request_summary_us{{model="m",version="{}",quantile="{}"}} {}\n'
    lines = [
        series.format(*row) for row in ((1, 0.99, 5000), (2, 0.99, 9000), (3, 0.99, "NaN"), (2, 0.5, 1e6))
    ]
    page = Window([parse(text + "".join(lines), at=t) for t in (0, 1)])
    assert quantity("request_p99_ms")(page, "m") == 9
    empty = Window([parse(text + lines[2], at=t) for t in (0, 1)])
    assert math.isnan(quantity("request_p99_ms")(empty, "m"))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 0.999])
def test_a_quantile_from_buckets_lies_in_the_bucket_of_the_true_one(share: float) -> None:
    values = np.random.default_rng(1).lognormal(-3, 1, 5000)
    bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, math.inf]
    counts = {bound: float(np.count_nonzero(values <= bound)) for bound in bounds}
    found, truth = histogram_quantile(share, counts), float(np.quantile(values, share))
    above = next(b for b in bounds if truth <= b)
    below = max([b for b in bounds if b < truth], default=0.0)
    assert below <= found <= above
    assert abs(found - truth) < 0.25 * truth


def test_quantiles_at_the_edges() -> None:
    assert math.isnan(histogram_quantile(0.95, {1.0: 0, math.inf: 0}))
    assert math.isnan(histogram_quantile(0.95, {}))
    assert histogram_quantile(0.95, {1.0: 0, 2.0: 0, math.inf: 7}) == 2, "above all bounds: the last one"
    assert histogram_quantile(0.5, {1.0: 10, math.inf: 10}) == 0.5
    assert histogram_quantile(0.5, {1.0: 4, 2.0: 4, 4.0: 8, math.inf: 8}) == 1, "Prometheus, too, says 1 here"
    assert histogram_quantile(0.0, {1.0: 0, 2.0: 4, math.inf: 4}) == 1, "where the values begin"
    assert histogram_quantile(1.0, {1.0: 4, 2.0: 4, 4.0: 8, math.inf: 8}) == 4


def test_a_histogram_of_a_window_holds_new_values_only() -> None:
    def page(at: float, *counts: int) -> object:
        buckets = zip(("0.1", "0.2", "+Inf"), counts, strict=True)
        name = "llama_time_to_first_token_seconds"
        lines = [f'{name}_bucket{{model="llama",pid="7",le="{le}"}} {count}\n' for le, count in buckets]
        return parse(f"# TYPE {name} histogram\n" + "".join(lines), at)

    # 100 old values below 0.1; 20 new ones between 0.1 and 0.2.
    both = Window([page(0, 100, 100, 100), page(1, 100, 120, 120)])  # type: ignore[list-item]
    assert quantity("ttft_p95")(both, "llama") == pytest.approx(0.195)


@pytest.mark.parametrize("name", list(QUANTITIES))
def test_a_query_is_complete(name: str) -> None:
    q = QUANTITIES[name]
    query = q.query('a"b\\c', "30s")
    assert "$" not in query
    assert ("model=" in query) == (q.per == "model")
    if q.per == "model":
        assert r'model="a\"b\\c"' in query
    assert q.source.startswith("https://") or (project_root() / q.source.split("#")[0]).is_file()


@pytest.mark.parametrize("name", list(QUANTITIES))
def test_formula_and_query_speak_of_the_same_metrics(name: str) -> None:
    q = QUANTITIES[name]
    asked = {re.sub("_bucket$", "", metric) for metric in metric_names(q.query("m")).exact}
    assert set(re.findall(r"(?:nv|llama|triton_lab)_[a-z_]+", q.formula)) == asked


def test_the_page_of_the_course_has_every_quantity_with_its_query() -> None:
    page = (project_root() / "docs" / "monitoring.md").read_text()
    for q in QUANTITIES.values():
        (row,) = re.findall(rf"^\| `{q.name}` \|.*$", page, re.MULTILINE)
        assert f"`{q.promql}`" in row.replace("\\|", "|")
        assert f"| {q.unit} | {q.formula} |" in row


def test_an_unknown_quantity() -> None:
    with pytest.raises(MetricsError, match="no quantity `batch_size`") as caught:
        quantity("batch_size")
    assert "mean_batch" in caught.value.fix


def test_a_report_has_a_row_for_each_model_and_no_empty_columns() -> None:
    pages = window({}, {"nv_inference_request_success": 30, "nv_inference_queue_duration_us": 3e5})
    table = report(pages)
    assert list(table.index) == ["m"]
    assert table.loc["m", "requests_per_second"] == 15
    assert table.loc["m", "queue_ms"] == 10
    assert "ttft_p95" not in table.columns
    assert "mean_batch" not in table.columns, "nothing was executed"
    both = report(pages, ["m", "other"])
    assert both["requests_per_second"].isna().tolist() == [False, True]
