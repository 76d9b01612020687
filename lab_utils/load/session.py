"""One load from its plans to its measured rows: warm-up, windows, counts, the number of processes."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from typing import Any

from lab_utils.load import figures
from lab_utils.load.crew import Crew
from lab_utils.load.figures import Window
from lab_utils.load.payload import Payload
from lab_utils.load.plan import Plan
from lab_utils.load.progress import Progress
from lab_utils.load.result import LoadResult
from lab_utils.load.summary import Measured
from lab_utils.load.view import Counters, ServerView

MOST_WINDOWS = 10
"""Windows to try before the load counts as not stable; perf_analyzer's default (--max-trials 10)."""
_OPEN_LOOP_MOST = 512
"""Requests in flight in an open loop, all processes together: a process may have 1024 open files."""
_PATIENCE = 5.0
"""Seconds to wait for the statistics of a model that is loaded again under the load."""
_PROBE = 0.25
"""Seconds of the short loads that find out how many processes are needed."""
_BUSY_PROBE = 0.75
"""Share of a core from which on one more process is tried."""


@dataclass
class Load:
    """One load: how its share for each process is made, and how it is measured."""

    view: ServerView
    payload: Payload
    concurrency: int
    rate: float | None
    arrival: str
    client_timeout: float
    drain: float
    seed: int
    processes: int | str
    expected: list[list[bytes]] | None = None
    tokens: str = ""
    used: int = 1

    @property
    def label(self) -> str:
        """The load in a few words."""
        return f"{self.concurrency} in flight" if self.rate is None else f"{self.rate:g}/s {self.arrival}"

    def about(self) -> LoadResult:
        """An empty result that says what kind of load it is."""
        return LoadResult(
            self.view.model,
            self.view.protocol,
            self.view.version,
            concurrency=self.concurrency if self.rate is None else None,
            rate=self.rate,
            arrival="" if self.rate is None else self.arrival,
            rows=sum(self.payload.rows) / len(self.payload.rows),
            processes=self.used,
        )

    def plans(self, count: int, requests: int | None = None) -> list[Plan]:
        """The shares of `count` processes."""
        count = max(1, min(count, self.concurrency if self.rate is None else count, requests or count))
        in_flight = self.concurrency if self.rate is None else _OPEN_LOOP_MOST
        return [
            Plan(
                self.view.protocol,
                self.view.address,
                self.payload.target,
                self.payload.messages,
                _share(in_flight, count, number),
                None if self.rate is None else self.rate / count,
                self.arrival,
                0.0 if self.rate is None else number / self.rate,
                self.seed * 1000 + number,
                None if requests is None else _share(requests, count, number),
                self.client_timeout,
                self.drain,
                self.expected,
                tokens=self.tokens,
            )
            for number in range(count)
        ]

    def for_seconds(self, seconds: float, warmup: float, stable: bool, bar: Progress) -> Measured:
        """A warm-up, then one window, or as many as it takes to be stable; the load never pauses."""
        self.used = self._processes(warmup)
        windows: list[Window] = []
        counters: list[Counters] = []
        interrupted, agreed = False, None
        with Crew(self.plans(self.used)) as crew:
            start = crew.start()
            try:
                crew.wait(start + warmup, bar.tick)
                begin = time.perf_counter()
                counters.append(self.view.counters(_PATIENCE))
                while True:
                    working = crew.wait(begin + seconds, bar.tick)
                    now = time.perf_counter()
                    windows.append(Window(begin, now))
                    counters.append(self.view.counters(_PATIENCE))
                    agreed = figures.stable(crew.rows(), windows, self.rate is not None) if stable else None
                    if not stable or agreed or not working or len(windows) == MOST_WINDOWS:
                        break
                    begin = now
            except KeyboardInterrupt:
                if not counters:
                    raise  # nothing has been measured yet
                interrupted = True
                windows = [window for window in windows if window.start < begin]
                windows.append(Window(begin, time.perf_counter()))
            crew.stop()
            if interrupted:
                counters.append(self.view.counters())
            return Measured(
                crew.rows(),
                crew.gaps(),
                crew.messages,
                crew.usage,
                # The last three are those that agreed (or came nearest to it in time).
                Window(windows[-3:][0].start, windows[-1].end),
                counters[-1].since(counters[-min(len(counters), 4)]),
                interrupted,
                agreed,
                crew.arrivals(),
            )

    def for_requests(self, requests: int, warmup: float, bar: Progress) -> Measured:
        """A warm-up and its end, then exactly so many requests."""
        self.used = self._processes(warmup)
        if warmup > 0:
            with Crew(self.plans(self.used)) as crew:
                crew.wait(crew.start() + warmup, bar.tick)
                crew.stop()
        interrupted = False
        before = self.view.counters()
        with Crew(self.plans(self.used, requests)) as crew:
            start = crew.start()
            try:
                crew.wait(None, bar.tick)
            except KeyboardInterrupt:
                interrupted = True
                crew.stop()
            rows = crew.rows()
            end = float(rows[:, figures.DONE].max()) if len(rows) else time.perf_counter()
            return Measured(
                rows,
                crew.gaps(),
                crew.messages,
                crew.usage,
                Window(start, end),
                self._settled(before, rows),
                interrupted,
                None,
                crew.arrivals(),
            )

    def _settled(self, before: Counters, rows: Any) -> Counters:
        """The statistics once they hold all requests: an answer is out before Triton has counted it."""
        answered = int((rows[:, figures.FAULT] == figures.OK).sum())
        for _ in range(20):
            found = self.view.counters().since(before)
            if found.requests >= answered:
                break
            time.sleep(0.02)
        return found

    def _processes(self, warmup: float) -> int:
        """As asked for; or found out with short loads before the warm-up: twice as many while they help."""
        if self.processes != "auto":
            return int(self.processes)
        most = max(2, (os.cpu_count() or 1) // 2)
        if self.rate is None:
            most = min(most, self.concurrency)
        count, best = 1, 0.0
        while warmup > 0 and count <= most:
            with Crew(self.plans(count)) as crew:
                start = crew.start()
                crew.wait(start + _PROBE)
                crew.stop()
                window = Window(start, start + _PROBE)
                done = figures.answered(crew.rows(), window)
                busy = figures.client_use(crew.usage, window).share
            if not _is_gain(done, best):
                return count // 2
            if busy < _BUSY_PROBE or count * 2 > most:
                return count
            best, count = float(done), count * 2
        return 1


def _is_gain(done: float, best: float) -> bool:
    """Whether `done` answers are more than `best`: by 5 %, and by more than the noise of counting.

    That noise is two standard deviations of a Poisson count, 2 * sqrt(best). Of twelve answers, one more
    says nothing.
    """
    return done >= best + max(0.05 * best, 2 * math.sqrt(best))


def _share(whole: int, parts: int, number: int) -> int:
    """The share of part `number` when `whole` is dealt out as evenly as it goes."""
    return whole // parts + (1 if number < whole % parts else 0)
