"""Drives the slots of one load process: a closed loop, or an open loop on a schedule."""

from __future__ import annotations

import asyncio
import itertools
import math
import re
from collections import deque
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np

from lab_utils.load.arrivals import Timer, arrival_times
from lab_utils.load.faults import FAULTS
from lab_utils.load.plan import COLUMNS, OK, Plan, Report
from lab_utils.load.wires import Answer, Slot, Wire

_REQUEST_ID = re.compile(r"\[request id: [^]]*\] ")
_REST = 0.005
"""Seconds that a closed loop waits after a failed request. A refusal comes back at once: asking again at
once would make thousands of refusals a second, and little else would be measured."""
_TURN = 32
"""Requests after which a sender that is behind its schedule lets the answers be read."""
_INDEX = {name: number for number, name in enumerate(FAULTS)}
Check = Callable[[int, tuple[bytes, ...]], str]
"""Compares the answer to message `index` with what it should be; returns the difference or nothing."""


class Recorder:
    """Collects what happened to each request until the next report.

    Args:
        token_bytes: Size of one token in a kept response; 0: do not note the tokens of responses.
    """

    def __init__(self, token_bytes: int = 0) -> None:
        self._token_bytes = token_bytes
        self._arrivals: list[tuple[float, int]] = []
        self._rows: list[tuple[float, float, float, float, int, int]] = []
        self._gaps: list[tuple[float, float]] = []
        self._known: set[str] = set()
        self._messages: dict[str, str] = {}
        self.usage: list[tuple[float, float, float, float]] = []

    def add(self, intended: float, sent: float, answer: Answer) -> None:
        """One request that is over."""
        number = OK
        if answer.fault is not None:
            kind, message = answer.fault
            number = _INDEX[kind]
            if kind not in self._known:
                self._known.add(kind)
                self._messages[kind] = _REQUEST_ID.sub("", message)
        self._rows.append((intended, sent, answer.first, answer.done, number, answer.responses))
        if len(answer.arrivals) > 1:
            self._gaps += [(b, b - a) for a, b in itertools.pairwise(answer.arrivals)]
        if self._token_bytes:
            moments = answer.arrivals or (answer.done,) * answer.responses
            counts = (len(ids) // self._token_bytes for ids in answer.payload)
            self._arrivals += zip(moments, counts, strict=True)

    def report(self, ended: bool = False) -> Report:
        """All since the last report."""
        rows, gaps, messages = self._rows, self._gaps, self._messages
        usage, arrivals = self.usage, self._arrivals
        self._rows, self._gaps, self._messages, self.usage, self._arrivals = [], [], {}, [], []
        return Report(
            np.array(rows, dtype=np.float64).reshape(-1, len(COLUMNS)),
            np.array(gaps, dtype=np.float64).reshape(-1, 2),
            messages,
            usage,
            ended,
            arrivals=np.array(arrivals, dtype=np.float64).reshape(-1, 2),
        )


class Driver:
    """Runs one plan.

    Args:
        plan: What to do.
        wire: How requests travel.
        recorder: Where their times go.
        check: Compares answers; None when nothing is to be compared.
    """

    def __init__(self, plan: Plan, wire: Wire, recorder: Recorder, check: Check | None = None) -> None:
        self.plan = plan
        self.wire = wire
        self.recorder = recorder
        self.check = check
        self._stop = asyncio.Event()
        self._taken = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._free: list[Slot] = []
        self._active = 0
        self._sent = 0
        self._stopped = 0.0
        self._arrivals: Iterator[float] = iter(())
        self._next = math.inf
        self._due: deque[float] = deque()

    def stop(self) -> None:
        """Send nothing more; `run` returns when all answers are there or the drain time is over."""
        self._stopped = perf_counter()
        self._stop.set()

    async def prepare(self) -> None:
        """Connect."""
        first = self.plan.in_flight if self.plan.rate is None else min(self.plan.in_flight, 16)
        self._free = await self.wire.open(first)
        self._active = len(self._free)

    async def run(self, start: float) -> None:
        """Carry the load from `start` (seconds of `time.perf_counter`) to the stop or the count's end."""
        await asyncio.sleep(max(0.0, start - perf_counter()))
        if self.plan.rate is None:
            self._tasks = {asyncio.ensure_future(self._closed(slot)) for slot in self._free}
            sender: asyncio.Future[Any] = asyncio.gather(*self._tasks)
        else:
            sender = asyncio.ensure_future(self._open(start, self.plan.rate))
        stopped: asyncio.Future[Any] = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({sender, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self.plan.rate is not None and not sender.done():
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            self._collect_late()
        await self._drain()
        await asyncio.gather(sender, return_exceptions=True)
        error = None if sender.cancelled() else sender.exception()
        if error and not isinstance(error, asyncio.CancelledError):
            raise error

    async def _drain(self) -> None:
        """Wait for what is in flight; what is not back in time counts as unfinished."""
        end = perf_counter() + self.plan.drain
        whole = self.plan.requests is not None and not self._stop.is_set()
        while self._tasks and (whole or perf_counter() < end):
            done, _ = await asyncio.wait(self._tasks, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
            self._tasks -= done
            for task in done:
                task.result()
            if whole and self._stop.is_set():
                whole, end = False, perf_counter() + self.plan.drain
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        now = perf_counter()
        for intended in self._due:
            self.recorder.add(
                intended, now, Answer(now, now, 0, ("not_sent", "the client could not send it in time"))
            )
        self._due.clear()

    def _take(self) -> int | None:
        """The number of the next request; None when the count is used up or the stop has come."""
        if self._stop.is_set() or (self.plan.requests is not None and self._taken >= self.plan.requests):
            return None
        self._taken += 1
        return self._taken - 1

    async def _closed(self, slot: Slot) -> None:
        """Ask again as soon as the answer is there."""
        while (number := self._take()) is not None:
            now = perf_counter()
            if not await self._ask(slot, number, now):
                await asyncio.sleep(_REST)

    async def _ask(self, slot: Slot, number: int, intended: float) -> bool:
        """One request; False when it failed."""
        index = number % len(self.plan.messages)
        sent = perf_counter()
        try:
            answer = await slot.ask(index)
        except asyncio.CancelledError:
            now = perf_counter()
            fault = ("unfinished", f"no answer {self.plan.drain:g} s after the last request was sent")
            self.recorder.add(intended, sent, Answer(now, now, 0, fault))
            raise
        if self.check and answer.fault is None and (difference := self.check(index, answer.payload)):
            answer = answer._replace(fault=("wrong_answer", difference))
        self.recorder.add(intended, sent, answer)
        return answer.fault is None

    async def _open(self, start: float, rate: float) -> None:
        """Send each request when it is due, however many are still in flight."""
        plan = self.plan
        self._arrivals = arrival_times(rate, plan.arrival, start, seed=plan.seed, offset=plan.offset)
        timer = Timer()
        try:
            for count, moment in enumerate(self._arrivals):
                if count == plan.requests:
                    break
                self._next = moment
                await timer.until(moment)
                self._due.append(moment)
                self._dispatch()
                if count % _TURN == 0:
                    await asyncio.sleep(0)  # behind the schedule: answers must be read all the same
            self._next = math.inf
            while self._due:
                await asyncio.sleep(0.01)
        finally:
            timer.close()

    def _collect_late(self) -> None:
        """After the stop: what was due by then, and had not even been looked at, was not sent either."""
        while self._next <= self._stopped:
            self._due.append(self._next)
            self._next = next(self._arrivals)

    def _dispatch(self) -> None:
        """Send what is due while a slot is free or may still be made."""
        while self._due and not self._stop.is_set():
            if self._free:
                slot = self._free.pop()
            elif self._active < self.plan.in_flight:
                slot = self.wire.new_slot()
                self._active += 1
            else:
                return
            task = asyncio.ensure_future(self._once(slot, self._sent, self._due.popleft()))
            self._sent += 1
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _once(self, slot: Slot, number: int, intended: float) -> None:
        await self._ask(slot, number, intended)
        self._free.append(slot)
        self._dispatch()
