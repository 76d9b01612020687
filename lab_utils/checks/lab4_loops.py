"""Checkpoint 4.8: the knee of a curve, and an open loop whose clock starts in time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http.aio as aioclient

from lab_utils.checks.asking import shorten, with_hint
from lab_utils.checks.lab2_live import place_timed
from lab_utils.checks.lab4_curves import in_words, point
from lab_utils.load import run_load, run_sweep
from lab_utils.load.result import LoadResult
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server

_RATE, _COUNT = 50.0, 40
_PAUSE = 0.4
_STALL_ROWS, _ROW_MS = 500, 1
_BLOCKS = "`time.sleep` holds up every coroutine: `await asyncio.sleep(due - time.perf_counter())`."
_HINTS = {
    "was never awaited|object is not callable|coroutine": "`ask` is a coroutine function: `await ask()`.",
    "must be non-negative": _BLOCKS,
}

Ask = Callable[[], Awaitable[Any]]


def _curves() -> list[list[LoadResult]]:
    """Three curves; throughput, latency, a share of the best, and power each say something else."""
    gentle = [(1, 64, 1, 1.5), (2, 127, 1.1, 2), (4, 230, 1.25, 4), (8, 256, 2.25, 5), (16, 257, 4, 7)]
    steep = [(2, 100, 1, 1.25), (4, 180, 1.5, 4), (6, 190, 2.5, 4.5), (12, 191, 5, 8)]
    # Latency that falls with the load: the first requests met a cold server.
    cold = [(1, 20, 3, 4), (3, 110, 1.5, 2), (5, 112, 2.75, 3.5), (7, 111, 4, 5)]
    return [
        [point(concurrency=c, throughput=t, mean=m, p99=p) for c, t, m, p in curve]
        for curve in (gentle, steep, cold)
    ]


def _power(result: LoadResult) -> float:
    return result.throughput / result.latency.mean


def _judge_knee(ctx: LabContext, function: Any, curve: Sequence[LoadResult]) -> int:
    found = ctx.call(function, list(curve))
    truth = max(curve, key=_power).concurrency
    if found == truth and not isinstance(found, bool):
        return int(found)
    most = max(curve, key=lambda r: r.throughput)
    nearly = next(r for r in sorted(curve, key=_label) if r.throughput >= 0.95 * most.throughput)
    advice = {
        most.concurrency: "That is the largest throughput. Beyond the knee it hardly grows; latency does.",
        min(
            curve, key=lambda r: r.latency.mean
        ).concurrency: "That is the shortest latency: an idle server is quick, and does little.",
        max(
            curve, key=lambda r: r.throughput / r.latency.p99
        ).concurrency: "Divide by `latency.mean`: p99 is the noise of a few requests.",
        nearly.concurrency: "Nearly the best throughput: that ignores what the last few cost in latency.",
    }
    if isinstance(found, LoadResult):
        step = "Return its `concurrency`, a number, not the whole result."
    elif found is None:
        step = "Add a `return`."
    else:
        step = advice.get(found, "") if isinstance(found, int) else ""
    refuse(
        expected=f"{in_words(curve)}: the knee is at {truth}",
        found=f"`knee` returned {shorten(found, 60)}",
        next_step=step or "`max(results, key=…)` with throughput divided by `latency.mean`.",
    )


def _label(result: LoadResult) -> int:
    return result.concurrency or 0


class _Line:
    """What the check hands to `open_loop` as `ask`: it writes down when it is called, and answers late.

    Args:
        seconds: How long an answer takes.
        slow: Number of a request whose answer takes longer, by `_PAUSE`.
        blocked: Number of a request that stops the whole client for `_PAUSE`.
    """

    def __init__(self, seconds: float, *, slow: int = -1, blocked: int = -1) -> None:
        self.seconds, self.slow, self.blocked = seconds, slow, blocked
        self.called: list[float] = []
        self.answered: list[float] = []
        self.running = self.most = 0

    async def ask(self) -> None:
        """One request."""
        number = len(self.called)
        self.called.append(time.perf_counter())
        self.answered.append(0.0)
        self.running += 1
        self.most = max(self.most, self.running)
        if number == self.blocked:
            time.sleep(_PAUSE)  # not await: packing a large request, or the garbage collector
        await asyncio.sleep(self.seconds + (_PAUSE if number == self.slow else 0))
        self.running -= 1
        self.answered[number] = time.perf_counter()


def _call(ctx: LabContext, function: Any, line: _Line, count: int, rate: float = _RATE) -> list[float]:
    """Let the function ask, and judge the form of what it returns."""
    try:
        found = ctx.call(function, line.ask, rate, count, timeout=15)
    except Refusal as refusal:
        with_hint(refusal, _HINTS)
    if len(line.called) != count:
        refuse(
            expected=f"`ask` is called {count} times",
            found=f"it was called {len(line.called)} times",
            next_step="One request for each number of `range(count)`, and `await` its answer.",
        )
    if not isinstance(found, list | tuple) or len(found) != count:
        refuse(
            expected=f"a list of {count} latencies",
            found=shorten(repr(found), 80),
            next_step="`await asyncio.gather(*…)` gives the list: return it.",
        )
    if not all(isinstance(value, float | int) for value in found):
        refuse(
            expected="latencies in seconds",
            found=shorten(repr(found[0]), 80),
            next_step="Return the seconds from due to answered, for each request.",
        )
    return [float(value) for value in found]


def _judge_schedule(ctx: LabContext, function: Any) -> None:
    """Answers take six times as long as the gap between two requests; number 3 even longer."""
    line = _Line(0.12, slow=3)
    found = _call(ctx, function, line, _COUNT)
    span, due = line.called[-1] - line.called[0], (_COUNT - 1) / _RATE
    if line.most == 1:
        refuse(
            expected=f"requests go out {_RATE:g} times a second, answers or not",
            found="each waited for the answer before it: that is a closed loop",
            next_step="Start every request as a task of its own (`asyncio.gather`), which sleeps until it is "
            "due.",
        )
    if span < 0.6 * due:
        refuse(
            expected=f"the last of {_COUNT} requests is due after {due:.2f} s",
            found=f"it was sent after {span:.2f} s",
            next_step="Number i is due `i / rate` seconds after the start: sleep until then.",
        )
    if span > 2 * due + 0.3:
        refuse(
            expected=f"the last of {_COUNT} requests is due after {due:.2f} s",
            found=f"it was sent after {span:.2f} s",
            next_step="The gap is `1 / rate`, counted from the start, not from the answer before.",
        )
    if min(line.answered) > line.called[-1]:
        refuse(
            expected="answers come while later requests wait until they are due",
            found="no answer came before the last request was sent: the client stood still between them",
            next_step=_BLOCKS,
        )
    if found.index(max(found)) != 3:
        refuse(
            expected="latencies in the order in which the requests were due: number 3 is the slow one",
            found=f"the longest is number {found.index(max(found))}",
            next_step="`asyncio.gather` keeps the order of what it was given; a list that answers append to "
            "does not.",
        )
    if not 0.4 * (0.12 + _PAUSE) < found[3] < 4 * (0.12 + _PAUSE):
        refuse(
            expected=f"the slow request took about {0.12 + _PAUSE:.2f} s",
            found=f"its latency is {found[3]:.3g}",
            next_step="Seconds, from the moment it was due until `ask` has answered.",
        )


def _judge_first(ctx: LabContext, function: Any) -> None:
    """One request a second, and only one of them: nothing is to be waited for."""
    line, began = _Line(0.005), time.perf_counter()
    _call(ctx, function, line, 1, rate=1.0)
    waited = line.called[0] - began
    if waited > 0.6:
        refuse(
            expected="one request, at a rate of 1 a second: it goes out at once",
            found=f"it was sent after {waited:.2f} s",
            next_step="Number 0 is due at the start, number 1 is due `1 / rate` later: count from 0.",
        )


def _judge_clock(ctx: LabContext, function: Any) -> None:
    """One request holds the whole client up: those that were due meanwhile leave late, and must count so."""
    blocked = int(ctx.rng.integers(4, 8))
    line = _Line(0.005, blocked=blocked)
    found = _call(ctx, function, line, _COUNT)
    truth = line.answered[blocked + 1] - (line.called[0] + (blocked + 1) / _RATE)
    if found[blocked + 1] < 0.5 * truth:
        sent = line.answered[blocked + 1] - line.called[blocked + 1]
        refuse(
            expected=f"the client itself stood still for {_PAUSE} s: number {blocked + 1} was answered "
            f"{truth:.2f} s after it was due",
            found=f"its latency is {found[blocked + 1]:.3f} s ({sent:.3f} s since it was sent)",
            next_step="Start the clock when a request is due, not when it is sent: `… - due`.",
        )


def _judge_live(ctx: LabContext, place_knee: Any, open_loop: Any) -> tuple[int, float, float]:
    """A neighbour's large request stalls a real server: the knee first, then both kinds of load."""
    count = int(ctx.rng.integers(3, 5))
    repository = ctx.scratch()
    place_timed(repository, "desk", execution_ms=20, count=count)
    row = f'parameters [ {{ key: "row_ms" value: {{ string_value: "{_ROW_MS}" }} }} ]\n'
    place_timed(repository, "shared", execution_ms=4, batch=1024, more=row)
    server = ctx.fresh_server(
        repository, options=["--disable-auto-complete-config"], wait_for=["desk", "shared"]
    )
    curve = run_sweep(
        server, "desk", concurrency=(1, count, 4 * count), seconds=0.5, processes=1, progress=False
    )
    knee = _judge_knee(ctx, place_knee, curve)
    neighbour = _Neighbour(server)
    closed = run_load(server, "shared", concurrency=1, seconds=1.6, processes=1, progress=False)
    neighbour.join()
    neighbour = _Neighbour(server)
    found = ctx.call(_over_http(open_loop, server), timeout=20)
    neighbour.join()
    p99 = float(np.percentile(np.asarray(found, float), 99))
    stall = _STALL_ROWS * _ROW_MS / 1000
    if not p99 > 0.4 * stall:
        refuse(
            expected=f"a stall of {stall} s shows in p99: a third of the requests were due in it",
            found=f"p99 of your latencies is {p99:.3f} s",
            next_step="Send when it is due, and count from then.",
        )
    return knee, closed.latency.p99, p99


