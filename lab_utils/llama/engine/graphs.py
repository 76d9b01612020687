"""Decode steps of a few fixed sizes, so that each can be captured once as a CUDA graph and replayed.

Launching the kernels of one decode step takes the processor longer than running them takes the GPU. A
captured graph is launched as a whole. Its shapes and addresses are fixed: a step is padded to the next
larger number of rows and the next longer span for which there is a graph.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lab_utils.llama.cache import KVCache

Step = Callable[[], Tensor]
Capture = Callable[[Step], Step]
"""Takes a step that reads and writes fixed tensors; returns something that does the same when called."""
_log = logging.getLogger(__name__)


def row_buckets(slots: int) -> list[int]:
    """Batch sizes to capture: 1, 2, 4, 8, then every 8 (every 16 above 64), and `slots` itself.

    Padding rows cost little where weights are what a step reads, so half as many again is close enough.
    """
    sizes = [1, 2, 4, *range(8, 64, 8), *range(64, slots + 16, 16)]
    return [size for size in sizes if size < slots] + [slots]


def span_buckets(length: int, first: int = 256) -> list[int]:
    """Spans to capture: `first`, doubled up to the length of a slot, and that length itself."""
    spans = []
    while first < length:
        spans.append(first)
        first *= 2
    return [*spans, length]


def bucket(sizes: Sequence[int], size: int) -> int:
    """The smallest of `sizes` (rising) that is at least `size`."""
    return sizes[bisect_left(sizes, size)]


class BucketedDecode:
    """Decode steps padded to fixed sizes.

    A padding row stands for a slot that no request decodes in. It writes one key at the end of the span
    there, which nobody reads: whoever gets that slot later writes over it first. A long prompt that is
    being read stands in a slot behind all that are decoded, out of reach.

    Args:
        decode: `Llama.decode`.
        cache: The cache, whose tensors never move.
        slots: Most rows of a step.
        capture: `cuda_capture`, or a function that returns the step itself (for tests without a GPU).
    """

    def __init__(self, decode: Callable[..., Tensor], cache: KVCache, slots: int, capture: Capture) -> None:
        self._decode, self._cache, self._capture = decode, cache, capture
        self.rows = row_buckets(slots)
        self.spans = span_buckets(cache.length)
        device = cache.keys.device
        # One row of numbers per input, so that one copy brings both to the device.
        self._inputs = torch.zeros(2, slots, dtype=torch.int64, device=device)
        self._staged = torch.zeros(2, slots, dtype=torch.int64)
        if device.type == "cuda":
            self._staged = self._staged.pin_memory()
        self._steps: dict[tuple[int, int], Step] = {}

    def warm_up(self) -> None:
        """Capture every size, the largest first: later graphs then reuse its memory."""
        for span in reversed(self.spans):
            for rows in reversed(self.rows):
                self._inputs.zero_()
                self._steps[rows, span] = self._capture(self._step(rows, span))

    def __call__(self, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        """One step; like `Llama.decode`.

        Args:
            tokens: One token per slot, for a dense prefix of the slots.
            positions: Where each goes.

        Returns:
            float32 `[len(tokens), vocab]`; the next call overwrites it.
        """
        count = len(tokens)
        rows, span = bucket(self.rows, count), bucket(self.spans, max(positions) + 1)
        padding = rows - count
        self._staged[0, :rows] = torch.tensor([*tokens, *[0] * padding])
        self._staged[1, :rows] = torch.tensor([*positions, *[span - 1] * padding])
        self._inputs[:, :rows].copy_(self._staged[:, :rows], non_blocking=True)
        return self._steps[rows, span]()[:count]

    def _step(self, rows: int, span: int) -> Step:
        tokens, positions = self._inputs[0, :rows], self._inputs[1, :rows]
        return lambda: self._decode(tokens, positions, span, self._cache.keys, self._cache.values)


def cuda_capture() -> Capture:
    """A function that captures steps as CUDA graphs, all with one pool of memory.

    Raises (when it is called): RuntimeError, if something in the step cannot be captured.
    """
    pool: Any = torch.cuda.graph_pool_handle()

    def capture(step: Step) -> Step:
        # Before a capture everything must have run once on a stream of its own: libraries take their
        # workspaces then (PyTorch's notes on CUDA graphs).
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            logits = step()

        def replay() -> Tensor:
            graph.replay()
            return logits

        return replay

    return capture


def graphed_decode(decode: Callable[..., Tensor], cache: KVCache, slots: int) -> BucketedDecode | None:
    """Decode under CUDA graphs; None, with a message in the log, where that does not work."""
    try:
        steps = BucketedDecode(decode, cache, slots, cuda_capture())
        steps.warm_up()
    except RuntimeError as error:  # includes torch.OutOfMemoryError
        _log.warning("Decoding without CUDA graphs, which is slower: %s", error)
        return None
    _log.info("Decode steps captured as CUDA graphs: rows %s, spans %s", steps.rows, steps.spans)
    return steps
