"""`triton-lab explain`: why a model is not served, from a server, a repository, or any log of Triton."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab_utils.cli import output
from lab_utils.errors import LabError

if TYPE_CHECKING:
    from lab_utils.diagnosis import Explanation
    from lab_utils.server.base import Server


_LONGEST_LOAD = 300.0
_STILL = 4.0
"""Seconds without a new line of the log after which a load that has told a cause is taken for hung."""


def explain(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    server: Annotated[
        str | None,
        typer.Option(
            help="Name of a running server of ours. Default: the only one, or the one that knows it."
        ),
    ] = None,
    repository: Annotated[
        Path | None, typer.Option(help="Model repository. Without a server one is started for the answer.")
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(help="A log of any Triton, from a container or a cluster; - is standard input."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")] = False,
) -> None:
    """Say why a model could not be loaded: the decisive log line, the cause, the mend and the place."""
    if repository is not None and not repository.is_dir():
        raise LabError(f"{repository} is not a folder.", fix="Give the folder that holds the model folders.")
    if log is not None:
        told = _from_log(model, log, repository)
    elif repository is not None and server is None:
        told = _from_repository(model, repository.resolve())
    else:
        told = _from_server(model, server)
    if json:
        output.print_json(told.to_json())
        return
    output.say(str(told))


def _from_log(model: str, log: str, repository: Path | None) -> Explanation:
    from lab_utils.diagnosis import explain_log, read_log
    from lab_utils.diagnosis.events import models_named, read_events
    from lab_utils.explaining import unknown_model

    if log == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
    else:
        try:
            text = Path(log).read_text("utf-8", "replace")
        except OSError as error:
            raise LabError(f"The log {log} cannot be read.", why=error.strerror or str(error)) from None
    told = explain_log(text, model, repository)
    entries = read_log(text)
    named = models_named(entries, read_events(entries))
    if told.cause is None and not told.ready and named and model not in named:
        raise unknown_model(model, named)
    return told


def _from_repository(model: str, repository: Path) -> Explanation:
    """Start a throwaway server on the repository, load the model, explain, stop."""
    import uuid

    from lab_utils import server as triton
    from lab_utils.explaining import explain_model, unknown_model

    if not (repository / model).exists():
        raise unknown_model(model, sorted(p.name for p in repository.iterdir() if p.is_dir()))
    throwaway = triton.start(
        repository,
        name=f"explain-{uuid.uuid4().hex[:8]}",
        runtime="embedded",
        options=["--model-control-mode=explicit", "--exit-timeout-secs=1"],
        lifetime="kernel",
    )
    try:
        _load(throwaway, model)
        return explain_model(throwaway, model)
    finally:
        throwaway.stop(0)


def _load(server: Server, model: str) -> None:
    """Ask for a load, and wait until it is answered; one that hangs is left when its log stands still."""
    import threading
    import time

    import httpx

    from lab_utils.diagnosis import explain_log
    from lab_utils.server import keys

    def ask() -> None:
        url = f"{server.endpoints.http_url}/v2/repository/models/{model}/load"
        # The server may end, or be stopped meanwhile: its log says so.
        with contextlib.suppress(httpx.HTTPError):
            headers = keys.headers_for(server.endpoints.http)
            httpx.post(url, headers=headers, timeout=_LONGEST_LOAD, trust_env=False)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    said, since = "", time.monotonic()
    while asking.is_alive():
        asking.join(0.2)
        log = server.logs()
        if log != said:
            said, since = log, time.monotonic()
        elif time.monotonic() - since > _STILL and explain_log(log, model).cause:
            return


def _from_server(model: str, name: str | None) -> Explanation:
    from lab_utils import server as triton
    from lab_utils.explaining import explain_model

    running = [s for s in triton.running() if name is None or s.name == name]
    if name is not None and not running and (record := triton.record(name)) is not None:
        # It has ended; its log is still there.
        return _from_log(model, str(record.log), record.repository)
    if not running:
        raise LabError(
            f"No server named `{name}` runs." if name else "No server of ours runs.",
            fix="Start one, or give --repository DIR or --log FILE.",
        )
    failure: LabError | None = None
    for server in running:
        try:
            return explain_model(server, model)
        except LabError as error:
            failure = failure or error
    assert failure is not None
    raise failure
