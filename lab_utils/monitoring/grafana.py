"""What the course's Grafana dashboard shows: rows, panels and their PromQL, made from `QUANTITIES`.

`grafana_build` turns this into Grafana's JSON. This module needs no package of Grafana.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lab_utils.monitoring.quantities import QUANTITIES

RANGE = "$__rate_interval"
"""Grafana's own variable: the time between two points, but at least four readings, enough for `rate`."""
MODELS = 'model=~"$model"'
"""Grafana fills in the chosen models as one pattern."""


@dataclass(frozen=True)
class Query:
    """One query of a panel; `legend` names its series, with labels in double braces."""

    promql: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: What it shows.
        queries: What is asked.
        unit: One of Grafana's units.
        about: What it is good for, and its formula.
        kind: `timeseries` or `stat` (one large number).
        width: In columns; the page has 24.
        states: For a stat: words in place of the numbers 0 and 1.
        highest: Upper end of the axis; None: by the values.
    """

    title: str
    queries: tuple[Query, ...]
    unit: str
    about: str
    kind: str = "timeseries"
    width: int = 8
    states: tuple[str, str] | None = None
    highest: float | None = None


@dataclass(frozen=True)
class Row:
    """A row of panels under a heading."""

    title: str
    panels: tuple[Panel, ...] = field(default=())


def by_model(promql: str) -> str:
    """The PromQL of a quantity for all chosen models at once, one series each.

    Args:
        promql: The template of a quantity: `sum(rate(x{model="$model"}[$range]))`.

    Returns:
        `sum by (model) (rate(x{model=~"$model"}[$__rate_interval]))`
    """
    several = promql.replace('model="$model"', MODELS).replace("$range", RANGE)
    if MODELS not in several:
        return several
    several = re.sub(r"\b(sum|max) by \(le\) \(", r"\1 by (model, le) (", several)
    return re.sub(r"\b(sum|max)\(", r"\1 by (model) (", several)


def _panel(
    title: str, unit: str, why: str, quantities: dict[str, str], highest: float | None = None, width: int = 8
) -> Panel:
    """A panel of quantities: the legend's words by quantity; empty words: the model's name alone."""
    queries = []
    about = [why]
    for name, words in quantities.items():
        one = QUANTITIES[name]
        legend = f"{{{{model}}}} {words}".strip() if one.per == "model" else words
        queries.append(Query(by_model(one.promql), legend))
        about.append(f"{name} = {one.formula}")
    about.append(f"Source: {', '.join(dict.fromkeys(QUANTITIES[name].source for name in quantities))}")
    return Panel(title, tuple(queries), unit, "\n\n".join(about), width=width, highest=highest)


def _stat(title: str, promql: str, unit: str, why: str, states: tuple[str, str] | None = None) -> Panel:
    return Panel(title, (Query(promql, title),), unit, why, kind="stat", width=4, states=states)


def _total(metric: str, labels: str = "") -> str:
    return f"sum(rate({metric}{{{', '.join(filter(None, (MODELS, labels)))}}}[{RANGE}]))"


_OK, _FAILED = _total("nv_inference_request_success"), _total("nv_inference_request_failure")
_ASKED = _total("triton_lab_client_requests_total")
_ASKED_IN_VAIN = _total("triton_lab_client_requests_total", 'outcome="error"')

ROWS = (
    Row(
        "Now",
        (
            _stat(
                "Server",
                "min(triton_lab_server_ready)",
                "none",
                "1 when /v2/health/ready answers 200. From the readiness exporter: it says 0 also of a "
                "server that is dead, where a metric of that server would only be missing.",
                ("not ready", "ready"),
            ),
            _stat(
                "Expected models not ready",
                "sum(1 - triton_lab_model_ready)",
                "none",
                "Triton has no metric for a model that is ready: the exporter asks the repository index.",
            ),
            _stat("Requests per second", _OK, "reqps", "Answered requests of the chosen models."),
            _stat(
                "Failed, counted by the server",
                f"{_FAILED} / ({_OK} + {_FAILED})",
                "percentunit",
                "Leaves out most of what users see: wrong shapes, unknown models, a full queue, errors "
                "that Python models return. Read it beside the next panel.",
            ),
            _stat(
                "Failed, counted by clients",
                f"{_ASKED_IN_VAIN} / {_ASKED}",
                "percentunit",
                "Every request that ended with an error, of those clients that export their count.",
            ),
            _stat(
                "Waiting requests",
                f"sum(nv_inference_pending_request_count{{{MODELS}}})",
                "none",
                "Requests in the queues. It grows without end when more arrive than the server can do.",
            ),
        ),
    ),
    Row(
        "What users get",
        (
            _panel(
                "Requests per second",
                "reqps",
                "A request may hold several rows; see inferences below.",
                {"requests_per_second": ""},
            ),
            _panel(
                "Latency in the server",
                "ms",
                "Mean, and p99 where the server runs with --metrics-config summary_latencies=true (not for "
                "models with a response cache). Of several servers the largest p99 is shown: percentiles "
                "cannot be averaged. The network is not in it.",
                {"request_ms": "mean", "request_p99_ms": "p99"},
            ),
            _panel(
                "Failed share",
                "percentunit",
                "The server's count and the clients' count. They differ: docs/monitoring.md says why.",
                {"failure_ratio": "server", "client_failure_ratio": "clients"},
            ),
        ),
    ),
    Row(
        "Where the time goes",
        (
            _panel(
                "Time per request",
                "ms",
                "Queue above compute: more instances, or batching. Input or output large: the tensors are.",
                {
                    "queue_ms": "queue",
                    "compute_input_ms": "input",
                    "compute_infer_ms": "infer",
                    "compute_output_ms": "output",
                },
            ),
            _panel(
                "Share of the time spent in the queue",
                "percentunit",
                "From about a half on, the server works at its limit.",
                {"queue_share": ""},
                highest=1,
            ),
            _panel(
                "Requests in the queue",
                "none",
                "Mean over the interval.",
                {"pending": ""},
            ),
            _panel(
                "Rows per execution (batch size)",
                "none",
                "1 under load: no batching. Not above what the model's config allows.",
                {"mean_batch": ""},
            ),
            _panel(
                "Inferences per second",
                "none",
                "Rows per second that the model has worked on; answers from the cache are not in it.",
                {"inferences_per_second": ""},
            ),
            _panel(
                "Response cache, share of hits",
                "percentunit",
                "Only of models with a response cache.",
                {"cache_hit_rate": ""},
                highest=1,
            ),
        ),
    ),
    Row(
        "Llama engine",
        (
            _panel(
                "Tokens per second",
                "none",
                "Of all requests together. What one user feels is the time between two tokens.",
                {"tokens_per_second": ""},
            ),
            _panel(
                "Time to a token, p95",
                "s",
                "From the arrival in the engine to the first token, and between two tokens.",
                {"ttft_p95": "first", "itl_p95": "next"},
            ),
            _panel(
                "Slots in use, requests that wait for one",
                "none",
                "All slots in use and requests waiting: the engine is full.",
                {"active_slots": "active", "queue_length": "waiting"},
            ),
        ),
    ),
    Row(
        "Machine",
        (
            _panel(
                "CPU and GPU in use",
                "percentunit",
                "Of the whole machine; of several GPUs the mean.",
                {"cpu_utilization": "CPU", "gpu_utilization": "GPU"},
                highest=1,
                width=6,
            ),
            _panel(
                "Memory in use",
                "bytes",
                "Of the whole machine.",
                {"cpu_memory_used_bytes": "memory"},
                width=6,
            ),
            _panel(
                "GPU memory in use",
                "percentunit",
                "Of all GPUs.",
                {"gpu_memory_share": "GPU memory"},
                highest=1,
                width=6,
            ),
            _panel("GPU power", "watt", "All GPUs together.", {"gpu_power": "GPU"}, width=6),
        ),
    ),
)
