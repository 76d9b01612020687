"""One server with the Llama designs that a student compares the engine with.

PyTorch is imported in the fixtures: without it each test module is skipped with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tritonclient.grpc as grpcclient

from lab_utils import server as triton
from lab_utils.load import crew
from lab_utils.progress.repository import copy_models
from lab_utils.server.base import Server
from tests.llama.training import trained

DESIGNS = ("llama_hf", "llama_hf_batched", "llama_hf_stream")


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The designs as a lab copies them; auto-complete off, so that every config must be complete."""
    import torch

    from lab_utils.llama.export import build_logits

    torch.set_num_threads(1)
    trained()
    repository = tmp_path_factory.mktemp("designs") / "models"
    copy_models([*DESIGNS, "llama_logits"], repository)
    build_logits(repository)
    server = triton.start(
        repository,
        name="llama-designs",
        lifetime="kernel",
        options=[
            "--disable-auto-complete-config",
            "--exit-timeout-secs=1",
            "--model-control-mode=explicit",
            "--load-model=*",
        ],
        wait_for=[*DESIGNS, "llama_logits"],
        timeout=120,
    )
    try:
        yield server
    finally:
        crew.end_idle()
        server.stop()


@pytest.fixture(scope="package")
def client(server: Server) -> Iterator[grpcclient.InferenceServerClient]:
    with grpcclient.InferenceServerClient(server.endpoints.grpc) as client:
        yield client
