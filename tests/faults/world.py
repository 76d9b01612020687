"""What the fault tests look at: processes by the server marker, regions, answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from lab_utils import paths
from lab_utils.keeper.identity import marked, regions
from lab_utils.server import Server


def ids(name: str) -> set[str]:
    """Ids of the servers started under this name, from the names of their logs."""
    return {p.stem[-12:] for p in (paths.state_home() / "logs").glob(f"{name}-????????????.log")}


def part_of(pid: int) -> str:
    """Which part of a server a process is: `keeper`, `server`, `stub` or empty."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    program = Path(words[0]).name
    if program == "tritonserver":
        return "server"
    if program == "triton_python_backend_stub":
        return "stub"
    return "keeper" if any("lab_utils.keeper" in w for w in words) else ""


def part(server_id: str, kind: str) -> int | None:
    """The process id of one part of a server; None while there is none."""
    found = sorted(p.pid for p in marked(server_id) if part_of(p.pid) == kind)
    return found[0] if found else None


def left(server_ids: set[str]) -> list[str]:
    """Processes and shared-memory regions of these servers, in words."""
    found = [f"{part_of(p.pid) or 'process'} {p.pid} of {i}" for i in server_ids for p in marked(i)]
    return found + [f"region {r.name}" for i in server_ids for r in regions(f"tl{i}")]


def wait(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until a condition holds; the test fails with `what` when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.03)


def wait_gone(server_ids: set[str], seconds: float = 8.0) -> None:
    """Wait until nothing is left of these servers; the test fails with what is left."""
    end = time.monotonic() + seconds
    while found := left(server_ids):
        if time.monotonic() > end:
            pytest.fail(f"left behind: {found}")
        time.sleep(0.03)


def infer(server: Server, timeout: float = 10.0) -> httpx.Response:
    """One good request to the model `double`."""
    body = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    url = f"{server.endpoints.http_url}/v2/models/double/infer"
    return httpx.post(url, json=body, timeout=timeout, trust_env=False)


@contextmanager
def traffic(server: Server) -> Iterator[None]:
    """Two clients that send good requests all the time and do not mind errors: a server dies under load."""
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            try:
                infer(server, timeout=2)
            except httpx.HTTPError:
                over.wait(0.01)

    threads = [threading.Thread(target=send, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(5)


def assert_serves(server: Server) -> None:
    """The model answers, and rightly."""
    answer = infer(server)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == [2, 4, 6, 8]
