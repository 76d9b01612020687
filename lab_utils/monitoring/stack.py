"""A Prometheus, an Alertmanager and a receiver of alerts, together: what a notebook watches a server with."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from lab_utils import web
from lab_utils.monitoring.alert_states import alert_states
from lab_utils.monitoring.alertmanager import Alertmanager
from lab_utils.monitoring.exporter import Exporter
from lab_utils.monitoring.prometheus import Prometheus
from lab_utils.monitoring.queries import Queries
from lab_utils.monitoring.receiver import Notification, Receiver
from lab_utils.monitoring.rules import check_rules, rules_text
from lab_utils.monitoring.samples import Labels, Where, metrics_url
from lab_utils.monitoring.tools import MonitoringError

if TYPE_CHECKING:
    import pandas as pd

_PAUSE = 0.1


@dataclass(frozen=True)
class Alert:
    """An alert that is not inactive.

    Attributes:
        name: The name of the rule.
        state: `pending` (true, but not yet for the time of `for:`) or `firing`.
        labels: The labels of the series that the expression gives, and those of the rule.
        annotations: The words of the rule, with the values filled in.
        value: The value of the expression.
    """

    name: str
    state: str
    labels: Labels
    annotations: Mapping[str, str] = field(hash=False)
    value: float


class Monitoring:
    """Watches metrics pages with a real Prometheus. A context manager.

    Everything listens on loopback, ends with the process that started it, and keeps its logs in `folder`.

    Args:
        targets: What to read, by the name of the job: `host:port` or a URL of a metrics page, a server, or
            one of the course's exporters. The first reading comes about 5 seconds after the start.
        rules: A rule file, a folder of them, or the text of one. Default: the course's rules.
        folder: For configuration, logs and, while it runs, the data.
        every: Seconds between two readings, and between two evaluations of the rules.
        alerts: Start an Alertmanager and a receiver too.
    """

    def __init__(
        self,
        targets: Mapping[str, Where | Exporter],
        *,
        rules: str | Path | None = None,
        folder: Path | str,
        every: float = 1.0,
        alerts: bool = True,
    ) -> None:
        self.targets = _urls(targets)
        self.folder = Path(folder).resolve()
        self.every = every
        self.rules = rules_text(rules)
        self.receiver = Receiver()
        self._with_alerts = alerts
        self._alertmanager: Alertmanager | None = None
        self._prometheus: Prometheus | None = None
        self._queries: Queries | None = None

    @property
    def url(self) -> str:
        """The address of Prometheus."""
        return self._running().program.url

    @property
    def alertmanager_url(self) -> str:
        """The address of the Alertmanager."""
        if self._alertmanager is None:
            raise MonitoringError("No Alertmanager runs.", fix="Start with alerts=True.")
        return self._alertmanager.program.url

    def start(self) -> Monitoring:
        """Start what does not run yet, and wait until it is ready.

        Raises:
            MonitoringError: A program is missing (with how to get it), did not start (with the decisive
                words of its log), or the rules are refused.
        """
        if self._prometheus is not None and self._prometheus.program.alive():
            return self
        self.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.rules.strip():
            check_rules(self.rules)
        try:
            address = None
            if self._with_alerts:
                self.receiver.start()
                self._alertmanager = Alertmanager(self.receiver.url, folder=self.folder)
                self._alertmanager.program.start()
                address = self._alertmanager.address
            self._prometheus = Prometheus(
                self.targets, folder=self.folder, rules=self.rules, every=self.every, alertmanager=address
            )
            self._prometheus.program.start()
            self._queries = Queries(self._prometheus.program.url)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything. Logs and notifications stay."""
        for part in (self._prometheus, self._alertmanager):
            if part is not None:
                part.program.stop()
        self.receiver.stop()
        self._prometheus = self._alertmanager = self._queries = None

    def __enter__(self) -> Monitoring:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def value(self, promql: str) -> float:
        """The one value of an expression now. See `Queries.value`."""
        return self._ask().value(promql)

    def vector(self, promql: str) -> dict[Labels, float]:
        """The value of each series of an expression now. See `Queries.vector`."""
        return self._ask().vector(promql)

    def frame(self, promql: str, seconds: float = 60, step: float = 1.0) -> pd.DataFrame:
        """An expression over the last seconds: time as index, a column per series. See `Queries.frame`."""
        return self._ask().frame(promql, seconds, step)

    def wait_for(self, condition: str | int, timeout: float = 30.0) -> float:
        """Wait for a condition. Returns the seconds that it took.

        Args:
            condition: An expression that must give at least one series (`up == 1`), or a number: so many
                readings of each target, counted from now.
            timeout: Limit in seconds.

        Raises:
            MonitoringError: Time is up (the message says what the targets do), or the expression is refused.
        """
        begin = time.monotonic()
        while True:
            if isinstance(condition, int):
                done = all(n >= condition for n in self._readings(time.monotonic() - begin))
            else:
                done = bool(self.vector(condition))
            if done:
                return time.monotonic() - begin
            if time.monotonic() - begin >= timeout:
                raise MonitoringError(
                    f"`{condition}` did not come true within {timeout:.0f} seconds."
                    if isinstance(condition, str)
                    else f"There were no {condition} readings of each target within {timeout:.0f} seconds.",
                    why=f"The targets: {'; '.join(self._health())}.",
                    fix="Look at the parts of the expression with vector(...), or wait longer.",
                )
            time.sleep(_PAUSE)

    def wait_for_alert(self, name: str, status: str = "firing", timeout: float = 30.0) -> Notification:
        """Wait until the receiver has been told that an alert is `firing` or `resolved`.

        Raises:
            MonitoringError: It was not, in this time. The message says what came instead.
        """
        return self.receiver.wait(name, status, timeout)

    def set_rules(self, text: str | Path) -> None:
        """Replace all rules by those of a text or a file, while Prometheus runs.

        Raises:
            MonitoringError: promtool or Prometheus refuses them (with its words). The old rules then stay.
        """
        new = rules_text(text)
        check_rules(new)
        self._running().set_rules(new)
        self.rules = new

    def set_targets(self, targets: Mapping[str, Where | Exporter]) -> None:
        """Read other pages from now on, for example those of a server that came back on other ports.

        Prometheus takes up to 5 seconds for the change.
        """
        self.targets = _urls(targets)
        self._running().set_targets(self.targets)

    def alerts(self) -> list[Alert]:
        """The alerts that are pending or firing now."""
        return [
            Alert(
                name=alert["labels"]["alertname"],
                state=alert["state"],
                labels=Labels(alert["labels"]),
                annotations=dict(alert["annotations"]),
                value=float(alert["value"]),
            )
            for alert in self._api("/api/v1/alerts")["alerts"]
        ]

    def alert_states(self, name: str, seconds: float = 60, step: float = 1.0) -> pd.DataFrame:
        """What an alert did over the last seconds: `inactive`, `pending`, `firing`, `resolved`."""
        return alert_states(self._ask(), name, seconds, step)

    def _readings(self, seconds: float) -> list[float]:
        """How often each target was read in the last seconds, also in vain: `up` has a sample each time."""
        counted = self.vector(f"count_over_time(up[{max(1, int(seconds * 1000))}ms])")
        counts = {labels["job"]: count for labels, count in counted.items()}
        return [counts.get(job, 0.0) for job in self.targets]

    def _health(self) -> list[str]:
        lines = []
        for target in self._api("/api/v1/targets")["activeTargets"]:
            error = f" ({target['lastError']})" if target["lastError"] else ""
            lines.append(f"{target['labels']['job']} is {target['health']}{error}")
        return lines or ["Prometheus has none yet"]

    def _api(self, path: str) -> Any:
        try:
            answer = web.get(f"{self.url}{path}", 20.0)
            return answer.json()["data"]
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            raise MonitoringError(f"Prometheus does not answer at {self.url}.", details=str(error)) from None

    def _ask(self) -> Queries:
        self._running()
        assert self._queries is not None
        return self._queries

    def _running(self) -> Prometheus:
        if self._prometheus is None:
            raise MonitoringError("Prometheus has not been started.", fix="Call start(), or use `with`.")
        if not self._prometheus.program.alive():
            raise MonitoringError(
                "Prometheus is not running any more.",
                why="It was ended from outside.",
                fix=f"Start it again with start(). Its log: {self._prometheus.program.log_path}",
            )
        return self._prometheus


def _urls(targets: Mapping[str, Where | Exporter]) -> dict[str, str]:
    if not targets:
        raise MonitoringError(
            "There is nothing to watch.",
            why="`targets` is empty.",
            fix='Name a metrics page: targets={"triton": "127.0.0.1:8002"}.',
        )
    return {
        job: metrics_url(where.address if isinstance(where, Exporter) else where)
        for job, where in targets.items()
    }
