"""The load processes, from the parent's side: start them, give each its plan, collect what they report."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np

from lab_utils.errors import LabError
from lab_utils.load.plan import COLUMNS, Plan, Report, read_frame, write_frame
from lab_utils.paths import project_root

_idle: list[Worker] = []
_lock = threading.Lock()


class LoadError(LabError):
    """A load could not be made or measured."""


class Worker:
    """One load process and the thread that reads its reports.

    A thread, because Ctrl-C reaches only the main thread: no report is ever cut in two by it.
    """

    def __init__(self) -> None:
        path = os.pathsep.join([str(project_root()), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lab_utils.load.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "GRPC_VERBOSITY": "NONE"},
            start_new_session=True,
        )
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="load-reports", daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                self.inbox.put(read_frame(self.process.stdout))  # type: ignore[arg-type]
        except (EOFError, OSError, ValueError):
            self.inbox.put(None)

    def send(self, value: object) -> None:
        """Send a plan or an order."""
        try:
            write_frame(self.process.stdin, value)  # type: ignore[arg-type]
        except (BrokenPipeError, ValueError):
            raise LoadError("A load process has ended by itself.", fix="Run it again.") from None

    def alive(self) -> bool:
        """True while the process runs."""
        return self.process.poll() is None

    def end(self) -> None:
        """Close its input, which ends it; kill it when it does not."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def end_idle() -> None:
    """End the load processes that wait for work. They would end by themselves with this process."""
    with _lock:
        workers, _idle[:] = list(_idle), []
    for worker in workers:
        worker.end()


atexit.register(end_idle)


def _hire(count: int) -> list[Worker]:
    """Idle processes first: a new one takes some 0.3 s to start."""
    with _lock:
        ready = [w for w in _idle if w.alive()]
        hired, _idle[:] = ready[:count], ready[count:]
    return hired + [Worker() for _ in range(count - len(hired))]


def ask_alone(plan: Plan) -> list[tuple[tuple[bytes, ...], tuple[str, str] | None]]:
    """The answer to each message of a plan, asked one at a time: its bytes, or its fault."""
    (worker,) = _hire(1)
    try:
        worker.send(replace(plan, collect=True))
        answers = worker.inbox.get()
        if not isinstance(answers, list):
            raise _crash(answers)
    except BaseException:
        worker.process.kill()
        worker.end()
        raise
    with _lock:
        _idle.append(worker)
    return answers


class Crew:
    """Load processes at work on one load.

    Args:
        plans: One per process.
    """

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._workers = _hire(len(plans))
        self._working: set[int] = set()
        self._reports: list[Report] = []
        self.messages: dict[str, str] = {}
        self.usage: list[list[tuple[float, float, float, float]]] = [[] for _ in plans]
        try:
            for worker, plan in zip(self._workers, plans, strict=True):
                worker.send(plan)
            for worker in self._workers:
                answer = worker.inbox.get()
                if answer != "ready":
                    raise _crash(answer)
        except BaseException:
            self._dismiss(healthy=False)
            raise

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dismiss(healthy=not self._working)

    def _dismiss(self, healthy: bool) -> None:
        workers, self._workers = self._workers, []
        for worker in workers:
            if healthy and worker.alive():
                with _lock:
                    _idle.append(worker)
            else:
                worker.process.kill()
                worker.end()

    def start(self) -> float:
        """Give the start; returns its moment (seconds of `time.perf_counter`)."""
        start = time.perf_counter() + 0.02
        for number, worker in enumerate(self._workers):
            worker.send(("start", start))
            self._working.add(number)
        return start

    def wait(self, until: float | None, tick: Callable[[], None] | None = None) -> bool:
        """Collect reports until a moment (None: until the load has ended).

        Returns:
            True while some process still carries load.
        """
        while self._working and (until is None or time.perf_counter() < until):
            left = 0.05 if until is None else min(0.05, max(0.0, until - time.perf_counter()))
            time.sleep(left)
            self._collect()
            if tick:
                tick()
        return bool(self._working)

    def _collect(self) -> None:
        for number, worker in enumerate(self._workers):
            with contextlib.suppress(queue.Empty):
                while True:
                    report = worker.inbox.get_nowait()
                    if not isinstance(report, Report) or report.crash:
                        self._working.discard(number)
                        raise _crash(report)
                    self._reports.append(report)
                    self.usage[number] += report.usage
                    self.messages = {**report.messages, **self.messages}
                    if report.ended:
                        self._working.discard(number)

    def stop(self) -> None:
        """Stop sending, wait for the answers in flight (each process limits that) and collect."""
        for number in self._working:
            self._workers[number].send("stop")
        self.wait(None)

    def rows(self) -> Any:
        """All requests so far: `[n, len(COLUMNS)]`."""
        return np.concatenate([np.empty((0, len(COLUMNS))), *(r.rows for r in self._reports)])

    def gaps(self) -> Any:
        """All gaps between responses so far: `[m, 2]`, moment and seconds."""
        return np.concatenate([np.empty((0, 2)), *(r.gaps for r in self._reports)])

    def arrivals(self) -> Any:
        """Moment and tokens of all responses so far, request by request in the order of `rows`: `[k, 2]`."""
        found = [r.arrivals for r in self._reports if len(r.arrivals)]
        return np.concatenate([np.empty((0, 2)), *found])


def _crash(report: object) -> LoadError:
    """An error of ours, with its traceback."""
    trace = report.crash if isinstance(report, Report) else ""
    last = trace.strip().splitlines()[-1:] or ["it ended without a word"]
    return LoadError(
        "A load process failed.",
        why=last[0],
        fix="Run it again; please report it when it returns.",
        details=trace,
    )
