"""perf_analyzer as the engine of a load: its command line, and its figures as a `LoadResult`."""

from __future__ import annotations

import base64
import csv
import json
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.load.crew import LoadError
from lab_utils.load.payload import Array, Payload, build_payload
from lab_utils.load.perf_binary import environment, require_perf_analyzer
from lab_utils.load.result import Latency, LoadResult
from lab_utils.load.view import PHASES, ServerView

if TYPE_CHECKING:
    from lab_utils.server.base import Server

_COLUMNS = {
    "queue": "Server Queue",
    "compute_input": "Server Compute Input",
    "compute_infer": "Server Compute Infer",
    "compute_output": "Server Compute Output",
}
_ANY = 10_000
"""A stability percentage that three windows always keep."""


def run_perf_analyzer(
    target: Server | str,
    model: str,
    *,
    protocol: str = "grpc",
    version: str = "",
    concurrency: int = 8,
    rate: float | None = None,
    arrival: str = "poisson",
    seconds: float = 2.0,
    requests: int | None = None,
    batch: int = 1,
    inputs: Mapping[str, Array] | Sequence[Mapping[str, Array]] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    parameters: Mapping[str, Any] | None = None,
    stable: bool = False,
) -> LoadResult:
    """Measure with perf_analyzer. The arguments are those of `run_load`.

    perf_analyzer always measures three windows; here each is a third of `seconds`, or `seconds` long
    with `stable`. It warms up by itself. Its batch histogram is the difference of Triton's
    statistics around the whole run, so that its warm-up is in it.

    Raises:
        LoadError: The program is not there, does not know what is asked, or gave no figures.
    """
    program = require_perf_analyzer()
    if parameters:
        raise LoadError(
            "perf_analyzer cannot send priorities, time-outs and other parameters as given here.",
            fix='Use engine="lab".',
        )
    view = ServerView(target, protocol, model, version)
    try:
        payload = build_payload(view, batch=batch, inputs=inputs, shapes=shapes)
        with tempfile.TemporaryDirectory(prefix="perf-analyzer-") as folder:
            table = Path(folder) / "figures.csv"
            given = _inputs(payload, view, Path(folder)) if inputs is not None else []
            command = [
                *(str(program), "-m", model, "-u", view.address),
                *("-i", "http" if protocol == "http" else "grpc"),
                *(("-x", version) if version else ()),
                *(("-b", str(batch)) if batch > 1 and inputs is None else ()),
                *(("--streaming",) if protocol == "stream" else ()),
                *_load(concurrency, rate, arrival),
                *_window(seconds if stable else seconds / 3, requests),
                *("-s", "10" if stable else str(_ANY), "-f", str(table), "--verbose-csv"),
                *(part for name, dims in (shapes or {}).items() for part in ("--shape", _shape(name, dims))),
                *given,
            ]
            before, began = view.counters(), time.perf_counter()
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                env=environment(program),
                timeout=120 + 20 * seconds,
                check=False,
            )
            took = time.perf_counter() - began
            rows = list(csv.DictReader(table.read_text().splitlines())) if table.exists() else []
        server = view.counters().since(before)
    finally:
        view.close()
    if not rows:
        unstable = "stable measurement" in done.stdout + done.stderr
        raise LoadError(
            "perf_analyzer gave no figures.",
            why="Its windows never agreed within 10 %." if unstable else "It ended with an error.",
            fix="Measure longer windows, or without `stable`." if unstable else "Read its last lines below.",
            details=(done.stdout + done.stderr).strip()[-2000:],
        )
    row = {key: float(value) for key, value in rows[0].items() if value}
    throughput = row["Inferences/Second"]
    size = sum(payload.rows) / len(payload.rows)
    windows = seconds if requests is None else requests * size / throughput
    return LoadResult(
        model,
        protocol,
        version,
        engine="perf_analyzer",
        concurrency=concurrency if rate is None else None,
        rate=rate,
        arrival="" if rate is None else arrival,
        rows=size,
        seconds=windows,
        requests=round(throughput / size * windows),
        throughput=throughput,
        latency=_latency(row, round(throughput / size * windows)),
        server={phase: row.get(_COLUMNS[phase], 0.0) * 1e-6 for phase in PHASES},
        batch_histogram=server.batches,
        executions=server.executions,
        cache_hits=server.cache_hits,
        stable=True if stable else None,
        notes=[f"perf_analyzer ran for {took:.1f} s; the batches are those of its whole run"],
    )


def _load(concurrency: int, rate: float | None, arrival: str) -> tuple[str, ...]:
    if rate is None:
        return ("--concurrency-range", str(concurrency))
    return ("--request-rate-range", f"{rate:g}", "--request-distribution", arrival)


def _window(seconds: float, requests: int | None) -> tuple[str, ...]:
    """Its own option --request-count divides by whole windows, which understates the throughput."""
    if requests is None:
        return ("-p", str(round(seconds * 1000)))
    return ("--measurement-mode", "count_windows", "--measurement-request-count", str(-(-requests // 3)))


def _shape(name: str, dims: Sequence[int]) -> str:
    return f"{name}:{','.join(map(str, dims))}"


def _inputs(payload: Payload, view: ServerView, folder: Path) -> tuple[str, ...]:
    """The caller's inputs as perf_analyzer's JSON file: one row per entry, bytes in base64."""
    if any(rows != payload.rows[0] for rows in payload.rows):
        raise LoadError(
            "perf_analyzer sends batches of one size.", fix="Give requests of the same batch size."
        )
    batched = int(view.config().get("max_batch_size", 0)) > 0
    data = []
    for request in payload.inputs:
        for number in range(payload.rows[0]):
            data.append(
                {
                    name: _entry(
                        np.asarray(array)[number] if batched else np.asarray(array), payload.datatypes[name]
                    )
                    for name, array in request.items()
                }
            )
    path = folder / "inputs.json"
    path.write_text(json.dumps({"data": data}))
    return ("--input-data", str(path), *(("-b", str(payload.rows[0])) if batched else ()))


def _entry(array: Array, datatype: str) -> dict[str, Any]:
    if datatype == "BYTES":
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in array.ravel()]
        return {"content": words, "shape": list(array.shape)}
    return {"content": {"b64": base64.b64encode(array.tobytes()).decode()}, "shape": list(array.shape)}


def _latency(row: Mapping[str, float], count: int) -> Latency:
    """perf_analyzer's figures are whole microseconds; it reports no minimum and no maximum."""
    names = {
        "mean": "Avg latency",
        "p50": "p50 latency",
        "p90": "p90 latency",
        "p95": "p95 latency",
        "p99": "p99 latency",
    }
    return Latency(count, **{key: row[name] * 1e-6 for key, name in names.items() if name in row})
