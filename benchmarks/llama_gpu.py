"""The shape of Llama-2-7B with random weights on a GPU: how near decoding comes to what the memory allows.

`python benchmarks/llama_gpu.py` is `python benchmarks/llama.py --gpu`. It needs one GPU with 80 GB or more,
some 15 GB of disk in the folder for temporary files, and a few minutes. `--device cpu --shape tiny` runs the
same program without a GPU, to try it: its figures mean nothing.
"""

from __future__ import annotations

import gc
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # when called as a program

import torch
from rich.console import Console

from benchmarks.llama_inprocess import run_in_process
from benchmarks.llama_report import ENGINE, IN_PROCESS, Side
from benchmarks.llama_servers import ENGINE as ENGINE_MODEL
from benchmarks.llama_servers import load, run_llamas
from benchmarks.llama_steps import Transformers, loop_seconds
from benchmarks.llama_work import SHAPES, Loop, Work, make_work
from lab_utils.errors import LabError
from lab_utils.llama import LlamaConfig, random_llama
from lab_utils.llama.engine import Engine
from lab_utils.llama.memory import (
    Memory,
    kv_bytes_per_token,
    measure_memory,
    predict_memory,
    weight_count,
)
from lab_utils.load import crew

STREAMS = 64
EAGER, STATIC = "transformers eager", "transformers static cache"


@dataclass(frozen=True)
class Plan:
    """Sizes of the measurement.

    Attributes:
        context: Tokens of the prompts of the bare loops.
        tokens: Steps of the bare loops.
        theirs: Tokens that transformers generates.
        copy: Bytes of the buffer whose copying is timed.
        seconds: Of each load.
        warmup: Seconds of load before that.
        longest: Longest answer of the load.
        max_length: Tokens of a slot.
    """

    context: int = 128
    tokens: int = 128
    theirs: int = 64
    copy: int = 2**32
    seconds: float = 20.0
    warmup: float = 8.0
    longest: int = 256
    max_length: int = 512


SMALL_PLAN = Plan(16, 16, 8, 2**24, 1.5, 0.5, 24, 128)
"""To try the program."""


@dataclass
class Figures:
    """All that one run measured.

    Attributes:
        config: The shape.
        dtype: Of weights, cache and arithmetic.
        judged: Whether the goals apply: the 7B shape on a GPU.
        device: Its name.
        bandwidth: Bytes per second, read and written, of a large copy; one per round.
        single: Tokens per second at batch 1, one per round.
        batch: Tokens per second of the bare loop at the batch size of the load, one per round.
        transformers: Tokens per second of `generate` at batch 1, by kind, one per round.
        failed: Kinds of transformers that did not run, with the reason.
        side: The loads: through Triton, and in-process.
        predicted: Memory by formula, bytes.
        measured: Memory found, bytes.
        context: Mean number of cached tokens during the batch-1 steps.
    """

    config: LlamaConfig
    dtype: torch.dtype
    judged: bool
    device: str
    bandwidth: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    transformers: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    side: Side = field(default_factory=lambda: Side("loads"))
    predicted: Memory | None = None
    measured: Memory | None = None
    context: float = 0.0

    @property
    def step_bytes(self) -> float:
        """Bytes that one step at batch 1 must read: the weights but the embedding table, and the cache."""
        table = self.config.vocab_size * self.config.hidden_size
        weights = weight_count(self.config) - (0 if self.config.tie_embeddings else table)
        cached = kv_bytes_per_token(self.config, self.dtype) * self.context
        return weights * self.dtype.itemsize + cached

    @property
    def bound(self) -> list[float]:
        """Tokens per second at batch 1 that the copy bandwidth of the same round allows."""
        return [bandwidth / self.step_bytes for bandwidth in self.bandwidth]


