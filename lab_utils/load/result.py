"""What a load gave: figures as a dataclass, as a table, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from lab_utils.load.faults import MEANING

_NAN = float("nan")


@dataclass(frozen=True)
class Latency:
    """A distribution of times, in seconds. All figures are NaN when `count` is 0."""

    count: int = 0
    mean: float = _NAN
    std: float = _NAN
    min: float = _NAN
    p50: float = _NAN
    p90: float = _NAN
    p95: float = _NAN
    p99: float = _NAN
    max: float = _NAN

    @classmethod
    def of(cls, seconds: Any) -> Latency:
        """The distribution of these times (1-d array)."""
        values = np.asarray(seconds, dtype=np.float64)
        if not values.size:
            return cls()
        p50, p90, p95, p99 = np.percentile(values, [50, 90, 95, 99]).tolist()
        return cls(
            int(values.size),
            float(values.mean()),
            float(values.std()),
            float(values.min()),
            p50,
            p90,
            p95,
            p99,
            float(values.max()),
        )

    def __eq__(self, other: object) -> bool:
        """Equal figures; NaN equals NaN here, so that a result equals its copy."""
        if not isinstance(other, Latency):
            return NotImplemented
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class LoadResult:
    """One load and what it gave.

    Attributes:
        model: The model; `version` is empty when the server chose.
        protocol: `http`, `grpc` or `stream`.
        engine: `lab` or `perf_analyzer`.
        concurrency: Requests in flight, for a closed loop; else None.
        rate: Requests per second that were due, for an open loop; else None.
        arrival: `poisson` or `constant`, for an open loop; else empty.
        rows: Rows (inferences) per request, the mean over the pool.
        processes: Load processes.
        seconds: How long was measured.
        requests: Requests answered well in that time.
        throughput: Inferences per second: requests per second times rows.
        latency: Seconds from the moment a request was due to its (last) response. In a closed loop
            a request is due when it is sent; in an open loop by the schedule.
        errors: Failed requests by class (see `lab_utils.load.faults`).
        messages: The first message of each class.
        server: Seconds per request in Triton's phases.
        batch_histogram: Executions of the model by batch size.
        executions: Calls of the model.
        cache_hits: Requests that the response cache answered.
        in_server: Mean number of requests inside Triton (Little's law: rate times time in Triton).
        time_to_first: Seconds to the first response (stream only).
        between: Seconds between responses of one request (stream only).
        responses: Responses per request (stream only).
        late: Seconds that requests were sent after they were due (open loop only).
        client_share: Share of a core that the busiest load process used.
        client_waiting: Share of its time that a load process waited for a core.
        client_bound: True when the client was measured rather than the server.
        stable: Whether three windows in a row agreed; None when that was not asked for.
        interrupted: True when Ctrl-C ended it early.
        notes: What else must be known to read the figures.
    """

    model: str
    protocol: str
    version: str = ""
    engine: str = "lab"
    concurrency: int | None = None
    rate: float | None = None
    arrival: str = ""
    rows: float = 1
    processes: int = 1
    seconds: float = 0.0
    requests: int = 0
    throughput: float = 0.0
    latency: Latency = field(default_factory=Latency)
    errors: dict[str, int] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    server: dict[str, float] = field(default_factory=dict)
    batch_histogram: dict[int, int] = field(default_factory=dict)
    executions: int = 0
    cache_hits: int = 0
    in_server: float = 0.0
    time_to_first: Latency | None = None
    between: Latency | None = None
    responses: float | None = None
    late: Latency | None = None
    client_share: float = 0.0
    client_waiting: float = 0.0
    client_bound: bool = False
    stable: bool | None = None
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def requests_per_second(self) -> float:
        """Requests answered well per second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def mean_batch(self) -> float:
        """Mean batch size of an execution; NaN when the model was not executed."""
        rows = sum(size * count for size, count in self.batch_histogram.items())
        count = sum(self.batch_histogram.values())
        return rows / count if count else _NAN

    @property
    def failed(self) -> int:
        """Failed requests of all classes."""
        return sum(self.errors.values())

    @property
    def label(self) -> str:
        """The load in a few words: `8 in flight` or `200/s poisson`."""
        if self.concurrency is not None:
            return f"{self.concurrency} in flight"
        return f"{self.rate:g}/s {self.arrival}"

    def to_json(self) -> str:
        """One JSON object. A figure that is not known (NaN) is null."""
        plain = asdict(self)
        plain["batch_histogram"] = {str(size): count for size, count in self.batch_histogram.items()}
        extra = {"requests_per_second": self.requests_per_second, "mean_batch": self.mean_batch}
        return json.dumps(without_nan(plain | extra), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> LoadResult:
        """The result that `to_json` wrote."""
        plain: dict[str, Any] = json.loads(text)
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in plain.items() if key in known}
        for key in ("latency", "time_to_first", "between", "late"):
            if values.get(key) is not None:
                found: dict[str, Any] = {k: _NAN if v is None else v for k, v in values[key].items()}
                values[key] = Latency(**found)
        values["batch_histogram"] = {int(k): v for k, v in values.get("batch_histogram", {}).items()}
        return cls(**values)

    def __str__(self) -> str:
        from lab_utils.load.text import one

        return one(self)


def describe_errors(errors: Mapping[str, int], messages: Mapping[str, str]) -> list[str]:
    """One line per class of failed requests."""
    return [
        f"{count} x {kind}: {MEANING.get(kind, '')}" + (f" ({messages[kind]})" if messages.get(kind) else "")
        for kind, count in sorted(errors.items(), key=lambda item: -item[1])
    ]


def without_nan(value: Any) -> Any:
    """The same value with None in the place of every number that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [without_nan(entry) for entry in value]
    return value
