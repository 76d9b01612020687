"""The keys and values of the tokens that were read already, in slots of one fixed size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lab_utils.llama.config import LlamaConfig


@dataclass(frozen=True)
class KVCache:
    """A static cache: its memory is taken once and never grows.

    A slot is a row for one request. Nothing is cleared when a request leaves: the next one writes over
    it, and attention never looks past the position of its own token.

    Attributes:
        keys: `[layers, slots, kv_heads, length, head_dim]`.
        values: Likewise.
    """

    keys: Tensor
    values: Tensor

    @classmethod
    def empty(
        cls,
        config: LlamaConfig,
        slots: int,
        length: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> KVCache:
        """A cache for `slots` requests of at most `length` tokens each (prompt and answer together).

        Args:
            config: Shape of the model.
            slots: Requests decoded at the same time.
            length: Tokens per slot.
            dtype: That of the model.
            device: That of the model.
        """
        shape = (config.layers, slots, config.kv_heads, length, config.head_dim)
        # Not left as it comes: masked positions are multiplied by 0, and 0 times NaN is NaN. Written and
        # not torch.zeros, whose pages the kernel gives out only at the first write: memory that is
        # missing shall be missed now and not in the middle of an answer.
        keys, values = (torch.empty(shape, dtype=dtype, device=device).zero_() for _ in range(2))
        return cls(keys, values)

    @property
    def slots(self) -> int:
        """Number of requests that fit."""
        return self.keys.size(1)

    @property
    def length(self) -> int:
        """Tokens that fit in one slot."""
        return self.keys.size(3)

    @property
    def bytes(self) -> int:
        """Memory of both tensors."""
        return 2 * self.keys.numel() * self.keys.element_size()

    def move(self, source_slot: int, target_slot: int, length: int) -> None:
        """Copy the first `length` tokens of a slot to another one: fills the hole that a request left."""
        for tensor in (self.keys, self.values):
            tensor[:, target_slot, :, :length].copy_(tensor[:, source_slot, :, :length])
