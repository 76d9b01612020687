"""The load generator against perf_analyzer: the same model, the same load, in turns, as ratios.

    python benchmarks/load_generator.py                   about 3 minutes
    python benchmarks/load_generator.py --quick           a look, no figures to quote
    python benchmarks/load_generator.py --json out.json

Two questions. Is it as fast: the digits model (under a millisecond) over HTTP, gRPC and streams, with and
without dynamic batching. Is it right: the model `timed`, of known service time, at concurrency 1, 4, 16.
perf_analyzer is fetched with pip when it is not there. Exit code 0 whenever everything could be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # when called as a program

from rich.console import Console
from rich.table import Table

from benchmarks import servers
from lab_utils import paths
from lab_utils.load import LoadResult, run_load
from lab_utils.load.perf_binary import find_perf_analyzer, get_perf_analyzer
from lab_utils.server import Server

ENGINES = ("lab", "perf_analyzer")


@dataclass
class Duel:
    """One load by both engines; one entry per round."""

    model: str
    protocol: str
    concurrency: int
    throughput: dict[str, list[float]] = field(default_factory=lambda: {e: [] for e in ENGINES})
    p50: dict[str, list[float]] = field(default_factory=lambda: {e: [] for e in ENGINES})
    p99: dict[str, list[float]] = field(default_factory=lambda: {e: [] for e in ENGINES})
    errors: int = 0
    processes: list[int] = field(default_factory=list)

    def add(self, result: LoadResult) -> None:
        """One measurement."""
        self.throughput[result.engine].append(result.throughput)
        self.p50[result.engine].append(result.latency.p50 * 1e3)
        self.p99[result.engine].append(result.latency.p99 * 1e3)
        self.errors += result.failed
        if result.engine == "lab":
            self.processes.append(result.processes)

    def ratio(self, figure: str) -> float:
        """Median over the rounds of ours to theirs."""
        ours, theirs = (getattr(self, figure)[engine] for engine in ENGINES)
        return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def repository(folder: Path) -> Path:
    """The digits model plain and with dynamic batching, and `timed` with a known service time."""
    one = "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
    servers.copy_repository(folder, one)
    shutil.copytree(folder / servers.MODEL, folder / "batching")
    config = folder / "batching" / "config.pbtxt"
    text = config.read_text().replace(f'"{servers.MODEL}"', '"batching"')
    config.write_text(text + "dynamic_batching { }\n")
    shutil.copytree(paths.project_root() / "model_repository" / "timed", folder / "timed")
    return folder


def run(server: Server, duels: list[Duel], rounds: int, seconds: float, say: Console) -> None:
    """All loads of both engines in turns; who begins changes from round to round."""
    for number in range(rounds):
        say.print(f"round {number + 1} of {rounds} ...")
        for duel in duels:
            for engine in ENGINES if number % 2 else reversed(ENGINES):
                result = run_load(
                    server,
                    duel.model,
                    protocol=duel.protocol,
                    concurrency=duel.concurrency,
                    seconds=seconds,
                    warmup=0.3,
                    engine=engine,
                )
                duel.add(result)


def show(duels: list[Duel], console: Console) -> None:
    """Medians and ratios."""
    columns = (
        "model",
        "protocol",
        "in flight",
        "ours/s",
        "theirs/s",
        "ratio",
        "p50",
        "p99",
        "processes",
        "errors",
    )
    table = Table(*columns, title="ratios: ours to perf_analyzer's, median over the rounds")
    for duel in duels:
        table.add_row(
            duel.model,
            duel.protocol,
            str(duel.concurrency),
            *(f"{statistics.median(duel.throughput[engine]):,.0f}" for engine in ENGINES),
            *(f"{duel.ratio(figure):.2f}" for figure in ("throughput", "p50", "p99")),
            ",".join(map(str, sorted(set(duel.processes)))),
            str(duel.errors),
        )
    console.print(table)


def goals(duels: list[Duel]) -> list[str]:
    """Each goal with what was found."""
    found = []
    for duel in duels:
        name = f"{duel.model}, {duel.protocol}, {duel.concurrency} in flight"
        if duel.model == "timed":
            far = max(abs(duel.ratio(figure) - 1) for figure in ("throughput", "p50"))
            word = "reached" if far <= 0.10 else "NOT reached"
            found.append(f"{word}: {name}: throughput and p50 within 10 % (found {far:.1%})")
        elif duel.concurrency == 32:
            ratio = duel.ratio("throughput")
            word = "reached" if ratio >= 0.80 else "NOT reached"
            found.append(f"{word}: {name}: at least 0.80 of perf_analyzer's throughput (found {ratio:.2f})")
    return found


def main() -> int:
    """Parse the arguments, measure, report."""
    parser = argparse.ArgumentParser(description="The load generator against perf_analyzer.")
    parser.add_argument("--quick", action="store_true", help="one short round; no figures to quote")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    say, out = Console(stderr=True), Console(width=120)
    load = os.getloadavg()[0]
    if find_perf_analyzer() is None:
        get_perf_analyzer()
    duels = [
        Duel(model, protocol, concurrency)
        for model in (servers.MODEL, "batching")
        for protocol in ("http", "grpc", "stream")
        for concurrency in ((32,) if arguments.quick else (1, 8, 32))
    ]
    duels += [Duel("timed", protocol, n) for protocol in ("http", "grpc") for n in (1, 4, 16)]
    with (
        tempfile.TemporaryDirectory(prefix="triton-lab-bench-") as folder,
        servers.run_triton(repository(Path(folder)), "bench-load") as server,
    ):
        server.wait_ready("timed")
        run(server, duels, *((1, 0.6) if arguments.quick else (arguments.rounds, 1.5)), say)
    cores = len(os.sched_getaffinity(0))
    out.print(f"{time.strftime('%Y-%m-%d %H:%M')}, {cores} cores, load average {load:.1f} before the run")
    show(duels, out)
    for line in goals(duels):
        out.print(line)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(duel) for duel in duels], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
