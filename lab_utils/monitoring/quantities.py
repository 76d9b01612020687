"""What is worth knowing about a server, each with its formula, its PromQL and its source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING, Literal

from lab_utils.monitoring import formulas
from lab_utils.monitoring.samples import MetricsError
from lab_utils.monitoring.window import Window

if TYPE_CHECKING:
    import pandas as pd

TRITON = "https://github.com/triton-inference-server/server/blob/main/docs/user_guide/metrics.md"
LLAMA = "docs/llama-engine.md#metrics"
CLIENT = "docs/monitoring.md#what-the-failure-counter-does-not-count"


@dataclass(frozen=True)
class Quantity:
    """A figure that is derived from metrics.

    Attributes:
        name: Its key in `QUANTITIES`.
        unit: `1/s`, `ms`, `s`, `W`, `bytes`, `rows`, `requests`, `slots`, or `share` (0 to 1).
        formula: How it follows from the metrics, for people. Δ is the increase within the window.
        promql: The same for Prometheus; `$model` and `$range` stand for a model's name and a time like 15s.
        source: Where the metrics are described.
        per: `model`, or `server` where the metric knows no model (then the model's name is not used).
        compute: The figure of a window, for a model.
    """

    name: str
    unit: str
    formula: str
    promql: str
    source: str
    per: Literal["model", "server"]
    compute: Callable[[Window, str], float]

    def query(self, model: str = "", range: str = "15s") -> str:
        """The PromQL for one model and one range.

        Args:
            model: The model's name. Not needed for a quantity of the server.
            range: How far to look back, in PromQL's words: `15s`, `5m`. At least four scrape intervals, so
                that two readings are left when some fail.
        """
        # A backslash or a quote in a name would end PromQL's string.
        escaped = model.replace("\\", "\\\\").replace('"', '\\"')
        return Template(self.promql).substitute(model=escaped, range=range)

    def __call__(self, window: Window, model: str = "") -> float:
        """The figure of this window. NaN: there was nothing to take it of, or there is no such metric."""
        return self.compute(window, model)


_SUCCESS, _FAILURE = "nv_inference_request_success", "nv_inference_request_failure"
_REQUEST, _QUEUE = "nv_inference_request_duration_us", "nv_inference_queue_duration_us"
_COMPUTE = "nv_inference_compute_{}_duration_us"
_GPU_MEMORY = ("nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes")


def _table() -> dict[str, Quantity]:
    rate, ratio, share = formulas.rate, formulas.ratio, formulas.share
    of_triton = {
        "requests_per_second": ("1/s", rate(_SUCCESS)),
        "inferences_per_second": ("1/s", rate("nv_inference_count")),
        "mean_batch": ("rows", ratio("nv_inference_count", "nv_inference_exec_count")),
        "queue_share": ("share", ratio(_QUEUE, _REQUEST)),
        "queue_ms": ("ms", ratio(_QUEUE, _SUCCESS, 1000)),
        "compute_input_ms": ("ms", ratio(_COMPUTE.format("input"), _SUCCESS, 1000)),
        "compute_infer_ms": ("ms", ratio(_COMPUTE.format("infer"), _SUCCESS, 1000)),
        "compute_output_ms": ("ms", ratio(_COMPUTE.format("output"), _SUCCESS, 1000)),
        "request_ms": ("ms", ratio(_REQUEST, _SUCCESS, 1000)),
        "request_p99_ms": ("ms", formulas.summary_quantile("nv_inference_request_summary_us", "0.99", 1000)),
        "failure_ratio": ("share", share(_FAILURE, _SUCCESS)),
        "cache_hit_rate": ("share", share("nv_cache_num_hits_per_model", "nv_cache_num_misses_per_model")),
        "pending": ("requests", formulas.model_gauge("nv_inference_pending_request_count")),
    }
    of_the_machine = {
        "cpu_utilization": ("share", formulas.server_gauge("nv_cpu_utilization", "avg")),
        "cpu_memory_used_bytes": ("bytes", formulas.server_gauge("nv_cpu_memory_used_bytes", "sum")),
        "gpu_utilization": ("share", formulas.server_gauge("nv_gpu_utilization", "avg")),
        "gpu_memory_share": ("share", formulas.gauge_ratio(*_GPU_MEMORY)),
        "gpu_power": ("W", formulas.server_gauge("nv_gpu_power_usage", "sum")),
    }
    of_clients = {
        "client_failure_ratio": (
            "share",
            formulas.labelled_share("triton_lab_client_requests_total", "outcome", "error"),
        ),
    }
    of_llama = {
        "tokens_per_second": ("1/s", rate("llama_generated_tokens_total")),
        "ttft_p95": ("s", formulas.histogram("llama_time_to_first_token_seconds", 0.95)),
        "itl_p95": ("s", formulas.histogram("llama_inter_token_seconds", 0.95)),
        "active_slots": ("slots", formulas.model_gauge("llama_active_slots")),
        "queue_length": ("requests", formulas.model_gauge("llama_queue_length")),
    }
    groups: list[tuple[dict[str, tuple[str, formulas.Formula]], str, Literal["model", "server"]]] = [
        (of_triton, TRITON, "model"),
        (of_the_machine, TRITON, "server"),
        (of_clients, CLIENT, "model"),
        (of_llama, LLAMA, "model"),
    ]
    return {
        name: Quantity(name, unit, formula.text, formula.promql, source, per, formula.compute)
        for group, source, per in groups
        for name, (unit, formula) in group.items()
    }


QUANTITIES: dict[str, Quantity] = _table()
"""All derived quantities by name. docs/monitoring.md explains them."""


def quantity(name: str) -> Quantity:
    """A derived quantity by name: `quantity("mean_batch")(window, "timed")`.

    Raises:
        MetricsError: There is no such quantity.
    """
    if name not in QUANTITIES:
        raise MetricsError(
            f"There is no quantity `{name}`.",
            why="Quantities are derived from metrics; a metric itself is read with `scrape(...).value()`.",
            fix=f"There are: {', '.join(QUANTITIES)}.",
        )
    return QUANTITIES[name]


def report(window: Window, models: Sequence[str] | None = None) -> pd.DataFrame:
    """All quantities of models: one row per model, one column per quantity.

    Args:
        window: Two or more readings.
        models: Which models. None: all that the page knows.

    Returns:
        The table. Columns of which the page has nothing for any model are left out; a NaN in one that is
        there means that nothing happened.
    """
    import pandas as pd

    names = sorted(_models(window)) if models is None else list(models)
    rows = {
        model: {q.name: q(window, model) for q in QUANTITIES.values() if q.per == "model"} for model in names
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "model"
    return table.dropna(axis="columns", how="all")


def _models(window: Window) -> set[str]:
    """The models that any reading knows."""
    return {m for s in window.scrapes if s.has(_SUCCESS) for m in s.labels_of(_SUCCESS, "model")}
