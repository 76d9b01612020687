"""A model that does what its input says: a model.py of the Python backend, for checkpoint 4.10."""

from __future__ import annotations

import time
from typing import Any

FINE, RAISE, REFUSE, SLEEP = 0, 1, 2, 3
"""The first number of a request: answer it, raise an exception, answer with an error, answer late."""
SLEEP_S = 0.5
WORDS = "the desk is closed"


class TritonPythonModel:
    """`data` FP32 `[rows, 4]` to `echo`, unless the first number says otherwise."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself.

        Raises:
            RuntimeError: The request says so.
        """
        import triton_python_backend_utils as pb_utils

        responses = []
        for request in requests:
            data = pb_utils.get_input_tensor_by_name(request, "data").as_numpy()
            wish = int(data[0, 0])
            if wish == SLEEP:
                time.sleep(SLEEP_S)
            if wish == RAISE:
                raise RuntimeError(WORDS)
            if wish == REFUSE:
                responses.append(pb_utils.InferenceResponse(error=pb_utils.TritonError(WORDS)))
            else:
                responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("echo", data)]))
        return responses
