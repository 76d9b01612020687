"""Watching a real server: counts are exact, a restart within the window is harmless, holes are holes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab_utils import server as triton
from lab_utils.monitoring import QUANTITIES, MetricsError, Watcher, watch
from lab_utils.server.base import Endpoints, Server
from lab_utils.server.ports import LOOPBACK, free_ports
from tests.monitoring import models
from tests.monitoring.asking import ask, client

pytestmark = pytest.mark.live
SUCCESS = "nv_inference_request_success"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may restart; its ports stay the same."""
    models.timed(tmp_path, "quick", 1)
    http, grpc, metrics = free_ports(3)
    options = [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    options += ["--model-control-mode=explicit", "--load-model=quick", "--exit-timeout-secs=1"]
    found = triton.start(tmp_path, name="monitoring-own", options=options, lifetime="kernel")
    yield found
    found.stop()


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def send(server: Server, count: int) -> None:
    with client(server) as one:
        for _ in range(count):
            ask(one, "quick")


def test_a_watcher_counts_what_was_asked_within_its_block(server: Server) -> None:
    send(server, 3)
    with Watcher(server, every=5) as watcher:
        send(server, 7)
    window = watcher.window()
    assert window.increase(SUCCESS, model="quick") == 7, "one reading at the start, one at the end"
    assert len(window.scrapes) == 2
    assert not watcher.running


def test_watch_reads_at_both_ends_and_in_between(server: Server) -> None:
    start = time.monotonic()
    window = watch(server, 0.7, every=0.3)
    assert len(window.scrapes) == 4
    assert 0.65 < window.seconds <= time.monotonic() - start
    assert watch(server, 0.1).seconds < 5, "a shorter time than `every` has its two ends"


def test_a_restart_within_the_window(own: Server) -> None:
    with Watcher(own, every=0.1) as watcher:
        send(own, 40)
        wait_until(lambda: watcher.scrapes[-1].value(SUCCESS, model="quick") == 40)
        own.stop()
        wait_until(lambda: watcher.last_error is not None)
        own.start()
        own.wait_ready("quick")
        send(own, 6)
    window = watcher.window()
    assert window.increase(SUCCESS, model="quick") == 46
    assert {name for _, name in window.resets} >= {SUCCESS, "nv_inference_count"}
    for quantity in QUANTITIES.values():
        value = quantity(window, "quick")
        assert not value < 0
        if quantity.unit == "share":
            assert not value > 1
    assert 0 < QUANTITIES["requests_per_second"](window, "quick") <= 46 / window.seconds + 1e-9
    assert QUANTITIES["mean_batch"](window, "quick") == 1
    assert 1 <= QUANTITIES["compute_infer_ms"](window, "quick") < 100


def test_unload_and_load_within_the_window(own: Server) -> None:
    """Loaded anew, a model counts from 0. Loaded again while it is loaded, it goes on counting."""
    with Watcher(own, every=0.1) as watcher, client(own) as one:
        send(own, 9)
        one.load_model("quick")
        send(own, 1)
        wait_until(lambda: watcher.scrapes[-1].find(SUCCESS, model="quick") != {})
        wait_until(lambda: watcher.scrapes[-1].value(SUCCESS, model="quick") == 10)
        one.unload_model("quick")
        wait_until(lambda: not watcher.scrapes[-1].has(SUCCESS, model="quick"))
        one.load_model("quick")
        send(own, 20)
    assert watcher.window().increase(SUCCESS, model="quick") == 30


def test_a_server_that_moves_is_found_again(own: Server, tmp_path: Path) -> None:
    """A server that is started again has other ports, unless options fix them; a function follows it."""
    where = [own]
    with Watcher(lambda: where[0], every=0.1) as watcher:
        second = triton.start(tmp_path, name="monitoring-second", lifetime="kernel")
        try:
            where[0] = second
            send(second, 5)
            wait_until(lambda: watcher.scrapes[-1].value(SUCCESS, model="quick") == 5)
        finally:
            second.stop()


def test_a_wrong_address_is_said_at_once_unless_the_watcher_is_patient() -> None:
    (port,) = free_ports(1)
    nowhere = f"{LOOPBACK}:{port}"
    with pytest.raises(MetricsError, match="Nobody answers"):
        Watcher(nowhere).start()
    with pytest.raises(MetricsError, match="Nobody answers"):
        watch(nowhere, 1)
    with Watcher(nowhere, every=0.1, patient=True) as watcher:
        with pytest.raises(MetricsError, match="Nobody answers"):
            watcher.window()
        assert watcher.running


def test_a_window_of_the_last_seconds_ends_now(server: Server) -> None:
    with Watcher(server, every=0.1) as watcher:
        wait_until(lambda: len(watcher.scrapes) >= 12)
        recent = watcher.window(0.5)
        assert 0.1 <= recent.seconds <= 0.5
        assert watcher.window().seconds > 0.9
    time.sleep(0.3)
    with pytest.raises(MetricsError, match="needs two readings"):
        watcher.window(0.2)


def test_old_readings_are_dropped(server: Server) -> None:
    with Watcher(server, every=0.05, keep=0.5) as watcher:
        first = watcher.scrapes[0]
        wait_until(lambda: watcher.scrapes[0].at > first.at + 0.5)
        assert 2 <= len(watcher.scrapes) <= 12
        assert watcher.window().seconds <= 0.5


@pytest.mark.parametrize(("every", "keep"), [(0, 1), (-1, 1), (1, 1)])
def test_settings_that_make_no_window(every: float, keep: float) -> None:
    nowhere = Endpoints("", "", "")
    with pytest.raises(MetricsError, match="every is"):
        Watcher(nowhere, every=every, keep=keep)
    with pytest.raises(MetricsError, match="seconds is"):
        watch(nowhere, min(every, 0))
