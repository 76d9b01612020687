"""The worked example `digits_vote`: a model with state, one for each sequence."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from lab_utils.server.base import Server
from lab_utils.server.stubs import stub_models
from tests.models.worked import counts, override, tensors

pytestmark = pytest.mark.live


def vote(client: Any, sequence: int, scores: NDArray[np.float32], start: bool = False, end: bool = False):
    """Send one frame, FP32 [10]; returns (vote [10], frames)."""
    answer = client.infer(
        "digits_vote",
        tensors(scores=scores[None]),
        sequence_id=sequence,
        sequence_start=start,
        sequence_end=end,
        client_timeout=30,
    )
    return answer.as_numpy("vote")[0], int(answer.as_numpy("frames")[0, 0])


DIRECT = {
    "max_sequence_idle_microseconds": "5000000",
    "direct": {"minimum_slot_utilization": 0.0},
    "control_input": [
        {"name": "START", "control": [{"kind": "CONTROL_SEQUENCE_START", "int32_false_true": [0, 1]}]},
        {"name": "END", "control": [{"kind": "CONTROL_SEQUENCE_END", "int32_false_true": [0, 1]}]},
        {"name": "READY", "control": [{"kind": "CONTROL_SEQUENCE_READY", "int32_false_true": [0, 1]}]},
        {"name": "CORRID", "control": [{"kind": "CONTROL_SEQUENCE_CORRID", "data_type": "TYPE_UINT64"}]},
    ],
}


@pytest.fixture(params=["oldest", "direct"])
def strategy(request: pytest.FixtureRequest, client: Any) -> Iterator[str]:
    """The model works with both strategies, so that a student can change the one word."""
    if request.param == "direct":
        override(client, "digits_vote", sequence_batching=DIRECT)
    yield request.param
    if request.param == "direct":
        client.unload_model("digits_vote")
        client.load_model("digits_vote")


def test_interleaved_sequences_each_have_their_own_vote(client: Any, server: Server, strategy: str) -> None:
    frames = np.random.default_rng(5).normal(size=(6, 12, 10)).astype(np.float32)

    def film(number: int) -> None:
        for position, scores in enumerate(frames[number]):
            total, seen = vote(client, 100 + number, scores, position == 0, position == 11)
            np.testing.assert_allclose(
                total, frames[number, : position + 1].sum(axis=0), rtol=1e-5, atol=1e-5
            )
            assert seen == position + 1

    before = counts(server, "digits_vote")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(film, range(6)))
    assert counts(server, "digits_vote")[0] - before[0] == 72


def test_a_sequence_ends_and_can_begin_again(client: Any, strategy: str) -> None:
    one = np.ones(10, np.float32)
    assert vote(client, 7, one, start=True, end=True)[1] == 1
    with pytest.raises(InferenceServerException, match="must specify the START flag"):
        vote(client, 7, one)
    vote(client, 7, one, start=True)
    total, seen = vote(client, 7, one)
    assert (total.tolist(), seen) == ([2.0] * 10, 2)
    # START in the middle forgets what was.
    total, seen = vote(client, 7, 3 * one, start=True, end=True)
    assert (total.tolist(), seen) == ([3.0] * 10, 1)


def test_the_end_frees_the_state(client: Any, server: Server) -> None:
    """What is still held at unload stands in the log."""
    held_at_unload(client, server)  # begin with a fresh one
    for number in range(40, 45):
        vote(client, number, np.ones(10, np.float32), start=True)
        if number != 42:
            vote(client, number, np.ones(10, np.float32), end=True)
    assert held_at_unload(client, server) == 1


def held_at_unload(client: Any, server: Server) -> int:
    """Unload and load the model; returns how many sequences were still open."""

    def stubs() -> int:
        return sum(path.parts[-3] == "digits_vote" for _, path in stub_models(server.pid))

    until(lambda: stubs() == 1)  # an unload goes on in the background: earlier ones must be over
    client.unload_model("digits_vote")
    until(lambda: stubs() == 0)
    client.load_model("digits_vote")
    return int(re.findall(r"digits_vote ends with (\d+) open sequences", server.logs())[-1])


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait, at most `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_errors_of_sequences_are_said_in_words(client: Any) -> None:
    one = np.ones(10, np.float32)
    with pytest.raises(InferenceServerException, match=r"sequence 901 .* must specify the START flag"):
        vote(client, 901, one)
    with pytest.raises(InferenceServerException, match="must specify a non-zero or non-empty correlation ID"):
        client.infer("digits_vote", tensors(scores=one[None]))
    two = tensors(scores=np.ones((2, 10), np.float32))
    with pytest.raises(InferenceServerException, match="must specify batch-size 1"):
        client.infer("digits_vote", two, sequence_id=902, sequence_start=True)
    with pytest.raises(InferenceServerException, match="sequence 903 ends here: scores must be numbers"):
        vote(client, 903, one * np.nan, start=True)
    with pytest.raises(InferenceServerException, match="sequence 903 is not known"):
        vote(client, 903, one)
    assert vote(client, 903, one, start=True, end=True)[1] == 1


def test_an_idle_sequence_is_given_up(client: Any) -> None:
    one = np.ones(10, np.float32)
    batching = {k: v for k, v in DIRECT.items() if k != "direct"} | {"oldest": {"max_candidate_sequences": 4}}
    override(
        client,
        "digits_vote",
        sequence_batching=batching | {"max_sequence_idle_microseconds": "3000000"},
    )
    try:
        vote(client, 31, one, start=True)
        time.sleep(0.1)  # far less than the limit, also where this process has to wait for its turn
        assert vote(client, 31, one)[1] == 2
        time.sleep(4.5)
        with pytest.raises(InferenceServerException, match="must specify the START flag"):
            vote(client, 31, one)
    finally:
        client.unload_model("digits_vote")
        client.load_model("digits_vote")
