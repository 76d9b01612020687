"""The digit classifier `digits_cnn`: a small convolutional network in PyTorch, trained in seconds.

Two blocks of convolution, batch normalization, ReLU and pooling, then one linear layer: the layers whose
behaviour differs between training and evaluation (batch normalization, dropout) are what an export must get
right. The output is logits, not probabilities. Importing this module imports PyTorch.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lab_utils.errors import LabError
from lab_utils.models.digits import split_digits
from lab_utils.models.mlp import digits_onnx

if TYPE_CHECKING:
    import onnx

CHANNELS = (8, 16)
SEED = 0
EPOCHS = 8
BATCH = 32
LEARNING_RATE = 5e-3
MIN_ACCURACY = 0.97


class DigitsCnn(nn.Module):
    """Images to scores: `[n, 1, 28, 28]` to `[n, 10]`."""

    def __init__(self) -> None:
        super().__init__()
        first, second = CHANNELS
        self.features = nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1), nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1), nn.BatchNorm2d(second), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(second * 7 * 7, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of the ten digits.

        Args:
            images: float32 `[n, 1, 28, 28]`, 0 (paper) to 1 (ink).

        Returns:
            float32 `[n, 10]`, logits.
        """
        return self.classifier(self.dropout(self.features(images).flatten(1)))


def train(epochs: int | None = None, min_accuracy: float = MIN_ACCURACY) -> tuple[DigitsCnn, float]:
    """Train on the digits. Two runs on one machine give the same bits.

    Args:
        epochs: How often every digit is seen; None is `EPOCHS`.
        min_accuracy: The least share of the test digits that it must read rightly, 0 to 1.

    Returns:
        The network in evaluation mode, without gradients, and its share of right test digits.

    Raises:
        LabError: The test accuracy is below `min_accuracy`.
    """
    digits = split_digits()
    images = torch.from_numpy(digits.train_images.copy())
    labels = torch.from_numpy(digits.train_labels.copy())
    epochs = EPOCHS if epochs is None else epochs
    with _alone(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = DigitsCnn()
        optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
        steps = epochs * -(-len(images) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
        for _ in range(epochs):
            for chosen in torch.randperm(len(images)).split(BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(images[chosen]), labels[chosen]).backward()
                optimizer.step()
                schedule.step()
        network.eval().requires_grad_(False)
        answers = network(torch.from_numpy(digits.test_images.copy())).argmax(1)
    accuracy = float((answers.numpy() == digits.test_labels).mean())
    if accuracy < min_accuracy:
        raise LabError(
            f"The trained network reads {accuracy:.1%} of the test digits; "
            f"at least {min_accuracy:.0%} are needed.",
            why="The recipe in lab_utils/models/cnn.py or the installed PyTorch was changed.",
            fix="Install the versions of constraints.txt, or undo the change to the recipe.",
        )
    return network, accuracy


@contextmanager
def _alone() -> Iterator[None]:
    """One thread: quicker on a busy machine, and the order in which numbers are added up is fixed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def to_torchscript(network: DigitsCnn, how: str = "script") -> Any:
    """The network as TorchScript: `forward(images)` for any batch.

    Args:
        network: In evaluation mode.
        how: `script` (the code is compiled) or `trace` (one call is recorded).

    Returns:
        A module ready for `torch.jit.save`.

    Raises:
        ValueError: Another word for `how`.
    """
    if how not in ("script", "trace"):
        raise ValueError(f"how is {how!r}; it is 'script' or 'trace'")
    with warnings.catch_warnings():
        # TorchScript is deprecated for new work; Triton's pytorch_libtorch platform reads nothing else.
        warnings.simplefilter("ignore", DeprecationWarning)
        if how == "script":
            return torch.jit.script(network)
        return torch.jit.trace(network, torch.zeros(2, 1, 28, 28))


def to_onnx(network: DigitsCnn) -> onnx.ModelProto:
    """The same layers as an ONNX graph, written node by node: no exporter and no further package.

    Returns:
        A checked model: `input` FP32 `[batch, 1, 28, 28]` to `output` FP32 `[batch, 10]`.
    """
    from onnx import helper, numpy_helper

    nodes, constants = [], []
    value = "input"
    for number, layer in enumerate([*network.features, nn.Flatten(), network.classifier]):
        given = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
        names = [name for name in _ONNX_ORDER if name in given]
        constants += [numpy_helper.from_array(given[name].numpy(), f"layer{number}.{name}") for name in names]
        operator, settings = _ONNX[type(layer)]
        result = "output" if layer is network.classifier else f"value{number}"
        inputs = [value, *(f"layer{number}.{name}" for name in names)]
        nodes.append(helper.make_node(operator, inputs, [result], **settings))
        value = result
    return digits_onnx("digits_cnn", nodes, constants)


_ONNX_ORDER = ("weight", "bias", "running_mean", "running_var")
"""The order in which ONNX takes a layer's numbers. Dropout is left out: in evaluation it does nothing."""

_ONNX: dict[type[nn.Module], tuple[str, dict[str, Any]]] = {
    nn.Conv2d: ("Conv", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    nn.BatchNorm2d: ("BatchNormalization", {"epsilon": 1e-5}),
    nn.ReLU: ("Relu", {}),
    nn.MaxPool2d: ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    nn.Flatten: ("Flatten", {"axis": 1}),
    nn.Linear: ("Gemm", {"transB": 1}),
}
