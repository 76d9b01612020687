"""The live dashboard in a real Jupyter kernel: half an hour of refreshes, without the waiting."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from lab_utils.server.base import Server
from tests.monitoring import asking

HALF_AN_HOUR = 1800
"""Refreshes in 30 minutes, at one per second."""
MEGABYTES = 6
OBJECTS = 300
"""What may be added in all: imports at first use, caches. One object per refresh is six times that."""

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(600)]

DRIVE = """
import collections, gc, json, threading
import psutil
from lab_utils.monitoring.dashboard import Dashboard

board = Dashboard({address!r})
panel = board.show()
board.stop()

def state():
    gc.collect()
    return dict(
        bytes=psutil.Process().memory_info().rss,
        objects=len(gc.get_objects()),
        threads=threading.active_count(),
        files=psutil.Process().num_fds(),
    )

for _ in range(140):  # the buffers are full afterwards
    board.refresh()
before, kinds = state(), collections.Counter(type(o).__name__ for o in gc.get_objects())
seconds = psutil.Process().cpu_times()
for _ in range({refreshes}):
    board.refresh()
later = psutil.Process().cpu_times()
after = state()
kinds = collections.Counter(type(o).__name__ for o in gc.get_objects()) - kinds
ms = 1e3 * (later.user + later.system - seconds.user - seconds.system) / {refreshes}
print(json.dumps(dict(before=before, after=after, kinds=kinds.most_common(5), ms=ms, text=board.text())))
"""


@pytest.fixture
def kernel() -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel()
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> tuple[str, int]:
    """What a cell prints, and how many messages came for the widgets."""
    printed: list[str] = []
    messages: list[int] = []

    def take(message: dict) -> None:
        kind = message["header"]["msg_type"]
        assert kind != "error", "\n".join(message["content"]["traceback"])
        if kind == "stream":
            printed.append(message["content"]["text"])
        messages.append(kind == "comm_msg")

    client.execute_interactive(code, output_hook=take, timeout=500)
    return "".join(printed), sum(messages)


def test_half_an_hour_does_not_grow_the_kernel(server: Server, kernel: BlockingKernelClient) -> None:
    closing = threading.Event()

    def some_load() -> None:
        with asking.client(server) as one:
            while not closing.wait(0.05):
                asking.ask(one, "quick")

    thread = threading.Thread(target=some_load)
    thread.start()
    try:
        address = server.endpoints.metrics
        printed, messages = run(kernel, DRIVE.format(address=address, refreshes=HALF_AN_HOUR))
    finally:
        closing.set()
        thread.join()
    found = json.loads(printed)
    print(found)
    before, after = found["before"], found["after"]
    assert "quick" in found["text"], "the panel had something to show"
    assert messages >= HALF_AN_HOUR, "each refresh has reached the browser's side"
    assert after["bytes"] - before["bytes"] < MEGABYTES * 1e6
    assert after["objects"] - before["objects"] < OBJECTS, found["kinds"]
    assert after["threads"] == before["threads"]
    assert after["files"] <= before["files"] + 2
