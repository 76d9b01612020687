"""The answer that a request must get: greedy decoding with the plain model, no cache, one request alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer

from lab_utils.llama import Llama, load_llama, small_llama


@cache
def model(folder: Path) -> Llama:
    return load_llama(folder)


@cache
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def greedy(prompt: str, max_tokens: int, ignore_eos: bool = False, folder: Path | None = None) -> list[int]:
    """New tokens, the end token among them."""
    folder = folder or small_llama()
    llama = model(folder)
    ids = tokenizer(folder).encode(prompt).ids
    found: list[int] = []
    with torch.inference_mode():
        while len(found) < max_tokens:
            found.append(int(llama(torch.tensor([ids + found]))[0, -1].argmax()))
            if found[-1] in llama.config.eos and not ignore_eos:
                break
    return found


def text(prompt: str, ids: list[int], folder: Path | None = None) -> str:
    """The text of new tokens: what they add to the prompt."""
    words = tokenizer(folder or small_llama())
    whole: str = words.decode(words.encode(prompt).ids + ids, skip_special_tokens=True)
    assert whole.startswith(prompt)
    return whole[len(prompt) :]
