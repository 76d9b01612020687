"""Llama-2-7B beside the small Llama: by arithmetic always, measured where weights and a GPU are there."""

from __future__ import annotations

import os

import torch

from lab_utils.llama.config import LlamaConfig, read_config
from lab_utils.llama.memory import (
    kv_bytes_per_token,
    measure_memory,
    memory_table,
    predict_memory,
    weight_count,
)
from lab_utils.llama.source import ENVIRONMENT, SMALL, find_llama

SEVEN = LlamaConfig(
    vocab_size=32000,
    hidden_size=4096,
    intermediate_size=11008,
    layers=32,
    heads=32,
    kv_heads=32,
    head_dim=128,
    max_positions=4096,
)
"""The shape of Llama-2-7B (arXiv:2307.09288; `config.json` of meta-llama/Llama-2-7b-hf)."""

BANDWIDTHS = {"H200": 4.8e12, "A100 80 GB": 2.0e12, "two channels of DDR5-4800": 76.8e9}
"""Bytes per second between memory and processor, by the makers' data sheets."""

_TOKENS = 512


def bound(config: LlamaConfig, bandwidth: float, requests: int, tokens: int) -> float:
    """Most tokens per second that the bandwidth allows, in bfloat16.

    A decode step reads all weights once and the cache of each request, and makes one token for each. The
    embedding is counted in, although only one row of it is read: less than 2 % of Llama-2-7B.

    Args:
        config: The shape.
        bandwidth: Bytes per second.
        requests: Requests that are decoded together.
        tokens: Tokens that each one has cached.
    """
    weights = 2 * weight_count(config)
    return requests * bandwidth / (weights + requests * tokens * kv_bytes_per_token(config, torch.bfloat16))


def why_not_measured() -> str:
    """Why no Llama but the small one can be measured here; empty when it can."""
    name = os.environ.get(ENVIRONMENT, "").strip()
    if not name or name == SMALL:
        return f"{ENVIRONMENT} names no weights (a folder, or a hub id such as meta-llama/Llama-2-7b-hf)."
    return "" if torch.cuda.is_available() else f"{name} is named, but PyTorch sees no GPU."


def seven_billion(slots: int = 16, length: int = 4096) -> str:
    """What Llama-2-7B in bfloat16 takes and how fast it can be, as text; then what was measured, or SKIP.

    Args:
        slots: Requests together; the engine takes one slot more for reading prompts.
        length: Tokens per slot.

    Raises:
        LlamaError: LLAMA_MODEL names something that cannot be read.
    """
    lines = [
        f"Llama-2-7B, bfloat16, {slots} + 1 slots of {length:,} tokens, by arithmetic, in MB:",
        memory_table(predict_memory(SEVEN, slots + 1, length, torch.bfloat16)),
        f"Most tokens per second with {_TOKENS} cached tokens each:",
    ]
    for name, bandwidth in BANDWIDTHS.items():
        bounds = ", ".join(f"{bound(SEVEN, bandwidth, n, _TOKENS):,.0f} for {n}" for n in (1, 16, 64))
        lines.append(f"  {name:<26} {bounds} requests")
    reason = why_not_measured()
    if reason:
        return "\n".join([*lines, f"SKIP, measured: {reason}"])
    folder = find_llama()
    predicted = predict_memory(read_config(folder), slots + 1, length, torch.bfloat16)
    measured = measure_memory(folder, slots + 1, length, torch.bfloat16, device="cuda")
    return "\n".join([*lines, f"Measured, {folder.name}, in MB:", memory_table(predicted, measured)])
