"""`triton-lab bench`: load on a model of a running server, and what it does."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from lab_utils.cli import output
from lab_utils.errors import LabError

if TYPE_CHECKING:
    from lab_utils.load.result import LoadResult
    from lab_utils.server.base import Server

_Number = TypeVar("_Number", int, float)


class Protocol(StrEnum):
    """How requests travel."""

    grpc = "grpc"
    http = "http"
    stream = "stream"


class Arrival(StrEnum):
    """When the requests of an open loop are due."""

    poisson = "poisson"
    constant = "constant"


class Engine(StrEnum):
    """Who makes the load."""

    lab = "lab"
    perf_analyzer = "perf_analyzer"


def bench(
    model: Annotated[str | None, typer.Argument(help="The model.")] = None,
    server: Annotated[
        str | None, typer.Option(help="One of our servers, by name. Default: the one that runs.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="host:port of the protocol, instead of one of our servers.")
    ] = None,
    protocol: Annotated[
        Protocol | None,
        typer.Option(help="stream is for decoupled models. Default: grpc; stream with --prompts."),
    ] = None,
    version: Annotated[str, typer.Option(help="A version of the model.")] = "",
    concurrency: Annotated[
        str | None, typer.Option(help="Requests in flight: 8, or one load after the other: 1,2,4,8.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="Requests per second, sent when due: 100 or 50,100.")
    ] = None,
    arrival: Annotated[Arrival, typer.Option(help="With --rate: when requests are due.")] = Arrival.poisson,
    seconds: Annotated[float, typer.Option(help="How long to measure.")] = 2.0,
    requests: Annotated[int | None, typer.Option(help="Measure exactly so many requests instead.")] = None,
    warmup: Annotated[float, typer.Option(help="Seconds of load before the measurement.")] = 0.5,
    batch: Annotated[int, typer.Option(help="Rows per request.")] = 1,
    shape: Annotated[
        list[str] | None, typer.Option(help="Variable dimensions: INPUT:64 or INPUT:3,224,224. Repeatable.")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option(help="A request parameter: priority=1, timeout=1000. Repeatable.")
    ] = None,
    processes: Annotated[str, typer.Option(help="Load processes: auto or a number.")] = "auto",
    stable: Annotated[bool, typer.Option("--stable", help="Until three windows agree within 10 %.")] = False,
    validate: Annotated[
        bool, typer.Option("--validate", help="Compare every answer with that of the request alone.")
    ] = False,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Text generation: a file with one prompt per line. Gives TTFT, ITL and tokens/s."),
    ] = None,
    max_tokens: Annotated[
        str,
        typer.Option(help="With --prompts: 32, uniform:8-48, heavy:16 or heavy:16-256 (median, longest)."),
    ] = "32",
    ignore_eos: Annotated[
        bool,
        typer.Option("--ignore-eos", help="With --prompts: go on after an end token until --max-tokens."),
    ] = False,
    engine: Annotated[Engine, typer.Option(help="Who makes the load.")] = Engine.lab,
    picture: Annotated[
        Path | None, typer.Option(help="Write the latency/throughput curve to this file (.png, .svg).")
    ] = None,
    get_perf_analyzer: Annotated[
        bool, typer.Option("--get-perf-analyzer", help="Fetch perf_analyzer with pip, and nothing else.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON value: an object, or a list for several loads.")
    ] = False,
) -> None:
    """Put load on a model of a running server: throughput, latency, phases, batches.

    Closed loop (--concurrency): a new request when an answer has come. Open loop (--rate): requests
    when they are due, answers or not. Ctrl-C keeps what was measured.
    """
    from lab_utils.load import perf_binary
    from lab_utils.load.run import run_sweep

    if get_perf_analyzer:
        output.say(f"perf_analyzer: {perf_binary.get_perf_analyzer()}")
        return
    if model is None:
        raise LabError("No model is named.", fix="For example: triton-lab bench mnist_mlp --concurrency 8")
    if concurrency and rate:
        raise LabError("--concurrency and --rate exclude each other.", fix="Give one of them.")
    rates = _numbers("--rate", rate, float) if rate else []
    in_flight = [] if rates else _numbers("--concurrency", concurrency or "8", int)
    several = "," in (concurrency or rate or "")
    if prompts:
        from lab_utils.cli.bench_generation import bench_generation

        if picture or batch != 1 or shape or parameter or stable or validate or engine is not Engine.lab:
            raise LabError(
                "An option does not go with --prompts.",
                fix="Leave out --picture, --batch, --shape, --parameter, --stable, --validate and --engine.",
            )
        bench_generation(
            *(_target(server, url), model, prompts, max_tokens, [*in_flight, *rates], bool(rates)),
            json=json,
            several=several,
            protocol=protocol.value if protocol else "stream",
            arrival=arrival.value,
            seconds=seconds,
            requests=requests,
            warmup=warmup,
            processes=1 if processes == "auto" else _numbers("--processes", processes, int)[0],
            ignore_eos=ignore_eos,
        )
        return
    results = run_sweep(
        _target(server, url),
        model,
        concurrency=in_flight,
        rate=rates,
        protocol=protocol.value if protocol else "grpc",
        version=version,
        arrival=arrival.value,
        seconds=seconds,
        requests=requests,
        warmup=warmup,
        batch=batch,
        shapes=_shapes(shape or []),
        parameters=_parameters(parameter or []),
        processes=processes if processes == "auto" else _numbers("--processes", processes, int)[0],
        stable=stable,
        validate=validate,
        engine=engine.value,
    )
    _show(results, json, several)
    if picture:
        from lab_utils.load.pictures import draw_curve

        draw_curve(results).savefig(picture)
    if results[-1].interrupted:
        raise typer.Exit(130)


def _show(results: list[LoadResult], json: bool, several: bool) -> None:
    if json:
        values = [jsonlib.loads(result.to_json()) for result in results]
        output.print_json(values if several else values[0])
        return
    from lab_utils.load.text import table

    for line in (table(results) if several else str(results[0])).splitlines():
        output.say(line)


def _target(name: str | None, url: str | None) -> Server | str:
    """The address given, the server named, or the only one that runs."""
    from lab_utils import server as triton

    if url:
        return url
    if name:
        found = triton.find(name)
        if found is None:
            raise LabError(
                f"No server named `{name}` runs.", fix="`triton-lab status` shows the running ones."
            )
        return found
    running = triton.running()
    if len(running) == 1:
        return running[0]
    if not running:
        raise LabError(
            "No server of ours runs.", fix="Start one with `triton-lab start`, or give --url host:port."
        )
    names = ", ".join(server.name for server in running)
    raise LabError(f"{len(running)} servers run: {names}.", fix="Say which one with --server.")


def _numbers(option: str, text: str, kind: Callable[[str], _Number]) -> list[_Number]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise LabError(f"{option} {text} is not a number.", fix="For example 8, or 1,2,4,8.") from None


def _shapes(texts: list[str]) -> dict[str, list[int]]:
    shapes = {}
    for text in texts:
        name, _, dims = text.rpartition(":")
        shapes[name] = _numbers("--shape", dims, int)
    return shapes


def _parameters(texts: list[str]) -> dict[str, Any]:
    """Whole numbers and true or false are sent as such, anything else as text."""
    parameters: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise LabError(f"--parameter {text} has no value.", fix="For example: --parameter priority=1")
        words: dict[str, Any] = {"true": True, "false": False}
        parameters[name] = int(value) if value.lstrip("-").isdigit() else words.get(value.lower(), value)
    return parameters
