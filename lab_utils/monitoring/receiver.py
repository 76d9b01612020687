"""Receive the notifications of an Alertmanager, as a chat or a pager would, so that an alert can be seen."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lab_utils.monitoring.samples import Labels
from lab_utils.monitoring.tools import MonitoringError
from lab_utils.server.ports import LOOPBACK

_LARGEST_BODY = 10_000_000


@dataclass(frozen=True)
class Notification:
    """One alert of one message of the Alertmanager.

    Attributes:
        alertname: The name of the alert rule.
        status: `firing` or `resolved`.
        labels: All labels of the alert, those of the series that fired among them.
        annotations: The words of the alert rule, with the values filled in.
        at: When it arrived, seconds since 1970.
    """

    alertname: str
    status: str
    labels: Labels
    annotations: Mapping[str, str] = field(hash=False)
    at: float

    def __str__(self) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(self.at))
        summary = self.annotations.get("summary", "")
        return f"{clock} {self.status:<8} {self.alertname}: {summary}".rstrip(": ")


class Receiver:
    """A web server on loopback for the Alertmanager's webhook. A context manager.

    Args:
        port: Its port; 0 chooses a free one.
    """

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._notifications: list[Notification] = []
        self._news = threading.Condition()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address for `webhook_configs`. Raises `MonitoringError` while it does not run."""
        if self._server is None:
            raise MonitoringError("The receiver has not been started.", fix="Call start(), or use `with`.")
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/alerts"

    @property
    def notifications(self) -> list[Notification]:
        """All that has arrived, the oldest first."""
        with self._news:
            return list(self._notifications)

    def start(self) -> Receiver:
        """Listen, in a thread of its own. Does nothing when it does already."""
        if self._server is None:
            receive = self._receive

            class Handler(BaseHTTPRequestHandler):
                """Takes one message."""

                def do_POST(self) -> None:
                    """Answer 200 for a message, 400 for anything else."""
                    length = self.headers.get("Content-Length", "")
                    small = length.isdigit() and int(length) <= _LARGEST_BODY
                    self.send_response(200 if small and receive(self.rfile.read(int(length))) else 400)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

                def log_message(self, *_: Any) -> None:
                    """Keep quiet: the notifications are kept, and the notebook is no log."""

            self._server = ThreadingHTTPServer((LOOPBACK, self._port), Handler)
            self._server.daemon_threads = True
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.1,), name="alert-receiver", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Listen no more. What has arrived stays."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None

    def wait(
        self, alertname: str, status: str = "firing", timeout: float = 30.0, since: float = 0.0
    ) -> Notification:
        """Wait for a notification; one that is here already counts.

        Args:
            alertname: The name of the alert rule.
            status: `firing` or `resolved`.
            timeout: Limit in seconds.
            since: Only what arrived after this time (seconds since 1970) counts.

        Raises:
            MonitoringError: It did not come. The message says what came instead.
        """
        if status not in ("firing", "resolved"):
            raise MonitoringError(
                f"An alert is never `{status}` for a receiver.", fix="Wait for `firing` or `resolved`."
            )

        def found() -> Notification | None:
            return next(
                (
                    n
                    for n in self._notifications
                    if n.alertname == alertname and n.status == status and n.at > since
                ),
                None,
            )

        with self._news:
            self._news.wait_for(lambda: found() is not None, timeout)
            notification = found()
            here = [f"{n.alertname} {n.status}" for n in self._notifications]
        if notification is None:
            raise MonitoringError(
                f"No notification `{alertname} {status}` came within {timeout:.0f} seconds.",
                why=f"Came so far: {', '.join(here) or 'nothing'}.",
                fix="Look at alerts(): a `pending` alert needs its `for:` time; one that is not there has an "
                "expression that gives no series.",
            )
        return notification

    def _receive(self, body: bytes) -> bool:
        try:
            alerts = [
                Notification(
                    alertname=alert["labels"]["alertname"],
                    status=alert["status"],
                    labels=Labels(alert["labels"]),
                    annotations=dict(alert["annotations"]),
                    at=time.time(),
                )
                for alert in json.loads(body)["alerts"]
            ]
        except (ValueError, KeyError, TypeError):
            return False
        with self._news:
            self._notifications.extend(alerts)
            self._news.notify_all()
        return True

    def __enter__(self) -> Receiver:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
