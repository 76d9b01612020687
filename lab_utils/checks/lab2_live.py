"""What the checks 2.5 to 2.8 share: models loaded for a moment, and many requests at once."""

from __future__ import annotations

import functools
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tritonclient.grpc as grpcclient
from numpy.typing import NDArray

from lab_utils.checks.asking import post, shorten
from lab_utils.paths import project_root
from lab_utils.progress.context import LabContext, refuse
from lab_utils.server.base import Server

TIMED = """name: "{name}"
backend: "python"
max_batch_size: {batch}
input [ {{ name: "data" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "echo" data_type: TYPE_FP32 dims: [ 4 ] }} ]
instance_group [ {{ kind: KIND_CPU count: {count} }} ]
parameters [ {{ key: "execution_ms" value: {{ string_value: "{execution_ms}" }} }} ]
"""


def place_timed(
    folder: Path, name: str, *, execution_ms: int, count: int = 1, batch: int = 8, more: str = ""
) -> None:
    """Put the course's model of known service time into a repository, under a name.

    Args:
        folder: The repository.
        name: The model's name.
        execution_ms: Milliseconds that one execution sleeps, however large its batch.
        count: Instances.
        batch: Its `max_batch_size`.
        more: Text that is added to its config.pbtxt.
    """
    version = folder / name / "1"
    version.mkdir(parents=True)
    shutil.copy(project_root() / "model_repository" / "timed" / "1" / "model.py", version)
    text = TIMED.format(name=name, batch=batch, count=count, execution_ms=execution_ms)
    (folder / name / "config.pbtxt").write_text(text + more)


def served_config(ctx: LabContext, model: str) -> dict[str, Any]:
    """A model's config as the lab's server reports it."""
    config: dict[str, Any] = ctx.get(f"/v2/models/{model}/config").json()
    return config


def served_statistics(ctx: LabContext, model: str) -> dict[str, Any]:
    """The entry of a model's one version in Triton's statistics."""
    entry: dict[str, Any] = ctx.get(f"/v2/models/{model}/stats").json()["model_stats"][0]
    return entry


def try_load(ctx: LabContext, model: str) -> str:
    """Load a model of the lab's own repository, and unload and remove it when the check ends.

    Returns:
        Triton's refusal, with the reason out of its log; empty when the model was loaded.
    """
    server = ctx.need_server()
    ctx.later(shutil.rmtree, ctx.repository / model, True)
    ctx.later(unload, server.endpoints.http, model)
    answer = post(server.endpoints.http, f"/v2/repository/models/{model}/load")
    if answer.status_code == 200:
        return ""
    return shorten(reason_in_log(server, model) or answer.text, 300)


def load(ctx: LabContext, model: str) -> None:
    """As `try_load`, for a model that must be loadable.

    Raises:
        Refusal: Triton refuses it: usually the server does not run in explicit mode.
    """
    refusal = try_load(ctx, model)
    if refusal:
        refuse(
            expected="the lab's server loads a model on request",
            found=refusal,
            next_step="Run the lab's start cell again: it starts the server with "
            "`--model-control-mode=explicit`.",
        )


def unload(address: str, model: str) -> None:
    """Ask a server to unload a model, whether or not it has it."""
    with suppress(httpx.HTTPError):
        post(address, f"/v2/repository/models/{model}/unload")


def reason_in_log(server: Server, model: str) -> str:
    """Why a model could not be read, from the server's log: the load API often hides it.

    Returns:
        libprotobuf's line and column, or the text of the model's last `Poll failed` line, or nothing.
    """
    parse_error = reason = ""
    for line in server.logs().splitlines():
        if "Error parsing text-format" in line:
            parse_error = line.partition("ModelConfig: ")[2]
        elif found := re.search(r"Poll failed for model directory '([^']+)': (.+)\"", line):
            if found[1] == model:
                reason = parse_error or found[2]
            parse_error = ""
    return reason.partition("\\n")[0]


def silent(function: Any) -> Any:
    """A function that need not return anything, as one that `call_at` can call."""

    @functools.wraps(function)
    def called(*args: Any) -> bool:
        function(*args)
        return True

    return called


@dataclass(frozen=True)
class Answered:
    """One request of a burst.

    Attributes:
        error: Triton's refusal; empty when it answered.
        end: When the answer came, by `time.monotonic`.
        right: True when the answer is right.
    """

    error: str
    end: float
    right: bool


class Crowd:
    """Many requests at once over one gRPC connection. Use it with `with`.

    Not over HTTP: there each request under way needs a client, and a thread, of its own.

    Args:
        address: gRPC `host:port`.
    """

    def __init__(self, address: str) -> None:
        self._client = grpcclient.InferenceServerClient(address)

    def __enter__(self) -> Crowd:
        self._client.is_server_live()  # connects, so that the first burst does not wait for it
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(
        self, model: str, tensor: str, output: str, rows: Sequence[NDArray[np.float32]], **parameters: Any
    ) -> list[Future[Answered]]:
        """One request for each item of `rows`, all at once.

        Args:
            model: Its name.
            tensor: The input's name.
            output: The output's name.
            rows: One batch per request.
            parameters: `priority` and `timeout` (microseconds) of `infer`.
        """
        return [self._ask(model, tensor, output, batch, parameters) for batch in rows]

    def send_rows(self, model: str, count: int, **parameters: Any) -> list[Future[Answered]]:
        """`count` requests to a `timed` model, each with numbers of its own."""
        rows = [np.full((1, 4), number, np.float32) for number in range(count)]
        return self.send(model, "data", "echo", rows, **parameters)

    def _ask(
        self, model: str, tensor: str, output: str, batch: NDArray[np.float32], parameters: Mapping[str, Any]
    ) -> Future[Answered]:
        answer: Future[Answered] = Future()

        def done(result: Any, error: Any) -> None:
            now = time.monotonic()
            if error is not None:
                answer.set_result(Answered(str(error), now, False))
                return
            found = result.as_numpy(output)
            same = found.shape == batch.shape and bool(np.array_equal(found, batch))
            answer.set_result(Answered("", now, same))

        value = grpcclient.InferInput(tensor, batch.shape, "FP32").set_data_from_numpy(batch)
        self._client.async_infer(model, [value], callback=done, client_timeout=30, **parameters)
        return answer
