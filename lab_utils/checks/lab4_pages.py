"""Metrics pages that checks make up: Triton's names and form, and numbers that nobody knows beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab_utils.monitoring import Scrape, Window, parse

PHASES = ("request", "queue", "compute_input", "compute_infer", "compute_output")
REASONS = ("OTHER", "BACKEND", "CANCELED", "REJECTED")


@dataclass
class Page:
    """A page in the text format of Prometheus, as Triton writes it: series of a name stand together.

    Attributes:
        kinds: `counter`, `gauge`, `summary` or `histogram`, by name.
        lines: The lines of each name.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, kind: str, value: float, *, suffix: str = "", **labels: str) -> None:
        """Add one series.

        Args:
            name: The metric.
            kind: What its `# TYPE` line says.
            value: The number.
            suffix: `_bucket`, `_count` or `_sum`: behind the name in the series' own line.
            labels: Its labels.
        """
        self.kinds[name] = kind
        inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
        number = "Nan" if value != value else f"{value:.17g}"
        self.lines.setdefault(name, []).append(f"{name}{suffix}{{{inside}}} {number}")

    def text(self) -> str:
        """The whole page."""
        parts = []
        for name, lines in self.lines.items():
            parts += [f"# HELP {name} {name.replace('_', ' ')}", f"# TYPE {name} {self.kinds[name]}", *lines]
        return "\n".join(parts) + "\n"

    def scrape(self, at: float) -> Scrape:
        """The page as the course's reader gives it, read at this moment (seconds since 1970)."""
        return parse(self.text(), at)


@dataclass(frozen=True)
class Served:
    """What a model has done since its server started.

    Attributes:
        requests: Requests that were answered well.
        rows: Inferences.
        executions: Runs of the model.
        ms: Milliseconds by phase (`PHASES`), summed over all requests.
        failed: Failed requests.
        pending: Requests that wait now.
    """

    requests: float
    rows: float
    executions: float
    ms: Mapping[str, float]
    failed: float = 0.0
    pending: float = 0.0

    def plus(self, other: Served) -> Served:
        """After more of the same."""
        return Served(
            self.requests + other.requests,
            self.rows + other.rows,
            self.executions + other.executions,
            {phase: self.ms.get(phase, 0.0) + other.ms.get(phase, 0.0) for phase in PHASES},
            self.failed + other.failed,
            other.pending,
        )


def add_model(page: Page, model: str, served: Served, version: str = "1") -> None:
    """Put all that Triton exports about one version of a model onto a page."""
    labels = {"model": model, "version": version}
    page.add("nv_inference_request_success", "counter", served.requests, **labels)
    for reason in REASONS:
        value = served.failed if reason == "BACKEND" else 0.0
        page.add(
            "nv_inference_request_failure", "counter", value, model=model, reason=reason, version=version
        )
    page.add("nv_inference_count", "counter", served.rows, **labels)
    page.add("nv_inference_exec_count", "counter", served.executions, **labels)
    for phase in PHASES:
        value = 1000 * served.ms.get(phase, 0.0)
        page.add(f"nv_inference_{phase}_duration_us", "counter", value, **labels)
    page.add("nv_inference_pending_request_count", "gauge", served.pending, **labels)


def window(
    before: Mapping[str, Served], gained: Mapping[str, Served], seconds: float, at: float = 1.7e9
) -> Window:
    """A window of two readings.

    Args:
        before: What each model had done at the first reading.
        gained: What was added until the second.
        seconds: Between the two.
        at: The moment of the first, seconds since 1970.
    """
    pages = Page(), Page()
    for model, served in before.items():
        add_model(pages[0], model, served)
        add_model(pages[1], model, served.plus(gained[model]))
    return Window([pages[0].scrape(at), pages[1].scrape(at + seconds)])
