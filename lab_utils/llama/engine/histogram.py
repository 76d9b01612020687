"""A histogram of times that costs next to nothing to fill."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

TTFT_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds to the first token: from an idle small model to a long queue before a large one."""
ITL_BOUNDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0)
"""Seconds between two tokens of a stream."""


@dataclass
class Histogram:
    """Counts of values per bucket, as Prometheus counts them: a value equal to a bound is below it.

    Attributes:
        bounds: Upper bounds of the buckets, in seconds, rising; one more bucket takes what is above.
        counts: Values per bucket; `len(bounds) + 1` of them.
        total: Sum of all values, in seconds.
        count: Number of values.
        recent: The newest values that nobody has taken with `drain`; the oldest are forgotten first.
    """

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0
    count: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=4096), repr=False)

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds
        self.count += 1
        self.recent.append(seconds)

    def drain(self) -> list[float]:
        """The values added since the last call; another thread may go on adding."""
        return [self.recent.popleft() for _ in range(len(self.recent))]

    def copy(self) -> Histogram:
        """What it holds now."""
        return Histogram(self.bounds, list(self.counts), self.total, self.count)
