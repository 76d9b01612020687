"""How requests end before their answer does: cancellation, refusal, failure, the end of the engine."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")


from lab_utils.llama.engine import Engine, EngineError, GenerationRequest, Output, RequestRefused
from lab_utils.paths import project_root
from tests.llama_engine.receivers import Receiver, gated

Q = "What does max_queue_delay_microseconds do?"


def test_stream_gives_pieces_and_leaving_it_cancels(engine: Engine) -> None:
    pieces = list(engine.stream(GenerationRequest(Q)))
    assert "".join(p.text for p in pieces) == engine.generate(GenerationRequest(Q)).text
    assert [p.final for p in pieces] == [False] * (len(pieces) - 1) + [True]
    before = engine.stats().ended["cancelled"]
    for _ in engine.stream(GenerationRequest(Q, max_tokens=200, ignore_eos=True)):
        break
    deadline = time.monotonic() + 10
    while engine.stats().ended["cancelled"] == before and time.monotonic() < deadline:
        time.sleep(0.005)
    assert engine.stats().active == 0


def test_cancelling_takes_effect_before_the_next_step(make: Callable[..., Engine]) -> None:
    engine = make()
    gone, stays = Receiver(), Receiver()
    with gated(engine) as gate:
        handle = engine.submit(GenerationRequest(Q, max_tokens=50, ignore_eos=True), gone)
        gate.arrived()
        engine.submit(GenerationRequest(Q, max_tokens=50, ignore_eos=True), stays)
        for _ in range(3):
            gate.allow()
            gate.arrived()
        handle.cancel()
        gate.allow()  # the step that was under way
        gate.arrived()
        assert gone.wait().finish_reason == "cancelled"
        assert gate.batches == [1, 2, 2, 2, 1]
        assert len(gone.tokens) == 5
    assert stays.wait().finish_reason == "length"


def test_a_full_queue_refuses_and_takes_again_when_there_is_room(make: Callable[..., Engine]) -> None:
    engine = make(slots=2, max_queue=3)
    receivers = [Receiver() for _ in range(5)]
    with gated(engine) as gate:
        for receiver in receivers[:2]:
            engine.submit(GenerationRequest(Q, max_tokens=4), receiver)
        gate.arrived()
        while engine.stats().active < 2:
            gate.allow()
            gate.arrived()
        for receiver in receivers[2:]:
            engine.submit(GenerationRequest(Q, max_tokens=4), receiver)
        with pytest.raises(RequestRefused, match="queue is full: 3 requests wait, max_queue is 3") as caught:
            engine.submit(GenerationRequest(Q), Receiver())
        assert caught.value.reason == "busy"
        assert engine.stats().refused == 1
    for receiver in receivers:
        receiver.wait()
    assert engine.generate(GenerationRequest(Q, max_tokens=2)).finish_reason == "length"


def test_as_many_clients_as_places_are_never_refused(make: Callable[..., Engine]) -> None:
    """Who has an answer asks again at once: its place must be free by then."""
    engine = make(slots=2, max_queue=1)
    refused: list[str] = []

    def ask_again_and_again() -> None:
        try:
            for number in range(40):
                engine.generate(GenerationRequest("x", max_tokens=1 + number % 4, ignore_eos=True))
        except RequestRefused as error:
            refused.append(str(error))

    clients = [threading.Thread(target=ask_again_and_again) for _ in range(3)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert refused == []
    assert engine.stats().ended["length"] == 120


def test_a_burst_is_refused_by_how_many_really_wait(make: Callable[..., Engine]) -> None:
    engine = make(slots=2, max_queue=1)
    with engine._changed:  # the engine takes nothing in meanwhile
        receivers = [Receiver() for _ in range(3)]
        for receiver in receivers:
            engine.submit(GenerationRequest(Q, max_tokens=2), receiver)
        with pytest.raises(RequestRefused, match="full: 1 requests wait, max_queue is 1") as caught:
            engine.submit(GenerationRequest(Q, max_tokens=2), Receiver())
        assert caught.value.why == "All 2 slots are taken."
    assert [receiver.wait().finish_reason for receiver in receivers] == ["length"] * 3


def test_answers_that_nobody_takes_count_against_the_queue(make: Callable[..., Engine]) -> None:
    engine = make(slots=1, max_queue=2)
    never = threading.Event()
    refusals = []
    for _ in range(40):
        try:
            engine.submit(GenerationRequest("x", max_tokens=1), lambda output: never.wait(20))
        except RequestRefused as error:
            refusals.append(error)
        time.sleep(0.01)
    # The place, two in the queue, and those that threads are handing over.
    threads = len(engine._delivery._threads)
    assert len(refusals) >= 40 - 3 - threads
    assert engine.stats().undelivered <= 3 + threads
    assert "complete answers wait for their clients to take them" in refusals[-1].why
    never.set()
    deadline = time.monotonic() + 10
    while engine.stats().undelivered and time.monotonic() < deadline:
        time.sleep(0.01)
    assert engine.generate(GenerationRequest("x", max_tokens=1)).finish_reason == "length"


def test_a_receiver_that_raises_ends_its_own_request_only(make: Callable[..., Engine]) -> None:
    engine = make()

    def bad(output: Output) -> None:
        raise ConnectionError("the client has gone")

    receiver = Receiver()
    engine.submit(GenerationRequest(Q, max_tokens=100, ignore_eos=True), bad)
    engine.submit(GenerationRequest(Q, max_tokens=60, ignore_eos=True), receiver)
    assert receiver.wait().finish_reason == "length"
    stats = engine.stats()
    assert stats.ended["cancelled"] == 1
    assert stats.active == 0


def test_when_the_thread_fails_everybody_is_told_and_later_ones_refused(make: Callable[..., Engine]) -> None:
    engine = make(slots=2)
    receivers = [Receiver() for _ in range(4)]
    with gated(engine) as gate:
        for receiver in receivers:
            engine.submit(GenerationRequest(Q, max_tokens=50, ignore_eos=True), receiver)
        gate.arrived()

        def fails(tokens: object, positions: object) -> None:
            raise RuntimeError("device-side assert")

        engine._runner.decode = fails  # type: ignore[assignment,method-assign]
        gate.allow(10)
        for receiver in receivers:
            error = receiver.wait().error
            assert isinstance(error, EngineError)
            assert "device-side assert" in str(error)
            assert "RuntimeError" in str(error)
    with pytest.raises(RequestRefused, match="does not run any more") as caught:
        engine.submit(GenerationRequest(Q), Receiver())
    assert caught.value.reason == "failed"
    assert "device-side assert" in caught.value.why
    assert "device-side assert" in engine.stats().failure
    engine.close()


def test_closing_ends_what_is_on_its_way(make: Callable[..., Engine]) -> None:
    engine = make(slots=1)
    receivers = [Receiver() for _ in range(3)]
    for receiver in receivers:
        engine.submit(GenerationRequest(Q, max_tokens=100, ignore_eos=True), receiver)
    engine.close()
    engine.close()
    for receiver in receivers:
        assert "closed" in str(receiver.wait().error)
    with pytest.raises(RequestRefused, match="does not run"):
        engine.submit(GenerationRequest(Q), Receiver())
    assert not engine._thread.is_alive()


def test_a_program_that_forgets_to_close_ends_well(folder: Path) -> None:
    program = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from lab_utils.llama.engine import Engine, GenerationRequest\n"
        "engine = Engine(sys.argv[1], slots=4, max_length=256)\n"
        "for _ in range(4):\n"
        "    engine.submit(GenerationRequest('x', max_tokens=200, ignore_eos=True), lambda output: None)\n"
        "next(engine.stream(GenerationRequest('x')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=project_root(), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_random_cancels_leave_nothing_behind(engine: Engine, reference: Callable[[str], list[int]]) -> None:
    dice = random.Random(1)
    handles = []
    for _ in range(80):
        receiver = Receiver()
        handle = engine.submit(GenerationRequest(Q, max_tokens=40, ignore_eos=True), receiver)
        handles.append((handle, receiver))
        if dice.random() < 0.6:
            dice.choice(handles)[0].cancel()
        time.sleep(dice.random() * 0.003)
    for handle, receiver in handles:
        end = receiver.wait()
        assert end.finish_reason in ("length", "cancelled") if handle.cancelled else "length"
        assert receiver.tokens == reference(Q)[: len(receiver.tokens)]
    stats = engine.stats()
    assert (stats.active, stats.waiting, stats.undelivered) == (0, 0, 0)
