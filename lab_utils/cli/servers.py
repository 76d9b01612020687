"""Commands for servers: start, status, logs, stop. They touch only servers that the labs started."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab_utils.cli import output
from lab_utils.errors import LabError

if TYPE_CHECKING:
    from lab_utils.server.base import Server

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]


def describe(server: Server) -> dict[str, Any]:
    """A server as JSON values: name, runtime, pid, the three addresses as host:port, and its log."""
    log = getattr(server, "log_path", None)
    return {
        "name": server.name,
        "runtime": server.runtime,
        "pid": server.pid,
        **server.endpoints.as_dict(),
        "log": str(log) if log else None,
    }


def choose_models(
    repository: Path, options: list[str], wanted: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Which models of the project's own repository a server loads when it starts.

    All but the Llamas: each is a process with PyTorch and weights of its own, and is loaded when it is
    wanted. Options that say themselves what to load are left as they are.

    Args:
        repository: The model repository.
        options: Options of tritonserver.
        wanted: Models to load in any case.

    Returns:
        All options, and the models that are left out.
    """
    from lab_utils.models.build_cnn import CNN, can_build_cnn

    if any(option.startswith(("--model-control-mode", "--load-model")) for option in options):
        return options, []
    models = sorted(file.parent.name for file in repository.glob("*/config.pbtxt"))
    # Without PyTorch the CNN has no model.pt; the server would then never be ready.
    later = ("llama",) if can_build_cnn() else ("llama", CNN)
    left_out = [model for model in models if model.startswith(later) and model not in wanted]
    loads = [f"--load-model={model}" for model in models if model not in left_out]
    return [*options, "--model-control-mode=explicit", *loads], left_out


