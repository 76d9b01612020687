"""Locust beside our load generator and perf_analyzer: the same model, the same load, in one run, as ratios.

    python benchmarks/locust.py                   about 4 minutes
    python benchmarks/locust.py --quick           a look without perf_analyzer, no figures to quote
    python benchmarks/locust.py --json out.json

Four questions, each with its own table:

1. Ceiling: how many requests a second does one process of each get out of a fast model?
2. Agreement: do they measure the same on `timed`, whose service time is known?
3. Resolution: what does locust print of times that were measured exactly in the same run?
4. Coordinated omission: the server stands still for half a second. Who sees it?

Without perf_analyzer its rows are left out. Exit code 0 whenever everything could be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # when called as a program

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import servers
from lab_utils import paths
from lab_utils.load import Latency, LoadError, LoadResult, run_load
from lab_utils.load.locust_result import LocustResult
from lab_utils.load.locust_run import run_locust
from lab_utils.load.perf_binary import find_perf_analyzer, get_perf_analyzer
from lab_utils.server import Server

FAST, KNOWN = servers.MODEL, "timed"
STALL, RATE, USERS = 0.5, 100, 4
"""Seconds that the server stands still; requests per second that are due; users who share them."""


@dataclass
class Row:
    """One way of asking, round by round.

    Attributes:
        throughput: Requests per second.
        p50: Milliseconds; `p99` too.
        client_us: Client CPU per request in microseconds; empty for perf_analyzer.
    """

    model: str
    protocol: str
    users: int
    engine: str
    throughput: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    client_us: list[float] = field(default_factory=list)
    failures: int = 0

    def add(self, result: LoadResult) -> None:
        """One measurement."""
        self.throughput.append(result.requests_per_second)
        self.p50.append(result.latency.p50 * 1e3)
        self.p99.append(result.latency.p99 * 1e3)
        self.failures += result.failed
        if result.engine != "perf_analyzer" and result.requests_per_second:
            self.client_us.append(1e6 * result.client_share / result.requests_per_second)


@dataclass
class Resolution:
    """Latency of the same requests in milliseconds: as measured, and as locust prints it."""

    what: str
    exact: dict[str, float]
    printed: dict[str, float]


@dataclass
class Stalled:
    """What one way of asking saw of a server that stood still; times in milliseconds."""

    engine: str
    due: int
    answered: int
    latency: dict[str, float]


def milliseconds(latency: Latency) -> dict[str, float]:
    """The percentiles that the tables show."""
    return {name: getattr(latency, name) * 1e3 for name in ("p50", "p90", "p95", "p99", "max")}


def locust(server: Server, model: str, protocol: str, users: int, seconds: int, **more: Any) -> LocustResult:
    """Locust with requests of one row, without pauses: the load that the others make, too."""
    return run_locust(server, model, protocol=protocol, users=users, seconds=seconds, mix=(1, 0, 0), **more)


def in_turns(server: Server, rows: list[Row], rounds: int, seconds: int, say: Console) -> None:
    """Every way of asking once a round; the order is turned round by round."""
    for number in range(rounds):
        say.print(f"round {number + 1} of {rounds} ...")
        for row in rows if number % 2 else reversed(rows):
            if row.engine != "locust":
                load = {"protocol": row.protocol, "concurrency": row.users, "seconds": seconds - 0.3}
                own = {"processes": 1} if row.engine == "lab" else {}
                row.add(run_load(server, row.model, engine=row.engine, warmup=0.3, **load, **own))
                continue
            row.add(locust(server, row.model, row.protocol, row.users, seconds).loads()[0])


def resolution(server: Server, seconds: int) -> list[Resolution]:
    """Exact and printed figures of the same requests: without a warm-up both have all of them."""
    found = []
    for model, users in ((FAST, 1), (KNOWN, 4), (KNOWN, 16)):
        result = locust(server, model, "http", users, seconds, warmup=0)
        printed = {k: result.printed[k] * 1e3 for k in ("p50", "p90", "p95", "p99", "max")}
        found.append(Resolution(f"{model}, {users} users", milliseconds(result.steps[0].latency), printed))
    return found


def count(server: Server, model: str) -> int:
    """Requests that the model has answered."""
    page = httpx.get(f"{server.endpoints.http_url}/v2/models/{model}/stats", trust_env=False, timeout=10)
    return sum(int(entry["inference_stats"]["success"]["count"]) for entry in page.json()["model_stats"])


def while_stalled(server: Server, measure: Callable[[], Any]) -> Any:
    """Measure while the server stands still once, a second after the load has begun."""
    before, over = count(server, FAST), threading.Event()

    def stall() -> None:
        while count(server, FAST) == before:
            if over.wait(0.02):
                return
        time.sleep(1.0)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            time.sleep(STALL)
        finally:
            os.kill(server.pid, signal.SIGCONT)

    helper = threading.Thread(target=stall)
    helper.start()
    try:
        return measure()
    finally:
        over.set()
        helper.join()


def omission(server: Server, seconds: int) -> list[Stalled]:
    """The same rate by both, while the server stands still for `STALL` seconds.

    Locust: users at a constant pace, which is the nearest to a rate that it has. Each waits for its
    answer, so that four users can have no more than four requests in the stall.
    """
    load = {"protocol": "http", "rate": RATE, "arrival": "constant", "seconds": seconds - 0.3}
    ours: LoadResult = while_stalled(server, lambda: run_load(server, FAST, **load))
    theirs: LocustResult = while_stalled(
        server, lambda: locust(server, FAST, "http", USERS, seconds, pace=USERS / RATE)
    )
    (step,) = theirs.steps
    return [
        Stalled("lab", round(RATE * ours.seconds), ours.requests, milliseconds(ours.latency)),
        Stalled("locust", round(RATE * step.seconds), step.requests, milliseconds(step.latency)),
    ]


def show_rows(rows: list[Row], console: Console) -> None:
    """Medians, and each beside our load generator."""
    head = (
        "model",
        "protocol",
        "users",
        "by",
        "requests/s",
        "to ours",
        "p50 ms",
        "to ours",
        "p99 ms",
        "CPU us",
    )
    table = Table(*head, title="medians over the rounds; CPU: of the client, per request")
    ours = {(r.model, r.protocol, r.users): r for r in rows if r.engine == "lab"}
    for row in rows:
        base = ours[row.model, row.protocol, row.users]
        pace, base_pace = statistics.median(row.throughput), statistics.median(base.throughput)
        p50, base_p50 = statistics.median(row.p50), statistics.median(base.p50)
        cpu = f"{statistics.median(row.client_us):,.0f}" if row.client_us else "-"
        table.add_row(
            *(row.model, row.protocol, str(row.users), row.engine),
            *(f"{pace:,.0f}", f"{pace / base_pace:.2f}", f"{p50:.2f}", f"{p50 / base_p50:.2f}"),
            *(f"{statistics.median(row.p99):.1f}", cpu),
        )
    console.print(table)


def show_rest(seen: list[Resolution], stalled: list[Stalled], console: Console) -> None:
    """What locust prints of exact times, and what each saw of the stall."""
    names = ("p50", "p90", "p95", "p99", "max")
    table = Table("locust run", "figures", *names, title="milliseconds, as measured and as printed")
    for entry in seen:
        table.add_row(entry.what, "exact", *(f"{entry.exact[n]:.2f}" for n in names))
        table.add_row("", "printed", *(f"{entry.printed[n]:.4g}" for n in names))
    console.print(table)
    title = f"{RATE} requests/s for a while, and the server stands still for {STALL * 1e3:.0f} ms of it"
    table = Table("by", "due", "answered", *(f"{n} ms" for n in names), title=title)
    for found in stalled:
        table.add_row(
            found.engine, str(found.due), str(found.answered), *(f"{found.latency[n]:.1f}" for n in names)
        )
    console.print(table)


def main() -> int:
    """Parse the arguments, measure, report."""
    parser = argparse.ArgumentParser(description="Locust beside our load generator and perf_analyzer.")
    parser.add_argument("--quick", action="store_true", help="one short round; no figures to quote")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    say, out = Console(stderr=True), Console(width=120)
    load = os.getloadavg()[0]
    engines = ["lab", "locust"]
    if not arguments.quick:
        try:
            if find_perf_analyzer() is None:
                get_perf_analyzer()
            engines.append("perf_analyzer")
        except LoadError as error:
            say.print(f"without perf_analyzer: {error.what}")
    counts = (8,) if arguments.quick else (1, 8, 32)
    asked = [(FAST, users) for users in counts] + [(KNOWN, 4)]
    rows = [
        Row(model, protocol, users, engine)
        for model, users in asked
        for protocol in (("http",) if arguments.quick else ("http", "grpc"))
        for engine in engines
    ]
    rounds, seconds = (1, 1) if arguments.quick else (arguments.rounds, 2)
    with tempfile.TemporaryDirectory(prefix="triton-lab-bench-") as folder:
        repository = servers.copy_repository(Path(folder) / "repository")
        shutil.copytree(paths.project_root() / "model_repository" / KNOWN, repository / KNOWN)
        with servers.run_triton(repository, "bench-locust") as server:
            server.wait_ready(KNOWN)
            in_turns(server, rows, rounds, seconds, say)
            seen = resolution(server, seconds)
            stalled = omission(server, 3)
    cores = len(os.sched_getaffinity(0))
    out.print(f"{time.strftime('%Y-%m-%d %H:%M')}, {cores} cores, load average {load:.1f} before the run")
    show_rows(rows, out)
    show_rest(seen, stalled, out)
    if arguments.json:
        content = {name: [asdict(x) for x in group] for name, group in (("rows", rows), ("seen", seen))}
        content["stalled"] = [asdict(entry) for entry in stalled]
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
