"""A Llama served in every way, side by side in one run: tokens per second, TTFT, and the right answers.

    python benchmarks/llama.py                          all, about 10 minutes on two cores
    python benchmarks/llama.py --quick                  a look, no figures to quote
    python benchmarks/llama.py --json out.json
    python benchmarks/llama.py --gpu --json gpu.json    the shape of Llama-2-7B on a GPU, random weights, bf16

Sixteen streaming clients in a closed loop, lengths with a heavy tail. The small Llama by four designs: the
engine behind Triton, the same engine in this process, Hugging Face one by one, Hugging Face under dynamic
batching. A Llama of 134 million random weights: engine, in-process, and the bare decode loop. One token at
batch 1 against transformers, on both. Everything in turns, round by round; every answer is compared with the
one of the request alone. Exit code 0 whenever everything could be measured; a goal that is not reached is a
result, not an error. Exit code 2: there is no GPU for --gpu.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # when called as a program

import torch
from rich.console import Console

from benchmarks import llama_gpu, llama_gpu_report, llama_report
from benchmarks.llama_inprocess import run_in_process
from benchmarks.llama_report import (
    BATCHED,
    FORWARD,
    GENERATE,
    IN_PROCESS,
    ONE_BY_ONE,
    OURS,
    Side,
)
from benchmarks.llama_servers import DESIGNS, load, run_llamas
from benchmarks.llama_servers import ENGINE as ENGINE_MODEL
from benchmarks.llama_steps import Transformers, loop_seconds
from benchmarks.llama_work import SHAPES, Loop, make_work
from lab_utils.errors import LabError
from lab_utils.llama import random_llama, small_llama
from lab_utils.llama.engine import Engine
from lab_utils.load import crew
from lab_utils.server.install import TRITON_VERSION

CLIENTS = 16
NAMES = dict(zip(DESIGNS, (llama_report.ENGINE, BATCHED, ONE_BY_ONE), strict=True))


@dataclass(frozen=True)
class Effort:
    """How long is measured.

    Attributes:
        rounds: Interleaved rounds.
        requests: Different requests.
        median: Their median length, in tokens.
        longest: Their longest length.
        warmup: Seconds before each measurement; longer than the slowest design needs for an answer.
        seconds: Of each measurement.
        steps: Tokens of the batch-1 loops.
    """

    rounds: int
    requests: int
    median: int
    longest: int
    warmup: float
    seconds: float
    steps: int


def measure_small(folder: Path, effort: Effort, threads: int, place: Path, say: Console) -> Side:
    """The small Llama by all designs."""
    side = Side("small Llama")
    loop = Loop(folder, 1, 512, "float32", "cpu", threads)
    work = make_work(loop, effort.requests, effort.median, effort.longest)
    theirs = Transformers(folder, torch.float32, "cpu")
    engine = Engine(folder, slots=CLIENTS, dtype="float32", device="cpu", threads=threads)
    try:
        with run_llamas(
            place / "small", DESIGNS, folder, dtype="float32", threads=threads, slots=CLIENTS
        ) as server:
            for number in range(effort.rounds):
                say.print(f"small Llama, round {number + 1} of {effort.rounds} ...")
                _steps(side, loop, theirs, effort.steps)
                for model, name in NAMES.items():
                    side.add(name, load(server, model, work, CLIENTS, effort.seconds, effort.warmup))
                side.add(IN_PROCESS, run_in_process(engine, work, CLIENTS, effort.seconds, effort.warmup))
    finally:
        engine.close()
        crew.end_idle()
    return side


def measure_large(shape: str, folder: Path, effort: Effort, threads: int, place: Path, say: Console) -> Side:
    """A larger Llama of random weights: engine, in-process, bare loop."""
    side = Side(f"{shape.upper()} Llama")
    loop = Loop(folder, CLIENTS, 512, "float32", "cpu", threads)
    say.print(f"{side.label}: answers of {effort.requests} requests, one by one ...")
    work = make_work(loop, effort.requests, effort.median, effort.longest)
    theirs = Transformers(folder, torch.float32, "cpu")
    engine = Engine(folder, slots=CLIENTS, dtype="float32", device="cpu", threads=threads)
    # A request in the middle of its answer has this many tokens behind it; long answers are there longer.
    context = 20 + round(sum(n * n for n in work.lengths) / sum(work.lengths) / 2)
    try:
        with run_llamas(
            place / "large", [ENGINE_MODEL], folder, dtype="float32", threads=threads, slots=CLIENTS
        ) as server:
            for number in range(effort.rounds):
                say.print(f"{side.label}, round {number + 1} of {effort.rounds} ...")
                _steps(side, loop, theirs, effort.steps)
                side.bare.append(CLIENTS / loop_seconds(loop, CLIENTS, context, effort.steps))
                side.add(
                    llama_report.ENGINE,
                    load(server, ENGINE_MODEL, work, CLIENTS, effort.seconds, effort.warmup),
                )
                side.add(IN_PROCESS, run_in_process(engine, work, CLIENTS, effort.seconds, effort.warmup))
    finally:
        engine.close()
        crew.end_idle()
    return side


def _steps(side: Side, loop: Loop, theirs: Transformers, tokens: int) -> None:
    side.steps.setdefault(OURS, []).append(loop_seconds(loop, 1, 24, tokens))
    side.steps.setdefault(GENERATE, []).append(theirs.generate_seconds(1, 24, tokens))
    side.steps.setdefault(FORWARD, []).append(theirs.forward_seconds(1, 24, tokens))


def about(threads: int, words: Sequence[str]) -> dict[str, str]:
    """Under which circumstances the figures were taken."""
    cores = len(os.sched_getaffinity(0))
    return {
        "Date": time.strftime("%Y-%m-%d %H:%M"),
        "Command": " ".join(["python benchmarks/llama.py", *words]),
        "Machine": f"{cores} cores, load average {os.getloadavg()[0]:.1f} before the run",
        "Versions": f"Python {platform.python_version()}, tritonserver {TRITON_VERSION}, "
        f"torch {torch.__version__}, transformers {version('transformers')}",
        "Threads": f"{threads} per model on the CPU",
    }


def main(words: Sequence[str] | None = None) -> int:
    """Parse the arguments (default: those of the program), measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a short look; no figures to quote")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every model (default 1)")
    parser.add_argument("--large", choices=sorted(SHAPES), help="shape of the larger Llama (default 130m)")
    parser.add_argument("--gpu", action="store_true", help="measure the shape of Llama-2-7B on a GPU instead")
    parser.add_argument("--device", default="cuda", help="with --gpu: cuda, or cpu to try the program")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="7b", help="with --gpu (default 7b)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    words = sys.argv[1:] if words is None else words
    arguments = parser.parse_args(words)
    say, out = Console(stderr=True), Console(width=160)
    torch.set_num_threads(arguments.threads)
    facts = about(arguments.threads, words)
    with tempfile.TemporaryDirectory(prefix="triton-lab-bench-") as name:
        place = Path(name)
        if arguments.gpu:
            try:
                found = llama_gpu.measure(
                    arguments.shape, arguments.device, arguments.rounds, place, say, arguments.quick
                )
            except LabError as error:
                say.print(str(error), markup=False)
                return 2
            every = llama_gpu_report.show(facts, found, out)
            values = llama_gpu_report.as_json(facts, found, every)
        else:
            quick = arguments.quick
            rounds = 1 if quick else arguments.rounds
            small = measure_small(
                small_llama(),
                Effort(rounds, 16, 8, 40, 0.7, 1.5, 20) if quick else Effort(rounds, 64, 20, 160, 4, 8, 200),
                *(arguments.threads, place, say),
            )
            shape = arguments.large or ("12m" if quick else "130m")
            large = measure_large(
                shape,
                random_llama(place / "weights", SHAPES[shape]),
                Effort(1, 4, 4, 8, 0.5, 1.5, 10)
                if quick
                else Effort(max(1, rounds // 2), 32, 20, 80, 10, 30, 30),
                *(arguments.threads, place, say),
            )
            every = llama_report.goals(small, large)
            llama_report.show(facts, [small, large], every, out)
            if quick:
                out.print("This was a quick look: no figures to quote.")
            values = llama_report.as_json(facts, [small, large], every)
    if arguments.json:
        arguments.json.write_text(json.dumps(values, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
