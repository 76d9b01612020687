"""How a check asks a student's function: at an address of its own, and what it makes of the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import httpx
import numpy as np
from numpy.typing import NDArray

from lab_utils import web
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.recorder import Recorder
from lab_utils.progress.wire import Recorded
from lab_utils.server import keys

# What a client raises when nothing answers at the address.
CONNECTION_ERRORS = {
    "ConnectionRefusedError",
    "ConnectError",
    "ConnectTimeout",
    "gaierror",
    "OSError",
    "TimeoutError",
}

_HTTP = 'write f"http://{url}/…"'

# A mistake that the error itself gives away: what to look for in the verdict, and the next step.
_HINTS = {
    r"UnsupportedProtocol|InvalidURL|MissingSchema|InvalidSchema": f"`url` is `host:port`: {_HTTP}.",
    r"should not include the scheme": "tritonclient wants `host:port`: pass `url` as it is.",
    r"ndarray is not JSON serializable": "JSON knows lists, not arrays: send `images.tolist()`.",
}


def shorten(text: Any, limit: int = 200) -> str:
    """A text of at most `limit` characters; "…" at the end says that it was cut."""
    whole = str(text)
    return whole if len(whole) <= limit else f"{whole[: limit - 1]}…"


def need_return(name: str, value: Any) -> None:
    """Refuse None, the value of a function without a `return`."""
    if value is None:
        refuse(expected=f"`{name}` returns its answer", found="it returned None", next_step="Add a `return`.")


def with_hint(refusal: Refusal, hints: Mapping[str, str]) -> NoReturn:
    """Raise a refusal again, with a next step that fits the student's error, if one of `hints` does.

    Args:
        refusal: As `LabContext.call` raised it.
        hints: Regular expression for the error → next step.
    """
    verdict = refusal.verdict
    for pattern, next_step in hints.items():
        if "error" in verdict.evidence and re.search(pattern, verdict.found):
            refuse(
                expected=verdict.expected, found=verdict.found, next_step=next_step, **dict(verdict.evidence)
            )
    raise refusal


def call_at(
    ctx: LabContext,
    function: Any,
    recorder: Recorder,
    *args: Any,
    timeout: float = 30.0,
    hints: Mapping[str, str] | None = None,
) -> Any:
    """Call a student's function with the recorder's address as its first argument.

    Args:
        ctx: The check's context.
        function: The student's function.
        recorder: What its first argument leads to.
        args: Its further arguments.
        timeout: Limit in seconds.
        hints: Regular expression for an error of this exercise → next step.

    Raises:
        Refusal: As `LabContext.call`; also when it did not use the address, or returned None.
    """
    name = getattr(function, "__name__", "the function")
    try:
        value = ctx.call(function, recorder.address, *args, timeout=timeout)
    except Refusal as refusal:
        error, found = refusal.verdict.evidence.get("error"), refusal.verdict.found
        nobody = error in CONNECTION_ERRORS or "StatusCode.UNAVAILABLE" in found
        if recorder.connections == 0 and nobody:
            refuse(
                expected=f"`{name}` asks the server at the given address {recorder.address}",
                found=f"it looked elsewhere and found nobody: {found}",
                next_step="No fixed address such as localhost:8000: use the argument `url`.",
            )
        with_hint(refusal, {**(hints or {}), **_HINTS})
    if recorder.connections == 0:
        refuse(
            expected=f"`{name}` asks the server at the given address {recorder.address}",
            found=f"it answered {value!r:.60} without a connection to that address",
            next_step="Ask the server at `url` each time, not the notebook's own `server`. "
            f"With httpx, {_HTTP}: without `http://` it fails before it connects.",
        )
    need_return(name, value)
    return value


def attempt(
    ctx: LabContext, function: Callable[..., Any], *args: Any, timeout: float = 30.0
) -> tuple[Any, BaseException | None]:
    """Call a student's function that may raise, and hand back its answer and its error.

    Raises:
        Refusal: It is not solved yet, or took too long.
    """

    def guarded() -> tuple[Any, BaseException | None]:
        try:
            return function(*args), None
        except NotImplementedError:
            raise
        except Exception as error:
            return None, error

    guarded.__name__ = getattr(function, "__name__", "the function")
    value, error = ctx.call(guarded, timeout=timeout)
    return value, error


def inference_requests(recorder: Recorder, model: str = "mnist_mlp") -> list[Recorded]:
    """The recorded HTTP inference requests to a model (`…/infer`, with or without a version)."""
    return [
        r
        for r in recorder.requests
        if r.method == "POST" and r.path.startswith(f"/v2/models/{model}/") and r.path.endswith("/infer")
    ]


def request_header(request: Recorded) -> dict[str, Any]:
    """The JSON part of a recorded inference request; empty when it cannot be read."""
    length = int(request.headers.get("inference-header-content-length", len(request.body)))
    try:
        header: dict[str, Any] = json.loads(request.body[:length])
    except ValueError:
        return {}
    return header


def is_binary(request: Recorded) -> bool:
    """True when a request sends its tensors, and wants its answer, as bytes."""
    header = request_header(request)
    if "inference-header-content-length" not in request.headers:
        return False
    inputs = [tensor.get("parameters", {}) for tensor in header.get("inputs", [])]
    outputs = [tensor.get("parameters", {}) for tensor in header.get("outputs", [])]
    wanted = header.get("parameters", {}).get("binary_data_output", False)
    return all("binary_data_size" in p for p in inputs) and all(
        p.get("binary_data", wanted) for p in outputs or [{}]
    )


def judge_digits(name: str, found: Any, scores: NDArray[np.float32]) -> None:
    """Refuse an answer that is not the digit with the largest score, for each image.

    Args:
        name: The student's function.
        found: What it returned.
        scores: The model's own scores, float32 `[n, 10]`, with n not 10.
    """
    count = len(scores)
    expected = f"`{name}` returns {count} digits: a whole-number array of shape ({count},)"
    if found is None:
        refuse(expected=expected, found="it returned None", next_step="Add a `return`.")
    try:
        answer = np.asarray(found)
    except ValueError:
        answer = np.empty(0, object)
    if answer.shape == (count, 10):
        refuse(
            expected=expected,
            found=f"it returned scores of shape ({count}, 10)",
            next_step="Take the position of the largest score of each row: `.argmax(axis=1)`.",
        )
    if answer.shape == (10,):
        refuse(
            expected=expected,
            found="it returned 10 numbers: one per column, not one per image",
            next_step="`argmax(axis=0)` looks down the columns; `argmax(axis=1)` looks along each row.",
        )
    if answer.shape != (count,):
        refuse(
            expected=expected,
            found=f"it returned {type(found).__name__} of shape {answer.shape}",
            next_step="One row of scores per image, then `.argmax(axis=1)`.",
        )
    if not np.issubdtype(answer.dtype, np.integer):
        refuse(
            expected=expected,
            found=f"its numbers are {answer.dtype}",
            next_step="A digit is the position of the largest score (`argmax`), not the score itself.",
        )
    wrong = int((answer != scores.argmax(axis=1)).sum())
    if wrong:
        refuse(
            expected="each digit is the one with the largest score",
            found=f"{wrong} of {count} digits differ from the model's own answer",
            next_step="See that you send the images unchanged and in order, and look for the largest score.",
        )


def post(
    address: str, path: str, body: Mapping[str, Any] | None = None, timeout: float = 60.0
) -> httpx.Response:
    """POST a JSON body to a server, with its key if it has one, past any proxy that the environment names."""
    headers = keys.headers_for(address)
    with httpx.Client(trust_env=False, timeout=timeout, headers=headers, verify=web.tls()) as client:
        return client.post(f"http://{address}{path}", json=body or {})
