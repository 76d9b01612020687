"""Does it fit? Memory is taken once, when the model is loaded; never while it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from lab_utils.llama.config import LlamaConfig
from lab_utils.llama.engine.errors import EngineError
from lab_utils.llama.memory import kv_bytes_per_token, weight_count

_MIB = 2**20
# What a step itself needs, and what other programs may take in the meantime.
_RESERVE = 0.05


@dataclass(frozen=True)
class Room:
    """Memory that an engine takes, in bytes.

    Attributes:
        weights: Of the model.
        kv: Of the cache, with the slot in which long prompts are read.
        kv_per_token: Of one token in one slot.
        available: What the device had when asked, before anything was loaded.
    """

    weights: int
    kv: int
    kv_per_token: int
    available: int


def check_room(
    config: LlamaConfig, slots: int, length: int, dtype: torch.dtype, device: torch.device
) -> Room:
    """Compare what the engine will take with what the device has.

    Args:
        config: Shape of the model.
        slots: Slots of the cache.
        length: Tokens per slot.
        dtype: Of weights and cache.
        device: Where both go.

    Raises:
        EngineError: It does not fit; the message says how many slots would.
    """
    weights = weight_count(config) * dtype.itemsize
    per_token = kv_bytes_per_token(config, dtype)
    room = Room(weights, per_token * slots * length, per_token, available_bytes(device))
    usable = int(room.available * (1 - _RESERVE))
    if weights + room.kv > usable:
        fitting = (usable - weights) // (per_token * length)
        raise EngineError(
            f"The model does not fit: weights {_mib(weights)} + KV cache {_mib(room.kv)}, but {device} has "
            f"{_mib(room.available)} free.",
            why=f"The cache holds {slots} slots x {length:,} tokens x {per_token:,} bytes "
            f"({str(dtype).removeprefix('torch.')}; one slot is for long prompts that are being read).",
            fix=f"Set slots to {fitting - 1} or less, or lower max_length."
            if fitting > 1
            else "Choose a smaller model, a smaller dtype or a shorter max_length.",
        )
    return room


def available_bytes(device: torch.device) -> int:
    """Free memory of a device. On the host a container's limit counts, too."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(psutil.virtual_memory().available, _cgroup_bytes())


def _cgroup_bytes(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """What the control group (version 2) of this process may still take."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        # Pages of files count as used, but the kernel gives them back when memory is short.
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 2**63
    return 2**63 if limit == "max" else int(limit) - used + int(stat.get("inactive_file", 0))


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"
