"""Incidents on record, for 4.14: what each cause looks like, with other things that look suspicious too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lab_utils.checks.lab4_pages import Page
from lab_utils.incidents import CAUSES, Client, Observation
from lab_utils.load.result import Latency
from lab_utils.monitoring import Window

_ASKED = ("audio", "floor", "guide", "menu", "ticket")
_REASONS = ("BACKEND", "CANCELED", "OTHER", "REJECTED")
_SECONDS = 2.0
_TRANSPORT_MS = 0.02


@dataclass(frozen=True)
class Row:
    """What a model did in two seconds.

    Attributes:
        requests: Answered well, by Triton's count.
        queue_ms: Mean milliseconds in the queue.
        compute_ms: Mean milliseconds of computing.
        batch: Rows per execution.
        hits: Answers from the cache; None: it has none.
        failed: Failed requests by reason.
        refused: Requests that the users saw fail.
        message: The first message of these.
    """

    requests: int
    queue_ms: float
    compute_ms: float
    batch: float = 1.0
    hits: int | None = None
    failed: Mapping[str, int] | None = None
    refused: int = 0
    message: str = ""

    @property
    def request_ms(self) -> float:
        """Mean milliseconds from the first byte to the last."""
        return self.queue_ms + self.compute_ms + _TRANSPORT_MS


_TICKET, _CACHED, _STEP = Row(54, 17, 50.5), Row(20, 0.02, 0.0, hits=20), Row(16, 0.4, 10.5)
HEALTHY: dict[str, Row] = {
    "audio": _TICKET, "floor": _CACHED, "guide": Row(16, 0, 21.5), "hear": _STEP, "menu": _CACHED,
    "reply": _STEP, "ticket": _TICKET,
}  # fmt: skip
_TRIAL = Row(5, 1, 20, failed={"BACKEND": 3, "REJECTED": 2})
"""A model that somebody tries out on the same server: no visitor asks it."""


@dataclass(frozen=True)
class Record:
    """One incident on record.

    Attributes:
        cause: A name of `CAUSES`.
        model: The model that it struck.
        before: When all was well.
        now: Afterwards.
    """

    cause: str
    model: str
    before: Observation
    now: Observation

    @property
    def truth(self) -> tuple[str, str, str]:
        """Cause, model and mend."""
        return self.cause, self.model, CAUSES[self.cause].mend


def struck(cause: str, row: Row) -> Row | None:
    """What becomes of a model's figures; None: it has none any more."""
    third = row.requests // 3
    if cause == "not_ready":
        # The series of a model stay for some seconds after it is unloaded, or are gone at once.
        gone = Row(0, 0, 0, hits=0, refused=row.requests, message="it is not ready")
        return None if row.hits is None else gone
    if cause == "too_few_instances":
        return replace(row, queue_ms=450, compute_ms=row.compute_ms + 3)
    if cause == "batch_delay":
        few = row.requests < 20
        return replace(row, queue_ms=190, compute_ms=row.compute_ms + 2, batch=1.75 if few else 9.5)
    if cause == "error_responses":
        # Two visitors did not want to wait, either: that is a reason of its own.
        return replace(row, failed={"CANCELED": 2}, refused=third + 2, message="the printer is out of paper")
    if cause == "execute_raises":
        text = "Failed to process the request(s), message: RuntimeError: the printer is out of paper"
        left = row.requests - third
        return replace(row, requests=left, failed={"BACKEND": third}, refused=third, message=text)
    if cause == "queue_timeout":
        left = row.requests - third
        failed = {"REJECTED": third}
        return replace(
            row, requests=left, queue_ms=0.2, failed=failed, refused=third, message="Request timeout expired"
        )
    if cause == "slow_step":
        return replace(row, queue_ms=row.queue_ms + 2, compute_ms=8 * row.compute_ms)
    return replace(row, compute_ms=60.5, hits=0)


