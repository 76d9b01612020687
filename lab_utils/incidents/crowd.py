"""The museum's visitors: the same requests again and again, and what they see of the server.

All of them live in one thread of this process: some eighty requests a second need no load process.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from lab_utils.load.driver import Driver, Recorder
from lab_utils.load.faults import FAULTS
from lab_utils.load.payload import Payload, build_payload
from lab_utils.load.plan import COLUMNS, OK, Plan
from lab_utils.load.result import Latency
from lab_utils.load.view import ServerView
from lab_utils.load.wires import make_wire

if TYPE_CHECKING:
    from lab_utils.server.base import Server

VISITORS: dict[str, tuple[int, float]] = {
    "audio": (3, 9.0),
    "floor": (1, 10.0),
    "guide": (1, 8.0),
    "menu": (1, 10.0),
    "ticket": (3, 9.0),
}
"""For each model that is asked: how many ask at the same moment, and how often a second.

Two of a family of three are served at once where there are two instances; the third one waits.
"""
CACHED = ("floor", "menu")
_STAGGER = 0.02
_PATIENCE = 5.0
_DUE, _DONE, _FAULT = (COLUMNS.index(name) for name in ("intended", "done", "fault"))


@dataclass(frozen=True)
class Client:
    """What the users of one model saw.

    Attributes:
        requests: How many were sent.
        failed: How many of them got no answer.
        latency: Of the answered ones: seconds from the moment they were due.
        messages: The first message of each class of failures (`lab_utils.load.faults`).
    """

    requests: int
    failed: int
    latency: Latency
    messages: Mapping[str, str] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Failed requests as a share of all; 0 when nobody asked."""
        return self.failed / self.requests if self.requests else 0.0


class Crowd:
    """Visitors of a museum's server; use it with `with` for as long as they shall ask.

    Args:
        server: The server, with all its models ready: the requests are made from their metadata.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._payloads: dict[str, Payload] = {}
        for model in VISITORS:
            view = ServerView(server, "http", model)
            self._payloads[model] = build_payload(view)
            view.close()

    def fill_caches(self) -> None:
        """Ask every question once that may be answered from a cache."""
        plans = {
            model: [replace(self._plan(model, 0), rate=None, in_flight=1, requests=len(p.messages))]
            for model, p in self._payloads.items()
            if model in CACHED
        }
        Asking(plans).end()

    def begin(self, warmup: float, seconds: float) -> Asking:
        """Begin to ask; the figures count from `warmup` on for `seconds`."""
        plans = {
            model: [self._plan(model, place) for _ in range(VISITORS[model][0])]
            for place, model in enumerate(VISITORS)
        }
        return Asking(plans, (warmup, seconds))

    def _plan(self, model: str, place: int) -> Plan:
        payload, (_, rate) = self._payloads[model], VISITORS[model]
        return Plan(
            "http",
            self.server.endpoints.http,
            payload.target,
            payload.messages,
            in_flight=64,
            rate=rate,
            arrival="constant",
            offset=place * _STAGGER,
            client_timeout=_PATIENCE,
            drain=_PATIENCE,
        )


class Asking:
    """Requests under way, in a thread of their own: a notebook's event loop runs already.

    Args:
        plans: By model.
        window: Seconds of warm-up and of asking; None: until the plans have ended by themselves.
    """

    def __init__(
        self, plans: Mapping[str, Sequence[Plan]], window: tuple[float, float] | None = None
    ) -> None:
        self._found: dict[str, Client] = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(plans, window), name="visitors", daemon=True)
        self._thread.start()

    def _run(self, plans: Mapping[str, Sequence[Plan]], window: tuple[float, float] | None) -> None:
        try:
            self._found = asyncio.run(_carry(plans, window))
        except BaseException as error:
            self._error = error

    def end(self) -> dict[str, Client]:
        """Wait until all answers are there, and say what the users of each model saw."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found


async def _carry(
    plans: Mapping[str, Sequence[Plan]], window: tuple[float, float] | None
) -> dict[str, Client]:
    """Carry all plans at once, as `Asking` says."""
    recorders = {model: Recorder() for model in plans}
    wires = [(model, plan, make_wire(plan)) for model, several in plans.items() for plan in several]
    drivers = [Driver(plan, wire, recorders[model]) for model, plan, wire in wires]
    try:
        for driver in drivers:
            await driver.prepare()
        start = time.perf_counter() + 0.05
        running = [asyncio.ensure_future(driver.run(start)) for driver in drivers]
        begin = start
        if window is not None:
            begin += window[0]
            await asyncio.sleep(begin + window[1] - time.perf_counter())
            for driver in drivers:
                driver.stop()
        await asyncio.gather(*running)
    finally:
        for _, _, wire in wires:
            await wire.close()
    return {model: _summarize(recorder, begin) for model, recorder in recorders.items()}


def _summarize(recorder: Recorder, begin: float) -> Client:
    """The requests that were due from `begin` on."""
    report = recorder.report()
    rows = report.rows[report.rows[:, _DUE] >= begin]
    good = rows[:, _FAULT] == OK
    return Client(
        len(rows),
        int(np.count_nonzero(~good)),
        Latency.of((rows[:, _DONE] - rows[:, _DUE])[good]),
        {kind: text for kind, text in report.messages.items() if FAULTS.index(kind) in rows[:, _FAULT]},
    )
