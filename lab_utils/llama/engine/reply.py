"""One Triton request: its responses, and whether anybody still wants them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from lab_utils.llama.engine.errors import RequestRefused
from lab_utils.llama.engine.request import Output
from lab_utils.llama.engine.sequence import Handle

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class Reply:
    """Sends the outputs of one request as Triton responses.

    Triton must be told the end of every request exactly once, whatever happens, and nothing may touch the
    request after that.

    Args:
        request: Triton's `InferenceRequest`.
        on_end: Called once, when the end has been sent.

    Attributes:
        streams: Send every output on its own; else all in one response at the end.
        handle: The engine's, when it has taken the request.
    """

    def __init__(self, request: Any, on_end: Callable[[Reply], None]) -> None:
        self._request = request
        self._sender = request.get_response_sender()
        self._on_end = on_end
        self._ended = False
        self._using = threading.Lock()
        self._kept: list[Output] = []
        self.streams = True
        self.handle: Handle | None = None

    def __call__(self, output: Output) -> None:
        """The receiver of the engine's outputs."""
        if not output.final:
            if self.streams:
                self._sender.send(_response(output))
            else:
                self._kept.append(output)
        elif output.error is not None:
            self._end(_error(output.error))
        elif output.finish_reason == "cancelled":
            self._end(None)
        else:
            self._end(_response(_joined([*self._kept, output])))

    def refuse(self, error: Exception) -> None:
        """Answer with an error: the engine has not taken the request."""
        self._end(_error(error))

    def ask(self) -> None:
        """Cancel the request if its client has cancelled it or gone away."""
        # A request that was answered to the end is gone, and asking it then is asking freed memory.
        with self._using:
            gone = not self._ended and self._request.is_cancelled()
        if gone and self.handle is not None:
            self.handle.cancel()

    def _end(self, response: Any) -> None:
        with self._using:
            if self._ended:
                return
            self._ended = True
        self._on_end(self)
        if response is None:
            self._sender.send(flags=_FINAL)
        else:
            self._sender.send(response, flags=_FINAL)


def _joined(outputs: list[Output]) -> Output:
    if len(outputs) == 1:
        return outputs[0]
    return Output(
        "".join(output.text for output in outputs),
        tuple(token for output in outputs for token in output.token_ids),
        outputs[-1].finish_reason,
    )


def _response(output: Output) -> Any:
    """`text_output` STRING [1], `token_ids` INT32 [n], `finish_reason` STRING [1]."""
    return pb_utils.InferenceResponse(
        [
            pb_utils.Tensor("text_output", np.array([output.text.encode()], dtype=np.object_)),
            pb_utils.Tensor("token_ids", np.array(output.token_ids, dtype=np.int32)),
            pb_utils.Tensor("finish_reason", np.array([output.finish_reason.encode()], dtype=np.object_)),
        ]
    )


def _error(error: Exception) -> Any:
    codes = {"invalid": pb_utils.TritonError.INVALID_ARG, "busy": pb_utils.TritonError.UNAVAILABLE}
    reason = error.reason if isinstance(error, RequestRefused) else ""
    code = codes.get(reason, pb_utils.TritonError.INTERNAL)
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), code))
