"""Checkpoint 1.10: predict failures, cause them, and recover."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

import numpy as np
import tritonclient.http as httpclient
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from lab_utils.checks.asking import attempt, call_at, judge_digits, request_header, shorten
from lab_utils.checks.repositories import place
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.recorder import Recorder
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.progress.wire import Recorded
from lab_utils.server.base import Server

_LETTERS = {
    "model missing": "C",
    "wrong shape": "F",
    "wrong dtype": "A",
    "wrong name": "G",
    "batch too large": "B",
    "server killed": "E",
    "port taken": "D",
}
_TOO_MANY = 8193


def _judge_prediction(found: Any) -> None:
    if not isinstance(found, dict) or set(found) != set(_LETTERS):
        refuse(
            expected=f"`predict` returns a letter for each of: {', '.join(_LETTERS)}",
            found=shorten(repr(found)),
            next_step="Seven faults, seven letters, with these names as keys.",
        )
    wrong = [fault for fault, letter in _LETTERS.items() if str(found[fault]).strip().upper() != letter]
    if wrong:
        refuse(
            expected="each fault has the letter of the message it causes",
            found=f"{len(wrong)} of 7 do not fit yet: {', '.join(wrong)}",
            next_step="Cause them, read what Triton says, and compare with the table.",
        )


_Signature = tuple[str, str, str, list[int]]
"""Path, input name, datatype and shape of a request."""


def _signature(request: Recorded) -> _Signature:
    tensor: dict[str, Any] = next(iter(request_header(request).get("inputs", [])), {})
    return request.path, tensor.get("name", ""), tensor.get("datatype", ""), tensor.get("shape", [])


def _faults(count: int) -> dict[str, tuple[str, _Signature]]:
    """Fault → what its message says, and the request that is wrong in this one thing."""
    path, shape = "/v2/models/mnist_mlp/infer", [count, 1, 28, 28]
    return {
        "model missing": ("unknown model: 'mnist'", ("/v2/models/mnist/infer", "input", "FP32", shape)),
        "wrong shape": (f"got [{count},784]", (path, "input", "FP32", [count, 784])),
        "wrong dtype": ("data-type is 'FP64'", (path, "input", "FP64", shape)),
        "wrong name": ("inference input 'pixels'", (path, "pixels", "FP32", shape)),
        "batch too large": ("batch-size must be <=", (path, "input", "FP32", [_TOO_MANY, 1, 28, 28])),
    }


def _judge_errors(found: Any, recorder: Recorder, count: int) -> None:
    faults = _faults(count)
    if not isinstance(found, dict) or set(found) != set(faults):
        refuse(
            expected=f"`collect_errors` returns a message for each of: {', '.join(faults)}",
            found=shorten(repr(found)),
            next_step="Five faults, with these names as keys.",
        )
    sent = [_signature(request) for request in recorder.requests]
    for fault, (words, signature) in faults.items():
        message = str(found[fault])
        if message == "no error":
            refuse(
                expected=f"{fault}: Triton refuses",
                found="it had nothing against the request",
                next_step=f"Change the one argument that makes it `{fault}`.",
            )
        if signature not in sent:
            refuse(
                expected=f"{fault}: a request that is wrong in this one thing, as the exercise says",
                found=f"no such request arrived; the message is: {shorten(message)}",
                next_step="Cause the fault for real, with the name, shape or number that the exercise gives.",
            )
        if words not in message:
            refuse(
                expected=f"{fault}: Triton's message with `{words}`",
                found=shorten(message),
                next_step="Put each message beside the fault that caused it.",
            )


def _ask(url: str, images: NDArray[np.float32]) -> NDArray[np.int64]:
    """Classify over HTTP, as the student's own function does."""
    with httpclient.InferenceServerClient(url) as client:
        tensor = httpclient.InferInput("input", images.shape, "FP32")
        tensor.set_data_from_numpy(images)
        digits: NDArray[np.int64] = client.infer("mnist_mlp", [tensor]).as_numpy("output").argmax(axis=1)
    return digits


