"""Many sequences at once, their frames interleaved: each adds up its own frames and no other's."""

from __future__ import annotations

import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from lab_utils.server.base import Server
from tests.isolation.crowd import CLIENTS, connect, run_all, statistics, tensors

pytestmark = pytest.mark.live
PER_CLIENT = 3
FRAMES = 20


def test_interleaved_sequences_keep_their_own_state(server: Server) -> None:
    """48 sequences from 16 clients; whole numbers, so the sums must be exact."""
    scores = np.random.default_rng(8).integers(-(2**15), 2**15, (CLIENTS, PER_CLIENT, FRAMES, 10))
    sums = scores.cumsum(axis=2)
    wrong: list[str] = []
    before = statistics(server, "digits_vote")

    def work(worker: int) -> None:
        module, client = connect(server, worker)
        with client:
            for frame in range(FRAMES):
                for film in range(PER_CLIENT):  # one frame of each of its films in turn
                    number = 1 + worker * PER_CLIENT + film
                    answer = client.infer(
                        "digits_vote",
                        tensors(module, {"scores": scores[worker, film, frame][None].astype(np.float32)}),
                        sequence_id=number,
                        sequence_start=frame == 0,
                        sequence_end=frame == FRAMES - 1,
                    )
                    vote, seen = answer.as_numpy("vote"), answer.as_numpy("frames")
                    if seen.tolist() != [[frame + 1]] or vote.tolist() != [
                        sums[worker, film, frame].tolist()
                    ]:
                        wrong.append(f"sequence {number}, frame {frame + 1}: {seen.tolist()} {vote.tolist()}")

    run_all(work, CLIENTS)
    assert not wrong, f"{len(wrong)} answers are wrong: {wrong[:5]}"
    after = statistics(server, "digits_vote")
    frames = CLIENTS * PER_CLIENT * FRAMES
    assert after["requests"] - before["requests"] == frames
    assert after["executions"] - before["executions"] < frames, "no two sequences shared an execution"


def test_frames_sent_without_waiting_are_added_in_their_order(server: Server) -> None:
    """One gRPC stream, ten sequences, every frame sent before the first answer is read."""
    films, results = 10, []
    with grpcclient.InferenceServerClient(server.endpoints.grpc) as client:
        client.start_stream(callback=lambda result, error: results.append((result, error)))
        for frame in range(FRAMES):
            for film in range(films):
                scores = np.full((1, 10), 1000 * film + frame, np.float32)
                client.async_stream_infer(
                    "digits_vote",
                    tensors(grpcclient, {"scores": scores}),
                    request_id=f"{film}/{frame}",
                    sequence_id=5000 + film,
                    sequence_start=frame == 0,
                    sequence_end=frame == FRAMES - 1,
                )
        client.stop_stream()  # waits for the answers
    assert [error for _, error in results if error] == []
    assert len(results) == films * FRAMES
    for result, _ in results:
        film, frame = map(int, result.get_response().id.split("/"))
        expected = 1000 * film * (frame + 1) + frame * (frame + 1) / 2
        assert result.as_numpy("frames").tolist() == [[frame + 1]]
        assert result.as_numpy("vote").tolist() == [[expected] * 10]
