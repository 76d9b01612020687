"""One server with the models of every kind whose batches could mix up requests."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_utils import server as triton
from lab_utils.models.build import has_torch
from lab_utils.progress.repository import copy_models
from lab_utils.server.base import Server
from tests.backends.toy_models import affine, config

STEPS = ("digits_preprocess", "mnist_mlp")
WORKED = ("digits_bls", "digits_pipeline", "digits_preprocess", "digits_vote", "mnist_mlp")
# Long enough that the requests of 16 clients come together in batches on a busy machine, too.
BATCHING = "dynamic_batching { max_queue_delay_microseconds: 20000 }"
ANY_LENGTH = {"inputs": [("x", "FP32", (-1,))], "outputs": [("y", "FP32", (-1,))]}
# What this test is about, made on purpose: each request gets its neighbour's rows.
MIXED_UP = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        if len({x.shape for x in inputs}) == 1:
            inputs = inputs[1:] + inputs[:1]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", 2 * x + 1)]) for x in inputs]
"""


def add_torch(path: Path) -> None:
    """`y = 2 x + 1` as TorchScript."""
    import torch

    class Affine(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x + 1

    path.parent.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Affine()).save(str(path))


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """onnx_fixed, onnx_any, onnx_cached, torch_any, mixed_up: y = 2 x + 1; and the worked examples."""
    repository = tmp_path_factory.mktemp("isolation") / "models"
    copy_models(WORKED, repository)
    for step in STEPS:  # the steps of the pipelines batch strangers together
        path = repository / step / "config.pbtxt"
        path.write_text(path.read_text().replace("dynamic_batching { }", "") + BATCHING)
    affine(repository / "onnx_fixed" / "1" / "model.onnx", 2, 1, ["batch", 4])
    text = config(inputs=[("x", "FP32", (4,))], outputs=[("y", "FP32", (4,))], extra=BATCHING, count=2)
    (repository / "onnx_fixed" / "config.pbtxt").write_text(text)
    (repository / "mixed_up" / "1").mkdir(parents=True)
    (repository / "mixed_up" / "1" / "model.py").write_text(MIXED_UP)
    (repository / "mixed_up" / "config.pbtxt").write_text(
        text.replace('platform: "onnxruntime_onnx"', 'backend: "python"')
    )
    for name, extra in (("onnx_any", ""), ("onnx_cached", "\nresponse_cache { enable: true }")):
        affine(repository / name / "1" / "model.onnx", 2, 1, ["batch", "length"])
        (repository / name / "config.pbtxt").write_text(config(extra=BATCHING + extra, **ANY_LENGTH))
    if has_torch():
        add_torch(repository / "torch_any" / "1" / "model.pt")
        text = config(platform="pytorch_libtorch", extra=BATCHING, count=1, **ANY_LENGTH)
        (repository / "torch_any" / "config.pbtxt").write_text(text)
    models = [folder.name for folder in repository.iterdir()]
    # The cache is too small for the payloads of the cache test, so entries are also thrown out.
    options = ["--disable-auto-complete-config", "--cache-config=local,size=1048576"]
    server = triton.start(repository, name="isolation", options=options, wait_for=models)
    yield server
    server.stop()
