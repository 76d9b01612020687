"""The designs for serving a Llama, one after the other under the same load, and the engine held back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Queue
from typing import TYPE_CHECKING, Any

import numpy as np
import tritonclient.grpc as grpcclient

from lab_utils.load.crew import LoadError
from lab_utils.load.generation import run_generation
from lab_utils.load.generation_result import GenerationResult

if TYPE_CHECKING:
    from lab_utils.server.base import Server

ENGINE = "llama"

DESIGNS = {"llama_hf": ("grpc", 4), "llama_hf_batched": ("grpc", 2), ENGINE: ("stream", 1)}
"""Model → protocol, and how many times fewer requests it gets; slowest first.

A quarter of the requests tells how fast the slowest one is: each takes as long as the one before.
"""

_SECONDS = 120.0
"""The longest wait for a single response of the engine."""


def compare_designs(
    server: Server, prompts: Sequence[str], lengths: Sequence[int], *, together: int = 16
) -> dict[str, GenerationResult]:
    """Put the same load on each design; the slow ones get the first part of the requests.

    Args:
        server: A server that has loaded the models of `DESIGNS`.
        prompts: Sent in turn.
        lengths: Tokens of each answer; end tokens are passed over. A quarter of them should be like all.
        together: Requests in flight.

    Returns:
        By model, slowest first.

    Raises:
        LoadError: A model is not loaded or cannot be asked.
    """
    asked = _in_turn(prompts, len(lengths))
    found = {}
    for model, (protocol, part) in DESIGNS.items():
        count = min(max(together, len(lengths) // part), len(lengths))
        found[model] = run_generation(
            server,
            model,
            asked[:count],
            max_tokens=lengths[:count],
            protocol=protocol,
            concurrency=together,
            requests=count,
            warmup=0.5,
            ignore_eos=True,
            progress=False,
        )
    return found


@dataclass(frozen=True)
class EngineAlone:
    """Tokens per second of the engine in two ways of batching.

    Attributes:
        continuous: As it is: a request joins the batch as soon as a slot is free.
        static: Held back: nobody joins before all of a batch are answered.
    """

    continuous: float
    static: float

    @property
    def gain(self) -> float:
        """How many times as fast continuous batching is."""
        return self.continuous / self.static

    def __str__(self) -> str:
        return (
            f"The engine alone: {self.continuous:,.0f} tokens/s in continuous batches, {self.static:,.0f} in "
            f"static ones: {self.gain:.1f} times."
        )


def engine_alone(
    server: Server, prompts: Sequence[str], lengths: Sequence[int], *, together: int = 16
) -> EngineAlone:
    """The same engine, steps and client with continuous batching, then held back to static batches.

    Args:
        server: A server that has loaded `llama`.
        prompts: Sent in turn.
        lengths: Tokens of each answer; end tokens are passed over.
        together: Requests in flight, or in a batch; at most the engine's slots.

    Raises:
        LoadError: A request failed.
    """
    requests = [
        _inputs(prompt, length)
        for prompt, length in zip(_in_turn(prompts, len(lengths)), lengths, strict=True)
    ]
    seconds = [_answer_all(server, requests, together, static=static) for static in (False, True)]
    return EngineAlone(*(sum(lengths) / each for each in seconds))


def _answer_all(
    server: Server, requests: Sequence[list[grpcclient.InferInput]], together: int, *, static: bool
) -> float:
    """Seconds until all are answered, `together` in flight; static: all of a batch before the next one."""
    responses: Queue[tuple[Any, Any]] = Queue()
    with grpcclient.InferenceServerClient(server.endpoints.grpc) as client:
        client.start_stream(callback=lambda result, error: responses.put((result, error)))
        begin, sent, answered = time.perf_counter(), 0, 0
        while answered < len(requests):
            if not static or sent == answered:
                for inputs in requests[sent : answered + together]:
                    client.async_stream_infer(ENGINE, inputs, enable_empty_final_response=True)
                    sent += 1
            result, error = responses.get(timeout=_SECONDS)
            if error is not None:
                raise LoadError("The engine refused a request.", why=str(error))
            answered += result.get_response().parameters["triton_final_response"].bool_param
        return time.perf_counter() - begin


def _in_turn(prompts: Sequence[str], count: int) -> list[str]:
    return [prompts[place % len(prompts)] for place in range(count)]


def _inputs(prompt: str, length: int) -> list[grpcclient.InferInput]:
    values = {
        "text_input": ("BYTES", np.array([prompt.encode()], np.object_)),
        "max_tokens": ("INT32", np.array([length], np.int32)),
        "ignore_eos": ("BOOL", np.array([True])),
    }
    return [
        grpcclient.InferInput(name, [1], kind).set_data_from_numpy(value)
        for name, (kind, value) in values.items()
    ]
