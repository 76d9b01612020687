"""One model of the museum's server: this file is a model.py of the Python backend.

It waits as long as its config says and gives back what it got, so that every time is foreseeable on any
machine. A file `release.json` beside it says what its author got wrong; see `lab_utils.incidents.causes`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

TROUBLE = "the printer is out of paper"


class TritonPythonModel:
    """`data` FP32 `[rows, 4]` to `echo`, the same numbers."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the time of an execution, and what is wrong with this release."""
        parameters = json.loads(args["model_config"])["parameters"]
        release = json.loads(
            (Path(args["model_repository"]) / args["model_version"] / "release.json").read_text()
        )
        self.seconds = float(parameters["execution_ms"]["string_value"]) / 1000 * release.get("slower", 1)
        self.raises = release.get("raises", 0)
        self.refuses = release.get("refuses", 0)
        self.executions = self.requests = 0

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests of a batch, all after one pause.

        Raises:
            RuntimeError: Every `raises`-th execution of a release that does so.
        """
        import triton_python_backend_utils as pb_utils

        time.sleep(self.seconds)
        self.executions += 1
        if self.raises and self.executions % self.raises == 0:
            raise RuntimeError(TROUBLE)
        responses = []
        for request in requests:
            self.requests += 1
            data = pb_utils.get_input_tensor_by_name(request, "data").as_numpy()
            if self.refuses and self.requests % self.refuses == 0:
                responses.append(pb_utils.InferenceResponse(error=pb_utils.TritonError(TROUBLE)))
            else:
                responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("echo", data)]))
        return responses
