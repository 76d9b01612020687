"""The batch, step by step: no hole, no stall, no neighbour harmed. Time is counted in steps."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import torch
from tokenizers import Tokenizer

from lab_utils.llama.engine import GenerationRequest, Output
from lab_utils.llama.engine.batch import Batch
from lab_utils.llama.engine.delivery import Outbox
from lab_utils.llama.engine.runner import Runner
from lab_utils.llama.engine.sampling import Sampler
from lab_utils.llama.engine.sequence import GeneratedSequence, Handle
from lab_utils.llama.engine.text import TextStream, TokenBytes


class Collected:
    """A delivery that hands over at once."""

    def post(self, news: Iterable[tuple[Outbox, int | None, str, Output | None]]) -> None:
        for box, token, text, end in news:
            box.on_output(
                Output(
                    text,
                    () if token is None else (token,),
                    end.finish_reason if end else "",
                    end.error if end else None,
                )
            )


class Bench:
    """A batch, its queue, and what each request got in which step."""

    def __init__(self, folder: Path, slots: int = 4, length: int = 256, budget: int = 32) -> None:
        self.runner = Runner(folder, slots, length, "float32", "cpu")
        self.batch = Batch(self.runner, Collected(), budget)  # type: ignore[arg-type]
        self.batch.warm_up(1)
        self.waiting: deque[GeneratedSequence] = deque()
        self.pieces = TokenBytes(Tokenizer.from_file(str(folder / "tokenizer.json")))
        self.steps = 0
        self.got: dict[int, list[tuple[int, Output]]] = {}

    def add(self, prompt: list[int], max_tokens: int) -> GeneratedSequence:
        number = len(self.got)
        mine = self.got[number] = []
        handle = Handle(max_tokens, lambda: None)
        request = GenerationRequest("", max_tokens=max_tokens, ignore_eos=True)
        sequence = GeneratedSequence(
            handle,
            request,
            prompt,
            Outbox(lambda o: mine.append((self.steps, o)), lambda e: None),
            TextStream(self.pieces),
            Sampler.of(request),
            0.0,
        )
        self.waiting.append(sequence)
        return sequence

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            gone = [s for s in self.waiting if s.handle.cancelled]
            for sequence in gone:
                self.waiting.remove(sequence)
            self.batch.drop_cancelled(gone)
            self.batch.step(self.batch.take_in(self.waiting))
            self.steps += 1

    def tokens(self, number: int) -> list[int]:
        return [t for _, o in self.got[number] for t in o.token_ids]

    def when(self, number: int) -> list[int]:
        """The step of each token."""
        return [step for step, o in self.got[number] for _ in o.token_ids]

    def end(self, number: int) -> str:
        return self.got[number][-1][1].finish_reason


@pytest.fixture
def bench(folder: Path) -> Bench:
    return Bench(folder)


def alone(folder: Path, prompt: list[int], max_tokens: int) -> list[int]:
    one = Bench(folder, slots=1, budget=1000)
    one.add(prompt, max_tokens)
    while not one.got[0] or not one.got[0][-1][1].final:
        one.step()
    return one.tokens(0)


def prompt_of(length: int, seed: int) -> list[int]:
    return [1, *random.Random(seed).choices(range(300, 900), k=length - 1)]


def test_requests_join_and_leave_at_every_step_and_there_is_never_a_hole(folder: Path, bench: Bench) -> None:
    lengths = [(5, 3), (9, 7), (4, 1), (12, 5), (6, 9), (3, 2), (11, 4), (7, 6)]
    prompts = [prompt_of(length, i) for i, (length, _) in enumerate(lengths)]
    together = []
    for prompt, (_, limit) in zip(prompts, lengths, strict=True):
        bench.add(prompt, limit)
        bench.step()
        together.append(len(bench.batch._running))
    bench.step(20)
    assert max(together) >= 3
    assert any(b < a for a, b in itertools.pairwise(together)), "some left while others joined"
    assert not bench.batch.busy
    assert bench.batch.free == 4
    for i, (prompt, (_, limit)) in enumerate(zip(prompts, lengths, strict=True)):
        assert bench.tokens(i) == alone(folder, prompt, limit), i
        assert bench.end(i) == "length"
        steps = bench.when(i)
        # Two in the first step (prompt, then decode), one in each after that: nobody ever waits.
        assert [b - a for a, b in itertools.pairwise(steps)] == [0, *[1] * (limit - 2)][: limit - 1]


def test_a_long_prompt_is_read_in_pieces_and_stalls_nobody(folder: Path, bench: Bench) -> None:
    running = bench.add(prompt_of(6, 1), 40)
    bench.step(2)
    long = prompt_of(200, 2)  # more than six budgets
    bench.add(long, 5)
    bench.step(2)
    bench.add(prompt_of(8, 3), 5)  # a short one that comes while the long one is being read
    bench.step(20)
    assert running.made == 25
    steps = bench.when(0)
    assert steps[2:] == list(range(1, len(steps) - 1)), "one token in every step"
    assert bench.when(2)[0] == 4, "the short one passes at once"
    # 32 tokens per step, 8 less in the one that it shared: all of the budget is used.
    assert bench.when(1)[0] == 2 + 6
    assert bench.tokens(1) == alone(folder, long, 5)


def test_the_budget_of_a_step_is_never_exceeded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    read = [0]
    prefill, extend = bench.runner.prefill, bench.runner.extend

    def counted_prefill(prompts, slots):  # type: ignore[no-untyped-def]
        read[0] += sum(map(len, prompts))
        return prefill(prompts, slots)

    def counted_extend(tokens, start):  # type: ignore[no-untyped-def]
        read[0] += len(tokens)
        return extend(tokens, start)

    monkeypatch.setattr(bench.runner, "prefill", counted_prefill)
    monkeypatch.setattr(bench.runner, "extend", counted_extend)
    total = 0
    dice = random.Random(5)
    for i in range(30):
        length = dice.choice([3, 8, 15, 17, 30, 90])
        total += length
        bench.add(prompt_of(length, i), dice.randint(1, 6))
    seen = 0
    while bench.waiting or bench.batch.busy:
        bench.step()
        assert read[0] - seen <= 32
        seen = read[0]
        assert bench.steps < 400
    assert seen == total


def test_a_cancelled_request_gets_nothing_from_the_next_step_on(folder: Path, bench: Bench) -> None:
    prompts = [prompt_of(5 + i, i) for i in range(3)]
    first, second, third = (bench.add(p, 30) for p in prompts)
    reading = bench.add(prompt_of(150, 9), 5)
    waiting = bench.add(prompt_of(5, 10), 5)
    bench.step(3)
    assert bench.batch.free == 0
    before = [len(bench.tokens(i)) for i in range(3)]
    for sequence in (first, reading, waiting):
        sequence.handle.cancel()
        sequence.handle.cancel()
    bench.step(2)
    assert len(bench.tokens(0)) == before[0]
    assert [len(bench.tokens(i)) for i in (1, 2)] == [n + 2 for n in before[1:]]
    assert [bench.end(i) for i in (0, 3, 4)] == ["cancelled"] * 3
    assert [len(bench.got[i]) for i in (3, 4)] == [1, 1]
    assert bench.batch.free == 2
    bench.step(30)
    for i in (1, 2):
        assert bench.tokens(i) == alone(folder, prompts[i], 30)
    assert (second.made, third.made) == (30, 30)


def test_a_prompt_that_cannot_be_read_harms_no_other(
    folder: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [prompt_of(6, i) for i in range(3)]
    prompts[1][3] = 999_999  # no such token: the embedding raises
    for prompt in prompts:
        bench.add(prompt, 6)
    bench.step(8)
    error = bench.got[1][-1][1].error
    assert error is not None
    assert "Reading the prompt failed" in str(error)
    assert "IndexError" in str(error) or "index out of range" in str(error)
    for i in (0, 2):
        assert bench.tokens(i) == alone(folder, prompts[i], 6)
    bench.add([*prompt_of(60, 5), 999_999, 400], 3)
    bench.step(6)
    assert bench.end(3) == "error"
    assert bench.batch.free == 4


def test_slots_are_counted_once_while_prompts_are_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other threads ask for the free slots in the middle of a step."""
    free = []
    prefill = bench.runner.prefill

    def watched(prompts, slots):  # type: ignore[no-untyped-def]
        free.append(bench.batch.free)
        return prefill(prompts, slots)

    monkeypatch.setattr(bench.runner, "prefill", watched)
    for length in (15, 3):  # too different to be read together
        bench.add(prompt_of(length, length), 1)
    bench.step()
    assert free == [2, 3], "the first answer was complete with its first token"
    assert bench.batch.free == 4


