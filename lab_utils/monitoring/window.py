"""Several readings in a row: how much a counter grew, how fast, and what a restart does to that."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import TracebackType

from lab_utils.errors import LabError
from lab_utils.monitoring.samples import Labels, MetricsError, Scrape, Where, scrape


class Window:
    """A stretch of time with at least two readings of the same page.

    Args:
        scrapes: The readings, in the order of time.

    Raises:
        MetricsError: There are fewer than two, or they are not in order.
    """

    def __init__(self, scrapes: Sequence[Scrape]) -> None:
        if len(scrapes) < 2:
            raise MetricsError(
                f"A window needs two readings of the page; there {'is 1' if scrapes else 'are 0'}.",
                why="A counter says something only as the difference of two readings.",
                fix="Read the page again a little later.",
            )
        if any(b.at <= a.at for a, b in pairwise(scrapes)):
            raise MetricsError(
                "The readings are not in the order of time.",
                why="Differences would get the wrong sign.",
                fix="Sort them by `.at`, and use each one once.",
            )
        self.scrapes = tuple(scrapes)

    @property
    def first(self) -> Scrape:
        """The oldest reading."""
        return self.scrapes[0]

    @property
    def last(self) -> Scrape:
        """The newest reading."""
        return self.scrapes[-1]

    @property
    def seconds(self) -> float:
        """Time between the first and the last reading."""
        return self.last.at - self.first.at

    def has(self, name: str, **labels: str) -> bool:
        """True when at least one reading has a series of this name with these labels."""
        return any(s.has(name, **labels) for s in self.scrapes)

    def increase(self, name: str, **labels: str) -> float:
        """How much a counter grew, summed over its series that carry these labels.

        Each series is followed from reading to reading. A value below the one before is a reset (the server
        or the model was started again, and counts from 0): then the new value itself is what was added. What
        was counted between the last reading and the reset is lost. A series that was not on the page before
        counts from 0, too. Prometheus does the same for a reset
        (https://prometheus.io/docs/prometheus/latest/querying/functions/#increase), but leaves out the first
        value of a new series, and stretches the result to the edges of the window.

        Raises:
            MetricsError: No reading has it, or it is not cumulative.
        """
        self._need(name, labels, cumulative=True)
        pages = [s.find(name, **labels) for s in self.scrapes]
        return sum(_grown(before, later) for before, later in pairwise(pages))

    def rate(self, name: str, **labels: str) -> float:
        """`increase` per second."""
        return self.increase(name, **labels) / self.seconds

    def gauge(self, name: str, **labels: str) -> float:
        """The mean over the readings of a gauge, summed over its series that carry these labels.

        Readings without it are left out.

        Raises:
            MetricsError: No reading has it, or it is cumulative: the mean of a counter says nothing.
        """
        self._need(name, labels, cumulative=False)
        pages = [s.find(name, **labels) for s in self.scrapes]
        return statistics.fmean(sum(page.values()) for page in pages if page)

    @property
    def resets(self) -> list[tuple[float, str]]:
        """When (seconds since 1970) which counter was below its last value: server or model restarted."""
        found = []
        known: dict[tuple[str, Labels], float] = {}
        for page in self.scrapes:
            for name in filter(page.cumulative, page.names()):
                series = page.samples[name]
                if any(value < known.get((name, labels), value) for labels, value in series.items()):
                    found.append((page.at, name))
                known |= {(name, labels): value for labels, value in series.items()}
        return found

    def _need(self, name: str, labels: Mapping[str, str], *, cumulative: bool) -> None:
        """Raise unless the window has this name with these labels, and it is of the right nature."""
        page = next((s for s in reversed(self.scrapes) if s.has(name, **labels)), None)
        if page is None:
            raise next((s for s in self.scrapes if s.has(name)), self.last).missing(name, labels)
        if page.kind(name) == "untyped" or page.cumulative(name) == cumulative:
            return
        kind = page.kind(name)
        if cumulative:
            raise MetricsError(
                f"`{name}` is a {kind}: it goes up and down, so its increase says nothing.",
                why="Only counters (and `_count`, `_sum`, `_bucket` of a summary or histogram) add up.",
                fix=f'Use `window.gauge("{name}")`.',
            )
        raise MetricsError(
            f"`{name}` is cumulative: it counts since the server started, so its mean says nothing.",
            why=f"The page declares it as a {kind}.",
            fix=f'Use `window.increase("{name}")` or `window.rate("{name}")`.',
        )

    def __repr__(self) -> str:
        return f"Window({self.seconds:.1f} s, {len(self.scrapes)} readings)"


def _grown(before: Mapping[Labels, float], later: Mapping[Labels, float]) -> float:
    """What the series of one name gained between two readings, with resets."""
    gains = (value - before.get(labels, 0.0) for labels, value in later.items())
    return sum(gain if gain >= 0 else value for gain, value in zip(gains, later.values(), strict=True))


def watch(where: Where, seconds: float, *, every: float = 0.5) -> Window:
    """Read a page for some time, in this thread: at the start, at the end, and in between.

    Args:
        where: As in `scrape`.
        seconds: How long.
        every: Seconds between two readings.

    Raises:
        MetricsError: The page cannot be read. A failure in between is a hole, as long as two readings stay.
    """
    if seconds <= 0 or every <= 0:
        raise MetricsError(
            f"seconds is {seconds:g} and every is {every:g}.", fix="Give numbers of seconds above 0."
        )
    start = time.monotonic()
    times = [k * every for k in range(int(seconds / every - 1e-9) + 1)] + [seconds]
    scrapes = [scrape(where)]
    failure: LabError | None = None
    for due in times[1:]:
        time.sleep(max(0.0, start + due - time.monotonic()))
        try:
            scrapes.append(scrape(where))
        except LabError as error:
            failure = error
    if len(scrapes) < 2 and failure is not None:
        raise failure
    return Window(scrapes)


class Watcher:
    """Reads a page in the background, and gives the window that you ask for.

    ```python
    with Watcher(lab.server) as watcher:
        run_load(lab.server, "timed", concurrency=4)
    print(watcher.window().rate("nv_inference_count", model="timed"))
    ```
    A reading that fails is a hole, not an end: when the server comes back, the readings go on. At the end
    of the `with` block the page is read once more.

    Args:
        where: As in `scrape`. A function is asked before each reading, for a server that comes back
            elsewhere: `Watcher(lambda: lab.server)`.
        every: Seconds between two readings.
        keep: Seconds to keep readings; older ones are dropped, so that memory stays bounded.
        patient: Whether the server may be missing at the start. Else `start` says that nobody answers.
    """

    def __init__(
        self, where: Where, *, every: float = 0.5, keep: float = 600.0, patient: bool = False
    ) -> None:
        if every <= 0 or keep < 2 * every:
            raise MetricsError(
                f"every is {every:g} and keep is {keep:g}.",
                fix="Give an `every` above 0, and a `keep` of at least twice as much.",
            )
        self.where = where
        self.every = every
        self.keep = keep
        self.patient = patient
        self.last_error: LabError | None = None
        self._scrapes: deque[Scrape] = deque()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Watcher:
        """Read once, then go on in the background. A second call does nothing while it runs.

        Raises:
            MetricsError: Nobody answers, and the watcher is not `patient`.
        """
        if self.running:
            return self
        self._read()
        if self.last_error is not None and not self.patient:
            raise self.last_error
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._closing,), name="metrics-watcher", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Read a last time and end. The readings stay."""
        if self._thread is None:
            return
        self._closing.set()
        self._thread.join()
        self._thread = None
        self._read()

    @property
    def running(self) -> bool:
        """True between `start` and `stop`."""
        return self._thread is not None

    @property
    def scrapes(self) -> list[Scrape]:
        """The readings that are kept, oldest first."""
        with self._lock:
            return list(self._scrapes)

    def window(self, seconds: float | None = None) -> Window:
        """The readings of the last `seconds`, by the clock; None: all that are kept.

        Raises:
            MetricsError: There are fewer than two. When the server cannot be read, the message says so.
        """
        since = 0.0 if seconds is None else time.time() - seconds
        found = [s for s in self.scrapes if s.at >= since]
        if len(found) < 2 and self.last_error is not None:
            raise self.last_error
        return Window(found)

    def _run(self, closing: threading.Event) -> None:
        due = time.monotonic() + self.every
        while not closing.wait(max(0.0, due - time.monotonic())):
            self._read()
            # A reading that took long is not made up for by several at once.
            due = max(due + self.every, time.monotonic())

    def _read(self) -> None:
        try:
            found = scrape(self.where, timeout=max(1.0, self.every))
        except LabError as error:
            self.last_error = error
            return
        self.last_error = None
        with self._lock:
            # A clock that was set back must not stop the readings.
            while self._scrapes and self._scrapes[-1].at >= found.at:
                self._scrapes.pop()
            self._scrapes.append(found)
            while self._scrapes[0].at < found.at - self.keep:
                self._scrapes.popleft()

    def __enter__(self) -> Watcher:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
