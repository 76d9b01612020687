"""From the rows of all requests to the figures of a result: which requests count, and who was the limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab_utils.load.faults import FAULTS
from lab_utils.load.plan import COLUMNS, OK
from lab_utils.load.result import Latency

INTENDED, SENT, FIRST, DONE, FAULT, RESPONSES = range(len(COLUMNS))
BUSY_LIMIT = 0.85
"""Share of its time from which on a load process counts as busy."""
STABILITY = 0.10
"""How far apart three windows may be: perf_analyzer's default (--stability-percentage 10)."""
_STABLE_WINDOWS = 3


@dataclass(frozen=True)
class Window:
    """A stretch of time, seconds of `time.perf_counter`."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True)
class Client:
    """What the load processes themselves used: the figures of the busiest one.

    Attributes:
        share: CPU seconds per second of the process, all its threads.
        waiting: Share of its time that its event loop was ready to run and had to wait for a core.
    """

    share: float
    waiting: float


def good(rows: Any, window: Window, open_loop: bool) -> Any:
    """The well answered requests that count for the latency.

    Closed loop: those that ended in the window. Open loop: those that were *due* in the window,
    whenever they ended: dropping the ones that ended late would hide what the load did.
    """
    column = INTENDED if open_loop else DONE
    return rows[(rows[:, FAULT] == OK) & _inside(rows[:, column], window)]


def answered(rows: Any, window: Window) -> int:
    """Requests answered well in the window; the throughput counts these."""
    return int(np.count_nonzero((rows[:, FAULT] == OK) & _inside(rows[:, DONE], window)))


def errors(rows: Any, window: Window, open_loop: bool) -> dict[str, int]:
    """Failed requests by class: due in the window (open loop), or ended in it or left in flight by it."""
    failed = rows[rows[:, FAULT] != OK]
    column = INTENDED if open_loop else DONE
    inside = _inside(failed[:, column], window)
    if not open_loop:
        # A request that was in flight at the end, and never came back, belongs to this load.
        inside |= (failed[:, FAULT] == FAULTS.index("unfinished")) & (failed[:, SENT] <= window.end)
    numbers, counts = np.unique(failed[inside][:, FAULT].astype(int), return_counts=True)
    return {FAULTS[number]: int(count) for number, count in zip(numbers, counts, strict=True)}


def _inside(times: Any, window: Window) -> Any:
    return (times >= window.start) & (times <= window.end)


def client_use(usage: Sequence[Sequence[tuple[float, float, float, float]]], window: Window) -> Client:
    """How much of a core the busiest load process had in the window, and how long one waited for a core."""
    shares, waits = [0.0], [0.0]
    for rows in usage:
        table = np.array(rows, dtype=np.float64).reshape(-1, 4)
        # Rows come ten times a second: take the widest pair inside the window, else the whole load.
        inside = table[_inside(table[:, 0], window)]
        used = inside if len(inside) >= 2 else table
        if len(used) < 2:
            continue
        seconds, _, waiting, process = (used[-1] - used[0]).tolist()
        if seconds > 0:
            shares.append(process / seconds)
            waits.append(min(1.0, waiting / seconds))
    return Client(max(shares), max(waits))


def is_client_bound(client: Client, in_server: float, in_flight: float) -> bool:
    """Whether the client rather than the server was measured.

    All must hold: a load process had work (nearly) all the time, on a core or waiting for one, so
    that it could not have sent more; it was on a core for more of that time than it waited, so that
    it was not merely crowded out by the server on the same machine; and fewer than half of the
    requests in flight were inside Triton (Little's law: mean number inside = rate x mean time
    inside), so that the server was not what they waited for.
    """
    busy = client.share + client.waiting >= BUSY_LIMIT and client.share > client.waiting
    return busy and in_server < 0.5 * in_flight


def mean_in_flight(rows: Any, window: Window) -> float:
    """Mean number of requests between their sending and their end, over the window."""
    overlap = np.minimum(rows[:, DONE], window.end) - np.maximum(rows[:, SENT], window.start)
    return float(np.clip(overlap, 0.0, None).sum() / window.seconds) if window.seconds > 0 else 0.0


def stable(rows: Any, windows: Sequence[Window], open_loop: bool) -> bool:
    """Whether the last three windows agree in throughput and in mean latency, within `STABILITY`.

    perf_analyzer's rule: each of the three lies within the percentage around their mean
    (https://github.com/triton-inference-server/perf_analyzer/blob/main/docs/measurements_metrics.md).
    """
    last = windows[-_STABLE_WINDOWS:]
    if len(last) < _STABLE_WINDOWS:
        return False
    rates = [answered(rows, window) / window.seconds for window in last]
    latencies = [Latency.of(times(good(rows, window, open_loop))).mean for window in last]
    return _agree(rates) and _agree(latencies)


def _agree(values: Sequence[float]) -> bool:
    mean = sum(values) / len(values)
    return not math.isnan(mean) and mean > 0 and all(abs(v - mean) <= STABILITY * mean for v in values)


def times(rows: Any) -> Any:
    """Latencies of these requests: from the moment they were due to their (last) response."""
    return rows[:, DONE] - rows[:, INTENDED]


def gaps_inside(gaps: Any, window: Window) -> Any:
    """Seconds between responses that came in the window."""
    return gaps[_inside(gaps[:, 0], window)][:, 1]
