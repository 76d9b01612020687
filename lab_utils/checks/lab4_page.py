"""Checkpoint 4.1: kind, total and p99 of a metrics page, on pages made up and on the server's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from lab_utils.checks.judging import judge_values
from lab_utils.checks.lab4_pages import Page
from lab_utils.progress import probes
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_SUMMARY = "nv_inference_request_summary_us"
_COUNTERS = ("nv_inference_request_success", "nv_inference_count")
_PENDING = "nv_inference_pending_request_count"
_FAILURE = "nv_inference_request_failure"
_QUANTILES = ("0.5", "0.9", "0.95", "0.99", "0.999")

_Series = list[tuple[dict[str, str], float]]


def series(page: str, name: str) -> _Series:
    """Labels and value of each series of a metric; empty when the page does not have it."""
    families = [family for family in text_string_to_metric_families(page) if family.name == name]
    return [(sample.labels, sample.value) for family in families for sample in family.samples]


def kind(page: str, name: str) -> str | None:
    """The kind of a metric, or None."""
    return next((f.type for f in text_string_to_metric_families(page) if f.name == name), None)


def total(page: str, name: str, model: str) -> float:
    """Sum over all series of a model."""
    return sum(value for labels, value in series(page, name) if labels.get("model") == model)


def _quantiles(page: str, model: str, quantile: str = "0.99") -> list[float]:
    return [
        value / 1000
        for labels, value in series(page, _SUMMARY)
        if labels.get("model") == model and labels.get("quantile") == quantile
    ]


def p99_ms(page: str, model: str) -> float | None:
    """The slowest version's p99, or None."""
    return max((value for value in _quantiles(page, model) if not math.isnan(value)), default=None)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


_ABSENT = "A metric that is not on the page has no kind: return None."
_KIND = {
    _ABSENT: lambda page, name: kind(page, name) or "counter",
    "The same, absent metrics have no kind: return None, not a text.": lambda page, name: (
        kind(page, name) or "unknown"
    ),
    "A name does not tell the kind: `nv_cpu_utilization` has no ending. Its `# TYPE` line does.": (
        lambda page, name: (
            None
            if kind(page, name) is None
            else "summary"
            if "summary" in name
            else "counter"
            if name.endswith(("_count", "_success", "_failure", "_us"))
            else "gauge"
        )
    ),
}


def _versions(page: str, name: str, model: str) -> list[float]:
    return [value for labels, value in series(page, name) if labels.get("model") == model]


_TOTAL = {
    "That adds up all models: compare the label `model`.": lambda page, name, model: sum(
        value for _, value in series(page, name)
    ),
    "Another model's name begins in the same way: compare the whole label with `==`.": (
        lambda page, name, model: sum(
            value for labels, value in series(page, name) if labels.get("model", "").startswith(model)
        )
    ),
    "The model's name is a part of another model's: compare the whole label with `==`.": (
        lambda page, name, model: sum(
            value for labels, value in series(page, name) if model in labels.get("model", "")
        )
    ),
    "That is the first series alone. A model has one for each version, and for each reason of a failure.": (
        lambda page, name, model: next(iter(_versions(page, name, model)), 0.0)
    ),
    "That is the last series alone: each one replaces the one before. Add them up.": (
        lambda page, name, model: ([0.0, *_versions(page, name, model)])[-1]
    ),
    "That is version 1 alone. Clients do not care which version answers: add them up.": (
        lambda page, name, model: sum(
            value
            for labels, value in series(page, name)
            if labels.get("model") == model and labels.get("version") == "1"
        )
    ),
    "That is the number of series, not their sum.": lambda page, name, model: float(
        len(_versions(page, name, model))
    ),
}

_LEFT_OUT = "Nobody asked that version lately, and its quantile is NaN: leave it out."
_P99 = {
    "The metric is in microseconds: divide by 1000.": lambda page, model: _scaled(p99_ms(page, model), 1000),
    "That is in seconds. Microseconds by 1000 are milliseconds.": lambda page, model: _scaled(
        p99_ms(page, model), 1e-3
    ),
    "Quantiles do not add up. Over versions, the largest is the honest answer.": lambda page, model: (
        sum(v for v in _quantiles(page, model) if not math.isnan(v)) if p99_ms(page, model) else None
    ),
    "The mean of quantiles is no quantile. Over versions, the largest is the honest answer.": (
        lambda page, model: (
            None
            if p99_ms(page, model) is None
            else sum(good := [v for v in _quantiles(page, model) if not math.isnan(v)]) / len(good)
        )
    ),
    "That is the smallest of the versions; somebody waits for the slowest.": lambda page, model: min(
        (v for v in _quantiles(page, model) if not math.isnan(v)), default=None
    ),
    'That is the median. p99 is the series with `quantile="0.99"`.': lambda page, model: max(
        (v for v in _quantiles(page, model, "0.5") if not math.isnan(v)), default=None
    ),
    "That is the largest of all quantiles, p99.9. Compare the label `quantile` as well.": (
        lambda page, model: max(
            (v for v in _quantiles(page, model, "0.999") if not math.isnan(v)), default=None
        )
    ),
    "Where there is nothing to read, a 0 would be a lie: return None.": lambda page, model: (
        p99_ms(page, model) or 0.0
    ),
    _LEFT_OUT: lambda page, model: max(_quantiles(page, model), default=None),
    "The other models' requests are in it: compare the label `model`.": lambda page, model: max(
        value / 1000
        for labels, value in series(page, _SUMMARY)
        if labels.get("quantile") == "0.99" and not math.isnan(value)
    ),
}


