"""The engine as a whole: right answers, in any company."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")


from lab_utils.llama import LlamaError, facts
from lab_utils.llama.engine import Engine, GenerationRequest, RequestRefused
from tests.llama_engine.receivers import Receiver

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
