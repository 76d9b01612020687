"""What the live parts of the checks 4.5 to 4.7 share: a window of metrics from the middle of a load."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from lab_utils.load import run_load
from lab_utils.monitoring import Window, scrape, watch
from lab_utils.server.base import Server

_SETTLE_S = 0.3
_DONE = "nv_inference_request_success"


def under_load(server: Server, model: str, clients: int, seconds: float) -> Window:
    """Readings of the server's page while so many clients ask a model, each again and again.

    The window begins when the load is running, and ends before it ends.

    Args:
        server: The server.
        model: The model.
        clients: Requests in flight.
        seconds: Length of the window.

    Raises:
        LoadError: The model cannot be asked.
    """
    with ThreadPoolExecutor(1) as pool:
        before = scrape(server).value(_DONE, model=model)
        asking = pool.submit(
            run_load, server, model, concurrency=clients, seconds=seconds + 6 * _SETTLE_S, warmup=0.0,
            processes=1, progress=False,
        )  # fmt: skip
        while not asking.done() and scrape(server).value(_DONE, model=model) == before:
            time.sleep(0.02)
        time.sleep(_SETTLE_S)
        window = watch(server, seconds, every=0.1)
        asking.result()
    return window
