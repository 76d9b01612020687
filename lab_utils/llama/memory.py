"""The memory of a Llama that is served: what the formulas say, and what a real one takes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lab_utils.llama.config import LlamaConfig, LlamaError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SECONDS = 600
_MEANING = {
    "weights": "weights",
    "tables": "cosines and sines of RoPE",
    "kv": "keys and values of all slots",
    "working": "reading one prompt: activations, logits",
}
_COLOURS = ("#3182bd", "#9ecae1", "#e6550d", "#31a354")


@dataclass(frozen=True)
class Memory:
    """Memory by what it is for, in bytes.

    Attributes:
        weights: All parameters, embeddings included.
        tables: The precomputed cosines and sines.
        kv: The key/value cache: all slots, full or not.
        working: What reading a prompt needs on top, at its peak.
    """

    weights: int
    tables: int
    kv: int
    working: int

    @property
    def total(self) -> int:
        """All of it, while a prompt is read."""
        return self.weights + self.tables + self.kv + self.working


def weight_count(config: LlamaConfig) -> int:
    """Number of parameters, from the shapes of the matrices.

    Per layer: query and output `hidden x heads*head_dim` each, key and value `hidden x kv_heads*head_dim`
    each, gate, up and down `hidden x intermediate` each, two norms. Around them: the embedding, the last
    norm and, unless it is tied to the embedding, the output projection. Llama-2-7B: 6,738,415,616.
    """
    attention = 2 * config.hidden_size * config.head_dim * (config.heads + config.kv_heads)
    layer = attention + 3 * config.hidden_size * config.intermediate_size + 2 * config.hidden_size
    tables = config.vocab_size * config.hidden_size * (1 if config.tie_embeddings else 2)
    return config.layers * layer + config.hidden_size + tables


def kv_bytes_per_token(config: LlamaConfig, dtype: torch.dtype = torch.float32) -> int:
    """Cache of one token in one slot: a key and a value of `kv_heads * head_dim` numbers in every layer.

    Llama-2-7B in bfloat16: 524,288 bytes. Its weights are read once per step for the whole batch; this
    is read for every token of every request.
    """
    return 2 * config.layers * config.kv_heads * config.head_dim * dtype.itemsize


def predict_memory(
    config: LlamaConfig,
    slots: int,
    length: int,
    dtype: torch.dtype = torch.float32,
    prompt_tokens: int = 256,
) -> Memory:
    """What a served Llama takes, by formula.

    `working` is the larger of two moments of `Llama.prefill` with one prompt of T tokens. In the
    feed-forward part of a layer these live at once, for each token: the residual twice, attention's
    output, query, key and value before and after the rotation, gate and up, silu(gate) and the product.
    At the end the logits of one token (in `dtype` and in float32) come on top of residual, query, key
    and value.

    Args:
        config: The shape.
        slots: Slots of the cache.
        length: Tokens per slot.
        dtype: Of weights, cache and arithmetic.
        prompt_tokens: Tokens read in one go.
    """
    # Query, key and value before the rotation; query and key after it.
    turned = (2 * config.heads + 3 * config.kv_heads) * config.head_dim
    attended = config.heads * config.head_dim
    layer = 2 * config.hidden_size + turned + attended + 4 * config.intermediate_size
    end = config.hidden_size + turned
    logits = config.vocab_size * (4 if dtype == torch.float32 else dtype.itemsize + 4)
    return Memory(
        weights=weight_count(config) * dtype.itemsize,
        tables=2 * config.max_positions * config.head_dim * dtype.itemsize,
        kv=kv_bytes_per_token(config, dtype) * slots * length,
        working=max(prompt_tokens * layer * dtype.itemsize, prompt_tokens * end * dtype.itemsize + logits),
    )


def measure_memory(
    folder: Path,
    slots: int,
    length: int,
    dtype: torch.dtype = torch.float32,
    prompt_tokens: int = 256,
    device: str = "cpu",
) -> Memory:
    """What a real Llama takes, in a process of its own.

    On the CPU `weights` and `kv` are the growth of the process's resident set (RSS), which counts about
    1 MB of everything around the weights as well. On CUDA they are bytes of PyTorch's allocator, and
    `working` is that on both. Libraries do their one-time allocations before the first reading.

    Args:
        folder: The Llama.
        slots: Slots of the cache.
        length: Tokens per slot.
        dtype: Of weights, cache and arithmetic.
        prompt_tokens: Tokens read in one go; at most `length`.
        device: `cpu` or `cuda`.

    Raises:
        LlamaError: The process failed, for example because the memory was not there.
    """
    if prompt_tokens > length:
        raise LlamaError(f"A prompt of {prompt_tokens} tokens does not fit into a slot of {length}.")
    wish = {
        "folder": str(folder),
        "slots": slots,
        "length": length,
        "dtype": str(dtype).removeprefix("torch."),
        "prompt_tokens": prompt_tokens,
        "device": device,
    }
    done = subprocess.run(
        [sys.executable, "-m", "lab_utils.llama.memory_probe", json.dumps(wish)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise LlamaError(
            f"The Llama in {folder} could not be measured (exit code {done.returncode}).",
            why="The system ended the process: memory was short." if done.returncode == -9 else "",
            fix="Ask for fewer slots or a shorter length.",
            details=done.stderr[-2000:],
        )
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def memory_table(predicted: Memory, measured: Memory | None = None) -> str:
    """Predicted and measured bytes as text, one line per part, in MB (10**6 bytes)."""
    lines = [f"{'':<42}{'predicted':>12}" + (f"{'measured':>12}{'difference':>12}" if measured else "")]
    for name, meaning in [*_MEANING.items(), ("total", "together")]:
        line = f"{meaning:<42}{_mb(getattr(predicted, name))}"
        if measured is not None:
            found, wanted = getattr(measured, name), getattr(predicted, name)
            line += f"{_mb(found)}{100 * (found - wanted) / wanted:>+10.1f} %"
        lines.append(line.rstrip())
    return "\n".join(lines)


def draw_memory(memories: dict[str, Memory], limit: int | None = None) -> Figure:
    """Draw one bar per entry, made of its parts.

    Args:
        memories: For example `{"predicted": ..., "measured": ...}`, or one entry per setting.
        limit: Memory of the device in bytes, drawn as a line.
    """
    from lab_utils.models.picture import Picture

    figure = Picture(figsize=(7, 1.3 + 0.45 * len(memories)), layout="constrained")
    axes = figure.subplots()
    names = list(memories)
    left = [0.0] * len(names)
    for field, colour in zip(fields(Memory), _COLOURS, strict=True):
        widths = [getattr(memories[name], field.name) / 1e6 for name in names]
        axes.barh(names, widths, left=left, color=colour, label=_MEANING[field.name])
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for row, end in enumerate(left):
        axes.annotate(f"{end:,.1f}", (end, row), textcoords="offset points", xytext=(4, -3), fontsize=9)
    if limit is not None:
        axes.axvline(limit / 1e6, color="black", linestyle="--")
        axes.annotate(f"memory {limit / 1e6:,.0f}", (limit / 1e6, -0.45), ha="right", fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max([*left, (limit or 0) / 1e6]))
    axes.set_xlabel("MB (10$^6$ bytes)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def _mb(size: int) -> str:
    return f"{size / 1e6:>12,.2f}"
