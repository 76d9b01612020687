"""Hours of life in minutes for the model `llama`: mixed streams, cancels, vanished clients, wrong requests.

    python benchmarks/llama_soak.py --minutes 10
    python benchmarks/llama_soak.py --minutes 0.3         a look

Every finished answer is compared with the answer to the same request alone. At the end no slot may be in use,
no request may wait, every request must have ended in one of the outcomes that the metrics count, and the
processes may not have grown. Exit code 0 if all that holds.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # when called as a program

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.llama_client import Stream, metrics
from benchmarks.llama_servers import run_llamas
from benchmarks.llama_soak_actions import ACTIONS, MODEL, Case, prepare
from lab_utils import server as triton
from lab_utils.llama import small_llama
from lab_utils.server import Server

WORKERS = 24
GROWTH_MIB = 48.0
"""What the processes may grow by after the warm-up: buffers of the allocator, not an amount per request."""


@dataclass
class Report:
    """What happened.

    Attributes:
        seconds: Length of the run.
        did: How often each kind of thing was done, and how often the full queue refused.
        problems: What may not happen. Empty when all is well.
        memory_mib: Resident memory of server and model, after the warm-up and at the end.
        counted: Requests by outcome, by the metrics of the server.
    """

    seconds: float = 0.0
    did: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    counted: dict[str, float] = field(default_factory=dict)


def run(server: Server, seconds: float, workers: int = WORKERS, seed: int = 1) -> Report:
    """Let workers do random things with the model for some time, then look at what is left."""
    report = Report()
    cases = prepare(server)
    before = _settled(server, report)
    end = time.monotonic() + seconds
    lock = threading.Lock()
    threads = [
        threading.Thread(target=_work, args=(server, cases, end, random.Random(seed + i), report, lock))
        for i in range(workers)
    ]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(seconds * 0.3)
    report.memory_mib.append(_memory_mib(server))
    for thread in threads:
        thread.join(seconds + 120)
        if thread.is_alive():
            report.problems.append("a client is stuck")
    report.seconds = time.monotonic() - begin
    after = _settled(server, report)
    report.memory_mib.append(_memory_mib(server))
    report.counted = {
        name.partition("/")[2]: after[name] - before[name]
        for name in after
        if name.startswith("llama_requests_total/")
    }
    if report.memory_mib[1] > report.memory_mib[0] + GROWTH_MIB:
        report.problems.append(
            f"memory grew from {report.memory_mib[0]:.0f} to {report.memory_mib[1]:.0f} MiB"
        )
    if report.counted.get("error"):
        report.problems.append(f"{report.counted['error']:.0f} requests failed inside the engine")
    sent = sum(report.did[name] for name in ACTIONS) + report.did["asked again"]
    # A client that vanishes early may take its request along before Triton has seen it.
    if sum(report.counted.values()) > sent:
        report.problems.append(f"{sent} requests were sent, {sum(report.counted.values()):.0f} were counted")
    if triton.stub_faults(server):
        report.problems.append("the model's process is gone")
    return report


def _work(
    server: Server, cases: list[Case], end: float, dice: random.Random, report: Report, lock: threading.Lock
) -> None:
    stream = Stream(server)
    names, weights = list(ACTIONS), [weight for weight, _ in ACTIONS.values()]
    try:
        while time.monotonic() < end:
            name = dice.choices(names, weights)[0]
            case = dice.choice(cases)
            again = 0
            try:
                while True:
                    problem = ACTIONS[name][1](server, stream, case, dice)
                    if "queue is full" not in problem:
                        break
                    again += 1
                    time.sleep(0.02 + 0.05 * dice.random())
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            if name == "cancel" or problem:
                stream.close(cancel=True)
                stream = Stream(server)
            with lock:
                report.did[name] += 1
                report.did["asked again"] += again
                if problem:
                    report.problems.append(f"{name}: {problem[:300]}")
    finally:
        stream.close(cancel=True)


def _settled(server: Server, report: Report) -> dict[str, float]:
    """The metrics when nothing is on its way any more."""
    end = time.monotonic() + 30
    while True:
        found = metrics(server)
        time.sleep(0.6)
        again = metrics(server)
        if found == again and found["llama_active_slots"] == found["llama_queue_length"] == 0:
            return found
        if time.monotonic() > end:
            left = (
                f"{again['llama_active_slots']:.0f} slots in use, {again['llama_queue_length']:.0f} waiting"
            )
            report.problems.append(f"the engine does not come to rest: {left}")
            return again


def _memory_mib(server: Server) -> float:
    assert server.pid is not None
    root = psutil.Process(server.pid)
    return sum(p.memory_info().rss for p in [root, *root.children(recursive=True)]) / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="default 10")
    parser.add_argument("--workers", type=int, default=WORKERS, help=f"clients at once (default {WORKERS})")
    parser.add_argument("--seed", type=int, default=1, help="of what they choose (default 1)")
    arguments = parser.parse_args()
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="triton-lab-bench-") as folder,
        # Fewer places than clients, so that the queue is full now and then.
        run_llamas(Path(folder) / "soak", [MODEL], small_llama(), slots=8, max_queue=8) as server,
    ):
        report = run(server, arguments.minutes * 60, arguments.workers, arguments.seed)
    show(report, arguments.workers, console)
    return 1 if report.problems else 0


def show(report: Report, workers: int, console: Console) -> None:
    """What was done, how it ended, and every problem with how often it occurred."""
    done = Table("what clients did", "times", title=f"{report.seconds:.0f} s, {workers} clients")
    for name in (*ACTIONS, "asked again"):
        done.add_row(name, f"{report.did[name]:,}")
    console.print(done)
    ended = Table("outcome, by the server's count", "requests")
    for name, count in sorted(report.counted.items()):
        ended.add_row(name, f"{count:,.0f}")
    console.print(ended)
    console.print("Memory: {:.0f} MiB after the warm-up, {:.0f} MiB at the end".format(*report.memory_mib))
    for problem, times in Counter(report.problems).most_common(20):
        console.print(f"{times} x {problem}", style="red", markup=False, highlight=False)
    console.print("All is well." if not report.problems else f"{len(report.problems)} problems.")


if __name__ == "__main__":
    sys.exit(main())
