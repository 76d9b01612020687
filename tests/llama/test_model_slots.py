"""Slots of the cache: reused, overwritten, moved; requests that join and leave at any step."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import torch

from lab_utils.llama import KVCache
from tests.llama.shapes import TOLERANCE, VOCAB, Trio, error, random_tokens

pytestmark = pytest.mark.usefixtures("inference")


def prefill(trio: Trio, cache: KVCache, slot: int, tokens: list[int]) -> torch.Tensor:
    return trio.scripted.prefill(
        torch.tensor([tokens]),
        torch.tensor([len(tokens) - 1]),
        torch.tensor([slot]),
        cache.keys,
        cache.values,
    )[0]


def test_sizes(trio: Trio) -> None:
    config = trio.llama.config
    cache = KVCache.empty(config, slots=5, length=32, dtype=torch.bfloat16)
    assert cache.keys.shape == (config.layers, 5, config.kv_heads, 32, config.head_dim)
    assert (cache.slots, cache.length) == (5, 32)
    assert cache.bytes == 2 * config.layers * 5 * config.kv_heads * 32 * config.head_dim * 2
    assert cache.bytes == cache.keys.nbytes + cache.values.nbytes


def test_a_short_request_in_the_slot_of_a_long_one(trio: Trio) -> None:
    """The rest of the long one is still there, behind the short one's last token."""
    cache = trio.cache(slots=1)
    prefill(trio, cache, 0, random_tokens(90, seed=1).tolist())
    tokens = random_tokens(4, seed=2).tolist()
    assert error(prefill(trio, cache, 0, tokens), trio.last(tokens)) <= TOLERANCE
    for token in random_tokens(20, seed=3).tolist():
        position = len(tokens)
        tokens.append(token)
        step = torch.tensor([token]), torch.tensor([position]), position + 1
        logits = trio.scripted.decode(*step, cache.keys, cache.values)
        assert error(logits[0], trio.last(tokens)) <= TOLERANCE


def test_the_cache_is_filled_to_its_last_place(trio: Trio) -> None:
    cache = trio.cache(slots=2, length=24)
    tokens = random_tokens(2, 24)
    slots = torch.arange(2)
    trio.llama.prefill(tokens[:, :20], torch.full((2,), 19), slots, cache.keys, cache.values)
    for position in range(20, 24):
        at = torch.full((2,), position)
        logits = trio.llama.decode(tokens[:, position], at, position + 1, cache.keys, cache.values)
    assert error(logits, trio.logits(tokens)[:, -1]) <= TOLERANCE


def test_decode_leaves_the_other_slots_alone(trio: Trio) -> None:
    cache = trio.cache(slots=4)
    before = cache.keys[:, 2:].clone(), cache.values[:, 2:].clone()
    trio.scripted.decode(torch.tensor([1, 2]), torch.tensor([0, 0]), 1, cache.keys, cache.values)
    assert torch.equal(cache.keys[:, 2:], before[0])
    assert torch.equal(cache.values[:, 2:], before[1])


@dataclass
class Stream:
    """One request of the simulation."""

    left: int
    tokens: list[int]
    prompt: int
    logits: list[torch.Tensor] = field(default_factory=list)


@pytest.mark.parametrize("seed", range(3))
def test_requests_join_and_leave_at_any_step(trio: Trio, seed: int) -> None:
    """The batch stays a dense prefix: the last slot moves into a hole. No request notices the others."""
    dice, cache = random.Random(seed), trio.cache(slots=5, length=64)
    running: list[Stream] = []
    finished = moved = 0
    for _ in range(60):
        while len(running) < 5 and dice.random() < 0.4:
            prompt = dice.randint(1, 40)
            stream = Stream(dice.randint(1, 15), [dice.randrange(VOCAB) for _ in range(prompt)], prompt)
            stream.logits.append(prefill(trio, cache, len(running), stream.tokens))
            running.append(stream)
        if not running:
            continue
        positions = torch.tensor([len(stream.tokens) for stream in running])
        for stream in running:
            stream.tokens.append(dice.randrange(VOCAB))
            stream.left -= 1
        inputs = torch.tensor([stream.tokens[-1] for stream in running])
        span = int(positions.max()) + 1
        logits = trio.scripted.decode(inputs, positions, span, cache.keys, cache.values)
        for row, stream in enumerate(running):
            stream.logits.append(logits[row])
        for slot in reversed(range(len(running))):
            if running[slot].left <= 0:
                done, last = running[slot], running.pop()
                wanted = trio.logits(torch.tensor([done.tokens]))[0, done.prompt - 1 :]
                assert error(torch.stack(done.logits), wanted) <= TOLERANCE
                finished += 1
                if slot < len(running):
                    cache.move(len(running), slot, len(last.tokens))
                    running[slot] = last
                    moved += 1
    assert finished > 5
    assert moved > 1
