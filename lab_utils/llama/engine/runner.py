"""The computation: a Llama and its cache, behind calls that take plain lists."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lab_utils.llama.cache import KVCache
from lab_utils.llama.config import LlamaConfig, read_config
from lab_utils.llama.engine.errors import EngineError
from lab_utils.llama.engine.graphs import graphed_decode
from lab_utils.llama.engine.room import check_room
from lab_utils.llama.script import scripted
from lab_utils.llama.weights import load_llama

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_log = logging.getLogger(__name__)


class Runner:
    """Loads a model and runs its steps. Used by one thread.

    On a CPU the steps are TorchScript, which runs without Python's lock; on a GPU decode steps are CUDA
    graphs. The cache has one slot more than asked for, the last: long prompts are read there.

    Args:
        folder: A Hugging Face folder with a Llama.
        slots: Requests that are decoded together.
        max_length: Tokens per slot.
        dtype: `auto` is bfloat16 on a GPU and float32 on a CPU.
        device: `auto` is the first GPU, or the CPU where there is none.

    Raises:
        LlamaError: The folder holds no Llama.
        EngineError: The model does not fit, or a setting is wrong.
    """

    def __init__(self, folder: Path, slots: int, max_length: int, dtype: str, device: str) -> None:
        self.config: LlamaConfig = read_config(folder)
        self.slots, self.reading_slot = slots, slots
        self.device = _device(device)
        self.dtype = _dtype(dtype, self.device)
        if max_length > self.config.max_positions:
            raise EngineError(
                f"max_length is {max_length:,}; the model was made for {self.config.max_positions:,} tokens.",
                why="Behind its last position a model answers nonsense.",
                fix=f"Set max_length to {self.config.max_positions:,} or less.",
            )
        self.room = check_room(self.config, slots + 1, max_length, self.dtype, self.device)
        model = load_llama(folder, self.dtype, self.device)
        self.cache = KVCache.empty(self.config, slots + 1, max_length, self.dtype, self.device)
        # Eager on the GPU: there the graphs take Python out of the step.
        self._model: Any = scripted(model) if self.device.type == "cpu" else model
        self._graphs: Any = None

    def warm_up(self, threads: int) -> None:
        """Compile and capture, so that the first requests do not pay for it.

        Args:
            threads: Threads of one operator on the CPU. This and the current GPU are settings of the calling
                thread, so the thread that computes calls this.
        """
        torch.set_num_threads(threads)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            self._graphs = graphed_decode(self._model.decode, self.cache, self.slots)
        short = min(8, self.cache.length)
        rows = min(2, self.slots)
        # TorchScript watches the first two runs and compiles on the next.
        for _ in range(3):
            self.prefill([[0] * short] * rows, list(range(rows)))
            self.extend([0] * short, 0)
            self.decode([0] * rows, [short - 1] * rows)

    def prefill(self, prompts: Sequence[Sequence[int]], slots: Sequence[int]) -> Tensor:
        """Read whole prompts into slots; returns float32 `[B, vocab]`, the logits after each."""
        longest = max(map(len, prompts))
        tokens = torch.tensor([[*p, *[0] * (longest - len(p))] for p in prompts])
        last = torch.tensor([len(p) - 1 for p in prompts])
        return self._model.prefill(
            tokens.to(self.device),
            last.to(self.device),
            torch.tensor(list(slots)).to(self.device),
            self.cache.keys,
            self.cache.values,
        )

    def extend(self, tokens: Sequence[int], start: int) -> Tensor:
        """Read a piece of a long prompt in the reading slot; returns float32 `[vocab]`."""
        piece = torch.tensor(list(tokens)).to(self.device)
        return self._model.extend(piece, self.reading_slot, start, self.cache.keys, self.cache.values)

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        """One step for the first slots; returns float32 `[B, vocab]`, good until the next call."""
        if self._graphs is not None:
            return self._graphs(tokens, positions)
        inputs = torch.tensor([tokens, positions]).to(self.device)
        return self._model.decode(
            inputs[0], inputs[1], max(positions) + 1, self.cache.keys, self.cache.values
        )

    def move(self, source: int, target: int, length: int) -> None:
        """Copy `length` tokens of a slot to another one."""
        self.cache.move(source, target, length)

    def describe(self) -> str:
        """One line for the log: what was loaded and what it takes."""
        mib, room = 2**20, self.room
        return (
            f"Llama of {room.weights // self.dtype.itemsize:,} weights on {self.device}, "
            f"{str(self.dtype).removeprefix('torch.')}: weights {room.weights / mib:,.1f} MiB, "
            f"KV cache {self.cache.bytes / mib:,.1f} MiB = {self.slots}+1 slots x {self.cache.length:,} "
            f"tokens x {room.kv_per_token:,} bytes; {room.available / mib:,.0f} MiB were free"
        )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise EngineError(
            f"device is {name!r}; it must be auto, cpu, cuda or cuda:N.",
            fix="Change device, or leave it out.",
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(
            f"device is {name!r}, but PyTorch sees {torch.cuda.device_count()} CUDA devices.",
            why="There is no such GPU, its driver is missing, or this PyTorch was built for the CPU alone.",
            fix="Set device to cpu, or to auto: it takes a GPU where there is one.",
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise EngineError(
            f"dtype is {name!r}; it must be auto, {', '.join(DTYPES)}.", fix="Change dtype, or leave it out."
        )
    return DTYPES[name]
