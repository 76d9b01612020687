"""What is asked of a Llama in the benchmarks: its shape, prompts, lengths, and the answers that must come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from lab_utils.llama import LlamaConfig, facts
from lab_utils.llama.engine.runner import Runner
from lab_utils.load import heavy_tailed_lengths

SHAPES = {
    # For tests: seconds, on any machine.
    "tiny": LlamaConfig(1024, 64, 160, layers=2, heads=4, kv_heads=2, head_dim=16, max_positions=512),
    # For a quick look.
    "12m": LlamaConfig(4096, 256, 704, layers=10, heads=8, kv_heads=4, head_dim=32, max_positions=512),
    "130m": LlamaConfig(32000, 768, 2048, layers=12, heads=12, kv_heads=12, head_dim=64, max_positions=2048),
    # Llama-2-7B: https://huggingface.co/meta-llama/Llama-2-7b-hf, config.json.
    "7b": LlamaConfig(32000, 4096, 11008, layers=32, heads=32, kv_heads=32, head_dim=128, max_positions=4096),
}


@dataclass(frozen=True)
class Work:
    """Requests, sent in turn.

    Attributes:
        prompts: Texts.
        lengths: New tokens of each; end tokens are ignored, so that an answer has exactly so many.
        answers: Token ids that each must get; None when they are not compared.
    """

    prompts: list[str]
    lengths: list[int]
    answers: list[list[int]] | None

    @property
    def mean_length(self) -> float:
        """Mean of the lengths."""
        return sum(self.lengths) / len(self.lengths)


class Loop:
    """A bare loop around the model: no queue, no clients, nobody joins and nobody leaves.

    Args:
        folder: The Llama.
        rows: The most rows of a batch.
        length: The most tokens of a row.
        dtype: Of weights and cache.
        device: `cpu` or `cuda`.
        threads: Threads of one operator on the CPU.
    """

    def __init__(self, folder: Path, rows: int, length: int, dtype: str, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.runner = Runner(folder, rows, length, dtype, device)
        with torch.inference_mode():
            self.runner.warm_up(threads)

    def answer(self, prompt: str, tokens: int) -> list[int]:
        """Greedy tokens of one request alone."""
        (ids,) = self.run([self.tokenizer.encode(prompt).ids], tokens)
        return ids

    def run(self, prompts: list[list[int]], tokens: int) -> list[list[int]]:
        """Greedy tokens of a batch, so many for each row."""
        rows = len(prompts)
        with torch.inference_mode():
            logits = self.runner.prefill(prompts, range(rows))
            last = logits.argmax(1).tolist()
            found = [[token] for token in last]
            places = [len(prompt) for prompt in prompts]
            for _ in range(tokens - 1):
                last = self.runner.decode(last, places).argmax(1).tolist()
                places = [place + 1 for place in places]
                for row, token in zip(found, last, strict=True):
                    row.append(token)
        return found


def make_work(loop: Loop, requests: int, median: int, longest: int, compare: bool = True) -> Work:
    """Real questions, lengths with a heavy tail, and the answers of the model when it is asked one by one.

    Args:
        loop: The model.
        requests: How many different requests.
        median: Half of the lengths are below this.
        longest: No length is above this.
        compare: Compute the answers.
    """
    questions = [question for question, _ in facts()]
    prompts = [questions[number % len(questions)] for number in range(requests)]
    lengths = heavy_tailed_lengths(requests, median, low=2, high=longest, seed=1)
    answers = [loop.answer(*pair) for pair in zip(prompts, lengths, strict=True)] if compare else None
    return Work(prompts, lengths, answers)
