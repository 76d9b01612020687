"""The digits model served in every way, side by side in one run, with ratios.

    python benchmarks/serving.py                                all, about 4 minutes
    python benchmarks/serving.py --quick                        a look, half a minute, no figures to quote
    python benchmarks/serving.py --json out.json --picture phases.png

Exit code 0 whenever everything could be measured; a goal that is not reached is a result, not an error.
Needs the `test` extra (FastAPI and uvicorn).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # when called as a program

import numpy as np
from rich.console import Console

from benchmarks import many, report, servers, single, wire
from benchmarks.wire import MODEL, Array
from lab_utils.models.digits import load_digits
from lab_utils.server.install import TRITON_VERSION

BATCHES = (1, 8192)
CONNECTIONS = (16, 32)


def digits(batch: int) -> Array:
    """Real digits `[batch, 1, 28, 28]`, repeated as often as needed."""
    images = load_digits()[0]
    return np.ascontiguousarray(np.resize(images, (batch, *images.shape[1:])))


def about(arguments: argparse.Namespace) -> dict[str, str]:
    """Under which circumstances the figures were taken."""
    cores = len(os.sched_getaffinity(0))
    return {
        "Date": time.strftime("%Y-%m-%d %H:%M"),
        "Command": " ".join(["python benchmarks/serving.py", *sys.argv[1:]]),
        "Machine": f"{cores} cores, load average {os.getloadavg()[0]:.1f} before the run",
        "Versions": f"Python {platform.python_version()}, tritonserver {TRITON_VERSION}, "
        f"onnxruntime {version('onnxruntime')}, fastapi {version('fastapi')}, "
        f"uvicorn {version('uvicorn')} ({servers.fastapi_engine()}, one worker)",
        "Note": f"servers and clients share the {cores} cores: compare ratios, not absolute figures",
        "Client": "prepared bytes over keep-alive sockets (HTTP, both sides alike) or a raw gRPC channel",
        "Dynamic batching": f"max_queue_delay_microseconds: {arguments.queue_delay}, one instance",
    }


def measure(arguments: argparse.Namespace, folder: Path, say: Console) -> report.Figures:
    """Start the servers, run all rounds, stop the servers."""
    quick = arguments.quick
    plain = servers.copy_repository(folder / "plain", "instance_group [ { kind: KIND_CPU count: 1 } ]\n")
    batching = servers.copy_repository(
        folder / "batching",
        "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
        f"dynamic_batching {{ max_queue_delay_microseconds: {arguments.queue_delay} }}\n",
    )
    model = plain / MODEL / "1" / "model.onnx"
    figures = report.Figures(about(arguments), {}, {}, {})
    for name, auto_complete in (("given config", False), ("auto-complete", True)):
        say.print(f"start to ready, {name} ...")
        figures.starts[name] = servers.seconds_to_ready(plain, auto_complete, 1 if quick else 5)
    servers.add_noop(plain)
    with servers.run_fastapi(model) as (fastapi, fastapi_pid):
        with servers.run_triton(plain, "bench-plain") as server:
            for batch in BATCHES:
                say.print(f"one request at a time, batch {batch} ...")
                with ExitStack() as stack:
                    targets = single.targets(stack, server, fastapi, model, digits(batch))
                    single.check_answers(targets)
                    # Short rounds, many of them: a busy moment then spoils a pair, not the figure.
                    single.measure(
                        targets, server, 2 if quick else 4 * arguments.rounds, 0.05 if quick else 0.15
                    )
                figures.singles[batch] = targets
        with servers.run_triton(batching, "bench-batching") as server:
            assert server.pid is not None
            image = digits(1)
            for connections in CONNECTIONS:
                say.print(f"{connections} requests at once ...")
                rivals = [
                    many.Rival("Triton HTTP", server.endpoints.http, folder / "triton.bin", server.pid),
                    many.Rival(single.RAW, fastapi, folder / "raw.bin", fastapi_pid),
                    many.Rival(single.JSON, fastapi, folder / "json.bin", fastapi_pid),
                ]
                for rival, message in zip(
                    rivals,
                    (wire.triton_binary(image), wire.fastapi_raw(image), wire.fastapi_json(image)),
                    strict=True,
                ):
                    rival.message.write_bytes(message)
                before = servers.statistics_of(server)
                many.measure(rivals, connections, 1 if quick else arguments.rounds, 0.3 if quick else 2.0)
                after = servers.statistics_of(server)
                figures.loads[connections] = rivals
                size = (after["requests"] - before["requests"]) / (after["executions"] - before["executions"])
                figures.about[f"Mean batch at {connections} at once"] = f"{size:.1f}"
    return figures


def main() -> int:
    """Parse the arguments, measure, report."""
    parser = argparse.ArgumentParser(description="The digits model served in every way, side by side.")
    parser.add_argument("--quick", action="store_true", help="a short look; no figures to quote")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default 7)")
    parser.add_argument(
        "--queue-delay", type=int, default=200, help="max_queue_delay_microseconds (default 200)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all figures to FILE, - for standard output"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the phases to a PNG file")
    arguments = parser.parse_args()
    say = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="triton-lab-bench-") as folder:
        figures = measure(arguments, Path(folder), say)
    text = json.dumps(report.as_json(figures), indent=1)
    if arguments.json and str(arguments.json) == "-":
        print(text)
    else:
        report.show(figures, Console(width=120))
        if arguments.json:
            arguments.json.write_text(text + "\n")
    if arguments.picture:
        report.picture(figures, arguments.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
