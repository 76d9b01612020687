"""`timed`: an identity model that takes as long as its config says."""

import json
import math
import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Sleeps once per execution, so a batch of 8 is cheaper than 8 executions of one row."""

    def initialize(self, args):
        """Read the two costs from `parameters` in config.pbtxt."""
        parameters = json.loads(args["model_config"]).get("parameters", {})
        self.execution_s = milliseconds(parameters, "execution_ms") / 1000
        self.row_s = milliseconds(parameters, "row_ms") / 1000

    def execute(self, requests):
        """Answer all requests that Triton batched together: `data` FP32 [rows, 4] each."""
        batches = [pb_utils.get_input_tensor_by_name(r, "data").as_numpy() for r in requests]
        rows = sum(len(batch) for batch in batches)
        time.sleep(self.execution_s + self.row_s * rows)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("echo", batch)]) for batch in batches]


def milliseconds(parameters, key):
    """A parameter as a number of milliseconds; 0 when it is absent."""
    text = parameters.get(key, {}).get("string_value", "0")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise pb_utils.TritonModelException(f"parameter '{key}' must be a number of ms >= 0, not '{text}'")
    return value
