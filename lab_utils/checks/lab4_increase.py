"""Checkpoint 4.2: increase and rate of a counter, with resets and with series that come later."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from lab_utils.checks.asking import post
from lab_utils.checks.judging import judge_values
from lab_utils.checks.lab2_live import place_timed
from lab_utils.monitoring import scrape
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server

_NAME = "nv_inference_request_success"
_LAG_S = 3.0
Readings = list[tuple[float, dict[str, float]]]
"""Moment in seconds, and the value of each series."""


def increase(readings: Readings) -> float:
    """How much was counted, over all series, with resets."""
    total = 0.0
    for (_, before), (_, now) in pairwise(readings):
        for series, value in now.items():
            old = before.get(series, 0.0)
            total += value - old if value >= old else value
    return total


def rate(readings: Readings) -> float:
    """`increase` per second."""
    return increase(readings) / _seconds(readings)


def _seconds(readings: Readings) -> float:
    return readings[-1][0] - readings[0][0]


def _sums(readings: Readings) -> list[float]:
    return [sum(values.values()) for _, values in readings]


def _steps(readings: Readings, late: bool = True) -> list[float]:
    """Differences step by step and series by series, as they are; new series from 0, or not at all."""
    return [
        value - before.get(name, 0.0)
        for (_, before), (_, now) in pairwise(readings)
        for name, value in now.items()
        if late or name in before
    ]


def _known(readings: Readings) -> Readings:
    """Without the series that the first reading does not have."""
    return [
        (at, {name: v for name, v in values.items() if name in readings[0][1]}) for at, values in readings
    ]


def _remembering(readings: Readings) -> float:
    """Somebody who compares with the last value of a series, however long ago that was."""
    total, last = 0.0, dict(readings[0][1])
    for _, now in readings[1:]:
        total += increase([(0.0, last), (1.0, now)])
        last.update(now)
    return total


def _after_sum(readings: Readings) -> float:
    return sum(now - old if now >= old else now for old, now in pairwise(_sums(readings)))


_INCREASE = {
    "Last minus first forgets what was counted before a reset, and can be negative. Go step by step.": (
        lambda r: _sums(r)[-1] - _sums(r)[0]
    ),
    "A negative step is a reset. The counter began again at 0: the new value itself was counted.": (
        lambda r: sum(_steps(r, late=False))
    ),
    "After a reset the new value itself was counted: it is lost when the step counts as 0.": (
        lambda r: sum(max(step, 0.0) for step in _steps(r))
    ),
    "A reset is no negative count either: what was counted after it is the new value, not the difference.": (
        lambda r: sum(abs(step) for step in _steps(r))
    ),
    "A series that comes later belongs to a model that was loaded meanwhile: it began at 0.": (
        lambda r: sum(
            value - before[name] if value >= before[name] else value
            for (_, before), (_, now) in pairwise(r)
            for name, value in now.items()
            if name in before
        )
    ),
    "A series that the first reading does not have is missing. Go through the series of the later reading.": (
        lambda r: increase(_known(r))
    ),
    "You remember a value from before a gap. The reading before does not have the series: from 0.": (
        _remembering
    ),
    "You added the series up first. One that grows then hides the reset of another: first each series, "
    "then the sum.": _after_sum,
    "That is the sum of all readings' values. A counter already is a sum.": lambda r: sum(_sums(r)),
    "That is what was counted since the server started. The increase is a difference.": lambda r: _sums(r)[
        -1
    ],
}

_RATE = {
    "That is the increase. A rate is per second.": increase,
    "Divide by seconds, not by the number of readings.": lambda r: increase(r) / len(r),
    "Divide by seconds. The readings are not one second apart.": lambda r: increase(r) / (len(r) - 1),
    "The time is from the first reading to the last: the moments are on a clock that does not start at 0.": (
        lambda r: increase(r) / r[-1][0]
    ),
    "That is per minute.": lambda r: 60 * increase(r) / _seconds(r),
    "That is seconds per request: upside down.": lambda r: _seconds(r) / increase(r),
    "That is the rate of the last step alone (PromQL's `irate`). Take the whole time.": lambda r: rate(
        r[-2:]
    ),
    "That is last minus first, per second. It must come from the increase, with its resets.": lambda r: (
        (_sums(r)[-1] - _sums(r)[0]) / _seconds(r)
    ),
    "The mean of the steps' rates gives a short step too much weight: all by the whole time.": lambda r: (
        sum(rate(list(step)) for step in pairwise(r)) / (len(r) - 1)
    ),
}


def _readings(ctx: LabContext, kind: str) -> Readings:
    """Readings at uneven moments, of two series that grow, rest, reset, or come late."""
    rng = ctx.rng
    at, values = 1.7e9 + int(rng.integers(10**6)), {"version 1": 0.0, "version 2": 0.0}
    readings: Readings = []
    values = {name: float(rng.integers(400, 900)) for name in values}
    for step in range(6):
        at += int(rng.integers(3, 40)) / 4
        if kind == "reset" and step == 3:  # only one of them, and the other grows by more than it lost
            values["version 2"] += values["version 1"] + int(rng.integers(50, 90))
            values["version 1"] = float(rng.integers(5, 30))
        elif kind == "late" and step == 2:
            values["version 3"] = float(rng.integers(5, 30))
        elif step == 4:
            pass  # nobody asks: a counter that does not move was not reset
        else:
            values = {name: value + int(rng.integers(5, 60)) for name, value in values.items()}
        readings.append((at, dict(values)))
    return readings


def _both(ctx: LabContext) -> Readings:
    """One series, reset twice in a row; then a restart of the whole server, after which it comes late."""
    start = 1.7e9 + int(ctx.rng.integers(10**6))
    low, lower, more = (int(ctx.rng.integers(*span)) for span in ((20, 40), (5, 15), (3, 9)))
    return [
        (start, {"version 1": 900.0}),
        (start + 2.5, {"version 1": float(low)}),
        (start + 4.0, {"version 1": float(lower)}),
        (start + 9.5, {}),
        (start + 11.0, {"version 1": float(lower + more)}),
    ]


def _show(readings: Readings) -> str:
    start = readings[0][0]
    told = [
        f"{at - start:g} s "
        + "/".join(f"{values.get(n, '-')}" for n in ("version 1", "version 2", "version 3"))
        for at, values in readings
    ]
    return "versions 1/2/3 at " + ", ".join(told)


def _live(ctx: LabContext) -> tuple[Readings, int]:
    """A real server that is started again, and how many requests it answered between first and last look."""
    repository = ctx.scratch()
    place_timed(repository, "timed", execution_ms=1)
    body = {"inputs": [{"name": "data", "shape": [1, 4], "datatype": "FP32", "data": [0, 1, 2, 3]}]}
    before, first, second = (int(ctx.rng.integers(*span)) for span in ((9, 14), (2, 6), (3, 8)))
    readings: Readings = []
    for counts in ((before, first), (second,)):
        server = ctx.fresh_server(repository, options=["--disable-auto-complete-config"], wait_for=["timed"])
        asked = 0
        for count in counts:
            for _ in range(count):
                post(server.endpoints.http, "/v2/models/timed/infer", body)
            asked += count
            readings.append(_counted(server, asked))
        server.stop(0)
    return readings, first + second


def _counted(server: Server, requests: int) -> tuple[float, dict[str, float]]:
    """The server's page, once it counts all requests: the last ones may lag behind their answers."""
    end = time.monotonic() + _LAG_S
    while True:
        page = scrape(server)
        series = {str(labels): value for labels, value in page.series(_NAME, model="timed").items()}
        if sum(series.values()) >= requests or time.monotonic() > end:
            return page.at, series
        time.sleep(0.02)


