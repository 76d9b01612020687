"""What the users saw: requests counted at the client, where every failure counts."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import Counter, Histogram

from lab_utils.monitoring.exporter import Exporter

OUTCOMES = ("ok", "error")
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram, seconds."""


class ClientMetrics(Exporter):
    """Counts requests where they are made, and serves the counts.

    Triton's `nv_inference_request_failure` leaves out most of what a user sees as a failure
    (docs/monitoring.md). This has them all:

    - counter `triton_lab_client_requests_total{model, outcome}`, outcome `ok` or `error`
    - histogram `triton_lab_client_request_seconds{model}`, of both outcomes

    ```python
    with ClientMetrics(models=["mnist_mlp"]) as metrics:
        with metrics.request("mnist_mlp"):
            client.infer("mnist_mlp", inputs)
    ```

    Args:
        port: Port of the page on loopback; 0: a free one.
        models: Models whose series exist from the start, at 0. Prometheus sees no increase in the first
            value of a series, so a series that begins with its first error hides that error.
    """

    def __init__(self, port: int = 0, models: Sequence[str] = ()) -> None:
        super().__init__(port)
        self._requests = Counter(
            "triton_lab_client_requests",
            "Requests by outcome, counted at the client",
            ["model", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "triton_lab_client_request_seconds",
            "From the call to the answer or the error, at the client",
            ["model"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        for model in models:
            self._prepare(model)

    @contextmanager
    def request(self, model: str) -> Iterator[None]:
        """Count what happens in the `with` block as one request. An exception is an error, and goes on.

        A block that is interrupted (Ctrl-C, a cancelled task) is no request that failed: it does not count.
        """
        self._prepare(model)
        start = time.perf_counter()
        try:
            yield
        except Exception:
            self._count(model, "error", start)
            raise
        self._count(model, "ok", start)

    def error_ratio(self, model: str) -> float:
        """The share of failed requests since the start; NaN when there was none."""
        counts = {outcome: self._counted(model, outcome) for outcome in OUTCOMES}
        total = sum(counts.values())
        return counts["error"] / total if total else math.nan

    def _prepare(self, model: str) -> None:
        for outcome in OUTCOMES:
            self._requests.labels(model, outcome)
        self._seconds.labels(model)

    def _count(self, model: str, outcome: str, start: float) -> None:
        self._seconds.labels(model).observe(time.perf_counter() - start)
        self._requests.labels(model, outcome).inc()

    def _counted(self, model: str, outcome: str) -> float:
        labels = {"model": model, "outcome": outcome}
        return self.registry.get_sample_value("triton_lab_client_requests_total", labels) or 0.0
