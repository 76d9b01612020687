"""How long one token takes at a given batch size: our model, and transformers."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import torch

from benchmarks.llama_work import Loop


def loop_seconds(loop: Loop, rows: int, context: int, tokens: int) -> float:
    """Seconds per decode step of our model, with the choice of the next token.

    Args:
        loop: The model.
        rows: Batch size.
        context: Tokens of every prompt.
        tokens: Steps to time.
    """
    prompts = [[1, *range(5, 4 + context)][:context]] * rows
    loop.run(prompts, 2)
    began = time.perf_counter()
    loop.run(prompts, 1)
    short = time.perf_counter()
    loop.run(prompts, 1 + tokens)
    # Reading the prompts is in both, and falls out.
    return ((time.perf_counter() - short) - (short - began)) / tokens


class Transformers:
    """The same Llama in Hugging Face transformers.

    Args:
        folder: The Llama.
        dtype: Of its weights.
        device: `cpu` or `cuda`.
        cache: `cache_implementation` of `generate`: `dynamic` is the default there; with `static` on a
            GPU, `generate` compiles the step by itself.
    """

    def __init__(self, folder: Path, dtype: torch.dtype, device: str, cache: str = "dynamic") -> None:
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, trust_remote_code=False
        )
        self.model = model.to(device).eval()
        self.model.generation_config.eos_token_id = None
        self.device, self.cache = device, cache

    def generate_seconds(self, rows: int, context: int, tokens: int) -> float:
        """Seconds per token and row of `generate`, its first token left out."""
        ids = torch.tensor([[1, *range(5, 4 + context)][:context]] * rows, device=self.device)
        self._generate(ids, 1 + tokens)
        began = time.perf_counter()
        self._generate(ids, 1)
        short = time.perf_counter()
        self._generate(ids, 1 + tokens)
        return ((time.perf_counter() - short) - (short - began)) / tokens

    def forward_seconds(self, rows: int, context: int, tokens: int) -> float:
        """Seconds per step of the bare model with its cache, without what `generate` adds."""
        from transformers import DynamicCache

        ids = torch.tensor([[1, *range(5, 4 + context)][:context]] * rows, device=self.device)
        with torch.inference_mode(), warnings.catch_warnings():
            # The argument is called `cache` from some version of transformers 5 on; both take this name.
            warnings.simplefilter("ignore", FutureWarning)
            cache = DynamicCache(config=self.model.config)
            last = self.model(ids, past_key_values=cache, use_cache=True).logits[:, -1:].argmax(-1)
            began = time.perf_counter()
            for _ in range(tokens):
                last = self.model(last, past_key_values=cache, use_cache=True).logits[:, -1:].argmax(-1)
                last.tolist()  # our loop waits for the token, too
            return (time.perf_counter() - began) / tokens

    def _generate(self, ids: Any, tokens: int) -> None:
        with torch.inference_mode():
            found = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=tokens,
                pad_token_id=0,
                cache_implementation=self.cache if self.cache != "dynamic" else None,
            )
        assert found.shape[1] == ids.shape[1] + tokens
        found.tolist()