def record(rng: np.random.Generator, cause: str, model: str) -> Record:
    """An incident on record, with fresh numbers.

    A counter of failures is above 0 from long ago, and one grows that belongs to nobody's model; a healthy
    model was released anew, so that its old version is unloaded; a cached answer takes ten times as long as
    before, and is still quick.
    """
    rows = {name: _jitter(rng, row) for name, row in HEALTHY.items()}
    innocent = "audio" if model == "ticket" else "ticket"
    after: dict[str, Row | None] = {name: _jitter(rng, row) for name, row in rows.items()}
    quick = "floor" if model == "menu" else "menu"
    after[quick] = replace(rows[quick], queue_ms=0.5)
    after[model] = struck(cause, rows[model])
    if model in ("hear", "reply") and (step := after[model]) is not None:
        guide = rows["guide"]
        after["guide"] = replace(guide, compute_ms=guide.compute_ms + step.request_ms)
    start = {name: int(rng.integers(300, 900)) for name in rows}
    released = 2 if CAUSES[cause].mend == "roll_back" else 1
    return Record(
        cause,
        model,
        Observation(
            _window(start, rows, {}),
            _clients(rows),
            _index({}),
            "model_lifecycle.cc:839] \"successfully loaded 'guide'\"",
        ),
        Observation(
            _window(start, after, {model: released}),
            _clients(after),
            _index({innocent: 2, **({model: released} if cause != "not_ready" else {model: 0})}),
            "\n".join(
                f"model_lifecycle.cc:839] \"successfully loaded '{name}'\"" for name in (innocent, model)
            ),
        ),
    )


def _jitter(rng: np.random.Generator, row: Row) -> Row:
    """The same on another day: up to a tenth more or less."""
    factor = rng.uniform(0.9, 1.1, 2)
    return replace(row, queue_ms=row.queue_ms * factor[0], compute_ms=row.compute_ms * factor[1])


def _window(
    start: Mapping[str, int], rows: Mapping[str, Row | None], released: Mapping[str, int], at: float = 1.7e9
) -> Window:
    """Two readings, two seconds apart."""
    pages = Page(), Page()
    for name, row in {**rows, "trial": _TRIAL}.items():
        if row is None:
            continue
        version = str(released.get(name, 1))
        _add(pages[0], name, version, row, start.get(name, 0))
        _add(pages[1], name, version, row, start.get(name, 0) + row.requests, gained=True)
    return Window([pages[0].scrape(at), pages[1].scrape(at + _SECONDS)])


def _add(page: Page, model: str, version: str, row: Row, requests: int, *, gained: bool = False) -> None:
    labels: dict[str, Any] = {"model": model, "version": version}
    computed = requests if row.hits is None else requests - (row.hits if gained else 0)
    page.add("nv_inference_request_success", "counter", requests, **labels)
    for reason in _REASONS:
        old = 7 if model in ("audio", "ticket") else 0  # long ago, when somebody tried something out
        value = old + (dict(row.failed or {}).get(reason, 0) if gained else 0)
        page.add("nv_inference_request_failure", "counter", value, reason=reason, **labels)
    page.add("nv_inference_count", "counter", computed, **labels)
    page.add("nv_inference_exec_count", "counter", 100 + computed / row.batch, **labels)
    phases = {"request": row.request_ms, "queue": row.queue_ms, "compute_infer": row.compute_ms}
    for phase in ("request", "queue", "compute_input", "compute_infer", "compute_output"):
        value = round(1000 * requests * phases.get(phase, 0.05))
        page.add(f"nv_inference_{phase}_duration_us", "counter", value, **labels)
    page.add("nv_inference_pending_request_count", "gauge", 0, **labels)
    if row.hits is not None:
        hits = 200 + (row.hits if gained else 0)
        page.add("nv_cache_num_hits_per_model", "counter", hits, **labels)
        # Of a model whose cache is off Triton counts no misses either.
        page.add("nv_cache_num_misses_per_model", "counter", 8, **labels)


def _clients(rows: Mapping[str, Row | None]) -> dict[str, Client]:
    clients = {}
    for name in _ASKED:
        row = rows[name]
        if row is None:
            words = {"unavailable": "Request for unknown model: it is not ready"}
            clients[name] = Client(HEALTHY[name].requests, HEALTHY[name].requests, Latency(), words)
            continue
        seconds = np.full(row.requests, (row.request_ms + 1.5) / 1000)
        messages = {"model_error": row.message} if row.message else {}
        total = max(row.requests + sum(dict(row.failed or {}).values()), row.refused)
        clients[name] = Client(total, row.refused, Latency.of(seconds), messages)
    return clients


def _index(released: Mapping[str, int]) -> list[dict[str, Any]]:
    """The repository index; release 0 is a model that is unloaded, 2 one whose first version is."""
    entries = []
    for name in (*HEALTHY, "trial"):
        release = released.get(name, 1)
        if release != 1:
            entries.append({"name": name, "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"})
        if release:
            entries.append({"name": name, "version": str(release), "state": "READY"})
    return entries
