"""What a run of locust gave, step by step, as a dataclass."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lab_utils.load.result import Latency, LoadResult, describe_errors, without_nan

BUSY = 0.85
"""Share of a core from which on locust is rather the limit than the server: it runs on one core."""


@dataclass(frozen=True)
class LocustStep:
    """One step of the load: so many users for so long.

    Attributes:
        users: Users at once.
        at: When its counted time began, in seconds after the first users.
        seconds: How long was counted, without the warm-up.
        requests: Requests answered well in that time.
        failures: Failed requests in that time.
        rows: Rows (inferences) in the well answered requests.
        latency: Seconds from sending to the answer, exact, of well answered requests.
        tasks: Requests by kind: `small`, `large`, `wrong`.
        client_share: Share of a core that the locust process used.
    """

    users: int
    at: float
    seconds: float
    requests: int
    failures: int = 0
    rows: int = 0
    latency: Latency = field(default_factory=Latency)
    tasks: dict[str, int] = field(default_factory=dict)
    client_share: float = 0.0

    @property
    def requests_per_second(self) -> float:
        """Requests answered well per second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def failure_ratio(self) -> float:
        """Failed requests by all requests; NaN when there was none."""
        total = self.requests + self.failures
        return self.failures / total if total else math.nan

    @property
    def client_bound(self) -> bool:
        """True when locust was busy all the time: then this is its ceiling, not the server's."""
        return self.client_share > BUSY


@dataclass(frozen=True)
class LocustResult:
    """One run of locust.

    Attributes:
        model: The model.
        protocol: `http` or `grpc`.
        steps: The steps, with exact figures.
        errors: Failed requests of the whole run by class (see `lab_utils.load.faults`).
        messages: The first message of each class.
        printed: What locust itself prints for the whole run, warm-up and failed requests included:
            `requests`, `failures`, `requests_per_second`, and in seconds `mean`, `min`, `p50`, `p90`,
            `p95`, `p99`, `max`, rounded by locust to two digits or to whole milliseconds.
        version: Locust's.
        notes: What else must be known to read the figures.
    """

    model: str
    protocol: str
    steps: tuple[LocustStep, ...]
    errors: dict[str, int] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    printed: dict[str, float] = field(default_factory=dict)
    version: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: str, protocol: str, figures: Mapping[str, Any]) -> LocustResult:
        """From the figures that the locust process wrote."""
        steps = tuple(_step(entry) for entry in figures["steps"])
        notes = [
            f"with {step.users} users locust used {step.client_share:.0%} of its one core: "
            "this is its ceiling rather than the server's"
            for step in steps
            if step.client_bound
        ]
        if figures.get("cpu_warning"):
            notes.append("locust warned of its own CPU use")
        return cls(
            model,
            protocol,
            steps,
            dict(figures["errors"]),
            dict(figures["messages"]),
            dict(figures["printed"]),
            figures.get("version", ""),
            tuple(notes),
        )

    @property
    def requests(self) -> int:
        """Requests answered well in the counted time of all steps."""
        return sum(step.requests for step in self.steps)

    @property
    def failures(self) -> int:
        """Failed requests in the counted time of all steps."""
        return sum(step.failures for step in self.steps)

    def loads(self) -> list[LoadResult]:
        """The steps as results of the load generator, for `draw_curve` and `table`.

        Triton's phases and batches are not in them: locust does not ask the server about itself.
        """
        return [
            LoadResult(
                self.model,
                self.protocol,
                engine="locust",
                concurrency=step.users,
                rows=step.rows / step.requests if step.requests else 1,
                seconds=step.seconds,
                requests=step.requests,
                throughput=step.rows / step.seconds if step.seconds else 0.0,
                latency=step.latency,
                errors={"failed": step.failures} if step.failures else {},
                client_share=step.client_share,
                client_bound=step.client_bound,
            )
            for step in self.steps
        ]

    def to_json(self) -> str:
        """One JSON object. A figure that is not known (NaN) is null."""
        plain = asdict(self) | {"steps": [asdict(step) for step in self.steps]}
        return json.dumps(without_nan(plain), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> LocustResult:
        """The result that `to_json` wrote."""
        plain = json.loads(text)
        steps = tuple(_step(entry) for entry in plain.pop("steps"))
        return cls(steps=steps, notes=tuple(plain.pop("notes")), **plain)

    def __str__(self) -> str:
        from lab_utils.load.text import milliseconds

        lines = [f"locust {self.version}, {self.model} over {self.protocol}"]
        lines.append(
            f"{'users':>6}{'requests/s':>12}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'failed':>8}{'core':>7}"
        )
        for step in self.steps:
            figures = (milliseconds(getattr(step.latency, name)) for name in ("p50", "p95", "p99"))
            failed = "-" if math.isnan(step.failure_ratio) else f"{step.failure_ratio:.1%}"
            lines.append(
                f"{step.users:>6}{step.requests_per_second:>12,.1f}"
                + "".join(f"{figure:>9}" for figure in figures)
                + f"{failed:>8}{step.client_share:>7.0%}"
            )
        lines += describe_errors(self.errors, self.messages)
        return "\n".join([*lines, *self.notes])


def _step(entry: Mapping[str, Any]) -> LocustStep:
    """A step from JSON, where NaN is null."""
    values = dict(entry)
    known = values.pop("latency").items()
    latency: dict[str, Any] = {key: math.nan if value is None else value for key, value in known}
    return LocustStep(latency=Latency(**latency), **values)