def measure(shape: str, device: str, rounds: int, place: Path, say: Console, quick: bool) -> Figures:
    """Everything, in turns.

    Raises:
        LabError: There is no GPU, or it has too little memory.
    """
    check_device(shape, device)
    cuda, config = device != "cpu", SHAPES[shape]
    plan = Plan() if cuda and not quick else SMALL_PLAN
    rounds = 1 if quick else rounds
    name, dtype = ("bfloat16", torch.bfloat16) if cuda else ("float32", torch.float32)
    found = Figures(config, dtype, cuda and shape == "7b", torch.cuda.get_device_name() if cuda else "cpu")
    found.context = plan.context + plan.tokens / 2
    say.print("random weights ...")
    folder = random_llama(place / "weights", config, dtype=dtype)
    _memory(found, folder, plan, device)
    loop = Loop(folder, STREAMS, plan.max_length, name, device, 1)
    theirs = {EAGER: "dynamic", STATIC: "static"}
    model = Transformers(folder, dtype, device)
    for number in range(rounds):
        say.print(f"loops, round {number + 1} of {rounds} ...")
        found.bandwidth.append(copy_bandwidth(device, plan.copy))
        found.single.append(1 / loop_seconds(loop, 1, plan.context, plan.tokens))
        found.batch.append(STREAMS / loop_seconds(loop, STREAMS, plan.context, plan.tokens))
        for kind, cache in theirs.items():
            model.cache = cache
            _theirs(found, kind, model, plan, first=number == 0)
    # bfloat16 rounds differently in another batch: answers are compared in float32 only.
    work = make_work(loop, 2 * STREAMS, plan.longest // 4, plan.longest, compare=not cuda)
    del loop, model
    if cuda:
        # What was compiled holds the weights: two engines need their room.
        torch.compiler.reset()
        gc.collect()
        torch.cuda.empty_cache()
    _loads(found, folder, work, plan, device, name, rounds, place, say)
    return found


def check_device(shape: str, device: str) -> None:
    """Raise `LabError` when the device is not there or too small."""
    if device == "cpu":
        if shape == "7b":
            raise LabError(
                "The shape 7b needs a GPU.", fix="To try the program on a CPU: --device cpu --shape tiny"
            )
        return
    if not torch.cuda.is_available():
        raise LabError(
            "There is no GPU that PyTorch can use.",
            why="These figures say how near the engine comes to the bandwidth of a GPU's memory; on a CPU "
            "they mean nothing.",
            fix="Run it on a machine with an NVIDIA GPU and a PyTorch built for CUDA. To try the program "
            "without one: python benchmarks/llama.py --gpu --device cpu --shape tiny",
        )
    free, _ = torch.cuda.mem_get_info()
    wanted = 5 * weight_count(SHAPES[shape]) * 2  # two engines with their caches, and transformers
    if free < wanted:
        raise LabError(
            f"{free / 1e9:.0f} GB of GPU memory are free; about {wanted / 1e9:.0f} GB are needed.",
            fix="End what else uses the GPU, or take a smaller shape, for example --shape 130m.",
        )


def copy_bandwidth(device: str, size: int) -> float:
    """Bytes per second, read plus written, of copying a buffer of `size` bytes on the device."""
    source = torch.ones(size // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(8):
        _wait(device)
        began = time.perf_counter()
        target.copy_(source)
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size / best


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _memory(found: Figures, folder: Path, plan: Plan, device: str) -> None:
    prompt = min(256, plan.max_length)
    found.predicted = predict_memory(found.config, STREAMS + 1, plan.max_length, found.dtype, prompt)
    found.measured = measure_memory(folder, STREAMS + 1, plan.max_length, found.dtype, prompt, device)


def _theirs(found: Figures, kind: str, model: Transformers, plan: Plan, first: bool) -> None:
    """One round of transformers; a kind that does not run here is left out with its reason."""
    if kind in found.failed:
        return
    try:
        if first:
            for _ in range(2):  # a compiled step is compiled now
                model.generate_seconds(1, plan.context, plan.theirs)
        seconds = model.generate_seconds(1, plan.context, plan.theirs)
        found.transformers.setdefault(kind, []).append(1 / seconds)
    except Exception as error:  # torch.compile has many ways to fail, and none of them is ours
        found.failed[kind] = f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _loads(
    found: Figures,
    folder: Path,
    work: Work,
    plan: Plan,
    device: str,
    dtype: str,
    rounds: int,
    place: Path,
    say: Console,
) -> None:
    settings = {"slots": STREAMS, "max_length": plan.max_length, "dtype": dtype, "device": device}
    engine = Engine(folder, threads=1, **settings)  # type: ignore[arg-type]
    try:
        with run_llamas(place / "gpu", [ENGINE_MODEL], folder, threads=1, **settings) as server:
            for number in range(rounds):
                say.print(f"{STREAMS} streams, round {number + 1} of {rounds} ...")
                found.side.add(ENGINE, load(server, ENGINE_MODEL, work, STREAMS, plan.seconds, plan.warmup))
                found.side.add(IN_PROCESS, run_in_process(engine, work, STREAMS, plan.seconds, plan.warmup))
    finally:
        engine.close()
        crew.end_idle()


if __name__ == "__main__":
    from benchmarks.llama import main

    sys.exit(main(["--gpu", *sys.argv[1:]]))
