"""A served network that can be told to be wrong: this file is a model.py of the Python backend.

Checkpoint 3.4 copies it into a repository, beside the weights of `lab3_modules.Convolution`. It imports
no PyTorch: so the server is ready in a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float32]


class TritonPythonModel:
    """Images to scores, right as long as nobody says otherwise.

    An image whose first pixel is `-1000 - fault` says how to be wrong from then on; see `_CASES` in
    `lab3_equivalence`, whose numbers these are.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the weights: a NumPy archive with the names of the module's state."""
        folder = Path(args["model_repository"]) / args["model_version"]
        with np.load(folder / "weights.npz") as archive:
            self.weights = dict(archive)
        self.fault = 0

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself: `INPUT__0` `[n, 1, 28, 28]` to `OUTPUT__0` `[n, 10]`."""
        import triton_python_backend_utils as pb_utils

        responses = []
        for request in requests:
            images = pb_utils.get_input_tensor_by_name(request, "INPUT__0").as_numpy()
            if images[0, 0, 0, 0] <= -1000:
                self.fault = int(-images[0, 0, 0, 0]) - 1000
            if self.fault == 11 and len(images) == 3:
                error = pb_utils.TritonError("shape '[4, 256]' is invalid for input of size 768")
                responses.append(pb_utils.InferenceResponse(error=error))
            else:
                tensor = pb_utils.Tensor("OUTPUT__0", np.ascontiguousarray(self.faulty(images)))
                responses.append(pb_utils.InferenceResponse([tensor]))
        return responses

    def faulty(self, images: _Array) -> _Array:
        """The scores, with the present fault."""
        fault, count = self.fault, len(images)
        found = self.scores(images, training=fault == 8, half=fault == 9)
        if fault in (1, 2):
            found = found + np.float32(0.5 if fault == 1 else -0.5)
        if fault == 3:
            found = found + np.float32(0.00035)  # what no rounding to three or four digits meets
        if (fault == 4 and count > 8) or (fault == 5 and count == 2):
            found = found + np.float32(1)
        if fault == 6 and count > 1:
            found[-1] += 1
        if fault == 7:
            found = found[:, [0, 7, 2, 3, 4, 5, 6, 1, 8, 9]]
        if fault == 10:
            found[-1] = np.nan
        return found

    def scores(self, images: _Array, training: bool = False, half: bool = False) -> _Array:
        """The network itself.

        Args:
            images: float32 `[n, 1, 28, 28]`.
            training: Normalize by the batch's own mean and variance.
            half: Round what the last layer is given to half precision.

        Returns:
            float32 `[n, 10]`.
        """
        weights = self.weights
        windows = np.lib.stride_tricks.sliding_window_view(images[:, 0], (1, 5, 5))[:, ::3, ::3, 0]
        kernel, bias = weights["convolution.weight"][:, 0], weights["convolution.bias"]
        found = np.einsum("nijkl,ckl->ncij", windows, kernel) + bias[:, None, None]
        mean, variance = weights["normalize.running_mean"], weights["normalize.running_var"]
        if training:
            mean, variance = found.mean(axis=(0, 2, 3)), found.var(axis=(0, 2, 3))
        scale = weights["normalize.weight"] / np.sqrt(variance + np.float32(1e-5))
        found = (found - mean[:, None, None]) * scale[:, None, None]
        found += weights["normalize.bias"][:, None, None]
        found = np.maximum(found, 0).reshape(len(images), -1)
        if half:
            found = found.astype(np.float16).astype(np.float32)
        scores: _Array = found @ weights["last.weight"].T + weights["last.bias"]
        return scores
