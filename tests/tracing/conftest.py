"""One embedded Triton that sends its traces to one receiver, for all tests of traces."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient

from lab_utils import server as triton
from lab_utils.models.build import build_models
from lab_utils.paths import project_root
from lab_utils.server.base import Server
from lab_utils.tracing import TraceReceiver, trace_options

MODELS = ("mnist_mlp", "digits_preprocess", "digits_pipeline", "digits_bls", "timed")
FAILING = """
class TritonPythonModel:
    def execute(self, requests):
        raise RuntimeError("this model always fails")
"""
FAILING_CONFIG = """
backend: "python"
max_batch_size: 8
input [ { name: "data" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "echo" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""


@dataclass(frozen=True)
class Traced:
    """A server and its receiver."""

    server: Server
    receiver: TraceReceiver
    http: Any
    grpc: Any


@pytest.fixture(scope="package")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worked examples, a BLS that hands its trace on, and a model that fails."""
    folder: Path = tmp_path_factory.mktemp("tracing") / "repository"
    for model in MODELS:
        source = project_root() / "model_repository" / model
        shutil.copytree(source, folder / model, ignore=shutil.ignore_patterns("__pycache__", "model.onnx"))
    build_models(repository=folder)
    _add_traced_bls(folder)
    (folder / "failing" / "1").mkdir(parents=True)
    (folder / "failing" / "1" / "model.py").write_text(FAILING)
    (folder / "failing" / "config.pbtxt").write_text(FAILING_CONFIG)
    return folder


def _add_traced_bls(folder: Path) -> None:
    """`digits_bls` with the two changes that docs/tracing.md names."""
    shutil.copytree(folder / "digits_bls", folder / "bls_traced")
    config = folder / "bls_traced" / "config.pbtxt"
    config.write_text(config.read_text().replace('name: "digits_bls"', 'name: "bls_traced"'))
    code = folder / "bls_traced" / "1" / "model.py"
    text = code.read_text()
    for old, new in (
        ("output_name):", "output_name, trace):"),
        ('"input_tensor")\n            scores', '"input_tensor", request.trace())\n            scores'),
        ('"input", "output")', '"input", "output", request.trace())'),
        ("model_name=model,", "model_name=model,\n        trace=trace,"),
    ):
        assert old in text, "the worked example digits_bls has changed"
        text = text.replace(old, new)
    code.write_text(text)


@pytest.fixture(scope="package")
def traced(repository: Path) -> Iterator[Traced]:
    """The shared server; tests tell their requests apart by trace id."""
    with TraceReceiver() as receiver:
        server = triton.start(
            repository,
            name="traced",
            options=["--disable-auto-complete-config", "--exit-timeout-secs=1", *trace_options(receiver)],
            lifetime="kernel",
        )
        http = httpclient.InferenceServerClient(server.endpoints.http)
        grpc = grpcclient.InferenceServerClient(
            server.endpoints.grpc, channel_args=[("grpc.enable_http_proxy", 0)]
        )
        try:
            yield Traced(server, receiver, http, grpc)
        finally:
            http.close()
            grpc.close()
            server.stop()


def inputs(model: str, module: Any = httpclient, rows: int = 1) -> list[Any]:
    """A request to one of the models above, for tritonclient.http or tritonclient.grpc."""
    name, shape, kind = {
        "mnist_mlp": ("input", [rows, 1, 28, 28], "FP32"),
        "timed": ("data", [rows, 4], "FP32"),
        "failing": ("data", [rows, 4], "FP32"),
    }.get(model, ("image", [rows, 28, 28], "UINT8"))
    tensor = module.InferInput(name, shape, kind)
    tensor.set_data_from_numpy(np.zeros(shape, np.float32 if kind == "FP32" else np.uint8))
    return [tensor]
