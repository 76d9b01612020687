"""Which of the expected models are ready: Triton has no metric for that, so here is one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import httpx
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lab_utils import web
from lab_utils.errors import LabError
from lab_utils.monitoring.exporter import Exporter
from lab_utils.server import keys
from lab_utils.server.base import Endpoints, Server

# The course's Prometheus gives up a page after 1 s: by then a server that hangs must be a 0 on it.
_TIMEOUT_S = 0.7


class ReadinessExporter(Exporter):
    """Serves `triton_lab_server_ready` and `triton_lab_model_ready{model}`, each 1 or 0.

    Each scrape asks the server anew, so a value is never older than the scrape. Only expected models have a
    series, and they always have one: also when the server has died or does not know the model. So an alert
    can say `triton_lab_model_ready == 0` and needs no `absent()`.

    A model counts as ready when the repository index has a version of it in the state READY. Mind that a
    Python model whose process has died stays READY there.

    Args:
        server: The server, its endpoints, or a function that gives one of them (for a server that comes back
            at another address).
        expected: The models that should be ready.
        port: Port of the page on loopback; 0: a free one.
    """

    def __init__(
        self,
        server: Server | Endpoints | Callable[[], Server | Endpoints],
        expected: Sequence[str] = ("mnist_mlp",),
        port: int = 0,
    ) -> None:
        super().__init__(port)
        self.expected = (expected,) if isinstance(expected, str) else tuple(expected)
        self.registry.register(_Readiness(server, self.expected))


class _Readiness(Collector):
    """Asks the server whenever the page is read."""

    def __init__(
        self, server: Server | Endpoints | Callable[[], Server | Endpoints], expected: tuple[str, ...]
    ) -> None:
        self._where = server
        self._expected = expected

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The two metrics, as of now."""
        ready, models = self._ask()
        yield GaugeMetricFamily(
            "triton_lab_server_ready", "1 when the server answers /v2/health/ready with 200", value=ready
        )
        family = GaugeMetricFamily(
            "triton_lab_model_ready",
            "1 when a version of this expected model is READY in the repository index",
            labels=["model"],
        )
        for model in self._expected:
            family.add_metric([model], model in models)
        yield family

    def _ask(self) -> tuple[bool, set[str]]:
        end = time.monotonic() + _TIMEOUT_S
        try:
            found = self._where() if callable(self._where) else self._where
            at = found if isinstance(found, Endpoints) else found.endpoints
            url, headers = at.http_url, keys.headers_for(at.http)
            ready = web.get(f"{url}/v2/health/ready", _TIMEOUT_S).status_code == 200
            left = max(_TIMEOUT_S / 4, end - time.monotonic())
            index = web.post(f"{url}/v2/repository/index", left, headers).raise_for_status().json()
            return ready, {entry["name"] for entry in index if entry.get("state") == "READY"}
        except (httpx.HTTPError, httpx.InvalidURL, LabError, ValueError):
            # Nobody answers, or not a Triton: neither the server nor a model is ready then.
            return False, set()
