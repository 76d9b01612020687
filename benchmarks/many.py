"""Many single requests at the same time: Triton with dynamic batching against FastAPI."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import Result
from benchmarks.servers import cpu_seconds, median

LOAD = Path(__file__).with_name("load.py")


@dataclass
class Rival:
    """One server under load: address, prepared request, process; and what every round gave."""

    name: str
    address: str
    message: Path
    pid: int
    per_second: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    client_share: list[float] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)
    errors: int = 0


def load_once(rival: Rival, connections: int, seconds: float) -> None:
    """One round: the load generator in a process of its own."""
    cpu = cpu_seconds(rival.pid)
    # -I -S: the standard library alone, so that the client starts in a moment and stays small.
    what = [rival.address, str(rival.message), str(connections), str(seconds)]
    answer = subprocess.run(
        [sys.executable, "-I", "-S", str(LOAD), *what],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    if answer.returncode:
        raise RuntimeError(f"the load on {rival.name} failed: {answer.stderr.strip().splitlines()[-1:]}")
    result = Result(**json.loads(answer.stdout))
    rival.per_second.append(result.per_second)
    rival.p50.append(result.p50)
    rival.p99.append(result.p99)
    rival.client_share.append(result.client_share)
    # The warm-up's requests are in the CPU time too: count them at the measured rate.
    spent, seconds_all = cpu_seconds(rival.pid) - cpu, result.seconds + 0.2
    rival.server_us.append(1e6 * spent / (result.per_second * seconds_all))
    rival.errors += result.errors


def measure(rivals: list[Rival], connections: int, rounds: int, seconds: float) -> None:
    """Interleaved rounds of load."""
    for _ in range(rounds):
        for rival in rivals:
            load_once(rival, connections, seconds)


def ratio(first: Rival, second: Rival) -> float:
    """Median over the rounds of the first one's throughput to the second one's in the same round."""
    return median([a / b for a, b in zip(first.per_second, second.per_second, strict=True)])