def _page(ctx: LabContext, model: str, *, summaries: bool = True) -> str:
    """A page with a model of two versions, others whose names hold its name, and a third nobody asked."""
    page, rng = Page(), ctx.rng
    models = [f"{model}_new", model, f"old_{model}"]
    for name in _COUNTERS:
        for one in models:
            for version in ("1", "2"):
                page.add(name, "counter", int(rng.integers(1000, 9000)), model=one, version=version)
    for one in models:
        for version in ("1", "2"):
            for reason in ("OTHER", "BACKEND", "CANCELED", "REJECTED"):
                labels = {"model": one, "reason": reason, "version": version}
                page.add(_FAILURE, "counter", int(rng.integers(10, 90)), **labels)
            page.add(_PENDING, "gauge", int(rng.integers(1, 30)), model=one, version=version)
    page.add("nv_cpu_utilization", "gauge", round(float(rng.uniform(0.1, 0.9)), 3))
    page.add("nv_cpu_memory_used_bytes", "gauge", float(rng.integers(1 << 30, 1 << 34)))
    if summaries:
        for one in models:
            for version in ("1", "2", "3"):
                _add_summary(page, ctx, one, version)
    return page.text()


def _add_summary(page: Page, ctx: LabContext, model: str, version: str) -> None:
    """One version's summary. Nobody has asked version 1 lately: its quantiles are NaN, and come first."""
    labels = {"model": model, "version": version}
    page.add(_SUMMARY, "summary", int(ctx.rng.integers(500, 900)), suffix="_count", **labels)
    page.add(_SUMMARY, "summary", int(ctx.rng.integers(10**7, 10**8)), suffix="_sum", **labels)
    values = sorted(int(v) for v in ctx.rng.choice(range(2000, 90_000), len(_QUANTILES), replace=False))
    for quantile, value in zip(_QUANTILES, values, strict=True):
        number = math.nan if version == "1" else value
        page.add(_SUMMARY, "summary", number, **labels, quantile=quantile)


def _judge_records(ctx: LabContext, answers: Mapping[str, Any]) -> None:
    model = str(ctx.rng.choice(["timed", "digits", "vote"]))
    page, plain = _page(ctx, model), _page(ctx, model, summaries=False)
    names = [*_COUNTERS, _FAILURE, _PENDING, "nv_cpu_utilization", "nv_cpu_memory_used_bytes", _SUMMARY]
    kinds = [(page, name) for name in names]
    kinds += [(plain, _SUMMARY), (page, "nv_inference_first_response_histogram_ms")]
    judge_values(
        ctx, answers["kind"], kinds, kind, _KIND,
        show=lambda page, name: f"the kind of `{name}`",
        otherwise="The type of the family whose `name` is this name.",
        hints={"StopIteration": _ABSENT, "IndexError": _ABSENT, "KeyError": _ABSENT},
        nothing="It is on the page. Compare `family.name` with the whole name.",
    )  # fmt: skip
    totals = [(page, name, model) for name in (*_COUNTERS, _FAILURE, _PENDING)]
    totals += [(page, _COUNTERS[0], f"{model}_2")]
    judge_values(
        ctx, answers["total"], totals, total, _TOTAL,
        show=lambda page, name, model: f"`{name}` of the model `{model}`",
        otherwise="The family whose `name` is this name; of its samples those of the model; their sum. "
        "(`sample.name` of a counter ends with `_total` here.)",
    )  # fmt: skip
    judge_values(
        ctx, answers["p99_ms"], [(page, model), (page, f"{model}_2"), (plain, model)], p99_ms, _P99,
        show=lambda page, model: f"p99 of `{model}` in ms"
        + ("" if _SUMMARY in page else " (a page without summaries)"),
        otherwise="Of `nv_inference_request_summary_us` the series of the model with quantile 0.99.",
        hints={
            "max.. arg is an empty|max\\(\\) iterable": "No series at all: `max(…, default=None)`.",
            "KeyError: 'quantile'": "The summary's `_count` and `_sum` have no quantile: "
            '`s.labels.get("quantile")`.',
            "'NoneType' and '(int|float)'": "None cannot be divided: divide each value first, then take "
            "`max(…, default=None)` of them.",
        },
        nothing="There is a version with a p99. A NaN of another version must not hide it.",
    )  # fmt: skip


def _judge_live(ctx: LabContext, answers: Mapping[str, Any]) -> int:
    """The server's own page: after some requests, the totals agree with Triton's statistics."""
    server = ctx.need_server()
    from lab_utils.checks.asking import post

    images, _ = ctx.digits(1)
    body = {
        "inputs": [
            {"name": "input", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": images.ravel().tolist()}
        ]
    }
    for _ in range(int(ctx.rng.integers(2, 7))):
        post(server.endpoints.http, "/v2/models/mnist_mlp/infer", body)
    wanted = probes.settled_statistics(server.endpoints.http, "mnist_mlp").success_count
    page = probes.http_get(server.endpoints.metrics, "/metrics").text
    found = ctx.call(answers["total"], page, _COUNTERS[0], "mnist_mlp")
    if found != wanted:
        refuse(
            expected=f"the live page: {wanted} requests to mnist_mlp, as Triton's statistics say",
            found=f"`total` returned {found!r:.40}",
            next_step="Print the page's lines for this metric: "
            "`curl -s HOST:PORT/metrics | grep nv_inference_request_success`.",
        )
    return wanted


@checkpoint(
    "4.1", title="Read a metrics page", points=3, minutes=6, difficulty=1,
    answers=("kind", "total", "p99_ms"),
)  # fmt: skip
def check_page(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Pages made up, where each mistake gives another number; then the server's own."""
    _judge_records(ctx, answers)
    requests = _judge_live(ctx, answers)
    return passed(
        f"kinds, totals and p99 are right, and the live page says {requests} requests to mnist_mlp",
        requests=requests,
    )
