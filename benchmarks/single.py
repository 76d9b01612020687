"""One request at a time: the limit, Triton over three transports, FastAPI; interleaved rounds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import onnxruntime as ort
from tritonclient.utils import shared_memory

from benchmarks import wire
from benchmarks.servers import NOOP, median, statistics_of
from benchmarks.wire import Array
from lab_utils.server import Server

LIMIT = "in-process ONNX Runtime"
HTTP, GRPC, SHM = "Triton HTTP", "Triton gRPC", "Triton shared memory"
SHM_COPY = "Triton shared memory, written and read"
RAW, JSON = "FastAPI raw bytes", "FastAPI JSON"
NO_OP = "Triton HTTP, model that does nothing"
TRITON = (HTTP, GRPC, SHM, SHM_COPY, NO_OP)
PHASES = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass
class Target:
    """One way to get the answer: `ask` is timed, `answer` gives the logits of the last request."""

    name: str
    ask: Callable[[], object]
    answer: Callable[[], Array]
    batch: int
    most_rounds: int = 1000
    milliseconds: list[float] = field(default_factory=list)
    by_round: list[float] = field(default_factory=list)
    phases: list[dict[str, float]] = field(default_factory=list)


class Region:
    """A system shared-memory region, registered with the server; removed on close."""

    def __init__(self, server: Server, name: str, size: int) -> None:
        self.server, self.name = server, name
        self.handle = shared_memory.create_shared_memory_region(name, f"/{name}", size)
        self._post("register", {"key": f"/{name}", "offset": 0, "byte_size": size})

    def _post(self, action: str, body: dict[str, object]) -> None:
        url = f"{self.server.endpoints.http_url}/v2/systemsharedmemory/region/{self.name}/{action}"
        headers = self.server.headers
        httpx.post(url, json=body, headers=headers, timeout=10, trust_env=False).raise_for_status()

    def write(self, images: Array) -> None:
        """Copy the images into the region."""
        shared_memory.set_shared_memory_region(self.handle, [images])

    def read(self, rows: int) -> Array:
        """A copy of the logits `[rows, 10]` in the region."""
        found: Array = shared_memory.get_contents_as_numpy(self.handle, np.float32, [rows, 10]).copy()
        return found

    def close(self) -> None:
        """Unregister and remove it."""
        try:
            self._post("unregister", {})
        finally:
            shared_memory.destroy_shared_memory_region(self.handle)


def targets(stack: ExitStack, server: Server, fastapi: str, model: Path, images: Array) -> list[Target]:
    """All ways to classify these images, with everything prepared. `stack` closes what they opened."""
    batch = len(images)
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    http = wire.HttpConnection(server.endpoints.http)
    grpc = wire.GrpcConnection(server.endpoints.grpc)
    rival = wire.HttpConnection(fastapi)
    place = f"tlbench-{os.getpid()}-{batch}"
    region_in = Region(server, f"{place}-in", images.nbytes)
    region_out = Region(server, f"{place}-out", batch * 40)
    for thing in (http, grpc, rival, region_in, region_out):
        stack.callback(thing.close)
    region_in.write(images)
    binary, over_grpc = wire.triton_binary(images), wire.grpc_message(images)
    shm = wire.triton_shared_memory(images, region_in.name, region_out.name, batch * 40)
    idle = wire.triton_binary(images, NOOP)
    raw, text = wire.fastapi_raw(images), wire.fastapi_json(images)
    last: dict[str, object] = {}

    def keep(name: str, ask: Callable[[], object]) -> Callable[[], object]:
        def timed() -> object:
            last[name] = ask()
            return last[name]

        return timed

    def written_and_read() -> Array:
        region_in.write(images)
        http.ask(shm)
        return region_out.read(batch)

    def body(name: str) -> wire.Answer:
        found = last[name]
        assert isinstance(found, wire.Answer)
        return found

    ways: list[tuple[str, Callable[[], object], Callable[[], Array]]] = [
        (LIMIT, lambda: session.run(None, {"input": images})[0], lambda: np.asarray(last[LIMIT])),
        (HTTP, lambda: http.ask(binary), lambda: body(HTTP).tensor()),
        (GRPC, lambda: grpc.ask(over_grpc), lambda: wire.grpc_tensor(bytes(last[GRPC]))),  # type: ignore[call-overload]
        (SHM, lambda: http.ask(shm), lambda: region_out.read(batch)),
        (SHM_COPY, written_and_read, lambda: np.asarray(last[SHM_COPY])),
        (NO_OP, lambda: http.ask(idle), lambda: body(NO_OP).tensor()),
        (RAW, lambda: rival.ask(raw), lambda: body(RAW).tensor()),
        (JSON, lambda: rival.ask(text), lambda: wire.json_tensor(body(JSON))),
    ]
    found = [Target(name, keep(name, ask), answer, batch) for name, ask, answer in ways]
    if batch > 64:
        found[-1].most_rounds = 2  # such a JSON request takes seconds: two rounds say enough
    return found


def check_answers(found: list[Target]) -> None:
    """Every way gives the limit's answer. Raises AssertionError, and nothing is measured then."""
    found[0].ask()
    expected = found[0].answer()
    for target in found[1:]:
        target.ask()
        np.testing.assert_allclose(
            target.answer(),
            0 * expected if target.name == NO_OP else expected,
            rtol=1e-5,
            atol=1e-5,
            err_msg=f"{target.name} gives another answer",
        )


def measure(found: list[Target], server: Server, rounds: int, seconds: float) -> None:
    """Interleaved rounds: each target in turn for some time, so that a busy moment hits all alike.

    Fills `milliseconds` (every request), `by_round` (median of each round) and, for Triton, `phases`
    (of each round: mean ms a request from Triton's statistics, and `total`, what the client waited).
    """
    for number in range(rounds):
        for target in found:
            if number >= target.most_rounds:
                continue
            target.ask()  # the first one after another target pays for cold caches
            model = NOOP if target.name == NO_OP else wire.MODEL
            before = statistics_of(server, model) if target.name in TRITON else {}
            times: list[float] = []
            end = time.perf_counter() + seconds
            while len(times) < 2 or time.perf_counter() < end:
                began = time.perf_counter()
                target.ask()
                times.append(1e3 * (time.perf_counter() - began))
            if before:
                after = statistics_of(server, model)
                phases = {p: (after[p] - before[p]) / len(times) / 1e6 for p in PHASES}
                target.phases.append(phases | {"total": sum(times) / len(times)})
            target.milliseconds += times
            target.by_round.append(median(times))


def ratio_to_limit(target: Target, limit: Target) -> float:
    """Median over the rounds of this target's time to the limit's time in the same round."""
    return median([own / best for own, best in zip(target.by_round, limit.by_round, strict=False)])


def shares(target: Target, limit: Target) -> dict[str, float]:
    """Where a request's time goes, as shares of what the client waits (median over the rounds).

    `transport` is what the client waits beyond the server's compute and queue; `model` is the limit's time in
    the same round; `backend` is the rest: compute input and output, and infer beyond the limit.
    """
    parts: dict[str, list[float]] = {"queue": [], "model": [], "backend": []}
    for phases, in_process in zip(target.phases, limit.by_round, strict=True):
        model = 0.0 if target.name == NO_OP else min(in_process, phases["compute_infer"])
        backend = phases["compute_input"] + phases["compute_output"] + phases["compute_infer"] - model
        for part, value in (("queue", phases["queue"]), ("model", model), ("backend", backend)):
            parts[part].append(value / phases["total"])
    found = {part: median(values) for part, values in parts.items()}
    return found | {"transport": max(0.0, 1 - sum(found.values()))}
