"""Short ways to ask the worked examples, for their tests."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import tritonclient.grpc as grpcclient
from google.protobuf import json_format, text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2

from lab_utils.paths import project_root
from lab_utils.server.base import Server

MODELS = ("digits_bls", "digits_pipeline", "digits_preprocess", "digits_vote", "mnist_mlp", "timed")
TYPES = {np.dtype(np.uint8): "UINT8", np.dtype(np.float32): "FP32", np.dtype(np.float64): "FP64"}


def tensors(**arrays: NDArray[Any]) -> list[grpcclient.InferInput]:
    """Input tensors of a request, by name."""
    return [
        grpcclient.InferInput(name, list(array.shape), TYPES[array.dtype]).set_data_from_numpy(array)
        for name, array in arrays.items()
    ]


def ask(client: Any, model: str, output: str, **arrays: NDArray[Any]) -> NDArray[Any]:
    """One output of one request."""
    answer = client.infer(model, tensors(**arrays), client_timeout=30).as_numpy(output)
    assert answer.size, "an empty answer"
    return answer


def override(client: Any, model: str, **changes: Any) -> None:
    """Load a model with its own config.pbtxt plus `changes`."""
    text = (project_root() / "model_repository" / model / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    for name, value in changes.items():
        config.ClearField(name)
        json_format.ParseDict({name: value}, config)
    client.load_model(model, config=json_format.MessageToJson(config, preserving_proto_field_name=True))


def counts(server: Server, model: str) -> tuple[int, int]:
    """(inferences, executions) since the load."""
    page = httpx.get(f"{server.endpoints.http_url}/v2/models/{model}/stats").json()
    stats = page["model_stats"][0]
    return stats["inference_count"], stats["execution_count"]