def _kill(server: Server) -> str:
    """End a server without warning. Returns the address where nobody listens any more."""
    address = server.endpoints.http
    if server.runtime == "embedded" and server.pid:
        os.kill(server.pid, signal.SIGKILL)
    server.stop()
    return address


class _Restart:
    """A `restart` that counts its calls."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls > 3:
            raise RuntimeError("restart() was called four times")
        return self.address


def _judge_recovery(ctx: LabContext, function: Any) -> None:
    home = ctx.need_server().endpoints.http
    repository = ctx.scratch()
    place(ctx, repository, "mnist_mlp")
    dead = _kill(ctx.fresh_server(repository, options=["--disable-auto-complete-config"]))
    images, _ = ctx.digits(int(ctx.rng.integers(11, 30)))

    def surely(url: str, what: NDArray[np.float32], restart: _Restart) -> tuple[Any, BaseException | None]:
        return attempt(ctx, function, _ask, url, what, restart)

    well = _Restart(home)
    found, error = surely(home, images, well)
    if error is not None:
        refuse(
            expected="an answer from a server that is well",
            found=f"{type(error).__name__}: {error}",
            next_step="First of all: `return ask(url, images)`.",
        )
    if well.calls:
        refuse(
            expected="no restart of a server that is well",
            found="`restart()` was called",
            next_step="Ask first. Restart only when the question fails with OSError.",
        )
    judge_digits("ask_surely", found, ctx.reference(images))

    killed = _Restart(home)
    found, error = surely(dead, images, killed)
    if error is not None:
        refuse(
            expected="an answer, although the server was killed",
            found=f"`restart()` was called {killed.calls} times, then {type(error).__name__}: {error}",
            next_step="Catch `OSError`, and ask at the address that `restart()` returns, not at `url`."
            if killed.calls
            else "When `ask` raises `OSError`, call `restart()`.",
        )
    if killed.calls != 1:
        refuse(
            expected="one restart of a server that was killed",
            found=f"`restart()` was called {killed.calls} times",
            next_step="Call it once, and keep the address that it returns.",
        )
    judge_digits("ask_surely", found, ctx.reference(images))

    refused = _Restart(home)
    _, error = surely(home, images[:, :, :14], refused)
    if refused.calls:
        refuse(
            expected="no restart when Triton refuses a request: the server is well, the request is not",
            found="`restart()` was called after a refusal",
            next_step="Catch OSError alone. `except Exception` also catches InferenceServerException.",
        )
    if not isinstance(error, InferenceServerException):
        refuse(
            expected="Triton's refusal reaches the caller",
            found="`ask_surely` hid it: "
            + ("it returned an answer" if error is None else shorten(repr(error), 120)),
            next_step="Do not catch InferenceServerException.",
        )
    hopeless = _Restart(dead)
    _, error = surely(dead, images, hopeless)
    if hopeless.calls != 1 or not isinstance(error, OSError):
        refuse(
            expected="one restart, and then the error, when the new server is dead too",
            found=f"{hopeless.calls} restarts, then {type(error).__name__ if error else 'an answer'}",
            next_step="Do not loop: a server that dies at once would be restarted forever.",
        )


@checkpoint(
    "1.10", title="Break it, fix it", points=4, minutes=9, difficulty=3,
    answers=("predict", "collect_errors", "ask_surely"),
)  # fmt: skip
def check_faults(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """The predictions hold, five faults were really caused, and a killed server is survived."""
    _judge_prediction(ctx.call(answers["predict"]))
    images, _ = ctx.digits(int(ctx.rng.integers(11, 30)))
    with ctx.recorder(ctx.need_server().endpoints.http) as recorder:
        found = call_at(ctx, answers["collect_errors"], recorder, images)
    _judge_errors(found, recorder, len(images))
    _judge_recovery(ctx, answers["ask_surely"])
    return passed(
        "seven faults known, five caused, one survived", messages={k: str(v) for k, v in found.items()}
    )
