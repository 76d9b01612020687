"""The designs for serving a Llama, one after the other under the same load, and the engine held back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab_utils.load.generation import run_generation
from lab_utils.load.generation_result import GenerationResult

if TYPE_CHECKING:
    from lab_utils.server.base import Server

DESIGNS = {"llama_hf": "grpc", "llama_hf_batched": "grpc", "llama": "stream"}
"""Model → protocol, slowest first."""


def compare_designs(
    server: Server, prompts: Sequence[str], lengths: Sequence[int], *, together: int = 16
) -> dict[str, GenerationResult]:
    """Put the same requests on each design, with answers of the same lengths.

    Args:
        server: A server that has loaded the models of `DESIGNS`.
        prompts: At least as many as `lengths`.
        lengths: Tokens of each answer; end tokens are passed over.
        together: Requests in flight.
    """
    return {
        model: run_generation(
            server,
            model,
            prompts[: len(lengths)],
            max_tokens=lengths,
            protocol=protocol,
            concurrency=together,
            requests=len(lengths),
            warmup=0.5,
            ignore_eos=True,
            progress=False,
        )
        for model, protocol in DESIGNS.items()
    }


def in_static_batches(
    server: Server, prompts: Sequence[str], lengths: Sequence[int], *, together: int = 16
) -> float:
    """Tokens per second of the engine when it is made to wait: no batch before the last one is done.

    The same engine and the same steps as with continuous batching; only who may join is another.

    Args:
        server: A server that has loaded `llama`.
        prompts: At least as many as `lengths`.
        lengths: Tokens of each answer.
        together: Requests of a batch; at most the engine's slots.
    """
    seconds = 0.0
    for start in range(0, len(lengths), together):
        batch = list(lengths[start : start + together])
        seconds += run_generation(
            server,
            "llama",
            prompts[start : start + len(batch)],
            max_tokens=batch,
            concurrency=len(batch),
            requests=len(batch),
            warmup=0.0,
            ignore_eos=True,
            progress=False,
        ).seconds
    return sum(lengths) / seconds
