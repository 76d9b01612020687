"""Load a Llama, take a cache, read a prompt, and print what each step took. Run by `measure_memory`."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.profiler import ProfilerActivity, profile

from lab_utils.llama.cache import KVCache
from lab_utils.llama.config import LlamaConfig, read_config
from lab_utils.llama.model import Llama
from lab_utils.llama.weights import load_llama

_TINY = LlamaConfig(64, 64, 128, layers=1, heads=2, kv_heads=1, head_dim=32, max_positions=512)


def probe(wish: dict[str, Any]) -> dict[str, int]:
    """Measure; the keys are the fields of `Memory`.

    The tables of RoPE are made together with the weights and cannot be told from them in a process's
    memory, so that their exact size is taken off.
    """
    dtype, device = getattr(torch, wish["dtype"]), wish["device"]
    cuda = torch.device(device).type == "cuda"
    config = read_config(Path(wish["folder"]))
    # One thread: each one has work space of its own.
    torch.set_num_threads(1)
    with torch.inference_mode():
        _read(Llama(_TINY, dtype, device), KVCache.empty(_TINY, 2, 64, dtype, device), 64)
        gc.collect()
        start = _used(cuda)
        llama = load_llama(wish["folder"], dtype, device)
        gc.collect()
        loaded = _used(cuda)
        cache = KVCache.empty(config, wish["slots"], wish["length"], dtype, device)
        ready = _used(cuda)
        working = _peak(lambda: _read(llama, cache, wish["prompt_tokens"]), cuda)
    tables = llama.cos.nbytes + llama.sin.nbytes
    return {
        "weights": loaded - start - tables,
        "tables": tables,
        "kv": ready - loaded,
        "working": working,
    }


def _read(llama: Llama, cache: KVCache, length: int) -> None:
    device = cache.keys.device
    tokens = torch.ones(1, length, dtype=torch.int64, device=device)
    last, slots = tokens[0, :1] * (length - 1), tokens[0, :1] - 1
    llama.prefill(tokens, last, slots, cache.keys, cache.values)


def _used(cuda: bool) -> int:
    return torch.cuda.memory_allocated() if cuda else psutil.Process().memory_info().rss


def _peak(action: Callable[[], None], cuda: bool) -> int:
    """The most bytes that PyTorch's allocator had given out at one time during an action."""
    if cuda:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        action()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        action()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    return max(accumulate(event.nbytes() for event in events))


if __name__ == "__main__":
    print(json.dumps(probe(json.loads(sys.argv[1]))))
