"""The digit classifier `mnist_mlp`: trained in seconds, exported to ONNX and TorchScript.

Three layers, 784 -> 512 -> 512 -> 10, ReLU between them: the size that most MNIST tutorials use. The
output is logits, not probabilities.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lab_utils.errors import LabError
from lab_utils.models.digits import Images, split_digits

if TYPE_CHECKING:
    import onnx

HIDDEN = (512, 512)
SEED = 0
EPOCHS = 40
MIN_ACCURACY = 0.95
# ONNX Runtime 1.19, the one in the NGC 24.10 container, reads opsets up to 21 and IR up to 10.
OPSET = 17
IR_VERSION = 8


@dataclass(frozen=True)
class Mlp:
    """The trained network.

    Attributes:
        weights: One float32 matrix `[inputs, outputs]` per layer.
        biases: One float32 vector `[outputs]` per layer.
        accuracy: Share of the test digits that it reads rightly, 0 to 1.
    """

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    accuracy: float

    def logits(self, images: Images) -> NDArray[np.float32]:
        """Compute the answer with NumPy alone.

        Args:
            images: float32 `[n, 1, 28, 28]`.

        Returns:
            float32 `[n, 10]`.
        """
        values = images.reshape(len(images), -1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = values @ weight + bias
            if layer < len(self.weights) - 1:
                values = np.maximum(values, 0)
        return values


def train(
    hidden: tuple[int, ...] | None = None, epochs: int | None = None, min_accuracy: float = MIN_ACCURACY
) -> Mlp:
    """Train on the digits. Two runs on one machine give the same bits.

    Args:
        hidden: Widths of the hidden layers; None is `HIDDEN`.
        epochs: How often every digit is seen; None is `EPOCHS`.
        min_accuracy: The least share of the test digits that it must read rightly, 0 to 1.

    Raises:
        LabError: The test accuracy is below `min_accuracy`.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    digits = split_digits()
    classifier = MLPClassifier(
        HIDDEN if hidden is None else hidden,
        max_iter=EPOCHS if epochs is None else epochs,
        random_state=SEED,
        learning_rate_init=2e-3,
    )
    # One thread: the order in which several threads add up changes the last bits.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of epochs is meant
        classifier.fit(digits.train_images.reshape(len(digits.train_images), -1), digits.train_labels)
        accuracy = classifier.score(
            digits.test_images.reshape(len(digits.test_images), -1), digits.test_labels
        )
    if accuracy < min_accuracy:
        raise LabError(
            f"mnist_mlp reads {accuracy:.1%} of the test digits; at least {min_accuracy:.0%} are needed.",
            why="The recipe in lab_utils/models/mlp.py or the installed scikit-learn was changed.",
            fix="Install the versions of constraints.txt, or undo the change to the recipe.",
        )
    return Mlp(
        tuple(np.asarray(weight, np.float32) for weight in classifier.coefs_),
        tuple(np.asarray(bias, np.float32) for bias in classifier.intercepts_),
        float(accuracy),
    )


def to_onnx(mlp: Mlp) -> onnx.ModelProto:
    """The network as an ONNX graph.

    Returns:
        A checked model: `input` FP32 `[batch, 1, 28, 28]` to `output` FP32 `[batch, 10]`.
    """
    from onnx import helper, numpy_helper

    nodes = [helper.make_node("Flatten", ["input"], ["flat"], axis=1)]
    constants = []
    value, last = "flat", len(mlp.weights) - 1
    for layer, (weight, bias) in enumerate(zip(mlp.weights, mlp.biases, strict=True)):
        constants += [
            numpy_helper.from_array(np.ascontiguousarray(weight), f"weight{layer}"),
            numpy_helper.from_array(bias, f"bias{layer}"),
        ]
        result = "output" if layer == last else f"layer{layer}"
        nodes.append(helper.make_node("Gemm", [value, f"weight{layer}", f"bias{layer}"], [result]))
        if layer != last:
            nodes.append(helper.make_node("Relu", [result], [f"relu{layer}"]))
            value = f"relu{layer}"
    return digits_onnx("mnist_mlp", nodes, constants)


def digits_onnx(name: str, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> onnx.ModelProto:
    """Nodes and their weights as a digit classifier: `input` and `output` as in `to_onnx`.

    Returns:
        A checked model.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 10])],
        constants,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(
        graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="triton-labs"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def to_torchscript(mlp: Mlp) -> Any:
    """The same weights as TorchScript: `forward(input)` with the shapes of the ONNX graph.

    Returns:
        A scripted module in evaluation mode, ready for `save`.

    Raises:
        ModuleNotFoundError: PyTorch is not installed.
    """
    import torch
    from torch import nn

    class DigitClassifier(nn.Module):
        """Flatten, then linear layers with ReLU between them."""

        def __init__(self) -> None:
            super().__init__()
            layers: list[nn.Module] = [nn.Flatten()]
            for weight, bias in zip(mlp.weights, mlp.biases, strict=True):
                linear = nn.Linear(*weight.shape)
                linear.weight = nn.Parameter(torch.from_numpy(weight.T.copy()), requires_grad=False)
                linear.bias = nn.Parameter(torch.from_numpy(bias.copy()), requires_grad=False)
                layers += [linear, nn.ReLU()]
            self.layers = nn.Sequential(*layers[:-1])

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return self.layers(input)

    with warnings.catch_warnings():
        # TorchScript is deprecated for new work; Triton's pytorch_libtorch platform reads nothing else.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(DigitClassifier().eval())
