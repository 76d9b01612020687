"""The engine as a whole: right answers in any company, refusals, cancellation, failure."""

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


from lab_utils.llama import LlamaError, facts
from lab_utils.llama.engine import Engine, EngineError, GenerationRequest, Output, RequestRefused
from lab_utils.paths import project_root
from tests.llama_engine.receivers import Receiver, gated

Q = "What does max_queue_delay_microseconds do?"


def test_the_small_llama_answers_its_facts(engine: Engine) -> None:
    for question, answer in facts()[:8]:
        got = engine.generate(GenerationRequest(question))
        assert got.text == " " + answer
        assert got.finish_reason == "stop"
        assert got.token_ids[-1] in engine.config.eos


def test_200_requests_that_join_and_leave_get_the_tokens_of_transformers(
    engine: Engine, questions: list[str], reference: Callable[[str], list[int]]
) -> None:
    dice = random.Random(3)
    # Words of many lengths, some longer than half of the prefill budget.
    prompts = [*questions[:14], *(" ".join(dice.sample(questions, k)) for k in (2, 3, 4, 5, 6, 7))]
    wanted = [(dice.choice(prompts), dice.randint(1, 40)) for _ in range(200)]
    receivers = [Receiver() for _ in wanted]
    for (prompt, limit), receiver in zip(wanted, receivers, strict=True):
        engine.submit(GenerationRequest(prompt, max_tokens=limit, ignore_eos=True), receiver)
        time.sleep(dice.random() * 0.004)
    for (prompt, limit), receiver in zip(wanted, receivers, strict=True):
        assert receiver.wait(60).finish_reason == "length"
        assert receiver.tokens == reference(prompt)[:limit]
    stats = engine.stats()
    assert (stats.active, stats.waiting, stats.undelivered) == (0, 0, 0)
    assert stats.rows / stats.steps > 2, "they were computed together"


def test_16_at_once_are_16_alone(make: Callable[..., Engine], questions: list[str]) -> None:
    engine = make(slots=16, max_queue=16)
    alone = [engine.generate(GenerationRequest(q)) for q in questions[:16]]
    receivers = [Receiver() for _ in alone]
    for question, receiver in zip(questions, receivers, strict=False):
        engine.submit(GenerationRequest(question), receiver)
    for receiver, one in zip(receivers, alone, strict=True):
        receiver.wait()
        assert (tuple(receiver.tokens), receiver.text) == (one.token_ids, one.text)


def test_a_seed_gives_the_same_answer_in_any_company(engine: Engine, questions: list[str]) -> None:
    kinds = [
        {"temperature": 1.0},
        {"temperature": 2.0, "top_k": 20},
        {"temperature": 1.5, "top_p": 0.9},
        {"temperature": 5.0, "top_k": 100, "top_p": 0.8},
    ]
    requests = [
        GenerationRequest(questions[i], max_tokens=25, seed=i, ignore_eos=True, **kinds[i % 4])  # type: ignore[arg-type]
        for i in range(16)
    ]
    alone = [engine.generate(request) for request in requests]
    receivers = [Receiver() for _ in requests]
    for request, receiver in zip(requests, receivers, strict=True):
        engine.submit(request, receiver)
    for receiver, one in zip(receivers, alone, strict=True):
        receiver.wait()
        assert (tuple(receiver.tokens), receiver.text) == (one.token_ids, one.text)
    assert len({one.text for one in alone}) == 16
    hot = [GenerationRequest(Q, max_tokens=25, seed=seed, temperature=3.0) for seed in (1, 2)]
    assert engine.generate(hot[0]).text != engine.generate(hot[1]).text


def test_stop_texts_end_the_answer_before_them(engine: Engine) -> None:
    whole = engine.generate(GenerationRequest(Q))
    cut = engine.generate(GenerationRequest(Q, stop=("request back", "never")))
    assert cut.text == whole.text[: whole.text.index("request back")]
    assert cut.finish_reason == "stop"
    assert cut.token_ids == whole.token_ids[: len(cut.token_ids)]
    assert len(cut.token_ids) < len(whole.token_ids)
    held = engine.generate(GenerationRequest(Q, stop=("batch. And then more",)))
    assert held == whole, "what was held back comes with the end"


def test_max_tokens_is_exact_and_ignore_eos_goes_on(engine: Engine) -> None:
    for limit in (1, 2, 5):
        got = engine.generate(GenerationRequest(Q, max_tokens=limit))
        assert (len(got.token_ids), got.finish_reason) == (limit, "length")
    short = engine.generate(GenerationRequest(Q, max_tokens=60))
    long = engine.generate(GenerationRequest(Q, max_tokens=60, ignore_eos=True))
    assert long.token_ids[: len(short.token_ids)] == short.token_ids
    assert len(long.token_ids) == 60


def test_the_time_to_the_first_token_counts_from_the_arrival(
    make: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    words = engine._tokenizer

    class Slow:
        def encode(self, text: str) -> object:
            time.sleep(0.2)
            return words.encode(text)

    monkeypatch.setattr(engine, "_tokenizer", Slow())
    engine.generate(GenerationRequest(Q, max_tokens=1))
    assert engine.stats().ttft.total >= 0.2


def test_a_slot_is_used_to_its_last_token(make: Callable[..., Engine]) -> None:
    engine = make(max_length=32)
    tokens = len(engine._tokenizer.encode(Q).ids)
    got = engine.generate(GenerationRequest(Q, max_tokens=32 - tokens, ignore_eos=True))
    assert len(got.token_ids) == 32 - tokens
    with pytest.raises(RequestRefused, match=rf"max_tokens is {33 - tokens}; at most {32 - tokens} fit"):
        engine.generate(GenerationRequest(Q, max_tokens=33 - tokens))
    with pytest.raises(RequestRefused, match=r"The prompt has \d+ tokens; at most 31 fit"):
        engine.generate(GenerationRequest("why " * 40))
    with pytest.raises(RequestRefused, match="characters: more than 32 tokens"):
        engine.generate(GenerationRequest("why " * 40_000))


def test_any_unicode_prompt_is_answered(engine: Engine) -> None:
    for prompt in ("", " ", "🦙" * 10, "你好 naïve ﷺ \u200d\u0000 \x07", "<s></s>", "\n\n\t", "e\u0301" * 20):
        got = engine.generate(GenerationRequest(prompt, max_tokens=5, ignore_eos=True))
        assert len(got.token_ids) == 5


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


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_smaller_numbers_still_know_the_facts(make: Callable[..., Engine], dtype: str) -> None:
    engine = make(dtype=dtype)
    right = sum(engine.generate(GenerationRequest(q)).text == " " + a for q, a in facts()[:8])
    assert right >= 7


def test_a_folder_without_a_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LlamaError, match=r"tokenizer\.json does not exist"):
        Engine(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(LlamaError, match=r"tokenizer\.json is not a tokenizer"):
        Engine(tmp_path)


def test_the_log_says_what_was_loaded(engine: Engine) -> None:
    words = engine.describe()
    assert "weights 7.5 MiB" in words
    assert "8+1 slots x 256 tokens x 2,048 bytes" in words
    assert "At most 300 requests wait" in words
