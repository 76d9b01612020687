"""Reading a page over the network: every way to name a server, and wrong addresses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab_utils.monitoring import MetricsError, scrape
from lab_utils.server.base import Server, ServerError
from lab_utils.server.ports import LOOPBACK, free_ports

pytestmark = pytest.mark.live
NAME = "nv_inference_request_success"


@contextmanager
def listener(answer: bytes | None) -> Iterator[str]:
    """Something that listens: it sends these bytes and hangs up, or (None) never says a word."""
    with socket.create_server((LOOPBACK, 0)) as door:

        def serve() -> None:
            with door.accept()[0] as visitor:
                visitor.recv(65536)
                if answer is None:
                    visitor.recv(1)  # until the client gives up
                else:
                    visitor.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"{LOOPBACK}:{door.getsockname()[1]}"
        thread.join()


def test_every_way_to_name_a_server(server: Server) -> None:
    address = server.endpoints.metrics
    wheres: list[Any] = [
        server,
        server.endpoints,
        address,
        f"http://{address}",
        f"http://{address}/metrics",
        lambda: server,
        lambda: address,
    ]
    for where in wheres:
        page = scrape(where)
        assert page.labels_of(NAME, "model") == ["cached", "fours", "fussy", "quick", "slow", "strict"]


def refusal(where: Any, timeout: float = 5.0) -> str:
    with pytest.raises(MetricsError) as caught:
        scrape(where, timeout=timeout)
    assert caught.value.fix
    return str(caught.value)


def test_a_wrong_address_is_answered_clearly(server: Server) -> None:
    (nobody,) = free_ports(1)
    endpoints = server.endpoints
    assert "Nobody answers" in refusal(f"{LOOPBACK}:{nobody}")
    assert "HTTP port (8000 by default) has no metrics" in refusal(endpoints.http)
    assert "does not speak HTTP (as Triton's gRPC port)" in refusal(endpoints.grpc)
    assert "This is not a page of metrics" in refusal(f"{endpoints.http_url}/v2")
    assert "Wanted is a server" in refusal(None)
    assert "Wanted is a server" in refusal(lambda: 8002)


def test_an_answer_that_is_no_page_is_told_from_none() -> None:
    with listener(None) as silent:
        assert "did not answer within 0.3 s" in refusal(silent, timeout=0.3)
    with listener(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n# TYPE a gauge\na 1") as cut_off:
        assert "cannot be read" in refusal(cut_off)
    with listener(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na b") as nonsense:
        assert "Line 1 is not a sample" in refusal(nonsense)


def test_a_server_that_has_no_address_says_so_itself() -> None:
    def gone() -> Server:
        raise ServerError("The server is not running.")

    with pytest.raises(ServerError, match="not running"):
        scrape(gone)
