"""Eight ways for a request to fail on a live server, and what the server's own counters make of each."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import numpy as np
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from lab_utils.checks.lab4_moody import FINE, RAISE, REFUSE, SLEEP, SLEEP_S
from lab_utils.monitoring.samples import scrape
from lab_utils.progress.context import LabContext, refuse
from lab_utils.server.base import Server

MODEL = "desk"
QUEUE, INSTANCES = 2, 2
COUNTED = ("success", "BACKEND", "REJECTED", "CANCELED", "OTHER")
FAILURES = (
    "exception",
    "error response",
    "wrong shape",
    "wrong input name",
    "unknown model",
    "full queue",
    "queue time-out",
    "client cancels",
)
"""What goes wrong, in the words of the exercise."""
_SETTLED = 0.3
_TRIES = 3

_CONFIG = f"""name: "{MODEL}"
backend: "python"
max_batch_size: 1
input [ {{ name: "data" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "echo" data_type: TYPE_FP32 dims: [ 4 ] }} ]
instance_group [ {{ kind: KIND_CPU count: {INSTANCES} }} ]
dynamic_batching {{
  default_queue_policy {{
    max_queue_size: {QUEUE} timeout_action: REJECT
    default_timeout_microseconds: 10000000 allow_timeout_override: true
  }}
}}
"""


def place_desk(repository: Path) -> None:
    """Put the model into a repository."""
    version = repository / MODEL / "1"
    version.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("lab4_moody.py"), version / "model.py")
    (repository / MODEL / "config.pbtxt").write_text(_CONFIG)


@dataclass(frozen=True)
class Counters:
    """What the metrics page says about the model: requests by outcome."""

    counts: dict[str, float]

    @classmethod
    def read(cls, server: Server) -> Counters:
        """The counters now."""
        page = scrape(server)
        counts = {"success": page.value("nv_inference_request_success", model=MODEL)}
        for reason in COUNTED[1:]:
            counts[reason] = page.value("nv_inference_request_failure", model=MODEL, reason=reason)
        return cls(counts)

    def since(self, before: Counters) -> dict[str, int]:
        """What was counted meanwhile, without zeros."""
        grown = {name: int(self.counts[name] - before.counts[name]) for name in COUNTED}
        return {name: count for name, count in grown.items() if count}


class Desk:
    """The model on a live server, and the eight ways to fail there. Use it with `with`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = grpcclient.InferenceServerClient(server.endpoints.grpc)
        self.answers: Queue[Any] = Queue()

    def __enter__(self) -> Desk:
        self.client.is_server_live()
        self.client.infer(MODEL, [tensor(FINE)])
        time.sleep(_SETTLED)  # counted a moment after its answer; must not count for the first failure
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def count(self, failure: str) -> str:
        """Let a request fail in this way; returns the name of the counter that grew by it, or `nothing`.

        Raises:
            Refusal: It did not fail: the machine was too slow for a situation that lasts half a second.
        """
        for _ in range(_TRIES):
            before = Counters.read(self.server)
            # Requests that are needed for the situation, and are answered well.
            helpers = self._fail(failure)
            if helpers is None:
                continue
            grown = self._settled(before, helpers)
            grown["success"] = grown.get("success", 0) - helpers
            return next((name for name, count in grown.items() if count > 0), "nothing")
        refuse(
            expected=f"a request fails: {failure}",
            found="it did not fail: this machine is very busy now",
            next_step="Check again.",
        )

    def _settled(self, before: Counters, helpers: int) -> dict[str, int]:
        """What was counted, once nothing more comes: Triton counts a moment after it has answered."""
        end = time.monotonic() + 3
        while True:
            time.sleep(_SETTLED)
            grown = Counters.read(self.server).since(before)
            if grown.get("success", 0) >= helpers or time.monotonic() > end:
                return grown

    def _fail(self, failure: str) -> int | None:
        """Carry one failure out. Returns the number of helping requests; None: it did not fail."""
        if failure == "client cancels":
            return self._cancel()
        ways: dict[str, Callable[[], Any]] = {
            "exception": lambda: self.client.infer(MODEL, [tensor(RAISE)]),
            "error response": lambda: self.client.infer(MODEL, [tensor(REFUSE)]),
            "wrong shape": lambda: self.client.infer(MODEL, [tensor(FINE, width=5)]),
            "wrong input name": lambda: self.client.infer(MODEL, [tensor(FINE, name="date")]),
            "unknown model": lambda: self.client.infer(f"{MODEL}_2", [tensor(FINE)]),
            "full queue": lambda: self.client.infer(MODEL, [tensor(FINE)]),
            "queue time-out": lambda: self.client.infer(MODEL, [tensor(FINE)], timeout=50_000),
        }
        helpers = {"full queue": INSTANCES + QUEUE, "queue time-out": INSTANCES}.get(failure, 0)
        self._occupy(helpers)
        try:
            ways[failure]()
        except InferenceServerException:
            failed = True
        else:
            failed = False
        self._wait(helpers)
        return helpers if failed else None

    def _occupy(self, helpers: int) -> None:
        """Keep the instances, and then places in the queue, busy for half a second."""
        for _ in range(helpers):
            self.client.async_infer(
                MODEL, [tensor(SLEEP)], callback=lambda result, error: self.answers.put(error)
            )
            time.sleep(0.03)  # one after the other: an instance takes a request out of the queue first

    def _wait(self, helpers: int) -> None:
        for _ in range(helpers):
            with suppress(Empty):
                self.answers.get(timeout=10)

    def _cancel(self) -> int | None:
        """A client that gives up while its request waits in the queue."""
        self._occupy(INSTANCES)
        call = self.client.async_infer(MODEL, [tensor(FINE)], callback=lambda result, error: None)
        time.sleep(0.1)
        call.cancel()
        self._wait(INSTANCES)
        return INSTANCES


def tensor(wish: int, *, name: str = "data", width: int = 4) -> grpcclient.InferInput:
    """The input of one request."""
    row = np.zeros((1, width), np.float32)
    row[0, 0] = wish
    return grpcclient.InferInput(name, row.shape, "FP32").set_data_from_numpy(row)


def serve_desk(ctx: LabContext) -> Server:
    """A throwaway server with the model."""
    repository = ctx.scratch()
    place_desk(repository)
    return ctx.fresh_server(repository, options=["--disable-auto-complete-config"], wait_for=[MODEL])


__all__ = ["FAILURES", "MODEL", "SLEEP_S", "Counters", "Desk", "serve_desk", "tensor"]
