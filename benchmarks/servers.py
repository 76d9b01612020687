"""What is measured: Triton from a copy of the model repository, and the FastAPI application beside it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from benchmarks.wire import MODEL
from lab_utils import paths
from lab_utils import server as triton
from lab_utils.models.build import build_models
from lab_utils.server import Server
from lab_utils.server.ports import LOOPBACK, free_ports

NOOP = "noop"
_NOOP_CONFIG = """
backend: "python"
max_batch_size: 8192
input [ { name: "input" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] } ]
output [ { name: "output" data_type: TYPE_FP32 dims: [ 10 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
_NOOP_MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        sizes = [pb_utils.get_input_tensor_by_name(r, "input").shape()[0] for r in requests]
        answers = [pb_utils.Tensor("output", np.zeros((n, 10), np.float32)) for n in sizes]
        return [pb_utils.InferenceResponse([answer]) for answer in answers]
"""
QUICK_STOP = "--exit-timeout-secs=0"
NO_AUTO_COMPLETE = "--disable-auto-complete-config"


def copy_repository(target: Path, extra_config: str = "") -> Path:
    """A copy of the course's model repository, with something added to the digits model's config."""
    shutil.copytree(paths.project_root() / "model_repository" / MODEL, target / MODEL)
    build_models(repository=target)
    config = target / MODEL / "config.pbtxt"
    config.write_text(f"{config.read_text()}{extra_config}")
    return target


def add_noop(repository: Path) -> None:
    """Add a Python model of the same inputs and outputs that does nothing: the floor for such a backend."""
    folder = repository / NOOP / "1"
    folder.mkdir(parents=True)
    (folder.parent / "config.pbtxt").write_text(_NOOP_CONFIG)
    (folder / "model.py").write_text(_NOOP_MODEL)


@contextmanager
def run_triton(repository: Path, name: str) -> Iterator[Server]:
    """The embedded Triton with the digits model ready."""
    server = triton.start(
        repository,
        name=name,
        runtime="embedded",
        lifetime="kernel",
        options=[NO_AUTO_COMPLETE, QUICK_STOP],
        wait_for=[MODEL],
    )
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def run_fastapi(model: Path) -> Iterator[tuple[str, int]]:
    """One uvicorn worker with the application; yields its address and its process id."""
    port = free_ports(1)[0]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "uvicorn",
            "benchmarks.fastapi_app:app",
            "--host",
            LOOPBACK,
            "--port",
            str(port),
            "--log-level",
            "warning",
            "--no-access-log",
            # On a busy machine a round of the others can take longer than the five seconds of the default.
            "--timeout-keep-alive",
            "600",
        ],
        cwd=paths.project_root(),
        env={**os.environ, "TRITON_LAB_BENCH_MODEL": str(model)},
    )
    try:
        end = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://{LOOPBACK}:{port}/openapi.json", timeout=5, trust_env=False)
                break
            except httpx.HTTPError as error:
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("the FastAPI application did not start") from error
                time.sleep(0.1)
        yield f"{LOOPBACK}:{port}", process.pid
    finally:
        process.terminate()
        process.wait(10)


def fastapi_engine() -> str:
    """Which event loop and HTTP parser uvicorn uses here: it matters for its speed."""
    loop = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
    parser = "httptools" if importlib.util.find_spec("httptools") else "h11"
    return f"{loop} + {parser}"


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its children so far."""
    total = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system
    return total


def statistics_of(server: Server, model: str = MODEL) -> dict[str, int]:
    """Triton's own counters of a model: requests, executions, and ns of every phase."""
    url = f"{server.endpoints.http_url}/v2/models/{model}/stats"
    found = httpx.get(url, timeout=10, trust_env=False).json()["model_stats"][0]
    phases = ("success", "queue", "compute_input", "compute_infer", "compute_output")
    counters = {p: int(found["inference_stats"][p].get("ns", 0)) for p in phases}
    counters["requests"] = int(found["inference_stats"]["success"].get("count", 0))
    counters["executions"] = int(found.get("execution_count", 0))
    return counters


def seconds_to_ready(folder: Path, auto_complete: bool, times: int) -> list[float]:
    """Seconds from the call of start until the digits model is ready, several times."""
    options = [QUICK_STOP, *([] if auto_complete else [NO_AUTO_COMPLETE])]
    found = []
    for _ in range(times):
        began = time.perf_counter()
        server = triton.start(
            folder,
            name="bench-start",
            runtime="embedded",
            lifetime="kernel",
            options=options,
            wait_for=[MODEL],
        )
        found.append(time.perf_counter() - began)
        server.stop()
    return found


def median(values: list[float]) -> float:
    """The median; the one summary used here, because a busy machine gives long tails."""
    return statistics.median(values)
