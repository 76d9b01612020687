"""The worked examples run in a container unchanged, and answer as in the embedded server."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.http as triton_http

from lab_utils import server as triton
from lab_utils.models.digits import load_digits, to_bytes
from lab_utils.progress.repository import copy_models
from lab_utils.server.base import Server

pytestmark = pytest.mark.usefixtures("settings")
EXAMPLES = ["mnist_mlp", "digits_preprocess", "digits_pipeline", "digits_bls", "digits_vote", "timed"]


def scores(server: Server, model: str) -> np.ndarray:
    """The scores of twelve pictures by a pipeline, float32 `[12, 10]`."""
    pictures = to_bytes(load_digits()[0][:12])
    with triton_http.InferenceServerClient(server.endpoints.http, network_timeout=60) as client:
        tensor = triton_http.InferInput("image", list(pictures.shape), "UINT8")
        tensor.set_data_from_numpy(pictures)
        answer: np.ndarray = client.infer(model, [tensor]).as_numpy("scores")
    return answer


def test_the_same_folder_in_both(tmp_path: Path) -> None:
    repository = tmp_path / "lab" / "model_repository"
    copy_models(EXAMPLES, repository)
    answers: dict[str, list[np.ndarray]] = {"embedded": [], "docker": []}
    for runtime, found in answers.items():
        server = triton.start(
            repository,
            name=f"both-{runtime}",
            runtime=runtime,
            lifetime="kernel",
            wait_for=EXAMPLES,
            timeout=90,
        )
        try:
            index = httpx.post(f"{server.endpoints.http_url}/v2/repository/index").json()
            assert {entry["name"]: entry["state"] for entry in index} == dict.fromkeys(EXAMPLES, "READY")
            found += [scores(server, model) for model in ("digits_pipeline", "digits_bls")]
        finally:
            server.stop()
    for one, other in zip(*answers.values(), strict=True):
        assert one.shape == (12, 10)
        np.testing.assert_array_equal(one, other)