def test_a_step_that_fails_leaves_every_request_to_be_told_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for length in (15, 3, 150):
        bench.add(prompt_of(length, length), 5)

    def fails(logits: object, samplers: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("lab_utils.llama.engine.batch.choose", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        bench.step()
    left = bench.batch.take_all()
    assert sorted(len(sequence.prompt) for sequence in left) == [3, 15, 150]
    assert bench.batch.free == 4


def test_an_answer_that_is_no_number_harms_no_other(
    folder: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [prompt_of(6, i) for i in range(3)]
    for prompt in prompts:
        bench.add(prompt, 10)
    bench.step(2)
    decode = bench.runner.decode

    def broken(tokens, positions):  # type: ignore[no-untyped-def]
        logits = decode(tokens, positions).clone()
        logits[0, 5] = torch.nan
        return logits

    monkeypatch.setattr(bench.runner, "decode", broken)
    bench.step()
    monkeypatch.setattr(bench.runner, "decode", decode)
    bench.step(12)
    error = bench.got[0][-1][1].error
    assert "NaN" in str(error)
    assert "bfloat16 or float32" in str(error)
    for i in (1, 2):
        assert bench.tokens(i) == alone(folder, prompts[i], 10)


def test_counts_say_what_happened(bench: Bench) -> None:
    for i in range(4):
        bench.add(prompt_of(8, i), 5)
    bench.step(10)
    stats = bench.batch.stats(0, 0, "", 0)
    assert stats.prompt_tokens == 32
    assert stats.generated_tokens == 20
    assert (stats.steps, stats.rows) == (4, 16)
    assert stats.ended["length"] == 4
    assert stats.ttft.count == 4
    assert stats.itl.count == 4
    assert sum(stats.itl.counts) == 4
    assert stats.kv_bytes == bench.runner.cache.bytes
    times = bench.batch.new_times()
    assert [len(t) for t in times] == [4, 4]
    assert bench.batch.new_times() == ([], [])
