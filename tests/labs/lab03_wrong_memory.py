"""Plausible wrong answers to 3.10."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_SIGNATURE = "def kv_bytes(config, tokens, bytes_per_value):\n"
_SLOT = "kv_bytes(config, length, bytes_per_value)"


def _kv(text: str) -> str:
    return f"{_SIGNATURE}    return {text}\n"


def _fit(text: str) -> str:
    return (
        f"def slots_that_fit(config, memory, weights, length, bytes_per_value):\n"
        f"    slot = {_SLOT}\n    return {text}\n"
    )


def _speed(text: str) -> str:
    return (
        "def tokens_per_second(config, bandwidth, weights, requests, length, bytes_per_value):\n"
        f"    cache = {_SLOT}\n    return {text}\n"
    )


MEMORY: dict[str, list[WrongAnswer]] = {
    "3.10": [
        WrongAnswer(
            "keys only",
            _kv("config.layers * config.kv_heads * config.head_dim * tokens * bytes_per_value"),
            "keys *and* values",
        ),
        WrongAnswer(
            "one layer",
            _kv("2 * config.kv_heads * config.head_dim * tokens * bytes_per_value"),
            "Each layer has a cache of its own",
        ),
        WrongAnswer(
            "all heads",
            _kv("2 * config.layers * config.heads * config.head_dim * tokens * bytes_per_value"),
            "Grouped queries share keys and values",
        ),
        WrongAnswer(
            "hidden size",
            _kv("2 * config.layers * config.hidden_size * tokens * bytes_per_value"),
            "is the width between layers",
        ),
        WrongAnswer(
            "numbers, not bytes",
            _kv("2 * config.layers * config.kv_heads * config.head_dim * tokens"),
            "That counts numbers, not bytes",
        ),
        WrongAnswer(
            "in bits",
            _kv("16 * config.layers * config.kv_heads * config.head_dim * tokens * bytes_per_value"),
            "That is in bits",
        ),
        WrongAnswer("weights forgotten", _fit("memory // slot"), "The weights lie in the same memory"),
        WrongAnswer("negative", _fit("(memory - weights) // slot"), "no slot is negative"),
        WrongAnswer(
            "rounded up", _fit("max(0, -(-(memory - weights) // slot))"), "fits in part does not fit"
        ),
        WrongAnswer("not whole", _fit("max(0, (memory - weights) / slot)"), "Slots are whole"),
        WrongAnswer(
            "weights per slot", _fit("memory // (weights + slot)"), "The weights are there once, whatever"
        ),
        WrongAnswer(
            "one token per step",
            _speed("bandwidth / (weights + requests * cache)"),
            "one token for *each* request",
        ),
        WrongAnswer(
            "one cache",
            _speed("requests * bandwidth / (weights + cache)"),
            "reads the cache of *every* request",
        ),
        WrongAnswer(
            "weights for each request",
            _speed("bandwidth / (weights + cache)"),
            "The weights are read once per step",
        ),
        WrongAnswer("no cache", _speed("requests * bandwidth / weights"), "A step also reads the cache"),
        WrongAnswer(
            "seconds", _speed("(weights + requests * cache) / bandwidth"), "That is the time of one step"
        ),
    ],
}
