"""Small networks that checks make for themselves: nobody has seen their weights or their answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lab_utils.models.mlp import IR_VERSION, OPSET
from lab_utils.progress.context import LabContext


def onnx_network(ctx: LabContext, file: Path) -> Path:
    """Write an ONNX file with the signature of `mnist_mlp` and random weights.

    Args:
        ctx: The lab context, for its randomness.
        file: Where to write it; its folder is there.

    Returns:
        `file`. Input `input` FP32 `[-1, 1, 28, 28]`, output `output` FP32 `[-1, 10]`.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(ctx.rng.normal(0, 0.1, (784, 10)).astype(np.float32), "weights")
    bias = numpy_helper.from_array(ctx.rng.normal(0, 0.1, 10).astype(np.float32), "bias")
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["input"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "weights", "bias"], ["output"]),
        ],
        "random_digits",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 10])],
        [weights, bias],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.save(model, str(file))
    return file
