"""The two requests that are known to end tritonserver 2.51: the library says so, and starts the next one."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from lab_utils import server as triton
from tests.faults.kernel import OPTIONS
from tests.faults.malformed_http import Request, good, message, send
from tests.faults.world import assert_serves, ids, wait, wait_gone

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]


def giant_shape() -> bytes:
    """JSON data that claims a thousand million rows: the server wants the memory for them."""
    body = good()
    body["inputs"][0]["shape"] = [1_000_000_000, 1_000_000]
    return message(body)


def deep_nesting() -> bytes:
    """JSON data nested 50,000 deep: the server's recursion ends its stack."""
    body = json.dumps(good()).replace("[1, 2, 3, 4]", "[" * 50_000 + "1" + "]" * 50_000)
    return message(body.encode())


@pytest.mark.parametrize(
    ("request_bytes", "deadly"),
    [(giant_shape(), signal.SIGABRT), (deep_nesting(), signal.SIGSEGV)],
    ids=["giant-shape", "deep-nesting"],
)
def test_the_library_says_that_the_server_died_and_starts_the_next(
    models: Path, request_bytes: bytes, deadly: signal.Signals
) -> None:
    name = f"killer-{deadly.name.lower()}"
    server = triton.start(models, name=name, options=OPTIONS, wait_for=["double"], lifetime="kernel")
    try:
        assert send(server.endpoints.http, Request("killer", request_bytes)).status == 0
        wait(lambda: not server.alive(), 10, "the server dies of this request")
        wait(lambda: (r := triton.record(name)) and r.ended, 5, "the record says so")
        record = triton.record(name)
        assert record is not None
        assert record.ended is not None
        assert record.ended.signal == deadly
        assert deadly.name in str(record.ended)
        assert triton.find(name) is None
        began = time.monotonic()
        with pytest.raises(triton.ServerError) as caught:
            server.wait_ready("double", 20)
        assert time.monotonic() - began < 5, "a dead server is not waited for"
        text = str(caught.value)
        assert f"`{name}` is not running any more" in text
        assert deadly.name in text
        assert "tritonserver crashed" in text
        assert "Start it again" in text
        wait_gone({record.id}, 5)
        server = triton.start(models, name=name, options=OPTIONS, wait_for=["double"], lifetime="kernel")
        assert_serves(server)
    finally:
        server.stop()
    wait_gone(ids(name), 1)
