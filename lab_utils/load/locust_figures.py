"""Exact figures of a locust run, written by the locust process itself.

Locust keeps response times in a histogram with two significant digits, over the whole run. Here every time is
kept as it was measured, step by step, and summed up when the step ends.
"""

from __future__ import annotations

import json
import threading
import time
from array import array
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lab_utils.files import write_text
from lab_utils.load.faults import classify_grpc, classify_http
from lab_utils.load.result import Latency, without_nan


class FailedRequest(Exception):
    """What locust is told about a request that failed.

    Attributes:
        kind: A class of `lab_utils.load.faults`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind, self.message = kind, message

    @classmethod
    def of(cls, error: Exception) -> FailedRequest:
        """The class of an error of tritonclient or of the network below it."""
        import grpc
        from tritonclient.utils import InferenceServerException

        if isinstance(error, InferenceServerException):
            status, message = str(error.status() or ""), str(error.message())
            if status.startswith("StatusCode."):
                code = grpc.StatusCode[status.removeprefix("StatusCode.")].value[0]
                return cls(classify_grpc(code, message), message)
            return cls(classify_http(int(status) if status.isdecimal() else 0, message), message)
        if isinstance(error, TimeoutError):
            return cls("client_timeout", str(error) or type(error).__name__)
        if isinstance(error, OSError):
            return cls("connection", str(error) or type(error).__name__)
        return cls("other", f"{type(error).__name__}: {error}")


class Recorder:
    """Listens to locust's requests, and writes the figures of every step when locust ends.

    Args:
        environment: Locust's.
        path: The file; empty: none is written.
        warmup: Seconds at the begin of each step that are left out.
    """

    def __init__(self, environment: Any, path: str, warmup: float) -> None:
        self._environment, self._path, self._warmup = environment, path, warmup
        self._steps: list[dict[str, Any]] = []
        self._users, self._number = 0, 0
        self._counting = False
        self._begin = time.perf_counter()
        self._errors: Counter[str] = Counter()
        self._messages: dict[str, str] = {}
        self._clear()
        if path:
            environment.events.request.add_listener(self._on_request)
            environment.events.test_stopping.add_listener(self.finish)
            environment.events.quitting.add_listener(self._on_quit)

    def _clear(self) -> None:
        self._times = array("d")
        self._failures = 0
        self._rows = 0
        self._tasks: Counter[str] = Counter()

    def step(self, users: int) -> None:
        """A step begins, with so many users. Nothing happens when it goes on already."""
        if not self._path or users == self._users:
            return
        if not self._users:
            self._begin = time.perf_counter()
        self._end_step()
        self._users = users
        self._number += 1
        if not self._warmup:
            self._count(self._number)
            return
        # Inside locust a timer is no thread, but one of gevent's tasks: no lock is needed.
        timer = threading.Timer(self._warmup, self._count, (self._number,))
        timer.daemon = True
        timer.start()

    def _count(self, number: int) -> None:
        """From now on requests count, if the step of this warm-up still goes on."""
        if number != self._number or not self._users:
            return
        self._clear()
        self._start, self._cpu = time.perf_counter(), time.process_time()
        self._counting = True

    def _end_step(self) -> None:
        if not self._counting:
            return
        self._counting = False
        seconds, cpu = time.perf_counter() - self._start, time.process_time() - self._cpu
        self._steps.append(
            {
                "users": self._users,
                "at": self._start - self._begin,
                "seconds": seconds,
                "requests": len(self._times),
                "failures": self._failures,
                "rows": self._rows,
                "latency": asdict(Latency.of(np.frombuffer(self._times) / 1e3)),
                "tasks": dict(self._tasks),
                "client_share": cpu / seconds,
            }
        )
        self._clear()

    def _on_request(
        self, name: str, response_time: float, exception: Exception | None, context: dict[str, Any], **_: Any
    ) -> None:
        if isinstance(exception, FailedRequest):
            self._errors[exception.kind] += 1
            self._messages.setdefault(exception.kind, exception.message)
        if not self._counting:
            return
        self._tasks[name.rsplit(" ", 1)[-1]] += 1
        if exception is not None:
            self._failures += 1
        else:
            self._times.append(response_time)
            self._rows += context.get("rows", 1)

    def finish(self, **_: Any) -> None:
        """The load is over. What locust does from now on, to end its users, is no part of it.

        (It looks up who called its stop(), which takes some 0.2 s in which no user can read an answer.
        So the last request of each user seems slow in locust's own figures.)
        """
        self._end_step()
        self._users = 0

    def _on_quit(self, **_: Any) -> None:
        from locust import __version__

        total = self._environment.stats.total
        printed = {
            "requests": total.num_requests,
            "failures": total.num_failures,
            "requests_per_second": total.total_rps,
            "mean": total.avg_response_time / 1e3,
            "min": (total.min_response_time or 0) / 1e3,
            "max": total.max_response_time / 1e3,
        }
        for name, part in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
            printed[name] = total.get_response_time_percentile(part) / 1e3
        figures = {
            "version": __version__,
            "steps": self._steps,
            "errors": dict(self._errors),
            "messages": self._messages,
            "printed": printed,
            "cpu_warning": bool(getattr(self._environment.runner, "cpu_warning_emitted", False)),
        }
        write_text(Path(self._path), json.dumps(without_nan(figures)))
