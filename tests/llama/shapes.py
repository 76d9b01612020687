"""Random Llamas made by transformers, in the shapes that real ones have, only narrow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lab_utils.llama import KVCache, Llama

VOCAB = 97
TOLERANCE = 1e-4
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
}
SHAPES: dict[str, dict[str, Any]] = {
    # Llama 2 7B: as many key/value heads as query heads.
    "llama2": {"num_key_value_heads": 8, "rms_norm_eps": 1e-5},
    # TinyLlama, Llama 2 70B: eight query heads per key/value head here.
    "grouped": {"num_key_value_heads": 1, "rms_norm_eps": 1e-5},
    # Llama 3.2: grouped, stretched rotary frequencies, tied embeddings, several ends.
    "llama3": {
        "num_key_value_heads": 2,
        "head_dim": 32,
        "tie_word_embeddings": True,
        "rope_parameters": LLAMA3_ROPE,
        "eos_token_id": [5, 6, 7],
    },
    # Heads that are wider than hidden_size / heads.
    "wide_heads": {"num_key_value_heads": 4, "head_dim": 24},
}


@dataclass(frozen=True)
class Trio:
    """The same weights three times.

    Attributes:
        folder: Where they are stored.
        reference: As transformers reads them.
        llama: As we read them.
        scripted: Ours, compiled.
    """

    folder: Path
    reference: Any
    llama: Llama
    scripted: Any

    def logits(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """What transformers says: float32 `[B, T, vocab]`."""
        return self.reference(tokens, attention_mask=mask).logits

    def last(self, tokens: list[int]) -> torch.Tensor:
        """What transformers says after one whole sequence: float32 `[vocab]`."""
        return self.logits(torch.tensor([tokens]))[0, -1]

    def cache(self, slots: int, length: int = 256) -> KVCache:
        """A cache full of numbers from earlier requests: whatever is left over must not be seen."""
        cache = KVCache.empty(self.llama.config, slots, length)
        for tensor in (cache.keys, cache.values):
            tensor.normal_(0, 30, generator=torch.Generator().manual_seed(1))
        return cache


def make_hugging_face(name: str, seed: int = 0) -> Any:
    """A model of one of the `SHAPES` whose logits are large enough to tell right from wrong."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**{**_COMMON, **SHAPES[name]})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # the norms begin at 1, which would hide a forgotten weight
                parameter.uniform_(0.5, 1.5)
    return model.requires_grad_(False)


def random_tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    """int64 tokens of any shape."""
    return torch.randint(0, VOCAB, shape, generator=torch.Generator().manual_seed(seed))


def error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest absolute difference. The reference must not be trivially small."""
    assert ours.dtype == torch.float32
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 1
    return float((ours - theirs).abs().max())
