"""One reading of a metrics page: typed, searchable, and clear about what is not there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from lab_utils import web
from lab_utils.monitoring.labels import Labels, shared
from lab_utils.monitoring.missing import MetricsError, no_series, no_such_labels, no_such_name
from lab_utils.server.base import Endpoints, Server

Where = Server | Endpoints | str | Callable[[], Server | Endpoints | str]
"""What can be read: a server, its endpoints, `host:port` or a URL, or a function that gives one of them."""

CUMULATIVE_SUFFIXES = ("_bucket", "_count", "_sum")
"""What the text format appends to the name of a histogram; of a summary: the last two."""


class Family(NamedTuple):
    """What a page declares about a metric: `counter`, `gauge`, `summary`, `histogram` or `untyped`."""

    kind: str
    help: str


@dataclass(frozen=True, repr=False)
class Scrape:
    """One reading of a metrics page.

    Attributes:
        at: When it was read, seconds since 1970.
        families: Declared metrics by name, also those that have no series at the moment.
        samples: Value by labels, for each name of a sample. A summary `x` gives the names `x` (one series
            per quantile), `x_count` and `x_sum`; a histogram `x_bucket`, `x_count` and `x_sum`.
    """

    at: float
    families: Mapping[str, Family]
    samples: Mapping[str, Mapping[Labels, float]]

    def names(self) -> list[str]:
        """All names that `value` and `series` can be asked for."""
        return sorted(self.samples)

    def kind(self, name: str) -> str:
        """The kind of a metric: `counter`, `gauge`, `summary`, `histogram` or `untyped`.

        Raises:
            MetricsError: The page has no such metric.
        """
        family = self._family(name)
        if family is None:
            raise self.missing(name)
        return family.kind

    def cumulative(self, name: str) -> bool:
        """True when the values under this name only grow (until a restart), so that differences count."""
        kind = self.kind(name)
        if kind in ("summary", "histogram"):
            return name not in self.families and name.endswith(CUMULATIVE_SUFFIXES)
        return kind == "counter"

    def has(self, name: str, **labels: str) -> bool:
        """True when at least one series has this name and carries these labels."""
        return bool(self.find(name, **labels))

    def find(self, name: str, **labels: str) -> dict[Labels, float]:
        """The series of this name that carry these labels, with their values; empty when there is none."""
        found = self.samples.get(name, {})
        return {ours: value for ours, value in found.items() if ours.carries(labels)}

    def series(self, name: str, **labels: str) -> dict[Labels, float]:
        """As `find`, and never empty.

        Raises:
            MetricsError: There is none. The message names what there is.
        """
        found = self.find(name, **labels)
        if not found:
            raise self.missing(name, labels)
        return found

    def value(self, name: str, **labels: str) -> float:
        """The sum over all series of this name that carry these labels.

        Raises:
            MetricsError: There is none. The message names what there is.
        """
        return sum(self.series(name, **labels).values())

    def labels_of(self, name: str, label: str) -> list[str]:
        """The different values of a label, sorted: `labels_of("nv_inference_count", "model")`.

        Raises:
            MetricsError: No series of this name has this label.
        """
        values = {labels[label] for labels in self.series(name) if label in labels}
        if not values:
            raise self.missing(name, {label: "..."})
        return sorted(values)

    def missing(self, name: str, labels: Mapping[str, str] | None = None) -> MetricsError:
        """The error for a name, or a name with labels, that this page does not have."""
        if name in self.samples:
            return no_such_labels(name, self.samples[name], labels or {})
        family = self._family(name)
        if family is not None:
            return no_series(name, family.kind, [n for n in self.samples if n.startswith(name)])
        return no_such_name(name, {*self.samples, *self.families})

    def _family(self, name: str) -> Family | None:
        if name in self.families:
            return self.families[name]
        for suffix in CUMULATIVE_SUFFIXES:
            family = self.families.get(name.removesuffix(suffix))
            if name.endswith(suffix) and family and family.kind in ("summary", "histogram"):
                return family
        return None

    def __repr__(self) -> str:
        count = sum(map(len, self.samples.values()))
        clock = time.strftime("%H:%M:%S", time.localtime(self.at))
        return f"Scrape({clock}, {len(self.families)} metrics, {count} series)"


def parse(text: str, at: float | None = None) -> Scrape:
    """Read the text of a metrics page (Prometheus text format).

    Args:
        text: The page.
        at: When it was read, seconds since 1970. Default: now.

    Raises:
        MetricsError: The text is not such a page, or is damaged. The message names the line.
    """
    families: dict[str, Family] = {}
    samples: dict[str, dict[Labels, float]] = {}
    # The parser gives every counter the ending `_total`, which Triton's counters do not have.
    declared = set(re.findall(r"^# TYPE (\S+) counter\s*$", text, re.MULTILINE))
    try:
        for family in text_string_to_metric_families(text):
            bare = family.type == "counter" and family.name in declared
            name = family.name if bare or family.type != "counter" else f"{family.name}_total"
            kind = "untyped" if family.type == "unknown" else family.type
            families[name] = Family(kind, family.documentation)
            for sample in family.samples:
                series = samples.setdefault(sample.name.removesuffix("_total") if bare else sample.name, {})
                labels = shared(sample.labels)
                if labels in series:
                    raise ValueError(f"two values for {sample.name}{labels!r}")
                series[labels] = float(sample.value)
    except (ValueError, IndexError) as error:
        raise _damaged(text, error) from None
    if not families:
        raise MetricsError(
            "The page holds no metrics.",
            why="It is empty, or holds comments only.",
            fix="Check the address: Triton's metrics have a port of their own (8002 by default).",
        )
    return Scrape(time.time() if at is None else at, families, samples)


def _damaged(text: str, error: Exception) -> MetricsError:
    """The error for a page that is not in the text format: names the first bad line, if one alone is bad."""
    why = str(error)
    for number, line in enumerate(text.splitlines(), 1):
        try:
            list(text_string_to_metric_families(line))
        except (ValueError, IndexError):
            why = f"Line {number} is not a sample `name{{labels}} value` or a comment: {line[:120]!r}"
            break
    return MetricsError(
        "This is not a page of metrics.",
        why=why,
        fix="Check the address: Triton's metrics have a port of their own (8002 by default) and the path "
        "/metrics. If the page was cut off, read it again.",
    )


def metrics_url(where: Where) -> str:
    """The URL of a metrics page.

    Args:
        where: A server, its endpoints, `host:port`, a URL with or without path (default: /metrics), or a
            function that gives one of them (for servers that come back at another address).

    Raises:
        MetricsError: It is none of these.
        ServerError: The server has no address at the moment.
    """
    if isinstance(where, str):
        url = where if "://" in where else f"http://{where}"
        return url if httpx.URL(url).path not in ("", "/") else f"{url.rstrip('/')}/metrics"
    if isinstance(where, Endpoints):
        return where.metrics_url
    if callable(where):
        return metrics_url(where())
    endpoints = getattr(where, "endpoints", None)
    if not isinstance(endpoints, Endpoints):
        raise MetricsError(
            f"{where!r} is nothing that has metrics.",
            why="Wanted is a server, its endpoints, or an address.",
            fix="Give `lab.server`, or `host:port` of the metrics service.",
        )
    return endpoints.metrics_url


def scrape(where: Where, *, timeout: float = 5.0) -> Scrape:
    """Read a metrics page once, as Prometheus does.

    Args:
        where: A server, its endpoints, `host:port` of the metrics service, a URL, or a function that gives
            one of them.
        timeout: Seconds to wait for the page.

    Raises:
        MetricsError: Nobody answers there, or what answers is not a metrics page.
    """
    url = metrics_url(where)
    start = time.time()
    try:
        answer = web.get(url, timeout)
    except httpx.TimeoutException:
        raise MetricsError(
            f"{url} did not answer within {timeout:g} s.",
            why="The server is overloaded or stopped, or a firewall stands between.",
            fix=f"Try `curl -s {url}`.",
        ) from None
    except httpx.ConnectError as error:
        # The name service has negative error numbers.
        unknown = "[Errno -" in str(error)
        raise MetricsError(
            f"Nobody answers at {url}.",
            why="The name of the machine is not known."
            if unknown
            else "The server is not running, runs with --allow-metrics=false, or has another metrics port.",
            fix="`lab.server.endpoints.metrics` is the address of your server's metrics.",
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise MetricsError(
            f"{url} cannot be read: {str(error).rstrip('.')}.",
            why="What listens there does not speak HTTP (as Triton's gRPC port), or that is no address.",
            fix="`lab.server.endpoints.metrics` is the address of your server's metrics.",
        ) from None
    # The values are of a moment between the question and the answer.
    at = (start + time.time()) / 2
    if answer.status_code != 200:
        raise MetricsError(
            f"{url} answers with status {answer.status_code}, not with metrics.",
            why="Another service listens there: Triton's HTTP port (8000 by default) has no metrics.",
            fix="`lab.server.endpoints.metrics` is the address of your server's metrics.",
        )
    return parse(answer.text, at)
