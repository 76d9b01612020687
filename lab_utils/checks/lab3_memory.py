"""Checkpoint 3.10: the memory of a KV cache, and the speed that memory allows."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lab_utils.checks.judging import judge_values, number
from lab_utils.progress.context import LabContext
from lab_utils.progress.registry import Verdict, checkpoint, passed, skipped

if TYPE_CHECKING:
    from lab_utils.llama import LlamaConfig

NO_TORCH = skipped(
    "PyTorch is not installed, so there is no Llama to compare with",
    "Install it with `pip install -e '.[torch]' -c constraints.txt`, then check again.",
)


def has_torch() -> bool:
    """Whether PyTorch and Hugging Face transformers can be imported."""
    return all(importlib.util.find_spec(name) for name in ("torch", "transformers"))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, as in the notebook.

    On a busy machine the threads of one operation wait for each other: twenty greedy tokens of the small
    Llama took 30 times as long with two threads as with one.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def random_config(ctx: LabContext) -> LlamaConfig:
    """The shape of a small Llama that nobody knows: fewer key heads than heads, heads of odd width."""
    from dataclasses import replace

    from lab_utils.llama import read_config, small_llama

    kv_heads = int(ctx.rng.integers(2, 5))
    return replace(
        read_config(small_llama()),
        layers=int(ctx.rng.integers(3, 9)),
        kv_heads=kv_heads,
        heads=kv_heads * int(ctx.rng.integers(2, 5)),
        head_dim=int(ctx.rng.integers(5, 20)) * 2,
        hidden_size=int(ctx.rng.integers(40, 70)) * 8,
    )


def kv_bytes(config: LlamaConfig, tokens: int, bytes_per_value: int) -> int:
    """Bytes of the keys and values of `tokens` cached tokens."""
    return 2 * config.layers * config.kv_heads * config.head_dim * tokens * bytes_per_value


def _fit(config: LlamaConfig, memory: int, weights: int, length: int, size: int) -> int:
    return max(0, (memory - weights) // kv_bytes(config, length, size))


def _speed(
    config: LlamaConfig, bandwidth: float, weights: int, requests: int, length: int, size: int
) -> float:
    return requests * bandwidth / (weights + requests * kv_bytes(config, length, size))


_KV = {
    "Attention keeps keys *and* values: twice as much.": lambda c, t, s: kv_bytes(c, t, s) // 2,
    "Each layer has a cache of its own: times `config.layers`.": (
        lambda c, t, s: kv_bytes(c, t, s) // c.layers
    ),
    "Grouped queries share keys and values: count `config.kv_heads`, not `config.heads`.": (
        lambda c, t, s: 2 * c.layers * c.heads * c.head_dim * t * s
    ),
    "`hidden_size` is the width between layers. A key has `kv_heads * head_dim` numbers.": (
        lambda c, t, s: 2 * c.layers * c.hidden_size * t * s
    ),
    "That counts numbers, not bytes: times `bytes_per_value`.": lambda c, t, s: kv_bytes(c, t, 1),
    "That is one token: times `tokens`.": lambda c, t, s: kv_bytes(c, 1, s),
    "Each key head has `head_dim` numbers per token.": lambda c, t, s: kv_bytes(c, t, s) // c.head_dim,
    "That is in bits. `bytes_per_value` is in bytes already.": lambda c, t, s: 8 * kv_bytes(c, t, s),
}

_FIT = {
    "The weights lie in the same memory: subtract them first.": lambda c, m, w, n, s: m // kv_bytes(c, n, s),
    "When the weights alone do not fit, the answer is 0: no slot is negative.": lambda c, m, w, n, s: (
        (m - w) // kv_bytes(c, n, s)
    ),
    "That is how many *tokens* fit. A slot holds `length` of them.": lambda c, m, w, n, s: max(
        0, (m - w) // kv_bytes(c, 1, s)
    ),
    "A slot that fits in part does not fit: round down, `//`.": lambda c, m, w, n, s: max(
        0, -(-(m - w) // kv_bytes(c, n, s))
    ),
    "Slots are whole: `//`, not `/`.": lambda c, m, w, n, s: max(0, (m - w) / kv_bytes(c, n, s)),
    "The weights are there once, whatever the number of slots.": lambda c, m, w, n, s: max(
        0, m // (w + kv_bytes(c, n, s))
    ),
}

_SPEED = {
    "A step makes one token for *each* request: times `requests`.": lambda c, b, w, r, n, s: (
        b / (w + r * kv_bytes(c, n, s))
    ),
    "A step reads the cache of *every* request, not of one.": lambda c, b, w, r, n, s: (
        r * b / (w + kv_bytes(c, n, s))
    ),
    "The weights are read once per step, for all requests together. That is why batching pays.": (
        lambda c, b, w, r, n, s: b / (w + kv_bytes(c, n, s))
    ),
    "A step also reads the cache: all keys and values so far.": lambda c, b, w, r, n, s: r * b / w,
    "That counts the cache without the weights.": lambda c, b, w, r, n, s: b / kv_bytes(c, n, s),
    "That is the time of one step in seconds. Tokens per second is requests divided by it.": (
        lambda c, b, w, r, n, s: (w + r * kv_bytes(c, n, s)) / b
    ),
    "The cache holds `length` tokens of each request, not one.": lambda c, b, w, r, n, s: (
        r * b / (w + r * kv_bytes(c, 1, s))
    ),
}


def _shape(config: LlamaConfig) -> str:
    return (
        f"{config.layers} layers, {config.heads} heads, {config.kv_heads} key heads of {config.head_dim}, "
        f"hidden size {config.hidden_size}"
    )


def _judge_kv(ctx: LabContext, function: Any) -> None:
    """Compare with the memory that a real cache takes."""
    import torch

    from lab_utils.llama import KVCache

    cases: list[tuple[LlamaConfig, int, int]] = []
    for size in (4, 2, 4):
        cases.append((random_config(ctx), int(ctx.rng.integers(30, 90)), size))

    def measured(config: LlamaConfig, tokens: int, size: int) -> int:
        dtype = torch.float32 if size == 4 else torch.bfloat16
        cache = KVCache.empty(config, 1, tokens, dtype, torch.device("cpu"))
        return sum(tensor.numel() * tensor.element_size() for tensor in (cache.keys, cache.values))

    judge_values(
        ctx, function, cases, measured, _KV,
        read=number, show=lambda c, t, s: f"{_shape(c)}, {t} tokens, {s} bytes each: a real cache takes",
        otherwise="Keys and values, in each layer, for each key head, `head_dim` numbers per token.",
    )  # fmt: skip


def _judge_fit(ctx: LabContext, function: Any) -> None:
    cases = []
    for size in (4, 2):
        config, length = random_config(ctx), int(ctx.rng.integers(100, 400))
        slot = kv_bytes(config, length, size)
        weights, slots = int(ctx.rng.integers(5, 9)) * slot + 1, int(ctx.rng.integers(12, 40))
        cases.append((config, weights + slots * slot + slot // 2, weights, length, size))
        cases.append((config, weights + slots * slot, weights, length, size))  # full to the last byte
    cases.append((config, weights // 2, weights, length, size))  # not even the weights fit
    judge_values(
        ctx, function, cases, _fit, _FIT, read=number,
        show=lambda c, m, w, n, s: f"memory of {m} bytes, weights of {w}, slots of {kv_bytes(c, n, s)}",
        otherwise="What is left beside the weights, divided by the bytes of one slot, rounded down.",
    )  # fmt: skip


def _judge_speed(ctx: LabContext, function: Any) -> None:
    cases = []
    for size in (2, 4, 2):
        config, length = random_config(ctx), int(ctx.rng.integers(100, 400))
        weights = kv_bytes(config, length, size) * int(ctx.rng.integers(3, 9))
        requests, bandwidth = int(ctx.rng.integers(2, 30)), float(ctx.rng.integers(100, 5000)) * 1e9
        cases.append((config, bandwidth, weights, requests, length, size))
    judge_values(
        ctx, function, cases, _speed, _SPEED,
        read=number, show=lambda c, b, w, r, n, s: (
            f"{b / 1e9:g} GB/s, weights of {w} bytes, {r} requests with caches of {kv_bytes(c, n, s)} bytes"
        ),
        otherwise="Bytes per step: the weights once, the cache of each request. Tokens per step: `requests`.",
    )  # fmt: skip


@checkpoint(
    "3.10", title="What fits, and how fast it can be", points=4, minutes=8, difficulty=2,
    answers=("kv_bytes", "slots_that_fit", "tokens_per_second"), needs_server=False,
)  # fmt: skip
def check_memory(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Llamas of fresh shapes; the bytes are those of real tensors."""
    if not has_torch():
        return NO_TORCH
    _judge_kv(ctx, answers["kv_bytes"])
    _judge_fit(ctx, answers["slots_that_fit"])
    _judge_speed(ctx, answers["tokens_per_second"])
    return passed("your bytes are those of a real cache, and the two bounds follow from them")
