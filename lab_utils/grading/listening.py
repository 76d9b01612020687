"""Listen to one supervisor, and keep the time. What it says is believed; how much it says is bounded."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from lab_utils.grading.limits import Limits
from lab_utils.grading.results import Cause
from lab_utils.grading.watchdog import Overrun, Watchdog, disk_overrun
from lab_utils.progress.registry import Status, Verdict

_LOOK_SECONDS = 0.2
_MOST_MORE = 32 << 20
"""Bytes of a report besides the executed notebook."""


_END = ("finished", "timed_out", "kernel_died", "reason", "in_checks", "missing", "whole", "notebook")


@dataclass
class Story:
    """What a run reported.

    Attributes:
        ready: The supervisor came up.
        changes: What was put back in the notebook, and what its cells lean on.
        verdicts: By id.
        in_checks: Error that the check cell of an exercise ended with.
        ended: It came to its end and said how; the fields behind it are from there.
        finished, timed_out, kernel_died, reason: As in `Execution`.
        missing: Cells that raised an error which speaks of something that was not there.
        whole: All of its cells ran; False after a lean run.
        notebook: The executed notebook; empty where there is none.
        unfit: Why it was not run at all; empty when it was.
        why: More about it.
        crash: Traceback of a fault of ours.
        overrun: The limit for which it was ended.
    """

    ready: bool = False
    changes: tuple[str, ...] = ()
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    in_checks: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    finished: bool = False
    timed_out: bool = False
    kernel_died: bool = False
    reason: str = ""
    missing: int = 0
    whole: bool = True
    notebook: str = ""
    unfit: str = ""
    why: str = ""
    crash: str = ""
    overrun: Overrun | None = None


def _ready(reading: int, writing: int | None, seconds: float) -> set[int]:
    """Which of the two can be read or written, or has ended; `select.select` ends at descriptor 1023."""
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    if writing is not None:
        poll.register(writing, select.POLLOUT)
    return {descriptor for descriptor, _ in poll.poll(seconds * 1000)}


@contextmanager
def _served_first() -> Iterator[None]:
    """Let this thread run before all others for a while, where that is allowed (to root).

    A thousand processes that never rest would leave it a thousandth of the machine, and it is the one
    that ends them. It works for some milliseconds and then sleeps.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    first = os.SCHED_RR | os.SCHED_RESET_ON_FORK  # what it starts is served like everybody
    with suppress(OSError):
        os.sched_setscheduler(0, first, os.sched_param(1))
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setscheduler(0, *before)


class Listener:
    """The outer end of one run.

    Args:
        descriptor: The pipe that its report comes through.
        watchdog: Counts what it takes.
        limits: What it may take.
    """

    def __init__(self, descriptor: int, watchdog: Watchdog, limits: Limits) -> None:
        self._descriptor, self._watchdog, self._limits = descriptor, watchdog, limits
        self.story = Story()
        self._buffer = bytearray()
        self._received = 0
        os.set_blocking(descriptor, False)

    def listen(self, process: subprocess.Popen[bytes], orders: bytes) -> Story:
        """Hand the orders over and listen until the run is over, or has taken too much."""
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        with _served_first():
            return self._listen(process, orders)

    def _listen(self, process: subprocess.Popen[bytes], orders: bytes) -> Story:
        begun = time.monotonic()
        to_write = memoryview(orders)
        while True:
            stdin = process.stdin.fileno() if process.stdin and not process.stdin.closed else None
            ready = _ready(self._descriptor, stdin, _LOOK_SECONDS)
            if stdin in ready:
                to_write = self._hand_over(process, to_write)
            if self._descriptor in ready and not self._read():
                return self.story
            overrun = self._late(time.monotonic() - begun) or self._watchdog.look()
            if overrun is not None:
                self._read_rest()
                self.story.overrun = overrun
                return self.story
            if self.story.overrun is not None or self.story.ended or self.story.crash:
                return self.story

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._descriptor)

    def _hand_over(self, process: subprocess.Popen[bytes], left: memoryview) -> memoryview:
        assert process.stdin is not None
        try:
            count = os.write(process.stdin.fileno(), left[: 1 << 16]) if left else 0
        except BlockingIOError:
            return left
        except OSError:  # it ended before it read them: the report says why
            left, count = memoryview(b""), 0
        if not left[count:]:
            with suppress(OSError):
                process.stdin.close()
        return left[count:]

    def _late(self, seconds: float) -> Overrun | None:
        if not self.story.ready and seconds > self._limits.start_seconds:
            return Overrun(Cause.INTERNAL, f"the run did not begin within {self._limits.start_seconds:g} s")
        if seconds > self._limits.last_second:
            return Overrun(Cause.TIME, f"more than {self._limits.seconds:g} s")
        return None

    def _read_rest(self) -> None:
        """What lies in the pipe already: verdicts that were given in time."""
        while _ready(self._descriptor, None, 0) and self._read():
            pass

    def _read(self) -> bool:
        """Take in what there is; False at the end of the report."""
        try:
            data = os.read(self._descriptor, 1 << 20)
        except BlockingIOError:
            return True
        if not data:
            return False
        self._received += len(data)
        if self._received > 4 * self._limits.output + _MOST_MORE:
            self.story.overrun = Overrun(Cause.INTERNAL, "the report has no end")
            return False
        self._buffer += data
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):
                self._take(json.loads(line))
        return True

    def _take(self, line: dict[str, Any]) -> None:
        story = self.story
        match line.pop("event"):
            case "ready":
                story.ready = True
            case "changes":
                story.changes = tuple(line["changes"])
            case "verdict":
                raw = line["verdict"]
                story.verdicts[line["id"]] = Verdict(**{**raw, "status": Status(raw["status"])})
            case "full":
                story.overrun = disk_overrun(self._limits)
            case "unfit":
                story.unfit, story.why, story.ended = line["reason"], line["why"], True
            case "crash":
                story.crash = line["text"]
            case "end":
                for name in _END:
                    setattr(story, name, line[name])
                story.ended = True
