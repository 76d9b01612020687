"""Short ways to send requests of known number and outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tritonclient.http as httpclient

from lab_utils.load import LoadResult, run_load
from lab_utils.monitoring import Window, watch
from lab_utils.server.base import Server


@contextmanager
def client(server: Server) -> Iterator[httpclient.InferenceServerClient]:
    one = httpclient.InferenceServerClient(server.endpoints.http, network_timeout=30)
    try:
        yield one
    finally:
        one.close()


def ask(one: Any, model: str, value: float = 0.0, rows: int = 1, width: int = 4) -> None:
    """One request with `rows` rows of this value."""
    data = np.full((rows, width), value, np.float32)
    tensor = httpclient.InferInput("data", list(data.shape), "FP32").set_data_from_numpy(data)
    one.infer(model, [tensor])


def watch_load(
    server: Server, model: str, seconds: float, calm: Callable[[LoadResult], bool], **load: Any
) -> tuple[Window, LoadResult]:
    """A window that lies inside a load, and what the load generator says of the whole load.

    Args:
        server: The server.
        model: The model.
        seconds: Length of the window.
        calm: Whether the machine was quiet enough for the load to be the one that was wanted, judged by the
            load generator's own figures. If not, there are three more tries.
        load: Settings of `run_load`.
    """
    for _ in range(4):
        window, result = _watch_once(server, model, seconds, load)
        if calm(result):
            break
    return window, result


def _watch_once(
    server: Server, model: str, seconds: float, load: dict[str, Any]
) -> tuple[Window, LoadResult]:
    results: list[LoadResult] = []
    settings = {"seconds": seconds + 0.5, "warmup": 0.8, "processes": 1, "progress": False, **load}
    thread = threading.Thread(target=lambda: results.append(run_load(server, model, **settings)))
    thread.start()
    # This takes about as long as the warm-up, so that window and measurement are nearly the same seconds.
    wait_for(server, "nv_inference_count", model=model)
    window = watch(server, seconds, every=0.25)
    thread.join()
    assert results, "the load did not run"
    return window, results[0]


def wait_for(server: Server, counter: str, **labels: str) -> None:
    """Return when a counter has grown in two readings in a row: the load is on, and is no first request."""
    end = time.monotonic() + 30
    steady = 0
    while steady < 2:
        assert time.monotonic() < end, "no load arrives"
        steady = steady + 1 if watch(server, 0.3).increase(counter, **labels) else 0
