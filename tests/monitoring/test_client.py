"""What the client counts and the server does not: both sides of the same real failures."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

from lab_utils.monitoring import ClientMetrics, Watcher, Window, quantity, scrape
from lab_utils.server.base import Server
from lab_utils.server.ports import LOOPBACK, free_ports
from tests.monitoring.asking import ask, client

COUNTER = "triton_lab_client_requests_total"
Call = Callable[[object], None]


def good(one: object) -> None:
    ask(one, "fussy", 1)


def raises(one: object) -> None:
    ask(one, "fussy", -2)


def error_response(one: object) -> None:
    ask(one, "fussy", -1)


def wrong_shape(one: object) -> None:
    ask(one, "fussy", width=5)


def too_many_rows(one: object) -> None:
    ask(one, "fussy", rows=9)


def unknown_model(one: object) -> None:
    ask(one, "fuzzy")


@pytest.mark.live
@pytest.mark.parametrize(
    ("call", "server_failures", "server_successes"),
    [
        (good, 0, 1),
        (raises, 1, 0),
        (error_response, 0, 1),
        (wrong_shape, 0, 0),
        (too_many_rows, 0, 0),
        (unknown_model, 0, 0),
    ],
)
def test_what_the_failure_counter_counts(
    server: Server, call: Call, server_failures: int, server_successes: int
) -> None:
    """Only an exception in the model is a failure for Triton. An error response is a success."""
    with ClientMetrics(models=["fussy"]) as metrics, Watcher(server, every=60) as watcher:
        with client(server) as one, contextlib.suppress(InferenceServerException), metrics.request("fussy"):
            call(one)
        counted = {
            outcome: scrape(metrics.address).value(COUNTER, model="fussy", outcome=outcome)
            for outcome in ("ok", "error")
        }
    window = watcher.window()
    assert window.increase("nv_inference_request_failure", model="fussy") == server_failures
    assert window.increase("nv_inference_request_success", model="fussy") == server_successes
    assert counted == ({"ok": 1, "error": 0} if call is good else {"ok": 0, "error": 1})


@pytest.mark.live
def test_a_full_queue_counts_nowhere_and_a_time_limit_as_rejected(server: Server) -> None:
    """Eight at once: two are executed, two wait until their time limit, and the rest find the queue full."""
    words: list[str] = []

    def call(metrics: ClientMetrics) -> None:
        with client(server) as one:
            try:
                with metrics.request("strict"):
                    ask(one, "strict")
            except InferenceServerException as error:
                words.append(str(error))

    with ClientMetrics(models=["strict"]) as metrics, Watcher(server, every=60) as watcher:
        threads = [threading.Thread(target=call, args=(metrics,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    full = sum("exceeds maximum queue size" in text.lower() for text in words)
    late = sum("request timeout expired" in text.lower() for text in words)
    assert full
    assert late
    window = watcher.window()
    assert window.increase("nv_inference_request_failure", model="strict", reason="REJECTED") == late
    assert window.increase("nv_inference_request_failure", model="strict") == late
    assert window.increase("nv_inference_request_success", model="strict") == 8 - late - full
    assert metrics.error_ratio("strict") == (late + full) / 8


@pytest.mark.live
@pytest.mark.parametrize(("model", "counts_as"), [("fours", "CANCELED"), ("slow", "")])
def test_a_cancelled_request_counts_while_it_waits_in_the_batcher(
    server: Server, model: str, counts_as: str
) -> None:
    """`fours` waits for more requests. `slow` has no batcher: it is executed all the same, a success."""
    tensor = grpcclient.InferInput("data", [1, 4], "FP32").set_data_from_numpy(np.zeros((1, 4), np.float32))
    before = scrape(server)
    end = time.monotonic() + 20
    with grpcclient.InferenceServerClient(server.endpoints.grpc) as one:
        calls = [one.async_infer(model, [tensor], lambda result, error: None) for _ in range(3)]
        time.sleep(0.02)
        for call in calls:
            call.cancel()
        done = 0.0
        while done < 3:
            assert time.monotonic() < end
            time.sleep(0.1)
            window = Window([before, scrape(server)])
            failed = window.increase("nv_inference_request_failure", model=model)
            done = failed + window.increase("nv_inference_request_success", model=model)
    assert failed == (3 if counts_as else 0)
    if counts_as:
        assert window.increase("nv_inference_request_failure", model=model, reason=counts_as) == 3


@pytest.mark.live
def test_the_two_ratios_beside_each_other(server: Server) -> None:
    """Of ten calls one raises, two get an error response, three never reach the model; four are well."""
    calls = [raises, *[error_response] * 2, wrong_shape, too_many_rows, unknown_model, *[good] * 4]
    with (
        ClientMetrics(models=["fussy"]) as metrics,
        Watcher(server, every=60) as at_server,
        Watcher(metrics.address, every=60) as at_client,
        client(server) as one,
    ):
        for call in calls:
            with contextlib.suppress(InferenceServerException), metrics.request("fussy"):
                call(one)
    assert quantity("failure_ratio")(at_server.window(), "fussy") == pytest.approx(1 / 7)
    assert quantity("client_failure_ratio")(at_client.window(), "fussy") == pytest.approx(0.6)
    assert metrics.error_ratio("fussy") == pytest.approx(0.6)


def test_a_server_that_is_gone_counts_at_the_client() -> None:
    metrics = ClientMetrics()
    nobody = httpclient.InferenceServerClient(f"{LOOPBACK}:{free_ports(1)[0]}")
    with pytest.raises(ConnectionRefusedError), metrics.request("fussy"):
        ask(nobody, "fussy")
    assert metrics.error_ratio("fussy") == 1


def test_the_page() -> None:
    with ClientMetrics(models=["a"]) as metrics:
        page = scrape(metrics.address)
        assert {tuple(labels.values()): v for labels, v in page.series(COUNTER).items()} == {
            ("a", "error"): 0,
            ("a", "ok"): 0,
        }, "series exist before the first request, so that its first error is an increase"
        with metrics.request("a"):
            pass
        with pytest.raises(ZeroDivisionError), metrics.request("b"):
            _ = 1 / 0
        page = scrape(metrics.address)
        assert page.value(COUNTER, model="a", outcome="ok") == 1
        assert page.value(COUNTER, model="b", outcome="error") == 1
        assert page.value("triton_lab_client_request_seconds_count") == 2
        assert page.value("triton_lab_client_request_seconds_bucket", model="a", le="+Inf") == 1
        assert page.kind(COUNTER) == "counter"
    assert metrics.error_ratio("b") == 1
    assert math.isnan(metrics.error_ratio("c"))


def test_an_interrupt_is_no_failed_request() -> None:
    metrics = ClientMetrics()
    for interrupt in (KeyboardInterrupt, asyncio.CancelledError):
        with pytest.raises(interrupt), metrics.request("a"):
            raise interrupt
    assert math.isnan(metrics.error_ratio("a"))


def test_many_threads_lose_no_request() -> None:
    metrics = ClientMetrics()

    def work(fails: bool) -> None:
        for _ in range(500):
            with contextlib.suppress(ValueError), metrics.request("a"):
                if fails:
                    raise ValueError

    threads = [threading.Thread(target=work, args=(number == 0,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.error_ratio("a") == 0.25
    assert (
        metrics.registry.get_sample_value("triton_lab_client_request_seconds_count", {"model": "a"}) == 2000
    )
