"""500 malformed requests: the server lives, every answer is an error that says something.

The requests come from a seed, which the report prints; TRITON_LAB_FAULT_SEED repeats a run.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from lab_utils import server as triton
from lab_utils.server import Server
from tests.faults import malformed_grpc, malformed_http
from tests.faults.kernel import OPTIONS
from tests.faults.world import assert_serves

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]
HTTP_REQUESTS, GRPC_CALLS = 300, 200
CLOSED_WITHOUT_ANSWER = {"cut short", "wrong length", "not HTTP"}
"""HTTP faults that the HTTP parser itself refuses: the server closes the connection."""
STREAM_ENDS = {"noise", "cut short", "flipped bytes"}
"""gRPC messages that cannot be parsed: a unary call answers INTERNAL, a stream just ends (2.51)."""


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    """One server for all malformed requests."""
    started = triton.start(models, name="malformed", options=OPTIONS, wait_for=["double"], lifetime="kernel")
    yield started
    started.stop()


@pytest.fixture
def rng() -> random.Random:
    seed = int(os.environ.get("TRITON_LAB_FAULT_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"seed {seed}")
    return random.Random(seed)


def unharmed(server: Server, pid: int | None) -> None:
    """The same process serves on, its stub is there, and a good request works."""
    assert server.alive(), f"the server died: {triton.record(server.name)}"
    assert server.pid == pid
    assert triton.stub_faults(server) == []
    assert_serves(server)


def test_malformed_http_requests(server: Server, rng: random.Random) -> None:
    pid = server.pid
    answers: Counter[tuple[str, int]] = Counter()
    for number, request in enumerate(malformed_http.requests(rng, HTTP_REQUESTS), 1):
        answer = malformed_http.send(server.endpoints.http, request)
        answers[request.fault, answer.status] += 1
        assert server.alive(), f"request {number} ended the server: {request}"
        if request.fault in CLOSED_WITHOUT_ANSWER and answer.status == 0:
            continue
        assert answer.status >= 400, f"request {number} was not refused: {request}: {answer}"
        assert answer.text.strip(), f"request {number}: status {answer.status} without a word: {request}"
        if answer.text.startswith("{"):
            assert json.loads(answer.text)["error"], f"request {number}: an empty error: {request}"
        if number % 50 == 0:
            assert_serves(server)
    print(dict(answers))
    assert sum(n for (_, status), n in answers.items() if status >= 400) > HTTP_REQUESTS / 2
    unharmed(server, pid)


def test_malformed_grpc_calls(server: Server, rng: random.Random) -> None:
    pid = server.pid
    answers: Counter[tuple[str, int]] = Counter()
    with grpc.insecure_channel(server.endpoints.grpc) as channel:
        for number, call in enumerate(malformed_grpc.calls(rng, GRPC_CALLS), 1):
            answer = malformed_grpc.send(channel, call)
            answers[call.fault, answer.status] += 1
            assert server.alive(), f"call {number} ended the server: {call}"
            if call.fault in STREAM_ENDS and call.method.endswith("StreamInfer"):
                continue
            assert answer.status != 0, f"call {number} was not refused: {call}"
            assert answer.text.strip(), f"call {number}: code {answer.status} without a word: {call}"
        assert malformed_grpc.send(channel, good_call()).status == 0, "a good call on the same channel"
    print(dict(answers))
    assert sum(n for (_, status), n in answers.items() if status) > GRPC_CALLS / 2
    unharmed(server, pid)


def good_call() -> malformed_grpc.Call:
    data = malformed_grpc.good().SerializeToString()
    return malformed_grpc.Call("none", f"{malformed_grpc.SERVICE}/ModelInfer", data)
