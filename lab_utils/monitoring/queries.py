"""Ask a Prometheus: single values, vectors, pandas frames, and which metrics it does not know.

The questions go through `prometheus-api-client`, the answers come back in the types of this package.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from lab_utils import web
from lab_utils.monitoring.expressions import metric_names
from lab_utils.monitoring.samples import Labels
from lab_utils.monitoring.tools import MonitoringError

if TYPE_CHECKING:
    import pandas as pd
    from prometheus_api_client import PrometheusConnect

GPU_METRICS = frozenset(
    {
        "nv_energy_consumption",
        "nv_gpu_memory_total_bytes",
        "nv_gpu_memory_used_bytes",
        "nv_gpu_power_limit",
        "nv_gpu_power_usage",
        "nv_gpu_utilization",
    }
)
"""Triton's metrics of a GPU (its docs/user_guide/metrics.md). A server without a GPU does not export them."""
_OF_ITSELF = {"ALERTS", "ALERTS_FOR_STATE"}  # made by Prometheus once a first alert is pending
_ENDINGS = {"summary": ("", "_sum", "_count"), "histogram": ("_bucket", "_sum", "_count")}
_TIMEOUT = 20.0


class Queries:
    """Questions to one Prometheus.

    Args:
        url: Its address, without a path.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._connection: PrometheusConnect | None = None

    def vector(self, promql: str) -> dict[Labels, float]:
        """The value of each series that an expression gives now. Empty when it gives none.

        Args:
            promql: An expression that gives a scalar or an instant vector.

        Raises:
            MonitoringError: Prometheus refuses the expression (with its words) or does not answer.
        """
        result = self._ask("custom_query", promql)
        if result and not isinstance(result[0], dict):  # a scalar: [time, value]
            return {Labels(): float(result[1])}
        if result and "values" in result[0]:
            raise MonitoringError(
                "The expression gives a range, not a value.",
                why="`[...]` at the end of a selector asks for all samples of that time.",
                fix="Put it into a function such as rate(...).",
            )
        found: dict[Labels, float] = {}
        for series in result:
            labels = Labels({k: v for k, v in series["metric"].items() if k != "__name__"})
            if labels in found:  # several metrics in one answer: then their names tell them apart
                return {Labels(s["metric"]): float(s["value"][1]) for s in result}
            found[labels] = float(series["value"][1])
        return found

    def value(self, promql: str) -> float:
        """The one value that an expression gives now (nan where it divides zero by zero).

        Raises:
            MonitoringError: It gives no series or more than one; the message says which and why.
        """
        found = self.vector(promql)
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            raise MonitoringError(
                f"The expression gives {len(found)} series, not one value.",
                why=f"They are: {', '.join(map(repr, list(found)[:5]))}{', ...' if len(found) > 5 else ''}.",
                fix='Choose one by its labels ({model="..."}), or put them together with sum(...).',
            )
        raise self._nothing(promql)

    def frame(self, promql: str, seconds: float = 60, step: float = 1.0) -> pd.DataFrame:
        """What an expression gave over the last `seconds`.

        Args:
            promql: An expression that gives a scalar or an instant vector.
            seconds: How far to look back.
            step: Seconds between two rows.

        Returns:
            A frame with the time (UTC) as index and a column per series. A column is named by those labels
            in which the series differ; a single series by its metric, or `value`.

        Raises:
            MonitoringError: Prometheus refuses the expression (with its words) or does not answer.
        """
        import pandas as pd

        result = self.ranges(promql, seconds, step)
        names = column_names([labels for labels, _ in result])
        columns = {
            name: pd.Series(list(values.values()), index=pd.to_datetime(list(values), unit="s", utc=True))
            for name, (_, values) in zip(names, result, strict=True)
        }
        frame = pd.DataFrame(columns, index=None if columns else pd.DatetimeIndex([], tz="UTC"))
        return frame.rename_axis(index="time").sort_index()

    def ranges(
        self, promql: str, seconds: float = 60, step: float = 1.0
    ) -> list[tuple[Labels, dict[float, float]]]:
        """As `frame`, but with all labels: for each series its values by time (seconds since 1970)."""
        end = int(
            time.time()
        )  # the client rounds to whole seconds; this keeps the last one out of the future
        result = self._ask(
            "custom_query_range",
            promql,
            start_time=datetime.fromtimestamp(end - seconds, tz=UTC),
            end_time=datetime.fromtimestamp(end, tz=UTC),
            step=f"{step:g}",
        )
        return [
            (Labels(series["metric"]), {float(at): float(value) for at, value in series["values"]})
            for series in result
        ]

    def _nothing(self, promql: str) -> MonitoringError:
        unknown = unknown_metrics(promql, self.url)
        if not unknown:
            return MonitoringError(
                "The expression gives no series now.",
                why="No series carries these labels, a comparison is not true, or rate(...) has not seen two "
                "samples yet.",
                fix="Ask for its parts, from the inside out; `vector(...)` shows what each gives.",
            )
        known = known_metrics(self.url)
        near = [n for name in unknown for n in difflib.get_close_matches(name, known, n=2, cutoff=0.6)]
        return MonitoringError(
            f"Prometheus has no metric {' and no metric '.join(f'`{name}`' for name in unknown)}.",
            why="The name is not exact, or no target that it reads exports it.",
            fix=f"Did you mean {' or '.join(f'`{n}`' for n in dict.fromkeys(near))}?"
            if near
            else "Compare with the page /metrics of the target.",
        )

    def _ask(self, kind: str, promql: str, **arguments: Any) -> Any:
        from prometheus_api_client import PrometheusApiClientException
        from requests.exceptions import RequestException

        try:
            return getattr(self._connect(), kind)(promql, timeout=_TIMEOUT, **arguments)
        except PrometheusApiClientException as error:
            raise MonitoringError(
                "Prometheus refuses the expression.",
                why="It is not valid PromQL; the words of Prometheus stand below.",
                fix="Mend the place they name (line:column).",
                details=_words(str(error)),
            ) from None
        except RequestException as error:
            raise MonitoringError(
                f"Prometheus does not answer at {self.url}.",
                why="It does not run any more, or the machine is very busy.",
                fix="Start it again.",
                details=str(error),
            ) from None

    def _connect(self) -> PrometheusConnect:
        if self._connection is None:
            import requests
            from prometheus_api_client import PrometheusConnect
            from urllib3.util import Retry

            session = requests.Session()
            session.trust_env = False  # a proxy knows nothing of our loopback
            self._connection = PrometheusConnect(self.url, session=session, retry=Retry(0))
        return self._connection


def known_metrics(url: str) -> set[str]:
    """Every name that a Prometheus has samples of, or that a target or a rule of it declares.

    Raises:
        MonitoringError: It does not answer.
    """
    names = set(_get(url, "/api/v1/label/__name__/values")) | _OF_ITSELF
    for name, entries in _get(url, "/api/v1/metadata").items():
        # A family that has had no event yet is declared on the page and has no sample.
        for entry in entries:
            names |= {name + ending for ending in _ENDINGS.get(entry["type"], ("",))}
    for group in _get(url, "/api/v1/rules")["groups"]:
        names |= {rule["name"] for rule in group["rules"] if rule["type"] == "recording"}
    return names


def unknown_metrics(promql: str, url: str) -> list[str]:
    """The metrics of an expression that a Prometheus does not know, sorted.

    Known is what it has samples of, what the page of a target declares, what a recording rule gives, and
    Triton's GPU metrics (a server without a GPU does not export them).

    Args:
        promql: The expression.
        url: The address of a Prometheus that has read its targets at least once.

    Raises:
        MonitoringError: It does not answer.
    """
    known = known_metrics(url) | GPU_METRICS
    names = metric_names(promql)
    patterns = {p for p in names.patterns if not any(re.fullmatch(p, name) for name in known)}
    return sorted(names.exact - known) + sorted(patterns)


def _get(url: str, path: str) -> Any:
    try:
        answer = web.get(f"{url.rstrip('/')}{path}", _TIMEOUT)
        answer.raise_for_status()
        return answer.json()["data"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise MonitoringError(
            f"No Prometheus answers at {url}.",
            why=f"{type(error).__name__}: {error}",
            fix="Start it, and give its address without a path.",
        ) from None


def column_names(series: Sequence[Mapping[str, str]]) -> list[str]:
    """A name for each series: by the labels in which they differ; a single one by its metric, or `value`."""
    if len(series) == 1:
        return [series[0].get("__name__", "value")]
    labels = sorted({name for one in series for name in one})
    differ = [name for name in labels if len({one.get(name, "") for one in series}) > 1]
    return [", ".join(one[name] for name in differ if name in one) for one in series]


def _words(error: str) -> str:
    """The text of Prometheus' own error out of the client's exception: `HTTP Status Code 400 (b'{...}')`."""
    found = re.search(r"\((b['\"].*['\"])\)", error, re.DOTALL)
    if found is None:
        return error
    try:
        return str(json.loads(ast.literal_eval(found[1]))["error"])
    except (ValueError, SyntaxError, KeyError):
        return error
