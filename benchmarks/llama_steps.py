"""How long one token takes at a given batch size: our model, and transformers. No server, no queue.

    python benchmarks/llama_steps.py                             the small Llama; a minute or two
    python benchmarks/llama_steps.py --shape 130m --rows 1       random weights
    python benchmarks/llama_steps.py --rounds 1 --tokens 20      a look, no figures to quote

`benchmarks/llama.py` measures the same at batch size 1, beside the designs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # when called as a program

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.llama_report import FORWARD, GENERATE, OURS, Side
from benchmarks.llama_work import SHAPES, Loop
from benchmarks.servers import median
from lab_utils.llama import random_llama, small_llama


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


def measure(
    folder: Path, rows: list[int], context: int, tokens: int, rounds: int, threads: int
) -> list[Side]:
    """Seconds per step on the CPU, in float32: one side per batch size, all in turns."""
    loop = Loop(folder, max(rows), context + tokens + 2, "float32", "cpu", threads)
    theirs = Transformers(folder, torch.float32, "cpu")
    sides = [Side(f"{count} rows") for count in rows]
    for _ in range(rounds):
        for side, count in zip(sides, rows, strict=True):
            for name, seconds in (
                (OURS, loop_seconds(loop, count, context, tokens)),
                (GENERATE, theirs.generate_seconds(count, context, tokens)),
                (FORWARD, theirs.forward_seconds(count, context, tokens)),
            ):
                side.steps.setdefault(name, []).append(seconds)
    return sides


def table(sides: list[Side], rows: list[int], title: str) -> Table:
    """Medians of the rounds, and medians of the ratios within a round."""
    found = Table("batch size", "ours, ms", "tokens/s", title=title)
    for name in (GENERATE, FORWARD):
        found.add_column(f"{name}, ms")
        found.add_column("x ours")
    for side, count in zip(sides, rows, strict=True):
        ours = median(side.steps[OURS])
        cells = [str(count), f"{1e3 * ours:.2f}", f"{count / ours:,.0f}"]
        for name in (GENERATE, FORWARD):
            cells += [f"{1e3 * median(side.steps[name]):.2f}", f"{side.step(name):.2f}"]
        found.add_row(*cells)
    return found


def main() -> int:
    """Parse the arguments, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shapes = ["small", *(name for name in SHAPES if name != "7b")]
    parser.add_argument("--shape", choices=shapes, default="small", help="default: small, the trained one")
    parser.add_argument("--rows", default="1,4,16", metavar="N,N", help="batch sizes (default 1,4,16)")
    parser.add_argument("--context", type=int, default=24, help="tokens of every prompt (default 24)")
    parser.add_argument("--tokens", type=int, default=100, help="steps of a measurement (default 100)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of an operator (default 1)")
    arguments = parser.parse_args()
    rows = [int(count) for count in arguments.rows.split(",")]
    with tempfile.TemporaryDirectory(prefix="triton-lab-bench-") as name:
        small = arguments.shape == "small"
        folder = small_llama() if small else random_llama(Path(name), SHAPES[arguments.shape])
        sides = measure(
            folder, rows, arguments.context, arguments.tokens, arguments.rounds, arguments.threads
        )
    threads = f"{arguments.threads} thread{'s' if arguments.threads > 1 else ''}"
    title = f"One step of the {arguments.shape} Llama: float32, {threads}, torch {torch.__version__}"
    Console(width=110).print(table(sides, rows, title))
    return 0


if __name__ == "__main__":
    sys.exit(main())