def start(
    repository: Annotated[
        Path | None, typer.Option(help="Model repository. Default: the project's model_repository/.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the server. Default: the name of the repository's folder.")
    ] = None,
    runtime: Annotated[str | None, typer.Option(help="embedded, docker or remote.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="An option of tritonserver, e.g. --option=--log-verbose=1. Repeatable."),
    ] = None,
    wait: Annotated[
        list[str] | None, typer.Option(help="Load this model and wait until it is ready. Repeatable.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the server and each model.")] = 60.0,
    json: JsonFlag = False,
) -> None:
    """Start a Triton on a model repository, or find the one that already serves it.

    Of the project's own repository the Llamas are loaded only when --wait names them: each is a process with
    PyTorch and weights of its own.
    """
    from lab_utils import paths
    from lab_utils import server as triton

    options, left_out = option or [], list[str]()
    if repository is None:
        from lab_utils.models.build import build_models

        build_models()
        repository = paths.project_root() / "model_repository"
        options, left_out = choose_models(repository, options, wait or [])
    # A server of the command line must outlive the command, whatever the environment says.
    server = triton.start(
        repository,
        name=name,
        runtime=runtime,
        options=options,
        lifetime=triton.Lifetime.SESSION,
        wait_for=wait or [],
        timeout=timeout,
    )
    if json:
        output.print_json(describe(server))
        return
    facts = describe(server)
    output.say(f"{server.name} runs ({server.runtime}, process {server.pid}).")
    for key in ("http", "grpc", "metrics", "log"):
        output.say(f"  {key:<8} {facts[key] or '-'}")
    output.say(f"Try:  curl -i {server.endpoints.http_url}/v2/health/ready")
    if server.headers:
        output.say("Its load, shared-memory, trace and log APIs want its key: triton-lab key prints it.")
    if left_out and server.runtime != "remote":
        opening = f"-H @<(triton-lab key {server.name}) " if server.headers else ""
        load = f"curl {opening}-X POST {server.endpoints.http_url}/v2/repository/models/llama/load"
        output.say(f"Not loaded: {', '.join(left_out)}. They need PyTorch; load one when you want it: {load}")
    if server.runtime != "remote":
        output.say(f"Stop: triton-lab stop {server.name}")


def status(json: JsonFlag = False) -> None:
    """Show our servers: the running ones, and those that ended by themselves and why."""
    from lab_utils import server as triton
    from lab_utils.server import probe
    from lab_utils.stack import state as stack_state

    rows: list[dict[str, Any]] = []
    for server in triton.running():
        code = probe.status(server.endpoints, "/v2/health/ready")
        state = "ready" if code == 200 else "no answer" if code is None else "not ready"
        faults = triton.stub_faults(server)
        rows.append(
            describe(server) | {"state": "damaged" if faults else state, "note": "; ".join(faults)},
        )
    running = {row["name"] for row in rows}
    for record in triton.all_records():
        if record.name not in running and not record.alive():
            facts = {"name": record.name, "runtime": record.runtime, "pid": None, "log": str(record.log)}
            note = str(record.ended) if record.ended else "it no longer runs"
            rows.append(facts | {"http": None, "grpc": None, "metrics": None, "state": "ended", "note": note})
    if json:
        output.print_json(rows)
        return
    if not rows:
        output.say("No server of ours runs.")
    for row in rows:
        process = f", process {row['pid']}" if row["pid"] else ""
        output.say(f"{row['name']}: {row['state']} ({row['runtime']}{process})")
        for key in ("http", "grpc", "metrics", "log", "note"):
            if row[key]:
                output.say(f"  {key:<8} {row[key]}")
    stack = stack_state.read()
    if stack is not None:
        output.say(f"The stack {stack.project} was started: `triton-lab up` prints its addresses.")


def stop(
    name: Annotated[
        str | None, typer.Argument(help="Name of the server, as `triton-lab status` shows it.")
    ] = None,
    all: Annotated[
        bool, typer.Option("--all", help="Stop all our servers and clean up after dead ones.")
    ] = False,
) -> None:
    """Stop a server of ours and clean up after it. Other people's Tritons are left alone."""
    from lab_utils import server as triton

    if all:
        stopped = triton.stop_all()
        output.say(f"Stopped: {', '.join(stopped)}." if stopped else "No server of ours was running.")
        return
    server = _pick(name)
    server.stop()
    output.say(f"Stopped: {server.name}.")


def logs(
    name: Annotated[
        str | None,
        typer.Argument(help="Name of the server. Default: the only one, else the last that ended."),
    ] = None,
    tail: Annotated[int | None, typer.Option(min=1, help="Only the last lines.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the server ends.")] = False,
) -> None:
    """Show what a server printed. Works for one that ended, too."""
    from lab_utils import server as triton

    if name is None and not triton.running():
        ended = sorted(triton.all_records(), key=lambda r: r.created)
        name = ended[-1].name if ended else None
    record = triton.record(name) if name else None
    if record and not record.alive() and triton.find(record.name) is None:
        text = record.log.read_text(errors="replace") if record.log.exists() else ""
        print("\n".join(text.splitlines()[-tail:] if tail else text.splitlines()))
        output.console(stderr=True).print(
            f"The server {record.name} no longer runs: {record.ended or 'ended'}"
        )
        return
    server = _pick(name)
    text = server.logs()
    print("\n".join(text.splitlines()[-tail:] if tail else text.splitlines()), flush=True)
    while follow:
        alive = server.alive()  # asked before reading, so that the last lines are not lost
        now = server.logs()
        if now != text:
            print(now[len(text) :].lstrip("\n"), flush=True)
            text = now
        if not alive:
            return
        time.sleep(0.3)


def key(
    name: Annotated[
        str | None, typer.Argument(help="Name of the server. Default: the only one that runs.")
    ] = None,
) -> None:
    """Print the header that opens a server which is closed because users share this machine.

    For curl: curl -H @<(triton-lab key) -X POST http://.../v2/repository/index. So the key stands on no
    command line, where other users could read it.
    """
    from lab_utils.server import keys

    server = _pick(name)
    if not server.headers:
        raise LabError(
            f"The server `{server.name}` has no key.",
            why="It is not closed: every program that reaches it may load models.",
            fix=f"Nothing is needed on a machine of your own. Where others use it, set "
            f"{keys.SHARED_HOST_VARIABLE}=1 and start the server again.",
        )
    print(f"{keys.HEADER}: {server.headers[keys.HEADER]}")


def _pick(name: str | None) -> Server:
    """The running server of this name, or the only one. Raises a LabError that lists the others."""
    from lab_utils import server as triton

    running = triton.running()
    names = ", ".join(s.name for s in running)
    if name:
        found = next((s for s in running if s.name == name), None)
        if found:
            return found
        raise LabError(
            f"No server named `{name}` runs.",
            why=f"Running: {names}." if running else "No server of ours runs.",
            fix="Start it: triton-lab start, or lab.start() in the notebook.",
        )
    if len(running) == 1:
        return running[0]
    raise LabError(
        "Which server?" if running else "No server of ours runs.",
        why=f"Running: {names}." if running else "",
        fix="Give its name, or --all to stop." if running else "Start one: triton-lab start",
    )