@checkpoint(
    "4.2", title="Increase and rate, with resets", points=3, minutes=6, difficulty=2,
    answers=("increase", "rate"), needs_server=False,
)  # fmt: skip
def check_increase(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Readings made up, in which each mistake gives another number; then a server that is started again."""
    cases = [(_readings(ctx, kind),) for kind in ("plain", "reset", "late")]
    cases.append((_both(ctx),))
    judge_values(
        ctx, answers["increase"], cases, increase, _INCREASE,
        show=lambda readings: f"{_show(readings)}; increase",
        otherwise="For each two readings in a row and each series of the later one: the difference, or after "
        "a reset the new value. Then the sum.",
        # `version 3` comes late; `version 1` is gone for a while, so only the earlier reading has it.
        hints={
            "KeyError: 'version 1'": "You go through the series of the earlier reading, and the later one "
            "may have lost one. Go through the later one: `now.items()`.",
            "KeyError": "A series may be missing in the reading before: `before.get(series, 0)`.",
        },
    )  # fmt: skip
    judge_values(
        ctx, answers["rate"], cases, rate, _RATE,
        show=lambda readings: f"{_show(readings)}; per second",
        otherwise="The increase divided by the seconds from the first reading to the last.",
    )  # fmt: skip
    readings, requests = _live(ctx)
    found = ctx.call(answers["increase"], readings)
    if found != requests:
        refuse(
            expected=f"a live server, started again in between, answered {requests} requests: {readings}",
            found=f"`increase` returned {found!r:.40}",
            next_step="Check again; if it stays so, this is a fault of the course: please report it.",
        )
    return passed(
        f"right with resets and late series, and for a live server that was started again: {requests} "
        "requests",
        requests=requests,
    )
