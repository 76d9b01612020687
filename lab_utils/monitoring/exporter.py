"""A metrics page of our own on loopback, for Prometheus to scrape beside Triton's."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from lab_utils.monitoring.samples import MetricsError
from lab_utils.server.ports import LOOPBACK, holder


class Exporter:
    """Serves the metrics of one registry. A context manager; `start` and `stop` for a notebook.

    Args:
        port: The port; 0: a free one.
    """

    def __init__(self, port: int = 0) -> None:
        # A registry of its own: the global one also has figures of this Python process.
        self.registry = CollectorRegistry()
        self._wanted = port
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Serve the page in the background. A second call does nothing while it runs.

        Raises:
            MetricsError: The port is taken.
        """
        if self._server is None:
            try:
                self._server, self._thread = start_http_server(self._wanted, LOOPBACK, registry=self.registry)
            except OSError as error:
                raise MetricsError(
                    f"Port {self._wanted} cannot be used for metrics: {error.strerror}.",
                    why=f"{holder(self._wanted)} listens on it, or the port is not allowed.",
                    fix="Leave `port` out: a free one is then chosen.",
                ) from None
        return self

    def stop(self) -> None:
        """Stop serving. What was counted stays, for a later `start`."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None

    @property
    def address(self) -> str:
        """`127.0.0.1:port`, for `scrape` and for Prometheus.

        Raises:
            MetricsError: It is not started.
        """
        if self._server is None:
            raise MetricsError(
                f"This {type(self).__name__} has no address: it is not started.",
                fix="Call `.start()`, or use it in a `with` block.",
            )
        return f"{LOOPBACK}:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
