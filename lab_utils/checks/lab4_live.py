"""What the live parts of the checks 4.5 to 4.7 share: a server with kiosks, a load, its metrics."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from lab_utils.checks.asking import post, shorten
from lab_utils.checks.repositories import fresh_name
from lab_utils.load import run_load
from lab_utils.monitoring import Window, scrape, watch
from lab_utils.planted import KIOSKS, Kiosk, plant
from lab_utils.progress.context import LabContext, refuse
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


def load_model(server: Server, model: str) -> None:
    """Load a model, and with an ensemble its steps.

    Raises:
        Refusal: Triton refuses it: a fault of the course, or of what a student wrote into a config.
    """
    answer = post(server.endpoints.http, f"/v2/repository/models/{model}/load")
    if answer.status_code != 200:
        refuse(
            expected=f"the server loads {model}",
            found=shorten(answer.text, 300),
            next_step="Triton's words say which field it refuses.",
        )


def kiosk_server(ctx: LabContext) -> tuple[Server, dict[str, Kiosk]]:
    """A server of the check's own with the three kiosks in its repository, under names that nobody knows."""
    repository = ctx.scratch()
    kiosks = {which: plant(repository, which, name=fresh_name(ctx, "kiosk")) for which in KIOSKS}
    options = ["--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=0"]
    return ctx.fresh_server(repository, options=options), kiosks
