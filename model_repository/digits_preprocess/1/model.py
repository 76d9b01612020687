"""`digits_preprocess`: UINT8 pictures to the FP32 tensor that `mnist_mlp` reads."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """0 (paper) to 255 (ink) becomes 0.0 to 1.0, and a channel dimension is added."""

    def execute(self, requests):
        """Work on all requests of the batch at once, then give each its own rows back."""
        batches = [pb_utils.get_input_tensor_by_name(r, "image").as_numpy() for r in requests]
        # One NumPy operation for everybody is much cheaper than one per request.
        images = np.concatenate(batches) if len(batches) > 1 else batches[0]  # [rows, 28, 28]
        tensor = images[:, np.newaxis].astype(np.float32) / np.float32(255)  # [rows, 1, 28, 28]
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("input_tensor", np.ascontiguousarray(part))])
            for part in np.split(tensor, ends)
        ]