def _over_http(function: Any, server: Server) -> Callable[[], Awaitable[Any]]:
    """The student's function, at work on a real server."""

    async def open_loop() -> Any:
        tensor = aioclient.InferInput("data", [1, 4], "FP32")
        tensor.set_data_from_numpy(np.zeros((1, 4), np.float32))
        async with aioclient.InferenceServerClient(server.endpoints.http, conn_limit=200) as client:
            await client.is_server_live()
            return await function(lambda: client.infer("shared", [tensor]), _RATE, 75)

    return open_loop


class _Neighbour(threading.Thread):
    """Somebody else, who sends one large request after half a second."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._address = server.endpoints.grpc
        self.start()

    def run(self) -> None:
        time.sleep(0.5)
        rows = np.zeros((_STALL_ROWS, 4), np.float32)
        tensor = grpcclient.InferInput("data", rows.shape, "FP32").set_data_from_numpy(rows)
        with grpcclient.InferenceServerClient(self._address) as client:
            client.infer("shared", [tensor], client_timeout=20)


@checkpoint(
    "4.8", title="The knee, and a clock that starts in time", points=4, minutes=8, difficulty=2,
    answers=("knee", "open_loop"), needs_server=False,
)  # fmt: skip
def check_loops(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Curves on record; a client that is watched and held up; then a real server that stalls."""
    knee, open_loop = answers["knee"], answers["open_loop"]
    for curve in _curves():
        _judge_knee(ctx, knee, [curve[i] for i in ctx.rng.permutation(len(curve))])
    _judge_schedule(ctx, open_loop)
    _judge_first(ctx, open_loop)
    _judge_clock(ctx, open_loop)
    place, closed, opened = _judge_live(ctx, knee, open_loop)
    return passed(
        f"the knee is at {place} in flight. One stall, two p99: closed loop {closed * 1000:.0f} ms, "
        f"your open loop {opened * 1000:.0f} ms",
        knee=place,
        closed_p99=round(closed, 4),
        open_p99=round(opened, 4),
    )
