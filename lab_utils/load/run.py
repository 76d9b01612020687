"""`run_load`: put load on a model and measure what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lab_utils.load.crew import LoadError
from lab_utils.load.payload import Array, build_payload
from lab_utils.load.progress import Progress
from lab_utils.load.result import LoadResult
from lab_utils.load.session import Load
from lab_utils.load.summary import summarize
from lab_utils.load.view import ServerView

if TYPE_CHECKING:
    from lab_utils.server.base import Server

PROTOCOLS = ("grpc", "http", "stream")


def run_load(
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
    warmup: float = 0.3,
    batch: int = 1,
    inputs: Mapping[str, Array] | Sequence[Mapping[str, Array]] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    parameters: Mapping[str, Any] | None = None,
    processes: int | str = "auto",
    stable: bool = False,
    client_timeout: float = 60.0,
    drain: float = 5.0,
    validate: bool = False,
    progress: bool = True,
    seed: int = 0,
    engine: str = "lab",
) -> LoadResult:
    """Put load on a model and measure throughput, latency and what the server did.

    Args:
        target: A server (`lab.server`), or `host:port` of the protocol.
        model: The model. Its inputs come from its metadata.
        protocol: `grpc`, `http`, or `stream` (ModelStreamInfer; decoupled models need it).
        version: A version of the model; empty: the server's choice.
        concurrency: Closed loop: requests in flight. Each is sent when an answer has come.
        rate: Open loop: requests per second, sent when they are due, answers or not. Then
            `concurrency` is not used.
        arrival: Of the open loop: `poisson` (independent users) or `constant`.
        seconds: How long to measure.
        requests: Measure exactly this many requests instead, from an idle server to the last
            answer. The statistics then count these and no others.
        warmup: Seconds of the same load before the measurement; not counted.
        batch: Rows per random request.
        inputs: Arrays of one request by input name, with their batch dimension; or several such
            requests, sent in turn. None: random data.
        shapes: Shapes for random data where a dimension is variable (-1); else 1 is used.
        parameters: Request parameters: `priority`, `timeout` (microseconds) and any other.
        processes: Load processes; `"auto"`: as many as keep each of them below a full core.
        stable: Measure windows of `seconds` until three in a row agree within 10 %.
        client_timeout: Seconds after which a request is given up.
        drain: Seconds to wait at the end for answers still in flight.
        validate: Compare each answer with the one that the same request gets alone, before the load.
        progress: Show a bar when a person looks on and it takes more than a second.
        seed: Of the random data and the Poisson arrivals.
        engine: `lab`, or `perf_analyzer` to use that program (see `lab_utils.load.perf_analyzer`).

    Returns:
        The figures. After Ctrl-C those of the time until then, with `interrupted` set.

    Raises:
        LoadError: The server or model cannot be asked, or the arguments do not fit together.
    """
    check_load(protocol, concurrency, rate, arrival, seconds, requests, processes, engine)
    if engine == "perf_analyzer":
        from lab_utils.load.perf_analyzer import run_perf_analyzer

        return run_perf_analyzer(
            target,
            model,
            protocol=protocol,
            version=version,
            concurrency=concurrency,
            rate=rate,
            arrival=arrival,
            seconds=seconds,
            requests=requests,
            batch=batch,
            inputs=inputs,
            shapes=shapes,
            parameters=parameters,
            stable=stable,
        )
    view = ServerView(target, protocol, model, version)
    try:
        payload = build_payload(
            view, batch=batch, inputs=inputs, shapes=shapes, parameters=parameters, seed=seed
        )
        load = Load(view, payload, concurrency, rate, arrival, client_timeout, drain, seed, processes)
        if validate:
            from lab_utils.load.compare import reference_answers

            load.expected = reference_answers(load.plans(1, requests=len(payload.messages))[0])
        bar = Progress(f"{model}: {load.label}", warmup + seconds if requests is None else None, progress)
        with bar:
            if requests is None:
                measured = load.for_seconds(seconds, warmup, stable, bar)
            else:
                measured = load.for_requests(requests, warmup, bar)
        return summarize(load.about(), measured)
    finally:
        view.close()


def check_load(
    protocol: str,
    concurrency: int,
    rate: float | None,
    arrival: str,
    seconds: float,
    requests: int | None,
    processes: int | str,
    engine: str,
) -> None:
    """Raise `LoadError` for arguments that make no load."""
    for name, value, known in (
        ("protocol", protocol, PROTOCOLS),
        ("arrival", arrival, ("poisson", "constant")),
        ("engine", engine, ("lab", "perf_analyzer")),
    ):
        if value not in known:
            raise LoadError(f"`{value}` is not a {name}.", fix=f"Use one of: {', '.join(known)}.")
    numbers = {"concurrency": concurrency, "rate": rate, "seconds": seconds, "requests": requests}
    for name, number in numbers.items():
        if number is not None and number <= 0:
            raise LoadError(f"{name} is {number}.", fix="Give a number above 0.")
    if processes != "auto" and not (isinstance(processes, int) and processes > 0):
        raise LoadError(f"processes is {processes!r}.", fix='Give a number above 0, or "auto".')


def run_sweep(
    target: Server | str,
    model: str,
    *,
    concurrency: Sequence[int] = (),
    rate: Sequence[float] = (),
    **settings: Any,
) -> list[LoadResult]:
    """`run_load` once for each concurrency (or rate). Ctrl-C ends it after the interrupted one.

    Args:
        target: As in `run_load`.
        model: As in `run_load`.
        concurrency: One closed loop for each.
        rate: One open loop for each.
        settings: The other arguments of `run_load`.
    """
    loads: list[dict[str, Any]] = [{"concurrency": c} for c in concurrency] + [{"rate": r} for r in rate]
    results: list[LoadResult] = []
    for load in loads:
        try:
            results.append(run_load(target, model, **load, **settings))
        except KeyboardInterrupt:
            if not results:
                raise
            results[-1] = replace(
                results[-1], interrupted=True, notes=[*results[-1].notes, "Ctrl-C ended the series here."]
            )
        if results[-1].interrupted:
            break
    return results
